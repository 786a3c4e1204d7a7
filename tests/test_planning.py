"""Plans of trainings on own data: their rules by hand, and the options on images, checkpoints and the end of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from program import interalia

from interalia import data
from interalia.contexts import keyed
from interalia.data.dataset import Split
from interalia.data.store import Store
from interalia.data.survey import Survey, conversion, survey
from interalia.errors import UserError
from interalia.runs import Run
from interalia.runs.folder import Folder
from interalia.runs.loading import load_dataset
from interalia.runs.recipes import ali_digits
from interalia.training import checkpoint, engine, planning
from interalia.training.planning import Facts, make_plan, sides_of


def cost(side: int | None, batch: int) -> float:
    """Seconds of a step that are proportional to the pixels: 32 pixels and a batch of 16 take 0.05 s."""
    return 0.05 * (side or 32) ** 2 / 1024 * batch / 16


def pictures(folder: Path, sizes: list[tuple[int, int]], modes: str | list[str] = "RGB") -> Path:
    """Writes images of random colors, of these (width, height), and returns their folder."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number, (width, height) in enumerate(sizes):
        mode = modes if isinstance(modes, str) else modes[number]
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        image.convert(mode).save(folder / f"{number:03}.png")
    return folder


@pytest.mark.parametrize(
    ("median", "uniform", "longest", "expected"),
    [
        (300, False, 512, ([32, 64, 128], None)),
        (90, False, 128, ([32, 64], None)),
        (64, True, 64, ([32, 64], 64)),
        (28, True, 28, ([28], 28)),
        (48, True, 96, ([32, 48], 48)),
        (28, False, 40, ([28], None)),
        (23, False, 40, ([20], None)),
        (300, True, 300, ([32, 64, 128], None)),
    ],
)
def test_sizes_never_enlarge(median: int, uniform: bool, longest: int, expected: object) -> None:
    assert sides_of(median, uniform, longest) == expected


@pytest.mark.parametrize(
    ("minutes", "side", "batch"),
    [
        (0.1, 32, 16),  # nothing makes 2,000 steps
        (2, 32, 16),  # 102 s: 2,040 steps
        (4, 32, 32),
        (8, 64, 16),  # 408 s of 0.2 s
        (16, 64, 32),
        (70, 64, 128),
    ],
)
def test_the_largest_size_then_the_largest_batch_with_enough_steps(minutes: float, side: int, batch: int) -> None:
    plan = make_plan(Facts(10_000, [32, 64]), minutes, cost, {})
    assert (plan.fields["image_size"], plan.fields["batch_size"]) == (side, batch)
    exact = 60 * planning.SHARE * minutes / cost(side, batch)
    assert 0.9 * exact <= plan.fields["steps"] <= exact
    assert plan.next_size == (64 if side == 32 else None)
    assert plan.fields["steps"] / plan.fields["evaluate_every"] <= planning.EVALUATIONS


def test_no_size_is_measured_that_is_far_too_large() -> None:
    tried: list[tuple[int | None, int]] = []

    def seconds(side: int | None, batch: int) -> float:
        tried.append((side, batch))
        return cost(side, batch)

    make_plan(Facts(10_000, [32, 64, 128]), 1, seconds, {})
    assert tried == [(32, 16)]


def test_what_a_user_gives_is_kept() -> None:
    given = {"image_size": 48, "batch_size": 5, "augment": "none", "evaluate_every": 7}
    tried = []
    plan = make_plan(Facts(300, [32, 64]), 3, lambda *key: tried.append(key) or 0.1, given)
    assert tried == [(48, 5)]
    assert plan.fields | given == plan.fields
    assert plan.fields["steps"] == 1500  # 153 s


def test_augmentation_for_few_images_and_an_adversarial_critic() -> None:
    def augmented(facts: Facts) -> bool:
        return "augment" in make_plan(facts, 3, cost, {}).fields

    assert augmented(Facts(planning.FEW - 1, [32]))
    assert not augmented(Facts(planning.FEW, [32]))
    assert not augmented(Facts(100, [32], critic=False))
    assert not augmented(Facts(100))  # vectors
    fields = make_plan(Facts(100, [32]), 3, cost, {}).fields
    assert fields["augment"] == f"adaptive(images={fields['steps'] * fields['batch_size'] // 4})"


def test_few_images_and_their_own_size() -> None:
    fields = make_plan(Facts(20, [28], 28), 60, cost, {}).fields
    assert fields["batch_size"] == 10
    assert "image_size" not in fields
    Run(**fields).check_parts()


