"""Tests of the ways to compute a convolution against naive loops."""

import numpy as np
import pytest
import reference
from compiled_kernels import COMPILED_CONVOLUTIONS
from reference import GarbageMemory, KeptMemory, assert_close, garbage
from scipy.signal import correlate
from seeds import generator

from skcnn.kernels.base import ConvolutionKernel
from skcnn.kernels.columns import ColumnsKernel, PointwiseKernel
from skcnn.kernels.convolution import convolution_kernel
from skcnn.kernels.depthwise import DepthwiseKernel
from skcnn.kernels.windows import sliding_windows
from skcnn.kernels.winograd import WinogradKernel

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
    ((5, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2, 3, 2, 2),  # from here on a group for each channel
    ((6, 6), (3, 3), (2, 2), ((0, 1), (0, 1)), (1, 1), 3, 2, 3, 6),
    ((9, 1), (4, 1), (3, 1), ((2, 0), (0, 0)), (1, 1), 5, 1, 5, 5),
    ((3, 3), (5, 4), (1, 1), ((2, 2), (3, 0)), (1, 1), 2, 2, 2, 2),
    ((3, 4), (2, 2), (1, 1), ((3, 0), (0, 4)), (1, 1), 2, 2, 2, 4),
    ((1, 1), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2, 1, 2, 2),  # eight positions never meet the image
    ((9, 7), (3, 3), (2, 3), ((1, 2), (0, 3)), (3, 2), 3, 2, 3, 3),
    ((7, 6), (1, 1), (2, 3), NONE, (1, 1), 1, 2, 3, 4),  # windows of one pixel, some apart
    ((2, 9), (1, 1), (5, 1), NONE, (1, 1), 1, 3, 2, 1),
    ((8, 12), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, 2, 3, 5),  # whole tiles of four results
    ((9, 6), (3, 3), (1, 1), ((0, 2), (2, 1)), (1, 1), 1, 3, 2, 2),
    ((3, 3), (3, 3), (1, 1), NONE, (1, 1), 1, 2, 4, 3),  # a single result
    ((1, 1), (3, 3), (1, 1), ((2, 2), (2, 2)), (1, 1), 1, 2, 2, 3),
    ((6, 10), (3, 3), (1, 1), NONE, (1, 1), 1, 1, 4, 2),
]


NUMPY_KERNELS = [ColumnsKernel, PointwiseKernel, DepthwiseKernel, WinogradKernel]
KERNELS = NUMPY_KERNELS + COMPILED_CONVOLUTIONS


def can_compute(kind, geometry):
    """Whether a kernel is made for a geometry."""
    _, size, strides, padding, dilation, groups, _, channels, filters = geometry
    if kind.__name__ == "CompiledDepthwise" and filters > channels:
        return False
    can = {
        ColumnsKernel: True,
        PointwiseKernel: size == (1, 1) and padding == NONE and groups == 1,
        DepthwiseKernel: groups == channels,
        WinogradKernel: size == (3, 3) and strides == dilation == (1, 1) and groups == 1,
    }
    return next(value for base, value in can.items() if issubclass(kind, base))


ROWS = [(kind, geometry) for kind in KERNELS for geometry in GEOMETRIES if can_compute(kind, geometry)]


