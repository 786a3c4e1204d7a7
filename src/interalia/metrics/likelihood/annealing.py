"""log p(x) by annealed importance sampling, and the check by which its error is bounded on both sides."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from interalia.conditionals import StandardNormal, Uniform, rsample_with_log_prob
from interalia.contexts import device_of, evaluating, frozen, precision_context, resolve_precision, to_float32
from interalia.errors import UserError, check_choice
from interalia.games.capabilities import Generates, HasLikelihood, Infers, Simulates, require
from interalia.games.game import Game
from interalia.games.vae import Variational
from interalia.metrics.likelihood import hamiltonian
from interalia.metrics.likelihood.estimate import GIVEN, Estimate, Sandwich, checked, counted, gathered, rows_that_fit
from interalia.metrics.likelihood.hamiltonian import TARGET, Bridge, Density, State, Tell

Path = Literal["sigmoidal", "linear"]
Precision = Literal["auto", "fp32", "bf16"]
Initial = Literal["posterior", "prior"]
SIMULATED = 100  # images of the bidirectional check
STEEPNESS = 4.0  # of the sigmoidal path, as published
DRAWS = 256  # of an encoder that does not know its moments, for these
NARROWEST = 1e-4  # a standard deviation of q0: a collapsed one would stop every chain


@dataclass(frozen=True)
class Settings:
    """How chains are run.

    Step sizes are one for each image and place on the path, times q0's standard deviations; they are tuned in a run of their
    own and are then frozen. A run costs (T - 1) `leapfrog` + 1 gradients a chain, and the tuning about a tenth of that, or
    68 transitions where that is more.

    Attributes:
        chains: of each image.
        temperatures: T, the number of steps from b_0 = 0 to b_T = 1.
        leapfrog: steps of a transition.
        path: "linear", b_t = t / T, or "sigmoidal", which is slow at both ends; see `betas`.
        initial: q0, "posterior", the Gaussian of the encoder's mean and variance, which are taken over draws where it does
            not know them, or "prior".
        drawn: whether these moments are those of draws.
        precision: of the decoder's gradients within trajectories, "fp32" or "bf16". A trajectory along any field of gradients
            keeps volumes and can be reversed, and what it is accepted by, as all that is summed, is worked out in the
            weights' own precision: the target is the same, and coarse gradients cost acceptance at most.
    """

    chains: int
    temperatures: int
    leapfrog: int
    path: Path
    initial: Initial
    drawn: bool = False
    precision: Precision = "fp32"

    @property
    def words(self) -> str:
        posterior = "the Gaussian of the encoder's moments" + f" (of {DRAWS} draws)" * self.drawn
        coarse = ", gradients within trajectories in bf16" * (self.precision == "bf16")
        chains = f"{self.chains} chain{'s' * (self.chains > 1)}, {self.temperatures:,} temperatures"
        path = f"{self.path} path from {posterior if self.initial == 'posterior' else 'the prior'}"
        tuned = f"steps tuned to acceptance {TARGET:g} in a run of their own, then frozen{coarse}"
        return f"{chains}, {self.leapfrog} leapfrog steps, {path}, {tuned}"


def annealed_importance(
    game: Game,
    x: Tensor,
    chains: int = 16,
    temperatures: int = 1000,
    leapfrog: int = 10,
    path: Path = "sigmoidal",
    initial: Initial | None = None,
    simulated: int = SIMULATED,
    seed: int = 0,
    rows: int | None = None,
    binarized: str = GIVEN,
    precision: Precision = "auto",
) -> Estimate:
    """log p(x) by annealed importance sampling, in nats: a lower bound in expectation that closes with more temperatures.

        z_0 ~ q0(z | x);   log w = sum_t (b_t - b_{t-1}) (log p(x, z_{t-1}) - log q0(z_{t-1} | x)),   t = 1 ... T
        z_t from z_{t-1} by Hamiltonian Monte Carlo on f_t(z) = q0(z | x)^(1 - b_t) p(x, z)^(b_t)
        log p(x) is about log (1 / chains) sum_c w_c,   and E[w] = p(x) exactly

    It needs p(x | z) and p(z) and their gradients, and no log q(z | x): encoders without a density serve as well.

    References:
        Annealed Importance Sampling, Radford M. Neal, 2001, https://arxiv.org/abs/physics/9803008
        On the Quantitative Analysis of Decoder-Based Generative Models, Yuhuai Wu and others, 2017,
        https://arxiv.org/abs/1611.04273

    Arguments:
        game, x: a game whose decoder and prior have densities, such as VAE, and images as it was trained on, shape (n, ...).
        chains, temperatures, leapfrog, path: see `Settings`.
        initial: "posterior" or "prior"; by default the first where there is an encoder and the prior is not bounded.
        simulated: images of the bidirectional check; 0 leaves it out.
        seed, rows, binarized: as for `elbo`; all chains of an image are run together.
        precision: "fp32", "bf16", or "auto": bf16 for convolutions where the processor multiplies it by itself.

    Returns:
        One number for each image, with the mean acceptance and a `bidirectional_check` of the same settings; see `Estimate`.
        An interrupted estimate is one of the images that were done, and has no check.

    Raises:
        UserError: as for `bidirectional_check`; x does not fit the game, or p(x | z) is one of zeros and ones and x is not.

    Example:
        >>> from interalia.conditionals import Deterministic, Gaussian
        >>> from interalia.games import VAE
        >>> from interalia.networks.mlp import MLP
        >>> game = VAE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), StandardNormal(3), sigma=1.0)
        >>> annealed_importance(game, torch.zeros(5, 2), chains=2, temperatures=10, leapfrog=2, simulated=3).values.shape
        torch.Size([5])
    """
    settings = settings_for(game, chains, temperatures, leapfrog, path, initial, precision)
    if simulated < 0:
        raise UserError(f"`simulated` is {simulated}, and it must be at least 0, which leaves the check out.")
    checked(game, x)
    with evaluating(game, seed), frozen(game):
        rows = rows or rows_that_fit(game)
        like = next(game.parameters())

        def work(index: Tensor, tell: Tell) -> Tensor:
            return torch.stack(forward(Ends.of(game, x[index].to(like), settings), settings, tell), dim=1)

        about = f"ais of {len(x):,} images"
        which, values = gathered(len(x), max(1, rows // settings.chains), seed, about, work)
    protocol = f"{settings.words}; binarization: {binarized}; seed {seed}; {rows:,} pairs (x, z) at once"
    found = Estimate("ais", values[:, 0], which, len(x), protocol, acceptance=float(values[:, 1].mean()))
    if simulated and not found.interrupted:
        with contextlib.suppress(KeyboardInterrupt):  # the estimate is there; it says that it has no check
            every = (chains, temperatures, leapfrog, path, initial, seed, rows, precision)
            found = replace(found, check=bidirectional_check(game, simulated, *every))
    return found


def bidirectional_check(
    game: Game,
    images: int = SIMULATED,
    chains: int = 16,
    temperatures: int = 1000,
    leapfrog: int = 10,
    path: Path = "sigmoidal",
    initial: Initial | None = None,
    seed: int = 0,
    rows: int | None = None,
    precision: Precision = "auto",
) -> Sandwich:
    """Bidirectional Monte Carlo: log p(x) of images that the model makes itself, bounded from below and from above.

        z* ~ p(z), x* ~ p(x | z*), so that z* is an exact draw of p(z | x*)
        lower: the forward run of `annealed_importance` on x*
        upper: -log (1 / chains) sum_c w_c,  the chains run backwards from z*, where E[w] = 1 / p(x*)

    In expectation lower <= log p(x*) <= upper. What the gap says of other images rests on these being like them.

    References:
        Measuring the reliability of MCMC inference with bidirectional Monte Carlo, Roger B. Grosse, Siddharth Ancha,
        Daniel M. Roy, 2016, https://arxiv.org/abs/1606.02275

    Arguments:
        game, chains, temperatures, leapfrog, path, initial, seed, rows, precision: as for `annealed_importance`.
        images: how many x* to make.

    Returns:
        Both bounds of each image; see `Sandwich`. An interrupted check is one of the images that were done.

    Raises:
        UserError: the decoder or the prior has no density, there is no encoder that "posterior" asks for, or a number is
            under 1.

    Example:
        >>> from interalia.conditionals import Deterministic, Gaussian
        >>> from interalia.games import VAE
        >>> from interalia.networks.mlp import MLP
        >>> game = VAE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), StandardNormal(3), sigma=1.0)
        >>> found = bidirectional_check(game, 4, chains=2, temperatures=10, leapfrog=2)
        >>> found.lower.shape, found.upper.shape
        (torch.Size([4]), torch.Size([4]))
    """
    settings = settings_for(game, chains, temperatures, leapfrog, path, initial, precision)
    counted(images=images)
    prior = require(game, HasLikelihood, "the bidirectional check").prior
    simulate = require(game, Simulates, "the bidirectional check").simulate
    with evaluating(game, seed), frozen(game):
        rows = rows or rows_that_fit(game)
        z_star = prior.sample((images,))
        x_star = torch.cat([simulate(part) for part in z_star.split(rows)])

        def work(index: Tensor, tell: Tell) -> Tensor:
            index = index.to(z_star.device)
            return torch.stack(sandwich(Ends.of(game, x_star[index], settings), z_star[index], settings, tell), dim=1)

        _, found = gathered(images, max(1, rows // chains), seed, f"check on {images:,} simulated images", work)
    protocol = f"{settings.words}; seed {seed}; {rows:,} pairs (x, z) at once"
    return Sandwich(found[:, 0], found[:, 1], float(found[:, 2].mean()), images, protocol)


def settings_for(
    game: Game, chains: int, temperatures: int, leapfrog: int, path: Path, initial: Initial | None, precision: Precision
) -> Settings:
    """The settings, checked.

    Raises:
        UserError: a number is under 1, or there is no such path, start or precision.
    """
    counted(chains=chains, temperatures=temperatures, leapfrog=leapfrog)
    check_choice("path", path, ("sigmoidal", "linear"))
    check_choice("precision", precision, ("auto", "fp32", "bf16"))
    if initial is not None:
        check_choice("initial", initial, ("posterior", "prior"))
    encoder = game.encoder if isinstance(game, Infers) else None
    model = require(game, Generates, "annealed importance sampling")
    if initial == "posterior" and encoder is None:
        lacking = f"the posterior as a start needs an encoder, and this {type(game).__name__} has none"
        raise UserError(f"{lacking}; start from the prior (`initial='prior'`).")
    if initial is None:
        # a Gaussian has mass where a bounded prior has none: chains that start there are lost, and the reverse run cannot
        # come to them, so that the check keeps a gap
        initial = "prior" if encoder is None or isinstance(model.prior, Uniform) else "posterior"
    if precision == "auto":
        precision = "bf16" if resolve_precision("auto", model.decoder, device_of(game)) == "bf16" else "fp32"
    unknown = initial == "posterior" and encoder is not None and not encoder.has_moments
    return Settings(chains, temperatures, leapfrog, path, initial, unknown, precision)


def betas(temperatures: int, path: Path) -> Tensor:
    """b_0 = 0 to b_T = 1, float64, shape (T + 1,).

        linear:     b_t = t / T
        sigmoidal:  b_t = (s_t - s_0) / (s_T - s_0),   s_t = sigmoid(4 (2 t / T - 1))

    Example:
        >>> betas(4, "linear").tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    t = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64)
    if path == "linear":
        return t
    s = torch.sigmoid(STEEPNESS * (2 * t - 1))
    return (s - s[0]) / (s[-1] - s[0])


