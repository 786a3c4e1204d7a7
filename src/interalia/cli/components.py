"""The commands `list`, which describes components such as games and penalties, and `check`, which tests a custom one."""

from __future__ import annotations

import dataclasses
import inspect
import operator
import os
import sys
from typing import Annotated, Any

from cyclopts import Parameter

from interalia import registry
from interalia.cli.common import DESCRIPTIONS, HELP, app, say
from interalia.cli.options import quoted, worded
from interalia.cli.training import Overrides, given_fields
from interalia.errors import UserError, nearest, unknown
from interalia.registry import aliases
from interalia.runs import Run

Kind = Annotated[str | None, Parameter(help=f"By default all: {', '.join(registry.KINDS)}.")]


@app.command(name="list")
def list_(kind: Kind = None, name: str | None = None) -> None:
    """List components (games, divergences, data sets, recipes ...), or describe one of them with its arguments.

    Parameters
    ----------
    name
        A component of the kind KIND, which is described in full.
    """
    kinds = list(registry.KINDS) if kind in (None, "all") else [kind_named(kind or "")]
    if name is not None:
        describe(kinds[0], name)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for key in kinds:
        table = Table(title=key, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        table.add_column("name", no_wrap=True)
        table.add_column("description")
        for name, (text, origin) in summaries(key).items():
            table.add_row(name, f"{escape(text)}{f' [bold]from {escape(origin)}[/bold]' if origin else ''}")
        console.print(table, "")


def summaries(kind: str) -> dict[str, tuple[str, str]]:
    """Returns the name of each component of a kind -> its description in one line, and the plug-in that it comes from.

    The descriptions are read from the file ``components.toml``, so that neither torch nor a package with plug-ins is
    imported; components of such packages that are not imported yet have no description.
    """
    found = {name: (text, "") for name, text in DESCRIPTIONS[kind].items()}
    module, attribute = registry.KINDS[kind]
    if os.environ.get(registry.VARIABLE):
        registry.registry(kind).load()
    if module in sys.modules:  # a module of --plugin may have added components
        entries = getattr(sys.modules[module], attribute)
        found |= {name: (registry.summary(one), str(entries.origins[name])) for name, one in entries.added.items()}
    points = registry.entry_points(f"interalia.{kind}")
    return found | {point.name: ("", str(origin)) for point, origin in points if point.name not in found}


def kind_named(text: str) -> str:
    """Returns the library's name of a kind of components, such as "divergences".

    Arguments:
        text: that name in upper or lower case, or an alias of it.

    Raises:
        UserError: there is no such kind; if the text is the name of a component, the message has the command that describes
            the component.
    """
    key, known = aliases.plain(text), aliases.table()["kinds"]
    if (found := known.get(key, key)) in registry.KINDS:
        return str(found)
    if kinds := [kind for kind, names in DESCRIPTIONS.items() if key in names]:
        raise UserError(f"{text} is no kind but one of the {kinds[0]}; give interalia list {kinds[0]} {key}.")
    near = nearest(key, [*registry.KINDS, *known])
    guess = f"did you mean {known.get(near, near)!r}? The" if near else "the"
    raise UserError(f"there is no kind {text!r}; {guess} kinds are: {', '.join(registry.KINDS)}.")


def entry_named(kind: str, name: str) -> Any:
    """Returns the component of a kind and a name, such as the class `KL` for "divergences" and "kl".

    Raises:
        UserError: there is no component of that name in the registry of its kind.
    """
    entries = registry.registry(kind)
    if name not in entries:
        raise unknown(f"entry of the {kind}", name, entries)
    return entries[name]


def describe(kind: str, text: str) -> None:
    """Prints the name and origin of a component, its description, its arguments with types and defaults, and a command that
    uses it.

    Arguments:
        kind: the kind of the component, such as "divergences".
        text: the name of the component, in upper or lower case, or an alias.

    Raises:
        UserError: there is no such component.
    """
    preset = aliases.preset(text) if kind == "games" else {}
    game, *options = preset.items() if preset else [("game", text)]
    name = registry.parse(registry.canonical(str(game[1]), kind))[0]
    entry = entry_named(kind, name)
    if preset:
        words = "".join(f" --{key.replace('_', '-')} {value}" for key, value in options)
        print(f"{aliases.plain(text)} is --game {name}{words}\n")
    print(f"{name} ({kind}), from {registry.registry(kind).origin(name) or 'interalia'}\n")
    print(registry.description(entry))
    if kind == "recipes":
        print("\nsettings that differ from the defaults:")
        print("".join(line for line in entry().dump().splitlines(True) if line not in Run().dump()), end="")
    settings = {} if kind in registry.WITHOUT_SETTINGS else registry.settings_of(entry)
    defaults = {key: inspect.signature(entry).parameters[key].default for key in settings}
    if kind not in registry.WITHOUT_SETTINGS:
        print(f"\nsettings:{'' if settings else ' none'}")
    for key, hint in settings.items():
        print(f"  {key}: {registry.type_text(hint)}, by default {defaults[key]!r}")
    print(f"\nexample: {example(kind, name, dict(list(defaults.items())[:1]))}")


def example(kind: str, name: str, settings: dict[str, Any]) -> str:
    """Returns a command that uses a component, such as ``interalia train --penalty "r1(gamma=1.0)"``.

    Arguments:
        kind: the kind of the component.
        name: the name of the component.
        settings: the arguments of the component that the command sets, by name; empty for none.
    """
    if kind in HELP["examples"]:
        return str(HELP["examples"][kind].format(name))
    field = next(f.name for f in dataclasses.fields(Run) if f.metadata.get("kind") == kind)
    return f"interalia train --{field.replace('_', '-')} {quoted(str(registry.Part(name, **settings)))}"


@app.command
def check(
    part: str, *, kind: str | None = None, overrides: Annotated[Overrides | None, Parameter(name="*")] = None
) -> None:
    """Test a custom component: build it, train a few steps, save and resume. The exit code is 1 if a check fails.

    Parameters
    ----------
    part
        Component: my_module:MyGame or my_file.py:MyGame, with arguments in brackets; or a registered one, divergences:kl.
    kind
        Kind of the component (see `interalia list`), if it cannot be inferred from its class.
    overrides
        Fields of the run that the component is tested in, such as --prior.
    """
    from interalia.training import checking

    found, kind, settings = located(part, kind)
    failed = False
    for one in checking.checks(found, kind, settings, **given_fields(overrides)):
        say(str(dataclasses.replace(one, detail=worded(UserError(one.detail), ["check"]))))
        failed |= one.outcome == "failed"
    if failed:
        raise SystemExit(1)


def located(text: str, kind: str | None) -> tuple[object, str | None, dict[str, Any]]:
    """Returns a tuple: the component that a text such as ``my_module:MyGame(beta=2.0)`` names, its kind, and the arguments in
    the text by name.

    Arguments:
        text: a module or .py file and the name of an object in it; or a kind and the name of a component of that kind, such
            as ``divergences:kl``. Arguments may follow in brackets.
        kind: the kind that is returned for an object of a module; None if it is not known. Not used if `text` has one.

    Raises:
        UserError: there is no colon, no such module or component, or nothing of that name in the module.
    """
    path, settings = registry.parse(text, "part")
    module, colon, name = path.rpartition(":")
    if not colon:
        raise UserError(f"`part` is {text!r}; give the module and the name in it, such as my_module:MyGame.")
    if module in registry.KINDS:
        return entry_named(module, name), module, settings
    source = registry.plug_in(module)
    try:
        return operator.attrgetter(name)(source), kind, settings
    except AttributeError:
        raise UserError(f"there is nothing of the name {name} in {module}; check the spelling.") from None
