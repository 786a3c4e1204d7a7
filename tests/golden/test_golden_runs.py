"""Runs that an earlier version kept are loaded, and gone on with; see `runs.py` for what lies in `runs` and where from."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program import interalia as command
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import interalia

# random numbers are drawn as by the version that kept the runs
pytestmark = pytest.mark.usefixtures("one_stream")
RUNS = Path(__file__).parent / "runs"
NAMES = sorted(path.stem for path in RUNS.glob("*.toml"))
# Ten times what weights moved by some 8 units in their last place make of a pixel in [0, 1], and of a loss for its size:
# processors differ by less. A step that starts from other moments, noise, pools or data is off by more (1.3e-4 at least).
PIXEL, LOSS = 1e-4, 1e-4
# what later versions call a setting's value, what they make of fields that were joined, and how they call a checkpoint's part
VALUES = {"dirac": "deterministic", "spanned": "basis-noise", "fresh": "dynamic"}
JOINED = {
    "ali": {"weight_average": "ema(0.95)", "condition_on": None},
    "avb": {"weight_average": "ema(0.9)", "condition_on": None},
    "bigan": {"weight_average": "none", "condition_on": "labels"},
    "cyclegan": {"weight_average": "swa(start=0.25)", "condition_on": None},
    "implicit": {"weight_average": "ema(0.9)", "condition_on": None},
}
PARTS: dict[str, str] = {}


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a run's folder."""
    return shutil.copytree(RUNS / request.param, tmp_path / request.param)


every = pytest.mark.parametrize("folder", NAMES, indirect=True)


def stored(name: str) -> dict[str, Tensor]:
    with np.load(RUNS / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def answers(folder: Path) -> dict[str, Tensor]:
    """What a run makes of the images that are stored with it, under the same names."""
    game, kept = interalia.load(folder).game, stored(folder.name)
    if "reconstructions" in kept:
        return {"reconstructions": interalia.reconstruct(game, kept["x"], 0, kept.get("y"))}
    return {"a": interalia.translate(game, kept["x"], "a"), "b": interalia.translate(game, kept["x"], "b")}


def check_answers(folder: Path, when: str = "") -> None:
    for name, found in answers(folder).items():
        torch.testing.assert_close(found, stored(folder.name)[when + name], rtol=0, atol=PIXEL)


def resume(folder: Path, more: int) -> list[dict[str, Any]]:
    """Trains `more` steps from the checkpoint, and answers what the log says of them."""
    run = interalia.load(folder).run
    assert run.steps is not None
    interalia.train(run.replace(steps=run.steps + more, evaluate_every=0), folder, resume=True)
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)


