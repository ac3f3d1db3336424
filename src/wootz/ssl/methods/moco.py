"""MoCo v2: contrast with a queue of earlier keys, so that small batches have many negatives."""

import copy

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn

from wootz.ssl.methods.keys import encode_in_parts
from wootz.ssl.methods.options import MoCoConfig
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.views import TileBatch


class MoCo(nn.Module):
    """Query encoder and head, slow key encoder and head, and a queue of keys.

    Parameters
    ----------
    encoder : nn.Module
        With an attribute ``dim``.
    cfg : MoCoConfig
    queue : int
        Length of the queue: below the number of tiles, so that a tile rarely meets its own old key.
    generator : torch.Generator
        Fills the queue before the first keys arrive, and shuffles.

    Notes
    -----
    lightly keeps its queue out of the state dict, so that a resumed run would start over with random
    negatives; here it is part of it. In place of shuffling between GPUs, keys are encoded in random parts of
    the batch; see `encode_in_parts`.

    References
    ----------
    He et al. 2020, doi:10.1109/CVPR42600.2020.00975, algorithm 1; Chen et al. 2020, arXiv:2003.04297.
    """

    def __init__(
        self, encoder: nn.Module, cfg: MoCoConfig, *, queue: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        dim: int = encoder.dim  # type: ignore[assignment]
        self.momentum = cfg.momentum
        self.key_groups = cfg.key_groups
        self.encoder = encoder
        self.head = MoCoProjectionHead(dim, cfg.hidden_dim or dim, cfg.output_dim)
        self.key_encoder = copy.deepcopy(encoder)
        self.key_head = copy.deepcopy(self.head)
        deactivate_requires_grad(self.key_encoder)
        deactivate_requires_grad(self.key_head)
        self.criterion = NTXentLoss(
            temperature=cfg.temperature, memory_bank_size=(queue, cfg.output_dim), gather_distributed=True
        )
        bank = self.criterion.memory_bank
        start = torch.randn(bank.bank.shape, generator=generator)
        bank.register_buffer("bank", nn.functional.normalize(start, dim=1), persistent=True)
        bank.register_buffer("bank_ptr", torch.zeros(1, dtype=torch.long), persistent=True)

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw two views of each tile."""
        return batch.two_views()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the loss of two views (B, 1, H, W) and put the keys of the second into the queue."""
        queries = at_least_float32(self.head(self.encoder(first)))
        with torch.no_grad():
            keys = at_least_float32(self._keys(second))
        with torch.autocast(queries.device.type, enabled=False):
            return self.criterion(queries, keys)

    def update(self, progress: float) -> None:  # noqa: ARG002
        """Let the key encoder follow by a constant momentum."""
        update_momentum(self.encoder, self.key_encoder, m=self.momentum)
        update_momentum(self.head, self.key_head, m=self.momentum)

    def _keys(self, views: Tensor) -> Tensor:
        """Encode the views in parts, so that batch statistics tell nothing about the pairs."""
        (keys,) = encode_in_parts(
            views, lambda part: (self.key_head(self.key_encoder(part)),), n_parts=self.key_groups
        )
        return keys
