"""The command line: every command end to end on a small run, and every mistake in one sentence with exit code 2."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from program import interalia

from interalia import registry
from interalia.runs.folder import Folder
from interalia.tasks import verbs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert interalia("train", "--steps", 20, "--evaluate-every", 10, "--checkpoint-every", 10, "--out", folder) == 0
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for i in range(60):
        Image.fromarray(random.integers(0, 256, (14, 11, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


def test_training_ends_with_a_page(run: Path) -> None:
    folder = Folder(run)
    page = folder.report.read_text()
    assert "data:image/png;base64," in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    results = json.loads(folder.results.read_text())
    names = {measure["name"] for measure in results["metrics"]}
    assert {"reconstruction_ratio", "knn1_features", "frechet_distance", "coverage"} <= names
    assert all(measure["protocol"] for measure in results["metrics"])
    for name in ("samples", "reconstructions", "interpolations", "interpolations_spherical", "curves"):
        assert Image.open(folder.figures / f"{name}.png").size[0] > 100


def test_generate(run: Path, tmp_path: Path) -> None:
    assert interalia("generate", run, "--count", 5) == 0
    assert (run / "figures" / "generated.png").exists()
    assert interalia("generate", run, "--count", 5, "--out", tmp_path / "x.npz") == 0
    x = np.load(tmp_path / "x.npz")["x"]
    assert x.shape == (5, 1, 8, 8)
    assert 0 <= x.min() < x.max() <= 1
    assert interalia("generate", run, "--count", 3, "--separate", "--out", tmp_path / "many") == 0
    assert [Image.open(path).size for path in sorted((tmp_path / "many").iterdir())] == [(8, 8)] * 3


def test_reconstruct(run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("reconstruct", run, "--out", tmp_path / "held.png") == 0
    assert "PSNR" in capsys.readouterr().out
    assert interalia("reconstruct", run, images / "0.png", images / "1.png", "--out", tmp_path / "own.npz") == 0
    assert np.load(tmp_path / "own.npz")["x_hat"].shape == (2, 1, 8, 8)


def test_interpolate(run: Path, tmp_path: Path) -> None:
    assert interalia("interpolate", run, "--pairs", 2, "--steps", 4, "--out", tmp_path / "way.npz") == 0
    assert np.load(tmp_path / "way.npz")["path"].shape == (2, 4, 1, 8, 8)
    assert interalia("interpolate", run, "--interpolation", "slerp", "--out", tmp_path / "way.png") == 0


def test_encode(run: Path, images: Path, tmp_path: Path) -> None:
    assert interalia("encode", run, images, "--out", tmp_path / "z.npz") == 0
    arrays = np.load(tmp_path / "z.npz")
    assert arrays["z"].shape == (60, 16)
    assert len(arrays["features"]) == len(arrays["files"]) == 60


def test_evaluate_and_report(run: Path) -> None:
    assert interalia("evaluate", run, "--split", "validation", "--checkpoint", "best") == 0
    found = json.loads((run / "results.json").read_text())
    assert (found["split"], found["weights"]) == ("validation", "best")
    (run / "report.html").unlink()
    assert interalia("report", run) == 0
    assert (run / "report.html").exists()


def test_a_run_goes_on_further_than_planned(run: Path) -> None:
    assert interalia("train", "--resume", run, "--steps", 30) == 0
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert max(steps) == 30


@pytest.mark.long  # and in Python, in test_health
def test_a_training_that_has_converged_ends_well_with_a_page_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = ["--evaluate-every", 10, "--early-stopping", 1, "--monitor", "reconstruction_ratio", "--lr.generator", 0]
    assert interalia("train", "--steps", 5000, *fields, "--out", tmp_path / "run") == 0
    assert "Stopped at step" in capsys.readouterr().err
    assert "Stopped at step" in Folder(tmp_path / "run").report.read_text(encoding="utf-8")
    assert interalia("train", "--resume", tmp_path / "run") == 0  # there is nothing left to do


def test_a_game_that_the_default_recipe_does_not_fit_trains_without_one(tmp_path: Path) -> None:
    assert interalia("train", "--game", "avb", "--steps", 2, "--evaluate-every", 0, "--out", tmp_path / "run") == 0


@pytest.mark.parametrize("game", ["vae", "latent-regressor"])
def test_a_flag_about_a_critic_is_refused_where_there_is_none(
    game: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag, value in (
        ("penalty", "r1"),
        ("divergence", "kl"),
        ("instance-noise", "annealed"),
        ("pack", 2),
        ("skip-critic-above", 0.9),
    ):
        assert interalia("train", "--game", game, f"--{flag}", value, "--out", tmp_path / "run") == 2
        assert f"--{flag} needs a critic, and " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert interalia("train", "ali-digits", "--game", game, "--print-config") == 0  # what the recipe has is no wish
    (tmp_path / "mine.toml").write_text(said := capsys.readouterr().out)
    assert 'penalty = "none"' in said
    assert interalia("train", tmp_path / "mine.toml", "--print-config") == 0
    (tmp_path / "mine.toml").write_text(said.replace('penalty = "none"', 'penalty = "r1"'))
    assert interalia("train", tmp_path / "mine.toml", "--print-config") == 2
    assert "--penalty needs a critic" in capsys.readouterr().err


def test_a_flag_that_a_game_has_no_use_for_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("train", "gan-digits", "--encoder", "deterministic", "--print-config") == 2
    assert "--encoder needs an encoder, and GAN has none; leave --encoder out." in capsys.readouterr().err
    assert interalia("train", "--num-labeled", 5, "--print-config") == 2
    assert (
        "--num-labeled needs a semi-supervised game, and ALICE is none; leave --num-labeled out."
        in capsys.readouterr().err
    )


def test_any_folder_of_images(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert interalia("train", "--data", images, "--steps", 3, "--batch-size", 16, "--latent-dim", 5, "--out", out) == 0
    assert json.loads((out / "run.json").read_text())["name"] == images.name
    assert interalia("generate", out, "--count", 2, "--out", tmp_path / "x.npz") == 0
    assert np.load(tmp_path / "x.npz")["x"].shape == (2, 3, 14, 11)


def test_a_gan_says_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gan"
    assert interalia("train", "gan-digits", "--steps", 3, "--out", out) == 0
    assert (out / "report.html").exists()
    capsys.readouterr()
    assert interalia("reconstruct", out) == 2
    said = capsys.readouterr().err
    assert "GAN has no encoder; reconstruct needs a game that has one: ALI" in said


def test_the_printed_config_is_a_file_that_train_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("train", "ali-mnist", "--steps", 20, "--lr.critic", "1e-5", "--print-config") == 0
    (tmp_path / "mine.toml").write_text(first := capsys.readouterr().out)
    assert interalia("train", tmp_path / "mine.toml", "--print-config") == 0
    assert capsys.readouterr().out == first
    assert "lr = { critic = 1e-05 }" in first


def test_a_run_without_a_recipe_is_called_after_its_game(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, name in (
        ((), "ali-digits"),
        (("--game", "vae(likelihood='bernoulli')", "--binarize", "static"), "vae-digits"),
        (("--game", "vae", "--name", "mine"), "mine"),
        (("ali-mnist", "--game", "ali"), "ali-mnist"),
    ):
        assert interalia("train", *flags, "--print-config") == 0
        assert f'name = "{name}"' in capsys.readouterr().out


@pytest.mark.parametrize("kind", registry.KINDS)
def test_list(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("list", kind) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in registry.registry(kind))


MISTAKES = {
    "option": (("train", "ali-digits", "--batch-szie", "3"), "did you mean --batch-size?"),
    "recipe": (("train", "ali-mnits"), "did you mean 'ali-mnist'?"),
    "game": (("train", "--game", "alii"), "did you mean 'ali'?"),
    "divergence": (("train", "--divergence", "perason"), "did you mean 'pearson'?"),
    "setting": (("train", "--penalty", "r1(gama=3)"), "did you mean 'gamma'? Its settings are: gamma, every"),
    "brackets": (("train", "--penalty", "r1(gamma="), "cannot be read"),
    "data": (("train", "--data", "mnits"), "mnist"),
    "no folder": (("train", "--data", "no/such/folder"), "no/such/folder"),
    "fraction": (("train", "--steps", "2.5"), "must be a whole number"),
    "range": (("train", "--weight-average", "ema(2)"), "`decay` is 2"),
    "flag": (("train", "--latent-dmi", "3"), "did you mean --latent-dim?"),
    "player": (("train", "--dynamics", "alternating(turns={'encoder': 1})"), "'encoder', which is not a player"),
    "lr": (("train", "--lr.decoder", "0.1"), "'decoder', which is not a player"),
    "image_size": (("train", "ali-svhn-paper", "--data", "digits"), "made for images of 32x32"),
    "device": (("train", "--device", "warp"), "the device 'warp' cannot be used"),
    "no run": (("generate", "no/such/run"), "no run.json"),
    "resume": (("train", "--resume", "no/such/run"), "no run.json"),
    "experiment": (("reproduce", "mixture-26"), "did you mean 'mixture-25'?"),
    "command": (("generat", "x"), "did you mean 'generate'?"),
    "toml": (("train", "no/such.toml"), "cannot be read"),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_one_sentence(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, expected = MISTAKES[mistake]
    assert interalia(*arguments) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.startswith("interalia: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()  # a run that never began leaves nothing behind


def test_what_a_run_refuses(run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (8, 8), 255).save(white := tmp_path / "white.png")
    for arguments, expected in (
        (("train", "--out", run), "with interalia train --resume"),
        (("train", "--resume", run, "--latent-dim", 3), "--latent-dim would change them"),
        (("train", "--resume", run, "--steps", 1), "give a larger number"),
        (("generate", run, "--count", 0), "at least 1"),
        (("interpolate", run, "--steps", 1), "2 or more"),
        (("encode", run, images, "--out", tmp_path / "z.txt"), ".npz"),
        (("reconstruct", run, tmp_path / "none.png"), "none.png"),
        (("neighbours", run, "--nearest", 0), "--nearest is 0, and it must be at least 1"),
        (
            ("neighbours", run, "--nearest", 9, "--pool-size", 5),
            "--nearest is 9, and 5 training images are searched",
        ),
        (("edit", run, "--to", 3, "--examples", 0), "--examples is 0, and it must be at least 1"),
        (("edit", run, "--to", 3, "--examples", -5), "--examples is -5"),
        (("edit", run, "--to", 3, "--scales", "nan"), "--scales has nan, and it must be finite"),
        (("edit", run, "--to", 3, "--examples", 1), "give more examples"),
        (("complete", run, "--mask", white), "the mask has no hole"),
        (("reconstruct", run, tmp_path / "no.npy"), "there is no array"),
    ):
        assert interalia(*arguments) == 2
        assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    ["generate --count 2", "reconstruct --count 2", "interpolate --pairs 1", "traverse --dimensions 1 --rows 1",
     "encode --count 2", "neighbours --count 2 --pool-size 50", "edit --count 2 --to 3 --examples 50",
     "complete --count 2 --mask left"],
)  # fmt: skip
def test_a_wrong_out_is_refused_before_the_task_begins(
    words: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A format is refused then if and only if the result cannot be written in it."""
    verb, *options = words.split()
    task, done = getattr(verbs, verb), []
    monkeypatch.setattr(verbs, verb, functools.wraps(task)(lambda *a, **k: done.append(1) or task(*a, **k)))
    parts, image = verb in ("generate", "traverse", "complete"), verb != "encode"
    table = verb in ("encode", "reconstruct", "neighbours")
    for out, fits in {"x.npz": True, "x.json": True, "X.NPZ": True, "x.png": image, "x.jpg": image, "X.PNG": image,
                      "x.csv": table, "x.txt": False, "x": parts}.items():  # fmt: skip
        done.clear()
        assert interalia(verb, run, *options, "--out", tmp_path / out) == (0 if fits else 2), out
        assert bool(done) == fits


