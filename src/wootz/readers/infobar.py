"""Find an info bar that the microscope burnt into the picture.

A network learns the bar before it learns the specimen, so a bar must be cut even where no tag mentions it.
"""

from __future__ import annotations

import numpy as np

# Thresholds are fractions: of a row, of the picture, or of the span from its darkest to its lightest pixel.
_LEVEL_TOLERANCE = 0.03  # 8 grey levels of 255: JPEG ringing around text stays inside
_BACKGROUND_SHARE = 0.5  # of a row of the bar, text included
_UNIFORM_SHARE = 0.90  # of a row without text: the margin or the frame line of the bar
_MIN_HEIGHT, _MAX_HEIGHT = 0.015, 0.30
_INK_CONTRAST = 0.35
_INK_SHARE = (0.003, 0.45)
_INK_OF_FOREGROUND = 0.3  # text is black on white or white on black; a specimen has every grey between
_ONE_GREY_LEVEL = 1.5 / 255
_SILENT_SHARE = 0.7  # of the background within one grey level: a bar carries no detector noise
_MIN_STROKES = 16  # edges of ink along the busiest row
_CHANGING_COLUMNS = 0.25
_SLACK_ROWS = 3  # SmartSEM leaves one row of picture below its bar
_MAX_COLUMNS = 2048


def find_info_bar(image: np.ndarray, levels: tuple[int, int] | None = None) -> slice | None:
    """Rows of an info bar at the bottom or the top edge, found in the picture alone.

    Parameters
    ----------
    image : (H, W) uint8 or uint16
    levels : (darkest, lightest), optional
        Of all its pixels, where they are known: most pictures are then told from three rows at each edge.

    Returns
    -------
    slice or None
        Rows of the bar, up to the edge of the picture (a row or two of specimen outside a framed bar
        included); None where there is none.

    Notes
    -----
    A bar is a band that touches the edge, one constant level with text of one contrasting level in it,
    without detector noise, and cut off from the specimen along one straight row. It is missed where text
    lies on the specimen without a band, and it is cut too generously where the specimen above a black bar
    is itself saturated black.

    Examples
    --------
    >>> import numpy as np
    >>> find_info_bar(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)) is None
    True
    """
    height = image.shape[0]
    if height < 32 or image.shape[1] < 32:
        return None
    step = max(1, image.shape[1] // _MAX_COLUMNS)
    if levels is not None:
        # the span below is never wider, and what is no background in a wide span is none in a narrow one
        span = np.float32(max(1, levels[1] - levels[0]))
        ends = (image[-1 - _SLACK_ROWS :, ::step], image[: 1 + _SLACK_ROWS, ::step])
        if not any(_may_end_in_a_bar(rows.astype(np.float32) / span) for rows in ends):
            return None
    edge = int(np.ceil(height * _MAX_HEIGHT)) + 8
    thin = image[:, ::step]
    low, high = float(thin[::4].min()), float(thin[::4].max())
    for rows, found in ((thin[height - edge :], "bottom"), (thin[:edge][::-1], "top")):
        span = max(high, float(rows.max())) - min(low, float(rows.min()))
        if span <= 0 or not _may_end_in_a_bar(rows[-1 - _SLACK_ROWS :].astype(np.float32) / np.float32(span)):
            continue
        n_rows = _bar_height(rows.astype(np.float32) / np.float32(span))
        if _MIN_HEIGHT * height <= n_rows <= _MAX_HEIGHT * height and n_rows >= 8:
            return slice(height - n_rows, height) if found == "bottom" else slice(0, n_rows)
    return None


def _may_end_in_a_bar(last_rows: np.ndarray) -> bool:
    """Whether one of the last rows has a background; without one, as in most fields, there is no bar."""
    return bool((_level_and_share(last_rows)[1] >= _BACKGROUND_SHARE).any())


def _level_and_share(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # More than half of a bar's row is background, so the row's median is the background level.
    level = np.median(rows, axis=1)
    return level, np.mean(np.abs(rows - level[:, None]) <= _LEVEL_TOLERANCE, axis=1)


def _bar_height(rows: np.ndarray) -> int:
    """Height of a bar at the end of `rows` (R, W) float32 of span 1; 0 where there is none."""
    level, share = _level_and_share(rows)
    for last in range(len(rows) - 1, len(rows) - 2 - _SLACK_ROWS, -1):
        first = _first_row(level, share, last)
        if first < last and _starts_sharply(rows, first) and _holds_text(rows[first : last + 1]):
            return len(rows) - first
    return 0


def _first_row(level: np.ndarray, share: np.ndarray, last: int) -> int:
    """Topmost row of the band that ends at `last`: a row without text, so that no text is cut."""
    background = np.median(level[max(0, last - 8) : last + 1])
    of_band = (np.abs(level - background) <= _LEVEL_TOLERANCE) & (share >= _BACKGROUND_SHARE)
    line = share >= _UNIFORM_SHARE
    first, frame, n_lines = last, last, 0
    for row in range(last, -1, -1):
        n_lines = 0 if of_band[row] else n_lines + 1
        if not (of_band[row] or line[row]) or n_lines > _SLACK_ROWS:
            break
        if line[row]:
            first = row
            frame = frame if of_band[row] else row
    # Nothing stopped the band: a saturated black specimen above a black bar. Its frame line still parts them.
    return frame if first == 0 else first


def _starts_sharply(rows: np.ndarray, first: int) -> bool:
    """Whether many columns change between the specimen and the first rows of the band, frame included."""
    change = np.abs(rows[first : first + 3] - rows[max(0, first - 2)]).max(axis=0)
    return bool(np.mean(change > _LEVEL_TOLERANCE) > _CHANGING_COLUMNS)


def _holds_text(band: np.ndarray) -> bool:
    """Whether the band is one silent level with strokes of one contrasting level in it."""
    background = np.median(band)
    distance = np.abs(band - background)
    quiet = distance <= _LEVEL_TOLERANCE
    ink = distance > _INK_CONTRAST
    text_rows = ink.mean(axis=1) < _UNIFORM_SHARE  # without the frame lines
    share = ink[text_rows].mean() if text_rows.any() else 0.0
    if not _INK_SHARE[0] <= share <= _INK_SHARE[1]:
        return False
    strokes = np.abs(np.diff(ink[text_rows].astype(np.int8), axis=1)).sum(axis=1).max()
    return bool(
        np.mean(distance[quiet] <= _ONE_GREY_LEVEL) >= _SILENT_SHARE
        and ink.sum() >= _INK_OF_FOREGROUND * (~quiet).sum()
        and strokes >= _MIN_STROKES
    )
