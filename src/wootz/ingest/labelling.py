"""Masks and regions of the plan into the archive, once their images are there."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wootz.archive import Archive
from wootz.classlists import read_classes, same_classes
from wootz.errors import ArchiveError, WootzError
from wootz.ingest.config import IngestConfig
from wootz.ingest.facts import rows_by_file
from wootz.ingest.plan import Entry
from wootz.labels import check_values, fit_mask, read_mask
from wootz.plotting import class_colours
from wootz.polygons import class_names, draw_regions, region_objects
from wootz.progress import track

MASKS_PER_COMMIT = 64


@dataclass(frozen=True)
class Labelled:
    """How many masks and objects were stored or renewed."""

    n_masks: int = 0
    n_objects: int = 0


def add_labels(archive: Archive, entries: Sequence[Entry], cfg: IngestConfig) -> Labelled:
    """Store the masks and regions of all entries; those that are stored already change nothing.

    Raises
    ------
    WootzError
        If a mask cannot be read, is of another size than its image, or holds values outside the class list,
        or the scheme exists with other classes. Masks before it are stored.
    """
    todo = [entry for entry in entries if entry.has_labels]
    rows = rows_by_file(archive) if todo else {}
    todo = [entry for entry in todo if entry.file in rows]
    if not todo:
        return Labelled()
    classes = {key: _classes(archive, key, of) for key, of in _by_scheme(todo, cfg).items()}
    n_masks = n_objects = 0
    progress = track(todo, title="masks", total=len(todo), unit="images")
    for start in range(0, len(todo), MASKS_PER_COMMIT):
        with archive.transaction():
            for entry in todo[start : start + MASKS_PER_COMMIT]:
                next(progress)
                row = rows[entry.file]
                scheme = _scheme(entry, cfg)
                mask = _mask(entry, row, classes[scheme], cfg)
                if _is_stored(archive, row, mask, scheme=scheme, annotator=cfg.annotator):
                    continue
                archive.add_mask(row["image_id"], mask, scheme=scheme, source=cfg.annotator)
                n_masks += 1
                if entry.regions:
                    objects = _objects(entry, row, scheme, cfg)
                    archive.add_objects(objects)
                    n_objects += len(objects)
    for _ in progress:
        pass
    return Labelled(n_masks, n_objects)


def _by_scheme(entries: Sequence[Entry], cfg: IngestConfig) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_scheme(entry, cfg), []).append(entry)
    return groups


def _scheme(entry: Entry, cfg: IngestConfig) -> str:
    """Give the name of the class list: the option, or the set's name in characters that a folder may have."""
    return cfg.scheme or re.sub(r"[^A-Za-z0-9._ +@=-]", "_", entry.columns["set"]).strip(" ._") or "labels"


def _classes(archive: Archive, scheme: str, entries: Sequence[Entry]) -> pd.DataFrame:
    """Read the class list of a scheme and store it, unless it is there."""
    sources = sorted({entry.classes for entry in entries})
    lists = [read_classes(source) if source else _drawn_classes(entries) for source in sources]
    for source, other in zip(sources, lists, strict=True):
        if not same_classes(lists[0], other):
            raise WootzError(f"{sources[0]} and {source} differ; give each its own scheme=.")
    if scheme not in archive.schemes():
        archive.add_classes(scheme, lists[0])
    elif not same_classes(archive.classes(scheme), lists[0]):
        there = ", ".join(f"{c.id}:{c.name}" for c in archive.classes(scheme).itertuples())
        raise WootzError(
            f"the archive has a scheme {scheme!r} with other classes ({there}); give these ones another name "
            "with scheme=."
        )
    return archive.classes(scheme)


def _drawn_classes(entries: Sequence[Entry]) -> pd.DataFrame:
    """List the classes of a VIA file, numbered by first appearance behind the background."""
    names = class_names({entry.file: entry.regions for entry in entries})
    frame = pd.DataFrame({"id": range(len(names) + 1), "name": ["background", *names]})
    return frame.assign(colour=class_colours(len(frame)), role=["background"] + ["phase"] * len(names))


def _bar(row: Mapping[str, Any]) -> slice | None:
    start, colon, stop = str(row["info_bar_rows"]).partition(":")
    return slice(int(start), int(stop)) if colon else None


def _mask(entry: Entry, row: Mapping[str, Any], classes: pd.DataFrame, cfg: IngestConfig) -> np.ndarray:
    size = (int(row["height_px"]), int(row["width_px"]))
    bar = _bar(row)
    if entry.mask is not None:
        mask = read_mask(entry.mask, threshold=cfg.mask_threshold, classes=classes)
        check_values(mask, set(classes["id"]), path=entry.mask)
        return fit_mask(mask, size, bar=bar, mask_path=entry.mask, image_path=entry.path)
    ids = dict(zip(classes["name"], classes["id"], strict=True))
    strange = [name for name in class_names({entry.file: entry.regions}) if name not in ids]
    if strange:
        raise WootzError(
            f"{cfg.via}: {entry.path.name} has regions of class {', '.join(strange)}, which the class list "
            f"does not hold ({', '.join(ids)}); add it to classes=."
        )
    return draw_regions(entry.regions, size, class_ids=ids, row_offset=_offset(bar))


def _objects(entry: Entry, row: Mapping[str, Any], scheme: str, cfg: IngestConfig) -> pd.DataFrame:
    """List the regions; the source names annotator and scheme, so that two class lists keep both."""
    size = (int(row["height_px"]), int(row["width_px"]))
    about = {"image_id": row["image_id"], "source": f"{cfg.annotator}:{scheme}"}
    return region_objects(entry.regions, size, row_offset=_offset(_bar(row)), **about)


def _offset(bar: slice | None) -> int:
    return bar.stop if bar is not None and bar.start == 0 else 0


def _is_stored(
    archive: Archive, row: Mapping[str, Any], mask: np.ndarray, *, scheme: str, annotator: str
) -> bool:
    try:
        stored = archive.mask(row["image_id"], scheme=scheme, source=annotator)
    except ArchiveError:  # none yet, or a damaged one
        return False
    return bool(np.array_equal(stored, mask))
