"""A network: a flat list of nodes and the parameters of their layers."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from skcnn.layers.base import Activation
from skcnn.layers.contract import check_params
from skcnn.layers.reshape import Flatten
from skcnn.network.cut import SECTION, sections
from skcnn.network.graph import Node
from skcnn.random_streams import RandomStreams

Params = Mapping[str, Mapping[str, np.ndarray]]
"""Parameters by layer name and parameter name."""


class Network:
    """Compiled layers with their parameters.

    Parameters
    ----------
    nodes : tuple of Node
        The result of :func:`skcnn.network.graph.compile_nodes`.
    dtype : numpy.dtype
        Type of parameters and activations, float32 or float64.
    vector : ndarray of shape (n_params,)
        All parameters with a gradient; parameters with weight decay come first. Optimizers, snapshots and
        norms work on the whole vector.
    layout : list of (str, str, tuple of int)
        Layer name, parameter name and shape of each parameter, in the order of ``vector``.
    n_decayed : int
        Number of leading elements of ``vector`` that weight decay applies to.
    others : mapping of str to mapping of str to ndarray
        Parameters without a gradient by layer name and parameter name.

    Attributes
    ----------
    nodes, dtype, vector, n_decayed
        As given.
    params : dict of str to dict of str to ndarray
        Parameters by layer name and parameter name. Those with a gradient are views of ``vector``: write
        into them, ``params["conv1"]["weight"][...] = 0``, because they cannot be replaced.
    frozen : frozenset of str
        Names of layers that training does not change, including their running statistics. Set while
        a fit trains the network.
    prediction_setup : PredictionSetup or None
        The setup of the last prediction, which :func:`skcnn.network.setup.prediction_setup` reuses. Neither
        copied nor pickled.
    """

    def __init__(
        self, nodes: tuple[Node, ...], dtype, vector: np.ndarray, layout, n_decayed: int, others: Params
    ):
        self.nodes, self.dtype, self.vector, self.n_decayed = nodes, np.dtype(dtype), vector, n_decayed
        self._layout, self._others = layout, others
        layers = {node.name: node.layer for node in nodes[1:]}
        self._buffer_names = [
            (layer, name)
            for layer, own in others.items()
            for name in own
            if layer in layers and name in layers[layer].buffer_params
        ]
        params = self.views_of(vector)
        for layer, own in others.items():
            params[layer] = params.get(layer, {}) | dict(own)
        self.params = MappingProxyType({layer: MappingProxyType(own) for layer, own in params.items()})
        self.frozen: frozenset[str] = frozenset()
        self.prediction_setup: Any = None

    @property
    def n_params(self) -> int:
        """Number of parameters with a gradient."""
        return self.vector.size

    @property
    def n_outputs(self) -> int:
        """Number of scores per sample."""
        return self.nodes[-1].output_shape[0]

    def views_of(self, vector: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """Return views of a vector, such as a gradient, by layer and parameter name.

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

    def buffers(self) -> dict[tuple[str, str], np.ndarray]:
        """Return the buffers of the layers that are not frozen, by (layer name, parameter name)."""
        names = [(name, key) for name, key in self._buffer_names if name not in self.frozen]
        return {(name, key): self.params[name][key] for name, key in names}

    def arguments(self) -> dict:
        """Return the constructor's arguments except nodes and dtype: arrays, names and numbers."""
        layout, others = self._layout, {layer: dict(own) for layer, own in self._others.items()}
        return {"vector": self.vector, "layout": layout, "n_decayed": self.n_decayed, "others": others}

    def up_to(self, index: int) -> "Network":
        """Return a network that ends with a node and flattens its result; the parameters are shared."""
        nodes = self.nodes[: index + 1]
        shape = nodes[-1].output_shape
        if len(shape) == 3:
            nodes = (*nodes, Node("", Flatten(), (index,), (shape,), (prod(shape),)))
        network = Network(nodes, self.dtype, **self.arguments())
        network.frozen = self.frozen
        return network

    def after(self, index: int) -> "Network":
        """Return a network of the nodes after a node, with its results as input; the parameters are copied.

        Raises
        ------
        ValueError
            If one of these nodes reads a node before this one.
        """
        front = self.nodes[index]
        nodes = [Node("input", None, (), (), front.output_shape)]
        for node in self.nodes[index + 1 :]:
            if min(node.inputs) < index:
                raise ValueError(
                    f"layer {front.name!r} is not the only way through the network: {node.name!r} reads a "
                    "layer before it"
                )
            nodes.append(replace(node, inputs=tuple(source - index for source in node.inputs)))
        return network_with(tuple(nodes), self.params, self.dtype)

    def copy(self) -> "Network":
        """Return a network of the same nodes with copies of all parameters except constants."""
        arguments = self.arguments() | {"vector": self.vector.copy()}
        for layer, name in self._buffer_names:
            arguments["others"][layer][name] = self.params[layer][name].copy()
        network = Network(self.nodes, self.dtype, **arguments)
        network.frozen = self.frozen
        return network

    def snapshot(self):
        """Return a copy of all parameters that training changes, for :meth:`restore`."""
        return self.vector.copy(), {where: value.copy() for where, value in self.buffers().items()}

    def restore(self, snapshot) -> None:
        """Set the parameters to those of a snapshot."""
        vector, buffers = snapshot
        np.copyto(self.vector, vector)
        self.set_buffers(buffers)

    def set_buffers(self, buffers: dict[tuple[str, str], np.ndarray]) -> None:
        """Set buffers to the given values."""
        for (name, key), value in buffers.items():
            np.copyto(self.params[name][key], value, casting="same_kind")

    @property
    def trained(self) -> set[str]:
        """Names of the layers with trainable parameters."""
        return {name for name, _, _ in self._layout} - self.frozen

    def factors_of_sections(
        self, factors: Mapping[str, float], size: int = SECTION
    ) -> list[tuple[slice, float]]:
        """Return sections of the vector, each with the factor of its layer.

        Parameters
        ----------
        factors : mapping of str to float
            Factors by layer name; 1 for other layers.
        size : int, default=SECTION
            Largest number of elements of a section.
        """
        if not factors:
            return [(section, 1.0) for section in sections(self.n_params, size)]
        found, start = [], 0
        for layer, _, shape in self._layout:
            factor = factors.get(layer, 1.0)
            found += [
                (slice(start + section.start, start + section.stop), factor)
                for section in sections(prod(shape), size)
            ]
            start += prod(shape)
        return found

    def multiply_adds(self) -> int:
        """Return the number of multiply-adds of the forward pass for one sample."""
        return sum(node.layer.multiply_adds(node.input_shape) for node in self.nodes[1:])

    def __reduce__(self):
        return Network, (self.nodes, self.dtype, *self.arguments().values())


