"""Tests of weights by name, of networks that start with those of others, and of frozen layers."""

import numpy as np
import pytest
from seeds import SEED, generator
from small_networks import chain, program_of

from skcnn.layers import BatchNorm, Conv2D, Dense, Flatten, MergingLayer, Tanh
from skcnn.network.executor import Batch, Executor
from skcnn.network.losses import LogLoss
from skcnn.network.threads import worker_pool
from skcnn.network.transfer import layers_taken, take_over, weights_by_name, with_weights

SHAPE, N_SAMPLES, N_CLASSES = (6, 5, 2), 5, 3


def normalized(**options):
    """Return a network with a batch normalization between layers with weights."""
    return chain(Conv2D(3), BatchNorm(), Tanh(), Flatten(), Dense(N_CLASSES), input_shape=SHAPE, **options)


def batch():
    X = generator(5).standard_normal((*SHAPE[:2], N_SAMPLES, SHAPE[2]))
    targets = np.eye(N_CLASSES)[np.arange(N_SAMPLES) % N_CLASSES]

    def read(rows, out):
        np.copyto(out, X[:, :, rows])

    return Batch(N_SAMPLES, read, targets, np.full(N_SAMPLES, 1 / N_SAMPLES))


def loss_and_gradient(network):
    with worker_pool() as pool:
        executor = Executor(network, pool, training=True, seed=SEED)
        return executor.gradients(batch(), LogLoss()), executor.reduce().copy(), executor.buffers


@pytest.mark.parametrize("frozen", [{"layer2"}, {"layer1", "layer2"}])
def test_frozen_batch_normalization_is_a_constant_of_both_passes(frozen):
    """The loss is that of predictions, and its gradient that of differences."""
    network = normalized()
    network.frozen = frozenset(frozen)
    loss, gradient, buffers = loss_and_gradient(network)
    with worker_pool() as pool:
        scores = np.empty((N_SAMPLES, N_CLASSES))
        Executor(network, pool, training=False).predict(batch(), scores)
    assert loss == pytest.approx(LogLoss().values(scores, batch().targets).mean(), rel=1e-12)
    assert buffers == {}
    views, checked = network.views_of(gradient), network.views_of(np.zeros_like(gradient))
    for layer in {"layer1", "layer5"} - frozen:
        for name, value in network.params[layer].items():
            for place in np.ndindex(value.shape):
                before, losses = value[place], []
                for step in (1e-5, -1e-5):
                    value[place] = before + step
                    losses.append(loss_and_gradient(network)[0])
                value[place] = before
                checked[layer][name][place] = (losses[0] - losses[1]) / 2e-5
    for layer in views:
        for name in views[layer]:
            np.testing.assert_allclose(views[layer][name], checked[layer][name], rtol=0, atol=1e-8)


def test_frozen_layers_at_the_start_have_no_backward_pass():
    network = normalized()
    network.frozen = frozenset({"layer1", "layer2"})
    program = program_of(network, training=True)
    operations = [index for phase in program.backward for segment in phase for _, index in segment.operations]
    assert min(operations) == 5
    copied = network.copy()
    assert copied.frozen == network.up_to(3).frozen == network.frozen


class OwnMerging(MergingLayer):
    """A layer of one's own that merges statistics."""

    def statistics(self, X, unit):
        return None

    def merge(self, params, partials, *, part=None):
        return None, {}

    def forward(self, params, X, unit, *, training, out):
        raise AssertionError("it is not run")

    def backward_statistics(self, params, dY, unit):
        return None

    def backward_merge(self, params, merged, partials):
        return None

    def backward(self, params, dY, unit, *, need_dX, out):
        raise AssertionError("it is not run")


def test_a_merging_layer_of_ones_own_cannot_be_frozen():
    network = chain(Flatten(), OwnMerging(), Dense(2))
    network.frozen = frozenset({"layer2"})
    with pytest.raises(ValueError, match="'layer2'.*frozen"), worker_pool() as pool:
        Executor(network, pool, training=True)


def test_sections_have_the_factors_of_their_layers():
    network = normalized()
    assert network.factors_of_sections({}, 50)[0] == (slice(0, 50), 1.0)
    found = network.factors_of_sections({"layer1": 0.5, "layer5": 0.0}, 50)
    factors = np.full(network.n_params, np.nan)
    for section, factor in found:
        assert section.stop - section.start <= 50
        assert np.isnan(factors[section]).all()
        factors[section] = factor
    for layer, own in network.views_of(factors).items():
        for value in own.values():
            assert np.unique(value) == {"layer1": 0.5, "layer5": 0.0}.get(layer, 1.0)


def test_weights_are_taken_over_by_name_and_shape():
    network, other = normalized(), normalized(seed=1)
    weights = weights_by_name(other) | {"layer5/bias": np.zeros(7), "more/weight": np.zeros(1)}
    del weights["layer2/shift"]
    before = network.copy()
    report = take_over(network, weights, left_out={"layer1"})
    assert report["new"] == ["layer1/weight", "layer1/bias", "layer2/shift"]
    assert report["other shape"] == ["layer5/bias"]
    assert report["unused"] == ["more/weight"]
    assert layers_taken(report) == {"layer2", "layer5"}
    for name, value in weights_by_name(network).items():
        source = other if name in report["taken"] else before
        np.testing.assert_array_equal(value, weights_by_name(source)[name])
    with pytest.raises(ValueError, match="init has no weight"):
        take_over(network, {"layer5/bias": np.zeros(7)})


def test_a_copy_has_other_weights():
    network = normalized()
    weights = {"layer1/weight": np.full((3, 3, 2, 3), 2, int), "layer2/running_mean": [1.0, 2.0, 3.0]}
    before = network.vector.copy()
    changed = with_weights(network, weights)
    np.testing.assert_array_equal(changed.params["layer1"]["weight"], 2.0)
    np.testing.assert_array_equal(changed.params["layer2"]["running_mean"], [1, 2, 3])
    np.testing.assert_array_equal(changed.params["layer5"]["bias"], network.params["layer5"]["bias"])
    np.testing.assert_array_equal(network.vector, before)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer1/kernel", np.zeros((3, 3, 2, 3))),
        ("layer5/bias", np.zeros(4)),
        ("layer5/bias", [0, np.nan, 0]),
        ("layer5/bias", [0, 10**400, 0]),
        ("layer5/bias", ["a", "b", "c"]),
        ("layer5/bias", np.zeros(3, complex)),
    ],
)
def test_weights_that_do_not_fit_are_named(key, value):
    with pytest.raises(ValueError, match=key):
        with_weights(normalized(), {key: value})
    if key == "layer5/bias" and np.shape(value) == (3,):
        with pytest.raises(ValueError, match=key):
            take_over(normalized(), {key: value})
