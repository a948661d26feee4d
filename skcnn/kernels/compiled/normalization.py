"""Batch normalization with one pass over memory for each of its steps."""

from math import prod

import numpy as np

from skcnn.kernels.base import BatchNormKernel
from skcnn.kernels.compiled.jit import compiled, index

LANES, ROWS = 512, 16
"""Lanes and rows that the two passes of statistics take at a time: 32 kB, which stay in the L1 cache."""


class CompiledBatchNorm(BatchNormKernel):
    """Batch normalization that reads the images again in each pass.

    Images are matrices with a row for each pixel, and in it a lane for each image and channel.
    """

    reads_images = True

    def statistics(self, X, weights, scratch, kept):
        n_images, channels = X.shape[-2:]
        weights = np.ones(n_images) if weights is None else weights.astype(np.float64)
        mean, squares = np.empty(channels), np.empty(channels)
        n_pixels = prod(X.shape[:-2])
        total = statistics_of(X.reshape(-1), n_pixels, channels, weights, mean, squares)
        return total, mean, squares

    def forward(self, X, affine, out, kept):
        return self.predict(X, affine, out)

    def predict(self, X, affine, out):
        apply(X.reshape(-1), out.reshape(-1), *self._lanes(as_pixels(X), affine), self.rectified)
        return out

    def backward_statistics(self, X, dY, affine, scratch, kept):
        channels = X.shape[-1]
        sums, products = np.zeros(channels), np.zeros(channels)
        center, factor, shift = self._lanes(as_pixels(X), affine)
        sum_gradients(X.reshape(-1), dY.reshape(-1), center, factor, shift, self.rectified, sums, products)
        return sums, products + sums * (center[:channels] - affine.center)

    def backward(self, X, dY, affine, means, weights, out, scratch, kept):
        center, factor, shift = self._lanes(as_pixels(X) if weights is None else X, affine)
        about = means.about(affine.center.astype(X.dtype))
        slope, offset = (np.tile(vector, center.size // vector.size) for vector in about)
        if weights is not None:
            by_lane = np.repeat(weights.astype(X.dtype), X.shape[-1])
            slope, offset = slope * by_lane, offset * by_lane
        pass_gradients(
            X.reshape(-1),
            dY.reshape(-1),
            out.reshape(-1),
            center,
            factor,
            shift,
            slope,
            offset,
            self.rectified,
        )
        return out

    def _lanes(self, X, affine):
        """Return center, factor and shift for each lane, in the dtype of X."""
        center = affine.center.astype(X.dtype)
        return [np.tile(vector, X.shape[-2]) for vector in (center, *affine.about(center))]


def as_pixels(X: np.ndarray) -> np.ndarray:
    """Return vectors as the pixels of a single image, whose lanes are fewer, and images as they are."""
    return X[:, np.newaxis] if X.ndim == 2 else X


@compiled
def statistics_of(X, n_pixels, channels, weights, mean, squares):
    """Write weighted mean and squared deviations of each channel, by Chan's formula; return the total weight.

    Blocks of rows are merged lane by lane, then lanes image by image, in float64.
    """
    m = weights.size * channels
    lane_mean, lane_squares = np.zeros(m), np.zeros(m)
    sums, deviations = np.empty(LANES, X.dtype), np.empty(LANES, X.dtype)
    for first in range(0, m, LANES):
        n = min(first + LANES, m) - first
        for start in range(0, n_pixels, ROWS):
            count = min(ROWS, n_pixels - start)
            mean_of_rows(X, start * m + first, m, count, n, sums)
            squares_of_rows(X, start * m + first, m, count, n, sums, deviations)
            share, cross = count / (start + count), count * (start / (start + count))
            for k in range(n):
                difference = np.float64(sums[k]) - lane_mean[first + k]
                lane_mean[first + k] += difference * share
                lane_squares[first + k] += np.float64(deviations[k]) + difference * difference * cross
    total = 0.0
    mean[:] = 0
    squares[:] = 0
    for image in range(weights.size):
        weight = weights[image] * n_pixels
        if weight == 0:
            continue
        share, cross = weight / (total + weight), weight * (total / (total + weight))
        total += weight
        for k in range(channels):
            difference = lane_mean[image * channels + k] - mean[k]
            mean[k] += difference * share
            squares[k] += weights[image] * lane_squares[image * channels + k]
            squares[k] += difference * difference * cross
    return total


@compiled
def mean_of_rows(X, start, step, count, n, mean):
    """Write the mean of some rows of X."""
    for k in range(n):
        mean[k] = 0
    for row in range(count):
        x = index(start + row * step)
        for k in range(index(n)):
            mean[k] += X[x + k]
    inverse = X.dtype.type(1 / count)
    for k in range(n):
        mean[k] *= inverse


@compiled
def squares_of_rows(X, start, step, count, n, mean, squares):
    """Write the sum of squared deviations of some rows of X from their mean."""
    for k in range(n):
        squares[k] = 0
    for row in range(count):
        x = index(start + row * step)
        for k in range(index(n)):
            deviation = X[x + k] - mean[k]
            squares[k] += deviation * deviation


@compiled
def apply(X, Y, center, factor, shift, rectified):
    """Write ``(x - center) * factor + shift``, negative numbers as zero if rectified; NaN stays NaN."""
    zero = X.dtype.type(0)
    for start in range(0, X.size, center.size):
        x = index(start)
        if rectified:
            for k in range(index(center.size)):
                y = (X[x + k] - center[k]) * factor[k] + shift[k]
                Y[x + k] = zero if y <= zero else y
        else:
            for k in range(index(center.size)):
                Y[x + k] = (X[x + k] - center[k]) * factor[k] + shift[k]


@compiled
def sum_gradients(X, dY, center, factor, shift, rectified, sums, products):
    """Add up gradients that pass the rectifier, and their products with deviations, for each channel."""
    m, channels = center.size, sums.size
    lane_sums, lane_products = np.zeros(m), np.zeros(m)
    few_sums, few_products = np.empty(LANES, X.dtype), np.empty(LANES, X.dtype)
    for first in range(0, m, LANES):
        n = min(first + LANES, m) - first
        for start in range(first, X.size, ROWS * m):
            few_sums[:] = 0
            few_products[:] = 0
            for x in range(start, min(start + ROWS * m, X.size), m):
                if rectified:
                    add_rectified(X, dY, x, center, factor, shift, first, n, few_sums, few_products)
                else:
                    add_gradients(X, dY, x, center, first, n, few_sums, few_products)
            for k in range(n):
                lane_sums[first + k] += few_sums[k]
                lane_products[first + k] += few_products[k]
    for start in range(0, m, channels):
        for k in range(channels):
            sums[k] += lane_sums[start + k]
            products[k] += lane_products[start + k]


@compiled
def add_gradients(X, dY, start, center, first, n, sums, products):
    """Add a row of gradients, and of their products with deviations."""
    x, c = index(start), index(first)
    for k in range(index(n)):
        gradient = dY[x + k]
        sums[k] += gradient
        products[k] += gradient * (X[x + k] - center[c + k])


@compiled
def add_rectified(X, dY, start, center, factor, shift, first, n, sums, products):
    """Add a row of gradients that pass the rectifier, and of their products with deviations."""
    zero = X.dtype.type(0)
    x, c = index(start), index(first)
    for k in range(index(n)):
        deviation = X[x + k] - center[c + k]
        gradient = zero if deviation * factor[c + k] + shift[c + k] <= zero else dY[x + k]
        sums[k] += gradient
        products[k] += gradient * deviation


@compiled
def pass_gradients(X, dY, dX, center, factor, shift, slope, offset, rectified):
    """Write ``factor * (dY - (slope * (x - center) + offset))``; dY is zero where the rectifier stops it."""
    zero = X.dtype.type(0)
    for start in range(0, X.size, center.size):
        x = index(start)
        if rectified:
            for k in range(index(center.size)):
                deviation = X[x + k] - center[k]
                gradient = zero if deviation * factor[k] + shift[k] <= zero else dY[x + k]
                dX[x + k] = factor[k] * (gradient - (deviation * slope[k] + offset[k]))
        else:
            for k in range(index(center.size)):
                taken = (X[x + k] - center[k]) * slope[k] + offset[k]
                dX[x + k] = factor[k] * (dY[x + k] - taken)
