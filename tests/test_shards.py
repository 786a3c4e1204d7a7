"""Data prepared as shards: the same data to the last bit, read by index, whole or refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from program import interalia as program
from safetensors.torch import load_file

import interalia
from interalia import data
from interalia.data import arrays, orders, sampler, sharded, tables
from interalia.data import columns as data_columns
from interalia.data.examples import read_examples
from interalia.data.fingerprints import fingerprint
from interalia.data.sharded import ShardedArray, open_shards, write_shards
from interalia.data.shards import CHECKED, check, checksum_of, is_shards, load_shards, prepare
from interalia.errors import UserError

DRAW = np.random.default_rng(0)
PARTS = ("train", "validation", "test")


def same(a: data.Dataset, b: data.Dataset) -> None:
    for part in PARTS:
        one, two = getattr(a, part), getattr(b, part)
        assert one.x.dtype == two.x.dtype
        assert (np.asarray(one.x) == np.asarray(two.x)).all()
        assert (one.y is None) == (two.y is None)
        assert one.y is None or (one.y == two.y).all()
        assert (one.groups is None) == (two.groups is None)
        assert one.groups is None or (one.groups == two.groups).all()
        assert (part in a.attributes) == (part in b.attributes)
    for key in ("name", "about", "classes", "units", "encoded", "shape", "labels", "binary"):
        assert getattr(a, key) == getattr(b, key), key
    assert fingerprint(a) == fingerprint(b)


def pictures(folder: Path, count: int = 24, dtype: Any = np.uint8) -> Path:
    """Images of two classes, of which each holds its number."""
    for i in range(count):
        place = folder / ["cat", "dog"][i % 2]
        place.mkdir(parents=True, exist_ok=True)
        low, high = {np.uint8: (0, 255), np.uint16: (0, 4095), np.int32: (-1024, 3071)}[dtype]
        pixels = DRAW.integers(low, high, (12, 12)).astype(dtype)
        Image.fromarray(pixels).save(place / f"{i:02d}.{'png' if dtype == np.uint8 else 'tif'}")
    return folder


def sources(tmp_path: Path) -> dict[str, tuple[Any, dict[str, Any]]]:
    np.save(tmp_path / "hu.npy", DRAW.integers(-1000, 2000, (40, 8, 8)).astype(np.int16))
    np.save(tmp_path / "signal.npy", DRAW.normal(size=(40, 2, 16)))
    np.save(tmp_path / "volume.npy", DRAW.random((30, 1, 4, 4, 4), dtype=np.float32))
    np.savez(tmp_path / "a.npz", x=DRAW.integers(0, 256, (40, 3, 8, 8)).astype(np.uint8), y=np.arange(40) % 3 - 1)
    rows = [f"{i},{i * 0.5},{['x', 'y'][i % 2]},{'' if i % 7 == 3 else i}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,kind,hole", *rows]) + "\n")
    lines = [f"p{i // 4};{i},5;{['', 'true', 'false'][i % 3]};{['NA', 'x', 'y', '7'][i % 4]};{i}" for i in range(64)]
    with gzip.open(tmp_path / "u.csv.gz", "wt", encoding="utf-16") as file:
        file.write("\n".join(["of;half;flag;kind;n", *lines]) + "\n\n")
    np.savez_compressed(tmp_path / "c.npz", x=np.asfortranarray(DRAW.normal(9, 99, (40, 6))), y=np.arange(40) % 3)
    return {
        "gz": (tmp_path / "u.csv.gz", {"impute": "mean", "group": "of"}),
        "compressed": (tmp_path / "c.npz", {}),
        "digits": ("digits", {}),
        "folder": (pictures(tmp_path / "folder"), {"image_size": 8}),
        "tiff": (pictures(tmp_path / "tiff", dtype=np.uint16), {}),
        "wide tiff": (pictures(tmp_path / "wide", dtype=np.int32), {}),
        "units": (tmp_path / "hu.npy", {}),
        "signal": (tmp_path / "signal.npy", {"layout": "signal", "scale": "standard(per='channel')"}),
        "volume": (tmp_path / "volume.npy", {}),
        "npz": (tmp_path / "a.npz", {}),
        "table": (tmp_path / "t.csv", {"impute": "median"}),
    }


@pytest.mark.parametrize(
    "kind", ["digits", "folder", "tiff", "wide tiff", "units", "signal", "volume", "npz", "table", "gz", "compressed"]
)
def test_shards_are_the_data_that_they_were_prepared_from(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded, "SHARD_BYTES", 2000)
    for module in (tables, data_columns):
        monkeypatch.setattr(module, "ROWS", 7)  # in a block of a table
    source, options = sources(tmp_path)[kind]
    out = tmp_path / "shards"
    prepared = prepare(source, out, **options)
    assert is_shards(out)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    expected = data.load(source, **options)
    same(prepared, expected)
    assert isinstance(prepared.train.x, ShardedArray)
    same(data.load(out, **options), expected)  # the options by which they were prepared may be repeated
    with pytest.raises(UserError, match="was prepared without `crop`"):
        data.load(out, crop="random")
    units = expected.units
    if units is not None:  # of a run that was trained on other numbers
        other = data.load(source, **{**options, "scale": "min-max"}).units
        assert other is not None
        converted = load_shards(out, other)
        own, again = units.invert(np.asarray(prepared.test.x)), other.invert(np.asarray(converted.test.x))
        assert np.allclose(own.astype(float), again.astype(float), rtol=1e-4, atol=1e-4)
        assert converted.units == other


def test_two_domains_and_attributes_are_kept(tmp_path: Path) -> None:
    expected = data.load("digits-inverted")
    found = prepare("digits-inverted", tmp_path / "two")
    same(found, expected)
    assert found.paired
    assert found.other is not None
    assert expected.other is not None
    same(found.other, expected.other)
    x, names = DRAW.integers(0, 256, (30, 1, 4, 4)).astype(np.uint8), np.array(["bald", "old"])
    parts = {part: data.Split(x[i::3]) for i, part in enumerate(PARTS)}
    told = {part: DRAW.integers(0, 2, (10, 2)).astype(np.int8) for part in PARTS}
    faces = data.Dataset("faces", **parts, attributes={"names": names, **told})
    again = prepare(faces, tmp_path / "faces")
    same(again, faces)
    assert (again.conditions("test", ["old"]) == told["test"][:, 1:]).all()  # type: ignore[operator]
    with pytest.raises(UserError, match="drawn at random"):
        prepare("grid25", tmp_path / "grid")
    with pytest.raises(UserError, match="no option 'size'"):
        prepare("digits", tmp_path / "x", size=3)


def test_tables_and_archives_that_are_prepared_need_not_fit_into_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sources(tmp_path)["gz"][0]
    expected = data.load(path, impute="mean", group="of")
    monkeypatch.setenv("INTERALIA_MAX_MB", "0.0001")
    with pytest.raises(UserError, match="set the environment variable"):
        data.load(path, impute="mean", group="of")
    same(prepare(path, tmp_path / "s", impute="mean", group="of"), expected)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]
    np.savez(tmp_path / "o.npz", x=np.array([{}] * 9, dtype=object))
    with pytest.raises(UserError, match="holds Python objects"):
        prepare(tmp_path / "o.npz", tmp_path / "o")


def test_groups_stay_in_one_split(tmp_path: Path) -> None:
    table = {"of": [f"p{i % 9}" for i in range(90)], "x": np.arange(90.0), "kind": (np.arange(90) % 9).astype(float)}
    found = prepare(table, tmp_path / "s", group="of")
    assert found.units is not None
    groups = [set(np.rint(found.units.invert(np.asarray(getattr(found, part).x))[:, 1]).tolist()) for part in PARTS]
    assert sum(map(len, groups)) == 9
    assert "each group of of in one split" in found.about
    kept = [{*getattr(found, part).groups} for part in PARTS]
    assert [len(names) for names in kept] == [len(kinds) for kinds in groups]
    assert {*kept[0], *kept[1], *kept[2]} == {f"p{i}" for i in range(9)}
    assert list(found.test[[1, 0]].groups) == list(found.test.groups[[1, 0]])  # type: ignore[index, arg-type]
    folder = prepare(pictures(tmp_path / "folder"), tmp_path / "f", group=r"(cat|dog|\d)\d*.png")
    assert folder.test.groups is not None


def test_batches_are_the_same_from_files_and_from_memory(tmp_path: Path) -> None:
    expected = data.load("digits")
    found = prepare("digits", tmp_path / "s")
    rows = torch.tensor([700, 3, 3, 1296])
    cpu = torch.device("cpu")
    for budget in (0.0, 1e9):  # read by batch, and uploaded as on an accelerator with enough memory
        one, two = (data.Store(part, cpu, budget, part.y, 10) for part in (expected.train, found.train))
        assert isinstance(two.data, torch.Tensor) == bool(budget)
        assert all(torch.equal(a, b) for a, b in zip(one[rows], two[rows], strict=True))
    few = found.labeled_subset(20, seed=1)
    assert (np.asarray(few.x) == expected.labeled_subset(20, seed=1).x).all()


def test_rows_are_read_by_any_index(tmp_path: Path) -> None:
    array = np.arange(7 * 2 * 3, dtype=np.float32).reshape(7, 2, 3)
    sharded_bytes = sharded.SHARD_BYTES
    try:
        sharded.SHARD_BYTES = 2 * array[0].nbytes
        shards = write_shards(tmp_path, "x", 7, [array[:3], array[3:4], array[4:]])
    finally:
        sharded.SHARD_BYTES = sharded_bytes
    assert [one.rows for one in shards] == [2, 2, 2, 1]
    assert (np.concatenate([np.load(one.path) for one in shards]) == array).all()  # files that NumPy reads
    found = open_shards([(one.path, one.rows, one.checksums) for one in shards], (2, 3), "float32")
    for key in (
        slice(None), slice(1, 6), slice(6, None, -2), slice(3, 3), [5, 0, 0, 6], np.array([1, 2, 3]), -1, 4,
        array[:, 0, 0] > 20, (slice(2, 5), 1), (3, 1, 2), np.array([], dtype=np.int64),
    ):  # fmt: skip
        assert np.array_equal(found[key], array[key]), key
    some = found.select([6, 1, 2]).select(slice(1, None))
    assert np.array_equal(np.asarray(some), array[[1, 2]])
    assert (some.shape, some.nbytes, len(found.select(slice(2)))) == ((2, 2, 3), 48, 2)
    assert np.array_equal(np.stack(list(found)), array)
    for wrong in (7, -8, [0, 9]):
        with pytest.raises(IndexError):
            found[wrong]
    shards[1].path.write_bytes(shards[1].path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"x-00001.npy is cut short"):
        found[[3]]
    shards[1].path.unlink()
    with pytest.raises(UserError, match=r"x-00001.npy cannot be read"):
        found[[3]]


def trained(source: Any, **options: Any) -> dict[str, torch.Tensor]:
    small: dict[str, Any] = {"steps": 3, "networks": "mlp(width=8)", "batch_size": 8, "latent_dim": 2}
    run = interalia.train("ali-digits", data=str(source), verbose=False, **small, **options)
    return run.game.state_dict()


@pytest.mark.parametrize("kind", ["npz", "signal", "table"])
def test_training_on_shards_gives_the_same_weights(kind: str, tmp_path: Path) -> None:
    source, options = sources(tmp_path)[kind]
    prepare(source, tmp_path / "shards", **options)
    one = trained(source, **options)
    two = trained(tmp_path / "shards")
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_every_task_takes_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", (DRAW.random((40, 8, 8)) * 4000).astype(np.uint16))
    assert program("prepare", tmp_path / "x.npy", "--out", tmp_path / "s") == 0
    said = capsys.readouterr().out
    assert "40 images of 8x8 pixels" in said
    assert "interalia train --data" in said
    run, shards = tmp_path / "run", tmp_path / "s"
    small = ("--steps", 2, "--networks", "mlp(width=8)", "--latent-dim", 2, "--batch-size", 8)
    assert program("train", "ali-digits", "--data", shards, *small, "--out", run) == 0
    for name in ("encode", "reconstruct"):
        for given, file in ((shards, "a.npz"), (tmp_path / "x.npy", "b.npz")):
            assert program(name, run, given, "--out", tmp_path / f"{name}-{file}") == 0
        one, two = (np.load(tmp_path / f"{name}-{file}") for file in ("a.npz", "b.npz"))
        key = {"encode": "z", "reconstruct": "x_hat"}[name]
        key = key if key in one.files else one.files[0]
        assert one[key].shape == two[key].shape  # the shards are in the order of their splits
        order = np.lexsort(one[key].reshape(40, -1).T), np.lexsort(two[key].reshape(40, -1).T)
        assert np.allclose(one[key][order[0]].astype(float), two[key][order[1]].astype(float), atol=1.0)
    assert program("evaluate", run, "--count", 4, "--metrics", "mse") == 0
    assert program("detect", "fit", shards, "--out", tmp_path / "d", "--models", 1, "--steps", 2) == 0
    assert program("detect", "score", tmp_path / "d", shards) == 0
    assert program("prepare", tmp_path / "x.npy", "--out", tmp_path / "s") == 2
    assert "exists already" in capsys.readouterr().err


def damaged(out: Path, change: Any) -> None:
    table = json.loads((out / "shards.json").read_text())
    change(table)
    table["checksum"] = checksum_of({key: value for key, value in table.items() if key != "checksum"})
    (out / "shards.json").write_text(json.dumps(table))


CHANGES: dict[str, Any] = {
    "a file elsewhere": lambda t: t["domains"][0]["splits"]["train"][0].__setitem__(0, "../x.npy"),
    "negative rows": lambda t: t["domains"][0]["splits"]["train"][0].__setitem__(1, -5),
    "too many rows": lambda t: t["domains"][0]["splits"]["train"][0].__setitem__(1, 2**39),
    "rows of text": lambda t: t["domains"][0]["splits"]["train"][0].__setitem__(1, "9"),
    "a huge shape": lambda t: t["domains"][0].__setitem__("shape", [2**39, 2**39, 2**39]),
    "a shape of no number": lambda t: t["domains"][0].__setitem__("shape", []),
    "objects": lambda t: t["domains"][0].__setitem__("type", "object"),
    "no split": lambda t: t["domains"][0]["splits"].pop("test"),
    "another format": lambda t: t.__setitem__("format", "interalia-shards-99"),
    "no domain": lambda t: t.__setitem__("domains", []),
    "domains of another type": lambda t: t.__setitem__("domains", 7),
    "units of another type": lambda t: t["domains"][0].__setitem__("units", [1]),
    "checksums of other rows": lambda t: t["domains"][0]["splits"]["train"][0].__setitem__(2, "12345678" * 9),
    "checksums of text": lambda t: t["domains"][0]["splits"]["train"][0].__setitem__(2, "no number here!!"),
    "fewer classes": lambda t: t["domains"][0].__setitem__("classes", ["0"]),
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "digits"
    prepare("digits", out)
    return out


@pytest.mark.parametrize("name", CHANGES)
def test_a_damaged_table_is_one_sentence(name: str, digits: Path) -> None:
    before = (digits / "shards.json").read_text()
    try:
        damaged(digits, CHANGES[name])
        with pytest.raises(UserError, match="damaged"):
            load_shards(digits)
    finally:
        (digits / "shards.json").write_text(before)


@pytest.mark.parametrize("file", ["train-00000.npy", "train-labels.npy"])
@pytest.mark.parametrize("how", ["cut", "longer", "gone", "garbage", "huge"])
def test_a_damaged_file_is_one_sentence(file: str, how: str, digits: Path) -> None:
    path = digits / file
    before = path.read_bytes()
    huge = before.replace(b"(1297,", b"(%d," % 10**15).replace(b" " * 12 + b"\n", b"\n")  # a header of the same length
    made = {"cut": before[:-1], "longer": before + b"x", "garbage": b"x" * len(before), "huge": huge}
    try:
        path.write_bytes(made[how]) if how in made else path.unlink()
        if (file, how) == ("train-labels.npy", "longer"):
            return  # NumPy leaves bytes behind an array alone
        with pytest.raises(UserError, match="damaged"):
            load_shards(digits)
    finally:
        path.write_bytes(before)


def flipped(path: Path, place: int) -> None:
    """Changes one bit of the byte at a place of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_a_changed_byte_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sharded, "SHARD_BYTES", 64 * 900)  # two files to train on, whose first has 512 rows
    out = tmp_path / "s"
    prepare("digits", out)
    assert [one.rows for one in load_shards(out).train.x.shards] == [512, 512, 273]  # type: ignore[attr-defined]
    assert program("prepare", out, "--check") == 0
    assert "Nothing has changed" in capsys.readouterr().out
    flipped(out / "train-00001.npy", -64 * 2)
    found = load_shards(out).train.x
    found[[0, 1, 1023]]  # single rows are read without their blocks
    for wrong in (lambda: found[:], lambda: check(out), lambda: found[400:1100]):
        with pytest.raises(UserError, match=r"train-00001.npy is damaged, since rows 0 to 511 .* changed"):
            wrong()
    flipped(out / "validation-00000.npy", -1)
    assert program("prepare", out, "--check") == 2
    assert "2 file(s) are damaged" in capsys.readouterr().err
    flipped(out / "train-00001.npy", -64 * 2)
    flipped(out / "validation-00000.npy", -1)
    assert len(check(out)) == 5
    flipped(out / "test-labels.npy", -1)
    with pytest.raises(UserError, match=r"test-labels.npy is damaged \(its numbers have changed"):
        load_shards(out)
    flipped(out / "test-labels.npy", -1)
    text = (out / "shards.json").read_text()
    (out / "shards.json").write_text(text.replace("digits", "digit5", 1))
    with pytest.raises(UserError, match=r"shards.json is damaged \(it has changed"):
        load_shards(out)


