"""Clusters as an expert edited them, and what is shown of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wootz.explore.state import State

ROLES = ("medoid", "outlier", "borderline")
BLOCK = 65_536


def group_codes(
    state: State, actor: str, fingerprint: str, *, numbers: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Give the group of each tile.

    Parameters
    ----------
    state : State
        Its first rows are those of `numbers`.
    actor : str
    fingerprint : str
        Of the clustering.
    numbers : (N,) int
        As clustered; -1 for no cluster.

    Returns
    -------
    codes : (N,) int32
        Into `keys`; -1 for no group.
    keys : list of str
        The number of a cluster as text, or the key that a split gave; groups without tiles are left out.
        Clusters come first, by number; then groups in the order of their making.
    """
    n_base = int(numbers.max(initial=-1)) + 1
    words = [str(k) for k in range(n_base)]
    codes = numbers.astype(np.int64)
    expert = state.experts.get(actor)
    slots = expert.groups.get(fingerprint) if expert is not None else None
    if slots is not None:
        place = {word: i for i, word in enumerate(words)}
        for word in slots.values[1:]:
            place.setdefault(word, len(place))
        words = list(place)
        to = np.array([-1, *(place[word] for word in slots.values[1:])])
        said = slots.codes(len(numbers))
        codes = np.where(said > 0, to[said], codes)
    used = np.zeros(len(words), bool)
    used[codes[codes >= 0]] = True
    new = np.where(used, np.cumsum(used) - 1, -1)
    keys = [word for word, is_used in zip(words, used.tolist(), strict=True) if is_used]
    return np.where(codes >= 0, new[codes], -1).astype(np.int32), keys


def group_names(state: State, keys: Sequence[str]) -> list[str]:
    """Name groups for people: "Cluster 3", and "Cluster 3A" for the first part of its split.

    Parts of what was no group are "Split A", "Split B", ...
    """
    of = {
        part["group"]: (action.record.get("of") or "", i)
        for action in state.actions
        if action.op == "split"
        for i, part in enumerate(action.record["parts"])
    }

    def name(key: str) -> str:
        letters, seen = "", set()
        while key in of and key not in seen:
            seen.add(key)
            key, i = of[key]
            letters = (chr(ord("A") + i) if i < 26 else str(i)) + letters
        return f"Cluster {key}{letters}" if key else f"Split {letters}"

    return [name(key) for key in keys]


