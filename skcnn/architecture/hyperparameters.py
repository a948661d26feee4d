"""From hyperparameters to named layers, and from these to a network that ends in scores."""

import numpy as np
from sklearn.base import clone

from skcnn.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    MaxPool2D,
    Softmax,
)
from skcnn.layers.activation import as_activation
from skcnn.layers.base import Shape, as_pair, is_integer
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
    for number, filters in enumerate(as_sizes(conv_layer_sizes, "conv_layer_sizes"), start=1):
        reached = tuple(
            min(length, 2 * size - 1) for length, size in zip(kernel, (height, width), strict=True)
        )
        size = kernel_size if is_integer(kernel_size) and reached == kernel else reached
        if normalization is None:
            layers.append((f"conv{number}", Conv2D(filters, size, activation=copy_of(activation))))
        else:
            layers.append((f"conv{number}", Conv2D(filters, size, use_bias=False)))
            layers.append((f"norm{number}", NORMALIZATION[normalization]()))
            layer = as_activation(copy_of(activation))
            if layer is not None:
                layers.append((f"activation{number}", layer))
        fitting = tuple(
            length if length <= size else 1 for length, size in zip(window, (height, width), strict=True)
        )
        if pooling is not None and fitting != (1, 1):
            layers.append((f"pool{number}", POOLING[pooling](fitting)))
            height, width = height // fitting[0], width // fitting[1]
    hidden = as_sizes(hidden_layer_sizes, "hidden_layer_sizes")
    for number, units in enumerate(hidden, start=1):
        layers.append((f"dense{number}", Dense(units, activation=copy_of(activation))))
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


def copy_of(activation):
    """Return a copy of an activation, since blocks must not share one layer; names pass unchanged."""
    return clone(activation, safe=False)


def as_sizes(sizes, name):
    """Return sizes as a tuple; raise a ValueError unless they are positive integers."""
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
