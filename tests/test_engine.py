"""The engine: a training that is interrupted and resumed ends in exactly the state of an uninterrupted one."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples import every_third, fields_for, generator, infers_for_another
from program import alone
from test_games import in_one_stage
from torch import nn

from interalia import runs
from interalia.data.sampler import Sampler
from interalia.errors import UserError
from interalia.games import REGISTRY as GAMES
from interalia.games import Outcome
from interalia.games.feeds import Domains, PartlyLabeled
from interalia.learning import optimizers
from interalia.learning.dynamics import REGISTRY
from interalia.networks import weights
from interalia.runs import Run, loading, recipes
from interalia.runs.folder import Folder
from interalia.runs.recipes import ali_digits
from interalia.training import callbacks, checkpoint, engine
from interalia.training.callbacks import Callback, Checkpoint, Log, TerminateOnNaN
from interalia.training.state import Training


def same(a: Any, b: Any) -> bool:
    """True if two states are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def last(out: Path) -> dict[str, Any]:
    return checkpoint.read(out / "checkpoints" / "last.pt")


def small(**fields: Any) -> Run:
    """A run of a few seconds with all that the tuned recipe has: penalty, reconstruction loss, average. Its learning rates
    are constant, so that a step does not depend on the number of steps."""
    return ali_digits(
        networks="auto(width=4, unary=True)",
        schedule="constant",
        steps=24,
        log_every=2,
        evaluate_every=12,
        checkpoint_every=4,
    ).replace(**fields)


