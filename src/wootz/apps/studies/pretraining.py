"""What does pretraining without labels learn? Frozen features of every method beside hand-made ones.

A cell trains one method on the tiles of one public set, without labels, and judges the frozen features on the
set's fixed splits: by their nearest neighbours where images have classes, by ridge regression of the phase
fractions of each tile where they have masks. Options of the judges are chosen on val, figures are of test.
Where a test split is of few images, one odd image decides; so phase fractions are also predicted for images
that are left out of train and val in turn.
"""

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
        ``score_val``, ``choice`` (of neighbours or ridge, by val), ``dim``; of phase fractions ``score_cv``
        too, see `cross_validated`.
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
    """Judge features by ridge regression of phase fractions; val chooses the ridge.

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
        ``score``: ``1 - sum of squared errors / sum of squares about the training mean``, pooled over the
        classes, on test: 0 is as good as knowing the mean, negative is worse. Predictions are cut to [0, 1],
        as fractions are: on other specimens some features lie far outside what the training split shows.
        ``score_cv``: see `cross_validated`, on train and val.
    """
    known = np.isfinite(fractions).all(axis=1)
    train, val, test = (known & (splits == name) for name in ("train", "val", "test"))
    mean = fractions[train].mean(axis=0)

    def score(ridge: float, rows: np.ndarray) -> float:
        found = _ridge(ridge).fit(features[train], fractions[train]).predict(features[rows])
        return _r_squared(found, fractions[rows], instead=mean)

    best = max(RIDGES, key=lambda ridge: score(ridge, val))
    seen = train | val
    return {
        "score": score(best, test),
        "score_val": score(best, val),
        "choice": best,
        "score_cv": cross_validated(features[seen], fractions[seen], images=images[seen]),
    }


def cross_validated(features: np.ndarray, fractions: np.ndarray, *, images: np.ndarray) -> float:
    """Predict phase fractions of images that were left out, in ten folds of whole images.

    Parameters
    ----------
    features : (N, D) float32
    fractions : (N, C) float
    images : (N,) object

    Returns
    -------
    float
        R^2 with the ridge that does best, against the mean of the images that were not left out. One ridge
        for all folds out of ten: the choice flatters every kind of features, and hardly.
    """
    from sklearn.dummy import DummyRegressor
    from sklearn.model_selection import GroupKFold, cross_val_predict

    folds = list(GroupKFold(min(N_FOLDS, len(np.unique(images)))).split(features, groups=images))
    mean = np.asarray(cross_val_predict(DummyRegressor(), features, fractions, cv=folds))
    found = (cross_val_predict(_ridge(ridge), features, fractions, cv=folds) for ridge in RIDGES)
    return max(_r_squared(np.asarray(guess), fractions, instead=mean) for guess in found)


def _ridge(strength: float) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), Ridge(alpha=strength, solver="svd"))


def _r_squared(found: np.ndarray, fractions: np.ndarray, *, instead: np.ndarray) -> float:
    left = np.square(found.clip(0.0, 1.0) - fractions).sum()
    return float(1.0 - left / np.square(instead - fractions).sum())
