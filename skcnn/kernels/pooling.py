"""Maximum and mean over windows, by one pass over the images for each position in the window."""

import numpy as np

from skcnn.kernels.windows import Pair, window_slices


def max_pool_forward(
    X: np.ndarray,
    out: np.ndarray,
    position: np.ndarray | None,
    larger: np.ndarray,
    *,
    window: Pair,
    strides: Pair,
) -> np.ndarray:
    """Maximum of every window.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    out : ndarray of shape (out_height, out_width, n_images, channels)
        Receives the maxima.
    position : ndarray of shape of ``out`` and integer dtype, or None
        Receives the position of the first maximum in its window, in row order; None in prediction.
    larger : ndarray of shape and dtype of ``position``
        Scratch memory; unused where ``position`` is None.
    window, strides : tuple of two int

    Returns
    -------
    out : ndarray
    """
    for index, pixels in enumerate(window_slices(window, strides, out.shape[:2])):
        if index == 0:
            np.copyto(out, X[pixels])
            if position is not None:
                position.fill(0)
            continue
        if position is not None:  # indices grow, so the last strictly larger pixel is the first maximum
            np.greater(X[pixels], out, out=larger)
            np.multiply(larger, larger.dtype.type(index), out=larger)
            np.maximum(position, larger, out=position)
        np.maximum(out, X[pixels], out=out)
    return out


def max_pool_backward(
    dY: np.ndarray, position: np.ndarray, dX: np.ndarray, share: np.ndarray, *, window: Pair, strides: Pair
) -> np.ndarray:
    """Send the gradient of every window to its first maximum.

    Parameters
    ----------
    dY : ndarray of shape (out_height, out_width, n_images, channels)
    position : ndarray of the shape of dY and integer dtype
        As written by max_pool_forward.
    dX : ndarray of shape (height, width, n_images, channels)
        Receives the gradient.
    share : ndarray of the shape and dtype of dY
        Scratch memory.
    window, strides : tuple of two int

    Returns
    -------
    dX : ndarray
    """
    dX.fill(0)
    for index, pixels in enumerate(window_slices(window, strides, dY.shape[:2])):
        np.equal(position, position.dtype.type(index), out=share)
        np.multiply(share, dY, out=share)
        np.add(dX[pixels], share, out=dX[pixels])
    return dX


def average_pool_forward(X: np.ndarray, out: np.ndarray, *, window: Pair, strides: Pair) -> np.ndarray:
    """Mean of every window.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    out : ndarray of shape (out_height, out_width, n_images, channels)
        Receives the means.
    window, strides : tuple of two int

    Returns
    -------
    out : ndarray
    """
    out.fill(0)
    for pixels in window_slices(window, strides, out.shape[:2]):
        np.add(out, X[pixels], out=out)
    return np.multiply(out, 1 / (window[0] * window[1]), out=out)


def average_pool_backward(dY: np.ndarray, dX: np.ndarray, *, window: Pair, strides: Pair) -> np.ndarray:
    """Spread the gradient of every window evenly over its pixels.

    Parameters
    ----------
    dY : ndarray of shape (out_height, out_width, n_images, channels)
        Overwritten.
    dX : ndarray of shape (height, width, n_images, channels)
        Receives the gradient.
    window, strides : tuple of two int

    Returns
    -------
    dX : ndarray
    """
    np.multiply(dY, 1 / (window[0] * window[1]), out=dY)
    dX.fill(0)
    for pixels in window_slices(window, strides, dY.shape[:2]):
        np.add(dX[pixels], dY, out=dX[pixels])
    return dX
