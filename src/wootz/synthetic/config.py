"""Options of ``wootz render``."""

from dataclasses import dataclass

from wootz.options import check_choice, check_range, option


@dataclass
class RenderConfig:
    """Options of ``wootz render OUT``: draw fields with exact masks and truth."""

    n: int = option(30, "number of fields")
    seed: int = option(0, "seed of the whole set; field i depends on seed, i and the recipe alone")
    recipe: str = option(
        "coating", "coating, coating-demo, coating-demo-defect, or the path of a recipe.json"
    )
    size_px: int = option(512, "height and width of a field", unit="px")
    pixel_um: float | None = option(None, "pixel size; none takes the recipe's", unit="µm")
    mode: str | None = option(None, "se (secondary) or bse (backscatter); none takes the recipe's")
    bit_depth: int = option(8, "8 or 16", unit="bit")
    prefix: str = option("field", "file names are PREFIX_0000.tif, ...")

    def __post_init__(self) -> None:
        check_range("n", self.n, 1)
        check_range("seed", self.seed, 0)
        check_range("size_px", self.size_px, 32, 16384)
        check_choice("bit_depth", str(self.bit_depth), ("8", "16"))
        if self.pixel_um is not None:
            check_range("pixel_um", self.pixel_um, 1e-6, 1e6)
        if self.mode is not None:
            check_choice("mode", self.mode, ("se", "bse"))
