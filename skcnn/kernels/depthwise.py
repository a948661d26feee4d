"""Convolution of each channel by itself: one pass over the images for each position in the window."""

from math import prod

import numpy as np

from skcnn.kernels.base import ConvolutionKernel
from skcnn.kernels.channelwise import channelwise
from skcnn.kernels.reductions import channel_sums


class DepthwiseKernel(ConvolutionKernel):
    """Convolution with as many groups as channels: each channel has filters of its own."""

    @property
    def gradient_shape(self):
        """Shape of the memory that collects the gradients of the filters, with a row for the bias."""
        return (prod(self.windows.size) + self.has_bias, self.filters)

    @property
    def multiplier(self):
        """Number of filters of a channel."""
        return self.filters // self.channels

    def scratch_size(self):
        """Return the size of the products, and of the repeated channels if each has several filters."""
        repeated = prod(self.windows.image_size) * self.filters if self.multiplier > 1 else 0
        return prod(self.windows.counts) * self.filters + repeated

    def prepare(self, weight, bias, memory, *, training):
        """Return the filters as a matrix, shape (kh * kw, filters), and the bias."""
        return weight.reshape(-1, self.filters), bias

    def gradients(self, total, scratch):
        """Return the gradients of weight and bias."""
        weight = total[: prod(self.windows.size)].reshape(*self.windows.size, 1, self.filters)
        return weight, total[-1] if self.has_bias else None

    def forward(self, X, prepared, out, scratch, kept):
        filters, bias = prepared
        X = self._repeat(X, scratch)
        out.fill(0)
        for weight, (where, pixels) in zip(filters, self.windows.overlaps(), strict=True):
            results = out[where]
            products = self._products(results.shape, scratch)
            np.multiply(X[pixels], along_rows(weight, results.shape), out=products)
            np.add(results, products, out=results)
        return channelwise(np.add, out, bias, out=out) if self.has_bias else out

    def backward(self, X, dY, prepared, gradient, out, scratch, kept):
        filters, _ = prepared
        if self.has_bias:
            gradient[-1] = channel_sums(dY)
        X = self._repeat(X, scratch)
        by_position = gradient[: len(filters)]
        for of_position, (where, pixels) in zip(by_position, self.windows.overlaps(), strict=True):
            products = self._products(dY[where].shape, scratch)
            if products.size:
                np.multiply(X[pixels], dY[where], out=products)
                of_position[...] = channel_sums(products)
            else:
                of_position.fill(0)
        if out is None:
            return None
        dX = out if self.multiplier == 1 else X  # overwrites the repeated channels
        dX.fill(0)
        for weight, (where, pixels) in zip(filters, self.windows.overlaps(), strict=True):
            products = self._products(dY[where].shape, scratch)
            np.multiply(dY[where], along_rows(weight, products.shape), out=products)
            np.add(dX[pixels], products, out=dX[pixels])
        return out if dX is out else self._sum_repeated(dX, out)

    def _products(self, shape, scratch):
        """Return memory for products with the pixels of one position in the windows."""
        largest = scratch("products", (prod(self.windows.counts) * shape[2] * self.filters,))
        return largest[: prod(shape)].reshape(shape)

    def _repeat(self, X, scratch):
        """Return the images with each channel repeated for its filters."""
        if self.multiplier == 1:
            return X
        repeated = scratch("repeated", (*X.shape, self.multiplier))
        np.copyto(repeated, X[..., np.newaxis])
        return repeated.reshape(*X.shape[:3], self.filters)

    def _sum_repeated(self, X, out):
        """Add up the repetitions of each channel."""
        repetitions = X.reshape(*out.shape, self.multiplier)
        np.copyto(out, repetitions[..., 0])
        for number in range(1, self.multiplier):  # a sum over a short last axis is slow
            np.add(out, repetitions[..., number], out=out)
        return out


def along_rows(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights of the channels, repeated along a row of pixels to make inner loops long."""
    return np.tile(weight, prod(shape[1:3])).reshape(shape[1:])
