"""Vendors' metadata, each in a file laid out as its program writes it: scale, cross-check, info bar, keys."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from wootz.errors import ReadError
from wootz.readers import read_image
from wootz.readers.findings import NORMALISED_KEYS
from wootz.readers.text import iso_date, length_nm, magnification, number, parse_ini, voltage_kv


def fei_text(*, pixel="2e-08", width=128, height=80, hfw=None, extra="") -> str:
    hfw = hfw or float(pixel) * width
    return (
        "[User]\r\nDate=06/13/2016\r\nTime=05:06:40 PM\r\n[System]\r\nSystemType=Helios\r\n"
        "[Beam]\r\nHV=5000\r\nBeam=EBeam\r\nScan=EScan\r\n[EBeam]\r\nHV=5000\r\nWD=0.004\r\n"
        f"[Scan]\r\nPixelWidth={pixel}\r\nPixelHeight=3e-08\r\nHorFieldsize={hfw}\r\n"
        "[Stage]\r\nStageX=0.001\r\nStageY=-0.002\r\nStageZ=0.003\r\nStageT=0.5235987756\r\n"
        f"[Image]\r\nResolutionX={width}\r\nResolutionY={height}\r\nMagCanvasRealWidth=0.128\r\n"
        f"[Detectors]\r\nName=ETD\r\nMode=SE\r\n{extra}"
    )


@pytest.mark.parametrize("tag", [34680, 34682])
def test_fei_tags(write_tiff, specimen, tag):
    image = read_image(write_tiff(specimen(96, 128, dtype=np.uint16), {tag: fei_text()}))
    assert image.pixel_size_nm == pytest.approx((30.0, 20.0))  # row from PixelHeight, column from PixelWidth
    assert image.pixel_size_source == f"FEI tag {tag} Scan.PixelWidth"
    assert image.info_bar_rows == slice(80, 96)  # 96 rows in the file, 80 of specimen
    assert image.pixels.dtype == np.uint16
    keys = {key: image.metadata[key] for key in NORMALISED_KEYS}
    assert keys == {
        "instrument": "Helios", "hv_kv": 5.0, "wd_mm": 4.0, "detector": "ETD SE",
        "magnification": pytest.approx(0.128 / (2e-8 * 128)), "date": "2016-06-13T17:06:40",
        "stage_x_mm": 1.0, "stage_y_mm": -2.0, "stage_z_mm": 3.0, "tilt_deg": pytest.approx(30.0),
    }  # fmt: skip
    assert image.metadata["raw"]["Thermo Fisher / FEI"]["Image"]["ResolutionY"] in (80, "80")


def test_fei_trailer_of_old_quanta(write_tiff, specimen):
    trailer = fei_text().replace("\r\n", "\r").encode()
    image = read_image(write_tiff(specimen(), trailer=trailer))
    assert image.pixel_size_nm == pytest.approx((30.0, 20.0))
    assert image.pixel_size_source == "FEI trailer Scan.PixelWidth"


def test_fei_without_scan_uses_the_field_width_of_its_beam(write_tiff, specimen):
    text = (
        "[User]\nDate=1.1.2020\n[Beam]\nBeam=IRBeam\n[IRBeam]\nHFW=0.256\nVFW=0.16\n"
        "[Image]\nResolutionX=128\nResolutionY=80\n"
    )
    image = read_image(write_tiff(specimen(96), {34682: text}))
    assert image.pixel_size_nm == pytest.approx((0.16 / 80 * 1e9, 0.256 / 128 * 1e9))
    assert image.pixel_size_source == "FEI tag 34682 IRBeam.HFW / Image.ResolutionX"


def test_fei_without_any_width_is_unknown_never_one(write_tiff, specimen):
    image = read_image(write_tiff(specimen(96), {34682: "[User]\nDate=\n[Beam]\nHV=notafloat\n"}))
    assert image.pixel_size_nm is None
    assert image.pixel_size_source == ""
    assert image.metadata["hv_kv"] is None
    assert any("scale unknown" in note for note in image.notes)


@pytest.mark.parametrize("hfw", [2e-8 * 128 * 2, 2e-8 * 128 * 0.97])
def test_contradiction_is_refused_or_unknown(write_tiff, specimen, hfw):
    path = write_tiff(specimen(), {34682: fei_text(hfw=hfw)})
    with pytest.raises(ReadError, match=r"contradict.*scale='unknown'"):
        read_image(path)
    image = read_image(path, scale="unknown")
    assert image.pixel_size_nm is None
    assert any("contradict" in note for note in image.notes)


def test_small_rounding_is_no_contradiction(write_tiff, specimen):
    image = read_image(write_tiff(specimen(), {34682: fei_text(hfw=2e-8 * 128 * 1.015)}))
    assert image.pixel_size_nm == pytest.approx((30.0, 20.0))


def test_cropped_fei_picture_is_noticed(write_tiff, specimen):
    with pytest.raises(ReadError, match="cropped or resized"):
        read_image(write_tiff(specimen(96, 64), {34682: fei_text()}))


def test_cropped_fei_picture_without_field_width_is_noticed(write_tiff, specimen):
    text = fei_text().replace("HorFieldsize", "Other")
    with pytest.raises(ReadError, match="ResolutionX 128 against a file 64 px"):
        read_image(write_tiff(specimen(96, 64), {34682: text}))


def test_fei_databar_height_counts_without_resolution(write_tiff, specimen):
    text = fei_text(extra="[PrivateFei]\r\nDatabarHeight=12\r\n").replace("ResolutionY", "Other")
    assert read_image(write_tiff(specimen(), {34682: text})).info_bar_rows == slice(84, 96)


def zeiss_text(*, image_pixel_size="", reference=5e-9, width_um=None, pixel_size="5.000 nm") -> str:
    unnamed = "\r\n".join(["0", "0", "0", f"{reference:.6e}", "5.000000e+004", "6", "5.000000e+003", "2.309"])
    lines = [f"AP_PIXEL_SIZE\r\nPixel Size = {pixel_size}"]
    if image_pixel_size:
        lines.append(f"AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = {image_pixel_size}")
    if width_um:
        lines.append(f"AP_WIDTH\r\nWidth = {width_um} µm")
    lines += [
        "AP_WD\r\nWD = 3.9 mm", "AP_MAG\r\nMag = 50.00 K X", "AP_ACTUALKV\r\nEHT = 5.00 kV",
        "DP_DETECTOR_TYPE\r\nDetector = InLens", "AP_DATE\r\nDate :25 Sep 2018", "AP_TIME\r\nTime :8:20:42",
        "AP_STAGE_AT_X\r\nStage at X = 62.9961 mm", "AP_STAGE_AT_T\r\nStage at T = 54.0 °",
        "SV_SERIAL_NUMBER\r\nSerial No. = ULTRA 55",
    ]  # fmt: skip
    return unnamed + "\r\n" + "\r\n".join(lines) + "\r\n"


@pytest.mark.parametrize(("width", "expected"), [(1024, 5.0), (512, 10.0), (2048, 2.5), (3072, 5 / 3)])
def test_zeiss_scale_follows_the_width_of_the_file(write_tiff, specimen, width, expected):
    """AP_PIXEL_SIZE says 5 nm in each of these files and is right in the first alone (HyperSpy 2056)."""
    image = read_image(write_tiff(specimen(40, width), {34118: zeiss_text(width_um=5.12)}))
    assert image.pixel_size_nm == pytest.approx((expected, expected))
    assert "unnamed[3]" in image.pixel_size_source


@pytest.mark.parametrize(
    ("written", "nm"), [("12.33 nm", 12.33), ("1.117 µm", 1117.0), ("850.0 pm", 0.85), ("2.5 mm", 2.5e6)]
)
def test_zeiss_image_pixel_size_with_its_unit(write_tiff, specimen, written, nm):
    image = read_image(write_tiff(specimen(40, 64), {34118: zeiss_text(image_pixel_size=written)}))
    assert image.pixel_size_nm == pytest.approx((nm, nm))
    assert image.pixel_size_source.endswith("AP_IMAGE_PIXEL_SIZE")


def test_zeiss_resized_picture_is_noticed(write_tiff, specimen):
    text = zeiss_text(image_pixel_size="5 nm", width_um=5.12)
    with pytest.raises(ReadError, match=r"AP_IMAGE_PIXEL_SIZE gives 5 nm .* AP_WIDTH 5.12 um over 512 px"):
        read_image(write_tiff(specimen(40, 512), {34118: text}))


def test_zeiss_block_after_an_empty_line(write_tiff, specimen):
    image = read_image(write_tiff(specimen(40, 512), {34118: "\r\n" + zeiss_text()}))
    assert image.pixel_size_nm == pytest.approx((10.0, 10.0))


def test_zeiss_keys(write_tiff, specimen):
    meta = read_image(write_tiff(specimen(40, 1024), {34118: zeiss_text()})).metadata
    assert (meta["hv_kv"], meta["wd_mm"], meta["magnification"]) == (5.0, 3.9, 50000.0)
    assert (meta["detector"], meta["instrument"], meta["date"]) == (
        "InLens",
        "Zeiss ULTRA 55",
        "2018-09-25T08:20:42",
    )
    assert (meta["stage_x_mm"], meta["tilt_deg"]) == (pytest.approx(62.9961), 54.0)


TESCAN = (
    "[MAIN]\r\nDate=2015-04-24\r\nTime=10:11:12\r\nDevice=MIRA3 LMH\r\nImageStripSize=16\r\n"
    "Magnification=5000.0\r\n"
    "PixelSizeX=1.5e-08\r\nPixelSizeY=1.6e-08\r\nViewFieldsCountX=1\r\nViewFieldsCountY=1\r\n"
    "[SEM]\r\nDetector=SE\r\nHV=15000.0\r\nWD=0.00996\r\nStageX=0.0012\r\nStageTilt=70.0\r\n"
)


def check_tescan(image):
    assert image.pixel_size_nm == pytest.approx((16.0, 15.0))
    assert image.info_bar_rows == slice(80, 96)
    meta = image.metadata
    assert (meta["hv_kv"], meta["wd_mm"], meta["detector"]) == (15.0, pytest.approx(9.96), "SE")
    assert (meta["instrument"], meta["date"], meta["tilt_deg"]) == ("MIRA3 LMH", "2015-04-24T10:11:12", 70.0)
    assert (meta["stage_x_mm"], meta["magnification"]) == (pytest.approx(1.2), 5000.0)


def test_tescan_tag_behind_its_thumbnail(write_tiff, specimen):
    keys = TESCAN.replace("[MAIN]\r\n", "").replace("[SEM]\r\n", "").replace("\r\n", "\0")
    thumbnail = b"\xff\xd8\xff\xe0PixelSizeX=9.0\0 random \x9d\x01=\x02\xff\xd9"
    image = read_image(write_tiff(specimen(), {50431: thumbnail + keys.encode()}))
    check_tescan(image)
    assert image.pixel_size_source == "Tescan tag 50431 PixelSizeX"


@pytest.mark.parametrize("side", ["field-tif.hdr", "field.hdr", "field.HDR"])
def test_tescan_side_file(write_tiff, specimen, side):
    path = write_tiff(specimen())
    path.with_name(side).write_bytes(TESCAN.encode())
    image = read_image(path)
    check_tescan(image)
    assert image.pixel_size_source == f"Tescan side file {side} PixelSizeX"


def test_tescan_side_file_of_a_png(tmp_path, specimen):
    from PIL import Image as Pillow

    Pillow.fromarray(specimen()).save(tmp_path / "a.b.png")
    (tmp_path / "a.b-png.hdr").write_bytes(TESCAN.replace("CountX=1", "CountX=2").encode())
    image = read_image(tmp_path / "a.b.png")
    check_tescan(image)
    assert "the picture holds 2 x 1 view fields side by side" in image.notes


def jeol_text(*, marker="1um", bar=64, full="128 80", extra="") -> str:
    return (
        "$SEM_DATA_VERSION 1\r\n$CM_LABEL JEOL\r\n$CM_DATE 2019/04/24\r\n$CM_TIME 10:11:12\r\n"
        "$CM_INSTRUMENT JSM-7800F\r\n$CM_ACCEL_VOLT 15.00\r\n$CM_MAG 7500\r\n$CM_SIGNAL LED\r\n"
        f"$CM_FULL_SIZE {full}\r\n$CM_STAGE_POS 12.044 0.704 10.2 11.0 5.0 0\r\n$$SM_WD 10.1\r\n"
        f"$$SM_MICRON_BAR {bar}\r\n$$SM_MICRON_MARKER {marker}\r\n{extra}"
    )


@pytest.mark.parametrize(("marker", "nm"), [("1um", 1e3), ("100nm", 100.0), ("10\xb5m", 1e4), ("0.5mm", 5e5)])
def test_jeol_side_file(write_tiff, specimen, marker, nm):
    path = write_tiff(specimen())
    path.with_suffix(".txt").write_bytes(jeol_text(marker=marker).encode("cp1252"))
    image = read_image(path)
    assert image.pixel_size_nm == pytest.approx((nm / 64, nm / 64))
    assert image.pixel_size_source == "JEOL side file field.txt SM_MICRON_MARKER / SM_MICRON_BAR"
    assert image.info_bar_rows == slice(80, 96)
    meta = image.metadata
    assert (meta["hv_kv"], meta["wd_mm"], meta["detector"], meta["magnification"]) == (
        15.0,
        10.1,
        "LED",
        7500.0,
    )
    assert (meta["stage_x_mm"], meta["stage_z_mm"], meta["tilt_deg"]) == (12.044, 10.2, 5.0)
    assert (meta["instrument"], meta["date"]) == ("JSM-7800F", "2019-04-24T10:11:12")


def test_jeol_resized_picture_is_noticed(write_tiff, specimen):
    path = write_tiff(specimen())
    path.with_suffix(".txt").write_text(jeol_text(full="1280 960"))
    with pytest.raises(ReadError, match="CM_FULL_SIZE 1280 px against a file 128 px"):
        read_image(path)


def test_jeol_field_of_view_is_finer_than_the_bar(write_tiff, specimen):
    path = write_tiff(specimen())
    path.with_suffix(".TXT").write_text(
        jeol_text(extra="$CM_FIELD_OF_VIEW 2.016µm 1.26µm\r\n"), encoding="utf-8"
    )
    image = read_image(path)
    assert image.pixel_size_nm == pytest.approx((15.75, 15.75))  # 1 um / 64 px = 15.6, a whole number of px
    assert image.pixel_size_source.endswith("CM_FIELD_OF_VIEW")
    path.with_suffix(".TXT").write_text(
        jeol_text(extra="$CM_FIELD_OF_VIEW 4.0µm 2.5µm\r\n"), encoding="utf-8"
    )
    with pytest.raises(ReadError, match="micron bar of 64 px"):
        read_image(path)


def hitachi_text(extra="PixelSize=24.80469\r\n", data_size="128x96") -> str:
    return (
        "[SemImageFile]\r\nInstructName=SU8000\r\nSerialNumber=8012345\r\nDate=12/17/2014\r\nTime=13:04:14\r\n"
        f"ImageName=field.tif\r\nDataSize={data_size}\r\n{extra}SignalName=SE(U)\r\n"
        "AcceleratingVoltage=15000 Volt\r\nMagnification=4000\r\nWorkingDistance=8100 um\r\n"
        "StagePositionX=56125000\r\nStagePositionY=1000000\r\nStagePositionT=2.5\r\n"
    )


@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
def test_hitachi_side_file(write_tiff, specimen, encoding):
    path = write_tiff(specimen())
    path.with_suffix(".txt").write_bytes(hitachi_text().encode(encoding))
    image = read_image(path)
    assert image.pixel_size_nm == pytest.approx((24.80469, 24.80469))
    # Hitachi's own magnification refers to a photo of 127 mm: an independent statement of this layout.
    assert image.pixel_size_nm[1] == pytest.approx(127e6 / 4000 / 1280, rel=1e-6)
    assert image.pixel_size_source == "Hitachi side file field.txt PixelSize"
    meta = image.metadata
    assert (meta["hv_kv"], meta["wd_mm"], meta["detector"], meta["magnification"]) == (
        15.0,
        8.1,
        "SE(U)",
        4000.0,
    )
    assert (meta["stage_x_mm"], meta["stage_y_mm"], meta["tilt_deg"]) == (pytest.approx(56.125), 1.0, 2.5)
    assert (meta["instrument"], meta["date"]) == ("SU8000", "2014-12-17T13:04:14")


def test_hitachi_magnification_alone_is_no_scale(write_tiff, specimen):
    path = write_tiff(specimen())
    path.with_suffix(".txt").write_text(hitachi_text(extra=""))
    image = read_image(path)
    assert image.pixel_size_nm is None
    assert any("no PixelSize" in note for note in image.notes)


def test_hitachi_resized_picture_is_noticed(write_tiff, specimen):
    path = write_tiff(specimen())
    path.with_suffix(".txt").write_text(hitachi_text(data_size="1280x960"))
    with pytest.raises(ReadError, match="DataSize 1280 px against a file 128 px"):
        read_image(path)


def test_a_text_of_another_kind_is_left_alone(write_tiff, specimen):
    path = write_tiff(specimen())
    path.with_suffix(".txt").write_text(
        "0 0.350588 0.500519 0.078431 0.998963\n"
    )  # boxes of an annotation tool
    image = read_image(path)
    assert (image.pixel_size_nm, image.vendor) == (None, "")


PHENOM = (
    '<?xml version="1.0"?><FeiImage version="2"><databarHeight>16</databarHeight>'
    '<pixelWidth unit="um">0.0694952</pixelWidth><pixelHeight unit="nm">70.5</pixelHeight>'
    '<workingDistance unit="mm">6.1</workingDistance><instrument><type>Phenom</type>'
    "<edition>G4 Phenom ProX</edition></instrument><acquisition><scan><detector>BSD</detector>"
    '<highVoltage unit="kV">-15</highVoltage></scan></acquisition></FeiImage>'
)


def check_phenom(image):
    assert image.pixel_size_nm == pytest.approx((70.5, 69.4952))
    assert image.info_bar_rows == slice(80, 96)
    meta = image.metadata
    assert (meta["hv_kv"], meta["wd_mm"], meta["detector"]) == (15.0, 6.1, "BSD")
    assert meta["instrument"] == "G4 Phenom ProX"


def test_phenom_tag_and_jpeg(write_tiff, specimen, tmp_path):
    from PIL import Image as Pillow

    check_phenom(read_image(write_tiff(specimen(), {34683: PHENOM})))
    jpeg = tmp_path / "phenom.jpg"
    Pillow.fromarray(specimen()).save(jpeg)
    jpeg.write_bytes(jpeg.read_bytes() + PHENOM.encode())
    check_phenom(read_image(jpeg))


@pytest.mark.parametrize(
    "xml", [PHENOM.replace("FeiImage version", "FeiImage <"), PHENOM.replace(' unit="um"', "")]
)
def test_phenom_without_a_sure_unit_is_unknown(write_tiff, specimen, xml):
    assert read_image(write_tiff(specimen(), {34683: xml})).pixel_size_nm is None


@pytest.mark.parametrize(
    ("unit", "per_unit", "nm"),
    [("micron", 5.928571, 168.6747), ("nm", 0.5, 2.0), ("\\u00B5m", 2.0, 500.0), ("mm", 4000.0, 250.0)],
)
def test_imagej_scale(tmp_path, specimen, unit, per_unit, nm):
    path = tmp_path / "ij.tif"
    resolution = (round(per_unit * 1e6), 1000000)
    tifffile.imwrite(
        path,
        specimen(),
        description=f"ImageJ=1.53\nunit={unit}\n",
        resolution=(resolution, resolution),
        metadata=None,
    )
    assert read_image(path).pixel_size_nm == pytest.approx((nm, nm), rel=1e-6)


@pytest.mark.parametrize(("unit", "per_unit"), [("inch", 72.0), ("pixel", 1.0), ("cm", 28.35), ("", 3.0)])
def test_imagej_without_a_physical_unit_is_unknown(tmp_path, specimen, unit, per_unit):
    path = tmp_path / "ij.tif"
    tifffile.imwrite(
        path,
        specimen(),
        description=f"ImageJ=1.53\nunit={unit}\n",
        resolution=(per_unit, per_unit),
        metadata=None,
    )
    assert read_image(path).pixel_size_nm is None


@pytest.mark.parametrize("dpi", [1, 72, 96, 300, 600, 1200, 9600])
def test_print_resolution_is_no_scale(tmp_path, specimen, dpi):
    from PIL import Image as Pillow

    tifffile.imwrite(tmp_path / "a.tif", specimen(), resolution=(dpi, dpi), resolutionunit="INCH")
    Pillow.fromarray(specimen()).save(tmp_path / "a.png", dpi=(dpi, dpi))
    Pillow.fromarray(specimen()).save(tmp_path / "a.jpg", dpi=(dpi, dpi))
    for name in ("a.tif", "a.png", "a.jpg"):
        assert read_image(tmp_path / name).pixel_size_nm is None


def test_resolution_finer_than_any_printer_is_a_scale(tmp_path, specimen):
    tifffile.imwrite(
        tmp_path / "a.tif", specimen(), resolution=((7038270, 1), (3519135, 1)), resolutionunit="CENTIMETER"
    )
    image = read_image(tmp_path / "a.tif")
    assert image.pixel_size_nm == pytest.approx((1e7 / 3519135, 1e7 / 7038270))
    assert image.pixel_size_source.startswith("resolution tags")


def test_impossible_scale_is_unknown(write_tiff, specimen):
    image = read_image(write_tiff(specimen(40, 64), {34118: zeiss_text(image_pixel_size="3 fm")}))
    assert image.pixel_size_nm is None
    assert any("no microscope" in note for note in image.notes)


def test_numbers_units_and_dates():
    assert length_nm("5um") == 5000.0
    assert length_nm("5,3 um") is None  # decimal comma or thousand: nobody knows
    assert length_nm("0") is None
    assert length_nm(-3.0, "nm") is None
    assert length_nm(3.0, "furlong") is None
    assert number("nan") is None
    assert number(float("inf")) is None
    assert number(True) is None
    assert voltage_kv("15000 Volt") == 15.0
    assert voltage_kv("15 kV") == 15.0
    assert [magnification(m) for m in ("10.00 K X", 105, "x15.0k", "", None)] == [
        10000.0,
        105.0,
        15000.0,
        None,
        None,
    ]
    assert iso_date("06/13/2016") == "2016-06-13"
    assert iso_date("13/06/2016") == "2016-06-13"
    assert iso_date("06/05/2016", "10:00") == "06/05/2016 10:00"  # American or European: left as it stands
    assert iso_date("") is None
    assert parse_ini("a=1\r[B]\rc = 2 = 3\r\n") == {"": {"a": "1"}, "B": {"c": "2 = 3"}}
