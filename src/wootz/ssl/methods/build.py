"""What a self-supervised method is, and how one is built from its options."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from wootz.ssl.views import TileBatch


class Method(Protocol):
    """A self-supervised method: an ``nn.Module`` with an ``encoder``."""

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw from a batch of tiles what the loss is computed on; without gradients."""
        ...

    def __call__(self, *views: Tensor) -> Tensor:
        """Compute the loss of such views."""
        ...

    def update(self, progress: float) -> None:
        """Follow up after an optimiser step, e.g. move a slow copy; `progress` is in [0, 1]."""
        ...


def build_method(  # noqa: PLR0911 -- one return for each method
    cfg: Any,
    encoder: nn.Module,
    *,
    n_tiles: int,
    batch_size: int,
    seed: int,
) -> nn.Module:
    """Build a method with its heads; their weights follow from the seed.

    Parameters
    ----------
    cfg : dataclass
        One of `wootz.ssl.methods.options`; its name chooses the method.
    encoder : nn.Module
        With an attribute ``dim``.
    n_tiles, batch_size : int
        A queue is cut to whole global batches of other tiles, so that it rarely holds a tile's own key.
    seed : int
    """
    with torch.random.fork_rng(devices=[]):  # lightly's heads draw from the global state; leave it as it was
        torch.default_generator.manual_seed(seed)
        match cfg.name:
            case "simclr":
                from wootz.ssl.methods.simclr import SimCLR

                return SimCLR(encoder, cfg)
            case "byol":
                from wootz.ssl.methods.byol import BYOL

                return BYOL(encoder, cfg)
            case "moco":
                from wootz.ssl.methods.moco import MoCo

                queue = _queue_length(cfg.queue, n_tiles=n_tiles, batch_size=batch_size)
                generator = torch.Generator().manual_seed(seed)
                return MoCo(encoder, cfg, queue=max(queue, batch_size), generator=generator)
            case "mocov3":
                from wootz.ssl.methods.mocov3 import MoCoV3

                return MoCoV3(encoder, cfg)
            case "vicreg":
                from wootz.ssl.methods.vicreg import VICReg

                return VICReg(encoder, cfg)
            case "swav":
                from wootz.ssl.methods.swav import SwaV

                queue = _queue_length(cfg.queue, n_tiles=n_tiles, batch_size=batch_size)
                generator = torch.Generator().manual_seed(seed)
                return SwaV(encoder, cfg, queue=queue, generator=generator)
            case "dino":
                from wootz.ssl.methods.dino import DINO

                return DINO(encoder, cfg)
            case "densecl":
                from wootz.ssl.methods.densecl import DenseCL

                queue = _queue_length(cfg.queue, n_tiles=n_tiles, batch_size=batch_size)
                generator = torch.Generator().manual_seed(seed)
                return DenseCL(encoder, cfg, queue=max(queue, batch_size), generator=generator)
            case "pirl" | "cpc" | "relpatch" | "gapfill" | "mae":
                return _pretext_method(cfg, encoder)
    raise ValueError(f"no method {cfg.name!r}")


def _pretext_method(cfg: Any, encoder: nn.Module) -> nn.Module:
    """Build a method that asks about a tile's own parts."""
    match cfg.name:
        case "pirl":
            from wootz.ssl.methods.pirl import PIRL

            return PIRL(encoder, cfg)
        case "cpc":
            from wootz.ssl.methods.cpc import CPC

            return CPC(encoder, cfg)
        case "relpatch":
            from wootz.ssl.methods.relpatch import RelPatch

            return RelPatch(encoder, cfg)
        case "gapfill":
            from wootz.ssl.methods.gapfill import GapFill

            return GapFill(encoder, cfg)
        case _:
            from wootz.ssl.methods.mae import MAE

            return MAE(encoder, cfg)


def _queue_length(longest: int, *, n_tiles: int, batch_size: int) -> int:
    """Cut a queue to whole global batches of other tiles; 0 where there are none."""
    return min(longest, n_tiles - batch_size) // batch_size * batch_size
