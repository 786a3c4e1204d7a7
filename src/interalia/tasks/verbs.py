"""The tasks as commands of the command line. Each function with the argument `game` returns a `TaskResult`: arrays, a
figure and a text.

It calls the function of the same name in `interalia.tasks`, which returns tensors. Its docstring is the help of the command;
its arguments are the options of the command, except the game, the images and what comes with them. No function imports torch
before it is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from interalia import tasks
from interalia.errors import UserError, at_least_one, printable
from interalia.tasks.result import Figure, Interpolation, Level, TaskResult

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from interalia.data import Dataset
    from interalia.games import Game

SCALES = (-2.0, -1.0, 0.0, 1.0, 2.0)


def result(
    game: Game,
    text: str,
    examples: Mapping[str, Any],
    figure: Figure | None = None,
    parts: Mapping[str, Figure] = {},
    others: Mapping[str, Any] = {},
    domains: Mapping[str, str] = {},
) -> TaskResult:
    """Returns the `TaskResult` of a task, with examples in the data's own units and type.

    It has figures only if the data are signals, images or volumes.

    Arguments:
        game: the game, by whose data the units are known.
        text: the description of the result.
        examples: arrays or tensors of examples, by name, as networks return them.
        figure: the figure of all examples; None for none.
        parts: further figures, by file name without suffix.
        others: arrays or tensors that are no examples, by name.
        domains: a dictionary: name of examples -> "b", for those of the second domain.
    """
    import numpy as np

    from interalia.tasks import units

    found = units.arrays_of(game, examples, domains) | {name: np.asarray(array) for name, array in others.items()}
    first = next((np.asarray(array) for array in examples.values()), np.empty(0))
    if figure is None or (first.ndim <= 3 and len(game.data.shape) != 2):
        return TaskResult(text, found)
    drawn = {
        name: Figure(one.kind, {key: units.shown(game, value) for key, value in one.arguments.items()})
        for name, one in {"": figure, **parts}.items()
    }
    return TaskResult(text, found, drawn.pop(""), drawn)


def single_figures(images: Tensor) -> dict[str, Figure]:
    """Returns a dictionary with a figure of each image in a batch, shape (n, *shape); the key is the image's index from 0 in
    six digits, such as "000003".
    """
    return {f"{i:06d}": Figure("save_image", {"image": image}) for i, image in enumerate(images)}


def generate(
    game: Game,
    count: int | None = None,
    y: Tensor | None = None,
    sample: bool = False,
    truncation: float | None = None,
    seed: int = 0,
) -> TaskResult:
    """Draw samples and show them as one picture, or one file each.

    A sample is the mean of p(x | z) for a random z; metrics use samples of p(x | z) instead.

    Arguments:
        game: a game with a decoder.
        count: Number of samples; by default 64, or for a class-conditional game 10 of each label, one label per row.
        y: labels or attributes of the samples, for a conditional game; by default labels are uniform, and attributes have
            their frequencies in the training data.
        sample: Sample p(x | z) instead of taking its mean, with the noise of the game's likelihood: zeros and ones for a
            Bernoulli likelihood.
        truncation: Largest absolute value of each dimension of z, for a standard normal prior: lower values give more
            typical and less diverse samples; by default no limit.
        seed: random seed of all random numbers.

    Returns:
        The result with the samples as the array "x", shape (n, *shape).

    Example:
        >>> import interalia
        >>> found = generate(interalia.build(interalia.recipes.ali_digits()), 3)
        >>> found.text, found.arrays["x"].shape, found.figure.kind
        ('3 samples', (3, 1, 8, 8), 'grid')
    """
    at_least_one(count=1 if count is None else count)
    rows = bool(game.data.condition) and not game.data.attributes and count is None and y is None
    make = tasks.generate_by_label if rows else partial(tasks.generate, y=y)
    x = make(game, 10 if rows else count or 64, seed, sample=sample, truncation=truncation)
    figure = Figure("grid", {"images": x, "columns": 10 if rows else None})
    return result(game, f"{len(x)} samples", {"x": x}, figure, single_figures(x))


def encode(
    game: Game,
    x: Tensor,
    y: Tensor | None = None,
    names: Sequence[str] = (),
    sample: bool = False,
    draws: int | None = None,
    seed: int = 0,
) -> TaskResult:
    """Infer latents: z, shape (n, latent), the activations of the encoder's last hidden layer, and the names of the images.

    With --draws also the standard deviation of q(z|x) and samples of it.

    Arguments:
        game: a game with an encoder.
        x: images, shape (n, *shape).
        y: labels or attributes of the images, for a conditional game.
        names: the name of each image, such as that of its file; if it is empty, the array "files" is empty too.
        sample: Sample z from q(z|x) instead of taking its mean.
        draws: Number of samples of q(z|x) for each image, 2 or more: z is the mean, "std" the standard deviation of each
            dimension over the samples, and "draws" the samples, shape (draws, n, latent); in a .csv file the columns z1, std1
            and z1_draw1 and so on.
        seed: random seed of the samples, and of an implicit encoder's noise.

    Returns:
        The result with three arrays: "z", shape (n, latent); "features", the activations of the encoder's last hidden layer,
        shape (n, number of activations); and "files", the names of the images; with `draws` also "std", shape (n, latent),
        and "draws", shape (draws, n, latent). Its table has the columns "file", if there are names, and "z1", "z2" and so on;
        with `draws` also "std1" and "z1_draw1" and so on.
    """
    if sample and draws is not None:
        raise UserError(
            "`sample` replaces the mean by one sample, and `draws` adds samples to it; leave one of them out."
        )
    spread: dict[str, Any] = {}
    if draws is None:
        z = tasks.encode(game, x, seed, sample, y)
    else:
        z, std, samples = tasks.posterior(game, x, draws, seed, y)
        spread = {"std": std, "draws": samples}
    found = {"z": z, "features": tasks.features(game, x, y=y), "files": list(names), **spread}
    table = {**({"file": found["files"]} if names else {}), **{f"z{i}": column for i, column in enumerate(z.T, 1)}}
    text = f"{len(z)} latents of {z.shape[1]} dimensions"
    if draws is not None:
        table |= {f"std{i}": column for i, column in enumerate(std.T, 1)}
        table |= {f"z{i}_draw{k}": column for k, one in enumerate(samples, 1) for i, column in enumerate(one.T, 1)}
        text += (
            f", with {draws} samples each\nmean standard deviation of a dimension of q(z|x): {float(std.mean()):.4g}"
        )
        text += "" if bool(std.any()) else ", the encoder is deterministic"
    return result(game, text, {}, others=found).with_table(table)


def reconstruct(
    game: Game,
    x: Tensor,
    y: Tensor | None = None,
    level: Level = "upper",
    refine_steps: int = 0,
    refine_lr: float = 0.05,
    worst: int | None = None,
    names: Sequence[str] = (),
    seed: int = 0,
) -> TaskResult:
    """Encode and decode images: originals above, reconstructions below, and the reconstruction errors.

    Arguments:
        game: a game with a decoder, and an encoder unless `refine_steps` is given.
        x: images, shape (n, *shape).
        y: labels or attributes of the images, for a conditional game.
        level: Latent level of a game with two levels: upper, z; or lower, between z and x.
        refine_steps: Steps of gradient descent on the reconstruction error that refine the encoder's z (latent optimization);
            without an encoder they start from the nearest of 64 samples of the prior.
        refine_lr: Learning rate of the refinement.
        worst: Show only so many images, those with the largest errors, the worst one first; by default all in their order.
        names: the name of each image, such as that of its file; empty for their indices.
        seed: random seed of an implicit encoder's noise.

    Returns:
        The result with the arrays "x", the images, and "x_hat", the reconstructions, both of shape (n, *shape). Its table has
        the columns "image", the names; "l2", the Euclidean distance of each image to its reconstruction; and "mse", the mean
        squared error per pixel.
    """
    if worst is not None:
        at_least_one(worst=worst)
    if refine_steps:
        at_least_one(refine_steps=refine_steps)
        if level == "lower":
            raise UserError("`refine_steps` refine z, the upper level; leave `level` out.")
        x_hat = tasks.decode(game, tasks.project(game, x, refine_steps, refine_lr, seed=seed, y=y), seed, y=y)
    else:
        x_hat = tasks.reconstruct(game, x, seed, y, level)
    squares = (x.double() - x_hat.double()).flatten(1).square()
    shown = slice(None) if worst is None else squares.sum(1).argsort(descending=True, stable=True)[:worst]
    figure = Figure("pairs", {"originals": x[shown], "reconstructions": x_hat[shown]})
    text = f"{len(x)} reconstructions" + ("" if worst is None else f", the {min(worst, len(x))} worst in the picture")
    found = result(game, text, {"x": x, "x_hat": x_hat}, figure)
    table = {"image": list(names) or range(len(x)), "l2": squares.sum(1).sqrt(), "mse": squares.mean(1)}
    return found.with_table(table)


def interpolate(
    game: Game,
    x: Tensor,
    y: Tensor | None = None,
    steps: int = 9,
    interpolation: Interpolation = "lerp",
    level: Level = "upper",
    seed: int = 0,
) -> TaskResult:
    """Interpolate between the latents of two images, with the originals at both ends.

    Of n images, image i of the first half is paired with image i of the second half: 1 with n/2 + 1, 2 with n/2 + 2.

    Arguments:
        game: a game with an encoder and a decoder.
        x: images, shape (n, *shape), n even.
        y: labels or attributes of the images, for a conditional game.
        steps: Number of points, both ends included.
        interpolation: lerp (linear), or slerp (spherical), which keeps the norm of the latents.
        level: Latent level of a game with two levels: upper, z; or lower, between z and x.
        seed: random seed of an implicit encoder's noise.

    Returns:
        The result with three arrays: "a", the first half of the images; "path", images decoded from points between the
        latents of each pair, shape (n / 2, steps, *shape); and "b", the second half.
    """
    if len(x) < 2:
        raise UserError(f"an interpolation needs 2 images, and there is {len(x)}; give one more.")
    if len(x) % 2:
        raise UserError(
            f"{len(x)} images do not make pairs (the first half is interpolated to the second); give one more or fewer."
        )
    half = len(x) // 2
    a, b = x[:half], x[half:]
    path = tasks.interpolate(game, a, b, steps, interpolation, seed, None if y is None else (y[:half], y[half:]), level)
    arrays = {"a": a, "path": path, "b": b}
    figure = Figure("interpolations", {"left": a, "path_images": path, "right": b})
    return result(game, f"{half} interpolations", arrays, figure)


def traverse(
    game: Game,
    rows: int = 10,
    columns: int = 10,
    low: float = -2.0,
    high: float = 2.0,
    dimensions: int = 6,
    seed: int = 0,
) -> TaskResult:
    """Vary one code of z at a time (latent traversal): each row of a picture has another z, each column a value of the code.

    If z has no codes, its first dimensions are varied.

    Arguments:
        game: a game with a decoder.
        rows: Number of rows, each with another sample of the rest of z.
        columns: Number of values of a continuous code; a categorical code has one column per category.
        low: First value of a continuous code.
        high: Last value of a continuous code.
        dimensions: Number of dimensions to vary if z has no codes.
        seed: random seed of the rest of z.

    Returns:
        The result with an array of images for each code, by the name of the code, shape (rows, columns, *shape), where a
        categorical code has as many columns as categories.
    """
    at_least_one(rows=rows, columns=columns, dimensions=dimensions)
    names = tasks.traversal_names(game, dimensions)
    found = {name: tasks.traverse(game, i, rows, columns, low, high, seed) for i, name in enumerate(names)}
    parts = {name: Figure("traversals", {"blocks": [block]}) for name, block in found.items()}
    text = f"{len(found)} traversals, {', '.join(found)}"
    return result(game, text, found, Figure("traversals", {"blocks": list(found.values())}), parts)


def manifold(game: Game, grid_size: int = 20, seed: int = 0) -> TaskResult:
    """Decode a grid over the plane of a two-dimensional z, evenly spaced in prior probability.

    Arguments:
        game: a game with a decoder and two latents.
        grid_size: Number of points along each dimension.
        seed: random seed of the condition of a conditional game.

    Returns:
        The result with the images as the array "x", shape (grid_size, grid_size, *shape).
    """
    x = tasks.manifold(game, grid_size, seed)
    text = f"plane of z, {grid_size}x{grid_size}"
    return result(game, text, {"x": x}, Figure("grid", {"images": x.flatten(0, 1), "columns": grid_size}))


def translate(game: Game, x: Tensor, to: Literal["a", "b"] = "b") -> TaskResult:
    """Translate images into another domain: originals, translations, and their translations back (cycle), one row each.

    Arguments:
        game: a game with two domains.
        x: images of the domain to translate from, shape (n, *shape).
        to: The domain to translate into: b, of data_b, or a, of data.

    Returns:
        The result with three arrays of n images: "x", the images; "translation", their translations; and "back", the
        translations translated back.
    """
    fake = tasks.translate(game, x, to)
    back = tasks.translate(game, fake, "a" if to == "b" else "b")
    text = f"{len(x)} translations\ncycle-consistency error (mean absolute, per pixel): {float((x - back).abs().mean()):.3f}"
    arrays = {"x": x, "translation": fake, "back": back}
    figure = Figure("cycles", {"sources": x, "translations": fake, "backs": back})
    domains = dict.fromkeys(["translation"] if to == "b" else ["x", "back"], "b")
    return result(game, text, arrays, figure, single_figures(fake), domains=domains)


def neighbours(
    game: Game,
    x: Tensor,
    dataset: Callable[[], Dataset],
    y: Tensor | None = None,
    labels: ArrayLike | None = None,
    nearest: int = 8,
    pool_size: int = 10_000,
    names: Sequence[str] = (),
    seed: int = 0,
) -> TaskResult:
    """Find the training images with the nearest z: one row per image, its nearest neighbors beside it.

    Arguments:
        game: a game with an encoder.
        x: images, shape (n, *shape).
        y: labels or attributes of the images, for a conditional game.
        dataset: a function that returns the data set whose training images are searched.
        labels: the true labels of x, shape (n,), by which the share of neighbors with the same label is computed; None if
            they are unknown.
        nearest: Number of neighbors of each image.
        pool_size: Number of training images to search, drawn at random.
        names: the name of each image, such as that of its file; empty for their indices.
        seed: random seed by which the training images are drawn, and of an implicit encoder's noise.

    Returns:
        The result with three arrays: "x", the images; "neighbours", shape (n, nearest, *shape); and "rows", the indices of
        the neighbors in the training data, shape (n, nearest). Its table has a line for each neighbor: "image", the name of
        the image; "rank", from 1, the nearest first; "row", the neighbor's index in the training data; "distance", the
        Euclidean distance of the latents; and "label", the name of the neighbor's label, if the data have labels.
    """
    import numpy as np

    from interalia.data.store import as_tensor
    from interalia.games import feeds

    at_least_one(pool_size=pool_size, nearest=nearest)
    data = dataset()
    rows = data.train.rows(pool_size, seed)
    if nearest > len(rows):
        raise UserError(
            f"`nearest` is {nearest}, and {len(rows)} training images are searched; lower it to {len(rows)} or less"
            f"{', or raise `pool_size`' if len(rows) < len(data.train) else ''}."
        )
    others = as_tensor(data.train.x[rows])
    values = feeds.conditions(game.data, data, "train")
    pair = None if values is None or y is None else (y, values[rows])
    found = tasks.neighbours(game, x, others, nearest, seed, pair)
    text = f"{len(x)} images with {nearest} neighbors of {len(rows)}"
    if labels is not None and data.train.y is not None:
        near = data.train.y[rows][found.numpy()]
        same = (near == np.asarray(labels)[:, None])[near >= 0]
        if same.size:  # some neighbor has a label
            text += f"\nneighbors with the same label: {100 * float(same.mean()):.1f} %"
    near = rows[found.numpy()]
    arrays = {"x": x, "neighbours": others[found]}
    figure = Figure("interpolations", {"left": x, "path_images": others[found], "right": None})
    shown = result(game, text, arrays, figure, others={"rows": near})
    z = tasks.encode(game, x, seed, y=y)
    z_others = tasks.encode(game, others, seed, y=None if pair is None else pair[1])
    table = {
        "image": np.repeat(list(names) or np.arange(len(x)), nearest),
        "rank": np.tile(np.arange(1, nearest + 1), len(x)),
        "row": near.reshape(-1),
        "distance": (z[:, None] - z_others[found]).flatten(2).norm(dim=2).flatten(),
    }
    if data.train.y is not None:
        y_near = np.asarray(data.train.y)[near.reshape(-1)]
        table["label"] = [data.classes[label] if 0 <= label < len(data.classes) else label for label in y_near]
    return shown.with_table(table)


def classify(
    game: Game, x: Tensor, names: Sequence[str] = (), labels: ArrayLike | None = None, seed: int = 0
) -> TaskResult:
    """Classify images with a semi-supervised game: one row per image, with its label and all probabilities.

    Arguments:
        game: a semi-supervised game.
        x: images, shape (n, *shape).
        names: the name of each image; empty for none.
        labels: the true labels as indices, shape (n,), by which the accuracy is computed; None if they are unknown.
        seed: random seed of a classifier that uses random numbers.

    Returns:
        The result with the columns of a table as arrays of shape (n,): "image", the names, which is empty without `names`;
        "label", the names of the most probable labels; and for each label its probabilities, by the letter p and the label's
        name, such as "p7".
    """
    import numpy as np

    probabilities = tasks.classify(game, x, seed)
    predicted = probabilities.argmax(1).numpy()
    columns = {f"p{name}": column for name, column in zip(game.data.names, probabilities.T, strict=True)}
    text = f"{len(x)} labels"
    if labels is not None:
        text += f"\naccuracy: {100 * float((predicted == np.asarray(labels)).mean()):.1f} %"
    table = {"image": list(names), "label": np.array(game.data.names)[predicted], **columns}
    return TaskResult(text, {name: np.asarray(column) for name, column in table.items()}, printed=True)


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
    """Change one property of images and keep the rest of their z: one row per image, one column per change.

    A conditional game decodes z with other labels, or with one attribute flipped at a time: with each, or with those in
    `to`. An unconditional game moves z along the direction of one label or attribute: the mean z of labeled training images
    with it, minus the mean of those without.

    Arguments:
        game: a game with an encoder and a decoder.
        x: images, shape (n, *shape).
        y: labels or attributes of the images, for a conditional game.
        dataset: a function that returns the data set with the labeled training images.
        to: Labels or attributes to change to, separated by commas; by default all. An unconditional game needs one.
        scales: Multiples of the direction, for an unconditional game; by default -2, -1, 0, 1 and 2.
        examples: Number of labeled training images for the means.
        seed: random seed by which the training images are drawn, and of an implicit encoder's noise.

    Returns:
        The result with the arrays "x", the images, and "edited", shape (n, number of changes, *shape).
    """
    import torch

    edited, columns = edits(game, x, dataset, y, to, scales, examples, seed)
    images = torch.cat([tasks.reconstruct(game, x, seed, y)[:, None], edited], dim=1)
    text = f"{len(x)} images, edited\ncolumns: the original, its reconstruction, {columns}"
    figure = Figure("interpolations", {"left": x, "path_images": images, "right": None})
    return result(game, text, {"x": x, "edited": edited}, figure)


def edits(
    game: Game,
    x: Tensor,
    dataset: Callable[[], Dataset],
    y: Tensor | None = None,
    to: str | None = None,
    scales: list[float] | None = None,
    examples: int = 5000,
    seed: int = 0,
) -> tuple[Tensor, str]:
    """Returns the edited examples of `edit`, shape (n, number of changes, *shape), as networks return them, and the names of
    the changes, separated by commas.

    The arguments are those of `edit`.

    Raises:
        UserError: the game is conditional and `scales` are given, or unconditional and `to` is missing; or there is no such
            label or attribute.
    """
    from interalia.games.capabilities import Generates, Infers, require  # here: it imports torch

    require(game, Infers, "edit", Generates)
    at_least_one(examples=examples)
    if scales is not None and not all(isinstance(scale, int | float) for scale in scales):
        raise UserError(f"`scales` is {scales!r}, and it must be numbers; give for example `scales=[-1, 1]`.")
    if wrong := [scale for scale in scales or [] if not math.isfinite(scale)]:
        raise UserError(f"`scales` has {wrong[0]}, and it must be finite; give for example `scales=[-1, 1]`.")
    if game.data.condition:
        if scales:
            raise UserError(
                f"`scales` are for unconditional games, and this {type(game).__name__} is conditional on {game.data.y}; "
                f"leave them out."
            )
        chosen = list(range(game.data.condition)) if to is None else tasks.indices_of(game, to)
        if not chosen:
            raise UserError(f"`to` is empty; give one or several of: {', '.join(game.data.names)}.")
        edited = tasks.single_edits(game, x, y, seed)[:, chosen]
        columns = ", ".join(printable(game.data.names[j]) for j in chosen)
    else:
        if to is None:
            raise UserError(
                f"this {type(game).__name__} is unconditional; give the label or attribute whose direction z moves along, "
                f"with `to`."
            )
        scales = scales or list(SCALES)
        direction = tasks.direction(game, *labeled_examples(dataset(), to, examples, seed), seed)
        edited = tasks.shift(game, x, direction, scales, seed)
        columns = ", ".join(f"{scale:+g} {to}" for scale in scales)
    return edited, columns


def labeled_examples(dataset: Dataset, name: str, count: int, seed: int) -> tuple[Tensor, ArrayLike]:
    """Returns random training images, and a mask that is True for those that have a certain label or attribute.

    Arguments:
        dataset: the data set.
        name: the name of the label or the attribute.
        count: number of images; all if there are fewer.
        seed: random seed.

    Returns:
        The images, shape (n, *shape), and the mask, an array of bools, shape (n,).

    Raises:
        UserError: the data have no labels and no attributes, or none of that name.
    """
    from interalia.data.store import as_tensor

    train = dataset.train.labeled
    rows = train.rows(count, seed)
    attributes = [str(known) for known in dataset.attributes.get("names", ())]
    classes = list(dataset.classes) or [str(label) for label in range(dataset.labels)]
    if not attributes:
        dataset.check_labels("edit a run of other data")
    j = tasks.index_of([*attributes, *classes], name, "label or attribute")
    if j < len(attributes):
        values = dataset.attributes["train"][rows, j] > 0
    else:
        assert train.y is not None
        values = train.y[rows] == j - len(attributes)
    return as_tensor(train.x[rows]), values


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
    """Fill in a part of images (inpainting): encode, refine z on the known pixels, decode.

    The rows show the originals, the images with the hole, and the completed images.

    Arguments:
        game: a game with a decoder, of images.
        x: images, shape (n, *shape).
        y: labels or attributes of the images, for a conditional game.
        mask: The part to fill in: left, right, top or bottom (a half), or center (the middle quarter); or a picture of the
            images' size, white where they are known and black in the hole.
        refine_steps: Steps of gradient descent on the known pixels that refine z; 0 keeps the encoder's z.
        refine_lr: Learning rate of that descent.
        blend: Width of the transition from the hole into the known part, in pixels.
        seed: random seed of all random numbers, such as an implicit encoder's noise.

    Returns:
        The result with three arrays: "x", the images; "mask", 1 where pixels are known and 0 in the hole, shape (1, height,
        width); and "completed", the completed images, shape (n, *shape).
    """
    if len(game.data.shape) != 3:
        raise UserError("only images can be completed, and this game was not trained on images; use a game of images.")
    known = tasks.load_mask(game.data.shape, mask)
    filled = tasks.complete(game, x, known, refine_steps, refine_lr, blend, seed, y)
    arrays = {"x": x, "completed": filled}
    rows = {"sources": x, "translations": known * x + (1 - known) * 0.5, "backs": filled}
    text, others = f"{len(x)} images completed", {"mask": known}
    return result(game, text, arrays, Figure("cycles", rows), single_figures(filled), others)
