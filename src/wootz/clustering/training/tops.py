"""Linear layers above an encoder, drawn anew whenever labels are: flat, or two levels with rotation."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

N_TURNS = 4
FIRST_SD = 0.01


class Top(Protocol):
    """What `Classifying` asks of the layer above the encoder."""

    def redraw(self, labels: np.ndarray, *, generator: torch.Generator) -> None:
        """Forget the labels before, and draw first weights for these (N,)."""
        ...

    def __call__(self, features: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of (B, dim) features with (B,) targets."""
        ...


class FlatTop(nn.Module):
    """One linear layer without bias over all labels.

    Parameters
    ----------
    n_labels : int
        Most different labels.
    dim : int
    """

    n_present: Tensor

    def __init__(self, n_labels: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_labels, dim))
        self.register_buffer("n_present", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def redraw(self, labels: np.ndarray, *, generator: torch.Generator) -> None:
        """Draw first weights; only labels up to the largest of (N,) can be answers."""
        draw(self.weight, generator=generator)
        self.n_present.fill_(int(labels.max()) + 1)

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross-entropy."""
        return nn.functional.cross_entropy(features @ self.weight[: int(self.n_present)].T, targets)


class TwoLevelTop(nn.Module):
    """DeeperCluster's layers: which cluster and rotation, then which sub-class within these.

    Parameters
    ----------
    n_clusters : int
        Clusters of the first level; with the four rotations they make ``4 n_clusters`` super-classes.
    n_sub : int
        Most sub-classes of a cluster.
    dim : int

    Notes
    -----
    A label is ``cluster * n_sub + sub-class``, a target the joint label ``4 * label + quarter turns``. The
    loss of an image x of super-class y and sub-class z is ``l(V f(x), y) + l(W_y f(x), z)``, l the negative
    log-softmax: each super-class has a classifier W of its own, which learns from its own images only.

    References
    ----------
    Caron et al. 2019, arXiv:1905.01278, section 3.2, equation 5.
    """

    sizes: Tensor

    def __init__(self, n_clusters: int, n_sub: int, dim: int) -> None:
        super().__init__()
        self.n_sub = n_sub
        self.first = nn.Parameter(torch.zeros(N_TURNS * n_clusters, dim))
        self.second = nn.Parameter(torch.zeros(N_TURNS * n_clusters, n_sub, dim))
        self.register_buffer("sizes", torch.zeros(n_clusters, dtype=torch.long))

    @torch.no_grad()
    def redraw(self, labels: np.ndarray, *, generator: torch.Generator) -> None:
        """Draw first weights; only clusters and sub-classes that occur among (N,) labels can be answers."""
        draw(self.first, generator=generator)
        draw(self.second, generator=generator)
        self.sizes.zero_()
        for cluster, sub in {divmod(int(label), self.n_sub) for label in np.unique(labels)}:
            self.sizes[cluster] = max(int(self.sizes[cluster]), sub + 1)

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean of both cross-entropies."""
        label, turn = targets // N_TURNS, targets % N_TURNS
        cluster, sub = label // self.n_sub, label % self.n_sub
        upper = N_TURNS * cluster + turn
        n_upper = N_TURNS * int((self.sizes > 0).sum())
        loss = nn.functional.cross_entropy(features @ self.first[:n_upper].T, upper)
        scores = torch.einsum("bd,bkd->bk", features, self.second[upper])
        absent = torch.arange(self.n_sub, device=scores.device)[None] >= self.sizes[cluster][:, None]
        return loss + nn.functional.cross_entropy(scores.masked_fill(absent, float("-inf")), sub)


def draw(weight: Tensor, *, generator: torch.Generator) -> None:
    """Fill a weight with small normal numbers, drawn on the CPU."""
    weight.copy_(FIRST_SD * torch.randn(weight.shape, generator=generator))


def quarter_turned(pixels: Tensor, turns: Tensor) -> Tensor:
    """Turn each square tile anticlockwise: (B, 1, H, H) float32 by (B,) quarter turns in 0 to 3."""
    out = pixels.clone()
    for k in range(1, N_TURNS):
        chosen = turns == k
        out[chosen] = torch.rot90(pixels[chosen], k, dims=(2, 3))
    return out
