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
from skcnn.kernels.windows import sliding_windows

NONE = reference.NO_PADDING

# image size, kernel size, strides, padding, dilation, groups, images, channels, filters
GEOMETRIES = [
    ((5, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, 3, 2, 4),
    ((6, 6), (3, 3), (2, 2), ((0, 1), (0, 1)), (1, 1), 1, 2, 3, 2),  # "same" of an even size: asymmetric
    ((7, 5), (2, 3), (1, 2), NONE, (1, 1), 1, 2, 1, 3),
    ((1, 9), (1, 3), (1, 1), ((0, 0), (1, 1)), (1, 1), 1, 4, 2, 2),
    ((9, 1), (4, 1), (3, 1), ((2, 0), (0, 0)), (1, 1), 1, 1, 2, 5),
    ((8, 7), (2, 2), (3, 4), NONE, (1, 1), 1, 2, 2, 2),  # strides larger than the kernel skip pixels
    ((4, 5), (4, 5), (1, 1), NONE, (1, 1), 1, 3, 2, 3),  # kernel as large as the image
    ((3, 3), (5, 4), (1, 1), ((2, 2), (3, 0)), (1, 1), 1, 2, 2, 2),  # kernel larger than the image
    ((3, 4), (2, 2), (1, 1), ((3, 0), (0, 4)), (1, 1), 1, 2, 1, 2),  # windows that see padding only
    ((1, 1), (1, 1), (1, 1), NONE, (1, 1), 1, 1, 1, 1),
    ((5, 5), (1, 1), (1, 1), NONE, (1, 1), 1, 2, 3, 4),
    ((6, 5), (3, 3), (5, 5), ((1, 0), (0, 2)), (1, 1), 1, 1, 2, 3),
    ((7, 8), (3, 2), (1, 1), ((2, 2), (1, 0)), (2, 3), 1, 2, 2, 3),  # each axis with its own dilation
    ((9, 7), (3, 3), (2, 3), ((1, 2), (0, 3)), (3, 2), 1, 2, 1, 2),
    ((3, 3), (2, 2), (1, 1), ((2, 2), (2, 2)), (4, 4), 1, 2, 1, 2),  # one pixel of the image at most
    ((5, 1), (3, 1), (1, 1), NONE, (2, 7), 1, 3, 2, 2),  # dilated kernel as large as the image
    ((5, 6), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2, 3, 4, 6),
    ((4, 5), (2, 3), (1, 2), ((0, 1), (1, 1)), (2, 1), 3, 2, 3, 3),  # as many groups as channels
    ((4, 4), (2, 2), (1, 1), NONE, (1, 1), 2, 1, 2, 6),
    ((1, 6), (1, 3), (1, 2), ((0, 0), (2, 1)), (1, 2), 2, 2, 6, 2),
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
        size, self.kernel_size, strides, padding, dilation, groups, n_images, channels, filters = geometry
        self.where = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
        self.windows = sliding_windows(
            size, self.kernel_size, strides=strides, padding=padding, dilation=dilation
        )
        rng = np.random.default_rng(7)
        self.X = rng.standard_normal((*size, n_images, channels)).astype(dtype)
        self.weight = rng.standard_normal((*self.kernel_size, channels // groups, filters)).astype(dtype)
        self.Y = reference.conv2d(self.X, self.weight, **self.where)
        self.dY = rng.standard_normal(self.Y.shape).astype(dtype)
        self.dtype = dtype
        self.columns_shape = (channels, *self.kernel_size, *self.Y.shape[:2], n_images)
        self.padded_shape = (channels, size[0] + sum(padding[0]), size[1] + sum(padding[1]), n_images)
        self.matrices = self.by_group(self.weight)

    def by_group(self, weight):
        """One matrix a group, rows in the order of the columns: channel, kernel row, kernel column."""
        matrices = np.split(weight.transpose(2, 0, 1, 3), self.where["groups"], axis=-1)
        return np.array([matrix.reshape(-1, matrix.shape[-1]) for matrix in matrices])

    def gather(self):
        columns, padded = garbage(self.columns_shape, self.dtype), garbage(self.padded_shape, self.dtype)
        assert gather_columns(self.X, columns, padded, self.windows) is columns
        return columns

    def scatter(self, columns):
        dX, padded = garbage(self.X.shape, self.dtype), garbage(self.padded_shape, self.dtype)
        assert scatter_columns(columns, dX, padded, self.windows) is dX
        return dX


@pytest.fixture
def problem(geometry, dtype):
    return Problem(geometry, dtype)


def test_gathered_columns_are_the_windows_of_the_zero_padded_images(problem):
    """Bit for bit, in buffers full of NaN: nothing is computed."""
    padded = np.pad(problem.X, [*problem.where["padding"], (0, 0), (0, 0)])
    strides, dilation = problem.where["strides"], problem.where["dilation"]
    expected = np.zeros(problem.columns_shape)
    for channel, u, v, i, j, image in np.ndindex(problem.columns_shape):
        row, column = i * strides[0] + u * dilation[0], j * strides[1] + v * dilation[1]
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
    assert convolution_forward(problem.gather(), problem.matrices, out=out) is out
    assert_close(out, problem.Y)


def test_weight_gradient_is_the_naive_one(problem):
    _, expected, _ = reference.conv2d_backward(problem.X, problem.weight, problem.dY, **problem.where)
    out = garbage(problem.matrices.shape, problem.dtype)
    assert convolution_backward_weight(problem.gather(), problem.dY, out=out) is out
    assert_close(out, problem.by_group(expected))


def test_input_gradient_is_the_naive_one(problem):
    expected, _, _ = reference.conv2d_backward(problem.X, problem.weight, problem.dY, **problem.where)
    columns = garbage(problem.columns_shape, problem.dtype)
    assert convolution_backward_columns(problem.matrices, problem.dY, out=columns) is columns
    assert_close(problem.scatter(columns), expected)


def test_products_leave_their_operands_alone(problem):
    columns = problem.gather()
    for operand in (columns, problem.matrices, problem.dY):
        operand.setflags(write=False)
    convolution_forward(columns, problem.matrices, out=garbage(problem.Y.shape, problem.dtype))
    convolution_backward_weight(columns, problem.dY, out=garbage(problem.matrices.shape, problem.dtype))
    convolution_backward_columns(
        problem.matrices, problem.dY, out=garbage(problem.columns_shape, problem.dtype)
    )


def correlation_of_scipy(X, weight):
    """Correlation with unit strides and no padding; weight (height, width, channels, filters)."""
    results = [
        [
            correlate(X[:, :, image], weight[..., f], mode="valid", method="direct")[..., 0]
            for f in range(weight.shape[3])
        ]
        for image in range(X.shape[2])
    ]
    return np.transpose(results, (2, 3, 0, 1))


class TestOracle:
    """The naive convolution itself, where there is another answer."""

    rng = np.random.default_rng(3)
    X, weight = rng.standard_normal((6, 7, 2, 4)), rng.standard_normal((3, 2, 4, 4))

    def test_is_the_correlation_of_scipy(self):
        padding = ((1, 0), (2, 1))
        padded = np.pad(self.X, [*padding, (0, 0), (0, 0)])
        assert_close(
            reference.conv2d(self.X, self.weight, padding=padding), correlation_of_scipy(padded, self.weight)
        )

    def test_dilation_is_a_kernel_with_zeros_between_its_pixels(self):
        spread = np.zeros((5, 4, 4, 4))
        spread[::2, ::3] = self.weight
        assert_close(
            reference.conv2d(self.X, self.weight, dilation=(2, 3)), correlation_of_scipy(self.X, spread)
        )

    def test_strides_leave_out_results(self):
        assert_close(
            reference.conv2d(self.X, self.weight, strides=(2, 3)),
            correlation_of_scipy(self.X, self.weight)[::2, ::3],
        )

    def test_groups_are_convolutions_side_by_side(self):
        weight = self.weight[:, :, :2]
        halves = [
            correlation_of_scipy(self.X[..., half], weight[..., half]) for half in (slice(2), slice(2, 4))
        ]
        assert_close(reference.conv2d(self.X, weight, groups=2), np.concatenate(halves, axis=-1))

    @pytest.mark.parametrize("multiplier", [1, 3])
    def test_depthwise_is_one_group_a_channel(self, multiplier):
        weight = self.rng.standard_normal((3, 2, 4, multiplier))
        where = {"strides": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2)}
        grouped = weight.reshape(3, 2, 1, 4 * multiplier)
        Y = reference.depthwise_conv2d(self.X, weight, **where)
        assert_close(Y, reference.conv2d(self.X, grouped, groups=4, **where))
        dY = self.rng.standard_normal(Y.shape)
        dX, dweight, dbias = reference.depthwise_conv2d_backward(self.X, weight, dY, **where)
        expected = reference.conv2d_backward(self.X, grouped, dY, groups=4, **where)
        for actual, other in zip((dX, dweight.reshape(grouped.shape), dbias), expected, strict=True):
            assert_close(actual, other)

    def test_gradients_are_those_of_a_function_linear_in_images_and_weight(self):
        """<dY, conv(D, W)> = <dX, D>, and so for the weight."""
        where = {"strides": (2, 1), "padding": ((1, 2), (0, 3)), "dilation": (2, 1), "groups": 2}
        weight = self.weight[:, :, :2]
        dY = self.rng.standard_normal(reference.conv2d(self.X, weight, **where).shape)
        dX, dweight, dbias = reference.conv2d_backward(self.X, weight, dY, **where)
        other_X, other_weight = self.rng.standard_normal(self.X.shape), self.rng.standard_normal(weight.shape)
        for result, gradient, direction in [
            (reference.conv2d(other_X, weight, **where), dX, other_X),
            (reference.conv2d(self.X, other_weight, **where), dweight, other_weight),
        ]:
            np.testing.assert_allclose(np.vdot(dY, result), np.vdot(gradient, direction), rtol=1e-12)
        assert_close(dbias, [dY[..., f].sum() for f in range(4)])
