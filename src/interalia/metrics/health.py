"""Diagnostics of a training, such as the coverage of the data by samples, computed on held-out data while it runs.

A diagnostic is a number. `game_diagnostics` computes them from a game, and `health` from the tensors of any training
loop. Except for noise none depends on the number of examples, unless its description in
`interalia.metrics.verdicts.DIAGNOSTICS` says so. `interalia.metrics.verdicts` has the bounds beyond which a training is
diagnosed as unhealthy.
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
# quadratic, take 8 MB a matrix. Every diagnosis can be made from fewer.
COUNT = 1000
TRAIN_COUNT = 5000  # training examples among which the nearest is searched
CELLS, PER_CELL = 20, 4  # cells of the histograms; with held-out examples as centres, the fewest examples per cell
SCORE_COUNT = 400  # examples that the critic and the encoder get at once
NEIGHBORS = 5  # k of the neighbourhoods
CHUNK = 2**22  # elements of a chunk of the mutual information
COPY_ERRORS = 3.0  # standard errors of a perfect model's share of copies
LABEL_ERRORS = 8.0  # standard errors above chance at which neighbours predict labels
Arrays = Mapping[str, ArrayLike | None]
FeatureMap = Callable[[Tensor], ArrayLike]
Cache = dict[str, Tensor]
Moments = tuple[float, float]  # the mean and the variance of each dimension of the prior


@dataclass(frozen=True)
class Health:
    """The state of a model at an evaluation: whether it is healthy, the diagnoses if not, and the numbers behind them.

    It is the result of `health`.

    Attributes:
        text: the state of the model in one line. It begins with "unhealthy" if there are diagnoses, with "no verdict" or
            with "healthy". There is no verdict if there are fewer than 20 held-out examples or samples, or if a diagnostic
            is beyond its bound but is improving or has not been beyond it for three evaluations yet. After "healthy" the
            line names the diagnoses for which there are too few examples.
        diagnoses: the diagnoses, worst first, each with its name, the number of the evaluation since which it lasts, and a
            sentence with what to try; empty if there are none.
        diagnostics: the numbers that they are made from, by the names in `interalia.metrics.verdicts.DIAGNOSTICS`.
    """

    text: str
    diagnoses: tuple[verdicts.Diagnosis, ...]
    diagnostics: Mapping[str, float]


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
    features: FeatureMap | None = None,
    prior: Moments = (0.0, 1.0),
    cache: Cache | None = None,
) -> Health:
    """Diagnoses a model from held-out data and the model's outputs for them, in any training loop.

    It makes the diagnoses that `interalia.train` makes at each evaluation. Each diagnostic has a bound that a perfect
    model does not reach by chance; see `interalia.metrics.verdicts.RULES`. A single evaluation is diagnosed by itself.
    With `history`, the results of the former evaluations of the same training, a diagnosis is made if two conditions hold:

    - its diagnostic is beyond the bound in this evaluation and the two before, or in all if there are fewer than three.
      One former evaluation within the bound is skipped: a fourth one beyond the bound then takes its place;
    - it is not improving: from the first to the last of these three it has not moved towards the bound by more than a
      small amount, `gain` in `interalia.metrics.verdicts.Rule`.

    Arguments:
        x: held-out data, shape (n, ...), floats; an array or a tensor, as all that follows.
        samples: samples of the model, shape (m, ...): of p(x | z), not its means; preferably m = n. Of more than 1,000
            examples or samples 1,000 are used, chosen by a fixed seed.
        reconstructions: reconstructions of x, shape (n, ...), means of p(x | z).
        z: one sample of q(z | x) for each x, shape (n, d).
        history: the results of this function at the former evaluations, oldest first.
        z_mean: the mean of q(z | x) for each x, shape (n, d), for the share of active latent dimensions.
        train: training data, shape (k, ...), preferably all of them, for whether samples are copies; 5,000 are searched.
        labels: labels of x, shape (n,), or attributes of 0 and 1, shape (n, l); sample i is conditioned on those of x_i.
        back: for a map between two domains, x translated to the other domain and back, shape (n, ...); `samples` are then
            the translations from the other domain.
        scores: the critic's scores of training data and of samples. Leave it out for a Wasserstein critic, which
            is meant to separate them.
        held_out_scores: the critic's scores of held-out data and of samples.
        features: maps a float tensor (k, ...) to features (k, f), in which samples and data are compared; by default each
            example is flattened to one vector. For images give a network's features.
        prior: mean and variance of each dimension of the prior p(z).
        cache: a dictionary that the first call fills with results for later calls with equal x, train and features.

    Raises:
        UserError: shapes that do not fit, or numbers that are not finite.

    Example:
        >>> random = torch.Generator().manual_seed(0)
        >>> x, samples = torch.randn(200, 8, generator=random), torch.randn(200, 8, generator=random)
        >>> health(x, samples, reconstructions=x, z=x).text.startswith("healthy (reconstruction ratio 0.00, coverage 9")
        True
        >>> found = health(x, samples[:1].repeat(200, 1), z=x + 0.5)
        >>> [diagnosis.name for diagnosis in found.diagnoses][:3]
        ['generator collapsed', 'mode collapse', 'modes missing']
        >>> found.diagnoses[3].name
        'aggregate posterior differs from the prior'
        >>> found.text.startswith("unhealthy: "), health(x, samples, history=[found]).text.startswith("healthy")
        (True, True)
    """
    of_x = {"reconstructions": reconstructions, "back": back, "z": z, "z_mean": z_mean, "labels": labels}
    found = array_diagnostics(x, samples, of_x | {"train": train}, features, prior, cache)
    pairs = {"scores": scores, "held_out_scores": held_out_scores}
    of_critic = critic_diagnostics(*(None if pair is None else _score_pair(pair, name) for name, pair in pairs.items()))
    return health_from(_finite(found | of_critic), history)


def health_from(diagnostics: Mapping[str, float], history: Sequence[Health] = ()) -> Health:
    """Returns the health of a model from the diagnostics of an evaluation and the results of the former ones.

    Arguments:
        diagnostics: the diagnostics of this evaluation, name -> number, such as `array_diagnostics` returns; "examples" must
            be among them.
        history: the `Health` of each former evaluation, oldest first.
    """
    if diagnostics["examples"] < verdicts.MIN_EXAMPLES:
        return Health(f"{verdicts.NO_VERDICT}: {verdicts.too_few_examples(diagnostics)}.", (), diagnostics)
    found = verdicts.custom_loop_diagnoses([*(former.diagnostics for former in history), diagnostics])
    if found:
        text = "; ".join(diagnosis.sentence for diagnosis in found[:2])
        return Health(f"{verdicts.UNHEALTHY}: {text}.", tuple(found), diagnostics)
    summary = verdicts.summary(diagnostics)
    names = " and ".join(f'"{rule.name}"' for rule in verdicts.violated_rules(diagnostics))
    if names:
        text = f"{names} has not lasted for {verdicts.MIN_EVALUATIONS} evaluations, or is improving"
        return Health(f"{verdicts.NO_VERDICT}: {text}{summary}.", (), diagnostics)
    return Health(f"{verdicts.HEALTHY}{summary}{verdicts.undecided(diagnostics)}.", (), diagnostics)


def array_diagnostics(
    x: ArrayLike, samples: ArrayLike, arrays: Arrays, features: FeatureMap | None, prior: Moments, cache: Cache | None
) -> dict[str, float]:
    """Returns diagnostics of a model, name -> number, from held-out data, samples and the further arrays that are given.

    There is always "examples", the number of held-out examples that are used, at most 1,000. It is the only one if it is
    below two. Otherwise there are, as `interalia.metrics.verdicts.DIAGNOSTICS` describes them:

        from x and samples: "coverage", "spread" and, unless there are two examples and no `train`, "overlap"
        from reconstructions: "reconstruction_ratio"
        from back: "cycle_ratio"
        from z: "latents", "aggregate_posterior_marginal_kl" and, with two examples per dimension, "aggregate_posterior_kl"
        from z_mean: "active_units"
        from train: "train_distance" and, unless half of x are training examples, "copied"
        from labels: "label_agreement_data" and, if that is 8 standard errors above chance, "label_agreement"

    Arguments:
        x: held-out data, shape (n, ...).
        samples: samples of the model, shape (m, ...).
        arrays: the arguments `reconstructions`, `back`, `z`, `z_mean`, `labels` and `train` of `health`, by name, each of
            which may be None.
        features: maps a float tensor (k, ...) to features (k, f); None flattens each example.
        prior: mean and variance of each dimension of the prior p(z).
        cache: a dictionary that the first call fills with results for later calls with equal x, train and features.

    Raises:
        UserError: shapes that do not fit, or numbers that are not finite.
    """
    held_out, fake = _float_tensor(x, "x"), _float_tensor(samples, "samples")
    if held_out.shape[1:] != fake.shape[1:] or held_out.ndim < 2 or not len(held_out) or not len(fake):
        what = f"`x` has the shape {tuple(held_out.shape)} and `samples` {tuple(fake.shape)}"
        how = "give arrays (n, ...) and (m, ...) whose examples have one shape"
        raise UserError(f"{what}; {how}, such as (n, d) or (n, channels, height, width).")
    total, shape = len(held_out), tuple(held_out.shape[1:])
    if arrays["labels"] is not None and len(fake) != total:
        raise UserError(f"there are {len(fake)} samples and {total} labels; draw one sample with each label of `x`.")
    n = min(total, len(fake), COUNT)
    found = {"examples": float(n)}
    if n < 2:
        return found
    rows = some_rows(total, n)
    shapes = {"reconstructions": (total, shape), "back": (total, shape), "train": (None, shape)}
    given = {name: values for name, values in arrays.items() if values is not None}
    tensors = {name: _checked_rows(values, name, *shapes.get(name, (total, None))) for name, values in given.items()}
    x_rows = held_out[rows]
    if "reconstructions" in tensors:
        found["reconstruction_ratio"] = reconstruction(x_rows, tensors["reconstructions"][rows]).ratio
    if "z" in tensors:
        found |= latent_diagnostics(_checked_latents(tensors["z"], "z", prior)[rows], *prior)
    if "z_mean" in tensors:
        found["active_units"] = active_units(_checked_latents(tensors["z_mean"], "z_mean", prior)[rows], prior[1])
    if "back" in tensors:
        found["cycle_ratio"] = reconstruction(x_rows, tensors["back"][rows]).ratio
    of_x = _features_of(features, x_rows)
    of_fake = _features_of(features, fake[rows if "labels" in tensors else some_rows(len(fake), n)])
    of_train, share = None, 1.0
    if "train" in tensors:
        chosen = some_rows(len(tensors["train"]), TRAIN_COUNT)
        of_train, share = _features_of(features, tensors["train"][chosen]), len(chosen) / len(tensors["train"])
    found |= sample_diagnostics(of_x, of_fake, of_train, share, cache)
    return found | (label_diagnostics(of_x, of_fake, tensors["labels"][rows]) if "labels" in tensors else {})


def _checked_rows(values: ArrayLike, name: str, count: int | None, shape: tuple[int, ...] | None = None) -> Tensor:
    """Returns an array as a float tensor on the CPU, after checks of its shape and values.

    Raises a UserError if the number of its rows or the shape of a row is wrong, or if a value is not finite.

    Arguments:
        values: an array or a tensor.
        name: the name of the argument, for the message.
        count: the number of rows; None for one or more.
        shape: the shape of a row; None for any.
    """
    rows = _float_tensor(values, name)
    enough = rows.ndim > 0 and (len(rows) > 0 if count is None else len(rows) == count)
    if not enough or (shape is not None and tuple(rows.shape[1:]) != shape):
        form = "..." if shape is None else ", ".join(map(str, shape))
        raise UserError(f"`{name}` has the shape {tuple(rows.shape)}; beside `x` it is ({count or 'k'}, {form}).")
    return rows


def _features_of(features: FeatureMap | None, x: Tensor) -> Tensor:
    """Returns the features of examples x, shape (len(x), f).

    `features` maps x to them; if it is None, each example is flattened to one vector. Raises a UserError if `features`
    returns another number of rows or a value that is not finite.
    """
    found = x.flatten(1) if features is None else _float_tensor(features(x), "features")
    if found.ndim != 2 or len(found) != len(x):
        what = f"`features` returned the shape {tuple(found.shape)} for {len(x)} examples"
        raise UserError(f"{what}; return one row for each.")
    return found


def _checked_latents(z: Tensor, name: str, prior: Moments) -> Tensor:
    """Returns the latents z after checks of their shape and of the prior.

    Raises a UserError unless z has the shape (n, d) and the prior's variance is positive.

    Arguments:
        z: the latents.
        name: the name of the argument that they were given as, for the message.
        prior: the mean and the variance of each dimension of the prior.
    """
    if z.ndim != 2 or not z.shape[1] or not prior[1] > 0:
        what = f"`{name}` has the shape {tuple(z.shape)} and `prior` is {prior}; give latents (n, d)"
        raise UserError(f"{what}, and the mean and the positive variance of each dimension of p(z).")
    return z


def _float_tensor(values: ArrayLike, name: str) -> Tensor:
    """Returns an array or a tensor as a float tensor on the CPU; float64 stays float64, all else becomes float32.

    Raises a UserError unless all values are finite numbers; `name` is the name of the argument, for the message.
    """
    try:
        found = (values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))).detach().cpu()
    except (TypeError, ValueError) as error:
        raise UserError(f"`{name}` is no array of numbers ({error}); give an array or a tensor.") from None
    found = found.double() if found.dtype == torch.float64 else found.float()
    if not bool(found.isfinite().all()):
        raise UserError(f"`{name}` holds NaN or infinite values; the model has diverged, or the data need cleaning.")
    return found


def _score_pair(scores: tuple[ArrayLike, ArrayLike], name: str) -> tuple[Tensor, Tensor]:
    """Returns a critic's scores of data and of samples, given as a pair, as two flat tensors on the CPU.

    Raises a UserError unless it is a pair of arrays of two or more finite numbers; `name` is the name of the argument,
    for the message.
    """
    try:
        p, q = (_float_tensor(values, name).flatten() for values in scores)
    except (TypeError, ValueError):
        raise UserError(f"`{name}` is no pair; give the critic's scores of data and those of samples.") from None
    if len(p) < 2 or len(q) < 2:
        raise UserError(f"`{name}` has {len(p)} and {len(q)} scores; give 2 or more of data and of samples.")
    return p, q


def game_diagnostics(
    game: Game,
    dataset: Dataset,
    features: Callable[[Tensor], Tensor],
    seed: int = 0,
    classes: bool = False,
    live_game: Game | None = None,
    cache: Cache | None = None,
) -> dict[str, float]:
    """Returns the diagnostics that a game and its data allow, by the names in `interalia.metrics.verdicts.DIAGNOSTICS`.

    They are "examples", the number of held-out examples, and those of the critic, as `critic_diagnostics` returns them. For
    a game between two domains "cycle_ratio" is added. For any other game these are added:

        always: the result of `sample_diagnostics`
        with an encoder: "reconstruction_ratio", "reconstruction_ratio_features" (the same ratio, of features of x),
            "latent_error", "active_units" and others on the latents
        for a conditional game: the result of `label_diagnostics`

    The result is empty if there are fewer than two held-out examples. Values that are not finite are left out. Samples
    are drawn from p(x | z); a conditional game's from p(x | z, y) with the labels or attributes y of the held-out
    examples. The game and the global random state are left unchanged.

    Arguments:
        game: the game that samples and infers, for example with averaged weights.
        dataset: its data; the validation split is held out.
        features: maps x to features, shape (n, d).
        seed: random seed of samples, noise and the choice of training and held-out examples.
        classes: True if `features` is a `Classifier`, to add "rarest": the number of samples of the label that it predicts
            least often, over the mean number of samples per label.
        live_game: the game with the current weights, whose critic is evaluated; by default `game`.
        cache: a dictionary that the first call fills with results for later calls with equal data, features and seed.
    """
    cache = {} if cache is None else cache
    held_out = held_out_rows(dataset, seed)
    rows = {"train": some_rows(len(dataset.train), TRAIN_COUNT, seed), "validation": held_out}
    found = _critic_of_game(live_game or game, dataset, rows, seed)
    x, *conditions = game.feeds.batch_of(game.data, dataset, "validation", held_out)
    if len(x) < 2:
        return {}
    found["examples"] = float(len(x))
    if game.data.other is not None:
        return _finite(found | cycle_diagnostics(game, dataset, x, seed))
    y = next(iter(conditions), None) if game.data.condition else None
    if "held_out" not in cache:
        cache["held_out"] = features(x)
        cache["train"] = features(game.feeds.batch_of(game.data, dataset, "train", rows["train"])[0])
    of_x = cache["held_out"]
    if isinstance(game, Infers):
        x_hat = tasks.reconstruct(game, x, seed, y)
        found["reconstruction_ratio"] = reconstruction(x, x_hat, seed).ratio
        found["reconstruction_ratio_features"] = reconstruction(of_x, features(x_hat), seed).ratio
        found |= _encoder_diagnostics(game, x, y, seed)
    fake = tasks.generate(game, len(x), seed, y=y, sample=True)
    of_fake = features(fake)
    found |= sample_diagnostics(of_x, of_fake, cache["train"], len(rows["train"]) / len(dataset.train), cache)
    if y is not None:
        found |= label_diagnostics(of_x, of_fake, y)
    if classes:
        predicted = features.probabilities(fake).argmax(1)  # type: ignore[attr-defined]
        number = max(2, dataset.labels)
        found["rarest"] = float(torch.bincount(predicted, minlength=number).min()) * number / len(fake)
    return _finite(found)


def held_out_rows(dataset: Dataset, seed: int) -> Tensor:
    """Returns the indices of 1,000 examples of the validation split, or of all if they are fewer, ascending.

    They are chosen at random by the seed, as a split may be in the order of its classes.
    """
    return some_rows(len(dataset.validation), COUNT, seed).sort().values


def _finite(found: Mapping[str, float]) -> dict[str, float]:
    """Returns the diagnostics in `found`, by name, without those that are NaN or infinite."""
    return {name: value for name, value in found.items() if math.isfinite(value)}


def sample_diagnostics(
    x: Tensor, samples: Tensor, train: Tensor | None = None, share: float = 1.0, cache: Cache | None = None
) -> dict[str, float]:
    """Returns diagnostics of samples, by name: "coverage", "spread" and "overlap" with respect to held-out data.

    With training data there are "train_distance" and "copied" too. All are computed from features.
    `interalia.metrics.verdicts.DIAGNOSTICS` describes each. "copied" is absent if half of the held-out examples
    are training examples too. "overlap" is absent if x has only two rows and `train` is None.

    See Also:
        interalia.metrics.precision_recall_density_coverage, for coverage.

    Arguments:
        x: features of held-out data, shape (n, d).
        samples: features of as many samples, since the distance to the nearest other depends on the number.
        train: features of training data, shape (m, d); None leaves the distances to training data out.
        share: the number of rows of `train` over that of all training data. "copied" is divided by it, since copies of
            training data that are not in `train` are not found.
        cache: a dictionary that the first call fills with results for later calls with equal x and train.
    """
    cache = {} if cache is None else cache
    n = len(x)
    if "spacing" not in cache:
        within = torch.cdist(x.double(), x.double()).fill_diagonal_(torch.inf)
        cache["spacing"], cache["radii"] = within.min(1).values, within.kthvalue(min(NEIGHBORS, n - 1), dim=1).values
        counted = torch.ones(n, dtype=torch.bool)
        if train is None:  # held-out examples are the centres then, and are not counted
            chosen = kmeans_plus_plus(x, max(2, min(CELLS, n // PER_CELL)))
            counted[chosen] = False
            cache["centres"] = x[chosen]
        else:
            cache["centres"] = train[kmeans_plus_plus(train, CELLS)]
            cache["to_train"] = nearest_distances(x, train)
        cache["counted"] = counted
    covered = float((nearest_distances(x, samples) <= cache["radii"]).double().mean())
    found = {"coverage": covered, "spread": _median_ratio(nearest_distances(samples), cache["spacing"])}
    if cache["counted"].any():
        found["overlap"] = overlap(x[cache["counted"]], samples, cache["centres"])
    if train is not None:
        of_x, of_samples = cache["to_train"], nearest_distances(samples, train)
        found["train_distance"] = _median_ratio(of_samples, of_x)
        half = float(of_x.median()) / 2
        by_chance, close = (float((distance < half).double().mean()) for distance in (of_x, of_samples))
        error = math.sqrt(2 * (by_chance * (1 - by_chance) + 1 / n) / n)
        if half > 0:
            found["copied"] = min(1.0, max(0.0, close - by_chance - COPY_ERRORS * error) / share)
    return found


def kmeans_plus_plus(x: Tensor, count: int, seed: int = 0) -> Tensor:
    """Returns the indices of `count` rows of x, shape (n, d), that lie far from each other, int64.

    Each row is chosen with a probability proportional to the squared distance to the nearest of those before, so that
    separate modes get one each. There are fewer indices if x has fewer distinct rows.

    References:
        k-means++: The Advantages of Careful Seeding, David Arthur, Sergei Vassilvitskii, 2007,
        https://theory.stanford.edu/~sergei/papers/kMeansPP-soda.pdf

    Example:
        >>> x = torch.tensor([[0.0], [0.0], [0.0], [9.0]])
        >>> sorted(x[kmeans_plus_plus(x, 2)].flatten().tolist())
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
        threshold = torch.rand(1, generator=random, dtype=x.dtype) * total[-1]
        chosen.append(min(int(torch.searchsorted(total, threshold, right=True)), len(x) - 1))
    return torch.tensor(chosen)


