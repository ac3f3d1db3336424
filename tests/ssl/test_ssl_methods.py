"""Losses against slow loops from the papers, queues and momentum against their rules."""

import copy
import itertools
import math
from collections import deque

import pytest
import torch
from torch import nn

from wootz.augment import AugmentConfig
from wootz.errors import WootzError
from wootz.ssl import (
    BYOLConfig,
    DenseCLConfig,
    DINOConfig,
    MoCoConfig,
    MoCoV3Config,
    PretrainConfig,
    SimCLRConfig,
    SwaVConfig,
    VICRegConfig,
)
from wootz.ssl.loop import build_optimizer, learning_rate_factor
from wootz.ssl.methods.build import build_method
from wootz.ssl.methods.keys import KeyQueue
from wootz.ssl.methods.options import LocalViewsConfig
from wootz.ssl.views import TileBatch

CONFIGS = [
    SimCLRConfig(hidden_dim=8, output_dim=4),
    BYOLConfig(hidden_dim=8, output_dim=4),
    MoCoConfig(hidden_dim=8, output_dim=4, queue=16, key_groups=2),
    MoCoV3Config(hidden_dim=8, output_dim=4),
    VICRegConfig(hidden_dim=8, output_dim=4),
    SwaVConfig(hidden_dim=8, output_dim=4, prototypes=5, queue=8),
    DINOConfig(hidden_dim=8, output_dim=7, bottleneck_dim=4),
    DenseCLConfig(hidden_dim=8, output_dim=4, queue=16, key_groups=2),
]
SIMCLR, BYOL, MOCO, MOCOV3, VICREG, SWAV, DINO, DENSECL = CONFIGS


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def test_simclr_loss_is_equation_1(toy):
    method = toy.method(SIMCLR).eval()
    first, second = toy.views()
    with torch.no_grad():
        loss = float(method(first, second))
        z = method.head(method.encoder(torch.cat([first, second])))
    total, n = 0.0, 8
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [math.exp(cosine(z[i], z[k]) / 0.2) for k in range(2 * n) if k != i]
        total -= math.log(math.exp(cosine(z[i], z[partner]) / 0.2) / sum(others))
    assert loss == pytest.approx(total / (2 * n), rel=1e-5)


def test_byol_loss_is_symmetric_cosine_to_the_target(toy):
    method = toy.method(BYOL).eval()
    with torch.no_grad():
        for parameter in method.target_encoder.parameters():
            parameter.mul_(1.5)  # a target of its own
    first, second = toy.views()
    with torch.no_grad():
        loss = float(method(first, second))
        p = [method.predictor(method.head(method.encoder(v))) for v in (first, second)]
        z = [method.target_head(method.target_encoder(v)) for v in (first, second)]
    pairs = [cosine(p[0][i], z[1][i]) + cosine(p[1][i], z[0][i]) for i in range(8)]
    assert loss == pytest.approx(-sum(pairs) / 16, rel=1e-5)


def test_moco_contrasts_with_its_queue_and_then_fills_it(toy):
    method = toy.method(MOCO).eval()
    with torch.no_grad():
        for parameter in method.key_encoder.parameters():
            parameter.mul_(1.5)
    first, second = toy.views()
    queue = method.criterion.memory_bank.bank.clone()
    loss = float(method(first, second).detach())
    with torch.no_grad():
        q, k = method.head(method.encoder(first)), method.key_head(method.key_encoder(second))
    total = 0.0
    for i in range(8):
        negatives = sum(math.exp(cosine(q[i], key) / 0.2) for key in queue)
        positive = math.exp(cosine(q[i], k[i]) / 0.2)
        total -= math.log(positive / (positive + negatives))
    assert loss == pytest.approx(total / 8, rel=1e-5)
    bank = method.criterion.memory_bank.bank
    torch.testing.assert_close(bank[:8], nn.functional.normalize(k, dim=1))
    assert torch.equal(bank[8:], queue[8:])


def test_moco_keeps_its_queue_in_the_state_and_takes_no_gradient_to_the_keys(toy):
    method = toy.method(MOCO)
    method(*toy.views()).backward()
    assert all(p.grad is None for p in [*method.key_encoder.parameters(), *method.key_head.parameters()])
    assert all(p.grad is not None for p in method.encoder.parameters())
    state = method.state_dict()
    fresh = toy.method(MOCO)
    fresh.load_state_dict(state)
    assert torch.equal(fresh.criterion.memory_bank.bank, method.criterion.memory_bank.bank)
    assert int(fresh.criterion.memory_bank.bank_ptr) == 8


@pytest.mark.parametrize(("n_tiles", "expected"), [(1000, 16), (30, 16), (20, 8), (8, 8)])
def test_queue_is_shorter_than_the_other_tiles(toy, n_tiles, expected):
    method = toy.method(MOCO, n_tiles=n_tiles)
    assert len(method.criterion.memory_bank.bank) == expected


