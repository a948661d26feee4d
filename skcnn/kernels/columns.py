"""Convolution as one matrix product over gathered windows (im2col)."""

from math import prod

import numpy as np

from skcnn.kernels.base import ConvolutionKernel
from skcnn.kernels.windows import pad_image


class ColumnsKernel(ConvolutionKernel):
    """Convolution of any kind, as a product of the windows, one a column, with the filters.

    Columns have shape (channels, kh, kw, out_height, out_width, n_images). Channels come first so that the
    gather copies runs of ``out_width * n_images`` elements.
    """

    @property
    def gradient_shape(self):
        """Shape of the memory that collects the gradient of the filters as matrices."""
        n_inputs = self.channels // self.groups * prod(self.windows.size)
        return (self.groups, n_inputs, self.filters // self.groups)

    def scratch_size(self):
        """Return the size of the columns and of the padded image."""
        windows = self.windows
        return self.channels * (prod(windows.size) * prod(windows.counts) + prod(windows.padded_size))

    def prepare(self, weight):
        """Return the filters as matrices, shape (groups, channels / groups * kh * kw, filters / groups)."""
        height, width, channels, filters = weight.shape
        by_group = weight.reshape(height, width, channels, self.groups, filters // self.groups)
        return np.ascontiguousarray(by_group.transpose(3, 2, 0, 1, 4)).reshape(self.gradient_shape)

    def weight_gradient(self, total):
        """Return the gradient of the weight, by the inverse of ``prepare``."""
        channels, filters = self.channels // self.groups, self.filters // self.groups
        by_group = total.reshape(self.groups, channels, *self.windows.size, filters)
        return by_group.transpose(2, 3, 1, 0, 4).reshape(*self.windows.size, channels, self.filters)

    def forward(self, X, prepared, out, scratch):
        """Compute the convolution; see :meth:`ConvolutionKernel.forward`."""
        columns = self._by_group(self._gather(X, scratch))
        np.matmul(columns.swapaxes(1, 2), prepared, out=self._filters_by_group(out))
        return out

    def backward(self, X, dY, prepared, total, out, scratch):
        """Compute the gradients; see :meth:`ConvolutionKernel.backward`."""
        columns = self._gather(X, scratch)
        by_group, dY = self._by_group(columns), self._filters_by_group(dY)
        share = np.matmul(by_group, dY, out=scratch("share", total.shape))
        np.add(total, share, out=total)
        if out is None:
            return None
        np.matmul(prepared, dY.swapaxes(1, 2), out=by_group)  # the columns themselves are done with
        return self._scatter(columns, out, scratch)

    def _gather(self, X, scratch):
        """Return the windows of the images as columns."""
        windows, n_images = self.windows, X.shape[2]
        padded, columns = self._padded(n_images, scratch), self._columns(n_images, scratch)
        pad_image(X.transpose(0, 1, 3, 2), windows.padding, out=padded.transpose(1, 2, 0, 3))
        channel, row, pixel, image = padded.strides
        steps = (row * windows.dilation[0], pixel * windows.dilation[1])
        strides = (row * windows.strides[0], pixel * windows.strides[1])
        views = np.lib.stride_tricks.as_strided(
            padded, columns.shape, (channel, *steps, *strides, image), writeable=False
        )
        np.copyto(columns, views)
        return columns

    def _scatter(self, columns, dX, scratch):
        """Add every column back to the pixels it was gathered from, the adjoint of ``_gather``."""
        padded = self._padded(dX.shape[2], scratch)
        padded.fill(0)
        by_position = columns.reshape(self.channels, -1, *columns.shape[3:])
        for position, (rows, cols) in enumerate(self.windows.positions()):
            pixels = padded[:, rows, cols]
            np.add(pixels, by_position[:, position], out=pixels)
        (top, _), (left, _) = self.windows.padding
        height, width = dX.shape[:2]
        np.copyto(dX, padded[:, top : top + height, left : left + width].transpose(1, 2, 3, 0))
        return dX

    def _padded(self, n_images, scratch):
        return scratch("padded", (self.channels, *self.windows.padded_size, n_images))

    def _columns(self, n_images, scratch):
        return scratch("columns", (self.channels, *self.windows.size, *self.windows.counts, n_images))

    def _by_group(self, columns):
        """Return columns as (groups, inputs of a filter, pixels)."""
        return columns.reshape(*self.gradient_shape[:2], -1)

    def _filters_by_group(self, Y):
        """Return results as (groups, pixels, filters of a group)."""
        return Y.reshape(-1, self.groups, self.filters // self.groups).swapaxes(0, 1)


class PointwiseKernel(ConvolutionKernel):
    """Convolution with windows of one pixel and no padding: a product of pixels and filters."""

    @property
    def gradient_shape(self):
        """Shape of the memory that collects the gradient of the filters."""
        return (self.channels, self.filters)

    def scratch_size(self):
        """Return the size of the pixels that are looked at, where they are not all."""
        return self.channels * prod(self.windows.counts) * (self.windows.strides != (1, 1))

    def prepare(self, weight):
        """Return the filters as a matrix, shape (channels, filters)."""
        return weight.reshape(self.gradient_shape)

    def weight_gradient(self, total):
        """Return the gradient of the weight."""
        return total.reshape(1, 1, *self.gradient_shape)

    def forward(self, X, prepared, out, scratch):
        """Compute the convolution; see :meth:`ConvolutionKernel.forward`."""
        np.matmul(self._pixels(X, scratch), prepared, out=out.reshape(-1, self.filters))
        return out

    def backward(self, X, dY, prepared, total, out, scratch):
        """Compute the gradients; see :meth:`ConvolutionKernel.backward`."""
        dY = dY.reshape(-1, self.filters)
        share = np.matmul(self._pixels(X, scratch).T, dY, out=scratch("share", total.shape))
        np.add(total, share, out=total)
        if out is None:
            return None
        if self.windows.strides == (1, 1):
            np.matmul(dY, prepared.T, out=out.reshape(-1, self.channels))
            return out
        chosen = out[:: self.windows.strides[0], :: self.windows.strides[1]]
        pixels = scratch("pixels", chosen.shape)
        np.matmul(dY, prepared.T, out=pixels.reshape(-1, self.channels))
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
