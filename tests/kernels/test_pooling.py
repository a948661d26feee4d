"""Tests of the pooling kernels against naive loops."""

import numpy as np
import pytest
import reference
from reference import assert_close, garbage

from skcnn.kernels.pooling import (
    average_pool_backward,
    average_pool_forward,
    max_pool_backward,
    max_pool_forward,
)

# image size, window, strides, images, channels
GEOMETRIES = [
    ((6, 6), (2, 2), (2, 2), 3, 2),
    ((7, 5), (2, 2), (2, 2), 2, 3),  # a row and a column are left out
    ((7, 8), (3, 3), (2, 2), 2, 2),  # windows overlap
    ((5, 5), (3, 2), (1, 1), 2, 1),
    ((8, 9), (2, 3), (3, 5), 1, 2),  # strides larger than the window skip pixels
    ((1, 9), (1, 2), (1, 2), 4, 2),
    ((9, 1), (4, 1), (2, 1), 2, 2),
    ((4, 5), (4, 5), (4, 5), 3, 2),  # window as large as the image
    ((3, 4), (1, 1), (1, 1), 2, 2),
    ((5, 6), (1, 1), (2, 3), 2, 2),
]


@pytest.fixture(params=GEOMETRIES, ids=str)
def geometry(request):
    return request.param


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def dtype(request):
    return request.param


def random_images(geometry, dtype, *, ties=False):
    size, *_, n_images, channels = geometry
    X = np.random.default_rng(5).standard_normal((*size, n_images, channels))
    return (np.round(X) if ties else X).astype(dtype)


def max_pool(X, window, strides, position_dtype=np.uint8):
    """Run the kernel on buffers full of garbage; return the maxima and their positions."""
    out = garbage(reference.max_pool(X, window, strides).shape, X.dtype)
    position, larger = garbage(out.shape, position_dtype), garbage(out.shape, position_dtype)
    assert max_pool_forward(X, out, position, larger, window=window, strides=strides) is out
    return out, position


def check_max_pool(X, window, strides, position_dtype=np.uint8):
    """Maxima must be exact; gradients are sums of a few terms."""
    out, position = max_pool(X, window, strides, position_dtype)
    np.testing.assert_array_equal(out, reference.max_pool(X, window, strides))
    dY = np.random.default_rng(6).standard_normal(out.shape).astype(X.dtype)
    dX, share = garbage(X.shape, X.dtype), garbage(out.shape, X.dtype)
    assert max_pool_backward(dY, position, dX, share, window=window, strides=strides) is dX
    assert_close(dX, reference.max_pool_backward(X, dY, window, strides))


def test_max_pool_is_the_naive_one(geometry, dtype):
    check_max_pool(random_images(geometry, dtype), *geometry[1:3])


def test_max_pool_sends_gradients_of_ties_to_the_first_maximum(geometry, dtype):
    """Rounded normal numbers: nearly every window holds its maximum several times."""
    check_max_pool(random_images(geometry, dtype, ties=True), *geometry[1:3])


def test_max_pool_of_a_constant_image_has_its_maximum_at_the_first_pixel():
    X = np.full((4, 6, 2, 1), -3.0)
    out, position = max_pool(X, (2, 3), (2, 3))
    assert (out == -3).all()
    assert (position == 0).all()


def test_max_pool_position_counts_in_row_order():
    """All four positions of a 2 x 2 window, and the first of two equal ones."""
    X = np.zeros((2, 10, 1, 1))
    X[0, 0] = X[0, 3] = X[1, 4] = X[1, 7] = X[0, 9] = X[1, 8] = 1  # the last window: top right, bottom left
    _, position = max_pool(X, (2, 2), (2, 2))
    assert position.ravel().tolist() == [0, 1, 2, 3, 1]


def test_max_pool_of_windows_with_more_pixels_than_a_byte_counts():
    """Maxima at positions beyond 255 need a wider type, as the layer asks for."""
    X = np.random.default_rng(8).standard_normal((17, 34, 2, 2))
    X[16, 16] = X[16, 33] = 9  # position 288, the last one
    _, position = max_pool(X, (17, 17), (17, 17), np.uint16)
    assert (position == 288).all()
    check_max_pool(X, (17, 17), (17, 17), np.uint16)


def test_max_pool_in_prediction_needs_no_positions(geometry, dtype):
    X = random_images(geometry, dtype)
    window, strides = geometry[1:3]
    out = garbage(reference.max_pool(X, window, strides).shape, dtype)
    max_pool_forward(X, out, None, None, window=window, strides=strides)
    np.testing.assert_array_equal(out, max_pool(X, window, strides)[0])


def test_max_pool_keeps_values_that_are_all_minus_infinity():
    X = np.full((2, 4, 1, 1), -np.inf)
    X[1, 3] = -5
    out, position = max_pool(X, (2, 2), (2, 2))
    assert out.ravel().tolist() == [-np.inf, -5]
    assert position.ravel().tolist() == [0, 3]


def test_average_pool_is_the_naive_one(geometry, dtype):
    X = random_images(geometry, dtype)
    window, strides = geometry[1:3]
    expected = reference.avg_pool(X, window, strides)
    out = garbage(expected.shape, dtype)
    assert average_pool_forward(X, out, window=window, strides=strides) is out
    assert_close(out, expected)


def test_average_pool_gradient_is_the_naive_one(geometry, dtype):
    X = random_images(geometry, dtype)
    window, strides = geometry[1:3]
    dY = np.random.default_rng(6).standard_normal(reference.avg_pool(X, window, strides).shape).astype(dtype)
    expected = reference.avg_pool_backward(X, dY, window, strides)
    dX = garbage(X.shape, dtype)
    assert average_pool_backward(dY.copy(), dX, window=window, strides=strides) is dX
    assert_close(dX, expected)


def test_average_pool_gradient_is_the_adjoint_of_its_forward(geometry):
    """<pool(X), dY> = <X, dX>: pooling means is linear."""
    X = random_images(geometry, np.float64)
    window, strides = geometry[1:3]
    Y = average_pool_forward(
        X, garbage(reference.avg_pool(X, window, strides).shape), window=window, strides=strides
    )
    dY = np.random.default_rng(9).standard_normal(Y.shape)
    dX = average_pool_backward(dY.copy(), garbage(X.shape), window=window, strides=strides)
    assert abs(np.vdot(Y, dY) - np.vdot(X, dX)) <= 1e-14 * np.linalg.norm(X) * np.linalg.norm(dY)


def test_forward_kernels_leave_the_images_alone(geometry):
    X = random_images(geometry, np.float64)
    X.setflags(write=False)
    window, strides = geometry[1:3]
    out, _ = max_pool(X, window, strides)
    average_pool_forward(X, out, window=window, strides=strides)
