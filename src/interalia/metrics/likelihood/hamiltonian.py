"""Hamiltonian Monte Carlo on a path of densities, from one that can be sampled to p(x, z).

Many chains run at once, with a step size for each image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

LogDensity = Callable[[Tensor, bool], tuple[Tensor, Tensor]]
"""Maps z, shape (n, d), and `with_value` to the log density in nats, shape (n,), and its gradient, shape (n, d).

If `with_value` is False, as within a trajectory, only the gradient is used and the values are arbitrary."""

Progress = Callable[[float], None]  # called with each finished share of the whole

TARGET = 0.65  # acceptance that step sizes are tuned to, the most efficient one in many dimensions
JITTER = 0.2  # a transition's step size is 1 - JITTER to 1 + JITTER times the tuned one
KNOTS = 12  # places on the path where step sizes are tuned
SETTLING = 20  # transitions at the first place before the tuning follows the path
ROUNDS = 4  # transitions at each place; more in a long run, of which they are a tenth
GAIN = 1.5  # change of the log step size per difference from the target acceptance


class State(NamedTuple):
    """The state of n Markov chains in d dimensions: their positions z, and two log densities and their gradients at z.

    The densities are the ends of a path f_b(z) = q0(z)^(1 - b) p(x, z)^b, i.e. q0 at b = 0 and p at b = 1. The state
    does not depend on b.

    Attributes:
        z: the positions, shape (n, d).
        log_q: log q0(z), shape (n,).
        log_p: log p(x, z), shape (n,).
        slope_q: the gradient of log q0(z), shape (n, d).
        slope_p: the gradient of log p(x, z), shape (n, d).
    """

    z: Tensor
    log_q: Tensor
    log_p: Tensor
    slope_q: Tensor
    slope_p: Tensor

    def log_density(self, b: float) -> Tensor:
        """The log density of each chain at b on the path, (1 - b) log q0(z) + b log p(x, z), shape (n,)."""
        return (1 - b) * self.log_q + b * self.log_p

    def slope(self, b: float) -> Tensor:
        """The gradient in z of each chain's log density at b on the path, (1 - b) log q0(z) + b log p(x, z), shape (n, d)."""
        return torch.lerp(self.slope_q, self.slope_p, b)


@dataclass(frozen=True)
class Bridge:
    """The densities f_b = q0^(1 - b) p^b from q0 (b = 0), which can be sampled, to p (b = 1), whose integral is estimated.

    Attributes:
        q: maps z to log q0(z) and its gradient.
        p: maps z to log p(z) and its gradient; p is not normalized.
    """

    q: LogDensity
    p: LogDensity

    def at(self, z: Tensor, with_value: bool = True) -> State:
        """Returns the state of chains at positions z, shape (n, d): both log densities and their gradients there.

        Unless `with_value`, only the gradients are valid.
        """
        log_q, slope_q = self.q(z, with_value)
        log_p, slope_p = self.p(z, with_value)
        return State(z, log_q, log_p, slope_q, slope_p)


