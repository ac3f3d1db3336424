"""A simulated expert at the explorer: what is seen and said, what it costs, and the labels so far."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


class Desk:
    """What the expert sees, says and pays.

    Parameters
    ----------
    features : (N, D) float32
    images : (N,) int
    truth : (N,) object
    wrong_frac : float in [0, 1)
        Share of answers that name another class, drawn at random.
    rng : numpy Generator
    each_tile : bool
        Whether every tile on a card can be taken for something else, in place of the answer about the card.
    """

    def __init__(
        self,
        features: np.ndarray,
        images: np.ndarray,
        truth: np.ndarray,
        *,
        wrong_frac: float,
        rng: np.random.Generator,
        each_tile: bool = False,
    ) -> None:
        self.features, self.images, self.rng = features, images, rng
        self._truth, self._wrong_frac, self._each_tile = truth.astype(str), wrong_frac, each_tile
        self._classes = np.unique(self._truth).tolist()
        self.cost = 0

    def act(self) -> None:
        """Pay for an action that says nothing about a tile, such as Train."""
        self.cost += 1

    def name_one_by_one(self, rows: np.ndarray) -> np.ndarray:
        """Look at each tile and name it: cost 2 a tile; (n,) object."""
        self.cost += 2 * len(rows)
        return np.array([self._slip(name) for name in self._truth[rows]], object)

    def name_card(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look at a card, pick out the tiles that are not of its main class and name them, and name the rest.

        Costs 1 for the look, 1 for the tiles of the main class together, and 1 for each other tile.

        Parameters
        ----------
        rows : (n,) int
            At least one.

        Returns
        -------
        names : (n,) object
        is_main : (n,) bool
            Which tiles were named together.
        """
        seen = self._truth[rows].astype(object)
        if self._each_tile:
            seen = np.array([self._slip(name) for name in seen], object)
        names, counts = np.unique(seen.astype(str), return_counts=True)
        is_main = seen == names[counts.argmax()]
        self.cost += 2 + int((~is_main).sum())
        if not self._each_tile:
            seen[is_main] = self._slip(str(names[counts.argmax()]))
            seen[~is_main] = [self._slip(name) for name in seen[~is_main]]
        return seen, is_main

    def _slip(self, name: str) -> str:
        others = [other for other in self._classes if other != name]
        if others and self.rng.random() < self._wrong_frac:
            return str(self.rng.choice(others))
        return str(name)


class Book:
    """Labels so far, and by which action each came.

    labels : (N,) object, "" for none.
    actions : (N,) int64, -1 for none.
    """

    def __init__(self, n: int) -> None:
        self.labels, self.actions = np.full(n, "", object), np.full(n, -1)
        self._n_actions = 0

    @property
    def free(self) -> np.ndarray:
        """(N,) bool, tiles without a label."""
        return self.actions < 0

    @property
    def named(self) -> np.ndarray:
        """(m,) int64, rows with a label."""
        return np.flatnonzero(self.actions >= 0)

    def write(self, rows: np.ndarray, names: np.ndarray, *, is_main: np.ndarray) -> None:
        """Put down one action for the tiles that were named together, and one for each other tile."""
        self.labels[rows] = names
        self.actions[rows[is_main]] = self._n_actions
        others = rows[~is_main]
        self.actions[others] = self._n_actions + 1 + np.arange(len(others))
        self._n_actions += 1 + len(others)


@dataclass
class Work:
    """What came of it: labels (N,) object with "" for none, the cost, and figures on the way."""

    labels: np.ndarray
    cost: int
    noted: dict[str, Any] = field(default_factory=dict)


def work_through(desk: Desk, book: Book, rows: np.ndarray) -> np.ndarray:
    """Name a card and put it down; (n,) object names. A card without tiles costs nothing."""
    if not len(rows):
        return np.zeros(0, object)
    names, is_main = desk.name_card(rows)
    book.write(rows, names, is_main=is_main)
    return names
