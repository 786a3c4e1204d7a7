"""The sizes and color modes of images, read from the headers of files, and how images are converted for a trained game."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interalia.data import images

if TYPE_CHECKING:
    from interalia.data.scaling import Units

MODE_WORDS = {"L": "gray", "RGB": "color", "RGBA": "color with transparency", **images.NUMBERS}
FACTOR = 2  # of sizes or of aspects: above it a conversion changes images so much that the user is warned


@dataclass(frozen=True)
class Survey:
    """The sizes and color modes of images.

    Attributes:
        shapes: the (height, width) of each image.
        modes: number of images by the Pillow mode to which they can be converted without a loss: "L" (gray), "RGB",
            "RGBA", or a key of `interalia.data.images.NUMBERS` for gray images that are not of 8 bits.
    """

    shapes: Sequence[tuple[int, int]]
    modes: Mapping[str, int]

    @property
    def sides(self) -> tuple[int, int]:
        """The shortest and the longest side of all images, in pixels."""
        return min(map(min, self.shapes)), max(map(max, self.shapes))

    @property
    def median(self) -> int:
        """The median of the images' shorter sides, in pixels; the lower one of two in the middle."""
        return sorted(map(min, self.shapes))[(len(self.shapes) - 1) // 2]

    @property
    def uniform(self) -> bool:
        """True if all images have the same height and width."""
        return len(set(self.shapes)) == 1


def survey(paths: Sequence[Path | str]) -> Survey | None:
    """Reads the headers of images.

    Arguments:
        paths: images, and folders or zips of images; files of arrays and tables are passed over.

    Returns:
        Their sizes and modes; None if there are no images.

    Raises:
        UserError: a path does not exist, or a file is damaged.
    """
    found = [
        collection.read(name, images.read_header)
        for collection, name in images.list_images([path for path in paths if not images.is_array(Path(path))])
    ]
    if not found:
        return None
    return Survey([shape for _, shape, _ in found], Counter(mode for mode, _, _ in found))


def conversion(found: Survey, shape: tuple[int, ...], crop: str = "center", units: Units | None = None) -> list[str]:
    """Returns how images are converted to those that a game takes, in at most two sentences: what is changed, and a warning
    if sizes or aspects differ by more than a factor of 2. The list is empty if nothing is changed.

    Arguments:
        found: the sizes and modes of the images.
        shape: (channels, height, width) of the images of the game.
        crop: the run's field `crop`, of which only "none" (whole images, squeezed) is distinguished.
        units: the units of the data that the game was trained on, in which the numbers of gray images that are not of 8 bits
            stay as they are; None if the data were not scaled.

    Example:
        >>> conversion(Survey([(64, 64), (100, 128)], {"RGB": 2}), (1, 28, 28))[0]
        '2 images converted: color to gray, 64x64..128x100 cropped and resized to 28x28'
    """
    _, height, width = shape
    mode = images.input_mode(shape, units)
    others = [one for one in found.modes if mode in images.MODES.values() and one != mode]
    changes = [f"{MODE_WORDS[one]} to {MODE_WORDS[mode]}" for one in others]
    warning = []
    if other := [one for one in found.shapes if one != (height, width)]:
        least, most = (
            f"{w}x{h}" for h, w in (min(other, key=lambda s: s[0] * s[1]), max(other, key=lambda s: s[0] * s[1]))
        )
        aspects = [w * height / (h * width) for h, w in other]
        sizes = [min(h / height, w / width) for h, w in other]
        cropped = crop != "none" and any(abs(h * width - w * height) >= max(height, width) for h, w in other)
        span = least if least == most else f"{least}..{most}"
        changes.append(f"{span} {'cropped and resized' if cropped else 'resized'} to {width}x{height}")
        far = [
            name
            for name, ratios in (("sizes", sizes), ("aspect ratios", aspects))
            if max(max(ratios), 1 / min(ratios)) > FACTOR
        ]
        if far:
            warning = [
                f"warning: {' and '.join(far)} differ by more than a factor of {FACTOR} from the model's images, "
                "which may be of another kind"
            ]
    count = f"{len(found.shapes):,} image{'s' * (len(found.shapes) != 1)}"
    return [f"{count} converted: {', '.join(changes)}", *warning] if changes else []
