"""Experiments as tables: which runs a form has, what a protocol tells of them, and the list of rows without doing any."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from interalia import UserError, metrics, papers, reports
from interalia.papers import experiment
from interalia.papers.experiment import Setting
from interalia.papers.study import Row, Study, Trial, rows_of
from interalia.runs import Run, recipes
from interalia.runs.comparing import ALWAYS, GROUPS, describe


class Counted(Trial):
    """Nothing is trained: the values are the run's own."""

    @classmethod
    def of(cls, row, run, setting, facts):  # type: ignore[no-untyped-def]
        from interalia import data

        return cls(row, run, setting, facts, data.load("digits"), None)

    @property
    def values(self):  # type: ignore[no-untyped-def, override]
        return {"length": float(self.run.steps or 0), "seed": 10.0 * self.run.seed or None, "beside": 1.0}


BASE = Run(data="mnist", steps=100, checkpoint_every=7, evaluate_every=3)
STUDY = Study(
    name="counted",
    about="Steps.",
    rows={
        "a": BASE.replace(name="a"),
        "none": Row(BASE.replace(name="none", steps=0), once=True),
        "long": Row(BASE.replace(name="long", steps=1000), full=True),
        "slow": Row(BASE.replace(name="slow", weight_average="none"), quick=False),
    },
    columns={"length": "length ↑", "seed": "ten seeds"},
    trial=Counted,
    paper={"a": {"the paper": {"length": "99"}}},
    quick={"data": "digits", "steps": 5},
    measured="by counting",
    seeds=2,
)


def form(quick: bool = False, steps: int | None = None, data_dir: Path | None = None, seeds: int = 1) -> Setting:
    return Setting(quick, data_dir, seeds, steps, Path("runs"))


def lengths(study: Study, setting: Setting) -> dict[str, int | None]:
    return {row: run.steps for row, (_, run) in study.prepared(setting).items()}


def test_a_list_has_the_rows_of_the_filter(tmp_path: Path) -> None:
    assert "| long | ours |" not in experiment.listing(STUDY, out=tmp_path, filter="a")
    assert "| a | ours |" in experiment.listing(STUDY, out=tmp_path, filter="a")
    with pytest.raises(UserError, match="leave `filter` out"):
        experiment.listing(STUDY, out=tmp_path, filter="no such")


def test_the_smoke_test_lacks_a_row_that_the_experiment_has(tmp_path: Path) -> None:
    for task in (experiment.listing, experiment.reproduce):
        with pytest.raises(UserError, match=r"leaves out the rows with 'slow'.*`quick`"):
            task(STUDY, out=tmp_path, filter="slow", quick=True)
        with pytest.raises(UserError, match="no row of counted has 'none such'"):
            task(STUDY, out=tmp_path, filter="none such", quick=True)


def test_a_row_after_another_is_conditional_on_clusters_of_its_latents(tmp_path: Path) -> None:
    """The folder of the earlier run takes the place of {after}; without it, the run starts with its generator."""
    first = BASE.replace(name="first", data="digits", networks="mlp(width=4)", steps=2, evaluate_every=0)
    seen: list[Run] = []

    class Seen(Counted):
        @classmethod
        def of(cls, row, run, setting, facts):  # type: ignore[no-untyped-def]
            seen.append(run)
            return super().of(row, run, setting, facts)

    study = dataclasses.replace(STUDY, trial=Seen)
    setting = dataclasses.replace(form(), folder=tmp_path)
    for own in ({"condition_on": "kmeans(3, run='{after}')"}, {"game": "posthoc-ali"}):
        study.measure("x", Row(first), first.replace(**own), first, setting)
    place = str((tmp_path / "first-seed-0-steps-2").absolute())
    assert seen[0].condition_on == f"kmeans(3, run='{place}')"
    assert seen[0].pretrained_generator is None
    assert (seen[1].condition_on, seen[1].pretrained_generator) == (None, place)


def test_a_form_has_its_rows_at_their_lengths() -> None:
    assert lengths(STUDY, form()) == {"a": 100, "none": 0, "long": 1000, "slow": 100}
    assert lengths(STUDY, form(quick=True)) == {"a": 5, "none": 0}
    assert lengths(STUDY, form(steps=7)) == {"a": 7, "none": 0, "slow": 7}
    assert lengths(STUDY, form(steps=2000)) == {"a": 2000, "none": 0, "long": 1000, "slow": 2000}
    assert STUDY.shortening(form(steps=2000)) == "CUT to 2,000 steps per training (--steps)"
    shortened = dataclasses.replace(STUDY, shortens=True)
    assert lengths(shortened, form(steps=2000)) == {"a": 100, "none": 0, "long": 1000, "slow": 100}


def test_an_experiment_that_shortens_its_trainings_does_not_say_that_all_are_cut() -> None:
    studies = [study for study in papers.REGISTRY.values() if isinstance(study, Study)]
    for study in studies:
        said = study.shortening(form(steps=2000)) == "no training is longer than 2,000 steps (--steps)"
        assert said == study.shortens, study.name


