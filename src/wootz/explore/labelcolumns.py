"""Labels of the log as tile columns, without opening the explorer."""

from collections.abc import Collection
from typing import Any

import numpy as np

from wootz.explore.consensus import CONSENSUS, opinions
from wootz.explore.state import BETWEEN, CLASS_PREFIX, State, replay


def write_label_columns(archive: Any) -> list[str]:
    """Write each person's labels, as the log has them now, into the tiles table.

    Parameters
    ----------
    archive : Archive

    Returns
    -------
    list of str
        The columns ``label_<person>``, and ``label_consensus`` where two people or more have judged: name of
        the class, "artefact", or "" where there is no verdict or it is "in between". None where nobody has
        said anything.
    """
    records = archive.log_records()
    if not records:
        return []
    tile_ids = archive.tiles().tile_ids
    state, known = replay(records, tile_ids=tile_ids), archive.tile_table.columns
    columns = label_columns(state, n=len(tile_ids), known=known)
    with archive.transaction():
        for name, values in columns.items():
            archive.set_tile_column(name, tile_ids, values)
    return list(columns)


def label_columns(state: State, *, n: int, known: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Give the labels of each voice: column name to (n,) object, of the first `n` rows of a state.

    That of the consensus also where the table has it already (`known`): people may have undone all since.
    """
    classes = {key: about["name"] for key, about in state.classes().items()}
    found = opinions(state, n=n)
    names = voices(state, n=n)
    if f"label_{CONSENSUS}" in known and CONSENSUS not in names:
        names.append(CONSENSUS)
    columns = {}
    for name in names:
        verdicts = state.experts[name].verdicts if name != CONSENSUS else None
        codes, words = (
            (found.verdicts(), found.words) if verdicts is None else (verdicts.codes(n), verdicts.values)
        )
        keys = [word.removeprefix(CLASS_PREFIX) for word in words]
        shown = ["" if key == BETWEEN else classes.get(key, key) for key in keys]
        columns[f"label_{name}"] = np.array(shown, object)[codes]
    return columns


def voices(state: State, *, n: int) -> list[str]:
    """Name all who have acted, and the consensus where two people or more have judged the first `n` rows."""
    people = [name for name in state.experts if name != CONSENSUS]
    several = len(opinions(state, n=n).people) > 1
    return people + ([CONSENSUS] if several or CONSENSUS in state.experts else [])
