"""Tests of training on all samples at once by L-BFGS."""

import math
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from cuts import FINE
from scipy.special import softmax
from seeds import SEED, generator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from small_trainings import (
    N_CLASSES,
    SHAPE,
    InterruptedLoss,
    all_bits,
    assert_statistics,
    default_handler,
    full_network,
    make_data,
    make_network,
    naive_statistics,
    normalized_network,
    objective,
    repetitions,
)

from skcnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, SpatialDropout2D, Tanh
from skcnn.network.executor import Executor
from skcnn.network.losses import LOSSES, LogLoss
from skcnn.network.threads import worker_pool
from skcnn.training.lbfgs import FullBatch, minimize_lbfgs
from skcnn.training.loop import DivergenceError, make_batch
from skcnn.training.state import TrainingState


def minimize(network, data, *, state=None, tol=1e-8, goes_on=None, n_epochs=15, **changes):
    """Minimize and return the records."""
    records, state = [], TrainingState(seed=SEED) if state is None else state
    goal = objective(optimizer=None, schedule=None, n_epochs=n_epochs, tol=tol, **changes)

    def take(record):
        records.append(record)
        return True if goes_on is None else goes_on(record)

    with worker_pool() as pool:
        minimize_lbfgs(network, data, state, goal, pool=pool, goes_on=take)
    return records


def losses_of(records):
    return [record["loss"] for record in records]


def naive_loss(network, data, *, alpha=0.0, loss=None):
    """Return the loss of all samples, penalty included, by the scores of one forward pass in training."""
    loss, scores = LogLoss() if loss is None else loss, []

    class Catching(type(loss)):
        def gradient(self, values, targets, weights, out):
            scores.append(loss.values(values.copy(), targets) @ weights)
            return super().gradient(values, targets, weights, out)

    goal = objective(loss=loss)
    with worker_pool() as pool:
        executor = Executor(network, pool, training=True, seed=SEED)
        executor.gradients(
            make_batch(data, np.arange(len(data.codes)), network, goal, number=0, epoch=0), Catching()
        )
    return sum(scores) + alpha / 2 * float((network.vector[: network.n_decayed] ** 2).sum())


# --- the optimum ---


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_single_layer_reaches_the_optimum_of_logistic_regression(n_classes, weighted):
    """The penalty of scikit-learn is half the squares against C times the sum of losses.

    With two classes it has one vector of weights, ours two of half its length at the optimum: half the
    penalty.
    """
    rng, alpha = generator(5), 0.02
    weights = rng.uniform(0.2, 3, 80) if weighted else None
    network = make_network(Flatten(), Dense(n_classes))
    data = make_data(80, weights=weights, n_classes=n_classes)
    X = data.images.X.reshape(80, -1)
    records = minimize(network, data, alpha=alpha, n_epochs=300)
    total = 80 if weights is None else weights.sum()
    theirs = LogisticRegression(C=(2 if n_classes == 2 else 1) / (alpha * total), tol=1e-9, max_iter=2000)
    theirs.fit(X, data.codes, weights)
    params = network.params["layer1"]
    ours = softmax(X @ params["weight"] + params["bias"], axis=1)
    np.testing.assert_allclose(ours, theirs.predict_proba(X), rtol=0, atol=1e-4)
    assert len(records) < 300


@pytest.mark.filterwarnings("ignore:L-BFGS ended after")  # hinge losses and ReLU have kinks, where it may end
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_never_rises_from_record_to_record(loss):
    records = minimize(normalized_network(), make_data(), loss=LOSSES[loss](), alpha=1e-3, n_epochs=30)
    losses = losses_of(records)
    assert len(losses) > 5
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 2


def test_a_start_at_the_optimum_is_converged():
    """No component of the gradient is larger than tol; what is recorded is the loss of the start."""
    network, data = make_network(), make_data()
    losses = losses_of(minimize(network, data, alpha=0.1, n_epochs=300))
    before, state = network.vector.copy(), TrainingState(seed=SEED)
    (record,) = minimize(network, data, state=state, alpha=0.1, tol=1e-3, goes_on=lambda record: False)
    assert record["loss"] == losses[-1]
    assert record["epoch"] == state.epoch == 1
    np.testing.assert_array_equal(network.vector, before)


def test_the_number_of_evaluations_does_not_end_the_search(monkeypatch):
    """However many iterations are asked for; scipy would stop at 15,000 evaluations by itself."""
    passed = {}

    def stop(fun, x0, *, options, **others):
        passed.update(options)
        fun(x0)
        return SimpleNamespace(status=1, jac=np.ones(1))

    monkeypatch.setattr("scipy.optimize.minimize", stop)
    minimize(make_network(), make_data(), n_epochs=10**6)
    assert passed["maxfun"] > 20 * passed["maxiter"] == 20 * 10**6


