"""What solver, schedule and averaging mean for the estimator: when it ends, what it keeps, how it goes on."""

import gc
import math
import pickle
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import fbeta_score, log_loss, make_scorer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, Dropout, GlobalAvgPool2D, ReLU, Residual
from skcnn import estimator as estimator_module
from skcnn.network.executor import Batch, Executor
from skcnn.training import fit as fit_module
from skcnn.training import lbfgs, loop, time_limit
from skcnn.training.fit import Fit

X, Y = load_digits(return_X_y=True)
X, Y = X[:300], Y[:300]
N_BATCHES = 3
CLASSES = np.arange(10)


def make_net(**params):
    defaults = {
        "averaging": None,
        "conv_layer_sizes": (8,),
        "hidden_layer_sizes": (32,),
        "batch_size": 100,
        "max_iter": 4,
        "learning_rate_init": 1e-2,
        "random_state": SEED,
    }
    return ConvNetClassifier(**(defaults | params))


def state_of(net):
    return [value for values in net.network_.params.values() for value in values.values()]


def assert_same_bits(net, other):
    for value, other_value in zip(state_of(net), state_of(other), strict=True):
        assert_array_equal(value, other_value)


def learning_rates(net):
    return [record["learning_rate"] for record in net.history_]


# L-BFGS


def test_lbfgs_trains_on_all_samples_at_once():
    net = make_net(solver="lbfgs", max_iter=40).fit(X, Y)
    assert net.score(X, Y) > 0.95
    assert net.n_iter_ == len(net.loss_curve_) == len(net.history_) == 40
    assert net.t_ == 40 * len(X)
    assert (np.diff(net.loss_curve_) < 0).all()
    assert net.loss_ == net.best_loss_ == net.loss_curve_[-1]
    assert set(net.history_[0]) == {"epoch", "step", "loss", "seconds"}
    assert [record["step"] for record in net.history_] == list(range(1, 41))
    assert net.batch_losses_ == net.loss_curve_


@pytest.mark.parametrize("name", ["batch_size", "learning_rate_init", "momentum", "clip_norm", "shuffle"])
def test_lbfgs_does_not_use_what_belongs_to_minibatches(name):
    other = {"batch_size": 7, "learning_rate_init": 0.5, "momentum": 0.1, "clip_norm": 1e-3, "shuffle": False}
    assert_same_bits(
        make_net(solver="lbfgs").fit(X, Y), make_net(solver="lbfgs", **{name: other[name]}).fit(X, Y)
    )


def test_lbfgs_ends_where_the_gradient_is_small():
    net = make_net(solver="lbfgs", max_iter=500, tol=1e-2, alpha=0.1).fit(X, Y)
    assert net.n_iter_ < 100


def test_lbfgs_has_no_partial_fit():
    net = make_net(solver="lbfgs")
    assert not hasattr(net, "partial_fit")
    assert hasattr(net.set_params(solver="adam"), "partial_fit")


def test_lbfgs_with_early_stopping_keeps_the_best_iterate():
    net = make_net(solver="lbfgs", max_iter=60, early_stopping=True, n_iter_no_change=3).fit(X, Y)
    assert net.n_iter_ < 60
    best = int(np.argmax(net.validation_scores_)) + 1
    assert best < net.n_iter_
    again = make_net(solver="lbfgs", max_iter=best, early_stopping=True, n_iter_no_change=60).fit(X, Y)
    assert_same_bits(net, again)


def test_lbfgs_goes_on_with_warm_start_from_where_it_was():
    net = make_net(solver="lbfgs", max_iter=5, warm_start=True).fit(X, Y)
    first = net.loss_
    net.fit(X, Y)
    assert len(net.loss_curve_) == 10
    assert net.loss_curve_[5] < first


def test_lbfgs_ends_in_time():
    assert make_net(solver="lbfgs", max_iter=10_000, max_time=1e-9).fit(X, Y).n_iter_ == 1


def test_lbfgs_computes_in_float32():
    net = make_net(solver="lbfgs", dtype="float32", max_iter=40).fit(X, Y)
    assert net.network_.vector.dtype == np.float32
    assert net.score(X, Y) > 0.9


def test_lbfgs_prints_its_iterations(capsys):
    make_net(solver="lbfgs", max_iter=3, verbose=True).fit(X, Y)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["1", "2", "3"]


# schedules


def test_step_schedule_counts_epochs_of_all_calls():
    params = {"learning_rate": "step", "step_size": 2, "step_factor": 0.5}
    expected = [0.01, 0.01, 0.005, 0.005]
    assert_allclose(learning_rates(make_net(**params).fit(X, Y)), expected, rtol=1e-15)
    net = make_net(**params)
    for _ in range(4):
        net.partial_fit(X, Y, CLASSES)
    assert_allclose(learning_rates(net), expected, rtol=1e-15)


def test_cosine_ends_near_zero_and_begins_anew_with_each_call():
    net = make_net(learning_rate="cosine", warm_start=True).fit(X, Y).fit(X, Y)
    shares = (np.arange(1, 5) * N_BATCHES - 1) / (4 * N_BATCHES)  # before the last step of each epoch
    expected = 0.01 * (1 + np.cos(np.pi * shares)) / 2
    assert_allclose(learning_rates(net), [*expected, *expected], rtol=1e-12)


def test_warmup_rises_step_by_step():
    net = make_net(warmup=2.0).fit(X, Y)
    assert_allclose(learning_rates(net), [0.005, 0.01, 0.01, 0.01], rtol=1e-15)


def test_warmup_is_not_repeated_by_partial_fit():
    net = make_net(warmup=2.0)
    for _ in range(3):
        net.partial_fit(X, Y, CLASSES)
    assert_allclose(learning_rates(net), [0.005, 0.01, 0.01], rtol=1e-15)


# averaging

EACH_AVERAGING = pytest.mark.parametrize(
    "params", [{"averaging": "ema"}, {"averaging": "swa", "averaging_start": 0.5}], ids=str
)


