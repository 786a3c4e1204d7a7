"""A metric is one function: an evaluation, a training, the page, the list and the command line all read the same entry."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from program import interalia as program

import interalia
from interalia import data, metrics, reports, tasks
from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError
from interalia.games import Game
from interalia.metrics import REGISTRY, Evidence, Metric, Tile, definitions, evaluate, metric, needs, training_metrics
from interalia.metrics.entries import Need
from interalia.metrics.evaluation import check_monitor, compute_metrics
from interalia.runs import recipes
from interalia.runs.folder import Folder
from interalia.training import engine


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """Without labels, so that no classifier has to be trained."""
    whole = data.load("digits")
    return Dataset("bare", *(Split(part.x[:60]) for part in (whole.train, whole.validation, whole.test)))


@pytest.fixture(scope="module")
def game() -> Game:
    return interalia.build(recipes.ali_digits())


@pytest.fixture(autouse=True)
def _registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for own in ("added", "origins"):
        monkeypatch.setattr(REGISTRY, own, dict(getattr(REGISTRY, own)))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often each task was called."""
    found: dict[str, int] = {}
    for name in ("sample_latents", "decode", "encode", "infer", "reconstruct", "generate", "features", "translate"):
        monkeypatch.setattr(tasks, name, counting(found, name, getattr(tasks, name)))
    return found


def counting(found: dict[str, int], name: str, function: Any) -> Any:
    def call(*given: Any, **settings: Any) -> Any:
        found[name] = found.get(name, 0) + 1
        return function(*given, **settings)

    return call


# ---- the entries


@pytest.mark.parametrize("name", list(REGISTRY))
def test_what_every_entry_says(name: str) -> None:
    entry = REGISTRY[name]
    assert entry.name == name
    assert entry.about.endswith(".")
    assert entry.group is not None
    for need in (*entry.group.needs, *entry.needs):
        assert need.text  # completes "it needs ..."
        assert not need.text.endswith(".")
    if entry.tile is not None:
        assert entry.tile.form.format(0.5)
        assert entry.tile.about.format(made="samples")
        assert entry.tile.baseline is None or entry.tile.baseline[0] in REGISTRY
    if isinstance(entry.sentence, str):
        named = {field for _, field, _, _ in string.Formatter().parse(entry.sentence) if field}
        assert name in named <= set(REGISTRY)
        assert entry.sentence_for(dict.fromkeys(named, 0.5), {}).endswith(".")
    elif entry.sentence is not None:
        assert entry.sentence_for({name: 0.5}, {}).endswith(".")


def test_the_table_is_of_metrics_and_its_texts_are_used() -> None:
    for name, fields in definitions.TABLES["metrics"].items():
        entry = REGISTRY[name]
        assert (entry.about, entry.better, entry.unit) == (
            fields["about"],
            fields.get("better"),
            fields.get("unit", ""),
        )
        assert [need.text for need in entry.needs] == [needs.TEXTS[need] for need in fields.get("needs", [])]
        assert (entry.tile is None) == ("tile" not in fields)
        assert (entry.sentence is None) == ("sentence" not in fields)
    assert isinstance(REGISTRY["modes"].tile, Tile)
    assert set(needs.TEXTS) == {name for name, need in vars(needs).items() if isinstance(need, Need)}


