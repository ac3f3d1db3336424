"""The first level of hierarchical k-means: small groups in each piece of the features, one file a piece."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wootz.clustering.exemplars import CHUNK_ROWS, cluster_means
from wootz.clustering.lloyd import count_different, kmeans
from wootz.clustering.preparation import Preparation
from wootz.storage import fingerprint, write_npz

TILES_PER_GROUP = 10


@dataclass(frozen=True)
class Piece:
    """Some rows of one file of features.

    Parameters
    ----------
    file : Path
        ``.npy``, (n, D) float32; opened memory-mapped.
    rows : (m,) int, ascending
        Rows of this file.
    groups : (m,) int or None
        Groups that the features are standardised by.
    number : int
        Of the piece; seeds its random draws.
    """

    file: Path
    rows: np.ndarray
    groups: np.ndarray | None
    number: int


@dataclass(frozen=True)
class SmallGroups:
    """What the first level found in a piece.

    Parameters
    ----------
    centroids : (k, D) float32
    weights : (k,) float64
        Tiles in each group.
    labels : (m,) int32
        Group of each tile.
    distance : (m,) float32
        Of each tile to the centroid of its group.
    """

    centroids: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class FirstLevel:
    """How pieces are clustered, and where the results stand.

    Parameters
    ----------
    folder : Path
    preparation : Preparation
        Applied to the features of each piece.
    n_groups, n_iter, seed : int
    """

    folder: Path
    preparation: Preparation
    n_groups: int
    n_iter: int
    seed: int

    def path(self, piece: Piece) -> Path:
        """Name the file of a piece by all that its result depends on, so that no other result is taken."""
        steps, file = self.preparation, piece.file.stat()
        parts = [*vars(steps.standardisation).values()] if steps.standardisation is not None else []
        parts += [*vars(steps.projection).values()] if steps.projection is not None else []
        parts += [piece.rows] if piece.groups is None else [piece.rows, piece.groups]
        about = {
            "file": [piece.file.name, file.st_size, file.st_mtime_ns],
            "arrays": [hashlib.sha256(np.asarray(part).tobytes()).hexdigest() for part in parts],
            "settings": [steps.whiten, steps.l2, self.n_groups, self.n_iter, self.seed, piece.number],
        }
        return self.folder / f"piece-{piece.number:05d}-{fingerprint(about)}.npz"

    def is_done(self, piece: Piece) -> bool:
        """Say whether the result of a piece is there; files are written whole or not at all."""
        return self.path(piece).is_file()

    def load(self, piece: Piece, *, centroids_only: bool = False) -> SmallGroups:
        """Read the result of a piece; labels and distances are left empty with `centroids_only`."""
        with np.load(self.path(piece), allow_pickle=False) as found:
            rest = (
                (np.zeros(0, np.int32), np.zeros(0, np.float32))
                if centroids_only
                else (found["labels"], found["distance"])
            )
            return SmallGroups(found["centroids"], found["weights"], *rest)

    def work(self, piece: Piece) -> None:
        """Cluster a piece and write its file."""
        features = np.load(piece.file, mmap_mode="r", allow_pickle=False)[piece.rows]
        points = self.preparation.apply(features, piece.groups)
        del features
        rng = np.random.default_rng([self.seed, piece.number])
        found = small_groups(points, self.n_groups, rng=rng, n_iter=self.n_iter)
        write_npz(self.path(piece), vars(found))


def small_groups(
    points: np.ndarray, n_groups: int, *, rng: np.random.Generator, n_iter: int = 25
) -> SmallGroups:
    """Put points into small groups by k-means, fewer where there are few (different) points.

    Parameters
    ----------
    points : (m, D) float32
    n_groups : int, >= 1
        At most a tenth of the points, and not more than there are different ones.
    rng : numpy Generator
    n_iter : int
    """
    wanted = count_different(points, min(n_groups, max(len(points) // TILES_PER_GROUP, 1)))
    labels = np.zeros(len(points), np.int32)
    if wanted > 1:
        labels = kmeans(points, wanted, rng=rng, n_init=1, n_iter=n_iter).labels
        labels = np.unique(labels, return_inverse=True)[1].astype(np.int32)  # no group without a tile
    centroids = cluster_means(points, labels)  # of these labels, so that means of means are exact
    distance = np.empty(len(points), np.float32)
    for start in range(0, len(points), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        distance[part] = np.linalg.norm(points[part] - centroids[labels[part]], axis=1)
    return SmallGroups(centroids, np.bincount(labels).astype(np.float64), labels, distance)


def cut_pieces(
    files: Sequence[tuple[Path, int]],
    rows: np.ndarray,
    *,
    piece_rows: int,
    groups: np.ndarray | None = None,
) -> Iterator[tuple[Piece, np.ndarray]]:
    """Cut rows of files of features into pieces that fit into memory.

    Parameters
    ----------
    files : sequence of (Path, int)
        ``.npy`` files and their numbers of rows.
    rows : (N,) int
        Row of each tile, counted through all files, in any order and each once.
    piece_rows : int
        Most rows of a piece.
    groups : (N,) int, optional
        Of the tiles.

    Yields
    ------
    piece : Piece
    tiles : (m,) int
        Which of the N tiles its rows are.
    """
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    first = number = 0
    for file, n_rows in files:
        low, high = np.searchsorted(ascending, [first, first + n_rows])
        n_parts = -(-(high - low) // piece_rows)
        for tiles in np.array_split(order[low:high], n_parts) if n_parts else []:
            own = None if groups is None else groups[tiles]
            yield Piece(file, rows[tiles] - first, own, number), tiles
            number += 1
        first += n_rows
