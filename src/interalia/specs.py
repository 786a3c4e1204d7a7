"""One way to name a part and its settings in a line of text: ``r1(gamma=0.5, every=4)``.

A run is described by such lines, in Python, on the command line and in TOML alike. The settings are the keyword
arguments of the class or function that the name stands for: a default lives in that signature and nowhere else.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from interalia.errors import UserError, unknown

T = TypeVar("T")


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
    except (SyntaxError, ValueError):
        raise UserError(
            f"the {kind} {text!r} cannot be read; write a name, or a name with settings in brackets, "
            f"such as {name}(setting=1.0)."
        ) from None
    return name, settings


def look_up(text: str, catalogue: Mapping[str, Callable[..., T]], kind: str) -> tuple[Callable[..., T], dict[str, Any]]:
    """The member of `catalogue` that `text` names, and its settings, checked against its signature.

    Raises:
        UserError: no such member (with the nearest name), or a setting that it does not have.
    """
    name, settings = parse(text, kind)
    if name not in catalogue:
        raise unknown(kind, name, catalogue)
    member = catalogue[name]
    parameters = inspect.signature(member).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return member, settings
    for key in settings:
        if key not in parameters or not _is_setting(parameters[key]):
            has = ", ".join(k for k, p in parameters.items() if _is_setting(p)) or "none"
            raise UserError(f"the {kind} {name!r} has no setting {key!r}; its settings are: {has}.")
    return member, settings


def make(text: str, catalogue: Mapping[str, Callable[..., T]], kind: str, *args: Any, **given: Any) -> T:
    """Builds the part that `text` names, with its settings and the arguments `given` by the program.

    Example:
        >>> from interalia import divergences
        >>> make("least-squares(c=0.5)", divergences.CATALOGUE, "divergence")
        LeastSquares(a=0.0, b=1.0, c=0.5)
    """
    member, settings = look_up(text, catalogue, kind)
    try:
        return member(*args, **given, **settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"the {kind} {text!r} cannot be made: {error}.") from error


def signature(member: Callable[..., Any]) -> str:
    """The settings of a member with their defaults, as they are written in a spec: ``gamma=0.5, every=1``."""
    parameters = inspect.signature(member).parameters.values()
    return ", ".join(f"{p.name}={p.default!r}" for p in parameters if _is_setting(p))


def _is_setting(parameter: inspect.Parameter) -> bool:
    # what has a plain default is the user's to set; what has none (shapes, networks) is given by the program
    plain = (bool, int, float, str, tuple, dict, list, type(None))
    return parameter.default is not parameter.empty and isinstance(parameter.default, plain)