class Interrupt(Callback):
    """Sends Ctrl-C after a step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, training: Training, outcome: Outcome) -> None:
        if training.step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def interrupted(run: Run, out: Path, at: int, resume: bool = False) -> Training:
    training = engine.open_run(run, out, resume=resume)
    with pytest.raises(engine.Interrupted) as stop:
        engine.finish(training, [*callbacks.default_callbacks(training, progress=False), Interrupt(at)])
    assert stop.value.trained.step == at
    return training


SETTINGS = {
    "tuned": {},
    "paper": {"game": "ali", "penalty": "none", "divergence": "gan", "weight_average": "none"},
    "noise and decay": {"instance_noise": "annealed(std=0.2)", "schedule": "linear(start=0.2)", "lr": {"critic": 3e-4}},
    "alternating": {"dynamics": "alternating(turns={'critic': 2, 'generator': 1})", "schedule": "exponential"},
    "extragradient": {"dynamics": "extragradient"},
    "past": {"dynamics": "past", "optimizer": "adam(lr=0.0001)"},
    "optimistic": {"dynamics": "optimistic", "game": "ali", "penalty": "weight-clip"},
    "consensus": {"dynamics": "consensus(gamma=0.01)", "penalty": "r1r2"},
    "one stage": {"dynamics": "one-stage", "schedule": "cosine(warmup=0.25)"},
    "rules": {"grad_accumulation": 2, "grad_clip": 0.5, "skip_critic_above": 0.6, "dynamics": "past"},
    "swa": {"weight_average": "swa(start=0.3)", "schedule": "linear(start=0.5, warmup=0.2)"},
    "momentum": {"optimizer": "sgd(lr=0.01, momentum=0.9)"},
    "rmsprop": {"optimizer": "rmsprop(lr=0.0001)"},
}


# every dynamics is resumed bit for bit with every game below, and an optimizer is one more dictionary
LONGER = {"alternating", "extragradient", "past", "optimistic", "consensus", "momentum", "rmsprop"}
assert set(SETTINGS) > LONGER


@pytest.mark.parametrize(
    "settings",
    [pytest.param(SETTINGS[name], id=name, marks=[pytest.mark.long] if name in LONGER else []) for name in SETTINGS],
)
def test_resumed_is_unbroken(tmp_path: Path, settings: dict[str, Any]) -> None:
    run = small(**settings)
    engine.train(run, tmp_path / "unbroken")
    first = interrupted(run, tmp_path / "broken", at=7)
    assert (first.step, last(tmp_path / "broken")["step"]) == (7, 7)
    torch.rand(7)  # whatever happened in between
    second = interrupted(run, tmp_path / "broken", at=15, resume=True)
    assert second.step == 15
    engine.train(run, tmp_path / "broken", resume=True)

    a, b = last(tmp_path / "unbroken"), last(tmp_path / "broken")
    assert a["step"] == 24
    assert (a["average"] is None) == (run.weight_average == "none")
    assert set(a["optimisers"]) == {"critic", "generator"}
    assert a["best"] is not None
    assert same(a, b)
    assert same(
        (tmp_path / "unbroken/weights.safetensors").read_bytes(), (tmp_path / "broken/weights.safetensors").read_bytes()
    )
    best = "checkpoints/best.safetensors"
    assert (tmp_path / "unbroken" / best).read_bytes() == (tmp_path / "broken" / best).read_bytes()
    ours, theirs = (
        [{**line, "seconds": 0} for line in Folder(tmp_path / name).log_lines()] for name in ("unbroken", "broken")
    )
    assert ours == theirs


def test_resumed_further_than_planned(tmp_path: Path) -> None:
    engine.train(small(), tmp_path / "long")
    engine.train(small(steps=12), tmp_path / "short")
    assert last(tmp_path / "short")["step"] == 12
    engine.train(small(), tmp_path / "short", resume=True)
    assert same(last(tmp_path / "long"), last(tmp_path / "short"))
    assert Folder(tmp_path / "short").run().steps == 24
    with pytest.raises(UserError, match="step 24 already, and `steps` is 20"):
        engine.train(small(steps=20), tmp_path / "short", resume=True)


def test_callbacks_change_nothing(tmp_path: Path) -> None:
    engine.train(small(), tmp_path / "watched")
    training = engine.prepare(small())
    engine.loop(training, [])
    assert same(training.state_dict()["game"], last(tmp_path / "watched")["game"])
    assert same(training.state_dict()["random"], last(tmp_path / "watched")["random"])


def test_seeds_differ_and_repeat() -> None:
    a, b, c = (engine.train(small(steps=3, seed=seed), callbacks=[]).game.state_dict() for seed in (0, 0, 1))
    assert same(a, b)
    assert not same(a, c)


def test_resume_without_a_checkpoint_begins_at_the_beginning(tmp_path: Path) -> None:
    run = small(steps=8)
    engine.train(run, tmp_path / "whole")
    folder = Folder(tmp_path / "killed")
    folder.write(run)  # as a run that was killed before its first checkpoint leaves it
    engine.train(run, tmp_path / "killed", resume=True)
    assert same(last(tmp_path / "whole"), last(tmp_path / "killed"))


def test_a_finished_run_exports_what_a_kill_left_out(tmp_path: Path) -> None:
    run = small(steps=8)
    engine.train(run, tmp_path / "run")
    weights = (tmp_path / "run/weights.safetensors").read_bytes()
    (tmp_path / "run/weights.safetensors").unlink()  # killed between the last checkpoint and the export
    (tmp_path / "run/checkpoints/.last.pt.abcd1234").write_bytes(b"half")
    engine.train(run, tmp_path / "run", resume=True)
    assert (tmp_path / "run/weights.safetensors").read_bytes() == weights
    assert not list((tmp_path / "run").rglob(".*"))


@pytest.mark.parametrize(
    "damage", ["truncate", "flip", *(pytest.param(name, marks=pytest.mark.long) for name in ("empty", "text"))]
)
def test_damaged_checkpoints(tmp_path: Path, damage: str) -> None:
    run, out = small(steps=16), tmp_path / "run"
    engine.train(run, tmp_path / "whole")
    interrupted(run, out, at=10)

    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        if damage == "truncate":
            content = content[: len(content) // 2]
        elif damage == "empty":
            content = bytearray()
        elif damage == "text":
            content = bytearray(b"not a checkpoint")
        else:
            for i in range(len(content) // 3, len(content) // 3 + 400):
                content[i] ^= 0xFF
        path.write_bytes(content)

    spoil(out / "checkpoints/last.pt")
    training = engine.open_run(run, out, resume=True)
    assert training.step == 8
    engine.finish(training)
    assert same(last(tmp_path / "whole"), last(out))
    assert checkpoint.read(out / "checkpoints/previous.pt")["step"] == 12

    spoil(out / "checkpoints/last.pt")
    spoil(out / "checkpoints/previous.pt")
    with pytest.raises(UserError, match=r"last\.pt is damaged.*previous\.pt is damaged.*\); restore one of them, or"):
        engine.train(run, out, resume=True)


def test_a_damaged_checkpoint_never_takes_the_good_ones_place(tmp_path: Path) -> None:
    run, out = small(steps=16), tmp_path / "run"
    interrupted(run, out, at=10)
    (out / "checkpoints/last.pt").write_bytes(b"")
    training = engine.open_run(run, out, resume=True)
    good = [path for path in checkpoint.candidates(Folder(out)) if path.exists()]
    assert [checkpoint.read(path)["step"] for path in good] == [8]
    assert training.step == 8


def test_a_checkpoint_of_other_networks(tmp_path: Path) -> None:
    run, out = small(steps=8), tmp_path / "run"
    engine.train(run, out)
    with pytest.raises(UserError, match="a resumed run keeps its settings"):
        engine.train(run.replace(latent_dim=5), out, resume=True)
    folder = Folder(out)
    folder.write(folder.run().replace(latent_dim=5))  # an edited run.json
    with pytest.raises(UserError, match=r"last\.pt does not fit the run"):
        engine.train(folder.run(), out, resume=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": None}, "no length; give `steps` or `epochs`"),
        ({"optimizer": "adam(lr=-1)"}, "'adam(lr=-1)' cannot be made"),
        ({"schedule": "exponential(final=-1)"}, "cannot be made"),
        ({"networks": "auto(width=0)"}, "cannot be made"),
        ({"networks": "ali-mixture"}, "made for points"),
    ],
)
def test_what_cannot_be_trained_is_explained(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        engine.prepare(small(**changes))
    assert said in str(caught.value)


def test_a_run_is_found_again_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    (tmp_path / "here").mkdir()
    np.save(tmp_path / "here" / "x.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))
    monkeypatch.chdir(tmp_path / "here")
    engine.train(small(data="x.npy", steps=2, batch_size=8), "run")
    monkeypatch.chdir(tmp_path)
    assert loading.load_dataset(Folder(tmp_path / "here" / "run").run()).shape == (1, 8, 8)


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "interalia.cli", "train", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


NETWORKS = ["--networks", "auto(width=4, unary=True)"]
SHOWING = ["--evaluate-every", "50", "--checkpoint-every", "7", "--log-every", "3"]


def saved(out: Path) -> int:
    """The step of the newest checkpoint."""
    newest, _ = checkpoint.newest(Folder(out))
    return int(newest[1]["step"]) if newest else 0


def wait_for_checkpoint(process: subprocess.Popen[str], out: Path) -> None:
    """Until there is a newer checkpoint: however slow the machine is, something is done by then."""

    def written() -> int:
        path = out / "checkpoints" / "last.pt"
        return path.stat().st_mtime_ns if path.exists() else 0

    before = written()
    while process.poll() is None and written() == before:
        time.sleep(0.02)


def kill_and_go_on(out: Path, steps: int, kills: int, chance: random.Random, anywhere: bool) -> list[int]:
    """Kills the training so often, and returns the steps at which it was found: soon after a checkpoint, and `anywhere`
    every other time before, while it starts or writes."""
    found = []
    first = ["ali-digits", *NETWORKS, "--steps", str(steps), *SHOWING, "--out", str(out)]
    for kill in range(kills):
        begun = (out / "run.json").exists()
        if not begun:
            shutil.rmtree(out, ignore_errors=True)
        process = command("--resume", str(out)) if begun else command(*first)
        if anywhere and kill % 2 == 0:
            time.sleep(chance.uniform(0.5, 6))
        else:
            wait_for_checkpoint(process, out)
            time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.communicate()
        found.append(saved(out))
    return found


def check_killed(tmp_path: Path, steps: int, kills: int, anywhere: bool) -> None:
    out = tmp_path / "killed"
    found = kill_and_go_on(out, steps, kills, random.Random(kills), anywhere)
    assert found == sorted(found)
    assert max(found) > 0
    run = Folder(out).run()
    assert run.steps == steps
    engine.train(run, out, resume=True)
    engine.train(run, tmp_path / "whole")
    assert same(last(tmp_path / "whole"), last(out))
    steps = [line["step"] for line in Folder(out).log_lines() if "losses/critic" in line]
    assert steps == [line["step"] for line in Folder(tmp_path / "whole").log_lines() if "losses/critic" in line]
    assert all(a < b for a, b in zip(steps, steps[1:], strict=False))


@pytest.mark.long  # beside its small form, where every game is killed at a step
@pytest.mark.timeout(900)
def test_killed_at_many_random_moments(tmp_path: Path) -> None:
    check_killed(tmp_path, steps=1000, kills=25, anywhere=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_interrupted_from_the_keyboard(tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["ali-digits", *NETWORKS, "--steps", "1000", *SHOWING, "--schedule", "constant", "--out", str(out)]
    child = os.fork()
    if child == 0:
        for number, name in ((1, "printed"), (2, "said")):
            os.dup2(os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT), number)
        alone("train", *words)
    give_up = time.monotonic() + 240
    while time.monotonic() < give_up and not (out / "checkpoints/last.pt").exists():
        time.sleep(0.02)
    os.kill(child, signal.SIGINT)
    _, status = os.waitpid(child, 0)
    printed, message = (tmp_path / "printed").read_text(), (tmp_path / "said").read_text()
    assert os.waitstatus_to_exitcode(status) == 130, message
    assert f"interalia train --resume {out}" in message
    assert "Traceback" not in message + printed
    at = last(out)["step"]
    assert 0 < at < 1000
    assert f"step {at} " in message

    run = Folder(out).run()
    engine.train(run.replace(steps=at + 8), out, resume=True)
    engine.train(run.replace(steps=at + 8), tmp_path / "whole")
    for part in ("game", "average", "optimisers", "samplers", "memory", "random"):
        assert same(last(tmp_path / "whole")[part], last(out)[part])


@pytest.mark.parametrize("optimizer", ["sgd(lr=1e6)", "adam(lr=1e9)"])
def test_divergence_is_said_and_never_saved(tmp_path: Path, optimizer: str) -> None:
    run = small(
        game="ali", penalty="none", divergence="least-squares", networks="auto(width=4)", checkpoint_every=1,
        evaluate_every=0, optimizer=optimizer, steps=400,
    )  # fmt: skip
    with pytest.raises(UserError, match=r"of the (critic|generator) .* at step \d+; ") as caught:
        engine.train(run, tmp_path / "run")
    message = str(caught.value)
    assert "last good checkpoint is" in message or "no checkpoint yet" in message
    found, _ = checkpoint.newest(Folder(tmp_path / "run"))
    if found is None:
        assert "no checkpoint yet" in message
        return
    path, state = found
    assert f"{path} (step {state['step']})" in message
    for part in ("game", "average"):
        assert all(bool(t.isfinite().all()) for t in state[part].values())


class Poison(Callback):
    """Spoils one weight after a step whose losses were finite."""

    def step(self, training: Training, outcome: Outcome) -> None:
        if training.step == 10:
            with torch.no_grad():
                next(training.game.critic.parameters())[0] = float("nan")


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    training = engine.open_run(small(checkpoint_every=5, evaluate_every=0), tmp_path / "run")
    with pytest.raises(
        UserError, match=r"weights of the critic are no longer finite at step 10; .*last\.pt \(step 5\)"
    ):
        engine.finish(training, [Poison(), *callbacks.default_callbacks(training, progress=False)])
    assert last(tmp_path / "run")["step"] == 5


@pytest.mark.parametrize("warm", [False, True])
def test_average_is_the_exponential_one(warm: bool) -> None:
    training = engine.prepare(small(weight_average=f"ema(0.3, warm={warm})", steps=8))
    seen: list[dict[str, torch.Tensor]] = []

    class Look(Callback):
        def step(self, training: Training, outcome: Outcome) -> None:
            seen.append({k: v.detach().clone() for k, v in training.game.named_parameters()})

    engine.loop(training, [Look()])
    for key, value in dict(training.averaged_game.named_parameters()).items():
        expected = seen[0][key].double()
        for n, newest in enumerate(seen[1:], start=1):
            decay = min(0.3, (1 + n) / (10 + n)) if warm else 0.3
            expected = decay * expected + (1 - decay) * newest[key].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-7)
    for a, b in zip(training.averaged_game.buffers(), training.game.buffers(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("start", "first"), [(0.0, 0), (0.35, 4), (0.6, 6)])
def test_average_is_the_plain_mean(start: float, first: int) -> None:
    training = engine.prepare(small(weight_average=f"swa(start={start})", steps=10))
    seen: list[dict[str, np.ndarray]] = []

    class Look(Callback):
        def step(self, training: Training, outcome: Outcome) -> None:
            seen.append({k: v.detach().double().numpy().copy() for k, v in training.game.named_parameters()})

    engine.loop(training, [Look()])
    for key, value in training.averaged_game.named_parameters():
        mean = np.mean([weights[key] for weights in seen[first:]], axis=0)
        np.testing.assert_allclose(value.detach().double().numpy(), mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("linear(start=0.5)", [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]),
        ("linear(start=0, final=0.5)", [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55]),
        ("exponential(start=0.5, final=0.01)", [1] * 6 + [10**-0.4, 10**-0.8, 10**-1.2, 10**-1.6]),
        ("cosine(start=0.6)", [1] * 7 + [0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
        ("cosine(start=0.8, final=0.5)", [1] * 9 + [0.75]),
        ("constant(warmup=0.5)", [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1]),
        ("linear(start=0.5, warmup=0.2)", [0, 0.5, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]),
    ],
)
def test_schedules_and_the_players_rates(schedule: str, factors: list[float]) -> None:
    run = small(steps=10, schedule=schedule, lr={"critic": 0.125}, optimizer="adam(lr=0.5)")
    training = engine.prepare(run)
    for step, factor in enumerate(factors):
        training.step = step
        engine.set_learning_rates(training)
        rates = {player: o.param_groups[0]["lr"] for player, o in training.optimizers.items()}
        assert rates == pytest.approx({"critic": 0.125 * factor, "generator": 0.5 * factor})


def test_a_learning_rate_of_0_leaves_the_critic_unchanged() -> None:
    training = engine.prepare(small(steps=2, lr={"critic": 0.0}))
    before = {k: v.detach().clone() for k, v in training.game.named_parameters()}
    engine.loop(training, [])
    moved = {k.split(".")[0] for k, v in training.game.named_parameters() if not torch.equal(v, before[k])}
    assert moved == {"encoder", "decoder"}


def test_decay_ends_where_it_says() -> None:
    for t, factor in ((1.0, 0.25), (7.0, 0.25), (0.0, 1.0)):
        assert optimizers.linear(0.5, 0.25)(t) == pytest.approx(factor)
        assert optimizers.exponential(0.5, 0.25)(t) == pytest.approx(factor)
    assert optimizers.linear(1.0)(0.999) == 1.0


def test_epochs_and_precision_are_resolved() -> None:
    training = engine.prepare(small().replace(epochs=1.5))
    assert training.steps == round(1.5 * (1297 // 128))
    assert training.run.precision == "fp32"
    assert training.run.monitor == "frechet_distance"
    accumulated = engine.prepare(small().replace(epochs=2, grad_accumulation=4))  # 10 batches in an epoch
    assert accumulated.steps == 5
    engine.finish(accumulated, [])
    assert accumulated.samplers[0].epoch == 2
    assert engine.prepare(small(data="grid25", image_size=None)).run.monitor == "reverse_kl"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"monitor": "modes"}, "`monitor` is 'modes'.*ALICE.*'digits'.*reconstruction_ratio, frechet_distance"),
        ({"monitor": "precision"}, "`monitor` is 'precision'.*give one of"),
        (
            {"monitor": "reconstruction_ratio", "game": "gan"},
            "`monitor` is 'reconstruction_ratio'.*GAN.*: frechet_distance",
        ),
        ({"monitor": "frechet_distance", "data": "grid25"}, "not computed.*modes, high_quality, reverse_kl"),
        ({"monitor": "frechet_distnce"}, "did you mean 'frechet_distance'"),
        ({"lr": {"critc": 1e-3}}, "`lr` names 'critc'.*'generator' and 'critic'"),
        ({"device": "cuda:99"}, "the device 'cuda:99' cannot be used"),
        ({"device": "gpu"}, "the device 'gpu' cannot be used"),
        ({"optimizer": "adm"}, "no optimizer 'adm'; did you mean 'adam'"),
        ({"schedule": "linear(stat=1)"}, "'linear' has no setting 'stat'"),
        ({"early_stopping": 3, "evaluate_every": 0}, "counts evaluations"),
        (
            {"skip_critic_above": 0.9, "game": "vae", "penalty": "none", "divergence": "gan"},
            "leave `skip_critic_above` out",
        ),
        ({"dynamics": "alternating(turns={'critic': 0})"}, "`turns`"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        engine.train(small(**fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("best", ["reconstruction_ratio", "frechet_distance"])
def test_best_weights_are_those_of_the_monitored_metric(tmp_path: Path, best: str) -> None:
    engine.train(small(monitor=best, steps=36), tmp_path / "run")
    values = {
        line["step"]: line[f"metrics/{best}"]
        for line in Folder(tmp_path / "run").log_lines()
        if f"metrics/{best}" in line
    }
    assert sorted(values) == [12, 24, 36]
    value, step = last(tmp_path / "run")["best"]
    assert value == pytest.approx(min(values.values()), rel=1e-5)
    assert values[step] == min(values.values())
    from safetensors import safe_open

    with safe_open(tmp_path / "run/checkpoints/best.safetensors", "pt") as file:
        assert f'"step": {step}' in file.metadata()["interalia"]


def test_population_statistics_are_estimated_for_the_export_alone(tmp_path: Path) -> None:
    run = small(weight_average="none", recalibrate_bn=7)
    training = engine.open_run(run, tmp_path / "run")
    trained = engine.finish(training, callbacks.default_callbacks(training, progress=False))
    plain = engine.train(small(weight_average="none"), tmp_path / "plain")
    for key, value in training.game.state_dict().items():
        assert torch.equal(value, plain.game.state_dict()[key])  # the training itself is unchanged
    exported = loading.load(tmp_path / "run").game.state_dict()
    assert same(exported, trained.game.state_dict())
    # by hand: the first norm of the encoder, over the same batches
    norm = trained.game.encoder.network.body[1]
    assert norm.num_batches_tracked == 7
    assert norm.momentum is not None
    sampler = Sampler(len(training.stores[0]), run.batch_size, run.seed)
    linear = training.game.encoder.network.body[0]
    means = [linear(training.stores[0][next(sampler)][0].flatten(1)).mean(0) for _ in range(7)]
    assert torch.allclose(norm.running_mean, torch.stack(means).mean(0), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "sides"), [(nn.BatchNorm1d, ()), (nn.BatchNorm2d, (1, 2)), (nn.BatchNorm3d, (1, 2, 1))]
)
def test_population_statistics_are_of_every_kind_of_batch_norm(
    kind: Callable[[int], nn.Module], sides: tuple[int, ...]
) -> None:
    norm = nn.Sequential(kind(1))
    batches = [torch.full((4, 1, *sides), float(level)) for level in (1, 2, 6)]
    weights.recalibrate_batch_norm(norm, iter([(x,) for x in batches]), 3)
    assert norm[0].running_mean.item() == pytest.approx(3)  # the plain mean; the trailing one of momentum 0.1 is 0.85
    assert norm[0].momentum == 0.1
    assert not norm.training


def test_a_batch_of_one_is_refused_where_there_is_batch_norm_and_taken_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch norm averages over a batch"):
        engine.prepare(runs.Run(batch_size=1, steps=1))
    run = recipes.cyclegan_mnist(data="digits-inverted", networks="cyclegan(width=4, blocks=1)", batch_size=1, steps=2)
    assert engine.train(run, tmp_path / "run", callbacks=[]).step == 2


def smallest(game: str, dynamics: str) -> tuple[Run, nn.Module | None]:
    """A run of a game on digits, and the generator that it infers for, if it does."""
    kind = GAMES[game]
    fields: dict[str, Any] = {
        "game": game,
        "data": "digits",
        "networks": "auto(width=2)",
        "latent_dim": 3,
        "batch_size": 16,
    }
    fields |= {"data_b": "digits"} if issubclass(kind.feeds, Domains) else {}
    fields |= fields_for(kind, labels=10)
    fields |= {"num_labeled": 20} if issubclass(kind.feeds, PartlyLabeled) else {}
    run = Run(**fields, dynamics=dynamics, optimizer="adam(lr=0.0001)", steps=5, evaluate_every=0, checkpoint_every=2)
    return run, generator(run.latent_dim, (1, 8, 8)) if infers_for_another(kind) else None


PAIRS = [(game, name) for game in GAMES for name in REGISTRY]
# in the default suite every game under one or two dynamics, and every dynamics with some games
SOME = [
    pytest.param(
        *pair, marks=[] if (list(GAMES).index(pair[0]) + list(REGISTRY).index(pair[1])) % 5 == 0 else pytest.mark.long
    )
    for pair in PAIRS
]


@pytest.mark.parametrize(("game", "dynamics"), SOME)
def test_every_game_goes_on_bit_for_bit_under_every_dynamics(game: str, dynamics: str) -> None:
    """What a checkpoint holds is all that the next step depends on."""
    if dynamics == "one-stage" and not in_one_stage(game):
        pytest.skip("it says that it cannot be trained in one stage")
    run, given = smallest(game, dynamics)

    def go(training: Training, until: int) -> dict[str, Any]:
        training.run = training.run.replace(steps=until)
        engine.loop(training, [])
        kept = io.BytesIO()
        torch.save(training.state_dict(), kept)
        kept.seek(0)
        state: dict[str, Any] = torch.load(kept, weights_only=True)
        return state

    training = engine.prepare(run, generator=given)
    half = go(training, 2)
    unbroken = go(training, 5)
    resumed = engine.prepare(run, generator=given)
    resumed.load_state_dict(half)
    assert same(go(resumed, 5), unbroken)


class Killed(Callback):
    """Kills the process without cleanup."""

    def step(self, training: Training, outcome: Any) -> None:
        if training.step == 3:
            os.kill(os.getpid(), signal.SIGKILL)


def check_killed_at_the_third_step(game: str, dynamics: str, tmp_path: Path) -> None:
    """In bf16, with averaged weights: killed after the checkpoint of step 2, it ends as if it had not been."""
    run, given = smallest(game, dynamics)
    run = run.replace(precision="bf16", weight_average="ema(0.9)")

    def go(path: Path, *more: Callback, resume: bool = False) -> dict[str, Any]:
        training = engine.open_run(run, path, resume=resume, generator=given)
        engine.loop(training, [TerminateOnNaN(), Log(False), Checkpoint(), *more])
        return last(path)

    unbroken = go(tmp_path / "whole")
    child = os.fork()
    if child == 0:
        go(tmp_path / "killed", Killed())
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert last(tmp_path / "killed")["step"] == 2
    assert same(go(tmp_path / "killed", resume=True), unbroken)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("game", every_third(GAMES))
def test_every_game_survives_sigkill_under_a_dynamics_each(game: str, tmp_path: Path) -> None:
    names = [name for name in REGISTRY if name != "one-stage" or in_one_stage(game)]
    check_killed_at_the_third_step(game, names[list(GAMES).index(game) % len(names)], tmp_path)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(("game", "dynamics"), PAIRS)
def test_every_game_survives_sigkill_under_every_dynamics(game: str, dynamics: str, tmp_path: Path) -> None:
    if dynamics == "one-stage" and not in_one_stage(game):
        pytest.skip("it says that it cannot be trained in one stage")
    check_killed_at_the_third_step(game, dynamics, tmp_path)


def test_numbers_that_are_too_small_to_be_normal_cost_no_time() -> None:
    """A processor takes some hundred times as long for a denormal number; they are 0 inside a training alone."""
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor has no such mode")
    small = torch.full((8,), 1e-30)
    seen: list[bool] = []

    class Look(Callback):
        def step(self, training: Training, outcome: Outcome) -> None:
            seen.append(bool((small * 1e-10 == 0).all()))

    training = engine.prepare(ali_digits(steps=2, networks="auto(width=2)"))
    assert bool((small * 1e-10 > 0).all())
    engine.loop(training, [Look()])
    assert seen == [True, True]
    assert bool((small * 1e-10 > 0).all())
