"""Tests of rewritten networks against those that the layers say."""

import numpy as np
import pytest
from seeds import SEED, generator
from small_trainings import N_CLASSES, all_bits, make_data, make_network, objective, train

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GroupNorm,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
)
from skcnn.layers.activation import ACTIVATIONS
from skcnn.layers.containers import Add
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import Graph, compile_nodes
from skcnn.network.network import init_network
from skcnn.network.rewriting import fold, fuse
from skcnn.network.threads import worker_pool
from skcnn.training.state import TrainingState

SHAPE = (9, 7, 2)


def nodes_of(layers):
    return compile_nodes([(f"layer{number}", layer) for number, layer in enumerate(layers)], SHAPE)


def kinds(nodes):
    return [type(node.layer).__name__ for node in nodes[1:]]


# --- nodes that training and prediction run in another order ---

FUSED = {
    "pooling before ReLU": ([Conv2D(3), ReLU(), MaxPool2D()], ["Conv2D", "MaxPool2D", "ReLU"]),
    "by name": ([Conv2D(3, activation="relu"), MaxPool2D(3, strides=2)], ["Conv2D", "MaxPool2D", "ReLU"]),
    "first of all": ([ReLU(), MaxPool2D(2, padding="same"), Conv2D(2)], ["MaxPool2D", "ReLU", "Conv2D"]),
    "at most six": ([Conv2D(3), ReLU6(), MaxPool2D()], ["Conv2D", "MaxPool2D", "ReLU6"]),
    "dilated": ([Conv2D(3), ReLU(), MaxPool2D(2, dilation=2)], ["Conv2D", "MaxPool2D", "ReLU"]),
    "after a merge": ([BatchNorm(), ReLU(), MaxPool2D()], ["BatchNorm", "MaxPool2D", "ReLU"]),
    "twice": (
        [ReLU(), MaxPool2D(), Conv2D(3), ReLU(), MaxPool2D(2, ceil_mode=True)],
        ["MaxPool2D", "ReLU", "Conv2D", "MaxPool2D", "ReLU"],
    ),
    "in a branch": (
        [Residual([Conv2D(2), ReLU(), MaxPool2D(3, strides=1, padding="same")])],
        ["Conv2D", "MaxPool2D", "ReLU", "Add"],
    ),
}


class SumPool2D(MaxPool2D):
    """A subclass that computes something else."""

    def forward(self, params, X, unit, *, training, out):
        corners = X[::2, ::2], X[::2, 1::2], X[1::2, ::2], X[1::2, 1::2]
        return np.add.reduce(corners, axis=0, out=out)


class Distance(ReLU):
    """A subclass that does not grow with its input."""

    def forward(self, params, X, unit, *, training, out):
        return np.abs(X, out=out)


LEFT_ALONE = {
    "a pooling of the user": [Conv2D(3), ReLU(), SumPool2D()],
    "an activation of the user": [Conv2D(3), Distance(), MaxPool2D()],
    "averages": [Conv2D(3), ReLU(), AvgPool2D()],
    "another activation": [Conv2D(3), Sigmoid(), MaxPool2D()],
    "rounding may make results equal": [Conv2D(3), LeakyReLU(0.1), MaxPool2D()],
    "something between": [ReLU(), Dropout(0.5), MaxPool2D()],
    "another reader": [ReLU(), Parallel([MaxPool2D(3, strides=1, padding="same"), "passthrough"])],
    "a vector": [ReLU(), GlobalAvgPool2D()],
}


@pytest.mark.parametrize(("layers", "expected"), FUSED.values(), ids=FUSED)
def test_what_is_fused(layers, expected):
    nodes = nodes_of(layers)
    fused = fuse(nodes)
    assert kinds(fused) == expected
    assert sorted(node.name for node in fused) == sorted(node.name for node in nodes)
    assert fused[-1].output_shape == nodes[-1].output_shape
    for node in fused[1:]:
        assert node.input_shapes == tuple(fused[source].output_shape for source in node.inputs)
        assert node.layer.output_shape(node.input_shape) == node.output_shape


