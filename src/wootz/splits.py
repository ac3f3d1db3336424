"""Train, validation and test by specimen or by image, never by tile.

Neighbouring tiles share grains, beam and brightness: a split by tile reports how well a network remembers a
field, not how well it reads a new one.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

NAMES = ("train", "val", "test")


def assign_splits(
    frame: pd.DataFrame,
    *,
    by: str = "specimen",
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    rng: np.random.Generator,
) -> pd.Series:
    """Draw a split for each image so that a group is never torn apart.

    Parameters
    ----------
    frame : DataFrame
        Images with ``image_id``, ``duplicate_of`` (may be absent) and, for ``by="specimen"``, ``specimen``.
        Duplicates follow their original.
    by : {"specimen", "image"}
        What stays together.
    fractions : 3 floats >= 0 with sum 1
        Share of the images that train, val and test should get. Groups are indivisible, so that the shares
        are met only approximately; with at least as many groups as wanted parts none of the parts is empty.
    rng : numpy Generator

    Returns
    -------
    Series of str
        "train", "val" or "test", with the index of `frame`.

    Raises
    ------
    ValueError
        If a specimen is missing, there are fewer groups than parts, or the fractions do not sum to 1.
    """
    shares = np.asarray(fractions, float)
    if shares.shape != (3,) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"fractions must be three numbers >= 0 with sum 1, not {tuple(fractions)}")
    groups = _groups(frame, by=by)
    names, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_parts = int((shares > 0).sum())
    if 0 < len(names) < n_parts:
        raise ValueError(
            f"{len(names)} {by}(s) cannot be split into {n_parts} parts without tearing one apart; give "
            "more, or set a fraction to 0."
        )
    parts = _fill(sizes, shares, rng=rng)
    return pd.Series(np.array(NAMES, dtype=object)[parts[inverse]], index=frame.index, name="split")


def _groups(frame: pd.DataFrame, *, by: str) -> np.ndarray:
    """Name the group of each image; a duplicate belongs to the group of its original."""
    match by:
        case "specimen":
            own = frame["specimen"].astype(str).to_numpy(dtype=object)
            if (own == "").any():
                file = frame.iloc[int(np.argmax(own == ""))].get("file", "an image")
                raise ValueError(
                    f"the specimen of {file} is not known; give metadata=table.csv or a file-name pattern at "
                    'ingest, or split by="image".'
                )
        case "image":
            own = frame["image_id"].astype(str).to_numpy(dtype=object)
        case _:
            raise ValueError(f'by={by!r} is not known; choose "specimen" or "image" (never by tile)')
    if "duplicate_of" not in frame:
        return own
    group = dict(zip(frame["image_id"], own, strict=True))
    parent = dict(zip(own, own, strict=True))
    for copy, original in zip(frame["image_id"], frame["duplicate_of"], strict=True):
        if original in group:  # copies of one image tie their specimens together
            parent[_root(parent, group[copy])] = _root(parent, group[original])
    return np.array([_root(parent, name) for name in own], dtype=object)


def _root(parent: dict[str, str], name: str) -> str:
    while parent[name] != name:
        name = parent[name]
    return name


def _fill(sizes: np.ndarray, shares: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Give groups in random order to the part that lacks most; each wanted part gets one group first."""
    order = rng.permutation(len(sizes))
    parts = np.zeros(len(sizes), np.int64)
    filled = np.zeros(3)
    wanted = shares * sizes.sum()
    open_parts = [int(p) for p in np.argsort(-shares, kind="stable") if shares[p] > 0]
    for rank, group in enumerate(order):
        part = open_parts[rank] if rank < len(open_parts) else int(np.argmax(wanted - filled))
        parts[group] = part
        filled[part] += sizes[group]
    return parts