@EACH_AVERAGING
def test_averaging_changes_the_weights_but_not_the_training(params):
    net, plain = make_net(**params).fit(X, Y), make_net().fit(X, Y)
    assert net.loss_curve_ == plain.loss_curve_
    assert not np.array_equal(net.network_.vector, plain.network_.vector)


def test_average_of_epochs_is_that_of_the_last_quarter():
    """Two of eight epochs; the weights at their ends are those of shorter trainings."""
    net = make_net(averaging="swa", max_iter=8).fit(X, Y)
    ends = [make_net(max_iter=n_epochs).fit(X, Y).network_.vector for n_epochs in (7, 8)]
    assert_allclose(net.network_.vector, np.mean(ends, axis=0), rtol=1e-12, atol=1e-15)


def test_without_an_epoch_to_average_the_last_weights_are_kept():
    with pytest.warns(UserWarning, match="averaged nothing: training ended after 1 epochs, before"):
        net = make_net(averaging="swa", averaging_start=0.99, max_time=1e-9).fit(X, Y)
    assert_same_bits(net, make_net(max_time=1e-9).fit(X, Y))


def test_running_statistics_belong_to_the_average():
    """With one minibatch they are the statistics of that minibatch, computed by hand from the average."""
    net = make_net(averaging="ema", batch_size=300, input_scaling=None).fit(X, Y)
    mean, variance = statistics_by_hand(net, X)
    assert_allclose(net.network_.params["norm1"]["running_mean"], mean, rtol=1e-10)
    assert_allclose(net.network_.params["norm1"]["running_variance"], variance, rtol=1e-10)


def statistics_by_hand(net, images):
    """Return mean and variance of the results of the first convolution."""
    weight = net.network_.params["conv1"]["weight"]
    images = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    maps = np.einsum("nhwuv,uvf->nhwf", windows, weight[:, :, 0])
    return maps.mean(axis=(0, 1, 2)), maps.var(axis=(0, 1, 2))


@EACH_AVERAGING
def test_average_predicts_about_as_well(params):
    net, plain = make_net(max_iter=20, **params).fit(X, Y), make_net(max_iter=20).fit(X, Y)
    assert net.score(X, Y) > plain.score(X, Y) - 0.02


def test_moving_average_goes_on_bit_by_bit_with_warm_start():
    whole = make_net(averaging="ema", max_iter=4).fit(X, Y)
    halves = make_net(averaging="ema", max_iter=2, warm_start=True).fit(X, Y)
    halves = pickle.loads(pickle.dumps(halves)).fit(X, Y)
    assert_same_bits(whole, halves)


def test_moving_average_goes_on_bit_by_bit_with_partial_fit():
    whole = make_net(averaging="ema", max_iter=3, normalization=None).fit(X, Y)
    net = make_net(averaging="ema", normalization=None)
    for _ in range(3):
        net.partial_fit(X, Y, CLASSES)
    assert_same_bits(whole, net)


@pytest.mark.parametrize(
    ("method", "options"),
    [("fit", {}), ("fit", {"warm_start": True}), ("partial_fit", {}), ("ten calls", {})],
)
def test_a_few_samples_do_not_spoil_the_statistics_of_an_average(method, options):
    """A call with two of them moves running statistics, as in training; it does not replace them."""
    net = make_net(averaging="ema", input_scaling=None, **options)
    if method == "fit":
        net.fit(X, Y)
    for _ in range({"fit": 0, "partial_fit": 1, "ten calls": 10}[method]):
        net.partial_fit(X, Y, CLASSES)
    before = net.network_.params["norm1"]["running_mean"].copy()
    net.partial_fit(X[:2], Y[:2])
    part = 2 / 64  # of an update, which two samples are worth
    n_updates = part + (10 if method == "ten calls" else 1) * N_BATCHES
    share = (1 - 0.9**part) / (1 - 0.9**n_updates)
    mean, _ = statistics_by_hand(net, X[:2])
    assert_allclose(net.network_.params["norm1"]["running_mean"], before + share * (mean - before))


def test_statistics_of_an_average_count_their_minibatches():
    """So that the next one gets a share like that of each of them."""
    net = make_net(averaging="ema", warm_start=True).fit(X, Y)
    assert net.network_.params["norm1"]["n_updates"] == N_BATCHES
    assert net.partial_fit(X, Y).network_.params["norm1"]["n_updates"] == 2 * N_BATCHES


def test_an_average_that_is_validated_takes_statistics_of_some_samples(monkeypatch):
    """Of many samples, minibatches from all over them; without validation, all."""
    monkeypatch.setattr("skcnn.training.fit.VALIDATED_SAMPLES", 50)
    images, labels = np.repeat(X, 2, axis=0), np.repeat(Y, 2)
    net = make_net(averaging="ema", batch_size=10, max_iter=1, shuffle=False, input_scaling=None)
    net.fit(images, labels)
    assert net.network_.params["norm1"]["n_updates"] == 60
    net.set_params(early_stopping=True).fit(images, labels, X_val=X, y_val=Y)
    assert net.network_.params["norm1"]["n_updates"] == 5
    chosen = np.concatenate([images[start : start + 10] for start in (0, 140, 290, 440, 590)])
    mean, _ = statistics_by_hand(net, chosen)
    assert_allclose(net.network_.params["norm1"]["running_mean"], mean, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}], ids=str)
def test_the_end_of_the_time_leaves_an_average_with_statistics(options):
    """Of two minibatches, however short it was."""
    net = make_net(averaging="ema", max_time=1e-9, **options).fit(X, Y)
    assert net.n_iter_ == 1
    assert net.t_ == (90 if options else 100)
    assert net.network_.params["norm1"]["n_updates"] == 2


