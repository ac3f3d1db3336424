"""Damaged and foreign files: a ReadError that names the file, or the very pixels; nothing else, ever."""

from __future__ import annotations

import contextlib
import io
import time

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from wootz.errors import ReadError
from wootz.readers import Image, image_shape, iter_row_blocks, read_image, read_window

PIXELS = (np.add.outer(np.arange(96) * 3, np.arange(128) * 5) % 199 + np.arange(128) % 7).astype(np.uint8)
FEI = (
    "[User]\nDate=1.1.2020\n[Scan]\nPixelWidth=2e-8\nHorFieldsize=2.56e-6\n"
    "[Image]\nResolutionX=128\nResolutionY=96\n"
)
ZEISS = (
    "0\r\n0\r\n0\r\n5e-9\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 5 nm\r\nAP_MAG\r\nMag = 50.00 K X\r\n"
)
TESCAN = "PixelSizeX=1e-8\r\nPixelSizeY=1e-8\r\nHV=5000\r\n"
PHENOM = '<FeiImage><pixelWidth unit="nm">5</pixelWidth></FeiImage>'


def tiff(data=PIXELS, **options) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, data, **options)
    return out.getvalue()


def raster(kind: str, mode: str = "L") -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(PIXELS).convert(mode).save(out, kind)
    return out.getvalue()


def deep_png() -> bytes:
    import imagecodecs

    return imagecodecs.png_encode(np.stack([PIXELS.astype(np.uint16) * 257] * 3, -1))


def samples() -> dict[str, bytes]:
    tag = {34682: FEI, 34118: ZEISS, 34683: PHENOM}
    return {
        "strips.tif": tiff(rowsperstrip=8),
        "big.tif": tiff(PIXELS.astype(np.uint16), bigtiff=True, byteorder=">"),
        "tiles.tif": tiff(tile=(32, 32), compression="zlib"),
        "lzw.tif": tiff(rowsperstrip=16, compression="lzw", predictor=True),
        "jpeg.tif": tiff(np.stack([PIXELS] * 3, -1), photometric="rgb", compression="jpeg", tile=(32, 32)),
        "pages.tif": tiff(np.stack([PIXELS] * 3), photometric="minisblack", compression="zlib"),
        "planar.tif": tiff(np.stack([PIXELS] * 3), photometric="rgb", planarconfig="separate"),
        **{f"vendor{c}.tif": tiff(extratags=[(c, 2, 0, t, True)]) for c, t in tag.items()},
        "tescan.tif": tiff(extratags=[(50431, 7, len(TESCAN), TESCAN.encode(), True)]),
        "imagej.tif": tiff(imagej=True, resolution=(2.0, 2.0), metadata={"unit": "um"}),
        "grey.png": raster("PNG"), "palette.png": raster("PNG", "P"), "deep.png": deep_png(),
        "grey.jpg": raster("JPEG"), "rgb.jpg": raster("JPEG", "RGB"),
        "grey.bmp": raster("BMP"), "rgb.bmp": raster("BMP", "RGB"),
    }  # fmt: skip


SAMPLES = samples()


def attempt(path) -> np.ndarray | None:
    """Pixels where all ways of reading work; None after a ReadError that names the file and a remedy."""
    started = time.perf_counter()
    pixels = None
    for read in (read_image, image_shape, lambda p: read_window(p, rows=slice(0, 9), cols=slice(2, 7))):
        refusal, result = "", None
        try:
            result = read(path)
        except ReadError as error:
            refusal = str(error)
        assert (result is None) == bool(refusal)
        assert not refusal or (str(path) in refusal and len(refusal) > len(str(path)) + 20)
        if isinstance(result, Image):
            pixels = result.pixels
            assert pixels.ndim == 2
            assert pixels.dtype in (np.uint8, np.uint16)
            assert result.pixel_size_nm is None or min(result.pixel_size_nm) > 0
    assert time.perf_counter() - started < 10
    return pixels


