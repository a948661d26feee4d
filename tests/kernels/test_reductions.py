"""Tests of sums and moments over everything but the channels."""

import math

import numpy as np
import pytest
from reference import assert_close
from seeds import generator

from skcnn.kernels.reductions import channel_sums, image_sums, merge_moments, row_sums

SHAPES = [(4, 5, 3, 2), (1, 7, 2, 3), (1, 1, 1, 1), (6, 1, 1, 4), (5, 3), (1, 4), (9, 1)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_are_those_of_single_numbers(shape, dtype):
    """Over all rows, over all pixels of all images, and over the pixels of each image."""
    X = generator(2).standard_normal(shape).astype(dtype)
    X.setflags(write=False)
    pixels = X.reshape(-1, *shape[-2:])
    by_image = [[math.fsum(numbers) for numbers in image] for image in pixels.transpose(1, 2, 0)]
    by_channel = [math.fsum(X[..., channel].ravel()) for channel in range(shape[-1])]
    by_row = [math.fsum(column) for column in X.reshape(len(X), -1).T]
    for sums, expected in [
        (image_sums(X), by_image),
        (channel_sums(X), by_channel),
        (row_sums(X.reshape(len(X), -1)), by_row),
    ]:
        assert sums.dtype == dtype
        assert_close(sums, expected)


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
