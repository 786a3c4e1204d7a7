"""Callbacks: the files that they write, and a log that continues from its checkpoint."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from interalia.runs import Run
from interalia.runs.folder import Folder
from interalia.runs.recipes import ali_digits
from interalia.training import callbacks, checkpoint, engine
from interalia.training.callbacks import Bar
from interalia.training.callbacks.callback import is_due


def tiny(**fields: Any) -> Run:
    run = ali_digits(networks="auto(width=4)", steps=12, evaluate_every=6, checkpoint_every=4, log_every=2)
    return run.replace(schedule="constant").replace(**fields)


def test_due() -> None:
    assert [step for step in range(1, 12) if is_due(step, 4, 11)] == [4, 8, 11]
    assert not any(is_due(step, 0, 11) for step in range(1, 12))


def test_every_line_of_the_log(tmp_path: Path) -> None:
    engine.train(tiny(lr={"critic": 0.002}), tmp_path / "run")
    lines = Folder(tmp_path / "run").log_lines()
    trained = [line for line in lines if "losses/critic" in line]
    assert [line["step"] for line in trained] == [2, 4, 6, 8, 10, 12]
    for line in trained:
        keys = ("losses/generator", "scores/p", "scores/q", "probabilities/p", "probabilities/q", "seconds", "epoch")
        assert all(isinstance(line[key], float) for key in keys)
        assert (line["rates/critic"], line["rates/generator"]) == (0.002, 0.001)
        assert 0 < line["probabilities/q"] < 1
    assert trained[-1]["epoch"] == 1.2  # 12 of 10 batches an epoch
    assert [line["seconds"] for line in trained] == sorted(line["seconds"] for line in trained)
    measured = [line for line in lines if "metrics/frechet_distance" in line]
    assert [line["step"] for line in measured] == [6, 12]
    assert all(line["metrics/reconstruction_ratio"] > 0 for line in measured)


def test_the_log_goes_on_after_its_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "run"
    engine.train(tiny(steps=8), out)
    with open(out / "log.jsonl", "a") as file:  # as a process leaves it that was killed between two checkpoints
        file.write(json.dumps({"step": 10, "losses/critic": 1e9}) + "\n")
        file.write(json.dumps({"step": 12, "losses/critic": 1e9}) + "\n" + '{"step": 14, "losses/cri')
    assert [line["step"] for line in Folder(out).log_lines()][-2:] == [10, 12]
    engine.train(tiny(steps=16), out, resume=True)
    steps = [line["step"] for line in Folder(out).log_lines() if "losses/critic" in line]
    assert steps == [2, 4, 6, 8, 10, 12, 14, 16]
    assert "1000000000" not in (out / "log.jsonl").read_text()
    assert all(json.loads(line) for line in (out / "log.jsonl").read_text().splitlines())


def test_checkpoints_at_their_times(tmp_path: Path) -> None:
    engine.train(tiny(steps=10), tmp_path / "run")
    found = [checkpoint.read(path)["step"] for path in checkpoint.candidates(Folder(tmp_path / "run"))]
    assert found == [10, 8]
    newest, _ = checkpoint.newest(Folder(tmp_path / "run"))
    assert newest is not None
    assert (newest[0], newest[1]["step"]) == (tmp_path / "run/checkpoints/last.pt", 10)
    assert checkpoint.newest(Folder(tmp_path / "nowhere")) == (None, {})


def test_pictures_and_best_weights(tmp_path: Path) -> None:
    engine.train(tiny(), tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run/figures/progress").iterdir()) == [
        "step-0000006.png",
        "step-0000012.png",
    ]
    assert (tmp_path / "run/checkpoints/best.safetensors").exists()
    engine.train(tiny(evaluate_every=0), tmp_path / "blind")
    assert not (tmp_path / "blind/checkpoints/best.safetensors").exists()
    assert not (tmp_path / "blind/figures").exists()


def test_evaluation_leaves_the_training_as_it_is(tmp_path: Path) -> None:
    from interalia.training.callbacks.evaluate import Evaluate

    training = engine.open_run(tiny(), tmp_path / "run")
    log = callbacks.Log()
    callback = Evaluate(log)
    log.start(training)
    callback.start(training)
    before = training.state_dict()
    copies = {k: v.clone() for k, v in before["game"].items()}
    modes = [module.training for module in training.game.modules()]
    training.step = 6
    callback.evaluate(training)
    after = training.state_dict()
    assert torch.equal(before["random"]["cpu"], after["random"]["cpu"])
    assert all(torch.equal(copies[k], v) for k, v in after["game"].items())
    assert [module.training for module in training.game.modules()] == modes
    assert before["samplers"] == after["samplers"]


def test_nothing_is_kept_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine.train(tiny())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("terminal", [False, True])
def test_progress(terminal: bool) -> None:
    out = io.StringIO()
    bar = Bar(Console(file=out, force_terminal=terminal, width=160))
    training = engine.prepare(tiny())
    engine.loop(training, [bar])
    said = out.getvalue()
    assert "12/12" in said
    assert "steps/s" in said
    assert "critic" in said
    if not terminal:
        assert len(said.splitlines()) <= 3  # a line now and then, not one a step
        assert "\x1b" not in said


def test_what_a_stop_says(tmp_path: Path) -> None:
    out = io.StringIO()
    training = engine.open_run(tiny(), tmp_path / "run")
    bar = Bar(Console(file=out, width=300))
    bar.start(training)
    training.step = 5
    bar.stop(training)
    assert f"Stopped at step 5 of 12; everything is saved in {tmp_path}" in out.getvalue()
