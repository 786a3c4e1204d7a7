"""The kinds of parts and their entries, of the library and of other people's packages; and the one way to name a part and
its settings in a line of text: ``r1(gamma=0.5, every=4)``.

A run is described by such lines, in Python, on the command line and in TOML alike. The settings are the keyword arguments of
the class or function that the name stands for: a default lives in that signature and nowhere else.

An entry is the library's own; or that of an installed package, by an entry point of the group ``interalia.KIND``; or that of
a module which this process has imported and which called `Registry.add`. Nothing is imported because a run's file names it.
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
Member = TypeVar("Member", bound=Callable[..., Any])

VARIABLE = "INTERALIA_PLUGINS"  # the environment variable that names modules, with commas between them

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
WITHOUT_SETTINGS = ("recipes", "data", "metrics", "experiments")  # no settings are written behind a name of these


@dataclass(frozen=True)
class Origin:
    """Where an entry is from that is not the library's own.

    Attributes:
        module: the module that added it, or that the entry point names.
        package: the installed package whose entry point it is; empty for one that a module added.
        version: the package's.
    """

    module: str
    package: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.module} (of {self.package} {self.version})" if self.package else self.module

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Origin:
        """What a file keeps of one, as far as it can be printed."""
        texts = (str(values.get(f.name, ""))[:100] for f in fields(cls))
        return cls(*("".join(filter(str.isprintable, text)) for text in texts))

    @property
    def advice(self) -> str:
        """What to do where the entry is missing."""
        if self.package:
            return f"install the package {self.package} ({self.version} at that time)"
        if self.module == "__main__":
            return "run the part of that program or notebook that adds it first"
        return f"import {self.module} first, as `plugin={self.module!r}` does"


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The entries of one kind of part, by the names that a run, a file or the command line may give.

    Installed packages have entries by the entry points of the group ``interalia.KIND``. One is imported when its name is
    first looked up, and all are when the entries are listed. An entry point with the name of one of the library's entries,
    or one that cannot be imported, is left out, with one `PluginWarning`.

    Arguments:
        kind: what they are, such as "games".
        built_in: the library's own.
        base: what every class among them derives from, or every object is of; None where that does not matter.

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
        """Adds an entry of one's own for this process. A module may add one anew, as when a cell of a notebook is run again.

        Arguments:
            name: its name.
            entry: the class, the function or the object.
            module: where it is from; by default the module that calls this.

        Raises:
            UserError: there is another entry of that name, or a text could not name it or its settings.
        """
        origin = Origin(module or sys._getframe(1).f_globals.get("__name__", "__main__"))
        if name in self.built_in or self.origins.get(name, origin) != origin:
            raise UserError(f"there is an entry {name!r} among the {self.kind} already; give it another name.")
        self.take(name, entry, origin)

    def settle(self) -> None:
        """Makes the entries that have been added so far the library's own."""
        self.built_in |= self.added
        self.added, self.origins = {}, {}

    def remove(self, name: str) -> None:
        """Takes out an entry that was added."""
        del self.added[name], self.origins[name]

    def origin(self, name: str) -> Origin | None:
        """Where the entry of that name is from; None for the library's own."""
        return None if name in self.built_in or name not in self else self.origins[name]

    def take(self, name: str, entry: Entry, origin: Origin) -> None:
        if not name or parse(name) != (name, {}):
            raise UserError(f"{name!r} cannot be the name of an entry; give one without brackets and outer blanks.")
        if self.base is not None and not self.suits(entry):
            raise UserError(
                f"the entry {name!r} is {entry!r}, and the {self.kind} are made from {self.base.__module__}."
                f"{self.base.__qualname__}; derive it from that, or add it to another kind."
            )
        if self.kind not in WITHOUT_SETTINGS:
            check_signature(name, entry)
        self.added[name], self.origins[name] = entry, origin

    def suits(self, entry: object) -> bool:
        """Whether it is a class derived from the base, or an object of it, or a function, which makes one."""
        if self.base is None or isinstance(entry, self.base):
            return True
        if inspect.isclass(entry):
            return issubclass(entry, self.base)
        return self.kind not in WITHOUT_SETTINGS and callable(entry)

    def load(self, name: str | None = None) -> None:
        """Imports the modules that the environment names, and the installed entries of that name, or all of them."""
        for module in filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(","))):
            attempt(module, plug_in)
        for point, origin in entry_points(f"interalia.{self.kind}"):
            if name not in (None, point.name) or point in self.tried:
                continue
            self.tried.add(point)
            if point.name not in self.built_in and not attempt(point.module, importlib.import_module):
                continue
            try:
                self.take_installed(point, origin)
            except (UserError, AttributeError) as error:
                warn(f"the entry {point.name!r} of {origin} is left out: {str(error).rstrip('.')}.")

    def take_installed(self, point: EntryPoint, origin: Origin) -> None:
        """Keeps the entry of an entry point whose module is imported; it may have added the same by itself.

        Raises:
            UserError: another entry has its name, or it cannot be one.
            AttributeError: its module has no such object.
        """
        name = point.name
        if name in self.built_in or (name in self.added and self.added[name] is not point.load()):
            raise UserError(f"among the {self.kind} that name is {self.origins.get(name, 'the library')}'s own.")
        self.take(name, point.load(), origin)


