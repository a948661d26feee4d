"""The training loop: what a step minimises, what an epoch yields, and how it is interrupted."""

import copy
import math
import pickle
import signal
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from cuts import FINE
from numpy.testing import assert_allclose, assert_array_equal
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
from skcnn.training.schedules import AdaptiveRate, CosineRate, InverseScalingRate, StepRate
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


def naive_losses(network, data, label_smoothing=0.0):
    targets = (1 - label_smoothing) * np.eye(N_CLASSES)[data.targets] + label_smoothing / N_CLASSES
    return -(targets * log_softmax(linear_scores(network, data), axis=1)).sum(axis=1)


# --- what a step minimises ---


@pytest.mark.parametrize(
    ("rows", "alpha", "label_smoothing"),
    [([3, 17, 5, 8], 0.0, 0.0), (range(20), 0.7, 0.0), (range(20), 0.0, 0.3)],
    ids=["some samples", "penalty", "smoothing"],
)
def test_the_loss_of_a_step_is_the_weighted_mean_and_the_penalty_of_the_weights(rows, alpha, label_smoothing):
    """Weights count against the mean weight of the training set."""
    rows, weights = np.array(rows), generator(2).uniform(0.5, 2, 20)
    network, data = make_network(), make_data(weights=weights)
    losses = weights * naive_losses(network, data, label_smoothing) / weights.mean()
    penalty = alpha / 2 * (network.params["layer1"]["weight"] ** 2).sum()
    loss, _ = one_step(network, data, objective(alpha=alpha, label_smoothing=label_smoothing), rows)
    assert loss == pytest.approx(losses[rows].mean() + penalty, rel=1e-13)


def test_a_step_of_gradient_descent_is_the_gradient_of_loss_and_penalty():
    network, data = make_network(), make_data()
    X = data.images.X.reshape(20, -1)
    difference = (softmax(linear_scores(network, data), axis=1) - np.eye(N_CLASSES)[data.targets]) / 20
    weight, bias = (network.params["layer1"][name].copy() for name in ("weight", "bias"))
    one_step(network, data, objective(alpha=0.7))
    expected = {"weight": weight - X.T @ difference - 0.7 * weight, "bias": bias - difference.sum(axis=0)}
    for name, value in expected.items():
        assert_allclose(network.params["layer1"][name], value, rtol=0, atol=1e-14)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_the_penalty_takes_weights_only_and_adds_its_gradient(alpha):
    """Neither biases nor scales and shifts of a normalization."""
    network = full_network()
    weights = [network.params[name]["weight"] for name in ("layer0", "layer5", "layer7")]
    gradient = np.full(network.n_params, 2.0)
    penalty = add_penalty(network, gradient, objective(alpha=alpha))
    assert penalty == pytest.approx(alpha / 2 * sum((weight**2).sum() for weight in weights), rel=1e-13)
    for name, params in network.views_of(gradient).items():
        for key, value in params.items():
            expected = 2 + alpha * network.params[name][key] if key == "weight" else 2
            assert_allclose(value, np.broadcast_to(expected, value.shape), rtol=1e-15)