def overlap(x: Tensor, samples: Tensor, centres: Tensor) -> float:
    """The overlap of the histograms of data and samples, from 0 to 1, in cells around given centres.

    It is sum_c min(p_c, q_c), with p_c and q_c the shares of data and of samples that are nearest to centre c. It is 1
    if all shares are equal, and about 1 - sqrt(cells / (pi n)) for independent sets of n from one distribution.

    Arguments:
        x: features of data, shape (n, d).
        samples: features of samples, shape (m, d).
        centres: the centres of the histograms' cells, shape (cells, d).

    Example:
        >>> centres = torch.tensor([[0.0], [10.0]])
        >>> overlap(torch.tensor([[1.0], [2.0], [9.0], [8.0]]), torch.tensor([[1.0], [1.0], [1.0], [11.0]]), centres)
        0.75
    """
    cells = (torch.cdist(part.double(), centres.double()).argmin(1) for part in (x, samples))
    p, q = (torch.bincount(cell, minlength=len(centres)).double() / len(cell) for cell in cells)
    return float(torch.minimum(p, q).sum())


def label_diagnostics(x: Tensor, samples: Tensor, y: Tensor) -> dict[str, float]:
    """Returns how well samples agree with the labels they are conditioned on, judged by their nearest held-out examples.

    The result has two values. "label_agreement_data" is Cohen's kappa of y and the labels of the nearest other held-out
    example: (agreement - chance) / (1 - chance), where chance is the agreement of independent labels with the same
    shares. "label_agreement" is kappa of the samples' y and the labels of the nearest held-out example, over
    "label_agreement_data"; it is left out unless the latter is 8 standard errors above chance.

    References:
        A Coefficient of Agreement for Nominal Scales, Jacob Cohen, 1960, https://doi.org/10.1177/001316446002000104
        Large Sample Standard Errors of Kappa and Weighted Kappa, Joseph L. Fleiss, Jacob Cohen, B. S. Everitt, 1969,
        https://doi.org/10.1037/h0028106

    Arguments:
        x: features of held-out data, shape (n, d).
        samples: features of samples conditioned on their labels, shape (n, d).
        y: labels, shape (n,), or one-hot labels or attributes of 0 and 1, shape (n, k).

    Example:
        >>> y = torch.tensor([0, 1] * 50)
        >>> x = y[:, None] + torch.linspace(0, 0.1, 100)[:, None]
        >>> label_diagnostics(x, x, y), label_diagnostics(x, 1 - x, y)["label_agreement"]
        ({'label_agreement_data': 1.0, 'label_agreement': 1.0}, -1.0)
    """
    if y.ndim == 2 and bool((y.sum(1) == 1).all()):
        y = y.argmax(1)
    single = y.ndim == 1
    labels = torch.nn.functional.one_hot(y.long()) if single else y.long()
    neighbor = torch.cdist(x.double(), x.double()).fill_diagonal_(torch.inf).argmin(1)
    of_data, error = _kappa(labels, labels[neighbor], single)
    of_samples, _ = _kappa(labels, labels[torch.cdist(samples.double(), x.double()).argmin(1)], single)
    found = {"label_agreement_data": of_data}
    return found | ({"label_agreement": of_samples / of_data} if of_data >= LABEL_ERRORS * error else {})


