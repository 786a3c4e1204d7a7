"""Figures that show a model in detail: errors of reconstructions, a map of latents, and samples beside training data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interalia import tasks
from interalia.data.dataset import Dataset, Split
from interalia.data.store import as_tensor
from interalia.disk import write_json
from interalia.games import Game
from interalia.games.capabilities import Infers, require
from interalia.reports import plots
from interalia.reports.data import held_out_conditions, held_out_examples
from interalia.reports.rendering import LEFT_OUT
from interalia.tasks.calling import evaluate_in_batches
from interalia.tasks.units import shown

EXAMPLES = 1000  # held-out examples in a histogram or map
WORST = 20  # reconstructions with the largest errors
SAMPLES = 200  # samples that are compared with training data
POOL = 10_000  # training examples that they are compared with
CHUNK = 1000  # training examples in memory at a time
SHOWN, TRANSLATED = 64, 10  # images in a figure during training
DRAWS = 8  # samples of q(z | x), where its variance is not known
SPREAD = "Spread of q(z | x) and error"  # the title of a figure
ROWS, NEAREST, OF_LABEL = 8, 5, 10  # samples with so many neighbors each; samples of a label


def draw_progress(game: Game, dataset: Dataset, path: Path) -> None:
    """Draws 64 samples of a game of images, in training, as the PNG file `path`.

    For a game of two domains, a and b, these are instead 10 validation images of a, their translations to b, and these back
    in a.
    """
    if game.data.other is None:
        plots.grid(shown(game, tasks.generate(game, SHOWN, 0).numpy()), path)
        return
    x = as_tensor(dataset.validation.x[:TRANSLATED])
    fake = tasks.translate(game, x, to="b")
    back = tasks.translate(game, fake, to="a")
    plots.cycles(shown(game, x.numpy()), shown(game, fake.numpy()), shown(game, back.numpy()), path)


def draw_inference(game: Game, dataset: Dataset, figures: Path) -> None:
    """Draws how well a game with encoder and decoder reconstructs held-out data, and where its encoder maps them.

    The PNG files in the folder `figures` are ``errors.png``, a histogram of errors; ``worst.png``, the 20 images with the
    largest errors, if there are more than 20; ``latents.png``, the latents in the plane of their first two principal
    components, unless z has one dimension; and ``spread.png``, the deviation of q(z | x) against the error. The latter is
    left out for a deterministic encoder, as ``left_out.json`` says then.
    """
    x, y = held_out_examples(dataset, EXAMPLES), held_out_conditions(game, dataset, EXAMPLES)
    if len(x) < 2:
        return
    x_hat = tasks.reconstruct(game, x, y=y)
    errors = distances(x, x_hat)
    plots.error_histogram(errors, distances(x, x_hat.roll(1, 0)), figures / "errors.png")
    if len(dataset.shape) > 1 and len(x) > WORST:
        worst = np.argsort(-errors, kind="stable")[:WORST]
        plots.pairs(shown(game, x[worst]), shown(game, x_hat[worst]), figures / "worst.png")
    spread = posterior_spread(game, x, y)
    left = {} if spread is not None else {SPREAD: "the encoder is deterministic, so that q(z | x) has no spread"}
    write_json(figures / LEFT_OUT, left)
    if spread is not None:
        plots.spread_and_error(spread, errors, rank_correlation(spread, errors), figures / "spread.png")
    z = tasks.encode(game, x, y=y).flatten(1).double().numpy()
    if z.shape[1] > 1 and np.isfinite(z).all():
        labels = None if dataset.test.y is None else dataset.test.y[dataset.test.rows(EXAMPLES, 0)]
        points, shares = principal_components(z)
        plots.scatter_labels(points, labels, figures / "latents.png", shares, dataset.classes)


def posterior_spread(game: Game, x: Tensor, y: Tensor | None) -> NDArray[np.float64] | None:
    """Returns the standard deviation of z under q(z | x) for each example, the root mean square over dimensions, shape (n,).

    Without a known variance it is estimated by 8 samples. It is None for an encoder without spread, a deterministic one.

    Arguments:
        game: a game with an encoder.
        x: examples, shape (n, *shape).
        y: their labels or attributes, for a conditional game; None otherwise.
    """
    encoder = require(game, Infers, "encode").encoder
    if encoder.has_moments:
        c = tasks.condition(game, y, len(x))
        variance = evaluate_in_batches(game, lambda *c: encoder(*c).variance.flatten(1), x, *c)
    else:
        variance = tasks.posterior(game, x, DRAWS, y=y)[1].flatten(1).square()
    found = np.asarray(variance.double().mean(1).sqrt())
    return found if found.any() else None


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Returns Spearman's rank correlation of two series of equal length, from -1 to 1; nan if one of them is constant.

    Example:
        >>> round(rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.0, 5.0, 6.0])), 6)
        1.0
    """
    from scipy import stats

    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(stats.spearmanr(a, b).statistic)


