"""Train on some labelled images of a public set, predict its test images, score and measure the masks."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.apps import chain
from wootz.apps.studies.micrographs import MicrographSet
from wootz.archive import Archive

SMOOTHING_PX = 256.0
"""Cut-off wavelength of the layer's mid-line on EBC, the same for predicted and true masks."""
WEIGHTS = {"class_weights": "none"}
"""Chosen on EBC's val images; all other options stand with the sets."""


def image_ids(archive: Archive, item: MicrographSet, splits: tuple[str, ...]) -> list[str]:
    """Return the labelled images of a set in some splits."""
    images = archive.images
    labelled = set(archive.annotations.query("scheme == @item.name")["image_id"])
    chosen = images[(images["set"] == item.name) & images["split"].isin(splits)]
    return [i for i in chosen["image_id"] if i in labelled]


def segment_quick_pick(
    archive: Archive, item: MicrographSet, *, images: list[str], seed: int
) -> dict[str, np.ndarray]:
    """Train the quick pick on labelled images and return the masks of the test images by image id."""
    from wootz.finetune import train_quick_pick

    network = train_quick_pick(
        [archive.scaled_field(i) for i in images],
        [archive.mask(i, scheme=item.name) for i in images],
        n_classes=len(archive.classes(item.name)),
        downscale=item.downscale,
        seed=seed,
    )
    test = image_ids(archive, item, ("test",))
    return {i: network.predict_mask(archive.scaled_field(i)) for i in test}


def segment_wootz(
    archive: Archive,
    item: MicrographSet,
    *,
    images: list[str],
    encoder: str,
    seed: int,
    use_val: bool = True,
    **changes: Any,
) -> dict[str, np.ndarray]:
    """Fine-tune an encoder on labelled images and return the masks of the test images by image id.

    Parameters
    ----------
    archive : Archive
    item : MicrographSet
        Its options of `SegmentConfig` apply.
    images : list of str
    encoder : str
        Checkpoint, or ``random:NAME``.
    seed : int
    use_val : bool
        Whether the labelled images of split val choose the step; otherwise the last is kept.
    **changes
        Options of `SegmentConfig` that differ from the set's own.
    """
    from wootz.finetune import FinetuneConfig, SegmentConfig, load_segmenter

    task = SegmentConfig(**WEIGHTS | item.segment | changes)
    options = FinetuneConfig(
        task=task, encoder=encoder, scheme=item.name, images=images, seed=seed, use_val=use_val
    )
    head = load_segmenter(chain.finetune(archive, options).checkpoint)
    # not through the archive, which keeps one prediction per image: cells may run side by side
    test = image_ids(archive, item, ("test",))
    return {i: head.predict_mask(archive.scaled_field(i)) for i in test}


def score_masks(archive: Archive, item: MicrographSet, masks: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return mean IoU, pixel accuracy and the IoU of each class, pooled over the images."""
    from wootz.finetune import confusion_counts, scores_from_counts

    names = list(archive.classes(item.name).sort_values("id")["name"])
    counts = sum(
        confusion_counts(archive.mask(i, scheme=item.name), mask, n_classes=len(names))
        for i, mask in masks.items()
    )
    scores = scores_from_counts(np.asarray(counts), class_names=names)
    per_class = {f"iou_{n}": float(v) for n, v in zip(names, scores.iou, strict=True) if np.isfinite(v)}
    return {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy, **per_class}


def compare_thickness(
    archive: Archive, item: MicrographSet, masks: dict[str, np.ndarray], *, folder: Path
) -> dict[str, Any]:
    """Measure the layer of predicted and true masks through the same function and compare."""
    if item.layer is None:
        return {}
    rows = []
    for image_id, mask in masks.items():
        truth = archive.mask(image_id, scheme=item.name)
        exact, found = (measure_layer(archive, item, m) for m in (truth, mask))
        file = Path(archive.image(image_id)["file"]).stem
        rows.append({"file": file, "thickness_true_px": exact, "thickness_px": found})
    table = pd.DataFrame(rows)
    table["rel_error"] = table["thickness_px"] / table["thickness_true_px"] - 1
    table.to_csv(folder / "thickness.csv", index=False)
    error = table["rel_error"].abs().fillna(1.0)  # a layer that was not found is wrong by 100 %
    return {
        "thickness_rel_error_median": float(error.median()),
        "thickness_rel_error_max": float(error.max()),
    }


def measure_layer(archive: Archive, item: MicrographSet, mask: np.ndarray) -> float:
    """Return the mean thickness in px of a set's layer, what lies inside included; NaN if there is none."""
    from wootz.measure import class_region, layer_thickness

    ids = {str(row["name"]): int(row["id"]) for row in archive.classes(item.name).to_dict("records")}
    inside = [ids[item.inside]] if item.inside else []
    region = class_region(mask, [ids[str(item.layer)]], inside=inside)
    return float(layer_thickness(region, pixel_size_nm=None, smoothing_px=SMOOTHING_PX).mean.value)
