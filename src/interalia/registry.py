"""Registries: the kinds of parts, such as games and divergences, and the entries of each kind; and the text that names a part
with its settings, such as ``r1(gamma=0.5, every=4)``.

A run holds such texts, in Python, on the command line and in TOML. The settings are keyword arguments of the entry, a class
or a function; its signature has their defaults.

An entry is built in, or from an installed package with an entry point of the group ``interalia.KIND``, or from a module that
this process has imported and that called `Registry.add`. A module is never imported because the file of a run names it.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType, UnionType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from interalia import aliases
from interalia.errors import PluginWarning, SettingError, UserError, nearest, unknown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
Entry = TypeVar("Entry")
Callee = TypeVar("Callee", bound=Callable[..., Any])

VARIABLE = "INTERALIA_PLUGINS"  # the environment variable with the names of plug-in modules, separated by commas

# kind -> the module of its registry, and the registry's name there
KINDS: dict[str, tuple[str, str]] = {
    "recipes": ("interalia.runs.recipes", "REGISTRY"),
    "games": ("interalia.games", "REGISTRY"),
    "divergences": ("interalia.adversarial.divergences", "REGISTRY"),
    "dynamics": ("interalia.learning.dynamics", "REGISTRY"),
    "penalties": ("interalia.adversarial.penalties", "REGISTRY"),
    "noises": ("interalia.adversarial.disturbances", "NOISES"),
    "augmentations": ("interalia.adversarial.disturbances", "AUGMENTATIONS"),
    "networks": ("interalia.networks", "REGISTRY"),
    "conditionals": ("interalia.conditionals", "CONDITIONALS"),
    "priors": ("interalia.conditionals", "PRIORS"),
    "optimizers": ("interalia.learning.optimizers", "OPTIMIZERS"),
    "schedules": ("interalia.learning.optimizers", "SCHEDULES"),
    "averages": ("interalia.learning.optimizers", "AVERAGES"),
    "data": ("interalia.data", "REGISTRY"),
    "metrics": ("interalia.metrics", "REGISTRY"),
    "likelihoods": ("interalia.metrics.likelihood", "REGISTRY"),
    "experiments": ("interalia.papers", "REGISTRY"),
}
WITHOUT_SETTINGS = ("recipes", "data", "metrics", "experiments")  # kinds whose entries have no settings


@dataclass(frozen=True)
class Origin:
    """The origin of an entry that is not built in.

    Attributes:
        module: the module that added it, or the module of its entry point.
        package: the installed package with the entry point; empty for an entry that a module added.
        version: the version of the package.
    """

    module: str
    package: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.module} (of {self.package} {self.version})" if self.package else self.module

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Origin:
        """The origin in a run's file, without characters that cannot be printed."""
        texts = (str(values.get(f.name, ""))[:100] for f in fields(cls))
        return cls(*("".join(filter(str.isprintable, text)) for text in texts))

    @property
    def advice(self) -> str:
        """The advice of an error message if the entry is missing."""
        if self.package:
            return f"install the package {self.package} ({self.version} at that time)"
        if self.module == "__main__":
            return "run the part of that program or notebook that adds it first"
        return f"import {self.module} first, as `plugin={self.module!r}` does"


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The entries of one kind of part, by name.

    Entry points of the group ``interalia.KIND`` add the entries of installed packages. An entry point is imported when its
    name is first looked up, and all are imported when the entries are listed. If it has the name of a built-in entry, or
    cannot be imported, it is left out with one `PluginWarning`.

    Arguments:
        kind: the kind, such as "games".
        built_in: the library's entries.
        base: the base class of all entries that are classes, and the type of those that are objects; None for any.

    Example:
        >>> from interalia.adversarial.divergences import GAN, REGISTRY
        >>> REGISTRY.add("mine", GAN)
        >>> REGISTRY["mine"] is GAN, "mine" in REGISTRY.built_in
        (True, False)
        >>> REGISTRY.remove("mine")
    """

    def __init__(self, kind: str, built_in: Mapping[str, Entry], base: type[Any] | None = None) -> None:
        self.kind = kind
        self.base = base
        self.built_in = dict(built_in)
        self.added: dict[str, Entry] = {}
        self.origins: dict[str, Origin] = {}
        self.tried: set[EntryPoint] = set()

    def __getitem__(self, name: str) -> Entry:
        if name in self.built_in:
            return self.built_in[name]
        if name not in self.added:
            self.load(name)
        return self.added[name]

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter([*self.built_in, *self.added])

    def __len__(self) -> int:
        self.load()
        return len(self.built_in) + len(self.added)

    def add(self, name: str, entry: Entry, module: str | None = None) -> None:
        """Adds a custom entry, for this process. The same module may add an entry again, as a notebook's cell does when it
        runs twice.

        Arguments:
            name: the name of the entry.
            entry: a class, a function or an object.
            module: the name of its module; by default the calling module.

        Raises:
            UserError: another entry has that name, the entry has the wrong type, or its settings cannot be read from its
                signature.
        """
        origin = Origin(module or sys._getframe(1).f_globals.get("__name__", "__main__"))
        if name in self.built_in or self.origins.get(name, origin) != origin:
            raise UserError(f"there is an entry {name!r} among the {self.kind} already; give it another name.")
        self.check_and_set(name, entry, origin)

    def make_built_in(self) -> None:
        """Turns the entries that were added so far into built-in ones."""
        self.built_in |= self.added
        self.added, self.origins = {}, {}

    def remove(self, name: str) -> None:
        """Removes an entry that was added."""
        del self.added[name], self.origins[name]

    def origin(self, name: str) -> Origin | None:
        """The origin of an entry; None for a built-in one, and if there is no such entry."""
        return None if name in self.built_in or name not in self else self.origins[name]

    def check_and_set(self, name: str, entry: Entry, origin: Origin) -> None:
        """Adds an entry, or replaces the one with its name, after checking its name, its base class and its settings."""
        if not name or parse(name) != (name, {}):
            raise UserError(
                f"{name!r} cannot be the name of an entry; give one without brackets and without blanks at its ends."
            )
        if self.base is not None and not self.suits(entry):
            raise UserError(
                f"the entry {name!r} is {entry!r}, and the {self.kind} are derived from {self.base.__module__}."
                f"{self.base.__qualname__}; derive it from that, or add it to another kind."
            )
        if self.kind not in WITHOUT_SETTINGS:
            check_signature(name, entry)
        self.added[name], self.origins[name] = entry, origin

    def suits(self, entry: object) -> bool:
        """True for a class derived from the base, an instance of it, and a function that returns one."""
        if self.base is None or isinstance(entry, self.base):
            return True
        if inspect.isclass(entry):
            return issubclass(entry, self.base)
        return self.kind not in WITHOUT_SETTINGS and callable(entry)

    def load(self, name: str | None = None) -> None:
        """Imports the plug-in modules of the environment, and the entry points of that name; all of them if it is None."""
        for module in filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(","))):
            try_import(module, plug_in)
        for point, origin in entry_points(f"interalia.{self.kind}"):
            if name not in (None, point.name) or point in self.tried:
                continue
            self.tried.add(point)
            if point.name not in self.built_in and not try_import(point.module, importlib.import_module):
                continue
            try:
                self.add_installed(point, origin)
            except (UserError, AttributeError) as error:
                warn(f"the entry {point.name!r} of {origin} is left out: {str(error).rstrip('.')}.")

    def add_installed(self, point: EntryPoint, origin: Origin) -> None:
        """Adds the entry of an entry point whose module is imported; the module may have added it itself.

        Raises:
            UserError: another entry has the name, or it cannot be an entry.
            AttributeError: the module has no such object.
        """
        name = point.name
        if name in self.built_in or (name in self.added and self.added[name] is not point.load()):
            raise UserError(f"that name is taken among the {self.kind}, by {self.origins.get(name, 'the library')}.")
        self.check_and_set(name, point.load(), origin)


@functools.cache
def entry_points(group: str) -> list[tuple[EntryPoint, Origin]]:
    """The entry points of a group in all installed packages, sorted by package and name."""
    from importlib import metadata  # here: the import is slower than the rest of this module

    found = []
    for point in metadata.entry_points(group=group):
        name, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
        found.append((point, Origin(point.module, name, version)))
    return sorted(found, key=lambda pair: (pair[1].package, pair[0].name))


IMPORTED: dict[str, bool] = {}  # plug-in modules whose import was tried, with True if it succeeded


def try_import(module: str, load: Callable[[str], object]) -> bool:
    """True if a module can be imported; if not, one warning is given."""
    if module not in IMPORTED:
        IMPORTED[module] = True  # before the import, which may look up entries itself
        try:
            load(module)
        except (Exception, SystemExit) as error:
            IMPORTED[module] = False
            own = str(error).rstrip(".") if isinstance(error, UserError) else ""
            warn(f"{own or f'the plug-in {module} cannot be imported: {failure(error)}'}; its entries are left out.")
    return IMPORTED[module]


def warn(text: str) -> None:
    """Issues a `PluginWarning` at the line that called the calling function."""
    warnings.warn(text, PluginWarning, stacklevel=3)


def failure(error: BaseException) -> str:
    """One line about an error: its type, its line in the user's code (outside torch and importlib), and its message."""
    passing = {"torch", "importlib", Path(__file__).name}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename[:1] != "<"]
    own = [frame for frame in frames if not passing & set(Path(frame.filename).parts)]
    place = "".join(f" in line {frame.lineno} of {Path(frame.filename).name}" for frame in own[-1:])
    reason = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}{place}{': ' if reason else ''}{reason}"


