"""Groups that features were standardised by, for tiles that came later."""

from typing import Any

import numpy as np

from wootz.clustering.coding import code_factor
from wootz.clustering.shortcut_factors import raw_factors
from wootz.errors import WootzError
from wootz.factors import Factor


def groups_of_new(tiles: Any, names: str, *, n_members: int, groups: np.ndarray) -> np.ndarray:
    """Give tiles that came later the number of the group that they belong to.

    Parameters
    ----------
    tiles : TileSet
        The members of a clustering first, then the new tiles.
    names : str
        What the members were standardised by, see `wootz.clustering.shortcut_factors.group_tiles`.
    n_members : int
    groups : (n_members,) int
        Groups of the members.

    Returns
    -------
    (N - n_members,) int
        -1 for a tile of no known group, e.g. of a new instrument.

    Raises
    ------
    WootzError
        If the members' groups come out differently now: their metadata have changed.
    """
    codes = [_codes_like(factor, n_members) for factor in raw_factors(tiles, names)]
    old, new = (np.stack(part) for part in zip(*codes, strict=True))
    combinations, again = np.unique(old, axis=1, return_inverse=True)
    if not np.array_equal(again.ravel(), groups):
        raise WootzError(
            f"the clustered tiles were standardised by {names}, which has changed in the archive since; "
            "cluster again."
        )
    numbers = {tuple(column): number for number, column in enumerate(combinations.T.tolist())}
    return np.array([numbers.get(tuple(column), -1) for column in new.T.tolist()], np.int64)


def _codes_like(factor: Factor, n_members: int) -> tuple[np.ndarray, np.ndarray]:
    """Code the members' values, and the others' values as the nearest member below has it."""
    known = factor.is_known
    coded = code_factor(
        Factor(factor.name, factor.values[:n_members], known[:n_members], factor.unit, factor.is_log)
    )
    new = np.full(len(known) - n_members, -1)
    given, has = factor.values[n_members:], known[n_members:]
    values, first = np.unique(factor.values[:n_members][known[:n_members]], return_index=True)
    codes = coded.codes[known[:n_members]][first]
    at = np.clip(np.searchsorted(values, given[has], side="right") - 1, 0, None)
    found = codes[at]
    if coded.numbers is None:  # classes, or few different numbers: another one is a group of its own
        found = np.where(values[at] == given[has], found, -1)
    new[has] = found
    return coded.codes, new
