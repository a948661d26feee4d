"""Convolutional layers."""

from abc import abstractmethod
from math import prod

import numpy as np

from skcnn.initializers import initial_weight
from skcnn.kernels.channelwise import channelwise
from skcnn.kernels.convolution import (
    convolution_backward_columns,
    convolution_backward_weight,
    convolution_forward,
    gather_columns,
    scatter_columns,
)
from skcnn.kernels.depthwise import (
    depthwise_backward_images,
    depthwise_backward_weight,
    depthwise_forward,
)
from skcnn.kernels.reductions import channel_sums
from skcnn.kernels.windows import sliding_windows
from skcnn.layers.activation import connect_with_activation
from skcnn.layers.base import Layer, as_pair, as_size, check_divides, check_padding, require_image


class Convolution(Layer):
    """Base class of convolutions: the geometry of the windows, the bias and the activation."""

    decayed_params = ("weight",)
    backward_reads = ("X",)
    _parameter_constraints: dict = {"use_bias": ["boolean"]}

    @abstractmethod
    def filter_count(self, channels):
        """Return the number of channels of the result; raise a ValueError where there can be none."""

    def connect(self, graph, name, source):
        """Add this layer and its activation; see :meth:`Block.connect`."""
        return connect_with_activation(graph, name, self, source)

    def output_shape(self, input_shape):
        """Return the number of windows and of filters; see :meth:`Layer.output_shape`."""
        require_image(input_shape)
        windows = self.windows(input_shape[:2])
        if min(windows.counts) < 1:
            dilated = "" if windows.dilation == (1, 1) else f" with dilation={windows.dilation}"
            raise ValueError(
                f"kernel_size={windows.size}{dilated} is larger than the padded image of "
                f"{windows.padded_size} (height, width); use a smaller kernel or more padding"
            )
        return (*windows.counts, self.filter_count(input_shape[2]))

    def windows(self, image_size):
        """Return the windows of an image of this height and width."""
        check_padding(self.padding)
        return sliding_windows(
            image_size,
            as_pair(self.kernel_size, "kernel_size"),
            strides=as_pair(self.strides, "strides"),
            dilation=as_pair(self.dilation, "dilation"),
            padding=self.padding,
        )

    def _initial_params(self, shape, fan_in, fan_out, n_biases, *, activation, dtype, rng):
        """Return ``weight`` and ``bias``."""
        gain = None if activation is None else activation.gain
        params = {"weight": initial_weight(shape, fan_in, fan_out, gain=gain, dtype=dtype, rng=rng)}
        return params | {"bias": np.zeros(n_biases, dtype)} if self.use_bias else params


