"""Options of the clustering methods that train the encoder."""

from dataclasses import dataclass

from wootz.augment.presets import PRESETS
from wootz.clustering.methods.head_options import N_CLUSTERS, check_positive
from wootz.options import check_choice, check_range, option

ENCODER = (
    "first weights: id of a run, FILE of a wootz encoder, random:NAME, imagenet:NAME, or NAME:FILE of "
    "another library"
)
AUGMENT = "preset of the views that it learns from"


@dataclass
class DeepClusterConfig:
    """DeepCluster: k-means on the encoder's features and training on its labels, epoch after epoch."""

    name: str = option("deepcluster", "method: deepcluster")
    encoder: str = option("random:small", ENCODER)
    n_clusters: int | None = option(None, N_CLUSTERS, unit=">= 2")
    n_labels: int = option(100, "clusters that it is trained on; several times n_clusters", unit=">= 2")
    n_components: int = option(256, "principal components, whitened, that k-means sees", unit=">= 1")
    augment: str = option("sem", AUGMENT)
    epochs: int = option(30, "rounds of clustering and training", unit=">= 1")
    batch_size: int = option(64, "tiles of a step", unit=">= 2")
    lr: float = option(0.05, "learning rate (SGD, momentum 0.9)", unit="> 0")
    weight_decay: float = option(1e-5, "of all weights", unit=">= 0")
    precision: str = option("auto", "auto, float32 or bf16")

    def __post_init__(self) -> None:
        _check(self, n_labels=2, n_components=1)
        check_range("method.weight_decay", self.weight_decay, 0)


@dataclass
class DeeperClusterConfig:
    """DeeperCluster: clusters, clusters within them and the rotation of tiles, learned jointly."""

    name: str = option("deepercluster", "method: deepercluster")
    encoder: str = option("random:small", ENCODER)
    n_clusters: int | None = option(None, N_CLUSTERS, unit=">= 2")
    n_super: int = option(4, "clusters of the first level; times four rotations: super-classes", unit=">= 2")
    n_labels: int = option(100, "clusters of the second level in all; n_super shares them", unit=">= n_super")
    n_components: int = option(256, "principal components, whitened, that k-means sees", unit=">= 1")
    reassign_every: int = option(3, "epochs after which labels are made anew", unit=">= 1")
    augment: str = option("sem", AUGMENT + ", without rotation and mirror")
    epochs: int = option(30, "passes over the tiles", unit=">= 1")
    batch_size: int = option(64, "tiles of a step", unit=">= 2")
    lr: float = option(0.05, "learning rate (SGD, momentum 0.9)", unit="> 0")
    weight_decay: float = option(1e-5, "of all weights", unit=">= 0")
    precision: str = option("auto", "auto, float32 or bf16")

    def __post_init__(self) -> None:
        _check(self, n_super=2, n_labels=self.n_super, n_components=1, reassign_every=1)
        check_range("method.weight_decay", self.weight_decay, 0)


@dataclass
class ClusterFitConfig:
    """ClusterFit: clusters of one encoder's features are the labels that a new one learns from scratch."""

    name: str = option("clusterfit", "method: clusterfit")
    encoder: str = option("random:small", "the encoder whose features are clustered: " + ENCODER)
    new_encoder: str = option("", "architecture that is trained; by default that of the first")
    n_clusters: int | None = option(None, N_CLUSTERS, unit=">= 2")
    n_labels: int = option(100, "clusters that it is trained on; several times n_clusters", unit=">= 2")
    augment: str = option("sem", AUGMENT)
    epochs: int = option(30, "passes over the tiles", unit=">= 1")
    batch_size: int = option(64, "tiles of a step", unit=">= 2")
    lr: float = option(0.05, "learning rate (SGD, momentum 0.9)", unit="> 0")
    weight_decay: float = option(1e-4, "of all weights", unit=">= 0")
    precision: str = option("auto", "auto, float32 or bf16")

    def __post_init__(self) -> None:
        _check(self, n_labels=2)
        check_range("method.weight_decay", self.weight_decay, 0)


@dataclass
class DACConfig:
    """DAC: pairs of tiles that are surely alike or surely different teach the rest, epoch after epoch."""

    name: str = option("dac", "method: dac")
    encoder: str = option("random:small", ENCODER)
    n_clusters: int | None = option(None, N_CLUSTERS, unit=">= 2")
    spatial_transformer: bool = option(
        False, "a small network in front that turns, shifts and scales each tile (Souza & Zanchettin 2019)"
    )
    augment: str = option("sem", AUGMENT)
    epochs: int = option(46, "at most; the schedule itself ends after 46", unit=">= 1")
    batch_size: int = option(128, "tiles of a step, all pairs of which are looked at", unit=">= 2")
    lr: float = option(0.0001, "learning rate (RMSProp)", unit="> 0")
    threshold_step: float = option(0.0099, "by which the thresholds close in an epoch", unit="> 0")
    precision: str = option("auto", "auto, float32 or bf16")

    def __post_init__(self) -> None:
        _check(self)
        check_positive("threshold_step", self.threshold_step)


def _check(
    cfg: DeepClusterConfig | DeeperClusterConfig | ClusterFitConfig | DACConfig, **lowest: int
) -> None:
    if cfg.n_clusters is not None:
        check_range("method.n_clusters", cfg.n_clusters, 2)
    for key, low in (lowest | {"epochs": 1, "batch_size": 2}).items():
        check_range(f"method.{key}", getattr(cfg, key), low)
    check_positive("lr", cfg.lr)
    check_choice("method.augment", cfg.augment, PRESETS)
    check_choice("method.precision", cfg.precision, ("auto", "float32", "bf16"))