def test_a_check_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, read, original = tmp_path / "s", [], ShardedArray.read

    def interrupted(self: ShardedArray, rows: Any) -> Any:
        read.append(self.shards[0].path.name)
        if len({*read}) == 2 and len(read) < 10:
            raise KeyboardInterrupt
        return original(self, rows)

    monkeypatch.setattr(sharded, "SHARD_BYTES", 64 * 512)
    prepare("digits", out)
    monkeypatch.setattr(ShardedArray, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check(out)
    assert (out / CHECKED).exists()
    read[:] = ["x"] * 10
    assert len(check(out)) == 5
    assert "train-00000.npy" not in read
    assert "train-00001.npy" in read
    assert not (out / CHECKED).exists()


def test_shards_of_an_earlier_version_are_read_without_checksums(tmp_path: Path) -> None:
    expected = prepare("digits", tmp_path / "s")
    path = tmp_path / "s" / "shards.json"
    table = json.loads(path.read_text())
    del table["checksum"], table["domains"][0]["columns"]
    table["format"] = "interalia-shards-1"
    for files in table["domains"][0]["splits"].values():
        files[:] = [file[:2] for file in files]
    path.write_text(json.dumps(table))
    same(load_shards(tmp_path / "s"), expected)
    with pytest.raises(UserError, match="without checksums"):
        check(tmp_path / "s")


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*given: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("interalia.data.shards.json.dump", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare("digits", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert sharded.SHARD_BYTES > 0
    monkeypatch.undo()
    for name in (".out-new", ".out-old"):  # as killed processes leave them, without a table
        (tmp_path / name / "whole").mkdir(parents=True)
    os.utime(tmp_path / ".out-old", (0, 0))
    prepare("digits", tmp_path / "out")
    assert is_shards(tmp_path / "out")
    assert not is_shards(tmp_path / ".out-new" / "whole")
    assert not (tmp_path / ".out-old").exists()


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sharded.os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        prepare("digits", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- tar files --------------------------------------------------------------------------------------------------------


def tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 6), value, np.uint8) + np.arange(6, dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("labels", ["cls", "json"])
def test_tars_of_webdataset(labels: str, tmp_path: Path) -> None:
    """Several tars whose names have the split, equal keys in different ones, and an example without a label."""
    value, expected = 0, {}
    for part, tars in (("train", 2), ("val", 1), ("test", 1)):
        for number in range(tars):
            files = {}
            for key in range(6):
                label = [2, 10][key % 2]
                files[f"{key:04d}.png"] = png(value)
                if (part, number, key) != ("train", 1, 0):
                    text = str(label) if labels == "cls" else json.dumps({"label": label, "caption": "a.b"})
                    files[f"{key:04d}.{labels}"] = text.encode()
                    expected[value] = label
                value += 7
            tar(tmp_path / f"digits-{part}-{number:06d}.tar", files)
    (tmp_path / "README.md").write_text("about")
    for dataset in (data.load(tmp_path), prepare(tmp_path, tmp_path.parent / f"{tmp_path.name}-out")):
        assert dataset.classes == ("02", "10")
        assert [len(getattr(dataset, part)) for part in PARTS] == [12, 6, 6]
        for part in PARTS:
            split = getattr(dataset, part)
            assert split.y is not None
            for x, y in zip(split.x, split.y, strict=True):
                assert (expected[int(x[0, 0, 0])] if y >= 0 else None) == ([2, 10][y] if y >= 0 else None)
                assert y >= 0 or int(x[0, 0, 0]) not in expected


def test_one_tar_of_folders(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "f")
    with tarfile.open(tmp_path / "f.tar", "w") as archive:
        archive.add(folder, "f")
    one, two = data.load(folder), data.load(tmp_path / "f.tar")
    assert one.classes == two.classes == ("cat", "dog")
    assert fingerprint(one) == fingerprint(two)
    assert (one.train.x == two.train.x).all()


@pytest.mark.parametrize("how", ["cut", "compressed", "text", "label", "negative", "huge"])
def test_a_damaged_tar_is_one_sentence(how: str, tmp_path: Path) -> None:
    files = {f"{i}.png": png(i) for i in range(8)}
    path = tmp_path / "a.tar"
    tar(path, files | ({"0.json": b"{"} if how == "label" else {}))
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[:700])
    elif how == "compressed":
        with tarfile.open(path, "w:gz") as archive:
            archive.add(__file__, "a.py")
    elif how in ("negative", "huge"):  # sizes in the second header
        entry = tarfile.TarInfo("1.png")
        sizes = {"negative": b"\xff" * 11 + b"\x00", "huge": b"\x80" + b"\x00" * 3 + b"\x7f" * 8}
        header = entry.tobuf()
        made = header[:124] + sizes[how] + header[136:148] + b" " * 8 + header[156:]
        made = made[:148] + b"%06o\0 " % sum(made[:512]) + made[156:]
        path.write_bytes(content[:1024] + made + content[1536:])
    elif how == "text":
        path.write_bytes(b"no tar" * 200)
    with pytest.raises(UserError, match="tar"):
        data.load(path)


# --- the order of an epoch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [1, 2, 3, 5, 16, 17, 63, 64, 65, 1000, 4097])
def test_a_computed_order_is_a_permutation(total: int) -> None:
    whole = orders.permuted(np.arange(total), total, seed=3)
    assert sorted(whole.tolist()) == list(range(total))
    places = np.array([total - 1, 0, total // 2])
    assert (orders.permuted(places, total, seed=3) == whole[places]).all()
    if total > 16:
        assert (whole != orders.permuted(np.arange(total), total, seed=4)).any()
        assert (np.diff(whole) == 1).mean() < 0.2


def test_a_computed_order_is_uniform() -> None:
    """Of 4 elements, each of the 24 orders comes up equally often, up to the standard deviation of counts."""
    found = [tuple(orders.permuted(np.arange(4), 4, seed).tolist()) for seed in range(2400)]
    counts = np.array([found.count(order) for order in set(found)])
    assert len(counts) == 24
    assert ((counts - 100) ** 2 / 100).sum() < 60  # chi-squared with 23 degrees of freedom


def test_the_order_of_many_examples_takes_no_memory_and_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "ENUMERATED", 10)
    one = sampler.Sampler(11, 3, seed=5)
    batches = [next(one).tolist() for _ in range(7)]
    assert len({row for batch in batches[:3] for row in batch}) == 9
    assert batches[:3] != batches[3:6]
    two = sampler.Sampler(11, 3, seed=5)
    for _ in range(4):
        next(two)
    three = sampler.Sampler(11, 3, seed=5)
    three.load_state_dict(two.state_dict())
    assert [next(three).tolist() for _ in range(3)] == batches[4:]
    assert one._order is None
    assert len(set(sampler.some_rows(10**8, 50, seed=1).tolist())) == 50
    huge = sampler.Sampler(10**12, 4, seed=0)
    assert len(set(next(huge).tolist())) == 4


def test_a_resumed_training_on_shards_is_the_same_with_a_computed_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "ENUMERATED", 10)
    shards = tmp_path / "s"
    prepare(DRAW.normal(size=(60, 3)), shards)
    small = ("--networks", "mlp(width=8)", "--latent-dim", 2, "--batch-size", 16, "--schedule", "constant")
    words = ("train", "ali-digits", "--data", shards, *small, "--evaluate-every", 0, "--no-report")
    assert program(*words, "--steps", 8, "--out", tmp_path / "one") == 0
    assert program(*words, "--steps", 4, "--out", tmp_path / "two") == 0  # an epoch has 3 batches
    assert program("train", "--resume", tmp_path / "two", "--steps", 8, "--no-report") == 0
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    monkeypatch.undo()
    assert program(*words, "--steps", 8, "--out", tmp_path / "three") == 0
    three = load_file(tmp_path / "three" / "weights.safetensors")
    assert any(not torch.equal(one[key], three[key]) for key in one)  # the listed order is another one


def test_shards_of_a_table_with_other_categories_are_not_taken_for_those_of_a_run(tmp_path: Path) -> None:
    for name, jobs in (("one", "ab"), ("two", "bc")):
        lines = [f"{jobs[i % 2]},{i}" for i in range(40)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["job,x", *lines]) + "\n")
        data.prepare(tmp_path / f"{name}.csv", tmp_path / name)
    units = data.load(tmp_path / "one.csv").units
    assert units is not None
    assert data.load(tmp_path / "one", scale=units).shape == (3,)
    with pytest.raises(UserError, match="was scaled otherwise than the data that this run was trained on"):
        data.load(tmp_path / "two", scale=units)
    with pytest.raises(UserError, match="was prepared from a table with other columns or categories"):
        list(arrays.read_rows([tmp_path / "two"], (3,), units))
    with pytest.raises(UserError, match="was prepared from a table with other columns or categories"):
        read_examples(tmp_path / "two", (3,), units=units)
    with pytest.raises(UserError, match="was prepared from a table with other columns or categories"):
        read_examples(tmp_path / "one", (3,), columns=["x", "job", "more"])
    assert len(read_examples(tmp_path / "one", (3,), units=units, columns=["job", "x"])) == 40
