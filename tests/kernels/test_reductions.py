"""Tests of sums and moments over everything but the channels."""

import math

import numpy as np
import pytest
from reference import assert_close
from seeds import generator

from skcnn.kernels.reductions import channel_sums, image_sums, merge_moments, row_sums

SHAPES = [(4, 5, 3, 2), (1, 7, 2, 3), (1, 1, 1, 1), (6, 1, 1, 4), (5, 3), (1, 4), (9, 1)]


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def dtype(request):
    return request.param


def random_array(shape, dtype):
    return generator(2).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("shape", [(7, 3), (1, 5), (4, 1), (1, 1), (50, 2)])
def test_row_sums_add_the_rows(shape, dtype):
    X = random_array(shape, dtype)
    sums = row_sums(X)
    assert sums.dtype == dtype
    assert_close(sums, [math.fsum(column) for column in X.T])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_channel_sums_add_all_pixels_of_all_images(shape, dtype):
    X = random_array(shape, dtype)
    sums = channel_sums(X)
    assert sums.dtype == dtype
    assert_close(sums, [math.fsum(X[..., channel].ravel()) for channel in range(shape[-1])])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_image_sums_add_the_pixels_of_each_image(shape, dtype):
    X = random_array(shape, dtype)
    sums = image_sums(X)
    assert sums.dtype == dtype
    pixels = X.reshape(-1, *shape[-2:])
    expected = np.zeros(shape[-2:])
    for image, channel in np.ndindex(expected.shape):
        expected[image, channel] = math.fsum(pixels[:, image, channel])
    assert_close(sums, expected)


@pytest.mark.parametrize("function", [row_sums, channel_sums, image_sums])
def test_sums_leave_their_argument_alone(function):
    X = random_array((6, 5), np.float64)
    X.setflags(write=False)
    function(X)


@pytest.mark.parametrize("shape", [(32, 32, 128, 3), (28, 28, 64, 8), (1, 100, 300, 2), (20_000, 2)], ids=str)
def test_channel_sums_of_many_equal_numbers_stay_accurate_in_float32(shape):
    """The errors of equal terms do not cancel: n terms one after the other are off by up to n * eps.

    Images have at most 32 rows here. If these alone are added in float32, one after the other, 33 * eps
    are left, 2e-6; if the rest is added pairwise, a few eps more.
    """
    sums = channel_sums(np.full(shape, 0.1, np.float32))
    exact = float(np.float32(0.1)) * math.prod(shape[:-1])
    np.testing.assert_allclose(sums, np.full(shape[-1], exact), rtol=3e-6)


def moments(X, weights, of_pairs):
    """Return the moments of rows as numpy computes them."""
    mean = np.average(X, axis=0, weights=weights)
    products = (weights * (X - mean).T) @ (X - mean)
    return weights.sum(), mean, products if of_pairs else products.diagonal()


@pytest.mark.parametrize("of_pairs", [False, True], ids=["squares", "products"])
@pytest.mark.parametrize("cuts", [[], [7], [1, 2, 12], range(1, 20)], ids=str)
def test_merged_moments_are_those_of_the_whole(cuts, of_pairs):
    """Of parts whose means are far from each other, by weights of different sizes."""
    rng = generator(3)
    X = rng.normal(1000, 1, (20, 3)) + np.arange(20)[:, np.newaxis]
    weights = 10.0 ** rng.uniform(-2, 2, 20)
    parts = zip(np.split(X, cuts), np.split(weights, cuts), strict=True)
    merged = merge_moments(moments(*part, of_pairs) for part in parts)
    for actual, expected in zip(merged, moments(X, weights, of_pairs), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-12)
