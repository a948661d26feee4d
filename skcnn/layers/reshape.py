"""Layers that change the shape and keep the values."""

import math

import numpy as np

from skcnn.kernels.windows import PaddedImages, as_padding
from skcnn.layers.base import Layer, check_padding, require_image


class Flatten(Layer):
    """Turn each image into a vector: pixels in row order, channels within a pixel.

    The estimator inserts it before a layer that takes vectors and gets images.

    Notes
    -----
    Input ``(h, w, c)``, output ``(h * w * c,)``.

    Examples
    --------
    >>> from skcnn.layers import Flatten
    >>> Flatten().output_shape((7, 7, 64))
    (3136,)
    """

    def output_shape(self, input_shape):
        require_image(input_shape)
        return (math.prod(input_shape),)

    def forward(self, params, X, unit, *, training, out):
        height, width, n_images, channels = X.shape
        np.copyto(out.reshape(n_images, height, width, channels), X.transpose(2, 0, 1, 3))
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        height, width, n_images, channels = out.shape
        np.copyto(out, dY.reshape(n_images, height, width, channels).transpose(1, 2, 0, 3))
        return out


class Identity(Layer):
    """Do nothing, in place: the input is the output. For nodes whose work another node has taken over.

    Examples
    --------
    >>> Identity().output_shape((8, 8, 3))
    (8, 8, 3)
    """

    works_in_place = True

    def forward(self, params, X, unit, *, training, out):
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        return out


class ZeroPad2D(Layer):
    """Put zeros around each image.

    Parameters
    ----------
    padding : int or pair, default=1
        An int: that many pixels on all four sides. A pair: one entry for height and one for width, each an
        int or a pair (before, after).

    Notes
    -----
    Input ``(h, w, c)``, output ``(top + h + bottom, left + w + right, c)``.

    References
    ----------
    Dumoulin and Visin (2016), "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.

    Examples
    --------
    >>> from skcnn.layers import ZeroPad2D
    >>> ZeroPad2D(((0, 1), 2)).output_shape((7, 7, 64))
    (8, 11, 64)
    """

    def __init__(self, padding=1):
        self.padding = padding

    def _padding(self):
        """Return ((top, bottom), (left, right))."""
        check_padding(self.padding, names=())
        return as_padding(self.padding)

    def output_shape(self, input_shape):
        require_image(input_shape)
        (top, bottom), (left, right) = self._padding()
        return (top + input_shape[0] + bottom, left + input_shape[1] + right, input_shape[2])

    def forward(self, params, X, unit, *, training, out):
        return PaddedImages(out, self._padding()).write(X)

    def backward(self, params, dY, unit, *, need_dX, out):
        (top, _), (left, _) = self._padding()
        np.copyto(out, dY[top : top + out.shape[0], left : left + out.shape[1]])
        return out
