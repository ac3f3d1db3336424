"""One clustering of a study: a method by its name, its options, and the few tiles that it may be told."""

from pathlib import Path
from typing import Any

import numpy as np

from wootz.clustering.methods.known import Known
from wootz.errors import WootzError
from wootz.tiles import TileSet

PROBE = "linear_probe"
UNSCALED = ("cohn_holm",)
N_FOLDS = 5


def cluster_rows(
    tiles: TileSet,
    features: np.ndarray,
    params: dict[str, Any],
    *,
    source: str,
    truth: np.ndarray,
    known: Known,
    folder: Path,
) -> tuple[np.ndarray, bool]:
    """Cluster tiles by the method of a cell.

    Parameters
    ----------
    tiles : TileSet
        For the methods that train the encoder.
    features : (N, D) float32
        For the others; scaled to length one, but for Euclidean k-means and Cohn and Holm's chain.
    params : dict
        ``method``: a method of `wootz cluster`, an entry of ``own`` that names one, or ``linear_probe``,
        which learns the classes and says what the features would allow. ``own``: options by name, over the
        defaults; the number of clusters is that of the classes unless it says otherwise. ``seed``.
    source : str
        Encoder from which training starts; "" where there is none.
    truth : (N,) object
        Classes, "" where unknown: for their number and the probe.
    known : Known
        What those methods are told that learn from names or pairs.
    folder : Path
        Of a training.

    Returns
    -------
    labels : (N,) int or object
    told : bool
        Whether the method was told `known`.

    Raises
    ------
    WootzError
        If the method is not known, or trains an encoder and there is none to start from.
    """
    from wootz.clustering.fitting import as_fit, fit
    from wootz.clustering.preparation import fit_preparation
    from wootz.clustering.training.build import train_and_group, trains_encoder

    if params["method"] == PROBE:
        groups = tiles.frame["image_id"].to_numpy(object)
        return probe_classes(features, truth, groups=groups, seed=params["seed"]), False
    method = method_of(params, n_classes=len(set(truth) - {""}), source=source)
    if trains_encoder(method):
        if not source:
            raise WootzError(f"method={method.name} trains an encoder; it needs features of one.")
        grouping, trained = train_and_group(tiles, method, folder=folder, seed=params["seed"])
        return as_fit(trained, grouping).labels, False
    l2 = method.name not in UNSCALED and getattr(method, "spherical", True)
    prepared = fit_preparation(features, l2=l2).apply(features)
    told = method.name in ("seeded", "constrained", "simgcd")
    rng = np.random.default_rng(params["seed"])
    return fit(prepared, method, rng=rng, known=known if told else None).labels, told


def method_of(params: dict[str, Any], *, n_classes: int, source: str) -> Any:
    """Build the options of a cell's method."""
    from wootz.clustering.methods.names import method_options

    own = dict(params.get("own", {}).get(params["method"], {}))
    name = own.pop("method", params["method"])
    return method_options(name, {"n_clusters": n_classes, "encoder": source}, own)


def name_some_rows(truth: np.ndarray, *, n_each: int, seed: int) -> Known:
    """Name a few tiles of every class but the rarest, which is left to be found, and pair them.

    Parameters
    ----------
    truth : (N,) object
        Classes, "" where unknown.
    n_each : int
        At most half of a class is named.
    seed : int

    Returns
    -------
    Known
        All pairs of named tiles, together or apart.
    """
    rng = np.random.default_rng([seed, 1])
    names, counts = np.unique(truth[truth != ""].astype(str), return_counts=True)
    common = tuple(name for name in names.tolist() if name != names[counts.argmin()])
    labels = np.full(len(truth), -1)
    for number, name in enumerate(common):
        rows = np.flatnonzero(truth == name)
        labels[rng.permutation(rows)[: max(1, min(n_each, len(rows) // 2))]] = number
    named = np.flatnonzero(labels >= 0)
    first, second = np.triu_indices(len(named), 1)
    pairs = np.stack([named[first], named[second]], axis=1)
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    return Known(labels, common, together=pairs[same], apart=pairs[~same])


def probe_classes(features: np.ndarray, truth: np.ndarray, *, groups: np.ndarray, seed: int) -> np.ndarray:
    """Predict the class of each tile by a linear classifier that has not seen its image.

    Parameters
    ----------
    features : (N, D) float32
    truth : (N,) object
        Classes, "" where unknown: such tiles teach nothing.
    groups : (N,) object
        Image of each tile.
    seed : int
        Of the five folds.

    Returns
    -------
    (N,) object
        Predicted classes, "" where unknown.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.flatnonzero(truth != "")
    known = truth[rows].astype(str)
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=0.1))
    out = np.full(len(truth), "", object)
    out[rows] = cross_val_predict(model, features[rows], known, groups=groups[rows], cv=folds)
    return out
