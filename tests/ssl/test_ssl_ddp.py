"""Several processes compute what one computes with the whole batch: gradients, losses, queues, centres."""

import pytest
import torch

from wootz.ssl import (
    BYOLConfig,
    DenseCLConfig,
    DINOConfig,
    MoCoConfig,
    MoCoV3Config,
    SimCLRConfig,
    SwaVConfig,
    VICRegConfig,
)


def views(n_views=2, n_local=0):
    """Return a function from a seed to `n_views` large and `n_local` small views of 8 tiles."""

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        sides = [12] * n_views + [8] * n_local
        return tuple(torch.rand(8, 1, s, s, generator=generator, dtype=torch.float64) for s in sides)

    return draw


HEAD = {"hidden_dim": 8, "output_dim": 4}
CASES = {  # name: (options, seed -> views of the whole batch); add a row for each new method
    "simclr": (SimCLRConfig(**HEAD), views()),
    "byol": (BYOLConfig(**HEAD), views()),
    "moco": (MoCoConfig(**HEAD, queue=16, key_groups=2), views()),
    "mocov3": (MoCoV3Config(**HEAD), views()),
    "vicreg": (VICRegConfig(**HEAD), views()),
    "swav": (SwaVConfig(**HEAD, prototypes=5, queue=0, freeze_frac=0.0), views(2, 2)),
    "swav with a queue": (SwaVConfig(**HEAD, prototypes=5, queue=8, freeze_frac=0.0), views(2, 1)),
    "dino": (DINOConfig(**HEAD, bottleneck_dim=4, freeze_frac=0.0), views(2, 2)),
    "densecl": (DenseCLConfig(**HEAD, queue=16, key_groups=2), views()),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(assert_two_processes_are_one, case):
    assert_two_processes_are_one(*CASES[case])
