"""Conditional GAN from a recipe to a picture by label; labels are the same for both players and survive a resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from examples import build

import interalia
from interalia import UserError, data, tasks
from interalia.cli import main
from interalia.metrics.evaluation import evaluate
from interalia.runs import Run, recipes
from interalia.training import engine


def conditional(**fields: object) -> Run:
    return recipes.cgan_mnist(
        data="digits", networks="auto(width=8)", latent_dim=8, batch_size=64, evaluate_every=0
    ).replace(**fields)


def test_batches_hold_the_label_of_each_image() -> None:
    training = engine.prepare(conditional(steps=1))
    index = torch.tensor([3, 1, 5])
    x, y = training.stores[0][index]
    assert training.dataset.train.y is not None
    assert y.argmax(1).tolist() == training.dataset.train.y[index.numpy()].tolist()
    assert y.sum(1).tolist() == [1.0, 1.0, 1.0]
    assert x.shape == (3, 1, 8, 8)


def test_samples_by_label_are_read_as_that_label(tmp_path: Path) -> None:
    trained = interalia.train(conditional(steps=600, optimizer="adam(lr=0.001)"), tmp_path / "run", callbacks=[])
    found = {
        m.name: m.value for m in evaluate(trained.game, interalia.runs.loading.load_dataset(trained.run), count=300)
    }
    assert found["label_accuracy"] > 0.3  # by chance 0.1
    assert tasks.generate_by_label(trained.game, 2).shape == (20, 1, 8, 8)
    z = tasks.sample_latents(trained.game, 4)
    one, two = (tasks.decode(trained.game, z, label=label) for label in (1, 2))
    assert not torch.equal(one, two)


def program(*arguments: object) -> int:
    """Runs the program in this process and returns its exit code."""
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
    assert interalia.load(folder).game.data.condition == 10
    assert program("train", "--resume", folder, "--steps", 6) == 0
    assert program("generate", folder, "--label", 12) == 2
    assert "there is no label '12'" in capsys.readouterr().err


NAMES = [-5, -1, 3, 4, 7, 8, 9, 11, 20, 100]


@pytest.fixture(scope="module")
def oddly_named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits with labels other than 0 to 9."""
    digits = data.load("digits")
    assert digits.train.y is not None
    path = tmp_path_factory.mktemp("named") / "digits.npz"
    np.savez(path, x=digits.train.x[:, 0], y=np.array(NAMES)[digits.train.y])
    return path


def test_a_label_is_its_name_everywhere(oddly_named: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, x = tmp_path / "run", tmp_path / "x.npy"
    short = ("--data", oddly_named, "--networks", "auto(width=4)", "--steps", 2, "--evaluate-every", 0, "--batch", 32)
    assert program("train", "cali-mnist", *short, "--out", folder) == 0
    np.save(x, data.load("digits").test.x[:3])
    game = interalia.load(folder).game
    assert list(game.data.names) == [str(name) for name in NAMES]

    def saved(key: str, *arguments: object) -> torch.Tensor:
        assert program(*arguments, "--out", tmp_path / "found.npz") == 0, capsys.readouterr().err
        return torch.from_numpy(np.load(tmp_path / "found.npz")[key])

    def in_bytes(x: torch.Tensor) -> torch.Tensor:
        """As the array that was trained on."""
        return (x * 255).round().to(torch.uint8)

    images = torch.from_numpy(np.load(x)).float() / 255
    told = torch.zeros(3, dtype=torch.long)  # the place of -5
    every = tasks.single_edits(game, images, told)
    for to, columns in (("3", [2]), ("-5", [0]), ("3,-5,100", [2, 0, 9])):
        edited = saved("edited", "edit", folder, x, "--told", "-5", "--to", to)
        torch.testing.assert_close(edited, in_bytes(every[:, columns]), atol=1, rtol=0)  # rounded
    for flag in ("--label", "--told"):
        torch.testing.assert_close(
            saved("x", "generate", folder, flag, "7", "--count", 3),
            in_bytes(tasks.generate(game, 3, label=4, seed=0)),
            atol=1,
            rtol=0,
        )
    torch.testing.assert_close(tasks.generate(game, 3, label="-5", seed=0), tasks.generate(game, 3, label=0, seed=0))
    for mistake in (
        ("edit", folder, x, "--told", "0"),
        ("edit", folder, "--to", "0"),
        ("generate", folder, "--label", "0"),
    ):
        assert program(*mistake) == 2
        assert "there is no label '0'" in capsys.readouterr().err


def test_labels_are_read_by_name(oddly_named: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    short = (
        "--data",
        oddly_named,
        "--networks",
        "auto(width=4)",
        "--steps",
        1,
        "--evaluate-every",
        0,
        "--labelled",
        20,
    )
    assert program("train", "semi-ali-mnist", *short, "--out", folder) == 0
    assert program("classify", folder, "--count", 5, "--out", tmp_path / "read.csv") == 0
    heading, *rows = (tmp_path / "read.csv").read_text().splitlines()
    assert heading == "image,label," + ",".join(f"p{name}" for name in NAMES)
    for row in rows:
        _, label, *p = row.split(",")
        assert NAMES[max(range(10), key=lambda j: float(p[j]))] == int(label)
    capsys.readouterr()
    assert program("classify", folder, "--count", 1) == 0
    assert capsys.readouterr().out.split(":")[1].split()[0] in map(str, NAMES)


def test_names_of_words_may_be_counted(tmp_path: Path) -> None:
    game = build("gan", double=False, labels=3)
    assert list(game.data.names) == ["0", "1", "2"]
    game.data = dataclasses.replace(game.data, names=("cat", "dog", "ox"))
    assert torch.equal(tasks.generate(game, 2, label="dog", seed=0), tasks.generate(game, 2, label="1", seed=0))
    for wrong in ("3", "-1", "cow", ""):
        with pytest.raises(UserError, match="there is no label"):
            tasks.generate(game, 2, label=wrong, seed=0)
    for number in (3, -1, 1.5, [1]):
        with pytest.raises(UserError, match="its index as a whole number from 0 to 2"):
            tasks.generate(game, 2, label=number, seed=0)  # type: ignore[arg-type]


def test_labels_are_refused_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this GAN is unconditional"):
        tasks.generate(build("gan", double=False), 2, label=1, seed=0)
    with pytest.raises(UserError, match="has no labels; choose data that has, or leave `condition_on` out"):
        engine.prepare(Run(game="gan", condition_on="labels", data=str(pictures(tmp_path)), batch_size=2, steps=1))
    with pytest.raises(UserError, match="InfoGAN cannot be conditioned on labels"):
        engine.prepare(Run(game="infogan", condition_on="labels", steps=1))


def pictures(folder: Path) -> Path:
    path = folder / "pictures.npy"
    np.save(path, np.resize(np.uint8([0, 255]), (40, 1, 8, 8)))
    return path
