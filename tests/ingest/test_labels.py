import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wootz.classlists import read_classes
from wootz.errors import WootzError
from wootz.labels import MaskFinder, check_values, fit_mask, read_mask
from wootz.objects import decode_rle
from wootz.polygons import Region, class_names, draw_regions, read_via, region_mask, region_objects


def test_class_text_gets_colours_and_roles():
    classes = read_classes("0:background, 1:oxide,2:crack")
    assert classes["id"].tolist() == [0, 1, 2]
    assert classes["name"].tolist() == ["background", "oxide", "crack"]
    assert classes["role"].tolist() == ["background", "phase", "defect"]
    assert classes["colour"].str.fullmatch("#[0-9a-f]{6}").all()
    assert classes["colour"].is_unique


def test_class_file_keeps_what_it_says(tmp_path):
    file = tmp_path / "classes.csv"
    file.write_text("id,name,colour,role\n0,matrix,#102030,phase\n3,pore,,\n")
    classes = read_classes(str(file))
    assert classes.loc[0, ["colour", "role"]].tolist() == ["#102030", "phase"]
    assert classes.loc[1, "role"] == "defect"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oxide", "write 0:background"),
        ("0:a,0:b", "id '0' stands twice"),
        ("0:a,1:a", "name 'a' stands twice"),
        ("255:a", "0 ... 254"),
        ("0:", "has no name"),
        ("missing.csv", "no such file"),
    ],
)
def test_bad_classes_are_explained(text, message):
    with pytest.raises(WootzError, match=message):
        read_classes(text)


@pytest.mark.parametrize("kind", ["L", "P", "RGB", "RGBA", "1", "npy", "tif16"])
def test_every_way_to_store_a_mask(tmp_path, kind):
    import tifffile

    expected = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    path = tmp_path / {"npy": "m.npy", "tif16": "m.tif"}.get(kind, "m.png")
    match kind:
        case "npy":
            np.save(path, expected.astype(np.int64))
        case "tif16":
            tifffile.imwrite(path, expected.astype(np.uint16))
        case "P":
            picture = Image.fromarray(expected)
            picture.putpalette([9, 9, 9, 200, 0, 0])
            picture.save(path)
        case "1":
            Image.fromarray(expected.astype(bool)).save(path)
        case _:
            Image.fromarray(expected).convert(kind).save(path)
    np.testing.assert_array_equal(read_mask(path), expected)


def test_coloured_mask_through_the_class_colours(tmp_path):
    (tmp_path / "c.csv").write_text("id,name,colour\n0,resin,#000000\n7,oxide,#ff0000\n")
    classes = read_classes(str(tmp_path / "c.csv"))
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[0, 1] = 255, 0, 0
    Image.fromarray(rgb).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", classes=classes), [[0, 7], [0, 0]])
    rgb[1, 1] = 0, 255, 0
    Image.fromarray(rgb).save(tmp_path / "m.png")
    with pytest.raises(WootzError, match="#00ff00"):
        read_mask(tmp_path / "m.png", classes=classes)


