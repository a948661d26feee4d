"""Tests of the pooling layers."""

import numpy as np
import pytest
import reference
from reference import NO_PADDING, assert_close, run_backward, run_forward
from seeds import generator

from skcnn.layers import AvgPool2D, GlobalAvgPool2D, GlobalMaxPool2D, MaxPool2D
from skcnn.network.graph import compile_nodes

# hyperparameters, input shape -> window, strides, padding and output shape, worked out by hand
GEOMETRIES = [
    ({"pool_size": 2}, (6, 8, 2), (2, 2), (2, 2), NO_PADDING, (3, 4, 2)),
    ({"pool_size": 2}, (7, 5, 1), (2, 2), (2, 2), NO_PADDING, (3, 2, 1)),
    ({"pool_size": 3, "strides": 2}, (7, 8, 3), (3, 3), (2, 2), NO_PADDING, (3, 3, 3)),
    ({"pool_size": (2, 3)}, (4, 7, 2), (2, 3), (2, 3), NO_PADDING, (2, 2, 2)),
    ({"pool_size": [1, 2], "strides": [1, 1]}, (3, 4, 2), (1, 2), (1, 1), NO_PADDING, (3, 3, 2)),
    ({"pool_size": 2, "strides": (3, 4)}, (8, 10, 1), (2, 2), (3, 4), NO_PADDING, (3, 3, 1)),
    ({"pool_size": (4, 5)}, (4, 5, 2), (4, 5), (4, 5), NO_PADDING, (1, 1, 2)),
    ({"pool_size": 1}, (3, 2, 2), (1, 1), (1, 1), NO_PADDING, (3, 2, 2)),
    ({"pool_size": (1, 2), "strides": 3}, (1, 9, 1), (1, 2), (3, 3), NO_PADDING, (1, 3, 1)),
    (
        {"pool_size": 3, "strides": 1, "padding": "same"},
        (4, 5, 2),
        (3, 3),
        (1, 1),
        ((1, 1), (1, 1)),
        (4, 5, 2),
    ),
    ({"pool_size": 2, "padding": "same"}, (5, 6, 2), (2, 2), (2, 2), ((0, 1), (0, 0)), (3, 3, 2)),
    (
        {"pool_size": (1, 4), "strides": 1, "padding": "same"},
        (1, 6, 1),
        (1, 4),
        (1, 1),
        ((0, 0), (1, 2)),
        (1, 6, 1),
    ),
    ({"pool_size": 3, "strides": 2, "padding": 1}, (7, 8, 2), (3, 3), (2, 2), ((1, 1), (1, 1)), (4, 4, 2)),
    ({"pool_size": 3, "padding": [[2, 0], (0, 1)]}, (4, 5, 2), (3, 3), (3, 3), ((2, 0), (0, 1)), (2, 2, 2)),
    (
        {"pool_size": (4, 3), "strides": 1, "padding": (3, 2)},
        (1, 2, 2),
        (4, 3),
        (1, 1),
        ((3, 3), (2, 2)),
        (4, 4, 2),
    ),
    ({"pool_size": 2, "ceil_mode": True}, (7, 5, 1), (2, 2), (2, 2), NO_PADDING, (4, 3, 1)),
    ({"pool_size": 3, "strides": 2, "ceil_mode": True}, (7, 8, 2), (3, 3), (2, 2), NO_PADDING, (3, 4, 2)),
    ({"pool_size": 2, "strides": 3, "ceil_mode": True}, (9, 10, 2), (2, 2), (3, 3), NO_PADDING, (3, 4, 2)),
    (
        {"pool_size": 3, "strides": 2, "padding": 1, "ceil_mode": True},
        (6, 8, 2),
        (3, 3),
        (2, 2),
        ((1, 1), (1, 1)),
        (4, 5, 2),
    ),
    (
        {"pool_size": (1, 4), "strides": (1, 3), "padding": (0, (3, 2)), "ceil_mode": True},
        (1, 7, 1),
        (1, 4),
        (1, 3),
        ((0, 0), (3, 2)),
        (1, 4, 1),
    ),
]

each_geometry = pytest.mark.parametrize(
    ("options", "input_shape", "window", "steps", "padding", "output_shape"), GEOMETRIES, ids=str
)
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def random_images(shape, dtype=np.float64, n_images=3):
    return generator(0).standard_normal((*shape[:2], n_images, shape[2])).astype(dtype)


