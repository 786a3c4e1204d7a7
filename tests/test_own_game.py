"""A game, and data, of one's own: trained by the engine, kept, resumed, loaded and measured like any other."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import interalia
from interalia import cli, reports
from interalia.adversarial.divergences import KL
from interalia.adversarial.joints import Joints
from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError
from interalia.games import ALI, VAE, Outcome
from interalia.networks.mlp import MLP, PairCritic
from interalia.runs import FROM_PYTHON, Run
from interalia.runs.folder import Folder
from interalia.training import engine


class Tied(ALI):
    """ALI that also charges its generator for |z|^2 of what it infers: no member of the catalogue."""

    def losses(self, joints: Joints) -> Outcome:
        found = super().losses(joints)
        charge = joints["q"][1].square().sum(1).mean()
        return Outcome({**found.losses, "generator": found.losses["generator"] + 0.1 * charge}, found.scores)


def own_game(seed: int = 0, latent: int = 4) -> Tied:
    torch.manual_seed(seed)
    decoder = nn.Sequential(MLP(latent, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))
    encoder = nn.Sequential(nn.Flatten(), MLP(64, 2 * latent))
    return Tied(Gaussian(encoder), Deterministic(decoder), Flat(latent), StandardNormal(latent), divergence=KL())


class Flat(nn.Module):
    """A critic of (x, z)."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.joint = PairCritic(MLP(64 + latent, 1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        score: Tensor = self.joint(x.flatten(1), z)
        return score


def own_data() -> Dataset:
    x = np.random.default_rng(0).integers(0, 256, (300, 1, 8, 8), dtype=np.uint8)
    return Dataset("squares", Split(x[:200]), Split(x[200:250]), Split(x[250:]), about="Squares of noise.")


def said(words: list[str]) -> None:
    """A command that has to end well."""
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(words)


OWNED = {"game": own_game, "data": own_data}
RUN = Run(name="mine", batch_size=32, steps=8, evaluate_every=4, checkpoint_every=2, weight_average="ema(0.9)")


def test_it_trains_on_data_of_the_catalogue_and_on_ones_own() -> None:
    trained = interalia.train(RUN, game=own_game())
    assert isinstance(trained.game, Tied)
    assert (trained.game.data.shape, trained.run.game, trained.run.latent_dim, trained.run.data) == (
        (1, 8, 8),
        FROM_PYTHON,
        4,
        "digits",
    )
    assert interalia.generate(trained.game, 3).shape == (3, 1, 8, 8)
    both = interalia.train(RUN, game=own_game(), dataset=own_data())
    assert (both.run.data, both.in_memory and both.in_memory.name) == (FROM_PYTHON, "squares")
    described = interalia.train(RUN, dataset=own_data())  # data of one's own under a game of the catalogue
    assert isinstance(described.game, ALI)
    assert described.game.data.shape == (1, 8, 8)


def test_it_moves_by_its_own_losses() -> None:
    plain, tied = own_game(), own_game()
    plain.__class__ = ALI
    engine.train(RUN, game=plain)
    engine.train(RUN, game=tied)
    assert any(not torch.equal(a, b) for a, b in zip(plain.parameters(), tied.parameters(), strict=True))


def test_it_is_resumed_bit_for_bit_and_loaded(tmp_path: Path) -> None:
    whole = interalia.train(RUN, tmp_path / "whole", game=own_game(), dataset=own_data())
    interalia.train(RUN.replace(steps=4), tmp_path / "parts", game=own_game(), dataset=own_data())
    parts = interalia.train(RUN, tmp_path / "parts", resume=True, game=own_game(7), dataset=own_data())
    for key, value in whole.game.state_dict().items():
        assert torch.equal(value, parts.game.state_dict()[key]), key
    fresh = own_game(3)
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    loaded = interalia.load(tmp_path / "parts", game=fresh)
    assert loaded.game.data.shape == (1, 8, 8)
    assert isinstance(loaded.game, Tied)
    for key, value in loaded.game.state_dict().items():
        assert torch.equal(value, whole.game.state_dict()[key]), key
    assert all(torch.equal(value, before[key]) for key, value in fresh.state_dict().items())


