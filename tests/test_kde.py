"""f-GAN's networks, and its experiment on MNIST in miniature."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from examples import write_idx
from torch import nn

from interalia import UserError
from interalia.metrics.likelihood import log_densities
from interalia.networks import Critic, Map
from interalia.networks.layers import Sigmoid
from interalia.networks.perceptrons import FGAN
from interalia.papers import experiment, kde
from interalia.spaces import Space

MNIST = Path(__file__).parents[2] / "shared" / "data"


def made(shape: tuple[int, ...] = (1, 28, 28), **settings: float) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    family, x = FGAN(**settings), Space("x", shape, "unit" if len(shape) == 3 else "real")  # type: ignore[arg-type]
    needs = Map((Space("z", (100,)),), x), Critic((x,))
    decoder, critic = (family.make(need) for need in needs)
    for need, network in zip(needs, (decoder, critic), strict=True):
        family.init_weights(need, network)
    return decoder, critic


def linears(network: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]


def test_the_networks_are_the_papers() -> None:
    decoder, critic = made()
    assert linears(decoder) == [(100, 1200), (1200, 1200), (1200, 784)]
    assert linears(critic) == [(784, 240), (240, 240), (240, 1)]
    assert [type(m) for m in decoder.modules() if not list(m.children())] == [
        nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, Sigmoid
    ]  # fmt: skip
    kinds = [type(m) for m in critic.modules() if not list(m.children())]
    assert kinds == [nn.Flatten, nn.Linear, nn.ELU, nn.Linear, nn.ELU, nn.Linear]


@pytest.mark.parametrize(("which", "scale"), [(0, 0.05), (1, 0.005)])
def test_weights_are_uniform_to_their_scale(which: int, scale: float) -> None:
    for module in made()[which].modules():
        if isinstance(module, nn.Linear):
            assert float(module.weight.detach().abs().max()) == pytest.approx(scale, rel=0.03)
            assert float(module.weight.detach().std()) == pytest.approx(scale / 3**0.5, rel=0.1)
            assert module.bias is None or not module.bias.any()


def test_the_experiment_trains_those_networks() -> None:
    from interalia.runs import building

    torch.manual_seed(0)
    game = building.build(kde.TRAINING, (1, 28, 28))
    widest = max(float(m.weight.detach().abs().max()) for m in game.decoder.modules() if isinstance(m, nn.Linear))
    assert widest == pytest.approx(0.05, rel=1e-3)
    assert float(game.prior.sample((1000,)).abs().max()) == pytest.approx(1, abs=1e-3)
    assert game.prior.size == 100


@pytest.mark.parametrize("shape", [(2,), (3, 8, 8)])
def test_other_shapes(shape: tuple[int, ...]) -> None:
    decoder, critic = made(shape)
    x = decoder(torch.rand(4, 100))
    assert x.shape == (4, *shape)
    assert critic(x).shape == (4,)


def test_a_game_that_infers_is_refused() -> None:
    with pytest.raises(UserError, match=r"'fgan-mnist' have no encoder; choose other `networks`"):
        FGAN().make(Map((Space("x", (1, 28, 28), "unit"),), Space("z", (100,))))


def test_scikit_learns_tree_agrees_in_few_dimensions_and_not_in_many() -> None:
    draw = torch.Generator().manual_seed(0)
    few = torch.rand(400, 3, generator=draw)
    exact = log_densities(few[:50], few[50:], [0.1])[0]
    assert kde.by_tree(few[:50], few[50:], 0.1).numpy() == pytest.approx(exact.numpy(), abs=1e-3)
    many = 0.15 * torch.randn(200, 784, generator=draw)
    exact = log_densities(many[:50], many[50:], [0.1])[0]
    assert float((kde.by_tree(many[:50], many[50:], 0.1) - exact).mean()) > 100  # what the note says of it


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """Files in MNIST's format: squares of random places and brightness."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, count in (("train", 360), ("t10k", 60)):
        x = np.zeros((count, 28, 28), np.uint8)
        for image, (i, j) in zip(x, draw.integers(0, 20, (count, 2)), strict=True):
            image[i : i + 8, j : j + 8] = draw.integers(100, 256)
        labels = draw.integers(0, 10, count).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(write_idx(x))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(write_idx(labels))
    return tmp_path


