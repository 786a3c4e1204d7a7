"""Pages of real runs: their first line, close-ups, groups and marks; every command and line of Python on them runs."""

from __future__ import annotations

import csv
import dataclasses
import html
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program import interalia as program

import interalia
from interalia import Run, UserError, data, metrics, reports, tasks
from interalia.data.dataset import Dataset, Split
from interalia.disk import read_json
from interalia.reports import closeups, measuring
from interalia.reports.rendering import _changes
from interalia.reports.sentences import shown_name
from interalia.runs import recipes
from interalia.runs.folder import Folder
from interalia.tasks import verbs
from interalia.training import engine

SMALL = {"networks": "mlp(width=4)", "batch_size": 16, "evaluate_every": 0, "latent_dim": 3}


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of random convolutions, and evaluations of few samples."""
    monkeypatch.setattr("interalia.metrics.evidence.COUNT", 40)
    known = measuring.extractor_for
    monkeypatch.setattr(
        measuring, "extractor_for", lambda dataset, device, kind: known(dataset, device=device, kind="random")
    )


def lines_of(page: Path) -> list[str]:
    """The commands and lines of Python that a page shows under its last heading."""
    return [html.unescape(line) for line in re.findall(r"<dt><code>(.*?)</code></dt>", page.read_text(), re.DOTALL)]


def typed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **names: Any) -> list[str]:
    """Types every line of a page as a user in the folder `tmp_path`, from the first on; returns the names of the commands."""
    monkeypatch.chdir(tmp_path)
    found = []
    for line in lines_of(page):
        if not line.startswith("interalia "):
            exec(line, names)
            continue
        words = shlex.split(line)[1:]
        found.append(words[0])
        if words[0] == "likelihood":  # minutes of annealing: a few images and temperatures in place of many
            words[words.index("--count") + 1] = "2"
            words += ["--temperatures", "2", "--chains", "1", "--leapfrog", "1", "--simulated", "0"]
        assert program(*words) == 0, line
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"game": "ali", "condition_on": "labels"}, {"edit", "neighbours", "encode", "reconstruct", "interpolate"}),
        ({"game": "gan"}, {"generate", "evaluate", "report", "train"}),
        ({"game": "vae(likelihood='gaussian')", "data": "grid25"}, {"encode", "reconstruct", "detect"}),
        ({"game": "cyclegan", "data_b": "digits-inverted"}, {"translate"}),
    ],
    ids=lambda value: str(value.get("game", "")) if isinstance(value, dict) else "",
)
def test_every_command_of_a_page_runs(
    fields: dict[str, Any], expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {key: value for key, value in SMALL.items() if key != "latent_dim" or fields["game"] != "cyclegan"}
    run = Run(**{"data": "digits", "name": "mine", "steps": 1, **small, **fields})
    home = tmp_path / "a run"
    page = reports.page(engine.train(run, home, callbacks=None))
    assert '<p class="assessment no-verdict">no verdict: not evaluated' in page.read_text()
    assert expected <= set(typed(page, tmp_path, monkeypatch))
    assert re.search(r'<p class="assessment (not-usable-yet|partly-usable)">', page.read_text())
    assert Folder(home).run().steps == 2


def test_every_line_of_the_page_of_custom_data_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((150, 5)).astype(np.float32)
    table = Dataset("sheet", Split(x[:100]), Split(x[100:120]), Split(x[120:]))
    run = Run(game="ali", steps=1, **SMALL)
    page = reports.make(engine.train(run, tmp_path / "run", dataset=table))
    assert {path.name for path in (tmp_path / "run" / "figures").glob("*.png")} >= {"errors.png", "latents.png"}
    typed(page, tmp_path, monkeypatch, dataset=table)
    assert interalia.load(tmp_path / "run", dataset=table).step == 2


class Stopping(interalia.training.callbacks.Callback):
    """Presses Ctrl-C after the second step."""

    def step(self, training: Any, outcome: Any) -> None:
        import signal

        if training.step == 2:
            signal.raise_signal(signal.SIGINT)


def test_a_stopped_training_has_its_page_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = interalia.training.callbacks.default_callbacks
    monkeypatch.setattr(
        "interalia.training.callbacks.default_callbacks",
        lambda training, **given: [*usual(training, progress=False), Stopping()],
    )
    monkeypatch.chdir(tmp_path)
    fields = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    assert program("train", "ali-digits", "--steps", 9, "--out", "run", *fields) == 130
    page = tmp_path / "run" / "report.html"
    text = page.read_text()
    assert "; 2 of 9 steps</p>" in text
    assert lines_of(page)[0] == "interalia train --resume run"
    printed = capsys.readouterr().out
    assert "not usable yet: reconstructions are no better than chance" in printed
    monkeypatch.setattr("interalia.training.callbacks.default_callbacks", usual)
    assert program(*shlex.split(lines_of(page)[0])[1:]) == 0
    assert "; 9 steps</p>" in page.read_text()
    capsys.readouterr()
    assert program("evaluate", "run", "--metrics", "coverage,recall,precision,reconstruction_ratio") == 0
    assert "not usable yet: " in capsys.readouterr().out


# ---- what the page shows


def test_metrics_stand_in_groups_and_the_last_one_is_folded(tmp_path: Path) -> None:
    run = recipes.ali_digits(steps=1, **SMALL)
    text = reports.make(engine.train(run, tmp_path / "run")).read_text()
    headings = [
        text.index(f"<h3>{title}</h3>") for title in ("Reconstructions", "Samples", "Classification by features")
    ]
    assert headings[0] < headings[2] or headings == sorted(headings)
    folded = text[text.index("<details>") : text.index("</details>")]
    assert "aggregate posterior kl" in folded
    assert "reconstruction ratio" not in folded
    assert text.count("<details>") == 1
    assert "frechet distance (own features, not FID)" in text
    assert "knn1 features balanced" in text
    assert "own features, not FID" in (tmp_path / "run" / "results.md").read_text()
    shown = {path.name for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert {"errors.png", "worst.png", "latents.png", "nearest.png", "samples_by_label.png"} <= shown
    assert "<dt class=changed>networks</dt>" in text
    assert "Marked: what differs from the recipe ali-digits" in text


def test_every_group_of_metrics_has_a_title() -> None:
    named = {one.group.name for one in metrics.REGISTRY.values() if one.group}
    assert named | {"other"} == set(reports.sentences.texts("groups"))


def test_what_differs_from_the_recipe_is_told_with_its_value_there() -> None:
    found = _changes(vars(recipes.ali_digits(batch_size=7, seed=3)))
    assert (found["compared"], set(found["changed"])) == ("the recipe ali-digits", {"batch_size"})
    assert found["changed"]["batch_size"] == recipes.ali_digits().batch_size
    same = vars(recipes.ali_digits())
    assert _changes({**same, "divergence": same["divergence"].replace(",", ", ")})["changed"] == {}
    assert _changes({"name": "mine", "batch_size": 7})["compared"] == "the default values"


def test_distances_have_remarks_unless_they_are_fid() -> None:
    own = {"metrics": [{"name": "frechet_distance", "value": 1.0}]}
    inception = {"metrics": [{"name": "fid", "value": 1.0}], "counts": {"evaluated": 5000}}
    assert shown_name("frechet_distance", own) == "frechet distance (own features, not FID)"
    assert shown_name("inception_score", own) == "inception score (own classifier, not Inception)"
    assert shown_name("fid", inception) == "FID (n = 5,000)"
    assert shown_name("inception_score", inception) == "inception score"


# ---- close-ups


def test_copies_of_training_images_are_found_with_their_distance() -> None:
    x = np.random.default_rng(0).random((40, 1, 4, 4), dtype=np.float32)
    queries = torch.from_numpy(x[[7, 30]]) + 0.001
    found, far = closeups.nearest_rows(queries, Split(x), np.arange(40), 3)
    exact = torch.cdist(queries.flatten(1).double(), torch.from_numpy(x).flatten(1).double())
    assert found.tolist() == exact.topk(3, largest=False).indices.tolist()
    assert found[:, 0].tolist() == [7, 30]
    np.testing.assert_allclose(far, exact.topk(3, largest=False).values, rtol=1e-4, atol=1e-5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closeups, "CHUNK", 7)
        assert closeups.nearest_rows(queries, Split(x), np.arange(40), 3)[0].tolist() == found.tolist()


def test_principal_components_are_those_of_the_largest_variances() -> None:
    z = np.random.default_rng(0).standard_normal((500, 4)) * (1, 5, 0.1, 3)
    points, shares = closeups.principal_components(z)
    assert abs(np.corrcoef(points[:, 0], z[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(points[:, 1], z[:, 3])[0, 1]) > 0.99
    assert shares == pytest.approx((z.var(0)[[1, 3]] / z.var(0).sum()).tolist(), rel=0.05)
    assert closeups.principal_components(np.zeros((1, 3)))[0].shape == (1, 2)


# ---- tables of tasks


def test_errors_neighbours_and_latents_come_as_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.train(recipes.ali_digits(steps=1, **SMALL), tmp_path / "run", callbacks=None)
    monkeypatch.chdir(tmp_path)

    def read(name: str) -> list[dict[str, str]]:
        with open(name, newline="") as file:
            return list(csv.DictReader(file))

    images = data.load("digits").test.x[:9]
    np.save("x.npy", images)
    game, x = interalia.load("run").game, data.read_images([Path("x.npy")], (1, 8, 8))
    assert program("reconstruct", "run", "x.npy", "--csv", "e.csv", "--worst", 2, "--out", "w.png") == 0
    errors = ((x - tasks.reconstruct(game, x)) ** 2).flatten(1).mean(1)
    assert [float(row["mse"]) for row in read("e.csv")] == pytest.approx(errors.tolist(), abs=1e-6)
    shown = verbs.reconstruct(game, x, worst=2).figure
    assert shown is not None
    assert torch.equal(shown.arguments["originals"], x[errors.argsort(descending=True)[:2]])
    assert program("encode", "run", "x.npy", "--out", "z.csv") == 0
    z = np.array([[float(row[f"z{i}"]) for i in (1, 2, 3)] for row in read("z.csv")])
    np.testing.assert_allclose(z, tasks.encode(game, x), atol=1e-5)
    assert program("neighbours", "run", "x.npy", "--nearest", 2, "--csv", "n.csv") == 0
    near = read("n.csv")
    assert [row["rank"] for row in near] == ["1", "2"] * 9
    train = data.load("digits").train
    first = data.store.as_tensor(train.x[[int(near[0]["row"])]])
    far = (tasks.encode(game, x[:1]) - tasks.encode(game, first)).norm()
    assert float(near[0]["distance"]) == pytest.approx(float(far), abs=1e-4)
    assert near[0]["label"] == str(train.y[int(near[0]["row"])])  # type: ignore[index]
    assert program("reconstruct", "run", "--csv", "e.csv", "--worst", 2, "--out", "w.png") == 0  # all that are held out
    assert program("encode", "run", "--out", "z.csv") == 0
    assert len(read("e.csv")) == len(read("z.csv")) == len(data.load("digits").test)
    assert program("reconstruct", "run", "--csv", "e.csv", "--count", 3, "--worst", 2, "--out", "w.png") == 0
    assert len(read("e.csv")) == 3
    assert program("reconstruct", "run", "--csv", "e.txt") == 2
    assert program("reconstruct", "run", "--worst", 0) == 2


def test_the_labels_of_neighbours_have_their_names(tmp_path: Path) -> None:
    def named() -> data.Dataset:
        return dataclasses.replace(data.load("digits"), classes=[f"digit {k}" for k in range(10)])

    game, train = interalia.build(recipes.ali_digits(**SMALL)), named().train
    table = verbs.neighbours(game, data.store.as_tensor(train.x[:3]), named, nearest=2).columns
    assert list(table["label"]) == [f"digit {train.y[row]}" for row in table["row"]]  # type: ignore[index]


# ---- features of a file


class Halves(torch.nn.Module):
    """Features of a digit: the means of its upper and its lower half, and four pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.unflatten(2, (2, 4)).mean((1, 3, 4)), x[:, 0, 3, 2:6]], 1)


