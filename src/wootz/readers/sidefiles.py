"""Side files: Tescan ``.hdr``, JEOL and Hitachi ``.txt`` beside the picture."""

from __future__ import annotations

from pathlib import Path

from wootz.readers.text import decode

_MAX_BYTES = 1 << 20  # a side file holds a few kB of text; a large .txt is something else


def side_text(path: Path, suffix: str) -> tuple[str, str]:
    """Name and text of the side file of `path` with `suffix`; two empty strings where there is none.

    Looked for, in this order: ``name.suffix``, ``name-tif.suffix`` (Tescan), ``name.tif.suffix``; the
    suffix in lower, upper and title case. The folder is not listed: it may hold a million files.
    """
    extension = path.suffix.lstrip(".")
    stems = (path.stem, f"{path.stem}-{extension}", path.name)
    for stem in stems:
        for case in (suffix, suffix.upper(), suffix.capitalize()):
            found = path.with_name(f"{stem}.{case}")
            try:
                if found != path and found.is_file() and found.stat().st_size <= _MAX_BYTES:
                    return found.name, decode(found.read_bytes())
            except OSError:
                continue
    return "", ""