def plug_in(name: str) -> ModuleType:
    """Imports a plug-in: a module that adds entries, by its name or the path of its .py file.

    A name is searched in the working folder too.

    Raises:
        UserError: there is no such module or file, or its import fails.
    """
    path = Path(name).expanduser()
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return import_file(path) if path.suffix == ".py" else importlib.import_module(name)
    except UserError as error:
        raise UserError(f"the plug-in {name} cannot be used: {error}") from error
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"there is no module {name} to plug in; give the name of a module that can be imported from here, or "
                f"the path of a .py file."
            ) from None
        raise UserError(
            f"the plug-in {name} cannot be imported: {failure(error)}; correct it, or leave it out."
        ) from error


def import_file(path: Path) -> ModuleType:
    """Imports a .py file as a module of its name, once, and adds its folder to ``sys.path``.

    Raises:
        UserError: there is no such file, or its name is not an identifier, or the name of another module.
    """
    file, name = path.resolve(), path.stem
    if not file.is_file():
        raise UserError(f"there is no file {path}; check its name.")
    if not name.isidentifier():
        raise UserError(f"{path.name} is not the name of a module; rename it with letters, digits and underscores.")
    if found := sys.modules.get(name) or importlib.util.find_spec(name):
        there = getattr(found, "__file__", None) or getattr(found, "origin", None)
        if there is None or Path(there).resolve() != file:
            raise UserError(f"there is another module {name} ({there or 'built in'}); rename {path.name}.")
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    importlib.invalidate_caches()  # the file may be new
    return importlib.import_module(name)


