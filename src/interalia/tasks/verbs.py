"""The tasks as a person asks for them: each verb answers a `TaskResult`, with arrays, a figure and a sentence.

The verbs stand on the functions of the same names in `interalia.tasks`, which answer tensors. A verb's arguments but for the
game, the images and the data are the options of its command, with their help below; none of them needs torch before it is
called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from interalia import tasks
from interalia.errors import UserError, at_least_one
from interalia.tasks.result import Figure, Interpolation, Kind, Level, TaskResult

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from interalia.data import Dataset
    from interalia.games import Game

SCALES = (-2.0, -1.0, 0.0, 1.0, 2.0)


def result(
    say: str, arrays: Mapping[str, Any], kind: Kind, parts: Mapping[str, Figure] | None = None, **drawn: Any
) -> TaskResult:
    """An answer whose figure is drawn from `drawn`, as far as the first of the arrays holds images."""
    import numpy as np

    found = {name: np.asarray(array) for name, array in arrays.items()}
    images = next(iter(found.values())).ndim > 3
    return TaskResult(say, found, Figure(kind, drawn), parts or {}) if images else TaskResult(say, found)


def single_figures(images: Tensor) -> dict[str, Figure]:
    """Each image as a picture of its own, named by its number."""
    return {f"{i:06d}": Figure("single", {"image": image}) for i, image in enumerate(images)}


def generate(
    game: Game,
    count: int | None = None,
    y: Tensor | None = None,
    sample: bool = False,
    seed: int = 0,
) -> TaskResult:
    """Draw samples and show them as one picture, or one file each.

    They are means of p(x | z), z drawn, which is what people look at; draws are for measuring.

    Arguments:
        game: a game with a decoder.
        count: How many samples; by default 64, or of a game with labels 10 of each, a row a label.
        y: of each sample its label or attributes; by default drawn as often as the training data has them.
        sample: Draw from p(x | z), with the noise that the game's likelihood has, in place of its mean: zeros and ones of a
            Bernoulli likelihood, as they are held against data.
        seed: of z and of what is drawn beside it.

    Example:
        >>> import interalia
        >>> found = generate(interalia.build(interalia.recipes.ali_digits()), 3)
        >>> found.text, found.arrays["x"].shape, found.figure.kind
        ('3 samples', (3, 1, 8, 8), 'grid')
    """
    number = 64 if count is None else count
    at_least_one(count=number)
    rows = bool(game.data.condition) and not game.data.attributes and count is None and y is None
    x = (
        tasks.generate_by_label(game, 10, seed, sample)
        if rows
        else tasks.generate(game, number, seed, y=y, sample=sample)
    )
    return result(f"{len(x)} samples", {"x": x}, "grid", single_figures(x), images=x, columns=10 if rows else None)


def encode(
    game: Game, x: Tensor, y: Tensor | None = None, names: Sequence[str] = (), sample: bool = False, seed: int = 0
) -> TaskResult:
    """Infer latents: z, shape (n, latent), the encoder's last hidden layer, and the files' names.

    Arguments:
        game: a game with an encoder.
        x, y: images, and what a conditional game is told of them.
        names: of the images.
        sample: Draw z from q(z | x) instead of taking its mean.
        seed: of the draw.
    """
    z = tasks.encode(game, x, seed, sample, y)
    found = {"z": z, "features": tasks.features(game, x, y=y), "files": list(names)}
    return result(f"{len(z)} latents of {z.shape[1]} dimensions", found, "grid")


def reconstruct(
    game: Game,
    x: Tensor,
    y: Tensor | None = None,
    level: Level = "upper",
    refine_steps: int = 0,
    refine_lr: float = 0.05,
    seed: int = 0,
) -> TaskResult:
    """Encode and decode images: originals above, reconstructions below, and how far apart they are.

    Arguments:
        game: a game with a decoder, and an encoder unless `refine_steps` is given.
        x, y: images, and what a conditional game is told of them.
        level: Of latents, of a game with two levels.
        refine_steps: Steps of gradient descent on the reconstruction error that refine the encoder's z (latent optimization);
            without an encoder they start from the nearest of 64 draws of the prior.
        refine_lr: Learning rate of that descent.
        seed: of an implicit encoder's noise.
    """
    if refine_steps:
        at_least_one(refine_steps=refine_steps)
        if level == "lower":
            raise UserError("`refine_steps` descends in z, the upper level; leave `level` out.")
        x_hat = tasks.decode(game, tasks.project(game, x, refine_steps, refine_lr, seed=seed, y=y), seed, y=y)
    else:
        x_hat = tasks.reconstruct(game, x, seed, y, level)
    return result(f"{len(x)} reconstructions", {"x": x, "x_hat": x_hat}, "pairs", originals=x, reconstructions=x_hat)


def interpolate(
    game: Game,
    x: Tensor,
    y: Tensor | None = None,
    steps: int = 9,
    interpolation: Interpolation = "lerp",
    level: Level = "upper",
    seed: int = 0,
) -> TaskResult:
    """Interpolation from one image's latent to another's, with the originals at both ends.

    The first half of the images is led to the second.

    Arguments:
        game: a game with an encoder and a decoder.
        x, y: images, and what a conditional game is told of them.
        steps: Points on the way, both ends included.
        interpolation: lerp, on a straight line, or slerp, on the arc that keeps the latent's length.
        level: Of latents, of a game with two levels.
        seed: of an implicit encoder's noise.
    """
    if len(x) < 2:
        raise UserError(f"an interpolation needs 2 images, and {len(x)} was given; give one more.")
    if len(x) % 2:
        raise UserError(
            f"{len(x)} images do not make pairs (the first half is led to the second); give one more or fewer."
        )
    half = len(x) // 2
    a, b = x[:half], x[half:]
    way = tasks.interpolate(game, a, b, steps, interpolation, seed, None if y is None else (y[:half], y[half:]), level)
    arrays = {"a": a, "way": way, "b": b}
    return result(f"{half} interpolations", arrays, "interpolations", left=a, path_images=way, right=b)


def traverse(
    game: Game,
    rows: int = 10,
    columns: int = 10,
    low: float = -2.0,
    high: float = 2.0,
    dimensions: int = 6,
    seed: int = 0,
) -> TaskResult:
    """Vary one code of z at a time: in each row of a picture the rest of z is fixed, along it the code takes its values.

    A game whose z has no codes shows its first few dimensions in the same way.

    Arguments:
        game: a game with a decoder.
        rows: How many settings of the rest of z.
        columns: How many values of a continuous code; a categorical one has a column a category.
        low: The first value of a continuous code.
        high: The last.
        dimensions: How many dimensions are shown of a z without codes.
        seed: of the rest of z.
    """
    at_least_one(rows=rows, columns=columns, dimensions=dimensions)
    names = tasks.traversal_names(game, dimensions)
    found = {name: tasks.traverse(game, i, rows, columns, low, high, seed) for i, name in enumerate(names)}
    parts = {name: Figure("traversals", {"blocks": [block]}) for name, block in found.items()}
    say = f"{len(found)} traversals, {', '.join(found)}"
    return result(say, found, "traversals", parts, blocks=list(found.values()))


def manifold(game: Game, grid_size: int = 20, seed: int = 0) -> TaskResult:
    """Decode a grid over the whole plane of a z of two dimensions, evenly spaced in the prior's probability.

    Arguments:
        game: a game with a decoder and two latents.
        grid_size: Number of points along each dimension.
        seed: of what a conditional game is told.
    """
    x = tasks.manifold(game, grid_size, seed)
    return result(
        f"The plane of z, {grid_size}x{grid_size}", {"x": x}, "grid", images=x.flatten(0, 1), columns=grid_size
    )


def translate(game: Game, x: Tensor, to: Literal["a", "b"] = "b") -> TaskResult:
    """Translate images into another domain: originals above, translations below, and below them the way back.

    Arguments:
        game: a game with two domains.
        x: images of the other domain.
        to: The domain to translate into: b, of the run's target, or a, of its data.
    """
    fake = tasks.translate(game, x, to)
    back = tasks.translate(game, fake, "a" if to == "b" else "b")
    say = f"{len(x)} translations\nmean distance of the way back, a number: {float((x - back).abs().mean()):.3f}"
    arrays = {"x": x, "translation": fake, "back": back}
    return result(say, arrays, "cycles", single_figures(fake), sources=x, translations=fake, backs=back)


def neighbours(
    game: Game,
    x: Tensor,
    dataset: Callable[[], Dataset],
    y: Tensor | None = None,
    labels: ArrayLike | None = None,
    nearest: int = 8,
    pool_size: int = 10_000,
    seed: int = 0,
) -> TaskResult:
    """Find the training images whose z is nearest to an image's: a row an image, its neighbours beside it.

    Arguments:
        game: a game with an encoder.
        x, y: images, and what a conditional game is told of them.
        dataset: answers the data whose training images are searched.
        labels: of x, where they are known, to count the neighbours that have the same.
        nearest: How many neighbours of each image.
        pool_size: Number of training images that are searched, drawn by the seed.
        seed: of the draw.
    """
    import numpy as np
    import torch

    from interalia.data.store import as_tensor
    from interalia.games import feeds

    at_least_one(pool_size=pool_size, nearest=nearest)
    data = dataset()
    rows = data.train.rows(pool_size, seed)
    if nearest > len(rows):
        raise UserError(
            f"`nearest` is {nearest}, and it is looked among {len(rows)} training images; lower it to {len(rows)} or less"
            f"{', or raise `pool_size`' if len(rows) < len(data.train) else ''}."
        )
    others = as_tensor(data.train.x[rows])
    values = feeds.conditions(game.data, data, "train")
    pair = None if values is None or y is None else (y, torch.from_numpy(values[rows]))
    found = tasks.neighbours(game, x, others, nearest, seed, pair)
    say = f"{len(x)} images with {nearest} neighbours of {len(rows)}"
    if labels is not None and data.train.y is not None:
        same = data.train.y[rows][found.numpy()] == np.asarray(labels)[:, None]
        say += f"\nneighbours of the same label: {100 * float(same.mean()):.1f} %"
    arrays = {"x": x, "neighbours": others[found], "rows": rows[found.numpy()]}
    return result(say, arrays, "interpolations", left=x, path_images=others[found], right=None)


def classify(
    game: Game, x: Tensor, names: Sequence[str] = (), labels: ArrayLike | None = None, seed: int = 0
) -> TaskResult:
    """Read the labels of images by a semi-supervised game: a row an image, its label and each probability.

    Arguments:
        game: a game that reads labels.
        x: images.
        names: of the images.
        labels: the true ones, where they are known, to count how many are right.
        seed: of a random classifier.
    """
    import numpy as np

    probabilities = tasks.classify(game, x, seed)
    read = probabilities.argmax(1).numpy()
    columns = {f"p{name}": column for name, column in zip(game.data.names, probabilities.T, strict=True)}
    say = f"{len(x)} labels"
    if labels is not None:
        say += f"\nright: {100 * float((read == np.asarray(labels)).mean()):.1f} %"
    return result(say, {"image": list(names), "label": np.array(game.data.names)[read], **columns}, "grid")


def edit(
    game: Game,
    x: Tensor,
    dataset: Callable[[], Dataset],
    y: Tensor | None = None,
    to: str | None = None,
    scales: list[float] | None = None,
    examples: int = 5000,
    seed: int = 0,
) -> TaskResult:
    """Change images in one property and keep the rest of their z: a row an image, a column a change.

    A game that is told labels shows each image under other labels, one that is told attributes with one attribute after
    the other turned over: by default all of them, or those that are named. A game that is told nothing moves z along the
    difference of the means of labelled training images with and without one property, a label or an attribute of its data.

    Arguments:
        game: a game with an encoder and a decoder.
        x, y: images, and what a conditional game is told of them.
        dataset: answers the data with the labelled training images.
        to: What to change: labels or attributes, with commas between them; of a game that is told nothing, one.
        scales: How far to go, in differences of the means; by default -2 to 2.
        examples: Of how many labelled training images the means are taken.
        seed: of their draw, and of an implicit encoder's noise.
    """
    import torch

    at_least_one(examples=examples)
    for strength in scales or []:
        if not math.isfinite(strength):
            raise UserError(f"`scales` has {strength}, and it must be finite; give for example `scales=[-1, 1]`.")
    if game.data.condition:
        if scales:
            raise UserError(
                f"`scales` say how far z moves, and this {type(game).__name__} keeps z and is told other "
                f"{game.data.y}; leave them out."
            )
        chosen = list(range(game.data.condition)) if to is None else tasks.indices_of(game, to)
        if not chosen:
            raise UserError(f"`to` names nothing; give one or several of: {', '.join(game.data.names)}.")
        tasks.condition(game, y, len(x))
        assert y is not None
        edited = tasks.single_edits(game, x, y, seed)[:, chosen]
        columns = ", ".join(game.data.names[j] for j in chosen)
    else:
        if to is None:
            raise UserError(
                f"this {type(game).__name__} was not told any labels; name the label or attribute to move along with `to`."
            )
        way = scales or SCALES
        direction = tasks.direction(game, *labeled_examples(dataset(), to, examples, seed), seed)
        edited = tasks.shift(game, x, direction, way, seed)
        columns = ", ".join(f"{strength:+g} {to}" for strength in way)
    beside = torch.cat([tasks.reconstruct(game, x, seed, y)[:, None], edited], dim=1)
    say = f"{len(x)} images, edited\ncolumns: the original, its reconstruction, {columns}"
    return result(say, {"x": x, "edited": edited}, "interpolations", left=x, path_images=beside, right=None)


def labeled_examples(dataset: Dataset, name: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """At most `count` training images, drawn by seed, and which of them have the label or the attribute."""
    import torch

    from interalia.data.store import as_tensor

    rows = dataset.train.rows(count, seed)
    attributes = [str(known) for known in dataset.attributes.get("names", ())]
    classes = list(dataset.classes) or [str(label) for label in range(dataset.labels)]
    if not attributes:
        dataset.check_labels("edit a run of other data")
    j = tasks.index_of([*attributes, *classes], name, "label or attribute")
    if j < len(attributes):
        values = dataset.attributes["train"][rows, j] > 0
    else:
        assert dataset.train.y is not None
        values = dataset.train.y[rows] == j - len(attributes)
    return as_tensor(dataset.train.x[rows]), torch.from_numpy(values)


def complete(
    game: Game,
    x: Tensor,
    y: Tensor | None = None,
    mask: str | Path = "right",
    refine_steps: int = 200,
    refine_lr: float = 0.05,
    blend: int = 0,
    seed: int = 0,
) -> TaskResult:
    """Fill in a part of images: encode, refine z on the known pixels, decode the rest. Originals above, then with the hole,
    then filled in.

    Arguments:
        game: a game with a decoder, of images.
        x, y: images, and what a conditional game is told of them.
        mask: What is to be filled in: left, right, top, bottom (a half) or centre (the middle quarter); or a picture of one
            image's size, white where the image is known and black where it is not.
        refine_steps: Steps of gradient descent on the known pixels that refine z; 0 keeps the encoder's z.
        refine_lr: Learning rate of that descent.
        blend: Over how many pixels of the known part the seam fades.
        seed: of an implicit encoder's noise.
    """
    if len(game.data.shape) != 3:
        raise UserError("only images can be completed, and this game was trained on vectors.")
    known = tasks.load_mask(game.data.shape, mask)
    filled = tasks.complete(game, x, known, refine_steps, refine_lr, blend, seed, y)
    arrays = {"x": x, "mask": known, "completed": filled}
    drawn = {"sources": x, "translations": known * x + (1 - known) * 0.5, "backs": filled}
    return result(f"{len(x)} images completed", arrays, "cycles", single_figures(filled), **drawn)
