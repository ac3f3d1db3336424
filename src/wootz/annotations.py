"""Class schemes, masks and maps: what people drew on images and what networks predicted."""

import re
from typing import Any

import numpy as np
import pandas as pd

from wootz import storage
from wootz.errors import ArchiveError
from wootz.manifest import now
from wootz.store import Store
from wootz.tables import ROLES, conform, records

IGNORE = 255
KINDS = ("annotation", "prediction")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ +@=-]*")


def check_name(name: str, *, what: str) -> None:
    """Raise `ArchiveError` unless a name can also be the name of a folder on every system."""
    if not NAME.fullmatch(name) or name != name.strip(" .") or len(name) > 100:
        raise ArchiveError(
            f"{name!r} cannot name a {what}; use letters, digits, spaces and . _ + @ = - (at most 100)."
        )


def add_classes(store: Store, scheme: str, classes: pd.DataFrame) -> None:
    """Store the classes of a scheme in place of those stored before (see `Archive.add_classes`)."""
    check_name(scheme, what="scheme")
    given = classes.copy()
    if "role" not in given:
        given["role"] = "phase"
    frame = conform("classes", given.assign(scheme=scheme))
    problem = _class_problem(frame)
    if problem:
        raise ArchiveError(f"the classes of scheme {scheme!r}: {problem}.")
    with store.transaction() as transaction:
        old = store.table("classes")
        frame = pd.concat([old[old["scheme"] != scheme], frame], ignore_index=True)
        transaction.replace_table("classes", frame)


def classes(store: Store, scheme: str) -> pd.DataFrame:
    """List the classes of a scheme, by number."""
    frame = store.table("classes")
    there = sorted(frame["scheme"].unique())
    if scheme not in there:
        raise ArchiveError(f"{store.root} has no scheme {scheme!r}; it has: {', '.join(there) or 'none'}.")
    return frame[frame["scheme"] == scheme].sort_values("id", ignore_index=True)


def add_mask(store: Store, image: dict[str, Any], mask: np.ndarray, **about: str) -> None:
    """Store one mask as PNG (see `Archive.add_mask`); `about` holds scheme, source, kind and run."""
    import imagecodecs

    mask = np.asarray(mask)
    check_mask(mask, image)
    check_name(about["scheme"], what="scheme")
    if about["kind"] not in KINDS:
        raise ArchiveError(f"kind={about['kind']!r} is not known; choose one of {', '.join(KINDS)}.")
    present = np.flatnonzero(np.bincount(mask.reshape(-1), minlength=IGNORE + 1))
    facts = {
        "image_id": image["image_id"],
        "classes_drawn": " ".join(str(v) for v in present if v != IGNORE),
        "has_ignore": bool(IGNORE in present),
        "when": now(),
    }
    mask = np.ascontiguousarray(mask, np.uint8)
    with store.transaction() as transaction:
        path = transaction.new_path(f"masks/{about['scheme']}/{about['kind']}", image["image_id"], ".png")
        record = transaction.record(
            path, storage.write_bytes(path, bytes(imagecodecs.png_encode(mask, level=3)))
        )
        row = pd.DataFrame([facts | about | record])
        _replace_rows(store, transaction, "masks", row, same=("image_id", "scheme", "kind", "source"))


def load_mask(
    store: Store, image: dict[str, Any], *, scheme: str, kind: str, source: str | None
) -> np.ndarray:
    """Read the newest mask that fits (see `Archive.mask`)."""
    import imagecodecs

    frame = store.table("masks")
    fits = (frame["image_id"] == image["image_id"]) & (frame["scheme"] == scheme) & (frame["kind"] == kind)
    if source is not None:
        fits &= frame["source"] == source
    if not fits.any():
        raise ArchiveError(
            f"no {kind} of scheme {scheme!r} on image {image['image_id']} ({image['file']})"
            + (f" by {source!r}" if source is not None else "")
            + "; see archive.annotations and archive.predictions for what there is."
        )
    data = store.read_file(frame[fits].iloc[-1].to_dict())
    mask = np.asarray(imagecodecs.png_decode(data), np.uint8)
    check_mask(mask, image)
    return mask


