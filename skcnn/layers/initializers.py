"""Initial weights, whose scale depends on the activation after the layer."""

import math
from numbers import Real

import numpy as np


def initial_weight(
    shape: tuple[int, ...],
    fan_in: int,
    fan_out: int,
    *,
    gain: float | None,
    dtype: np.dtype,
    rng: np.random.Generator,
) -> np.ndarray:
    r"""Draw initial weights: normal with a scale set by the gain, or Glorot uniform without a gain.

    Parameters
    ----------
    shape : tuple of int
        Shape of the weights.
    fan_in, fan_out : int
        Number of inputs that an output sums over, and of outputs that an input reaches.
    gain : float or None
        :attr:`skcnn.layers.Activation.gain` of the activation after the layer; None without one.
    dtype : numpy.dtype
        Dtype of the weights. Draws are in float64, so float32 and float64 networks start with equal weights.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    weight : ndarray of the given shape and dtype

    Raises
    ------
    ValueError
        If the gain is not a positive finite number.
    MemoryError
        If there is not enough memory for the weights.

    Notes
    -----
    With a gain :math:`g`: :math:`N(0, g^2 / n_{in})`, which is He initialization for :math:`g = \sqrt 2` and
    LeCun initialization for :math:`g = 1`. Glorot initialization: :math:`U(-b, b)` with
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
    >>> from skcnn.layers.initializers import initial_weight
    >>> rng = np.random.default_rng(0)
    >>> weight = initial_weight((200, 50), 200, 50, gain=2**0.5, dtype=np.dtype("f8"), rng=rng)
    >>> round(float(weight.std()), 2)
    0.1
    """
    if gain is not None and not (isinstance(gain, Real) and 0 < gain < math.inf):
        raise ValueError(f"the gain of its activation must be None or a finite number > 0, got {gain!r}")
    try:
        if gain is None:
            bound = math.sqrt(6.0 / (fan_in + fan_out))
            weight = rng.uniform(-bound, bound, shape)
        else:
            weight = rng.standard_normal(shape) * (gain / math.sqrt(fan_in))
        return weight.astype(dtype)
    except (MemoryError, ValueError, OverflowError) as error:  # the last two if a size is too large for numpy
        raise MemoryError(f"no memory for {math.prod(shape):,} weights, of shape {shape}") from error


def pass_channels_on(weight: np.ndarray, groups: int = 1) -> None:
    """Set weights, in place, with which filter i of a convolution returns channel i of its inputs.

    Parameters
    ----------
    weight : ndarray of shape (kh, kw, channels, filters), C-contiguous
        One filter for each channel gets a one at the center of the window and zeros elsewhere. Filters beyond
        the number of channels do not change.
    groups : int, default=1
        Number of groups of filters, each of which is changed in this way.

    References
    ----------
    Zagoruyko and Komodakis (2017), "DiracNets: training very deep neural networks without
    skip-connections", arXiv:1706.00388.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.layers.initializers import pass_channels_on
    >>> weight = np.full((1, 1, 2, 3), 0.5)
    >>> pass_channels_on(weight)
    >>> weight[0, 0]
    array([[1. , 0. , 0.5],
           [0. , 1. , 0.5]])
    """
    height, width, channels, filters = weight.shape
    by_group = weight.reshape(height, width, channels, groups, filters // groups)
    passing = by_group[..., :channels]
    passing[:] = 0
    passing[(height - 1) // 2, (width - 1) // 2] = np.eye(*passing.shape[2::2])[:, np.newaxis]
