"""Options of the self-supervised methods; no torch here, so that help is instant."""

from dataclasses import dataclass, field
from typing import Any

from wootz.options import check_choice, check_range, option


@dataclass
class SimCLRConfig:
    """SimCLR: two views of a tile attract, views of all other tiles in the batch repel."""

    name: str = option("simclr", "Name of the method")
    temperature: float = option(0.2, "Sharpness of the contrast", unit="in (0, 1]")
    hidden_dim: int | None = option(None, "Width of the projection head; none: that of the encoder")
    output_dim: int = option(128, "Length of a projection")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("simclr",))
        check_range("method.temperature", self.temperature, 0.01, 1)
        _check_head(self)


@dataclass
class MoCoConfig:
    """MoCo v2: like SimCLR, but the negatives come from a queue of earlier batches; for small batches."""

    name: str = option("moco", "Name of the method")
    temperature: float = option(0.2, "Sharpness of the contrast", unit="in (0, 1]")
    queue: int = option(4096, "Longest queue of negatives; cut to what other tiles can fill")
    momentum: float = option(0.99, "How slowly the key encoder follows; .999 for long runs", unit="in [0, 1)")
    key_groups: int = option(
        4, "Keys are normalised in so many random parts of a batch, so that batch norm tells nothing"
    )
    hidden_dim: int | None = option(None, "Width of the projection head; none: that of the encoder")
    output_dim: int = option(128, "Length of a projection")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("moco",))
        check_range("method.temperature", self.temperature, 0.01, 1)
        check_range("method.queue", self.queue, 1)
        check_range("method.momentum", self.momentum, 0, 0.99999)
        check_range("method.key_groups", self.key_groups, 1)
        _check_head(self)


@dataclass
class BYOLConfig:
    """BYOL: predict a slow copy's projection of the other view; no negatives."""

    name: str = option("byol", "Name of the method")
    momentum: float = option(
        0.99, "How slowly the target follows at first, rising to 1; .996 for long runs", unit="in [0, 1)"
    )
    hidden_dim: int | None = option(None, "Width of both heads; none: twice that of the encoder")
    output_dim: int = option(256, "Length of a projection")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("byol",))
        check_range("method.momentum", self.momentum, 0, 0.99999)
        _check_head(self)


@dataclass
class MoCoV3Config:
    """MoCo v3: predict a slow copy's projection among those of all other tiles in the batch; no queue.

    The paper: batch 4096, momentum .99, temperature .2, heads 4096 wide, 256 out.
    """

    name: str = option("mocov3", "Name of the method")
    temperature: float = option(0.2, "Sharpness of the contrast", unit="in (0, 1]")
    momentum: float = option(
        0.99, "How slowly the key encoder follows at first, rising to 1", unit="in [0, 1)"
    )
    hidden_dim: int | None = option(None, "Width of both heads; none: twice that of the encoder")
    output_dim: int = option(128, "Length of a projection")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("mocov3",))
        check_range("method.temperature", self.temperature, 0.01, 1)
        check_range("method.momentum", self.momentum, 0, 0.99999)
        _check_head(self)


@dataclass
class VICRegConfig:
    """VICReg: equal features for two views, varied and uncorrelated over the batch; no negatives, no copy.

    The paper: batch 2048, head 8192 wide, 8192 out, LARS.
    """

    name: str = option("vicreg", "Name of the method")
    invariance_weight: float = option(25.0, "Weight of the distance between two views", unit="> 0")
    variance_weight: float = option(25.0, "Weight of the hinge that keeps each spread above 1", unit=">= 0")
    covariance_weight: float = option(1.0, "Weight of the covariances between dimensions", unit=">= 0")
    hidden_dim: int | None = option(None, "Width of the projection head; none: twice that of the encoder")
    output_dim: int = option(512, "Length of a projection")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("vicreg",))
        check_range("method.invariance_weight", self.invariance_weight, 1e-6)
        check_range("method.variance_weight", self.variance_weight, 0)
        check_range("method.covariance_weight", self.covariance_weight, 0)
        _check_head(self)


@dataclass
class LocalViewsConfig:
    """Small views beside the two large ones; the papers: 6 to 10 of 96 px beside 224 px."""

    count: int = option(4, "Small views of each tile beside the two large ones")
    side_frac: float = option(0.5, "Side of a small view, as part of a large one's", unit="in (0, 1]")
    area_min_frac: float = option(0.05, "Smallest window, as part of the tile's area", unit="in (0, 1]")
    area_max_frac: float = option(0.25, "Largest window, as part of the tile's area", unit="in (0, 1]")

    def __post_init__(self) -> None:
        check_range("method.local.count", self.count, 0, 32)
        check_range("method.local.side_frac", self.side_frac, 0.05, 1)
        check_range("method.local.area_min_frac", self.area_min_frac, 0.01, 1)
        check_range("method.local.area_max_frac", self.area_max_frac, self.area_min_frac, 1)