@pytest.mark.parametrize("name", SAMPLES)
def test_truncated_files_are_refused_or_whole(tmp_path, name):
    """Rows that the file lacks are never made up."""
    path = tmp_path / name
    path.write_bytes(SAMPLES[name])
    whole = attempt(path)
    assert whole is not None
    assert whole.shape == PIXELS.shape
    n = len(SAMPLES[name])
    cuts = {n * i // 20 for i in range(20)} | {n - 1, n - 2, n - 7}
    refused = 0
    for cut in sorted(cuts):
        path.write_bytes(SAMPLES[name][:cut])
        pixels = attempt(path)
        refused += pixels is None
        if pixels is not None:
            np.testing.assert_array_equal(pixels, whole)
    assert refused >= 6


def damage(original: np.ndarray, i: int, rng: np.random.Generator) -> bytes:
    """Up to four other bytes where headers stand: at the start, or (tags of many writers) at the end."""
    damaged = original.copy()
    where = rng.integers(0, min(700, len(original)), rng.integers(1, 5))
    where = len(original) - 1 - where if i % 3 == 0 else where
    damaged[where] = rng.integers(0, 256, len(where))
    return damaged.tobytes()


def check_flips(path, n):
    rng = np.random.default_rng(sum(map(ord, path.name)))
    original = np.frombuffer(SAMPLES[path.name], np.uint8)
    for i in range(n):
        path.write_bytes(damage(original, i, rng))
        attempt(path)


@pytest.mark.parametrize("name", SAMPLES)
def test_flipped_bytes_raise_nothing_else(tmp_path, name):
    check_flips(tmp_path / name, 20)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_many_flipped_bytes_raise_nothing_else(tmp_path, name):
    check_flips(tmp_path / name, 400)


def test_pages_in_a_circle_end(tmp_path):
    """A damaged directory may name itself as the next page; following it would never end."""
    data = bytearray(SAMPLES["pages.tif"])
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        first, last = tif.pages[0], tif.pages[2]
        n_tags = int.from_bytes(data[last.offset : last.offset + 2], "little")
        at = last.offset + 2 + 12 * n_tags
        data[at : at + 4] = int(first.offset).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ReadError, match="runs in a circle"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("seed", range(8))
def test_vendor_text_of_any_kind_raises_nothing_else(tmp_path, seed):
    """Keys with broken numbers, missing units and stray bytes."""
    rng = np.random.default_rng(seed)
    texts = [
        FEI,
        ZEISS,
        TESCAN,
        PHENOM,
        "$CM_MAG 1\n$$SM_MICRON_BAR 0\n$$SM_MICRON_MARKER 1um\n$CM_FULL_SIZE 1\n",
    ]
    texts.append("[SemImageFile]\nPixelSize=nan\nDataSize=0x0\n")
    for text in texts:
        letters = list(text)
        for at in rng.integers(0, len(letters), 6):
            letters[at] = str(rng.choice(list("0=-.eE\n[]<>$x\0é ")))
        broken = "".join(letters)
        plain = "".join(letter if letter < "\x80" else "?" for letter in broken)
        for tag in (34680, 34682, 34118, 34683, 50431, 37706, 33560, 270):
            path = tmp_path / "a.tif"
            path.write_bytes(tiff(extratags=[(tag, 2, 0, plain, True)]))
            attempt(path)
        path = tmp_path / "b.tif"
        path.write_bytes(SAMPLES["strips.tif"])
        for side in ("b.txt", "b.hdr"):
            path.with_name(side).write_bytes(broken.encode("latin-1"))
        attempt(path)


def test_missing_empty_folder_and_foreign(tmp_path):
    cases = {
        "missing.tif": (None, r"does not exist; check the name"),
        "empty.tif": (b"", r"is empty \(0 bytes\). Copy it again"),
        "text.tif": (b"this is no picture at all", r"is no TIFF, PNG, JPEG or BMP.*Export the picture"),
        "volume.tif": (b"\x89HDF\r\n\x1a\n" + bytes(64), r"HDF5.*Export"),
        "short.tif": (b"II*\0", r"damaged.*Copy it again"),
        "short.png": (b"\x89PNG\r\n\x1a\n", r"damaged.*Copy it again"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        for read in (read_image, image_shape, lambda p: list(iter_row_blocks(p))):
            with pytest.raises(ReadError, match=message) as caught:
                read(path)
            assert str(path) in str(caught.value)
    with pytest.raises(ReadError, match=r"is a folder.*wootz ingest"):
        read_image(tmp_path)


def test_truncated_strips_are_named_by_their_rows(write_tiff):
    path = write_tiff(PIXELS)  # 6 strips of 16 rows behind an 8-byte header, directory at the end
    data = bytearray(path.read_bytes())
    moved = tiff(rowsperstrip=16)  # tifffile writes the directory first, so the end can be cut
    path.write_bytes(moved[: len(moved) - 20 * 128])
    with pytest.raises(
        ReadError, match=r"2 of its 6 strips lie beyond its end .* rows 64 to 95 of 96.*not made up"
    ):
        read_image(path)
    assert len(data) > PIXELS.size


def test_transfer_in_text_mode_is_recognised(tmp_path):
    damaged = bytes(b if b < 128 else ord("?") for b in tiff(rowsperstrip=16).replace(b"\n", b""))
    (tmp_path / "a.tif").write_bytes(damaged)
    with pytest.raises(ReadError, match=r"transferred or saved as text.*binary mode"):
        read_image(tmp_path / "a.tif")


def test_header_that_announces_more_than_the_file_holds(tmp_path):
    data = bytearray(tiff(compression="zlib", rowsperstrip=96))
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        width = tif.pages[0].tags[256]  # pyright: ignore[reportIndexIssue]
        rows, height = tif.pages[0].tags[278], tif.pages[0].tags[257]  # pyright: ignore[reportIndexIssue]
    for tag in (width, rows, height):
        data[tag.valueoffset : tag.valueoffset + 2] = b"\xff\xff"
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ReadError, match="announces 65535 x 65535 px"):
        read_image(tmp_path / "a.tif")
    bmp = bytearray(raster("BMP"))
    bmp[18:26] = (60000).to_bytes(4, "little") * 2
    (tmp_path / "a.bmp").write_bytes(bmp)
    with pytest.raises(ReadError, match="announces 60000 x 60000 px"):
        read_image(tmp_path / "a.bmp")


def test_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    path.write_bytes(SAMPLES["strips.tif"])

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    with contextlib.ExitStack() as stack:
        stack.enter_context(monkeypatch.context()).setattr("pathlib.Path.open", refuse)
        with pytest.raises(ReadError, match="cannot be opened"):
            read_image(path)