@dataclass(frozen=True)
class Ends:
    """The two ends of the path for n images with some chains each, the chains of an image in a row.

    Attributes:
        bridge: from q0(z | x) to p(x, z).
        draw: draws one z of q0 for each chain, shape (n * chains, d).
        scale: q0's standard deviations, which steps are measured by, shape (n * chains, d).
        chains: of each image.
    """

    bridge: Bridge
    draw: Callable[[], Tensor]
    scale: Tensor
    chains: int

    @classmethod
    def of(cls, game: Game, x: Tensor, settings: Settings) -> Ends:
        model = require(game, HasLikelihood, "annealed importance sampling")
        count, prior = len(x) * settings.chains, model.prior
        p_z = hamiltonian.differentiated(prior.log_prob)
        unit = x.new_ones(count, prior.size)
        if isinstance(prior, StandardNormal):
            p_z = hamiltonian.normal(x.new_zeros(prior.size), x.new_ones(prior.size))
        p = hamiltonian.product(likelihood(model, x.repeat_interleave(settings.chains, dim=0), settings.precision), p_z)
        if settings.initial == "prior":
            return cls(Bridge(p_z, p), lambda: prior.sample((count,)), unit, settings.chains)
        mean, variance = (part.repeat_interleave(settings.chains, dim=0) for part in moments(game, x, settings.chains))
        scale = variance.sqrt().clamp(min=NARROWEST)
        bridge = Bridge(hamiltonian.normal(mean, scale), p)
        return cls(bridge, lambda: mean + scale * torch.randn_like(mean), scale, settings.chains)