def test_a_plan_is_said_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    folder = pictures(tmp_path / "my photos", [(40, 36)] * 39 + [(60, 44)], ["RGB"] * 38 + ["L"] * 2)
    networks = ["--networks", "auto(width=2)"]
    assert interalia("train", "--data", folder, "--minutes", 0.01, *networks, "--no-report", "--seed", 1) == 0
    printed = capsys.readouterr().out
    assert "my photos: 40 images of 36 to 60 pixels, 2 of 40 are gray: all color (--gray for gray) -> 32x32." in printed
    assert "32 training images are few: augmentation of the critic's images is on (--augment none" in printed
    assert "steps/s: " in printed
    assert "--minutes or --steps." in printed
    out = Path("runs/my-photos-32")
    run = Folder(out).run()
    assert (run.image_size, run.batch_size, run.augment.partition("(")[0]) == (32, 16, "adaptive")
    assert f"{run.steps:,} steps in " in printed
    assert not (out / "report.html").exists()
    assert f"  interalia generate {out} --count 64" in printed
    assert interalia("train", "--resume", out, "--print-config") == 0
    Path("plan.toml").write_text(capsys.readouterr().out)
    again = Path("runs/again")
    assert interalia("train", "plan.toml", "--no-report", "--out", again) == 0  # the plan is kept: nothing is measured
    assert "few" not in capsys.readouterr().out
    weights = [Folder(place).weights.read_bytes() for place in (out, again)]
    assert weights[0] == weights[1]


def test_a_plan_is_printed_as_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    folder = pictures(tmp_path / "p", [(8, 8)] * 40)
    fixed = ("--data", folder, "--networks", "auto(width=2)")
    assert interalia("train", *fixed, "--minutes", 0.001, "--print-config") == 0
    (tmp_path / "plan.toml").write_text(printed := capsys.readouterr().out)
    assert printed.startswith("# p: 40 images of 8x8 pixels, color -> 8x8.")
    assert interalia("train", tmp_path / "plan.toml", "--print-config") == 0
    assert capsys.readouterr().out == "".join(line for line in printed.splitlines(True) if line[0] != "#")
    below = ("--data-dir", tmp_path, "--data", "p", *fixed[2:])
    assert interalia("train", *below, "--minutes", 0.001, "--dry-run") == 0
    assert "p: 40 images of 8x8 pixels, color -> 8x8." in capsys.readouterr().out
    assert interalia("train", *fixed, "--print-config") == 0  # opens nothing
    assert "steps = 20000" in capsys.readouterr().out
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert interalia("train", *fixed) == 2
    assert "--minutes 10 --print-config > run.toml` without torchrun" in capsys.readouterr().err  # not the lines above


def test_lengths_exclude_each_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = pictures(tmp_path / "x", [(8, 8)] * 20)
    assert interalia("train", "--data", folder, "--minutes", 1, "--epochs", 2) == 2
    assert "--minutes and --epochs both set the length" in capsys.readouterr().err
    assert interalia("train", "--minutes", -1) == 2
    assert "--minutes is -1" in capsys.readouterr().err
    assert interalia("train", "--resume", tmp_path, "--minutes", 1) == 2
    assert "leave out --minutes" in capsys.readouterr().err


