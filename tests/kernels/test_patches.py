"""Patches and their moments against scikit-learn and numpy."""

import numpy as np
import pytest
from seeds import generator
from sklearn.feature_extraction.image import extract_patches_2d

from skcnn.kernels.patches import patch_moments, patches


def draw_images(n_images=4, channels=3, dtype=np.float64):
    """Return images (n, 5, 6, channels), and the same in the layout of kernels."""
    images = generator(5).normal(2, 3, (n_images, 5, 6, channels)).astype(dtype)
    return images, np.ascontiguousarray(images.transpose(1, 2, 0, 3))


def naive_patches(images, size):
    """Return the patches of all images by scikit-learn, which drops a single channel."""
    channels = images.shape[-1]
    return np.concatenate([extract_patches_2d(image, size).reshape(-1, *size, channels) for image in images])


@pytest.mark.parametrize(("size", "channels"), [((1, 1), 3), ((2, 2), 1), ((3, 2), 3), ((5, 6), 3)])
def test_patches_are_those_of_scikit_learn(size, channels):
    """In another order: all images at a position, then the next position."""
    images, X = draw_images(channels=channels)
    expected = naive_patches(images, size).reshape(len(images), -1, np.prod(size) * channels)
    np.testing.assert_array_equal(patches(X, size), expected.swapaxes(0, 1).reshape(-1, expected.shape[2]))


@pytest.mark.parametrize(
    ("size", "weighted", "dtype"),
    [((1, 1), True, "f8"), ((3, 2), False, "f8"), ((2, 2), True, "f4"), ((1, 4), False, "f4")],
)
def test_moments_are_those_of_numpy(size, weighted, dtype):
    """Over several chunks of images."""
    images, X = draw_images(dtype=dtype)
    weights = np.array([0.5, 2.0, 1.0, 0.25]) if weighted else None
    rows = naive_patches(images.astype(np.float64), size).reshape(-1, np.prod(size) * 3)
    factors = None if weights is None else np.repeat(weights, len(rows) // len(images))
    cuts = [slice(0, 1), slice(1, 4)]
    chunks = [(X[:, :, cut], None if weights is None else weights[cut]) for cut in cuts]
    mean, covariance = patch_moments(chunks, size)
    assert mean.dtype == covariance.dtype == np.float64
    tolerance = 100 * np.finfo(dtype).eps * 10  # sums of up to a hundred products, of values up to ten
    np.testing.assert_allclose(mean, np.average(rows, axis=0, weights=factors), rtol=0, atol=tolerance)
    expected = np.atleast_2d(np.cov(rows, rowvar=False, bias=True, aweights=factors))
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=10 * tolerance)


def test_chunks_whose_weights_vanish_do_not_count():
    """There is no such number in float32, or none in float64."""
    _, X = draw_images(dtype=np.float32)
    chunks = [(X[:, :, i : i + 1], np.array([weight])) for i, weight in enumerate([1e-60, 0.0, 1.0, 1e-60])]
    expected = patch_moments(chunks[2:3], (2, 2))
    for actual, alone in zip(patch_moments(chunks, (2, 2)), expected, strict=True):
        np.testing.assert_allclose(actual, alone, rtol=1e-5, atol=1e-5)


def test_a_large_mean_costs_no_digits():
    """Images of deviation one around a million in float32, of which half of the digits are the mean."""
    _, X = draw_images(n_images=50, dtype=np.float64)
    X = (X + 1e6).astype(np.float32)
    _, covariance = patch_moments([(X, None)], (2, 2))
    _, expected = patch_moments([(X.astype(np.float64), None)], (2, 2))
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-4 * expected.max())


def test_squares_that_overflow_are_not_finite():
    _, X = draw_images(dtype=np.float32)
    with np.errstate(all="ignore"):
        _, covariance = patch_moments([(X * np.float32(1e30), None)], (2, 2))
    assert not np.isfinite(covariance).all()
