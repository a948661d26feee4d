"""A convolution whose filters come from the training data."""

from math import prod
from numbers import Real

import numpy as np

from skcnn._sklearn import Interval
from skcnn.kernels.patches import patch_moments
from skcnn.layers.base import as_pair, as_size
from skcnn.layers.convolution import Convolution


class PatchWhitening(Convolution):
    r"""Convolution with fixed weights that makes the values of neighbouring pixels uncorrelated.

    The filters are the principal directions of patches of the training images, each divided by the standard
    deviation of the patches along it, and each with both signs. They are computed before training.

    Parameters
    ----------
    filters : int or None, default=None
        Number of filters, an even number: the first ``filters / 2`` directions with both signs. None: all
        directions, which gives twice as many filters as a patch has values.
    kernel_size : int or pair of int, default=2
        Height and width of a patch, in pixels; at most those of the image.
    padding : {"same", "valid"}, int or pair, default="same"
        Zeros around the image, as for :class:`Conv2D`.
    activation : str, layer or None, default=None
        The activation that follows: its name, such as "relu", or a layer, such as ``LeakyReLU(0.2)``.
    epsilon : float, default=5e-4
        Added to the variances of the directions, as a fraction of their mean. It keeps directions with hardly
        any variance from amplifying noise.

    Notes
    -----
    Input ``(h, w, c)``, output ``(h', w', filters)``, parameters ``weight`` of shape ``(kh, kw, c, filters)``
    and ``bias`` of shape ``(filters,)``, which training does not change. With the mean :math:`\mu` of the
    patches of the training images, as they reach the layer, and the eigenvectors :math:`v_k` of their
    covariance, sorted by decreasing eigenvalues :math:`\lambda_k`:

    .. math:: w_k = \pm v_k / \sqrt{\lambda_k + \epsilon \bar \lambda}, \quad b_k = - w_k \cdot \mu

    Samples are weighted by ``sample_weight``. The sign of an eigenvector is arbitrary, so the one with a
    positive product with fixed numbers comes first.

    References
    ----------
    Coates, Ng and Lee (2011), "An analysis of single-layer networks in unsupervised feature learning",
    AISTATS, section 3.2.2.
    Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498, section 3.2, for a
    first layer with both signs that is not trained.

    Examples
    --------
    >>> from skcnn.layers import PatchWhitening
    >>> PatchWhitening().output_shape((32, 32, 3))
    (32, 32, 24)
    """

    decayed_params = ()
    constant_params = ("weight", "bias")
    strides = dilation = 1
    use_bias = True

    _parameter_constraints: dict = {"epsilon": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, filters=None, kernel_size=2, *, padding="same", activation=None, epsilon=5e-4):
        self.filters = filters
        self.kernel_size = kernel_size
        self.padding = padding
        self.activation = activation
        self.epsilon = epsilon

    def output_shape(self, input_shape):
        output_shape = super().output_shape(input_shape)
        size = as_pair(self.kernel_size, "kernel_size")
        if any(length > pixels for length, pixels in zip(size, input_shape, strict=False)):
            raise ValueError(
                f"kernel_size={size} is larger than the image, which has no patch of that size to learn from"
            )
        return output_shape

    def filter_count(self, channels):
        n_values = prod(as_pair(self.kernel_size, "kernel_size")) * channels
        if self.filters is None:
            return 2 * n_values
        filters = as_size(self.filters, "filters")
        if filters % 2 or filters > 2 * n_values:
            raise ValueError(
                f"filters must be None or an even number of at most {2 * n_values}, for both signs of "
                f"{n_values} directions, got {filters}"
            )
        return filters

    def group_count(self, channels):
        """Return 1."""
        return 1

    def weight_shape(self, channels):
        """Return ``(kh, kw, c, filters)``."""
        return (*as_pair(self.kernel_size, "kernel_size"), channels, self.filter_count(channels))

    def init_from_data(self, params, inputs):
        weight = params["weight"]
        mean, covariance = patch_moments(inputs, weight.shape[:2])
        if not np.isfinite(covariance).all():
            raise ValueError(f"the squares of its inputs are not finite in {weight.dtype}")
        variances, directions = (values[..., ::-1] for values in np.linalg.eigh(covariance))
        directions = directions * np.where(np.cos(np.arange(len(mean))) @ directions < 0, -1, 1)
        deviations = np.sqrt(np.maximum(variances, 0) + self.epsilon * variances.mean())
        deviations[deviations == 0] = 1.0  # all patches are equal
        filters = (directions / deviations)[:, : weight.shape[-1] // 2]
        filters = np.concatenate([filters, -filters], axis=1)
        bias = -mean @ filters
        if max(np.abs(filters).max(), np.abs(bias).max()) > np.finfo(weight.dtype).max:
            raise ValueError(f"its inputs vary too little to be whitened in {weight.dtype}")
        np.copyto(weight, filters.reshape(weight.shape), casting="same_kind")
        np.copyto(params["bias"], bias, casting="same_kind")

    def backward(self, params, dY, unit, *, need_dX, out):
        if not need_dX:
            return None
        gradient = unit.scratch("gradient", unit.plan.gradient_shape)  # of weight and bias, not used
        return unit.plan.backward(unit.X, dY, unit.prepared, gradient, out, unit.scratch, unit.kept)

    def finish(self, params, unit):
        """Add no gradients, since weight and bias are constant."""
