"""Particles against naive loops, closed forms, and the border bias of the literature."""

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.spatial.distance import pdist

from wootz.measure import particles
from wootz.measure.particle import border_weights, size_distribution, weighted_quantiles
from wootz.measure.shapes import crofton_perimeter


def disks(centres, radii, shape):
    row, col = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for i, ((y, x), r) in enumerate(zip(centres, radii, strict=True), start=1):
        labels[(row - y) ** 2 + (col - x) ** 2 <= r * r] = i
    return labels


@pytest.fixture
def blobs(rng):
    return ndimage.gaussian_filter(rng.normal(size=(160, 200)), 4) > 0.04


def test_against_loops(blobs, rng):
    result = particles(blobs, rng=rng, min_area_px=5, fill_holes=False)
    labels, n = ndimage.label(blobs, structure=np.ones((3, 3)))
    naive = []
    for i in range(1, n + 1):
        points = np.argwhere(labels == i)
        if len(points) < 5:
            continue
        (r0, c0), (r1, c1) = points.min(0), points.max(0)
        cut = r0 == 0 or c0 == 0 or r1 == 159 or c1 == 199
        h, w = r1 - r0 + 1, c1 - c0 + 1
        weight = 0.0 if cut else 160 * 200 / ((160 - h - 1) * (200 - w - 1))
        naive.append((*points.mean(0), len(points), not cut, weight))
    assert result.n == len(naive)
    ours = result.table[["row", "col", "area_px", "inside", "weight"]].to_numpy(float)
    assert ours == pytest.approx(np.array(naive, float))
    assert result.n_inside == sum(row[3] for row in naive)
    assert result.density.value == pytest.approx(sum(row[4] for row in naive) / (160 * 200 / 1e6))
    ecd = 2 * np.sqrt(np.array([row[2] for row in naive]) / math.pi)
    assert result.table["ecd_px"].to_numpy() == pytest.approx(ecd)
    weights = np.array([row[4] for row in naive])
    assert result.mean_ecd.value == pytest.approx((weights * ecd).sum() / weights.sum())


def test_feret_max_against_all_pairs(blobs, rng):
    result = particles(blobs, rng=rng, min_area_px=30, fill_holes=False)
    labels, _ = ndimage.label(blobs, structure=np.ones((3, 3)))
    for row in result.table.itertuples():
        mask = (
            labels
            == labels[row.row0 : row.row1, row.col0 : row.col1][
                blobs[row.row0 : row.row1, row.col0 : row.col1]
            ].max()
        )
        points = np.argwhere(mask)
        if len(points) != row.area_px:
            continue  # another particle reaches into this box
        # between pixel centres it is shorter, between pixel corners longer
        longest = pdist(points).max()
        assert longest <= row.feret_max_px <= longest + math.sqrt(2) + 1e-9


@pytest.mark.parametrize("radius", [4, 8, 20])
def test_shape_of_disks(radius, rng):
    """Means over random places on the pixel grid."""
    rows = [
        particles(disks([rng.uniform(48, 52, 2)], [radius], (101, 101)), rng=rng, n_resamples=100).table
        for _ in range(40)
    ]
    mean = pd.concat(rows).mean()
    assert mean["ecd_px"] == pytest.approx(2 * radius, rel=0.01)
    assert mean["perimeter_px"] == pytest.approx(2 * math.pi * radius, rel=0.016)
    assert mean["feret_max_px"] == pytest.approx(2 * radius + 0.5, abs=0.5)
    assert mean["feret_min_px"] == pytest.approx(2 * radius, abs=0.5)
    assert mean["solidity"] > 0.95


def test_shape_of_a_rectangle(rng):
    mask = np.zeros((60, 90), bool)
    mask[20:30, 20:60] = True
    row = particles(mask, rng=rng).table.iloc[0]
    assert (row["area_px"], row["feret_min_px"]) == (400, pytest.approx(10))
    assert row["feret_max_px"] == pytest.approx(math.hypot(10, 40), rel=0.01)
    assert row["solidity"] == pytest.approx(1)


