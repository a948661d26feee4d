r"""Convolution with windows of 3x3 pixels by Winograd's algorithm F(4x4, 3x3).

The image is cut into tiles of 6x6 pixels that overlap by two pixels. Each gives 4x4 outputs. With tiles
:math:`X` of a channel and filters :math:`W`,

.. math:: Y = A^T \left[\sum_c (G W_c G^T) \odot (B^T X_c B)\right] A,

which takes 36 multiplications per channel and filter, instead of 144 by definition. The sum over channels is
one matrix product for each of the 36 positions in a tile. The transforms are matrix products with long rows,
first along the height, then along the width. The gradients are the exact adjoints of these operations.

References
----------
Winograd (1980), "Arithmetic complexity of computations", SIAM.
Lavin and Gray (2016), "Fast algorithms for convolutional neural networks", CVPR, for the matrices.
"""

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from skcnn.kernels.base import ConvolutionKernel
from skcnn.kernels.reductions import channel_sums
from skcnn.kernels.windows import PaddedImages

RESULTS, PIXELS, OVERLAP = 4, 6, 2
"""Outputs and pixels of a tile along each axis, and the pixels that it shares with the next tile."""

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
""":math:`A^T`, which transforms products to the outputs of a tile along one axis."""


class WinogradKernel(ConvolutionKernel):
    """Convolution with windows of 3x3 pixels one pixel apart, by products of transformed tiles and filters.

    Transformed tiles and products have shape (6, 6, rows, columns, n_images * channels), where an image has
    rows times columns tiles. The bias is added to the products at position (1, 1), which :math:`A^T` adds to
    all outputs of a tile with a factor of one.
    """

    reads_images = False

    def __init__(self, windows, channels, filters, groups, has_bias):
        super().__init__(windows, channels, filters, groups, has_bias)
        self.rows, self.columns = (-(-count // RESULTS) for count in windows.counts)
        self.padded_size = (RESULTS * self.rows + OVERLAP, RESULTS * self.columns + OVERLAP)

    @property
    def gradient_shape(self):
        """Shape of the memory that collects the gradients of the transformed filters, and of the bias."""
        return (PIXELS**2 * self.channels + self.has_bias, self.filters)

    def scratch_size(self):
        """Return the size of transformed tiles, products and half-transformed arrays of one image."""
        tile_size = PIXELS**2 * self.channels + PIXELS * (PIXELS + RESULTS) * self.filters
        return self.rows * self.columns * tile_size + 3 * prod(self.padded_size) * self.channels

    def prepare(self, weight, bias, memory, *, training):
        """Return the transformed filters, shape (36, channels, filters), and the bias."""
        transformed = memory("filters", (PIXELS**2, self.channels, self.filters))
        matrix = transforms(weight.dtype).filters
        np.matmul(matrix, weight.reshape(9, -1), out=transformed.reshape(PIXELS**2, -1))
        return transformed, bias

    def gradients(self, total, scratch):
        """Return the gradients of weight, by the adjoint of ``prepare``, and of bias."""
        transformed = total[: PIXELS**2 * self.channels].reshape(PIXELS**2, -1)
        weight = scratch("weight gradient", (3, 3, self.channels, self.filters))
        np.matmul(transforms(total.dtype).filters.T, transformed, out=weight.reshape(9, -1))
        return weight, total[-1] if self.has_bias else None

    def forward(self, X, prepared, out, scratch, kept):
        filters, bias = prepared
        work = scratch.workspace(self._workspace, X.shape[2])
        tiles = kept.workspace(self._tiles, X.shape[2])
        work.images.write(X)
        transform = transforms(X.dtype).pixels
        np.matmul(transform, work.padded.tiles, out=work.halfway_by_row)
        np.matmul(transform, work.halfway.tiles, out=tiles.by_tile)
        np.matmul(tiles.by_position, filters, out=work.products_by_position)
        if self.has_bias:
            np.copyto(work.bias, bias)
            np.add(work.offsets, work.bias.reshape(-1), out=work.offsets)
        transform = transforms(X.dtype).results
        np.matmul(transform, work.products, out=work.results_by_row)
        np.matmul(transform, work.results, out=self._by_tile(work.whole.memory if work.whole else out))
        if work.whole:
            np.copyto(out, work.whole.inside)
        return out

    def backward(self, X, dY, prepared, gradient, out, scratch, kept):
        filters, _ = prepared
        n_images = dY.shape[2]
        work = scratch.workspace(self._workspace, n_images)
        tiles = kept.workspace(self._tiles, n_images)
        transform = transforms(dY.dtype).results.T
        np.matmul(transform, self._by_tile(work.whole.write(dY) if work.whole else dY), out=work.results)
        np.matmul(transform, work.results_by_row, out=work.products)
        if self.has_bias:
            gradient[-1] = channel_sums(work.offsets.reshape(-1, n_images, self.filters))
        by_position = gradient[: PIXELS**2 * self.channels].reshape(filters.shape)
        np.matmul(tiles.by_position.swapaxes(1, 2), work.products_by_position, out=by_position)
        if out is None:
            return None
        np.matmul(work.products_by_position, filters.swapaxes(1, 2), out=tiles.by_position)
        transform = transforms(dY.dtype).pixels.T
        work.halfway.add(transform, tiles.by_tile)
        work.padded.add(transform, work.halfway_by_row)
        np.copyto(out, work.images.inside)
        return out

    def _tiles(self, memory, n_images):
        """Return memory for transformed tiles, and views of it."""
        tiles = memory("tiles", (PIXELS, PIXELS, self.rows, self.columns, n_images * self.channels))
        return _Tiles(tiles.transpose(0, 2, 3, 1, 4), tiles.reshape(PIXELS**2, -1, self.channels))

    def _workspace(self, scratch, n_images):
        """Return the scratch memory of the passes, and views of it."""
        n_pixels, n_results = n_images * self.channels, n_images * self.filters
        tiling, whole_size = (self.rows, self.columns), (RESULTS * self.rows, RESULTS * self.columns)
        padded = scratch("padded", (*self.padded_size, n_pixels))
        halfway = scratch("halfway tiles", (PIXELS, self.rows, self.padded_size[1], n_pixels))
        products = scratch("products", (PIXELS, PIXELS, *tiling, n_results))
        results = scratch("halfway results", (RESULTS, PIXELS, *tiling, n_results))
        (top, _), (left, _) = self.windows.padding
        height, width = self.windows.image_size
        bottom, right = self.padded_size[0] - top - height, self.padded_size[1] - left - width
        images = padded.reshape(*self.padded_size, n_images, self.channels)
        missing = tuple(
            (0, total - size) for total, size in zip(whole_size, self.windows.counts, strict=True)
        )
        return _Workspace(
            images=PaddedImages(images, ((top, bottom), (left, right))),
            padded=_OverlappingTiles(padded.reshape(self.padded_size[0], -1), scratch),
            halfway=_OverlappingTiles(halfway, scratch),
            halfway_by_row=halfway.reshape(PIXELS, self.rows, -1).swapaxes(0, 1),
            products=products.reshape(PIXELS, PIXELS, -1).swapaxes(0, 1),
            products_by_position=products.reshape(PIXELS**2, -1, self.filters),
            offsets=products[1, 1].reshape(-1, n_results),
            bias=scratch("bias", (n_images, self.filters)),
            results=results.transpose(0, 2, 3, 1, 4),
            results_by_row=results.reshape(RESULTS, PIXELS, -1).swapaxes(0, 1),
            whole=None
            if whole_size == self.windows.counts
            else PaddedImages(scratch("whole results", (*whole_size, n_images, self.filters)), missing),
        )

    def _by_tile(self, whole):
        """Return the output as an array of shape (4, rows, columns, 4, n_images * filters)."""
        tiles = whole.reshape(self.rows, RESULTS, self.columns, RESULTS, -1)
        return tiles.transpose(1, 0, 2, 3, 4)


class _Tiles(NamedTuple):
    """Views of the transformed tiles, which are kept for the backward pass."""

    by_tile: np.ndarray
    """Shape (6, rows, columns, 6, n_images * channels)."""
    by_position: np.ndarray
    """Shape (36, rows * columns * n_images, channels)."""


class _Workspace(NamedTuple):
    """Memory for the transforms, and views of it; ``n`` is the number of images times channels or filters."""

    images: PaddedImages
    padded: "_OverlappingTiles"
    """The padded images, shape (height, width * n)."""
    halfway: "_OverlappingTiles"
    """Tiles transformed along the height, shape (6, rows, width, n)."""
    halfway_by_row: np.ndarray
    """The same, shape (rows, 6, width * n)."""
    products: np.ndarray
    """Shape (6, 6, rows * columns * n), the position along the width first."""
    products_by_position: np.ndarray
    """The same, shape (36, rows * columns * n_images, filters)."""
    offsets: np.ndarray
    """The products at position (1, 1), shape (rows * columns, n)."""
    bias: np.ndarray
    """Shape (n_images, filters)."""
    results: np.ndarray
    """Products transformed along the height, shape (4, rows, columns, 6, n)."""
    results_by_row: np.ndarray
    """The same, shape (6, 4, rows * columns * n)."""
    whole: PaddedImages | None
    """The output with complete last tiles; None if it has no incomplete tiles."""


class _Transforms(NamedTuple):
    """The matrices in one dtype; the one for filters transforms both axes at once."""

    pixels: np.ndarray
    filters: np.ndarray
    results: np.ndarray


@lru_cache
def transforms(dtype: np.dtype) -> _Transforms:
    """Return the matrices of the algorithm in a dtype."""
    filters = np.kron(FILTER_TRANSFORM, FILTER_TRANSFORM)
    return _Transforms(*(matrix.astype(dtype) for matrix in (PIXEL_TRANSFORM, filters, RESULT_TRANSFORM)))


class _OverlappingTiles:
    """Tiles of six elements along an axis that overlap by two.

    Parameters
    ----------
    memory : ndarray of shape (..., 4 * n_tiles + 2, n)
        With contiguous rows; the tiles are views of it.
    scratch : Memory

    Attributes
    ----------
    tiles : ndarray of shape (..., n_tiles, 6, n)
    """

    def __init__(self, memory, scratch):
        *outer, total, n = memory.shape
        n_tiles = total // RESULTS
        strides = (*memory.strides[:-2], RESULTS * memory.strides[-2], *memory.strides[-2:])
        self.tiles = np.lib.stride_tricks.as_strided(memory, (*outer, n_tiles, PIXELS, n), strides)
        self._first, self._shared = self.tiles[..., :RESULTS, :], self.tiles[..., RESULTS:, :]
        self._end = memory[..., -OVERLAP:, :]
        self._ends = scratch("ends", self._shared.shape)

    def add(self, transform, tiles):
        """Transform tiles and write them with their overlaps added: the adjoint of transforming ``tiles``."""
        np.matmul(transform[:RESULTS], tiles, out=self._first)
        self._end.fill(0)
        np.matmul(transform[RESULTS:], tiles, out=self._ends)
        np.add(self._shared, self._ends, out=self._shared)
