"""Random views of each tile of a batch: the question that self-supervised learning asks."""

from typing import Any

import torch
from torch import Tensor

from wootz.augment.beam import defocus
from wootz.augment.charge import charging
from wootz.augment.config import AugmentConfig
from wootz.augment.detector import gain_offset_gamma, shot_noise
from wootz.augment.dropout import lose_lines, lose_pixels
from wootz.augment.exchange import exchange_amplitudes, exchange_histogram
from wootz.augment.geometry import sample_affine
from wootz.augment.milling import curtain
from wootz.augment.parts import for_each_part, one_thread_each, part_rows
from wootz.augment.scan import scan_lines, shift_rows
from wootz.augment.settings import Settings, draw_settings
from wootz.augment.topography import brightness_ramp, shadow
from wootz.intensity import BOUNDS


def two_views(
    tiles: Tensor, cfg: AugmentConfig, *, generator: torch.Generator, margin_px: int = 0
) -> tuple[Tensor, Tensor]:
    """Draw two independent views of each tile.

    Parameters
    ----------
    tiles : (B, 1, H, W) float32
        On the scale of `wootz.intensity.scale`, on any device.
    cfg : AugmentConfig
    generator : torch.Generator
        On the CPU, whatever the device of the tiles: all parameters are drawn there, so that a seed means the
        same windows and settings everywhere.
    margin_px : int, >= 0
        How many pixels on each side are context, in which a rotated window may reach but not lie.

    Returns
    -------
    two tensors (B, 1, out_px, out_px) float32
        Same device, clipped to [-1, 2].

    Examples
    --------
    >>> import torch
    >>> from wootz.augment import AugmentConfig, two_views
    >>> left, right = two_views(torch.rand(8, 1, 128, 128), AugmentConfig(), generator=torch.Generator())
    """
    first, second = random_views(tiles, cfg, generator=generator, margin_px=margin_px, n_views=2)
    return first, second


def random_view(tiles: Tensor, cfg: AugmentConfig, *, generator: torch.Generator, **options: Any) -> Tensor:
    """Draw one view of each tile; see `random_views`."""
    return random_views(tiles, cfg, generator=generator, n_views=1, **options)[0]


