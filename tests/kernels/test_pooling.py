"""Tests of the pooling kernels against naive loops."""

import numpy as np
import pytest
import reference
from compiled_kernels import NUMBA, needs_numba
from reference import NO_PADDING, GarbageMemory, KeptMemory, assert_close, garbage
from seeds import generator

from skcnn.kernels.pooling import average_pool_backward, average_pool_forward, max_pool_positions
from skcnn.kernels.table import NUMPY
from skcnn.kernels.windows import sliding_windows

# image size, window, strides, padding, dilation, ceil mode, images, channels
GEOMETRIES = [
    ((6, 8), (3, 2), (1, 1), ((2, 2), (1, 1)), (2, 3), False, 2, 3),  # padding, and windows that overlap
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
    ((5, 6), (1, 1), (2, 3), NO_PADDING, (2, 5), False, 2, 2),  # windows of one pixel have no dilation
    ((5, 6), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), False, 2, 2),  # as many windows as pixels
    ((6, 5), (3, 2), (2, 2), ((2, 0), (0, 1)), (1, 1), False, 2, 3),  # padding on one side only
    ((6, 5), (3, 2), (2, 2), ((2, 0), (0, 1)), (1, 1), True, 2, 3),
    ((7, 7), (3, 3), (3, 3), ((1, 1), (2, 2)), (1, 1), True, 2, 1),  # a window beyond padding on both sides
    ((2, 3), (5, 4), (2, 1), ((4, 3), (2, 3)), (1, 1), True, 2, 2),  # windows larger than the image
    ((1, 1), (3, 3), (1, 1), ((1, 1), (2, 0)), (1, 1), False, 2, 2),
    ((1, 7), (1, 3), (1, 2), ((0, 0), (1, 1)), (1, 1), True, 2, 2),
    ((7, 6), (2, 2), (2, 2), NO_PADDING, (2, 2), False, 2, 2),  # every other pixel
    ((7, 6), (2, 2), (2, 2), NO_PADDING, (2, 1), True, 2, 2),
    ((5, 9), (2, 3), (3, 2), ((1, 0), (0, 3)), (3, 2), True, 2, 1),
    ((3, 4), (2, 2), (1, 1), ((1, 1), (2, 2)), (2, 3), False, 2, 2),  # a pixel or two of each on the image
    ((1, 9), (1, 3), (1, 1), NO_PADDING, (5, 4), False, 2, 2),
]