class Clock:
    """Shows how much was computed."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def slow_down(self, owner, name, seconds, monkeypatch):
        """Let a function take some seconds, or so many for each sample of its minibatch."""
        whole = getattr(owner, name)

        def slow(*arguments, **options):
            n_rows = sum(one.n_rows for one in arguments if isinstance(one, Batch))
            self.now += seconds * (n_rows or 1)
            return whole(*arguments, **options)

        monkeypatch.setattr(owner, name, slow)


@pytest.fixture
def clock(monkeypatch):
    """A second for each sample that passes forward, two more for its way back, and 300 before training."""
    clock = Clock()
    for module in (estimator_module, loop, time_limit, lbfgs):
        monkeypatch.setattr(module, "time", clock)
    for name, seconds in {"gradients": 3, "statistics": 1, "predict": 1, "results": 1}.items():
        clock.slow_down(Executor, name, seconds, monkeypatch)
    clock.slow_down(estimator_module, "standardize", 200, monkeypatch)
    clock.slow_down(fit_module, "initialize_from_data", 100, monkeypatch)
    return clock


TIMED = {
    "plain": {},
    "average": {"averaging": "ema"},
    "average of epochs": {"averaging": "swa", "averaging_start": 0.0},
    "validation": {"early_stopping": True, "validation_fraction": 0.3},
    "scorer": {"early_stopping": True, "validation_fraction": 0.3, "scoring": "accuracy"},
    "average and validation": {"averaging": "ema", "early_stopping": True, "validation_fraction": 0.3},
}


@pytest.mark.parametrize("params", TIMED.values(), ids=TIMED)
@pytest.mark.parametrize("max_time", [900, 2000, 5000])
def test_a_fit_ends_in_time(clock, params, max_time):
    """With all that comes before and after training, give or take a minibatch of thirty seconds."""
    params = {"n_iter_no_change": 1000, **params}
    net = make_net(**params, batch_size=10, max_iter=1000, max_time=max_time).fit(X, Y)
    assert max_time - 100 < clock.now < max_time + 100
    assert net.t_ > 20


@pytest.mark.parametrize(("max_time", "n_updates"), [(1, 2), (1230, 3), (1600, 4), (10_000, 30)])
def test_statistics_of_an_average_take_the_time_there_is(clock, monkeypatch, max_time, n_updates):
    """Ten seconds a sample, so that training leaves too little."""
    clock.slow_down(Executor, "statistics", 9, monkeypatch)
    net = make_net(averaging="ema", batch_size=10, max_iter=1, max_time=max_time).fit(X, Y)
    assert net.network_.params["norm1"]["n_updates"] == n_updates


@pytest.mark.parametrize("averaging", [None, "ema"])
def test_a_further_partial_fit_ends_in_time(clock, averaging):
    net = make_net(averaging=averaging, batch_size=10).fit(X, Y)
    clock.now = 0.0
    net.set_params(max_time=600).partial_fit(X, Y)
    assert 500 < clock.now < 700


def test_lbfgs_ends_with_the_iteration_in_which_the_time_is_over(clock):
    net = make_net(solver="lbfgs", max_iter=1000, max_time=300 + 10 * 900).fit(X, Y)
    assert clock.now >= 300 + 10 * 900
    assert 1 < net.n_iter_ <= 10


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_statistics_of_an_average_do_not_suffer_from_samples_in_order(averaging):
    """Minibatches of one class each would have a third of the variance of all samples."""
    images = generator(0).normal(size=(300, 8, 8)) * 0.3 + 2 * Y[:, np.newaxis, np.newaxis]
    order = np.argsort(Y, kind="stable")
    net = make_net(averaging=averaging, input_scaling=None).fit(images[order], Y[order])
    _, variance = statistics_by_hand(net, images)
    assert_allclose(net.network_.params["norm1"]["running_variance"], variance, rtol=0.05)


def test_lbfgs_that_is_content_with_the_start_has_its_statistics():
    net = make_net(solver="lbfgs", tol=100.0).fit(X, Y)
    assert net.n_iter_ == len(net.history_) == 1
    assert net.loss_ == net.best_loss_ == pytest.approx(log_loss(Y, net.predict_proba(X)), abs=1e-2)
    assert net.network_.params["norm1"]["running_mean"].any()


@pytest.mark.costly
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_seconds_of_an_epoch_are_those_of_training(solver):
    """However long a score takes: here longer than all epochs together may."""

    def slow(estimator, X, y):
        time.sleep(0.3)
        return 0.0

    net = make_net(solver=solver, early_stopping=True, scoring=slow)
    start = time.perf_counter()
    net.fit(X, Y)
    elapsed = time.perf_counter() - start
    assert sum(record["seconds"] for record in net.history_) < elapsed - 4 * 0.3


def test_dropout_of_nothing_goes_with_lbfgs():
    assert make_net(layers=[Dropout(0.0)], solver="lbfgs").fit(X, Y).n_iter_ == 4


def test_an_average_begins_anew_after_lbfgs():
    net = make_net(averaging="ema", warm_start=True).fit(X, Y)
    net.set_params(averaging=None, solver="lbfgs", max_iter=40).fit(X, Y)
    score = net.score(X, Y)
    net.set_params(averaging="ema", solver="adam", learning_rate_init=1e-5, max_iter=1).fit(X, Y)
    assert abs(net.score(X, Y) - score) < 0.05


@pytest.mark.parametrize(
    "params",
    [{"learning_rate": "step", "step_factor": 0.1, "step_size": 2}, {"warmup": 2.0}, {"solver": "rmsprop"}],
    ids=str,
)
def test_hyperparameters_of_numpy_give_the_bits_of_python_numbers(params):
    params = {**params, "batch_size": 100, "learning_rate_init": 0.01, "beta_2": 0.9, "epsilon": 1e-8}
    params["dtype"] = "float32"
    as_numpy = {
        name: value if isinstance(value, str) else (np.int64 if isinstance(value, int) else np.float64)(value)
        for name, value in params.items()
    }
    assert_same_bits(make_net(**params).fit(X, Y), make_net(**as_numpy).fit(X, Y))


def test_training_goes_on_from_the_last_weights_when_averaging_is_switched_off():
    whole = make_net(max_iter=4).fit(X, Y)
    net = make_net(averaging="ema", max_iter=2, warm_start=True).fit(X, Y)
    net.set_params(averaging=None).fit(X, Y)
    assert_array_equal(net.network_.vector, whole.network_.vector)


def test_an_average_that_was_interrupted_begins_anew():
    """What it had before a call without averaging is as if it had never been."""
    net = make_net(averaging="ema", max_iter=2, warm_start=True).fit(X, Y)
    other = make_net(max_iter=2, warm_start=True).fit(X, Y)
    for estimator in (net, other):
        estimator.set_params(averaging=None).fit(X, Y).set_params(averaging="ema").fit(X, Y)
    assert_same_bits(net, other)


@EACH_AVERAGING
def test_early_stopping_scores_the_average(params):
    params = {**params, "averaging_start": 0.0, "early_stopping": True}  # so that max_iter does not matter
    net, plain = make_net(max_iter=6, **params).fit(X, Y), make_net(max_iter=6, early_stopping=True).fit(X, Y)
    assert net.validation_scores_[-1] != plain.validation_scores_[-1]
    best = int(np.argmax(net.validation_scores_)) + 1
    assert_same_bits(net, make_net(max_iter=best, **params).fit(X, Y))


@EACH_AVERAGING
def test_pickle_carries_no_average(params):
    net, plain = make_net(**params).fit(X, Y), make_net().fit(X, Y)
    assert len(pickle.dumps(net)) < len(pickle.dumps(plain)) + 500


# going on


def test_another_loss_takes_effect_with_warm_start():
    net = make_net(warm_start=True).fit(X, Y)
    net.set_params(loss="hinge").fit(X, Y)
    assert not hasattr(net, "predict_proba")
    assert net.out_activation_ == "identity"


def test_warm_start_refuses_a_change_deep_within_a_container():
    branch = [layer for _ in range(30) for layer in (Conv2D(4), BatchNorm(), ReLU())]
    layers = [("conv1", Conv2D(4)), ("res1", Residual(branch)), ("pool", GlobalAvgPool2D())]
    net = make_net(layers=layers, warm_start=True, max_iter=1).fit(X[:20], Y[:20])
    changed = clone(net).set_params(res1__conv2d_20__kernel_size=1)
    net.set_params(layers=changed.layers)
    with pytest.raises(ValueError, match=r"training cannot go on: layer 'res1__conv2d_20'"):
        net.fit(X[:20], Y[:20])


@pytest.mark.parametrize("solver", ["sgd", "rmsprop", "nadam"])
@pytest.mark.parametrize("between", [{"solver": "adam"}, {"solver": "lbfgs"}], ids=str)
def test_another_solver_with_warm_start_begins_without_the_slots_of_the_one_before(between, solver):
    """As if the training until then had left nothing but its weights and counts."""
    net = make_net(warm_start=True, max_iter=2).fit(X, Y)
    net.set_params(**between).fit(X, Y)
    other = pickle.loads(pickle.dumps(net))
    other._training_state.slots.clear()
    other._training_state.n_updates = 0
    for estimator in (net, other):
        estimator.set_params(solver=solver).fit(X, Y)
    assert_same_bits(net, other)
    assert net._training_state.n_updates == 2 * N_BATCHES


def test_the_same_solver_with_warm_start_keeps_its_slots():
    whole = make_net(solver="nadam", max_iter=4).fit(X, Y)
    halves = make_net(solver="nadam", max_iter=2, warm_start=True).fit(X, Y).fit(X, Y)
    assert_same_bits(whole, halves)


@pytest.mark.parametrize(
    ("solver", "change", "kept"),
    [
        ("sgd", {"momentum": 0.5}, True),
        ("adam", {"epsilon": 1e-6}, True),
        ("adam", {"beta_1": 0.5}, False),
        ("rmsprop", {"beta_2": 0.9}, False),
    ],
    ids=str,
)
def test_only_a_change_of_decay_rates_makes_slots_begin_anew(solver, change, kept):
    net = make_net(solver=solver, max_iter=1, warm_start=True).fit(X, Y)
    net.set_params(**change).fit(X, Y)
    assert net._training_state.n_updates == (2 if kept else 1) * N_BATCHES


# combinations that cannot work


@pytest.mark.parametrize("partial", [False, True])
def test_adamw_refuses_decay_that_turns_weights_around(partial):
    net = make_net(solver="adamw", alpha=100.0, learning_rate_init=0.01)
    with pytest.raises(ValueError, match=r"got learning_rate_init=0.01 and alpha=100.0"):
        net.partial_fit(X, Y, CLASSES) if partial else net.fit(X, Y)
    net.set_params(alpha=99.0, max_iter=1).fit(X, Y)


def test_an_epsilon_that_vanishes_in_float32_is_refused():
    net = make_net(epsilon=1e-50, max_iter=1)
    with pytest.raises(ValueError, match=r"epsilon=1e-50 is zero in float32, expected at least 1\.\d+e-45"):
        net.set_params(dtype="float32").fit(X, Y)
    net.set_params(dtype="float64").fit(X, Y)
    net.set_params(dtype="float32", solver="sgd").fit(X, Y)  # which has none


def test_lbfgs_says_when_it_ends_short_of_its_tolerance():
    net = make_net(solver="lbfgs", tol=0.0, max_iter=10_000, dtype="float32", alpha=1.0)
    with pytest.warns(ConvergenceWarning, match="L-BFGS ended after .* larger than tol=0.0"):
        net.fit(X, Y)
    assert net.n_iter_ < 10_000


def test_divergence_is_one_warning():
    net = make_net(solver="sgd", learning_rate_init=1e12, averaging="swa")
    with pytest.warns(ConvergenceWarning, match="diverged") as caught:
        net.fit(X, Y)
    assert len(caught) == 1


def test_a_warmup_beyond_any_horizon_only_rises():
    net = make_net(warmup=1e308, max_iter=2).fit(X, Y)
    assert 0 < learning_rates(net)[0] < learning_rates(net)[1] < 1e-15


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr"])
def test_scores_of_probabilities_are_refused_with_a_hinge_before_training(scoring, capsys):
    net = make_net(loss="hinge", early_stopping=True, scoring=scoring, verbose=True)
    with pytest.raises(ValueError, match=rf"scoring='{scoring}' needs probabilities, which loss='hinge'"):
        net.fit(X, Y)
    assert capsys.readouterr().out == ""


# scorers and rare classes


def with_rare_class(n_rare, *, label=9):
    """Return digits of whose class with this label only so many are left."""
    rows = np.concatenate([np.flatnonzero(label != Y), np.flatnonzero(label == Y)[:n_rare]])
    return X[rows], Y[rows]


@pytest.mark.parametrize("n_rare", [2, 3])
@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "roc_auc_ovo", "top_k_accuracy"])
def test_scorers_of_probabilities_work_with_a_rare_class(scoring, n_rare):
    net = make_net(early_stopping=True, scoring=scoring, max_iter=2).fit(*with_rare_class(n_rare))
    assert np.isfinite(net.validation_scores_).all()


NEEDS_ALL = r"cannot score the validation samples, which lack class 9: .*[Cc]lasses"


@pytest.mark.parametrize("scoring", ["neg_brier_score", "roc_auc_ovr_weighted", "top_k_accuracy"])
@pytest.mark.parametrize("given", [False, True])
def test_scorers_that_need_a_class_that_is_missing_are_refused_before_training(scoring, given, capsys):
    """Since it has a single sample, or since the user's validation data lack it."""
    net = make_net(early_stopping=True, scoring=scoring, verbose=True)
    images, labels = with_rare_class(1)
    validation = {"X_val": images[:-1], "y_val": labels[:-1]} if given else {}
    with pytest.raises(ValueError, match=f"scoring='{scoring}' {NEEDS_ALL}"):
        net.fit(images, labels, **validation)
    assert capsys.readouterr().out == ""
    assert not hasattr(net, "model_")
    net.set_params(scoring=None, max_iter=1).fit(images, labels, **validation)


