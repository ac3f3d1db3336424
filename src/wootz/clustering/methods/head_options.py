"""Options of the clustering methods that train heads on frozen features."""

from dataclasses import dataclass

from wootz.errors import WootzError
from wootz.options import check_range, option

N_CLUSTERS = "number of clusters; needed (method=graph suggests one)"


@dataclass
class SCANConfig:
    """SCAN: a head that puts neighbours in one cluster, then learns from the tiles it is sure of."""

    name: str = option("scan", "method: scan")
    n_clusters: int | None = option(None, N_CLUSTERS, unit=">= 2")
    n_neighbors: int = option(20, "neighbours that should fall into the same cluster", unit=">= 1")
    entropy_weight: float = option(
        5.0, "weight of clusters of equal size; lower it where classes are rare", unit=">= 0"
    )
    n_heads: int = option(
        10, "heads from different first weights; that of the lowest loss is kept", unit=">= 1"
    )
    steps: int = option(600, "training steps", unit=">= 1")
    batch_size: int = option(512, "tiles of a step", unit=">= 2")
    lr: float = option(0.01, "learning rate (Adam)", unit="> 0")
    confidence: float = option(0.99, "tiles surer than this teach in the second part", unit="0 to 1")
    selflabel_steps: int = option(
        200, "steps of the second part (self-labelling); 0 leaves it out", unit=">= 0"
    )

    def __post_init__(self) -> None:
        _check(self, n_neighbors=1, n_heads=1, steps=1, batch_size=2, selflabel_steps=0)
        check_range("method.entropy_weight", self.entropy_weight, 0)
        check_range("method.confidence", self.confidence, 0, 1)


@dataclass
class TEMIConfig:
    """TEMI: heads and their slow copies agree on pairs of neighbours, by weighted mutual information."""

    name: str = option("temi", "method: temi")
    n_clusters: int | None = option(None, N_CLUSTERS, unit=">= 2")
    n_neighbors: int = option(50, "neighbours from which pairs are drawn", unit=">= 1")
    beta: float = option(
        0.6, "below 1 it keeps the heads from putting all tiles into few clusters", unit="0 to 1"
    )
    n_heads: int = option(
        16, "heads that weigh the pairs together; that of the lowest loss is kept", unit=">= 1"
    )
    temperature: float = option(0.1, "of the softmax over cosines", unit="> 0")
    teacher_momentum: float = option(0.98, "slowness of the copies that teach", unit="0 to 1")
    share_momentum: float = option(0.9, "slowness of the running cluster sizes", unit="0 to 1")
    steps: int = option(1000, "training steps", unit=">= 1")
    batch_size: int = option(512, "pairs of a step", unit=">= 2")
    lr: float = option(0.03, "learning rate (AdamW)", unit="> 0")

    def __post_init__(self) -> None:
        _check(self, n_neighbors=1, n_heads=1, steps=1, batch_size=2)
        for key in ("beta", "teacher_momentum", "share_momentum"):
            check_range(f"method.{key}", getattr(self, key), 0, 1)
        check_positive("temperature", self.temperature)


@dataclass
class SeLaConfig:
    """SeLa: labels of equal frequency by Sinkhorn-Knopp, learned by heads, and again."""

    name: str = option("sela", "method: sela")
    n_clusters: int | None = option(None, N_CLUSTERS, unit=">= 2")
    n_neighbors: int = option(20, "neighbours that stand in for augmented views", unit=">= 1")
    sharpness: float = option(25.0, "exponent of the probabilities in the assignment", unit="> 0")
    n_heads: int = option(10, "heads with labels of their own; that of the lowest loss is kept", unit=">= 1")
    rounds: int = option(40, "times that labels are assigned anew", unit=">= 1")
    steps: int = option(25, "training steps between", unit=">= 1")
    batch_size: int = option(512, "tiles of a step", unit=">= 2")
    lr: float = option(0.01, "learning rate (Adam)", unit="> 0")

    def __post_init__(self) -> None:
        _check(self, n_neighbors=1, n_heads=1, rounds=1, steps=1, batch_size=2)
        check_positive("sharpness", self.sharpness)


@dataclass
class SimGCDConfig:
    """SimGCD: named tiles teach their classes while a head finds new ones among the others."""

    name: str = option("simgcd", "method: simgcd")
    n_clusters: int | None = option(None, "named and new classes together; needed", unit=">= 2")
    column: str = option("truth", "tile column with the names, empty where nobody named the tile")
    n_neighbors: int = option(20, "neighbours that stand in for augmented views", unit=">= 1")
    supervised_weight: float = option(0.35, "weight of the named tiles", unit="0 to 1")
    entropy_weight: float = option(
        2.0, "weight of clusters of equal size; lower it where classes are rare", unit=">= 0"
    )
    temperature: float = option(0.1, "of the softmax over cosines", unit="> 0")
    teacher_temperature: float = option(0.04, "of the sharper labels that it learns from", unit="> 0")
    teacher_temperature_first: float = option(0.07, "the same at the start", unit="> 0")
    warmup_frac: float = option(0.15, "part of the training in which it falls", unit="0 to 1")
    steps: int = option(600, "training steps", unit=">= 1")
    batch_size: int = option(256, "tiles of a step", unit=">= 2")
    lr: float = option(0.1, "largest learning rate (SGD, falling on a cosine)", unit="> 0")

    def __post_init__(self) -> None:
        _check(self, n_neighbors=1, steps=1, batch_size=2)
        check_range("method.supervised_weight", self.supervised_weight, 0, 1)
        check_range("method.warmup_frac", self.warmup_frac, 0, 1)
        check_range("method.entropy_weight", self.entropy_weight, 0)
        for key in ("temperature", "teacher_temperature", "teacher_temperature_first"):
            check_positive(key, getattr(self, key))


def check_positive(key: str, value: float) -> None:
    """Raise `WootzError` unless an option of a method is above 0."""
    if not value > 0:
        raise WootzError(f"method.{key}={value!r} is out of range; it must be above 0.")


def _check(cfg: SCANConfig | TEMIConfig | SeLaConfig | SimGCDConfig, **lowest: int) -> None:
    if cfg.n_clusters is not None:
        check_range("method.n_clusters", cfg.n_clusters, 2)
    for key, low in lowest.items():
        check_range(f"method.{key}", getattr(cfg, key), low)
    check_positive("lr", cfg.lr)
