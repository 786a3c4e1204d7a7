"""Data of two domains: training data are unpaired, held-out data are paired, and the rules are as documented."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from examples import write_idx
from PIL import Image

from interalia import UserError, data
from interalia.data import mnist, pairs
from interalia.runs import Run, building, loading

RULES = list(pairs.TRANSFORMATIONS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST with 65 + 12 images that differ from one another, and 20 pictures of pairs."""
    place = tmp_path_factory.mktemp("pairs")
    random = np.random.default_rng(0)
    contents = []
    for count in (65, 12):
        x = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        contents += [x, (np.arange(count) % 10).astype(np.uint8)]
    (place / "mnist").mkdir()
    for stem, array in zip(mnist.STEMS, contents, strict=True):
        (place / "mnist" / f"{stem}.gz").write_bytes(gzip.compress(write_idx(array)))
    (place / "facades").mkdir()
    for i in range(20):
        picture = np.zeros((24, 48, 3), np.uint8)
        picture[:, :24] = 5 * i  # the photograph says which house it is
        picture[:, 24:] = 255 - 5 * i  # and so do its labels
        Image.fromarray(picture).save(place / "facades" / f"image_{i:03d}.png")
    return place


@pytest.mark.parametrize("rule", RULES)
def test_training_is_unpaired_and_what_is_held_out_is_paired(root: Path, rule: str) -> None:
    dataset, whole = data.load(f"mnist-{rule}", data_dir=root), data.load("mnist", data_dir=root)
    other = dataset.other
    assert other is not None
    assert dataset.paired
    assert dataset.shape == other.shape == (3 if rule == "coloured" else 1, 28, 28)
    transform = pairs.TRANSFORMATIONS[rule]
    count = len(whole.train)
    assert (len(dataset.train), len(other.train)) == (count - count // 2, count // 2)
    every = np.arange(count)
    assert np.array_equal(dataset.train.x[:, :1], whole.train.x[::2])
    assert np.array_equal(other.train.x, transform(whole.train.x[1::2], every[1::2]))
    assert np.array_equal(np.sort(np.concatenate([every[::2], every[1::2]])), every)  # no image in both
    first = count
    for ours, theirs, source in (
        (dataset.validation, other.validation, whole.validation),
        (dataset.test, other.test, whole.test),
    ):
        rows = first + np.arange(len(source))
        assert np.array_equal(ours.x[:, :1], source.x)
        assert np.array_equal(theirs.x, transform(source.x, rows))
        for part in (ours, theirs):
            assert part.y is not None
            assert np.array_equal(part.y, source.y)
        first += len(source)
    assert np.array_equal(other.train.y, whole.train.y[1::2])  # type: ignore[index]
    truths = pairs.true_counterparts(dataset)
    assert np.array_equal(truths, transform(whole.train.x[::2], every[::2]))
    assert "paired" in dataset.about
    assert rule in dataset.name


def test_inverted_is_undone_by_inverting_and_turning_back() -> None:
    x = np.random.default_rng(0).integers(0, 256, (3, 1, 5, 5), dtype=np.uint8)
    y = pairs.invert(x, np.arange(3))
    assert np.array_equal(255 - np.rot90(y, -1, axes=(2, 3)), x)
    corner = np.zeros((1, 1, 4, 4), np.uint8)
    corner[0, 0, 0, 3] = 255  # top right
    assert np.argwhere(pairs.invert(corner, np.arange(1))[0, 0] == 0).tolist() == [[0, 0]]  # a quarter to the left


def test_edges_are_sobels() -> None:
    from scipy import ndimage

    x = np.random.default_rng(0).integers(0, 256, (3, 1, 9, 7), dtype=np.uint8)
    f = x[:, 0].astype(np.float64)
    across, down = (
        np.stack([ndimage.sobel(image, axis, mode="constant") for image in f]) for axis in (1, 0)
    )  # fmt: skip
    expected = np.clip(np.hypot(across, down) / 4, 0, 255)
    assert np.abs(pairs.edges(x, np.arange(3))[:, 0] - expected).max() <= 0.51
    flat = pairs.edges(np.full((1, 1, 6, 6), 200, np.uint8), np.arange(1))[0, 0]
    assert not flat[1:-1, 1:-1].any()


def test_colours_keep_the_digit_and_belong_to_the_row() -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 1, 6, 6), dtype=np.uint8)
    x[:, :, 0, 0], x[:, :, 0, 1] = 0, 255
    y = pairs.colorize(x, np.arange(40))
    assert y.shape == (40, 3, 6, 6)
    ground, digit = y[:, :, 0, 0], y[:, :, 0, 1]
    assert ground.max() <= 102
    assert digit.min() >= 153
    assert len(np.unique(ground, axis=0)) == len(np.unique(digit, axis=0)) == 40
    gray = np.argsort(x.reshape(40, -1), axis=1, kind="stable")
    ordered = np.take_along_axis(y.astype(int).reshape(40, 3, -1), gray[:, None], axis=2)
    assert (np.diff(ordered, axis=2) >= 0).all()  # lighter stays lighter, in every channel
    some = np.array([3, 17])
    assert np.array_equal(pairs.colorize(x[some], some), y[some])  # whatever else is drawn beside
    far = pairs.colorize(x[some], some + 1000)
    assert not np.array_equal(far, y[some])


