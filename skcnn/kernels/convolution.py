"""Convolution as one matrix product over gathered columns (im2col).

The columns of a batch are an array of shape
(channels, kernel height, kernel width, output height, output width, n_images).
Channels come first so that the gather copies runs of ``output width * n_images`` elements.
"""

import numpy as np

from skcnn.kernels.windows import Pair, pad_image, window_slices


def gather_columns(
    X: np.ndarray, columns: np.ndarray, padded: np.ndarray, *, strides: Pair, padding: tuple[Pair, Pair]
) -> np.ndarray:
    """Copy every window of the padded images into ``columns``.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    columns : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)
        Receives the windows.
    padded : ndarray of shape (channels, padded_height, padded_width, n_images)
        Scratch memory.
    strides, padding
        Steps between windows and ((top, bottom), (left, right)) zeros around the images.

    Returns
    -------
    columns : ndarray
    """
    pad_image(X.transpose(0, 1, 3, 2), padding, out=padded.transpose(1, 2, 0, 3))
    channel, row, pixel, image = padded.strides
    windows = np.lib.stride_tricks.as_strided(
        padded,
        columns.shape,
        (channel, row, pixel, row * strides[0], pixel * strides[1], image),
        writeable=False,
    )
    np.copyto(columns, windows)
    return columns


def scatter_columns(
    columns: np.ndarray, dX: np.ndarray, padded: np.ndarray, *, strides: Pair, padding: tuple[Pair, Pair]
) -> np.ndarray:
    """Add every window back to the pixels it was gathered from: the adjoint of gather_columns.

    Parameters
    ----------
    columns : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)
    dX : ndarray of shape (height, width, n_images, channels)
        Receives the sums; what belongs to the padding is left out.
    padded : ndarray of shape (channels, padded_height, padded_width, n_images)
        Scratch memory.
    strides, padding
        As in gather_columns.

    Returns
    -------
    dX : ndarray
    """
    channels, kernel_height, kernel_width, *counts, n_images = columns.shape
    padded.fill(0)
    windows = window_slices((kernel_height, kernel_width), strides, tuple(counts))
    by_position = columns.reshape(channels, kernel_height * kernel_width, *counts, n_images)
    for position, (rows, cols) in enumerate(windows):
        pixels = padded[:, rows, cols]
        np.add(pixels, by_position[:, position], out=pixels)
    (top, _), (left, _) = padding
    height, width = dX.shape[:2]
    np.copyto(dX, padded[:, top : top + height, left : left + width].transpose(1, 2, 3, 0))
    return dX


def convolution_forward(columns: np.ndarray, weight: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Multiply columns and weight.

    Parameters
    ----------
    columns : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)
    weight : ndarray of shape (channels * kh * kw, filters)
    out : ndarray of shape (out_height, out_width, n_images, filters)
        C-contiguous.

    Returns
    -------
    out : ndarray
    """
    n_inputs, filters = weight.shape
    np.matmul(columns.reshape(n_inputs, -1).T, weight, out=out.reshape(-1, filters))
    return out


def convolution_backward_weight(columns: np.ndarray, dY: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Gradient of the weight.

    Parameters
    ----------
    columns : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)
    dY : ndarray of shape (out_height, out_width, n_images, filters)
    out : ndarray of shape (channels * kh * kw, filters)

    Returns
    -------
    out : ndarray
    """
    n_inputs, filters = out.shape
    return np.matmul(columns.reshape(n_inputs, -1), dY.reshape(-1, filters), out=out)


def convolution_backward_columns(weight: np.ndarray, dY: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Gradient of the columns.

    Parameters
    ----------
    weight : ndarray of shape (channels * kh * kw, filters)
    dY : ndarray of shape (out_height, out_width, n_images, filters)
    out : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)

    Returns
    -------
    out : ndarray
    """
    n_inputs, filters = weight.shape
    np.matmul(weight, dY.reshape(-1, filters).T, out=out.reshape(n_inputs, -1))
    return out
