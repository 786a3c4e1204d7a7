"""Is this training well? Signs taken on held-out data while it runs; `interalia.metrics.verdicts` says what they mean.

`of_samples`, `of_latents`, `of_labels`, `of_scores` and `cycle` take the signs from arrays; `examine` takes those arrays from
a game, and `health` from whoever has them. None depends on how many examples there are but by its own noise, or it says so
in `verdicts.SIGNS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.distributions import Normal

from interalia import tasks
from interalia.adversarial.divergences import Wasserstein, auc
from interalia.data.dataset import Dataset
from interalia.data.sampler import some_rows
from interalia.data.store import as_tensor
from interalia.errors import UserError
from interalia.games.capabilities import Adversarial, Generates, Infers, require
from interalia.games.game import Game
from interalia.games.needs import critics
from interalia.games.vae import Variational
from interalia.metrics import verdicts
from interalia.metrics.distances import maximum_mean_discrepancy
from interalia.metrics.inference import latent_reconstruction, marginal_kl, posterior_moments, reconstruction

# Held-out examples, and samples: a share's standard error is then at most 1.6 %, and the distances among them, which are
# quadratic, take 8 MB a matrix. Every illness shows from fewer.
COUNT = 1000
TRAINING = 5000  # training examples, among which the nearest is looked for
CELLS, PER_CELL = 20, 4  # into which data and samples are counted; and of cells around data held out, examples of each
SCORED = 400  # examples that critic and encoder get at once
NEAREST = 5
HELD = 2**22  # numbers held at once for the information
CERTAIN = 3.0  # standard errors of a perfect model's share of copies
READABLE = 8.0  # standard errors of what chance reads, by which labels must be readable
ChannelConcatCritic = Mapping[str, ArrayLike | None]
Features = Callable[[Tensor], ArrayLike]
Kept = dict[str, Tensor]
Moments = tuple[float, float]  # the mean and the variance of each dimension of the prior


@dataclass(frozen=True)
class Health:
    """What `health` answers.

    Attributes:
        text: the verdict in one line. It begins with "healthy", "unhealthy" or "no verdict": fewer than 20 held-out examples
            or samples, or something beyond its bound that does not last yet. Where one rule alone has too few examples, it
            says so after "healthy".
        findings: what is wrong, worst first, each with its name, the number of the evaluation since which it is, and a
            sentence with what to try.
        signs: the numbers that it rests on; `interalia.metrics.verdicts.SIGNS` says what each is.
    """

    text: str
    findings: tuple[verdicts.Finding, ...]
    signs: Mapping[str, float]


def health(
    x: ArrayLike,
    samples: ArrayLike,
    reconstructions: ArrayLike | None = None,
    z: ArrayLike | None = None,
    history: Sequence[Health] = (),
    *,
    z_mean: ArrayLike | None = None,
    train: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    back: ArrayLike | None = None,
    scores: tuple[ArrayLike, ArrayLike] | None = None,
    held_out_scores: tuple[ArrayLike, ArrayLike] | None = None,
    features: Features | None = None,
    prior: Moments = (0.0, 1.0),
    kept: Kept | None = None,
) -> Health:
    """Whether a model is well, by held-out data and what it makes of them: the verdicts that `interalia.train` gives at each
    evaluation, for any training loop.

    Each sign is held against a bound that a perfect model does not reach by chance; `interalia.metrics.verdicts.RULES` has
    them. One evaluation alone is judged by itself. With `history`, the answers of the former evaluations of the same
    training, an illness has to be there in the last three of all, or in all where there are fewer, with one better one
    between at most, and must not be getting better.

    Arguments:
        x: held-out data, shape (n, ...), floats; arrays or tensors, as all that follows.
        samples: of the model, shape (m, ...): draws of p(x | z), not means; best m = n. Of more than 1,000 examples or
            samples 1,000 are taken, by a fixed seed.
        reconstructions: of x, shape (n, ...), means.
        z: one draw of q(z | x) for each x, shape (n, d).
        history: what this function answered at the former evaluations, the oldest first.
        z_mean: the mean of q(z | x) for each x, shape (n, d), for whether the latents are used.
        train: training data, shape (k, ...), best all of them, for whether samples are copies; 5,000 are looked through.
        labels: of x, shape (n,), or attributes of 0 and 1, shape (n, l); sample i was drawn with those of x_i.
        back: of a map between two domains, x after the way to the other domain and back, shape (n, ...); `samples` are then
            the translations from the other domain.
        scores: the critic's scores of training data and of samples. Not of a Wasserstein critic, which is meant to be sure.
        held_out_scores: its scores of held-out data and of samples.
        features: maps a float tensor (k, ...) to features (k, f), in which samples and data are compared; by default each
            example is one vector. For images give those of a network.
        prior: mean and variance of each dimension of the prior p(z).
        kept: what does not change between two calls with the same x, train and features, put there by the first.

    Raises:
        UserError: shapes that do not fit, or numbers that are not finite.

    Example:
        >>> random = torch.Generator().manual_seed(0)
        >>> x, samples = torch.randn(200, 8, generator=random), torch.randn(200, 8, generator=random)
        >>> health(x, samples, reconstructions=x, z=x).text.startswith("healthy (reconstruction ratio 0.00, coverage 9")
        True
        >>> answer = health(x, samples[:1].repeat(200, 1), z=x + 0.5)
        >>> [finding.name for finding in answer.findings]
        ['generator collapsed', 'samples alike', 'modes missing', 'posterior off']
        >>> answer.text.startswith("unhealthy: "), health(x, samples, history=[answer]).text.startswith("healthy")
        (True, True)
    """
    of_x = {"reconstructions": reconstructions, "back": back, "z": z, "z_mean": z_mean, "labels": labels}
    signs = of_examples(x, samples, of_x | {"train": train}, features, prior, kept)
    pairs = {"scores": scores, "held_out_scores": held_out_scores}
    of_critic = _judging(*(None if pair is None else _pair(pair, name) for name, pair in pairs.items()))
    return judged(_finite(signs | of_critic), history)


def judged(signs: Mapping[str, float], history: Sequence[Health] = ()) -> Health:
    """What signs come to, after those of former evaluations; see `health`."""
    if signs["examples"] < verdicts.LEAST:
        return Health(f"{verdicts.SILENT}: {verdicts.too_few(signs)}.", (), signs)
    found = verdicts.advised([*(former.signs for former in history), signs])
    if found:
        return Health(f"unhealthy: {'; '.join(finding.sentence for finding in found[:2])}.", tuple(found), signs)
    names = " and ".join(f'"{rule.name}"' for rule in verdicts.unsettled(signs))
    if names:
        words = f"{verdicts.SILENT}: {names} does not last for {verdicts.LASTING} evaluations, or is getting better"
        return Health(f"{words}{verdicts.shown_of(signs)}.", (), signs)
    return Health(f"{verdicts.HEALTHY}{verdicts.shown_of(signs)}{verdicts.open_questions(signs)}.", (), signs)


def of_examples(
    x: ArrayLike,
    samples: ArrayLike,
    beside: ChannelConcatCritic,
    features: Features | None,
    prior: Moments,
    kept: Kept | None,
) -> dict[str, float]:
    """The signs that examples allow; see `health`, whose other arrays are in `beside` by their names.

    Raises:
        UserError: shapes that do not fit, or numbers that are not finite.
    """
    held_out, fake = _array(x, "x"), _array(samples, "samples")
    if held_out.shape[1:] != fake.shape[1:] or held_out.ndim < 2 or not len(held_out) or not len(fake):
        raise UserError(
            f"`x` has the shape {tuple(held_out.shape)} and `samples` {tuple(fake.shape)}; give arrays (n, ...) and (m, ...) "
            "of one kind of examples, such as (n, d) or (n, channels, height, width)."
        )
    total, shape = len(held_out), tuple(held_out.shape[1:])
    if beside["labels"] is not None and len(fake) != total:
        raise UserError(f"there are {len(fake)} samples and {total} labels; draw one sample with each label of `x`.")
    n = min(total, len(fake), COUNT)
    signs = {"examples": float(n)}
    if n < 2:
        return signs
    rows = some_rows(total, n)
    wanted = {"reconstructions": (total, shape), "back": (total, shape), "train": (None, shape)}
    given = {
        name: _rows(part, name, *wanted.get(name, (total, None))) for name, part in beside.items() if part is not None
    }
    own = held_out[rows]
    if "reconstructions" in given:
        signs["ratio"] = reconstruction(own, given["reconstructions"][rows]).ratio
    if "z" in given:
        signs |= of_latents(_latents(given["z"], "z", prior)[rows], *prior)
    if "z_mean" in given:
        signs["active"] = active(_latents(given["z_mean"], "z_mean", prior)[rows], prior[1])
    if "back" in given:
        signs["cycle"] = reconstruction(own, given["back"][rows]).ratio
    of_x = _in_features(features, own)
    of_fake = _in_features(features, fake[rows if "labels" in given else some_rows(len(fake), n)])
    known, share = None, 1.0
    if "train" in given:
        chosen = some_rows(len(given["train"]), TRAINING)
        known, share = _in_features(features, given["train"][chosen]), len(chosen) / len(given["train"])
    signs |= of_samples(of_x, of_fake, known, share, kept)
    return signs | (of_labels(of_x, of_fake, given["labels"][rows]) if "labels" in given else {})


def _rows(given: ArrayLike, name: str, count: int | None, shape: tuple[int, ...] | None = None) -> Tensor:
    """One row for each x, or where `count` is None any number of them, of that shape."""
    values = _array(given, name)
    enough = values.ndim > 0 and (len(values) > 0 if count is None else len(values) == count)
    if not enough or (shape is not None and tuple(values.shape[1:]) != shape):
        form = "..." if shape is None else ", ".join(map(str, shape))
        raise UserError(f"`{name}` has the shape {tuple(values.shape)}; beside `x` it is ({count or 'k'}, {form}).")
    return values


def _in_features(features: Features | None, values: Tensor) -> Tensor:
    found = values.flatten(1) if features is None else _array(features(values), "features")
    if found.ndim != 2 or len(found) != len(values):
        raise UserError(
            f"`features` made the shape {tuple(found.shape)} of {len(values)} examples; make one row of each."
        )
    return found


def _latents(values: Tensor, name: str, prior: Moments) -> Tensor:
    if values.ndim != 2 or not values.shape[1] or not prior[1] > 0:
        what = f"`{name}` has the shape {tuple(values.shape)} and `prior` is {prior}; give latents (n, d)"
        raise UserError(f"{what}, and the mean and the positive variance of each dimension of p(z).")
    return values


def _array(values: ArrayLike, name: str) -> Tensor:
    """As a float tensor on the CPU."""
    try:
        found = (values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))).detach().cpu()
    except (TypeError, ValueError) as error:
        raise UserError(f"`{name}` is no array of numbers ({error}); give an array or a tensor.") from None
    found = found.double() if found.dtype == torch.float64 else found.float()
    if not bool(found.isfinite().all()):
        raise UserError(f"`{name}` holds NaN or infinite values; the model has diverged, or the data need cleaning.")
    return found


def _pair(values: tuple[ArrayLike, ArrayLike], name: str) -> tuple[Tensor, Tensor]:
    try:
        p, q = (_array(part, name).flatten() for part in values)
    except (TypeError, ValueError):
        raise UserError(f"`{name}` is no pair; give the critic's scores of data and those of samples.") from None
    if len(p) < 2 or len(q) < 2:
        raise UserError(f"`{name}` has {len(p)} and {len(q)} scores; give 2 or more of data and of samples.")
    return p, q


def examine(
    game: Game,
    dataset: Dataset,
    features: Callable[[Tensor], Tensor],
    seed: int = 0,
    classes: bool = False,
    playing: Game | None = None,
    kept: Kept | None = None,
) -> dict[str, float]:
    """The signs that the game and the data allow, by their names in `interalia.metrics.verdicts.SIGNS`.

    Samples are draws of p(x | z); a conditional game's are of p(x | z, y) with the labels or attributes of the held-out
    examples.

    Arguments:
        game: whose samples and inferences are looked at; it is left as it is, the global random state too.
        dataset: its data; the validation part is what is held out.
        features: x -> features, shape (n, d).
        seed: of every draw.
        classes: whether the features are a classifier's whose `probabilities` tell classes.
        playing: the game whose critic is looked at, where that is another: with the weights of now, not averaged ones.
        kept: what does not change between two calls on the same data, features and seed, put there by the first.
    """
    kept = {} if kept is None else kept
    held_out = torch.arange(min(COUNT, len(dataset.validation)))
    rows = {"train": some_rows(len(dataset.train), TRAINING, seed), "validation": held_out}
    found = _critic(playing or game, dataset, rows, seed)
    x, *told = game.feeds.rows(game.data, dataset, "validation", held_out)
    if len(x) < 2:
        return {}
    found["examples"] = float(len(x))
    if game.data.other is not None:
        return _finite(found | _cycles(game, dataset, x, seed))
    y = next(iter(told), None) if game.data.condition else None
    if "held out" not in kept:
        kept["held out"] = features(x)
        kept["train"] = features(game.feeds.rows(game.data, dataset, "train", rows["train"])[0])
    of_x = kept["held out"]
    if isinstance(game, Infers):
        x_hat = tasks.reconstruct(game, x, seed, y)
        found["ratio"] = reconstruction(x, x_hat, seed).ratio
        found["feature_ratio"] = reconstruction(of_x, features(x_hat), seed).ratio
        found |= _posterior(game, x, y, seed)
    fake = tasks.generate(game, len(x), seed, y=y, sample=True)
    of_fake = features(fake)
    found |= of_samples(of_x, of_fake, kept["train"], len(rows["train"]) / len(dataset.train), kept)
    if y is not None:
        found |= of_labels(of_x, of_fake, y)
    if classes:
        read = features.probabilities(fake).argmax(1)  # type: ignore[attr-defined]
        number = max(2, dataset.labels)
        found["rarest"] = float(torch.bincount(read, minlength=number).min()) * number / len(fake)
    return _finite(found)


def _finite(found: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if math.isfinite(value)}


def of_samples(
    x: Tensor, samples: Tensor, train: Tensor | None = None, share: float = 1.0, kept: Kept | None = None
) -> dict[str, float]:
    """What samples are beside held-out data and training data, all in features.

    See also:
        interalia.metrics.precision_recall_density_coverage, for coverage.

    Arguments:
        x: of held-out data, shape (n, d).
        samples: as many, for the distance to the nearest other depends on how many there are.
        train: of training data, shape (m, d).
        share: which part of all training data these are: of so many copies the original is among them.
        kept: what does not change while x and train do not, put there by the first call.
    """
    kept = {} if kept is None else kept
    n = len(x)
    if "apart" not in kept:
        within = torch.cdist(x.double(), x.double()).fill_diagonal_(torch.inf)
        kept["apart"], kept["radii"] = within.min(1).values, within.kthvalue(min(NEAREST, n - 1), dim=1).values
        others = torch.ones(n, dtype=torch.bool)
        if train is None:  # then places are held-out data, which are not counted
            chosen = cells(x, max(2, min(CELLS, n // PER_CELL)))
            others[chosen] = False
            kept["places"] = x[chosen]
        else:
            kept["places"] = train[cells(train, CELLS)]
            kept["near"] = nearest(x, train)
        kept["counted"] = others
    covered = float((nearest(x, samples) <= kept["radii"]).double().mean())
    found = {"coverage": covered, "spread": _over(nearest(samples), kept["apart"])}
    if kept["counted"].any():
        found["overlap"] = overlap(x[kept["counted"]], samples, kept["places"])
    if train is not None:
        near, of_samples = kept["near"], nearest(samples, train)
        found["remembered"] = _over(of_samples, near)
        half = float(near.median()) / 2
        by_chance, close = (float((distance < half).double().mean()) for distance in (near, of_samples))
        error = math.sqrt(2 * (by_chance * (1 - by_chance) + 1 / n) / n)
        if half > 0:
            found["copied"] = min(1.0, max(0.0, close - by_chance - CERTAIN * error) / share)
    return found


def cells(x: Tensor, count: int, seed: int = 0) -> Tensor:
    """Which `count` rows of x lie far from each other: each is drawn in proportion to the squared distance to the nearest of
    those before, so that modes that lie apart get one each. Fewer where x has no more that differ. int64.

    References:
        k-means++: The Advantages of Careful Seeding, David Arthur, Sergei Vassilvitskii, 2007,
        https://theory.stanford.edu/~sergei/papers/kMeansPP-soda.pdf

    Example:
        >>> x = torch.tensor([[0.0], [0.0], [0.0], [9.0]])
        >>> sorted(x[cells(x, 2)].flatten().tolist())
        [0.0, 9.0]
    """
    random = torch.Generator().manual_seed(seed)
    x = x.double()
    chosen = [int(torch.randint(len(x), (1,), generator=random))]
    square = torch.full((len(x),), torch.inf, dtype=x.dtype)
    for _ in range(min(count, len(x)) - 1):
        square = torch.minimum(square, (x - x[chosen[-1]]).square().sum(1))
        total = square.cumsum(0)
        if not total[-1] > 0:
            break  # all others are copies of these
        at = torch.rand(1, generator=random, dtype=x.dtype) * total[-1]
        chosen.append(min(int(torch.searchsorted(total, at, right=True)), len(x) - 1))
    return torch.tensor(chosen)


def overlap(x: Tensor, samples: Tensor, places: Tensor) -> float:
    """sum_c min(p_c, q_c), with p_c and q_c the shares of data and of samples that are nearest to place c.

    1 where all shares are alike; of two independent sets of n from one law about 1 - sqrt(cells / (pi n)).

    Example:
        >>> places = torch.tensor([[0.0], [10.0]])
        >>> overlap(torch.tensor([[1.0], [2.0], [9.0], [8.0]]), torch.tensor([[1.0], [1.0], [1.0], [11.0]]), places)
        0.75
    """
    chosen = (torch.cdist(part.double(), places.double()).argmin(1) for part in (x, samples))
    p, q = (torch.bincount(place, minlength=len(places)).double() / len(place) for place in chosen)
    return float(torch.minimum(p, q).sum())


def of_labels(x: Tensor, samples: Tensor, y: Tensor) -> dict[str, float]:
    """Whether samples show the labels that they were drawn with, read off the nearest held-out example.

    readable: Cohen's kappa of y and the labels of the nearest other, (agreement - chance) / (1 - chance), chance being that
    of labels that are independent of the ones read. obeyed: kappa of the samples' y and the labels of the nearest held-out
    example, over `readable`; only where that is `READABLE` standard errors above chance.

    References:
        A Coefficient of Agreement for Nominal Scales, Jacob Cohen, 1960, https://doi.org/10.1177/001316446002000104
        Large Sample Standard Errors of Kappa and Weighted Kappa, Joseph L. Fleiss, Jacob Cohen, B. S. Everitt, 1969,
        https://doi.org/10.1037/h0028106

    Arguments:
        x: features of held-out data, shape (n, d).
        samples: of samples that were drawn with the labels of these, shape (n, d).
        y: labels, shape (n,), or one-hot labels or attributes of 0 and 1, shape (n, k).

    Example:
        >>> y = torch.tensor([0, 1] * 50)
        >>> x = y[:, None] + torch.linspace(0, 0.1, 100)[:, None]
        >>> of_labels(x, x, y), of_labels(x, 1 - x, y)["obeyed"]
        ({'readable': 1.0, 'obeyed': 1.0}, -1.0)
    """
    if y.ndim == 2 and bool((y.sum(1) == 1).all()):
        y = y.argmax(1)
    told = torch.nn.functional.one_hot(y.long()) if y.ndim == 1 else y.long()
    single = y.ndim == 1
    among = torch.cdist(x.double(), x.double()).fill_diagonal_(torch.inf).argmin(1)
    own, error = _kappa(told, told[among], single)
    given, _ = _kappa(told, told[torch.cdist(samples.double(), x.double()).argmin(1)], single)
    return {"readable": own} | ({"obeyed": given / own} if own >= READABLE * error else {})


def _kappa(a: Tensor, b: Tensor, single: bool) -> tuple[float, float]:
    """Cohen's kappa of labels, one-hot, or of attributes together; and its standard error where they are independent, of
    attributes as though they were one."""
    p, q = a.double().mean(0), b.double().mean(0)
    if single:
        p, q, same = p[:, None], q[:, None], (a * b).sum(1).double().mean()
    else:
        p, q, same = torch.stack([p, 1 - p]), torch.stack([q, 1 - q]), (a == b).double().mean()
    chance = (p * q).sum(0)
    spread = (chance + chance.square() - (p * q * (p + q)).sum(0)).clamp(min=0).sqrt().mean()
    apart = 1 - float(chance.mean())
    if apart < 1e-9:  # one label alone
        return 0.0, math.inf
    return (float(same) - 1 + apart) / apart, float(spread) / apart / math.sqrt(len(a))


def of_latents(z: Tensor, mean: float = 0.0, variance: float = 1.0) -> dict[str, float]:
    """Whether draws z^ ~ q(z | x) of held-out x, shape (n, d), are as the prior's moments are; each number is less its
    expectation for a perfect encoder, see `marginal_kl` and `expected_kl`, in nats a dimension."""
    n, d = z.shape
    found = {"latents": float(d), "posterior_marginal": marginal_kl(z, mean, variance)}
    if n >= verdicts.DIMENSIONS * d:
        found["aggregate_posterior_kl"] = posterior_moments(z, mean, variance).kl / d
    return found


def active(mean: Tensor, variance: float = 1.0) -> float:
    """The share of dimensions in which the mean of q(z | x), shape (n, d), varies by more than a hundredth of the prior's
    variance.

    References:
        Importance Weighted Autoencoders, Yuri Burda, Roger Grosse, Ruslan Salakhutdinov, 2016,
        https://arxiv.org/abs/1509.00519 (section 5.2)

    Example:
        >>> active(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        0.5
    """
    return float((mean.double().var(0) > 0.01 * variance).double().mean())


def of_scores(p: Tensor, q: Tensor) -> dict[str, float]:
    """How sure a critic is, by its scores of data (p) and of samples (q)."""
    width = float(torch.cat([p, q]).std())
    return {
        "sure": auc(p, q),
        "separated": float((p > q.max()).double().mean()),
        "margin": float(p.mean() - q.mean()) / width if width > 0 else 0.0,
    }


def _critic(game: Game, dataset: Dataset, rows: Mapping[str, Tensor], seed: int) -> dict[str, float]:
    """How sure the critic is of training data and of held-out data, each against samples of its own; of two critics the one
    that is the surer."""
    if "critic" not in game.players or any(not critic.adversary for critic in critics(type(game))):
        return {}
    device = tasks.device_of(game)
    scores: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for part, chosen in rows.items():
        chosen = chosen[torch.linspace(0, len(chosen) - 1, min(SCORED, len(chosen))).long()]
        chosen = chosen[: len(chosen) // game.pack * game.pack]
        if not len(chosen):
            return {}
        batch = game.feeds.rows(game.data, dataset, part, chosen)  # labelled examples in it do not bear on the scores
        with tasks.evaluating(game, seed):
            outcome = game(*(values.to(device) for values in batch))
        scores[part] = [(first.cpu(), second.cpu()) for first, second in game.pairs(outcome)]
        if not scores[part]:
            return {}
    both = zip(scores["train"], scores["validation"], strict=True)
    train, held_out = max(both, key=lambda pairs: auc(*pairs[0]))
    return _judging(train, held_out)


def _judging(scores: tuple[Tensor, Tensor] | None, held_out: tuple[Tensor, Tensor] | None) -> dict[str, float]:
    """How sure a critic is, by its scores of training data and of held-out data, each with those of samples."""
    found = {} if scores is None else of_scores(*scores)
    if held_out is not None:
        found["sure_held_out"] = auc(*held_out)
    counts = [len(part) for pair in (scores, held_out) if pair is not None for part in pair]
    return found | ({"judged": float(min(counts))} if counts else {})


def _cycles(game: Game, dataset: Dataset, x: Tensor, seed: int) -> dict[str, float]:
    """How held-out data of both domains come back from the other; of the two ways the worse."""
    assert dataset.other is not None
    y = as_tensor(dataset.other.validation.x[:COUNT])
    x_back = tasks.translate(game, tasks.translate(game, x, to="b"), to="a")
    y_back = tasks.translate(game, tasks.translate(game, y, to="a"), to="b")
    ratios = [reconstruction(*pair, seed).ratio for pair in ((x, x_back), (y, y_back)) if len(pair[0]) > 1]
    return {"cycle": max(ratios)}


def _posterior(game: Game, x: Tensor, y: Tensor | None, seed: int) -> dict[str, float]:
    """What z says of x, and whether q(z) is the prior."""
    mean, drawn = tasks.encode(game, x, seed, y=y), tasks.encode(game, x, seed, sample=True, y=y)
    z = tasks.sample_latents(game, len(x), seed + 1)
    back = tasks.encode(game, tasks.decode(game, z, seed + 1, y=y, sample=True), seed, y=y)
    variance = float(z.var(0).mean())
    found = {"latent_error": latent_reconstruction(z, back) / variance, "active": active(mean, variance)}
    prior = require(game, Generates, "sampling").prior
    if hasattr(prior, "mean"):
        found |= of_latents(drawn, prior.mean, prior.variance)
        found["aggregate_posterior_mmd"] = maximum_mean_discrepancy(drawn, z, math.sqrt(z.shape[1] * variance))
    device = tasks.device_of(game)
    with tasks.evaluating(game, seed):
        given = [part[:SCORED].to(device) for part in (x, y) if part is not None]
        q = require(game, Infers, "inference").encoder(*given)
        inner = getattr(q, "base_dist", None)
        if isinstance(inner, Normal):
            found["information"] = information(inner.loc, inner.scale, drawn[:SCORED].to(device))
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
    widths = sigma.double().log().sum(1)
    rows = max(1, HELD // mu.numel())
    apart = torch.cat([((part[:, None].double() - mu) / sigma).square().sum(2) for part in z.split(rows)]) / 2 + widths
    log_q = -apart  # up to a constant: log q(z_i | x_j) at [i, j]
    return float((log_q.diagonal() - log_q.logsumexp(1)).mean()) + math.log(len(z))


def nearest(a: Tensor, b: Tensor | None = None) -> Tensor:
    """The distance of each row of a to the nearest of b, or to the nearest other row of a."""
    distance = torch.cdist(a.double(), (a if b is None else b).double())
    return (distance.fill_diagonal_(torch.inf) if b is None else distance).min(1).values


def _over(a: Tensor, b: Tensor) -> float:
    low = float(b.median())
    return float(a.median()) / low if low > 0 else math.nan


def refused_by(game: Game, dynamics: str) -> set[str]:
    """The flags among the verdict's remedies that a game, or its dynamics, does not take, and what is no illness of it."""
    judges = critics(type(game))
    ratio = any(not critic.adversary for critic in judges)
    found = {
        "pack": not any(critic.packable for critic in judges),
        # a Wasserstein critic is meant to be as sure as it can, and its gradient does not vanish
        "critic too strong": isinstance(game, Adversarial) and isinstance(game.divergence, Wasserstein),
        "noise": ratio,
        "augment": ratio or not game.data.is_image or (judges and all(critic.x is None for critic in judges)),
        # its remedies are a sigma's where there is no critic to deceive
        "game": (ratio or "critic" not in game.players) and (not isinstance(game, Variational) or game.binary),
        "penalty": dynamics.startswith("consensus"),
    }
    return {name for name, holds in found.items() if holds}
