"""Files that are no image or are damaged: one wording, one place that meets foreign exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wootz.errors import ReadError, WootzError

SIGNATURES = {
    b"II*\x00": "tiff", b"MM\x00*": "tiff", b"II+\x00": "tiff", b"MM\x00+": "tiff",
    b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"BM": "bmp",
}  # fmt: skip
_STRANGERS = {
    b"\x89HDF": "an HDF5 file (.emd, .h5oina?)",
    b"\x00\x00\x00\x03": "a DigitalMicrograph file (.dm3?)",
    b"\x00\x00\x00\x04": "a DigitalMicrograph file (.dm4?)",
    b"GIF8": "a GIF",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive",
}
COPY_AGAIN = "Copy it again from the microscope or export it anew."


def kind_of(path: Path) -> str:
    """Tell ``tiff``, ``png``, ``jpeg`` or ``bmp`` by the first bytes of a file, whatever its name says.

    Raises
    ------
    ReadError
        Where there is no such file, or it is a folder, empty, or something else.
    """
    if path.is_dir():
        raise ReadError(
            f"{path} is a folder; name an image file in it, or give the folder to `wootz ingest`."
        )
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise ReadError(f"{path} does not exist; check the name and the folder.") from None
    except OSError as error:
        raise ReadError(f"{path} cannot be opened ({error.strerror or error}).") from error
    if not start:
        raise ReadError(f"{path} is empty (0 bytes). {COPY_AGAIN}")
    for signature, kind in SIGNATURES.items():
        if start.startswith(signature):
            return kind
    strangers = (name for sign, name in _STRANGERS.items() if start.startswith(sign))
    what = next(strangers, "of another kind")
    raise ReadError(
        f"{path} is no TIFF, PNG, JPEG or BMP, whatever its name says; it seems to be {what}. "
        "Export the picture as TIFF or PNG from the program that wrote it."
    )


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged bytes into a ReadError that names the file."""
    try:
        yield
    except WootzError:
        raise
    except MemoryError as error:
        raise ReadError(
            f"{path} does not fit into memory; read it with wootz.readers.read_window or iter_row_blocks."
        ) from error
    except Exception as error:  # on damaged bytes tifffile, imagecodecs and Pillow raise nearly anything
        reason = str(error).splitlines()[0][:200] if str(error) else "no reason given"
        raise ReadError(
            f"{path} is damaged and cannot be decoded ({type(error).__name__}: {reason}). {COPY_AGAIN}"
        ) from error