def random_views(
    tiles: Tensor,
    cfg: AugmentConfig,
    *,
    generator: torch.Generator,
    n_views: int,
    margin_px: int = 0,
    pixel_size_nm: Tensor | None = None,
    rendered: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Draw so many independent views of each tile, faster together than one after the other.

    Parameters
    ----------
    tiles, cfg, generator, margin_px
        As in `two_views`.
    n_views : int, >= 1
    pixel_size_nm : (B,) float, optional
        Size of the tiles' pixels, NaN where unknown, for ``scale_min_nm`` and ``scale_max_nm``.
    rendered : (B,) bool, optional
        Which tiles are rendered: looks are then exchanged between real and rendered ones only.

    Returns
    -------
    n_views tensors (B, 1, out_px, out_px) float32

    Raises
    ------
    ValueError
        If the tiles are no (B, 1, H, W) floats or smaller than twice the margin.
    """
    if tiles.ndim != 4 or tiles.shape[1] != 1 or not tiles.is_floating_point():
        raise ValueError(f"tiles must be (B, 1, H, W) floats, got {tuple(tiles.shape)} {tiles.dtype}")
    height, width = (side - 2 * margin_px for side in tiles.shape[-2:])
    if min(height, width) < 1:
        raise ValueError(
            f"a margin of {margin_px} px leaves nothing of tiles of {tuple(tiles.shape[-2:])} px"
        )
    with one_thread_each() as n_threads:
        settings = draw_settings(
            n_views * len(tiles),
            (height, width),
            cfg,
            generator=generator,
            pixel_size_nm=None if pixel_size_nm is None else pixel_size_nm.repeat(n_views),
            rendered=None if rendered is None else rendered.repeat(n_views),
        )
        return view_with(tiles, settings, cfg, generator=generator, n_threads=n_threads).chunk(n_views)


def view_with(
    tiles: Tensor,
    settings: Settings,
    cfg: AugmentConfig,
    *,
    generator: torch.Generator,
    n_threads: int = 1,
) -> Tensor:
    """Make the view of each tile that the settings ask for.

    Parameters
    ----------
    tiles : (B, 1, H, W) float32
        With their margin, on any device.
    settings : Settings
        Of B views, or of k B views: those of all tiles, then those of all tiles again.
    cfg : AugmentConfig
        Its ``out_px`` and ``poisson_dose_max``; the rest stands in the settings.
    generator : torch.Generator
        On the CPU, for what differs from pixel to pixel.
    n_threads : int
        On the CPU, inside `one_thread_each`.

    Returns
    -------
    (k B, 1, out_px, out_px) float32
        Clipped to [-1, 2].

    Notes
    -----
    The order is that of the instrument: specimen and stage (window), the look of another tile, surface
    (curtaining, relief), beam (defocus), what the signal meets (charge, slope), scan (displaced rows),
    counting (shot noise), recording (line offsets, lost pixels), amplifier (gain, offset, gamma).

    On the CPU the batch is worked off in parts, each in one thread with its own generator, so that the result
    does not depend on the number of threads.
    """
    with torch.no_grad(), torch.autocast(tiles.device.type, enabled=False):  # bfloat16 would cut grey levels
        on_cpu, n = tiles.device.type == "cpu", len(tiles)
        parts = part_rows(n, cfg.out_px**2) if on_cpu else [slice(0, n)]
        rows = [slice(at + p.start, at + p.stop) for at in range(0, len(settings), max(n, 1)) for p in parts]
        seeds = torch.randint(2**62, (len(rows),), generator=generator).tolist()
        size = (len(settings), 1, cfg.out_px, cfg.out_px)
        windows = torch.empty(size, dtype=tiles.dtype, device=tiles.device)
        views = torch.empty_like(windows)

        def look(i: int) -> None:
            with torch.no_grad():  # a mode of the thread
                own = tiles[parts[i % len(parts)]]
                windows[rows[i]] = sample_affine(own, settings.affine[rows[i]], out_px=cfg.out_px)

        def record(i: int) -> None:
            with torch.no_grad():
                draws, own = torch.Generator().manual_seed(seeds[i]), settings.part(rows[i])
                part = exchange_amplitudes(windows[rows[i]], own.partner, cutoff=own.fda_cutoff, pool=windows)
                part = exchange_histogram(part, own.partner, strength=own.hist_strength, pool=windows)
                part = _recorded(part, own, generator=draws, poisson_below=cfg.poisson_dose_max)
                torch.clamp(part, *BOUNDS, out=views[rows[i]])

        for_each_part(look, len(rows), n_threads=n_threads)  # all before an exchange
        for_each_part(record, len(rows), n_threads=n_threads)
        return views


def _recorded(
    views: Tensor, settings: Settings, *, generator: torch.Generator, poisson_below: float
) -> Tensor:
    """Do to the windows of a part what surface, beam, scan and detector do."""
    views = curtain(views, settings.curtain_rms, generator=generator)
    views = shadow(views, settings.shadow_px, azimuth_rad=settings.shadow_rad)
    views = defocus(views, settings.sigma_px, disc=settings.is_disc)
    views = charging(views, settings.charging, generator=generator)
    views = brightness_ramp(views, settings.ramp)
    views = shift_rows(views, settings.shift_px)
    views = shot_noise(
        views,
        settings.dose,
        readout=settings.readout,
        generator=generator,
        poisson_below=poisson_below,
    )
    views = scan_lines(views, settings.scan_sigma, generator=generator)
    views = lose_lines(lose_pixels(views, settings.lost_frac, generator=generator), settings.lost_lines)
    return gain_offset_gamma(views, settings.gain, offset=settings.offset, gamma=settings.gamma)
