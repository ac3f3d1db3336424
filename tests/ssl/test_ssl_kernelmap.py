"""The kernel map: inner products are the kernel, and a linear head draws a circle."""

import numpy as np
import pytest

from wootz.classheads import fit_class_head
from wootz.ssl.kernelmap import fit_kernel_map, gaussian_kernel


def test_kernel_by_loops():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    by_hand = [[np.exp(-0.7 * sum((x - y) ** 2)) for y in b] for x in a]
    assert gaussian_kernel(a, b, 0.7) == pytest.approx(np.array(by_hand), abs=1e-6)


def test_inner_products_are_the_kernel_where_all_rows_are_landmarks():
    features = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32) * [1, 10, 0.1, 3]
    kernel_map = fit_kernel_map(features, rng=np.random.default_rng(0), n_landmarks=60)
    coordinates = kernel_map(features)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    exact = gaussian_kernel(standard, standard, 0.5 / 4)
    assert coordinates.shape == (60, 60)
    assert coordinates @ coordinates.T == pytest.approx(exact, abs=2e-3)


def test_units_and_a_constant_column_do_not_matter():
    features = np.random.default_rng(2).normal(size=(300, 3)).astype(np.float32)
    wide = np.column_stack([features * [1, 1000, 1e-3] + 5, np.ones(300)])
    maps = [
        fit_kernel_map(rows, rng=np.random.default_rng(0), n_landmarks=50, spread=spread)(rows)
        for rows, spread in ((features, 0.3), (wide, 0.4))
    ]
    assert maps[0] == pytest.approx(maps[1], abs=2e-2)


def test_a_linear_head_on_it_separates_a_disc_from_a_ring():
    rng = np.random.default_rng(3)
    features = rng.uniform(-2, 2, (1200, 2)).astype(np.float32)
    labels = np.where(np.hypot(*features.T) < 1.2, "disc", "ring").astype(object)
    taught = np.where(np.arange(1200) < 400, labels, "")
    accuracy = {}
    for name, rows in (
        ("plain", features),
        ("mapped", fit_kernel_map(features, rng=rng, n_landmarks=60)(features)),
    ):
        fitted = fit_class_head(rows, taught, groups=np.arange(1200) % 20, rng=rng, strengths=(1.0,))
        said = np.array(fitted.head.class_names)[fitted.head.probabilities(rows[400:]).argmax(axis=1)]
        accuracy[name] = (said == labels[400:]).mean()
    assert accuracy["mapped"] > 0.95
    assert accuracy["plain"] < 0.8
