"""The losses of the heads against loops written from the papers, and Sinkhorn against a plain iteration."""

import numpy as np
import pytest
import torch

from wootz.clustering.methods.head_options import SimGCDConfig
from wootz.clustering.methods.heads import LinearHeads, batches
from wootz.clustering.methods.scan import balanced_cross_entropy, scan_loss
from wootz.clustering.methods.sela import cross_entropy
from wootz.clustering.methods.simgcd import contrast, distillation, simgcd_loss, teacher_temperature
from wootz.clustering.methods.sinkhorn import sinkhorn
from wootz.clustering.methods.temi import temi_loss
from wootz.errors import WootzError


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def tensor(x):
    return torch.from_numpy(np.asarray(x))


# SCAN ------------------------------------------------------------------------------------------------------
def test_scan_loss_by_loops(rng):
    scores, others = rng.normal(size=(2, 3, 7, 4))
    found = scan_loss(tensor(scores), tensor(others), entropy_weight=5.0)
    for head in range(3):
        p, q = softmax(scores[head]), softmax(others[head])
        consistency = -sum(np.log(sum(p[i, c] * q[i, c] for c in range(4))) for i in range(7)) / 7
        mean = p.mean(axis=0)
        entropy = -sum(mean[c] * np.log(mean[c]) for c in range(4))
        assert float(found[head]) == pytest.approx(consistency - 5 * entropy, rel=1e-10)


def test_scan_loss_is_least_for_sure_and_even_clusters():
    sure = torch.eye(4, dtype=torch.float64)[None] * 50
    best = float(scan_loss(sure, sure, entropy_weight=5.0))
    assert best == pytest.approx(-5 * np.log(4), abs=1e-9)
    assert float(scan_loss(0 * sure, 0 * sure, entropy_weight=5.0)) == pytest.approx(
        np.log(4) - 5 * np.log(4)
    )
    one = torch.zeros_like(sure)
    one[..., 0] = 50
    assert float(scan_loss(one, one, entropy_weight=5.0)) == pytest.approx(0, abs=1e-9)


def test_balanced_cross_entropy_gives_each_class_the_same_say(rng):
    scores, targets = rng.normal(size=(9, 4)), np.array([0, 0, 0, 0, 0, 0, 1, 1, 3])
    each = -np.log(softmax(scores))[np.arange(9), targets]
    expected = np.mean([each[targets == c].mean() for c in (0, 1, 3)])
    assert float(balanced_cross_entropy(tensor(scores), tensor(targets))) == pytest.approx(expected)


# TEMI ------------------------------------------------------------------------------------------------------
def test_temi_loss_by_loops(rng):
    learns, teaches = softmax(rng.normal(size=(2, 3, 10, 4)))
    shares = softmax(rng.normal(size=(3, 4)))
    found = temi_loss(tensor(learns), tensor(teaches), shares=tensor(shares), beta=0.6)
    for head in range(3):
        total = 0.0
        for i in range(5):
            weight = np.mean([sum(teaches[h, i] * teaches[h, 5 + i]) for h in range(3)])
            for a, b in ((i, 5 + i), (5 + i, i)):
                inside = 0.0
                for c in range(4):
                    inside += (learns[head, a, c] * teaches[head, b, c]) ** 0.6 / shares[head, c]
                total -= weight * np.log(inside) / 2
        assert float(found[head]) == pytest.approx(total / 5, rel=1e-9)


# Sinkhorn, SeLa --------------------------------------------------------------------------------------------
def plain_sinkhorn(p, shares, n_iter):
    """Scale rows and columns in turn, in double precision, as in the paper's algorithm."""
    n, k = p.shape
    r, c = np.ones(k), np.ones(n)
    for _ in range(n_iter):
        for j in range(k):
            r[j] = shares[j] / sum(p[i, j] * c[i] for i in range(n))
        for i in range(n):
            c[i] = (1 / n) / sum(r[j] * p[i, j] for j in range(k))
    return c[:, None] * p * r[None]


def test_sinkhorn_marginals_and_fixed_point(rng):
    log_p = np.log(softmax(rng.normal(size=(20, 4))))
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    found = sinkhorn(tensor(log_p), sharpness=3.0, shares=tensor(shares), tolerance=1e-12).numpy()
    assert found.dtype == np.float64
    assert found.sum(axis=1) == pytest.approx(np.full(20, 1 / 20), abs=1e-12)
    assert found.sum(axis=0) == pytest.approx(shares, abs=1e-9)
    assert found == pytest.approx(plain_sinkhorn(np.exp(3 * log_p), shares, 300), abs=1e-9)
    again = sinkhorn(tensor(np.log(found)), sharpness=1.0, shares=tensor(shares), tolerance=1e-12)
    assert again.numpy() == pytest.approx(found, abs=1e-9)


def test_sinkhorn_survives_what_underflows_and_shares_out_equally(rng):
    log_p = np.log(softmax(5 * rng.normal(size=(300, 3)) + [60, 0, 0]))
    assert (np.exp(25 * log_p).sum(axis=0)[1:] == 0).any()  # computed plainly, a class would be divided by 0
    sizes = np.bincount(sinkhorn(tensor(log_p), tolerance=1e-6).argmax(dim=1).numpy(), minlength=3)
    assert sizes.min() > 90
    early = sinkhorn(tensor(log_p)).sum(dim=1).numpy()
    assert early == pytest.approx(
        np.full(300, 1 / 300), rel=1e-12
    )  # each point counts once, also before it settles
    constant = tensor(log_p) + torch.from_numpy(rng.normal(size=(300, 1)))
    same = sinkhorn(constant, tolerance=1e-6)
    assert same.numpy() == pytest.approx(sinkhorn(tensor(log_p), tolerance=1e-6).numpy(), abs=1e-9)


