"""One class a tile out of masks: the phase that covers most of it, or the rare thing that it holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wootz.errors import WootzError
from wootz.tiles import TileSet

IGNORE = 255
PRESENT = {
    "metaldam": {"defect": 0.01},
    "super": {"small precipitate": 0.05},
    "ebc": {"crack": 0.005},
}
"""Classes that name a tile as soon as they cover so much of it, by set: at 128 px 82 px of crack."""
RENDERED_PRESENT = {
    "crack": 0.005,
    "pore line": 0.01,
    "interface": 0.15,
    "pore": 0.02,
    "precipitate": 0.02,
}
"""The same on rendered coatings, first come; an interface: so much of two of resin, layer and steel."""
LAYERS = ("Fe2Al5", "FeAl")
BANDS = ("resin", "clean layer", "steel")
LINE_GROUP = "pore_line"


def mask_classes(tiles: TileSet, scheme: str) -> np.ndarray:
    """Name each tile by the masks of a public set: (N,) object, "" where nothing is labelled."""
    names = tiles.archive.classes(scheme)["name"].astype(str).tolist()
    return name_by_shares(phase_fractions(tiles, scheme), names, present=PRESENT.get(scheme, {}))


def rendered_classes(tiles: TileSet, fields: Path) -> np.ndarray:
    """Name each tile of rendered coatings by the renderer's truth.

    Parameters
    ----------
    tiles : TileSet
        Of an archive with the scheme ``coating``.
    fields : Path
        The folder that `wootz.synthetic.render` wrote, for the scenes and the masks of single objects.

    Returns
    -------
    (N,) object
        clean layer, steel, resin, interface, pore, pore line, precipitate or crack.
    """
    names = tiles.archive.classes("coating")["name"].astype(str).tolist()
    shares = dict(zip(names, phase_fractions(tiles, "coating").T, strict=True))
    shares["clean layer"] = np.sum([shares.pop(name) for name in LAYERS], axis=0)
    bands = np.stack([shares.pop(name) for name in BANDS], axis=1)
    line = _line_shares(tiles, fields)
    shares["pore"] = np.maximum(shares["pore"] - line, 0.0)
    shares |= {"pore line": line, "interface": np.sort(bands, axis=1)[:, -2]}
    table = np.concatenate([bands, np.stack(list(shares.values()), axis=1)], axis=1)
    return name_by_shares(table, [*BANDS, *shares], present=RENDERED_PRESENT)


def name_by_shares(shares: np.ndarray, names: Sequence[str], *, present: Mapping[str, float]) -> np.ndarray:
    """Name rows by the first class that is present, else by the one with the largest share.

    Parameters
    ----------
    shares : (N, C) float in [0, 1]
        NaN in rows of which nothing is known.
    names : sequence of C str
    present : mapping of str to float
        Share from which a class names the row, in the order in which they are asked.

    Returns
    -------
    (N,) object
        Name of each row, "" where nothing is known; equal shares go to the class that comes first.
    """
    known = np.isfinite(shares).all(axis=1)
    out = np.full(len(shares), "", object)
    out[known] = np.array(names, object)[shares[known].argmax(axis=1)]
    for name, least in reversed(list(present.items())):
        out[known & (shares[:, list(names).index(name)] >= least)] = name
    return out


def phase_fractions(tiles: TileSet, scheme: str) -> np.ndarray:
    """Return the share of each class of a scheme in each tile, (N, C); NaN where nothing is labelled."""
    n_classes = len(tiles.archive.classes(scheme))
    rows = np.full((len(tiles), n_classes), np.nan)
    labelled = set(tiles.archive.annotations.query("scheme == @scheme")["image_id"])
    for image_id, index, windows in windows_by_image(tiles):
        if image_id in labelled:
            rows[index] = window_shares(
                tiles.archive.mask(image_id, scheme=scheme), windows, n_classes=n_classes
            )
    return rows


def window_shares(mask: np.ndarray, windows: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Return the share of each class among the labelled pixels of windows.

    Parameters
    ----------
    mask : (H, W) int
        Class of each pixel; 255 and whatever is not below `n_classes` is not labelled.
    windows : (N, 4) int
        Row, column, height and width, px.
    n_classes : int

    Returns
    -------
    (N, n_classes) float
        NaN in windows without a labelled pixel.
    """
    out = np.full((len(windows), n_classes), np.nan)
    for i, (row, col, height, width) in enumerate(windows.tolist()):
        pixels = mask[row : row + height, col : col + width]
        counts = np.bincount(pixels[pixels < min(n_classes, IGNORE)].ravel(), minlength=n_classes)
        if counts.sum():
            out[i] = counts / counts.sum()
    return out


def _line_shares(tiles: TileSet, fields: Path) -> np.ndarray:
    """Return the share of each tile that pores of the pore line cover, (N,)."""
    from skimage.io import imread

    from wootz.synthetic import read_scene

    files = tiles.frame.groupby("image_id", sort=False)["file"].first()
    out = np.zeros(len(tiles))
    for image_id, index, windows in windows_by_image(tiles):
        stem = Path(str(files[image_id])).stem
        scene = read_scene(fields / "scenes" / f"{stem}.json")
        objects = np.asarray(imread(fields / "instances" / f"{stem}.png"))
        if objects.shape != tiles.archive.field(image_id).shape:
            raise WootzError(f"{fields} holds other fields than the archive; render and ingest them again.")
        line = [item.id for item in scene.inclusions if item.group == LINE_GROUP]
        out[index] = window_shares(np.isin(objects, line).astype(np.uint8), windows, n_classes=2)[:, 1]
    return out


def windows_by_image(tiles: TileSet) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return (image, positions of its tiles, their (n, 4) windows) for each image."""
    frame = tiles.frame.reset_index(drop=True)
    return [
        (str(image_id), part.index.to_numpy(), part[["row", "col", "height", "width"]].to_numpy(int))
        for image_id, part in frame.groupby("image_id", sort=False)
    ]
