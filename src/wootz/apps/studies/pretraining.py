"""What does pretraining without labels learn? Frozen features of every method beside hand-made ones.

A cell trains one method on the tiles of one public set, without labels, and judges the frozen features on the
set's fixed splits: by their nearest neighbours where images have classes, by ridge regression of the phase
fractions of each tile where they have masks. Options of the judges are chosen on train and val, figures are
of test. Where a test split is of few images, one odd image decides; so phase fractions are also predicted for
images that are left out of train and val in turn.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wootz.apps.studies.micrographs import find_set, ingest_one
from wootz.apps.studies.tile_classes import phase_fractions
from wootz.apps.studies.tile_features import make_features
from wootz.archive import Archive

TILE_PX = {"neu": 200}
NEIGHBOURS = (1, 5, 20)
RIDGES = tuple(10.0**power for power in range(-3, 7))
N_FOLDS = 10


def prepare(fixed: dict[str, Any], folder: Path, *, data: str) -> dict[str, Any]:
    """Ingest each set into an archive of its own; what is there is passed over.

    Parameters
    ----------
    fixed : dict
        ``sets``: names.
    folder : Path
        Receives one archive a set.
    data : str
        Folder with the public sets and splits.json.
    """
    figures = {}
    for name in fixed["sets"]:
        archive = ingest_one(Path(data), folder / name, item=find_set(name), tile_px=TILE_PX.get(name, 128))
        figures[name] = {"images": len(archive.images), "tiles": len(archive.tile_table)}
    return figures


def cell(params: dict[str, Any], folder: Path, *, shared: Path) -> dict[str, Any]:
    """Make the features of one set in one way and judge them.

    Parameters
    ----------
    params : dict
        ``set``, ``features`` (random, a method of `wootz pretrain`, or hand-made), ``seed``, ``steps``,
        ``batch_size``, ``encoder`` and ``own``: other options of some methods, by name.
    folder : Path
        Of the training.
    shared : Path
        Folder that `prepare` filled.

    Returns
    -------
    dict
        ``score``: balanced accuracy of nearest neighbours (neu) or R^2 of the phase fractions, on test;
        ``dim``, and what `judge_classes` or `judge_fractions` tell.
    """
    archive = Archive(shared / params["set"])
    tiles = archive.tiles()
    features, facts = make_features(tiles, params, folder=folder)
    facts.pop("checkpoint", None)
    splits = tiles.frame["split"].to_numpy(dtype=object)
    if params["set"] == "neu":
        labels = tiles.frame["specimen"].to_numpy(dtype=object)
        judged = judge_classes(features, labels, splits=splits)
    else:
        images = tiles.frame["image_id"].to_numpy(dtype=object)
        judged = judge_fractions(
            features, phase_fractions(tiles, params["set"]), splits=splits, images=images
        )
    return judged | facts | {"dim": features.shape[1]}


def judge_classes(features: np.ndarray, labels: np.ndarray, *, splits: np.ndarray) -> dict[str, Any]:
    """Judge features by their nearest neighbours in the training split; val chooses how many.

    Parameters
    ----------
    features : (N, D) float32
    labels : (N,) str
    splits : (N,) str
        train, val or test.
    """
    from wootz.ssl import knn_probe

    def score(k: int, split: str) -> float:
        train, asked = splits == "train", splits == split
        return knn_probe(
            features[train], labels[train], test_features=features[asked], test_labels=labels[asked], k=k
        )

    best = max(NEIGHBOURS, key=lambda k: score(k, "val"))
    return {"score": score(best, "test"), "score_val": score(best, "val"), "choice": best}


def judge_fractions(
    features: np.ndarray, fractions: np.ndarray, *, splits: np.ndarray, images: np.ndarray
) -> dict[str, Any]:
    """Judge features by ridge regression of phase fractions.

    Parameters
    ----------
    features : (N, D) float32
    fractions : (N, C) float
        NaN in tiles without labels.
    splits : (N,) str
    images : (N,) object
        Image of each tile.

    Returns
    -------
    dict
        Each score is ``1 - sum of squared errors / sum of squares about the mean of what was trained on``,
        pooled over the classes: 0 is as good as knowing the mean, negative is worse. Predictions are cut to
        [0, 1], as fractions are: on other specimens some features lie far outside what was trained on.

        - ``score``: on test, trained on train and val, with the ridge ``choice`` of `choose_ridge`;
        - ``score_by_val``: on test, trained on train, with the ridge that does best on val (two or three
          images), and ``score_val`` there;
        - ``score_cv``: on the images of train and val that are left out, with the ridge that does best:
          one for all folds out of ten, which flatters every kind of features, and hardly.
    """
    known = np.isfinite(fractions).all(axis=1)
    train, val, test = (known & (splits == name) for name in ("train", "val", "test"))
    seen = train | val

    def score(ridge: float, *, fit: np.ndarray, ask: np.ndarray) -> float:
        found = _ridge(ridge).fit(features[fit], fractions[fit]).predict(features[ask])
        return _r_squared(found, fractions[ask], instead=fractions[fit].mean(axis=0))

    by_val = max(RIDGES, key=lambda ridge: score(ridge, fit=train, ask=val))
    left_out = leave_images_out(features[seen], fractions[seen], images=images[seen])
    choice = choose_ridge(left_out)
    return {
        "score": score(choice, fit=seen, ask=test),
        "choice": choice,
        "score_by_val": score(by_val, fit=train, ask=test),
        "score_val": score(by_val, fit=train, ask=val),
        "score_cv": left_out.best_r_squared(),
    }


@dataclass(frozen=True)
class LeftOut:
    """Errors on images that were left out, in folds of whole images.

    Parameters
    ----------
    squared : (R, F) float
        Sum of squared errors of each ridge of `RIDGES` in each fold.
    of_mean : (F,) float
        The same of the mean of the other folds.
    n_tiles : (F,) int
    """

    squared: np.ndarray
    of_mean: np.ndarray
    n_tiles: np.ndarray

    def best_r_squared(self) -> float:
        """Return R^2 over all folds with the ridge that does best."""
        return float(1.0 - self.squared.sum(axis=1).min() / self.of_mean.sum())


def leave_images_out(features: np.ndarray, fractions: np.ndarray, *, images: np.ndarray) -> LeftOut:
    """Predict phase fractions of images that were left out, in ten folds of whole images.

    Parameters
    ----------
    features : (N, D) float32
    fractions : (N, C) float
    images : (N,) object
    """
    from sklearn.model_selection import GroupKFold

    folds = list(GroupKFold(min(N_FOLDS, len(np.unique(images)))).split(features, groups=images))
    squared = np.empty((len(RIDGES), len(folds)))
    of_mean = np.empty(len(folds))
    for f, (fit, ask) in enumerate(folds):
        of_mean[f] = np.square(fractions[ask] - fractions[fit].mean(axis=0)).sum()
        for r, ridge in enumerate(RIDGES):
            found = _ridge(ridge).fit(features[fit], fractions[fit]).predict(features[ask])
            squared[r, f] = np.square(found.clip(0.0, 1.0) - fractions[ask]).sum()
    return LeftOut(squared, of_mean, np.array([len(ask) for _, ask in folds]))


def choose_ridge(left_out: LeftOut) -> float:
    """Choose the strongest ridge whose error on left-out images is within one standard error of the best.

    Few images cannot tell neighbouring ridges apart; among those that they cannot, the one that leans least
    on what may be peculiar to these images.

    References
    ----------
    Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, 2nd edition, section 7.10.
    """
    errors = left_out.squared / left_out.n_tiles
    mean = errors.mean(axis=1)
    best = int(mean.argmin())
    within = mean[best] + errors[best].std(ddof=1) / np.sqrt(errors.shape[1])
    return max(ridge for ridge, error in zip(RIDGES, mean, strict=True) if error <= within)


def _ridge(strength: float) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), Ridge(alpha=strength, solver="svd"))


def _r_squared(found: np.ndarray, fractions: np.ndarray, *, instead: np.ndarray) -> float:
    left = np.square(found.clip(0.0, 1.0) - fractions).sum()
    return float(1.0 - left / np.square(instead - fractions).sum())
