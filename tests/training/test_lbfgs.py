"""Tests of training on all samples at once by L-BFGS."""

import math
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from seeds import SEED, generator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from small_trainings import (
    InterruptedLoss,
    all_bits,
    assert_statistics,
    default_handler,
    make_data,
    make_network,
    naive_statistics,
    normalized_network,
    objective,
    repetitions,
)

from skcnn.layers import BatchNorm, Dense, Flatten
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


def evaluate(network, data, alpha=0.0):
    """Return the loss of all samples in training and its gradient, penalty included."""
    batch = make_batch(data, np.arange(len(data.targets)), network, objective(), number=0, epoch=0)
    weights = network.vector[: network.n_decayed]
    with worker_pool() as pool:
        executor = Executor(network, pool, training=True, seed=SEED)
        loss = executor.gradients(batch, LogLoss()) + alpha / 2 * float((weights**2).sum())
        gradient = executor.reduce().copy()
    gradient[: network.n_decayed] += alpha * weights
    return loss, gradient


def assert_is_iterate(network, state, number):
    """Assert that network and state are what a search for so many iterations leaves."""
    other, other_state = normalized_network(), TrainingState(seed=SEED)
    if number:
        minimize(other, make_data(), state=other_state, n_epochs=number)
    assert state.epoch == number
    assert all_bits(network, state) == all_bits(other, other_state)


# --- the optimum ---


@pytest.mark.parametrize(("n_classes", "weighted"), [(2, False), (3, True)])
def test_a_single_layer_reaches_the_optimum_of_logistic_regression(n_classes, weighted):
    """Which takes half the squares against C times the losses, and for two classes one vector of weights."""
    rng, alpha = generator(5), 0.02
    weights = rng.uniform(0.2, 3, 80) if weighted else None
    network = make_network(Flatten(), Dense(n_classes))
    data = make_data(80, weights=weights, n_classes=n_classes)
    X = data.images.X.reshape(80, -1)
    records = minimize(network, data, alpha=alpha, n_epochs=300)
    total = 80 if weights is None else weights.sum()
    theirs = LogisticRegression(C=(2 if n_classes == 2 else 1) / (alpha * total), tol=1e-9, max_iter=2000)
    theirs.fit(X, data.targets, weights)
    params = network.params["layer1"]
    ours = softmax(X @ params["weight"] + params["bias"], axis=1)
    assert_allclose(ours, theirs.predict_proba(X), rtol=0, atol=1e-4)
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
    assert_array_equal(network.vector, before)


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
    for tol in (1e-1, 1e-4, 1e-7):
        network, data = make_network(), make_data()
        minimize(network, data, alpha=0.1, tol=tol, n_epochs=300)
        largest.append(np.abs(evaluate(network, data, alpha=0.1)[1]).max())
        assert largest[-1] <= tol
    assert largest == sorted(largest, reverse=True)


# --- what stays behind ---


