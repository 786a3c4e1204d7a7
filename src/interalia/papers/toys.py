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
from interalia.papers.experiment import Experiment, Job, Setting, Values
from interalia.registry import Part
from interalia.reports import plots

Matrix = NDArray[np.float64]
FLOWS = (
    *map(Part, ("simultaneous", "alternating", "extragradient", "past", "optimistic")),
    Part("consensus", gamma=0.5),
)
WHOLE: Mapping[str, Any] = {"quick": "nothing is left out", "seeds": 1, "cut": "{steps:,} steps (--steps)"}
BATCH = (torch.zeros(8, 1, dtype=torch.float64),)  # the data of the Dirac-GAN; the quadratic game has none


class Constant(nn.Module):
    """Numbers that are trained; as a network it answers them whatever it is asked."""

    def __init__(self, *answers: float) -> None:
        super().__init__()
        self.answers = nn.Parameter(torch.tensor(answers))

    def forward(self, x: Tensor) -> Tensor:
        return self.answers.expand(len(x), -1)


class Slope(Constant):
    """The critic s(x) = psi x."""

    def forward(self, x: Tensor) -> Tensor:
        return (self.answers * x).squeeze(1)


class Quadratic(Game):
    """min over theta, max over phi, of a theta^2 / 2 + theta phi - a phi^2 / 2: bilinear with a = 0, strongly monotone above.

    F = (a theta + phi, a phi - theta), whose matrix has the eigenvalues a + i and a - i.
    """

    players = {"generator": ["theta"], "critic": ["phi"]}

    def __init__(self, a: float) -> None:
        super().__init__()
        self.theta, self.phi, self.a = Constant(2.0), Constant(0.5), a

    def sample(self, *batch: Tensor) -> Joints:
        return {}

    def losses(self, joints: Joints) -> Outcome:
        theta, phi = self.theta.answers, self.phi.answers
        value = self.a * theta.square() / 2 + theta * phi - self.a * phi.square() / 2
        return Outcome({"generator": value, "critic": -value})


def numbers(game: Game) -> list[nn.Parameter]:
    """theta and phi."""
    return [*game.parameters_of("generator"), *game.parameters_of("critic")]


def flow(kind: Part, game: Callable[[], Game], rate: float) -> dynamics.Dynamics:
    """Gradient descent in a new game."""
    made = game().double()
    optimisers = {player: SGD(made.parameters_of(player), lr=rate) for player in made.players}
    return registry.make(kind, dynamics.REGISTRY, "dynamics", made, optimisers)


def path_of(moves: dynamics.Dynamics, steps: int) -> Matrix:
    """The trajectory, shape (steps + 1, 2)."""
    torch.manual_seed(0)
    points = [[p.item() for p in numbers(moves.game)]]
    for step in range(steps):
        moves.game.at(step, steps)
        moves.step(itertools.repeat(BATCH))
        points.append([p.item() for p in numbers(moves.game)])
    return np.array(points)


def step_from(moves: dynamics.Dynamics, state: Matrix) -> Matrix:
    """One step from a state: theta and phi, and what the dynamics remembers where it remembers anything."""
    with torch.no_grad():
        for parameter, value in zip(numbers(moves.game), state[:2], strict=True):
            parameter.fill_(value)
    moves.memory = [torch.tensor([value], dtype=torch.float64) for value in state[2:]]
    moves.step(itertools.repeat(BATCH))
    return np.array([value.item() for value in (*numbers(moves.game), *moves.memory)])


def squared_radius(moves: dynamics.Dynamics, reach: float) -> float:
    """The factor by which the squared distance to 0 changes a step in the long run: the squared spectral radius of the step's
    matrix, by differences of length `reach` on both sides, which are exact for a linear step."""
    units = reach * np.eye(4 if isinstance(moves, dynamics.Past | dynamics.Optimistic) else 2)
    columns = [(step_from(moves, unit) - step_from(moves, -unit)) / (2 * reach) for unit in units]
    return radius(np.stack(columns, axis=1))


def radius(matrix: Matrix) -> float:
    """The squared spectral radius."""
    return float(np.abs(np.linalg.eigvals(matrix)).max() ** 2)


def theory(kind: Part, matrix: Matrix, eta: float) -> float:
    """The same by hand, from the matrix J of F(w) = J w: rows and columns theta, phi."""
    eye = np.eye(2)
    if kind.name == "alternating":  # phi first, and theta against the newest phi
        phi = np.array([[1, 0], -eta * matrix[1] + [0, 1]])
        return radius(np.array([-eta * matrix[0] + [1, 0], [0, 1]]) @ phi)
    if kind.name == "consensus":
        return radius(eye - eta * (matrix + kind.settings["gamma"] * matrix.T @ matrix))
    if kind.name == "extragradient":
        return radius(eye - eta * matrix @ (eye - eta * matrix))
    if kind.name in ("past", "optimistic"):  # l^2 - (1 - 2 eta mu) l - eta mu = 0 for every eigenvalue mu of J
        halves = [(1 - 2 * eta * mu, 4 * eta * mu) for mu in np.linalg.eigvals(matrix)]
        return float(max(abs((b + sign * cmath.sqrt(b * b + c)) / 2) for b, c in halves for sign in (1, -1)) ** 2)
    return radius(eye - eta * matrix)


