"""Data, on files in the layouts of downloads, and on real files where they exist."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import lzma
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from examples import write_idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from interalia import data
from interalia.data import cache, downloads, mnist, splits, svhn
from interalia.data.dataset import Split
from interalia.data.images import read_images
from interalia.data.mnist import read_idx
from interalia.data.sampler import Sampler
from interalia.data.store import Store, as_tensor
from interalia.errors import UserError
from interalia.runs import Run
from interalia.runs.building import build

ROOT = Path(__file__).parents[2] / "shared" / "data"


def real(part: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (ROOT / part).exists(), reason=f"the real files {ROOT / part} are not here")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERALIA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def random_images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def rows_of(dataset: data.Dataset) -> np.ndarray:
    return np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])


# ---------------------------------------------------------------------------------------------- registry and names


def test_every_named_set_says_what_it_is_or_what_is_missing(tmp_path: Path) -> None:
    for name, source in data.REGISTRY.items():
        assert source.name == name
        assert source.about
        assert source.origin
        assert source.license
        if "http" not in source.origin:
            dataset = source.load(tmp_path)
            assert dataset.name == name
            assert dataset.about
            continue
        with pytest.raises(UserError, match=r"download .* from http.* `data_dir=DIR`") as caught:
            source.load(tmp_path, download=False)
        assert str(tmp_path) in str(caught.value)


def parts(dataset: data.Dataset) -> tuple[Split, Split, Split]:
    return dataset.train, dataset.validation, dataset.test


def test_the_catalogue_is_listed_without_heavy_imports() -> None:
    code = "import sys; from interalia.data import REGISTRY; print({'numpy', 'torch', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "did you mean 'mnist'"),
        ("no/such/folder", "no file or folder no/such/folder"),
        ("nothing.npz", "no file or folder nothing.npz"),
    ],
)
def test_an_unknown_name_is_distinguished_from_a_path(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        data.load(name)


def test_a_data_dir_that_does_not_exist_and_an_image_size_of_0_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`data_dir` does not exist"):
        data.load("mnist", data_dir=tmp_path / "typo")
    with pytest.raises(UserError, match="`image_size` is 0, and it must be at least 1"):
        data.load("digits", image_size=0)


# ------------------------------------------------------------------------------------------------ digits, mixtures


def test_digits_are_stratified_and_disjoint() -> None:
    digits = data.load("digits")
    assert (digits.shape, [len(part) for part in parts(digits)]) == ((1, 8, 8), [1297, 200, 300])
    assert digits.train.x.dtype == np.uint8
    assert rows_of(digits).max() == 255
    for part in parts(digits):
        counts = np.bincount(part.y, minlength=10) / len(part)
        assert np.abs(counts - 0.1).max() < 0.012
    from sklearn.datasets import load_digits

    everything = np.rint(load_digits().images * 255 / 16).astype(np.uint8).reshape(-1, 64)
    assert sorted(map(bytes, rows_of(digits).reshape(-1, 64))) == sorted(map(bytes, everything))


@given(st.integers(30, 400), st.integers(1, 9), st.integers(0, 10))
def test_stratified_holds_out_every_class_in_its_share(count: int, classes: int, seed: int) -> None:
    labels = np.random.RandomState(seed).randint(classes, size=count)
    held = count // 5
    rest, first, second = splits.stratified_split(labels, held, held)
    assert sorted(np.concatenate([rest, first, second])) == list(range(count))
    for part in (first, second):
        share = np.bincount(labels[part], minlength=classes) - np.bincount(labels, minlength=classes) * held / count
        assert len(part) == held
        assert np.abs(share).max() <= 2


@pytest.mark.parametrize(("name", "modes", "std"), [("grid25", 25, 0.05), ("ring8", 8, 0.01)])
def test_mixtures_have_the_moments_that_they_claim(name: str, modes: int, std: float) -> None:
    one, other = data.load(name, seed=1), data.load(name, seed=2)
    assert one.mixture is not None
    assert one.mixture.means.shape == (modes, 2)
    assert one.mixture.std == std
    x, y = one.train.x, one.train.y
    assert x.shape == (100_000, 2)
    assert x.dtype == np.float32
    assert (x - one.mixture.means[y]).std() == pytest.approx(std, rel=0.02)
    assert np.bincount(y).min() > 0.9 * len(y) / modes
    assert not np.array_equal(x, other.train.x)
    assert np.array_equal(one.validation.x, other.validation.x)
    assert np.array_equal(one.test.x, other.test.x)
    radius = np.linalg.norm(one.mixture.means, axis=1)
    assert np.allclose(radius, 1) if name == "ring8" else set(one.mixture.means.ravel()) == {-4, -2, 0, 2, 4}


# ------------------------------------------------------------------------------------------------------ IDX, MNIST

ARRAYS = st_numpy.arrays(
    st.sampled_from([np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64]),
    st_numpy.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=ARRAYS, compressed=st.booleans())
def test_idx_round_trip(tmp_path: Path, array: np.ndarray, compressed: bool) -> None:
    path = tmp_path / "a-idx"
    path.write_bytes(gzip.compress(write_idx(array), 0) if compressed else write_idx(array))
    back = read_idx(path)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_an_idx_array_or_a_sentence(tmp_path: Path, content: bytes, compressed: bool) -> None:
    path = tmp_path / "b-idx"
    path.write_bytes((b"\x1f\x8b" if compressed else b"\0\0\x08") + content)
    try:
        array = read_idx(path)
    except UserError as error:
        array = np.zeros(0)
        said = str(error)
    else:
        said = f"{path} download it again"
    assert array.nbytes <= len(content)
    assert str(path) in said
    assert "download it again" in said


def write_mnist(
    place: Path, train: int = 60, test: int = 12, compressed: bool = True, seed: int = 0
) -> list[np.ndarray]:
    place.mkdir(parents=True, exist_ok=True)
    made = [
        random_images(train, 28, 28, seed=seed),
        (np.arange(train) % 10).astype(np.uint8),
        random_images(test, 28, 28, seed=seed + 1),
        (np.arange(test) % 10).astype(np.uint8),
    ]
    for stem, array in zip(mnist.STEMS, made, strict=True):
        content = write_idx(array)
        name = f"{stem}.gz" if compressed else stem
        (place / name).write_bytes(gzip.compress(content) if compressed else content)
    return made


@pytest.mark.parametrize("layout", [".", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("compressed", [True, False])
def test_mnist_in_the_folders_that_people_have(tmp_path: Path, layout: str, compressed: bool) -> None:
    x, y, x_test, y_test = write_mnist(tmp_path / layout, compressed=compressed)
    dataset = data.load("mnist", data_dir=tmp_path, download=False)
    assert dataset.shape == (1, 28, 28)
    assert [len(part) for part in parts(dataset)] == [50, 10, 12]
    np.testing.assert_array_equal(dataset.train.x[:, 0], x[:50])
    np.testing.assert_array_equal(dataset.validation.x[:, 0], x[50:])
    np.testing.assert_array_equal(dataset.test.x[:, 0], x_test)
    np.testing.assert_array_equal(dataset.validation.y, y[50:])
    np.testing.assert_array_equal(dataset.test.y, y_test)
    assert isinstance(dataset.train.x, np.memmap)


@pytest.mark.parametrize("stem", mnist.STEMS)
@pytest.mark.parametrize("damage", ["half", "empty", "text", "bad gzip"])
def test_a_damaged_idx_file_is_named(tmp_path: Path, stem: str, damage: str) -> None:
    write_mnist(tmp_path, compressed=damage == "bad gzip")
    path = next(tmp_path.glob(f"{stem}*"))
    content = path.read_bytes()
    spoiled = {
        "half": content[: len(content) // 2],
        "empty": b"",
        "text": b"<html>404",
        "bad gzip": content[:30] + b"x",
    }
    path.write_bytes(spoiled[damage])
    with pytest.raises(UserError, match=f"{path.name}.*download it again"):
        data.load("mnist", data_dir=tmp_path, download=False)


def test_mnist_and_fashion_mnist_are_not_taken_for_each_other(tmp_path: Path) -> None:
    for name, other in (("mnist", "fashion-mnist"), ("fashion-mnist", "mnist")):
        labels = np.resize(mnist.FIRST[name], 60_000)
        mnist.check_set(name, labels, tmp_path / "x")
        with pytest.raises(UserError, match=f"are those of {name} and not of {other}"):
            mnist.check_set(other, labels, tmp_path / "x")


@real("mnist")
def test_the_real_mnist() -> None:
    dataset = data.load("mnist", data_dir=ROOT, download=False)
    assert [len(part) for part in parts(dataset)] == [50_000, 10_000, 10_000]
    assert dataset.train.y[:10].tolist() == mnist.FIRST["mnist"]
    assert dataset.test.y[:5].tolist() == [7, 2, 1, 0, 4]
    # the mean of all 60,000 training images, known from every tutorial
    assert np.concatenate([dataset.train.x, dataset.validation.x]).mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    with pytest.raises(UserError, match="those of mnist"):
        data.load("fashion-mnist", data_dir=ROOT / "mnist", download=False)


# ------------------------------------------------------------------------------------------------------------ SVHN


def write_svhn(place: Path, **counts: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    made = {}
    for seed, (part, count) in enumerate(counts.items()):
        x = random_images(32, 32, 3, count, seed=seed)
        y = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(place / f"{part}_32x32.mat", {"X": x, "y": y}, do_compression=True)
        made[part] = x, y
    return made


@pytest.mark.parametrize("extra", [True, False])
def test_svhn_trains_on_extra_where_it_is_there(tmp_path: Path, extra: bool) -> None:
    made = write_svhn(tmp_path, train=60, test=13, **({"extra": 40} if extra else {}))
    dataset = data.load("svhn", data_dir=tmp_path, download=False)
    assert [len(part) for part in parts(dataset)] == [40 if extra else 50, 10, 13]
    source, start = made["extra" if extra else "train"], 3
    np.testing.assert_array_equal(dataset.train.x[start], source[0][:, :, :, start].transpose(2, 0, 1))
    np.testing.assert_array_equal(dataset.validation.x[0], made["train"][0][:, :, :, 50].transpose(2, 0, 1))
    assert dataset.test.y[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]  # 10 is the digit 0
    assert ("extra set is missing" in dataset.about) is not extra


def test_a_damaged_or_foreign_mat_file_is_named(tmp_path: Path) -> None:
    write_svhn(tmp_path, train=12, test=12)
    path = tmp_path / "train_32x32.mat"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"train_32x32\.mat is damaged.*download it again"):
            data.load("svhn", data_dir=tmp_path, download=False)
    scipy.io.savemat(path, {"X": np.zeros((3, 4)), "y": np.zeros(3)})
    with pytest.raises(UserError, match=r"train_32x32\.mat does not hold images"):
        data.load("svhn", data_dir=tmp_path, download=False)


# -------------------------------------------------------------------------------------------------------- CIFAR-10


def python2_pickle(x: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 pickled it: byte strings, and NumPy's old module names."""
    text = pickle.dumps({"labels": labels, "data": x}, protocol=2)
    # Protocol 2 under Python 3 writes an array's bytes through _codecs.encode; write the string opcode instead.
    head, _, _ = text.partition(b"U")

    def string(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    def numbers(values: list[int]) -> bytes:
        return b"(" + b"".join(b"K" + bytes([v]) for v in values) + b"e"

    def long(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + string(b"b") + b"tR"
        b"(K\x01" + long(x.shape[0]) + long(x.shape[1]) + b"\x86cnumpy\ndtype\n(" + string(b"u1") + b"K\x00K\x01tR"
        b"(K\x03" + string(b"|") + b"NNN" + long(-1) + long(-1) + b"K\x00tb\x89" + string(x.tobytes()) + b"tb"
    )
    assert head[:2] == b"\x80\x02"
    return b"\x80\x02}(" + string(b"labels") + b"]" + numbers(labels) + string(b"data") + array + b"u."


BATCH_NAMES = [f"data_batch_{i}" for i in range(1, 6)]


def cifar_batches(names: list[str], count: int = 20) -> dict[str, tuple[np.ndarray, list[int], bytes]]:
    made = {}
    for seed, name in enumerate([*names, "test_batch"]):
        x, y = random_images(count, 3072, seed=seed), [(i + seed) % 10 for i in range(count)]
        made[name] = x, y, python2_pickle(x, y)
    return made


def test_cifar_in_a_folder_partly_compressed_with_xz(tmp_path: Path) -> None:
    made = cifar_batches(BATCH_NAMES[:2])
    place = tmp_path / "cifar10" / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for name, (_, _, content) in made.items():
        packed = name != "data_batch_2"
        (place / (f"{name}.xz" if packed else name)).write_bytes(lzma.compress(content) if packed else content)
    for root in (tmp_path, tmp_path / "cifar10", place):
        dataset = data.load("cifar10", data_dir=root, download=False)
        assert [len(part) for part in parts(dataset)] == [36, 4, 20]
        assert "without data_batch_3, data_batch_4, data_batch_5" in dataset.about
        expected = np.concatenate([made[name][0] for name in BATCH_NAMES[:2]]).reshape(-1, 3, 32, 32)
        np.testing.assert_array_equal(np.concatenate([dataset.train.x, dataset.validation.x]), expected)
        assert dataset.test.y.tolist() == made["test_batch"][1]


def test_cifar_from_the_archive_as_downloaded(tmp_path: Path) -> None:
    made = cifar_batches(BATCH_NAMES)
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, (_, _, content) in made.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    dataset = data.load("cifar10", data_dir=tmp_path, download=False)
    assert [len(part) for part in parts(dataset)] == [90, 10, 20]
    assert "without" not in dataset.about
    np.testing.assert_array_equal(dataset.train.x[25].ravel(), made["data_batch_2"][0][5])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz.*download it again"):
        data.load("cifar10", data_dir=tmp_path, download=False)


class Malice:
    """Its pickle calls `os.system`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("place", ["instead", "inside", "eval"])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path: Path, place: str) -> None:
    mark = tmp_path / "executed"
    malice = Malice(f"touch {mark}")
    content = {
        "instead": pickle.dumps(malice),
        "inside": pickle.dumps({"data": malice, "labels": [1]}, protocol=2),
        "eval": f"cbuiltins\neval\n(S'open({str(mark)!r}, \"w\")'\ntR.".encode(),
    }[place]
    (tmp_path / "test_batch").write_bytes(cifar_batches([])["test_batch"][2])
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(UserError, match=r"data_batch_1 is no CIFAR-10 batch: it would execute (posix|nt|builtins)\."):
        data.load("cifar10", data_dir=tmp_path, download=False)
    assert not mark.exists()
    if place == "instead":
        pickle.loads(content)  # pickle.load does execute it
        assert mark.exists()


@pytest.mark.parametrize("cut", [0, 10, 5_000])
def test_a_damaged_cifar_batch_is_named(tmp_path: Path, cut: int) -> None:
    for name, (_, _, content) in cifar_batches(BATCH_NAMES[:1]).items():
        (tmp_path / name).write_bytes(content if name == "test_batch" else content[:cut])
    with pytest.raises(UserError, match="data_batch_1 is not a complete CIFAR-10 batch"):
        data.load("cifar10", data_dir=tmp_path, download=False)


@pytest.mark.long
@real("cifar10")
def test_the_real_cifar10() -> None:
    dataset = data.load("cifar10", data_dir=ROOT, download=False)
    assert [len(part) for part in parts(dataset)] == [18_000, 2_000, 10_000]
    assert np.bincount(dataset.test.y).tolist() == [1000] * 10
    assert dataset.classes[dataset.test.y[0]] == "cat"


# ---------------------------------------------------------------------------------------------------------- CelebA


def jpeg(width: int, height: int, seed: int, mode: str = "RGB") -> bytes:
    """A smooth picture, which JPEG keeps."""
    random = np.random.RandomState(seed)
    small = Image.fromarray(random.randint(0, 256, (4, 4, 3)).astype(np.uint8)).convert(mode)
    file = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_celeba(place: Path, count: int, packed: bool) -> np.ndarray:
    names = ["5_o_Clock_Shadow", "Smiling", "Young"]
    values = np.random.RandomState(0).choice([-1, 1], size=(count, 3))
    files = {f"{i + 1:06}.jpg": jpeg(178, 218, i) for i in range(count)}
    if packed:
        with zipfile.ZipFile(place / "img_align_celeba.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"img_align_celeba/{name}", content)
    else:
        (place / "img_align_celeba").mkdir()
        for name, content in files.items():
            (place / "img_align_celeba" / name).write_bytes(content)
    rows = [f"{name} {' '.join(f'{v:2d}' for v in row)}" for name, row in zip(files, values, strict=True)]
    (place / "list_attr_celeba.txt").write_text("\n".join([str(count), " ".join(names), *rows]) + "\n")
    return values


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("layout", [".", "celeba"])
def test_celeba_in_a_zip_or_a_folder(tmp_path: Path, packed: bool, layout: str) -> None:
    place = tmp_path / layout
    place.mkdir(exist_ok=True)
    values = write_celeba(place, 40, packed)
    dataset = data.load("celeba", data_dir=tmp_path)
    assert dataset.shape == (3, 64, 64)
    assert [len(part) for part in parts(dataset)] == [36, 2, 2]
    assert dataset.attributes["names"].tolist() == ["5_o_Clock_Shadow", "Smiling", "Young"]
    kept = np.concatenate([dataset.attributes[part] for part in ("train", "validation", "test")])
    np.testing.assert_array_equal(kept, values > 0)
    assert kept.dtype == np.int8
    image = Image.open(io.BytesIO(jpeg(178, 218, 7))).crop((0, 20, 178, 198)).resize((64, 64), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(dataset.train.x[7], np.asarray(image).transpose(2, 0, 1))
    assert data.load("celeba", data_dir=tmp_path, image_size=32).shape == (3, 32, 32)


def test_celeba_without_its_table_and_with_a_damaged_one(tmp_path: Path) -> None:
    write_celeba(tmp_path, 20, packed=True)
    table = tmp_path / "list_attr_celeba.txt"
    content = table.read_text().splitlines()
    table.write_text("\n".join(content[:-3]))
    with pytest.raises(UserError, match=r"list_attr_celeba\.txt has no row for the photograph 000018"):
        data.load("celeba", data_dir=tmp_path)
    table.write_text("\n".join([*content[:2], "000001.jpg 1 nonsense 1"]))
    with pytest.raises(UserError, match=r"list_attr_celeba\.txt"):
        data.load("celeba", data_dir=tmp_path)
    table.unlink()
    dataset = data.load("celeba", data_dir=tmp_path)
    assert dataset.attributes == {}
    assert "without attributes" in dataset.about


def test_a_damaged_zip_or_photograph_of_celeba_is_named(tmp_path: Path) -> None:
    write_celeba(tmp_path, 20, packed=True)
    path = tmp_path / "img_align_celeba.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"img_align_celeba\.zip is not a complete zip file"):
        data.load("celeba", data_dir=tmp_path)
    start = whole.index(b"000013.jpg") + 500  # inside that photograph: its checksum no longer fits
    path.write_bytes(whole[:start] + bytes(50) + whole[start + 50 :])
    with pytest.raises(UserError, match=r"000013\.jpg in .*img_align_celeba\.zip is damaged"):
        data.load("celeba", data_dir=tmp_path)


@real("celeba")
def test_the_real_celeba_reads_at_its_own_names_and_attributes() -> None:
    from interalia.data.celeba import read_attributes

    names, values = read_attributes(ROOT / "celeba" / "list_attr_celeba.txt", ["000001", "000002"])
    assert len(names) == 40
    assert names[20] == "Male"
    assert values[0][[20, 31, 39]].tolist() == [0, 1, 1]
    images = data.images.Collection(ROOT / "celeba" / "img_align_celeba.zip")
    assert len(images.names) == 6000
    assert images.decode(images.names[0], "RGB", (64, 64)).shape == (3, 64, 64)


# ------------------------------------------------------------------------------------------- folders, zips of images


def write_folder(place: Path, *names: str, size: tuple[int, int] = (10, 8), mode: str = "RGB") -> dict[str, np.ndarray]:
    made = {}
    for seed, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(random_images(size[1], size[0], 3, seed=seed)).convert(mode)
        image.save(place / name)
        made[name] = np.asarray(image)
    return made


def test_a_flat_folder(tmp_path: Path) -> None:
    made = write_folder(tmp_path / "flat", *(f"{i:02}.png" for i in range(20)), ".hidden.png")
    (tmp_path / "flat" / "notes.txt").write_text("no image")
    dataset = data.load(str(tmp_path / "flat"))
    assert dataset.name == "flat"
    assert dataset.shape == (3, 8, 10)
    assert [len(part) for part in parts(dataset)] == [16, 2, 2]
    assert dataset.train.y is None
    assert dataset.classes == ()
    del made[".hidden.png"]
    expected = sorted(array.transpose(2, 0, 1).tobytes() for array in made.values())
    assert sorted(map(bytes, rows_of(dataset))) == expected


@pytest.mark.parametrize("packed", [True, False])
def test_one_folder_a_class_also_in_a_zip_with_a_folder_around_it(tmp_path: Path, packed: bool) -> None:
    names = [f"pets/{kind}/{i:02}.png" for kind in ("dog", "cat", "fish") for i in range(10)]
    made = write_folder(tmp_path / "in", *names, mode="L")
    path = tmp_path / "in"
    if packed:
        path = tmp_path / "pets.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.write(tmp_path / "in" / name, name)
                archive.writestr(f"__MACOSX/{name}", b"not an image")
    dataset = data.load(path)
    assert dataset.classes == ("cat", "dog", "fish")
    assert dataset.shape == (1, 8, 10)
    kinds = {array.tobytes(): name.split("/")[1] for name, array in made.items()}
    for part in parts(dataset):
        assert [kinds[x.tobytes()] for x in part.x] == [dataset.classes[y] for y in part.y]
    assert [len(part) for part in parts(dataset)] == [24, 3, 3]


def test_a_folder_with_a_split_of_its_own(tmp_path: Path) -> None:
    names = [f"train/{kind}/{i}.png" for kind in "ab" for i in range(10)] + ["test/a/x.png", "test/b/y.png"]
    made = write_folder(tmp_path, *names)
    dataset = data.load(tmp_path)
    assert [len(part) for part in parts(dataset)] == [18, 2, 2]
    assert dataset.classes == ("a", "b")
    np.testing.assert_array_equal(dataset.test.x[1], made["test/b/y.png"].transpose(2, 0, 1))
    assert dataset.test.y.tolist() == [0, 1]


def test_the_split_of_a_folder_is_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "f", *(f"{i}.png" for i in range(12)))
    one = data.load(tmp_path / "f", seed=0)
    monkeypatch.setenv("INTERALIA_CACHE", str(tmp_path / "other"))
    np.random.seed(5)
    two = data.load(tmp_path / "f", seed=7)
    for a, b in zip(parts(one), parts(two), strict=True):
        np.testing.assert_array_equal(a.x, b.x)
    assert splits.permutation(6).tolist() == [5, 2, 1, 3, 0, 4]  # fixed


def test_mixed_sizes_are_refused_with_advice_and_then_resized(tmp_path: Path) -> None:
    write_folder(tmp_path, "a.png", "b.png", "c.png", size=(10, 8))
    write_folder(tmp_path, "d.png", size=(30, 40))
    with pytest.raises(UserError, match=r"a\.png has 10x8 pixels.*d\.png 30x40.*`image_size=64`"):
        data.load(tmp_path)
    assert data.load(tmp_path, image_size=16).shape == (3, 16, 16)


def save(place: Path, name: str, array: np.ndarray, mode: str | None = None, **options: Any) -> None:
    place.mkdir(exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(place / name, **options)


GRAY = np.full((6, 6), 100, np.uint8)
RED = np.broadcast_to(np.uint8([204, 0, 51]), (6, 6, 3)).copy()
CLEAR = np.concatenate([RED, np.zeros((6, 6, 1), np.uint8)], axis=2)
SOLID = np.concatenate([RED, np.full((6, 6, 1), 255, np.uint8)], axis=2)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ([(GRAY, None), (GRAY, None), (GRAY, "1")], [100, 100, 0]),
        ([(GRAY, None), (RED, None), (RED, None)], [(100,) * 3, (204, 0, 51), (204, 0, 51)]),
        ([(RED, "P"), (RED, None), (RED, None)], [(204, 0, 51)] * 3),
        ([(CLEAR, None), (SOLID, None), (SOLID, None)], [(204, 0, 51, 0), (204, 0, 51, 255), (204, 0, 51, 255)]),
        ([(CLEAR, None), (SOLID, None), (RED, None)], [(255,) * 3, (204, 0, 51), (204, 0, 51)]),
        ([(GRAY, "LA"), (GRAY, None), (GRAY, None)], [100] * 3),
        ([((GRAY.astype(np.uint16) * 257), None), (GRAY, None), (GRAY, None)], [100] * 3),
    ],
    ids=[
        "gray and bilevel",
        "gray and colour",
        "palette",
        "all with alpha",
        "some with alpha",
        "gray alpha",
        "16 bits",
    ],
)
def test_modes(tmp_path: Path, pictures: list[tuple[np.ndarray, str | None]], expected: list[Any]) -> None:
    for i, (array, mode) in enumerate(pictures):
        save(tmp_path / "modes", f"{i}.png", array, mode)
    images = data.images.Collection(tmp_path / "modes")
    mode, *_ = images.headers(images.names)
    for name, want in zip(images.names, expected, strict=True):
        pixels = images.decode(name, mode, None)
        assert len(pixels) == (len(want) if isinstance(want, tuple) else 1)
        found = pixels[:, 3, 3].tolist()
        if want == 0:  # dithered to black and white
            assert set(np.unique(pixels)) <= {0, 255}
        else:
            assert np.abs(np.array(found) - np.array(want)).max() <= 1


def test_cmyk_and_a_photograph_that_lies_on_its_side(tmp_path: Path) -> None:
    save(tmp_path / "c", "a.jpg", RED, "CMYK", quality=100)
    wide = np.zeros((6, 12, 3), np.uint8)
    wide[:, 6:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    Image.fromarray(wide).save(tmp_path / "c" / "b.png", exif=exif)
    images = data.images.Collection(tmp_path / "c")
    mode, shapes, _ = images.headers(images.names)
    assert mode == "RGB"
    assert shapes == [(6, 6), (12, 6)]
    assert np.abs(images.decode("a.jpg", mode, None)[:, 3, 3].astype(int) - [204, 0, 51]).max() < 12
    turned = images.decode("b.png", mode, None)
    assert turned.shape == (3, 12, 6)
    assert turned[:, :6].max() == 0
    assert turned[:, 6:].min() == 255


def test_a_crop_is_central_and_antialiased(tmp_path: Path) -> None:
    board = np.zeros((64, 96), np.uint8)
    board[:, 16:80] = 255 * (np.indices((64, 64)).sum(0) % 2)  # the central square is a fine chessboard
    save(tmp_path / "board", "a.png", board)
    images = data.images.Collection(tmp_path / "board")
    small = images.decode("a.png", "L", (16, 16))
    assert np.abs(small.astype(int) - 128).max() <= 2  # its mean gray, and nothing of the black margins


@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5])
def test_a_damaged_image_is_named(tmp_path: Path, name: str, keep: float) -> None:
    write_folder(tmp_path, "a.png", "b.png", "c.png", name, size=(64, 64))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(keep * len(content))])
    with pytest.raises(UserError, match=rf"{name} is damaged or cut short.*copy it again or remove it"):
        data.load(tmp_path, image_size=8)


def test_folders_and_files_that_cannot_be_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no images"):
        data.load(tmp_path)
    write_folder(tmp_path / "two", "a.png", "b.png")
    with pytest.raises(UserError, match=r"holds 2 image.*at least 4"):
        data.load(tmp_path / "two")
    with pytest.raises(UserError, match=r"a\.png is one image"):
        data.load(tmp_path / "two" / "a.png")
    for name in ("empty.npy", "empty.zip"):
        (tmp_path / name).touch()
        with pytest.raises(UserError, match=f"{name} is empty"):
            data.load(tmp_path / name)
    (tmp_path / "words.txt").write_text("words")
    with pytest.raises(UserError, match=r"words\.txt is of a type that is not supported"):
        data.load(tmp_path / "words.txt")


@real("facades")
def test_the_real_facades_below_a_data_dir() -> None:
    assert data.load("facades", data_dir=ROOT, image_size=32).shape == (3, 32, 32)


# ---------------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((20, 9, 9), (1, 9, 9)),
        ((20, 9, 7, 3), (3, 9, 7)),
        ((20, 4, 9, 7), (4, 9, 7)),
        ((20, 2, 9, 9), (2, 9, 9)),
        ((20, 9, 9, 8), (8, 9, 9)),
        ((20, 9, 7, 1), (1, 9, 7)),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_the_place_of_the_channels(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...], kind: Any
) -> None:
    x = random_images(*shape)
    np.save(tmp_path / "x.npy", x if kind == np.uint8 else x / 255)
    dataset = data.load(tmp_path / "x.npy")
    assert dataset.shape == expected
    assert [len(part) for part in parts(dataset)] == [16, 2, 2]
    assert dataset.train.x.dtype == np.uint8  # also gray levels of bytes as numbers in [0, 1]
    order = x[:, None] if x.ndim == 3 else x if x.shape[1:] == expected else x.transpose(0, 3, 1, 2)
    assert sorted(map(bytes, rows_of(dataset))) == sorted(row.tobytes() for row in order)


def test_vectors_keep_their_values(tmp_path: Path) -> None:
    x = np.random.RandomState(0).standard_normal((30, 5))
    np.savez(tmp_path / "v.npz", X=x, y=np.array(["in", "out"])[np.arange(30) % 2])
    dataset = data.load(tmp_path / "v.npz")
    assert dataset.shape == (5,)
    assert not dataset.is_image
    assert dataset.classes == ("in", "out")
    assert dataset.train.x.dtype == np.float32
    for part in parts(dataset):
        for row, label in zip(part.x, part.y, strict=True):
            assert np.flatnonzero((x.astype(np.float32) == row).all(1)) % 2 == label
    with pytest.raises(UserError, match="leave `image_size` out"):
        data.load(tmp_path / "v.npz", image_size=8)


def test_an_npz_with_its_own_split(tmp_path: Path) -> None:
    made = {f"{part}_images": random_images(n, 6, 6, seed=n) for part, n in (("train", 20), ("val", 5), ("test", 4))}
    labels = {f"{part}_labels": (np.arange(n)[:, None] % 2) for part, n in (("train", 20), ("val", 5), ("test", 4))}
    np.savez(tmp_path / "med.npz", **made, **labels)
    dataset = data.load(tmp_path / "med.npz")
    assert [len(part) for part in parts(dataset)] == [20, 5, 4]
    np.testing.assert_array_equal(dataset.validation.x[:, 0], made["val_images"])
    assert dataset.test.y.tolist() == [0, 1, 0, 1]
    del made["val_images"], labels["val_labels"]
    np.savez(tmp_path / "med2.npz", **made, **labels)
    dataset = data.load(tmp_path / "med2.npz", image_size=4)
    assert [len(part) for part in parts(dataset)] == [18, 2, 4]
    assert dataset.shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((5, 8, 9, 9), 7, np.uint8), "all numbers of the array in .* are 7"),
        (np.full((5, 8, 8), 7.5), r"are 7\.5; give data that differ"),
        (np.zeros((5, 7, 9)), "may be images .* or signals .*`layout='image'` or `layout='signal'`"),
        (np.zeros((5, 3, 9, 3)), "either of axis 1 and the last may be the channels"),
        (np.zeros((5, 8, 8), complex), "holds complex128 .*; expected were numbers"),
        (np.full((5, 3), np.nan), r"holds NaN or infinity in 15 of 15 places"),
        (np.where(np.eye(5, 3) > 0, np.inf, 1.0), r"holds NaN or infinity in 3 of 15 places"),
        (np.full((5, 4, 4), np.nan), r"holds NaN or infinity in 80 of 80 places"),
        (np.zeros(5), r"has the shape \(5,\); expected were vectors"),
        (np.array([{}] * 5), "could execute code"),
        (np.zeros((3, 8, 8), np.uint8), "at least 4"),
    ],
)
def test_arrays_that_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=message):
        data.load(tmp_path / "x.npy")


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", random_images(50, 8, 8))
    np.savez(tmp_path / "x.npz", x=random_images(50, 8, 8))
    for name in ("x.npy", "x.npz"):
        content = (tmp_path / name).read_bytes()
        for keep in (20, len(content) // 2):
            (tmp_path / name).write_bytes(content[:keep])
            with pytest.raises(UserError, match=rf"{name} is damaged or cut short"):
                data.load(tmp_path / name)
    np.savez(tmp_path / "y.npz", other=np.zeros(3))
    with pytest.raises(UserError, match="has the keys other, and expected was one of train_images"):
        data.load(tmp_path / "y.npz")
    np.savez(tmp_path / "z.npz", x=random_images(9, 8, 8), y=np.zeros(8))
    with pytest.raises(UserError, match=r"y in .* holds 8 labels for 9 rows"):
        data.load(tmp_path / "z.npz")


DIGITS = np.arange(30) % 3
ODD_LABELS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "none": ({}, "has no labels; choose data that has, or"),
    "one": ({"y": np.full(30, 7)}, "has one label alone, 7; choose data with 2 or more, or"),
    "one-hot": ({"y": np.eye(3)[DIGITS]}, r"cannot be used, because y holds 3 numbers a row; give one, .*argmax\(1\)"),
    "train alone": ({"y_train": DIGITS, "x_test": random_images(6, 6, 6)}, "y_train is there and the labels of test are not"),
    "test alone": (
        {"y_test": DIGITS[:6], "x_test": random_images(6, 6, 6)}, "y_test is there and the labels of train are not"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD_LABELS)
def test_labels_that_cannot_be_used_count_as_none_with_the_reason(kind: str, tmp_path: Path) -> None:
    arrays_, words = ODD_LABELS[kind]
    np.savez(tmp_path / "odd.npz", x=random_images(30, 6, 6), **arrays_)
    dataset = data.load(tmp_path / "odd.npz")
    assert len(dataset.train)
    with pytest.raises(UserError, match=words):
        dataset.labeled_subset(3)
    for game, labels in (("semi-ali", None), ("gan", "labels")):
        run = Run(game=game, condition_on=labels, data=str(tmp_path / "odd.npz"))
        with pytest.raises(UserError, match=words):
            build(run)
    assert build(Run(data=str(tmp_path / "odd.npz"))).data.condition == 0


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.where(DIGITS == 0, np.nan, DIGITS), r"y in .* holds labels that are not finite"),
        (DIGITS + 1j, r"y in .* holds complex128, and labels are whole numbers or texts"),
    ],
)
def test_labels_that_are_none_are_refused(y: np.ndarray, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "odd.npz", x=random_images(30, 6, 6), y=y)
    with pytest.raises(UserError, match=words):
        data.load(tmp_path / "odd.npz")


def test_whole_labels_lose_their_point(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=random_images(30, 6, 6), y=DIGITS.astype(float) - 2)
    assert data.load(tmp_path / "x.npz").classes == ("-2", "-1", "0")


def test_a_label_without_training_images_is_named(tmp_path: Path) -> None:
    x, y = random_images(36, 6, 6), np.where(np.arange(36) < 30, np.arange(36) % 2, 77)
    np.savez(tmp_path / "rare.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    with pytest.raises(UserError, match="of label 77 there are 0; give fewer, or leave that label out"):
        data.load(tmp_path / "rare.npz").labeled_subset(3)
    np.savez(tmp_path / "few.npz", x=x[:30], y=np.where(np.arange(30) < 27, 5, 9))
    with pytest.raises(UserError, match=r"20 images of each label, and of label 9 there are \d; give fewer"):
        data.load(tmp_path / "few.npz").labeled_subset(40)


@real("medmnist")
def test_the_real_pneumoniamnist() -> None:
    dataset = data.load(ROOT / "medmnist" / "pneumoniamnist.npz")
    assert [len(part) for part in parts(dataset)] == [4708, 524, 624]
    assert dataset.shape == (1, 28, 28)
    assert dataset.classes == ("0", "1")
    assert np.bincount(dataset.test.y).tolist() == [234, 390]


# ----------------------------------------------------------------------------------------------------------- cache


def test_images_are_decoded_once_and_again_when_the_files_change(tmp_path: Path, own_cache: Path) -> None:
    write_mnist(tmp_path / "mnist")
    data.load("mnist", data_dir=tmp_path)
    entries = list((own_cache / "arrays").iterdir())
    stamp = entries[0].stat().st_mtime_ns
    data.load("mnist", data_dir=tmp_path)
    assert list((own_cache / "arrays").iterdir()) == entries
    assert entries[0].stat().st_mtime_ns == stamp
    changed = write_mnist(tmp_path / "mnist", seed=9)
    assert np.array_equal(data.load("mnist", data_dir=tmp_path).train.x[0, 0], changed[0][0])
    data.load("mnist", data_dir=tmp_path, image_size=14)
    assert len(list((own_cache / "arrays").iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, own_cache: Path, damage: str) -> None:
    x, *_ = write_mnist(tmp_path / "mnist")
    data.load("mnist", data_dir=tmp_path)
    path = next((own_cache / "arrays").glob("*/train.npy"))
    path.unlink() if damage == "remove" else os.truncate(path, 1000)
    np.testing.assert_array_equal(data.load("mnist", data_dir=tmp_path).train.x[:, 0], x[:50])


def test_a_failure_to_decode_leaves_nothing_behind(tmp_path: Path, own_cache: Path) -> None:
    write_folder(tmp_path / "f", *(f"{i}.png" for i in range(9)), size=(40, 40))
    broken = tmp_path / "f" / "5.png"
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"5\.png"):
        data.load(tmp_path / "f")
    assert list((own_cache / "arrays").iterdir()) == []


def test_two_processes_decode_the_same_files_at_once(tmp_path: Path, own_cache: Path) -> None:
    write_folder(tmp_path / "f", *(f"{i}.png" for i in range(40)))
    code = f"from interalia import data; print(data.load({str(tmp_path / 'f')!r}).train.x.astype(int).sum())"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {process.communicate()[0] for process in processes}
    assert answers == {f"{data.load(tmp_path / 'f').train.x.astype(int).sum()}\n"}
    assert len(list((own_cache / "arrays").iterdir())) == 1


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path / "mnist")
    (tmp_path / "file").touch()
    monkeypatch.setenv("INTERALIA_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(UserError, match=r"cannot be written.*INTERALIA_CACHE"):
        data.load("mnist", data_dir=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on the size of files are POSIX's")
def test_a_disk_that_takes_no_more(tmp_path: Path, own_cache: Path) -> None:
    write_mnist(tmp_path / "mnist", train=600)
    code = f"""
import resource
from interalia import data
from interalia.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # writes fail in the middle, as on a full disk
try:
    data.load("mnist", data_dir={str(tmp_path)!r})
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "cannot be written (File too large)" in done.stdout, done.stderr
    assert "INTERALIA_CACHE" in done.stdout
    assert list((own_cache / "arrays").iterdir()) == []
    with (
        pytest.raises(UserError, match=r"\(No space left on device\); free some space"),
        cache.explain_write_errors(tmp_path),
    ):
        raise OSError(28, "No space left on device")


# ------------------------------------------------------------------------------------------------------- downloads


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """A local web server; returns the address of a folder below the one that it serves."""
    home = tmp_path / "web"
    home.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(home))

        def log_message(self, *_: Any) -> None:
            pass

        def copyfile(self, source: Any, outputfile: Any) -> None:
            content = source.read()
            if "broken" in self.path:  # the connection ends in the middle of the file
                content = content[: len(content) // 2]
            outputfile.write(content)

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    yield lambda folder: f"http://127.0.0.1:{web.server_address[1]}/{folder}/"
    web.shutdown()
    web.server_close()
    thread.join()


def test_downloads_try_the_mirrors_in_turn_and_keep_only_whole_files(
    tmp_path: Path, server: Callable[[str], str], own_cache: Path
) -> None:
    for folder in ("good", "broken", "wrong"):
        write_mnist(tmp_path / "web" / folder, seed=4 if folder == "wrong" else 0)
    files = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (tmp_path / "web" / "good").iterdir()}
    place, source = own_cache / "downloads" / "mnist", replace(data.REGISTRY["mnist"], files=files)

    bad = [server("absent"), server("broken"), server("wrong"), "http://127.0.0.1:9/"]
    with pytest.raises(UserError) as caught:
        downloads.find_or_download(replace(source, mirrors=bad), None, mnist.find_files, download=True)
    text = str(caught.value)
    for word in (
        "returns 404",
        "closed the connection",
        "sent another",
        "no connection to 127.0.0.1:9",
        "`data_dir=DIR`",
        *files,
        bad[0],
    ):
        assert word in text
    assert "\n" not in text
    assert not place.exists()

    found = downloads.find_or_download(
        replace(source, mirrors=[*bad, server("good")]), None, mnist.find_files, download=True
    )
    assert [path.parent for path in found.values()] == [place] * 4
    assert {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in place.iterdir()} == files
    assert data.load("mnist", download=False).shape == (1, 28, 28)  # found again without the network


