"""Maximum and mean over windows, by one pass over the images for each position in the window."""

import numpy as np

from skcnn.kernels.windows import Windows


def max_pool_forward(
    X: np.ndarray, out: np.ndarray, position: np.ndarray | None, larger: np.ndarray, windows: Windows
) -> np.ndarray:
    """Maximum of the pixels of every window that lie on the image.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    out : ndarray of shape (out_height, out_width, n_images, channels)
        Receives the maxima.
    position : ndarray of shape of ``out`` and integer dtype, or None
        Receives the position of the first maximum in its window, in row order; None in prediction.
    larger : ndarray of shape and dtype of ``position``
        Scratch memory; unused where ``position`` is None.
    windows : Windows
        Each with at least one pixel on the image.

    Returns
    -------
    out : ndarray
    """
    out.fill(-np.inf)
    if position is not None:
        position.fill(0)
    for index, (where, pixels) in enumerate(windows.overlaps()):
        if position is not None:  # indices grow, so the last strictly larger pixel is the first maximum
            np.greater(X[pixels], out[where], out=larger[where])
            np.multiply(larger[where], larger.dtype.type(index), out=larger[where])
            np.maximum(position[where], larger[where], out=position[where])
        np.maximum(out[where], X[pixels], out=out[where])
    return out


def max_pool_backward(
    dY: np.ndarray, position: np.ndarray, dX: np.ndarray, share: np.ndarray, windows: Windows
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
    windows : Windows

    Returns
    -------
    dX : ndarray
    """
    dX.fill(0)
    for index, (where, pixels) in enumerate(windows.overlaps()):
        np.equal(position[where], position.dtype.type(index), out=share[where])
        np.multiply(share[where], dY[where], out=share[where])
        np.add(dX[pixels], share[where], out=dX[pixels])
    return dX


def average_pool_forward(X: np.ndarray, out: np.ndarray, areas: np.ndarray, windows: Windows) -> np.ndarray:
    """Sum of the pixels of every window that lie on the image, divided by its area.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    out : ndarray of shape (out_height, out_width, n_images, channels)
        Receives the means.
    areas : ndarray of shape (out_height, out_width)
    windows : Windows

    Returns
    -------
    out : ndarray
    """
    out.fill(0)
    for where, pixels in windows.overlaps():
        np.add(out[where], X[pixels], out=out[where])
    return np.multiply(out, _shares(areas, out), out=out)


def average_pool_backward(dY: np.ndarray, dX: np.ndarray, areas: np.ndarray, windows: Windows) -> np.ndarray:
    """Spread the gradient of every window evenly over its pixels.

    Parameters
    ----------
    dY : ndarray of shape (out_height, out_width, n_images, channels)
        Overwritten.
    dX : ndarray of shape (height, width, n_images, channels)
        Receives the gradient.
    areas : ndarray of shape (out_height, out_width)
    windows : Windows

    Returns
    -------
    dX : ndarray
    """
    np.multiply(dY, _shares(areas, dY), out=dY)
    dX.fill(0)
    for where, pixels in windows.overlaps():
        np.add(dX[pixels], dY[where], out=dX[pixels])
    return dX


def _shares(areas, Y):
    """Return the inverse areas, to multiply with an array of the layout of the result."""
    return (1 / areas).astype(Y.dtype)[:, :, np.newaxis, np.newaxis]