HOPELESS = {
    "no average": ("precision", Y, "Target is multiclass but average='binary'"),
    "no way for several": ("roc_auc", Y, "multi_class must be in"),
    "made": (make_scorer(fbeta_score, beta=2), Y, "Target is multiclass but average='binary'"),
    "no number": (make_scorer(lambda labels, predicted: np.nan), Y, "gave nan on the validation samples, "),
    "no such label": ("recall", Y > 4, "pos_label=1 is not a valid label"),
    "one class": ("roc_auc", Y < 0, "which lack class 'True': "),
    "no numbers": ("r2", Y > 4, "could not convert string to float"),
    "several missing": ("neg_log_loss", np.minimum(Y, 2) + 7, "which lack class 0 and 6 others: "),
}


@pytest.mark.filterwarnings("ignore:Only one class is present")
@pytest.mark.parametrize(("scoring", "y_val", "pattern"), HOPELESS.values(), ids=HOPELESS)
def test_scorers_that_cannot_work_are_refused_before_training(scoring, y_val, pattern):
    labels = Y
    if y_val.dtype == bool:
        labels, y_val = (Y > 4).astype(str), y_val.astype(str)
    net = make_net(early_stopping=True, scoring=scoring)
    with pytest.raises(ValueError, match=f"scoring=.* cannot score the validation samples.*{pattern}"):
        net.fit(X, labels, X_val=X, y_val=y_val)
    assert not hasattr(net, "model_")


