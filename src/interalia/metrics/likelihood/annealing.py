"""Estimates of log p(x) by annealed importance sampling, and bounds of their error by bidirectional Monte Carlo."""

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
from interalia.metrics.likelihood.estimate import GIVEN, Estimate, Sandwich, check_inputs, in_chunks, max_rows
from interalia.metrics.likelihood.hamiltonian import TARGET, Bridge, LogDensity, Progress, State
from interalia.registry import Repeats, Samples, check_bounds

Path = Literal["sigmoidal", "linear"]
Precision = Literal["auto", "fp32", "bf16"]
Initial = Literal["posterior", "prior"]
SIMULATED = 100  # simulated images of the bidirectional check
STEEPNESS = 4.0  # of the sigmoidal path, as published
DRAWS = 256  # draws that estimate the moments of an encoder without analytic ones
NARROWEST = 1e-4  # smallest standard deviation of q0; with a collapsed one no chain would move


@dataclass(frozen=True)
class Options:
    """The hyperparameters of annealed importance sampling: of its Markov chains and of the path that they follow.

    The path is f_b(z) = q0(z | x)^(1 - b) p(x, z)^b, from a distribution q0 (b = 0), which can be sampled, to p (b =
    1). A step size is tuned for each image and each place b on the path, in a separate run, and multiplied by q0's
    standard deviations. With T temperatures a run takes (T - 1) `leapfrog` + 1 gradient evaluations per chain, and the
    tuning about a tenth of that, or 68 transitions if that is more.

    Attributes:
        chains: number of chains per image.
        temperatures: T, the number of steps from b_0 = 0 to b_T = 1, where b is the place on the path.
        leapfrog: number of leapfrog steps of a transition, which is one step of Hamiltonian Monte Carlo.
        path: "linear", b_t = t / T, or "sigmoidal", with small steps at both ends; see `betas`.
        initial: q0: "posterior", the Gaussian with the encoder's mean and variance, or "prior".
        estimated_moments: True if that mean and variance are not analytic, and are estimated from samples of the encoder.
        precision: "fp32" or "bf16", of the decoder's gradients within trajectories. Leapfrog trajectories along any vector
            field preserve volume and are reversible, and acceptance probabilities and all sums are computed in the
            weights' precision. So the target is the same, and low-precision gradients only lower the acceptance.
    """

    chains: int
    temperatures: int
    leapfrog: int
    path: Path
    initial: Initial
    estimated_moments: bool = False
    precision: Precision = "fp32"

    @property
    def description(self) -> str:
        """The hyperparameters as text, for the description of an estimate."""
        posterior = "the Gaussian of the encoder's moments" + f" (of {DRAWS} draws)" * self.estimated_moments
        low_precision = ", gradients within trajectories in bf16" * (self.precision == "bf16")
        chains = f"{self.chains} chain{'s' * (self.chains > 1)}, {self.temperatures:,} temperatures"
        path = f"{self.path} path from {posterior if self.initial == 'posterior' else 'the prior'}"
        tuned = f"steps tuned to acceptance {TARGET:g} in a separate run, then frozen{low_precision}"
        return f"{chains}, {self.leapfrog} leapfrog steps, {path}, {tuned}"


