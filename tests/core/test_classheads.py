"""The linear head of tile classes: against scikit-learn, known truth, and what must never happen."""

import numpy as np
import pytest

from wootz.classheads import cross_entropy, fit_class_head, fit_temperature, group_folds, softmax
from wootz.errors import WootzError
from wootz.headscores import confidence_for, reliability, score_probabilities


def blobs(rng, *, n=300, dim=6, gap=2.5, n_groups=12):
    """Three classes in space; one is rare. Each group (image) shifts its tiles a little."""
    truth = rng.choice(3, n, p=[0.6, 0.34, 0.06])
    groups = rng.integers(0, n_groups, n)
    centres = gap * np.eye(3, dim)
    shift = rng.normal(0, 0.3, (n_groups, dim))
    features = centres[truth] + shift[groups] + rng.normal(0, 1, (n, dim))
    return features.astype(np.float32), truth, groups.astype(str)


def test_the_head_is_the_regression_that_scikit_learn_fits_from_scratch(rng):
    from sklearn.linear_model import LogisticRegression

    features, truth, groups = blobs(rng)
    names = np.array(["resin", "steel", "crack"], object)[truth]
    fitted = fit_class_head(features, names, groups=groups, rng=rng)
    head = fitted.head
    assert head.class_names == ("crack", "resin", "steel")
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    model = LogisticRegression(C=head.strength, class_weight="balanced", max_iter=10_000, tol=1e-8)
    logits = model.fit(standard, names).decision_function(standard)
    wanted = softmax(np.asarray(logits) / head.temperature)
    assert np.abs(head.probabilities(features) - wanted).max() < 0.02
    assert np.abs(head.probabilities(features).sum(axis=1) - 1).max() < 1e-5


def test_two_classes_and_rows_that_nobody_named(rng):
    features, truth, groups = blobs(rng, gap=6)
    names = np.array(["a", "b", ""], object)[truth]
    fitted = fit_class_head(features, names, groups=groups, rng=rng)
    assert set(fitted.rows) == set(np.flatnonzero(truth < 2))
    said = fitted.head.probabilities(features).argmax(axis=1)
    assert (said[truth < 2] == truth[truth < 2]).mean() > 0.98


def test_a_group_is_never_on_both_sides_and_classes_are_shared_out(rng):
    codes = np.repeat([0, 0, 0, 1], 30)
    groups = np.repeat(np.arange(24), 5).astype(str)
    folds = group_folds(groups, codes, n_folds=5, rng=rng)
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1
    shares = np.array([[np.mean((folds == f)[codes == c]) for c in (0, 1)] for f in range(5)])
    assert shares.min() >= 0.1
    assert shares.max() <= 0.35


def test_held_out_figures_do_not_profit_from_tiles_of_the_same_image(rng):
    """Features that say nothing but the image, classes drawn by image: a fold by tile would be perfect."""
    n_images, each = 20, 15
    image = np.repeat(np.arange(n_images), each)
    features = (5 * rng.normal(size=(n_images, 30)))[image] + 0.1 * rng.normal(size=(len(image), 30))
    truth = rng.permutation(np.arange(n_images) % 2)[image]
    fitted = fit_class_head(
        features.astype(np.float32), np.array(["a", "b"], object)[truth], groups=image.astype(str), rng=rng
    )
    scores = score_probabilities(
        fitted.held_out, fitted.codes, class_names=("a", "b"), groups=image.astype(str)
    )
    assert scores.accuracy < 0.8
    assert (fitted.head.probabilities(features).argmax(axis=1) == truth).mean() > 0.95


