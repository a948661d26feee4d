"""Networks in ONNX: from stored images to scores, and to labels."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from skcnn.augmentation import Augmentation, RandomFlip
from skcnn.data.images import ImageFormat
from skcnn.data.targets import TargetScaling
from skcnn.network.graph import Node
from skcnn.network.network import Network
from skcnn.network.rewriting import fold
from skcnn.onnx.graph import GraphBuilder
from skcnn.onnx.layers import CONVERTERS

LAST = np.iinfo(np.int64).min
"""Where a slice that goes backwards ends."""


def add_scores(
    graph: GraphBuilder, X: str, network: Network, format: ImageFormat, changes: Sequence[Augmentation]
) -> str:
    """Add a network and return the name of its scores, averaged over the views of the images.

    Parameters
    ----------
    graph : GraphBuilder
    X : str
        Name of the images, in any layout and dtype.
    network : Network
    format : ImageFormat
    changes : sequence of Augmentation
        As :meth:`skcnn.network.model.Model.scores` takes them.

    Raises
    ------
    ValueError
        If a layer or an augmentation cannot be converted; the message names it.
    """
    X = _add_images(graph, X, format)
    views = _add_views(graph, X, changes)
    if len(views) == 1:
        return _add_nodes(graph, views[0], network)
    scores = _add_nodes(graph, graph.add("Concat", *views, axis=0), network)
    graph.begin("views")
    scores = graph.add("Reshape", scores, [len(views), -1, network.n_outputs])
    return graph.add("ReduceMean", scores, [0], keepdims=0)


def _add_images(graph, X, format):
    """Add what :meth:`skcnn.data.images.ImageSource.read` does; images are then (n, c, h, w)."""
    graph.begin("input")
    X = graph.add("Reshape", X, [0, *format.stored_shape])
    if not format.channels_first:
        X = graph.add("Transpose", X, perm=[0, 3, 1, 2])
    if format.mean is not None:
        dtype = format.mean.dtype
        X = graph.cast(X, dtype)
        for operator, values in (("Sub", format.mean), ("Div", format.deviation)):
            X = graph.add(operator, X, graph.constant(values.reshape(-1, 1, 1), dtype=dtype))
    return graph.cast(X, np.float32)


def _add_views(graph, X, changes):
    """Return the names of the views of images, mirror images among them."""
    for change in changes:
        if type(change) is not RandomFlip:
            raise ValueError(
                f"tta has {change!r}, which is not exported to ONNX: RandomFlip alone is. "
                "set_params(tta=None), or tta='flip', changes that without training anew"
            )
    graph.begin("views")
    names = []
    for view in product(*(change.views() for change in changes)):
        name = X
        for change, draws in zip(changes, view, strict=True):
            wanted = ((2, change.vertical, draws[1]), (3, change.horizontal, draws[0]))
            axes = [axis for axis, is_wanted, draw in wanted if is_wanted and draw < 0.5]
            if axes:
                back = [-1] * len(axes)
                name = graph.add("Slice", name, back, [LAST] * len(axes), axes, back)
        names.append(name)
    return names


def _add_nodes(graph, X, network):
    """Add all layers and return the name of the last result."""
    nodes, params = fold(network.nodes, network.params)
    results = [X]
    for node in nodes[1:]:
        graph.begin(node.name)
        inputs = tuple(results[source] for source in node.inputs)
        with node.name_errors():
            results.append(_add_node(graph, node, params.get(node.name, {}), inputs))
    return results[-1]


def _add_node(graph, node: Node, params, inputs):
    """Add a layer and return the name of its result."""
    kind = type(node.layer)
    if kind not in CONVERTERS:
        raise ValueError(
            f"{kind.__name__} has no converter to ONNX: "
            f"skcnn.onnx.register_layer({kind.__name__}, function) adds one"
        )
    result = CONVERTERS[kind](
        graph, node.layer, params, inputs[0] if len(inputs) == 1 else inputs, node.input_shape
    )
    if not isinstance(result, str):
        raise ValueError(
            f"the converter of {kind.__name__} must return the name of its result, a str, got {result!r}"
        )
    shapes = dict(zip(inputs, node.input_shapes, strict=True))  # of each input once, which onnx wants
    graph.check_part(
        [_describe(name, shape) for name, shape in shapes.items()], [_describe(result, node.output_shape)]
    )
    return result


def _describe(name, shape):
    """Return the name, dtype and shape that a result of the network has in ONNX, channels first."""
    return name, np.float32, (shape[-1], *shape[:-1])


def add_labels(graph: GraphBuilder, scores: str, *, outputs: Sequence[str]) -> None:
    """Add the labels that images have, as 0 and 1, and their probabilities.

    Parameters
    ----------
    graph : GraphBuilder
    scores : str
        Name of the scores of a network, one for each label.
    outputs : (str, str)
        Names of the two results.
    """
    graph.begin("output")
    has_label = graph.add("Greater", scores, graph.constant(0.0, dtype=np.float32))
    graph.add("Identity", graph.cast(has_label, np.int64), output=outputs[0])
    graph.add("Sigmoid", scores, output=outputs[1])


def add_prediction(
    graph: GraphBuilder, scores: str, labels: np.ndarray, has_probabilities: bool, *, outputs: Sequence[str]
) -> None:
    """Add labels, and probabilities or scores.

    Parameters
    ----------
    graph : GraphBuilder
    scores : str
        Name of the scores of a network.
    labels : ndarray of shape (n_classes,)
        As :func:`as_labels` returns them.
    has_probabilities : bool
        Whether the second result is the softmax of the scores; else it is the scores, of two classes the
        difference of both in either order, so that the second is what ``decision_function`` returns.
    outputs : (str, str)
        Names of the two results.
    """
    graph.begin("output")
    best = graph.add("ArgMax", scores, axis=1, keepdims=0)
    graph.add("Gather", graph.constant(labels, dtype=labels.dtype), best, output=outputs[0])
    if has_probabilities:
        graph.add("Softmax", scores, axis=1, output=outputs[1])
    elif len(labels) == 2:
        graph.add("MatMul", scores, [[1.0, -1.0], [-1.0, 1.0]], output=outputs[1])
    else:
        graph.add("Identity", scores, output=outputs[1])


def add_numbers(
    graph: GraphBuilder, scores: str, link: str, scaling: TargetScaling, *, dtype, output: str
) -> None:
    """Add the numbers that a regressor predicts, shape (n_samples, n_outputs).

    Parameters
    ----------
    graph : GraphBuilder
    scores : str
        Name of the scores of a network.
    link : {"identity", "exp"}
        What makes scaled numbers of scores.
    scaling : TargetScaling
    dtype : numpy.dtype
        Of the result; the numbers are computed in float64, as mean and scale may need it.
    output : str
        Name of the result.
    """
    graph.begin("output")
    if link == "exp":
        scores = graph.add("Exp", scores)
    numbers = graph.cast(scores, np.float64)
    for operator, values in (("Mul", scaling.scale), ("Add", scaling.mean)):
        numbers = graph.add(operator, numbers, graph.constant(values, dtype=np.float64))
    graph.add("Identity", graph.cast(numbers, dtype), output=output)


def as_labels(classes: np.ndarray) -> np.ndarray:
    """Return classes in a dtype that ONNX has: int64, a float, bool, or objects that are str.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> as_labels(np.array(["cat", "dog"]))
    array(['cat', 'dog'], dtype=object)
    """
    kind = classes.dtype.kind
    if all(isinstance(label, str) for label in classes):
        return classes.astype(object)
    if kind in "iu" and classes.max() <= np.iinfo(np.int64).max:
        return classes.astype(np.int64)
    if kind == "b" or (kind == "f" and classes.dtype.itemsize <= 8):
        return classes
    raise ValueError(
        f"classes_ of dtype {classes.dtype}, such as {classes[-1]!r}, do not exist in ONNX: labels must be "
        "integers of 64 bits, numbers of at most double precision, booleans, or all of them str"
    )
