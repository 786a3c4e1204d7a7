"""Data as users have them: links, zips, names, odd files, types of images, dark images, and very few of them."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import interalia
from interalia import data
from interalia.data import cache, celeba, images
from interalia.data.images import inner_paths, read_images
from interalia.disk import read_text, writing
from interalia.errors import DataWarning, UserError
from interalia.metrics.evaluation import evaluate
from interalia.runs import Run, building
from interalia.runs.run import from_toml
from interalia.training import engine


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERALIA_CACHE", str(tmp_path_factory.mktemp("cache")))


def pixels(seed: int = 0, shape: tuple[int, ...] = (8, 8), top: int = 255, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, top + 1, shape).astype(dtype)


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(folder: Path, count: int, *, seed: int = 0, shape: tuple[int, ...] = (8, 8)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(pixels(seed + i, shape)).save(folder / f"{i:02}.png")
    return folder


def sizes(dataset: data.Dataset) -> list[int]:
    return [len(split) for split in (dataset.train, dataset.validation, dataset.test)]


# ------------------------------------------------------------------------------------------------------ nearly black


@pytest.mark.parametrize(
    ("array", "low", "high"),
    [
        (pixels(shape=(20, 8, 8), top=1), 0, 1),
        (np.random.RandomState(0).randint(0, 4096, (20, 8, 8)).astype(np.uint16), 0, 4095),
        (np.random.RandomState(0).randint(0, 4096, (20, 8, 8)) / 65535, 0, 4095 / 65535),
        (pixels(shape=(20, 8, 8), top=40) + 150, 150, 190),
        (np.random.RandomState(0).randint(-1024, 3072, (20, 8, 8)).astype(np.int16), -1024, 3071),
    ],
    ids=["masks", "12 bits", "12 bits in 16", "pale", "Hounsfield units"],
)
def test_images_on_a_quarter_of_the_range_are_scaled(
    tmp_path: Path, array: np.ndarray, low: float, high: float
) -> None:
    np.save(tmp_path / "x.npy", array)
    dataset = data.load(tmp_path / "x.npy")
    assert dataset.units is not None
    found = np.concatenate(
        [dataset.units.invert(split.x) for split in (dataset.train, dataset.validation, dataset.test)]
    )
    assert found.dtype == array.dtype
    if array.dtype.kind in "ui":
        assert sorted(map(bytes, found)) == sorted(map(bytes, array))
    assert dataset.train.x.min() == 0
    assert dataset.train.x.max() == 1
    assert f", scaled from {dataset.units.scaling.offset[0]:.6g} ... " in dataset.about
    assert low <= dataset.units.scaling.offset[0] < dataset.units.scaling.span[0] + low <= high + 0.01 * (high - low)


def test_files_of_16_bits_are_scaled_by_what_was_found(tmp_path: Path) -> None:
    for top in (4095, 65535):
        for i in range(20):
            Image.fromarray(pixels(i, top=top, dtype=np.uint16)).save(tmp_path / f"{i}.png")
        dataset = data.load(tmp_path)
        assert dataset.units is not None
        assert dataset.units.scaling is not None
        assert dataset.units.scaling.dtype == "uint16"
        values = np.stack([pixels(i, top=top, dtype=np.uint16) for i in range(20)])
        splits = (dataset.train, dataset.validation, dataset.test)
        found = np.concatenate([dataset.units.invert(split.x) for split in splits])
        assert sorted(map(bytes, found)) == sorted(map(bytes, values))
        assert "to [0, 1] (min-max), uint16. Train" in dataset.about
        again = read_images([tmp_path], dataset.shape, dataset.units).numpy()
        assert sorted(map(bytes, again)) == sorted(map(bytes, np.concatenate([split.x for split in splits])))


def test_images_on_more_than_a_quarter_are_read(tmp_path: Path) -> None:
    x = np.zeros((2000, 2, 2), np.uint8)
    x[:, 0, 0] = np.arange(2000) // 10 % 66  # no chunk of 512 is needed in whole: up to 65
    np.save(tmp_path / "x.npy", x)
    assert sum(sizes(data.load(tmp_path / "x.npy"))) == 2000


# ------------------------------------------------------------------------------------------------------------- links


def test_linked_folders_are_classes_and_splits(tmp_path: Path) -> None:
    fill(tmp_path / "here" / "a", 10)
    (tmp_path / "here" / "b").symlink_to(fill(tmp_path / "there" / "b", 10, seed=50))
    assert data.load(tmp_path / "here").classes == ("a", "b")
    fill(tmp_path / "split" / "train", 20)
    (tmp_path / "split" / "test").symlink_to(fill(tmp_path / "there" / "t", 7, seed=90))
    dataset = data.load(tmp_path / "split")
    assert sizes(dataset) == [18, 2, 7]
    assert sorted(map(bytes, dataset.test.x)) == sorted(pixels(90 + i).tobytes() for i in range(7))


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    fill(tmp_path / "d" / "a", 10)
    fill(tmp_path / "d" / "b", 10, seed=50)
    for link, target in (("self", "."), ("a/up", ".."), ("b/root", str(tmp_path)), ("above", "..")):
        (tmp_path / "d" / link).symlink_to(target)
    assert sum(sizes(data.load(tmp_path / "d"))) == 20
    (tmp_path / "d" / "a" / "to-b").symlink_to("../b")
    (tmp_path / "d" / "b" / "to-a").symlink_to("../a")  # each sees the other once, and not itself again
    assert sum(sizes(data.load(tmp_path / "d"))) == 20


@pytest.mark.parametrize("kind", ["link to nothing", "link to itself", "pipe", "link to a pipe", "link to a device"])
def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    odd = fill(tmp_path / "d", 5) / "odd.png"
    if "pipe" in kind:
        os.mkfifo(odd if kind == "pipe" else tmp_path / "pipe")
    if "link" in kind:
        targets = {"link to a pipe": tmp_path / "pipe", "link to a device": "/dev/zero", "link to itself": "odd.png"}
        odd.symlink_to(targets.get(kind, "/nowhere"))
    found: list[BaseException] = []

    def load() -> None:
        for call in (lambda: data.load(odd.parent), lambda: read_images([odd.parent], (1, 8, 8))):
            try:
                call()
            except UserError as error:
                found.append(error)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert len(found) == 2
    assert all("odd.png cannot be read (it is a" in str(error) and "remove it" in str(error) for error in found)


def test_a_pipe_given_as_the_data_is_refused(tmp_path: Path) -> None:
    for name in ("x.npy", "x.zip", "x.png"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match="a named pipe and not a regular file"):
            data.load(tmp_path / name)
        with pytest.raises(UserError, match="a named pipe and not a regular file"):
            read_images([tmp_path / name], (1, 8, 8))


# --------------------------------------------------------------------------------------- odd files among the others


def test_one_image_beside_the_classes_takes_no_labels(tmp_path: Path) -> None:
    for kind in "ab":
        fill(tmp_path / "d" / kind, 10)
    (tmp_path / "d" / "cover.png").write_bytes(png())
    dataset = data.load(tmp_path / "d")
    assert dataset.classes == ("a", "b")
    assert sum(sizes(dataset)) == 20
    assert "Left out: 1 image(s) outside of the folders for classes." in dataset.about
    for i in range(8):
        (tmp_path / "d" / f"cover{i}.png").write_bytes(png(i))
    dataset = data.load(tmp_path / "d")
    assert dataset.classes == ()
    assert "no labels, because 9 of 29 images are outside of the folders for classes" in dataset.about


def test_images_beside_the_splits_never_mix_them(tmp_path: Path) -> None:
    for part in ("train", "Testing"):
        for kind in "ab":
            fill(tmp_path / "d" / "inner" / part / kind, 10, seed=len(part) * 20)
    (tmp_path / "d" / "cover.png").write_bytes(png())
    fill(tmp_path / "d" / "inner" / "docs", 15)
    (tmp_path / "d" / "inner" / "train" / "notes.txt").write_text("notes")
    dataset = data.load(tmp_path / "d")
    assert dataset.classes == ("a", "b")
    assert sizes(dataset) == [18, 2, 20]
    assert "Left out: 16 image(s) outside of the folders for splits, 1 .txt." in dataset.about


def test_outer_folders_are_left_out_in_spite_of_a_file_beside_them() -> None:
    names = [f"faces/{kind}/{i}.png" for kind in "ab" for i in range(10)]
    assert inner_paths([*names, "cover.png"])[::20] == [["a", "0.png"], ["cover.png"]]
    assert inner_paths(["faces/a.png", "b.png"]) == [["faces", "a.png"], ["b.png"]]


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (5, 3)])
def test_few_images_of_another_mode_do_not_change_all(tmp_path: Path, count: int, channels: int) -> None:
    fill(tmp_path / "d", 20)
    fill(tmp_path / "d" / "z", count, shape=(8, 8, 3))
    for _ in range(2):  # also from the cache
        dataset = data.load(tmp_path / "d")
        assert dataset.shape == (channels, 8, 8)
        assert f"20 gray, {count} RGB (" in dataset.about


def test_what_is_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    fill(tmp_path / "d", 5)
    for name in ("a.heic", "b.HEIC", "c.txt", "README", ".DS_Store", "Thumbs.db", "@eaDir"):
        (tmp_path / "d" / name).touch()
    assert "Left out: 2 .heic, 1 without suffix, 1 .txt." in data.load(tmp_path / "d").about
    with pytest.raises(UserError, match=r"holds no images \(other files: 1 \.mp4\)"):
        (tmp_path / "e").mkdir()
        (tmp_path / "e" / "x.mp4").touch()
        data.load(tmp_path / "e")


@pytest.mark.parametrize("suffix", [".JPG", ".jfif", ".jpe", ".Jpeg", ".PNG", ".TIF", ".bmp", ".tga"])
def test_the_suffixes_of_cameras_and_browsers(tmp_path: Path, suffix: str) -> None:
    form = {".png": "PNG", ".tif": "TIFF", ".bmp": "BMP", ".tga": "TGA"}.get(suffix.lower(), "JPEG")
    for i in range(4):
        Image.fromarray(pixels(i)).save(tmp_path / f"{i}{suffix}", form)
    assert sum(sizes(data.load(tmp_path))) == 4


# ------------------------------------------------------------------------------------------------------------- names


def test_any_bytes_in_the_names_of_files_and_classes(tmp_path: Path) -> None:
    for kind in (b"caf\xe9", "caf\xe9".encode(), b"a\nb"):
        folder = os.path.join(os.fsencode(tmp_path), b"d\xff", kind)
        os.makedirs(folder)
        for i in range(5):
            with open(os.path.join(folder, b"%d\xe9.png" % i), "wb") as file:
                file.write(png(i))
    place = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"d\xff")))
    dataset = data.load(place)
    assert dataset.name == "d\\xff"
    assert set(dataset.classes) == {"caf\\xe9", "caf\xe9", "a\nb"}
    assert read_images([place], (1, 8, 8)).shape == (15, 1, 8, 8)
    with open(os.path.join(os.fsencode(place), b"a\nb", b"bad\xe9.png"), "wb") as file:
        file.write(b"no image")
    with pytest.raises(UserError, match=r"bad\\xe9\.png is damaged") as caught:
        data.load(place)
    str(caught.value).encode("utf-8")
    with writing(tmp_path / "text.md") as file:
        file.write(f"# {place.name}")
    assert (tmp_path / "text.md").read_text("utf-8") == "# d\\udcff"


def test_the_cache_of_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INTERALIA_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache.folder().is_absolute()
    with pytest.raises(UserError, match="there is no file or folder ~nobody/x"):
        data.load("~nobody/x")
    with pytest.raises(UserError, match="there is no file or folder"):
        data.load("x" * 300 + ".npy")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_files_of_any_editor(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "run.toml").write_bytes('game = "ali"\r\nsteps = 7\r\n'.encode(encoding))
    assert from_toml(tmp_path / "run.toml") == {"game": "ali", "steps": 7}
    lines = "2\r\nBald  Male \r\n\r\n000001.jpg  1 -1\r\n 000002.jpg -1  1\r\n"
    table = 'image_id;"Bald";"Male"\n"000001.jpg"; 1;-1\n"000002.jpg";-1;1\n'
    for text in (lines, table):
        (tmp_path / "list_attr_celeba.txt").write_bytes(text.encode(encoding))
        names, values = celeba.read_attributes(tmp_path / "list_attr_celeba.txt", ["000002", "000001"])
        assert names == ["Bald", "Male"]
        assert values.tolist() == [[0, 1], [1, 0]]
    assert read_text(tmp_path / "list_attr_celeba.txt") == table


# -------------------------------------------------------------------------------------------------------------- zips


def zipped(path: Path, *names: str, **fields: Any) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i, name in enumerate(names):
            info = zipfile.ZipInfo("x")
            info.filename = name  # afterwards, because ZipInfo replaces backslashes on some systems
            for key, value in fields.items():
                setattr(info, key, value)
            archive.writestr(info, png(i))
    return path


@pytest.mark.parametrize("form", ["{}\\{}.png", "./{}/{}.png", "/{}/{}.png", "C\\{}\\{}.png", "x/./{}//{}.png"])
def test_paths_in_zips_of_any_program(tmp_path: Path, form: str) -> None:
    path = zipped(tmp_path / "x.ZIP", *[form.format(kind, i) for kind in "ab" for i in range(5)], "__MACOSX/a/0.png")
    assert data.load(path).classes == ("a", "b")
    assert read_images([path], (1, 8, 8)).shape == (10, 1, 8, 8)


def test_names_in_zips_are_utf8_also_where_the_program_does_not_state_it(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", *[f"{kind}/{i}.png" for kind in ("a|", "b") for i in range(5)])
    path.write_bytes(path.read_bytes().replace(b"a|/", "ü/".encode()))
    assert data.load(path).classes == ("b", "ü")


def test_links_passwords_and_compressions_in_zips(tmp_path: Path) -> None:
    path = zipped(tmp_path / "link.zip", *[f"{i}.png" for i in range(6)])
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "0.png")
    assert "Left out: 1 symbolic link(s) in the zip." in data.load(path).about
    for name, old, new, words in (
        ("password", b"\x14\0\0\0", b"\x14\0\1\0", "needs a password; unzip the file"),
        ("method", b"\x14\0\0\0\0\0", b"\x14\0\0\0\x09\0", "cannot be read .*unzip the file"),
    ):
        path = zipped(tmp_path / f"{name}.zip", *[f"{i}.png" for i in range(6)])
        path.write_bytes(path.read_bytes().replace(old, new))
        with pytest.raises(UserError, match=words):
            data.load(path)


def test_a_zip_with_a_huge_entry_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "x.zip", *[f"{i}.png" for i in range(6)])
    monkeypatch.setenv("INTERALIA_MAX_MB", "0.00001")
    with pytest.raises(UserError, match=r"when it is unpacked; .*INTERALIA_MAX_MB"):
        data.load(path)


# ---------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_once_in_every_format(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = np.zeros((16, 24), np.uint8)
    upright[:8, :12] = 255  # the top left is white
    undo = [None, None, 0, 3, 1, 5, 2, 6, 4][orientation]  # Pillow's transpositions: FLIP_LEFT_RIGHT is 0 ...
    picture = Image.fromarray(upright)
    stored = picture if undo is None else picture.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if suffix in ("jpg", "webp") else {}
    stored.convert("RGB").save(tmp_path / f"x.{suffix}", exif=exif, **options)
    collection = images.Collection(tmp_path / f"x.{suffix}")
    _, shapes, _ = collection.headers(collection.names)
    assert shapes == [(16, 24)]
    found = collection.decode(f"x.{suffix}", "L", None)[0]
    assert found.shape == (16, 24)
    assert np.abs(found.astype(int) - upright).max() < 40


def test_float_and_16_bit_tiff_and_what_is_not_in_their_range(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 64).reshape(8, 8)
    Image.fromarray(x.astype(np.float32)).save(tmp_path / "f.tif")
    Image.fromarray(np.rint(x * 65535).astype(np.uint16)).save(tmp_path / "i.tif")
    collection = images.Collection(tmp_path)
    assert collection.headers(["f.tif"])[0] == "float32"
    assert collection.headers(["i.tif"])[0] == "uint16"
    with pytest.raises(UserError, match=r"of different units: 0 \.\.\. 1 \(.*f\.tif\), 0 \.\.\. 65535 \(.*i\.tif\)"):
        collection.headers(collection.names)
    assert (collection.decode("i.tif", "uint16", None)[0] == np.rint(x * 65535)).all()
    for name in collection.names:
        np.testing.assert_array_equal(collection.decode(name, "L", None)[0], np.rint(x * 255))
    with pytest.raises(
        UserError, match=r"the image .*hole\.tif holds NaN or infinity; replace these numbers, or leave it out"
    ):
        Image.fromarray(np.where(x < 0.5, x, np.inf).astype(np.float32)).save(tmp_path / "hole.tif")
        images.Collection(tmp_path).decode("hole.tif", "float32", None)
    for name, array, words in (
        ("hounsfield.tif", (x * 3000 - 1000).astype(np.int32), "from -1000 to 2000, .* from 0 to 65535; rescale all"),
        ("float.tif", (x * 255).astype(np.float32), "from 0 to 255, .* from 0 to 1; rescale all"),
        ("nan.tif", np.full((8, 8), np.nan, np.float32), "from nan to nan"),
    ):
        Image.fromarray(array).save(tmp_path / name)
        with pytest.raises(UserError, match=rf"{name} holds numbers {words}") as caught:
            images.Collection(tmp_path).decode(name, "L", None)
        assert "damaged" not in str(caught.value)


def test_images_of_more_than_8_bits_among_others(tmp_path: Path) -> None:
    """They are counted, and refused where they would be nearly black."""
    folder = fill(tmp_path / "x", 6)
    for i in range(6):
        Image.fromarray(pixels(i, top=65535, dtype=np.uint16)).save(folder / f"deep{i}.tif")
    assert "6 image(s) of more than 8 bits" in data.load(folder).about
    assert "deep0.tif) converted to 8 bits" in data.load(folder).about
    for i in range(6):
        Image.fromarray(pixels(i, top=4095, dtype=np.uint16)).save(folder / f"deep{i}.tif")
    with pytest.raises(
        UserError, match=r"6 image\(s\) of more than 8 bits \(.*deep0\.tif\) use 6\.\d % of their range"
    ):
        data.load(folder)
    for i in range(6):
        (folder / f"{i:02}.png").unlink()
    with pytest.raises(UserError, match="or `gray` demands"):
        data.load(folder, gray=False)
    assert data.load(folder).units is not None  # scaled


def black_png(width: int, height: int) -> bytes:
    """A black image of any size, compressed row by row."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    deflate = zlib.compressobj(1)
    rows = b"".join(deflate.compress(bytes(1 + width)) for _ in range(height)) + deflate.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_large_image_is_refused_with_what_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 5)
    (tmp_path / "scan.png").write_bytes(black_png(1000, 800))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300_000)
    with pytest.raises(UserError, match=r"scan\.png is too large .*INTERALIA_MAX_PIXELS") as caught:
        data.load(tmp_path, image_size=8)
    assert "damaged" not in str(caught.value)
    monkeypatch.setenv("INTERALIA_MAX_PIXELS", "800000")
    monkeypatch.setattr(images, "LARGE", 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(sizes(data.load(tmp_path, image_size=8))) == 6
    monkeypatch.setenv("INTERALIA_MAX_PIXELS", "many")
    with pytest.raises(UserError, match=r"INTERALIA_MAX_PIXELS is 'many'"):
        read_images([tmp_path], (1, 8, 8))


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_large_image_is_reduced_before_it_is_resized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, suffix: str
) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 640), (512, 640)).astype(np.uint8)
    if (mode, suffix) == ("P", "jpg"):
        return  # there is no such JPEG
    Image.fromarray(ramp).convert(mode).save(tmp_path / f"x.{suffix}", quality=95)
    collection = images.Collection(tmp_path / f"x.{suffix}")
    before = collection.decode(f"x.{suffix}", "L", (8, 8)).astype(int)
    monkeypatch.setattr(images, "LARGE", 1000)
    after = collection.decode(f"x.{suffix}", "L", (8, 8)).astype(int)
    assert np.abs(after - before).max() <= 2