def exported(path: Path, module: torch.nn.Module) -> Path:
    batch = {0: torch.export.Dim("n")}
    torch.export.save(torch.export.export(module, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=(batch,)), path)
    return path


def test_distances_in_the_features_of_a_file_have_its_name(tmp_path: Path) -> None:
    trained = engine.train(recipes.ali_digits(steps=1, **SMALL), tmp_path / "run", callbacks=None)
    path = exported(tmp_path / "my-halves.pt2", Halves())
    with pytest.raises(UserError, match="can execute any code of its maker; give `trust_features`"):
        reports.evaluate(trained, features=path)
    found = reports.evaluate(trained, features=path, trust_features=True)
    values = {one["name"]: one for one in found["metrics"]}
    assert {"frechet_in_my_halves", "kernel_in_my_halves", "frechet_in_my_halves_real_vs_real"} <= set(values)
    assert not {"frechet_distance", "fid", "kernel_distance", "frechet_real_vs_real"} & set(values)
    assert "my-halves.pt2 (6 features, SHA-256" in values["frechet_in_my_halves"]["protocol"]
    x = torch.from_numpy(np.asarray(data.load("digits").test.x))
    x = x / 255 if x.dtype == torch.uint8 else x
    e = metrics.Evidence(trained.game, data.load("digits"), count=40)
    by_hand = metrics.frechet_distance(Halves()(e.x), Halves()(e.samples))
    assert values["frechet_in_my_halves"]["value"] == pytest.approx(by_hand, rel=1e-4)
    text = reports.page(trained).read_text()
    assert text.index("<h3>Samples</h3>") < text.index("frechet in my halves")
    assert read_json(Folder(tmp_path / "run").results)["counts"]["evaluated"] == 40
    for wrong in ("nothing", tmp_path / "none.pt2"):
        with pytest.raises(UserError):
            reports.evaluate(trained, features=wrong, trust_features=True)
    flat = exported(tmp_path / "flat.pt2", torch.nn.AvgPool2d(2))
    with pytest.raises(UserError, match=r"returns \(2, 1, 4, 4\) for 2 examples; it must return features"):
        reports.evaluate(trained, features=flat, trust_features=True)


def test_fid_and_kid_come_with_the_values_of_real_data(monkeypatch: pytest.MonkeyPatch) -> None:
    class Some(torch.nn.Module):
        """Stands in for the Inception network: features and logits of bytes."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features = x.float().flatten(1)[:, 20:32] / 255
            return features, features

    game, digits = interalia.build(recipes.ali_digits()), data.load("digits")
    extractor = metrics.Inception(Some())
    found = {one.name: one for one in metrics.evaluate(game, digits, extractor=extractor, count=40)}
    assert {"fid", "kid", "fid_real_vs_real", "kid_real_vs_real"} <= set(found)
    assert not {"frechet_distance", "kernel_distance", "frechet_real_vs_real"} & set(found)
    assert abs(found["kid_real_vs_real"].value) < abs(found["kid"].value)
    assert 0 < found["fid_real_vs_real"].value < found["fid"].value
    assert found["fid"].protocol.startswith("40 samples")
