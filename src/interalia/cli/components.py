"""list and check: the components and their settings, and a test of a custom one."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Annotated, Any

from cyclopts import Parameter

from interalia import aliases, registry
from interalia.cli.common import HELP, app, say
from interalia.cli.options import quoted, worded
from interalia.cli.training import Overrides, given_fields
from interalia.errors import UserError, nearest, unknown
from interalia.runs import Run

Kind = Annotated[str | None, Parameter(help=f"By default all: {', '.join(registry.KINDS)}.")]

# kind -> the option of `train` that takes a name of it, where it is not that of the field of a run, or another command
EXAMPLES = {
    "recipes": "train {}",
    "metrics": "evaluate RUN --metrics {}",
    "likelihoods": "likelihood RUN --estimator {}",
    "experiments": "reproduce {}",
}


@app.command(name="list")
def list_(
    kind: Kind = None, name: Annotated[str | None, Parameter(help="An entry, which is described in full.")] = None
) -> None:
    """List components (games, divergences, data sets, recipes ...) with their settings, or describe one of them."""
    kinds = list(registry.KINDS) if kind in (None, "all") else [kind_named(kind or "")]
    if name is not None:
        describe(kinds[0], name)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for key in kinds:
        entries = registry.registry(key)
        table = Table(title=key, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        table.add_column("name", no_wrap=True)
        table.add_column("description")
        table.show_header = any(registry.settings_text(entry) for entry in entries.values())
        for name, entry in entries.items():
            settings, origin = registry.settings_text(entry), entries.origin(name)
            words = [escape(registry.summary(entry))]
            words += [f"[dim]({escape(settings)})[/dim]"] if settings else []
            words += [f"[bold]from {escape(str(origin))}[/bold]"] if origin else []
            table.add_row(name, " ".join(words))
        console.print(table)
        console.print()


def kind_named(text: str) -> str:
    """The kind of entries that a word names.

    Raises:
        UserError: there is no such kind; an entry's kind is named.
    """
    key, known = aliases.plain(text), aliases.table()["kinds"]
    if (found := known.get(key, key)) in registry.KINDS:
        return str(found)
    if kinds := [kind for kind, names in HELP["choices"].items() if key in names]:
        raise UserError(f"{text} is no kind but one of the {kinds[0]}; give interalia list {kinds[0]} {key}.")
    near = nearest(key, [*registry.KINDS, *known])
    guess = f"did you mean {known.get(near, near)!r}? The" if near else "the"
    raise UserError(f"there is no kind {text!r}; {guess} kinds are: {', '.join(registry.KINDS)}.")


def entry_named(kind: str, name: str) -> Any:
    """The entry of that name, as its registry has it.

    Raises:
        UserError: there is none.
    """
    entries = registry.registry(kind)
    if name not in entries:
        raise unknown(f"entry of the {kind}", name, entries)
    return entries[name]


def describe(kind: str, text: str) -> None:
    """Prints one entry: its description with formula and paper, its settings with types and defaults, and an example."""
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
    parameters = inspect.signature(entry).parameters if settings else {}
    if kind not in registry.WITHOUT_SETTINGS:
        print(f"\nsettings: {'' if settings else 'none'}".rstrip())
    for key, type_ in settings.items():
        print(f"  {key}: {registry.type_text(type_)}, by default {parameters[key].default!r}")
    print(f"\nexample: {example(kind, name, {key: parameters[key].default for key in list(settings)[:1]})}")


def example(kind: str, name: str, settings: dict[str, Any]) -> str:
    """A command that uses an entry, with some of its settings."""
    if kind in EXAMPLES:
        return f"interalia {EXAMPLES[kind].format(name)}"
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
        Component: my_module:MyGame or my_file.py:MyGame, with settings in brackets; or an entry, divergences:kl.
    kind
        Kind of the component (see `interalia list`), if its class does not say.
    overrides
        Fields of the run that the component is tested in, such as --prior.
    """
    from interalia.training import checking

    found, kind, settings = located(part, kind)
    failed = 0
    for one in checking.checks(found, kind, settings, **given_fields(overrides)):
        say(str(dataclasses.replace(one, words=worded(UserError(one.words), ["check"]))))
        failed += one.outcome == "failed"
    if failed:
        raise SystemExit(1)


def located(text: str, kind: str | None) -> tuple[object, str | None, dict[str, Any]]:
    """The object that ``my_module:MyGame(settings)`` names, its kind where that is known, and the settings.

    Raises:
        UserError: there is no such module, or nothing of that name in it.
    """
    path, settings = registry.parse(text, "part")
    module, colon, name = path.rpartition(":")
    if not colon:
        raise UserError(f"`part` is {text!r}; give the module and the name in it, such as my_module:MyGame.")
    if module in registry.KINDS:
        return entry_named(module, name), module, settings
    found: Any = registry.plug_in(module)
    try:
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except AttributeError:
        raise UserError(f"there is nothing of the name {name} in {module}; check the spelling.") from None
    return found, kind, settings
