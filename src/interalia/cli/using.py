"""generate, encode, reconstruct, interpolate, traverse, manifold, translate, neighbours, classify: a trained game at work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from interalia.cli.asking import (
    Device,
    Images,
    LevelName,
    Out,
    RunFolder,
    Seed,
    Told,
    TrustGenerator,
    app,
    conditions,
    figure,
    given_images,
    inputs,
    opened,
    picture,
    positive,
    save_arrays,
    say,
)
from interalia.disk import writing
from interalia.errors import UserError


@app.command
def generate(
    run: RunFolder,
    *,
    count: int | None = None,
    label: str | None = None,
    told: Told = None,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
    separate: bool = False,
    sample: bool = False,
    trust_generator: TrustGenerator = False,
) -> None:
    """Draw samples and write them as one picture, or as an array (--out FILE.npz), or one file each (--separate).

    They are means of p(x | z), z drawn, which is what people look at; --sample is for measuring.

    Parameters
    ----------
    count
        How many samples; by default 64, or of a conditional game 10 of each label, a row a label.
    told
        The attributes of all samples, with commas between them, of a game that was told attributes; by default each is drawn
        as often as the training data has it.
    label
        The label of all samples, by its name in the data, of a game that was told labels.
    separate
        Write each sample as a file of its own into the folder --out.
    sample
        Draw from p(x | z), with the noise that the game's likelihood has, in place of its mean: zeros and ones of a
        Bernoulli likelihood, as they are held against data.
    """
    from interalia import tasks
    from interalia.reports import plots

    positive("count", 64 if count is None else count)
    trained = opened(run, device, trust_generator)
    if told is not None and label is not None:
        raise UserError("--label and --told say the same thing twice; leave one of them out.")
    y = None if told is None else conditions(trained.game, told, count or 64)
    by_label = (
        told is None
        and trained.game.data.condition
        and not trained.game.data.attributes
        and count is None
        and label is None
    )
    how: Literal["mean", "sample"] = "sample" if sample else "mean"
    x = (
        tasks.by_label(trained.game, 10, seed, how)
        if by_label
        else tasks.generate(trained.game, count or 64, seed, label, y, how)
    )
    if separate:
        if x.ndim != 4:
            raise UserError("vectors cannot be written as pictures; leave out --separate and give --out FILE.npz.")
        folder = out or figure(trained, run, "generated")
        for i, image in enumerate(x):
            plots.single(image.numpy(), folder / f"{i:06d}.png")
        say(f"{len(x)} samples: {folder}")
        return
    path = picture(out or figure(trained, run, "generated.png" if x.ndim == 4 else "generated.npz"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, x=x)
    else:
        plots.grid(x.numpy(), path, columns=10 if by_label else None)
    say(f"{len(x)} samples: {path}")


@app.command
def reconstruct(
    run: RunFolder,
    images: Images = None,
    *,
    count: int = 40,
    level: LevelName = "upper",
    project: int = 0,
    rate: float = 0.05,
    told: Told = None,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
    trust_generator: TrustGenerator = False,
) -> None:
    """Encode and decode images: originals above, reconstructions below, and how far apart they are.

    Parameters
    ----------
    count
        How many held-out images, where none are given.
    project
        So many steps of gradient descent on the reconstruction refine the encoder's z, or find one where there is no encoder.
    rate
        Of that descent.
    """
    from interalia import tasks
    from interalia.games.capabilities import Generates, Infers, require
    from interalia.metrics.inference import reconstruction
    from interalia.reports import plots

    positive("count", count)
    trained = opened(run, device, trust_generator)
    if project:
        positive("project", project)
        require(trained.game, Generates, "project")
        if level == "lower":
            raise UserError("--project descends in z, the upper level; leave out --level.")
    else:
        require(trained.game, Infers, "reconstruct", Generates)
    x, y = inputs(trained, images, count, seed=0, told=told)
    if project:
        z = tasks.project(trained.game, x, project, rate, seed=seed, y=y)
        x_hat = tasks.decode(trained.game, z, seed, y=y)
    else:
        x_hat = tasks.reconstruct(trained.game, x, seed, y, level)
    path = picture(out or figure(trained, run, "reconstructed.png" if x.ndim == 4 else "reconstructed.npz"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, x=x, x_hat=x_hat)
    else:
        plots.pairs(x.numpy(), x_hat.numpy(), path)
    say(f"{len(x)} reconstructions: {path}")
    if len(x) > 1:
        measured = reconstruction(x, x_hat)
        say(
            f"mean L2 error {measured.error:.3f}, {measured.ratio:.3f} of what another image's reconstruction "
            f"gives ({measured.shuffled:.3f})" + (f"; PSNR {measured.psnr:.1f} dB" if x.ndim == 4 else "")
        )


@app.command
def interpolate(
    run: RunFolder,
    images: Annotated[
        list[Path] | None,
        Parameter(help="An even number of images, the first half led to the second; by default held-out ones."),
    ] = None,
    *,
    pairs: int = 8,
    steps: int = 9,
    how: Literal["linear", "spherical"] = "linear",
    level: LevelName = "upper",
    told: Told = None,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
    trust_generator: TrustGenerator = False,
) -> None:
    """Walk from one image's latent to another's, with the originals at both ends.

    Parameters
    ----------
    pairs
        How many pairs of held-out images, where none are given.
    steps
        Points on the way, both ends included.
    how
        On a straight line, or on the arc that keeps the latent's length.
    """
    from interalia import tasks
    from interalia.games.capabilities import Generates, Infers, require
    from interalia.reports import plots

    positive("pairs", pairs)
    trained = opened(run, device, trust_generator)
    require(trained.game, Infers, "interpolate", Generates)
    x, y = inputs(trained, images, 2 * pairs, seed, told)
    if len(x) < 2:
        raise UserError(f"an interpolation needs 2 images, and {len(x)} was given; give one more.")
    if len(x) % 2:
        raise UserError(
            f"{len(x)} images do not make pairs (the first half is led to the second); give one more or fewer."
        )
    half = len(x) // 2
    a, b = x[:half], x[half : 2 * half]
    way = tasks.interpolate(
        trained.game, a, b, steps, how, seed, None if y is None else (y[:half], y[half : 2 * half]), level
    )
    path = picture(out or figure(trained, run, "interpolated.png" if x.ndim == 4 else "interpolated.npz"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, a=a, way=way, b=b)
    else:
        plots.interpolations(a.numpy(), way.numpy(), b.numpy(), path)
    say(f"{half} interpolations: {path}")


@app.command
def traverse(
    run: RunFolder,
    *,
    rows: int = 10,
    columns: int = 10,
    low: float = -2.0,
    high: float = 2.0,
    dimensions: int = 6,
    seed: Seed = 0,
    out: Annotated[
        Path | None, Parameter(help="A folder for one picture a code, or a .png or .npz file for all of them.")
    ] = None,
    device: Device = "auto",
    trust_generator: TrustGenerator = False,
) -> None:
    """Vary one code of z at a time: in each row of a picture the rest of z is fixed, along it the code takes its values.

    A game whose z has no codes shows its first few dimensions in the same way.

    Parameters
    ----------
    rows
        How many settings of the rest of z.
    columns
        How many values of a continuous code; a categorical one has a column a category.
    low
        The first value of a continuous code.
    high
        The last.
    dimensions
        How many dimensions are shown of a z without codes.
    """
    from interalia import tasks
    from interalia.reports import plots

    for name, value in (("rows", rows), ("columns", columns), ("dimensions", dimensions)):
        positive(name, value)
    trained = opened(run, device, trust_generator)
    names = tasks.directions(trained.game, dimensions)
    found = {name: tasks.traverse(trained.game, i, rows, columns, low, high, seed) for i, name in enumerate(names)}
    images = len(trained.game.data.shape) == 3
    path = out or figure(trained, run, "traversals" if images else "traversals.npz")
    if path.suffix == ".npz" or not images:
        save_arrays(path, **found)
    elif not path.suffix:
        for name, block in found.items():
            plots.traversals([block.numpy()], path / f"{name}.png")
    else:
        plots.traversals([block.numpy() for block in found.values()], picture(path))
    say(f"{len(found)} traversals, {', '.join(found)}: {path}")


@app.command
def manifold(
    run: RunFolder,
    *,
    side: int = 20,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
    trust_generator: TrustGenerator = False,
) -> None:
    """Decode a grid over the whole plane of a z of two dimensions, evenly spaced in the prior's probability.

    Parameters
    ----------
    side
        How many places along each dimension.
    """
    from interalia import tasks
    from interalia.reports import plots

    positive("side", side)
    trained = opened(run, device, trust_generator)
    x = tasks.manifold(trained.game, side, seed)
    images = len(trained.game.data.shape) == 3
    path = picture(out or figure(trained, run, "manifold.png" if images else "manifold.npz"))
    if path.suffix == ".npz" or not images:
        save_arrays(path, x=x)
    else:
        plots.grid(x.flatten(0, 1).numpy(), path, columns=side)
    say(f"The plane of z, {side}x{side}: {path}")


@app.command
def translate(
    run: RunFolder,
    images: Annotated[
        list[Path] | None, Parameter(help="Images, or folders of them; by default held-out ones of the other domain.")
    ] = None,
    *,
    to: Literal["a", "b"] = "b",
    count: int = 20,
    out: Out = None,
    device: Device = "auto",
    separate: bool = False,
    trust_generator: TrustGenerator = False,
) -> None:
    """Translate images into another domain: originals above, translations below, and below them the way back.

    Parameters
    ----------
    to
        The domain to translate into: b, of the run's target, or a, of its data.
    count
        How many held-out images, where none are given.
    separate
        Write each translation as a file of its own into the folder --out.
    """
    from interalia import reports, tasks
    from interalia.games.capabilities import Translates, require
    from interalia.reports import plots

    positive("count", count)
    trained = opened(run, device, trust_generator)
    require(trained.game, Translates, "translate")
    if images:
        x = given_images(trained, images)
    else:
        dataset = reports.dataset_of(trained)
        source = dataset if to == "b" or dataset.other is None else dataset.other
        x = reports.held_out(source, count)
    fake = tasks.translate(trained.game, x, to)
    if separate:
        if x.ndim != 4:
            raise UserError("vectors cannot be written as pictures; leave out --separate and give --out FILE.npz.")
        folder = out or figure(trained, run, f"translated_to_{to}")
        for i, image in enumerate(fake):
            plots.single(image.numpy(), folder / f"{i:06d}.png")
        say(f"{len(x)} translations: {folder}")
        return
    back = tasks.translate(trained.game, fake, "a" if to == "b" else "b")
    path = picture(out or figure(trained, run, f"translated_to_{to}.{'png' if x.ndim == 4 else 'npz'}"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, x=x, translation=fake, back=back)
    else:
        plots.cycles(x.numpy(), fake.numpy(), back.numpy(), path)
    say(f"{len(x)} translations: {path}")
    say(f"mean distance of the way back, a number: {float((x - back).abs().mean()):.3f}")


@app.command
def encode(
    run: RunFolder,
    images: Annotated[list[Path], Parameter(help="Images, or folders of them.")],
    *,
    out: Path,
    sample: bool = False,
    told: Told = None,
    seed: Seed = 0,
    device: Device = "auto",
    trust_generator: TrustGenerator = False,
) -> None:
    """Infer latents: an .npz with z, shape (n, latent), the encoder's last hidden layer, and the files' names.

    Parameters
    ----------
    out
        The .npz file to write.
    sample
        Draw z from q(z|x) instead of taking its mean.
    """
    from interalia import tasks
    from interalia.data.files import expand
    from interalia.games.capabilities import Infers, require

    trained = opened(run, device, trust_generator)
    require(trained.game, Infers, "encode")
    x, y = inputs(trained, images, 0, seed, told)
    z = tasks.encode(trained.game, x, seed, "sample" if sample else "mean", y)
    save_arrays(out, z=z, features=tasks.features(trained.game, x, y=y), files=[str(path) for path in expand(images)])
    say(f"{len(z)} latents of {z.shape[1]} dimensions: {out}")


@app.command
def neighbours(
    run: RunFolder,
    images: Images = None,
    *,
    nearest: int = 8,
    among: int = 10_000,
    told: Told = None,
    count: int = 10,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "auto",
    trust_generator: TrustGenerator = False,
) -> None:
    """Find the training images whose z is nearest to an image's: a row an image, its neighbours beside it.

    Parameters
    ----------
    nearest
        How many neighbours of each image.
    among
        Among how many training images, drawn by seed.
    count
        How many held-out images, where none are given.
    """
    import torch

    from interalia import reports, tasks
    from interalia.data.store import as_tensor
    from interalia.games.capabilities import Infers, require
    from interalia.reports import plots

    for name, value in (("count", count), ("among", among), ("nearest", nearest)):
        positive(name, value)
    trained = opened(run, device, trust_generator)
    require(trained.game, Infers, "neighbours")
    x, y = inputs(trained, images, count, seed, told)
    dataset = reports.dataset_of(trained)
    rows = (
        torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed))[:among].sort().values.numpy()
    )
    if nearest > len(rows):
        raise UserError(
            f"--nearest is {nearest}, and it is looked among {len(rows)} training images; lower it to {len(rows)} or less"
            f"{', or raise --among' if len(rows) < len(dataset.train) else ''}."
        )
    others = as_tensor(dataset.train.x[rows])
    values = dataset.conditions("train", trained.game.data.attributes) if trained.game.data.condition else None
    pair = None if values is None or y is None else (y, torch.from_numpy(values[rows]))
    found = tasks.neighbours(trained.game, x, others, nearest, seed, pair)
    path = picture(out or figure(trained, run, "neighbours.png" if x.ndim == 4 else "neighbours.npz"))
    if path.suffix == ".npz" or x.ndim != 4:
        save_arrays(path, x=x, neighbours=others[found], rows=rows[found.numpy()])
    else:
        plots.interpolations(x.numpy(), others[found].numpy(), None, path)
    say(f"{len(x)} images with {nearest} neighbours of {len(rows)}: {path}")
    if dataset.test.y is not None and dataset.train.y is not None and not images:
        own = dataset.test.y[reports.rows(dataset, count, seed)]
        share = float((dataset.train.y[rows][found.numpy()] == own[:, None]).mean())
        say(f"neighbours of the same label: {100 * share:.1f} %")


@app.command
def classify(
    run: RunFolder,
    images: Images = None,
    *,
    count: int = 40,
    seed: Seed = 0,
    out: Annotated[Path | None, Parameter(help="A .csv file: a row an image, its label and each probability.")] = None,
    device: Device = "auto",
    trust_generator: TrustGenerator = False,
) -> None:
    """Read the labels of images by a semi-supervised game.

    Parameters
    ----------
    count
        How many held-out images, where none are given.
    """
    import csv

    from interalia import reports, tasks
    from interalia.data.files import expand

    positive("count", count)
    trained = opened(run, device, trust_generator)
    x, _ = inputs(trained, images, count, seed, None)
    probabilities = tasks.classify(trained.game, x, seed)
    read = probabilities.argmax(1)
    labels = [trained.game.data.names[j] for j in read.tolist()]
    names = [str(path) for path in expand(images)] if images else []
    if len(names) != len(x):  # held-out images, or an array of many
        names = [str(row) for row in range(len(x))]
    if out is not None:
        if out.suffix != ".csv":
            raise UserError(f"--out is {out}, and labels are written as .csv; give a name that ends in .csv.")
        with writing(out) as file:
            table = csv.writer(file)
            table.writerow(["image", "label", *(f"p{label}" for label in trained.game.data.names)])
            for name, label, row in zip(names, labels, probabilities.tolist(), strict=True):
                table.writerow([name, label, *(f"{p:.6f}" for p in row)])
        say(f"{len(x)} labels: {out}")
    else:
        for name, label, p in zip(names, labels, probabilities.max(1).values.tolist(), strict=True):
            say(f"{name}: {label} ({100 * p:.1f} %)")
    if not images:
        dataset = reports.dataset_of(trained)
        if dataset.test.y is not None:
            right = float((read.numpy() == dataset.test.y[reports.rows(dataset, count, seed)]).mean())
            say(f"right: {100 * right:.1f} %")
