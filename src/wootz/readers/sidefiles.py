"""Side files: Tescan ``.hdr``, JEOL and Hitachi ``.txt`` beside the picture."""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path

from wootz.readers.text import decode

_SUFFIXES = (".hdr", ".txt")
_MAX_BYTES = 1 << 20  # a side file holds a few kB of text; a large .txt is something else


class SideNames:
    """Names of the side files in each folder, listed once, for those who read many files of a folder."""

    def __init__(self) -> None:
        self._of_folder: dict[str, frozenset[str]] = {}

    def beside(self, path: Path) -> frozenset[str] | None:
        """Give the names beside `path`, as `side_text` compares them; None if they cannot be listed."""
        folder = str(path.parent)
        if folder not in self._of_folder:
            try:
                names = [_compared(name) for name in os.listdir(folder)]  # noqa: PTH208 - names alone
            except OSError:
                return None
            self._of_folder[folder] = frozenset(name for name in names if name.endswith(_SUFFIXES))
        return self._of_folder[folder]


def side_text(path: Path, suffix: str, *, names: frozenset[str] | None = None) -> tuple[str, str]:
    """Name and text of the side file of `path` with `suffix`; two empty strings where there is none.

    Looked for, in this order: ``name.suffix``, ``name-tif.suffix`` (Tescan), ``name.tif.suffix``; the
    suffix in lower, upper and title case. Only those in `names` are asked for, where that is given. Without
    it the folder is not listed: it may hold a million files.
    """
    extension = path.suffix.lstrip(".")
    stems = (path.stem, f"{path.stem}-{extension}", path.name)
    folder = os.path.join(path.parent, "")  # noqa: PTH118 - 27 names a picture: text is 4 times as fast as Path
    for stem in stems:
        for case in (suffix, suffix.upper(), suffix.capitalize()):
            name = f"{stem}.{case}"
            if names is not None and _compared(name) not in names:
                continue
            try:
                status = os.stat(folder + name)  # noqa: PTH116
                if name != path.name and stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_BYTES:
                    return name, decode(path.with_name(name).read_bytes())
            except (OSError, ValueError):  # ValueError: a name that no file can have
                continue
    return "", ""


def _compared(name: str) -> str:
    """Name in one case and one form: a file system may know a file under others of both."""
    return unicodedata.normalize("NFC", name).casefold()