# -------------------------------------------------------------------------------------------------------- one reader


def test_tasks_take_every_form_of_data_in_one_call(tmp_path: Path) -> None:
    np.save(tmp_path / "gray.npy", pixels(shape=(3, 20, 16)))
    np.savez(tmp_path / "rgb.npz", x_train=pixels(shape=(4, 20, 16, 3)))
    np.save(tmp_path / "float.npy", pixels(shape=(2, 8, 8)) / 255)
    fill(tmp_path / "d", 5)
    path = zipped(tmp_path / "x.zip", "0.png", "1.png")
    found = read_images(
        [tmp_path / "gray.npy", tmp_path / "d", tmp_path / "rgb.npz", path, tmp_path / "float.npy"], (1, 8, 8)
    )
    assert found.shape == (16, 1, 8, 8)
    assert torch.equal(found[3:8], read_images([tmp_path / "d"], (1, 8, 8)))
    np.save(tmp_path / "vectors.npy", np.ones((5, 3)))
    with pytest.raises(UserError, match=r"expected were numbers of shape \(n, 1, 8, 8\)"):
        read_images([tmp_path / "vectors.npy"], (1, 8, 8))
    with pytest.raises(UserError, match=r"expected were numbers of shape \(n, 3\)"):
        read_images([tmp_path / "gray.npy"], (3,))


