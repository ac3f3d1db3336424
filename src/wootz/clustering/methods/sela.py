"""SeLa: labels of equal frequency by optimal transport, learned by heads, assigned anew, and so on."""

import numpy as np
import torch
from torch import Tensor

from wootz.clustering.methods.grouping import Grouping, by_size
from wootz.clustering.methods.head_options import SeLaConfig
from wootz.clustering.methods.heads import (
    LinearHeads,
    agreement_of_heads,
    batches,
    one_of,
    over_all,
    start,
)
from wootz.clustering.methods.imbalance import imbalance_note
from wootz.clustering.methods.sinkhorn import sinkhorn
from wootz.progress import track

N_SCALINGS = 100  # on the way; clusters of the last assignment are equal up to FINAL_SCALINGS
FINAL_SCALINGS = 1000


def sela(features: np.ndarray, cfg: SeLaConfig, *, rng: np.random.Generator) -> Grouping:
    """Cluster frozen features by self-labelling under equal class sizes.

    Parameters
    ----------
    features : (N, D) float32
    cfg : SeLaConfig
    rng : numpy Generator

    Raises
    ------
    WootzError
        For fewer (different) tiles than clusters, NaN, features that are all the same.

    Notes
    -----
    The paper trains the encoder on augmented images. On frozen features a neighbour stands in for the
    augmented view, in training and in the assignment (mean log-probability of a tile and its neighbours):
    without it a linear head would learn whatever labels it made up first. Each head has labels of its own;
    that of the lowest cross-entropy is kept.

    Clusters have equal size by construction.

    References
    ----------
    Asano et al. 2020, arXiv:1911.05371, section 3.
    """
    values, neighbours, generator = start(features, cfg, rng=rng)
    n_clusters = cfg.n_clusters or 0
    heads = LinearHeads(cfg.n_heads, values.shape[1], n_clusters, generator=generator).to(values.device)
    optimizer = torch.optim.Adam(heads.parameters(), lr=cfg.lr)
    labels = torch.zeros(len(values), cfg.n_heads, dtype=torch.long)
    rows = batches(len(values), cfg.batch_size, n_steps=cfg.rounds * cfg.steps, generator=generator)
    for step, batch in enumerate(track(rows, title="SeLa", total=cfg.rounds * cfg.steps, unit="steps")):
        if step % cfg.steps == 0:
            labels = assign(heads, values, neighbours, sharpness=cfg.sharpness)
        view = values[one_of(neighbours, batch, generator=generator).to(values.device)]
        optimizer.zero_grad()
        cross_entropy(heads(view), labels[batch].to(values.device)).sum().backward()
        optimizer.step()
    labels = assign(heads, values, neighbours, sharpness=cfg.sharpness, n_iter=FINAL_SCALINGS)
    scores = over_all(lambda part: heads(part).transpose(0, 1), values)
    losses = cross_entropy(scores.transpose(0, 1), labels)
    best = int(losses.argmin())
    found = labels[:, best].numpy().astype(np.int32)
    notes = imbalance_note(found, neighbours.numpy(), n_clusters=n_clusters, preference=1.0)
    stability = agreement_of_heads(list(labels.numpy().T), best)
    probabilities = scores[:, best].softmax(dim=-1).numpy()
    return by_size(Grouping(found, probabilities, stability, float(losses[best]), notes))


@torch.no_grad()
def assign(
    heads: LinearHeads, values: Tensor, neighbours: Tensor, *, sharpness: float, n_iter: int = N_SCALINGS
) -> Tensor:
    """Give each head labels of equal frequency: (N, n_heads) int64 on the CPU.

    Parameters
    ----------
    heads : LinearHeads
    values : (N, D) float32
    neighbours : (N, k) int64, on the CPU
    sharpness : float, > 0
        Of `sinkhorn`, and so is `n_iter`.
    n_iter : int
    """
    labels = []
    for head in range(len(heads.weight)):
        log_p = over_all(lambda part, head=head: heads(part)[head].log_softmax(dim=-1), values)
        around = (log_p + log_p[neighbours].mean(dim=1)) / 2
        labels.append(
            sinkhorn(around.to(values.device), sharpness=sharpness, n_iter=n_iter).argmax(dim=1).cpu()
        )
    return torch.stack(labels, dim=1)


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Compute each head's mean cross-entropy with its labels.

    Parameters
    ----------
    scores : (n_heads, B, n_clusters) float32
    labels : (B, n_heads) int64

    Returns
    -------
    (n_heads,) float32
    """
    return -scores.log_softmax(dim=-1).gather(2, labels.T[..., None]).mean(dim=(1, 2))
