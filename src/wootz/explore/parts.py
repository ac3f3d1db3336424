"""A group in parts, for the page to show as cards: nothing is written until a person acts on one."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from wootz.explore.actions import ActionError
from wootz.explore.groups import exemplars, rows_by_code, spread
from wootz.explore.likeness import taken_apart
from wootz.explore.points import pack
from wootz.explore.smallgroups import SmallGroups, load_small_groups
from wootz.explore.workspace import Workspace

PARTS_MAX, APART_MAX = 60, 20
N_EXEMPLARS = 5


class Parts:
    """Takes the groups of a workspace apart.

    Parameters
    ----------
    workspace : Workspace
    images : (N,) int
        Image of each tile.
    spread_by : mapping
        Columns whose values are counted for each part: see `wootz.explore.groups.spread`.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        images: np.ndarray,
        spread_by: Mapping[str, tuple[np.ndarray, Sequence[str]]],
    ) -> None:
        self._workspace = workspace
        self._images = images
        self._spread_by = spread_by

    @cached_property
    def _small(self) -> SmallGroups | None:
        """Read when it is first asked for: a session may never do."""
        workspace = self._workspace
        return load_small_groups(list(workspace.clusters.folders), workspace.tiles.tile_ids)

    def of(self, expert: str, group: str, *, n_parts: int) -> bytes:
        """Take a group apart, along the tree of the clustering or, where there is none, by its features.

        Parameters
        ----------
        expert : str
            Whose group, as edited.
        group : str
            Its key.
        n_parts : int
            As many parts, or as there are; 60 at most, and 20 of features.

        Returns
        -------
        bytes
            Packed: ``by`` ("tree" or "features"), ``most`` parts that there can be, and a card of each part,
            largest first; rows of the group and the part of each.

        Raises
        ------
        ActionError
            If there is no such group, or neither a tree nor features to take it apart by.
        """
        codes, keys = self._workspace.groups(expert)
        if group not in keys:
            raise ActionError(f"there is no cluster {group!r} any more.")
        rows = np.flatnonzero(codes == keys.index(group))
        by, most, part, nodes = self._apart(rows, max(n_parts, 2))
        about = {"group": group, "by": by, "most": most, "cards": self._cards(rows, part, nodes)}
        return pack(about, {"rows": rows.astype(np.int32), "part": part.astype(np.int32)})

    def _apart(self, rows: np.ndarray, n_parts: int) -> tuple[str, int, np.ndarray, np.ndarray]:
        """Give what it was taken apart by, the most parts there can be, each row's part, each part's key."""
        features = self._workspace.clusters.features
        if self._small is not None:
            most = len(np.unique(self._small.groups[rows]))
            if most > 1 or features is None:
                return "tree", min(most, PARTS_MAX), *self._small.parts(rows, n_parts=min(n_parts, PARTS_MAX))
        if features is None:
            raise ActionError(
                "this needs an embedding of all tiles (`wootz embed`), or the small groups that "
                "`wootz cluster` leaves with method=graph."
            )
        most = min(len(rows), APART_MAX)
        part = np.zeros(len(rows), np.int64)
        if most > 1:
            for i, some in enumerate(taken_apart(features, rows, n_parts=min(n_parts, most), seed=0)):
                part[np.searchsorted(rows, some)] = i
        names = np.array([f"by features {i}" for i in range(int(part.max(initial=0)) + 1)])
        return "features", most, part, names

    def _cards(self, rows: np.ndarray, part: np.ndarray, nodes: np.ndarray) -> list[dict[str, Any]]:
        images, features = self._images[rows], self._workspace.clusters.features
        groups = rows_by_code(part)
        if features is not None:
            shown = [
                tiles["medoid"]
                for tiles in exemplars(features[rows], part, n_each=N_EXEMPLARS, images=images)
            ]
        else:
            shown = [some[:: max(1, len(some) // N_EXEMPLARS)][:N_EXEMPLARS].tolist() for some in groups]
        columns = {name: (at[rows], words) for name, (at, words) in self._spread_by.items()}
        where = spread(part, columns, n_shown=5)
        return [
            {"key": str(node), "n": len(some), "n_images": len(np.unique(images[some])), "spread": values}
            | {"tiles": {"medoid": rows[tiles].tolist()}, "badges": [], "stability": None}
            for node, some, tiles, values in zip(nodes.tolist(), groups, shown, where, strict=True)
        ]
