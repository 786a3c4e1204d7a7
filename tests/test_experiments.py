"""The frame for experiments, and its first member in its quick form."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from interalia import UserError, papers
from interalia.errors import DivergedError
from interalia.papers import experiment
from interalia.papers.avb_mnist import against_vae
from interalia.papers.experiment import Experiment, Job, Setting
from interalia.registry import Part
from interalia.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def counted(done: list[tuple[str, int]], breaks_at: int | None = None) -> Experiment:
    """An experiment whose work is a sum, and which can be broken off."""

    def jobs(setting: Setting) -> Iterator[Job]:
        for row in ("a", "b"):
            for seed in range(setting.seeds):

                def work(row: str = row, seed: int = seed) -> dict[str, float]:
                    if breaks_at == len(done):
                        raise KeyboardInterrupt
                    done.append((row, seed))
                    return {"sum": seed + (10.0 if row == "b" else 0.0)}

                yield Job(row, seed, work, 7)

    paper = {"a": {"the paper": {"sum": "3.1"}}}
    return Experiment(
        name="counted", about="Sums.", rows=jobs, columns={"sum": "sum ↑"}, paper=paper, method="as printed", seeds=3
    )


def test_a_table_has_our_rows_and_the_papers(tmp_path: Path) -> None:
    done: list[tuple[str, int]] = []
    path = experiment.reproduce(counted(done), out=tmp_path)
    text = path.read_text()
    assert "| a | ours | 3 | 1 ± 0.58 | 7 |" in text
    assert "| b | ours | 3 | 11 ± 0.58 | 7 |" in text
    assert "| a | the paper |  | 3.1 |" in text
    for word in ("as printed", "Seeds: 0, 1, 2", "Machine", "torch", "Commit", "Date"):
        assert word in text
    table = json.loads((path.parent / "table.json").read_text())
    assert table["summary"]["b"]["sum"] == pytest.approx([11.0, 1 / 3**0.5])
    assert len(table["rows"]) == 6


def test_an_interrupted_experiment_goes_on_where_it_stopped(tmp_path: Path) -> None:
    done: list[tuple[str, int]] = []
    with pytest.raises(KeyboardInterrupt):
        experiment.reproduce(counted(done, breaks_at=4), out=tmp_path)
    assert len(done) == 4
    text = (tmp_path / "counted" / "table.md").read_text()
    assert "| a | ours | 3 |" in text
    assert "| b | ours | 1, without seeds 1, 2 |" in text
    experiment.reproduce(counted(done), out=tmp_path)
    assert done == [(row, seed) for row in ("a", "b") for seed in range(3)]
    (tmp_path / "counted" / "runs").mkdir()
    experiment.reproduce(counted(done), out=tmp_path, force=True)
    assert len(done) == 12
    assert not (tmp_path / "counted" / "runs").exists()  # old trainings would be taken for new ones


def test_gains_over_the_vae_are_of_the_same_images(tmp_path: Path) -> None:
    """Images differ by a hundred nats, the rows by one: the error of the difference is that of the latter."""
    run = Run(latent_dim=8, seed=3)
    base = torch.tensor([-50.0, -100.0, -150.0], dtype=torch.float64)
    assert against_vae(base, tmp_path, "VAE, 8 latents", run) == {}
    found = against_vae(base + torch.tensor([1.0, 2.0, 3.0]), tmp_path, "AVB, 8 latents", run)
    assert found == {"above": pytest.approx(2), "above_error": pytest.approx(1 / 3**0.5)}
    assert against_vae(base, tmp_path, "AVB, 8 latents", run.replace(seed=4)) == {}  # whose VAE there is not


def test_a_cut_is_said(tmp_path: Path) -> None:
    path = experiment.reproduce(counted([]), out=tmp_path, steps=5, seeds=1)
    assert "CUT to 5 steps" in path.read_text()


def test_only_some_rows(tmp_path: Path) -> None:
    done: list[tuple[str, int]] = []
    experiment.reproduce(counted(done), out=tmp_path, filter="b")
    assert {row for row, _ in done} == {"b"}
    with pytest.raises(UserError, match="no row of counted"):
        experiment.reproduce(counted(done), out=tmp_path, filter="c")


def test_no_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 1"):
        experiment.reproduce(counted([]), out=tmp_path, seeds=0)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quick forms made quicker: of an experiment's figures the first is drawn, its chains are short, its networks narrow."""
    from interalia.metrics.likelihood import annealing, hamiltonian
    from interalia.papers import avb, avb_mnist, mixture
    from interalia.reports import plots

    drawn: list[Path] = []
    draw = plots._write_figure

    def write(figure: Figure, path: Path | str) -> Path:
        if not drawn:
            drawn.append(draw(figure, path))
        return Path(path)

    narrow = {}
    for name, row in mixture.MIXTURE_ALI.rows.items():
        run = row.run.replace(networks=row.run.networks.replace("width=128", "width=8"), recalibrate_bn=2)
        narrow[name] = dataclasses.replace(row, run=run)
    study = dataclasses.replace(mixture.MIXTURE_ALI, rows=narrow)
    monkeypatch.setitem(papers.REGISTRY.built_in, study.name, study)  # type: ignore[arg-type]
    monkeypatch.setattr(plots, "_write_figure", write)
    monkeypatch.setattr(mixture.Inferred, "discrepancy_count", 200)
    small = {"images": 2, "weights": 4, "chains": 1, "temperatures": 3, "simulated": 2}
    monkeypatch.setitem(avb_mnist.ESTIMATES, "quick", small)
    monkeypatch.setattr(avb, "SAMPLES", 5000)
    monkeypatch.setattr(avb, "SIDE", 50)
    monkeypatch.setattr(avb, "schools_truth", functools.partial(avb.schools_truth, points=101))
    monkeypatch.setattr(annealing, "DRAWS", 8)
    monkeypatch.setattr(hamiltonian, "KNOTS", 2)
    monkeypatch.setattr(hamiltonian, "SETTLING", 1)
    monkeypatch.setattr(hamiltonian, "ROUNDS", 1)


