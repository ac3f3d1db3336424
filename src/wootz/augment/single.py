"""Each operation alone, at its strongest: to look at, and to test."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from wootz.augment.config import AugmentConfig
from wootz.augment.dropout import random_lines
from wootz.augment.geometry import place_window
from wootz.augment.scan import row_shifts
from wootz.augment.settings import Settings, no_changes

SHOWN_ROTATION_DEG = 30.0


def single_operations(
    n: int, tile_px: tuple[int, int], cfg: AugmentConfig, *, generator: torch.Generator
) -> dict[str, tuple[str, Settings]]:
    """Build settings in which one operation acts at its strongest, and nothing else.

    Parameters
    ----------
    n : int
        Views; with two and more, an exchange takes the look of the next one.
    tile_px : (height, width)
        Of the tiles without their margin.
    cfg : AugmentConfig
        Operations that it switches off, by probability or range, are left out.
    generator : torch.Generator
        On the CPU, for where rows shift and lines get lost.

    Returns
    -------
    dict
        Name of the operation to (strength in words with its unit, settings of n views).
    """
    whole = _window(n, tile_px)
    plain = no_changes(whole, out_px=cfg.out_px)
    chosen = {name: (text, change) for name, text, change, on in _geometry(n, tile_px, cfg) if on}
    chosen |= {
        name: (text, change)
        for name, text, change, on in (*_surface(n, cfg), *_scan(n, cfg, generator), *_detector(n, cfg))
        if on
    }
    if cfg.dropout_prob and cfg.dropped_lines_max:
        count = torch.full((n,), float(cfg.dropped_lines_max))
        lines = {"lost_lines": random_lines(count, height=cfg.out_px, generator=generator)}
        chosen["lost lines"] = (f"{cfg.dropped_lines_max} rows", lines)
    return {name: (text, replace(plain, **change)) for name, (text, change) in chosen.items()}


Rows = list[tuple[str, str, dict[str, Tensor], Any]]


def _window(n: int, tile_px: tuple[int, int], *, scale: float = 1.0, **changes: float) -> Tensor:
    """Place the whole tile, or a centred part of it, with changes to what `place_window` takes."""
    height, width = tile_px
    zero = torch.zeros(n)
    stretch = changes.pop("stretch", 1.0)
    size = scale * torch.tensor([width, height / stretch]).expand(n, 2)
    angles = {name: zero + math.radians(changes.get(name, 0.0)) for name in ("angle", "shear", "tilt")}
    return place_window(
        size,
        centre=torch.zeros(n, 2),
        mirrored=torch.full((n,), bool(changes.get("mirrored", 0.0))),
        **{f"{name}_rad": value for name, value in angles.items()},
    )


def _geometry(n: int, tile_px: tuple[int, int], cfg: AugmentConfig) -> Rows:
    turn = min(cfg.rotation_deg, SHOWN_ROTATION_DEG)
    side = math.sqrt(cfg.area_min_frac)

    def window(**changes: float) -> dict[str, Tensor]:
        return {"affine": _window(n, tile_px, **changes)}

    return [
        ("zoom", f"{100 * cfg.area_min_frac:.0f} % of the area", window(scale=side), cfg.area_min_frac < 1),
        ("stretch", f"x {cfg.aspect_max:.2g}", window(stretch=cfg.aspect_max), cfg.aspect_max > 1),
        ("rotation", f"{turn:.0f} of up to {cfg.rotation_deg:.0f}°", window(angle=turn), turn),
        ("mirror", "", window(mirrored=1.0), cfg.flip_prob),
        ("shear", f"{cfg.shear_deg:g}°", window(shear=cfg.shear_deg), cfg.shear_deg),
        (
            "tilt",
            f"{cfg.tilt_deg:g}°",
            {**window(tilt=cfg.tilt_deg), "ramp": torch.full((n,), cfg.tilt_ramp_max)},
            cfg.tilt_prob and (cfg.tilt_deg or cfg.tilt_ramp_max),
        ),
    ]


def _surface(n: int, cfg: AugmentConfig) -> Rows:
    def full(value: float) -> Tensor:
        return torch.full((n,), float(value))

    shadow = {"shadow_px": full(cfg.shadow_max_px), "shadow_rad": full(-math.pi / 2)}
    disc = {"sigma_px": full(cfg.defocus_max_px), "is_disc": torch.ones(n, dtype=torch.bool)}
    next_one = {"partner": (torch.arange(n) + 1) % n}
    amplitudes = {"fda_cutoff": full(cfg.fda_max_frac), **next_one}
    histogram = {"hist_strength": full(cfg.hist_max), **next_one}
    percent = f"{100 * cfg.curtain_max:.0f} % rms"
    blurs = cfg.defocus_prob and cfg.defocus_max_px
    return [
        ("curtaining", percent, {"curtain_rms": full(cfg.curtain_max)}, cfg.curtain_prob and cfg.curtain_max),
        (
            "relief",
            f"{cfg.shadow_max_px:g} px, lit from above",
            shadow,
            cfg.shadow_prob and cfg.shadow_max_px,
        ),
        (
            "charging",
            f"{cfg.charging_max:g} of full scale",
            {"charging": full(cfg.charging_max)},
            cfg.charging_prob and cfg.charging_max,
        ),
        ("defocus, Gaussian", f"σ {cfg.defocus_max_px:g} px", {"sigma_px": disc["sigma_px"]}, blurs),
        ("defocus, disc", f"R {2 * cfg.defocus_max_px:g} px", disc, blurs and cfg.disc_frac),
        (
            "low frequencies",
            f"up to {cfg.fda_max_frac:g} / px, from the next",
            amplitudes,
            cfg.fda_prob and cfg.fda_max_frac and n > 1,
        ),
        (
            "histogram",
            f"{100 * cfg.hist_max:.0f} %, from the next",
            histogram,
            cfg.hist_prob and cfg.hist_max and n > 1,
        ),
    ]


def _scan(n: int, cfg: AugmentConfig, generator: torch.Generator) -> Rows:
    zero = torch.zeros(n)

    def shift(drift: float, vibration: float, jitter: float) -> dict[str, Tensor]:
        rows = row_shifts(
            zero + drift, zero + vibration, zero + jitter, height=cfg.out_px, generator=generator
        )
        return {"shift_px": rows}

    shakes = cfg.vibration_prob and (cfg.vibration_max_px or cfg.line_jitter_max_px)
    both = f"{cfg.vibration_max_px:g} px, jitter {cfg.line_jitter_max_px:g} px"
    return [
        (
            "drift",
            f"{cfg.drift_max_px:g} px",
            shift(cfg.drift_max_px, 0.0, 0.0),
            cfg.drift_prob and cfg.drift_max_px,
        ),
        ("vibration", both, shift(0.0, cfg.vibration_max_px, cfg.line_jitter_max_px), shakes),
        (
            "scan lines",
            f"σ {cfg.scan_max:g} of full scale",
            {"scan_sigma": zero + cfg.scan_max},
            cfg.scan_prob and cfg.scan_max,
        ),
    ]


def _detector(n: int, cfg: AugmentConfig) -> Rows:
    def full(value: float) -> Tensor:
        return torch.full((n,), float(value))

    noise = {"dose": full(cfg.dose_min), "readout": full(cfg.readout_max)}
    jitter, pixels = cfg.jitter_prob, cfg.dropout_prob and cfg.dropout_max_frac
    gain, offset, gamma = cfg.gain_max, cfg.offset_max, cfg.gamma_max
    return [
        ("noise", f"{cfg.dose_min:g} electrons, readout {cfg.readout_max:g}", noise, cfg.noise_prob),
        ("lost pixels", f"{cfg.dropout_max_frac:.1%}", {"lost_frac": full(cfg.dropout_max_frac)}, pixels),
        ("less contrast", f"x {1 - gain:.2g}", {"gain": full(1 - gain)}, jitter and gain),
        ("more contrast", f"x {1 + gain:.2g}", {"gain": full(1 + gain)}, jitter and gain),
        ("darker", f"-{offset:g} of full scale", {"offset": full(-offset)}, jitter and offset),
        ("brighter", f"+{offset:g} of full scale", {"offset": full(offset)}, jitter and offset),
        ("gamma up", f"{gamma:.2g}", {"gamma": full(gamma)}, jitter and gamma > 1),
        ("gamma down", f"{1 / gamma:.2g}", {"gamma": full(1 / gamma)}, jitter and gamma > 1),
    ]
