"""Activations that multiply their input by a gate between zero and one, a function of the input."""

import math

import numpy as np
from scipy.special import expit, ndtr

from skcnn._sklearn import StrOptions
from skcnn.layers.base import ElementwiseActivation


class SiLU(ElementwiseActivation):
    r"""Sigmoid linear unit, also called swish.

    Notes
    -----
    Keeps the shape. :math:`y = x \sigma(x)`, with :math:`\sigma(x) = 1 / (1 + e^{-x})` and derivative
    :math:`\sigma(x) (1 + x (1 - \sigma(x)))`.

    References
    ----------
    Elfwing, Uchibe and Doya (2018), "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", Neural Networks.
    Ramachandran, Zoph and Le (2017), "Searching for activation functions", arXiv:1710.05941.

    Examples
    --------
    >>> from skcnn.layers import SiLU
    >>> SiLU().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "silu"
    gain = math.sqrt(2)
    backward_reads = ("X",)

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(expit(X, out=out), X, out=out)

    def slope(self, unit, out):
        """Return the derivative."""
        gate = expit(unit.X, out=unit.scratch("gate", out.shape))
        np.subtract(1, gate, out=out)
        np.multiply(out, unit.X, out=out)
        np.add(out, 1, out=out)
        return np.multiply(out, gate, out=out)


class GELU(ElementwiseActivation):
    r"""Gaussian error linear unit.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default="none"
        "tanh": an approximation by a hyperbolic tangent, with which some networks were trained.

    Notes
    -----
    Keeps the shape. :math:`y = x \Phi(x)`, with :math:`\Phi` the distribution function of the normal
    distribution and :math:`\varphi` its density; derivative :math:`\Phi(x) + x \varphi(x)`.

    The approximation is :math:`y = x (1 + \tanh u) / 2 = x \sigma(2 u)` for
    :math:`u = \sqrt{2 / \pi} (x + 0.044715 x^3)`, with derivative
    :math:`\sigma(2 u) + 2 x u' \sigma(2 u) (1 - \sigma(2 u))`.

    References
    ----------
    Hendrycks and Gimpel (2016), "Gaussian error linear units (GELUs)", arXiv:1606.08415.

    Examples
    --------
    >>> from skcnn.layers import GELU
    >>> GELU().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "gelu"
    gain = math.sqrt(2)
    backward_reads = ("X",)

    _parameter_constraints: dict = {"approximate": [StrOptions({"none", "tanh"})]}
    _CUBIC = 0.044715
    _SCALE = 2 * math.sqrt(2 / math.pi)

    def __init__(self, approximate="none"):
        self.approximate = approximate

    def forward(self, params, X, unit, *, training, out):
        gate = self._tanh_gate(X, unit, out) if self.approximate == "tanh" else ndtr(X, out=out)
        return np.multiply(gate, X, out=out)

    def slope(self, unit, out):
        """Return the derivative."""
        return self._tanh_slope(unit, out) if self.approximate == "tanh" else self._normal_slope(unit, out)

    def _normal_slope(self, unit, out):
        density = np.clip(unit.X, -40, 40, out=unit.scratch("density", out.shape))  # beyond, it is zero
        np.multiply(density, density, out=density)
        np.multiply(density, -0.5, out=density)
        np.exp(density, out=density)
        np.multiply(density, unit.X, out=density)
        np.multiply(density, 1 / math.sqrt(2 * math.pi), out=density)
        return np.add(ndtr(unit.X, out=out), density, out=out)

    def _tanh_gate(self, X, unit, out):
        clipped = np.clip(X, -40, 40, out=unit.scratch("clipped", X.shape))  # beyond, the gate is zero or one
        np.multiply(clipped, clipped, out=out)
        np.multiply(out, self._CUBIC, out=out)
        np.add(out, 1, out=out)
        np.multiply(out, clipped, out=out)
        np.multiply(out, self._SCALE, out=out)
        return expit(out, out=out)

    def _tanh_slope(self, unit, out):
        gate = self._tanh_gate(unit.X, unit, unit.scratch("gate", out.shape))
        clipped = np.clip(unit.X, -40, 40, out=unit.scratch("clipped", out.shape))
        np.multiply(clipped, clipped, out=out)
        np.multiply(out, 3 * self._CUBIC, out=out)
        np.add(out, 1, out=out)
        np.multiply(out, clipped, out=out)
        np.multiply(out, self._SCALE, out=out)
        np.multiply(out, gate, out=out)
        np.multiply(out, np.subtract(1, gate, out=clipped), out=out)
        return np.add(out, gate, out=out)


class HardSwish(ElementwiseActivation):
    r"""Swish with a piecewise linear gate.

    Notes
    -----
    Keeps the shape. :math:`y = x \min(\max(x + 3, 0), 6) / 6`; derivative 0 up to -3, 1 from 3 on and
    :math:`(2 x + 3) / 6` between.

    References
    ----------
    Howard et al. (2019), "Searching for MobileNetV3", ICCV.

    Examples
    --------
    >>> from skcnn.layers import HardSwish
    >>> HardSwish().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "hard_swish"
    gain = math.sqrt(2)
    backward_reads = ("X",)

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(self._gate(X, out), X, out=out)

    def slope(self, unit, out):
        """Return the derivative."""
        gate = self._gate(unit.X, out)
        rises = np.abs(unit.X, out=unit.scratch("rises", out.shape))
        np.less(rises, 3, out=rises)
        np.multiply(rises, unit.X, out=rises)
        np.multiply(rises, 1 / 6, out=rises)
        return np.add(gate, rises, out=out)

    def _gate(self, X, out):
        np.add(X, 3, out=out)
        np.clip(out, 0, 6, out=out)
        return np.multiply(out, 1 / 6, out=out)


class Mish(ElementwiseActivation):
    r"""Input times the hyperbolic tangent of its softplus.

    Notes
    -----
    Keeps the shape. :math:`y = x t` with :math:`t = \tanh(\log(1 + e^x))`, and derivative
    :math:`t + x (1 - t^2) \sigma(x)`.

    References
    ----------
    Misra (2020), "Mish: a self regularized non-monotonic activation function", BMVC.

    Examples
    --------
    >>> from skcnn.layers import Mish
    >>> Mish().output_shape((8, 8, 16))
    (8, 8, 16)
    """

    name = "mish"
    gain = math.sqrt(2)
    backward_reads = ("X",)

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(self._gate(X, unit, out), X, out=out)

    def slope(self, unit, out):
        """Return the derivative."""
        gate = self._gate(unit.X, unit, unit.scratch("gate", out.shape))
        rise = expit(unit.X, out=unit.scratch("rise", out.shape))
        np.multiply(rise, unit.X, out=rise)
        np.multiply(gate, gate, out=out)
        np.subtract(1, out, out=out)
        np.multiply(out, rise, out=out)
        return np.add(out, gate, out=out)

    def _gate(self, X, unit, out):
        """Return the hyperbolic tangent, which is m / (m + 2) for m = n (n + 2) and n = exp(x)."""
        n = np.minimum(X, 20, out=unit.scratch("n", X.shape))  # beyond, the gate is one to the last digit
        np.exp(n, out=n)
        np.add(n, 2, out=out)
        np.multiply(out, n, out=out)
        np.add(out, 2, out=n)
        return np.divide(out, n, out=out)
