"""Notes on clusters and tiles: on the page, after another clustering, in tables, undone."""

import io

import numpy as np
import pandas as pd
import pytest

from wootz.explore.actions import ActionError
from wootz.explore.desk import Desk
from wootz.explore.export import labels_csv, labels_frame, notes_csv
from wootz.explore.formats import save_labels
from wootz.explore.frozentable import frozen_table
from wootz.explore.notes import notes_frame, page_notes

from .conftest import open_workspace


@pytest.fixture
def noted(workspace):
    """Ana notes on cluster 1 and on three tiles, Ben on one of these; cluster 1 and one tile are judged."""
    rows = np.flatnonzero(workspace.clusters.numbers == 1).tolist()
    ana = {"actor": "Ana"}
    about = {"about": {"group": "1"}, "rows": rows, "text": "=stripes of the <b>filter</b>?"}
    workspace.act(ana | {"op": "note", "id": "n1"} | about)
    workspace.act(ana | {"op": "note", "id": "n2", "rows": [rows[0], 0, 1], "text": "look again"})
    workspace.act({"actor": "Ben", "op": "note", "id": "n3", "rows": [0], "text": "dust"})
    workspace.act(ana | {"op": "name", "class": "stripes", "rows": rows})
    workspace.act({"actor": "Ben", "op": "name", "class": "dark", "rows": [0]})
    return workspace, rows


def test_the_page_gets_notes_of_everybody(noted):
    workspace, rows = noted
    found = {note["id"]: note for note in page_notes(workspace)}
    assert list(found) == ["n1", "n2", "n3"]
    assert [found["n1"][k] for k in ("kind", "key", "n", "rows")] == ["group", "1", len(rows), []]
    assert [found["n2"][k] for k in ("kind", "n", "rows")] == ["tiles", 3, [rows[0], 0, 1]]
    assert [note["id"] for note in page_notes(workspace, actor="Ben")] == ["n3"]
    assert len(page_notes(workspace, actor="consensus")) == 3
    assert Desk(workspace).state_of("Ben")[0]["notes"] == list(found.values())


def test_an_undone_note_is_gone_and_comes_back(noted):
    workspace, _ = noted
    workspace.act({"actor": "Ana", "op": "undo", "target": "n2"})
    assert [note["id"] for note in page_notes(workspace)] == ["n1", "n3"]
    assert "look again" not in notes_csv(workspace).decode()
    workspace.act({"actor": "Ana", "op": "redo", "target": "n2"})
    assert [note["id"] for note in page_notes(workspace)] == ["n1", "n2", "n3"]


def test_a_note_on_a_cluster_outlives_the_clustering_on_its_tiles(noted):
    workspace, rows = noted
    numbers = pd.array((workspace.clusters.numbers + 1) % 3, "Int64")
    archive = workspace.archive
    archive.set_tile_column("cluster_toy", workspace.tiles.tile_ids, numbers)
    again = open_workspace(archive)
    found = page_notes(again)[0]
    assert (found["kind"], found["key"], found["rows"]) == ("tiles", "", rows)


def test_labels_carry_the_notes_of_each_tile(noted):
    workspace, rows = noted
    said = {0: ["look again"], 1: ["look again"]} | {row: ["=stripes of the <b>filter</b>?"] for row in rows}
    said[rows[0]].append("look again")
    ids = workspace.tiles.tile_ids
    for actor in ("Ana", "Ben", "consensus"):
        frame = labels_frame(workspace, expert=actor)
        assert len(frame) == (1 if actor == "Ben" else len(rows) + (actor == "consensus"))
        for tile_id, note in zip(frame["tile_id"], frame["note"], strict=True):
            row = list(ids).index(tile_id)
            texts = said[row] if actor != "Ben" else ["dust"]
            if actor == "consensus":
                texts = [f"Ana: {text}" for text in said[row]] + (["Ben: dust"] if row == 0 else [])
            assert note == " | ".join(texts)
    table = pd.read_csv(io.BytesIO(labels_csv(workspace, expert="Ana")))
    assert set(table["note"].str[:2]) == {"'="}  # no formula for a spreadsheet


def test_the_table_of_notes(noted, tmp_path):
    workspace, rows = noted
    ids = workspace.tiles.tile_ids
    frame = notes_frame(workspace)
    assert frame["about"].tolist() == ["cluster", "tiles", "tiles"]
    assert frame["name"].tolist() == ["Cluster 1", "", ""]
    assert frame["clustering"].tolist() == ["toy", "", ""]
    assert frame["n_tiles"].tolist() == [len(rows), 3, 1]
    assert frame["tile_ids"].tolist()[1:] == [" ".join(ids[[rows[0], 0, 1]]), ids[0]]
    assert frame["file"][2] == workspace.tiles.columns(["file"])["file"].iloc[0]
    path = save_labels(workspace, tmp_path / "a.notes.csv", expert="Ben")
    table = pd.read_csv(path)
    assert (table["expert"].tolist(), table["text"].tolist()) == (["Ben"], ["dust"])
    assert "'=stripes" in notes_csv(workspace).decode()
    assert notes_frame(open_workspace(workspace.archive)).equals(frame)


def test_a_copy_of_the_page_shows_the_notes_of_its_voice(noted, rng):
    workspace, rows = noted
    desk = Desk(workspace)
    for who, expected in (("Ana", ["n1", "n2"]), ("consensus", ["n1", "n2", "n3"]), ("", [])):
        notes = frozen_table(desk, who, n_max=10, rng=rng).about["state"]["notes"]
        assert [note["id"] for note in notes] == expected
    table = frozen_table(desk, "Ana", n_max=10_000, rng=rng)
    assert table.kept[table.about["state"]["notes"][1]["rows"]].tolist() == [rows[0], 0, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"text": " "},
        {"text": "x" * 10_001},
        {"about": {"tile": "a", "group": "b"}},
        {"rows": [-1]},
        {"rows": []},
    ],
)
def test_bad_notes_are_refused(workspace, change):
    with pytest.raises(ActionError):
        workspace.act({"actor": "Ana", "op": "note", "rows": [0], "text": "ok"} | change)
    assert workspace.state.seq == 0
