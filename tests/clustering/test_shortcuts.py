"""Survey, badges, standardising and remedies on drawn features, and the section of `wootz cluster`."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from wootz.archive import Archive
from wootz.clustering import ClusterConfig, KMeansConfig, agreement, cluster, kmeans
from wootz.clustering.badges import badges
from wootz.clustering.coding import Coded
from wootz.clustering.preparation import fit_preparation
from wootz.clustering.remedies import goes_with, try_remedies
from wootz.clustering.shortcut_factors import group_tiles, mean_brightness, tile_factors
from wootz.clustering.shortcut_words import shortcut_words
from wootz.clustering.standardise import fit_standardisation
from wootz.clustering.survey import survey_factors
from wootz.errors import WootzError
from wootz.fields import NewField

N_IMAGES, SIDE = 16, 4
FACTORS = ("instrument", "specimen", "magnification")


class Drawn:
    """Tiles of three classes in every image, and factors of images that have nothing to do with them."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.images = np.repeat(np.arange(N_IMAGES), SIDE * SIDE)
        place = np.tile(np.arange(SIDE * SIDE), N_IMAGES)
        size = np.full(len(place), 8)
        self.windows = np.stack([place // SIDE * 8, place % SIDE * 8, size, size], axis=1)
        self.classes = rng.integers(0, 3, len(place))
        values = [np.arange(N_IMAGES) % 2, np.arange(N_IMAGES) // 2 % 2, np.arange(N_IMAGES) // 4 % 2]
        self.of = dict(zip(FACTORS, (v[self.images] for v in values), strict=True))
        self.coded = [Coded(name, v, ("A", "B")) for name, v in self.of.items()]
        self.place = {"images": self.images, "windows": self.windows}
        self.place |= {"strata": np.unique(np.stack(values), axis=1, return_inverse=True)[1][self.images]}
        self.truth = np.array(["pore", "steel", "layer"], object)[self.classes]

    def features(self, shift=0.0, factor="instrument"):
        codes = 6.0 * np.eye(8)[self.classes] + shift * self.of[factor][:, None] * np.eye(8)[5]
        return (codes + self.rng.normal(size=codes.shape)).astype(np.float32)

    def survey(self, labels):
        return survey_factors(labels, self.coded, n_permutations=299, rng=self.rng, **self.place)


def refit(features):
    return kmeans(features, 3, rng=np.random.default_rng(0), n_init=8).labels


# survey and badges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("planted", FACTORS)
def test_exactly_the_planted_factor_is_followed(planted):
    drawn = Drawn(1)
    labels = 2 * drawn.classes + drawn.of[planted]
    survey = drawn.survey(labels)
    assert survey.followed == [planted]
    row = survey.table.set_index("factor").loc[planted]
    assert row.adjusted == pytest.approx(1.0)
    given = badges(survey)
    assert [b.cluster for b in given] == list(range(6))
    assert {b.factor for b in given} == {planted}
    assert given[1].share == 1.0
    assert given[1].text.startswith("all")


def test_nothing_is_followed_and_no_badge_given_by_chance():
    flagged = given = 0
    for seed in range(12):
        drawn = Drawn(100 + seed)
        labels = (
            drawn.classes + 3 * drawn.rng.integers(0, 3, N_IMAGES)[drawn.images]
        )  # images differ as wholes
        survey = survey_factors(labels, drawn.coded, n_permutations=99, rng=drawn.rng, **drawn.place)
        flagged += len([f for f in survey.followed if f != "image"])
        given += len([b for b in badges(survey) if b.factor != "image"])
    assert flagged <= 2  # at most one in twenty by chance, of twelve
    assert given <= 2


def test_cluster_from_one_image_has_its_badge():
    drawn = Drawn(2)
    labels = np.where((drawn.images == 3) & (drawn.classes > 0), 3, drawn.classes)
    survey = drawn.survey(labels)
    coded = Coded("image", drawn.images, ())
    (badge,) = [b for b in badges(survey, names={"3": "coupon 4"}) if b.cluster == 3]
    assert badge.text == "all from one image (coupon 4)"
    assert badge.base == pytest.approx(1 / N_IMAGES)
    assert coded.name == badge.factor
    assert not [b for b in badges(survey) if b.cluster != 3]


def test_too_few_images_are_said_to_be_too_few():
    drawn = Drawn(3)
    keep = drawn.images < 4
    labels = 2 * drawn.classes + drawn.of["instrument"]
    part = {name: value[keep] for name, value in drawn.place.items()}
    coded = [Coded(c.name, c.codes[keep], c.words) for c in drawn.coded]
    survey = survey_factors(labels[keep], coded, rng=drawn.rng, n_permutations=99, **part)
    assert survey.followed == []
    assert not [b for b in badges(survey) if b.factor == "instrument"]
    assert "Too few images to say whether clusters follow instrument" in " ".join(
        shortcut_words(survey, [], [])
    )
    one = survey_factors(0 * labels[keep], coded, rng=drawn.rng, n_permutations=9, **part)
    assert one.table.empty
    assert badges(one) == []
    assert shortcut_words(one, [], []) == ["Nothing differs between the tiles that clusters could follow."]


# standardising ---------------------------------------------------------------------------------------------


def test_standardising_against_scikit_learn_in_large_groups(rng):
    groups = np.repeat([0, 1, 2], 4000)
    features = rng.normal(size=(12000, 3)) * np.array([1, 2, 5])[groups][:, None] + groups[:, None]
    features = (features * [1, 10, 100]).astype(np.float32)
    fitted = fit_standardisation(features, groups)
    found = fitted.apply(features, groups)
    for group in range(3):
        expected = StandardScaler().fit_transform(features[groups == group])
        expected = expected * fitted.spread + features.mean(axis=0, dtype=float)
        np.testing.assert_allclose(
            found[groups == group], expected, rtol=5e-3, atol=5e-3 * fitted.spread.max()
        )
    within = np.sqrt(np.mean([features[groups == g].var(axis=0, dtype=float) for g in range(3)], axis=0))
    np.testing.assert_allclose(fitted.spread, within, rtol=1e-4)


def test_small_unknown_and_new_groups_are_treated_together(rng):
    features = rng.normal(size=(40, 2)).astype(np.float32)
    groups = np.array([0] * 18 + [1] * 18 + [2, 2, 3, -1])
    features[36:] += 50
    fitted = fit_standardisation(features, groups)
    found = fitted.apply(features, groups)
    assert np.abs(found[36:].mean(axis=0) - found[:36].mean(axis=0)).max() < 1e-3
    np.testing.assert_array_equal(
        fitted.apply(features[:3], np.array([-1, 99, 3])), fitted.apply(features[:3], np.array([2, 3, -1]))
    )
    with pytest.raises(WootzError, match="two groups of at least 5"):
        fit_standardisation(features, np.arange(40))
    with pytest.raises(WootzError, match="do not belong together"):
        fit_standardisation(features, groups[:3])


def test_a_constant_dimension_stays_constant(rng):
    features = np.concatenate([rng.normal(size=(20, 1)), np.full((20, 1), 7.0)], axis=1).astype(np.float32)
    found = fit_standardisation(features, np.repeat([0, 1], 10)).apply(features, np.repeat([0, 1], 10))
    np.testing.assert_allclose(found[:, 1], 7.0)


def test_new_features_follow_the_same_preparation(rng):
    features = rng.normal(size=(60, 6)).astype(np.float32) + 3
    groups = np.repeat([0, 1, 2], 20)
    prepared = fit_preparation(features, groups, pca_dim=4, whiten=True)
    whole = prepared.apply(features, groups)
    np.testing.assert_allclose(prepared.apply(features[25:30], groups[25:30]), whole[25:30], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    plain = fit_preparation(features, l2=False)
    np.testing.assert_array_equal(plain.apply(features), features)


# remedies --------------------------------------------------------------------------------------------------


def test_remedy_takes_out_what_dominates_and_brings_classes_back():
    drawn = Drawn(4)
    features = drawn.features(shift=25.0)
    labels = refit(features)
    survey = drawn.survey(labels)
    assert survey.followed == ["instrument"]
    options = {"labels": labels, "refit": refit, "rng": drawn.rng, "truth": drawn.truth, **drawn.place}
    (remedy,) = try_remedies(features, [drawn.coded[0]], **options)
    assert remedy.adjusted_before == pytest.approx(1, abs=0.01)
    assert remedy.is_halved
    assert abs(remedy.adjusted_after) < 0.05
    assert remedy.ari_before == pytest.approx(agreement(labels, drawn.truth).ari)
    assert remedy.ari_after > 0.95 > remedy.ari_before + 0.2
    words = " ".join(shortcut_words(survey, [remedy], []))
    assert "Clusters follow instrument: they share 100 %" in words
    assert "standardise_by='instrument'" in words
    assert "It helps." in words
    (blind,) = try_remedies(features, [drawn.coded[0]], **(options | {"truth": None}))
    assert blind.keeps_classes is None
    assert "What it costs cannot be seen" in " ".join(shortcut_words(survey, [blind], []))


def test_remedy_that_takes_classes_away_is_called_so():
    drawn = Drawn(5)
    of_image = np.arange(N_IMAGES) % 3
    drawn.classes = of_image[drawn.images]  # one class an image, and an instrument for each class
    drawn.truth = np.array(["pore", "steel", "layer"], object)[drawn.classes]
    features = drawn.features()
    coded = Coded("instrument", drawn.classes, ("A", "B", "C"))
    labels = refit(features)
    options = {"labels": labels, "refit": refit, "rng": drawn.rng, "truth": drawn.truth, **drawn.place}
    (remedy,) = try_remedies(features, [coded], **options)
    assert remedy.is_halved
    assert remedy.keeps_classes is False
    assert goes_with(drawn.truth, coded, images=drawn.images, rng=drawn.rng)
    assert not goes_with(drawn.truth, drawn.coded[1], images=drawn.images, rng=drawn.rng)
    drawn.coded = [coded]
    survey = drawn.survey(labels)
    words = " ".join(shortcut_words(survey, [remedy], [], tied={"instrument"}))
    assert "The known classes follow instrument as well" in words
    assert "leave it" in words


def test_what_differs_within_images_is_tried_by_image_too_and_small_groups_have_no_remedy():
    drawn = Drawn(6)
    features = drawn.features()
    labels = refit(features)
    bright = Coded("mean brightness", drawn.rng.integers(0, 4, len(labels)), tuple("abcd"))
    lone = Coded("tile", np.arange(len(labels)), tuple(map(str, range(len(labels)))))
    options = {"labels": labels, "refit": refit, "rng": drawn.rng, **drawn.place}
    assert [r.by for r in try_remedies(features, [bright], **options)] == ["mean brightness", "image"]
    assert [r.by for r in try_remedies(features, [lone], **options)] == ["image"]


# archive ---------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    rng = np.random.default_rng(0)
    fields = []
    for i in range(12):
        pixels = rng.normal(80 + 40 * (i % 2), 12, (64, 64))
        pixels[:32] += 60 * (np.arange(64) // 2 % 2)
        row = {"file": f"f{i}.tif", "specimen": f"S{i // 4}", "instrument": f"M{i % 2}"}
        row |= {
            "pixel_size_row_nm": 5.0 + i // 6,
            "pixel_size_col_nm": 5.0 + i // 6,
            "pixel_size_source": "x",
        }
        fields.append(NewField(pixels.clip(0, 255).astype(np.uint8), row))
    archive = Archive.create(tmp_path / "a")
    archive.add_images(fields)
    archive.write_tiles(16, 16)
    frame = archive.tiles().frame
    features = (
        4.0 * np.eye(6)[(frame.row >= 32).astype(int)] + 9.0 * np.eye(6)[2 + (frame.instrument == "M1")]
    )
    features += rng.normal(size=features.shape)
    given = {"encoder_fingerprint": "hand-made"}
    archive.add_embedding("toy", frame.tile_id.tolist(), features.astype(np.float32), given)
    known = np.where(frame.row >= 32, "flat", "striped")
    archive.set_tile_column("truth", frame.tile_id, known)
    return archive


def run_cluster(archive, **changes):
    method = KMeansConfig(spherical=False, n_init=3, n_clusters=2)
    options = {
        "l2": False,
        "map": False,
        "montages": False,
        "keep_uninformative": True,
        "permutations": 999,
        "cards": False,
    }
    run = archive.start_run("cluster", {}, seed=0, inputs={})
    return cluster(archive.tiles(), ClusterConfig(method=method, **(options | changes)), run=run)


def test_section_of_wootz_cluster(archive):
    report = run_cluster(archive)
    shortcuts = report.shortcuts
    assert shortcuts is not None
    assert shortcuts.survey.followed == ["instrument"]
    assert {b.text for b in shortcuts.badges} == {"all from instrument M0", "all from instrument M1"}
    assert "Clusters follow instrument" in report.summary()
    (remedy,) = shortcuts.remedies
    assert remedy.is_halved
    assert remedy.ari_after > 0.9 > 0.1 > remedy.ari_before
    names = {path.name for path in report.folder.iterdir()}
    assert {"shortcuts.csv", "badges.csv", "remedies.csv", "shortcuts.png", "confusion.png"} <= names
    stored = json.loads((report.folder / "clusters.json").read_text())["shortcuts"]
    assert stored["badges"][0]["factor"] == "instrument"
    assert stored["remedies"][0]["is_halved"] is True
    assert {row["factor"] for row in stored["factors"]} >= {"instrument", "specimen", "place in the image"}
    after = run_cluster(archive, standardise_by="instrument", permutations=99)
    assert after.agreement is not None
    assert after.agreement.ari == pytest.approx(remedy.ari_after, abs=0.03)
    assert "instrument" not in after.shortcuts.survey.followed
    written = pd.read_csv(after.folder / "badges.csv").factor.tolist()
    assert written == [b.factor for b in after.shortcuts.badges]


def test_groups_of_tiles(archive):
    tiles = archive.tiles()
    frame = tiles.frame
    both = group_tiles(tiles, "instrument, pixel size")
    assert len(np.unique(both)) == len(frame.groupby(["instrument", "pixel_size_row_nm"]))
    assert pd.Series(both).groupby([frame.instrument, frame.pixel_size_row_nm]).nunique().max() == 1
    assert len(np.unique(group_tiles(tiles, "image_id"))) == 12
    assert (group_tiles(tiles, "pixel_size_row_nm") == group_tiles(tiles, "pixel size")).all()
    light = mean_brightness(tiles)
    for i in (0, 50, 191):
        assert light[i] == pytest.approx(tiles.scaled([i]).mean(), abs=1e-6)
    bins = group_tiles(tiles, "brightness")
    assert light[bins == 0].max() <= light[bins == 7].min()
    with pytest.raises(WootzError, match="choose among image, brightness"):
        group_tiles(tiles, "detector")
    assert {c.name for c in tile_factors(tiles)} >= {"mean brightness", "the image edge", "pixel size"}
    with pytest.raises(WootzError, match="columns=nope"):
        tile_factors(tiles, columns=["nope"])
