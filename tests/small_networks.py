"""Small networks that several tests of the network use, and layers that are refused."""

import re

import numpy as np
import pytest
from seeds import SEED, generator

from skcnn.layers import BatchNorm, Conv2D, Dense, Flatten, MaxPool2D
from skcnn.layers.base import JoiningLayer
from skcnn.network.graph import Graph, compile_nodes
from skcnn.network.network import init_network
from skcnn.network.program import Program
from skcnn.network.rewriting import fuse


def stack():
    """Return a chain with every kind of parameter: decayed, plain and buffers."""
    return [
        ("conv", Conv2D(3, 3, activation="relu")),
        ("norm", BatchNorm()),
        ("pool", MaxPool2D()),
        ("flatten", Flatten()),
        ("hidden", Dense(5, activation="tanh")),
        ("norm2", BatchNorm()),
        ("output", Dense(2)),
    ]


INPUT_SHAPE = (4, 6, 2)


def build(nodes, dtype=np.float64, seed=0):
    """Return a network whose biases, shifts and running statistics are not what they start as."""
    network = init_network(nodes, dtype=dtype, seed=SEED + seed)
    rng = generator(seed)
    network.vector += 0.3 * rng.standard_normal(network.n_params).astype(dtype)
    for (name, key), value in network.buffers().items():
        if key != "n_updates":
            network.set_buffers({(name, key): value + rng.uniform(0.1, 0.5, value.shape)})
    return network


def chain(*layers, input_shape=(6, 5, 2), **options):
    """Return a network of layers one after the other."""
    named = [(f"layer{index}", layer) for index, layer in enumerate(layers, start=1)]
    return build(compile_nodes(named, input_shape), **options)


def graph(input_shape, *entries):
    """Return a network of (layer, indices of its inputs), counted from the input at 0."""
    nodes = Graph(input_shape)
    for index, (layer, inputs) in enumerate(entries, start=1):
        assert nodes.add(f"node{index}", layer, *inputs) == index
    return build(tuple(nodes.nodes))


def program_of(network, *, training, input_gradient=False):
    """Return the program that an executor would run."""
    trained = network.trained if training else None
    return Program(fuse(network.nodes), trained, input_gradient=input_gradient)


class Multiply(JoiningLayer):
    """The product of two images or vectors: its two gradients differ."""

    backward_reads = ("X",)

    def output_shape(self, input_shape):
        return input_shape[0]

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(*X, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        first, second = unit.X
        return (
            None if out[0] is None else np.multiply(dY, second, out=out[0]),
            None if out[1] is None else np.multiply(dY, first, out=out[1]),
        )


NOT_SIZES = (0, -1, 1.5, 2.0, True, None, "2", (1, 2))
NOT_PAIRS = (0, -1, 1.5, 2.0, True, "2", (2,), (1, 2, 3), (2, 0), (3, -1), (2, True))
NOT_PADDINGS = ("full", -1, 0.5, None, True, (1,), (0, -1), (1, "same"), ((0, 1, 0), 0), (1, (2, 0.5)))
NOT_FRACTIONS = (1.0, -0.1, "0.5", None, np.nan)
NOT_POSITIVE = (0, -1e-5, "1", None, np.nan)
"""Values of hyperparameters that are refused."""


def assert_refused(make, parameter, values, input_shape):
    """Hold that a layer with one of the values is refused, naming the layer, the parameter and the value."""
    for value in values:
        layer = make(**{parameter: value})
        name, got = type(layer).__name__, re.escape(repr(value))
        match = rf"(?s)^layer 'wrong', {name}\(.*\b{parameter}'? .*[Gg]ot {got}"
        with pytest.raises(ValueError, match=match):
            compile_nodes([("wrong", layer)], input_shape)
