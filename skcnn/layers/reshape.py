"""Layers that change the shape and keep the values."""

import math

import numpy as np

from skcnn.layers.base import Layer, require_image


class Flatten(Layer):
    """Turn each image into a vector, pixels in row order, channels within a pixel.

    The estimator inserts it where an image meets a layer that takes vectors.

    Notes
    -----
    Input ``(h, w, c)``, result ``(h * w * c,)``.

    Examples
    --------
    >>> from skcnn.layers import Flatten
    >>> Flatten().output_shape((7, 7, 64))
    (3136,)
    """

    def output_shape(self, input_shape):
        """Return ``(h * w * c,)``; see :meth:`Layer.output_shape`."""
        require_image(input_shape)
        return (math.prod(input_shape),)

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        height, width, n_images, channels = X.shape
        np.copyto(out.reshape(n_images, height, width, channels), X.transpose(2, 0, 1, 3))
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradient; see :meth:`Layer.backward`."""
        height, width, n_images, channels = out.shape
        np.copyto(out, dY.reshape(n_images, height, width, channels).transpose(1, 2, 0, 3))
        return out