def _kappa(a: Tensor, b: Tensor, single: bool) -> tuple[float, float]:
    """Cohen's kappa of labels or attributes a and b, each of shape (n, k), and its standard error if they are independent.

    kappa is (s - c) / (1 - c), with s the share of examples in which a and b agree, and c the share expected by chance. The
    standard error is that of kappa for independent a and b.

    If `single`, a and b are one-hot labels. Otherwise they are k attributes of 0 and 1; s, c and the standard error of s are
    then means over the attributes, so that the standard error is that of k attributes which are copies of each other, an
    upper bound. Returns (0, infinity) if c is 1: if all examples have one and the same label, or values of the attributes, in
    a and in b.
    """
    p, q = a.double().mean(0), b.double().mean(0)
    if single:
        p, q, same = p[:, None], q[:, None], (a * b).sum(1).double().mean()
    else:
        p, q, same = torch.stack([p, 1 - p]), torch.stack([q, 1 - q]), (a == b).double().mean()
    chance = (p * q).sum(0)
    deviation = (chance + chance.square() - (p * q * (p + q)).sum(0)).clamp(min=0).sqrt().mean()
    apart = 1 - float(chance.mean())
    if apart < 1e-9:  # one label only
        return 0.0, math.inf
    return (float(same) - 1 + apart) / apart, float(deviation) / apart / math.sqrt(len(a))


