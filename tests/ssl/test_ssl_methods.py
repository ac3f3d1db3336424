"""Losses against slow loops, momentum against its formula, several processes against one."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from wootz.ssl import BYOLConfig, MoCoConfig, SimCLRConfig
from wootz.ssl.loop import build_optimizer, learning_rate_factor
from wootz.ssl.methods.build import build_method

CONFIGS = [
    SimCLRConfig(hidden_dim=8, output_dim=4),
    BYOLConfig(hidden_dim=8, output_dim=4),
    MoCoConfig(hidden_dim=8, output_dim=4, queue=16, key_groups=2),
]


class ToyEncoder(nn.Module):
    """Two convolutions with group norm, so that results do not depend on how a batch is cut."""

    dim = 6

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(2)
        )

    def forward(self, x):
        return self.layers(x).mean(dim=2)


def without_batch_norm(module):
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d):
            norm = nn.GroupNorm(1, child.num_features).requires_grad_(child.weight.requires_grad)
            setattr(module, name, norm)
        else:
            without_batch_norm(child)


def toy_method(cfg, *, batch_size=8, n_tiles=64):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = ToyEncoder()
    return build_method(cfg, encoder, n_tiles=n_tiles, batch_size=batch_size, seed=1)


def float64_method(cfg):
    method = toy_method(cfg)
    without_batch_norm(method)
    return method.double()


def views(n=8, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, n, 1, 12, 12, generator=generator, dtype=dtype).unbind()


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def test_simclr_loss_is_equation_1():
    method = toy_method(CONFIGS[0]).eval()
    first, second = views()
    with torch.no_grad():
        loss = float(method(first, second))
        z = method.head(method.encoder(torch.cat([first, second])))
    total, n = 0.0, 8
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [math.exp(cosine(z[i], z[k]) / 0.2) for k in range(2 * n) if k != i]
        total -= math.log(math.exp(cosine(z[i], z[partner]) / 0.2) / sum(others))
    assert loss == pytest.approx(total / (2 * n), rel=1e-5)


def test_byol_loss_is_symmetric_cosine_to_the_target():
    method = toy_method(CONFIGS[1]).eval()
    with torch.no_grad():
        for parameter in method.target_encoder.parameters():
            parameter.mul_(1.5)  # a target of its own
    first, second = views()
    with torch.no_grad():
        loss = float(method(first, second))
        p = [method.predictor(method.head(method.encoder(v))) for v in (first, second)]
        z = [method.target_head(method.target_encoder(v)) for v in (first, second)]
    pairs = [cosine(p[0][i], z[1][i]) + cosine(p[1][i], z[0][i]) for i in range(8)]
    assert loss == pytest.approx(-sum(pairs) / 16, rel=1e-5)


def test_moco_contrasts_with_its_queue_and_then_fills_it():
    method = toy_method(CONFIGS[2]).eval()
    with torch.no_grad():
        for parameter in method.key_encoder.parameters():
            parameter.mul_(1.5)
    first, second = views()
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


def test_moco_keeps_its_queue_in_the_state_and_takes_no_gradient_to_the_keys():
    method = toy_method(CONFIGS[2])
    method(*views()).backward()
    assert all(p.grad is None for p in [*method.key_encoder.parameters(), *method.key_head.parameters()])
    assert all(p.grad is not None for p in method.encoder.parameters())
    state = method.state_dict()
    fresh = toy_method(CONFIGS[2])
    fresh.load_state_dict(state)
    assert torch.equal(fresh.criterion.memory_bank.bank, method.criterion.memory_bank.bank)
    assert int(fresh.criterion.memory_bank.bank_ptr) == 8


@pytest.mark.parametrize(("n_tiles", "expected"), [(1000, 16), (30, 16), (20, 8), (8, 8)])
def test_queue_is_shorter_than_the_other_tiles(n_tiles, expected):
    method = toy_method(CONFIGS[2], n_tiles=n_tiles)
    assert len(method.criterion.memory_bank.bank) == expected


def test_keys_are_normalised_in_parts():
    method = toy_method(CONFIGS[2])
    method.key_encoder = nn.Sequential(method.key_encoder, nn.BatchNorm1d(6))
    _, second = views()
    keys = method._keys(second)
    parts = torch.empty_like(keys)
    for part in range(2):
        parts[part::2] = method.key_head(method.key_encoder(second[part::2]))
    torch.testing.assert_close(keys, parts)
    assert not torch.allclose(keys, method.key_head(method.key_encoder(second)), atol=1e-4)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_byol_target_follows_with_rising_momentum(progress):
    method = toy_method(CONFIGS[1])
    with torch.no_grad():
        for parameter in method.encoder.parameters():
            parameter.add_(1.0)
    before = copy.deepcopy(method.target_encoder)
    method.update(progress)
    momentum = 1 - 0.01 * (math.cos(math.pi * progress) + 1) / 2
    for new, old, online in zip(
        method.target_encoder.parameters(), before.parameters(), method.encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(new, momentum * old + (1 - momentum) * online)


@pytest.mark.parametrize("cfg", CONFIGS, ids=lambda c: c.name)
def test_building_a_method_leaves_the_global_random_state_alone(cfg):
    state = torch.random.get_rng_state()
    first, second = (build_method(cfg, ToyEncoder(), n_tiles=64, batch_size=8, seed=4) for _ in range(2))
    torch.random.set_rng_state(state)
    build_method(cfg, copy.deepcopy(first.encoder), n_tiles=64, batch_size=8, seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b in zip(first.head.parameters(), second.head.parameters(), strict=True):
        assert torch.equal(a, b)


def test_norms_and_biases_have_no_weight_decay():
    from wootz.ssl import PretrainConfig

    method = toy_method(CONFIGS[1])
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


def gradients(method):
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def _one_of_two(rank, cfg, port, folder):
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    method = float64_method(cfg)
    first, second = (v[4 * rank : 4 * rank + 4] for v in views(dtype=torch.float64))
    parallel = DistributedDataParallel(method)  # a name keeps its hooks alive until after backward
    parallel(first, second).backward()
    content = {"gradients": gradients(method)}
    if cfg.name == "moco":
        content["bank"] = method.criterion.memory_bank.bank
    torch.save(content, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("cfg", CONFIGS, ids=lambda c: c.name)
def test_two_processes_have_the_gradients_of_one(cfg, tmp_path):
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.start_processes(
        _one_of_two, (cfg, port, str(tmp_path)), nprocs=2, start_method="fork"
    )
    whole = float64_method(cfg)
    whole(*views(dtype=torch.float64)).backward()
    expected = gradients(whole)
    for rank in range(2):
        content = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert content["gradients"].keys() == expected.keys()
        for name, value in content["gradients"].items():
            error = float((value - expected[name]).norm() / (expected[name].norm() + 1e-12))
            assert error < 1e-5, name
        if cfg.name == "moco":
            torch.testing.assert_close(content["bank"], whole.criterion.memory_bank.bank)
