"""Figures show what they are given, pixel by pixel; the page says what the folder holds and is whole by itself."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
import subprocess
import sys
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from interalia import reports
from interalia.errors import UserError
from interalia.games import ALI, AVB, VAE, Game
from interalia.games.capabilities import facts
from interalia.games.game import module_dataclass
from interalia.games.vae import Variational
from interalia.reports import plots
from interalia.reports.rendering import PROGRESS
from interalia.reports.sentences import facts_of, is_able, texts
from interalia.reports.tables import likelihood_markdown
from interalia.runs import recipes
from interalia.runs.folder import ABOUT_GAME

RUN = {
    "name": "ali-digits", "game": "ali", "data": "digits", "data_dir": None, "latent_dim": 16, "encoder": "gaussian",
    "divergence": "gan", "penalty": "r1(gamma=0.5)", "lr": {"critic": 1e-4}, "steps": 3000, "batch_size": 128, "seed": 0,
}  # fmt: skip
RESULTS: dict[str, Any] = {
    "metrics": [
        {"name": "reconstruction_ratio", "value": 0.31, "unit": "", "better": "lower", "about": "A.", "protocol": "P."},
        {"name": "psnr", "value": 16.4, "unit": "dB", "better": "higher", "about": "B.", "protocol": "P."},
        {"name": "knn1_features", "value": 0.97, "better": "higher"},
        {"name": "knn1_random_init", "value": 0.9, "unit": "", "better": None, "about": "", "protocol": ""},
        {"name": "frechet_distance", "value": 7.42, "unit": "", "better": "lower", "about": "", "protocol": ""},
        {"name": "frechet_real_vs_real", "value": 1.18, "unit": "", "better": None, "about": "", "protocol": ""},
    ],
    "split": "test", "step": 3000, "machine": "a machine with 2 CPU cores", "commit": "0123abc", "date": "2026-01-02",
    "versions": {"torch": "2.13.0"}, "seeds": {"evaluation": 0},
    "training": {"seconds": 178, "steps": 3000, "images_per_second": 2157.3},
    "data": {"name": "digits", "about": "Handwritten digits.", "shape": [1, 8, 8], "train": 1297, "validation": 200,
             "test": 300},
}  # fmt: skip
LIKELIHOOD: dict[str, Any] = {
    "estimates": [
        {"name": "elbo", "value": -101.25, "error": 1.5, "images": 60, "acceptance": None, "check": None, "protocol": "E."},
        {"name": "ais", "value": -98.75, "error": None, "images": 60, "acceptance": 0.625, "protocol": "A.",
         "check": {"gap": 0.125, "error": 0.0625}},
    ],
    "split": "test", "images": {"measured": 60, "split": 10_000}, "binarization": "fixed", "step": 3000,
}  # fmt: skip
LOG: list[dict[str, Any]] = [
    {"step": s, "epoch": s / 10, "seconds": s * 0.06, "losses/critic": 1.0, "losses/generator": 2.0 + 1 / s,
     "scores/q": 0.5, "scores/p": -0.5, "metrics/reconstruction_ratio": 300 / s}
    for s in range(300, 3001, 300)
]  # fmt: skip


def greys(levels: Any, shape: tuple[int, int, int] = (1, 8, 8)) -> np.ndarray:
    """One image of a single gray a level."""
    levels = np.asarray(levels, dtype=float)
    return np.broadcast_to(levels.reshape(*levels.shape, 1, 1, 1) / 255, (*levels.shape, *shape))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def order(line: np.ndarray) -> list[int]:
    """The greys along a line of pixels, each run of equal ones named once, the background left out."""
    found = [int(p[0]) for p in line if p[0] == p[1] == p[2] and tuple(p) != plots.BACKGROUND]
    return [v for i, v in enumerate(found) if i == 0 or found[i - 1] != v]


# figures


def test_grid_keeps_order_and_pixels(tmp_path: Path) -> None:
    picture = pixels(plots.grid(greys([10, 20, 30, 40, 50]), tmp_path / "grid.png", columns=3))
    height = picture.shape[0]
    assert order(picture[height // 4]) == [10, 20, 30]
    assert order(picture[3 * height // 4]) == [40, 50]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 7), (3, 5, 40), (1, 64, 64), (3, 128, 96), (1, 1, 1)])
def test_every_pixel_is_enlarged_by_one_whole_factor(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, *shape)).astype(np.uint8)
    picture = pixels(plots.grid(image / 255, tmp_path / "one.png", gap=0))
    scale = picture.shape[0] // shape[1]
    assert picture.shape == (shape[1] * scale, shape[2] * scale, 3)
    expected = np.broadcast_to(image[0], (3, *shape[1:])).transpose(1, 2, 0).repeat(scale, 0).repeat(scale, 1)
    np.testing.assert_array_equal(picture, expected)
    np.testing.assert_array_equal(picture, pixels(plots.grid(image, tmp_path / "bytes.png")))
    assert pixels(plots.grid(image, tmp_path / "small.png", scale=1)).shape == (*shape[1:], 3)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("n", [1, 7])
def test_a_grid_is_its_rows_one_below_the_other(channels: int, n: int, tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-0.1, 1.1, (n, channels, 5, 6))
    tiles, scale = plots._tiles(x)
    space = plots._space(1, scale)
    rows = [plots._side_by_side(tiles[i : i + 3], space) for i in range(0, n, 3)]
    whole = plots._with_border(plots._stacked(rows, space), space if n > 1 else 0)
    np.testing.assert_array_equal(pixels(plots.grid(x, tmp_path / "grid.png", columns=3)), whole)


def test_a_grid_of_many_images_takes_little_more_memory_than_its_picture(tmp_path: Path) -> None:
    x = np.zeros((400, 1, 8, 8), np.float32)
    tracemalloc.start()
    path = plots.grid(x, tmp_path / "grid.png", scale=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with Image.open(path) as picture:
        assert picture.mode == "L"
        assert peak < 2 * math.prod(picture.size)


def test_opacity_shows_what_lies_behind(tmp_path: Path) -> None:
    red = np.zeros((2, 4, 8, 8))
    red[:, 0] = 1
    red[1, 3] = 1
    clear = pixels(plots.grid(red[:1], tmp_path / "clear.png", gap=0))
    assert len(np.unique(clear)) == 2  # the checkers alone
    assert (pixels(plots.grid(red[1:], tmp_path / "full.png", gap=0)) == (255, 0, 0)).all()


def test_values_out_of_range_and_not_finite_are_drawn(tmp_path: Path) -> None:
    image = np.array([-3.0, 9.0, np.nan, np.inf]).reshape(1, 1, 2, 2)
    picture = pixels(plots.grid(image, tmp_path / "wild.png", gap=0))[..., 0]
    assert [picture[0, 0], picture[0, -1], picture[-1, 0], picture[-1, -1]] == [0, 255, 128, 255]


def test_pairs_put_each_reconstruction_below_its_original(tmp_path: Path) -> None:
    picture = pixels(plots.pairs(greys([10, 20, 30]), greys([110, 120, 130]), tmp_path / "pairs.png", columns=2))
    columns = [order(picture[:, picture.shape[1] * k // 4]) for k in (1, 3)]
    assert columns == [[10, 110, 30, 130], [20, 120]]


def test_interpolations_stand_between_framed_originals(tmp_path: Path) -> None:
    ways = greys([[11, 12, 13], [21, 22, 23], [31, 32, 33]])
    picture = pixels(plots.interpolations(greys([10, 20, 30]), ways, greys([15, 25, 35]), tmp_path / "ways.png"))
    for k in range(3):
        assert order(picture[picture.shape[0] * (2 * k + 1) // 6]) == [10 * (k + 1) + d for d in (0, 1, 2, 3, 5)]
    green = (picture == (0, 158, 115)).all(2).any(0)  # columns with a frame in them
    assert green[: len(green) // 4].any()
    assert green[-len(green) // 4 :].any()
    assert not green[len(green) // 4 : -len(green) // 4].any()


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (8, 8), (8,), (3, 1, 8, 0), (2, 1, 1, 8, 8, 8)])
def test_what_is_no_image_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=re.escape(str(shape))):
        plots.grid(np.zeros(shape), tmp_path / "none.png")
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"originals 3 of .* reconstructions 2"):
        plots.pairs(greys([1, 2, 3]), greys([1, 2]), tmp_path / "a.png")
    with pytest.raises(UserError, match="do not fit"):
        plots.interpolations(greys([1, 2]), greys([[1, 2], [3, 4]]), greys([1]), tmp_path / "b.png")
    with pytest.raises(UserError, match="steps"):
        plots.interpolations(greys([1]), greys([1]), greys([1]), tmp_path / "c.png")
    with pytest.raises(UserError, match=r"give points of shape \(n, 2\)"):
        plots.scatter(np.zeros((5, 3)), np.zeros((5, 2)), tmp_path / "d.png")
    with pytest.raises(UserError, match="no losses"):
        plots.curves([{"step": 1}], tmp_path / "e.png")
    with pytest.raises(UserError, match="no metrics"):
        plots.metric_curves([{"step": 1}], tmp_path / "f.png")
    assert not list(tmp_path.iterdir())


def test_a_figure_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for draw in (lambda path: plots.grid(greys([1]), path), lambda path: plots.curves(LOG, path)):
        with pytest.raises(UserError, match="could not be written"):
            draw(tmp_path / "file" / "x.png")


def has(picture: np.ndarray, colour: str) -> bool:
    """Whether pixels of this very colour are there, more than a few."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((np.abs(picture.astype(int) - wanted).max(2) <= 2).sum() > 20)