@pytest.mark.parametrize("layers", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_is_left_alone(layers):
    nodes = nodes_of(layers)
    assert fuse(nodes) == nodes


def test_fused_nodes_are_not_fused_again():
    for layers, _ in FUSED.values():
        fused = fuse(nodes_of(layers))
        assert fuse(fused) == fused


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUSED)
def test_training_gives_the_same_bits(name, dtype, monkeypatch):
    """Three epochs, with images rounded to make ties."""
    layers, _ = FUSED[name]
    results = []
    for rewrite in (fuse, tuple):
        monkeypatch.setattr("skcnn.network.setup.fuse", rewrite)
        results.append(train_layers(layers, dtype))
    assert results[0] == results[1]


def train_layers(layers, dtype):
    """Return the bits of a network of these layers after three epochs."""
    network = make_network(*layers, Dropout(0.25), Flatten(), Dense(N_CLASSES), dtype=dtype, shape=SHAPE)
    data, state = make_data(shape=SHAPE, dtype=dtype), TrainingState(seed=SEED)
    data.images.X[...] = data.images.X.round(1)
    train(network, data, objective(), 3, state)
    return all_bits(network, state)


COMMUTING = {name: kind for name, kind in ACTIVATIONS.items() if kind.commutes_with_maximum}


FLAT = {"relu": [0], "relu6": [0, 6]}
"""What activations that commute with the maximum give many numbers, with a slope of zero."""


def test_which_activations_commute_with_the_maximum():
    assert COMMUTING.keys() == FLAT.keys()


@pytest.mark.parametrize("activation", COMMUTING.values(), ids=COMMUTING)
def test_activations_that_commute_with_the_maximum_never_fall(activation):
    """For numbers of all sizes; different numbers with equal results lie where it is flat."""
    rng = generator(0)
    numbers = np.sort(rng.standard_normal(4000) * 10.0 ** rng.integers(-37, 37, 4000)).astype(np.float32)
    numbers = np.unique(np.concatenate([numbers, np.nextafter(numbers, np.float32(np.inf))]))[:, np.newaxis]
    results = activation().forward({}, numbers, None, training=False, out=np.empty_like(numbers))
    rises = np.diff(results[:, 0])
    assert (rises >= 0).all()
    assert np.isin(results[:-1, 0][rises == 0], FLAT[activation.name]).all()


# --- what prediction folds ---


class ScaledConv2D(Conv2D):
    """A user's layer, whose result is not that of its weight and bias."""

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(super().forward(params, X, unit, training=training, out=out), 2, out=out)


class ShiftedNorm(BatchNorm):
    """A user's normalization."""

    def forward(self, params, X, unit, *, training, out):
        return np.add(super().forward(params, X, unit, training=training, out=out), 1, out=out)


FOLDED = {
    "a convolution": ([Conv2D(3), BatchNorm()], ["Conv2D"]),
    "without a bias": ([Conv2D(3, use_bias=False), BatchNorm(epsilon=0.1)], ["Conv2D"]),
    "groups": ([Conv2D(4, groups=2, strides=2), BatchNorm()], ["Conv2D"]),
    "groups without a bias": ([Conv2D(4, groups=2, use_bias=False), BatchNorm()], ["Conv2D"]),
    "windows of one pixel": ([Conv2D(3, 1, use_bias=False), BatchNorm()], ["Conv2D"]),
    "many channels": (
        [Conv2D(16), BatchNorm(), ReLU(), Conv2D(16, use_bias=False), BatchNorm(), ReLU()],
        ["Conv2D", "ReLU", "Conv2D", "ReLU"],
    ),
    "depthwise": ([DepthwiseConv2D(), BatchNorm()], ["DepthwiseConv2D"]),
    "two filters a channel": ([DepthwiseConv2D(depth_multiplier=2), BatchNorm()], ["DepthwiseConv2D"]),
    "two filters a channel without a bias": (
        [DepthwiseConv2D(depth_multiplier=2, use_bias=False), BatchNorm()],
        ["DepthwiseConv2D"],
    ),
    "two one after another": ([Conv2D(3, use_bias=False), BatchNorm(), BatchNorm()], ["Conv2D"]),
    "only the first": ([Conv2D(3), BatchNorm(), ReLU(), BatchNorm()], ["Conv2D", "ReLU", "BatchNorm"]),
    "before activation and pooling": (
        [Conv2D(3), BatchNorm(), ReLU(), MaxPool2D()],
        ["Conv2D", "ReLU", "MaxPool2D"],
    ),
    "in a branch": (
        [Residual([Conv2D(3, use_bias=False), BatchNorm(), ReLU(), Conv2D(2), BatchNorm()]), ReLU()],
        ["Conv2D", "ReLU", "Conv2D", "Add", "ReLU"],
    ),
    "in the projection, too": (
        [Residual([Conv2D(4, strides=2), BatchNorm()], activation="tanh")],
        ["Conv2D", "Conv2D", "Add", "Tanh"],
    ),
    "in branches beside others": (
        [Parallel([[Conv2D(2, 1), BatchNorm()], [BatchNorm(), Conv2D(3), BatchNorm()], "passthrough"])],
        ["Conv2D", "BatchNorm", "Conv2D", "Concatenate"],
    ),
}

