import numpy as np
import pytest
from sklearn.decomposition import PCA

from wootz.clustering import fit_pca, l2_normalise, project
from wootz.clustering.preprocess import check_features
from wootz.errors import WootzError


def features(rng, n=200, dim=7):
    return (rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) + 3).astype(np.float32)


@pytest.mark.parametrize("whiten", [False, True])
def test_pca_against_scikit_learn(rng, whiten):
    table = features(rng)
    fitted = fit_pca(table, 4)
    theirs = PCA(4, whiten=whiten, svd_solver="full").fit(table.astype(float))
    ours, reference = project(table, fitted, whiten=whiten), theirs.transform(table.astype(float))
    assert ours == pytest.approx(reference * np.sign((ours * reference).sum(axis=0)), abs=1e-3)
    assert fitted.variance == pytest.approx(theirs.explained_variance_, rel=1e-5)
    assert fitted.explained_frac == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-6)
    if whiten:
        assert ours.std(axis=0, ddof=1) == pytest.approx(np.ones(4), rel=1e-4)


def test_all_components_keep_distances(rng):
    table = features(rng, 30, 5)
    turned = project(table, fit_pca(table, 5))
    assert np.linalg.norm(turned[3] - turned[9]) == pytest.approx(
        np.linalg.norm(table[3] - table[9]), rel=1e-5
    )


def test_sign_is_fixed(rng):
    components = fit_pca(features(rng), 3).components
    assert (np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1) > 0).all()


def test_chunks_do_not_matter(rng, monkeypatch):
    table = features(rng)
    whole = project(table, fit_pca(table, 3))
    monkeypatch.setattr("wootz.clustering.preprocess.CHUNK_ROWS", 17)
    assert project(table, fit_pca(table, 3)) == pytest.approx(whole, abs=1e-4)


def test_too_many_components(rng):
    with pytest.raises(WootzError, match="allow 1 to 7"):
        fit_pca(features(rng), 8)
    with pytest.raises(WootzError, match="allow 1 to 3"):
        fit_pca(features(rng)[:4], 4)


def test_whitening_refuses_a_direction_without_variance(rng):
    table = np.zeros((50, 4), np.float32)
    table[:, :2] = rng.normal(size=(50, 2))
    with pytest.raises(WootzError, match="pca_dim <= 2"):
        project(table, fit_pca(table, 3), whiten=True)


def test_l2_normalise(rng):
    table = features(rng)
    table[5] = 0
    unit = l2_normalise(table)
    lengths = np.linalg.norm(unit, axis=1)
    assert np.delete(lengths, 5) == pytest.approx(np.ones(199), rel=1e-6)
    assert lengths[5] == 0
    assert l2_normalise(table * 40) == pytest.approx(unit, abs=1e-6)


def test_check_features_counts_bad_rows():
    table = np.arange(12, dtype=float).reshape(4, 3)
    table[1, 0], table[3, 2] = np.nan, np.inf
    with pytest.raises(WootzError, match="2 of 4 rows"):
        check_features(table)
