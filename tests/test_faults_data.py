"""Data that are damaged, huge or made by somebody else: one sentence that names the file, or the data without it."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import pickle
import struct
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import interalia

from interalia import data, disk
from interalia.data import cifar, downloads, images, mnist
from interalia.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten gray images."""
    place = tmp_path / "data"
    place.mkdir()
    for i in range(10):
        Image.new("L", (8, 8), 20 * i).save(place / f"{i}.png")
    return place


def loaded(path: Path, **more: Any) -> data.Dataset:
    return data.load(path, download=False, **more)


# ---- what is no file, and names


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("pipe", "named pipe"), ("link", "leads nowhere"), ("loop", "leads nowhere"), ("device", "a device")],
)
def test_what_is_no_regular_file_is_named(kind: str, reason: str, folder: Path) -> None:
    path = folder / "x.png"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(
        {"link": "none", "loop": "x.png", "device": "/dev/zero"}[kind]
    )
    with pytest.raises(UserError, match=rf"x\.png cannot be read \(.*{reason}.*\); remove it"):
        loaded(folder)
    if kind in ("pipe", "device"):
        with pytest.raises(UserError, match=rf"x\.png cannot be read \(.*{reason}"):
            images.read_images([path], (1, 8, 8))
    os.rename(path, folder / "x.npy")
    with pytest.raises(UserError, match=r"x\.npy"):
        loaded(folder / "x.npy")


def test_a_link_to_an_image_is_an_image(folder: Path, tmp_path: Path) -> None:
    os.rename(folder / "3.png", tmp_path / "elsewhere.png")
    (folder / "3.png").symlink_to(tmp_path / "elsewhere.png")
    assert sum(len(split) for split in (loaded(folder).train, loaded(folder).validation, loaded(folder).test)) == 10


@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes on POSIX")
def test_a_name_that_is_no_text_is_read_and_printed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = os.fsencode(folder) + b"/b\xe9.png"
    os.rename(folder / "3.png", strange)
    assert len(loaded(folder).train) == 8
    with open(strange, "wb") as file:
        file.write(b"no image")
    assert interalia("train", "--data", folder, "--out", tmp_path / "run") == 2
    assert r"b\xe9.png is damaged" in capsys.readouterr().err


# ---- what is large when it is unpacked


@pytest.fixture
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERALIA_MAX_MB", "0.01")


@pytest.mark.usefixtures("small_bound")
def test_an_image_in_a_zip_that_inflates_beyond_the_bound_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob("*.png")):
            archive.write(path, path.name)
        archive.writestr("bomb.png", bytes(100_000))
    with pytest.raises(
        UserError, match=r"bomb\.png in .*x\.zip has more than 0 MB when it is unpacked; .*INTERALIA_MAX_MB"
    ):
        loaded(folder / "x.zip")
    monkeypatch.setenv("INTERALIA_MAX_MB", "1")
    with pytest.raises(UserError, match=r"bomb\.png in .* is damaged or cut short"):
        loaded(folder / "x.zip")
    monkeypatch.setenv("INTERALIA_MAX_MB", "much")
    with pytest.raises(UserError, match="INTERALIA_MAX_MB is 'much', and it must be a number"):
        loaded(folder / "x.zip")


@pytest.mark.usefixtures("small_bound")
def test_so_are_other_compressed_files(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.gz", "wb") as file:
        file.write(struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31 - 1, 28, 28) + bytes(100_000))
    with pytest.raises(UserError, match=r"x\.gz has more than"):
        mnist.read_idx(tmp_path / "x.gz")
    (tmp_path / "data_batch_1.xz").write_bytes(lzma.compress(bytes(100_000)))
    with pytest.raises(UserError, match=r"data_batch_1\.xz has more than"):
        cifar.read_bytes(tmp_path / "data_batch_1.xz", "data_batch_1")
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((1000, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"x\.npz has more than"):
        loaded(tmp_path / "x.npz")
    noise = np.random.default_rng(0).integers(0, 255, (1000, 8, 8), np.uint8)
    np.savez_compressed(tmp_path / "noise.npz", x=noise)  # large, and no smaller when it is packed
    assert len(loaded(tmp_path / "noise.npz").train) == 800


def test_no_more_than_the_bound_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in one piece, which a zip's reader would have in memory twice."""
    sizes: list[int] = []

    class Endless:
        def read(self, size: int, /) -> bytes:
            sizes.append(size)
            return bytes(size)

    monkeypatch.setenv("INTERALIA_MAX_MB", "3")
    with pytest.raises(UserError, match="endless has more than 3 MB"):
        disk.unpacked(Endless(), "endless")
    assert sum(sizes) == 3 * 2**20 + 1
    assert max(sizes) == 2**20
    assert disk.unpacked(io.BytesIO(bytes(3 * 2**20)), "whole") == bytes(3 * 2**20)


def test_a_file_in_a_zip_that_states_too_large_a_size_is_not_unpacked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(100_000))
    monkeypatch.setenv("INTERALIA_MAX_MB", "0.01")
    monkeypatch.setattr(images, "unpacked", None)
    with pytest.raises(UserError, match=r"bomb\.png in .*x\.zip has more than 0 MB when it is unpacked"):
        images.Collection(folder / "x.zip").open("bomb.png")


