"""Which node gives the result of a layer, by the name that users know the layer by."""

from collections.abc import Mapping
from typing import Any

from skcnn.layers.convolution import Convolution
from skcnn.layers.naming import suggestion
from skcnn.network.graph import Graph


def result_nodes(graph: Graph) -> dict[str, int]:
    """Return the node with the result of each layer: after the activation that it brings along.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    nodes : dict of str to int
        In the order of the network. Also those of "input", of layers within containers by their names there,
        ``res1__conv1``, and of activations that layers bring along, ``conv1_relu``.
    """
    nodes = {node.name: index for index, node in enumerate(graph.nodes)} | graph.ends
    return dict(sorted(nodes.items(), key=lambda entry: entry[1]))


def result_node(graph: Graph, layer: str, *, parameter: str = "layer") -> int:
    """Return the node with the result of a layer, whose name is the value of a parameter.

    Raises
    ------
    ValueError
        If there is no layer of this name.
    """
    nodes = result_nodes(graph)
    if not isinstance(layer, str) or layer not in nodes:
        raise ValueError(f"{parameter} must be one of {list(nodes)}, got {layer!r}")
    return nodes[layer]


def names_of_nodes(graph: Graph) -> dict[int, str]:
    """Return a name for each node that gives the result of a layer: the shortest of those that add it."""
    names = {}
    for name, index in result_nodes(graph).items():
        if graph.spans.get(name, True):  # a block that adds no node is not that of its result
            names[index] = min(name, names.get(index, name), key=len)
    return names


def factors_of_nodes(graph: Graph, factors: Mapping[str, float], *, parameter: str) -> dict[str, float]:
    """Return the factors of nodes from a mapping by names of layers, or by what these begin with.

    The longest key counts. The name of a layer stands for all nodes of it, a container's also for the layers
    within it.

    Parameters
    ----------
    graph : Graph
    factors : mapping of str to float
    parameter : str
        Named in messages.

    Raises
    ------
    ValueError
        If a key stands for no node.
    """
    found, used = {}, set()
    for index, node in enumerate(graph.nodes[1:], start=1):
        keys = [
            key
            for key in factors
            if (index in graph.spans[key] if key in graph.spans else node.name.startswith(key))
        ]
        if keys:
            found[node.name] = float(factors[max(keys, key=len)])
            used.update(keys)
    for key in factors:
        if key not in used:
            layers = suggestion(key, [*graph.spans], "").replace("parameters", "names")
            raise ValueError(f"{parameter} has the key {key!r}, but no layer has this name. {layers}")
    return found


def is_image(node) -> bool:
    """Return whether the result of a node is an image."""
    return len(node.output_shape) == 3


def image_layers(graph: Graph) -> list[str]:
    """Return the names of the layers whose results are images, one for each, in the order of the network."""
    nodes, names = graph.nodes, names_of_nodes(graph)
    return [name for index, name in names.items() if index > 0 and is_image(nodes[index])]


def image_node(graph: Graph, layer: str, *, parameter: str = "layer") -> int:
    """Return the node with the images of a layer, whose name is the value of a parameter.

    Raises
    ------
    ValueError
        If there is no layer of this name, or its results are vectors.
    """
    index = result_node(graph, layer, parameter=parameter)
    node = graph.nodes[index]
    if not is_image(node):
        raise ValueError(
            f"{parameter} must be one whose results are images, got {layer!r} with results of shape "
            f"{node.output_shape}"
        )
    return index


def last_convolved_node(graph: Graph) -> int:
    """Return the node with what the last convolution and the layers after it of equally large images give.

    These are normalizations, activations and what joins branches. The node is one that all after it read
    through: of a convolution on a branch, that is what joins the branches, if it gives images. Images of a
    single pixel are not counted.

    Raises
    ------
    ValueError
        If there is no such node.
    """
    nodes = graph.nodes
    found: Any = None
    follows = convolves = False
    for index, node in enumerate(nodes):
        has_pixels = is_image(node) and node.output_shape[:2] != (1, 1)
        convolves |= has_pixels and isinstance(node.layer, Convolution)
        if any(min(later.inputs) < index for later in nodes[index + 1 :]):
            continue  # a node after it reads past it
        is_as_large = follows and node.output_shape[:2] == nodes[found].output_shape[:2]
        follows = has_pixels and (convolves or is_as_large)
        found = index if follows else found
        convolves = False
    if found is None:
        raise ValueError(
            "layer must be given, since no layer convolves to images of more than one pixel that all layers "
            "after it read"
        )
    return found


def penultimate_node(graph: Graph) -> int:
    """Return the node that the output layer reads."""
    return graph.nodes[-1].inputs[0]
