"""Two large views and some small ones of each tile."""

from torch import Tensor

from wootz.ssl.methods.options import LocalViewsConfig
from wootz.ssl.views import TileBatch

MIN_PX = 8


def multi_crop(batch: TileBatch, cfg: LocalViewsConfig) -> tuple[Tensor, ...]:
    """Draw two global and ``cfg.count`` local views of each tile.

    Parameters
    ----------
    batch : TileBatch
        The global views follow its own options.
    cfg : LocalViewsConfig
        Number, side and windows of the local views.

    Returns
    -------
    2 + count tensors (B, 1, side, side) float32
        The two global views come first. The side of a local view is a multiple of 8 px.

    Notes
    -----
    A local view asks: to what does this detail belong? It costs little: at half the side a quarter of the
    work. With windows and sides as by default, local views are seen at about the magnification of the global
    ones or somewhat above.

    References
    ----------
    Caron et al. 2020, arXiv:2006.09882, section 3.2.
    """
    augment = batch.augment
    side_px = max(MIN_PX, round(cfg.side_frac * augment.out_px / MIN_PX) * MIN_PX)
    changes = {
        "out_px": side_px,
        "area_min_frac": cfg.area_min_frac,
        "area_max_frac": cfg.area_max_frac,
        "defocus_max_px": min(augment.defocus_max_px, side_px / 8),
    }
    return (*batch.two_views(), *(batch.view(**changes) for _ in range(cfg.count)))
