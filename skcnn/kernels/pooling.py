"""Maximum and mean over windows: first along the width, then along the height.

Both steps work on the first axis of arrays, whose axes may be swapped, with one pass for each position in a
window.
"""

import numpy as np

from skcnn.kernels.base import MaxPoolKernel, Memory
from skcnn.kernels.rectifier import rectify, rectify_backward
from skcnn.kernels.windows import Windows

Positions = tuple[np.ndarray, np.ndarray]


class NumpyMaxPool(MaxPoolKernel):
    """Maximum of windows in numpy."""

    def forward(self, X, out, scratch, kept):
        positions = None if kept is None else self._positions(kept, X.shape)
        max_pool_forward(X, out, positions, self.windows, scratch)
        return rectify(out, out, kept) if self.rectified else out

    def backward(self, dY, dX, scratch, kept):
        if self.rectified:
            rectify_backward(dY, dY, kept)
        return max_pool_backward(dY, self._positions(kept, dX.shape), dX, self.windows, scratch)

    def _positions(self, kept, shape):
        """Return memory for the positions of the maxima of images of a shape."""
        return kept.workspace(max_pool_positions, self.windows, *shape[2:])


def max_pool_positions(memory: Memory, windows: Windows, n_images: int, channels: int) -> Positions:
    """Return memory for the positions of the maxima: along the width, then along the height."""
    height, width = windows.image_size[0], windows.counts[1]
    kinds = [bool if length <= 2 else np.min_scalar_type(length - 1) for length in windows.size]
    return (
        memory("across", (height, width, n_images, channels), kinds[1]),
        memory("down", (*windows.counts, n_images, channels), kinds[0]),
    )


def max_pool_forward(
    X: np.ndarray, out: np.ndarray, positions: Positions | None, windows: Windows, scratch: Memory
) -> np.ndarray:
    """Compute the maximum of every window, without its padding.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    out : ndarray of shape (out_height, out_width, n_images, channels)
        Receives the maxima.
    positions : (ndarray, ndarray) or None
        Arrays from ``max_pool_positions``, which receive the positions of the maxima: for each window along
        the width, the column of its first maximum; for each window, the first row with its maximum. None in
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
    max_along(1, windows, X.swapaxes(0, 1), middle.swapaxes(0, 1), swap_axes(across), scratch)
    max_along(0, windows, middle, out, down, scratch)
    return out


def max_pool_backward(
    dY: np.ndarray, positions: Positions, dX: np.ndarray, windows: Windows, scratch: Memory
) -> np.ndarray:
    """Pass the gradient of every window to its first maximum in row order.

    Parameters
    ----------
    dY : ndarray of shape (out_height, out_width, n_images, channels)
    positions : (ndarray, ndarray)
        As ``max_pool_forward`` wrote them.
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
    max_along_backward(0, windows, dY, down, middle, scratch)
    max_along_backward(1, windows, middle.swapaxes(0, 1), swap_axes(across), dX.swapaxes(0, 1), scratch)
    return dX


def max_along(axis: int, windows: Windows, X, out, position, scratch) -> None:
    """Write the maxima of windows along an axis into ``out``, and their positions into ``position``.

    This axis of the image is the first axis of the arrays.
    """
    overlaps = windows.overlaps_by_axis[axis]
    if windows.are_pairs[axis]:
        first, second = (X[pixels] for _, pixels in overlaps)
        np.maximum(first, second, out=out)
        if position is not None:
            np.greater(second, first, out=position)
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


def max_along_backward(axis: int, windows: Windows, dY, position, dX, scratch) -> None:
    """Pass the gradients of windows along an axis to their maxima; this axis is the first of the arrays."""
    overlaps = windows.overlaps_by_axis[axis]
    if windows.are_pairs[axis]:
        first, second = (dX[pixels] for _, pixels in overlaps)
        np.multiply(dY, position, out=second)
        np.subtract(dY, second, out=first)
        dX[2 * len(dY) :] = 0
        return
    dX.fill(0)
    masked = scratch("masked", dY.shape)
    for index, (where, pixels) in enumerate(overlaps):
        np.equal(position[where], position.dtype.type(index), out=masked[where])
        np.multiply(masked[where], dY[where], out=masked[where])
        np.add(dX[pixels], masked[where], out=dX[pixels])


def swap_axes(array: np.ndarray | None) -> np.ndarray | None:
    """Return an array with its first two axes swapped, and None for None."""
    return None if array is None else array.swapaxes(0, 1)


def average_pool_forward(
    X: np.ndarray, out: np.ndarray, areas: np.ndarray, windows: Windows, scratch: Memory
) -> np.ndarray:
    """Compute the mean of every window: the sum of its pixels on the image, divided by its area.

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
    return np.multiply(out, _inverse_areas(areas, out), out=out)


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
    np.multiply(dY, _inverse_areas(areas, dY), out=dY)
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


def _inverse_areas(areas, Y):
    """Return the inverse areas in a shape that broadcasts to images."""
    return (1 / areas).astype(Y.dtype)[:, :, np.newaxis, np.newaxis]
