"""Tests of the kernels that convolve each channel by itself, against naive loops."""

import numpy as np
import pytest
import reference
from reference import NO_PADDING, assert_close, garbage

from skcnn.kernels.depthwise import (
    depthwise_backward_images,
    depthwise_backward_weight,
    depthwise_forward,
)
from skcnn.kernels.windows import sliding_windows

# image size, kernel size, strides, padding, dilation, images, channels
GEOMETRIES = [
    ((5, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 3, 2),
    ((6, 6), (3, 3), (2, 2), ((0, 1), (0, 1)), (1, 1), 2, 3),  # "same" of an even size: asymmetric
    ((7, 5), (2, 3), (1, 2), NO_PADDING, (1, 1), 2, 1),
    ((1, 9), (1, 3), (1, 1), ((0, 0), (1, 1)), (1, 1), 4, 2),
    ((9, 1), (4, 1), (3, 1), ((2, 0), (0, 0)), (1, 1), 1, 5),
    ((8, 7), (2, 2), (3, 4), NO_PADDING, (1, 1), 2, 2),  # strides larger than the kernel skip pixels
    ((4, 5), (4, 5), (1, 1), NO_PADDING, (1, 1), 3, 2),  # kernel as large as the image
    ((3, 3), (5, 4), (1, 1), ((2, 2), (3, 0)), (1, 1), 2, 2),  # kernel larger than the image
    ((3, 4), (2, 2), (1, 1), ((3, 0), (0, 4)), (1, 1), 2, 1),  # windows that see padding only
    ((1, 1), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, 2),  # eight positions never meet the image
    ((1, 1), (1, 1), (1, 1), NO_PADDING, (1, 1), 1, 1),
    ((7, 8), (3, 2), (1, 1), ((2, 2), (1, 0)), (2, 3), 2, 2),
    ((9, 7), (3, 3), (2, 3), ((1, 2), (0, 3)), (3, 2), 2, 3),
    ((3, 3), (2, 2), (1, 1), ((2, 2), (2, 2)), (4, 4), 2, 1),  # one pixel of the image at most
]


@pytest.fixture(params=GEOMETRIES, ids=str)
def geometry(request):
    return request.param


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def problem(geometry, request):
    return Problem(geometry, request.param)


class Problem:
    """Random images, weight and output gradient of a geometry; all of them must stay as they are."""

    def __init__(self, geometry, dtype):
        size, kernel_size, strides, padding, dilation, n_images, channels = geometry
        self.where = {"strides": strides, "padding": padding, "dilation": dilation}
        self.windows = sliding_windows(size, kernel_size, **self.where)
        rng = np.random.default_rng(7)
        self.X = rng.standard_normal((*size, n_images, channels)).astype(dtype)
        self.weight = rng.standard_normal((*kernel_size, channels, 1)).astype(dtype)
        self.matrix = self.weight.reshape(-1, channels)
        self.Y = reference.depthwise_conv2d(self.X, self.weight, **self.where)
        self.dY = rng.standard_normal(self.Y.shape).astype(dtype)
        self.dX, self.dweight, _ = reference.depthwise_conv2d_backward(
            self.X, self.weight, self.dY, **self.where
        )
        for array in (self.X, self.matrix, self.dY):
            array.setflags(write=False)

    def garbage(self, like):
        return garbage(like.shape, self.X.dtype)


def test_forward_is_the_naive_convolution(problem):
    out, products = problem.garbage(problem.Y), problem.garbage(problem.Y)
    assert depthwise_forward(problem.X, problem.matrix, out, products, problem.windows) is out
    assert_close(out, problem.Y)


def test_weight_gradient_is_the_naive_one(problem):
    out, products = problem.garbage(problem.matrix), problem.garbage(problem.Y)
    assert depthwise_backward_weight(problem.X, problem.dY, out, products, problem.windows) is out
    assert_close(out, problem.dweight.reshape(out.shape))


def test_image_gradient_is_the_naive_one(problem):
    dX, products = problem.garbage(problem.X), problem.garbage(problem.Y)
    assert depthwise_backward_images(problem.matrix, problem.dY, dX, products, problem.windows) is dX
    assert_close(dX, problem.dX)


def test_a_channel_never_reaches_another(problem):
    """Bit for bit the same results for a channel, whatever the others hold."""
    channels = problem.X.shape[-1]
    whole = depthwise_forward(
        problem.X, problem.matrix, problem.garbage(problem.Y), problem.garbage(problem.Y), problem.windows
    )
    for channel in range(channels):
        X = np.ascontiguousarray(problem.X[..., channel : channel + 1])
        out, products = problem.garbage(problem.Y[..., :1]), problem.garbage(problem.Y[..., :1])
        depthwise_forward(X, problem.matrix[:, channel : channel + 1], out, products, problem.windows)
        np.testing.assert_array_equal(out[..., 0], whole[..., channel])


@pytest.mark.parametrize("shape", [(3, 3), (2, 5)], ids=str)
def test_a_kernel_with_a_single_one_shifts_the_images(shape):
    """By hand: a one at the left of the middle moves pixels to the right, and a zero comes in."""
    X = np.arange(1.0, 1 + np.prod(shape)).reshape(*shape, 1, 1)
    windows = sliding_windows(shape, (1, 3), strides=(1, 1), padding="same")
    out = depthwise_forward(X, np.array([[1.0], [0.0], [0.0]]), garbage(X.shape), garbage(X.shape), windows)
    np.testing.assert_array_equal(out[:, 1:], X[:, :-1])
    assert (out[:, 0] == 0).all()
