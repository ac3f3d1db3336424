"""All that one batch of views is drawn with: one value for each view, on the CPU."""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from wootz.augment.config import AugmentConfig
from wootz.augment.dropout import random_lines
from wootz.augment.exchange import random_partners
from wootz.augment.geometry import random_crop
from wootz.augment.scan import row_shifts

SIGMA_MIN_PX = 0.2  # below, the kernel is one pixel


@dataclass(frozen=True)
class Settings:
    """Window and strengths of each of B views, in the order in which they act; all on the CPU.

    Attributes
    ----------
    affine : (B, 2, 3) float32
        See `wootz.augment.geometry.random_crop`.
    partner : (B,) int64
        Row of the view whose look may be taken over.
    fda_cutoff : (B,) float32, cycles per pixel
    hist_strength : (B,) float32
    curtain_rms : (B,) float32, of the signal
    shadow_px, shadow_rad : (B,) float32
        Height of the relief and azimuth of its light.
    sigma_px : (B,) float32
        Of the beam.
    is_disc : (B,) bool
    charging, ramp : (B,) float32, of full scale
    shift_px : (B, out_px) float32
        Displacement of the rows.
    dose : (B,) float32, electrons
        Infinite for none.
    readout, scan_sigma : (B,) float32, of full scale
    lost_frac : (B,) float32
    lost_lines : (B, out_px) bool
    gain, offset, gamma : (B,) float32
    """

    affine: Tensor
    partner: Tensor
    fda_cutoff: Tensor
    hist_strength: Tensor
    curtain_rms: Tensor
    shadow_px: Tensor
    shadow_rad: Tensor
    sigma_px: Tensor
    is_disc: Tensor
    charging: Tensor
    ramp: Tensor
    shift_px: Tensor
    dose: Tensor
    readout: Tensor
    scan_sigma: Tensor
    lost_frac: Tensor
    lost_lines: Tensor
    gain: Tensor
    offset: Tensor
    gamma: Tensor

    def __len__(self) -> int:
        return len(self.affine)

    def part(self, rows: slice) -> "Settings":
        """Return the settings of some of the views."""
        return Settings(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def no_changes(affine: Tensor, *, out_px: int) -> Settings:
    """Return settings under which a view shows its window as recorded."""
    n = len(affine)
    zeros = torch.zeros(n)
    names = [f.name for f in fields(Settings)]
    values = dict.fromkeys(names, zeros) | dict.fromkeys(("gain", "gamma"), torch.ones(n))
    values |= {
        "affine": affine,
        "partner": torch.arange(n),
        "is_disc": torch.zeros(n, dtype=torch.bool),
        "shift_px": torch.zeros(n, out_px),
        "dose": torch.full((n,), math.inf),
        "lost_lines": torch.zeros(n, out_px, dtype=torch.bool),
    }
    return Settings(**values)


def draw_settings(
    n: int,
    tile_px: tuple[int, int],
    cfg: AugmentConfig,
    *,
    generator: torch.Generator,
    pixel_size_nm: Tensor | None = None,
    rendered: Tensor | None = None,
) -> Settings:
    """Draw the settings of `n` views, each for itself.

    Parameters
    ----------
    n : int
    tile_px : (height, width)
        Of the tiles without their margin.
    cfg : AugmentConfig
    generator : torch.Generator
        On the CPU.
    pixel_size_nm : (n,) float, optional
        NaN where unknown; see `random_crop`.
    rendered : (n,) bool, optional
        See `random_partners`.
    """
    tilt = _amount(cfg.tilt_prob, cfg.tilt_deg, n=n, generator=generator)
    affine = random_crop(n, tile_px, cfg, generator=generator, pixel_size_nm=pixel_size_nm, tilt_deg=tilt)
    settings = _surface(no_changes(affine, out_px=cfg.out_px), cfg, generator=generator)
    side, strength = torch.rand(2, n, generator=generator)
    steepness = tilt / max(cfg.tilt_deg, 1e-6)
    ramp = cfg.tilt_ramp_max * steepness * strength * torch.where(side < 0.5, -1.0, 1.0)
    settings = replace(
        settings, ramp=ramp, partner=random_partners(n, generator=generator, rendered=rendered)
    )
    settings = _beam_and_scan(settings, cfg, generator=generator)
    return _detector(settings, cfg, generator=generator)


def _surface(settings: Settings, cfg: AugmentConfig, *, generator: torch.Generator) -> Settings:
    n = len(settings)
    return replace(
        settings,
        fda_cutoff=_amount(cfg.fda_prob, cfg.fda_max_frac, n=n, generator=generator),
        hist_strength=_amount(cfg.hist_prob, cfg.hist_max, n=n, generator=generator),
        curtain_rms=_amount(cfg.curtain_prob, cfg.curtain_max, n=n, generator=generator),
        shadow_px=_amount(cfg.shadow_prob, cfg.shadow_max_px, n=n, generator=generator),
        shadow_rad=2 * math.pi * torch.rand(n, generator=generator),
        charging=_amount(cfg.charging_prob, cfg.charging_max, n=n, generator=generator),
    )


def _beam_and_scan(settings: Settings, cfg: AugmentConfig, *, generator: torch.Generator) -> Settings:
    n = len(settings)
    sigma = _amount(cfg.defocus_prob, cfg.defocus_max_px, n=n, generator=generator)
    vibrates, amplitude, jitter = torch.rand(3, n, generator=generator)
    vibrates = (vibrates < cfg.vibration_prob).float()
    shift = row_shifts(
        _amount(cfg.drift_prob, cfg.drift_max_px, n=n, generator=generator),
        vibrates * amplitude * cfg.vibration_max_px,
        vibrates * jitter * cfg.line_jitter_max_px,
        height=cfg.out_px,
        generator=generator,
    )
    return replace(
        settings,
        sigma_px=torch.where(sigma < SIGMA_MIN_PX, 0.0, sigma),
        is_disc=torch.rand(n, generator=generator) < cfg.disc_frac,
        shift_px=shift,
        scan_sigma=_amount(cfg.scan_prob, cfg.scan_max, n=n, generator=generator),
    )


def _detector(settings: Settings, cfg: AugmentConfig, *, generator: torch.Generator) -> Settings:
    n = len(settings)
    noisy, dose, readout, loses, pixels, lines = torch.rand(6, n, generator=generator)
    noisy, loses = noisy < cfg.noise_prob, loses < cfg.dropout_prob
    dose = cfg.dose_min * torch.exp(dose * math.log(cfg.dose_max / cfg.dose_min))
    count = torch.where(loses, torch.floor(lines * (cfg.dropped_lines_max + 1)), 0.0)
    changed, gain, offset, gamma = torch.rand(4, n, generator=generator)
    changed = changed < cfg.jitter_prob
    return replace(
        settings,
        dose=torch.where(noisy, dose, math.inf),
        readout=torch.where(noisy, readout * cfg.readout_max, 0.0),
        lost_frac=torch.where(loses, pixels * cfg.dropout_max_frac, 0.0),
        lost_lines=random_lines(count, height=cfg.out_px, generator=generator),
        gain=torch.where(changed, 1 + (2 * gain - 1) * cfg.gain_max, 1.0),
        offset=torch.where(changed, (2 * offset - 1) * cfg.offset_max, 0.0),
        gamma=torch.where(changed, torch.exp((2 * gamma - 1) * math.log(cfg.gamma_max)), 1.0),
    )


def _amount(probability: float, largest: float, *, n: int, generator: torch.Generator) -> Tensor:
    """Draw (n,) strengths, uniform up to the largest where the chance comes up, else 0."""
    chance, amount = torch.rand(2, n, generator=generator)
    return torch.where(chance < probability, amount * largest, 0.0)
