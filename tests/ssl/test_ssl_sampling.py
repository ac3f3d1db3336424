"""How often tiles are drawn: shares against closed forms, counts against bounds, what archives lack."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from wootz.archive import Archive
from wootz.augment import CLEAN, AugmentConfig
from wootz.errors import WootzError
from wootz.fields import NewField
from wootz.ssl import PretrainConfig, SamplingConfig, SimCLRConfig, pretrain
from wootz.ssl.batches import Batches, epoch_rows
from wootz.ssl.blocks import in_blocks
from wootz.ssl.pretraining import pretrain_tiles
from wootz.ssl.sampling import Sampling, draw_rows, plan_sampling, source_shares
from wootz.ssl.selection import select_tiles, tile_groups
from wootz.ssl.views import TileBatch
from wootz.uncutbars import on_info_bar

SOURCE_SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)
SIZES = {"a": 400, "b": 100, "c": 25, "d": 1}


def frame_of(sizes=SIZES, *, origin=None):
    source = np.repeat(list(sizes), list(sizes.values()))
    frame = pd.DataFrame({"specimen": source})
    return frame if origin is None else frame.assign(origin=origin)


def planned(frame, **options):
    keep, sampling = plan_sampling(frame, SamplingConfig(**options))
    assert keep.all()
    return sampling


# shares and counts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_a_source_of_n_tiles_gets_n_to_the_one_minus_gamma(gamma):
    frame = frame_of()
    sampling = planned(frame, balance="specimen", gamma=gamma)
    n = np.array(list(SIZES.values()), float)
    expected = n ** (1 - gamma) / (n ** (1 - gamma)).sum()
    n_draws, n_epochs = 512, 60
    drawn = np.zeros(len(frame), int)
    for epoch in range(n_epochs):
        rows = epoch_rows(len(frame), batch_size=32, seed=3, epoch=epoch, sampling=sampling).ravel()
        assert len(rows) == n_draws
        counts = np.bincount(rows, minlength=len(frame))
        of_source = frame.assign(n=counts).groupby("specimen").n.sum().to_numpy()
        assert np.abs(of_source - n_draws * expected).max() < 1 + 1e-6  # each epoch, not on average
        drawn += counts
    # over the epochs a tile's own count is binomial at worst; its fractional part is all that is random
    for start, size, share in zip(np.cumsum([0, *n[:-1]]).astype(int), n, expected, strict=True):
        due = n_draws * share / size
        low, high = binom.ppf([1e-6, 1 - 1e-6], n_epochs, due % 1) + n_epochs * np.floor(due)
        counts = drawn[start : start + int(size)]
        assert (low <= counts).all(), (due, counts.min(), low)
        assert (counts <= high).all(), (due, counts.max(), high)


@given(
    sizes=SOURCE_SIZES,
    gamma=st.floats(0, 1),
    n_draws=st.integers(1, 200),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_no_tile_is_drawn_more_often_than_its_share_demands(sizes, gamma, n_draws, seed):
    sources = np.repeat(np.arange(len(sizes)), sizes)
    shares = source_shares(sources, gamma=gamma)
    rows = draw_rows(Sampling(sources, shares), n_draws, rng=np.random.default_rng(seed))
    counts = np.bincount(rows, minlength=len(sources))
    due = shares * n_draws
    assert counts.sum() == n_draws
    assert (counts >= np.floor(due - 1e-9)).all()
    assert (counts <= np.ceil(due + 1e-9)).all()


def test_copies_lie_in_other_batches_and_order_is_random():
    sampling = planned(frame_of({"a": 120, "b": 8}), balance="specimen", gamma=1.0)
    batches = epoch_rows(128, batch_size=8, seed=0, epoch=0, sampling=sampling)
    assert np.bincount(batches.ravel(), minlength=128)[120:].tolist() == [8] * 8  # due 8 times each
    assert np.mean([len(np.unique(batch)) for batch in batches]) > 7.5
    place = [np.flatnonzero(batches.ravel() == row).mean() for row in range(120, 128)]
    assert 40 < np.mean(place) < 88
    again = epoch_rows(128, batch_size=8, seed=0, epoch=0, sampling=sampling)
    other = epoch_rows(128, batch_size=8, seed=0, epoch=1, sampling=sampling)
    assert np.array_equal(batches, again)
    assert not np.array_equal(batches, other)


@pytest.mark.parametrize("balance", ["", "specimen"])
def test_mixing_ratio_holds_in_each_epoch_and_balance_within_each_kind(balance):
    origin = ["rendered"] * 400 + [""] * 126  # source a is rendered
    frame = frame_of(origin=origin)
    sampling = planned(frame, balance=balance, synthetic_frac=0.25)
    rows = epoch_rows(len(frame), batch_size=32, seed=0, epoch=4, sampling=sampling).ravel()
    assert abs((rows < 400).sum() - 128) <= 1
    real = np.array([10.0, 5.0, 1.0]) if balance else np.array([100.0, 25.0, 1.0])
    shares = frame.assign(share=sampling.shares)[400:].groupby("specimen").share.sum()
    np.testing.assert_allclose(shares, 0.75 * real / real.sum())


def test_mixing_ratio_of_zero_and_one_leaves_a_kind_out():
    frame = frame_of(origin=["rendered"] * 400 + [""] * 126)
    keep, sampling = plan_sampling(frame, SamplingConfig(synthetic_frac=0.0))
    assert sampling is None
    assert keep.tolist() == [False] * 400 + [True] * 126
    keep, sampling = plan_sampling(frame, SamplingConfig(synthetic_frac=1.0, balance="specimen"))
    assert keep.sum() == len(sampling.shares) == 400


def test_without_options_an_epoch_is_a_permutation():
    assert planned(frame_of()) is None


@pytest.mark.parametrize("step", [0, 3])
def test_ranks_share_the_batches_of_one_process(toy_tiles, step):
    sampling = Sampling(np.arange(26) // 13, source_shares(np.arange(26) < 5, gamma=1.0))

    def read(rank, world, batch_size):
        tiles = toy_tiles(n=26)
        position = (step, rank, world)
        batches = Batches(
            tiles, batch_size=batch_size, margin_px=0, seed=1, sampling=sampling, position=lambda: position
        )
        assert len(list(batches)) == len(batches) - step % len(batches)
        return tiles.reads

    one, two = read(0, 1, 8), [read(rank, 2, 4) for rank in range(2)]
    assert one == [a + b for a, b in zip(*two, strict=True)]


# batches from few images -----------------------------------------------------------------------------------


@given(
    sizes=SOURCE_SIZES,
    block=st.integers(2, 20),
    n_draws=st.integers(1, 200),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_blocks_hold_the_same_draws_in_runs_of_one_group(sizes, block, n_draws, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(groups), n_draws)
    ordered = in_blocks(rows, groups, block=block, rng=rng)
    assert np.array_equal(np.sort(ordered), np.sort(rows))
    rounds = sum(np.bincount(rows[groups[rows] == g]).max() for g in np.unique(groups[rows]))
    n_runs = 1 + np.count_nonzero(np.diff(groups[ordered]))
    assert n_runs <= rounds + -(-n_draws // block)  # a run ends with its round or with its block


def test_a_batch_of_one_block_is_of_one_image_and_every_tile_comes_once():
    groups = np.repeat(np.arange(6), 32)
    batches = epoch_rows(192, batch_size=32, seed=0, epoch=0, groups=groups, block=32)
    assert sorted(groups[batch[0]] for batch in batches) == list(range(6))
    assert all(len(np.unique(groups[batch])) == 1 for batch in batches)
    assert np.array_equal(np.sort(batches.ravel()), np.arange(192))
    quarters = epoch_rows(192, batch_size=32, seed=0, epoch=1, groups=groups, block=8)
    counts = [np.bincount(groups[batch], minlength=6) for batch in quarters]
    assert all((count % 8 == 0).all() for count in counts)
    assert len({tuple(count) for count in counts}) > 1
    other = epoch_rows(192, batch_size=32, seed=0, epoch=2, groups=groups, block=8)
    assert not np.array_equal(quarters, other)


def test_copies_of_a_tile_do_not_meet_in_a_block():
    groups = np.repeat([0, 1], [8, 120])
    rows = np.random.default_rng(0).permutation(np.concatenate([np.tile(np.arange(8), 8), np.arange(8, 128)]))
    ordered = in_blocks(rows, groups, block=8, rng=np.random.default_rng(1)).reshape(-1, 8)
    assert np.mean([len(np.unique(part)) for part in ordered]) > 7


@pytest.mark.slow
def test_interrupted_balanced_training_goes_on_to_the_same_losses(toy_tiles, tmp_path):
    sampling = Sampling(np.arange(32) % 2, source_shares(np.arange(32) < 6, gamma=1.0))
    cfg = PretrainConfig(
        method=SimCLRConfig(hidden_dim=8, output_dim=4),
        encoder="small",
        epochs=2,
        batch_size=8,
        precision="float32",
        augment=AugmentConfig(out_px=16),
    )
    whole = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "whole", sampling=sampling)
    tiles = toy_tiles()
    read = tiles.scaled

    def fail(rows, margin=0):
        if len(tiles.reads) == 8:
            raise KeyError
        return read(rows, margin)

    tiles.scaled = fail
    with pytest.raises(KeyError):
        pretrain_tiles(tiles, cfg, folder=tmp_path / "cut", sampling=sampling)
    again = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "cut", sampling=sampling)
    assert [row["loss"] for row in again.history] == [row["loss"] for row in whole.history]


# views from overlapping crops ------------------------------------------------------------------------------

WHOLE = {"area_min_frac": 1.0, "aspect_max": 1.0, "rotation_deg": 0.0, "flip_prob": 0.0, "jitter_prob": 0.0}
PLAIN = AugmentConfig(out_px=16, **WHOLE, **CLEAN, shear_deg=0.0)


def test_shifted_views_are_windows_of_the_field_at_every_offset():
    field = torch.arange(24.0 * 24).reshape(1, 1, 24, 24) / 600
    tiles = field.expand(400, 1, 24, 24)
    batch = TileBatch(tiles, 4, PLAIN, generator=torch.Generator().manual_seed(0), shift_px=3)
    views = batch.view()
    corner = (views[:, 0, 0, 0] * 600).round().long()
    rows, cols = corner // 24, corner % 24
    assert set(rows.tolist()) == set(cols.tolist()) == set(range(1, 8))  # the tile begins at 4
    for view, row, col in zip(views[:20], rows, cols, strict=False):
        torch.testing.assert_close(view[0], field[0, 0, row : row + 16, col : col + 16], atol=1e-4, rtol=0)
    assert (rows - cols).unique().numel() > 7
    assert not torch.equal(views, batch.view())


def test_without_a_shift_nothing_changes():
    tiles = torch.rand(4, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    views = [
        TileBatch(
            tiles, 4, AugmentConfig(out_px=16), generator=torch.Generator().manual_seed(1), **more
        ).view()
        for more in ({}, {"shift_px": 0})
    ]
    assert torch.equal(*views)


# archives --------------------------------------------------------------------------------------------------


class Run:
    id = "run-1"

    def __init__(self, folder):
        self.folder = folder


@pytest.fixture
def archive(tmp_path, rng):
    archive = Archive.create(tmp_path / "archive")
    columns = [("a", "rendered"), ("a", "rendered"), ("b", "")]
    grain = [np.kron(rng.integers(40, 250, (24, 24)), np.ones((4, 4))).astype(np.uint8) for _ in columns]
    archive.add_images(
        [
            NewField(pixels, {"file": f"{i}.tif", "specimen": specimen, "origin": origin})
            for i, (pixels, (specimen, origin)) in enumerate(zip(grain, columns, strict=True))
        ]
    )
    archive.write_tiles(32, 32)
    return archive


def options(**sampling):
    cfg = {"encoder": "small", "epochs": 1, "batch_size": 8, "precision": "float32"}
    return PretrainConfig(augment=AugmentConfig(out_px=16), sampling=SamplingConfig(**sampling), **cfg)


def test_pretrain_writes_down_how_often_sources_are_drawn(archive, tmp_path):
    result = pretrain(
        archive.tiles(), options(balance="specimen", gamma=1.0, shift_frac=0.2), run=Run(tmp_path / "run")
    )
    assert result.n_tiles == 27
    table = pd.read_csv(tmp_path / "run" / "sampling.csv")
    assert table[["source", "tiles", "share"]].to_numpy().tolist() == [["a", 18, 0.5], ["b", 9, 0.5]]
    assert table.draws_per_tile.tolist() == pytest.approx([0.75, 1.5])
    assert select_tiles(archive.tiles(), options(synthetic_frac=0.0)).n_left_out == 18


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"balance": "specimn"}, r"no such column; choose one of .*specimen"),
        ({"balance": "instrument"}, r"the column is empty; give it with metadata"),
    ],
)
def test_columns_that_are_not_there(archive, sampling, message):
    with pytest.raises(WootzError, match=message):
        select_tiles(archive.tiles(), options(**sampling))


def test_tiles_stay_together_by_a_column(archive, tmp_path):
    tiles = archive.tiles()
    assert tile_groups(tiles, SamplingConfig()) is None
    numbers = tile_groups(tiles, SamplingConfig(block=4))
    images = tiles.columns(["image_id"])["image_id"]
    assert pd.Series(numbers).groupby(images.to_numpy()).nunique().tolist() == [1, 1, 1]
    assert len(np.unique(numbers)) == 3
    assert len(np.unique(tile_groups(tiles, SamplingConfig(within="specimen", block=4)))) == 2
    with pytest.raises(WootzError, match=r"sampling\.within='mood'.*choose one of .*image_id"):
        tile_groups(tiles, SamplingConfig(within="mood", block=4))

    def first_loss(**sampling):
        return pretrain(tiles, options(**sampling), run=Run(tmp_path / str(sampling))).loss_first

    assert first_loss(block=8) != first_loss()  # the option reaches the batches


def test_a_kind_that_is_missing(archive):
    images = archive.images.image_id.to_numpy()
    with pytest.raises(WootzError, match=r"no tile is rendered.*wootz render"):
        select_tiles(archive.tiles(images=images[2:]), options(synthetic_frac=0.5))
    with pytest.raises(WootzError, match="all tiles are rendered"):
        select_tiles(archive.tiles(images=images[:2]), options(synthetic_frac=0.5))


@pytest.mark.parametrize(
    "bad", [{"gamma": -0.1}, {"gamma": 1.1}, {"synthetic_frac": 2.0}, {"shift_frac": 0.6}, {"gamma": np.nan}]
)
def test_options_out_of_range(bad):
    with pytest.raises(WootzError, match=f"sampling.{next(iter(bad))}"):
        SamplingConfig(**bad)


def test_tiles_on_an_info_bar_that_was_not_cut_are_left_out(tmp_path, rng, capsys):
    fields = []
    for i in range(3):
        pixels = rng.integers(40, 250, (256, 256), dtype=np.uint8)
        if i == 1:
            pixels[224:] = 0
            text = rng.random((12, 256)) < 0.3
            pixels[234:246][text] = 255
        fields.append(NewField(pixels, {"file": f"{i}.tif"}))
    archive = Archive.create(tmp_path / "archive")
    archive.add_images(fields)
    archive.write_tiles(64, 64)
    tiles = archive.tiles()
    bar = on_info_bar(tiles)
    frame = tiles.frame
    expected = (frame.file == "1.tif") & (frame.row == 192)
    assert expected.sum() == 4
    assert bar.tolist() == expected.tolist()
    assert select_tiles(tiles, options()).n_left_out == 4
    assert "info bar" in capsys.readouterr().err
    clean = archive.images.image_id.to_numpy()[[0, 2]]
    assert not on_info_bar(archive.tiles(images=clean)).any()
