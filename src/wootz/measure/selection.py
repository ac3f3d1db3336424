"""The masks to measure: which fields, which classes, with clear errors where something is missing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wootz.errors import ArchiveError, WootzError
from wootz.measure.config import MeasureConfig

if TYPE_CHECKING:
    from wootz.archive import Archive


@dataclass(frozen=True)
class FieldMask:
    """A field's class mask with what its measurements need to know; `pixel_size_nm` is None if unknown."""

    image_id: str
    file: str
    specimen: str
    condition: str
    mask: NDArray[np.uint8]
    pixel_size_nm: tuple[float, float] | None


@dataclass(frozen=True)
class Scheme:
    """Classes of the scheme that is measured."""

    name: str
    classes: pd.DataFrame

    def ids(self, names: list[str], *, key: str) -> list[int]:
        """Return the ids of class names; ArchiveError lists the known ones."""
        known = dict(zip(self.classes["name"], self.classes["id"], strict=True))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ArchiveError(
                f"{key}: scheme {self.name!r} has no class {unknown[0]!r}; it has: {', '.join(known)}."
            )
        return [int(known[name]) for name in names]

    def of_role(self, role: str) -> list[int]:
        """Return the ids of the classes with a role."""
        return [int(i) for i in self.classes.loc[self.classes["role"] == role, "id"]]

    def colour(self, class_id: int) -> str:
        """Return the colour of a class, from the table or else from the palette."""
        from wootz.plotting import class_colours

        row = self.classes[self.classes["id"] == class_id]
        given = str(row["colour"].iloc[0]) if len(row) else ""
        return given or class_colours(class_id + 1)[class_id]


def choose_scheme(archive: "Archive", cfg: MeasureConfig) -> Scheme:
    """Return the scheme named in the options, or the only one that has masks."""
    name = cfg.scheme
    if not name:
        table = archive.predictions if cfg.source == "prediction" else archive.annotations
        with_masks = sorted(table["scheme"].unique())
        if not with_masks:
            raise ArchiveError(_no_masks(archive, cfg))
        if len(with_masks) > 1:
            raise WootzError(f"{archive.path} has masks of several schemes; add scheme={with_masks[0]} (or "
                             f"one of {', '.join(with_masks[1:])}).")  # fmt: skip
        name = with_masks[0]
    return Scheme(name, archive.classes(name))


def choose_fields(archive: "Archive", cfg: MeasureConfig, *, scheme: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the images that have a mask to measure, and notes on those left out.

    Duplicates of another field are left out: the same area twice would make the interval too short.
    """
    masks = archive.predictions if cfg.source == "prediction" else archive.annotations
    masks = masks[masks["scheme"] == scheme]
    if cfg.by:
        by = masks[(masks["source"] == cfg.by) | (masks["run"] == cfg.by)]
        if by.empty and len(masks):
            known = sorted({*masks["source"], *masks["run"]} - {""})
            raise ArchiveError(
                f"no {cfg.source} masks by {cfg.by!r} in {archive.path}; by one of: {', '.join(known)}."
            )
        masks = by
    if masks.empty:
        raise ArchiveError(_no_masks(archive, cfg, scheme=scheme))
    newest = masks.drop_duplicates("image_id", keep="last").set_index("image_id")["source"]
    images, notes = wanted_fields(archive, set(newest.index), split=cfg.split)
    if images.empty:
        raise ArchiveError(
            f"no field of split {cfg.split!r} has {cfg.source} masks of scheme {scheme!r}; "
            f"wootz predict {archive.path} makes predictions, split= chooses other fields."
        )
    return images.assign(mask_source=images["image_id"].map(newest)), notes


def wanted_fields(archive: "Archive", image_ids: set[str], *, split: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the images of a split without duplicates, and notes on those left out.

    Parameters
    ----------
    archive : Archive
    image_ids : set of str
        Images that there is something to measure on.
    split : str
        train, val, test or "" for all.
    """
    images = archive.images
    images = images[images["image_id"].isin(image_ids)]
    if split:
        images = images[images["split"] == split]
    copies = images["duplicate_of"].isin(images["image_id"])
    if not copies.any():
        return images, []
    files = ", ".join(images.loc[copies, "file"][:3])
    return images[~copies], [f"left out {int(copies.sum())} duplicate field(s): {files}"]


def pixel_size(image: pd.Series) -> tuple[float, float] | None:
    """Return height and width of a pixel in nm; None where either is not known."""
    size = (float(image["pixel_size_row_nm"]), float(image["pixel_size_col_nm"]))
    return size if all(np.isfinite(size)) and min(size) > 0 else None


def load_field(archive: "Archive", image: pd.Series, cfg: MeasureConfig, *, scheme: str) -> FieldMask:
    """Load the mask of one row of `choose_fields`."""
    mask = archive.mask(image["image_id"], scheme=scheme, kind=cfg.source, source=image["mask_source"])
    return FieldMask(
        image_id=image["image_id"],
        file=image["file"],
        specimen=image["specimen"],
        condition=image["condition"],
        mask=mask,
        pixel_size_nm=pixel_size(image),
    )


def _no_masks(archive: "Archive", cfg: MeasureConfig, *, scheme: str = "") -> str:
    of = f" of scheme {scheme!r}" if scheme else ""
    if cfg.source == "prediction":
        remedy = f"make them with: wootz predict {archive.path} head=CHECKPOINT"
        if len(archive.annotations):
            remedy += f"; or measure what was drawn: wootz measure {archive.path} source=annotation"
    else:
        remedy = "ingest masks beside the images, or measure predictions with source=prediction"
    return f"{archive.path} has no {cfg.source} masks{of}; {remedy}."
