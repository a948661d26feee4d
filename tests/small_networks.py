"""Small networks that several tests of the network use, and layers that are refused."""

import re

import numpy as np
import pytest
from seeds import SEED, generator

from skcnn.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    ReLU,
    Tanh,
)
from skcnn.layers.base import JoiningLayer
from skcnn.layers.containers import Add, Concatenate
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


class WritingAdd(Add):
    """A sum that writes its gradient to where it should go, rather than return that of the result."""

    def backward(self, params, dY, unit, *, need_dX, out):
        return tuple(None if part is None else np.positive(dY, out=part) for part in out)


class Negative(Layer):
    """A negative multiple of the input; its gradient overwrites that of the result, as backward may.

    No sum of inputs and multiples is zero, whose variance would be zero, too.
    """

    factor = -0.7

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, self.factor, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, self.factor, out=dY)


JOINING_LAYERS = [Add(), WritingAdd(), Multiply(), Concatenate()]
SINGLE_LAYERS = [BatchNorm(), ReLU(), Tanh(), Negative()]
IMAGE_LAYERS = [Conv2D(2), Conv2D(2, 1), Flatten(), GlobalAvgPool2D()]


def random_graph(number, *, dropout=0.0, **options):
    """Return a network of layers that read any of those before them; the last reads all that nothing reads.

    Every fifth one reads vectors. Arrays are joined with others of their shape, and with themselves.
    """
    rng, nodes = generator(3, number), Graph((2,) if number % 5 == 4 else (3, 4, 2))

    def add(layer, *sources):
        return nodes.add(f"node{len(nodes.nodes)}", layer, *sources)

    for _ in range(12):
        n_nodes = len(nodes.nodes)
        source = int(rng.integers(n_nodes, size=3).max())
        shape = nodes.shape(source)
        own = IMAGE_LAYERS if len(shape) == 3 else [Dense(2)]
        layers = [*JOINING_LAYERS, *SINGLE_LAYERS, Dropout(dropout), *own]
        layer = layers[rng.integers(len(layers))]
        n_others = 0
        if isinstance(layer, JoiningLayer):
            n_others = 1 if isinstance(layer, Multiply) else rng.integers(1, 4)
        alike = [index for index in range(n_nodes) if nodes.shape(index) == shape]
        add(layer, source, *map(int, rng.choice(alike, n_others)))
    read = {source for node in nodes.nodes for source in node.inputs}
    unread = [index for index in range(len(nodes.nodes)) if index not in read]
    vectors = [index if len(nodes.shape(index)) == 1 else add(GlobalAvgPool2D(), index) for index in unread]
    add(Dense(3), add(Concatenate(), *vectors) if len(vectors) > 1 else vectors[0])
    return build(tuple(nodes.nodes), **options)
