"""A network: a flat list of steps with the parameters of their layers."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from types import MappingProxyType

import numpy as np

from skcnn.layers.base import Activation
from skcnn.layers.contract import check_params
from skcnn.layers.reshape import Flatten
from skcnn.network.graph import Step
from skcnn.random_streams import RandomStreams

Params = Mapping[str, Mapping[str, np.ndarray]]
"""Parameters by layer name and parameter name."""


class Network:
    """Compiled layers with their parameters.

    Parameters
    ----------
    steps : tuple of Step
        As :func:`skcnn.network.graph.compile_steps` returns them.
    dtype : numpy.dtype
        Type of parameters and activations, float32 or float64.
    vector : ndarray of shape (n_params,)
        All parameters with a gradient, those that weight decay applies to first. Optimizers, snapshots and
        norms work on it as a whole.
    layout : list of (str, str, tuple of int)
        Layer name, parameter name and shape of each of them, in the order of ``vector``.
    n_decayed : int
        Number of leading elements of ``vector`` that weight decay applies to.
    others : mapping of str to mapping of str to ndarray
        Parameters without a gradient by layer name and parameter name.

    Attributes
    ----------
    steps, dtype, vector, n_decayed
        As given.
    params : dict of str to dict of str to ndarray
        Parameters by layer name and parameter name. Those with a gradient are views of ``vector``, so write
        into them, ``params["conv1"]["weight"][...] = 0``; they cannot be replaced.
    prediction_setup : PredictionSetup or None
        What the last prediction has worked out and the next one need not, see
        :func:`skcnn.network.setup.prediction_setup`. Neither copied nor pickled.
    """

    def __init__(
        self, steps: tuple[Step, ...], dtype, vector: np.ndarray, layout, n_decayed: int, others: Params
    ):
        self.steps, self.dtype, self.vector, self.n_decayed = steps, np.dtype(dtype), vector, n_decayed
        self._layout, self._others = layout, others
        layers = {step.name: step.layer for step in steps[1:]}
        self._state_names = [
            (layer, name)
            for layer, own in others.items()
            for name in own
            if layer in layers and name in layers[layer].state_params
        ]
        params = self.views_of(vector)
        for layer, own in others.items():
            params[layer] = params.get(layer, {}) | dict(own)
        self.params = MappingProxyType({layer: MappingProxyType(own) for layer, own in params.items()})
        self.prediction_setup = None

    @property
    def n_params(self) -> int:
        """Number of parameters with a gradient."""
        return self.vector.size

    @property
    def n_outputs(self) -> int:
        """Number of scores of a sample."""
        return self.steps[-1].output_shape[0]

    def views_of(self, vector: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """Return the parts of a vector, such as a gradient, by layer and parameter name.

        Parameters
        ----------
        vector : ndarray of shape (n_params,)

        Returns
        -------
        views : dict of str to dict of str to ndarray
        """
        views, start = {}, 0
        for name, key, shape in self._layout:
            views.setdefault(name, {})[key] = vector[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        return views

    def state(self) -> dict[tuple[str, str], np.ndarray]:
        """Return the parameters without a gradient that training changes, by (layer name, parameter name)."""
        return {(name, key): self.params[name][key] for name, key in self._state_names}

    def parts(self) -> dict:
        """Return what the constructor takes but for steps and dtype: arrays, names and numbers."""
        layout, others = self._layout, {layer: dict(own) for layer, own in self._others.items()}
        return {"vector": self.vector, "layout": layout, "n_decayed": self.n_decayed, "others": others}

    def up_to(self, index: int) -> "Network":
        """Return a network that ends with a step, whose result is flattened; the parameters are shared."""
        steps = self.steps[: index + 1]
        shape = steps[-1].output_shape
        if len(shape) == 3:
            steps = (*steps, Step("", Flatten(), (index,), (shape,), (prod(shape),)))
        return Network(steps, self.dtype, **self.parts())

    def behind(self, index: int) -> "Network":
        """Return a network of the steps behind one, which reads its results; the parameters are copied.

        Raises
        ------
        ValueError
            If one of these steps reads what is in front of that one, too.
        """
        front = self.steps[index]
        steps = [Step("input", None, (), (), front.output_shape)]
        for step in self.steps[index + 1 :]:
            if min(step.inputs) < index:
                raise ValueError(
                    f"the network does not go through layer {front.name!r} alone: {step.name!r} reads what "
                    "is in front of it"
                )
            steps.append(replace(step, inputs=tuple(source - index for source in step.inputs)))
        return network_with(tuple(steps), self.params, self.dtype)

    def copy(self) -> "Network":
        """Return a network of the same steps with parameters of its own, but for constants."""
        parts = self.parts() | {"vector": self.vector.copy()}
        for layer, name in self._state_names:
            parts["others"][layer][name] = self.params[layer][name].copy()
        return Network(self.steps, self.dtype, **parts)

    def snapshot(self):
        """Return a copy of all parameters that training changes, for :meth:`restore`."""
        return self.vector.copy(), {where: value.copy() for where, value in self.state().items()}

    def restore(self, snapshot) -> None:
        """Take over the parameters of a snapshot."""
        vector, state = snapshot
        np.copyto(self.vector, vector)
        self.set_state(state)

    def set_state(self, state: dict[tuple[str, str], np.ndarray]) -> None:
        """Overwrite parameters without a gradient."""
        for (name, key), value in state.items():
            np.copyto(self.params[name][key], value, casting="same_kind")

    @property
    def trained(self) -> set[str]:
        """Names of the layers that have parameters with a gradient."""
        return {name for name, _, _ in self._layout}

    def multiply_adds(self) -> int:
        """Return the number of multiply-adds of a forward pass of one sample."""
        return sum(step.layer.multiply_adds(step.input_shape) for step in self.steps[1:])

    def __reduce__(self):
        return Network, (self.steps, self.dtype, *self.parts().values())


def network_with(steps: tuple[Step, ...], params: Params, dtype) -> Network:
    """Return a network with a copy of parameters, those of layers that are not there left out.

    Parameters
    ----------
    steps : tuple of Step
    params : mapping of str to mapping of str to ndarray
        Parameters by layer name and parameter name.
    dtype : numpy.dtype
    """
    trained, others = [], {}
    for step in steps[1:]:
        for name, value in params.get(step.name, {}).items():
            if name in (*step.layer.state_params, *step.layer.constant_params):
                others.setdefault(step.name, {})[name] = np.array(value)
            else:
                trained.append((name in step.layer.decayed_params, step.name, name, value))
    trained.sort(key=lambda entry: not entry[0])
    n_decayed = sum(value.size for is_decayed, *_, value in trained if is_decayed)
    values = [np.asarray(value).ravel().astype(dtype, copy=False) for *_, value in trained]
    vector = np.concatenate([np.empty(0, dtype), *values])
    layout = [(layer, name, value.shape) for _, layer, name, value in trained]
    return Network(steps, dtype, vector, layout, n_decayed, others)


def init_network(steps: tuple[Step, ...], *, dtype, seed: int) -> Network:
    """Return a network with initial parameters.

    Parameters
    ----------
    steps : tuple of Step
        As :func:`skcnn.network.graph.compile_steps` returns them.
    dtype : numpy.dtype
        Type of parameters and activations, float32 or float64.
    seed : int
        Of the initial weights.

    Raises
    ------
    MemoryError
        If there is no memory for the parameters of a layer; the message names it.
    ValueError
        If a layer makes something else than arrays of numbers by name; the message names it, too.
    """
    params, streams = {}, RandomStreams(seed)
    for index, step in enumerate(steps[1:], start=1):
        with step.named_errors():
            own = params[step.name] = step.layer.init_params(
                step.input_shape,
                activation=following_activation(steps, index),
                dtype=np.dtype(dtype),
                rng=streams.generator("initialization", index),
            )
            check_params(own)
    return network_with(steps, params, dtype)


def following_activation(steps: tuple[Step, ...], index: int) -> Activation | None:
    """Return the activation that the result of a step goes into.

    Layers without weights, such as pooling or batch normalization, are looked through; None where a
    layer with weights or the end of the network comes first. Of several readers the first counts.
    """
    while True:
        index = next((reader for reader, step in enumerate(steps) if index in step.inputs), None)
        if index is None or steps[index].layer.decayed_params:
            return None
        if isinstance(steps[index].layer, Activation):
            return steps[index].layer
