"""No specimen and no duplicate ever stands on both sides of a split."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wootz.splits import assign_splits


def table(sizes):
    specimen = [f"s{i}" for i, n in enumerate(sizes) for _ in range(n)]
    ids = [f"i{i}" for i in range(len(specimen))]
    return pd.DataFrame({"image_id": ids, "specimen": specimen, "duplicate_of": ""})


@given(st.lists(st.integers(1, 6), min_size=3, max_size=20), st.integers(0, 100))
@settings(deadline=None, max_examples=40)
def test_specimens_stay_whole_and_no_part_is_empty(sizes, seed):
    frame = table(sizes)
    split = assign_splits(frame, rng=np.random.default_rng(seed))
    assert set(split) == {"train", "val", "test"}
    assert (split.groupby(frame["specimen"]).nunique() == 1).all()


def test_shares_are_met_where_groups_are_small():
    frame = table([1] * 1000)
    split = assign_splits(frame, by="image", fractions=(0.5, 0.2, 0.3), rng=np.random.default_rng(0))
    assert split.value_counts().to_dict() == {"train": 500, "test": 300, "val": 200}


def test_duplicates_follow_their_original():
    frame = table([1] * 40)
    frame.loc[20:29, "duplicate_of"] = [f"i{i}" for i in range(10)]
    for by in ("image", "specimen"):
        split = assign_splits(frame, by=by, rng=np.random.default_rng(1))
        assert (split[20:30].to_numpy() == split[:10].to_numpy()).all()


def test_same_seed_same_split_and_index_is_kept():
    frame = table([2] * 10).set_index(np.arange(100, 120))
    one, two, other = (assign_splits(frame, rng=np.random.default_rng(s)) for s in (3, 3, 4))
    pd.testing.assert_series_equal(one, two)
    assert not one.equals(other)
    assert one.index.equals(frame.index)


def test_a_fraction_of_nothing_gets_nothing():
    split = assign_splits(table([1, 1]), fractions=(0.5, 0.0, 0.5), rng=np.random.default_rng(0))
    assert sorted(split) == ["test", "train"]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (table([3, 3]), {}, "2 specimen.s. cannot be split into 3 parts"),
        (
            table([1] * 4).assign(specimen=["a", "b", "", "c"], file="x.tif"),
            {},
            "specimen of x.tif is not known",
        ),
        (table([1] * 4), {"by": "tile"}, "never by tile"),
        (table([1] * 4), {"fractions": (0.5, 0.1, 0.1)}, "sum 1"),
    ],
)
def test_bad_requests(frame, options, message):
    with pytest.raises(ValueError, match=message):
        assign_splits(frame, rng=np.random.default_rng(0), **options)
