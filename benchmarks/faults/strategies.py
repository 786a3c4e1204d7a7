"""Hypothesis strategies that change the files which the program reads, and the commands that read them; and random options.

Each kind of file has a function `change(base, draw)`. It copies good files into the folder `base.work`, changes them as
`draw`, the function that Hypothesis provides, decides, and returns what has to be done with them: the words of a command, or
a function. `attempt` does it and returns what was seen.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import json
import os
import pickle
import resource
import shutil
import signal
import struct
import sys
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from interalia import cli, data, papers, reports
from interalia.errors import UserError, printable

Draw = Callable[[st.SearchStrategy[Any]], Any]
Work = list[object] | Callable[[], object]
SECONDS, WAITED = (
    60,
    600,
)  # processor seconds, and seconds of the clock, which say little on a busy machine: more is a hang
MEMORY = 500 * 2**20  # bytes above the commands on good files
ADDRESSES = 6 * 2**30  # of address space beyond that of the process: what asks for more gets MemoryError

SMALL = ["--networks", "auto(width=4, unary=True)", "--batch-size", 16, "--evaluate-every", 0, "--log-every", 1]
SMALL += ["--schedule", "constant", "--checkpoint-every", 2]
ZEROS = 400  # megabytes that an entry of an archive may inflate to
SUFFIXES = ("png", "jpg", "gif", "bmp", "webp", "tif", "ppm")


@dataclass(frozen=True)
class Base:
    """Good files: a run of 4 steps in ``run``, and a folder of each other kind; and the folder `work` of the changed ones."""

    good: Path
    work: Path

    def copied(self, name: str = "run") -> Path:
        """Returns a fresh copy of one of the good folders."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.good / name, self.work / name)
        return self.work / name


# ---- values and bytes

NUMBERS = st.one_of(
    st.integers(-(10**6), 10**6), st.integers(), st.just(10**30), st.floats(), st.sampled_from([0, -1, 1, 2**31, 2**63])
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            "\x00",
            "\ud800",
            "a\nb",
            "\x1b[31m",
            "..",
            "/",
            "auto",
            "gan",
            "vae",
            "1e999",
            "r1(every=" + "9" * 30 + ")",
        ]
    ),
    st.sampled_from(["flow(transforms=1000000000)", "mlp(width=1000000)", "(" * 5000, "-" * 3000 + "1", "x" * 5000]),
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the paths to all values in nested dictionaries, lists and tuples."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, one in list(pairs):
        yield (*path, key)
        yield from places(one, (*path, key))


def changed(value: Any, draw: Draw, values: st.SearchStrategy[Any] = VALUES) -> Any:
    """Returns a copy in which up to three values are replaced, removed or renamed, or the whole is replaced."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(value))
        if not found or draw(st.integers(0, 30)) == 0:
            return draw(values)
        *way, last = found[draw(st.integers(0, len(found) - 1))]
        value = replaced(value, way, last, draw, values)
    return value


def replaced(value: Any, way: list[Any], last: Any, draw: Draw, values: st.SearchStrategy[Any]) -> Any:
    """Returns `value`, in which the value at the end of the path is replaced or removed; tuples become lists on the way."""
    if way:
        value = list(value) if isinstance(value, tuple) else value
        value[way[0]] = replaced(value[way[0]], way[1:], last, draw, values)
        return value
    value = list(value) if isinstance(value, tuple) else value
    if isinstance(value, dict) and draw(st.integers(0, 4)) == 0:
        del value[last]
    else:
        value[last] = draw(values)
    return value


def damaged(content: bytes, draw: Draw) -> bytes:
    """Returns bytes some of which are flipped, cut off, doubled, inserted or replaced by others."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        size = len(found)
        at = draw(st.integers(0, size - 1 if draw(st.booleans()) else min(size, 300) - 1)) if size else 0
        kind = draw(st.sampled_from(["flip", "flip", "set", "cut", "insert", "remove", "double", "all"]))
        if kind == "flip" and size:
            found[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and size:
            new = draw(
                st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(8)])
            )
            found[at : at + len(new)] = new
        elif kind == "cut":
            del found[at:]
        elif kind == "insert":
            found[at:at] = draw(st.binary(max_size=64))
        elif kind == "remove":
            del found[at : at + draw(st.integers(1, 64))]
        elif kind == "double":
            found += found[at:]
        elif kind == "all" and draw(st.integers(0, 3)) == 0:
            found = bytearray(draw(st.binary(max_size=200)))
    return bytes(found)


