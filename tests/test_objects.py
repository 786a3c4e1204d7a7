"""Data sets and inputs that are given in Python: arrays, data frames, pictures, data sets of torch and Hugging Face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import interalia
from interalia import tasks
from interalia.data import Dataset, load
from interalia.data.objects import as_dataset, as_inputs
from interalia.data.scaling import Scaling, Units, fit
from interalia.data.splits import SplitOptions
from interalia.errors import UserError
from interalia.runs import building

N = 40
BYTES = np.random.default_rng(0).integers(0, 256, (N, 9, 9, 3)).astype(np.uint8)
FLOATS = np.random.default_rng(1).random((N, 9, 11)).astype(np.float32)
LABELS = np.arange(N) % 4
TWELVE = (BYTES[..., 0].astype(np.uint16) * 16 + 5)[:, None]  # 12 bits in 16, shape (40, 1, 9, 9)


class Rows:
    """A map-style data set of given rows."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:
        return self.rows[i]


class Frame:
    """A data frame as far as it is read: columns by name."""

    dtypes = ()

    def __init__(self, **columns: Any) -> None:
        self.columns = list(columns)
        self.values = columns

    def __getitem__(self, name: str) -> Any:
        return np.asarray(self.values[name])


def sizes(dataset: Dataset) -> list[int]:
    return [len(dataset.train), len(dataset.validation), len(dataset.test)]


def pixels(dataset: Dataset) -> list[int]:
    """All numbers of a data set's splits, sorted, whatever the split."""
    return sorted(np.concatenate([np.asarray(s.x).ravel() for s in (dataset.train, dataset.validation, dataset.test)]))


def scaling_of(dataset: Dataset) -> Scaling:
    assert dataset.units is not None
    assert dataset.units.scaling is not None
    return dataset.units.scaling


def kept(x: Any, y: Any = None) -> list[tuple[Any, Any]]:
    return [(x[i], None if y is None else y[i]) for i in range(len(x))]


