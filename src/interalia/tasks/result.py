"""The result of a task as users get it: arrays, a description of the figure that shows them, and a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

Level = Literal["upper", "lower"]  # of latents, in a game with two levels
Interpolation = Literal["lerp", "slerp"]  # linear, spherical
Kind = Literal["grid", "save_image", "pairs", "cycles", "traversals", "interpolations"]


@dataclass(frozen=True)
class Figure:
    """A figure that is not drawn yet: the name of the plotting function that draws it, and the function's arguments.

    Attributes:
        kind: the name of the function in `interalia.reports.plots`.
        arguments: the arguments of the function by name, except the path of the file to write.
    """

    kind: Kind
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class TaskResult:
    """The result of a task such as encode: arrays, a text about them, and the figures that show them, not drawn yet.

    The command line writes it to a file, and an HTML page shows it (see `interalia.reports.showing`).

    Attributes:
        text: a line that describes the result, then one line for each number that was measured, such as an accuracy.
        arrays: the arrays, by name, such as "z"; examples are in the data's own units and type, and those of a table are its
            columns.
        figure: the figure of all examples; None if there is none, as of vectors.
        parts: further figures, such as one for each image, by file name without suffix; empty if there are none.
        table: the columns of a table about the result, such as the error of each image, by name; empty if there is none.
        printed: True for a table that the command line prints if no file is named, in place of writing it.
    """

    text: str
    arrays: Mapping[str, NDArray[Any]]
    figure: Figure | None = None
    parts: Mapping[str, Figure] = field(default_factory=dict)
    table: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    printed: bool = False

    @property
    def is_table(self) -> bool:
        """True if the arrays can be the columns of a table, i.e. all have one dimension and the same length."""
        return {array.ndim for array in self.arrays.values()} == {1} and len(set(map(len, self.arrays.values()))) == 1

    def with_table(self, columns: Mapping[str, Any]) -> TaskResult:
        """Returns a copy of this result with a table: name of a column -> its values, all of one length.

        If the arrays are columns too, as those of a run that was trained on a table, they follow in it.
        """
        import numpy as np

        table = {name: np.asarray(values) for name, values in columns.items()}
        return replace(self, table=table | (dict(self.arrays) if self.is_table else {}))

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """The columns of the table that is written as CSV, by name: `table`, or the arrays if they are the columns of one.

        It is empty if there is no table.
        """
        return self.table or (self.arrays if self.is_table else {})
