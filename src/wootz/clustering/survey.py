"""All that clusters could follow, factor by factor, corrected for looking at so many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wootz.clustering.association import Association, associate, associate_images
from wootz.clustering.coding import Coded
from wootz.clustering.counting import holm

MAX_P = 0.05
MIN_ADJUSTED = 0.1
IMAGE = "image"


@dataclass(frozen=True)
class Survey:
    """What clusters follow.

    Parameters
    ----------
    table : DataFrame
        One row a factor: ``factor, nmi, nmi_chance, adjusted, p, p_corrected, n, n_units, is_enough,
        follows`` (see `Association`; `p_corrected` for the number of factors by Holm's method). `follows`
        where ``p_corrected <= 0.05`` and ``adjusted >= 0.1``.
    clusters : DataFrame
        ``factor, is_enough`` and the columns of `Association.clusters`, for all factors; p-values there are
        corrected for clusters and for factors.
    """

    table: pd.DataFrame
    clusters: pd.DataFrame

    @property
    def followed(self) -> list[str]:
        """Names of the factors that clusters follow, strongest first."""
        rows = self.table[self.table["follows"].to_numpy(bool)]
        return rows.sort_values("adjusted", ascending=False)["factor"].tolist()


def survey_factors(
    labels: np.ndarray,
    factors: Sequence[Coded],
    *,
    images: np.ndarray,
    windows: np.ndarray,
    strata: np.ndarray,
    rng: np.random.Generator,
    n_permutations: int = 999,
) -> Survey:
    """Test what clusters follow.

    Parameters
    ----------
    labels : (N,) int
        Cluster of each tile, negative for none.
    factors : sequence of Coded
        N values each.
    images : (N,) int or str
        Image of each tile; it is tested too, beyond what `strata` tell.
    windows : (N, 4) int
        Row, column, height and width of each tile, px.
    strata : (N,) int
        What is known of each image; see `associate_images`.
    rng : numpy Generator
    n_permutations : int

    Returns
    -------
    Survey
        Without the factors of which only one value or cluster is left. One with a value of its own for each
        image is the image, and is left out too.
    """
    found = []
    options = {"rng": rng, "n_permutations": n_permutations}
    for coded in factors:
        if _is_image(coded, images):
            continue
        try:
            found.append(associate(labels, coded, images=images, **options))
        except ValueError:
            continue
    shares = []
    try:
        found.append(associate_images(labels, images, windows=windows, strata=strata, **options))
        alone = np.zeros(len(images), int)
        shares.append(associate_images(labels, images, windows=windows, strata=alone, **options))
    except ValueError:
        pass
    return _survey(found, shares)


def _is_image(coded: Coded, images: np.ndarray) -> bool:
    """Say whether knowing the factor is knowing the image, so that only the image is tested."""
    known = coded.codes >= 0
    pairs = pd.DataFrame({"code": coded.codes[known], "image": images[known]}).drop_duplicates()
    return coded.numbers is None and len(pairs) == pairs["code"].nunique() == pairs["image"].nunique()


def _survey(found: list[Association], shares: list[Association]) -> Survey:
    names = ("factor", "nmi", "nmi_chance", "adjusted", "p", "n", "n_units", "is_enough")
    table = pd.DataFrame([{name: getattr(a, name) for name in names} for a in found], columns=[*names])
    enough = table["is_enough"].to_numpy(bool)
    corrected = np.full(len(table), np.nan)
    corrected[enough] = holm(table["p"].to_numpy(float)[enough])
    table.insert(5, "p_corrected", corrected)
    table["follows"] = enough & (corrected <= MAX_P) & (table["adjusted"].to_numpy(float) >= MIN_ADJUSTED)
    # what share of a cluster one image has is a fact of its own, whatever else is known of the images
    named = [a for a in found if a.factor != IMAGE] + shares
    parts = [a.clusters.assign(factor=a.factor, is_enough=a.is_enough) for a in named]
    clusters = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"factor": [], "is_enough": []})
    for name in ("p", "p_shift"):
        if name in clusters:
            clusters[name] = np.minimum(clusters[name] * max(int(enough.sum()), 1), 1.0)
    return Survey(table, clusters)
