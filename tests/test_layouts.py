"""The layout of an array by its shape, type and option: a table of all cases, and refusals that name the choices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from interalia.data.layouts import LAYOUTS, Layout, channel_axes, fitting, layout_of
from interalia.errors import UserError

INTEGERS = ("bool", "uint8", "int8", "uint16", "int32", "int64")
FLOATS = ("float16", "float32", "float64")
N = 7

# shape without n -> (layout of integers, layout of floats), each the name and the shape of one example, or None if refused
TABLE = {
    (9,): (("vector", (9,)),) * 2,
    (1,): (("vector", (1,)),) * 2,
    (16, 16): (("image", (1, 16, 16)),) * 2,
    (12, 64): (("image", (1, 12, 64)), None),
    (2, 256): (("image", (1, 2, 256)), None),
    (1, 64): (("image", (1, 1, 64)), None),
    (3, 32, 32): (("image", (3, 32, 32)),) * 2,
    (32, 32, 3): (("image", (3, 32, 32)),) * 2,
    (1, 28, 20): (("image", (1, 28, 20)),) * 2,
    (28, 20, 1): (("image", (1, 28, 20)),) * 2,
    (4, 20, 30): (("image", (4, 20, 30)),) * 2,
    (20, 30, 4): (("image", (4, 20, 30)),) * 2,
    (8, 16, 16): (("image", (8, 16, 16)),) * 2,
    (16, 16, 8): (("image", (8, 16, 16)),) * 2,
    (16, 17, 17): (("image", (16, 17, 17)),) * 2,
    (17, 18, 18): (None,) * 2,  # more than 16 channels
    (20, 64, 64): (None,) * 2,  # volumes of 20 slices, or 20 channels
    (8, 16, 17): (None,) * 2,  # the two others differ
    (16, 16, 16): (None,) * 2,  # not fewer than the others
    (3, 20, 3): (None,) * 2,  # both
    (1, 28, 1): (None,) * 2,
    (4, 4, 3): (None,) * 2,
    (2, 30, 40): (None,) * 2,
    (1, 16, 16, 16): (("volume", (1, 16, 16, 16)),) * 2,
    (2, 4, 5, 6): (("volume", (2, 4, 5, 6)),) * 2,
    (1, 2, 3, 4, 5): (None,) * 2,
    (): (None,) * 2,
}
CASES = [(shape, dtype) for shape in TABLE for dtype in (*INTEGERS, *FLOATS)]


def numbered(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return np.arange(np.prod((N, *shape)), dtype="float64").reshape(N, *shape).astype(dtype)


@pytest.mark.parametrize(("shape", "dtype"), CASES, ids=str)
def test_the_table(shape: tuple[int, ...], dtype: str) -> None:
    expected = TABLE[shape][dtype in FLOATS]
    array = numbered(shape, dtype)
    if expected is None:
        with pytest.raises(UserError) as caught:
            layout_of(array, "x in a.npy")
        text = str(caught.value)
        assert text.startswith("x in a.npy has the shape")
        choices = {2: {"image", "signal"}, 3: {"image", "image-channels-last", "volume"}}.get(len(shape), set())
        assert {name for name in LAYOUTS if f"`layout='{name}'`" in text} == choices
        return
    found = layout_of(array, "x")
    assert (found.name, found.apply(array).shape[1:]) == expected
    assert np.shares_memory(found.apply(array), array)


def test_channels_are_moved_and_not_reshaped() -> None:
    array = numbered((16, 17, 3))
    moved = layout_of(array, "x").apply(array)
    for c in range(3):
        assert (moved[:, c] == array[..., c]).all()


@pytest.mark.parametrize(
    ("shape", "layout", "one"),
    [
        ((2, 256), "signal", (2, 256)),
        ((16, 16), "signal", (16, 16)),
        ((12, 64), "image", (1, 12, 64)),
        ((17, 18, 18), "image", (17, 18, 18)),
        ((16, 16, 16), "image-channels-last", (16, 16, 16)),
        ((32, 32, 3), "image", (3, 32, 32)),  # where only the last may be the channels
        ((4, 4, 3), "image", (4, 4, 3)),
        ((4, 4, 3), "image-channels-last", (3, 4, 4)),
        ((20, 64, 64), "volume", (1, 20, 64, 64)),
        ((3, 20, 64, 64), "volume", (3, 20, 64, 64)),
    ],
    ids=str,
)
def test_the_option_decides(shape: tuple[int, ...], layout: str, one: tuple[int, ...]) -> None:
    array = numbered(shape)
    found = layout_of(array, "x", layout)
    assert found.name == layout.split("-")[0]
    assert found.apply(array).shape == (N, *one)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((9,), "signal"), ((9,), "image"), ((9,), "volume"), ((4, 5), "volume"), ((4, 5), "image-channels-last"),
        ((4, 5, 6), "signal"), ((1, 4, 5, 6), "image"), ((1, 4, 5, 6), "signal"),
    ],
    ids=str,
)  # fmt: skip
def test_an_option_that_does_not_fit_is_refused(shape: tuple[int, ...], layout: str) -> None:
    with pytest.raises(UserError, match=rf"and `layout` '{layout}' needs \(n, .*; leave it out\.$"):
        layout_of(numbered(shape), "x", layout)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(
        UserError, match="`layout` is 'table'; it is 'auto', 'signal', 'image', 'image-channels-last' or"
    ):
        layout_of(numbered((4, 5)), "x", "table")


def test_a_trained_game_takes_what_fits_it_in_one_way() -> None:
    signals = numbered((2, 256))
    assert layout_of(signals, "x", shape=(2, 256)) == Layout("signal")
    assert layout_of(numbered((28, 20)), "x", shape=(1, 28, 20)) == Layout("image", add_channel=True)
    assert layout_of(numbered((16, 16, 16)), "x", shape=(1, 16, 16, 16)) == Layout("volume", add_channel=True)
    assert layout_of(numbered((4, 4, 3)), "x", shape=(3, 4, 4)) == Layout("image", channels_last=True)
    assert layout_of(numbered((4, 4, 3)), "x", shape=(4, 4, 3)) == Layout("image")
    assert layout_of(numbered((4, 4, 4)), "x", shape=(4, 4, 4)) == Layout("image")  # as they are
    assert fitting((N, 5, 6), (2, 256)) is None


def test_which_axes_may_be_channels_is_symmetric() -> None:
    for a, b, c in itertools.product((1, 2, 3, 4, 5, 16, 17, 18), repeat=3):
        first, last = channel_axes((N, a, b, c))
        assert channel_axes((N, c, b, a)) == (last, first)


def test_what_was_taken_is_said() -> None:
    said = {
        layout_of(numbered(shape), "x", layout).describe(one)
        for shape, layout, one in [
            ((9,), "auto", (9,)),
            ((2, 256), "signal", (2, 256)),
            ((16, 20, 1), "auto", (1, 16, 20)),
            ((8, 16, 16), "auto", (8, 16, 16)),
            ((16, 16), "auto", (1, 16, 16)),
            ((4, 5, 6), "volume", (1, 4, 5, 6)),
        ]
    }
    assert said == {
        "vectors of 9 numbers, axes (n, numbers)",
        "signals of 256 values and 2 channels, axes (n, channels, length)",
        "images of 20x16 pixels and 1 channel, axes (n, height, width, channels)",
        "images of 16x16 pixels and 8 channels, axes (n, channels, height, width)",
        "images of 16x16 pixels and 1 channel, axes (n, height, width)",
        "volumes of 6x5x4 voxels and 1 channel, axes (n, depth, height, width)",
    }