def forward_and_backward(layer, X):
    Y, unit = run_forward(layer, {}, X, training=True)
    dY = generator(1).standard_normal(Y.shape).astype(X.dtype)
    return Y, dY, run_backward(layer, {}, unit, dY)


@each_dtype
@each_geometry
def test_max_pool(options, input_shape, window, steps, padding, output_shape, dtype):
    """Random images, and their rounded negatives: maxima are many, and below the zeros of a padding."""
    layer, where = MaxPool2D(**options), {"ceil_mode": options.get("ceil_mode", False)}
    assert layer.output_shape(input_shape) == output_shape
    random = random_images(input_shape, dtype)
    for X in (random, np.round(random) - 10):
        Y, dY, dX = forward_and_backward(layer, X)
        np.testing.assert_array_equal(Y, reference.max_pool(X, window, steps, padding, **where))
        assert_close(dX, reference.max_pool_backward(X, dY, window, steps, padding, **where))


@each_dtype
@pytest.mark.parametrize("count_include_pad", [False, True])
@each_geometry
def test_avg_pool(options, input_shape, window, steps, padding, output_shape, count_include_pad, dtype):
    layer = AvgPool2D(**options, count_include_pad=count_include_pad)
    where = {"ceil_mode": options.get("ceil_mode", False), "count_include_pad": count_include_pad}
    assert layer.output_shape(input_shape) == output_shape
    X = random_images(input_shape, dtype)
    Y, dY, dX = forward_and_backward(layer, X)
    assert_close(Y, reference.avg_pool(X, window, steps, padding, **where))
    assert_close(dX, reference.avg_pool_backward(X, dY, window, steps, padding, **where))


@each_dtype
@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 1, 2), (1, 6, 1)], ids=str)
def test_global_pools_are_those_of_a_window_as_large_as_the_image(shape, dtype):
    size, random = shape[:2], random_images(shape, dtype)
    for X in (random, np.round(random) - 10):
        Y, dY, dX = forward_and_backward(GlobalAvgPool2D(), X)
        assert_close(Y, reference.avg_pool(X, size, size)[0, 0])
        assert_close(dX, reference.avg_pool_backward(X, dY[np.newaxis, np.newaxis], size, size))
        Y, dY, dX = forward_and_backward(GlobalMaxPool2D(), X)
        np.testing.assert_array_equal(Y, reference.max_pool(X, size, size)[0, 0])
        expected = reference.max_pool_backward(X, dY[np.newaxis, np.newaxis], size, size)
        np.testing.assert_array_equal(dX, expected)


def test_global_max_pool_of_equal_pixels_passes_the_gradient_to_the_first():
    *_, dY, dX = forward_and_backward(GlobalMaxPool2D(), np.zeros((3, 4, 2, 2)))
    np.testing.assert_array_equal(dX[0, 0], dY)
    assert np.count_nonzero(dX) == dY.size


def test_average_in_ceil_mode_by_hand():
    """Pixels 1 to 5 and windows of two: the last one holds pixel 5 and nothing that counts beyond it."""
    X = np.arange(1.0, 6).reshape(1, 5, 1, 1)
    for counts in (False, True):
        layer = AvgPool2D((1, 2), ceil_mode=True, count_include_pad=counts)
        Y, _ = run_forward(layer, {}, X, training=False)
        assert Y.ravel().tolist() == [1.5, 3.5, 5]


@pytest.mark.parametrize(
    ("counts", "expected"), [(False, [1.5, 3, 4.5]), (True, [1, 3, 3])], ids=["pixels", "padding, too"]
)
def test_average_with_padding_by_hand(counts, expected):
    """Windows [0 1 2], [2 3 4] and [4 5 0] of pixels 1 to 5."""
    X = np.arange(1.0, 6).reshape(1, 5, 1, 1)
    layer = AvgPool2D((1, 3), strides=(1, 2), padding=(0, 1), count_include_pad=counts)
    Y, _ = run_forward(layer, {}, X, training=False)
    assert_close(Y.ravel(), expected)


def test_same_padding_keeps_the_size_at_unit_strides():
    """As in the pooling branch of Inception: the maximum of each pixel and its neighbours."""
    X = np.arange(1.0, 7).reshape(1, 6, 1, 1)
    Y, _ = run_forward(MaxPool2D(3, strides=1, padding="same"), {}, X, training=False)
    assert Y.ravel().tolist() == [2, 3, 4, 5, 6, 6]


