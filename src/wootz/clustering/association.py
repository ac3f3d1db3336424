"""How much clusters follow something that they should not, against what chance gives. Pure functions."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from wootz.clustering.coding import Coded
from wootz.clustering.counting import Counts, entropy, family_p, shifts
from wootz.shuffling import n_arrangements, shuffled_groups, shuffled_within

MIN_ARRANGEMENTS = 100


@dataclass(frozen=True)
class Association:
    """How much clusters follow a factor.

    Parameters
    ----------
    factor : str
    nmi, nmi_chance : float in [0, 1]
        Normalised mutual information (arithmetic mean), and its mean over shuffled factors.
    adjusted : float, at most 1
        ``(MI - mean shuffled MI) / (min(H(clusters), H(factor)) - mean shuffled MI)``: 0 is chance, 1 where
        clusters and factor determine one another as far as the coarser of the two can.
    p : float
        Share of arrangements, that of the data included, with at least this mutual information.
    n, n_units : int
        Tiles, and units that were shuffled as wholes.
    is_enough : bool
        Whether there are enough different arrangements for chance to be known.
    clusters : DataFrame
        One row a cluster: ``cluster, n, top, share, base, p`` with the commonest value of the factor, its
        share in the cluster and among all tiles, and the p-value of such a share, corrected for the number of
        clusters; for numbers also ``shift_sd, p_shift``, the mean against all other tiles in their standard
        deviations.
    """

    factor: str
    nmi: float
    nmi_chance: float
    adjusted: float
    p: float
    n: int
    n_units: int
    is_enough: bool
    clusters: pd.DataFrame


def associate(
    labels: np.ndarray,
    coded: Coded,
    *,
    images: np.ndarray,
    rng: np.random.Generator,
    n_permutations: int = 999,
) -> Association:
    """Test whether clusters follow a factor, with whole images shuffled.

    Parameters
    ----------
    labels : (N,) int
        Cluster of each tile; tiles with a negative one are left out.
    coded : Coded
        N values; unknown ones are left out.
    images : (N,) int or str
        Image of each tile. Tiles of one image are to stand in a fixed order, e.g. row by row.
    rng : numpy Generator
    n_permutations : int

    Raises
    ------
    ValueError
        If fewer than two clusters or two values are left.

    Notes
    -----
    What is the same all over an image (instrument, magnification) is exchanged between whole images. What
    differs within (brightness, place) is passed on to another image as a whole row of tiles that begins at a
    random tile, so that neighbours stay neighbours. Shuffling single tiles would call almost everything
    significant. Overlapping or adjacent tiles are thereby no problem, few images are: see `is_enough`.

    The mean over shuffles stands in for the expectation over independent tiles of the adjusted mutual
    information (Vinh et al. 2010, JMLR 11:2837, eq. 24), and the smaller entropy for its normaliser, so that
    a factor with two values, or with a thousand, can reach 1.
    """
    keep = (labels >= 0) & (coded.codes >= 0)
    labels, codes, images = labels[keep], coded.codes[keep], images[keep]
    _, which = np.unique(images, return_inverse=True)
    numbers = None if coded.numbers is None else coded.numbers[keep]
    values = codes if numbers is None else numbers
    first = np.full(which.max() + 1, -1) if len(which) else np.zeros(0, int)
    first[which[::-1]] = np.arange(len(which))[::-1]
    if (values == values[first[which]]).all():
        units, codes = which, codes[first]
        numbers = None if numbers is None else numbers[first]
        shuffles = shuffled_groups(np.arange(len(first)), n=n_permutations, rng=rng)
        enough = n_arrangements(codes) >= MIN_ARRANGEMENTS
    else:
        units = np.arange(len(codes))
        shuffles = shuffled_groups(which, n=n_permutations, rng=rng, shifted=True)
        enough = len(codes) >= MIN_ARRANGEMENTS
    return _tested(labels, codes, units=units, shuffles=shuffles, coded=coded, numbers=numbers, enough=enough)


def associate_images(
    labels: np.ndarray,
    images: np.ndarray,
    *,
    windows: np.ndarray,
    strata: np.ndarray,
    rng: np.random.Generator,
    n_permutations: int = 999,
) -> Association:
    """Test whether clusters follow single images, with quarters of images shuffled.

    Parameters
    ----------
    labels : (N,) int
    images : (N,) int or str
    windows : (N, 4) int
        Row, column, height and width of each tile, px.
    strata : (N,) int or str
        What is known of each image, e.g. specimen and instrument. Quarters are exchanged within it, so that
        clusters that follow the instrument alone do not count as following images.
    rng : numpy Generator
    n_permutations : int

    Raises
    ------
    ValueError
        If there are fewer than two images or clusters, or every image has one quarter only.

    Notes
    -----
    A quarter stays whole, because adjacent tiles show the same things. So clusters follow an image where its
    quarters resemble each other more than those of other images; material can do that as well as the
    microscope, so this is a hint where to look, and no proof.
    """
    keep = labels >= 0
    labels, windows = labels[keep], windows[keep]
    names, which = np.unique(images[keep], return_inverse=True)
    quarter = _quarters(windows, which)
    _, first, units = np.unique(4 * which + quarter, return_index=True, return_inverse=True)
    if len(first) <= len(names):
        raise ValueError("no image has tiles in two of its quarters")
    known = np.unique(strata[keep], return_inverse=True)[1][first]
    coded = Coded("image", which, tuple(str(name) for name in names))
    images_in = pd.Series(which[first]).groupby(known).nunique()
    blocks = pd.Series(known).map(images_in).to_numpy() > 1
    enough = bool(blocks.any()) and n_arrangements(which[first][blocks]) >= MIN_ARRANGEMENTS
    shuffles = shuffled_within(known, n=n_permutations, rng=rng)
    return _tested(labels, which[first], units=units, shuffles=shuffles, coded=coded, enough=enough)


def _quarters(windows: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Return 0 to 3 for each tile by the side of the middle of its image's tiles that its centre is on."""
    out = np.zeros(len(windows), int)
    for axis in (0, 1):
        centre = windows[:, axis] + windows[:, 2 + axis] / 2
        spans = pd.Series(centre).groupby(which).agg(["min", "max"]).mean(axis=1).to_numpy()
        out = 2 * out + (centre > spans[which])
    return out


