"""Tests of the pooling kernels against naive loops."""

import numpy as np
import pytest
import reference
from reference import NO_PADDING, GarbageMemory, assert_close, garbage
from seeds import generator

from skcnn.kernels.pooling import (
    average_pool_backward,
    average_pool_forward,
    max_pool_backward,
    max_pool_forward,
    max_pool_positions,
)
from skcnn.kernels.windows import sliding_windows

# image size, window, strides, padding, dilation, ceil mode, images, channels
GEOMETRIES = [
    ((6, 6), (2, 2), (2, 2), NO_PADDING, (1, 1), False, 3, 2),
    ((7, 5), (2, 2), (2, 2), NO_PADDING, (1, 1), False, 2, 3),  # a row and a column are left out
    ((7, 5), (2, 2), (2, 2), NO_PADDING, (1, 1), True, 2, 3),  # ... or get windows of their own
    ((7, 8), (3, 3), (2, 2), NO_PADDING, (1, 1), False, 2, 2),  # windows overlap
    ((7, 8), (3, 3), (2, 2), NO_PADDING, (1, 1), True, 2, 2),
    ((5, 5), (3, 2), (1, 1), NO_PADDING, (1, 1), False, 2, 1),
    ((8, 9), (2, 3), (3, 5), NO_PADDING, (1, 1), False, 1, 2),  # strides larger than the window skip pixels
    ((10, 9), (2, 3), (3, 4), NO_PADDING, (1, 1), True, 1, 2),
    ((9, 9), (2, 2), (3, 3), NO_PADDING, (1, 1), True, 2, 1),  # a window more would begin beyond the image
    ((1, 9), (1, 2), (1, 2), NO_PADDING, (1, 1), False, 4, 2),
    ((9, 1), (4, 1), (2, 1), NO_PADDING, (1, 1), True, 2, 2),
    ((4, 5), (4, 5), (4, 5), NO_PADDING, (1, 1), False, 3, 2),  # window as large as the image
    ((3, 4), (1, 1), (1, 1), NO_PADDING, (1, 1), False, 2, 2),
    ((5, 6), (1, 1), (2, 3), NO_PADDING, (1, 1), False, 2, 2),
    ((5, 6), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), False, 2, 2),  # as many windows as pixels
    ((6, 5), (3, 2), (2, 2), ((2, 0), (0, 1)), (1, 1), False, 2, 3),  # padding on one side only
    ((6, 5), (3, 2), (2, 2), ((2, 0), (0, 1)), (1, 1), True, 2, 3),
    ((7, 7), (3, 3), (3, 3), ((1, 1), (2, 2)), (1, 1), True, 2, 1),  # a window beyond padding on both sides
    ((2, 3), (5, 4), (2, 1), ((4, 3), (2, 3)), (1, 1), True, 2, 2),  # windows larger than the image
    ((1, 1), (3, 3), (1, 1), ((1, 1), (2, 0)), (1, 1), False, 2, 2),
    ((1, 7), (1, 3), (1, 2), ((0, 0), (1, 1)), (1, 1), True, 2, 2),
    ((7, 6), (2, 2), (2, 2), NO_PADDING, (2, 2), False, 2, 2),  # every other pixel
    ((7, 6), (2, 2), (2, 2), NO_PADDING, (2, 1), True, 2, 2),
    ((6, 8), (3, 2), (1, 1), ((2, 2), (1, 1)), (2, 3), False, 2, 3),  # padding, and windows that overlap
    ((5, 9), (2, 3), (3, 2), ((1, 0), (0, 3)), (3, 2), True, 2, 1),
    ((3, 4), (2, 2), (1, 1), ((1, 1), (2, 2)), (2, 3), False, 2, 2),  # a pixel or two of each on the image
    ((1, 9), (1, 3), (1, 1), NO_PADDING, (5, 4), False, 2, 2),
]


@pytest.fixture(params=GEOMETRIES, ids=str)
def geometry(request):
    return request.param


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def dtype(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["pixels count", "padding counts"])
def with_padding(request):
    return request.param


