"""The study of few labels: paired draws, and one cell of each start on the real sets."""

import itertools
import json
import math

import pytest
import torch

from wootz.apps.studies import few_labels
from wootz.encoders import load_encoder
from wootz.errors import WootzError


def test_fewer_labels_are_among_more_and_seeds_differ():
    images = [f"i{n}" for n in range(8)]
    drawn = [few_labels.draw_images(images, n_labels=n, seed=3) for n in (1, 2, 4, 8)]
    assert [len(set(d)) for d in drawn] == [1, 2, 4, 8]
    assert all(set(few) < set(more) for few, more in itertools.pairwise(drawn))
    assert len({tuple(few_labels.draw_images(images, n_labels=2, seed=s)) for s in range(10)}) > 3
    with pytest.raises(WootzError, match="holds 8 labelled images"):
        few_labels.draw_images(images, n_labels=9, seed=0)


@pytest.mark.slow
@pytest.mark.realdata
def test_each_start_trains_and_is_scored(tmp_path, data_dir):
    fixed = {"pretrain_steps": 1, "n_encoders": 2, "n_rendered": 16, "method": "simclr"}
    shared = tmp_path / "shared"
    few_labels.prepare(fixed, shared, data=str(data_dir))
    cells = [("random", 0), ("real", 2), ("synthetic", 0), ("synthetic", 1), ("real_and_synthetic", 0)]
    for start, seed in cells:
        params = {
            "set": "super",
            "start": start,
            "n_labels": 1,
            "seed": seed,
            "steps": 2,
            "encoder_lr_factor": 0.1,
        } | fixed
        scores = few_labels.cell(params, tmp_path / f"{start}_{seed}", shared=shared)
        assert math.isfinite(scores["mean_iou"])
    trained = {
        path.stem: json.loads(path.read_text())["figures"] for path in (shared / "steps").glob("*_[01].json")
    }
    assert sorted(trained) == ["real_0", "real_and_synthetic_0", "synthetic_0", "synthetic_1"]
    n_tiles = [trained[name]["n_tiles"] for name in ("synthetic_0", "real_0", "real_and_synthetic_0")]
    assert n_tiles == sorted(set(n_tiles))
    one, other = (load_encoder(shared / trained[f"synthetic_{i}"]["encoder"]).state_dict() for i in (0, 1))
    assert any(not torch.equal(one[key], other[key]) for key in one)
