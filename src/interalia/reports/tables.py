"""What was measured, as tables: in Markdown for the run's folder, and for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from interalia.reports.origin import made_with
from interalia.reports.words import Json, cells, texts
from interalia.runs import FROM_PYTHON

if TYPE_CHECKING:
    from rich.console import Console

    from interalia.runs import Run


def markdown(run: Run, found: Json) -> str:
    """Measures as a Markdown table with everything that is needed to judge them and to do them again."""
    training = found["training"]
    length = f"{training['steps']:,} steps of {run.batch_size}"
    if training["seconds"]:
        length += f" in {training['seconds']:,.0f} s ({training['images_per_second']:,.0f} images/s)"
    rows = [(m["name"], number(m), m["better"] or "", bars(m["protocol"])) for m in found["measures"]]
    brought = [name for name, part in (("the game", run.game), ("the data", run.data)) if part == FROM_PYTHON]
    table = markdown_table(("measure", "value", "better", "protocol"), rows)
    chosen = ", of which nothing was chosen" if found["split"] == "test" else ""
    how = f"beside {' and '.join(brought)}, given from Python" if brought else "`interalia train FILE.toml`"
    description = "\n".join(line for line in run.dump().splitlines() if not line.startswith("root ="))
    return filled("measures", run, found, table, length=length, chosen=chosen, how=how, description=description)


def likelihood_markdown(run: Run, found: Json) -> str:
    """Estimates as a Markdown table with everything that is needed to judge them."""
    means, gaps = "nats, mean ± standard error over images", "gap of the bidirectional check, nats"
    headings = ("estimate", means, "acceptance", gaps, "protocol")
    table = markdown_table(headings, [(*cells(one), bars(one["protocol"])) for one in found["estimates"]])
    interrupted = " Interrupted: the protocol says how many images each number is of." if found["interrupted"] else ""
    return filled("likelihood", run, found, table, interrupted=interrupted)


def filled(kind: str, run: Run, found: Json, table: Sequence[str], **said: str) -> str:
    """One of the texts with a table that ``texts.toml`` has."""
    made = "\n".join(f"- {line}" for line in made_with(found))
    return texts("tables")[kind].format(run=run, found=found, table="\n".join(table), made=made, **said)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table.

    Example:
        >>> print(*markdown_table(["measure", "value"], [["modes", "25"]]), sep="\\n")
        | measure | value |
        |---|---|
        | modes | 25 |
    """
    head, *body = ("| " + " | ".join(row) + " |" for row in (headings, *rows))
    return [head, "|" + "---|" * len(headings), *body]


def show(found: dict[str, Any]) -> None:
    """Prints measures as a table."""
    title = texts("titles")["measures"].format_map(found)
    rows = [(m["name"], number(m), m["better"] or "") for m in found["measures"]]
    printed(title, ("measure", "value", "better"), rows)


def show_likelihood(found: Json) -> None:
    """Prints estimates as a table, and under it the protocol of each."""
    title = texts("titles")["likelihood"].format_map(found)
    headings = ("estimate", "nats ± standard error", "acceptance", "gap of the check, nats")
    console = printed(title, headings, map(cells, found["estimates"]))
    for one in found["estimates"]:
        console.print(f"{one['name']}: {one['protocol']}.", markup=False)


def printed(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Console:
    """Prints a table without lines, and answers the console that it is on."""
    from rich.console import Console
    from rich.table import Column, Table

    columns = (Column(heading, no_wrap=True) for heading in headings)
    table = Table(*columns, title=title, box=None, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table)
    return console


def number(measure: dict[str, Any]) -> str:
    """A measure's value with its unit."""
    return f"{measure['value']:.4g} {measure['unit']}".strip()


def bars(text: str) -> str:
    """A text in which no bar ends a cell of a Markdown table."""
    return text.replace("|", "\\|")