NOT_FOLDED = {
    "first of all": [BatchNorm(), Conv2D(3)],
    "an activation between": [Conv2D(3, activation="relu"), BatchNorm()],
    "pooling between": [Conv2D(3), MaxPool2D(), BatchNorm()],
    "another reader": [Conv2D(2), Residual([BatchNorm(), ReLU()])],
    "two of them read it": [Conv2D(2), Parallel([BatchNorm(), BatchNorm()])],
    "after a sum": [Residual([Conv2D(2)]), BatchNorm()],
    "a convolution of the user": [ScaledConv2D(3), BatchNorm()],
    "a normalization of the user": [Conv2D(3), ShiftedNorm()],
    "another normalization": [Conv2D(4), GroupNorm(2)],
    "vectors": [Flatten(), Dense(5), BatchNorm(), Residual([Dense(5), BatchNorm()])],
    "none at all": [Conv2D(4), ReLU()],
}


def fitted_network(*layers, dtype=np.float64):
    """Return a network that ends in scores, with parameters as training leaves them."""
    if len(nodes_of(layers)[-1].output_shape) == 3:
        layers = (*layers, Flatten())
    return make_fitted(nodes_of([*layers, Dense(N_CLASSES)]), dtype)


def fitted_graph(*entries):
    """Return a network of (layer, indices of its inputs), counted from the input at 0."""
    graph = Graph(SHAPE)
    for index, (layer, inputs) in enumerate(entries, start=1):
        assert graph.add(f"node{index}", layer, *inputs) == index
    return make_fitted(tuple(graph.nodes))


def make_fitted(nodes, dtype=np.float64):
    """Return a network of nodes, with biases, shifts and running statistics that are not trivial."""
    network = init_network(nodes, dtype=dtype, seed=SEED)
    rng = generator(1)
    network.vector += 0.3 * rng.standard_normal(network.n_params).astype(dtype)
    for (_, key), value in network.buffers().items():
        if key == "running_mean":
            value[...] = rng.standard_normal(value.shape)
        elif key == "running_variance":
            value[...] = rng.uniform(0.2, 3, value.shape)
    return network


def scores_of(network, n_samples=9):
    shape = network.nodes[0].output_shape
    X = generator(2).standard_normal((*shape[:2], n_samples, shape[2])).astype(network.dtype)
    with worker_pool() as pool:
        executor = Executor(network, pool, training=False)
        batch = Batch(n_samples, lambda rows, out: np.copyto(out, X[:, :, rows]))
        return executor.predict(batch, np.empty((n_samples, network.n_outputs), network.dtype))


