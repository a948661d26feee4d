"""Tests of the training loop: what a step minimises, what an epoch yields, and how it is interrupted."""

import copy
import math
import pickle
import signal
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from cuts import FINE
from scipy.special import log_softmax, softmax
from seeds import SEED, generator
from small_trainings import (
    N_CLASSES,
    InterruptedLoss,
    all_bits,
    constant,
    default_handler,
    full_network,
    make_data,
    make_network,
    objective,
    repetitions,
    take_steps,
    train,
)

from skcnn.data.images import ImageSource
from skcnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, ReLU
from skcnn.network.cut import SECTION
from skcnn.network.losses import LogLoss
from skcnn.network.threads import worker_pool
from skcnn.training.loop import (
    DivergenceError,
    add_penalty,
    clip_norm,
    hold_interrupts,
    is_finite,
    make_batch,
    train_epochs,
)
from skcnn.training.optimizers import OPTIMIZERS, SGD, Adam, AdamW
from skcnn.training.schedules import AdaptiveRate, CosineRate, InverseScalingRate, OneCycleRate, StepRate
from skcnn.training.state import TrainingState
from skcnn.training.time_limit import TimeLimit
from skcnn.training.weight_averaging import ExponentialAverage, StochasticWeightAverage


@pytest.fixture
def keyboard_interrupt():
    with default_handler():
        yield


def one_step(network, data, goal, rows=None, state=None):
    """Take one step on all rows and return the loss and the change of the parameters."""
    before = network.vector.copy()
    rows = np.arange(len(data.images)) if rows is None else rows
    (loss,) = take_steps(network, data, goal, [rows], state)
    return loss, network.vector - before


def linear_scores(network, data):
    """Return the scores of a Dense layer on the flattened images."""
    params = network.params["layer1"]
    return data.images.X.reshape(len(data.images.X), -1) @ params["weight"] + params["bias"]


def naive_losses(network, data):
    return -log_softmax(linear_scores(network, data), axis=1)[np.arange(len(data.codes)), data.codes]


# --- what a step minimises ---


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_of_a_step_is_the_weighted_mean_and_the_penalty_of_the_weights(alpha, weighted):
    weights = generator(2).uniform(0.5, 2, 20) if weighted else None
    network, data = make_network(), make_data(weights=weights)
    cross_entropy = np.average(naive_losses(network, data), weights=weights)
    penalty = alpha / 2 * (network.params["layer1"]["weight"] ** 2).sum()
    loss, _ = one_step(network, data, objective(alpha=alpha))
    assert loss == pytest.approx(cross_entropy + penalty, rel=1e-13)


def test_the_loss_of_a_part_counts_weights_against_the_mean_of_all_samples():
    """Sum of weight times loss over the size of the batch times the mean weight of the training set."""
    weights = generator(2).uniform(0.5, 2, 20)
    network, data, rows = make_network(), make_data(weights=weights), np.array([3, 17, 5, 8])
    expected = (weights * naive_losses(network, data))[rows].sum() / (4 * weights.mean())
    assert one_step(network, data, objective(), rows)[0] == pytest.approx(expected, rel=1e-13)


def test_label_smoothing_spreads_the_targets():
    network, data = make_network(), make_data()
    logs = log_softmax(linear_scores(network, data), axis=1)
    targets = 0.7 * np.eye(N_CLASSES)[data.codes] + 0.3 / N_CLASSES
    loss, _ = one_step(network, data, objective(label_smoothing=0.3))
    assert loss == pytest.approx(-(targets * logs).sum(axis=1).mean(), rel=1e-13)


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_a_step_of_gradient_descent_is_the_gradient_of_loss_and_penalty(alpha):
    network, data = make_network(), make_data()
    X = data.images.X.reshape(20, -1)
    difference = (softmax(linear_scores(network, data), axis=1) - np.eye(N_CLASSES)[data.codes]) / 20
    weight, bias = (network.params["layer1"][name].copy() for name in ("weight", "bias"))
    one_step(network, data, objective(alpha=alpha))
    expected = weight - X.T @ difference - alpha * weight
    np.testing.assert_allclose(network.params["layer1"]["weight"], expected, rtol=0, atol=1e-14)
    expected = bias - difference.sum(axis=0)
    np.testing.assert_allclose(network.params["layer1"]["bias"], expected, rtol=0, atol=1e-14)


