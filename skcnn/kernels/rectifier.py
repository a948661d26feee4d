"""The rectifier, alone or after another kernel."""

import numpy as np

from skcnn.kernels.base import Memory


def rectify(X: np.ndarray, out: np.ndarray, kept: Memory | None) -> np.ndarray:
    """Write the maximum of X and zero into ``out``, which may be X; keep where it is positive, for backward.

    Parameters
    ----------
    X, out : ndarray of any shape, C-contiguous
    kept : Memory or None
        None in prediction.
    """
    zeros = np.zeros(X.shape[1:], X.dtype)  # numpy is slow with a scalar
    if kept is not None:
        np.greater(X, zeros, out=kept("positive", X.shape, bool))
    return np.maximum(X, zeros, out=out)


def rectify_backward(dY: np.ndarray, out: np.ndarray, kept: Memory) -> np.ndarray:
    """Write dY where the input was positive, else zero, into ``out``, which may be dY."""
    return np.multiply(dY, kept("positive", dY.shape, bool), out=out)