def check_signature(name: str, entry: Any) -> None:
    """Raises a UserError unless the settings of an entry can be read from its signature."""
    if not callable(entry):
        raise UserError(f"the entry {name!r} is {entry!r}, and it must be a class or a function.")
    try:
        for p in inspect.signature(entry).parameters.values():
            if p.kind is p.VAR_KEYWORD:
                raise UserError(
                    f"the entry {name!r} takes **{p.name}, and its settings are read from its signature; name each of them "
                    f"there, with its type and its default."
                )
        settings_of(entry)
    except (NameError, TypeError, ValueError) as error:
        raise UserError(f"the settings of the entry {name!r} cannot be read from its signature: {error}.") from error


class Part(str):
    """The text of a part and its settings: ``Part("adam", lr=5e-4)`` is the string ``"adam(lr=0.0005)"``.

    Arguments:
        text: a name, or a name with settings; its spelling is normalized.
        settings: settings as plain values, in place of those in the text.

    Raises:
        UserError: the text cannot be parsed, or a setting is not a plain value (a number, string, bool, None, or a list,
            tuple or mapping of these).

    Example:
        >>> rate = Part("adam", lr=5e-4)
        >>> rate == "adam(lr=0.0005)", rate.name, rate.settings
        (True, 'adam', {'lr': 0.0005})
        >>> str(rate.but(lr=1e-3, beta1=0.9))
        'adam(lr=0.001, beta1=0.9)'
    """

    __slots__ = ()

    def __new__(cls, text: str, /, **settings: Any) -> Part:
        name, found = parse(text)
        found |= settings
        for key, value in settings.items():
            if not is_literal(value):
                raise UserError(
                    f"the part {name!r} sets {key!r} to {value!r}, which cannot be written in a line of text; give a "
                    f"number, a text, True, False, None, or a list or mapping of these."
                )
        words = ", ".join(f"{value!r}" if key.isdigit() else f"{key}={value!r}" for key, value in found.items())
        return super().__new__(cls, f"{name}({words})" if words else name)

    @property
    def name(self) -> str:
        """The name of the entry, without settings."""
        return parse(self)[0]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by name."""
        return parse(self)[1]

    def but(self, **settings: Any) -> Part:
        """The same part with these settings changed or added."""
        return Part(self, **settings)

    def __repr__(self) -> str:
        return f"Part({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in self.settings.items())])})"


def is_literal(value: Any) -> bool:
    """True if Python's literal syntax can write the value, so that a file can hold it."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (SyntaxError, ValueError):
        return False