def test_large_images_are_decoded_one_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []
    lock, now = threading.Lock(), [0]
    decode = images.crop_and_resize

    def slow(image: Image.Image, shape: tuple[int, int] | None, place: float | None) -> Image.Image:
        with lock:
            now[0] += 1
            together.append(now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1
        return decode(image, shape, place)

    monkeypatch.setattr(images, "crop_and_resize", slow)
    monkeypatch.setattr(images, "LARGE", 63)
    loaded(folder, image_size=4)
    assert set(together) == {1}


def test_an_image_with_too_many_pixels_is_not_called_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 31)
    with pytest.raises(UserError, match=r"is too large \(.*\); make it smaller, or .*INTERALIA_MAX_PIXELS"):
        loaded(folder)


# ---- arrays


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-5, 8, 8)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 8, 8)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000, 8, 8)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': 5}",
        "(" * 9000,
        "{" * 9000,
        "",
    ],
)
def test_a_header_of_an_array_that_is_none_is_damaged(header: str, tmp_path: Path) -> None:
    content = header.encode() + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(content)) + content)
    with pytest.raises(UserError, match=r"x\.npy (is damaged|holds)"):
        loaded(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((50, 3), 1e300), "NaN or infinity in 150 of 150 places; .* rescale numbers beyond float32"),
        (np.where(np.arange(150).reshape(50, 3) == 7, -1e39, 0.0), "NaN or infinity in 1 of 150"),
        (np.zeros((50, 0), np.float32), r"shape \(50, 0\)"),
        (np.zeros((0, 3), np.float32), r"shape \(0, 3\)"),
    ],
)
def test_vectors_without_numbers_or_beyond_float32_are_refused(array: Any, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(UserError, match=message):
        loaded(tmp_path / "x.npy")


def test_the_greatest_number_of_float32_is_a_number(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((50, 3), float(np.finfo(np.float32).max)))
    assert np.isfinite(loaded(tmp_path / "x.npy").train.x).all()


def test_vectors_are_memory_mapped_and_the_same_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    np.save(tmp_path / "x.npy", rows)
    found = loaded(tmp_path / "x.npy")
    assert isinstance(found.train.x, np.memmap)
    together = np.concatenate([found.train.x, found.validation.x, found.test.x])
    assert sorted(map(tuple, together)) == sorted(map(tuple, rows.astype(np.float32)))
    monkeypatch.setattr("interalia.data.images.CHUNK", 7)
    np.save(tmp_path / "y.npy", rows)
    assert np.array_equal(loaded(tmp_path / "y.npy").train.x, found.train.x)


# ---- CIFAR-10's pickles


def test_a_batch_that_python_3_has_written_is_read(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 255, (20, 3072), np.uint8)
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({b"data": x, b"labels": [3] * 20}, protocol=2))
    found, labels = cifar.read_batch(tmp_path / "data_batch_1", "data_batch_1")
    assert np.array_equal(found.reshape(20, -1), x)
    assert labels.tolist() == [3] * 20


def test_an_array_without_numbers_is_no_batch(tmp_path: Path) -> None:
    class Empty:
        def __reduce__(self) -> tuple[Any, ...]:
            return np.ndarray, ((20, 3072), "u1")

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({"data": Empty(), "labels": [3] * 20}))
    with pytest.raises(UserError, match="not a complete CIFAR-10 batch"):
        cifar.read_batch(tmp_path / "data_batch_1", "data_batch_1")


# ---- downloads


