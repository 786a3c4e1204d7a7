"""A .pt2 file can execute code on being opened: it is opened only where it was named and agreed to in the same call."""

from __future__ import annotations

import inspect
import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pytest
import torch
from program import interalia
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_generators import SHORT, exported

from interalia import cli, tasks
from interalia.cli.options import options_of
from interalia.data import load
from interalia.errors import UserError
from interalia.reports import measuring
from interalia.runs import Run, building, loading
from interalia.training import engine

SHAPE = (1, 8, 8)
RUN = Run(game="latent-regressor", steps=2, log_every=1, **SHORT)


class Payload:
    """What makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.makedirs, (str(self.mark), 0o777, True)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("good") / "g.pt2"
    return Path(exported(examples.generator(4, SHAPE), path, torch.randn(3, 4)))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "EXECUTED"


@pytest.fixture
def evil(good: Path, mark: Path, tmp_path: Path) -> Path:
    """The same program, with sample inputs that execute something."""
    buffer = io.BytesIO()
    torch.save(Payload(mark), buffer)
    path = tmp_path / "evil.pt2"
    with zipfile.ZipFile(good) as a, zipfile.ZipFile(path, "w") as b:
        for name in a.namelist():
            inputs = "sample_inputs" in name and name.endswith(".pt")
            b.writestr(name, buffer.getvalue() if inputs else a.read(name))
    return path


@pytest.fixture(scope="module")
def trained(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    engine.train(RUN.replace(pretrained_generator=str(good)), folder, trust=True)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def renamed(path: Path, generator: str) -> None:
    """Weights whose metadata name another generator."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["interalia"])
    about["run"]["pretrained_generator"] = generator
    save_file(load_file(path), path, {"interalia": json.dumps(about)})


def test_the_file_of_these_tests_executes_its_code_where_it_is_trusted(evil: Path, mark: Path) -> None:
    with pytest.raises(UserError, match="is not a program of torch"):
        building.build(RUN.replace(pretrained_generator=str(evil)), SHAPE, trust=True)
    assert mark.exists()


def test_a_file_that_is_named_is_not_opened_without_consent(
    evil: Path, mark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = RUN.replace(pretrained_generator=str(evil))
    for call in (
        lambda: building.build(named),
        lambda: engine.prepare(named),
        lambda: engine.train(named, tmp_path / "out"),
    ):
        with pytest.raises(UserError, match=r"evil\.pt2 is a program .* give `trust`"):
            call()
    flags = ["--game", "latent-regressor", "--latent", 4, "--steps", 1, "--generator", evil]
    assert interalia("train", *flags, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("interalia: the generator ")
    assert "trust" in error
    assert error.count("\n") == 1
    (tmp_path / "run.toml").write_text(f'game = "latent-regressor"\nlatent = 4\nsteps = 1\ngenerator = "{evil}"\n')
    assert interalia("train", tmp_path / "run.toml", "--out", tmp_path / "out") == 2
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def commands_on_runs() -> dict[str, Any]:
    found = {}
    for name in cli.app:
        if not name.startswith("-"):
            function = cli.app[name].default_command
            assert function is not None
            if "run" in (taken := inspect.signature(function).parameters):
                found[name] = taken
    return found


def test_every_command_on_a_run_has_the_flag() -> None:
    known = commands_on_runs()
    assert len(known) == 14
    assert all("trust_generator" in options_of(name) for name in known)


def test_the_file_in_a_folder_is_not_opened_without_consent(
    run: Path, evil: Path, mark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(evil, run / "generator.pt2")
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 8, 8), np.uint8))
    more: dict[str, list[object]] = {"encode": [tmp_path / "x.npy", "--out", tmp_path / "z.npz"]}
    for words in [*([name, run, *more.get(name, [])] for name in commands_on_runs()), ["train", "--resume", run]]:
        assert interalia(*words) == 2, words
        error = capsys.readouterr().err
        assert error.startswith(f"interalia: the generator {run / 'generator.pt2'} is a program"), words
        assert error.count("\n") == 1
    for place in (run, run / "weights.safetensors"):
        with pytest.raises(UserError, match="give `trust`"):
            loading.load(place)
    with pytest.raises(UserError, match="give `trust`"):  # nor where it is the generator's run that keeps it
        engine.prepare(RUN.replace(pretrained_generator=str(run)))
    assert not mark.exists()


def test_with_consent_every_command_works(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interalia.reports.make", lambda trained: "none")
    flag = "--trust-generator"
    assert interalia("generate", run, flag, "--count", 2, "--out", tmp_path / "x.png") == 0
    assert interalia("reconstruct", run, flag, "--count", 2, "--out", tmp_path / "x.png") == 0
    assert interalia("report", run, flag) == 0
    assert f"interalia generate {run} --trust-generator --count 64" in (run / "report.html").read_text("utf-8")
    assert interalia("train", "--resume", run, flag, "--steps", 3) == 0
    # which a measure compares with is made without opening the file a second time
    trained = loading.load(run, trust=True)
    other = measuring.untrained_game(trained, load("digits"))
    z = torch.randn(3, 4)
    assert other is not None
    assert torch.equal(tasks.decode(other, z), tasks.decode(trained.game, z))


def test_a_path_in_metadata_is_not_followed(run: Path, evil: Path, mark: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("w.safetensors", "generator.safetensors"):
        shutil.copy(run / "weights.safetensors", alone / name)
        renamed(alone / name, str(evil))
    for name in ("w.safetensors", "generator.safetensors"):  # the first finds the second beside it
        for trust in (False, True):
            with pytest.raises(UserError, match="there is no copy beside it"):
                loading.load(alone / name, trust=trust)
    (alone / "generator.safetensors").unlink()
    with pytest.raises(UserError, match="there is no copy beside it"):
        loading.load(alone / "w.safetensors", trust=True)

    (run / "generator.pt2").unlink()
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**about, "pretrained_generator": str(evil)}))
    assert interalia("train", "--resume", run, "--trust-generator", "--steps", 3) == 2
    with pytest.raises(UserError, match="the copy is missing"):
        engine.train(RUN.replace(pretrained_generator=str(evil), steps=3), run, resume=True, trust=True)
    assert not mark.exists()


def test_of_a_runs_generator_the_weights_alone_are_kept(tmp_path: Path) -> None:
    engine.train(Run(game="gan", steps=1, **SHORT), tmp_path / "gan")
    engine.train(RUN.replace(pretrained_generator=str(tmp_path / "gan")), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").glob("generator.*")] == ["generator.safetensors"]
    loading.load(tmp_path / "run")  # which executes nothing, and needs no consent
