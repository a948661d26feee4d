"""What solver, schedule and averaging mean for the estimator: when it ends, what it keeps, how it goes on."""

import gc
import math
import pickle
import warnings
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from small_classifiers import assert_same_weights, make_classifier

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, Dropout, GlobalAvgPool2D, ReLU, Residual
from skcnn import estimator as estimator_module
from skcnn.network.executor import Batch, Executor
from skcnn.training import fit as fit_module
from skcnn.training import lbfgs, loop, time_limit
from skcnn.training.fit import Fit
from skcnn.training.objective import choose_alpha, choose_n_epochs

DIGITS = load_digits(return_X_y=True)
X, Y = DIGITS[0][:300], DIGITS[1][:300]
N_BATCHES = 3
CLASSES = np.arange(10)
WEIGHTS = generator(0).uniform(0.5, 2.0, len(X))

make_net = partial(
    make_classifier,
    averaging=None,
    normalization="batch",
    activation="relu",
    conv_layer_sizes=(8,),
    hidden_layer_sizes=(32,),
    batch_size=100,
    max_iter=4,
)


def learning_rates(net):
    return [record["learning_rate"] for record in net.history_]


def norm_of(net):
    return net.network_.params["norm1"]


# L-BFGS


def test_lbfgs_trains_on_all_samples_at_once(capsys):
    net = make_net(solver="lbfgs", max_iter=40, verbose=True).fit(X, Y)
    assert net.score(X, Y) > 0.95
    assert net.n_iter_ == len(net.loss_curve_) == len(net.history_) == 40
    assert net.t_ == 40 * len(X)
    assert (np.diff(net.loss_curve_) < 0).all()
    assert net.loss_ == net.best_loss_ == net.loss_curve_[-1]
    assert set(net.history_[0]) == {"epoch", "step", "loss", "seconds"}
    assert [record["step"] for record in net.history_] == list(range(1, 41))
    assert net.batch_losses_ == net.loss_curve_
    assert len(capsys.readouterr().out.splitlines()) == 40


def test_lbfgs_does_not_use_what_belongs_to_minibatches():
    other = make_net(
        solver="lbfgs", batch_size=7, learning_rate_init=0.5, momentum=0.1, clip_norm=1e-3, shuffle=False
    )
    assert_same_weights(make_net(solver="lbfgs").fit(X, Y), other.fit(X, Y))


def test_lbfgs_has_no_partial_fit():
    net = make_net(solver="lbfgs")
    assert not hasattr(net, "partial_fit")
    assert hasattr(net.set_params(solver="adam"), "partial_fit")


@pytest.mark.costly
def test_lbfgs_with_early_stopping_keeps_the_best_iterate():
    net = make_net(solver="lbfgs", max_iter=60, early_stopping=True, n_iter_no_change=3).fit(X, Y)
    assert net.n_iter_ < 60
    best = int(np.argmax(net.validation_scores_)) + 1
    assert best < net.n_iter_
    again = make_net(solver="lbfgs", max_iter=best, early_stopping=True, n_iter_no_change=60).fit(X, Y)
    assert_same_weights(net, again)


def test_lbfgs_that_is_content_with_the_start_has_its_statistics():
    net = make_net(solver="lbfgs", tol=100.0).fit(X, Y)
    assert net.n_iter_ == len(net.history_) == 1
    assert net.loss_ == net.best_loss_ == pytest.approx(log_loss(Y, net.predict_proba(X)), abs=1e-2)
    assert norm_of(net)["running_mean"].any()


def test_dropout_of_nothing_goes_with_lbfgs():
    assert make_net(layers=[Dropout(0.0)], solver="lbfgs").fit(X, Y).n_iter_ == 4


# schedules


def test_steps_and_the_warmup_count_epochs_of_all_calls():
    params = {"learning_rate": "step", "step_size": 2, "step_factor": 0.5, "warmup": 2.0}
    expected = [0.005, 0.01, 0.005, 0.005]
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


