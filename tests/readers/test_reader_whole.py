"""A file read in one go and a file read bit by bit are the same file; so are known and unknown side files."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile

from wootz.errors import ReadError
from wootz.readers import LargeImageError, read_image, wholefile
from wootz.readers.sidefiles import SideNames, side_text
from wootz.readers.wholefile import MemoryFile, whole_tiff

KINDS = {
    "plain": {},
    "strips": {"rowsperstrip": 16},
    "tiles": {"tile": (32, 48)},
    "deflate": {"compression": "zlib", "predictor": True},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whole_file_equals_file(tmp_path, specimen, monkeypatch, kind, dtype):
    pixels = specimen(70, 90, dtype=dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, description="beam", **KINDS[kind])
    assert whole_tiff(path) is not None
    whole = read_image(path)
    monkeypatch.setattr(wholefile, "MAX_BYTES", 0)
    assert whole_tiff(path) is None
    by_parts = read_image(path)
    for image in (whole, by_parts):
        np.testing.assert_array_equal(image.pixels, pixels)
        assert image.pixels.dtype == dtype
        assert image.pixels.flags.writeable
    assert whole.metadata == by_parts.metadata
    assert whole.notes == by_parts.notes


def test_a_small_page_does_not_keep_the_whole_file(tmp_path, specimen):
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for n in range(4):
            writer.write(specimen(seed=n), contiguous=False)
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, specimen(seed=0))
    base = image.pixels
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert base.nbytes < 2 * image.pixels.nbytes


@pytest.mark.parametrize("cut", [30, 200, 5000])
def test_truncated_file_names_itself(tmp_path, specimen, cut):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, specimen())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ReadError, match=r"cut\.tif"):
        read_image(path)


def test_large_image_is_refused_before_it_is_read(tmp_path, specimen):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, specimen())
    read_image(path, max_pixels=96 * 128)
    with pytest.raises(LargeImageError, match=r"a\.tif has 128 x 96 px"):
        read_image(path, max_pixels=96 * 128 - 1)


def test_counts_are_those_of_all_pixels(tmp_path, specimen):
    tifffile.imwrite(tmp_path / "a.tif", specimen())
    image = read_image(tmp_path / "a.tif", count=True)
    np.testing.assert_array_equal(image.counts, np.bincount(specimen().ravel(), minlength=256))
    assert read_image(tmp_path / "a.tif").counts is None


def test_memory_file_seeks_and_reads_like_a_file(tmp_path):
    data = np.arange(50, dtype=np.uint8)
    (tmp_path / "f").write_bytes(data.tobytes())
    memory = MemoryFile(data, "f")
    with (tmp_path / "f").open("rb") as file:
        for step in (lambda f: f.read(7), lambda f: f.seek(3, os.SEEK_CUR), lambda f: f.read(100)):
            assert step(memory) == step(file)
        for step in (lambda f: f.seek(-5, os.SEEK_END), lambda f: f.read(), lambda f: f.seek(60)):
            assert step(memory) == step(file)
        assert memory.read(2) == file.read(2) == b""
        for f in (memory, file):
            f.seek(44)
        into = bytearray(9), bytearray(9)
        assert memory.readinto(into[0]) == file.readinto(into[1]) == 6
        assert into[0] == into[1]
        assert memory.tell() == file.tell()


@pytest.mark.parametrize("name", ["field.txt", "field.TXT", "field-tif.txt", "field.tif.Txt", "Grün.txt"])
def test_listed_side_files_are_found_as_unlisted_ones(tmp_path, name):
    path = tmp_path / ("Grün.tif" if name.startswith("G") else "field.tif")
    (tmp_path / name).write_text("$CM_X 1", encoding="utf-8")
    (tmp_path / "other.txt").write_text("other", encoding="utf-8")
    expected = (name, "$CM_X 1")
    assert side_text(path, "txt") == expected
    names = SideNames().beside(path)
    assert names is not None
    assert len(names) == 2
    assert side_text(path, "txt", names=names) == expected
    assert side_text(path, "txt", names=frozenset()) == ("", "")


def test_a_folder_that_cannot_be_listed_is_asked_name_by_name(tmp_path):
    assert SideNames().beside(tmp_path / "nowhere" / "a.tif") is None
