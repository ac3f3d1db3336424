"""A small archive with three textures, hand-made features, clusters and a map."""

import numpy as np
import pandas as pd
import pytest

from wootz.archive import Archive
from wootz.explore.clusters import load_clusters
from wootz.explore.config import ExploreConfig
from wootz.explore.workspace import Workspace
from wootz.fields import NewField

TILE = 16


def field(seed):
    """Three vertical bands: dark and quiet, striped, bright and noisy."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(60, 3, (64, 96))
    pixels[:, 32:64] += 60 * (np.arange(64) // 2 % 2)[:, None] + 40
    pixels[:, 64:] += 100 + rng.normal(0, 25, (64, 32))
    return pixels.clip(0, 255).astype(np.uint8)


def make_archive(path, *, clusters=True, embedding=True, n_images=3):
    archive = Archive.create(path)
    fields = []
    for i in range(n_images):
        row = {"file": f"s{i} <b>#{i}.tif", "specimen": f"S{i % 2}"}
        if i != 1:
            row |= {"pixel_size_row_nm": 5.0, "pixel_size_col_nm": 5.0, "pixel_size_source": "test"}
        fields.append(NewField(field(i), row))
    archive.add_images(fields)
    archive.write_tiles(TILE, TILE)
    tiles = archive.tiles()
    pixels = tiles.scaled(slice(None)).astype(float)
    features = np.array(
        [(p.mean(), p.std(), np.abs(np.diff(p, axis=0)).mean(), 0.1) for p in pixels], np.float32
    )
    if embedding:
        archive.add_embedding("toy", tiles.tile_ids, features, {"encoder_fingerprint": "hand-made"})
    if clusters:
        band = tiles.columns(["col"])["col"].to_numpy() // 32
        columns = {"cluster_toy": pd.array(band, "Int64"), "outlier_toy": pd.array(features[:, 1], "Float64")}
        columns |= {"umap_row_toy": -features[:, 1], "umap_col_toy": features[:, 0]}
        for name, values in columns.items():
            archive.set_tile_column(name, tiles.tile_ids, values)
    return archive


def make_clustered(path):
    """Make an archive that `wootz cluster` has been through, and the heap of six that each tile is in."""
    from wootz.clustering import ClusterConfig, GraphConfig, cluster

    archive = make_archive(path, clusters=False, embedding=False, n_images=4)
    tiles = archive.tiles()
    rng = np.random.default_rng(5)
    heap = rng.permutation(np.arange(len(tiles)) % 6)
    centres = 3 * np.eye(6, 8) + np.repeat(np.eye(2, 8)[::-1] * 9, 3, axis=0)
    features = (centres[heap] + rng.normal(0, 0.2, (len(tiles), 8))).astype(np.float32)
    archive.add_embedding("toy", tiles.tile_ids.tolist(), features, {"encoder_fingerprint": "hand-made"})
    method = GraphConfig(n_clusters=2, evidence=False, n_neighbors=8, leaf_resolution=3.0)
    cfg = ClusterConfig(method=method, map=False, montages=False, cards=False, shortcuts=False)
    cfg.keep_uninformative = True
    cluster(tiles, cfg, run=archive.start_run("cluster", {}, seed=0, inputs={}))
    return archive, heap


def open_workspace(archive, **options):
    tiles = archive.tiles()
    return Workspace(tiles, load_clusters(tiles, ExploreConfig(**options)))


@pytest.fixture
def archive(tmp_path):
    return make_archive(tmp_path / "a")


@pytest.fixture
def workspace(archive):
    return open_workspace(archive)


@pytest.fixture
def images(workspace):
    """Number of the image of each tile."""
    return np.unique(workspace.tiles.columns(["image_id"])["image_id"], return_inverse=True)[1]


@pytest.fixture
def browser(chromium):
    """Start Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def serve():
    """Serve archives until the test ends: a function of an archive that returns a `Served`."""
    from .browsing import Served

    started = []

    def start(archive):
        started.append(Served(archive))
        return started[-1]

    yield start
    for served in started:
        served.stop()
