"""Measured against exact layer thickness on composed scenes: the error of the measurement itself."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wootz.errors import WootzError
from wootz.measure import class_region, layer_thickness
from wootz.synthetic import CLASS_IDS, build_recipe, compose
from wootz.synthetic.raster import rasterise
from wootz.synthetic.recipe import at
from wootz.synthetic.truth import geometric_truth

FIELD_UM = 96.0
PHASE = "Fe2Al5"
NOISE_PX = 12.0
"""Correlation length of the outline noise: a hand or a network errs over about this length."""


def cell(params: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """Measure the layer of some fields and compare with the geometry that they were drawn from.

    Parameters
    ----------
    params : dict
        ``tilt_deg`` (-30 to 30), ``pixel_um`` (> 0), ``outline_noise_px`` (standard deviation of the
        outline's displacement, >= 0), ``n_fields`` (>= 1) and ``seed``.
    folder : Path
        Receives ``fields.csv``.

    Returns
    -------
    dict
        Mean signed and absolute relative error in percent, the worst one, the share of fields whose 95 %
        interval holds the truth, and the number of fields that could not be measured.
    """
    recipe = replace(build_recipe("coating-demo"), tilt_deg=at(params["tilt_deg"]))
    rows = []
    for index in range(params["n_fields"]):
        scene = compose(recipe, index, seed=params["seed"], width_um=FIELD_UM, height_um=FIELD_UM)
        truth_um = geometric_truth(scene)["layers"][PHASE]["thickness_um"]
        mask = rasterise(scene, pixel_um=params["pixel_um"]).class_mask
        inside = [CLASS_IDS[name] for name in ("pore", "precipitate", "crack")]
        region = class_region(mask, [CLASS_IDS[PHASE]], inside=inside)
        rng = np.random.default_rng([params["seed"], index])
        region = noisy_outline(region, params["outline_noise_px"], rng=rng)
        found = layer_thickness(region, pixel_size_nm=1000 * params["pixel_um"])
        if found.status == "ok":
            low, mean, high = (v / 1000 for v in (found.mean.ci_low, found.mean.value, found.mean.ci_high))
            rows.append((truth_um, mean, low, high))
    if not rows:
        raise WootzError("no field of this cell could be measured; lower tilt_deg or outline_noise_px.")
    table = np.array(rows)
    header = "truth_um,measured_um,ci_low_um,ci_high_um"
    np.savetxt(folder / "fields.csv", table, delimiter=",", header=header, comments="", fmt="%.6g")
    error = 100 * (table[:, 1] / table[:, 0] - 1)
    holds = (table[:, 2] <= table[:, 0]) & (table[:, 0] <= table[:, 3])
    return {
        "thickness_rel_error_pct": float(error.mean()),
        "thickness_abs_rel_error_pct": float(np.abs(error).mean()),
        "thickness_worst_error_pct": float(np.abs(error).max()),
        "interval_holds_truth_frac": float(holds.mean()),
        "n_not_measured": params["n_fields"] - len(rows),
    }


def noisy_outline(region: np.ndarray, sigma_px: float, *, rng: np.random.Generator) -> np.ndarray:
    """Displace the outline of a region by smooth noise of mean zero.

    Parameters
    ----------
    region : (H, W) bool
    sigma_px : float, >= 0
        Standard deviation of the displacement along the normal.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    if sigma_px == 0:
        return region
    depth = np.asarray(distance_transform_edt(region)) - np.asarray(distance_transform_edt(~region))
    noise = gaussian_filter(rng.normal(size=region.shape), NOISE_PX)
    return depth + sigma_px * noise / noise.std() > 0
