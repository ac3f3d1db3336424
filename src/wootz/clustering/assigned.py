"""The result of ``wootz assign``: how many new tiles went where, in words, a table and a picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.as_objects import class_name
from wootz.clustering.limits import Limits
from wootz.clustering.montage import read_chosen
from wootz.clustering.regions import NONE_OF_THESE
from wootz.clustering.sheet import SheetTile, tile_sheet
from wootz.plotting import save_figure

SHOWN_EACH, SHOWN_CLUSTERS, SHOWN_NONE = 8, 12, 24
SURE = 1e-3


@dataclass(frozen=True)
class AssignReport:
    """What was assigned.

    Parameters
    ----------
    name : str
    table : DataFrame
        One row a cluster, "none of these" last: ``cluster, name, n_members, n_assigned`` and, of the limit of
        the distance, ``limit, reject_rate, n_calibrated``.
    n_new, n_none : int
        Tiles that were looked at, and those that fit no cluster.
    expected_none : float
        At most so many if all of them were of the known clusters.
    is_new_kind : bool
        Whether there are more than that, beyond chance.
    folder : Path
    notes : tuple of str
    picture : Path or None
    """

    name: str
    table: pd.DataFrame
    n_new: int
    n_none: int
    expected_none: float
    is_new_kind: bool
    folder: Path
    notes: tuple[str, ...] = ()
    picture: Path | None = None

    def summary(self) -> str:
        """Return a few lines for the terminal."""
        if not self.n_new:
            return f"{self.name}: no new tiles; all that can have a cluster have one"
        known = self.table[self.table["cluster"] >= 0]
        top = known[known["n_assigned"] > 0].nlargest(12, "n_assigned")
        each = ", ".join(f"{row['name']}: {row['n_assigned']}" for row in top.to_dict("records"))
        lines = [
            f"{self.name}: {self.n_new - self.n_none} of {self.n_new} new tiles are in known clusters"
            + (f" ({each})" if each else ""),
            (
                f"none of these: {self.n_none} ({self.n_none / self.n_new:.1%}; at most "
                f"{self.expected_none:.1f} are expected if all are of the known clusters)"
            ),
        ]
        if self.is_new_kind:
            lines.append(
                "many fit no cluster: a new kind of structure, or images taken otherwise (instrument, "
                "magnification, brightness)? Look at them and cluster again."
            )
        lines += self.notes
        if self.picture is not None:
            lines.append(f"look at {self.picture}")
        return "\n".join(lines)

    def outputs(self) -> dict[str, Any]:
        """Return the figures of the report as plain values."""
        return {
            "name": self.name,
            "n_new": self.n_new,
            "n_none": self.n_none,
            "expected_none": self.expected_none,
            "is_new_kind": self.is_new_kind,
            "assigned": self.table["n_assigned"].tolist(),
            "notes": list(self.notes),
        }


def assigned_table(
    members: np.ndarray, labels: np.ndarray, limits: Limits | None, *, names: tuple[str, ...]
) -> pd.DataFrame:
    """Count members and new tiles of each cluster.

    Parameters
    ----------
    members : (N,) int
        Clusters of the members.
    labels : (n,) int
        Of the new tiles; `NONE_OF_THESE` for none.
    limits : Limits or None
    names : tuple of str
    """
    n_clusters = int(members.max()) + 1
    nothing = np.full(n_clusters, np.nan)
    table = pd.DataFrame(
        {
            "cluster": np.arange(n_clusters),
            "name": [class_name(k, names) for k in range(n_clusters)],
            "n_members": np.bincount(members, minlength=n_clusters),
            "n_assigned": np.bincount(labels[labels >= 0], minlength=n_clusters),
            "limit": nothing if limits is None else limits.limit,
            "reject_rate": nothing if limits is None else limits.rate,
            "n_calibrated": 0 if limits is None else limits.n,
        }
    )
    none = {"cluster": NONE_OF_THESE, "name": class_name(NONE_OF_THESE), "n_members": 0}
    none |= {"n_assigned": int((labels == NONE_OF_THESE).sum()), "n_calibrated": 0}
    return pd.concat([table, pd.DataFrame([none])], ignore_index=True)


def more_than_expected(n_none: int, n_new: int, rate: float) -> bool:
    """Say whether more tiles fit no cluster than chance gives: twice the rate and p < 0.001 (binomial)."""
    from scipy.stats import binom

    return n_none > 2 * rate * n_new and float(binom.sf(n_none - 1, n_new, rate)) < SURE


def draw_assigned(
    tiles: Any, labels: np.ndarray, scores: np.ndarray, *, names: tuple[str, ...], folder: Path
) -> Path:
    """Draw what fits no cluster, furthest first, and the most typical new tiles of each cluster.

    Parameters
    ----------
    tiles : TileSet
        The new tiles.
    labels : (n,) int
    scores : (n,) float
        Distance over what is usual in the cluster.
    names : tuple of str
    folder : Path
        Receives ``assigned.png``.
    """
    none = np.flatnonzero(labels == NONE_OF_THESE)
    none = none[np.argsort(-scores[none], kind="stable")][:SHOWN_NONE]
    groups = [(class_name(NONE_OF_THESE), part) for part in np.array_split(none, 3) if len(part)]
    for k in np.unique(labels[labels >= 0])[:SHOWN_CLUSTERS]:
        rows = np.flatnonzero(labels == k)
        groups.append((class_name(int(k), names), rows[np.argsort(scores[rows])][:SHOWN_EACH]))
    rows = np.concatenate([part for _, part in groups])
    pictures = read_chosen(tiles, pd.DataFrame({"row": rows}))
    sheet = []
    for title, part in groups:
        shown = [(pictures[int(row)], f"{scores[row]:.1f}x median") for row in part]
        sheet.append((title, [SheetTile(t.image, t.caption, t.pixel_size_nm, note) for t, note in shown]))
    return save_figure(tile_sheet(sheet, title=f"{len(labels)} new tiles"), folder / "assigned.png")