def normal_density(mean: Tensor, scale: Tensor) -> LogDensity:
    """Returns the log density of the Gaussian N(z; mean, diag scale^2) as a function.

    The function maps z, shape (n, d), and a boolean `with_value` to the log density, shape (n,), and its gradient in z,
    shape (n, d). With False only the gradient is valid.

    Arguments:
        mean: the mean, shape (d,) or (n, d).
        scale: the standard deviations, of the same shape.

    Example:
        >>> log_density, slope = normal_density(torch.zeros(2), torch.ones(2))(torch.tensor([[0.0, 2.0]]), True)
        >>> round(float(log_density), 4), slope.tolist()  # -log(2 pi) - 2
        (-3.8379, [[-0.0, -2.0]])
    """
    constant = -scale.log().sum(-1) - mean.shape[-1] * math.log(2 * math.pi) / 2
    inverse = scale.reciprocal()

    def density(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:
        """Returns log N(z; mean, diag scale^2), shape (n,), and its gradient in z, shape (n, d), for z of shape (n, d).

        Unless `with_value`, the first is any number instead, since only the gradient is used.
        """
        white = (z - mean) * inverse
        value = constant - white.square().sum(-1) / 2 if with_value else constant
        return value, -white * inverse

    return density


def autograd_density(log_density: Callable[[Tensor], Tensor]) -> LogDensity:
    """Returns the function that maps z to a log density and to its gradient in z, by automatic differentiation.

    The gradient is 0 if the log density does not depend on z. The function's second argument, `with_value`, is ignored.

    Arguments:
        log_density: maps z, shape (n, d), to log densities, shape (n,).
    """

    def density(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:
        """Returns the log density at z, shape (n,), and its gradient in z, shape (n, d); `with_value` is ignored."""
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            value = log_density(z)
            (slope,) = torch.autograd.grad(value.sum(), z) if value.requires_grad else (torch.zeros_like(z),)
        return value.detach(), slope

    return density


def product_density(first: LogDensity, second: LogDensity) -> LogDensity:
    """Returns the log density of a product of two densities, such as p(x | z) p(z), as a function.

    The function maps z, shape (n, d), and a boolean `with_value` to the sum of both log densities, shape (n,), and to its
    gradient in z, shape (n, d). With False only the gradient is valid. `first` and `second` are such functions.
    """

    def density(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:
        """Returns the sum of both log densities at z, shape (n,), and its gradient in z, shape (n, d).

        Unless `with_value`, the sum may be wrong, since only the gradient is used.
        """
        (a, slope_a), (b, slope_b) = first(z, with_value), second(z, with_value)
        return a + b, slope_a + slope_b

    return density


def leapfrog(
    bridge: Bridge, state: State, momentum: Tensor, b: float, step: Tensor, count: int
) -> tuple[State, Tensor]:
    """Moves chains by Hamilton's equations for the energy -log f_b(z) + |v|^2 / 2, in `count` leapfrog steps of size e.

        v <- v + (e / 2) grad log f_b(z);   z <- z + e v;   v <- v + (e / 2) grad log f_b(z),   `count` times

    The integrator preserves volume and is reversible. The state has the gradient at the start, so `count` steps take
    `count` gradient evaluations.

    Arguments:
        bridge: the densities f_b between q0 (b = 0) and p (b = 1).
        state: the positions z of n chains, with densities and gradients there.
        momentum: the momentum v of each chain, shape (n, d).
        b: the place of the density f_b on the path, between 0 and 1.
        step: e, broadcastable to (n, d): a chain's step size times the scale of each dimension.
        count: number of steps.

    Returns:
        The state at the end, and the momentum v there.
    """
    z, half = state.z, step / 2
    v = momentum + half * state.slope(b)
    for left in reversed(range(count)):
        z = z + step * v
        state = bridge.at(z, with_value=left == 0)
        v = v + (step if left else half) * state.slope(b)
    return state, v


def transition(bridge: Bridge, state: State, b: float, step: Tensor, count: int) -> tuple[State, Tensor]:
    """Makes one transition of Hamiltonian Monte Carlo, which leaves the density f_b of the bridge invariant.

        v ~ N(0, I);   (z', v') = leapfrog(z, v);   z <- z' with probability min(1, exp(H(z, v) - H(z', v')))

    with H(z, v) = -log f_b(z) + |v|^2 / 2. A trajectory that ends where f_b is 0 or NaN is rejected.

    Arguments:
        bridge: the densities f_b between q0 (b = 0) and p (b = 1).
        state: the positions z of n chains, with densities and gradients there.
        b: the place of the density f_b on the path, between 0 and 1.
        step: the size of a leapfrog step, broadcastable to the shape of z.
        count: number of leapfrog steps.

    Returns:
        The state after the transition, and each chain's acceptance probability, shape (n,).

    References:
        MCMC using Hamiltonian dynamics, Radford M. Neal, 2011, https://arxiv.org/abs/1206.1901

    Example:
        >>> _ = torch.manual_seed(0)
        >>> bridge = Bridge(normal_density(torch.zeros(1), torch.ones(1)), normal_density(torch.zeros(1), torch.ones(1)))
        >>> state, chance = transition(bridge, bridge.at(torch.randn(1000, 1)), 0.5, torch.tensor(0.5), 5)
        >>> state.z.shape, bool(chance.mean() > 0.9)
        (torch.Size([1000, 1]), True)
    """
    v = torch.randn_like(state.z)
    proposed, w = leapfrog(bridge, state, v, b, step, count)
    gain = proposed.log_density(b) - state.log_density(b) - (w.square() - v.square()).sum(1) / 2
    chance = gain.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf).clamp_(max=0).exp_()
    accepted = torch.rand_like(chance) < chance
    rows = accepted[:, None]
    pairs = zip(proposed, state, strict=True)
    return State(*(torch.where(accepted if new.ndim == 1 else rows, new, old) for new, old in pairs)), chance


def jittered_steps(step: Tensor) -> Tensor:
    """Returns step sizes, of any shape, multiplied by independent random factors between 0.8 and 1.2.

    Trajectories of one fixed length could be periodic.
    """
    return step * (1 + JITTER * (2 * torch.rand_like(step) - 1))


def tuning_transitions(last: int) -> list[int]:
    """Returns how many transitions tune the step sizes at each of several places on the path from b_0 to b_T, T = `last`.

    There is one number for each place, in the order of the path, for 12 places, or T // 2 if T is below 24, but at least
    one. Each number is a tenth of T divided by the number of places, but at least 4; the first one is larger by 20.
    """
    knots = max(1, min(KNOTS, last // 2))
    rounds = max(ROUNDS, last // (10 * knots))
    return [rounds + SETTLING, *[rounds] * (knots - 1)]


def tuned_steps(
    bridge: Bridge,
    z: Tensor,
    scale: Tensor,
    betas: Tensor,
    chains: int,
    count: int,
    report: Progress = lambda share: None,
) -> Tensor:
    """Tunes step sizes along the path in a separate run, whose chains are discarded, and returns them, shape (T + 1, n).

    The chains follow the path once, with several transitions at each of up to 12 places, evenly spaced in log b from
    b_1 to b_(T-1). After transition i = 1, 2, ... at a place the log step size of an image grows by 1.5 / sqrt(i) times its
    chains' mean acceptance minus 0.65. Its mean over the last half of the transitions is the value at the place; between
    places it is interpolated linearly in log b. The estimating run keeps the result fixed, as a
    chain that tunes its step size does not leave its density invariant.

    Arguments:
        bridge: the densities for n images with `chains` chains each, the chains of an image in consecutive rows.
        z: samples of q0, shape (n * chains, d).
        scale: the unit of the step sizes in each dimension, shape (n * chains, d).
        betas: b_0 = 0 to b_T = 1, shape (T + 1,).
        chains: number of chains per image.
        count: number of leapfrog steps of a transition.
        report: called after each part of the work, with the share (0 to 1) of the whole that it is.
    """
    n, last = len(z) // chains, len(betas) - 1
    transitions = tuning_transitions(last)
    knots, rounds = len(transitions), transitions[-1]
    heights = betas[1 : max(2, last)].log()  # log b of the transitions; at small b one step changes much
    places = 1 + torch.searchsorted(heights, torch.linspace(float(heights[0]), float(heights[-1]), knots).to(heights))
    places = places.clamp_(max=max(1, last - 1))
    log_step = z.new_full((n,), math.log(0.5) - math.log(z.shape[1]) / 4)
    state, found = bridge.at(z), []
    for k, t in enumerate(places.tolist()):
        trace = []
        for i in range(transitions[k]):
            step = jittered_steps(log_step.exp().repeat_interleave(chains))[:, None] * scale
            state, chance = transition(bridge, state, float(betas[t]), step, count)
            gain = GAIN / (1 + i) ** 0.5
            log_step = log_step + gain * (chance.unflatten(0, (n, chains)).mean(1) - TARGET)
            trace.append(log_step)
            report(1 / sum(transitions))
        found.append(torch.stack(trace[-max(1, rounds // 2) :]).mean(0))
    where = betas.clamp(betas[1], betas[max(1, last - 1)]).log()
    where = (where - heights[0]) * (knots - 1) / (heights[-1] - heights[0]).clamp(min=1e-9)
    low = where.floor().long().clamp_(0, max(0, knots - 2))
    high = (low + 1).clamp_(max=knots - 1)
    part = (where - low).clamp_(0, 1)[:, None].to(z)
    knot = torch.stack(found)
    return torch.lerp(knot[low], knot[high], part).exp()
