"""Which step gives the result of a layer, by the name that users know the layer by."""

from skcnn.layers.convolution import Convolution
from skcnn.network.graph import Graph


def result_steps(graph: Graph) -> dict[str, int]:
    """Return the step with the result of each layer: behind the activation that it brings along.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    steps : dict of str to int
        In the order of the network. Also those of "input", of layers within containers by their names there,
        ``res1__conv1``, and of activations that layers bring along, ``conv1_relu``.
    """
    steps = {step.name: index for index, step in enumerate(graph.steps)} | graph.ends
    return dict(sorted(steps.items(), key=lambda entry: entry[1]))


def result_step(graph: Graph, layer: str, *, parameter: str = "layer") -> int:
    """Return the step with the result of a layer, whose name is the value of a parameter.

    Raises
    ------
    ValueError
        If there is no layer of this name.
    """
    steps = result_steps(graph)
    if not isinstance(layer, str) or layer not in steps:
        raise ValueError(f"{parameter} must be one of {list(steps)}, got {layer!r}")
    return steps[layer]


def names_of_steps(graph: Graph) -> dict[int, str]:
    """Return a name for each step that gives the result of a layer: the shortest of those that add it."""
    idle, names = graph.idle, {}
    for name, index in result_steps(graph).items():
        if name not in idle:
            names[index] = min(name, names.get(index, name), key=len)
    return names


def is_image(step) -> bool:
    """Return whether the result of a step is an image."""
    return len(step.output_shape) == 3


def image_layers(graph: Graph) -> list[str]:
    """Return the names of the layers whose results are images, one for each, in the order of the network."""
    steps, names = graph.steps, names_of_steps(graph)
    return [name for index, name in names.items() if index > 0 and is_image(steps[index])]


def image_step(graph: Graph, layer: str, *, parameter: str = "layer") -> int:
    """Return the step with the images of a layer, whose name is the value of a parameter.

    Raises
    ------
    ValueError
        If there is no layer of this name, or its results are vectors.
    """
    index = result_step(graph, layer, parameter=parameter)
    step = graph.steps[index]
    if not is_image(step):
        raise ValueError(
            f"{parameter} must be one whose results are images, got {layer!r} with results of shape "
            f"{step.output_shape}"
        )
    return index


def last_convolved_step(graph: Graph) -> int:
    """Return the step with what the last convolution and the layers behind it of equally large images give.

    These are normalizations, activations and what joins branches. The step is one that all behind it read
    through: of a convolution on a branch, that is what joins the branches, if it gives images. Images of a
    single pixel are not counted.

    Raises
    ------
    ValueError
        If there is no such step.
    """
    steps = graph.steps
    found, follows, convolves = None, False, False
    for index, step in enumerate(steps):
        has_pixels = is_image(step) and step.output_shape[:2] != (1, 1)
        convolves |= has_pixels and isinstance(step.layer, Convolution)
        if any(min(later.inputs) < index for later in steps[index + 1 :]):
            continue  # a step behind it reads past it
        is_as_large = follows and step.output_shape[:2] == steps[found].output_shape[:2]
        follows = has_pixels and (convolves or is_as_large)
        found = index if follows else found
        convolves = False
    if found is None:
        raise ValueError(
            "layer must be given, since no layer convolves to images of more than one pixel that all layers "
            "behind it read"
        )
    return found


def penultimate_step(graph: Graph) -> int:
    """Return the step that the output layer reads."""
    return graph.steps[-1].inputs[0]
