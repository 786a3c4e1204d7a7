"""Hamiltonian Monte Carlo on the densities between a simple one and p(x, z), for many chains at once with own step sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Density = Callable[[Tensor, bool], tuple[Tensor, Tensor]]
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
    """The positions z of all chains, with the log densities of q0 and p and their gradients there.

    None of them depends on b, the position on the path of densities f_b from q0(z), b = 0, to p(x, z), b = 1.

    Attributes:
        z: shape (n, d).
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
        """log f_b(z) = (1 - b) log q0(z) + b log p(x, z), 0 < b < 1, shape (n,)."""
        return (1 - b) * self.log_q + b * self.log_p

    def slope(self, b: float) -> Tensor:
        """The gradient of log f_b(z), shape (n, d)."""
        return torch.lerp(self.slope_q, self.slope_p, b)


@dataclass(frozen=True)
class Bridge:
    """The densities f_b = q0^(1 - b) p^b from q0 (b = 0), which can be sampled, to p (b = 1), whose integral is estimated.

    Attributes:
        q: q0.
        p: the other end, not normalized.
    """

    q: Density
    p: Density

    def at(self, z: Tensor, with_value: bool = True) -> State:
        """The state of chains at z."""
        log_q, slope_q = self.q(z, with_value)
        log_p, slope_p = self.p(z, with_value)
        return State(z, log_q, log_p, slope_q, slope_p)


def normal_density(mean: Tensor, scale: Tensor) -> Density:
    """N(z; mean, diag scale^2), with an analytic gradient.

    Example:
        >>> log_density, slope = normal_density(torch.zeros(2), torch.ones(2))(torch.tensor([[0.0, 2.0]]), True)
        >>> round(float(log_density), 4), slope.tolist()  # -log(2 pi) - 2
        (-3.8379, [[-0.0, -2.0]])
    """
    constant = -scale.log().sum(-1) - mean.shape[-1] * math.log(2 * math.pi) / 2
    inverse = scale.reciprocal()

    def density(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:
        white = (z - mean) * inverse
        value = constant - white.square().sum(-1) / 2 if with_value else constant
        return value, -white * inverse

    return density


def autograd_density(log_density: Callable[[Tensor], Tensor]) -> Density:
    """A density with its gradient by automatic differentiation; the gradient is 0 if it does not depend on z."""

    def density(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            value = log_density(z)
            (slope,) = torch.autograd.grad(value.sum(), z) if value.requires_grad else (torch.zeros_like(z),)
        return value.detach(), slope

    return density


def product_density(first: Density, second: Density) -> Density:
    """The density first(z) second(z), such as p(x | z) p(z)."""

    def density(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:
        (a, slope_a), (b, slope_b) = first(z, with_value), second(z, with_value)
        return a + b, slope_a + slope_b

    return density


def leapfrog(
    bridge: Bridge, state: State, momentum: Tensor, b: float, step: Tensor, count: int
) -> tuple[State, Tensor]:
    """Hamilton's equations for -log f_b(z) + |v|^2 / 2 by the leapfrog integrator, volume-preserving and reversible.

        v <- v + (e / 2) grad log f_b(z);   z <- z + e v;   v <- v + (e / 2) grad log f_b(z),   `count` times

    The state has the gradient at the start, so `count` steps take `count` gradient evaluations.

    Arguments:
        bridge: the densities.
        state: z with densities and gradients there.
        momentum: v, shape (n, d), in the unit of z over its scale.
        b: which density of the bridge.
        step: e, broadcastable to (n, d): a chain's step size times the scale of each dimension.
        count: number of steps.

    Returns:
        The state at the end, and v there.
    """
    z, half = state.z, step / 2
    v = momentum + half * state.slope(b)
    for left in reversed(range(count)):
        z = z + step * v
        state = bridge.at(z, with_value=left == 0)
        v = v + (step if left else half) * state.slope(b)
    return state, v


def transition(bridge: Bridge, state: State, b: float, step: Tensor, count: int) -> tuple[State, Tensor]:
    """One transition of Hamiltonian Monte Carlo, which leaves f_b invariant, and each chain's acceptance probability.

        v ~ N(0, I);   (z', v') = leapfrog(z, v);   z <- z' with probability min(1, exp(H(z, v) - H(z', v')))

    with H(z, v) = -log f_b(z) + |v|^2 / 2. A trajectory that ends where f_b is 0 or NaN is rejected.

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
    return State(
        *(torch.where(accepted if new.ndim == 1 else rows, new, old) for new, old in zip(proposed, state, strict=True))
    ), chance


def jittered_steps(step: Tensor) -> Tensor:
    """Random step sizes around the tuned ones, independent of the chain; trajectories of one fixed length could be
    periodic.
    """
    return step * (1 + JITTER * (2 * torch.rand_like(step) - 1))


def tuning_transitions(last: int) -> list[int]:
    """The number of tuning transitions at each place, on a path from b_0 to b_last."""
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
    """Step sizes along the path, shape (len(betas), n), tuned in a separate run whose chains are discarded.

    The chains follow the path once, with several transitions at each of `KNOTS` places, evenly spaced in log b. After each
    transition the log step size of an image changes in proportion to the difference of its chains' mean acceptance from
    `TARGET`; between the places it is interpolated linearly in log b. The estimating run keeps the result fixed, as a chain
    that tunes its step size does not leave its density invariant.

    Arguments:
        bridge: the densities for n images with `chains` chains each, the chains of an image in consecutive rows.
        z: draws of q0, shape (n * chains, d).
        scale: of each dimension, shape (n * chains, d).
        betas: b_0 = 0 to b_T = 1, shape (T + 1,).
        chains: number of chains per image.
        count: leapfrog steps of a transition.
        report: called with each finished share of the whole.
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
