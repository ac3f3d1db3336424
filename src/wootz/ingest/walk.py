"""Find the image files under paths, in a fixed order, and leave masks and archives out."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wootz.errors import WootzError

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".dib")
MASK_FOLDERS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "instances", "ground_truth", "gt"}
)
IMAGE_FOLDERS = frozenset({"images", "image", "img", "imgs"})


@dataclass(frozen=True)
class Found:
    """An image file.

    Attributes
    ----------
    path : Path
        Absolute.
    set_name : str
        Name of the folder that holds the file (of its parent, where that is called images).
    rendered : Path or None
        The folder of `wootz render` that the file belongs to.
    """

    path: Path
    set_name: str
    rendered: Path | None = None


@dataclass(frozen=True)
class Walk:
    """What lies under the paths: image files in order, and folders that were passed over."""

    files: tuple[Found, ...]
    skipped_folders: tuple[Path, ...]


def find_images(paths: Sequence[Path], *, skip: Iterable[Path] = ()) -> Walk:
    """List the image files under files and folders.

    Parameters
    ----------
    paths : sequence of Path
        Files are taken whatever their suffix; folders are searched to the bottom, in alphabetical order,
        without hidden files, folders of masks and wootz archives.
    skip : iterable of Path
        More folders to pass over.

    Raises
    ------
    WootzError
        For a path that does not exist, no path at all, or no image under any of them.
    """
    if not paths:
        raise WootzError("nothing to ingest; give image files or folders after the archive.")
    passed_over: list[Path] = []
    skipped = {folder.resolve() for folder in skip}
    found: dict[Path, Found] = {}
    for given in paths:
        path = Path(os.path.abspath(given))  # noqa: PTH100 - resolve() would follow links and lose the name
        if path.is_dir():
            files = _of_folder(path, skipped=skipped, passed_over=passed_over)
        elif path.exists():
            files = iter([Found(path, _set_name(path.parent))])
        else:
            raise WootzError(f"{given}: no such file or folder.")
        for file in files:
            found.setdefault(file.path, file)
    if not found:
        raise WootzError(
            f"no image in {', '.join(str(p) for p in paths)}; files that end in {' '.join(SUFFIXES)} are "
            "read, hidden ones and folders of masks are not."
        )
    return Walk(tuple(found.values()), tuple(dict.fromkeys(passed_over)))


def is_rendered(folder: Path) -> bool:
    """Tell whether `wootz render` wrote this folder: images, masks, class list and truth."""
    return all((folder / name).is_dir() for name in ("images", "masks")) and all(
        (folder / name).is_file() for name in ("classes.csv", "truth.json")
    )


def _of_folder(root: Path, *, skipped: set[Path], passed_over: list[Path]) -> Iterator[Found]:
    for name, folders, files in os.walk(root):
        folder = Path(name)
        if is_rendered(folder):
            folders[:] = []
            images = sorted(p for p in (folder / "images").iterdir() if _is_image(p.name))
            yield from (Found(path, folder.name, folder) for path in images)
            continue
        kept = [f for f in sorted(folders) if not _is_skipped(folder / f, skipped)]
        passed_over += [folder / f for f in sorted(folders) if f not in kept and not f.startswith(".")]
        folders[:] = kept
        yield from (Found(folder / file, _set_name(folder)) for file in sorted(files) if _is_image(file))


def _set_name(folder: Path) -> str:
    return folder.parent.name if folder.name.lower() in IMAGE_FOLDERS else folder.name


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _is_skipped(folder: Path, skipped: set[Path]) -> bool:
    hidden = folder.name.startswith(".") or folder.name.lower() in MASK_FOLDERS
    is_archive = (folder / "manifest.json").is_file() and (folder / "pixels").is_dir()
    return hidden or is_archive or folder.resolve() in skipped
