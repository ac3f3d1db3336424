"""``wootz report``: one self-contained HTML page from whatever the archive holds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wootz.options import option

if TYPE_CHECKING:
    import pandas as pd

    from wootz.archive import Archive


@dataclass
class ReportConfig:
    """Options of ``wootz report``."""

    title: str = option("", "title of the page; empty: the name of the archive's folder")


@dataclass(frozen=True)
class Section:
    """One block of the report.

    title : heading; may be empty inside a part.
    html : trusted HTML, put in as it is.
    table : shown with its column names; numbers are rounded to four digits.
    figure : a picture file, or a list of them; put into the page as PNG.
    uris : pictures that are data URIs already.
    note : one or two sentences in plain text under the heading.
    folded : whether the block opens on a click.
    """

    title: str
    html: str = ""
    table: "pd.DataFrame | None" = None
    figure: Path | Sequence[Path] | None = None
    uris: Sequence[str] = ()
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Part:
    """A chapter of the report; `missing` is the command that makes it where there is nothing yet."""

    anchor: str
    title: str
    blocks: list[Section] = field(default_factory=list)
    missing: str = ""
    about: str = ""


def build_report(
    archive: "Archive", out: str | Path, *, title: str = "", extra: Sequence[Section] = ()
) -> Path:
    """Write the report of an archive as one HTML file that opens offline.

    The result and its uncertainty come first, then the evidence: overlays, scores, clusters, curves, fields,
    and the settings of every run. Parts that do not exist yet name the command that makes them.

    Parameters
    ----------
    archive : Archive
    out : str or Path
        The file to write; its folder is made.
    title : str
        Title of the page.
    extra : sequence of Section
        Shown after the result.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ArchiveError
        If the disk is full.
    """
    import jinja2

    from wootz import __version__
    from wootz.apps import report_parts as parts
    from wootz.apps.report_measured import measurements
    from wootz.manifest import now
    from wootz.storage import write_bytes

    loader = jinja2.PackageLoader("wootz.apps", "")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    chapters = [
        *([Part("more", "Against the truth", list(extra))] if extra else []),
        measurements(archive),
        parts.segmentation(archive),
        parts.anomaly(archive),
        parts.clusters(archive),
        parts.pretraining(archive),
        parts.fields(archive),
        parts.computations(archive),
    ]
    page = environment.get_template("report.html.j2").render(
        title=title or archive.path.name,
        cards=parts.cards(archive),
        facts=parts.facts(archive),
        parts=[_rendered(part) for part in chapters],
        version=__version__,
        made=now()[:16].replace("T", " "),
    )
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, page.encode())
    return path


def _rendered(part: Part) -> dict[str, Any]:
    return {
        "anchor": part.anchor,
        "title": part.title,
        "missing": part.missing,
        "about": part.about,
        "blocks": [_block(block) for block in part.blocks],
    }


def _block(section: Section) -> dict[str, Any]:
    """Plain values for the template: pictures read, numbers worded."""
    from markupsafe import Markup

    from wootz.apps.report_pictures import picture

    match section.figure:
        case None:
            files: list[Path] = []
        case str() | Path():
            files = [Path(section.figure)]
        case _:
            files = [Path(file) for file in section.figure]
    uris = [*section.uris, *(picture(file) for file in files if file.is_file())]
    return {
        "title": section.title,
        "note": section.note,
        "html": Markup(section.html),
        "folded": section.folded,
        "uris": uris,
        "table": None if section.table is None else _table(section.table),
    }


def _table(frame: "pd.DataFrame") -> dict[str, Any]:
    columns = [str(name) for name in frame.columns]
    rows = [[_worded(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    numeric = [all(_is_number(value) for value in frame[name]) for name in frame.columns]
    return {"columns": columns, "rows": rows, "numeric": numeric}


def _is_number(value: Any) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)) or hasattr(value, "dtype")


def _worded(value: Any) -> str:
    import pandas as pd

    match value:
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case None:
            return ""
    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
