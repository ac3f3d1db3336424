"""Pretext methods: losses against slow loops, geometry of the patches, what may not leak, what is refused."""

import math

import pytest
import torch
from torch import nn

from wootz.augment import CLEAN, AugmentConfig
from wootz.encoders import ViTEncoder, build_encoder, seeded
from wootz.errors import WootzError
from wootz.ssl import CPCConfig, GapFillConfig, MAEConfig, PIRLConfig, PretrainConfig, RelPatchConfig
from wootz.ssl.methods.build import build_method
from wootz.ssl.methods.gapfill import block_mask, hide
from wootz.ssl.methods.patches import (
    cut_patches,
    grid_corners,
    own_settings,
    random_permutations,
    shuffle,
    unshuffle,
)
from wootz.ssl.methods.relpatch import NEIGHBOURS
from wootz.ssl.pretraining import pretrain_tiles
from wootz.ssl.views import TileBatch
from wootz.training import LAST, LastCheckpoint

CONFIGS = {
    "pirl": PIRLConfig(output_dim=4),
    "cpc": CPCConfig(context_dim=5, output_dim=4, layers=2),
    "relpatch": RelPatchConfig(hidden_dim=8),
    "gapfill": GapFillConfig(decoder_dim=6, block_px=4),
    "mae": MAEConfig(decoder_dim=32, decoder_depth=1),
}
UNCHANGED = {**CLEAN, "jitter_prob": 0.0, "shear_deg": 0.0}
STILL = {**UNCHANGED, "area_min_frac": 1.0, "aspect_max": 1.0, "rotation_deg": 0.0, "flip_prob": 0.0}


