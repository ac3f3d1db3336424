"""How often each tile is drawn: sources balanced, real and rendered tiles mixed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wootz.errors import WootzError
from wootz.ssl.sampling_options import SamplingConfig

ORIGIN = "origin"
RENDERED = "rendered"


@dataclass(frozen=True)
class Sampling:
    """Shares of the tiles in an epoch.

    Attributes
    ----------
    strata : (N,) int
        Number of the source of each tile. Tiles of one stratum have equal shares.
    shares : (N,) float64
        Part of an epoch's draws that each tile gets, positive, of sum 1.
    """

    strata: np.ndarray
    shares: np.ndarray


def source_shares(sources: np.ndarray, *, gamma: float) -> np.ndarray:
    """Compute the share of each tile when a tile of a source of n tiles counts ``n^-gamma``.

    Parameters
    ----------
    sources : (N,) int or str
        Source of each tile.
    gamma : float in [0, 1]

    Returns
    -------
    (N,) float64
        Of sum 1.

    Notes
    -----
    A source of n tiles then gets a share proportional to ``n^(1 - gamma)``.

    References
    ----------
    Conrad & Narayan 2023, doi:10.1016/j.cels.2022.12.006 (CEM1.5M), with gamma = 0.5.
    """
    _, which, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = counts[which].astype(np.float64) ** -gamma
    return weights / weights.sum()


def mixed_shares(shares: np.ndarray, is_synthetic: np.ndarray, *, synthetic_frac: float) -> np.ndarray:
    """Scale shares so that rendered tiles get `synthetic_frac` of an epoch, and real ones the rest.

    Parameters
    ----------
    shares : (N,) float
    is_synthetic : (N,) bool
        Both kinds must be there.
    synthetic_frac : float in (0, 1)
    """
    rendered, real = shares[is_synthetic].sum(), shares[~is_synthetic].sum()
    if not is_synthetic.any() or is_synthetic.all():
        raise ValueError("mixing needs real and rendered tiles")
    return shares * np.where(is_synthetic, synthetic_frac / rendered, (1 - synthetic_frac) / real)


def draw_rows(sampling: Sampling, n_draws: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw the tiles of an epoch.

    Parameters
    ----------
    sampling : Sampling
    n_draws : int
    rng : numpy Generator

    Returns
    -------
    (n_draws,) int
        Row numbers in random order.

    Notes
    -----
    Systematic sampling along the tiles, sorted by source and shuffled within each: a tile that is due e times
    is drawn floor(e) or ceil(e) times, with mean e, and a source at most once more or less than it is due. So
    a tile comes twice only where its share of the draws exceeds one. Copies lie evenly apart, in other
    batches as far as there are enough, because a contrastive loss would push the two apart.

    References
    ----------
    Madow 1949, doi:10.1214/aoms/1177729988 (systematic sampling with unequal probabilities).
    """
    order = np.lexsort((rng.random(len(sampling.shares)), sampling.strata))
    due = np.cumsum(sampling.shares[order]) * n_draws
    due *= n_draws / due[-1]
    points = rng.random() + np.arange(n_draws)
    picked = order[np.minimum(np.searchsorted(due, points, side="right"), len(order) - 1)]
    tiles, copies = np.unique(picked, return_counts=True)
    copy = np.arange(n_draws) - np.repeat(np.cumsum(copies) - copies, copies)
    place = (copy + np.repeat(rng.random(len(tiles)), copies)) / np.repeat(copies, copies)
    return np.repeat(tiles, copies)[np.argsort(place, kind="stable")]


def plan_sampling(frame: pd.DataFrame, cfg: SamplingConfig) -> tuple[np.ndarray, Sampling | None]:
    """Decide from the columns of tiles which are drawn, and how often.

    Parameters
    ----------
    frame : DataFrame
        Tiles joined with their images (``TileSet.frame``).
    cfg : SamplingConfig

    Returns
    -------
    keep : (N,) bool
        Tiles that take part: all, or only the real or the rendered ones where the mixing ratio is 0 or 1.
    sampling : Sampling or None
        Of the tiles kept; None where each comes once.

    Raises
    ------
    WootzError
        If the column does not exist or is empty, or a kind of tiles that is asked for is missing.
    """
    is_synthetic = _is_synthetic(frame)
    keep = np.ones(len(frame), bool)
    if cfg.synthetic_frac is not None:
        _check_both_kinds(is_synthetic, cfg.synthetic_frac)
        if cfg.synthetic_frac in (0, 1):
            keep = is_synthetic == bool(cfg.synthetic_frac)
    mixes = cfg.synthetic_frac is not None and keep.all() and len(frame) > 0
    if not (cfg.balance or mixes):
        return keep, None
    sources = _sources(frame, cfg.balance)[keep]
    if mixes:
        sources = 2 * sources + is_synthetic
    shares = source_shares(sources, gamma=cfg.gamma if cfg.balance else 0.0)
    if mixes:
        assert cfg.synthetic_frac is not None
        shares = mixed_shares(shares, is_synthetic, synthetic_frac=cfg.synthetic_frac)
    return keep, Sampling(np.unique(sources, return_inverse=True)[1], shares)


def sampling_table(frame: pd.DataFrame, sampling: Sampling, *, balance: str) -> pd.DataFrame:
    """List the sources: ``source, origin, tiles, share, draws_per_tile`` in an epoch, largest share first."""
    names = frame[balance].astype(str) if balance else pd.Series("all", index=frame.index)
    kinds = np.where(_is_synthetic(frame), RENDERED, "real")
    table = pd.DataFrame({"source": names.to_numpy(), "origin": kinds, "share": sampling.shares})
    table = table.groupby(["source", "origin"], sort=False).share.agg(["size", "sum"]).reset_index()
    table = table.rename(columns={"size": "tiles", "sum": "share"})
    table["draws_per_tile"] = table.share * len(frame) / table.tiles
    return table.sort_values(["share", "source"], ascending=[False, True], ignore_index=True)


def _is_synthetic(frame: pd.DataFrame) -> np.ndarray:
    if ORIGIN not in frame:
        return np.zeros(len(frame), bool)
    return frame[ORIGIN].eq(RENDERED).to_numpy(bool)


def _sources(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Give each tile the number of its source; tiles whose source is unknown form one of their own."""
    if not column:
        return np.zeros(len(frame), int)
    if column not in frame:
        raise WootzError(
            f"sampling.balance={column!r}: the tiles have no such column; choose one of "
            f"{', '.join(sorted(map(str, frame.columns)))}."
        )
    codes = pd.factorize(frame[column].where(frame[column].astype(str) != ""))[0]
    if (codes < 0).all():
        raise WootzError(
            f"sampling.balance={column!r}: the column is empty; give it with metadata=table.csv or a pattern "
            "when you ingest, or choose another column, such as set or image_id."
        )
    return codes + 1


def _check_both_kinds(is_synthetic: np.ndarray, frac: float) -> None:
    if frac > 0 and not is_synthetic.any():
        raise WootzError(
            f"sampling.synthetic_frac={frac:g}, but no tile is rendered (column origin='rendered'); ingest a "
            "folder of `wootz render`, give the column in metadata=table.csv, or leave the option out."
        )
    if frac < 1 and is_synthetic.all():
        raise WootzError(
            f"sampling.synthetic_frac={frac:g}, but all tiles are rendered; ingest micrographs, or leave the "
            "option out."
        )
