import numpy as np
import pandas as pd

from wootz.factors import image_strata, list_factors, place_factors


def table():
    """Draw 24 images of 16 tiles."""
    image = np.repeat(np.arange(24), 16)
    return pd.DataFrame(
        {
            "image_id": image.astype(str),
            "file": [f"{i}.tif" for i in image],
            "specimen": [f"s{i % 4}" for i in image],
            "set": "",
            "instrument": [f"m{i // 12}" for i in image],
            "detector": "",
            "origin": "",
            "info_bar_rows": "",
            "bit_depth": 8,
            "pixel_size_row_nm": np.nan,
            "magnification": 1000.0 * (1 + image // 6 % 2),
            "hv_kv": np.nan,
            "wd_mm": np.nan,
            "tilt_deg": np.nan,
        }
    )


def test_factors_come_from_columns_that_differ():
    frame = table()
    names = [f.name for f in list_factors(frame, np.arange(len(frame), dtype=float), columns=[])]
    assert names == ["specimen", "instrument", "magnification", "mean brightness"]
    mixed = frame.assign(
        origin=np.where(frame.file == "0.tif", "rendered", ""),
        info_bar_rows=np.where(frame.file == "1.tif", "100:128", ""),
        bit_depth=np.where(frame.file == "2.tif", 16, 8),
    )
    names = [f.name for f in list_factors(mixed, np.zeros(len(frame)), columns=["tilt_deg", "image_id"])]
    assert {"real or rendered", "info bar in the file", "bit depth", "image_id"} <= set(names)
    assert "mean brightness" not in names
    assert len(np.unique(image_strata(frame))) == 4 * 2 * 2  # 4 specimens x 2 instruments x 2 magnifications


def test_place_in_the_image_tile_by_tile():
    rows, cols = (grid.ravel() for grid in np.meshgrid(range(0, 97, 16), range(0, 193, 16), indexing="ij"))
    frame = pd.DataFrame({"row": rows, "col": cols, "height": 32, "width": 32})
    frame = frame.assign(height_px=128, width_px=230)  # 6 px are left over on the right
    place, edge = place_factors(frame)
    for i, (row, col) in enumerate(zip(rows, cols, strict=True)):
        vertical = "top" if row + 16 < 128 / 3 else "bottom" if row + 16 >= 2 * 128 / 3 else "middle"
        sideways = "left" if col + 16 < 230 / 3 else "right" if col + 16 >= 2 * 230 / 3 else "centre"
        assert place.values[i] == f"{vertical} {sideways}"
        assert (edge.values[i] == "yes") == (row in (0, 96) or col in (0, 192))
    one = pd.DataFrame(
        {"row": [0], "col": [0], "height": [32], "width": [32], "height_px": 32, "width_px": 32}
    )
    assert place_factors(one) == []  # nothing differs
