"""A layer that multiplies by a number."""

import math
from numbers import Real

import numpy as np

from skcnn._sklearn import Interval
from skcnn.layers.base import Layer


class Rescale(Layer):
    r"""Multiply by a fixed number.

    At the end of a stack, a factor below one keeps the initial scores small, and so the gradients that the
    layers before get.

    Parameters
    ----------
    factor : float
        The finite number to multiply by.

    Notes
    -----
    Keeps the shape. :math:`y = f x`, without parameters.

    References
    ----------
    Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498, whose code
    multiplies the scores by 1/9.

    Examples
    --------
    >>> from skcnn.layers import Rescale
    >>> Rescale(1 / 9).output_shape((256,))
    (256,)
    """

    works_in_place = True
    _parameter_constraints: dict = {"factor": [Interval(Real, None, None, closed="neither")]}

    def __init__(self, factor):
        self.factor = factor

    def multiply_adds(self, input_shape):
        """Return one for each activation."""
        return math.prod(input_shape)

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, X.dtype.type(self.factor), out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, dY.dtype.type(self.factor), out=out)
