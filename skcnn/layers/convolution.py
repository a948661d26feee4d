"""Convolutional layers."""

from abc import abstractmethod
from copy import copy
from math import prod

import numpy as np

from skcnn._sklearn import StrOptions
from skcnn.kernels.base import ConvolutionKernel
from skcnn.kernels.table import NUMPY
from skcnn.kernels.windows import sliding_windows
from skcnn.layers.activation import connect_with_activation
from skcnn.layers.base import Layer, as_pair, as_size, check_divides, check_padding, require_image
from skcnn.layers.initializers import initial_weight, pass_channels_on


class Convolution(Layer):
    """Base class of convolutions with windows, a bias and an activation."""

    decayed_params: tuple[str, ...] = ("weight",)
    initial_weight = "random"
    _kernels = NUMPY  # an executor may run copies with others
    _parameter_constraints: dict = {"use_bias": ["boolean"]}

    @abstractmethod
    def filter_count(self, channels):
        """Return the number of output channels; raise a ValueError if it is invalid."""

    @abstractmethod
    def group_count(self, channels):
        """Return the number of groups of channels; each filter sees the channels of one group."""

    @abstractmethod
    def weight_shape(self, channels):
        """Return the shape of ``weight``."""

    def connect(self, graph, name, source):
        return connect_with_activation(graph, name, self, source)

    def output_shape(self, input_shape):
        require_image(input_shape)
        windows = self.windows(input_shape[:2])
        if min(windows.counts) < 1:
            dilated = "" if windows.dilation == (1, 1) else f" with dilation={windows.dilation}"
            raise ValueError(
                f"kernel_size={windows.size}{dilated} is larger than the padded image of "
                f"{windows.padded_size} (height, width); use a smaller kernel or more padding"
            )
        return (*windows.counts, self.filter_count(input_shape[2]))

    def pixel_strides(self, input_shape):
        return self.windows(input_shape[:2]).strides

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

    def reads_in_backward(self, input_shape):
        """Return "X", unless the kernel keeps what it needs."""
        return ("X",) if self._kernel(input_shape).reads_images else ()

    def init_params(self, input_shape, *, activation, dtype, rng):
        kernel = self._kernel(input_shape)
        n_pixels = prod(kernel.windows.size)
        params = {
            "weight": initial_weight(
                self.weight_shape(input_shape[2]),
                n_pixels * kernel.channels // kernel.groups,
                n_pixels * kernel.filters // kernel.groups,
                gain=None if activation is None else activation.gain,
                dtype=dtype,
                rng=rng,
            )
        }
        if self.initial_weight == "identity":
            pass_channels_on(params["weight"], kernel.groups)
        return params | {"bias": np.zeros(kernel.filters, dtype)} if self.use_bias else params

    def param_shapes(self, input_shape):
        channels = input_shape[2]
        shapes = {"weight": self.weight_shape(channels)}
        return shapes | {"bias": (self.filter_count(channels),)} if self.use_bias else shapes

    def multiply_adds(self, input_shape):
        """Return one for each output, pixel of a window and channel that a filter sees."""
        kernel = self._kernel(input_shape)
        return prod(kernel.windows.counts) * prod(self.weight_shape(input_shape[2]))

    def scratch_size(self, input_shape):
        """Return what the kernel needs for an image."""
        return self._kernel(input_shape).scratch_size()

    def plan(self, input_shape):
        return self._kernel(input_shape)

    def prepare(self, params, plan, *, training, memory):
        weight = params["weight"].reshape(*plan.windows.size, -1, plan.filters)
        return plan.prepare(weight, params.get("bias"), memory, training=training)

    def forward(self, params, X, unit, *, training, out):
        kept = unit.kept if training else unit.scratch
        return unit.plan.forward(X, unit.prepared, out, unit.scratch, kept)

    def backward(self, params, dY, unit, *, need_dX, out):
        addend = unit.addend("total", unit.plan.gradient_shape)
        dX = unit.plan.backward(
            unit.X, dY, unit.prepared, addend, out if need_dX else None, unit.scratch, unit.kept
        )
        unit.add("total", addend)
        return dX

    def finish(self, params, unit):
        """Turn the accumulated total into the gradients of weight and bias."""
        total = unit.accumulator("total", unit.plan.gradient_shape)
        weight, bias = unit.plan.gradients(total, unit.scratch)
        unit.add_gradient("weight", weight.reshape(params["weight"].shape))
        if bias is not None:
            unit.add_gradient("bias", bias)

    def scale_and_shift(self, params, factor, offset):
        """Return a layer and parameters that give this layer's output times a factor plus an offset.

        Parameters
        ----------
        params : dict of str to ndarray
        factor, offset : ndarray of shape (c,)
            One number for each output channel.

        Returns
        -------
        layer : Convolution
            A copy, with a bias.
        params : dict of str to ndarray
            New arrays, of the dtype of the weight.
        """
        layer = copy(self)  # clone inspects signatures, which takes longer than all the rest
        layer.use_bias = True
        old = params["weight"]
        weight = np.empty_like(old)
        by_channel = (-1, len(factor))
        np.multiply(old.reshape(by_channel), factor, out=weight.reshape(by_channel), casting="same_kind")
        bias = params["bias"] * factor + offset if self.use_bias else offset
        return layer, {"weight": weight, "bias": bias.astype(weight.dtype)}

    def _kernel(self, input_shape) -> ConvolutionKernel:
        """Return the kernel for images of a shape."""
        channels = input_shape[2]
        return self._kernels.convolution(
            self.windows(input_shape[:2]),
            channels,
            self.filter_count(channels),
            self.group_count(channels),
            bool(self.use_bias),
        )