BAD = {
    "nan": (np.full((2, 1, 8, 8), np.nan), "holds NaN or infinity in 128 of 128 places"),
    "infinite": (np.full((2, 1, 8, 8), np.inf), "holds NaN or infinity in 128 of 128 places"),
    "beyond": (
        np.full((2, 1, 8, 8), 7.0),
        "numbers from 7 to 7, and expected were images as uint8 or as numbers in [0, 1]",
    ),
    "integers": (np.full((2, 1, 8, 8), 200), "numbers from 200 to 200"),
    "signed": (np.full((2, 1, 8, 8), -0.5), "numbers from -0.5 to -0.5"),
    "complex": (np.zeros((2, 1, 8, 8), complex), "holds complex128"),
    "words": (np.full((2, 1, 8, 8), "x"), "holds <U1"),
    "one image": (np.zeros((8, 8)), "of shape (n, 1, 8, 8)"),
    "none": (np.zeros((0, 1, 8, 8)), "of shape (0, 1, 8, 8)"),
}


@pytest.mark.parametrize("kind", BAD)
def test_arrays_that_are_no_images_are_refused(
    kind: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    array, expected = BAD[kind]
    np.save(tmp_path / "x.npy", array)
    np.save(tmp_path / "good.npy", np.zeros((2, 1, 8, 8)))
    for command in ("encode", "neighbours", "complete", "reconstruct", "edit"):
        out = tmp_path / f"{command}.npz"
        assert interalia(command, run, tmp_path / "good.npy", tmp_path / "x.npy", "--out", out) == 2
        said = capsys.readouterr().err
        assert "x.npy holds" in said
        assert expected in said
        assert not out.exists()


def test_a_damaged_file_of_weights_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (run / "weights.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    assert interalia("generate", tmp_path / "cut.safetensors") == 2
    assert "cut.safetensors is damaged" in capsys.readouterr().err
    (tmp_path / "good.safetensors").write_bytes(whole)
    assert interalia("generate", tmp_path / "good.safetensors", "--count", 2) == 0


def test_help_is_quick_and_imports_no_torch() -> None:
    began = sum(os.times()[2:4])  # CPU time of other processes: these tests are not alone on the machine
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "interalia.cli", "--help"], capture_output=True, text=True
    )
    assert said.returncode == 0
    assert "reconstruct" in said.stdout
    heavy = ("torch", "numpy", "matplotlib", "sklearn", "scipy")
    loaded = {line.split("|")[-1].strip() for line in said.stderr.splitlines()}
    assert not loaded & set(heavy)
    assert sum(os.times()[2:4]) - began < 5


def test_brackets_in_what_is_listed_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("list", "games") == 0
    assert "[noise, c]" in " ".join(capsys.readouterr().out.split())
