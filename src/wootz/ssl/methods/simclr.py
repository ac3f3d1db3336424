"""SimCLR: tell each tile from all others, whatever the view."""

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor, nn

from wootz.ssl.methods.options import SimCLRConfig
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.views import TileBatch


class SimCLR(nn.Module):
    """Encoder, two-layer projection head and the NT-Xent loss.

    Notes
    -----
    Under several processes the loss gathers the projections of all of them (lightly's default does not, which
    gives other gradients than one process with the whole batch).

    References
    ----------
    Chen et al. 2020, arXiv:2002.05709, equation 1.
    """

    def __init__(self, encoder: nn.Module, cfg: SimCLRConfig) -> None:
        super().__init__()
        dim: int = encoder.dim  # type: ignore[assignment]
        self.encoder = encoder
        self.head = SimCLRProjectionHead(dim, cfg.hidden_dim or dim, cfg.output_dim)
        self.criterion = NTXentLoss(temperature=cfg.temperature, gather_distributed=True)

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw two views of each tile."""
        return batch.two_views()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the loss of two views (B, 1, H, W) of the same tiles; batch norm sees both at once."""
        projections = self.head(self.encoder(torch.cat([first, second])))
        left, right = at_least_float32(projections).chunk(2)
        with torch.autocast(left.device.type, enabled=False):
            return self.criterion(left, right)

    def update(self, progress: float) -> None:
        """Do nothing: SimCLR keeps no slow copy."""
