"""MoCo v3: contrast predictions with a slow copy's view of all other tiles in the batch; no queue."""

import copy

import torch
from lightly.models.modules.heads import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.utils import dist
from torch import Tensor, nn

from wootz.ssl.methods.keys import gather_keys
from wootz.ssl.methods.momentum import rising_momentum
from wootz.ssl.methods.options import MoCoV3Config
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.views import TileBatch


class MoCoV3(nn.Module):
    """Encoder, projection head and predictor; slow copies of the first two encode the keys.

    Notes
    -----
    Keys of all processes are negatives of each. The paper freezes the patch projection of a ViT; here it
    learns like the rest.

    References
    ----------
    Chen et al. 2021, arXiv:2104.02057, equation 1 and algorithm 1.
    """

    def __init__(self, encoder: nn.Module, cfg: MoCoV3Config) -> None:
        super().__init__()
        dim: int = encoder.dim  # type: ignore[assignment]
        hidden = cfg.hidden_dim or 2 * dim
        out = cfg.output_dim
        self.momentum = cfg.momentum
        self.temperature = cfg.temperature
        self.encoder = encoder
        self.head = MoCoProjectionHead(dim, hidden, out, num_layers=3, batch_norm=True)
        self.predictor = MoCoProjectionHead(out, hidden, out, num_layers=2, batch_norm=True)
        self.key_encoder = copy.deepcopy(encoder)
        self.key_head = copy.deepcopy(self.head)
        deactivate_requires_grad(self.key_encoder)
        deactivate_requires_grad(self.key_head)

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw two views of each tile."""
        return batch.two_views()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the symmetric loss of two views (B, 1, H, W)."""
        views = torch.cat([first, second])
        queries = at_least_float32(self.predictor(self.head(self.encoder(views))))
        with torch.no_grad():
            keys = at_least_float32(self.key_head(self.key_encoder(views)))
        with torch.autocast(queries.device.type, enabled=False):
            left, right = nn.functional.normalize(queries, dim=1).chunk(2)
            key_left, key_right = nn.functional.normalize(keys, dim=1).chunk(2)
            return self._contrast(left, key_right) + self._contrast(right, key_left)

    def update(self, progress: float) -> None:
        """Let the key encoder follow; its momentum rises to 1."""
        momentum = rising_momentum(self.momentum, progress=progress)
        update_momentum(self.encoder, self.key_encoder, m=momentum)
        update_momentum(self.head, self.key_head, m=momentum)

    def _contrast(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compute 2 t InfoNCE, in which row i of the keys belongs to row i of the queries."""
        logits = queries @ gather_keys(keys).T / self.temperature
        labels = torch.arange(len(queries), device=queries.device) + dist.rank() * len(queries)
        return 2 * self.temperature * nn.functional.cross_entropy(logits, labels)