def test_keys_are_normalised_in_parts(toy):
    method = toy.method(MOCO)
    method.key_encoder = nn.Sequential(method.key_encoder, nn.BatchNorm1d(6))
    _, second = toy.views()
    keys = method._keys(second)
    parts = torch.empty_like(keys)
    for part in range(2):
        parts[part::2] = method.key_head(method.key_encoder(second[part::2]))
    torch.testing.assert_close(keys, parts)
    assert not torch.allclose(keys, method.key_head(method.key_encoder(second)), atol=1e-4)


@pytest.mark.parametrize("cfg", CONFIGS, ids=lambda c: c.name)
def test_building_a_method_leaves_the_global_random_state_alone(toy, cfg):
    state = torch.random.get_rng_state()
    first, second = (build_method(cfg, toy.Encoder(), n_tiles=64, batch_size=8, seed=4) for _ in range(2))
    torch.random.set_rng_state(state)
    build_method(cfg, copy.deepcopy(first.encoder), n_tiles=64, batch_size=8, seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b in zip(first.head.parameters(), second.head.parameters(), strict=True):
        assert torch.equal(a, b)


def test_norms_and_biases_have_no_weight_decay(toy):
    method = toy.method(BYOL)
    for name in ("adamw", "lars"):
        decayed, plain = build_optimizer(method, PretrainConfig(optimizer=name), batch_size=512).param_groups
        assert decayed["weight_decay"] > 0 == plain["weight_decay"]
        assert all(p.ndim >= 2 for p in decayed["params"])
        assert all(p.ndim == 1 for p in plain["params"])
        trainable = sum(p.requires_grad for p in method.parameters())
        assert len(decayed["params"]) + len(plain["params"]) == trainable
    assert decayed["base_lr"] == pytest.approx(0.6)  # 0.3 x 512 / 256


def test_learning_rate_rises_then_falls_to_zero():
    values = [learning_rate_factor(i / 1000, warmup_frac=0.1) for i in range(1001)]
    assert values[0] == pytest.approx(0.02)
    assert values[100] == 1.0
    assert values[-1] == pytest.approx(0, abs=1e-9)
    assert values[550] == pytest.approx(0.5, abs=1e-6)
    assert all(a < b for a, b in itertools.pairwise(values[:101]))
    assert all(a > b for a, b in itertools.pairwise(values[100:]))
    assert learning_rate_factor(1.7, warmup_frac=0.0) == pytest.approx(0)


# all methods: state, slow copies, queues -------------------------------------------------------------------


def views_of(toy, cfg, seed=0):
    return toy.views(3 if cfg.name in ("swav", "dino") else 2, seed=seed)


@pytest.mark.parametrize("cfg", CONFIGS, ids=lambda c: c.name)
def test_all_that_a_method_knows_is_in_its_state(toy, cfg):
    method, fresh = toy.method(cfg), toy.method(cfg)
    for seed in range(2):
        method(*views_of(toy, cfg, seed)).backward()
        with torch.no_grad():
            for parameter in method.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.1 * parameter.grad)
        method.update(0.3)
    held = {*dict(method.named_parameters()), *dict(method.named_buffers())}
    if cfg.name == "simclr":  # lightly's loss has an empty queue
        held -= {"criterion.memory_bank.bank", "criterion.memory_bank.bank_ptr"}
    assert set(method.state_dict()) == held  # a queue that is not persistent would be missing
    fresh.load_state_dict(method.state_dict())
    assert torch.equal(method(*views_of(toy, cfg, 5)), fresh(*views_of(toy, cfg, 5)))
    for name, value in method.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name]), name


COPIES = {
    "byol": {"target_encoder": "encoder", "target_head": "head"},
    "moco": {"key_encoder": "encoder", "key_head": "head"},
    "mocov3": {"key_encoder": "encoder", "key_head": "head"},
    "dino": {"teacher_encoder": "encoder", "teacher_head": "head"},
    "densecl": {"key_encoder": "encoder", "key_head": "head", "key_dense_head": "dense_head"},
}


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("cfg", [c for c in CONFIGS if c.name in COPIES], ids=lambda c: c.name)
def test_slow_copies_start_equal_follow_by_their_momentum_and_take_no_gradient(toy, cfg, progress):
    method = toy.method(cfg)
    rises = cfg.name in ("byol", "mocov3", "dino")
    momentum = 1 - 0.01 * ((math.cos(math.pi * progress) + 1) / 2 if rises else 1)
    pairs = []
    for slow, fast in COPIES[cfg.name].items():
        rows = zip(getattr(method, slow).parameters(), getattr(method, fast).parameters(), strict=True)
        pairs += list(rows)
    before = [slow.clone() for slow, _ in pairs]
    assert all(torch.equal(slow, fast) for slow, fast in pairs)
    method(*views_of(toy, cfg)).backward()
    assert all(slow.grad is None for slow, _ in pairs)
    assert all(fast.grad is not None for _, fast in pairs if fast.requires_grad)
    with torch.no_grad():
        for _, fast in pairs:
            fast.add_(1.0)
    method.update(progress)
    for (slow, fast), old in zip(pairs, before, strict=True):
        torch.testing.assert_close(slow, momentum * old + (1 - momentum) * fast)


