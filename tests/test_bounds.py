"""Sizes beyond any use are refused before anything is built; names from outside reach the terminal in one line."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from program import interalia

from interalia import registry
from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.data import load
from interalia.errors import UserError, printable
from interalia.games import VAE
from interalia.metrics import likelihood
from interalia.networks.mlp import MLP
from interalia.registry import Repeats, Width
from interalia.runs import Run, schemas
from interalia.runs.rows import read_rows
from interalia.training import engine
from interalia.training.callbacks import Curve

# integers that count neither layers, dimensions nor samples at once: steps of the training, images that it has seen, a seed
FREE = {("every", "penalties"), ("images", "augmentations"), ("pool", "games"), ("seed", "likelihoods")}
BUILT = ("likelihoods", "games", "dynamics", "penalties", "augmentations", "networks", "conditionals", "priors")


def whole_numbers() -> dict[tuple[str, str], set[str]]:
    """(name of an argument, kind of component) -> the names of the components with that argument, a whole number."""
    found: dict[tuple[str, str], set[str]] = {}
    for kind in BUILT:
        for name in registry.registry(kind).built_in:
            for key, hint in registry.settings_of(registry.registry(kind)[name]).items():
                if "int" in str(hint).replace("Mapping", ""):
                    found.setdefault((key, kind), set()).add(name)
    return found


def test_every_argument_that_is_a_size_has_an_upper_bound() -> None:
    for (key, kind), names in whole_numbers().items():
        for name in names:
            hint = registry.hints_of(registry.registry(kind)[name])[key]
            bounded = any(registry.exceeded(value, hint) for value in (10**9, [10**9], {"critic": 10**9}))
            assert bounded or (key, kind) in FREE, f"{name}({key})"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("elbo", {"samples": 10**6 + 1}),
        ("iwae", {"samples": 10**30}),
        ("kde", {"samples": 10**9, "validation": torch.zeros(4, 2)}),
        ("ais", {"chains": 10**9}),
        ("ais", {"temperatures": 10**9}),
        ("ais", {"leapfrog": 1001}),
        ("ais", {"simulated": 10**9}),
        ("ais", {"chains": 0}),
    ],
)
def test_an_estimate_of_too_many_samples_is_refused_at_once(name: str, arguments: dict[str, Any]) -> None:
    game = VAE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), StandardNormal(3), sigma=1.0)
    with pytest.raises(UserError, match=rf"`{next(iter(arguments))}` is \d+, and it must be at (most|least) "):
        likelihood.REGISTRY[name](game, torch.zeros(5, 2), **arguments)


@pytest.mark.parametrize(
    ("hint", "value", "most"),
    [
        (Repeats, 1000, None),
        (Repeats, 1001, 1000),
        (Width | None, 2**16, None),
        (Width | None, 2**16 + 1, 2**16),
        (Width | None, None, None),
        (list[Width] | tuple[Width, ...], [3, 70_000], 2**16),
        (list[Width] | tuple[Width, ...], (3, 4), None),
        (Mapping[str, Repeats] | None, {"critic": 2, "generator": 1001}, 1000),
        (Mapping[str, int], {"critic": 2000}, None),
        (int, 10**9, None),
        (float, 10.0**9, None),
    ],
)
def test_a_bound_is_that_of_the_value_or_of_an_element(hint: Any, value: Any, most: int | None) -> None:
    assert registry.exceeded(value, hint) == most


@pytest.mark.parametrize(
    "fields",
    [
        {"encoder": "flow(transforms=1000000000)"},
        {"encoder": "iaf(depth=1001)"},
        {"game": "vae", "encoder": "auxiliary(levels=100000)"},
        {"networks": "mlp(width=100000)"},
        {"networks": "cyclegan(blocks=999999)"},
        {"prior": "codes(categorical=[10, 100000])"},
        {"dynamics": "alternating(turns={'critic': 1000000})"},
        {"game": "hali(lower=70000)"},
    ],
)
def test_an_absurd_size_is_one_sentence(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^the \w+ .* sets '\w+' to .*; give at most (1,000|65,536)\.$"):
        engine.prepare(Run(**fields, steps=1))


# ---- the terminal


def test_a_line_for_the_terminal_has_no_line_breaks() -> None:
    assert printable("a\nb\r\x85\u2028\u202e\x9b.png") == r"a\nb\r\x85\u2028\u202e\x9b.png"


def test_names_with_line_breaks_stay_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "two\nlines"
    folder.mkdir()
    for i in range(40):
        Image.new("L", (8, 8), 6 * i).save(folder / f"{i}\n.png")
    words = ["--networks", "auto(width=4)", "--steps", 1, "--batch-size", 2, "--evaluate-every", 0]
    assert interalia("train", "--data", folder, *words, "--out", tmp_path / "a\nrun") == 0
    out = capsys.readouterr()
    assert r"two\nlines" in out.err + out.out
    assert r"a\nrun" in out.out
    (folder / "x\ny.png").write_bytes(b"no image")
    for words in (
        ["train", "--data", folder, "--out", tmp_path / "run"],
        ["encode", tmp_path / "a\nrun", folder / "x\ny.png"],
        ["generate", tmp_path / "no\nrun"],
        ["train", tmp_path / "no\nfile.toml"],
        ["train", "--data", "no\ndata"],
        ["train", "--penalty", "r\n1"],
    ):
        assert interalia(*words) == 2, words
        error = capsys.readouterr().err
        assert error.splitlines()[-1].startswith("interalia: "), words
        assert error.count("interalia: ") == 1


def test_a_description_is_printed_without_what_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31m\x9b\u202eb"
    assert interalia("train", "--print-config", "--name", name) == 0
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert r"a\u001b[31m\u009b\u202eb" in out


# ---- files


def test_a_text_is_no_damaged_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    engine.train(Run(steps=1, networks="auto(width=4)", batch_size=4, evaluate_every=0), run)
    (tmp_path / "README.md").write_text("# Read me\n")
    (tmp_path / "x.png").write_text("# Read me\n")
    for name, text in (
        ("README.md", "is not an image; give images such as .png"),
        ("x.png", "is damaged or cut short"),
    ):
        assert interalia("encode", run, tmp_path / name) == 2
        assert text in capsys.readouterr().err


def test_the_arrays_of_an_npz_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERALIA_MAX_MB", "0.1")
    images = np.zeros((1000, 8, 8), np.uint8)  # 64 kB
    images[:, 0] = 255
    arrays = {"x_train": images, "x_val": images}
    np.savez_compressed(tmp_path / "two.npz", **arrays)
    with pytest.raises(UserError, match=r"two\.npz has more than"):
        load(tmp_path / "two.npz")
    np.savez_compressed(tmp_path / "one.npz", x_train=arrays["x_train"], ignored=np.zeros(10**6))
    assert len(load(tmp_path / "one.npz").train) == 800
    np.savez(tmp_path / "stored.npz", **arrays)
    assert len(load(tmp_path / "stored.npz").train) == 900


def test_an_entry_of_an_npz_that_is_no_array_is_damage(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(UserError, match=r"x\.npz is damaged or cut short \(the magic string is not correct"):
        load(tmp_path / "x.npz")


ROW = {"row": "a", "seed": 0, "steps": 3, "values": {"mse": 0.5}, "seconds": 1.0}
ORIGIN = {"versions": {"torch": "2"}, "machine": "m", "commit": None, "date": "d"}


@pytest.mark.parametrize(
    "row",
    [
        [],
        5,
        None,
        {},
        {**ORIGIN, **ROW, "values": []},
        {**ORIGIN, **ROW, "values": {"mse": "x"}},
        {**ORIGIN, **ROW, "row": 5},
        {**ORIGIN, **ROW, "steps": -1},
        {**ORIGIN, **ROW, "seconds": "x"},
        {**ORIGIN, **ROW, "versions": []},
        ROW,
    ],
)
def test_rows_of_an_experiment_that_are_not_the_programs_are_one_sentence(row: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**ROW, **ORIGIN}) + "\n")
    assert read_rows(path) == [{**ROW, **ORIGIN}]
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=r"rows\.jsonl are damaged"):
        read_rows(path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "{}", '[["x", 1]]', "[[1, 2, 3]]", "\ufeff", "null"])
def test_a_file_of_points_that_is_not_the_programs_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    path.write_text(text, encoding="utf-8")
    training = engine.prepare(Run(steps=1, networks="auto(width=4)"))
    with pytest.raises(UserError, match=r"points\.json is damaged .*; remove it"):
        Curve(lambda game, x: 0.0, "validation", 2, 1, path).start(training)
    path.write_text("[[0, 1.5], [9, 2.5]]")
    curve = Curve(lambda game, x: 0.0, "validation", 2, 1, path)
    curve.start(training)
    assert curve.points == [(0.0, 1.5)]


def test_a_number_is_read_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"rate": 0.5, "errors": {"0.1": Infinity}}')
    assert schemas.read(path, float, "rate") == 0.5
    for key in ("none", "errors"):
        with pytest.raises(UserError, match=r"x\.json is damaged \(Expected float"):
            schemas.read(path, float, key)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is damaged"):
        schemas.read(path, float, "rate")


@pytest.mark.parametrize("networks", ["auto", "ali-28", "avb", "mlp"])
def test_an_implicit_encoder_without_noise_reads_images(networks: str) -> None:
    run = Run(networks=networks, encoder="implicit(noise=0)", image_size=28, batch_size=2, steps=1)
    trained = engine.train(run, callbacks=[])
    assert trained.step == 1
    x = torch.rand(3, 1, 28, 28)
    assert torch.equal(trained.game.encoder(x).sample(), trained.game.encoder(x).sample())  # as there is none


def test_an_entry_of_a_zip_without_a_name_is_left_out(tmp_path: Path) -> None:
    for i in range(20):
        Image.new("L", (8, 8), 12 * i).save(tmp_path / f"{i}.png")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        with archive.open("\0", "w"):  # whose name is empty when it is read
            pass
        for path in sorted(tmp_path.glob("*.png")):
            archive.write(path, path.name)
    dataset = load(tmp_path / "x.zip")
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 20
