"""list and check: which parts there are, where they are from, and whether one of your own is sound."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from interalia import registry
from interalia.cli.asking import app
from interalia.errors import unknown

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
        table.show_header = any(registry.settings(entry) for entry in entries.values())
        for name, entry in entries.items():
            settings, origin = registry.settings(entry), entries.origin(name)
            words = [escape(registry.about(entry))]
            words += [f"[dim]({escape(settings)})[/dim]"] if settings else []
            words += [f"[bold]from {escape(str(origin))}[/bold]"] if origin else []
            table.add_row(name, " ".join(words))
        console.print(table)
        console.print()


def show(kind: str, name: str) -> None:
    """Prints one entry: its settings with their types, where it is from, and its description."""
    entries = registry.registry(kind)
    if name not in entries:
        raise unknown(f"entry of the {kind}", name, entries)
    entry = entries[name]
    print(f"{name} ({kind}), from {entries.origin(name) or 'interalia'}")
    if kind not in registry.NAMED_ALONE:
        print(f"settings: {registry.settings(entry) or 'none'}")
        for key, type_ in registry.settings_of(entry).items():
            print(f"  {key}: {registry.words(type_)}")
    print()
    print(registry.description(entry))
