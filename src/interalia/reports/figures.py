"""The pictures of a page, and what to look for in each."""

from __future__ import annotations

import base64
import functools
import tomllib
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from interalia.reports.plots import DPI
from interalia.reports.words import facts_of
from interalia.runs.folder import Folder

# drawn, at plots' DPI, and not to be pixelated
LINES = ("curves.png", "measures.png", "plane.png", "plane_to_a.png", "plane_to_b.png")


@functools.cache
def words(section: str) -> dict[str, Any]:
    """A section of ``figures.toml``."""
    text = resources.files("interalia.reports").joinpath("figures.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)[section]


def figures(home: Folder, section: str, signs: str = "") -> list[str]:
    """The figures of a section of the page that there are."""
    return [
        figure(
            path, about["title"].replace("*", path.stem.partition("_")[2]), about["caption"].replace("{signs}", signs)
        )
        for pattern, about in words(section).items()
        for path in sorted(home.figures.glob(pattern), key=lambda path: (len(path.name), path.name))
    ]


def pictures(home: Folder, run: Mapping[str, Any]) -> str:
    shown = figures(home, "pictures")
    if not shown:
        return "<section><h2>Pictures</h2><p>There are none yet.</p></section>"
    known = facts_of(run)["can"]
    lacking = known is not None and not {"Infers", "Translates"} & set(known)
    note = "<p>This game has no encoder, so there are no reconstructions or interpolations.</p>" if lacking else ""
    return f"<section><h2>Pictures</h2>{note}{''.join(shown)}</section>"


def figure(path: Path, title: str, caption: str) -> str:
    if not path.is_file():
        return ""
    return (
        f"<figure><h3>{escape(title)}</h3>{image(path, f'{title}. {caption}')}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def image(path: Path, alt: str, kind: str = "pixels") -> str:
    content = path.read_bytes()
    width = ""
    if path.name in LINES:
        kind = "lines"
        width = f' width="{round(int.from_bytes(content[16:20], "big") * 96 / DPI)}"'  # where PNG keeps the width
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img class="{kind}"{width} alt="{escape(alt)}" src="{source}">'