def test_pixels_that_fill_no_window_get_no_gradient():
    for layer in (MaxPool2D(2), AvgPool2D(2)):
        *_, dX = forward_and_backward(layer, random_images((5, 5, 1)))
        assert (dX[4] == 0).all()
        assert (dX[:, 4] == 0).all()


def test_max_pool_of_equal_pixels_passes_the_gradient_to_the_first():
    """As after a ReLU, where whole windows are zero."""
    *_, dY, dX = forward_and_backward(MaxPool2D(2), np.zeros((4, 4, 2, 1)))
    np.testing.assert_array_equal(dX[::2, ::2], dY)
    assert np.count_nonzero(dX) == dY.size


@pytest.mark.parametrize("size", [16, 17])
def test_max_pool_of_windows_with_more_pixels_than_a_byte_counts(size):
    """16 x 16 positions fit a byte, 17 x 17 do not: the last pixel has number 255 or 288."""
    X = random_images((size, size, 1))
    X[-1, -1] = 9
    _, dY, dX = forward_and_backward(MaxPool2D(size), X)
    np.testing.assert_array_equal(dX[-1, -1], dY[0, 0])
    assert np.count_nonzero(dX) == dY.size


def test_avg_pool_of_whole_image_is_global_avg_pool():
    X = random_images((4, 6, 2))
    whole, _ = run_forward(AvgPool2D((4, 6)), {}, X, training=False)
    pooled, _ = run_forward(GlobalAvgPool2D(), {}, X, training=False)
    assert_close(whole[0, 0], pooled)


POOLS = pytest.mark.parametrize("pool", [MaxPool2D, AvgPool2D])


@POOLS
@pytest.mark.parametrize("value", [0, -2, 1.5, 2.0, "2", (2,), (1, 2, 3), (2, 0), True], ids=repr)
@pytest.mark.parametrize("parameter", ["pool_size", "strides", "dilation"])
def test_wrong_sizes(pool, parameter, value):
    with pytest.raises(ValueError) as info:
        compile_nodes([("pool", pool(**{parameter: value}))], (8, 8, 1))
    message = str(info.value)
    assert message.startswith(
        f"layer 'pool', {pool.__name__}({parameter}={value!r}), on input of shape (8, 8, 1)"
    )
    assert message.endswith(f"{parameter} must be an int >= 1 or a pair of such ints, got {value!r}")


@POOLS
def test_pool_size_cannot_be_none(pool):
    with pytest.raises(ValueError, match="pool_size must be an int >= 1 or a pair of such ints, got None"):
        compile_nodes([("pool", pool(None))], (8, 8, 1))


@POOLS
@pytest.mark.parametrize("padding", ["full", -1, 0.5, None, True, (1,), (0, -1), ((0, 1, 0), 0)], ids=repr)
def test_wrong_padding(pool, padding):
    with pytest.raises(ValueError) as info:
        compile_nodes([("pool", pool(3, padding=padding))], (8, 8, 1))
    message = str(info.value)
    assert message.startswith(f"layer 'pool', {pool.__name__}(")
    assert message.endswith(
        "padding must be 'same', 'valid', an int >= 0, or a pair of ints or of (before, after), "
        f"got {padding!r}"
    )


@POOLS
@pytest.mark.parametrize(
    ("pool_size", "padding"), [(2, 2), (1, 1), ((2, 3), (1, (0, 3))), ((3, 2), ((0, 1), (2, 0))), (2, (0, 5))]
)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_padding_must_be_smaller_than_the_window(pool, pool_size, padding, ceil_mode):
    """On each of the four sides, or a window would see nothing of the image."""
    with pytest.raises(ValueError) as info:
        compile_nodes([("pool", pool(pool_size, padding=padding, ceil_mode=ceil_mode))], (8, 8, 1))
    message = str(info.value)
    shown = pool_size if isinstance(pool_size, tuple) else (pool_size, pool_size)
    assert message.startswith(f"layer 'pool', {pool.__name__}(")
    assert message.endswith(
        f"padding={padding!r} must be smaller than pool_size={shown}, or a window would hold nothing but "
        "padding"
    )


