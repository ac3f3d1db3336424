"""Options of ``wootz cluster`` and the names of the columns that it writes."""

from dataclasses import dataclass, field
from typing import Any

from wootz.clustering.methods.names import METHODS
from wootz.errors import WootzError
from wootz.options import check_choice, check_range, option

TRUTH_COLUMN = "truth"
"""Tile column with the known class of each tile; empty or missing where it is not known."""


def cluster_column(name: str) -> str:
    """Return the tile column of the cluster numbers."""
    return f"cluster_{name}"


def outlier_column(name: str) -> str:
    """Return the tile column of the outlier scores (distance over what is usual in the cluster)."""
    return f"outlier_{name}"


def member_column(name: str) -> str:
    """Return the tile column of the membership shares (part of a tile's links that stay in its cluster)."""
    return f"member_{name}"


def map_columns(name: str) -> tuple[str, str]:
    """Return the tile columns of the map coordinates, (row, col): vertical and horizontal on the map."""
    return f"umap_row_{name}", f"umap_col_{name}"


@dataclass
class KMeansConfig:
    """k-means with several restarts on all points; the restart with the lowest inertia is kept."""

    name: str = option("kmeans", "method: kmeans")
    n_clusters: int | None = option(
        None, "number of clusters; none sweeps n_clusters_min to n_clusters_max by silhouette", unit=">= 2"
    )
    n_clusters_min: int = option(2, "smallest number in the sweep", unit=">= 2")
    n_clusters_max: int = option(20, "largest number in the sweep", unit=">= n_clusters_min")
    spherical: bool = option(True, "compare directions (cosine) instead of distances")
    n_init: int = option(10, "restarts from different starting points", unit=">= 1")
    n_iter: int = option(100, "most iterations of one restart", unit=">= 1")

    def __post_init__(self) -> None:
        if self.n_clusters is not None:
            check_range("method.n_clusters", self.n_clusters, 2)
        check_range("method.n_clusters_min", self.n_clusters_min, 2)
        check_range("method.n_clusters_max", self.n_clusters_max, self.n_clusters_min)
        check_range("method.n_init", self.n_init, 1)
        check_range("method.n_iter", self.n_iter, 1)


@dataclass
class GraphConfig:
    """Small groups on the graph of nearest neighbours, joined by a tree that is cut where evidence says."""

    name: str = option("graph", "method: graph")
    n_clusters: int | None = option(
        None, "number of clusters; none takes the number that the evidence suggests", unit=">= 2"
    )
    resolution: float | None = option(
        None, "take Louvain's groups at this resolution instead of a cut of the tree", unit="> 0"
    )
    n_neighbors: int = option(
        25, "neighbours that a tile is joined with; at most a tenth of the tiles", unit=">= 1"
    )
    weight: str = option("jaccard", "weight of a link: jaccard (share of common neighbours) or equal")
    leaves: str = option("louvain", "small groups that the tree joins: louvain or kmeans")
    leaf_resolution: float = option(8.0, "resolution of Louvain's small groups", unit="> 0")
    n_micro: int = option(200, "number of small groups by k-means", unit=">= 2")
    n_clusters_max: int = option(40, "largest number of clusters in the table of evidence", unit=">= 2")
    evidence: bool = option(True, "measure how many clusters there are and how stable they are")
    evidence_max: int = option(10_000, "tiles drawn for the evidence where there are more", unit=">= 100")
    n_resamples: int = option(5, "subsamples of 80 % on which clusters must come back", unit=">= 1")
    n_seeds: int = option(3, "seeds that must agree", unit=">= 2")
    n_noise: int = option(2, "sets of structureless features for comparison", unit=">= 1")
    umap_silhouette: bool = option(True, "measure the silhouette in 10 UMAP dimensions too (half a minute)")

    def __post_init__(self) -> None:
        if self.n_clusters is not None:
            check_range("method.n_clusters", self.n_clusters, 2)
        for key in ("resolution", "leaf_resolution"):
            value = getattr(self, key)
            if value is not None and not value > 0:
                raise WootzError(f"method.{key}={value!r} is out of range; it must be above 0.")
        if self.n_clusters is not None and self.resolution is not None:
            raise WootzError("give method.n_clusters or method.resolution, not both.")
        check_choice("method.weight", self.weight, ("jaccard", "equal"))
        check_choice("method.leaves", self.leaves, ("louvain", "kmeans"))
        lowest = {"n_neighbors": 1, "n_micro": 2, "n_clusters_max": 2, "evidence_max": 100}
        for key, low in (lowest | {"n_resamples": 1, "n_seeds": 2, "n_noise": 1}).items():
            check_range(f"method.{key}", getattr(self, key), low)
        if not self.evidence and self.n_clusters is None and self.resolution is None:
            raise WootzError("method.evidence=false needs method.n_clusters or method.resolution.")


