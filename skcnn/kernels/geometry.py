"""Shifts and linear maps of images, and rectangles of pixels.

Images are arrays of shape (height, width, n, channels); each image has its own shift, map or rectangle.
"""

from typing import Any

import numpy as np

FILLS = ("zeros", "edge", "reflect")
"""What lies beyond the edge of an image: zeros, copies of the pixels at the edge, or the mirrored image."""


def fold_into(positions: np.ndarray, size: int, fill: str) -> tuple[np.ndarray, np.ndarray | Any]:
    """Map positions along an axis, which may lie beyond it, to pixels.

    Parameters
    ----------
    positions : ndarray of int
    size : int
        Number of pixels along the axis.
    fill : {"zeros", "edge", "reflect"}

    Returns
    -------
    pixels : ndarray of int
        Each from 0 to size - 1.
    exists : ndarray of bool or None
        For "zeros", whether a position lies on the axis; None for other fills.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.kernels.geometry import fold_into
    >>> fold_into(np.arange(-2, 6), 4, "reflect")[0]
    array([2, 1, 0, 1, 2, 3, 2, 1])
    """
    if fill == "reflect":
        period = max(2 * (size - 1), 1)
        positions = positions % period
        return np.minimum(positions, period - positions), None
    exists = (positions >= 0) & (positions < size) if fill == "zeros" else None
    return positions.clip(0, size - 1), exists


def gather(images: np.ndarray, rows: np.ndarray, columns: np.ndarray, fill: str) -> np.ndarray:
    """Return the pixels at some positions of each image.

    Parameters
    ----------
    images : ndarray of shape (height, width, n, channels)
    rows, columns : ndarray of int, broadcast to shape (height, width, n)
        Positions, which may lie beyond the image.
    fill : {"zeros", "edge", "reflect"}

    Returns
    -------
    images : ndarray of shape (height, width, n, channels)
    """
    height, width, n_images, n_channels = images.shape
    rows, row_exists = fold_into(rows, height, fill)
    columns, column_exists = fold_into(columns, width, fill)
    pixels = (rows * width + columns) * n_images + np.arange(n_images)
    result = images.reshape(-1, n_channels).take(pixels, axis=0)
    if fill == "zeros":
        np.multiply(result, (row_exists & column_exists)[..., np.newaxis], out=result)
    return result


def shift(images: np.ndarray, offsets: np.ndarray, fill: str) -> np.ndarray:
    """Move images down and to the right.

    Parameters
    ----------
    images : ndarray of shape (height, width, n, channels)
    offsets : ndarray of int, shape (n, 2)
        Rows and columns by which each image moves.
    fill : {"zeros", "edge", "reflect"}

    Returns
    -------
    images : ndarray of shape (height, width, n, channels)
    """
    height, width = images.shape[:2]
    rows = np.arange(height)[:, np.newaxis, np.newaxis] - offsets[:, 0]
    columns = np.arange(width)[:, np.newaxis] - offsets[:, 1]
    return gather(images, rows, columns, fill)


def warp(images: np.ndarray, matrices: np.ndarray, fill: str) -> np.ndarray:
    """Apply linear maps around the center of images, with bilinear interpolation.

    Parameters
    ----------
    images : ndarray of shape (height, width, n, channels)
    matrices : ndarray of shape (2, 2, n)
        For each image, the map from (row, column) in the result to (row, column) in the image, both relative
        to the center.
    fill : {"zeros", "edge", "reflect"}

    Returns
    -------
    images : ndarray of shape (height, width, n, channels)
    """
    centers = [(size - 1) / 2 for size in images.shape[:2]]
    rows = (np.arange(images.shape[0]) - centers[0])[:, np.newaxis, np.newaxis]
    columns = (np.arange(images.shape[1]) - centers[1])[:, np.newaxis]
    corners, fractions = [], []
    for center, (by_row, by_column) in zip(centers, matrices, strict=True):
        positions = center + by_row * rows + by_column * columns
        corner = np.floor(positions)
        corners.append(corner.astype(int))
        fractions.append((positions - corner).astype(images.dtype)[..., np.newaxis])
    (top, left), (down, right) = corners, fractions

    def interpolate(first, second, fraction):
        np.multiply(np.subtract(second, first, out=second), fraction, out=second)
        return np.add(first, second, out=first)

    def row_at(row):
        return interpolate(gather(images, row, left, fill), gather(images, row, left + 1, fill), right)

    return interpolate(row_at(top), row_at(top + 1), down)


def boxes(draws: np.ndarray, sizes: np.ndarray, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return rectangles around random pixels, clipped to the image.

    Parameters
    ----------
    draws : ndarray of shape (n, 2 or more)
        Numbers from [0, 1), of which the first two choose the center.
    sizes : ndarray of int, shape (n, 2)
        Heights and widths.
    image_size : (height, width)

    Returns
    -------
    start, stop : ndarray of int, shape (n, 2)
        First row and column, and the row and column after the last.
    """
    start = np.floor(draws[:, :2] * image_size).astype(int) - sizes // 2
    return start.clip(0, image_size), (start + sizes).clip(0, image_size)


def inside(bounds: tuple[np.ndarray, np.ndarray], image_size: tuple[int, int]) -> np.ndarray:
    """Return which pixels lie inside the rectangles.

    Parameters
    ----------
    bounds : (start, stop)
        As returned by :func:`boxes`.
    image_size : (height, width)

    Returns
    -------
    inside : ndarray of bool, shape (height, width, n, 1)
    """
    on_axes = [
        (np.arange(size)[:, np.newaxis] >= start) & (np.arange(size)[:, np.newaxis] < stop)
        for size, start, stop in zip(image_size, *(bound.T for bound in bounds), strict=True)
    ]
    return (on_axes[0][:, np.newaxis] & on_axes[1])[..., np.newaxis]
