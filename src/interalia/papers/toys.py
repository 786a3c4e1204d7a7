"""Two games of two numbers whose convergence rate is known for every dynamics: the quadratic game and the Dirac-GAN."""

from __future__ import annotations

import cmath
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
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
from interalia.conditionals import Deterministic, StandardNormal
from interalia.games import GAN, Game, Outcome
from interalia.learning import dynamics
from interalia.papers.experiment import Experiment, Job, Setting, Values, slug, texts
from interalia.registry import Part
from interalia.reports import plots

Matrix = NDArray[np.float64]
KINDS = "simultaneous", "alternating", "extragradient", "past", "optimistic"
DYNAMICS = *map(Part, KINDS), Part("consensus", gamma=0.5)
BATCH = (torch.zeros(8, 1, dtype=torch.float64),)  # data of the Dirac-GAN; the quadratic game has none


class Constant(nn.Module):
    """A network that returns the same trained numbers for every input."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.answers = nn.Parameter(torch.tensor(values))  # the name in saved weights

    def forward(self, x: Tensor) -> Tensor:
        """Returns the trained numbers once for each of n inputs x, shape (n, numbers)."""
        return self.answers.expand(len(x), -1)


class Slope(Constant):
    """A critic with the score s(x) = psi x, where the number psi is trained."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (n,), of x of shape (n, 1)."""
        return (self.answers * x).squeeze(1)


