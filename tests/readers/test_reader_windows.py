"""Windows and blocks of rows equal the whole picture; panoramas stay below 1 GiB."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from wootz.errors import ReadError
from wootz.readers import image_shape, iter_row_blocks, read_image, read_window

WINDOWS = [
    (slice(0, 1), slice(0, 1)), (slice(5, 93), slice(17, 130)), (slice(None), slice(None)),
    (slice(-7, None), slice(100, 10_000)), (slice(31, 33), slice(47, 49)), (slice(10, 10), slice(0, 5)),
]  # fmt: skip


def check_windows(path):
    whole = read_image(path).pixels
    assert image_shape(path) == whole.shape
    for rows, cols in WINDOWS:
        window = read_window(path, rows=rows, cols=cols)
        np.testing.assert_array_equal(window, whole[rows, cols])
        assert window.dtype == whole.dtype
    for step in (1, 13, 64, 10_000):
        firsts, blocks = zip(*iter_row_blocks(path, rows=step), strict=True)
        assert list(firsts) == list(range(0, len(whole), step))
        np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "jpeg"])
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 10}, {"tile": (32, 48)}, {"byteorder": ">"}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_windows(tmp_path, specimen, compression, layout, dtype):
    if compression == "jpeg" and (dtype == np.uint16 or "byteorder" in layout):
        pytest.skip("JPEG holds 8 bits")
    predictor = {"predictor": True} if compression in ("lzw", "zlib") else {}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, specimen(100, 140, dtype=dtype), compression=compression, **predictor, **layout)
    check_windows(path)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("layout", [{}, {"tile": (32, 48)}, {"rowsperstrip": 7, "compression": "zlib"}])
def test_windows_of_channels(tmp_path, specimen, planar, layout):
    stack = np.stack([specimen(100, 140)] * 3, -1)
    data = stack if planar == "contig" else np.moveaxis(stack, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig=planar, **layout)
    check_windows(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["miniswhite", "float32", "bool"])
def test_windows_of_odd_values(tmp_path, specimen, kind):
    pixels = specimen(100, 140)
    if kind == "miniswhite":
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", rowsperstrip=9)
    elif kind == "float32":
        tifffile.imwrite(tmp_path / "a.tif", pixels.astype(np.float32), tile=(32, 32), compression="zlib")
    else:
        tifffile.imwrite(tmp_path / "a.tif", pixels > 110)
    check_windows(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_windows_of_other_formats(tmp_path, specimen, name):
    Pillow.fromarray(specimen(100, 140)).save(tmp_path / name)
    check_windows(tmp_path / name)


def test_windows_of_a_page(tmp_path, specimen):
    stack = np.stack([specimen(100, 140, seed=s) for s in range(2)])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    window = read_window(tmp_path / "a.tif", rows=slice(3, 9), cols=slice(0, 50), page=1)
    np.testing.assert_array_equal(window, stack[1, 3:9, :50])


def test_window_of_colour_is_refused_like_the_picture(tmp_path, rng):
    tifffile.imwrite(
        tmp_path / "a.tif", rng.integers(0, 255, (100, 140, 3), dtype=np.uint8), photometric="rgb"
    )
    with pytest.raises(ReadError, match="colour picture"):
        read_window(tmp_path / "a.tif", rows=slice(0, 9), cols=slice(0, 9))
    whole = read_image(tmp_path / "a.tif", colour="luminance").pixels
    window = read_window(tmp_path / "a.tif", rows=slice(3, 9), cols=slice(2, 9), colour="luminance")
    np.testing.assert_array_equal(window, whole[3:9, 2:9])


def test_steps_and_empty_blocks_are_refused(tmp_path, specimen):
    tifffile.imwrite(tmp_path / "a.tif", specimen())
    with pytest.raises(ValueError, match="no step"):
        read_window(tmp_path / "a.tif", rows=slice(0, 9, 2), cols=slice(0, 9))
    with pytest.raises(ValueError, match="at least 1"):
        next(iter_row_blocks(tmp_path / "a.tif", rows=0))


def test_a_row_of_tiles_is_decoded_once(tmp_path, specimen, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, specimen(256, 256), tile=(64, 64), compression="zlib")
    decoded = []
    original = tifffile.TiffPage.decode

    def counting(page):
        function = original.fget(page) if isinstance(original, property) else original.__get__(page)
        return lambda data, index, **kwargs: (decoded.append(index), function(data, index, **kwargs))[1]

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(counting))
    list(iter_row_blocks(path, rows=16))
    assert sorted(decoded) == list(range(16))


def test_tiles_that_a_sparse_panorama_lacks_are_zero(tmp_path, specimen):
    path = tmp_path / "a.tif"
    tiles = (specimen(64, 64, seed=i) if i % 3 != 1 else None for i in range(6))
    tifffile.imwrite(path, tiles, shape=(128, 192), dtype=np.uint8, tile=(64, 64), compression="zlib")
    check_windows(path)
    assert not read_image(path).pixels[:64, 64:128].any()


def test_one_compressed_block_too_large_for_parts_is_refused(tmp_path, specimen, monkeypatch):
    monkeypatch.setattr("wootz.readers.segments._MAX_SEGMENT_BYTES", 1000)
    tifffile.imwrite(tmp_path / "a.tif", specimen(), compression="zlib", rowsperstrip=96)
    with pytest.raises(ReadError, match="tiled TIFF"):
        read_window(tmp_path / "a.tif", rows=slice(0, 1), cols=slice(0, 1))
    tifffile.imwrite(tmp_path / "b.tif", specimen(), rowsperstrip=96)  # uncompressed: any part can be read
    check_windows(tmp_path / "b.tif")


READ_PANORAMA = """
    import resource, sys
    from wootz.readers import image_shape, iter_row_blocks, read_window
    path = sys.argv[1]
    read_window(path, rows=slice(0, 1), cols=slice(0, 1))  # imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(*image_shape(path))
    window = read_window(path, rows=slice(5000, 5600), cols=slice(7000, 9000))
    print(window.shape[0], window.shape[1], window[0, 0])
    print(sum(int(block[::512, ::512].sum()) for _, block in iter_row_blocks(path, rows=1024)))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
