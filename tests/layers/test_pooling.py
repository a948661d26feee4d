"""Tests of the pooling layers."""

import re

import numpy as np
import pytest
import reference
from reference import NO_PADDING, assert_close, run_backward, run_forward
from seeds import generator
from small_networks import NOT_PADDINGS, NOT_PAIRS, assert_refused

from skcnn.layers import AvgPool2D, GlobalAvgPool2D, GlobalMaxPool2D, MaxPool2D

# pool_size, strides, padding, ceil_mode, input shape -> window, strides, padding, output shape, by hand
GEOMETRIES = [
    (2, None, "valid", False, (6, 8, 2), (2, 2), (2, 2), NO_PADDING, (3, 4, 2)),
    (2, None, "valid", False, (7, 5, 1), (2, 2), (2, 2), NO_PADDING, (3, 2, 1)),
    (3, 2, "valid", False, (7, 8, 3), (3, 3), (2, 2), NO_PADDING, (3, 3, 3)),
    ([1, 2], [1, 1], "valid", False, (3, 4, 2), (1, 2), (1, 1), NO_PADDING, (3, 3, 2)),
    (2, (3, 4), "valid", False, (8, 10, 1), (2, 2), (3, 4), NO_PADDING, (3, 3, 1)),
    ((4, 5), None, "valid", False, (4, 5, 2), (4, 5), (4, 5), NO_PADDING, (1, 1, 2)),
    (3, 1, "same", False, (4, 5, 2), (3, 3), (1, 1), ((1, 1), (1, 1)), (4, 5, 2)),
    (2, None, "same", False, (5, 6, 2), (2, 2), (2, 2), ((0, 1), (0, 0)), (3, 3, 2)),
    ((1, 4), 1, "same", False, (1, 6, 1), (1, 4), (1, 1), ((0, 0), (1, 2)), (1, 6, 1)),
    (3, 2, 1, False, (7, 8, 2), (3, 3), (2, 2), ((1, 1), (1, 1)), (4, 4, 2)),
    (3, None, [[2, 0], (0, 1)], False, (4, 5, 2), (3, 3), (3, 3), ((2, 0), (0, 1)), (2, 2, 2)),
    ((4, 3), 1, (3, 2), False, (1, 2, 2), (4, 3), (1, 1), ((3, 3), (2, 2)), (4, 4, 2)),
    (2, None, "valid", True, (7, 5, 1), (2, 2), (2, 2), NO_PADDING, (4, 3, 1)),
    (2, 3, "valid", True, (9, 10, 2), (2, 2), (3, 3), NO_PADDING, (3, 4, 2)),
    (3, 2, 1, True, (6, 8, 2), (3, 3), (2, 2), ((1, 1), (1, 1)), (4, 5, 2)),
    ((1, 4), (1, 3), (0, (3, 2)), True, (1, 7, 1), (1, 4), (1, 3), ((0, 0), (3, 2)), (1, 4, 1)),
]

each_geometry = pytest.mark.parametrize(
    ("size", "strides", "padding", "ceil_mode", "input_shape", "window", "steps", "pads", "output_shape"),
    GEOMETRIES,
    ids=str,
)


def random_images(shape):
    return generator(0).standard_normal((*shape[:2], 3, shape[2]))


def forward_and_backward(layer, X):
    Y, unit = run_forward(layer, {}, X, training=True)
    dY = generator(1).standard_normal(Y.shape)
    return Y, dY, run_backward(layer, {}, unit, dY)


@each_geometry
def test_max_pool(size, strides, padding, ceil_mode, input_shape, window, steps, pads, output_shape):
    """Random images, and their rounded negatives: maxima are many, and below the zeros of a padding."""
    layer = MaxPool2D(size, strides=strides, padding=padding, ceil_mode=ceil_mode)
    assert layer.output_shape(input_shape) == output_shape
    random = random_images(input_shape)
    for X in (random, np.round(random) - 10):
        Y, dY, dX = forward_and_backward(layer, X)
        np.testing.assert_array_equal(Y, reference.max_pool(X, window, steps, pads, ceil_mode=ceil_mode))
        assert_close(dX, reference.max_pool_backward(X, dY, window, steps, pads, ceil_mode=ceil_mode))


@each_geometry
def test_avg_pool(size, strides, padding, ceil_mode, input_shape, window, steps, pads, output_shape):
    X = random_images(input_shape)
    for counts in (False, True):
        layer = AvgPool2D(
            size, strides=strides, padding=padding, ceil_mode=ceil_mode, count_include_pad=counts
        )
        assert layer.output_shape(input_shape) == output_shape
        where = {"ceil_mode": ceil_mode, "count_include_pad": counts}
        Y, dY, dX = forward_and_backward(layer, X)
        assert_close(Y, reference.avg_pool(X, window, steps, pads, **where))
        assert_close(dX, reference.avg_pool_backward(X, dY, window, steps, pads, **where))