def draw_near_data(game: Game, dataset: Dataset, figures: Path) -> None:
    """Draws samples of a game of images beside the training images that are nearest to them, as ``nearest.png``.

    The distance is Euclidean, in pixels. Each row has a sample, the share of held-out images that are nearer to their own
    nearest training image than the sample is to its, and the 5 nearest training images. If the data have labels and the game
    is unconditional, ``samples_by_label.png`` has samples by the label of their nearest training image, too.
    """
    x = tasks.generate(game, SAMPLES, 0, sample=dataset.binarized != "none")
    if not bool(x.isfinite().all()):
        return
    rows = dataset.train.rows(POOL, 0)
    found, far = nearest_rows(x, dataset.train, rows, min(NEAREST, len(rows)))
    _, usual = nearest_rows(held_out_examples(dataset, SAMPLES), dataset.train, rows, 1)
    ranks = (usual[:, 0] <= far[:, :1]).mean(1)
    drawn = sorted(range(ROWS), key=lambda i: ranks[i])
    images = as_tensor(dataset.train.x[found[drawn].reshape(-1)]).unflatten(0, found[drawn].shape)
    names = [f"{100 * ranks[i]:.0f} %" for i in drawn]
    rows_drawn = shown(game, torch.cat([x[drawn][:, None], images], 1))
    plots.named_rows(names, rows_drawn, figures / "nearest.png", first=True)
    if dataset.train.y is not None and not game.data.condition:
        labels = np.asarray(dataset.train.y)[found[:, 0]]
        draw_by_label(shown(game, x), labels, dataset.classes, figures / "samples_by_label.png")


def draw_by_label(x: Tensor, labels: NDArray[np.int64], names: tuple[str, ...], path: Path) -> None:
    """Draws a row of at most 10 samples for each label, with the label's name and share of all samples, as a PNG file.

    Arguments:
        x: samples, shape (n, *shape).
        labels: the label of each, shape (n,).
        names: the names of the labels; empty for the numbers themselves.
        path: the file to write.
    """
    kinds = range(len(names)) if names else range(int(labels.max()) + 1)
    blank = torch.full((OF_LABEL, *x.shape[1:]), float("nan"))
    rows, titles = [], []
    for kind in list(kinds)[:20]:
        members = x[torch.from_numpy(np.flatnonzero(labels == kind)[:OF_LABEL])]
        rows.append(torch.cat([members, blank[len(members) :]]))
        titles.append(f"{names[kind] if names else kind}: {100 * float((labels == kind).mean()):.0f} %")
    plots.named_rows(titles, torch.stack(rows), path)


def distances(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """The Euclidean distance of each example of a, shape (n, *shape), to the same example of b, shape (n,)."""
    return np.asarray((a.double() - b.double()).flatten(1).norm(dim=1))


def nearest_rows(
    x: Tensor, split: Split, rows: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The indices in a split of the examples that are nearest to each x by Euclidean distance, and these distances.

    Both have the shape (n, count), the nearest one first.

    Arguments:
        x: examples, shape (n, *shape).
        split: the split that is searched.
        rows: the indices of the examples that are searched, at least `count`.
        count: number of nearest examples.
    """
    far, found = torch.empty(len(x), 0, dtype=torch.float64), torch.empty(len(x), 0, dtype=torch.int64)
    flat = x.flatten(1).double()
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        others = as_tensor(split.x[part]).flatten(1).double()
        far = torch.cat([far, torch.cdist(flat, others)], 1)
        found = torch.cat([found, torch.from_numpy(np.asarray(part)).long().expand(len(x), -1)], 1)
        best = far.topk(min(count, far.shape[1]), dim=1, largest=False)
        far, found = best.values, found.gather(1, best.indices)
    return found.numpy(), far.numpy()


def principal_components(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Points in the plane of the first two principal components, shape (n, 2), and the share of the variance of each.

    `z` has the shape (n, d), d at least 2.

    Example:
        >>> principal_components(np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]))[1]
        (1.0, 0.0)
    """
    centered = z - z.mean(0)
    _, sizes, directions = np.linalg.svd(centered, full_matrices=False)
    sizes, directions = (
        np.append(sizes, 0.0),
        np.vstack([directions, np.zeros(z.shape[1])]),
    )  # two rows even for one point
    shares = sizes[:2] ** 2 / max(float((sizes**2).sum()), 1e-300)
    return centered @ directions[:2].T, (float(shares[0]), float(shares[1]))
