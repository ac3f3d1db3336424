"""SimGCD on frozen features: named tiles teach their classes, a head finds new ones among the rest."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, normalize

from wootz.clustering.methods.grouping import Grouping, by_size
from wootz.clustering.methods.head_options import SimGCDConfig
from wootz.clustering.methods.heads import (
    LinearHeads,
    batches,
    one_of,
    over_all,
    start,
)
from wootz.clustering.methods.imbalance import imbalance_note
from wootz.clustering.methods.known import Known, check_known
from wootz.progress import track

SUPERVISED_TEMPERATURE = 0.07
CONTRAST_TEMPERATURE = 1.0
PROJECTION_DIM = 64


class SimGCDHead(nn.Module):
    """A linear change of the features, cosine prototypes on it, and a projection for the contrastive losses.

    Parameters
    ----------
    dim, n_clusters : int
    generator : torch.Generator
        Draws the first weights; the change of the features starts as none.
    """

    def __init__(self, dim: int, n_clusters: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.eye(dim))
        self.prototypes = LinearHeads(1, dim, n_clusters, generator=generator, cosine=True)
        self.first = nn.Parameter(torch.randn(dim, dim, generator=generator) / dim**0.5)
        self.second = nn.Parameter(torch.randn(dim, PROJECTION_DIM, generator=generator) / dim**0.5)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines with the prototypes (B, n_clusters) and projections of unit length (B, 64)."""
        changed = features @ self.change
        projected = nn.functional.gelu(changed @ self.first) @ self.second
        return self.prototypes(changed)[0], normalize(projected, dim=1)


