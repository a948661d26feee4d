"""Rewrites lists of nodes to give the same results with less work."""

from collections import Counter
from collections.abc import Iterator, Set
from copy import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np

from skcnn.kernels.table import NUMPY, Kernels
from skcnn.layers import BatchNorm, Conv2D, DepthwiseConv2D, MaxPool2D, ReLU
from skcnn.layers.convolution import Convolution
from skcnn.layers.normalization import ChannelAffine
from skcnn.layers.reshape import Identity
from skcnn.network.graph import Node
from skcnn.network.network import Params

ABSORBING = (Conv2D, DepthwiseConv2D)
"""Layers into which a following BatchNorm is folded. Subclasses are excluded because they may compute
anything, and Dense because scaling its weight takes longer than it saves."""


def fuse(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return nodes that take fewer passes over memory, with the same results and gradients, bit for bit.

    Max pooling moves before an activation that commutes with it, so the activation works on the smaller
    image. Batch normalization and max pooling take over a ReLU after them, which becomes an identity. All
    other nodes keep their places, so their indices in the network stay valid.

    Parameters
    ----------
    nodes : tuple of Node

    Returns
    -------
    nodes : tuple of Node

    Examples
    --------
    >>> from skcnn.layers import Conv2D, MaxPool2D
    >>> from skcnn.network.graph import compile_nodes
    >>> nodes = compile_nodes([("conv", Conv2D(4, activation="relu")), ("pool", MaxPool2D())], (8, 8, 1))
    >>> [node.name for node in fuse(nodes)]
    ['input', 'conv', 'pool', 'conv_relu']
    >>> fuse(nodes)[3].layer
    Identity()
    """
    fused = list(nodes)
    for index, activation, pooling in pairs_that_are_alone(nodes):
        if type(pooling.layer) is MaxPool2D and activation.layer.declares("commutes_with_maximum"):
            shape = pooling.output_shape
            fused[index] = replace(pooling, inputs=activation.inputs, input_shapes=activation.input_shapes)
            fused[index + 1] = replace(activation, inputs=(index,), input_shapes=(shape,), output_shape=shape)
    for index, node, activation in pairs_that_are_alone(tuple(fused)):
        if type(node.layer) in (BatchNorm, MaxPool2D) and type(activation.layer) is ReLU:
            rectified = copy(node.layer)
            rectified._is_rectified = True
            fused[index : index + 2] = replace(node, layer=rectified), replace(activation, layer=Identity())
    return tuple(fused)


def pairs_that_are_alone(nodes: tuple[Node, ...]) -> Iterator[tuple[int, Node, Node]]:
    """Yield each two nodes side by side of which the second alone reads the first, and the first's index."""
    n_readers = Counter(source for node in nodes for source in node.inputs)
    for index, (first, second) in enumerate(pairwise(nodes)):
        if first.layer is not None and second.inputs == (index,) and n_readers[index] == 1:
            yield index, first, second


def bind(nodes: tuple[Node, ...], kernels: Kernels) -> tuple[Node, ...]:
    """Return nodes whose layers compute with some kernels; layers that users hold stay as they are."""
    if kernels is NUMPY:
        return nodes
    bound = []
    for node in nodes:
        if isinstance(node.layer, Convolution | BatchNorm | MaxPool2D):
            layer = copy(node.layer)
            layer._kernels = kernels
            node = replace(node, layer=layer)
        bound.append(node)
    return tuple(bound)


def freeze(nodes: tuple[Node, ...], params: Params, frozen: Set[str]) -> tuple[tuple[Node, ...], Params]:
    """Return nodes for training in which each frozen BatchNorm acts as in prediction.

    Its running statistics do not change, so it multiplies each channel by a constant and adds another.

    Parameters
    ----------
    nodes : tuple of Node
    params : mapping of str to mapping of str to ndarray
        Parameters by layer name and parameter name.
    frozen : set of str
        Names of frozen layers.

    Raises
    ------
    ValueError
        If another frozen layer merges statistics: its backward pass without them is unknown.
    """
    rewritten, params = [], dict(params)
    for node in nodes:
        if node.merges and node.name in frozen:
            if type(node.layer) is not BatchNorm:
                raise ValueError(
                    f"layer {node.name!r}, {node.layer!r}, cannot be frozen: it is not a BatchNorm, and its "
                    "backward pass without statistics of the minibatch is unknown"
                )
            scale = params[node.name]["scale"]
            with np.errstate(all="ignore"):
                factor, offset = node.layer.factor_and_offset(params[node.name])
                params[node.name] = {
                    "factor": factor.astype(scale.dtype),
                    "offset": offset.astype(scale.dtype),
                }
            node = replace(node, layer=ChannelAffine())
        rewritten.append(node)
    return tuple(rewritten), params


def fold(nodes: tuple[Node, ...], params: Params) -> tuple[tuple[Node, ...], Params]:
    r"""Return nodes for prediction in which convolutions absorb the BatchNorms after them.

    With running statistics, a BatchNorm multiplies each channel by a constant and adds another. The layer
    before it can do this with its weight and bias, unless another node reads its output.
    The inputs do not change; parameters that are not folded are shared, not copied.

    Parameters
    ----------
    nodes : tuple of Node
    params : mapping of str to mapping of str to ndarray
        Parameters by layer name and parameter name.

    Returns
    -------
    nodes : tuple of Node
    params : mapping of str to mapping of str to ndarray
        May include parameters of removed layers.

    Notes
    -----
    For each channel, computed in float64 and rounded to the dtype of the weights,

    .. math:: w' = f w, \quad b' = f (b - \mu) + \beta, \quad f = \gamma / \sqrt{\sigma^2 + \epsilon}.

    A BatchNorm is not folded if one of these numbers is not finite.

    References
    ----------
    Jacob et al. (2018), "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference", CVPR, section 3.2.

    Examples
    --------
    >>> from skcnn.layers import BatchNorm, Conv2D, ReLU
    >>> from skcnn.network.network import init_network
    >>> from skcnn.network.graph import compile_nodes
    >>> from skcnn.random_streams import RandomStreams
    >>> layers = [("conv", Conv2D(4)), ("norm", BatchNorm()), ("relu", ReLU())]
    >>> network = init_network(compile_nodes(layers, (8, 8, 1)), dtype="float32", seed=0)
    >>> nodes, params = fold(network.nodes, network.params)
    >>> [node.name for node in nodes]
    ['input', 'conv', 'relu']
    """
    n_readers = Counter(source for node in nodes for source in node.inputs)
    kept, params = [], dict(params)
    places = []  # for each given node, the index of the kept node with its result
    for node in nodes:
        inputs = tuple(places[source] for source in node.inputs)
        if type(node.layer) is BatchNorm and n_readers[node.inputs[0]] == 1:
            (source,) = inputs
            absorbing = kept[source]
            layer, scaled = _absorb(absorbing, node, params)
            if layer is not None:
                kept[source] = replace(absorbing, layer=layer)
                params[absorbing.name] = scaled
                places.append(source)
                continue
        places.append(len(kept))
        kept.append(replace(node, inputs=inputs))
    return tuple(kept), params


def _absorb(node, norm, params):
    """Return one layer and its parameters for a node and the BatchNorm after it, or (None, None)."""
    if type(node.layer) not in ABSORBING:
        return None, None
    with np.errstate(all="ignore"):  # values are checked below
        factor, offset = norm.layer.factor_and_offset(params[norm.name])
        layer, scaled = node.layer.scale_and_shift(params[node.name], factor, offset)
    if not all(np.isfinite(value).all() for value in scaled.values()):
        return None, None
    return layer, scaled
