"""The adversarial lens: its gradients by hand, exact resuming, and a planted mark that it takes away."""

import numpy as np
import pytest
import torch

from wootz.augment import CLEAN, AugmentConfig
from wootz.encoders import build_encoder, load_encoder
from wootz.errors import WootzError
from wootz.ssl import GapFillConfig, LensConfig, PretrainConfig, SimCLRConfig, embed_arrays, knn_probe
from wootz.ssl.lens import Lens, build_lens, through_lens
from wootz.ssl.pretraining import pretrain_tiles
from wootz.training import LAST


def lens_of(seed=0, *, trained=True):
    lens = build_lens(LensConfig(weight=1.0, width=4), method="simclr", seed=seed)
    if trained:  # at first it changes nothing
        with torch.no_grad():
            lens.change.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    return lens


def options(**changes):
    cfg = {"encoder": "small", "epochs": 2, "batch_size": 8, "precision": "float32", "seed": 2, **changes}
    return PretrainConfig(
        method=SimCLRConfig(hidden_dim=8, output_dim=4), augment=AugmentConfig(out_px=16), **cfg
    )


@pytest.mark.parametrize("side_px", [8, 15, 16, 33])
def test_a_new_lens_is_clear_and_of_any_size(side_px):
    views = torch.rand(3, 1, side_px, side_px)
    assert torch.equal(lens_of(trained=False)(views), views)
    assert lens_of()(views).shape == views.shape
    assert not torch.equal(lens_of()(views), views)


def test_pictures_pass_through_the_lens_and_the_rest_passes_by():
    lens = lens_of()
    pictures, pieces = torch.rand(2, 1, 9, 9), torch.rand(2, 3, 1, 9, 9)
    order, mask = torch.arange(6).view(2, 3), torch.rand(2, 1, 9, 9) > 0.5
    (first, second, third, fourth), change = through_lens(lens, (pictures, pieces, order, mask), weight=1.0)
    assert torch.equal(first, lens(pictures))
    torch.testing.assert_close(second[:, 1], lens(pieces[:, 1]), rtol=1e-5, atol=1e-6)
    assert third is order
    assert fourth is mask
    moved = [(lens(pictures) - pictures).square().mean(), (second - pieces).square().mean()]
    assert change.item() == pytest.approx(sum(m.item() for m in moved) / 2, rel=1e-5)
    with pytest.raises(WootzError, match="no picture"):
        through_lens(lens, (order,), weight=1.0)


def test_one_backward_lowers_the_loss_for_the_method_and_raises_it_for_the_lens():
    lens, views = lens_of(), torch.rand(4, 1, 12, 12)
    reader = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 1))
    weight, penalty = 0.7, 3.0
    (seen,), change = through_lens(lens, (views,), weight=weight)
    loss = reader(seen).square().mean()
    (loss + penalty * (change - change.detach())).backward()
    # by hand: two losses, two backward passes
    plain = lens(views)
    own = torch.autograd.grad(reader(plain).square().mean(), [*reader.parameters(), *lens.parameters()])
    kept = torch.autograd.grad((lens(views) - views).square().mean(), lens.parameters())
    n = len(list(reader.parameters()))
    for parameter, grad in zip(reader.parameters(), own[:n], strict=True):
        torch.testing.assert_close(parameter.grad, grad)
    for parameter, grad, keep in zip(lens.parameters(), own[n:], kept, strict=True):
        torch.testing.assert_close(parameter.grad, -weight * grad + penalty * keep, rtol=1e-4, atol=1e-6)


