"""Writes components.md, the table of everything that a run can name, from the registries.

python docs/components.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from interalia import registry

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Components

Everything that a run can name, one row an entry: its name, its settings with their defaults, what it is, and the paper that
it comes from. Settings are written in brackets behind the name, such as `vae(beta=4.0)`. `interalia list KIND NAME` prints the
whole description of an entry; [plugins.md](plugins.md) shows how to add one.

This page is made by `make components`.
"""
OPTIONS = {  # kind -> heading, and how an entry of it is chosen
    "games": ("Models", "`--game NAME`. A model is a minimax game: networks, players and their losses."),
    "divergences": ("Adversarial losses", "`--divergence NAME`."),
    "dynamics": ("Update schemes", "`--dynamics NAME`."),
    "penalties": ("Penalties on the critic", "`--penalty NAME`."),
    "noises": ("Instance noise", "`--instance-noise NAME`."),
    "augmentations": ("Augmentations of the critic's images", "`--augment NAME`."),
    "networks": ("Networks", "`--networks NAME`."),
    "conditionals": ("Encoders q(z|x)", "`--encoder NAME`."),
    "priors": ("Priors p(z)", "`--prior NAME`."),
    "optimizers": ("Optimizers", "`--optimizer NAME`; `--lr` replaces the learning rate."),
    "schedules": ("Learning-rate schedules", "`--schedule NAME`."),
    "averages": ("Averages of weights", "`--weight-average NAME`."),
    "data": ("Data sets", "`--data NAME`, or the path of a folder, a .zip, .npy or .npz file."),
    "metrics": ("Metrics", "`interalia evaluate RUN --metrics NAME,NAME`."),
    "likelihoods": ("Likelihood estimators", "`interalia likelihood RUN --estimator NAME`."),
    "experiments": ("Experiments", "`interalia reproduce NAME`."),
    "recipes": ("Recipes", "`interalia train NAME`."),
}


def references(entry: Any) -> list[str]:
    """The titles and years of an entry's references, or of the class that it derives from, as Markdown links."""
    for described in inspect.getmro(entry) if inspect.isclass(entry) else [entry]:
        section = re.search(r"References:\n((?: +.*\n?)+)", inspect.cleandoc(described.__doc__ or ""))
        if section:
            break
    else:
        return []
    found = [""]
    for line in map(str.strip, section[1].splitlines()):
        whole = re.search(r", \d{4}\b", found[-1]) and found[-1].count("(") == found[-1].count(")")
        begins = whole and not line.startswith(("(", "http"))
        found = [*found, line] if begins else [*found[:-1], f"{found[-1]} {line}".strip()]
    links = []
    for text in found:
        title, year, url = text.partition(",")[0], re.search(r", (\d{4})\b", text), re.search(r"https?://[^\s)]+", text)
        name = f"{title}, {year[1]}" if year else title
        links.append(f"[{name}]({url[0].rstrip(',')})" if url else name)
    return links


def row(name: str, entry: Any) -> list[str]:
    settings, about = registry.settings(entry), registry.about(entry).rstrip(":,").replace("*", "\\*")
    cells = (f"`{name}`", settings and f"`{settings}`", about, "; ".join(references(entry)))
    return [cell.replace("|", "\\|") for cell in cells]


def table(kind: str) -> list[str]:
    """The table of a kind; a column in which no entry has anything is left out."""
    built_in = registry.registry(kind).built_in
    rows = [["name", "settings", "what it is", "paper"], *(row(name, entry) for name, entry in built_in.items())]
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    lines = ["| " + " | ".join(cells) + " |" for cells in zip(*columns, strict=True)]
    return [lines[0], "|---" * len(columns) + "|", *lines[1:]]


def page() -> str:
    """The whole page in Markdown."""
    lines = [HEAD]
    for kind, (heading, option) in OPTIONS.items():
        lines += [f"## {heading}", "", option, "", *table(kind), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
