"""Options of hierarchical k-means on shards."""

from dataclasses import dataclass, field

from wootz.jobs import JobsConfig
from wootz.options import check_choice, check_range, option


@dataclass
class HierarchicalConfig:
    """k-means on pieces of the features, then on the centroids of all: for 10 million tiles and more."""

    name: str = option("hierarchical", "method: hierarchical")
    n_clusters: int | None = option(
        None, "number of clusters; none takes the number that the evidence suggests (top=graph)", unit=">= 2"
    )
    top: str = option(
        "graph", "what joins the groups to clusters: graph (the default chain) or kmeans (weighted)"
    )
    n_first: int = option(1_000, "small groups in each piece; at most a tenth of its tiles", unit=">= 2")
    n_second: int = option(5_000, "groups that the small groups of all pieces are joined to", unit=">= 10")
    piece_rows: int = option(250_000, "tiles in memory at a time", unit=">= 100")
    n_iter: int = option(25, "most iterations on a piece", unit=">= 1")
    sample: int = option(100_000, "tiles for the preparation, pictures and shortcut report", unit=">= 1000")
    jobs: JobsConfig = field(default_factory=JobsConfig)

    def __post_init__(self) -> None:
        if self.n_clusters is not None:
            check_range("method.n_clusters", self.n_clusters, 2)
        check_choice("method.top", self.top, ("graph", "kmeans"))
        lowest = {"n_first": 2, "n_second": 10, "piece_rows": 100, "n_iter": 1, "sample": 1000}
        for key, low in lowest.items():
            check_range(f"method.{key}", getattr(self, key), low)