def test_grey_levels_survive_bfloat16():
    views = torch.linspace(0, 1, 4096).view(1, 1, 64, 64)
    lens = lens_of(trained=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert lens(views).unique().numel() == 4096


def test_painting_methods_refuse_a_lens_and_no_weight_is_no_lens():
    assert build_lens(LensConfig(), method="gapfill", seed=0) is None
    with pytest.raises(WootzError, match=r"method=gapfill learns by painting.*lens\.weight=0"):
        build_lens(LensConfig(weight=1.0), method=GapFillConfig().name, seed=0)
    with pytest.raises(WootzError, match=r"lens\.penalty"):
        LensConfig(penalty=0.0)
    state = torch.get_rng_state()
    first, second, other = (lens_of(seed) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.fine[0].weight, second.fine[0].weight)
    assert not torch.equal(first.fine[0].weight, other.fine[0].weight)


@pytest.mark.slow
def test_interrupted_training_with_a_lens_goes_on_to_the_same_losses(toy_tiles, tmp_path):
    cfg = options(lens=LensConfig(weight=1.0, penalty=10.0, width=4))
    whole = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "whole")
    tiles = toy_tiles()
    read = tiles.scaled

    def fail(rows, margin=0):
        if len(tiles.reads) == 8:
            raise KeyError
        return read(rows, margin)

    tiles.scaled = fail
    with pytest.raises(KeyError):
        pretrain_tiles(tiles, cfg, folder=tmp_path / "cut")
    again = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "cut")
    keys = ("loss", "lens_rms")
    assert [[row[k] for k in keys] for row in again.history] == [
        [row[k] for k in keys] for row in whole.history
    ]
    assert 0 < whole.history[0]["lens_rms"] < 0.3
    states = [torch.load(tmp_path / f / LAST, weights_only=True)["state_dict"] for f in ("whole", "cut")]
    assert any(key.startswith("lens.") for key in states[0])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_lens_trains_and_leaves_the_first_loss_as_it_is(toy_tiles, tmp_path):
    # one step: the lens is still clear, so that the value of the loss is that of the method alone
    runs = [
        pretrain_tiles(toy_tiles(n=8), options(epochs=1, lens=lens), folder=tmp_path / str(i))
        for i, lens in enumerate([LensConfig(), LensConfig(weight=1.0, width=4)])
    ]
    assert runs[0].loss_last == pytest.approx(runs[1].loss_last, rel=1e-6)
    state = torch.load(tmp_path / "1" / LAST, weights_only=True)["state_dict"]
    assert state["lens.change.weight"].abs().max() > 0
    assert isinstance(Lens(4), torch.nn.Module)


# a planted mark --------------------------------------------------------------------------------------------


class Marked:
    """Noisy tiles of faint texture, each with one of 16 faint marks in its corner."""

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        grain = rng.integers(1, 5, n)
        tiles = np.stack([np.kron(rng.random((16, 16)), np.ones((g, g)))[:16, :16] for g in grain])
        bits = rng.integers(0, 2, (n, 4))
        self.marks = bits @ [1, 2, 4, 8]
        self.pixels = 0.45 + 0.1 * tiles
        for k, (row, col) in enumerate([(0, 0), (0, 3), (3, 0), (3, 3)]):
            self.pixels[:, row : row + 3, col : col + 3] += 0.15 * (bits[:, k, None, None] - 0.5)
        self.pixels = self.pixels.astype(np.float32)
        self.noisy = self.pixels + 0.1 * rng.standard_normal(tiles.shape).astype(np.float32)

    def __len__(self):
        return len(self.pixels)

    def scaled(self, rows, margin=0):
        return np.pad(self.pixels[rows], ((0, 0), (margin, margin), (margin, margin)), mode="reflect")


@pytest.mark.slow
def test_with_the_lens_features_tell_a_planted_mark_less_well(tmp_path):
    train, test = Marked(192, 0), Marked(400, 1)
    still = {
        "area_min_frac": 1.0,
        "aspect_max": 1.0,
        "rotation_deg": 0.0,
        "shear_deg": 0.0,
        "flip_prob": 0.0,
        "jitter_prob": 0.0,
    }
    noise = {"noise_prob": 1.0, "dose_min": 60.0, "dose_max": 60.0}
    augment = AugmentConfig(out_px=16, **{**CLEAN, **still, **noise})

    def told(encoder):
        known, new = embed_arrays(train.noisy, encoder), embed_arrays(test.noisy, encoder)
        return knn_probe(known, train.marks, test_features=new, test_labels=test.marks, k=5)

    def trained(name, lens):
        cfg = PretrainConfig(
            encoder="small", epochs=24, batch_size=32, precision="float32", augment=augment, lens=lens
        )
        result = pretrain_tiles(train, cfg, folder=tmp_path / name)
        return told(load_encoder(result.checkpoint)), result

    random = told(build_encoder("small", generator_seed=0))
    without, plain = trained("without", LensConfig())
    with_lens, lensed = trained("with", LensConfig(weight=1.0, penalty=10.0, lr_factor=3.0))
    assert without > random + 0.2  # the mark is what the features learn
    assert with_lens < without - 0.15  # and with the lens it is not
    assert lensed.loss_last > plain.loss_last + 0.5
    assert lensed.history[-1]["lens_rms"] < 0.2
