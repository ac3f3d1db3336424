"""On rendered tiles: exactly what clusters follow is flagged, and the remedy is measured for what it is.

Features are made by hand (grey histograms, local binary patterns). The tiles show three phases of rendered
coatings that differ in texture alone: their mean grey is taken out, and put back as each case needs it.
"""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from wootz.archive import Archive
from wootz.clustering import associate, dominant_class, kmeans
from wootz.clustering.badges import badges
from wootz.clustering.coding import Coded, code_factor
from wootz.clustering.remedies import goes_with, try_remedies
from wootz.clustering.survey import survey_factors
from wootz.clustering.truth import agreement
from wootz.factors import BRIGHTNESS, Factor
from wootz.fields import NewField
from wootz.samescale import SameScale
from wootz.synthetic import build_recipe, compose, draw
from wootz.synthetic.recipe import Spread, at

pytestmark = pytest.mark.slow  # twelve fields are rendered at three magnifications
TILE, N_FIELDS, N_EACH = 32, 12, 4
PHASES = {0: "resin", 1: "Fe2Al5", 3: "steel"}
TEXTURES = {"resin": (0.03, 2.0), "Fe2Al5": (0.10, 0.35), "steel": (0.07, 1.0)}  # amplitude, length in µm


def recipe():
    """Take inclusions and grains out of the demo's recipe, and let the phases differ in texture only."""
    known = build_recipe("coating-demo")
    looks = [
        replace(
            look,
            se_level=Spread(0.44, 0.54),
            texture=at(TEXTURES[look.phase][0]),
            texture_um=TEXTURES[look.phase][1],
        )
        if look.phase in TEXTURES
        else look
        for look in known.looks
    ]
    still = {name: at(0.0) for name in ("scratches", "charging", "shading", "brightness")}
    imaging = replace(known.imaging, dose_e_per_px=at(3000.0), contrast=at(1.0), gamma=at(1.0), **still)
    return replace(known, looks=looks, imaging=imaging, inclusions=[], grains=[])


class Tiles:
    """Tiles of `N_FIELDS` fields with four of each phase, their mean grey taken out."""

    def __init__(self, zooms):
        rng, made = np.random.default_rng(0), recipe()
        side = 288 * made.pixel_um
        pixels, phases, windows = [], [], []
        for i in range(N_FIELDS):
            scene = compose(made, i, seed=5, width_um=side, height_um=side)
            drawn = draw(scene, pixel_um=made.pixel_um / zooms[i])
            steps = range(0, len(drawn.image) - TILE + 1, TILE)
            for k, name in PHASES.items():
                pure = [
                    (r, c)
                    for r in steps
                    for c in steps
                    if (drawn.class_mask[r : r + TILE, c : c + TILE] == k).mean() > 0.97
                ]
                for j in sorted(rng.permutation(len(pure))[:N_EACH]):
                    r, c = pure[j]
                    pixels.append(drawn.image[r : r + TILE, c : c + TILE] / 255)
                    phases.append(name)
                    windows.append((r, c, TILE, TILE))
        pixels = np.array(pixels, np.float32)
        self.flat = pixels - pixels.mean(axis=(1, 2), keepdims=True) + 0.5
        self.phase, self.windows = np.array(phases, object), np.array(windows)
        self.image = np.repeat(np.arange(N_FIELDS), N_EACH * len(PHASES))
        self.magnification = 1000.0 * np.asarray(zooms)[self.image]


