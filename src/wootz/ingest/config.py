"""Options of ``wootz ingest``."""

from dataclasses import dataclass

from wootz.errors import WootzError
from wootz.options import check_choice, check_range, option


@dataclass
class IngestConfig:
    """What to take from the files, what stands beside them, and the grid of tiles."""

    metadata: str = option("", "table (CSV or Parquet) with a column file and specimen, condition, step, ...")
    pattern: str = option("", "columns in the file names, e.g. '{specimen}_{condition}_{n:d}'")
    set: str = option("", "name of this set of images; empty: the folder's name")
    splits: str = option("", "JSON with fixed train, val and test lists of file stems per set")
    trust_table: bool = option(False, "let pixel_size_nm of the table overrule the files' own")
    tile_px: int = option(128, "side of a tile", unit="px, >= 8")
    stride_px: int = option(128, "step of the grid of tiles", unit="px, >= 1")
    masks: str = option("", "folder of masks, or a pattern such as '../masks/{stem}.png' beside each image")
    mask_threshold: int | None = option(
        None, "grey level above which a mask counts as class 1", unit="0 ... 254"
    )
    via: str = option("", "regions drawn in the VGG Image Annotator (JSON), one object each")
    classes: str = option("", "classes of the masks: '0:background,1:oxide' or a classes.csv")
    scheme: str = option("", "name of the class list; empty: the name of the set")
    annotator: str = option("imported", "who drew the masks")
    colour: str = option(
        "refuse", "coloured pictures: 'refuse' sets them aside, 'luminance' takes their grey"
    )
    scale: str = option("refuse", "files that contradict themselves on the pixel size: 'refuse' or 'unknown'")
    cut_info_bar: bool = option(True, "cut the instrument's info bar off")
    near_duplicates: bool = option(True, "look for copies saved again (JPEG, brighter, 8 bits)")
    batch_mb: int = option(512, "commit after this much; a killed ingest repeats at most as much", unit="MB")

    def __post_init__(self) -> None:
        check_range("tile_px", self.tile_px, 8)
        check_range("stride_px", self.stride_px, 1)
        check_range("batch_mb", self.batch_mb, 1)
        check_choice("colour", self.colour, ("refuse", "luminance"))
        check_choice("scale", self.scale, ("refuse", "unknown"))
        if self.mask_threshold is not None:
            check_range("mask_threshold", self.mask_threshold, 0, 254)
        if self.masks and self.via:
            raise WootzError(
                "masks= and via= label the same images; ingest one, then the other with its scheme=."
            )
        if self.mask_threshold is not None and self.via:
            raise WootzError("mask_threshold= belongs to masks=, not to via=.")
