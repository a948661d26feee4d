"""Tests of rewritten networks against those that the layers say."""

from itertools import pairwise

import numpy as np
import pytest
from seeds import SEED, generator
from small_networks import chain, graph
from small_trainings import N_CLASSES, all_bits, make_data, make_network, objective, train

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GroupNorm,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    ReLU,
    ReLU6,
    Residual,
)
from skcnn.layers.activation import ACTIVATIONS
from skcnn.layers.containers import Add
from skcnn.layers.reshape import Identity
from skcnn.network.executor import Executor
from skcnn.network.model import predict
from skcnn.network.rewriting import fold, fuse
from skcnn.network.threads import worker_pool
from skcnn.training.state import TrainingState

SHAPE = (9, 7, 2)


def nodes_of(layers):
    return chain(*layers, input_shape=SHAPE).nodes


def kinds(nodes):
    return " ".join(type(node.layer).__name__ for node in nodes[1:])


def assert_consistent(nodes, params):
    """Inputs come before what reads them and have the shapes it expects; no parameters are missing."""
    for index, node in enumerate(nodes[1:], start=1):
        assert all(source < index for source in node.inputs)
        assert node.input_shapes == tuple(nodes[source].output_shape for source in node.inputs)
        assert node.layer.output_shape(node.input_shape) == node.output_shape
        own = node.layer.init_params(node.input_shape, activation=None, dtype=np.float64, rng=generator(0))
        assert params.get(node.name, {}).keys() == own.keys()


# --- nodes that training and prediction run in another order ---

FUSED = {
    "pooling before ReLU": ([Conv2D(3), ReLU(), MaxPool2D()], "Conv2D MaxPool2D Identity"),
    "by name": (
        [Conv2D(3, activation="relu"), MaxPool2D(3, strides=2)],
        "Conv2D MaxPool2D Identity",
    ),
    "first of all": ([ReLU(), MaxPool2D(2, padding="same"), Conv2D(2)], "MaxPool2D Identity Conv2D"),
    "at most six": ([Conv2D(3), ReLU6(), MaxPool2D()], "Conv2D MaxPool2D ReLU6"),
    "after a merge": ([BatchNorm(), ReLU(), MaxPool2D()], "BatchNorm MaxPool2D Identity"),
    "normalization and ReLU": ([Conv2D(3), BatchNorm(), ReLU()], "Conv2D BatchNorm Identity"),
    "twice": (
        [ReLU(), MaxPool2D(), Conv2D(3), ReLU(), MaxPool2D(2, ceil_mode=True)],
        "MaxPool2D Identity Conv2D MaxPool2D Identity",
    ),
    "in a branch": (
        [Residual([Conv2D(2), ReLU(), MaxPool2D(3, strides=1, padding="same")])],
        "Conv2D MaxPool2D Identity Add",
    ),
}


class PoolingOfTheUser(MaxPool2D):
    """A subclass, which may compute something else."""


class ActivationOfTheUser(ReLU):
    """One that may not grow with its input."""


LEFT_ALONE = {
    "a pooling of the user": [Conv2D(3), ReLU(), PoolingOfTheUser()],
    "an activation of the user": [Conv2D(3), ActivationOfTheUser(), MaxPool2D()],
    "averages": [Conv2D(3), ReLU(), AvgPool2D()],
    "normalization and an activation of the user": [BatchNorm(), ActivationOfTheUser()],
    "normalization with another reader": [Residual([BatchNorm(), Parallel([ReLU(), "passthrough"])])],
    "rounding may make results equal": [Conv2D(3), LeakyReLU(0.1), MaxPool2D()],
    "something between": [ReLU(), Dropout(0.5), MaxPool2D()],
    "side by side": [Parallel([ReLU(), MaxPool2D(3, strides=1, padding="same")])],
    "another reader": [ReLU(), Parallel([MaxPool2D(3, strides=1, padding="same"), "passthrough"])],
}


@pytest.mark.parametrize(("layers", "expected"), FUSED.values(), ids=FUSED)
def test_what_is_fused(layers, expected):
    network = chain(*layers, input_shape=SHAPE)
    fused = fuse(network.nodes)
    assert kinds(fused) == expected
    assert sorted(node.name for node in fused) == sorted(node.name for node in network.nodes)
    assert fused[-1].output_shape == network.nodes[-1].output_shape
    assert_consistent(fused, network.params)
    assert fuse(fused) == fused
    for node, after in pairwise(fused):
        assert getattr(node.layer, "_is_rectified", False) == (type(after.layer) is Identity)
    assert not any(getattr(node.layer, "_is_rectified", False) for node in network.nodes)


