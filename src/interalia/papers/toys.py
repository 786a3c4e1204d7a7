"""Games of two numbers, on which every dynamics has a rate that can be worked out: the bilinear game and the Dirac-GAN."""

from __future__ import annotations

import cmath
import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD

from interalia import registry
from interalia.adversarial import divergences, penalties
from interalia.adversarial.disturbances import InstanceNoise
from interalia.adversarial.joints import Joints
from interalia.conditionals import Dirac, StandardNormal
from interalia.games import GAN, Game, Outcome
from interalia.learning import dynamics
from interalia.learning.dynamics import Dynamics
from interalia.papers.experiment import Experiment, Job, Setting, Values
from interalia.registry import Part
from interalia.reports import plots

Matrix = NDArray[np.float64]
STEPS, RATES = 200, (0.1, 0.4)
GAMMA = 0.5  # of consensus
MONOTONE = 0.5


class Number(nn.Module):
    """One number that can be trained; as a network it answers it whatever it is asked."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return self.value.expand(len(z), 1)


class Slope(Number):
    """The critic s(x) = psi x."""

    def forward(self, x: Tensor) -> Tensor:
        return (self.value * x).squeeze(1)


class Quadratic(Game):
    """min over theta, max over phi, of a theta^2 / 2 + theta phi - a phi^2 / 2: bilinear with a = 0, strongly monotone above.

    F = (a theta + phi, a phi - theta), whose matrix has the eigenvalues a + i and a - i.
    """

    players = {"generator": ["theta"], "critic": ["phi"]}

    def __init__(self, a: float) -> None:
        super().__init__()
        self.theta, self.phi = Number(2.0), Number(0.5)
        self.a = a

    def sample(self, *batch: Tensor) -> Joints:
        return {}

    def losses(self, joints: Joints) -> Outcome:
        theta, phi = self.theta.value, self.phi.value
        value = self.a * theta.square() / 2 + theta * phi - self.a * phi.square() / 2
        return Outcome({"generator": value, "critic": -value})


def numbers(game: Game) -> list[nn.Parameter]:
    """theta and phi."""
    return [*game.parameters_of("generator"), *game.parameters_of("critic")]


def flow(name: str, game: Game, rate: float) -> Dynamics:
    optimisers = {player: SGD(game.parameters_of(player), lr=rate) for player in game.players}
    return registry.make(name, dynamics.REGISTRY, "dynamics", game, optimisers)


def step_from(make: Callable[[], Dynamics], state: Matrix, batch: tuple[Tensor, ...]) -> Matrix:
    """One step from a state: theta and phi, and what the dynamics remembers where it remembers anything."""
    moves = make()
    with torch.no_grad():
        for parameter, value in zip(numbers(moves.game), state[:2], strict=True):
            parameter.fill_(value)
    moves.memory = [torch.tensor(value, dtype=torch.float64) for value in state[2:]]
    moves.step(itertools.repeat(batch))
    kept = [value.item() for value in moves.memory] if len(state) > 2 else []
    return np.array([*(parameter.item() for parameter in numbers(moves.game)), *kept])


def squared_radius(make: Callable[[], Dynamics], batch: tuple[Tensor, ...] = (), reach: float = 1.0) -> float:
    """The factor by which the squared distance to 0 changes a step in the long run: the squared spectral radius of the step's
    matrix, by differences of length `reach` on both sides, which are exact for a linear step."""
    memory = 2 if isinstance(make(), dynamics.Past | dynamics.Optimistic) else 0
    columns = [
        (step_from(make, reach * unit, batch) - step_from(make, -reach * unit, batch)) / (2 * reach)
        for unit in np.eye(2 + memory)
    ]
    return radius(np.stack(columns, axis=1))


def theory(name: str, matrix: Matrix, eta: float) -> float:
    """The same by hand, from the matrix J of F(w) = J w: rows and columns theta, phi."""
    kind = Part(name).name
    eye = np.eye(2)
    if kind == "alternating":  # phi first, and theta against the newest phi
        phi = np.array([[1, 0], -eta * matrix[1] + [0, 1]])
        theta = np.array([-eta * matrix[0] + [1, 0], [0, 1]])
        return radius(theta @ phi)
    if kind == "consensus":
        return radius(eye - eta * (matrix + GAMMA * matrix.T @ matrix))
    if kind == "extragradient":
        return radius(eye - eta * matrix @ (eye - eta * matrix))
    if kind in ("past", "optimistic"):  # l^2 - (1 - 2 eta mu) l - eta mu = 0 for every eigenvalue mu of J
        roots = []
        for mu in np.linalg.eigvals(matrix):
            b = 1 - 2 * eta * mu
            root = cmath.sqrt(b * b + 4 * eta * mu)
            roots += [(b + root) / 2, (b - root) / 2]
        return float(max(abs(root) for root in roots) ** 2)
    return radius(eye - eta * matrix)


def radius(matrix: Matrix) -> float:
    """The squared spectral radius."""
    return float(np.abs(np.linalg.eigvals(matrix)).max() ** 2)


def path_of(moves: Dynamics, batch: tuple[Tensor, ...], steps: int) -> Matrix:
    """The trajectory, shape (steps + 1, 2)."""
    torch.manual_seed(0)
    points = [[p.item() for p in numbers(moves.game)]]
    for step in range(steps):
        moves.game.at(step, steps)
        moves.step(itertools.repeat(batch))
        points.append([p.item() for p in numbers(moves.game)])
    return np.array(points)


# ---- the bilinear game

NAMES = ("simultaneous", "alternating", "extragradient", "past", "optimistic")
BILINEAR_FLOWS = (*map(Part, NAMES), Part("consensus", gamma=GAMMA))


def bilinear_rows(setting: Setting) -> Iterator[Job]:
    """Every dynamics at two rates, on the bilinear game and on a strongly monotone one."""
    for game, a in (("bilinear", 0.0), ("strongly monotone", MONOTONE)):
        for flow, eta in itertools.product(BILINEAR_FLOWS, RATES):
            work = partial(bilinear, flow, a, eta, setting)
            yield Job(f"{game}: {flow.name}, rate {eta:g}", 0, work, setting.steps or STEPS)


def bilinear(name: Part, a: float, eta: float, setting: Setting) -> Values:
    steps, matrix = setting.steps or STEPS, np.array([[a, 1.0], [-1.0, a]])
    found, by_hand = squared_radius(lambda: flow(name, Quadratic(a), eta)), theory(name, matrix, eta)
    if name == BILINEAR_FLOWS[0]:  # one figure for all
        paths = {kind.name: path_of(flow(kind, Quadratic(a), eta), (), steps) for kind in BILINEAR_FLOWS}
        which, etas = "monotone" if a else "bilinear", np.linspace(0.01, 0.9, 90)
        plots.trajectories(paths, setting.pictures / f"{which}-rate-{eta:g}.png")
        lines, dots = {}, {}
        for kind in BILINEAR_FLOWS:
            lines[str(kind)] = etas, [theory(kind, matrix, float(rate)) for rate in etas]
            some = (float(rate) for rate in etas[5::12])
            dots[str(kind)] = [(rate, squared_radius(partial(flow, kind, Quadratic(a), rate))) for rate in some]
        plots.rates(lines, setting.pictures / f"{which}-rates.png", dots)
    far = np.linalg.norm(path_of(flow(name, Quadratic(a), eta), (), steps), axis=1)
    return {"factor": found, "theory": by_hand, "difference": abs(found - by_hand), "left": float(far[-1] / far[0])}


BILINEAR = Experiment(
    name="bilinear",
    about="Every dynamics on a bilinear and on a strongly monotone game of two numbers: rates against theory, trajectories.",
    rows=bilinear_rows,
    columns={
        "factor": "measured: squared distance, a step in the long run ↓",
        "theory": "by hand",
        "difference": "difference",
        "left": "distance after all steps over that before ↓",
    },
    method=f"theta and phi from (2, 1/2), {STEPS} steps of gradient descent, float64, no randomness. Bilinear: the value "
    f"theta phi. Strongly monotone: {MONOTONE} theta^2 / 2 + theta phi - {MONOTONE} phi^2 / 2. Measured: the squared "
    "spectral radius of the step's matrix, from steps of the library's dynamics at unit vectors, exact for a linear step; "
    "past and optimistic with what they remember as part of the state. By hand, with J the game's matrix: 1 - eta J for "
    f"simultaneous moves, 1 - eta J + eta^2 J^2 for extragradient, 1 - eta (J + gamma J'J) for consensus, gamma {GAMMA}; l^2 "
    "= (1 - 2 eta mu) l + eta mu for past and optimistic. On the bilinear game these are 1 + eta^2, 1 - eta^2 + eta^4, (1 - "
    "eta gamma)^2 + eta^2 and (1 + sqrt(1 - 4 eta^2)) / 2; alternation stays on an ellipse, 1.",
    quick="nothing is left out",
    seeds=1,
    cut="{steps:,} steps (--steps)",
)


# ---- the Dirac-GAN

BATCH = 8
DIRAC_STEPS, DIRAC_RATE = 1000, 0.2
PENALTY = 0.6
# a row's name -> dynamics, what the game is made of, what its penalty adds to J at (phi, phi)
DIRAC: Mapping[str, tuple[str, dict[str, Any], float | None]] = {
    **{flow.name: (flow, {}, 0.0) for flow in (*BILINEAR_FLOWS, Part("one-stage"))},
    "simultaneous, R1": ("simultaneous", {"penalty": partial(penalties.R1, gamma=PENALTY)}, PENALTY),
    "simultaneous, R1 + R2": ("simultaneous", {"penalty": partial(penalties.R1R2, gamma=PENALTY)}, 2 * PENALTY),
    "simultaneous, interpolated": ("simultaneous", {"penalty": partial(penalties.Interpolated, weight=0.3)}, None),
    "simultaneous, DRAGAN": ("simultaneous", {"penalty": partial(penalties.Dragan, weight=0.3)}, None),
    "simultaneous, instance noise": ("simultaneous", {"noise": partial(InstanceNoise, std=0.7, final=0.7)}, None),
    "extragradient, R1": ("extragradient", {"penalty": partial(penalties.R1, gamma=PENALTY)}, PENALTY),
}


def dirac(parts: Mapping[str, Any]) -> Game:
    """GAN with one number each: the generator answers theta, the critic psi x, the data are 0."""
    own = {key: part() for key, part in parts.items()}
    return GAN(Dirac(Number(1.0)), Slope(1.0), StandardNormal(1), divergences.GAN(), **own).double()


def dirac_rows(setting: Setting) -> Iterator[Job]:
    """Every dynamics without help, and simultaneous moves with every stabiliser."""
    for row, (name, parts, extra) in DIRAC.items():
        yield Job(row, 0, partial(dirac_work, row, name, parts, extra, setting), setting.steps or DIRAC_STEPS)


def dirac_work(row: str, name: str, parts: Mapping[str, Any], extra: float | None, setting: Setting) -> Values:
    batch = (torch.zeros(BATCH, 1, dtype=torch.float64),)
    path = path_of(flow(name, dirac(parts), DIRAC_RATE), batch, setting.steps or DIRAC_STEPS)
    short = row.replace(",", "").replace(" ", "-").replace("-+-", "-")
    plots.trajectories({row: path}, setting.pictures / f"dirac-{short}.png", square=False)
    found = {"left": float(np.linalg.norm(path[-1]) / np.linalg.norm(path[0]))}
    if extra is None:  # no matrix at the equilibrium: noise, or a penalty that pulls the slope to 1
        return found
    factor = squared_radius(lambda: flow(name, dirac(parts), DIRAC_RATE), batch, reach=1e-4)
    by_hand = theory(name, np.array([[0.0, -0.5], [0.5, extra]]), DIRAC_RATE)
    return {**found, "factor": factor, "theory": by_hand, "difference": abs(factor - by_hand)}


DIRAC_GAN = Experiment(
    name="dirac-gan",
    about="The Dirac-GAN: which dynamics and which stabilisers bring two numbers to the equilibrium, and how fast near it.",
    rows=dirac_rows,
    columns={
        "left": "distance to (0, 0) after all steps over that before ↓",
        "factor": "measured near it: squared distance, a step in the long run ↓",
        "theory": "by hand",
        "difference": "difference",
    },
    method="GAN's non-saturating losses, one point of data at 0, a generator that answers theta, a critic psi x, from (1, "
    f"1), gradient descent at {DIRAC_RATE:g}, {DIRAC_STEPS:,} steps, float64. R1 and R2 of {PENALTY:g}, the others of 0.3, "
    "instance noise of a constant 0.7. Near the equilibrium F has the matrix (0, -1/2; 1/2, g), g the penalty's; the "
    "measured factor is by differences of length 1e-4 at (0, 0). Interpolated and DRAGAN penalties ask for a slope of 1 and "
    "have their minimum elsewhere; instance noise is random: they have no factor here. The setting is that of Which Training "
    "Methods for GANs do actually Converge?, Lars Mescheder, Andreas Geiger, Sebastian Nowozin, 2018, "
    "https://arxiv.org/abs/1801.04406.",
    quick="nothing is left out",
    seeds=1,
    cut="{steps:,} steps (--steps)",
)