def test_a_smaller_tolerance_ends_later_and_nearer_to_the_optimum():
    largest = []
    for tol in (1e-1, 1e-3, 1e-5, 1e-7):
        network, data = make_network(), make_data()
        minimize(network, data, alpha=0.1, tol=tol, n_epochs=300)
        goal = objective(alpha=0.1)
        with worker_pool() as pool:
            executor = Executor(network, pool, training=True, seed=SEED)
            executor.gradients(make_batch(data, np.arange(20), network, goal, number=0, epoch=0), LogLoss())
            gradient = executor.reduce().copy()
        gradient[: network.n_decayed] += 0.1 * network.vector[: network.n_decayed]
        largest.append(np.abs(gradient).max())
        assert largest[-1] <= tol
    assert largest == sorted(largest, reverse=True)


# --- what stays behind ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_epochs", [1, 4, 15])
def test_the_network_holds_the_last_accepted_iterate(dtype, n_epochs):
    """In float32 the loss is computed from the weights as rounded, so it is the same to rounding errors."""
    network, data = normalized_network(dtype), make_data(dtype=dtype)
    records = minimize(network, data, alpha=0.01, n_epochs=n_epochs)
    assert len(records) == n_epochs
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert naive_loss(network, data, alpha=0.01) == pytest.approx(records[-1]["loss"], rel=tolerance)
    assert network.vector.dtype == dtype


@pytest.mark.parametrize("weighted", [False, True])
def test_running_statistics_are_those_of_all_samples_at_the_last_weights(weighted):
    """Those of earlier weights, and of trials that the search turned back from, are forgotten."""
    weights = generator(2).uniform(0.5, 2, 20) if weighted else None
    network, data = normalized_network(), make_data(weights=weights)
    seen = []

    def goes_on(record):
        expected = naive_statistics(network, data.images.X, weights)
        assert_statistics(network.buffers(), expected)
        seen.append(expected["layer2", "running_mean"][0])
        return True

    minimize(network, data, goes_on=goes_on, n_epochs=6)
    assert len(set(seen)) == 6
    assert_statistics(network.buffers(), naive_statistics(network, data.images.X, weights))


def test_an_iteration_counts_as_an_epoch_and_as_a_step_over_all_samples():
    state = TrainingState(seed=SEED, epoch=2, step=5, n_samples_seen=100)
    records = minimize(make_network(), make_data(), state=state, n_epochs=3)
    assert [record["epoch"] for record in records] == [3, 4, 5]
    assert state.step == 8
    assert all(record["batch_losses"] == [record["loss"]] for record in records)
    assert all(set(record) == {"epoch", "loss", "batch_losses", "seconds"} for record in records)
    assert all(0 < record["seconds"] < 60 and type(record["loss"]) is float for record in records)
    assert (state.epoch, state.step, state.n_samples_seen, state.slots) == (5, 8, 160, {})


