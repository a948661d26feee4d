"""Named layers from hyperparameters, and well-known architectures."""

from numbers import Real

import numpy as np
from sklearn.base import clone

from skcnn.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool2D,
    MaxPool2D,
    ReLU,
    Residual,
    Softmax,
)
from skcnn.layers.activation import as_activation
from skcnn.layers.base import Activation, Shape, as_pair, as_size, is_integer
from skcnn.layers.containers import with_flatten
from skcnn.layers.naming import NamedBlocks, check_layers, is_passthrough, name_layers
from skcnn.network.graph import Graph, Node

POOLING = {"max": MaxPool2D, "average": AvgPool2D}
NORMALIZATION = {"batch": BatchNorm}


def compact_layers(
    input_shape: Shape,
    *,
    conv_layer_sizes,
    kernel_size,
    pool_size,
    pooling,
    normalization,
    hidden_layer_sizes,
    activation,
    dropout,
) -> NamedBlocks:
    """Build the stack that the compact hyperparameters describe.

    Each entry of ``conv_layer_sizes`` adds a block: convolution (padding "same"), normalization, activation,
    pooling. Each entry of ``hidden_layer_sizes`` adds a dense layer with activation and dropout. Pooling
    skips an axis that is smaller than the pool. Kernels are cropped to ``2 * pixels - 1`` along each axis:
    further weights would see nothing but padding.

    Parameters
    ----------
    input_shape : (int, int, int)
        Height, width and channels.
    conv_layer_sizes, kernel_size, pool_size, pooling, normalization, hidden_layer_sizes, activation, dropout
        As in :class:`skcnn.ConvNetClassifier`.

    Returns
    -------
    layers : list of (str, Block)

    Raises
    ------
    ValueError
        If sizes are not positive integers.

    Examples
    --------
    >>> layers = compact_layers(
    ...     (8, 8, 1), conv_layer_sizes=(16,), kernel_size=3, pool_size=2, pooling="max", normalization=None,
    ...     hidden_layer_sizes=(64,), activation="relu", dropout=0.0)
    >>> [name for name, _ in layers]
    ['conv1', 'pool1', 'dense1']
    """
    layers = []
    height, width = input_shape[:2]
    kernel, window = as_pair(kernel_size, "kernel_size"), as_pair(pool_size, "pool_size")
    if isinstance(conv_layer_sizes, str):  # "auto"
        conv_layer_sizes = auto_conv_layer_sizes(input_shape, (1, 1) if pooling is None else window)
    for number, filters in enumerate(_sizes(conv_layer_sizes, "conv_layer_sizes"), start=1):
        reached = tuple(
            min(length, 2 * size - 1) for length, size in zip(kernel, (height, width), strict=True)
        )
        size = kernel_size if is_integer(kernel_size) and reached == kernel else reached
        if normalization is None:
            layers.append((f"conv{number}", Conv2D(filters, size, activation=_copy_of(activation))))
        else:
            layers.append((f"conv{number}", Conv2D(filters, size, use_bias=False)))
            layers.append((f"norm{number}", NORMALIZATION[normalization]()))
            layer = as_activation(_copy_of(activation))
            if layer is not None:
                layers.append((f"activation{number}", layer))
        fitting = tuple(
            length if length <= size else 1 for length, size in zip(window, (height, width), strict=True)
        )
        if pooling is not None and fitting != (1, 1):
            layers.append((f"pool{number}", POOLING[pooling](fitting)))
            height, width = height // fitting[0], width // fitting[1]
    hidden = _sizes(hidden_layer_sizes, "hidden_layer_sizes")
    for number, units in enumerate(hidden, start=1):
        layers.append((f"dense{number}", Dense(units, activation=_copy_of(activation))))
        if dropout > 0:
            layers.append((f"dropout{number}", Dropout(dropout)))
    return layers


