"""Maximum and mean over windows: first along the width, then along the height.

Both stages work on the first axis of arrays whose axes may be swapped, one pass for each position in a
window.
"""

import numpy as np

from skcnn.kernels.base import Memory
from skcnn.kernels.windows import Windows

Positions = tuple[np.ndarray, np.ndarray]


def max_pool_positions(windows: Windows, n_images: int, channels: int) -> list[tuple[tuple, np.dtype]]:
    """Return the shapes and dtypes of the two arrays that tell where maxima are."""
    height = windows.image_size[0]
    shapes = [(height, windows.counts[1], n_images, channels), (*windows.counts, n_images, channels)]
    lengths = reversed(windows.size)
    return [
        (shape, np.dtype(bool) if length <= 2 else np.min_scalar_type(length - 1))
        for shape, length in zip(shapes, lengths, strict=True)
    ]


def max_pool_forward(
    X: np.ndarray, out: np.ndarray, positions: Positions | None, windows: Windows, scratch: Memory
) -> np.ndarray:
    """Maximum of the pixels of every window that lie on the image.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    out : ndarray of shape (out_height, out_width, n_images, channels)
        Receives the maxima.
    positions : (ndarray, ndarray) or None
        Receive where the maxima are, arrays as ``max_pool_positions`` says: for each window along the width,
        the column of its first maximum, and for each window, the first row with its maximum. None in
        prediction.
    windows : Windows
        Each with at least one pixel on the image.
    scratch : Memory

    Returns
    -------
    out : ndarray
    """
    across, down = (None, None) if positions is None else positions
    middle = scratch("middle", (len(X), *out.shape[1:]))
    max_along(X.swapaxes(0, 1), middle.swapaxes(0, 1), swapped(across), windows.overlaps_by_axis[1], scratch)
    max_along(middle, out, down, windows.overlaps_by_axis[0], scratch)
    return out


def max_pool_backward(
    dY: np.ndarray, positions: Positions, dX: np.ndarray, windows: Windows, scratch: Memory
) -> np.ndarray:
    """Send the gradient of every window to its first maximum in row order.

    Parameters
    ----------
    dY : ndarray of shape (out_height, out_width, n_images, channels)
    positions : (ndarray, ndarray)
        As written by max_pool_forward.
    dX : ndarray of shape (height, width, n_images, channels)
        Receives the gradient.
    windows : Windows
    scratch : Memory

    Returns
    -------
    dX : ndarray
    """
    across, down = positions
    middle = scratch("middle", (len(dX), *dY.shape[1:]))
    max_along_backward(dY, down, middle, windows.overlaps_by_axis[0], scratch)
    max_along_backward(
        middle.swapaxes(0, 1), swapped(across), dX.swapaxes(0, 1), windows.overlaps_by_axis[1], scratch
    )
    return dX


def max_along(X, out, position, overlaps, scratch) -> None:
    """Write the maxima of windows along the first axis into ``out``, and where they are into ``position``."""
    if are_pairs(overlaps, len(out)):
        (_, first), (_, second) = overlaps
        np.maximum(X[first], X[second], out=out)
        if position is not None:
            np.greater(X[second], X[first], out=position)
        return
    out.fill(-np.inf)
    if position is not None:
        position.fill(0)
        larger = scratch("larger", position.shape, position.dtype)
    for index, (where, pixels) in enumerate(overlaps):
        if position is not None:  # indices grow, so the last strictly larger pixel is the first maximum
            np.greater(X[pixels], out[where], out=larger[where])
            np.multiply(larger[where], larger.dtype.type(index), out=larger[where])
            np.maximum(position[where], larger[where], out=position[where])
        np.maximum(out[where], X[pixels], out=out[where])


def max_along_backward(dY, position, dX, overlaps, scratch) -> None:
    """Send the gradients of windows along the first axis to their maxima."""
    if are_pairs(overlaps, len(dY)):
        (_, first), (_, second) = overlaps
        np.multiply(dY, position, out=dX[second])
        np.subtract(dY, dX[second], out=dX[first])
        dX[2 * len(dY) :] = 0
        return
    dX.fill(0)
    share = scratch("share", dY.shape)
    for index, (where, pixels) in enumerate(overlaps):
        np.equal(position[where], position.dtype.type(index), out=share[where])
        np.multiply(share[where], dY[where], out=share[where])
        np.add(dX[pixels], share[where], out=dX[pixels])


def are_pairs(overlaps, n_windows: int) -> bool:
    """Whether windows are pairs of neighbouring pixels, from the first pixel on."""
    return overlaps == [
        (slice(0, n_windows), slice(offset, offset + 2 * n_windows, 2)) for offset in range(2)
    ]


def swapped(array: np.ndarray | None) -> np.ndarray | None:
    """Return an array with its first two axes swapped, and None for None."""
    return None if array is None else array.swapaxes(0, 1)


def average_pool_forward(
    X: np.ndarray, out: np.ndarray, areas: np.ndarray, windows: Windows, scratch: Memory
) -> np.ndarray:
    """Sum of the pixels of every window that lie on the image, divided by its area.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    out : ndarray of shape (out_height, out_width, n_images, channels)
        Receives the means.
    areas : ndarray of shape (out_height, out_width)
    windows : Windows
    scratch : Memory

    Returns
    -------
    out : ndarray
    """
    middle = scratch("middle", (len(X), *out.shape[1:]))
    sum_along(X.swapaxes(0, 1), middle.swapaxes(0, 1), windows.overlaps_by_axis[1])
    sum_along(middle, out, windows.overlaps_by_axis[0])
    return np.multiply(out, _shares(areas, out), out=out)


def average_pool_backward(
    dY: np.ndarray, dX: np.ndarray, areas: np.ndarray, windows: Windows, scratch: Memory
) -> np.ndarray:
    """Spread the gradient of every window evenly over its pixels.

    Parameters
    ----------
    dY : ndarray of shape (out_height, out_width, n_images, channels)
        Overwritten.
    dX : ndarray of shape (height, width, n_images, channels)
        Receives the gradient.
    areas : ndarray of shape (out_height, out_width)
    windows : Windows
    scratch : Memory

    Returns
    -------
    dX : ndarray
    """
    np.multiply(dY, _shares(areas, dY), out=dY)
    middle = scratch("middle", (len(dX), *dY.shape[1:]))
    sum_along_backward(dY, middle, windows.overlaps_by_axis[0])
    sum_along_backward(middle.swapaxes(0, 1), dX.swapaxes(0, 1), windows.overlaps_by_axis[1])
    return dX


def sum_along(X, out, overlaps) -> None:
    """Write the sums of windows along the first axis into ``out``."""
    out.fill(0)
    for where, pixels in overlaps:
        np.add(out[where], X[pixels], out=out[where])


def sum_along_backward(dY, dX, overlaps) -> None:
    """Spread the gradients of windows along the first axis over their pixels."""
    dX.fill(0)
    for where, pixels in overlaps:
        np.add(dX[pixels], dY[where], out=dX[pixels])


def _shares(areas, Y):
    """Return the inverse areas, to multiply with an array of the layout of the result."""
    return (1 / areas).astype(Y.dtype)[:, :, np.newaxis, np.newaxis]
