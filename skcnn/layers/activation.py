"""Bounded activations, and the names of all activations."""

from numbers import Real

import numpy as np
from scipy.special import expit

from skcnn._sklearn import Interval, check_hyperparameters
from skcnn.layers.base import Activation, ElementwiseActivation, Layer
from skcnn.layers.gates import GELU, HardSwish, Mish, SiLU
from skcnn.layers.rectifiers import CELU, ELU, SELU, LeakyReLU, PReLU, ReLU, ReLU6, Softplus


class Sigmoid(ElementwiseActivation):
    r"""Logistic sigmoid.

    Notes
    -----
    Keeps the shape. :math:`y = 1 / (1 + e^{-x})`, :math:`dy/dx = y (1 - y)`.

    References
    ----------
    Rumelhart, Hinton and Williams (1986), "Learning representations by back-propagating errors",
    Nature.

    Examples
    --------
    >>> from skcnn.layers import Sigmoid
    >>> Sigmoid().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    works_in_place = True
    name = "sigmoid"
    backward_reads = ("Y",)

    def forward(self, params, X, unit, *, training, out):
        return expit(X, out=out)

    def slope(self, unit, out):
        """Return the derivative."""
        np.subtract(1, unit.Y, out=out)
        return np.multiply(out, unit.Y, out=out)


class Tanh(ElementwiseActivation):
    r"""Hyperbolic tangent.

    Notes
    -----
    Keeps the shape. :math:`y = \tanh x`, :math:`dy/dx = 1 - y^2`.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), "Efficient backprop", Neural networks: tricks of the trade.

    Examples
    --------
    >>> from skcnn.layers import Tanh
    >>> Tanh().output_shape((10,))
    (10,)
    """

    works_in_place = True
    name = "tanh"
    backward_reads = ("Y",)

    def forward(self, params, X, unit, *, training, out):
        return np.tanh(X, out=out)

    def slope(self, unit, out):
        """Return the derivative."""
        np.multiply(unit.Y, unit.Y, out=out)
        return np.subtract(1, out, out=out)


class HardSigmoid(ElementwiseActivation):
    r"""Piecewise linear sigmoid.

    Parameters
    ----------
    alpha : float, default=0.16666666666666666
        Slope of the line in the middle, positive. The default 1 / 6 is that of PyTorch and Keras 3; ONNX and
        Keras 2 use 0.2.
    beta : float, default=0.5
        Output for zero.

    Notes
    -----
    Keeps the shape. :math:`y = \min(\max(\alpha x + \beta, 0), 1)`, with derivative :math:`\alpha` for
    :math:`0 < y < 1`, else 0.

    References
    ----------
    Courbariaux, Bengio and David (2015), "BinaryConnect: training deep neural networks with binary weights
    during propagations", NIPS.
    Howard et al. (2019), "Searching for MobileNetV3", ICCV, for the default slope.

    Examples
    --------
    >>> from skcnn.layers import HardSigmoid
    >>> HardSigmoid(0.2).output_shape((8, 8, 16))
    (8, 8, 16)
    """

    works_in_place = True
    name = "hard_sigmoid"
    backward_reads = ("Y",)
    _parameter_constraints: dict = {
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "beta": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, alpha=1 / 6, beta=0.5):
        self.alpha = alpha
        self.beta = beta

    def forward(self, params, X, unit, *, training, out):
        np.multiply(X, float(self.alpha), out=out)
        np.add(out, float(self.beta), out=out)
        return np.clip(out, 0, 1, out=out)

    def slope(self, unit, out):
        """Return ``alpha`` where the output is between 0 and 1, else 0."""
        below = np.less(unit.Y, 1, out=unit.scratch("below", out.shape))  # 1 or 0
        np.greater(unit.Y, 0, out=out)
        np.multiply(out, below, out=out)
        return np.multiply(out, float(self.alpha), out=out)


class Softsign(ElementwiseActivation):
    r"""Sigmoid that approaches its limits slowly.

    Notes
    -----
    Keeps the shape. :math:`y = x / (1 + |x|)`, :math:`dy/dx = (1 - |y|)^2`.

    References
    ----------
    Turian, Bergstra and Bengio (2009), "Quadratic features and deep architectures for chunking", NAACL.

    Examples
    --------
    >>> from skcnn.layers import Softsign
    >>> Softsign().output_shape((10,))
    (10,)
    """

    works_in_place = True
    name = "softsign"
    backward_reads = ("Y",)

    def forward(self, params, X, unit, *, training, out):
        divisor = np.abs(X, out=unit.scratch("divisor", X.shape))
        np.add(divisor, 1, out=divisor)
        return np.divide(X, divisor, out=out)

    def slope(self, unit, out):
        """Return the derivative."""
        np.abs(unit.Y, out=out)
        np.subtract(1, out, out=out)
        return np.multiply(out, out, out=out)


class Softmax(Activation):
    r"""Softmax over the channels of each pixel, or over a vector.

    Not for the end of a network: there the estimator adds the output layer and the softmax of the loss.

    Notes
    -----
    Keeps the shape. :math:`y_c = e^{x_c} / \sum_k e^{x_k}`,
    :math:`\partial L / \partial x_c = y_c (g_c - \sum_k g_k y_k)` for :math:`g = \partial L / \partial y`.

    References
    ----------
    Bridle (1990), "Probabilistic interpretation of feedforward classification network outputs, with
    relationships to statistical pattern recognition", Neurocomputing: algorithms, architectures and
    applications.

    Examples
    --------
    >>> from skcnn.layers import Softmax
    >>> Softmax().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    works_in_place = True
    name = "softmax"
    backward_reads = ("Y",)

    def forward(self, params, X, unit, *, training, out):
        np.subtract(X, X.max(axis=-1, keepdims=True), out=out)
        np.exp(out, out=out)
        return np.divide(out, out.sum(axis=-1, keepdims=True), out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        products = np.multiply(dY, unit.Y, out=unit.scratch("products", dY.shape))
        np.subtract(dY, products.sum(axis=-1, keepdims=True), out=out)
        return np.multiply(out, unit.Y, out=out)


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        ReLU,
        ReLU6,
        LeakyReLU,
        PReLU,
        ELU,
        CELU,
        SELU,
        GELU,
        SiLU,
        HardSwish,
        Mish,
        Softplus,
        Sigmoid,
        HardSigmoid,
        Tanh,
        Softsign,
        Softmax,
    )
} | {"logistic": Sigmoid, "swish": SiLU}
"""Activations by the names that parameters take; "logistic" is scikit-learn's name."""

