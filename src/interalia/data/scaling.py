"""Invertible maps from data in their own units to the numbers that networks take, fitted on training data.

The maps are in `KINDS`: "min-max" to [0, 1]; "standard" to mean 0 and standard deviation 1; "quantile" to [0, 1] by the ranks
of the training data. Each is fitted on all numbers together or on each channel or column alone. Statistics are float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from interalia.errors import UserError, check_choice
from interalia.registry import parse

Array = NDArray[Any]
Support = Literal["unit", "real"]

KINDS = ("min-max", "standard", "quantile")
PER = ("all", "channel")
MOST_RANKED = 10_000  # examples that quantiles are computed from
KNOTS = 257  # quantiles that the map "quantile" is piecewise linear between
CHUNK = 512  # examples whose statistics are computed at a time
UNEVEN = (
    10.0  # ratio of the largest deviation of a channel to the smallest one, from which "auto" scales each channel alone
)
QUARTER = 0.25  # of the range of uint8, or of [0, 1], that images use more of to stay as they are
SMALLEST = 0.01  # scale of a column, as a share of the largest one, below which it would not be learned
MODERATE = (0.1, 10.0)  # standard deviations of the columns of vectors and signals that stay as they are


@dataclass(frozen=True)
class Statistics:
    """The statistics of the training data, of each channel or column, as float64 arrays of shape (channels,).

    Attributes:
        low: the smallest number.
        high: the largest number.
        mean: the mean.
        std: the standard deviation, of the numbers as a population.
    """

    low: Array
    high: Array
    mean: Array
    std: Array

    @property
    def pooled(self) -> Statistics:
        """The statistics of all channels together, arrays of shape (1,); all channels have equally many numbers."""
        mean = self.mean.mean()
        variance = (self.std**2 + (self.mean - mean) ** 2).mean()
        return Statistics(*(np.array([v]) for v in (self.low.min(), self.high.max(), mean, np.sqrt(variance))))


@dataclass(frozen=True)
class Scaling:
    """An invertible map of data x in their own units to y, and the type of the data.

    min-max and standard are affine, y = (x - offset) / span. quantile is piecewise linear between pairs (knot, share): the
    share of the training data below the knot. Beyond the ends, the end pieces go on. A channel whose training data are
    constant becomes 0, and the inverse returns its constant.

    Attributes:
        kind: "min-max", "standard" or "quantile".
        per: "channel" if each channel or column has its own numbers; "all" if they are common.
        dtype: NumPy's name of the type of the data, such as "uint16", which the inverse returns.
        offset: of min-max the smallest number, of standard the mean: one number for each channel, or one alone.
        span: of min-max the largest number minus the smallest, of standard the standard deviation; 0 for a constant channel.
        knots: of quantile the quantiles of each channel, ascending; empty for the other maps.
        shares: of quantile the share of the data below each knot, in [0, 1].

    Example:
        >>> scaling = fit(np.array([[0.0], [4.0]]), "min-max")
        >>> scaling.apply(np.array([[1.0]])), scaling.invert(np.array([[0.25]]))
        (array([[0.25]], dtype=float32), array([[1.]]))
    """

    kind: str
    per: str
    dtype: str
    offset: tuple[float, ...]
    span: tuple[float, ...]
    knots: tuple[tuple[float, ...], ...] = ()
    shares: tuple[tuple[float, ...], ...] = ()

    @property
    def support(self) -> Support:
        """The range of y on the training data: "unit", [0, 1], or, for the kind "standard", "real"."""
        return "real" if self.kind == "standard" else "unit"

    def apply(self, x: Array) -> Array:
        """Returns y for data x, shape (n, channels, ...), as float32 in the shape of x."""
        if self.kind == "quantile":
            return self._through(x, self.knots, self.shares).astype(np.float32)
        offset, span = self._columns(x.ndim)
        safe = np.where(span > 0, span, 1.0)
        return np.where(span > 0, (x.astype(np.float64) - offset) / safe, 0.0).astype(np.float32)

    def invert(self, y: Array) -> Array:
        """Returns data x in their own units and type for y, shape (n, channels, ...), in the shape of y.

        Integers are rounded and limited to the range of their type; bool is True from 0.5 on.
        """
        if self.kind == "quantile":
            x = self._through(y, self.shares, self.knots)
        else:
            offset, span = self._columns(y.ndim)
            x = y.astype(np.float64) * span + offset
        return as_type(x, self.dtype)

    def _columns(self, ndim: int) -> tuple[Array, Array]:
        """Returns `offset` and `span` as float64 arrays that broadcast with data of `ndim` axes, channels being axis 1."""
        shape = (1, -1, *[1] * (ndim - 2))
        return np.array(self.offset).reshape(shape), np.array(self.span).reshape(shape)

    def _through(self, values: Array, sources: tuple[Any, ...], targets: tuple[Any, ...]) -> Array:
        """Returns values mapped piecewise linearly from the points in `sources` to those in `targets`, float64.

        Arguments:
            values: shape (n, channels, ...).
            sources: the ascending points of each channel, or one tuple for all channels.
            targets: their images under the map, of the same lengths.
        """
        channels = values.shape[1]
        found = np.empty(values.shape)
        for c in range(channels):
            i = c if len(sources) > 1 else 0
            found[:, c] = piecewise(values[:, c].astype(np.float64), np.array(sources[i]), np.array(targets[i]))
        return found

    def values(self) -> dict[str, Any]:
        """Returns the fields by name, as values of JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    def describe(self, names: tuple[str, ...] = (), word: str = "channel") -> str:
        """Returns a phrase on the map, such as "scaled from 0 ... 4095 (uint16) to [0, 1] (min-max)".

        Arguments:
            names: the names of columns, which constant ones are listed by; empty to list their numbers from 0.
            word: the noun for a channel, such as "column" for vectors.
        """
        each = f" of each {word}" if self.per == "channel" else ""
        constant = [names[i] if names else str(i) for i, span in enumerate(self.span) if not span]
        if self.kind == "standard":
            text = f"standardized to mean 0 and deviation 1{each}"
            text += "" if self.per == "channel" else f" (mean {self.offset[0]:.5g}, deviation {self.span[0]:.5g})"
        else:
            low, high = min(self.offset), max(a + b for a, b in zip(self.offset, self.span, strict=True))
            text = f"scaled from {low:.6g} ... {high:.6g} to [0, 1] ({self.kind}{each})"
        return f"{text}, {self.dtype}" + (f"; constant: {', '.join(constant)}" if constant else "")


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, type and, if it is a category, the texts or numbers that it may have.

    Attributes:
        name: the name of the column.
        dtype: the type of its values in the table, as NumPy or pandas name it, such as "int64", "float64", "str" or "bool".
        categories: the different values of a category, as text, in the order of their one-hot components; empty for a column
            of numbers, which is one component.
        filled: the text of the value that missing ones were replaced by in training; None if there were none.
    """

    name: str
    dtype: str
    categories: tuple[str, ...] = ()
    filled: str | None = None

    @property
    def size(self) -> int:
        """The number of components of a row that the column takes: 1, or the number of categories."""
        return len(self.categories) or 1


@dataclass(frozen=True)
class Units:
    """How the numbers that networks take are converted to the data's own units, types and columns.

    Attributes:
        scaling: the scaling of the data; None for data that are as they were read.
        columns: the columns of a table, whose rows are vectors of their components in this order; empty for other data.
        dtype: the type of arrays that were not scaled, such as "uint8"; empty if it is not known. It is not compared.
    """

    scaling: Scaling | None = None
    columns: tuple[Column, ...] = ()
    dtype: str = field(default="", compare=False)

    def invert(self, y: Array) -> Array:
        """Returns examples in the data's own units and type, in the shape of y; the one-hot components of a table stay.

        Arguments:
            y: examples as networks return them, shape (n, channels, ...).
        """
        if self.scaling:
            return self.scaling.invert(y)
        bytes_of_images = self.dtype == "uint8" and y.ndim > 3 and y.dtype != np.uint8
        return as_type(y * 255.0 if bytes_of_images else y, self.dtype) if self.dtype else y

    def apply(self, x: Array) -> Array:
        """Returns examples in their own units, shape (n, channels, ...), as networks take them, float32."""
        if self.scaling:
            return self.scaling.apply(x)
        return x.astype(np.float32) / np.float32(255 if x.dtype == np.uint8 and x.ndim > 3 else 1)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """True if there are as many columns, and as many offsets of the scaling, as examples of this shape need."""
        sizes = [len(self.scaling.offset)] * (self.scaling.per == "channel") if self.scaling else []
        sizes += [sum(column.size for column in self.columns)] * bool(self.columns)
        return all(size == shape[0] for size in sizes) and not (self.columns and len(shape) != 1)

    def values(self) -> dict[str, Any]:
        """Returns the fields as values of JSON, without those that are empty; `restore` makes the object of them."""
        columns = [{**vars(column), "categories": list(column.categories)} for column in self.columns]
        found = {"scaling": self.scaling.values() if self.scaling else {}, "columns": columns, "dtype": self.dtype}
        return {key: value for key, value in found.items() if value}


def restore(values: Mapping[str, Any]) -> Units | None:
    """Returns the `Units` of values of JSON that `Units.values` returned; None for an empty mapping.

    Raises:
        UserError: they are not those of a `Units`.

    Example:
        >>> one = Units(fit(np.arange(12).reshape(6, 2), "standard", "channel"))
        >>> restore(one.values()) == one, restore({})
        (True, None)
    """
    if not values:
        return None

    def frozen(value: Any) -> Any:
        """Returns lists, and lists in them, as tuples; other values unchanged."""
        return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value

    try:
        fields = {key: frozen(value) for key, value in values.get("scaling", {}).items()}
        scaling = Scaling(**fields) if fields else None
        columns = tuple(Column(**{key: frozen(part) for key, part in one.items()}) for one in values.get("columns", ()))
        msgspec.convert([vars(column) for column in columns], list[Column])  # the types of the fields
        msgspec.convert(scaling and vars(scaling), Scaling | None)
        found = Units(scaling, columns, str(values.get("dtype", "")))
        check_numbers(found)
    except (TypeError, ValueError, AttributeError, msgspec.ValidationError) as error:
        reason = str(error).replace("`", "")
        raise UserError(f"the units of the data in this file are damaged ({reason}); restore that file.") from None
    return found


def check_numbers(units: Units) -> None:
    """Raises a ValueError or TypeError if the numbers, types or categories of units from a file do not belong together."""
    check_type(units.dtype or "uint8")
    if scaling := units.scaling:
        check_choice("scale", scaling.kind, KINDS)
        check_choice("per", scaling.per, PER)
        check_type(scaling.dtype)
        many = (scaling.offset, scaling.span, *scaling.knots, *scaling.shares)
        if not all(np.isfinite(np.array(numbers, dtype=np.float64)).all() for numbers in many):
            raise ValueError("a number is not finite")
        count, maps = len(scaling.offset), [*scaling.knots, *scaling.shares]
        sizes = [count] if scaling.per == "channel" else [1]
        pairs = [len(knots) == len(shares) > 0 for knots, shares in zip(scaling.knots, scaling.shares, strict=True)]
        if (
            [len(scaling.span)] != sizes
            or [count] != sizes
            or len(pairs) != (count if scaling.kind == "quantile" else 0)
            or not all(pairs)
            or min(scaling.span) < 0
            or any(list(points) != sorted(points) for points in maps)
        ):
            raise ValueError("the numbers of its scaling do not belong together")
    for column in units.columns:
        if len(set(column.categories)) < len(column.categories):
            raise ValueError(f"the column {column.name!r} has a category twice")
        if not column.categories:
            check_type(column.dtype)
            if column.filled is not None and column.filled not in ("True", "False"):
                float(column.filled)


def check_type(name: str) -> None:
    """Raises a ValueError or TypeError if a name is not that of a type of numbers of NumPy, or of bool."""
    if np.dtype(name).kind not in "buif":
        raise ValueError(f"{name} is no type of numbers")


def as_type(x: Array, dtype: DTypeLike) -> Array:
    """Returns numbers as the type `dtype`: rounded and limited to its range if it is an integer, and `x >= 0.5` for bool.

    Example:
        >>> as_type(np.array([-3.0, 1.6, 300.0]), "uint8"), as_type(np.array([0.4, 0.6]), "bool")
        (array([  0,   2, 255], dtype=uint8), array([False,  True]))
    """
    kind = np.dtype(dtype)
    if kind == np.bool_:
        return x >= 0.5
    if kind.kind in "ui":
        limits = np.iinfo(kind)
        high = np.nextafter(float(limits.max), 0) if float(limits.max) > limits.max else limits.max  # 2^64 is no uint64
        return np.rint(x).clip(limits.min, high).astype(kind)
    return x.astype(kind)


def piecewise(x: Array, points: Array, images: Array) -> Array:
    """Returns the images of x under the piecewise linear map through pairs (point, image), whose end pieces go on beyond.

    Arguments:
        x: numbers, float64, of any shape.
        points: ascending numbers; if there is one alone, all of x get its image.
        images: their images.
    """
    if len(points) == 1:
        return np.full(x.shape, images[0])
    i = np.clip(np.searchsorted(points, x, side="right") - 1, 0, len(points) - 2)
    share = (x - points[i]) / (points[i + 1] - points[i])
    return images[i] * (1 - share) + images[i + 1] * share  # exact at both ends of a piece


def check_finite(x: Array, label: str) -> None:
    """Raises a UserError if numbers are NaN or, as float32, infinite; the message has how many, and the place of the first.

    Arguments:
        x: examples, shape (n, channels, ...), of which a part is read at a time.
        label: their name in the message.
    """
    wrong, first = 0, ""
    for start in range(0, len(x) if x.dtype.kind == "f" else 0, CHUNK):
        with np.errstate(over="ignore", invalid="ignore"):
            places = np.argwhere(~np.isfinite(x[start : start + CHUNK].astype(np.float32)))
        if len(places) and not first:
            i, *j = (int(place) for place in places[0] + [start, *[0] * (x.ndim - 1)])
            column = f", column {', '.join(map(str, j))}" if x[0].size > 1 else ""
            first = f"{x[i, *j]} in row {i}{column} (counted from 0)"
        wrong += len(places)
    if wrong:
        raise UserError(
            f"{label} holds NaN or infinity in {wrong:,} of {x.size:,} places; remove or replace those rows, or rescale "
            f"numbers beyond float32: the first is {first}."
        )


def statistics(x: Array, index: Array | None = None) -> Statistics:
    """Returns the statistics of each channel or column of training data, a part of which is read at a time.

    Arguments:
        x: finite numbers of any type, or bool, shape (n, channels, ...).
        index: the indices of the training examples in x, shape (m,); None for all.
    """
    axes, total = (0, *range(2, x.ndim)), len(x) if index is None else len(index)
    count, low, high, mean, squares = 0, np.array(np.inf), np.array(-np.inf), np.array(0.0), np.array(0.0)
    for start in range(0, total, CHUNK):
        rows = slice(start, start + CHUNK) if index is None else index[start : start + CHUNK]
        chunk = x[rows].astype(np.float64)
        low, high = np.minimum(low, chunk.min(axes)), np.maximum(high, chunk.max(axes))
        size = chunk[:, 0].size
        delta = chunk.mean(axes) - mean  # the parallel algorithm of Chan and others: no difference of large sums
        squares = squares + chunk.var(axes) * size + delta**2 * count * size / (count + size)
        count, mean = count + size, mean + delta * size / (count + size)
    return Statistics(low, high, mean, np.sqrt(squares / count))


def check_scales(
    x: Array, name: str, label: str, names: Sequence[str] = (), chosen: NDArray[np.bool_] | None = None
) -> None:
    """Raises a UserError if examples that are not scaled are images beyond [0, 1] or columns of very unequal deviations.

    Arguments:
        x: the data, shape (n, channels, ...).
        name: "vector", "signal", "image" or "volume".
        label: the name of the data in the message.
        names: the names of the chosen columns of vectors; empty to count them from 0.
        chosen: True for each column of vectors that is checked, shape (channels,); None for all.
    """
    if x.dtype == np.uint8 and name in ("image", "volume"):
        return
    found = statistics(x)
    if chosen is not None:
        found = Statistics(*(one[chosen] for one in vars(found).values()))
    if name in ("image", "volume"):
        low, high = found.low.min(), found.high.max()
        if not 0 <= low <= high <= 1:
            raise UserError(
                f"{label} holds numbers from {low:g} to {high:g}, and expected were images as uint8 or as numbers in [0, 1]; "
                f"rescale them all alike."
            )
    elif name == "vector":
        span = found.high - found.low
        least = int(np.where(span > 0, found.std, np.inf).argmin())
        if all(one[least] < SMALLEST * one.max() for one in (found.std, span)):
            most = int(found.std.argmax())
            small, large = (repr(names[i]) if names else str(i) for i in (least, most))
            raise UserError(
                f"{label} has columns of unequal scales: the standard deviation of column {small}"
                f"{'' if names else ' (counted from 0)'} is {found.std[least]:.3g}, and that of column {large} "
                f"{found.std[most]:.3g}, beside which the former would not be learned; leave `scale` out."
            )


def fit(x: Array, kind: str, per: str = "all", index: Array | None = None, found: Statistics | None = None) -> Scaling:
    """Returns the map of a kind for training data.

    Arguments:
        x: finite numbers, shape (n, channels, ...).
        kind: "min-max", "standard" or "quantile".
        per: "channel" to fit it to each channel or column alone; "all" to fit it to all together.
        index: the indices of the training examples in x, shape (m,); None for all. Quantiles are those of at most 10,000
            examples, at even distances.
        found: the statistics of the training examples; None to compute them.

    Raises:
        UserError: there is no such kind, or `per` is neither.
    """
    check_choice("scale", kind, KINDS)
    check_choice("per", per, PER)
    found = found or statistics(x, index)
    found = found if per == "channel" else found.pooled
    offset, span = (found.mean, found.std) if kind == "standard" else (found.low, found.high - found.low)
    span = np.where(span > 0, span, found.high - found.low)  # of numbers such as 1e-200, whose squares are 0
    span = np.where(found.high > found.low, span, 0.0)
    knots, shares = [], []
    if kind == "quantile":
        index = np.arange(len(x)) if index is None else index
        some = x[index[np.linspace(0, len(index) - 1, min(len(index), MOST_RANKED)).astype(int)]].astype(np.float64)
        for c, (low, high) in enumerate(zip(found.low, found.high, strict=True)):
            points, middles = quantiles(some[:, c] if per == "channel" else some, low, high)
            knots.append(points)
            shares.append(middles)
    dtype = x.dtype.name
    return Scaling(kind, per, dtype, tuple(offset.tolist()), tuple(span.tolist()), tuple(knots), tuple(shares))


def quantiles(x: Array, low: float, high: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns different quantiles of numbers, ascending, and the share of the numbers below each, from 0 to 1.

    The first is `low` and the last `high`. A number that many of x are equal to has the middle of its shares.

    Arguments:
        x: numbers, float64, of any shape.
        low: the smallest number, of x or of more data than x.
        high: the largest number.
    """
    levels = np.linspace(0, 1, KNOTS)
    numbers = np.quantile(x.ravel(), levels)
    numbers[0], numbers[-1] = low, high
    points, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    middles = levels[first] + (counts - 1) / 2 / (KNOTS - 1)
    middles[0], middles[-1] = 0.0, 1.0 if len(points) > 1 else 0.0
    return tuple(points.tolist()), tuple(middles.tolist())