@dataclass
class SwaVConfig:
    """SwaV: one view predicts to which prototypes another belongs, all prototypes being used equally.

    The paper: batch 4096, 3000 prototypes, head 2048 wide, 128 out, 6 small views, prototypes frozen for one
    epoch; with a batch of 256 a queue of 3840, used from epoch 15 on.
    """

    name: str = option("swav", "Name of the method")
    local: LocalViewsConfig = field(
        default_factory=LocalViewsConfig, metadata={"help": "small views beside the two large ones"}
    )
    temperature: float = option(0.1, "Sharpness of the prediction", unit="in (0, 1]")
    epsilon: float = option(0.05, "Softness of the assignment to prototypes", unit="in [0.02, 1]")
    iterations: int = option(3, "Rounds that balance the assignment")
    prototypes: int = option(128, "Prototypes; fewer than batch and queue hold tiles")
    queue: int = option(
        1024, "Longest queue of earlier projections; cut to what other tiles can fill, 0: none"
    )
    freeze_frac: float = option(0.02, "Part of the training before prototypes move", unit="[0, 1)")
    hidden_dim: int | None = option(None, "Width of the projection head; none: twice that of the encoder")
    output_dim: int = option(128, "Length of a projection")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("swav",))
        check_range("method.temperature", self.temperature, 0.01, 1)
        check_range("method.epsilon", self.epsilon, 0.02, 1)  # below, exp(1 / epsilon) leaves float32
        check_range("method.iterations", self.iterations, 1)
        check_range("method.prototypes", self.prototypes, 2)
        check_range("method.queue", self.queue, 0)
        check_range("method.freeze_frac", self.freeze_frac, 0, 0.9)
        _check_head(self)


@dataclass
class DINOConfig:
    """DINO: small and large views learn what a slow teacher makes of the large ones.

    The paper: batch 1024, momentum .996, head 2048 wide, bottleneck 256, 65536 out, 8 to 10 small views, last
    layer frozen for one epoch.
    """

    name: str = option("dino", "Name of the method")
    local: LocalViewsConfig = field(
        default_factory=LocalViewsConfig, metadata={"help": "small views beside the two large ones"}
    )
    temperature: float = option(0.1, "Sharpness of the student's output", unit="in (0, 1]")
    teacher_temperature: float = option(
        0.04, "Sharpness of the teacher's output; below the student's", unit="in (0, 1]"
    )
    momentum: float = option(
        0.99, "How slowly the teacher follows at first, rising to 1; .996 for long runs", unit="in [0, 1)"
    )
    centre_momentum: float = option(0.9, "How slowly the centre follows", unit="in [0, 1)")
    freeze_frac: float = option(0.02, "Part of the training before the last layer moves", unit="[0, 1)")
    hidden_dim: int | None = option(None, "Width of the head; none: twice that of the encoder")
    bottleneck_dim: int = option(128, "Width of the head before its last layer")
    output_dim: int = option(1024, "Length of the output")
    batch_norm: bool = option(False, "Batch norm in the head")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("dino",))
        check_range("method.temperature", self.temperature, 0.01, 1)
        check_range("method.teacher_temperature", self.teacher_temperature, 0.01, self.temperature)
        check_range("method.momentum", self.momentum, 0, 0.99999)
        check_range("method.centre_momentum", self.centre_momentum, 0, 0.99999)
        check_range("method.freeze_frac", self.freeze_frac, 0, 0.9)
        check_range("method.bottleneck_dim", self.bottleneck_dim, 2)
        _check_head(self)


@dataclass
class DenseCLConfig:
    """DenseCL: contrast places within tiles as well as tiles, for features that segment.

    The paper: batch 256, queue 65536, momentum .999, heads 2048 wide, 128 out, views of 224 px.
    """

    name: str = option("densecl", "Name of the method")
    temperature: float = option(0.2, "Sharpness of the contrast", unit="in (0, 1]")
    dense_weight: float = option(0.5, "Weight of places against whole tiles", unit="in [0, 1]")
    queue: int = option(4096, "Longest queue of negatives; cut to what other tiles can fill")
    momentum: float = option(0.99, "How slowly the key encoder follows; .999 for long runs", unit="in [0, 1)")
    key_groups: int = option(
        4, "Keys are normalised in so many random parts of a batch, so that batch norm tells nothing"
    )
    hidden_dim: int | None = option(None, "Width of both heads; none: that of the encoder")
    output_dim: int = option(128, "Length of a projection")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("densecl",))
        check_range("method.temperature", self.temperature, 0.01, 1)
        check_range("method.dense_weight", self.dense_weight, 0, 1)
        check_range("method.queue", self.queue, 1)
        check_range("method.momentum", self.momentum, 0, 0.99999)
        check_range("method.key_groups", self.key_groups, 1)
        _check_head(self)


def _check_head(cfg: Any) -> None:
    if cfg.hidden_dim is not None:
        check_range("method.hidden_dim", cfg.hidden_dim, 1)
    check_range("method.output_dim", cfg.output_dim, 2)