def test_border_weights_restore_the_mean_radius():
    """Published case, true mean radius 12.8: all objects 15.2, uncut ones 10.3, with weights 12.74."""
    rng = np.random.default_rng(11)
    side, frame, n = 128, 90, 400_000
    radii = np.minimum(rng.gamma(3.2, 12.8 / 3.2, n), 60)
    centres = rng.uniform(-frame, side + frame, (n, 2))  # wide enough that every disk that can reach is drawn
    low = np.ceil(centres - radii[:, None]).astype(int)
    high = np.floor(centres + radii[:, None]).astype(int) + 1
    hits = ((high > 0) & (low < side)).all(1)
    boxes = np.clip(np.column_stack([low, high])[hits], 0, side)
    table = pd.DataFrame(boxes, columns=["row0", "col0", "row1", "col1"])
    inside, weight = border_weights(table, np.ones((side, side), bool))
    seen = radii[hits]
    assert seen.mean() > 14
    assert seen[inside].mean() < 11.5
    restored = (seen * weight).sum() / weight.sum()
    assert restored == pytest.approx(radii.mean(), rel=0.01)
    assert weight.sum() == pytest.approx(n * side**2 / (side + 2 * frame) ** 2, rel=0.02)  # and the density


@pytest.mark.parametrize("pitch", [(1.0, 1.0), (2.0, 1.0), (1.0, 3.0)])
def test_crofton_perimeter_of_disks(pitch):
    row, col = np.mgrid[:200, :200]
    disk = ((row - 100) * pitch[0]) ** 2 + ((col - 100) * pitch[1]) ** 2 <= 80.0**2
    found = crofton_perimeter(disk.astype(np.uint32), height=pitch[0], width=pitch[1])
    assert found == pytest.approx([2 * math.pi * 80], rel=0.01)


def test_weights_with_ignored_pixels_count_the_places():
    rng = np.random.default_rng(2)
    mask = np.zeros((30, 40), bool)
    mask[10:14, 20:26] = True
    ignore = np.zeros_like(mask)
    ignore[22:26, 5:9] = True
    row = particles(mask, rng=rng, ignore=ignore).table.iloc[0]
    places = sum(
        not ignore[r - 1 : r + 5, c - 1 : c + 7].any() for r in range(1, 30 - 4) for c in range(1, 40 - 6)
    )
    assert row["weight"] == pytest.approx((30 * 40 - 16) / places)
    ignore[14, 22] = True
    assert not particles(mask, rng=rng, ignore=ignore).table.iloc[0]["inside"]


def test_units_and_density(blobs, rng):
    px = particles(blobs, rng=np.random.default_rng(0))
    nm = particles(blobs, rng=np.random.default_rng(0), pixel_size_nm=20.0)
    assert (px.unit, px.density_unit) == ("px", "1/Mpx")
    assert (nm.unit, nm.density_unit) == ("nm", "1/µm²")
    assert nm.mean_ecd.value == pytest.approx(20 * px.mean_ecd.value)
    assert nm.mean_ecd.ci_low == pytest.approx(20 * px.mean_ecd.ci_low)
    assert nm.density.value == pytest.approx(px.density.value / 1e6 / (20e-3) ** 2)
    assert nm.table["area_nm2"].to_numpy() == pytest.approx(px.table["area_px"].to_numpy() * 400)
    wide = particles(blobs, rng=np.random.default_rng(0), pixel_size_nm=20.0, pixel_size_rel_error=0.1)
    assert wide.density.half_width > nm.density.half_width
    assert wide.mean_ecd.half_width > nm.mean_ecd.half_width


def test_anisotropic_pixels(rng):
    row, col = np.mgrid[:100, :200]
    mask = ((row - 50) * 4.0) ** 2 + ((col - 100) * 2.0) ** 2 <= 120.0**2
    table = particles(mask, rng=rng, pixel_size_nm=(4.0, 2.0)).table.iloc[0]
    assert table["ecd_nm"] == pytest.approx(240, rel=0.01)
    assert table["feret_max_nm"] == pytest.approx(240, rel=0.03)
    assert table["feret_min_nm"] == pytest.approx(240, rel=0.03)
    assert table["perimeter_nm"] == pytest.approx(math.pi * 240, rel=0.02)


@pytest.mark.parametrize("move", [np.flipud, np.fliplr, np.transpose])
def test_flips_change_nothing(blobs, move):
    a, b = (particles(m, rng=np.random.default_rng(0)) for m in (blobs, move(blobs)))
    assert (b.n, b.n_inside) == (a.n, a.n_inside)
    assert b.mean_ecd.value == pytest.approx(a.mean_ecd.value)
    assert b.density.half_width == pytest.approx(a.density.half_width)
    assert sorted(b.table["feret_max_px"]) == pytest.approx(sorted(a.table["feret_max_px"]))


def test_within_a_phase(rng):
    labels = disks([(20, 20), (20, 60), (70, 40)], [6, 6, 6], (90, 90))
    within = np.zeros((90, 90), bool)
    within[:45] = True
    result = particles(labels, rng=rng, within=within)
    assert result.n == 2
    assert result.reference_area == pytest.approx(45 * 90 / 1e6)
    assert result.density.value == pytest.approx(2 * 90 * 90 / (90 - 14) ** 2 / (45 * 90 / 1e6))


