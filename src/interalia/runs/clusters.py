"""Labels for data that have none: clusters found by k-means, or the most probable codes of a trained InfoGAN.

A run with ``condition_on="kmeans(10)"`` is conditional on them in place of the data's labels. They are found from the
training split alone, and the run's folder keeps those of all splits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interalia import registry
from interalia.data.dataset import Dataset, Split
from interalia.data.store import as_tensor
from interalia.disk import regular, writing
from interalia.errors import UserError
from interalia.games import Game
from interalia.games.capabilities import HasCodes, Infers, require

FITTED = 20_000  # most training examples that k-means and the principal components are fitted to
COMPONENTS = 50  # principal components of pixels
CHUNK = 4096  # examples that are read at a time
PARTS = ("train", "validation", "test")
Labels = dict[str, NDArray[np.int64]]  # name of a split -> the cluster of each of its examples


@dataclass(frozen=True)
class KMeans:
    """Clusters of the training examples by k-means, the best of ten starts from k-means++.

    Arguments:
        clusters: the number of clusters.
        run: the folder of a trained, unconditional run whose encoder's means of z are clustered; None to cluster the first 50
            principal components of the examples' own numbers, such as pixels.
        features: True to cluster the activations of that encoder's last hidden layer in place of z.

    References:
        k-means++: The Advantages of Careful Seeding, David Arthur, Sergei Vassilvitskii, 2007,
        https://theory.stanford.edu/~sergei/papers/kMeansPP-soda.pdf
    """

    clusters: int = 10
    run: str | None = None
    features: bool = False

    def __call__(self, dataset: Dataset, seed: int, open_game: Callable[[Path], Game]) -> Labels:
        """Returns the labels: "train", "validation" and "test" -> the cluster of each example.

        Arguments:
            dataset: the data. At most 20,000 random training examples are used to find the clusters.
            seed: random seed of the choice of examples and of k-means.
            open_game: maps the folder of a run to its trained game.

        Raises:
            UserError: `clusters` is under 2 or above the number of training examples, `features` lacks a `run`, or the game
                has no encoder, is conditional, or was built for another shape.
        """
        from sklearn.cluster import KMeans as Fitted
        from sklearn.decomposition import PCA

        if not 2 <= self.clusters <= len(dataset.train):
            raise UserError(
                f"`clusters` is {self.clusters}, and it must be from 2 to {len(dataset.train):,}, the number of training "
                f"examples."
            )
        if self.features and self.run is None:
            raise UserError(
                "`features` are those of a run's encoder; give its folder by `run`, or leave `features` out."
            )
        some = dataset.train[np.sort(dataset.train.rows(FITTED, seed))]
        values = pixels if self.run is None else of_encoder(open_game(Path(self.run)), self.features)
        points = np.concatenate(in_chunks(values, some))
        if self.run is None and min(points.shape) > COMPONENTS:
            reduced = PCA(COMPONENTS, svd_solver="randomized", random_state=seed).fit(points)
            values = compose(reduced.transform, pixels)
            points = reduced.transform(points)
        found = Fitted(self.clusters, n_init=10, random_state=seed).fit(points.astype(np.float64))
        nearest = compose(lambda of: found.predict(of.astype(np.float64)), values)
        return {part: labels_of(nearest, getattr(dataset, part)) for part in PARTS}


@dataclass(frozen=True)
class MostProbableCode:
    """The most probable category of a trained InfoGAN's first categorical code, for each example.

    Arguments:
        run: the folder of the InfoGAN's run, which must be given.
    """

    run: str = ""

    def __call__(self, dataset: Dataset, seed: int, open_game: Callable[[Path], Game]) -> Labels:
        """Returns the labels: "train", "validation" and "test" -> the category of each example.

        Arguments:
            dataset: the data.
            seed: has no effect.
            open_game: maps the folder of a run to its trained game.

        Raises:
            UserError: `run` is empty, or its game has no categorical code, or was built for another shape.
        """
        if not self.run:
            raise UserError(
                "`codes` are those of a trained InfoGAN; give the folder of its run, as in codes(run='RUN')."
            )
        game = open_game(Path(self.run))
        sizes = require(game, HasCodes, "codes").prior.categorical
        if not sizes:
            raise UserError(f"the codes of the run {self.run} have no category; give the run of an InfoGAN with one.")

        coded = require(game, HasCodes, "codes").code_parameters
        categories = compose(lambda of: of[:, : sizes[0]].argmax(1), evaluated(game, coded))
        return {part: labels_of(categories, getattr(dataset, part)) for part in PARTS}


LABELERS = {"kmeans": KMeans, "codes": MostProbableCode}


def is_labeler(condition_on: str | None) -> bool:
    """True if a run's field `condition_on` names clusters or codes, as "kmeans(10)" does; False for labels and attributes."""
    return condition_on is not None and condition_on.partition("(")[0].strip() in LABELERS


