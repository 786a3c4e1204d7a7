"""The losses of the first 20 steps of every game, in float64: a change of the code that should change no number keeps them.

    python tests/golden/curves.py     # writes them again, after an intended change

They are the same to 1e-6 on every processor: weights and noise are drawn in float64, by uniform and normal draws alone, the
networks are narrow, and the steps so small that gradient descent does not enlarge a difference in the last bits: weights
moved by 1e-12 of their size move no loss by more than 1e-11. That is checked when the curves are written.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import examples  # noqa: E402

from interalia import games, registry  # noqa: E402
from interalia.contexts import keyed  # noqa: E402
from interalia.learning.dynamics import REGISTRY  # noqa: E402
from interalia.learning.optimizers import sgd  # noqa: E402

STEPS, SAMPLES, RATE = 20, 16, 0.05
SLOW = {"vae": 0.002, "avb": 0.002}  # their losses, of a likelihood, are steep
NUDGE, MOST = 1e-12, 1e-11
DYNAMICS = ("simultaneous", "alternating")
# beyond the catalogue's defaults: terms and branches that these do not reach
MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "ali-conditional": ("ali", {"labels": 3}),
    "ali-penalized": ("ali", {"penalty": "r1r2(gamma=1.0)", "divergence": "relativistic"}),
    "ali-convolutional": ("ali", {"shape": examples.CONV, "networks": "auto(width=2, unary=True)"}),
    "avb-adaptive": ("avb(contrast=True)", {}),
    "vae-importance": ("vae(samples=5)", {}),
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in games.REGISTRY} | MORE


@contextlib.contextmanager
def double() -> Iterator[None]:
    """Whatever is drawn is drawn in float64: processors draw float32 with different last bits."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def curve(case: str, dynamics: str, nudge: float = 0.0) -> list[dict[str, float]]:
    """Each player's loss at each step; `nudge` moves every weight at the start by so much of its size, up or down."""
    kind, fields = CASES[case]
    name = kind.split("(")[0]
    with torch.random.fork_rng(devices=[]), contextlib.ExitStack() as stack:
        if not examples.infers_for_another(games.REGISTRY[name]):  # a trained generator is taken in float32 alone
            stack.enter_context(double())
        game = examples.build(kind, **fields)
        stack.enter_context(double())
        signs = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in game.parameters():
                parameter.mul_(1 + nudge * (2 * torch.randint(2, parameter.shape, generator=signs) - 1))
        optimizers = {player: sgd(game.parameters_of(player), lr=SLOW.get(name, RATE)) for player in game.players}
        moves = registry.make(dynamics, REGISTRY, "dynamics", game, optimizers)
        batches = itertools.repeat(examples.batch(game, SAMPLES))
        losses = []
        for step in range(STEPS):
            game.set_progress(step, STEPS)
            with keyed(3, step):
                losses.append({player: float(loss.detach()) for player, loss in moves.step(batches).losses.items()})
    return losses


def text(case: str) -> str:
    """A table for each dynamics, a line a step."""
    parts = []
    for dynamics in DYNAMICS:
        losses, moved = curve(case, dynamics), curve(case, dynamics, NUDGE)
        for ours, theirs in zip(losses, moved, strict=True):
            moves = max(abs(ours[player] - theirs[player]) / max(1, abs(ours[player])) for player in ours)
            assert moves < MOST, f"{case} is unstable ({moves}); take a smaller rate"
        parts.append(" ".join([dynamics, *losses[0]]))
        parts += [" ".join(f"{value:.9f}" for value in step.values()) for step in losses]
    return "\n".join(parts) + "\n"


def stored(case: str, dynamics: str) -> list[dict[str, float]]:
    """What `text` wrote for one dynamics."""
    path = HERE / f"{case}.txt"
    assert path.exists(), "run `make goldens`"
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[0] == dynamics)
    players = lines[start].split()[1:]
    rows = [line.split() for line in lines[start + 1 : start + 1 + STEPS]]
    return [dict(zip(players, map(float, row), strict=True)) for row in rows]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for old in HERE.glob("*.txt"):
        old.unlink()
    for name in CASES:
        (HERE / f"{name}.txt").write_text(text(name))