def test_facades_are_cut_in_halves_and_shuffled_to_train(root: Path) -> None:
    dataset = data.load("facades", data_dir=root, image_size=8)
    other = dataset.other
    assert other is not None
    assert dataset.shape == other.shape == (3, 8, 8)
    parts = [
        (len(a), len(b))
        for a, b in ((dataset.train, other.train), (dataset.validation, other.validation), (dataset.test, other.test))
    ]
    assert parts == [(14, 14), (2, 2), (4, 4)]
    house = [part.x[:, 0, 4, 4].astype(int) // 5 for part in (dataset.train, dataset.validation, dataset.test)]
    label = [(255 - part.x[:, 0, 4, 4].astype(int)) // 5 for part in (other.train, other.validation, other.test)]
    assert [h.tolist() for h in house] == [list(range(14)), [14, 15], [16, 17, 18, 19]]
    assert [h.tolist() for h in house[1:]] == [b.tolist() for b in label[1:]]
    assert sorted(label[0].tolist()) == list(range(14))
    assert (house[0] == label[0]).mean() < 0.5
    assert np.array_equal((255 - pairs.true_counterparts(dataset)[:, 0, 4, 4].astype(int)) // 5, house[0])
    assert data.load("facades", data_dir=root).shape == (3, 64, 64)
    assert data.load("facades", data_dir=root / "facades", image_size=8).shape == (3, 8, 8)


def test_facades_that_are_not_pairs(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"facades are missing .*`data_dir=DIR`"):
        data.load("facades", data_dir=tmp_path)
    for i in range(9):
        Image.new("RGB", (16, 8)).save(tmp_path / f"{i}.png")
    with pytest.raises(UserError, match="9 pairs, and at least 10"):
        data.load("facades", data_dir=tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "9.png")
    with pytest.raises(UserError, match=r"9\.png is 8x8.*twice as wide"):
        data.load("facades", data_dir=tmp_path)


def test_two_custom_folders(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, mode, side in (("horses", "RGB", 16), ("zebras", "RGB", 16), ("gray", "L", 16), ("large", "RGB", 24)):
        (tmp_path / name).mkdir()
        for i in range(12):
            x = random.integers(0, 256, (side, side, 3) if mode == "RGB" else (side, side), dtype=np.uint8)
            Image.fromarray(x).save(tmp_path / name / f"{i}.png")
    (tmp_path / "empty").mkdir()
    run = Run(game="cyclegan", data=str(tmp_path / "horses"), data_b=str(tmp_path / "zebras"))
    dataset = loading.load_dataset(run)
    assert dataset.other is not None
    assert not dataset.paired
    assert dataset.shape == dataset.other.shape == (3, 16, 16)
    for target, words in (("gray", "channels"), ("large", "`image_size`"), ("empty", "holds no images")):
        with pytest.raises(UserError, match=words) as caught:
            loading.load_dataset(run.replace(data_b=str(tmp_path / target)))
        assert str(caught.value).endswith(".")
    assert loading.load_dataset(run.replace(data_b=str(tmp_path / "large"), image_size=12)).shape == (3, 12, 12)
    with pytest.raises(UserError, match="give the second in `data_b`"):
        building.build(run.replace(data_b=None))
