"""Weights of other libraries: what they call parameters, how they lay them out, and what does not fit."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from skcnn.layers import Activation, BatchNorm, Dense, DepthwiseConv2D, Dropout, Flatten, LayerNorm, Rescale
from skcnn.layers.base import Shape
from skcnn.layers.containers import Add, Concatenate
from skcnn.layers.convolution import Convolution
from skcnn.network.graph import Node

Arrays = Mapping[str, np.ndarray]

Modules = Mapping[str, Arrays]

Pairs = Sequence[tuple[str | None, str | None]]
"""Names of modules and of the layers that get their parameters, None where there is none."""

MANY_UPDATES = 1e6
"""For how many updates running statistics of others count: other libraries do not correct them for their
start, and files often count none."""

FEATURE_BY_FEATURE = (Activation, BatchNorm, Dropout, LayerNorm, Rescale)
"""Layers that a vector passes whatever the order of its features."""


class Layout(ABC):
    """How a library lays out the parameters of its layers."""

    flattens_channels_first = False
    """Whether images become vectors channel by channel, rather than pixel by pixel."""

    @abstractmethod
    def key(self, name: str, position: int) -> str:
        """Return what the library calls a parameter, by our name and its position in its layer."""

    @abstractmethod
    def shapes(self, node: Node, name: str, shape: Shape) -> list[Shape]:
        """Return the shapes that a parameter of a node may have in the library, by our name and shape."""

    @abstractmethod
    def convert(self, node: Node, name: str, array: np.ndarray, shape: Shape) -> np.ndarray:
        """Return a parameter, of one of these shapes, in our shape."""

    @abstractmethod
    def count_outputs(self, arrays: Arrays) -> int:
        """Return the number of outputs of a fully connected layer; 1 if it is none."""


class TorchLayout(Layout):
    """PyTorch's layouts: channels come before height and width, outputs before inputs.

    Examples
    --------
    >>> TorchLayout().key("running_variance", 3)
    'running_var'
    """

    flattens_channels_first = True
    keys = {"scale": "weight", "shift": "bias", "slope": "weight", "running_variance": "running_var"}

    def key(self, name, position):
        return self.keys.get(name, name)

    def shapes(self, node, name, shape):
        if name == "slope":  # by default one for all channels
            return [shape, (1,)]
        if name == "weight" and isinstance(node.layer, Dense):
            return [shape[::-1]]
        if name == "weight" and isinstance(node.layer, Convolution):
            height, width, channels, filters = shape
            is_depthwise = isinstance(node.layer, DepthwiseConv2D)
            return [
                (channels * filters, 1, height, width) if is_depthwise else (filters, channels, height, width)
            ]
        return [shape]

    def convert(self, node, name, array, shape):
        if name == "weight" and isinstance(node.layer, Dense):
            return array.T
        if name == "weight" and isinstance(node.layer, DepthwiseConv2D):
            return array.reshape(*shape[2:], *shape[:2]).transpose(2, 3, 0, 1)
        if name == "weight" and isinstance(node.layer, Convolution):
            return array.transpose(2, 3, 1, 0)
        return np.broadcast_to(array, shape)

    def count_outputs(self, arrays):
        weight = arrays.get("weight", np.empty(()))
        return max(1, weight.shape[0]) if weight.ndim == 2 else 1


class KerasLayout(Layout):
    """Keras' layouts, which are ours; its files number the parameters of a layer."""

    def key(self, name, position):
        return str(position)

    def shapes(self, node, name, shape):
        """Return our shape, with axes of images before the slopes of channels."""
        return [(1, 1, *shape)] if name == "slope" and node.takes_images else [shape]

    def convert(self, node, name, array, shape):
        return array.reshape(shape)

    def count_outputs(self, arrays):
        weight = arrays.get("0", np.empty(()))
        return max(1, weight.shape[1]) if weight.ndim == 2 else 1


def own_shapes(node: Node) -> dict[str, Shape]:
    """Return the shapes of the parameters of a node by name, counts left out."""
    with node.name_errors():
        shapes = node.layer.param_shapes(node.input_shape)
    return {name: tuple(shape) for name, shape in shapes.items() if name not in node.layer.count_params}


