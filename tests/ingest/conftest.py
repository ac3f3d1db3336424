"""Small files as microscopes write them, and what stands beside them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image


def texture(seed: int, size: tuple[int, int] = (96, 128), top: int = 255) -> np.ndarray:
    """Draw a field with grain: (H, W) uint8, or uint16 where `top` is above 255."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0.5, 0.12, (size[0] // 4 + 1, size[1] // 4 + 1))
    smooth = np.kron(coarse, np.ones((4, 4)))[: size[0], : size[1]]
    values = np.clip(smooth + rng.normal(0.0, 0.025, size), 0.0, 1.0) * top
    return values.astype(np.uint8 if top < 256 else np.uint16)


def write_tiff(path: Path, pixels: np.ndarray, *, nm: float | None = None) -> Path:
    """Write a TIFF, with ImageJ's scale where `nm` is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if nm is None:
        tifffile.imwrite(path, pixels)
    else:
        about = {"unit": "um"}
        tifffile.imwrite(path, pixels, imagej=True, resolution=(1000 / nm, 1000 / nm), metadata=about)
    return path


def write_png(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def make() -> SimpleNamespace:
    """Give the functions that write files."""
    return SimpleNamespace(texture=texture, tiff=write_tiff, png=write_png)


@pytest.fixture
def sem(tmp_path: Path) -> Path:
    """Make a folder of six fields of two specimens with masks."""
    folder = tmp_path / "sem"
    for n in range(6):
        name = f"s{n % 2}_{'ab'[n // 3]}_{n}"
        write_tiff(folder / "images" / f"{name}.tif", texture(n))
        mask = np.zeros((96, 128), np.uint8)
        mask[20 + n : 60, 10:40] = 1
        mask[70:, :] = 2
        write_png(folder / "masks" / f"{name}.png", mask)
    return folder
