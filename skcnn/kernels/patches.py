"""Moments of the patches of images."""

from collections.abc import Iterable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from skcnn.kernels.reductions import merge_moments


def patches(X: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return all patches that lie within the images, one per row.

    Parameters
    ----------
    X : ndarray of shape (height, width, n, channels)
    size : (int, int)
        Height and width of a patch, at most those of the image.

    Returns
    -------
    patches : ndarray of shape (n_positions * n, size[0] * size[1] * channels)
        Rows are ordered by position, then by image; within a row, by pixel in row order, then by channel.

    Examples
    --------
    >>> import numpy as np
    >>> patches(np.arange(6.0).reshape(2, 3, 1, 1), (2, 2))
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.]])
    """
    windows = sliding_window_view(X, size, axis=(0, 1))  # height', width', n, channels, *size
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size[0] * size[1] * X.shape[3])


def patch_moments(
    chunks: Iterable[tuple[np.ndarray, np.ndarray | None]], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the patches of images.

    Parameters
    ----------
    chunks : iterable of (X, weights)
        Images of shape (height, width, n, channels), and their weights, shape (n,); None for equal weights.
    size : (int, int)
        Height and width of a patch.

    Returns
    -------
    mean : ndarray of shape (n_values,), float64
    covariance : ndarray of shape (n_values, n_values), float64
        Not finite if squares of the values overflow in the dtype of the images.

    Notes
    -----
    The mean of the first chunk is subtracted before products are computed in the dtype of the images, so a
    large mean costs little precision. Chunks are merged in float64.
    """
    total, mean, products = merge_moments(_chunk_moments(chunks, size))
    return mean, products / total


def _chunk_moments(chunks, size):
    """Yield weight, mean and sums of products of deviations of the patches, chunk by chunk."""
    center = None
    for X, weights in chunks:
        rows = patches(X, size)
        if center is None:
            center = rows[0] + (rows - rows[0]).mean(axis=0)  # exact if all rows are equal
        rows = rows - center
        if weights is None:
            total, weighted = float(len(rows)), rows
        else:
            factors = np.tile(weights.astype(X.dtype), len(rows) // X.shape[2])
            total, weighted = float(factors.sum(dtype=np.float64)), rows * factors[:, np.newaxis]
        if total:  # weights may underflow to zero in the dtype
            offset = weighted.sum(axis=0, dtype=np.float64) / total
            products = (weighted.T @ rows).astype(np.float64)
            yield total, center + offset, products - total * np.outer(offset, offset)