def _tested(
    labels: np.ndarray,
    codes: np.ndarray,
    *,
    units: np.ndarray,
    shuffles: Iterable[np.ndarray],
    coded: Coded,
    enough: bool,
    numbers: np.ndarray | None = None,
) -> Association:
    """Compare the data with shuffled codes (and numbers) of units; see `associate`."""
    clusters, labels = np.unique(labels, return_inverse=True)
    if len(clusters) < 2 or len(np.unique(codes)) < 2:
        raise ValueError(f"{coded.name}: nothing to compare; two clusters and two values are needed")
    counts = Counts(labels, units, n_values=len(coded.words))
    mutual, nmi, shares, means = [], [], [], []
    own = entropy(counts.sizes)
    for row in chain([np.arange(len(codes))], shuffles):  # the data are one of the arrangements
        table = counts.table(codes[row])
        of_factor = entropy(table.sum(axis=1))
        mutual.append(max(of_factor + own - entropy(table.ravel()), 0.0))
        nmi.append(2 * mutual[-1] / max(own + of_factor, 1e-12))
        shares.append(table.max(axis=0) / counts.sizes)
        if numbers is not None:
            means.append(counts.means(numbers[row]))
    table = counts.table(codes)
    frame = _commonest(table, clusters, coded.words).assign(p=family_p(np.stack(shares)))
    if numbers is not None:
        shift = shifts(means[0], counts.means(np.square(numbers)), counts.sizes)
        frame = frame.assign(shift_sd=shift, p_shift=family_p(np.stack(means), two_sided=True))
    chance = float(np.mean(mutual[1:] or [0.0]))
    room = min(own, entropy(table.sum(axis=1))) - chance
    return Association(
        factor=coded.name,
        nmi=nmi[0],
        nmi_chance=float(np.mean(nmi[1:] or [0.0])),
        adjusted=(mutual[0] - chance) / room if room > 1e-9 else 0.0,
        p=float((np.array(mutual) >= mutual[0] - 1e-12).mean()),
        n=len(labels),
        n_units=len(codes),
        is_enough=enough,
        clusters=frame,
    )


def _commonest(table: np.ndarray, clusters: np.ndarray, words: tuple[str, ...]) -> pd.DataFrame:
    """Find the commonest value of each cluster in a table of values by clusters."""
    top = table.argmax(axis=0)
    share = table.max(axis=0) / table.sum(axis=0)
    base = table.sum(axis=1)[top] / table.sum()
    names = [words[i] for i in top]
    return pd.DataFrame(
        {"cluster": clusters, "n": table.sum(axis=0), "top": names, "share": share, "base": base}
    )
