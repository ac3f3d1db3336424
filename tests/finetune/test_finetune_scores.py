import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wootz.finetune.overlay import RED, TURQUOISE, YELLOW, class_overlay, confusion_overlay, heat_overlay
from wootz.finetune.scores import confusion_counts, scores_from_counts

masks = hnp.arrays(np.uint8, (6, 5), elements=st.sampled_from([0, 1, 2, 255]))
predictions = hnp.arrays(np.uint8, (6, 5), elements=st.integers(0, 2))


@given(masks, predictions)
def test_scores_match_sets_of_pixels(truth, predicted):
    scores = scores_from_counts(confusion_counts(truth, predicted, n_classes=3), class_names=["a", "b", "c"])
    valid = truth != 255
    for k in range(3):
        true = set(np.flatnonzero(valid & (truth == k)))
        pred = set(np.flatnonzero(valid & (predicted == k)))
        both, either = len(true & pred), len(true | pred)
        if not either:
            assert np.isnan(scores.iou[k])
            assert np.isnan(scores.dice[k])
        else:
            assert scores.iou[k] == pytest.approx(both / either)
            assert scores.dice[k] == pytest.approx(2 * both / (len(true) + len(pred)))
        assert np.isnan(scores.precision[k]) if not pred else scores.precision[k] == both / len(pred)
        assert np.isnan(scores.recall[k]) if not true else scores.recall[k] == both / len(true)
    if valid.any():
        assert scores.pixel_accuracy == pytest.approx((truth == predicted)[valid].mean())
    assert scores.n_pixels == valid.sum()


def test_pooled_is_not_the_mean_over_images():
    big, small = np.ones((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    small[0, 0] = 1
    counts = confusion_counts(big, big, n_classes=2) + confusion_counts(small, 0 * small, n_classes=2)
    scores = scores_from_counts(counts, class_names=["matrix", "pore"])
    assert scores.iou[1] == pytest.approx(100 / 101)  # a mean over the two images would be 0.5


def test_absent_class_is_left_out_of_the_mean_and_is_none_in_json():
    counts = confusion_counts(np.zeros((3, 3), np.uint8), np.zeros((3, 3), np.uint8), n_classes=2)
    scores = scores_from_counts(counts, class_names=["matrix", "pore"])
    assert scores.mean_iou == 1.0
    assert scores.as_dict()["classes"]["pore"]["iou"] is None  # type: ignore[index]
    assert list(scores.table()["class"]) == ["matrix", "pore"]


def test_wrong_shapes_and_classes_raise():
    with pytest.raises(ValueError, match="must be equal"):
        confusion_counts(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), n_classes=2)
    with pytest.raises(ValueError, match="class 4"):
        confusion_counts(np.full((2, 2), 4, np.uint8), np.zeros((2, 2), np.uint8), n_classes=2)


def test_overlay_colours():
    truth = np.array([[1, 0, 1, 0, 255, 2]], np.uint8)
    predicted = np.array([[1, 1, 0, 0, 1, 1]], np.uint8)
    field = np.zeros((1, 6), np.float32)
    picture = confusion_overlay(field, truth, predicted, opacity=1.0)[0]
    assert [tuple(p) for p in picture] == [TURQUOISE, RED, YELLOW, (0, 0, 0), (0, 0, 0), RED]


def test_overlay_keeps_the_grey_below():
    field = np.array([[0.0, 0.5, 2.0]], np.float32)
    empty = np.zeros((1, 3), np.uint8)
    np.testing.assert_array_equal(confusion_overlay(field, empty, empty)[0, :, 0], [0, 128, 255])
    half = class_overlay(np.ones((1, 3), np.float32), empty + 1, {1: (55, 255, 155)}, opacity=0.5)
    np.testing.assert_array_equal(half[0, 0], [155, 255, 205])
    heat = heat_overlay(field, np.zeros_like(field), low=1.0, high=2.0)
    np.testing.assert_array_equal(heat[..., 0], [[0, 128, 255]])
    with pytest.raises(ValueError, match="differ"):
        confusion_overlay(field, empty, empty[:, :2])