def test_a_group_stands_together() -> None:
    """Between two groups large evidence is dropped; a group in two places would be computed twice."""
    names = [entry.group.name for entry in REGISTRY.values() if entry.group]
    runs = [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
    assert len(runs) == len(set(runs))


def test_a_sentence_of_a_metric_that_was_not_taken_is_left_out() -> None:
    precision = REGISTRY["precision"]
    assert precision.sentence_for({"precision": 0.5}, {}) == ""
    assert precision.sentence_for({"precision": 0.5, "recall": 0.25}, {}).startswith(
        "50% of the samples lie in the neighbourhood"
    )
    assert REGISTRY["psnr"].sentence_for({"psnr": 20.0}, {}) == ""


# ---- evidence


def test_evidence_is_computed_once(game: Game, digits: Dataset, calls: dict[str, int]) -> None:
    evaluate(game, digits)
    # latents: z of the samples, and the prior's draws beside those of q(z); infer: E(G(z)); encode: draws of q(z | x)
    assert calls == {"reconstruct": 1, "sample_latents": 2, "decode": 1, "encode": 1, "infer": 1}


def test_evidence_is_computed_at_its_first_use(game: Game, digits: Dataset, calls: dict[str, int]) -> None:
    def never() -> None:
        raise AssertionError("nothing asks for an untrained game")

    e = Evidence(game, digits, untrained=never)
    assert calls == {}
    assert REGISTRY["reconstruction_mse"](e) == pytest.approx(float((e.x - e.x_hat).double().square().mean()))
    assert calls == {"reconstruct": 1}
    assert evaluate(game, digits, names=["psnr"])[0].name == "psnr"
    assert calls == {"reconstruct": 2}


def test_what_is_dropped_is_computed_again_and_the_same(game: Game, digits: Dataset, calls: dict[str, int]) -> None:
    e = Evidence(game, digits, count=20, seed=3)
    x_hat, samples = e.x_hat, e.samples
    e.drop()
    assert e.samples is samples  # which most metrics share
    assert e.x_hat is not x_hat
    assert torch.equal(e.x_hat, x_hat)
    e.drop("samples")
    assert e.samples is not samples
    assert torch.equal(e.samples, samples)
    assert calls["reconstruct"] == 2
    e.drop("x_hat", "x_hat", "never computed")


def test_an_evaluation_holds_large_evidence_no_longer_than_its_group(game: Game, digits: Dataset) -> None:
    e = Evidence(game, digits)
    held: list[set[str]] = []

    @metric()
    def last(e: Evidence) -> float:
        """What is held after all others, which are of other groups."""
        held.append(set(Evidence.LARGE) & set(vars(e)))
        return 0.0

    compute_metrics(e)
    assert held == [set()]
    assert "samples" in vars(e)


def test_the_attributes_of_evidence(game: Game, digits: Dataset) -> None:
    e = Evidence(game, digits, "validation", count=20, seed=3)
    assert e.protocol == "20 of 60 of the validation split, seed 3"
    assert e.x.shape == e.x_hat.shape == e.samples.shape == (20, 1, 8, 8)
    assert torch.equal(e.samples, tasks.generate(game, 20, 3, sample=True))
    assert torch.equal(e.x_hat, tasks.reconstruct(game, e.x, 3))
    assert torch.equal(e.z_hat, tasks.encode(game, e.x, 3, sample=True))
    assert (e.y, e.condition, e.probabilities, e.translates) == (None, None, None, False)
    assert e.features[0] is e.comparisons["x"].features[0]
    assert [len(part) for part in e.latents] == [60, 20]
    assert e.hidden[1].shape[0] == 20
    for large in Evidence.LARGE:
        assert isinstance(vars(Evidence)[large].__doc__, str)


# ---- some names


def test_the_metrics_of_some_names_are_those_of_all(game: Game, digits: Dataset) -> None:
    every = {one.name: one for one in evaluate(game, digits, seed=2)}
    names = ["coverage", "psnr", "aggregate_posterior_kl", "frechet_real_vs_real"]
    found = evaluate(game, digits, seed=2, names=names)
    assert [one.name for one in found] == [
        "psnr",
        "frechet_real_vs_real",
        "coverage",
        "aggregate_posterior_kl",
    ]  # the registry's order
    for one in found:
        assert one == every[one.name]
    quick = evaluate(game, digits, names=["psnr"], quick=True)
    assert [one.name for one in quick] == ["psnr"]  # which no training takes


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "`names` is empty"),
        (["psrn"], "there is no metric 'psrn'; did you mean 'psnr'"),
        (["psnr", "modes"], "the metric 'modes' is not defined for ALICE on 'bare': it needs data from a mixture"),
        (["linear_probe_latent"], "it needs labelled data other than a mixture, and a game that is not conditional"),
        (["inception_score"], "it needs features of a network that predicts classes"),
        (["code_bound"], "it needs a game whose prior has codes"),
        (["cycle_error"], "it needs a game between two domains"),
    ],
)
def test_names_that_cannot_be_taken(game: Game, digits: Dataset, names: list[str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        evaluate(game, digits, names=names)
    assert says in str(caught.value)


# ---- a metric of one's own


@pytest.fixture
def brightness() -> Metric:
    @metric(
        "higher",
        "gray",
        needs=(needs.images,),
        during_training=True,
        tile=Tile("{:.3f}", "brightness of the {made}", ("frechet_real_vs_real", "<floor>")),
        sentence="Samples are as bright as {brightness:.3f}.",
    )
    def brightness(e: Evidence) -> float:
        """Mean of all pixels of samples."""
        return float(e.samples.mean())

    return brightness


def test_one_function_is_everywhere(brightness: Metric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERALIA_CACHE", str(tmp_path))
    monkeypatch.setattr("interalia.metrics.classifier.SEEN", 1_000)
    run = recipes.ali_digits(steps=4, evaluate_every=2, log_every=2, monitor="brightness", batch_size=16)
    trained = engine.train(run, tmp_path / "run")
    folder = Folder(tmp_path / "run")
    lines = [json.loads(line) for line in folder.log.read_text().splitlines()]
    seen = [line["metrics/brightness"] for line in lines if "metrics/brightness" in line]
    assert len(seen) == 2
    assert folder.best.exists()
    reports.evaluate(trained, names=["brightness", "frechet_real_vs_real"])
    reports.write(folder.path)
    value = float(tasks.generate(trained.game, 300, sample=True).mean())
    page = folder.report.read_text()
    assert f"<b>{value:.3f}</b> brightness of the samples (&lt;floor&gt;: " in page
    assert f"Samples are as bright as {value:.3f}." in page
    assert "Mean of all pixels of samples." in page
    assert (
        f"| brightness | {value:.4g} gray | higher | 300 of 300 of the test split, seed 0 |" in folder.table.read_text()
    )


def test_it_is_watched_where_it_exists(brightness: Metric, game: Game, digits: Dataset) -> None:
    assert training_metrics(digits, game) == ("reconstruction_ratio", "frechet_distance", "brightness")
    check_monitor("brightness", digits, game)
    vectors = Dataset("vectors", *(Split(part.x.reshape(60, -1)) for part in (digits.train,) * 3))
    assert "brightness" not in training_metrics(vectors, game)
    with pytest.raises(
        UserError, match="`monitor` is 'brightness', which is not computed during the training of ALICE"
    ):
        check_monitor("brightness", vectors, game)


def test_it_is_listed(brightness: Metric, capsys: pytest.CaptureFixture[str]) -> None:
    assert program("list", "metrics") == 0
    assert "Mean of all pixels of samples." in " ".join(capsys.readouterr().out.split())


def test_an_entry_may_be_made_by_hand(game: Game, digits: Dataset) -> None:
    REGISTRY.add("darkness", Metric("darkness", "The sum of all pixels.", lambda e: (e.samples.sum(), "so"), "lower"))
    (found,) = evaluate(game, digits, names=["darkness"])
    assert (found.value, found.protocol) == (float(tasks.generate(game, 60, sample=True).sum()), "so")
    assert "darkness" in {one.name for one in evaluate(game, digits)}
    assert "darkness" not in training_metrics(digits, game)


# ---- the command line and the files


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics") / "run"
    engine.train(recipes.ali_digits(steps=2, batch_size=16), folder)
    return folder


def test_the_program_takes_names(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Folder(trained)
    assert program("evaluate", trained, "--metrics", "psnr, reconstruction_ratio", "--features", "random") == 0
    assert [one["name"] for one in json.loads(home.results.read_text())["metrics"]] == ["reconstruction_ratio", "psnr"]
    assert program("evaluate", trained, "--metrics", "frechet_distance", "--features", "random") == 0
    found = json.loads(home.results.read_text())["metrics"]  # what was measured of these weights before stays
    assert [one["name"] for one in found] == ["reconstruction_ratio", "psnr", "frechet_distance"]
    assert program("evaluate", trained, "--metrics", "psnr", "--seed", 1) == 0  # of other draws: begun anew
    assert [one["name"] for one in json.loads(home.results.read_text())["metrics"]] == ["psnr"]
    home.results.write_text("damaged")
    assert program("evaluate", trained, "--metrics", "psnr") == 0
    capsys.readouterr()
    assert program("evaluate", trained, "--metrics", "modes") == 2
    assert "it needs data from a mixture of known modes" in " ".join(capsys.readouterr().err.split())


def test_every_public_name_is_there() -> None:
    for name in metrics.__all__:
        assert getattr(metrics, name) is not None