class Problem:
    """Random images and output gradient of a geometry, the kernels on garbage, and the naive answers."""

    def __init__(
        self, size, window, strides, padding, dilation, ceil_mode, n_images, channels, dtype=np.float64
    ):
        options = {"strides": strides, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
        self.where = {"window": window} | options
        self.windows = sliding_windows(size, window, **options)
        self.X = generator(5).standard_normal((*size, n_images, channels)).astype(dtype)
        naive = reference.NaiveWindows(size, window, **options)
        self.areas = {counts: naive.areas(with_padding=counts) for counts in (False, True)}
        self.shape = (*naive.counts, n_images, channels)
        self.dY = generator(6).standard_normal(self.shape).astype(dtype)

    def scratch(self, name, shape, dtype=None):
        return garbage(shape, self.X.dtype if dtype is None else dtype)

    def max_pool(self):
        out = garbage(self.shape, self.X.dtype)
        positions = max_pool_positions(GarbageMemory(self.X.dtype), self.windows, *self.X.shape[2:])
        assert max_pool_forward(self.X, out, positions, self.windows, self.scratch) is out
        return out, positions

    def position(self):
        """Return the position of each maximum in its window, in row order."""
        across, down = self.max_pool()[1]
        position = np.zeros(self.shape, int)
        for i, j, image, channel in np.ndindex(self.shape):
            u = int(down[i, j, image, channel])
            row = i * self.windows.strides[0] + u * self.windows.dilation[0] - self.windows.padding[0][0]
            position[i, j, image, channel] = u * self.windows.size[1] + across[row, j, image, channel]
        return position

    def max_pool_backward(self, positions):
        dX = garbage(self.X.shape, self.X.dtype)
        assert max_pool_backward(self.dY, positions, dX, self.windows, self.scratch) is dX
        return dX

    def average_pool(self, with_padding):
        out = garbage(self.shape, self.X.dtype)
        areas = self.areas[with_padding]
        assert average_pool_forward(self.X, out, areas, self.windows, self.scratch) is out
        return out

    def average_pool_backward(self, with_padding):
        dX = garbage(self.X.shape, self.X.dtype)
        areas = self.areas[with_padding]
        assert average_pool_backward(self.dY.copy(), dX, areas, self.windows, self.scratch) is dX
        return dX

    def check_max_pool(self):
        """Maxima must be exact; gradients are sums of a few terms."""
        out, position = self.max_pool()
        np.testing.assert_array_equal(out, reference.max_pool(self.X, **self.where))
        expected = reference.max_pool_backward(self.X, self.dY, **self.where)
        assert_close(self.max_pool_backward(position), expected)


@pytest.fixture
def problem(geometry, dtype):
    return Problem(*geometry, dtype)


def by_hand(X, window, strides, padding=NO_PADDING):
    """A problem on the pixels of one image of one channel."""
    problem = Problem(X.shape, window, strides, padding, (1, 1), False, 1, 1)
    problem.X = np.asarray(X, np.float64)[:, :, np.newaxis, np.newaxis]
    return problem


def test_max_pool_is_the_naive_one(problem):
    problem.check_max_pool()


def test_max_pool_sends_gradients_of_ties_to_the_first_maximum(problem):
    """Rounded normal numbers: nearly every window holds its maximum several times."""
    problem.X = np.round(problem.X)
    problem.check_max_pool()


def test_max_pool_of_negative_images_is_never_the_zero_of_the_padding(problem):
    problem.X = -1 - np.abs(problem.X)
    out, _ = problem.max_pool()
    assert (out <= -1).all()
    problem.check_max_pool()


def test_max_pool_of_a_constant_image_has_its_maximum_at_the_first_pixel():
    problem = by_hand(np.full((4, 6), -3.0), (2, 3), (2, 3))
    assert (problem.max_pool()[0] == -3).all()
    assert (problem.position() == 0).all()


def test_max_pool_of_a_constant_image_has_its_maximum_at_the_first_pixel_after_the_padding():
    """Positions of 3 x 3 windows in row order: the first row and column of windows begin in the padding."""
    position = by_hand(np.zeros((3, 3)), (3, 3), (1, 1), ((1, 1), (1, 1))).position()
    assert position[:, :, 0, 0].tolist() == [[4, 3, 3], [1, 0, 0], [1, 0, 0]]


def test_max_pool_position_counts_in_row_order():
    """All four positions of a 2 x 2 window, and the first of two equal ones."""
    X = np.zeros((2, 10))
    X[0, 0] = X[0, 3] = X[1, 4] = X[1, 7] = X[0, 9] = X[1, 8] = 1  # the last window: top right, bottom left
    position = by_hand(X, (2, 2), (2, 2)).position()
    assert position.ravel().tolist() == [0, 1, 2, 3, 1]


def test_max_pool_of_windows_with_more_columns_than_a_byte_counts():
    """Maxima at columns beyond 255 need a wider type."""
    problem = Problem((2, 520), (2, 260), (2, 260), NO_PADDING, (1, 1), False, 2, 2)
    problem.X[1, 259] = problem.X[1, 519] = 9  # the last column of each window
    assert (problem.position() == 519).all()
    assert [array.dtype for array in problem.max_pool()[1]] == [np.uint16, bool]
    problem.check_max_pool()


def test_max_pool_in_prediction_needs_no_positions(problem):
    out = garbage(problem.shape, problem.X.dtype)
    max_pool_forward(problem.X, out, None, problem.windows, problem.scratch)
    np.testing.assert_array_equal(out, problem.max_pool()[0])


def test_max_pool_keeps_values_that_are_all_minus_infinity():
    problem = by_hand(np.array([[-np.inf] * 4, [-np.inf] * 3 + [-5]]), (2, 2), (2, 2))
    assert problem.max_pool()[0].ravel().tolist() == [-np.inf, -5]
    assert problem.position().ravel().tolist() == [0, 3]


def test_max_pool_passes_the_whole_gradient_on(geometry):
    """Every window has a pixel on the image, so nothing is lost in the padding."""
    problem = Problem(*geometry)
    _, position = problem.max_pool()
    dX = problem.max_pool_backward(position)
    np.testing.assert_allclose(dX.sum(axis=(0, 1)), problem.dY.sum(axis=(0, 1)), rtol=0, atol=1e-12)


def test_average_pool_is_the_naive_one(problem, with_padding):
    expected = reference.avg_pool(problem.X, **problem.where, count_include_pad=with_padding)
    assert_close(problem.average_pool(with_padding), expected)


def test_average_pool_gradient_is_the_naive_one(problem, with_padding):
    expected = reference.avg_pool_backward(
        problem.X, problem.dY, **problem.where, count_include_pad=with_padding
    )
    assert_close(problem.average_pool_backward(with_padding), expected)


def test_average_pool_gradient_is_the_adjoint_of_its_forward(geometry, with_padding):
    """<pool(X), dY> = <X, dX>: pooling means is linear."""
    problem = Problem(*geometry)
    Y, dX = problem.average_pool(with_padding), problem.average_pool_backward(with_padding)
    size = np.linalg.norm(problem.X) * np.linalg.norm(problem.dY)
    assert abs(np.vdot(Y, problem.dY) - np.vdot(problem.X, dX)) <= 1e-14 * size


def test_average_of_a_constant_image_is_the_constant_where_padding_does_not_count(problem):
    problem.X.fill(2.5)
    assert_close(problem.average_pool(False), np.full(problem.shape, 2.5))


def test_average_pool_with_padding_by_hand():
    """Pixels 1 to 4 in a row, windows of three from one pixel before them: [pad 1 2], [2 3 4]."""
    problem = by_hand(np.array([[1.0, 2.0, 3.0, 4.0]]), (1, 3), (1, 2), ((0, 0), (1, 0)))
    assert_close(problem.average_pool(False).ravel(), [(1 + 2) / 2, 3])
    assert_close(problem.average_pool(True).ravel(), [(0 + 1 + 2) / 3, 3])


def test_forward_kernels_leave_the_images_alone(problem):
    problem.X.setflags(write=False)
    problem.max_pool()
    problem.average_pool(False)


def test_max_pool_backward_leaves_the_gradient_alone(problem):
    problem.dY.setflags(write=False)
    problem.max_pool_backward(problem.max_pool()[1])
