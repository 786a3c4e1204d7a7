"""Registries: the components of each kind, such as games, divergences and penalties, by name.

A component in a registry is called an entry: a class, a function or an object. A text such as ``r1(gamma=0.5, every=4)``
names an entry and its keyword arguments; the fields of a run contain such texts, in Python, on the command line and in TOML
files. The arguments and their defaults are those in the signature of the entry.

An entry is built in; or it comes from an installed package, with an entry point of the group ``interalia.KIND``; or from a
module that this process has imported and that called `Registry.add`. A module is never imported because the file of a run
names it.
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
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from interalia.errors import PluginWarning, SettingError, UserError, at_least_one, nearest, unknown
from interalia.registry import aliases

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
Entry = TypeVar("Entry")
Callee = TypeVar("Callee", bound=Callable[..., Any])

# the types of arguments with an upper bound: how often a layer is built or a computation repeated, how many units a layer
# or dimensions a variable has, and how many samples, chains or steps an estimate has for each example; more would be a
# mistake, and use up the memory or take for ever
Repeats = Annotated[int, msgspec.Meta(le=1000)]
Width = Annotated[int, msgspec.Meta(le=2**16)]
Samples = Annotated[int, msgspec.Meta(ge=1, le=10**6)]

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
WITHOUT_SETTINGS = ("recipes", "data", "metrics", "experiments")  # kinds whose entries have no arguments


@dataclass(frozen=True)
class Origin:
    """The module, and the installed package with its version, that a custom component of a registry comes from.

    Attributes:
        module: the module that added the component, or that its entry point names.
        package: the installed package with the entry point; empty for a component that a module added.
        version: the version of the package; empty if there is no package.
    """

    module: str
    package: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.module} (of {self.package} {self.version})" if self.package else self.module

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Origin:
        """Returns the origin that the file of a run describes. Each attribute is cut to 100 characters, of which those that
        are not printable are removed.

        Arguments:
            values: the attributes of the origin, by name; values of other types than str are converted, and missing ones
                become empty.
        """
        texts = (str(values.get(f.name, ""))[:100] for f in fields(cls))
        return cls(*("".join(filter(str.isprintable, text)) for text in texts))

    @property
    def advice(self) -> str:
        """A clause for error messages on how to get the component: install its package, or import or run its module."""
        if self.package:
            return f"install the package {self.package} ({self.version} at that time)"
        if self.module == "__main__":
            return "run the part of that program or notebook that adds it first"
        return f"import {self.module} first, as `plugin={self.module!r}` does"


class Registry(Mapping[str, Entry], Generic[Entry]):
    """A mapping from names to the components of one kind, such as all penalties; they are classes, functions or objects.

    The components are called its entries. Entry points of the group ``interalia.KIND`` add the entries of installed
    packages. An entry point is imported when its name is first looked up, and all are imported when the entries are listed.
    If it has the name of a built-in entry, or cannot be imported, it is ignored with one `PluginWarning`.

    Arguments:
        kind: the kind, such as "games".
        built_in: the library's entries, by name.
        base: the class that entries are derived from, or are instances of; None for no check of their type.

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
        return sum(1 for _ in self)

    def add(self, name: str, entry: Entry, module: str | None = None) -> None:
        """Adds a custom entry, until the process ends. If the same module adds an entry of that name again, as when a cell of
        a notebook runs twice, the new entry replaces the old one.

        Arguments:
            name: the name of the entry.
            entry: a class, a function or an object.
            module: the name of the module that adds it; by default the calling module.

        Raises:
            UserError: the name is that of a built-in entry, of one that another module added or of an alias such as
                BiGAN, or it is empty or has brackets or blanks at its ends; the entry has the wrong type, or a signature
                that cannot be read.
        """
        origin = Origin(module or sys._getframe(1).f_globals.get("__name__", "__main__"))
        if name in self.built_in or self.origins.get(name, origin) != origin:
            raise UserError(f"there is an entry {name!r} among the {self.kind} already; give it another name.")
        self.check_and_set(name, entry, origin)

    def make_built_in(self) -> None:
        """Turns all entries that were added so far into built-in ones, which have no origin and cannot be removed.

        The library calls it for components that its own modules add.
        """
        self.built_in |= self.added
        self.added, self.origins = {}, {}

    def remove(self, name: str) -> None:
        """Removes an entry that was added.

        Raises:
            KeyError: there is no entry of that name, or it is built in.
        """
        del self.added[name], self.origins[name]

    def origin(self, name: str) -> Origin | None:
        """Returns the origin of the entry of a name; None for a built-in entry, and if there is no entry of that name."""
        return None if name in self.built_in or name not in self else self.origins[name]

    def check_and_set(self, name: str, entry: Entry, origin: Origin) -> None:
        """Checks a custom entry and its name, and adds the entry; one that was added under that name before is replaced.

        A built-in entry of that name is not replaced, and remains the one that is found: the caller has to check that there
        is none.

        Arguments:
            name: the name of the entry.
            entry: a class, a function or an object.
            origin: the origin of the entry.

        Raises:
            UserError: the name is empty, or has brackets or blanks at its ends, or is the alias of a game with other fields
                of a run, such as BiGAN; the entry has the wrong type; or the types of its arguments cannot be read from its
                signature.
        """
        if not name or parse(name) != (name, {}):
            raise UserError(
                f"{name!r} cannot be the name of an entry; give one without brackets and without blanks at its ends."
            )
        if self.kind == "games" and (fields := aliases.preset(name)):
            raise UserError(
                f"{name!r} stands for the game {fields['game']!r} with other fields of a run, which would be trained in "
                f"place of the entry; give it another name."
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
        """True if the type of an entry is right for this registry; always True if `base` is None.

        It is right for an instance of `base` and for a class derived from `base`. Any function is right too, without a check
        of its result, except for kinds whose components have no arguments, such as data sets and metrics.
        """
        if self.base is None or isinstance(entry, self.base):
            return True
        if inspect.isclass(entry):
            return issubclass(entry, self.base)
        return self.kind not in WITHOUT_SETTINGS and callable(entry)

    def load(self, name: str | None = None) -> None:
        """Imports the plug-ins that the environment variable INTERALIA_PLUGINS names, separated by commas, and adds the
        entries of entry points.

        Each entry point is imported once. An entry that cannot be imported or added, as when its name is taken, is
        ignored with a `PluginWarning`.

        Arguments:
            name: the name of the entry points to import; None for all of this kind.
        """
        for module in filter(None, map(str.strip, os.environ.get(VARIABLE, "").split(","))):
            try_import(module, plug_in)
        for point, origin in entry_points(f"interalia.{self.kind}"):
            if name not in (None, point.name) or point in self.tried:
                continue
            self.tried.add(point)
            if point.name not in self.built_in and not try_import(point.module, importlib.import_module):
                continue
            try:
                other = self.origins.get(point.name, "the library")
                # the module may have added the entry itself
                if point.name in self.built_in or self.added.get(point.name, entry := point.load()) is not entry:
                    raise UserError(f"that name is taken among the {self.kind}, by {other}.")
                self.check_and_set(point.name, entry, origin)
            except (UserError, AttributeError) as error:
                warn(f"the entry {point.name!r} of {origin} is left out: {str(error).rstrip('.')}.")


@functools.cache
def entry_points(group: str) -> list[tuple[EntryPoint, Origin]]:
    """Returns pairs of an entry point and its origin, for a group of entry points such as "interalia.games" in all packages.

    The pairs are sorted by the package and the name of the entry point.
    """
    from importlib import metadata  # here: the import is slower than the rest of this module

    found = []
    for point in metadata.entry_points(group=group):
        name, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
        found.append((point, Origin(point.module, name, version)))
    return sorted(found, key=lambda pair: (pair[1].package, pair[0].name))


IMPORTED: dict[str, bool] = {}  # plug-in modules whose import was tried, with True if it succeeded


def try_import(module: str, load: Callable[[str], object]) -> bool:
    """Imports a plug-in module, and returns True if the import succeeded and False if it failed. Each module is imported in
    the first call alone; later calls return the result of the first. If it fails, a `PluginWarning` is issued once.

    Arguments:
        module: the name of the module.
        load: the function that imports the module of a given name.
    """
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
    """Issues a `PluginWarning` with a text.

    If a function f calls `warn`, the warning shows the line at which f was called.
    """
    warnings.warn(text, PluginWarning, stacklevel=3)


def failure(error: BaseException) -> str:
    """Returns a line about an error, such as "KeyError in line 3 of mine.py: 'a'": its type, its place and its message.

    The place is that of the innermost call outside of torch, importlib and this module; it is left out if there is none. The
    message is cut to 300 characters, and left out if it is empty.

    Example:
        >>> failure(ValueError("no such file."))
        'ValueError: no such file'
    """
    passing = {"torch", "importlib"}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename[:1] != "<"]
    own = [frame for frame in frames if frame.filename != __file__ and not passing & set(Path(frame.filename).parts)]
    place = "".join(f" in line {frame.lineno} of {Path(frame.filename).name}" for frame in own[-1:])
    reason = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}{place}{': ' if reason else ''}{reason}"