def annealed_importance(
    game: Game,
    x: Tensor,
    chains: Samples = 16,
    temperatures: Samples = 1000,
    leapfrog: Repeats = 10,
    path: Path = "sigmoidal",
    initial: Initial | None = None,
    simulated: Samples = SIMULATED,
    seed: int = 0,
    rows: Samples | None = None,
    binarized: str = GIVEN,
    precision: Precision = "auto",
) -> Estimate:
    """Estimates log p(x) by annealed importance sampling, in nats.

    In expectation it is a lower bound, tighter with more temperatures. With a distribution q0 that can be sampled:

        z_0 ~ q0(z | x);   log w = sum_t (b_t - b_{t-1}) (log p(x, z_{t-1}) - log q0(z_{t-1} | x)),   t = 1 ... T
        z_t from z_{t-1} by Hamiltonian Monte Carlo on f_t(z) = q0(z | x)^(1 - b_t) p(x, z)^(b_t)
        log p(x) is approximately log (1 / chains) sum_c w_c,   and E[w] = p(x) exactly

    It needs p(x | z), p(z) and their gradients, but not log q(z | x), so the encoder may be without a density.

    References:
        Annealed Importance Sampling, Radford M. Neal, 2001, https://arxiv.org/abs/physics/9803008
        On the Quantitative Analysis of Decoder-Based Generative Models, Yuhuai Wu and others, 2017,
        https://arxiv.org/abs/1611.04273

    Arguments:
        game: a game with a decoder p(x | z) and a prior p(z) that have densities, such as a VAE.
        x: images, shape (n, ...), as the game was trained on.
        chains: number of chains per image.
        temperatures: T, the number of steps from b_0 = 0 to b_T = 1.
        leapfrog: number of leapfrog steps of a transition.
        path: "linear", b_t = t / T, or "sigmoidal", with small steps at both ends; see `betas`.
        initial: q0: "posterior", the Gaussian with the encoder's mean and variance, or "prior"; None is the posterior if
            there is an encoder and the prior is unbounded, else the prior.
        simulated: number of simulated images of the bidirectional check; 0 leaves it out.
        seed: random seed of the chains and of the simulated images.
        rows: number of pairs (x, z) in one forward pass; by default limited by memory and processor caches.
        binarized: how x was binarized, "none", "static" or "dynamic", for the description of the estimate.
        precision: "fp32", "bf16", or "auto": bf16 for convolutions on processors with native bf16 arithmetic.

    Returns:
        One value for each image, the mean acceptance probability, and a `bidirectional_check` with equal arguments. An
        interrupted estimate has the values of the finished images, and no check.

    Raises:
        UserError: the decoder or the prior has no density, "posterior" without an encoder, a number under 1, x does not fit
            the game, or p(x | z) is a Bernoulli and x is not binary.

    Example:
        >>> from interalia.conditionals import Deterministic, Gaussian
        >>> from interalia.games import VAE
        >>> from interalia.networks.mlp import MLP
        >>> game = VAE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), StandardNormal(3), sigma=1.0)
        >>> annealed_importance(game, torch.zeros(5, 2), chains=2, temperatures=10, leapfrog=2, simulated=3).values.shape
        torch.Size([5])
    """
    options = options_for(game, chains, temperatures, leapfrog, path, initial, precision)
    if simulated < 0:
        raise UserError(f"`simulated` is {simulated}, and it must be at least 0, which leaves the check out.")
    check_bounds(annealed_importance, simulated=simulated or 1)
    check_inputs(game, x)
    with evaluating(game, seed), frozen(game):
        rows, like = rows or max_rows(game), next(game.parameters())

        def work(index: Tensor, report: Progress) -> Tensor:
            """Returns lower bound and acceptance of each image at `index`, (len(index), 2); reports shares (0 to 1) done."""
            return torch.stack(lower_bound(Ends.of(game, x[index].to(like), options), options, report), dim=1)

        which, values = in_chunks(len(x), max(1, rows // chains), seed, f"ais of {len(x):,} images", work, like.device)
    protocol = f"{options.description}; binarization: {binarized}; seed {seed}; {rows:,} pairs (x, z) at once"
    found = Estimate("ais", values[:, 0], which, len(x), protocol, acceptance=float(values[:, 1].mean()))
    if simulated and not found.interrupted:
        with contextlib.suppress(KeyboardInterrupt):  # the estimate is complete; its text says that there is no check
            arguments = (chains, temperatures, leapfrog, path, initial, seed, rows, precision)
            found = replace(found, check=bidirectional_check(game, simulated, *arguments))
    return found


def bidirectional_check(
    game: Game,
    images: Samples = SIMULATED,
    chains: Samples = 16,
    temperatures: Samples = 1000,
    leapfrog: Repeats = 10,
    path: Path = "sigmoidal",
    initial: Initial | None = None,
    seed: int = 0,
    rows: Samples | None = None,
    precision: Precision = "auto",
) -> Sandwich:
    """Bounds log p(x) of images simulated by the model from below and from above, by bidirectional Monte Carlo.

        z* ~ p(z), x* ~ p(x | z*), so that z* is an exact sample of p(z | x*)
        lower: the forward run of `annealed_importance` on x*
        upper: -log (1 / chains) sum_c w_c,  with the weights w of chains c run backwards from z*, where E[w] = 1 / p(x*)

    In expectation lower <= log p(x*) <= upper. The gap transfers to other images as far as they resemble the simulated
    ones.

    References:
        Measuring the reliability of MCMC inference with bidirectional Monte Carlo, Roger B. Grosse, Siddharth Ancha,
        Daniel M. Roy, 2016, https://arxiv.org/abs/1606.02275

    Arguments:
        game: a game with a decoder p(x | z) and a prior p(z) that have densities, such as a VAE.
        images: number of simulated images x*.
        chains: number of chains per image.
        temperatures: T, the number of steps from b_0 = 0 to b_T = 1.
        leapfrog: number of leapfrog steps of a transition.
        path: "linear", b_t = t / T, or "sigmoidal", with small steps at both ends; see `betas`.
        initial: the distribution at b = 0: "posterior", the Gaussian with the encoder's mean and variance, or "prior"; None
            is the posterior if there is an encoder and the prior is unbounded, else the prior.
        seed: random seed of the images and of the chains.
        rows: number of pairs (x, z) in one forward pass; by default limited by memory and processor caches.
        precision: "fp32" or "bf16", of the decoder's gradients within trajectories, or "auto": bf16 for convolutions on
            processors with native bf16 arithmetic.

    Returns:
        Both bounds of each image, in nats. An interrupted check has the bounds of the finished images.

    Raises:
        UserError: the decoder or the prior has no density, "posterior" without an encoder, or a number out of bounds.

    Example:
        >>> from interalia.conditionals import Deterministic, Gaussian
        >>> from interalia.games import VAE
        >>> from interalia.networks.mlp import MLP
        >>> game = VAE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), StandardNormal(3), sigma=1.0)
        >>> found = bidirectional_check(game, 4, chains=2, temperatures=10, leapfrog=2)
        >>> found.lower.shape, found.upper.shape
        (torch.Size([4]), torch.Size([4]))
    """
    options = options_for(game, chains, temperatures, leapfrog, path, initial, precision)
    check_bounds(bidirectional_check, images=images)
    prior = require(game, HasLikelihood, "the bidirectional check").prior
    simulate = require(game, Simulates, "the bidirectional check").simulate
    with evaluating(game, seed), frozen(game):
        rows = rows or max_rows(game)
        z_star = prior.sample((images,))
        x_star = torch.cat([simulate(part) for part in z_star.split(rows)])

        def work(index: Tensor, report: Progress) -> Tensor:
            """Returns lower bound, upper bound and acceptance probability of the images at `index`, shape (len(index), 3).

            It calls `report` with each finished share of the work, from 0 to 1.
            """
            index = index.to(z_star.device)
            return torch.stack(sandwich(Ends.of(game, x_star[index], options), z_star[index], options, report), dim=1)

        _, found = in_chunks(
            images, max(1, rows // chains), seed, f"check on {images:,} simulated images", work, device_of(game)
        )
    protocol = f"{options.description}; seed {seed}; {rows:,} pairs (x, z) at once"
    return Sandwich(found[:, 0], found[:, 1], float(found[:, 2].mean()), images, protocol)


def options_for(
    game: Game,
    chains: Samples,
    temperatures: Samples,
    leapfrog: Repeats,
    path: Path,
    initial: Initial | None,
    precision: Precision,
) -> Options:
    """Checks the arguments of `annealed_importance` and returns them as `Options`.

    `initial` None becomes "posterior" if the game has an encoder and an unbounded prior, else "prior". `precision`
    "auto" becomes "bf16" for a decoder with convolutions on hardware with native bf16 arithmetic, else "fp32".

    Raises:
        UserError: a number is out of bounds, there is no such path, initial distribution or precision, the initial
            distribution is the posterior of a game without an encoder, or the game lacks a prior or a decoder.
    """
    check_bounds(options_for, chains=chains, temperatures=temperatures, leapfrog=leapfrog)
    check_choice("path", path, ("sigmoidal", "linear"))
    check_choice("precision", precision, ("auto", "fp32", "bf16"))
    if initial is not None:
        check_choice("initial", initial, ("posterior", "prior"))
    encoder = game.encoder if isinstance(game, Infers) else None
    model = require(game, Generates, "annealed importance sampling")
    if initial == "posterior" and encoder is None:
        lacking = f"`initial` is 'posterior', which needs an encoder, and this {type(game).__name__} has none"
        raise UserError(f"{lacking}; give `initial='prior'`.")
    if initial is None:
        # a Gaussian has mass outside a bounded prior's support: chains that start there are lost, and the reverse run cannot
        # reach them, so that the check keeps a gap
        initial = "prior" if encoder is None or isinstance(model.prior, Uniform) else "posterior"
    if precision == "auto":
        precision = "bf16" if resolve_precision("auto", model.decoder, device_of(game)) == "bf16" else "fp32"
    estimated = initial == "posterior" and encoder is not None and not encoder.has_moments
    return Options(chains, temperatures, leapfrog, path, initial, estimated, precision)


def betas(temperatures: int, path: Path) -> Tensor:
    """Returns the places b_t on a path of densities, from b_0 = 0 to b_T = 1, float64, shape (T + 1,).

    T is the number of `temperatures`. The places, also known as inverse temperatures, depend on the kind of path:

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
    """The start q0(z | x) and the target p(x, z) of annealed importance sampling, for n images x and z of d dimensions.

    The chains of an image are in consecutive rows of tensors.

    Attributes:
        bridge: the densities between q0(z | x) and p(x, z).
        draw: returns one sample of q0 for each chain, shape (n * chains, d).
        scale: q0's standard deviations, the unit of the step sizes, shape (n * chains, d).
        chains: number of chains per image.
    """

    bridge: Bridge
    draw: Callable[[], Tensor]
    scale: Tensor
    chains: int

    @classmethod
    def of(cls, game: Game, x: Tensor, options: Options) -> Ends:
        """Returns the start and the target of the chains for images x, shape (n, ...).

        The start is the prior, or the Gaussian with the encoder's mean and variance if `options.initial` is
        "posterior". The target is p(x, z) of the game.
        """
        model = require(game, HasLikelihood, "annealed importance sampling")
        count, prior = len(x) * options.chains, model.prior
        p_z = hamiltonian.autograd_density(prior.log_prob)
        unit = x.new_ones(count, prior.size)
        if isinstance(prior, StandardNormal):
            p_z = hamiltonian.normal_density(x.new_zeros(prior.size), x.new_ones(prior.size))
        repeated = x.repeat_interleave(options.chains, dim=0)
        p = hamiltonian.product_density(image_density(model, repeated, options.precision), p_z)
        if options.initial == "prior":
            return cls(Bridge(p_z, p), lambda: prior.sample((count,)), unit, options.chains)
        moments = posterior_moments(game, x, options.chains)
        mean, variance = (moment.repeat_interleave(options.chains, dim=0) for moment in moments)
        scale = variance.sqrt().clamp(min=NARROWEST)
        bridge = Bridge(hamiltonian.normal_density(mean, scale), p)
        return cls(bridge, lambda: mean + scale * torch.randn_like(mean), scale, options.chains)


def posterior_moments(game: Game, x: Tensor, at_once: int) -> tuple[Tensor, Tensor]:
    """Returns the mean and the variance of q(z | x) for images x, shape (n, ...), each of shape (n, d).

    If they are not analytic, they are estimated from 256 samples of the encoder for each x, `at_once` samples at a
    time. Estimates suffice, since chains may start from any distribution that is fixed before they are drawn.
    """
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


def image_density(game: HasLikelihood, x: Tensor, precision: str = "fp32") -> LogDensity:
    """Returns a function of z, shape (n, d): log p(x | z), shape (n,), of the n images x, and its gradient in z, (n, d).

    The function's second argument, `with_value`, is False where the gradient alone is needed: within a leapfrog
    trajectory. The decoder then runs in `precision`, "fp32" or "bf16". With True, at both ends of a trajectory, it runs in
    the precision of its weights, so that the trajectory stays reversible.

    The decoder is differentiated automatically. The gradient of log p(x | z) in the decoder's outputs is analytic, as
    automatic differentiation would take as long as a small decoder itself.
    """
    kind = type(game)
    if not isinstance(game, Variational) or any(
        getattr(kind, name) is not getattr(Variational, name) for name in ("log_likelihood", "log_density")
    ):
        return hamiltonian.autograd_density(lambda z: game.log_likelihood(x, z))
    signs, opposite, variance, no_value = 2 * x - 1, 1 - 2 * x, game.sigma**2, x.new_zeros(len(x))
    low_precision = precision_context(precision, x.device)

    def density(z: Tensor, with_value: bool) -> tuple[Tensor, Tensor]:
        """Returns log p(x | z), shape (n,), and its gradient in z, shape (n, d).

        Unless `with_value`, zeros are returned for log p(x | z), and the decoder runs in `precision`.
        """
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            with nullcontext() if with_value else low_precision():
                outputs = to_float32(game.outputs(z))
        if game.binary:
            wrong = outputs.detach() * opposite  # the log-odds against x_i: log p(x_i | z) = -softplus
            value = -softplus(wrong).flatten(1).sum(1) if with_value else no_value
            pull = wrong.sigmoid_().mul_(signs)
        else:
            value = game.log_density(x, outputs.detach()) if with_value else no_value
            pull = (x - outputs.detach()).div_(variance)
        return value, torch.autograd.grad(outputs, z, pull)[0]

    return density


def anneal(
    ends: Ends, state: State, path: Tensor, steps: Tensor, leapfrog: int, report: Progress
) -> tuple[Tensor, Tensor]:
    """Runs the chains along a path of densities, and returns the logarithms of their importance weights w.

        log w = sum_t (b_t - b_{t-1}) (log p(x, z_{t-1}) - log q0(z_{t-1} | x))

    The path goes forwards, from samples of q0 with b from 0 to 1, or backwards, from samples of p(z | x) with b from 1
    to 0. The transitions are reversible, so that each run is the reverse of the other.

    Arguments:
        ends: the distributions q0(z | x) and p(x, z) at the ends of the path, for n images.
        state: the initial samples z, shape (n * chains, d), with densities and gradients there; first all chains of the first
            image, then all of the second, and so on.
        path: b_0 ... b_T, or from b_T to b_0, shape (T + 1,).
        steps: the step sizes of each image at these places on the path, shape (T + 1, n).
        leapfrog: number of leapfrog steps of a transition.
        report: called after each of the T steps along the path, with the share of the run that the step is, 1 / T.

    Returns:
        log w, float64, shape (n, chains), and the mean acceptance probability of each image, shape (n,).
    """
    b, last = path.tolist(), len(path) - 1
    shape = (len(state.z) // ends.chains, ends.chains)
    log_w = torch.zeros(len(state.z), dtype=torch.float64, device=state.z.device)
    chances = torch.zeros_like(log_w)
    for t in range(1, last + 1):
        log_w += (b[t] - b[t - 1]) * (state.log_p.double() - state.log_q.double())
        if t < last:
            step = hamiltonian.jittered_steps(steps[t].repeat_interleave(ends.chains))[:, None] * ends.scale
            state, chance = hamiltonian.transition(ends.bridge, state, b[t], step, leapfrog)
            chances += chance
        report(1 / last)
    return log_w.unflatten(0, shape), chances.unflatten(0, shape).mean(1) / max(1, last - 1)


def scaled_progress(report: Progress, share: float) -> Progress:
    """Returns a progress callback for a task that is a `share` (0 to 1) of the whole work that `report` is called for.

    Called with a finished share of the task, it calls `report` with that times `share`.
    """
    return lambda done: report(done * share)


def tuned_path(ends: Ends, options: Options, runs: int, report: Progress) -> tuple[Tensor, Tensor, Progress]:
    """Tunes the step sizes along the path, and returns the path, the step sizes and the progress callback for each run.

    Arguments:
        ends: the distributions q0(z | x) and p(x, z) at the ends of the path, for n images.
        options: the hyperparameters of the chains.
        runs: number of runs after the tuning, which share the rest of the progress.
        report: called after each part of the work, with the share (0 to 1) of the whole that it is.

    Returns:
        The places b_0 = 0 to b_T = 1 on the path, shape (T + 1,); the step sizes, shape (T + 1, n); and the callback.
    """
    path = betas(options.temperatures, options.path)
    tuning = sum(hamiltonian.tuning_transitions(options.temperatures))
    first = tuning / (tuning + runs * options.temperatures)
    of_tuning, counts = scaled_progress(report, first), (options.chains, options.leapfrog)
    steps = hamiltonian.tuned_steps(ends.bridge, ends.draw(), ends.scale, path, *counts, of_tuning)
    return path, steps, scaled_progress(report, (1 - first) / runs)


def lower_bound(ends: Ends, options: Options, report: Progress) -> tuple[Tensor, Tensor]:
    """Runs annealed importance sampling for n images, and returns lower bounds of log p(x), in nats.

    Arguments:
        ends: the distributions q0(z | x) and p(x, z) at the ends of the path, for n images.
        options: the hyperparameters of the chains.
        report: called after each part of the work, with the share (0 to 1) of the whole that it is.

    Returns:
        The lower bound (in expectation) and the mean acceptance probability of each image, both of shape (n,).
    """
    path, steps, report = tuned_path(ends, options, 1, report)
    log_w, chance = anneal(ends, ends.bridge.at(ends.draw()), path, steps, options.leapfrog, report)
    return log_w.logsumexp(1) - math.log(options.chains), chance


def sandwich(ends: Ends, z_star: Tensor, options: Options, report: Progress) -> tuple[Tensor, Tensor, Tensor]:
    """Runs annealed importance sampling forwards and backwards for n images, and returns bounds of log p(x), in nats.

    Arguments:
        ends: the distributions q0(z | x) and p(x, z) at the ends of the path, for n images.
        z_star: exact samples of p(z | x), from which the reverse run starts, shape (n, d).
        options: the hyperparameters of the chains.
        report: called after each part of the work, with the share (0 to 1) of the whole that it is.

    Returns:
        The lower and the upper bound (in expectation) and the mean acceptance probability of each image, each of shape
        (n,).
    """
    path, steps, report = tuned_path(ends, options, 2, report)
    log_up, acceptance_up = anneal(ends, ends.bridge.at(ends.draw()), path, steps, options.leapfrog, report)
    start = ends.bridge.at(z_star.repeat_interleave(options.chains, dim=0))
    log_down, acceptance_down = anneal(ends, start, path.flip(0), steps.flip(0), options.leapfrog, report)
    count = math.log(options.chains)
    return log_up.logsumexp(1) - count, count - log_down.logsumexp(1), (acceptance_up + acceptance_down) / 2