def test_a_download_that_is_too_slow_or_too_large_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import http.server

    class Dripping(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            self.send_response(200)
            if "announced" in self.path:
                self.send_header("Content-Length", "200000")
                return self.end_headers()
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 if "slow" in self.path else 10_000))
                    time.sleep(0.02 if "slow" in self.path else 0)
            except OSError:
                pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    threading.Thread(target=lambda: server.serve_forever(0.05), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    monkeypatch.setenv("INTERALIA_MAX_MB", "0.1")
    assert "stopped answering, or sends too slowly" in downloads.fetch("slow", "0", [address], tmp_path / "a")
    assert "sent another large than expected" in downloads.fetch("large", "0", [address], tmp_path / "a")
    # of a known size no byte more is read: the file that was sent whole is there, another one is refused
    assert "sent another large than expected" in downloads.fetch("large", "0", [address], tmp_path / "a", 50_000)
    assert not (tmp_path / "a").exists()
    md5 = hashlib.md5(bytes(50_000)).hexdigest()
    assert not downloads.fetch("large", md5, [address], tmp_path / "b", 50_000)
    assert (tmp_path / "b" / "large").read_bytes() == bytes(50_000)
    # announced: 200,000 bytes
    assert "sent another announced than expected" in downloads.fetch(
        "announced", "0", [address], tmp_path / "c", 50_000
    )
    assert not (tmp_path / "c").exists()
    monkeypatch.setattr(downloads, "LARGEST", 100_000)
    assert "sent another announced than expected" in downloads.fetch("announced", "0", [address], tmp_path / "c")
    server.shutdown()
    server.server_close()


def test_what_killed_downloads_left_is_removed(tmp_path: Path) -> None:
    for name, age in {"tmpabcd_123": 1e4, "tmpefgh_345": 0, "f.bin": 1e4}.items():
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    downloads.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.bin", "tmpefgh_345"]


# ---- the terminal


def test_escapes_in_names_do_not_reach_the_terminal(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "x\x1b]0;title\x07\x1b[31m\u202egnp.png").write_bytes(b"no image")
    assert interalia("train", "--data", folder, "--out", tmp_path / "run") == 2
    assert interalia("generate", tmp_path / "nowhere\x1b[31m") == 2
    assert interalia("train", "recipe\x1b[31m") == 2
    assert interalia("train", "--divergence", "gan(x=\x1b)") == 2
    printed = "".join(capfd.readouterr())
    assert r"x\x1b]0;title\x07\x1b[31m\u202egnp.png" in printed
    assert all(letter.isprintable() or letter == "\n" for letter in printed)


def test_labels_and_files_in_a_table_are_printed_with_escapes(capfd: pytest.CaptureFixture[str]) -> None:
    from interalia.cli.common import say
    from interalia.reports.tables import print_table

    say("a\x1b[31m", "b\x9b")
    print_table("title", ["name"], [["c\x1b[31m [red]d"]])
    printed = capfd.readouterr().out
    assert printed.splitlines()[:2] == [r"a\x1b[31m", r"b\x9b"]
    assert r"c\x1b[31m [red]d" in printed


def test_an_output_that_cannot_encode_a_character_gets_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    assert interalia("list", "games") == 0
    print("x\u0302")
    output.flush()
    assert output.buffer.getvalue().endswith(b"x\\u0302\n")  # type: ignore[attr-defined]


def test_a_value_that_ends_in_a_dot_is_a_value(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interalia("train", "--data", f"{folder}/.", "--out", tmp_path / "run.", "--print-config") == 0
    assert interalia("train", "--name=..", "--steps", 0) == 2
    assert "--name is '..', and it must be the name of a folder" in capsys.readouterr().err


def test_markup_in_names_is_escaped_in_results() -> None:
    from interalia.reports import tables
    from interalia.runs import Run

    evil = "<script>x</script>"
    keys = ("machine", "commit", "date", "split", "weights", "step")
    found = {
        **dict.fromkeys(keys, 1), "data": {"about": evil}, "seeds": {"training": 0, "evaluation": 0}, "versions": {},
        "training": {"steps": 1, "seconds": None}, "metrics": [],
    }  # fmt: skip
    text = tables.markdown(Run(name=evil, data=evil), found)
    page, _, code = text.partition("```toml")
    assert "<" not in page
    assert page.count("&lt;script>") == 2
    assert f'name = "{evil}"' in code