def network_with(nodes: tuple[Node, ...], params: Params, dtype) -> Network:
    """Return a network with copies of parameters.

    Parameters
    ----------
    nodes : tuple of Node
    params : mapping of str to mapping of str to ndarray
        Parameters by layer name and parameter name; other layers than those of the nodes are ignored.
    dtype : numpy.dtype
    """
    trained, others = [], {}
    for node in nodes[1:]:
        for name, value in params.get(node.name, {}).items():
            if name in (*node.layer.buffer_params, *node.layer.constant_params):
                others.setdefault(node.name, {})[name] = np.array(value)
            else:
                trained.append((name in node.layer.decayed_params, node.name, name, value))
    trained.sort(key=lambda entry: not entry[0])
    n_decayed = sum(value.size for is_decayed, *_, value in trained if is_decayed)
    values = [np.asarray(value).ravel().astype(dtype, copy=False) for *_, value in trained]
    vector = np.concatenate([np.empty(0, dtype), *values])
    layout = [(layer, name, value.shape) for _, layer, name, value in trained]
    return Network(nodes, dtype, vector, layout, n_decayed, others)


def init_network(nodes: tuple[Node, ...], *, dtype, seed: int) -> Network:
    """Return a network with initial parameters.

    Parameters
    ----------
    nodes : tuple of Node
        The result of :func:`skcnn.network.graph.compile_nodes`.
    dtype : numpy.dtype
        Type of parameters and activations, float32 or float64.
    seed : int
        Seed of the initial weights.

    Raises
    ------
    MemoryError
        If the parameters of a layer do not fit into memory; the message names the layer.
    ValueError
        If a layer does not return arrays of numbers by name; the message names the layer.
    """
    params, streams = {}, RandomStreams(seed)
    for index, node in enumerate(nodes[1:], start=1):
        with node.name_errors():
            own = params[node.name] = node.layer.init_params(
                node.input_shape,
                activation=following_activation(nodes, index),
                dtype=np.dtype(dtype),
                rng=streams.generator("initialization", index),
            )
            check_params(own)
    return network_with(nodes, params, dtype)


def following_activation(nodes: tuple[Node, ...], index: int) -> Activation | None:
    """Return the activation that the result of a node reaches.

    The search skips layers without weights, such as pooling or batch normalization. It returns None if a
    layer with weights or the end of the network comes first. If several nodes read a result, it follows
    the first.
    """
    while True:
        reader = next((reader for reader, node in enumerate(nodes) if index in node.inputs), None)
        if reader is None or nodes[reader].layer.decayed_params:
            return None
        if isinstance(nodes[reader].layer, Activation):
            return nodes[reader].layer
        index = reader
