"""Burnt-in info bars: drawn ones are found to the row, specimens without one are left alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from wootz.readers import find_info_bar, read_image


def bar(height: int, width: int, *, style: str) -> np.ndarray:
    """A bar as microscopes draw it: text, a scale, separators; by style a frame or a line on top."""
    white = style in ("white", "framed")
    paper, ink = (243, 0) if white else (0, 255)
    picture = Pillow.new("L", (width, height), paper)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(9, min(height // 3, width // 40)))
    texts = ["200 nm", "EHT = 5.00 kV", "WD = 3.9 mm", "Mag = 50.00 K X", "SE2", "25 Sep 2018"]
    for i, text in enumerate(texts):
        draw.text((8 + i * width // len(texts), height // 4), text, fill=ink, font=font)
    draw.line((10, height * 3 // 4, 10 + width // 8, height * 3 // 4), fill=ink, width=2)
    if style == "framed":
        draw.rectangle((1, 0, width - 1, height - 2), outline=0)
    if style == "boxed":
        draw.rectangle((0, 0, width - 1, height - 1), outline=255)
        for x in range(width // 6, width, width // 6):
            draw.line((x, 0, x, height), fill=255)
    return np.asarray(picture)


def texture(
    height: int, width: int, rng: np.random.Generator, *, level: float = 110.0, noise: float = 18.0
) -> np.ndarray:
    coarse = rng.normal(0, 25, (height // 8 + 1, width // 8 + 1))
    field = np.kron(coarse, np.ones((8, 8)))[:height, :width]
    return np.clip(level + field + rng.normal(0, noise, (height, width)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("style", ["white", "framed", "black", "boxed"])
@pytest.mark.parametrize("size", [(384, 512), (768, 1024), (943, 1280)])
@pytest.mark.parametrize("fraction", [0.05, 0.09, 0.15])
def test_bar_is_found_to_the_row(rng, style, size, fraction):
    image = texture(*size, rng)
    n = max(24, round(size[0] * fraction))
    image[-n:] = bar(n, size[1], style=style)
    assert find_info_bar(image) == slice(size[0] - n, size[0])
    assert find_info_bar(image[::-1]) == slice(0, n)
    levels = (int(image.min()), int(image.max()))
    assert find_info_bar(image, levels) == slice(size[0] - n, size[0])
    assert find_info_bar(image[::-1], levels) == slice(0, n)
    field = image[:-n]
    assert find_info_bar(field, (int(field.min()), int(field.max()))) is None
    assert find_info_bar(image.astype(np.uint16) * 257) == slice(size[0] - n, size[0])
    assert find_info_bar(image.astype(np.uint16) * 16) == slice(size[0] - n, size[0])  # 12 of 16 bits


@pytest.mark.parametrize("style", ["white", "black", "boxed"])
@pytest.mark.parametrize("quality", [60, 90])
def test_bar_survives_jpeg(rng, style, quality):
    image = texture(768, 1024, rng)
    image[-64:] = bar(64, 1024, style=style)
    data = io.BytesIO()
    Pillow.fromarray(image).save(data, "JPEG", quality=quality)
    found = find_info_bar(np.asarray(Pillow.open(data)))
    assert found is not None
    assert abs(found.start - 704) <= 1  # compression may smear the edge over a row


@pytest.mark.parametrize("style", ["white", "framed", "black", "boxed"])
@pytest.mark.parametrize("level", [3.0, 250.0])
def test_bar_below_a_dark_or_bright_specimen(rng, style, level):
    image = texture(480, 640, rng, level=level)
    image[-48:] = bar(48, 640, style=style)
    assert find_info_bar(image) == slice(432, 480)


def test_framed_black_bar_below_pure_black(rng):
    image = np.zeros((471, 512), np.uint8)
    image[-29:] = bar(29, 512, style="boxed")
    assert find_info_bar(image) == slice(442, 471)


def test_row_of_specimen_below_the_frame_goes_with_the_bar(rng):
    image = texture(384, 512, rng)
    image[350:383] = bar(33, 512, style="framed")
    assert find_info_bar(image) == slice(350, 384)


def test_reader_cuts_where_the_picture_says(tmp_path, rng):
    image = texture(384, 512, rng)
    image[-32:] = bar(32, 512, style="black")
    Pillow.fromarray(image).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.info_bar_rows == slice(352, 384)
    assert read.field_rows == slice(0, 352)
    Pillow.fromarray(image[::-1].copy()).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").field_rows == slice(32, 384)


def vacuum(rng):  # saturated black below a specimen, without text
    image = texture(400, 500, rng)
    image[350:] = 0
    return image


def particles_on_black(rng):
    image = np.zeros((400, 500), np.uint8)
    rows, cols = np.mgrid[:400, :500]
    for _ in range(60):
        row, col, radius = rng.uniform(0, 400), rng.uniform(0, 500), rng.uniform(3, 14)
        distance = np.hypot(rows - row, cols - col)
        image[distance < radius] = (255 * (1 - (distance[distance < radius] / radius) ** 2 / 2)).astype(
            np.uint8
        )
    return image


def resin(rng):  # a quiet, even mounting resin below a cross-section
    image = texture(400, 500, rng)
    image[340:] = rng.normal(12, 2, (60, 500)).astype(np.uint8)
    return image


def pores_in_resin(rng):
    image = resin(rng)
    for _ in range(40):
        row, col = rng.integers(345, 395), rng.integers(5, 490)
        image[row : row + 3, col : col + 5] = rng.integers(60, 200)
    return image


def silent_resin_with_pores(rng):  # clipped to one grey level: only the text of a bar tells the two apart
    image = pores_in_resin(rng)
    image[340:][image[340:] < 40] = 12
    return image


def layers(rng):  # a coating whose layers run along the rows
    image = texture(400, 500, rng, noise=3)
    image[300:350] = 230
    image[350:] = 20
    return image


def binary(rng):
    return np.where(texture(400, 500, rng) > 110, 255, 0).astype(np.uint8)


def lamellae(rng):
    return np.tile(np.where(np.arange(500) % 20 < 9, 230, 30).astype(np.uint8), (400, 1))


def constant(rng):
    return np.full((400, 500), 77, np.uint8)


def gradient(rng):
    return np.tile(np.linspace(0, 255, 400)[:, None], (1, 500)).astype(np.uint8)


@pytest.mark.parametrize(
    "draw",
    [
        vacuum,
        particles_on_black,
        resin,
        pores_in_resin,
        silent_resin_with_pores,
        layers,
        binary,
        lamellae,
        constant,
        gradient,
    ],
    ids=lambda f: f.__name__,
)
def test_specimens_without_a_bar(rng, draw):
    for image in (draw(rng), draw(rng)[::-1], 255 - draw(rng)):
        assert find_info_bar(image) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    n_levels=st.integers(1, 256),
    wide=st.booleans(),
)
def test_any_picture_gives_rows_inside_it_or_none(seed, height, width, n_levels, wide):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, n_levels, (height, width)).astype(np.uint16 if wide else np.uint8)
    found = find_info_bar(image)
    assert found is None or 0 <= found.start < found.stop <= height
    assert n_levels < 3 or found is None  # noise is no bar
