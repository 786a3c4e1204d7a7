"""The package in `plugin`: what somebody installs is found, trained with, measured and shown by the library as it is."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from plugged import as_before, install
from program import interalia

from interalia import data, metrics, registry
from interalia.adversarial import divergences
from interalia.adversarial.divergences import FDivergence
from interalia.games import REGISTRY as GAMES
from interalia.registry import Origin
from interalia.runs import Run
from interalia.runs.folder import header
from interalia.runs.recipes import REGISTRY as RECIPES

PACKAGE = Path(__file__).parent / "plugin"
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
ENTRIES = {group.removeprefix("interalia."): own for group, own in PROJECT["entry-points"].items()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, with the package installed: its metadata and its modules are on the path."""
    with as_before():
        install(tmp_path / "site", PROJECT["name"], PROJECT["version"], ENTRIES)
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.syspath_prepend(PACKAGE / "src")
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        yield tmp_path / "work"


@pytest.mark.parametrize("kind", sorted(ENTRIES))
def test_every_entry_is_there_and_says_where_it_is_from(
    kind: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (name,) = ENTRIES[kind]
    module = ENTRIES[kind][name].partition(":")[0]
    entries = registry.registry(kind)
    assert name not in entries.built_in
    assert name in entries
    assert entries.origin(name) == Origin(module, "crescents", "1.0")
    assert interalia("list", kind) == 0
    assert f"from {module} (of crescents 1.0)" in " ".join(capsys.readouterr().out.split())
    assert interalia("list", kind, name) == 0
    assert registry.summary(entries[name]) in " ".join(capsys.readouterr().out.split())


def test_its_divergence_is_one(place: Path) -> None:
    """The bound at the optimal critic, v = log p/q, is the divergence itself."""
    made = registry.make("le-cam", divergences.REGISTRY, "divergence")
    assert isinstance(made, FDivergence)
    p, q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    v = (p / q).log()
    bound = (p * made.output(v)).sum() - (q * made.conjugate(v)).sum()
    assert torch.allclose(bound, (q * made.f(p / q)).sum())
    assert torch.allclose(bound, ((p - q).square() / (p + q)).sum())
    assert torch.equal(made.log_ratio(v), v)


def test_its_metric_is_one(place: Path) -> None:
    metric = metrics.REGISTRY["energy_distance"]

    class Pair:
        protocol = ""
        x = torch.tensor([[0.0], [2.0]])
        samples = torch.tensor([[1.0], [1.0]])

    # 2 E|X - Y| = 2, E|X - X'| = 1, E|Y - Y'| = 0
    assert metric(Pair()) == 1.0  # type: ignore[arg-type]


def test_its_data_are_loaded_by_name(place: Path) -> None:
    found = data.load("crescents", seed=3)
    assert (found.shape, found.labels, len(found.train), len(found.test)) == ((2,), 2, 20_000, 2_000)
    assert (found.test.x == data.load("crescents", seed=4).test.x).all()


def test_it_is_trained_measured_and_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("train", "crescents", "--steps", 20, "--evaluate-every", 10, "--checkpoint-every", 10) == 0
    run = place / "runs/crescents"
    kept = json.loads((run / "run.json").read_text())
    module = {
        "data": "data",
        "game": "games",
        "networks": "networks",
        "divergence": "divergences",
        "monitor": "metrics",
    }
    assert kept["plugins"] == {
        key: {"module": f"crescents.{name}", "package": "crescents", "version": "1.0"} for key, name in module.items()
    }
    assert header(run / "weights.safetensors")["plugins"] == kept["plugins"]
    assert header(run / "checkpoints/best.safetensors")["run"]["monitor"] == "energy_distance"
    results = json.loads((run / "results.json").read_text())
    measures = {measure["name"]: measure["value"] for measure in results["metrics"]}
    page = (run / "report.html").read_text()
    assert f"Samples lie {measures['energy_distance']:.3f} from the data in energy distance." in page
    assert "ALI with several critics" in page
    assert "--plugin" not in page  # which an installed package needs not
    whole = (run / "checkpoints/last.pt").read_bytes()
    capsys.readouterr()
    assert interalia("generate", run, "--count", 5, "--out", "x.npz") == 0
    assert interalia("reconstruct", run) == 0
    assert interalia("train", "--resume", run, "--steps", 22) == 0
    assert whole != (run / "checkpoints/last.pt").read_bytes()


def test_what_is_missing_without_it_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from interalia import train

    train(RECIPES["crescents"](steps=1, name="run"), "run", callbacks=[])
    # nobody writes weights then: the description alone
    with as_before(), pytest.MonkeyPatch.context() as patch:
        for kind in registry.KINDS:
            entries = registry.registry(kind)
            entries.added, entries.origins = {}, {}
        patch.setattr(registry, "entry_points", lambda group: [])
        assert interalia("train", "--resume", "run", "--steps", 2) == 2
    said = capsys.readouterr().err
    assert (
        "is 'ali-ensemble', which is missing here; it was from crescents.games (of crescents 1.0) when the run" in said
    )
    assert said.endswith("install the package crescents (1.0 at that time).\n")


def test_a_recipe_names_its_parts(place: Path) -> None:
    made = RECIPES["crescents"](steps=7)
    assert isinstance(made, Run)
    assert (made.data, made.divergence, made.steps) == ("crescents", "le-cam", 7)


DOCS = (Path(__file__).parents[1] / "docs/plugins.md").read_text()


def test_the_page_about_plug_ins_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    registry.registry("experiments")  # imports them, which need all games
    monkeypatch.setattr(GAMES, "built_in", {name: GAMES[name] for name in ("ali", "alice")})  # so that checks are quick
    python = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    bash = re.findall(r"```bash\n(.*?)```", DOCS, re.DOTALL)
    alone = [line for block in (bash[0], bash[2]) for line in block.splitlines()]  # without the package of bash[1]
    Path("my_module.py").write_text(python[0].partition("trained = ")[0])
    with as_before():
        names: dict[str, object] = {"__name__": "__main__"}
        for block in python:
            exec(compile(block, "plugins.md", "exec"), names)
    for line in alone:
        variable, _, rest = line.partition(" ") if line.startswith("INTERALIA_") else ("", "", line)
        with as_before(), pytest.MonkeyPatch.context() as patch:
            if variable:
                patch.setenv(*variable.split("=", 1))
            assert interalia(*shlex.split(rest.replace("--steps 50", "--steps 4"))[1:]) == 0, line
    capsys.readouterr()
    with as_before():
        assert interalia("generate", "runs/mine") == 2
    said = " ".join(re.findall(r"```text\n(.*?)```", DOCS, re.DOTALL)[0].split())
    assert " ".join(capsys.readouterr().err.split()) == said


def test_the_page_names_every_group() -> None:
    assert set(re.findall(r"`interalia\.(\w+)`(?=[,\w` .]*\|)", DOCS)) == set(registry.KINDS)