def leaves(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The tensors and plain values of a checkpoint, each with where it stands."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield from leaves(value, (*path, PARTS.get(str(key), str(key))))
    elif isinstance(part, list | tuple):
        for i, value in enumerate(part):
            yield from leaves(value, (*path, str(i)))
    else:
        yield path, part


def check_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    """All that one checkpoint holds stands in the other, to the bit; its format's number apart."""
    found = dict(leaves(after))
    for path, value in leaves(before):
        if isinstance(value, Tensor):
            assert found[path].dtype == value.dtype, path
            assert torch.equal(found[path], value), path
        else:
            assert path == ("format",) or found[path] == value, path


@pytest.mark.parametrize("name", NAMES)
def test_weights_load_and_make_the_same_of_images(name: str) -> None:
    loaded, kept = interalia.load(RUNS / name).game.state_dict(), load_file(RUNS / name / "weights.safetensors")
    assert loaded.keys() == kept.keys()
    assert all(torch.equal(loaded[key], kept[key]) for key in kept)
    check_answers(RUNS / name)


def test_the_best_weights_load() -> None:
    file = RUNS / "ali" / "checkpoints" / "best.safetensors"
    loaded, kept = interalia.load(file), load_file(file)
    assert all(torch.equal(value, kept[key]) for key, value in loaded.game.state_dict().items())
    assert loaded.step == checkpoint(RUNS / "ali")["best"][1]


@every
def test_what_is_restored_is_what_the_checkpoint_holds(folder: Path) -> None:
    before = checkpoint(folder)
    assert resume(folder, 0) == []  # it makes no step, and writes its state
    check_same(before, checkpoint(folder))
    weights, kept = (load_file(place / "weights.safetensors") for place in (folder, RUNS / folder.name))
    assert all(torch.equal(weights[key], kept[key]) for key in kept)


@every
def test_the_next_steps_have_the_losses_of_then(folder: Path) -> None:
    names, *rows = (line.split() for line in (RUNS / f"{folder.name}.txt").read_text().splitlines())
    lines = resume(folder, len(rows))
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        found = {key.removeprefix("losses/"): value for key, value in line.items() if key.startswith("losses/")}
        assert found == pytest.approx(dict(zip(names, map(float, row), strict=True)), rel=LOSS, abs=0), line["step"]
    check_answers(folder, "later_")


def flat(fields: Mapping[str, Any]) -> Counter[str]:
    """The values of a description, whatever their fields are called."""
    alone = [value for key, value in fields.items() if key not in ("ema", "average", "labels")]
    values = [v for value in alone for v in (value.values() if isinstance(value, dict) else [value])]
    names = [value.partition("(") if isinstance(value, str) else (json.dumps(value), "", "") for value in values]
    return Counter(VALUES.get(name, name) + bracket + rest for name, bracket, rest in names)


@pytest.mark.parametrize("name", NAMES)
def test_no_setting_is_lost_on_the_way(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither of a file that a person wrote nor of a run's own, whose unknown fields are passed over."""
    given = flat(tomllib.loads((RUNS / f"{name}.toml").read_text(encoding="utf-8")))
    kept = dataclasses.asdict(interalia.load(RUNS / name).run)
    assert not given - flat(kept)
    assert {key: kept[key] for key in JOINED[name]} == JOINED[name]
    capsys.readouterr()
    assert command("train", RUNS / f"{name}.toml", "--print-config") == 0
    described = tomllib.loads(capsys.readouterr().out)
    assert not given - flat(described)
    differ = {key for key, value in described.items() if key != "format" and value != kept[key]}
    assert differ == {"monitor"}  # it is resolved in a run
    assert described["monitor"] == "auto"


def test_files_without_what_still_older_versions_did_not_write(tmp_path: Path) -> None:
    folder = shutil.copytree(RUNS / "avb", tmp_path / "avb")
    description = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    older = {"attributes", "spectral", "pack", "population", "average", "until_converged", "data_fingerprint"}
    assert older < description.keys()
    kept = {key: value for key, value in description.items() if key not in older}
    (folder / "run.json").write_text(json.dumps(kept), encoding="utf-8")
    with safe_open(folder / "weights.safetensors", framework="pt") as opened:
        header = json.loads(opened.metadata()["interalia"])
    header = {key: value for key, value in header.items() if key not in ("names", "attributes", "other", "classes")}
    header["run"] = {key: value for key, value in header["run"].items() if key not in older}
    weights = load_file(folder / "weights.safetensors")
    save_file(weights, folder / "weights.safetensors", {"interalia": json.dumps(header)})
    check_answers(folder)

    state = checkpoint(folder)
    del state["dynamics"], state["random"]["mps"]
    torch.save(state, folder / "checkpoints" / "last.pt")
    resume(folder, 0)
    check_same(state, checkpoint(folder))


def test_networks_that_auto_once_chose_are_gone_on_with_from_a_checkpoint_alone(tmp_path: Path) -> None:
    """Of a training that was killed before its first weights; its description stays, so that it is resumed again."""
    folder = shutil.copytree(RUNS / "implicit", tmp_path / "implicit")
    run = interalia.load(folder).run
    (folder / "weights.safetensors").unlink()
    for steps in (22, 23):
        interalia.train(run.replace(steps=steps), folder, resume=True)
    assert interalia.load(folder).run == run.replace(steps=23)
    assert all(tensor.ndim < 4 for tensor in load_file(folder / "weights.safetensors").values())
