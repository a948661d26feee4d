"""Gathered windows, one row of outputs at a time, whose columns stay in a cache if images are no signals."""

from math import prod

import numpy as np

from skcnn.kernels.columns import ColumnsKernel
from skcnn.kernels.compiled.jit import add_matrix, add_run, compiled, copy_run, index


class CompiledColumns(ColumnsKernel):
    """Convolution of any kind by products of filters and the gathered windows of a row of outputs.

    Padded images have shape (channels, height, width, n_images); columns have a row for each input of a
    filter, and a last row of ones for the bias.
    """

    def scratch_size(self):
        """Return the size of the padded image and its gradient, and of the columns of a row of outputs."""
        rows = self.inputs + self.has_bias + self.filters // self.groups
        return 2 * self.channels * prod(self.windows.padded_size) + rows * self.windows.counts[1]

    def forward(self, X, prepared, out, scratch, kept):
        memory = self._memory(scratch, X.shape[2])
        convolve(X, prepared, out, *self._geometry(), *memory)
        return out

    def backward(self, X, dY, prepared, gradient, out, scratch, kept):
        n_images, needs_images = X.shape[2], out is not None
        padded, columns, results = self._memory(scratch, n_images)
        shape = padded.shape if needs_images else (0, 0, 0, 0)
        of_padded, share = scratch("padded gradient", shape), scratch("share", gradient.shape[1:])
        dX, memory = out if needs_images else X, (padded, of_padded, columns, results, share)
        convolve_backward(X, dY, prepared, gradient, dX, needs_images, *self._geometry(), *memory)
        return out

    def _memory(self, scratch, n_images):
        """Return memory for padded images, columns, and the outputs of a group."""
        windows, n_pixels = self.windows, self.windows.counts[1] * n_images
        padded = scratch("padded", (self.channels, *windows.padded_size, n_images))
        columns = scratch("columns", (self.inputs + self.has_bias, n_pixels))
        return padded, columns, scratch("results", (n_pixels, self.filters // self.groups))

    def _geometry(self):
        """Return padding before the images, size, distances and dilation of the windows, and the inputs."""
        windows = self.windows
        (top, _), (left, _) = windows.padding
        return (top, left), windows.size, windows.strides, windows.dilation, self.inputs


@compiled
def convolve(X, filters, Y, start, size, strides, dilation, inputs, padded, columns, results):
    """Write the convolution of X, row by row of outputs."""
    groups, _, n_filters = filters.shape
    out_height, out_width, n_images, total = Y.shape
    n_pixels, channels = out_width * n_images, X.shape[3] // groups
    pad(X, start, padded)
    columns[inputs:] = 1
    Y = Y.reshape(out_height, n_pixels, total)
    for i in range(out_height):
        for group in range(groups):
            gather(padded, group * channels, channels, i, out_width, size, strides, dilation, columns)
            if groups == 1:
                np.dot(columns.T, filters[0], Y[i])
            else:
                np.dot(columns.T, filters[group], results)
                put_columns(results, Y[i], group * n_filters)


@compiled
def convolve_backward(
    X, dY, filters, gradient, dX, needs_images, start, size, strides, dilation, inputs,
    padded, of_padded, columns, results, share,
):  # fmt: skip
    """Write the gradients of filters with bias and, if needed, of X."""
    groups, _, n_filters = filters.shape
    out_height, out_width, n_images, total = dY.shape
    n_pixels, channels = out_width * n_images, X.shape[3] // groups
    pad(X, start, padded)
    columns[inputs:] = 1
    gradient[:] = 0
    of_padded[:] = 0
    dY = dY.reshape(out_height, n_pixels, total)
    for i in range(out_height):
        for group in range(groups):
            gather(padded, group * channels, channels, i, out_width, size, strides, dilation, columns)
            row = dY[i]
            if groups > 1:
                take_columns(row, group * n_filters, results)
                row = results
            np.dot(columns, row, share)
            add_matrix(share, gradient[group])
            if needs_images:
                np.dot(filters[group, :inputs], row.T, columns[:inputs])
                scatter(columns, group * channels, channels, i, out_width, size, strides, dilation, of_padded)
    if needs_images:
        cut(of_padded, start, dX)


@compiled
def put_columns(A, B, first):
    """Write a matrix to columns of another one; assigning to a slice takes five seconds to compile."""
    for row in range(A.shape[0]):
        for k in range(A.shape[1]):
            B[row, first + k] = A[row, k]


@compiled
def take_columns(A, first, B):
    """Write columns of a matrix to another one."""
    for row in range(B.shape[0]):
        for k in range(B.shape[1]):
            B[row, k] = A[row, first + k]


@compiled
def pad(X, start, padded):
    """Write images channel by channel, with zeros around them."""
    height, width, n_images, channels = X.shape
    X = X.reshape(X.size)
    for channel in range(channels):
        for y in range(padded.shape[1]):
            for x in range(padded.shape[2]):
                row, column, out = y - start[0], x - start[1], padded[channel, y, x]
                if 0 <= row < height and 0 <= column < width:
                    at = index((row * width + column) * n_images * channels + channel)
                    for k in range(index(n_images)):
                        out[k] = X[at + k * index(channels)]
                else:
                    out[:] = 0


@compiled
def cut(padded, start, X):
    """Write the images without what is around them, the adjoint of ``pad``."""
    height, width, n_images, channels = X.shape
    X = X.reshape(X.size)
    for row in range(height):
        for column in range(width):
            for channel in range(channels):
                pixels = padded[channel, row + start[0], column + start[1]]
                at = index((row * width + column) * n_images * channels + channel)
                for k in range(index(n_images)):
                    X[at + k * index(channels)] = pixels[k]


@compiled
def gather(padded, first, channels, i, out_width, size, strides, dilation, columns):
    """Write the windows of a row of outputs as columns."""
    _, height, width, n = padded.shape
    padded, columns = padded.reshape(padded.size), columns.reshape(columns.size)
    step, out = strides[1] * n, 0
    for channel in range(first, first + channels):
        for u in range(size[0]):
            for v in range(size[1]):
                row = i * strides[0] + u * dilation[0]
                at = ((channel * height + row) * width + v * dilation[1]) * n
                if step == n:
                    copy_run(padded, index(at), columns, index(out), index(out_width * n))
                else:
                    for j in range(out_width):
                        copy_run(padded, index(at + j * step), columns, index(out + j * n), index(n))
                out += out_width * n


@compiled
def scatter(columns, first, channels, i, out_width, size, strides, dilation, padded):
    """Add columns to the pixels that they were gathered from: the adjoint of ``gather``."""
    _, height, width, n = padded.shape
    padded, columns = padded.reshape(padded.size), columns.reshape(columns.size)
    step, out = strides[1] * n, 0
    for channel in range(first, first + channels):
        for u in range(size[0]):
            for v in range(size[1]):
                row = i * strides[0] + u * dilation[0]
                at = ((channel * height + row) * width + v * dilation[1]) * n
                if step == n:
                    add_run(columns, index(out), padded, index(at), index(out_width * n))
                else:
                    for j in range(out_width):
                        add_run(columns, index(out + j * n), padded, index(at + j * step), index(n))
                out += out_width * n