SIDE = 20_480


def read_panorama(path):
    """First pixel of a window, sum of every 512th pixel, growth of memory in MiB; in its own process."""
    command = [sys.executable, "-c", textwrap.dedent(READ_PANORAMA), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shape, window, total, grown_mib = done.stdout.splitlines()
    assert shape == f"{SIDE} {SIDE}"
    assert window.split()[:2] == ["600", "2000"]
    return int(window.split()[2]), int(total), float(grown_mib)


def test_panorama_in_strips_stays_below_1_gib(tmp_path):
    stored = tifffile.memmap(tmp_path / "a.tif", shape=(SIDE, SIDE), dtype=np.uint8)  # sparse on disk
    stored[5000, 7000] = 7
    stored[512, 512] = 9
    stored.flush()
    first, total, grown_mib = read_panorama(tmp_path / "a.tif")
    assert (first, total) == (7, 9)
    assert grown_mib < 512


@pytest.mark.slow
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiled_panorama_stays_below_1_gib(tmp_path, rng, compression):
    tiles = rng.integers(0, 4096, (4, 512, 512), dtype=np.uint16)
    stored = [tile.tobytes() if compression is None else zlib.compress(tile.tobytes(), 1) for tile in tiles]
    tifffile.imwrite(
        tmp_path / "a.tif", (stored[i % 4] for i in range(1600)), shape=(SIDE, SIDE), dtype=np.uint16,
        tile=(512, 512), compression=compression,
    )  # fmt: skip
    first, total, grown_mib = read_panorama(tmp_path / "a.tif")
    row, col = 5000, 7000
    assert first == tiles[(row // 512 * 40 + col // 512) % 4, row % 512, col % 512]
    assert total == sum(int(tiles[i % 4, 0, 0]) for i in range(1600))
    assert grown_mib < 512
