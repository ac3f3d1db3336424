"""What each measurement makes of one field: values, and a drawing to check them by eye."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wootz.errors import WootzError
from wootz.measure import overlays
from wootz.measure.config import CoatingConfig, FractionsConfig, MeasureConfig, ParticlesConfig
from wootz.measure.fractions import area_fraction
from wootz.measure.intervals import Interval
from wootz.measure.particle import particles
from wootz.measure.pooling import FieldValue
from wootz.measure.regions import IGNORE, class_region
from wootz.measure.selection import FieldMask, Scheme
from wootz.measure.thickness import LayerThickness, layer_thickness

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Measured:
    """Values of one field, and a function that draws them onto its image."""

    values: list[FieldValue]
    draw: Callable[[NDArray], "Figure"]


Worker = Callable[[FieldMask], Measured]


def build_worker(cfg: MeasureConfig, scheme: Scheme, *, rng: np.random.Generator) -> Worker:
    """Check the options against the scheme and return the function that measures one field."""
    match cfg.measure:
        case CoatingConfig():
            return _coating_worker(cfg, cfg.measure, scheme)
        case FractionsConfig():
            return _fractions_worker(cfg, cfg.measure, scheme)
        case ParticlesConfig():
            return _particles_worker(cfg, cfg.measure, scheme, rng=rng)
    raise WootzError(f"measure={cfg.measure!r} is not known; choose one of coating, fractions, particles.")


def _coating_worker(cfg: MeasureConfig, options: CoatingConfig, scheme: Scheme) -> Worker:
    names = options.layer or _only_phase(scheme, key="measure.layer")
    layer, inside = scheme.ids(names, key="measure.layer"), _inside(scheme, options.inside)
    label = "+".join(names)
    if options.smoothing_nm is None:
        smoothing = "2 x median thickness" if options.smoothing_px is None else f"{options.smoothing_px:g} px"
    else:
        smoothing = f"{options.smoothing_nm:g} nm"
    method = f"chord along the normal, {options.overhangs}, mid-line cut-off {smoothing}"
    if options.section_tilt_deg:
        method += f", x cos {options.section_tilt_deg:g} deg"

    def work(f: FieldMask) -> Measured:
        region = class_region(f.mask, layer, inside=inside)
        if options.smoothing_nm is not None and f.pixel_size_nm is None:
            raise WootzError(f"{f.file} has no pixel size, so measure.smoothing_nm has no meaning there; "
                             "give measure.smoothing_px, or the pixel size when ingesting.")  # fmt: skip
        result = layer_thickness(
            region,
            pixel_size_nm=f.pixel_size_nm,
            smoothing_px=options.smoothing_px,
            smoothing_nm=options.smoothing_nm,
            fill_holes=options.fill_holes,
            overhangs=options.overhangs,
            orientation=options.orientation,
            section_tilt_deg=options.section_tilt_deg,
            pixel_size_rel_error=cfg.pixel_size_rel_error,
            ignore=f.mask == IGNORE if (f.mask == IGNORE).any() else None,
            confidence=cfg.confidence,
        )
        values = _coating_values(f, result, label=label, method=method)
        return Measured(
            values,
            lambda image: overlays.coating_figure(
                image, region, result, pixel_size_nm=f.pixel_size_nm, title=_title(f)
            ),
        )

    return work


def _coating_values(f: FieldMask, result: LayerThickness, *, label: str, method: str) -> list[FieldValue]:
    note = "; ".join(filter(None, (result.reason, *result.notes)))
    if result.status != "failed":
        note = "; ".join(filter(None, (note, f"mid-line cut-off {result.smoothing:.4g} {result.unit}")))
    numbers = (
        ("thickness", result.mean, result.unit, 1),
        ("thickness_median", _bare(result.median), result.unit, 1),
        ("thickness_std", _bare(result.std), result.unit, 1),
        ("thickness_coverage", _bare(result.covered_frac), "1", 0),
    )
    return [
        FieldValue(f.image_id, f.specimen, f.condition, f"{name}:{label}", unit, interval, method,
                   numerator=interval.value, length_power=power, note=note)
        for name, interval, unit, power in numbers
    ]  # fmt: skip


def _fractions_worker(cfg: MeasureConfig, options: FractionsConfig, scheme: Scheme) -> Worker:
    names = options.classes or list(scheme.classes["name"])
    ids = scheme.ids(names, key="measure.classes")
    reference = scheme.ids(options.within, key="measure.within")
    inside = [*_inside(scheme, options.inside), *ids]
    suffix = f" in {'+'.join(options.within)}" if reference else ""
    method = f"area fraction{suffix}, {options.blocks} x {options.blocks} blocks in a field"

    def work(f: FieldMask) -> Measured:
        region = f.mask != IGNORE
        if reference:
            region = class_region(f.mask, reference, inside=inside)
        values, shown = [], {}
        for name, class_id in zip(names, ids, strict=True):
            result = area_fraction(
                f.mask == class_id, within=region, blocks=options.blocks, confidence=cfg.confidence
            )
            shown[class_id] = (name, result.fraction, scheme.colour(class_id))
            values.append(
                FieldValue(f.image_id, f.specimen, f.condition, f"area_fraction:{name}{suffix}", "1",
                           result.fraction, method, numerator=float(result.area_px),
                           denominator=float(result.reference_px), note=result.fraction.reason)
            )  # fmt: skip
        return Measured(values, lambda image: overlays.fractions_figure(
            image, f.mask, shown, region=region if reference else None,
            pixel_size_nm=f.pixel_size_nm, title=_title(f)))  # fmt: skip

    return work


def _particles_worker(
    cfg: MeasureConfig, options: ParticlesConfig, scheme: Scheme, *, rng: np.random.Generator
) -> Worker:
    names = options.classes or _only_phase(scheme, key="measure.classes")
    ids = scheme.ids(names, key="measure.classes")
    reference = scheme.ids(options.within, key="measure.within")
    label = "+".join(names) + (f" in {'+'.join(options.within)}" if reference else "")
    method = f"particles of at least {options.min_area_px} px, Miles-Lantuéjoul weights"

    def work(f: FieldMask) -> Measured:
        within = class_region(f.mask, reference, inside=ids) if reference else None
        unknown = f.mask == IGNORE
        result = particles(
            np.isin(f.mask, ids),
            rng=rng,
            pixel_size_nm=f.pixel_size_nm,
            within=within,
            ignore=unknown if unknown.any() else None,
            min_area_px=options.min_area_px,
            fill_holes=options.fill_holes,
            pixel_size_rel_error=cfg.pixel_size_rel_error,
            confidence=cfg.confidence,
            n_resamples=options.resamples,
        )
        values = _particle_values(f, result, label=label, method=method)
        return Measured(values, lambda image: overlays.particles_figure(
            image, np.isin(f.mask, ids), result, pixel_size_nm=f.pixel_size_nm, title=_title(f)))  # fmt: skip

    return work


def _particle_values(f: FieldMask, result, *, label: str, method: str) -> list[FieldValue]:
    weight = result.table["weight"].to_numpy()
    total = float(weight.sum())
    ecd = result.table[f"ecd_{result.unit}"].to_numpy()
    note = "; ".join(result.notes)

    def value(name: str, interval: Interval, unit: str, **pooling) -> FieldValue:
        pooling.setdefault("numerator", interval.value)
        return FieldValue(f.image_id, f.specimen, f.condition, f"{name}:{label}", unit, interval, method,
                          note="; ".join(filter(None, (note, interval.reason))), **pooling)  # fmt: skip

    per_area = {"numerator": total, "denominator": result.reference_area}
    return [
        value("particle_count", _bare(float(result.n)), "1"),
        value("particle_density", result.density, result.density_unit, length_power=2, **per_area),
        value("particle_ecd_mean", result.mean_ecd, result.unit, length_power=1,
              numerator=float((weight * ecd).sum()), denominator=total),
        value("particle_ecd_d50", _bare(result.ecd_d50), result.unit, length_power=1),
        value("particle_ecd_d90", _bare(result.ecd_d90), result.unit, length_power=1),
        value("particle_aspect_mean", result.mean_aspect, "1",
              numerator=float((weight * result.table["aspect"]).sum()), denominator=total),
    ]  # fmt: skip


def _bare(value: float) -> Interval:
    return Interval(value, math.nan, math.nan, 1, "none within a field")


def field_title(specimen: str, condition: str, file: str) -> str:
    """Name a field in a picture."""
    return " · ".join(filter(None, (specimen, condition, Path(file).name)))


def _title(f: FieldMask) -> str:
    return field_title(f.specimen, f.condition, f.file)


def _inside(scheme: Scheme, names: list[str]) -> list[int]:
    if names == ["none"]:
        return []
    return scheme.ids(names, key="measure.inside") if names else scheme.of_role("defect")


def _only_phase(scheme: Scheme, *, key: str) -> list[str]:
    """Return the one class of role phase; with several the user must choose."""
    phases = list(scheme.classes.loc[scheme.classes["role"] == "phase", "name"])
    if len(phases) == 1:
        return phases
    known = ", ".join(scheme.classes["name"])
    raise WootzError(f"{key} is not set; add {key}=[NAME]. Classes of scheme {scheme.name!r}: {known}.")