def test_a_dry_run_measures_and_names_the_other_option(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert interalia("train", "ali-digits", "--networks", "auto(width=2)", "--dry-run") == 0
    printed = capsys.readouterr()
    assert "--print-config" in printed.err
    lines = dict(line.split(": ", 1) for line in printed.out.splitlines())
    assert set(lines) == {"data", "model", "time", "memory", "disk"}
    assert lines["time"].startswith("4,000 steps of 128 at ")
    assert "encoder" in lines["model"]
    assert list(tmp_path.iterdir()) == []


def test_gray_and_color(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", [(8, 8)] * 20, ["RGB"] * 16 + ["L"] * 4)
    assert data.load(folder).shape == (3, 8, 8)
    gray = data.load(folder, gray=True)
    assert gray.shape == (1, 8, 8)
    assert "16 RGB, 4 gray" in gray.about
    only = pictures(tmp_path / "g", [(8, 8)] * 20, "L")
    assert data.load(only, gray=False).shape == (3, 8, 8)
    x = np.random.default_rng(0).integers(0, 256, (20, 6, 6, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    found = data.load(tmp_path / "x.npy", gray=True)
    assert found.shape == (1, 6, 6)
    whole = np.concatenate([part.x for part in (found.train, found.validation, found.test)])
    expected = (x @ [0.299, 0.587, 0.114]).sum()
    assert whole.sum() == pytest.approx(expected, rel=0.01)
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(50, 3)).astype("float32"))
    with pytest.raises(UserError, match="leave `gray` out"):
        data.load(tmp_path / "v.npy", gray=True)
    with pytest.raises(UserError, match="leave `crop` out"):
        data.load(tmp_path / "v.npy", crop="none")


def test_crops(tmp_path: Path) -> None:
    """Images are 40 x 8 pixels; the column of a pixel is its gray value, so that the mean tells the place of the crop."""
    folder = tmp_path / "wide"
    folder.mkdir()
    ramp = np.tile(np.arange(0, 200, 5, dtype=np.uint8), (8, 1))
    ramp[0], ramp[-1] = 255, 0
    for number in range(40):
        Image.fromarray(ramp).save(folder / f"{number}.png")
    center, whole, random = (data.load(folder, image_size=8, crop=crop) for crop in ("center", "none", "random"))
    assert center.train.x[:, :, 2:6].mean() == pytest.approx(97, abs=2)
    assert center.train.x[:, :, 2:6].std() < 20 < whole.train.x[:, :, 2:6].std()
    assert whole.train.x.shape == center.train.x.shape
    means = random.train.x[:, :, 2:6].mean((1, 2, 3))
    assert means.min() < 50 < 150 < means.max()
    assert (random.test.x == center.test.x).all()
    assert (data.load(folder, image_size=8, crop="random").train.x == random.train.x).all()


def test_mirrored_in_half_of_the_batches_and_never_held_out() -> None:
    x = np.zeros((400, 1, 1, 2), np.uint8)
    x[..., 0] = 255
    store = Store(Split(x), torch.device("cpu"), mirror=True)
    with keyed(0, 1):
        (first,) = store[torch.arange(400)]
    with keyed(0, 2):
        (second,) = store[torch.arange(400)]
    assert 150 < first[:, 0, 0, 0].sum() < 250
    assert (first.sum(-1) == 1).all()
    assert not torch.equal(first, second)
    training = engine.prepare(ali_digits(steps=1, flip=True))
    held_out = training.game.feeds.stores(training.game.data, training.dataset, split="test")
    assert [store.mirror for store in (*training.stores, *held_out)] == [True, False]
    with pytest.raises(UserError, match="leave `flip` out"):
        load_dataset(Run(data="grid25", flip=True))


def test_a_flipped_run_goes_on_from_a_checkpoint_as_without_a_stop(tmp_path: Path) -> None:
    run = ali_digits(networks="auto(width=2)", steps=6, flip=True, evaluate_every=0, schedule="constant")
    whole = engine.train(run, callbacks=[])
    engine.train(run.replace(steps=3), tmp_path / "run")
    parts = engine.train(run, tmp_path / "run", resume=True)
    for a, b in zip(whole.game.parameters(), parts.game.parameters(), strict=True):
        assert torch.equal(a, b)


def test_conversions_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "p", [(64, 64), (128, 100), (100, 70)])
    found = survey([folder])
    assert found is not None
    assert conversion(found, (3, 64, 64))[0] == "3 images converted: 100x70..128x100 cropped and resized to 64x64"
    line, warning = conversion(found, (1, 28, 28))
    assert line == "3 images converted: color to gray, 64x64..128x100 cropped and resized to 28x28"
    assert warning.startswith("warning: sizes differ by more than a factor of 2")
    assert conversion(Survey([(30, 28)], {"L": 1}), (1, 28, 28)) == [
        "1 image converted: 28x30 cropped and resized to 28x28"
    ]
    assert conversion(Survey([(28, 28)], {"L": 1}), (1, 28, 28)) == []
    assert "aspect ratios" in conversion(Survey([(28, 70)], {"L": 1}), (1, 28, 28))[1]
    assert "squeezed" not in line
    assert conversion(Survey([(28, 40)], {"L": 1}), (1, 28, 28), "none")[0].endswith(": 40x28 resized to 28x28")
    engine.train(ali_digits(networks="auto(width=2)", steps=1, evaluate_every=0), tmp_path / "run")
    assert interalia("encode", tmp_path / "run", folder, "--out", tmp_path / "z.npz") == 0
    said = capsys.readouterr().out
    assert "3 images converted: color to gray, 64x64..128x100 cropped and resized to 8x8" in said


@pytest.mark.parametrize(("keep", "names"), [(1, 1), (2, 2), (4, 4)])
def test_how_many_checkpoints_are_kept(keep: int, names: int, tmp_path: Path) -> None:
    run = ali_digits(networks="auto(width=2)", steps=6, checkpoint_every=1, evaluate_every=0, keep_checkpoints=keep)
    engine.train(run, tmp_path / "run")
    folder = Folder(tmp_path / "run")
    paths = [path for path in checkpoint.candidates(folder) if path.exists()]
    assert [checkpoint.read(path)["step"] for path in paths] == [6 - age for age in range(keep)]
    assert len(list(folder.checkpoints.glob("*.pt"))) == names
    engine.train(run.replace(steps=8, keep_checkpoints=2), tmp_path / "run", resume=True)
    assert len(list(folder.checkpoints.glob("*.pt"))) == 2


def test_a_sheet_of_samples_comes_before_the_first_evaluation(
    tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("interalia.training.callbacks.evaluate.FIRST_SHEET", 0.0)
    engine.train(ali_digits(networks="auto(width=2)", steps=3, evaluate_every=0), tmp_path / "run")
    sheets = list((tmp_path / "run" / "figures" / "progress").iterdir())
    assert [sheet.name for sheet in sheets] == ["step-0000001.png"]
    assert f"step 1: samples in {sheets[0]}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("game", ["aae", "avb", "vae"])
def test_no_augmentation_without_a_critic_of_images(
    game: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "p", [(8, 8)] * 40)
    fixed = ("--minutes", 0.001, "--networks", "auto(width=2)", "--no-report", "--out", tmp_path / "run")
    assert interalia("train", "--data", folder, "--game", game, *fixed) == 0
    assert "few" not in capsys.readouterr().out
    run = Folder(tmp_path / "run").run()
    assert (run.augment, run.name) == ("none", f"{game}-p")
