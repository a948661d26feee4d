"""Initial weights whose scale follows from the activation behind the layer."""

import numpy as np

RECTIFIERS = ("relu", "leaky_relu", "prelu", "elu", "gelu", "silu", "hard_swish", "mish")
"""Activations that let about half of a symmetric input pass."""


def initial_weight(
    shape: tuple[int, ...],
    fan_in: int,
    fan_out: int,
    *,
    activation: str | None,
    dtype: np.dtype,
    rng: np.random.Generator,
) -> np.ndarray:
    r"""Draw a weight array: He normal before a rectifier, LeCun normal before SELU, else Glorot uniform.

    Parameters
    ----------
    shape : tuple of int
        Shape of the weights.
    fan_in, fan_out : int
        Number of inputs that an output sums over, and of outputs that an input reaches.
    activation : str or None
        Name of the nonlinearity that the output goes into, None where there is none.
    dtype : numpy.dtype
        Type of the result; the draws are in float64, so float32 and float64 networks start alike.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    weight : ndarray of the given shape and dtype

    Notes
    -----
    He: :math:`N(0, 2 / n_{in})`. LeCun: :math:`N(0, 1 / n_{in})`. Glorot: :math:`U(-b, b)` with
    :math:`b = \sqrt{6 / (n_{in} + n_{out})}`.

    References
    ----------
    He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", ICCV.
    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS.
    LeCun, Bottou, Orr and Müller (1998), "Efficient backprop", Neural networks: tricks of the trade.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.initializers import initial_weight
    >>> rng = np.random.default_rng(0)
    >>> weight = initial_weight((200, 50), 200, 50, activation="relu", dtype=np.dtype("f8"), rng=rng)
    >>> round(float(weight.std()), 2)
    0.1
    """
    if activation in RECTIFIERS:
        weight = rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)
    elif activation == "selu":
        weight = rng.standard_normal(shape) * np.sqrt(1.0 / fan_in)
    else:
        bound = np.sqrt(6.0 / (fan_in + fan_out))
        weight = rng.uniform(-bound, bound, shape)
    return weight.astype(dtype)
