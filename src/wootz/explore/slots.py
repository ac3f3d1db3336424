"""One value per row, each set by an action: what the last action in effect said."""

from collections.abc import Iterable

import numpy as np


class Slots:
    """A growing column of values, stored as numbers into a list of words.

    Attributes
    ----------
    values : list of str
        Words by number; number 0 is "" (nothing said).
    """

    def __init__(self) -> None:
        self.values = [""]
        self._number = {"": 0}
        self._codes = np.zeros(0, np.int32)
        self._written = np.zeros(0, np.int64)  # number of the action that set each row

    def codes(self, n_rows: int) -> np.ndarray:
        """Give the number of the value of each row: (n_rows,) int32, read-only."""
        self._grow(n_rows)
        shown = self._codes[:n_rows]
        shown.flags.writeable = False
        return shown

    def written(self, n_rows: int) -> np.ndarray:
        """Give the number of the action that set each row last: (n_rows,) int64; 0 for none."""
        self._grow(n_rows)
        shown = self._written[:n_rows]
        shown.flags.writeable = False
        return shown

    def write(self, seq: int, rows: np.ndarray, value: str) -> None:
        """Set rows to a value, by the action with number `seq`, which is later than all before."""
        if not len(rows):
            return
        if value not in self._number:
            self._number[value] = len(self.values)
            self.values.append(value)
        self._grow(int(rows.max()) + 1)
        self._codes[rows] = self._number[value]
        self._written[rows] = seq

    def rebuild(self, rows: np.ndarray, writes: Iterable[tuple[int, np.ndarray, str]]) -> None:
        """Set some rows to what a list of writes, in order, leaves there.

        Parameters
        ----------
        rows : (n,) int
            Rows that may have changed; the others stay.
        writes : iterable of (seq, rows, value)
        """
        touched = np.zeros(len(self._codes), bool)
        touched[rows] = True
        self._codes[rows] = 0
        self._written[rows] = 0
        for seq, its_rows, value in writes:
            self.write(seq, its_rows[touched[its_rows]], value)

    def _grow(self, n_rows: int) -> None:
        if n_rows > len(self._codes):
            room = max(n_rows, 2 * len(self._codes)) - len(self._codes)
            self._codes = np.concatenate([self._codes, np.zeros(room, np.int32)])
            self._written = np.concatenate([self._written, np.zeros(room, np.int64)])