LAYOUTS: dict[str, tuple[Any, dict[str, str], tuple[int, ...], Any]] = {
    "vectors": (FLOATS[:, 0] * 4, {}, (11,), np.float32),
    "gray": (BYTES[..., 0], {}, (1, 9, 9), np.uint8),
    "channels last": (BYTES, {}, (3, 9, 9), np.uint8),
    "channels first": (BYTES.transpose(0, 3, 1, 2), {}, (3, 9, 9), np.uint8),
    "tensor": (torch.from_numpy(BYTES.transpose(0, 3, 1, 2)), {}, (3, 9, 9), np.uint8),
    "floats in [0, 1]": (BYTES / 255, {}, (3, 9, 9), np.uint8),
    "floats with a layout": (FLOATS, {"layout": "image"}, (1, 9, 11), np.float32),
    "signals": (FLOATS * 4, {"layout": "signal"}, (9, 11), np.float32),
    "bands": (np.concatenate([BYTES, BYTES], 3), {}, (6, 9, 9), np.uint8),
    "volumes": (BYTES.transpose(0, 3, 1, 2)[:, None], {}, (1, 3, 9, 9), np.uint8),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_arrays_of_every_layout(name: str) -> None:
    x, options, shape, kind = LAYOUTS[name]
    dataset = as_dataset(x, **options)
    assert (dataset.shape, dataset.train.x.dtype, sizes(dataset)) == (shape, kind, [32, 4, 4])
    assert dataset.units == Units()  # without scaling
    assert dataset.units.dtype == str(x.dtype).removeprefix("torch.")  # type: ignore[union-attr]
    labelled = as_dataset((x, torch.from_numpy(LABELS)), **options)
    assert labelled.classes == ("0", "1", "2", "3")
    assert sorted(np.concatenate([labelled.train.y, labelled.validation.y, labelled.test.y])) == sorted(LABELS)


def test_an_example_keeps_its_axes_and_its_label() -> None:
    x = np.zeros((N, 6, 5, 3), np.uint8)
    x[:, 2, 4, 1], x[:, 0, 0, 0] = np.arange(N), 255
    dataset = as_dataset((x, np.arange(N)))
    assert dataset.train.y is not None
    assert dataset.train.x[:, 1, 2, 4].tolist() == dataset.train.y.tolist()


def test_files_and_arrays_make_the_same_data(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=TWELVE, y=LABELS)
    one, other = load(tmp_path / "x.npz"), as_dataset({"x": TWELVE, "y": LABELS})
    assert one.units == other.units
    assert one.units is not None
    for a, b in ((one.train, other.train), (one.validation, other.validation), (one.test, other.test)):
        assert np.array_equal(a.x, b.x)
        assert np.array_equal(a.y, b.y)
    assert as_dataset(one) is one
    assert np.array_equal(as_dataset(tmp_path / "x.npz").train.x, one.train.x)


def test_ambiguous_arrays_need_their_layout() -> None:
    with pytest.raises(UserError, match=r"`layout='image'` or `layout='signal'`"):
        as_dataset(FLOATS)
    with pytest.raises(UserError, match="either of axis 1 and the last may be the channels"):
        as_dataset(BYTES[:, :3, :3])
    with pytest.raises(UserError, match="expected were numbers of at least one example"):
        as_dataset(np.array([["a"], ["b"]]))


@pytest.mark.parametrize("change", [lambda x: x * 255.0 - 0.25, lambda x: x * 2.0 - 1.0])
def test_numbers_out_of_the_unit_range_are_scaled_by_the_training_split(change: Callable[[Any], Any]) -> None:
    x = change(np.random.default_rng(2).random((N, 8, 8)))
    dataset = as_dataset(x)
    train = dataset.train.x
    scaling_of(dataset)
    assert train.dtype == np.float32
    assert float(train.min()) == 0
    assert float(train.max()) == 1
    own = dataset.units.invert(np.concatenate([train, dataset.validation.x, dataset.test.x]))
    assert np.allclose(np.sort(own.ravel()), np.sort(x.ravel()), atol=1e-4)
    y = as_dataset((x, np.arange(N))).test.y
    assert y is not None
    extreme = x.copy()
    extreme[y] *= 100  # test data alone
    assert as_dataset(extreme).units == dataset.units
    with pytest.raises(UserError, match="expected were images as uint8 or as numbers in"):
        as_dataset(x, scale="none")


def test_units_reach_the_game_and_its_tasks() -> None:
    dataset = as_dataset(TWELVE)
    run = interalia.Run(networks="auto(width=2)", latent_dim=4, steps=1, batch_size=8, evaluate_every=0)
    game = interalia.train(run, None, dataset=dataset, callbacks=[]).game
    assert game.data.support == "unit"
    assert tasks.units_of(game) == dataset.units
    own = TWELVE[:3]
    inputs = tasks.from_units(game, own)
    assert torch.equal(tasks.encode(game, own), tasks.encode(game, inputs))
    assert torch.equal(tasks.encode(game, torch.from_numpy(own.astype(np.int32))), tasks.encode(game, inputs))
    with pytest.raises(UserError, match="tensors are in the units of the networks"):
        tasks.encode(game, torch.from_numpy(own.astype(np.float32)))


def test_splits_of_other_types_than_the_training_data() -> None:
    train, test = BYTES[:30, ..., 0], BYTES[30:, ..., 0]
    gray = as_dataset({"x_train": train, "x_test": test / 255})
    assert (gray.train.x.dtype, gray.test.x.dtype) == (np.uint8, np.uint8)
    assert np.array_equal(gray.test.x[:, 0], test)
    fine = as_dataset({"x_train": train, "x_test": test / 300})
    assert (fine.train.x.dtype, fine.test.x.dtype) == (np.float32, np.float32)
    assert float(fine.train.x.max()) == train.max() / 255
    for first, second in ((train, test.astype(float)), (train / 255, test.astype(float))):
        with pytest.raises(UserError, match="x_test in `data` holds numbers from"):
            as_dataset({"x_train": first, "x_test": second})


def test_dictionaries_have_the_keys_of_files() -> None:
    given = {"x_train": BYTES[:20], "y_train": LABELS[:20], "x_test": BYTES[20:], "y_test": LABELS[20:]}
    dataset = as_dataset(given)
    assert len(dataset.test) == 20
    assert len(dataset.train) + len(dataset.validation) == 20
    assert pixels(dataset) == sorted(BYTES.ravel())
    with pytest.raises(UserError, match="has the keys pictures, and expected was one of train_images"):
        as_dataset({"pictures": BYTES})
    groups = as_dataset({"x": BYTES, "who": np.arange(N) // 10}, options=SplitOptions(None, None, "who"))
    assert {size % 10 for size in sizes(groups)} == {0}


def test_map_style_data_sets_of_torch() -> None:
    first = torch.from_numpy(BYTES.transpose(0, 3, 1, 2))
    dataset = as_dataset(TensorDataset(first.float() / 255, torch.from_numpy(LABELS)))
    assert (dataset.shape, dataset.labels, dataset.train.x.dtype) == ((3, 9, 9), 4, np.uint8)
    assert pixels(dataset) == sorted(BYTES.ravel())
    assert as_dataset(TensorDataset(first)).labels == 0
    with pytest.raises(UserError, match=r"`data` is a DataLoader, which returns batches; give its data set"):
        as_dataset(DataLoader(TensorDataset(first)))


def test_pictures_by_torchvision_and_hugging_face() -> None:
    pictures = [Image.fromarray(x) for x in BYTES]
    pairs = as_dataset(Rows(list(zip(pictures, LABELS.tolist(), strict=True))))
    rows = as_dataset(Rows([{"image": p, "label": int(y)} for p, y in zip(pictures, LABELS, strict=True)]))
    for dataset in (pairs, rows):
        assert (dataset.shape, dataset.labels, pixels(dataset)) == ((3, 9, 9), 4, sorted(BYTES.ravel()))
    parts = {
        "train": Rows([{"img": p} for p in pictures[:30]]),
        "validation": Rows([{"img": p} for p in pictures[30:34]]),
    }
    split = as_dataset({**parts, "test": Rows([{"img": p} for p in pictures[34:]])})
    assert sizes(split) == [30, 4, 6]
    assert np.array_equal(split.test.x, BYTES[34:].transpose(0, 3, 1, 2))
    small = as_dataset(
        Rows([Image.fromarray(np.tile(x, (1 + i % 2, 1, 1))) for i, x in enumerate(BYTES)]), image_size=6
    )
    assert small.shape == (3, 6, 6)
    with pytest.raises(UserError, match="rows of `data` have different shapes"):
        as_dataset(Rows([Image.fromarray(np.tile(x, (1 + i % 2, 1, 1))) for i, x in enumerate(BYTES)]))


def test_pictures_of_any_colors_and_depth() -> None:
    gray, color = Image.fromarray(BYTES[0, ..., 0]), Image.fromarray(BYTES[1])
    assert as_dataset([gray, color] * 10).shape == (3, 9, 9)
    wide = [Image.fromarray(x[0]) for x in TWELVE]  # of 16 bits
    dataset = as_dataset(Rows(wide))
    scaling_of(dataset)
    assert scaling_of(dataset).dtype == "uint16"
    assert dataset.units == as_dataset(TWELVE).units
    mixed = as_dataset(Rows([*wide[:20], *[Image.fromarray(x[..., 0]) for x in BYTES[:20]]]))
    assert mixed.train.x.dtype == np.float32 or mixed.train.x.dtype == np.uint8
    assert mixed.shape == (1, 9, 9)
    with pytest.raises(UserError, match="20 of the 40 rows of `data` are pictures, the others arrays"):
        as_dataset(Rows([*wide[:20], *TWELVE[:20]]))


def test_data_frames_and_dictionaries_of_columns() -> None:
    columns = {"age": np.arange(N), "job": ["cook", "smith"] * (N // 2), "who": np.arange(N) // 10}
    dataset = as_dataset(columns)
    assert dataset.shape == (4,)
    assert dataset.units is not None
    assert [column.name for column in dataset.units.columns] == ["age", "job", "who"]
    grouped = as_dataset(columns, options=SplitOptions(None, None, "who"))
    assert grouped.shape == (3,)
    assert {size % 10 for size in sizes(grouped)} == {0}
    gap = {**columns, "age": [None, *range(1, N)]}
    with pytest.raises(UserError, match="missing"):
        as_dataset(gap)
    assert as_dataset(gap, impute="median").shape == (4,)
    with pytest.raises(UserError, match="different lengths"):
        as_dataset({**columns, "age": np.arange(3)})
    with pytest.raises(UserError, match="`impute` is for tables"):
        as_dataset(BYTES, impute="mean")
    with pytest.raises(UserError, match="`data` is a table and not images"):
        as_dataset(columns, image_size=8)


def test_rows_of_a_table_as_inputs() -> None:
    columns = {"age": np.arange(N), "job": ["cook", "smith"] * (N // 2)}
    dataset = as_dataset(columns)
    scaling_of(dataset)
    found = as_inputs({"job": ["smith", "cook"], "age": [5, 7], "more": [1, 1]}, (3,), units=dataset.units)
    own = np.array([[5, 0, 1], [7, 1, 0]])
    assert torch.equal(found, torch.from_numpy(scaling_of(dataset).apply(own)))
    assert np.array_equal(as_dataset(Frame(**columns)).train.x, dataset.train.x)
    assert torch.equal(as_inputs(Frame(job=["smith", "cook"], age=[5, 7]), (3,), units=dataset.units), found)
    with pytest.raises(UserError, match="the input has no column 'age'"):
        as_inputs({"job": ["smith"]}, (3,), units=dataset.units)
    with pytest.raises(UserError, match="the input is a table, and this run was trained on arrays"):
        as_inputs(columns, (1, 9, 9))


@pytest.mark.parametrize("y", [LABELS[:-1], LABELS[:0], np.append(LABELS, 0)])
def test_labels_are_as_many_as_examples(y: Any) -> None:
    with pytest.raises(UserError, match=f"y in `data` holds {len(y)} labels for {N} rows; give one a row"):
        as_dataset((BYTES, y))


def test_rows_have_a_label_each_and_one_shape() -> None:
    with pytest.raises(UserError, match="39 of the 40 rows of `data` have a label"):
        as_dataset(Rows(kept(BYTES, [*LABELS[:-1].tolist(), None])))
    with pytest.raises(UserError, match="row 0 of `data` has the keys picture; expected was one of image"):
        as_dataset(Rows([{"picture": x} for x in BYTES]))
    boxes = [{"image": x, "label": [1, 2, 3]} for x in BYTES]  # no class labels
    assert as_dataset(Rows(boxes)).labels == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [(3, "of type int"), (b"abc", "of type bytes"), (iter([BYTES]), "of type list_iterator"), ([], "of type list, is empty"),
     (None, "of type NoneType")],
)  # fmt: skip
def test_other_objects_are_refused(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_dataset(given)


# inputs


def test_inputs_of_every_kind_are_the_same_images(tmp_path: Path) -> None:
    gray = BYTES[:4, ..., 0]
    expected = torch.from_numpy(gray[:, None] / np.float32(255))
    for i, x in enumerate(gray):
        Image.fromarray(x).save(tmp_path / f"{i}.png")
    np.save(tmp_path / "x.npy", gray)
    pictures = [Image.fromarray(x) for x in gray]
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    zero = np.zeros((4, 9, 9, 1), np.uint8) + gray[..., None]
    kinds = [tmp_path / "x.npy", str(tmp_path / "x.npy"), paths, list(map(str, paths)), pictures, gray, gray[:, None], zero,
             torch.from_numpy(gray[:, None]), torch.from_numpy(zero), gray / 255, (gray / 255).tolist(), list(gray[:, None]),
             list(expected), expected, expected.double(), [paths[0], pictures[1], gray[2:3], expected[3]]]  # fmt: skip
    for given in kinds:
        found = as_inputs(given, (1, 9, 9))
        assert found.is_floating_point()
        assert torch.allclose(found.float(), expected, atol=1e-6), type(given)
    assert as_inputs(expected, (1, 9, 9)) is expected
    folder = tmp_path / "folder"
    folder.mkdir()
    pictures[0].save(folder / "a.png")
    assert torch.equal(as_inputs(folder, (1, 9, 9)), expected[:1])
    assert as_inputs(Image.fromarray(BYTES[0]), (1, 5, 7)).shape == (1, 1, 5, 7)


def test_inputs_are_scaled_as_the_training_data() -> None:
    scaling = fit(TWELVE, "min-max")
    units = Units(scaling)
    expected = torch.from_numpy(scaling.apply(TWELVE[:4]))
    wide = [Image.fromarray(x[0]) for x in TWELVE[:4]]
    for given in (
        TWELVE[:4],
        TWELVE[:4, 0],
        TWELVE[:4].astype(float),
        wide,
        torch.from_numpy(TWELVE[:4].astype(np.int32)),
    ):
        assert torch.equal(as_inputs(given, (1, 9, 9), units=units), expected)
    beyond = expected * 3  # a test image that is brighter than the training images
    assert as_inputs(beyond, (1, 9, 9), units=units) is beyond
    with pytest.raises(UserError, match="a picture has 8 bits"):
        as_inputs(Image.fromarray(BYTES[0]), (1, 9, 9), units=units)
    standard = Units(fit(TWELVE, "standard"))
    deviations = torch.full((2, 1, 9, 9), -3.0)
    assert as_inputs(deviations, (1, 9, 9), units=standard) is deviations


@pytest.mark.parametrize("given", [np.float32, torch.as_tensor])
def test_numbers_that_are_no_images_are_refused(given: Callable[[Any], Any]) -> None:
    cases: list[tuple[Callable[[Any], Any], str]] = [
        (lambda x: x * 255, "numbers from .* expected were images as uint8"),
        (lambda x: x * 2 - 1, "numbers from -1"),
        (lambda x: np.where(x == x.max(), np.nan, x), "the input holds NaN or infinity in 1 of"),
        (lambda x: np.where(x == x.max(), -np.inf, x), "the input holds NaN or infinity in 1 of"),
    ]
    for change, message in cases:
        x = np.random.default_rng(3).random((4, 1, 9, 9)).astype(np.float32)
        x.flat[0], x.flat[1] = 0, 1
        with pytest.raises(UserError, match=message):
            as_inputs(given(change(x)), (1, 9, 9))
    x[0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="NaN or infinity in 1 of 324 places"):
        as_inputs(given(x), (1, 9, 9), units=Units(fit(TWELVE, "standard")))


def test_a_tensor_with_a_hole_may_have_any_numbers() -> None:
    x = torch.rand(2, 1, 9, 9)
    x[:, :, 0] = torch.nan
    assert as_inputs(x, (1, 9, 9), missing=True) is x


@pytest.mark.parametrize(
    "x", [np.zeros((2, 9, 8), np.uint8), torch.rand(2, 9, 9), torch.rand(1, 9, 9), BYTES[:0, ..., 0], 3.0]
)
def test_inputs_of_another_shape_are_refused(x: Any) -> None:
    with pytest.raises(UserError, match=r"this game was trained on \(n, 1, 9, 9\)"):
        as_inputs(x, (1, 9, 9))


def test_vectors_take_no_pictures() -> None:
    with pytest.raises(UserError, match="a picture was given; give an array"):
        as_inputs(Image.fromarray(BYTES[0]), (5,))
    with pytest.raises(UserError, match=r"a dict is no array of numbers|the input has the shape"):
        as_inputs({"a": object()}, (5,))
    rows = np.random.default_rng(4).normal(size=(3, 5))
    assert torch.equal(as_inputs(rows, (5,)), torch.from_numpy(rows).float())


def test_the_second_domain_has_its_own_units() -> None:
    first = as_dataset(TWELVE)
    second = as_dataset(TWELVE // 2)
    both = first.with_other(second, "both")
    run = interalia.Run(game="cyclegan", networks="auto(width=2)", latent_dim=4)
    game = building.build_for(run, both).eval()
    for to, one in (("b", first), ("a", second)):
        own = TWELVE[:2] // (1 if to == "b" else 2)
        x = torch.from_numpy(scaling_of(one).apply(own))
        assert torch.equal(tasks.translate(game, own, to), tasks.translate(game, x, to))  # type: ignore[arg-type]