def latent_diagnostics(z: Tensor, mean: float = 0.0, variance: float = 1.0) -> dict[str, float]:
    """Returns diagnostics, by name, that compare the aggregate posterior q(z) = E_x q(z | x) with the prior.

    "latents" is d. "aggregate_posterior_marginal_kl" and "aggregate_posterior_kl" are Kullback-Leibler divergences
    KL(q || p), in nats per dimension, of Gaussians q and p with the moments of q(z) and of the prior: the first without
    correlations, the second with all covariances, which requires two examples per dimension and is absent otherwise. From
    each its expectation for n samples of the prior itself is subtracted, so that it can be negative.

    Arguments:
        z: samples of q(z | x) of held-out x, shape (n, d).
        mean: the mean of each dimension of the prior.
        variance: the variance of each dimension of the prior.
    """
    n, d = z.shape
    found = {"latents": float(d), "aggregate_posterior_marginal_kl": marginal_kl(z, mean, variance)}
    if n >= verdicts.EXAMPLES_PER_DIMENSION * d:
        found["aggregate_posterior_kl"] = posterior_moments(z, mean, variance).kl / d
    return found


def active_units(mean: Tensor, variance: float = 1.0) -> float:
    """The share of latent dimensions that are active, i.e. in which the mean of q(z | x) changes with x, from 0 to 1.

    In such a dimension the variance over x of the mean exceeds a hundredth of the prior's.

    Arguments:
        mean: the mean of q(z | x) for each x, shape (n, d).
        variance: the variance of each dimension of the prior.

    References:
        Importance Weighted Autoencoders, Yuri Burda, Roger Grosse, Ruslan Salakhutdinov, 2016,
        https://arxiv.org/abs/1509.00519 (section 5.2)

    Example:
        >>> active_units(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        0.5
    """
    return float((mean.double().var(0) > 0.01 * variance).double().mean())


