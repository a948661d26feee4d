r"""Convolution with windows of 3x3 pixels by Winograd's algorithm F(4x4, 3x3).

The image is cut into tiles of 6x6 pixels that overlap by two and give 4x4 results each. With tiles :math:`X`
of a channel and filters :math:`W`,

.. math:: Y = A^T \left[\sum_c (G W_c G^T) \odot (B^T X_c B)\right] A,

which takes 36 multiplications a channel and filter where the definition takes 144. The sum over channels is
one matrix product for each of the 36 positions in a tile; the transforms are matrix products with long rows,
first along the height, then along the width. The gradients are the exact adjoints of these steps.

References
----------
Winograd (1980), "Arithmetic complexity of computations", SIAM.
Lavin and Gray (2016), "Fast algorithms for convolutional neural networks", CVPR, for the matrices.
"""

from math import prod

import numpy as np

from skcnn.kernels.base import ConvolutionKernel
from skcnn.kernels.windows import pad_image

RESULTS, PIXELS, OVERLAP = 4, 6, 2
"""Results and pixels along each axis of a tile, and the pixels that it shares with the next one."""

PIXEL_TRANSFORM = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=float,
)
""":math:`B^T`, which transforms the pixels of a tile along one axis."""

FILTER_TRANSFORM = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
""":math:`G`, which transforms the weights of a filter along one axis."""

RESULT_TRANSFORM = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ],
    dtype=float,
)
""":math:`A^T`, which transforms products to the results of a tile along one axis."""