def test_a_warmup_beyond_any_horizon_only_rises():
    net = make_net(warmup=1e308, max_iter=2).fit(X, Y)
    assert 0 < learning_rates(net)[0] < learning_rates(net)[1] < 1e-15


# averaging


def test_average_of_epochs_is_that_of_the_last_quarter():
    """Two of eight epochs; the weights at their ends are those of shorter trainings."""
    net = make_net(averaging="swa", max_iter=8).fit(X, Y)
    ends = [make_net(max_iter=n_epochs).fit(X, Y).network_.vector for n_epochs in (7, 8)]
    assert_allclose(net.network_.vector, np.mean(ends, axis=0), rtol=1e-12, atol=1e-15)


def test_without_an_epoch_to_average_the_last_weights_are_kept():
    with pytest.warns(UserWarning, match="averaging='swa' .* 1 epochs, before averaging_start=0.99 of 4"):
        net = make_net(averaging="swa", averaging_start=0.99, max_time=1e-9).fit(X, Y)
    assert_same_weights(net, make_net(max_time=1e-9).fit(X, Y))


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_early_stopping_scores_the_average(averaging):
    params = {"averaging": averaging, "averaging_start": 0.0}  # so that max_iter does not matter
    net, plain = (make_net(max_iter=6, early_stopping=True, **some).fit(X, Y) for some in (params, {}))
    assert net.loss_curve_ == plain.loss_curve_
    assert net.validation_scores_[-1] != plain.validation_scores_[-1]
    best = int(np.argmax(net.validation_scores_)) + 1
    assert_same_weights(net, make_net(max_iter=best, early_stopping=True, **params).fit(X, Y))


def test_moving_average_goes_on_bit_by_bit_with_partial_fit():
    whole = make_net(averaging="ema", max_iter=3, normalization=None).fit(X, Y)
    net = make_net(averaging="ema", normalization=None)
    for _ in range(3):
        net.partial_fit(X, Y, CLASSES)
    assert_same_weights(whole, net)


def test_an_average_that_was_interrupted_begins_anew():
    """From the last weights: what it had before a call without averaging is as if it had never been."""
    net = make_net(averaging="ema", max_iter=2, warm_start=True).fit(X, Y)
    other = make_net(max_iter=2, warm_start=True).fit(X, Y)
    for estimator in (net, other):
        estimator.set_params(averaging=None).fit(X, Y).set_params(averaging="ema").fit(X, Y)
    assert_same_weights(net, other)


@pytest.mark.costly
def test_the_default_network_goes_on_from_a_pickle_bit_by_bit():
    whole = ConvNetClassifier(max_iter=4, random_state=SEED).fit(X, Y)
    halves = ConvNetClassifier(max_iter=2, warm_start=True, random_state=SEED).fit(X, Y)
    assert_same_weights(whole, pickle.loads(pickle.dumps(halves)).fit(X, Y))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "first", [{"averaging": "ema"}, {"averaging": None}, {"averaging": "swa"}, {"solver": "lbfgs"}], ids=str
)
def test_a_step_moves_an_average_from_the_weights_of_any_fit_by_its_share(first, method):
    """The first steps of a new optimizer are large: alone, they would cost a quarter of the accuracy."""
    net = make_net(**first).fit(X, Y)
    before, n_steps = net.network_.vector.copy(), len(net.batch_losses_)
    net.set_params(averaging="ema", solver="adam", batch_size=len(X), max_iter=1, warm_start=True)
    getattr(net, method)(X, Y)
    share = 1 - (1 + n_steps) / (10 + n_steps)
    last = net._training_state.trained
    assert_allclose(net.network_.vector - before, share * (last - before), rtol=1e-6, atol=1e-12)


def statistics_by_hand(net, images):
    """Return mean and variance of the results of the first convolution."""
    weight = net.network_.params["conv1"]["weight"]
    images = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    maps = np.einsum("nhwuv,uvf->nhwf", windows, weight[:, :, 0])
    return maps.mean(axis=(0, 1, 2)), maps.var(axis=(0, 1, 2))