def simgcd(features: np.ndarray, cfg: SimGCDConfig, *, known: Known, rng: np.random.Generator) -> Grouping:
    """Assign each tile to a named class or to a new one.

    Parameters
    ----------
    features : (N, D) float32
    cfg : SimGCDConfig
        ``n_clusters`` counts named and new classes.
    known : Known
        Which tiles are named.
    rng : numpy Generator

    Raises
    ------
    WootzError
        If no tile is named or there are more names than clusters; for fewer (different) tiles than clusters,
        NaN, features that are all the same.

    Notes
    -----
    The paper trains the last block of the encoder on two augmented views. On frozen features a linear change
    of them is trained instead, and a tile and a neighbour are the views.

    References
    ----------
    Wen et al. 2023, arXiv:2211.11727, section 4.
    """
    values, neighbours, generator = start(features, cfg, rng=rng)
    n_clusters = cfg.n_clusters or 0
    check_known(known, n_points=len(values), n_clusters=n_clusters)
    head = SimGCDHead(values.shape[1], n_clusters, generator=generator).to(values.device)
    optimizer = torch.optim.SGD(head.parameters(), lr=cfg.lr, momentum=0.9)
    targets = torch.from_numpy(known.labels.astype(np.int64))
    rows = _half_named(targets, cfg, generator=generator)
    for step, batch in enumerate(track(rows, title="SimGCD", total=cfg.steps, unit="steps")):
        done = step / cfg.steps
        optimizer.param_groups[0]["lr"] = cfg.lr * (0.5 + 0.5 * math.cos(math.pi * done))
        pair = torch.cat([batch, one_of(neighbours, batch, generator=generator)]).to(values.device)
        cosines, projected = head(values[pair])
        loss = simgcd_loss(
            cosines,
            projected,
            targets[batch].to(values.device),
            cfg=cfg,
            teacher_temperature=teacher_temperature(done, cfg),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    probabilities = over_all(lambda part: (head(part)[0] / cfg.temperature).softmax(dim=-1), values).numpy()
    labels = probabilities.argmax(axis=1).astype(np.int32)
    notes = imbalance_note(labels, neighbours.numpy(), n_clusters=n_clusters, preference=cfg.entropy_weight)
    named = known.labels >= 0
    right = float((labels[named] == known.labels[named]).mean())
    notes += (f"{right:.0%} of the {named.sum()} named tiles are in the cluster of their name.",)
    names = (*known.names, *[""] * (n_clusters - len(known.names)))
    return by_size(Grouping(labels, probabilities, float("nan"), notes=notes, names=names))


def _half_named(targets: Tensor, cfg: SimGCDConfig, *, generator: torch.Generator):
    """Yield batches whose one half is named and the other is not, as far as there are such tiles."""
    parts = [torch.nonzero(targets >= 0)[:, 0], torch.nonzero(targets < 0)[:, 0]]
    parts = [part for part in parts if len(part)]
    streams = [
        batches(len(part), cfg.batch_size // len(parts), n_steps=cfg.steps, generator=generator)
        for part in parts
    ]
    for chosen in zip(*streams, strict=True):
        yield torch.cat([part[rows] for part, rows in zip(parts, chosen, strict=True)])


def teacher_temperature(done: float, cfg: SimGCDConfig) -> float:
    """Return the temperature of the labels it learns from, after a part `done` of the training in [0, 1]."""
    if done >= cfg.warmup_frac:
        return cfg.teacher_temperature
    at = done / cfg.warmup_frac
    return cfg.teacher_temperature_first + at * (cfg.teacher_temperature - cfg.teacher_temperature_first)


def simgcd_loss(
    cosines: Tensor, projected: Tensor, targets: Tensor, *, cfg: SimGCDConfig, teacher_temperature: float
) -> Tensor:
    """Add up the four parts: self-distillation with mean entropy, contrast, named classes, named contrast.

    Parameters
    ----------
    cosines : (2 B, n_clusters) float32
        Row ``B + i`` is the other view of row ``i``.
    projected : (2 B, P) float32, of unit length
    targets : (B,) int64
        -1 for tiles without a name.
    cfg : SimGCDConfig
    teacher_temperature : float, > 0

    References
    ----------
    Wen et al. 2023, arXiv:2211.11727, equations 1 to 5.
    """
    named = torch.cat([targets, targets])
    unsupervised = distillation(
        cosines,
        temperature=cfg.temperature,
        teacher_temperature=teacher_temperature,
        entropy_weight=cfg.entropy_weight,
    ) + contrast(projected, torch.arange(len(targets), device=targets.device).repeat(2), CONTRAST_TEMPERATURE)
    if not bool((targets >= 0).any()):
        return (1 - cfg.supervised_weight) * unsupervised
    kept = named >= 0
    supervised = cross_entropy(cosines[kept] / cfg.temperature, named[kept])
    supervised = supervised + contrast(projected[kept], named[kept], SUPERVISED_TEMPERATURE)
    return (1 - cfg.supervised_weight) * unsupervised + cfg.supervised_weight * supervised


def distillation(
    cosines: Tensor, *, temperature: float, teacher_temperature: float, entropy_weight: float
) -> Tensor:
    """Compute the cross-entropy of each view with the sharpened other, less the entropy of the mean.

    Parameters
    ----------
    cosines : (2 B, n_clusters) float32
    temperature, teacher_temperature : float, > 0
    entropy_weight : float, >= 0

    References
    ----------
    Wen et al. 2023, arXiv:2211.11727, equation 4 (the teacher gets no gradient).
    """
    here, near = (cosines / temperature).chunk(2)
    t_here, t_near = (cosines.detach() / teacher_temperature).softmax(dim=1).chunk(2)
    each = -(t_near * log_softmax(here, dim=1)).sum(dim=1) - (t_here * log_softmax(near, dim=1)).sum(dim=1)
    mean = (cosines / temperature).softmax(dim=1).mean(dim=0)
    entropy = -(mean * mean.clamp_min(1e-8).log()).sum()
    return each.mean() / 2 - entropy_weight * entropy


def contrast(projected: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """Compute the contrastive loss in which rows of the same group attract each other.

    With one group per tile, of its two views, this is the loss without names; with classes as groups it is
    the supervised one.

    Parameters
    ----------
    projected : (M, P) float32, of unit length
    groups : (M,) int64
        Each at least twice.
    temperature : float, > 0

    References
    ----------
    Khosla et al. 2020, arXiv:2004.11362, equation 2.
    """
    scores = projected @ projected.T / temperature
    itself = torch.eye(len(groups), dtype=torch.bool, device=groups.device)
    log_p = log_softmax(scores.masked_fill(itself, float("-inf")), dim=1).masked_fill(itself, 0.0)
    alike = (groups[:, None] == groups[None]) & ~itself
    return -((log_p * alike).sum(dim=1) / alike.sum(dim=1)).mean()