def plug_in(name: str) -> ModuleType:
    """Imports a plug-in, i.e. a module that adds entries to registries, and returns it.

    Arguments:
        name: the name of the module, which may be in the working directory; or the path of a .py file.

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
    """Imports a .py file as the module that has its name without suffix, and returns the module. Adds the folder of the file
    to ``sys.path``. A file that has been imported is not imported again.

    Raises:
        UserError: there is no such file, its name is not an identifier, or there is another module of that name.
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
    """Raises a UserError unless the names and types of a component's arguments can be read from its signature.

    The error is raised for `**` arguments, for types that cannot be resolved, and if the entry is neither a class nor a
    function, i.e. cannot be called.

    Arguments:
        name: the name of the component, for the message.
        entry: the class or function that creates the component.
    """
    if not callable(entry):
        raise UserError(f"the entry {name!r} is {entry!r}, and it must be a class or a function.")
    try:
        if extra := [p.name for p in inspect.signature(entry).parameters.values() if p.kind is p.VAR_KEYWORD]:
            raise UserError(
                f"the entry {name!r} takes **{extra[0]}, and its settings are read from its signature; name each of them "
                f"there, with its type and its default."
            )
        settings_of(entry)
    except (NameError, TypeError, ValueError) as error:
        raise UserError(f"the settings of the entry {name!r} cannot be read from its signature: {error}.") from error


