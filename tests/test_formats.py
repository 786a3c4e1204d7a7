"""The version of what a run keeps: older files are translated, newer ones refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from program import interalia as command
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import interalia
from interalia.errors import UserError
from interalia.runs import Run, formats, from_toml
from interalia.runs.folder import Folder, header
from interalia.training import checkpoint

NEWER = formats.FORMAT + 1
REFUSED = rf"is of format {NEWER}, and this version of interalia reads formats up to {formats.FORMAT}; update interalia"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("formats") / "run"
    run = Run(steps=2, evaluate_every=0, checkpoint_every=2, latent_dim=2, networks="auto(width=4)")
    interalia.train(run, out)
    return out


@pytest.fixture
def run(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "run")
    return tmp_path / "run"


def set_version(run: Path, kind: str, version: Any) -> Path:
    """Puts a version into one of the files of a run, or takes it out, and answers the file."""

    def marked(values: dict[str, Any]) -> dict[str, Any]:
        values = {key: value for key, value in values.items() if key != "format"}
        return values if version is None else {**values, "format": version}

    if kind == "description":
        file = run / "run.json"
        file.write_text(json.dumps(marked(json.loads(file.read_text()))))
    elif kind == "weights":
        file = run / "weights.safetensors"
        with safe_open(file, "pt") as opened:
            about = json.loads(opened.metadata()["interalia"])
        save_file(load_file(file), file, {"interalia": json.dumps(marked(about))})
    else:
        file = run / "checkpoints/last.pt"
        torch.save(marked(torch.load(file, weights_only=True)), file)
    return file


def test_every_file_has_the_version(run: Path) -> None:
    assert json.loads((run / "run.json").read_text())["format"] == formats.FORMAT
    assert header(run / "weights.safetensors")["format"] == formats.FORMAT
    assert checkpoint.read(run / "checkpoints/last.pt")["format"] == formats.FORMAT
    assert Folder(run).run().dump().startswith(f"format = {formats.FORMAT}\n")


def test_a_newer_file_is_refused_in_a_sentence(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_version(run, "checkpoint", NEWER)
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert command("train", "--resume", run, "--steps", 3) == 2  # it does not go on from the one before
    assert "update interalia" in capsys.readouterr().err
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before
    with pytest.raises(formats.NewerError, match=REFUSED):
        checkpoint.read(run / "checkpoints/last.pt")
    set_version(run, "weights", NEWER)
    with pytest.raises(UserError, match=REFUSED):
        interalia.load(run)
    set_version(run, "description", NEWER)
    for words in (("report", run), ("generate", run), ("train", "--resume", run)):
        assert command(*words) == 2
        said = capsys.readouterr().err
        assert "run.json is of format" in said
        assert said.count("\n") == 1
    (tmp_path / "new.toml").write_text(f"format = {NEWER}\nsomething_new = 3")
    with pytest.raises(UserError, match=REFUSED):
        from_toml(tmp_path / "new.toml")


@pytest.mark.parametrize("version", ["2", 0, -1, 2.0, True, None, [2]])
def test_a_version_that_is_no_number_is_refused(version: object) -> None:
    with pytest.raises(
        UserError, match=r"run.json is of the format .*, which is no whole number from 1; restore that file\.$"
    ):
        formats.upgraded({"format": version}, "run.json")


def test_a_file_without_a_version_is_of_version_1(run: Path, tmp_path: Path) -> None:
    described = Folder(run).run()
    for kind in ("description", "weights"):
        set_version(run, kind, None)
    assert Folder(run).run() == described == interalia.load(run).run
    set_version(run, "checkpoint", None)  # the first checkpoints held another state
    with pytest.raises(UserError, match="is older than those that this version reads; train anew"):
        checkpoint.read(run / "checkpoints/last.pt")
    (tmp_path / "old.toml").write_text("latent = 3")
    assert from_toml(tmp_path / "old.toml") == {"latent": 3}


def test_older_names_are_translated_in_every_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if `latent` had had two other names, one after the other."""
    monkeypatch.setattr(formats, "RENAMED", {1: {"size_of_z": "latents", "pace": "batch"}, 2: {"latents": "latent"}})
    for kind in ("description", "weights"):
        file = run / ("run.json" if kind == "description" else "weights.safetensors")
        for version, name in ((1, "size_of_z"), (None, "size_of_z"), (1, "latents"), (2, "latents"), (2, "latent")):
            set_version(run, kind, version)
            if kind == "description":
                values = json.loads(file.read_text())
                value = next(values.pop(key) for key in ("latent", "latents", "size_of_z") if key in values)
                file.write_text(json.dumps({**values, name: value}))
                assert Folder(run).run().latent_dim == 2
            else:
                about = header(file)
                about["run"][name] = about["run"].pop("latent")
                about.pop("format", None)
                if version:
                    about["format"] = version
                save_file(load_file(file), file, {"interalia": json.dumps(about)})
                assert header(file)["run"]["latent"] == 2
                assert interalia.load(run).run.latent_dim == 2
    (tmp_path / "old.toml").write_text("size_of_z = 5\npace = 7")
    assert from_toml(tmp_path / "old.toml") == {"latent": 5, "batch": 7}
    assert command("train", tmp_path / "old.toml", "--dry-run") == 0
    assert "latent = 5\n" in capsys.readouterr().out
    (tmp_path / "twice.toml").write_text("size_of_z = 5\nlatent = 7")
    with pytest.raises(UserError, match=r"twice.toml sets `latent` twice, under an older name too; leave one out\.$"):
        from_toml(tmp_path / "twice.toml")
    assert formats.upgraded({"format": 2, "size_of_z": 5}, "x") == {"size_of_z": 5}  # a name that was gone by then


def test_weights_are_loaded_and_checkpoints_read_as_data_alone() -> None:
    """Pickles can execute code: every call says that it wants none of that."""
    source = Path(interalia.__file__).parent
    for file in source.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for part in text.split("torch.load(")[1:]:
            assert "weights_only=True" in part.partition("\n")[0], file
        assert "pickle.load" not in text
