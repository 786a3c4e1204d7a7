"""Anomaly scores of samples from a trained game with an encoder q(z | x) and a decoder p(x | z): one function each.

Every function takes what the game infers from the samples (`Inferred`) and what is known of normal ones (`Known`), and
returns one number for each sample: the higher, the more anomalous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from interalia import UserError
from interalia.contexts import device_of, evaluating
from interalia.games import Game
from interalia.games.capabilities import Generates, HasLevels, Infers, require
from interalia.games.needs import Pretrained, example_needs
from interalia.networks.layers import last_hidden, score_and_hidden

Array = NDArray[np.float64]
BATCH = 250  # samples in one pass of the networks
TREE = 40  # a k-d tree searches neighbors in at most that many dimensions


@dataclass(frozen=True)
class Inferred:
    """The inferences of a trained game from n samples x: latents, reconstructions and, if it has a critic of x or of
    pairs, the critic's scores and features. All arrays are float64.

    Attributes:
        x: the samples, flattened, shape (n, d).
        z: the means z^ of q(z | x), shape (n, k).
        x_hat: the reconstructions x^, the means of p(x | z^), flattened, shape (n, d).
        z_again: the means of q(z | x^), the latents of the reconstructions, shape (n, k).
        score: the critic's scores of (x, z^), or of x, shape (n,); shape (n, 0) without such a critic.
        hidden: the critic's last hidden layer for (x, z^), or x, shape (n, h); for (x, x), if the game has a critic of x and
            its reconstruction. h is 0 without such a critic.
        hidden_again: the same for (x^, z^), or x^, or (x, x^).
    """

    x: Array
    z: Array
    x_hat: Array
    z_again: Array
    score: Array
    hidden: Array
    hidden_again: Array

    @property
    def residual(self) -> Array:
        """x - x^, shape (n, d)."""
        return self.x - self.x_hat

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> Inferred:
        """The same for the samples at these indices alone."""
        return Inferred(*(getattr(self, one.name)[rows] for one in fields(self)))


@dataclass(frozen=True)
class Known:
    """The knowledge of normal samples that scores need: the latents and residuals of reference samples, and the usual size
    of residuals.

    Attributes:
        z: the latents z^ of m reference samples, such as those that the game was trained on, shape (m, k).
        residual: their residuals x - x^, shape (m, d); shape (0, d) if no score needs them.
        spread: the root mean square of the residuals of normal samples that the game was not trained on, for each number
            of x, shape (d,). It is at least a thousandth of that over all numbers of x, so that none is 0.
    """

    z: Array
    residual: Array
    spread: Array

    @classmethod
    def of(cls, reference: Inferred, held_out: Inferred) -> Known:
        """Returns the knowledge from reference samples, and from normal samples that the game was not trained on.

        The former give the latents and residuals, and the latter the spread.
        """
        squares = held_out.residual**2
        spread = np.sqrt(squares.mean(axis=0)) + 1e-3 * np.sqrt(squares.mean()) + 1e-12
        return cls(reference.z, reference.residual, spread)


def critic_of(game: Game) -> str:
    """Returns what a game's critic scores: "x, x'" for a game with a critic of x and its reconstruction, as ALAD; "x, z" for
    a critic of pairs, as ALI's; "x" for a critic of x alone, as f-AnoGAN's; "" for none of these.
    """
    needs = example_needs(type(game))
    found: Any = needs.get("cycle_critic", needs.get("critic"))
    found = found.like if isinstance(found, Pretrained) else found
    if (
        "critic" not in dict(game.named_children())
        or isinstance(game, HasLevels)
        or game.pack > 1
        or not found.adversarial
    ):
        return ""
    names = tuple(space.name for space in found.inputs if space.name != "y")
    return {("x", "x"): "x, x'", ("x", "z"): "x, z", ("x",): "x"}.get(names, "")


def infer(game: Game, x: Tensor) -> Inferred:
    """Returns what a game infers from samples.

    The networks are in evaluation mode, and compute in the dtype of their weights, on batches of 250 samples.

    Arguments:
        game: an unconditional game with an encoder and a decoder.
        x: the samples, shape (n, *shape of one x).

    Raises:
        UserError: the game has no encoder or no decoder, or is conditional, or what it infers is NaN or infinite.
    """
    encoder = require(game, Infers, "detect", Generates).encoder
    decoder = require(game, Generates, "detect").decoder
    if game.data.condition:
        raise UserError(
            "anomalies are detected by x alone, and this game is conditional; train one without a condition."
        )
    kind, weight = critic_of(game), next(game.parameters())
    parts = []
    with evaluating(game):
        for batch in x.to(weight.dtype).split(BATCH):
            batch = batch.to(device_of(game))
            z = encoder(batch).mean
            x_hat = decoder(z).mean
            again = encoder(x_hat).mean
            found = (batch.flatten(1), z, x_hat.flatten(1), again, *critic_features(game, kind, batch, x_hat, z))
            parts.append([one.double().cpu().numpy() for one in found])
            if not all(np.isfinite(one).all() for one in parts[-1]):
                raise UserError(
                    "the model returns NaN or infinity for an example, whose numbers are too far from those that were "
                    "trained on, or its weights have diverged; leave such examples out, or train again."
                )
    return Inferred(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def critic_features(game: Game, kind: str, x: Tensor, x_hat: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the critic's scores, shape (n,), and its last hidden layer for x and for the reconstruction, shape (n, h).

    The critic reads (x, z^) and (x^, z^); or (x, x) and (x, x^), if it scores pairs of x and a reconstruction; or x and x^.
    The scores are those of (x, z^) or of x; h is 0, and there are no scores, shape (n, 0), without such a critic.

    Arguments:
        game: the game.
        kind: what the critic scores, see `critic_of`.
        x: the samples.
        x_hat: their reconstructions.
        z: their latents.
    """
    if not kind:
        none = z.new_zeros(len(z), 0)
        return none, none, none
    critic = game.get_submodule("critic")
    if kind == "x, x'":
        of_pairs = game.get_submodule("cycle_critic")
        return critic(x, z), last_hidden(of_pairs, x, x), last_hidden(of_pairs, x, x_hat)
    more = [z] if kind == "x, z" else []
    return *score_and_hidden(critic, x, *more), last_hidden(critic, x_hat, *more)