def test_the_penalty_of_a_vector_of_several_sections_in_float32():
    """Weights of 1, but for one section of 2, so that a section that is left out or doubled shows."""
    network = make_network(Flatten(), Dense(3 * SECTION // 24 + 7), dtype=np.float32)
    network.vector[...] = 1
    network.vector[SECTION : 2 * SECTION] = 2
    gradient = np.zeros_like(network.vector)
    n_decayed = 24 * (3 * SECTION // 24 + 7)
    assert add_penalty(network, gradient, objective(alpha=2.0)) == pytest.approx(
        n_decayed + 3 * SECTION, rel=1e-6
    )
    assert_array_equal(gradient[:n_decayed], 2 * network.vector[:n_decayed])
    assert not gradient[n_decayed:].any()
    assert gradient.dtype == np.float32


def test_a_step_of_adamw_is_that_of_adam_without_a_penalty_and_the_decay():
    """The gradient is that before the weights shrink; neither the loss nor clipping sees the decay."""
    network, data = make_network(), make_data()
    before, other = network.vector.copy(), copy.deepcopy(network)
    n_decayed = network.n_decayed
    assert 0 < n_decayed < network.n_params
    loss, _ = one_step(network, data, objective(optimizer=AdamW(epsilon=0.1), alpha=0.25, clip_norm=0.01))
    other_loss, _ = one_step(other, data, objective(optimizer=Adam(epsilon=0.1), clip_norm=0.01))
    assert loss == other_loss
    assert_array_equal(network.vector[n_decayed:], other.vector[n_decayed:])
    expected = other.vector[:n_decayed] - 0.25 * before[:n_decayed]
    assert_allclose(network.vector[:n_decayed], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("dtype", "size", "scale"), [(np.float32, 2 * SECTION + 3, 1), (np.float64, 5, 1), (np.float32, 2, 1e30)]
)
def test_a_gradient_that_is_too_long_is_scaled_to_the_exact_norm(dtype, size, scale):
    """Of which squares overflow in float32."""
    gradient = (scale * generator(0).standard_normal(size)).astype(dtype)
    before = gradient.astype(np.float64)
    clip_norm(gradient, 0.25)
    assert gradient.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    assert np.linalg.norm(gradient.astype(np.float64)) == pytest.approx(0.25, rel=eps + size * 2**-53)
    assert_allclose(gradient, before * (0.25 / np.linalg.norm(before)), rtol=2 * eps + size * 2**-53)


def test_a_gradient_that_is_short_enough_keeps_its_bits():
    for gradient in (np.array([3.0, 4.0]), np.zeros(3)):
        before = gradient.copy()
        clip_norm(gradient, 5.0)
        assert_array_equal(gradient, before)


def test_a_step_is_clipped_with_the_penalty_included():
    network, data = make_network(), make_data()
    _, free = one_step(copy.deepcopy(network), data, objective(alpha=0.7))
    _, clipped = one_step(network, data, objective(alpha=0.7, clip_norm=0.1))
    assert np.linalg.norm(free) > 0.2
    assert_allclose(clipped, free * (0.1 / np.linalg.norm(free)), rtol=0, atol=1e-14)


def test_weights_equal_repetition_for_full_batches():
    """Without dropout, in float64 and over several steps, but for the order of sums."""
    goal = objective(alpha=0.01, label_smoothing=0.1, optimizer=SGD(0.9, True))
    results = []
    for part in repetitions(make_data()):
        network = make_network(Conv2D(2), BatchNorm(), ReLU(), Flatten(), Dense(N_CLASSES))
        records = train(network, part, goal, 5, batch_size=1000)
        results.append((network, [record["loss"] for record in records]))
    (first, first_losses), (second, second_losses) = results
    assert first_losses == pytest.approx(second_losses, rel=1e-11)
    assert_allclose(first.vector, second.vector, rtol=0, atol=1e-11)
    for key, value in first.buffers().items():
        assert_allclose(value, second.buffers()[key], rtol=0, atol=1e-11)


def test_a_step_uses_the_number_of_the_step_that_it_is():
    """Adam's first step is the learning rate against the sign of the gradient, not its second."""
    network, state = make_network(), TrainingState(seed=SEED)
    _, change = one_step(network, make_data(), objective(optimizer=Adam(epsilon=0.0)), state=state)
    assert_allclose(np.abs(change), 1.0, rtol=1e-12)
    assert state.step == 1


def test_every_step_of_a_training_draws_anew():
    """At a rate of zero and on the same rows, only dropout makes the losses differ."""
    goal = objective(schedule=constant(0.0), batch_size=20, shuffle=False)
    records = train(full_network(), make_data(), goal, 4)
    assert len({record["loss"] for record in records}) == 4


@pytest.mark.parametrize("largest", [1e-300, 1e300])
def test_a_minibatch_has_numbers_of_the_dtype_of_the_network_and_weights_near_one(largest):
    """Weights count relative to each other: in float32 large ones would be infinite, and small ones zero."""
    weights = largest * np.linspace(0.2, 1, 20)
    network, data = make_network(dtype=np.float32), make_data(weights=weights, dtype=np.float32)
    batch = make_batch(data, np.arange(4, 20), network, objective(), number=0, epoch=0)
    assert batch.targets.dtype == batch.loss_weights.dtype == np.float32
    assert 0.5 <= batch.weights.max() < 1
    assert_allclose(batch.weights / batch.weights[-1], weights[4:] / largest, rtol=1e-15)


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


def test_the_loss_of_an_epoch_is_the_mean_over_samples_although_the_last_batch_is_smaller():
    """At a rate of zero the weights stay, so it is the loss of the network."""
    network, data = make_network(), make_data()
    expected = naive_losses(network, data).mean() + 0.35 * (network.params["layer1"]["weight"] ** 2).sum()
    (record,) = train(network, data, objective(alpha=0.7, schedule=constant(0.0)), 1, batch_size=7)
    assert record["loss"] == pytest.approx(expected, rel=1e-13)
    assert record["loss"] != pytest.approx(np.mean(record["batch_losses"]), rel=1e-6)


class NotingSource(ImageSource):
    rows = ()

    def read(self, rows, out):
        self.rows = (*self.rows, *np.arange(len(self))[rows].tolist())
        return super().read(rows, out)


def noting_data(n_samples=20):
    data = make_data(n_samples)
    data.images = NotingSource(data.images.X, data.images.format)
    return data


def test_every_epoch_reads_all_samples_in_a_new_order_that_the_seed_decides():
    orders = []
    for seed in (SEED, SEED, SEED + 1):
        data = noting_data()
        train(make_network(), data, objective(schedule=constant(1e-3)), 3, TrainingState(seed=seed))
        orders.append([data.images.rows[start : start + 20] for start in (0, 20, 40)])
    for order in orders:
        assert [sorted(epoch) for epoch in order] == [list(range(20))] * 3
        assert len(set(order)) == 3
    assert orders[0] == orders[1] != orders[2]


def test_without_shuffling_the_order_is_that_of_the_samples():
    data = noting_data()
    train(make_network(), data, objective(schedule=constant(1e-3)), 2, shuffle=False)
    assert list(data.images.rows) == 2 * list(range(20))


def test_the_augmentation_of_an_epoch_is_drawn_for_it():
    class NotingAugmenter:
        def minibatch(self, images, rows, epoch, targets_of):
            asked.append((epoch, len(rows)))
            return (lambda part, out: images.read(rows[part], out)), targets_of(rows)

    asked, data = [], make_data()
    data.augmenter = NotingAugmenter()
    train(make_network(), data, objective(), 2, TrainingState(seed=7, epoch=3))
    assert asked == 4 * [(3, 5)] + 4 * [(4, 5)]


def rates_of(schedule, n_epochs, state):
    """Return the rate of every step, as the optimizer sees it, and those of the records."""
    seen = []

    class Noting(SGD):
        def numbers(self, step, learning_rate):
            seen.append(learning_rate)
            return super().numbers(step, learning_rate)

    goal = objective(schedule=schedule, optimizer=Noting())
    records = train(make_network(), make_data(), goal, n_epochs, state)
    return seen, [record["learning_rate"] for record in records]


def test_the_rate_changes_from_step_to_step_and_the_record_has_that_of_the_last():
    """Twenty samples make four minibatches; those of the epochs before count for the rate."""
    schedule = InverseScalingRate(0.3, n_epochs=3, warmup=1.5)
    seen, recorded = rates_of(schedule, 3, TrainingState(seed=SEED))
    warming_up = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
    assert seen == pytest.approx([*warming_up, *2 * [0.3 / math.sqrt(21)], *4 * [0.3 / math.sqrt(41)]])
    assert recorded == [seen[3], seen[7], seen[11]]


def test_the_rate_follows_the_plateaus_in_the_state():
    seen, _ = rates_of(AdaptiveRate(0.5, n_epochs=1), 1, TrainingState(seed=7, n_plateaus=2))
    assert seen == pytest.approx(4 * [0.02], rel=1e-15)


def test_a_schedule_with_a_horizon_counts_from_the_start_of_each_call():
    schedule, state = CosineRate(0.3, n_epochs=2), TrainingState(seed=SEED)
    first, _ = rates_of(schedule, 2, state)
    second, _ = rates_of(schedule, 2, state)
    assert state.epoch == 4
    assert first == second
    assert len(set(first)) == 8


def test_a_schedule_without_a_horizon_counts_from_the_start_of_training():
    """In calls of one epoch, as partial_fit makes them."""
    options = {"warmup": 1.5, "step_size": 1, "step_factor": 0.5}
    whole, _ = rates_of(StepRate(0.3, n_epochs=4, **options), 4, TrainingState(seed=SEED))
    state, parts = TrainingState(seed=SEED), []
    for _ in range(4):
        parts += rates_of(StepRate(0.3, n_epochs=1, **options), 1, state)[0]
    assert parts == whole
    assert len(set(whole)) > 6


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


@pytest.mark.parametrize(("optimizer", "dtype"), [("sgd", np.float32), ("nadam", np.float64)])
def test_going_on_from_a_state_gives_the_bits_of_one_run(optimizer, dtype):
    """With momentum, averages, a warm-up, shuffling, dropout and running statistics, and through pickle."""
    data = make_data(weights=generator(2).uniform(0.5, 2, 20), dtype=dtype)
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


@pytest.mark.parametrize("name", ["nadam", "rmsprop"])
def test_another_optimizer_begins_with_slots_of_zeros_and_its_first_step(name):
    """Slots of the same name may mean something else, and corrections for their start count its own steps."""
    network, state, data = full_network(), TrainingState(seed=SEED), make_data()
    train(network, data, objective(optimizer=OPTIMIZERS["adagrad"]()), 2, state)
    other = copy.deepcopy(network)
    other_state = TrainingState(seed=SEED, epoch=2, step=8, n_samples_seen=40)
    goal = objective(optimizer=OPTIMIZERS[name]())
    for trained, its_state in [(network, state), (other, other_state)]:
        train(trained, data, goal, 1, its_state)
    assert all_bits(network, state) == all_bits(other, other_state)
    assert state.slots.keys() == set(goal.optimizer.slot_names)
    assert (state.step, state.n_updates) == (12, 4)


def test_training_gives_the_same_bits_on_any_number_of_threads(cut_work, monkeypatch):
    cut_work(FINE)
    goal = objective(
        optimizer=AdamW(), alpha=0.1, clip_norm=0.5, averaging=StochasticWeightAverage(0.0), n_epochs=2
    )
    results = []
    for n_threads in (1, 2, 8):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        network, state = full_network(np.float32), TrainingState(seed=SEED)
        train(network, make_data(dtype=np.float32), goal, 2, state)
        results.append(all_bits(network, state))
    assert results[0] == results[1] == results[2]


# --- the state ---


def test_a_copy_of_a_state_shares_nothing():
    state = TrainingState(seed=SEED, epoch=2, slots={"velocity": np.ones(3)}, trained=np.arange(3.0))
    other = state.copy()
    other.slots["velocity"][0] = other.trained[0] = 5
    other.slots["more"] = np.ones(1)
    other.epoch = 9
    assert state.epoch == 2
    assert list(state.slots) == ["velocity"]
    assert_array_equal(state.slots["velocity"], 1)
    assert state.trained.tolist() == [0, 1, 2]
    assert other.trained.tolist() == [5, 1, 2]


def test_a_state_forgets_the_average_or_all_else():
    """The average is one of weights, whatever optimizer made them."""
    slots = {"average": np.arange(3.0), "velocity": np.ones(3)}
    state = TrainingState(seed=7, solver="Adam", n_averaged=5, slots=slots)
    other = state.copy()
    state.change_solver("SGD")
    assert state.slots == {"average": slots["average"]}
    assert (state.solver, state.n_averaged) == ("SGD", 5)
    for _ in range(2):
        other.forget_average()
        assert list(other.slots) == ["velocity"]
        assert other.n_averaged == 0


# --- divergence ---


class SpoiltLoss(LogLoss):
    """Gives its number of calls, its value and its gradient to a function, which returns the value."""

    def __init__(self, spoil):
        self.spoil, self.n_calls = spoil, 0

    def gradient(self, scores, targets, weights, out):
        self.n_calls += 1
        return self.spoil(self.n_calls, super().gradient(scores, targets, weights, out), out)


@contextmanager
def epochs_of(network, data, state, goal):
    with worker_pool() as pool:
        yield train_epochs(network, data, state, goal, pool=pool, limit=TimeLimit(math.inf))


def bits_of(network):
    return all_bits(network, TrainingState(seed=0))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_names_the_step_and_restores_the_start_of_the_epoch(value):
    """Four minibatches an epoch: the seventh is the third of the second epoch."""
    network, data, state = full_network(), make_data(), TrainingState(seed=SEED)
    goal = objective(loss=SpoiltLoss(lambda call, loss, gradient: value if call == 7 else loss))
    with epochs_of(network, data, state, goal) as epochs:
        next(epochs)
        expected = all_bits(network, state)
        with pytest.raises(DivergenceError, match=f"the loss became {value} at step 7"):
            next(epochs)
    assert all_bits(network, state) == expected


def test_divergence_that_is_found_elsewhere_takes_an_epoch_back_too():
    network, data, state = full_network(), make_data(), TrainingState(seed=SEED)
    with epochs_of(network, data, state, objective(optimizer=Adam())) as epochs:
        next(epochs)
        expected = all_bits(network, state)
        next(epochs)
        with pytest.raises(DivergenceError, match="the validation loss"):
            epochs.throw(DivergenceError("the validation loss became nan"))
    assert all_bits(network, state) == expected


def test_what_divergence_restores_lives_once():
    """From one epoch to the next, weights and slots are copied into the memory of those before."""
    network = make_network(Flatten(), Dense(20_000), Dense(N_CLASSES))
    goal = objective(optimizer=SGD(0.9, True), schedule=constant(1e-6))
    with epochs_of(network, make_data(), TrainingState(seed=SEED), goal) as epochs:
        next(epochs)
        tracemalloc.start()
        next(epochs)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < network.vector.nbytes


def explode(call, loss, gradient):
    """From the second call on, have a gradient that no step in float32 can take."""
    if call > 1:
        gradient *= np.float32(1e38)
    return loss


def poison(call, loss, gradient):
    gradient[0, 0] = np.nan
    return loss


@pytest.mark.parametrize(("spoil", "clip_norm", "step"), [(explode, None, 2), (poison, 1.0, 1)])
def test_after_weights_cease_to_be_finite_training_goes_on_at_a_smaller_rate(spoil, clip_norm, step):
    """The restored weights are of no use beside a velocity that is infinite."""
    network, data = make_network(dtype=np.float32), make_data(dtype=np.float32)
    before, state = bits_of(network), TrainingState(seed=SEED)
    goal = objective(schedule=constant(1e3), optimizer=SGD(0.9, True), clip_norm=clip_norm)
    with pytest.raises(DivergenceError, match=f"a weight or running statistic .* at step {step}"):
        train(network, data, goal, 1, state, loss=SpoiltLoss(spoil))
    assert bits_of(network) == before
    assert all(np.isfinite(slot).all() for slot in state.slots.values())
    records = train(network, data, objective(schedule=constant(0.01)), 2, state)
    assert records[1]["loss"] < records[0]["loss"]


def test_running_statistics_that_overflow_are_divergence_too():
    """The variance of values around 1e25 is infinite in float32, while loss and gradient are finite."""
    network = make_network(BatchNorm(), Flatten(), Dense(N_CLASSES), dtype=np.float32)
    data, before = make_data(dtype=np.float32), bits_of(network)
    data.images.X *= np.float32(1e25)
    with pytest.raises(DivergenceError, match="step 1"):
        train(network, data, objective(), 1)
    assert bits_of(network) == before


def test_is_finite_looks_at_every_element():
    vector = np.zeros(2 * SECTION + 5)
    assert is_finite(vector)
    for index, value in [(0, np.nan), (SECTION, np.inf), (len(vector) - 1, -np.inf)]:
        vector[index] = value
        assert not is_finite(vector)
        vector[index] = 0


def overshoot(call, loss, gradient):
    """Have a gradient of 1e38 for the scores of the first sample, and of zero for others."""
    gradient.fill(0)
    gradient[0] = 1e38
    return loss


def test_weights_whose_scores_overflow_are_divergence_at_the_end_of_an_epoch():
    """The last step of the epoch leaves finite weights, and no step follows whose loss would tell.

    The scores are those of prediction, where nothing is dropped: half of 24 weights are 1e38, times one half.
    """
    network = make_network(Flatten(), Dropout(0.5), Dense(N_CLASSES), dtype=np.float32)
    data = make_data(5, dtype=np.float32)
    data.images.X[:] = 0.5
    before, state = bits_of(network), TrainingState(seed=7)
    with pytest.raises(DivergenceError, match="^the scores .* at step 1$"):
        train(network, data, objective(loss=SpoiltLoss(overshoot), schedule=constant(1.0)), 1, state)
    assert bits_of(network) == before
    assert (state.epoch, state.step) == (0, 0)


@pytest.mark.parametrize(("rate", "n_tried"), [(0.003, 0), (0.3, 6)])
def test_scores_are_tried_where_a_weight_has_moved_far(rate, n_tried):
    data = noting_data(6)
    train(make_network(), data, objective(optimizer=Adam(), schedule=constant(rate)), 1)
    assert len(data.images.rows) == 6 + n_tried


# --- interrupts ---


def test_an_interrupt_is_delivered_at_the_end_of_the_with_statement(keyboard_interrupt):
    """Also by a step that fails: who presses Ctrl-C in the step that diverges wants to stop, too."""
    done = []
    with pytest.raises(KeyboardInterrupt), hold_interrupts():
        signal.raise_signal(signal.SIGINT)
        done.append("complete")
        raise DivergenceError
    assert done == ["complete"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_after_an_exception_the_handler_is_restored(keyboard_interrupt):
    with pytest.raises(KeyError), hold_interrupts():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        raise KeyError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_user_is_called_once_with_its_arguments(keyboard_interrupt):
    calls = []
    signal.signal(signal.SIGINT, lambda *arguments: calls.append(arguments))
    handler = signal.getsignal(signal.SIGINT)
    with hold_interrupts():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert calls == []
    assert [(number, frame is not None) for number, frame in calls] == [(signal.SIGINT, True)]
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_ignored_interrupt_stays_ignored(keyboard_interrupt):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with hold_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_outside_the_main_thread_signals_are_left_alone(keyboard_interrupt):
    def held():
        with hold_interrupts():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(held).result(30) is signal.default_int_handler


def test_an_interrupted_step_is_completed(keyboard_interrupt, monkeypatch):
    """The network and the state are those after as many steps without an interrupt."""
    monkeypatch.setenv("SKCNN_NUM_THREADS", "1")  # the loss is computed in the main thread
    network, state = full_network(), TrainingState(seed=SEED)
    goal = objective(optimizer=Adam(), averaging=ExponentialAverage())
    with pytest.raises(KeyboardInterrupt):
        train(network, make_data(), goal, 5, state, loss=InterruptedLoss(6))
    assert (state.epoch, state.step) == (1, 6)
    other, other_state = full_network(), TrainingState(seed=SEED)
    train(other, make_data(), goal, 1, other_state)
    stop_the_clock_after(2, monkeypatch)
    train(other, make_data(), goal, 1, other_state, deadline=1.0)
    other_state.epoch -= 1  # which the time has ended
    assert all_bits(network, state) == all_bits(other, other_state)
