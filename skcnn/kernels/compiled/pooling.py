"""Maximum of windows in one pass over the images, with the position of each maximum in one byte."""

from math import prod

import numpy as np

from skcnn.kernels.base import MaxPoolKernel
from skcnn.kernels.compiled.jit import compiled, geometry_of, index
from skcnn.kernels.pooling import NumpyMaxPool

STOPPED = 255
"""Position of a maximum that the rectifier stops; the positions in a window are numbers below it."""


def max_pool_kernel(windows, rectified: bool) -> MaxPoolKernel:
    """Return a compiled kernel, or numpy's for windows of more pixels than a byte can number."""
    return (CompiledMaxPool if prod(windows.size) <= STOPPED else NumpyMaxPool)(windows, rectified)


class CompiledMaxPool(MaxPoolKernel):
    """Maximum of windows; images are arrays of shape (height, width, lanes)."""

    def forward(self, X, out, scratch, kept):
        *size, n_images, channels = out.shape
        memory = scratch if kept is None else kept  # to leave positions out of prediction saves no time
        positions = memory("positions", (out.size,), np.uint8)
        X, Y, lanes = X.reshape(-1), out.reshape(-1), n_images * channels
        if self.windows.are_pairs == (True, True):
            max_of_pairs(X, Y, positions, self.windows.image_size, tuple(size), lanes, self.rectified)
        else:
            max_of_windows(X, Y, positions, *geometry_of(self.windows), lanes, self.rectified)
        return out

    def backward(self, dY, dX, scratch, kept):
        positions = kept("positions", (dY.size,), np.uint8)
        arguments = dY.reshape(-1), positions, dX.reshape(-1)
        lanes = prod(dY.shape[2:])
        if self.windows.are_pairs == (True, True):
            spread_to_pairs(*arguments, self.windows.image_size, self.windows.counts, lanes)
        else:
            spread_to_windows(*arguments, *geometry_of(self.windows), lanes)
        return dX


@compiled
def max_of_pairs(X, Y, positions, image_size, counts, lanes, rectified):
    """Write the maxima of windows of 2x2 pixels, and their positions in row order."""
    m, row = index(lanes), index(image_size[1] * lanes)
    for i in range(counts[0]):
        for j in range(counts[1]):
            a = index((2 * i * image_size[1] + 2 * j) * lanes)
            y = index((i * counts[1] + j) * lanes)
            max_of_four(X, Y, positions, a, row, y, m)
            if rectified:
                stop_negative(Y, positions, y, m)


@compiled
def stop_negative(Y, positions, y, m):
    """Write zeros over negative maxima, and that their gradients go nowhere."""
    zero, stopped = Y.dtype.type(0), np.uint8(STOPPED)
    for k in range(m):
        is_stopped = Y[y + k] <= zero
        positions[y + k] = stopped if is_stopped else positions[y + k]
        Y[y + k] = zero if is_stopped else Y[y + k]


@compiled
def max_of_four(X, Y, positions, a, row, y, m):
    """Write the maxima of four runs of pixels; a missing value is larger than any other, as in numpy."""
    for k in range(m):
        first, second = X[a + k], X[a + m + k]
        third, fourth = X[a + row + k], X[a + row + m + k]
        is_second = (second > first) | (second != second)
        is_fourth = (fourth > third) | (fourth != fourth)
        upper = second if is_second else first
        lower = fourth if is_fourth else third
        is_lower = (lower > upper) | (lower != lower)
        above = np.uint8(1) if is_second else np.uint8(0)
        below = np.uint8(3) if is_fourth else np.uint8(2)
        Y[y + k] = lower if is_lower else upper
        positions[y + k] = below if is_lower else above


@compiled
def spread_to_pairs(dY, positions, dX, image_size, counts, lanes):
    """Write the gradients of windows of 2x2 pixels to their maxima, and zeros elsewhere."""
    height, width = image_size
    m, row = index(lanes), index(width * lanes)
    for i in range(counts[0]):
        for j in range(counts[1]):
            a = index((2 * i * width + 2 * j) * lanes)
            y = index((i * counts[1] + j) * lanes)
            for number, x in enumerate((a, a + m, a + row, a + row + m)):
                write_where(dY, positions, dX, y, x, m, np.uint8(number))
        for x in range((2 * i * width + 2 * counts[1]) * lanes, (2 * i + 1) * width * lanes):
            dX[x] = 0
            dX[x + width * lanes] = 0
    for x in range(2 * counts[0] * width * lanes, height * width * lanes):
        dX[x] = 0


@compiled
def write_where(dY, positions, dX, y, x, m, number):
    """Write the gradients whose maximum is at a position, and zeros for the others."""
    zero = dY.dtype.type(0)
    for k in range(m):
        dX[x + k] = dY[y + k] if positions[y + k] == number else zero


@compiled
def add_where(dY, positions, dX, y, x, m, number):
    """Add the gradients whose maximum is at a position."""
    zero = dY.dtype.type(0)
    for k in range(m):
        dX[x + k] += dY[y + k] if positions[y + k] == number else zero


@compiled
def max_of_windows(X, Y, positions, image_size, size, counts, strides, dilation, start, lanes, rectified):
    """Write the maxima of any windows, and their positions."""
    height, width = image_size
    m = index(lanes)
    for i in range(counts[0]):
        for j in range(counts[1]):
            y = index((i * counts[1] + j) * lanes)
            is_first = True
            for u in range(size[0]):
                for v in range(size[1]):
                    r = i * strides[0] - start[0] + u * dilation[0]
                    s = j * strides[1] - start[1] + v * dilation[1]
                    if r < 0 or r >= height or s < 0 or s >= width:
                        continue
                    x, number = index((r * width + s) * lanes), np.uint8(u * size[1] + v)
                    if is_first:
                        for k in range(m):
                            Y[y + k] = X[x + k]
                            positions[y + k] = number
                    else:
                        take_larger(X, Y, positions, x, y, m, number)
                    is_first = False
            if rectified:
                stop_negative(Y, positions, y, m)


@compiled
def take_larger(X, Y, positions, x, y, m, number):
    """Take a run of pixels and its position where it is larger."""
    for k in range(m):
        is_larger = (X[x + k] > Y[y + k]) | (X[x + k] != X[x + k])
        Y[y + k] = X[x + k] if is_larger else Y[y + k]
        positions[y + k] = number if is_larger else positions[y + k]


@compiled
def spread_to_windows(dY, positions, dX, image_size, size, counts, strides, dilation, start, lanes):
    """Add the gradients of any windows to their maxima."""
    height, width = image_size
    m = index(lanes)
    dX[:] = 0
    for i in range(counts[0]):
        for j in range(counts[1]):
            y = index((i * counts[1] + j) * lanes)
            for u in range(size[0]):
                for v in range(size[1]):
                    r = i * strides[0] - start[0] + u * dilation[0]
                    s = j * strides[1] - start[1] + v * dilation[1]
                    if 0 <= r < height and 0 <= s < width:
                        x, number = index((r * width + s) * lanes), np.uint8(u * size[1] + v)
                        add_where(dY, positions, dX, y, x, m, number)
