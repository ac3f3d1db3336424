"""`wootz views`: a sheet of what the network sees, from the user's own archive."""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wootz.apps.views_options import ViewsConfig
from wootz.clustering.sheet import SheetTile, tile_sheet
from wootz.errors import WootzError
from wootz.plotting import save_figure, square_pixel_size_nm

if TYPE_CHECKING:
    from wootz.archive import Archive
    from wootz.augment.settings import Settings
    from wootz.tiles import TileSet

TILE_IN = 1.6
SINGLE_COLUMNS = 7
TITLE_CHARACTERS = 20  # over one tile


@dataclass(frozen=True)
class Sheets:
    """The two drawings."""

    views: Path
    operations: Path

    def summary(self) -> str:
        """Say which file shows what."""
        return (
            f"views of tiles as in training: {self.views}\n"
            f"each operation alone at its strongest: {self.operations}"
        )


def draw_views(archive: "Archive", out: Path, cfg: ViewsConfig) -> Sheets:
    """Draw augmented views of tiles, and each operation alone.

    Parameters
    ----------
    archive : Archive
    out : Path
        The sheet of views; the operations go beside it, into ``<name>_operations``.
    cfg : ViewsConfig

    Raises
    ------
    WootzError
        If the archive has no tiles, or the first ones are of different size.
    """
    import torch

    from wootz.augment.geometry import context_px

    tiles = choose_tiles(archive.tiles(), cfg.tiles, seed=cfg.seed)
    size = tiles.frame[["height", "width"]].to_numpy()
    if (size != size[0]).any():
        raise WootzError("views need tiles of one size; ingest with one tile_px.")
    tile_px = (int(size[0, 0]), int(size[0, 1]))
    margin_px = context_px(max(tile_px), cfg.augment)
    rows = np.arange(len(tiles))
    pixels = torch.from_numpy(tiles.scaled(rows, margin_px))[:, None]
    recorded = [_recorded(tiles, i) for i in range(len(tiles))]
    generator = torch.Generator().manual_seed(cfg.seed)
    views = _views_sheet(pixels, recorded, cfg, tile_px=tile_px, generator=generator)
    single = _operations_sheet(pixels, recorded, cfg, tile_px=tile_px, generator=generator)
    beside = out.with_name(f"{out.stem}_operations{out.suffix or '.png'}")
    return Sheets(save_figure(views, out.with_suffix(out.suffix or ".png")), save_figure(single, beside))


def choose_tiles(tiles: "TileSet", n: int, *, seed: int) -> "TileSet":
    """Choose up to `n` tiles with contrast at random, from as many images as there are.

    Raises
    ------
    WootzError
        If there are no tiles.
    """
    if not len(tiles):
        raise WootzError(f"{tiles.archive.path} holds no tiles to draw; ingest images first.")
    flagged = tiles.frame.reindex(columns=["duplicate", "uninformative"]).eq(True).any(axis=1).to_numpy(bool)
    tiles = tiles if flagged.all() else tiles.select(~flagged)
    frame = tiles.frame.assign(place=np.random.default_rng(seed).random(len(tiles)))
    frame = frame.sort_values("place")
    turn = frame.groupby("image_id").cumcount()  # the first tile of every image, then the second ...
    rows = turn.sort_values(kind="stable").index.to_numpy()[:n]
    return tiles.select(np.sort(rows))


def _recorded(tiles: "TileSet", row: int) -> SheetTile:
    facts = tiles.frame.iloc[row]
    sizes = (facts["pixel_size_row_nm"], facts["pixel_size_col_nm"])
    return SheetTile(tiles.scaled([row])[0], Path(str(facts["file"])).name, sizes, "as recorded")


def _views_sheet(
    pixels: Any, recorded: list[SheetTile], cfg: ViewsConfig, *, tile_px: tuple[int, int], generator: Any
) -> Any:
    import torch

    from wootz.augment.settings import draw_settings
    from wootz.augment.views import view_with

    n = len(pixels)
    sizes = [square_pixel_size_nm(tile.pixel_size_nm) for tile in recorded]
    known = torch.tensor([float("nan") if size is None else size for size in sizes])
    rows: list[list[SheetTile]] = [[tile] for tile in recorded]
    for number in range(cfg.views):
        settings = draw_settings(n, tile_px, cfg.augment, generator=generator, pixel_size_nm=known)
        shown = view_with(pixels, settings, cfg.augment, generator=generator).numpy()
        for i, row in enumerate(rows):
            row.append(_as_tile(shown[i, 0], f"view {number + 1}", settings, (i, sizes[i])))
    named = [(f"tile {i + 1}", row) for i, row in enumerate(rows)]
    title = (
        f"{n} tiles as recorded, and {cfg.views} views of each as in training "
        f"({cfg.augment.out_px} px; scale bars along rows; black is 0 and white 1 of the intensity scale, "
        "and the network also sees what lies beyond)"
    )
    return tile_sheet(named, title=_wrapped(title, 1 + cfg.views), tile_in=TILE_IN)


def _operations_sheet(
    pixels: Any, recorded: list[SheetTile], cfg: ViewsConfig, *, tile_px: tuple[int, int], generator: Any
) -> Any:
    from wootz.augment.single import single_operations
    from wootz.augment.views import view_with

    # bright and dark alike: an operation is hard to see on a tile that is nearly black
    balance = [1 - abs(2 * min(max(float(np.median(tile.image)), 0.0), 1.0) - 1) for tile in recorded]
    first = int(np.argmax([tile.image.std() * even for tile, even in zip(recorded, balance, strict=True)]))
    order = [first, *(i for i in range(len(recorded)) if i != first)][:2]  # an exchange takes two
    size = square_pixel_size_nm(recorded[first].pixel_size_nm)
    shown = [SheetTile(recorded[first].image, "as recorded", size)]
    operations = single_operations(len(order), tile_px, cfg.augment, generator=generator)
    for name, (text, settings) in operations.items():
        view = view_with(pixels[order], settings, cfg.augment, generator=generator)[0, 0].numpy()
        shown.append(_as_tile(view, name, settings, (0, size), note=text))
    rows = [("", shown[i : i + SINGLE_COLUMNS]) for i in range(0, len(shown), SINGLE_COLUMNS)]
    title = f"each operation alone, at its strongest setting, on {recorded[first].caption}"
    return tile_sheet(rows, title=_wrapped(title, len(rows[0][1])), tile_in=TILE_IN)


def _wrapped(title: str, columns: int) -> str:
    return textwrap.fill(title, TITLE_CHARACTERS * columns)


def _as_tile(
    image: np.ndarray, caption: str, settings: "Settings", which: tuple[int, float | None], *, note: str = ""
) -> SheetTile:
    """Put a view on the sheet, with the size of its pixels along a row."""
    row, size = which
    if size is not None:
        size *= 2 * float(settings.affine[row, :, 0].norm()) / image.shape[1]
    return SheetTile(image, caption, size, note)