def moments(game: Game, x: Tensor, at_once: int) -> tuple[Tensor, Tensor]:
    """The mean and the variance of q(z | x), each of shape (n, d): of `DRAWS` draws, `at_once` of each x at a time, where the
    encoder does not know them. q0 may be any distribution that the chains have no part in."""
    encoder = require(game, Infers, "the posterior's moments").encoder
    if encoder.has_moments:
        q = encoder(x)
        return q.mean, q.variance
    parts = []
    for _ in range(-(-DRAWS // at_once)):
        q = encoder.forward_repeated(at_once, x)
        parts.append(rsample_with_log_prob(q)[0] if encoder.has_density else q.rsample())
    z = torch.cat([part.unflatten(0, (len(x), at_once)) for part in parts], dim=1)
    return z.mean(1), z.var(1)


def likelihood(game: HasLikelihood, x: Tensor, precision: str = "fp32") -> Density:
    """log p(x | z) of each x and z and its gradient in z: by automatic differentiation through the decoder, and by hand from
    there to log p(x | z), which for small decoders would take as long as the decoder itself.

    Where the value is not wanted, and so within a trajectory, the decoder is asked in `precision`. At both ends of a
    trajectory the gradient is the exact one, whichever way it is run, so that it stays reversible."""
    kind = type(game)
    if not isinstance(game, Variational) or any(
        getattr(kind, name) is not getattr(Variational, name) for name in ("log_likelihood", "log_density")
    ):
        return hamiltonian.differentiated(lambda z: game.log_likelihood(x, z))
    signs, against, variance, unknown = 2 * x - 1, 1 - 2 * x, game.sigma**2, x.new_zeros(len(x))
    coarse = precision_context(precision, x.device)

    def density(z: Tensor, valued: bool) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            with nullcontext() if valued else coarse():
                outputs = to_float32(game.outputs(z))
        if game.binary:
            wrong = outputs.detach() * against  # the log-odds against x_i: log p(x_i | z) = -softplus
            value = -softplus(wrong).flatten(1).sum(1) if valued else unknown
            pull = wrong.sigmoid_().mul_(signs)
        else:
            value = game.log_density(x, outputs.detach()) if valued else unknown
            pull = (x - outputs.detach()).div_(variance)
        return value, torch.autograd.grad(outputs, z, pull)[0]

    return density


def anneal(ends: Ends, state: State, path: Tensor, steps: Tensor, leapfrog: int, tell: Tell) -> tuple[Tensor, Tensor]:
    """Runs the chains along a path of b and answers log w and the mean acceptance.

        log w = sum_t (b_t - b_{t-1}) (log p(x, z_{t-1}) - log q0(z_{t-1} | x))

    The same code runs forwards, from draws of q0 with b from 0 to 1, and backwards, from draws of p(z | x) with b from 1
    to 0: the transitions are reversible, so that each run is the other's reverse.

    Arguments:
        ends: the two ends.
        state: at the draws.
        path: b_0 ... b_T, or from b_T to b_0, shape (T + 1,).
        steps: step sizes at each of them, shape (T + 1, n).
        leapfrog: steps of a transition.
        tell: is told of progress, 1 / T a temperature.

    Returns:
        log w, float64, and the acceptance of each image, both of shape (n, chains) and (n,).
    """
    b, last = path.tolist(), len(path) - 1
    shape = (len(state.z) // ends.chains, ends.chains)
    log_w = torch.zeros(len(state.z), dtype=torch.float64, device=state.z.device)
    chances = torch.zeros_like(log_w)
    for t in range(1, last + 1):
        log_w += (b[t] - b[t - 1]) * (state.log_p.double() - state.log_q.double())
        if t < last:
            step = hamiltonian.jittered(steps[t].repeat_interleave(ends.chains))[:, None] * ends.scale
            state, chance = hamiltonian.transition(ends.bridge, state, b[t], step, leapfrog)
            chances += chance
        tell(1 / last)
    return log_w.unflatten(0, shape), chances.unflatten(0, shape).mean(1) / max(1, last - 1)


def part_of(tell: Tell, share: float) -> Tell:
    """Is told of a part of the work, in shares of that part, and tells of the whole, of which it is `share`."""
    return lambda done: tell(done * share)


def prepared(ends: Ends, settings: Settings, runs: int, tell: Tell) -> tuple[Tensor, Tensor, Tell]:
    """The path, the steps that are tuned along it, and what each of so many runs tells of its progress."""
    path = betas(settings.temperatures, settings.path)
    tuning = sum(hamiltonian.stays(settings.temperatures))
    first = tuning / (tuning + runs * settings.temperatures)
    told, counts = part_of(tell, first), (settings.chains, settings.leapfrog)
    steps = hamiltonian.tuned(ends.bridge, ends.draw(), ends.scale, path, *counts, told)
    return path, steps, part_of(tell, (1 - first) / runs)


def forward(ends: Ends, settings: Settings, tell: Tell) -> tuple[Tensor, Tensor]:
    """log p(x) from below and the acceptance, each of shape (n,)."""
    path, steps, tell = prepared(ends, settings, 1, tell)
    log_w, chance = anneal(ends, ends.bridge.at(ends.draw()), path, steps, settings.leapfrog, tell)
    return log_w.logsumexp(1) - math.log(settings.chains), chance


def sandwich(ends: Ends, z_star: Tensor, settings: Settings, tell: Tell) -> tuple[Tensor, Tensor, Tensor]:
    """Lower bound, upper bound and acceptance, each of shape (n,), where z_star, shape (n, d), are draws of p(z | x)."""
    path, steps, tell = prepared(ends, settings, 2, tell)
    up, rising = anneal(ends, ends.bridge.at(ends.draw()), path, steps, settings.leapfrog, tell)
    start = ends.bridge.at(z_star.repeat_interleave(settings.chains, dim=0))
    down, falling = anneal(ends, start, path.flip(0), steps.flip(0), settings.leapfrog, tell)
    count = math.log(settings.chains)
    return up.logsumexp(1) - count, count - down.logsumexp(1), (rising + falling) / 2
