"""What several people agree on, what they do not, and what was settled."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from wootz.explore.concord import cohen_interval, cohen_kappa, fleiss_interval, fleiss_kappa
from wootz.explore.state import State

CONSENSUS = "consensus"
"""The name under which differences are settled: its actions are verdicts like those of a person."""


@dataclass(frozen=True)
class Opinions:
    """The verdicts of all people in one numbering.

    Parameters
    ----------
    people : tuple of str
        Those who have judged a tile, in the order of their first action.
    codes : (P, N) int32
        Into `words`, 0 for no verdict.
    settled : (N,) int32
        What was settled, 0 for nothing.
    words : list of str
        "", then "class:KEY", "artefact", "between".
    looked : (P, N) bool
        Whether the person judged the tile, and did not accept what a head said of it unseen.
    """

    people: tuple[str, ...]
    codes: np.ndarray
    settled: np.ndarray
    words: list[str]
    looked: np.ndarray

    @property
    def disputed(self) -> np.ndarray:
        """Rows on which people said different things, (n,) int64, settled ones too."""
        if not len(self.codes):
            return np.empty(0, np.int64)
        highest = self.codes.max(axis=0)
        lowest = np.where(self.codes > 0, self.codes, len(self.words)).min(axis=0)
        return np.flatnonzero((highest > 0) & (lowest < highest))

    def verdicts(self) -> np.ndarray:
        """Give the common verdict of each tile, (N,) int32: settled, or what all who judged it say, or 0."""
        said = self.codes.max(axis=0, initial=0)
        said[self.disputed] = 0
        return np.where(self.settled > 0, self.settled, said).astype(np.int32)


def opinions(state: State, *, n: int) -> Opinions:
    """Gather what everybody says about the first `n` rows."""
    words = [""]
    number = {"": 0}
    people, codes, looked = [], [], []
    unseen = state.unseen
    settled = np.zeros(n, np.int32)
    for name, expert in state.experts.items():
        for word in expert.verdicts.values:
            if word not in number:
                number[word] = len(words)
                words.append(word)
        own = np.array([number[word] for word in expert.verdicts.values], np.int32)[expert.verdicts.codes(n)]
        if name == CONSENSUS:
            settled = own
        elif own.any():
            people.append(name)
            codes.append(own)
            looked.append((own > 0) & ~np.isin(expert.verdicts.written(n), unseen))
    none = np.zeros((0, n), np.int32)
    return Opinions(
        tuple(people),
        np.stack(codes) if codes else none,
        settled,
        words,
        np.stack(looked) if looked else none > 0,
    )


def agreement(found: Opinions, images: np.ndarray) -> dict[str, Any]:
    """Say how far people agree on what they looked at; labels accepted unseen are no opinion.

    Parameters
    ----------
    found : Opinions
    images : (N,) int
        Image of each tile, for the intervals.

    Returns
    -------
    dict
        ``people``; ``pairs``: for each two of them ``people``, ``n`` tiles that both looked at, ``n_same``,
        ``kappa``, ``low``, ``high`` (95 %) and the ``rows`` on which they differ; ``all``: the same of all
        people on the tiles that all looked at, by Fleiss' kappa, where there are three or more; ``disputed``
        and ``open`` (disputed and not settled) rows, accepted labels among them; ``n_settled``. A kappa is
        None where chance alone would agree, or where there are too few images for an interval.
    """
    pairs = [_pair(found, i, j, images) for i, j in combinations(range(len(found.people)), 2)]
    disputed = found.disputed
    return {
        "people": list(found.people),
        "pairs": pairs,
        "all": _everybody(found, images) if len(found.people) > 2 else None,
        "disputed": disputed.tolist(),
        "open": disputed[found.settled[disputed] == 0].tolist(),
        "n_settled": int((found.settled > 0).sum()),
    }


def _pair(found: Opinions, i: int, j: int, images: np.ndarray) -> dict[str, Any]:
    both = np.flatnonzero(found.looked[i] & found.looked[j])
    first, second = found.codes[i, both], found.codes[j, both]
    return {
        "people": [found.people[i], found.people[j]],
        "n": len(both),
        "n_same": int((first == second).sum()),
        **_figures(cohen_kappa(first, second), cohen_interval(first, second, images[both], rng=_rng())),
        "rows": both[first != second].tolist(),
    }


def _everybody(found: Opinions, images: np.ndarray) -> dict[str, Any]:
    shared = np.flatnonzero(found.looked.all(axis=0))
    codes = found.codes[:, shared]
    counts = np.stack([(codes == code).sum(axis=0) for code in range(1, len(found.words))], axis=1)
    same = (codes == codes[0]).all(axis=0)
    return {
        "people": list(found.people),
        "n": len(shared),
        "n_same": int(same.sum()),
        **_figures(fleiss_kappa(counts), fleiss_interval(counts, images[shared], rng=_rng())),
        "rows": shared[~same].tolist(),
    }


def _figures(kappa: float, interval: tuple[float, float]) -> dict[str, float | None]:
    figures = {"kappa": kappa, "low": interval[0], "high": interval[1]}
    return {name: None if np.isnan(value) else round(value, 4) for name, value in figures.items()}


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)  # the same answers have the same interval
