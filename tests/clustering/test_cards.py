"""Cluster cards: occlusion maps, the encoder found again, the page and its data."""

import json
from dataclasses import asdict
from html.parser import HTMLParser

import numpy as np
import pytest

from wootz.archive import Archive
from wootz.clustering import ClusterConfig, KMeansConfig, cluster
from wootz.clustering.cards import Card, CardTile, write_cards
from wootz.clustering.occlusion import occlusion_map
from wootz.clustering.sheet import SheetTile
from wootz.encoders.recall import recall_encoder
from wootz.fields import NewField


def test_occlusion_by_loops(rng):
    tile = rng.random((13, 10)).astype(np.float32)
    weights = rng.normal(size=(13 * 10, 3))
    centroid = rng.normal(size=3)

    def embed(x):
        return np.tanh(x.reshape(len(x), -1) @ weights)

    found = occlusion_map(tile, embed, centroid=centroid, patch_px=4, stride_px=3)
    sums, times = np.zeros(tile.shape), np.zeros(tile.shape)
    start = np.linalg.norm(embed(tile[None])[0] - centroid)
    for r in (0, 3, 6, 9):
        for c in (0, 3, 6):
            covered = tile.copy()
            covered[r : r + 4, c : c + 4] = tile.mean()
            sums[r : r + 4, c : c + 4] += np.linalg.norm(embed(covered[None])[0] - centroid) - start
            times[r : r + 4, c : c + 4] += 1
    assert times.min() > 0
    np.testing.assert_allclose(found, sums / times, atol=1e-6)


def test_occlusion_points_at_what_the_features_look_at(rng):
    tile = rng.random((32, 32)).astype(np.float32)
    tile[8:16, 20:28] = 3.0

    def embed(x):
        return np.stack([x[:, 8:16, 20:28].mean(axis=(1, 2)), np.ones(len(x))], axis=1)

    found = occlusion_map(tile, embed, centroid=np.array([3.0, 1.0]), patch_px=8, stride_px=4)
    assert np.unravel_index(found.argmax(), found.shape)[0] in range(8, 16)
    assert found[8:16, 20:28].mean() > 0.5
    assert np.abs(found[20:, :16]).max() < 1e-6
    with pytest.raises(ValueError, match="patch_px"):
        occlusion_map(tile, embed, centroid=np.zeros(2), patch_px=40, stride_px=4)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.sources, self.text, self.data, self.where, self.cards = [], "", "", None, 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.sources += [given[k] for k in ("src", "href") if k in given and not given[k].startswith("#")]
        self.where = given.get("id") if tag == "script" else tag
        self.cards += given.get("class") == "card"

    def handle_endtag(self, tag):
        self.where = None

    def handle_data(self, data):
        if self.where == "cards-data":
            self.data += data
        else:
            self.text += data


def test_page_holds_everything_and_its_data_come_back(tmp_path, rng):
    def tile(name, heat=None):
        picture = SheetTile(rng.random((16, 24)).astype(np.float32), "a<b></script>.tif", (2.0, 2.0), "note")
        return CardTile(name, picture, heat)

    heat = np.full((16, 24), -0.1)
    heat[:4] = 0.25
    first = Card(
        cluster=0,
        n=30,
        share=0.75,
        tiles={"medoid": [tile("t1", heat), tile("t2")], "borderline": [tile("t3")], "outlier": []},
        spread={"specimen": [("S<1>", 20, 2 / 3, 0.5), ("S2", 10, 1 / 3, 0.5)]},
        badges=["96 % from one image (x)"],
        classes=[("steel", 12), ("pore", 4)],
        stability=0.91,
        n_images=3,
    )
    second = Card(cluster=1, n=10, share=0.25, tiles={"medoid": [tile("t4")]}, n_images=1)
    path, data = write_cards([first, second], tmp_path, title="toy </script>", words=["Clusters follow <x>."])
    page = Page(path.read_text())
    assert page.cards == 2
    assert page.sources
    assert all(source.startswith("data:image/jpeg") for source in page.sources)
    assert len(page.sources) == 5  # four tiles and an occlusion map
    facts = ("30 tiles (75.0%) of 3 images", "stability 0.91", "steel", "S<1>", "10 nm", "at most +25%")
    for words in (*facts, "96 % from one image (x)", "Clusters follow <x>."):
        assert words in page.text
    stored = json.loads(data.read_text())
    assert json.loads(page.data) == stored
    assert stored["clusters"][0]["tiles"] == {"medoid": ["t1", "t2"], "borderline": ["t3"], "outlier": []}
    assert stored["clusters"][0]["badges"] == ["96 % from one image (x)"]
    assert stored["clusters"][1]["stability"] is None


@pytest.fixture
def archive(tmp_path):
    from wootz.ssl import EmbedConfig, embed

    rng = np.random.default_rng(0)
    fields = []
    for i in range(4):
        pixels = rng.normal(100, 10, (96, 96))
        pixels[:48] += 80 * (np.arange(96) // 3 % 2)
        fields.append(
            NewField(pixels.clip(0, 255).astype(np.uint8), {"file": f"f{i}.tif", "specimen": f"S{i % 2}"})
        )
    archive = Archive.create(tmp_path / "a")
    archive.add_images(fields)
    archive.write_tiles(32, 32)
    cfg = EmbedConfig(encoder="random:small", name="random", seed=3)
    run = archive.start_run("embed", asdict(cfg), seed=3, inputs={})
    embed(archive.tiles(), cfg, run=run)
    return archive


def test_encoder_is_found_again_by_its_fingerprint(archive):
    import torch

    from wootz.encoders.apply import embed_arrays

    encoder = recall_encoder(archive, "random")
    assert encoder is not None
    tiles = archive.tiles()
    np.testing.assert_allclose(
        embed_arrays(tiles.scaled([5]), encoder)[0], tiles.embedding("random")[5], atol=1e-4
    )
    assert not torch.is_inference_mode_enabled()
    frame = archive.tiles().frame
    foreign = {"encoder_fingerprint": "made elsewhere"}
    archive.add_embedding("hand", frame.tile_id.tolist(), np.eye(len(frame), 4, dtype=np.float32), foreign)
    assert recall_encoder(archive, "hand") is None


def test_cards_of_an_archive(archive):
    method = KMeansConfig(n_init=2, n_clusters=2)
    options = {"embedding": "random", "map": False, "montages": False, "permutations": 19, "n_prototypes": 2}
    run = archive.start_run("cluster", {}, seed=0, inputs={})
    cfg = ClusterConfig(
        method=method, keep_uninformative=True, standardise_by="specimen", pca_dim=8, **options
    )
    report = cluster(archive.tiles(), cfg, run=run)
    assert report.page is not None
    page = Page(report.page.read_text())
    assert page.cards == 2
    assert page.text.count("What drives it") == 2
    assert str(report.page) in report.summary()
    data = json.loads(page.data)
    known = archive.tile_table.set_index("tile_id")
    for card in data["clusters"]:
        assert card["n"] == (known.cluster_random == card["cluster"]).sum()
        assert sum(row[1] for row in card["spread"]["specimen"]) == card["n"]
        for ids in card["tiles"].values():
            assert (known.loc[ids].cluster_random == card["cluster"]).all()
