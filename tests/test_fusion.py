"""Tests of the rewritten list of steps against the one that the layers say."""

import numpy as np
import pytest
from small_trainings import N_CLASSES, all_bits, make_data, make_network, objective, train

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    ReLU,
    Residual,
    Sigmoid,
    execution,
)
from skcnn.fusion import fuse
from skcnn.layers.activation import ACTIVATIONS
from skcnn.network import compile_steps
from skcnn.training import TrainingState

SHAPE = (9, 7, 2)


def steps_of(layers):
    return compile_steps([(f"layer{number}", layer) for number, layer in enumerate(layers)], SHAPE)


def kinds(steps):
    return [type(step.layer).__name__ for step in steps[1:]]


FUSED = {
    "pooling before ReLU": ([Conv2D(3), ReLU(), MaxPool2D()], ["Conv2D", "MaxPool2D", "ReLU"]),
    "by name": ([Conv2D(3, activation="relu"), MaxPool2D(3, strides=2)], ["Conv2D", "MaxPool2D", "ReLU"]),
    "first of all": ([ReLU(), MaxPool2D(2, padding="same"), Conv2D(2)], ["MaxPool2D", "ReLU", "Conv2D"]),
    "behind a merge": ([BatchNorm(), ReLU(), MaxPool2D()], ["BatchNorm", "MaxPool2D", "ReLU"]),
    "twice": (
        [ReLU(), MaxPool2D(), Conv2D(3), ReLU(), MaxPool2D(2, ceil_mode=True)],
        ["MaxPool2D", "ReLU", "Conv2D", "MaxPool2D", "ReLU"],
    ),
    "in a branch": (
        [Residual([Conv2D(2), ReLU(), MaxPool2D(3, strides=1, padding="same")])],
        ["Conv2D", "MaxPool2D", "ReLU", "Add"],
    ),
}

LEFT_ALONE = {
    "averages": [Conv2D(3), ReLU(), AvgPool2D()],
    "another activation": [Conv2D(3), Sigmoid(), MaxPool2D()],
    "rounding may make results equal": [Conv2D(3), LeakyReLU(0.1), MaxPool2D()],
    "something between": [ReLU(), Dropout(0.5), MaxPool2D()],
    "another reader": [ReLU(), Parallel([MaxPool2D(3, strides=1, padding="same"), "passthrough"])],
    "a vector": [ReLU(), GlobalAvgPool2D()],
}


@pytest.mark.parametrize(("layers", "expected"), FUSED.values(), ids=FUSED)
def test_what_is_fused(layers, expected):
    steps = steps_of(layers)
    fused = fuse(steps)
    assert kinds(fused) == expected
    assert sorted(step.name for step in fused) == sorted(step.name for step in steps)
    assert fused[-1].output_shape == steps[-1].output_shape
    for step in fused[1:]:
        assert step.input_shapes == tuple(fused[source].output_shape for source in step.inputs)
        assert step.layer.output_shape(step.input_shape) == step.output_shape


@pytest.mark.parametrize("layers", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_is_left_alone(layers):
    steps = steps_of(layers)
    assert fuse(steps) == steps


def test_fused_steps_are_not_fused_again():
    for layers, _ in FUSED.values():
        fused = fuse(steps_of(layers))
        assert fuse(fused) == fused


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUSED)
def test_training_gives_the_same_bits(name, dtype, monkeypatch):
    """Three epochs, with images rounded to make ties."""
    layers, _ = FUSED[name]
    results = []
    for rewrite in (fuse, tuple):
        monkeypatch.setattr(execution, "fuse", rewrite)
        results.append(trained(layers, dtype))
    assert results[0] == results[1]


def trained(layers, dtype):
    """Return the bits of a network of these layers after three epochs."""
    network = make_network(*layers, Dropout(0.25), Flatten(), Dense(N_CLASSES), dtype=dtype, shape=SHAPE)
    data, state = make_data(shape=SHAPE, dtype=dtype), TrainingState(seed=7)
    data.images.X[...] = data.images.X.round(1)
    train(network, data, objective(), 3, state)
    return all_bits(network, state)


COMMUTING = {name: kind for name, kind in ACTIVATIONS.items() if kind.commutes_with_maximum}


def test_which_activations_commute_with_the_maximum():
    assert list(COMMUTING) == ["relu"]


@pytest.mark.parametrize("activation", COMMUTING.values(), ids=COMMUTING)
def test_activations_that_commute_with_the_maximum_never_fall(activation):
    """For numbers of all sizes; different numbers with equal results lie where the result is zero."""
    rng = np.random.default_rng(0)
    numbers = np.sort(rng.standard_normal(4000) * 10.0 ** rng.integers(-37, 37, 4000)).astype(np.float32)
    numbers = np.unique(np.concatenate([numbers, np.nextafter(numbers, np.float32(np.inf))]))[:, np.newaxis]
    results = activation().forward({}, numbers, None, training=False, out=np.empty_like(numbers))
    rises = np.diff(results[:, 0])
    assert (rises >= 0).all()
    assert (results[:-1, 0][rises == 0] == 0).all()
