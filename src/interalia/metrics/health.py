"""Is this training well? Signs taken on held-out data while it runs; `interalia.metrics.verdicts` says what they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Normal

from interalia import tasks
from interalia.data.store import Store
from interalia.disturbances import outscoring
from interalia.metrics.coverage import precision_recall_density_coverage
from interalia.metrics.distances import maximum_mean_discrepancy
from interalia.metrics.inference import latent_reconstruction, posterior_moments, reconstruction

if TYPE_CHECKING:
    from collections.abc import Callable

    from interalia.data.dataset import Dataset
    from interalia.games import Game

COUNT = 400  # held-out examples, and samples
TRAINING = 2000  # training examples, among which the nearest is looked for


def examine(
    game: Game,
    dataset: Dataset,
    features: Callable[[Tensor], Tensor],
    seed: int = 0,
    classes: bool = False,
    playing: Game | None = None,
) -> dict[str, float]:
    """The signs that the game and the data allow, by their names in `interalia.metrics.verdicts.SIGNS`.

    Arguments:
        game: whose samples and inferences are looked at; it is left as it is, the global random state too.
        dataset: its data; the validation part is what is held out.
        features: x -> features, shape (n, d).
        seed: of every draw.
        classes: whether the features are a classifier's whose `probabilities` tell classes.
        playing: the game whose critic is looked at, where that is another: with the weights of now, not averaged ones.
    """
    rows = {
        "train": torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed))[:TRAINING].sort()[0],
        "validation": torch.arange(min(COUNT, len(dataset.validation))),
    }
    found = _critic(playing or game, dataset, rows, seed)
    if game.other is not None:
        return found
    batches = {part: _batch(game, dataset, part, rows[part]) for part in rows}
    x, *told = batches["validation"]
    told = told if game.labels else []
    y = next(iter(told), None)
    if len(x) < 2:
        return found
    of_x = features(x)
    if hasattr(game, "encoder"):
        x_hat = tasks.reconstruct(game, x, seed, y)
        found["ratio"] = reconstruction(x, x_hat, seed).ratio
        found["feature_ratio"] = reconstruction(of_x, features(x_hat), seed).ratio
        found |= _posterior(game, x, y, seed)
    fake = tasks.generate(game, len(x), seed)
    of_fake, of_train = features(fake), features(batches["train"][0])
    k = min(5, len(x) - 1)
    found["coverage"] = precision_recall_density_coverage(of_x, of_fake, k).coverage
    found["spread"] = _over(_nearest(of_fake), _nearest(of_x))
    found["remembered"] = _over(_nearest(of_fake, of_train), _nearest(of_x, of_train))
    if classes:
        read = features.probabilities(fake).argmax(1)  # type: ignore[attr-defined]
        count = max(2, dataset.labels)
        found["rarest"] = float(torch.bincount(read, minlength=count).min()) * count / len(fake)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _batch(game: Game, dataset: Dataset, part: str, rows: Tensor) -> tuple[Tensor, ...]:
    """(x,), or (x, y) of a game that is told y, on the CPU."""
    y = dataset.conditions(part, game.attributes) if game.labels else None
    split = dataset.train if part == "train" else dataset.validation
    return Store(split, torch.device("cpu"), y=y, labels=game.labels)[rows]


def _critic(game: Game, dataset: Dataset, rows: Mapping[str, Tensor], seed: int) -> dict[str, float]:
    """How sure the critic is of training data and of held-out data, each against samples of its own; of two critics the one
    that is the surer."""
    if "critic" not in game.players or not game.deceives:
        return {}
    device = tasks.device_of(game)
    scores: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for part, chosen in rows.items():
        chosen = chosen[torch.linspace(0, len(chosen) - 1, min(COUNT, len(chosen))).long()]
        chosen = chosen[: len(chosen) // game.pack * game.pack]
        if not len(chosen):
            return {}
        batch = _batch(game, dataset, part, chosen)
        if game.other is not None and dataset.other is not None:
            split = dataset.other.train if part == "train" else dataset.other.validation
            batch = (*batch, *Store(split, torch.device("cpu"))[chosen % len(split)])
        if game.semi:
            x_l, y = Store(dataset.train, torch.device("cpu"), y=dataset.train.y, labels=game.classes)[torch.arange(8)]
            batch = (*batch, x_l, y)  # which do not bear on the scores
        with tasks.quietly(game, seed):
            outcome = game(*(values.to(device) for values in batch))
        scores[part] = [(first.cpu(), second.cpu()) for first, second in game.pairs(outcome)]
        if not scores[part]:
            return {}
    sure = [outscoring(*pair) for pair in scores["train"]]
    surer = sure.index(max(sure))
    p, q = scores["train"][surer]
    width = float(torch.cat([p, q]).std())
    return {
        "sure": sure[surer],
        "sure_held_out": outscoring(*scores["validation"][surer]),
        "separated": float((p > q.max()).double().mean()),
        "margin": float(p.mean() - q.mean()) / width if width > 0 else 0.0,
    }


def _posterior(game: Game, x: Tensor, y: Tensor | None, seed: int) -> dict[str, float]:
    """What z says of x, and whether q(z) is the prior."""
    mean, drawn = tasks.encode(game, x, seed, y=y), tasks.encode(game, x, seed, how="sample", y=y)
    z = tasks.latents(game, len(x), seed + 1)
    y_drawn = next(iter(tasks.labels(game, len(z), seed)), None)
    back = tasks.encode(game, tasks.decode(game, z, seed, y=y_drawn), seed, y=y_drawn)
    found: dict[str, float] = {}
    variance = float(z.var(0).mean())
    found["latent_error"] = latent_reconstruction(z, back) / variance
    found["active"] = float((mean.var(0) > 0.01 * variance).double().mean())
    if hasattr(game.prior, "mean"):
        found["posterior_kl"] = posterior_moments(drawn, game.prior.mean, game.prior.variance).kl / z.shape[1]
        found["posterior_mmd"] = maximum_mean_discrepancy(drawn, z, math.sqrt(z.shape[1] * variance))
    device = tasks.device_of(game)
    with tasks.quietly(game, seed):
        q = game.encoder(x.to(device), *([] if y is None else [y.to(device)]))
        inner = getattr(q, "base_dist", None)
        if isinstance(inner, Normal):
            found["information"] = information(inner.loc, inner.scale, drawn.to(device))
    return found


def information(mu: Tensor, sigma: Tensor, z: Tensor) -> float:
    """I(x; z) of n Gaussian posteriors: mean_i log q(z_i | x_i) - log (1/n sum_j q(z_i | x_j)), in nats, at most log n.

    Arguments:
        mu, sigma: of q(z | x_i), shape (n, d).
        z: a draw of each, shape (n, d).

    Example:
        >>> mu = torch.eye(4) * 100
        >>> round(information(mu, torch.ones(4, 4), mu), 4) == round(math.log(4), 4)
        True
    """
    apart = ((z[:, None].double() - mu[None]) / sigma[None]).square().sum(2) / 2 + sigma.double().log().sum(1)
    log_q = -apart  # up to a constant: log q(z_i | x_j) at [i, j]
    return float((log_q.diagonal() - log_q.logsumexp(1)).mean()) + math.log(len(z))


def _nearest(a: Tensor, b: Tensor | None = None) -> Tensor:
    """The distance of each row of a to the nearest of b, or to the nearest other row of a."""
    distance = torch.cdist(a.double(), (a if b is None else b).double())
    return (distance.fill_diagonal_(torch.inf) if b is None else distance).min(1).values


def _over(a: Tensor, b: Tensor) -> float:
    low = float(b.median())
    return float(a.median()) / low if low > 0 else math.nan