def test_only_scorers_of_scikit_learn_are_tried_before_training():
    """Which see a model that is right about all samples, so that nothing is ill-defined by accident."""
    seen = []

    def score(estimator, images, labels):
        seen.append(estimator)
        return 0.5

    def correlation(labels, predicted):
        seen.append((labels == predicted).all())
        return np.corrcoef(labels, predicted)[0, 1]

    make_net(early_stopping=True, scoring=score).fit(X, Y)
    assert len(seen) == 4
    seen.clear()
    make_net(early_stopping=True, scoring=make_scorer(correlation)).fit(X, Y)
    assert len(seen) == 5
    assert seen[0]


def test_warnings_about_the_model_that_scorers_are_tried_with_do_not_reach_the_user():
    def ratio(labels, predicted):
        if (labels == predicted).all():
            warnings.warn("there are no mistakes to divide by", stacklevel=2)
        return 0.5

    net = make_net(early_stopping=True, scoring=make_scorer(ratio), max_iter=1).fit(X, Y)
    assert net.validation_scores_ == [0.5]


def test_metrics_without_sample_weights_get_none():
    weights = generator(0).uniform(0.5, 2.0, len(X))
    for metric in ("adjusted_rand_score", make_scorer(math.dist)):  # the latter has no signature
        net = make_net(early_stopping=True, scoring=metric, max_iter=2)
        assert len(net.fit(X, Y, weights).validation_scores_) == 2
    net.set_params(scoring="roc_auc_ovo")
    with pytest.raises(ValueError, match="scoring='roc_auc_ovo' .* sample_weight is not supported"):
        net.fit(X, Y, weights)


# the record of several calls


def test_the_best_loss_is_that_of_the_loss_in_force():
    net = make_net(warm_start=True, max_iter=2, loss="squared_hinge").fit(X, Y)
    assert net.best_loss_ == min(net.loss_curve_)
    net.set_params(loss="log_loss").fit(X, Y)
    assert len(net.loss_curve_) == 4
    assert net.best_loss_ == min(net.loss_curve_[2:])
    net.fit(X, Y)
    assert net.best_loss_ == min(net.loss_curve_[2:])


@pytest.mark.parametrize(
    "change", [{"alpha": 5.0}, {"label_smoothing": 0.5}, {"class_weight": {0: 9.0}}], ids=str
)
def test_the_best_loss_begins_anew_with_whatever_the_loss_is_made_of(change):
    net = make_net(warm_start=True, max_iter=2).fit(X, Y)
    net._history = replace(net._history, best_loss=0.0)  # as if training had been long
    assert net.fit(X, Y).best_loss_ == 0
    net.set_params(**change).fit(X, Y)
    assert net.best_loss_ == min(net.loss_curve_[4:])


@pytest.mark.parametrize("partial", [False, True])
def test_without_early_stopping_there_is_no_best_score_of_weights_long_gone(partial):
    net = make_net(warm_start=True, max_iter=2, early_stopping=True).fit(X, Y)
    assert net.best_loss_ is None
    net.set_params(early_stopping=False)
    net.partial_fit(X, Y) if partial else net.fit(X, Y)
    assert net.best_validation_score_ is None
    assert net.best_loss_ == min(net.loss_curve_[2:])


