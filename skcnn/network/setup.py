"""What an executor works out before it sees an image; that of predictions is kept for the next call."""

from math import prod

import numpy as np

from skcnn.network.graph import Step
from skcnn.network.network import Network, Params
from skcnn.network.program import Program
from skcnn.network.rewriting import folded, fuse


class Setup:
    """What an executor works out before it sees an image.

    Parameters
    ----------
    steps : tuple of Step
    params : mapping of str to mapping of str to ndarray
        Parameters by layer name and parameter name.
    dtype : numpy.dtype
    trained, input_gradient
        As for :class:`Program`.

    Attributes
    ----------
    program : Program
    params : list of dict of str to ndarray
        Parameters of each step.
    plans : list of object
        What ``plan`` of each layer returned.
    image_bytes : int
        As :func:`image_bytes` returns it.
    """

    def __init__(
        self,
        steps: tuple[Step, ...],
        params: Params,
        dtype: np.dtype,
        trained: set[str] | None = None,
        *,
        input_gradient: bool = False,
    ):
        self.program = Program(fuse(steps), trained, input_gradient=input_gradient)
        self.params = [params.get(step.name, {}) for step in self.program.steps]
        self.plans = [None] + list(map(plan_of, self.program.steps[1:]))
        self.image_bytes = image_bytes(steps, dtype)

    def prepare(self, *, training: bool) -> list:
        """Return what ``prepare`` of each layer returns for the parameters as they are now."""
        prepared = [None]
        for step, own, plan in zip(self.program.steps[1:], self.params[1:], self.plans[1:], strict=True):
            with step.named_errors():
                prepared.append(step.layer.prepare(own, plan, training=training))
        return prepared


class PredictionSetup(Setup):
    """A setup for predictions, with what layers prepare of the parameters that a network has now.

    They prepare it of a copy, so it belongs together whatever another thread writes into the network.

    Parameters
    ----------
    network : Network

    Attributes
    ----------
    prepared : list of object
        What ``prepare`` of each layer returned.
    """

    def __init__(self, network: Network):
        self._bytes, copies = {}, {}
        for step in network.steps[1:]:
            if step.layer.prepares:
                copies[step.name] = {}
                for name, value in network.params.get(step.name, {}).items():
                    self._bytes[step.name, name] = copied = bytearray(np.ascontiguousarray(value).data)
                    copies[step.name][name] = np.ndarray(value.shape, value.dtype, copied)
        super().__init__(*folded(network.steps, network.params | copies), network.dtype)
        self.prepared = self.prepare(training=False)

    def is_of(self, network: Network) -> bool:
        """Return whether these parameters of the network are what they were, bit for bit.

        Bytes are compared faster than numbers, and tell zeros of both signs apart, but not NaN from itself.
        """
        return all(
            copied == np.ascontiguousarray(network.params[layer][name]).data
            for (layer, name), copied in self._bytes.items()
        )


def prediction_setup(network: Network) -> PredictionSetup:
    """Return the setup for predictions of a network, that of an earlier call unless parameters have changed.

    Layers and their hyperparameters are those that the network was built of. Threads that do not find a setup
    at the same time make one each.
    """
    setup = network.prediction_setup
    if setup is None or not setup.is_of(network):
        setup = network.prediction_setup = PredictionSetup(network)
    return setup


def plan_of(step: Step):
    """Return the plan of a step's layer."""
    with step.named_errors():
        return step.layer.plan(step.input_shape)


def image_bytes(steps: tuple[Step, ...], dtype: np.dtype) -> int:
    """Return the memory that the hungriest step takes for an image: inputs, result and scratch."""
    return dtype.itemsize * max(
        sum(map(prod, step.input_shapes))
        + prod(step.output_shape)
        + step.layer.scratch_size(step.input_shape)
        for step in steps[1:]
    )
