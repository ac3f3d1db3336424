"""Options of the augmentation: what may differ between two pictures of the same material."""

from dataclasses import dataclass, fields

from wootz.errors import WootzError
from wootz.options import check_range, option

ARTEFACT_PROBS = (
    "tilt_prob",
    "defocus_prob",
    "noise_prob",
    "scan_prob",
    "drift_prob",
    "vibration_prob",
    "dropout_prob",
    "charging_prob",
    "shadow_prob",
    "curtain_prob",
    "fda_prob",
    "hist_prob",
)
"""Probabilities of all that changes grey values other than brightness, contrast and gamma."""
CLEAN = dict.fromkeys(ARTEFACT_PROBS, 0.0)
"""Changes for views that are to be predicted pixel by pixel: nobody can foresee noise."""


@dataclass
class AugmentConfig:
    """Ranges of the random differences between two views of a tile.

    Each says: two pictures that differ only in this show the same material. Set a range to nothing (0, or 1
    for factors) where the difference does matter to you, e.g. ``rotation_deg=0`` for layers with a direction.
    The strength of an artefact is drawn anew for each view, uniform from nothing to its largest.
    """

    out_px: int = option(96, "Side of a view", unit="px")
    # where the field of view lies
    area_min_frac: float = option(
        0.25, "Smallest window, as part of the tile's area: place and magnification", unit="in (0, 1]"
    )
    area_max_frac: float = option(1.0, "Largest window, as part of the tile's area", unit="in (0, 1]")
    scale_min_nm: float | None = option(
        None, "Finest pixel of a view, for tiles whose pixel size is known; none: by area alone", unit="nm"
    )
    scale_max_nm: float | None = option(
        None, "Coarsest pixel of a view; both within what the areas above allow", unit="nm"
    )
    aspect_max: float = option(1.2, "Largest stretch of one side against the other", unit="at least 1")
    rotation_deg: float = option(180.0, "Largest rotation either way: how the specimen lies", unit="deg")
    shear_deg: float = option(
        5.0, "Largest shear either way: scan axes not at right angles, steady drift", unit="deg"
    )
    flip_prob: float = option(0.5, "Probability of a mirror image", unit="in [0, 1]")
    tilt_prob: float = option(0.1, "Probability of a tilted surface", unit="in [0, 1]")
    tilt_deg: float = option(20.0, "Largest tilt: foreshortening by its cosine", unit="deg")
    tilt_ramp_max: float = option(
        0.1, "Brightness from edge to edge of a surface of the largest tilt", unit="of full scale"
    )
    # the specimen's surface
    shadow_prob: float = option(0.1, "Probability of relief: a detector that sees one side", unit="in [0, 1]")
    shadow_max_px: float = option(
        1.0, "Grey values added per grey value of rise along the light and pixel", unit="px"
    )
    curtain_prob: float = option(0.05, "Probability of curtaining by ion milling", unit="in [0, 1]")
    curtain_max: float = option(0.08, "Largest rms of the stripes", unit="of the signal")
    charging_prob: float = option(0.05, "Probability of charged patches with streaks", unit="in [0, 1]")
    charging_max: float = option(0.4, "Largest brightness of a charged patch", unit="of full scale")
    # beam and scan
    defocus_prob: float = option(0.3, "Probability of a wider beam", unit="in [0, 1]")
    defocus_max_px: float = option(1.5, "Largest standard deviation of the beam", unit="px of the view")
    disc_frac: float = option(0.0, "Part of the wider beams that are discs, not Gaussians", unit="in [0, 1]")
    drift_prob: float = option(0.1, "Probability of a specimen that drifts", unit="in [0, 1]")
    drift_max_px: float = option(2.0, "Largest displacement of rows by drift", unit="px of the view")
    vibration_prob: float = option(0.1, "Probability of vibration and line jitter", unit="in [0, 1]")
    vibration_max_px: float = option(0.5, "Largest amplitude of the vibration", unit="px of the view")
    line_jitter_max_px: float = option(0.3, "Largest sigma of the jitter of rows", unit="px of the view")
    # the detector
    noise_prob: float = option(0.5, "Probability of added shot and readout noise", unit="in [0, 1]")
    dose_min: float = option(60.0, "Fewest detected electrons per pixel at full scale", unit="electrons")
    dose_max: float = option(1000.0, "Most detected electrons per pixel at full scale", unit="electrons")
    poisson_dose_max: float = option(
        30.0, "Below this dose electrons are counted one by one (slower), not as a Gaussian", unit="electrons"
    )
    readout_max: float = option(0.03, "Largest sigma of the readout noise", unit="of full scale")
    scan_prob: float = option(0.2, "Probability of scan-line noise", unit="in [0, 1]")
    scan_max: float = option(0.04, "Largest sigma of the offset of a scan line", unit="of full scale")
    dropout_prob: float = option(0.05, "Probability of lost pixels and lines", unit="in [0, 1]")
    dropout_max_frac: float = option(0.005, "Largest part of lost pixels", unit="in [0, 1]")
    dropped_lines_max: int = option(2, "Most lost lines of a view", unit="rows")
    jitter_prob: float = option(0.8, "Probability of other detector settings", unit="in [0, 1]")
    offset_max: float = option(0.25, "Largest change of brightness either way", unit="of full scale")
    gain_max: float = option(0.4, "Contrast is multiplied by 1 - this to 1 + this", unit="in [0, 1)")
    gamma_max: float = option(1.4, "Gamma lies between 1 / this and this", unit="at least 1")
    # the look of another tile of the batch; of the other kind where rendered tiles are mixed in
    fda_prob: float = option(0.05, "Probability of another tile's low-frequency amplitudes", unit="in [0, 1]")
    fda_max_frac: float = option(
        0.03, "Highest frequency that is exchanged", unit="cycles per pixel, in [0, 0.5]"
    )
    hist_prob: float = option(0.05, "Probability of another tile's histogram", unit="in [0, 1]")
    hist_max: float = option(0.5, "Largest part of the way to the other histogram", unit="in [0, 1]")

    def __post_init__(self) -> None:
        check_range("augment.out_px", self.out_px, 8, 4096)
        self._check_window()
        for name in (f.name for f in fields(self)):
            if name.endswith("_prob"):
                check_range(f"augment.{name}", getattr(self, name), 0, 1)
        ones = ("readout_max", "scan_max", "offset_max", "tilt_ramp_max", "curtain_max", "charging_max")
        for key in (*ones, "disc_frac", "dropout_max_frac", "hist_max"):
            check_range(f"augment.{key}", getattr(self, key), 0, 1)
        for key in ("drift_max_px", "vibration_max_px", "line_jitter_max_px", "shadow_max_px"):
            check_range(f"augment.{key}", getattr(self, key), 0, 64)
        check_range("augment.defocus_max_px", self.defocus_max_px, 0, self.out_px / 8)
        check_range("augment.dose_min", self.dose_min, 1)
        check_range("augment.dose_max", self.dose_max, self.dose_min)
        check_range("augment.poisson_dose_max", self.poisson_dose_max, 0)
        check_range("augment.dropped_lines_max", self.dropped_lines_max, 0, self.out_px)
        check_range("augment.gain_max", self.gain_max, 0, 0.95)
        check_range("augment.gamma_max", self.gamma_max, 1, 4)
        check_range("augment.fda_max_frac", self.fda_max_frac, 0, 0.5)

    def _check_window(self) -> None:
        check_range("augment.area_min_frac", self.area_min_frac, 0.01, 1)
        check_range("augment.area_max_frac", self.area_max_frac, self.area_min_frac, 1)
        check_range("augment.aspect_max", self.aspect_max, 1, 4)
        check_range("augment.rotation_deg", self.rotation_deg, 0, 180)
        check_range("augment.shear_deg", self.shear_deg, 0, 45)
        check_range("augment.tilt_deg", self.tilt_deg, 0, 75)
        if (self.scale_min_nm is None) != (self.scale_max_nm is None):
            raise WootzError("set augment.scale_min_nm and augment.scale_max_nm both, or neither.")
        if self.scale_min_nm is not None and self.scale_max_nm is not None:
            check_range("augment.scale_min_nm", self.scale_min_nm, 1e-4)
            check_range("augment.scale_max_nm", self.scale_max_nm, self.scale_min_nm)
