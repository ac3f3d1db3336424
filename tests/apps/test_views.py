"""The sheets of views: drawn through the command, from many images, with scale bars that are right."""

import numpy as np
import pytest
import torch
from PIL import Image

from wootz.apps.views import Sheets, choose_tiles, draw_views
from wootz.apps.views_options import ViewsConfig
from wootz.archive import Archive
from wootz.augment import AugmentConfig
from wootz.augment.single import single_operations
from wootz.cli.main import main
from wootz.errors import WootzError
from wootz.fields import NewField


@pytest.fixture
def archive(tmp_path, rng):
    archive = Archive.create(tmp_path / "archive")
    fields = []
    for i in range(3):
        pixels = np.kron(rng.integers(9000, 30000, (24, 24)), np.ones((4, 4))).astype(np.uint16)
        sizes = {"pixel_size_row_nm": 5.0, "pixel_size_col_nm": 5.0} if i else {}
        fields.append(NewField(pixels, {"file": f"{i}.tif", **sizes}))
    archive.add_images(fields)
    archive.write_tiles(32, 32)
    return archive


def drawn(path):
    return np.asarray(Image.open(path).convert("L")).astype(float)


def test_the_command_draws_two_sheets(archive, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert main(["views", str(archive.path), str(out), "tiles=2", "views=2", "augment=se"]) == 0
    beside = tmp_path / "sheet_operations.png"
    assert str(out) in capsys.readouterr().out
    for path in (out, beside):
        pixels = drawn(path)
        assert (pixels < 200).mean() > 0.3  # pictures, not an empty page
        assert pixels.std() > 30
    assert drawn(beside).shape[0] > drawn(out).shape[0]  # 24 operations need more rows than two tiles


def test_more_views_make_a_wider_sheet_and_the_seed_fixes_it(archive, tmp_path):
    cfg = ViewsConfig(tiles=1, views=1, augment=AugmentConfig(out_px=24, rotation_deg=10.0))
    first = draw_views(archive, tmp_path / "a.png", cfg)
    assert isinstance(first, Sheets)
    again = draw_views(archive, tmp_path / "b.png", cfg)
    assert first.views.read_bytes() == again.views.read_bytes()
    assert first.operations.read_bytes() == again.operations.read_bytes()
    cfg.seed = 1
    assert draw_views(archive, tmp_path / "c.png", cfg).views.read_bytes() != first.views.read_bytes()
    cfg.views = 3
    wider = draw_views(archive, tmp_path / "d.png", cfg)
    assert drawn(wider.views).shape[1] > 1.5 * drawn(first.views).shape[1]


def test_tiles_come_from_all_images_and_not_from_blank_places(archive):
    tiles = archive.tiles()
    chosen = choose_tiles(tiles, 3, seed=0)
    assert sorted(chosen.frame["file"]) == ["0.tif", "1.tif", "2.tif"]
    assert len(choose_tiles(tiles, 1000, seed=0)) == 27
    blank = np.ones(27, bool)
    blank[4] = False
    only = choose_tiles(tiles.with_column("uninformative", blank), 3, seed=0)
    assert only.tile_ids.tolist() == [tiles.tile_ids[4]]
    assert len(choose_tiles(tiles.with_column("uninformative", np.ones(27, bool)), 3, seed=0)) == 3


def test_pixels_of_a_view_have_the_size_of_its_window(archive):
    from wootz.apps.views import _as_tile

    cfg = AugmentConfig(out_px=24, area_min_frac=0.25)
    operations = single_operations(1, (32, 32), cfg, generator=torch.Generator())
    image = np.zeros((24, 24), np.float32)
    sizes = {
        name: _as_tile(image, name, settings, (0, 5.0)).pixel_size_nm
        for name, (_, settings) in operations.items()
    }
    whole = 5.0 * 32 / 24
    assert sizes["noise"] == pytest.approx(whole)
    assert sizes["rotation"] == pytest.approx(whole)
    assert sizes["zoom"] == pytest.approx(whole / 2)
    assert _as_tile(image, "", operations["zoom"][1], (0, None)).pixel_size_nm is None


def test_an_archive_without_tiles_is_refused(tmp_path):
    empty = Archive.create(tmp_path / "empty")
    with pytest.raises(WootzError, match="no stored tiles"):
        draw_views(empty, tmp_path / "x.png", ViewsConfig())
