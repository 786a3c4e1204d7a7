"""What a task answers to a person: arrays, a figure as data, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

Level = Literal["upper", "lower"]  # of latents, where there are two
Interpolation = Literal["lerp", "slerp"]  # linear, and spherical on the arc
Kind = Literal["grid", "single", "pairs", "cycles", "traversals", "interpolations"]


@dataclass(frozen=True)
class Figure:
    """A figure that is not drawn yet.

    Attributes:
        kind: the function of `interalia.reports.plots` that draws it.
        arguments: that function's arguments but for the path.
    """

    kind: Kind
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class TaskResult:
    """The answer of a task: the command line writes it to a file, a page shows it (see `interalia.reports.showing`).

    Attributes:
        text: what it is, in one line; then what was measured on it, a line each.
        arrays: the results by name.
        figure: the picture of all of them; None where x are no images.
        parts: the pictures of a folder, by name; empty where there is nothing to be written one by one.
    """

    text: str
    arrays: Mapping[str, NDArray[Any]]
    figure: Figure | None = None
    parts: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def is_table(self) -> bool:
        """Whether the arrays are the columns of a table."""
        return {array.ndim for array in self.arrays.values()} == {1} and len(set(map(len, self.arrays.values()))) == 1
