"""Draws arrays as PNG files: image grids, pairs, interpolations, curves and scatter plots.

Images are floats in [0, 1] or bytes, shape (n, channels, height, width), with 1, 3 or 4 channels (the fourth is opacity).
Signals, (n, channels, length), volumes, (n, channels, depth, height, width), and images of other numbers of channels are
drawn as lines, slices and mosaics of channels, see `interalia.reports.pictures`.
Small images are enlarged by whole factors without smoothing, so that each pixel of an 8x8 digit is visible. Every function
writes its file atomically and returns the path.

Colors are the palette of Okabe and Ito, which is safe for color-blind readers. A player of a game, or a distribution of pairs
that the critic compares, has the same color in all figures.
"""

from __future__ import annotations

import itertools
import logging
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from interalia.disk import writing
from interalia.errors import UserError
from interalia.reports import pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bitmap = NDArray[np.uint8]  # (height, width, 3)

BACKGROUND = (176, 176, 176)  # between images; neither black nor white, as image borders often are
GROUPS = 10  # of examples, by the spread of their posterior
TILE = 72  # approximate size of an enlarged image, in screen pixels
DPI = 144

VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
PLAYERS = {"critic": VERMILLION, "generator": BLUE, "encoder": SKY, "decoder": BLUE, "autoencoder": BLUE}
JOINTS = {"q": GREEN, "data": GREEN, "posterior": GREEN, "p": PURPLE, "model": PURPLE, "prior": PURPLE}
MEANINGS = {"q": "q: data, inferred latents", "p": "p: samples, prior's latents", "data": "data", "model": "samples"}


# images


def grid(
    images: ArrayLike, path: Path | str, columns: int | None = None, gap: int = 1, scale: int | None = None
) -> Path:
    """Draws images in rows, from left to right and from top to bottom.

    Arguments:
        images: shape (n, channels, height, width), in [0, 1]; or signals or volumes.
        path: the PNG file to write, which is returned.
        columns: images in a row; by default so many that the picture is about square.
        gap: space between images, in image pixels; a single image has no border.
        scale: whole factor of enlargement; by default one that makes small images readable.

    Raises:
        UserError: images of another shape, no images, or the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     grid(np.zeros((64, 1, 8, 8)), Path(folder, "samples.png")).name
        'samples.png'
    """
    x = _checked(images)
    n, channels = x.shape[:2]
    first, scale = _tiles(x[:1], scale)
    height, width = first.shape[1:3]
    if columns is None:
        columns = math.ceil(math.sqrt(n * height / width))
    columns = min(max(columns, 1), n)
    space = _space(gap, scale)
    border, down, right = space if n > 1 else 0, height + space, width + space
    size = math.ceil(n / columns) * down - space + 2 * border, columns * right - space + 2 * border
    canvas = np.full((*size, min(channels, 3)), BACKGROUND[0], np.uint8)
    for i in range(n):  # one after the other, so that no second picture is in memory
        top, left = border + i // columns * down, border + i % columns * right
        canvas[top : top + height, left : left + width] = _tiles(x[i : i + 1], scale)[0][0, ..., : canvas.shape[2]]
    return _write_picture(canvas[..., 0] if channels == 1 else canvas, path)


def save_image(image: ArrayLike, path: Path | str) -> Path:
    """Saves one image in its own channels and size; an opacity channel is kept.

    Arguments:
        image: shape (channels, height, width), in [0, 1], with 1, 3 or 4 channels; or a signal, a volume or an image of other
            channels, which is drawn.
        path: the PNG file to write, which is returned.
    """
    image = pictures.as_images(np.asarray(image)[None], SERIES)[0]
    x = (np.asarray(image, dtype=np.float64).clip(0, 1) * 255).round().astype(np.uint8)
    return _write_picture(x[0] if len(x) == 1 else x.transpose(1, 2, 0), path)


def pairs(originals: ArrayLike, reconstructions: ArrayLike, path: Path | str, columns: int = 10) -> Path:
    """Draws images, each with its reconstruction below, `columns` pairs beside each other; further pairs follow below these.

    `originals` and `reconstructions` have the same shape (n, channels, height, width). The PNG file is `path`.

    Raises:
        UserError: the two differ in shape, or an error of `grid`.
    """
    return _blocks({"originals": originals, "reconstructions": reconstructions}, path, columns)


def cycles(
    sources: ArrayLike,
    translations: ArrayLike,
    backs: ArrayLike,
    path: Path | str,
    truths: ArrayLike | None = None,
    columns: int = 10,
) -> Path:
    """Draws images of one domain, and below each its translation, the reconstruction from that, and the true counterpart.

    These are `sources`, `translations`, `backs` and `truths`, all of shape (n, channels, height, width); `truths` is None if
    the counterparts are unknown. `columns` images with theirs are beside each other, the next ones follow below. The PNG file
    is `path`.

    Raises:
        UserError: they differ in shape, or an error of `grid`.
    """
    known = {} if truths is None else {"truths": truths}
    return _blocks({"sources": sources, "translations": translations, "backs": backs, **known}, path, columns)


