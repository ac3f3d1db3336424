"""The copy to look at: modules joined into one, the data in it against the archive, its size, its order."""

import base64
import gzip
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wootz.errors import WootzError
from wootz.explore import snapshot as module
from wootz.explore.config import ExploreConfig
from wootz.explore.desk import Desk
from wootz.explore.frozentable import picture_order, sampled
from wootz.explore.onefile import joined
from wootz.explore.points import unpack
from wootz.explore.run_explore import explore
from wootz.explore.snapshot import snapshot

EVIL = "</script><img src=x onerror=\"document.title='broken in'\">"


@pytest.fixture
def desk(workspace):
    """Ana named tiles by a name that would like to be a script; Ben contradicts her on row 3."""
    workspace.act({"actor": "Ana", "op": "name", "class": EVIL, "rows": [0, 1, 2, 3]})
    workspace.act({"actor": "Ana", "op": "define", "class": EVIL, "name": EVIL, "examples": [70]})
    workspace.act({"actor": "Ben", "op": "artefact", "rows": [3, 30]})
    return Desk(workspace)


def read(html):
    """Take the page apart: table, and the blocks of each class."""
    text = html.decode()
    found = re.findall(r'<script type="text/plain" class="(\w+)">([A-Za-z0-9+/=]*)</script>', text)
    blocks = {
        kind: [base64.b64decode(t) for k, t in found if k == kind] for kind in ("frozen", "sheet", "field")
    }
    return *unpack(gzip.decompress(blocks["frozen"][0])), blocks


def test_a_copy_holds_what_the_server_would_answer(desk):
    html, note = snapshot(desk, expert="Ana", n_bytes_max=10**7)
    about, arrays, _ = read(html)
    state, said = desk.state_of("Ana")
    for name, values in (unpack(desk.points())[1] | said).items():
        np.testing.assert_array_equal(arrays[name], values)
    assert about["state"]["classes"] == state["classes"]
    assert [c["tiles"] for c in about["cards"]] == [c["tiles"] for c in desk.cards("Ana")]
    assert about["agreement"] == desk.agreement() | {"said": {"3": desk.agreement()["said"][3]}}
    assert about["session"]["read_only"] is True
    for found in about["columns"]:
        header, columns = unpack(desk.column(found["name"]))
        assert found == header
        np.testing.assert_array_equal(arrays[f"column:{found['name']}"], columns["values"])
    files = [about["images"][i]["facts"]["file"] for i in arrays["image"]]
    frame = desk.workspace.tiles.columns(["file", "tile_id", "row", "col"])
    assert files == frame["file"].tolist()
    assert about["tile_ids"].split("\n") == frame["tile_id"].tolist()
    np.testing.assert_array_equal(arrays["col"], frame["col"])
    assert "labels of Ana. Pictures of all 72 tiles and all 3 fields." in note


