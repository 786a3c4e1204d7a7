"""The tasks as a person asks for them: each verb answers a `Shown`, with arrays, a figure and a sentence.

The verbs stand on the functions of the same names in `interalia.tasks`, which answer tensors. The command line has a command
for each verb.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from interalia import tasks
from interalia.data.store import as_tensor
from interalia.errors import UserError
from interalia.tasks.calling import Level
from interalia.tasks.shown import Figure, Shown, to_numpy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from interalia.data import Dataset
    from interalia.games import Game


def shown(
    say: str, arrays: Mapping[str, Any], kind: str, parts: Mapping[str, Figure] | None = None, **drawn: Any
) -> Shown:
    """A `Shown` whose figure is drawn from `drawn`, as far as the first of the arrays holds images."""
    found = to_numpy(arrays)
    if next(iter(found.values())).ndim < 4:
        return Shown(say, found)
    return Shown(say, found, Figure(kind, to_numpy(drawn)), parts or {})  # type: ignore[arg-type]


def one_by_one(images: Tensor) -> dict[str, Figure]:
    """Each image as a picture of its own, named by its number."""
    return {f"{i:06d}": Figure("single", {"image": image}) for i, image in enumerate(images.numpy())}


def at_least_one(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"`{name}` is {value}, and it must be at least 1.")


def generate(
    game: Game,
    count: int | None = None,
    seed: int = 0,
    label: int | str | None = None,
    y: Tensor | None = None,
    sample: bool = False,
) -> Shown:
    """Samples, see `interalia.tasks.generate`: by default 64, or of a game with labels 10 of each, a row a label.

    Arguments:
        game: a game with a decoder.
        count: how many samples.
        seed: of z and of what the game is conditioned on.
        label: the label of all samples.
        y: labels or attributes of each sample.
        sample: whether they are draws from p(x | z) in place of its mean.

    Example:
        >>> import interalia
        >>> found = generate(interalia.build(interalia.recipes.ali_digits()), 3)
        >>> found.say, found.arrays["x"].shape, found.figure.kind
        ('3 samples', (3, 1, 8, 8), 'grid')
    """
    number = 64 if count is None else count
    at_least_one(count=number)
    if label is not None and y is not None:
        raise UserError("`label` and `y` say the same thing twice; leave one of them out.")
    how: Literal["mean", "sample"] = "sample" if sample else "mean"
    rows = bool(game.labels) and not game.attributes and count is None and label is None and y is None
    x = tasks.by_label(game, 10, seed, how) if rows else tasks.generate(game, number, seed, label, y, how)
    return shown(f"{len(x)} samples", {"x": x}, "grid", one_by_one(x), images=x, columns=10 if rows else None)


def encode(
    game: Game, x: Tensor, y: Tensor | None = None, seed: int = 0, sample: bool = False, files: Sequence[str] = ()
) -> Shown:
    """z of images and the encoder's last hidden layer, beside the names of their files."""
    z = tasks.encode(game, x, seed, "sample" if sample else "mean", y)
    found = {"z": z, "features": tasks.features(game, x, y=y), "files": np.array(files, dtype=str)}
    return Shown(f"{len(z)} latents of {z.shape[1]} dimensions", to_numpy(found))


def reconstruct(
    game: Game,
    x: Tensor,
    y: Tensor | None = None,
    seed: int = 0,
    level: Level = "upper",
    project: int = 0,
    rate: float = 0.05,
) -> Shown:
    """Images, and right below each its reconstruction.

    Arguments:
        game: a game with a decoder, and an encoder unless `project` is given.
        x, y: images, and what a conditional game is told of them.
        seed: of an implicit encoder's noise.
        level: of latents, of a game with two.
        project: steps of descent that refine z, see `interalia.tasks.project`; 0 takes the encoder's.
        rate: of the descent.
    """
    if project:
        at_least_one(project=project)
        if level == "lower":
            raise UserError("`project` descends in z, the upper level; leave `level` out.")
        x_hat = tasks.decode(game, tasks.project(game, x, project, rate, seed=seed, y=y), seed, y=y)
    else:
        x_hat = tasks.reconstruct(game, x, seed, y, level)
    found = {"x": x, "x_hat": x_hat}
    return shown(f"{len(x)} reconstructions", found, "pairs", originals=x, reconstructions=x_hat)


def interpolate(
    game: Game,
    x: Tensor,
    y: Tensor | None = None,
    seed: int = 0,
    steps: int = 9,
    how: Literal["linear", "spherical"] = "linear",
    level: Level = "upper",
) -> Shown:
    """From each image of the first half of x to one of the second half: a row a pair, the originals at both ends.

    Raises:
        UserError: x has no two halves, or what `interalia.tasks.interpolate` raises.
    """
    if len(x) < 2:
        raise UserError(f"an interpolation needs 2 images, and {len(x)} was given; give one more.")
    if len(x) % 2:
        raise UserError(
            f"{len(x)} images do not make pairs (the first half is led to the second); give one more or fewer."
        )
    half = len(x) // 2
    a, b = x[:half], x[half:]
    way = tasks.interpolate(game, a, b, steps, how, seed, None if y is None else (y[:half], y[half:]), level)
    found = {"a": a, "way": way, "b": b}
    return shown(f"{half} interpolations", found, "interpolations", left=a, path_images=way, right=b)