def reconstruction(rows: Inferred, known: Known, neighbours: int = 5) -> Array:
    """Returns the distance of each sample from its reconstruction: the mean of |x - x^| over all numbers of x, shape (n,).

    `known` and `neighbours` have no effect.

    References:
        Efficient GAN-Based Anomaly Detection, Houssam Zenati and others, 2018, https://arxiv.org/abs/1802.06222 (there
        the sum, as one of two terms)
    """
    return np.asarray(np.abs(rows.residual).mean(axis=1))


def residuals(rows: Inferred, known: Known, neighbours: int = 5) -> Array:
    """Returns the mean over all numbers of x of |x - x^| / s, shape (n,), with s that of the number, `known.spread`: the
    root mean square of x - x^ of normal samples.

    Numbers of x that are hard to reconstruct thus count less. `neighbours` has no effect.

    References:
        Deep Learning for Anomaly Detection: A Review, Guansong Pang and others, 2020, https://arxiv.org/abs/2007.02500
        (scores by reconstruction)
    """
    return np.asarray(np.abs(rows.residual / known.spread).mean(axis=1))


def features(rows: Inferred, known: Known, neighbours: int = 5) -> Array:
    """Returns the mean of absolute differences between the critic's last hidden layer for (x, z^) and for (x^, z^), shape
    (n,).

    For a critic of x and its reconstruction, as ALAD's, it is that of (x, x) and (x, x^); for a critic of x, that of x and
    x^.

    `known` and `neighbours` have no effect.

    Raises:
        UserError: the game has no critic of x, or of pairs (x, z) or (x, x^).

    References:
        Efficient GAN-Based Anomaly Detection, Houssam Zenati and others, 2018, https://arxiv.org/abs/1802.06222
        Adversarially Learned Anomaly Detection, Houssam Zenati and others, 2018, https://arxiv.org/abs/1812.02288 (there
        in the features of a critic of (x, x^))
    """
    return np.asarray(np.abs(with_critic(rows).hidden - rows.hidden_again).mean(axis=1))


def with_critic(rows: Inferred) -> Inferred:
    """Returns `rows` unchanged, or raises a UserError if the game has no critic of x or of pairs."""
    if not rows.hidden.shape[1]:
        raise UserError(
            "a score reads a critic of pairs or of x, and the game has none; give other `scores`, or a game such as ALI."
        )
    return rows


def latent(rows: Inferred, known: Known, neighbours: int = 5) -> Array:
    """Returns the distance of z^ from the latents of the reconstruction x^: the mean of absolute differences, shape (n,).

    `known` and `neighbours` have no effect.

    References:
        GANomaly: Semi-Supervised Anomaly Detection via Adversarial Training, Samet Akcay, Amir Atapour-Abarghouei, Toby P.
        Breckon, 2018, https://arxiv.org/abs/1805.06725
    """
    return np.asarray(np.abs(rows.z - rows.z_again).mean(axis=1))


