"""`wootz probe`: what frozen features tell beside the material, as a table and a figure."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from wootz.errors import WootzError
from wootz.factors import Factor, image_strata, list_factors
from wootz.progress import track
from wootz.ssl.folds import halves_within
from wootz.ssl.grey_counts import grey_histogram
from wootz.ssl.shortcut_figure import draw_shortcuts
from wootz.ssl.shortcut_options import ProbeConfig
from wootz.ssl.shortcuts import FactorScore, probe_between, probe_within
from wootz.storage import write_bytes

if TYPE_CHECKING:
    from wootz.tiles import TileSet

TABLE_FILE = "shortcuts.csv"
FIGURE_FILE = "shortcuts.png"
IMAGE = "image"
MAX_IMAGES = 60
MIN_TILES = 50
N_BASELINE_PERMUTATIONS = 1
AS_WELL = 0.02


@dataclass(frozen=True)
class ProbeReport:
    """What features tell.

    Attributes
    ----------
    embedding : str
    table : DataFrame
        One row a factor: ``factor``, ``measure`` (AUC or R2), ``score``, ``chance``, ``chance_high``, ``n``,
        ``n_images``, ``score_<name>`` of each baseline, and ``verdict``.
    folder : Path
        With shortcuts.csv and shortcuts.png.
    """

    embedding: str
    table: pd.DataFrame
    folder: Path

    def summary(self) -> str:
        """Describe the result, one line a factor."""
        lines = [f"what embedding {self.embedding!r} tells of tiles, on images it was not fitted on:"]
        for row in self.table.itertuples():
            chance = f"chance {row.chance:.2f} to {row.chance_high:.2f}"
            lines.append(f"  {row.factor:<22} {row.measure:<3} {row.score:5.2f} ({chance})  {row.verdict}")
        return "\n".join([*lines, f"table and figure: {self.folder / TABLE_FILE}"])


def probe(tiles: "TileSet", cfg: ProbeConfig, *, run: Any) -> ProbeReport:
    """Probe an embedding for factors that features should not depend on.

    Parameters
    ----------
    tiles : TileSet
        Copies and blank tiles are left out.
    cfg : ProbeConfig
    run : Run
        Its folder receives shortcuts.csv and shortcuts.png.

    Raises
    ------
    WootzError
        If the embedding is missing, there are too few tiles, or nothing differs between them.

    Notes
    -----
    The image of a tile is told from the other half of the same image; all else on images that the linear map
    has not seen. Grey levels and the features of random weights say how much of it lies on the surface. That
    features tell a specimen need not be bad: specimens differ. That they tell instrument, pixel size or
    brightness says what clusters will be made of, unless something is done about it.
    """
    flags = tiles.frame.reindex(columns=["duplicate", "uninformative"]).eq(True).any(axis=1)
    tiles = tiles.select(~flags.to_numpy(bool))
    if len(tiles) < MIN_TILES:
        raise WootzError(
            f"{len(tiles)} tiles are too few to probe; {MIN_TILES} are needed, ingest more images."
        )
    rng = np.random.default_rng(cfg.seed)
    tiles = tiles.select(_evenly(tiles.frame["image_id"].to_numpy(), cfg.max_tiles, rng=rng))
    embedding, baselines = _embeddings(tiles, cfg)
    pixels = _read(tiles)
    features = {"": tiles.embedding(embedding), "grey": grey_histogram(pixels)}
    features |= {name: tiles.embedding(name) for name in baselines}
    factors = list_factors(tiles.frame, pixels.mean(axis=(1, 2)), columns=_words(cfg.columns))
    rows = [_row_of_image(tiles.frame, features, cfg)]
    rows += [_row(f, tiles.frame, features, cfg=cfg) for f in track(factors, title="probing", unit="factors")]
    kept = [row for row in rows if row is not None]
    if not kept:
        raise WootzError(
            "nothing to probe: no two images differ in any known column; give metadata=table.csv."
        )
    table = pd.DataFrame(kept)
    folder = Path(run.folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / TABLE_FILE, table.to_csv(index=False, float_format="%.4f").encode())
    draw_shortcuts(table, folder / FIGURE_FILE, title=f"What {embedding} tells of a tile")
    return ProbeReport(embedding, table, folder)


def _row(
    factor: Factor, frame: pd.DataFrame, features: dict[str, np.ndarray], *, cfg: ProbeConfig
) -> dict[str, Any] | None:
    """Probe all features for a factor; None where it cannot be told on other images."""
    known = factor.is_known
    values, groups = factor.values[known], frame["image_id"].to_numpy()[known]
    is_classes = values.dtype == object
    values = values.astype(str) if is_classes else values
    scores = {}
    for name, given in features.items():
        n = cfg.permutations if name == "" else N_BASELINE_PERMUTATIONS
        rng = np.random.default_rng(cfg.seed)  # the same folds for all
        try:
            scores[name] = probe_between(given[known], values, groups=groups, rng=rng, n_permutations=n)
        except ValueError:
            return None
    return _as_row(factor.name, scores, measure="AUC" if is_classes else "R2")


def _row_of_image(
    frame: pd.DataFrame, features: dict[str, np.ndarray], cfg: ProbeConfig
) -> dict[str, Any] | None:
    images = frame["image_id"].to_numpy()
    halves = halves_within(images, frame[["row", "col", "height", "width"]].to_numpy())
    names = np.unique(images[halves >= 0])
    chosen = np.random.default_rng(cfg.seed).permutation(len(names))[:MAX_IMAGES]
    halves = np.where(np.isin(images, names[chosen]), halves, -1)
    strata, scores = image_strata(frame), {}
    for name, given in features.items():
        n = cfg.permutations if name == "" else N_BASELINE_PERMUTATIONS
        rng = np.random.default_rng(cfg.seed)
        try:
            scores[name] = probe_within(
                given, images, halves=halves, strata=strata, rng=rng, n_permutations=n
            )
        except ValueError:
            return None
    return _as_row(IMAGE, scores, measure="AUC")


def _as_row(factor: str, scores: dict[str, FactorScore], *, measure: str) -> dict[str, Any]:
    own = scores[""]
    row = {"factor": factor, "measure": measure, "score": own.score, "chance": own.chance}
    row |= {"chance_high": own.chance_high, "n": own.n, "n_images": own.n_groups}
    row |= {f"score_{name}": value.score for name, value in scores.items() if name}
    return row | {"verdict": _verdict(factor, scores)}


def _verdict(factor: str, scores: dict[str, FactorScore]) -> str:
    own = scores[""]
    if not own.is_enough:
        return (
            "cannot be said: too few images that differ in nothing else known"
            if factor == IMAGE
            else ("cannot be said: too few images")
        )
    if not own.is_told:
        return "not told"
    if own.score <= scores["grey"].score + AS_WELL:
        return "told, but no better than grey levels tell it"
    return "told, beyond what is known of the images" if factor == IMAGE else "told"


def _evenly(images: np.ndarray, n_max: int, *, rng: np.random.Generator) -> np.ndarray:
    """Choose at most `n_max` rows, as many of each image as it has and others leave room for."""
    order = rng.permutation(len(images))
    rank = pd.Series(images[order]).groupby(images[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(rank, kind="stable")[:n_max]])


def _read(tiles: "TileSet") -> np.ndarray:
    try:
        return tiles.scaled(slice(None))
    except ValueError as error:
        raise WootzError(f"probing needs tiles of one size: {error}.") from error


def _embeddings(tiles: "TileSet", cfg: ProbeConfig) -> tuple[str, list[str]]:
    """Settle which embedding is probed, and which it is compared with."""
    names = tiles.archive.embedding_names()
    trained = [name for name in names if name != "random"]
    own = cfg.embedding or (trained[0] if len(trained) == 1 else names[0] if len(names) == 1 else "")
    if not own:
        path = tiles.archive.path
        choice = (
            f"choose embedding={' or embedding='.join(names)}" if names else f"make one: wootz embed {path}"
        )
        raise WootzError(f"{path} holds {len(names)} embeddings; {choice}.")
    others = _words(cfg.baselines) or [name for name in ("random",) if name in names and name != own]
    return own, others


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