@pytest.mark.usefixtures("hasty")
def test_mixture_25_works_end_to_end(tmp_path: Path) -> None:
    from interalia.papers import mixture

    path = papers.reproduce("mixture-25", quick=True, steps=20, out=tmp_path, filter="beta1 0.8")
    rows = json.loads((path.parent / "table.json").read_text())["rows"]
    assert [row["row"] for row in rows] == ["ALI, Adam 0.0001, beta1 0.8", "GAN, Adam 0.0001, beta1 0.8"]
    assert [job.row for job in mixture.MIXTURE_25.jobs(Setting(True, None, 1, 20, tmp_path))] == [
        f"{game}, Adam {adam}"
        for adam in ("0.0001, beta1 0.8", "0.0001, beta1 0.2", "0.001, beta1 0.5")
        for game in ("ALI", "GAN")
    ]
    assert all(0 <= row["values"]["high_quality"] <= 100 for row in rows)
    assert "PacGAN" in path.read_text()


SOME = {  # rows that stand for a whole table in the default suite; all of it is marked long
    "mixture-ali": "ALICE",
    "ali-semisup": "100 labels",
    "ali-clusters": "clusters of z",
    "avb-pixels": "AVB, a fifth",
    "avb-mnist": "AVB + adaptive contrast, 8",
    "eight-schools": "AVB, falling",
    "ali-stability": "tuned",
    "hali-mnist": "HALI with",
    "sem-ali": "Adam",
}


