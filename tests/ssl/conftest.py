"""Toy tiles, toy encoders and one thread: on a busy machine two threads wait for each other."""

import socket
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from wootz.encoders import ViTEncoder, seeded
from wootz.ssl.methods.build import build_method


class ToyTiles:
    """Random textures in memory, with what training needs of a TileSet."""

    def __init__(self, n=32, size_px=32, context_px=12, seed=0):
        rng = np.random.default_rng(seed)
        side = size_px + 2 * context_px
        grain = rng.integers(1, 6, n)
        self.pixels = np.stack(
            [np.kron(rng.random((side, side)), np.ones((g, g)))[:side, :side] for g in grain]
        )
        self.pixels = self.pixels.astype(np.float32)
        self.context_px = context_px
        self.reads = []

    def __len__(self):
        return len(self.pixels)

    def scaled(self, rows, margin=0):
        self.reads.append(np.asarray(rows).tolist())
        cut = self.context_px - margin
        return self.pixels[rows][:, cut : self.pixels.shape[1] - cut, cut : self.pixels.shape[2] - cut]


class ToyEncoder(nn.Module):
    """Two convolutions with group norm, so that results do not depend on how a batch is cut."""

    name = "toy"
    dim = 6
    channels = (6,)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 6, 3)
        )

    def feature_maps(self, x):
        return [self.layers(x.to(self.layers[0].weight.dtype))]

    def forward(self, x):
        return self.feature_maps(x)[-1].mean(dim=(2, 3))


def toy_encoder():
    """Build the toy encoder, always with the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ToyEncoder()


def toy_vit():
    """Build a tiny ViT with patches of 8 px, always with the same weights."""
    return seeded(lambda: ViTEncoder("tiny", dim=24, depth=4, heads=2, grid=4, patch_px=8), generator_seed=0)


def toy_method(cfg, *, batch_size=8, n_tiles=64):
    """Build a method on the toy encoder, or a tiny ViT for the one that needs it; always the same weights."""
    encoder = toy_vit() if cfg.name == "mae" else toy_encoder()
    return build_method(cfg, encoder, n_tiles=n_tiles, batch_size=batch_size, seed=1)


def without_batch_norm(module):
    """Put group norms in place of batch norms, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            norm = nn.GroupNorm(1, child.num_features, affine=child.affine)
            if child.affine:
                norm.requires_grad_(child.weight.requires_grad)
            setattr(module, name, norm)
        else:
            without_batch_norm(child)


def float64_method(cfg, **sizes):
    """Build a toy method whose results do not depend on how a batch is cut, in double precision."""
    method = toy_method(cfg, **sizes)
    without_batch_norm(method)
    return method.double()


def toy_views(n_views=2, *, n=8, side_px=12, dtype=torch.float32, seed=0):
    """Draw (n, 1, side, side) uniform noise for each view."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_views, n, 1, side_px, side_px, generator=generator, dtype=dtype).unbind()


def two_steps(cfg, draw, *, rank, world):
    """Take one gradient step, then return gradients, loss and state of a second one."""
    method = float64_method(cfg)
    called = nn.parallel.DistributedDataParallel(method) if world > 1 else method
    for seed in range(2):
        method.zero_grad(set_to_none=True)
        parts = [view[rank * len(view) // world :][: len(view) // world] for view in draw(seed)]
        loss = called(*parts)
        loss.backward()
        gradients = {k: p.grad.clone() for k, p in method.named_parameters() if p.grad is not None}
        if seed == 0:
            with torch.no_grad():
                for parameter in method.parameters():
                    if parameter.grad is not None:
                        parameter.sub_(0.1 * parameter.grad)
            method.update(0.5)
    return {"gradients": gradients, "loss": {"loss": loss.detach()}, "state": method.state_dict()}


def _one_of_two(rank, cfg, draw, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.save(two_steps(cfg, draw, rank=rank, world=2), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture
def assert_two_processes_are_one(tmp_path):
    """Return a function that compares two gloo processes with one on the whole batch.

    It takes a method's options, and a function from a seed to the float64 views of a global batch, tiles
    along their first axis: rank 0 sees the first half of each, rank 1 the second.
    """

    def compare(cfg, draw):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        torch.multiprocessing.start_processes(
            _one_of_two, (cfg, draw, port, str(tmp_path)), nprocs=2, start_method="fork"
        )
        whole = two_steps(cfg, draw, rank=0, world=1)
        parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
        losses = torch.stack([part["loss"]["loss"] for part in parts])
        torch.testing.assert_close(losses.mean(), whole["loss"]["loss"], rtol=1e-9, atol=1e-12)
        for part in parts:
            assert part["gradients"].keys() == whole["gradients"].keys()
            assert part["state"].keys() == whole["state"].keys()
            for kind in ("gradients", "state"):  # of the state: queues, centres and slow copies
                for name, expected in whole[kind].items():
                    error = (part[kind][name] - expected).double().norm()
                    assert error <= 1e-5 * expected.double().norm() + 1e-12, f"{kind} {name}: {error}"

    return compare


@pytest.fixture
def toy():
    """Return the toy encoder, method and views; test files cannot import from each other."""
    return SimpleNamespace(
        Encoder=ToyEncoder,
        encoder=toy_encoder,
        vit=toy_vit,
        method=toy_method,
        float64_method=float64_method,
        views=toy_views,
        without_batch_norm=without_batch_norm,
    )


@pytest.fixture
def toy_tiles():
    return ToyTiles


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
