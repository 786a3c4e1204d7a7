"""The pictures of a page, and what to look for in each."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

from interalia.reports.plots import DPI
from interalia.reports.words import Json, facts_of, texts
from interalia.runs.folder import Folder

# drawn, at plots' DPI, and not to be pixelated
LINES = ("curves.png", "measures.png", "plane.png", "plane_to_a.png", "plane_to_b.png")


def figures(home: Folder, section: str, **said: str) -> str:
    """The figures of a section of the page that there are, with what is `said` filled into their words."""
    shown = ""
    for pattern, about in texts(section).items():
        for path in sorted(home.figures.glob(pattern), key=lambda path: (len(path.name), path.name)):
            title = about["title"].format(**said).replace("*", path.stem.partition("_")[2])
            caption = about["caption"].format(**said)
            shown += f"<figure><h3>{escape(title)}</h3>{image(path, f'{title}. {caption}')}"
            shown += f"<figcaption>{escape(caption)}</figcaption></figure>"
    return shown


def pictures(home: Folder, run: Json) -> str:
    shown, known = figures(home, "pictures"), facts_of(run)["can"]
    if not shown:
        return "<p>There are none yet.</p>"
    lacking = known is not None and not {"Infers", "Translates"} & set(known)
    note = "<p>This game has no encoder, so there are no reconstructions or interpolations.</p>" if lacking else ""
    return note + shown


def image(path: Path, alt: str, kind: str = "pixels") -> str:
    content = path.read_bytes()
    width = ""
    if path.name in LINES:
        kind = "lines"
        width = f' width="{round(int.from_bytes(content[16:20], "big") * 96 / DPI)}"'  # where PNG keeps the width
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<img class="{kind}"{width} alt="{escape(alt)}" src="{source}">'
