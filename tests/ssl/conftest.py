"""Toy tiles and one thread: on a busy machine two threads wait for each other longer than they work."""

import numpy as np
import pytest
import torch


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


@pytest.fixture
def toy_tiles():
    return ToyTiles


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