class Quadratic(Game):
    """A game of two numbers: min over theta, max over phi of a theta^2 / 2 + theta phi - a phi^2 / 2. It is bilinear for a =
    0, else strongly monotone. The matrix of its gradient field F = (a theta + phi, a phi - theta) has the eigenvalues a +- i.
    """

    players = {"generator": ["theta"], "critic": ["phi"]}

    def __init__(self, a: float) -> None:
        super().__init__()
        self.theta, self.phi, self.a = Constant(2.0), Constant(0.5), a

    def sample(self, *batch: Tensor) -> Joints:
        """Returns an empty mapping, since the game has no data; `batch` is ignored."""
        return {}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the value of the game as the generator's loss, and its negative as the critic's; `joints` is ignored."""
        theta, phi = self.theta.answers, self.phi.answers
        value = self.a * theta.square() / 2 + theta * phi - self.a * phi.square() / 2
        return Outcome({"generator": value, "critic": -value})


@dataclass(frozen=True)
class Motion:
    """A game of two numbers (theta, phi) that is trained by one of the dynamics, to compute its path and convergence rate.
    `kind` names the dynamics, `game` makes the game, `rate` is the learning rate. `matrix` is J if the gradient field of the
    losses is F(w) = J w, w = (theta, phi), near the equilibrium 0, else None. `reach` is the step of central differences.
    """

    kind: Part
    game: Callable[[], Game]
    rate: float
    matrix: Matrix | None
    reach: float = 1.0

    def make(self) -> dynamics.Dynamics:
        """Returns the dynamics of a new game, with gradient descent at the learning rate `rate`, in float64."""
        game = self.game().double()
        optimizers = {player: SGD(game.parameters_of(player), lr=self.rate) for player in game.players}
        return registry.make(self.kind, dynamics.REGISTRY, "dynamics", game, optimizers)

    def path(self, steps: int) -> Matrix:
        """Returns the points (theta, phi) at the start and after each of the steps, shape (steps + 1, 2)."""
        torch.manual_seed(0)
        moves = self.make()
        states = [state(moves)]
        for _ in range(steps):
            states.append(step(moves, states[-1]))
        return np.array([found[:2] for found in states])

    def factor(self) -> float:
        """Returns the measured convergence rate: the factor of the squared distance to the equilibrium per step, near it. It
        is the squared spectral radius of the Jacobian matrix of one step, by central differences (exact for a linear step).
        """
        moves = self.make()
        units = self.reach * np.eye(len(step(moves, np.zeros(2))))
        columns = [(step(moves, unit) - step(moves, -unit)) / (2 * self.reach) for unit in units]
        return radius(np.stack(columns, axis=1))

    def theory(self) -> float:
        """Returns the convergence rate by theory: the squared spectral radius of the Jacobian matrix of one step, derived
        from J, where F(w) = J w is the gradient field. The field `matrix`, which is J, must not be None.
        """
        matrix, eta, eye, name = np.asarray(self.matrix), self.rate, np.eye(2), self.kind.name
        if name in ("past", "optimistic"):  # l^2 - (1 - 2 eta mu) l - eta mu = 0 for every eigenvalue mu of J
            halves = [(1 - 2 * eta * mu, 4 * eta * mu) for mu in np.linalg.eigvals(matrix)]
            return float(max(abs((b + sign * cmath.sqrt(b * b + c)) / 2) for b, c in halves for sign in (1, -1)) ** 2)
        moved = eye - eta * matrix
        if name == "extragradient":
            moved = eye - eta * matrix @ moved
        elif name == "consensus":
            moved = eye - eta * (matrix + self.kind.settings["gamma"] * matrix.T @ matrix)
        elif name == "alternating":  # phi first, and theta against the newest phi
            moved = np.array([moved[0], eye[1]]) @ np.array([eye[0], moved[1]])
        return radius(moved)


def state(moves: dynamics.Dynamics) -> Matrix:
    """Returns (theta, phi), or (theta, phi, a, b) with the last gradients or updates a, b if the dynamics store them."""
    return np.array([value.item() for value in (*moves.parameters(), *moves.previous)])


def step(moves: dynamics.Dynamics, start: Matrix) -> Matrix:
    """Takes one step of the dynamics `moves` from the vector `start`, and returns the vector after it. Both have the order of
    `state`: theta, phi, and then two stored gradients or updates if there are any. The game's parameters are overwritten.
    """
    values = list(torch.tensor(start)[:, None])
    dynamics.assign(moves.parameters(), values[:2])
    moves.previous = values[2:]
    moves.step(itertools.repeat(BATCH))
    return state(moves)


def radius(matrix: Matrix) -> float:
    """Returns the squared spectral radius of a square matrix, i.e. its largest squared absolute eigenvalue."""
    return float(np.abs(np.linalg.eigvals(matrix)).max() ** 2)


def jobs(motions: Mapping[str, Motion], length: int, draw: Callable[..., object], setting: Setting) -> Iterator[Job]:
    """Yields a `Job` for each entry of `motions`, name of a row -> `Motion`, which computes its path and convergence rate.
    `length` is the number of steps if `setting.steps` is None. `draw(row's name, motion, path, folder)` writes the picture.
    """
    steps = setting.steps or length

    def measure(row: str, motion: Motion) -> Values:
        """Draws the path of the motion in the row called `row` and returns column -> value. `left` is the final divided by
        the initial distance to the equilibrium 0. `factor` is the measured convergence rate, the factor of the squared
        distance per step, `theory` the one by theory and `difference` their absolute difference; these need the motion's
        `matrix` of the gradient field, and are missing without it.
        """
        path = motion.path(steps)
        draw(row, motion, path, setting.pictures)
        found = {"left": float(np.linalg.norm(path[-1]) / np.linalg.norm(path[0]))}
        if motion.matrix is None:
            return found
        factor, theory = motion.factor(), motion.theory()
        return {**found, "factor": factor, "theory": theory, "difference": abs(factor - theory)}

    for row, motion in motions.items():
        yield Job(row, 0, partial(measure, row, motion), steps)


QUADRATIC = {
    f"{name}: {kind.name}, rate {eta:g}": Motion(kind, partial(Quadratic, a), eta, np.array([[a, 1.0], [-1.0, a]]))
    for name, a in (("bilinear", 0.0), ("strongly monotone", 0.5))
    for kind, eta in itertools.product(DYNAMICS, (0.1, 0.4))
}


def draw_all(row: str, motion: Motion, path: Matrix, folder: Path) -> None:
    """Draws the paths of all dynamics in the motion's game, and their convergence rates against the learning rate, into PNG
    files in `folder`, once: if the motion has the first of `DYNAMICS`. Of `path`, only the number of points is used.
    """
    if motion.kind != DYNAMICS[0]:
        return
    name, every = row.partition(":")[0].split()[-1], [replace(motion, kind=kind) for kind in DYNAMICS]
    paths = {one.kind.name: one.path(len(path) - 1) for one in every}
    plots.trajectories(paths, folder / f"{name}-rate-{motion.rate:g}.png")
    lines, dots = {}, {}
    for one in every:
        at = [replace(one, rate=float(rate)) for rate in np.linspace(0.01, 0.9, 90)]
        lines[str(one.kind)] = [[(some.rate, some.theory()) for some in at]]
        dots[str(one.kind)] = [(some.rate, some.factor()) for some in at[5::12]]
    labels = "learning rate", "squared distance per step"
    plots.mean_and_std(lines, folder / f"{name}-rates.png", *labels, dots, level=1.0)


BILINEAR = Experiment(**texts("bilinear"), rows=partial(jobs, QUADRATIC, 200, draw_all))


def dirac(kind: Part, extra: float | None = 0.0, **parts: Callable[[], Any]) -> Motion:
    """Returns the `Motion` of the Dirac-GAN by the dynamics `kind`, with the learning rate 0.2: the generator returns theta,
    the critic's score is psi x, and all data are 0. `extra` is the second derivative of the penalty by psi: 0 without a
    penalty, None if not known. `parts` are name -> function that makes a keyword argument of `GAN`, such as penalty.
    """
    matrix = None if extra is None else np.array([[0.0, -0.5], [0.5, extra]])
    return Motion(kind, partial(dirac_gan, parts), 0.2, matrix, reach=1e-4)


def dirac_gan(parts: Mapping[str, Callable[[], Any]]) -> Game:
    """Returns a new Dirac-GAN, at theta = psi = 1; `parts`: name -> function that makes a keyword argument of `GAN`."""
    own = {key: part() for key, part in parts.items()}
    return GAN(Deterministic(Constant(1.0)), Slope(1.0), StandardNormal(1), divergences.GAN(), **own)


R1, R1R2 = partial(penalties.R1, gamma=0.6), partial(penalties.R1R2, gamma=0.6)
DIRAC = {
    **{kind.name: dirac(kind) for kind in (*DYNAMICS, Part("one-stage"))},
    "simultaneous, R1": dirac(DYNAMICS[0], 0.6, penalty=R1),
    "simultaneous, R1 + R2": dirac(DYNAMICS[0], 1.2, penalty=R1R2),
    "simultaneous, interpolated": dirac(DYNAMICS[0], None, penalty=partial(penalties.WGANGP, weight=0.3)),
    "simultaneous, DRAGAN": dirac(DYNAMICS[0], None, penalty=partial(penalties.Dragan, weight=0.3)),
    "simultaneous, instance noise": dirac(DYNAMICS[0], None, noise=partial(InstanceNoise, std=0.7, final=0.7)),
    "extragradient, R1": dirac(DYNAMICS[2], 0.6, penalty=R1),
}


def draw_one(row: str, _: Motion, path: Matrix, folder: Path) -> None:
    """Draws the path of the row `row`, points in order, shape (steps + 1, 2), into a PNG file in the folder `folder`."""
    plots.trajectories({row: path}, folder / f"dirac-{slug(row)}.png", square=False)


DIRAC_GAN = Experiment(**texts("dirac-gan"), rows=partial(jobs, DIRAC, 1000, draw_one))
