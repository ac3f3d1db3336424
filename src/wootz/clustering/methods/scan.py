"""SCAN: clusters in which neighbours stay together, then self-labelling by the tiles it is sure of."""

import numpy as np
import torch
from torch import Tensor

from wootz.clustering.methods.grouping import Grouping, by_size
from wootz.clustering.methods.head_options import SCANConfig
from wootz.clustering.methods.heads import (
    LinearHeads,
    agreement_of_heads,
    batches,
    one_of,
    over_all,
    start,
)
from wootz.clustering.methods.imbalance import imbalance_note
from wootz.progress import track

SMALLEST = 1e-8


def scan(features: np.ndarray, cfg: SCANConfig, *, rng: np.random.Generator) -> Grouping:
    """Cluster frozen features by SCAN's second and third step.

    Parameters
    ----------
    features : (N, D) float32
    cfg : SCANConfig
    rng : numpy Generator

    Raises
    ------
    WootzError
        For fewer (different) tiles than clusters or neighbours, NaN, features that are all the same.

    Notes
    -----
    The paper trains the encoder too and augments images. Here features are frozen, and in the second part a
    random point between a tile and one of its neighbours stands in for a strongly augmented view.

    The entropy term asks for clusters of equal size: where one class is many times another, it cuts the large
    one and joins small ones. `Grouping.notes` says when that seems to have happened.

    References
    ----------
    Van Gansbeke et al. 2020, arXiv:2005.12320, equation 2 and section 2.3.
    """
    values, neighbours, generator = start(features, cfg, rng=rng)
    n_clusters = cfg.n_clusters or 0
    heads = LinearHeads(cfg.n_heads, values.shape[1], n_clusters, generator=generator).to(values.device)
    optimizer = torch.optim.Adam(heads.parameters(), lr=cfg.lr)
    rows = batches(len(values), cfg.batch_size, n_steps=cfg.steps, generator=generator)
    for batch in track(rows, title="SCAN", total=cfg.steps, unit="steps"):
        pair = torch.cat([batch, one_of(neighbours, batch, generator=generator)]).to(values.device)
        scores, others = heads(values[pair]).chunk(2, dim=1)
        optimizer.zero_grad()
        scan_loss(scores, others, entropy_weight=cfg.entropy_weight).sum().backward()
        optimizer.step()
    losses, labels = _compare(heads, values, neighbours, cfg=cfg, generator=generator)
    best = int(losses.argmin())
    notes = self_label(heads, values, neighbours, cfg=cfg, best=best, generator=generator)
    probabilities = over_all(lambda part: heads(part)[best].softmax(dim=-1), values).numpy()
    found = probabilities.argmax(axis=1).astype(np.int32)
    notes += imbalance_note(found, neighbours.numpy(), n_clusters=n_clusters, preference=cfg.entropy_weight)
    stability = agreement_of_heads(list(labels), best)
    return by_size(Grouping(found, probabilities, stability, float(losses[best]), notes))


def scan_loss(scores: Tensor, others: Tensor, *, entropy_weight: float) -> Tensor:
    """Compute ``-mean log <p, p'> - weight H(mean p)`` of each head.

    Parameters
    ----------
    scores, others : (n_heads, B, n_clusters) float32
        Before the softmax, of tiles and of one neighbour each.
    entropy_weight : float, >= 0

    Returns
    -------
    (n_heads,) float32

    References
    ----------
    Van Gansbeke et al. 2020, arXiv:2005.12320, equation 2 (entropy in nats).
    """
    p, q = scores.softmax(dim=-1), others.softmax(dim=-1)
    consistency = -(p * q).sum(dim=-1).clamp_min(SMALLEST).log().mean(dim=-1)
    return consistency - entropy_weight * _entropy(p.mean(dim=1))


def balanced_cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean cross-entropy in which each class that occurs has the same weight.

    Parameters
    ----------
    scores : (B, n_clusters) float32
    targets : (B,) int64
    """
    counts = torch.bincount(targets, minlength=scores.shape[1]).clamp_min(1)
    weight = 1.0 / counts[targets]
    each = torch.nn.functional.cross_entropy(scores, targets, reduction="none")
    return (weight * each).sum() / weight.sum()


def self_label(
    heads: LinearHeads,
    values: Tensor,
    neighbours: Tensor,
    *,
    cfg: SCANConfig,
    best: int,
    generator: torch.Generator,
) -> tuple[str, ...]:
    """Train the chosen head on the tiles that it is sure of; return a note where there are none.

    Parameters
    ----------
    heads : LinearHeads
        Changed in place.
    values : (N, D) float32
    neighbours : (N, k) int64, on the CPU
    cfg : SCANConfig
    best : int
        Which head.
    generator : torch.Generator
    """
    optimizer = torch.optim.Adam(heads.parameters(), lr=cfg.lr)
    n_used = 0
    rows = batches(len(values), cfg.batch_size, n_steps=cfg.selflabel_steps, generator=generator)
    for batch in track(rows, title="SCAN, self-labelling", total=cfg.selflabel_steps, unit="steps"):
        near = one_of(neighbours, batch, generator=generator)
        here = values[batch.to(values.device)]
        with torch.no_grad():
            sure, targets = heads(here)[best].softmax(dim=-1).max(dim=-1)
        kept = sure > cfg.confidence
        mix = torch.rand(len(batch), 1, generator=generator).to(values.device)
        view = (here + mix * (values[near.to(values.device)] - here))[kept]
        if not len(view):
            continue
        n_used += len(view)
        optimizer.zero_grad()
        balanced_cross_entropy(heads(view)[best], targets[kept]).backward()
        optimizer.step()
    if cfg.selflabel_steps and not n_used:
        return (f"No tile is surer than {cfg.confidence:.0%}: self-labelling was left out.",)
    return ()


@torch.no_grad()
def _compare(
    heads: LinearHeads, values: Tensor, neighbours: Tensor, *, cfg: SCANConfig, generator: torch.Generator
) -> tuple[Tensor, np.ndarray]:
    """Compute the loss of each head over all tiles with one neighbour each, and its labels."""
    near = one_of(neighbours, torch.arange(len(values)), generator=generator).to(values.device)
    total, share, labels = 0.0, 0.0, []
    for rows in torch.arange(len(values), device=values.device).split(8192):
        p, q = heads(values[rows]).softmax(dim=-1), heads(values[near[rows]]).softmax(dim=-1)
        total = total - (p * q).sum(dim=-1).clamp_min(SMALLEST).log().sum(dim=-1)
        share = share + p.sum(dim=1)
        labels.append(p.argmax(dim=-1).cpu().numpy())
    losses = total / len(values) - cfg.entropy_weight * _entropy(torch.as_tensor(share) / len(values))
    return torch.as_tensor(losses).cpu(), np.concatenate(labels, axis=1)


def _entropy(shares: Tensor) -> Tensor:
    return -(shares * shares.clamp_min(SMALLEST).log()).sum(dim=-1)
