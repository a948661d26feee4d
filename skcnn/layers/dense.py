"""Fully connected layers."""

import numpy as np

from skcnn.kernels.reductions import channel_sums
from skcnn.layers.activation import connect_with_activation
from skcnn.layers.base import Layer, as_size
from skcnn.layers.initializers import initial_weight


class Dense(Layer):
    r"""Fully connected layer.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, layer or None, default=None
        The activation that follows: its name, such as "relu", or a layer, such as ``LeakyReLU(0.2)``.
    use_bias : bool, default=True
        Whether to add a bias to each output.

    Notes
    -----
    Input ``(f,)``, output ``(units,)``, parameters ``weight`` of shape ``(f, units)`` and ``bias`` of
    shape ``(units,)``: :math:`y = x W + b`. The estimator flattens images before the first dense layer.

    References
    ----------
    Rumelhart, Hinton and Williams (1986), "Learning representations by back-propagating errors",
    Nature.

    Examples
    --------
    >>> from skcnn.layers import Dense
    >>> Dense(10).output_shape((64,))
    (10,)
    """

    decayed_params = ("weight",)
    backward_reads = ("X",)
    takes_vectors = True
    _parameter_constraints: dict = {"use_bias": ["boolean"]}

    def __init__(self, units, *, activation=None, use_bias=True):
        self.units = units
        self.activation = activation
        self.use_bias = use_bias

    def connect(self, graph, name, source):
        return connect_with_activation(graph, name, self, source)

    def output_shape(self, input_shape):
        if len(input_shape) != 1:
            raise ValueError(
                f"expected a vector (features,), got shape {input_shape}: put Flatten() before it"
            )
        return (as_size(self.units, "units"),)

    def init_params(self, input_shape, *, activation, dtype, rng):
        shape = (*input_shape, as_size(self.units, "units"))
        gain = None if activation is None else activation.gain
        weight = initial_weight(shape, *shape, gain=gain, dtype=dtype, rng=rng)
        return {"weight": weight, "bias": np.zeros(shape[1], dtype)} if self.use_bias else {"weight": weight}

    def param_shapes(self, input_shape):
        shape = (*input_shape, as_size(self.units, "units"))
        return {"weight": shape, "bias": shape[1:]} if self.use_bias else {"weight": shape}

    def multiply_adds(self, input_shape):
        """Return ``f * units``."""
        return input_shape[0] * self.output_shape(input_shape)[0]

    def forward(self, params, X, unit, *, training, out):
        np.matmul(X, params["weight"], out=out)
        return np.add(out, params["bias"], out=out) if self.use_bias else out

    def backward(self, params, dY, unit, *, need_dX, out):
        unit.add_gradient_product("weight", unit.X.T, dY)
        if self.use_bias:
            unit.add_gradient("bias", channel_sums(dY))
        return np.matmul(dY, params["weight"].T, out=out) if need_dX else None