@pytest.mark.parametrize("layers", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_is_left_alone(layers):
    nodes = nodes_of(layers)
    assert fuse(nodes) == nodes


@pytest.mark.parametrize("layers", [layers for layers, _ in FUSED.values()], ids=FUSED)
def test_training_on_fused_nodes_gives_the_same_bits(layers, monkeypatch):
    """Two epochs, with images rounded to make ties."""
    results = []
    for rewrite in (fuse, tuple):
        monkeypatch.setattr("skcnn.network.setup.fuse", rewrite)
        ends = Dropout(0.25), Flatten(), Dense(N_CLASSES)
        network = make_network(*layers, *ends, dtype=np.float32, shape=SHAPE)
        data, state = make_data(shape=SHAPE, dtype=np.float32), TrainingState(seed=SEED)
        data.images.X[...] = data.images.X.round(1)
        train(network, data, objective(), 2, state)
        results.append(all_bits(network, state))
    assert results[0] == results[1]


FLAT = {"relu": [0], "relu6": [0, 6]}
"""What activations that commute with the maximum give many numbers, with a slope of zero."""


def test_which_activations_commute_with_the_maximum():
    assert {name for name, kind in ACTIVATIONS.items() if kind.commutes_with_maximum} == FLAT.keys()


@pytest.mark.parametrize("name", FLAT)
def test_activations_that_commute_with_the_maximum_never_fall(name):
    """For numbers of all sizes; different numbers with equal results lie where it is flat."""
    rng = generator(0)
    numbers = np.sort(rng.standard_normal(4000) * 10.0 ** rng.integers(-37, 37, 4000)).astype(np.float32)
    numbers = np.unique(np.concatenate([numbers, np.nextafter(numbers, np.float32(np.inf))]))[:, np.newaxis]
    results = ACTIVATIONS[name]().forward({}, numbers, None, training=False, out=np.empty_like(numbers))
    rises = np.diff(results[:, 0])
    assert (rises >= 0).all()
    assert np.isin(results[:-1, 0][rises == 0], FLAT[name]).all()


# --- what prediction folds ---


class ConvolutionOfTheUser(Conv2D):
    """A subclass, whose result may not be that of its weight and bias."""


class NormalizationOfTheUser(BatchNorm):
    """A subclass."""


FOLDED = {
    "a convolution": ([Conv2D(3), BatchNorm()], "Conv2D"),
    "without a bias": ([Conv2D(3, use_bias=False), BatchNorm(epsilon=0.1)], "Conv2D"),
    "groups": ([Conv2D(4, groups=2, strides=2), BatchNorm()], "Conv2D"),
    "many channels": (
        [Conv2D(16), BatchNorm(), ReLU(), Conv2D(16, use_bias=False), BatchNorm(), ReLU()],
        "Conv2D ReLU Conv2D ReLU",
    ),
    "depthwise": ([DepthwiseConv2D(), BatchNorm()], "DepthwiseConv2D"),
    "two filters a channel": (
        [DepthwiseConv2D(depth_multiplier=2, use_bias=False), BatchNorm()],
        "DepthwiseConv2D",
    ),
    "two one after another": ([Conv2D(3, use_bias=False), BatchNorm(), BatchNorm()], "Conv2D"),
    "only the first": ([Conv2D(3), BatchNorm(), ReLU(), BatchNorm()], "Conv2D ReLU BatchNorm"),
    "in a branch": (
        [Residual([Conv2D(3, use_bias=False), BatchNorm(), ReLU(), Conv2D(2), BatchNorm()]), ReLU()],
        "Conv2D ReLU Conv2D Add ReLU",
    ),
    "in the projection, too": (
        [Residual([Conv2D(4, strides=2), BatchNorm()], activation="tanh")],
        "Conv2D Conv2D Add Tanh",
    ),
    "in branches beside others": (
        [Parallel([[Conv2D(2, 1), BatchNorm()], [BatchNorm(), Conv2D(3), BatchNorm()], "passthrough"])],
        "Conv2D BatchNorm Conv2D Concatenate",
    ),
}

NOT_FOLDED = {
    "first of all": [BatchNorm(), Conv2D(3)],
    "an activation between": [Conv2D(3, activation="relu"), BatchNorm()],
    "another reader": [Conv2D(2), Residual([BatchNorm(), ReLU()])],
    "two of them read it": [Conv2D(2), Parallel([BatchNorm(), BatchNorm()])],
    "after a sum": [Residual([Conv2D(2)]), BatchNorm()],
    "a convolution of the user": [ConvolutionOfTheUser(3), BatchNorm()],
    "a normalization of the user": [Conv2D(3), NormalizationOfTheUser()],
    "another normalization": [Conv2D(4), GroupNorm(2)],
    "vectors": [Flatten(), Dense(5), BatchNorm(), Residual([Dense(5), BatchNorm()])],
}


def network_of(layers, dtype=np.float64):
    """Return a network that ends in scores, with parameters as training leaves them."""
    flatten = [Flatten()] if len(nodes_of(layers)[-1].output_shape) == 3 else []
    return chain(*layers, *flatten, Dense(N_CLASSES), input_shape=SHAPE, dtype=dtype)


def scores_of(network):
    X = generator(2).standard_normal((*SHAPE[:2], 9, SHAPE[2])).astype(network.dtype)
    return predict(network, lambda rows, out: np.copyto(out, X[:, :, rows]), 9)


def assert_same_scores(network, monkeypatch):
    """Hold scores against those of the network as it is, to rounding of the largest."""
    scores = scores_of(network)
    monkeypatch.setattr("skcnn.network.setup.fold", lambda nodes, params: (nodes, params))
    expected = scores_of(network.copy())  # for which nothing is prepared
    tolerance = 1e-12 if network.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(scores, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(("layers", "expected"), FOLDED.values(), ids=FOLDED)
def test_what_is_folded(layers, expected):
    network = network_of(layers)
    nodes, params = fold(network.nodes, network.params)
    assert kinds(nodes) in (f"{expected} Dense", f"{expected} Flatten Dense")
    assert_consistent(nodes, params)
    assert fold(nodes, params) == (nodes, params)


@pytest.mark.parametrize("layers", NOT_FOLDED.values(), ids=NOT_FOLDED)
def test_what_is_not_folded(layers):
    network = network_of(layers)
    assert fold(network.nodes, network.params) == (network.nodes, network.params)


@pytest.mark.parametrize("name", FOLDED)
def test_folding_changes_scores_by_rounding_alone(name, monkeypatch):
    dtype = np.float32 if name in ("many channels", "depthwise") else np.float64
    assert_same_scores(network_of(FOLDED[name][0], dtype), monkeypatch)


@pytest.mark.parametrize("training", [True, False])
def test_prediction_folds_and_training_does_not(training):
    network = network_of([Conv2D(3), BatchNorm(), ReLU()])
    with worker_pool() as pool:
        executor = Executor(network, pool, training=training)
    assert ("BatchNorm" in kinds(executor.program.nodes)) == training


@pytest.mark.parametrize("name", ["without a bias", "two filters a channel", "two one after another"])
def test_folding_leaves_network_and_layers_as_they_are(name):
    """Parameters that are not folded are not copied."""
    network = network_of(FOLDED[name][0])
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
    convolutions = (Conv2D(3), (0,)), (Conv2D(3, use_bias=False), (0,))
    norms = (BatchNorm(), (2,)), (BatchNorm(), (1,))
    end = (ReLU(), (3,)), (Add(), (5, 4)), (Flatten(), (6,)), (Dense(N_CLASSES), (7,))
    network = graph(SHAPE, *convolutions, *norms, *end)
    nodes, params = fold(network.nodes, network.params)
    assert [node.inputs for node in nodes] == [(), (0,), (0,), (2,), (3, 1), (4,), (5,)]
    assert_consistent(nodes, params)
    assert_same_scores(network, monkeypatch)


def test_a_result_that_is_read_twice_by_one_node_is_not_folded():
    end = (Add(), (2, 1, 1)), (Flatten(), (3,)), (Dense(3), (4,))
    network = graph(SHAPE, (Conv2D(3), (0,)), (BatchNorm(), (1,)), *end)
    assert fold(network.nodes, network.params) == (network.nodes, network.params)


SPOILED = {  # the layer, its parameter, and a number of one channel
    "a factor that is not a number": ("layer2", "running_variance", -1.0),
    "an infinite factor": ("layer2", "scale", np.inf),
    "numbers that overflow": ("layer2", "scale", 3e38),
    "an infinite shift": ("layer2", "shift", np.inf),
    "a weight that is not a number": ("layer1", "weight", np.nan),
}


@pytest.mark.parametrize(("name", "key", "value"), SPOILED.values(), ids=SPOILED)
def test_what_would_not_be_finite_is_left_alone(name, key, value):
    """The other pair is folded."""
    network = network_of([Conv2D(3), BatchNorm(), ReLU(), Conv2D(3), BatchNorm()], np.float32)
    network.params["layer2"]["running_variance"][-1] = 0.1
    network.params[name][key][..., -1] = value
    nodes, params = fold(network.nodes, network.params)
    assert kinds(nodes) == "Conv2D BatchNorm ReLU Conv2D Flatten Dense"
    for key in ("weight", "bias"):
        np.testing.assert_array_equal(params["layer1"][key], network.params["layer1"][key])