def test_the_best_score_is_of_the_scoring_in_force():
    """Accuracies beside negative losses would always be the best."""
    params = {"early_stopping": True, "validation_fraction": 0.3}
    net = make_net(warm_start=True, max_iter=2, scoring="accuracy", **params).fit(X, Y)
    assert net.best_validation_score_ == max(net.validation_scores_) > 0
    net.set_params(scoring=None).fit(X, Y)
    assert len(net.validation_scores_) == 4
    assert net.best_validation_score_ < 0


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_weights_is_that_of_each_fit(scale):
    """With warm start, too; only calls of partial_fit share one."""
    weights = generator(0).uniform(0.5, 2.0, len(X))
    nets = [make_net(warm_start=True, max_iter=1).fit(X, Y, sample_weight=weights) for _ in range(2)]
    for net, factor in zip(nets, (1.0, scale), strict=True):
        net.fit(X, Y, sample_weight=weights * factor)
    one, other = (net.network_.vector for net in nets)
    assert_allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("exponent", [-1000, -200, 200, 1000])
def test_weights_beyond_float32_give_the_bits_of_others(exponent):
    """Powers of two are exact."""
    weights = generator(0).uniform(0.5, 2.0, len(X))
    nets = [make_net(dtype="float32", max_iter=2) for _ in range(2)]
    nets[0].fit(X, Y, sample_weight=weights)
    nets[1].fit(X, Y, sample_weight=np.ldexp(weights, exponent))
    assert_same_bits(*nets)


def test_weights_that_are_tiny_beside_others_of_other_minibatches_stay_finite():
    weights = np.where(np.arange(len(X)) < 100, 1e-300, 1e300)
    net = make_net(dtype="float32", max_iter=2, shuffle=False).fit(X, Y, sample_weight=weights)
    assert all(np.isfinite(value).all() for value in state_of(net))


# what is so by default


@pytest.mark.parametrize(
    ("n_samples", "n_epochs"),
    [(1, 50), (4_000, 50), (4_001, 50), (4_082, 49), (12_000, 17), (20_000, 10), (10**7, 10)],
)
def test_epochs_follow_from_the_number_of_samples(n_samples, n_epochs):
    assert ConvNetClassifier()._n_epochs(n_samples) == n_epochs
    assert ConvNetClassifier(max_iter=3)._n_epochs(n_samples) == 3


@pytest.mark.parametrize(
    ("solver", "alpha"), [("adamw", 0.5), ("adam", 1e-4), ("sgd", 1e-4), ("lbfgs", 1e-4)]
)
def test_how_strongly_weights_decay_follows_from_the_solver(solver, alpha):
    assert_same_bits(*(make_net(solver=solver, **options).fit(X, Y) for options in ({}, {"alpha": alpha})))


@pytest.mark.costly
def test_probabilities_are_as_certain_as_they_are_right():
    """On half of the digits: the calibration error of the predicted class, and the loss of MLPClassifier."""
    digits, classes = load_digits(return_X_y=True)
    digits, others, classes, right = train_test_split(digits / 16, classes, test_size=0.5, random_state=SEED)
    net = ConvNetClassifier(dtype="float32", random_state=SEED).fit(digits, classes)
    probabilities = net.predict_proba(others)
    certainty, hits = probabilities.max(axis=1), net.predict(others) == right
    bins = np.minimum(15 * certainty, 14).astype(int)
    gaps = np.bincount(bins, weights=certainty - hits, minlength=15)
    assert np.abs(gaps).sum() / len(others) < 0.02
    perceptron = MLPClassifier(random_state=SEED, max_iter=1000).fit(digits, classes)
    assert log_loss(right, probabilities) < log_loss(right, perceptron.predict_proba(others))


def test_few_samples_are_seen_fifty_times():
    assert make_net(max_iter=None, n_iter_no_change=100).fit(X[:40], Y[:40]).n_iter_ == 50


def test_hinge_losses_smooth_no_labels():
    """Neither in training nor in the validation loss."""
    nets = [
        make_net(loss="hinge", early_stopping=True, label_smoothing=share).fit(X, Y) for share in (0.0, 0.5)
    ]
    assert_same_bits(*nets)
    assert nets[0].validation_scores_ == nets[1].validation_scores_


def test_the_default_network_goes_on_and_is_pickled_bit_by_bit():
    whole = ConvNetClassifier(max_iter=4, random_state=SEED).fit(X, Y)
    halves = ConvNetClassifier(max_iter=2, warm_start=True, random_state=SEED).fit(X, Y)
    halves = pickle.loads(pickle.dumps(halves)).fit(X, Y)
    assert_same_bits(whole, halves)
    again = pickle.loads(pickle.dumps(whole))
    assert_array_equal(again.predict_proba(X), whole.predict_proba(X))


def test_the_scaling_of_images_follows_a_stream():
    """As that of StandardScaler does, by weights that are relative to those of the first call."""
    stream = [0.01 * X[:50], X[50:200] + 100, X[200:]]
    weights = [np.full(50, 2.0), generator(5).uniform(0, 4, 150), np.full(100, 6.0)]
    net, scaler = make_net(), StandardScaler()
    for images, labels, weight in zip(stream, np.split(Y, [50, 200]), weights, strict=True):
        net.partial_fit(images, labels, CLASSES, sample_weight=weight)
        n_pixels = images[0].size
        scaler.partial_fit(images.reshape(-1, 1), sample_weight=np.repeat(weight, n_pixels))
    assert_allclose(net.model_.format.mean, scaler.mean_)
    assert_allclose(net.model_.format.deviation, scaler.scale_)
    fitted = make_net().fit(np.concatenate(stream), Y)
    fitted.partial_fit(stream[0], Y[:50])
    scaler = StandardScaler().fit(np.concatenate([*stream, stream[0]]).reshape(-1, 1))
    assert_allclose(fitted.model_.format.mean, scaler.mean_)
    assert_allclose(fitted.model_.format.deviation, scaler.scale_)


