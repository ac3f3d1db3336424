"""Segmentation losses: weighted Dice whose weights do not change its size, plus weighted cross-entropy."""

import torch
from torch import Tensor
from torch.nn import functional

IGNORE = 255


def dice_cross_entropy(logits: Tensor, target: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Sum the weighted Dice loss and the weighted cross-entropy.

    Cross-entropy stays in the sum because a network trained on Dice alone is overconfident.

    Parameters
    ----------
    logits : (B, C, H, W) float
    target : (B, H, W) int64, 0..C-1 or 255
        Pixels of 255 count nowhere.
    weights : (C,) float32, > 0, optional

    Returns
    -------
    () float32 in [0, inf)
    """
    return dice_loss(logits, target, weights=weights) + weighted_cross_entropy(
        logits, target, weights=weights
    )


def dice_loss(logits: Tensor, target: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return the soft Dice loss, summed over the batch before the ratio and averaged over classes.

    Parameters
    ----------
    logits : (B, C, H, W) float
    target : (B, H, W) int64, 0..C-1 or 255
    weights : (C,) float32, > 0, optional

    Returns
    -------
    () float32 in [0, max(weights) / mean(weights)]

    Notes
    -----
    ``mean_c(v_c (1 - D_c))`` over the classes present in the batch's target, with ``D_c = 2 sum p t /
    (sum p + sum t)`` and weights ``v = w / mean(w)`` over those classes: all-equal and scaled weights give
    the unweighted loss, so weights move the balance of classes and not the balance against cross-entropy.

    References
    ----------
    Milletari et al. 2016, doi:10.1109/3DV.2016.79.
    """
    valid = (target != IGNORE).unsqueeze(1)
    probability = logits.float().softmax(1) * valid
    truth = functional.one_hot(target.where(target != IGNORE, 0), logits.shape[1]).permute(0, 3, 1, 2) * valid
    overlap = (probability * truth).sum((0, 2, 3))
    n_truth = truth.sum((0, 2, 3))
    dice = 2.0 * overlap / (probability.sum((0, 2, 3)) + n_truth).clamp_min(1e-6)
    present = (n_truth > 0).float()
    weight = present if weights is None else present * weights.to(dice)
    return (weight * (1.0 - dice)).sum() / weight.sum().clamp_min(1e-6)


def weighted_cross_entropy(logits: Tensor, target: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return the mean over labelled pixels of ``w_y (-log p_y)`` over the mean of ``w_y``; 0 without labels.

    Parameters
    ----------
    logits : (B, C, H, W) float
    target : (B, H, W) int64, 0..C-1 or 255
    weights : (C,) float32, > 0, optional

    Returns
    -------
    () float32 in [0, inf)
    """
    if not bool((target != IGNORE).any()):
        return logits.float().sum() * 0.0
    weight = None if weights is None else weights.to(logits.device, torch.float32)
    return functional.cross_entropy(logits.float(), target, weight=weight, ignore_index=IGNORE)


def class_weights(counts: Tensor) -> Tensor:
    """Turn pixel counts into class weights: the fourth root of the inverse frequency, of mean 1.

    The plain inverse frequency makes a class of .3 % weigh hundreds of times the background, which thickens
    it at every border and biases what is measured on the mask; the fourth root keeps the ratio below 10.

    Parameters
    ----------
    counts : (C,) int64, >= 0
        Labelled pixels of each class; a class without pixels counts as one pixel.

    Returns
    -------
    (C,) float32, > 0, of mean 1
    """
    frequency = counts.clamp_min(1).double() / counts.clamp_min(1).sum()
    weight = frequency.pow(-0.25)
    return (weight / weight.mean()).float()
