"""TEMI: student heads learn from slow copies of themselves on pairs of neighbours."""

import copy

import numpy as np
import torch
from torch import Tensor

from wootz.clustering.methods.grouping import Grouping, by_size
from wootz.clustering.methods.head_options import TEMIConfig
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


def temi(features: np.ndarray, cfg: TEMIConfig, *, rng: np.random.Generator) -> Grouping:
    """Cluster frozen features by self-distillation heads under weighted pointwise mutual information.

    Parameters
    ----------
    features : (N, D) float32
    cfg : TEMIConfig
    rng : numpy Generator

    Raises
    ------
    WootzError
        For fewer (different) tiles than clusters, NaN, features that are all the same.

    Notes
    -----
    Heads are linear, on cosines. Dividing by the running cluster sizes makes small clusters as worthy as
    large ones, which again favours equal sizes; the note on imbalance is that of SCAN. The result
    depends much on the momentum of the teacher and the length of the training: the paper's 0.996 belongs to
    trainings many times as long as the default here.

    References
    ----------
    Adaloglou et al. 2023, arXiv:2303.17896, equations 5 to 9.
    """
    values, neighbours, generator = start(features, cfg, rng=rng)
    n_clusters = cfg.n_clusters or 0
    student = LinearHeads(cfg.n_heads, values.shape[1], n_clusters, generator=generator, cosine=True)
    student = student.to(values.device)
    teacher = copy.deepcopy(student).requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(student.parameters(), lr=cfg.lr, weight_decay=0.0)
    shares = torch.full((cfg.n_heads, n_clusters), 1 / n_clusters, device=values.device)
    rows = batches(len(values), cfg.batch_size, n_steps=cfg.steps, generator=generator)
    recent = torch.zeros(cfg.n_heads)
    for batch in track(rows, title="TEMI", total=cfg.steps, unit="steps"):
        pair = values[torch.cat([batch, one_of(neighbours, batch, generator=generator)]).to(values.device)]
        learns = (student(pair) / cfg.temperature).softmax(dim=-1)
        with torch.no_grad():
            teaches = (teacher(pair) / cfg.temperature).softmax(dim=-1)
            shares.lerp_(teaches.mean(dim=1), 1 - cfg.share_momentum)
        losses = temi_loss(learns, teaches, shares=shares, beta=cfg.beta)
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
        with torch.no_grad():
            teacher.weight.lerp_(student.weight, 1 - cfg.teacher_momentum)
        recent.lerp_(losses.detach().cpu(), 0.05)
    best = int(recent.argmin())
    every = over_all(lambda part: teacher(part).argmax(dim=-1).T, values).numpy().T
    probabilities = over_all(lambda part: (teacher(part)[best] / cfg.temperature).softmax(dim=-1), values)
    labels = every[best].astype(np.int32)
    notes = imbalance_note(labels, neighbours.numpy(), n_clusters=n_clusters, preference=1.0)
    stability = agreement_of_heads(list(every), best)
    return by_size(Grouping(labels, probabilities.numpy(), stability, float(recent[best]), notes))


def temi_loss(learns: Tensor, teaches: Tensor, *, shares: Tensor, beta: float) -> Tensor:
    """Compute the weighted, symmetric loss of pairs.

    Parameters
    ----------
    learns, teaches : (n_heads, 2 B, n_clusters) float32
        Probabilities by students and teachers; row ``B + i`` is the neighbour of row ``i``.
    shares : (n_heads, n_clusters) float32
        Running mean of the teachers' probabilities.
    beta : float in (0, 1]

    Returns
    -------
    (n_heads,) float32

    References
    ----------
    Adaloglou et al. 2023, arXiv:2303.17896: pointwise mutual information
    ``log sum_c (s_c(x) t_c(x'))^beta / share_c``, weight ``mean over heads of sum_c t_c(x) t_c(x')``.
    """
    s_here, s_near = learns.chunk(2, dim=1)
    t_here, t_near = teaches.chunk(2, dim=1)
    weight = (t_here * t_near).sum(dim=-1).mean(dim=0)
    share = shares[:, None].clamp_min(SMALLEST)

    def information(s: Tensor, t: Tensor) -> Tensor:
        return ((s * t).clamp_min(SMALLEST**2).pow(beta) / share).sum(dim=-1).log()

    return -(weight * (information(s_here, t_near) + information(s_near, t_here)) / 2).mean(dim=-1)
