"""From a trained run to its figures and its page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from interalia import tasks
from interalia.conditionals import StandardNormal, Uniform
from interalia.errors import UserError
from interalia.games.capabilities import Generates, HasCodes, HasLevels, Infers
from interalia.reports import measuring, plots, rendering, showing
from interalia.reports.data import conditions, dataset_of, held_out, home
from interalia.tasks import verbs

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.games import Game
    from interalia.runs.loading import Trained

PAIRS = 8  # interpolations on the page
EDITS = 8  # images whose edits are on the page
MOST = 12  # edits of each
CYCLES = 20  # translations on the page, each way
POINTS = 2500  # of a plane


def make(trained: Trained) -> Path:
    """Figures, measures on the test split, and the page; answers the page's path."""
    measuring.evaluate(trained)
    return page(trained)


def page(trained: Trained) -> Path:
    """Draws the figures that the run's game can give, and writes report.html."""
    folder = home(trained)
    try:
        draw(trained, dataset_of(trained))
    except UserError as error:  # the data may be gone; the page still tells what the folder holds
        print(f"{error} The figures are left as they are.", file=sys.stderr)
    return rendering.write(folder.path)


def draw(trained: Trained, dataset: Dataset) -> None:
    """The figures of a run, from the test split where originals are shown."""
    game, figures = trained.game, home(trained).figures
    if game.data.other is not None:
        draw_translations(game, dataset, figures)
    elif dataset.is_image and isinstance(game, Generates):
        draw_images(game, dataset, figures)
    elif dataset.shape == (2,) and isinstance(game, Generates):
        infers = isinstance(game, Infers)
        real, y = held_out(dataset, POINTS), conditions(game, dataset, POINTS)
        made = tasks.generate(game, len(real), y=y, sample=True)  # as they are held against the data
        means = None if dataset.mixture is None else dataset.mixture.means
        z = tasks.encode(game, real, sample=True, y=y) if infers and trained.run.latent_dim == 2 else None
        again = tasks.reconstruct(game, real, y=y) if infers else None
        plots.plane(real, made, figures / "plane.png", means, z, again)


def draw_images(game: Game, dataset: Dataset, figures: Path) -> None:
    """Samples, and what the game can show beside them."""
    assert isinstance(game, Generates)
    by_label = game.data.condition > 0 and not game.data.attributes
    shown = {"samples": verbs.generate(game, None if by_label else 100)}
    if game.prior.size == 2 and isinstance(game.prior, StandardNormal | Uniform):
        shown["manifold"] = verbs.manifold(game)
    if isinstance(game, Infers):
        x, y = held_out(dataset, 40), conditions(game, dataset, 40)
        shown["reconstructions"] = verbs.reconstruct(game, x, y)
        if isinstance(game, HasLevels):
            shown["reconstructions_lower"] = verbs.reconstruct(game, x, level="lower")
        if y is not None:
            edited = tasks.single_edits(game, x[:EDITS], y[:EDITS])[:, :MOST]
            plots.interpolations(x[:EDITS], edited, None, figures / "edits.png")
        count = min(PAIRS, len(dataset.test) // 2)
        ends, y = held_out(dataset, 2 * count, seed=1), conditions(game, dataset, 2 * count, seed=1)
        if count:
            shown["interpolations"] = verbs.interpolate(game, ends, y)
            shown["interpolations_spherical"] = verbs.interpolate(game, ends, y, interpolation="slerp")
    drawn = {name: one.figure for name, one in shown.items()}
    if isinstance(game, HasCodes):
        drawn |= {f"traversal_{code}": part for code, part in verbs.traverse(game).parts.items()}
    for name, figure in drawn.items():
        if figure is not None:
            showing.draw(figure, figures / f"{name}.png")


def draw_translations(game: Game, dataset: Dataset, figures: Path) -> None:
    """Held-out images of each domain, what the game makes of them, and what it makes of that in turn."""
    assert dataset.other is not None
    count = CYCLES if dataset.is_image else POINTS
    a, b = held_out(dataset, count), held_out(dataset.other, count)
    for to, x, truths in (("b", a, b), ("a", b, a)):
        found = verbs.translate(game, x, to)  # type: ignore[arg-type]
        if found.figure is not None:
            known = truths if dataset.paired else None
            plots.cycles(**found.figure.arguments, truths=known, path=figures / f"to_{to}.png")
        elif dataset.shape == (2,):
            plots.plane(truths, found.arrays["translation"], figures / f"plane_to_{to}.png")
