"""Options of the methods that ask about a tile's own parts; no torch here, so that help is instant."""

from dataclasses import dataclass

from wootz.errors import WootzError
from wootz.options import check_choice, check_range, option


@dataclass
class PIRLConfig:
    """PIRL: the shuffled pieces of a tile attract its whole views; for convolutional encoders.

    The paper: memory bank of all pictures, temperature .07, pieces of 64 px in cells of 85 px, 128 out.
    """

    name: str = option("pirl", "Name of the method")
    temperature: float = option(0.07, "Sharpness of the contrast", unit="in (0, 1]")
    jigsaw_weight: float = option(0.5, "Weight of the pieces against a second whole view", unit="in [0, 1]")
    piece_frac: float = option(
        0.75, "Side of a piece, as part of its cell of the 3 x 3 grid", unit="in (0, 1]"
    )
    output_dim: int = option(128, "Length of a projection")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("pirl",))
        check_range("method.temperature", self.temperature, 0.01, 1)
        check_range("method.jigsaw_weight", self.jigsaw_weight, 0, 1)
        check_range("method.piece_frac", self.piece_frac, 0.1, 1)
        check_range("method.output_dim", self.output_dim, 2)


@dataclass
class CPCConfig:
    """CPC: from the upper part of a tile, predict the features further down; for convolutional encoders.

    The second version's paper: three rows predicted, 64 out.
    """

    name: str = option("cpc", "Name of the method")
    steps: int = option(
        3, "Rows predicted, from the first that shares no pixel with what is known", unit="1-5"
    )
    layers: int = option(3, "Layers of the context, each of which sees two rows further up")
    context_dim: int = option(256, "Width of the context")
    output_dim: int = option(64, "Length of a predicted code")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("cpc",))
        check_range("method.steps", self.steps, 1, 5)
        check_range("method.layers", self.layers, 1, 12)
        check_range("method.context_dim", self.context_dim, 1)
        check_range("method.output_dim", self.output_dim, 2)


@dataclass
class RelPatchConfig:
    """Relative patch position: which of the eight neighbours is this patch? For convolutional encoders.

    The paper: patches of 96 px, 48 px apart, shifted by up to 7 px.
    """

    name: str = option("relpatch", "Name of the method")
    gap_frac: float = option(0.5, "Gap between patches, in sides of a patch", unit="in (0, 1]")
    jitter_frac: float = option(0.07, "Largest shift of a patch either way, in sides of a patch")
    hidden_dim: int | None = option(None, "Width of the classifier; none: that of the encoder")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("relpatch",))
        check_range("method.gap_frac", self.gap_frac, 0.05, 1)
        check_range("method.jitter_frac", self.jitter_frac, 0, 0.5)
        if 2 * self.jitter_frac >= self.gap_frac:
            raise WootzError(
                f"method.jitter_frac={self.jitter_frac:g} lets patches touch across a gap of "
                f"{self.gap_frac:g}; keep it below half of method.gap_frac."
            )
        if self.hidden_dim is not None:
            check_range("method.hidden_dim", self.hidden_dim, 1)


@dataclass
class GapFillConfig:
    """Gap filling: hide blocks of a tile and paint them from what is left; for convolutional encoders.

    The paper hides up to a quarter of a picture in blocks.
    """

    name: str = option("gapfill", "Name of the method")
    mask_frac: float = option(0.5, "Part of the blocks that is hidden", unit="in (0, 1)")
    block_px: int = option(16, "Side of a hidden block", unit="px of the view")
    decoder_dim: int = option(64, "Width of the decoder")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("gapfill",))
        check_range("method.mask_frac", self.mask_frac, 0.05, 0.95)
        check_range("method.block_px", self.block_px, 4)
        check_range("method.decoder_dim", self.decoder_dim, 1)


@dataclass
class MAEConfig:
    """Masked autoencoding: see a quarter of the patches and paint the others; for a ViT.

    The paper: three quarters hidden, decoder of 8 blocks, 512 wide, for a ViT-L.
    """

    name: str = option("mae", "Name of the method")
    mask_frac: float = option(0.75, "Part of the patches that is hidden", unit="in (0, 1)")
    decoder_dim: int = option(192, "Width of the decoder", unit="multiple of 32")
    decoder_depth: int = option(4, "Blocks of the decoder")

    def __post_init__(self) -> None:
        check_choice("method.name", self.name, ("mae",))
        check_range("method.mask_frac", self.mask_frac, 0.05, 0.95)
        check_range("method.decoder_dim", self.decoder_dim, 32)
        check_range("method.decoder_depth", self.decoder_depth, 1)
        if self.decoder_dim % 32:
            raise WootzError(
                f"method.decoder_dim={self.decoder_dim} is no multiple of 32 (the width of an attention "
                f"head); take {max(32, round(self.decoder_dim / 32) * 32)}."
            )