@pytest.fixture(scope="module")
def alike():
    return Tiles([1.0, 1.03] * (N_FIELDS // 2))


def grey_and_texture(pixels):
    from wootz.apps.handmade import grey_histogram, local_binary_patterns

    return np.concatenate([np.sqrt(grey_histogram(pixels)), local_binary_patterns(pixels)], axis=1)


def texture(pixels):
    from wootz.apps.handmade import local_binary_patterns

    return local_binary_patterns(pixels)


def examine(tiles, pixels, *, features):
    """Cluster, survey and try remedies as `wootz cluster` does; instrument and specimen are random."""
    rng = np.random.default_rng(0)
    everywhere = np.ones(len(pixels), bool)
    order = rng.permutation(tiles.image.max() + 1)
    of_image = {"instrument": order % 2, "specimen": order // 2 % 3}
    factors = [
        Factor(name, v.astype(str).astype(object)[tiles.image], everywhere) for name, v in of_image.items()
    ]
    factors.append(Factor(BRIGHTNESS, pixels.mean(axis=(1, 2)).astype(float), everywhere))
    factors.append(Factor("magnification", np.log(tiles.magnification), everywhere, "x", is_log=True))
    coded = [code_factor(f) for f in factors]

    def refit(x):
        return kmeans(x, 3, rng=np.random.default_rng(0), n_init=10).labels

    made = features(pixels)
    labels = refit(made)
    place = {"images": tiles.image, "windows": tiles.windows}
    strata = np.unique(
        np.stack([*of_image.values()])[:, tiles.image].astype(str), axis=1, return_inverse=True
    )[1].ravel()
    survey = survey_factors(labels, coded, strata=strata, rng=rng, n_permutations=499, **place)
    coded.append(Coded("image", tiles.image, tuple(map(str, range(tiles.image.max() + 1)))))
    followed = [c for c in coded if c.name in survey.followed]
    remedies = try_remedies(
        made, followed, labels=labels, refit=refit, strata=strata, rng=rng, truth=tiles.phase, **place
    )
    tied = {c.name for c in followed if goes_with(tiles.phase, c, images=tiles.image, rng=rng)}
    return survey, remedies, badges(survey), tied, agreement(labels, tiles.phase).ari


def test_nothing_is_flagged_where_clusters_follow_the_phases(alike):
    offset = np.random.default_rng(1).uniform(-0.2, 0.2, N_FIELDS)[alike.image]
    survey, _, given, _, ari = examine(alike, alike.flat + offset[:, None, None], features=texture)
    assert ari > 0.9
    assert survey.followed == []
    assert given == []


def test_brightness_that_dominates_is_flagged_and_taken_out(alike):
    offset = np.random.default_rng(1).uniform(-0.25, 0.25, N_FIELDS)[alike.image]
    pixels = alike.flat + offset[:, None, None]
    survey, remedies, given, tied, ari = examine(alike, pixels, features=grey_and_texture)
    assert ari < 0.5
    assert set(survey.followed) == {BRIGHTNESS, "image"}  # each image has a brightness of its own
    assert not tied
    assert {b.factor for b in given} == {BRIGHTNESS}
    assert {r.by for r in remedies} == {BRIGHTNESS, "image"}
    for remedy in remedies:
        assert remedy.is_halved
        assert remedy.keeps_classes
        assert remedy.ari_after > ari + 0.4


def test_brightness_that_goes_with_the_phase_is_flagged_and_its_remedy_called_harmful(alike):
    level = {"resin": -0.2, "Fe2Al5": 0.0, "steel": 0.2}
    offset = np.array([level[p] for p in alike.phase])
    offset += np.random.default_rng(1).normal(0, 0.02, len(offset))
    survey, remedies, _, tied, ari = examine(alike, alike.flat + offset[:, None, None], features=texture)
    assert ari > 0.9
    assert survey.followed == [BRIGHTNESS]
    assert tied == {BRIGHTNESS}
    by = {r.by: r for r in remedies}
    assert by[BRIGHTNESS].is_halved
    assert by[BRIGHTNESS].keeps_classes is False
    assert not by["image"].is_halved  # images hold all phases alike: nothing to take out
    assert by["image"].keeps_classes


def test_magnification_that_dominates_is_flagged_and_taken_out():
    tiles = Tiles([1.0, 3.0] * (N_FIELDS // 2))
    survey, remedies, given, tied, ari = examine(tiles, tiles.flat, features=texture)
    assert survey.followed == ["magnification"]
    assert not tied
    assert {b.factor for b in given} == {"magnification"}
    (remedy,) = remedies
    assert remedy.is_halved
    assert remedy.ari_after > ari + 0.2


def test_magnification_that_goes_with_the_phase_is_flagged_and_its_remedy_called_harmful(alike):
    tiles = copy(alike)
    tiles.image = 3 * alike.image + np.unique(alike.phase.astype(str), return_inverse=True)[1]  # a phase each
    tiles.magnification = np.where(alike.phase == "steel", 2000.0, 1000.0)
    survey, remedies, _, tied, ari = examine(tiles, tiles.flat, features=texture)
    assert ari > 0.9
    assert set(survey.followed) == {"magnification", "image"}
    assert tied == {"magnification"}
    for remedy in remedies:
        assert remedy.is_halved
        assert remedy.keeps_classes is False


def test_tiles_read_at_one_pixel_size_lose_their_magnification(tmp_path):
    made = recipe()
    side = 288 * made.pixel_um
    fields, masks = [], []
    for i in range(N_FIELDS):
        zoom = 1.0 + 2.0 * (i % 2)
        scene = compose(made, i, seed=5, width_um=side, height_um=side)
        drawn = draw(scene, pixel_um=made.pixel_um / zoom)
        size = {f"pixel_size_{axis}_nm": 1000 * made.pixel_um / zoom for axis in ("row", "col")}
        fields.append(NewField(drawn.image, {"file": f"{i}.tif", "pixel_size_source": "render", **size}))
        masks.append(drawn.class_mask)
    archive = Archive.create(tmp_path / "a")
    ids = archive.add_images(fields).image_ids
    archive.write_tiles(TILE, TILE)
    tiles = archive.tiles()
    phase, keep = np.full(len(tiles), "", object), []
    for i, image_id in enumerate(ids):
        rows = np.flatnonzero(tiles.frame.image_id == image_id)
        found = dominant_class(masks[i], tiles.frame.loc[rows, ["row", "col", "height", "width"]].to_numpy())
        phase[rows] = [PHASES.get(int(k), "") for k in found]
        for name in PHASES.values():  # equally many of each, or the composition would tell the magnification
            keep += np.random.default_rng(i).permutation(rows[phase[rows] == name])[:8].tolist()
    keep = np.sort(keep)
    tiles, phase = tiles.select(keep), phase[keep]
    size_nm = tiles.frame.pixel_size_row_nm.to_numpy()
    images = tiles.frame.image_id.to_numpy()
    coded = code_factor(Factor("pixel size", np.log(size_nm), np.ones(len(keep), bool), "nm", is_log=True))
    found = {}
    for name, pixels in {
        "as recorded": tiles.scaled(slice(None)),
        "one size": SameScale(tiles, size_nm.max()).scaled(np.arange(len(tiles))),
    }.items():
        # smoothed, since averaging down takes noise from the finer images alone, and texture shows it
        seen = texture(gaussian_filter(pixels, (0, 1.5, 1.5)))
        labels = kmeans(seen, 3, rng=np.random.default_rng(0), n_init=10).labels
        rng = np.random.default_rng(0)
        tested = associate(labels, coded, images=images, rng=rng, n_permutations=499)
        found[name] = (tested.adjusted, tested.p, agreement(labels, phase).ari)
    before, after = found["as recorded"], found["one size"]
    assert before[0] > 0.1
    assert before[1] <= 0.02
    assert after[0] < before[0] / 2
    assert after[2] > before[2] + 0.1
