"""The result of ``wootz cluster``."""

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
    silhouette, stability : float
        Mean silhouette (-1 to 1, on at most 5,000 tiles) and mean adjusted Rand index between restarts.
    agreement : Agreement or None
        Against known classes, where there are any.
    curve : DataFrame or None
        Silhouette over the number of clusters, where the number was chosen by a sweep.
    folder : Path
    pictures : tuple of Path
        Overview, one montage per cluster, then map and curve.
    shortcuts : Shortcuts or None
        What clusters follow beside the material, where it was asked.
    page : Path or None
        A card for each cluster.
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
    shortcuts: Shortcuts | None = None
    page: Path | None = None

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
            f"silhouette {self.silhouette:.2f}, agreement between restarts {self.stability:.2f} (ARI)",
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
        if self.page or self.pictures:
            lines.append(f"look at {self.page or self.pictures[0]} and the pictures beside it")
        return "\n".join(lines)

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
            "agreement": scores,
            "pictures": [path.name for path in self.pictures],
            "page": None if self.page is None else self.page.name,
            "shortcuts": None if self.shortcuts is None else self.shortcuts.outputs(),
        }
