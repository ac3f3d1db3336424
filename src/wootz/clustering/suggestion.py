"""From the table of evidence to a number of clusters with its reasons, or to "no stable clusters"."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

STABLE = 0.75
"""Mean best Jaccard from which clusters are called stable: Hennig 2007, doi 10.1016/j.csda.2006.11.025."""
ABOVE_NOISE = 0.1
GAP_MIN = math.log(1.5)
GAP_FRAC = 0.5


@dataclass(frozen=True)
class Suggestion:
    """How many clusters the evidence speaks for.

    Parameters
    ----------
    n_clusters : int
        1 where there are no stable clusters.
    reasons : tuple of str
        Sentences, the result first.
    others : tuple of int
        Other numbers with a gap in the tree, that are worth a look.
    """

    n_clusters: int
    reasons: tuple[str, ...]
    others: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """All reasons in one paragraph."""
        return " ".join(self.reasons)


def suggest(cuts: pd.DataFrame) -> Suggestion:
    """Choose the finest cut that is stable and lies in a clear gap of the merge tree.

    Parameters
    ----------
    cuts : DataFrame
        ``n_clusters, gap, share_joined, share_next, stability, seed_agreement, gap_noise, stability_noise``,
        as in `wootz.clustering.evidence.Evidence`.

    Notes
    -----
    A number can be chosen if its clusters come back in subsamples (mean Jaccard at least 0.75, and 0.1 more
    than in structureless features) and the link share falls at its cut by a factor of 1.5 and by more than
    anywhere in the tree of structureless features. Of these, all with at least half the largest gap are
    serious; the finest is taken, because an expert merges two clusters faster than one is taken apart.
    """
    noise = cuts.stability_noise.fillna(0)
    steady = (cuts.stability >= STABLE) & (cuts.stability >= noise + ABOVE_NOISE)
    parted = (cuts.gap >= GAP_MIN) & (cuts.gap > cuts.gap_noise)
    chosen = cuts[steady & parted]
    if chosen.empty:
        return _none(cuts, steady=steady.to_numpy(bool), parted=parted.to_numpy(bool))
    serious = chosen[chosen.gap >= GAP_FRAC * chosen.gap.max()]
    row = serious.iloc[int(np.argmax(serious.n_clusters))]
    others = tuple(int(k) for k in chosen.n_clusters if int(k) != int(row.n_clusters))
    return Suggestion(int(row.n_clusters), tuple(_reasons(row, others)), others)


def _reasons(row: pd.Series, others: tuple[int, ...]) -> list[str]:
    step = (
        f"Joining any two of them would put groups together that share at most {row.share_next:.1%} of their "
        f"links, while each was completed at a share of at least {row.share_joined:.1%}: a step of "
        f"{math.exp(row.gap):.1f} (in structureless features at most {math.exp(row.gap_noise):.1f})."
    )
    back = (
        f"They come back in subsamples of 80 % with a mean Jaccard of {row.stability:.2f} "
        f"(structureless {_or_none(row.stability_noise)}), and from other seeds with an adjusted Rand index "
        f"of {row.seed_agreement:.2f}."
    )
    also = [f"Also worth a look: {', '.join(map(str, others))}."] if others else []
    return [f"{int(row.n_clusters)} clusters.", step, back, *also]


def _none(cuts: pd.DataFrame, *, steady: np.ndarray, parted: np.ndarray) -> Suggestion:
    best = cuts.iloc[int(np.argmax(cuts.stability.to_numpy()))]
    reasons = ["No stable clusters."]
    if not parted.any():
        reasons.append(_no_gap(cuts))
    if not steady.any():
        reasons.append(
            f"None comes back in subsamples: the best mean Jaccard is {best.stability:.2f}, with "
            f"{int(best.n_clusters)} clusters ({STABLE} counts as stable; structureless features give "
            f"{_or_none(best.stability_noise)})."
        )
    elif not parted.any():
        known = ", ".join(str(int(k)) for k in cuts.n_clusters[steady])
        reasons.append(f"Cuts into {known} clusters do come back, as slices of one cloud can.")
    if steady.any() and parted.any():
        reasons.append("The numbers in a gap of the merge tree and those that come back are not the same.")
    reasons.append("To sort the tiles all the same, give method.n_clusters and treat the result as slices.")
    return Suggestion(1, tuple(reasons))


def _no_gap(cuts: pd.DataFrame) -> str:
    known = cuts[cuts.gap.notna()]
    if known.empty:
        return "The merge tree starts from so few groups that no step of it could be measured."
    widest = known.iloc[int(np.argmax(known.gap.to_numpy()))]
    return (
        f"No number of clusters lies in a gap of the merge tree: the largest step, at "
        f"{int(widest.n_clusters)}, is {math.exp(widest.gap):.2f}; structureless features give up to "
        f"{math.exp(widest.gap_noise):.2f}, and 1.5 is the least that counts."
    )


def _or_none(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "none"
