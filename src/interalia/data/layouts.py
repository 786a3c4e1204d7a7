"""Decides which axes of an array are the examples, the channels, and the length, sides or slices of signals, images or
volumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from interalia.errors import UserError, check_choice

Name = Literal["vector", "signal", "image", "volume"]
LAYOUTS = ("auto", "signal", "image", "image-channels-last", "volume")
COLORS = (1, 3, 4)  # channels of gray, RGB and RGBA images
MOST_CHANNELS = 16  # in an array of images whose channels are known by being fewer than the pixels of a side


class Axes(NamedTuple):
    """The axes that may be the channels of an array of images with four axes.

    Attributes:
        first: True if the channels may be axis 1.
        last: True if they may be axis 3.
    """

    first: bool
    last: bool


@dataclass(frozen=True)
class Layout:
    """The layout of an array of n examples: what they are, and the axes that become their channels.

    Attributes:
        name: "vector", "signal", "image" or "volume".
        add_channel: True if the array has no axis for channels, and gets one of length 1 after the first.
        channels_last: True if the last axis is the channels, and is moved behind the first.
    """

    name: Name
    add_channel: bool = False
    channels_last: bool = False

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Returns a view of the array with the channels as axis 1: (n, d), (n, c, l), (n, c, h, w) or (n, c, d, h, w)."""
        if self.add_channel:
            return array[:, None]
        return array.transpose(0, array.ndim - 1, *range(1, array.ndim - 1)) if self.channels_last else array

    def undo(self, array: NDArray[Any]) -> NDArray[Any]:
        """Returns a view of an array that `apply` could have returned, with the axes as before."""
        if self.add_channel:
            return array[:, 0]
        return array.transpose(0, *range(2, array.ndim), 1) if self.channels_last else array

    def describe(self, shape: tuple[int, ...]) -> str:
        """Returns a phrase on the examples and the axes, such as "images of 28x28 pixels, axes (n, height, width)".

        Arguments:
            shape: the shape of one example, as `apply` returns it: (d,), (c, l), (c, h, w) or (c, d, h, w).
        """
        channels, sides = f"{shape[0]} channel{'s' * (shape[0] > 1)}", "x".join(map(str, shape[:0:-1]))
        if self.name == "vector":
            return f"vectors of {shape[0]} numbers, axes (n, numbers)"
        names = {"signal": ["length"], "image": ["height", "width"], "volume": ["depth", "height", "width"]}[self.name]
        first, last = [] if self.add_channel or self.channels_last else ["channels"], ["channels"] * self.channels_last
        what = {"signal": "values", "image": "pixels", "volume": "voxels"}[self.name]
        return f"{self.name}s of {sides} {what} and {channels}, axes ({', '.join(['n', *first, *names, *last])})"


def layout_of(array: NDArray[Any], label: str, layout: str = "auto", shape: tuple[int, ...] | None = None) -> Layout:
    """Returns the layout of an array, by its number of axes, its type and the option `layout`.

    An array (n, d) has vectors, and one (n, c, d, h, w) volumes. (n, a, b) are images (n, h, w) if the numbers are integers
    or a = b. (n, a, b, c) are images whose channels are axis 1 or the last, the one that is 1, 3 or 4 long, or shorter than
    the two others, which are equal, and at most 16 long. All other arrays need the option.

    Arguments:
        array: the array, of which the shape and the type are used.
        label: the name of the array in error messages.
        layout: "auto", or what the array has: "signal", (n, c, l); "image", (n, h, w) or (n, c, h, w);
            "image-channels-last", (n, h, w, c); "volume", (n, d, h, w) or (n, c, d, h, w).
        shape: the shape of one example that a trained game takes, (c, ...), which decides if the array fits it in one way;
            None if it is unknown.

    Raises:
        UserError: the layout is ambiguous, or the array has not the number of axes that the option needs, or there is no such
            option.
    """
    check_choice("layout", layout, LAYOUTS)
    known = fitting(array.shape, shape) if shape else None
    if layout == "auto" and known:
        return known
    name = layout.removesuffix("-channels-last")
    if layout == "auto" and shape:
        try:
            return automatic(array, label)
        except UserError:
            raise UserError(
                f"{label} has the shape {array.shape}, and expected were examples of the shape {shape}, as those that were "
                f"trained on; give such."
            ) from None
    if layout == "auto":
        return automatic(array, label)
    if name == "signal" and array.ndim == 3:
        return Layout("signal")
    if layout == "image" and array.ndim == 3:
        return Layout("image", add_channel=True)
    if name == "image" and array.ndim == 4:
        channels = channel_axes(array.shape)
        return Layout("image", channels_last=layout != name or channels == (False, True))
    if name == "volume" and array.ndim in (4, 5):
        return Layout("volume", add_channel=array.ndim == 4)
    needs = {
        "signal": "(n, channels, length)",
        "image": "(n, height, width) or (n, channels, height, width)",
        "image-channels-last": "(n, height, width, channels)",
        "volume": "(n, depth, height, width) or (n, channels, depth, height, width)",
    }
    raise UserError(
        f"{label} has the shape {array.shape}, and `layout` {layout!r} needs {needs[layout]}; leave it out."
    )