class Conv2D(Convolution):
    r"""Convolution of images with a bank of filters.

    Parameters
    ----------
    filters : int
        Number of filters, the channels of the result.
    kernel_size : int or pair of int, default=3
        Height and width of a filter, in pixels.
    strides : int or pair of int, default=1
        Steps between neighbouring windows along height and width, in pixels.
    padding : {"same", "valid"}, int or pair, default="same"
        Zeros around the image. "valid": none. "same": as many as give ``ceil(size / stride)``
        results, the odd one at the end, as in Keras. An int: that many on all four sides. A pair:
        one entry for height and one for width, each an int or a pair (before, after).
    dilation : int or pair of int, default=1
        Steps between neighbouring pixels of a window along height and width, in pixels.
    groups : int, default=1
        Number of groups of neighbouring channels, and of filters that see one of them each; must divide
        both numbers.
    activation : str, layer or None, default=None
        The activation that follows: its name, such as "relu", or a layer, such as ``LeakyReLU(0.2)``.
    use_bias : bool, default=True
        Whether to add a bias to each channel. Not needed before batch normalization.

    Notes
    -----
    Input ``(h, w, c)``, result ``(h', w', filters)``, parameters ``weight`` of shape
    ``(kh, kw, c / groups, filters)`` and ``bias`` of shape ``(filters,)``:

    .. math:: y_{ijf} = b_f + \sum_{u, v, c} x_{i s + u d, j s + v d, c} \, w_{uvcf}

    with strides :math:`s`, dilation :math:`d` and :math:`x` padded; the sum is over the channels of the
    filter's group. Like in all libraries of this field, a cross-correlation.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE.
    Yu and Koltun (2016), "Multi-scale context aggregation by dilated convolutions", ICLR.
    Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural
    networks", NIPS, for groups.

    Examples
    --------
    >>> from skcnn.layers import Conv2D
    >>> Conv2D(16, 5, strides=2).output_shape((28, 28, 3))
    (14, 14, 16)
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        *,
        strides=1,
        padding="same",
        dilation=1,
        groups=1,
        activation=None,
        use_bias=True,
    ):
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.activation = activation
        self.use_bias = use_bias

    def filter_count(self, channels):
        """Return ``filters``; see :meth:`Convolution.filter_count`."""
        filters, groups = as_size(self.filters, "filters"), self._group_count()
        check_divides(groups, channels=channels, filters=filters)
        return filters

    def _group_count(self):
        return as_size(self.groups, "groups")

    def init_params(self, input_shape, *, activation, dtype, rng):
        """Return ``weight`` and ``bias``; see :meth:`Layer.init_params`."""
        height, width = as_pair(self.kernel_size, "kernel_size")
        filters, groups = self.filter_count(input_shape[2]), self._group_count()
        channels = input_shape[2] // groups
        return self._initial_params(
            (height, width, channels, filters),
            height * width * channels,
            height * width * filters // groups,
            filters,
            activation=activation,
            dtype=dtype,
            rng=rng,
        )

    def multiply_adds(self, input_shape):
        """Return ``h' * w' * filters * kh * kw * c / groups``."""
        return self.scratch_size(input_shape) * self.filter_count(input_shape[2]) // self._group_count()

    def scratch_size(self, input_shape):
        """Return the size of the gathered columns of one image."""
        windows = self.windows(input_shape[:2])
        return prod((*windows.size, *windows.counts)) * input_shape[2]

    def prepare(self, params, *, training):
        """Return the weight as matrices, shape (groups, c / groups * kh * kw, filters / groups)."""
        height, width, channels, filters = params["weight"].shape
        groups = self._group_count()
        by_group = params["weight"].reshape(height, width, channels, groups, filters // groups)
        matrices = np.ascontiguousarray(by_group.transpose(3, 2, 0, 1, 4))
        return matrices.reshape(groups, -1, filters // groups)

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        columns, _, _ = self._columns(X, unit)
        convolution_forward(columns, unit.prepared, out=out)
        return channelwise(np.add, out, params["bias"], out=out) if self.use_bias else out

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradients; see :meth:`Layer.backward`."""
        columns, padded, windows = self._columns(unit.X, unit)
        total = unit.accumulator("weight", unit.prepared.shape)
        share = unit.scratch("weight", unit.prepared.shape)
        np.add(total, convolution_backward_weight(columns, dY, out=share), out=total)
        if self.use_bias:
            unit.add_gradient("bias", channel_sums(dY))
        if not need_dX:
            return None
        convolution_backward_columns(unit.prepared, dY, out=columns)  # the columns themselves are done with
        return scatter_columns(columns, out, padded, windows)

    def finish(self, params, unit):
        """Turn the accumulated gradient back into the shape of the weight."""
        height, width, channels, filters = params["weight"].shape
        total = unit.accumulator("weight", unit.prepared.shape)
        groups = self._group_count()
        by_group = total.reshape(groups, channels, height, width, filters // groups)
        unit.add_gradient("weight", by_group.transpose(2, 3, 1, 0, 4).reshape(params["weight"].shape))

    def _columns(self, X, unit):
        """Gather the windows of X; return them, the memory of the padded images, and the windows."""
        height, width, n_images, channels = X.shape
        windows = self.windows((height, width))
        padded = unit.scratch("padded", (channels, *windows.padded_size, n_images))
        columns = unit.scratch("columns", (channels, *windows.size, *windows.counts, n_images))
        return gather_columns(X, columns, padded, windows), padded, windows


class DepthwiseConv2D(Convolution):
    r"""Convolution of each channel by itself, with one or more filters of its own.

    Parameters
    ----------
    kernel_size : int or pair of int, default=3
        Height and width of a filter, in pixels.
    strides : int or pair of int, default=1
        Steps between neighbouring windows along height and width, in pixels.
    padding : {"same", "valid"}, int or pair, default="same"
        Zeros around the image, as for :class:`Conv2D`.
    dilation : int or pair of int, default=1
        Steps between neighbouring pixels of a window along height and width, in pixels.
    depth_multiplier : int, default=1
        Number of filters of each channel.
    activation : str, layer or None, default=None
        The activation that follows: its name, such as "relu", or a layer, such as ``LeakyReLU(0.2)``.
    use_bias : bool, default=True
        Whether to add a bias to each channel of the result.

    Notes
    -----
    Input ``(h, w, c)``, result ``(h', w', c * depth_multiplier)``, parameters ``weight`` of shape
    ``(kh, kw, c, depth_multiplier)`` and ``bias``:

    .. math:: y_{i, j, c m + k} = b_{c m + k} + \sum_{u, v} x_{i s + u d, j s + v d, c} \, w_{uvck}

    with :math:`m` filters a channel, strides :math:`s`, dilation :math:`d` and :math:`x` padded. It equals
    :class:`Conv2D` with as many groups as channels.

    References
    ----------
    Howard et al. (2017), "MobileNets: efficient convolutional neural networks for mobile vision
    applications", arXiv:1704.04861.

    Examples
    --------
    >>> from skcnn.layers import DepthwiseConv2D
    >>> DepthwiseConv2D(5, depth_multiplier=2).output_shape((28, 28, 16))
    (28, 28, 32)
    """

    def __init__(
        self,
        kernel_size=3,
        *,
        strides=1,
        padding="same",
        dilation=1,
        depth_multiplier=1,
        activation=None,
        use_bias=True,
    ):
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation = dilation
        self.depth_multiplier = depth_multiplier
        self.activation = activation
        self.use_bias = use_bias

    def filter_count(self, channels):
        """Return ``channels * depth_multiplier``; see :meth:`Convolution.filter_count`."""
        return channels * self._multiplier()

    def _multiplier(self):
        return as_size(self.depth_multiplier, "depth_multiplier")

    def init_params(self, input_shape, *, activation, dtype, rng):
        """Return ``weight`` and ``bias``; see :meth:`Layer.init_params`."""
        height, width = as_pair(self.kernel_size, "kernel_size")
        return self._initial_params(
            (height, width, input_shape[2], self._multiplier()),
            height * width,
            height * width * self._multiplier(),
            self.filter_count(input_shape[2]),
            activation=activation,
            dtype=dtype,
            rng=rng,
        )

    def multiply_adds(self, input_shape):
        """Return ``h' * w' * c * depth_multiplier * kh * kw``."""
        return prod((*self.output_shape(input_shape), *self.windows(input_shape[:2]).size))

    def scratch_size(self, input_shape):
        """Return the size of the products, and of the repeated channels where there are several filters."""
        repeated = self._multiplier() * prod(input_shape) if self._multiplier() > 1 else 0
        return prod(self.output_shape(input_shape)) + repeated

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        weight, windows = self._matrix(params), self.windows(X.shape[:2])
        products = unit.scratch("products", out.shape)
        depthwise_forward(self._repeated(X, unit), weight, out, products, windows)
        return channelwise(np.add, out, params["bias"], out=out) if self.use_bias else out

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradients; see :meth:`Layer.backward`."""
        weight, windows = self._matrix(params), self.windows(unit.X.shape[:2])
        products = unit.scratch("products", dY.shape)
        X, share = self._repeated(unit.X, unit), unit.scratch("weight", weight.shape)
        depthwise_backward_weight(X, dY, share, products, windows)
        unit.add_gradient("weight", share.reshape(params["weight"].shape))
        if self.use_bias:
            unit.add_gradient("bias", channel_sums(dY))
        if not need_dX:
            return None
        if self._multiplier() == 1:
            return depthwise_backward_images(weight, dY, out, products, windows)
        depthwise_backward_images(weight, dY, X, products, windows)  # the repeated images are done with
        shares = X.reshape(*out.shape, self._multiplier())
        np.copyto(out, shares[..., 0])
        for number in range(1, self._multiplier()):  # a sum over a short last axis is slow
            np.add(out, shares[..., number], out=out)
        return out

    def _matrix(self, params):
        """Return the weight as a matrix of shape (kh * kw, c * depth_multiplier)."""
        height, width, channels, multiplier = params["weight"].shape
        return params["weight"].reshape(height * width, channels * multiplier)

    def _repeated(self, X, unit):
        """Return the images with each channel repeated for its filters."""
        if self._multiplier() == 1:
            return X
        repeated = unit.scratch("repeated", (*X.shape, self._multiplier()))
        np.copyto(repeated, X[..., np.newaxis])
        return repeated.reshape(*X.shape[:3], -1)
