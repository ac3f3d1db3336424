"""Labels as other tools read them: COCO through pycocotools' rules, pictures through torchvision."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from wootz.archive import Archive
from wootz.errors import WootzError
from wootz.explore.config import ExploreConfig
from wootz.explore.export import labels_frame, store_labels
from wootz.explore.formats import labels_coco, labels_imagefolder, labels_parquet, save_labels
from wootz.explore.run_explore import explore


@pytest.fixture
def judged(workspace):
    """Ana and Ben name tiles; they differ on row 3, which is settled as pore; row 9 is in between."""
    said = [
        ("Ana", "name", {"class": "pore"}, [0, 1, 2, 3]),
        ("Ben", "name", {"class": "pore"}, [1, 2]),
        ("Ben", "artefact", {}, [3, 30]),
        ("Ana", "name", {"class": "a/b: c"}, [50]),
        ("Ana", "between", {}, [9]),
        ("Ana", "define", {"class": "pore", "name": "Pore"}, None),
    ]
    for actor, op, fields, rows in said:
        workspace.act({"actor": actor, "op": op, **fields} | ({} if rows is None else {"rows": rows}))
    return workspace


def test_consensus_is_a_voice_of_its_own(judged):
    frame = labels_frame(judged)
    assert set(frame.expert) == {"Ana", "Ben", "consensus"}
    common = frame[frame.expert == "consensus"].set_index("tile_id")
    ids = judged.tiles.tile_ids
    assert set(common.index) == set(ids[[0, 1, 2, 9, 30, 50]])  # 3 is disputed
    judged.act({"actor": "consensus", "by": "Ben", "op": "name", "class": "pore", "rows": [3]})
    assert labels_frame(judged, expert="consensus").set_index("tile_id").loc[ids[3], "class_name"] == "Pore"
    columns = store_labels(judged)
    assert columns == ["label_Ana", "label_Ben", "label_consensus"]
    table = Archive(judged.archive.path).tile_table.set_index("tile_id").label_consensus
    assert table[ids[[3, 30, 9]]].tolist() == ["Pore", "artefact", ""]
    (record,) = [a.record for a in judged.state.actions if a.actor == "consensus"]
    assert record["by"] == "Ben"


def test_tables_tell_what_nobody_looked_at(judged):
    ids = judged.tiles.tile_ids
    parts = [{"verdict": "class:pore", "rows": [60, 61]}, {"verdict": "artefact", "rows": [1]}]
    judged.act({"actor": "Ana", "op": "adopt", "parts": parts})
    judged.act({"actor": "Ana", "op": "name", "class": "pore", "rows": [61]})
    seen = {who: part.set_index("tile_id").seen for who, part in labels_frame(judged).groupby("expert")}
    assert seen["Ana"][ids[[0, 1, 60, 61]]].tolist() == [True, False, False, True]
    assert seen["Ben"].all()
    assert not seen["consensus"][ids[60]]
    assert seen["consensus"][ids[2]]


def test_one_person_alone_has_no_consensus(workspace):
    workspace.act({"actor": "Ana", "op": "name", "class": "pore", "rows": [1]})
    assert store_labels(workspace) == ["label_Ana"]


def test_coco_boxes_are_the_tiles(judged):
    content = json.loads(labels_coco(judged, "Ana"))
    names = {c["id"]: c["name"] for c in content["categories"]}
    images = {i["id"]: i for i in content["images"]}
    frame = judged.tiles.columns(["tile_id", "row", "col", "file"]).set_index("tile_id")
    found = {}
    for note in content["annotations"]:
        left, top, width, height = note["bbox"]
        where = frame.loc[note["tile_id"]]
        assert (where.row, where.col, 16, 16) == (top, left, height, width)
        assert images[note["image_id"]]["file_name"] == where.file
        assert (images[note["image_id"]]["width"], images[note["image_id"]]["height"]) == (96, 64)
        xs, ys = note["segmentation"][0][::2], note["segmentation"][0][1::2]
        assert (min(xs), min(ys), max(xs), max(ys)) == (left, top, left + width, top + height)
        assert note["area"] == width * height
        found[note["tile_id"]] = names[note["category_id"]]
    ids = judged.tiles.tile_ids
    assert found == dict.fromkeys(ids[:4], "Pore") | {ids[50]: "a/b: c"}
    assert len({note["id"] for note in content["annotations"]}) == 5
    common = json.loads(labels_coco(judged))  # by default the consensus of several
    assert {c["name"] for c in common["categories"]} == {"Pore", "artefact", "a/b: c"}


def test_torchvision_reads_the_folders(judged, tmp_path):
    with zipfile.ZipFile(io.BytesIO(labels_imagefolder(judged, "consensus"))) as bundle:
        bundle.extractall(tmp_path / "z")
    table = pd.read_csv(tmp_path / "z" / "labels.csv")
    folder = ImageFolder(str(tmp_path / "z"))
    assert folder.classes == ["Pore", "a_b_ c", "artefact"]
    assert len(folder) == len(table) == 5
    row = 2
    tile = judged.tiles.tile_ids[row]
    with Image.open(tmp_path / "z" / "Pore" / f"{tile}.png") as opened:
        picture = np.asarray(opened)
    about = judged.tiles.columns(["intensity_low", "intensity_high"]).iloc[row]
    reach = about.intensity_high - about.intensity_low
    low = about.intensity_low - 0.1 * reach
    expected = 255 * ((judged.tiles.read([row])[0].astype(float) - low) / (1.2 * reach)).clip(0, 1)
    assert picture.shape == (16, 16)
    assert np.abs(picture - expected).max() <= 1


def test_classes_that_differ_only_in_what_a_file_system_forbids_stay_apart(workspace):
    for name, row in (("a/b", 0), ("a:b", 1), ("A_B", 2), ("..", 3)):
        workspace.act({"actor": "Ana", "op": "name", "class": name, "rows": [row]})
    with zipfile.ZipFile(io.BytesIO(labels_imagefolder(workspace))) as bundle:
        folders = {name.partition("/")[0].lower() for name in bundle.namelist() if "/" in name}
    assert len(folders) == 4
    assert folders.isdisjoint({"", ".", ".."})


def test_command_writes_each_kind_and_says_what_is_wrong(judged, tmp_path):
    archive = judged.archive
    for name in ("l.csv", "l.parquet", "l.json", "l.zip"):
        report = explore(archive, ExploreConfig(export=str(tmp_path / name)))
        assert (tmp_path / name).stat().st_size > 100
        assert name in report.summary()
    table = pd.read_parquet(tmp_path / "l.parquet")
    assert table.tile_id.tolist() == labels_frame(judged).tile_id.tolist()
    assert (
        len(pd.read_csv(tmp_path / "l.csv"))
        == len(table)
        == len(pd.read_parquet(io.BytesIO(labels_parquet(judged))))
    )
    wrong = [
        ("l.csv", "", "exists"),
        ("l.txt", "", "must end in"),
        ("m.csv", "Cy", "there are: Ana, Ben, consensus"),
    ]
    for name, expert, words in wrong:
        with pytest.raises(WootzError, match=words):
            save_labels(judged, tmp_path / name, expert=expert)


def test_nothing_to_export_is_said(workspace, tmp_path):
    with pytest.raises(WootzError, match="no labelled tile"):
        save_labels(workspace, tmp_path / "l.json")
    assert not list(tmp_path.glob("l.*"))
