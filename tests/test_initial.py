"""Initial weights from another run: which layers fit, what is said, and which runs are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program import interalia as command

import interalia
from interalia import Run, UserError
from interalia.reports import rendering
from interalia.runs import initial
from interalia.runs.folder import Folder, header, read_weights
from interalia.training import engine

TINY: dict[str, Any] = {"networks": "auto(width=2)", "batch_size": 8, "evaluate_every": 0, "latent_dim": 5}


def pixels(channels: int, side: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (40, channels, side, side), dtype=np.uint8)


def trained(folder: Path, **fields: Any) -> Path:
    given = {"data": pixels(3, 16), **TINY, "steps": 2, "verbose": False, **fields}
    interalia.train("ali-images", folder, **given)
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "first")


def start(source: Path, data: Any, **fields: Any) -> engine.Training:
    """The training at step 0 of a run that starts from another."""
    run = Run(**{"game": "alice", **TINY, "steps": 2, "init_from": str(source), **fields})
    dataset, run = engine.own_dataset(run, data)
    return engine.prepare(run, dataset=dataset)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    file = Folder(folder).weights
    return read_weights(file, header(file))


def test_an_equal_game_gets_all_weights(first: Path) -> None:
    training = start(first, pixels(3, 16))
    assert training.initial is not None
    assert training.initial.left == {}
    assert len(training.initial.lines()) == 1
    found = training.game.state_dict()
    for name, tensor in weights(first).items():
        assert torch.equal(found[name], tensor), name
        assert torch.equal(training.averaged_game.state_dict()[name], tensor), name


def test_other_channels_leave_the_first_and_the_last_convolution(first: Path) -> None:
    training = start(first, pixels(4, 16))
    assert training.initial is not None
    assert set(training.initial.left) == {
        "encoder.network.body.0.0", "decoder.network.head.0", "critic.x.0.0",
    }  # fmt: skip
    assert training.initial.left["encoder.network.body.0.0"] == "shape (2, 4, 4, 4), and there (2, 3, 4, 4)"
    source, found = weights(first), training.game.state_dict()
    for name, other in training.initial.taken.items():
        assert torch.equal(found[f"{name}.weight"], source[f"{other}.weight"])


def test_a_larger_image_gets_the_layers_that_it_shares(first: Path) -> None:
    training = start(first, pixels(3, 32))
    assert training.initial is not None
    taken = training.initial.taken
    assert taken["encoder.network.body.0.0"] == "encoder.network.body.0.0"
    assert taken["decoder.network.head.0"] == "decoder.network.head.0"  # near the image, behind more layers than there
    assert training.initial.left


def test_layers_are_found_at_other_places_in_their_order() -> None:
    a, b, c = torch.zeros(2, 3), torch.zeros(3, 4), torch.zeros(3)
    own = {"d.0.weight": a, "d.2.weight": b, "d.3.bias": c, "d.10.weight": a, "other.0.weight": b}
    taken, layers, left = initial.match(own, {"d.0.weight": b, "d.1.bias": c, "d.4.weight": a})
    assert taken == {"d.2.weight": "d.0.weight", "d.3.bias": "d.1.bias", "d.10.weight": "d.4.weight"}
    assert layers == {"d.2": "d.0", "d.10": "d.4"}
    assert set(left) == {"d.0", "other.0"}
    assert left["other.0"] == "no such layer there"


def test_ali_from_the_decoder_of_a_gan(tmp_path: Path) -> None:
    gan = trained(tmp_path / "gan", game="gan")
    training = start(gan, pixels(3, 16), game="ali")
    assert training.initial is not None
    assert all(name.startswith(("encoder", "critic")) for name in training.initial.left)
    assert any(name.startswith("decoder") for name in training.initial.taken)
    assert "encoder 0 of " in training.initial.lines()[0]
    assert "no such layer there" in training.initial.lines()[1]
    assert "which run.json lists" in training.initial.lines()[1]


def test_the_best_weights_by_their_file(first: Path, tmp_path: Path) -> None:
    shutil.copy(Folder(first).weights, tmp_path / "best.safetensors")
    assert start(tmp_path / "best.safetensors", pixels(3, 16)).initial is not None


def test_what_cannot_be_started_from_is_refused(first: Path, tmp_path: Path) -> None:
    for path, message in ((tmp_path / "no", "there is no run"), (tmp_path / "no.safetensors", "there is no run")):
        with pytest.raises(UserError, match=message):
            start(path, pixels(3, 16))
    with pytest.raises(UserError, match=r"no layer of .* fits this game"):
        start(first, pixels(3, 16), networks="mlp(width=7)", latent_dim=3)
    bad = tmp_path / "bad"
    shutil.copytree(first, bad)
    content = bytearray(Folder(bad).weights.read_bytes())
    content[-5] ^= 255
    Folder(bad).weights.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read: .*damaged"):
        start(bad, pixels(3, 16))
    Folder(bad).weights.unlink()
    with pytest.raises(UserError, match="has no weights yet"):
        start(bad, pixels(3, 16))


def test_a_resumed_run_does_not_need_the_other_one(first: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(first, source)
    run = Run(data="digits", **TINY, steps=4, checkpoint_every=3, init_from=str(source))
    whole = engine.train(run, tmp_path / "whole", callbacks=None, verbose=False)
    kept = json.loads((tmp_path / "whole" / "run.json").read_text())["initial_weights"]
    assert kept["digest"] == header(Folder(source).weights)["digest"]
    assert kept["taken"]
    assert kept["left"]
    opened = engine.open_run(run, tmp_path / "part")
    assert opened.claim is not None
    opened.claim.release()  # as if it had been killed before its first step
    shutil.rmtree(source)
    part = engine.train(run, tmp_path / "part", resume=True, verbose=False)
    for name, tensor in whole.game.state_dict().items():
        assert torch.equal(part.game.state_dict()[name], tensor), name
    assert json.loads((tmp_path / "part" / "run.json").read_text())["initial_weights"] == kept


def test_from_the_command_line(first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "few.npy", pixels(3, 16)[:20])
    given = ("train", "--data", tmp_path / "few.npy", "--steps", 1, "--batch-size", 4, "--no-report")
    assert command(*given, "--init-from", first, "--out", tmp_path / "run") == 0
    assert "Initial weights from" in capsys.readouterr().err
    page = rendering.write(tmp_path / "run").read_text()
    assert f"The training started from the weights of {first} (" in page
    assert "initial_weights" not in page
    run = Folder(tmp_path / "run").run()
    assert (run.networks, run.latent_dim, run.init_from) == ("auto(width=2)", 5, str(first))
    assert command(*given, "--init-from", tmp_path / "none", "--out", tmp_path / "x") == 2
    assert "there is no run" in capsys.readouterr().err
    assert command("train", "--resume", tmp_path / "run", "--init-from", first) == 2
    assert "keeps its settings" in capsys.readouterr().err
