"""VICReg: equal features for two views, kept apart by their variance and covariance alone."""

import torch
from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from torch import Tensor, nn

from wootz.ssl.methods.options import VICRegConfig
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.views import TileBatch


class VICReg(nn.Module):
    """Encoder, three-layer projection head and the loss of invariance, variance and covariance.

    Notes
    -----
    As in the authors' code, the invariance term is a mean over the dimensions (equation 5 sums them) and the
    variance term a mean over the two views (equation 6 adds them); the weights of 25, 25 and 1 are meant for
    that. Under several processes variance and covariance are those of the whole batch.

    References
    ----------
    Bardes et al. 2022, arXiv:2105.04906, equations 1 to 6.
    """

    def __init__(self, encoder: nn.Module, cfg: VICRegConfig) -> None:
        super().__init__()
        dim: int = encoder.dim  # type: ignore[assignment]
        self.encoder = encoder
        self.head = VICRegProjectionHead(dim, cfg.hidden_dim or 2 * dim, cfg.output_dim)
        self.criterion = VICRegLoss(
            lambda_param=cfg.invariance_weight,
            mu_param=cfg.variance_weight,
            nu_param=cfg.covariance_weight,
            gather_distributed=True,
        )

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw two views of each tile."""
        return batch.two_views()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the loss of two views (B, 1, H, W) of the same tiles."""
        left, right = at_least_float32(self.head(self.encoder(torch.cat([first, second])))).chunk(2)
        with torch.autocast(left.device.type, enabled=False):
            return self.criterion(left, right)

    def update(self, progress: float) -> None:
        """Do nothing: VICReg keeps no slow copy."""
