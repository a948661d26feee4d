"""Rectifiers: activations that pass positive numbers and reduce negative ones."""

import math
from numbers import Real

import numpy as np
from scipy.special import expit

from skcnn._sklearn import Interval
from skcnn.kernels.channelwise import channelwise
from skcnn.kernels.rectifier import rectify, rectify_backward
from skcnn.kernels.reductions import channel_sums
from skcnn.layers.base import Activation, ElementwiseActivation


class ReLU(Activation):
    r"""Rectified linear unit.

    Notes
    -----
    Keeps the shape. :math:`y = \max(x, 0)`, with derivative 0 at 0.

    References
    ----------
    Nair and Hinton (2010), "Rectified linear units improve restricted Boltzmann machines", ICML.

    Examples
    --------
    >>> from skcnn.layers import ReLU
    >>> ReLU().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    works_in_place = True
    name = "relu"
    commutes_with_maximum = True
    gain = math.sqrt(2)

    def forward(self, params, X, unit, *, training, out):
        return rectify(X, out, unit.kept if training else None)

    def backward(self, params, dY, unit, *, need_dX, out):
        return rectify_backward(dY, out, unit.kept)


class ReLU6(ElementwiseActivation):
    r"""Rectified linear unit with outputs of at most six.

    Notes
    -----
    Keeps the shape. :math:`y = \min(\max(x, 0), 6)`, with derivative 1 for :math:`0 < x < 6`, else 0.

    References
    ----------
    Krizhevsky (2010), "Convolutional deep belief networks on CIFAR-10", unpublished manuscript.
    Howard et al. (2017), "MobileNets: efficient convolutional neural networks for mobile vision
    applications", arXiv:1704.04861.

    Examples
    --------
    >>> from skcnn.layers import ReLU6
    >>> ReLU6().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    works_in_place = True
    name = "relu6"
    commutes_with_maximum = True
    gain = math.sqrt(2)
    backward_reads = ("Y",)

    def forward(self, params, X, unit, *, training, out):
        return np.clip(X, 0, 6, out=out)

    def slope(self, unit, out):
        """Return 1 where the output is between 0 and 6, else 0."""
        below = np.less(unit.Y, 6, out=unit.scratch("below", out.shape))  # 1 or 0
        np.greater(unit.Y, 0, out=out)
        return np.multiply(out, below, out=out)


