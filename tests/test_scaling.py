"""Scalings of data: fitted on training data, inverse up to rounding, types kept, constant channels, what stays as it is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from interalia.data import scaling
from interalia.data.scaling import (
    KINDS,
    PER,
    Column,
    Scaling,
    Units,
    as_type,
    automatic,
    check_finite,
    choose,
    fit,
    restore,
    statistics,
    stays,
)
from interalia.errors import UserError
from interalia.runs.folder import check_units
from interalia.spaces import DataSpec

RANDOM = np.random.default_rng(0)
SHAPES = ((5,), (2, 31), (1, 6, 7), (3, 4, 5), (2, 3, 4, 5))


def data(shape: tuple[int, ...], dtype: str = "float32", n: int = 700) -> Any:
    """Skewed numbers, of which each channel has another size and place."""
    x = RANDOM.gamma(1.5, size=(n, *shape))
    channels = np.arange(1, shape[0] + 1).reshape(-1, *[1] * (len(shape) - 1))
    x = x * 40 * channels**2 - 30 * channels
    return as_type(x, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "uint16", "int64"])
@pytest.mark.parametrize("per", PER)
@pytest.mark.parametrize("kind", KINDS)
def test_the_inverse_returns_the_data_in_their_type(kind: str, per: str, dtype: str) -> None:
    for shape in SHAPES:
        x = data(shape, dtype)
        one = fit(x[:400], kind, per)
        y = one.apply(x)
        assert y.dtype == np.float32
        assert y.shape == x.shape
        back = one.invert(y)
        assert back.dtype == x.dtype
        if x.dtype.kind in "ui":
            assert (back == x).all()
        else:  # the rounding of y to float32, at the map's steepest piece
            steepest = max(
                [*one.span, *(np.diff(k).max() / np.diff(s).min() for k, s in zip(one.knots, one.shares, strict=True))]
            )
            assert np.abs(back - x).max() <= 2e-7 * (steepest * max(1, np.abs(y).max()) + np.abs(x).max())


@pytest.mark.parametrize("per", PER)
def test_the_maps_are_those_of_their_names(per: str) -> None:
    x = data((3, 50))
    axes = (0, 2) if per == "channel" else None
    small, standard, quantile = (fit(x, kind, per).apply(x) for kind in KINDS)
    for y in (small, quantile):
        assert np.allclose(y.min(axes), 0, atol=1e-7)
        assert np.allclose(y.max(axes), 1)
    assert np.allclose(standard.mean(axes, dtype=np.float64), 0, atol=1e-5)
    assert np.allclose(standard.std(axes, dtype=np.float64), 1, atol=1e-5)
    for level in (0.1, 0.5, 0.9):  # uniform
        assert np.allclose((quantile < level).mean(axes), level, atol=0.005)
    expected = x.min(axes, keepdims=True), x.max(axes, keepdims=True)
    assert np.allclose(small, (x - expected[0]) / (expected[1] - expected[0]), atol=1e-6)


def test_it_is_fitted_on_the_training_data_alone_and_goes_on_beyond_them() -> None:
    train = np.array([[0.0], [10.0], [5.0], [7.0]])
    for kind in ("min-max", "quantile"):
        y = fit(train, kind).apply(np.array([[-5.0], [20.0]]))
        assert y[0] < 0
        assert y[1] > 1
        assert np.allclose(fit(train, kind).invert(y), [[-5.0], [20.0]], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_column_is_zero_and_returns_its_constant(kind: str) -> None:
    x = data((4,), "float64")
    x[:, 2] = 1e6 + 0.5
    one = fit(x, kind, "channel")
    assert not one.apply(x)[:, 2].any()
    noisy = one.apply(x) + np.float32(0.3)
    assert (one.invert(noisy)[:, 2] == 1e6 + 0.5).all()
    assert one.describe(("a", "b", "c", "d")).endswith("; constant: c")
    everywhere = fit(np.full((9, 2, 3), 4, np.uint8), kind)
    assert not everywhere.apply(np.full((9, 2, 3), 4, np.uint8)).any()
    assert (everywhere.invert(np.ones((1, 2, 3), np.float32)) == 4).all()


def test_statistics_are_float64() -> None:
    """In float32 the deviation around a mean of a million would be lost."""
    x = (1e6 + RANDOM.standard_normal((5000, 3)) * [0.01, 1, 100]).astype(np.float64)
    found = statistics(x)
    assert np.allclose(found.mean, x.mean(0), rtol=1e-14)
    assert np.allclose(found.std, x.std(0), rtol=1e-9)
    assert (found.low == x.min(0)).all()
    assert (found.high == x.max(0)).all()
    assert np.allclose(found.pooled.std, x.std(), rtol=1e-9)
    volumes = data((2, 3, 4, 5), "float64", 1100)  # more than a chunk
    assert np.allclose(statistics(volumes).std, volumes.std((0, 2, 3, 4)), rtol=1e-12)


@pytest.mark.parametrize(("kind", "per"), [(kind, per) for kind in KINDS for per in PER])
def test_it_survives_json(kind: str, per: str) -> None:
    x = data((3, 4), "int32")
    one = fit(x, kind, per)
    columns = (Column("a", "int64"), Column("b", "str", ("x", "y"), "x"))
    for units in (Units(one), Units(one, columns), Units(None, columns)):
        again = restore(json.loads(json.dumps(units.values())))
        assert again == units
    again = restore(json.loads(json.dumps(Units(one).values())))
    assert again is not None
    assert again.scaling is not None
    assert (again.scaling.apply(x) == one.apply(x)).all()
    assert (again.invert(one.apply(x)) == x).all()


@pytest.mark.parametrize(
    "change",
    [{"kind": "log"}, {"dtype": "nothing"}, {"offset": None}, {"more": 1}, {"span": ["x"]}, {"offset": [np.nan]}],
)
def test_a_damaged_description_is_refused(change: dict[str, Any]) -> None:
    values = fit(data((2,)), "standard").values() | change
    with pytest.raises(UserError):
        restore({"scaling": values})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "change",
    [
        {"per": 7}, {"dtype": "U5"}, {"offset": [0.0]}, {"span": [1.0]}, {"span": [1.0, -1.0]}, {"knots": [[0.0, 1.0]]},
        {"knots": [[1.0, 0.0], [0.0, 1.0]], "shares": [[0.0, 1.0], [0.0, 1.0]]}, {"knots": [[]], "shares": [[]]},
        {"kind": "quantile", "knots": [], "shares": []}, {"offset": "ab"},
    ],
)  # fmt: skip
def test_a_scaling_whose_numbers_do_not_belong_together_is_refused(kind: str, change: dict[str, Any]) -> None:
    values = fit(data((2,)), kind, "channel").values()
    assert restore({"scaling": values}) is not None
    with pytest.raises(UserError, match="the units of the data in this file are damaged"):
        restore({"scaling": values | change})


@pytest.mark.parametrize(
    "change",
    [
        {"name": 5}, {"dtype": "zzz"}, {"dtype": "O"}, {"categories": [1, 2]}, {"categories": ["a", "a"]}, {"filled": "abc"},
        {"filled": ["1"]}, {"categories": "ab"},
    ],
)  # fmt: skip
def test_a_damaged_column_is_refused(change: dict[str, Any]) -> None:
    column = {"name": "a", "dtype": "int64", "categories": [], "filled": "3"}
    assert restore({"columns": [column]}) == Units(None, (Column("a", "int64", (), "3"),))
    with pytest.raises(UserError, match="the units of the data in this file are damaged"):
        restore({"columns": [column | change]})


def test_units_fit_the_shape_of_an_example() -> None:
    table = Units(None, (Column("a", "int64"), Column("b", "str", ("x", "y"))))
    check_units(DataSpec((3,), units=table.values()))
    with pytest.raises(ValueError, match=r"the units of its data do not fit examples of the shape .4"):
        check_units(DataSpec((4,), units=table.values()))
    assert [table.fits(shape) for shape in ((3,), (2,), (3, 1, 1))] == [True, False, False]
    for per, fitting in (("all", [True, True]), ("channel", [True, False])):
        units = Units(fit(data((2, 4, 4)), "standard", per))
        assert [units.fits(shape) for shape in ((2, 8, 8), (3, 4, 4))] == fitting


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e39])
def test_numbers_that_are_not_finite_are_refused_with_their_place(wrong: float) -> None:
    x = data((2, 3), "float64")
    x[612, 1, 2] = wrong
    x[699, 0, 0] = wrong
    message = (
        r"^x in a\.npy holds NaN or infinity in 2 of 4,200 places; .*: the first is \S+ in row 612, column 1, 2 \("
    )
    with pytest.raises(UserError, match=message):
        check_finite(x, "x in a.npy")
    check_finite(x[:600], "x")


def test_integers_are_rounded_and_limited_to_their_type() -> None:
    x = np.array([-1e30, -0.6, 0.4, 254.7, 1e30])
    for dtype in ("uint8", "int16", "uint64", "int64"):
        limits = np.iinfo(dtype)
        found = as_type(x, dtype)
        assert found.dtype == dtype
        assert found[2] == 0
        assert found[3] == 255
        assert found[1] == max(-1, limits.min)
        assert found[0] == limits.min
        assert limits.max - int(found[-1]) <= 2**11  # float64 has no number nearer to 2^64
    mask = fit(np.array([[0], [1]], bool), "min-max")
    assert mask.invert(np.array([[0.2], [0.7]])).tolist() == [[False], [True]]


@pytest.mark.parametrize(
    ("low", "high", "dtype", "kind"),
    [
        (0, 255, "uint8", None),
        (100, 165, "uint8", None),
        (100, 163, "uint8", "min-max"),  # a quarter of the range
        (0, 1, "uint8", "min-max"),  # masks
        (0, 1, "bool", "min-max"),
        (0, 4095, "uint16", "min-max"),
        (0, 65535, "uint16", "min-max"),
        (-1024, 3071, "int16", "min-max"),
        (-1024, 3071, "float32", "min-max"),
        (0, 1, "float32", None),
        (0.2, 0.5, "float64", None),
        (0.2, 0.4, "float64", "min-max"),
        (-1, 1, "float32", "min-max"),
        (0, 255, "float32", "min-max"),
        (0, 1, "int32", "min-max"),
    ],
)
def test_which_images_stay_as_they_are(low: float, high: float, dtype: str, kind: str | None) -> None:
    x = np.zeros((50, 1, 4, 4)) + low
    x[:, :, :2] = high
    x = x.astype(dtype)
    for name, array in (("image", x), ("volume", x[:, :, None])):
        found = automatic(array, name)
        assert (found and found.kind) == kind
        if found:
            assert (found.offset, found.span, found.dtype) == ((low,), (high - low,), dtype)


def test_which_vectors_and_signals_stay_as_they_are() -> None:
    moderate = RANDOM.standard_normal((300, 4)) * [0.5, 1, 2, 3] + [0, 1, -2, 5]
    assert automatic(moderate, "vector") is None
    assert automatic(moderate[:, None].repeat(3, 1), "signal") is None
    for change in (moderate * 100, moderate * [1, 1, 1, 100], moderate + 1e5, moderate * [1, 1, 0, 1]):
        found = automatic(change, "vector")
        assert found is not None
        assert (found.kind, found.per) == ("standard", "channel")
    integers = automatic((moderate * 20).astype(np.int64), "vector")
    assert integers is not None
    assert integers.dtype == "int64"
    signals = RANDOM.standard_normal((300, 2, 16)) * 50
    even, uneven = automatic(signals, "signal"), automatic(signals * [[1], [11]], "signal")
    assert even is not None
    assert uneven is not None
    assert (even.per, uneven.per) == ("all", "channel")


def test_bands_of_very_different_size_are_scaled_alone() -> None:
    x = RANDOM.uniform(0, 1, (60, 3, 5, 5)) * np.array([1, 100, 10_000]).reshape(1, 3, 1, 1)
    found = automatic(x, "image")
    assert found is not None
    assert found.per == "channel"
    assert np.allclose(found.apply(x).max((0, 2, 3)), 1)


def test_what_was_found_is_said() -> None:
    ct = np.array([[-1024], [3071]], np.int16)
    assert fit(ct, "min-max").describe() == "scaled from -1024 ... 3071 to [0, 1] (min-max), int16"
    standard = Scaling("standard", "all", "float32", (2.5,), (10.0,))
    assert standard.describe() == "standardized to mean 0 and deviation 1 (mean 2.5, deviation 10), float32"
    assert fit(data((2,)), "quantile", "channel").describe().endswith("to [0, 1] (quantile of each channel), float32")


def test_the_kinds_have_a_support() -> None:
    found = {kind: fit(data((2,)), kind).support for kind in scaling.KINDS}
    assert found == {"min-max": "unit", "standard": "real", "quantile": "unit"}


def test_the_option_decides() -> None:
    x = data((3, 4, 5))
    index = np.arange(0, 700, 3)
    assert choose(x, "image", "none") is None
    assert choose(x, "image", "quantile", index) == fit(x, "quantile", "all", index)
    assert choose(x, "image", "standard(per='channel')") == fit(x, "standard", "channel")
    assert choose(x, "image") == automatic(x, "image")
    for wrong in ("log", "min-max(by='channel')", "none(per='all')", "min-max(per='row')"):
        with pytest.raises(UserError):
            choose(x, "image", wrong)


def test_statistics_of_an_index_are_those_of_its_rows() -> None:
    x, index = data((2, 5), "float64", 1500), RANDOM.permutation(1500)[:1100]
    for kind in KINDS:
        found, expected = fit(x, kind, "channel", index), fit(x[index], kind, "channel")
        assert np.allclose(found.offset, expected.offset, rtol=1e-12)
        assert np.allclose(found.span, expected.span, rtol=1e-12)
        assert found.knots == expected.knots


def test_bytes_that_use_their_range_are_not_read_to_the_end() -> None:
    x = np.zeros((1000, 1, 2, 2), np.uint8)
    assert not stays(x, "image")
    x[900] = 64
    assert stays(x, "image")
    assert stays(x[:, :, None], "volume")
    assert not stays(x[:, 0, 0], "vector")
    assert not stays(x.astype(np.uint16), "image")
