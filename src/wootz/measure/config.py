"""Options of ``wootz measure``: what is common to all measurements, and one schema per measurement."""

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from wootz.options import check_choice, check_range, option


@dataclass
class CoatingConfig:
    """Thickness of a layer along the local normal."""

    name: str = option("coating", "measurement")
    layer: list[str] = option([], "classes that make up the layer; needed where there are several phases")
    inside: list[str] = option(
        [], "classes (cracks, pores) that belong to the phase nearest to them; empty: all of role defect"
    )
    fill_holes: bool = option(True, "whether holes enclosed by the layer belong to it")
    smoothing_px: float | None = option(None, "cut-off wavelength of the mid-line", unit="px")
    smoothing_nm: float | None = option(None, "the same in nm; none: twice the median thickness", unit="nm")
    overhangs: str = option("material", "material: length inside the layer; span: first to last crossing")
    orientation: str = option("auto", "auto, horizontal or vertical: the way the layer runs")
    section_tilt_deg: float = option(0.0, "angle of the section to the normal of the layer", unit="deg, 0-80")

    def __post_init__(self) -> None:
        check_choice("measure.overhangs", self.overhangs, ("material", "span"))
        check_choice("measure.orientation", self.orientation, ("auto", "horizontal", "vertical"))
        check_range("measure.section_tilt_deg", self.section_tilt_deg, 0.0, 80.0)
        for key in ("smoothing_px", "smoothing_nm"):
            value = getattr(self, key)
            if value is not None:
                check_range(f"measure.{key}", value, 1e-3)


@dataclass
class FractionsConfig:
    """Area fractions of classes, in the whole field or inside other classes."""

    name: str = option("fractions", "measurement")
    classes: list[str] = option([], "classes to measure; empty: all")
    within: list[str] = option([], "classes that make up the region of reference; empty: the whole field")
    inside: list[str] = option(
        [], "classes (cracks, pores) that belong to the phase nearest to them; empty: all of role defect"
    )
    blocks: int = option(4, "blocks along each side for the interval within a field", unit=">= 2")

    def __post_init__(self) -> None:
        check_range("measure.blocks", self.blocks, 2, 100)


@dataclass
class ParticlesConfig:
    """Number, size and shape of particles, one row each, with border correction."""

    name: str = option("particles", "measurement")
    classes: list[str] = option([], "classes whose connected pieces are the particles; needed")
    within: list[str] = option([], "classes that make up the region of reference; empty: the whole field")
    min_area_px: int = option(9, "smaller pieces are not counted", unit="px")
    fill_holes: bool = option(True, "whether holes inside a particle belong to it")
    resamples: int = option(2000, "bootstrap resamples for the mean size", unit=">= 100")

    def __post_init__(self) -> None:
        check_range("measure.min_area_px", self.min_area_px, 1)
        check_range("measure.resamples", self.resamples, 100)


@dataclass
class ObjectsConfig:
    """Number, size and area share of an archive's objects, such as regions of clusters; by= chooses."""

    name: str = option("objects", "measurement")
    classes: list[str] = option([], "classes of objects to count, each by itself; empty: all")
    min_area_px: int = option(1, "smaller objects are not counted", unit="px")
    blocks: int = option(4, "blocks along each side for the intervals within a field", unit=">= 2")
    resamples: int = option(2000, "bootstrap resamples for the mean size", unit=">= 100")

    def __post_init__(self) -> None:
        check_range("measure.min_area_px", self.min_area_px, 1)
        check_range("measure.blocks", self.blocks, 2, 100)
        check_range("measure.resamples", self.resamples, 100)


@dataclass
class MeasureConfig:
    """Measure masks of an archive: values with units and intervals, overlays to check them by eye."""

    measure: Any = dataclass_field(
        default_factory=CoatingConfig,
        metadata={"help": "coating, fractions, particles or objects", "unit": ""},
    )
    source: str = option("prediction", "prediction or annotation: which masks")
    scheme: str = option("", "class scheme; empty: the only one")
    by: str = option("", "annotator, run of the prediction, or source of the objects; empty: the newest")
    split: str = option("", "only fields of this split: train, val or test; empty: all")
    confidence: float = option(0.95, "coverage of the intervals", unit="in (0, 1)")
    pixel_size_rel_error: float = option(0.0, "relative standard uncertainty of the pixel size", unit="0-1")
    overlays: int = option(50, "at most so many overlay pictures; 0: no pictures at all", unit=">= 0")
    seed: int = option(0, "seed of the bootstrap")

    def __post_init__(self) -> None:
        check_choice("source", self.source, ("prediction", "annotation"))
        check_choice("split", self.split, ("", "train", "val", "test"))
        check_range("confidence", self.confidence, 0.5, 0.999)
        check_range("pixel_size_rel_error", self.pixel_size_rel_error, 0.0, 1.0)
        check_range("overlays", self.overlays, 0)