class Problem:
    """Random images, weight, bias and gradient of the result of a geometry, and a kernel to compute with."""

    def __init__(self, kind, geometry, dtype=np.float64, *, has_bias=True):
        size, kernel_size, strides, padding, dilation, groups, n_images, channels, filters = geometry
        self.where = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
        windows = sliding_windows(size, kernel_size, strides=strides, padding=padding, dilation=dilation)
        self.kernel = kind(windows, channels, filters, groups, has_bias)
        self.scratch, self.kept = GarbageMemory(dtype), KeptMemory(dtype)
        rng = generator(7)
        self.X = rng.standard_normal((*size, n_images, channels)).astype(dtype)
        self.weight = rng.standard_normal((*kernel_size, channels // groups, filters)).astype(dtype)
        self.dY = rng.standard_normal((*windows.counts, n_images, filters)).astype(dtype)
        self.bias = rng.standard_normal(filters).astype(dtype)
        memory = KeptMemory(dtype)
        bias = self.bias if has_bias else None
        self.prepared = self.kernel.prepare(self.weight, bias, memory, training=True)
        if kind in NUMPY_KERNELS:  # others would be compiled for such arrays, too
            for array in (self.X, self.weight, self.dY):
                array.setflags(write=False)

    def forward(self):
        out = garbage(self.dY.shape, self.X.dtype)
        assert self.kernel.forward(self.X, self.prepared, out, self.scratch, self.kept) is out
        return out

    def backward(self, *, want_images=True):
        """Return the gradients of images, weight and bias, after a forward pass, in memory full of NaN."""
        self.forward()
        self.total = gradient = garbage(self.kernel.gradient_shape, self.X.dtype)
        out = garbage(self.X.shape, self.X.dtype) if want_images else None
        X = self.X if self.kernel.reads_images else None
        dX = self.kernel.backward(X, self.dY, self.prepared, gradient, out, self.scratch, self.kept)
        assert dX is out
        return dX, *self.kernel.gradients(gradient, GarbageMemory(self.X.dtype))


each_row = pytest.mark.parametrize(("kind", "geometry"), ROWS)


def test_each_kernel_has_rows():
    assert {kind for kind, _ in ROWS} == set(KERNELS)
    assert set(NUMPY_KERNELS) == set(ConvolutionKernel.__subclasses__())
    assert min(sum(kind is other for other, _ in ROWS) for kind in KERNELS) >= 4


FIRST_ROWS = dict(reversed(ROWS))


@pytest.mark.parametrize(
    ("kind", "geometry", "dtype"),
    [*((*row, np.float64) for row in ROWS), *((*row, np.float32) for row in FIRST_ROWS.items())],
)
def test_results_and_gradients_are_the_naive_ones(kind, geometry, dtype):
    """In memory full of NaN."""
    problem = Problem(kind, geometry, dtype)
    arrays = problem.X, problem.weight
    assert_close(problem.forward(), reference.conv2d(*arrays, problem.bias, **problem.where))
    expected = reference.conv2d_backward(*arrays, problem.dY, **problem.where)
    for actual, naive in zip(problem.backward(), expected, strict=True):
        assert_close(actual, naive)
    assert np.isfinite(problem.total).all()  # or to add up those of chunks would warn


@each_row
def test_without_a_bias_all_else_is_the_same(kind, geometry):
    problem, biased = Problem(kind, geometry, has_bias=False), Problem(kind, geometry)
    assert_close(problem.forward() + problem.bias, biased.forward())
    dX, weight_gradient, bias_gradient = problem.backward()
    expected_dX, expected_weight_gradient, _ = biased.backward()
    assert_close(dX, expected_dX)
    assert_close(weight_gradient, expected_weight_gradient)
    assert bias_gradient is None


@each_row
def test_without_a_gradient_of_the_images_the_others_are_the_same(kind, geometry):
    problem = Problem(kind, geometry)
    dX, *gradients = problem.backward(want_images=False)
    assert dX is None
    for gradient, expected in zip(gradients, problem.backward()[1:], strict=True):
        np.testing.assert_array_equal(gradient, expected)


@each_row
def test_scratch_memory_is_about_what_was_announced(kind, geometry):
    """Chunks of images are cut by it; arrays of the size of the weight or of a block are left out."""
    asked = {}
    is_compiled = kind in COMPILED_CONVOLUTIONS
    fixed = {"share", "tiles", "products", "halfway", "runs"} if is_compiled else {"band products"}

    class NotingMemory(GarbageMemory):
        def __call__(self, name, shape, dtype=None):
            if name not in fixed:
                asked[name] = max(asked.get(name, 0), int(np.prod(shape)))
            return super().__call__(name, shape, dtype)

    problem = Problem(kind, geometry)
    problem.scratch = problem.kept = NotingMemory(np.float64)
    problem.forward()
    problem.backward()
    announced = problem.kernel.scratch_size() * problem.X.shape[2]
    assert 0.7 * sum(asked.values()) <= announced <= 1.5 * sum(asked.values())


@pytest.mark.parametrize(
    ("kind", "size", "channels", "filters", "groups"),
    [
        (WinogradKernel, (3, 3), 64, 48, 1),
        (ColumnsKernel, (3, 3), 64, 48, 1),
        (ColumnsKernel, (5, 5), 16, 32, 2),
        (PointwiseKernel, (1, 1), 128, 64, 1),
        (DepthwiseKernel, (3, 3), 64, 64, 64),
        *(
            (kind, (3, 3), 64, 64, 64 if issubclass(kind, DepthwiseKernel) else 1)
            for kind in COMPILED_CONVOLUTIONS
        ),
    ],
)
def test_errors_in_float32_stay_below_a_hundred_thousandth(kind, size, channels, filters, groups):
    """Of the largest result, with sums over hundreds of terms."""
    padding = tuple(((length - 1) // 2,) * 2 for length in size)
    problem = Problem(
        kind, ((17, 14), size, (1, 1), padding, (1, 1), groups, 4, channels, filters), np.float32
    )
    padded = np.pad(problem.X.astype(float), [*padding, (0, 0), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(0, 1))
    by_group = windows.reshape(*windows.shape[:3], groups, -1, *size)
    weight = problem.weight.astype(float).reshape(*size, channels // groups, groups, -1)
    expected = np.einsum("hwngcuv,uvcgf->hwngf", by_group, weight, optimize=True).reshape(problem.dY.shape)
    dY = problem.dY.astype(float).reshape(*problem.dY.shape[:3], groups, -1)
    expected_gradient = np.einsum("hwngcuv,hwngf->uvcgf", by_group, dY, optimize=True)
    expected += problem.bias
    for actual, exact in [
        (problem.forward(), expected),
        (problem.backward()[1], expected_gradient.reshape(problem.weight.shape)),
    ]:
        assert 0 < np.abs(actual - exact).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("expected", "where"),
    [
        (WinogradKernel, {}),
        (WinogradKernel, {"padding": "valid"}),
        (WinogradKernel, {"filters": 16, "channels": 16, "image_size": (4, 5)}),
        (ColumnsKernel, {"channels": 3}),
        (ColumnsKernel, {"filters": 10}),
        (ColumnsKernel, {"image_size": (3, 30)}),
        (ColumnsKernel, {"strides": (1, 2)}),
        (ColumnsKernel, {"dilation": (2, 2)}),
        (ColumnsKernel, {"groups": 2}),
        (ColumnsKernel, {"size": (3, 5)}),
        (DepthwiseKernel, {"groups": 32}),
        (DepthwiseKernel, {"groups": 32, "filters": 64, "size": (5, 5), "strides": (2, 2)}),
        (PointwiseKernel, {"size": (1, 1)}),
        (PointwiseKernel, {"size": (1, 1), "strides": (2, 2), "channels": 1, "filters": 1}),
        (ColumnsKernel, {"size": (1, 1), "padding": 1}),
    ],
)
def test_which_kernel_computes_what(expected, where):
    defaults = {"image_size": (12, 12), "size": (3, 3), "strides": (1, 1), "padding": "same"}
    where = defaults | {"channels": 32, "filters": 32, "groups": 1, "has_bias": True} | where
    numbers = [where.pop(name) for name in ("channels", "filters", "groups", "has_bias")]
    kernel = convolution_kernel(sliding_windows(**where), *numbers)
    assert type(kernel) is expected
    assert [kernel.channels, kernel.filters, kernel.groups, kernel.has_bias] == numbers


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

    rng = generator(3)
    X, weight = rng.standard_normal((6, 7, 2, 4)), rng.standard_normal((3, 2, 2, 4))
    where = {"strides": (2, 1), "padding": ((1, 2), (0, 3)), "dilation": (2, 1), "groups": 2}

    def test_is_the_correlation_of_scipy(self):
        """Of padded images and of kernels with zeros between their pixels, group by group."""
        padded = np.pad(self.X, [*self.where["padding"], (0, 0), (0, 0)])
        spread = np.zeros((5, 2, 2, 4))
        spread[::2] = self.weight
        halves = [correlation_of_scipy(padded[..., i : i + 2], spread[..., i : i + 2]) for i in (0, 2)]
        Y = reference.conv2d(self.X, self.weight, **self.where)
        assert_close(Y, np.concatenate(halves, axis=-1)[::2])

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
        where, weight = self.where, self.weight
        dY = self.rng.standard_normal(reference.conv2d(self.X, weight, **where).shape)
        dX, dweight, dbias = reference.conv2d_backward(self.X, weight, dY, **where)
        other_X, other_weight = self.rng.standard_normal(self.X.shape), self.rng.standard_normal(weight.shape)
        for result, gradient, direction in [
            (reference.conv2d(other_X, weight, **where), dX, other_X),
            (reference.conv2d(self.X, other_weight, **where), dweight, other_weight),
        ]:
            np.testing.assert_allclose(np.vdot(dY, result), np.vdot(gradient, direction), rtol=1e-12)
        assert_close(dbias, [dY[..., f].sum() for f in range(4)])