class WinogradKernel(ConvolutionKernel):
    """Convolution with windows of 3x3 pixels one pixel apart, by products of transformed tiles and filters.

    Transformed tiles and products have shape (6, 6, rows, columns, n_images * channels), with rows and
    columns of tiles in an image.
    """

    def __init__(self, windows, channels, filters, groups=1):
        super().__init__(windows, channels, filters, groups)
        self.rows, self.columns = (-(-count // RESULTS) for count in windows.counts)
        self.padded_size = (RESULTS * self.rows + OVERLAP, RESULTS * self.columns + OVERLAP)

    @property
    def gradient_shape(self):
        """Shape of the memory that collects the gradient of the transformed filters."""
        return (PIXELS**2, self.channels, self.filters)

    def scratch_size(self):
        """Return the size of the transformed tiles and products, and of the steps between, of one image."""
        tile_size = PIXELS**2 * self.channels + PIXELS * (PIXELS + RESULTS) * self.filters
        return self.rows * self.columns * tile_size + 3 * prod(self.padded_size) * self.channels

    def prepare(self, weight):
        """Return the transformed filters, of shape (36, channels, filters)."""
        transform = np.kron(FILTER_TRANSFORM, FILTER_TRANSFORM).astype(weight.dtype)
        return (transform @ weight.reshape(9, -1)).reshape(self.gradient_shape)

    def weight_gradient(self, total):
        """Return the gradient of the weight, by the adjoint of ``prepare``."""
        transform = np.kron(FILTER_TRANSFORM, FILTER_TRANSFORM).astype(total.dtype)
        return (transform.T @ total.reshape(PIXELS**2, -1)).reshape(3, 3, self.channels, self.filters)

    def forward(self, X, prepared, out, scratch):
        """Compute the convolution; see :meth:`ConvolutionKernel.forward`."""
        tiles = self._tiles(X, scratch)
        products = self._scratch_for_products(X.shape[2], scratch)
        np.matmul(by_position(tiles, self.channels), prepared, out=by_position(products, self.filters))
        return self._results(products, out, scratch)

    def backward(self, X, dY, prepared, total, out, scratch):
        """Compute the gradients; see :meth:`ConvolutionKernel.backward`."""
        tiles = self._tiles(X, scratch)
        products = self._results_adjoint(dY, scratch)
        by_channel, by_filter = by_position(tiles, self.channels), by_position(products, self.filters)
        share = np.matmul(by_channel.swapaxes(1, 2), by_filter, out=scratch("share", total.shape))
        np.add(total, share, out=total)
        if out is None:
            return None
        np.matmul(by_filter, prepared.swapaxes(1, 2), out=by_channel)
        return self._tiles_adjoint(tiles, out, scratch)

    def _tiles(self, X, scratch):
        """Return the transformed tiles of images."""
        height, width, n_images, channels = X.shape
        (top, _), (left, _) = self.windows.padding
        bottom, right = self.padded_size[0] - top - height, self.padded_size[1] - left - width
        padded, halfway, tiles = self._scratch_for_tiles(n_images, scratch)
        pad_image(
            X, ((top, bottom), (left, right)), out=padded.reshape(*self.padded_size, n_images, channels)
        )
        transform = PIXEL_TRANSFORM.astype(X.dtype)
        along_height = halfway.reshape(PIXELS, self.rows, -1).swapaxes(0, 1)
        np.matmul(transform, overlapping(padded.reshape(len(padded), -1), PIXELS), out=along_height)
        np.matmul(transform, overlapping(halfway, PIXELS), out=tiles.transpose(0, 2, 3, 1, 4))
        return tiles

    def _tiles_adjoint(self, tiles, dX, scratch):
        """Turn the gradient of the transformed tiles into that of the images."""
        height, width, n_images, channels = dX.shape
        (top, _), (left, _) = self.windows.padding
        padded, halfway, _ = self._scratch_for_tiles(n_images, scratch)
        transform = PIXEL_TRANSFORM.T.astype(dX.dtype)
        along_height = halfway.reshape(PIXELS, self.rows, -1).swapaxes(0, 1)
        add_overlapping(transform, tiles.transpose(0, 2, 3, 1, 4), halfway, scratch)
        add_overlapping(transform, along_height, padded.reshape(len(padded), -1), scratch)
        images = padded.reshape(*self.padded_size, n_images, channels)
        np.copyto(dX, images[top : top + height, left : left + width])
        return dX

    def _results(self, products, out, scratch):
        """Turn products into results."""
        whole, halfway = self._scratch_for_results(out, scratch)
        transform = RESULT_TRANSFORM.astype(out.dtype)
        along_height = halfway.reshape(RESULTS, PIXELS, -1).swapaxes(0, 1)
        np.matmul(transform, products.reshape(PIXELS, PIXELS, -1).swapaxes(0, 1), out=along_height)
        np.matmul(transform, halfway.transpose(0, 2, 3, 1, 4), out=self._by_tile(whole))
        if whole is not out:
            np.copyto(out, whole[: out.shape[0], : out.shape[1]])
        return out

    def _results_adjoint(self, dY, scratch):
        """Turn the gradient of results into that of products."""
        whole, halfway = self._scratch_for_results(dY, scratch)
        if whole is not dY:
            missing = (whole.shape[0] - dY.shape[0], whole.shape[1] - dY.shape[1])
            pad_image(dY, ((0, missing[0]), (0, missing[1])), out=whole)
        products = self._scratch_for_products(dY.shape[2], scratch)
        transform = RESULT_TRANSFORM.T.astype(dY.dtype)
        along_height = halfway.reshape(RESULTS, PIXELS, -1).swapaxes(0, 1)
        np.matmul(transform, self._by_tile(whole), out=halfway.transpose(0, 2, 3, 1, 4))
        np.matmul(transform, along_height, out=products.reshape(PIXELS, PIXELS, -1).swapaxes(0, 1))
        return products

    def _scratch_for_tiles(self, n_images, scratch):
        """Return memory for padded images, for tiles transformed along the height, and along both axes."""
        size = n_images * self.channels
        return (
            scratch("padded", (*self.padded_size, size)),
            scratch("halfway tiles", (PIXELS, self.rows, self.padded_size[1], size)),
            scratch("tiles", (PIXELS, PIXELS, self.rows, self.columns, size)),
        )

    def _scratch_for_products(self, n_images, scratch):
        return scratch("products", (PIXELS, PIXELS, self.rows, self.columns, n_images * self.filters))

    def _scratch_for_results(self, Y, scratch):
        """Return Y, or memory for it and for the rest of its last tiles, and memory for results halfway."""
        height, width, n_images, filters = Y.shape
        whole_shape = (RESULTS * self.rows, RESULTS * self.columns, n_images, filters)
        halfway = (RESULTS, PIXELS, self.rows, self.columns, n_images * filters)
        return (
            Y if Y.shape == whole_shape else scratch("whole tiles", whole_shape),
            scratch("halfway results", halfway),
        )

    def _by_tile(self, whole):
        """Return results as an array of shape (4, rows, columns, 4, n_images * filters)."""
        tiles = whole.reshape(self.rows, RESULTS, self.columns, RESULTS, -1)
        return tiles.transpose(1, 0, 2, 3, 4)


def by_position(tiles: np.ndarray, channels: int) -> np.ndarray:
    """Return tiles as matrices of shape (36, rows * columns * n_images, channels)."""
    return tiles.reshape(PIXELS**2, -1, channels)


def overlapping(X: np.ndarray, length: int, start: int = 0) -> np.ndarray:
    """Return a view of the tiles along the next to last axis, of shape (..., n_tiles, length, n).

    Parameters
    ----------
    X : ndarray of shape (..., 4 * n_tiles + 2, n)
        With contiguous rows.
    length : int
        Elements of a tile to show.
    start : int
        The first of them.
    """
    *outer, total, n = X.shape
    *outer_strides, row, step = X.strides
    n_tiles = (total - OVERLAP) // RESULTS
    return np.lib.stride_tricks.as_strided(
        X[..., start:, :], (*outer, n_tiles, length, n), (*outer_strides, RESULTS * row, row, step)
    )


def add_overlapping(transform: np.ndarray, tiles: np.ndarray, out: np.ndarray, scratch) -> None:
    """Transform tiles and add them up where they overlap.

    Parameters
    ----------
    transform : ndarray of shape (6, 6)
    tiles : ndarray of shape (..., n_tiles, 6, n)
    out : ndarray of shape (..., 4 * n_tiles + 2, n)
        Receives the sums.
    scratch : callable
    """
    np.matmul(transform[:RESULTS], tiles, out=overlapping(out, RESULTS))
    out[..., -OVERLAP:, :] = 0
    ends = scratch("ends", (*tiles.shape[:-2], OVERLAP, tiles.shape[-1]))
    np.matmul(transform[RESULTS:], tiles, out=ends)
    shared = overlapping(out, OVERLAP, start=RESULTS)
    np.add(shared, ends, out=shared)
