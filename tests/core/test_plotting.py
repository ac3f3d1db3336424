import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wootz.plotting import (
    class_colours,
    grey_uint8,
    new_figure,
    outline_overlay,
    rgb_of,
    save_figure,
    scale_bar,
    scale_bar_length_nm,
    show_field,
    square_pixel_size_nm,
    style_axis,
)


@pytest.mark.parametrize(
    ("width_px", "pixel_nm", "length", "label"),
    [
        (1024, 5.0, 1000, "1 µm"),
        (1000, 1.0, 200, "200 nm"),
        (64, 5.825, 100, "100 nm"),
        (1024, 2615.0, 500_000, "500 µm"),
        (1000, 1e6, 2e8, "200 mm"),
        (128, 0.02, 0.5, "0.5 nm"),
    ],
)
def test_scale_bar_by_hand(width_px, pixel_nm, length, label):
    assert scale_bar_length_nm(width_px, pixel_nm) == (pytest.approx(length), label)


@given(st.floats(8, 1e5), st.floats(1e-3, 1e5))
def test_scale_bar_is_a_1_2_5_length_that_fits(width_px, pixel_nm):
    length, label = scale_bar_length_nm(width_px, pixel_nm)
    mantissa = length / 10 ** np.floor(np.log10(length) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5)) < 1e-6
    frac = length / (width_px * pixel_nm)
    assert (
        0.3 / 2.5 - 1e-9 <= frac <= 0.3 + 1e-9
    )  # the longest that fits: the next one, at most x 2.5, does not
    value, unit = label.split()
    assert float(value) * {"nm": 1, "µm": 1e3, "mm": 1e6}[unit] == pytest.approx(length)


@pytest.mark.parametrize(("width_px", "pixel_nm"), [(0, 1), (10, 0), (10, float("nan")), (float("inf"), 1)])
def test_scale_bar_refuses_nonsense(width_px, pixel_nm):
    with pytest.raises(ValueError, match="positive"):
        scale_bar_length_nm(width_px, pixel_nm)


def test_scale_bar_falls_back_to_px_where_the_scale_is_unknown_or_not_square():
    assert scale_bar(1000, None) == (200, "200 px")
    assert scale_bar(1000, (5.0, 7.0)) == (200, "200 px")
    assert scale_bar(1000, (float("nan"), float("nan"))) == (200, "200 px")
    assert scale_bar(2, None) == (1, "1 px")
    length, label = scale_bar(1000, (5.0, 5.01))
    assert label == "1 µm"
    assert length == pytest.approx(1000 / 5.01)


def test_square_pixel_size():
    assert square_pixel_size_nm(3.0) == 3.0
    assert square_pixel_size_nm((3.0, 3.0)) == 3.0
    assert square_pixel_size_nm(-1.0) is None


def test_colours_are_distinct_and_the_first_do_not_depend_on_the_number():
    many = class_colours(200)
    assert len(set(many)) == 200
    assert class_colours(5) == many[:5]
    assert all(rgb_of(colour).shape == (3,) for colour in many)


@pytest.mark.parametrize("text", ["red", "#12345", "#gggggg", "112233x"])
def test_bad_colours(text):
    with pytest.raises(ValueError, match="#rrggbb"):
        rgb_of(text)


def test_grey_stretch():
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    shown = grey_uint8(ramp)
    assert shown.dtype == np.uint8
    assert (shown.min(), shown.max()) == (0, 255)
    assert (np.diff(shown.ravel().astype(int)) >= 0).all()
    assert (grey_uint8(np.full((8, 8), 7, np.uint8)) == 0).all()
    assert grey_uint8(np.array([[0.0, 1.0]]), low=0, high=2).tolist() == [[0, 128]]


def naive_outline(mask, value):
    """A pixel is on the outline if one of its four neighbours inside the image has another class."""
    edge = np.zeros(mask.shape, bool)
    height, width = mask.shape
    for r in range(height):
        for c in range(width):
            around = [(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]
            inside = [(i, j) for i, j in around if 0 <= i < height and 0 <= j < width]
            edge[r, c] = mask[r, c] == value and any(mask[i, j] != value for i, j in inside)
    return edge


def test_outline_against_loops(rng):
    mask = rng.integers(0, 3, (23, 31)).astype(np.uint8)
    mask[5:15, 5:15] = 2
    mask[0:4, 0:4] = 255
    image = rng.integers(0, 255, mask.shape).astype(np.uint8)
    drawn = outline_overlay(image, mask, ["", "#ff0000", "#00ff00"])
    grey = np.repeat(grey_uint8(image)[..., None], 3, axis=2)
    for value, colour in ((1, "#ff0000"), (2, "#00ff00")):
        edge = naive_outline(mask, value)
        assert (drawn[edge] == rgb_of(colour)).all()
        grey[edge] = rgb_of(colour)
    assert (drawn == grey).all()


def test_outline_width_and_mapping():
    mask = np.zeros((20, 20), np.uint8)
    mask[4:16, 4:16] = 7
    drawn = outline_overlay(np.zeros((20, 20), np.uint8), mask, {7: "#ffffff", 255: "#ff0000"}, width_px=2)
    assert (drawn[..., 0] > 0).sum() == 12 * 12 - 8 * 8


def test_outline_refuses_another_size():
    with pytest.raises(ValueError, match="one size"):
        outline_overlay(np.zeros((4, 4)), np.zeros((4, 5), int), ["#ffffff"])


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_figures_are_saved_without_leftovers_and_reproducibly(tmp_path, suffix):
    for name in ("a", "b"):
        figure = new_figure(3, 2)
        left, right = figure.subplots(1, 2)
        show_field(left, np.random.default_rng(0).random((2500, 30)), pixel_size_nm=(5.0, 5.0))
        style_axis(right, title="t", xlabel="x", ylabel="y").plot([1, 2], [3, 4])
        save_figure(figure, tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_unknown_figure_format(tmp_path):
    with pytest.raises(ValueError, match=r"\.png"):
        save_figure(new_figure(1, 1), tmp_path / "x.gif")


def test_scale_bar_on_the_field_has_the_right_length():
    axis = new_figure(4, 4).add_subplot()
    show_field(axis, np.zeros((400, 500), np.uint8), pixel_size_nm=10.0)
    white = axis.lines[-1]
    assert np.ptp(white.get_xdata()) * 10.0 == pytest.approx(1000)
    assert axis.texts[0].get_text() == "1 µm"


def test_drawing_leaves_global_matplotlib_state_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    show_field(new_figure(1, 1).add_subplot(), np.zeros((8, 8)), pixel_size_nm=None)
    assert dict(mpl.rcParams) == before