def test_the_search_begins_with_the_weights_that_training_goes_on_from():
    """Not with their average that the network holds; slots of an optimizer are forgotten."""
    network, other, data = normalized_network(), normalized_network(), make_data()
    state = TrainingState(seed=SEED, slots={"velocity": network.vector.copy()}, trained=network.vector.copy())
    network.vector *= 0.5
    losses = losses_of(minimize(network, data, state=state, n_epochs=4))
    assert losses == losses_of(minimize(other, data, n_epochs=4))
    np.testing.assert_array_equal(network.vector, other.vector)
    assert state.slots == {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_search_to_the_very_end_stays_downhill(dtype):
    """Where rounding errors leave nothing to gain, in float32 long before the gradient is that small."""
    network, data = make_network(dtype=dtype), make_data(dtype=dtype)
    with pytest.warns(ConvergenceWarning, match=f"rounding errors of {np.dtype(dtype)} may be as large"):
        losses = losses_of(minimize(network, data, alpha=0.1, tol=1e-12, n_epochs=500))
    assert 10 < len(losses) < 100
    assert losses == sorted(losses, reverse=True)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert naive_loss(network, data, alpha=0.1) == pytest.approx(losses[-1], rel=tolerance)


@pytest.mark.parametrize("last", [1, 2, 5])
def test_the_search_stops_at_the_iteration_that_is_not_to_go_on(last):
    """With the network and the state that it has there, on the way of a search that goes on."""
    network, state = normalized_network(), TrainingState(seed=SEED)
    records = minimize(network, make_data(), state=state, goes_on=lambda record: record["epoch"] < last)
    assert len(records) == state.epoch == last
    other, other_state = normalized_network(), TrainingState(seed=SEED)
    longer = minimize(other, make_data(), state=other_state, n_epochs=last)
    assert losses_of(longer) == losses_of(records)
    assert all_bits(other, other_state) == all_bits(network, state)


def test_weights_equal_repetition():
    """Twelve iterations; L-BFGS multiplies the rounding errors of the first by about ten in each three."""
    results = []
    for data in repetitions(make_data()):
        network = normalized_network()
        records = minimize(network, data, alpha=0.01, label_smoothing=0.1, n_epochs=12)
        results.append((network, losses_of(records)))
    (first, first_losses), (second, second_losses) = results
    assert first_losses == pytest.approx(second_losses, rel=1e-9)
    np.testing.assert_allclose(first.vector, second.vector, rtol=0, atol=1e-8)
    assert_statistics(first.buffers(), second.buffers(), 1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_search_gives_the_same_bits_on_any_number_of_threads(dtype, cut_work, monkeypatch):
    cut_work(FINE)
    results = []
    for n_threads in (1, 2, 8):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        network = make_network(Conv2D(2), BatchNorm(), Tanh(), Flatten(), Dense(N_CLASSES), dtype=dtype)
        state = TrainingState(seed=SEED)
        records = minimize(network, make_data(dtype=dtype), state=state, alpha=0.01, n_epochs=8)
        results.append((all_bits(network, state), losses_of(records)))
    assert results[0] == results[1] == results[2]


# --- what goes wrong ---


@pytest.mark.parametrize("layer", [Dropout(0.5), SpatialDropout2D(0.5)])
def test_a_layer_that_is_random_in_training_is_refused_by_its_name(layer):
    network = make_network(Conv2D(2), layer, Flatten(), Dense(N_CLASSES))
    before = all_bits(network, TrainingState(seed=SEED))
    message = rf"solver='lbfgs' .*layer 'layer1', {type(layer).__name__}\(.*choose another solver"
    with pytest.raises(ValueError, match=message):
        minimize(network, make_data())
    assert all_bits(network, TrainingState(seed=SEED)) == before


def test_a_random_layer_within_others_is_refused():
    with pytest.raises(ValueError, match="layer 'layer4'"):
        minimize(full_network(), make_data())


def test_a_start_without_a_finite_loss_diverges():
    """The network and the state stay what they were."""
    network, state = normalized_network(), TrainingState(seed=SEED)
    network.vector[:] = 1e300
    before = all_bits(network, state)
    with pytest.raises(DivergenceError, match="the loss at the start is"):
        minimize(network, make_data(), state=state)
    assert all_bits(network, state) == before


class LossThatFails(LogLoss):
    """Is infinite, or has a gradient that is, at the points of some of its calls.

    A point of an earlier call keeps what it had, as for any function of the weights.
    """

    def __init__(self, failing_calls, *, in_gradient=False):
        self.failing_calls, self.in_gradient, self.fails = failing_calls, in_gradient, {}

    def gradient(self, scores, targets, weights, out):
        loss = super().gradient(scores, targets, weights, out)
        if not self.fails.setdefault(scores.tobytes(), len(self.fails) + 1 in self.failing_calls):
            return loss
        if self.in_gradient:
            out[0, 0] = np.inf
            return loss
        return math.inf


def test_a_start_without_a_finite_gradient_diverges():
    with pytest.raises(DivergenceError, match="or its gradient or a running statistic is not finite"):
        minimize(make_network(), make_data(), loss=LossThatFails([1], in_gradient=True))


@pytest.mark.parametrize("in_gradient", [False, True])
@pytest.mark.parametrize("failing_calls", [[2], [3], [6], [9], [2, 3, 4], [*range(2, 9)]], ids=str)
def test_the_search_turns_back_from_where_the_loss_is_not_finite(failing_calls, in_gradient, monkeypatch):
    """And goes on downhill to the same optimum."""
    monkeypatch.setenv("SKCNN_NUM_THREADS", "1")
    network, data = make_network(), make_data()
    loss = LossThatFails(failing_calls, in_gradient=in_gradient)
    losses = losses_of(minimize(network, data, loss=loss, alpha=0.1, n_epochs=300))
    assert losses == sorted(losses, reverse=True)
    expected = losses_of(minimize(make_network(), data, alpha=0.1, n_epochs=300))
    assert losses[-1] == pytest.approx(expected[-1], rel=1e-7)
    assert naive_loss(network, data, alpha=0.1) == pytest.approx(losses[-1], rel=1e-12)


@pytest.mark.parametrize("failing_call", [2, 4, 6, 8])
def test_a_step_to_where_the_loss_is_not_finite_is_cut_to_a_quarter(failing_call, monkeypatch):
    """Counted from the last iterate, wherever that is."""
    monkeypatch.setenv("SKCNN_NUM_THREADS", "1")
    trials = []

    class Recording(FullBatch):
        def __call__(self, weights):
            trials.append((weights.copy(), self.n_iterations))
            return super().__call__(weights)

    monkeypatch.setattr("skcnn.training.lbfgs.FullBatch", Recording)
    minimize(make_network(), make_data(), loss=LossThatFails([failing_call]), alpha=0.1)
    (iterate, before), (failed, after), (tried, _) = trials[failing_call - 2 : failing_call + 1]
    assert after == before + (failing_call > 2)  # the trial is the first one from this iterate
    np.testing.assert_allclose(tried - iterate, (failed - iterate) / 4, rtol=1e-6, atol=0)


@pytest.mark.parametrize("in_gradient", [False, True])
def test_a_loss_that_is_finite_nowhere_else_leaves_an_iterate_where_it_is(in_gradient):
    network, data = make_network(), make_data()
    loss = LossThatFails(range(6, 1000), in_gradient=in_gradient)
    with pytest.warns(ConvergenceWarning, match=r"L-BFGS ended after \d+ iterations because it found no sm"):
        losses = losses_of(minimize(network, data, loss=loss, alpha=0.1))
    assert losses == sorted(losses, reverse=True)
    assert naive_loss(network, data, alpha=0.1) == pytest.approx(losses[-1], rel=1e-12)


def scale(data, factor):
    data.images.X = data.images.X * factor
    return data


def test_running_statistics_that_overflow_at_the_start_are_divergence():
    """Though a loss after dividing by an infinite deviation is finite."""
    layers, state = (BatchNorm(), Flatten(), Dense(N_CLASSES)), TrainingState(seed=7)
    network = make_network(*layers, dtype=np.float32)
    before = all_bits(network, state)
    with pytest.raises(DivergenceError, match="at the start .* a running statistic is not finite"):
        minimize(network, scale(make_data(dtype=np.float32), 1e30), state=state)
    assert all_bits(network, state) == before


def test_weights_that_cease_to_be_finite_are_divergence():
    """SciPy steps to weights that are no numbers where squares of the gradient overflow."""
    network, state = make_network(), TrainingState(seed=7)
    before = all_bits(network, state)
    with pytest.raises(DivergenceError, match="a weight ceased to be finite in iteration 1"):
        minimize(network, scale(make_data(), 1e200), state=state)
    assert all_bits(network, state) == before


@pytest.fixture
def keyboard_interrupt():
    with default_handler():
        yield


@pytest.mark.parametrize("interrupted_call", [1, 2, 5, 9])
def test_an_interrupt_keeps_the_last_accepted_iterate(interrupted_call, keyboard_interrupt, monkeypatch):
    """The evaluation under way is not taken over, the state counts the iterations before it."""
    monkeypatch.setenv("SKCNN_NUM_THREADS", "1")  # the loss is computed in the main thread
    network, state = normalized_network(), TrainingState(seed=SEED)
    with pytest.raises(KeyboardInterrupt):
        minimize(network, make_data(), state=state, loss=InterruptedLoss(interrupted_call))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    other, other_state = normalized_network(), TrainingState(seed=SEED)
    if state.epoch:
        minimize(other, make_data(), state=other_state, n_epochs=state.epoch)
    assert state.epoch < interrupted_call
    assert (state.epoch > 0) == (interrupted_call > 2)
    assert all_bits(network, state) == all_bits(other, other_state)


def test_stop_iteration_in_the_callback_is_an_error():
    """SciPy takes it for a wish to stop."""

    def goes_on(record):
        raise StopIteration

    with pytest.raises(RuntimeError, match="a scorer or callback raised StopIteration"):
        minimize(normalized_network(), make_data(), goes_on=goes_on)


def test_an_error_in_the_callback_keeps_the_last_accepted_iterate():
    """Such as a validation loss that is not finite."""

    def goes_on(record):
        if record["epoch"] == 3:
            raise DivergenceError("the validation loss became nan")
        return True

    network, state = normalized_network(), TrainingState(seed=SEED)
    with pytest.raises(DivergenceError, match="validation"):
        minimize(network, make_data(), state=state, goes_on=goes_on)
    other, other_state = normalized_network(), TrainingState(seed=SEED)
    minimize(other, make_data(), state=other_state, n_epochs=3)
    assert all_bits(network, state) == all_bits(other, other_state)


def test_the_dtype_of_the_network_is_kept_whatever_the_search_computes_in():
    network = make_network(dtype=np.float32)
    memory = network.vector
    minimize(network, make_data(dtype=np.float32), n_epochs=5)
    assert network.vector is memory
    assert network.params["layer1"]["weight"].shape == (np.prod(SHAPE), N_CLASSES)
