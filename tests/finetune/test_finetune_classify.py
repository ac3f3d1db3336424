"""`wootz finetune task=classify` on a toy archive: what it learns from, writes, and refuses."""

import json

import numpy as np
import pandas as pd
import pytest

from wootz.apps import chain
from wootz.archive import Archive
from wootz.cli.main import main
from wootz.errors import CheckpointError, WootzError
from wootz.fields import NewField
from wootz.finetune.classify_files import load_class_head
from wootz.finetune.config import ClassifyConfig, FinetuneConfig, PredictConfig

N_IMAGES, SIDE = 8, 64


@pytest.fixture
def archive(tmp_path) -> Archive:
    """Eight images of 16 tiles; the left half of each is dark, the right half bright, one tile is a crack."""
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path / "study")
    fields = []
    for i in range(N_IMAGES):
        pixels = rng.normal(80, 5, (SIDE, SIDE))
        pixels[:, SIDE // 2 :] += 90
        split = "test" if i == N_IMAGES - 1 else "train"
        about = {"file": f"{i}.tif", "split": split, "specimen": f"S{i // 2}"}
        fields.append(NewField(pixels.clip(0, 255).astype(np.uint8), about))
    archive.add_images(fields)
    archive.write_tiles(16, 16)
    tiles = archive.tiles()
    truth = true_classes(tiles)
    codes = np.searchsorted(["crack", "dark", "light"], truth)
    features = 4 * np.eye(3)[codes] + rng.normal(0, 1, (len(tiles), 3))
    archive.add_embedding(
        "toy", tiles.tile_ids.tolist(), features.astype(np.float32), {"encoder_fingerprint": "by hand"}
    )
    return archive


def true_classes(tiles):
    frame = tiles.columns(["row", "col"])
    truth = np.where(frame["col"] < SIDE // 2, "dark", "light").astype(object)
    truth[(frame["row"] == 16) & (frame["col"] == 16)] = "crack"
    return truth


def say(archive, actor, words):
    """Log what a person names: tile ids by class."""
    for k, (name, ids) in enumerate(words.items()):
        record = {"id": f"{actor}{k}", "op": "name", "actor": actor, "class": name, "tiles": list(ids)}
        archive.log(record)


def test_from_the_log_of_an_expert_to_a_class_for_every_tile(archive, capsys):
    tiles = archive.tiles()
    truth = true_classes(tiles)
    named = np.arange(len(tiles)) % 2 == 0
    ids = tiles.tile_ids
    say(archive, "Ana", {c: ids[named & (truth == c)] for c in ("dark", "light")})
    say(archive, "Ben", {"crack": ids[truth == "crack"], "dark": ids[truth == "dark"][:3]})
    say(archive, "Ana2", {})
    with pytest.raises(WootzError, match=r"Ana, Ben.*task\.expert"):
        chain.finetune(archive, FinetuneConfig(task=ClassifyConfig()))
    assert main(["finetune", str(archive.path), "task=classify", "task.expert=Ana"]) == 0
    assert "on unseen images: accuracy" in capsys.readouterr().out
    frame = Archive(archive.path).tile_table
    right = frame["class_toy"].to_numpy() == truth
    assert right[truth != "crack"].mean() > 0.95
    assert set(frame["class_toy"]) == {"dark", "light"}  # Ben's crack is not Ana's
    assert frame["confidence_toy"].between(0.5, 1).all()
    run = max((archive.path / "runs").glob("finetune-*/scores.json")).parent
    scores = json.loads((run / "scores.json").read_text())
    is_test = tiles.columns(["split"])["split"].to_numpy() == "test"
    assert scores["n_named"] == (named & (truth != "crack") & ~is_test).sum()
    assert scores["test"]["n_judged"] == (named & (truth != "crack") & is_test).sum()
    assert scores["cross_validated"]["n_judged"] == scores["n_named"]
    assert scores["cross_validated"]["balanced_accuracy"] > 0.9
    table = pd.read_csv(run / "confusion.csv", index_col=0)
    assert int(table.to_numpy().sum()) == scores["n_named"]
    assert (run / "classes.png").stat().st_size > 5000


def test_a_column_teaches_too_and_the_head_names_tiles_later(archive):
    tiles = archive.tiles()
    archive.set_tile_column("truth", tiles.tile_ids, true_classes(tiles))
    task = ClassifyConfig(labels="truth", column="three", together="specimen")
    report = chain.finetune(archive, FinetuneConfig(task=task))
    assert [c["class"] for c in report.scores["cross_validated"]["classes"]] == ["crack", "dark", "light"]
    before = archive.tile_table["class_three"].tolist()
    archive.set_tile_column("class_three", tiles.tile_ids, [""] * len(tiles))
    said = chain.predict(archive, PredictConfig())
    assert archive.tile_table["class_three"].tolist() == before
    assert f"all {len(tiles)} tiles named" in said.summary()
    head, about = load_class_head(report.checkpoint)
    assert about["labels"] == "truth"
    p = head.probabilities(tiles.embedding("toy"))
    stored = archive.tile_table["confidence_three"].to_numpy(float)
    np.testing.assert_allclose(p.max(axis=1), stored, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "wootz explore"),
        ({"expert": "Eve"}, r"task\.expert='Eve'"),
        ({"labels": "truth", "embedding": "byol"}, "wootz embed .* name=byol"),
        ({"labels": "one"}, "two classes"),
        ({"labels": "lonely"}, "'crack' has a single named tile"),
    ],
)
def test_what_is_missing_is_said(archive, options, words):
    tiles = archive.tiles()
    truth = true_classes(tiles)
    lonely = np.where(truth == "crack", "", truth)
    lonely[5] = "crack"
    columns = {"truth": truth, "one": np.where(truth == "dark", "dark", ""), "lonely": lonely}
    for name, values in columns.items():
        archive.set_tile_column(name, tiles.tile_ids, values)
    with pytest.raises(WootzError, match=words):
        chain.finetune(archive, FinetuneConfig(task=ClassifyConfig(**options)))
    assert not [c for c in archive.tile_table.columns if c.startswith("class_")]


def test_two_sources_at_once_and_strange_files_are_refused(archive, tmp_path):
    with pytest.raises(WootzError, match="not both"):
        ClassifyConfig(expert="Ana", labels="truth")
    with pytest.raises(CheckpointError):
        load_class_head(tmp_path / "nothing.pt")
