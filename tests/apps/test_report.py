"""The report: self-contained, complete, honest about what is missing, safe with strange names."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from wootz.apps.report import Section, build_report
from wootz.archive import Archive
from wootz.fields import NewField
from wootz.measure import CoatingConfig, MeasureConfig, measure
from wootz.plotting import new_figure, save_figure

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects what a page loads and its text, and checks that every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.open, self.words, self.ids, self.links = [], [], [], set(), []
        self.feed(text)
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.sources += [attributes[k] for k in ("src", "srcset", "data") if k in attributes]
        if "id" in attributes:
            self.ids.add(attributes["id"])
        if "href" in attributes:
            self.links.append(attributes["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


def read(path):
    text = path.read_text()
    page = Page(text)
    kinds = ("data:image/png;base64,", "data:image/jpeg;base64,")
    assert all(source.startswith(kinds) for source in page.sources)
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not re.search(r"@import|url\(|https?://", text)
    return page


@pytest.fixture
def archive(tmp_path):
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path / "study")
    names = pd.DataFrame({"id": [0, 1], "name": ["resin", "coat <i>"], "role": ["background", "phase"]})
    archive.add_classes("section", names)
    fields = []
    for i in range(3):
        image = rng.integers(0, 255, (96, 128)).astype(np.uint8)
        row = {"file": f"/data/<b>{i} & co.tif", "specimen": "A", "split": "test"}
        row |= {"pixel_size_row_nm": 50.0, "pixel_size_col_nm": 50.0}
        fields.append(NewField(image, row))
    ids = archive.add_images(fields, set_aside=[("/data/broken.tif", "it is cut off")]).image_ids
    for i, image_id in enumerate(ids):
        mask = np.zeros((96, 128), np.uint8)
        mask[30 : 60 + i] = 1
        archive.add_mask(image_id, mask, scheme="section", source="ann")
    archive.write_tiles(32, 32)
    return archive


def measured(archive):
    run = archive.start_run("measure", {"layer": "coat <i>"}, seed=3, inputs={})
    cfg = MeasureConfig(source="annotation", overlays=1, measure=CoatingConfig(layer=["coat <i>"]))
    run.finish({"summary": measure(archive, cfg, run=run).summary()})


def test_empty_archive_names_every_command(tmp_path):
    archive = Archive.create(tmp_path / "nothing yet")
    page = read(build_report(archive, tmp_path / "out" / "report.html"))
    for command in ("ingest", "pretrain", "cluster", "finetune", "predict", "measure"):
        assert f"wootz {command} {archive.path}" in page.text
    assert "Nothing is measured yet" in page.text
    assert page.sources == []


def test_result_comes_first_with_its_uncertainty(archive, tmp_path):
    measured(archive)
    page = read(build_report(archive, tmp_path / "r.html", title="Coatings & more"))
    assert page.text.startswith("Coatings & more Coatings & more 3 fields, 1 specimens")
    card = page.text.index("thickness of coat <i> 1.55 [1.43, 1.67] µm")
    assert card < page.text.index("Measurements")
    assert "drawn masks · Student's t over 3 fields" in page.text
    assert "<b>0 & co.tif" in page.text  # shown as text, not as markup
    assert "Set aside: 1 files" in page.text
    assert "it is cut off" in page.text
    assert "36 tiles of 32 x 32 px" in page.text
    assert '"layer": "coat <i>"' in page.text
    assert len(page.sources) >= 4  # summary, overlay, fields, tile grid


def test_every_part_that_runs_leave(archive, tmp_path):
    ids = list(archive.images["image_id"])
    predict = archive.start_run("predict", {}, seed=0, inputs={})
    for image_id in ids:
        archive.add_mask(
            image_id, np.zeros((96, 128), np.uint8), scheme="section", source=predict.id, kind="prediction"
        )
        archive.add_map(
            image_id, np.random.default_rng(1).random((96, 128)).astype(np.float32), name="anomaly"
        )
    archive.set_image_column("pred_anomaly_score", ids, [0.1, 0.9, 0.4])
    archive.set_image_column("pred_anomalous", ids, [False, True, False])
    scores = {"class": ["resin", "coat"], "iou": [0.9, 0.7], "split": ["test", "test"]}
    pd.DataFrame(scores).to_csv(predict.folder / "scores.csv", index=False)
    figure = new_figure(2, 2)
    pretrain = archive.start_run("pretrain", {}, seed=0, inputs={})
    pretrain.finish({"summary": "RankMe 9.4 -> 20.1\nencoder: here"})
    pd.DataFrame({"epoch": [1], "loss": [4.123456]}).to_csv(pretrain.folder / "history.csv", index=False)
    save_figure(figure, pretrain.folder / "history.png")
    cluster = archive.start_run("cluster", {}, seed=0, inputs={})
    for name in ("overview.png", "cluster_000.png", "map.png"):
        save_figure(figure, cluster.folder / name)
    (cluster.folder / "clusters.json").write_text(
        '{"n_clusters": 1, "silhouette": 0.25, "pictures": ["overview.png", "cluster_000.png", "map.png"],'
        ' "shortcuts": {"words": ["Clusters follow <brightness>."],'
        ' "badges": [{"cluster": 0, "text": "all from one image", "p": 0.01, "share": 1.0}]}}'
    )
    page = read(build_report(archive, tmp_path / "r.html"))
    assert "mean IoU of the segmentation 0.800" in page.text
    assert "held-out fields (split test)" in page.text
    assert "RankMe 9.4 -> 20.1" in page.text
    assert "4.123" in page.text
    assert "0.25" in page.text
    assert "Clusters follow <brightness>." in page.text
    assert "all from one image" in page.text
    for missing in ("pretrain", "cluster", "finetune"):
        assert f"wootz {missing} {archive.path}" not in page.text
    assert len(page.sources) == 1 + 1 + 3 + 2  # heat maps, curves, clusters and map, fields and tile grid


def test_extra_sections(archive, tmp_path):
    path = save_figure(new_figure(2, 2), tmp_path / "mine.png")
    extra = [
        Section(
            "A table", table=pd.DataFrame({"x <y>": [1.23456, np.nan], "ok": [True, False]}), note="a < b"
        ),
        Section("A picture", figure=path),
        Section("Two", figure=[path, tmp_path / "gone.png"], folded=True),
        Section("Own", html="<p class='own'>kept as it is</p>"),
    ]
    page = read(build_report(archive, tmp_path / "r.html", extra=extra))
    assert "A table a < b x <y> ok 1.235 yes no" in page.text
    assert "kept as it is" in page.text
    assert page.text.index("kept as it is") < page.text.index("Set aside")


def test_large_pictures_are_reduced(tmp_path):
    from PIL import Image

    from wootz.apps.report_pictures import picture

    grey = np.random.default_rng(0).normal(128, 25, (500, 1500, 1)).clip(0, 255).astype(np.uint8)
    noise = np.repeat(grey, 3, axis=2)
    Image.fromarray(noise).save(tmp_path / "big.png")
    reduced = picture(tmp_path / "big.png")
    assert len(reduced) < (tmp_path / "big.png").stat().st_size / 2
    with Image.open(io.BytesIO(base64.b64decode(reduced.partition(",")[2]))) as shown:
        assert (shown.format, shown.size) == ("JPEG", (1200, 400))
    Image.fromarray(noise[:50, :50]).save(tmp_path / "small.jpg")
    assert picture(tmp_path / "small.jpg").startswith("data:image/png;base64,iVBOR")


def test_measurements_of_another_program(archive, tmp_path):
    """The archive's columns are enough; wootz adds more."""
    rows = {"image_id": [""], "specimen": ["A"], "quantity": ["hardness"], "value": [3.0], "unit": ["GPa"]}
    rows |= {
        "ci_low": [2.9],
        "ci_high": [3.1],
        "n": [5],
        "method": ["indent"],
        "run": [""],
        "source": ["annotation"],
    }
    archive.add_measurements(pd.DataFrame(rows))
    assert "hardness 3.00 [2.90, 3.10] GPa" in read(build_report(archive, tmp_path / "r.html")).text


def test_template_is_part_of_the_package():
    from importlib.resources import files

    assert files("wootz.apps").joinpath("report.html.j2").is_file()
