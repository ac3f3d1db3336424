"""Agreement between clusters and known classes, and known classes of tiles out of masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wootz.errors import WootzError
from wootz.progress import track

IGNORE = 255
RARE = 0.5


@dataclass(frozen=True)
class Agreement:
    """How well clusters repeat known classes.

    Parameters
    ----------
    accuracy : float in [0, 1]
        Share of tiles in the right class when each cluster may stand for at most one class and each class
        for at most one cluster (Hungarian). Surplus clusters count as wrong.
    purity : float in [0, 1]
        Share of tiles that belong to the majority class of their cluster; rises with the number of clusters.
    nmi, ari : float
        Normalised mutual information (arithmetic mean) and adjusted Rand index.
    n, n_left_out : int
        Tiles compared, and tiles without a known class or without a cluster.
    rejected_frac : float in [0, 1]
        Share of the tiles of known class that are in no cluster.
    rare_f1 : float in [0, 1] or None
        Mean F1 of the rare classes under the matching: those with less than half as many tiles as each would
        have if all were of one size. 0 for a class without a cluster; None where no class is rare.
    table : DataFrame
        Counts, one row a cluster, one column a class.
    matches : dict
        Class of each matched cluster.
    per_class : DataFrame
        ``class, n, cluster, precision, recall, f1`` under the matching: where rare classes show.
    """

    accuracy: float
    purity: float
    nmi: float
    ari: float
    n: int
    n_left_out: int
    rejected_frac: float
    rare_f1: float | None
    table: pd.DataFrame
    matches: dict
    per_class: pd.DataFrame

    def figures(self) -> dict[str, float]:
        """Return the scores and the number of tiles by name; `rare_f1` only where a class is rare."""
        names = ("accuracy", "purity", "nmi", "ari", "n", "rejected_frac", "rare_f1")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def agreement(labels: Sequence | np.ndarray, truth: Sequence | np.ndarray) -> Agreement:
    """Compare clusters with known classes, or with other clusters; the numbers of both may differ.

    Parameters
    ----------
    labels : (N,) int or str
        Cluster of each tile; negative, NaN or empty means that the tile has none.
    truth : (N,) int or str
        Known class of each tile; negative, NaN or empty means not known. Such tiles are left out and counted.

    Raises
    ------
    WootzError
        If the lengths differ or no tile has both.

    References
    ----------
    Kuhn 1955, doi 10.1002/nav.3800020109 (matching); Hubert & Arabie 1985, doi 10.1007/BF01908075 (ARI);
    Vinh et al. 2010, JMLR 11:2837 (NMI).

    Examples
    --------
    >>> round(agreement([0, 0, 1, 2], ["pore", "pore", "steel", "steel"]).accuracy, 2)
    0.75
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    found, known = pd.Series(np.asarray(labels)), pd.Series(np.asarray(truth))
    if len(found) != len(known):
        raise WootzError(f"{len(found)} clusters and {len(known)} known classes cannot be compared.")
    of_class = _is_known(known)
    keep = _is_known(found) & of_class
    if not keep.any():
        raise WootzError(
            "no tile has both a cluster and a known class; annotate some images or check the column."
        )
    found, known = found[keep], known[keep]
    table = pd.crosstab(found, known).rename_axis(index="cluster", columns="class")
    matches, per_class = _match(table)
    counts = table.to_numpy()
    right = sum(int(table.loc[[cluster], name].iloc[0]) for cluster, name in matches.items())
    return Agreement(
        accuracy=float(right / counts.sum()),
        purity=float(counts.max(axis=1).sum() / counts.sum()),
        nmi=float(normalized_mutual_info_score(known, found)),
        ari=float(adjusted_rand_score(known, found)),
        n=int(counts.sum()),
        n_left_out=int((~keep).sum()),
        rejected_frac=float(1 - keep.sum() / of_class.sum()),
        rare_f1=_rare_f1(per_class),
        table=table,
        matches=matches,
        per_class=per_class,
    )