def test_it_is_measured_and_has_its_page(tmp_path: Path) -> None:
    interalia.train(RUN, tmp_path / "run", game=own_game(), dataset=own_data())
    loaded = interalia.load(tmp_path / "run", game=own_game(), dataset=own_data())
    page = reports.make(loaded).read_text(encoding="utf-8")
    names = {measure["name"] for measure in json.loads(Folder(tmp_path / "run").results.read_text())["metrics"]}
    assert {"reconstruction_ratio", "frechet_distance"} <= names
    assert "a custom game" in page
    assert "squares" in page
    assert "pairs (data, inferred z)" not in page  # what its critic judges is its own
    assert "with the game and the data from Python" in Folder(tmp_path / "run").table.read_text()
    path = str(tmp_path / "run")
    said(["report", path])
    lines = [html.unescape(line) for line in re.findall(r"<dt><code>(.*?)</code></dt>", page)]
    assert lines.pop() == f"interalia report {path}"
    known: dict[str, Any] = {"interalia": interalia}
    for line in lines:  # as the page says them, with what was given
        exec(line, known | {"game": own_game(), "dataset": own_data()}, known)
    assert Folder(path).run().steps == 16
    with pytest.raises(SystemExit, match="2"):
        cli.main(["train", "--resume", path])


def test_a_game_of_the_catalogue_on_data_of_ones_own_has_commands_that_run(tmp_path: Path) -> None:
    path = tmp_path / "run"
    reports.make(interalia.train(RUN.replace(latent_dim=4), path, dataset=own_data()))
    page = Folder(path).report.read_text(encoding="utf-8")
    lines = [html.unescape(line) for line in re.findall(r"<dt><code>(.*?)</code></dt>", page)]
    commands = [line for line in lines if line.startswith("interalia ")]
    assert [line.split()[1] for line in commands] == ["generate", "report"]
    for line in commands:
        said(line.split()[1:])
    known: dict[str, Any] = {"interalia": interalia}
    for line in lines:
        if line not in commands:
            exec(line, known | {"dataset": own_data()}, known)


def test_data_have_to_fit_a_game_of_ones_own() -> None:
    shaped = own_game()
    bernoulli = VAE(shaped.encoder, shaped.decoder, shaped.prior, likelihood="bernoulli")
    with pytest.raises(UserError, match="'digits' has gray values"):
        interalia.train(RUN, game=bernoulli)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"penalty": "r1"}, "penalty"),
        ({"encoder": "deterministic"}, "encoder"),
        ({"latent_dim": 7}, "latent_dim"),
        ({"game": "gan"}, "game"),
    ],
)
def test_a_run_that_describes_what_is_given_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"`{said}` is .* a custom game is given beside the run; leave `{said}` out"):
        interalia.train(RUN.replace(**changes), tmp_path / "run", game=own_game())
    assert not (tmp_path / "run").exists()


def test_what_is_missing_or_does_not_fit_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run"
    interalia.train(RUN, path, game=own_game(), dataset=own_data())
    with pytest.raises(UserError, match=r"interalia\.load\(folder, game=\.\.\.\)"):
        interalia.load(path)
    with pytest.raises(UserError, match="do not fit `game`"):
        interalia.load(path, game=own_game(latent=5))
    with pytest.raises(UserError, match=r"given from Python.*interalia\.load\(folder, dataset=\.\.\.\)"):
        reports.evaluate(interalia.load(path, game=own_game()))
    with pytest.raises(UserError, match="leave `generator` out"):
        interalia.train(RUN, game=own_game(), generator=nn.Identity())
    with pytest.raises(UserError, match="`data` is 'mnist', and custom data are given beside the run"):
        interalia.train(RUN.replace(data="mnist"), dataset=own_data())
    interalia.train(Run(steps=1, batch_size=32, latent_dim=2, evaluate_every=0), tmp_path / "other")
    with pytest.raises(UserError, match="leave `game` out"):
        interalia.load(tmp_path / "other", game=own_game())
    with pytest.raises(UserError, match="trained on digits, data that its run names; leave `dataset` out"):
        interalia.load(tmp_path / "other", dataset=own_data())
    for given, missing in (({"game": own_game()}, "dataset"), ({"dataset": own_data()}, "game")):
        with pytest.raises(UserError, match=f"the {missing} of this run was given from Python.*{missing}="):
            interalia.train(Folder(path).run(), path, resume=True, **given)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="'<own>'"):  # which is no other part's name
        interalia.train(RUN.replace(optimizer=FROM_PYTHON), game=own_game())
    with pytest.raises(SystemExit, match="2"):
        cli.main(["generate", str(path)])
    assert "interalia.load(folder, game=...)" in capsys.readouterr().err
