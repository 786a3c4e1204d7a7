"""list and check: which parts there are, where they are from, and whether one of your own is sound."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from cyclopts import Parameter

from interalia import registry
from interalia.cli.common import app, say
from interalia.cli.options import worded
from interalia.cli.training import Overrides
from interalia.errors import UserError, unknown

OLD = {"optimisers": "optimizers"}  # the name that a kind had before

Kind = Annotated[str | None, Parameter(help=f"By default all of them: {', '.join(registry.KINDS)}.")]


@app.command(name="list")
def list_(kind: Kind = None, name: Annotated[str | None, Parameter(help="One entry of that kind.")] = None) -> None:
    """Print what there is: each name with its settings, what it is, and where it is from; or one entry in full."""
    kinds = list(registry.KINDS) if kind is None else [OLD.get(kind, kind)]
    if name is not None:
        show(kinds[0], name)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for key in kinds:
        entries = registry.registry(key)
        table = Table(title=key, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        table.add_column("name", no_wrap=True)
        table.add_column("what it is")
        table.show_header = any(registry.settings_text(entry) for entry in entries.values())
        for name, entry in entries.items():
            settings, origin = registry.settings_text(entry), entries.origin(name)
            words = [escape(registry.summary(entry))]
            words += [f"[dim]({escape(settings)})[/dim]"] if settings else []
            words += [f"[bold]from {escape(str(origin))}[/bold]"] if origin else []
            table.add_row(name, " ".join(words))
        console.print(table)
        console.print()


def entry_of(kind: str, name: str) -> Any:
    entries = registry.registry(kind)
    if name not in entries:
        raise unknown(f"entry of the {kind}", name, entries)
    return entries[name]


def show(kind: str, name: str) -> None:
    """Prints one entry: its settings with their types, where it is from, and its description."""
    entry = entry_of(kind, name)
    print(f"{name} ({kind}), from {registry.registry(kind).origin(name) or 'interalia'}")
    if kind not in registry.WITHOUT_SETTINGS:
        print(f"settings: {registry.settings_text(entry) or 'none'}")
        for key, type_ in registry.settings_of(entry).items():
            print(f"  {key}: {registry.type_text(type_)}")
    print()
    print(registry.description(entry))


@app.command
def check(
    part: str, *, kind: str | None = None, overrides: Annotated[Overrides | None, Parameter(name="*")] = None
) -> None:
    """Try a part of your own in small: it is built, moved, saved and resumed. The exit code is 1 where a check fails.

    Parameters
    ----------
    part
        my_module:MyGame, or my_file.py:MyGame, where settings may follow in brackets; or an entry that there is,
        divergences:kl.
    kind
        Its kind (see `interalia list`), where that cannot be told from it.
    overrides
        The fields of the run that it is tried with, such as --prior.
    """
    from interalia.training import checking

    found, kind, settings = located(part, kind)
    fields = {} if overrides is None else {k: v for k, v in dataclasses.asdict(overrides).items() if v is not None}
    failed = 0
    for one in checking.checks(found, kind, settings, **fields):
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
        return entry_of(module, name), module, settings
    found: Any = registry.plug_in(module)
    try:
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except AttributeError:
        raise UserError(f"there is nothing of the name {name} in {module}; check the spelling.") from None
    return found, kind, settings