def test_the_experiment_works_end_to_end_and_resumes(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kde, "QUICK_SAMPLES", 120)
    names = (kde.ALL, kde.SOME, "KL", "Jeffrey")
    rows = {row: kde.FGAN_KDE.rows[row] for row in names}
    study = dataclasses.replace(kde.FGAN_KDE, rows=rows, quick={"steps": 30, "batch_size": 32})
    how = {"quick": True, "data_dir": small_mnist, "steps": 3, "out": tmp_path / "out"}
    path = experiment.reproduce(study, **how)
    rows = {row["row"]: row for row in json.loads((path.parent / "table.json").read_text())["rows"]}
    assert list(rows) == list(names)
    for row in rows.values():
        assert set(row["values"]) == set(study.columns)
        assert all(np.isfinite(value) for value in row["values"].values())
    assert rows[kde.ALL]["values"]["likelihood"] > rows["KL"]["values"]["likelihood"]  # 3 steps teach nothing
    assert len(list((path.parent / "pictures").glob("*.png"))) == 2
    text = path.read_text()
    assert "CUT to" in text.split("Protocol:")[1]
    assert "25799" in text
    for figure in ("502", "416", "-2101"):
        assert f"| {figure} |" in text
    (path.parent / "rows.jsonl").unlink()  # the trainings are still there
    again = json.loads((experiment.reproduce(study, **how).parent / "table.json").read_text())["rows"]
    assert [row["values"] for row in again] == [row["values"] for row in rows.values()]


def test_there_is_a_row_for_each_of_the_papers(tmp_path: Path) -> None:
    from interalia.adversarial import divergences
    from interalia.papers.experiment import Setting

    found = list(kde.FGAN_KDE.jobs(Setting(False, None, 2, None, tmp_path)))
    assert [job.row for job in found] == [kde.ALL, kde.SOME, *kde.DIVERGENCES, *kde.DIVERGENCES]  # seed by seed
    assert set(kde.DIVERGENCES.values()) <= set(divergences.REGISTRY)
    assert set(kde.FGAN_KDE.paper) == {kde.ALL, *kde.DIVERGENCES}


def test_calibration_takes_validation_images_too(small_mnist: Path, tmp_path: Path) -> None:
    from interalia.papers.experiment import Setting

    seen = []

    def score(samples: torch.Tensor, test: torch.Tensor, quick: bool) -> dict[str, float]:
        seen.append((len(samples), len(test)))
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kde, "score", score)
        patch.setattr(kde, "QUICK_SAMPLES", 100)
        for quick in (False, True):
            jobs = kde.FGAN_KDE.jobs(Setting(quick, small_mnist, 1, None, tmp_path))
            for job in itertools.islice(jobs, 2):
                job.measure()
    assert seen == [(360, 60), (360, 60), (200, 60), (100, 60)]


@pytest.mark.skipif(not (MNIST / "mnist").exists(), reason="the files of MNIST are not here")
def test_training_images_score_what_the_protocol_says() -> None:
    from interalia import data

    dataset = data.load("mnist", data_dir=MNIST)
    train, test = (data.as_tensor(part.x).flatten(1) for part in (dataset.train, dataset.test))
    train, test = train[:4000], test[:1000]
    found = log_densities(test, train, [0.18])[0]
    squares = torch.cdist(test[:20].double(), train.double()).square()
    direct = (-squares / (2 * 0.18**2)).logsumexp(1) - np.log(4000) - 392 * np.log(2 * np.pi * 0.18**2)
    assert found[:20].numpy() == pytest.approx(direct.numpy(), abs=0.01)