class Part(str):
    """A text that names a component and its arguments: ``Part("adam", lr=5e-4)`` is the string ``"adam(lr=0.0005)"``.

    Arguments:
        text: a name, or a name with arguments in brackets, such as "adam(lr=5e-4)"; blanks and the spelling of numbers are
            normalized.
        settings: further arguments, which replace those of the same name in the text.

    Raises:
        UserError: the text cannot be parsed, or an argument is not a plain value (a number, string, bool, None, or a list,
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
        """The name of the component, without arguments."""
        return parse(self)[0]

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments in the text, by name; a positional argument is under its position, "0", "1" ..."""
        return parse(self)[1]

    def but(self, **settings: Any) -> Part:
        """Returns a copy of the text in which the given arguments of the component are changed or added."""
        return Part(self, **settings)

    def __repr__(self) -> str:
        return f"Part({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in self.settings.items())])})"


def is_literal(value: Any) -> bool:
    """True if a value can be written as a Python literal and read again, such as 0.5 or [1, 2]."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (SyntaxError, ValueError):
        return False


def parse(text: str, kind: str = "part") -> tuple[str, dict[str, Any]]:
    """Returns the name of a component and its arguments, by name, from the text that describes it. The key of a positional
    argument is its position: "0", "1" ...

    Arguments:
        text: a name, or a name with arguments in brackets.
        kind: the noun for a component in the error message, such as "divergence".

    Raises:
        UserError: the text is not ``name`` or ``name(argument=value, ...)`` with plain values.

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
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):  # a TypeError: a list as a key
        text = text if len(text) <= 100 else f"{text[:100]}..."
        raise UserError(f"the {kind} {text!r} cannot be read; {spelling(text)}.") from None
    return name, settings


