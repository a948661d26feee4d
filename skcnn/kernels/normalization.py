"""Batch normalization in numpy."""

import numpy as np

from skcnn.kernels.base import BatchNormKernel
from skcnn.kernels.channelwise import channelwise
from skcnn.kernels.rectifier import rectify, rectify_backward
from skcnn.kernels.reductions import channel_sums, image_sums


class NumpyBatchNorm(BatchNormKernel):
    """Batch normalization that keeps the deviations of X from its mean, so that later passes lose no digits.

    Pixels of an image are added up in the dtype of X, images in float64.
    """

    reads_images = False

    def statistics(self, X, weights, scratch, kept):
        weights = np.ones(X.shape[-2]) if weights is None else weights
        total = float(weights.sum()) * X[..., 0, 0].size
        center, deviations = self._take_memory(X.shape, kept)
        np.copyto(center, weights @ image_sums(X).astype(np.float64) / total, casting="same_kind")
        channelwise(np.subtract, X, center, out=deviations)
        offset = weights @ image_sums(deviations).astype(np.float64) / total
        squares = np.square(deviations, out=scratch("squares", X.shape))
        squares = weights @ image_sums(squares).astype(np.float64)
        # the center is rounded: take the squares about the exact mean
        return total, center + offset, squares - total * offset**2

    def forward(self, X, affine, out, kept):
        center, deviations = self._take_memory(out.shape, kept)
        factor, shift = affine.about(center)
        channelwise(np.multiply, deviations, factor, out=out)
        channelwise(np.add, out, shift, out=out)
        return rectify(out, out, kept) if self.rectified else out

    def predict(self, X, affine, out):
        center = affine.center.astype(X.dtype)
        factor, shift = affine.about(center)
        channelwise(np.subtract, X, center, out=out)
        channelwise(np.multiply, out, factor, out=out)
        channelwise(np.add, out, shift, out=out)
        return rectify(out, out, None) if self.rectified else out

    def backward_statistics(self, X, dY, affine, scratch, kept):
        center, deviations = self._take_memory(dY.shape, kept)
        if self.rectified:
            rectify_backward(dY, dY, kept)
        dY_sum = channel_sums(dY)
        products = np.multiply(deviations, dY, out=scratch("products", dY.shape))
        return dY_sum, channel_sums(products) + dY_sum * (center - affine.center)

    def backward(self, X, dY, affine, means, weights, out, scratch, kept):
        center, deviations = self._take_memory(dY.shape, kept)
        slope, offset = means.about(center)
        taken = channelwise(np.multiply, deviations, slope, out=deviations)
        channelwise(np.add, taken, offset, out=taken)
        if weights is not None:
            np.multiply(taken, weights.astype(dY.dtype)[:, np.newaxis], out=taken)
        np.subtract(dY, taken, out=out)
        return channelwise(np.multiply, out, affine.factor.astype(dY.dtype), out=out)

    def _take_memory(self, shape, kept):
        """Return memory for the mean of X and for the deviations from it."""
        return kept("center", shape[-1:]), kept("deviations", shape)