def test_pictures_stand_where_the_table_says(desk):
    html, _ = snapshot(desk, expert="Ana", n_bytes_max=10**7)
    about, arrays, blocks = read(html)
    assert sorted(arrays["picture"].tolist()) == list(range(72))
    sheets = [np.asarray(Image.open(io.BytesIO(data)), float) for data in blocks["sheet"]]
    side = about["side"]
    for row in (0, 33, 70, 71):
        sheet, at = divmod(int(arrays["picture"][row]), 64)
        shown = sheets[sheet][at // 8 * side :, at % 8 * side :][:side, :side]
        alone = Image.open(io.BytesIO(desk.pictures.sprite([row], side_px=side)))
        assert np.abs(shown - np.asarray(alone, float)).mean() < 6  # both JPEG
    for i, found in enumerate(about["fields"]):
        row = int(np.flatnonzero(arrays["image"] == found["image"])[0])
        picture, facts = desk.pictures.context(row, factor=0)
        assert blocks["field"][i] == picture
        assert found["step"] == 1.0
        assert facts["bar_label"] == found["bar_label"]


def test_no_name_becomes_markup_and_the_policy_allows_this_script_alone(desk):
    text = snapshot(desk, expert="Ana", n_bytes_max=10**7)[0].decode()
    assert "broken in" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    scripts = re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert [f"script-src 'sha256-{h}'" in policy for h in hashes] == [True]
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


@pytest.mark.parametrize("less", [0.25, 0.5, 0.75])
def test_a_page_is_never_larger_than_asked_for_and_says_what_it_left_out(desk, less):
    whole, _ = snapshot(desk, expert="Ana", n_bytes_max=10**7)
    _, _, blocks = read(whole)
    n_max = int(len(whole) - less * sum(map(len, blocks["sheet"] + blocks["field"])))
    tight, note = snapshot(desk, expert="Ana", n_bytes_max=n_max)
    assert len(tight) <= n_max
    about, arrays, blocks = read(tight)
    n = int((arrays["picture"] >= 0).sum())
    assert n == min(72, 64 * len(blocks["sheet"]))
    assert n < 72 or len(about["fields"]) < 3
    assert len(blocks["field"]) == len(about["fields"])
    assert f"Pictures of {n if n < 72 else 'all 72'}" in note


def test_too_little_room_is_said(desk):
    with pytest.raises(WootzError, match="does not hold the map of 72 tiles"):
        snapshot(desk, expert="Ana", n_bytes_max=70_000)


def test_large_archives_are_sampled_but_cards_keep_their_tiles(desk, monkeypatch):
    monkeypatch.setattr(module, "N_TILES_MAX", 60)
    monkeypatch.setattr("wootz.explore.desk.N_EXEMPLARS", 4)
    html, note = snapshot(desk, expert="Ana", n_bytes_max=10**7)
    about, arrays, _ = read(html)
    assert "It holds 60 of 72 tiles, drawn at random." in note
    assert len(arrays["x"]) == 60
    ids = about["tile_ids"].split("\n")
    all_ids = desk.workspace.tiles.tile_ids
    for card, whole in zip(about["cards"], desk.cards("Ana"), strict=True):
        for role, rows in card["tiles"].items():
            assert [ids[row] for row in rows] == all_ids[whole["tiles"][role]].tolist()
    assert sum(card["n"] for card in about["cards"]) == 60
    assert [ids[row] for row in about["state"]["classes"][0]["examples"]] == [all_ids[70]]
    assert [ids[row] for row in about["agreement"]["disputed"]] == [i for i in [all_ids[3]] if i in ids]


def test_rare_combinations_have_their_pictures_first(rng):
    groups, verdicts = rng.choice(4, 400, p=[0.9, 0.05, 0.04, 0.01]), rng.integers(0, 2, 400)
    order = picture_order([7, 9, 7], groups, verdicts, rng=rng)
    assert order[:2].tolist() == [7, 9]
    assert sorted(order.tolist()) == list(range(400))
    cells = list(zip(groups[order].tolist(), verdicts[order].tolist(), strict=True))[2:]
    for cell in set(cells):
        for turn, place in enumerate([i for i, c in enumerate(cells) if c == cell]):
            assert place < 8 * (turn + 1)  # eight cells, each comes once a turn


def test_samples_are_of_the_size_asked_for(rng):
    for n_max, expected in ((100, 50), (20, 20), (2, 2)):
        rows = sampled(50, [40, 3, 3, 41], n_max=n_max, rng=rng)
        assert len(set(rows.tolist())) == len(rows) == expected
        assert (np.diff(rows) > 0).all()
        assert {40, 3} <= set(rows.tolist())


def test_joining_keeps_scopes_apart_and_orders_by_need():
    main = ["import { a,", '  b as c } from "./one.js"; // why', 'import { go } from "./two.js";']
    one = ['import { go } from "./two.js";', "const hidden = 1;", "export const a = hidden;", "const b = 3;"]
    pages = {
        "main.js": "\n".join([*main, "const hidden = 2;"]),
        "one.js": "\n".join([*one, "export { b };"]),
        "other.js": "export async function go() { return 1; }\nexport class K {}\n",
    }
    text = joined(pages, "main.js", instead={"two.js": "other.js"})
    order = ["const module_other = (", "const module_one = (", "const module_main = ("]
    assert sorted(order, key=text.index) == order
    assert "const { a, b: c } = module_one;" in text
    assert text.count("const { go } = module_other;") == 2
    assert "return { K, go };" in text
    assert "return { a, b };" in text
    assert not re.search(r"^\s*(import|export)\b", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ('import { x } from "./main.js";\nexport const y = 1;', "main.js -> other.js -> main.js"),
        ("export const z = 1;", "imports y, which"),
        ("export default 3;\nexport const y = 1;", "cannot join 'export default 3;'"),
        ('import * as all from "./x.js";\nexport const y = 1;', "cannot join"),
    ],
)
def test_what_cannot_be_joined_is_said(other, words):
    with pytest.raises(ValueError, match=words):
        joined({"main.js": 'import { y } from "./other.js";', "other.js": other}, "main.js", instead={})


def test_command_writes_the_page_once(desk, archive, tmp_path):
    path = tmp_path / "page.html"
    done = explore(archive, ExploreConfig(export=str(path)))
    assert "with consensus labels" in done.summary()
    assert path.read_bytes().startswith(b"<!doctype html>")
    with pytest.raises(WootzError, match="exists"):
        explore(archive, ExploreConfig(export=str(path)))
    with pytest.raises(WootzError, match="there are: Ana, Ben, consensus"):
        explore(archive, ExploreConfig(export=str(tmp_path / "b.html"), expert="Cy"))
    assert sorted(p.name for p in Path(tmp_path).glob("*.html")) == ["page.html"]
