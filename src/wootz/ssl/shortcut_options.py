"""Options of `wootz probe`; no torch here, so that help is instant."""

from dataclasses import dataclass

from wootz.options import check_range, option


@dataclass
class ProbeConfig:
    """How well frozen features tell what they should not depend on."""

    embedding: str = option("", "Name of the embedding; empty: the only one beside random")
    baselines: str = option("", "Embeddings to compare with, by comma; empty: random, where there is one")
    columns: str = option("", "Further columns to probe, by comma, e.g. 'condition,step'")
    max_tiles: int = option(3000, "Tiles to probe with, evenly over the images")
    permutations: int = option(199, "Shuffled labels that say what chance gives")
    seed: int = option(0, "Seed of the choice of tiles, of the folds and of the shuffling")

    def __post_init__(self) -> None:
        check_range("max_tiles", self.max_tiles, 50, 20_000)
        check_range("permutations", self.permutations, 19, 9999)
        check_range("seed", self.seed, 0)
