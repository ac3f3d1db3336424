"""Association of clusters with what they should not follow: figures, chance, and exactly the planted one."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from wootz.clustering.association import associate, associate_images
from wootz.clustering.coding import Coded, code_factor
from wootz.clustering.counting import Counts, family_p, holm
from wootz.factors import Factor

N_IMAGES, SIDE = 24, 4


def classes(values):
    values = np.asarray(values)
    return code_factor(Factor("f", values.astype(str).astype(object), np.ones(len(values), bool)))


def numbers(values):
    return code_factor(Factor("f", np.asarray(values, float), np.isfinite(values)))


def grid(n_images=N_IMAGES):
    """Tiles of images, four by four each, and their windows."""
    image = np.repeat(np.arange(n_images), SIDE * SIDE)
    place = np.tile(np.arange(SIDE * SIDE), n_images)
    size = np.full(len(place), 8)
    return image, np.stack([place // SIDE * 8, place % SIDE * 8, size, size], axis=1)


def patches(rng, image):
    """Give each quarter of each image a cluster: neighbours are alike, images are not."""
    quarter = np.tile([0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3], image.max() + 1)
    return rng.integers(0, 4, (image.max() + 1, 4))[image, quarter]


# figures ---------------------------------------------------------------------------------------------------


def test_mutual_information_is_that_of_scikit_learn_and_chance_is_counted_out(rng):
    image, _ = grid(6)
    labels, instrument = rng.integers(0, 3, len(image)), np.array([0, 0, 1, 1, 1, 0])[image]
    found = associate(labels, classes(instrument), images=image, rng=rng, n_permutations=2000)
    assert found.nmi == pytest.approx(normalized_mutual_info_score(labels, instrument))
    every = [
        mutual_info_score(labels, np.array(o)[image]) for o in itertools.permutations([0, 0, 1, 1, 1, 0])
    ]
    own = mutual_info_score(labels, instrument)
    room = min(mutual_info_score(labels, labels), mutual_info_score(instrument, instrument))
    assert found.adjusted == pytest.approx((own - np.mean(every)) / (room - np.mean(every)), abs=4e-3)
    assert found.p == pytest.approx((np.array(every) >= own - 1e-9).mean(), abs=0.03)
    assert (found.n, found.n_units, found.is_enough) == (96, 6, False)  # twenty arrangements


def test_numbers_are_binned_at_quantiles_and_few_values_kept():
    many = numbers([*np.arange(80.0), np.nan])
    assert np.bincount(many.codes[:-1]).tolist() == [10] * 8
    assert many.codes[-1] == -1
    assert many.words[0] == "0 to 9.875"
    few = code_factor(Factor("magnification", np.log([500.0, 2000, 500]), np.ones(3, bool), "x", is_log=True))
    assert few.codes.tolist() == [0, 1, 0]
    assert few.words == ("500 x", "2000 x")
    assert few.numbers is None
    ties = numbers([0.0] * 60 + [*np.arange(1.0, 21)])
    assert ties.codes[:60].tolist() == [0] * 60
    assert len(ties.words) == ties.codes.max() + 1


def test_counts_of_units_are_counts_of_tiles(rng):
    labels, units = rng.integers(0, 4, 300), rng.integers(0, 20, 300)
    codes, values = rng.integers(0, 3, 20), rng.normal(size=20)
    counts = Counts(labels, units, n_values=3)
    table = counts.table(codes)
    for f, k in itertools.product(range(3), range(4)):
        assert table[f, k] == sum(codes[u] == f and c == k for u, c in zip(units, labels, strict=True))
    expected = [np.mean([values[u] for u, c in zip(units, labels, strict=True) if c == k]) for k in range(4)]
    np.testing.assert_allclose(counts.means(values), expected)


def test_shift_against_loops(rng):
    image, _ = grid()
    labels = rng.integers(0, 3, len(image))
    bright = rng.normal(size=len(image)) + 2.0 * (labels == 1)
    found = associate(labels, numbers(bright), images=image, rng=rng, n_permutations=199).clusters
    for row in found.to_dict("records"):
        own, rest = bright[labels == row["cluster"]], bright[labels != row["cluster"]]
        assert row["shift_sd"] == pytest.approx((own.mean() - rest.mean()) / rest.std())
    assert found.p_shift[1] < 0.01


def test_commonest_value_of_each_cluster():
    image = np.repeat(np.arange(12), 10)
    labels = np.where(image == 3, 1, 0)
    coded = classes(np.where(image == 3, "B", np.where(image < 8, "A", "C")))
    found = associate(labels, coded, images=image, rng=np.random.default_rng(0), n_permutations=99)
    assert found.clusters.top.tolist() == ["A", "B"]
    assert found.clusters.share.tolist() == pytest.approx([7 / 11, 1.0])
    assert found.clusters.base.tolist() == pytest.approx([7 / 12, 1 / 12])


# chance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["instrument", "image", "brightness"])
def test_p_values_of_unrelated_factors_are_uniform_though_tiles_of_an_image_are_alike(kind):
    ps, families = [], []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        image, windows = grid(12)
        labels = patches(rng, image)
        labels = np.where(rng.random(12)[image] < 0.5, labels, labels % 2)  # images differ as wholes as well
        if kind == "image":
            labels = patches(rng, image)
            found = associate_images(
                labels, image, windows=windows, strata=image % 2, rng=rng, n_permutations=39
            )
        else:
            value = rng.permutation(np.arange(12) % 2)[image]
            if kind == "brightness":
                value = 2.0 * rng.normal(size=12)[image] + np.sin(
                    windows[:, 1] / 5 + rng.normal(size=12)[image]
                )
            coded = numbers(value) if kind == "brightness" else classes(value)
            found = associate(labels, coded, images=image, rng=rng, n_permutations=39)
        ps.append(found.p)
        families.append(found.clusters.p.min())
    for values in (ps, families):
        assert np.mean(np.array(values) <= 0.05) < 0.13  # 0.05 and three standard errors
        assert np.mean(np.array(values) <= 0.5) > 0.3
    assert min(ps) >= 1 / 40


def test_shuffling_single_tiles_would_find_something_in_nothing():
    """What the whole images are for: alike tiles make single shuffles far too sure."""
    wrong = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        image, _ = grid(12)
        labels = np.repeat(rng.integers(0, 4, 12), SIDE * SIDE)
        value = rng.permutation(np.arange(12) % 2)[image]
        lone = associate(labels, classes(value), images=np.arange(len(image)), rng=rng, n_permutations=39)
        wrong += lone.p <= 0.05
    assert wrong > 15


@pytest.mark.parametrize("seed", range(3))
def test_planted_instrument_is_found_and_the_image_within_it_is_not(seed):
    rng = np.random.default_rng(seed)
    image, windows = grid()
    instrument = rng.permutation(np.arange(N_IMAGES) % 2)[image]
    labels = 2 * rng.integers(0, 3, len(image)) + instrument
    found = associate(labels, classes(instrument), images=image, rng=rng, n_permutations=199)
    assert found.adjusted == pytest.approx(1.0)
    assert found.p <= 0.01
    within = associate_images(labels, image, windows=windows, strata=instrument, rng=rng, n_permutations=199)
    assert abs(within.adjusted) < 0.05
    across = associate_images(labels, image, windows=windows, strata=0 * image, rng=rng, n_permutations=199)
    assert across.p <= 0.01


def test_planted_image_and_planted_place_are_found(rng):
    image, windows = grid()
    labels = np.where(
        rng.random(len(image)) < 0.8, (image * 5 + image // 7) % 4, rng.integers(0, 4, len(image))
    )
    found = associate_images(labels, image, windows=windows, strata=image % 2, rng=rng, n_permutations=199)
    assert found.adjusted > 0.4
    assert found.p <= 0.01
    top = windows[:, 0] == 0
    by_place = np.where(top, 0, rng.integers(1, 3, len(image)))
    place = associate(by_place, classes(top), images=image, rng=rng, n_permutations=199)
    assert place.adjusted > 0.9
    assert place.p <= 0.01


def test_what_cannot_be_tested():
    image, windows = grid(4)
    with pytest.raises(ValueError, match="two clusters"):
        associate(0 * image, classes(image % 2), images=image, rng=np.random.default_rng(0))
    one = np.arange(4)
    with pytest.raises(ValueError, match="two of its quarters"):
        associate_images(one % 2, one, windows=windows[:4], strata=0 * one, rng=np.random.default_rng(0))
    labels = np.arange(len(image)) % 3 - 1  # a third is in no cluster
    coded = Coded("f", np.where(image == 0, -1, image % 2), ("a", "b"))
    found = associate(labels, coded, images=image, rng=np.random.default_rng(0), n_permutations=9)
    assert found.n == sum((labels >= 0) & (image > 0))
    own_strata = associate_images(
        labels, image, windows=windows, strata=image, rng=np.random.default_rng(0), n_permutations=9
    )
    assert not own_strata.is_enough


# many tests ------------------------------------------------------------------------------------------------


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_family_p_by_loops(rng):
    values = rng.normal(size=(60, 5)) * [1, 10, 1, 1, 0] + [0, 0, 5, 0, 2]
    values[0, 3] += 6
    z = np.array([[(v - c.mean()) / c.std() if c.std() > 1e-9 else 0 for v in c] for c in values.T]).T
    expected = [sum(max(row) >= z[0, k] - 1e-9 for row in z) / 60 for k in range(5)]
    np.testing.assert_allclose(family_p(values), expected)
    assert family_p(values)[3] == pytest.approx(1 / 60)
    assert family_p(-values, two_sided=True)[3] == pytest.approx(1 / 60)
