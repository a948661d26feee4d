"""Arithmetic of sliding windows along the two axes of an image."""

import numpy as np

Pair = tuple[int, int]


def resolve_padding(padding, image_size: Pair, window: Pair, strides: Pair) -> tuple[Pair, Pair]:
    """Turn a padding specification into ((top, bottom), (left, right)).

    Parameters
    ----------
    padding : {"valid", "same"}, int or pair
        "valid" is none. "same" gives ``ceil(size / stride)`` outputs and puts the odd pixel at the
        end. An int pads all four sides; a pair has one entry an axis, an int or (before, after).
    image_size, window, strides : tuple of two int
        Height and width of the image, of the window, and the steps between windows.

    Returns
    -------
    padding : ((int, int), (int, int))

    Examples
    --------
    >>> resolve_padding("same", (5, 6), (3, 3), (2, 2))
    ((1, 1), (0, 1))
    >>> resolve_padding((1, (0, 2)), (5, 6), (3, 3), (1, 1))
    ((1, 1), (0, 2))
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        totals = [
            max((-(-size // stride) - 1) * stride + length - size, 0)
            for size, length, stride in zip(image_size, window, strides, strict=True)
        ]
        return tuple((total // 2, total - total // 2) for total in totals)
    axes = padding if isinstance(padding, tuple | list) else (padding, padding)
    pairs = (axis if isinstance(axis, tuple | list) else (axis, axis) for axis in axes)
    return tuple((int(before), int(after)) for before, after in pairs)


def window_counts(image_size: Pair, window: Pair, strides: Pair, padding: tuple[Pair, Pair]) -> Pair:
    """Return the number of windows that fit along height and width; not positive where none fits.

    >>> window_counts((5, 6), (3, 3), (2, 2), ((1, 1), (0, 1)))
    (3, 3)
    """
    return tuple(
        (size + sum(pad) - length) // stride + 1
        for size, length, stride, pad in zip(image_size, window, strides, padding, strict=True)
    )


def window_slices(window: Pair, strides: Pair, counts: Pair):
    """Yield, for each position in the window in row order, the index of that pixel of all windows.

    Indexing the first two axes of a padded image with a yielded pair gives the ``counts`` pixels
    that stand at this position, one of each window.
    """
    for row in range(window[0]):
        rows = slice(row, row + strides[0] * (counts[0] - 1) + 1, strides[0])
        for column in range(window[1]):
            yield rows, slice(column, column + strides[1] * (counts[1] - 1) + 1, strides[1])


def pad_image(X: np.ndarray, padding: tuple[Pair, Pair], out: np.ndarray) -> np.ndarray:
    """Copy X into the middle of ``out`` along the first two of its axes and zero the border.

    Parameters
    ----------
    X : ndarray of shape (height, width, ...)
    padding : ((top, bottom), (left, right))
    out : ndarray of shape (top + height + bottom, left + width + right, ...)

    Returns
    -------
    out : ndarray
    """
    (top, bottom), (left, right) = padding
    height, width = out.shape[:2]
    out[:top] = 0
    out[height - bottom :] = 0
    out[:, :left] = 0
    out[:, width - right :] = 0
    np.copyto(out[top : height - bottom, left : width - right], X)
    return out