def stays(x: Array, name: str) -> bool:
    """True if examples are uint8 images or volumes that use more than a quarter of 0 to 255, so that they are not scaled.

    Arguments:
        x: the training data, of which a part is read if that is enough.
        name: "vector", "signal", "image" or "volume".
    """
    low, high = 255, 0
    for start in range(0, len(x) if name in ("image", "volume") and x.dtype == np.uint8 else 0, CHUNK):
        chunk = x[start : start + CHUNK]
        low, high = min(low, int(chunk.min())), max(high, int(chunk.max()))
        if high - low > QUARTER * 255:
            return True
    return False


def choose(x: Array, name: str, text: str | Units = "auto", index: Array | None = None) -> Scaling | None:
    """Returns the map for training data that the option `scale` names; None for data that stay as they are.

    Arguments:
        x: finite numbers, shape (n, channels, ...).
        name: "vector", "signal", "image" or "volume".
        text: "auto"; "none"; or a kind, such as "min-max" or "standard(per='channel')", where per is "all" or "channel"; or
            the units of a trained game, whose map is returned.
        index: the indices of the training examples in x, shape (m,); None for all.

    Raises:
        UserError: there is no such option.
    """
    if isinstance(text, Units):
        return text.scaling
    kind, settings = parse(text, "scale")
    check_choice("scale", kind, ("auto", "none", *KINDS))
    if settings.keys() - {"per"} or (settings and kind in ("auto", "none")):
        raise UserError(f"`scale` is {text!r}; it takes one argument, as in standard(per='channel').")
    if kind == "none":
        return None
    if kind != "auto":
        return fit(x, kind, **settings, index=index)
    return automatic(x, name, index)