class Problem:
    """Random images and output gradient of a geometry, the kernels on garbage, and the naive answers."""

    def __init__(self, geometry, dtype=np.float64):
        size, window, strides, padding, dilation, ceil_mode, n_images, channels = geometry
        options = {"strides": strides, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
        self.where = {"window": window} | options
        self.windows = sliding_windows(size, window, **options)
        self.X = generator(5).standard_normal((*size, n_images, channels)).astype(dtype)
        naive = reference.NaiveWindows(size, window, **options)
        self.areas = {counts: naive.areas(with_padding=counts) for counts in (False, True)}
        self.shape = (*naive.counts, n_images, channels)
        self.dY = generator(6).standard_normal(self.shape).astype(dtype)
        self.scratch = GarbageMemory(dtype)

    def check_max_pool(self, kernels=NUMPY):
        """Maxima must be exact; gradients are sums of a few terms."""
        maxima = reference.max_pool(self.X, **self.where)
        for is_rectified in (False, True):
            kernel, kept = kernels.max_pool(self.windows, is_rectified), KeptMemory(self.X.dtype)
            expected = np.maximum(maxima, 0) if is_rectified else maxima
            dY = np.where(maxima > 0, self.dY, 0) if is_rectified else self.dY
            for memory in (None, kept):
                out = garbage(self.shape, self.X.dtype)
                assert kernel.forward(self.X, out, self.scratch, memory) is out
                np.testing.assert_array_equal(out, expected)
            dX = garbage(self.X.shape, self.X.dtype)
            assert kernel.backward(self.dY.copy(), dX, self.scratch, kept) is dX
            assert_close(dX, reference.max_pool_backward(self.X, dY, **self.where))

    def average_pool(self, areas):
        out = garbage(self.shape, self.X.dtype)
        assert average_pool_forward(self.X, out, areas, self.windows, self.scratch) is out
        return out

    def check_average_pool(self):
        self.X.setflags(write=False)
        for counts, areas in self.areas.items():
            where = self.where | {"count_include_pad": counts}
            assert_close(self.average_pool(areas), reference.avg_pool(self.X, **where))
            dX = garbage(self.X.shape, self.X.dtype)
            assert average_pool_backward(self.dY.copy(), dX, areas, self.windows, self.scratch) is dX
            assert_close(dX, reference.avg_pool_backward(self.X, self.dY, **where))


each_geometry = pytest.mark.parametrize(
    ("geometry", "dtype"),
    [*((geometry, np.float64) for geometry in GEOMETRIES), (GEOMETRIES[0], np.float32)],
)


each_backend = pytest.mark.parametrize(
    "kernels", [NUMPY, pytest.param(NUMBA, marks=needs_numba)], ids=["numpy", "numba"]
)


@each_backend
@each_geometry
def test_max_pool_is_the_naive_one(geometry, dtype, kernels):
    """Rounded images have many ties, and negative ones no maximum that is the zero of a padding."""
    for change in (np.array, np.round, lambda X: -1 - np.abs(X)):
        problem = Problem(geometry, dtype)
        problem.X = change(problem.X)
        problem.check_max_pool(kernels)


@each_backend
@pytest.mark.parametrize("geometry", [GEOMETRIES[1], GEOMETRIES[4]], ids=["pairs", "others"])
def test_a_missing_value_stays_one(geometry, kernels):
    problem = Problem(geometry)
    problem.X[1, 0, 0, 0] = np.nan
    out = garbage(problem.shape, problem.X.dtype)
    kernel = kernels.max_pool(problem.windows, rectified=True)
    kernel.forward(problem.X, out, problem.scratch, None)
    assert np.isnan(out).sum() == np.isnan(out[0, 0, 0, 0]) == 1


@each_backend
def test_max_pool_of_windows_with_more_columns_than_a_byte_counts(kernels):
    """Maxima at columns beyond 255 need a wider type."""
    problem = Problem(((2, 520), (2, 260), (2, 260), NO_PADDING, (1, 1), False, 2, 2))
    problem.X[1, 259] = problem.X[1, 519] = 9  # the last column of each window
    positions = max_pool_positions(problem.scratch, problem.windows, 2, 2)
    assert [array.dtype for array in positions] == [np.uint16, bool]
    problem.check_max_pool(kernels)


def test_max_pool_keeps_values_that_are_all_minus_infinity():
    for length in (2, 3):
        problem = Problem(((length, 6), (length, length), (length, length), NO_PADDING, (1, 1), False, 1, 1))
        problem.X[:, :-1] = -np.inf
        problem.check_max_pool()


@each_geometry
def test_average_pool_is_the_naive_one(geometry, dtype):
    Problem(geometry, dtype).check_average_pool()


def test_average_pool_with_padding_by_hand():
    """Pixels 1 to 4 in a row, windows of three from one pixel before them: [pad 1 2], [2 3 4]."""
    problem = Problem(((1, 4), (1, 3), (1, 2), ((0, 0), (1, 0)), (1, 1), False, 1, 1))
    problem.X = np.arange(1.0, 5).reshape(1, 4, 1, 1)
    for counts, expected in [(False, [(1 + 2) / 2, 3]), (True, [(0 + 1 + 2) / 3, 3])]:
        assert_close(problem.average_pool(problem.windows.areas(with_padding=counts)).ravel(), expected)