@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 1, 2), (1, 6, 1)], ids=str)
def test_global_pools_are_those_of_a_window_as_large_as_the_image(shape):
    """The first of several maxima takes the gradient, of the rounded images."""
    size, random = shape[:2], random_images(shape)
    for X in (random, np.round(random) - 10):
        Y, dY, dX = forward_and_backward(GlobalAvgPool2D(), X)
        assert_close(Y, reference.avg_pool(X, size, size)[0, 0])
        assert_close(dX, reference.avg_pool_backward(X, dY[np.newaxis, np.newaxis], size, size))
        Y, dY, dX = forward_and_backward(GlobalMaxPool2D(), X)
        np.testing.assert_array_equal(Y, reference.max_pool(X, size, size)[0, 0])
        expected = reference.max_pool_backward(X, dY[np.newaxis, np.newaxis], size, size)
        np.testing.assert_array_equal(dX, expected)


def test_dilation_leaves_pixels_of_windows_out():
    """Every other pixel of each axis, worked out by hand."""
    X = np.arange(20.0).reshape(4, 5)[:, :, np.newaxis, np.newaxis]
    means, _ = run_forward(AvgPool2D(2, strides=1, dilation=2), {}, X, training=False)
    assert means[:, :, 0, 0].tolist() == [[6, 7, 8], [11, 12, 13]]
    maxima, dY, dX = forward_and_backward(MaxPool2D(2, strides=1, dilation=2), X)
    assert maxima[:, :, 0, 0].tolist() == [[12, 13, 14], [17, 18, 19]]
    np.testing.assert_array_equal(dX[2:, 2:], dY)
    assert np.count_nonzero(dX) == dY.size


SWITCHES = ("yes", None, 2.0)

each_pool = pytest.mark.parametrize("pool", [MaxPool2D, AvgPool2D])


@each_pool
@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("pool_size", (*NOT_PAIRS, None)),
        ("strides", NOT_PAIRS),
        ("dilation", (*NOT_PAIRS, None)),
        ("padding", NOT_PADDINGS),
        ("ceil_mode", SWITCHES),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_hyperparameters(pool, parameter, values):
    assert_refused(pool, parameter, values, (8, 8, 1))


def test_wrong_switch():
    assert_refused(AvgPool2D, "count_include_pad", SWITCHES, (8, 8, 1))


LARGER = "is larger than the padded image of (2, 8)"
ONLY_PADDING = "leave a window nothing but padding"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_size": (1, 9)}, f"pool_size=(1, 9) {LARGER}"),
        ({"pool_size": (5, 5)}, f"pool_size=(5, 5) {LARGER}"),
        ({"dilation": (1, 8)}, f"pool_size=(2, 2) with dilation=(1, 8) {LARGER}"),
        (
            {"strides": 1, "dilation": (3, 1), "padding": (1, 0)},
            f"pool_size=(2, 2) with dilation=(3, 1) and padding=(1, 0) {ONLY_PADDING}",
        ),
        (
            {"pool_size": (2, 1), "dilation": (4, 1), "padding": "same"},
            f"pool_size=(2, 1) with dilation=(4, 1) and padding='same' {ONLY_PADDING}",
        ),
    ],
    ids=str,
)
def test_windows_without_a_pixel_are_refused(options, message):
    """PyTorch returns minus infinity for windows whose pixels lie on both sides of the image."""
    for pool in (MaxPool2D, AvgPool2D):
        with pytest.raises(ValueError, match=re.escape(message)):
            pool(**options).output_shape((2, 8, 4))


@pytest.mark.parametrize(
    ("pool_size", "padding"), [((2, 2), 2), ((1, 1), 1), ((2, 3), (1, (0, 3))), ((3, 2), ((0, 1), (2, 0)))]
)
def test_padding_must_be_smaller_than_the_window(pool_size, padding):
    """On each of the four sides, or a window would see nothing of the image."""
    message = f"padding={padding!r} must be smaller than pool_size={pool_size}"
    for ceil_mode in (False, True):
        with pytest.raises(ValueError, match=f"{re.escape(message)}.* nothing but padding$"):
            MaxPool2D(pool_size, padding=padding, ceil_mode=ceil_mode).output_shape((8, 8, 1))
    with pytest.raises(ValueError, match=r"padding=\(3, 0\) must be smaller .* with dilation=\(2, 2\)"):
        AvgPool2D(2, dilation=2, padding=(3, 0)).output_shape((2, 8, 4))


def test_padding_makes_room_for_a_large_window():
    assert MaxPool2D((5, 3), strides=1, padding=((3, 1), 0)).output_shape((2, 8, 4)) == (2, 6, 4)


@each_pool
def test_pixel_strides_are_the_distances_between_windows(pool):
    """The shapes, of 5 pixels and 2 windows, would suggest 3 for both."""
    layer = pool(1, strides=(4, 3))
    assert layer.output_shape((5, 5, 1))[:2] == (2, 2)
    assert layer.pixel_strides((5, 5, 1)) == (4, 3)
