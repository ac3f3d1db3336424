"""Cards of an archive's clusters: tiles, spread and badges brought together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.badges import Badge
from wootz.clustering.cards import Card, CardTile
from wootz.clustering.exemplars import ROLES
from wootz.clustering.montage import read_chosen, tile_row
from wootz.clustering.truth import Agreement

SPREAD = ("specimen", "condition", "step", "instrument", "magnification", "set")
MAX_VALUES = 6


def build_cards(
    tiles: Any,
    chosen: pd.DataFrame,
    *,
    labels: np.ndarray,
    badges: Sequence[Badge] = (),
    against: Agreement | None = None,
    heats: Mapping[int, np.ndarray] | None = None,
    stability: Sequence[float] | np.ndarray | None = None,
) -> list[Card]:
    """Bring together what is shown of each cluster.

    Parameters
    ----------
    tiles : TileSet
        Row-aligned with `labels`.
    chosen : DataFrame
        Out of `prototypes`.
    labels : (N,) int
        Negative is no cluster.
    badges : sequence of Badge
    against : Agreement, optional
        With the known classes.
    heats : mapping, optional
        Occlusion maps by row; see `medoid_maps`.
    stability : (K,) float, optional
        Of each cluster.

    Returns
    -------
    list of Card
        By cluster number.
    """
    pictures = read_chosen(tiles, chosen)
    frame = tiles.columns(["image_id", *SPREAD])
    names = tiles.tile_ids
    spread = {name: _known(frame[name]) for name in SPREAD if name in frame}
    spread = {name: values for name, values in spread.items() if values[values != ""].nunique() > 1}
    cards = []
    for cluster in np.unique(labels[labels >= 0]).tolist():
        inside = labels == cluster
        rows = {role: tile_row(pictures, chosen, cluster=cluster, role=role) for role in ROLES}
        known = against is not None and cluster in against.table.index
        counts = against.table.loc[cluster].sort_values(ascending=False) if known and against else None
        cards.append(
            Card(
                cluster=int(cluster),
                n=int(inside.sum()),
                share=float(inside.mean()),
                tiles={
                    role: [CardTile(names[row], shown, (heats or {}).get(row)) for row, shown in found]
                    for role, found in rows.items()
                },
                spread={name: _shares(values, inside) for name, values in spread.items()},
                badges=[badge.text for badge in badges if badge.cluster == cluster],
                classes=[] if counts is None else [(str(k), int(n)) for k, n in counts.items() if n],
                stability=_measured(stability, cluster),
                n_images=int(frame["image_id"][inside].nunique()),
            )
        )
    return cards


def _measured(stability: Sequence[float] | np.ndarray | None, cluster: int) -> float | None:
    value = np.nan if stability is None else float(stability[cluster])
    return value if np.isfinite(value) else None


def _known(column: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(column.dtype):
        return column.map(lambda value: "" if pd.isna(value) else f"{value:.4g}")
    return column.fillna("").astype(str)


def _shares(values: pd.Series, inside: np.ndarray) -> list[tuple[str, int, float, float]]:
    """List the commonest values in a cluster with their shares in it and among all tiles."""
    own, every = values[inside].value_counts(), values.value_counts().to_dict()
    names, counts = own.index.astype(str).tolist()[:MAX_VALUES], own.to_numpy()[:MAX_VALUES].tolist()
    return [
        (name or "not known", n, n / int(inside.sum()), every[name] / len(values))
        for name, n in zip(names, counts, strict=True)
    ]
