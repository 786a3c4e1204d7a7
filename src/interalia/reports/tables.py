"""What was measured, as tables: in Markdown for the run's folder, and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interalia.runs import OWN

if TYPE_CHECKING:
    from interalia.runs import Run


def markdown(run: Run, found: dict[str, Any]) -> str:
    """Measures as a Markdown table with everything that is needed to judge them and to do them again."""
    training, about = found["training"], found["data"]
    length = f"{training['steps']:,} steps of {run.batch}"
    if training["seconds"]:
        length += f" in {training['seconds']:,.0f} s ({training['images_per_second']:,.0f} images/s)"
    rows = [f"| {m['name']} | {number(m)} | {m['better'] or ''} | {bars(m['protocol'])} |" for m in found["measures"]]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    brought = [name for name, part in (("the game", run.game), ("the data", run.data)) if part == OWN]
    how = f"beside {' and '.join(brought)}, given from Python" if brought else "`interalia train FILE.toml`"
    return "\n".join(
        [
            f"# {run.name}",
            "",
            f"{about['about']} Measured on the {found['split']} split"
            + (", of which nothing was chosen." if found["split"] == "test" else "."),
            "",
            f"- Training: {length}. Seeds: training {found['seeds']['training']}, evaluation {found['seeds']['evaluation']}.",
            f"- Weights: the {found['weights']}, of step {found['step']:,}.",
            f"- Machine: {found['machine']}. Versions: {versions}.",
            f"- Commit: {found['commit']}. Date: {found['date']}.",
            "",
            "| measure | value | better | protocol |",
            "|---|---|---|---|",
            *rows,
            "",
            f"The run ({how}):",
            "",
            "```toml",
            *(line for line in run.dump().splitlines() if not line.startswith("root =")),
            "```",
            "",
        ]
    )


def likelihood_markdown(run: Run, found: Mapping[str, Any]) -> str:
    """Estimates as a Markdown table with everything that is needed to judge them."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    rows = [
        f"| {one['name']} | {nats(one)} | "
        + ("" if one["acceptance"] is None else f"{one['acceptance']:.2f}")
        + f" | {gap(one)} | {bars(one['protocol'])} |"
        for one in found["estimates"]
    ]
    images = found["images"]
    return "\n".join(
        [
            f"# {run.name}: log p(x)",
            "",
            f"{found['data']['about']} {images['measured']:,} of {images['split']:,} images of the {found['split']} split; "
            f"binarisation: {found['binarisation']}."
            + (" Interrupted: the protocol says how many images each number is of." if found["interrupted"] else ""),
            "",
            "| estimate | nats, mean ± standard error over images | acceptance | gap of the bidirectional check, nats | "
            "protocol |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"- Weights: the {found['weights']}, of step {found['step']:,}. Seeds: training {found['seeds']['training']}, "
            f"evaluation {found['seeds']['evaluation']}.",
            f"- Machine: {found['machine']}. Versions: {versions}.",
            f"- Commit: {found['commit']}. Date: {found['date']}.",
            "",
        ]
    )


def show(found: dict[str, Any]) -> None:
    """Prints measures as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{found['data']['name']}, {found['split']} split, step {found['step']:,}", box=None, title_justify="left"
    )
    for heading in ("measure", "value", "better"):
        table.add_column(heading, no_wrap=True)
    for m in found["measures"]:
        table.add_row(m["name"], number(m), m["better"] or "")
    Console(highlight=False).print(table)


def show_likelihood(found: Mapping[str, Any]) -> None:
    """Prints estimates as a table, and under it the protocol of each."""
    from rich.console import Console
    from rich.table import Table

    images = found["images"]
    table = Table(
        title=f"log p(x), {found['data']['name']}, {images['measured']:,} of {images['split']:,} images of the "
        f"{found['split']} split, binarisation: {found['binarisation']}, step {found['step']:,}",
        box=None,
        title_justify="left",
    )
    for heading in ("estimate", "nats ± standard error", "acceptance", "gap of the check, nats"):
        table.add_column(heading, no_wrap=True)
    for one in found["estimates"]:
        chance = "" if one["acceptance"] is None else f"{one['acceptance']:.2f}"
        table.add_row(one["name"], nats(one), chance, gap(one))
    console = Console(highlight=False)
    console.print(table)
    for one in found["estimates"]:
        console.print(f"{one['name']}: {one['protocol']}.", markup=False)


def number(measure: dict[str, Any]) -> str:
    """A measure's value with its unit."""
    return f"{measure['value']:.4g} {measure['unit']}".strip()


def nats(one: Mapping[str, Any]) -> str:
    """A value with its standard error."""
    return f"{one['value']:.2f}" + ("" if one["error"] is None else f" ± {one['error']:.2f}")


def gap(one: Mapping[str, Any]) -> str:
    """The gap of the bidirectional check, with its standard error."""
    check = one["check"]
    if check is None:
        return ""
    return f"{check['gap']:.3f}" + ("" if check["error"] is None else f" ± {check['error']:.3f}")


def bars(text: str) -> str:
    """A text in which no bar ends a cell of a Markdown table."""
    return text.replace("|", "\\|")
