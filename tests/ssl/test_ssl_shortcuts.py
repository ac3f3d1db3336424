"""Shortcut probes: each planted factor is found and no other, noise tells nothing, scores are right."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from wootz.archive import Archive
from wootz.errors import WootzError
from wootz.fields import NewField
from wootz.ssl import ProbeConfig, probe
from wootz.ssl.folds import group_folds, halves_within
from wootz.ssl.grey_counts import grey_histogram
from wootz.ssl.shortcuts import RIDGE, probe_between, probe_within

N_IMAGES, N_TILES = 36, 12
FACTORS = ("specimen", "instrument", "pixel size", "brightness", "info bar", "origin")


def table(rng):
    """Draw tiles of images whose factors have nothing to do with each other."""
    image = np.repeat(np.arange(N_IMAGES), N_TILES)
    of_image = {
        "specimen": rng.permutation(np.arange(N_IMAGES) % 6).astype(str),
        "instrument": rng.permutation(np.arange(N_IMAGES) % 3).astype(str),
        "info bar": rng.permutation(np.arange(N_IMAGES) % 2).astype(str),
        "origin": rng.permutation(np.arange(N_IMAGES) % 2).astype(str),
        "pixel size": rng.normal(size=N_IMAGES),
    }
    values = {name: column[image] for name, column in of_image.items()}
    values["brightness"] = rng.normal(size=len(image))
    place = np.arange(len(image)) % N_TILES
    windows = np.stack([place // 3 * 32, place % 3 * 32, 0 * place + 32, 0 * place + 32], axis=1)
    return image, values, windows


def codes(values, rng, dim=4):
    """Give each class a random direction, or a number a line."""
    if values.dtype.kind == "f":
        return np.outer(values, rng.normal(size=dim))
    names, which = np.unique(values, return_inverse=True)
    return 2 * rng.normal(size=(len(names), dim))[which]


def told(features, image, values, windows, *, rng):
    strata = np.unique(
        np.stack([values[n] for n in FACTORS if n not in ("brightness", "pixel size")]),
        axis=1,
        return_inverse=True,
    )[1].ravel()
    found = {
        name: probe_between(features, values[name], groups=image, rng=rng, n_permutations=99)
        for name in FACTORS
    }
    halves = halves_within(image, windows)
    found["image"] = probe_within(
        features, image, halves=halves, strata=strata % 4, rng=rng, n_permutations=99
    )
    return {name for name, score in found.items() if score.is_told}


@pytest.mark.parametrize("planted", FACTORS)
def test_exactly_the_planted_factor_is_told(planted):
    rng = np.random.default_rng(FACTORS.index(planted))
    image, values, windows = table(rng)
    features = rng.normal(size=(len(image), 24))
    features[:, :4] += codes(values[planted], rng)
    strata = np.unique(np.stack([values["specimen"], values["instrument"]]), axis=1, return_inverse=True)[1]
    scores = {
        name: probe_between(features, values[name], groups=image, rng=rng, n_permutations=99)
        for name in FACTORS
    }
    assert {name for name, score in scores.items() if score.is_told} == {planted}
    assert scores[planted].score > 0.7
    if planted in (
        "specimen",
        "instrument",
        "brightness",
    ):  # known to the strata, or without a part of the image
        halves = halves_within(image, windows)
        image_score = probe_within(features, image, halves=halves, strata=strata, rng=rng, n_permutations=99)
        assert not image_score.is_told
        assert planted == "brightness" or image_score.score > 0.6  # what the factor alone tells of the image


def test_features_that_know_the_image_tell_it_and_nothing_of_other_images():
    rng = np.random.default_rng(0)
    image, values, windows = table(rng)
    features = rng.normal(size=(len(image), 40)) + codes(image.astype(str), rng, dim=40) / 2
    assert told(features, image, values, windows, rng=rng) == {"image"}


@pytest.mark.parametrize("seed", range(6))
def test_noise_tells_nothing(seed):
    rng = np.random.default_rng(100 + seed)
    image, values, windows = table(rng)
    features = rng.normal(size=(len(image), 32))
    assert told(features, image, values, windows, rng=rng) == set()


def test_noise_that_images_share_tells_the_image_alone():
    # shuffled tile by tile, chance would look narrower than it is and some factor would stand out
    for seed in range(4):
        rng = np.random.default_rng(200 + seed)
        image, values, windows = table(rng)
        features = rng.normal(size=(N_IMAGES, 8))[image] + 0.3 * rng.normal(size=(len(image), 8))
        assert told(features, image, values, windows, rng=rng) == {"image"}


def test_too_few_images_are_said_to_be_too_few():
    rng = np.random.default_rng(0)
    image = np.repeat(np.arange(4), 30)
    values = np.where(image < 2, "a", "b")
    features = rng.normal(size=(120, 6)) + 3 * (image < 2)[:, None]
    score = probe_between(features, values, groups=image, rng=rng)
    assert score.score > 0.95
    assert not score.is_enough
    assert not score.is_told
    with pytest.raises(ValueError, match="nothing to tell"):
        probe_between(features, np.where(image < 1, "a", "b"), groups=image, rng=rng)


# scores ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [7, 150])  # more and fewer tiles than dimensions
def test_scores_are_those_of_ridge_regression_in_scikit_learn(dim):
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 10)
    labels = np.array(["a", "b", "c"])[groups % 3]
    features = rng.normal(size=(120, dim)) * rng.uniform(0.5, 3, dim) + 0.3 * (groups % 3)[:, None]
    number = features[:, 0] + 0.5 * rng.normal(size=120)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    for values, is_classes in ((labels, True), (number, False)):
        folds = group_folds(
            groups,
            n_folds=4 if is_classes else 5,
            rng=np.random.default_rng(3),
            labels=values if is_classes else None,
        )
        parts = []
        for fold in np.unique(folds):
            train, test = folds != fold, folds == fold
            target = (values[:, None] == np.unique(values)) * 1.0 if is_classes else values[:, None]
            model = Ridge(alpha=RIDGE * train.sum()).fit(standard[train], target[train])
            parts.append(
                (target[test], model.predict(standard[test]).reshape(test.sum(), -1), target[train].mean(0))
            )
        if is_classes:
            pairs = [[y[:, c].sum() * (1 - y[:, c]).sum() for y, _, _ in parts] for c in range(3)]
            areas = [[roc_auc_score(y[:, c], found[:, c]) for y, found, _ in parts] for c in range(3)]
            expected = np.mean([np.average(a, weights=w) for a, w in zip(areas, pairs, strict=True)])
        else:
            rest = sum(((y - found) ** 2).sum() for y, found, _ in parts)
            expected = 1 - rest / sum(((y - mean) ** 2).sum() for y, _, mean in parts)
        score = probe_between(features, values, groups=groups, rng=np.random.default_rng(3), n_permutations=2)
        assert score.score == pytest.approx(expected, abs=1e-9)


def test_chance_is_half_for_classes_and_covers_unrelated_labels():
    scores = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(16), 4)
        features = rng.normal(size=(16, 5))[groups] + 0.2 * rng.normal(size=(64, 5))
        values = rng.permutation(np.arange(16) % 2).astype(str)[groups]
        scores.append(probe_between(features, values, groups=groups, rng=rng, n_permutations=99))
    assert np.mean([s.chance for s in scores]) == pytest.approx(0.5, abs=0.02)
    assert sum(s.score > s.chance_high for s in scores) == 0
    assert np.std([s.score for s in scores]) > 0.1  # wide, because there are few images


# folds -----------------------------------------------------------------------------------------------------


def test_folds_keep_groups_together_and_share_classes_out(rng):
    groups = rng.integers(0, 20, 300)
    labels = np.where(groups % 4 == 0, "rare", "common")
    folds = group_folds(groups, n_folds=5, rng=rng, labels=labels)
    assert all(len(np.unique(folds[groups == g])) == 1 for g in np.unique(groups))
    assert [len(np.unique(groups[(folds == k) & (labels == "rare")])) for k in range(5)] == [1] * 5


def test_halves_share_no_pixel(rng):
    rows, cols = np.meshgrid(np.arange(0, 160, 16), np.arange(0, 96, 16), indexing="ij")  # half overlapping
    windows = np.stack([rows.ravel(), cols.ravel(), 0 * rows.ravel() + 32, 0 * rows.ravel() + 32], axis=1)
    groups = np.zeros(len(windows), int)
    halves = halves_within(groups, windows)
    painted = np.zeros((2, 200, 200), int)
    for (row, col, height, width), half in zip(windows, halves, strict=True):
        if half >= 0:
            painted[half, row : row + height, col : col + width] = 1
    assert painted.any(axis=(1, 2)).all()
    assert not (painted[0] & painted[1]).any()
    assert (halves_within(np.arange(len(windows)), windows) == -1).all()  # one tile each
    turned = windows[:, [1, 0, 3, 2]]
    assert (halves_within(groups, turned) == halves).all()


# archives --------------------------------------------------------------------------------------------------


class Run:
    id = "run-1"

    def __init__(self, folder):
        self.folder = folder


@pytest.fixture
def archive(tmp_path):
    rng = np.random.default_rng(0)
    fields = []
    for i in range(24):
        pixels = rng.integers(0, 120, (128, 128)).astype(np.uint8) + 10 * (i % 12)
        columns = {
            "specimen": f"s{i % 4}",
            "instrument": f"m{i // 12}",
            "magnification": 1000.0 * (1 + i // 6 % 2),
        }
        fields.append(NewField(pixels, {"file": f"{i}.tif", **columns}))
    archive = Archive.create(tmp_path / "archive")
    archive.add_images(fields)
    archive.write_tiles(32, 32)
    return archive


def embedded(archive, *, name, column=None, seed=0):
    rng = np.random.default_rng(seed)
    frame = archive.tiles().frame
    features = rng.normal(size=(len(frame), 16))
    if column:
        features[:, :4] += codes(frame[column].to_numpy(str), rng)
    archive.add_embedding(
        name, frame.tile_id.tolist(), features.astype(np.float32), {"encoder_fingerprint": name}
    )


def test_probe_of_an_archive_writes_table_and_figure(archive, tmp_path):
    embedded(archive, name="simclr", column="instrument")
    embedded(archive, name="random", seed=1)
    cfg = ProbeConfig(permutations=49, columns="step,file")
    report = probe(archive.tiles(), cfg, run=Run(tmp_path / "run"))
    table = pd.read_csv(tmp_path / "run" / "shortcuts.csv").set_index("factor")
    assert list(table.columns[:6]) == ["measure", "score", "chance", "chance_high", "n", "n_images"]
    assert table.loc["instrument", "verdict"] == "told"
    assert table.loc["instrument", "score"] > 0.9 > table.loc["instrument", "score_random"]
    others = table.drop(index="instrument").verdict
    assert set(others.index) >= {"image", "specimen", "magnification", "mean brightness"}
    assert not others.str.startswith("told").any()
    assert table.loc["mean brightness", "score_grey"] > 0.9
    assert (tmp_path / "run" / "shortcuts.png").stat().st_size > 10_000
    assert "instrument" in report.summary()
    again = probe(archive.tiles(), cfg, run=Run(tmp_path / "again"))
    pd.testing.assert_frame_equal(report.table, again.table)


def test_embeddings_are_chosen_or_asked_for(archive, tmp_path):
    with pytest.raises(WootzError, match=r"0 embeddings; make one: wootz embed"):
        probe(archive.tiles(), ProbeConfig(), run=Run(tmp_path))
    embedded(archive, name="a")
    embedded(archive, name="b")
    with pytest.raises(WootzError, match="choose embedding=a or embedding=b"):
        probe(archive.tiles(), ProbeConfig(), run=Run(tmp_path))
    with pytest.raises(WootzError, match="columns=temper"):
        probe(archive.tiles(), ProbeConfig(embedding="a", columns="temper"), run=Run(tmp_path))
    few = archive.tiles(images=archive.images.image_id[:2].tolist())
    with pytest.raises(WootzError, match="32 tiles are too few"):
        probe(few, ProbeConfig(embedding="a"), run=Run(tmp_path))


def test_grey_histogram_is_counted_tile_by_tile(rng):
    pixels = rng.uniform(-0.5, 1.5, (3, 8, 8)).astype(np.float32)
    for tile, counts in zip(pixels, grey_histogram(pixels), strict=True):
        expected = np.histogram(np.clip(tile, -0.2499, 1.2499), bins=np.linspace(-0.25, 1.25, 33))[0]
        np.testing.assert_allclose(counts, expected / 64, atol=1e-9)


def test_one_tile_size_is_needed(archive, tmp_path):
    embedded(archive, name="a")
    tiles = archive.tiles()

    def scaled(rows):
        raise ValueError("tiles of different size")

    strange = SimpleNamespace(scaled=scaled)
    from wootz.ssl.shortcut_report import _read

    with pytest.raises(WootzError, match="tiles of one size"):
        _read(strange)
    assert len(tiles) == 24 * 16
