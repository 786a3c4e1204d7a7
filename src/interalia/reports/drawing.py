"""Draws the figures of a trained run, such as samples and reconstructions, and writes its page."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from interalia import tasks
from interalia.errors import DataWarning, UserError
from interalia.games.capabilities import Generates, HasCodes, HasLevels, Infers
from interalia.reports import closeups, measuring, plots, rendering, showing
from interalia.reports.data import dataset_of, folder_of, held_out_conditions, held_out_examples
from interalia.tasks import verbs
from interalia.tasks.codes import has_plane
from interalia.tasks.result import TaskResult
from interalia.tasks.units import shown as shown_as

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.games import Game
    from interalia.runs.loading import Loaded

PAIRS = 8  # interpolated pairs
EDITS = 8  # images that are edited
MOST = 12  # edits of an image
CYCLES = 20  # translations in each direction
POINTS = 2500  # in a scatter plot
ROWS = 10  # of a table


def make(trained: Loaded) -> Path:
    """Evaluates a run on the test split, draws its figures and writes its page ``report.html``. Returns the page's path."""
    measuring.evaluate(trained)
    return page(trained)


def report(trained: Loaded) -> Path:
    """Writes the page ``report.html`` of a run with its metrics and figures, as `make` does, and returns its path."""
    return make(trained)


def page(trained: Loaded) -> Path:
    """Draws the figures of a run and writes its page ``report.html``, without a new evaluation. Returns the page's path.

    If the data cannot be loaded, a warning says why, and the figures stay as they are.
    """
    folder = folder_of(trained)
    try:
        draw(trained, dataset_of(trained))
    except UserError as error:  # without data, the page still shows what the folder has
        warnings.warn(f"{error} The figures stay as they are.", DataWarning, stacklevel=2)
    return rendering.write(folder.path)


def draw(trained: Loaded, dataset: Dataset) -> None:
    """Draws the figures of a run as PNG files into the folder of the run's figures; `dataset` are the run's data.

    For two domains they are those of `draw_translations`, for signals, images and volumes those of
    `draw_images`. For points in the plane it is
    ``plane.png``: scatter plots of test data with samples and, with an encoder, their reconstructions and, if z has two
    dimensions, latents. For tables ``rows-*.csv`` are written, by `write_rows`. For a game with encoder and decoder there
    are, for any data, those of `closeups.draw_inference` too.
    """
    game, figures = trained.game, folder_of(trained).figures
    if isinstance(game, Generates) and isinstance(game, Infers) and game.data.other is None:
        closeups.draw_inference(game, dataset, figures)
    if game.data.other is not None:
        draw_translations(game, dataset, figures)
    elif len(dataset.shape) > 1 and isinstance(game, Generates):
        draw_images(game, dataset, figures)
    elif dataset.units and dataset.units.columns and isinstance(game, Generates):
        write_rows(game, dataset, figures)
    elif dataset.shape == (2,) and isinstance(game, Generates):
        infers = isinstance(game, Infers)
        real, y = held_out_examples(dataset, POINTS), held_out_conditions(game, dataset, POINTS)
        made = tasks.generate(game, len(real), 0, y=y, sample=True)  # draws, as data are
        means = None if dataset.mixture is None else dataset.mixture.means
        z = tasks.encode(game, real, sample=True, y=y) if infers and trained.run.latent_dim == 2 else None
        x_hat = tasks.reconstruct(game, real, y=y) if infers else None
        prior = None if z is None else tasks.sample_latents(game, len(z), 1)
        plots.scatter(real, made, figures / "plane.png", means, z, x_hat, prior)


def write_rows(game: Game, dataset: Dataset, figures: Path) -> None:
    """Writes ten rows of a table as .csv files in the folder `figures`: of test data, samples and, with an encoder,
    reconstructions of the former: ``rows-1-data.csv``, ``rows-2-samples.csv`` and ``rows-3-reconstructions.csv``.
    """
    x, y = held_out_examples(dataset, ROWS), held_out_conditions(game, dataset, ROWS)
    rows = {"1-data": x, "2-samples": tasks.generate(game, len(x), 0, y=y)}
    if isinstance(game, Infers):
        rows["3-reconstructions"] = tasks.reconstruct(game, x, y=y)
    for name, values in rows.items():
        showing.write(TaskResult("", tasks.to_columns(game, values)), figures / f"rows-{name}.csv")


def draw_images(game: Game, dataset: Dataset, figures: Path) -> None:
    """Draws samples of a game of images, and the other pictures that it can make, as PNG files in the folder `figures`.

    These are a latent grid if z has two dimensions; reconstructions and interpolations of test images if there is an encoder,
    and edits if the game is conditional, too; a traversal of each code if z has codes; and the figures that
    `closeups.draw_near_data` draws.
    """
    assert isinstance(game, Generates)
    by_label = game.data.condition > 0 and not game.data.attributes
    shown = {"samples": verbs.generate(game, None if by_label else 100)}
    if has_plane(game.prior):
        shown["manifold"] = verbs.manifold(game)
    if isinstance(game, Infers):
        x, y = held_out_examples(dataset, 40), held_out_conditions(game, dataset, 40)
        shown["reconstructions"] = verbs.reconstruct(game, x, y)
        if isinstance(game, HasLevels):
            shown["reconstructions_lower"] = verbs.reconstruct(game, x, level="lower")
        if y is not None:
            edited = tasks.single_edits(game, x[:EDITS], y[:EDITS])[:, :MOST]
            plots.interpolations(shown_as(game, x[:EDITS]), shown_as(game, edited), None, figures / "edits.png")
        count = min(PAIRS, len(dataset.test) // 2)
        ends, y = held_out_examples(dataset, 2 * count, seed=1), held_out_conditions(game, dataset, 2 * count, seed=1)
        if count:
            shown["interpolations"] = verbs.interpolate(game, ends, y)
            shown["interpolations_spherical"] = verbs.interpolate(game, ends, y, interpolation="slerp")
    by_name = {name: one.figure for name, one in shown.items()}
    if isinstance(game, HasCodes):
        by_name |= {f"traversal_{code}": part for code, part in verbs.traverse(game).parts.items()}
    for name, figure in by_name.items():
        if figure is not None:
            showing.draw(figure, figures / f"{name}.png")
    closeups.draw_near_data(game, dataset, figures)


def draw_translations(game: Game, dataset: Dataset, figures: Path) -> None:
    """Draws test examples of two domains, their translations, and the reconstructions from these, for each direction.

    Images are one PNG file in the folder `figures` for each direction, ``to_b.png`` and ``to_a.png``; points in the plane are
    scatter plots of translations and true data, without reconstructions.
    """
    assert dataset.other is not None
    count = CYCLES if len(dataset.shape) > 1 else POINTS
    a, b = held_out_examples(dataset, count), held_out_examples(dataset.other, count)
    for to, x, truths in (("b", a, b), ("a", b, a)):
        found = verbs.translate(game, x, to)  # type: ignore[arg-type]
        if found.figure is not None:
            known = shown_as(game, truths) if dataset.paired else None
            plots.cycles(**found.figure.arguments, truths=known, path=figures / f"to_{to}.png")
        elif dataset.shape == (2,):
            plots.scatter(truths, found.arrays["translation"], figures / f"plane_to_{to}.png")
