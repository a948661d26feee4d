"""Tests of weights by name, of networks that start with those of others, and of frozen layers."""

import re

import numpy as np
import pytest
from seeds import SEED, generator
from small_networks import chain, program_of

from skcnn.layers import BatchNorm, Conv2D, Dense, Flatten, Layer, MergingLayer, Tanh
from skcnn.network.executor import Batch, Executor
from skcnn.network.foreign_weights import MANY_UPDATES
from skcnn.network.losses import LogLoss
from skcnn.network.threads import worker_pool
from skcnn.network.transfer import layer_of, layers_taken, take_over, weights_by_name, with_weights

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


@pytest.mark.costly
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
    assert report["new"] == ["layer1/weight", "layer1/bias", "layer5/weight", "layer2/shift"]
    assert report["other shape"] == ["layer5/bias"]
    assert report["unused"] == ["more/weight"]
    assert layers_taken(report) == {"layer2"}
    for name, value in weights_by_name(network).items():
        source = other if name in report["taken"] else before
        np.testing.assert_array_equal(value, weights_by_name(source)[name])
    with pytest.raises(ValueError, match="init has no weight"):
        take_over(network, {"layer5/bias": np.zeros(7)})


@pytest.mark.parametrize(
    ("changed", "new"),
    [
        ("layer1/weight", ["layer1/bias"]),
        ("layer5/bias", ["layer5/weight"]),
        (
            "layer2/shift",
            [f"layer2/{name}" for name in ("scale", "running_mean", "running_variance", "n_updates")],
        ),
        (
            "layer2/running_mean",
            [f"layer2/{name}" for name in ("scale", "shift", "running_variance", "n_updates")],
        ),
    ],
)
def test_a_layer_with_a_parameter_of_another_shape_keeps_all_its_own(changed, new):
    network, other = normalized(), normalized(seed=1)
    before = network.copy()
    report = take_over(network, weights_by_name(other) | {changed: np.zeros(7)})
    assert report["other shape"] == [changed]
    assert sorted(report["new"]) == sorted(new)
    assert layers_taken(report) == {"layer1", "layer2", "layer5"} - {layer_of(changed)}
    for name in (changed, *new):
        np.testing.assert_array_equal(weights_by_name(network)[name], weights_by_name(before)[name])


def test_a_weight_may_come_without_the_others_of_its_layer():
    network = normalized()
    report = take_over(network, {"layer1/weight": np.ones((3, 3, 2, 3))})
    assert report["taken"] == ["layer1/weight"]
    assert (network.params["layer1"]["weight"] == 1).all()


COUNT = "layer2/n_updates"
STATISTICS = ["layer2/running_mean", "layer2/running_variance"]


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 7),
        ({COUNT: None}, MANY_UPDATES),
        ({COUNT: np.ones(1)}, MANY_UPDATES),
        ({STATISTICS[0]: None}, 0),
        ({STATISTICS[1]: np.ones(4)}, 0),
        ({name: np.ones(4) for name in STATISTICS}, 0),
        (dict.fromkeys([COUNT, *STATISTICS]), 0),
    ],
    ids=str,
)
def test_a_count_is_taken_with_all_statistics_that_it_is_about(changes, count):
    network = normalized()
    weights = weights_by_name(normalized(seed=1)) | {COUNT: np.array(7.0)} | changes
    weights = {name: value for name, value in weights.items() if value is not None}
    report = take_over(network, weights)
    assert network.params["layer2"]["n_updates"] == count
    assert (COUNT in report["taken"]) == (count == 7)
    assert sorted(sum(report.values(), [])) == sorted(weights_by_name(network))


def test_a_count_alone_is_no_start():
    with pytest.raises(ValueError, match="init has no weight"):
        take_over(normalized(), {COUNT: np.array(7.0)})


class Table(Layer):
    """A layer of one's own with constants of several dtypes."""

    constant_params = ("mask", "index", "small")

    def init_params(self, input_shape, *, activation, dtype, rng):
        index = np.arange(input_shape[-1])
        return {"mask": index % 2 == 0, "index": index, "small": index.astype(np.uint8)}

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, params["mask"], out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, params["mask"], out=out)


def test_constants_keep_their_dtypes():
    network, values = chain(Table(), Flatten(), Dense(2)), ([False, True], [5, 6], [7, 8])
    weights = {f"layer1/{name}": value for name, value in zip(Table.constant_params, values, strict=True)}
    report = take_over(network, weights)
    changed = with_weights(chain(Table(), Flatten(), Dense(2)), weights)
    assert report["taken"] == list(weights)
    for params in (network.params["layer1"], changed.params["layer1"]):
        for name, value in zip(Table.constant_params, values, strict=True):
            np.testing.assert_array_equal(params[name], value)
        assert [value.dtype for value in params.values()] == [bool, int, np.uint8]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mask", [0, 1], "must be bool .* got int64"),
        ("index", [0.0, 1.0], "must be int64 .* got float64"),
        ("index", [True, False], "must be int64 .* got bool"),
        ("small", [0, 300], "uint8 cannot hold"),
        ("small", [-1, 0], "uint8 cannot hold"),
    ],
)
def test_constants_take_no_values_of_other_kinds(name, value, message):
    key = f"layer1/{name}"
    for change, what in ((take_over, "init"), (with_weights, "weights")):
        with pytest.raises(ValueError, match=rf"{what}\['{key}'\] .*{message}"):
            change(chain(Table(), Flatten(), Dense(2)), {key: value})


def test_everything_that_does_not_fit_is_named():
    wrong = {"layer1/kernel": 1, "layer5/bias": np.zeros(4), "layer2/scale": None, 7: np.zeros(1)}
    for key in wrong:
        with pytest.raises(ValueError, match=re.escape(repr(key))):
            with_weights(normalized(), wrong | {"layer2/shift": np.ones(3)})


@pytest.mark.parametrize("weights", [[], None, 3, "layer5/bias"], ids=str)
def test_what_is_no_mapping_is_refused(weights):
    with pytest.raises(TypeError, match="weights must be a mapping of arrays by name, got <class"):
        with_weights(normalized(), weights)


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
        ("layer5/bias", [True, False, True]),
        ("layer5/bias", [[1], [1, 2], 3]),
        ("layer5/bias", None),
        ("layer2/running_variance", [1, -1, 1]),
        ("layer2/n_updates", -1.0),
    ],
)
def test_weights_that_do_not_fit_are_named(key, value):
    with pytest.raises(ValueError, match=key):
        with_weights(normalized(), {key: value})
    if key != "layer1/kernel" and np.shape(np.array(value, object)) != (4,):
        with pytest.raises(ValueError, match=key):
            take_over(normalized(), weights_by_name(normalized()) | {key: value})