def test_options_of_other_kinds_of_data_are_refused(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x", 6)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 3)))
    (tmp_path / "x.csv").write_text("a\n" + "".join(f"{i}\n" for i in range(20)))
    for place, option, words in (
        (folder, {"crop": "left"}, "`crop` is 'left'; it is 'center', 'random' or 'none'"),
        (folder, {"layout": "signal"}, "`layout` is for arrays, and .*x is none; leave `layout` out"),
        (tmp_path / "x.csv", {"layout": "image"}, "`layout` is for arrays"),
        (tmp_path / "x.npy", {"impute": "mean"}, r"`impute` is for tables, and .*x\.npy is none; leave `impute` out"),
        (folder, {"impute": "middle"}, "`impute` is 'middle'; it is 'refuse'"),
        (tmp_path / "x.csv", {"crop": "none"}, "`crop` is for a folder or zip of images"),
        (tmp_path / "x.npy", {"gray": True}, "`gray` is for images"),
    ):
        with pytest.raises(UserError, match=words):
            data.load(place, **option)


def test_an_array_that_was_trained_on_is_fitted_as_in_training(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pixels(shape=(9, 20, 16, 3)))
    dataset = data.load(tmp_path / "x.npy", image_size=8)
    trained = np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])
    found = (read_images([tmp_path / "x.npy"], dataset.shape).numpy() * 255).round().astype(np.uint8)
    assert sorted(map(bytes, found)) == sorted(map(bytes, trained))