@pytest.mark.parametrize(
    ("prepare", "options", "kept"),
    [
        (None, {}, "No epoch was good: the weights are the initial ones"),
        ("fit", {"warm_start": True}, "The weights of before this call are kept"),
    ],
)
def test_the_warning_of_divergence_says_which_weights_are_kept(prepare, options, kept):
    net = make_net(solver="sgd", **options)
    if prepare:
        net.fit(X, Y)
    with pytest.warns(ConvergenceWarning, match=f"diverged: .*{kept}"):
        net.set_params(learning_rate_init=1e30, max_iter=1).fit(X, Y)
    assert net.predict(X).shape == Y.shape


@pytest.mark.parametrize("value", [1e8, 1e20, 3e38])
def test_a_chunk_far_out_is_refused(value):
    """Scaled by it, all images before would look alike, and after it, too."""
    net = make_net().fit(X, Y)
    before = net.predict_proba(X)
    chunk = X[:20].copy()
    chunk[3, 10] = value
    with pytest.raises(ValueError, match="X has values too far from those of the images before"):
        net.partial_fit(chunk, Y[:20])
    assert_array_equal(net.predict_proba(X), before)
    chunk[3, 10] = 1e3
    for _ in range(3):
        net.partial_fit(chunk, Y[:20]).partial_fit(X, Y)
    assert net.score(X, Y) > 0.9


@pytest.mark.costly
@pytest.mark.parametrize("first", [0 * X[:50], X[:1], 1e-3 * X[:50]], ids=["black", "one image", "dim"])
def test_a_first_chunk_unlike_the_others_does_not_spoil_a_stream(first):
    net = ConvNetClassifier(
        conv_layer_sizes=(8,), hidden_layer_sizes=(32,), normalization=None, random_state=SEED
    )
    net.partial_fit(first, np.arange(len(first)) % 3, CLASSES)
    for _ in range(25):
        for rows in np.array_split(np.arange(300), 5):
            net.partial_fit(X[rows], Y[rows])
    assert net.score(X, Y) > 0.9


BRIGHT_OR_DARK = generator(3).integers(0, 2, 240)