@functools.cache
def entry_points(group: str) -> list[tuple[EntryPoint, Origin]]:
    """The entry points of a group, of all installed packages, in the order of the packages' names."""
    from importlib import metadata  # here: it takes longer than all else in this module

    found = []
    for point in metadata.entry_points(group=group):
        name, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
        found.append((point, Origin(point.module, name, version)))
    return sorted(found, key=lambda pair: (pair[1].package, pair[0].name))


ATTEMPTED: dict[str, bool] = {}  # modules whose import was attempted, and whether it succeeded


def attempt(module: str, load: Callable[[str], object]) -> bool:
    """Whether a module can be imported; one that cannot is warned of once."""
    if module not in ATTEMPTED:
        ATTEMPTED[module] = True  # before it runs: it may look up entries itself
        try:
            load(module)
        except (Exception, SystemExit) as error:
            ATTEMPTED[module] = False
            own = str(error).rstrip(".") if isinstance(error, UserError) else ""
            warn(f"{own or f'the plug-in {module} cannot be imported: {failure(error)}'}; its entries are left out.")
    return ATTEMPTED[module]


def warn(text: str) -> None:
    warnings.warn(text, PluginWarning, stacklevel=3)


def failure(error: BaseException) -> str:
    """What was raised, and in which line outside of torch and of Python's import, in one line of words."""
    passing = {"torch", "importlib", Path(__file__).name}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename[:1] != "<"]
    own = [frame for frame in frames if not passing & set(Path(frame.filename).parts)]
    place = "".join(f" in line {frame.lineno} of {Path(frame.filename).name}" for frame in own[-1:])
    reason = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}{place}{': ' if reason else ''}{reason}"


