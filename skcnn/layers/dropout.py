"""Layers that drop activations at random during training."""

from numbers import Real

import numpy as np

from skcnn._sklearn import Interval
from skcnn.layers.base import Layer, require_image


class Dropout(Layer):
    r"""Zero a random share of the activations in training; do nothing in prediction.

    Parameters
    ----------
    rate : float, default=0.5
        Probability of zeroing an activation, in [0, 1).

    Notes
    -----
    Keeps the shape. :math:`y = x m / (1 - p)` with :math:`m \sim \mathrm{Bernoulli}(1 - p)`, which keeps
    the expectation.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout: a simple way to
    prevent neural networks from overfitting", JMLR.

    Examples
    --------
    >>> from skcnn.layers import Dropout
    >>> Dropout(0.25).output_shape((64,))
    (64,)
    """

    works_in_place = True
    _parameter_constraints: dict = {"rate": [Interval(Real, 0, 1, closed="left")]}

    def __init__(self, rate=0.5):
        self.rate = rate

    @property
    def is_random(self):
        """Whether anything is dropped."""
        return self.rate > 0

    def forward(self, params, X, unit, *, training, out):
        if not training or self.rate == 0:
            return X
        draws = unit.rng.random(X.shape, dtype=X.dtype, out=unit.scratch("draws", X.shape))
        kept = np.greater_equal(draws, float(self.rate), out=unit.kept("kept", X.shape, bool))
        np.multiply(X, 1 / (1 - float(self.rate)), out=out)
        return np.multiply(out, kept, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        if self.rate == 0:
            return dY
        np.multiply(dY, 1 / (1 - float(self.rate)), out=out)
        return np.multiply(out, unit.kept("kept", dY.shape, bool), out=out)


class SpatialDropout2D(Layer):
    r"""Zero a random share of the channels of each image in training; do nothing in prediction.

    Neighbouring pixels of a channel are similar, so dropping single pixels removes little information.

    Parameters
    ----------
    rate : float, default=0.5
        Probability of zeroing a channel of an image, in [0, 1).

    Notes
    -----
    Keeps the shape ``(h, w, c)``. :math:`y_{ijc} = x_{ijc} m_c / (1 - p)` with
    :math:`m_c \sim \mathrm{Bernoulli}(1 - p)`.

    References
    ----------
    Tompson, Goroshin, Jain, LeCun and Bregler (2015), "Efficient object localization using convolutional
    networks", CVPR.

    Examples
    --------
    >>> from skcnn.layers import SpatialDropout2D
    >>> SpatialDropout2D(0.25).output_shape((8, 8, 16))
    (8, 8, 16)
    """

    works_in_place = True
    _parameter_constraints: dict = {"rate": [Interval(Real, 0, 1, closed="left")]}

    def __init__(self, rate=0.5):
        self.rate = rate

    @property
    def is_random(self):
        """Whether anything is dropped."""
        return self.rate > 0

    def output_shape(self, input_shape):
        require_image(input_shape)
        return input_shape

    def forward(self, params, X, unit, *, training, out):
        if not training or self.rate == 0:
            return X
        factors = unit.kept("factors", X.shape[2:])
        np.greater_equal(unit.rng.random(factors.shape, dtype=X.dtype), float(self.rate), out=factors)
        np.multiply(factors, 1 / (1 - float(self.rate)), out=factors)
        return np.multiply(X, factors, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        if self.rate == 0:
            return dY
        return np.multiply(dY, unit.kept("factors", dY.shape[2:]), out=out)
