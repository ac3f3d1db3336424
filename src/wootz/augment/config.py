"""Options of the augmentation: what may differ between two pictures of the same material."""

from dataclasses import dataclass

from wootz.options import check_choice, check_range, option

PRESETS = ("sem", "simclr")


@dataclass
class AugmentConfig:
    """Ranges of the random differences between two views of a tile.

    Each says: two pictures that differ only in this show the same material. Set a range to nothing (0, or 1
    for factors) where the difference does matter to you, e.g. ``rotation_deg=0`` for layers with a direction.
    """

    out_px: int = option(96, "Side of a view", unit="px")
    area_min_frac: float = option(
        0.25, "Smallest window, as part of the tile's area: place and magnification", unit="in (0, 1]"
    )
    area_max_frac: float = option(1.0, "Largest window, as part of the tile's area", unit="in (0, 1]")
    aspect_max: float = option(
        1.2, "Largest stretch of one side against the other: foreshortening by tilt", unit="at least 1"
    )
    rotation_deg: float = option(180.0, "Largest rotation either way: how the specimen lies", unit="deg")
    flip_prob: float = option(0.5, "Probability of a mirror image", unit="in [0, 1]")
    defocus_prob: float = option(0.3, "Probability of a wider beam", unit="in [0, 1]")
    defocus_max_px: float = option(1.5, "Largest Gaussian sigma of the beam", unit="px of the view")
    noise_prob: float = option(0.5, "Probability of added shot and readout noise", unit="in [0, 1]")
    dose_min: float = option(60.0, "Fewest detected electrons per pixel at full scale", unit="electrons")
    dose_max: float = option(1000.0, "Most detected electrons per pixel at full scale", unit="electrons")
    readout_max: float = option(0.03, "Largest sigma of the readout noise", unit="of full scale")
    scan_prob: float = option(0.2, "Probability of scan-line noise", unit="in [0, 1]")
    scan_max: float = option(0.04, "Largest sigma of the offset of a scan line", unit="of full scale")
    jitter_prob: float = option(0.8, "Probability of other detector settings", unit="in [0, 1]")
    offset_max: float = option(0.25, "Largest change of brightness either way", unit="of full scale")
    gain_max: float = option(0.4, "Contrast is multiplied by 1 - this to 1 + this", unit="in [0, 1)")
    gamma_max: float = option(1.4, "Gamma lies between 1 / this and this", unit="at least 1")

    def __post_init__(self) -> None:
        check_range("augment.out_px", self.out_px, 8, 4096)
        check_range("augment.area_min_frac", self.area_min_frac, 0.01, 1)
        check_range("augment.area_max_frac", self.area_max_frac, self.area_min_frac, 1)
        check_range("augment.aspect_max", self.aspect_max, 1, 4)
        check_range("augment.rotation_deg", self.rotation_deg, 0, 180)
        for key in ("flip_prob", "defocus_prob", "noise_prob", "scan_prob", "jitter_prob"):
            check_range(f"augment.{key}", getattr(self, key), 0, 1)
        check_range("augment.defocus_max_px", self.defocus_max_px, 0, self.out_px / 8)
        check_range("augment.dose_min", self.dose_min, 10)
        check_range("augment.dose_max", self.dose_max, self.dose_min)
        for key in ("readout_max", "scan_max", "offset_max"):
            check_range(f"augment.{key}", getattr(self, key), 0, 1)
        check_range("augment.gain_max", self.gain_max, 0, 0.95)
        check_range("augment.gamma_max", self.gamma_max, 1, 4)


def preset(name: str, *, out_px: int = 96) -> AugmentConfig:
    """Return a named set of ranges.

    Parameters
    ----------
    name : str
        ``"sem"``: the defaults. ``"simclr"``: what lightly's SimCLR transform does to a grey image (crop with
        stretch, mirror, brightness, contrast, blur), without rotation and noise; for comparisons.
    out_px : int
        Side of a view.

    References
    ----------
    Chen et al. 2020, arXiv:2002.05709, appendix A.
    """
    check_choice("augment", name, PRESETS)
    if name == "sem":
        return AugmentConfig(out_px=out_px)
    return AugmentConfig(
        out_px=out_px,
        area_min_frac=0.08,
        aspect_max=4 / 3,
        rotation_deg=0.0,
        defocus_prob=0.5,
        defocus_max_px=2.0,
        noise_prob=0.0,
        scan_prob=0.0,
        offset_max=0.4,
        gain_max=0.8,
        gamma_max=1.0,
    )
