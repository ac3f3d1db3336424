"""SwaV: one view of a tile predicts to which prototypes another view belongs."""

import torch
from lightly.loss import SwaVLoss
from lightly.models.modules.heads import SwaVProjectionHead, SwaVPrototypes
from lightly.utils import dist
from torch import Tensor, nn

from wootz.ssl.methods.keys import KeyQueue
from wootz.ssl.methods.multicrop import multi_crop
from wootz.ssl.methods.options import SwaVConfig
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.views import TileBatch


class SwaV(nn.Module):
    """Encoder, projection head, prototypes, and a queue of projections for the assignment.

    Parameters
    ----------
    encoder : nn.Module
        With an attribute ``dim``.
    cfg : SwaVConfig
    queue : int
        Length of the queue, a multiple of the number of processes; 0 for none.
    generator : torch.Generator
        Fills the queue before the first projections arrive; they are not used until it is full.

    Notes
    -----
    lightly's prototypes carry a bias, which equation 2 has not: it could balance the assignment in place of
    the features, so it is taken out. The assignment is balanced over the batches of all processes and the
    queue; each process brings its share of the queue, so that none counts twice.
    A loss that stays at ln(prototypes) says that views do not tell their prototype: train longer, or make the
    views more alike.

    References
    ----------
    Caron et al. 2020, arXiv:2006.09882, equations 1 to 6; freezing and queue: appendix A.1.
    """

    done: Tensor

    def __init__(
        self, encoder: nn.Module, cfg: SwaVConfig, *, queue: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        dim: int = encoder.dim  # type: ignore[assignment]
        self.cfg = cfg
        self.encoder = encoder
        self.head = SwaVProjectionHead(dim, cfg.hidden_dim or 2 * dim, cfg.output_dim)
        self.prototypes = SwaVPrototypes(cfg.output_dim, cfg.prototypes)
        layer: nn.Linear = self.prototypes.heads[0]  # type: ignore[assignment]
        layer.register_parameter("bias", None)
        self.prototypes.normalize()
        self.criterion = SwaVLoss(
            temperature=cfg.temperature,
            sinkhorn_epsilon=cfg.epsilon,
            sinkhorn_iterations=cfg.iterations,
            sinkhorn_gather_distributed=True,
        )
        n_queues = 2 if queue else 0
        self.queues = nn.ModuleList(
            [KeyQueue(queue, cfg.output_dim, generator=generator) for _ in range(n_queues)]
        )
        self.register_buffer("done", torch.zeros(()))
        layer.weight.register_hook(lambda grad: grad * (self.done >= cfg.freeze_frac))

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw two global and some local views of each tile."""
        return multi_crop(batch, self.cfg.local)

    def forward(self, first: Tensor, second: Tensor, *local: Tensor) -> Tensor:
        """Compute the loss of two global views (B, 1, H, W) and any number of local ones (B, 1, h, w)."""
        n = len(first)
        groups = [torch.cat([first, second])] + ([torch.cat(local)] if local else [])
        features = torch.cat([at_least_float32(self.head(self.encoder(group))) for group in groups])
        with torch.autocast(features.device.type, enabled=False):
            features = nn.functional.normalize(features, dim=1)
            scores = self.prototypes(features).split(n)
            loss = self.criterion(list(scores[:2]), list(scores[2:]), self._queue_scores())
        for queue, keys in zip(self._key_queues(), features.split(n), strict=False):
            queue.push(keys)
        return loss.squeeze(0)

    @torch.no_grad()
    def update(self, progress: float) -> None:
        """Bring the prototypes back to unit length, and note when they may move."""
        self.prototypes.normalize()
        self.done.fill_(progress)

    @torch.no_grad()
    def _queue_scores(self) -> list[Tensor] | None:
        """Compare this process's share of the queues with the prototypes, once they are full."""
        queues = self._key_queues()
        if not queues or not all(queue.is_full() for queue in queues):
            return None
        return [self.prototypes(queue.bank[dist.rank() :: dist.world_size()]) for queue in queues]

    def _key_queues(self) -> list[KeyQueue]:
        return [queue for queue in self.queues if isinstance(queue, KeyQueue)]
