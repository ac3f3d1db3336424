"""Named sets of ranges for the common signals; no torch here, so that help is instant."""

from typing import Any

from wootz.augment.config import CLEAN, AugmentConfig
from wootz.options import check_choice

PRESETS: dict[str, dict[str, Any]] = {
    # Any scanning micrograph: the defaults.
    "sem": {},
    # Secondary electrons leave from the surface: relief, edges and charge show.
    "se": {"shadow_prob": 0.3, "shadow_max_px": 2.0, "charging_prob": 0.15, "curtain_prob": 0.0},
    # Backscattered electrons: composition on polished or milled sections, few electrons, hardly any charging.
    "bse": {
        "shadow_prob": 0.05,
        "charging_prob": 0.0,
        "curtain_prob": 0.15,
        "noise_prob": 0.7,
        "dose_min": 25.0,
        "dose_max": 600.0,
    },
    # Transmitted electrons through a milled lamella: few electrons, visible defocus and drift, no relief.
    "stem": {
        "shadow_prob": 0.0,
        "charging_prob": 0.0,
        "curtain_prob": 0.15,
        "tilt_ramp_max": 0.2,  # a wedge: thicker to one side
        "defocus_prob": 0.4,
        "disc_frac": 0.5,
        "drift_prob": 0.3,
        "drift_max_px": 3.0,
        "vibration_prob": 0.2,
        "noise_prob": 0.8,
        "dose_min": 15.0,
        "dose_max": 400.0,
    },
    # The same material under the same operator on a good day: window, focus, noise and settings only.
    "plain": {
        "shear_deg": 0.0,
        **{name: 0.0 for name in CLEAN if name not in ("defocus_prob", "noise_prob", "scan_prob")},
    },
    # What lightly's SimCLR transform does to a grey image, for comparisons.
    "simclr": {
        **CLEAN,
        "area_min_frac": 0.08,
        "aspect_max": 4 / 3,
        "rotation_deg": 0.0,
        "shear_deg": 0.0,
        "defocus_prob": 0.5,
        "defocus_max_px": 2.0,
        "offset_max": 0.4,
        "gain_max": 0.8,
        "gamma_max": 1.0,
    },
}
"""What each preset changes of the defaults."""


def preset(name: str, *, out_px: int = 96) -> AugmentConfig:
    """Return a named set of ranges.

    Parameters
    ----------
    name : str
        ``"sem"``: the defaults. ``"se"``: secondary electrons. ``"bse"``: backscattered electrons.
        ``"stem"``: transmitted electrons. ``"plain"``: window, mirror, focus, noise and detector settings
        without any artefact. ``"simclr"``: what lightly's SimCLR transform does to a grey image (crop with
        stretch, mirror, brightness, contrast, blur), without rotation and noise; for comparisons.
    out_px : int
        Side of a view.

    Raises
    ------
    WootzError
        For another name.

    References
    ----------
    Signals: Goldstein et al. 2018, doi:10.1007/978-1-4939-6676-9, ch. 2-4. SimCLR: Chen et al. 2020,
    arXiv:2002.05709, appendix A.
    """
    check_choice("augment", name, PRESETS)
    return AugmentConfig(**{"out_px": out_px, **PRESETS[name]})
