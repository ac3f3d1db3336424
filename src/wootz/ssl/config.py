"""Options of `wootz pretrain` and `wootz embed`; no torch here, so that help is instant."""

from dataclasses import dataclass, field
from typing import Any

from wootz.augment.config import AugmentConfig
from wootz.errors import WootzError
from wootz.options import check_choice, check_range, option

ENCODERS = ("small", "resnet18", "resnet50")
OPTIMIZERS = ("adamw", "lars")
PRECISIONS = ("auto", "float32", "bf16")


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
class PretrainConfig:
    """Options of `wootz pretrain`."""

    method: Any = field(default_factory=SimCLRConfig, metadata={"help": "simclr, byol or moco"})
    encoder: str = option("resnet18", "Architecture: small (for a CPU), resnet18 or resnet50")
    epochs: int = option(100, "Passes over the tiles")
    max_minutes: float | None = option(
        None, "Budget: the learning rate falls by the clock and training ends on time", unit="min"
    )
    batch_size: int = option(128, "Tiles per step and device")
    optimizer: str = option("adamw", "adamw; lars for batches of 1024 and more")
    lr: float | None = option(
        None, "Largest learning rate; none: 1e-3 (adamw), 0.3 batch / 256 (lars)", unit="> 0"
    )
    weight_decay: float | None = option(None, "None: 1e-4 (adamw), 1e-6 (lars); not on norms and biases")
    warmup_frac: float = option(0.1, "Part of the training in which the learning rate rises", unit="[0, 1)")
    precision: str = option("auto", "auto: bf16 where the hardware is made for it; float32, bf16")
    devices: int = option(1, "GPUs, or processes on a CPU")
    include_uninformative: bool = option(False, "Train on tiles without contrast too")
    seed: int = option(0, "Seed of weights, order and views")
    augment: AugmentConfig = field(
        default_factory=AugmentConfig, metadata={"help": "what may differ between two views of a tile"}
    )

    def __post_init__(self) -> None:
        check_choice("encoder", self.encoder, ENCODERS)
        check_range("epochs", self.epochs, 1)
        if self.max_minutes is not None:
            check_range("max_minutes", self.max_minutes, 0.01)
        check_range("batch_size", self.batch_size, 2)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        for key in ("lr", "weight_decay"):
            value = getattr(self, key)
            if value is not None:
                check_range(key, value, 0)
        check_range("warmup_frac", self.warmup_frac, 0, 0.9)
        check_choice("precision", self.precision, PRECISIONS)
        check_range("devices", self.devices, 1)
        check_range("seed", self.seed, 0)


@dataclass
class EmbedConfig:
    """Options of `wootz embed`."""

    encoder: str = option(
        "", "File, run id, or random:small, random:resnet18 ... to compare with; empty: the newest run"
    )
    name: str = option("", "Name of the embedding; empty: the run's method, or random")
    batch_size: int = option(256, "Tiles per forward pass")
    shard_rows: int = option(16384, "Tiles per stored shard: what a kill loses at most")
    seed: int = option(0, "Seed of random weights")

    def __post_init__(self) -> None:
        check_range("batch_size", self.batch_size, 1)
        check_range("shard_rows", self.shard_rows, self.batch_size)
        check_range("seed", self.seed, 0)
        if "/" in self.name:
            raise WootzError(f"name={self.name!r} holds a slash; choose a plain word.")


def _check_head(cfg: Any) -> None:
    if cfg.hidden_dim is not None:
        check_range("method.hidden_dim", cfg.hidden_dim, 1)
    check_range("method.output_dim", cfg.output_dim, 2)
