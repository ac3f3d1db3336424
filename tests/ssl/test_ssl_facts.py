"""Pixel sizes and kinds of tiles reach the augmentation, each with its own tile."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from wootz.archive import Archive
from wootz.augment import CLEAN, AugmentConfig
from wootz.errors import WootzError
from wootz.fields import NewField
from wootz.ssl import PretrainConfig, pretrain
from wootz.ssl.batches import Batches
from wootz.ssl.facts import TileFacts, tile_facts
from wootz.ssl.views import TileBatch

SCALED = AugmentConfig(
    out_px=32,
    area_min_frac=0.05,
    aspect_max=1.0,
    rotation_deg=0.0,
    shear_deg=0.0,
    flip_prob=0.0,
    jitter_prob=0.0,
    scale_min_nm=10.0,
    scale_max_nm=10.0,
    **CLEAN,
)


def frame(**columns):
    sizes = {"pixel_size_row_nm": [4.0, np.nan, 9.0], "pixel_size_col_nm": [4.0, np.nan, 4.0]}
    return pd.DataFrame({**sizes, **columns})


def test_facts_are_gathered_where_they_make_a_difference():
    mixed = ["rendered", "", "rendered"]
    assert tile_facts(frame(), AugmentConfig()) is None
    assert tile_facts(frame(origin=["", "", ""]), AugmentConfig()) is None
    assert tile_facts(frame(origin=mixed), AugmentConfig(fda_prob=0.0, hist_prob=0.0)) is None
    facts = tile_facts(frame(origin=mixed), AugmentConfig())
    assert facts is not None
    assert facts.rendered.tolist() == [True, False, True]
    facts = tile_facts(frame(), SCALED)
    assert facts is not None
    np.testing.assert_allclose(facts.pixel_size_nm, [4.0, np.nan, 6.0])
    assert not facts.rendered.any()


def test_every_batch_carries_the_facts_of_its_own_tiles(toy_tiles):
    tiles = toy_tiles(n=24)
    tiles.pixels[:] = np.arange(24)[:, None, None]  # a tile shows its own number
    facts = TileFacts(torch.arange(24) * 2.0, torch.arange(24) % 3 == 0)
    options = {"batch_size": 6, "margin_px": 2, "seed": 0, "position": lambda: (0, 0, 1)}
    seen = list(Batches(tiles, **options, facts=facts))
    assert len(seen) == 4
    for pixels, own in seen:
        number = pixels[:, 0, 0, 0]
        assert torch.equal(own.pixel_size_nm, number * 2)
        assert torch.equal(own.rendered, number % 3 == 0)
    plain = list(Batches(tiles, **options))
    assert all(torch.equal(a, b) for a, (b, _) in zip(plain, seen, strict=True))


def test_views_of_two_magnifications_show_one_period():
    nm = torch.tensor([4.0, 7.0])
    waves = 0.5 + 0.4 * torch.sin(2 * math.pi * torch.arange(136) * nm[:, None] / 80)
    tiles = waves[:, None, None].expand(2, 1, 136, 136).contiguous()
    batch = TileBatch(
        tiles, 4, SCALED, torch.Generator(), shift_px=4, facts=TileFacts(nm, torch.zeros(2, dtype=torch.bool))
    )
    view = batch.view()[:, 0, 0]
    spectra = torch.fft.rfft(view - view.mean(dim=1, keepdim=True)).abs()
    assert spectra.argmax(dim=1).tolist() == [4, 4]  # 32 px of 10 nm hold four periods of 80 nm


@pytest.fixture
def archive(tmp_path, rng):
    archive = Archive.create(tmp_path / "archive")
    fields = []
    for i in range(4):
        pixels = np.kron(rng.integers(40, 250, (16, 16)), np.ones((4, 4))).astype(np.uint8)
        sizes = {"pixel_size_row_nm": 3.0 + i, "pixel_size_col_nm": 3.0 + i}
        fields.append(NewField(pixels, {"file": f"{i}.tif", **sizes}))
    archive.add_images(fields)
    archive.write_tiles(32, 32)
    return archive


class Run:
    def __init__(self, folder):
        self.folder, self.id = folder, "run-1"


def options(**changes):
    base = {"encoder": "small", "epochs": 1, "batch_size": 8, "precision": "float32", "augment": SCALED}
    return PretrainConfig(**{**base, **changes})


def test_training_on_an_archive_knows_the_pixel_sizes(archive, tmp_path, monkeypatch):
    seen = []
    two_views = TileBatch.two_views

    def spy(batch):
        seen.append(batch.facts)
        return two_views(batch)

    monkeypatch.setattr(TileBatch, "two_views", spy)
    result = pretrain(archive.tiles(), options(), run=Run(tmp_path))
    assert len(seen) == result.n_steps
    sizes = torch.cat([facts.pixel_size_nm for facts in seen])
    assert sorted(sizes.tolist()) == sorted([3.0, 4.0, 5.0, 6.0] * 4)


def test_scales_and_windows_of_a_single_image_are_not_mixed(archive, tmp_path):
    with pytest.raises(WootzError, match="leave out single_image, or augment"):
        pretrain(archive.tiles(), options(single_image="0.tif", windows=16), run=Run(tmp_path))
