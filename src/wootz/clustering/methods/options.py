"""Options of the clustering methods without training."""

from dataclasses import dataclass

from wootz.clustering.methods.head_options import N_CLUSTERS, check_positive
from wootz.options import check_choice, check_range, option


@dataclass
class CohnHolmConfig:
    """Cohn and Holm's chain: whitened principal components, then k-means with very many restarts."""

    name: str = option("cohn_holm", "method: cohn_holm")
    n_clusters: int | None = option(None, N_CLUSTERS + "; one more than the classes worked best", unit=">= 2")
    n_components: int = option(50, "principal components; at most what the tiles allow", unit=">= 1")
    n_init: int = option(500, "restarts from different starting points", unit=">= 1")
    n_iter: int = option(300, "most iterations of one restart", unit=">= 1")

    def __post_init__(self) -> None:
        _check_number(self.n_clusters)
        for key in ("n_components", "n_init", "n_iter"):
            check_range(f"method.{key}", getattr(self, key), 1)


@dataclass
class HDBSCANConfig:
    """HDBSCAN: clusters are dense regions; their number is found, and sparse tiles are in none."""

    name: str = option("hdbscan", "method: hdbscan")
    min_size: int = option(15, "smallest cluster", unit="tiles, >= 2")
    min_samples: int | None = option(
        None, "neighbours that make a place dense; none takes min_size", unit=">= 1"
    )
    space: str = option("umap", "work on UMAP coordinates (umap) or on the features themselves (raw)")
    n_components: int = option(10, "UMAP dimensions", unit=">= 2")
    n_neighbors: int = option(30, "neighbours that UMAP keeps", unit=">= 2")

    def __post_init__(self) -> None:
        check_choice("method.space", self.space, ("umap", "raw"))
        check_range("method.min_size", self.min_size, 2)
        if self.min_samples is not None:
            check_range("method.min_samples", self.min_samples, 1)
        check_range("method.n_components", self.n_components, 2)
        check_range("method.n_neighbors", self.n_neighbors, 2)


@dataclass
class WardConfig:
    """Ward's tree on UMAP coordinates: join the two clusters that add least to the squared distances."""

    name: str = option("ward", "method: ward")
    n_clusters: int | None = option(
        None, "number of clusters; none takes that of the best silhouette in UMAP space", unit=">= 2"
    )
    n_clusters_max: int = option(40, "largest number that is looked at", unit=">= 2")
    space: str = option("umap", "work on UMAP coordinates (umap) or on the features themselves (raw)")
    n_components: int = option(10, "UMAP dimensions", unit=">= 2")
    n_neighbors: int = option(30, "neighbours that UMAP keeps", unit=">= 2")
    n_micro: int = option(5000, "more tiles than this are first put into so many small groups", unit=">= 100")

    def __post_init__(self) -> None:
        _check_number(self.n_clusters)
        check_choice("method.space", self.space, ("umap", "raw"))
        check_range("method.n_clusters_max", self.n_clusters_max, 2)
        check_range("method.n_components", self.n_components, 2)
        check_range("method.n_neighbors", self.n_neighbors, 2)
        check_range("method.n_micro", self.n_micro, 100)


@dataclass
class SeededConfig:
    """k-means that starts from the named tiles and leaves them where they were put."""

    name: str = option("seeded", "method: seeded")
    n_clusters: int | None = option(
        None, "named and new clusters together; none: as many as names", unit=">= 2"
    )
    column: str = option("truth", "tile column with the names, empty where nobody named the tile")
    keep: bool = option(True, "named tiles stay in the cluster of their name; false: names only start it")
    spherical: bool = option(True, "compare directions (cosine) instead of distances")
    n_init: int = option(10, "restarts with different new clusters", unit=">= 1")
    n_iter: int = option(100, "most iterations of one restart", unit=">= 1")

    def __post_init__(self) -> None:
        _check_number(self.n_clusters)
        check_range("method.n_init", self.n_init, 1)
        check_range("method.n_iter", self.n_iter, 1)


@dataclass
class ConstrainedConfig:
    """k-means that pays for pairs of tiles which an expert wants together or apart."""

    name: str = option("constrained", "method: constrained")
    n_clusters: int | None = option(None, N_CLUSTERS, unit=">= 2")
    pairs: str = option("", "CSV file with the columns tile_a, tile_b, same (1 together, 0 apart)")
    penalty: float = option(
        1.0, "price of a pair, in mean squared distances of a tile to the mean of all", unit="> 0"
    )
    n_init: int = option(10, "restarts from different starting points", unit=">= 1")
    n_iter: int = option(100, "most iterations of one restart", unit=">= 1")

    def __post_init__(self) -> None:
        _check_number(self.n_clusters)
        check_positive("penalty", self.penalty)
        check_range("method.n_init", self.n_init, 1)
        check_range("method.n_iter", self.n_iter, 1)


def _check_number(n_clusters: int | None) -> None:
    if n_clusters is not None:
        check_range("method.n_clusters", n_clusters, 2)
