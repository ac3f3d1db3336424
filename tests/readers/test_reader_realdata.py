"""Files of real microscopes: scales checked by hand, bars found to the row, none where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from wootz.errors import ReadError
from wootz.readers import find_info_bar, image_shape, read_image, read_window

pytestmark = pytest.mark.realdata

# Pixel size in nm, and how it was found without our reader.
SCALES = {
    # Scan.HorFieldsize 1.72667 mm over ResolutionX 512; Scan.VerFieldsize 1.4906 mm over 442 rows.
    "FEI-Helios-Ebeam-8bits.tif": 1.72667e6 / 512,
    "FEI-Helios-Ebeam-16bits.tif": 1.72667e6 / 512,
    # IRBeam.HFW 0.202732 m over 768 columns; VFW 0.135155 m over 512 rows gives the same.
    "FEI-Helios-navcam.tif": 0.202732e9 / 768,
    "FEI-Helios-navcam-with-no-IRBeam.tif": None,
    "FEI-Helios-navcam-with-no-IRBeam-bad-floats.tif": None,
    # AP_WIDTH 5.965 um over 512 columns. The burnt-in bar of 200 nm is 17 px long: 11.8. Its tag
    # AP_PIXEL_SIZE, 5.825 nm, belongs to 1024 columns and is wrong by a factor of two.
    "test_tiff_Zeiss_SEM_512pix.tif": 5965.0 / 512,
    # AP_WIDTH 2.677 mm over 1024 columns; the burnt-in bar of 200 um is 77 px long: 2597.
    "test_tiff_Zeiss_SEM_1k.tif": 2.677e6 / 1024,
    # AP_WIDTH 25.24 um over 2048 columns.
    "ZEISS_SEM_multipage.tif": 25240.0 / 2048,
    # An annotation in the file measures 129.944 px as 237.86 nm.
    "JEOL-SightX-TEM-mag-dummy.tif": 237.86 / 129.944,
    # Detector pixel 15.6 um, binned by 4, over 32000 x 1.57 x 0.87418; also 1 cm / XResolution 7038270.
    "TVIPS_bin4.tif": 15600.0 * 4 / (32000 * 1.57 * 0.87418),
    # The value of tag 33560. Its camera (9 um a pixel at 600 kx would be 0.015) was binned or cropped.
    "olympus_SIS.tif": 0.02392791775876109,
    # 5.928571 pixels per micron.
    "test_loading_image_saved_with_imageJ.tif": 1000 / 5.928571,
    "test_loading_image_saved_with_imageJ_no_scale.tif": None,
}


@pytest.mark.parametrize("name", SCALES)
def test_scale_of_each_instrument(data_dir, name):
    image = read_image(data_dir / "instruments" / name)
    expected = SCALES[name]
    if expected is None:
        assert image.pixel_size_nm is None
        assert image.pixel_size_source == ""
        assert any("scale unknown" in note for note in image.notes)
    else:
        assert image.pixel_size_nm == pytest.approx((expected, expected), rel=2e-3)
        assert image.pixel_size_source


@pytest.mark.parametrize("name", SCALES)
def test_windows_of_each_instrument(data_dir, name):
    path = data_dir / "instruments" / name
    whole = read_image(path).pixels
    assert image_shape(path) == whole.shape
    window = read_window(path, rows=slice(11, 60), cols=slice(20, 67))
    np.testing.assert_array_equal(window, whole[11:60, 20:67])


def test_pixels_as_tifffile_gives_them(data_dir):
    folder = data_dir / "instruments"
    for name, page in (
        ("FEI-Helios-Ebeam-16bits.tif", 0),
        ("ZEISS_SEM_multipage.tif", 0),
        ("olympus_SIS.tif", 1),
    ):
        image = read_image(folder / name)
        assert image.page == page
        np.testing.assert_array_equal(image.pixels, tifffile.imread(folder / name, key=page))


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("FEI-Helios-Ebeam-8bits.tif", slice(442, 471)),
        ("FEI-Helios-Ebeam-16bits.tif", slice(442, 471)),
        ("FEI-Helios-navcam.tif", slice(512, 551)),
        ("test_tiff_Zeiss_SEM_512pix.tif", slice(350, 384)),
        ("test_tiff_Zeiss_SEM_1k.tif", slice(691, 768)),
        ("ZEISS_SEM_multipage.tif", None),
        ("TVIPS_bin4.tif", None),
        ("JEOL-SightX-TEM-mag-dummy.tif", None),
    ],
)
def test_info_bar_of_each_instrument(data_dir, name, rows):
    assert read_image(data_dir / "instruments" / name).info_bar_rows == rows


def test_metadata_and_picture_agree_on_the_bar(data_dir):
    for name in ("FEI-Helios-Ebeam-8bits.tif", "FEI-Helios-Ebeam-16bits.tif"):
        image = read_image(data_dir / "instruments" / name)
        assert find_info_bar(image.pixels) == image.info_bar_rows


def test_metadata_of_a_real_file(data_dir):
    meta = read_image(data_dir / "instruments" / "test_tiff_Zeiss_SEM_1k.tif").metadata
    assert {key: meta[key] for key in ("hv_kv", "wd_mm", "detector", "magnification", "date")} == {
        "hv_kv": 25.0, "wd_mm": 14.808, "detector": "HE-SE2", "magnification": 105.0,
        "date": "2015-12-23T09:40:32",
    }  # fmt: skip
    meta = read_image(data_dir / "instruments" / "FEI-Helios-Ebeam-8bits.tif").metadata
    assert meta["magnification"] == pytest.approx(120.0, rel=1e-4)  # as its bar says
    assert (meta["date"], meta["stage_z_mm"]) == ("2016-06-13T17:06:40", 7.965)


def test_damaged_quanta_file_is_refused_with_its_cause(data_dir):
    path = data_dir / "instruments" / "fei_quanta_truncated_strip.tif"
    with pytest.raises(ReadError, match=r"830 of its 831 strips .* transferred or saved as text"):
        read_image(path)


def test_colour_file_is_refused_or_its_luma_taken(data_dir):
    path = data_dir / "instruments" / "test_rgba16.tif"
    with pytest.raises(ReadError, match="colour='luminance'"):
        read_image(path)
    image = read_image(path, colour="luminance")
    assert (image.pixels.shape, image.pixels.dtype, image.n_pages) == ((128, 128), np.uint16, 3)


def test_bars_of_metaldam_are_found_and_the_cut_pictures_left_alone(data_dir):
    for path in sorted((data_dir / "metaldam" / "with_infobar").iterdir()):
        image = read_image(path)
        assert image.info_bar_rows == slice(718, 768)
        cut = np.asarray(Pillow.open(data_dir / "metaldam" / "images" / f"{path.stem}.png").convert("L"))
        assert image.field_rows.stop >= len(cut)
        # The dataset's authors cut 15 rows more; what both keep is the same field, within JPEG's losses.
        assert np.abs(image.pixels[: len(cut)].astype(int) - cut).mean() < 3


@pytest.mark.parametrize(
    "folder", ["ebc", "super", "b2", "powder", "spheroidite", "perovskite", "metaldam/images"]
)
def test_pictures_without_a_bar_have_none(data_dir, folder):
    root = data_dir / folder
    images = root / "images" if (root / "images").is_dir() else root
    paths = [p for p in sorted(images.iterdir()) if p.suffix in (".png", ".jpg", ".tif")]
    assert paths
    for path in paths:
        image = read_image(path)
        assert image.info_bar_rows is None, path.name
        assert image.pixel_size_nm is None, path.name  # 96 dpi and boxes in a .txt are no scale
        assert image.pixels.dtype == np.uint8
