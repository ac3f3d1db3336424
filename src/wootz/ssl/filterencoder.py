"""Features that nobody has to train: a filter bank over each field, mapped by a Gaussian kernel.

A choice of ``encoder=`` of `wootz embed`, beside networks. A sample of the archive sets the scale of the
features; it is kept in ``filters.npz`` of the run, and describes tiles that come later too.
"""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from wootz import intensity, storage
from wootz.encoders.files import INTENSITY
from wootz.errors import CheckpointError, WootzError
from wootz.progress import say, track
from wootz.ssl.filterbank import describe_windows
from wootz.ssl.kernelmap import KernelMap, fit_kernel_map

if TYPE_CHECKING:
    from wootz.archive import Archive
    from wootz.tiles import TileSet

FILTERS = "filters"
FILTERS_FILE = "filters.npz"
N_LANDMARKS = 256
FIT_IMAGES = 200
FIT_TILES = 50_000


def filtered_tiles(
    tiles: "TileSet", rows: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Describe tiles by the filters, an image at a time.

    Parameters
    ----------
    tiles : TileSet
    rows : (n,) int, optional
        Rows of the set; all by default.

    Yields
    ------
    rows : (m,) int64
        Of one image.
    features : (m, 80) float32
        See `describe_windows`, on the common scale of intensities.
    """
    archive = tiles.archive
    frame = tiles.columns(["image_id", "row", "col", "height", "width"])
    frame = frame if rows is None else frame.iloc[rows]
    for image_id, part in frame.groupby("image_id", sort=False):
        image = archive.image(str(image_id))
        scale = functools.partial(intensity.scale, low=image["intensity_low"], high=image["intensity_high"])
        windows = part[["row", "col", "height", "width"]].to_numpy(np.int64)
        field = archive.pixels.field(image)
        yield part.index.to_numpy(np.int64), describe_windows(field, windows, scale=scale)


def fit_filters(tiles: "TileSet", *, seed: int) -> KernelMap:
    """Fit the map from filters to features on a sample of an archive: at most 200 images and 50,000 tiles.

    Parameters
    ----------
    tiles : TileSet
    seed : int
        Of the sample and the landmarks.

    Returns
    -------
    KernelMap
        To 256 features, or as many as there are tiles.
    """
    rng = np.random.default_rng(seed)
    codes, images = tiles.columns(["image_id"])["image_id"].factorize()
    chosen = rng.permutation(len(images))[:FIT_IMAGES]
    rows = np.flatnonzero(np.isin(codes, chosen))
    rows = np.sort(rng.permutation(rows)[:FIT_TILES])
    parts = track(filtered_tiles(tiles, rows), title="filters, sample", total=len(chosen), unit="images")
    return fit_kernel_map(np.concatenate([part for _, part in parts]), rng=rng, n_landmarks=N_LANDMARKS)


def is_filters(archive: "Archive", choice: str) -> bool:
    """Say whether ``encoder=`` asks for filters: by that name, a ``filters.npz``, or a run that wrote one."""
    return (
        choice == FILTERS or choice.endswith(".npz") or (bool(choice) and _of_run(archive, choice).is_file())
    )


def find_filters(
    tiles: "TileSet", choice: str, *, name: str, seed: int, folder: Path
) -> tuple[KernelMap, dict[str, Any]]:
    """Load the map that a user names, or that the embedding was begun with; else fit one and keep it.

    Parameters
    ----------
    tiles : TileSet
    choice : str
        ``filters``, a file, or a run of the archive.
    name : str
        Of the embedding: where it exists, ``filters`` means the map that it was made with.
    seed : int
        Of a new map.
    folder : Path
        Of the run; receives ``filters.npz``.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged, or the map of the embedding is gone.
    """
    archive = tiles.archive
    file = None
    if choice != FILTERS:
        file = _of_run(archive, choice) if _of_run(archive, choice).is_file() else Path(choice)
    elif name in archive.embedding_names():
        about = archive.embedding_provenance(name)
        if about.get("method") != FILTERS:
            raise WootzError(f"the embedding {name!r} was made by {about.get('method')}; choose a new name.")
        file = _of_run(archive, str(about["run"]))
        if not file.is_file():
            raise CheckpointError(
                f"{file} is gone, by which the embedding {name!r} was made; give a copy of it with "
                "encoder=FILE, or embed all tiles anew with name=NEW."
            )
    if file is None:
        say("filters: looking at a sample of the tiles to set their scale")
    found = fit_filters(tiles, seed=seed) if file is None else load_map(file)
    save_map(folder / FILTERS_FILE, found)
    about = {"encoder": FILTERS, "method": FILTERS, "intensity": INTENSITY}
    return found, about | {"encoder_fingerprint": map_fingerprint(found)}


def save_map(path: Path, found: KernelMap) -> None:
    """Write a map to a file, atomically."""
    names = [field.name for field in fields(found)]
    storage.write_npz(
        path, {name: np.asarray(value) for name, value in zip(names, astuple(found), strict=True)}
    )


def load_map(path: Path) -> KernelMap:
    """Read a map.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or something else.
    """
    names = [field.name for field in fields(KernelMap)]
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays: dict[str, Any] = {name: content[name] for name in names}
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise CheckpointError(
            f"{path} is no filters.npz of a `wootz embed` run ({error}); give encoder=filters to make one."
        ) from error
    arrays["width"] = float(arrays["width"])
    return KernelMap(**arrays)


def map_fingerprint(found: KernelMap) -> str:
    """Return the SHA-256 of all that a map holds, 64 hexadecimal digits."""
    digest = hashlib.sha256(FILTERS.encode())
    for value in astuple(found):
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _of_run(archive: "Archive", run_id: str) -> Path:
    return archive.path / "runs" / run_id / FILTERS_FILE