class LeakyReLU(ElementwiseActivation):
    r"""Rectified linear unit with a small slope for negative numbers.

    Parameters
    ----------
    negative_slope : float, default=0.01
        Slope for negative numbers, in [0, 1].

    Notes
    -----
    Keeps the shape. :math:`y = \max(x, a x)`, with derivative :math:`a` at 0.

    References
    ----------
    Maas, Hannun and Ng (2013), "Rectifier nonlinearities improve neural network acoustic models", ICML.

    Examples
    --------
    >>> from skcnn.layers import LeakyReLU
    >>> LeakyReLU(0.2).output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "leaky_relu"
    backward_reads = ("Y",)
    _parameter_constraints: dict = {"negative_slope": [Interval(Real, 0, 1, closed="both")]}

    def __init__(self, negative_slope=0.01):
        self.negative_slope = negative_slope

    @property
    def gain(self):
        """Return ``sqrt(2 / (1 + negative_slope**2))``."""
        return leaky_gain(self.negative_slope)

    def forward(self, params, X, unit, *, training, out):
        np.multiply(X, float(self.negative_slope), out=out)
        return np.maximum(X, out, out=out)

    def slope(self, unit, out):
        """Return 1 where the output is positive, else ``negative_slope``."""
        np.greater(unit.Y, 0, out=out)
        return np.maximum(out, float(self.negative_slope), out=out)


class PReLU(Activation):
    r"""Rectified linear unit with a trainable slope for negative numbers.

    Parameters
    ----------
    initial_slope : float, default=0.25
        Slope of each channel before training.

    Notes
    -----
    Keeps the shape. :math:`y = \max(x, 0) + a_c \min(x, 0)`, with parameter ``slope`` :math:`a` of shape
    ``(c,)``, to which weight decay does not apply. The derivative at 0 is :math:`a_c`.

    References
    ----------
    He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers: surpassing human-level performance on
    ImageNet classification", ICCV.

    Examples
    --------
    >>> from skcnn.layers import PReLU
    >>> PReLU().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "prelu"
    backward_reads = ("X",)
    _parameter_constraints: dict = {"initial_slope": [Interval(Real, None, None, closed="neither")]}

    def __init__(self, initial_slope=0.25):
        self.initial_slope = initial_slope

    @property
    def gain(self):
        """Return ``sqrt(2 / (1 + initial_slope**2))``."""
        return leaky_gain(self.initial_slope)

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"slope": np.full(input_shape[-1], self.initial_slope, dtype)}

    def param_shapes(self, input_shape):
        return {"slope": input_shape[-1:]}

    def forward(self, params, X, unit, *, training, out):
        negative = np.minimum(X, 0, out=unit.scratch("negative", X.shape))
        channelwise(np.multiply, negative, params["slope"], out=negative)
        np.maximum(X, 0, out=out)
        return np.add(out, negative, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        products = np.minimum(unit.X, 0, out=unit.scratch("products", dY.shape))
        np.multiply(products, dY, out=products)
        unit.add_gradient("slope", channel_sums(products))
        if not need_dX:
            return None
        slopes = np.greater(unit.X, 0, out=products)  # 1 or 0
        channelwise(np.multiply, slopes, 1 - params["slope"], out=slopes)
        channelwise(np.add, slopes, params["slope"], out=slopes)
        return np.multiply(dY, slopes, out=out)


class ELU(ElementwiseActivation):
    r"""Exponential linear unit.

    Parameters
    ----------
    alpha : float, default=1.0
        Positive. For large negative numbers, the output approaches ``-alpha``.

    Notes
    -----
    Keeps the shape. :math:`y = x` for :math:`x > 0`, with derivative 1, else
    :math:`y = \alpha (e^x - 1)`, with derivative :math:`y + \alpha`.

    References
    ----------
    Clevert, Unterthiner and Hochreiter (2016), "Fast and accurate deep network learning by exponential
    linear units (ELUs)", ICLR.

    Examples
    --------
    >>> from skcnn.layers import ELU
    >>> ELU().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "elu"
    gain = math.sqrt(2)
    backward_reads = ("Y",)
    _parameter_constraints: dict = {"alpha": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, params, X, unit, *, training, out):
        return scaled_elu(X, float(self.alpha), 1.0, unit, out)

    def slope(self, unit, out):
        """Return 1 where the output is positive, else the output plus ``alpha``."""
        return scaled_elu_slope(float(self.alpha), 1.0, unit, out)


class CELU(ElementwiseActivation):
    r"""Continuously differentiable exponential linear unit.

    Parameters
    ----------
    alpha : float, default=1.0
        Positive. For large negative numbers, the output approaches ``-alpha``. With 1 it is :class:`ELU`.

    Notes
    -----
    Keeps the shape. :math:`y = x` for :math:`x > 0`, with derivative 1, else
    :math:`y = \alpha (e^{x / \alpha} - 1)`, with derivative :math:`y / \alpha + 1`.

    References
    ----------
    Barron (2017), "Continuously differentiable exponential linear units", arXiv:1704.07483.

    Examples
    --------
    >>> from skcnn.layers import CELU
    >>> CELU().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "celu"
    gain = math.sqrt(2)
    backward_reads = ("Y",)
    _parameter_constraints: dict = {"alpha": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, params, X, unit, *, training, out):
        negative = np.minimum(X, 0, out=unit.scratch("negative", X.shape))
        np.divide(negative, float(self.alpha), out=negative)
        np.expm1(negative, out=negative)
        np.multiply(negative, float(self.alpha), out=negative)
        np.maximum(X, 0, out=out)
        return np.add(out, negative, out=out)

    def slope(self, unit, out):
        """Return 1 where the output is positive, else 1 plus the output over ``alpha``."""
        np.minimum(unit.Y, 0, out=out)
        np.divide(out, float(self.alpha), out=out)
        return np.add(out, 1, out=out)


class SELU(ElementwiseActivation):
    r"""Scaled exponential linear unit: zero mean and unit variance are a fixed point of the layers.

    Notes
    -----
    Keeps the shape. :math:`y = \lambda x` for :math:`x > 0`, else :math:`y = \lambda \alpha (e^x - 1)`,
    with :math:`\lambda = 1.0507...` and :math:`\alpha = 1.6733...`. Initial weights before it
    have variance one over the number of inputs, as in the paper.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter (2017), "Self-normalizing neural networks", NIPS.

    Examples
    --------
    >>> from skcnn.layers import SELU
    >>> SELU().output_shape((100,))
    (100,)
    """

    name = "selu"
    gain = 1.0
    backward_reads = ("Y",)
    _ALPHA = 1.6732632423543772848170429916717
    _SCALE = 1.0507009873554804934193349852946

    def forward(self, params, X, unit, *, training, out):
        return scaled_elu(X, self._ALPHA, self._SCALE, unit, out)

    def slope(self, unit, out):
        """Return the scale where the output is positive, else the output plus scale times alpha."""
        return scaled_elu_slope(self._ALPHA, self._SCALE, unit, out)


def leaky_gain(slope: float) -> float:
    """Return the gain of a rectifier with this slope for negative numbers; see :attr:`Activation.gain`."""
    return math.sqrt(2) / math.hypot(1, slope)


def scaled_elu(X, alpha: float, scale: float, unit, out: np.ndarray) -> np.ndarray:
    """Compute ``scale * x`` for positive x, else ``scale * alpha * expm1(x)``."""
    negative = np.minimum(X, 0, out=unit.scratch("negative", X.shape))
    np.expm1(negative, out=negative)
    np.multiply(negative, alpha, out=negative)
    np.maximum(X, 0, out=out)
    np.add(out, negative, out=out)
    return out if scale == 1 else np.multiply(out, scale, out=out)


def scaled_elu_slope(alpha: float, scale: float, unit, out: np.ndarray) -> np.ndarray:
    """Compute the derivative of :func:`scaled_elu` from its output."""
    np.minimum(unit.Y, 0, out=out)
    np.add(out, scale * alpha, out=out)
    positive = np.greater(unit.Y, 0, out=unit.scratch("positive", out.shape))  # 1 or 0
    np.multiply(positive, scale - scale * alpha, out=positive)
    return np.add(out, positive, out=out)


class Softplus(ElementwiseActivation):
    r"""Smooth rectifier.

    Notes
    -----
    Keeps the shape. :math:`y = \log(1 + e^x)`, with derivative :math:`1 / (1 + e^{-x})`.

    References
    ----------
    Dugas, Bengio, Bélisle, Nadeau and Garcia (2001), "Incorporating second-order functional knowledge
    for better option pricing", NIPS.

    Examples
    --------
    >>> from skcnn.layers import Softplus
    >>> Softplus().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "softplus"
    backward_reads = ("X",)

    def forward(self, params, X, unit, *, training, out):
        smooth = np.abs(X, out=unit.scratch("smooth", X.shape))  # log(1 + exp(-|x|)), which cannot overflow
        np.negative(smooth, out=smooth)
        np.exp(smooth, out=smooth)
        np.log1p(smooth, out=smooth)
        np.maximum(X, 0, out=out)
        return np.add(out, smooth, out=out)

    def slope(self, unit, out):
        """Return the logistic sigmoid."""
        return expit(unit.X, out=out)
