"""Converts signals, volumes and images of any number of channels to gray or RGB images, as figures show them.

A signal becomes a chart with a line for each channel, a volume a mosaic of slices, and an image of 2 or over 4 channels a
mosaic of its channels in gray.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CHART = (64, 128)  # the height and width of a chart of a signal, in pixels
SLICES = 9  # of a volume that are shown
MOST_LINES = 7  # channels of a signal that are drawn
COLORS = (1, 3, 4)  # numbers of channels that are gray, RGB and RGBA


def limits(arrays: Sequence[Array]) -> tuple[float, float]:
    """Returns the least and the largest finite number in all of the arrays, (0, 1) if there is none.

    Example:
        >>> limits([np.array([2.0, np.nan]), np.array([-1.0])])
        (-1.0, 2.0)
    """
    numbers = [array[np.isfinite(array)] for array in arrays]
    known = [(float(array.min()), float(array.max())) for array in numbers if array.size]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else (0.0, 1.0)


def as_images(x: Array, colors: Sequence[str], bounds: tuple[float, float] | None = None) -> Array:
    """Returns examples as images, shape (n, c, h, w) with c in 1, 3, 4; those that are such images already unchanged.

    Arguments:
        x: signals, (n, channels, length); images, (n, channels, height, width), or volumes, (n, channels, depth, height,
            width), both with numbers in [0, 1] or bytes.
        colors: the colors of the lines of a signal, such as "#0072B2".
        bounds: the numbers at the bottom and the top of the charts of signals; None for the least and the largest of x.

    Example:
        >>> as_images(np.zeros((2, 3, 50)), ["#000000"]).shape, as_images(np.zeros((2, 1, 9, 8, 8)), ["#000000"]).shape
        ((2, 3, 64, 128), (2, 1, 24, 24))
    """
    if x.ndim == 3:
        return charts(x, colors, bounds or limits([x]))
    if x.ndim == 5:
        channels, depth = x.shape[1:3]
        shown = np.unique(np.linspace(0, depth - 1, min(SLICES, depth)).round().astype(int))
        x = x if channels in COLORS else x.swapaxes(1, 2).reshape(len(x), 1, -1, *x.shape[3:])
        shown = shown if channels in COLORS else np.arange(x.shape[2])[: 4 * SLICES]
        return mosaic(x[:, :, shown])
    return x if x.ndim != 4 or x.shape[1] in COLORS else mosaic(x[:, None])


def mosaic(x: Array) -> Array:
    """Returns images of the slices of each example, in rows from left to right, in a nearly square picture.

    Arguments:
        x: shape (n, channels, slices, height, width).

    Returns:
        shape (n, channels, rows * height, columns * width); places without a slice are 0.
    """
    n, channels, slices, height, width = x.shape
    columns = max(1, min(slices, round(math.sqrt(slices * height / width))))
    rows = -(-slices // columns)
    full = np.zeros((n, channels, rows * columns, height, width), x.dtype)
    full[:, :, :slices] = x
    grid = full.reshape(n, channels, rows, columns, height, width).swapaxes(3, 4)
    return grid.reshape(n, channels, rows * height, columns * width)


def charts(x: Array, colors: Sequence[str], bounds: tuple[float, float]) -> Array:
    """Returns a chart of each signal, RGB in [0, 1], shape (n, 3, 64, 128), with a line for each of at most 7 channels.

    Arguments:
        x: shape (n, channels, length).
        colors: the colors of the channels, which are repeated if they are fewer.
        bounds: the numbers at the bottom and the top of a chart.
    """
    height, width = CHART
    n, _, length = x.shape
    low, high = bounds
    at = np.linspace(0, length - 1, width)
    left = np.floor(at).astype(int)
    right, share = np.minimum(left + 1, length - 1), at - left
    values = np.nan_to_num(x[:, :MOST_LINES].astype(np.float64), nan=low, posinf=high, neginf=low)
    if length > width:  # a column shows the range of its values
        edges = np.linspace(0, length, width + 1).astype(int)[:-1]
        tops, bottoms = np.maximum.reduceat(values, edges, axis=2), np.minimum.reduceat(values, edges, axis=2)
    else:
        tops = bottoms = values[..., left] * (1 - share) + values[..., right] * share

    def row_of(numbers: Array) -> Array:
        """Returns the row of the picture, from 0 at the top, in which each number lies."""
        share = (numbers - low) / (high - low) if high > low else np.full(numbers.shape, 0.5)
        return np.rint((1 - share.clip(0, 1)) * (height - 1)).astype(int)

    first, last = row_of(tops), row_of(bottoms)
    # each column reaches to the rows of the column before it, so that steep lines have no holes
    before, after = np.minimum(first[..., 1:], last[..., :-1]), np.maximum(last[..., 1:], first[..., :-1])
    first[..., 1:], last[..., 1:] = before, after
    rows, found = np.arange(height)[:, None], np.ones((n, 3, height, width))
    for c in range(first.shape[1]):
        on = (rows >= first[:, c, None]) & (rows <= last[:, c, None])
        color = np.array([int(colors[c % len(colors)][i : i + 2], 16) / 255 for i in (1, 3, 5)])
        found = np.where(on[:, None], color[:, None, None], found)
    return found