def with_clusters(
    dataset: Dataset, condition_on: str, seed: int, file: Path | None, open_game: Callable[[Path], Game]
) -> Dataset:
    """Returns the data set with the clusters or codes that `condition_on` names, which games get in place of its labels.

    Arguments:
        dataset: the data set.
        condition_on: a text such as "kmeans(10)" or "codes(run='runs/infogan')".
        seed: random seed.
        file: the .safetensors file of a run's folder that has the labels of all its examples. It is written if it does not
            exist and its folder does; None to find them again.
        open_game: maps the folder of a run to its trained game.

    Raises:
        UserError: the labels cannot be found, or the file has those of other data or is damaged.
    """
    labeler = registry.make(condition_on, LABELERS, "condition")
    if dataset.other is not None:
        raise UserError(f"`condition_on` is {condition_on!r}, which needs data of one domain; leave out `data_b`.")
    if file is not None and file.exists():
        return replace(dataset, clusters=saved(file, dataset))
    found = labeler(dataset, seed, open_game)
    if file is not None and file.parent.is_dir():
        from safetensors.numpy import save

        with writing(file, "wb") as written:
            written.write(save(found))
    return replace(dataset, clusters=found)


def saved(file: Path, dataset: Dataset) -> Labels:
    """Returns the labels in a file that `with_clusters` has written: name of a split -> the cluster of each example.

    Raises:
        UserError: the file is damaged, or has the labels of another number of examples.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(regular(file).read_bytes())
        sizes = [found[part].shape for part in PARTS]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error}); restore it, or train a new run.") from None
    if sizes != [(len(getattr(dataset, part)),) for part in PARTS]:
        raise UserError(f"{file} has the clusters of other data; give those that the run was trained on.")
    return {part: found[part].astype(np.int64) for part in PARTS}


def pixels(x: NDArray[Any]) -> NDArray[Any]:
    """Returns n examples as vectors of float32, shape (n, d); images are scaled to [0, 1]."""
    return as_tensor(x).flatten(1).numpy()


def of_encoder(game: Game, features: bool) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Returns a function that maps n examples to their latents: the encoder's means of z, or with `features` the activations
    of its last hidden layer, shape (n, d).

    Raises:
        UserError: the game has no encoder, or is conditional itself.
    """
    encoder = require(game, Infers, "kmeans").encoder
    if game.data.condition:
        raise UserError(
            f"this {type(game).__name__} is conditional on {game.data.y}; cluster the z of an unconditional run."
        )
    return evaluated(game, encoder.hidden if features else lambda x: encoder(x).mean)


def evaluated(game: Game, function: Callable[[Tensor], Tensor]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Returns a function that maps n examples to `function` of them, flattened, shape (n, d), without gradients. The random
    numbers of an encoder with noise are the same in every call.

    Arguments:
        game: the trained game with the networks of `function`, in evaluation mode, on the CPU.
        function: maps examples, float32, shape (n, *shape), to a tensor of n rows.
    """

    def values(x: NDArray[Any]) -> NDArray[Any]:
        """Returns the values of n examples x, shape (n, d); raises a UserError if the game is of another shape."""
        if (shape := tuple(game.data.shape)) != tuple(x.shape[1:]):
            raise UserError(f"`run` was trained on examples of shape {shape}, and these have {tuple(x.shape[1:])}.")
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return function(as_tensor(x)).flatten(1).numpy()

    return values


def compose(last: Callable[[Any], Any], first: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns the function x -> last(first(x))."""
    return lambda x: last(first(x))


def in_chunks(values: Callable[[NDArray[Any]], NDArray[Any]], split: Split) -> list[NDArray[Any]]:
    """Returns what `values` maps the examples of a split to, as a list with an array for each 4,096 of them."""
    return [values(split.x[i : i + CHUNK]) for i in range(0, len(split), CHUNK)]


def labels_of(nearest: Callable[[NDArray[Any]], NDArray[Any]], split: Split) -> NDArray[np.int64]:
    """Returns the label that `nearest` maps each example of a split to, shape (n,)."""
    parts = in_chunks(nearest, split)
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)
