"""Badges: a few words on a cluster that warn of what it may be made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wootz.clustering.survey import MAX_P, Survey
from wootz.factors import BRIGHTNESS, EDGE, ON_BAR, PLACE
from wootz.tables import records

MIN_SHARE = 0.8
MIN_EXCESS = 0.75
MIN_SHIFT_SD = 1.5
ALL = 0.995


@dataclass(frozen=True)
class Badge:
    """A warning on a cluster.

    Parameters
    ----------
    cluster : int
    factor : str
    text : str
        For reading, e.g. ``"96 % from one image"``.
    share, base : float or None
        Share of the value in the cluster and among all tiles.
    shift_sd : float or None
        Mean of a number against all other tiles, in their standard deviations.
    p : float
        Of as much by chance in any cluster and any factor.
    """

    cluster: int
    factor: str
    text: str
    share: float | None
    base: float | None
    shift_sd: float | None
    p: float


def badges(survey: Survey, *, names: Mapping[str, str] | None = None) -> list[Badge]:
    """Give badges to the clusters that differ from all others, and by much.

    Parameters
    ----------
    survey : Survey
    names : mapping, optional
        What to write for an image.

    Returns
    -------
    list of Badge
        By cluster. A value is named where it makes up at least 80 % of a cluster and at least three quarters
        of what it lacked to all of it among all tiles; a number where its mean lies at least 1.5 standard
        deviations off; both only where chance gives as much in any cluster and factor at most one time in 20.
    """
    rows = survey.clusters[survey.clusters["is_enough"].astype(bool)]
    given = [_badge(row, names or {}) for row in records(rows)]
    found = [badge for badge in given if badge is not None]
    return sorted(found, key=lambda badge: (badge.cluster, badge.p, badge.factor))


def _badge(row: Mapping[str, Any], names: Mapping[str, str]) -> Badge | None:
    share, base, factor = row["share"], row["base"], row["factor"]
    shift, p_shift = row.get("shift_sd", np.nan), row.get("p_shift", np.nan)  # NaN for classes
    if abs(shift) >= MIN_SHIFT_SD and p_shift <= MAX_P:
        return Badge(row["cluster"], factor, _shift_words(factor, shift), None, None, shift, p_shift)
    is_large = share >= MIN_SHARE and share - base >= MIN_EXCESS * (1 - base) > 0
    if is_large and row["p"] <= MAX_P:
        return Badge(row["cluster"], factor, _share_words(row, names), share, base, None, row["p"])
    return None


def _shift_words(factor: str, shift: float) -> str:
    name = "brightness" if factor == BRIGHTNESS else factor
    return f"{name} {abs(shift):.1f} sd {'above' if shift > 0 else 'below'} the rest"


def _share_words(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    share, factor, top = row["share"], str(row["factor"]), str(row["top"])
    is_it = top == "yes"
    words = {
        "image": "from one image" + (f" ({names[top]})" if top in names else ""),
        "real or rendered": top,
        EDGE: f"{'at' if is_it else 'away from'} the image edge",
        PLACE: f"at the {top} of the image",
        ON_BAR: f"{'on' if is_it else 'off'} an info bar",
        "info bar in the file": f"from files {'with' if is_it else 'without'} an info bar",
        "bit depth": f"of {top} bits",
        BRIGHTNESS: f"of one brightness ({top})",
    }
    words |= {name: f"from {name} {top}" for name in ("specimen", "set", "instrument", "detector")}
    much = "all" if share >= ALL else f"{100 * share:.0f} %"
    return f"{much} {words.get(factor, f'at one {factor} ({top})')}"