def plug_in(name: str) -> ModuleType:
    """Imports a module that adds entries of its own, by its name or from its .py file.

    A name is looked for in the working folder too.

    Raises:
        UserError: there is no such module or file, or it raises an error.
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
            f"the plug-in {name} cannot be imported: {failure(error)}; mend it, or leave it out."
        ) from error


def import_file(path: Path) -> ModuleType:
    """Imports a .py file under the name that it has, once; its folder can be imported from then, as a program's can.

    Raises:
        UserError: there is no such file, or its name is no name of a module, or another module has it.
    """
    file, name = path.resolve(), path.stem
    if not file.is_file():
        raise UserError(f"there is no file {path}; check its name.")
    if not name.isidentifier():
        raise UserError(f"{path.name} is no name of a module; rename it with letters, digits and underscores.")
    if found := sys.modules.get(name) or importlib.util.find_spec(name):
        there = getattr(found, "__file__", None) or getattr(found, "origin", None)
        if there is None or Path(there).resolve() != file:
            raise UserError(f"there is another module {name} ({there or 'built in'}); rename {path.name}.")
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    importlib.invalidate_caches()  # it may have been written a moment ago
    return importlib.import_module(name)


def check_signature(name: str, entry: Any) -> None:
    """Raises a UserError unless an entry's settings can be read from its signature."""
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
    """A part and its settings, as an object that is its own text: ``Part("adam", lr=5e-4)`` is ``"adam(lr=0.0005)"``, and
    may be given wherever a text is taken.

    Arguments:
        text: a name, or a name with settings, whose spelling is made regular.
        settings: plain values, which go before those in the text.

    Raises:
        UserError: the text cannot be read, or a setting is not a plain value (a number, text, truth value, None, or a list,
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
        return parse(self)[0]

    @property
    def settings(self) -> dict[str, Any]:
        return parse(self)[1]

    def but(self, **settings: Any) -> Part:
        """The same part with some settings changed or added."""
        return Part(self, **settings)

    def __repr__(self) -> str:
        return f"Part({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in self.settings.items())])})"


def is_literal(value: Any) -> bool:
    """Whether a value comes back from its own `repr`, so that a file can keep it."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (SyntaxError, ValueError):
        return False


def parse(text: str, kind: str = "part") -> tuple[str, dict[str, Any]]:
    """The name and the settings in `text`; a setting without a name is there by its place: "0", "1" ...

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
    """How to write a name with settings that cannot be read.

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


def look_up(text: str, catalogue: Mapping[str, Member], kind: str) -> tuple[Member, dict[str, Any]]:
    """The member of `catalogue` that `text` names, and its settings, checked against its signature.

    Raises:
        UserError: no such member (with the nearest name), or a setting that it does not have.
    """
    if isinstance(catalogue, Registry):
        text = canonical(text, catalogue.kind)
    name, found = parse(text, kind)
    if name not in catalogue:
        raise unknown(kind, name, catalogue)
    member = catalogue[name]
    kinds = settings_of(member)
    names = list(kinds)
    settings = {
        names[int(key)] if key.isdigit() and int(key) < len(names) else key: value for key, value in found.items()
    }
    if len(settings) < len(found):
        raise UserError(f"the {kind} {text!r} sets one setting twice; name each of them once.")
    for key, value in settings.items():
        if key not in kinds:
            near = nearest(key, kinds)
            has = f"{f'did you mean {near!r}? Its' if near else 'its'} settings are: {', '.join(kinds) or 'none'}"
            raise UserError(f"the {kind} {name!r} has no setting {key!r}; {has}.")
        if not fits(value, kinds[key]):
            raise UserError(f"the {kind} {text!r} sets {key!r} to {value!r}, and it must be {type_text(kinds[key])}.")
    return member, settings


def canonical(text: str, kind: str) -> str:
    """The text of a part under the name that its registry has for it, in place of another word for it (see
    `interalia.aliases`) or another case; unchanged where there is no such entry.

    Raises:
        UserError: the word is one for what is not there, with what to do instead.

    Example:
        >>> canonical("KL(saturating=True)", "divergences"), canonical("bce", "divergences")
        ('kl(saturating=True)', 'gan')
    """
    name, bracket, rest = text.partition("(")
    name, entries = name.strip(), registry(kind)
    if name in entries:
        return text
    by_case = {entry.lower(): entry for entry in reversed(list(entries))}
    meaning = by_case.get(aliases.plain(name)) or aliases.entry(kind, name)
    if not bracket:
        return meaning
    return str(Part(meaning, **parse(text)[1])) if "(" in meaning else f"{meaning}({rest}"