def test_statistics_of_an_average_do_not_suffer_from_samples_in_order():
    """Minibatches of one class each would have a third of the variance of all samples."""
    images = generator(0).normal(size=(300, 8, 8)) * 0.3 + 2 * Y[:, np.newaxis, np.newaxis]
    order = np.argsort(Y, kind="stable")
    net = make_net(averaging="ema", input_scaling=None).fit(images[order], Y[order])
    _, variance = statistics_by_hand(net, images)
    assert_allclose(norm_of(net)["running_variance"], variance, rtol=0.05)


@pytest.mark.parametrize("n_calls", [0, 1, 10])
def test_a_few_samples_do_not_spoil_the_statistics_of_an_average(n_calls):
    """After fit, or after calls of partial_fit, two of them move running statistics, as in training."""
    net = make_net(averaging="ema", input_scaling=None)
    for _ in range(n_calls):
        net.partial_fit(X, Y, CLASSES)
    if n_calls == 0:
        net.fit(X, Y)
    before = norm_of(net)["running_mean"].copy()
    net.partial_fit(X[:2], Y[:2])
    part = 2 / 64  # of an update, which two samples are worth
    n_updates = part + max(n_calls, 1) * N_BATCHES
    share = (1 - 0.9**part) / (1 - 0.9**n_updates)
    mean, _ = statistics_by_hand(net, X[:2])
    assert_allclose(norm_of(net)["running_mean"], before + share * (mean - before))


def test_an_average_that_is_validated_takes_statistics_of_some_samples(monkeypatch):
    """Of many samples, minibatches from all over them; without validation, all."""
    monkeypatch.setattr("skcnn.training.fit.VALIDATED_SAMPLES", 50)
    images, labels = np.repeat(X, 2, axis=0), np.repeat(Y, 2)
    net = make_net(averaging="ema", batch_size=10, max_iter=1, shuffle=False, input_scaling=None)
    net.fit(images, labels)
    assert norm_of(net)["n_updates"] == 60
    net.set_params(early_stopping=True).fit(images, labels, X_val=X, y_val=Y)
    assert norm_of(net)["n_updates"] == 5
    chosen = np.concatenate([images[start : start + 10] for start in (0, 140, 290, 440, 590)])
    mean, _ = statistics_by_hand(net, chosen)
    assert_allclose(norm_of(net)["running_mean"], mean, rtol=1e-6)


# time


@pytest.fixture
def clock(monkeypatch):
    """A second for each sample that passes forward, two more for its way back, and 300 before training."""
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)

    def slow_down(owner, name, seconds):
        """Let a function take some seconds, or so many for each sample of its minibatch."""
        whole = getattr(owner, name)

        def slow(*arguments, **options):
            n_rows = sum(one.n_rows for one in arguments if isinstance(one, Batch))
            clock.now += seconds * (n_rows or 1)
            return whole(*arguments, **options)

        monkeypatch.setattr(owner, name, slow)

    for module in (estimator_module, loop, time_limit, lbfgs):
        monkeypatch.setattr(module, "time", clock)
    for name, seconds in {"gradients": 3, "statistics": 1, "predict": 1, "results": 1}.items():
        slow_down(Executor, name, seconds)
    slow_down(estimator_module, "standardize", 200)
    slow_down(fit_module, "initialize_from_data", 100)
    clock.slow_down = slow_down
    return clock


VALIDATED = {"early_stopping": True, "validation_fraction": 0.3}
TIMED = {
    "plain": {},
    "average": {"averaging": "ema"},
    "average of epochs": {"averaging": "swa", "averaging_start": 0.0},
    "scorer": VALIDATED | {"scoring": "accuracy"},
    "average and validation": VALIDATED | {"averaging": "ema"},
}


