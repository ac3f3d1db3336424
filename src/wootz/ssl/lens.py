"""The adversarial lens: it takes out of the views what makes the task easy at little change."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from wootz.errors import WootzError
from wootz.ssl.lens_options import LensConfig

PAINTERS = ("gapfill", "mae")


class Lens(nn.Module):
    """A small U-Net whose output is added to the picture; at first it adds nothing.

    Parameters
    ----------
    width : int
        Channels at full resolution; twice and four times as many at the two coarser ones.

    Notes
    -----
    The sum is taken in float32, whatever the precision of the convolutions, so that grey levels stay.

    References
    ----------
    Ronneberger et al. 2015, arXiv:1505.04597.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine = _block(1, width)
        self.middle = _block(width, 2 * width, stride=2)
        self.coarse = _block(2 * width, 4 * width, stride=2)
        self.up_middle = _block(6 * width, 2 * width)
        self.up_fine = _block(3 * width, width)
        self.change = nn.Conv2d(width, 1, 3, padding=1)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)  # type: ignore[arg-type]

    def forward(self, views: Tensor) -> Tensor:
        """Change views (B, 1, H, W) float32; the same shape."""
        fine = self.fine(views)
        middle = self.middle(fine)
        up = self.up_middle(_beside(self.coarse(middle), middle))
        return views + self.change(self.up_fine(_beside(up, fine))).float()


def _block(n_in: int, n_out: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(1, n_out), nn.ReLU())


def _beside(coarse: Tensor, fine: Tensor) -> Tensor:
    return torch.cat([functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest"), fine], dim=1)


class _Reversed(torch.autograd.Function):
    """Pass values on and turn their gradient round (Ganin & Lempitsky 2015, arXiv:1409.7495, equation 7)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * grads[0], None


def build_lens(cfg: LensConfig, *, method: str, seed: int) -> Lens | None:
    """Build the lens of a training; None where its weight is 0.

    Raises
    ------
    WootzError
        If the method's task is to paint pixels, which a lens would only falsify.
    """
    if cfg.weight == 0:
        return None
    if method in PAINTERS:
        raise WootzError(
            f"lens.weight={cfg.weight:g}: method={method} learns by painting pixels, and a lens would change "
            "what it has to paint; set lens.weight=0, or take another method, such as simclr."
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Lens(cfg.width)


def through_lens(
    lens: Lens, views: tuple[Tensor, ...], *, weight: float
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Look at views through the lens.

    Parameters
    ----------
    lens : Lens
    views : tuple of Tensor
        What a method drew: pictures (..., 1, H, W) float32, and whatever else it needs, which passes as it
        is.
    weight : float, > 0
        The lens gets the gradient of the method's loss times minus this.

    Returns
    -------
    views : tuple of Tensor
        Of the same shapes.
    change : () float32
        Mean squared change, averaged over the pictures; add it, weighted, to the loss.

    Notes
    -----
    One backward pass trains both: the method to lower its loss, the lens to raise it. What is easy to tell
    and cheap to remove, a mark, an edge effect, a shade over the field, goes first; what fills the picture is
    too expensive to remove. The method never sees the picture without the lens while it is trained.

    References
    ----------
    Minderer et al. 2020, arXiv:2002.08822, section 3, with the full adversarial loss.
    """
    seen, changes = [], []
    for view in views:
        if not (view.is_floating_point() and view.ndim >= 4 and view.shape[-3] == 1):
            seen.append(view)
            continue
        flat = view.reshape(-1, *view.shape[-3:])
        changed = lens(flat)
        changes.append((changed - flat).square().mean())
        seen.append(_Reversed.apply(changed, weight).view(view.shape))
    if not changes:
        raise WootzError("the lens found no picture among the views of this method; set lens.weight=0.")
    return tuple(seen), torch.stack(changes).mean()