@dataclass
class ClusterConfig:
    """Group the tiles of an archive into candidate classes."""

    method: Any = field(default_factory=GraphConfig, metadata={"help": "clustering method and its options"})
    embedding: str = option("", "embedding to cluster; may be left out where the archive holds only one")
    name: str = option("", "name of the result: column cluster_<name>; by default the embedding's name")
    pca_dim: int | None = option(
        None, "principal components kept before clustering; none keeps all", unit=">= 1"
    )
    whiten: bool = option(False, "give each principal component the same variance")
    l2: bool = option(True, "scale each tile's features to length one")
    standardise_by: str = option(
        "",
        "bring features to one mean and spread in each group: image, instrument, magnification, brightness "
        "or another name out of the shortcut report, or a column; several by comma",
    )
    keep_uninformative: bool = option(False, "cluster tiles flagged as uninformative too")
    n_prototypes: int = option(8, "medoids, borderline tiles and outliers shown per cluster", unit="1 to 50")
    objects: bool = option(True, "write connected regions of each cluster as objects, for wootz measure")
    montages: bool = option(True, "draw a sheet of tiles per cluster")
    cards: bool = option(True, "write a page with a card for each cluster")
    occlusion: int = option(1, "typical tiles per card with a map of what drives them", unit="0 to 8")
    map: bool = option(True, "compute the two-dimensional map (UMAP), for looking only")
    map_neighbours: int = option(15, "neighbours that the map tries to keep", unit=">= 2")
    map_min_dist: float = option(0.1, "smallest distance between points on the map", unit="0 to 1")
    map_sample: int = option(200_000, "most tiles on the map; above it a random sample", unit=">= 100")
    shortcuts: bool = option(True, "test what clusters follow beside the material, and try remedies")
    shortcut_columns: str = option("", "further columns that clusters should not follow, by comma")
    permutations: int = option(999, "shuffles of whole images that say what chance gives", unit=">= 19")
    truth: str = option(TRUTH_COLUMN, "tile column with known classes; agreement is reported where it exists")
    truth_scheme: str = option("", "fill that column first from the annotated masks of this class scheme")
    seed: int = option(0, "seed of every random choice", unit=">= 0")

    def __post_init__(self) -> None:
        if getattr(self.method, "name", None) not in METHODS and self.method != "???":  # Hydra's "later"
            raise WootzError(f"method={self.method!r} is not known; choose one of {', '.join(METHODS)}.")
        if self.pca_dim is not None:
            check_range("pca_dim", self.pca_dim, 1)
        if self.whiten and self.pca_dim is None:
            raise WootzError("whiten=true needs pca_dim: whitening every direction blows up the noise.")
        check_range("n_prototypes", self.n_prototypes, 1, 50)
        check_range("map_neighbours", self.map_neighbours, 2)
        check_range("map_min_dist", self.map_min_dist, 0, 1)
        check_range("map_sample", self.map_sample, 100)
        check_range("occlusion", self.occlusion, 0, 8)
        check_range("permutations", self.permutations, 19)
        check_range("seed", self.seed, 0)
        if self.truth_scheme and not self.truth:
            raise WootzError(f"truth_scheme={self.truth_scheme!r} needs a column to fill: set truth=NAME.")
