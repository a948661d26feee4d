"""Tests of the pooling layers."""

import numpy as np
import pytest
import reference
from reference import assert_close, run_backward, run_forward

from skcnn.layers import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from skcnn.network import compile_steps

# pool_size, strides, input shape -> window, strides and output shape, worked out by hand
GEOMETRIES = [
    (2, None, (6, 8, 2), (2, 2), (2, 2), (3, 4, 2)),
    (2, None, (7, 5, 1), (2, 2), (2, 2), (3, 2, 1)),
    (3, 2, (7, 8, 3), (3, 3), (2, 2), (3, 3, 3)),
    ((2, 3), None, (4, 7, 2), (2, 3), (2, 3), (2, 2, 2)),
    ([1, 2], [1, 1], (3, 4, 2), (1, 2), (1, 1), (3, 3, 2)),
    (2, (3, 4), (8, 10, 1), (2, 2), (3, 4), (3, 3, 1)),
    ((4, 5), None, (4, 5, 2), (4, 5), (4, 5), (1, 1, 2)),
    (1, None, (3, 2, 2), (1, 1), (1, 1), (3, 2, 2)),
    ((1, 2), 3, (1, 9, 1), (1, 2), (3, 3), (1, 3, 1)),
]

each_geometry = pytest.mark.parametrize(
    ("pool_size", "strides", "input_shape", "window", "steps", "output_shape"), GEOMETRIES, ids=str
)
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def random_images(shape, dtype=np.float64, n_images=3):
    return np.random.default_rng(0).standard_normal((*shape[:2], n_images, shape[2])).astype(dtype)


def forward_and_backward(layer, X):
    Y, unit = run_forward(layer, {}, X, training=True)
    dY = np.random.default_rng(1).standard_normal(Y.shape).astype(X.dtype)
    return Y, dY, run_backward(layer, {}, unit, dY)


@each_dtype
@each_geometry
def test_max_pool(pool_size, strides, input_shape, window, steps, output_shape, dtype):
    layer = MaxPool2D(pool_size, strides=strides)
    assert layer.output_shape(input_shape) == output_shape
    X = random_images(input_shape, dtype)
    Y, dY, dX = forward_and_backward(layer, X)
    np.testing.assert_array_equal(Y, reference.max_pool(X, window, steps))
    assert_close(dX, reference.max_pool_backward(X, dY, window, steps))


@each_dtype
@each_geometry
def test_avg_pool(pool_size, strides, input_shape, window, steps, output_shape, dtype):
    layer = AvgPool2D(pool_size, strides=strides)
    assert layer.output_shape(input_shape) == output_shape
    X = random_images(input_shape, dtype)
    Y, dY, dX = forward_and_backward(layer, X)
    assert_close(Y, reference.avg_pool(X, window, steps))
    assert_close(dX, reference.avg_pool_backward(X, dY, window, steps))


@each_dtype
@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 1, 2), (1, 6, 1)], ids=str)
def test_global_avg_pool_is_the_mean_over_the_whole_image(shape, dtype):
    X = random_images(shape, dtype)
    Y, dY, dX = forward_and_backward(GlobalAvgPool2D(), X)
    size = shape[:2]
    assert_close(Y, reference.avg_pool(X, size, size)[0, 0])
    assert_close(dX, reference.avg_pool_backward(X, dY[np.newaxis, np.newaxis], size, size))


def test_pixels_that_fill_no_window_get_no_gradient():
    for layer in (MaxPool2D(2), AvgPool2D(2)):
        *_, dX = forward_and_backward(layer, random_images((5, 5, 1)))
        assert (dX[4] == 0).all()
        assert (dX[:, 4] == 0).all()


def test_max_pool_of_equal_pixels_passes_the_gradient_to_the_first():
    """As behind a ReLU, where whole windows are zero."""
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
@pytest.mark.parametrize("value", [0, -2, 2.0, "2", (2,), (1, 2, 3), (2, 0), True], ids=repr)
@pytest.mark.parametrize("parameter", ["pool_size", "strides"])
def test_wrong_hyperparameters(pool, parameter, value):
    with pytest.raises(ValueError) as info:
        compile_steps([("pool", pool(**{parameter: value}))], (8, 8, 1))
    message = str(info.value)
    assert message.startswith(
        f"layer 'pool', {pool.__name__}({parameter}={value!r}), on input of shape (8, 8, 1)"
    )
    assert message.endswith(f"{parameter} must be an int >= 1 or a pair of such ints, got {value!r}")


@POOLS
def test_pool_size_cannot_be_none(pool):
    with pytest.raises(ValueError, match="pool_size must be an int >= 1 or a pair of such ints, got None"):
        compile_steps([("pool", pool(None))], (8, 8, 1))


@POOLS
@pytest.mark.parametrize(("pool_size", "window"), [(3, (3, 3)), ((1, 9), (1, 9)), ((5, 5), (5, 5))])
def test_pooling_to_nothing_is_an_error(pool, pool_size, window):
    with pytest.raises(ValueError) as info:
        compile_steps([("pool", pool(pool_size, strides=1))], (2, 8, 4))
    message = str(info.value)
    assert message.startswith(f"layer 'pool', {pool.__name__}(")
    assert message.endswith(
        f"pool_size={window} is larger than the image of (2, 8) (height, width): nothing would be left"
    )


@pytest.mark.parametrize("layer", [MaxPool2D(), AvgPool2D(), GlobalAvgPool2D()])
def test_vectors_are_refused(layer):
    with pytest.raises(ValueError, match=r"layer 'pool'.*expected an image .*, got shape \(64,\)"):
        compile_steps([("pool", layer)], (64,))
