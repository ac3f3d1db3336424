"""The look of another tile: its low frequencies or its histogram on this one's structure."""

import torch
from torch import Tensor

EPS = 1e-8
TINY = 1e-30
N_QUANTILES = 33


def random_partners(n: int, *, generator: torch.Generator, rendered: Tensor | None = None) -> Tensor:
    """Draw another sample of the batch for each.

    Parameters
    ----------
    n : int
    generator : torch.Generator
        On the CPU.
    rendered : (n,) bool, optional
        Which tiles are rendered. Partners are then of the other kind, as far as the batch holds both.

    Returns
    -------
    (n,) int64
        Never the sample itself, unless it is alone.
    """
    if rendered is not None:
        kind = rendered.cpu()
        if bool(kind.any()) and not bool(kind.all()):
            odds = (kind[:, None] != kind[None, :]).float()
            return torch.multinomial(odds, 1, generator=generator)[:, 0]
    if n < 2:
        return torch.arange(n)
    return (torch.arange(n) + torch.randint(1, n, (n,), generator=generator)) % n


def exchange_amplitudes(
    views: Tensor, partners: Tensor, *, cutoff: Tensor, pool: Tensor | None = None
) -> Tensor:
    """Give each view the low-frequency amplitudes of its partner, and keep its phases.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    partners : (B,) int64
        Row of the other view in the pool. On the CPU.
    cutoff : (B,) float32, in [0, 0.5]
        Highest frequency that is exchanged, along rows and along columns, cycles per pixel; 0 leaves a view
        as it is. On the CPU.
    pool : (N, 1, H, W) float32, optional
        Where the partners are; left out, `views` itself.

    Returns
    -------
    (B, 1, H, W) float32

    Notes
    -----
    ``F^-1[M |F(t)| e^(i arg F(x)) + (1 - M) F(x)]`` with the partner t and M = 1 where both frequencies are
    at most the cut-off. The mean is frequency 0, so it is exchanged too: shading, brightness and the coarsest
    contrast come from the partner; what is finer than the cut-off stays.

    References
    ----------
    Yang and Soatto 2020, arXiv:2004.05498, eq. 3-4; their beta is the cut-off.
    """
    chosen = torch.nonzero(cutoff > 0).flatten()
    if len(chosen) == 0:
        return views
    device, (height, width) = views.device, views.shape[2:]
    where = chosen.to(device, non_blocking=True)
    own = torch.fft.rfft2(views.index_select(0, where)[:, 0])
    other = torch.fft.rfft2(_others(views if pool is None else pool, partners[chosen])[:, 0])
    limit = cutoff[chosen, None, None] + EPS
    low = (torch.fft.fftfreq(height).abs()[:, None] <= limit) & (torch.fft.rfftfreq(width) <= limit)
    phase = torch.where(own.abs() > EPS, own / own.abs().clamp(min=EPS), torch.ones_like(own))
    mixed = torch.where(low.to(device, non_blocking=True), other.abs() * phase, own)
    return views.index_copy(0, where, torch.fft.irfft2(mixed, s=(height, width))[:, None])


def exchange_histogram(
    views: Tensor, partners: Tensor, *, strength: Tensor, pool: Tensor | None = None
) -> Tensor:
    """Move the grey values of each view towards the histogram of its partner.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    partners : (B,) int64
        Row of the other view in the pool. On the CPU.
    strength : (B,) float32, in [0, 1]
        Part of the way; 0 leaves a view as it is, 1 gives it the partner's histogram. On the CPU.
    pool : (N, 1, H, W) float32, optional
        Where the partners are; left out, `views` itself.

    Returns
    -------
    (B, 1, H, W) float32
        ``(1 - s) x + s f(x)``.

    Notes
    -----
    f leads from the quantiles of the view to those of the partner: linear between 33 of them, evenly spaced
    in rank, and beyond the outermost a shift as there. Quantiles are order statistics of every second pixel
    of every second row, at rank ``floor(k (n - 1) / 32)``. Where several quantiles of the view coincide, the
    last counts. f rises with the grey value and is continuous between coinciding quantiles, so that no grey
    levels merge unless they do in the partner.

    Structure stays; grey values no longer tell instrument and settings. It misleads where the share of a
    phase is what counts: the partner's shares come with its histogram, and all the way (s = 1) a part of one
    phase takes the grey value of another.

    References
    ----------
    Gonzalez and Woods 2018, Digital Image Processing, 4th ed., sec. 3.3 (histogram matching).
    """
    chosen = torch.nonzero(strength > 0).flatten()
    if len(chosen) == 0:
        return views
    device = views.device
    where = chosen.to(device, non_blocking=True)
    own = views.index_select(0, where)
    other = _others(views if pool is None else pool, partners[chosen])
    start, goal = _quantiles(own), _quantiles(other)
    flat = own.flatten(1)
    knot = torch.searchsorted(start, flat, right=True).sub_(1).clamp_(0, N_QUANTILES - 2)
    rise = start[:, 1:] - start[:, :-1]
    slope = torch.where(rise > 0, (goal[:, 1:] - goal[:, :-1]) / rise.clamp(min=TINY), 1.0)
    # f(x) - x = (goal - start) at the knot + (slope - 1) (x - start)
    base, slope = (goal - start)[:, :-1].gather(1, knot), slope.sub_(1).gather(1, knot)
    inside = flat.clamp(start[:, :1], start[:, -1:]).sub_(start.gather(1, knot))
    change = base.addcmul_(slope, inside)
    weight = strength[chosen, None].to(device, non_blocking=True)
    moved = torch.addcmul(flat, weight, change)
    return views.index_copy(0, where, moved.view_as(own))


def _others(pool: Tensor, rows: Tensor) -> Tensor:
    return pool.index_select(0, rows.to(pool.device, non_blocking=True))


def _quantiles(views: Tensor) -> Tensor:
    """Return (B, 33) order statistics of a quarter of the pixels, evenly spaced in rank."""
    ordered = views[:, 0, ::2, ::2].flatten(1).sort(dim=1).values
    ranks = torch.arange(N_QUANTILES) * (ordered.shape[1] - 1) // (N_QUANTILES - 1)
    return ordered[:, ranks.to(views.device)]
