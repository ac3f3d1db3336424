"""Pictures too large to be read as a whole: header first, then strip by strip into the archive."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wootz.errors import ReadError
from wootz.ingest.config import IngestConfig
from wootz.readers import Image, iter_row_blocks
from wootz.readers.findings import normalised_metadata, settle_scale
from wootz.readers.tiff import open_tiff, raw_tags, tiff_header
from wootz.readers.vendors import find_metadata

MIN_PIXELS = 1 << 27  # a square of 11,600
STRIP_BYTES = 16 << 20


def read_panorama(path: Path, cfg: IngestConfig) -> tuple[Image, Iterator[np.ndarray]]:
    """Read the header of a TIFF, and give its rows of specimen as blocks.

    Returns
    -------
    image : Image
        Without pixels: shape (0, W). The info bar is cut where the metadata give its height; it is not
        looked for in the picture, since stitched panoramas have none.
    blocks : iterator of (h, W) uint8 or uint16
    """
    with open_tiff(path) as opened:
        header = tiff_header(opened)
        raw = raw_tags(opened)
        about = {"page": opened.index, "n_pages": opened.n_pages, "notes": opened.notes}
        height, width = opened.shape
    findings = find_metadata(header)
    scale = settle_scale(findings, path, contradiction=cfg.scale)
    n_bar = findings.info_bar_px or 0
    bar = slice(height - n_bar, height) if 0 < n_bar < height else None
    image = Image(
        pixels=np.zeros((0, width), np.uint8),
        pixel_size_nm=scale.pixel_size_nm,
        pixel_size_source=scale.source,
        metadata={"raw": raw, **normalised_metadata(findings.normalised)},
        info_bar_rows=bar,
        vendor=findings.vendor,
        **about,
    )
    return image, _rows(path, cfg, stop=bar.start if bar and cfg.cut_info_bar else height, width=width)


def _rows(path: Path, cfg: IngestConfig, *, stop: int, width: int) -> Iterator[np.ndarray]:
    n_rows = max(1, STRIP_BYTES // (2 * width))
    for first, block in iter_row_blocks(path, rows=n_rows, colour=cfg.colour):
        if first >= stop:
            return
        yield block[: stop - first]
    if stop <= 0:
        raise ReadError(f"{path} holds no rows above its info bar.")
