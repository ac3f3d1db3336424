"""What is to be done, from names alone: files, the facts that stand beside them, where their labels lie.

Everything here is checked before the first pixel is read, so that a mistake in a table or an option costs
seconds, not the ingest of a night.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wootz.errors import WootzError
from wootz.fieldnames import Join, match_pattern
from wootz.fieldtables import join_splits, join_table, read_table
from wootz.ingest.config import IngestConfig
from wootz.ingest.walk import Found, find_images
from wootz.labels import MaskFinder
from wootz.polygons import Region, read_via

BLACK_AND_WHITE = "0:background,1:foreground"


@dataclass(frozen=True)
class Entry:
    """One file of the plan.

    Attributes
    ----------
    path : Path
        Absolute; its text is the ``file`` of the images table.
    size_bytes, mtime_ns : int
        By which an unchanged file is known again.
    columns : dict
        Facts from the pattern, the table and the split lists; ``set`` is always there.
    mask : Path or None
        Its mask file.
    regions : list of Region
        Its regions out of a VIA file.
    classes : str
        Where the classes of its mask come from (see `wootz.classlists.read_classes`).
    """

    path: Path
    size_bytes: int
    mtime_ns: int
    columns: dict[str, Any]
    mask: Path | None = None
    regions: list[Region] = field(default_factory=list)
    classes: str = ""

    @property
    def file(self) -> str:
        """The path as text."""
        return str(self.path)

    @property
    def has_labels(self) -> bool:
        """Whether a mask or regions belong to it."""
        return self.mask is not None or bool(self.regions)


@dataclass(frozen=True)
class Plan:
    """All files in order, and what did not come together with them."""

    entries: tuple[Entry, ...]
    remarks: tuple[str, ...]


def make_plan(paths: Sequence[Path], cfg: IngestConfig) -> Plan:
    """Find the files and join them with pattern, table, splits, masks and regions.

    Raises
    ------
    WootzError
        For everything that can be known to be wrong from names, tables and options.
    """
    walk = find_images(paths, skip=[Path(cfg.masks)] if cfg.masks and "{" not in cfg.masks else [])
    masks = _find_masks(walk.files, cfg)
    mask_files = set(masks.values())
    found = [f for f in walk.files if f.path not in mask_files]
    columns, remarks = _columns(found, cfg)
    regions, strangers = _find_regions(found, cfg)
    if walk.skipped_folders and not (masks or cfg.masks):
        names = ", ".join(str(folder) for folder in walk.skipped_folders[:3])
        remarks.append(f"passed over {_count(walk.skipped_folders, 'folder')} of masks ({names}); see masks=")
    if strangers:
        remarks.append(f"regions for {_count(strangers, 'file')} not in this ingest: {_some(strangers)}")
    if (cfg.masks or cfg.via) and not (masks or regions):
        raise WootzError(_nothing_labelled(found, cfg))
    entries = []
    for f in found:
        status = os.stat(f.path)  # noqa: PTH116 - one call for both facts
        labels = {
            "mask": masks.get(f.path),
            "regions": regions.get(f.path, []),
            "classes": _classes_of(f, cfg),
        }
        entries.append(Entry(f.path, status.st_size, status.st_mtime_ns, columns[f.path], **labels))
    return Plan(tuple(entries), tuple(remarks))


def batches(entries: Sequence[Entry], *, n_bytes: int, n_files: int = 512) -> Iterator[list[Entry]]:
    """Cut the plan into pieces that are committed in one step.

    The cuts depend on the plan alone, not on what is stored already: an ingest that was killed comes to the
    same shards as one that was not.
    """
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (size + entry.size_bytes > n_bytes or len(batch) == n_files):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size_bytes
    if batch:
        yield batch


def _columns(found: Sequence[Found], cfg: IngestConfig) -> tuple[dict[Path, dict[str, Any]], list[str]]:
    """Join the sources; a table overrules the pattern, fixed splits overrule the table."""
    files = [f.path for f in found]
    columns: dict[Path, dict[str, Any]] = {f.path: {"set": cfg.set or f.set_name} for f in found}
    for f in found:
        if f.rendered is not None:  # the sampling mixes real and rendered tiles by this column
            columns[f.path]["origin"] = "rendered"
    remarks: list[str] = []
    for name, join in _name_and_table_joins(found, files, cfg):
        for path, values in join.values.items():
            columns[path].update(values)
        remarks += _unmatched(name, join)
    if cfg.splits:
        of_set: dict[str, list[Path]] = {}
        for path in files:
            of_set.setdefault(columns[path]["set"], []).append(path)
        join = join_splits(of_set, _read_json(Path(cfg.splits)), name=f"splits={cfg.splits}")
        for path, values in join.values.items():
            columns[path].update(values)
        remarks += _unmatched("splits", join)
    return columns, remarks


def _name_and_table_joins(
    found: Sequence[Found], files: list[Path], cfg: IngestConfig
) -> Iterator[tuple[str, Join]]:
    if cfg.pattern:
        yield "pattern", match_pattern(files, cfg.pattern)
    if cfg.metadata:
        path = Path(cfg.metadata)
        yield "metadata", join_table(files, read_table(path), name=f"metadata={path}")
        return
    for folder in dict.fromkeys(f.rendered for f in found):
        if folder is not None and (folder / "metadata.csv").is_file():
            own = [f.path for f in found if f.rendered == folder]
            table = folder / "metadata.csv"
            yield str(table), join_table(own, read_table(table), name=str(table))


def _find_masks(found: Sequence[Found], cfg: IngestConfig) -> dict[Path, Path]:
    masks: dict[Path, Path] = {}
    asked_for = MaskFinder(cfg.masks) if cfg.masks else None
    for f in found:
        finder = asked_for
        if finder is None and f.rendered is not None and not cfg.via:
            finder = MaskFinder(str(f.rendered / "masks"))
        mask = finder.find(f.path) if finder else None
        if mask is not None:
            masks[f.path] = Path(os.path.abspath(mask))  # noqa: PTH100 - as in `find_images`
    return masks


def _find_regions(found: Sequence[Found], cfg: IngestConfig) -> tuple[dict[Path, list[Region]], list[str]]:
    if not cfg.via:
        return {}, []
    regions = read_via(Path(cfg.via))
    by_name: dict[str, Path] = {}
    for f in found:
        if f.path.name in by_name and f.path.name in regions:
            raise WootzError(
                f"via={cfg.via}: {f.path.name} could be {by_name[f.path.name]} or {f.path}; ingest one "
                "folder at a time."
            )
        by_name[f.path.name] = f.path
    strangers = [name for name in regions if name not in by_name]
    return {by_name[name]: drawn for name, drawn in regions.items() if name in by_name}, strangers


def _classes_of(found: Found, cfg: IngestConfig) -> str:
    if cfg.classes or cfg.via:
        return cfg.classes
    if found.rendered is not None and not cfg.masks:
        return str(found.rendered / "classes.csv")
    if cfg.mask_threshold is not None:
        return BLACK_AND_WHITE
    if cfg.masks:
        raise WootzError(
            f"masks={cfg.masks} needs the names of its classes: classes='0:background,1:oxide,2:crack' or a "
            "classes.csv; for black-and-white masks give mask_threshold=127."
        )
    return ""


def _nothing_labelled(found: Sequence[Found], cfg: IngestConfig) -> str:
    first = found[0].path
    if cfg.via:
        return f"via={cfg.via} names none of the {len(found)} images, such as {first.name}."
    return (
        f"masks={cfg.masks}: none of the {len(found)} images has one; for {first.name} a file "
        f"{first.stem}.png (or .tif, .bmp, .npy) is expected there."
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise WootzError(f"splits={path}: no such file.") from error
    except (ValueError, OSError) as error:
        raise WootzError(f"splits={path}: cannot be read as JSON ({error}).") from error
    if not isinstance(value, dict):
        raise WootzError(f"splits={path}: must hold {{set: {{train: [...], val: [...], test: [...]}}}}.")
    return value


def _unmatched(name: str, join: Join) -> list[str]:
    remarks = []
    if join.unmatched_files:
        names = [path.name for path in join.unmatched_files]
        remarks.append(f"{name}: fits not {_count(names, 'file')}: {_some(names)}")
    if join.unmatched_rows:
        rows = list(join.unmatched_rows)
        remarks.append(f"{name}: {_count(rows, 'row')} for no file: {_some(rows)}")
    return remarks


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _count(things: Sequence[Any], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def column_defaults(entries: Sequence[Entry]) -> dict[str, Any]:
    """Give every column of the plan with what stands for unknown: ``""`` for text, NaN for numbers."""
    values: dict[str, list[Any]] = {}
    for entry in entries:
        for name, value in entry.columns.items():
            values.setdefault(name, []).append(value)
    return {name: "" if any(isinstance(v, str) for v in of) else math.nan for name, of in values.items()}
