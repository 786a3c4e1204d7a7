"""Tables of metrics and of likelihood estimates, as Markdown files for the run's folder and as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from interalia.errors import printable
from interalia.reports.assessment import assess
from interalia.reports.origin import provenance_lines
from interalia.reports.sentences import Json, cells, shown_name, texts
from interalia.runs import FROM_PYTHON

if TYPE_CHECKING:
    from rich.console import Console

    from interalia.runs import Run


def markdown(run: Run, found: Json) -> str:
    """Returns the text of ``results.md``: a table of the metrics, the protocol, the provenance and the fields of the run.

    `found` is the content of ``results.json``.
    """
    training = found["training"]
    length = f"{training['steps']:,} steps of {run.batch_size}"
    if training["seconds"]:
        length += f" in {training['seconds']:,.0f} s ({training['images_per_second']:,.0f} images/s)"
    rows = [
        (with_remark(m["name"], found), with_unit(m), m["better"] or "", escape_bars(m["protocol"]))
        for m in found["metrics"]
    ]
    custom = [name for name, part in (("the game", run.game), ("the data", run.data)) if part == FROM_PYTHON]
    table = markdown_table(("metric", "value", "better", "protocol"), rows)
    chosen = ", on which no choice was made" if found["split"] == "test" else ""
    how = f"with {' and '.join(custom)} from Python" if custom else "`interalia train FILE.toml`"
    description = "\n".join(line for line in run.dump().splitlines() if not line.startswith("data_dir ="))
    assessment = assess(dict(run.fields()), found).text
    return fill_template(
        "metrics",
        run,
        found,
        table,
        assessment=assessment,
        length=length,
        chosen=chosen,
        how=how,
        description=description,
    )


def likelihood_markdown(run: Run, found: Json) -> str:
    """Returns the text of ``likelihood.md``: a table of the estimates of log p(x), the protocol and the provenance.

    `found` is the content of ``likelihood.json``.
    """
    means, gaps = "nats, mean ± standard error over images", "gap of the bidirectional check, nats"
    headings = ("estimate", means, "acceptance", gaps, "protocol")
    table = markdown_table(headings, [(*cells(one), escape_bars(one["protocol"])) for one in found["estimates"]])
    interrupted = (
        " Interrupted: the protocol gives the number of images of each estimate." if found["interrupted"] else ""
    )
    return fill_template("likelihood", run, found, table, interrupted=interrupted)


def fill_template(kind: str, run: Run, found: Json, table: Sequence[str], **values: str) -> str:
    """Returns a Markdown template of ``texts.toml`` with the names in braces filled in.

    `kind` selects the template: "metrics" or "likelihood". `found` is the content of ``results.json`` or ``likelihood.json``;
    `table` are the lines of its table, and `values` are name -> text for the template's further names in braces. A "<" in the
    result is escaped, because names and labels may contain HTML, except in the block of code at the template's end.
    """
    made = "\n".join(f"- {line}" for line in provenance_lines(found))
    text, fence, code = texts("tables")[kind].partition("```")
    values |= {"table": "\n".join(table), "made": made}
    return text.format(run=run, found=found, **values).replace("<", "&lt;") + fence + code.format(**values)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    r"""Returns the lines of a Markdown table: the headings, a rule, and a line for each of the rows, sequences of cells.

    Example:
        >>> print(*markdown_table(["metric", "value"], [["modes", "25"]]), sep="\n")
        | metric | value |
        |---|---|
        | modes | 25 |
    """
    head, *body = ("| " + " | ".join(row) + " |" for row in (headings, *rows))
    return [head, "|" + "---|" * len(headings), *body]


def print_metrics(found: dict[str, Any]) -> None:
    """Prints the metrics of a run to the terminal as a table; `found` is the content of ``results.json``."""
    title = texts("titles")["metrics"].format_map(found)
    rows = [(with_remark(m["name"], found), with_unit(m), m["better"] or "") for m in found["metrics"]]
    print_table(title, ("metric", "value", "better"), rows)


def print_likelihood(found: Json) -> None:
    """Prints the estimates of log p(x) to the terminal as a table, and their protocols below it.

    `found` is the content of ``likelihood.json``.
    """
    title = texts("titles")["likelihood"].format_map(found)
    headings = ("estimate", "nats ± standard error", "acceptance", "gap of the check, nats")
    console = print_table(title, headings, map(cells, found["estimates"]))
    for one in found["estimates"]:
        console.print(printable(f"{one['name']}: {one['protocol']}."), markup=False)


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Console:
    """Prints a table without ruled lines to the terminal, and returns the console that it was printed on.

    `rows` are sequences of cells, one for each heading.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    columns = (Column(heading, no_wrap=True) for heading in headings)
    table = Table(*columns, title=escape(printable(title)), box=None, title_justify="left")
    for row in rows:
        table.add_row(*map(escape, map(printable, row)))
    console = Console(highlight=False)
    console.print(table)
    return console


def with_remark(name: str, found: Json) -> str:
    """The name of a metric with the remark that `sentences.shown_name` adds to it; `found` is the content of
    ``results.json``.
    """
    _, bracket, remark = shown_name(name, found).partition(" (")
    return name + bracket + remark


def with_unit(metric: Json) -> str:
    """The value of a metric with its unit as text, to four digits; `metric` is its record in ``results.json``."""
    return f"{metric['value']:.4g} {metric['unit']}".strip()


def escape_bars(text: str) -> str:
    """Returns the text with a backslash before each vertical bar, for a cell of a Markdown table."""
    return text.replace("|", "\\|")
