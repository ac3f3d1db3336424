"""Public micrographs that studies run on: where their images and labels lie, and how each set is trained.

The folder is the user's own copy of the sets (docs/results/real-chain.md names the sources); wootz ships none
of them, because some licences do not allow it.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wootz.archive import Archive
from wootz.errors import WootzError
from wootz.ingest import IngestConfig, ingest

TILE_PX = 128
CROPS = {
    "crop_px": 224,
    "batch_size": 6,
    "steps": 700,
    "validate_every": 100,
    "intensity": 0.3,
    "plain_prob": 0.0,
}
"""Chosen on the val images of Super."""


@dataclass(frozen=True)
class MicrographSet:
    """One public set.

    Parameters
    ----------
    name : str
        Name of the set, of its folder, of its class scheme and of its entry in splits.json.
    labels : dict
        The options of `IngestConfig` that read its labels and names.
    downscale : int
        Fields are shrunk by this factor for the quick pick.
    segment : dict
        Options of `SegmentConfig` for wootz's own network on this set.
    layer, inside : str or None
        Class whose thickness is measured, and the class that counts as part of it.
    """

    name: str
    labels: dict[str, Any] = field(default_factory=dict)
    downscale: int = 1
    segment: dict[str, Any] = field(default_factory=dict)
    layer: str | None = None
    inside: str | None = None


SETS = (
    MicrographSet(
        "ebc",
        {
            "masks": "../masks/{stem}.png",
            "classes": "0:background,1:oxide,2:crack",
            "pattern": "{specimen}_{field}",
        },
        downscale=2,
        segment={
            "downscale": 6,  # the layer is told by its place between coating and substrate: see all of it
            "crop_px": 160,
            "steps": 700,
            "lr": 2e-3,
            "intensity": 0.4,
            "flip_rows": False,
            "plain_prob": 0.0,
            "validate_every": 100,
        },
        layer="oxide",
        inside="crack",
    ),
    MicrographSet(
        "super",
        {
            "masks": "../masks/{stem}.png",
            "classes": "0:matrix,1:large precipitate,2:small precipitate",
            "pattern": "{specimen}_{orientation}_{field}",
        },
        segment=CROPS,
    ),
    MicrographSet(
        "b2",
        {"masks": "../masks/{stem}.png", "classes": "0:matrix,1:precipitate"},
        segment=CROPS | {"intensity": 0.1, "zoom": 1.3},  # phases a few grey levels apart
    ),
    MicrographSet(
        "metaldam",
        {
            "masks": "../masks/{stem}.png",
            "classes": "0:matrix,1:austenite,2:martensite-austenite,3:precipitate,4:defect",
        },
    ),
    MicrographSet(
        "spheroidite",
        {
            "masks": "../annotations/{stem}.png",
            "mask_threshold": 127,
            "classes": "0:matrix,1:particle",
        },
    ),
    MicrographSet(
        "powder",
        {"via": "annotations/via_powder_particle_masks_training.json", "classes": "0:background,1:Powder"},
    ),
)

NEU = MicrographSet("neu", {"pattern": "{specimen}_{n}"})
"""Surface defects under light, one a tile, whose class is the first part of the file's name: no masks."""


def find_set(name: str) -> MicrographSet:
    """Return a set by its name."""
    for item in (*SETS, NEU):
        if item.name == name:
            return item
    raise WootzError(f"no set {name!r}; choose one of {', '.join(s.name for s in (*SETS, NEU))}.")


def check_data(data: str) -> None:
    """Check, before a study makes its own folder, that the folder of the micrographs was given and is there.

    Raises
    ------
    WootzError
    """
    if not data:
        raise WootzError("this study runs on public micrographs; name their folder with data=FOLDER.")
    if not (Path(data) / "splits.json").is_file():
        raise WootzError(
            f"data={data} holds no splits.json; give the folder of the public micrographs "
            "(docs/results/real-chain.md lists the sources)."
        )


def ingest_sets(data: Path, archive: Path) -> Archive:
    """Ingest all sets with their labels and fixed splits into one archive; what is there is passed over.

    Raises
    ------
    WootzError
        If the folder or one of the sets is not there.
    """
    missing = [item.name for item in SETS if not (data / item.name).is_dir()]
    if missing:
        raise WootzError(
            f"{data} holds no folder {', '.join(missing)}; give the folder of the public micrographs with "
            "data=FOLDER (docs/results/real-chain.md lists the sources)."
        )
    for item in SETS:
        ingest_one(data, archive, item=item)
    return Archive(archive)


def ingest_one(
    data: Path, archive: Path, *, item: MicrographSet, tile_px: int = TILE_PX, stride_px: int | None = None
) -> Archive:
    """Ingest one set with its labels and fixed splits, by tiles side by side unless a stride is given.

    Raises
    ------
    WootzError
        If its folder is not there.
    """
    labels = dict(item.labels)
    if "via" in labels:
        labels["via"] = str(data / item.name / labels["via"])
    with_splits = json.loads((data / "splits.json").read_text())
    options = IngestConfig(
        set=item.name,
        scheme=item.name,
        tile_px=tile_px,
        stride_px=stride_px or tile_px,
        splits=str(data / "splits.json") if item.name in with_splits else "",
        **labels,
    )
    ingest(archive, [data / item.name / "images"], options)
    return Archive(archive)
