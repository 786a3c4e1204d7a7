"""`interalia detect`: reading of examples, detectors and runs that score them, and what is written and said."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples import build
from PIL import Image
from program import interalia

from interalia.data import load
from interalia.data.examples import read_examples
from interalia.detect.scores import SCORES, Known, critic_of, infer
from interalia.errors import UserError
from interalia.games import FAnoGAN
from interalia.networks.layers import last_hidden, score_and_hidden

FAST = ("--models", 2, "--width", 16, "--latent-dim", 2)


def table(path: Path, rows: Any, names: str = "a,b,kind", labels: Any = ()) -> Path:
    lines = [names] if names else []
    lines += [
        ",".join(map(str, row)) + (f",{label}" if label != "" else "") for row, label in zip(rows, labels, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two columns that agree in train.csv; in test.csv the last five rows break the agreement."""
    folder = tmp_path_factory.mktemp("detect")
    t = np.random.default_rng(0).normal(size=300)
    table(folder / "train.csv", np.stack([t, 2 * t], 1), labels=["good"] * 300)
    odd = np.array([[1.5, -3.0]] * 5)
    table(folder / "test.csv", np.concatenate([np.stack([t, 2 * t], 1)[:20], odd]), labels=["good"] * 20 + ["bad"] * 5)
    assert (
        interalia("detect", "fit", folder / "train.csv", "--out", folder / "run", "--label-column", "kind", *FAST) == 0
    )
    return folder


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_table_without_its_labels(data: Path, tmp_path: Path) -> None:
    found = read_examples(data / "test.csv", label_column="kind")
    assert found.columns == ["a", "b"]
    assert found.x.shape == (25, 2)
    assert found.x.dtype == np.float64
    assert found.labels is not None
    assert (found.labels[0], found.labels[-1], found.names[24]) == ("good", "bad", "24")
    plain = read_examples(table(tmp_path / "plain.csv", [[1, 2], [3, 4.5]], "", ["", ""]))
    assert (plain.x.tolist(), plain.columns, plain.labels) == ([[1, 2], [3, 4.5]], ["0", "1"], None)
    swapped = read_examples(table(tmp_path / "s.csv", [[1, 2], [3, 4]], "b,c,a", [5, 6]), columns=["a", "b"])
    assert swapped.x.tolist() == [[5, 1], [6, 3]]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b\n1,inf\n", "inf in row 0, column 1"),
        ("a,b\n1,2\n3\n", "has 2 columns in its first row and 1 in row 2"),
        ("a,b\n", "has no rows"),
        ("", "has no rows"),
    ],
)
def test_tables_that_are_refused(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=match):
        read_examples(tmp_path / "t.csv")


def test_arrays_and_their_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.arange(6, dtype=np.uint8).reshape(3, 2), y=[0, 1, 0])
    found = read_examples(tmp_path / "a.npz", label_column="y")
    assert (found.x.tolist(), found.labels) == ([[0, 1], [2, 3], [4, 5]], ["0", "1", "0"])
    np.save(tmp_path / "b.npy", np.zeros((4, 8, 6)))
    assert np.shape(read_examples(tmp_path / "b.npy", layout="image").x) == (4, 1, 8, 6)
    np.save(tmp_path / "c.npy", np.array([[1.0], [np.nan]]))
    for name, more, match in (
        ("c.npy", {}, "row 1"),
        ("a.npz", {"label_column": "z"}, "its keys are X, y"),
        ("b.npy", {"label_column": "y", "layout": "image"}, "without labels"),
        ("a.npz", {"shape": (3,)}, "shape"),
        ("d.npy", {}, "there is no file"),
    ):
        with pytest.raises(UserError, match=match):
            read_examples(tmp_path / name, **more)  # type: ignore[arg-type]


def images(folder: Path, count: int, size: int = 8) -> Path:
    for i in range(count):
        place = folder / ("good" if i % 2 else "bad")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size, size), i, np.uint8)).save(place / f"{i}.png")
    return folder


