"""Signals, volumes, bands and dark images from a file to answers in their own units and types; pictures of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import program
import pytest
import torch
from PIL import Image

import interalia
from interalia import data, tasks
from interalia.errors import UserError
from interalia.metrics.extractors import RandomConvolutions, extractor_for
from interalia.reports import data as reports_data
from interalia.reports import pictures, plots
from interalia.runs import building
from interalia.tasks import verbs

RANDOM = np.random.default_rng(0)
CASES = {
    "12 bits": (RANDOM.integers(0, 4096, (40, 12, 12)).astype(np.uint16), {}, (1, 12, 12)),
    "bands": (RANDOM.integers(0, 900, (40, 9, 9, 8)).astype(np.int32), {}, (8, 9, 9)),
    "Hounsfield": (RANDOM.integers(-1024, 3072, (40, 9, 11)).astype(np.int16), {}, (1, 9, 11)),
    "masks": (RANDOM.integers(0, 2, (40, 9, 9)).astype(bool), {}, (1, 9, 9)),
    "signals": ((RANDOM.standard_normal((40, 2, 150)) * 30).astype(np.float32), {"layout": "signal"}, (2, 150)),
    "volumes": (RANDOM.uniform(-3, 900, (40, 1, 8, 9, 7)), {}, (1, 8, 9, 7)),
    "standardized images": (RANDOM.uniform(-3, 900, (40, 9, 9)), {"scale": "standard"}, (1, 9, 9)),
    "quantiles": (RANDOM.gamma(1, 90, (40, 9, 9)).astype(np.float32), {"scale": "quantile"}, (1, 9, 9)),
    "uint8 table": (RANDOM.integers(0, 256, (40, 6)).astype(np.uint8), {}, (6,)),
}


@pytest.mark.parametrize("name", CASES)
def test_answers_are_in_the_units_and_type_of_the_data(tmp_path: Path, name: str) -> None:
    x, options, shape = CASES[name]
    np.save(tmp_path / "x.npy", x)
    dataset = data.load(tmp_path / "x.npy", **options)
    assert dataset.shape == shape
    game = building.build_for(interalia.Run(networks="auto(width=2)", latent_dim=4), dataset).eval()
    assert game.data.support == ("real" if name in ("signals", "standardized images", "uint8 table") else "unit")
    found = verbs.generate(game, 5).arrays["x"]
    assert (found.dtype, found.shape) == (x.dtype, (5, *shape))
    if game.data.support == "unit":
        assert x.min() <= found.min() <= found.max() <= x.max()
    inputs = data.read_images([tmp_path / "x.npy"], shape, dataset.units)
    own = tasks.to_units(game, inputs)
    flat = np.sort(x.reshape(40, -1), axis=1)
    tolerance = 0 if x.dtype.kind in "uib" else 1e-5 * float(np.abs(x).max())
    assert np.abs(np.sort(own.reshape(40, -1).astype(float), axis=1) - flat.astype(float)).max() <= tolerance
    assert torch.allclose(tasks.from_units(game, own), inputs, atol=1e-6)
    result = verbs.reconstruct(game, inputs[:4])
    assert result.arrays["x_hat"].dtype == x.dtype
    assert (result.figure is None) == (len(shape) == 1)
    path = verbs.interpolate(game, inputs[:4], steps=3)
    assert path.arrays["path"].shape == (2, 3, *shape)
    for one in (verbs.generate(game, 5), result, path):
        for figure in (one.figure, *one.parts.values()):
            if figure is not None:
                getattr(plots, figure.kind)(**figure.arguments, path=tmp_path / "x.png")
                assert Image.open(tmp_path / "x.png").size[0] > 8


def test_a_mean_image_starts_a_decoder_of_scaled_data_at_the_mean(tmp_path: Path) -> None:
    x = np.clip(RANDOM.normal(3000, 30, (60, 1, 8, 9, 7)), 0, None)
    x[:, :, :2] -= 2900
    np.save(tmp_path / "x.npy", x)
    run = interalia.Run(networks="auto(width=2)", data=str(tmp_path / "x.npy"), steps=0, evaluate_every=0, batch_size=8)
    game = interalia.train(run, None, callbacks=[]).game
    found = verbs.generate(game, 20).arrays["x"]
    assert abs(found.mean() - x.mean()) < 0.15 * (x.max() - x.min())


def test_features_of_signals_and_volumes_are_few() -> None:
    for shape in ((2, 300), (1, 9, 12, 10)):
        x = RANDOM.standard_normal((10, *shape)).astype(np.float32)
        split = data.Split(x)
        extractor = extractor_for(data.Dataset("x", split, split, split))
        assert isinstance(extractor, RandomConvolutions)
        features = extractor(torch.from_numpy(x))
        assert features.shape[1] < 3000
        assert str(features.shape[1]) in extractor.name
        assert (features.std(0) > 0).float().mean() > 0.8  # a random unit may never be active
    small = data.Split(np.zeros((10, 2, 5), np.float32))
    assert extractor_for(data.Dataset("x", small, small, small)).name == "identity (10 numbers)"


def test_pictures_for_a_game_of_other_numbers_are_read_as_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RANDOM.integers(0, 3000, (40, 9, 9)).astype(np.int16))
    dataset = data.load(tmp_path / "x.npy")
    picture = RANDOM.integers(0, 3000, (9, 9)).astype(np.uint16)
    Image.fromarray(picture).save(tmp_path / "a.png")
    x = data.read_images([tmp_path / "a.png"], dataset.shape, dataset.units)
    assert dataset.units is not None
    assert (dataset.units.invert(x.numpy())[0, 0] == picture).all()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b\.png has 8 bits, and the images that were trained on are gray of"):
        data.read_images([tmp_path / "b.png"], dataset.shape, dataset.units)


def test_scaled_images_are_binarized_by_their_scaled_values(tmp_path: Path) -> None:
    from interalia.data.binarize import binarize

    x = np.zeros((60, 40, 40), np.uint16)
    x[:, :20] = 3000  # three quarters
    x[:, 0, 0] = 4000
    np.save(tmp_path / "x.npy", x)
    dataset = binarize(data.load(tmp_path / "x.npy"), "static")
    assert dataset.units is None
    assert sorted(np.unique(dataset.train.x)) == [0, 255]
    assert abs(dataset.train.x[:, :, 1:20].mean() / 255 - 0.75) < 0.01
    assert not dataset.train.x[:, :, 20:].any()
    with pytest.raises(UserError, match="scale='min-max'"):
        binarize(data.load(tmp_path / "x.npy", scale="standard"), "static")


# ------------------------------------------------------------------------------------------------------------ pictures


def test_a_line_is_where_its_signal_is() -> None:
    for length in (2, 50, 128, 1000):
        ramp = np.linspace(-1, 1, length)[None, None]
        chart = pictures.charts(ramp, ["#000000"], (-1, 1))[0]
        dark = chart[0] == 0
        assert (chart[0] == chart[1]).all()
        assert dark.any(0).all()  # no column without the line
        middle = np.array([np.flatnonzero(column).mean() for column in dark.T])
        assert np.abs(middle - np.linspace(63, 0, 128)).max() < 3
        steps = np.diff([np.flatnonzero(column)[[0, -1]] for column in dark.T], axis=0)
        assert np.abs(steps).max() <= 3
    square = np.repeat([0.0, 1.0, 0.0, 1.0], 40)[None, None]
    dark = pictures.charts(square, ["#000000"], (0, 1))[0, 0] == 0
    assert (dark.sum(0) == 64).sum() in (3, 4, 5, 6)  # steep lines have no holes


def test_channels_have_colors_and_bounds_are_common() -> None:
    signals = np.stack([np.zeros(30), np.full(30, 2.0)])[None]
    chart = pictures.as_images(signals, ["#ff0000", "#0000ff"], (0.0, 4.0))[0]
    assert chart[:, -1].T.tolist() == [[1, 0, 0]] * 128
    assert (chart[:, 31] == np.array([0, 0, 1])[:, None]).all() or (chart[:, 32] == np.array([0, 0, 1])[:, None]).all()
    assert pictures.limits([np.array([np.nan, np.inf])]) == (0.0, 1.0)


def test_slices_and_channels_are_in_order() -> None:
    volume = np.arange(9)[None, None, :, None, None] * np.ones((1, 1, 9, 2, 2))
    shown = pictures.as_images(volume, ["#000000"])
    assert shown.shape == (1, 1, 6, 6)
    assert shown[0, 0, ::2, ::2].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    deep = np.arange(33)[None, None, :, None, None] * np.ones((1, 3, 33, 2, 2))
    assert pictures.as_images(deep, ["#000000"])[0, 0, ::2, ::2].ravel().tolist() == [0, 4, 8, 12, 16, 20, 24, 28, 32]
    bands = np.arange(8)[None, :, None, None] * np.ones((1, 8, 2, 2))
    assert pictures.as_images(bands, ["#000000"])[0, 0, ::2, ::2].ravel().tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    same = np.zeros((2, 3, 4, 4))
    assert pictures.as_images(same, ["#000000"]) is same


@pytest.mark.parametrize("kind", ["array", "folder", "table"])
def test_data_that_changed_are_scaled_as_those_that_were_trained_on(tmp_path: Path, kind: str) -> None:
    """Also examples that were trained on are recognized, by their scaled numbers, and not tested on."""
    x = RANDOM.gamma(1, 90, (60, 9, 9)).astype(np.float32)
    more = np.concatenate([x, 5 * x[:30]])  # another range and another mean
    path = {"array": tmp_path / "x.npy", "folder": tmp_path / "x", "table": tmp_path / "x.csv"}[kind]

    def write(values: np.ndarray) -> None:
        if kind == "array":
            np.save(path, values)
        elif kind == "table":
            rows = [f"{row[0, 0]},{'ab'[i % 2]}" for i, row in enumerate(values)]
            path.write_text("\n".join(["size,kind", *rows]))
        else:
            path.mkdir(exist_ok=True)
            for i, one in enumerate(values):
                Image.fromarray(one.astype(np.uint16)).save(path / f"{i:02d}.png")

    write(x)
    run = interalia.Run(networks="auto(width=2)", latent_dim=3, data=str(path), steps=1, evaluate_every=0, batch_size=8)
    first = interalia.train(run, tmp_path / "run").dataset
    write(more)
    trained = interalia.load(tmp_path / "run")
    assert trained.dataset.units == first.units != data.load(path).units
    parts = [np.asarray(split.x).reshape(len(split), -1) for one in (first, trained.dataset)
             for split in (one.train, one.validation, one.test)]  # fmt: skip
    before, after = ({row.tobytes() for part in some for row in part} for some in (parts[:3], parts[3:]))
    assert before <= after
    kept = reports_data.dataset_of(trained)
    left = {
        row.tobytes() for split in (kept.validation, kept.test) for row in np.asarray(split.x).reshape(len(split), -1)
    }
    assert left
    assert not left & {row.tobytes() for row in parts[0]}
    other = data.load(path)
    with pytest.raises(UserError, match=r"was scaled otherwise .* scale=interalia.tasks.units_of\(game\)"):
        _ = interalia.runs.loading.Loaded(trained.game, trained.run, None, 1, other).dataset


def test_the_formats_of_a_result_are_known_before_the_task_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", RANDOM.normal(size=(40, 2, 30)))
    rows = [f"{number:.3f},{'ab'[i % 2]}" for i, number in enumerate(RANDOM.normal(size=40))]
    Path("x.csv").write_text("\n".join(["size,kind", *rows]))
    for name, layout in (("x.npy", "signal"), ("x.csv", "auto")):
        run = interalia.Run(networks="auto(width=2)", latent_dim=3, data=name, layout=layout, steps=1, batch_size=8)
        interalia.train(run.replace(evaluate_every=0), f"run-{name[2:]}")
    pictures = {"generate --count 3": True, "reconstruct --count 3": True, "encode --count 3": False}
    for command, drawn in pictures.items():
        verb, *options = command.split()
        for folder, form, fits in (("run-npy", "png", drawn), ("run-csv", "png", False), ("run-csv", "csv", True)):
            out = Path(f"{verb}.{form}")
            out.unlink(missing_ok=True)
            code = program.interalia(verb, folder, *options, "--out", out)
            assert (code, out.exists()) == ((0, True) if fits else (2, False)), (
                command,
                folder,
                form,
                capsys.readouterr(),
            )
    assert Path("generate.csv").read_text().startswith("size,kind\n")
    assert Path("reconstruct.csv").read_text().startswith("image,l2,mse,x.size,x.kind,x_hat.size,x_hat.kind\n")


def test_pictures_of_16_bits_are_not_said_to_be_converted(tmp_path: Path) -> None:
    from interalia.data import survey
    from interalia.data.scaling import Scaling, Units
    from interalia.training.plans import colors

    for i in range(3):
        Image.fromarray(np.full((8, 8), 900 + i, dtype=np.uint16)).save(tmp_path / f"{i}.png")
    found = survey.survey([tmp_path])
    assert found is not None
    assert found.modes == {"uint16": 3}
    own = Units(Scaling("min-max", "all", "uint16", (900.0,), (2.0,)))
    assert survey.conversion(found, (1, 8, 8), units=own) == []
    assert survey.conversion(found, (1, 8, 8)) == ["3 images converted: gray of 16 bits to gray"]
    assert colors(found, 1) == ", gray of 16 bits"
    assert colors(found, 3) == ", gray of 16 bits converted to color"


def test_examples_for_a_detector_are_scaled_as_the_data_of_its_run(tmp_path: Path) -> None:
    from interalia.data.examples import read_examples
    from interalia.data.scaling import Scaling, Units

    own = Units(Scaling("min-max", "all", "uint16", (100.0,), (50.0,)))
    image = np.full((6, 6), 125, dtype=np.uint16)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", image[None])
    np.save(tmp_path / "v.npy", np.array([[125.0, 200.0]]))
    (tmp_path / "v.csv").write_text("a,b\n125,200\n")
    for name in ("a.png", "a.npy"):
        assert read_examples(tmp_path / name, (1, 6, 6), units=own).x.tolist() == np.full((1, 1, 6, 6), 0.5).tolist()
    for name in ("v.npy", "v.csv"):
        assert read_examples(tmp_path / name, (2,), units=own).x.tolist() == [[0.5, 2.0]]
