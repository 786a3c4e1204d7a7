"""The result of a task for users: arrays, a figure that is not drawn yet, and a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

Level = Literal["upper", "lower"]  # of latents, in a game with two levels
Interpolation = Literal["lerp", "slerp"]  # linear, spherical
Kind = Literal["grid", "save_image", "pairs", "cycles", "traversals", "interpolations"]


@dataclass(frozen=True)
class Figure:
    """A figure that is not drawn yet: the name of the function that draws it, and the function's arguments.

    Attributes:
        kind: the function of `interalia.reports.plots` that draws it.
        arguments: the arguments of that function, except the path.
    """

    kind: Kind
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class TaskResult:
    """The result of a task. The command line writes it to a file, a page shows it (see `interalia.reports.showing`).

    Attributes:
        text: a line that describes the result, then one line for each number that was measured, such as an accuracy.
        arrays: the arrays, by name.
        figure: the figure of all images; None if the game was not trained on images.
        parts: further figures, such as one for each image, by file name; empty if there are none.
    """

    text: str
    arrays: Mapping[str, NDArray[Any]]
    figure: Figure | None = None
    parts: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def is_table(self) -> bool:
        """True if the arrays are the columns of a table: all have one dimension and equal lengths."""
        return {array.ndim for array in self.arrays.values()} == {1} and len(set(map(len, self.arrays.values()))) == 1
