"""Rewriting of the list of steps into one that gives the same numbers with less work."""

from itertools import pairwise

from skcnn.layers import MaxPool2D
from skcnn.layers.base import Activation
from skcnn.network import Step


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
    >>> from skcnn.network import compile_steps
    >>> steps = compile_steps([("conv", Conv2D(4, activation="relu")), ("pool", MaxPool2D())], (8, 8, 1))
    >>> [step.name for step in fuse(steps)]
    ['input', 'conv', 'pool', 'conv_relu']
    """
    fused = list(steps)
    for index, (activation, pooling) in enumerate(pairwise(steps)):
        commutes = isinstance(activation.layer, Activation) and activation.layer.commutes_with_maximum
        if not (commutes and isinstance(pooling.layer, MaxPool2D) and pooling.inputs == (index,)):
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