# ---- the files of a run


def resumed(run: Path) -> list[object]:
    return ["train", "--resume", run, "--steps", 5]


def checkpoint(base: Base, draw: Draw) -> Work:
    """Values or bytes of one or both checkpoints."""
    run = base.copied()
    tensors = st.sampled_from([torch.zeros(1), torch.ones((), dtype=torch.int64), torch.empty(0), torch.zeros(3, 3)])
    for name in draw(st.sampled_from([["last.pt"], ["last.pt", "previous.pt"]])):
        path = run / "checkpoints" / name
        if draw(st.integers(0, 3)) == 0:
            path.write_bytes(damaged(path.read_bytes(), draw))
        else:
            state = torch.load(path, weights_only=True)
            torch.save(changed(state, draw, st.one_of(PLAIN, st.just([]), st.just({}), tensors)), path)
    return resumed(run)


def json_file(name: str, *commands: str) -> Callable[[Base, Draw], Work]:
    """Returns the function for a JSON file of a run, which the commands read."""

    def change(base: Base, draw: Draw) -> Work:
        if not (base.good / "run" / name).exists():
            assert attempt(["evaluate", base.good / "run", "--count", 50], None)[0] == "done"
        path = base.copied() / name
        if draw(st.integers(0, 3)) == 0:
            path.write_bytes(damaged(path.read_bytes(), draw))
        else:
            path.write_text(json.dumps(changed(json.loads(path.read_text()), draw)))
        command = draw(st.sampled_from(commands))
        return resumed(path.parent) if command == "resume" else [command, path.parent]

    return change


def lines_of(path: Path, draw: Draw) -> None:
    """Changes a file of JSON lines."""
    if draw(st.booleans()):
        path.write_bytes(damaged(path.read_bytes(), draw))
    else:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines = changed(lines, draw)
        lines = lines if isinstance(lines, list) else [lines]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def log(base: Base, draw: Draw) -> Work:
    """The log of a run."""
    run = base.copied()
    lines_of(run / "log.jsonl", draw)
    return draw(st.sampled_from([["report", run], resumed(run)]))


def rows(base: Base, draw: Draw) -> Work:
    """The finished rows of an experiment."""
    folder = base.copied("rows")
    lines_of(folder / "mixture-25-quick" / "rows.jsonl", draw)
    return ["reproduce", "mixture-25", "--quick", "--list", "--out", folder]


def weights(base: Base, draw: Draw) -> Work:
    """The metadata, the names and shapes of tensors, or the bytes of a file of weights."""
    file = base.copied() / "weights.safetensors"
    kind = draw(st.sampled_from(["metadata", "metadata", "tensors", "bytes"]))
    if kind == "bytes":
        file.write_bytes(damaged(file.read_bytes(), draw))
    else:
        tensors = load_file(file)
        with safe_open(file, "pt") as opened:
            about = json.loads(opened.metadata()["interalia"])
        if kind == "metadata":
            about = changed(about, draw)
        else:
            about.pop("digest")
            name = draw(st.sampled_from(sorted(tensors)))
            tensors[name] = torch.zeros(draw(st.lists(st.integers(0, 3), max_size=4)))
        save_file(tensors, file, {"interalia": json.dumps(about)})
    place = draw(st.sampled_from([file, file.parent]))
    return draw(st.sampled_from([["generate", place, "--count", 4], ["encode", place, base.good / "images"]]))


# ---- data


def used(base: Base, path: Path, draw: Draw) -> Work:
    """What is done with a file of data: it is loaded to train on, or given to the trained encoder."""
    size = draw(st.sampled_from([None, 8]))
    words = ["encode", base.good / "run", path, "--out", base.work / "z.npz"]
    return draw(st.sampled_from([words, lambda: data.load(path, image_size=size)]))


def npy(base: Base, draw: Draw) -> Work:
    """An array, or its header."""
    path = base.copied("arrays") / "x.npy"
    kind = draw(st.sampled_from(["bytes", "header", "values"]))
    if kind == "bytes":
        path.write_bytes(damaged(path.read_bytes(), draw))
    elif kind == "header":
        shape = draw(
            st.tuples(st.integers(-2, 10**12), st.sampled_from([8, 0, 2**40]), st.sampled_from([8, 1])) | VALUES
        )
        kinds = st.sampled_from(["|u1", "<f8", "|O", ">f4", "<U3", "<M8[s]", "|V9", "<c16", "x"]) | TEXTS
        header = {"descr": draw(kinds), "fortran_order": draw(st.booleans() | PLAIN), "shape": shape}
        text = (repr(changed(header, draw) if draw(st.booleans()) else header) + "\n").encode("utf-8", "replace")
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) & 0xFFFF) + text[:65535] + bytes(640))
    else:
        np.save(path, array(draw), allow_pickle=False)
    return used(base, path, draw)