def test_images_with_their_files_and_folders(tmp_path: Path) -> None:
    found = read_examples(images(tmp_path / "i", 4), label_column="folder")
    assert found.names == ["bad/0.png", "bad/2.png", "good/1.png", "good/3.png"]
    assert (found.labels, found.x[:, 0, 0, 0].tolist()) == (["bad", "bad", "good", "good"], [0, 2, 1, 3])
    assert read_examples(tmp_path / "i", image_size=4).x.shape == (4, 1, 4, 4)
    assert read_examples(tmp_path / "i", (3, 2, 2)).x.shape == (4, 3, 2, 2)
    Image.fromarray(np.zeros((3, 5), np.uint8)).save(tmp_path / "i" / "good" / "z.png")
    for more, match in (
        ({}, "`image_size=64`"),
        ({"shape": (2,)}, "vectors of 2"),
        ({"label_column": "y"}, "'folder'"),
    ):
        with pytest.raises(UserError, match=match):
            read_examples(tmp_path / "i", **more)  # type: ignore[arg-type]


# --- the command ------------------------------------------------------------------------------------------------------


def test_rows_that_break_the_agreement_are_flagged(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data / "scores.csv"
    assert interalia("detect", "score", data / "run", data / "test.csv", "--label-column", "kind", "--out", out) == 0
    said = capsys.readouterr().out
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "score", "p", "flagged", "label", "why"]
    assert [row["row"] for row in rows] == list(map(str, range(25)))
    assert [row["flagged"] for row in rows[20:]] == ["True"] * 5
    assert all(0 < float(row["p"]) <= 1 for row in rows)
    assert "area under the ROC curve 1.000" in said
    assert "100 % of 5 anomalies" in said
    assert "Verdict: the reconstructions are good enough" in said
    page = (data / "run" / "report.html").read_text()
    assert "<h2>Anomalies</h2>" in page
    assert "<h2>Pictures</h2>" not in page
    columns = json.loads((data / "run" / "detector.json").read_text())["columns"]
    assert columns == ["a", "b"]


def test_the_order_of_columns_does_not_count_and_scores_are_the_same_twice(data: Path, tmp_path: Path) -> None:
    x = read_examples(data / "test.csv", label_column="kind").x
    table(tmp_path / "swapped.csv", x[:, ::-1], "b,a,kind", ["?"] * len(x))
    for name, given in (("one", data / "test.csv"), ("two", tmp_path / "swapped.csv"), ("three", data / "test.csv")):
        assert interalia("detect", "score", data / "run", given, "--out", tmp_path / f"{name}.json") == 0
    first, *others = (json.loads((tmp_path / f"{name}.json").read_text())["arrays"] for name in ("one", "two", "three"))
    assert all(other["score"] == first["score"] for other in others)
    assert len(set(first["score"])) > 20


def test_a_threshold_of_its_own(data: Path, tmp_path: Path) -> None:
    for rate in (0.02, 0.4):
        out = tmp_path / f"{rate}.json"
        assert interalia("detect", "score", data / "run", data / "train.csv", "--false-alarms", rate, "--out", out) == 0
        found = json.loads(out.read_text())["arrays"]
        assert found["flagged"] == [p <= rate + 1e-9 for p in found["p"]]


def test_contaminated_data_are_measured(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--label-column", "kind", *FAST, "--steps", 5)
    assert interalia("detect", "fit", data / "test.csv", "--out", tmp_path / "a", "--contaminated", *given) == 0
    assert "Measured with labels" in (said := capsys.readouterr().out)
    assert "among which there may be anomalies" in said
    assert interalia("detect", "fit", data / "test.csv", "--out", tmp_path / "b", *given) == 0
    assert "5 of these examples are anomalies" in capsys.readouterr().out


def test_reconstructions_that_are_too_poor_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).normal(size=(80, 30))
    np.save(tmp_path / "noise.npy", noise)
    assert interalia("detect", "fit", tmp_path / "noise.npy", "--out", tmp_path / "r", *FAST, "--steps", 5) == 0
    assert interalia("detect", "score", tmp_path / "r", tmp_path / "noise.npy") == 0
    said = capsys.readouterr().out
    assert said.count("Verdict: do not judge by these scores") == 2
    assert (tmp_path / "r" / "scores.csv").exists()


