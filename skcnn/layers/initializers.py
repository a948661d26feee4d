"""Initial weights whose scale follows from the activation after the layer."""

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
    r"""Draw a weight array: normal with the deviation that a gain asks for, else Glorot uniform.

    Parameters
    ----------
    shape : tuple of int
        Shape of the weights.
    fan_in, fan_out : int
        Number of inputs that an output sums over, and of outputs that an input reaches.
    gain : float or None
        Of the activation that the output goes into, see :attr:`skcnn.layers.Activation.gain`; None where
        there is none.
    dtype : numpy.dtype
        Type of the result; the draws are in float64, so float32 and float64 networks start alike.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    weight : ndarray of the given shape and dtype

    Raises
    ------
    ValueError
        If the gain is no positive number.
    MemoryError
        If there is no memory for so many weights.

    Notes
    -----
    With a gain :math:`g`: :math:`N(0, g^2 / n_{in})`, which is He's start for :math:`g = \sqrt 2` and LeCun's
    for :math:`g = 1`. Glorot: :math:`U(-b, b)` with :math:`b = \sqrt{6 / (n_{in} + n_{out})}`.

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
        raise ValueError(f"the gain of the activation after it must be a number > 0 or None, got {gain!r}")
    try:
        if gain is None:
            bound = math.sqrt(6.0 / (fan_in + fan_out))
            weight = rng.uniform(-bound, bound, shape)
        else:
            weight = rng.standard_normal(shape) * (gain / math.sqrt(fan_in))
        return weight.astype(dtype)
    except (MemoryError, ValueError, OverflowError) as error:  # the last two where a size has too many digits
        raise MemoryError(f"no memory for {math.prod(shape):,} weights, of shape {shape}") from error


def pass_channels_on(weight: np.ndarray, groups: int = 1) -> None:
    """Let filter i of a convolution give channel i of those that it sees, in place.

    Parameters
    ----------
    weight : ndarray of shape (kh, kw, channels, filters), C-contiguous
        As many filters as channels, or all where there are fewer, get one at the center of the window and
        zeros elsewhere; further ones stay as they are.
    groups : int, default=1
        Number of groups of filters, each of which this happens in.

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
