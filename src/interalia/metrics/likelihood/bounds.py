"""Lower bounds of log p(x) from samples of q(z | x): the evidence lower bound (ELBO) and the importance-weighted bound."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from interalia.conditionals import rsample_with_log_prob
from interalia.contexts import evaluating
from interalia.errors import UserError
from interalia.games.capabilities import HasLikelihood, Infers, require
from interalia.games.game import Game
from interalia.metrics.likelihood.estimate import GIVEN, Estimate, check_inputs, in_chunks, max_rows
from interalia.registry import Samples, check_bounds


def elbo(
    game: Game, x: Tensor, samples: Samples = 100, seed: int = 0, rows: Samples | None = None, binarized: str = GIVEN
) -> Estimate:
    """Estimates the evidence lower bound (ELBO) of log p(x), in nats, by an unbiased mean over samples of the encoder.

        ELBO(x) = E_{q(z | x)}[log p(x, z) - log q(z | x)] <= log p(x)

    See Also:
        importance_bound, which is tighter; annealed_importance, which needs no log q(z | x).

    References:
        Auto-Encoding Variational Bayes, Diederik P. Kingma, Max Welling, 2014, https://arxiv.org/abs/1312.6114

    Arguments:
        game: a game with a decoder and an encoder that have densities, such as a VAE.
        x: images, shape (n, ...), as the game was trained on.
        samples: number of samples of q(z | x) per image.
        seed: random seed of the samples; results are equal only if `rows` is equal too.
        rows: number of pairs (x, z) in one forward pass; by default limited by memory and processor caches.
        binarized: how x was binarized, "none", "static" or "dynamic", for the description of the estimate.

    Returns:
        One value for each image. An interrupted estimate has the values of the finished images.

    Raises:
        UserError: the decoder, the prior or the encoder has no density, x does not fit the game, or p(x | z) is a
            Bernoulli and x is not binary.

    Example:
        >>> from interalia.conditionals import Deterministic, Gaussian, StandardNormal
        >>> from interalia.games import VAE
        >>> from interalia.networks.mlp import MLP
        >>> game = VAE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), StandardNormal(3), sigma=1.0)
        >>> found = elbo(game, torch.zeros(5, 2))
        >>> found.values.shape, found.mean < 0
        (torch.Size([5]), True)
    """
    return _from_draws("elbo", game, x, samples, seed, rows, binarized)


def importance_bound(
    game: Game, x: Tensor, samples: Samples = 5000, seed: int = 0, rows: Samples | None = None, binarized: str = GIVEN
) -> Estimate:
    """Estimates the importance-weighted lower bound of log p(x) from K samples of the encoder, in nats.

    It increases with K and converges to log p(x).

        L_K(x) = E[log (1/K) sum_k w_k] <= log p(x),   w_k = p(x, z_k) / q(z_k | x),  z_k ~ q(z | x),   K = `samples`

    With K = 1 it is the ELBO from one sample. The sum is accumulated in chunks, in float64, so that memory does not
    limit K.

    See Also:
        elbo; annealed_importance, which does not need q(z | x) to be close to p(z | x).

    References:
        Importance Weighted Autoencoders, Yuri Burda, Roger Grosse, Ruslan Salakhutdinov, 2016,
        https://arxiv.org/abs/1509.00519

    Arguments:
        game: a game with a decoder and an encoder that have densities, such as a VAE.
        x: images, shape (n, ...), as the game was trained on.
        samples: K, the number of samples of q(z | x) per image.
        seed: random seed of the samples; results are equal only if `rows` is equal too.
        rows: number of pairs (x, z) in one forward pass; by default limited by memory and processor caches.
        binarized: how x was binarized, "none", "static" or "dynamic", for the description of the estimate.

    Returns:
        One value for each image. An interrupted estimate has the values of the finished images.

    Raises:
        UserError: the decoder, the prior or the encoder has no density, x does not fit the game, or p(x | z) is a
            Bernoulli and x is not binary.

    Example:
        >>> from interalia.conditionals import Deterministic, Gaussian, StandardNormal
        >>> from interalia.games import VAE
        >>> from interalia.networks.mlp import MLP
        >>> game = VAE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), StandardNormal(3), sigma=1.0)
        >>> x = torch.zeros(5, 2)
        >>> bool((importance_bound(game, x, samples=1).values == elbo(game, x, samples=1).values).all())
        True
    """
    return _from_draws("iwae", game, x, samples, seed, rows, binarized)


def _from_draws(
    name: str, game: Game, x: Tensor, samples: Samples, seed: int, rows: int | None, binarized: str
) -> Estimate:
    """Estimates the evidence lower bound (ELBO) or the importance-weighted bound of log p(x) of images x, in nats.

    It uses samples of the encoder.

    Arguments:
        name: "elbo", or "iwae" for the importance-weighted bound.
        game: a game with a decoder and an encoder that have densities.
        x: images, shape (n, ...).
        samples: number of samples of q(z | x) per image.
        seed: random seed of the samples.
        rows: number of pairs (x, z) in one forward pass; None for a number that memory and processor caches limit.
        binarized: how x was binarized, for the description of the estimate.
    """
    check_bounds(_from_draws, samples=samples)
    check_inputs(game, x)
    encoder = require(game, Infers, "a bound").encoder
    if not encoder.has_density:
        what = f"this {type(game).__name__}'s encoder ({type(encoder).__name__}) has no log_prob"
        advice = "use annealed importance sampling (`estimator=['ais']`), or `encoder='gaussian'`"
        raise UserError(f"{what}, and a bound needs log q(z | x); {advice}.")
    with evaluating(game, seed):
        rows = rows or max_rows(game)
        like = next(game.parameters())

        def work(index: Tensor, progress: object) -> Tensor:
            """Returns lower bounds of log p(x) of the images at the indices `index`, in nats, shape (len(index), 1).

            It is the evidence lower bound if `name` is "elbo", and else the importance-weighted bound. `progress` is not
            called.
            """
            part = x[index].to(like)
            parts = log_weights(game, part, samples, max(1, rows // len(part)))
            return (mean_of(parts) if name == "elbo" else log_mean_exp(parts))[:, None]

        which, values = in_chunks(
            len(x), max(1, rows // samples), seed, f"{name} of {len(x):,} images", work, like.device
        )
    draws = f"K = {samples:,} draws" if name == "iwae" else f"{samples:,} draw" + "s" * (samples > 1)
    protocol = f"{draws} of q(z | x); binarization: {binarized}; seed {seed}; {rows:,} pairs (x, z) at once"
    return Estimate(name, values[:, 0], which, len(x), protocol)


def log_weights(game: Game, x: Tensor, samples: Samples, chunk: int) -> Iterator[Tensor]:
    """Yields the log weights log p(x, z_k) - log q(z_k | x) of samples z_k ~ q(z | x), k = 1 ... `samples`, in chunks.

    Arguments:
        game: a game with a decoder, a prior and an encoder that have densities.
        x: images, shape (n, ...).
        samples: number of samples z_k for each x.
        chunk: the largest number of samples for each x at a time; tensors are float64, of shape (n, chunk) or less.
    """
    encoder, likely = require(game, Infers, "a bound").encoder, require(game, HasLikelihood, "a bound")
    for start in range(0, samples, chunk):
        count = min(chunk, samples - start)
        z, log_q = rsample_with_log_prob(encoder.forward_repeated(count, x))
        log_w = likely.log_joint(x.repeat_interleave(count, dim=0), z) - log_q
        yield log_w.double().unflatten(0, (len(x), count))


def mean_of(parts: Iterator[Tensor]) -> Tensor:
    """Returns the mean over the columns of all tensors (n, k) that an iterator yields, shape (n,); k may vary.

    Example:
        >>> mean_of(iter([torch.tensor([[1.0, 2.0]]), torch.tensor([[6.0]])]))
        tensor([3.])
    """
    total, count = torch.zeros(()), 0
    for part in parts:
        total = total.to(part) + part.sum(1)
        count += part.shape[1]
    return total / count


def log_mean_exp(parts: Iterator[Tensor]) -> Tensor:
    """Returns log mean exp(w) over the columns w of all tensors (n, k) that an iterator yields, shape (n,); k may vary.

    It is computed without overflow.

    Example:
        >>> log_mean_exp(iter([torch.tensor([[1000.0, 1000.0]]), torch.tensor([[1000.0]])]))
        tensor([1000.])
    """
    total, count = torch.tensor(-math.inf), 0
    for part in parts:
        total = torch.logaddexp(total.to(part), part.logsumexp(1))
        count += part.shape[1]
    return total - math.log(count)
