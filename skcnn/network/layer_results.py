"""Layers of a fitted network by the names that users know them by."""

from skcnn.layers.convolution import Convolution
from skcnn.network.graph import Graph


class RecordingGraph(Graph):
    """A graph that knows which step gives the result of each block.

    Parameters
    ----------
    input_shape : tuple of int
        As for :class:`skcnn.network.graph.Graph`.

    Attributes
    ----------
    ends : dict of str to int
        Steps by the names of blocks, also of those within containers.
    idle : set of str
        Names of blocks that add no step: their results are those of what is in front of them.

    Examples
    --------
    >>> from skcnn.layers import Conv2D, Residual
    >>> graph = RecordingGraph((8, 8, 1))
    >>> _ = graph.connect("res", Residual([Conv2D(1, activation="relu")]), 0)
    >>> [step.name for step in graph.steps]
    ['input', 'res__conv2d_1', 'res__conv2d_1_relu', 'res']
    >>> graph.ends
    {'res__conv2d_1': 2, 'res': 3}
    """

    def __init__(self, input_shape):
        super().__init__(input_shape)
        self.ends, self.idle = {}, set()

    def connect(self, name, block, source):
        """Let a block add its steps; see :meth:`skcnn.network.graph.Graph.connect`."""
        n_steps = len(self.steps)
        self.ends[name] = super().connect(name, block, source)
        if len(self.steps) == n_steps:
            self.idle.add(name)
        return self.ends[name]


def recorded(classifier) -> RecordingGraph:
    """Return the graph of the layers of a fitted classifier."""
    graph = RecordingGraph(classifier.image_shape_)
    graph.connect_all(classifier.layers_, 0)
    return graph


def result_steps(classifier) -> dict[str, int]:
    """Return the step with the result of each layer: behind the activation that it brings along.

    Parameters
    ----------
    classifier : ConvNetClassifier
        Fitted.

    Returns
    -------
    steps : dict of str to int
        In the order of the network. Also those of "input", of layers within containers by their names there,
        ``res1__conv1``, and of activations that layers bring along, ``conv1_relu``.
    """
    graph = recorded(classifier)
    steps = {step.name: index for index, step in enumerate(graph.steps)} | graph.ends
    return dict(sorted(steps.items(), key=lambda entry: entry[1]))


def result_step(classifier, layer: str) -> int:
    """Return the step with the result of a layer.

    Raises
    ------
    ValueError
        If there is no layer of this name.
    """
    steps = result_steps(classifier)
    if layer not in steps:
        raise ValueError(f"layer must be one of {list(steps)}, got {layer!r}")
    return steps[layer]


def names_of_steps(classifier) -> dict[int, str]:
    """Return a name for each step that gives the result of a layer: the shortest of those that add it."""
    idle, names = recorded(classifier).idle, {}
    for name, index in result_steps(classifier).items():
        if name not in idle:
            names[index] = min(name, names.get(index, name), key=len)
    return names


def is_image(step) -> bool:
    """Return whether the result of a step is an image."""
    return len(step.output_shape) == 3


def image_layers(classifier) -> list[str]:
    """Return the names of the layers whose results are images, one for each, in the order of the network."""
    steps, names = classifier.network_.steps, names_of_steps(classifier)
    return [name for index, name in names.items() if index > 0 and is_image(steps[index])]


def image_step(classifier, layer: str) -> int:
    """Return the step with the images of a layer.

    Raises
    ------
    ValueError
        If there is no layer of this name, or its results are vectors.
    """
    index = result_step(classifier, layer)
    step = classifier.network_.steps[index]
    if not is_image(step):
        raise ValueError(
            f"layer must be one whose results are images, got {layer!r} with results of shape "
            f"{step.output_shape}"
        )
    return index


def last_convolved_step(classifier) -> int:
    """Return the step with what the last convolution and the layers behind it of equally large images give.

    These are normalizations, activations and what joins branches. The step is one that all behind it read
    through: of a convolution on a branch, that is what joins the branches, if it gives images. Images of a
    single pixel are not counted.

    Raises
    ------
    ValueError
        If there is no such step.
    """
    steps = classifier.network_.steps
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


def penultimate_step(classifier) -> int:
    """Return the step that the output layer reads."""
    return classifier.network_.steps[-1].inputs[0]