def score_diagnostics(p: Tensor, q: Tensor) -> dict[str, float]:
    """Returns how well a critic separates data and samples, by name, from its scores of data (p) and of samples (q).

    The result has three values. "critic_auc" is the probability that data score above samples, "separated" the share of
    data that score above every sample, and "margin" the difference of the mean scores, in standard deviations of all
    scores.
    """
    width = float(torch.cat([p, q]).std())
    return {
        "critic_auc": auc(p, q),
        "separated": float((p > q.max()).double().mean()),
        "margin": float(p.mean() - q.mean()) / width if width > 0 else 0.0,
    }


def critic_diagnostics(
    scores: tuple[Tensor, Tensor] | None, held_out: tuple[Tensor, Tensor] | None
) -> dict[str, float]:
    """Returns the diagnostics of a critic from its scores of data and of samples, by name.

    With `scores` there are "critic_auc", the probability that training data score above samples, "separated", the share
    of training data that score above every sample, and "margin", the difference of the mean scores in standard deviations
    of all scores. With `held_out` there is "critic_auc_held_out", that probability for held-out data. With either there
    is "scores", the smallest length of these tensors. Without both the result is empty.

    Arguments:
        scores: the critic's scores of training data and of samples; None if there are none.
        held_out: the critic's scores of held-out data and of samples; None if there are none.
    """
    found = {} if scores is None else score_diagnostics(*scores)
    if held_out is not None:
        found["critic_auc_held_out"] = auc(*held_out)
    counts = [len(part) for pair in (scores, held_out) if pair is not None for part in pair]
    return found | ({"scores": float(min(counts))} if counts else {})


