import dataclasses
import json
import pickle
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wootz.apps import chain
from wootz.archive import Archive
from wootz.clustering import ClusterConfig, GraphConfig, KMeansConfig, cluster, tile_truth
from wootz.clustering.methods.head_options import SCANConfig, SeLaConfig, SimGCDConfig, TEMIConfig
from wootz.clustering.methods.options import SeededConfig
from wootz.clustering.montage import read_chosen
from wootz.clustering.sheet import SheetTile, shorten, tile_sheet
from wootz.clustering.training.options import DACConfig, DeepClusterConfig
from wootz.encoders import load_encoder
from wootz.errors import WootzError
from wootz.fields import NewField

TILE = 16


def textures(seed):
    """A field with three vertical bands: dark and quiet, striped, bright and noisy; and its mask."""
    rng = np.random.default_rng(seed)
    field = rng.normal(60, 3, (64, 96))
    field[:, 32:64] += 60 * (np.arange(64) // 2 % 2)[:, None] + 40
    field[:, 64:] += 100 + rng.normal(0, 25, (64, 32))
    return field.clip(0, 255).astype(np.uint8), np.repeat(np.repeat([[0, 1, 2]], 64, 0), 32, 1).astype(
        np.uint8
    )


def make_archive(path, *, pixel_sizes=(5.0, None, 4.0)):
    archive = Archive.create(path)
    fields = []
    for i, size in enumerate(pixel_sizes):
        row = {"file": f"s{i}_long name #{i}.tif", "specimen": f"S{i % 2}"}
        if size is not None:
            row |= {"pixel_size_row_nm": size, "pixel_size_col_nm": size, "pixel_size_source": "test"}
        fields.append(NewField(textures(i)[0], row))
    ids = archive.add_images(fields).image_ids
    archive.write_tiles(TILE, TILE)
    names = ["resin", "layer", "steel"]
    colours = ["#0072b2", "#e69f00", "#009e73"]
    classes = {
        "id": range(3),
        "name": names,
        "colour": colours,
        "role": "phase",
        "definition": "",
        "parent": "",
    }
    archive.add_classes("bands", pd.DataFrame(classes))
    for i, image_id in enumerate(ids[:2]):
        archive.add_mask(image_id, textures(i)[1], scheme="bands", source="test")
    return archive


def add_features(archive, name="toy", *, change=lambda x: x):
    tiles = archive.tiles()
    pixels = tiles.scaled(slice(None)).astype(float)
    rows = [
        (p.mean(), p.std(), np.abs(np.diff(p, axis=0)).mean(), np.abs(np.diff(p, axis=1)).mean())
        for p in pixels
    ]
    features = change(np.array(rows, np.float32))
    archive.add_embedding(name, tiles.tile_ids, features, {"encoder_fingerprint": "hand-made"})
    return archive


@pytest.fixture
def archive(tmp_path):
    return add_features(make_archive(tmp_path / "a"))


def run_cluster(archive, cfg, *, tiles=None):
    run = archive.start_run("cluster", {}, seed=0, inputs={})
    return cluster(archive.tiles() if tiles is None else tiles, cfg, run=run)


def settings(**changes):
    known = {"l2": False, "map": False, "montages": False, "keep_uninformative": True, "n_prototypes": 3}
    known |= {"shortcuts": False, "permutations": 49, "cards": False}
    method = KMeansConfig(
        spherical=False, n_init=3, n_clusters=changes.pop("n_clusters", 3), n_clusters_max=5
    )
    return ClusterConfig(method=method, **(known | changes))


def test_whole_adapter(archive):
    report = run_cluster(archive, settings(name="bands", truth_scheme="bands", map=True, montages=True))
    table = archive.tile_table
    assert set(table.cluster_bands) == {0, 1, 2}
    assert (table.outlier_bands >= 0).all()
    assert table[["umap_row_bands", "umap_col_bands"]].notna().all().all()
    assert report.agreement is not None
    assert report.agreement.accuracy == 1.0
    assert report.agreement.n == 2 * 24  # two of three images are annotated
    assert set(table.truth) == {"", "resin", "layer", "steel"}
    assert report.column == "cluster_bands"
    assert sum(report.sizes) == report.n_tiles == 72
    for word in ("3 clusters", "72 tiles", "accuracy 1.000", "overview.png"):
        assert word in report.summary()
    names = {path.name for path in report.folder.iterdir()}
    assert {"overview.png", "cluster_000.png", "cluster_002.png", "map.png", "map_truth.png"} <= names
    assert {"prototypes.parquet", "clusters.json", "confusion.csv", "classes.csv"} <= names
    assert all(path.exists() for path in report.pictures)


def test_prototypes_table_names_tiles_that_exist(archive):
    report = run_cluster(archive, settings())
    table = pd.read_parquet(report.folder / "prototypes.parquet")
    known = archive.tile_table.set_index("tile_id")
    assert set(table.role) == {"medoid", "borderline", "outlier"}
    joined = known.loc[table.tile_id]
    assert (joined.cluster_toy.to_numpy() == table.cluster.to_numpy()).all()
    assert (joined[["row", "col"]].to_numpy() == table[["row", "col"]].to_numpy()).all()


def test_number_of_clusters_by_sweep_is_shown(archive):
    report = run_cluster(archive, settings(n_clusters=None))
    assert report.n_clusters == 3
    assert report.curve is not None
    assert report.curve.n_clusters.tolist() == [2, 3, 4, 5]
    stored = pd.read_csv(report.folder / "n_clusters.csv")
    assert stored.silhouette.to_numpy() == pytest.approx(report.curve.silhouette.to_numpy())
    assert (report.folder / "n_clusters.png") in report.pictures


def add_bands(archive):
    """Features that part the three bands of a field, whatever the image."""
    tiles = archive.tiles()
    noise = np.random.default_rng(6).normal(size=(len(tiles), 5))
    features = 9 * np.eye(3, 5)[tiles.frame.col.to_numpy() // 32] + noise
    archive.add_embedding(
        "bands", tiles.tile_ids, features.astype(np.float32), {"encoder_fingerprint": "made"}
    )


def graph_settings(**changes):
    method = GraphConfig(umap_silhouette=False, n_clusters_max=6, n_resamples=2, n_noise=1, **changes)
    return ClusterConfig(
        method=method,
        embedding="bands",
        l2=False,
        map=False,
        montages=False,
        keep_uninformative=True,
        n_prototypes=3,
    )


def test_default_method_finds_the_number_and_says_why(archive):
    assert ClusterConfig().method == GraphConfig()
    add_bands(archive)
    report = run_cluster(archive, graph_settings())
    table = archive.tile_table
    assert report.n_clusters == 3
    assert set(table.cluster_bands) == {0, 1, 2}
    assert table.member_bands.between(0, 1).all()
    assert (table.outlier_bands >= 0).all()
    for word in ("3 clusters.", "mean Jaccard", "structureless"):
        assert word in report.summary()
    stored = pd.read_csv(report.folder / "n_clusters.csv")
    assert {"gap", "stability", "stability_noise", "seed_agreement"} <= set(stored)
    suggestion = json.loads((report.folder / "suggestion.json").read_text())
    assert suggestion["n_clusters"] == 3
    assert len(suggestion["stability_per_cluster"]) == 3
    assert (report.folder / "resolutions.csv").exists()
    assert (report.folder / "n_clusters.png") in report.pictures
    assert json.loads((report.folder / "clusters.json").read_text())["reasons"] == report.reasons


def test_number_that_was_asked_for_stands_beside_the_suggestion(archive):
    add_bands(archive)
    report = run_cluster(archive, graph_settings(n_clusters=4))
    assert report.n_clusters == 4
    assert report.reasons.startswith("4 clusters as asked for; the evidence says: 3 clusters.")


def test_noise_is_one_cluster_and_says_so(tmp_path):
    noise = np.random.default_rng(5)
    flat = make_archive(tmp_path / "n")
    add_features(flat, "bands", change=lambda x: noise.normal(size=(len(x), 6)))
    report = run_cluster(flat, graph_settings())
    assert report.sizes == (72,)
    assert "No stable clusters." in report.summary()
    assert "silhouette" not in report.summary().splitlines()[1]
    prototypes = pd.read_parquet(report.folder / "prototypes.parquet")
    assert set(prototypes.role) == {"medoid", "borderline", "outlier"}


def test_same_seed_same_clusters(archive):
    first = run_cluster(archive, settings(name="one", n_clusters=5))
    second = run_cluster(archive, settings(name="two", n_clusters=5))
    table = archive.tile_table
    assert (table.cluster_one == table.cluster_two).all()
    assert first.silhouette == second.silhouette


def test_numbers_of_an_earlier_clustering_do_not_stay(archive):
    run_cluster(archive, settings())
    part = archive.tiles().select(np.arange(40))
    run_cluster(archive, settings(n_clusters=2), tiles=part)
    table = archive.tile_table.set_index("tile_id")
    assert table.loc[part.tile_ids, "cluster_toy"].notna().all()
    assert table.drop(index=part.tile_ids).cluster_toy.isna().all()


def test_uninformative_tiles_are_left_out(archive):
    flags = np.zeros(72, bool)
    flags[:10] = True
    archive.set_tile_column("uninformative", archive.tile_table.tile_id, flags)
    report = run_cluster(archive, settings(keep_uninformative=False))
    assert (report.n_tiles, report.n_skipped) == (62, 10)
    assert archive.tile_table.cluster_toy.isna().sum() == 10
    assert "10 uninformative left out" in report.summary()


def test_pca_and_whitening_run(archive):
    report = run_cluster(archive, settings(pca_dim=2, whiten=True))
    assert report.n_clusters == 3


def test_tile_truth_by_hand(archive):
    tiles = archive.tiles()
    truth = tile_truth(tiles, scheme="bands")
    frame = tiles.frame
    expected = np.array(["resin", "layer", "steel"])[frame.col.to_numpy() // 32]
    annotated = frame.file.str.startswith(("s0", "s1")).to_numpy()
    assert (truth[annotated] == expected[annotated]).all()
    assert (truth[~annotated] == "").all()


def test_pictures_carry_image_and_scale(archive):
    tiles = archive.tiles()
    rows = [int(np.flatnonzero(tiles.frame.file.str.startswith(f"s{i}"))[0]) for i in range(2)]
    shown = read_chosen(tiles, pd.DataFrame({"row": rows}))
    assert shown[rows[0]].caption == "s0_long name #0"
    assert shown[rows[0]].pixel_size_nm == (5.0, 5.0)
    assert np.isnan(shown[rows[1]].pixel_size_nm).all()
    sheet = tile_sheet([("medoids", list(shown.values()))], title="t")
    words = [text.get_text() for text in sheet.axes[0].texts]
    assert "20 nm" in words
    assert "2 px" in words
    assert "s0_long name #0" in words


def test_sheet_needs_tiles_and_shortens_names():
    with pytest.raises(ValueError, match="at least one tile"):
        tile_sheet([("medoids", [])], title="t")
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert shorten("abc", 5) == "abc"
    tile_sheet([("a", [SheetTile(np.zeros((4, 8), np.uint8), "x", None)])], title="t")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": "nope"}, "nope"),
        ({"n_clusters": 100}, "72 tiles cannot form 100 clusters"),
        ({"pca_dim": 9}, "allow 1 to 4"),
        ({"truth_scheme": "nope"}, "bands"),
    ],
)
def test_errors_say_what_to_do(archive, change, message):
    with pytest.raises(WootzError, match=message):
        run_cluster(archive, settings(**change))


def test_missing_embeddings_name_the_command(tmp_path):
    bare = make_archive(tmp_path / "b")
    with pytest.raises(WootzError, match="wootz embed"):
        run_cluster(bare, settings())
    add_features(add_features(bare, "one"), "two")
    with pytest.raises(WootzError, match="embedding=one or embedding=two"):
        run_cluster(bare, settings())


def test_collapsed_encoder(tmp_path):
    flat = add_features(make_archive(tmp_path / "c"), change=np.ones_like)
    with pytest.raises(WootzError, match="collapsed"):
        run_cluster(flat, settings())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KMeansConfig(n_clusters=1), "n_clusters=1"),
        (lambda: KMeansConfig(n_clusters_min=5, n_clusters_max=4), "n_clusters_max"),
        (lambda: ClusterConfig(method="dbscan"), "choose one of graph, kmeans"),
        (lambda: ClusterConfig(whiten=True), "pca_dim"),
        (lambda: ClusterConfig(n_prototypes=0), "n_prototypes"),
        (lambda: ClusterConfig(truth="", truth_scheme="bands"), "truth=NAME"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(WootzError, match=message):
        make()


def test_functions_win_over_modules_of_their_name():
    """``wootz.clustering.kmeans`` stays the function whatever was imported before."""
    code = (
        "import wootz.clustering, sys;"
        "assert not {'torch', 'faiss', 'umap', 'matplotlib'} & set(sys.modules);"
        "import wootz.clustering.adapter, types;"
        "names = wootz.clustering.__all__;"
        "bad = [n for n in names if isinstance(getattr(wootz.clustering, n), types.ModuleType)];"
        "assert not bad, bad; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_method_that_knows_probabilities_and_names(archive):
    """A head on the command's path: names in, probabilities and named clusters out."""
    tiles = archive.tiles()
    names = np.array(["resin", "layer", ""])[tiles.frame.col.to_numpy() // 32]
    method = SeededConfig(n_clusters=3, spherical=False)
    cfg = dataclasses.replace(settings(name="named"), method=method)
    report = run_cluster(archive, cfg, tiles=tiles.with_column("truth", names))
    assert sorted(report.names) == ["", "layer", "resin"]
    assert "named: " in report.summary()
    assert json.loads((report.folder / "clusters.json").read_text())["names"] == list(report.names)
    scan = SCANConfig(n_clusters=3, steps=30, selflabel_steps=0, n_heads=2, batch_size=64)
    report = run_cluster(archive, dataclasses.replace(settings(name="head"), method=scan))
    table = pd.read_parquet(report.folder / "probabilities.parquet")
    assert table.tile_id.tolist() == tiles.tile_ids.tolist()
    assert table.shape[1] == 1 + report.n_clusters
    best = table.drop(columns="tile_id").to_numpy().max(axis=1)
    assert archive.tile_table.member_head.to_numpy(float) == pytest.approx(best, abs=1e-6)


@pytest.mark.slow
def test_method_that_trains_needs_no_embedding_and_leaves_an_encoder(tmp_path):
    archive = make_archive(tmp_path / "a")
    method = DACConfig(n_clusters=3, epochs=1, batch_size=32, augment="plain")
    report = run_cluster(archive, dataclasses.replace(settings(), method=method))
    assert report.column == "cluster_dac"
    assert load_encoder(report.folder / "encoder.pt").name == "small"
    again = dataclasses.replace(method, encoder=report.folder.name)
    assert run_cluster(archive, dataclasses.replace(settings(), method=again)).n_clusters >= 1


# killed and started again ----------------------------------------------------------------------------------
DYING = """
import os, pickle, sys
from importlib import import_module
import wootz
from wootz.apps import chain

module, name, after = import_module(sys.argv[2]), sys.argv[3], int(sys.argv[4])
plain, calls = getattr(module, name), []

def dying(*args, **options):
    calls.append(name)
    if len(calls) > after:
        os._exit(9)
    return plain(*args, **options)

setattr(module, name, dying)
chain.cluster(wootz.open(sys.argv[1]), pickle.loads(bytes.fromhex(sys.argv[5])))
"""
HEAD: Any = {"n_clusters": 4, "steps": 12, "batch_size": 64, "n_neighbors": 5}
KILLED = {  # options, and the function in whose call, of how many, the process dies
    "scan": (SCANConfig(**HEAD, n_heads=2, selflabel_steps=5), "methods.scan.scan_loss", 7),
    "temi": (TEMIConfig(**HEAD, n_heads=2), "methods.temi.temi_loss", 7),
    "sela": (SeLaConfig(**HEAD, n_heads=2, rounds=2), "methods.sela.cross_entropy", 15),
    "simgcd": (SimGCDConfig(**HEAD), "methods.simgcd.simgcd_loss", 7),
    "deepcluster": (
        DeepClusterConfig(n_clusters=3, epochs=3, n_labels=6, batch_size=32, augment="plain"),
        "training.classifying.random_view",
        3,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_killed_clustering_comes_to_the_same_when_it_is_started_again(archive, tmp_path, name):
    """Heads begin anew within the same run, trainings of the encoder go on after their last epoch."""
    shutil.copytree(archive.path, tmp_path / "whole")
    method, where, after = KILLED[name]
    cfg = dataclasses.replace(settings(name="again"), method=method, truth_scheme="bands")
    cfg = dataclasses.replace(cfg, embedding="" if name == "deepcluster" else cfg.embedding)
    module, _, function = f"wootz.clustering.{where}".rpartition(".")
    code = [sys.executable, "-c", DYING, archive.path, module, function, str(after), pickle.dumps(cfg).hex()]
    assert subprocess.run(code, capture_output=True, check=False).returncode == 9
    assert archive.runs.status.tolist() == ["running"]
    left = pd.read_csv(archive.path / "runs" / archive.runs.run[0] / "history.csv") if "deep" in name else ()
    assert len(left) == ("deep" in name)
    reports = [chain.cluster(Archive(path), cfg) for path in (archive.path, tmp_path / "whole")]
    assert archive.runs.status.tolist() == ["finished"]
    tables = [Archive(path).tile_table for path in (archive.path, tmp_path / "whole")]
    assert tables[0].cluster_again.tolist() == tables[1].cluster_again.tolist()
    assert reports[0].sizes == reports[1].sizes