WORDS = {"True": ("true", "yes", "on", "y"), "False": ("false", "no", "off", "n"), "None": ("none", "null", "nil")}


def spelling(text: str) -> str:
    """Returns advice, for an error message, on how to correct the text of a component that cannot be parsed: the corrected
    text, or else the syntax of such texts.

    Example:
        >>> spelling("kl(saturating=yes)"), spelling("adam(lr=0.001")
        ('write kl(saturating=True)', 'close the bracket: adam(lr=0.001)')
    """
    meant = {word: value for value, words in WORDS.items() for word in words}

    def value(found: re.Match[str]) -> str:
        """Returns "=" and a Python literal for the word after an equals sign, group 1 of the match `found`: True, False or
        None for words such as yes, no and null; for any other word the word in quotes.
        """
        word = found[1]
        return f"={meant.get(word.lower()) or (word if word in WORDS else repr(word))}"

    if text.count("(") > text.count(")"):
        return f"close the bracket: {text}{')' * (text.count('(') - text.count(')'))}"
    written = re.sub(r"=\s*([A-Za-z][\w-]*)(?=\s*[,)])", value, text)
    if written != text:
        return f"write {written}"
    return f"write a name, or a name with settings in brackets, such as {text.partition('(')[0].strip()}(setting=1.0)"


def look_up(text: str, entries: Mapping[str, Callee], kind: str) -> tuple[Callee, dict[str, Any]]:
    """Returns the class or function that a text such as "r1(gamma=0.5)" names, and the arguments in the text, by name.

    The names and types of the arguments are checked. Positional arguments get their names from the signature.

    Arguments:
        text: a name, or a name with arguments. If `entries` is a registry, the name may be an alias, in upper or lower
            case: ``JS`` is jensen-shannon (see `canonical`).
        entries: a registry, or another mapping from names to entries.
        kind: the noun for an entry in error messages, such as "divergence".

    Raises:
        UserError: there is no such entry (the message has the nearest name), the entry has no such argument, or a value has
            the wrong type.
    """
    if isinstance(entries, Registry):
        text = canonical(text, entries.kind)
    name, found = parse(text, kind)
    if name not in entries:
        raise unknown(kind, name, entries)
    entry = entries[name]
    types = settings_of(entry)
    names = {str(position): key for position, key in enumerate(types)}
    settings = {names.get(key, key): value for key, value in found.items()}
    if len(settings) < len(found):
        raise UserError(f"the {kind} {text!r} sets one setting twice; give each of them once.")
    for key, value in settings.items():
        if key not in types:
            if key.isdigit():
                raise UserError(f"the {kind} {text!r} has more settings than {name}: {', '.join(types) or 'none'}.")
            near = nearest(key, types)
            has = f"{f'did you mean {near!r}? Its' if near else 'its'} settings are: {', '.join(types) or 'none'}"
            raise UserError(f"the {kind} {name!r} has no setting {key!r}; {has}.")
        if not in_range(value):
            raise UserError(
                f"the {kind} {name!r} sets {key!r} to a number out of range; give one up to 1e30, or 10^9 for counts."
            )
        if not fits(value, types[key]):
            raise UserError(f"the {kind} {text!r} sets {key!r} to {value!r}, and it must be {type_text(types[key])}.")
        if most := exceeded(value, hints_of(entry)[key]):
            raise UserError(f"the {kind} {text!r} sets {key!r} to {value!r}; give at most {most:,}.")
    return entry, settings


