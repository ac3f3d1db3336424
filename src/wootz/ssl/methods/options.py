"""Options of the self-supervised methods; no torch here, so that help is instant."""

from dataclasses import dataclass
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


def _check_head(cfg: Any) -> None:
    if cfg.hidden_dim is not None:
        check_range("method.hidden_dim", cfg.hidden_dim, 1)
    check_range("method.output_dim", cfg.output_dim, 2)