def norm(rows: Inferred, known: Known, neighbours: int = 5) -> Array:
    """Returns the squared norm of z^, shape (n,): -2 log p(z^) for a standard normal prior, up to a constant.

    `known` and `neighbours` have no effect.

    References:
        Do Deep Generative Models Know What They Don't Know?, Eric Nalisnick and others, 2019,
        https://arxiv.org/abs/1810.09136 (the density of z alone is a weak score)
    """
    return np.asarray((rows.z**2).sum(axis=1))


def mean_distance(points: Array, others: Array, count: int) -> Array:
    """Returns the mean Euclidean distance of each point from its nearest neighbors among others, shape (n,).

    The nearest is left out if its distance is 0, since it may be the point itself.

    Arguments:
        points: shape (n, k).
        others: the points to search, shape (m, k).
        count: the number of neighbors; m, or m - 1 without the nearest, if there are fewer.
    """
    method = "kd_tree" if points.shape[1] <= TREE else "brute"
    search = NearestNeighbors(n_neighbors=min(count + 1, len(others)), algorithm=method).fit(others)
    found = others[search.kneighbors(points, return_distance=False)]
    distance = np.sort(
        np.sqrt(((points[:, None] - found) ** 2).sum(axis=2)), axis=1
    )  # brute force loses half the digits
    if distance.shape[1] > 1:
        itself = distance[:, :1] <= 1e-6 * distance[:, 1:2]
        distance = np.where(itself, distance[:, 1:], distance[:, :-1])
    return np.asarray(distance.mean(axis=1))


def neighbours(rows: Inferred, known: Known, neighbours: int = 5) -> Array:
    """Returns the mean Euclidean distance of z^ from its nearest neighbors among the latents of the reference samples,
    shape (n,).

    `neighbours` is their number.

    References:
        Efficient Algorithms for Mining Outliers from Large Data Sets, Sridhar Ramaswamy, Rajeev Rastogi, Kyuseok Shim,
        2000, https://doi.org/10.1145/342009.335437
        Fast Outlier Detection in High Dimensional Spaces, Fabrizio Angiulli, Clara Pizzuti, 2002,
        https://doi.org/10.1007/3-540-45681-3_2 (the mean over the neighbors)
    """
    return mean_distance(rows.z, known.z, neighbours)


def pair_neighbours(rows: Inferred, known: Known, neighbours: int = 5) -> Array:
    """Returns the mean Euclidean distance of (z^, r) from its nearest neighbors among those of the reference samples, shape
    (n,), with r = (x - x^) / s.

    s is the root mean square of `known.spread`, one number. As x is x^ plus the residual, (z^, r) describes all of x, in
    coordinates in which both the explained and the unexplained part vary by about 1.

    Arguments:
        rows: what the game infers from the samples.
        known: what is known of normal samples.
        neighbours: the number of neighbors.

    References:
        Fast Outlier Detection in High Dimensional Spaces, Fabrizio Angiulli, Clara Pizzuti, 2002,
        https://doi.org/10.1007/3-540-45681-3_2
    """
    scale = np.sqrt((known.spread**2).mean())
    points = np.concatenate([rows.z, rows.residual / scale], axis=1)
    return mean_distance(points, np.concatenate([known.z, known.residual / scale], axis=1), neighbours)


def critic(rows: Inferred, known: Known, neighbours: int = 5) -> Array:
    """Returns minus the critic's score of (x, z^), shape (n,).

    The critic learned to tell data from the game's own samples and not from anomalies. Its score often ranks anomalies as
    the most normal, which `Detector` warns of. `known` and `neighbours` have no effect.

    Raises:
        UserError: the game has no critic of x, or of pairs (x, z) or (x, x^).

    References:
        Efficient GAN-Based Anomaly Detection, Houssam Zenati and others, 2018, https://arxiv.org/abs/1802.06222 (there
        the cross-entropy of the score, as one of two terms)
    """
    return -with_critic(rows).score


Score = Callable[[Inferred, Known, int], Array]

SCORES: dict[str, Score] = {
    "reconstruction": reconstruction, "residuals": residuals, "features": features, "latent": latent, "norm": norm,
    "neighbours": neighbours, "pair-neighbours": pair_neighbours, "critic": critic,
}  # fmt: skip
