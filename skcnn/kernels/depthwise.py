"""Convolution of each channel by itself, by one pass over the images for each position in the window."""

import numpy as np

from skcnn.kernels.reductions import channel_sums
from skcnn.kernels.windows import Windows


def depthwise_forward(
    X: np.ndarray, weight: np.ndarray, out: np.ndarray, products: np.ndarray, windows: Windows
) -> np.ndarray:
    """Sum of the pixels of every window on the image times the weight of their position.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    weight : ndarray of shape (kh * kw, channels)
    out : ndarray of shape (out_height, out_width, n_images, channels)
        Receives the sums.
    products : ndarray of the shape of ``out``
        Scratch memory.
    windows : Windows

    Returns
    -------
    out : ndarray
    """
    out.fill(0)
    for factors, (where, pixels) in zip(_rows(weight, X), windows.overlaps(), strict=True):
        np.multiply(X[pixels], factors, out=products[where])
        np.add(out[where], products[where], out=out[where])
    return out


def depthwise_backward_weight(
    X: np.ndarray, dY: np.ndarray, out: np.ndarray, products: np.ndarray, windows: Windows
) -> np.ndarray:
    """Gradient of the weight.

    Parameters
    ----------
    X : ndarray of shape (height, width, n_images, channels)
    dY : ndarray of shape (out_height, out_width, n_images, channels)
    out : ndarray of shape (kh * kw, channels)
        Receives the gradient.
    products : ndarray of the shape of dY
        Scratch memory.
    windows : Windows

    Returns
    -------
    out : ndarray
    """
    for gradient, (where, pixels) in zip(out, windows.overlaps(), strict=True):
        shape = dY[where].shape
        packed = products.reshape(-1)[: dY[where].size].reshape(shape)  # the sum wants contiguous memory
        np.multiply(X[pixels], dY[where], out=packed)
        np.copyto(gradient, channel_sums(packed) if packed.size else 0)
    return out


def depthwise_backward_images(
    weight: np.ndarray, dY: np.ndarray, dX: np.ndarray, products: np.ndarray, windows: Windows
) -> np.ndarray:
    """Gradient of the images.

    Parameters
    ----------
    weight : ndarray of shape (kh * kw, channels)
    dY : ndarray of shape (out_height, out_width, n_images, channels)
    dX : ndarray of shape (height, width, n_images, channels)
        Receives the gradient.
    products : ndarray of the shape of dY
        Scratch memory.
    windows : Windows

    Returns
    -------
    dX : ndarray
    """
    dX.fill(0)
    for factors, (where, pixels) in zip(_rows(weight, dY), windows.overlaps(), strict=True):
        np.multiply(dY[where], factors, out=products[where])
        np.add(dX[pixels], products[where], out=dX[pixels])
    return dX


def _rows(weight, X):
    """Yield the weights of each position, repeated for all images of a pixel to make inner loops long."""
    for factors in weight:
        yield np.tile(factors, X.shape[2]).reshape(X.shape[2:])
