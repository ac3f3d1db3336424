import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import uniform_filter

from wootz.boxmean import box_mean
from wootz.duplicates import (
    HASH_BITS,
    MAX_HASH_DISTANCE,
    MIN_CORRELATION,
    DuplicateFinder,
    fine_correlation,
    hash_distance,
    perceptual_hash,
)
from wootz.shrinking import shrink


@pytest.fixture
def field(make):
    return make.texture(1, (384, 512))


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def packed(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text), np.uint8)


def is_copy(one: np.ndarray, other: np.ndarray) -> bool:
    """Ask in both directions; they must agree."""
    answers = []
    for first, second in ((one, other), (other, one)):
        finder = DuplicateFinder({"first": first}.__getitem__)
        finder.add("first", perceptual_hash(first))
        answers.append(finder.find(perceptual_hash(second), lambda second=second: second) == "first")
    assert answers[0] == answers[1]
    return answers[0]


COPIES = {
    "JPEG 75": lambda f: as_jpeg(f, 75),
    "JPEG 50": lambda f: as_jpeg(f, 50),
    "brighter": lambda f: np.clip(f * 0.6 + 60.0, 0, 255).astype(np.uint8),
    "clipped": lambda f: np.clip((f - 128.0) * 1.5 + 138.0, 0, 255).astype(np.uint8),
    "gamma 2": lambda f: (255.0 * (f / 255.0) ** 2).astype(np.uint8),
    "12 bits": lambda f: f.astype(np.uint16) * 16 + 5,
    "half the size": lambda f: np.asarray(Image.fromarray(f).resize((256, 192), Image.Resampling.BOX)),
    "bar cut elsewhere": lambda f: f[:-9],
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found(field, name):
    assert is_copy(field, COPIES[name](field))


def test_16_bit_field_and_its_8_bit_version(make):
    recorded = make.texture(3, (384, 512), top=4095)
    low, high = np.percentile(recorded, [1, 99])
    shown = np.clip((recorded - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    assert is_copy(recorded, shown)


def layered(seed: int, make) -> np.ndarray:
    """Draw a cross-section: same layers and drawn bar in each, another grain."""
    image = 60.0 + 0.25 * make.texture(seed, (384, 512))
    image[120:200] += 90
    image[200:] += 50
    image[350:360, 400:500] = 255
    return np.clip(image, 0, 255).astype(np.uint8)


def test_neighbours_with_the_same_layout_are_not_copies(make):
    fields = [layered(seed, make) for seed in range(6)]
    for n, one in enumerate(fields):
        for other in fields[n + 1 :]:
            assert not is_copy(one, other)
            assert fine_correlation(one, other) < 0.15


def test_unlike_fields(make, field):
    assert not is_copy(field, make.texture(2, (384, 512)))
    assert not is_copy(field, np.roll(field, 40, axis=1))
    assert fine_correlation(field, field[:, :200]) == 0.0


def test_correlation_is_symmetric_and_ignores_grey_scale(make, field):
    noisy = np.clip(field + np.random.default_rng(0).normal(0, 25, field.shape), 0, 255).astype(np.uint8)
    assert fine_correlation(field, field) == pytest.approx(1.0)
    assert fine_correlation(field, noisy) == pytest.approx(fine_correlation(noisy, field))
    assert fine_correlation(field, noisy.astype(np.uint16) * 200) == pytest.approx(
        fine_correlation(field, noisy)
    )


def test_blank_and_tiny_fields_have_no_hash():
    assert perceptual_hash(np.full((64, 64), 7, np.uint8)) == ""
    assert perceptual_hash(np.zeros((16, 400), np.uint16)) == ""
    finder = DuplicateFinder({}.__getitem__)
    finder.add("blank", "")
    assert finder.find("", lambda: np.zeros((4, 4), np.uint8)) == ""


def test_distance_counts_bits(rng):
    hashes = rng.integers(0, 256, (50, HASH_BITS // 8), dtype=np.uint8)
    naive = [sum((int(a) ^ int(b)).bit_count() for a, b in zip(h, hashes[3], strict=True)) for h in hashes]
    assert hash_distance(hashes, hashes[3]).tolist() == naive


def test_nearest_original_wins_among_many(make, rng):
    fields = {f"i{n}": make.texture(n, (96, 128)) for n in range(100)}
    finder = DuplicateFinder(fields.__getitem__)
    for name, pixels in fields.items():
        finder.add(name, perceptual_hash(pixels))
    for name in ("i0", "i63", "i64", "i99"):
        copy = as_jpeg(fields[name], 80)
        assert finder.find(perceptual_hash(copy), lambda copy=copy: copy) == name


@pytest.mark.parametrize("size", [(60, 40), (9, 70), (40, 3)])
@pytest.mark.parametrize("box_px", [9, 33])
def test_box_mean_equals_scipy_and_a_plain_mean(rng, size, box_px):
    picture = rng.normal(100.0, 30.0, size).astype(np.float32)
    means = box_mean(picture, box_px)
    np.testing.assert_array_equal(means, uniform_filter(picture, box_px, mode="nearest"))
    padded = np.pad(picture, box_px // 2, mode="edge")
    assert means[2, 1] == pytest.approx(padded[2 : 2 + box_px, 1 : 1 + box_px].mean(), rel=1e-5)


@pytest.mark.parametrize(("size", "width"), [((37, 53), 11), ((40, 64), 64), ((5, 300), 7), ((64, 8), 20)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_shrink_equals_loops(rng, size, width, dtype):
    pixels = rng.integers(0, np.iinfo(dtype).max, size, dtype=dtype)
    small = shrink(pixels, width)
    n_cols = min(width, size[1])
    n_rows = max(1, round(size[0] * n_cols / size[1]))
    assert small.shape == (n_rows, n_cols)
    for i in range(n_rows):
        for j in range(n_cols):
            block = pixels[i * size[0] // n_rows : (i + 1) * size[0] // n_rows]
            block = block[:, j * size[1] // n_cols : (j + 1) * size[1] // n_cols]
            assert small[i, j] == pytest.approx(block.mean(dtype=np.float64), rel=1e-6)


@pytest.mark.realdata
def test_thresholds_hold_on_real_fields(data_dir):
    """All pairs within each set (neighbours of one specimen among them), and JPEG and 12-bit copies."""
    for name in ("ebc", "super", "metaldam", "powder", "spheroidite"):
        paths = sorted((data_dir / name / "images").iterdir())
        fields = [np.asarray(Image.open(path).convert("L")) for path in paths]
        hashes = np.array([packed(perceptual_hash(field)) for field in fields])
        for n, field in enumerate(fields):
            near = np.flatnonzero(hash_distance(hashes[n + 1 :], hashes[n]) <= MAX_HASH_DISTANCE) + n + 1
            for other in (*near, (n + 1) % len(fields)):
                assert fine_correlation(field, fields[other]) < MIN_CORRELATION / 2, (paths[n], paths[other])
            if n % 4 == 0:
                for copy in (as_jpeg(field, 75), field.astype(np.uint16) * 16):
                    distance = hash_distance(hashes[n : n + 1], packed(perceptual_hash(copy)))[0]
                    assert distance <= MAX_HASH_DISTANCE, paths[n]
                    assert fine_correlation(field, copy) >= MIN_CORRELATION, paths[n]
