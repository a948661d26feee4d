"""Sums and moments over all axes except the channels."""

from collections.abc import Iterable

import numpy as np


def row_sums(X: np.ndarray) -> np.ndarray:
    """Sum a matrix over its rows by one matrix product, the fastest way for long rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)

    Returns
    -------
    sums : ndarray of shape (n_columns,), of the dtype of X
    """
    return np.ones(len(X), X.dtype) @ X


def channel_sums(X: np.ndarray) -> np.ndarray:
    """Sum over all axes except the last.

    First a matrix product adds the rows of pixels. The rest is short and is summed in float64, which keeps
    rounding errors in float32 small.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels) or (n_samples, channels)

    Returns
    -------
    sums : ndarray of shape (channels,), of the dtype of X
    """
    rows = X if X.ndim == 2 else row_sums(X.reshape(len(X), -1)).reshape(-1, X.shape[-1])
    return rows.sum(axis=0, dtype=np.float64).astype(X.dtype)


def image_sums(X: np.ndarray) -> np.ndarray:
    """Sum over the pixels of each image; vectors are images of one pixel.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels) or (n_samples, channels)

    Returns
    -------
    sums : ndarray of shape (n_images, channels), of the dtype of X
    """
    if X.ndim == 2:
        return X
    return row_sums(X.reshape(X.shape[0] * X.shape[1], -1)).reshape(X.shape[2:])


def near_one(weights: np.ndarray) -> np.ndarray:
    """Return weights times a power of two that makes the largest at most one, without rounding errors.

    Weights that are too small compared with the largest become zero.

    Examples
    --------
    >>> import numpy as np
    >>> near_one(np.array([3.0, 6.0]))
    array([0.375, 0.75 ])
    """
    return np.ldexp(weights, -np.frexp(weights.max())[1])


def merge_moments(
    parts: Iterable[tuple[float, np.ndarray, np.ndarray]],
) -> tuple[float, np.ndarray, np.ndarray]:
    """Merge the moments of several parts of the samples into the moments of all samples.

    Parameters
    ----------
    parts : iterable of (total, mean, squares)
        Total weight of a part; weighted mean of each channel, shape (channels,); weighted sums of squared
        deviations from the mean, shape (channels,), or of the products of the deviations of each two
        channels, shape (channels, channels).

    Returns
    -------
    total, mean, squares
        The same for all samples.

    References
    ----------
    Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance: analysis and
    recommendations", The American Statistician.

    Examples
    --------
    >>> import numpy as np
    >>> merge_moments([(1.0, np.array([2.0]), np.array([0.0])), (3.0, np.array([6.0]), np.array([5.0]))])
    (4.0, array([5.]), array([17.]))
    """
    parts = iter(parts)
    total, mean, squares = next(parts)
    for other_total, other_mean, other_squares in parts:
        difference = other_mean - mean
        new_total = total + other_total
        mean = mean + difference * (other_total / new_total)
        products = difference**2 if squares.ndim == 1 else np.outer(difference, difference)
        squares = squares + other_squares + products * (total * other_total / new_total)
        total = new_total
    return total, mean, squares
