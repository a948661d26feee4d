"""Convolutional layers."""

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
from skcnn.kernels.reductions import channel_sums
from skcnn.kernels.windows import resolve_padding, window_counts
from skcnn.layers.activation import with_activation
from skcnn.layers.base import Layer, as_pair, as_size, is_integer, require_image


class Conv2D(Layer):
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
    activation : str or None, default=None
        Name of the activation that follows, such as "relu".
    use_bias : bool, default=True
        Whether to add a bias to each channel. Not needed before batch normalization.

    Notes
    -----
    Input ``(h, w, c)``, result ``(h', w', filters)``, parameters ``weight`` of shape
    ``(kh, kw, c, filters)`` and ``bias`` of shape ``(filters,)``:

    .. math:: y_{ijf} = b_f + \sum_{u, v, c} x_{i s + u, j s + v, c} \, w_{uvcf}

    with :math:`x` padded; like all libraries of this field, a cross-correlation.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE.

    Examples
    --------
    >>> from skcnn.layers import Conv2D
    >>> Conv2D(16, 5, strides=2).output_shape((28, 28, 3))
    (14, 14, 16)
    """

    decayed_params = ("weight",)
    backward_reads = ("X",)
    _parameter_constraints: dict = {"use_bias": ["boolean"]}

    def __init__(self, filters, kernel_size=3, *, strides=1, padding="same", activation=None, use_bias=True):
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.activation = activation
        self.use_bias = use_bias

    def expand(self, name):
        """Return this layer and its activation; see :meth:`Layer.expand`."""
        return with_activation(name, self)

    def output_shape(self, input_shape):
        """Return ``(h', w', filters)``; see :meth:`Layer.output_shape`."""
        require_image(input_shape)
        kernel_size, _, padding, counts = self._windows(input_shape)
        if min(counts) < 1:
            padded = tuple(size + sum(pad) for size, pad in zip(input_shape[:2], padding, strict=True))
            raise ValueError(
                f"kernel_size={kernel_size} is larger than the padded image of {padded} (height, width); "
                "use a smaller kernel or more padding"
            )
        return (*counts, as_size(self.filters, "filters"))

    def _windows(self, input_shape):
        """Return (kernel_size, strides, padding, counts) as pairs for an input shape."""
        kernel_size = as_pair(self.kernel_size, "kernel_size")
        strides = as_pair(self.strides, "strides")
        check_padding(self.padding)
        padding = resolve_padding(self.padding, input_shape[:2], kernel_size, strides)
        return kernel_size, strides, padding, window_counts(input_shape[:2], kernel_size, strides, padding)

    def init_params(self, input_shape, *, activation, dtype, rng):
        """Return ``weight`` and ``bias``; see :meth:`Layer.init_params`."""
        height, width = as_pair(self.kernel_size, "kernel_size")
        channels, filters = input_shape[2], as_size(self.filters, "filters")
        weight = initial_weight(
            (height, width, channels, filters),
            height * width * channels,
            height * width * filters,
            activation=activation,
            dtype=dtype,
            rng=rng,
        )
        return {"weight": weight, "bias": np.zeros(filters, dtype)} if self.use_bias else {"weight": weight}

    def multiply_adds(self, input_shape):
        """Return ``h' * w' * filters * kh * kw * c``."""
        return self.scratch_size(input_shape) * self.output_shape(input_shape)[2]

    def scratch_size(self, input_shape):
        """Return the size of the gathered columns of one image."""
        kernel_size, _, _, counts = self._windows(input_shape)
        return int(np.prod((*kernel_size, *counts))) * input_shape[2]

    def prepare(self, params, *, training):
        """Return the weight as a matrix of shape (c * kh * kw, filters)."""
        return np.ascontiguousarray(params["weight"].transpose(2, 0, 1, 3)).reshape(-1, self.filters)

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        columns, _, _ = self._columns(X, unit)
        convolution_forward(columns, unit.prepared, out=out)
        return channelwise(np.add, out, params["bias"], out=out) if self.use_bias else out

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradients; see :meth:`Layer.backward`."""
        columns, padded, geometry = self._columns(unit.X, unit)
        total = unit.accumulator("weight", unit.prepared.shape)
        share = unit.scratch("weight", unit.prepared.shape)
        np.add(total, convolution_backward_weight(columns, dY, out=share), out=total)
        if self.use_bias:
            unit.add_gradient("bias", channel_sums(dY))
        if not need_dX:
            return None
        convolution_backward_columns(unit.prepared, dY, out=columns)  # the columns themselves are done with
        return scatter_columns(columns, out, padded, **geometry)

    def finish(self, params, unit):
        """Turn the accumulated gradient back into the shape of the weight."""
        height, width, channels, filters = params["weight"].shape
        total = unit.accumulator("weight", unit.prepared.shape)
        unit.add_gradient("weight", total.reshape(channels, height, width, filters).transpose(1, 2, 0, 3))

    def _columns(self, X, unit):
        """Gather the windows of X; return them, the memory of the padded images, and the geometry."""
        height, width, n_images, channels = X.shape
        kernel_size, strides, padding, counts = self._windows((height, width))
        padded_size = (height + sum(padding[0]), width + sum(padding[1]))
        padded = unit.scratch("padded", (channels, *padded_size, n_images))
        columns = unit.scratch("columns", (channels, *kernel_size, *counts, n_images))
        geometry = {"strides": strides, "padding": padding}
        return gather_columns(X, columns, padded, **geometry), padded, geometry


def check_padding(padding) -> None:
    """Raise a ValueError unless the padding is "same", "valid", an int or a pair of ints or pairs."""

    def is_size(value):
        return is_integer(value) and value >= 0

    def is_pair(value, valid):
        return isinstance(value, tuple | list) and len(value) == 2 and all(valid(entry) for entry in value)

    if isinstance(padding, str):
        valid = padding in ("same", "valid")
    else:
        valid = is_size(padding) or is_pair(padding, lambda axis: is_size(axis) or is_pair(axis, is_size))
    if not valid:
        raise ValueError(
            "padding must be 'same', 'valid', an int >= 0, or a pair of ints or of (before, after), "
            f"got {padding!r}"
        )
