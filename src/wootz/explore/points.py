"""The map's data as typed arrays: a header in JSON, then the arrays, each on a border of eight bytes."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from wootz.storage import plain
from wootz.tables import is_text

HIDDEN = {
    *("tile_id", "image_id", "row", "col", "shard", "offset", "tags_json", "pixels_xxh3_128"),
    *("info_bar_rows", "duplicate_of", "pixel_size_source", "perceptual_hash", "file_mtime_ns"),
    *("intensity_low", "intensity_high", "bit_depth", "pixel_size_row_nm"),
}
CATEGORIES_MAX = 2_000
"""Text columns with more different values are not offered: they are names, not categories."""


def pack(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Pack arrays for the page.

    Parameters
    ----------
    about : mapping
        Plain values for the header.
    arrays : mapping
        Names to arrays of float32, int32, uint8 or uint32.

    Returns
    -------
    bytes
        Length of the header (uint32, little-endian), the header (JSON, filled up with spaces to a multiple of
        eight bytes with the length), then the bytes of each array, filled up to a multiple of eight.
        ``header["arrays"]`` lists name, dtype, length and offset behind the header.
    """
    listed, parts, offset = [], [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        listed.append({"name": name, "dtype": array.dtype.name, "length": array.size, "offset": offset})
        parts.append(data + b"\0" * (-len(data) % 8))
        offset += len(parts[-1])
    header = json.dumps(plain({**about, "arrays": listed}), ensure_ascii=False, allow_nan=False).encode()
    header += b" " * (-(4 + len(header)) % 8)
    return b"".join([len(header).to_bytes(4, "little"), header, *parts])


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Undo `pack`: the header, and the arrays by name."""
    start = 4 + int.from_bytes(data[:4], "little")
    about = json.loads(data[4:start])
    arrays = {
        a["name"]: np.frombuffer(
            data, np.dtype(a["dtype"]).newbyteorder("<"), a["length"], start + a["offset"]
        )
        for a in about.pop("arrays")
    }
    return about, arrays


def listed_rows(value: Any) -> Any:
    """Undo what the page does with many rows: ``{"bits": base64}``, one bit a tile, lowest first.

    Anything else is given back as it is.

    Raises
    ------
    ValueError
        If the bits are no base64.
    """
    if not isinstance(value, dict) or not isinstance(value.get("bits"), str):
        return value
    data = np.frombuffer(base64.b64decode(value["bits"], validate=True), np.uint8)
    return np.flatnonzero(np.unpackbits(data, bitorder="little")).tolist()


def column_names(tiles: Any) -> list[str]:
    """List the columns that the map can be coloured and filtered by."""
    names = [n for n in tiles.column_names if n not in HIDDEN and not n.startswith("umap_")]
    frame = tiles.columns(names)
    return [name for name in names if _is_offered(frame[name])]


def column(tiles: Any, name: str) -> tuple[dict[str, Any], np.ndarray]:
    """Give a column of the tiles as numbers.

    Returns
    -------
    about : dict
        ``kind`` "category" with ``values`` (sorted words; "" is unknown), or "number" with ``low`` and
        ``high`` (0.01 and 0.99 quantiles).
    values : (N,) int32 into ``values``, or float32 with NaN where unknown
    """
    given = tiles.columns([name])[name]
    if _is_category(given):
        codes, words = category_codes(given.astype("object").where(given.notna(), "").astype(str).tolist())
        return {"name": name, "kind": "category", "values": words}, codes
    numbers = pd.to_numeric(given).to_numpy(np.float32, na_value=np.nan)
    known = numbers[np.isfinite(numbers)]
    low, high = (float(v) for v in np.quantile(known, [0.01, 0.99])) if len(known) else (0.0, 1.0)
    return {"name": name, "kind": "number", "low": low, "high": high}, numbers


def category_codes(values: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Give words numbers in their sorted order: (N,) int32, words; digits sort as numbers."""
    codes, words = pd.factorize(np.asarray(values, object))
    order = sorted(range(len(words)), key=lambda i: _natural(str(words[i])))
    place = np.empty(len(words), np.int32)
    place[order] = np.arange(len(words))
    return place[codes], [str(words[i]) for i in order]


def _natural(word: str) -> tuple[int, float, str]:
    try:
        return 0, float(word), word
    except ValueError:
        return 1, 0.0, word


def _is_category(given: pd.Series) -> bool:
    name = str(given.name)
    return name.startswith("cluster_") or pd.api.types.is_bool_dtype(given) or is_text(given)


def _is_offered(given: pd.Series) -> bool:
    """Whether a column says something: more than one value, and no more than can be told apart."""
    known = given.dropna()
    n_different = known.nunique()
    if _is_category(given):
        return 1 < max(n_different, int(given.nunique(dropna=False))) <= CATEGORIES_MAX
    return n_different > 1 and pd.api.types.is_numeric_dtype(given)