@pytest.mark.parametrize("cfg", [SWAV, DINO], ids=lambda c: c.name)
def test_last_layer_is_held_at_first(toy, cfg):
    method = toy.method(cfg)
    layer = method.prototypes.heads[0].weight if cfg.name == "swav" else method.head.last_layer.weight_v
    method(*views_of(toy, cfg)).backward()
    assert not layer.grad.any()
    assert next(method.encoder.parameters()).grad.any()
    method.update(0.5 * cfg.freeze_frac)
    method(*views_of(toy, cfg)).backward()
    assert not layer.grad.any()
    method.update(cfg.freeze_frac)
    method(*views_of(toy, cfg)).backward()
    assert layer.grad.any()


def test_prototypes_stay_on_the_unit_sphere(toy):
    method = toy.method(SWAV)
    weight = method.prototypes.heads[0].weight
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(5))
    with torch.no_grad():
        weight.mul_(3.0)
    method.update(0.1)
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("length", [8, 10, 3])
def test_queue_keeps_the_newest_keys(length):
    queue = KeyQueue(length, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(queue.bank.norm(dim=1), torch.ones(length))
    negatives, start = queue.negatives(), queue.bank.clone()
    kept = deque(start.tolist(), maxlen=length)
    for step in range(5):
        assert queue.is_full() == (4 * step >= length)
        keys = torch.arange(8.0).view(4, 2) + 100 * step
        queue.push(keys)
        kept.extend(keys.tolist())
        oldest_first = queue.bank.roll(-int(queue.pointer), dims=0)
        assert oldest_first.tolist() == list(kept)
    assert torch.equal(negatives, start)


def test_densecl_needs_feature_maps():
    class Flat(nn.Module):
        dim = 4

    with pytest.raises(WootzError, match=r"densecl needs an encoder with feature maps; set encoder=resnet18"):
        build_method(DENSECL, Flat(), n_tiles=64, batch_size=8, seed=0)


@pytest.mark.parametrize("cfg", [SWAV, DINO], ids=lambda c: c.name)
def test_multi_crop_draws_large_views_first_and_small_ones_of_small_windows(toy, monkeypatch, cfg):
    import wootz.ssl.views

    seen = []
    draw = wootz.ssl.views.random_views

    def note(tiles, cfg, *, n_views, **rest):
        seen.extend([(cfg.area_min_frac, cfg.area_max_frac)] * n_views)
        return draw(tiles, cfg, n_views=n_views, **rest)

    monkeypatch.setattr(wootz.ssl.views, "random_views", note)
    batch = TileBatch(torch.rand(3, 1, 40, 40), 4, AugmentConfig(out_px=32), generator=torch.Generator())
    drawn = toy.method(cfg).views(batch)
    assert [v.shape[-1] for v in drawn] == [32, 32, 16, 16, 16, 16]
    assert seen == [(0.25, 1.0)] * 2 + [(0.05, 0.25)] * 4
    assert all(v.shape[:2] == (3, 1) for v in drawn)
    assert len({float(v.sum()) for v in drawn}) == 6


@pytest.mark.parametrize("cfg", CONFIGS, ids=lambda c: c.name)
def test_losses_are_float32_and_finite_under_bfloat16(toy, cfg):
    method = toy.method(cfg)
    with torch.autocast("cpu", torch.bfloat16):
        loss = method(*views_of(toy, cfg))
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert bool(loss.isfinite())


@pytest.mark.parametrize(
    "make",
    [
        lambda: MoCoV3Config(momentum=1.0),
        lambda: VICRegConfig(invariance_weight=0.0),
        lambda: SwaVConfig(epsilon=0.01),
        lambda: SwaVConfig(local=LocalViewsConfig(count=-1)),
        lambda: DINOConfig(teacher_temperature=0.2),
        lambda: DINOConfig(local=LocalViewsConfig(area_min_frac=0.5, area_max_frac=0.2)),
        lambda: DenseCLConfig(dense_weight=1.5),
        lambda: DenseCLConfig(name="dino"),
    ],
)
def test_options_out_of_range(make):
    with pytest.raises(WootzError, match=r"^method\.(\w|\.)+='?\S+'? is (out of range|not known)"):
        make()