def pair_in_order(modules: Sequence[str], layers: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """Pair modules with layers in their order, of which the last, the output layer, may have none.

    Examples
    --------
    >>> pair_in_order(["0", "3"], ["conv1", "dense1", "output"])
    [('0', 'conv1'), ('3', 'dense1')]
    """
    return list(zip_longest(modules, layers[:-1] if len(modules) == len(layers) - 1 else layers))


def pair_by_names(names: Mapping[str, str], modules: Modules, nodes: Sequence[Node]) -> Pairs:
    """Pair modules with layers as a mapping says, and layers that it leaves out, but for the last, with none.

    Parameters
    ----------
    names : mapping of str to str
        Layers by modules.
    modules : mapping of str to mapping of str to ndarray
    nodes : sequence of Node
        Those that have parameters, the output layer at the end.

    Raises
    ------
    TypeError
        If ``names`` is no mapping.
    ValueError
        If there is no such module or layer, or a layer comes twice.
    """
    if not isinstance(names, Mapping):
        raise TypeError(f"names must be a mapping of modules to layers, got {type(names)}")
    layers = [node.name for node in nodes]
    wrong = [f"there is no module {module!r} with parameters" for module in names if module not in modules]
    wrong += [
        f"{module!r}: there is no layer {layer!r} with parameters"
        for module, layer in names.items()
        if layer not in layers
    ]
    taken = list(names.values())
    wrong += [f"layer {layer!r} comes twice" for layer in layers if taken.count(layer) > 1]
    raise_misfits("names do not fit", wrong)
    return [*names.items(), *((None, layer) for layer in layers[:-1] if layer not in taken)]


def convert_weights(
    layout: Layout, nodes: Sequence[Node], modules: Modules, pairs: Pairs
) -> dict[str, np.ndarray]:
    """Return the parameters of modules of another library as those of the nodes of a network.

    Parameters
    ----------
    layout : Layout
    nodes : sequence of Node
    modules : mapping of str to mapping of str to ndarray
        Parameters by the name of the module and their own.
    pairs : sequence of (str or None, str or None)
        Modules, and the nodes that get their parameters.

    Returns
    -------
    weights : dict of str to ndarray
        Copies, by "layer/parameter".

    Raises
    ------
    ValueError
        If anything does not fit; the message lists all of that.
    """
    orders, misfits = feature_orders(nodes, layout.flattens_channels_first)
    places = {node.name: index for index, node in enumerate(nodes)}
    weights = {}
    for module, layer in pairs:
        if layer is None:
            parameters = describe(modules[str(module)])
            misfits.append(f"module {module!r} ({parameters}): no layer for it")
        elif module is None:
            shapes = own_shapes(nodes[places[layer]])
            misfits.append(f"layer {layer!r} ({describe(shapes)}): no module for it")
        else:
            node = nodes[places[layer]]
            order = orders[node.inputs[0]]
            weights |= convert_module(layout, node, order, module, modules[module], misfits)
    left_out = [module for module in modules if module not in dict(pairs)]
    if left_out and None in dict(pairs):
        misfits.append(f"names leave out {left_out[:5]}: they must name all modules that are to be taken")
    raise_misfits("the weights do not fit the layers", misfits)
    return weights


def convert_module(layout: Layout, node: Node, order, module: str, arrays: Arrays, misfits: list[str]):
    """Return the parameters of one node by "layer/parameter"; add to the list what does not fit."""
    expected = own_shapes(node)
    keys = {name: layout.key(name, position) for position, name in enumerate(expected)}
    misfits += [
        f"{join(module, key)} of shape {array.shape}: layer {node.name!r} has no such parameter"
        for key, array in arrays.items()
        if key not in keys.values()
    ]
    weights = {f"{node.name}/{name}": np.array(MANY_UPDATES) for name in node.layer.count_params}
    for name, shape in expected.items():
        own, theirs = f"{node.name}/{name}", join(module, keys[name])
        shapes = layout.shapes(node, name, shape)
        if keys[name] not in arrays:
            misfits.append(f"{theirs} is missing, expected shape {shapes[0]} for {own} of shape {shape}")
            continue
        array = arrays[keys[name]]
        if array.shape not in shapes:
            misfits.append(
                f"{theirs} has shape {array.shape}, expected {shapes[0]} for {own} of shape {shape}"
            )
        elif array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            misfits.append(f"{theirs} for {own} must be finite numbers, got {array.dtype}")
        elif name == "running_variance" and (array < 0).any():
            misfits.append(f"{theirs} for {own} has negative variances")
        else:
            converted = layout.convert(node, name, array, shape)
            if order is not None and (name == "weight" or not isinstance(node.layer, Dense)):
                converted = converted[order]
            weights[own] = np.array(converted, order="C")
    return weights


def feature_orders(nodes: Sequence[Node], flattens_channels_first: bool):
    """Return which feature of another library each feature of the vectors of each node is.

    Returns
    -------
    orders : list of (ndarray of int or None)
        None where the order is the same.
    misfits : list of str
        Which nodes cannot compute the same on features in another order.
    """
    orders: list[np.ndarray | None] = [None]
    misfits: list[str] = []
    for node in nodes[1:]:
        before: list[Any] = [orders[source] for source in node.inputs]
        order: np.ndarray | None = None
        if isinstance(node.layer, Flatten):
            height, width, channels = node.input_shape
            if flattens_channels_first and height * width > 1 < channels:
                places = np.arange(height * width * channels).reshape(channels, height, width)
                order = places.transpose(1, 2, 0).ravel()
        elif all(own is None for own in before) or isinstance(node.layer, Dense):
            order = None
        elif isinstance(node.layer, Concatenate):
            order = join_orders(before, [shape[0] for shape in node.input_shapes])
        elif isinstance(node.layer, FEATURE_BY_FEATURE) or (
            isinstance(node.layer, Add) and all(np.array_equal(before[0], own) for own in before)
        ):
            order = before[0]
        else:
            misfits.append(f"layer {node.name!r} takes flattened images, whose values stand in another order")
        orders.append(order)
    return orders, misfits


def join_orders(orders: Sequence[np.ndarray | None], sizes: Sequence[int]) -> np.ndarray:
    """Return the order of the features of several vectors side by side."""
    starts = np.cumsum([0, *sizes[:-1]])
    return np.concatenate(
        [
            start + (np.arange(size) if order is None else order)
            for start, order, size in zip(starts, orders, sizes, strict=True)
        ]
    )


def join(module: str, key: str) -> str:
    """Return the name of a parameter of a module, which is nameless where it is all there is."""
    return f"{module}.{key}" if module else key


def describe(arrays: Mapping[str, Any]) -> str:
    """Return parameters with their shapes, for messages."""
    return ", ".join(f"{name} {getattr(value, 'shape', value)}" for name, value in arrays.items())


def raise_misfits(what: str, misfits: Sequence[str]) -> None:
    """Raise a ValueError that lists misfits, if there are any."""
    if misfits:
        raise ValueError("\n  ".join([f"{what}:", *misfits]))
