"""Conditional GAN from a recipe to a picture by label; labels are the same for both players and survive a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from examples import build

import interalia
from interalia import UserError, engine, recipes, tasks
from interalia.cli import main
from interalia.metrics.evaluation import evaluate
from interalia.runs import Run


def conditional(**fields: object) -> Run:
    return recipes.cgan_mnist(data="digits", networks="auto(width=8)", latent=8, batch=64, evaluate_every=0).replace(
        **fields
    )


def test_batches_hold_the_label_of_each_image() -> None:
    training = engine.prepare(conditional(steps=1))
    index = torch.tensor([3, 1, 5])
    x, y = training.stores[0][index]
    assert training.dataset.train.y is not None
    assert y.argmax(1).tolist() == training.dataset.train.y[index.numpy()].tolist()
    assert y.sum(1).tolist() == [1.0, 1.0, 1.0]
    assert x.shape == (3, 1, 8, 8)


def test_samples_by_label_are_read_as_that_label(tmp_path: Path) -> None:
    trained = interalia.train(conditional(steps=600, optimiser="adam(lr=0.001)"), tmp_path / "run", observers=[])
    found = {m.name: m.value for m in evaluate(trained.game, interalia.runs.dataset(trained.run), count=300)}
    assert found["label_accuracy"] > 0.3  # by chance 0.1
    assert tasks.by_label(trained.game, 2).shape == (20, 1, 8, 8)
    z = tasks.latents(trained.game, 4)
    one, two = (tasks.decode(trained.game, z, label=label) for label in (1, 2))
    assert not torch.equal(one, two)


def program(*arguments: object) -> int:
    """Runs the program in this process and answers its exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_conditional_run_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    short = ("--data", "digits", "--networks", "auto(width=4)", "--steps", 4, "--evaluate-every", 0)
    assert program("train", "cgan-mnist", *short, "--out", folder) == 0
    assert program("generate", folder, "--label", 3, "--count", 5, "--out", tmp_path / "three.npz") == 0
    assert program("generate", folder) == 0
    assert "100 samples" in capsys.readouterr().out
    assert interalia.load(folder).game.labels == 10
    assert program("train", "--resume", folder, "--steps", 6) == 0
    assert program("generate", folder, "--label", 12) == 2
    assert "the label is 12, and this game's labels are 0 to 9." in capsys.readouterr().err


def test_labels_are_refused_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was not told any labels"):
        tasks.generate(build("gan", double=False), 2, label=1)
    with pytest.raises(UserError, match="has no labels to tell"):
        engine.prepare(Run(game="gan", labels=True, data=str(pictures(tmp_path)), batch=2, steps=1))
    with pytest.raises(UserError, match="InfoGAN cannot be told labels"):
        engine.prepare(Run(game="infogan", labels=True, steps=1))


def pictures(folder: Path) -> Path:
    import numpy as np

    path = folder / "pictures.npy"
    np.save(path, np.zeros((40, 1, 8, 8), np.uint8))
    return path
