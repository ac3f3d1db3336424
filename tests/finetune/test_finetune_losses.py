import numpy as np
import pytest
import torch

from wootz.finetune.losses import class_weights, dice_cross_entropy, dice_loss, weighted_cross_entropy


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 5, 4, generator=generator)
    target = torch.randint(0, 3, (2, 5, 4), generator=generator)
    target[0, 0] = 255
    return logits, target


def naive_losses(logits, target, weights):
    """Loop over pixels with the formulas of the docstrings."""
    overlap, size, n_truth = np.zeros(3), np.zeros(3), np.zeros(3)
    entropy, total = 0.0, 0.0
    for b in range(2):
        for r in range(5):
            for c in range(4):
                y = int(target[b, r, c])
                if y == 255:
                    continue
                e = np.exp(logits[b, :, r, c].double().numpy())
                p = e / e.sum()
                for k in range(3):
                    overlap[k] += p[k] * (y == k)
                    size[k] += p[k] + (y == k)
                    n_truth[k] += y == k
                entropy += weights[y] * -np.log(p[y])
                total += weights[y]
    v = np.where(n_truth > 0, weights, 0)
    dice = (v * (1 - 2 * overlap / size)).sum() / v.sum()
    return dice, entropy / total


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.2, 1.0, 5.0]])
def test_losses_match_loops_over_pixels(batch, weights):
    logits, target = batch
    dice, entropy = naive_losses(logits, target, np.array(weights))
    tensor = torch.tensor(weights)
    assert float(dice_loss(logits, target, weights=tensor)) == pytest.approx(dice, abs=1e-5)
    assert float(weighted_cross_entropy(logits, target, weights=tensor)) == pytest.approx(entropy, abs=1e-5)
    assert float(dice_cross_entropy(logits, target, weights=tensor)) == pytest.approx(
        dice + entropy, abs=1e-5
    )


def test_scaling_the_weights_changes_nothing(batch):
    logits, target = batch
    weights = torch.tensor([1.0, 2.0, 5.0])
    plain = dice_cross_entropy(logits, target, weights=weights)
    assert float(dice_cross_entropy(logits, target, weights=10 * weights)) == pytest.approx(
        float(plain), abs=1e-5
    )
    assert float(dice_loss(logits, target, weights=10 * weights)) <= 1.0


def test_equal_weights_are_no_weights(batch):
    logits, target = batch
    weighted = dice_cross_entropy(logits, target, weights=torch.full((3,), 7.0))
    assert float(weighted) == pytest.approx(float(dice_cross_entropy(logits, target)), abs=1e-5)


def test_a_sure_and_right_network_has_no_loss(batch):
    _, target = batch
    logits = 50.0 * torch.nn.functional.one_hot(target.where(target != 255, 0), 3).permute(0, 3, 1, 2).float()
    assert float(dice_cross_entropy(logits, target)) == pytest.approx(0.0, abs=1e-5)


def test_ignored_pixels_have_no_gradient(batch):
    logits, target = batch
    logits = logits.clone().requires_grad_()
    dice_cross_entropy(logits, target, weights=torch.tensor([1.0, 2.0, 3.0])).backward()
    assert logits.grad is not None
    assert logits.grad[0, :, 0].abs().max() == 0
    assert logits.grad[0, :, 1].abs().min() > 0


def test_a_crop_without_labels_is_no_nan():
    logits = torch.zeros(1, 2, 3, 3, requires_grad=True)
    loss = dice_cross_entropy(logits, torch.full((1, 3, 3), 255))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert torch.isfinite(logits.grad).all()  # type: ignore[arg-type]


def test_class_weights_are_fourth_roots_of_mean_one():
    weights = class_weights(torch.tensor([81, 1, 0]))
    assert float(weights.mean()) == pytest.approx(1.0)
    assert float(weights[1] / weights[0]) == pytest.approx(3.0, rel=1e-5)
    assert float(weights[2] / weights[1]) == pytest.approx(1.0, rel=1e-5)