class Conv2D(Convolution):
    r"""Convolution of images with a bank of filters.

    Parameters
    ----------
    filters : int
        Number of filters, which is the number of output channels.
    kernel_size : int or pair of int, default=3
        Height and width of a filter, in pixels.
    strides : int or pair of int, default=1
        Distances between neighbouring windows along height and width, in pixels.
    padding : {"same", "valid"}, int or pair, default="same"
        Zeros around the image. "valid": none. "same": as many as give ``ceil(size / stride)``
        outputs, the odd one at the end, as in Keras. An int: that many on all four sides. A pair:
        one entry for height and one for width, each an int or a pair (before, after).
    dilation : int or pair of int, default=1
        Distances between neighbouring pixels of a window along height and width, in pixels.
    groups : int, default=1
        Number of groups of neighbouring channels; each filter sees the channels of one group. Must divide the
        number of channels and the number of filters.
    activation : str, layer or None, default=None
        The activation that follows: its name, such as "relu", or a layer, such as ``LeakyReLU(0.2)``.
    use_bias : bool, default=True
        Whether to add a bias to each output channel. Not needed before batch normalization.
    initial_weight : {"random", "identity"}, default="random"
        "random": random weights, whose scale depends on the activation after the layer. "identity": in each
        group, filter i initially returns channel i unchanged; filters beyond the number of channels are
        random. With ``padding="same"`` the image is not shifted, except by dilated windows of even size.

    Notes
    -----
    Input ``(h, w, c)``, output ``(h', w', filters)``, parameters ``weight`` of shape
    ``(kh, kw, c / groups, filters)`` and ``bias`` of shape ``(filters,)``:

    .. math:: y_{ijf} = b_f + \sum_{u, v, c} x_{i s + u d, j s + v d, c} \, w_{uvcf}

    with strides :math:`s`, dilation :math:`d` and :math:`x` padded; the sum is over the channels of the
    filter's group. As in other libraries, this is a cross-correlation.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE.
    Yu and Koltun (2016), "Multi-scale context aggregation by dilated convolutions", ICLR.
    Krizhevsky, Sutskever and Hinton (2012), "ImageNet classification with deep convolutional neural
    networks", NIPS, for groups.
    Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498, section 3.3, for
    the initial identity.

    Examples
    --------
    >>> from skcnn.layers import Conv2D
    >>> Conv2D(16, 5, strides=2).output_shape((28, 28, 3))
    (14, 14, 16)
    """

    _parameter_constraints: dict = Convolution._parameter_constraints | {
        "initial_weight": [StrOptions({"random", "identity"})]
    }

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
        initial_weight="random",
    ):
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.activation = activation
        self.use_bias = use_bias
        self.initial_weight = initial_weight

    def filter_count(self, channels):
        filters = as_size(self.filters, "filters")
        check_divides(self.group_count(channels), channels=channels, filters=filters)
        return filters

    def group_count(self, channels):
        """Return ``groups``."""
        return as_size(self.groups, "groups")

    def weight_shape(self, channels):
        """Return ``(kh, kw, c / groups, filters)``."""
        height, width = as_pair(self.kernel_size, "kernel_size")
        return (height, width, channels // self.group_count(channels), self.filter_count(channels))


class DepthwiseConv2D(Convolution):
    r"""Convolution of each channel by itself, with one or more filters of its own.

    Parameters
    ----------
    kernel_size : int or pair of int, default=3
        Height and width of a filter, in pixels.
    strides : int or pair of int, default=1
        Distances between neighbouring windows along height and width, in pixels.
    padding : {"same", "valid"}, int or pair, default="same"
        Zeros around the image, as for :class:`Conv2D`.
    dilation : int or pair of int, default=1
        Distances between neighbouring pixels of a window along height and width, in pixels.
    depth_multiplier : int, default=1
        Number of filters of each channel.
    activation : str, layer or None, default=None
        The activation that follows: its name, such as "relu", or a layer, such as ``LeakyReLU(0.2)``.
    use_bias : bool, default=True
        Whether to add a bias to each output channel.

    Notes
    -----
    Input ``(h, w, c)``, output ``(h', w', c * depth_multiplier)``, parameters ``weight`` of shape
    ``(kh, kw, c, depth_multiplier)`` and ``bias``:

    .. math:: y_{i, j, c m + k} = b_{c m + k} + \sum_{u, v} x_{i s + u d, j s + v d, c} \, w_{uvck}

    with :math:`m` filters per channel, strides :math:`s`, dilation :math:`d` and :math:`x` padded. It equals
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
        return channels * as_size(self.depth_multiplier, "depth_multiplier")

    def group_count(self, channels):
        """Return the number of channels."""
        return channels

    def weight_shape(self, channels):
        """Return ``(kh, kw, c, depth_multiplier)``."""
        height, width = as_pair(self.kernel_size, "kernel_size")
        return (height, width, channels, as_size(self.depth_multiplier, "depth_multiplier"))