def exemplars(
    features: np.ndarray, codes: np.ndarray, *, n_each: int, images: np.ndarray
) -> list[dict[str, list[int]]]:
    """Choose the tiles that show what each group is, what does not belong, and where it ends.

    Distances are those between rows scaled to length one; a group is compared by its mean.

    Parameters
    ----------
    features : (N, D) float32
    codes : (N,) int
        0 ... K - 1, or -1 for no group.
    n_each : int
        Tiles per group and role; no tile has two roles, and small groups show fewer.
    images : (N,) int
        Image of each tile: a second tile of an image comes only after one of every image.

    Returns
    -------
    list of dict
        For each group, rows by role: ``medoid`` (nearest to the mean), ``outlier`` (farthest from it) and
        ``borderline`` (next to another mean).
    """
    own, margin = _distances(features, codes)
    chosen = []
    for rows in rows_by_code(codes):
        n = min(n_each, max(1, len(rows) // len(ROLES)))
        keys = {"medoid": own[rows], "outlier": -own[rows], "borderline": margin[rows]}
        free = np.ones(len(rows), bool)
        found: dict[str, list[int]] = {}
        for role in ROLES:
            ordered = np.flatnonzero(free)[np.argsort(keys[role][free], kind="stable")]
            picked = _one_per_image(ordered, images[rows], n)
            free[picked] = False
            found[role] = rows[picked].tolist()
        chosen.append(found)
    return chosen


def exemplars_of_sample(
    features: np.ndarray, codes: np.ndarray, *, n_each: int, images: np.ndarray, n_seen: int
) -> list[dict[str, list[int]]]:
    """Choose `exemplars` among `n_seen` random tiles of each group, or all of a smaller one.

    For so many tiles that going through all features takes longer than a person waits.
    """
    rng = np.random.default_rng(0)
    seen = [rng.permutation(rows)[:n_seen] for rows in rows_by_code(codes)]
    rows = np.sort(np.concatenate(seen)) if seen else np.zeros(0, np.int64)
    options = {"n_each": n_each, "images": images[rows]}
    found = exemplars(np.asarray(features[rows]), codes[rows], **options)
    return [{role: rows[picked].tolist() for role, picked in group.items()} for group in found]


def rows_by_code(codes: np.ndarray) -> list[np.ndarray]:
    """List the rows of each code 0 ... K - 1, in row order."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes[codes >= 0]) if (codes >= 0).any() else np.zeros(0, int)
    first = int((codes < 0).sum())
    return np.split(order[first:], np.cumsum(counts)[:-1]) if len(counts) else []


def spread(
    codes: np.ndarray, columns: Mapping[str, tuple[np.ndarray, Sequence[str]]], *, n_shown: int
) -> list[dict[str, Any]]:
    """Count, for each group, the commonest values of some columns.

    Parameters
    ----------
    codes : (N,) int
        Groups, 0 ... K - 1, or -1 for none.
    columns : mapping
        Name to (numbers, words): (N,) int32 into a list of words.
    n_shown : int
        Values shown of each column.

    Returns
    -------
    list of dict
        By column, a list of (value, tiles); columns with one value are left out.
    """
    shown: list[dict[str, Any]] = [{} for _ in rows_by_code(codes)]
    for name, (at, words) in columns.items():
        if len(words) < 2:
            continue
        for found, rows in zip(shown, rows_by_code(codes), strict=True):
            counts = np.bincount(at[rows], minlength=len(words))
            top = np.argsort(-counts, kind="stable")[:n_shown]
            found[name] = [(str(words[i]) or "unknown", int(counts[i])) for i in top if counts[i]]
    return shown


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Scale rows to length one, (n, D) float32; a row of zeros stays."""
    rows = np.asarray(features, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _distances(features: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure the squared distance to the mean of the own group, and how much farther the next mean is."""
    from scipy.sparse import csr_matrix

    n_groups = int(codes.max(initial=-1)) + 1
    means = np.zeros((max(n_groups, 1), features.shape[1]), np.float32)
    for start in range(0, len(codes), BLOCK):
        part = codes[start : start + BLOCK]
        rows = unit_rows(features[start : start + BLOCK])
        inside = np.flatnonzero(part >= 0)
        ones = np.ones(len(inside), np.float32)
        means += csr_matrix((ones, (part[inside], inside)), shape=(len(means), len(rows))) @ rows
    means /= np.maximum(np.bincount(codes[codes >= 0], minlength=len(means)), 1)[:, None]
    own, margin = np.zeros(len(codes), np.float32), np.full(len(codes), np.inf, np.float32)
    squared = (means**2).sum(axis=1)
    for start in range(0, len(codes), BLOCK):
        part = np.maximum(codes[start : start + BLOCK], 0)
        at = np.arange(len(part))
        away = 1 + squared - 2 * unit_rows(features[start : start + BLOCK]) @ means.T
        own[start : start + BLOCK] = away[at, part]
        if len(means) > 1:
            away[at, part] = np.inf
            margin[start : start + BLOCK] = away.min(axis=1) - own[start : start + BLOCK]
    return own, margin


def _one_per_image(ordered: np.ndarray, images: np.ndarray, n: int) -> list[int]:
    """Take the first `n` positions, an image again only when every image has had its turn."""
    turn: dict[int, int] = {}
    ranked = []
    for rank, position in enumerate(ordered[: 50 * n].tolist()):
        image = int(images[position])
        turn[image] = turn.get(image, -1) + 1
        ranked.append((turn[image], rank, position))
    return [position for _, _, position in sorted(ranked)[:n]]
