"""Tests of layers that change the shape and keep the values."""

import numpy as np
import pytest
from reference import assert_close, garbage, initial_params, run_backward, run_forward
from seeds import generator

from skcnn.layers import Conv2D, Flatten, ZeroPad2D
from skcnn.network.graph import compile_nodes

SHAPES = [(3, 4, 2), (1, 7, 3), (5, 1, 1), (1, 1, 1)]


def random_images(shape, n_images=3):
    return generator(0).standard_normal((*shape[:2], n_images, shape[2]))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_vectors_are_the_pixels_in_row_order_with_their_channels(shape):
    """As numpy, and so as Keras, ravels an image (height, width, channels)."""
    X = random_images(shape)
    Y, _ = run_forward(Flatten(), {}, X, training=False)
    for image, vector in enumerate(Y):
        assert vector.tolist() == [X[i, j, image, c] for i, j, c in np.ndindex(shape)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward_undoes_forward(shape):
    X = random_images(shape)
    Y, unit = run_forward(Flatten(), {}, X, training=True)
    np.testing.assert_array_equal(run_backward(Flatten(), {}, unit, Y), X)


# padding, the same as ((top, bottom), (left, right))
PADDINGS = [
    (1, ((1, 1), (1, 1))),
    (0, ((0, 0), (0, 0))),
    ((2, 1), ((2, 2), (1, 1))),
    ((0, (0, 3)), ((0, 0), (0, 3))),
    (((0, 1), 2), ((0, 1), (2, 2))),
    ([[1, 2], (3, 4)], ((1, 2), (3, 4))),
]

each_padding = pytest.mark.parametrize(("padding", "pairs"), PADDINGS, ids=str)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_padding
def test_zeros_are_put_around_each_image(padding, pairs, shape, dtype):
    layer, X = ZeroPad2D(padding), random_images(shape).astype(dtype)
    Y, _ = run_forward(layer, {}, X, training=False)
    expected = np.pad(X, [*pairs, (0, 0), (0, 0)])
    assert layer.output_shape(shape) == (*expected.shape[:2], shape[2])
    np.testing.assert_array_equal(Y, expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_padding
def test_gradients_of_the_zeros_are_left_out(padding, pairs, shape):
    layer, X = ZeroPad2D(padding), random_images(shape)
    Y, unit = run_forward(layer, {}, X, training=True)
    inside = np.pad(np.ones(X.shape, bool), [*pairs, (0, 0), (0, 0)])
    dY = garbage(Y.shape)
    dY[inside] = X.ravel()
    np.testing.assert_array_equal(run_backward(layer, {}, unit, dY), X)


@each_padding
def test_zeros_and_a_convolution_without_padding_are_a_convolution_with_padding(padding, pairs):
    X = random_images((5, 6, 2))
    conv = Conv2D(3, padding=padding)
    params = initial_params(conv, (5, 6, 2))
    padded, _ = run_forward(ZeroPad2D(padding), {}, X, training=False)
    Y, _ = run_forward(Conv2D(3, padding="valid"), params, padded, training=False)
    expected, _ = run_forward(conv, params, X, training=False)
    assert_close(Y, expected)


@pytest.mark.parametrize(
    "padding",
    ["same", "valid", "", -1, 1.5, True, None, (1,), (1, 2, 3), (1, -1), ((1, 2, 3), 0), (1, (2, "0"))],
    ids=repr,
)
def test_wrong_padding(padding):
    """The names of Conv2D mean nothing here, so they are not offered."""
    with pytest.raises(ValueError) as info:
        compile_nodes([("pad", ZeroPad2D(padding))], (4, 4, 1))
    message = str(info.value)
    assert message.startswith("layer 'pad', ZeroPad2D(padding=")
    assert message.endswith(
        f"padding must be an int >= 0, or a pair of ints or of (before, after), got {padding!r}"
    )


@pytest.mark.parametrize("layer", [Flatten(), ZeroPad2D()], ids=str)
def test_vectors_are_refused(layer):
    with pytest.raises(ValueError, match=r"layer 'reshape'.*expected an image .* got shape \(6,\)"):
        compile_nodes([("reshape", layer)], (6,))
