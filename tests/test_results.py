"""From a run to its results: on pairs of numbers as on images, with an encoder and without, with the protocol beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from interalia import UserError, data, reports
from interalia.runs import loading, recipes
from interalia.runs.folder import Folder
from interalia.training import engine
from interalia.training.callbacks import Checkpoint


@pytest.mark.parametrize(
    "recipe",
    [recipes.ali_grid25, pytest.param(recipes.gan_grid25, marks=pytest.mark.long)],
    ids=lambda recipe: recipe.__name__,
)
def test_a_mixture_has_a_plane_and_modes(recipe: recipes.Recipe, tmp_path: Path) -> None:
    run = recipe(steps=10, evaluate_every=10, log_every=5)
    trained = engine.train(run, tmp_path / "run")
    reports.make(trained)
    folder = Folder(tmp_path / "run")
    found = {m["name"]: m["value"] for m in json.loads(folder.results.read_text())["measures"]}
    assert 0 <= found["modes"] <= 25
    assert ("reconstruction_mse" in found) == hasattr(trained.game, "encoder")
    assert Image.open(folder.figures / "plane.png").size[0] > 300
    assert "25" in folder.report.read_text()


def test_a_game_of_two_latents_has_its_plane_on_the_page_and_no_other_has(tmp_path: Path) -> None:
    for latent in (2, 3):
        trained = engine.train(recipes.ali_digits(game="vae", latent_dim=latent, steps=2), tmp_path / str(latent))
        reports.make(trained)
        assert (Folder(tmp_path / str(latent)).figures / "manifold.png").exists() == (latent == 2)
        assert ("evenly spaced in the prior" in Folder(tmp_path / str(latent)).report.read_text()) == (latent == 2)


def test_results_say_how_they_came_about(tmp_path: Path) -> None:
    trained = engine.train(recipes.ali_digits(steps=10, seed=7), tmp_path / "run")
    found = reports.evaluate(trained, seed=3)
    assert found["seeds"] == {"training": 7, "evaluation": 3}
    assert found["training"]["steps"] == 10
    assert found["training"]["images_per_second"] > 0
    assert {"torch", "numpy", "interalia"} <= set(found["versions"])
    text = Folder(tmp_path / "run").table.read_text()
    for word in ("Machine:", "Commit:", "Date:", "Seeds: training 7", 'data = "digits"', "| reconstruction_ratio |"):
        assert word in text
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.replace("\\|", "").count("|") == 5


def test_measuring_changes_nothing_and_is_the_same_twice(tmp_path: Path) -> None:
    import torch

    trained = engine.train(recipes.ali_digits(steps=10), tmp_path / "run")
    before = {key: value.clone() for key, value in trained.game.state_dict().items()}
    state = torch.get_rng_state()
    first, second = reports.evaluate(trained), reports.evaluate(trained)
    assert first["measures"] == second["measures"]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[key], value) for key, value in trained.game.state_dict().items())


def test_a_bare_file_of_weights_has_no_folder_for_results(tmp_path: Path) -> None:
    trained = engine.train(recipes.ali_digits(steps=2), tmp_path / "run")
    bare = loading.load(tmp_path / "run" / "weights.safetensors")
    with pytest.raises(UserError, match="give the run's folder"):
        reports.evaluate(bare)
    assert trained.step == bare.step == 2


def test_a_trained_run_loads_its_data_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[str] = []
    load = data.load

    def counted(name: str, *args: Any, **settings: Any) -> Any:
        times.append(name)
        return load(name, *args, **settings)

    monkeypatch.setattr(data, "load", counted)
    run = recipes.gan_grid25(steps=1, batch_size=4, evaluate_every=0)
    trained = engine.train(run, tmp_path / "run", callbacks=[Checkpoint()])
    reports.make(trained)
    assert times == ["grid25"]  # from the training
    again = loading.load(tmp_path / "run")
    assert times == ["grid25"]
    reports.make(again)
    assert times == ["grid25"] * 2
