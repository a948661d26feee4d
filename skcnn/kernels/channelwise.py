"""Arithmetic with one number for each channel."""

import numpy as np


def channelwise(ufunc: np.ufunc, X: np.ndarray, vector: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Compute ``ufunc(X, vector)`` along whole rows of pixels.

    If a short vector is broadcast over the last axis, numpy's inner loops are short and slow. So the vector
    is repeated for a row of pixels.

    Parameters
    ----------
    ufunc : numpy.ufunc
        Such as ``numpy.add``.
    X : ndarray of shape (height, width, n_images, channels) or (n_samples, channels)
        C-contiguous.
    vector : ndarray of shape (channels,)
    out : ndarray of the shape of X
        C-contiguous; receives the result, and may be X.

    Returns
    -------
    out : ndarray
    """
    if X.ndim == 2:
        return ufunc(X, vector, out=out)
    row = np.tile(vector, X[0].size // vector.size)
    ufunc(X.reshape(len(X), -1), row, out=out.reshape(len(X), -1))
    return out
