"""The library's training ends in exactly the weights of a plain loop over plain networks, fully connected and convolutional,
with all default callbacks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import algorithm_1
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interalia import data
from interalia.games import Game
from interalia.networks import layers
from interalia.runs import Run
from interalia.runs.folder import Folder
from interalia.training import checkpoint, engine

pytestmark = pytest.mark.usefixtures("one_stream")
LATENT, BATCH, STEPS, LR, DECAY = 8, 32, 43, 1e-3, 0.9  # an epoch and a bit


def networks(game: Game) -> tuple[nn.Module, ...]:
    critic: nn.Module = game.critic
    return game.encoder, game.decoder, critic.joint, critic.x, critic.z or nn.Identity()


def tensors(modules: Iterable[nn.Module]) -> list[Tensor]:
    return [t for m in modules for t in (*m.parameters(), *m.buffers())]


def copy_weights(source: Iterable[nn.Module], target: Iterable[nn.Module]) -> None:
    with torch.no_grad():
        for a, b in zip(tensors(source), tensors(target), strict=True):
            assert a.shape == b.shape
            b.copy_(a)


def check(run: Run, players: algorithm_1.Players, out: Path) -> None:
    x = torch.from_numpy(np.array(data.load(run.data).train.x))
    beginning = engine.prepare(run)  # leaves torch's random state where the first step finds it
    copy_weights(networks(beginning.game), players.all)
    for module in players.all:  # as the library keeps convolutions on a CPU; another layout rounds differently
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first = [t.clone() for t in tensors(players.all)]
    average = algorithm_1.train(players, x, LATENT, BATCH, STEPS, LR, DECAY, run.seed)

    trained = engine.train(run, out)
    assert trained.step == STEPS
    game = beginning.game
    game.load_state_dict(checkpoint.read(Folder(out).checkpoints / "last.pt")["game"])
    ours, plain, mean = tensors(networks(game)), tensors(players.all), tensors(average.all)
    assert len(ours) == len(plain) > 15
    assert not any(torch.equal(a, b) for a, b in zip(first, plain, strict=True))  # something was learned
    assert all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(tensors(networks(trained.game)), mean, strict=True))


def described(source: str) -> Run:
    return Run(
        encoder="gaussian(widest=1e9)",  # as in the paper: no limit is reached
        game="ali",
        data=source,
        networks="auto(width=8)",
        optimizer=f"adam(lr={LR})",
        latent_dim=LATENT,
        batch_size=BATCH,
        steps=STEPS,
        weight_average=f"ema({DECAY})",
        precision="fp32",
        dynamics="simultaneous",  # auto may take one pass of the critic for both players, which rounds differently
        log_every=3,
        evaluate_every=21,
        checkpoint_every=7,
        seed=5,
    )


def test_fully_connected(tmp_path: Path) -> None:
    check(described("digits"), algorithm_1.small((1, 8, 8), LATENT, 64), tmp_path / "run")


def test_convolutional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's convolutions in both: the library's own round differently (tests/test_convolutions.py holds them to torch's)
    monkeypatch.setattr(layers, "convolve", lambda *_: None)
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (300, 20, 20), dtype=np.uint8))
    check(described(str(tmp_path / "images.npy")), algorithm_1.convolutional(LATENT, 8), tmp_path / "run")