def test_the_penalty_takes_weights_only_and_adds_its_gradient():
    """Neither biases nor scales and shifts of a normalization."""
    network = full_network()
    weights = [network.params[name]["weight"] for name in ("layer0", "layer5", "layer7")]
    gradient = np.full(network.n_params, 2.0)
    penalty = add_penalty(network, gradient, 0.3)
    assert penalty == pytest.approx(0.15 * sum((weight**2).sum() for weight in weights), rel=1e-13)
    for name, params in network.views_of(gradient).items():
        for key, value in params.items():
            expected = 2 + 0.3 * network.params[name][key] if key == "weight" else 2
            np.testing.assert_allclose(value, np.broadcast_to(expected, value.shape), rtol=1e-15)


def test_the_penalty_of_a_vector_of_several_sections_in_float32():
    """Weights of 1, but for one section of 2, so that a section that is left out or doubled shows."""
    network = make_network(Flatten(), Dense(3 * SECTION // 24 + 7), dtype=np.float32)
    network.vector[...] = 1
    network.vector[SECTION : 2 * SECTION] = 2
    gradient = np.zeros_like(network.vector)
    n_decayed = 24 * (3 * SECTION // 24 + 7)
    assert add_penalty(network, gradient, 2.0) == pytest.approx(n_decayed + 3 * SECTION, rel=1e-6)
    np.testing.assert_array_equal(gradient[:n_decayed], 2 * network.vector[:n_decayed])
    assert not gradient[n_decayed:].any()
    assert gradient.dtype == np.float32


class Standstill(SGD):
    """Leaves the weights alone, so that only the decay changes them."""

    decouples_decay = True

    def update(self, weights, gradient, slots, *, step, learning_rate):
        pass


def test_decoupled_decay_shrinks_the_weights_only_and_is_no_part_of_the_loss():
    """Neither biases nor scales and shifts; the learning rate is 1."""
    network, data = make_network(Conv2D(2), BatchNorm(), Flatten(), Dense(N_CLASSES)), make_data()
    plain, before = copy.deepcopy(network), copy.deepcopy(network)
    loss, _ = one_step(network, data, objective(alpha=0.25, optimizer=Standstill()))
    plain_loss, _ = one_step(plain, data, objective())
    assert loss == plain_loss
    for name, params in network.views_of(network.vector).items():
        for key, value in params.items():
            factor = 0.75 if key == "weight" else 1
            np.testing.assert_array_equal(value, factor * before.params[name][key])


def test_a_step_of_adamw_is_that_of_adam_without_a_penalty_and_the_decay():
    """The gradient is that before the weights shrink, and clipping does not see the decay."""
    network, data = make_network(), make_data()
    before, other = network.vector.copy(), copy.deepcopy(network)
    n_decayed = network.n_decayed
    assert 0 < n_decayed < network.n_params
    one_step(network, data, objective(optimizer=AdamW(epsilon=0.1), alpha=0.25, clip_norm=0.01))
    one_step(other, data, objective(optimizer=Adam(epsilon=0.1), clip_norm=0.01))
    np.testing.assert_array_equal(network.vector[n_decayed:], other.vector[n_decayed:])
    expected = other.vector[:n_decayed] - 0.25 * before[:n_decayed]
    np.testing.assert_allclose(network.vector[:n_decayed], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [5, 2 * SECTION + 3])
def test_a_gradient_that_is_too_long_is_scaled_to_the_exact_norm(dtype, size):
    gradient = generator(0).standard_normal(size).astype(dtype)
    before = gradient.astype(np.float64)
    clip_norm(gradient, 0.25)
    assert gradient.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    assert np.linalg.norm(gradient.astype(np.float64)) == pytest.approx(0.25, rel=eps + size * 2**-53)
    np.testing.assert_allclose(
        gradient, before * (0.25 / np.linalg.norm(before)), rtol=2 * eps + size * 2**-53
    )


def test_a_gradient_that_is_short_enough_keeps_its_bits():
    for gradient in (np.array([3.0, 4.0]), np.zeros(3)):
        before = gradient.copy()
        clip_norm(gradient, 5.0)
        np.testing.assert_array_equal(gradient, before)


def test_the_norm_of_a_float32_gradient_does_not_overflow():
    gradient = np.array([3e30, 4e30], np.float32)
    clip_norm(gradient, 1.0)
    np.testing.assert_allclose(gradient, [0.6, 0.8], rtol=1e-6)


def test_a_step_is_clipped_with_the_penalty_included():
    network, data = make_network(), make_data()
    _, free = one_step(copy.deepcopy(network), data, objective(alpha=0.7))
    _, clipped = one_step(network, data, objective(alpha=0.7, clip_norm=0.1))
    assert np.linalg.norm(free) > 0.2
    assert np.linalg.norm(clipped) == pytest.approx(0.1, rel=1e-12)
    np.testing.assert_allclose(clipped, free * (0.1 / np.linalg.norm(free)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("layers", [None, "norm"])
def test_weights_equal_repetition_for_full_batches(layers):
    """Without dropout, in float64 and over several steps, but for the order of sums."""
    kinds = () if layers is None else (Conv2D(2), BatchNorm(), ReLU(), Flatten(), Dense(N_CLASSES))
    goal = objective(alpha=0.01, label_smoothing=0.1, optimizer=SGD(0.9, True))
    results = []
    for part in repetitions(make_data()):
        network = make_network(*kinds)
        records = train(network, part, goal, 5, batch_size=1000)
        results.append((network, [record["loss"] for record in records]))
    (first, first_losses), (second, second_losses) = results
    assert first_losses == pytest.approx(second_losses, rel=1e-11)
    np.testing.assert_allclose(first.vector, second.vector, rtol=0, atol=1e-11)
    for key, value in first.buffers().items():
        np.testing.assert_allclose(value, second.buffers()[key], rtol=0, atol=1e-11)


def test_a_step_uses_the_number_of_the_step_that_it_is():
    """Adam's first step is the learning rate against the sign of the gradient, not its second."""
    network, state = make_network(), TrainingState(seed=SEED)
    _, change = one_step(network, make_data(), objective(optimizer=Adam(epsilon=0.0)), state=state)
    np.testing.assert_allclose(np.abs(change), 1.0, rtol=1e-12)
    assert state.step == 1


def test_every_step_of_a_training_draws_anew():
    """At a rate of zero and on the same rows, only dropout makes the losses differ."""
    losses = [
        record["loss"]
        for record in train(
            full_network(),
            make_data(),
            objective(schedule=constant(0.0)),
            4,
            batch_size=20,
            shuffle=False,
        )
    ]
    assert len(set(losses)) == 4


def test_a_step_takes_over_the_running_statistics():
    network = full_network()
    one_step(network, make_data(), objective())
    assert network.params["layer1"]["n_updates"] == 1
    assert network.params["layer1"]["running_mean"].any()


# --- epochs ---


def test_an_epoch_yields_its_record_and_counts_on():
    network, data, state = make_network(), make_data(), TrainingState(seed=SEED)
    records = train(network, data, objective(), 3, state)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    keys = {"epoch", "loss", "batch_losses", "learning_rate", "seconds"}
    assert all(set(record) == keys for record in records)
    for record in records:  # four minibatches of five samples
        assert len(record["batch_losses"]) == 4
        assert record["loss"] == pytest.approx(np.mean(record["batch_losses"]), rel=1e-14)
    assert all(record["learning_rate"] == 0.1 and 0 < record["seconds"] < 60 for record in records)
    assert records[0]["loss"] > records[1]["loss"] > records[2]["loss"]
    assert (state.epoch, state.step, state.n_samples_seen) == (3, 3 * 4, 60)


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_loss_of_an_epoch_is_the_mean_over_samples_although_the_last_batch_is_smaller(shuffle):
    """At a rate of zero the weights stay, so it is the loss of the network."""
    network, data = make_network(), make_data()
    expected = naive_losses(network, data).mean() + 0.35 * (network.params["layer1"]["weight"] ** 2).sum()
    goal = objective(alpha=0.7, schedule=constant(0.0))
    (record,) = train(network, data, goal, 1, batch_size=6, shuffle=shuffle)
    assert record["loss"] == pytest.approx(expected, rel=1e-13)


class NotingSource(ImageSource):
    """Keeps the rows that are read."""

    rows = ()

    def read(self, rows, out):
        self.rows = (*self.rows, *np.arange(len(self))[rows].tolist())
        return super().read(rows, out)


def test_every_epoch_reads_all_samples_in_a_new_order_that_the_seed_decides():
    orders = []
    for seed in (SEED, SEED, SEED + 1):
        data = make_data()
        data.images = NotingSource(data.images.X, data.images.format)
        train(make_network(), data, objective(schedule=constant(1e-3)), 3, TrainingState(seed=seed))
        orders.append([data.images.rows[start : start + 20] for start in (0, 20, 40)])
    for order in orders:
        assert [sorted(epoch) for epoch in order] == [list(range(20))] * 3
        assert len(set(order)) == 3
    assert orders[0] == orders[1] != orders[2]


def test_without_shuffling_the_order_is_that_of_the_samples():
    data = make_data()
    data.images = NotingSource(data.images.X, data.images.format)
    train(make_network(), data, objective(schedule=constant(1e-3)), 2, shuffle=False)
    assert list(data.images.rows) == 2 * list(range(20))


def test_the_rate_of_an_epoch_follows_the_samples_seen_before_it():
    records = train(make_network(), make_data(), objective(schedule=InverseScalingRate(0.3, n_epochs=3)), 3)
    expected = [0.3, 0.3 / math.sqrt(21), 0.3 / math.sqrt(41)]
    assert [record["learning_rate"] for record in records] == pytest.approx(expected, rel=1e-14)


def rates_of(schedule, n_epochs, state):
    """Return the rate of every step, as the optimizer sees it, and those of the records."""
    seen = []

    class Noting(SGD):
        def update(self, weights, gradient, slots, *, step, learning_rate):
            seen.append(learning_rate)

    goal = objective(schedule=schedule, optimizer=Noting())
    records = train(make_network(), make_data(), goal, n_epochs, state)
    return seen, [record["learning_rate"] for record in records]


def test_the_rate_changes_from_step_to_step_and_the_record_has_that_of_the_last():
    """Twenty samples make four minibatches."""
    schedule = InverseScalingRate(0.3, n_epochs=3, warmup=1.5)
    seen, recorded = rates_of(schedule, 3, TrainingState(seed=SEED))
    warming_up = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
    assert seen == pytest.approx([*warming_up, *2 * [0.3 / math.sqrt(21)], *4 * [0.3 / math.sqrt(41)]])
    assert recorded == [seen[3], seen[7], seen[11]]


@pytest.mark.parametrize("schedule", [CosineRate(0.3, n_epochs=2), OneCycleRate(0.3, n_epochs=2)])
def test_a_schedule_with_a_horizon_counts_from_the_start_of_each_call(schedule):
    state = TrainingState(seed=SEED)
    first, _ = rates_of(schedule, 2, state)
    second, _ = rates_of(schedule, 2, state)
    assert state.epoch == 4
    assert first == second
    assert len(set(first)) == 8


@pytest.mark.parametrize(
    "options", [{"warmup": 2.5}, {"step_size": 1, "step_factor": 0.5}, {"warmup": 1.0, "step_size": 3}]
)
def test_a_schedule_without_a_horizon_counts_from_the_start_of_training(options):
    """In calls of one epoch, as partial_fit makes them."""
    whole, _ = rates_of(StepRate(0.3, n_epochs=4, **options), 4, TrainingState(seed=SEED))
    state, parts = TrainingState(seed=SEED), []
    for _ in range(4):
        parts += rates_of(StepRate(0.3, n_epochs=1, **options), 1, state)[0]
    assert parts == whole
    assert len(set(whole)) > 2


def stop_the_clock_after(n_minibatches, monkeypatch):
    """Let an epoch begin at zero, and the time be one from the end of some of its minibatches on."""
    times = iter([0.0] * 2 * n_minibatches)  # looked at to measure and to compare
    clock = SimpleNamespace(perf_counter=lambda: next(times, 1.0))
    monkeypatch.setattr("skcnn.training.loop.time", clock)
    monkeypatch.setattr("skcnn.training.time_limit.time", clock)


def test_a_deadline_ends_an_epoch_after_the_minibatch_under_way(monkeypatch):
    network, data, state = make_network(), make_data(), TrainingState(seed=SEED)
    losses = naive_losses(network, data)
    stop_the_clock_after(2, monkeypatch)
    goal = objective(schedule=constant(0.0))
    (record,) = train(network, data, goal, 1, state, shuffle=False, deadline=1.0)
    assert record["loss"] == pytest.approx(losses[:10].mean(), rel=1e-13)
    assert (state.epoch, state.step, state.n_samples_seen) == (1, 2, 10)  # 4 minibatches of 5


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_going_on_from_a_state_gives_the_bits_of_one_run(optimizer, dtype):
    """With momentum, averages, a warm-up, shuffling, dropout and running statistics, and through pickle."""
    weights = generator(2).uniform(0.5, 2, 20)
    data = make_data(weights=weights, dtype=dtype)
    goal = objective(
        optimizer=OPTIMIZERS[optimizer](),
        schedule=StepRate(0.01, n_epochs=2, warmup=1.5, step_size=3),
        averaging=ExponentialAverage(0.9),
        alpha=1e-3,
    )
    whole, whole_state = full_network(dtype), TrainingState(seed=SEED)
    expected = train(whole, data, goal, 4, whole_state)
    network, state, records = full_network(dtype), TrainingState(seed=SEED), []
    for n_epochs in (1, 2, 1):
        network, state = pickle.loads(pickle.dumps((network, state)))
        records += train(network, data, goal, n_epochs, state)
    assert all_bits(network, state) == all_bits(whole, whole_state)
    assert [record["loss"] for record in records] == [record["loss"] for record in expected]


@pytest.mark.parametrize(
    "second", [Adam(), OPTIMIZERS["nadam"](), OPTIMIZERS["rmsprop"]()], ids=["adam", "nadam", "rmsprop"]
)
def test_another_optimizer_begins_with_slots_of_zeros_and_its_first_step(second):
    """Slots of the same name may mean something else, and corrections for their start count its own steps."""
    network, state, data = full_network(), TrainingState(seed=SEED), make_data()
    train(network, data, objective(optimizer=OPTIMIZERS["adagrad"]()), 2, state)
    other = copy.deepcopy(network)
    other_state = TrainingState(seed=SEED, epoch=2, step=8, n_samples_seen=40)
    for trained, its_state in [(network, state), (other, other_state)]:
        train(trained, data, objective(optimizer=second), 1, its_state)
    assert all_bits(network, state) == all_bits(other, other_state)
    assert state.slots.keys() == set(second.slot_names)
    assert (state.step, state.n_updates) == (12, 4)


def test_training_gives_the_same_bits_on_any_number_of_threads(cut_work, monkeypatch):
    cut_work(FINE)
    results = []
    for n_threads in (1, 2, 8):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        network, state = full_network(np.float32), TrainingState(seed=SEED)
        goal = objective(
            optimizer=AdamW(), alpha=0.1, clip_norm=0.5, averaging=StochasticWeightAverage(0.0), n_epochs=2
        )
        train(network, make_data(dtype=np.float32), goal, 2, state)
        results.append(all_bits(network, state))
    assert results[0] == results[1] == results[2]


def test_a_copy_of_a_state_shares_nothing():
    state = TrainingState(seed=SEED, epoch=2, slots={"velocity": np.ones(3)})
    other = state.copy()
    other.slots["velocity"][0] = 5
    other.slots["more"] = np.ones(1)
    other.epoch = 9
    assert state.epoch == 2
    assert list(state.slots) == ["velocity"]
    np.testing.assert_array_equal(state.slots["velocity"], 1)


# --- divergence ---


class LossThatFails(LogLoss):
    """Returns a loss that is no number at one of its calls."""

    def __init__(self, failing_call, value=math.nan):
        self.failing_call, self.value, self.calls = failing_call, value, 0

    def gradient(self, scores, targets, weights, out):
        self.calls += 1
        loss = super().gradient(scores, targets, weights, out)
        return self.value if self.calls == self.failing_call else loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_names_the_step_and_restores_the_start_of_the_epoch(value):
    """Four minibatches an epoch: the seventh is the third of the second epoch."""
    network, data = full_network(), make_data()
    with worker_pool() as pool:
        epochs = train_epochs(
            network,
            data,
            TrainingState(seed=SEED),
            objective(loss=LossThatFails(7, value)),
            pool=pool,
            limit=TimeLimit(math.inf),
        )
        next(epochs)
        expected = network.snapshot()
        with pytest.raises(DivergenceError, match=f"the loss became {value} at step 7"):
            next(epochs)
    np.testing.assert_array_equal(network.vector, expected[0])
    for key, value in expected[1].items():
        np.testing.assert_array_equal(network.buffers()[key], value)


def test_what_divergence_restores_lives_once():
    """From one epoch to the next, weights and slots are copied into the memory of those before."""
    network = make_network(Flatten(), Dense(20_000), Dense(N_CLASSES))
    data, goal = make_data(), objective(optimizer=SGD(0.9, True), schedule=constant(1e-6))
    with worker_pool() as pool:
        epochs = train_epochs(
            network,
            data,
            TrainingState(seed=SEED),
            goal,
            pool=pool,
            limit=TimeLimit(math.inf),
        )
        next(epochs)
        tracemalloc.start()
        next(epochs)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < network.vector.nbytes


class ExplodingLoss(LogLoss):
    """Has a finite value, and from its second call on a gradient that no step in float32 can take."""

    calls = 0

    def gradient(self, scores, targets, weights, out):
        self.calls += 1
        loss = super().gradient(scores, targets, weights, out)
        if self.calls > 1:
            out *= np.float32(1e38)
        return loss


def exploding():
    """Return network, data and objective whose weights overflow at step 2 while the loss is a number."""
    goal = objective(loss=ExplodingLoss(), schedule=constant(1e3), optimizer=SGD(0.9, True))
    return make_network(dtype=np.float32), make_data(dtype=np.float32), goal


def test_weights_that_overflow_are_divergence_too():
    network, data, goal = exploding()
    before = network.vector.copy()
    with pytest.raises(DivergenceError, match="a weight or running statistic ceased to be finite at step 2"):
        train(network, data, goal, 1)
    np.testing.assert_array_equal(network.vector, before)


def test_running_statistics_that_overflow_are_divergence_too():
    """The variance of values around 1e25 is infinite in float32, while loss and gradient are finite."""
    network = make_network(BatchNorm(), Flatten(), Dense(N_CLASSES), dtype=np.float32)
    data = make_data(dtype=np.float32)
    data.images.X *= np.float32(1e25)
    before = network.snapshot()
    with pytest.raises(DivergenceError, match="step 1"):
        train(network, data, objective(), 1)
    np.testing.assert_array_equal(network.vector, before[0])
    for key, value in before[1].items():
        np.testing.assert_array_equal(network.buffers()[key], value)


def test_after_divergence_the_state_is_fit_to_go_on_at_a_smaller_rate():
    """The restored weights are of no use beside a velocity that is infinite."""
    network, data, goal = exploding()
    state = TrainingState(seed=SEED)
    with pytest.raises(DivergenceError):
        train(network, data, goal, 1, state)
    assert all(np.isfinite(slot).all() for slot in state.slots.values())
    records = train(network, data, objective(schedule=constant(0.01)), 2, state)
    assert records[1]["loss"] < records[0]["loss"]


def test_a_gradient_that_is_no_number_is_divergence_with_clipping_too():
    class Poisoned(LogLoss):
        def gradient(self, scores, targets, weights, out):
            loss = super().gradient(scores, targets, weights, out)
            out[0, 0] = np.nan
            return loss

    network = make_network()
    before = network.vector.copy()
    with pytest.raises(DivergenceError, match="step 1"):
        train(network, make_data(), objective(loss=Poisoned(), clip_norm=1.0), 1)
    np.testing.assert_array_equal(network.vector, before)


def test_is_finite_looks_at_every_element():
    vector = np.zeros(2 * SECTION + 5)
    assert is_finite(vector)
    for index, value in [(0, np.nan), (SECTION, np.inf), (len(vector) - 1, -np.inf)]:
        vector[index] = value
        assert not is_finite(vector)
        vector[index] = 0


# --- interrupts ---


def test_an_interrupt_is_delivered_at_the_end_of_the_with_statement(keyboard_interrupt):
    done = []
    with pytest.raises(KeyboardInterrupt), hold_interrupts():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        done.append("complete")
    assert done == ["complete"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interrupt_the_handler_is_restored(keyboard_interrupt):
    with hold_interrupts():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_after_an_exception_the_handler_is_restored(keyboard_interrupt):
    with pytest.raises(KeyError), hold_interrupts():
        raise KeyError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_not_lost_when_the_step_fails(keyboard_interrupt):
    """Who presses Ctrl-C in the step that diverges wants to stop, too."""
    with pytest.raises(KeyboardInterrupt), hold_interrupts():
        signal.raise_signal(signal.SIGINT)
        raise DivergenceError


def test_a_handler_of_the_user_is_called_once_with_its_arguments(keyboard_interrupt):
    calls = []

    def handler(number, frame):
        calls.append((number, frame is not None))

    signal.signal(signal.SIGINT, handler)
    with hold_interrupts():
        signal.raise_signal(signal.SIGINT)
        assert calls == []
    assert calls == [(signal.SIGINT, True)]
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_ignored_interrupt_stays_ignored(keyboard_interrupt):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with hold_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_outside_the_main_thread_signals_are_left_alone(keyboard_interrupt):
    """Only the main thread may set handlers."""
    seen = []

    def work():
        with hold_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert seen == [signal.default_int_handler]


def test_an_interrupted_step_is_completed(keyboard_interrupt, monkeypatch):
    """The network and the state are those after as many steps without an interrupt."""
    monkeypatch.setenv("SKCNN_NUM_THREADS", "1")  # the loss is computed in the main thread
    network, state = full_network(), TrainingState(seed=SEED)
    goal = objective(optimizer=Adam(), averaging=ExponentialAverage(), loss=InterruptedLoss(6))
    with pytest.raises(KeyboardInterrupt):
        train(network, make_data(), goal, 5, state)
    assert (state.epoch, state.step) == (1, 6)
    other, other_state = full_network(), TrainingState(seed=SEED)
    goal = objective(optimizer=Adam(), averaging=ExponentialAverage())
    train(other, make_data(), goal, 1, other_state)
    stop_the_clock_after(2, monkeypatch)
    train(other, make_data(), goal, 1, other_state, deadline=1.0)
    assert (state.step, state.n_averaged) == (other_state.step, other_state.n_averaged)
    np.testing.assert_array_equal(network.vector, other.vector)
    for key, value in other.buffers().items():
        np.testing.assert_array_equal(network.buffers()[key], value)
    for name, slot in other_state.slots.items():
        np.testing.assert_array_equal(state.slots[name], slot)


# --- scores that are not finite ---


class OvershootingLoss(LogLoss):
    """Has a gradient of 1e38 for every score of the one sample that has one, whatever its value."""

    def gradient(self, scores, targets, weights, out):
        loss = super().gradient(scores, targets, weights, out)
        out.fill(0)
        out[0] = 1e38
        return loss


def test_weights_whose_scores_overflow_are_divergence_at_the_end_of_an_epoch():
    """The last step of the epoch leaves finite weights, and no step follows whose loss would tell.

    The scores are those of prediction, where nothing is dropped: half of 24 weights are 1e38, times one half.
    """
    network = make_network(Flatten(), Dropout(0.5), Dense(N_CLASSES), dtype=np.float32)
    data = make_data(5, dtype=np.float32)
    data.images.X[:] = 0.5
    before, state = network.vector.copy(), TrainingState(seed=7)
    goal = objective(loss=OvershootingLoss(), schedule=constant(1.0))
    with pytest.raises(DivergenceError, match="^the scores ceased to be finite at step 1$"):
        train(network, data, goal, 1, state)
    np.testing.assert_array_equal(network.vector, before)
    assert (state.epoch, state.step) == (0, 0)


def test_scores_of_a_minibatch_may_be_large_as_long_as_they_are_finite():
    network, data = make_network(dtype=np.float32), make_data(5, dtype=np.float32)
    data.images.X[:] = 0.02
    train(network, data, objective(loss=OvershootingLoss(), schedule=constant(1.0)), 1)
    assert np.abs(network.vector).max() > 1e36


@pytest.mark.parametrize(("rate", "n_tried"), [(0.003, 0), (0.3, 6)])
def test_scores_are_tried_where_a_weight_has_moved_far(rate, n_tried):
    data = make_data(6)
    data.images = NotingSource(data.images.X, data.images.format)
    train(make_network(), data, objective(optimizer=Adam(), schedule=constant(rate)), 1)
    assert len(data.images.rows) == 6 + n_tried


def test_divergence_that_is_found_elsewhere_takes_an_epoch_back_too():
    network, data, state = full_network(), make_data(), TrainingState(seed=SEED)
    with worker_pool() as pool:
        goal = objective(optimizer=Adam())
        epochs = train_epochs(network, data, state, goal, pool=pool, limit=TimeLimit(math.inf))
        next(epochs)
        expected = all_bits(network, state)
        next(epochs)
        with pytest.raises(DivergenceError, match="the validation loss"):
            epochs.throw(DivergenceError("the validation loss became nan"))
    assert all_bits(network, state) == expected


# --- what the state is for ---


def test_the_rate_follows_the_plateaus_in_the_state():
    seen, _ = rates_of(AdaptiveRate(0.5, n_epochs=1), 1, TrainingState(seed=7, n_plateaus=2))
    assert seen == pytest.approx(4 * [0.02], rel=1e-15)


def test_another_optimizer_leaves_the_average_of_the_weights():
    """It is one of weights, whatever made them."""
    average = np.arange(3.0)
    state = TrainingState(
        seed=7, solver="Adam", n_averaged=5, slots={"average": average, "velocity": np.ones(3)}
    )
    state.change_solver("SGD")
    assert state.slots == {"average": average}
    assert (state.solver, state.n_averaged) == ("SGD", 5)


def test_a_forgotten_average_takes_no_memory():
    velocity = np.ones(3)
    state = TrainingState(seed=7, n_averaged=5, slots={"average": np.zeros(3), "velocity": velocity})
    for _ in range(2):
        state.forget_average()
        assert state.slots == {"velocity": velocity}
        assert state.n_averaged == 0


def test_a_copy_of_a_state_has_the_trained_weights():
    """They are elsewhere than in the network while it holds an average."""
    state = TrainingState(seed=7, trained=np.arange(3.0))
    other = state.copy()
    other.trained[0] = 5
    assert state.trained.tolist() == [0, 1, 2]
    assert other.trained.tolist() == [5, 1, 2]
    assert TrainingState(seed=7).copy().trained is None


def test_the_penalty_and_its_gradient_are_proportional_to_alpha():
    """By powers of two, which are exact; zero takes nothing and changes nothing."""
    network, results = full_network(), {}
    for alpha in (0.0, 0.5, 1.0, 2.0):
        gradient = np.zeros_like(network.vector)
        results[alpha] = add_penalty(network, gradient, alpha), gradient
    for alpha, (penalty, gradient) in results.items():
        assert penalty == alpha * results[1.0][0]
        np.testing.assert_array_equal(gradient, alpha * results[1.0][1])
    assert results[1.0][0] > 0


def test_the_augmentation_of_an_epoch_is_drawn_for_it():
    class NotingAugmenter:
        def minibatch(self, images, rows, epoch, targets_of):
            asked.append((epoch, len(rows)))
            return (lambda part, out: images.read(rows[part], out)), targets_of(rows)

    asked, data = [], make_data()
    data.augmenter = NotingAugmenter()
    train(make_network(), data, objective(), 2, TrainingState(seed=7, epoch=3))
    assert asked == 4 * [(3, 5)] + 4 * [(4, 5)]


@pytest.mark.parametrize("largest", [1e-300, 1.0, 1e300])
def test_a_minibatch_has_numbers_of_the_dtype_of_the_network_and_weights_near_one(largest):
    """Weights count relative to each other: in float32 large ones would be infinite, and small ones zero."""
    weights = largest * np.linspace(0.2, 1, 20)
    network, data = make_network(dtype=np.float32), make_data(weights=weights, dtype=np.float32)
    batch = make_batch(data, np.arange(4, 20), network, objective(), number=0, epoch=0)
    assert batch.targets.dtype == batch.loss_weights.dtype == np.float32
    assert 0.5 <= batch.weights.max() < 1
    np.testing.assert_allclose(batch.weights / batch.weights[-1], weights[4:] / largest, rtol=1e-15)
