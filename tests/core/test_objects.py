"""Objects against a flood fill, masks drawn back, run lengths against loops."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wootz.archive import Archive
from wootz.errors import ArchiveError
from wootz.fields import NewField
from wootz.objects import decode_rle, draw_objects, encode_rle, objects_from_mask

NAMES = {1: "pore", 2: "crack"}
masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 1, 2, 255])
)


def flood(mask):
    """Label by hand: components over the eight neighbours, as a set of (class, frozenset of pixels)."""
    todo = {(r, c) for r, c in np.argwhere((mask == 1) | (mask == 2)).tolist()}
    found = set()
    while todo:
        seed = todo.pop()
        number, stack, pixels = mask[seed], [seed], {seed}
        while stack:
            r, c = stack.pop()
            near = {(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & todo
            near = {p for p in near if mask[p] == number}
            todo -= near
            pixels |= near
            stack += near
        found.add((NAMES[int(number)], frozenset(pixels)))
    return found


@given(masks)
@settings(deadline=None, max_examples=50)
def test_components_equal_a_flood_fill(mask):
    objects = objects_from_mask(mask, image_id="i", class_names=NAMES, source="me")
    found = set()
    for one in objects.to_dict("records"):
        inside = decode_rle(one["rle"], height=one["row1"] - one["row0"], width=one["col1"] - one["col0"])
        assert inside.any(axis=0).all()
        assert inside.any(axis=1).all()
        assert inside.sum() == one["area_px"]
        pixels = np.argwhere(inside) + np.array([one["row0"], one["col0"]])
        found.add((one["class"], frozenset(map(tuple, pixels.tolist()))))
    assert found == flood(mask)
    assert objects["object_id"].is_unique


@given(masks)
@settings(deadline=None, max_examples=50)
def test_drawn_back(mask):
    objects = objects_from_mask(mask, image_id="i", class_names=NAMES, source="me")
    drawn = draw_objects(objects, shape=mask.shape, class_ids={"pore": 1, "crack": 2})
    np.testing.assert_array_equal(drawn, np.where(mask == 255, 0, mask))


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
@settings(deadline=None, max_examples=50)
def test_run_lengths_equal_loops(inside):
    runs, value = [0], False
    for pixel in inside.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    assert encode_rle(inside) == " ".join(map(str, runs))
    np.testing.assert_array_equal(
        decode_rle(encode_rle(inside), height=len(inside), width=inside.shape[1]), inside
    )


def test_run_lengths_must_fill_the_box():
    with pytest.raises(ValueError, match="do not fill a box of 2 x 3"):
        decode_rle("3 2", height=2, width=3)


def test_only_masks():
    with pytest.raises(ValueError, match="whole numbers"):
        objects_from_mask(np.zeros((3, 3)), image_id="i", class_names=NAMES, source="me")


def test_a_second_prediction_replaces_the_first(tmp_path):
    archive = Archive.create(tmp_path / "a")
    ids = archive.add_images([NewField(np.zeros((8, 9), np.uint8), {"file": "a"})]).image_ids
    mask = np.zeros((8, 9), np.uint8)
    mask[1:3, 1:3] = mask[5, 5] = 1
    for source in ("run-1", "run-2"):
        archive.add_objects(objects_from_mask(mask, image_id=ids[0], class_names=NAMES, source=source))
    mask[5, 5] = 0
    archive.add_objects(objects_from_mask(mask, image_id=ids[0], class_names=NAMES, source="run-1"))
    assert archive.objects["source"].value_counts().to_dict() == {"run-1": 1, "run-2": 2}
    with pytest.raises(ArchiveError, match="needs the columns object_id"):
        archive.add_objects(pd.DataFrame({"image_id": ids}))