def test_downloads_go_below_data_dir(tmp_path: Path, server: Callable[[str], str]) -> None:
    write_mnist(tmp_path / "web" / "good")
    files = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (tmp_path / "web" / "good").iterdir()}
    root = tmp_path / "root"
    root.mkdir()
    source = replace(data.REGISTRY["mnist"], files=files, mirrors=[server("good")])
    found = downloads.find_or_download(source, root, mnist.find_files, download=True)
    assert {path.parent for path in found.values()} == {root / "mnist"}


def test_svhn_is_never_left_without_its_extra_set_by_a_download_that_breaks_off(
    tmp_path: Path, server: Callable[[str], str]
) -> None:
    write_svhn(tmp_path / "web", train=12, test=12)
    files = dict.fromkeys(data.REGISTRY["svhn"].files, "")
    for path in (tmp_path / "web").iterdir():
        files[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
    (tmp_path / "root").mkdir()
    with pytest.raises(UserError, match=r"404 for extra_32x32\.mat"):
        source = replace(data.REGISTRY["svhn"], files=files, mirrors=[server(".")])
        downloads.find_or_download(source, tmp_path / "root", svhn.find_files, download=True)
    assert list((tmp_path / "root").iterdir()) == []


# ------------------------------------------------------------------------------------------------- sampler, store


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(-5, 2**70), st.integers(1, 4))
def test_the_sampler_covers_each_epoch_once(count: int, batch: int, seed: int, epochs: int) -> None:
    if batch > count:
        with pytest.raises(UserError, match=f"lower it to `batch_size={count}`"):
            Sampler(count, batch, seed)
        return
    sampler = Sampler(count, batch, seed)
    orders = []
    for epoch in range(epochs):
        assert sampler.epoch == epoch
        drawn = torch.cat([next(sampler) for _ in range(count // batch)])
        assert drawn.dtype == torch.int64
        assert len(drawn) == count // batch * batch
        assert len(set(drawn.tolist())) == len(drawn)
        assert set(drawn.tolist()) <= set(range(count))
        orders.append(tuple(drawn.tolist()))
    if count >= 20 and batch < count:
        assert len(set(orders)) == epochs


@given(st.integers(2, 40), st.integers(0, 60), st.integers(0, 60))
def test_the_sampler_goes_on_where_it_stopped(count: int, before: int, after: int) -> None:
    torch.manual_seed(0)
    sampler = Sampler(count, 2, seed=3)
    for _ in range(before):
        next(sampler)
    state = sampler.state_dict()
    expected = [next(sampler).tolist() for _ in range(after)]
    torch.rand(7)  # independent of the global random state
    other = Sampler(count, 2, seed=3)
    other.load_state_dict(state)
    assert [next(other).tolist() for _ in range(after)] == expected
    assert other.epoch == sampler.epoch
    assert all(isinstance(value, int) for value in state.values())


def test_the_sampler_depends_on_its_seed_and_refuses_a_foreign_position() -> None:
    assert next(Sampler(100, 50, 0)).tolist() != next(Sampler(100, 50, 1)).tolist()
    with pytest.raises(UserError, match="has 2 batches"):
        Sampler(100, 50, 0).load_state_dict({"epoch": 0, "position": 2})
    with pytest.raises(UserError, match="at least 1 row"):
        Sampler(100, 0, 0)


def test_the_store_takes_rows_of_a_memory_map_without_copying_it(tmp_path: Path) -> None:
    x = random_images(10, 3, 4, 4)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    store = Store(Split(mapped), torch.device("cpu"))
    assert store.data.data_ptr() == mapped.ctypes.data
    index = torch.tensor([7, 7, 0])
    (batch,) = store[index]
    assert torch.equal(batch, torch.from_numpy(x[[7, 7, 0]]).float() / 255)
    assert batch.dtype == torch.float32
    assert torch.equal(batch, as_tensor(x[[7, 7, 0]]))


def test_the_store_and_as_tensor_leave_vectors_unchanged() -> None:
    x = np.random.RandomState(0).standard_normal((6, 2)).astype(np.float32)
    (batch,) = Store(Split(x), torch.device("cpu"))[torch.arange(6)]
    assert np.array_equal(batch.numpy(), x)
    batch.zero_()
    as_tensor(x).zero_()
    assert x.any()


def test_the_store_uploads_what_the_budget_allows() -> None:
    """On torch's device without memory, which stands for any that is not the CPU."""
    split = Split(random_images(10, 1, 4, 4))
    for budget, place in ((161, "meta"), (160, "cpu")):
        store = Store(split, torch.device("meta"), budget=budget)
        assert store.data.device.type == place
        assert store[torch.arange(3)][0].device.type == "meta"
        assert store[torch.arange(3)][0].shape == (3, 1, 4, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("budget", [None, 0.0])
def test_the_store_on_a_gpu_gives_the_same_rows(budget: float | None) -> None:
    split = Split(random_images(64, 3, 8, 8))
    store = Store(split, torch.device("cuda"), budget)
    assert store.data.is_cuda is (budget is None)
    index = torch.randperm(64)[:20]
    assert torch.equal(store[index][0].cpu(), as_tensor(split.x[index.numpy()]))


# ------------------------------------------------------------------------------------------------- single images


def test_input_images_get_the_shape_of_a_run(tmp_path: Path) -> None:
    save(tmp_path / "mine", "a.png", RED)
    save(tmp_path / "mine", "b.png", np.full((40, 20), 51, np.uint8))
    colour = read_images([tmp_path / "mine" / "b.png", tmp_path / "mine" / "a.png"], (3, 8, 12))
    assert colour.shape == (2, 3, 8, 12)
    assert colour.dtype == torch.float32
    assert torch.allclose(colour[0], torch.tensor(0.2))
    assert torch.allclose(colour[1, :, 3, 3], torch.tensor([204.0, 0, 51]) / 255)
    assert torch.equal(read_images([tmp_path / "mine"], (3, 8, 12)), colour.flip(0))
    assert read_images([tmp_path / "mine"], (1, 28, 28)).shape == (2, 1, 28, 28)
    assert torch.equal(read_images([tmp_path / "mine" / "a.png"], (3, 6, 6))[0], as_tensor(RED.transpose(2, 0, 1)))


def test_input_images_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no image or folder .*nope\.png"):
        read_images([tmp_path / "nope.png"], (1, 8, 8))
    (tmp_path / "words.png").write_text("words")
    with pytest.raises(UserError, match=r"words\.png is damaged"):
        read_images([tmp_path / "words.png"], (1, 8, 8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        read_images([tmp_path / "empty"], (1, 8, 8))
    with pytest.raises(UserError, match=r"give a \.npy or \.npz file of vectors"):
        read_images([tmp_path / "words.png"], (2,))
    with pytest.raises(UserError, match="no image was given"):
        read_images([], (1, 8, 8))


def test_long_work_writes_a_line_now_and_then_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from interalia.data import progress

    seconds = iter([0.0, 10.0, 40.0, 50.0, 80.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with progress.progress("ais of 8 images", 8) as advance:
        for _ in range(4):
            advance(2)
    assert capsys.readouterr().err.splitlines() == [
        "ais of 8 images: 50%, 40 s left",
        "ais of 8 images: 100%, 0 s left",
    ]


def test_what_training_takes_a_run_takes_too(tmp_path: Path) -> None:
    x = random_images(5, 6, 7)
    as_trained = as_tensor(x)[:, None]
    np.save(tmp_path / "plain.npy", x)  # one channel without an axis
    np.save(tmp_path / "last.npy", x[..., None] / np.float32(255))  # the channels at the end, numbers in [0, 1]
    np.savez(tmp_path / "unnamed.npz", x[:, None])
    for name in ("plain.npy", "last.npy", "unnamed.npz"):
        assert data.load(tmp_path / name).shape == (1, 6, 7)
        assert torch.equal(read_images([tmp_path / name], (1, 6, 7)), as_trained)
    both = read_images([tmp_path / "plain.npy", tmp_path / "last.npy"], (1, 6, 7))
    assert torch.equal(both, as_trained.repeat(2, 1, 1, 1))
    np.save(tmp_path / "ones.npy", x > 100)
    assert data.load(tmp_path / "ones.npy").binary
    assert read_images([tmp_path / "ones.npy"], (1, 6, 7)).unique().tolist() == [0, 1]


def test_an_array_of_the_shape_of_a_run_is_taken_as_it_lies(tmp_path: Path) -> None:
    x = random_images(3, 4, 5, 3)  # four channels of 5x3 pixels, and not three of 4x5
    np.save(tmp_path / "x.npy", x)
    assert torch.equal(read_images([tmp_path / "x.npy"], (4, 5, 3)), as_tensor(x))
    assert read_images([tmp_path / "x.npy"], (3, 4, 5)).shape == (3, 3, 4, 5)


def test_a_run_takes_images_from_a_zip(tmp_path: Path) -> None:
    for name, value in (("b.png", 51), ("a.png", 102)):
        save(tmp_path / "mine", name, np.full((8, 8), value, np.uint8))
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for path in (tmp_path / "mine").iterdir():
            archive.write(path, f"inner/{path.name}")
    found = read_images([tmp_path / "mine.zip", tmp_path / "mine" / "b.png"], (1, 8, 8))
    assert found[:, 0, 0, 0].tolist() == pytest.approx([0.4, 0.2, 0.2])
    with zipfile.ZipFile(tmp_path / "none.zip", "w"):
        pass
    with pytest.raises(UserError, match=r"none\.zip holds no images"):
        read_images([tmp_path / "none.zip"], (1, 8, 8))
