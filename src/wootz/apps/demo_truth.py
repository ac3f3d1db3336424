"""What the demo measured against the exact geometry that its fields were drawn from."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

LAYER = "Fe2Al5"


def image_ids(archive: Any, *, of: str, split: str | None = None) -> list[str]:
    """Return the ids of the demo's images of a set (fields or defects), of one split or all."""
    images = archive.images
    chosen = images["set"] == of
    if split is not None:
        chosen &= images["split"] == split
    return list(images.loc[chosen, "image_id"])


def compare_with_truth(archive: Any, truth_path: Path) -> dict[str, Any]:
    """Compare the measured layer thickness and porosity of each test field with the exact geometry.

    Returns
    -------
    dict
        Mean (and largest) relative error of the thickness and absolute error of the porosity, of the
        predicted masks and, with the suffix ``_true_mask``, of the exact masks through the same functions;
        ``fields``: one row per field.
    """
    truth = {Path(f["file"]).name: f["geometric"] for f in json.loads(truth_path.read_text())["fields"]}
    table = archive.measurements
    images = archive.images.set_index("image_id")
    rows = []
    for image_id in image_ids(archive, of="fields", split="test"):
        exact = truth[Path(images.loc[image_id, "file"]).name]
        row: dict[str, Any] = {
            "file": Path(images.loc[image_id, "file"]).name,
            "thickness_true_um": exact["layers"][LAYER]["thickness_um"],
            "porosity_true": exact["porosity_frac"],
        }
        for source, suffix in (("prediction", ""), ("annotation", "_true_mask")):
            mine = table[(table["image_id"] == image_id) & (table["source"] == source)]
            thickness_nm = mine.loc[mine["quantity"] == f"thickness:{LAYER}", "value"].iloc[-1]
            porosity = mine.loc[mine["quantity"].str.startswith("area_fraction:pore"), "value"].iloc[-1]
            row[f"thickness{suffix}_um"] = thickness_nm / 1000
            row[f"porosity{suffix}"] = porosity
        rows.append(row)
    frame = pd.DataFrame(rows)
    figures: dict[str, Any] = {"fields": frame.to_dict("records"), "n": len(frame)}
    for suffix in ("", "_true_mask"):
        relative = (frame[f"thickness{suffix}_um"] / frame["thickness_true_um"] - 1).abs()
        absolute = (frame[f"porosity{suffix}"] - frame["porosity_true"]).abs()
        figures[f"thickness_rel_error{suffix}"] = float(relative.mean())
        figures[f"thickness_rel_error_max{suffix}"] = float(relative.max())
        figures[f"porosity_abs_error{suffix}"] = float(absolute.mean())
    return figures
