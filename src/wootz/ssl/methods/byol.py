"""BYOL: predict what a slow copy of the network makes of the other view."""

import copy

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn

from wootz.ssl.methods.momentum import rising_momentum
from wootz.ssl.methods.options import BYOLConfig
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.views import TileBatch


class BYOL(nn.Module):
    """Online encoder, projection and prediction head; target encoder and projection head that follow.

    Notes
    -----
    The target's momentum rises from `momentum` to 1 along a half cosine over the training. All parts of the
    loss are per tile, so several processes need no gathering; batch norm statistics do (SyncBatchNorm).

    References
    ----------
    Grill et al. 2020, arXiv:2006.07733, equations 1 and 2, appendix B.
    """

    def __init__(self, encoder: nn.Module, cfg: BYOLConfig) -> None:
        super().__init__()
        dim: int = encoder.dim  # type: ignore[assignment]
        hidden = cfg.hidden_dim or 2 * dim
        self.momentum = cfg.momentum
        self.encoder = encoder
        self.head = BYOLProjectionHead(dim, hidden, cfg.output_dim)
        self.predictor = BYOLPredictionHead(cfg.output_dim, hidden, cfg.output_dim)
        self.target_encoder = copy.deepcopy(encoder)
        self.target_head = copy.deepcopy(self.head)
        deactivate_requires_grad(self.target_encoder)
        deactivate_requires_grad(self.target_head)
        self.criterion = NegativeCosineSimilarity()

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw two views of each tile."""
        return batch.two_views()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the symmetric loss of two views (B, 1, H, W), in [-1, 1]."""
        views = torch.cat([first, second])
        predictions = at_least_float32(self.predictor(self.head(self.encoder(views))))
        with torch.no_grad():
            targets = at_least_float32(self.target_head(self.target_encoder(views)))
        left, right = predictions.chunk(2)
        target_left, target_right = targets.chunk(2)
        return 0.5 * (self.criterion(left, target_right) + self.criterion(right, target_left))

    def update(self, progress: float) -> None:
        """Let the target follow; `progress` of the training is in [0, 1]."""
        momentum = rising_momentum(self.momentum, progress=progress)
        update_momentum(self.encoder, self.target_encoder, m=momentum)
        update_momentum(self.head, self.target_head, m=momentum)
