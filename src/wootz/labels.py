"""Masks that people drew: found beside their images, read and checked before they count as labels."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wootz.errors import WootzError

IGNORE = 255
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".npy", ".jpg", ".jpeg")
_LOSSY = (".jpg", ".jpeg")


def read_mask(path: Path, *, threshold: int | None = None, classes: pd.DataFrame | None = None) -> np.ndarray:
    """Read a mask as class numbers.

    Parameters
    ----------
    path : Path
        PNG, TIFF, BMP or ``.npy`` of class numbers (grey levels or palette indices), or a picture in the
        classes' colours; JPEG only with `threshold`, since its values blur.
    threshold : int, optional
        In grey levels: values above it are 1, the others 0.
    classes : DataFrame, optional
        From `read_classes`; needed for coloured masks.

    Returns
    -------
    (H, W) uint8
        255 means not labelled.

    Raises
    ------
    WootzError
        If the file cannot be read, is lossy, holds other colours than the classes', or values that are no
        class numbers.
    """
    if path.suffix.lower() in _LOSSY and threshold is None:
        raise WootzError(
            f"{path} is a JPEG, which blurs class numbers; export the mask as PNG, or, for a black-and-white "
            "one, give mask_threshold=127."
        )
    values = _one_channel(_read_values(path), path, classes=classes)
    if threshold is not None:
        return (values > threshold).astype(np.uint8)
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > IGNORE:
        raise WootzError(
            f"{path}: class numbers must be 0 ... 254, and 255 for not labelled; {values.dtype} is not."
        )
    return values.astype(np.uint8)


def check_values(mask: np.ndarray, class_ids: Collection[int], *, path: Path) -> None:
    """Raise `WootzError`, naming the values, if a mask holds numbers that are no class.

    Parameters
    ----------
    mask : (H, W) uint8
    class_ids : collection of int
        Allowed beside 255.
    path : Path
        Named in the message.
    """
    present = np.flatnonzero(np.bincount(mask.reshape(-1), minlength=256))
    strange = [int(v) for v in present if v != IGNORE and v not in class_ids]
    if strange:
        known = ", ".join(map(str, sorted(class_ids)))
        shown = ", ".join(map(str, strange[:10])) + (" ..." if len(strange) > 10 else "")
        hint = "add them to classes="
        if set(present.tolist()) == {0, IGNORE} or len(present) > 20:
            hint = "for a black-and-white mask give mask_threshold=127"
        raise WootzError(
            f"{path} holds the values {shown}, which are not in the class list ({known}); {hint}."
        )


def fit_mask(
    mask: np.ndarray, size: tuple[int, int], *, bar: slice | None, mask_path: Path, image_path: Path
) -> np.ndarray:
    """Cut a mask as its image was cut.

    Parameters
    ----------
    mask : (H, W) uint8
        As large as the field, or as the whole file with its info bar.
    size : (int, int)
        Rows and columns of the field, px.
    bar : slice or None
        Rows of the file that were cut off as info bar.
    mask_path, image_path : Path
        Named in the message.

    Returns
    -------
    (size) uint8

    Raises
    ------
    WootzError
        If the mask fits neither; the message gives both sizes.
    """
    if mask.shape == size:
        return mask
    n_bar = 0 if bar is None else bar.stop - bar.start
    if bar is not None and mask.shape == (size[0] + n_bar, size[1]):
        return mask[: bar.start] if bar.start else mask[bar.stop :]
    cut = f" (and {n_bar} rows of info bar)" if n_bar else ""
    raise WootzError(
        f"the mask {mask_path} has {mask.shape[0]} x {mask.shape[1]} pixels (rows x columns), its image "
        f"{image_path} has {size[0]} x {size[1]}{cut}; export the mask at the size of the image."
    )


@dataclass(frozen=True)
class MaskFinder:
    """Knows where the mask of an image lies.

    Parameters
    ----------
    where : str
        A folder of files with the image's name (any suffix, or with ``_mask`` behind the stem), or a pattern
        with ``{stem}`` or ``{name}``; a relative one starts from the folder of the image.
    """

    where: str

    def __post_init__(self) -> None:
        folder = Path(self.where)
        if "{" not in self.where and not folder.is_dir():
            raise WootzError(
                f"masks={self.where}: no such folder; give a folder, or a pattern with {{stem}}."
            )
        if "{" in self.where and not re.search(r"\{(stem|name)\}", self.where):
            raise WootzError(f"masks={self.where}: the pattern needs {{stem}} or {{name}}.")

    def find(self, image_path: Path) -> Path | None:
        """Return the mask of an image, or None where there is none.

        Raises
        ------
        WootzError
            If several files could be it.
        """
        if "{" in self.where:
            filled = self.where.replace("{stem}", image_path.stem).replace("{name}", image_path.name)
            return _existing([image_path.parent / filled], image_path)
        folder = Path(self.where)
        for ending in ("", "_mask", "-mask"):
            names = [folder / f"{image_path.stem}{ending}{suffix}" for suffix in MASK_SUFFIXES]
            found = _existing(names, image_path)
            if found is not None:
                return found
        return None


def _existing(candidates: Sequence[Path], image_path: Path) -> Path | None:
    there = [path for path in candidates if path.is_file() and path.resolve() != image_path.resolve()]
    if len(there) > 1:
        raise WootzError(
            f"{image_path} has two masks, {there[0]} and {there[1]}; keep one, or give a pattern."
        )
    return there[0] if there else None


def _read_values(path: Path) -> np.ndarray:
    """Read whatever numbers a file holds; palette pictures give their indices."""
    import tifffile
    from PIL import Image

    try:
        match path.suffix.lower():
            case ".npy":
                return np.load(path, allow_pickle=False)
            case ".tif" | ".tiff":
                return tifffile.imread(path)
            case _:
                with Image.open(path) as picture:
                    return np.asarray(picture)
    except FileNotFoundError as error:
        raise WootzError(f"{path}: no such file.") from error
    except (ValueError, OSError, SyntaxError) as error:  # what numpy, tifffile and Pillow raise on damage
        raise WootzError(f"the mask {path} cannot be read ({error}); export it again.") from error


def _one_channel(values: np.ndarray, path: Path, *, classes: pd.DataFrame | None) -> np.ndarray:
    if values.ndim == 3 and values.shape[2] in (2, 4):
        values = values[..., :-1]
    if values.ndim == 3 and (values == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim == 2 and values.size:
        return values
    if values.ndim == 3 and values.shape[2] == 3 and values.dtype == np.uint8 and classes is not None:
        return _from_colours(values, path, classes)
    raise WootzError(
        f"the mask {path} is an array {values.shape} {values.dtype}; it must be one channel of class numbers."
    )


def _from_colours(rgb: np.ndarray, path: Path, classes: pd.DataFrame) -> np.ndarray:
    codes = (rgb.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=2, dtype=np.uint32)
    wanted = np.array([int(colour[1:], 16) for colour in classes["colour"]], np.uint32)
    present, index = np.unique(codes, return_inverse=True)
    strange = [f"#{code:06x}" for code in present if code not in wanted]
    if strange:
        raise WootzError(
            f"the mask {path} is coloured and holds {', '.join(strange[:5])}; write each class's colour into "
            "a classes.csv (id,name,colour), or export class numbers."
        )
    ids = classes["id"].to_numpy(np.uint8)
    return np.array([ids[np.flatnonzero(wanted == code)[0]] for code in present], np.uint8)[index].reshape(
        codes.shape
    )
