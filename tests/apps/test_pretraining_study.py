"""How the study of pretraining judges features, and the features that nobody trains."""

import itertools

import numpy as np
import pytest

from wootz.apps.handmade import grey_histogram, local_binary_patterns, pixel_pca
from wootz.apps.studies.pretraining import (
    RIDGES,
    LeftOut,
    choose_ridge,
    judge_classes,
    judge_fractions,
    leave_images_out,
)
from wootz.apps.studies.tile_classes import phase_fractions
from wootz.archive import Archive
from wootz.classlists import read_classes
from wootz.fields import NewField

SPLITS = np.repeat(np.array(["train", "val", "test"], dtype=object), [60, 30, 30])
IMAGES = np.repeat(np.array([f"image {i}" for i in range(20)], dtype=object), 6)


def test_histogram_counts_each_level(rng):
    tiles = rng.uniform(-0.2, 1.2, (3, 8, 8)).astype(np.float32)
    found = grey_histogram(tiles, n_bins=4)
    for tile, row in zip(tiles, found, strict=True):
        edges = [-np.inf, 0.25, 0.5, 0.75, np.inf]
        expected = [((tile >= low) & (tile < high)).mean() for low, high in itertools.pairwise(edges)]
        np.testing.assert_allclose(row, expected)


def test_patterns_do_not_see_brightness_or_quarter_turns(rng):
    tiles = rng.uniform(0.2, 0.6, (4, 32, 32)).astype(np.float32)
    found = local_binary_patterns(tiles)
    assert found.shape == (4, 54)
    np.testing.assert_allclose(np.square(found).sum(axis=1), 3.0, rtol=1e-5)
    np.testing.assert_allclose(local_binary_patterns(tiles * 0.5 + 0.3), found, atol=0.06)
    turned = local_binary_patterns(np.ascontiguousarray(np.rot90(tiles, axes=(1, 2))))
    np.testing.assert_allclose(turned, found, atol=0.06)
    smooth = local_binary_patterns(np.broadcast_to(np.linspace(0, 1, 32, dtype=np.float32), (1, 32, 32)))
    assert np.abs(smooth - found[:1]).max() > 0.3


def test_components_keep_the_distances_of_few_tiles(rng):
    tiles = rng.random((6, 32, 32)).astype(np.float32)
    found = pixel_pca(tiles, n_components=5)
    assert found.shape == (6, 5)
    apart = np.linalg.norm((tiles[0] - tiles[1]).ravel())
    assert np.linalg.norm(found[0] - found[1]) == pytest.approx(apart, rel=1e-3)


def test_fractions_that_are_linear_in_the_features_are_found_and_noise_is_not(rng):
    fractions = rng.dirichlet(np.ones(3), 120)
    linear = (fractions @ rng.normal(size=(3, 8))).astype(np.float32)

    def judged(features):
        found = judge_fractions(features, fractions, splits=SPLITS, images=IMAGES)
        return found["score"], found["score_by_val"], found["score_cv"]

    assert min(judged(linear)) > 0.99
    assert max(judged(rng.normal(size=(120, 8)).astype(np.float32))) < 0.2
    fractions[:10] = np.nan
    assert min(judged(linear)) > 0.99


def test_what_only_names_the_image_predicts_no_image_that_is_left_out(rng):
    of_image = rng.dirichlet(np.ones(3), 20)[np.repeat(np.arange(20), 6)]
    names = np.eye(20, dtype=np.float32)[np.repeat(np.arange(20), 6)]
    assert leave_images_out(names, of_image, images=IMAGES).best_r_squared() < 0.05
    by_tile = np.random.default_rng(0).permutation(IMAGES)  # leaving tiles out instead would be fooled
    assert leave_images_out(names, of_image, images=by_tile).best_r_squared() > 0.9


def test_left_out_errors_are_those_of_a_plain_loop(rng):
    fractions = rng.dirichlet(np.ones(3), 120)
    features = (fractions @ rng.normal(size=(3, 8)) + rng.normal(0, 0.5, (120, 8))).astype(np.float32)
    found = leave_images_out(features, fractions, images=IMAGES)
    assert found.n_tiles.sum() == 120
    centred = (features - features.mean(axis=0)) / features.std(axis=0)
    gram = centred.T @ centred + RIDGES[4] * np.eye(8)
    fitted = centred @ np.linalg.solve(gram, centred.T @ (fractions - fractions.mean(axis=0)))
    in_sample = np.square((fitted + fractions.mean(axis=0)).clip(0, 1) - fractions).sum()
    assert in_sample < found.squared[4].sum() < 1.5 * in_sample  # left out, little worse than fitted
    assert found.of_mean.sum() == pytest.approx(np.square(fractions - fractions.mean(axis=0)).sum(), rel=0.1)


def test_ridge_is_the_strongest_within_one_standard_error():
    n_tiles = np.array([10, 20, 10, 20])
    errors = np.full((len(RIDGES), 4), 9.0)
    errors[3] = [1.0, 2.0, 3.0, 2.0]  # mean 2, standard error sqrt(2 / 3) / 2 = .408
    errors[5] = 2.40
    errors[6] = 2.42
    left_out = LeftOut(errors * n_tiles, np.full(4, 90.0), n_tiles)
    assert choose_ridge(left_out) == RIDGES[5]
    errors[5] = 2.42
    assert choose_ridge(LeftOut(errors * n_tiles, np.full(4, 90.0), n_tiles)) == RIDGES[3]


def test_val_chooses_and_test_is_only_scored(rng):
    labels = np.array(["a", "b"] * 60, dtype=object)
    features = rng.normal(0, 0.05, (120, 4)).astype(np.float32)
    features[labels == "b", 0] += 1.0
    features[:, 1] += 1.0
    judged = judge_classes(features, labels, splits=SPLITS)
    assert judged["score"] == judged["score_val"] == 1.0
    swapped = labels.copy()
    swapped[SPLITS == "test"] = np.where(labels[SPLITS == "test"] == "a", "b", "a")
    again = judge_classes(features, swapped, splits=SPLITS)
    assert again["score"] == 0.0
    assert (again["score_val"], again["choice"]) == (1.0, judged["choice"])


def test_fractions_of_tiles_are_those_of_their_windows(tmp_path):
    archive = Archive.create(tmp_path / "a")
    pixels = (np.indices((32, 48)).sum(axis=0) * 3).astype(np.uint8)
    ids = archive.add_images([NewField(pixels, {"file": "0.tif"}), NewField(pixels.T, {"file": "1.tif"})])
    archive.write_tiles(16, 16)
    archive.add_classes("s", read_classes("0:matrix,1:pore"))
    mask = np.zeros((32, 48), np.uint8)
    mask[:8, :16] = 1
    mask[16:, 32:] = 255
    archive.add_mask(ids.image_ids[0], mask, scheme="s", source="x")
    tiles = archive.tiles()
    found = phase_fractions(tiles, "s")
    frame = tiles.frame
    for row, tile in zip(found, frame.to_dict("records"), strict=True):
        if tile["image_id"] != ids.image_ids[0] or (tile["row"], tile["col"]) == (16, 32):
            assert np.isnan(row).all()
        elif (tile["row"], tile["col"]) == (0, 0):
            np.testing.assert_allclose(row, [0.5, 0.5])
        else:
            np.testing.assert_allclose(row, [1.0, 0.0])