@pytest.mark.costly
@pytest.mark.parametrize(
    ("chunks", "n_passes"),
    [
        (np.arange(240)[:, np.newaxis], 2),
        (np.arange(240).reshape(-1, 2), 2),
        ([np.flatnonzero(BRIGHT_OR_DARK == k % 2)[k // 2 :: 10] for k in range(20)], 10),
    ],
    ids=["single samples", "two samples", "classes in turn"],
)
def test_chunks_that_say_nothing_about_others_teach_brightness(chunks, n_passes):
    """Which normalization over such a chunk alone would take away."""
    images = generator(4).normal(size=(240, 3, 3)) + 1.4 * BRIGHT_OR_DARK[:, np.newaxis, np.newaxis]
    net = ConvNetClassifier(
        conv_layer_sizes=(16,), kernel_size=1, pooling=None, hidden_layer_sizes=(32,), random_state=SEED
    )
    for _ in range(n_passes):
        for rows in chunks:
            net.partial_fit(images[rows], BRIGHT_OR_DARK[rows], [0, 1])
    assert net.score(images, BRIGHT_OR_DARK) > 0.9


@pytest.mark.costly
def test_the_default_network_learns_more_with_partial_fit():
    """A few samples a call, from the first one on or after fit."""
    parts = [slice(start, start + 50) for start in range(0, 300, 50)]
    streamed = ConvNetClassifier(random_state=SEED)
    for _ in range(10):
        for part in parts:
            streamed.partial_fit(X[part], Y[part], CLASSES)
    assert streamed.score(X, Y) > 0.97
    fitted = ConvNetClassifier(max_iter=10, random_state=SEED).fit(X, Y)
    before = fitted.score(X, Y)
    fitted.partial_fit(X[:1], Y[:1])
    assert fitted.score(X, Y) > before - 0.02


@pytest.mark.costly
@pytest.mark.parametrize("n_samples", [1, 10])
def test_partial_fit_after_fit_moves_the_average_by_a_step(n_samples):
    """The first steps of a new optimizer are large: alone, they would cost a quarter of the accuracy."""
    digits, classes = load_digits(return_X_y=True)
    train, others = slice(0, 300), slice(300, None)
    net = ConvNetClassifier(random_state=SEED).fit(digits[train], classes[train])
    before, n_steps = net.network_.vector.copy(), len(net.batch_losses_)
    accuracy = net.score(digits[others], classes[others])
    net.partial_fit(digits[:n_samples], classes[:n_samples])
    last = net._training_state.trained
    share = 1 - (1 + n_steps) / (10 + n_steps)
    assert_allclose(net.network_.vector - before, share * (last - before), rtol=1e-6, atol=1e-12)
    assert net.score(digits[others], classes[others]) > accuracy - 0.02


def test_a_warm_start_after_a_cold_fit_moves_the_average_by_a_step():
    net = ConvNetClassifier(max_iter=3, random_state=SEED).fit(X, Y)
    before, n_steps = net.network_.vector.copy(), len(net.batch_losses_)
    net.set_params(warm_start=True, max_iter=1, batch_size=len(X)).fit(X, Y)
    share = 1 - (1 + n_steps) / (10 + n_steps)
    last = net._training_state.trained
    assert_allclose(net.network_.vector - before, share * (last - before), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("first", [{"averaging": None}, {"averaging": "swa"}, {"solver": "lbfgs"}], ids=str)
def test_an_average_goes_on_from_the_weights_of_any_fit(first):
    net = make_net(max_iter=4, **first).fit(X, Y)
    before, n_steps = net.network_.vector.copy(), len(net.batch_losses_)
    net.set_params(averaging="ema", solver="adam", batch_size=len(X)).partial_fit(X, Y)
    share = 1 - (1 + n_steps) / (10 + n_steps)
    last = net._training_state.trained
    assert_allclose(net.network_.vector - before, share * (last - before), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "factor"),
    [({}, 1e25), ({"solver": "adam", "learning_rate_init": 1e300}, 1)],
    ids=["images", "rate"],
)
@pytest.mark.parametrize("after_partial_fit", [False, True])
def test_a_call_that_diverges_at_once_changes_nothing(options, factor, after_partial_fit):
    """Neither weights nor running statistics, whether there is an average to go on from or not."""
    images = X.astype(np.float32)
    net = ConvNetClassifier(max_iter=2, input_scaling=None, random_state=SEED).fit(images, Y)
    if after_partial_fit:
        net.partial_fit(images, Y)
    vector, state = net.network_.snapshot()
    with pytest.warns(ConvergenceWarning, match="diverged"):
        net.set_params(**options).partial_fit(images * np.float32(factor), Y)
    assert_array_equal(net.network_.vector, vector)
    for where, value in net.network_.buffers().items():
        assert_array_equal(value, state[where])


IMAGES = X.astype(np.float32)
EXPLODING = {"solver": "sgd", "learning_rate_init": 1e30, "batch_size": len(X), "conv_layer_sizes": (8, 8)}
OVERFLOWING = [Conv2D(4, activation="relu"), Conv2D(4), BatchNorm(), GlobalAvgPool2D()]
ONLY_STEPS = {
    "fit": {"max_iter": 1},
    "average": {"max_iter": 1, "averaging": "ema"},
    "without running statistics": {"max_iter": 1, "normalization": None},
    "out of time": {"batch_size": 100, "max_time": 1e-9},
    "validation loss": {"max_iter": 1, "early_stopping": True},
    "scorer": {"max_iter": 1, "early_stopping": True, "scoring": "accuracy"},
    "scorer of an average": {"early_stopping": True, "scoring": "neg_log_loss", "averaging": "swa"},
    "statistics of an average": {
        "layers": OVERFLOWING,
        "learning_rate_init": 1e11,
        "max_iter": 1,
        "averaging": "ema",
    },
}


@pytest.mark.parametrize("params", ONLY_STEPS.values(), ids=ONLY_STEPS)
def test_a_fit_whose_only_step_diverges_keeps_the_initial_weights(params):
    """Which predict, and nothing blames the images."""
    net, initial = make_net(**EXPLODING | params), make_net(**EXPLODING | params)
    with pytest.warns(ConvergenceWarning, match="Training diverged") as caught:
        net.fit(IMAGES, Y)
    assert len(caught) == 1
    initial.set_params(learning_rate_init=1e-30, max_iter=1).fit(IMAGES, Y)
    assert_allclose(net.network_.vector, initial.network_.vector, rtol=1e-6, atol=1e-12)
    assert np.isfinite(net.decision_function(IMAGES)).all()


def test_a_first_partial_fit_that_diverges_keeps_the_initial_weights():
    net = make_net(**EXPLODING)
    with pytest.warns(ConvergenceWarning, match="Training diverged"):
        net.partial_fit(IMAGES, Y, CLASSES)
    assert np.isfinite(net.predict_log_proba(IMAGES)).all()
    net.set_params(learning_rate_init=1e-2).partial_fit(IMAGES, Y)
    assert net.n_iter_ == 1


@pytest.mark.parametrize("averaging", [None, "ema"])
@pytest.mark.parametrize("partial", [True, False])
def test_a_further_call_whose_only_step_diverges_changes_nothing(averaging, partial):
    net = make_net(averaging=averaging, warm_start=True).fit(IMAGES, Y)
    before = net.predict_proba(IMAGES)
    net.set_params(**EXPLODING | {"conv_layer_sizes": (8,), "max_iter": 1})
    with pytest.warns(ConvergenceWarning, match="Training diverged"):
        net.partial_fit(IMAGES, Y) if partial else net.fit(IMAGES, Y)
    assert_array_equal(net.predict_proba(IMAGES), before)


@pytest.mark.parametrize("averaging", [None, "ema"])
def test_a_last_minibatch_that_diverges_takes_its_epoch_back(averaging):
    """No loss of a later one tells."""
    params = {"solver": "sgd", "shuffle": False, "input_scaling": None, "normalization": None, "max_iter": 1}
    net = make_net(averaging=averaging, **params)
    images = IMAGES * np.where(np.arange(len(X)) < 200, 1, 1e12)[:, np.newaxis].astype(np.float32)
    with pytest.warns(ConvergenceWarning, match="the scores ceased to be finite at step 3"):
        net.fit(images, Y)
    assert np.isfinite(net.decision_function(images)).all()
    assert np.abs(net.network_.vector).max() < 10


def test_callbacks_see_no_epoch_whose_weights_are_taken_back():
    pytest.importorskip("sklearn.callback")
    from sklearn.callback import ScoringMonitor

    net = make_net(**EXPLODING, max_iter=1).set_callbacks(ScoringMonitor(scoring="accuracy"))
    with pytest.warns(ConvergenceWarning, match="Training diverged"):
        net.fit(IMAGES, Y)
    assert np.isfinite(net.decision_function(IMAGES)).all()


def living_fits():
    return {id(thing) for thing in gc.get_objects() if isinstance(thing, Fit)}


def test_a_fit_that_diverges_leaves_nothing_to_the_garbage_collector():
    """Which an error does that is kept, by its traceback."""
    net = make_net(solver="sgd", learning_rate_init=1e18, input_scaling=None)
    of_other_tests = living_fits()
    gc.disable()
    try:
        with pytest.warns(ConvergenceWarning, match="diverged"):
            net.fit(X, Y)
        assert living_fits() <= of_other_tests
    finally:
        gc.enable()


def test_a_scorer_sees_the_history_of_the_calls_before():
    seen = []

    def scorer(estimator, X, y):
        seen.append((estimator.n_iter_, len(estimator.history_), estimator.t_))
        return 0.5

    net = make_net(early_stopping=True, scoring=scorer, max_iter=2, warm_start=True).fit(X, Y)
    assert set(seen) == {(0, 0, 0)}
    seen.clear()
    n_iter, t = net.n_iter_, net.t_
    net.fit(X, Y)
    assert set(seen) == {(n_iter, n_iter, t)}