def assert_same_scores(network, monkeypatch):
    """Hold scores against those of the network as it is, to rounding of the largest."""
    scores = scores_of(network)
    monkeypatch.setattr("skcnn.network.setup.fold", lambda nodes, params: (nodes, params))
    expected = scores_of(network.copy())  # for which nothing is prepared
    tolerance = 1e-12 if network.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(scores, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def assert_consistent(nodes, params):
    """Inputs come before what reads them and have the shapes it expects; no parameters are missing."""
    for index, node in enumerate(nodes[1:], start=1):
        assert all(source < index for source in node.inputs)
        assert node.input_shapes == tuple(nodes[source].output_shape for source in node.inputs)
        assert node.layer.output_shape(node.input_shape) == node.output_shape
        assert set(params.get(node.name, {})) == set(
            node.layer.init_params(node.input_shape, activation=None, dtype=np.float64, rng=generator(0))
        )


@pytest.mark.parametrize(("layers", "expected"), FOLDED.values(), ids=FOLDED)
def test_what_is_folded(layers, expected):
    network = fitted_network(*layers)
    nodes, params = fold(network.nodes, network.params)
    assert kinds(nodes)[: len(expected)] == expected
    assert len(network.nodes) - len(nodes) == len(kinds(nodes_of(layers))) - len(expected)
    assert_consistent(nodes, params)
    assert fold(nodes, params) == (nodes, params)


@pytest.mark.parametrize("layers", NOT_FOLDED.values(), ids=NOT_FOLDED)
def test_what_is_not_folded(layers):
    network = fitted_network(*layers)
    assert fold(network.nodes, network.params) == (network.nodes, network.params)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layers", [layers for layers, _ in FOLDED.values()], ids=FOLDED)
def test_folding_changes_scores_by_rounding_alone(layers, dtype, monkeypatch):
    network = fitted_network(*layers, dtype=dtype)
    assert_same_scores(network, monkeypatch)


@pytest.mark.parametrize("training", [True, False])
def test_prediction_folds_and_training_does_not(training):
    network = fitted_network(Conv2D(3), BatchNorm(), ReLU())
    with worker_pool() as pool:
        executor = Executor(network, pool, training=training)
    assert ("BatchNorm" in kinds(executor.program.nodes)) == training


@pytest.mark.parametrize("layers", [layers for layers, _ in FOLDED.values()], ids=FOLDED)
def test_folding_leaves_network_and_layers_as_they_are(layers):
    """Parameters that are not folded are not copied."""
    network = fitted_network(*layers)
    nodes, snapshot = network.nodes, network.snapshot()
    hyperparameters = [repr(node.layer) for node in nodes]
    _, params = fold(nodes, network.params)
    assert params[nodes[-1].name] is network.params[nodes[-1].name]
    assert [repr(node.layer) for node in nodes] == hyperparameters
    np.testing.assert_array_equal(network.vector, snapshot[0])
    for where, value in network.buffers().items():
        np.testing.assert_array_equal(value, snapshot[1][where])


def test_nodes_far_apart_are_folded(monkeypatch):
    """Two convolutions, then their normalizations in the other order."""
    network = fitted_graph(
        (Conv2D(3), (0,)),
        (Conv2D(3, use_bias=False), (0,)),
        (BatchNorm(), (2,)),
        (BatchNorm(), (1,)),
        (ReLU(), (3,)),
        (Add(), (5, 4)),
        (Flatten(), (6,)),
        (Dense(N_CLASSES), (7,)),
    )
    nodes, params = fold(network.nodes, network.params)
    assert [node.inputs for node in nodes] == [(), (0,), (0,), (2,), (3, 1), (4,), (5,)]
    assert_consistent(nodes, params)
    assert_same_scores(network, monkeypatch)


def test_a_result_that_is_read_twice_by_one_node_is_not_folded():
    entries = [
        (Conv2D(3), (0,)),
        (BatchNorm(), (1,)),
        (Add(), (2, 1, 1)),
        (Flatten(), (3,)),
        (Dense(3), (4,)),
    ]
    network = fitted_graph(*entries)
    assert fold(network.nodes, network.params) == (network.nodes, network.params)


SPOILED = {
    "a factor that is not a number": ("norm", "running_variance", -1.0),
    "an infinite factor": ("norm", "scale", np.inf),
    "numbers that overflow": ("norm", "scale", 3e38),
    "an infinite shift": ("norm", "shift", np.inf),
    "an infinite mean": ("norm", "running_mean", np.inf),
    "a weight that is not a number": ("conv", "weight", np.nan),
}


@pytest.mark.parametrize(("name", "key", "value"), SPOILED.values(), ids=SPOILED)
def test_what_would_not_be_finite_is_left_alone(name, key, value):
    """One number of one channel; the other pair is folded."""
    names = {"conv": "layer0", "norm": "layer1"}
    network = fitted_network(Conv2D(3), BatchNorm(), ReLU(), Conv2D(3), BatchNorm(), dtype=np.float32)
    network.params["layer1"]["running_variance"][-1] = 0.1
    network.params[names[name]][key][..., -1] = value
    nodes, params = fold(network.nodes, network.params)
    assert kinds(nodes) == ["Conv2D", "BatchNorm", "ReLU", "Conv2D", "Flatten", "Dense"]
    for key in ("weight", "bias"):
        np.testing.assert_array_equal(params["layer0"][key], network.params["layer0"][key])