def test_the_file_of_texts_names_experiments_and_metrics_that_there_are() -> None:
    assert set(experiment.all_texts()) <= set(papers.REGISTRY)
    for name, words in experiment.all_texts().items():
        assert papers.REGISTRY[name].about == words["about"]
        own = [column for column in words["columns"].values() if not isinstance(column, str)]
        assert {column["metric"] for column in own} <= set(metrics.REGISTRY)
        assert {key for column in own for key in column} <= {"heading", "metric", "factor"}
        figures = [found for sources in words.get("paper", {}).values() for found in sources.values()]
        assert all(set(found) <= {"seeds", "steps", *words["columns"]} for found in figures), name


def test_a_row_of_the_file_has_the_fields_of_its_base_unless_it_changes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: dict[str, Any] = {"a": {"recipe": "ali-digits", "steps": 7}, "b": {"base": "a", "seed": 3, "quick": False}}
    monkeypatch.setattr(experiment, "all_texts", lambda: {"own": {"runs": runs}})
    assert experiment.changes("own") == {"a": runs["a"], "b": {**runs["a"], "seed": 3, "quick": False}}
    a, b = rows_of("own").values()
    assert a == Row(recipes.ali_digits(steps=7))
    assert b == Row(recipes.ali_digits(steps=7, seed=3), quick=False)
    runs["c"] = {"base": "later"}
    with pytest.raises(KeyError, match="later"):
        experiment.changes("own")


def test_the_frame_owns_what_is_not_the_papers() -> None:
    run = STUDY.prepared(form(data_dir=Path("there")))["a"][1]
    assert (run.data_dir, run.checkpoint_every, run.evaluate_every) == ("there", 500, 0)
    assert STUDY.prepared(form(quick=True, data_dir=Path("there")))["a"][1].data_dir is None  # data that need no files
    watched = dataclasses.replace(STUDY, evaluations=8, checkpoint_every=3).prepared(form())["a"][1]
    assert (watched.evaluate_every, watched.checkpoint_every) == (12, 3)
    seldom = dataclasses.replace(STUDY, evaluations=8).prepared(form(quick=True))["a"][1]
    assert seldom.evaluate_every == 2  # twice in five steps, for a smoke test is short


def test_jobs_go_seed_by_seed() -> None:
    found = [(job.row, job.seed, job.steps) for job in STUDY.jobs(form(seeds=2))]
    assert found == [
        *[("a", 0, 100), ("none", 0, 0), ("long", 0, 1000), ("slow", 0, 100)],
        *[("a", 1, 100), ("long", 1, 1000), ("slow", 1, 100)],
    ]


def test_a_row_after_another_takes_its_run(tmp_path: Path) -> None:
    gan = Run(
        name="gan",
        game="gan",
        data="digits",
        networks="mlp(width=8)",
        latent_dim=2,
        batch_size=8,
        steps=2,
        weight_average="none",
    )
    rows = {"later": Row(gan.replace(name="later", game="posthoc-ali", seed=0), after="first"), "first": gan}
    runs = []

    class Noted(Trial):
        @classmethod
        def of(cls, row, run, setting, facts):  # type: ignore[no-untyped-def]
            runs.append(run)
            return super().of(row, run, setting, facts)

    error = {"heading": "error", "metric": "reconstruction_mse"}
    columns = {"mse": error, "percent": {**error, "factor": 100}}
    study = dataclasses.replace(STUDY, rows=rows, trial=Noted, columns=columns)
    path = experiment.reproduce(study, out=tmp_path, seeds=1)
    found = [row["values"] for row in json.loads((path.parent / "table.json").read_text())["rows"]]
    assert list(found[0]) == ["mse", "percent"]
    assert found[0]["percent"] == 100 * found[0]["mse"]
    assert found[1] == {}  # a GAN infers nothing, so that the metric is left out
    assert Path(runs[0].pretrained_generator or "").name == "gan-seed-0-steps-2"


def test_values_without_a_column_stand_in_the_file_alone(tmp_path: Path) -> None:
    path = experiment.reproduce(STUDY, out=tmp_path, filter="a")
    rows = json.loads((path.parent / "table.json").read_text())["rows"]
    assert [row["values"] for row in rows] == [{"length": 100, "beside": 1}, {"length": 100, "seed": 10, "beside": 1}]
    assert "beside" not in path.read_text()


def test_a_protocol_tells_what_rows_share_and_what_differs() -> None:
    found = STUDY.protocol(form())
    assert list(found) == ["data", "game", "networks", "optimizer", "length", "metric"]
    assert found["data"] == "mnist"
    assert "weight_average ema(0.999) (slow: none)" in found["optimizer"]
    assert found["length"] == "steps 100 (long: 1,000); batch_size 128"  # a row that is not trained has none
    assert STUDY.protocol(form(quick=True))["data"] == "digits"
    runs = {
        str(size): Run(latent_dim=size, condition_on="labels" if size == 2 else None, grad_clip=float(size == 2))
        for size in (1, 2, 3)
    }
    found = describe(runs, ["latent_dim", "condition_on", "grad_clip", "image_size"])
    assert found == "latent_dim by row 1, 2, 3; condition_on none (2: labels); grad_clip 0.0 (2: 1.0)"


