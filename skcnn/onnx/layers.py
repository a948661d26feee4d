"""Converters of layers: the ONNX operators that compute what a layer does in prediction.

A converter gets arrays in the layout of ONNX, images (n, c, h, w) and vectors (n, f).
"""

from collections.abc import Callable
from functools import reduce
from inspect import isabstract, isclass
from math import pi, sqrt

import numpy as np

from skcnn.kernels.windows import Windows, as_padding
from skcnn.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Layer,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    Mish,
    PatchWhitening,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    SpatialDropout2D,
    Tanh,
    ZeroPad2D,
)
from skcnn.layers.containers import Add, Concatenate


def register_layer(cls: type[Layer], function: Callable) -> None:
    """Say how a layer of your own becomes ONNX operators.

    It counts for the class itself, not for those derived from it.

    Parameters
    ----------
    cls : type
        A class derived from :class:`~skcnn.layers.Layer`.
    function : callable
        ``function(graph, layer, params, X, input_shape)`` returns the name of the result, a str.
        ``graph.add(operator, *inputs, **attributes)`` adds an operator and returns the name of its result;
        inputs are names, or numbers and arrays, which become constants: integers become int64, so give
        hyperparameters that may be ints as ``float(layer.factor)``. ``layer`` has the hyperparameters,
        ``params`` the arrays of parameters by name, ``X`` is the name of the input, and ``input_shape`` its
        shape for one sample, ``(h, w, c)`` or ``(f,)``. In ONNX, images are of shape ``(n, c, h, w)``, and
        vectors ``(n, f)``, all in float32.

    Raises
    ------
    TypeError
        If ``cls`` is no class of layers, or ``function`` cannot be called.

    See Also
    --------
    to_onnx : It checks the operators of each layer; with images, it compares what the model and the network
        compute.

    References
    ----------
    ONNX operators, https://onnx.ai/onnx/operators/

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn import Layer
    >>> from skcnn.onnx import register_layer
    >>> class Opposite(Layer):
    ...     def forward(self, params, X, unit, *, training, out):
    ...         return np.negative(X, out=out)
    ...
    ...     def backward(self, params, dY, unit, *, need_dX, out):
    ...         return np.negative(dY, out=out)
    >>> register_layer(Opposite, lambda graph, layer, params, X, input_shape: graph.add("Neg", X))
    """
    if not (isclass(cls) and issubclass(cls, Layer)) or isabstract(cls):
        raise TypeError(f"cls must be a class of layers, derived from skcnn.Layer, got {cls!r}")
    if not callable(function):
        raise TypeError(
            f"function must be callable, as function(graph, layer, params, X, input_shape), got {function!r}"
        )
    CONVERTERS[cls] = function


def by_channel(values: np.ndarray, input_shape) -> np.ndarray:
    """Return a number for each channel in a shape that broadcasts to what ONNX has of an input."""
    return values.reshape(-1, *[1] * (len(input_shape) - 1))


def operator(name: str, **attributes) -> Callable:
    """Return a converter to one operator of one input.

    Parameters
    ----------
    name : str
    **attributes : dict
        Those of the operator; a str is the name of the hyperparameter that has the value.
    """

    def convert(graph, layer, params, X, input_shape):
        values = {
            key: float(getattr(layer, value)) if isinstance(value, str) else value
            for key, value in attributes.items()
        }
        return graph.add(name, X, **values)

    return convert


def pass_on(graph, layer, params, X, input_shape):
    """Return the input: a layer that does nothing in prediction."""
    return X


# Windows


def pads_of(windows: Windows) -> list[int]:
    """Return the padding that the windows use: top, left, bottom, right.

    ONNX, which rounds down, then counts as many windows as the layer does, also in ``ceil_mode``.
    """
    axes = zip(
        windows.image_size,
        windows.padding,
        windows.counts,
        windows.strides,
        windows.span,
        strict=True,
    )
    pairs = [
        (before, max((count - 1) * stride + length - size - before, 0))
        for size, (before, _), count, stride, length in axes
    ]
    return [before for before, _ in pairs] + [after for _, after in pairs]


def convert_convolution(graph, layer, params, X, input_shape):
    """Convert any convolution; weights go from (kh, kw, c, filters) to (filters, c, kh, kw)."""
    windows, channels = layer.windows(input_shape[:2]), input_shape[2]
    weight = params["weight"].reshape(*windows.size, -1, layer.filter_count(channels))
    return graph.add(
        "Conv",
        X,
        weight.transpose(3, 2, 0, 1),
        *([params["bias"]] if layer.use_bias else []),
        kernel_shape=windows.size,
        strides=windows.strides,
        dilations=windows.dilation,
        pads=pads_of(windows),
        group=layer.group_count(channels),
    )


