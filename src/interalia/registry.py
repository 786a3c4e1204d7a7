"""The kinds of parts and their members, and the one way to name a part and its settings in a line of text:
``r1(gamma=0.5, every=4)``.

A run is described by such lines, in Python, on the command line and in TOML alike. The settings are the keyword
arguments of the class or function that the name stands for: a default lives in that signature and nowhere else.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from interalia.errors import UserError, unknown

T = TypeVar("T")
Entry = TypeVar("Entry")
Member = TypeVar("Member", bound=Callable[..., Any])


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The entries of one kind of part, by the names that a run, a file or the command line may give.

    Arguments:
        kind: what they are, such as "games".
        entries: those of the library.
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self.entries = dict(entries)

    def __getitem__(self, name: str) -> Entry:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, name: str, entry: Entry) -> None:
        """Adds an entry of one's own for this process.

        Raises:
            UserError: there is one of that name already.
        """
        if name in self:
            raise UserError(f"there is an entry {name!r} among the {self.kind} already; give it another name.")
        self.entries[name] = entry


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
        words = ", ".join(f"{key}={value!r}" for key, value in found.items())
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
    """The name and the settings in `text`.

    Raises:
        UserError: the text is not ``name`` or ``name(setting=value, ...)`` with plain values.

    Example:
        >>> parse("alternating(turns={'critic': 5, 'generator': 1})")
        ('alternating', {'turns': {'critic': 5, 'generator': 1}})
        >>> parse("reverse-kl")
        ('reverse-kl', {})
    """
    name, bracket, rest = text.strip().partition("(")
    name = name.strip()
    if not bracket:
        return name, {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
            raise ValueError
        settings = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
        if len(settings) != len(call.keywords):
            raise ValueError
    except (SyntaxError, ValueError, TypeError):  # a TypeError: a list as a key
        raise UserError(
            f"the {kind} {text!r} cannot be read; write a name, or a name with settings in brackets, "
            f"such as {name}(setting=1.0)."
        ) from None
    return name, settings


def look_up(text: str, catalogue: Mapping[str, Member], kind: str) -> tuple[Member, dict[str, Any]]:
    """The member of `catalogue` that `text` names, and its settings, checked against its signature.

    Raises:
        UserError: no such member (with the nearest name), or a setting that it does not have.
    """
    name, settings = parse(text, kind)
    if name not in catalogue:
        raise unknown(kind, name, catalogue)
    member = catalogue[name]
    kinds = settings_of(member)
    for key, value in settings.items():
        if key not in kinds:
            has = ", ".join(kinds) or "none"
            raise UserError(f"the {kind} {name!r} has no setting {key!r}; its settings are: {has}.")
        if not fits(value, kinds[key]):
            raise UserError(f"the {kind} {text!r} sets {key!r} to {value!r}, and it must be {words(kinds[key])}.")
    return member, settings


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
        raise UserError(f"the {kind} {text!r} cannot be made: {error}.") from error


def signature(member: Callable[..., Any]) -> str:
    """The settings of a member with their defaults, as they are written in a spec: ``gamma=0.5, every=1``."""
    parameters = inspect.signature(member).parameters
    return ", ".join(f"{key}={parameters[key].default!r}" for key in settings_of(member))


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


def words(kind: Any) -> str:
    """A plain type in words.

    Example:
        >>> words(float), words(Literal["mse", "l1"])
        ('a number', "'mse' or 'l1'")
    """
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(dict.fromkeys(words(part) for part in get_args(kind)))  # a tuple is a list in words
    if get_origin(kind) is Literal:
        return " or ".join(repr(choice) for choice in get_args(kind))
    if get_origin(kind) in (Mapping, dict):
        return "a mapping such as {'name': 1}"
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", type(None): "None"}
    return names.get(kind, "a list such as [1, 2]")


ROOMS: dict[str, tuple[str, str]] = {
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
    "optimisers": ("interalia.learning.optimizers", "OPTIMISERS"),
    "schedules": ("interalia.learning.optimizers", "SCHEDULES"),
    "averages": ("interalia.learning.optimizers", "AVERAGES"),
    "data": ("interalia.data", "REGISTRY"),
    "metrics": ("interalia.metrics", "REGISTRY"),
    "likelihoods": ("interalia.metrics.likelihood", "REGISTRY"),
    "experiments": ("interalia.papers", "REGISTRY"),
}


def members(room: str) -> Mapping[str, Callable[..., Any]]:
    """The members of a room, by name."""
    module, name = ROOMS[room]
    catalogue: Mapping[str, Callable[..., Any]] = getattr(importlib.import_module(module), name)
    return catalogue


def about(member: Any) -> str:
    """The first sentence of a member's description."""
    text = getattr(member, "about", None) or getattr(member, "__doc__", None) or ""
    return " ".join(str(text).strip().split("\n\n")[0].split())


def settings(member: Any) -> str:
    """A member's settings and their defaults."""
    return signature(member) if inspect.isclass(member) or inspect.isfunction(member) else ""
