"""What standardising by a factor does to clusters: measured before and after, never assumed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from wootz.clustering.association import Association, associate, associate_images
from wootz.clustering.coding import Coded
from wootz.clustering.overlaps import overlap
from wootz.clustering.standardise import fit_standardisation
from wootz.clustering.survey import IMAGE, MAX_P, MIN_ADJUSTED
from wootz.clustering.truth import agreement
from wootz.errors import WootzError

N_PERMUTATIONS = 99
HALF = 0.5
MAX_LOSS = 0.02

Refit = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Remedy:
    """Clusters before and after features were standardised.

    Parameters
    ----------
    factor, by : str
        What clusters followed, and what features were standardised by.
    adjusted_before, adjusted_after, nmi_before, nmi_after : float
        Association with the factor; see `Association`.
    ari_before, ari_after : float or None
        Agreement with the known classes; None where there are none.
    moved : float
        Adjusted Rand index between the clusters before and after: 1 is the same.
    is_halved : bool
    keeps_classes : bool or None
        Whether agreement with the classes fell by at most 0.02.
    """

    factor: str
    by: str
    adjusted_before: float
    adjusted_after: float
    nmi_before: float
    nmi_after: float
    ari_before: float | None
    ari_after: float | None
    moved: float

    @property
    def is_halved(self) -> bool:
        """Whether the association fell to half of what it was, or less."""
        return self.adjusted_after <= HALF * self.adjusted_before

    @property
    def keeps_classes(self) -> bool | None:
        """Whether clusters agree with the classes as well as before, where classes are known."""
        if self.ari_before is None or self.ari_after is None:
            return None
        return self.ari_after >= self.ari_before - MAX_LOSS


def try_remedies(
    features: np.ndarray,
    followed: Sequence[Coded],
    *,
    labels: np.ndarray,
    refit: Refit,
    images: np.ndarray,
    windows: np.ndarray,
    strata: np.ndarray,
    rng: np.random.Generator,
    truth: np.ndarray | None = None,
) -> list[Remedy]:
    """Standardise by each factor, cluster again, and measure what it brings and what it costs.

    Parameters
    ----------
    features : (N, D) float32
        Before any preparation.
    followed : sequence of Coded
        Factors that clusters follow; one named ``"image"`` has the number of the image as code.
    labels : (N,) int
        Clusters without a remedy.
    refit : callable
        ``refit(features) -> (N,) int``: prepare and cluster as before, with the same options.
    images, windows, strata : (N,), (N, 4), (N,)
        As in `survey_factors`.
    rng : numpy Generator
    truth : (N,) str, optional
        Known class of each tile, "" where it is not known.

    Returns
    -------
    list of Remedy
        One for each factor and, for what differs within images, a second one by image. A factor that cannot
        be standardised by (too few tiles a group) has none.
    """
    by_image = Coded(IMAGE, np.unique(images, return_inverse=True)[1], ())
    after: dict[str, np.ndarray | None] = {}
    found = []
    for coded in followed:
        test = _tester(coded, images=images, windows=windows, strata=strata, rng=rng)
        before = test(labels)
        groupings = [coded] if coded.name == IMAGE or _is_constant(coded.codes, images) else [coded, by_image]
        for grouping in groupings:
            if grouping.name not in after:
                after[grouping.name] = _standardised(features, grouping.codes, refit)
            new = after[grouping.name]
            if new is not None and before is not None:
                names = (coded.name, grouping.name)
                found.append(_remedy(names, (labels, new), (before, test(new)), truth=truth))
    return found


def goes_with(truth: np.ndarray, coded: Coded, *, images: np.ndarray, rng: np.random.Generator) -> bool:
    """Say whether a factor goes with the known classes, so that taking one out takes the other along."""
    known = np.array([str(value) != "" for value in truth])
    classes = np.full(len(truth), -1)
    classes[known] = np.unique(truth[known].astype(str), return_inverse=True)[1]
    try:
        found = associate(classes, coded, images=images, rng=rng, n_permutations=199)
    except ValueError:
        return False
    return found.p <= MAX_P and found.adjusted >= MIN_ADJUSTED


def remedy_table(remedies: Sequence[Remedy]) -> pd.DataFrame:
    """Return one row a remedy, with `is_halved` and `keeps_classes`."""
    rows = [asdict(r) | {"is_halved": r.is_halved, "keeps_classes": r.keeps_classes} for r in remedies]
    return pd.DataFrame(rows)


def _tester(
    coded: Coded, *, images: np.ndarray, windows: np.ndarray, strata: np.ndarray, rng: np.random.Generator
) -> Callable[[np.ndarray], Association | None]:
    def test(labels: np.ndarray) -> Association | None:
        options = {"rng": rng, "n_permutations": N_PERMUTATIONS}
        try:
            if coded.name == IMAGE:
                return associate_images(labels, images, windows=windows, strata=strata, **options)
            return associate(labels, coded, images=images, **options)
        except ValueError:  # one cluster is left
            return None

    return test


def _standardised(features: np.ndarray, codes: np.ndarray, refit: Refit) -> np.ndarray | None:
    try:
        return refit(fit_standardisation(features, codes).apply(features, codes))
    except WootzError:
        return None


def _is_constant(codes: np.ndarray, images: np.ndarray) -> bool:
    return bool((pd.Series(codes).groupby(images).nunique() == 1).all())


def _remedy(
    names: tuple[str, str],
    labels: tuple[np.ndarray, np.ndarray],
    found: tuple[Association, Association | None],
    *,
    truth: np.ndarray | None,
) -> Remedy:
    """Put together a remedy from (factor, by) and two pairs of (before, after)."""
    (before, after), aris = found, (None, None)
    if truth is not None and any(str(value) != "" for value in truth):
        aris = (agreement(labels[0], truth).ari, agreement(labels[1], truth).ari)
    return Remedy(
        factor=names[0],
        by=names[1],
        adjusted_before=before.adjusted,
        adjusted_after=after.adjusted if after is not None else 0.0,
        nmi_before=before.nmi,
        nmi_after=after.nmi if after is not None else 0.0,
        ari_before=aris[0],
        ari_after=aris[1],
        moved=overlap(*labels).ari,
    )