def test_a_trained_run_scores_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("train", "ali-digits", "--steps", 2, "--networks", "mlp(width=8)", "--out", tmp_path / "run") == 0
    images(tmp_path / "new", 6)
    given = (
        tmp_path / "run",
        tmp_path / "new",
        "--label-column",
        "folder",
        "--count",
        3,
        "--scores",
        "reconstruction,features",
    )
    assert interalia("detect", "score", *given) == 0
    with (tmp_path / "run" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows][:2] == ["bad/0.png", "bad/2.png"]
    assert (tmp_path / "run" / "figures" / "anomalies.png").exists()
    assert "Least probable images" in (tmp_path / "run" / "report.html").read_text()
    assert "The least probable images" in capsys.readouterr().out
    assert interalia("detect", "score", tmp_path / "run") == 0
    with (tmp_path / "run" / "scores.csv").open() as file:
        scored = list(csv.DictReader(file))
    count = len(load("digits").test)
    assert sorted(int(row["row"]) for row in scored) == list(range(count))
    assert f"Scored {count} examples of the test split" in capsys.readouterr().out
    assert interalia("detect", "score", tmp_path / "run", "--label-column", "y") == 2
    assert "give DATA too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "detect is used as"),
        (["fit"], "detect is used as"),
        (["search", "x"], "'search' is neither fit nor score"),
        (["score", "{}/run", "{}/test.csv", "--models", 3], "--models has no effect in detect score"),
        (["score", "{}/run"], "a detector has no test examples; give DATA"),
        (["fit", "{}/test.csv", "--count", 3], "--count has no effect in detect fit"),
        (["score", "{}/run", "{}/test.csv", "--scores", "norm"], "leave --scores out"),
        (["score", "{}/run", "{}/test.csv", "--false-alarms", "1e-9"], "; give --false-alarms 0."),
        (["score", "{}/run", "{}/test.csv", "--label-column", "z"], "no column 'z'"),
        (["fit", "{}/train.csv", "--out", "{}/run", "--label-column", "kind"], "exists already"),
        (["fit", "{}/run/report.html"], "not supported"),
        (["score", "{}/nothing", "{}/test.csv"], "not the folder of a run"),
    ],
)  # fmt: skip
def test_what_is_refused(words: list[Any], match: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("detect", *(word.format(data) if isinstance(word, str) else word for word in words)) == 2
    assert match in capsys.readouterr().err


def scored_rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_scored_tables_are_read_as_those_that_were_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Categories are texts, even if all in a file are digits or missing; numbers are there; errors name the file."""
    rows = [[i % 7 + i / 50, ["1", "2", "x", "NA"][i % 4]] for i in range(48)]
    table(tmp_path / "t.csv", rows, "a,k", [""] * 48)
    run = tmp_path / "run"
    words = ("detect", "fit", tmp_path / "t.csv", "--out", run, *FAST, "--steps", 5)
    assert interalia(*words) == 2
    assert "the column 'k' of t.csv has 12 missing values, the first in row 3" in capsys.readouterr().err
    assert interalia(*words, "--impute", "median") == 0
    assert interalia("detect", "score", run, tmp_path / "t.csv", "--out", tmp_path / "all.csv") == 0
    whole = scored_rows(tmp_path / "all.csv")
    for name, chosen in (("digits", [0, 1, 4]), ("holes", [3, 7]), ("one", [5])):
        table(tmp_path / "few.csv", [rows[i] for i in chosen], "a,k", [""] * len(chosen))
        assert interalia("detect", "score", run, tmp_path / "few.csv", "--out", tmp_path / f"{name}.csv") == 0
        found = scored_rows(tmp_path / f"{name}.csv")
        assert [row["score"] for row in found] == [whole[i]["score"] for i in chosen]
    for row, match in (
        ([1.5, "y"], "the column 'k' of few.csv holds 'y', which is none of the 4 categories"),
        (["", "x"], "the column 'a' of few.csv has missing values, the first in row 1"),
        (["inf", "x"], "the column 'a' of few.csv holds NaN or infinity"),
    ):
        table(tmp_path / "few.csv", [rows[0], row], "a,k", ["", ""])
        capsys.readouterr()
        assert interalia("detect", "score", run, tmp_path / "few.csv") == 2
        assert match in capsys.readouterr().err
    table(tmp_path / "few.csv", [[3]], "k", [""])
    assert interalia("detect", "score", run, tmp_path / "few.csv") == 2
    assert "few.csv has no column 'a'" in capsys.readouterr().err


def test_a_hole_in_a_table_of_numbers_is_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(tmp_path / "t.csv", [[1, 2], [3, ""]], "a,b", ["", ""])
    assert interalia("detect", "score", data / "run", tmp_path / "t.csv") == 2
    assert "t.csv has missing values, the first in row 1 (counted from 0)" in capsys.readouterr().err


def test_arrays_of_another_kind_are_refused_with_the_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((40, 5, 5), np.float32))
    np.save(tmp_path / "signals.npy", np.random.default_rng(0).random((40, 2, 9), np.float32))
    for name, layout in (("images", "image"), ("signals", "signal")):
        words = ("--layout", layout, "--steps", 2, *FAST)
        assert interalia("detect", "fit", tmp_path / f"{name}.npy", "--out", tmp_path / name, *words) == 0
    (tmp_path / "folder").mkdir()
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "folder" / "a.png")
    for run, given, match in (
        ("images", "signals.npy", "expected were examples of the shape (1, 5, 5)"),
        ("signals", "images.npy", "has examples of the shape (1, 5, 5), and expected was (2, 9)"),
        ("signals", "folder", "holds images, and signals of the shape (2, 9) are needed; give a .npy file"),
    ):
        capsys.readouterr()
        assert interalia("detect", "score", tmp_path / run, tmp_path / given) == 2
        assert match in capsys.readouterr().err


# --- scores in the features of critics --------------------------------------------------------------------------------


def test_what_the_critics_of_games_score() -> None:
    kinds = {"ali": "x, z", "alice": "x, z", "alad": "x, x'", "alice-adversarial": "x, x'", "vae-gan": "x", "vae": ""}
    kinds |= {"avb": "", "aae": "", "hali": "", "posthoc-ali": "x, z", "joint-latent-regressor": "x", "f-anogan": ""}
    for name, kind in kinds.items():
        assert critic_of(build(name)) == kind, name
    packed = build("ali", pack=2)
    assert critic_of(packed) == ""


def test_the_features_of_alad_are_those_of_its_critic_of_reconstructions() -> None:
    game, x = build("alad").eval(), torch.rand(6, 1, 4, 4, dtype=torch.float64)
    found = infer(game, x)
    x_hat = game.decoder(game.encoder(x).mean).mean
    same, other = (last_hidden(game.get_submodule("cycle_critic"), x, with_) for with_ in (x, x_hat))
    expected = (same - other).abs().mean(1)
    known = Known.of(found, found)
    assert SCORES["features"](found, known, 5) == pytest.approx(expected.detach().numpy())


def test_the_features_of_f_anogan_are_those_of_the_gans_critic() -> None:
    gan = build("gan").eval()
    encoder = build("latent-regressor").encoder
    game = FAnoGAN(encoder, gan.decoder, gan.prior, gan.get_submodule("critic")).eval()
    assert critic_of(game) == "x"
    x = torch.rand(6, 1, 4, 4, dtype=torch.float64)
    found = infer(game, x)
    score, hidden = score_and_hidden(gan.get_submodule("critic"), x)
    assert found.score == pytest.approx(score.detach().numpy())
    assert found.hidden == pytest.approx(hidden.detach().numpy())


def test_a_game_without_a_critic_refuses_scores_of_one() -> None:
    found = infer(build("vae"), torch.rand(4, 1, 4, 4, dtype=torch.float64))
    for name in ("features", "critic"):
        with pytest.raises(UserError, match="critic"):
            SCORES[name](found, Known.of(found, found), 5)
