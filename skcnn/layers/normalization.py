"""Normalization layers."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from skcnn.kernels.channelwise import channelwise
from skcnn.kernels.reductions import channel_sums, image_sums
from skcnn.layers.base import MergingLayer


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
    The shape stays, ``(h, w, c)`` or ``(f,)``. With :math:`\mu` and :math:`\sigma^2` the mean and the
    biased variance of a channel over all pixels of the minibatch, weighted by ``sample_weight``,

    .. math:: y = \gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta

    and for :math:`q` the share of a pixel in the weights (one over their number where equal),

    .. math:: \frac{\partial L}{\partial x} = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}
        \left(\frac{\partial L}{\partial y} - q \sum \frac{\partial L}{\partial y}
        - q \hat x \sum \frac{\partial L}{\partial y} \hat x\right).

    Parameters are ``scale`` :math:`\gamma` and ``shift`` :math:`\beta`, state ``running_mean``,
    ``running_variance`` and ``n_updates``. The running statistics are exponential averages corrected
    for their zero start; prediction uses them in place of the minibatch's. A minibatch with a single value
    for each channel is normalized to zero, so nothing in front of the layer learns from it.

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

    state_params = ("running_mean", "running_variance", "n_updates")
    backward_reads = ("X",)
    _parameter_constraints: dict = {
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, momentum=0.9, epsilon=1e-5):
        self.momentum = momentum
        self.epsilon = epsilon

    def init_params(self, input_shape, *, activation, dtype, rng):
        """Return scale, shift and running statistics; see :meth:`Layer.init_params`."""
        channels = input_shape[-1]
        return {
            "scale": np.ones(channels, dtype),
            "shift": np.zeros(channels, dtype),
            "running_mean": np.zeros(channels, dtype),
            "running_variance": np.ones(channels, dtype),
            "n_updates": np.zeros((), np.int64),
        }

    def multiply_adds(self, input_shape):
        """Return one for each activation."""
        return int(np.prod(input_shape))

    def statistics(self, X, unit):
        """Return total weight, mean and sum of squared deviations of each channel.

        Pixels of an image are added up in the dtype of X, images in float64.
        """
        weights = np.ones(X.shape[-2]) if unit.weights is None else unit.weights
        total = float(weights.sum())
        n_pixels = X[..., 0, 0].size
        mean = weights @ image_sums(X).astype(np.float64) / (total * n_pixels)
        deviations = channelwise(
            np.subtract, X, mean.astype(X.dtype), out=unit.scratch("deviations", X.shape)
        )
        offset = weights @ image_sums(deviations).astype(np.float64) / (total * n_pixels)
        np.square(deviations, out=deviations)
        squares = weights @ image_sums(deviations).astype(np.float64)
        # the mean was rounded before it was subtracted: take the squares about the exact one
        return total * n_pixels, mean.astype(X.dtype) + offset, squares - total * n_pixels * offset**2

    def merge(self, params, partials):
        """Combine the statistics of the units by the parallel formula of Chan, Golub and LeVeque (1979)."""
        total, mean, squares = partials[0]
        for other_total, other_mean, other_squares in partials[1:]:
            difference = other_mean - mean
            new_total = total + other_total
            mean = mean + difference * (other_total / new_total)
            squares = squares + other_squares + difference**2 * (total * other_total / new_total)
            total = new_total
        variance = np.maximum(squares / total, 0)
        n_updates = params["n_updates"] + 1
        step = (1 - self.momentum) / (1 - self.momentum ** float(n_updates))
        state = {
            "running_mean": params["running_mean"] + step * (mean - params["running_mean"]),
            "running_variance": params["running_variance"] + step * (variance - params["running_variance"]),
            "n_updates": n_updates,
        }
        return self._normalizer(mean, variance, params) | {"total": total}, state

    def _normalizer(self, mean, variance, params):
        """Return mean and inverse deviation in the compute dtype."""
        dtype = params["scale"].dtype
        deviation = np.sqrt(np.asarray(variance, np.float64) + self.epsilon)
        return {"mean": np.asarray(mean, dtype), "inverse": (1 / deviation).astype(dtype)}

    def prepare(self, params, *, training):
        """Return the normalizer of the running statistics, for prediction."""
        return (
            None if training else self._normalizer(params["running_mean"], params["running_variance"], params)
        )

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        normalizer = unit.merged if training else unit.prepared
        channelwise(np.subtract, X, normalizer["mean"], out=out)
        channelwise(np.multiply, out, normalizer["inverse"] * params["scale"], out=out)
        return channelwise(np.add, out, params["shift"], out=out)

    def backward_statistics(self, params, dY, unit):
        """Return the sums of dY and of dY times the normalized input; they are the gradients, too."""
        normalized = self._normalized(unit)
        shift_gradient = channel_sums(dY)
        np.multiply(normalized, dY, out=normalized)
        scale_gradient = channel_sums(normalized)
        unit.add_gradient("shift", shift_gradient)
        unit.add_gradient("scale", scale_gradient)
        return shift_gradient.astype(np.float64), scale_gradient.astype(np.float64)

    def backward_merge(self, params, merged, partials):
        """Divide the sums over all units by the total weight."""
        dtype = params["scale"].dtype
        mean_dY = sum(shift for shift, _ in partials) / merged["total"]
        mean_product = sum(scale for _, scale in partials) / merged["total"]
        return merged | {"mean_dY": mean_dY.astype(dtype), "mean_product": mean_product.astype(dtype)}

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradient; see :meth:`Layer.backward`."""
        if not need_dX:
            return None
        merged = unit.merged
        means = self._normalized(unit)
        channelwise(np.multiply, means, merged["mean_product"], out=means)
        channelwise(np.add, means, merged["mean_dY"], out=means)
        if unit.weights is not None:
            np.multiply(means, unit.weights.astype(dY.dtype)[:, np.newaxis], out=means)
        np.subtract(dY, means, out=out)
        return channelwise(np.multiply, out, merged["inverse"] * params["scale"], out=out)

    def _normalized(self, unit):
        """Return the normalized input in scratch memory."""
        normalized = unit.scratch("normalized", unit.X.shape)
        channelwise(np.subtract, unit.X, unit.merged["mean"], out=normalized)
        return channelwise(np.multiply, normalized, unit.merged["inverse"], out=normalized)
