"""Containers and pixel types: TIFF variants, PNG, JPEG, BMP; grey without loss, colour refused."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from wootz.errors import ReadError, WootzError
from wootz.readers import image_shape, read_image


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile", [None, (32, 48)])
def test_tiff_variants_keep_every_count(tmp_path, specimen, compression, dtype, tile):
    pixels = specimen(70, 90, dtype=dtype)
    predictor = compression in ("lzw", "zlib", "zstd")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, compression=compression, tile=tile, predictor=predictor or None)
    image = read_image(path)
    assert image.pixels.dtype == dtype
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image_shape(path) == pixels.shape


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_byte_orders_and_bigtiff(tmp_path, specimen, byteorder, bigtiff):
    pixels = specimen(dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=byteorder, bigtiff=bigtiff)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype.isnative


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_equal_channels_are_exactly_grey(tmp_path, specimen, dtype, channels, planar):
    pixels = specimen(dtype=dtype)
    stack = np.stack([pixels] * 3 + [np.full_like(pixels, 255)] * (channels - 3), axis=-1)
    data = stack if planar == "contig" else np.moveaxis(stack, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig=planar)
    image = read_image(tmp_path / "a.tif")
    assert image.pixels.dtype == dtype
    np.testing.assert_array_equal(image.pixels, pixels)
    assert not image.notes[:-1]  # the last one says that the scale is unknown


def test_colour_is_refused_and_luma_is_rec_601(tmp_path, rng):
    rgb = rng.integers(0, 65536, (40, 50, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb")
    with pytest.raises(ReadError, match=r"a\.tif is a colour picture .*colour='luminance'"):
        read_image(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif", colour="luminance")
    expected = rgb.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert np.abs(image.pixels - expected).max() <= 0.5 + 1e-6
    assert any("luma" in note for note in image.notes)


def test_one_coloured_arrow_is_colour(tmp_path, specimen):
    rgb = np.stack([specimen()] * 3, axis=-1)
    rgb[10:12, 20:40] = (255, 0, 0)
    Pillow.fromarray(rgb).save(tmp_path / "a.png")
    with pytest.raises(ReadError, match=r"0\.0033 of its pixels"):
        read_image(tmp_path / "a.png")


def test_jpeg_chroma_noise_is_still_grey(tmp_path, specimen):
    rgb = np.stack([specimen()] * 3, axis=-1).astype(np.int16)
    rgb[..., 2] += np.random.default_rng(1).integers(-3, 4, rgb.shape[:2], dtype=np.int16)
    Pillow.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert np.abs(image.pixels.astype(int) - specimen()).max() <= 1
    assert any("as after JPEG" in note for note in image.notes)


def test_colour_in_the_info_bar_alone_is_accepted(tmp_path, specimen):
    grey = specimen(256, 256)
    grey[220:] = 255
    grey[230:250:2, 20:230:3] = 0
    rgb = np.stack([grey] * 3, axis=-1)
    rgb[240:244, 10:16] = (0, 255, 0)
    Pillow.fromarray(rgb).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.info_bar_rows == slice(220, 256)
    assert "colours in the info bar alone" in image.notes
    np.testing.assert_array_equal(image.pixels[:220], grey[:220])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "1", "P", "I;16"])
def test_png_modes(tmp_path, specimen, mode):
    pixels = specimen(dtype=np.uint16) if mode == "I;16" else specimen()
    picture = Pillow.fromarray(pixels)
    picture = picture if mode == "I;16" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    expected = np.asarray(picture.convert("L")) if mode == "1" else pixels
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.pixels.dtype == (np.uint16 if mode == "I;16" else np.uint8)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_png_of_16_bit_with_channels_keeps_16_bits(tmp_path, specimen, channels):
    """Pillow alone would give 8 bits."""
    import imagecodecs

    pixels = specimen(dtype=np.uint16)
    stack = np.stack(
        [pixels] * (channels if channels == 3 else channels - 1) + [pixels * 0] * (channels != 3), -1
    )
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stack))
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize(
    ("name", "mode"), [("a.bmp", "L"), ("a.bmp", "RGB"), ("a.jpg", "L"), ("a.jpeg", "RGB")]
)
def test_bmp_and_jpeg(tmp_path, specimen, name, mode):
    Pillow.fromarray(specimen()).convert(mode).save(tmp_path / name)
    image = read_image(tmp_path / name)
    reference = np.asarray(Pillow.open(tmp_path / name).convert("L"))
    np.testing.assert_array_equal(image.pixels, reference)
    assert image.pixels.dtype == np.uint8
    assert image.pixel_size_nm is None


def test_jpeg_inside_a_tiff(tmp_path, specimen):
    tifffile.imwrite(
        tmp_path / "a.tif", np.stack([specimen()] * 3, -1), photometric="rgb", compression="jpeg"
    )
    assert np.abs(read_image(tmp_path / "a.tif").pixels.astype(int) - specimen()).mean() < 8


def test_smartsem_palette_keeps_its_indices(tmp_path, specimen):
    pixels = specimen(256, 256) // 2 * 2  # even grey levels: no pixel has one of the drawing colours
    colours = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    colours[:, 9:250:9] = 0
    colours[1, 9:250:9] = 65535  # every ninth index is a drawing colour, as SmartSEM has it
    pixels[pixels % 9 == 0] += 1
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=colours)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, pixels)
    pixels[100, 100:120] = 18  # a green line over the specimen
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=colours)
    with pytest.raises(ReadError, match="colour picture"):
        read_image(tmp_path / "a.tif")


def test_palette_that_is_no_ramp_gives_its_levels(tmp_path, specimen):
    pixels = specimen()
    colours = np.tile(np.arange(255, -1, -1, dtype=np.uint16) * 257, (3, 1))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, 255 - pixels)


def test_white_is_zero_is_turned(tmp_path, specimen):
    tifffile.imwrite(tmp_path / "a.tif", specimen(), photometric="miniswhite")
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, 255 - specimen())
    assert any("white as 0" in note for note in image.notes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32, np.uint32, np.int8])
def test_whole_numbers_of_other_types_are_kept(tmp_path, specimen, dtype):
    pixels = specimen() // 2
    tifffile.imwrite(tmp_path / "a.tif", pixels.astype(dtype))
    image = read_image(tmp_path / "a.tif")
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, pixels)
    assert any(np.dtype(dtype).name in note for note in image.notes)


@pytest.mark.parametrize(
    "value", [np.float32(0.5), np.float32(np.nan), np.float32(np.inf), np.int16(-1), np.int32(70000)]
)
def test_values_that_16_bits_cannot_keep_are_refused(tmp_path, specimen, value):
    pixels = specimen().astype(value.dtype)
    pixels[3, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(ReadError, match=r"16-bit counts cannot keep. Save it as 16-bit"):
        read_image(tmp_path / "a.tif")


def test_complex_values_and_many_channels_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((40, 40), np.complex64))
    with pytest.raises(ReadError):
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.ones((40, 40, 7), np.uint8), planarconfig="contig")
    with pytest.raises(ReadError, match="channels"):
        read_image(tmp_path / "b.tif")


def test_pyramid_levels_and_thumbnails_are_not_the_picture(tmp_path, specimen):
    pixels = specimen(200, 240)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(pixels[::4, ::4], subfiletype=1)
        tif.write(pixels, subifds=2, tile=(64, 64))
        tif.write(pixels[::2, ::2], subfiletype=1, tile=(64, 64))
        tif.write(pixels[::4, ::4], subfiletype=1, tile=(64, 64))
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, pixels)
    assert (image.page, image.n_pages) == (1, 2)


def test_stack_gives_its_first_page_and_says_so(tmp_path, specimen):
    stack = np.stack([specimen(seed=s) for s in range(3)])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, stack[0])
    assert image.notes[0] == "page 0 of 3 read; not read: 1 (128 x 96), 2 (128 x 96)"
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", page=2).pixels, stack[2])
    with pytest.raises(ReadError, match="pages 0 to 2"):
        read_image(tmp_path / "a.tif", page=3)


def test_page_with_the_instrument_wins_over_its_colour_preview(tmp_path, specimen):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(np.stack([specimen()] * 3, -1), photometric="rgb")
        tif.write(specimen(dtype=np.uint16))
    image = read_image(tmp_path / "a.tif")
    assert (image.page, image.pixels.dtype) == (1, np.uint16)


def test_content_counts_not_the_name(tmp_path, specimen):
    Pillow.fromarray(specimen()).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, specimen())
    assert any("the content is PNG" in note for note in image.notes)


def test_names_with_anything_in_them(tmp_path, specimen):
    path = tmp_path / "070516#3 (a=1, ü) S2470003.v2.tif"
    tifffile.imwrite(path, specimen())
    np.testing.assert_array_equal(read_image(str(path)).pixels, specimen())


def test_unknown_choice_is_named(tmp_path, specimen):
    tifffile.imwrite(tmp_path / "a.tif", specimen())
    with pytest.raises(WootzError, match="colour='red' is not known; choose one of"):
        read_image(tmp_path / "a.tif", colour="red")


def test_raw_tags_are_plain_values(tmp_path, specimen):
    import json

    tifffile.imwrite(
        tmp_path / "a.tif", specimen(), software="SmartSEM", extratags=[(65000, 7, 3, b"abc", True)]
    )
    raw = read_image(tmp_path / "a.tif").metadata["raw"]
    assert json.loads(json.dumps(raw)) == raw
    assert raw["Software"] == "SmartSEM"
    assert "StripOffsets" not in raw