def _match(table: pd.DataFrame) -> tuple[dict, pd.DataFrame]:
    """Match clusters with classes one to one so that most tiles agree."""
    from scipy.optimize import linear_sum_assignment

    counts = table.to_numpy()
    rows, cols = linear_sum_assignment(counts, maximize=True)
    cluster_of = dict(zip(cols.tolist(), rows.tolist(), strict=True))
    records = []
    for j, name in enumerate(table.columns):
        i = cluster_of.get(j)
        hit = 0 if i is None else int(counts[i, j])
        predicted = 0 if i is None else int(counts[i].sum())
        n = int(counts[:, j].sum())
        records.append(
            {
                "class": name,
                "n": n,
                "cluster": None if i is None else table.index[i],
                "precision": hit / predicted if predicted else float("nan"),
                "recall": hit / n,
                "f1": 2 * hit / (predicted + n),
            }
        )
    matches = {table.index[i]: table.columns[j] for i, j in zip(rows, cols, strict=True) if counts[i, j] > 0}
    return matches, pd.DataFrame(records)


def _rare_f1(per_class: pd.DataFrame) -> float | None:
    rare = per_class["n"] < RARE * per_class["n"].sum() / len(per_class)
    return float(per_class.loc[rare, "f1"].mean()) if rare.any() else None


def _is_known(column: pd.Series) -> pd.Series:
    known = column.notna()
    if pd.api.types.is_numeric_dtype(column.dtype):
        return known & (column >= 0)
    return known & (column.astype(str) != "")


def dominant_class(mask: np.ndarray, windows: np.ndarray, *, min_known_frac: float = 0.5) -> np.ndarray:
    """Return the class that covers most of each window of a mask.

    Parameters
    ----------
    mask : (H, W) uint8
        Class of each pixel, 255 is not annotated.
    windows : (N, 4) int
        Row, column, height and width of each window, in px.
    min_known_frac : float in [0, 1]
        Windows that are annotated on a smaller share of their pixels get no class.

    Returns
    -------
    (N,) int16
        Class of each window, -1 where there is none. Equal shares go to the smaller class number.
    """
    out = np.full(len(windows), -1, np.int16)
    for i, (row, col, height, width) in enumerate(np.asarray(windows).tolist()):
        pixels = mask[row : row + height, col : col + width]
        counts = np.bincount(pixels.ravel(), minlength=256)
        known = pixels.size - counts[IGNORE]
        if known > 0 and known >= min_known_frac * pixels.size:
            out[i] = counts[:IGNORE].argmax()
    return out


def tile_truth(tiles: Any, *, scheme: str) -> np.ndarray:
    """Return the class that covers most of each tile in the annotated masks of a scheme.

    Parameters
    ----------
    tiles : TileSet
    scheme : str
        Class scheme of the archive.

    Returns
    -------
    (N,) object
        Class name; ``""`` where the image has no mask or more than half of the tile is not annotated.

    Raises
    ------
    WootzError
        If no image of the tiles is annotated in this scheme.
    """
    archive, frame = tiles.archive, tiles.frame.reset_index(drop=True)
    table = archive.annotations
    annotated = set(table.loc[table.scheme == scheme, "image_id"]) & set(frame.image_id)
    if not annotated:
        known = ", ".join(sorted(set(table.scheme))) or "none"
        raise WootzError(
            f"no image of these tiles has a mask of scheme {scheme!r} (schemes with masks: {known})."
        )
    classes = archive.classes(scheme)
    names = dict(zip(classes["id"].astype(int), classes["name"].astype(str), strict=True))
    out = np.full(len(frame), "", object)
    groups = frame[frame.image_id.isin(annotated)].groupby("image_id", sort=False)
    for image_id, part in track(groups, title="reading masks", total=groups.ngroups):
        found = dominant_class(
            archive.mask(image_id, scheme=scheme), part[["row", "col", "height", "width"]].to_numpy()
        )
        out[part.index.to_numpy()] = [names.get(int(k), str(k)) if k >= 0 else "" for k in found]
    return out
