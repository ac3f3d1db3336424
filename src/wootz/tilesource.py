"""What a training needs of its tiles: a source, a look at some of them first, a place to go on from."""

from typing import Any, Protocol

import numpy as np

from wootz.errors import WootzError

SAMPLE_TILES = 512
MIN_CONTRAST = 1e-4


class Tiles(Protocol):
    """What training needs of a `wootz.tiles.TileSet`."""

    def __len__(self) -> int:
        """Return the number of tiles."""
        ...

    def scaled(self, rows: Any, margin: int = 0) -> np.ndarray:
        """Return (B, H + 2 margin, W + 2 margin) float32 on the common intensity scale."""
        ...


class PlacedByStep:
    """Batches whose position follows from the step: Lightning asks for a state, and there is none to keep."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the position follows from the step."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing: the position follows from the step."""


def look_at(tiles: Tiles) -> np.ndarray:
    """Read up to 512 tiles, evenly spaced, and check that there is something to learn from.

    Returns
    -------
    (n, H, W) float32

    Raises
    ------
    WootzError
        If the tiles differ in size, hold NaN, or all are constant.
    """
    n = len(tiles)
    rows = np.unique(np.linspace(0, n - 1, min(n, SAMPLE_TILES)).astype(int))
    try:
        sample = tiles.scaled(rows)
    except ValueError as error:
        raise WootzError(f"training needs tiles of one size: {error}.") from error
    if not np.isfinite(sample).all():
        raise WootzError("tiles hold NaN or infinite values; check the images with `wootz ingest` again.")
    if float(sample.std(axis=(1, 2)).max()) < MIN_CONTRAST:
        raise WootzError(
            f"all {len(sample)} tiles that were looked at are constant (one grey level each), so there is "
            "nothing to learn; check that the right images were ingested."
        )
    return sample
