"""Tests of networks that start with weights of others, and of learning rates by layer."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from small_classifiers import fitted_classifier, make_classifier, make_images

from skcnn import BatchNorm, Conv2D, Dense, Dropout, MaxPool2D, PatchWhitening, ReLU, Residual

X, Y = make_images(30)
LAYERS = [
    ("conv1", Conv2D(3)),
    ("norm1", BatchNorm()),
    ("relu1", ReLU()),
    ("block", Residual([Conv2D(3), BatchNorm()])),
    ("pool", MaxPool2D()),
    ("dense", Dense(4, activation="prelu")),
]
FRONT = {"conv1": 0, "norm1": 0, "block": 0}


def make_net(**params):
    return make_classifier(LAYERS, **params)


@pytest.fixture(scope="module")
def source():
    return fitted_classifier(LAYERS, X=X, y=Y, max_iter=1)


def changed_weights(net, source):
    """Return the names of weights that differ from those of a source."""
    before = source.get_weights()
    return {name for name, value in net.get_weights().items() if value.tobytes() != before[name].tobytes()}


def layers_of(names):
    return {name.partition("/")[0] for name in names}


# Learning rates by layer


@pytest.mark.parametrize("frozen", [FRONT, {"norm1": 0, "block": 0, "output": 0}], ids=["front", "others"])
@pytest.mark.parametrize("averaging", ["ema", "swa", None])
@pytest.mark.parametrize("solver", ["adamw", "sgd", "lbfgs"])
def test_frozen_layers_keep_their_bits(solver, averaging, frozen, source):
    params = {"solver": solver, "averaging": averaging, "alpha": 0.1, "clip_norm": 0.5, "averaging_start": 0}
    net = make_net(init=FrozenEstimator(source), learning_rate_factors=frozen, **params).fit(X, Y)
    trained = {"dense", "dense_prelu", "output"} if frozen is FRONT else {"conv1", "dense", "dense_prelu"}
    assert layers_of(changed_weights(net, source)) == trained
    assert net.n_params_ == source.n_params_


def test_frozen_layers_stay_frozen_over_calls_and_thaw(source):
    net = make_net(init=FrozenEstimator(source), learning_rate_factors=FRONT, warm_start=True).fit(X, Y)
    net.fit(X, Y)
    net.partial_fit(X[:9], Y[:9])
    assert "conv1" not in layers_of(changed_weights(net, source))
    net.set_params(learning_rate_factors={"": 0.1}).fit(X, Y)
    assert layers_of(changed_weights(net, source)) == layers_of(source.get_weights())


@pytest.mark.parametrize("solver", ["adam", "adamw", "nadam"])
def test_the_first_step_of_thawed_layers_is_no_larger_than_that_of_a_new_optimizer(solver, source):
    params = {"solver": solver, "averaging": None, "alpha": 0, "warm_start": True, "max_iter": 60}
    net = make_net(init=FrozenEstimator(source), learning_rate_factors=FRONT, **params).fit(X, Y)
    before, steps = net.get_weights()["conv1/weight"], []
    for each in (net, copy.deepcopy(net).set_weights(net.get_weights())):
        each.set_params(learning_rate_factors=None, max_iter=1, batch_size=len(X)).fit(X, Y)
        steps.append(np.abs(each.get_weights()["conv1/weight"] - before).max())
    assert 0 < steps[0] <= 1.01 * steps[1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"conv1": 0}, None),
        ({"conv1": 0}, {"block": 0}),
        ({"": 0, "output": 1}, {"": 0, "dense": 1}),
    ],
    ids=str,
)
def test_losses_with_other_frozen_layers_are_not_compared(before, after):
    """The penalty leaves frozen weights out."""
    params = {"solver": "sgd", "alpha": 1.0, "averaging": None, "learning_rate_init": 1e-6}
    net = make_net(**params, learning_rate_factors=before, warm_start=True).fit(X, Y)
    net.set_params(learning_rate_factors=after).fit(X, Y)
    assert net.best_loss_ == min(net.loss_curve_[2:])


def test_losses_with_other_learning_rates_are_compared():
    params = {"alpha": 0, "averaging": None, "warm_start": True}
    net = make_net(**params, learning_rate_factors={"dense": 0.5}).fit(X, Y)
    net.set_params(learning_rate_factors={"conv1": 3}, learning_rate_init=1).fit(X, Y)
    assert net.best_loss_ == min(net.loss_curve_[:2]) < min(net.loss_curve_[2:])


@pytest.mark.parametrize("solver", ["adamw", "sgd"])
def test_training_goes_on_bit_for_bit_while_the_same_layers_are_frozen(solver, source):
    params = {"init": FrozenEstimator(source), "learning_rate_factors": FRONT, "solver": solver}
    once = make_net(**params, averaging=None, max_iter=4).fit(X, Y)
    twice = make_net(**params, averaging=None, warm_start=True).fit(X, Y).fit(X, Y)
    assert changed_weights(twice, once) == set()


def test_the_longest_key_counts_and_names_stand_for_all_within():
    net = make_net(learning_rate_factors={"": 0.0, "de": 0.5, "block": 2, "block__conv2d_1": 0.25}).fit(X, Y)
    start = make_net(learning_rate_factors={"": 0.0, "de": 1e-30}, alpha=0).fit(X, Y)
    changed = layers_of(changed_weights(net, start))
    assert changed == {"dense", "dense_prelu", "block__conv2d_1", "block__batchnorm_1"}


@pytest.mark.parametrize("averaging", ["ema", None])
@pytest.mark.parametrize("solver", ["adamw", "lbfgs"])
def test_layers_that_are_frozen_later_keep_what_predictions_have_seen(solver, averaging):
    """The weights that training would go on from are others than their average."""
    net = make_net(warm_start=True).fit(X, Y)
    before = net.get_weights()
    net.set_params(learning_rate_factors=FRONT, solver=solver, averaging=averaging).fit(X, Y)
    changed = {name for name, value in net.get_weights().items() if (value != before[name]).any()}
    assert layers_of(changed) == {"dense", "dense_prelu", "output"}


def test_a_stream_that_was_frozen_goes_on_like_its_pickle():
    net = make_net(learning_rate_factors=FRONT)
    net.partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X[:9], Y[:9])
    copied = pickle.loads(pickle.dumps(net))
    for each in (net, copied):
        each.set_params(learning_rate_factors=None).partial_fit(X[9:], Y[9:])
    assert changed_weights(copied, net) == set()


def test_steps_that_would_turn_weights_round_are_refused():
    with pytest.raises(ValueError, match="learning_rate_factors up to 100"):
        make_net(learning_rate_factors={"conv1": 100}, alpha=1.0).fit(X, Y)


@pytest.mark.parametrize("factor", [0.25, 3])
def test_a_factor_scales_the_step_of_its_layer(factor):
    """One step of gradient descent without momentum: a factor of the learning rate is one of the change."""
    params = {"solver": "sgd", "momentum": 0.0, "averaging": None, "batch_size": len(X), "max_iter": 1}
    start = make_net(**params, learning_rate_init=1e-30).fit(X, Y).get_weights()
    plain = make_net(**params).fit(X, Y).get_weights()
    scaled = make_net(**params, learning_rate_factors={"dense": factor}).fit(X, Y).get_weights()
    for name, value in start.items():
        if not name.startswith(("norm1/running", "block__batchnorm_1/running")):
            own = factor if layers_of([name]) <= {"dense", "dense_prelu"} else 1
            tolerance = 10 * np.finfo(value.dtype).eps * max(1, factor) * max(1, np.abs(value).max())
            np.testing.assert_allclose(
                scaled[name] - value, own * (plain[name] - value), rtol=0, atol=tolerance
            )


def test_factors_of_one_change_no_bit():
    plain, with_ones = (make_net(learning_rate_factors=factors).fit(X, Y) for factors in (None, {"": 1}))
    assert changed_weights(with_ones, plain) == set()


def test_weights_equal_repetition_with_frozen_layers(source):
    repeats = 1 + np.arange(len(X)) % 3
    params = {"batch_size": 1000, "averaging": None, "learning_rate_factors": FRONT | {"dense": 0.5}}
    params |= {"init": FrozenEstimator(source), "input_scaling": (2, 3), "dtype": "float64"}
    weighted = make_net(**params).fit(X, Y, sample_weight=repeats)
    repeated = make_net(**params).fit(np.repeat(X, repeats, axis=0), np.repeat(Y, repeats))
    np.testing.assert_allclose(weighted.decision_function(X), repeated.decision_function(X), atol=1e-10)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"conv1": np.inf}, "'conv1': inf"),
        ({"convv1": 1.0}, "'convv1'.*'conv1'"),
        ({"": 0}, "freezes all"),
    ],
)
def test_factors_that_make_no_sense_are_refused(factors, message):
    net = make_net(learning_rate_factors=factors)
    with pytest.raises(ValueError, match=message):
        net.fit(X, Y)
    assert not hasattr(net, "model_")


def test_lbfgs_takes_no_factors_but_zero_and_one():
    with pytest.raises(ValueError, match="lbfgs"):
        make_net(solver="lbfgs", learning_rate_factors={"dense": 0.5}).fit(X, Y)


# Initial weights from elsewhere


@pytest.mark.parametrize("kind", ["mapping", "estimator"])
def test_initial_weights_are_taken_over(kind, source):
    """With a learning rate of almost zero, predictions are those of the source."""
    init = source.get_weights() if kind == "mapping" else FrozenEstimator(source)
    scaling = source.model_.format.mean, source.model_.format.deviation
    params = {"input_scaling": scaling} if kind == "mapping" else {}
    frozen = {"norm1": 0, "block": 0}
    net = make_net(init=init, learning_rate_init=1e-30, learning_rate_factors=frozen, alpha=0, **params)
    net.fit(X, Y)
    assert changed_weights(net, source) == set()
    np.testing.assert_array_equal(net.predict_proba(X), source.predict_proba(X))
    assert net.init_report_["taken"] == list(source.get_weights())
    assert make_net().fit(X, Y).init_report_ is None


def test_with_other_classes_the_output_layer_is_new(source):
    for labels in (np.array([3, 4, 5])[Y], Y % 2):
        net = make_net(init=FrozenEstimator(source)).fit(X, labels)
        report = net.init_report_
        assert sorted(report["new"] + report["other shape"]) == ["output/bias", "output/weight"]
        assert report["unused"] == []
        assert net.predict(X).max() == labels.max()


@pytest.mark.parametrize(
    "sizes", [{"conv_layer_sizes": (6,)}, {"kernel_size": 1}, {"hidden_layer_sizes": (7,)}], ids=str
)
def test_a_layer_of_another_size_is_new_as_a_whole(sizes):
    """A bias is of no use without its weight."""
    source = make_classifier(averaging=None).fit(X, Y)
    net = make_classifier(init=FrozenEstimator(source), **sizes).fit(X, Y)
    report = net.init_report_
    assert report["other shape"]
    assert not layers_of(report["taken"]) & layers_of(report["other shape"])


def test_what_is_given_is_not_taken_from_the_data():
    layers = [PatchWhitening(activation="relu"), Dense(3)]
    source = fitted_classifier(layers, X=X, y=Y)
    others = X[::-1] ** 2
    for params in ({}, {"init_scaling": "unit_variance"}):
        net = make_classifier(layers, init=source.get_weights(), learning_rate_init=1e-30, alpha=0, **params)
        assert changed_weights(net.fit(others, Y), source) == set()


def test_initial_weights_can_be_searched(source):
    grid = {"init": [None, FrozenEstimator(source)], "learning_rate_factors": [None, FRONT, {"dense": 0.5}]}
    search = GridSearchCV(make_net(max_iter=1), grid, cv=2, error_score="raise").fit(X, Y)
    assert len(search.cv_results_["params"]) == 6
    cloned = clone(make_net(init=source.get_weights()))
    assert cloned.fit(X, Y).init_report_["new"] == []


def test_the_first_partial_fit_takes_initial_weights_and_later_ones_go_on(source):
    net = make_net(init=FrozenEstimator(source), learning_rate_init=1e-30, alpha=0, averaging=None)
    net.partial_fit(X, Y, classes=[0, 1, 2])
    assert layers_of(changed_weights(net, source)) <= {"norm1", "block__batchnorm_1"}
    net.set_params(learning_rate_init=1e-2).partial_fit(X, Y).partial_fit(X, Y)
    assert "conv1" in layers_of(changed_weights(net, source))


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ({"a": np.zeros(1)}, "init has no weight"),
        ({}, "init has no weight"),
        ({"output/bias": np.full(3, np.nan)}, "output/bias"),
        (FrozenEstimator(make_classifier()), "fitted .* got one around a ConvNetClassifier"),
        (FrozenEstimator(Dropout()), "fitted .* got one around a Dropout"),
        (FrozenEstimator(SimpleNamespace(model_=3)), "got one around a SimpleNamespace"),
        (
            FrozenEstimator(make_pipeline(make_classifier())),
            r"pipeline\[-1\] .* got one around a Pipeline without",
        ),
        (FrozenEstimator(GridSearchCV(make_classifier(LAYERS), {})), "best_estimator_: got .* GridSearchCV"),
        (make_classifier(), "init"),
    ],
)
def test_init_that_is_of_no_use_is_refused(init, message):
    net = make_net(init=init)
    with pytest.raises(ValueError, match=message) as raised:
        net.fit(X, Y)
    assert len(str(raised.value)) < 400
    assert not hasattr(net, "model_")


def test_a_frozen_estimator_may_be_frozen_again(source):
    nets = [
        make_net(init=init) for init in (FrozenEstimator(source), FrozenEstimator(FrozenEstimator(source)))
    ]
    first, again = (net.fit(X, Y) for net in nets)
    assert changed_weights(again, first) == set()


def test_with_other_channels_weights_of_other_shape_start_anew(source):
    """So does the scaling: it is that of the images at hand."""
    channels = np.concatenate([X, X[..., :1]], axis=-1)
    net = make_net(init=FrozenEstimator(source), learning_rate_init=1e-30, alpha=0).fit(channels, Y)
    plain = make_net(learning_rate_init=1e-30, alpha=0).fit(channels, Y)
    assert net.init_report_["other shape"] == ["conv1/weight"]
    assert net.init_report_["new"] == ["conv1/bias"]
    assert_array_equal(net.model_.format.mean, plain.model_.format.mean)
    assert_array_equal(net.get_weights()["conv1/weight"], plain.get_weights()["conv1/weight"])
    assert_array_equal(net.get_weights()["dense/weight"], source.get_weights()["dense/weight"])


# Weights of a fitted network


def test_weights_are_read_and_replaced(source):
    net = make_net(warm_start=True).fit(X, Y)
    before = net.network_
    assert net.set_weights(source.get_weights()) is net
    assert changed_weights(net, source) == set()
    assert net.network_ is not before  # who predicts meanwhile has the weights of before, all of them
    weights = net.get_weights()
    weights["conv1/weight"][...] = 0
    assert changed_weights(net, source) == set()
    net.fit(X, Y)
    with pytest.raises(ValueError, match="conv1/bias"):
        net.set_weights({"conv1/weight": weights["conv1/weight"], "conv1/bias": np.zeros(7)})
    assert net.network_.params["conv1"]["weight"].any()


# Fixed scaling


def test_images_are_scaled_by_given_numbers():
    mean, deviation = np.array([1.0, 2.0]), 4
    scaled = make_net(input_scaling=(mean, deviation)).fit(X, Y)
    plain = make_net(input_scaling=None).fit((X - mean) / deviation, Y)
    np.testing.assert_allclose(
        scaled.decision_function(X), plain.decision_function((X - mean) / deviation), rtol=1e-6
    )
    scaled = make_net(input_scaling=[0, (1, 2)]).partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(10 * X, Y)
    assert scaled.model_.format.deviation.tolist() == [1, 2]
