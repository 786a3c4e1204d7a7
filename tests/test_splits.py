"""Splits from files, folds and groups; unlabelled examples; two domains in one folder; copies; tables of vectors."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tracemalloc
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from program import interalia

from interalia import data, tasks
from interalia.data.copies import described
from interalia.data.dataset import Dataset
from interalia.data.fingerprints import fingerprint
from interalia.data.scaling import Units
from interalia.data.splits import read_table
from interalia.errors import DataWarning, UserError
from interalia.metrics.classifier import Classifier
from interalia.metrics.evidence import Evidence
from interalia.runs import Run, building, loading
from interalia.runs.folder import Folder
from interalia.tasks import verbs
from interalia.training import engine

SMALL: dict[str, Any] = {"networks": "auto(width=2)", "latent_dim": 4, "batch_size": 8, "steps": 1, "evaluate_every": 0}
SPLITS = ("train", "validation", "test")


def picture(number: int) -> np.ndarray:
    """An image that no other number has, smooth enough to survive JPEG; its mean gray value is near the number."""
    coarse = np.random.default_rng(number).integers(-40, 40, (4, 4)) + 50 + number % 150
    return np.kron(coarse, np.ones((8, 8))).astype(np.uint8)


def save(folder: Path, names: Sequence[str], first: int = 0) -> Path:
    for number, name in enumerate(names, first):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(folder / name)
    return folder


def numbers(found: Dataset) -> dict[str, list[int]]:
    """The numbers of the pictures in each split, in ascending order."""
    known = {picture(i).tobytes(): i for i in range(200)}
    return {part: sorted(known[x.tobytes()] for x in getattr(found, part).x) for part in SPLITS}


FILMS = [f"film{i % 7}/frame{i:02d}.png" for i in range(28)]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return save(tmp_path / "films", FILMS)


# ------------------------------------------------------------------------------------------------ files of splits

TABLES: dict[str, Callable[[list[str]], str]] = {
    "a table with names": lambda names: (
        "file,split\n" + "".join(f"{x},{y}\n" for x, y in zip(names, WANTED, strict=False))
    ),
    "other columns, semicolons": lambda names: (
        "age;Partition;image_id\n"
        + "".join(f"{i};{y};{x}\n" for i, (x, y) in enumerate(zip(names, WANTED, strict=False)))
    ),
    "no names, blanks": lambda names: "".join(f"{x}  {y}\n" for x, y in zip(names, WANTED, strict=False)),
    "tabs, a mark of byte order, lines of DOS": lambda names: (
        "\ufefffile\tset\r\n" + "".join(f"{x}\t{y.upper()}\r\n" for x, y in zip(names, WANTED, strict=False))
    ),
    "one column": lambda names: "".join(f"{y}\n" for y in WANTED),
    "quotes": lambda names: "".join(f'"{x}","{y}"\n' for x, y in zip(names, WANTED, strict=False)),
    "UTF-16": lambda names: "".join(f"{x}\t{y}\r\n" for x, y in zip(names, WANTED, strict=False)),
}
WANTED = ["train"] * 20 + ["val"] * 3 + ["test"] * 5


@pytest.mark.parametrize("table", TABLES)
def test_a_table_splits_a_folder(table: str, films: Path, tmp_path: Path) -> None:
    names = sorted(FILMS)
    (tmp_path / "split.csv").write_bytes(TABLES[table](names).encode("utf-16" if table == "UTF-16" else "utf-8"))
    found = data.load(films, split=tmp_path / "split.csv")
    expected = [
        sorted(FILMS.index(name) for name, y in zip(names, WANTED, strict=False) if y == part)
        for part in ("train", "val", "test")
    ]
    assert list(numbers(found).values()) == expected
    assert "by split.csv: 20 / 3 / 5" in found.about
    assert found.classes == tuple(f"film{i}" for i in range(7))
    assert [int(y) for y in found.test.y] == [
        int(name[4]) for name, y in zip(names, WANTED, strict=False) if y == "test"
    ]


SHORT: dict[str, Callable[[str], str]] = {
    "whole": lambda name: name,
    "end": lambda name: name.rsplit("/", 1)[1],
    "without suffix": lambda name: name.rsplit(".", 1)[0],
    "end without suffix": lambda name: name.rsplit("/", 1)[1].rsplit(".", 1)[0],
    "outer folders": lambda name: f"/home/ann/data/films/{name}",
    "of Windows": lambda name: ".\\" + name.replace("/", "\\"),
}


@pytest.mark.parametrize("short", SHORT)
def test_names_may_be_shorter_or_longer_than_paths(short: str, films: Path, tmp_path: Path) -> None:
    lists = {"train": FILMS[:20], "test": FILMS[20:26]}
    text = json.dumps({part: [SHORT[short](name) for name in names] for part, names in lists.items()})
    (tmp_path / "split.json").write_text(text)
    found = data.load(films, split=tmp_path / "split.json")
    split = numbers(found)
    assert split["test"] == list(range(20, 26))
    assert sorted(split["train"] + split["validation"]) == list(range(20))  # validation is taken from train
    assert len(split["validation"]) == 2
    assert "2 examples are in no split" in found.about


def test_accents_of_any_system_are_the_same(tmp_path: Path) -> None:
    """In names of folders and files, in files of splits and in patterns: one character (NFC), or a letter and an accent."""
    form = unicodedata.normalize
    names = [f"{part}/Zo\u00eb/{i}.png" for part in ("train", "test") for i in range(8)]
    folder = save(tmp_path / "x", [form("NFD", name) if "test" in name else name for name in names])
    save(folder, [f"{part}/ann/{i}.png" for part in ("train", "test") for i in range(8)], first=50)
    found = data.load(folder)
    assert found.classes == ("Zo\u00eb", "ann")
    (tmp_path / "s.csv").write_text("".join(f"{form('NFD', x)},{x.split('/')[0]}\n" for x in names), encoding="utf-8")
    assert numbers(data.load(folder, split=tmp_path / "s.csv"))["test"] == list(range(8, 16))
    assert len(data.load(folder, group=form("NFD", ".*Zo\u00eb.*|.*ann.*")).train) == 15
    other = save(tmp_path / "y", [form("NFC", name) for name in names])
    save(other, [f"{part}/ann/{i}.png" for part in ("train", "test") for i in range(8)], first=50)
    assert fingerprint(data.load(other)) == fingerprint(found)


def test_folds_take_turns_as_test_data(films: Path, tmp_path: Path) -> None:
    (tmp_path / "folds.csv").write_text("name,fold\n" + "".join(f"{x},{i % 4}\n" for i, x in enumerate(FILMS)))
    tested = []
    for fold in range(4):
        split = numbers(data.load(films, split=tmp_path / "folds.csv", fold=fold))
        assert split["test"] == list(range(fold, 28, 4))
        assert sorted(i for part in split.values() for i in part) == list(range(28))
        tested += split["test"]
    assert sorted(tested) == list(range(28))
    (tmp_path / "folds.csv").write_text(
        "".join(f"{x},{'test' if i < 5 else f'fold {i % 3 + 1:02d}'}\n" for i, x in enumerate(FILMS))
    )
    split = numbers(data.load(films, split=tmp_path / "folds.csv", fold=2))
    assert split["test"] == list(range(5))
    assert split["validation"] == [i for i in range(5, 28) if i % 3 == 1]


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "no such file": ("", {"split": "gone.csv"}, r"cannot be split by gone.csv: No such file"),
    "empty": ("\n", {}, "it is empty"),
    "no such example": ("film0/frame00.png,train\nfilm0/none.png,test\n", {}, "'film0/none.png' is no example"),
    "twice": ("frame00,train\nframe01,train\nfilm0/frame00.png,test\n", {}, "'frame00' is there twice"),
    "another split": ("file,split\nframe00,tray\n", {}, "'tray' is neither train, validation or test nor the number"),
    "ragged": ("file,split\nframe00\n", {}, "its rows have different numbers of columns"),
    "no split": ("file,age\nframe00,7\n", {}, "its columns are file, age, and one must be called split, fold or label"),
    "names alone": ("file,split\n", {}, "it has no rows below those names"),
    "another column": ("file,ward\nframe00,7\n", {"group": "nurse"}, "must be called split, fold or label, or nurse, as `gr"),
    "too short": ("train\ntest\n", {}, "no column called file, and not one row for each of 28 examples"),
    "folds alone": ("frame00,0\nframe01,1\n", {}, "it has folds, and `fold` must be one of 0, 1;"),
    "no such fold": ("frame00,0\nframe01,1\n", {"fold": 2}, "`fold` is 2, and must be one of 0, 1;"),
    "no folds": ("frame00,train\nframe01,test\n", {"fold": 2}, "`fold` is 2, and must be left out, because"),
    "fold alone": ("", {"fold": 1, "split": None}, "`fold` is 1, and must be left out, .*; correct `fold` or `group`"),
    "nothing to train on": ("frame00,val\nframe01,test\n", {}, "holds 0 image"),
    "no expression": ("", {"group": "(", "split": None}, "unterminated subpattern"),
    "no group": ("", {"group": "patient", "split": None}, "'patient' is no column, and is not found in film0/"),
    "one group": ("", {"group": "film", "split": None}, "`group` makes 1 group.s. of 28 examples, and at least 3 are needed"),
    "a group in two splits": (
        "".join(f"frame{i:02d},{'train' if i < 20 else 'test'}\n" for i in range(28)),
        {"group": r"film\d"},
        r"the group 'film\d' is in several splits",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_split_is_one_sentence(case: str, films: Path, tmp_path: Path) -> None:
    text, options, message = WRONG[case]
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        data.load(films, **{"split": tmp_path / "split.csv", **options})


def test_a_list_is_no_description_of_splits(films: Path, tmp_path: Path) -> None:
    for text in ("[1]", '{"train": {"frame00": 1}}', '{"train": "frame00"}'):
        (tmp_path / "s.json").write_text(text)
        with pytest.raises(UserError, match="it has no list of names for each split; correct that file"):
            data.load(films, split=tmp_path / "s.json")


def test_a_file_of_anything_is_one_sentence(films: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pieces = [
        b"frame00",
        b"film1/frame01.png",
        b"train",
        b"test",
        b",",
        b"\t",
        b" ",
        b"\n",
        b'"',
        b"\0",
        b"\xff",
        b"0",
        b"{",
        b"[",
        b"]",
    ]
    for trial in range(300):
        path = tmp_path / f"x{('.csv', '.json')[trial % 2]}"
        path.write_bytes(b"".join(random.choice(pieces, random.integers(1, 40))))
        with contextlib.suppress(UserError):
            data.load(films, split=path, fold=(None, 0)[trial % 3 == 0])
    path.write_text('{"train": ' + "[" * 100_000)
    for place in (path, tmp_path):
        with pytest.raises(UserError, match="cannot be split by"):
            data.load(films, split=place)


@pytest.mark.parametrize("mark", ["\t", ",", ";"])
def test_the_last_cell_of_a_row_may_be_empty(mark: str, tmp_path: Path) -> None:
    lines = [("file", "split", "label"), ("a.png", "train", ""), ("b.png", "test", "dog"), ("", "test", "")]
    (tmp_path / "split.tsv").write_text("\r\n".join(mark.join(line) for line in lines) + "\r\n")
    found = read_table(tmp_path / "split.tsv", None)
    assert found == {"file": ["a.png", "b.png", ""], "split": ["train", "test", "test"], "label": ["", "dog", ""]}


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("file,Split,split\na.png,train,test\n")
    with pytest.raises(ValueError, match="it has two columns called 'split'"):
        read_table(tmp_path / "split.csv", None)


def test_an_ambiguous_name_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "two", ["a/1.png", "b/1.png", "b/2.png", "a/3.png", "a/4.png"])
    (tmp_path / "split.txt").write_text("a/1.png train\na/3 train\n1.png test\n")
    with pytest.raises(UserError, match=r"'1\.png' fits several examples"):
        data.load(folder, split=tmp_path / "split.txt")


def test_rows_of_arrays_are_split(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "rows.csv").write_text(
        "row,split\n" + "".join(f"{i},{'test' if i % 2 else 'train'}\n" for i in range(38))
    )
    found = data.load(tmp_path / "x.npy", split=tmp_path / "rows.csv")
    assert np.array_equal(found.test.x, x[1:38:2])
    assert "2 examples are in no split" in found.about
    np.savez(tmp_path / "own.npz", x_train=x, x_test=x + 1)
    with pytest.raises(UserError, match="has its own test split; leave out `split`, `fold`, `group`"):
        data.load(tmp_path / "own.npz", split=tmp_path / "rows.csv")
    with pytest.raises(UserError, match="the data set 'digits' has its own splits"):
        data.load("digits", group="a")


# ------------------------------------------------------------------------------------------------ groups


def check_groups(found: Dataset, group: Callable[[int], Any]) -> None:
    split = numbers(found)
    of = {part: {group(i) for i in split[part]} for part in SPLITS}
    assert all(of.values())
    assert sum(map(len, of.values())) == len(set.union(*of.values()))
    assert len(split["train"]) > len(split["validation"] + split["test"])


def test_a_group_is_in_one_split(films: Path, tmp_path: Path) -> None:
    check_groups(data.load(films, group=r"film\d"), lambda i: i % 7)
    assert "each group of (fi)lm(\\d) in one split" in data.load(films, group=r"(fi)lm(\d)").about
    (tmp_path / "who.csv").write_text("path,Patient\n" + "".join(f"{x},{i // 4}\n" for i, x in enumerate(FILMS)))
    check_groups(data.load(films, split=tmp_path / "who.csv", group="Patient"), lambda i: i // 4)
    (tmp_path / "both.csv").write_text(
        "path,fold,Patient\n" + "".join(f"{x},{i // 4 % 3},{i // 4}\n" for i, x in enumerate(FILMS))
    )
    found = data.load(films, split=tmp_path / "both.csv", group="Patient", fold=0)  # validation by groups too
    split = numbers(found)
    assert not {i // 4 for i in split["validation"]} & {i // 4 for i in split["train"]}
    assert split["test"] == [i for i in range(28) if i // 4 % 3 == 0]


def test_groups_of_arrays(tmp_path: Path) -> None:
    x = np.stack([picture(i) for i in range(60)])
    np.savez(tmp_path / "x.npz", x=x, patient=np.arange(60) // 6)
    check_groups(data.load(tmp_path / "x.npz", group="patient"), lambda i: i // 6)
    table = np.column_stack([np.arange(60) // 6, np.random.default_rng(0).normal(size=60)])
    np.save(tmp_path / "t.npy", table)
    found = data.load(tmp_path / "t.npy", group="0")
    of = [set(getattr(found, part).x[:, 0].tolist()) for part in SPLITS]
    assert sum(map(len, of)) == 10
    assert found.shape == (2,)
    for path, group in (("x.npz", "nobody"), ("t.npy", "2")):
        with pytest.raises(UserError, match=f"`group` '{group}' is no column"):
            data.load(tmp_path / path, group=group)


def test_a_large_group_is_trained_on(tmp_path: Path) -> None:
    for seed in range(3):
        names = [f"{'big' if i < 40 else f'p{seed}{i}'}/{i}.png" for i in range(50)]
        split = numbers(data.load(save(tmp_path / str(seed), names), group=r"^\w+"))
        assert set(range(40)) <= set(split["train"])
        assert len(split["validation"]) == len(split["test"]) == 5


def test_unlabelled_examples_of_a_held_out_group_are_left_out(tmp_path: Path) -> None:
    names = [f"{('a', 'b', 'unlabelled')[i % 3]}/p{i // 6}_{i}.png" for i in range(60)]
    found = data.load(save(tmp_path / "x", names), group=r"p\d+")
    check_groups(found, lambda i: i // 6)
    assert (found.train.y < 0).sum() == 16
    assert "4 examples are in no split" in found.about


# ------------------------------------------------------------------------------------------------ unlabelled examples


def labelled(folder: Path, name: str = "unlabelled") -> Path:
    return save(folder, [*(f"{i % 2}/{i:02d}.png" for i in range(40)), *(f"{name}/{i}.png" for i in range(60, 90))])


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled"])
def test_a_folder_of_unlabelled_images_is_only_trained_on(name: str, tmp_path: Path) -> None:
    found = data.load(labelled(tmp_path / "x", name))
    assert found.classes == ("0", "1")
    assert (len(found.train), len(found.validation), len(found.test)) == (62, 4, 4)
    assert numbers(found)["train"][-30:] == list(range(40, 70))
    assert found.train.y[-30:].tolist() == [-1] * 30
    assert set(found.test.y) | set(found.validation.y) <= {0, 1}
    assert len(found.train.labeled) == len(found.labeled_subset(None)) == 32
    assert "30 training examples have no label" in found.about
    assert found.train.labeled.x.base is not None  # a view: nothing is copied


def test_it_lies_beside_the_splits_or_in_one(tmp_path: Path) -> None:
    names = [f"{part}/{i % 2}/{i}.png" for i, part in enumerate(["train"] * 12 + ["test"] * 4)]
    for place in ("unlabelled", "train/unlabelled", "train/-1"):
        found = data.load(save(tmp_path / place.replace("/", "-"), [*names, *(f"{place}/{i}.png" for i in range(6))]))
        assert (found.train.y < 0).sum() == 6
        assert len(found.test) == 4
        assert found.classes == ("0", "1")


LABELS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "-1": ([0, 1] * 15 + [-1] * 10, ("0", "1")),
    "-1.0": ([0.0, 1.0] * 15 + [-1.0] * 10, ("0", "1")),
    "three classes": ([0, 1, 2] * 10 + [-1] * 10, ("0", "1", "2")),
    "empty": (["cat", "dog"] * 15 + [""] * 10, ("cat", "dog")),
    "bytes": ([b"cat", "d\u00f6g".encode()] * 15 + [b""] * 10, ("cat", "d\u00f6g")),
    "both": (["cat", "dog"] * 15 + [""] * 5 + ["-1"] * 5, ("cat", "dog")),
}


@pytest.mark.parametrize("case", LABELS)
def test_a_label_of_minus_one_or_nothing_is_none(case: str, tmp_path: Path) -> None:
    y, classes = LABELS[case]
    np.savez(tmp_path / "x.npz", x=np.stack([picture(i) for i in range(40)]), y=np.array(y))
    found = data.load(tmp_path / "x.npz")
    assert found.classes == classes
    assert found.train.y[-10:].tolist() == [-1] * 10
    assert found.labels == len(classes)
    assert numbers(found)["train"][-10:] == list(range(30, 40))


def test_a_label_file_names_the_classes_of_a_folder(tmp_path: Path) -> None:
    folder, table = save(tmp_path / "x", [f"{i:02d}.png" for i in range(40)]), tmp_path / "labels.csv"
    table.write_text("image,label\n" + "".join(f"{i:02d},{('cat', 'dog', '')[i % 3]}\n" for i in range(38)))
    found = data.load(folder, split=table)
    assert found.classes == ("cat", "dog")
    assert (found.train.y < 0).sum() == 14  # 12 with an empty label, 2 that are not in the file
    known = {picture(i).tobytes(): i for i in range(40)}
    assert all(known[x.tobytes()] % 3 == y for x, y in zip(found.train.labeled.x, found.train.labeled.y, strict=True))
    table.write_text("image,label\n" + "".join(f"{i:02d},{('3', '7', '-1')[i % 3]}\n" for i in range(38)))
    found = data.load(folder, split=table)
    assert found.classes == ("3", "7")
    assert (found.train.y < 0).sum() == 14
    table.write_text(
        "image,label,split\n" + "".join(f"{i:02d},{'ab'[i % 2]},{('train', 'test')[i // 30]}\n" for i in range(39))
    )
    assert data.load(folder, split=table).test.y.tolist() == [0, 1] * 4 + [0]
    table.write_text("image,label,split\n00,a,train\n01,b,train\n02,a,train\n03,b,train\n04,,test\n")
    with pytest.raises(UserError, match="1 test examples of 'x' have no label"):
        data.load(folder, split=table)


def test_two_signs_are_two_classes_and_held_out_examples_need_labels(tmp_path: Path) -> None:
    x = np.stack([picture(i) for i in range(40)])
    np.savez(tmp_path / "x.npz", x=x, y=[-1, 1] * 20)
    assert data.load(tmp_path / "x.npz").classes == ("-1", "1")
    np.savez(tmp_path / "x.npz", x_train=x, y_train=[0, 1] * 20, x_test=x[:3], y_test=[0, 1, -1])
    with pytest.raises(UserError, match="1 test examples of 'x' have no label; leave them out"):
        data.load(tmp_path / "x.npz")


@pytest.mark.parametrize("game", ["semi-ali", "semi-aae"])
def test_semi_supervised_games_learn_from_both(game: str, tmp_path: Path) -> None:
    prior = (
        {"prior": "codes(categorical=[2], uniform=0)", "latent_dim": 6, "encoder": "deterministic"}
        if "aae" in game
        else {}
    )
    run = Run(**{**SMALL, "game": game, "data": str(labelled(tmp_path / "x")), **prior})
    prepared = engine.prepare(run)
    everything, few = prepared.stores
    assert (len(everything), len(few)) == (62, 32)
    x, x_l, y = next(prepared.batches)
    assert y.shape == (8, 2)
    assert bool((y.sum(1) == 1).all())
    assert len(x) == len(x_l) == 8
    trained = engine.finish(prepared, [])
    assert tasks.classify(trained.game, torch.rand(2, 1, 32, 32)).shape == (2, 2)


def test_metrics_and_tasks_leave_unlabelled_examples_out(tmp_path: Path) -> None:
    found = data.load(labelled(tmp_path / "x"))
    game = building.build_for(Run(**SMALL, data=str(tmp_path / "x")), found)
    assert set(Evidence(game, found, count=4).train.y.tolist()) == {0, 1}
    classifier = Classifier.for_dataset(found, torch.device("cpu"))
    probabilities = classifier.probabilities(torch.rand(1, 1, 32, 32))
    assert probabilities is not None
    assert probabilities.shape == (1, 2)
    x, values = verbs.labeled_examples(found, "1", 100, 0)
    assert len(x) == 32
    assert values.sum() == (found.train.y == 1).sum()


def test_conditional_games_need_all_labels(tmp_path: Path) -> None:
    run = Run(**SMALL, data=str(labelled(tmp_path / "x")), condition_on="labels")
    with pytest.raises(
        UserError, match="has training examples without a label; leave them out, or choose another `game`"
    ):
        building.build_for(run, loading.load_dataset(run))


# ------------------------------------------------------------------------------------------------ two domains


@pytest.mark.parametrize("form", ["{}A/{}.png", "horses/{}B_/{}.png", "{}_a/{}.png"])
def test_two_domains_in_one_folder(form: str, tmp_path: Path) -> None:
    form = form.replace("B_", "B")
    names = [form.format(part, i) for i, part in enumerate(["train"] * 20 + ["test"] * 4)]
    swap = str.maketrans({"A": "B", "B": "A"}) if "_a" not in form else {}
    others = [name.translate(swap) if swap else name.replace("_a", "_b") for name in names]
    folder = save(save(tmp_path / "x", names), [*others, "readme.png"] if "horses" not in form else others, first=100)
    found = data.load(folder)
    assert found.other is not None
    assert not found.paired
    assert found.classes == ()
    a, b = (numbers(one) for one in (found, found.other))
    if "horses" in form:
        a, b = b, a
    assert a["test"] == list(range(20, 24))
    assert b["test"] == list(range(120, 124))
    assert sorted(a["train"] + a["validation"]) == list(range(20))
    assert sorted(b["train"] + b["validation"]) == list(range(100, 120))
    assert ("in neither domain" in found.about) == ("horses" not in form)


def test_one_domain_alone_or_other_names_are_classes(tmp_path: Path) -> None:
    found = data.load(save(tmp_path / "x", [f"{name}/{i}.png" for name in ("trainA", "trainC") for i in range(10)]))
    assert found.other is None
    assert found.classes == ("trainA", "trainC")


def test_folders_of_one_domain_alone_are_splits(tmp_path: Path) -> None:
    names = [f"{part}A/{i}.png" for i, part in enumerate(["train"] * 20 + ["test"] * 4)]
    found = data.load(save(tmp_path / "x", names))
    assert (found.other, found.classes, numbers(found)["test"]) == (None, (), list(range(20, 24)))


def test_domains_of_two_shapes_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "x", [f"trainA/{i}.png" for i in range(10)])
    for i in range(10):
        (folder / "trainB").mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), i, np.uint8)).save(folder / f"trainB/{i}.png")
    with pytest.raises(
        UserError, match=r"differ in shape .* x, domain A has \(1, 32, 32\) and x, domain B has \(3, 32, 32\)"
    ):
        data.load(folder)
    (tmp_path / "s.csv").write_text("trainA/0.png,train\n")
    with pytest.raises(UserError, match="has two domains, each with its own splits; leave `split` out"):
        data.load(folder, split=tmp_path / "s.csv")


def test_cyclegan_trains_on_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{part}{x}/{i}.png" for x in "AB" for i, part in enumerate(["train"] * 12 + ["test"] * 4)]
    folder, out = save(tmp_path / "x", names), tmp_path / "run"
    options = (
        "--game",
        "cyclegan",
        "--networks",
        "auto(width=2)",
        "--steps",
        1,
        "--batch-size",
        2,
        "--evaluate-every",
        0,
    )
    assert interalia("train", "--data", folder, *options, "--out", out) == 0
    assert interalia("translate", out) == 0
    assert "4 translations" in capsys.readouterr().out
    with pytest.warns(DataWarning, match="have two domains, and ALI is trained on the first"):
        engine.prepare(Run(**SMALL, data=str(folder)))
    with pytest.raises(UserError, match="give the second in `data_b`, or a folder with trainA and trainB"):
        engine.prepare(Run(**SMALL, game="cyclegan", data="digits"))


# ------------------------------------------------------------------------------------------------ copies


def jpeg(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=80)
    return np.asarray(Image.open(file))


def resized(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("copy", [lambda image: image, jpeg, resized], ids=["exact", "encoded again", "resized"])
def test_copies_across_splits_are_counted(copy: Callable[[np.ndarray], np.ndarray], tmp_path: Path) -> None:
    folder = save(tmp_path / "x", [f"train/{i}.png" for i in range(30)])
    save(folder, [f"{part}/{i}.png" for part in ("val", "test") for i in range(5)], first=30)
    assert "Copies" not in data.load(folder, image_size=32).about
    for place, number in (("val/a", 3), ("test/b", 31), ("test/c", 7)):  # 31 is a validation image
        Image.fromarray(copy(picture(number))).save(folder / f"{place}.png")
    for _ in range(2):  # decoded, and from the cache
        assert (
            "Copies (nearly) in an earlier split: 1 validation and 2 test examples"
            in data.load(folder, image_size=32).about
        )


def test_copies_are_found_where_tiny_numbers_are_flushed_to_zero(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.stack([picture(i % 55) for i in range(60)]))
    torch.set_flush_denormal(True)  # as while a training is prepared
    try:
        assert "Copies" in data.load(tmp_path / "x.npy").about
    finally:
        torch.set_flush_denormal(False)


def test_copies_in_gray_and_of_strong_compression_are_found(tmp_path: Path) -> None:
    def color(i: int) -> Image.Image:
        return Image.fromarray(np.stack([picture(i + 60 * c) for c in range(3)], axis=-1)).resize((64, 64))

    for i in range(30):
        part = ("train", "val", "test")[i // 10]
        (tmp_path / "x" / part).mkdir(parents=True, exist_ok=True)
        color(i).save(tmp_path / f"x/{part}/{i}.png")
    assert "Copies" not in data.load(tmp_path / "x", image_size=32).about
    color(3).convert("L").save(tmp_path / "x/test/gray.png")
    color(4).save(tmp_path / "x/test/small.jpg", quality=50)
    assert "0 validation and 2 test examples" in data.load(tmp_path / "x", image_size=32).about


def test_copies_of_16_bits_are_found_where_they_are_resized(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for i in range(30):
        numbers = picture(i).astype(np.uint16) * 250
        Image.fromarray(numbers).save(tmp_path / f"x/{i:02}.png")
    small = resized(picture(3)).astype(np.uint16) * 250
    for part in ("train", "val", "test"):
        (tmp_path / f"x/{part}").mkdir()
    for i, path in enumerate(sorted((tmp_path / "x").glob("*.png"))):
        path.rename(tmp_path / "x" / ("train", "val", "test")[i // 10] / path.name)
    assert "Copies" not in data.load(tmp_path / "x", image_size=32).about
    Image.fromarray(small).save(tmp_path / "x/test/copy.png")
    assert "0 validation and 1 test examples" in data.load(tmp_path / "x", image_size=32).about


def test_copies_of_rows_and_of_no_other_images(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "x.npz", x_train=x[:50], x_test=np.concatenate([x[50:], x[:4]]))
    assert "0 validation and 4 test examples" in data.load(tmp_path / "x.npz").about
    assert "in no split" not in data.load(tmp_path / "x.npz").about
    (tmp_path / "x.csv").write_text("a,b,c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in [*x[:56], *x[:4]]))
    (tmp_path / "s.csv").write_text("split\n" + "train\n" * 50 + "test\n" * 10)
    found = data.load(tmp_path / "x.csv", split=tmp_path / "s.csv").about
    assert re.search(r"\. Copies \(nearly\) in an earlier split: 0 validation and [2-4] test examples\. Columns", found)
    assert "Copies" not in data.load("digits").about
    assert described(np.zeros((2, 3, 5, 7), np.uint8)).shape == (2, 35)
    whole = described(np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16))
    assert whole[0, 0] == np.arange(256).reshape(16, 16)[:2, :2].mean()


# ------------------------------------------------------------------------------------------------ tables, memory


def test_what_is_not_finite_is_named_by_row_and_column(tmp_path: Path) -> None:
    for value, name in ((np.nan, "nan"), (np.inf, "inf"), (1e300, r"1e\+300")):
        x = np.random.default_rng(0).normal(size=(2000, 4))
        x[1017, 3] = x[1999, 0] = value
        np.save(tmp_path / "x.npy", x)
        with pytest.raises(
            UserError, match=f"in 2 of 8,000 places; .* the first is {name} in row 1017, column 3 .counted from 0."
        ):
            data.load(tmp_path / "x.npy")


def test_unequal_scales_are_standardized_by_column_unless_that_is_switched_off(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2000, 4)) * [1, 2000, 50, 30] + [0, 7, 1e6, 0]
    x[:, 3] = 5  # constant
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    with pytest.raises(
        UserError, match=r"deviation of column 0 .* is (0\.9|1)\S*, and that of column 1 (1\.9|2)\S*e\+03"
    ):
        data.load(tmp_path / "x.npy", scale="none")
    found = data.load(tmp_path / "x.npy")
    assert np.allclose(found.train.x.std(0), [1, 1, 1, 0], atol=1e-3)
    assert found.units is not None
    assert np.allclose(np.sort(found.units.invert(found.train.x)[:, 2])[[0, -1]] / 1e6, 1, atol=1e-3)
    assert "; constant: 3" in found.about
    std = x.std(0)
    for equal in ((x - x.mean(0)) / np.where(std > 0, std, 1), x[:, :1] * [1, 50], x[:, 1:2]):
        np.save(tmp_path / "x.npy", equal)
        assert data.load(tmp_path / "x.npy").shape == (equal.shape[1],)
    flags = np.where(np.arange(20_000)[:, None] == [3, 5], 1.0, [0, 0])
    np.save(tmp_path / "x.npy", np.column_stack([flags, np.random.default_rng(0).normal(size=20_000)]))
    assert data.load(tmp_path / "x.npy").units == Units()  # rare events have the range of the others


def test_vectors_are_read_in_pieces_and_memory_mapped(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40_000, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    data.load("digits")  # imports
    tracemalloc.start()
    found = data.load(tmp_path / "x.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 2
    assert all(isinstance(getattr(found, part).x, np.memmap) for part in SPLITS)
    assert np.array_equal(np.sort(np.concatenate([getattr(found, part).x[:, 0] for part in SPLITS])), np.sort(x[:, 0]))


# ------------------------------------------------------------------------------------------------ runs


def test_a_run_keeps_its_split(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = tmp_path / "folds.csv", tmp_path / "run"
    flat = save(tmp_path / "flat", [f"{i:02d}.png" for i in range(40)])
    table.write_text("".join(f"{i:02d} {i % 4}\n" for i in range(40)))
    options = ("--networks", "auto(width=2)", "--latent-dim", 4, "--batch-size", 8, "--evaluate-every", 0)
    given = ("--data", flat, "--split", table, "--fold", 1, "--out", out)
    assert interalia("train", *given, *options, "--steps", 1) == 0
    run = Folder(out).run()
    assert (run.split, run.fold, run.group) == (str(table), 1, None)
    assert interalia("train", "--resume", out, "--steps", 2) == 0
    assert len(loading.load_dataset(run).test) == 10
    table.write_text("".join(f"{i:02d} {(i + 1) % 4}\n" for i in range(40)))  # splits of the same sizes
    with pytest.warns(DataWarning, match="folds.csv has changed since the training began; the run keeps its splits"):
        assert interalia("train", "--resume", out, "--steps", 3) == 0
    capsys.readouterr()
    with pytest.warns(DataWarning, match="folds.csv has changed"):
        assert interalia("reconstruct", out, "--count", 2) == 0
    assert "The data have changed" not in capsys.readouterr().err
    assert interalia("train", "--resume", out, "--fold", 2) == 2
    assert "--fold would change them" in capsys.readouterr().err


def test_the_fingerprint_knows_the_split(films: Path, tmp_path: Path) -> None:
    plain, grouped = (fingerprint(data.load(films, group=group))["sha256"] for group in (None, r"film\d"))
    assert plain != grouped == fingerprint(data.load(films, group=r"film\d"))["sha256"]
