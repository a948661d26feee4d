"""Normalization layers."""

from abc import abstractmethod
from math import prod
from numbers import Real

import numpy as np

from skcnn._sklearn import Interval
from skcnn.kernels.base import Affine
from skcnn.kernels.channelwise import channelwise
from skcnn.kernels.reductions import channel_sums, image_sums, merge_moments
from skcnn.kernels.table import NUMPY
from skcnn.layers.base import Layer, MergingLayer, as_size, check_divides


class BatchNorm(MergingLayer):
    r"""Batch normalization: each channel gets zero mean and unit variance over the minibatch.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the running statistics that an update keeps, in [0, 1).
    epsilon : float, default=1e-5
        Added to the variance, positive.

    Notes
    -----
    Keeps the shape, ``(h, w, c)`` or ``(f,)``. With :math:`\mu` and :math:`\sigma^2` the mean and the
    biased variance of a channel over all pixels of the minibatch, weighted by ``sample_weight``,

    .. math:: y = \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta

    and with :math:`q` the share of a pixel in the total weight (without weights, one over the number of
    pixels),

    .. math:: \frac{\partial L}{\partial x} = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}
        \left(\frac{\partial L}{\partial y} - q \sum \frac{\partial L}{\partial y}
        - q \hat x \sum \frac{\partial L}{\partial y} \hat x\right).

    Parameters are ``scale`` :math:`\gamma` and ``shift`` :math:`\beta`, buffers ``running_mean``,
    ``running_variance`` and ``n_updates``. The running statistics are exponential moving averages with bias
    correction; prediction uses them instead of the minibatch statistics. A minibatch with a single value
    per channel is normalized to zero, so layers before this one learn nothing from it.

    A chunk of ``partial_fit`` with fewer than 8 samples, or with one class, says too little about other
    chunks. It is normalized by the running statistics, after an update by its mean :math:`m` and variance
    :math:`v`. The update treats the chunk as part of a mixture, with the weight of
    :math:`u = \min(1, \text{samples} / 64)` updates. After :math:`n` updates, this one included,

    .. math:: s = \frac{1 - \text{momentum}^u}{1 - \text{momentum}^n}, \quad
        \bar m \leftarrow (1 - s) \bar m + s m, \quad
        \bar v \leftarrow (1 - s) \bar v + s v + s (1 - s) (m - \bar m)^2.

    References
    ----------
    Ioffe and Szegedy (2015), "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", ICML.

    Examples
    --------
    >>> from skcnn.layers import BatchNorm
    >>> BatchNorm().output_shape((28, 28, 32))
    (28, 28, 32)
    """

    buffer_params = ("running_mean", "running_variance", "n_updates")
    count_params = ("n_updates",)
    _kernels = NUMPY  # an executor may run copies with others,
    _is_rectified = False  # or which take over a ReLU after them
    _parameter_constraints: dict = {
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, momentum=0.9, epsilon=1e-5):
        self.momentum = momentum
        self.epsilon = epsilon

    def init_params(self, input_shape, *, activation, dtype, rng):
        channels = input_shape[-1]
        return {
            "scale": np.ones(channels, dtype),
            "shift": np.zeros(channels, dtype),
            "running_mean": np.zeros(channels, dtype),
            "running_variance": np.ones(channels, dtype),
            "n_updates": np.zeros(()),
        }

    def param_shapes(self, input_shape):
        vectors = ("scale", "shift", "running_mean", "running_variance")
        return dict.fromkeys(vectors, input_shape[-1:]) | {"n_updates": ()}

    def multiply_adds(self, input_shape):
        """Return one for each activation."""
        return prod(input_shape)

    def reads_in_backward(self, input_shape):
        """Return "X", unless the kernel keeps what it needs."""
        return ("X",) if self.plan(input_shape).reads_images else ()

    def plan(self, input_shape):
        return self._kernels.batch_norm(self._is_rectified)

    def statistics(self, X, unit):
        """Return total weight, mean and sum of squared deviations of each channel."""
        return unit.plan.statistics(X, unit.weights, unit.scratch, unit.kept)

    def merge(self, params, partials, *, part=None):
        """Combine the statistics of the units by :func:`~skcnn.kernels.reductions.merge_moments`.

        A chunk of a stream updates the running statistics as part of a mixture: differences between chunks
        count as variance, too. In its backward pass the running statistics are constants.
        """
        total, mean, squares = merge_moments(partials)
        variance = np.maximum(squares / total, 0)
        share = 1 if part is None else part
        n_updates = params["n_updates"] + share
        rate = (1 - self.momentum**share) / (1 - self.momentum ** float(n_updates))
        difference = mean - params["running_mean"]
        between = 0 if part is None else rate * (1 - rate) * difference**2
        buffers = {
            "running_mean": params["running_mean"] + rate * difference,
            "running_variance": params["running_variance"]
            + rate * (variance - params["running_variance"])
            + between,
            "n_updates": n_updates,
        }
        if part is not None:
            mean, variance, total = buffers["running_mean"], buffers["running_variance"], np.inf
        inverse = self._inverse(variance)
        affine = Affine(mean, params["scale"] * inverse, params["shift"])
        return {"affine": affine, "inverse": inverse, "total": total}, buffers

    def _inverse(self, variance):
        """Return the inverse standard deviation, in float64."""
        return 1 / np.sqrt(np.asarray(variance, np.float64) + self.epsilon)

    def prepare(self, params, plan, *, training, memory):
        """Return the map from inputs to outputs in prediction."""
        return None if training else Affine(params["running_mean"], self._factor(params), params["shift"])

    def factor_and_offset(self, params):
        """Return the factor and the offset that prediction applies to each channel, in float64.

        Returns
        -------
        factor, offset : ndarray of shape (c,), float64
        """
        factor = self._factor(params)
        return factor, params["shift"] - params["running_mean"] * factor

    def _factor(self, params):
        """Return the factor of deviations from the running mean, in float64."""
        return params["scale"] * self._inverse(params["running_variance"])

    def forward(self, params, X, unit, *, training, out):
        if not training:
            return unit.plan.predict(X, unit.prepared, out)
        return unit.plan.forward(unit.X, unit.merged["affine"], out, unit.kept)

    def backward_statistics(self, params, dY, unit):
        """Return the sums of dY and of dY times the normalized input, which are also the gradients."""
        affine, inverse = unit.merged["affine"], unit.merged["inverse"]
        dY_sum, product_sum = unit.plan.backward_statistics(unit.X, dY, affine, unit.scratch, unit.kept)
        product_sum = product_sum * inverse
        unit.add_gradient("shift", dY_sum.astype(dY.dtype))
        unit.add_gradient("scale", product_sum.astype(dY.dtype))
        return dY_sum.astype(np.float64), product_sum

    def backward_merge(self, params, merged, partials):
        """Return what normalization takes away from the gradient of a pixel, by the pixel."""
        mean_dY = sum(dY_sum for dY_sum, _ in partials) / merged["total"]
        mean_product = sum(product_sum for _, product_sum in partials) / merged["total"]
        return merged | {"means": Affine(merged["affine"].center, merged["inverse"] * mean_product, mean_dY)}

    def backward(self, params, dY, unit, *, need_dX, out):
        if not need_dX:
            return None
        affine, means = unit.merged["affine"], unit.merged["means"]
        return unit.plan.backward(unit.X, dY, affine, means, unit.weights, out, unit.scratch, unit.kept)