def test_touching_instances_stay_apart(rng):
    labels = np.zeros((40, 40), np.int32)
    labels[10:20, 10:20], labels[10:20, 20:30] = 4, 9
    assert particles(labels, rng=rng).n == 2
    assert particles(labels > 0, rng=rng).n == 1


def test_holes_belong_or_not(rng):
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    mask[15:20, 15:20] = False
    assert particles(mask, rng=rng).table["area_px"].tolist() == [400]
    assert particles(mask, rng=rng, fill_holes=False).table["area_px"].tolist() == [375]


@pytest.mark.parametrize("mask", [np.zeros((20, 30), bool), np.zeros((0, 0), bool)])
def test_no_particles(mask, rng):
    result = particles(mask, rng=rng)
    assert (result.n, len(result.table)) == (0, 0)
    assert "ecd_px" in result.table
    assert math.isnan(result.mean_ecd.value)
    assert "fewer than two" in result.mean_ecd.reason
    assert size_distribution(result).empty


def test_none_seen_gives_the_poisson_limit(rng):
    density = particles(np.zeros((1000, 1000), bool), rng=rng, pixel_size_nm=1000.0).density
    assert (density.value, density.ci_low) == (0, 0)
    assert density.ci_high == pytest.approx(-math.log(0.05) / 1e6)  # about 3 per million µm²


def test_full_field_is_cut_and_large(rng):
    result = particles(np.ones((30, 30), bool), rng=rng)
    assert (result.n, result.n_inside) == (1, 0)
    assert math.isnan(result.mean_ecd.value)
    assert any("cut by the border" in note for note in result.notes)
    assert any("third of the field" in note for note in result.notes)


def test_one_pixel(rng):
    mask = np.zeros((30, 30), bool)
    mask[7, 9] = True
    assert particles(mask, rng=rng).n == 0
    row = particles(mask, rng=rng, min_area_px=1).table.iloc[0]
    assert (row["area_px"], row["row"], row["col"]) == (1, 7, 9)


@pytest.mark.parametrize("labels", [np.zeros((4, 4)), np.full((4, 4), -1), np.zeros(4, bool)])
def test_bad_labels_are_named(labels, rng):
    with pytest.raises(ValueError, match="labels must be"):
        particles(labels, rng=rng)


def test_weighted_quantiles_and_distribution(blobs, rng):
    x, w = rng.random(50), rng.integers(0, 4, 50).astype(float)
    repeated = np.sort(np.repeat(x, w.astype(int)))
    at = [repeated[math.ceil(q * repeated.size) - 1] for q in (0.1, 0.5, 0.9)]
    assert weighted_quantiles(x, w, (0.1, 0.5, 0.9)) == pytest.approx(at)
    result = particles(blobs, rng=rng)
    distribution = size_distribution(result, n_bins=7)
    assert distribution["frac"].sum() == pytest.approx(1)
    assert distribution["n"].sum() == result.n_inside


@pytest.mark.realdata
def test_precipitates_of_a_real_superalloy(data_dir):
    """The derived truth counts 4-connected pieces and every pixel; 8-connected ones may join a few."""
    from PIL import Image

    for truth in json.loads((data_dir / "super" / "derived_ground_truth.json").read_text())[::3]:
        mask = np.array(Image.open(data_dir / "super" / "masks" / f"{truth['image']}.png"))
        four, _ = ndimage.label(mask == 2)
        rng = np.random.default_rng(0)
        result = particles(four, rng=rng, min_area_px=1)
        assert result.n == truth["n_small"]
        assert result.table["ecd_px"].mean() == pytest.approx(truth["small_mean_eqdiam_px"], rel=1e-6)
        assert 0 <= truth["n_small"] - particles(mask == 2, rng=rng, min_area_px=1, fill_holes=False).n <= 4
        large = particles(mask == 1, rng=rng, min_area_px=1, fill_holes=False)
        assert 0 <= truth["n_large"] - large.n <= 1
        assert result.mean_ecd.value >= result.table.loc[result.table["inside"], "ecd_px"].mean()


def test_in_a_notebook():
    """DIPlib's viewer, loaded where OpenGL is installed, takes IPython's input hooks as loaded."""
    pytest.importorskip("IPython")
    code = """
import IPython, numpy as np
from wootz.measure import particles
mask = np.zeros((32, 32), bool)
mask[8:20, 8:20] = True
print(len(particles(mask, rng=np.random.default_rng(0), n_resamples=100).table))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"
