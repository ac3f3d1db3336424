"""Linear heads on frozen features: several at once as one tensor, on any device, from one seed."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wootz.clustering.graph import knn_graph
from wootz.clustering.hierarchy import fitting_neighbours
from wootz.clustering.methods.grouping import check_points

CHUNK_ROWS = 16_384


class LinearHeads(nn.Module):
    """Several linear classifiers of the same features.

    Parameters
    ----------
    n_heads, dim, n_clusters : int
    generator : torch.Generator
        Draws the first weights.
    cosine : bool
        Compare directions: features and weights are scaled to unit length, and there is no bias.
    """

    def __init__(
        self, n_heads: int, dim: int, n_clusters: int, *, generator: torch.Generator, cosine: bool = False
    ) -> None:
        super().__init__()
        self.cosine = cosine
        first = torch.randn(n_heads, dim, n_clusters, generator=generator) / dim**0.5
        self.weight = nn.Parameter(first)
        self.bias = None if cosine else nn.Parameter(torch.zeros(n_heads, 1, n_clusters))

    def forward(self, features: Tensor) -> Tensor:
        """Compute scores: (B, dim) -> (n_heads, B, n_clusters)."""
        weight = self.weight
        if self.cosine:
            features, weight = (
                nn.functional.normalize(features, dim=1),
                nn.functional.normalize(weight, dim=1),
            )
        # one product for all heads: a batch of thin ones takes many times as long on a CPU
        flat = features @ weight.transpose(0, 1).flatten(1)
        scores = flat.unflatten(1, (weight.shape[0], weight.shape[2])).transpose(0, 1)
        return scores if self.bias is None else scores + self.bias


def start(
    features: np.ndarray, cfg: Any, *, rng: np.random.Generator
) -> tuple[Tensor, Tensor, torch.Generator]:
    """Check features, find their neighbours and put them where heads are trained.

    Parameters
    ----------
    features : (N, D) float32
    cfg : options of a method
        ``n_clusters`` and ``n_neighbors``.
    rng : numpy Generator

    Returns
    -------
    values : (N, D) float32
        See `on_device`.
    neighbours : (N, k) int64, on the CPU
    generator : torch.Generator

    Raises
    ------
    WootzError
        For the reasons of `check_points`, or fewer tiles than neighbours.
    """
    points = check_points(features, cfg.n_clusters)
    neighbours = nearest(points, cfg.n_neighbors, rng=rng)
    return on_device(points), neighbours, new_generator(rng)


def on_device(features: np.ndarray) -> Tensor:
    """Centre features, scale them by one number to a mean square of 1, and put them on the GPU, if any.

    One number for all: coordinates keep their relation, and learning rates suit every encoder.

    Parameters
    ----------
    features : (N, D) float32

    Returns
    -------
    (N, D) float32
    """
    centred = features - features.mean(axis=0, dtype=np.float64)
    scale = np.sqrt(np.mean(np.square(centred)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.from_numpy((centred / scale).astype(np.float32)).to(device)


def new_generator(rng: np.random.Generator) -> torch.Generator:
    """Return a torch generator on the CPU, seeded by a draw of `rng`."""
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def batches(n: int, batch_size: int, *, n_steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield row numbers, epoch after epoch in new order, `n_steps` times; what is left over is dropped."""
    size = min(n, batch_size)
    endless = itertools.chain.from_iterable(
        torch.randperm(n, generator=generator)[: n // size * size].split(size) for _ in itertools.count()
    )
    return itertools.islice(endless, n_steps)


def nearest(points: np.ndarray, wanted: int, *, rng: np.random.Generator) -> Tensor:
    """Find the nearest neighbours of each point: (N, k) int64 on the CPU.

    A point stands in for a missing neighbour. Where there are few points, `wanted` is lowered as in the graph
    method.
    """
    found = knn_graph(points, fitting_neighbours(len(points), wanted), rng=rng, weight="equal").neighbours
    neighbours = torch.from_numpy(found).long()
    return torch.where(neighbours < 0, torch.arange(len(points))[:, None], neighbours)


def one_of(neighbours: Tensor, rows: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw a neighbour of each row: (N, k) int64 on the CPU, (B,) -> (B,)."""
    which = torch.randint(neighbours.shape[1], (len(rows),), generator=generator)
    return neighbours[rows, which]


@torch.no_grad()
def over_all(score: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """Apply `score` to all rows in chunks: (N, D) -> (N, ...), on the CPU."""
    return torch.cat([score(part).cpu() for part in features.split(CHUNK_ROWS)])


def agreement_of_heads(labels: list[np.ndarray], best: int) -> float:
    """Return the mean adjusted Rand index between the chosen head and the others; NaN for one head."""
    from sklearn.metrics import adjusted_rand_score

    others = [adjusted_rand_score(labels[best], other) for i, other in enumerate(labels) if i != best]
    return float(np.mean(others)) if others else float("nan")
