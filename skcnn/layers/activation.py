"""Elementwise activations."""

import numpy as np
from scipy.special import expit

from skcnn.layers.base import Layer


class Activation(Layer):
    """Base class of activations: the shape stays, the scale of initial weights follows ``name``."""

    name: str
    """What the ``activation`` parameters of layers and of the estimator call it."""


class ReLU(Activation):
    r"""Rectified linear unit.

    Notes
    -----
    :math:`y = \max(x, 0)`, with derivative 0 at 0.

    References
    ----------
    Nair and Hinton (2010), "Rectified linear units improve restricted Boltzmann machines", ICML.

    Examples
    --------
    >>> from skcnn.layers import ReLU
    >>> ReLU().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "relu"
    backward_reads = ("Y",)

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        return np.maximum(X, 0, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradient; see :meth:`Layer.backward`."""
        positive = np.greater(unit.Y, 0, out=unit.scratch("positive", dY.shape, bool))
        return np.multiply(dY, positive, out=out)


class Sigmoid(Activation):
    r"""Logistic sigmoid.

    Notes
    -----
    :math:`y = 1 / (1 + e^{-x})`, :math:`dy/dx = y (1 - y)`.

    Examples
    --------
    >>> from skcnn.layers import Sigmoid
    >>> Sigmoid().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "sigmoid"
    backward_reads = ("Y",)

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        return expit(X, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradient; see :meth:`Layer.backward`."""
        slope = np.subtract(1, unit.Y, out=unit.scratch("slope", dY.shape))
        np.multiply(slope, unit.Y, out=slope)
        return np.multiply(dY, slope, out=out)


class Tanh(Activation):
    r"""Hyperbolic tangent.

    Notes
    -----
    :math:`y = \tanh x`, :math:`dy/dx = 1 - y^2`.

    Examples
    --------
    >>> from skcnn.layers import Tanh
    >>> Tanh().output_shape((10,))
    (10,)
    """

    name = "tanh"
    backward_reads = ("Y",)

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        return np.tanh(X, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradient; see :meth:`Layer.backward`."""
        slope = np.square(unit.Y, out=unit.scratch("slope", dY.shape))
        np.subtract(1, slope, out=slope)
        return np.multiply(dY, slope, out=out)


ACTIVATIONS = {"relu": ReLU, "sigmoid": Sigmoid, "logistic": Sigmoid, "tanh": Tanh}
"""Activations by the names that parameters take; "logistic" is scikit-learn's name."""

LINEAR = (None, "identity")
"""Values of an ``activation`` parameter that stand for none."""


def with_activation(name: str, layer: Layer) -> list[tuple[str, Layer]]:
    """Return a named layer, followed by the activation that its ``activation`` parameter names.

    Raises
    ------
    ValueError
        If there is no such activation.
    """
    known = layer.activation is None or isinstance(layer.activation, str)
    if known and layer.activation in LINEAR:
        return [(name, layer)]
    if known and layer.activation == "softmax":
        raise ValueError(
            'activation="softmax" is not needed: the estimator adds the output layer and its softmax'
        )
    if not known or layer.activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be None, 'identity' or one of {sorted(ACTIVATIONS)}, got {layer.activation!r}"
        )
    return [(name, layer), (f"{name}_{layer.activation}", ACTIVATIONS[layer.activation]())]