def traversals(blocks: Sequence[ArrayLike], path: Path | str) -> Path:
    """Draws a block of images for each code of a game such as InfoGAN, one block below the other.

    Along each row of a block, only its code varies.

    Arguments:
        blocks: one array for each code, of shape (rows, columns, channels, height, width).
        path: the PNG file to write, which is returned.

    Raises:
        UserError: a block has another shape, or an error of `grid`.
    """
    parts = []
    for block in blocks:
        tiles, scale = _tile_rows(block, "traversal has", "rows, columns")
        space = _space(1, scale)
        parts.append(_with_border(_stacked([_side_by_side(row, space) for row in tiles], space), space))
    return _write_picture(_stacked(parts, 2 * space), path)


def interpolations(left: ArrayLike, path_images: ArrayLike, right: ArrayLike | None, path: Path | str) -> Path:
    """Draws a row of images for each pair of originals: the first, the decoded points between the two, the last.

    Originals have a green frame. Without `right`, a row is an original and the images made from it.

    Arguments:
        left: first originals, shape (n, channels, height, width).
        path_images: the decoded images of each row, shape (n, steps, channels, height, width).
        right: last originals, shape (n, channels, height, width), or None.
        path: the PNG file to write, which is returned.

    Raises:
        UserError: shapes that do not fit each other, or an error of `grid`.
    """
    bounds = pictures.limits([np.asarray(x) for x in (left, path_images, right) if x is not None])
    between, _ = _tile_rows(path_images, "interpolations have", "n, steps", np.ndim(left) + 1, bounds)
    starts, scale = _tiles(left, bounds=bounds)
    ends, _ = _tiles(left if right is None else right, bounds=bounds)
    _check_same_size(left=starts, right=ends, interpolations=between[:, 0])
    space, frame = _space(1, scale), max(2, scale // 2)
    green = (0, 158, 115)
    rows = []
    for start, points, end in zip(starts, between, ends, strict=True):
        way = _with_border(_side_by_side(points, space), frame)  # as high as the framed originals
        last = [] if right is None else [_with_border(end, frame, green)]
        rows.append(_side_by_side([_with_border(start, frame, green), way, *last], 2 * space))
    return _write_picture(_with_border(_stacked(rows, space), space), path)


def _blocks(rows: Mapping[str, ArrayLike], path: Path | str, columns: int) -> Path:
    """Writes one picture of several sequences of images, of which corresponding images stand below each other.

    The picture is broken into blocks. The first block shows the first `columns` images of every sequence, a line for each
    sequence; the block below it shows the next `columns` images of every sequence, and so on.

    Arguments:
        rows: name of a sequence, for error messages -> images, shape (n, channels, height, width), with the same n.
        path: the file that is written.
        columns: the number of images in a line.

    Returns:
        The path of the written file.
    """
    bounds = pictures.limits([np.asarray(x) for x in rows.values()])
    above, scales = zip(*(_tiles(x, bounds=bounds) for x in rows.values()), strict=True)
    _check_same_size(**dict(zip(rows, above, strict=True)))
    scale, columns = scales[0], max(columns, 1)
    space, thin = _space(2, scale), _space(1, scale) // 4
    starts = range(0, len(above[0]), columns)
    blocks = [_stacked([_side_by_side(row[i : i + columns], space) for row in above], thin) for i in starts]
    return _write_picture(_with_border(_stacked(blocks, 2 * space), space), path)


def _tiles(
    images: ArrayLike, scale: int | None = None, bounds: tuple[float, float] | None = None
) -> tuple[NDArray[np.uint8], int]:
    """Returns images enlarged, as RGB bytes of shape (n, h, w, 3), and the factor of enlargement.

    `images` have the shape (n, channels, height, width); they are floats in [0, 1] or bytes. The factor is `scale`, or by
    default one that makes small images readable. Images with an opacity channel are drawn over a checkerboard. `bounds` are
    the numbers at the bottom and the top of the charts of signals; by default the least and the largest in `images`.
    """
    x = _checked(images, bounds)
    x = x / 255 if np.issubdtype(x.dtype, np.integer) else x.astype(np.float64)
    x = np.nan_to_num(x, nan=0.5, posinf=1.0, neginf=0.0).clip(0, 1).transpose(0, 2, 3, 1)
    if scale is None:
        scale = max(1, round(TILE / math.sqrt(x.shape[1] * x.shape[2])))
    if x.shape[3] < 4:
        x = np.rint(x * 255).astype(np.uint8)
    x = x.repeat(scale, axis=1).repeat(scale, axis=2)
    if x.shape[3] == 4:
        rows, columns = np.indices(x.shape[1:3]) // 4
        checkers = np.where((rows + columns) % 2, 0.9, 0.7)[..., None]  # the background of transparent pixels
        x = np.rint((x[..., 3:] * x[..., :3] + (1 - x[..., 3:]) * checkers) * 255).astype(np.uint8)
    return (x.repeat(3, axis=3) if x.shape[3] == 1 else x), scale


def _checked(images: ArrayLike, bounds: tuple[float, float] | None = None) -> NDArray[Any]:
    """Returns images, or the pictures of signals or volumes, as an array of shape (n, channels, height, width).

    `bounds` are those of the charts of signals, as in `_tiles`.

    Raises:
        UserError: they have another shape, or n is 0.
    """
    x = np.asarray(images)
    x = pictures.as_images(x, SERIES, bounds) if 0 not in x.shape else x
    if x.ndim != 4 or x.shape[1] not in (1, 3, 4) or 0 in x.shape:
        raise UserError(
            f"the images have the shape {x.shape}; give at least one, as an array (n, channels, height, width) with "
            f"1, 3 or 4 channels."
        )
    return x


def _tile_rows(
    images: ArrayLike, what: str, axes: str, ndim: int = 0, bounds: tuple[float, float] | None = None
) -> tuple[NDArray[np.uint8], int]:
    """Returns rows of images enlarged, as RGB bytes of shape (rows, columns, h, w, 3), and the factor of enlargement.

    `images` have the shape (rows, columns, channels, height, width). The error message for another shape begins with `what`
    ("interpolations have") and names the first two axes by `axes`. `ndim` is the number of axes that they must have, 0 for
    any; `bounds` are those of the charts of signals, as in `_tiles`.
    """
    x = np.asarray(images)
    if x.ndim != (ndim or x.ndim) or not 4 <= x.ndim <= 6:
        raise UserError(f"the {what} the shape {x.shape}; give an array ({axes}, channels, height, width).")
    tiles, scale = _tiles(x.reshape(-1, *x.shape[2:]), bounds=bounds)
    return tiles.reshape(*x.shape[:2], *tiles.shape[1:]), scale


def _check_same_size(**tiles: NDArray[np.uint8]) -> None:
    """Raises a UserError unless all arrays have equally many images of one size; `tiles` are name -> images (n, h, w, 3)."""
    shapes = {name: (len(x), *x.shape[1:3]) for name, x in tiles.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {n} of {h}x{w}" for name, (n, h, w) in shapes.items())
        raise UserError(f"the images do not fit each other (enlarged: {found}); give as many of each, of one size.")


def _space(gap: int, scale: int) -> int:
    """Returns a gap of `gap` image pixels in screen pixels: `gap` times `scale`, with `scale` clipped to 2 to 8."""
    return max(2 * gap, min(gap * scale, 8 * gap)) if gap > 0 else 0


def _stacked(parts: Sequence[Bitmap], space: int, gray: int = BACKGROUND[0]) -> Bitmap:
    """Returns one image of several, from top to bottom, aligned left, with `space` pixels of this gray between them."""
    width = max(part.shape[1] for part in parts)
    pads = [((0, space), (0, width - part.shape[1]), (0, 0)) for part in parts]
    whole = np.concatenate([np.pad(part, pad, constant_values=gray) for part, pad in zip(parts, pads, strict=True)])
    return whole[: len(whole) - space]


def _side_by_side(parts: Iterable[Bitmap], space: int, gray: int = BACKGROUND[0]) -> Bitmap:
    """Returns one image of several, from left to right, aligned at the top, with `space` pixels of this gray between them."""
    return _stacked([part.swapaxes(0, 1) for part in parts], space, gray).swapaxes(0, 1)


def _with_border(part: Bitmap, width: int, color: tuple[int, int, int] = BACKGROUND) -> Bitmap:
    """Returns an image with a border of `width` pixels on all sides, in the RGB color `color`, by default gray."""
    canvas = np.full((part.shape[0] + 2 * width, part.shape[1] + 2 * width, 3), color, np.uint8)
    canvas[width : width + part.shape[0], width : width + part.shape[1]] = part
    return canvas


def _write_picture(picture: NDArray[np.uint8], path: Path | str) -> Path:
    """Writes an image of bytes, shape (h, w) or (h, w, channels), as a PNG file and returns the file's path."""
    from PIL import Image

    with writing(Path(path), "wb") as file:
        Image.fromarray(np.ascontiguousarray(picture)).save(file, format="png", optimize=True)
    return Path(path)


# numbers


def curves(log: Sequence[Mapping[str, Any]], path: Path | str, logits: bool = True) -> Path:
    """Plots against the step the losses of all players, the critic's mean scores, and the means of their sigmoid.

    Scores have a curve for each distribution that the critic compares. Thin lines are logged values, thick lines their
    running mean.

    References:
        Figures 13, 16 and 17 of the reproduction report on ALI show these curves.

    Arguments:
        log: the lines of ``log.jsonl``, with keys such as ``losses/critic``, ``scores/q`` and ``probabilities/p``, where q is
            the distribution of data with inferred latents, and p that of samples with the prior's latents.
        path: the PNG file to write, which is returned.
        logits: True if scores are log-odds (divergences gan, jensen-shannon, reverse-kl), so that their sigmoid is a
            probability; the sigmoid is not plotted otherwise.

    Raises:
        UserError: the log has no losses, or the file cannot be written.
    """
    losses, scores = _series(log, "losses/"), _series(log, "scores/")
    sigmoids = _series(log, "probabilities/") if logits else {}
    if logits and not sigmoids:
        sigmoids = {name: (step, 0.5 * (1 + np.tanh(value / 2))) for name, (step, value) in scores.items()}
    if not losses:
        raise UserError("the log has no losses to draw; train for some steps first.")
    unit = "mean score (log-odds)" if logits else "mean score"
    charts = [
        ("loss", losses, PLAYERS, None),
        (unit, scores, JOINTS, 0.0 if logits else None),
        ("mean sigmoid(score)", sigmoids, JOINTS, 0.5),
    ]
    charts = [chart for chart in charts if chart[1]]
    figure = _figure(8.6, 0.5 + 2.3 * len(charts))
    panels = figure.subplots(len(charts), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, series, colors, level) in zip(panels, charts, strict=True):
        if level is not None:
            axes.axhline(level, color=BLACK, linewidth=0.8, linestyle=":", label="cannot tell apart")
        for name, color in _colors(series, colors).items():
            step, value = series[name]
            style = {"color": color, "linewidth": 1.8, "marker": "o" if len(step) == 1 else "", "markersize": 4}
            if len(step) > 8:
                axes.plot(step, value, color=color, linewidth=0.7, alpha=0.35)
            axes.plot(step, _smooth(value), label=MEANINGS.get(name, name), **style)
        axes.set_ylabel(label)
        _scale(axes, [value for _, value in series.values()])
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0)
    panels[0].set_title("thin: as logged; thick: running mean", loc="left", fontsize=9, color="#555555")
    panels[-1].set_xlabel(_abscissa(log))
    if sigmoids:
        panels[-1].set_ylim(-0.03, 1.03)
    return _write_figure(figure, path)


def metric_curves(log: Sequence[Mapping[str, Any]], path: Path | str) -> Path:
    """Plots each validation metric against the step, each in a separate panel, and marks its best value.

    The best value is the lowest or the highest, as the metric defines; it is not marked for a metric without a better
    direction. `log` are the lines of ``log.jsonl``; those without metrics are ignored.

    Raises:
        UserError: the log has no metrics, or the file cannot be written.
    """
    from interalia.metrics import REGISTRY
    from interalia.reports.sentences import shown_name

    series = _series(log, "metrics/")
    if not series:
        raise UserError("the log has no metrics to draw; train with `evaluate_every` above 0.")
    figure, panels = _panels(len(series), 3.2, 2.6, 0.4)
    for axes, (name, (step, value)) in zip(panels, series.items(), strict=True):
        metric = REGISTRY.get(name)
        better, unit = (metric.better, metric.unit) if metric else (None, "")
        _line_with_dots(axes, shown_name(name, {}), step, value, pad=18)
        if better and np.isfinite(value).any():
            at = int(np.nanargmin(value) if better == "lower" else np.nanargmax(value))
            axes.plot(step[at], value[at], "o", color=VERMILLION, markersize=7, label=f"best: {value[at]:.4g}")
            axes.legend(loc="lower left", bbox_to_anchor=(0.55, 1.0), frameon=False, fontsize=8, handletextpad=0.1)
        if better:
            axes.text(0, 1.03, f"{better} is better", transform=axes.transAxes, fontsize=8, color="#555555")
        axes.set(xlabel="step", ylabel=unit)
        _scale(axes, [value])
    return _write_figure(figure, path)


def health_chart(log: Sequence[Mapping[str, Any]], path: Path | str) -> Path:
    """Plots numbers that show a training's health against the step, such as the reconstruction error, each in a panel.

    Another panel has the diagnosis of each evaluation, such as "healthy". A dashed line is the bound beyond which a number
    is unhealthy. If a bound is on the difference of two numbers, this difference has a panel, too. `log` are the lines of
    ``log.jsonl``.

    Raises:
        UserError: the log has no health diagnostics, or the file cannot be written.
    """
    from interalia.metrics.verdicts import COUNTS, DIAGNOSTICS, RULES

    series = _series(log, "health/")
    series = {name: series[name] for name in DIAGNOSTICS if name in series and name not in COUNTS}
    if not series:
        raise UserError("the log has no signs of health to draw; train with `evaluate_every` above 0.")
    for rule in RULES:
        first, _, second = rule.diagnostic.partition(" - ")
        if first in series and second in series:
            (step, value), (other_step, other) = series[first], series[second]
            common, here, there = np.intersect1d(step, other_step, return_indices=True)
            series |= {rule.diagnostic: (common, value[here] - other[there])} if len(common) else {}
    verdicts = [(int(line["step"]), str(line["verdict"])) for line in log if line.get("verdict") and "step" in line]
    figure, panels = _panels(len(series) + bool(verdicts), 3.2, 1.5, 0.3)
    if verdicts:
        _verdicts(panels.pop(0), verdicts)
    for axes, (name, (step, value)) in zip(panels, series.items(), strict=True):
        rule_of = next((rule for rule in RULES if rule.diagnostic == name), None)
        _line_with_dots(axes, name, step, value)
        axes.ticklabel_format(useOffset=False)
        middle = float(np.nanmean(value)) if np.isfinite(value).any() else 0.0
        if np.isfinite(value).any() and np.nanmax(value) - np.nanmin(value) < 1e-3 * abs(middle):
            axes.set_ylim(
                middle - 0.1 * abs(middle), middle + 0.1 * abs(middle)
            )  # a constant sign is shown as a flat line
        if rule_of is not None:
            low, high = axes.get_ylim()
            axes.axhline(rule_of.bound, color=VERMILLION, linewidth=1, linestyle="--")
            ends = (rule_of.bound, max(high, rule_of.bound * 1.05)) if rule_of.above else (min(low, 0.0), rule_of.bound)
            axes.axhspan(*ends, color=VERMILLION, alpha=0.08, linewidth=0)
            low, high = min(low, ends[0]), max(high, ends[1])
            edge = 0.05 * (high - low)  # keeps the markers inside
            axes.set_ylim(low - edge if rule_of.above else low, high if rule_of.above else high + edge)
    return _write_figure(figure, path)


def _verdicts(axes: Axes, verdicts: Sequence[tuple[int, str]]) -> None:
    """Plots the diagnosis of each evaluation as a dot over its step; each state, such as healthy, has a height and a color.

    `axes` is the panel. `verdicts` are (step, logged sentence on the health) of each evaluation; a state begins the sentence.
    """
    from interalia.metrics.verdicts import HEALTHY, NO_VERDICT, TOO_EARLY, UNSETTLED, state

    # from below
    lines = {"unhealthy": VERMILLION, UNSETTLED: ORANGE, NO_VERDICT: "#CCCCCC", TOO_EARLY: "#999999", HEALTHY: GREEN}
    words, labels = list(lines), {"unhealthy": "unhealthy", TOO_EARLY: "too early"}
    for step, sentence in verdicts:
        word = state(sentence)
        axes.plot(step, words.index(word), "s", color=lines[word], markersize=5)
    axes.set_yticks(range(len(words)), [labels.get(word, word) for word in words])
    axes.set_ylim(-0.6, len(words) - 0.4)
    axes.set_title("verdict", loc="left", fontsize=9)


def scatter(
    real: ArrayLike,
    generated: ArrayLike,
    path: Path | str,
    means: ArrayLike | None = None,
    latents: ArrayLike | None = None,
    reconstructions: ArrayLike | None = None,
    prior: ArrayLike | None = None,
) -> Path:
    """Draws up to three panels: data in the plane with samples, data with reconstructions, latents with samples of the prior.

    Arguments:
        real: the data, shape (n, 2).
        generated: samples of p(x | z), shape (m, 2).
        path: the PNG file to write, which is returned.
        means: means of the modes, shape (modes, 2), or None.
        latents: samples of q(z | x), shape (n, latent), of which the first two dimensions are drawn, with samples of the
            prior; None for no such panel.
        reconstructions: the reconstructed data, shape (n, 2); None for no such panel.
        prior: samples of the prior, shape (k, latent); None for a prior N(0, I).

    Raises:
        UserError: points of another shape, or the file cannot be written.
    """
    real, generated = _points(real, "data"), _points(generated, "samples")
    center, half = real.mean(0), np.abs(real - real.mean(0)).max() * 1.25 + 1e-6
    spaces = [("samples", generated, PURPLE)]
    if reconstructions is not None:
        spaces.append(("reconstructions", _points(reconstructions, "reconstructions"), ORANGE))
    figure, panels = _panels(len(spaces) + (latents is not None), 4.4, 4.9, 0)
    for axes, (name, points, color) in zip(panels, spaces, strict=False):
        outside = len(points) - int((np.abs(points - center) <= half).all(1).sum())
        note = f" ({outside:,} of {len(points):,} outside)" if outside else ""
        layers = [("data", real, GREEN), (name, points, color)]
        _scatter(axes, layers, f"data and {name}{note}", center, half)
        axes.set(xlabel="x1", ylabel="x2")
        if means is not None:
            modes = _points(means, "means")
            axes.plot(*modes.T, "o", color="none", markeredgecolor=BLACK, markersize=9, label="modes")
    if latents is not None:
        z = np.asarray(latents, dtype=np.float64)
        size = z.shape[1]
        z = np.column_stack([z, np.zeros(len(z))])[:, :2]
        known, drawn = prior is not None, np.random.default_rng(0).standard_normal((len(z), 2)) * (1, min(size - 1, 1))
        if prior is not None:
            drawn = np.asarray(prior, dtype=np.float64)
            drawn = np.column_stack([drawn, np.zeros(len(drawn))])[:, :2]
        half = max(4.0, float(np.nanquantile(np.abs(z), 0.995)) * 1.1) if len(z) else 4.0
        layers = [("prior" if known else "prior N(0, I)", drawn, PURPLE), ("inferred latents", z, GREEN)]
        _scatter(panels[-1], layers, f"latents{f', first 2 of {size}' if size > 2 else ''}", np.zeros(2), half)
        panels[-1].set(xlabel="z1", ylabel="z2" if size > 1 else "")
    for axes in panels:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, columnspacing=1.0)
    return _write_figure(figure, path)