def auto_conv_layer_sizes(image_shape: Shape, window: tuple[int, int] = (2, 2)) -> tuple[int, ...]:
    """Return the number of filters of each block: the larger the image, the more blocks.

    There are as many blocks as poolings that leave at least two pixels along one axis, but two at least and
    five at most. The first block has 32 filters, each further block twice as many. Signals (images of one row
    or column) get one block more, with 64 filters in the first two and twice as many in each further pair:
    pooling only halves them, and a filter has a third of the weights.

    Parameters
    ----------
    image_shape : tuple of (height, width, channels)
    window : pair of int, default=(2, 2)
        Height and width of the pooling windows; (1, 1) for no pooling.

    Examples
    --------
    >>> [auto_conv_layer_sizes((size, size, 1)) for size in (8, 28, 32)]
    [(32, 64), (32, 64, 128), (32, 64, 128, 256)]
    >>> auto_conv_layer_sizes((32, 32, 3), window=(4, 4))
    (32, 64)
    >>> auto_conv_layer_sizes((1, 100, 1))
    (64, 64, 128, 128, 256, 256)
    """
    sides = image_shape[:2]
    n_blocks = min(max(2, *map(n_poolings, sides, window)), 5)
    if min(sides) == 1 < max(sides):
        return tuple(64 * 2 ** (block // 2) for block in range(n_blocks + 1))
    return tuple(32 * 2**block for block in range(n_blocks))


def n_poolings(length: int, window: int) -> int:
    """Return how many times pooling can shrink a length and leave at least two pixels.

    Examples
    --------
    >>> [n_poolings(length, 2) for length in (3, 4, 28, 32)], n_poolings(100, 1)
    ([0, 1, 3, 4], 0)
    """
    count = 0
    while window > 1 and length // window >= 2:
        length, count = length // window, count + 1
    return count


def _copy_of(activation):
    """Return a copy of an activation, since blocks must not share one layer; names pass unchanged."""
    return clone(activation, safe=False)


def _sizes(sizes, name):
    values = sizes.tolist() if isinstance(sizes, np.ndarray) else sizes
    values = tuple(values) if isinstance(values, tuple | list) else (values,)
    if not all(is_integer(size) and size >= 1 for size in values):
        raise ValueError(f"{name} must be a sequence of integers >= 1, got {sizes!r}")
    return values


def explicit_layers(layers, parameter_names) -> NamedBlocks:
    """Return copies of the user's layers with their names, without "passthrough".

    Parameters
    ----------
    layers : list or tuple
        Layers, "passthrough", or pairs of a name and one of these.
    parameter_names : collection of str
        Names that layers must not have.

    Returns
    -------
    layers : list of (str, Block)

    Raises
    ------
    ValueError
        If :func:`skcnn.layers.naming.check_layers` does, or a layer cannot be copied.
    """
    named = name_layers(layers)
    check_layers(layers, named, parameter_names)
    copies = []
    for name, layer in named:
        if is_passthrough(layer):
            continue
        try:
            copies.append((name, clone(layer)))
        except TypeError as error:
            raise ValueError(f"layer {name!r}, {layer!r}, cannot be copied: {error}") from error
    return copies


def complete_layers(
    layers: NamedBlocks, input_shape: Shape, n_outputs: int
) -> tuple[NamedBlocks, tuple[Node, ...]]:
    """Add what a stack needs to end in scores: Flatten between images and vectors, and the output layer.

    Parameters
    ----------
    layers : list of (str, Block)
    input_shape : (int, int, int)
    n_outputs : int
        Number of scores.

    Returns
    -------
    layers : list of (str, Block)
    nodes : tuple of Node
        The compiled layers.

    Raises
    ------
    ValueError
        If a layer does not fit the shape of its input, or the last one is a softmax over a vector.
    """
    graph, source, complete = Graph(input_shape), 0, []
    flatten = None if any(name == "flatten" for name, _ in layers) else "flatten"
    for name, layer in [*layers, ("output", Dense(n_outputs))]:
        if name == "output":
            _check_end(graph, source)
        added = with_flatten(name, layer, graph.shape(source), flatten)
        complete += added
        source = graph.connect_all(added, source)
    return complete, tuple(graph.nodes)


def _check_end(graph, source):
    """Raise a ValueError if a stack ends in a softmax over a vector, with or without dropout after it."""
    node = graph.nodes[source]
    while isinstance(node.layer, Dropout):
        node = graph.nodes[node.inputs[0]]
    if isinstance(node.layer, Softmax) and len(node.output_shape) == 1:
        raise ValueError(
            f"layer {node.name!r}: a softmax at the end is redundant, since the estimator adds the output "
            "layer and its softmax; leave it out"
        )


def teaching_network(filters: int = 32, units: int = 500) -> NamedBlocks:
    """Return the classic teaching network: one convolution of 7x7 pixels, and one hidden layer.

    Parameters
    ----------
    filters : int, default=32
    units : int, default=500
        Units of the hidden layer.

    Returns
    -------
    layers : list of (str, Block)
        For images of at least 2x2 pixels.

    Raises
    ------
    ValueError
        If filters or units are not integers >= 1.

    References
    ----------
    Li, Karpathy and Johnson (2016), "CS231n: convolutional neural networks for visual recognition",
    assignment 2, "ThreeLayerConvNet".

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.architecture import teaching_network
    >>> clf = ConvNetClassifier(teaching_network(filters=16)).set_params(conv1__kernel_size=5)
    >>> [name for name, _ in clf.layers]
    ['conv1', 'relu1', 'pool1', 'dense1', 'relu2']
    """
    return [
        ("conv1", Conv2D(as_size(filters, "filters"), 7)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2D(2)),
        ("dense1", Dense(as_size(units, "units"))),
        ("relu2", ReLU()),
    ]


def lenet5(activation: str | Activation | None = "tanh") -> NamedBlocks:
    """Return LeNet-5, the classic network for handwritten digits.

    Parameters
    ----------
    activation : str, layer or None, default="tanh"
        The activation after each layer: its name, or a layer, which is copied for each.

    Returns
    -------
    layers : list of (str, Block)
        For images of at least 12x12 pixels. The first convolution pads, so 28x28 pixels here correspond to
        the paper's 32x32.

    Raises
    ------
    ValueError
        If the activation is unknown.

    Notes
    -----
    A simplified version. In the paper, pooling has trainable factors, biases and an activation of its own,
    the activation is a scaled tanh, the filters of the second convolution see only some of the channels, and
    the output layer computes radial basis functions.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE, section II.B.

    Examples
    --------
    >>> from skcnn.architecture import lenet5
    >>> from skcnn.network.graph import compile_nodes
    >>> compile_nodes(lenet5()[:4], (28, 28, 1))[-1].output_shape
    (5, 5, 16)
    """
    as_activation(activation)  # raises an error here rather than in fit
    return [
        ("conv1", Conv2D(6, 5, activation=_copy_of(activation))),
        ("pool1", AvgPool2D(2)),
        ("conv2", Conv2D(16, 5, padding="valid", activation=_copy_of(activation))),
        ("pool2", AvgPool2D(2)),
        ("dense1", Dense(120, activation=_copy_of(activation))),
        ("dense2", Dense(84, activation=_copy_of(activation))),
    ]


def small_vgg(
    filters: tuple[int, ...] = (32, 64, 128), convolutions: int = 2, units: int = 256, dropout: float = 0.0
) -> NamedBlocks:
    """Return a small VGG network: blocks of 3x3 convolutions, with pooling at the end of each.

    Parameters
    ----------
    filters : tuple of int, default=(32, 64, 128)
        Filters of the convolutions of each block.
    convolutions : int, default=2
        Convolutions per block, each with batch normalization and ReLU after it.
    units : int, default=256
        Units of the hidden layer after the blocks.
    dropout : float, default=0.0
        Share of these units that training drops, in [0, 1).

    Returns
    -------
    layers : list of (str, Block)
        For images of at least ``2 ** len(filters)`` pixels in height and width.

    Raises
    ------
    ValueError
        If a size is not an integer >= 1, or dropout is not in [0, 1).

    References
    ----------
    Simonyan and Zisserman (2015), "Very deep convolutional networks for large-scale image recognition",
    ICLR.
    Ioffe and Szegedy (2015), "Batch normalization", ICML, not part of the original network.

    Examples
    --------
    >>> from skcnn.architecture import small_vgg
    >>> [name for name, _ in small_vgg(filters=(16,), convolutions=1)]
    ['conv1_1', 'norm1_1', 'relu1_1', 'pool1', 'dense1']
    """
    if not isinstance(dropout, Real) or isinstance(dropout, bool | np.bool_) or not 0 <= dropout < 1:
        raise ValueError(f"dropout must be a number in [0, 1), got {dropout!r}")
    layers = []
    for block, count in enumerate(_sizes(filters, "filters"), start=1):
        for number in range(1, as_size(convolutions, "convolutions") + 1):
            layers += [
                (f"conv{block}_{number}", Conv2D(count, use_bias=False)),
                (f"norm{block}_{number}", BatchNorm()),
                (f"relu{block}_{number}", ReLU()),
            ]
        layers.append((f"pool{block}", MaxPool2D(2)))
    layers.append(("dense1", Dense(as_size(units, "units"), activation="relu")))
    return [*layers, ("dropout1", Dropout(dropout))] if dropout else layers


def small_resnet(filters: tuple[int, ...] = (16, 32, 64), blocks: int = 1) -> NamedBlocks:
    """Return a small residual network of ``2 * len(filters) * blocks + 2`` layers, the output included.

    Parameters
    ----------
    filters : tuple of int, default=(16, 32, 64)
        Filters of the convolutions of each stage. Each stage but the first halves height and width.
    blocks : int, default=1
        Residual blocks per stage. 3 blocks and the default filters give the paper's network of 20 layers.

    Returns
    -------
    layers : list of (str, Block)

    Raises
    ------
    ValueError
        If filters or blocks are not integers >= 1, or ``filters`` is empty.

    References
    ----------
    He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", CVPR, section 4.2, with
    projections where shapes differ (option B).

    Examples
    --------
    >>> from skcnn.architecture import small_resnet
    >>> [name for name, _ in small_resnet(filters=(16, 32), blocks=2)]
    ['conv1', 'norm1', 'relu1', 'res1_1', 'res1_2', 'res2_1', 'res2_2', 'pool']
    """
    filters = _sizes(filters, "filters")
    if not filters:
        raise ValueError("filters must hold at least one number, got ()")
    layers = [("conv1", Conv2D(filters[0], use_bias=False)), ("norm1", BatchNorm()), ("relu1", ReLU())]
    for stage, count in enumerate(filters, start=1):
        for number in range(1, as_size(blocks, "blocks") + 1):
            strides = 2 if stage > 1 and number == 1 else 1
            branch = [
                ("conv1", Conv2D(count, strides=strides, use_bias=False)),
                ("norm1", BatchNorm()),
                ("relu1", ReLU()),
                ("conv2", Conv2D(count, use_bias=False)),
                ("norm2", BatchNorm()),
            ]
            layers.append((f"res{stage}_{number}", Residual(branch, activation="relu")))
    return [*layers, ("pool", GlobalAvgPool2D())]
