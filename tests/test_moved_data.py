"""Files of several pictures, files reached by two links, and downloaded files that are not the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from interalia import data
from interalia.data import Source, downloads
from interalia.errors import DataWarning


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8))


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp"])
def test_of_several_pictures_the_first_is_read_and_they_are_counted(suffix: str, tmp_path: Path) -> None:
    for i in range(12):
        more = {"save_all": True, "append_images": [picture(99)]} if i < 3 else {}
        picture(i).convert("RGB" if suffix == ".webp" else "L").save(tmp_path / f"{i}{suffix}", **more)
    found = data.load(tmp_path)
    assert "Of 3 animations or files of several pages" in found.about
    assert "only the first picture is read" in found.about


def test_a_file_that_two_links_reach_is_counted_once(tmp_path: Path) -> None:
    place = tmp_path / "p"
    for name in "ab":
        (place / name).mkdir(parents=True)
        for i in range(8):
            picture(i + ord(name)).save(place / name / f"{i}.png")
    (place / "c").symlink_to("a")
    (place / "b" / "again.png").symlink_to("0.png")
    (tmp_path / "pool").mkdir()
    picture(300).save(tmp_path / "pool" / "x.png")
    for name in ("x.png", "y.png"):  # two links from outside: the first stays
        (place / "b" / name).symlink_to(tmp_path / "pool" / "x.png")
    found = data.load(place)
    assert sum(len(split) for split in (found.train, found.validation, found.test)) == 17
    assert found.classes == ("a", "b")
    assert "10 image(s) reached by two links" in found.about


def test_a_file_that_is_not_the_published_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"changed")
    source = Source("own", "mnist", "", "", "", files={"f.bin": "0" * 32})
    with pytest.warns(DataWarning, match="f.bin is not the published file of own"):
        downloads.check_published(source, {"x": tmp_path / "f.bin"})
