"""Tests of the convolution kernels against naive loops."""

import numpy as np
import pytest
import reference
from reference import assert_close, garbage
from scipy.signal import correlate

from skcnn.kernels.convolution import (
    convolution_backward_columns,
    convolution_backward_weight,
    convolution_forward,
    gather_columns,
    scatter_columns,
)

# image size, kernel size, strides, padding, images, channels, filters
GEOMETRIES = [
    ((5, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), 3, 2, 4),
    ((6, 6), (3, 3), (2, 2), ((0, 1), (0, 1)), 2, 3, 2),  # "same" of an even size: asymmetric
    ((7, 5), (2, 3), (1, 2), ((0, 0), (0, 0)), 2, 1, 3),
    ((1, 9), (1, 3), (1, 1), ((0, 0), (1, 1)), 4, 2, 2),
    ((9, 1), (4, 1), (3, 1), ((2, 0), (0, 0)), 1, 2, 5),
    ((8, 7), (2, 2), (3, 4), ((0, 0), (0, 0)), 2, 2, 2),  # strides larger than the kernel skip pixels
    ((4, 5), (4, 5), (1, 1), ((0, 0), (0, 0)), 3, 2, 3),  # kernel as large as the image
    ((3, 3), (5, 4), (1, 1), ((2, 2), (3, 0)), 2, 2, 2),  # kernel larger than the image
    ((3, 4), (2, 2), (1, 1), ((3, 0), (0, 4)), 2, 1, 2),  # windows that see padding only
    ((1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)), 1, 1, 1),
    ((5, 5), (1, 1), (1, 1), ((0, 0), (0, 0)), 2, 3, 4),
    ((6, 5), (3, 3), (5, 5), ((1, 0), (0, 2)), 1, 2, 3),
]


@pytest.fixture(params=GEOMETRIES, ids=str)
def geometry(request):
    return request.param


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def dtype(request):
    return request.param


class Problem:
    """Random images, weight and output gradient of a geometry, and the shapes of all buffers."""

    def __init__(self, geometry, dtype):
        size, self.kernel_size, strides, padding, n_images, channels, filters = geometry
        self.where = {"strides": strides, "padding": padding}
        rng = np.random.default_rng(7)
        self.X = rng.standard_normal((*size, n_images, channels)).astype(dtype)
        self.weight = rng.standard_normal((*self.kernel_size, channels, filters)).astype(dtype)
        self.Y = reference.conv2d(self.X, self.weight, **self.where)
        self.dY = rng.standard_normal(self.Y.shape).astype(dtype)
        self.dtype = dtype
        self.columns_shape = (channels, *self.kernel_size, *self.Y.shape[:2], n_images)
        self.padded_shape = (channels, size[0] + sum(padding[0]), size[1] + sum(padding[1]), n_images)
        # rows of the matrix in the order of the columns: channel, kernel row, kernel column
        self.matrix = np.ascontiguousarray(self.weight.transpose(2, 0, 1, 3)).reshape(-1, filters)

    def gather(self):
        columns, padded = garbage(self.columns_shape, self.dtype), garbage(self.padded_shape, self.dtype)
        assert gather_columns(self.X, columns, padded, **self.where) is columns
        return columns

    def scatter(self, columns):
        dX, padded = garbage(self.X.shape, self.dtype), garbage(self.padded_shape, self.dtype)
        assert scatter_columns(columns, dX, padded, **self.where) is dX
        return dX


@pytest.fixture
def problem(geometry, dtype):
    return Problem(geometry, dtype)


def test_gathered_columns_are_the_windows_of_the_zero_padded_images(problem):
    """Bit for bit, in buffers full of NaN: nothing is computed."""
    padded = np.pad(problem.X, [*problem.where["padding"], (0, 0), (0, 0)])
    expected = np.zeros(problem.columns_shape)
    for channel, u, v, i, j, image in np.ndindex(problem.columns_shape):
        row, column = i * problem.where["strides"][0] + u, j * problem.where["strides"][1] + v
        expected[channel, u, v, i, j, image] = padded[row, column, image, channel]
    np.testing.assert_array_equal(problem.gather(), expected)


def test_gather_leaves_the_images_alone(problem):
    problem.X.setflags(write=False)
    problem.gather()


def test_scatter_is_the_adjoint_of_gather(geometry):
    """<gather(X), C> = <X, scatter(C)> for random C; sums of a few thousand terms of order one."""
    problem = Problem(geometry, np.float64)
    C = np.random.default_rng(1).standard_normal(problem.columns_shape)
    through_columns = np.vdot(problem.gather(), C)
    through_images = np.vdot(problem.X, problem.scatter(C))
    size = np.linalg.norm(problem.gather()) * np.linalg.norm(C)
    assert abs(through_columns - through_images) <= 1e-14 * size


def test_scatter_keeps_the_columns(problem):
    columns = problem.gather()
    columns.setflags(write=False)
    problem.scatter(columns)


def test_forward_is_the_naive_convolution(problem):
    out = garbage(problem.Y.shape, problem.dtype)
    assert convolution_forward(problem.gather(), problem.matrix, out=out) is out
    assert_close(out, problem.Y)


def test_weight_gradient_is_the_naive_one(problem):
    _, expected, _ = reference.conv2d_backward(problem.X, problem.weight, problem.dY, **problem.where)
    out = garbage(problem.matrix.shape, problem.dtype)
    assert convolution_backward_weight(problem.gather(), problem.dY, out=out) is out
    assert_close(out, expected.transpose(2, 0, 1, 3).reshape(out.shape))


def test_input_gradient_is_the_naive_one(problem):
    expected, _, _ = reference.conv2d_backward(problem.X, problem.weight, problem.dY, **problem.where)
    columns = garbage(problem.columns_shape, problem.dtype)
    assert convolution_backward_columns(problem.matrix, problem.dY, out=columns) is columns
    assert_close(problem.scatter(columns), expected)


def test_naive_convolution_is_that_of_scipy():
    """The oracle itself, where scipy has an answer: unit strides."""
    rng = np.random.default_rng(3)
    X, weight = rng.standard_normal((6, 7, 2, 3)), rng.standard_normal((3, 2, 3, 4))
    padding = ((1, 0), (2, 1))
    Y = reference.conv2d(X, weight, padding=padding)
    padded = np.pad(X, [*padding, (0, 0), (0, 0)])
    for image in range(2):
        for f in range(4):
            expected = correlate(padded[:, :, image], weight[..., f], mode="valid", method="direct")[..., 0]
            assert_close(Y[:, :, image, f], expected)


def test_naive_gradients_are_those_of_the_naive_convolution():
    """Convolution is linear in X and in the weight: <dY, conv(D, W)> = <dX, D>, and so for the weight."""
    rng = np.random.default_rng(4)
    X, weight = rng.standard_normal((5, 6, 2, 3)), rng.standard_normal((3, 2, 3, 2))
    where = {"strides": (2, 1), "padding": ((1, 2), (0, 3))}
    dY = rng.standard_normal(reference.conv2d(X, weight, **where).shape)
    dX, dweight, dbias = reference.conv2d_backward(X, weight, dY, **where)
    other_X, other_weight = rng.standard_normal(X.shape), rng.standard_normal(weight.shape)
    for inner, gradient, direction in [
        (reference.conv2d(other_X, weight, **where), dX, other_X),
        (reference.conv2d(X, other_weight, **where), dweight, other_weight),
    ]:
        np.testing.assert_allclose(np.vdot(dY, inner), np.vdot(gradient, direction), rtol=1e-12)
    assert_close(dbias, [dY[..., f].sum() for f in range(2)])
