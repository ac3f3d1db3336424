"""Labels for other tools: tables, COCO for detection and annotation, one folder a class for training."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz import __version__, storage
from wootz.errors import WootzError
from wootz.explore.actions import ActionError
from wootz.explore.export import labels_csv, labels_frame, notes_csv, voice
from wootz.explore.pictures import shown_range
from wootz.explore.workspace import Workspace
from wootz.plotting import grey_uint8
from wootz.tables import records


def labels_parquet(workspace: Workspace, expert: str | None = None) -> bytes:
    """Write `wootz.explore.export.labels_frame` as Parquet."""
    buffer = io.BytesIO()
    labels_frame(workspace, expert=expert).to_parquet(buffer, index=False)
    return buffer.getvalue()


def labels_coco(workspace: Workspace, expert: str | None = None) -> bytes:
    """Write the labels of one person as COCO JSON: an image per field, a box per tile.

    Parameters
    ----------
    workspace : Workspace
    expert : str, optional
        A person or "consensus"; by default the only person, or the consensus of several.

    Returns
    -------
    bytes
        ``images`` (id, file_name as ingested, width and height in px of the field, its info bar left out),
        ``categories`` (classes, and "artefact" where it was used), ``annotations`` (bbox [left, top, width,
        height] in px, area, the box as polygon, iscrowd 0). Tiles "in between" are left out; fields with
        labelled tiles are listed, others not.

    References
    ----------
    Lin et al. 2014, arXiv:1405.0312; https://cocodataset.org/#format-data.
    """
    frame = _one_voice(workspace, expert)
    names = sorted(set(frame["label"]))
    fields = workspace.archive.images.set_index("image_id")
    ids = {image: i for i, image in enumerate(dict.fromkeys(frame["image_id"]), start=1)}
    number = {name: i for i, name in enumerate(names, start=1)}
    boxes = []
    for i, tile in enumerate(records(frame), start=1):
        left, top, width, height = (int(tile[name]) for name in ("col", "row", "width", "height"))
        right, bottom = left + width, top + height
        boxes.append(
            {
                "id": i,
                "image_id": ids[tile["image_id"]],
                "category_id": number[tile["label"]],
                "bbox": [left, top, width, height],
                "area": width * height,
                "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
                "iscrowd": 0,
                "tile_id": tile["tile_id"],
            }
        )
    content = {
        "info": {"description": f"tiles of {workspace.archive.path.resolve().name}", "version": __version__},
        "licenses": [],
        "images": [
            {
                "id": i,
                "file_name": str(fields.loc[image, "file"]),
                "width": int(fields.loc[image, "width_px"]),
                "height": int(fields.loc[image, "height_px"]),
            }
            for image, i in ids.items()
        ],
        "categories": [{"id": i, "name": name, "supercategory": ""} for name, i in number.items()],
        "annotations": boxes,
    }
    return json.dumps(content, indent=1).encode()


def labels_imagefolder(workspace: Workspace, expert: str | None = None) -> bytes:
    """Write the labelled tiles of one person as a ZIP of PNG pictures, one folder a class.

    The layout of ``torchvision.datasets.ImageFolder`` and of most training programs. Tiles are 8-bit grey,
    with the grey levels of the explorer (the recorded range of the field and a tenth beyond either end);
    ``labels.csv`` beside the folders says where each comes from. `expert` as in `labels_coco`.
    """
    from PIL import Image

    frame = _one_voice(workspace, expert)
    folders = _folder_names(sorted(set(frame["label"])))
    rows = [workspace.state.row_of(tile_id) for tile_id in frame["tile_id"]]
    names = ["intensity_low", "intensity_high"]
    ranges = workspace.tiles.columns(names).iloc[rows].to_dict("records")
    buffer, places = io.BytesIO(), []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
        for row, tile, about in zip(rows, records(frame), ranges, strict=True):
            low, high = shown_range(about)
            picture = io.BytesIO()
            Image.fromarray(grey_uint8(workspace.tiles.read([row])[0], low=low, high=high)).save(
                picture, "PNG"
            )
            places.append(f"{folders[tile['label']]}/{tile['tile_id']}.png")
            bundle.writestr(places[-1], picture.getvalue())
        table = frame.drop(columns="label").assign(picture=places)
        bundle.writestr("labels.csv", table.to_csv(index=False))
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Workspace, str | None], bytes]] = {
    ".notes.csv": lambda workspace, expert: notes_csv(workspace, expert=expert),
    ".csv": lambda workspace, expert: labels_csv(workspace, expert=expert),
    ".parquet": labels_parquet,
    ".json": labels_coco,
    ".zip": labels_imagefolder,
}
"""Kinds of files by how the name ends: notes, labels twice, COCO, one folder a class; longest ends first."""


def save_labels(workspace: Workspace, path: Path, *, expert: str = "") -> Path:
    """Write labels into a new file; its suffix says how.

    Raises
    ------
    WootzError
        For another suffix, a file that is there, a person who has said nothing, or no label at all.
    """
    kind = next((end for end in FORMATS if path.name.lower().endswith(end)), None)
    if kind is None:
        raise WootzError(
            f"export={path}: the name must end in .csv or .parquet (table), .json (COCO), .zip (pictures, "
            "one folder a class), .notes.csv (notes) or .html (page to look at)."
        )
    if path.exists():
        raise WootzError(f"{path} exists; give another name, or remove it.")
    voice(workspace, expert)
    storage.write_bytes(path, FORMATS[kind](workspace, expert or None))
    return path


def _one_voice(workspace: Workspace, expert: str | None) -> pd.DataFrame:
    """Give the tiles that one person, or the consensus, put into a class or called artefact."""
    who = voice(workspace, expert or "")
    frame = labels_frame(workspace, expert=who) if who else labels_frame(workspace)[:0]
    frame = frame[frame["verdict"] != "between"].reset_index(drop=True)
    if not len(frame):
        raise ActionError("there is no labelled tile to export yet.")
    label = np.where(frame["verdict"] == "class", frame["class_name"], frame["verdict"])
    return frame.assign(label=label.astype(str))


def _folder_names(names: list[str]) -> dict[str, str]:
    """Give each class a folder name that every file system takes, all of them different."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^\w\-. ]+", "_", name).strip(". ")[:80] or "class"
        taken = {other.lower() for other in found.values()}
        n, folder = 1, plain
        while folder.lower() in taken:
            n += 1
            folder = f"{plain}_{n}"
        found[name] = folder
    return found


def media_type(suffix: str) -> str:
    """Give the media type of a kind of file."""
    kinds: dict[str, Any] = {"csv": "text/csv", "json": "application/json", "zip": "application/zip"}
    return kinds.get(suffix.rpartition(".")[2], "application/octet-stream")