def test_sinkhorn_refuses_nonsense():
    with pytest.raises(WootzError, match="fewer clusters"):
        sinkhorn(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="finite"):
        sinkhorn(torch.full((4, 2), float("nan")))
    with pytest.raises(ValueError, match="add up"):
        sinkhorn(torch.zeros(4, 2), shares=torch.tensor([0.5, 0.2]))


def test_cross_entropy_of_each_head_with_its_own_labels(rng):
    scores, labels = rng.normal(size=(2, 6, 3)), rng.integers(3, size=(6, 2))
    found = cross_entropy(tensor(scores), tensor(labels))
    for head in range(2):
        each = [-np.log(softmax(scores[head, i]))[labels[i, head]] for i in range(6)]
        assert float(found[head]) == pytest.approx(np.mean(each))


# SimGCD ----------------------------------------------------------------------------------------------------
def loop_contrast(z, groups, temperature):
    total = 0.0
    for i in range(len(z)):
        below = sum(np.exp(z[i] @ z[j] / temperature) for j in range(len(z)) if j != i)
        alike = [j for j in range(len(z)) if j != i and groups[j] == groups[i]]
        total -= np.mean([np.log(np.exp(z[i] @ z[j] / temperature) / below) for j in alike])
    return total / len(z)


def loop_distillation(cosines, entropy_weight):
    n = len(cosines) // 2
    p, t = softmax(cosines / 0.1), softmax(cosines / 0.04)
    each = [-(t[n + i] @ np.log(p[i]) + t[i] @ np.log(p[n + i])) / 2 for i in range(n)]
    mean = p.mean(axis=0)
    return np.mean(each) - entropy_weight * -(mean @ np.log(mean))


def test_simgcd_losses_by_loops(rng):
    cosines = rng.uniform(-0.5, 0.5, (10, 4))
    z = rng.normal(size=(10, 3))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    targets = np.array([0, -1, 1, 0, -1])
    groups = np.tile(np.arange(5), 2)
    found = distillation(tensor(cosines), temperature=0.1, teacher_temperature=0.04, entropy_weight=2.0)
    assert float(found) == pytest.approx(loop_distillation(cosines, 2.0))
    assert float(contrast(tensor(z), tensor(groups), 0.5)) == pytest.approx(loop_contrast(z, groups, 0.5))
    whole = simgcd_loss(
        tensor(cosines), tensor(z), tensor(targets), cfg=SimGCDConfig(), teacher_temperature=0.04
    )
    kept = np.flatnonzero(np.tile(targets, 2) >= 0)
    named = np.tile(targets, 2)[kept]
    log_p = np.log(softmax(cosines / 0.1))
    supervised = -np.mean([log_p[i, k] for i, k in zip(kept, named, strict=True)])
    supervised += loop_contrast(z[kept], named, 0.07)
    unsupervised = loop_distillation(cosines, 2.0) + loop_contrast(z, groups, 1.0)
    assert float(whole) == pytest.approx(0.65 * unsupervised + 0.35 * supervised)


def test_no_gradient_reaches_the_teacher():
    cosines = torch.tensor([[0.3, -0.2], [0.1, 0.4]], requires_grad=True)
    distillation(cosines, temperature=0.1, teacher_temperature=0.04, entropy_weight=0.0).backward()
    p, t = softmax(cosines.detach().numpy() / 0.1), softmax(cosines.detach().numpy() / 0.04)
    expected = np.stack([p[0] - t[1], p[1] - t[0]]) / 0.1 / 2  # of a cross-entropy with fixed targets
    assert cosines.grad is not None
    assert cosines.grad.numpy() == pytest.approx(expected, abs=1e-5)


def test_teacher_temperature_falls_and_stays():
    cfg = SimGCDConfig(warmup_frac=0.5)
    assert teacher_temperature(0.0, cfg) == pytest.approx(0.07)
    assert teacher_temperature(0.25, cfg) == pytest.approx(0.055)
    assert teacher_temperature(0.5, cfg) == teacher_temperature(0.9, cfg) == pytest.approx(0.04)


# heads -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cosine", [False, True])
def test_heads_by_loops(rng, cosine):
    heads = LinearHeads(3, 5, 4, generator=torch.Generator().manual_seed(1), cosine=cosine)
    x = rng.normal(size=(6, 5)).astype(np.float32)
    found = heads(tensor(x)).detach().numpy()
    weight = heads.weight.detach().numpy()
    for h, i, c in np.ndindex(3, 6, 4):
        value = x[i] @ weight[h, :, c]
        if cosine:
            value /= np.linalg.norm(x[i]) * np.linalg.norm(weight[h, :, c])
        assert found[h, i, c] == pytest.approx(value, abs=1e-5)


def test_batches_of_an_epoch_hold_each_row_once():
    drawn = list(batches(10, 4, n_steps=4, generator=torch.Generator().manual_seed(0)))
    assert [len(rows) for rows in drawn] == [4, 4, 4, 4]
    assert len(set(torch.cat(drawn[:2]).tolist())) == 8
    again = list(batches(10, 4, n_steps=4, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(a, b) for a, b in zip(drawn, again, strict=True))
    assert [len(rows) for rows in batches(3, 8, n_steps=2, generator=torch.Generator())] == [3, 3]