def array(draw: Draw) -> np.ndarray:
    """An array of any plain type with up to four axes."""
    shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, 8, 20]), max_size=4))
    kind = draw(st.sampled_from(["u1", "i8", "f4", "f8", "f2", "?", "c8", "U2", "S2", "M8[s]", ">i4"]))
    filled = np.full(shape, draw(st.sampled_from([0, 1, 255])), dtype="f8")
    with np.errstate(all="ignore"):
        filled *= draw(st.sampled_from([1.0, -1.0, 1e300, float("nan"), 0.5]))
        return filled.astype("i8").astype(kind) if kind[0] == "M" else filled.astype(kind)


def npz(base: Base, draw: Draw) -> Work:
    """Several arrays with keys of data sets, or any bytes in their place."""
    path = base.copied("arrays") / "x.npz"
    if draw(st.integers(0, 2)) == 0:
        path.write_bytes(damaged(path.read_bytes(), draw))
        return used(base, path, draw)
    keys = st.sampled_from(
        ["x", "x_train", "x_test", "y", "y_train", "y_test", "images", "labels", "x_val", "other", "a\nb"]
    )
    with zipfile.ZipFile(path, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))) as archive:
        for key in draw(st.lists(keys, max_size=5, unique=True)):
            buffer = io.BytesIO()
            good = (np.arange(20 * 64) % 251).astype(np.uint8).reshape(20, 8, 8)
            np.save(buffer, good if draw(st.booleans()) else array(draw))
            content = buffer.getvalue()
            content = content if draw(st.integers(0, 3)) else damaged(content, draw)
            write(archive, f"{key}.npy", content, megabytes=0 if draw(st.integers(0, 20)) else ZEROS)
    return used(base, path, draw)


def write(archive: zipfile.ZipFile, name: str, content: bytes, megabytes: int = 0) -> None:
    """Writes an entry, followed by so many megabytes of zeros, of which this process never has more than one."""
    with archive.open(name, "w") as file:
        file.write(content)
        for _ in range(megabytes):
            file.write(bytes(2**20))


