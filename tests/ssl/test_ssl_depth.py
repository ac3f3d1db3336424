"""Twelve bits in a 16-bit file arrive at the network as twelve bits, and meet 8-bit files on one scale.

Levels are counted in grey levels of the file, not as distinct floats: interpolation makes thousands of floats
out of a picture that was cut to 8 bits. `tests/core` looks at a ramp in the stem of each encoder,
`tests/augment` at one under the operations; here all is one path from the archive on.
"""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import nn

from wootz.archive import Archive
from wootz.augment import PRESETS, AugmentConfig, preset
from wootz.encoder_names import ENCODERS
from wootz.encoders import build_encoder
from wootz.fields import NewField
from wootz.ssl import PretrainConfig, SimCLRConfig, pretrain
from wootz.ssl.batches import Batches
from wootz.ssl.views import TileBatch

TILE_PX = 64  # one pixel for each of the 4096 levels
OFFSETS = (0, 20_000, 60_000)
PLAIN = AugmentConfig(
    **{option.name: 0.0 for option in fields(AugmentConfig) if option.name.endswith("_prob")},
    out_px=TILE_PX,
    area_min_frac=1.0,
    aspect_max=1.0,
    rotation_deg=0.0,
    shear_deg=0.0,
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return an archive of one field per offset; each tile holds each of its 4096 levels once."""
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path_factory.mktemp("depth") / "archive")
    fields = []
    for offset in OFFSETS:
        tiles = [rng.permutation(4096).reshape(TILE_PX, TILE_PX) for _ in range(4)]
        pixels = (np.block([tiles[:2], tiles[2:]]) + offset).astype(np.uint16)
        fields.append(NewField(pixels, {"file": f"{offset}.tif"}))
    archive.add_images(fields)
    archive.write_tiles(TILE_PX, TILE_PX)
    return archive


def views_of(tiles, rows):
    """Read tiles as the training does, and draw plain views of them: (B, 1, H, W)."""
    batches = Batches(
        tiles.select(rows), batch_size=len(rows), margin_px=0, seed=0, position=lambda: (0, 0, 1)
    )
    (batch,) = batches
    return TileBatch(batch, 0, PLAIN, generator=torch.Generator().manual_seed(0)).view()


def n_levels(image, field):
    """Count the grey levels of the file that are told apart in an image on the common scale."""
    span = field["intensity_high"] - field["intensity_low"]
    return len(torch.unique(torch.round(image.double() * span)))


def test_counting_is_not_deceived_by_interpolated_floats():
    rng = np.random.default_rng(0)
    field = {"intensity_low": 4.0, "intensity_high": 4091.0}
    image = torch.from_numpy(rng.permutation(4096).reshape(1, 1, 64, 64) / 4095)
    assert n_levels(image, field) > 4000
    noise = torch.from_numpy(rng.normal(0, 1e-6, (1, 1, 64, 64)))
    for cut in ((image * 255).round() / 255 + noise, image.bfloat16().double() + noise):
        assert len(torch.unique(cut)) > 4000
        assert n_levels(cut, field) < 1000


@pytest.mark.parametrize("offset", OFFSETS)
def test_every_level_reaches_the_input_of_the_network(archive, offset):
    tiles = archive.tiles()
    rows = np.flatnonzero(tiles.frame["file"] == f"{offset}.tif")
    field = archive.image(tiles.frame["image_id"][rows[0]])
    views = views_of(tiles, rows)
    assert views.dtype == torch.float32
    for view in views:
        assert n_levels(view, field) >= 2000
    # and in its place: the file's own numbers come back, exactly
    span = field["intensity_high"] - field["intensity_low"]
    back = np.round(views[:, 0].double().numpy() * span + field["intensity_low"])
    seen = {image.tobytes() for image in back.astype(np.uint16)}
    assert seen == {image.tobytes() for image in tiles.read(rows)}


class StopHereError(Exception):
    pass


def seen_by_stem(encoder, views):
    """Return what the first convolution that meets the pixels gets and gives under bfloat16."""
    seen = []

    def look(module, inputs, output):
        seen.extend([inputs[0], output])
        raise StopHereError  # the rest takes long

    stem = next(m for m in encoder.modules() if isinstance(m, nn.Conv2d))
    assert stem.in_channels == 1
    handle = stem.register_forward_hook(look)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad(), pytest.raises(StopHereError):
        encoder(views)
    handle.remove()
    return seen


@pytest.mark.parametrize("name", ENCODERS)
def test_stems_see_the_levels_under_bfloat16_whatever_the_offset(archive, name):
    encoder = build_encoder(name, generator_seed=0).train()
    tiles = archive.tiles()
    for offset in OFFSETS:
        rows = np.flatnonzero(tiles.frame["file"] == f"{offset}.tif")[:1]
        field = archive.image(tiles.frame["image_id"][rows[0]])
        views = views_of(tiles, rows)
        given, answered = seen_by_stem(encoder, views)
        assert given.dtype == answered.dtype == torch.float32
        assert n_levels(given, field) >= 1000
        assert n_levels(views.bfloat16(), field) < 1000  # what it would have been cut to


def test_training_in_bfloat16_shows_the_stem_all_levels(archive, tmp_path):
    """The whole of `pretrain`, Lightning's precision included."""
    field = archive.image(archive.tiles().frame["image_id"][0])
    least = []

    def look(module, inputs):
        if isinstance(module, nn.Conv2d) and module.in_channels == 1 and torch.is_grad_enabled():
            assert inputs[0].dtype == torch.float32
            least.append(min(n_levels(view, field) for view in inputs[0].detach()))

    cfg = PretrainConfig(
        SimCLRConfig(hidden_dim=8, output_dim=4),
        encoder="small",
        epochs=1,
        batch_size=6,
        precision="bf16",
        augment=PLAIN,
        include_uninformative=True,
    )
    run = archive.start_run("pretrain", {}, seed=0, inputs={})
    with nn.modules.module.register_module_forward_pre_hook(look):
        pretrain(archive.tiles(), cfg, run=run)
    assert len(least) >= 2  # two steps
    assert min(least) >= 2000


@pytest.mark.parametrize("name", PRESETS)
def test_one_grey_level_moves_every_pixel_of_every_view(name):
    """Whatever a preset does: a cut to 8 bits anywhere in it would let most pixels stand still."""
    rng = np.random.default_rng(1)
    scene = np.kron(rng.uniform(0.4, 0.6, (16, 8, 8)), np.ones((8, 8))) + rng.normal(0, 0.02, (16, 64, 64))
    tiles = torch.from_numpy(scene[:, None].astype(np.float32))
    level = 1 / 4095
    cfg = replace(preset(name, out_px=48), poisson_dose_max=0.0)  # single electrons are coarser than a level
    first, second = (
        TileBatch(t, 0, cfg, generator=torch.Generator().manual_seed(0)).view()
        for t in (tiles, tiles + level)
    )
    inside = (first > -0.99) & (first < 1.99)  # not cut off at the ends of the scale
    change = (second - first)[inside] / level
    assert inside.float().mean() > 0.95
    assert (change > 0.02).float().mean() > 0.97
    assert 0.3 < change.median() < 3


def test_eight_and_sixteen_bit_files_of_one_scene_give_the_same_tiles(tmp_path):
    rng = np.random.default_rng(2)
    scene = np.clip(
        np.kron(rng.uniform(0.1, 0.9, (16, 16)), np.ones((8, 8))) + rng.normal(0, 0.03, (128, 128)), 0, 1
    )
    byte = np.round(30 + 200 * scene).astype(np.uint8)
    deep = np.round(20_000 + 4095 * scene).astype(np.uint16)
    archive = Archive.create(tmp_path / "mixed")
    archive.add_images([NewField(byte, {"file": "8.tif"}), NewField(deep, {"file": "16.tif"})])
    archive.write_tiles(32, 32)
    tiles = archive.tiles()
    assert tiles.dtype == np.uint16
    files = tiles.frame["file"].to_numpy()
    low, high = (tiles.scaled(np.flatnonzero(files == f), margin=4) for f in ("8.tif", "16.tif"))
    span = byte.max() - byte.min()
    assert np.abs(low - high).max() < 2.0 / (0.9 * span)  # half a level of each pixel, and of either end
    assert np.abs(low - high).mean() < 0.6 / (0.9 * span)
    assert np.corrcoef(low.ravel(), high.ravel())[0, 1] > 0.999
    one_batch = tiles.scaled(np.arange(len(tiles)))  # both dtypes in one read
    np.testing.assert_array_equal(one_batch[files == "8.tif"], low[:, 4:-4, 4:-4])
    np.testing.assert_array_equal(one_batch[files == "16.tif"], high[:, 4:-4, 4:-4])