@pytest.mark.parametrize("params", TIMED.values(), ids=TIMED)
@pytest.mark.parametrize("max_time", [900, 3000])
def test_a_fit_ends_in_time(clock, params, max_time):
    """With all that comes before and after training, give or take a minibatch of thirty seconds."""
    net = make_net(**params, n_iter_no_change=1000, batch_size=10, max_iter=1000, max_time=max_time)
    net.fit(X, Y)
    assert max_time - 100 < clock.now < max_time + 100
    assert net.t_ > 20


@pytest.mark.parametrize(("max_time", "n_updates"), [(1, 2), (1230, 3), (1600, 4), (10_000, 30)])
def test_statistics_of_an_average_take_the_time_there_is(clock, max_time, n_updates):
    """Ten seconds a sample, so that training leaves too little; two minibatches, however short it is."""
    clock.slow_down(Executor, "statistics", 9)
    net = make_net(averaging="ema", batch_size=10, max_iter=1, max_time=max_time).fit(X, Y)
    assert norm_of(net)["n_updates"] == n_updates


def test_lbfgs_ends_with_the_iteration_in_which_the_time_is_over(clock):
    net = make_net(solver="lbfgs", max_iter=1000, max_time=300 + 10 * 900).fit(X, Y)
    assert clock.now >= 300 + 10 * 900
    assert 1 < net.n_iter_ <= 10


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_seconds_of_an_epoch_are_those_of_training(clock, solver):
    def score(estimator, X, y):
        clock.now += 1e6
        return 0.0

    net = make_net(solver=solver, early_stopping=True, scoring=score).fit(X, Y)
    assert all(0 < record["seconds"] < 1e5 for record in net.history_)


# going on


def test_another_loss_takes_effect_with_warm_start():
    net = make_net(warm_start=True).fit(X, Y).set_params(loss="hinge").fit(X, Y)
    assert not hasattr(net, "predict_proba")
    assert net.out_activation_ == "identity"


def test_warm_start_refuses_a_change_deep_within_a_container():
    branch = [layer for _ in range(30) for layer in (Conv2D(4), BatchNorm(), ReLU())]
    layers = [("conv1", Conv2D(4)), ("res1", Residual(branch)), ("pool", GlobalAvgPool2D())]
    net = make_net(layers=layers, warm_start=True, max_iter=1).fit(X[:20], Y[:20])
    changed = clone(net).set_params(res1__conv2d_20__kernel_size=1)
    with pytest.raises(ValueError, match="layer 'res1__conv2d_20'"):
        net.set_params(layers=changed.layers).fit(X[:20], Y[:20])


@pytest.mark.parametrize(
    ("solver", "change", "n_epochs"),
    [("sgd", {"momentum": 0.5}, 2), ("adam", {"beta_1": 0.5}, 1), ("adam", {"solver": "nadam"}, 1)],
    ids=str,
)
def test_a_change_of_solver_or_decay_rates_makes_slots_begin_anew(solver, change, n_epochs):
    net = make_net(solver=solver, max_iter=1, warm_start=True).fit(X, Y)
    net.set_params(**change).fit(X, Y)
    assert net._training_state.n_updates == n_epochs * N_BATCHES


def test_the_scaling_of_images_follows_a_stream():
    """As that of StandardScaler does, by weights that are relative to those of the first call."""
    stream = [0 * X[:20], 0.01 * X[20:50], X[50:200] + 100, X[200:]]
    weights = [np.full(20, 2.0), np.full(30, 1.0), generator(5).uniform(0, 4, 150), np.full(100, 6.0)]
    net, scaler = make_net(), StandardScaler()
    for images, labels, weight in zip(stream, np.split(Y, [20, 50, 200]), weights, strict=True):
        net.partial_fit(images, labels, CLASSES, sample_weight=weight)
        scaler.partial_fit(images.reshape(-1, 1), sample_weight=np.repeat(weight, 64))
    fitted = make_net().fit(np.concatenate(stream), Y).partial_fit(stream[3], Y[200:])
    theirs = StandardScaler().fit(np.concatenate([*stream, stream[3]]).reshape(-1, 1))
    for ours, expected in ((net.model_.format, scaler), (fitted.model_.format, theirs)):
        assert_allclose(ours.mean, expected.mean_)
        assert_allclose(ours.deviation, expected.scale_)