def parse(text: str, kind: str = "part") -> tuple[str, dict[str, Any]]:
    """The name and the settings in a text. The key of a positional setting is its position: "0", "1" ...

    Raises:
        UserError: the text is not ``name`` or ``name(setting=value, ...)`` with plain values.

    Example:
        >>> parse("alternating(turns={'critic': 5, 'generator': 1})")
        ('alternating', {'turns': {'critic': 5, 'generator': 1}})
        >>> parse("reverse-kl")
        ('reverse-kl', {})
        >>> parse("ema(0.99)")
        ('ema', {'0': 0.99})
    """
    name, bracket, rest = text.strip().partition("(")
    name = name.strip()
    if not bracket:
        if other := re.fullmatch(r"([\w-]+)\s*[\[{:]\s*(\w+\s*[=:].*?)[\]}]?", name):
            raise UserError(f"the {kind} {text!r} cannot be read; write {other[1]}({other[2].replace(':', '=')}).")
        return name, {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError
        settings = {str(place): ast.literal_eval(value) for place, value in enumerate(call.args)}
        settings |= {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
        if len(settings) != len(call.args) + len(call.keywords):
            raise ValueError
    except (SyntaxError, ValueError, TypeError):  # a TypeError: a list as a key
        raise UserError(f"the {kind} {text!r} cannot be read; {spelling(text)}.") from None
    return name, settings


WORDS = {"True": ("true", "yes", "on", "y"), "False": ("false", "no", "off", "n"), "None": ("none", "null", "nil")}


def spelling(text: str) -> str:
    """The advice for a text of a part that cannot be parsed.

    Example:
        >>> spelling("kl(saturating=yes)"), spelling("adam(lr=0.001")
        ('write kl(saturating=True)', 'close the bracket: adam(lr=0.001)')
    """
    meant = {word: value for value, words in WORDS.items() for word in words}

    def value(found: re.Match[str]) -> str:
        word = found[1]
        return f"={meant.get(word.lower()) or (word if word in WORDS else repr(word))}"

    if text.count("(") > text.count(")"):
        return f"close the bracket: {text}{')' * (text.count('(') - text.count(')'))}"
    written = re.sub(r"=\s*([A-Za-z][\w-]*)(?=\s*[,)])", value, text)
    if written != text:
        return f"write {written}"
    return f"write a name, or a name with settings in brackets, such as {text.partition('(')[0].strip()}(setting=1.0)"


def look_up(text: str, entries: Mapping[str, Callee], kind: str) -> tuple[Callee, dict[str, Any]]:
    """Returns the entry that a text such as "r1(gamma=0.5)" names, and its settings as keyword arguments, checked.

    Each setting is a parameter in the entry's signature and has its type; settings by position get their names.

    In a registry the name may be an alias, in any case: ``JS`` is jensen-shannon (see `canonical`).

    Arguments:
        text: a name, or a name with settings.
        entries: a registry, or a mapping of names.
        kind: the word for an entry in error messages, such as "divergence".

    Raises:
        UserError: there is no such entry (the nearest name is given), or the entry has no such setting.
    """
    if isinstance(entries, Registry):
        text = canonical(text, entries.kind)
    name, found = parse(text, kind)
    if name not in entries:
        raise unknown(kind, name, entries)
    entry = entries[name]
    types = settings_of(entry)
    names = list(types)
    settings = {
        names[int(key)] if key.isdigit() and int(key) < len(names) else key: value for key, value in found.items()
    }
    if len(settings) < len(found):
        raise UserError(f"the {kind} {text!r} sets one setting twice; give each of them once.")
    for key, value in settings.items():
        if key not in types:
            if key.isdigit():
                raise UserError(f"the {kind} {text!r} has more settings than {name}: {', '.join(types) or 'none'}.")
            near = nearest(key, types)
            has = f"{f'did you mean {near!r}? Its' if near else 'its'} settings are: {', '.join(types) or 'none'}"
            raise UserError(f"the {kind} {name!r} has no setting {key!r}; {has}.")
        if not fits(value, types[key]):
            raise UserError(f"the {kind} {text!r} sets {key!r} to {value!r}, and it must be {type_text(types[key])}.")
    return entry, settings


def canonical(text: str, kind: str) -> str:
    """The text of a part with its registry's name, in place of an alias (see `interalia.aliases`) or another case. A text
    that names no entry is returned unchanged.

    Raises:
        UserError: the name is known in the field, and the library does not have what it stands for; the message says what to
            use instead.

    Example:
        >>> canonical("KL(saturating=True)", "divergences"), canonical("bce", "divergences")
        ('kl(saturating=True)', 'gan')
    """
    name, bracket, rest = text.partition("(")
    name, entries = name.strip(), registry(kind)
    if name in entries:
        return text
    by_case = {aliases.plain(entry): entry for entry in reversed(list(entries))}
    meaning = by_case.get(aliases.plain(name)) or aliases.entry(kind, name)
    if not bracket:
        return meaning
    return str(Part(meaning, **parse(text)[1])) if "(" in meaning else f"{meaning}({rest}"


def preset(game: str) -> dict[str, Any]:
    """The fields of a run that a name such as BiGAN stands for; empty for other names. See `interalia.aliases.preset`."""
    return aliases.preset(game)


def field_alias(word: str) -> str:
    """The field of a run that a word such as learning_rate stands for; empty for other words."""
    return str(aliases.table()["options"]["train"].get(aliases.plain(word), "")).replace("-", "_")


def make(text: str, entries: Mapping[str, Callable[..., T]], kind: str, *args: Any, **arguments: Any) -> T:
    """Calls the entry that a text names, with the settings in the text and further arguments.

    Raises:
        UserError: `look_up` fails, or the entry refuses its settings.

    Example:
        >>> from interalia import divergences
        >>> make("least-squares(c=0.5)", divergences.REGISTRY, "divergence")
        LeastSquares(smoothing=0.0, a=0.0, b=1.0, c=0.5)
    """
    entry, settings = look_up(text, entries, kind)
    try:
        return entry(*args, **{**settings, **arguments})
    except (TypeError, ValueError) as error:
        raise SettingError(f"the {kind} {text!r} cannot be made: {error}.", settings_of(entry)) from error
    except UserError as error:
        raise SettingError(str(error), {*settings_of(entry), *getattr(error, "settings", ())}) from error


def by_name(module: Mapping[str, Any], base: type[T]) -> dict[str, type[T]]:
    """The classes in a module's namespace that derive from `base`, in order, by their attribute `name`."""
    classes = [value for value in module.values() if inspect.isclass(value) and issubclass(value, base)]
    return {vars(kind)["name"]: kind for kind in classes if vars(kind).get("name")}


def settings_of(entry: Callable[..., Any]) -> dict[str, Any]:
    """The settings of an entry and their types: the parameters with a default and a plain type. The library passes all other
    arguments, such as shapes and networks.

    Example:
        >>> from interalia.adversarial.penalties import R1
        >>> settings_of(R1)
        {'gamma': <class 'float'>, 'every': <class 'int'>, 'final': float | None}
    """
    fielded = dataclasses.is_dataclass(entry)  # its inherited fields have their hints in other modules
    hints = get_type_hints(entry if fielded or not inspect.isclass(entry) else entry.__init__)
    parameters = inspect.signature(entry).parameters.values()
    return {p.name: hints[p.name] for p in parameters if p.default is not p.empty and is_plain(hints.get(p.name))}


def is_plain(kind: Any) -> bool:
    """True for a type whose values can be written in the text of a part."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return all(is_plain(part) for part in get_args(kind))
    return origin in (Literal, Mapping, dict, tuple, list) or kind in (bool, int, float, str, type(None))


def fits(value: Any, kind: Any) -> bool:
    """True if a value has a plain type. An int is a float too, and a bool is nothing but a bool.

    Example:
        >>> fits(1, float), fits(1.5, int), fits(None, int | None)
        (True, False, True)
    """
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in get_args(kind))
    if origin is Literal:
        return value in get_args(kind)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else origin or kind)


def type_text(kind: Any) -> str:
    """A plain type as words for a message.

    Example:
        >>> type_text(float), type_text(Literal["mse", "l1"])
        ('a number', "'mse' or 'l1'")
    """
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(
            dict.fromkeys(type_text(part) for part in get_args(kind))
        )  # tuples and lists have the same words
    if get_origin(kind) is Literal:
        return " or ".join(repr(choice) for choice in get_args(kind))
    if get_origin(kind) in (Mapping, dict):
        return "a mapping such as {'name': 1}"
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", type(None): "None"}
    return names.get(kind, "a list such as [1, 2]")


def registry(kind: str) -> Registry[Any]:
    """The registry of a kind, such as "games".

    Raises:
        UserError: there is no such kind.

    Example:
        >>> sorted(registry("optimizers"))[:3]
        ['adam', 'rmsprop', 'sgd']
    """
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    module, name = KINDS[kind]
    return getattr(importlib.import_module(module), name)


def text_of(value: object, kind: str) -> str:
    """The text of a part, which is given as a text, a `Part`, an entry of the kind, or an instance of an entry.

    Raises:
        UserError: no text describes the object.

    Example:
        >>> from interalia.adversarial.penalties import R1
        >>> text_of(R1(gamma=2.0, every=4), "penalties"), text_of(R1, "penalties")
        ('r1(gamma=2.0, every=4)', 'r1')
    """
    if isinstance(value, str):
        return str(value)
    what = f"{value if inspect.isclass(value) else type(value)}".partition("'")[2].partition("'")[0] or repr(value)
    entries = registry(kind)
    for name, entry in entries.items():
        if entry is value:
            return name
        if entry is type(value):
            break
    else:
        raise UserError(
            f"an object of {what} is not among the {kind}, so that no file can name it; give a text, or add its class with "
            f"interalia.registry.registry({kind!r}).add first."
        )
    found, plain = {}, settings_of(entry)
    for key, p in inspect.signature(entry).parameters.items():
        setting = getattr(value, key, p.empty)
        if setting is p.default and setting is not p.empty:
            continue
        if key not in plain or not is_literal(setting) or not fits(setting, plain[key]):
            raise UserError(
                f"an object of {what} cannot be written as text, because its `{key}` cannot; give a text, or "
                f"Part({name!r}, ...)."
            )
        if setting != p.default:
            found[key] = setting
    return str(Part(name, **found))


def summary(entry: Any) -> str:
    """The first sentence of an entry's description."""
    return " ".join(description(entry).split("\n\n")[0].split())


def description(entry: Any) -> str:
    """The description of an entry: its attribute `about`, or its docstring."""
    text = getattr(entry, "about", None) or getattr(entry, "__doc__", None) or ""
    return inspect.cleandoc(str(text))


def settings_text(entry: Any) -> str:
    """The settings of an entry and their defaults, as in the text of a part: ``gamma=0.5, every=1``."""
    if not (inspect.isclass(entry) or inspect.isfunction(entry)):
        return ""
    parameters = inspect.signature(entry).parameters
    return ", ".join(f"{key}={parameters[key].default!r}" for key in settings_of(entry))