def test_a_class_of_one_image_is_not_judged(rng):
    features, truth, groups = blobs(rng)
    groups = np.where(truth == 2, "only", groups)
    fitted = fit_class_head(features, np.array(["a", "b", "c"], object)[truth], groups=groups, rng=rng)
    scores = score_probabilities(
        fitted.held_out, fitted.codes, class_names=fitted.head.class_names, groups=groups[fitted.rows]
    )
    assert scores.n_groups.tolist()[2] == 1
    assert np.isnan(scores.recall[2])
    assert scores.as_dict()["classes"][2]["recall"] is None
    assert scores.balanced_accuracy == pytest.approx(scores.recall[:2].mean())
    alone = fit_class_head(features, np.array(["a", "b", "c"], object)[truth], groups=["x"] * 300, rng=rng)
    assert np.isnan(alone.held_out).all()


def test_temperature_finds_the_factor_that_logits_were_blown_up_by(rng):
    logits = rng.normal(0, 2, (6_000, 4))
    codes = np.array([rng.choice(4, p=p) for p in softmax(logits)])
    assert fit_temperature(3.0 * logits, codes) == pytest.approx(3.0, rel=0.08)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 200))
    losses = [cross_entropy(3.0 * logits / t, codes, np.ones(len(codes))) for t in grid]
    assert fit_temperature(3.0 * logits, codes) == pytest.approx(grid[int(np.argmin(losses))], rel=0.02)


def test_a_few_right_answers_do_not_make_a_head_certain():
    logits = np.tile([[4.0, 0.0]], (8, 1))
    p = softmax(logits / fit_temperature(logits, np.zeros(8, int)))
    assert p[0, 0] == pytest.approx(0.9, abs=1e-3)  # 1 - 1 / (8 + 2)


def test_confidence_is_true_on_average_for_tiles_like_the_named_ones(rng):
    features, truth, groups = blobs(rng, n=3000, gap=1.5, n_groups=60)
    names = np.array(["a", "b", "c"], object)[truth]
    fitted = fit_class_head(features, names, groups=groups, rng=rng, balanced=False)
    scores = score_probabilities(
        fitted.held_out, fitted.codes, class_names=fitted.head.class_names, groups=groups
    )
    assert scores.calibration_error < 0.04
    limit = confidence_for(fitted.held_out, fitted.codes, precision=0.9)
    sure = fitted.held_out.max(axis=1) >= limit
    assert (fitted.held_out[sure].argmax(axis=1) == fitted.codes[sure]).mean() >= 0.9
    assert 0.05 < sure.mean() < 1


def test_figures_against_a_hand_counted_table():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55], [np.nan, np.nan]])
    scores = score_probabilities(
        p, np.array([0, 1, 1, 0, 1]), class_names=("a", "b"), groups=np.array(list("xxyyz"), object)
    )
    assert scores.confusion.tolist() == [[1, 1], [1, 1]]
    assert scores.n_named.tolist() == [2, 3]
    assert scores.n_groups.tolist() == [2, 3]
    assert scores.accuracy == scores.balanced_accuracy == 0.5
    bins = reliability(np.array([0.9, 0.6, 0.7, 0.55]), np.array([True, False, True, False]))
    assert bins == ((0.55, 0.0, 1), (0.6, 0.0, 1), (0.7, 1.0, 1), (0.9, 1.0, 1))
    assert scores.calibration_error == pytest.approx((0.55 + 0.6 + 0.3 + 0.1) / 4)


def test_a_large_class_is_thinned_a_rare_one_is_not(rng):
    features, truth, groups = blobs(rng, n=2000)
    names = np.array(["a", "b", "c"], object)[truth]
    fitted = fit_class_head(features, names, groups=groups, rng=rng, n_max=400)
    counts = np.bincount(fitted.codes)
    assert counts.sum() <= 400
    assert counts[2] == (truth == 2).sum()
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("labels", "words"),
    [(["", "", ""], "two classes"), (["a", "a", ""], "two classes"), (["a", "a", "b"], "single named tile")],
)
def test_too_few_names_are_refused(labels, words, rng):
    with pytest.raises(WootzError, match=words):
        fit_class_head(np.ones((3, 2), np.float32), labels, groups=["x"] * 3, rng=rng)