def test_threshold_and_lossy_masks(tmp_path):
    grey = np.array([[0, 127], [128, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", threshold=127), [[0, 0], [1, 1]])
    Image.fromarray(np.kron(grey, np.ones((8, 8), np.uint8))).save(tmp_path / "m.jpg", quality=95)
    assert read_mask(tmp_path / "m.jpg", threshold=64).mean() == 0.75
    with pytest.raises(WootzError, match="JPEG"):
        read_mask(tmp_path / "m.jpg")


def test_damaged_and_wrong_masks_are_explained(tmp_path):
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(WootzError, match=r"m\.png cannot be read"):
        read_mask(tmp_path / "m.png")
    np.save(tmp_path / "f.npy", np.array([[0.5]]))
    with pytest.raises(WootzError, match="class numbers"):
        read_mask(tmp_path / "f.npy")


def test_values_outside_the_class_list_are_named():
    with pytest.raises(
        WootzError, match=r"m\.png holds the values 3, 9, which are not in the class list \(0, 1\)"
    ):
        check_values(np.array([[0, 3], [9, 255]], np.uint8), {0, 1}, path=Path("m.png"))
    shades = np.arange(40, dtype=np.uint8).reshape(4, 10)
    with pytest.raises(WootzError, match="mask_threshold=127"):
        check_values(shades, {0, 1}, path=Path("m.png"))
    check_values(np.array([[0, 255]], np.uint8), {0}, path=Path("m.png"))


def test_mask_is_cut_like_its_image():
    whole = np.arange(10, dtype=np.uint8)[:, None].repeat(4, 1)
    about = {"mask_path": Path("m.png"), "image_path": Path("i.tif")}
    np.testing.assert_array_equal(fit_mask(whole, (7, 4), bar=slice(7, 10), **about), whole[:7])
    np.testing.assert_array_equal(fit_mask(whole, (7, 4), bar=slice(0, 3), **about), whole[3:])
    np.testing.assert_array_equal(fit_mask(whole[:7], (7, 4), bar=slice(7, 10), **about), whole[:7])
    with pytest.raises(WootzError, match=r"m\.png has 10 x 4 .* i\.tif has 8 x 4;"):
        fit_mask(whole, (8, 4), bar=None, **about)


def test_masks_are_found_by_stem_and_by_pattern(tmp_path):
    image = tmp_path / "images" / "a.tif"
    for name in ("masks/a.png", "masks2/a_mask.tif", "images/a_seg.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert MaskFinder(str(tmp_path / "masks")).find(image) == tmp_path / "masks" / "a.png"
    assert MaskFinder(str(tmp_path / "masks2")).find(image).name == "a_mask.tif"
    assert MaskFinder("../masks/{stem}.png").find(image).resolve() == tmp_path / "masks" / "a.png"
    assert MaskFinder("{stem}_seg.png").find(image).name == "a_seg.png"
    assert MaskFinder("{stem}_seg.png").find(tmp_path / "images" / "b.tif") is None
    (tmp_path / "masks" / "a.tif").touch()
    with pytest.raises(WootzError, match="two masks"):
        MaskFinder(str(tmp_path / "masks")).find(image)
    with pytest.raises(WootzError, match="no such folder"):
        MaskFinder(str(tmp_path / "nothing"))


def polygon(xs, ys, name="A") -> Region:
    return Region(np.asarray(ys, float), np.asarray(xs, float), name)


def inside_by_crossings(region: Region, shape: tuple[int, int]) -> np.ndarray:
    """Even-odd rule, one pixel centre and one edge at a time."""
    corners = list(zip(region.rows_px, region.cols_px, strict=True))
    mask = np.zeros(shape, bool)
    for r in range(shape[0]):
        for c in range(shape[1]):
            y, x, odd = r + 0.5, c + 0.5, False
            for (y0, x0), (y1, x1) in zip(corners, corners[1:] + corners[:1], strict=True):
                if (y0 > y) != (y1 > y) and x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x:
                    odd = not odd
            mask[r, c] = odd
    return mask


def test_filling_equals_counting_crossings(rng):
    shape = (24, 30)
    for _ in range(40):
        region = polygon(rng.uniform(-6, 36, 7), rng.uniform(-6, 30, 7))
        inside, row0, col0 = region_mask(region, shape)
        mask = np.zeros(shape, bool)
        mask[row0 : row0 + inside.shape[0], col0 : col0 + inside.shape[1]] = inside
        np.testing.assert_array_equal(mask, inside_by_crossings(region, shape))


def test_filling_is_exact_and_leaves_no_gap():
    square = polygon([2, 7, 7, 2], [1, 1, 5, 5])
    inside, row0, col0 = region_mask(square, (20, 20))
    assert (row0, col0, inside.shape, inside.all()) == (1, 2, (4, 5), True)
    whole = np.zeros((32, 32), int)
    for corner in ([0, 0], [32, 0]), ([32, 0], [32, 32]), ([32, 32], [0, 32]), ([0, 32], [0, 0]):
        (x0, y0), (x1, y1) = corner
        inside, row0, col0 = region_mask(polygon([x0, x1, 13.7], [y0, y1, 9.2]), (32, 32))
        whole[row0 : row0 + inside.shape[0], col0 : col0 + inside.shape[1]] += inside
    assert (whole == 1).all()


def via_file(path: Path, regions: list, *, project: bool = True) -> Path:
    entries = {"a.png123": {"filename": "a.png", "size": 123, "regions": regions}}
    path.write_text(json.dumps({"_via_img_metadata": entries} if project else entries))
    return path


RECT = {
    "shape_attributes": {"name": "rect", "x": 3, "y": 2, "width": 4, "height": 5},
    "region_attributes": {"Label": "Pore\n"},
}
CIRCLE = {
    "shape_attributes": {"name": "circle", "cx": 20, "cy": 20, "r": 9},
    "region_attributes": {"Label": "Grain"},
}


@pytest.mark.parametrize("project", [True, False])
def test_via_shapes(tmp_path, project):
    regions = read_via(via_file(tmp_path / "v.json", [RECT, CIRCLE], project=project))
    assert class_names(regions) == ["Pore", "Grain"]
    mask = draw_regions(regions["a.png"], (40, 40), class_ids={"Pore": 1, "Grain": 2})
    assert (mask == 1).sum() == 20
    assert (mask == 2).sum() == pytest.approx(np.pi * 81, rel=0.02)
    objects = region_objects(regions["a.png"], (40, 40), image_id="i", source="s")
    assert objects["class"].tolist() == ["Pore", "Grain"]
    assert objects[["row0", "col0", "row1", "col1"]].iloc[0].tolist() == [2, 3, 7, 7]
    assert decode_rle(objects["rle"][0], height=5, width=4).all()
    assert objects["area_px"].sum() == (mask > 0).sum()


def test_overlapping_instances_stay_whole(tmp_path):
    square = {
        "shape_attributes": {**RECT["shape_attributes"], "x": 5},
        "region_attributes": {"Label": "Pore"},
    }
    regions = read_via(via_file(tmp_path / "v.json", [RECT, square]))["a.png"]
    objects = region_objects(regions, (40, 40), image_id="i", source="s", row_offset=2)
    assert objects["area_px"].tolist() == [20, 20]
    assert objects["row0"].tolist() == [0, 0]
    assert (draw_regions(regions, (40, 40), class_ids={"Pore": 1}) == 1).sum() == 30


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (
            {"shape_attributes": {"name": "point", "cx": 1, "cy": 1}, "region_attributes": {"l": "a"}},
            "no area",
        ),
        ({"shape_attributes": RECT["shape_attributes"], "region_attributes": {}}, "has no class"),
        ({"shape_attributes": {"name": "rect", "x": 1}, "region_attributes": {"l": "a"}}, "incomplete"),
    ],
)
def test_bad_regions_are_named(tmp_path, region, message):
    with pytest.raises(WootzError, match=rf"a\.png, region 0.*{message}"):
        read_via(via_file(tmp_path / "v.json", [region]))


def test_no_via_file(tmp_path):
    (tmp_path / "v.json").write_text('{"project": {"pid": 1}, "config": {}}')
    with pytest.raises(WootzError, match="no VIA 1 or 2 file"):
        read_via(tmp_path / "v.json")


@pytest.mark.realdata
def test_powder_polygons_count_as_published(data_dir):
    folder = data_dir / "powder" / "annotations"
    particles = read_via(folder / "via_powder_particle_masks_training.json")
    satellites = read_via(folder / "via_powder_satellite_masks_training.json")
    assert (len(particles), sum(map(len, particles.values()))) == (4, 1122)
    assert (len(satellites), sum(map(len, satellites.values()))) == (8, 836)
    for regions in particles.values():  # pixels count the area of the polygons, without bias
        x, y = [r.cols_px for r in regions], [r.rows_px for r in regions]
        exact = sum(abs(a @ np.roll(b, -1) - b @ np.roll(a, -1)) / 2 for a, b in zip(x, y, strict=True))
        counted = sum(region_mask(r, (1024, 1536))[0].sum() for r in regions)
        assert counted == pytest.approx(exact, rel=2e-3)