def _critic_of_game(game: Game, dataset: Dataset, rows: Mapping[str, Tensor], seed: int) -> dict[str, float]:
    """Returns the diagnostics of a game's critic on training data and held-out data, by name: those of `critic_diagnostics`.

    Of two critics they are those of the one with the higher "critic_auc", the probability that training data score above
    samples. They are empty if the game has no critic, or one that is not adversarial, or if a split has fewer examples
    than the critic scores together (`game.pack`).

    Arguments:
        game: the game with the critic.
        dataset: its data.
        rows: the indices of examples of each split, "train" and "validation", of which at most 400 are used.
        seed: random seed of the samples.
    """
    if "critic" not in game.players or any(not critic.adversarial for critic in critics(type(game))):
        return {}
    device = tasks.device_of(game)
    scores: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for part, chosen in rows.items():
        chosen = chosen[torch.linspace(0, len(chosen) - 1, min(SCORE_COUNT, len(chosen))).long()]
        chosen = chosen[: len(chosen) // game.pack * game.pack]
        if not len(chosen):
            return {}
        batch = game.feeds.batch_of(game.data, dataset, part, chosen)  # labeled examples in it do not affect the scores
        with tasks.evaluating(game, seed):
            outcome = game(*(values.to(device) for values in batch))
        scores[part] = [(first.cpu(), second.cpu()) for first, second in game.score_pairs(outcome)]
        if not scores[part]:
            return {}
    both = zip(scores["train"], scores["validation"], strict=True)
    train, held_out = max(both, key=lambda pairs: auc(*pairs[0]))
    return critic_diagnostics(train, held_out)


def cycle_diagnostics(game: Game, dataset: Dataset, x: Tensor, seed: int) -> dict[str, float]:
    """Returns {"cycle_ratio": ratio}, the cycle-consistency error of a game between two domains on held-out data.

    With x^ the result of translating x to the other domain and back, the ratio is the mean distance between x and its own
    x^, over the mean distance between x and the x^ of another example. The result is the larger one of the ratios of
    both domains.

    Arguments:
        game: the game.
        dataset: its data, with the second domain.
        x: held-out data of the first domain, shape (n, ...); those of the second are taken from `dataset`.
        seed: random seed of the choice of examples of the second domain, and of the other examples.
    """
    assert dataset.other is not None
    y = as_tensor(dataset.other.validation.x[held_out_rows(dataset.other, seed).numpy()])
    x_back = tasks.translate(game, tasks.translate(game, x, to="b"), to="a")
    y_back = tasks.translate(game, tasks.translate(game, y, to="a"), to="b")
    ratios = [reconstruction(*pair, seed).ratio for pair in ((x, x_back), (y, y_back)) if len(pair[0]) > 1]
    return {"cycle_ratio": max(ratios)}


def _encoder_diagnostics(game: Game, x: Tensor, y: Tensor | None, seed: int) -> dict[str, float]:
    """Returns the diagnostics of a game's encoder, by name, on held-out data and on samples of the game.

    With q(z) = E_x q(z | x) the aggregate posterior and p(z) the prior, they are:

        "latent_error": the mean squared error of latents inferred from samples, over the variance of z
        "active_units": the share of latent dimensions in which the mean of q(z | x) changes with x
        "latents", "aggregate_posterior_marginal_kl" and "aggregate_posterior_kl": the result of `latent_diagnostics`
        "aggregate_posterior_mmd": the squared maximum mean discrepancy of q(z) and p(z)
        "information": the mutual information of x and z, in nats

    "information" is absent unless the encoder is Gaussian. "latents" and all names that begin with "aggregate" are absent
    unless the prior has one mean and one variance for all dimensions.

    Arguments:
        game: a game with an encoder.
        x: held-out data, shape (n, ...).
        y: the labels or attributes of x for a conditional game; None for another.
        seed: random seed of samples and noise.
    """
    mean, sample = tasks.encode(game, x, seed, y=y), tasks.encode(game, x, seed, sample=True, y=y)
    z = tasks.sample_latents(game, len(x), seed + 1)
    z_hat = tasks.infer(game, tasks.decode(game, z, seed + 1, y=y, sample=True), seed, y=y)
    variance = float(z.var(0).mean())
    found = {"latent_error": latent_reconstruction(z, z_hat) / variance, "active_units": active_units(mean, variance)}
    prior = require(game, Generates, "sampling").prior
    if hasattr(prior, "mean"):
        found |= latent_diagnostics(sample, prior.mean, prior.variance)
        found["aggregate_posterior_mmd"] = maximum_mean_discrepancy(sample, z, math.sqrt(z.shape[1] * variance))
    device = tasks.device_of(game)
    with tasks.evaluating(game, seed):
        inputs = [part[:SCORE_COUNT].to(device) for part in (x, y) if part is not None]
        q = require(game, Infers, "inference").encoder(*inputs)
        normal = getattr(q, "base_dist", None)
        if isinstance(normal, Normal):
            found["information"] = mutual_information(normal.loc, normal.scale, sample[:SCORE_COUNT].to(device))
    return found


def mutual_information(mu: Tensor, sigma: Tensor, z: Tensor) -> float:
    """The mutual information I(x; z) of n inputs x_i and their Gaussian posteriors q(z | x_i), in nats; at most log n.

    It is mean_i [log q(z_i | x_i) - log (1/n sum_j q(z_i | x_j))].

    Arguments:
        mu: mean of q(z | x_i), shape (n, d).
        sigma: standard deviation of q(z | x_i), shape (n, d).
        z: one sample z_i of each posterior, shape (n, d).

    Example:
        >>> mu = torch.eye(4) * 100
        >>> round(mutual_information(mu, torch.ones(4, 4), mu), 4) == round(math.log(4), 4)
        True
    """
    widths = sigma.double().log().sum(1)
    rows = max(1, CHUNK // mu.numel())
    squares = (((part[:, None].double() - mu) / sigma).square().sum(2) for part in z.split(rows))
    log_q = -(torch.cat(list(squares)) / 2 + widths)  # up to a constant: log q(z_i | x_j) at [i, j]
    return float((log_q.diagonal() - log_q.logsumexp(1)).mean()) + math.log(len(z))


def nearest_distances(a: Tensor, b: Tensor | None = None) -> Tensor:
    """The Euclidean distance of each row of a, shape (n, d), to the nearest row of b, shape (m, d); the result is (n,).

    If b is None, it is the distance to the nearest other row of a.
    """
    distance = torch.cdist(a.double(), (a if b is None else b).double())
    return (distance.fill_diagonal_(torch.inf) if b is None else distance).min(1).values


def _median_ratio(a: Tensor, b: Tensor) -> float:
    """The median of the tensor a over the median of the tensor b; NaN if the latter is 0."""
    denominator = float(b.median())
    return float(a.median()) / denominator if denominator > 0 else math.nan


def exclusions(game: Game, dynamics: str) -> set[str]:
    """Returns the names that `interalia.metrics.verdicts.diagnoses` is to leave out for a game, as its argument `excluded`.

    A name is that of a diagnosis, "critic too strong", or of a field of a run whose option is not to be advised:

        "critic too strong": the critic is a Wasserstein critic
        "pack": no critic can score several samples together
        "instance_noise": a critic is not adversarial
        "augment": a critic is not adversarial, the data are vectors, or no critic receives x
        "game": p(x | z) is not Gaussian, and the game trains no critic or one that is not adversarial
        "penalty": the dynamics are `consensus`

    Arguments:
        game: the game.
        dynamics: the text of the dynamics, i.e. the update method, of its training, such as "consensus(weight=10)".
    """
    its_critics = critics(type(game))
    ratio = any(not critic.adversarial for critic in its_critics)
    found = {
        "pack": not any(critic.packable for critic in its_critics),
        # a Wasserstein critic is trained to optimality, and its gradient does not vanish
        "critic too strong": isinstance(game, Adversarial) and isinstance(game.divergence, Wasserstein),
        "instance_noise": ratio,
        "augment": ratio or not game.data.is_image or (its_critics and all(critic.x is None for critic in its_critics)),
        # without an adversarial critic the options are those of a sigma
        "game": (ratio or "critic" not in game.players) and (not isinstance(game, Variational) or game.binary),
        "penalty": dynamics.startswith("consensus"),
    }
    return {name for name, holds in found.items() if holds}
