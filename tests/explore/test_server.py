"""The server through Starlette's test client: data, actions, faults, and everybody who is refused."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wootz import oplog
from wootz.errors import WootzError
from wootz.explore.config import ExploreConfig
from wootz.explore.desk import Desk
from wootz.explore.export import store_labels
from wootz.explore.guard import BODY_MAX
from wootz.explore.run_explore import open_desk
from wootz.explore.server import build_app
from wootz.plotting import grey_uint8

from .conftest import make_archive, open_workspace

HOST, TOKEN = "127.0.0.1:8123", "secret"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def make_client(desk, **headers):
    from starlette.testclient import TestClient

    app = build_app(desk, hosts=[HOST, "localhost:8123"], token=TOKEN)
    return TestClient(app, base_url=f"http://{HOST}", headers=HEADERS | headers)


@pytest.fixture
def client(workspace):
    return make_client(Desk(workspace))


def unpack(data):
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    arrays = {}
    for a in header["arrays"]:
        start = 4 + length + a["offset"]
        assert start % 8 == 0
        arrays[a["name"]] = np.frombuffer(data, a["dtype"], a["length"], start)
    return header, arrays


def do(client, op, actor="Ana", **fields):
    answer = client.post("/api/act", json={"op": op, "actor": actor, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def state(client, expert="Ana"):
    header, arrays = unpack(client.get("/api/state", params={"expert": expert}).content)
    return header, [header["verdicts"][v] for v in arrays["verdict"]], arrays["group"]


def shown_range(about):
    """A tenth more than the range that networks see."""
    tenth = (about.intensity_high - about.intensity_low) / 10
    return {"low": about.intensity_low - tenth, "high": about.intensity_high + tenth}


def test_session_points_and_columns(client, workspace):
    session = client.get("/api/session").json()
    assert session["n"] == workspace.n == 72
    assert session["clustering"] == "toy"
    assert session["hints"] == []
    assert {"cluster_toy", "outlier_toy", "specimen"} <= set(session["columns"])
    _, points = unpack(client.get("/api/points").content)
    frame = workspace.tiles.frame
    np.testing.assert_array_equal(points["x"], frame.umap_col_toy.to_numpy(np.float32))
    np.testing.assert_array_equal(points["y"], -frame.umap_row_toy.to_numpy(np.float32))
    about, column = unpack(client.get("/api/column", params={"name": "specimen"}).content)
    assert [about["values"][v] for v in column["values"]] == frame.specimen.tolist()
    about, column = unpack(client.get("/api/column", params={"name": "outlier_toy"}).content)
    np.testing.assert_array_equal(column["values"], frame.outlier_toy.to_numpy(np.float32))
    assert about["low"] < about["high"]
    assert client.get("/api/column", params={"name": "../manifest"}).status_code == 400


def test_sprites_are_the_tiles_in_the_order_asked_for(client, workspace):
    rows = [5, 70, 0, 33, 21, 8, 9, 10, 11]
    answer = client.post("/api/sprite", json={"rows": rows, "side": 64})
    sheet = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert sheet.shape == (128, 512)
    frame = workspace.tiles.frame
    for i, row in enumerate(rows):
        about = frame.iloc[row]
        pixels = workspace.tiles.read([row])[0]
        expected = grey_uint8(pixels, **shown_range(about))
        shown = sheet[i // 8 * 64 :, i % 8 * 64 :][:64, :64].reshape(16, 4, 16, 4).mean((1, 3))
        assert np.abs(shown - expected).mean() < 6  # JPEG
    for bad in ([], [72], [-1], ["0"], [0.5], [[0]], None, list(range(72)) * 4):
        assert client.post("/api/sprite", json={"rows": bad, "side": 64}).status_code == 400


def test_a_tile_in_its_field_has_its_box_and_a_scale_bar(client, workspace):
    row = 7
    about = workspace.tiles.frame.iloc[row]
    header, arrays = unpack(client.get("/api/context", params={"row": row, "factor": 0}).content)
    assert header["box"] == [about.col, about.row, 16, 16]
    assert (header["width"], header["height"]) == (96, 64)
    assert header["bar_label"] == "100 nm"
    assert header["bar_px"] == 20
    assert header["facts"]["file"] == about.file
    shown = np.asarray(Image.open(io.BytesIO(arrays["jpeg"].tobytes())))
    field = workspace.archive.field(about.image_id)
    expected = grey_uint8(field, **shown_range(about))
    assert np.abs(shown.astype(float) - expected).mean() < 6
    header, _ = unpack(client.get("/api/context", params={"row": row, "factor": 2}).content)
    assert (header["width"], header["height"]) == (32, 32)
    unknown = int(np.flatnonzero(workspace.tiles.frame.pixel_size_col_nm.isna())[0])
    header, _ = unpack(client.get("/api/context", params={"row": unknown}).content)
    assert header["bar_label"].endswith("px")


def test_name_merge_split_undo_redo_and_a_second_expert(client, workspace):
    _, _, groups = state(client)
    first, second = np.flatnonzero(groups == 0).tolist(), np.flatnonzero(groups == 1).tolist()
    assert do(client, "name", **{"class": "pore"}, rows=first)["seq"] == 1
    do(client, "merge", into="0", rows=second)
    header, verdicts, groups = state(client)
    assert header["groups"] == ["0", "2"]
    assert [verdicts[row] for row in first] == ["class:pore"] * len(first)
    assert all(groups[row] == 0 for row in first + second)
    split = do(client, "split", parts=[first, second], of="0")
    header, _, groups = state(client)
    assert header["group_names"] == ["Cluster 2", "Cluster 0A", "Cluster 0B"]
    assert header["groups"] == ["2", f"{split['id']}.0", f"{split['id']}.1"]
    assert header["undo"] == f"split {len(first + second)} tiles into 2 parts"
    for _ in range(3):
        do(client, "undo")
    header, verdicts, groups = state(client)
    assert set(verdicts) == {""}
    assert header["groups"] == ["0", "1", "2"]
    assert client.post("/api/act", json={"op": "undo", "actor": "Ana"}).status_code == 400
    do(client, "redo")
    assert set(state(client)[1]) == {"", "class:pore"}
    assert set(state(client, "Ben")[1]) == {""}
    do(client, "artefact", "Ben", rows=first[:2])
    assert client.get("/api/session").json()["experts"] == ["Ana", "Ben"]
    texts = [a["text"] for a in client.get("/api/history", params={"expert": "Ana"}).json()]
    assert texts[-1] == f"named {len(first)} tiles as pore"
    table = pd.read_csv(io.BytesIO(client.get("/api/labels.csv").content))
    assert sorted(table.groupby("expert").size().items()) == [
        ("Ana", len(first)),
        ("Ben", 2),
        ("consensus", len(first) - 2),  # they differ on two
    ]
    ids = workspace.tiles.tile_ids[first]
    assert set(table[table.expert == "Ana"].tile_id) == set(ids)


def as_bits(rows, n):
    """What the page sends of many rows, bit by bit."""
    data = bytearray(-(-n // 8))
    for row in rows:
        data[row // 8] |= 1 << row % 8
    return {"bits": base64.b64encode(data).decode()}


def test_many_rows_may_come_as_bits(client, workspace):
    n, rows = workspace.n, [0, 3, 8, 63, 64, 71]
    do(client, "name", **{"class": "pore"}, rows=as_bits(rows, n))
    assert workspace.verdicts("Ana")[0].nonzero()[0].tolist() == rows
    do(client, "split", parts=[as_bits([1, 2], n), [5, 4]], of="0")
    assert len(set(workspace.state.groups("Ana", workspace.clusters.fingerprint).values())) == 2
    assert client.post("/api/split", json={"rows": as_bits(rows, n), "parts": 2}).status_code == 200
    for wrong in ("é", "A", 16 * "/"):  # no base64, twice; bits after the last tile
        answer = client.post("/api/act", json={"op": "artefact", "actor": "Ana", "rows": {"bits": wrong}})
        assert answer.status_code == 400, wrong
    assert workspace.state.seq == 2


def test_a_cluster_in_parts(client, workspace):
    asked = {"expert": "Ana", "group": "1", "n": "3"}
    header, arrays = unpack(client.get("/api/parts", params=asked).content)
    assert arrays["rows"].tolist() == np.flatnonzero(workspace.clusters.numbers == 1).tolist()
    assert [card["n"] for card in header["cards"]] == np.bincount(arrays["part"]).tolist()
    for change in ({"group": "../x"}, {"n": "61"}, {"n": "-1"}, {"expert": ""}):
        assert client.get("/api/parts", params=asked | change).status_code == 400


def test_the_same_action_sent_twice_counts_once(client):
    once = do(client, "name", id="x1", **{"class": "pore"}, rows=[1])
    again = do(client, "name", id="x1", **{"class": "pore"}, rows=[1])
    assert once["seq"] == again["seq"] == 1
    assert state(client)[0]["seq"] == 1


def test_two_servers_of_one_archive_converge(client, archive):
    other = make_client(Desk(open_workspace(archive)))
    do(client, "name", **{"class": "pore"}, rows=[1, 2])
    do(other, "name", **{"class": "crack"}, rows=[2, 3])
    do(client, "undo")
    do(other, "between", "Ben", rows=[9])
    assert other.get("/api/changes", params={"after": 3}).json() == {"seq": 4}
    for expert in ("Ana", "Ben"):
        assert state(client, expert)[:2] == state(other, expert)[:2]
    _, verdicts, _ = state(client)  # the undo took Ana's latest action, which came from the other window
    assert verdicts[1:4] == ["class:pore", "class:pore", ""]


def test_a_restart_shows_every_acknowledged_action(client, archive):
    do(client, "define", **{"class": "pore"}, name="Pore", definition="a hole", examples=[3])
    do(client, "name", **{"class": "pore"}, rows=[4, 5])
    with (archive.path / oplog.LOG).open("ab") as file:
        file.write(b'{"id": "half')
    desk = open_desk(archive, ExploreConfig())
    again = make_client(desk)
    assert "set aside in log/torn-" in again.get("/api/session").json()["torn"]
    header, verdicts, _ = state(again)
    assert verdicts[4:6] == ["class:pore"] * 2
    about = header["classes"][0]
    assert (about["name"], about["definition"], about["examples"]) == ("Pore", "a hole", [3])


def test_a_full_disk_is_told_and_changes_nothing(client, workspace, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    do(client, "name", **{"class": "pore"}, rows=[4])
    with monkeypatch.context() as patch:
        patch.setattr("wootz.storage.write_all", full)
        answer = client.post("/api/act", json={"op": "artefact", "actor": "Ana", "rows": [4]})
    assert answer.status_code == 507
    assert "disk full" in answer.json()["error"]
    assert state(client)[1][4] == "class:pore"
    do(client, "artefact", rows=[4])
    assert state(client)[1][4] == "artefact"


def test_similar_proposals_and_splits(client, workspace):
    band = workspace.clusters.numbers
    found = client.post("/api/similar", json={"rows": [int(np.flatnonzero(band == 1)[0])], "n": 20}).json()
    assert [band[row] for row in found["rows"]] == [1] * 20
    assert found["scores"] == sorted(found["scores"], reverse=True)
    assert client.post("/api/propose", json={"expert": "Ana", "class": "dark"}).status_code == 400
    dark, bright = np.flatnonzero(band == 0).tolist(), np.flatnonzero(band == 2).tolist()
    do(client, "name", **{"class": "dark"}, rows=dark[:2])
    do(client, "name", **{"class": "bright"}, rows=bright[:2])
    do(client, "refuse", **{"class": "dark"}, rows=dark[2:4])
    found = client.post("/api/propose", json={"expert": "Ana", "class": "dark", "n": 10}).json()["rows"]
    assert [band[row] for row in found] == [0] * 10
    assert set(found).isdisjoint(dark[:4])
    parts = client.post("/api/split", json={"rows": dark + bright, "parts": 2}).json()
    assert sorted(map(sorted, parts)) == [dark, bright]
    assert client.post("/api/split", json={"rows": [1, 2], "parts": 3}).status_code == 400


def test_cards_show_typical_tiles_and_follow_edits(client, workspace):
    cards = client.get("/api/cards", params={"expert": "Ana"}).json()
    assert [(c["key"], c["n"], c["edited"]) for c in cards] == [(str(k), 24, False) for k in range(3)]
    features = workspace.clusters.features
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for k, card in enumerate(cards):
        rows = np.flatnonzero(workspace.clusters.numbers == k)
        away = ((unit[rows] - unit[rows].mean(0)) ** 2).sum(1)
        assert card["tiles"]["medoid"][0] == rows[away.argmin()]
        assert rows[away.argmax()] in card["tiles"]["outlier"]
        assert dict(card["spread"]["specimen"]) == {"S0": 16, "S1": 8}
    do(client, "move", into="1", rows=[int(np.flatnonzero(workspace.clusters.numbers == 0)[0])])
    cards = client.get("/api/cards", params={"expert": "Ana"}).json()
    assert [(c["n"], c["edited"]) for c in cards] == [(23, True), (25, True), (24, False)]


def test_cards_of_too_many_tiles_are_of_a_sample(workspace, monkeypatch):
    whole = Desk(workspace).cards("Ana")
    monkeypatch.setattr("wootz.explore.desk.SEEN_WHOLE", workspace.n - 1)
    assert Desk(workspace).cards("Ana") == whole  # the sample holds all
    monkeypatch.setattr("wootz.explore.desk.SEEN_EACH", 6)
    numbers = workspace.clusters.numbers
    for card, full in zip(Desk(workspace).cards("Ana"), whole, strict=True):
        shown = [row for rows in card["tiles"].values() for row in rows]
        assert len(set(shown)) == len(shown) == 6  # two of each role, of the six that were seen
        assert set(numbers[shown]) == {int(card["key"])}
        assert (card["n"], card["spread"]) == (full["n"], full["spread"])  # counts are of all


def test_find(client, workspace):
    wanted = workspace.tiles.tile_ids[11]
    assert client.get("/api/find", params={"text": wanted.upper()}).json() == [11]
    assert len(client.get("/api/find", params={"text": "#2"}).json()) == 24
    assert client.get("/api/find", params={"text": ".*"}).json() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer wrong"},
        {"Host": "evil.example:8123"},
        {"Host": "127.0.0.1:9"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_strangers_are_refused(workspace, headers):
    client = make_client(Desk(workspace), **headers)
    answers = [client.get(f"/api/{name}", params={"expert": "x"}) for name in ("session", "state", "cards")]
    answers.append(client.post("/api/act", json={"op": "clear", "actor": "x", "rows": [1]}))
    assert {a.status_code for a in answers} == {403}
    assert workspace.catch_up() == 0


def test_own_page_is_served_and_nothing_else(client):
    answer = client.get("/", headers={"Authorization": "", "Origin": f"http://{HOST}"})
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path in (
        "/page/../server.py",
        "/page/..%2fserver.py",
        "/page/%2e%2e/%2e%2e/errors.py",
        "/page//etc/passwd",
    ):
        assert client.get(path).status_code == 404


def test_bodies_too_large_or_wrong_are_refused(client, workspace):
    large = client.post("/api/act", content=b"x" * 10, headers={"Content-Length": str(BODY_MAX + 1)})
    assert large.status_code == 413
    parts = (b"x" * (1 << 20) for _ in range((BODY_MAX >> 20) + 2))
    assert client.post("/api/act", content=parts).status_code == 413  # without saying how long it is
    wrong = [b"", b"[1]", b"{", b'{"op": "name"}', b'{"op": "explode", "actor": "a"}']
    wrong += [b'{"op": "name", "actor": "a", "class": "c", "rows": ["../../etc/passwd"]}']
    wrong += [b'{"op": "name", "actor": "a\\nb", "class": "c", "rows": [1]}']
    wrong += [b'{"op": "undo", "actor": "a", "target": "../x"}', b'{"op": "name", "actor": "a", "rows": [1]}']
    wrong += [json.dumps({"op": "name", "actor": "a", "class": "x" * 200, "rows": [1]}).encode()]
    for body in wrong:
        assert client.post("/api/act", content=body).status_code == 400, body
    assert workspace.catch_up() == 0
    for query in ("", "?expert=", "?expert=" + "x" * 200):
        assert client.get("/api/state" + query).status_code == 400


def test_archives_without_clusters_or_embedding_say_what_to_run(tmp_path):
    client = make_client(Desk(open_workspace(make_archive(tmp_path / "a", clusters=False))))
    session = client.get("/api/session").json()
    assert "wootz cluster" in " ".join(session["hints"])
    assert session["has_map"]
    do(client, "name", **{"class": "pore"}, rows=[4])
    merge = client.post("/api/act", json={"op": "merge", "actor": "Ana", "into": "1", "rows": [1]})
    assert "wootz cluster" in merge.json()["error"]
    bare = make_client(Desk(open_workspace(make_archive(tmp_path / "b", clusters=False, embedding=False))))
    assert "wootz embed" in " ".join(bare.get("/api/session").json()["hints"])
    assert "wootz embed" in bare.post("/api/similar", json={"rows": [1]}).json()["error"]
    only = make_client(Desk(open_workspace(make_archive(tmp_path / "c", embedding=False))))
    assert len(only.get("/api/cards", params={"expert": "a"}).json()) == 3
    empty = make_archive(tmp_path / "d", clusters=False, embedding=False)
    with pytest.raises(WootzError, match="clusters='nope'"):
        open_desk(empty, ExploreConfig(clusters="nope"))


def test_more_tiles_than_a_page_can_hold_are_refused(archive, monkeypatch):
    n = len(archive.tile_table)
    monkeypatch.setattr("wootz.explore.run_explore.TILES_MAX", n)
    assert open_desk(archive, ExploreConfig()).workspace.n == n
    monkeypatch.setattr("wootz.explore.run_explore.TILES_MAX", n - 1)
    with pytest.raises(WootzError, match=f"has {n} tiles, more than a page can hold.*stride_px"):
        open_desk(archive, ExploreConfig())


def test_labels_go_into_the_tiles_table_and_leave_it_again(client, archive, workspace):
    do(client, "define", **{"class": "pore"}, name="Pore")
    do(client, "name", **{"class": "pore"}, rows=[4, 5])
    do(client, "artefact", rows=[6])
    do(client, "between", rows=[7])
    do(client, "name", "Ben", **{"class": "crack"}, rows=[5])
    assert store_labels(workspace) == ["label_Ana", "label_Ben", "label_consensus"]
    table = archive.tile_table.set_index("tile_id").loc[workspace.tiles.tile_ids]
    assert table.label_Ana.tolist()[3:9] == ["", "Pore", "Pore", "artefact", "", ""]
    assert table.label_Ben.tolist()[4:6] == ["", "crack"]
    do(client, "undo", "Ben")
    store_labels(workspace)
    assert set(archive.tile_table.label_Ben) == {""}
    assert archive.tile_table.label_consensus.equals(archive.tile_table.label_Ana.rename("label_consensus"))


def test_nobody_is_called_as_the_common_answer_is(client, workspace):
    said = {"op": "artefact", "rows": [1]}
    for names in (
        *({"actor": "consensus"}, {"actor": "Consensus", "by": "Ana"}, {"actor": "consensus", "by": " "}),
        *({"actor": "consensus", "by": "x" * 200}, {"actor": "consensus", "by": "CONSENSUS"}),
        {"actor": "Ana", "by": "Ben"},
    ):
        assert client.post("/api/act", json=said | names).status_code == 400, names
    assert workspace.catch_up() == 0
    assert client.post("/api/act", json=said | {"actor": "consensus", "by": "Ana"}).status_code == 200


def test_a_copy_to_look_at_can_be_asked_for(client):
    answer = client.get("/api/labels.html")
    assert answer.content.startswith(b"<!doctype html>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert client.get("/api/labels.html", params={"expert": "Cy"}).status_code == 400


def test_labels_of_a_clustering_outlive_the_next_one(client, archive, workspace):
    do(client, "name", **{"class": "pore"}, rows=[4])
    do(client, "move", into="2", rows=[4])
    archive.set_tile_column("cluster_toy", workspace.tiles.tile_ids, pd.array([0] * 40 + [1] * 32, "Int64"))
    again = make_client(Desk(open_workspace(archive)))
    header, verdicts, groups = state(again)
    assert verdicts[4] == "class:pore"
    assert header["groups"] == ["0", "1"]
    assert groups[4] == 0