LINEAR = (None, "identity")
"""Values of an ``activation`` parameter that mean no activation."""


def connect_with_activation(graph, name: str, layer: Layer, source: int) -> int:
    """Add a layer and the activation of its ``activation`` parameter.

    Parameters and return value are those of :meth:`Block.connect`.

    Raises
    ------
    ValueError
        If the activation is unknown.
    """
    node = graph.add(name, layer, source)
    return connect_activation(graph, name, layer.activation, node)


def connect_activation(graph, name: str, activation, source: int) -> int:
    """Add the activation of a layer, given as in :func:`as_activation`, and return the last node.

    The node is named after the layer and the activation, "conv1_relu". An activation without a name has the
    name of its class in lower case.

    Raises
    ------
    ValueError
        If the activation is unknown or has an invalid hyperparameter.
    """
    layer = as_activation(activation)
    if layer is None:
        return source
    kind = activation if isinstance(activation, str) else layer.name or type(layer).__name__.lower()
    check_hyperparameters(layer)
    return graph.add(f"{name}_{kind}", layer, source)


def as_activation(activation) -> Activation | None:
    """Return the layer that an ``activation`` parameter stands for.

    Parameters
    ----------
    activation : str, Activation or None

    Returns
    -------
    layer : Activation or None
        The given layer, a new layer for a name, None for no activation.

    Raises
    ------
    ValueError
        If the activation is unknown.
    """
    if isinstance(activation, Activation):
        return activation
    if activation is None or isinstance(activation, str):
        if activation in LINEAR:
            return None
        if activation in ACTIVATIONS:
            return ACTIVATIONS[activation]()
    raise ValueError(
        "activation must be None, 'identity', a layer such as LeakyReLU(0.2) that derives from "
        f"skcnn.layers.Activation, or one of {sorted(ACTIVATIONS)}, got {activation!r}"
    )
