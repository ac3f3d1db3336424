"""The result of ``wootz cluster``."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wootz.clustering.config import cluster_column
from wootz.clustering.shortcut_section import Shortcuts
from wootz.clustering.truth import Agreement


@dataclass(frozen=True)
class ClusterReport:
    """What a clustering found and where it was written.

    Parameters
    ----------
    name : str
        Name of the result; the tile column is ``cluster_<name>``.
    n_clusters : int
    sizes : tuple of int
        Tiles per cluster, largest first.
    n_tiles, n_skipped : int
        Tiles clustered, and tiles left out because they are flagged as uninformative.
    silhouette : float
        Mean silhouette (-1 to 1, on at most 5,000 tiles); NaN where there is one cluster.
    stability : float
        k-means: mean adjusted Rand index between restarts; graph: mean best Jaccard over subsamples. NaN
        where it was not measured.
    agreement : Agreement or None
        Against known classes, where there are any.
    curve : DataFrame or None
        Evidence over the number of clusters, where it was gathered.
    folder : Path
    pictures : tuple of Path
        Overview, one montage per cluster, then map and curve.
    method : str
    reasons : str
        Why there are so many clusters, or none, and what else the method says; may be empty.
    names : tuple of str
        Name of each cluster that was named before, "" for a new one; empty where nothing was named.
    shortcuts : Shortcuts or None
        What clusters follow beside the material, where it was asked.
    page : Path or None
        A card for each cluster.
    n_objects : int
        Connected regions of clusters that were written as objects.
    """

    name: str
    n_clusters: int
    sizes: tuple[int, ...]
    n_tiles: int
    n_skipped: int
    silhouette: float
    stability: float
    agreement: Agreement | None
    curve: pd.DataFrame | None
    folder: Path
    pictures: tuple[Path, ...]
    method: str = "kmeans"
    reasons: str = ""
    names: tuple[str, ...] = ()
    shortcuts: Shortcuts | None = None
    page: Path | None = None
    n_objects: int = 0

    @property
    def column(self) -> str:
        """Tile column of the cluster numbers."""
        return cluster_column(self.name)

    def summary(self) -> str:
        """Return a few lines for the terminal."""
        skipped = f" ({self.n_skipped} uninformative left out)" if self.n_skipped else ""
        what = f"{self.n_clusters} clusters of {self.n_tiles} tiles{skipped} in column {self.column}"
        lines = [
            f"{what}, {self.sizes[-1]} to {self.sizes[0]} tiles each",
            *self._scores(),
            *([f"named: {self._named()}"] if self.names else []),
            *([self.reasons] if self.reasons else []),
        ]
        if self.agreement is not None:
            a = self.agreement
            lines.append(
                f"against {a.table.shape[1]} known classes on {a.n} tiles: "
                f"accuracy {a.accuracy:.3f} (one to one), purity {a.purity:.3f}, "
                f"NMI {a.nmi:.3f}, ARI {a.ari:.3f}"
            )
        if self.shortcuts is not None:
            lines += self.shortcuts.words
        if self.n_objects:
            lines.append(f"{self.n_objects} connected regions as objects: wootz measure ... measure=objects")
        if self.page or self.pictures:
            lines.append(f"look at {self.page or self.pictures[0]} and the pictures beside it")
        return "\n".join(lines)

    def _named(self) -> str:
        return ", ".join(f"{k} {name or '(new)'}" for k, name in enumerate(self.names))

    def _scores(self) -> list[str]:
        found = [f"silhouette {self.silhouette:.2f}"] if math.isfinite(self.silhouette) else []
        if math.isfinite(self.stability):
            between, unit = "agreement between restarts", "ARI"
            if self.method in ("graph", "hierarchical"):
                between, unit = "stability in subsamples", "mean Jaccard"
            elif self.method in ("scan", "temi", "sela"):
                between = "agreement between heads"
            found.append(f"{between} {self.stability:.2f} ({unit})")
        return [", ".join(found)] if found else []

    def outputs(self) -> dict[str, Any]:
        """Return the figures of the report as plain values, for the table of runs."""
        scores = self.agreement.figures() if self.agreement is not None else {}
        return {
            "name": self.name,
            "n_clusters": self.n_clusters,
            "sizes": list(self.sizes),
            "n_tiles": self.n_tiles,
            "n_skipped": self.n_skipped,
            "silhouette": self.silhouette,
            "stability": self.stability,
            "method": self.method,
            "reasons": self.reasons,
            "names": list(self.names),
            "n_objects": self.n_objects,
            "agreement": scores,
            "pictures": [path.name for path in self.pictures],
            "page": None if self.page is None else self.page.name,
            "shortcuts": None if self.shortcuts is None else self.shortcuts.outputs(),
        }