def random(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def batch_of(tiles, *, seed=0, **augment):
    return TileBatch(tiles, 0, AugmentConfig(**augment), generator=torch.Generator().manual_seed(seed))


def inputs(name, seed, *, n=8, side_px=32, dtype=torch.float64):
    """Draw what the loss of a method is computed on, from noise."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = tiny_vit() if name == "mae" else Pyramid()
        method = build_method(CONFIGS[name], encoder, n_tiles=64, batch_size=8, seed=1)
    views = method.views(batch_of(random(n, 1, side_px, side_px, seed=seed), seed=seed, out_px=32))
    return tuple(view.to(dtype) if view.is_floating_point() else view for view in views)


class Pyramid(nn.Module):
    """Five maps at strides 2 to 32 with group norm: nothing depends on how a batch is cut."""

    name = "pyramid"
    dim = 6
    channels = (4, 4, 4, 4, 6)

    def __init__(self):
        super().__init__()
        ins = (1, 4, 4, 4, 4)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, stride=2, padding=1), nn.GroupNorm(2, o), nn.GELU())
            for i, o in zip(ins, self.channels, strict=True)
        )

    def feature_maps(self, x):
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps

    def forward(self, x):
        return self.feature_maps(x)[-1].mean(dim=(2, 3))


def tiny_vit():
    return seeded(lambda: ViTEncoder("tiny", dim=24, depth=4, heads=2, grid=4, patch_px=8), generator_seed=0)


@pytest.fixture
def method(toy):
    def build(name):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = tiny_vit() if name == "mae" else Pyramid()
        built = build_method(CONFIGS[name], encoder, n_tiles=64, batch_size=8, seed=1)
        toy.without_batch_norm(built)
        return built.double()

    return build


# patches ---------------------------------------------------------------------------------------------------


def test_patches_are_cut_where_the_corners_say():
    views = random(3, 1, 20, 24)
    corners = torch.randint(0, 13, (3, 5, 2), generator=torch.Generator().manual_seed(1))
    patches = cut_patches(views, corners, patch_px=7)
    for b in range(3):
        for i in range(5):
            row, col = corners[b, i].tolist()
            assert torch.equal(patches[b, i, 0], views[b, 0, row : row + 7, col : col + 7])


def test_grid_corners_stay_in_their_cells_and_use_all_shifts():
    corners = grid_corners(500, pitch_px=10, spare_px=3, generator=torch.Generator().manual_seed(0))
    for cell in range(9):
        shift = corners[:, cell] - torch.tensor([10 * (cell // 3), 10 * (cell % 3)])
        assert sorted(shift[:, 0].unique().tolist()) == sorted(shift[:, 1].unique().tolist()) == [0, 1, 2, 3]
    assert len((corners[:, 0] - corners[:, 1]).unique(dim=0)) > 9  # each patch for itself


def test_permutation_is_one_and_shuffling_is_undone():
    order = random_permutations(2000, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(order.sort(dim=1).values, torch.arange(9).expand(2000, 9))
    counts = torch.stack([(order == i).sum(dim=0) for i in range(9)]).double()
    expected = 2000 / 9
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 < 64 + 5 * math.sqrt(2 * 64)  # every piece at every place equally often
    patches = random(2000, 9, 1, 2, 2)
    mixed = shuffle(patches, order)
    assert torch.equal(mixed[3, 5], patches[3, order[3, 5]])
    assert torch.equal(unshuffle(mixed, order), patches)
    assert not torch.equal(mixed, patches)


def test_each_patch_gets_settings_of_its_own():
    shade = torch.linspace(0.2, 0.8, 9).view(1, 9, 1, 1, 1).expand(200, 9, 1, 4, 4)
    cfg = AugmentConfig(jitter_prob=1.0, gain_max=0.4, offset_max=0.25)
    changed = own_settings(shade, cfg, generator=torch.Generator().manual_seed(0)).mean(dim=(2, 3, 4))
    moved = changed - torch.linspace(0.2, 0.8, 9)
    assert moved.abs().max() <= 0.25 + 1e-6
    assert moved.abs().max() > 0.24
    assert torch.corrcoef(moved.T).fill_diagonal_(0).abs().max() < 0.3  # independent between patches
    off = own_settings(shade, AugmentConfig(jitter_prob=0.0), generator=torch.Generator())
    assert torch.equal(off, shade)


# PIRL ------------------------------------------------------------------------------------------------------


def test_pirl_loss_is_equation_5_with_the_batch_in_place_of_the_bank(method):
    pirl = method("pirl")
    first, second, pieces = inputs("pirl", 0)
    with torch.no_grad():
        loss = float(pirl(first, second, pieces))
        bank, other = pirl.head(pirl.encoder(first)), pirl.head(pirl.encoder(second))
        total = 0.0
        for i in range(8):
            parts = [pirl.piece_head(pirl.encoder(pieces[i, k : k + 1]))[0] for k in range(9)]
            jigsaw = pirl.jigsaw_head(torch.cat(parts))
            for query in (jigsaw, other[i]):
                h = [math.exp(torch.cosine_similarity(query, bank[j], dim=0) / 0.07) for j in range(8)]
                total -= 0.5 * math.log(h[i] / sum(h))
    assert loss == pytest.approx(total / 8, rel=1e-9)


def test_pirl_pieces_come_from_one_view_with_gaps(method):
    ramp = torch.arange(32 * 32, dtype=torch.float32).view(1, 1, 32, 32).expand(64, 1, 32, 32) / 1024
    batch = batch_of(ramp, out_px=32, **STILL)
    first, second, pieces = method("pirl").views(batch)
    assert first.shape == second.shape == (64, 1, 32, 32)
    assert pieces.shape == (64, 9, 1, 8, 8)  # three quarters of a third of 32 px
    places = torch.round(pieces[:, :, 0, 0, 0] * 1024)
    rows, cols = places // 32, places % 32
    cells = (rows // 10 * 3 + cols // 10).long()
    assert torch.equal(cells.sort(dim=1).values, torch.arange(9).expand(64, 9))  # one piece of each cell
    assert len(cells.unique(dim=0)) > 60  # in ever other orders
    assert set((rows % 10).unique().tolist()) == {0, 1, 2}


# relative patch position -----------------------------------------------------------------------------------


def test_relpatch_classes_agree_with_the_geometry(method):
    relpatch = method("relpatch")
    rows, cols = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    where = [
        relpatch.views(batch_of((axis / 64).expand(32, 1, 64, 64), out_px=24, **STILL))[0] * 64
        for axis in (rows, cols)
    ]
    patch_px, gap_px, shift_px = relpatch.layout_px(64)
    assert (patch_px, gap_px, shift_px) == (15, 5, 1)
    corner = torch.stack([axis[:, :, 0, 0, 0] for axis in where], dim=2).round()
    offset = corner - corner[:, 4:5]
    names = ["up left", "up", "up right", "left", "right", "down left", "down", "down right"]
    for label, cell in enumerate(NEIGHBOURS):
        down, right = offset[:, cell].unbind(dim=1)
        assert (down < -15).all() == ("up" in names[label])
        assert (down > 15).all() == ("down" in names[label])
        assert (right < -15).all() == ("left" in names[label])
        assert (right > 15).all() == ("right" in names[label])
    sides = corner.view(32, 3, 3, 2)
    between = (sides[:, :, 1:, 1] - sides[:, :, :-1, 1], sides[:, 1:, :, 0] - sides[:, :-1, :, 0])
    for steps in between:
        assert steps.min() == 15 + 5  # patches never touch, however they are shifted
        assert steps.max() == 15 + 5 + 4
    assert corner.min() >= 0
    assert corner.max() + 15 <= 64


def test_relpatch_loss_is_the_cross_entropy_of_eight_pairs(method):
    relpatch = method("relpatch")
    (patches,) = inputs("relpatch", 0)
    with torch.no_grad():
        loss = float(relpatch(patches))
        total = 0.0
        for b in range(8):
            centre = relpatch.encoder(patches[b, 4:5])
            for label, cell in enumerate((0, 1, 2, 3, 5, 6, 7, 8)):
                pair = torch.cat([centre, relpatch.encoder(patches[b, cell : cell + 1])], dim=1)
                scores = [math.exp(value) for value in relpatch.head(pair)[0]]
                total -= math.log(scores[label] / sum(scores))
    assert loss == pytest.approx(total / 64, rel=1e-9)


def test_relpatch_keeps_up_and_left(method):
    ramp = (torch.arange(64.0)[:, None] / 64).expand(16, 1, 64, 64)
    relpatch = method("relpatch")
    (down,) = relpatch.views(batch_of(ramp, out_px=24, **UNCHANGED))
    (right,) = relpatch.views(batch_of(ramp.transpose(2, 3), out_px=24, **UNCHANGED))
    assert (down[..., -1, :] > down[..., 0, :]).all()
    assert (right[..., -1] > right[..., 0]).all()


# CPC -------------------------------------------------------------------------------------------------------


def test_cpc_patches_overlap_by_half(method):
    tile = random(2, 1, 32, 32)
    (patches,) = method("cpc").views(batch_of(tile, out_px=16, **STILL))
    assert patches.shape == (2, 7, 7, 1, 8, 8)
    for row in range(7):
        for col in range(7):
            expected = tile[:, :, 4 * row : 4 * row + 8, 4 * col : 4 * col + 8]
            torch.testing.assert_close(patches[:, row, col], expected)


def test_cpc_loss_predicts_rows_that_share_no_pixel(method):
    cpc = method("cpc")
    (patches,) = inputs("cpc", 0, n=3)
    with torch.no_grad():
        loss = float(cpc(patches))
        codes = torch.stack([cpc.encoder(patches[b].flatten(0, 1)).view(7, 7, 6) for b in range(3)])
        targets = cpc.targets(codes)
        context = cpc.context(codes.permute(0, 3, 1, 2))
        total, n = 0.0, 0
        for below in (2, 3, 4):
            for b in range(3):
                for row in range(7 - below):
                    for col in range(7):
                        guess = cpc.predictors[below - 2](context[b, :, row, col])
                        f = [
                            math.exp(0.1 * guess @ targets[t, row + below, c])
                            for t in range(3)
                            for c in range(7)
                        ]
                        total -= math.log(f[7 * b + col] / sum(f))
                        n += 1
    assert n == 3 * 7 * (5 + 4 + 3)
    assert loss == pytest.approx(total / n, rel=1e-9)


def test_cpc_context_does_not_see_pixels_below_its_row(method):
    cpc = method("cpc")
    view = random(1, 1, 32, 32, dtype=torch.float64).requires_grad_()
    patches = view.unfold(2, 8, 4).unfold(3, 8, 4).permute(0, 2, 3, 1, 4, 5)
    context = cpc.context(cpc.codes(patches).permute(0, 3, 1, 2))
    for row in range(7):
        (gradient,) = torch.autograd.grad(context[:, :, row].square().sum(), view, retain_graph=True)
        by_row = gradient.abs().sum(dim=(0, 1, 3))
        last = 4 * row + 8
        assert (by_row[last:] == 0).all()
        assert (by_row[max(0, last - 16) : last] > 0).all()  # its own row and those above are seen


# gap filling -----------------------------------------------------------------------------------------------


def test_gapfill_loss_is_the_squared_error_of_hidden_pixels(method):
    gapfill = method("gapfill")
    seen, target, mask = inputs("gapfill", 0)
    with torch.no_grad():
        loss = float(gapfill(seen, target, mask))
        painted = gapfill.decoder(gapfill.encoder.feature_maps(seen), seen.shape[-2:])
    assert painted.shape == (8, 1, 32, 32)
    total = 0.0
    for b in range(8):
        places = mask[b, 0].nonzero().tolist()
        total += sum((float(painted[b, 0, r, c] - target[b, 0, r, c])) ** 2 for r, c in places) / len(places)
    assert loss == pytest.approx(total / 8, rel=1e-9)


def test_gapfill_ignores_visible_pixels_of_the_target_and_hidden_pixels_of_the_tile(method):
    gapfill = method("gapfill")
    seen, target, mask = inputs("gapfill", 0)
    with torch.no_grad():
        loss = gapfill(seen, target, mask)
        assert torch.equal(gapfill(seen, torch.where(mask, target, torch.nan), mask), loss)
        assert not torch.equal(gapfill(seen, torch.where(mask, target + 1, target), mask), loss)
    view = random(8, 1, 32, 32)
    again = torch.where(mask, random(8, 1, 32, 32, seed=5), view)
    first, second = (hide(v, mask, generator=torch.Generator().manual_seed(3)) for v in (view, again))
    assert torch.equal(first[0], second[0])  # neither filling nor scale tells of what is hidden
    visible = ~mask
    assert torch.equal(first[1][visible], second[1][visible])
    assert torch.equal(first[0][visible], view[visible])


def test_gaps_are_filled_with_the_mean_and_noise_and_targets_are_standardised():
    view = 0.4 + 0.05 * torch.randn(4, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    mask = block_mask(4, 96, block_px=16, mask_frac=0.5, generator=torch.Generator().manual_seed(1))
    seen, target, _ = hide(view, mask, generator=torch.Generator().manual_seed(2))
    for b in range(4):
        filled = seen[b][mask[b]]
        assert float(filled.mean()) == pytest.approx(0.4, abs=0.005)
        assert float(filled.std()) == pytest.approx(0.05, rel=0.05)
        assert float(target[b].std()) == pytest.approx(0.05 / math.hypot(0.05, 0.01), rel=0.05)
    guessed = target[mask].square().mean()
    assert float(guessed) == pytest.approx(1, abs=0.1)  # what painting the mean would cost


@pytest.mark.parametrize(
    ("side", "block", "frac"), [(96, 16, 0.5), (40, 16, 0.6), (16, 8, 0.05), (16, 8, 0.95)]
)
def test_as_many_blocks_are_hidden_in_each_view(side, block, frac):
    mask = block_mask(50, side, block_px=block, mask_frac=frac, generator=torch.Generator().manual_seed(0))
    n_side = math.ceil(side / block)
    blocks = mask[:, 0, ::block, ::block]
    n_hidden = min(max(round(frac * n_side**2), 1), n_side**2 - 1)
    assert (blocks.sum(dim=(1, 2)) == n_hidden).all()
    for row in range(side):
        for col in range(side):
            assert torch.equal(mask[:, 0, row, col], blocks[:, row // block, col // block])
    assert (blocks.float().mean(dim=0) - n_hidden / n_side**2).abs().max() < 0.35  # anywhere


# MAE -------------------------------------------------------------------------------------------------------


def test_mae_loss_is_the_squared_error_of_hidden_patches_in_their_own_scale(method):
    mae = method("mae")
    view, order = inputs("mae", 0)
    assert order.shape == (8, 16)
    assert torch.equal(order.sort(dim=1).values, torch.arange(16).expand(8, 16))
    with torch.no_grad():
        loss = float(mae(view, order))
        painted = mae.decoder(mae.latent(view, order[:, :4]), order, n_rows=4)
    assert painted.shape == (8, 12, 64)
    total = 0.0
    for b in range(8):
        for i, place in enumerate(order[b, 4:].tolist()):
            row, col = 8 * (place // 4), 8 * (place % 4)
            patch = view[b, 0, row : row + 8, col : col + 8].flatten()
            target = (patch - patch.mean()) / (patch.var(unbiased=False) + 1e-4) ** 0.5
            total += float((painted[b, i] - target).square().mean())
    assert loss == pytest.approx(total / (8 * 12), rel=1e-9)


def test_mae_encoder_sees_no_hidden_pixel_and_the_decoder_no_target(method):
    mae = method("mae")
    view, order = inputs("mae", 0)
    view.requires_grad_()
    painted = mae.decoder(mae.latent(view, order[:, :4]), order, n_rows=4)
    (gradient,) = torch.autograd.grad(painted.square().sum(), view)
    seen = gradient.abs().view(8, 4, 8, 4, 8).sum(dim=(2, 4)).flatten(1) > 0
    shown = torch.zeros(8, 16, dtype=torch.bool).scatter(1, order[:, :4], value=True)
    assert torch.equal(seen, shown)


def test_mae_runs_only_visible_patches_through_the_encoder(method):
    mae = method("mae")
    lengths = []
    mae.encoder.blocks[0].register_forward_hook(lambda module, args, out: lengths.append(out.shape[1] - 1))
    mae(*inputs("mae", 0))
    assert lengths == [4]  # a quarter of 16
    assert [mae.n_visible(n) for n in (4, 36, 196)] == [1, 9, 49]


def test_mae_paints_by_place_not_by_order_of_the_list(method):
    mae = method("mae")
    view, order = inputs("mae", 0)
    again = torch.cat([order[:, :4].flip(1), order[:, 4:].flip(1)], dim=1)
    with torch.no_grad():
        first = mae.decoder(mae.latent(view, order[:, :4]), order, n_rows=4)
        second = mae.decoder(mae.latent(view, again[:, :4]), again, n_rows=4)
    torch.testing.assert_close(second.flip(1), first, rtol=1e-9, atol=1e-9)
    assert (first[:, 0] - first[:, 1]).abs().max() > 1e-3  # hidden patches differ by their positions


def test_mae_takes_views_that_are_no_multiple_of_a_patch(method):
    mae = method("mae")
    view, order = mae.views(batch_of(random(4, 1, 32, 32), out_px=28))
    assert order.shape == (4, 16)
    assert torch.isfinite(mae(view.double(), order))


# what does not fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pirl", r"method=pirl does not fit encoder=tiny: jigsaw pieces .* Take method=mae or method=dino"),
        ("cpc", r"method=cpc does not fit .* position code .* Take method=mae"),
        ("relpatch", r"method=relpatch does not fit .* encoder=resnet18"),
        ("gapfill", r"method=gapfill does not fit .* leave the hidden ones out.* Take method=mae"),
    ],
)
def test_cnn_methods_refuse_a_transformer_and_say_what_to_take(name, message):
    with pytest.raises(WootzError, match=message):
        build_method(CONFIGS[name], tiny_vit(), n_tiles=64, batch_size=8, seed=0)
    swin = build_encoder("swin24", generator_seed=0)
    with pytest.raises(WootzError, match=r"does not fit encoder=swin24: .* Take method=dino with"):
        build_method(CONFIGS[name], swin, n_tiles=64, batch_size=8, seed=0)


@pytest.mark.parametrize(("name", "instead"), [("small", "gapfill"), ("swin24", "dino")])
def test_mae_refuses_all_but_a_vit(name, instead):
    encoder = build_encoder(name, generator_seed=0)
    message = rf"method=mae does not fit encoder={name}: .* Take method={instead}.*vit_s16"
    with pytest.raises(WootzError, match=message):
        build_method(CONFIGS["mae"], encoder, n_tiles=64, batch_size=8, seed=0)


def test_mae_refuses_views_of_one_patch(method):
    with pytest.raises(WootzError, match=r"hold 1 patches of 8 px, too few .* augment.out_px=48"):
        method("mae").views(batch_of(random(4, 1, 16, 16), out_px=8, defocus_max_px=1.0))


@pytest.mark.slow
def test_pretext_methods_take_a_convnext():
    views = batch_of(random(2, 1, 64, 64), out_px=64)
    for name in ("pirl", "cpc", "relpatch", "gapfill"):
        encoder = build_encoder("convnext_t", generator_seed=0)
        built = build_method(CONFIGS[name], encoder, n_tiles=64, batch_size=8, seed=0)
        with torch.no_grad():
            assert torch.isfinite(built(*built.views(views)))


@pytest.mark.parametrize("name", ["pirl", "cpc", "relpatch"])
def test_patches_too_small_to_show_anything_are_refused(method, name):
    with pytest.raises(WootzError, match=r"too small to show anything; make larger tiles"):
        method(name).views(batch_of(random(4, 1, 12, 12), out_px=12))


def test_gaps_larger_than_the_view_are_refused():
    with pytest.raises(WootzError, match=r"hold no gaps of 32 px .* method.block_px=5"):
        block_mask(4, 32, block_px=32, mask_frac=0.5, generator=torch.Generator())


@pytest.mark.parametrize(
    "make",
    [
        lambda: PIRLConfig(temperature=0.0),
        lambda: PIRLConfig(name="simclr"),
        lambda: CPCConfig(steps=6),
        lambda: RelPatchConfig(gap_frac=0.1, jitter_frac=0.05),
        lambda: GapFillConfig(mask_frac=1.0),
        lambda: MAEConfig(decoder_dim=40),
    ],
)
def test_options_out_of_range(make):
    with pytest.raises(WootzError, match=r"^method\."):
        make()


# as all methods --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_views_follow_from_the_generator_alone(method, name):
    tiles = random(8, 1, 40, 40)
    state = torch.random.get_rng_state()
    first, again, other = (
        method(name).views(TileBatch(tiles, 4, AugmentConfig(out_px=24), torch.Generator().manual_seed(seed)))
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_have_the_gradients_of_one(name, assert_two_processes_are_one):
    assert_two_processes_are_one(CONFIGS[name], lambda seed: inputs(name, seed))


def options(name, **changes):
    base = {"encoder": "small", "epochs": 2, "batch_size": 8, "precision": "float32", "seed": 2}
    return PretrainConfig(method=CONFIGS[name], augment=AugmentConfig(out_px=24), **{**base, **changes})


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    "name", [name if name == "relpatch" else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS]
)
def test_interrupted_training_goes_on_to_the_same_weights(toy_tiles, tmp_path, monkeypatch, name):
    cfg = options(name)
    if name == "mae":
        build = lambda cfg, encoder, **sizes: build_method(cfg, tiny_vit(), **sizes)  # noqa: E731
        monkeypatch.setattr("wootz.ssl.pretraining.build_method", build)
    whole = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "whole")
    monkeypatch.setattr(LastCheckpoint.__init__, "__kwdefaults__", {"every_s": 0.0})
    tiles = toy_tiles()
    read = tiles.scaled

    def fail(rows, margin=0):
        if len(tiles.reads) == 8:  # one sample and seven batches of eight
            raise KilledError
        return read(rows, margin)

    tiles.scaled = fail
    with pytest.raises(KilledError):
        pretrain_tiles(tiles, cfg, folder=tmp_path / "cut")
    assert 4 < torch.load(tmp_path / "cut" / LAST, weights_only=True)["global_step"] < 8
    resumed = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "cut")
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    states = [torch.load(tmp_path / f / LAST, weights_only=True)["state_dict"] for f in ("whole", "cut")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


# learning --------------------------------------------------------------------------------------------------


def waves(n, side_px, *, generator, rings=False, finest=7):
    """Draw plane waves of one length and direction for each tile, or rings about its centre."""
    phase, turn, length = torch.rand(3, n, 1, 1, generator=generator)
    down, right = torch.linspace(-1, 1, side_px)[:, None], torch.linspace(-1, 1, side_px)
    angle = math.pi * turn
    path = 12 * (down**2 + right**2).sqrt() if rings else down * torch.cos(angle) + right * torch.sin(angle)
    path = path if rings else (2 + (finest - 2) * length) * path
    return (0.5 + 0.4 * torch.sin(path + 2 * math.pi * phase))[:, None]


def train(cfg, *, steps, n, side_px, lr=2e-3, **kind):
    """Train the small encoder for some steps; return the method and its losses."""
    if cfg.name == "mae":
        encoder = seeded(
            lambda: ViTEncoder("toy", dim=48, depth=4, heads=3, grid=4, patch_px=8), generator_seed=0
        )
    else:
        encoder = build_encoder("small", generator_seed=0)
    method = build_method(cfg, encoder, n_tiles=64, batch_size=n, seed=0)
    optimizer = torch.optim.AdamW(method.parameters(), lr=lr)
    losses = []
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        tiles = waves(n, side_px, generator=generator, **kind)
        batch = TileBatch(tiles, 0, AugmentConfig(out_px=32, rotation_deg=20.0), generator)
        loss = method(*method.views(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return method, losses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cfg", "sizes", "guessing"),
    [
        (PIRLConfig(), {"steps": 40, "n": 16, "side_px": 48, "finest": 18}, math.log(16)),
        (CPCConfig(), {"steps": 25, "n": 8, "side_px": 32, "finest": 18}, math.log(8 * 7)),
        (GapFillConfig(block_px=8), {"steps": 100, "n": 16, "side_px": 48}, 1.0),
        (
            MAEConfig(decoder_dim=64, decoder_depth=2, mask_frac=0.5),
            {"steps": 400, "n": 16, "side_px": 48, "finest": 4, "lr": 1e-3},
            1.0,
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_loss_falls_below_guessing(cfg, sizes, guessing):
    _, losses = train(cfg, **sizes)
    assert sum(losses[-10:]) / 10 < 0.85 * guessing


@pytest.mark.slow
def test_relpatch_finds_the_place_of_a_patch_where_there_is_one():
    method, losses = train(RelPatchConfig(), steps=60, n=12, side_px=56, rings=True)
    assert sum(losses[-10:]) / 10 < 0.6 * math.log(8)
    generator = torch.Generator().manual_seed(1000)  # tiles that were not trained on
    tiles = waves(64, 56, generator=generator, rings=True)
    with torch.no_grad():
        logits = method.eval().logits(*method.views(TileBatch(tiles, 0, AugmentConfig(), generator)))
    right = (logits.argmax(dim=2) == torch.arange(8)).float().mean()
    assert float(right) > 0.5  # chance is an eighth