def canonical(text: str, kind: str) -> str:
    """Returns the text of a component in which its registered name replaces an alias (see
    `interalia.registry.aliases`) or a spelling in another case. A text that names no entry is returned unchanged.

    Arguments:
        text: a name, or a name with arguments.
        kind: the kind of component, such as "divergences".

    Raises:
        UserError: the name is the alias of something that the library lacks; the message has an alternative.

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
    """Returns what the alias of a model stands for: values of `game` and of other fields of a run, by name. For "BiGAN" these
    are {"game": "ali", "encoder": "deterministic"}.

    The dictionary is empty for any other name: that of a game, an alias of a game alone, or an unknown name.

    Arguments:
        game: the alias, in upper or lower case, or any other name.
    """
    return aliases.preset(game)


def field_alias(word: str) -> str:
    """Returns the name of the field of a run that the alias `word` stands for: "lr" for "learning_rate"; "" for a word that
    is no alias.
    """
    return str(aliases.table()["options"]["train"].get(aliases.plain(word), "")).replace("-", "_")


def make(text: str, entries: Mapping[str, Callable[..., T]], kind: str, *args: Any, **arguments: Any) -> T:
    """Creates and returns a component: calls the class or function that a text names, with the arguments in the text and
    further ones.

    Arguments:
        text: a name, or a name with arguments.
        entries: a registry, or another mapping from names to entries.
        kind: the noun for an entry in error messages, such as "divergence".
        args: further positional arguments.
        arguments: further keyword arguments, which replace those of the same name in the text.

    Raises:
        UserError: there is no such entry, or it has no such argument, or it rejects the value of one.

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
    """Returns the classes in a module that derive from a base class, by their attribute `name`, in the order of definition.
    Classes that do not define this attribute themselves, or leave it empty, are left out.

    Arguments:
        module: the namespace of the module, ``globals()``.
        base: the base class.
    """
    classes = [value for value in module.values() if inspect.isclass(value) and issubclass(value, base)]
    return {vars(kind)["name"]: kind for kind in classes if vars(kind).get("name")}


def settings_of(entry: Callable[..., Any]) -> dict[str, Any]:
    """Returns a dictionary of the arguments that the text of a component can set: the type of each, by its name.

    These are the arguments with a default and a plain type, such as a number or a string (see `is_plain`). The library passes
    all other arguments, such as shapes and networks.

    Arguments:
        entry: the class or function that creates the component.

    Example:
        >>> from interalia.adversarial.penalties import R1
        >>> settings_of(R1)
        {'gamma': <class 'float'>, 'every': <class 'int'>, 'final': float | None}
    """
    hints = hints_of(entry, bounds=False)
    parameters = inspect.signature(entry).parameters.values()
    return {p.name: hints[p.name] for p in parameters if p.default is not p.empty and is_plain(hints.get(p.name))}


def hints_of(entry: Callable[..., Any], bounds: bool = True) -> dict[str, Any]:
    """Returns the types of all arguments of a component, by their names.

    Arguments:
        entry: the class or function that creates the component.
        bounds: True to keep the bounds that are declared beside types, such as that of `Repeats`; False for ``int`` in place
            of `Repeats`.
    """
    fielded = dataclasses.is_dataclass(entry)  # its inherited fields have their hints in other modules
    return get_type_hints(entry if fielded or not inspect.isclass(entry) else entry.__init__, include_extras=bounds)


def exceeded(value: Any, hint: Any) -> int | None:
    """Returns the upper bound that is declared beside a type if a value, or an element of it, is above it; otherwise None.

    Arguments:
        value: a value of that type.
        hint: the type of an argument, such as `Repeats`, or a collection or a union with such types.

    Example:
        >>> exceeded(10**9, Repeats | None), exceeded({"critic": 5}, Mapping[str, Repeats])
        (1000, None)
    """
    if get_origin(hint) is Annotated:
        bounds = (extra.le for extra in get_args(hint)[1:] if isinstance(extra, msgspec.Meta) and extra.le is not None)
        return next((int(most) for most in bounds if isinstance(value, int | float) and value > most), None)
    elements = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
    return next((most for kind in get_args(hint) for one in elements if (most := exceeded(one, kind))), None)


