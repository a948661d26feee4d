"""Tests of layers that change the shape and keep the values."""

import re

import numpy as np
import pytest
from reference import garbage, run_backward, run_forward
from seeds import generator

from skcnn.layers import Flatten, ZeroPad2D
from skcnn.network.graph import compile_nodes

SHAPES = [(3, 4, 2), (1, 7, 3)]


def random_images(shape, n_images=3):
    return generator(0).standard_normal((*shape[:2], n_images, shape[2]))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_vectors_are_the_pixels_in_row_order_with_their_channels(shape):
    """As numpy, and so as Keras, ravels an image (height, width, channels); backward undoes it."""
    X = random_images(shape)
    Y, unit = run_forward(Flatten(), {}, X, training=True)
    for image, vector in enumerate(Y):
        assert vector.tolist() == [X[i, j, image, c] for i, j, c in np.ndindex(shape)]
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


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("padding", "pairs"), PADDINGS, ids=str)
def test_zeros_are_put_around_each_image(padding, pairs, shape):
    """And what comes back to them is left out."""
    layer, X = ZeroPad2D(padding), random_images(shape)
    Y, unit = run_forward(layer, {}, X, training=True)
    expected = np.pad(X, [*pairs, (0, 0), (0, 0)])
    assert layer.output_shape(shape) == (*expected.shape[:2], shape[2])
    np.testing.assert_array_equal(Y, expected)
    inside = np.pad(np.ones(X.shape, bool), [*pairs, (0, 0), (0, 0)])
    dY = garbage(Y.shape)
    dY[inside] = X.ravel()
    np.testing.assert_array_equal(run_backward(layer, {}, unit, dY), X)


@pytest.mark.parametrize(
    "padding",
    ["same", "valid", "", -1, 1.5, True, None, (1,), (1, 2, 3), (1, -1), ((1, 2, 3), 0), (1, (2, "0"))],
    ids=repr,
)
def test_wrong_padding(padding):
    """The names of Conv2D mean nothing here, so they are not offered."""
    match = rf"^layer 'pad', ZeroPad2D\(.*: padding must be an int .*, got {re.escape(repr(padding))}$"
    with pytest.raises(ValueError, match=match):
        compile_nodes([("pad", ZeroPad2D(padding))], (4, 4, 1))


@pytest.mark.parametrize("layer", [Flatten(), ZeroPad2D()], ids=str)
def test_vectors_are_refused(layer):
    with pytest.raises(ValueError, match=r"layer 'reshape'.*expected an image .* got shape \(6,\)"):
        compile_nodes([("reshape", layer)], (6,))