def test_a_protocol_leaves_out_no_field_of_a_run() -> None:
    told = {key for keys in GROUPS.values() for key in keys}
    bookkeeping = {
        *("name", "pretrained_generator", "data_dir", "epochs", "device", "seed", "monitor"),
        *("log_every", "evaluate_every", "early_stopping", "checkpoint_every", "compile", "shards"),
        "keep_checkpoints",
    }
    assert told | bookkeeping == set(Run.__dataclass_fields__)
    assert not told & bookkeeping
    assert set(ALWAYS) <= told


def test_the_list_shows_what_is_known_and_what_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "PAGES", tmp_path)
    (tmp_path / "counted.md").write_text(
        "|  | source | seeds | ten seeds | length ↑ | steps | seconds a seed |\n|---|---|---|---|---|---|---|\n"
        "| slow | ours | 3 | 7 | 8 | 50 | 12 |\n| slow | somebody | 1 | 9 | 9 | 9 |  |\n"
    )
    experiment.reproduce(STUDY, out=tmp_path, filter="a", seeds=1)
    lines = [line for line in experiment.listing(STUDY, out=tmp_path, seeds=1).splitlines() if line.startswith("| ")]
    assert lines[0] == "|  | source | seeds | length ↑ | ten seeds | steps | seconds a seed |"
    assert lines[1] == "| a | ours | 1 | 100 | n/a | 100 | 0 |"  # done here
    assert lines[2] == "| a | the paper |  | 99 |  |  |  |"
    assert lines[3] == "| none | ours | not measured |  |  | 0 | not measured |"
    assert lines[5] == "| slow | ours | 3 (docs/results) | 8 |  | 50 of 100 | 12 |"
    quick = experiment.listing(STUDY, out=tmp_path, quick=True)
    assert "docs/results" not in quick  # whose figures are of the whole form
    assert "| a | ours | not measured |  |  | 5 | not measured |" in quick


@pytest.mark.parametrize("name", list(papers.REGISTRY))
def test_every_experiment_lists_its_rows_and_tells_its_protocol(name: str, tmp_path: Path) -> None:
    found = papers.REGISTRY[name]
    text = papers.listing(name, out=tmp_path)
    setting = found.setting(out=tmp_path)
    rows = list(dict.fromkeys(job.row for job in found.jobs(setting)))
    assert all(f"| {row} | ours |" in text for row in rows)
    assert set(found.paper) <= set(rows)
    assert all(found.protocol(setting).values())
    assert not list(tmp_path.iterdir())


def test_rows_of_a_broken_off_experiment_go_on(tmp_path: Path) -> None:
    """As they were written before experiments were tables."""
    folder = tmp_path / "counted"
    folder.mkdir()
    origin = {"versions": {"python": "3"}, "machine": "m", "commit": "c", "date": "d"}
    old = {"row": "a", "seed": 0, "steps": 100, "values": {"length": 41.0}, "seconds": 2.0, **origin}
    (folder / "rows.jsonl").write_text(json.dumps(old) + "\n")
    path = experiment.reproduce(STUDY, out=tmp_path, filter="a")
    rows = json.loads((path.parent / "table.json").read_text())["rows"]
    assert [row["values"]["length"] for row in rows] == [41, 100]
    setting = STUDY.setting(out=tmp_path)
    assert setting.done("a", 0, 100) == {"length": 41}
    assert setting.done("a", 0, 7) is None


def test_a_form_that_cannot_be_is_refused() -> None:
    for argument in ("seeds", "steps"):
        with pytest.raises(UserError, match=f"`{argument}` is 0"):
            STUDY.setting(**{argument: 0})


def test_the_searchs_finalists_are_those_of_least_cost(tmp_path: Path) -> None:
    """By the rows that are done; a draw that diverged, or was not tried, counts as worst."""
    from interalia.papers import search

    setting = search.RECIPE_SEARCH.setting(out=tmp_path)
    rows, costs = [], {}
    rest = {"seconds": 1.0, **reports.provenance()}
    for data, (_, steps) in search.FIRST.items():
        for place, draw in enumerate([None, *search.points()]):
            ratio = 1.0 if draw is None else (7 * place) % 13 / 13
            values = {"ratio": ratio, "frechet": 1.0} if place != 4 else {}
            costs[search.described(draw)] = ratio if place != 4 else search.WORST
            if place != 2 or data == "digits":
                row = {"row": f"{data}: {search.described(draw)}", "seed": 0, "steps": steps, "values": values}
                rows.append({**row, **rest})
    costs[search.described(search.points()[1])] = search.WORST
    del costs[search.described(None)]
    setting.folder.parent.mkdir(parents=True)
    (setting.folder.parent / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [job.row.partition(": ")[2] for job in search.rows(setting) if job.row.startswith("CIFAR-10")]
    assert found == [search.described(None), *sorted(costs, key=costs.__getitem__)[: search.FINALISTS]]