def convert_max_pool(graph, layer, params, X, input_shape):
    """Convert MaxPool2D; padding as large as the kernel, which runtimes refuse, becomes a Pad."""
    windows = layer.windows(input_shape[:2])
    pads = pads_of(windows)
    if any(pad >= length for pad, length in zip(pads, windows.size * 2, strict=True)):
        X = graph.add("Pad", X, [0, 0, *pads[:2], 0, 0, *pads[2:]], -np.inf)
        pads = [0, 0, 0, 0]
    return graph.add(
        "MaxPool",
        X,
        kernel_shape=windows.size,
        strides=windows.strides,
        dilations=windows.dilation,
        pads=pads,
    )


def convert_average_pool(graph, layer, params, X, input_shape):
    """Convert AvgPool2D; with padding or dilation, to a convolution with ones and a map of factors."""
    windows = layer.windows(input_shape[:2])
    pads = pads_of(windows)
    geometry = {"kernel_shape": windows.size, "strides": windows.strides, "pads": pads}
    if windows.dilation == (1, 1) and not any(pads):
        return graph.add("AveragePool", X, **geometry)
    channels = input_shape[2]
    ones = np.ones((channels, 1, *windows.size))
    sums = graph.add("Conv", X, ones, group=channels, dilations=windows.dilation, **geometry)
    return graph.add("Mul", sums, 1 / windows.areas(with_padding=layer.count_include_pad))


def convert_zero_pad(graph, layer, params, X, input_shape):
    """Convert ZeroPad2D."""
    (top, bottom), (left, right) = as_padding(layer.padding)
    return graph.add("Pad", X, [0, 0, top, left, 0, 0, bottom, right])


def global_pool(name: str) -> Callable:
    """Return a converter of pooling over whole images to an operator."""
    return lambda graph, layer, params, X, input_shape: graph.add("Flatten", graph.add(name, X), axis=1)


# Vectors, and layers that join


def convert_flatten(graph, layer, params, X, input_shape):
    """Convert Flatten, which has channels last."""
    return graph.add("Flatten", graph.add("Transpose", X, perm=[0, 2, 3, 1]), axis=1)


def convert_dense(graph, layer, params, X, input_shape):
    """Convert Dense."""
    return graph.add("Gemm", X, params["weight"], *([params["bias"]] if layer.use_bias else []))


def convert_add(graph, layer, params, X, input_shape):
    """Convert the sum of several inputs."""
    return reduce(lambda first, second: graph.add("Add", first, second), X)


def convert_concatenate(graph, layer, params, X, input_shape):
    """Convert inputs side by side along the channels."""
    return graph.add("Concat", *X, axis=1)


# Normalization


def convert_batch_norm(graph, layer, params, X, input_shape):
    """Convert BatchNorm in the order of its own prediction, which loses no digits of large means."""
    factor, _ = layer.factor_and_offset(params)
    operations = (("Sub", params["running_mean"]), ("Mul", factor), ("Add", params["shift"]))
    for name, values in operations:
        X = graph.add(name, X, by_channel(values, input_shape))
    return X


def normalize(graph, X, axis: int, epsilon: float) -> str:
    """Give zero mean and unit variance along an axis, as :class:`~skcnn.layers.normalization.SampleNorm`."""
    for _ in range(2):  # the first mean is rounded, which shows where all are equal
        X = graph.add("Sub", X, graph.add("ReduceMean", X, [axis]))
    variance = graph.add("ReduceMean", graph.add("Mul", X, X), [axis])
    smallest = float(np.finfo(np.float32).tiny)
    deviation = graph.add("Sqrt", graph.add("Add", variance, max(float(epsilon), smallest)))
    return graph.add("Div", X, deviation)


def scale_and_shift(graph, params, X, input_shape) -> str:
    """Multiply each channel by its scale and add its shift."""
    scaled = graph.add("Mul", X, by_channel(params["scale"], input_shape))
    return graph.add("Add", scaled, by_channel(params["shift"], input_shape))


def convert_layer_norm(graph, layer, params, X, input_shape):
    """Convert LayerNorm, over the axis of the channels."""
    return scale_and_shift(graph, params, normalize(graph, X, 1, layer.epsilon), input_shape)


