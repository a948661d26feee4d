"""Pooling layers."""

import numpy as np

from skcnn.kernels.pooling import (
    average_pool_backward,
    average_pool_forward,
    max_pool_backward,
    max_pool_forward,
)
from skcnn.kernels.reductions import image_sums
from skcnn.kernels.windows import window_counts
from skcnn.layers.base import Layer, as_pair, require_image

NO_PADDING = ((0, 0), (0, 0))


class WindowPool2D(Layer):
    """Base class of layers that reduce windows of the image, channel by channel."""

    def __init__(self, pool_size=2, *, strides=None):
        self.pool_size = pool_size
        self.strides = strides

    def _windows(self):
        """Return window and strides as pairs."""
        window = as_pair(self.pool_size, "pool_size")
        return {
            "window": window,
            "strides": window if self.strides is None else as_pair(self.strides, "strides"),
        }

    def output_shape(self, input_shape):
        """Return ``(h', w', c)``; see :meth:`Layer.output_shape`."""
        require_image(input_shape)
        windows = self._windows()
        counts = window_counts(input_shape[:2], padding=NO_PADDING, **windows)
        if min(counts) < 1:
            raise ValueError(
                f"pool_size={windows['window']} is larger than the image of {tuple(input_shape[:2])} "
                "(height, width): nothing would be left"
            )
        return (*counts, input_shape[2])


class MaxPool2D(WindowPool2D):
    r"""Maximum of windows.

    Parameters
    ----------
    pool_size : int or pair of int, default=2
        Height and width of a window, in pixels.
    strides : int, pair of int or None, default=None
        Steps between windows; None: the size of the window, so that windows tile the image. Pixels
        at the end that fill no window are left out.

    Notes
    -----
    Input ``(h, w, c)``, result ``(h', w', c)`` with ``h' = (h - ph) // sh + 1``. The gradient of a
    window goes to its first maximum in row order, as in PyTorch.

    References
    ----------
    Ranzato, Huang, Boureau and LeCun (2007), "Unsupervised learning of invariant feature hierarchies
    with applications to object recognition", CVPR.

    Examples
    --------
    >>> from skcnn.layers import MaxPool2D
    >>> MaxPool2D().output_shape((7, 8, 16))
    (3, 4, 16)
    """

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        position = larger = None
        if training:
            position = unit.buffer("position", out.shape, self._position_dtype())
            larger = unit.scratch("larger", out.shape, self._position_dtype())
        return max_pool_forward(X, out, position, larger, **self._windows())

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradient; see :meth:`Layer.backward`."""
        position = unit.buffer("position", dY.shape, self._position_dtype())
        share = unit.scratch("share", dY.shape)
        return max_pool_backward(dY, position, out, share, **self._windows())

    def _position_dtype(self):
        """Return the smallest type that numbers the pixels of a window."""
        height, width = self._windows()["window"]
        return np.min_scalar_type(height * width - 1)


class AvgPool2D(WindowPool2D):
    r"""Mean of windows.

    Parameters
    ----------
    pool_size : int or pair of int, default=2
        Height and width of a window, in pixels.
    strides : int, pair of int or None, default=None
        Steps between windows; None: the size of the window, so that windows tile the image. Pixels
        at the end that fill no window are left out.

    Notes
    -----
    Input ``(h, w, c)``, result ``(h', w', c)`` with ``h' = (h - ph) // sh + 1``.

    References
    ----------
    LeCun et al. (1990), "Handwritten digit recognition with a back-propagation network", NIPS.

    Examples
    --------
    >>> from skcnn.layers import AvgPool2D
    >>> AvgPool2D(3, strides=2).output_shape((7, 8, 16))
    (3, 3, 16)
    """

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        return average_pool_forward(X, out, **self._windows())

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradient; see :meth:`Layer.backward`."""
        return average_pool_backward(dY, out, **self._windows())


class GlobalAvgPool2D(Layer):
    r"""Mean of each channel over the whole image.

    Notes
    -----
    Input ``(h, w, c)``, result ``(c,)``: :math:`y_c = \frac{1}{hw} \sum_{ij} x_{ijc}`.

    References
    ----------
    Lin, Chen and Yan (2014), "Network in network", ICLR.

    Examples
    --------
    >>> from skcnn.layers import GlobalAvgPool2D
    >>> GlobalAvgPool2D().output_shape((7, 7, 64))
    (64,)
    """

    def output_shape(self, input_shape):
        """Return ``(c,)``; see :meth:`Layer.output_shape`."""
        require_image(input_shape)
        return input_shape[2:]

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        return np.multiply(image_sums(X), 1 / (X.shape[0] * X.shape[1]), out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradient; see :meth:`Layer.backward`."""
        np.multiply(dY, 1 / (out.shape[0] * out.shape[1]), out=out[0, 0])
        out[...] = out[0, 0]
        return out