@pytest.mark.parametrize("header", ["(-5, 8, 8)", "(True, 8, 8)", "(" * 9000, "(2**70, 8, 8)"])
def test_headers_of_arrays_that_are_damaged(tmp_path: Path, header: str) -> None:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {header}}}".encode() + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\2\0" + struct.pack("<I", len(text)) + text + bytes(64))
    with pytest.raises(UserError, match=r"x\.npy is damaged"):
        data.load(tmp_path / "x.npy")


def test_vectors_of_no_numbers_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((50, 0)))
    with pytest.raises(UserError, match="expected were"):
        data.load(tmp_path / "x.npy")


# --------------------------------------------------------------------------------------------------------------- few


@pytest.mark.parametrize("count", [1, 2, 3])
def test_up_to_three_images_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError, match=rf"holds {count} image.*at least 4"):
        data.load(fill(tmp_path / "d", count))
    fill(tmp_path / "s" / "test", 5)
    fill(tmp_path / "s" / "train", min(count, 2))
    with pytest.raises(UserError, match=rf"holds {min(count, 2)} image\(s\) to train on, and at least 3"):
        data.load(tmp_path / "s")


def test_four_images_train_to_a_page(tmp_path: Path) -> None:
    fill(tmp_path / "d", 4, shape=(16, 16))
    run = Run(game="ali", data=str(tmp_path / "d"), steps=2, latent_dim=2, device="cpu")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained = interalia.train(run, tmp_path / "run")
        interalia.reports.page(trained)
    said = [str(one.message) for one in caught if issubclass(one.category, DataWarning)]
    assert trained.run.batch_size == 2
    assert any("a batch has 2 examples in place of 128" in text for text in said)
    (left_out,) = [text for text in said if "more than one held-out example: " in text]  # once
    assert "frechet_distance" in left_out
    assert (tmp_path / "run" / "report.html").is_file()
    resumed = interalia.train(run.replace(steps=3), tmp_path / "run", resume=True)
    assert resumed.step == 3


