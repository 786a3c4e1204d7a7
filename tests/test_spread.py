"""Samples of q(z | x) on the command line, truncated samples, and the figure of a posterior's spread against errors."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program import interalia as command

import interalia
from interalia import tasks
from interalia.reports import closeups, rendering
from interalia.training.trained import Trained

QUICK: dict[str, Any] = {"steps": 2, "batch_size": 8, "networks": "mlp(width=4)", "latent_dim": 3, "verbose": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return interalia.train("ali-digits", tmp_path_factory.mktemp("runs") / "run", evaluate_every=0, **QUICK)


def test_samples_of_the_posterior_in_files(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained.folder is not None
    run, x = trained.folder.path, trained.dataset.test.x[:5]
    np.save(tmp_path / "x.npy", x)
    given = ("encode", run, tmp_path / "x.npy", "--draws", 4, "--seed", 1, "--out")
    assert command(*given, tmp_path / "z.npz") == 0
    assert "5 latents of 3 dimensions, with 4 samples each" in capsys.readouterr().out
    q = trained.encode(x, draws=4, seed=1)
    with np.load(tmp_path / "z.npz") as found:
        assert found["draws"].shape == (4, 5, 3)
        for name, value in (("z", q.mean), ("std", q.std), ("draws", q.draws)):
            np.testing.assert_array_equal(found[name], value.numpy())
    assert command(*given, tmp_path / "z.csv") == 0
    with open(tmp_path / "z.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:8] == ["file", "z1", "z2", "z3", "std1", "std2", "std3", "z1_draw1"]
    assert len(rows[0]) == 1 + 3 + 3 + 12
    assert float(rows[2]["z2_draw4"]) == pytest.approx(float(q.draws[3, 2, 1]), abs=1e-5)
    capsys.readouterr()
    assert command("encode", run, "--draws", 1) == 2
    assert "--draws is 1, and a deviation needs 2 or more" in capsys.readouterr().err
    assert command("encode", run, "--draws", 4, "--sample") == 2
    assert "leave one of them out" in capsys.readouterr().err


def test_truncated_samples_on_the_command_line(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained.folder is not None
    run, out = trained.folder.path, tmp_path / "x.npz"
    assert command("generate", run, "--count", 6, "--truncation", 0.3, "--out", out) == 0
    expected = tasks.to_units(trained.game, trained.generate(6, seed=0, truncation=0.3))
    with np.load(out) as found:
        np.testing.assert_array_equal(found["x"], expected)
    capsys.readouterr()
    assert command("generate", run, "--truncation", 0) == 2
    assert "--truncation is 0" in capsys.readouterr().err


def test_the_figure_of_spread_and_error(trained: Trained, tmp_path: Path) -> None:
    assert trained.folder is not None
    x = torch.from_numpy(np.array(trained.dataset.test.x[:40])).float() / 255
    spread = closeups.posterior_spread(trained.game, x, None)
    assert spread is not None
    with torch.no_grad():
        variance = trained.game.encoder(x).variance  # type: ignore[operator]
    np.testing.assert_allclose(spread, variance.double().mean(1).sqrt(), rtol=1e-5)
    closeups.draw_inference(trained.game, trained.dataset, tmp_path)
    assert (tmp_path / "spread.png").exists()
    titles = [title for title, _, _ in rendering.figures_in(tmp_path, "pictures")]
    assert closeups.SPREAD in titles
    order = np.arange(9.0)
    assert closeups.rank_correlation(order, order**3) == pytest.approx(1)
    assert closeups.rank_correlation(order, -order) == pytest.approx(-1)
    assert np.isnan(closeups.rank_correlation(order, 0 * order))


@pytest.mark.parametrize("encoder", ["deterministic", "implicit(noise=2)"])
def test_an_encoder_without_a_variance(encoder: str, tmp_path: Path) -> None:
    found = interalia.train("ali-digits", tmp_path / "run", encoder=encoder, evaluate_every=0, **QUICK)
    assert found.folder is not None
    closeups.draw_inference(found.game, found.dataset, found.folder.figures)
    page = rendering.write(found.folder.path).read_text()
    left = f"Left out: {closeups.SPREAD}, because the encoder is deterministic"
    assert (left in page) == (encoder == "deterministic") != (found.folder.figures / "spread.png").exists()