@pytest.mark.parametrize("part", ["some", pytest.param("all", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("alice-toy", {"icp", "mse"}),
        ("bigan-mnist", {"hidden"}),
        ("mixture-ali", {"modes", "high_quality", "reverse_kl"}),
        (
            "hali-mnist",
            {"mse", "upper_mse", "features", "digits", "ratio", "upper_ratio", "few", "frechet", "parameters"},
        ),
        (
            "conditional-ali",
            {"generated", "photographs", "frechet", "floor", "spread", "precision", "recall", "coverage"},
        ),
        ("ali-clusters", {"frechet", "floor", "precision", "recall", "coverage"}),
        ("ali-sleep", {"ratio", "latents", "kl", "variance", "neighbour", "frechet", "coverage"}),
        ("ali-semisup", {"error"}),
        ("sem-ali", {"mse", "rate", "step", "training"}),
        ("avb-pixels", {"likelihood", "bound", "error", "kl"}),
        ("avb-mnist", {"told", "ais", "error", "gap", "hours"}),
        ("vae-manifold", {"elbo", "error"}),
        ("eight-schools", {"means", "spreads", "tau", "evidence", "gap"}),
        ("recipe-search", {"cost", "ratio", "frechet", "coverage"}),
        ("ali-stability", {"failed", "diverged", "collapsed", "ignored", "ratio", "coverage", "frechet"}),
        ("alice-mnist", {"mse", "score", "real"}),
    ],
)
@pytest.mark.usefixtures("hasty")
def test_the_experiments_of_inference_and_of_stability_work_end_to_end(
    name: str, columns: set[str], part: str, tmp_path: Path
) -> None:
    only = SOME.get(name) if part == "some" else None
    path = papers.reproduce(name, quick=True, steps=3, out=tmp_path, filter=only)
    rows = json.loads((path.parent / "table.json").read_text())["rows"]
    assert len({row["row"] for row in rows}) == len(rows) >= (1 if only else 3)
    assert all(columns <= set(row["values"]) for row in rows)
    again = papers.reproduce(name, quick=True, steps=3, out=tmp_path, filter=only)  # goes on: nothing is left to do
    assert json.loads((again.parent / "table.json").read_text())["rows"] == rows


def test_a_run_that_diverges_counts_as_failed(tmp_path: Path) -> None:
    from interalia.papers.ali import ALI_STABILITY
    from interalia.runs import recipes

    run = recipes.ali_digits(name="wild", steps=32, optimizer="sgd(lr=1e30)", divergence="pearson")
    study = dataclasses.replace(ALI_STABILITY, rows={"wild": run}, quick={})
    for diverged in (study.diverged, {}):
        own = dataclasses.replace(study, diverged=diverged)
        path = experiment.reproduce(own, quick=True, out=tmp_path / str(len(diverged)))
        (row,) = json.loads((path.parent / "table.json").read_text())["rows"]
        assert row["values"] == diverged
    assert study.diverged == {"failed": 100.0, "diverged": 100.0}


def test_the_rate_of_a_method_is_the_one_with_the_least_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from interalia.papers import sem_ali

    def curve(run: Any, part: str) -> Any:
        assert (part, run.seed) == ("validation", sem_ali.TUNING_SEED)  # never test data, never a seed of the table
        rate = Part(run.optimizer).settings["lr"]
        if rate > 5e-4:
            raise DivergedError("too fast")
        return [(1.0, 0.5), (2.0, rate)]

    monkeypatch.setattr(sem_ali, "curve", curve)
    setting = Setting(True, None, 1, None, tmp_path / "runs")
    assert sem_ali.best_rate("MNIST", "Adam", 10, setting) == 0.0002
    monkeypatch.setattr(sem_ali, "curve", None)  # it is kept, and not looked for again
    assert sem_ali.best_rate("MNIST", "Adam", 10, setting) == 0.0002


def test_half_a_curve_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C within a training of sem-ali ends the experiment, and nothing of a curve that was cut off is kept."""
    import signal

    from interalia.papers import sem_ali

    monkeypatch.setattr(sem_ali.Curve, "step", lambda *_: signal.raise_signal(signal.SIGINT))
    setting = Setting(True, None, 1, 8, tmp_path / "runs")
    run = sem_ali.run_of("MNIST", "Adam", 0.001, 0, 8, setting)
    with pytest.raises(KeyboardInterrupt):
        sem_ali.curve(run, "validation")
    with pytest.raises(KeyboardInterrupt):
        sem_ali.best_rate("MNIST", "Adam", 8, setting)
    assert not list((tmp_path / "runs").glob("rate-*"))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", ["bilinear", "dirac-gan"])
def test_every_dynamics_has_the_rate_of_the_theory(name: str, tmp_path: Path) -> None:
    from interalia.papers import REGISTRY, experiment
    from interalia.runs.rows import read_rows

    experiment.reproduce(REGISTRY[name], quick=True, out=tmp_path, steps=3)
    rows = read_rows(tmp_path / f"{name}-quick" / "rows.jsonl")
    rated = [row for row in rows if "difference" in row["values"]]
    assert len(rated) >= 10
    for row in rated:
        assert row["values"]["difference"] < 1e-10, row["row"]
        assert row["values"]["factor"] > 0.4, row["row"]
    assert len({round(row["values"]["factor"], 6) for row in rated}) >= 6  # they differ where theory says so


def test_svhn_is_a_row_where_its_files_are(tmp_path: Path) -> None:
    from interalia.papers.labels import ALI_SEMISUP

    def rows() -> set[str]:
        return {job.row for job in ALI_SEMISUP.jobs(Setting(False, tmp_path, 1, 2, tmp_path / "runs"))}

    assert not any("SVHN" in row for row in rows())
    (tmp_path / "svhn").mkdir()
    assert "SVHN, 1,000 labels: K + 1 classes, virtual adversarial training" in rows()
    assert "CIFAR-10, 4,000 labels: K + 1 classes, virtual adversarial training" in rows()


def test_a_seed_that_diverged_leaves_the_others_their_columns() -> None:
    rows = [{"failed": 100.0, "diverged": 100.0}, {"failed": 0.0, "diverged": 0.0, "ratio": 0.3}]
    assert experiment.summary(rows)["ratio"] == (0.3, None)
    assert experiment.summary(rows[::-1])["failed"][0] == 50.0
