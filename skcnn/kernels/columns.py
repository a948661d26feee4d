"""Convolution as one matrix product over gathered windows (im2col)."""

from math import prod
from typing import NamedTuple

import numpy as np

from skcnn.kernels.base import ConvolutionKernel
from skcnn.kernels.channelwise import channelwise
from skcnn.kernels.reductions import channel_sums
from skcnn.kernels.windows import PaddedImages

PRODUCT_SIZE = 1_000_000
"""Products with few filters are cut into pieces if they have more multiply-adds than this. By measurement,
some BLAS libraries are up to twice as fast on small matrices with few columns, others equally fast."""

FEW_FILTERS = 64
"""Products with more filters per group are not cut: by measurement, that is slower."""


class ColumnsKernel(ConvolutionKernel):
    """Convolution of any kind, as a matrix product of filters and windows, with one column per window.

    The columns have shape (groups, channels / groups * kh * kw, out_height * out_width * n_images), plus a
    last row of ones for the bias. Channels come first, so the gather copies runs of ``out_width * n_images``
    elements.
    """

    @property
    def inputs(self):
        """Number of inputs of a filter: pixels times channels."""
        return self.channels // self.groups * prod(self.windows.size)

    @property
    def filters_shape(self):
        """Shape of the filters as matrices, with a row for the bias."""
        return (self.groups, self.inputs + self.has_bias, self.filters // self.groups)

    @property
    def gradient_shape(self):
        """Shape of the memory that collects the gradients of the filters and of the bias."""
        return self.filters_shape

    def scratch_size(self):
        """Return the size of the columns and of the padded image."""
        windows = self.windows
        rows = self.groups * (self.inputs + self.has_bias)
        return rows * prod(windows.counts) + self.channels * prod(windows.padded_size)

    def prepare(self, weight, bias, memory, *, training):
        """Return the filters as matrices with the bias as the last row, of shape ``filters_shape``."""
        prepared = memory("filters", self.filters_shape)
        height, width, channels, filters = weight.shape
        by_group = weight.reshape(height, width, channels, self.groups, filters // self.groups)
        np.copyto(
            prepared[:, : self.inputs].reshape(self.groups, channels, height, width, -1),
            by_group.transpose(3, 2, 0, 1, 4),
        )
        if self.has_bias:
            prepared[:, -1] = bias.reshape(self.groups, -1)
        return prepared

    def gradients(self, total, scratch):
        """Return the gradients of weight and bias, by the inverse of ``prepare``."""
        channels, filters = self.channels // self.groups, self.filters // self.groups
        by_group = total[:, : self.inputs].reshape(self.groups, channels, *self.windows.size, filters)
        weight = by_group.transpose(2, 3, 1, 0, 4).reshape(*self.windows.size, channels, self.filters)
        return weight, total[:, -1].reshape(-1) if self.has_bias else None

    def forward(self, X, prepared, out, scratch, kept):
        columns = self._gather(X, scratch)
        np.matmul(columns.bands.swapaxes(2, 3), prepared, out=self._results(out, columns))
        return out

    def backward(self, X, dY, prepared, gradient, out, scratch, kept):
        columns = self._gather(X, scratch)  # gathered again: by measurement, keeping them takes longer
        dY = self._results(dY, columns)
        if len(columns.bands) == 1:
            np.matmul(columns.bands[0], dY[0], out=gradient)
        else:
            products = scratch("band products", (len(columns.bands), *gradient.shape))
            np.sum(np.matmul(columns.bands, dY, out=products), axis=0, out=gradient)
        if out is None:
            return None
        gradients = columns.bands[:, :, : self.inputs]  # overwrites the columns
        np.matmul(prepared[:, : self.inputs], dY.swapaxes(2, 3), out=gradients)
        return self._scatter(columns, out, scratch)

    def _images(self, scratch, n_images):
        """Return memory for padded images, and views of it."""
        windows = self.windows
        padded = scratch("padded", (self.channels, *windows.padded_size, n_images))
        by_group = padded.reshape(self.groups, -1, *padded.shape[1:])
        group, channel, row, pixel, image = by_group.strides
        strides = (
            group,
            channel,
            row * windows.dilation[0],
            pixel * windows.dilation[1],
            row * windows.strides[0],
            pixel * windows.strides[1],
            image,
        )
        shape = self._window_shape(n_images)
        return _Images(
            padded=PaddedImages(padded.transpose(1, 2, 3, 0), windows.padding),
            by_group=by_group,
            windows=np.lib.stride_tricks.as_strided(by_group, shape, strides, writeable=False),
        )

    def _columns(self, scratch, n_images):
        """Return memory for columns, and views of it."""
        n_pixels, rows = prod(self.windows.counts) * n_images, self.inputs + self.has_bias
        columns = scratch("columns", (self.groups, rows, n_pixels))
        is_large = self.inputs * self.filters * n_pixels > PRODUCT_SIZE
        is_skinny = self.filters // self.groups <= min(FEW_FILTERS, self.windows.counts[1] * n_images)
        n_bands = self.windows.counts[0] if is_large and is_skinny else 1
        gathered = columns[:, : self.inputs].reshape(self._window_shape(n_images))
        return _Columns(
            gathered=gathered,
            ones=columns[:, self.inputs :],
            bands=columns.reshape(self.groups, rows, n_bands, -1).transpose(2, 0, 1, 3),
        )

    def _window_shape(self, n_images):
        windows = self.windows
        return (self.groups, self.channels // self.groups, *windows.size, *windows.counts, n_images)

    def _gather(self, X, scratch):
        """Return the windows of the images as columns."""
        images = scratch.workspace(self._images, X.shape[2])
        columns = scratch.workspace(self._columns, X.shape[2])
        images.padded.write(X)
        np.copyto(columns.gathered, images.windows)
        columns.ones.fill(1)
        return columns

    def _scatter(self, columns, dX, scratch):
        """Add each column to the pixels that it was gathered from: the adjoint of ``_gather``."""
        images = scratch.workspace(self._images, dX.shape[2])
        images.padded.memory.fill(0)
        for (row, column), (rows, along) in zip(
            np.ndindex(self.windows.size), self.windows.positions, strict=True
        ):
            pixels = images.by_group[:, :, rows, along]
            np.add(pixels, columns.gathered[:, :, row, column], out=pixels)
        np.copyto(dX, images.padded.inside)
        return dX

    def _results(self, Y, columns):
        """Return the output as matrices, shape (n_bands, groups, pixels, filters / groups)."""
        by_group = Y.reshape(len(columns.bands), -1, self.groups, self.filters // self.groups)
        return by_group.swapaxes(1, 2)


class _Images(NamedTuple):
    """Memory for padded images, and views of it."""

    padded: PaddedImages
    by_group: np.ndarray
    """The padded images, shape (groups, channels / groups, height, width, n_images)."""
    windows: np.ndarray
    """The windows, shape (groups, channels / groups, kh, kw, out_height, out_width, n_images)."""


class _Columns(NamedTuple):
    """Memory for columns, and views of it."""

    gathered: np.ndarray
    """The columns with the shape of the windows."""
    ones: np.ndarray
    """The last row, which multiplies the bias; empty without a bias."""
    bands: np.ndarray
    """The columns in bands along the height of the image, shape (n_bands, groups, rows, pixels)."""


class PointwiseKernel(ConvolutionKernel):
    """Convolution with windows of one pixel and no padding: a product of pixels and filters."""

    @property
    def gradient_shape(self):
        """Shape of the memory that collects the gradients of the filters, with a row for the bias."""
        return (self.channels + self.has_bias, self.filters)

    def scratch_size(self):
        """Return the size of the copied pixels; nothing is copied if the strides are 1."""
        return self.channels * prod(self.windows.counts) * (self.windows.strides != (1, 1))

    def prepare(self, weight, bias, memory, *, training):
        """Return the filters as a matrix, shape (channels, filters), and the bias."""
        return weight.reshape(self.channels, self.filters), bias

    def gradients(self, total, scratch):
        """Return the gradients of weight and bias."""
        weight = total[: self.channels].reshape(1, 1, self.channels, self.filters)
        return weight, total[-1] if self.has_bias else None

    def forward(self, X, prepared, out, scratch, kept):
        weight, bias = prepared
        np.matmul(self._pixels(X, scratch), weight, out=out.reshape(-1, self.filters))
        return channelwise(np.add, out, bias, out=out) if self.has_bias else out

    def backward(self, X, dY, prepared, gradient, out, scratch, kept):
        weight, _ = prepared
        if self.has_bias:
            gradient[-1] = channel_sums(dY)
        dY = dY.reshape(-1, self.filters)
        np.matmul(self._pixels(X, scratch).T, dY, out=gradient[: self.channels])
        if out is None:
            return None
        if self.windows.strides == (1, 1):
            np.matmul(dY, weight.T, out=out.reshape(-1, self.channels))
            return out
        chosen = out[:: self.windows.strides[0], :: self.windows.strides[1]]
        pixels = scratch("pixels", chosen.shape)
        np.matmul(dY, weight.T, out=pixels.reshape(-1, self.channels))
        out.fill(0)
        np.copyto(chosen, pixels)
        return out

    def _pixels(self, X, scratch):
        """Return the pixels of the windows as a matrix of shape (n_pixels, channels)."""
        if self.windows.strides != (1, 1):
            chosen = X[:: self.windows.strides[0], :: self.windows.strides[1]]
            X = scratch("pixels", chosen.shape)
            np.copyto(X, chosen)
        return X.reshape(-1, self.channels)
