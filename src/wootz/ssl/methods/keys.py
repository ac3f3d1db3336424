"""Keys of contrastive methods: encoded in parts, gathered over processes, kept in a queue, compared."""

from collections.abc import Callable

import torch
from lightly.utils import dist
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """The newest keys of all processes, first in, first out; equal on all of them and in the state dict.

    Parameters
    ----------
    length : int, > 0
    dim : int
    generator : torch.Generator
        Fills the queue with random unit vectors before the first keys arrive.

    Attributes
    ----------
    bank : (length, dim) float32
    pointer : (1,) int64
        Where the next key goes.
    n_pushed : (1,) int64
        How many keys have ever come; below `length`, random vectors are left.
    """

    bank: Tensor
    pointer: Tensor
    n_pushed: Tensor

    def __init__(self, length: int, dim: int, *, generator: torch.Generator) -> None:
        super().__init__()
        start = torch.randn(length, dim, generator=generator)
        self.register_buffer("bank", nn.functional.normalize(start, dim=1))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))
        self.register_buffer("n_pushed", torch.zeros(1, dtype=torch.long))
        self._was_full = False

    def negatives(self) -> Tensor:
        """Return a copy of all keys (length, dim): a push before the backward pass does not change it."""
        return self.bank.clone()

    def is_full(self) -> bool:
        """Say whether no random vector is left; a GPU is waited for only until that is so."""
        self._was_full = self._was_full or int(self.n_pushed) >= len(self.bank)
        return self._was_full

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Put the keys (B, dim) of all processes, in the order of their ranks, in place of the oldest."""
        keys = gather_keys(keys.detach())
        n, length = len(keys), len(self.bank)
        rows = (self.pointer + torch.arange(n, device=keys.device)) % length
        self.bank.index_copy_(0, rows[-length:], keys[-length:].to(self.bank.dtype))
        self.pointer.add_(n).remainder_(length)
        self.n_pushed.add_(n)


def gather_keys(keys: Tensor) -> Tensor:
    """Return the keys of all processes (world size x B, dim), in the order of their ranks; no gradients."""
    if dist.world_size() == 1:
        return keys
    parts = [torch.empty_like(keys) for _ in range(dist.world_size())]
    torch.distributed.all_gather(parts, keys.contiguous())
    return torch.cat(parts)


def encode_in_parts(
    views: Tensor, encode: Callable[[Tensor], tuple[Tensor, ...]], *, n_parts: int
) -> tuple[Tensor, ...]:
    """Encode strided parts of a batch, each with batch statistics of its own.

    Parameters
    ----------
    views : (B, 1, H, W)
    encode : callable
        Maps views to a tuple of tensors whose first axis is the batch.
    n_parts : int
        At most; a part holds at least 4 views.

    Notes
    -----
    In place of shuffling between GPUs (He et al. 2020, section 3.3): queries share one batch statistic, keys
    do not, so it cannot give the pair away. Which tiles share a part is random, as the order of the batch is.
    """
    n_parts = max(1, min(n_parts, len(views) // 4))
    parts = [encode(views[part::n_parts]) for part in range(n_parts)]
    outputs = []
    for values in zip(*parts, strict=True):
        out = values[0].new_empty(len(views), *values[0].shape[1:])
        for part, value in enumerate(values):
            out[part::n_parts] = value
        outputs.append(out)
    return tuple(outputs)


def info_nce(queries: Tensor, keys: Tensor, *, negatives: Tensor, temperature: float) -> Tensor:
    """Return the mean of ``-log(exp(q k / t) / (exp(q k / t) + sum of exp(q n / t)))`` over the queries.

    Parameters
    ----------
    queries, keys : (N, D)
        Unit vectors; row i of one belongs to row i of the other.
    negatives : (K, D)
        Unit vectors, common to all queries.
    temperature : float, > 0

    References
    ----------
    van den Oord et al. 2018, arXiv:1807.03748, equation 4; He et al. 2020, doi:10.1109/CVPR42600.2020.00975,
    equation 1.
    """
    positive = (queries * keys).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, queries @ negatives.T], dim=1) / temperature
    return (torch.logsumexp(logits, dim=1) - logits[:, 0]).mean()