def picture(base: Base, draw: Draw) -> Work:
    """An image of one of the formats that are read, alone or among good ones."""
    folder = base.copied("images")
    suffix = draw(st.sampled_from(SUFFIXES))
    path = folder / f"x.{suffix}"
    mode = draw(st.sampled_from(["L", "RGB", "RGBA", "P", "1", "I;16", "F", "CMYK", "LA"]))
    with contextlib.suppress(OSError, ValueError, KeyError):  # not every format has every mode
        Image.new(mode, draw(st.sampled_from([(8, 8), (1, 1), (300, 2), (64, 64)]))).save(path)
    if not path.exists():
        Image.new("RGB", (8, 8)).save(path)
    if draw(st.integers(0, 4)):
        path.write_bytes(damaged(path.read_bytes(), draw))
    if draw(st.integers(0, 20)) == 0:
        path.write_bytes(png_header(draw(st.integers(1, 2**31 - 1)), draw(st.integers(1, 2**31 - 1))))
    return used(base, draw(st.sampled_from([path, folder])), draw)


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG file that announces an image of any size."""
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + bytes(64)


def archive(base: Base, draw: Draw) -> Work:
    """A zip of images with any names, text files and other zips among them, or its bytes."""
    path = base.copied("images").parent / "x.zip"
    names = st.one_of(
        st.from_regex(r"(a|b|train|test|\.\.|/|\\|_)(/\w{1,3})?\.(png|PNG|txt|zip|npy)", fullmatch=True),
        TEXTS.filter(bool),
    )
    good = [file.read_bytes() for file in sorted((base.good / "images").rglob("*.png"))]
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        warnings.simplefilter("ignore")  # two entries of one name
        for number in range(draw(st.sampled_from([0, 1, 5, 20]))):
            opened.writestr(f"{'ab'[number % 2]}/{number}.png", good[number % len(good)])
        for name in draw(st.lists(names, max_size=4)):
            content = draw(st.sampled_from([*good[:2], b"", b"text", good[0][:30]]))
            with contextlib.suppress(UnicodeEncodeError, ValueError):
                write(opened, name, content, megabytes=0 if draw(st.integers(0, 30)) else ZEROS)
    if draw(st.integers(0, 2)) == 0:
        path.write_bytes(damaged(path.read_bytes(), draw))
    return used(base, path, draw)


def cells(path: Path, draw: Draw, words: st.SearchStrategy[Any]) -> None:
    """Changes cells and rows, or the bytes, of a file with a row a line and cells separated by commas."""
    if draw(st.booleans()):
        path.write_bytes(damaged(path.read_bytes(), draw))
        return
    lines = changed([line.split(",") for line in path.read_text().splitlines()], draw, words)
    lines = lines if isinstance(lines, list) else [lines]
    mark = draw(st.sampled_from([",", ";", "\t"]))
    text = "\n".join(mark.join(map(str, line)) if isinstance(line, list) else str(line) for line in lines)
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16"]))
    path.write_bytes(text.encode(encoding, "surrogatepass"))


CELLS = TEXTS | st.sampled_from(["2", "0", "1.5", "nan", "-1", "inf", "1e400", "1,5", "NA", "true", '"', "#N/A"])


def table(base: Base, draw: Draw) -> Work:
    """A table of numbers and texts."""
    path = base.copied("tables") / "x.csv"
    cells(path, draw, CELLS)
    rule = draw(st.sampled_from(["refuse", "median"]))
    return lambda: data.load(path, impute=rule)


def splits(base: Base, draw: Draw) -> Work:
    """A file that assigns images to splits, folds or labels."""
    path = base.copied("tables") / draw(st.sampled_from(["splits.csv", "folds.csv", "splits.json"]))
    if path.suffix == ".json":
        path.write_text(json.dumps(changed(json.loads(path.read_text()), draw)))
    else:
        cells(path, draw, CELLS | st.sampled_from(["train", "test", "0", "fold 1", "a/0.png", "b/1.png"]))
    fold = draw(st.sampled_from([None, 0, 1, 7]))
    return lambda: data.load(base.good / "images", split=path, fold=fold)


def detector(base: Base, draw: Draw) -> Work:
    """The description or the weights of a detector of anomalies."""
    folder = base.copied("detector")
    kind = draw(st.sampled_from(["description", "metadata", "tensors", "bytes"]))
    file = folder / "detector.safetensors"
    if kind == "description":
        about = json.loads((folder / "detector.json").read_text())
        (folder / "detector.json").write_text(json.dumps(changed(about, draw)))
    elif kind == "bytes":
        path = draw(st.sampled_from([file, folder / "detector.json"]))
        path.write_bytes(damaged(path.read_bytes(), draw))
    else:
        tensors = load_file(file)
        with safe_open(file, "pt") as opened:
            text = opened.metadata()["interalia"]
        if kind == "metadata":
            text = json.dumps(changed(json.loads(text), draw))
        else:
            tensors[draw(st.sampled_from(sorted(tensors)))] = torch.zeros(draw(st.lists(st.integers(0, 3), max_size=4)))
        save_file(tensors, file, {"interalia": text})
    return ["detect", "score", folder, base.good / "tables/x.npy", "--out", base.work / "scores.csv"]


def labels(base: Base, draw: Draw) -> Work:
    """CelebA's table of attributes, as .txt or .csv."""
    folder = base.copied("celeba")
    path = folder / "list_attr_celeba.txt"
    if draw(st.booleans()):
        path.write_bytes(damaged(path.read_bytes(), draw))
    else:
        lines = [line.split() for line in path.read_text().splitlines()]
        words = TEXTS | st.sampled_from(["2", "0", "1.5", "nan", "-1"])
        lines = changed(lines, draw, words)
        lines = lines if isinstance(lines, list) else [lines]
        text = "\n".join(" ".join(map(str, line)) if isinstance(line, list) else str(line) for line in lines)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    if draw(st.booleans()):
        content = path.read_bytes().replace(b" ", b",")
        path.rename(path.with_suffix(".csv")).write_bytes(content)
    return lambda: data.load("celeba", data_dir=folder.parent, image_size=8, download=False)


def published(base: Base, draw: Draw) -> Work:
    """The files of a published data set: MNIST's IDX, compressed or not, or CIFAR-10's pickles."""
    name = draw(st.sampled_from(["mnist", "cifar10"]))
    folder = base.copied(name)
    path = draw(st.sampled_from(sorted(folder.iterdir())))
    if path.suffix == ".gz" and draw(st.booleans()):
        path.write_bytes(gzip.compress(damaged(gzip.decompress(path.read_bytes()), draw)))
    else:
        path.write_bytes(damaged(path.read_bytes(), draw))
    return lambda: data.load(name, data_dir=folder.parent, download=False)


