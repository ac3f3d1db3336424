"""The part of ``wootz cluster`` that asks what clusters are made of beside the material."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wootz.clustering.badges import Badge, badges
from wootz.clustering.coding import Coded
from wootz.clustering.remedies import Remedy, goes_with, remedy_table, try_remedies
from wootz.clustering.shortcut_factors import NEEDED, WINDOW, code_images, tile_factors
from wootz.clustering.shortcut_plot import shortcut_figure
from wootz.clustering.shortcut_words import shortcut_words
from wootz.clustering.survey import Survey, survey_factors
from wootz.factors import EDGE, PLACE, image_strata
from wootz.plotting import save_figure
from wootz.progress import say

MAX_TILES = 50_000
MAX_REFIT = 20_000
FIGURE_FILE = "shortcuts.png"

Refit = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Shortcuts:
    """What clusters follow, what that costs, and what can be done.

    Parameters
    ----------
    survey : Survey
    badges : list of Badge
    remedies : list of Remedy
    words : list of str
        The same for reading.
    n : int
        Tiles that were looked at.
    pictures : list of Path
    """

    survey: Survey
    badges: list[Badge]
    remedies: list[Remedy]
    words: list[str]
    n: int
    pictures: list[Path]

    def outputs(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "words": self.words,
            "n_tiles": self.n,
            "factors": self.survey.table.to_dict("records"),
            "badges": [asdict(badge) for badge in self.badges],
            "remedies": remedy_table(self.remedies).to_dict("records"),
        }


def find_shortcuts(
    tiles: Any,
    labels: np.ndarray,
    features: np.ndarray,
    *,
    refit: Refit,
    folder: Path,
    rng: np.random.Generator,
    n_permutations: int = 999,
    columns: str = "",
    truth: np.ndarray | None = None,
) -> Shortcuts:
    """Test what clusters follow, give badges, try remedies, and write it down.

    Parameters
    ----------
    tiles : TileSet
    labels : (N,) int
        Cluster of each tile, negative for none.
    features : (N, D) float32
        Before any preparation; `refit` prepares them.
    refit : callable
        ``refit(features) -> (n,) int``: cluster some tiles with the same options.
    folder : Path
        Receives ``shortcuts.csv``, ``badges.csv``, ``remedies.csv`` and ``shortcuts.png``.
    rng : numpy Generator
    n_permutations : int
    columns : str
        Further columns to test, by comma.
    truth : (N,) str, optional
        Known class of each tile, "" where it is not known.

    Notes
    -----
    Above 50,000 tiles a random sample is looked at; remedies are tried on at most 20,000.
    """
    rows = _sample(len(tiles), MAX_TILES, rng)
    part, labels = (tiles, labels) if rows is None else (tiles.select(rows), labels[rows])
    say("asking what clusters follow beside the material")
    factors = tile_factors(part, columns=[c.strip() for c in columns.split(",") if c.strip()])
    frame = part.columns([*NEEDED, "file"])
    strata, images = image_strata(frame), frame["image_id"].to_numpy()
    place = {"images": images, "windows": frame[[*WINDOW]].to_numpy(), "strata": strata, "rng": rng}
    survey = survey_factors(labels, factors, n_permutations=n_permutations, **place)
    names = dict(zip(images, frame["file"].map(lambda f: Path(str(f)).stem), strict=True))
    given = badges(survey, names=names)
    factors.append(code_images(part))
    known = {coded.name: coded for coded in factors}
    followed = [known[name] for name in survey.followed]
    own = truth if truth is None or rows is None else truth[rows]
    tied = [] if own is None else [c.name for c in followed if goes_with(own, c, images=images, rng=rng)]
    chosen = features if rows is None else features[rows]
    remedies = _try(chosen, followed, labels, refit=refit, truth=own, place=place)
    words = shortcut_words(survey, remedies, given, tied=tied)
    pictures = _write(survey, given, remedies, folder=folder)
    return Shortcuts(survey, given, remedies, words, len(part), pictures)


def _try(
    features: np.ndarray,
    followed: list[Coded],
    labels: np.ndarray,
    *,
    refit: Refit,
    truth: np.ndarray | None,
    place: dict[str, Any],
) -> list[Remedy]:
    """Try remedies on a sample that is small enough to be clustered again and again.

    Place is told, not taken out: a coating lies at the top because it is a coating.
    """
    followed = [coded for coded in followed if coded.name not in (PLACE, EDGE)]
    if not followed:
        return []
    rows = _sample(len(features), MAX_REFIT, place["rng"])
    if rows is not None:
        followed = [_rows_of(coded, rows) for coded in followed]
        features, truth = features[rows], None if truth is None else truth[rows]
        place = place | {name: place[name][rows] for name in ("images", "windows", "strata")}
        labels = refit(np.ascontiguousarray(features))
    say(f"trying remedies for {', '.join(coded.name for coded in followed)}")
    return try_remedies(features, followed, labels=labels, refit=refit, truth=truth, **place)


def _rows_of(coded: Coded, rows: np.ndarray) -> Coded:
    numbers = None if coded.numbers is None else coded.numbers[rows]
    return Coded(coded.name, coded.codes[rows], coded.words, numbers)


def _sample(n: int, most: int, rng: np.random.Generator) -> np.ndarray | None:
    return np.sort(rng.choice(n, most, replace=False)) if n > most else None


def _write(survey: Survey, given: list[Badge], remedies: list[Remedy], *, folder: Path) -> list[Path]:
    import pandas as pd

    survey.table.to_csv(folder / "shortcuts.csv", index=False)
    names = [*Badge.__dataclass_fields__]
    pd.DataFrame([asdict(badge) for badge in given], columns=names).to_csv(folder / "badges.csv", index=False)
    if remedies:
        remedy_table(remedies).to_csv(folder / "remedies.csv", index=False)
    if survey.table.empty:
        return []
    return [save_figure(shortcut_figure(survey, remedies), folder / FIGURE_FILE)]
