"""Rewriting of lists of steps into ones that give the same results with less work."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np

from skcnn.layers import BatchNorm, Conv2D, DepthwiseConv2D, MaxPool2D
from skcnn.network.graph import Step
from skcnn.network.network import Params

ABSORBING = (Conv2D, DepthwiseConv2D)
"""Layers that a BatchNorm behind them is folded into: not their subclasses, which may compute anything, and
not Dense, whose weight takes longer to scale than what is spared."""


def fuse(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps with the same results and gradients, bit for bit, that touch fewer pixels.

    A maximum over windows goes before an activation that commutes with it, which then works on what is left
    of the image. All other steps keep their places, so the network's indices stay valid beyond the pair.

    Parameters
    ----------
    steps : tuple of Step

    Returns
    -------
    steps : tuple of Step

    Examples
    --------
    >>> from skcnn.layers import Conv2D, MaxPool2D
    >>> from skcnn.network.graph import compile_steps
    >>> steps = compile_steps([("conv", Conv2D(4, activation="relu")), ("pool", MaxPool2D())], (8, 8, 1))
    >>> [step.name for step in fuse(steps)]
    ['input', 'conv', 'pool', 'conv_relu']
    """
    fused = list(steps)
    for index, (activation, pooling) in enumerate(pairwise(steps)):
        if type(pooling.layer) is not MaxPool2D or pooling.inputs != (index,):
            continue
        if activation.layer is None or not activation.layer.declares("commutes_with_maximum"):
            continue
        if sum(index in step.inputs for step in steps) > 1:
            continue  # another step reads the activation of the whole image
        fused[index] = Step(
            pooling.name, pooling.layer, activation.inputs, activation.input_shapes, pooling.output_shape
        )
        fused[index + 1] = Step(
            activation.name, activation.layer, (index,), (pooling.output_shape,), pooling.output_shape
        )
    return tuple(fused)


def folded(steps: tuple[Step, ...], params: Params) -> tuple[tuple[Step, ...], Params]:
    r"""Return steps for prediction, without those BatchNorms that the layer in front can do the work of.

    With the statistics of training, a BatchNorm multiplies each channel by a number and adds another; the
    layer in front of it does this with its weight and bias, unless something else reads its result.
    What is given stays as it is; what is not folded is shared, not copied.

    Parameters
    ----------
    steps : tuple of Step
    params : mapping of str to mapping of str to ndarray
        Parameters by layer name and parameter name.

    Returns
    -------
    steps : tuple of Step
    params : mapping of str to mapping of str to ndarray
        Those of layers that are no longer there may be among them.

    Notes
    -----
    For each channel, computed in float64 and rounded to the dtype of the weights,

    .. math:: w' = f w, \quad b' = f (b - \mu) + \beta, \quad f = \gamma / \sqrt{\sigma^2 + \epsilon}.

    Where one of these numbers is not finite, layer and BatchNorm are left alone.

    References
    ----------
    Jacob et al. (2018), "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference", CVPR, section 3.2.

    Examples
    --------
    >>> from skcnn.layers import BatchNorm, Conv2D, ReLU
    >>> from skcnn.network.network import init_network
    >>> from skcnn.network.graph import compile_steps
    >>> from skcnn.random_streams import RandomStreams
    >>> layers = [("conv", Conv2D(4)), ("norm", BatchNorm()), ("relu", ReLU())]
    >>> network = init_network(compile_steps(layers, (8, 8, 1)), dtype="float32", seed=0)
    >>> steps, params = folded(network.steps, network.params)
    >>> [step.name for step in steps]
    ['input', 'conv', 'relu']
    """
    n_readers = Counter(source for step in steps for source in step.inputs)
    kept, params = [], dict(params)
    places = []  # for each of the steps, the index of the one with its result
    for step in steps:
        inputs = tuple(places[source] for source in step.inputs)
        if type(step.layer) is BatchNorm and n_readers[step.inputs[0]] == 1:
            (source,) = inputs
            absorbing = kept[source]
            layer, scaled = _absorbed(absorbing, step, params)
            if layer is not None:
                kept[source] = replace(absorbing, layer=layer)
                params[absorbing.name] = scaled
                places.append(source)
                continue
        places.append(len(kept))
        kept.append(replace(step, inputs=inputs))
    return tuple(kept), params


def _absorbed(step, norm, params):
    """Return layer and parameters of a step and a BatchNorm behind it in one, or None twice."""
    if type(step.layer) not in ABSORBING:
        return None, None
    with np.errstate(all="ignore"):  # what is not finite is seen below
        factor, offset = norm.layer.factor_and_offset(params[norm.name])
        layer, scaled = step.layer.scaled(params[step.name], factor, offset)
    if not all(np.isfinite(value).all() for value in scaled.values()):
        return None, None
    return layer, scaled