def automatic(x: Array, name: str, index: Array | None = None) -> Scaling | None:
    """Returns the map that suits training data, or None for data that stay as they are.

    Images and volumes stay as they are if they use more than a quarter of their range, which is 0 to 255 for uint8 and
    [0, 1] for floating-point numbers in it; else they are scaled by their smallest and largest number. Vectors and signals
    stay as they are if they are floating-point numbers, and each column or channel has a mean of -10 to 10 and a standard
    deviation of 0.1 to 10 (or a tenth of its range is that large), or if all are constant; else they are standardized,
    vectors by column. Channels whose deviations differ by more than a factor of 10 are scaled each alone.

    Arguments:
        x: finite numbers, shape (n, channels, ...).
        name: "vector", "signal", "image" or "volume".
        index: the indices of the training examples in x, shape (m,); None for all.
    """
    found = statistics(x, index)
    varying = found.std[found.high > found.low]
    uneven = len(varying) > 1 and varying.max() > UNEVEN * varying.min()
    if name in ("image", "volume"):
        low, high = float(found.low.min()), float(found.high.max())
        full = 255.0 if x.dtype == np.uint8 else 1.0
        fits = x.dtype == np.uint8 or (x.dtype.kind == "f" and low >= 0 and high <= 1)
        if fits and high - low > QUARTER * full:
            return None
        return fit(x, "min-max", "channel" if uneven else "all", index, found)
    if not len(varying):
        return None
    constant = len(varying) < len(found.std)
    size = np.maximum(found.std, (found.high - found.low) * MODERATE[0])[
        found.high > found.low
    ]  # rare events are moderate
    moderate = MODERATE[0] <= size.min() and varying.max() <= MODERATE[1]
    if x.dtype.kind == "f" and moderate and not constant and np.abs(found.mean).max() <= MODERATE[1]:
        return None
    return fit(x, "standard", "channel" if name == "vector" or uneven else "all", index, found)
