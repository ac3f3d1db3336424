"""Options of how often tiles are drawn; no torch here, so that help is instant."""

from dataclasses import dataclass

from wootz.options import check_range, option


@dataclass
class SamplingConfig:
    """Which tiles an epoch draws, and how often."""

    balance: str = option(
        "", "Column whose values are sources to balance: set, specimen, instrument, image_id ...; empty: none"
    )
    gamma: float = option(
        0.5,
        "A tile of a source of n tiles counts n^-gamma: 0 as they come, 1 all sources alike",
        unit="[0, 1]",
    )
    synthetic_frac: float | None = option(
        None, "Share of rendered tiles (column origin) in an epoch; none: as they come", unit="[0, 1]"
    )
    shift_frac: float = option(
        0.0,
        "Each view's window may lie this far off its tile: overlapping crops of one field",
        unit="of the tile's side, [0, 0.5]",
    )
    within: str = option(
        "image_id", "Column whose values stay together in a batch: image_id, instrument, specimen ..."
    )
    block: int = option(
        1, "Tiles that do: they are told apart by what they show, not by image or instrument; 1: none"
    )

    def __post_init__(self) -> None:
        check_range("sampling.gamma", self.gamma, 0, 1)
        if self.synthetic_frac is not None:
            check_range("sampling.synthetic_frac", self.synthetic_frac, 0, 1)
        check_range("sampling.shift_frac", self.shift_frac, 0, 0.5)
        check_range("sampling.block", self.block, 1)
