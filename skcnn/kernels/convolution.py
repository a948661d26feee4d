"""Convolution as one matrix product over gathered columns (im2col).

The columns of a batch are an array of shape
(channels, kernel height, kernel width, output height, output width, n_images).
Channels come first so that the gather copies runs of ``output width * n_images`` elements.
"""

import numpy as np

from skcnn.kernels.windows import Windows, pad_image


def gather_columns(X: np.ndarray, columns: np.ndarray, padded: np.ndarray, windows: Windows) -> np.ndarray:
    """Copy every window of the padded images into ``columns``.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    columns : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)
        Receives the windows.
    padded : ndarray of shape (channels, padded_height, padded_width, n_images)
        Scratch memory.
    windows : Windows

    Returns
    -------
    columns : ndarray
    """
    pad_image(X.transpose(0, 1, 3, 2), windows.padding, out=padded.transpose(1, 2, 0, 3))
    channel, row, pixel, image = padded.strides
    views = np.lib.stride_tricks.as_strided(
        padded,
        columns.shape,
        (
            channel,
            row * windows.dilation[0],
            pixel * windows.dilation[1],
            row * windows.strides[0],
            pixel * windows.strides[1],
            image,
        ),
        writeable=False,
    )
    np.copyto(columns, views)
    return columns


def scatter_columns(columns: np.ndarray, dX: np.ndarray, padded: np.ndarray, windows: Windows) -> np.ndarray:
    """Add every window back to the pixels it was gathered from: the adjoint of gather_columns.

    Parameters
    ----------
    columns : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)
    dX : ndarray of shape (height, width, n_images, channels)
        Receives the sums; what belongs to the padding is left out.
    padded : ndarray of shape (channels, padded_height, padded_width, n_images)
        Scratch memory.
    windows : Windows

    Returns
    -------
    dX : ndarray
    """
    channels, kernel_height, kernel_width, *counts, n_images = columns.shape
    padded.fill(0)
    by_position = columns.reshape(channels, kernel_height * kernel_width, *counts, n_images)
    for position, (rows, cols) in enumerate(windows.positions()):
        pixels = padded[:, rows, cols]
        np.add(pixels, by_position[:, position], out=pixels)
    (top, _), (left, _) = windows.padding
    height, width = dX.shape[:2]
    np.copyto(dX, padded[:, top : top + height, left : left + width].transpose(1, 2, 3, 0))
    return dX


def convolution_forward(columns: np.ndarray, weight: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Multiply columns and weight, group by group.

    Parameters
    ----------
    columns : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)
    weight : ndarray of shape (groups, channels / groups * kh * kw, filters / groups)
    out : ndarray of shape (out_height, out_width, n_images, filters)
        C-contiguous.

    Returns
    -------
    out : ndarray
    """
    np.matmul(_by_group(columns, weight).transpose(0, 2, 1), weight, out=_filters_by_group(out, weight))
    return out


def convolution_backward_weight(columns: np.ndarray, dY: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Gradient of the weight.

    Parameters
    ----------
    columns : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)
    dY : ndarray of shape (out_height, out_width, n_images, filters)
    out : ndarray of shape (groups, channels / groups * kh * kw, filters / groups)

    Returns
    -------
    out : ndarray
    """
    return np.matmul(_by_group(columns, out), _filters_by_group(dY, out), out=out)


def convolution_backward_columns(weight: np.ndarray, dY: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Gradient of the columns.

    Parameters
    ----------
    weight : ndarray of shape (groups, channels / groups * kh * kw, filters / groups)
    dY : ndarray of shape (out_height, out_width, n_images, filters)
    out : ndarray of shape (channels, kh, kw, out_height, out_width, n_images)

    Returns
    -------
    out : ndarray
    """
    np.matmul(weight, _filters_by_group(dY, weight).transpose(0, 2, 1), out=_by_group(out, weight))
    return out


def _by_group(columns, weight):
    """Return columns as (groups, inputs of a filter, pixels)."""
    groups, n_inputs, _ = weight.shape
    return columns.reshape(groups, n_inputs, -1)


def _filters_by_group(Y, weight):
    """Return results as (groups, pixels, filters of a group)."""
    groups, _, filters = weight.shape
    return Y.reshape(-1, groups, filters).transpose(1, 0, 2)