def convert_group_norm(graph, layer, params, X, input_shape):
    """Convert GroupNorm, over all that belongs to a group."""
    *image_size, channels = input_shape
    shape = [0, int(layer.groups), layer.count_normalized_together(input_shape)]  # -1 needs rows
    X = normalize(graph, graph.add("Reshape", X, shape), 2, layer.epsilon)
    return scale_and_shift(graph, params, graph.add("Reshape", X, [0, channels, *image_size]), input_shape)


def convert_local_response_norm(graph, layer, params, X, input_shape):
    """Convert LocalResponseNorm; squares of neighbours are added up by a matrix of a band.

    The operator of ONNX has the other channel more on the other side where the size is even.
    """
    channels, size = input_shape[-1], int(layer.size)
    offsets = np.arange(channels) - np.arange(channels)[:, np.newaxis]  # neighbours in rows
    band = float(layer.alpha) * ((offsets >= -(size // 2)) & (offsets <= (size - 1) // 2))
    k = np.full(channels, float(layer.k))
    squares = graph.add("Mul", X, X)
    if len(input_shape) == 3:
        denominators = graph.add("Conv", squares, band[..., np.newaxis, np.newaxis], k)
    else:
        denominators = graph.add("Gemm", squares, band.T, k)
    return graph.add("Mul", X, graph.add("Pow", denominators, -float(layer.beta)))


# Activations


def convert_prelu(graph, layer, params, X, input_shape):
    """Convert PReLU."""
    return graph.add("PRelu", X, by_channel(params["slope"], input_shape))


def convert_gelu(graph, layer, params, X, input_shape):
    """Convert GELU, for which there is an operator only from opset 20 on."""
    if layer.approximate == "tanh":
        cubes = graph.add("Mul", graph.add("Mul", X, X), X)
        inner = graph.add("Add", X, graph.add("Mul", cubes, 0.044715))
        gate = graph.add("Sigmoid", graph.add("Mul", inner, 2 * sqrt(2 / pi)))
        return graph.add("Mul", X, gate)
    error = graph.add("Erf", graph.add("Mul", X, sqrt(0.5)))
    return graph.add("Mul", X, graph.add("Mul", graph.add("Add", error, 1.0), 0.5))


def convert_silu(graph, layer, params, X, input_shape):
    """Convert SiLU."""
    return graph.add("Mul", X, graph.add("Sigmoid", X))


CONVERTERS: dict[type[Layer], Callable] = {
    Conv2D: convert_convolution,
    DepthwiseConv2D: convert_convolution,
    PatchWhitening: convert_convolution,
    MaxPool2D: convert_max_pool,
    AvgPool2D: convert_average_pool,
    GlobalAvgPool2D: global_pool("GlobalAveragePool"),
    GlobalMaxPool2D: global_pool("GlobalMaxPool"),
    ZeroPad2D: convert_zero_pad,
    Flatten: convert_flatten,
    Dense: convert_dense,
    Add: convert_add,
    Concatenate: convert_concatenate,
    Rescale: lambda graph, layer, params, X, input_shape: graph.add("Mul", X, float(layer.factor)),
    Dropout: pass_on,
    SpatialDropout2D: pass_on,
    BatchNorm: convert_batch_norm,
    LayerNorm: convert_layer_norm,
    GroupNorm: convert_group_norm,
    LocalResponseNorm: convert_local_response_norm,
    ReLU: operator("Relu"),
    ReLU6: lambda graph, layer, params, X, input_shape: graph.add("Clip", X, 0.0, 6.0),
    LeakyReLU: operator("LeakyRelu", alpha="negative_slope"),
    PReLU: convert_prelu,
    ELU: operator("Elu", alpha="alpha"),
    CELU: operator("Celu", alpha="alpha"),
    SELU: operator("Selu"),
    GELU: convert_gelu,
    SiLU: convert_silu,
    HardSwish: operator("HardSwish"),
    Mish: operator("Mish"),
    Softplus: operator("Softplus"),
    Sigmoid: operator("Sigmoid"),
    HardSigmoid: operator("HardSigmoid", alpha="alpha", beta="beta"),
    Tanh: operator("Tanh"),
    Softsign: operator("Softsign"),
    Softmax: operator("Softmax", axis=1),
}
"""Converters by the class of the layer, to which :func:`register_layer` adds others."""
