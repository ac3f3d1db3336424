"""Options of `wootz views`; no torch here, so that help is instant."""

from dataclasses import dataclass, field

from wootz.augment.config import AugmentConfig
from wootz.options import check_range, option


@dataclass
class ViewsConfig:
    """Options of `wootz views`."""

    tiles: int = option(6, "Tiles shown, from different images where there are enough")
    views: int = option(6, "Views of each tile")
    seed: int = option(0, "Seed of tiles and views")
    augment: AugmentConfig = field(
        default_factory=AugmentConfig, metadata={"help": "what may differ between two views of a tile"}
    )

    def __post_init__(self) -> None:
        check_range("tiles", self.tiles, 1, 64)
        check_range("views", self.views, 1, 24)
        check_range("seed", self.seed, 0)
