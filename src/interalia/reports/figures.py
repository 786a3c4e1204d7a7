"""The pictures of a page, and what to look for in each."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from interalia.reports.plots import DPI
from interalia.reports.words import facts_of
from interalia.runs.folder import Folder

# drawn, at plots' DPI, and not to be pixelated
LINES = ("curves.png", "measures.png", "plane.png", "plane_to_a.png", "plane_to_b.png")


# fmt: off
FIGURES = [
    ("samples.png", "Samples",
     "Made from latents z drawn at random from the prior, without a look at any data. Look for: are they of the "
     "data's kind, sharp, and all different? Many alike mean that the generator has collapsed onto a few. Where p(x | "
     "z) has noise, such as that of pixels of zeros and ones, its means are shown; measures are of draws."),
    ("plane.png", "The plane",
     "Each point is one example. Samples should lie on the data: a clump of data without samples is a missed mode, "
     "samples between the clumps are of no mode. Inferred latents, where there are any, should look like draws of the "
     "prior."),
    ("manifold.png", "The plane of z",
     "What the decoder makes of a grid over the whole plane of z, evenly spaced in the prior's probability: each "
     "image stands for an equal share of the samples. Look for: do neighbours differ little, and is all of the data "
     "there?"),
    ("to_b.png", "From a to b",
     "Held-out images of domain a; below each its translation; below that the way back; and last the truth, where it "
     "is known. Look for: does the second row look like domain b, does it keep what the first row shows, and is the "
     "third row the first again? A third row that is right under a second that is wrong means that the map hides the "
     "image in traces that nobody sees, or has settled on another correspondence."),
    ("to_a.png", "From b to a",
     "The same the other way: held-out images of domain b, their translations, the way back, and the truth where it "
     "is known."),
    ("plane_to_b.png", "From a to b",
     "Each point is one example. Translations of domain a should lie where domain b does."),
    ("plane_to_a.png", "From b to a",
     "Each point is one example. Translations of domain b should lie where domain a does."),
    ("reconstructions.png", "Reconstructions",
     "Held-out originals above, and right below each what the decoder makes of the z that the encoder inferred from "
     "it. Look for: does the lower image keep what the upper one is (its class, pose, colours)? Adversarially learned "
     "inference tends to keep the meaning rather than the pixels."),
    ("reconstructions_lower.png", "Reconstructions from the lower level",
     "The same by way of the latents next to the image, which keep more of its detail than z."),
    ("edits.png", "Edits",
     "Each row is one held-out original (framed in green), decoded from its own z under other labels: one column for "
     "each label, or with one attribute after the other turned over. Look for: does the row keep its style while the "
     "label changes?"),
    ("interpolations.png", "Interpolations, linear",
     "Each row leads from one held-out original to another (both framed in green). Between them are decoded points on "
     "the straight line between their latents. Look for: a gradual change through images that could be real, not one "
     "image fading into another."),
    ("interpolations_spherical.png", "Interpolations, spherical",
     "The same pairs along an arc, which keeps to the distances from the origin where a Gaussian prior of many "
     "dimensions has its mass."),
]
# fmt: on


TRAVERSAL = (
    "In each row the rest of z is fixed and this code alone varies: from left to right each category in turn, or a number "
    "from -2 to 2 (in training, one that is uniform stays within -1 and 1). Look for: does one thing change along the rows, "
    "and the same in all of them?"
)


def pictures(home: Folder, run: Mapping[str, Any]) -> str:
    figures = [figure(home.figures / name, title, caption) for name, title, caption in FIGURES]
    figures += [
        figure(path, f"Code {path.stem.removeprefix('traversal_')}", TRAVERSAL)
        for path in sorted(home.figures.glob("traversal_*.png"), key=lambda path: (len(path.name), path.name))
    ]
    shown = [figure for figure in figures if figure]
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