class ChannelAffine(Layer):
    r"""Batch normalization as in prediction: :math:`y = f x + o`, with one factor and offset per channel.

    Examples
    --------
    >>> ChannelAffine().output_shape((8, 8, 3))
    (8, 8, 3)
    """

    works_in_place = True
    constant_params = ("factor", "offset")

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"factor": np.ones(input_shape[-1], dtype), "offset": np.zeros(input_shape[-1], dtype)}

    def param_shapes(self, input_shape):
        return {"factor": input_shape[-1:], "offset": input_shape[-1:]}

    def forward(self, params, X, unit, *, training, out):
        channelwise(np.multiply, X, params["factor"], out=out)
        return channelwise(np.add, out, params["offset"], out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return channelwise(np.multiply, dY, params["factor"], out=out) if need_dX else None


class SampleNorm(Layer):
    r"""Base class of layers that normalize groups of values within each sample.

    Notes
    -----
    With :math:`\mu` and :math:`\sigma^2` the mean and the biased variance over a group,
    :math:`\hat x = (x - \mu) / \sqrt{\sigma^2 + \epsilon}` and :math:`y = \gamma_c \hat x + \beta_c`. For
    :math:`g = \gamma_c \, \partial L / \partial y`, with bars for means over the group,

    .. math:: \frac{\partial L}{\partial x} = \frac{1}{\sqrt{\sigma^2 + \epsilon}}
        \left(g - \overline{g} - \hat x \, \overline{g \hat x}\right).
    """

    backward_reads = ("X",)
    _parameter_constraints: dict = {"epsilon": [Interval(Real, 0, None, closed="neither")]}

    @abstractmethod
    def count_normalized_together(self, input_shape):
        """Return the number of values in a group; raise a ValueError if the shape does not fit."""

    @abstractmethod
    def means(self, X):
        """Return the mean of the group of each value, in a shape that broadcasts to X."""

    def output_shape(self, input_shape):
        if self.count_normalized_together(input_shape) == 1:
            raise ValueError(
                "each value would be normalized by itself, which always gives zero; "
                f"{self._remedy(input_shape)}"
            )
        return input_shape

    @abstractmethod
    def _remedy(self, input_shape):
        """Return advice for a group of a single value."""

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"scale": np.ones(input_shape[-1], dtype), "shift": np.zeros(input_shape[-1], dtype)}

    def param_shapes(self, input_shape):
        return {"scale": input_shape[-1:], "shift": input_shape[-1:]}

    def multiply_adds(self, input_shape):
        """Return one for each activation."""
        return prod(input_shape)

    def scratch_size(self, input_shape):
        """Return three for each activation."""
        return 3 * prod(input_shape)

    def forward(self, params, X, unit, *, training, out):
        self._normalize(X, unit, out)
        channelwise(np.multiply, out, params["scale"], out=out)
        return channelwise(np.add, out, params["shift"], out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        normalized = unit.scratch("normalized", dY.shape)
        inverse = self._normalize(unit.X, unit, normalized)
        products = np.multiply(normalized, dY, out=unit.scratch("products", dY.shape))
        unit.add_gradient("scale", channel_sums(products))
        unit.add_gradient("shift", channel_sums(dY))
        if not need_dX:
            return None
        channelwise(np.multiply, products, params["scale"], out=products)
        np.multiply(normalized, self.means(products), out=normalized)
        channelwise(np.multiply, dY, params["scale"], out=dY)
        np.subtract(dY, self.means(dY), out=out)
        np.subtract(out, normalized, out=out)
        return np.multiply(out, inverse, out=out)

    def _normalize(self, X, unit, out):
        """Write the normalized input into ``out`` and return the inverse deviations."""
        np.subtract(X, self.means(X), out=out)
        np.subtract(out, self.means(out), out=out)  # the mean was rounded, which shows if all are equal
        squares = np.multiply(out, out, out=unit.scratch("squares", X.shape))
        smallest = np.finfo(X.dtype).tiny  # an epsilon for float64 may be zero in float32
        inverse = 1 / np.sqrt(self.means(squares) + X.dtype.type(max(self.epsilon, smallest)))
        np.multiply(out, inverse, out=out)
        return inverse


class LayerNorm(SampleNorm):
    r"""Layer normalization: the channels of each pixel get zero mean and unit variance.

    The paper normalizes over all values of a sample: for images, use ``GroupNorm(1)``.

    Parameters
    ----------
    epsilon : float, default=1e-5
        Added to the variance, positive.

    Notes
    -----
    Keeps the shape, ``(h, w, c)`` or ``(f,)``. With :math:`\mu` and :math:`\sigma^2` the mean and the
    biased variance over the channels of a pixel, or over a vector,

    .. math:: y_c = \gamma_c (x_c - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta_c.

    Parameters are ``scale`` :math:`\gamma` and ``shift`` :math:`\beta` of shape ``(c,)``. Nothing depends on
    the minibatch. There must be at least two channels: a value normalized by itself is zero.

    References
    ----------
    Ba, Kiros and Hinton (2016), "Layer normalization", arXiv:1607.06450.

    Examples
    --------
    >>> from skcnn.layers import LayerNorm
    >>> LayerNorm().output_shape((28, 28, 32))
    (28, 28, 32)
    """

    def __init__(self, epsilon=1e-5):
        self.epsilon = epsilon

    def count_normalized_together(self, input_shape):
        """Return the number of channels."""
        return input_shape[-1]

    def _remedy(self, input_shape):
        others = "BatchNorm() or GroupNorm(1)" if prod(input_shape) > 1 else "BatchNorm()"
        return f"with one channel, use {others} or leave the layer out"

    def means(self, X):
        """Return the means over the last axis."""
        channels = X.shape[-1]
        shares = np.full(channels, 1 / channels, X.dtype)
        return (X.reshape(-1, channels) @ shares).reshape(*X.shape[:-1], 1)


class GroupNorm(SampleNorm):
    r"""Group normalization: groups of channels of each image get zero mean and unit variance.

    Parameters
    ----------
    groups : int, default=8
        Number of groups of neighbouring channels; must divide the number of channels. With as many groups as
        channels this is instance normalization.
    epsilon : float, default=1e-5
        Added to the variance, positive.

    Notes
    -----
    Keeps the shape, ``(h, w, c)`` or ``(f,)``. With :math:`\mu` and :math:`\sigma^2` the mean and the
    biased variance over all pixels and the ``c / groups`` channels of a group,

    .. math:: y_{ijc} = \gamma_c (x_{ijc} - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta_c.

    Parameters are ``scale`` :math:`\gamma` and ``shift`` :math:`\beta` of shape ``(c,)``. Nothing depends on
    the minibatch. A group must have at least two values: a value normalized by itself is zero.

    References
    ----------
    Wu and He (2018), "Group normalization", ECCV.
    Ulyanov, Vedaldi and Lempitsky (2016), "Instance normalization: the missing ingredient for fast
    stylization", arXiv:1607.08022.

    Examples
    --------
    >>> from skcnn.layers import GroupNorm
    >>> GroupNorm(4).output_shape((28, 28, 32))
    (28, 28, 32)
    """

    def __init__(self, groups=8, epsilon=1e-5):
        self.groups = groups
        self.epsilon = epsilon

    def count_normalized_together(self, input_shape):
        """Return the pixels times the channels of a group; raise a ValueError if groups are uneven."""
        groups = as_size(self.groups, "groups")
        check_divides(groups, channels=input_shape[-1])
        return prod(input_shape) // groups

    def _remedy(self, input_shape):
        if input_shape[-1] == 1:
            return "with one channel, use BatchNorm() or leave the layer out"
        return f"use fewer groups than the {input_shape[-1]} channels"

    def means(self, X):
        """Return the means over pixels and groups, of shape (n, c)."""
        sums = image_sums(X)
        n_samples, channels = sums.shape
        groups = as_size(self.groups, "groups")
        by_group = sums.reshape(n_samples, groups, -1).sum(axis=-1)
        by_group /= X.size // (n_samples * groups)
        return np.repeat(by_group, channels // groups, axis=-1)