def masks(store: Store, kind: str) -> pd.DataFrame:
    """List the masks of one kind."""
    frame = store.table("masks")
    return frame[frame["kind"] == kind].drop(columns=["kind"]).reset_index(drop=True)


def add_map(store: Store, image: dict[str, Any], values: np.ndarray, *, name: str, run: str) -> None:
    """Store a float32 map of one image (see `Archive.add_map`)."""
    check_name(name, what="map")
    values = np.asarray(values, np.float32)
    size = (image["height_px"], image["width_px"])
    if values.shape != size or not np.isfinite(values).all():
        raise ArchiveError(
            f"the map {name!r} of {image['file']} is {values.shape} and must be {size}, without NaN."
        )
    with store.transaction() as transaction:
        path = transaction.new_path(f"maps/{name}", image["image_id"], ".npy")
        record = transaction.record(path, storage.write_npy(path, values))
        row = pd.DataFrame(
            [{"image_id": image["image_id"], "name": name, "run": run, "when": now()} | record]
        )
        _replace_rows(store, transaction, "maps", row, same=("image_id", "name"))


def load_map(store: Store, image: dict[str, Any], name: str) -> np.ndarray:
    """Read a map of one image, (H, W) float32."""
    import io

    frame = store.table("maps")
    fits = (frame["image_id"] == image["image_id"]) & (frame["name"] == name)
    if not fits.any():
        there = ", ".join(sorted(frame["name"].unique())) or "none"
        raise ArchiveError(f"no map {name!r} of image {image['image_id']}; the archive has: {there}.")
    return np.load(io.BytesIO(store.read_file(frame[fits].iloc[-1].to_dict())), allow_pickle=False)


def check_mask(mask: np.ndarray, image: dict[str, Any]) -> None:
    """Raise `ArchiveError` unless a mask is (H, W) whole numbers in 0 ... 255 of the size of its image."""
    size = (int(image["height_px"]), int(image["width_px"]))
    if mask.shape != size:
        raise ArchiveError(
            f"the mask for {image['file']} is {mask.shape} and the image {size} (rows, columns, without info "
            "bar); give a mask of the same size, cut like the image."
        )
    if mask.dtype.kind not in "iub" or (mask.dtype != np.uint8 and (mask.min() < 0 or mask.max() > IGNORE)):
        raise ArchiveError(
            f"the mask for {image['file']} must hold whole class numbers 0 ... 254 and 255 for not labelled, "
            f"not {mask.dtype}."
        )


def _replace_rows(
    store: Store, transaction: Any, table: str, row: pd.DataFrame, *, same: tuple[str, ...]
) -> None:
    """Append a row and drop the one that it stands for, with its file."""
    old = store.table(table)
    stale = np.ones(len(old), bool)
    for column in same:
        stale &= (old[column] == row[column].iloc[0]).to_numpy()
    if not stale.any():
        transaction.append_table(table, row)
        return
    for file in old.loc[stale, "file"]:
        transaction.drop(file)
    transaction.replace_table(table, pd.concat([old[~stale], conform(table, row)], ignore_index=True))


def _class_problem(frame: pd.DataFrame) -> str:
    if not len(frame):
        return "there are none"
    if not frame["id"].is_unique or frame["id"].min() < 0 or frame["id"].max() >= IGNORE:
        return "ids must be unique, 0 ... 254 (255 means not labelled)"
    if not frame["name"].is_unique or (frame["name"] == "").any():
        return "names must be unique and not empty"
    parents = {"", *frame["name"], *(str(i) for i in frame["id"])}
    for row in records(frame):
        problem = ""
        if row["colour"] and not COLOUR.fullmatch(row["colour"]):
            problem = f"the colour {row['colour']!r} of {row['name']!r} is not of the form #rrggbb"
        elif row["role"] not in ROLES:
            problem = f"the role {row['role']!r} of {row['name']!r} is not one of {', '.join(ROLES)}"
        elif row["parent"] not in parents:
            problem = f"the parent {row['parent']!r} of {row['name']!r} is no class of the scheme"
        if problem:
            return problem
    return ""