def check_bounds(function: Callable[..., Any], **values: Any) -> None:
    """Raises a UserError that names the first argument of a function that is above the bound beside its type, or below 1.

    Arguments:
        function: the function, with bounds such as that of `Samples` beside types of its arguments.
        values: the values of some arguments, by name.
    """
    at_least_one(**values)
    hints = hints_of(function)
    for name, value in values.items():
        if most := exceeded(value, hints[name]):
            raise UserError(f"`{name}` is {value}, and it must be at most {most:,}.")


def is_plain(kind: Any) -> bool:
    """True if values of a type can be written in the text of a component: numbers, strings, bools, None, mappings, lists and
    tuples, and unions of these.

    Arguments:
        kind: a type, such as ``int | None``.
    """
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return all(is_plain(part) for part in get_args(kind))
    return origin in (Literal, Mapping, dict, tuple, list) or kind in (bool, int, float, str, type(None))


def fits(value: Any, kind: Any) -> bool:
    """True if a value is of the type `kind`, one of those that `is_plain` accepts. An int is also accepted as a float, and a
    bool only as a bool. The types of the elements of a collection are not checked.

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


def in_range(value: Any) -> bool:
    """True if each int in a value is at most 10^9, and each float at most 1e30, in absolute value, and none is NaN.

    The value can be a number or a list, tuple or mapping with numbers; values of other types count as in range.
    """
    if isinstance(value, Mapping | list | tuple):
        return all(map(in_range, value.values() if isinstance(value, Mapping) else value))
    return abs(value) <= (10**9 if isinstance(value, int) else 1e30) if isinstance(value, int | float) else True


def type_text(kind: Any) -> str:
    """Returns the name of a type in words, for an error message.

    Example:
        >>> type_text(float), type_text(Literal["mse", "l1"])
        ('a number', "'mse' or 'l1'")
    """
    if get_origin(kind) in (Union, UnionType):  # tuples and lists have the same words
        return " or ".join(dict.fromkeys(type_text(part) for part in get_args(kind)))
    if get_origin(kind) is Literal:
        return " or ".join(repr(choice) for choice in get_args(kind))
    if get_origin(kind) in (Mapping, dict):
        return "a mapping such as {'name': 1}"
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", type(None): "None"}
    return names.get(kind, "a list such as [1, 2]")


def registry(kind: str) -> Registry[Any]:
    """Returns the registry of a kind of component, such as "games", after importing the module that defines it.

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
    """Returns the text that names a component and its arguments, such as "r1(gamma=2.0)".

    Arguments:
        value: the component: a text, which is returned unchanged; an entry of the registry, such as a class; or an instance
            of an entry, whose arguments are read from its attributes of the same names. Defaults are left out.
        kind: the kind of component, such as "penalties".

    Raises:
        UserError: the object is not in the registry, or one of its arguments cannot be written as text.

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
    """Returns the first paragraph of the description of a component in a registry (see `description`), in one line."""
    return " ".join(description(entry).split("\n\n")[0].split())


def description(entry: Any) -> str:
    """Returns the description of a component in a registry: its attribute `about`, or else its docstring; "" without both."""
    return inspect.cleandoc(str(getattr(entry, "about", None) or entry.__doc__ or ""))


def settings_text(entry: Any) -> str:
    """Returns the arguments of a component that its text can set, with their defaults, such as ``gamma=0.5, every=1``.

    The result is empty for a component in the registry that is neither a class nor a function.
    """
    if not (inspect.isclass(entry) or inspect.isfunction(entry)):
        return ""
    parameters = inspect.signature(entry).parameters
    return ", ".join(f"{key}={parameters[key].default!r}" for key in settings_of(entry))
