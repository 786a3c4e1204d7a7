"""What a task answers to a person: arrays, a figure as data, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Figure:
    """A figure that is not drawn yet.

    Attributes:
        kind: the function of `interalia.reports.plots` that draws it.
        arguments: that function's arguments but for the path.
    """

    kind: Literal["grid", "single", "pairs", "cycles", "traversals", "interpolations"]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """The answer of a task: the command line writes it to a file, a page shows it (see `interalia.reports.showing`).

    Attributes:
        say: what it is, in one line; then what was measured on it, a line each.
        arrays: the results by name.
        figure: the picture of all of them; None where x are no images.
        parts: the pictures of a folder, by name; empty where there is nothing to be written one by one.
    """

    say: str
    arrays: Mapping[str, NDArray[Any]]
    figure: Figure | None = None
    parts: Mapping[str, Figure] = field(default_factory=dict)


def to_numpy(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors as arrays, lists of tensors as lists of arrays, and all else as it is."""
    return {
        name: value.numpy()
        if isinstance(value, torch.Tensor)
        else [part.numpy() for part in value]
        if isinstance(value, list) and value and isinstance(value[0], torch.Tensor)
        else value
        for name, value in values.items()
    }