def traverse(
    game: Game,
    rows: int = 10,
    columns: int = 10,
    low: float = -2.0,
    high: float = 2.0,
    dimensions: int = 6,
    seed: int = 0,
) -> Shown:
    """Every code of z varied alone, see `interalia.tasks.traverse`; of a z without codes its first `dimensions`."""
    at_least_one(rows=rows, columns=columns, dimensions=dimensions)
    names = tasks.directions(game, dimensions)
    found = {name: tasks.traverse(game, i, rows, columns, low, high, seed) for i, name in enumerate(names)}
    parts = {name: Figure("traversals", {"blocks": [block.numpy()]}) for name, block in found.items()}
    say = f"{len(found)} traversals, {', '.join(found)}"
    return shown(say, found, "traversals", parts, blocks=list(found.values()))


def manifold(game: Game, side: int = 20, seed: int = 0) -> Shown:
    """The whole plane of a z of two dimensions, see `interalia.tasks.manifold`."""
    x = tasks.manifold(game, side, seed)
    return shown(f"The plane of z, {side}x{side}", {"x": x}, "grid", images=x.flatten(0, 1), columns=side)


def translate(game: Game, x: Tensor, to: Literal["a", "b"] = "b", back: bool = True) -> Shown:
    """Images, below each its translation into the domain `to`, and below that the way back, unless it is left out."""
    fake = tasks.translate(game, x, to)
    say, found, parts = f"{len(x)} translations", {"x": x, "translation": fake}, one_by_one(fake)
    if not back:
        return shown(say, found, "pairs", parts, originals=x, reconstructions=fake)
    found["back"] = tasks.translate(game, fake, "a" if to == "b" else "b")
    say += f"\nmean distance of the way back, a number: {float((x - found['back']).abs().mean()):.3f}"
    return shown(say, found, "cycles", parts, sources=x, translations=fake, backs=found["back"])


def neighbours(
    game: Game,
    x: Tensor,
    dataset: Dataset,
    y: Tensor | None = None,
    seed: int = 0,
    nearest: int = 8,
    among: int = 10_000,
    labels: ArrayLike | None = None,
) -> Shown:
    """A row an image: the image, and beside it the training images whose z is nearest to its own.

    Arguments:
        game: a game with an encoder.
        x, y: images, and what a conditional game is told of them.
        dataset: whose training images are searched.
        seed: of the draw of them.
        nearest: how many neighbours of each image.
        among: among how many training images.
        labels: of x, where they are known, to count the neighbours that have the same.

    Raises:
        UserError: the game has no encoder, or a number is out of its range.
    """
    at_least_one(among=among, nearest=nearest)
    rows = dataset.train.rows(among, seed)
    if nearest > len(rows):
        raise UserError(
            f"`nearest` is {nearest}, and it is looked among {len(rows)} training images; lower it to {len(rows)} or less"
            f"{', or raise `among`' if len(rows) < len(dataset.train) else ''}."
        )
    others = as_tensor(dataset.train.x[rows])
    values = dataset.conditions("train", game.attributes) if game.labels else None
    pair = None if values is None or y is None else (y, torch.from_numpy(values[rows]))
    found = tasks.neighbours(game, x, others, nearest, seed, pair)
    say = f"{len(x)} images with {nearest} neighbours of {len(rows)}"
    if labels is not None and dataset.train.y is not None:
        same = dataset.train.y[rows][found.numpy()] == np.asarray(labels)[:, None]
        say += f"\nneighbours of the same label: {100 * float(same.mean()):.1f} %"
    arrays = {"x": x, "neighbours": others[found], "rows": rows[found.numpy()]}
    return shown(say, arrays, "interpolations", left=x, path_images=others[found], right=None)


def classify(
    game: Game, x: Tensor, seed: int = 0, names: Sequence[str] | None = None, labels: ArrayLike | None = None
) -> Shown:
    """A table: of each image its name, its label, and the probability of each label.

    Arguments:
        game: a game that reads labels.
        x: images.
        seed: of a random classifier.
        names: of the images; by default their numbers.
        labels: the true ones, where they are known, to count how many are right.
    """
    probabilities = tasks.classify(game, x, seed)
    read = probabilities.argmax(1)
    table = {
        "image": np.array(range(len(x)) if names is None else names, dtype=str),
        "label": np.array(game.names)[read.numpy()],
        **{f"p{name}": column for name, column in zip(game.names, probabilities.T, strict=True)},
    }
    say = f"{len(x)} labels"
    if labels is not None:
        say += f"\nright: {100 * float((read.numpy() == np.asarray(labels)).mean()):.1f} %"
    return Shown(say, to_numpy(table))