def test_running_statistics_are_those_of_all_samples_at_the_last_weights():
    """Those of earlier weights, and of trials that the search turned back from, are forgotten."""
    weights = generator(2).uniform(0.5, 2, 20)
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
    assert_array_equal(network.vector, other.vector)
    assert state.slots == {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_search_to_the_very_end_stays_downhill(dtype):
    """Where rounding errors leave nothing to gain; the network holds the last accepted iterate."""
    network, data = make_network(dtype=dtype), make_data(dtype=dtype)
    memory = network.vector
    with pytest.warns(ConvergenceWarning, match=f"rounding errors of {np.dtype(dtype)} may be as large"):
        losses = losses_of(minimize(network, data, alpha=0.1, tol=1e-12, n_epochs=500))
    assert 10 < len(losses) < 100
    assert losses == sorted(losses, reverse=True)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert evaluate(network, data, alpha=0.1)[0] == pytest.approx(losses[-1], rel=tolerance)
    assert network.vector is memory


@pytest.mark.parametrize("last", [1, 5])
def test_the_search_stops_at_the_iteration_that_is_not_to_go_on(last):
    """With the network and the state that it has there."""
    network, state = normalized_network(), TrainingState(seed=SEED)
    records = minimize(network, make_data(), state=state, goes_on=lambda record: record["epoch"] < last)
    assert len(records) == last
    assert_is_iterate(network, state, last)


def test_weights_equal_repetition():
    """Twelve iterations; L-BFGS multiplies the rounding errors of the first by about ten in each three."""
    results = []
    for data in repetitions(make_data()):
        network = normalized_network()
        records = minimize(network, data, alpha=0.01, label_smoothing=0.1, n_epochs=12)
        results.append((network, losses_of(records)))
    (first, first_losses), (second, second_losses) = results
    assert first_losses == pytest.approx(second_losses, rel=1e-9)
    assert_allclose(first.vector, second.vector, rtol=0, atol=1e-8)
    assert_statistics(first.buffers(), second.buffers(), 1e-8)


# --- what goes wrong ---


class LossThatFails(LogLoss):
    """Is infinite, or has a gradient that is, at the points of some of its calls, whenever it is there."""

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


DIVERGING = {
    "loss": ((), np.float64, 1, LossThatFails([1]), "the loss at the start is inf"),
    "gradient": ((), np.float64, 1, LossThatFails([1], in_gradient=True), "at the start .* its gradient"),
    # though the loss after dividing by an infinite deviation is finite
    "statistics": ((BatchNorm(), Flatten(), Dense(3)), np.float32, 1e30, LogLoss(), "a running statistic is"),
    # SciPy steps to weights that are no numbers where squares of the gradient overflow
    "weights": ((), np.float64, 1e200, LogLoss(), "a weight .* in iteration 1"),
}


@pytest.mark.parametrize(("layers", "dtype", "factor", "loss", "message"), DIVERGING.values(), ids=DIVERGING)
def test_a_start_that_is_not_finite_is_divergence(layers, dtype, factor, loss, message):
    """The network and the state stay what they were."""
    network, data = make_network(*layers, dtype=dtype), make_data(dtype=dtype)
    data.images.X, state = data.images.X * factor, TrainingState(seed=SEED)
    before = all_bits(network, state)
    with pytest.raises(DivergenceError, match=message):
        minimize(network, data, state=state, loss=loss)
    assert all_bits(network, state) == before


@pytest.mark.parametrize(
    ("failing_calls", "in_gradient"),
    [([2], False), ([3], True), ([9], False), ([2, 3, 4], True), ([*range(2, 9)], False)],
    ids=str,
)
def test_the_search_turns_back_from_where_the_loss_is_not_finite(failing_calls, in_gradient, monkeypatch):
    """And goes on downhill to the same optimum."""
    monkeypatch.setenv("SKCNN_NUM_THREADS", "1")
    network, data = make_network(), make_data()
    loss = LossThatFails(failing_calls, in_gradient=in_gradient)
    losses = losses_of(minimize(network, data, loss=loss, alpha=0.1, n_epochs=300))
    assert losses == sorted(losses, reverse=True)
    expected = losses_of(minimize(make_network(), data, alpha=0.1, n_epochs=300))
    assert losses[-1] == pytest.approx(expected[-1], rel=1e-7)
    assert evaluate(network, data, alpha=0.1)[0] == pytest.approx(losses[-1], rel=1e-12)


@pytest.mark.parametrize("failing_call", [2, 6])
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
    assert_allclose(tried - iterate, (failed - iterate) / 4, rtol=1e-6, atol=0)


def test_a_loss_that_is_finite_nowhere_else_leaves_an_iterate_where_it_is():
    network, data = make_network(), make_data()
    with pytest.warns(ConvergenceWarning, match=r"L-BFGS ended after \d+ iterations"):
        losses = losses_of(minimize(network, data, loss=LossThatFails(range(6, 1000)), alpha=0.1))
    assert losses == sorted(losses, reverse=True)
    assert evaluate(network, data, alpha=0.1)[0] == pytest.approx(losses[-1], rel=1e-12)


@pytest.mark.parametrize("interrupted_call", [1, 2, 5])
def test_an_interrupt_keeps_the_last_accepted_iterate(interrupted_call, monkeypatch):
    """The evaluation under way is not taken over, the state counts the iterations before it."""
    monkeypatch.setenv("SKCNN_NUM_THREADS", "1")  # the loss is computed in the main thread
    network, state = normalized_network(), TrainingState(seed=SEED)
    with default_handler():
        with pytest.raises(KeyboardInterrupt):
            minimize(network, make_data(), state=state, loss=InterruptedLoss(interrupted_call))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert state.epoch < interrupted_call
    assert (state.epoch > 0) == (interrupted_call > 2)
    assert_is_iterate(network, state, state.epoch)


@pytest.mark.parametrize(
    ("error", "raised"), [(StopIteration(), RuntimeError), (DivergenceError("loss"), DivergenceError)]
)
def test_an_error_in_the_callback_keeps_the_last_accepted_iterate(error, raised):
    """Such as a validation loss that is not finite; SciPy takes StopIteration for a wish to stop."""

    def goes_on(record):
        if record["epoch"] == 3:
            raise error
        return True

    network, state = normalized_network(), TrainingState(seed=SEED)
    with pytest.raises(raised, match="StopIteration|loss"):
        minimize(network, make_data(), state=state, goes_on=goes_on)
    assert_is_iterate(network, state, 3)
