"""Hamiltonian Monte Carlo on the densities between a simple one and p(x, z): many chains at once, a step size each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Density = Callable[[Tensor, bool], tuple[Tensor, Tensor]]
"""z, shape (n, d), and whether its value is wanted -> log density in nats, shape (n,), and its gradient, shape (n, d).

Within a trajectory gradients alone count; where the value is not wanted, any numbers will do."""

Tell = Callable[[float], None]  # is told of progress, in shares of the whole

TARGET = 0.65  # the acceptance that steps are tuned to: the cheapest one in many dimensions
JITTER = 0.2  # each transition's steps are 1 - JITTER to 1 + JITTER of the tuned ones
KNOTS = 12  # places on the path where step sizes are tuned
SETTLING = 20  # transitions at the first place before the tuning goes along the path
ROUNDS = 4  # transitions at each place, or more: a tenth of a long run
GAIN = 1.5  # how far the logarithm of a step moves for a miss of the target by 1


class State(NamedTuple):
    """Where the chains are, and all that is known there: nothing has to be worked out again when b changes.

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
    """The densities f_b = q0^(1 - b) p^b from q0 (b = 0), which can be sampled, to p (b = 1), which is to be integrated.

    Attributes:
        q: q0.
        p: the other end, of any integral.
    """

    q: Density
    p: Density

    def at(self, z: Tensor, valued: bool = True) -> State:
        log_q, slope_q = self.q(z, valued)
        log_p, slope_p = self.p(z, valued)
        return State(z, log_q, log_p, slope_q, slope_p)


def normal(mean: Tensor, scale: Tensor) -> Density:
    """N(z; mean, diag scale^2), its gradient by hand.

    Example:
        >>> log_density, slope = normal(torch.zeros(2), torch.ones(2))(torch.tensor([[0.0, 2.0]]), True)
        >>> round(float(log_density), 4), slope.tolist()  # -log(2 pi) - 2
        (-3.8379, [[-0.0, -2.0]])
    """
    constant = -scale.log().sum(-1) - mean.shape[-1] * math.log(2 * math.pi) / 2
    inverse = scale.reciprocal()

    def density(z: Tensor, valued: bool) -> tuple[Tensor, Tensor]:
        white = (z - mean) * inverse
        value = constant - white.square().sum(-1) / 2 if valued else constant
        return value, -white * inverse

    return density


def differentiated(log_density: Callable[[Tensor], Tensor]) -> Density:
    """A density whose gradient is taken by automatic differentiation; 0 where it does not depend on z."""

    def density(z: Tensor, valued: bool) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            value = log_density(z)
            (slope,) = torch.autograd.grad(value.sum(), z) if value.requires_grad else (torch.zeros_like(z),)
        return value.detach(), slope

    return density


def product(first: Density, second: Density) -> Density:
    """The density first(z) second(z), such as p(x | z) p(z)."""

    def density(z: Tensor, valued: bool) -> tuple[Tensor, Tensor]:
        (a, slope_a), (b, slope_b) = first(z, valued), second(z, valued)
        return a + b, slope_a + slope_b

    return density


def leapfrog(
    bridge: Bridge, state: State, momentum: Tensor, b: float, step: Tensor, count: int
) -> tuple[State, Tensor]:
    """Hamilton's equations for -log f_b(z) + |v|^2 / 2 by the leapfrog rule: it keeps volumes, and with -v it goes back.

        v <- v + (e / 2) grad log f_b(z);   z <- z + e v;   v <- v + (e / 2) grad log f_b(z),   `count` times

    The gradient at the start is the state's own, so `count` steps cost `count` gradients.

    Arguments:
        bridge: the densities.
        state: z and what is known there.
        momentum: v, shape (n, d), in units in which `step` has been taken out: that of z over its scale.
        b: which density of the bridge.
        step: e, shape (n, d) or what broadcasts to it: a chain's step size times the scale of each dimension.
        count: how many steps.

    Returns:
        The state at the end, and v there.
    """
    z, half = state.z, step / 2
    v = momentum + half * state.slope(b)
    for left in reversed(range(count)):
        z = z + step * v
        state = bridge.at(z, valued=left == 0)
        v = v + (step if left else half) * state.slope(b)
    return state, v