def edit(
    game: Game,
    x: Tensor,
    y: Tensor | None = None,
    seed: int = 0,
    to: str | None = None,
    dataset: Dataset | None = None,
    strengths: Sequence[float] | None = None,
    examples: int = 5000,
) -> Shown:
    """A row an image, a column a change, the rest of its z kept.

    A game that is told labels shows each image under other labels, one that is told attributes with one attribute after the
    other turned over. A game that is told nothing moves z along a `direction`.

    Arguments:
        game: a game with an encoder and a decoder.
        x, y: images, and what a conditional game is told of them.
        seed: of an implicit encoder's noise, and of the draw of examples.
        to: the labels or attributes to change, with commas between them; by default all. For a direction one.
        dataset: whose labelled training images give the direction.
        strengths: how far to go along it, in differences of the means; by default -2 to 2.
        examples: of how many training images the means are taken.

    Raises:
        UserError: the game has no encoder or decoder, `to` names nothing, or an argument is about another kind of game.
    """
    at_least_one(examples=examples)
    for strength in strengths or []:
        if not math.isfinite(strength):
            raise UserError(f"`strengths` has {strength}, and it must be finite; give for example `strengths=[-1, 1]`.")
    if game.labels:
        if strengths:
            raise UserError(
                f"`strengths` say how far z moves, and this {type(game).__name__} keeps z and is told other "
                f"{'attributes' if game.attributes else 'labels'}; leave them out."
            )
        chosen = list(range(game.labels)) if to is None else tasks.places(game, to)
        if not chosen:
            raise UserError(f"`to` names nothing; give one or several of: {', '.join(game.names)}.")
        tasks.told(game, y, len(x))
        assert y is not None
        edited = tasks.edits(game, x, y, seed)[:, chosen]
        columns = ", ".join(game.names[j] for j in chosen)
    else:
        if to is None or dataset is None:
            raise UserError(
                f"this {type(game).__name__} was not told any labels; name the label or attribute to move along with `to`."
            )
        way = strengths or [-2.0, -1.0, 0.0, 1.0, 2.0]
        edited = tasks.shift(game, x, tasks.direction(game, *labelled(dataset, to, examples, seed), seed), way, seed)
        columns = ", ".join(f"{strength:+g} {to}" for strength in way)
    beside = torch.cat([tasks.reconstruct(game, x, seed, y)[:, None], edited], dim=1)
    say = f"{len(x)} images, edited\ncolumns: the original, its reconstruction, {columns}"
    return shown(say, {"x": x, "edited": edited}, "interpolations", left=x, path_images=beside, right=None)


def labelled(dataset: Dataset, name: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """At most `count` training images, drawn by seed, and which of them have the label or the attribute."""
    rows = dataset.train.rows(count, seed)
    attributes = [str(known) for known in dataset.attributes.get("names", ())]
    classes = list(dataset.classes) or [str(label) for label in range(dataset.labels)]
    if not attributes:
        dataset.check_labels("edit a run of other data")
    j = tasks.place([*attributes, *classes], name, "label or attribute")
    if j < len(attributes):
        values = dataset.attributes["train"][rows, j] > 0
    else:
        assert dataset.train.y is not None
        values = dataset.train.y[rows] == j - len(attributes)
    return as_tensor(dataset.train.x[rows]), torch.from_numpy(values)


def complete(
    game: Game,
    x: Tensor,
    mask: ArrayLike | str = "right",
    y: Tensor | None = None,
    seed: int = 0,
    steps: int = 200,
    rate: float = 0.05,
    blend: int = 0,
) -> Shown:
    """Images, below each the same with a gray hole, and below that filled in, see `interalia.tasks.complete`.

    Arguments:
        game: a game with a decoder, of images.
        x, y: images, and what a conditional game is told of them.
        mask: the hole's name, one of `interalia.tasks.HOLES`, or 1 where images are known and 0 in the hole.
        seed, steps, rate, blend: as for `interalia.tasks.complete`.
    """
    if len(game.shape) != 3:
        raise UserError("only images can be completed, and this game was trained on vectors.")
    known = tasks.hole(game.shape, mask) if isinstance(mask, str) else torch.as_tensor(mask).float()
    filled = tasks.complete(game, x, known, steps, rate, blend, seed, y)
    found = {"x": x, "mask": known, "completed": filled}
    drawn = {"sources": x, "translations": known * x + (1 - known) * 0.5, "backs": filled}
    return shown(f"{len(x)} images completed", found, "cycles", one_by_one(filled), **drawn)
