"""Layers of a fitted network by the names that users know them by."""

from skcnn.classifier import ConvNetClassifier
from skcnn.network import Graph


def result_steps(classifier: ConvNetClassifier) -> dict[str, int]:
    """Return the step with the result of each layer: behind the activation that it brings along.

    Parameters
    ----------
    classifier : ConvNetClassifier
        Fitted.

    Returns
    -------
    steps : dict of str to int
        Also those of layers within containers, and of activations, by the names of their steps.
    """
    steps = {step.name: index for index, step in enumerate(classifier.network_.steps)}
    graph, source = Graph(classifier.image_shape_), 0
    for name, block in classifier.layers_:
        steps[name] = source = graph.connect(name, block, source)
    return steps


def result_step(classifier: ConvNetClassifier, layer: str) -> int:
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


def image_step(classifier: ConvNetClassifier, layer: str | None) -> int:
    """Return the step with the images of a layer; None: of the last one with more than one pixel.

    Raises
    ------
    ValueError
        If there is no layer of this name, or its results are vectors.
    """
    steps = classifier.network_.steps
    if layer is not None:
        index = result_step(classifier, layer)
        if len(steps[index].output_shape) != 3:
            raise ValueError(
                f"layer must be one whose results are images, got {layer!r} with results of shape "
                f"{steps[index].output_shape}"
            )
        return index
    indices = [
        index
        for index, step in enumerate(steps[1:], start=1)
        if len(step.output_shape) == 3 and step.output_shape[:2] != (1, 1)
    ]
    if not indices:
        raise ValueError("there is no layer whose results are images: layer must be one that convolves")
    return indices[-1]


def penultimate_step(classifier: ConvNetClassifier) -> int:
    """Return the step that the output layer reads."""
    return classifier.network_.steps[-1].inputs[0]
