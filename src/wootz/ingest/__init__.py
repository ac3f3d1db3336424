"""Files and folders into an archive: ``wootz ingest`` and ``wootz.ingest.ingest``."""

from typing import TYPE_CHECKING, Any

from wootz.ingest.config import IngestConfig

if TYPE_CHECKING:
    from wootz.ingest.pipeline import ingest
    from wootz.ingest.report import IngestReport

__all__ = ["IngestConfig", "IngestReport", "ingest"]


def __getattr__(name: str) -> Any:
    # pandas, tifffile and the archive load with the first ingest, not with `wootz ingest --help`
    match name:
        case "ingest":
            from wootz.ingest.pipeline import ingest

            return ingest
        case "IngestReport":
            from wootz.ingest.report import IngestReport

            return IngestReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
