"""Finds the node with the result of a layer by the layer's name."""

from collections.abc import Mapping
from typing import Any

from skcnn.layers.convolution import Convolution
from skcnn.layers.naming import suggestion
from skcnn.network.graph import Graph


def result_nodes(graph: Graph) -> dict[str, int]:
    """Return the node with the result of each layer, after the layer's own activation.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    nodes : dict of str to int
        In the order of the network. Includes "input", layers within containers, such as ``res1__conv1``,
        and activations of layers, such as ``conv1_relu``.
    """
    nodes = {node.name: index for index, node in enumerate(graph.nodes)} | graph.ends
    return dict(sorted(nodes.items(), key=lambda entry: entry[1]))


def result_node(graph: Graph, layer: str, *, parameter: str = "layer") -> int:
    """Return the node with the result of the layer that a parameter names.

    Raises
    ------
    ValueError
        If no layer has this name.
    """
    nodes = result_nodes(graph)
    if not isinstance(layer, str) or layer not in nodes:
        raise ValueError(f"{parameter} must be one of {list(nodes)}, got {layer!r}")
    return nodes[layer]


def names_of_nodes(graph: Graph) -> dict[int, str]:
    """Return a name for each node with the result of a layer: the shortest if several layers end there."""
    names = {}
    for name, index in result_nodes(graph).items():
        if graph.spans.get(name, True):  # a block without nodes passes on the result of another
            names[index] = min(name, names.get(index, name), key=len)
    return names


def factors_of_nodes(graph: Graph, factors: Mapping[str, float], *, parameter: str) -> dict[str, float]:
    """Return the factor of each node from factors by layer name or prefix of layer names.

    If several keys match a node, the longest one counts. The name of a layer matches all its nodes,
    including those of layers within a container.

    Parameters
    ----------
    graph : Graph
    factors : mapping of str to float
    parameter : str
        Name for messages.

    Raises
    ------
    ValueError
        If a key matches no node.
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
    """Return the names of the layers whose results are images, one per result, in the network's order."""
    nodes, names = graph.nodes, names_of_nodes(graph)
    return [name for index, name in names.items() if index > 0 and is_image(nodes[index])]


def image_node(graph: Graph, layer: str, *, parameter: str = "layer") -> int:
    """Return the node with the images of the layer that a parameter names.

    Raises
    ------
    ValueError
        If no layer has this name, or its results are vectors.
    """
    index = result_node(graph, layer, parameter=parameter)
    node = graph.nodes[index]
    if not is_image(node):
        raise ValueError(
            f"{parameter} must be a layer whose results are images, got {layer!r} with results of shape "
            f"{node.output_shape}"
        )
    return index


def last_convolved_node(graph: Graph) -> int:
    """Return the last node that has the image size of the last convolution.

    The layers between them may be normalizations, activations and joins of branches. No later node reads
    past the returned one: for a convolution on a branch, it is the join of the branches if that gives images.
    Images of a single pixel do not count.

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
            "layer must be given, because no convolution gives images of more than one pixel that all layers "
            "after it depend on"
        )
    return found


def penultimate_node(graph: Graph) -> int:
    """Return the node that the output layer reads."""
    return graph.nodes[-1].inputs[0]
