"""The study of clustering: classes of tiles by loops, what methods are told, cells on rendered tiles."""

import json

import numpy as np
import pytest
from skimage.io import imread

from wootz.apps.studies import clustering
from wootz.apps.studies.clustering_cells import method_of, name_some_rows, probe_classes
from wootz.apps.studies.tile_classes import RENDERED_PRESENT, name_by_shares, window_shares
from wootz.apps.study import load_study
from wootz.archive import Archive
from wootz.clustering.methods.names import METHODS
from wootz.errors import WootzError

FIXED = {
    "sets": ["rendered"],
    "tile_px": {"rendered": 64},
    "n_rendered": 2,
    "encoder": "small",
    "steps": 2,
    "batch_size": 16,
    "precision": "float32",
    "named_per_class": 2,
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clustering")
    clustering.prepare(FIXED, folder, data="")
    return folder


# classes ---------------------------------------------------------------------------------------------------
def test_shares_of_windows_by_loops(rng):
    mask = rng.integers(0, 4, (30, 40)).astype(np.uint8)
    mask[mask == 3] = 255
    mask[20:, 30:] = 255
    windows = np.array([[0, 0, 10, 10], [5, 7, 8, 16], [20, 30, 10, 10], [22, 28, 4, 4]])
    found = window_shares(mask, windows, n_classes=3)
    for row, (top, left, height, width) in zip(found, windows.tolist(), strict=True):
        counts = [0, 0, 0]
        for i in range(top, top + height):
            for j in range(left, left + width):
                if mask[i, j] != 255:
                    counts[mask[i, j]] += 1
        if sum(counts):
            np.testing.assert_allclose(row, np.array(counts) / sum(counts))
        else:
            assert np.isnan(row).all()
    assert np.isnan(found[2]).all()


def test_the_first_that_is_present_names_a_tile_else_the_largest():
    names = ["matrix", "pore", "crack"]
    shares = np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.9, 0.1, 0.0], [0.4, 0.4, 0.2], [np.nan] * 3])
    found = name_by_shares(shares, names, present={"crack": 0.15, "pore": 0.25})
    assert found.tolist() == ["crack", "pore", "matrix", "crack", ""]
    assert name_by_shares(shares, names, present={})[3] == "matrix"


def test_classes_of_rendered_tiles_by_loops(shared):
    tiles = Archive(shared / "rendered").tiles().frame
    names = dict(enumerate(["resin", "layer", "layer", "steel", "pore", "precipitate", "crack"]))
    seen = set()
    for tile in tiles.to_dict("records"):
        stem = tile["file"].split("/")[-1].removesuffix(".tif")
        at = np.s_[tile["row"] : tile["row"] + 64, tile["col"] : tile["col"] + 64]
        mask = np.asarray(imread(shared / "fields" / "masks" / f"{stem}.png"))[at]
        objects = np.asarray(imread(shared / "fields" / "instances" / f"{stem}.png"))[at]
        scene = json.loads((shared / "fields" / "scenes" / f"{stem}.json").read_text())
        group = {item["id"]: item["group"] for item in scene["inclusions"]}
        counts = dict.fromkeys([*names.values(), "pore line"], 0)
        for kind, thing in zip(mask.ravel().tolist(), objects.ravel().tolist(), strict=True):
            counts["pore line" if group.get(thing) == "pore_line" else names[kind]] += 1
        share = {name: n / 64**2 for name, n in counts.items()}
        bands = sorted(share[band] for band in ("resin", "layer", "steel"))
        share["interface"] = bands[1]
        present = [name for name, least in RENDERED_PRESENT.items() if share[name] >= least]
        largest = max(("resin", "layer", "steel", "pore"), key=lambda name: share[name])
        expected = present[0] if present else largest.replace("layer", "clean layer")
        assert tile["truth"] == expected
        seen.add(expected)
    assert {"resin", "steel", "interface", "pore line"} <= seen


