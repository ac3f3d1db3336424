"""The study of few labels: paired draws, and one cell of each start on the real sets."""

import itertools
import json
import math

import pytest

from wootz.apps.studies import few_labels
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
    fixed = {"pretrain_steps": 1, "n_rendered": 16, "method": "simclr"}
    shared = tmp_path / "shared"
    few_labels.prepare(fixed, shared, data=str(data_dir))
    for start in ("random", "real", "synthetic", "real_and_synthetic"):
        params = {
            "set": "super",
            "start": start,
            "n_labels": 1,
            "seed": 0,
            "steps": 2,
            "encoder_lr_factor": 0.1,
        } | fixed
        scores = few_labels.cell(params, tmp_path / start, shared=shared)
        assert math.isfinite(scores["mean_iou"])
    n_tiles = {
        start: json.loads((shared / "steps" / f"{start}.json").read_text())["figures"]["n_tiles"]
        for start in ("real", "synthetic", "real_and_synthetic")
    }
    assert n_tiles["synthetic"] < n_tiles["real"] < n_tiles["real_and_synthetic"]