def transition(bridge: Bridge, state: State, b: float, step: Tensor, count: int) -> tuple[State, Tensor]:
    """One transition of Hamiltonian Monte Carlo, which leaves f_b as it is, and the probability of each chain's acceptance.

        v ~ N(0, I);   (z', v') = leapfrog(z, v);   z <- z' with probability min(1, exp(H(z, v) - H(z', v')))

    with H(z, v) = -log f_b(z) + |v|^2 / 2. A trajectory that ends where f_b is 0 or not a number is refused.

    References:
        MCMC using Hamiltonian dynamics, Radford M. Neal, 2011, https://arxiv.org/abs/1206.1901

    Example:
        >>> _ = torch.manual_seed(0)
        >>> bridge = Bridge(normal(torch.zeros(1), torch.ones(1)), normal(torch.zeros(1), torch.ones(1)))
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


def jittered(step: Tensor) -> Tensor:
    """Step sizes drawn around the tuned ones, without a look at the chain: a trajectory of one length could come back to
    where it began, again and again."""
    return step * (1 + JITTER * (2 * torch.rand_like(step) - 1))


def stays(last: int) -> list[int]:
    """How many transitions the tuning stays at each of its places, on a path of b_0 to b_last."""
    knots = max(1, min(KNOTS, last // 2))
    rounds = max(ROUNDS, last // (10 * knots))
    return [rounds + SETTLING, *[rounds] * (knots - 1)]


def tuned(
    bridge: Bridge, z: Tensor, scale: Tensor, betas: Tensor, chains: int, count: int, tell: Tell = lambda share: None
) -> Tensor:
    """Step sizes along the path, from a run of its own, whose chains are then thrown away: shape (len(betas), n).

    The chains go along the path once and stay for a while at each of `KNOTS` places, evenly spread in log b. After each
    transition the logarithm of an image's step size moves by a multiple of what its chains' mean acceptance is above
    `TARGET`; what is found at the places is joined by straight lines in log b. A measured run takes the answer as it is: a
    chain that tuned its own steps would no longer leave its density as it is.

    Arguments:
        bridge: the densities for n images with `chains` chains each, the chains of an image in a row.
        z: draws of q0, shape (n * chains, d).
        scale: of each dimension, shape (n * chains, d).
        betas: b_0 = 0 to b_T = 1, shape (T + 1,).
        chains: of each image.
        count: leapfrog steps of a transition.
        tell: is told of progress, in shares of the whole.
    """
    n, last = len(z) // chains, len(betas) - 1
    stay = stays(last)
    knots, rounds = len(stay), stay[-1]
    heights = betas[1 : max(2, last)].log()  # of b where transitions are: where b is small, a step more changes much
    places = 1 + torch.searchsorted(heights, torch.linspace(float(heights[0]), float(heights[-1]), knots).to(heights))
    places = places.clamp_(max=max(1, last - 1))
    log_step = z.new_full((n,), math.log(0.5) - math.log(z.shape[1]) / 4)
    state, found = bridge.at(z), []
    for k, t in enumerate(places.tolist()):
        trace = []
        for i in range(stay[k]):
            step = jittered(log_step.exp().repeat_interleave(chains))[:, None] * scale
            state, chance = transition(bridge, state, float(betas[t]), step, count)
            gain = GAIN / (1 + i) ** 0.5
            log_step = log_step + gain * (chance.unflatten(0, (n, chains)).mean(1) - TARGET)
            trace.append(log_step)
            tell(1 / sum(stay))
        found.append(torch.stack(trace[-max(1, rounds // 2) :]).mean(0))
    where = betas.clamp(betas[1], betas[max(1, last - 1)]).log()
    where = (where - heights[0]) * (knots - 1) / (heights[-1] - heights[0]).clamp(min=1e-9)
    low = where.floor().long().clamp_(0, max(0, knots - 2))
    high = (low + 1).clamp_(max=knots - 1)
    part = (where - low).clamp_(0, 1)[:, None].to(z)
    knot = torch.stack(found)
    return torch.lerp(knot[low], knot[high], part).exp()