@pytest.mark.parametrize(
    ("pool", "parameter"),
    [(MaxPool2D, "ceil_mode"), (AvgPool2D, "ceil_mode"), (AvgPool2D, "count_include_pad")],
)
@pytest.mark.parametrize("value", ["yes", None, 2.0], ids=repr)
def test_wrong_switches(pool, parameter, value):
    with pytest.raises(ValueError) as info:
        compile_nodes([("pool", pool(**{parameter: value}))], (8, 8, 1))
    message = " ".join(str(info.value).split())
    assert message.startswith(f"layer 'pool', {pool.__name__}({parameter}={value!r})")
    assert f"The '{parameter}' parameter of {pool.__name__} must be" in message


@POOLS
@pytest.mark.parametrize(("pool_size", "window"), [(3, (3, 3)), ((1, 9), (1, 9)), ((5, 5), (5, 5))])
def test_pooling_to_nothing_is_an_error(pool, pool_size, window):
    with pytest.raises(ValueError) as info:
        compile_nodes([("pool", pool(pool_size, strides=1))], (2, 8, 4))
    message = str(info.value)
    assert message.startswith(f"layer 'pool', {pool.__name__}(")
    assert message.endswith(
        f"pool_size={window} is larger than the padded image of (2, 8) (height, width): nothing would be left"
    )


@POOLS
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"pool_size": 2, "dilation": (1, 8)},
            "pool_size=(2, 2) with dilation=(1, 8) is larger than the padded image of (2, 8) (height, width)",
        ),
        (
            {"pool_size": 2, "dilation": 2, "padding": (3, 0)},
            "padding=(3, 0) must be smaller than pool_size=(2, 2) with dilation=(2, 2)",
        ),
        (
            {"pool_size": 2, "strides": 1, "dilation": (3, 1), "padding": (1, 0)},
            "pool_size=(2, 2) with dilation=(3, 1) and padding=(1, 0) leave a window nothing but padding",
        ),
        (
            {"pool_size": (2, 1), "dilation": (4, 1), "padding": "same"},
            "pool_size=(2, 1) with dilation=(4, 1) and padding='same' leave a window nothing but padding",
        ),
    ],
    ids=str,
)
def test_dilated_windows_without_a_pixel_are_refused(pool, options, expected):
    """PyTorch returns minus infinity for windows whose pixels lie on both sides of the image."""
    with pytest.raises(ValueError) as info:
        compile_nodes([("pool", pool(**options))], (2, 8, 4))
    message = str(info.value)
    assert message.startswith(f"layer 'pool', {pool.__name__}(")
    assert expected in message


def test_dilation_leaves_pixels_of_windows_out():
    """Every other pixel of each axis, worked out by hand."""
    X = np.arange(20.0).reshape(4, 5)[:, :, np.newaxis, np.newaxis]
    means, _ = run_forward(AvgPool2D(2, strides=1, dilation=2), {}, X, training=False)
    assert means[:, :, 0, 0].tolist() == [[6, 7, 8], [11, 12, 13]]
    maxima, dY, dX = forward_and_backward(MaxPool2D(2, strides=1, dilation=2), X)
    assert maxima[:, :, 0, 0].tolist() == [[12, 13, 14], [17, 18, 19]]
    np.testing.assert_array_equal(dX[2:, 2:], dY)
    assert np.count_nonzero(dX) == dY.size


@POOLS
@pytest.mark.parametrize("dilation", [1, 3, (2, 5)], ids=str)
def test_windows_of_one_pixel_have_no_dilation(pool, dilation):
    X = random_images((5, 6, 2))
    Y, dY, dX = forward_and_backward(pool(1, dilation=dilation), X)
    np.testing.assert_array_equal(Y, X)
    np.testing.assert_array_equal(dX, dY)


@POOLS
def test_padding_makes_room_for_a_large_window(pool):
    assert pool((5, 3), strides=1, padding=((3, 1), 0)).output_shape((2, 8, 4)) == (2, 6, 4)


@pytest.mark.parametrize("layer", [MaxPool2D(), AvgPool2D(), GlobalAvgPool2D(), GlobalMaxPool2D()])
def test_vectors_are_refused(layer):
    with pytest.raises(ValueError, match=r"layer 'pool'.*expected an image .*, got shape \(64,\)"):
        compile_nodes([("pool", layer)], (64,))


@pytest.mark.parametrize("pool", [MaxPool2D, AvgPool2D])
def test_pixel_strides_are_the_distances_between_windows(pool):
    """The shapes, of 5 pixels and 2 windows, would suggest 3 for both."""
    layer = pool(1, strides=(4, 3))
    assert layer.output_shape((5, 5, 1))[:2] == (2, 2)
    assert layer.pixel_strides((5, 5, 1)) == (4, 3)
