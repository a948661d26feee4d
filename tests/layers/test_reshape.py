"""Tests of layers that change the shape and keep the values."""

import numpy as np
import pytest
from reference import run_backward, run_forward

from skcnn.layers import Flatten
from skcnn.network import compile_steps

SHAPES = [(3, 4, 2), (1, 7, 3), (5, 1, 1), (1, 1, 1)]


def random_images(shape, n_images=3):
    return np.random.default_rng(0).standard_normal((*shape[:2], n_images, shape[2]))


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


def test_vectors_are_refused():
    with pytest.raises(ValueError, match=r"layer 'flat'.*expected an image .* got shape \(6,\)"):
        compile_steps([("flat", Flatten())], (6,))
