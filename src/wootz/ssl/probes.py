"""Judge frozen features with labels, by their nearest neighbours."""

import numpy as np


def knn_probe(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Classify by the nearest neighbours in frozen features and return the balanced accuracy.

    Parameters
    ----------
    features : (N, D) float
        Of the labelled tiles.
    labels : (N,) int or str
    test_features : (M, D) float
    test_labels : (M,) int or str
    k : int, >= 1
        Neighbours that vote; at most N are used.
    temperature : float, > 0
        A neighbour of cosine similarity s votes with weight ``exp(s / temperature)``.

    Returns
    -------
    float
        Mean over the classes of `test_labels` of the fraction found, in [0, 1]; chance is 1 / classes.

    Raises
    ------
    ValueError
        If lengths do not agree, a feature is not finite, or there is nothing to compare.

    References
    ----------
    Wu et al. 2018, doi:10.1109/CVPR.2018.00393, section 3.4.
    """
    import faiss

    classes, known = np.unique(np.asarray(labels), return_inverse=True)
    test_labels = np.asarray(test_labels)
    train, test = _unit(features), _unit(test_features)
    if len(train) != len(known) or len(test) != len(test_labels) or len(train) == 0 or len(test) == 0:
        raise ValueError(f"{len(train)} features for {len(known)} labels, {len(test)} for {len(test_labels)}")
    index = faiss.IndexFlatIP(train.shape[1])
    index.add(train)  # type: ignore[call-arg]
    similarity, rows = index.search(test, min(k, len(train)))  # type: ignore[call-arg]
    weight = np.exp((similarity - similarity.max(axis=1, keepdims=True)) / temperature)
    votes = np.zeros((len(test), len(classes)))
    np.add.at(votes, (np.arange(len(test))[:, None], known[rows]), weight)
    found = classes[votes.argmax(axis=1)] == test_labels
    return float(np.mean([found[test_labels == c].mean() for c in np.unique(test_labels)]))


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.ascontiguousarray(features, dtype=np.float32)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(f"features must be a finite (N, D) array, got shape {features.shape}")
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