def error_histogram(errors: ArrayLike, mismatched: ArrayLike, path: Path | str) -> Path:
    """Draws histograms of the reconstruction errors of examples, and of the errors of mismatched pairs.

    Arguments:
        errors: the distance of each example to its reconstruction, shape (n,).
        mismatched: the distance of each example to another one's reconstruction, shape (n,).
        path: the PNG file to write, which is returned.

    Raises:
        UserError: the file cannot be written.
    """
    figure, (axes,) = _panels(1, 7.0, 3.2, 0)
    series = {"own reconstruction": (errors, GREEN), "another example's reconstruction": (mismatched, PURPLE)}
    finite = {name: np.asarray(v)[np.isfinite(v)] for name, (v, _) in series.items()}
    both = np.concatenate(list(finite.values()))
    bins = min(40, 4 + int(math.sqrt(2 * len(both))))
    edges = np.histogram_bin_edges(both, bins) if len(both) else np.linspace(0, 1, bins)
    for name, (_, color) in series.items():
        axes.hist(finite[name], bins=edges.tolist(), color=color, alpha=0.55, label=name)
    axes.set(xlabel="distance (L2)", ylabel="held-out examples")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    return _write_figure(figure, path)


def spread_and_error(spread: ArrayLike, errors: ArrayLike, correlation: float, path: Path | str) -> Path:
    """Draws a point for each example: the deviation of its posterior q(z | x) to the right, its reconstruction error upwards.

    A line goes through the medians of ten groups of equal size, by deviation.

    Arguments:
        spread: the standard deviation of z of each example, shape (n,).
        errors: the distance of each example to its reconstruction, shape (n,).
        correlation: the rank correlation of the two, which the title has; nan if it is not defined.
        path: the PNG file to write, which is returned.

    Raises:
        UserError: the file cannot be written.
    """
    a, b = np.asarray(spread, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    figure, (axes,) = _panels(1, 5.6, 4.2, 0)
    size, opacity = (3, 0.4) if len(a) > 200 else (6, 0.7)
    axes.plot(a, b, "o", color=BLUE, markersize=size, alpha=opacity, markeredgewidth=0)
    if len(a) >= 5 * GROUPS:
        groups = np.array_split(np.argsort(a, kind="stable"), GROUPS)
        medians = [(float(np.median(a[rows])), float(np.median(b[rows]))) for rows in groups]
        axes.plot(*zip(*medians, strict=True), "-", color=VERMILLION, label="medians of tenths")
        axes.legend(loc="best", frameon=False, fontsize=8)
    number = "not defined" if math.isnan(correlation) else f"{correlation:.2f}"
    axes.set_title(f"rank correlation {number}, {len(a):,} examples", loc="left", fontsize=9)
    axes.set(xlabel="standard deviation of z under q(z | x)", ylabel="reconstruction error (L2)")
    return _write_figure(figure, path)


def scatter_labels(
    points: ArrayLike,
    labels: ArrayLike | None,
    path: Path | str,
    shares: tuple[float, float],
    names: Sequence[str] = (),
) -> Path:
    """Draws latents in the plane of their first two principal components, in a color and shape for each label.

    Arguments:
        points: shape (n, 2).
        labels: whole numbers from 0, shape (n,); None for points of one color.
        path: the PNG file to write, which is returned.
        shares: the shares of the variance that lie in the two components.
        names: the names of the labels, in order; empty for the numbers themselves.

    Raises:
        UserError: points of another shape, or the file cannot be written.
    """
    points = _points(points, "latents")
    figure, (axes,) = _panels(1, 6.6, 5.0, 0)
    labels = np.zeros(len(points), dtype=np.int64) if labels is None else np.asarray(labels)
    kinds = np.unique(labels)
    for place, kind in enumerate(kinds):
        x, y = points[labels == kind].T
        style: Any = {"color": SERIES[place % len(SERIES)], "marker": "o^sPXD"[place // len(SERIES) % 6]}
        name = names[kind] if kind < len(names) else str(kind)
        axes.scatter(
            x,
            y,
            s=14 if len(points) > 100 else 40,
            alpha=0.7,
            linewidths=0,
            label=textwrap.shorten(str(name), 24),
            **style,
        )
    if 1 < len(kinds) <= 24:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8, title="label")
    axes.set(xlabel=f"first component ({shares[0]:.0%} of the variance)", ylabel=f"second ({shares[1]:.0%})")
    axes.set_aspect("equal", adjustable="datalim")
    return _write_figure(figure, path)


def named_rows(names: Sequence[str], rows: ArrayLike, path: Path | str, first: bool = False) -> Path:
    """Draws rows of images with a name at the left of each row.

    Arguments:
        names: the name of each row.
        rows: images, shape (rows, columns, channels, height, width), or signals or volumes; those with NaN are left blank.
        path: the PNG file to write, which is returned.
        first: True to set the first image of each row off from the others.

    Raises:
        UserError: rows of another shape, or an error of `grid`.
    """
    missing = np.asarray(np.isnan(np.asarray(rows, dtype=np.float64)).any(axis=tuple(range(2, np.ndim(rows)))))
    tiles, scale = _tile_rows(rows, "rows have", "rows, columns")
    tiles = np.where(missing[..., None, None, None], np.uint8(255), tiles)
    space = max(2, _space(1, scale))
    strips = []
    for row in tiles:
        apart = first and len(row) > 1
        parts = [row[0], _side_by_side(row[1:], space, 255)] if apart else [_side_by_side(row, space, 255)]
        strips.append(_side_by_side(parts, 5 * space, 255))
    height, width = tiles.shape[2], strips[0].shape[1]
    picture = _stacked(strips, space, 255)
    inches = 7.2 / max(width, 6 * height)
    figure = _figure(1.1 + width * inches, 0.3 + picture.shape[0] * inches)
    axes = figure.subplots()
    axes.imshow(picture, interpolation="nearest")
    for place, name in enumerate(names):
        middle = height / 2 + place * (height + space)
        axes.text(-3 * space, middle, textwrap.shorten(name, 24), ha="right", va="center")
    axes.set_axis_off()
    return _write_figure(figure, path)


def scatter_groups(points: Mapping[str, ArrayLike], path: Path | str) -> Path:
    """Draws a scatter plot of samples of q(z | x) for several x, a color for each, where z has two dimensions.

    The plot shows the square [-3, 3]^2.

    Arguments:
        points: name of an x -> its samples, shape (n, 2).
        path: the PNG file to write, which is returned.

    Raises:
        UserError: points of another shape, or the file cannot be written.
    """
    figure, (axes,) = _panels(1, 4.6, 5.0, 0)
    axes.set(xlabel="z1", ylabel="z2")
    groups = zip(points.items(), itertools.cycle(SERIES), strict=False)
    layers = [(name, _points(values, "latents"), color) for (name, values), color in groups]
    _scatter(axes, layers, "draws of q(z | x) for each x", np.zeros(2), 3.0)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=5, frameon=False, columnspacing=1.0)
    return _write_figure(figure, path)


def mean_and_std(
    curves: Mapping[str, Sequence[Sequence[Sequence[float]]]],
    path: Path | str,
    abscissa: str,
    ordinate: str,
    dots: Mapping[str, ArrayLike] | None = None,
    level: float | None = None,
) -> Path:
    """Plots for each name the mean of its curves, such as those of several seeds, with their standard deviation as a band.

    Arguments:
        curves: name -> curves, each a list of points (x, y); curves of one name are cut to the shortest.
        path: the PNG file to write, which is returned.
        abscissa: label of the x axis.
        ordinate: label of the y axis.
        dots: name -> points (x, y), shape (n, 2), in the color of its curve; None for no points.
        level: height of a dashed line, in the middle of a y axis that starts at 0; None for no line.

    Raises:
        UserError: dots of another shape, or the file cannot be written.
    """
    figure, (axes,) = _panels(1, 8.4, 4.4, 0)
    axes.set(xlabel=abscissa, ylabel=ordinate)
    if level is not None:
        axes.axhline(level, color=BLACK, linestyle="--", linewidth=0.8)
        axes.set_ylim(0, 2 * level)
    styles = zip(
        itertools.cycle(("-", "--", ":")), itertools.cycle(SERIES), strict=False
    )  # two equal curves stay visible
    for (style, color), (name, found) in zip(styles, curves.items(), strict=False):
        length = min(map(len, found))
        x, y = np.moveaxis(np.array([curve[:length] for curve in found], dtype=np.float64), 2, 0)
        mean, std = y.mean(axis=0), y.std(axis=0)
        axes.plot(x.mean(axis=0), mean, color=color, linestyle=style, linewidth=1.5, label=name)
        axes.fill_between(x.mean(axis=0), mean - std, mean + std, color=color, alpha=0.15, linewidth=0)
        if dots:
            axes.plot(*_points(dots[name], name).T, "o", color=color, markersize=4)
    axes.legend(frameon=False, fontsize=8)
    return _write_figure(figure, path)


def trajectories(paths: Mapping[str, ArrayLike], path: Path | str, square: bool = True) -> Path:
    """Plots trajectories in the plane (theta, phi), a panel for each; a ring marks the start, a cross the equilibrium at 0.

    theta is the one parameter of a generator, phi that of a critic.

    Arguments:
        paths: name -> points in order, shape (steps, 2).
        path: the PNG file to write, which is returned.
        square: True to show the same square in all panels, which a diverging trajectory leaves; False to show each
            trajectory whole.

    Raises:
        UserError: a trajectory of another shape, or the file cannot be written.
    """
    ways = {name: _points(values, name) for name, values in paths.items()}
    half = 1.15 * max(float(np.abs(way[0]).max()) for way in ways.values())
    figure, panels = _panels(len(ways), 3.2, 3.0, 0.3)
    for axes, (name, way) in zip(panels, ways.items(), strict=True):
        axes.plot(*way.T, color=BLUE, linewidth=0.8, marker=".", markersize=3)
        axes.plot(*way[0], "o", color=ORANGE, markersize=8, fillstyle="none")
        axes.plot(0, 0, "+", color=VERMILLION, markersize=12)
        if square:
            axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
        axes.set_title(name, loc="left", fontsize=9)
        axes.set(xlabel="theta (generator)", ylabel="phi (critic)")
    return _write_figure(figure, path)


def _line_with_dots(axes: Axes, name: str, step: Any, value: Any, **title: Any) -> None:
    """Plots values against steps into a panel as a line with dots, titled `name`.

    `title` are further arguments of `Axes.set_title`.
    """
    axes.plot(step, value, color=BLUE, linewidth=1.5, marker="o", markersize=3)
    axes.set_title(textwrap.fill(name.replace("_", " "), 34), loc="left", fontsize=9, **title)


def _points(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Returns the values as an array of shape (n, 2); raises a UserError that names them as `name` if they have another
    shape.
    """
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise UserError(f"the {name} have the shape {points.shape}; give points of shape (n, 2).")
    return points


def _scatter(axes: Axes, layers: Sequence[tuple[str, Any, str]], title: str, center: Any, half: float) -> None:
    """Draws scatter plots into one panel, one for each (name, points of shape (n, 2), color) in `layers`.

    The panel shows the square with the center `center` and sides of 2 `half`.
    """
    for name, points, color in layers:
        alpha = min(0.6, max(0.1, 1200 / len(points)))
        axes.scatter(points[:, 0], points[:, 1], s=5, color=color, alpha=alpha, linewidths=0, rasterized=True)
        axes.scatter([], [], s=18, color=color, label=name)  # larger and opaque in the legend
    axes.set_title(title, fontsize=10)
    (left, right), (low, high) = ((c - half, c + half) for c in center)
    axes.set(aspect="equal", xlim=(left, right), ylim=(low, high))


def _figure(width: float, height: float) -> Figure:
    """Returns a new Matplotlib figure of this width and height in inches."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it names its temporary folder where there is no home
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # type: ignore[union-attr, call-arg]
    return figure


def _panels(count: int, width: float, height: float, top: float) -> tuple[Figure, list[Axes]]:
    """Returns a new Matplotlib figure and its `count` panels, at most three in a row.

    `width` and `height` of a panel, and the height `top` above all panels, are in inches.
    """
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    figure = _figure(max(4.2, width * columns), top + height * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def _write_figure(figure: Figure, path: Path | str) -> Path:
    """Writes a Matplotlib figure, with light grid lines, as a PNG file and returns the file's path."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
    with writing(Path(path), "wb") as file:
        figure.savefig(file, format="png", dpi=DPI, facecolor="white")
    return Path(path)


def _series(log: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, tuple[NDArray[Any], NDArray[np.float64]]]:
    """Returns name -> (steps, values), two arrays of shape (n,), of the entries of a log whose keys are `prefix` + name.

    `log` are the lines of ``log.jsonl``. Values that are not finite are nan, which leaves gaps in a plot.
    """
    found = {}
    for key in dict.fromkeys(key for line in log for key in line if key.startswith(prefix)):
        at = [(line["step"], float(line[key])) for line in log if line.get(key) is not None and "step" in line]
        if at:
            step, value = np.array(at).T
            found[key.removeprefix(prefix)] = (step, np.where(np.isfinite(value), value, np.nan))
    return found


def _colors(series: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """Returns name -> color for each name in `series`: that in `known`, or else the next of five other colors."""
    spare = iter([ORANGE, SKY, BLACK, BLUE, VERMILLION] * (1 + len(series)))
    return {name: known[name] if name in known else next(spare) for name in series}


def _smooth(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the running mean of values, shape (n,), over a window of about 5 % of them; nan are left out of each mean."""
    from scipy.ndimage import uniform_filter1d

    window = 2 * (len(value) // 40) + 1
    there = np.isfinite(value)
    mean = uniform_filter1d(np.where(there, value, 0.0), window, mode="constant")
    share = uniform_filter1d(there.astype(np.float64), window, mode="constant")
    return np.divide(mean, share, out=np.full(len(value), np.nan), where=share > 0)


def _scale(axes: Axes, values: Sequence[NDArray[np.float64]]) -> None:
    """Makes the y axis of a panel logarithmic if the values, one array for each curve, are positive and span two decades.

    Otherwise, if the largest absolute value is over 30 times the median one, the axis is linear near 0 and logarithmic
    beyond.
    """
    every = np.concatenate(values)
    every = every[np.isfinite(every)]
    if len(every) == 0:
        return
    low, high = np.quantile(every, [0.01, 0.99])
    size = np.abs(every)
    middle = float(np.median(size))
    if every.min() > 0 and high / low > 100:
        axes.set_yscale("log")
    elif middle > 0 and size.max() / middle > 30:
        axes.set_yscale("symlog", linthresh=10.0 ** math.floor(math.log10(middle)))


def _abscissa(log: Sequence[Mapping[str, Any]]) -> str:
    """Returns the label of the x axis: "step", with the number of epochs if the lines of the log have it."""
    epochs = [line["epoch"] for line in log if line.get("epoch")]
    steps = [line["step"] for line in log if "step" in line]
    return f"step ({max(steps):,} steps are {max(epochs):,.4g} epochs)" if epochs else "step"
