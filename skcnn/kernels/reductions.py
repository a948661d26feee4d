"""Sums over everything but the channels."""

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
    """Sum over all axes but the last.

    The rows of pixels are added first, by a product; what is left is short and summed in float64, so that
    rounding errors stay small in float32.

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