def make(text: str, catalogue: Mapping[str, Callable[..., T]], kind: str, *args: Any, **given: Any) -> T:
    """Builds the part that `text` names, with its settings and the arguments `given` by the program.

    Example:
        >>> from interalia import divergences
        >>> make("least-squares(c=0.5)", divergences.REGISTRY, "divergence")
        LeastSquares(smoothing=0.0, a=0.0, b=1.0, c=0.5)
    """
    member, settings = look_up(text, catalogue, kind)
    try:
        return member(*args, **{**settings, **given})
    except (TypeError, ValueError) as error:
        raise SettingError(f"the {kind} {text!r} cannot be made: {error}.", settings_of(member)) from error
    except UserError as error:
        raise SettingError(str(error), {*settings_of(member), *getattr(error, "settings", ())}) from error


def by_name(module: Mapping[str, Any], base: type[T]) -> dict[str, type[T]]:
    """The classes derived from `base` among the names of a module, in their order, by what each calls itself: its `name`."""
    classes = [value for value in module.values() if inspect.isclass(value) and issubclass(value, base)]
    return {vars(kind)["name"]: kind for kind in classes if vars(kind).get("name")}


def settings_of(member: Callable[..., Any]) -> dict[str, Any]:
    """A member's settings and their types: what has a default and a plain type is the user's to set; what has another
    (shapes, networks, penalties) is given by the program.

    Example:
        >>> from interalia.adversarial.penalties import R1
        >>> settings_of(R1)
        {'gamma': <class 'float'>, 'every': <class 'int'>, 'final': float | None}
    """
    fielded = dataclasses.is_dataclass(member)  # whose inherited fields have hints in the modules that they come from
    hints = get_type_hints(member if fielded or not inspect.isclass(member) else member.__init__)
    parameters = inspect.signature(member).parameters.values()
    return {p.name: hints[p.name] for p in parameters if p.default is not p.empty and is_plain(hints.get(p.name))}


def is_plain(kind: Any) -> bool:
    """Whether a type is one that can be written in a line of text."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return all(is_plain(part) for part in get_args(kind))
    return origin in (Literal, Mapping, dict, tuple, list) or kind in (bool, int, float, str, type(None))


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a plain type; a whole number passes for a float, and True for nothing but a bool.

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
    """A plain type in words.

    Example:
        >>> type_text(float), type_text(Literal["mse", "l1"])
        ('a number', "'mse' or 'l1'")
    """
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(dict.fromkeys(type_text(part) for part in get_args(kind)))  # a tuple is a list in words
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
    """The text of a part that is given as a text, a `Part`, an entry of the kind, or an object of one.

    Raises:
        UserError: no text makes such an object.

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
            f"an object of {what} is none of the {kind}, so that no file could name it; give a text, or add its class by "
            f"interalia.registry.registry({kind!r}).add first."
        )
    found, plain = {}, settings_of(entry)
    for key, p in inspect.signature(entry).parameters.items():
        setting = getattr(value, key, p.empty)
        if setting is p.default and setting is not p.empty:
            continue
        if key not in plain or not is_literal(setting) or not fits(setting, plain[key]):
            raise UserError(
                f"an object of {what} cannot be written as a text, for its `{key}` cannot; give a text, or "
                f"Part({name!r}, ...)."
            )
        if setting != p.default:
            found[key] = setting
    return str(Part(name, **found))


def summary(entry: Any) -> str:
    """The first sentence of an entry's description."""
    return " ".join(description(entry).split("\n\n")[0].split())


def description(entry: Any) -> str:
    """What an entry says of itself."""
    text = getattr(entry, "about", None) or getattr(entry, "__doc__", None) or ""
    return inspect.cleandoc(str(text))


def settings_text(entry: Any) -> str:
    """The settings of an entry with their defaults, as they are written in a spec: ``gamma=0.5, every=1``."""
    if not (inspect.isclass(entry) or inspect.isfunction(entry)):
        return ""
    parameters = inspect.signature(entry).parameters
    return ", ".join(f"{key}={parameters[key].default!r}" for key in settings_of(entry))