def toml(base: Base, draw: Draw) -> Work:
    """A description of a run as TOML: other values, other keys, or any text."""
    path = base.copied("toml") / "x.toml"
    if draw(st.integers(0, 2)) == 0:
        path.write_bytes(damaged(path.read_bytes(), draw))
    else:
        lines = path.read_text().splitlines()
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(lines) - 1))
            key = lines[at].split(" = ")[0] if draw(st.integers(0, 5)) else draw(TEXTS)
            value = draw(VALUES)
            text = draw(st.sampled_from([json.dumps(value), repr(value), str(value), "{ critic = 1 }", "1979-05-27"]))
            lines[at] = f"{key} = {text}"
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return ["train", path, "--print-config"]


FILES: dict[str, Callable[[Base, Draw], Work]] = {
    "checkpoint": checkpoint,
    "run.json": json_file("run.json", "report", "resume", "generate"),
    "results.json": json_file("results.json", "report"),
    "likelihood.json": json_file("likelihood.json", "report"),
    "log.jsonl": log,
    "rows.jsonl": rows,
    "weights": weights,
    "npy": npy,
    "npz": npz,
    "image": picture,
    "zip": archive,
    "table": table,
    "splits": splits,
    "detector": detector,
    "labels": labels,
    "published data": published,
    "TOML": toml,
}

DRAWN = ("results.json", "likelihood.json", "log.jsonl")  # whose commands draw figures of weights and data, too

ESTIMATE = {"name": "ais", "value": -1.0, "error": 0.1, "acceptance": 0.6, "images": 3, "of": 9, "protocol": "p"}
LIKELIHOOD = {
    "estimates": [{**ESTIMATE, "check": {"gap": 0.1, "error": 0.1, "lower": 1.0, "upper": 2.0, "protocol": "q"}}],
    "interrupted": False,
    "images": {"measured": 3, "split": 9},
    "binarization": "none",
    "split": "test",
    "step": 4,
}


