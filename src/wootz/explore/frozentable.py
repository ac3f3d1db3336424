"""What a copy of the explorer holds beside pictures: tiles, labels and cards, by its own row numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wootz.explore.desk import Desk
from wootz.explore.notes import page_notes
from wootz.explore.points import unpack
from wootz.plotting import scale_bar, square_pixel_size_nm

WHERE = ("row", "col", "height", "width")
SIZE = ("pixel_size_row_nm", "pixel_size_col_nm")


@dataclass(frozen=True)
class Table:
    """Tiles of a copy.

    kept : (M,) int64, ascending rows of the archive.
    order : (M,) int64, rows of the copy, those whose pictures matter most first.
    image : (M,) int32, number of the image of each tile in the copy.
    about : header for the page.
    arrays : by name, row-aligned with `kept`.
    """

    kept: np.ndarray
    order: np.ndarray
    image: np.ndarray
    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


def frozen_table(desk: Desk, who: str, *, n_max: int, rng: np.random.Generator) -> Table:
    """Gather what the page asks a server for, once.

    Parameters
    ----------
    desk : Desk
    who : str
        Whose labels and clusters; "" for nobody's.
    n_max : int
        Tiles that are taken; of more, those on the cards and a random sample of the others.
    rng : numpy Generator
    """
    state, said = desk.state_of(who)
    cards, agreement = desk.cards(who), desk.agreement()
    _, points = unpack(desk.points())
    must = _shown_first(cards, state["classes"])
    kept = sampled(len(said["group"]), must, n_max=n_max, rng=rng)
    place = np.full(len(said["group"]), -1, np.int64)
    place[kept] = np.arange(len(kept))
    arrays = {name: values[kept] for name, values in (points | said).items()}
    frame = desk.workspace.tiles.columns(["tile_id", "image_id", *WHERE]).iloc[kept]
    images, first, image = np.unique(frame["image_id"].to_numpy(str), return_index=True, return_inverse=True)
    arrays |= {name: frame[name].to_numpy(np.int32) for name in WHERE}
    arrays["image"] = image.reshape(-1).astype(np.int32)
    counts = np.bincount(arrays["group"][arrays["group"] >= 0], minlength=len(cards))
    agreement = _agreement(agreement, place)
    notes = page_notes(desk.workspace, actor=who) if who else []
    notes = [note | {"rows": mapped(note["rows"], place)} for note in notes]
    about = {
        "state": state | _classes(state["classes"], place) | {"undo": "", "redo": "", "notes": notes},
        "cards": [
            card | {"n": int(n), "tiles": {k: mapped(v, place) for k, v in card["tiles"].items()}}
            for card, n in zip(cards, counts.tolist(), strict=True)
        ],
        "agreement": agreement,
        "images": _images(desk, kept[first]),
        "tile_ids": "\n".join(frame["tile_id"].astype(str)),
    }
    first_shown = mapped([*must, *kept[agreement["disputed"]].tolist()], place)
    order = picture_order(first_shown, arrays["group"], arrays["verdict"], rng=rng)
    return Table(kept, order, arrays["image"], about | {"n_images": len(images)}, arrays)


def sampled(n: int, must: Sequence[int], *, n_max: int, rng: np.random.Generator) -> np.ndarray:
    """Choose at most `n_max` of `n` rows, ascending: first those of `must`, then random others."""
    if n <= n_max:
        return np.arange(n)
    first = np.array(list(dict.fromkeys(must))[:n_max], np.int64)
    others = np.setdiff1d(np.arange(n), first, assume_unique=True)
    return np.sort(np.concatenate([first, rng.choice(others, n_max - len(first), replace=False)]))


def picture_order(
    must: Sequence[int], groups: np.ndarray, verdicts: np.ndarray, *, rng: np.random.Generator
) -> np.ndarray:
    """Order rows by how much their pictures matter.

    First `must`, then one tile of each combination of cluster and verdict in turn, in random order: the
    rarest are there in full before the largest have many.

    Parameters
    ----------
    must : sequence of int
    groups, verdicts : (M,) int
    rng : numpy Generator

    Returns
    -------
    (M,) int64
        Each row once.
    """
    shuffled = rng.permutation(len(groups))
    cells = np.unique(np.stack([groups, verdicts])[:, shuffled], axis=1, return_inverse=True)[1].reshape(-1)
    by_cell = np.argsort(cells, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(cells))])
    turn = np.empty(len(cells), np.int64)
    turn[by_cell] = np.arange(len(cells)) - starts[cells[by_cell]]
    in_turn = shuffled[np.argsort(turn, kind="stable")]
    return np.fromiter(dict.fromkeys([*must, *in_turn.tolist()]), np.int64)


def mapped(rows: Sequence[int], place: np.ndarray) -> list[int]:
    """Give the numbers that rows have in the copy; those that are not in it are left out."""
    found = place[np.asarray(rows, np.int64)]
    return found[found >= 0].tolist()


def _shown_first(cards: Sequence[dict[str, Any]], classes: Sequence[dict[str, Any]]) -> list[int]:
    on_cards = [row for card in cards for rows in card["tiles"].values() for row in rows]
    return on_cards + [row for about in classes for row in about["examples"]]


def _classes(classes: Sequence[dict[str, Any]], place: np.ndarray) -> dict[str, Any]:
    return {"classes": [about | {"examples": mapped(about["examples"], place)} for about in classes]}


def _agreement(found: dict[str, Any], place: np.ndarray) -> dict[str, Any]:
    """Give the rows of an agreement the numbers of the copy; counts and kappas stay those of the archive."""

    def pair(about: dict[str, Any]) -> dict[str, Any]:
        return about | {"rows": mapped(about["rows"], place)}

    said = {int(place[row]): words for row, words in found["said"].items() if place[row] >= 0}
    rows = {name: mapped(found[name], place) for name in ("disputed", "open")}
    everybody = pair(found["all"]) if found["all"] else None
    return found | {"pairs": [pair(p) for p in found["pairs"]], "all": everybody, "said": said} | rows


def _images(desk: Desk, rows: np.ndarray) -> list[dict[str, Any]]:
    """Describe the image of each row: facts, pixel size, and a scale bar for a tile of it."""
    frame = desk.workspace.tiles.columns(["width", *SIZE]).iloc[rows]
    found = []
    for facts, width, *size in zip(desk.facts(rows.tolist()), *frame.to_numpy(float).T, strict=True):
        bar_px, label = scale_bar(width, (size[0], size[1]))
        about = {"facts": facts, "bar_px": bar_px, "bar_label": label}
        found.append(about | {"pixel_size_nm": square_pixel_size_nm((size[0], size[1]))})
    return found
