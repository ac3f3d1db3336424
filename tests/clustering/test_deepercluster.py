"""DeeperCluster: two-level loss by a loop, joint label of cluster and rotation, labels in two levels."""

import numpy as np
import pytest
import torch
from torch import nn

from wootz.augment.config import CLEAN, AugmentConfig
from wootz.clustering.training.classifying import Classifying
from wootz.clustering.training.labels import two_level_labels
from wootz.clustering.training.options import DeeperClusterConfig
from wootz.clustering.training.tops import FlatTop, TwoLevelTop, quarter_turned
from wootz.errors import WootzError

N_SUB, DIM = 4, 5
LABELS = np.array([0, 1, 2, 4, 5, 8, 8])  # three clusters with three, two and one sub-class


def drawn_top():
    top = TwoLevelTop(n_clusters=5, n_sub=N_SUB, dim=DIM)  # two clusters more than occur
    top.redraw(LABELS, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in top.parameters():
            weight.mul_(100)
    return top


def test_two_level_loss_by_a_loop(rng):
    top, features = drawn_top(), rng.normal(size=(7, DIM)).astype(np.float32)
    turns = np.array([0, 1, 2, 3, 0, 1, 2])
    found = top(torch.from_numpy(features), torch.from_numpy(4 * LABELS + turns))
    first, second = top.first.detach().numpy(), top.second.detach().numpy()
    total = 0.0
    for x, label, turn in zip(features, LABELS, turns, strict=True):
        cluster, sub = divmod(label, N_SUB)
        scores = {(c, t): float(first[4 * c + t] @ x) for c in range(3) for t in range(4)}
        total += np.log(sum(np.exp(s) for s in scores.values())) - scores[cluster, turn]
        n_present = {0: 3, 1: 2, 2: 1}[cluster]
        within = [float(second[4 * cluster + turn, k] @ x) for k in range(n_present)]
        total += np.log(sum(np.exp(within))) - within[sub]
    assert float(found.detach()) == pytest.approx(total / 7, rel=1e-5)


def test_classifiers_of_other_super_classes_learn_nothing(rng):
    top = drawn_top()
    features = torch.from_numpy(rng.normal(size=(2, DIM)).astype(np.float32))
    top(features, torch.tensor([4 * 1 + 2, 4 * 4 + 3])).backward()  # cluster 0 turned twice, cluster 1 thrice
    assert top.second.grad is not None
    touched = top.second.grad.abs().sum(dim=(1, 2)) > 0
    assert torch.nonzero(touched)[:, 0].tolist() == [2, 7]


def test_flat_answers_stop_at_the_largest_label(rng):
    top = FlatTop(10, DIM)
    top.redraw(np.array([0, 2]), generator=torch.Generator().manual_seed(0))
    features = torch.from_numpy(rng.normal(size=(1, DIM)).astype(np.float32))
    scores = (features @ top.weight[:3].T)[0].detach().numpy()
    expected = np.log(np.exp(scores).sum()) - scores[2]
    assert float(top(features, torch.tensor([2])).detach()) == pytest.approx(float(expected), rel=1e-5)


def test_tiles_turn_as_asked(rng):
    pixels = rng.random((4, 1, 6, 6)).astype(np.float32)
    found = quarter_turned(torch.from_numpy(pixels), torch.tensor([3, 0, 1, 2])).numpy()
    for i, k in enumerate((3, 0, 1, 2)):
        np.testing.assert_array_equal(found[i, 0], np.rot90(pixels[i, 0], k))


class Corners(nn.Module):
    """Features: the mean grey of each quarter of the view, from the upper left on, anticlockwise."""

    dim = 4

    def forward(self, views):
        parts = [views[..., :8, :8], views[..., 8:, :8], views[..., 8:, 8:], views[..., :8, 8:]]
        return torch.stack([part.mean(dim=(1, 2, 3)) for part in parts], dim=1)


class Noting(nn.Module):
    """Keeps what it is asked."""

    def forward(self, features, targets):
        self.features, self.targets = features, targets
        return features.sum()


def test_target_joins_the_label_with_the_rotation_that_the_network_sees():
    augment = AugmentConfig(
        **CLEAN, out_px=16, area_min_frac=1, aspect_max=1, shear_deg=0, jitter_prob=0,
        rotation_deg=0, flip_prob=0,
    )  # fmt: skip
    top = Noting()
    options = {"label": lambda _: None, "augment": augment, "margin_px": 0, "lr": 0.1, "weight_decay": 0.0}
    module = Classifying(Corners(), top, **options, seed=3, turn=True)
    module.labels = np.arange(40) % 6
    pixels = torch.zeros(40, 1, 16, 16)
    pixels[:, :, 1:6, 1:6] = 1.0  # bright in the upper left
    module.training_step((torch.arange(40), pixels), 0)
    turns = top.features.argmax(dim=1)  # the corner where it is now: a quarter turn anticlockwise each
    assert set(turns.tolist()) == {0, 1, 2, 3}
    assert torch.equal(top.targets, 4 * torch.from_numpy(module.labels) + turns)


def test_labels_in_two_levels(rng):
    """Two groups of three blobs each, far apart; a cluster of copies is not cut."""
    centres = np.zeros((6, 8), np.float32)
    centres[:3, 0], centres[3:, 0] = 40, -40
    centres[np.arange(6), 1 + np.arange(6)] = 8
    truth = np.repeat(np.arange(6), 30)
    points = centres[truth] + rng.normal(0, 0.3, (180, 8)).astype(np.float32)
    labels = two_level_labels(points, 2, 5, rng=rng, n_components=2)
    clusters = labels // 5
    assert set(clusters.tolist()) == {0, 1}
    for cluster in (0, 1):
        subs = np.unique(labels[clusters == cluster] % 5)
        assert subs.tolist() == list(range(len(subs)))
        assert len(subs) == 5
        assert len(np.unique(truth[clusters == cluster] // 3)) == 1
    copies = np.concatenate([points[:90], np.repeat(points[100:101], 20, axis=0)])
    labels = two_level_labels(copies, 2, 5, rng=rng, n_components=2)
    assert len(np.unique(labels[90:])) == 1


def test_options_are_checked():
    with pytest.raises(WootzError, match="n_labels"):
        DeeperClusterConfig(n_super=8, n_labels=6)
    with pytest.raises(WootzError, match="reassign_every"):
        DeeperClusterConfig(reassign_every=0)
