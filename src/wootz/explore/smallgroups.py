"""A cluster in smaller parts: the small groups that the clustering joined, joined again as far as wanted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

GROUPS, MEMBERS = "small_groups.npz", "members.parquet"


@dataclass(frozen=True)
class SmallGroups:
    """What ``wootz cluster`` left of the groups that its clusters were joined from.

    groups : (N,) int32
        Small group of each tile, 0 ... n_groups - 1; -1 for a tile that was not clustered.
    linkage : (n_groups - 1, 2) int64
        The two that each step joined; what step i made has the number ``n_groups + i``.
    """

    groups: np.ndarray
    linkage: np.ndarray

    def parts(self, rows: np.ndarray, *, n_parts: int) -> tuple[np.ndarray, np.ndarray]:
        """Put some tiles into parts: see `joined`; tiles in no small group are a part of their own.

        Parameters
        ----------
        rows : (n,) int
        n_parts : int, >= 1

        Returns
        -------
        part : (n,) int32
            Largest part first.
        nodes : (n_found,) int64
            Number of each part in the tree, the same for the same part at any `n_parts`; -1 for the rest.
        """
        small = self.groups[rows]
        present = np.unique(small[small >= 0])
        node_of = np.full(len(self.linkage) + 2, -1, np.int64)  # the last entry is for -1
        node_of[present] = joined(self.linkage, present, n_parts=max(n_parts - bool((small < 0).any()), 1))
        nodes, part, counts = np.unique(node_of[small], return_inverse=True, return_counts=True)
        order = np.lexsort((nodes, -counts))
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order))
        return place[part.reshape(-1)], nodes[order]


def joined(linkage: np.ndarray, present: np.ndarray, *, n_parts: int) -> np.ndarray:
    """Join some of the groups of a tree, in the order of the tree, until so many parts are left.

    Parameters
    ----------
    linkage : (n_groups - 1, 2) int
        See `SmallGroups`; a forest with fewer rows will do.
    present : (m,) int
        Different groups; the others count as empty, so that a step that meets an empty one joins nothing.
    n_parts : int, >= 1

    Returns
    -------
    (m,) int64
        Number of the node that each group is in: its own, or that of the last step that joined its part.
    """
    n_groups = len(linkage) + 1
    held: dict[int, list[int]] = {int(group): [i] for i, group in enumerate(present)}
    name = {int(group): int(group) for group in present}
    left = len(held)
    for step, (a, b) in enumerate(linkage.tolist()):
        if left <= n_parts:
            break
        node, of_a, of_b = n_groups + step, held.pop(a, []), held.pop(b, [])
        if not of_a and not of_b:
            continue
        name[node] = node if of_a and of_b else name[a if of_a else b]
        left -= bool(of_a and of_b)
        held[node] = of_a + of_b
    found = np.empty(len(present), np.int64)
    for node, members in held.items():
        found[members] = name[node]
    return found


def load_small_groups(folders: list[Path], tile_ids: np.ndarray) -> SmallGroups | None:
    """Read the small groups of the first run that left some; None where none did, or they cannot be read.

    Parameters
    ----------
    folders : list of Path
        Runs of one clustering, newest first.
    tile_ids : (N,) str
    """
    for folder in folders:
        try:
            with np.load(folder / GROUPS, allow_pickle=False) as arrays:
                groups, linkage = arrays["groups"], arrays["linkage"][:, :2].astype(np.int64)
            ids = pd.read_parquet(folder / MEMBERS, columns=["tile_id"])["tile_id"]
        except (OSError, ValueError, KeyError, IndexError):
            continue
        if len(ids) != len(groups) or not len(groups) or groups.max() > len(linkage):
            continue
        at = pd.Index(ids).get_indexer(pd.Index(tile_ids))
        return SmallGroups(np.where(at >= 0, groups[at], -1).astype(np.int32), linkage)
    return None