@pytest.mark.parametrize("value", [1e8, 3e38])
def test_a_chunk_far_out_is_refused(value):
    net = make_net().fit(X, Y)
    before = net.predict_proba(X)
    chunk = X[:20].copy()
    chunk[3, 10] = value
    with pytest.raises(ValueError, match="X has values too far .* deviation would grow from"):
        net.partial_fit(chunk, Y[:20])
    assert_array_equal(net.predict_proba(X), before)
    chunk[3, 10] = 1e3
    for _ in range(8):
        net.partial_fit(chunk, Y[:20]).partial_fit(X, Y)
    assert net.score(X, Y) > 0.9


BRIGHT_OR_DARK = generator(3).integers(0, 2, 240)


@pytest.mark.costly
@pytest.mark.parametrize(
    ("chunks", "n_passes"),
    [
        (np.arange(240)[:, np.newaxis], 2),
        ([np.flatnonzero(BRIGHT_OR_DARK == k % 2)[k // 2 :: 10] for k in range(20)], 10),
    ],
    ids=["single samples", "classes in turn"],
)
def test_chunks_that_say_nothing_about_others_teach_brightness(chunks, n_passes):
    """Which normalization over such a chunk alone would take away."""
    images = generator(4).normal(size=(240, 3, 3)) + 1.4 * BRIGHT_OR_DARK[:, np.newaxis, np.newaxis]
    params = {"conv_layer_sizes": (16,), "kernel_size": 1, "pooling": None, "hidden_layer_sizes": (32,)}
    net = ConvNetClassifier(**params, random_state=SEED)
    for _ in range(n_passes):
        for rows in chunks:
            net.partial_fit(images[rows], BRIGHT_OR_DARK[rows], [0, 1])
    assert net.score(images, BRIGHT_OR_DARK) > 0.9


@pytest.mark.costly
def test_the_default_network_learns_more_with_partial_fit():
    streamed = ConvNetClassifier(random_state=SEED)
    for _ in range(10):
        for rows in np.array_split(np.arange(300), 6):
            streamed.partial_fit(X[rows], Y[rows], CLASSES)
    assert streamed.score(X, Y) > 0.97
    fitted = ConvNetClassifier(max_iter=10, random_state=SEED).fit(X, Y)
    before = fitted.score(X, Y)
    assert fitted.partial_fit(X[:1], Y[:1]).score(X, Y) > before - 0.02


# combinations that cannot work


@pytest.mark.parametrize("partial", [False, True])
def test_adamw_refuses_decay_that_turns_weights_around(partial):
    net = make_net(solver="adamw", alpha=100.0, learning_rate_init=0.01)
    with pytest.raises(ValueError, match="learning_rate_init=0.01 and alpha=100.0"):
        net.partial_fit(X, Y, CLASSES) if partial else net.fit(X, Y)
    net.set_params(alpha=99.0, max_iter=1).fit(X, Y)


def test_an_epsilon_that_vanishes_in_float32_is_refused():
    net = make_net(epsilon=1e-50, max_iter=1)
    with pytest.raises(ValueError, match=r"epsilon=1e-50 .* float32, expected at least 1\.\d+e-45"):
        net.set_params(dtype="float32").fit(X, Y)
    net.set_params(dtype="float64").fit(X, Y)
    net.set_params(dtype="float32", solver="sgd").fit(X, Y)  # which has none


# scorers and rare classes


def with_rare_class(n_rare):
    """Return digits of which only so many are a nine."""
    rows = np.concatenate([np.flatnonzero(Y != 9), np.flatnonzero(Y == 9)[:n_rare]])
    return X[rows], Y[rows]


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "roc_auc_ovo", "top_k_accuracy"])
def test_scorers_of_probabilities_work_with_a_rare_class(scoring):
    net = make_net(early_stopping=True, scoring=scoring, max_iter=2).fit(*with_rare_class(2))
    assert np.isfinite(net.validation_scores_).all()


@pytest.mark.parametrize("scoring", ["neg_brier_score", "top_k_accuracy"])
@pytest.mark.parametrize("given", [False, True])
def test_scorers_that_need_a_class_that_is_missing_are_refused_before_training(scoring, given, capsys):
    """Since it has a single sample, or since the user's validation data lack it."""
    net = make_net(early_stopping=True, scoring=scoring, verbose=True)
    images, labels = with_rare_class(1)
    validation = {"X_val": images[:-1], "y_val": labels[:-1]} if given else {}
    with pytest.raises(ValueError, match=f"scoring='{scoring}' .* lack class 9: .*[Cc]lasses"):
        net.fit(images, labels, **validation)
    assert capsys.readouterr().out == ""
    assert not hasattr(net, "model_")
    net.set_params(scoring=None, max_iter=1).fit(images, labels, **validation)


HOPELESS = {
    "no average": ("precision", Y, "average='binary'"),
    "no number": (make_scorer(lambda labels, predicted: np.nan), Y, "gave nan "),
    "several missing": ("neg_log_loss", np.minimum(Y, 2) + 7, "lack class 0 and 6 others: "),
}


@pytest.mark.parametrize(("scoring", "y_val", "pattern"), HOPELESS.values(), ids=HOPELESS)
def test_scorers_that_cannot_work_are_refused_before_training(scoring, y_val, pattern):
    net = make_net(early_stopping=True, scoring=scoring)
    with pytest.raises(ValueError, match=f"scoring=.* cannot score the validation samples.*{pattern}"):
        net.fit(X, Y, X_val=X, y_val=y_val)
    assert not hasattr(net, "model_")


def test_only_scorers_of_scikit_learn_are_tried_before_training():
    """With a model that is right about all samples, of which no warning reaches the user."""
    tried = []

    def score(estimator, images, labels):
        tried.append(False)
        return 0.5

    def metric(labels, predicted):
        tried.append((labels == predicted).all())
        if tried[-1]:
            warnings.warn("there are no mistakes to divide by", stacklevel=2)
        return 0.5

    for scoring in (score, make_scorer(metric)):
        assert make_net(early_stopping=True, scoring=scoring, max_iter=1).fit(X, Y).n_iter_ == 1
    assert tried == [False, True, False]


def test_metrics_without_sample_weights_get_none():
    for metric in ("adjusted_rand_score", make_scorer(math.dist)):  # the latter has no signature
        net = make_net(early_stopping=True, scoring=metric, max_iter=2)
        assert len(net.fit(X, Y, WEIGHTS).validation_scores_) == 2
    net.set_params(scoring="roc_auc_ovo")
    with pytest.raises(ValueError, match="scoring='roc_auc_ovo' .* sample_weight is not supported"):
        net.fit(X, Y, WEIGHTS)


def test_a_scorer_sees_the_history_of_the_calls_before():
    seen = []

    def scorer(estimator, X, y):
        seen.append((estimator.n_iter_, len(estimator.history_), estimator.t_))
        return 0.5

    make_net(early_stopping=True, scoring=scorer, max_iter=2, warm_start=True).fit(X, Y).fit(X, Y)
    assert seen == 2 * [(0, 0, 0)] + 3 * [(2, 2, 2 * 270)]  # also where it starts


# the record of several calls


@pytest.mark.parametrize(
    "change",
    [{"loss": "squared_hinge"}, {"alpha": 5.0}, {"label_smoothing": 0.5}, {"class_weight": {0: 9.0}}],
    ids=str,
)
def test_the_best_loss_begins_anew_with_whatever_the_loss_is_made_of(change):
    net = make_net(warm_start=True, max_iter=2).fit(X, Y)
    net._history = replace(net._history, best_loss=0.0)  # as if training had been long
    assert net.fit(X, Y).best_loss_ == 0
    for _ in range(2):
        net.set_params(**change).fit(X, Y)
        assert net.best_loss_ == min(net.loss_curve_[4:])


def test_the_best_score_is_of_the_scoring_in_force():
    """Accuracies beside negative losses would always be the best; without early stopping there is none."""
    net = make_net(warm_start=True, max_iter=2, scoring="accuracy", **VALIDATED).fit(X, Y)
    assert net.best_validation_score_ == max(net.validation_scores_) > 0
    assert net.best_loss_ is None
    net.set_params(scoring=None).fit(X, Y)
    assert len(net.validation_scores_) == 4
    assert net.best_validation_score_ < 0
    net.set_params(early_stopping=False).fit(X, Y)
    assert net.best_validation_score_ is None
    assert net.best_loss_ == min(net.loss_curve_[4:])


@pytest.mark.parametrize("exponent", [-1000, 1000])
def test_the_scale_of_weights_is_that_of_each_fit(exponent):
    """With warm start and beyond float32, too: powers of two are exact."""
    nets = [make_net(dtype="float32", warm_start=True, max_iter=2).fit(X, Y, WEIGHTS) for _ in range(2)]
    nets[0].fit(X, Y, WEIGHTS)
    nets[1].fit(X, Y, np.ldexp(WEIGHTS, exponent))
    assert_same_weights(*nets)


def test_weights_that_are_tiny_beside_others_of_other_minibatches_stay_finite():
    weights = np.where(np.arange(len(X)) < 100, 1e-300, 1e300)
    net = make_net(dtype="float32", max_iter=2, shuffle=False).fit(X, Y, sample_weight=weights)
    assert all(np.isfinite(value).all() for value in (net.network_.vector, *net.network_.buffers().values()))


# what is so by default


def test_epochs_follow_from_the_number_of_samples():
    n_epochs = {1: 50, 4_000: 50, 4_001: 50, 4_082: 49, 12_000: 17, 20_000: 10, 10**7: 10}
    assert {n_samples: choose_n_epochs({"max_iter": None}, n_samples) for n_samples in n_epochs} == n_epochs
    assert choose_n_epochs({"max_iter": 3}, 10**7) == 3
    assert make_net(max_iter=None, n_iter_no_change=100).fit(X[:40], Y[:40]).n_iter_ == 50


def test_the_decay_of_large_sets_follows_from_the_number_of_samples():
    params = {"alpha": "auto", "solver": "adamw"}
    decays = {1: 0.5, 24_000: 0.5, 60_000: 0.2, 120_000: 0.1}
    assert {n_samples: choose_alpha(params, n_samples) for n_samples in decays} == decays
    assert choose_alpha(params | {"alpha": 2}, 60_000) == 2
    assert choose_alpha(params | {"solver": "adam"}, 60_000) == 1e-4


@pytest.mark.parametrize(("solver", "alpha"), [("adamw", 0.5), ("adam", 1e-4), ("lbfgs", 1e-4)])
def test_how_strongly_weights_decay_follows_from_the_solver(solver, alpha):
    assert_same_weights(*(make_net(solver=solver, **options).fit(X, Y) for options in ({}, {"alpha": alpha})))


@pytest.mark.costly
def test_probabilities_are_as_certain_as_they_are_right():
    """On half of the digits: the calibration error of the predicted class, and the loss of MLPClassifier."""
    digits, classes = DIGITS
    digits, others, classes, right = train_test_split(digits / 16, classes, test_size=0.5, random_state=SEED)
    net = ConvNetClassifier(dtype="float32", random_state=SEED).fit(digits, classes)
    probabilities = net.predict_proba(others)
    certainty, hits = probabilities.max(axis=1), net.predict(others) == right
    bins = np.minimum(15 * certainty, 14).astype(int)
    gaps = np.bincount(bins, weights=certainty - hits, minlength=15)
    assert np.abs(gaps).sum() / len(others) < 0.02
    perceptron = MLPClassifier(random_state=SEED, max_iter=1000).fit(digits, classes)
    assert log_loss(right, probabilities) < log_loss(right, perceptron.predict_proba(others))


def test_hinge_losses_smooth_no_labels():
    params = {"loss": "hinge", "early_stopping": True}
    net, smooth = (make_net(**params, label_smoothing=share).fit(X, Y) for share in (0.0, 0.5))
    assert_same_weights(net, smooth)
    assert net.validation_scores_ == smooth.validation_scores_


def test_hyperparameters_of_numpy_give_the_bits_of_python_numbers():
    counts = {"batch_size": 100, "step_size": 2, "warmup": 2.0, "step_factor": 0.1}
    params = counts | {"learning_rate_init": 0.01, "beta_2": 0.9, "epsilon": 1e-8}
    options = {"dtype": "float32", "learning_rate": "step", "solver": "rmsprop"}
    as_numpy = {name: np.asarray(value)[()] for name, value in params.items()}
    assert_same_weights(make_net(**options, **params).fit(X, Y), make_net(**options, **as_numpy).fit(X, Y))


# divergence

IMAGES = X.astype(np.float32)
EXPLODING = {"solver": "sgd", "learning_rate_init": 1e30, "batch_size": len(X), "max_iter": 1}
OVERFLOWING = [Conv2D(4, activation="relu"), Conv2D(4), BatchNorm(), GlobalAvgPool2D()]
ONLY_STEPS = {
    "fit": {},
    "average": {"averaging": "ema"},
    "without running statistics": {"normalization": None},
    "out of time": {"batch_size": 100, "max_iter": 4, "max_time": 1e-9},
    "scorer of an average": {"early_stopping": True, "scoring": "neg_log_loss", "averaging": "swa"},
    "statistics of an average": {"layers": OVERFLOWING, "learning_rate_init": 1e11, "averaging": "ema"},
}


@pytest.mark.parametrize("params", ONLY_STEPS.values(), ids=ONLY_STEPS)
def test_a_fit_whose_only_step_diverges_keeps_the_initial_weights(params):
    params = EXPLODING | {"conv_layer_sizes": (8, 8)} | params
    net, initial = make_net(**params), make_net(**params)
    with pytest.warns(ConvergenceWarning, match="Training diverged: .* initial weights are kept") as caught:
        net.fit(IMAGES, Y)
    assert len(caught) == 1
    initial.set_params(learning_rate_init=1e-30, max_iter=1).fit(IMAGES, Y)
    assert_allclose(net.network_.vector, initial.network_.vector, rtol=1e-6, atol=1e-12)
    assert np.isfinite(net.decision_function(IMAGES)).all()


def test_a_first_partial_fit_that_diverges_keeps_the_initial_weights():
    net = make_net(**EXPLODING, conv_layer_sizes=(8, 8))
    with pytest.warns(ConvergenceWarning, match="Training diverged"):
        net.partial_fit(IMAGES, Y, CLASSES)
    assert np.isfinite(net.predict_log_proba(IMAGES)).all()
    assert net.set_params(learning_rate_init=1e-2).partial_fit(IMAGES, Y).n_iter_ == 1


@pytest.mark.parametrize("averaging", [None, "ema"])
@pytest.mark.parametrize(
    ("method", "warm_start"), [("fit", True), ("partial_fit", True), ("partial_fit", False)]
)
def test_a_further_call_that_diverges_at_once_changes_nothing(averaging, method, warm_start):
    """By images or by the rate; whether there is an average or a state to go on from or not."""
    net = make_net(averaging=averaging, warm_start=warm_start, input_scaling=None).fit(IMAGES, Y)
    before = pickle.loads(pickle.dumps(net))
    for params, images in (({}, IMAGES * np.float32(1e25)), (EXPLODING, IMAGES)):
        with pytest.warns(ConvergenceWarning, match="diverged: .* before this call are kept"):
            getattr(net.set_params(**params), method)(images, Y)
        assert_same_weights(net, before)


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
