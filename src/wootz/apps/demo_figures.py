"""The demo's own pictures: what the network saw, found and measured, each beside the exact truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from wootz.plotting import (
    class_colours,
    grey_uint8,
    new_figure,
    outline_overlay,
    save_figure,
    show_field,
    style_axis,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_FIELDS = 3


def draw_demo(archive: Any, folder: Path, results: dict[str, Any]) -> dict[str, Path]:
    """Draw the demo's figures into `folder`.

    Parameters
    ----------
    archive : Archive
        The demo's archive, with predictions, heat maps and measurements.
    folder : Path
        Receives segmentation.png, truth.png and anomaly.png.
    results : dict
        The figures of results.json.

    Returns
    -------
    dict of str to Path
    """
    figures = {
        "segmentation": segmentation_figure(archive),
        "truth": truth_figure(pd.DataFrame(results["measurement"]["fields"])),
        "anomaly": anomaly_figure(archive),
    }
    return {name: save_figure(figure, folder / f"{name}.png") for name, figure in figures.items()}


def segmentation_figure(archive: Any) -> "Figure":
    """Show some held-out fields: as recorded, as predicted, and where the prediction is right and wrong."""
    from matplotlib.lines import Line2D

    from wootz.finetune import confusion_overlay

    images = archive.images
    rows = images[(images["split"] == "test") & (images["set"] == "fields")].head(SHOWN_FIELDS)
    classes = archive.classes("coating")
    colours = dict(zip(classes["id"], class_colours(len(classes)), strict=True))
    figure = new_figure(9.6, 3.3 * len(rows))
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for line, row in zip(axes, rows.to_dict("records"), strict=True):
        field = archive.scaled_field(row["image_id"])
        truth = archive.mask(row["image_id"], scheme="coating")
        found = archive.mask(row["image_id"], scheme="coating", kind="prediction")
        size = (row["pixel_size_row_nm"], row["pixel_size_col_nm"])
        pictures = (
            ("as recorded", grey_uint8(field)),
            ("predicted phases", outline_overlay(field, found, colours, width_px=2)),
            ("right (turquoise), wrong (red), missed (yellow)", confusion_overlay(field, truth, found)),
        )
        for axis, (title, picture) in zip(line, pictures, strict=True):
            show_field(axis, picture, pixel_size_nm=size)
            axis.set_title(title, fontsize=9, loc="left")
    shown = sorted(
        {int(v) for line in rows["image_id"] for v in np.unique(archive.mask(line, scheme="coating"))}
    )
    names = classes.set_index("id")["name"]
    handles = [Line2D([], [], color=colours[i], linewidth=3, label=names[i]) for i in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)
    return figure


def truth_figure(fields: pd.DataFrame) -> "Figure":
    """Plot measured against exact thickness and porosity, one point a held-out field."""
    figure = new_figure(8.0, 3.8)
    left, right = figure.subplots(1, 2)
    style_axis(left, title="Layer thickness", xlabel="exact (µm)", ylabel="measured (µm)")
    style_axis(right, title="Porosity", xlabel="exact (%)", ylabel="measured (%)")
    series = (
        (left, "thickness_true_um", "thickness", "_um", 1.0),
        (right, "porosity_true", "porosity", "", 100.0),
    )
    for axis, true, name, unit, factor in series:
        exact = fields[true] * factor
        axis.axline((exact.mean(), exact.mean()), slope=1, color="#999999", linewidth=1)
        axis.plot(exact, fields[f"{name}{unit}"] * factor, "o", color="#0072b2", label="predicted masks")
        axis.plot(
            exact, fields[f"{name}_true_mask{unit}"] * factor, "x", color="#e69f00", label="exact masks"
        )
        axis.legend(fontsize=8, frameon=False)
    return figure


def anomaly_figure(archive: Any) -> "Figure":
    """Show the most and the least anomalous defect field, a normal one, and the scores of all of them."""
    images = archive.images.dropna(subset=["pred_anomaly_score"])
    defects = images[images["set"] == "defects"].sort_values("pred_anomaly_score")
    normal = images[images["set"] == "fields"].sort_values("pred_anomaly_score")
    shown = (
        ("highest score of a defect", defects.iloc[-1]),
        ("lowest score of a defect", defects.iloc[0]),
        ("highest score of a normal field", normal.iloc[-1]),
    )
    heats = [archive.map(row["image_id"], "anomaly") for _, row in shown]
    low, high = np.quantile(heats[-1], 0.5), max(float(heat.max()) for heat in heats)
    figure = new_figure(9.6, 5.6)
    grid = figure.add_gridspec(2, 3, height_ratios=(2.2, 1))
    for column, ((title, row), heat) in enumerate(zip(shown, heats, strict=True)):
        axis = figure.add_subplot(grid[0, column])
        field = archive.scaled_field(row["image_id"])
        show_field(axis, field, pixel_size_nm=(row["pixel_size_row_nm"], row["pixel_size_col_nm"]))
        strength = np.clip((heat - low) / (high - low), 0, 1)
        axis.imshow(heat, cmap="inferno", alpha=0.65 * strength, vmin=low, vmax=high)
        axis.set_title(f"{title}: {row['pred_anomaly_score']:.2f}", fontsize=9, loc="left")
    axis = style_axis(figure.add_subplot(grid[1, :]), xlabel="anomaly score of a field")
    for height, (name, rows, colour) in enumerate(
        (("normal", normal, "#0072b2"), ("with defect", defects, "#d55e00"))
    ):
        axis.plot(rows["pred_anomaly_score"], np.full(len(rows), height), "o", color=colour, alpha=0.7)
        axis.annotate(name, (0.005, height), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    axis.set_yticks([])
    axis.set_ylim(-0.6, 1.6)
    return figure