def prepared(good: Path) -> None:
    """Makes the good files of every kind in a folder."""
    run = good / "run"
    what, seen = attempt(["train", "ali-digits", "--steps", 4, *SMALL, "--out", run], None)
    assert what == "done", seen
    (run / "likelihood.json").write_text(json.dumps(LIKELIHOOD))
    for folder in (
        "images/a",
        "images/b",
        "arrays",
        "celeba/img_align_celeba",
        "toml",
        "mnist",
        "cifar10",
        "rows",
        "tables",
    ):
        (good / folder).mkdir(parents=True)
    for i in range(30):
        Image.new("L", (8, 8), 8 * i).save(good / "images" / "ab"[i % 2] / f"{i}.png")
        Image.new("RGB", (178, 218), (8 * i, 0, 0)).save(good / "celeba/img_align_celeba" / f"{i + 1:06}.jpg")
    attributes = [f"{i + 1:06}.jpg {2 * (i % 2) - 1} {2 * (i % 3 > 0) - 1}" for i in range(30)]
    (good / "celeba/list_attr_celeba.txt").write_text("\n".join(["30", "Bald Male", *attributes]) + "\n")
    x = np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8)
    np.save(good / "arrays/x.npy", x)
    np.savez_compressed(good / "arrays/x.npz", x_train=x, y_train=np.arange(40) % 3)
    for stem, count in (("train", 40), ("t10k", 20)):
        images = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 28, 28) + bytes(count * 784)
        numbers = struct.pack(">BBBBI", 0, 0, 8, 1, count) + bytes(i % 10 for i in range(count))
        (good / f"mnist/{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (good / f"mnist/{stem}-labels-idx1-ubyte").write_bytes(numbers)
    for name in ("data_batch_1", "test_batch"):
        batch = {b"data": np.zeros((20, 3072), np.uint8), b"labels": [i % 10 for i in range(20)]}
        (good / "cifar10" / name).write_bytes(pickle.dumps(batch, protocol=2))
    attempt(["train", "ali-digits", "--print-config"], None, good / "toml/x.toml")
    prepared_tables(good)
    found = papers.REGISTRY["mixture-25"]
    rest = {"values": dict.fromkeys(found.columns, 1.0), "seconds": 1.0, **reports.provenance()}
    jobs = list(found.jobs(found.setting(quick=True, out=good / "rows")))[:3]
    lines = [{"row": job.row, "seed": job.seed, "steps": job.steps, **rest} for job in jobs]
    (good / "rows/mixture-25-quick").mkdir(parents=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (good / "rows/mixture-25-quick/rows.jsonl").write_text(text)


def prepared_tables(good: Path) -> None:
    """Makes good tables, files of splits, and a detector."""
    folder = good / "tables"
    numbers = np.random.default_rng(0).normal(size=(60, 3))
    rows = [f"{a:.3f},{int(10 * b)},{'xyz'[i % 3]},{c:.2e}" for i, (a, b, c) in enumerate(numbers)]
    (folder / "x.csv").write_text("\n".join(["a,b,c,d", *rows]) + "\n")
    np.save(folder / "x.npy", numbers)
    names = sorted(path.relative_to(good / "images").as_posix() for path in (good / "images").rglob("*.png"))
    parts = {name: ("train", "train", "val", "test")[i % 4] for i, name in enumerate(names)}
    (folder / "splits.csv").write_text("".join(f"{name},{part}\n" for name, part in parts.items()))
    folds = [f"{name},{i % 3},{'uv'[i % 2]}" for i, name in enumerate(names)]
    (folder / "folds.csv").write_text("\n".join(["file,fold,label", *folds]) + "\n")
    by_part = {part: [name for name in names if parts[name] == part] for part in ("train", "val", "test")}
    (folder / "splits.json").write_text(json.dumps(by_part))
    words = ["detect", "fit", folder / "x.npy", "--steps", 5, "--models", 1, "--out", good / "detector"]
    what, seen = attempt(words, None)
    assert what == "done", seen


# ---- doing it


class Hang(BaseException):
    """What took more than `SECONDS` of the processor, or `WAITED` of the clock."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Bounds on time and on memory, for a block in this process."""

    def stop(number: int, frame: object) -> None:
        raise Hang

    clocks = {signal.ITIMER_PROF: (signal.SIGPROF, SECONDS), signal.ITIMER_REAL: (signal.SIGALRM, WAITED)}
    before = {number: signal.signal(number, stop) for number, _ in clocks.values()}
    space = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc/self/statm") else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + ADDRESSES, space[1]))
    for clock, (_, most) in clocks.items():
        signal.setitimer(clock, most)
    try:
        yield
    finally:
        for clock, (number, _) in clocks.items():
            signal.setitimer(clock, 0)
            signal.signal(number, before[number])
        resource.setrlimit(resource.RLIMIT_AS, space)


def peak() -> int:
    """The largest memory of this process so far, in bytes."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


def attempt(work: Work, most: int | None, out: Path | None = None) -> tuple[str, str]:
    """Does something in this process, and returns what happened and what was seen.

    Arguments:
        work: the words of a command, or a function.
        most: bytes that this process may have used at its peak; None for no bound.
        out: the file for what a command prints to standard output; None to drop it.

    Returns:
        "done"; "refused", with one sentence; or "short" for anything else: a traceback, several lines, a hang, memory.
    """
    printed, errors = io.StringIO(), io.StringIO()
    code: object = 0
    try:
        with (
            bounded(),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(errors),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            if callable(work):
                work()
            else:
                cli.main([str(word) for word in work])
    except SystemExit as end:
        code = end.code
    except UserError as error:
        errors.write(printable(f"interalia: {error}") + "\n")
        code = 2
    except Hang:
        return "short", f"no end after {SECONDS} s of the processor or {WAITED} s of the clock"
    except BaseException as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if "/interalia/" in f.filename]
        where = f"{own[-1].filename.split('interalia/')[-1]}:{own[-1].lineno}" if own else "?"
        return "short", f"{type(error).__name__} at {where}: {' '.join(str(error).split())[:200]}"
    if out is not None:
        out.write_text(printed.getvalue())
    if most is not None and peak() > most:
        return "short", f"{(peak() - most) / 2**20:.0f} MB above the bound"
    last = [line for line in errors.getvalue().splitlines() if line.strip()][-1:]
    if code in (0, None):
        return "done", ""
    sentence = code == 2 and last and last[0].startswith("interalia: ") and last[0].rstrip().endswith((".", "?"))
    controls = [c for c in errors.getvalue() if not c.isprintable() and c != "\n"]
    return ("refused" if sentence and not controls else "short"), f"code {code}: {''.join(last)[-300:]}"