def measured(kind: Part, game: Callable[[], Game], rate: float, matrix: Any, path: Matrix, reach: float) -> Values:
    """Where a path ends, and, where the game has a matrix J, the factor and what theory says of it."""
    found = {"left": float(np.linalg.norm(path[-1]) / np.linalg.norm(path[0]))}
    if matrix is None:
        return found
    factor, by_hand = squared_radius(flow(kind, game, rate), reach), theory(kind, matrix, rate)
    return {**found, "factor": factor, "theory": by_hand, "difference": abs(factor - by_hand)}


def bilinear_rows(setting: Setting) -> Iterator[Job]:
    """Every dynamics at two rates, on the bilinear game and on a strongly monotone one."""
    for name, a in (("bilinear", 0.0), ("strongly monotone", 0.5)):
        for kind, eta in itertools.product(FLOWS, (0.1, 0.4)):
            steps = setting.steps or 200
            yield Job(f"{name}: {kind.name}, rate {eta:g}", 0, partial(bilinear, kind, a, eta, steps, setting), steps)


def bilinear(kind: Part, a: float, eta: float, steps: int, setting: Setting) -> Values:
    matrix, game = np.array([[a, 1.0], [-1.0, a]]), partial(Quadratic, a)
    if kind == FLOWS[0]:  # one figure for all
        paths = {one.name: path_of(flow(one, game, eta), steps) for one in FLOWS}
        picture, etas = setting.pictures / ("monotone" if a else "bilinear"), np.linspace(0.01, 0.9, 90)
        plots.trajectories(paths, picture.with_name(f"{picture.name}-rate-{eta:g}.png"))
        lines, dots = {}, {}
        for one in FLOWS:
            lines[str(one)] = etas, [theory(one, matrix, float(rate)) for rate in etas]
            some = (float(rate) for rate in etas[5::12])
            dots[str(one)] = [(rate, squared_radius(flow(one, game, rate), 1.0)) for rate in some]
        plots.rates(lines, picture.with_name(f"{picture.name}-rates.png"), dots)
    return measured(kind, game, eta, matrix, path_of(flow(kind, game, eta), steps), reach=1.0)


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
    method="theta and phi from (2, 1/2), 200 steps of gradient descent, float64. Bilinear: the value theta phi. Strongly "
    "monotone: theta^2 / 4 + theta phi - phi^2 / 4. Measured: the squared spectral radius of the step's matrix, by steps "
    "from unit vectors, what is remembered being part of the state. By hand: that of the matrix that follows from J.",
    **WHOLE,
)

R1, R1R2 = partial(penalties.R1, gamma=0.6), partial(penalties.R1R2, gamma=0.6)
# a row's name -> dynamics, what the game is made of, what its penalty adds to J at (phi, phi), where there is a J: noise has
# none, nor a penalty that pulls the slope to 1
DIRAC: Mapping[str, tuple[Part, dict[str, Any], float | None]] = {
    **{flow.name: (flow, {}, 0.0) for flow in (*FLOWS, Part("one-stage"))},
    "simultaneous, R1": (FLOWS[0], {"penalty": R1}, 0.6),
    "simultaneous, R1 + R2": (FLOWS[0], {"penalty": R1R2}, 1.2),
    "simultaneous, interpolated": (FLOWS[0], {"penalty": partial(penalties.Interpolated, weight=0.3)}, None),
    "simultaneous, DRAGAN": (FLOWS[0], {"penalty": partial(penalties.Dragan, weight=0.3)}, None),
    "simultaneous, instance noise": (FLOWS[0], {"noise": partial(InstanceNoise, std=0.7, final=0.7)}, None),
    "extragradient, R1": (FLOWS[2], {"penalty": R1}, 0.6),
}


def dirac_rows(setting: Setting) -> Iterator[Job]:
    """Every dynamics without help, and simultaneous moves with every stabiliser."""
    for row, (kind, parts, extra) in DIRAC.items():
        steps = setting.steps or 1000
        yield Job(row, 0, partial(dirac, row, kind, parts, extra, steps, setting), steps)


def dirac(row: str, kind: Part, parts: Mapping[str, Any], extra: float | None, steps: int, setting: Setting) -> Values:
    """GAN with one number each: the generator answers theta, the critic psi x, the data are 0."""

    def game() -> Game:
        own = {key: part() for key, part in parts.items()}
        return GAN(Dirac(Constant(1.0)), Slope(1.0), StandardNormal(1), divergences.GAN(), **own)

    rate, short = 0.2, row.replace(",", "").replace(" ", "-").replace("-+-", "-")
    path = path_of(flow(kind, game, rate), steps)
    plots.trajectories({row: path}, setting.pictures / f"dirac-{short}.png", square=False)
    matrix = None if extra is None else np.array([[0.0, -0.5], [0.5, extra]])
    return measured(kind, game, rate, matrix, path, reach=1e-4)


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
    "1), gradient descent at 0.2, 1,000 steps, float64; instance noise of a constant 0.7. The factor is by differences of "
    "length 1e-4 at (0, 0), where F has the matrix (0, -1/2; 1/2, g), g the penalty's. The setting is that of Which Training "
    "Methods for GANs do actually Converge?, Lars Mescheder, Andreas Geiger, Sebastian Nowozin, 2018, "
    "https://arxiv.org/abs/1801.04406.",
    **WHOLE,
)
