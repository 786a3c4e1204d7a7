"""The library as it is used from Python: train with data of many kinds, and a trained run with its tasks as methods."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import interalia
from interalia import Run, UserError, tasks
from interalia.runs.fields import Fields
from interalia.training.trained import Posterior, Trained

COLOR = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
QUICK: dict[str, Any] = {"steps": 2, "batch_size": 8, "networks": "mlp(width=4)", "verbose": False}


@pytest.fixture(scope="module")
def trained() -> Trained:
    return interalia.train("ali-digits", latent_dim=5, log_every=1, **QUICK)


def test_samples_are_new_at_every_call_and_the_same_for_a_seed(trained: Trained) -> None:
    assert not torch.equal(trained.generate(4), trained.generate(4))
    assert torch.equal(trained.generate(4, seed=3), trained.generate(4, seed=3))
    torch.manual_seed(0)
    first = trained.generate(4)
    torch.manual_seed(0)
    assert torch.equal(first, interalia.generate(trained, 4))


def test_truncation_bounds_the_latents_and_keeps_their_order(trained: Trained) -> None:
    z, near = (interalia.tasks.sample_latents(trained, 500, truncation=t) for t in (None, 0.5))
    assert float(near.abs().max()) <= 0.5 < float(z.abs().max())
    assert torch.equal(z.argsort(0), near.argsort(0))
    wide = interalia.tasks.sample_latents(trained, 500, truncation=30)
    torch.testing.assert_close(wide, z, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="above 0"):
        trained.generate(2, truncation=0)


def test_inputs_of_every_kind_are_one_input(trained: Trained, tmp_path: Path) -> None:
    x = trained.dataset.test.x[:3]
    expected = trained.encode(torch.from_numpy(np.array(x)).float() / 255)
    np.save(tmp_path / "x.npy", x)
    pictures = [Image.fromarray(image[0]) for image in x]
    for i, image in enumerate(pictures):
        image.save(tmp_path / f"{i}.png")
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for given in (x, torch.from_numpy(np.array(x)), x[:, 0], x / 255, pictures, files, tmp_path / "x.npy"):
        torch.testing.assert_close(trained.encode(given), expected, rtol=1e-4, atol=1e-5)
    for wrong in (x * 1.0, x / 127.5 - 1, np.full(x.shape, np.nan), x[:, :, :5], "no.png"):
        with pytest.raises(UserError):
            trained.encode(wrong)


def test_samples_of_the_posterior(trained: Trained) -> None:
    x = trained.dataset.test.x[:3]
    found, more = trained.encode(x, draws=4), trained.encode(x, draws=9)
    assert isinstance(found, Posterior)
    assert found.draws.shape == (4, 3, 5)
    assert torch.equal(found.draws, more.draws[:4])
    torch.testing.assert_close(found.std, found.draws.std(0))
    torch.testing.assert_close(found.mean, trained.encode(x))
    with pytest.raises(UserError, match="give 2 or more"):
        trained.encode(x, draws=1)


def test_it_is_saved_and_loaded_with_its_history(trained: Trained, tmp_path: Path) -> None:
    steps, losses = trained.history.column("losses/critic")
    assert steps == [1, 2]
    saved = trained.save(tmp_path / "run")
    loaded = interalia.load(tmp_path / "run")
    assert isinstance(loaded, Trained)
    assert loaded.history.column("losses/critic") == (steps, losses) == saved.history.column("losses/critic")
    assert torch.equal(loaded.generate(3, seed=1), trained.generate(3, seed=1))
    assert loaded.evaluate(count=20, names=["reconstruction_ratio"]).keys() == {"reconstruction_ratio"}
    with pytest.raises(UserError, match="has no folder"):
        trained.report()
    assert len(repr(trained).splitlines()) == 3
    assert "<img" in trained._repr_html_()
    trained.save(tmp_path / "w.safetensors")
    assert torch.equal(interalia.load(tmp_path / "w.safetensors").generate(3, seed=1), trained.generate(3, seed=1))


class Rows:
    """A map-style data set as those of Hugging Face: some pictures are gray."""

    def __len__(self) -> int:
        return len(COLOR)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"image": Image.fromarray(COLOR[i] if i % 3 else COLOR[i, :, :, 0]), "label": i % 2}


@pytest.mark.parametrize(
    ("data", "shape", "labels"),
    [
        (COLOR, (3, 8, 8), 0),
        (COLOR.transpose(0, 3, 1, 2), (3, 8, 8), 0),
        ((COLOR[..., 0], np.arange(60) % 3), (1, 8, 8), 3),
        (torch.from_numpy(COLOR / 255.0), (3, 8, 8), 0),
        (TensorDataset(torch.from_numpy(COLOR).permute(0, 3, 1, 2) / 255, torch.arange(60) % 4), (3, 8, 8), 4),
        (Rows(), (3, 8, 8), 2),
        ({"train": Rows(), "test": Rows()}, (3, 8, 8), 2),
        ({"x_train": COLOR, "y_train": np.arange(60) % 2}, (3, 8, 8), 2),
        ("digits", (1, 8, 8), 10),
    ],
    ids=["color", "channels-first", "pair", "tensor", "tensors", "rows", "splits", "dictionary", "name"],
)
def test_data_of_many_kinds(data: Any, shape: tuple[int, ...], labels: int) -> None:
    found = interalia.train(data=data, latent_dim=3, **QUICK)
    assert found.dataset.shape == shape
    assert found.dataset.labels == labels
    assert found.generate(2).shape == (2, *shape)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (COLOR[..., 0] * np.nan, "NaN"),
        (COLOR[..., 0] * 0.0, "all numbers"),
        ((COLOR, np.arange(9)), "holds 9 labels for 60 rows"),
        (DataLoader(TensorDataset(torch.rand(9, 1, 8, 8))), "give its data set"),
        (7, "of type int"),
        (iter([1]), "__len__ and __getitem__"),
    ],
)
def test_data_that_mean_something_else_are_refused(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        interalia.train(data=data, latent_dim=3, **QUICK)


@pytest.mark.parametrize("data", [COLOR.astype(np.float32), COLOR / 127.5 - 1, COLOR.astype(np.uint16) * 16])
def test_numbers_are_scaled_and_read_in_their_own_units(data: Any) -> None:
    found = interalia.train(data=data, latent_dim=3, **QUICK)
    train = np.asarray(found.dataset.train.x)
    assert (train.min(), train.max()) == (0, 1)
    x = data[:4].transpose(0, 3, 1, 2)
    inside = tasks.from_units(found.game, x)
    assert torch.equal(found.encode(x), found.encode(inside))
    assert np.allclose(tasks.to_units(found.game, inside), x, rtol=1e-5, atol=1e-5)
    assert torch.equal(tasks.as_inputs(found, x), inside)
    assert found.reconstruct(x).shape == x.shape


def test_options_of_the_run_are_applied_to_arrays() -> None:
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(40, 2, 16)).astype(np.float32)
    found = interalia.train(data=signals, latent_dim=3, layout="signal", scale="min-max", **QUICK)
    assert found.dataset.shape == (2, 16)
    assert found.dataset.units is not None
    assert found.dataset.units.scaling is not None
    assert found.dataset.units.scaling.kind == "min-max"
    groups = np.repeat(np.arange(10), 6)
    found = interalia.train(data={"x": COLOR, "who": groups}, latent_dim=3, group="who", gray=True, flip=True, **QUICK)
    assert found.dataset.shape == (1, 8, 8)
    assert found.dataset.mirrored
    assert sum(map(len, (found.dataset.train, found.dataset.validation, found.dataset.test))) == 60
    assert len(found.dataset.validation) % 6 == len(found.dataset.test) % 6 == 0
    frame = {"size": [1.0, 2.0, None, 4.0] * 10, "kind": ["a", "b", "b", "c"] * 10}
    found = interalia.train(data=frame, latent_dim=3, impute="median", **QUICK)
    assert found.dataset.shape == (4,)
    assert set(tasks.to_columns(found.game, found.generate(3))) == {"size", "kind"}
    with pytest.raises(UserError, match="missing"):
        interalia.train(data=frame, latent_dim=3, **QUICK)


def test_own_networks() -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    before = encoder[1].weight.clone()
    found = interalia.train("ali-digits", latent_dim=5, encoder=encoder, **QUICK)
    assert found.encode(found.dataset.test.x[:2]).shape == (2, 5)
    assert not torch.equal(before, encoder[1].weight)
    with pytest.raises(UserError, match=r"returns the shape \(1, 9\), and \(1, 10\) is needed"):
        interalia.train("ali-digits", latent_dim=5, encoder=nn.Sequential(nn.Flatten(), nn.Linear(64, 9)), **QUICK)
    with pytest.raises(UserError, match="does not take an input"):
        interalia.train("ali-digits", latent_dim=5, encoder=nn.Linear(3, 10), **QUICK)
    with pytest.raises(UserError, match="GAN has no encoder"):
        interalia.train("gan-mnist", data="digits", encoder=encoder, **QUICK)


def test_mistakes_are_explained() -> None:
    with pytest.raises(TypeError, match="positional"):
        Run("ali-digits")  # type: ignore[misc]
    for call, message in (
        (lambda: interalia.train("ali-digit", steps=1), "did you mean 'ali-digits'"),
        (lambda: interalia.train("ali-digits", step=1), "it is called 'steps'"),  # type: ignore[call-arg]
        (lambda: interalia.train(COLOR), "give a Run or the name of a recipe"),  # type: ignore[arg-type]
        (lambda: interalia.train(data=COLOR, dataset=COLOR), "leave one of them out"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_the_fields_for_type_checkers_are_those_of_a_run() -> None:
    fields = {field.name for field in dataclasses.fields(Run)}
    assert set(get_type_hints(Fields)) == fields - {"data", "game", "encoder"}


def test_public_names() -> None:
    for name in ("Dataset", "Split", "Trained", "evaluate", "load", "report", "train"):
        assert name in dir(interalia)
        assert getattr(interalia, name)


def test_the_page_on_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "python.md", "exec"), names)
    assert names["q"].draws.shape == (16, 8, 16)
    assert len(names["weakest"].seen) <= 20
    assert names["second"].run.init_from == str(tmp_path / "runs" / "first")


@pytest.mark.parametrize("data", [COLOR, {"a": [1.0, 2.0, 4.0] * 20}], ids=["images", "table"])
def test_data_alone_are_planned_for_some_minutes(data: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = interalia.train(data=data, minutes=0.002, networks="mlp(width=4)", latent_dim=3)
    printed = capsys.readouterr().err
    assert f": {found.run.steps:,} steps in about " in printed
    assert "To choose otherwise: `image_size`" in printed
    assert (found.run.augment != "none") == (data is COLOR)
    length = interalia.train("ali-digits", minutes=0.001, networks="mlp(width=4)", verbose=False)
    assert length.run.batch_size == interalia.recipes.ali_digits().batch_size
    assert capsys.readouterr().err == ""
    for minutes in (0, "1", float("nan")):
        with pytest.raises(UserError, match="it must be a number above 0"):
            interalia.train("ali-digits", minutes=minutes)
    with pytest.raises(UserError, match="both set the length"):
        interalia.train(data=data, minutes=1, steps=2)


@pytest.mark.parametrize("shape", [(5,), (2, 16), (1, 8, 8, 8)], ids=["vectors", "signals", "volumes"])
def test_edits_of_other_data_than_images(shape: tuple[int, ...]) -> None:
    x, y = np.random.default_rng(0).normal(size=(60, *shape)).astype(np.float32), np.arange(60) % 2
    layout: Any = {2: {"layout": "signal"}, 4: {"layout": "volume"}}.get(len(shape), {})
    found = interalia.train(data=(x, y), latent_dim=3, scale="standard", **layout, **QUICK)
    assert found.edit(x[:4], "1").shape == (4, 5, *shape)
    assert torch.equal(found.edit(x[:4], "1", scales=[0.0])[:, 0], found.reconstruct(x[:4]))


RUNNING: dict[str, Any] = {
    "count": lambda t, x: t.generate("four"),
    "negative": lambda t, x: t.generate(-1),
    "fraction": lambda t, x: t.generate(2.5),
    "seed": lambda t, x: t.generate(2, seed="a"),
    "truncation": lambda t, x: t.generate(2, truncation="a"),
    "draws": lambda t, x: t.encode(x, draws="3"),
    "steps": lambda t, x: t.reconstruct(x, refine_steps="x"),
    "latents": lambda t, x: t.decode("abc"),
    "latents of another size": lambda t, x: t.decode(np.zeros((2, 9))),
    "NaN in latents": lambda t, x: t.decode(np.full((2, 5), np.nan)),
    "scales": lambda t, x: t.edit(x, "1", scales="a"),
    "no number": lambda t, x: t.encode(3),
    "no input": lambda t, x: t.encode(None),
    "no game": lambda t, x: interalia.generate("no game", 4),
    "None": lambda t, x: interalia.encode(None, x),
    "path": lambda t, x: interalia.load(3),
    "ends": lambda t, x: interalia.interpolate(t, x, x[:1]),
    "mask": lambda t, x: interalia.complete(t, x, "middle"),
    "evaluated": lambda t, x: t.evaluate(count="4"),
    "encoder": lambda t, x: interalia.train("ali-digits", encoder=lambda y: y, **QUICK),
    "critic": lambda t, x: interalia.train("ali-digits", critic=nn.Linear(2, 1), **QUICK),
    "callbacks": lambda t, x: interalia.train("ali-digits", callbacks=[print], **QUICK),
    "folder": lambda t, x: interalia.train("ali-digits", 3, **QUICK),
    "saved": lambda t, x: t.save(3),
    "saved as another format": lambda t, x: t.save("w.pt"),
    "names": lambda t, x: t.evaluate(names=[3]),
    "nothing to resume": lambda t, x: interalia.train("ali-digits", resume=True, **QUICK),
    "game": lambda t, x: interalia.train("ali-digits", game=3, **QUICK),
    "initial weights": lambda t, x: interalia.train("ali-digits", init_from=t, **QUICK),
}


@pytest.mark.parametrize("name", RUNNING)
def test_arguments_of_another_kind_are_one_sentence(name: str, trained: Trained) -> None:
    with pytest.raises(UserError) as error:
        RUNNING[name](trained, trained.dataset.test.x[:3])
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def test_labels_are_given_by_name_number_or_array() -> None:
    names = np.array(["cat", "dog", "owl"])[np.arange(60) % 3]
    found = interalia.train(data=(COLOR, names), latent_dim=3, condition_on="labels", **QUICK)
    first = found.generate(2, condition="dog", seed=1)
    for condition in (1, [1, 1], ["dog", "dog"], np.array(["dog", "dog"]), "dog:2"):
        count = 2 if isinstance(condition, int) else None
        assert torch.equal(found.generate(count, condition=condition, seed=1), first)
    y = names[:2]
    assert torch.equal(found.encode(COLOR[:2], y=y), found.encode(COLOR[:2], y=np.arange(2)))
    with pytest.raises(UserError, match="there is no label 'cow'"):
        found.encode(COLOR[:2], y=["cow", "cat"])


def test_latents_and_masks_of_many_kinds(trained: Trained) -> None:
    z = np.arange(10).reshape(2, 5)
    expected = trained.decode(torch.from_numpy(z).float())
    for given in (z, z.tolist(), torch.from_numpy(z), z.astype(np.float64)):
        assert torch.equal(trained.decode(given), expected)
    x = trained.dataset.test.x[:2]
    mask = tasks.load_mask((1, 8, 8), "left")
    found = interalia.complete(trained, x, mask, np.int64(2), seed=1)
    assert torch.equal(found, interalia.complete(trained, x, "left", 2, seed=1))


def split(x: Any, y: Any = None) -> list[interalia.Split]:
    return [
        interalia.Split(x[rows], None if y is None else y[: len(x[rows])])
        for rows in map(slice, (0, 40, 50), (40, 50, 60))
    ]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (split(COLOR / np.float32(255)), r"transpose it by \(0, 3, 1, 2\)"),
        (split(COLOR[..., 0]), "reshape it"),
        (split(COLOR[:, None, ..., 0] * np.float32(1)), "from 0 to 255"),
        (split(COLOR[:, None, ..., 0] / np.float32(127.5) - 1), "from -1 to 1"),
        (split(COLOR[:, None, ..., 0] * np.float32(np.nan)), "NaN or infinity"),
        (split(COLOR[:, None, ..., 0].astype(int)), "holds int64"),
        (split(COLOR[:, None, ..., 0], np.arange(5)), r"labels of shape \(5,\) for 40 rows"),
        (split(COLOR[:, None, ..., 0], np.arange(60) / 2), "labels of float64"),
        ([*split(COLOR[:, None, ..., 0])[:2], interalia.Split(COLOR[:9, None, :4, :, 0])], "give one shape"),
    ],
    ids=[
        "channels last",
        "no channel",
        "bytes as floats",
        "-1 to 1",
        "NaN",
        "ints",
        "few labels",
        "fractions",
        "shapes",
    ],
)
def test_data_sets_are_checked_as_arrays_are(splits: list[interalia.Split], message: str) -> None:
    with pytest.raises(UserError, match=message):
        interalia.train(data=interalia.Dataset("mine", *splits), latent_dim=3, **QUICK)


def test_a_data_set_of_tensors_and_doubles_is_converted() -> None:
    x = torch.from_numpy(COLOR).permute(0, 3, 1, 2) / 255.0
    parts: Any = [x[:40].double(), x[40:50], x[50:].numpy()]
    data = interalia.Dataset("mine", *(interalia.Split(part, torch.arange(len(part)) % 2) for part in parts))  # type: ignore[arg-type]
    found = interalia.train(data=data, latent_dim=3, **QUICK)
    assert found.dataset.train.x.dtype == np.float32
    assert found.dataset.labels == 2
