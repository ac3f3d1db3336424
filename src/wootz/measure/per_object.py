"""From the archive's table of objects to values of fields: which objects, which fields, what of each."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wootz.errors import ArchiveError, WootzError
from wootz.measure import overlays
from wootz.measure.config import MeasureConfig, ObjectsConfig
from wootz.measure.counts import ObjectCount, count_objects
from wootz.measure.fractions import area_fraction
from wootz.measure.intervals import Interval
from wootz.measure.per_field import Measured, field_title
from wootz.measure.pooling import FieldValue
from wootz.measure.selection import pixel_size, wanted_fields
from wootz.objects import decode_rle
from wootz.plotting import class_colours

if TYPE_CHECKING:
    from wootz.archive import Archive

MAX_DRAWN = 254


class ObjectFields:
    """The objects of one source, and the fields that they were looked for in.

    Parameters
    ----------
    archive : Archive
    cfg : MeasureConfig
        With `ObjectsConfig`.
    rng : numpy Generator
        Draws the bootstrap.

    Raises
    ------
    ArchiveError
        If there are no objects, or none of the source or class that was asked for.
    WootzError
        If there are several sources and none was chosen.
    """

    def __init__(self, archive: "Archive", cfg: MeasureConfig, *, rng: np.random.Generator) -> None:
        options: ObjectsConfig = cfg.measure
        self.cfg, self.options, self.rng = cfg, options, rng
        self.source = _source(archive, cfg.by)
        table = archive.objects
        table = table[table["source"] == self.source]
        self.classes = _classes(table, options.classes, source=self.source)
        looked_at = _looked_at(archive, self.source) | set(table["image_id"])
        self.images, self.notes = wanted_fields(archive, looked_at, split=cfg.split)
        if self.images.empty:
            raise ArchiveError(f"no field of split {cfg.split!r} has objects of {self.source!r}.")
        if not (len(looked_at) > table["image_id"].nunique() or _fills_fields(table)):
            self.notes.append(
                f"fields without any object of {self.source!r} are not known here and not counted"
            )
        self.by_image = dict(iter(table.groupby("image_id")))
        self.none = table.iloc[:0]

    def measure(self, image: pd.Series) -> Measured:
        """Measure each class in one field, a row of `images`."""
        found = self.by_image.get(image["image_id"], self.none)
        size = pixel_size(image)
        shape = (int(image["height_px"]), int(image["width_px"]))
        drawn, shown = np.zeros(shape, np.uint8), {}
        colours = class_colours(len(self.classes))
        values: list[FieldValue] = []
        for number, name in enumerate(self.classes, start=1):
            objects = found[(found["class"] == name) & (found["area_px"] >= self.options.min_area_px)]
            mask = _draw(objects, shape)
            settings = {"confidence": self.cfg.confidence, "blocks": self.options.blocks}
            share = area_fraction(mask, **settings)
            counted = count_objects(
                objects,
                shape,
                rng=self.rng,
                step_px=_step(objects),
                pixel_size_nm=size,
                pixel_size_rel_error=self.cfg.pixel_size_rel_error,
                n_resamples=self.options.resamples,
                **settings,
            )
            values += self._values(image, name, objects, counted=counted)
            method = f"area of objects, {self.options.blocks} x {self.options.blocks} blocks in a field"
            values.append(
                FieldValue(image["image_id"], image["specimen"], image["condition"], f"area_fraction:{name}",
                           "1", share.fraction, method, numerator=float(share.area_px),
                           denominator=float(share.reference_px), note=share.fraction.reason)
            )  # fmt: skip
            if number <= MAX_DRAWN:
                drawn[mask] = number
                shown[number] = (name, share.fraction, colours[number - 1])
        title = field_title(image["specimen"], image["condition"], image["file"])
        return Measured(
            values,
            lambda pixels: overlays.fractions_figure(
                pixels, drawn, shown, region=None, pixel_size_nm=size, title=title
            ),
        )

    def _values(
        self, image: pd.Series, name: str, objects: pd.DataFrame, *, counted: ObjectCount
    ) -> list[FieldValue]:
        method = f"objects of at least {self.options.min_area_px} px, Miles-Lantuéjoul weights"
        notes = "; ".join(counted.notes)
        weights, areas = counted.weights, objects["area_px"].to_numpy(np.float64)
        if counted.area_unit != "px²":
            areas = areas * np.prod(pixel_size(image) or (math.nan, math.nan)) / 1e6

        def value(quantity: str, interval: Interval, unit: str, **pooling) -> FieldValue:
            pooling.setdefault("numerator", interval.value)
            note = "; ".join(filter(None, (notes, interval.reason)))
            return FieldValue(image["image_id"], image["specimen"], image["condition"], f"{quantity}:{name}",
                              unit, interval, method, note=note, **pooling)  # fmt: skip

        count = Interval(float(counted.n), math.nan, math.nan, 1, "none within a field")
        total = float(weights.sum())
        return [
            value("object_count", count, "1"),
            value("object_density", counted.density, counted.density_unit, length_power=2, numerator=total,
                  denominator=counted.reference_area),
            value("object_area_mean", counted.mean_area, counted.area_unit, length_power=2,
                  numerator=float((weights * areas).sum()), denominator=total),
        ]  # fmt: skip


def _source(archive: "Archive", wanted: str) -> str:
    known = sorted(archive.objects["source"].unique())
    if not known:
        raise ArchiveError(
            f"{archive.path} has no objects; make them with: wootz cluster {archive.path} (regions of "
            f"clusters), or wootz predict {archive.path} head=CHECKPOINT"
        )
    if wanted and wanted not in known:
        raise ArchiveError(f"no objects of by={wanted!r} in {archive.path}; by one of: {', '.join(known)}.")
    if not wanted and len(known) > 1:
        raise WootzError(
            f"{archive.path} has objects of several sources; add by={known[0]} (or one of "
            f"{', '.join(known[1:])})."
        )
    return wanted or known[0]


def _classes(table: pd.DataFrame, wanted: list[str], *, source: str) -> list[str]:
    """List the classes to count: those that were asked for, or all, numbered clusters in their order."""
    order = table.drop_duplicates("class")
    if "cluster" in order:
        order = order.sort_values("cluster", kind="stable", na_position="last")
    known = order["class"].tolist()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ArchiveError(
            f"measure.classes: the objects of {source!r} have no class {unknown[0]!r}; they have: "
            f"{', '.join(known)}."
        )
    return wanted or known


def _looked_at(archive: "Archive", source: str) -> set[str]:
    """List the fields with a mask of this source: where no object came out of it, there is none."""
    masks = pd.concat([archive.predictions, archive.annotations])
    return set(masks.loc[masks["source"] == source, "image_id"])


def _fills_fields(table: pd.DataFrame) -> bool:
    """Tell whether the objects are regions of clusters, of which each field that was looked at has some."""
    return "n_tiles" in table and bool(table["n_tiles"].notna().all())


def _step(objects: pd.DataFrame) -> int:
    """Return the grid that outlines lie on: the side of a tile for regions of clusters, else one pixel."""
    if not len(objects) or "tile_px" not in objects or objects["tile_px"].isna().any():
        return 1
    return int(objects["tile_px"].max())


def _draw(objects: pd.DataFrame, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    for row0, col0, row1, col1, rle in objects[["row0", "col0", "row1", "col1", "rle"]].itertuples(
        index=False
    ):
        mask[row0:row1, col0:col1] |= decode_rle(rle, height=row1 - row0, width=col1 - col0)
    return mask