def automatic(array: NDArray[Any], label: str) -> Layout:
    """Returns the layout of an array by its shape and type alone.

    Arguments:
        array: the array.
        label: its name in error messages.

    Raises:
        UserError: it is ambiguous, or the array has under 2 or over 5 axes.
    """
    shape = array.shape
    if array.ndim == 2:
        return Layout("vector")
    if array.ndim == 5:
        return Layout("volume")
    if array.ndim == 3:
        if array.dtype.kind in "bui" or shape[1] == shape[2]:
            return Layout("image", add_channel=True)
        raise UserError(
            f"{label} has the shape {shape}, which may be images (n, height, width) or signals (n, channels, length); give "
            f"`layout='image'` or `layout='signal'`."
        )
    if array.ndim == 4:
        first, last = channel_axes(shape)
        if first != last:
            return Layout("image", channels_last=last)
        raise UserError(
            f"{label} has the shape {shape}, in which {'either' if first else 'neither'} of axis 1 and the last may be the "
            f"channels; give `layout='image'` for (n, channels, height, width), `layout='image-channels-last'` for (n, "
            f"height, width, channels), or `layout='volume'` for (n, depth, height, width)."
        )
    raise UserError(
        f"{label} has the shape {shape}; expected were vectors (n, d), signals (n, channels, length), images (n, height, "
        f"width), (n, channels, height, width) or (n, height, width, channels), or volumes (n, channels, depth, height, "
        f"width); reshape it."
    )


def channel_axes(shape: tuple[int, ...]) -> Axes:
    """Returns which axes of an array of images with the shape (n, a, b, c) may be the channels, axis 1 or the last.

    An axis may be if it is 1, 3 or 4 long, or if it is at most 16 long and shorter than the two others, which are equal.

    Example:
        >>> channel_axes((9, 8, 16, 16)), channel_axes((9, 3, 3, 3))
        (Axes(first=True, last=False), Axes(first=True, last=True))
    """
    _, a, b, c = shape
    first = a in COLORS or (b == c and a < b and a <= MOST_CHANNELS)
    return Axes(first, c in COLORS or (a == b and c < a and c <= MOST_CHANNELS))


def fitting(shape: tuple[int, ...], one: tuple[int, ...]) -> Layout | None:
    """Returns the layout in which an array has examples of a known shape; None if there is none, or more than one.

    Arguments:
        shape: the shape of the array.
        one: the shape of one example, (d,), (c, l), (c, h, w) or (c, d, h, w).

    Example:
        >>> fitting((5, 16, 16), (1, 16, 16)), fitting((5, 2, 3), (3, 2)) is None
        (Layout(name='image', add_channel=True, channels_last=False), True)
    """
    names: tuple[Name, ...] = ("vector", "signal", "image", "volume")
    if not 1 <= len(one) <= 4:
        return None
    name = names[len(one) - 1]
    found = []
    if shape[1:] == one:
        found.append(Layout(name))
    if len(one) > 2 and one[0] == 1 and shape[1:] == one[1:]:
        found.append(Layout(name, add_channel=True))
    if name == "image" and len(shape) == 4 and (shape[3], *shape[1:3]) == one and shape[1:] != one:
        found.append(Layout(name, channels_last=True))
    return found[0] if len(found) == 1 else None
