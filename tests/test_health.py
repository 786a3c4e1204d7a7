"""Health: verdicts on trainings that were made to fail, none on good ones, and trainings that end by themselves."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from examples import batch, build
from torch.distributions import Normal

import interalia
from interalia import tasks
from interalia.data import load
from interalia.errors import UserError
from interalia.games import REGISTRY
from interalia.games.capabilities import Infers
from interalia.games.feeds import PartlyLabeled
from interalia.games.needs import critics
from interalia.metrics.extractors import Identity
from interalia.metrics.health import exclusions, game_diagnostics, mutual_information
from interalia.metrics.verdicts import DIAGNOSTICS, RULES, diagnoses, logged_diagnostics, state, verdict
from interalia.reports import plots
from interalia.runs import recipes
from interalia.training import callbacks, engine
from interalia.training.state import Training

SMALL: dict[str, Any] = {
    "networks": "auto(width=8)", "batch_size": 64, "latent_dim": 8, "steps": 500, "evaluate_every": 100,
    "checkpoint_every": 500,
}  # fmt: skip


def trained(out: Path, frozen: str = "", seed: int = 1, **fields: Any) -> Training:
    training = engine.open_run(recipes.ali_digits(**{**SMALL, "seed": seed, **fields}), out)
    if frozen:
        getattr(training.game, frozen).requires_grad_(False)
    engine.finish(training, callbacks.default_callbacks(training, progress=False))
    return training


BAD: dict[str, tuple[dict[str, Any], set[str]]] = {
    "the critic is too strong": (
        {"game": "ali", "divergence": "gan", "penalty": "none", "lr": {"critic": 3e-3, "generator": 1e-6}},
        {"critic too strong"},
    ),
    "the encoder is frozen": ({"game": "ali", "frozen": "encoder", "seed": 0}, {"encoder ignored"}),
    "the generator collapses": (
        {"game": "gan", "divergence": "gan", "penalty": "none", "optimizer": "adam(lr=0.3)", "schedule": "constant"},
        {"generator collapsed", "mode collapse"},
    ),
    "the latent is ignored": (
        {"game": "vae(sigma=5)", "penalty": "none", "divergence": "gan"},
        {"encoder ignored"},
    ),
    "the posterior is wide": (
        {
            "game": "avb(likelihood='bernoulli')",
            "binarize": "dynamic",
            "encoder": "implicit",
            "penalty": "none",
            "divergence": "gan",
        },
        {
            "aggregate posterior differs from the prior"
        },  # its deviation comes to about twice the prior's, and the critic's term does not hold it
    ),
}
GOOD: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "ALI alone": {"game": "ali"},
    "GAN": {"game": "gan"},
    "WGAN-GP": {
        "game": "gan",
        "divergence": "wasserstein",
        "penalty": "wgan-gp",
        "dynamics": "alternating(turns={'critic': 5, 'generator': 1})",
        "optimizer": "adam(lr=0.0005)",
    },
    "LSGAN": {"game": "gan", "divergence": "least-squares", "penalty": "none"},
    "AAE": {"game": "aae", "divergence": "gan", "penalty": "none"},
    "VAE": {"game": "vae(sigma=0.1)", "penalty": "none", "divergence": "gan"},
    "conditional": {"condition_on": "labels"},
}


@pytest.mark.parametrize(("fields", "names"), BAD.values(), ids=BAD)
def test_a_failing_training_is_diagnosed(tmp_path: Path, fields: dict[str, Any], names: set[str]) -> None:
    training = trained(tmp_path / "run", **fields)
    lines = training.folder.log_lines()  # type: ignore[arg-type]
    ill = diagnoses(logged_diagnostics(lines), training.steps)
    assert names <= {finding.name for finding in ill}
    last = [line["verdict"] for line in lines if "verdict" in line][-1]
    assert "since step" in last
    assert "try " in last
    assert last.endswith(".")


LONGER = {"ALI alone", "WGAN-GP", "LSGAN", "AAE", "VAE", "conditional"}
assert set(GOOD) > LONGER


@pytest.mark.parametrize(
    "fields",
    [pytest.param(GOOD[name], id=name, marks=[pytest.mark.long] if name in LONGER else []) for name in GOOD],
)
def test_no_false_alarm_on_a_good_one(tmp_path: Path, fields: dict[str, Any]) -> None:
    training = trained(tmp_path / "run", **fields)
    words = [line["verdict"] for line in training.folder.log_lines() if "verdict" in line]  # type: ignore[arg-type]
    assert len(words) == 5
    assert all(" since step " not in word for word in words)
    assert words[-1].startswith("healthy (")
    assert words[0].startswith("too early to tell (")


def test_a_critic_with_a_high_auc_is_healthy_while_samples_improve() -> None:
    row = [(step, {"critic_auc": 1.0, "coverage": 0.1 + step / 1000}) for step in (100, 200, 300)]
    assert diagnoses(row, 300) == []
    stuck = [(step, {"critic_auc": 1.0, "coverage": 0.1}) for step, _ in row]
    assert [finding.name for finding in diagnoses(stuck, 300)] == ["critic too strong"]


def test_what_the_run_has_or_refuses_is_not_advised() -> None:
    row = [(step, {"critic_auc": 0.5, "coverage": 0.0}) for step in (100, 200, 300)]
    assert verdict(row, 300).endswith('try --penalty "r1r2(every=4)" or --pack 2.')
    assert verdict(row, 300, {"penalty": "r1r2(gamma=0.1)", "pack": 1}).endswith("try --pack 2.")
    assert verdict(row, 300, {"penalty": "none"}, {"pack"}).endswith('try --penalty "r1r2(every=4)".')
    assert verdict(row, 300, {"penalty": "r1r2"}, {"pack"}).endswith("try a smaller --lr, or another --seed.")


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_a_sign_has_to_last_and_must_not_be_getting_better(rule: Any) -> None:
    first, *rest = rule.diagnostic.split(" - ")
    side = 1 if rule.above else -1

    def signs(value: float) -> dict[str, float]:
        return {first: value, **dict.fromkeys(rest, 0.0)}

    far = rule.bound + side * 3 * rule.gain
    well = signs(rule.bound - side * 0.3 * rule.bound)
    assert diagnoses([(1, signs(far)), (2, signs(far))], 2) == []
    assert [f.name for f in diagnoses([(1, well)] + [(step, signs(far)) for step in (2, 3, 4)], 4)] == [rule.name]
    assert diagnoses([(step, signs(far)) for step in (2, 3, 4)], 4)[0].since == 2
    assert diagnoses([(step, signs(far)) for step in (2, 3, 4)] + [(5, well)], 5) == []
    row = [(2, signs(far)), (3, signs(far)), (4, well), (5, signs(far))]  # better once, by chance
    assert [(f.name, f.since) for f in diagnoses(row, 5)] == [(rule.name, 2)]
    assert verdict(row[:3], 5).startswith("healthy")
    assert diagnoses([(1, signs(far)), (2, well), (3, signs(far)), (4, well), (5, signs(far))], 5) == []
    assert verdict([(2, well), (3, well), (4, signs(far))], 4).startswith("unsettled")
    better = [(step, signs(far - side * step * 0.6 * rule.gain)) for step in (1, 2, 3)]
    assert diagnoses(better, 3) == []
    assert diagnoses([(step, signs(far)) for step in (1, 2, 3)], 1000) == []  # too early to tell
    assert diagnoses([(step, signs(far)) for step in (2000, 2001, 2002)], 100_000) != []  # and late enough


@pytest.mark.parametrize("game", REGISTRY)
def test_diagnostics_of_every_game_are_numbers_and_change_nothing(game: str) -> None:
    from dataclasses import replace

    data = load("digits")
    shape = data.shape
    made = build(game, shape, double=False)
    if made.feeds is PartlyLabeled:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("examples.CLASSES", data.labels)
            if game == "semi-aae":
                made = build(game, shape, double=False, prior="codes(categorical=[10], uniform=0)", latent_dim=14)
            else:
                made = build(game, shape, double=False)
    if made.data.other is not None:
        data = replace(data, other=data)
    made.train()
    made(*batch(made, 32))
    before = {key: value.clone() for key, value in made.state_dict().items()}
    state = torch.get_rng_state()
    found = game_diagnostics(made, data, Identity(64))
    assert torch.equal(state, torch.get_rng_state())
    assert made.training
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())
    assert set(found) <= set(DIAGNOSTICS)
    assert all(math.isfinite(value) for value in found.values())
    # a critic that is to tell a ratio, AVB's, is right to be sure
    assert ("critic_auc" in found) == (
        "critic" in made.players and all(critic.adversarial for critic in critics(type(made)))
    )
    assert 0 <= found.get("critic_auc", 0.5) <= 1
    if made.data.other is None:
        assert {"coverage", "spread", "train_distance"} <= set(found)
    if isinstance(made, Infers):
        assert {"reconstruction_ratio", "reconstruction_ratio_features", "active_units", "latent_error"} <= set(found)


def test_information_of_a_linear_gaussian_encoder() -> None:
    """z = x + s eps with x ~ N(0, 1): I = log(1 + 1 / s^2) / 2."""
    torch.manual_seed(0)
    x = torch.randn(1500, 1, dtype=torch.float64)
    for s in (0.3, 1.0, 3.0):
        sigma = torch.full_like(x, s)
        found = mutual_information(x, sigma, Normal(x, sigma).sample())
        assert found == pytest.approx(math.log1p(s**-2) / 2, abs=0.05)


def test_a_perfect_model_is_distinguished_from_copies_of_the_data() -> None:
    data = load("digits")
    held = torch.from_numpy(data.validation.x).float() / 255
    train = torch.from_numpy(data.train.x[: len(held)]).float() / 255
    signs = {}
    for name, samples in {"copies": train, "alike": held[:1].repeat(len(held), 1, 1, 1), "data": held}.items():
        game = build("gan", data.shape, double=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tasks, "generate", lambda *_, samples=samples, **__: samples)
            signs[name] = game_diagnostics(game, data, Identity(64))
    assert signs["copies"]["train_distance"] == pytest.approx(0, abs=1e-6)
    assert signs["data"]["train_distance"] == pytest.approx(1)
    assert signs["alike"]["spread"] == pytest.approx(0, abs=1e-6)
    assert signs["data"]["spread"] == pytest.approx(1)
    assert signs["alike"]["coverage"] < 0.1 < signs["data"]["coverage"]


def test_what_keeps_the_best_weights_wants_a_folder() -> None:
    with pytest.raises(UserError, match="give `out`"):
        interalia.train(recipes.ali_digits(steps=2, early_stopping=1))


def test_a_training_ends_where_it_has_converged_and_keeps_the_best(tmp_path: Path) -> None:
    fields = {"steps": 5000, "evaluate_every": 10, "early_stopping": 2, "monitor": "reconstruction_ratio"}
    run = recipes.ali_digits(**{**SMALL, **fields, "optimizer": "adam(lr=0.02)"})
    done = interalia.train(run, tmp_path / "run")
    folder = done.folder
    assert folder is not None
    lines = folder.log_lines()
    stopped = [line["stopped"] for line in lines if "stopped" in line]
    assert len(stopped) == 1
    last, best = lines[-1]["step"], done.step
    assert best + 20 <= last < 5000
    values = {
        line["step"]: line["metrics/reconstruction_ratio"] for line in lines if "metrics/frechet_distance" in line
    }
    assert min(values, key=lambda step: values[step]) == best
    assert f"Stopped at step {last:,} of 5,000: reconstruction ratio has not improved" in stopped[0]
    assert folder.weights.read_bytes() == (folder.checkpoints / "best.safetensors").read_bytes()
    again = interalia.load(folder.path)
    assert again.step == best
    z = tasks.sample_latents(again.game, 4, 0)
    assert torch.equal(tasks.decode(again.game, z), tasks.decode(done.game, z))
    # a run that has stopped early does not continue by itself, only with other settings
    assert interalia.train(run, tmp_path / "run", resume=True).step == best
    assert folder.log_lines()[-1]["step"] == last
    further = interalia.train(run.replace(early_stopping=0, steps=last + 5), tmp_path / "run", resume=True)
    assert further.step == last + 5


def test_the_page_shows_health_and_why_a_run_stopped(tmp_path: Path) -> None:
    from interalia import reports

    training = trained(tmp_path / "run", steps=40, evaluate_every=20)
    page = reports.write(tmp_path / "run").read_text()
    assert "Health at the last evaluation: too early to tell (reconstruction ratio" in page
    assert "Health checks" in page
    with open(training.folder.log, "a", encoding="utf-8") as file:  # type: ignore[union-attr]
        file.write(json.dumps({"step": 40, "stopped": "Stopped at step 40 of 900: for a reason."}) + "\n")
    assert "for a reason" in reports.write(tmp_path / "run").read_text()
    with open(training.folder.log, "a", encoding="utf-8") as file:  # type: ignore[union-attr]
        file.write(json.dumps({"step": 41}) + "\n")
    assert "for a reason" not in reports.write(tmp_path / "run").read_text()
    with pytest.raises(UserError, match="no signs of health"):
        plots.health_chart([{"step": 1}], tmp_path / "x.png")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_verdict_says_which_state_it_is(rule: Any) -> None:
    beyond = rule.bound + (0.5 if rule.above else -0.02)
    first, *rest = rule.diagnostic.split(" - ")
    signs = {first: beyond, **dict.fromkeys(rest, 0.0)}
    far = [(step, signs) for step in (500, 1000, 1500, 2000)]
    fine = {first: rule.bound + (-0.02 if rule.above else 0.5), **dict.fromkeys(rest, 0.0)}
    assert state(verdict(far, 2000)) == "unhealthy"
    assert state(verdict([*far[:1], *((step, fine) for step, _ in far[1:])], 2000)) == "healthy"
    assert state(verdict([*((step, fine) for step, _ in far[:-1]), far[-1]], 2000)) == "unsettled"
    assert state(verdict(far[:1], 20000)) == "too early to tell"


def test_the_strip_chart_shows_the_verdicts_and_differences_that_have_a_bound(tmp_path: Path) -> None:
    from PIL import Image

    log = [
        {"step": step, "health/critic_auc": 0.9, "health/margin": 1.0, "health/reconstruction_ratio": 0.5}
        for step in (10, 20)
    ]
    verdicts = [{"step": 10, "verdict": "healthy."}, {"step": 20, "verdict": "samples are alike, since step 10."}]
    beside = [{"step": step, "health/critic_auc_held_out": 0.6} for step in (10, 20)]
    heights = []
    for lines in (log, log + verdicts, log + verdicts + beside):  # 3 panels; 4; and with the sign its difference, 6
        with Image.open(plots.health_chart(lines, tmp_path / "x.png")) as image:
            heights.append(image.height)
            colours = {colour for _, colour in image.convert("RGB").getcolors(10**6)}
            assert ((0, 158, 115) in colours) == (lines is not log)
    assert heights[0] < heights[1] == heights[2]


def test_a_game_without_a_critic_is_told_of_what_it_has() -> None:
    ignored = [(step, {"reconstruction_ratio": 0.99}) for step in (500, 1000, 1500)]
    copies = [(step, {"train_distance": 0.1}) for step in (500, 1000, 1500)]
    gaussian, bernoulli = build("vae", (1, 8, 8)), build("vae(likelihood='bernoulli')", (1, 8, 8))
    regressor = build("latent-regressor", (1, 8, 8))
    flow = "simultaneous"
    (finding,) = diagnoses(ignored, 1500, {}, exclusions(gaussian, flow))
    assert "try a smaller sigma in --game or larger --lr or more --steps" in finding.sentence
    for game in (bernoulli, regressor):
        (finding,) = diagnoses(ignored, 1500, {}, exclusions(game, flow))
        assert finding.sentence.endswith("try larger --lr or more --steps")
    (finding,) = diagnoses(copies, 1500, {}, exclusions(gaussian, flow))
    assert finding.sentence.endswith("try a smaller --latent-dim or fewer --steps")
    assert all(rule.options_without_critic or "critic_auc" in rule.diagnostic for rule in RULES)


def test_converged_weights_have_statistics_of_their_own(tmp_path: Path) -> None:
    """`recalibrate_bn` applies to the best weights too, with which early stopping ends."""
    run = interalia.Run(
        data="digits", game="ali", networks="auto(width=8)", latent_dim=4, steps=400, evaluate_every=5, early_stopping=1,
        recalibrate_bn=7, monitor="reconstruction_ratio", lr={"generator": 0.0}, weight_average="none",
    )  # fmt: skip
    done = interalia.train(run, out=tmp_path / "run")
    assert done.step < 400
    again = interalia.load(tmp_path / "run")
    seen = [value for key, value in again.game.state_dict().items() if key.endswith("num_batches_tracked")]
    assert seen
    assert {int(count) for count in seen} == {7}
    for key, value in done.game.state_dict().items():
        torch.testing.assert_close(again.game.state_dict()[key], value)
