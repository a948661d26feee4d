"""Normalization by the responses of neighbouring channels."""

from math import prod
from numbers import Real

import numpy as np

from skcnn._sklearn import Interval
from skcnn.layers.base import Layer, as_size


class LocalResponseNorm(Layer):
    r"""Local response normalization: neighbouring channels of a pixel inhibit each other.

    Parameters
    ----------
    size : int, default=5
        Number of neighbouring channels, with the channel itself in the middle. If even, one more is before it
        than after it.
    alpha : float, default=1e-4
        Factor of the sum of squares, not divided by ``size``; not negative.
    beta : float, default=0.75
        Exponent, not negative.
    k : float, default=2.0
        Added to the sum, positive.

    Notes
    -----
    Keeps the shape, ``(h, w, c)`` or ``(f,)``. With :math:`N_c` the existing channels around :math:`c`,

    .. math:: y_c = x_c / d_c^\beta, \quad d_c = k + \alpha \sum_{j \in N_c} x_j^2,

    .. math:: \frac{\partial L}{\partial x_c} = g_c d_c^{-\beta}
        - 2 \alpha \beta x_c \sum_{j : c \in N_j} g_j x_j d_j^{-\beta - 1}
        \quad \text{for} \quad g = \partial L / \partial y.

    References
    ----------
    Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural
    networks", NIPS, section 3.3.

    Examples
    --------
    >>> from skcnn.layers import LocalResponseNorm
    >>> LocalResponseNorm().output_shape((28, 28, 32))
    (28, 28, 32)
    """

    backward_reads = ("X",)
    _parameter_constraints: dict = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "k": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, size=5, alpha=1e-4, beta=0.75, k=2.0):
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def output_shape(self, input_shape):
        as_size(self.size, "size")
        return input_shape

    def multiply_adds(self, input_shape):
        """Return one for each activation and neighbour."""
        return prod(input_shape) * min(as_size(self.size, "size"), input_shape[-1])

    def scratch_size(self, input_shape):
        """Return three for each activation."""
        return 3 * prod(input_shape)

    def forward(self, params, X, unit, *, training, out):
        np.power(self._denominators(X, unit, out), -float(self.beta), out=out)
        return np.multiply(out, X, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        denominators = self._denominators(unit.X, unit, unit.scratch("denominators", dY.shape))
        powers = np.power(denominators, -float(self.beta), out=unit.scratch("powers", dY.shape))
        np.multiply(dY, powers, out=dY)
        products = np.multiply(dY, unit.X, out=powers)
        np.divide(products, denominators, out=products)
        self._sum_neighbours(products, out, transposed=True)
        np.multiply(out, unit.X, out=out)
        np.multiply(out, -2 * float(self.alpha) * float(self.beta), out=out)
        return np.add(out, dY, out=out)

    def _denominators(self, X, unit, out):
        squares = np.multiply(X, X, out=unit.scratch("squares", X.shape))
        self._sum_neighbours(squares, out)
        np.multiply(out, float(self.alpha), out=out)
        return np.add(out, float(self.k), out=out)

    def _sum_neighbours(self, X, out, *, transposed=False):
        """Sum the neighbours of each channel; transposed, the channels that it is a neighbour of."""
        size = as_size(self.size, "size")
        before, after = size // 2, (size - 1) // 2
        if transposed:
            before, after = after, before
        np.copyto(out, X)
        for offset in range(1, min(before, X.shape[-1] - 1) + 1):
            np.add(out[..., offset:], X[..., :-offset], out=out[..., offset:])
        for offset in range(1, min(after, X.shape[-1] - 1) + 1):
            np.add(out[..., :-offset], X[..., offset:], out=out[..., :-offset])
