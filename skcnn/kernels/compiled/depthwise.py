"""Depthwise convolution in one pass over the outputs, whose runs of lanes stay in the L1 cache."""

import numpy as np

from skcnn.kernels.compiled.jit import compiled, geometry_of, index
from skcnn.kernels.depthwise import DepthwiseKernel
from skcnn.kernels.reductions import channel_sums


class CompiledDepthwise(DepthwiseKernel):
    """Convolution of each channel by one filter of its own; each image and channel is a lane."""

    def scratch_size(self):
        """Return nothing: filters are repeated for a row of lanes."""
        return 0

    def forward(self, X, prepared, out, scratch, kept):
        filters, bias = prepared
        n_images = X.shape[2]
        offsets = np.zeros(n_images * self.filters, X.dtype) if bias is None else np.tile(bias, n_images)
        lanes = np.tile(filters, n_images)
        convolve(X.reshape(-1), lanes, offsets, out.reshape(-1), *geometry_of(self.windows))
        return out

    def backward(self, X, dY, prepared, gradient, out, scratch, kept):
        filters, _ = prepared
        n_images, geometry = X.shape[2], geometry_of(self.windows)
        if self.has_bias:
            gradient[-1] = channel_sums(dY)
        sums = np.zeros((len(filters), n_images * self.filters))
        sum_products(X.reshape(-1), dY.reshape(-1), sums, *geometry)
        gradient[: len(filters)] = sums.reshape(len(filters), n_images, self.filters).sum(axis=1)
        if out is not None:
            spread(dY.reshape(-1), np.tile(filters, n_images), out.reshape(-1), *geometry)
        return out


@compiled
def convolve(X, filters, offsets, Y, image_size, size, counts, strides, dilation, start):
    """Write offsets and the products of each window with the filters."""
    lanes, filters = offsets.size, filters.reshape(filters.size)
    m = index(lanes)
    for i in range(counts[0]):
        for j in range(counts[1]):
            y = index((i * counts[1] + j) * lanes)
            for k in range(m):
                Y[y + k] = offsets[k]
            for u in range(size[0]):
                row = i * strides[0] - start[0] + u * dilation[0]
                if row < 0 or row >= image_size[0]:
                    continue
                for v in range(size[1]):
                    column = j * strides[1] - start[1] + v * dilation[1]
                    if 0 <= column < image_size[1]:
                        x = index((row * image_size[1] + column) * lanes)
                        add_products(X, x, filters, index((u * size[1] + v) * lanes), Y, y, m)


@compiled
def add_products(A, a, B, b, C, c, n):
    """Add the products of n elements of A and of B to C."""
    for k in range(n):
        C[c + k] += A[a + k] * B[b + k]


@compiled
def sum_products(X, dY, sums, image_size, size, counts, strides, dilation, start):
    """Add up the products of pixels and gradients, a row of outputs in the dtype of X, rows in float64."""
    lanes = sums.shape[1]
    of_row = np.empty(lanes, X.dtype)
    for i in range(counts[0]):
        for u in range(size[0]):
            row = i * strides[0] - start[0] + u * dilation[0]
            if row < 0 or row >= image_size[0]:
                continue
            for v in range(size[1]):
                of_row[:] = 0
                for j in range(counts[1]):
                    column = j * strides[1] - start[1] + v * dilation[1]
                    if 0 <= column < image_size[1]:
                        x = index((row * image_size[1] + column) * lanes)
                        y = index((i * counts[1] + j) * lanes)
                        add_products(X, x, dY, y, of_row, index(0), index(lanes))
                total = sums[u * size[1] + v]
                for k in range(lanes):
                    total[k] += of_row[k]


@compiled
def spread(dY, filters, dX, image_size, size, counts, strides, dilation, start):
    """Write the gradients of the pixels: the adjoint of ``convolve``."""
    lanes, filters = filters.shape[1], filters.reshape(filters.size)
    dX[:] = 0
    for i in range(counts[0]):
        for j in range(counts[1]):
            y = index((i * counts[1] + j) * lanes)
            for u in range(size[0]):
                row = i * strides[0] - start[0] + u * dilation[0]
                if row < 0 or row >= image_size[0]:
                    continue
                for v in range(size[1]):
                    column = j * strides[1] - start[1] + v * dilation[1]
                    if 0 <= column < image_size[1]:
                        x = index((row * image_size[1] + column) * lanes)
                        add_products(dY, y, filters, index((u * size[1] + v) * lanes), dX, x, index(lanes))