# what methods are told -------------------------------------------------------------------------------------
def test_the_rarest_class_is_never_named():
    truth = np.repeat(np.array(["a", "b", "c", ""], object), [20, 6, 5, 4])
    known = name_some_rows(truth, n_each=4, seed=1)
    assert known.names == ("a", "b")
    assert np.bincount(known.labels[known.labels >= 0]).tolist() == [4, 3]
    assert set(truth[known.labels == 1]) == {"b"}
    assert (len(known.together), len(known.apart)) == (6 + 3, 12)
    assert all(truth[i] == truth[j] for i, j in known.together)
    assert all(truth[i] != truth[j] for i, j in known.apart)
    assert not np.array_equal(known.labels, name_some_rows(truth, n_each=4, seed=2).labels)


def test_the_probe_has_not_seen_the_image_that_it_is_asked_about(rng):
    """Features that tell the image and nothing else are of no use, those that tell the class are."""
    truth = np.repeat(np.array(["a", "b"] * 20, object), 4)
    groups = np.repeat(np.arange(40), 4)
    image = rng.normal(size=(40, 30))[groups] + 0.01 * rng.normal(size=(160, 30))
    telling = np.concatenate([image, np.repeat(truth[:, None] == "a", 10, axis=1)], axis=1)
    assert (probe_classes(image, truth, groups=np.arange(160), seed=0) == truth).mean() > 0.7
    assert (probe_classes(image, truth, groups=groups, seed=0) == truth).mean() < 0.6
    assert (probe_classes(telling, truth, groups=groups, seed=0) == truth).mean() > 0.95


def test_every_method_is_in_the_study_with_options_that_it_has():
    for name in ("clustering", "clustering_neu"):
        study = load_study(name)
        methods = sorted(set(study.grid["method"]) - {"linear_probe"})
        made = [method_of({"method": m} | study.fixed, n_classes=5, source="random:small") for m in methods]
        # hierarchical is k-means in pieces, for more tiles than fit in memory
        assert {method.name for method in made} == set(METHODS) - {"hierarchical"}
        assert {m.encoder for m in made if hasattr(m, "encoder")} == {"random:small"}
        free = {m for m, options in zip(methods, made, strict=True) if getattr(options, "n_clusters", 0) != 5}
        assert free == {"graph", "louvain", "hdbscan"}
    with pytest.raises(WootzError, match="no option 'k'"):
        method_of({"method": "kmeans", "own": {"kmeans": {"k": 3}}}, n_classes=5, source="")


# cells -----------------------------------------------------------------------------------------------------
def test_cells_score_clusters_and_leave_out_what_was_told(shared, tmp_path):
    params = FIXED | {"set": "rendered", "features": "lbp", "seed": 0}
    found = clustering.cell(params | {"method": "kmeans"}, tmp_path, shared=shared)
    assert found["n_tiles"] == 128
    assert found["n_clusters"] == found["n_classes"] > 3
    assert found["accuracy"] > 0.3
    told = clustering.cell(params | {"method": "seeded"}, tmp_path, shared=shared)
    truth = Archive(shared / "rendered").tiles().frame["truth"].to_numpy(object)
    assert told["n_tiles"] == 128 - (name_some_rows(truth, n_each=2, seed=0).labels >= 0).sum()
    with pytest.raises(WootzError, match="trains an encoder"):
        clustering.cell(params | {"method": "dac"}, tmp_path, shared=shared)


@pytest.mark.slow
def test_features_are_made_once_and_training_starts_from_their_encoder(shared, tmp_path):
    params = FIXED | {"set": "rendered", "features": "simclr", "seed": 3}
    own = {"deepcluster": {"epochs": 1, "batch_size": 16, "n_labels": 8}}
    first = clustering.cell(params | {"method": "kmeans"}, tmp_path / "a", shared=shared)
    made = shared / "rendered" / "features" / "simclr_3"
    changed = (made / "features.npy").stat().st_mtime_ns
    again = clustering.cell(params | {"method": "kmeans"}, tmp_path / "b", shared=shared)
    assert (made / "features.npy").stat().st_mtime_ns == changed
    assert {**first, "method_seconds": 0} == {**again, "method_seconds": 0}
    clustering.cell(params | {"method": "deepcluster", "own": own}, tmp_path / "c", shared=shared)
    from wootz.encoders import encoder_provenance

    assert encoder_provenance(tmp_path / "c" / "encoder.pt")["start"]["method"] == "simclr"
