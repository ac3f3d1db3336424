"""Pictures for the page, straight from the packed fields: tiles by the batch, and a tile in its field."""

import contextlib
import io
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from wootz.errors import WootzError
from wootz.explore.actions import ActionError
from wootz.plotting import grey_uint8, scale_bar, square_pixel_size_nm

BATCH_MAX = 256
SIDES = (16, 512)
CONTEXT_MAX_PX = 1_200
JPEG_QUALITY = 88
CACHE_BYTES = 64 << 20
BEYOND_FRAC = 0.1


class Pictures:
    """Reads tiles for looking at; what was read lately is kept.

    Grey levels run over the recorded range of each image and a tenth of it beyond either end: the range ends
    at the 1st and 99th percentile, and pores or particles that cover less are what one looks for.

    Parameters
    ----------
    tiles : TileSet
    """

    def __init__(self, tiles: Any) -> None:
        self._tiles = tiles
        names = ["image_id", "row", "col", "height", "width", "intensity_low", "intensity_high"]
        self._frame = tiles.columns([*names, "pixel_size_row_nm", "pixel_size_col_nm"])
        self._cache: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._n_bytes = 0
        self._lock = threading.Lock()

    def sprite(self, rows: list[int], *, side_px: int) -> bytes:
        """Draw tiles side by side into one JPEG, eight in a row, in the order given.

        Parameters
        ----------
        rows : list of int
            At most 256.
        side_px : int, 16 to 512
            Each tile is fitted into a square of this side, its shape kept, on black.
        """
        if not 0 < len(rows) <= BATCH_MAX or not SIDES[0] <= side_px <= SIDES[1]:
            raise ActionError(f"1 to {BATCH_MAX} tiles of {SIDES[0]} to {SIDES[1]} px at a time.")
        n_columns = min(8, len(rows))
        sheet = np.zeros((-(-len(rows) // n_columns) * side_px, n_columns * side_px), np.uint8)
        for i, row in enumerate(rows):
            top, left = i // n_columns * side_px, i % n_columns * side_px
            sheet[top : top + side_px, left : left + side_px] = self._small(row, side_px)
        return jpeg(sheet)

    def warm_up(self) -> None:
        """Read a tile in the background: the reader's compiled loops take half a second to load."""

        def read() -> None:
            with contextlib.suppress(WootzError):  # who asks for a damaged field will be told
                self._tiles.read([0])

        threading.Thread(target=read, name="wootz-warm-up", daemon=True).start()

    def context(
        self, row: int, *, factor: float, longest_px: int = CONTEXT_MAX_PX
    ) -> tuple[bytes, dict[str, Any]]:
        """Draw a tile in what surrounds it.

        Parameters
        ----------
        row : int
        factor : float
            Side of the shown window over that of the tile, at least 1; 0 shows the whole field.
        longest_px : int
            Longest side of the picture.

        Returns
        -------
        jpeg : bytes
        about : dict
            ``width``, ``height`` (px of the picture), ``box`` (left, top, width, height of the tile in it),
            ``bar_px`` and ``bar_label`` of a scale bar, ``pixel_size_nm`` (None where unknown).
        """
        about = self._frame.iloc[row]
        field = self._tiles.archive.field(about["image_id"])
        (top, bottom), (left, right) = _window(about, field.shape, factor)
        step = max(1, -(-max(bottom - top, right - left) // longest_px))
        shown = _thinned(field[top:bottom, left:right], step)
        low, high = shown_range(about)
        size = (about["pixel_size_row_nm"], about["pixel_size_col_nm"])
        bar_px, label = scale_bar(right - left, size)
        box = [about["col"] - left, about["row"] - top, about["width"], about["height"]]
        facts = {
            "width": shown.shape[1],
            "height": shown.shape[0],
            "box": [float(v) / step for v in box],
            "bar_px": bar_px / step,
            "bar_label": label,
            "pixel_size_nm": square_pixel_size_nm(size),
        }
        return jpeg(grey_uint8(shown, low=low, high=high)), facts

    def _small(self, row: int, side_px: int) -> np.ndarray:
        key = (row, side_px)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        pixels = self._tiles.read([row])[0]
        about = self._frame.iloc[row]
        low, high = shown_range(about)
        small = fitted(grey_uint8(pixels, low=low, high=high), side_px)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = small
                self._n_bytes += small.nbytes
            while self._n_bytes > CACHE_BYTES:
                self._n_bytes -= self._cache.popitem(last=False)[1].nbytes
        return small


def fitted(image: np.ndarray, side_px: int) -> np.ndarray:
    """Resize a picture into a square, its shape kept, the rest black: (side_px, side_px) uint8."""
    from PIL import Image

    scale = side_px / max(image.shape)
    height, width = (max(1, round(side * scale)) for side in image.shape)
    kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    out = np.zeros((side_px, side_px), np.uint8)
    top, left = (side_px - height) // 2, (side_px - width) // 2
    out[top : top + height, left : left + width] = np.asarray(
        Image.fromarray(image).resize((width, height), kind)
    )
    return out


def jpeg(image: np.ndarray) -> bytes:
    """Encode a grey picture, (H, W) uint8."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _window(about: Any, shape: tuple[int, ...], factor: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Lay a window around a tile, moved inside the field where it would leave it."""
    sides = []
    for start, length, whole in zip(
        (about["row"], about["col"]), (about["height"], about["width"]), shape, strict=True
    ):
        wanted = whole if factor == 0 else min(whole, max(int(length), round(float(length) * factor)))
        first = int(start) + (int(length) - wanted) // 2
        first = min(max(first, 0), whole - wanted)
        sides.append((first, first + wanted))
    return sides[0], sides[1]


def _thinned(pixels: np.ndarray, step: int) -> np.ndarray:
    """Average blocks of `step` x `step` pixels; what is left over at the edges is cut."""
    if step == 1:
        return np.asarray(pixels)
    height, width = (side // step * step for side in pixels.shape)
    blocks = pixels[:height, :width].reshape(height // step, step, width // step, step)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def shown_range(about: Any) -> tuple[float, float]:
    """Give the grey values that are drawn black and white, from ``intensity_low`` and ``intensity_high``."""
    low, high = float(about["intensity_low"]), float(about["intensity_high"])
    beyond = BEYOND_FRAC * (high - low)
    return low - beyond, high + beyond