def test_a_metric_that_is_named_is_not_left_out(tmp_path: Path) -> None:
    dataset = data.load(fill(tmp_path / "d", 4, shape=(16, 16)))
    game = interalia.build(Run(game="ali", data=str(tmp_path / "d"), latent_dim=2))
    with pytest.raises(UserError, match="2 or more"):
        evaluate(game, dataset, names=["frechet_distance"])
    with pytest.warns(DataWarning, match="psnr"):
        found = evaluate(game, dataset)
    assert "latent_reconstruction" in {one.name for one in found}


def test_a_batch_stays_a_multiple_of_the_pack(tmp_path: Path) -> None:
    fill(tmp_path / "d", 9, shape=(16, 16))  # 7 to train on
    run = Run(game="gan", data=str(tmp_path / "d"), pack=2, steps=1, latent_dim=2, device="cpu")
    with pytest.warns(DataWarning, match="6 examples in place of 128, because 7 are trained on"):
        assert engine.prepare(run).run.batch_size == 6


# ------------------------------------------------------------------------------------------------------------ memory


def test_a_model_that_does_not_fit_the_memory_ends_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from interalia import cli

    monkeypatch.setattr(building, "build_for", lambda *_: torch.empty(10**14))  # 400 TB
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "--steps", "1", "--device", "cpu", "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert "there is not enough memory" in capsys.readouterr().err


def test_a_gzip_that_is_longer_than_its_header_is_damaged(tmp_path: Path) -> None:
    import gzip

    from interalia.data.mnist import read_idx

    header = b"\0\0\x08\x01" + struct.pack(">I", 5)
    (tmp_path / "x.gz").write_bytes(gzip.compress(header + bytes(6)))
    with pytest.raises(UserError, match="holds 14 of 13 bytes"):
        read_idx(tmp_path / "x.gz")