def test_curves_show_every_player_and_joint_in_its_colour(tmp_path: Path) -> None:
    log = [*LOG, {"step": 3300, "losses/critic": float("nan"), "losses/generator": float("inf")}]
    full = pixels(plots.curves(log, tmp_path / "curves.png"))
    assert all(has(full, c) for c in (plots.VERMILLION, plots.BLUE, plots.GREEN, plots.PURPLE))
    plain = pixels(plots.curves(log, tmp_path / "plain.png", logits=False))
    assert plain.shape[0] < full.shape[0]  # no sigmoid of what is not a log-odds
    losses = pixels(plots.curves([{"step": 1, "losses/autoencoder": 3.0}], tmp_path / "one.png"))
    assert has(losses, plots.BLUE)
    assert not has(losses, plots.GREEN)


def test_measures_have_a_panel_each_and_a_mark_on_the_best(tmp_path: Path) -> None:
    one = pixels(plots.metric_curves(LOG, tmp_path / "one.png"))
    assert has(one, plots.VERMILLION)
    log = [{"step": 1, **{f"metrics/own_{k}": 1.0 for k in range(4)}}]  # not in the catalogue: neither way is better
    four = pixels(plots.metric_curves(log, tmp_path / "four.png"))
    assert four.shape[0] > 1.5 * one.shape[0]
    assert not has(four, plots.VERMILLION)
    falling = [{"step": k, "metrics/psnr": 20.0 - k} for k in range(9)]  # higher is better: the first is the best
    first = pixels(plots.metric_curves(falling, tmp_path / "first.png"))
    assert has(first[:, : first.shape[1] // 3], plots.VERMILLION)
    assert not has(one[:, : one.shape[1] // 3], plots.VERMILLION)  # lower is better: the last is


def test_the_plane_shows_what_is_given(tmp_path: Path) -> None:
    draw = np.random.default_rng(0).standard_normal
    bare = pixels(plots.scatter(draw((300, 2)), draw((300, 2)), tmp_path / "bare.png"))
    full = pixels(
        plots.scatter(
            draw((300, 2)), draw((300, 2)), tmp_path / "full.png", np.zeros((1, 2)), draw((300, 5)), draw((300, 2))
        )
    )
    assert has(bare, plots.GREEN)
    assert has(bare, plots.PURPLE)
    assert not has(bare, plots.ORANGE)
    assert has(full, plots.ORANGE)
    assert full.shape[1] > 2.5 * bare.shape[1]
    plots.scatter(draw((9, 2)), np.full((9, 2), np.nan), tmp_path / "line.png", latents=draw((9, 1)))


def test_each_point_outside_of_the_plane_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    write = plots._write_figure
    monkeypatch.setattr(plots, "_write_figure", lambda figure, path: figures.append(figure) or write(figure, path))
    real = np.array([[-1.0, -1.0], [1.0, 1.0]])  # the plane reaches to 1.25 on either side
    samples = np.array([[0.0, 0.0], [1.2, -1.2], [1.3, 0.0], [np.inf, 0.0], [np.nan, np.nan]])
    plots.scatter(real, samples, tmp_path / "plane.png")
    assert figures[0].axes[0].get_title() == "data and samples (3 of 5 outside)"


def test_many_bands_can_be_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    write = plots._write_figure
    monkeypatch.setattr(plots, "_write_figure", lambda figure, path: figures.append(figure) or write(figure, path))
    plots.mean_and_std({f"method {i}": [[[0.0, i], [1.0, i]]] for i in range(20)}, tmp_path / "bands.png", "x", "y")
    lines = figures[0].axes[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(lines) == 20


def test_rates_by_hand_are_lines_and_measured_ones_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    write = plots._write_figure
    monkeypatch.setattr(plots, "_write_figure", lambda figure, path: figures.append(figure) or write(figure, path))
    lines = {name: [[(0.1, 0.9), (0.2, 0.8)]] for name in ("one", "other")}
    axes = tmp_path / "rates.png", "rate", "factor"
    plots.mean_and_std(lines, *axes, dots={name: [(0.1, 0.9)] for name in lines}, level=1.0)
    assert figures[0].axes[0].get_ylim() == (0, 2)
    level, *drawn = figures[0].axes[0].get_lines()
    assert list(level.get_ydata()) == [1, 1]
    assert [len(line.get_xdata()) for line in drawn] == [2, 1, 2, 1]
    assert drawn[0].get_linestyle() != drawn[2].get_linestyle()  # lines that lie on each other are both seen
    with pytest.raises(UserError, match=r"points of shape \(n, 2\)"):
        plots.mean_and_std(lines, *axes, dots={name: [0.1] for name in lines})


def test_the_running_mean_keeps_lines_and_leaves_out_holes() -> None:
    ramp = np.arange(200.0)
    np.testing.assert_allclose(plots._smooth(ramp)[10:-10], ramp[10:-10])
    holed = np.full(200, 3.0)
    holed[[0, 50, 51, 199]] = np.nan
    np.testing.assert_allclose(plots._smooth(holed), 3.0)
    assert np.isnan(plots._smooth(np.array([np.nan, 1.0]))[0])


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 2.0, 1.5], "linear"),
        ([1e-3, 1.0, 10.0], "log"),
        ([-1.0, 1.0, 1e4, 1.0], "symlog"),
        ([0.0, 0.0], "linear"),
    ],
)
def test_axes_follow_the_decades(values: list[float], scale: str) -> None:
    axes = plots._figure(1, 1).subplots()
    plots._scale(axes, [np.array(values), np.array([np.nan])])
    assert axes.get_yscale() == scale


# words


def test_words_say_what_was_run_how_long_and_how_good_it_is() -> None:
    text = reports.summary(RUN, RESULTS)
    assert text[0] == (
        "Trained ALI (adversarially learned inference) on 1,297 images of 'digits' (8x8 pixels, grayscale) for 3,000 "
        "steps of 128 images each in 2 min 58 s on a machine with 2 CPU cores, at 2,157 images per second."
    )
    assert "Handwritten digits." in text
    assert any(
        line.startswith(
            "The error of held-out reconstructions is 0.31 of the error of mismatched pairs (lower is better; 1 means that "
            "the reconstruction is independent of the image)"
        )
        for line in text
    )
    assert any("97.0%" in line and "90.0% with an untrained encoder" in line for line in text)
    assert any("is 7.42 (lower is better; 1.18 between real training data and held-out data)" in line for line in text)
    assert not any("older" in line or "planned end" in line for line in text)


def test_words_before_evaluation() -> None:
    assert "will train" in reports.summary(RUN, None)[0]
    text = reports.summary(RUN, None, LOG[:4])
    assert "for 1,200 steps" in text[0]
    assert "(120 epochs) in 1 min 12 s" in text[0]
    assert "It stopped before its planned end, step 3,000." in text
    assert "It has not been evaluated yet, so there are no metrics below." in text


def test_words_notice_metrics_older_than_the_run() -> None:
    log = [*LOG, {"step": 4000, "seconds": 7500.0}]
    text = reports.summary({**RUN, "steps": 4000}, RESULTS, log)
    assert "4,000 steps of 128 images each in 2 h 5 min on" in text[0]
    assert any("training has reached step 4,000; evaluate the run again" in line for line in text)


def test_words_name_the_game() -> None:
    alice = " ".join(reports.summary({**RUN, "game": "alice(cycle=2.0)"}, None))
    assert "ALICE" in alice
    assert "also minimize a reconstruction loss" in alice
    assert "No loss rewards" in " ".join(reports.summary(RUN, None))
    assert "BiGAN" in reports.summary({**RUN, "encoder": "deterministic"}, None)[0]
    gan = " ".join(reports.summary({**RUN, "game": "gan"}, None))
    assert "There is no encoder" in gan
    assert "train newest on" in reports.summary({"game": "newest", "data": "x"}, None)[0]


def test_words_say_what_every_game_does_and_which_have_no_critic() -> None:
    from interalia import games

    for name, game in games.REGISTRY.items():
        run = {**RUN, "game": name}
        told = " ".join(reports.summary(run, None))
        assert "{" not in told
        assert f"train {facts_of(run)['title']} on" in told
        assert ("latent code z of 16 numbers" in told) == is_able(run, "Generates"), name
        assert facts_of(run)["critic"] == any("critic" in part for moved in game.players.values() for part in moved)
        assert is_able(run, "HasLikelihood") == issubclass(game, Variational), name


def test_words_tell_the_estimate_that_is_the_nearest_to_the_likelihood() -> None:
    from interalia.metrics.likelihood import REGISTRY

    assert set(texts("estimates")) == set(REGISTRY)
    vae = {**RUN, "game": "vae(likelihood='bernoulli')"}
    told = reports.summary(vae, RESULTS, LOG, LIKELIHOOD)[-1]
    assert told == (
        "The log-likelihood log p(x) of held-out examples is -98.75 nats on average (higher is better), estimated by "
        "annealed importance sampling on 60 examples of the test split; on samples from the model, the lower and upper "
        "bounds are 0.12 nats apart."
    )
    bound = {**LIKELIHOOD, "estimates": LIKELIHOOD["estimates"][:1]}
    assert "is -101.25 ± 1.50 nats on average" in reports.summary(vae, RESULTS, LOG, bound)[-1]
    assert reports.summary(vae, RESULTS, [*LOG, {"step": 4000}], LIKELIHOOD)[-1].startswith(
        "This estimate is of step 3,000, and training has reached step 4,000"
    )
    assert reports.summary(vae, RESULTS, LOG, {"estimates": []}) == reports.summary(vae, RESULTS, LOG)


def test_words_know_which_games_infer_and_which_scores_are_log_odds() -> None:
    import torch

    from interalia import games
    from interalia.adversarial import divergences

    for name, game in games.REGISTRY.items():
        assert is_able({"game": name}, "Infers") == any("encoder" in moved for moved in game.players.values()), name
    scores = torch.linspace(-1.5, 1.5, 7)
    cases = {name: divergence() for name, divergence in divergences.REGISTRY.items()}
    for name, divergence in {**cases, "alpha(alpha=2.0)": divergences.Alpha(alpha=2.0)}.items():
        try:
            odds = torch.allclose(divergence.log_ratio(scores), scores)
        except UserError:  # a divergence whose scores do not tell the ratio
            odds = False
        assert divergence.log_odds == odds, name
        assert facts_of({"game": "gan", "divergence": name})["log_odds"] == odds, name


class OnlyGenerates(Game):
    """A game of other people's, of which the report knows nothing."""

    players = {"generator": ["decoder"]}
    title = "a generator of other people's"
    decoder: Any
    prior: Any


@pytest.mark.parametrize("kept", [True, False], ids=["kept by the run", "of the class"])
def test_a_page_promises_nothing_that_a_game_of_other_people_cannot(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interalia import games

    kind = module_dataclass(OnlyGenerates)
    run: dict[str, Any] = {**RUN, "game": "theirs(weight=2.0)"}
    if kept:
        run[ABOUT_GAME] = facts(kind)
    else:
        monkeypatch.setitem(games.REGISTRY.built_in, "theirs", kind)
    page = Page(reports.write(folder(tmp_path, run, None, LOG)).read_text())
    assert "a generator of other people's" in page.text
    assert "This model has no encoder, so there are no reconstructions" in page.text
    assert "interalia generate" in page.text
    for promised in ("interalia reconstruct", "interalia encode", "interalia interpolate", "interalia likelihood"):
        assert promised not in page.text
    for promised in ("interalia translate", "interalia traverse", "critic's scores", ABOUT_GAME):
        assert promised not in page.text
    assert "There is no critic, so the loss falls" in page.text


def test_what_is_said_of_a_game_is_not_said_of_another_that_is_made_from_it() -> None:
    for kind in (ALI, AVB, VAE):
        told = facts(type("Other", (kind,), {"players": kind.players}))
        assert (told["title"], told["teaches"], told["reading"], told["judged"]) == ("", "", "", "")
        assert told["can"] == facts(kind)["can"]
    assert facts(type("Other", (ALI,), {"title": "another"}))["judged"] == facts(ALI)["judged"]  # by its needs
    assert facts(type("Other", (AVB,), {"title": "another"}))["judged"] == ""


def test_a_page_of_a_game_that_is_not_here_neither_promises_nor_denies(tmp_path: Path) -> None:
    page = Page(reports.write(folder(tmp_path, {**RUN, "game": "gone"}, None, LOG)).read_text())
    assert "gone on" in page.text
    for said in ("interalia generate", "interalia reconstruct", "This model has no encoder", "There is no critic"):
        assert said not in page.text
    assert "Their meaning depends on the custom game" in page.text


def test_words_of_points_and_of_what_is_not_finite() -> None:
    results = {
        "metrics": [{"name": "modes", "value": 1}, {"name": "high_quality", "value": 0.5},
                     {"name": "reverse_kl", "value": float("nan")}, {"name": "recall", "value": None}],
        "data": {"shape": [2], "train": 1000}, "training": {"steps": 1, "seconds": 0.25},
    }  # fmt: skip
    text = reports.summary({**RUN, "steps": 1}, results)
    assert "1,000 points of 'digits' (2 dimensions) for 1 step of 128 points each in 0.2 s." in text[0]
    assert any("reach 1 mode of the mixture, and 50.0% of them" in line for line in text)
    assert "Metrics without a finite value: reverse kl, recall." in text


# tables


def test_the_likelihood_in_markdown_and_printed_says_all_that_is_needed_to_judge_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {
        **LIKELIHOOD, "interrupted": True, "weights": "last", "seeds": {"training": 3, "evaluation": 4},
        "data": {"name": "digits", "about": "Handwritten digits."}, "versions": {"torch": "2.13.0"}, "commit": "0123abc",
        "machine": "a machine", "date": "2026-01-02",
    }  # fmt: skip
    assert likelihood_markdown(recipes.ali_digits(name="mine"), found).splitlines() == [
        "# mine: log p(x)",
        "",
        "Handwritten digits. 60 of 10,000 images of the test split; binarization: fixed. Interrupted: the protocol gives "
        "the number of images of each estimate.",
        "",
        "| estimate | nats, mean ± standard error over images | acceptance | gap of the bidirectional check, nats | "
        "protocol |",
        "|---|---|---|---|---|",
        "| elbo | -101.25 ± 1.50 |  |  | E. |",
        "| ais | -98.75 | 0.62 | 0.125 ± 0.062 | A. |",
        "",
        "- Weights: last, step 3,000. Seeds: training 3, evaluation 4.",
        "- Machine: a machine. Versions: torch 2.13.0.",
        "- Commit: 0123abc. Date: 2026-01-02.",
    ]
    reports.print_likelihood(found)
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith(
        "log p(x), digits, 60 of 10,000 images of the test split, binarization: fixed, step 3,000"
    )


# the page


class Page(HTMLParser):
    """Collects what a page shows and refers to, and checks that its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "action")]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def folder(path: Path, run: Any = RUN, results: Any = RESULTS, log: list[dict[str, Any]] = LOG) -> Path:
    figures = path / "figures"
    path.mkdir(exist_ok=True)
    (path / "run.json").write_text(json.dumps(run))
    if results is not None:
        (path / "results.json").write_text(json.dumps(results))
    if log:
        (path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log) + '{"step": 33')
    plots.grid(greys(range(9)), figures / "samples.png")
    return path


@pytest.mark.usefixtures("sketches")
def test_the_page_is_whole_and_asks_nothing_of_the_network(tmp_path: Path) -> None:
    home = folder(tmp_path)
    digits = greys(range(3), (3, 8, 6))
    plots.pairs(digits, digits, home / "figures" / "reconstructions.png")
    plots.interpolations(digits, np.stack([digits] * 3, 1), digits, home / "figures" / "interpolations.png")
    for step in range(500, 5001, 500):
        plots.grid(digits, home / "figures" / "progress" / f"step-{step:07d}.png")
    written = reports.write(home)
    assert written == home / "report.html"
    text = written.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.tags & {"script", "link", "iframe", "object", "base"}
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"url\(|@import|https?:", text)
    files = {path.read_bytes() for path in (home / "figures").rglob("*.png")}
    shown = [base64.b64decode((image["src"] or "").partition(",")[2]) for image in page.images]
    assert len(shown) == 5 + PROGRESS  # samples, reconstructions, interpolations, curves, measures
    assert set(shown) <= files
    assert all(image["alt"] for image in page.images)
    for sentence in reports.summary(RUN, RESULTS, LOG):
        assert sentence in page.text
    assert "(untrained encoder: 90.0%)" in page.text
    assert "Compare a number with another only if both have the same protocol." in page.text
    for path in ("psnr16.4 dBhigherB.P.", "0123abc", "2.13.0", "r1(gamma=0.5)", "critic = 0.0001", "step 500"):
        assert path in page.text
    assert f"interalia train --resume {home} --steps 6000" in page.text


def test_the_page_of_a_run_that_has_only_begun(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    page = Page(reports.write(tmp_path).read_text(encoding="utf-8"))
    assert not page.images
    assert "It has not been evaluated yet" in page.text
    assert "No pictures yet." in page.text


def test_the_page_of_a_game_without_encoder_offers_no_reconstruction(tmp_path: Path) -> None:
    home = folder(tmp_path, {**RUN, "game": "gan"}, None, [])
    draw = np.random.default_rng(0).standard_normal
    plots.scatter(draw((50, 2)), draw((50, 2)), home / "figures" / "plane.png")
    page = Page(reports.write(home).read_text(encoding="utf-8"))
    assert len(page.images) == 2
    assert "This model has no encoder" in page.text
    assert "interalia generate" in page.text
    assert "interalia reconstruct" not in page.text


@pytest.mark.usefixtures("sketches")
def test_the_page_of_a_variational_game_shows_its_likelihood_and_speaks_of_no_critic(tmp_path: Path) -> None:
    log = [{key: value for key, value in line.items() if not key.startswith("scores")} for line in LOG]
    home = folder(tmp_path, {**RUN, "game": "vae"}, RESULTS, log)
    bare = Page(reports.write(home).read_text(encoding="utf-8"))
    assert "Likelihood" not in bare.text
    assert f"interalia likelihood {home}" in bare.text
    (home / "likelihood.json").write_text(json.dumps(LIKELIHOOD))
    plots.grid(greys(range(4)), home / "figures" / "manifold.png", columns=2)
    page = Page(reports.write(home).read_text(encoding="utf-8"))
    assert "elbo-101.25 ± 1.50E." in page.text
    assert "ais-98.750.620.125 ± 0.062A." in page.text
    assert "60 of 10,000 examples of the test split (binarization: static)" in page.text
    assert "-98.8 nats, log p(x) of held-out data (ais)" in page.text
    assert "Latent grid" in page.text
    assert "critic's scores" not in page.text
    avb = {**RUN, "game": "avb(contrast=True)"}
    assert "pairs (data, random z)" in Page(reports.write(folder(tmp_path, avb)).read_text(encoding="utf-8")).text
    (home / "likelihood.json").write_text("[1]")
    with pytest.raises(UserError, match=r"likelihood.json is damaged .*interalia likelihood"):
        reports.write(home)


@pytest.mark.usefixtures("sketches")
def test_the_page_shows_the_tuned_and_the_published_recipe_where_there_are_two(tmp_path: Path) -> None:
    run = dataclasses.asdict(recipes.ali_cifar10(name="mine", batch_size=64))
    text = Page(reports.write(folder(tmp_path / "ali", run=run)).read_text(encoding="utf-8")).text
    assert "Compared with the published recipe" in text
    assert "which is from the paper. To train one of them: interalia train ali-cifar10-paper." in text
    assert "this runali-cifar10ali-cifar10-paper" in text
    assert "batch_size64128100" in text
    assert "length100 epochs100 epochs6,475 epochs" in text
    assert "penaltyr1r2(gamma=1.0, every=4)r1r2(gamma=1.0, every=4)none" in text
    for other in (recipes.ali_digits(), recipes.bigan_digits(data="mnist"), recipes.gan_mnist()):
        page = reports.write(folder(tmp_path / other.name, run=dataclasses.asdict(other)))
        assert "Compared with the published recipe" not in page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("sketches")
def test_what_people_wrote_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>&\""
    results = json.loads(json.dumps(RESULTS))
    results["machine"] = results["commit"] = results["data"]["about"] = evil
    results["metrics"].append({"name": evil, "value": evil, "unit": evil, "about": evil, "protocol": evil})
    results["versions"] = {evil: evil}
    run = {**RUN, "name": evil, "data": evil, "game": evil, "lr": {evil: 1.0}, evil: [evil]}
    home = tmp_path / "a <b> run"
    home.mkdir()
    folder(home, run, results)
    plots.grid(greys([1]), home / "figures" / "progress" / 'step-"><script>.png')
    page = Page(reports.write(home).read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert not page.tags & {"b> run", "alert"}
    assert page.text.count(evil) >= 10
    assert f"interalia evaluate '{home}'" in page.text


@pytest.mark.usefixtures("sketches")
def test_curves_are_drawn_anew_when_the_log_has_grown(tmp_path: Path) -> None:
    home = folder(tmp_path)
    reports.write(home)
    curves = home / "figures" / "curves.png"
    first = curves.read_bytes()
    reports.write(home)
    assert curves.read_bytes() == first
    with open(home / "log.jsonl", "a") as file:
        file.write("\n" + json.dumps({"step": 9000, "losses/critic": 50.0}) + "\n")
    reports.write(home)
    assert curves.read_bytes() != first


@pytest.mark.usefixtures("sketches")
def test_scores_that_are_no_log_odds_get_no_sigmoid(tmp_path: Path) -> None:
    heights = {}
    for divergence in ("gan", "wasserstein", "relativistic"):
        home = tmp_path / divergence
        home.mkdir()
        folder(home, {**RUN, "divergence": divergence})
        plots.curves(LOG, home / "figures" / "curves.png")  # drawn by somebody who did not know the divergence
        reports.write(home)
        heights[divergence] = pixels(home / "figures" / "curves.png").shape[0]
    assert heights["wasserstein"] == heights["relativistic"] < heights["gan"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(UserError, match=r"not the folder of a run"):
            reports.write(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["run.json", "results.json"])
@pytest.mark.parametrize("content", ['{"name": ', "[1, 2]", "\xff\xfe"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    folder(tmp_path)
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        reports.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_report_is_made_without_torch_and_without_pyplot(tmp_path: Path) -> None:
    home = folder(tmp_path, {**RUN, ABOUT_GAME: facts(ALI)})
    code = (
        "import sys; from pathlib import Path; from interalia import reports; reports.write(Path(sys.argv[1])); "
        "print([name for name in ('torch', 'matplotlib.pyplot', 'matplotlib.figure') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['matplotlib.figure']"


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_a_single_image_keeps_its_channels(channels: int, mode: str, tmp_path: Path) -> None:
    from PIL import Image

    x = np.random.default_rng(0).integers(0, 256, (channels, 9, 7))
    picture = Image.open(plots.save_image(x / 255, tmp_path / "one.png"))
    assert picture.mode == mode
    back = np.asarray(picture).reshape(9, 7, channels).transpose(2, 0, 1)
    assert np.array_equal(back, x)
