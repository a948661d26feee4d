"""Tests of averages of weights: the arithmetic, through training, and the statistics computed anew."""

import copy
import inspect

import numpy as np
import pytest
from cuts import FINE
from numpy.testing import assert_allclose, assert_array_equal
from seeds import SEED, generator
from small_classifiers import make_classifier
from small_trainings import (
    N_CLASSES,
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
    take_steps,
    train,
)

from skcnn.layers import BatchNorm, Dense, Dropout, Flatten
from skcnn.network.executor import Executor
from skcnn.network.losses import LOSSES, LogLoss
from skcnn.network.threads import worker_pool
from skcnn.training.loop import DivergenceError, make_batch
from skcnn.training.optimizers import Adam
from skcnn.training.recalibration import choose_evenly, make_averaged_network
from skcnn.training.state import TrainingState
from skcnn.training.weight_averaging import AVERAGING, Averaging, ExponentialAverage, StochasticWeightAverage

AVERAGES = [ExponentialAverage(), ExponentialAverage(0.5), StochasticWeightAverage(0.5)]

each_average = pytest.mark.parametrize(
    "averaging", AVERAGES, ids=lambda each: "-".join([type(each).__name__, *map(str, vars(each).values())])
)


def goal_of(averaging, **changes):
    return objective(optimizer=Adam(), averaging=averaging, n_epochs=4, **changes)


def average_of(network, data, state, *, batch_size=6, **options):
    goal = goal_of(ExponentialAverage(), batch_size=batch_size)
    with worker_pool() as pool:
        return make_averaged_network(network, data, state, goal, pool=pool, **options)


def naive_exponential_average(snapshots, decay):
    """Return the sum of all weights times their shares, which sum to one."""
    shares = []
    for n in range(len(snapshots)):
        kept = 0.0 if n == 0 else min(decay, (1 + n) / (10 + n))
        shares = [share * kept for share in shares] + [1 - kept]
    assert sum(shares) == pytest.approx(1, rel=1e-13)
    return sum(share * weights for share, weights in zip(shares, snapshots, strict=True))


# --- the arithmetic ---


def test_the_names_and_what_the_estimator_must_know():
    assert list(AVERAGING) == ["ema", "swa"]
    for averaging in AVERAGING.values():
        assert issubclass(averaging, Averaging)
        assert tuple(inspect.signature(averaging).parameters) == averaging.hyperparameters
    assert (ExponentialAverage.each_step, ExponentialAverage.has_horizon) == (True, False)
    assert (StochasticWeightAverage.each_step, StochasticWeightAverage.has_horizon) == (False, True)


@pytest.mark.parametrize(
    ("start", "n_epochs", "taken"),
    [(0.0, 3, [1, 2, 3]), (0.75, 8, [7, 8]), (0.75, 1, [1]), (0.5, 5, [3, 4, 5]), (0.99, 4, [4])],
)
def test_which_epochs_the_equal_average_takes(start, n_epochs, taken):
    averaging = StochasticWeightAverage(averaging_start=start)
    assert [epoch for epoch in range(1, n_epochs + 1) if averaging.takes_epoch(epoch, n_epochs)] == taken
    assert not ExponentialAverage().takes_epoch(n_epochs, n_epochs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_average
def test_updates_equal_the_definition_and_keep_the_dtype(averaging, dtype):
    """Each update rounds a number of at most 4 three times, but that of equal weights changes nothing."""
    snapshots = generator(0).uniform(-4, 4, (30, 7)).astype(dtype)
    average = np.full(7, np.nan, dtype)
    for n, weights in enumerate(snapshots):
        before = weights.copy()
        averaging.update(average, weights, n)
        assert_array_equal(weights, before)
    if averaging.each_step:
        expected = naive_exponential_average(snapshots.astype(np.float64), averaging.averaging_decay)
    else:
        expected = snapshots.astype(np.float64).mean(axis=0)
    assert average.dtype == dtype
    assert_allclose(average, expected, rtol=0, atol=30 * 3 * 4 * np.finfo(dtype).eps / 2)
    equal = average.copy()
    averaging.update(average, equal, 30)
    assert_array_equal(average, equal)


# --- in training ---


@each_average
def test_training_is_the_same_bit_for_bit_as_without_an_average(averaging):
    """With dropout and running statistics; only the average comes to the state."""
    networks, states = [], []
    for average in (averaging, None):
        networks.append(full_network(np.float32))
        states.append(TrainingState(seed=SEED))
        train(networks[-1], make_data(dtype=np.float32), goal_of(average), 4, states[-1])
    assert states[0].slots.pop("average").dtype == np.float32
    assert states[0].n_averaged > 0 == states[1].n_averaged
    states[0].n_averaged = 0
    assert all_bits(networks[0], states[0]) == all_bits(networks[1], states[1])


def test_the_exponential_average_is_that_of_the_weights_of_every_step():
    network, data, state = make_network(), make_data(), TrainingState(seed=SEED)
    goal, snapshots = goal_of(ExponentialAverage(0.5)), []
    rows = generator(0).integers(0, 20, (30, 5))
    for _ in take_steps(network, data, goal, rows, state, learning_rate=0.05):
        snapshots.append(network.vector.copy())
        expected = naive_exponential_average(snapshots, 0.5)
        assert_allclose(state.slots["average"], expected, rtol=0, atol=1e-14)
    assert state.n_averaged == 30
    assert np.abs(state.slots["average"] - network.vector).max() > 1e-3


def test_the_equal_average_is_that_of_the_ends_of_the_last_epochs():
    network, state, ends = make_network(), TrainingState(seed=SEED), []
    plain, plain_state = make_network(), TrainingState(seed=SEED)
    for _ in range(4):
        train(plain, make_data(), goal_of(None), 1, plain_state)
        ends.append(plain.vector.copy())
    train(network, make_data(), goal_of(StochasticWeightAverage(0.5)), 4, state)
    assert state.n_averaged == 2
    assert_allclose(state.slots["average"], np.mean(ends[2:], axis=0), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("averaging", "counts"), [(StochasticWeightAverage(0.5), (2, 2)), (ExponentialAverage(), (16, 32))]
)
def test_a_further_call_begins_the_equal_average_anew_and_not_the_exponential_one(averaging, counts):
    network, state = make_network(), TrainingState(seed=SEED)
    for count in counts:
        train(network, make_data(), goal_of(averaging), 4, state)
        assert state.n_averaged == count


@each_average
def test_training_goes_on_from_the_weights_in_the_state(averaging):
    """They are put back, and the average that the network held until then does not matter."""
    network, data, state = make_network(), make_data(), TrainingState(seed=SEED)
    train(network, data, goal_of(averaging), 4, state)
    other, other_state = copy.deepcopy((network, state))
    state.trained = network.vector.copy()
    network.restore(average_of(network, data, state).snapshot())
    assert (network.vector != other.vector).any()
    train(network, data, goal_of(averaging), 4, state)
    train(other, data, goal_of(averaging), 4, other_state)
    assert state.trained is None
    assert all_bits(network, state) == all_bits(other, other_state)


def test_divergence_takes_the_average_back_with_the_weights():
    class Failing(LogLoss):
        calls = 0

        def gradient(self, scores, targets, weights, out):
            self.calls += 1
            return np.nan if self.calls == 7 else super().gradient(scores, targets, weights, out)

    network, data, state = make_network(), make_data(), TrainingState(seed=SEED)
    with pytest.raises(DivergenceError):
        train(network, data, goal_of(ExponentialAverage(), loss=Failing()), 2, state)
    other, other_state = make_network(), TrainingState(seed=SEED)
    train(other, data, goal_of(ExponentialAverage()), 1, other_state)
    assert all_bits(network, state) == all_bits(other, other_state)


# --- the network with the average, and its statistics ---


def test_without_an_average_the_network_itself_is_returned():
    network = normalized_network()
    assert average_of(network, make_data(), TrainingState(seed=SEED)) is network


def test_the_averaged_network_is_another_one_with_the_average():
    """Training, the network and the state are left as they are."""
    network, data = normalized_network(np.float32), make_data(dtype=np.float32)
    state = TrainingState(seed=SEED)
    train(network, data, goal_of(ExponentialAverage(0.9)), 4, state)
    before = all_bits(network, state)
    averaged = average_of(network, data, state)
    assert all_bits(network, state) == before
    assert not np.shares_memory(averaged.vector, state.slots["average"])
    assert averaged.vector.dtype == np.float32
    assert_array_equal(averaged.vector, state.slots["average"])
    assert {value.dtype for value in averaged.buffers().values()} == {np.dtype("f4"), np.dtype("f8")}
    assert (averaged.vector != network.vector).any()


def average_as_it_is(network, data, *, seed=7, **options):
    """Return the averaged network where the average of the weights are the weights."""
    state = TrainingState(seed=seed, n_averaged=1, slots={"average": network.vector.copy()})
    return average_of(network, data, state, **options)


@pytest.mark.parametrize(
    ("batch_size", "scale", "in_order"),
    [(20, 1, True), (6, None, True), (6, 1, False), (7, None, True), (1, 1, True), (6, 2.0**1020, True)],
)
def test_statistics_are_means_over_minibatches_by_weight(batch_size, scale, in_order):
    """Minibatches of about the same size, cut from the order given, each by the weights of its samples."""
    weights = np.ones(20) if scale is None else generator(2).uniform(0.1, 5, 20)
    network, data = normalized_network(), make_data(weights=None if scale is None else weights)
    train(network, data, goal_of(None), 1)
    data.weights = None if scale is None else scale * weights
    order = None if in_order else generator(4).permutation(20)
    averaged = average_as_it_is(network, data, batch_size=batch_size, order=order)
    parts = np.array_split(np.arange(20) if in_order else order, -(-20 // batch_size))
    statistics = [naive_statistics(averaged, data.images.X[part], weights[part]) for part in parts]
    totals = [weights[part].sum() for part in parts]
    expected = {
        where: np.average([entry[where] for entry in statistics], axis=0, weights=totals)
        for where in statistics[0]
    }
    assert_statistics(averaged.buffers(), expected)


def test_given_statistics_go_on_as_in_training():
    """By an exponential average with momentum 0.9, corrected for its start, after three updates."""
    network, data = make_network(Flatten(), BatchNorm(), Dense(N_CLASSES)), make_data()
    X = data.images.X.reshape(20, -1)
    mean, variance = np.full(X.shape[1], 0.3), np.full(X.shape[1], 2.0)
    given = {"running_mean": mean, "running_variance": variance, "n_updates": np.array(3)}
    given = {("layer1", name): value for name, value in given.items()}
    statistics = average_as_it_is(network, data, statistics=given).buffers()
    for n_updates, part in enumerate(np.split(X, 4), start=4):
        rate = 0.1 / (1 - 0.9**n_updates)
        mean = mean + rate * (part.mean(axis=0) - mean)
        variance = variance + rate * (part.var(axis=0) - variance)
    expected = {("layer1", "running_mean"): mean, ("layer1", "running_variance"): variance}
    assert_statistics(statistics, expected)
    assert statistics["layer1", "n_updates"] == 7
    assert network.buffers()["layer1", "n_updates"] == 0


@pytest.mark.parametrize(
    ("n_samples", "chosen"),
    [(None, range(6)), (12, range(6)), (11, range(6)), (7, [0, 1, 3, 5]), (6, [0, 2, 5]), (1, [0, 5])],
)
def test_minibatches_are_chosen_at_even_distances(n_samples, chosen):
    """Two at least, the first and the last; of six with two samples each."""
    minibatches = np.array_split(np.arange(12), 6)
    found = [int(rows[0]) // 2 for rows in choose_evenly(minibatches, n_samples)]
    assert found == list(chosen)


def test_random_layers_draw_from_the_seed_of_the_training():
    """Half of the numbers that reach the normalization are dropped, by other masks for another seed."""
    network = make_network(Flatten(), Dropout(0.5), BatchNorm(), Dense(N_CLASSES))
    first, again, other = (
        average_as_it_is(network, make_data(), seed=seed).buffers()["layer2", "running_mean"]
        for seed in (7, 7, 8)
    )
    assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != make_data().images.X.reshape(20, -1).mean(axis=0)).any()


def test_images_are_augmented_as_in_the_epoch_that_the_state_is_at():
    class NotingAugmenter:
        def minibatch(self, images, rows, epoch, targets_of):
            asked.append((epoch, len(rows)))
            return (lambda part, out: images.read(rows[part], out)), targets_of(rows)

    asked, network, data = [], normalized_network(), make_data()
    data.augmenter = NotingAugmenter()
    state = TrainingState(seed=7, epoch=3, n_averaged=1, slots={"average": network.vector.copy()})
    average_of(network, data, state)
    assert asked == 4 * [(3, 5)]


# --- the statistics of a minibatch ---


@pytest.mark.parametrize(
    ("make", "weighted", "cut"),
    [
        (full_network, True, FINE),
        (full_network, False, None),
        (normalized_network, True, None),
        (make_network, False, None),  # without normalization: there are none
    ],
)
def test_statistics_are_those_that_a_training_step_gives(make, weighted, cut):
    """Bit for bit, with dropout, from running statistics that are not at their beginning."""
    weights = generator(2).uniform(0.5, 2, 20) if weighted else None
    network, data, goal = make(), make_data(weights=weights), objective()
    list(take_steps(network, data, goal, [np.arange(20)]))
    before = all_bits(network, TrainingState(seed=SEED))
    batch = make_batch(data, np.arange(3, 17), network, goal, number=5, epoch=0)
    with worker_pool(cut) as pool:
        trained, other = (Executor(network, pool, training=True, seed=SEED) for _ in range(2))
        trained.gradients(batch, LogLoss())
        assert other.statistics(batch) is other.buffers
    assert all_bits(network, TrainingState(seed=SEED)) == before
    assert trained.buffers.keys() == other.buffers.keys() == network.buffers().keys()
    for where, value in trained.buffers.items():
        assert_array_equal(other.buffers[where], value)
        assert (value != network.buffers()[where]).all()


# --- when an estimator gives up averaging ---


def fitted_with_average(**options):
    """Return an estimator that holds an average, to go on with other hyperparameters."""
    rng = generator(0)
    X = rng.standard_normal((80, 4, 4))
    y = X[:, 0, 0] + rng.standard_normal(80) / 2 > 0
    options = {"conv_layer_sizes": (), "hidden_layer_sizes": (8,), "batch_size": 80, "tol": 0.0} | options
    return make_classifier(averaging="ema", warm_start=True, **options).fit(X, y), X, y


def assert_stays(model, X, y, vector, **params):
    """Assert that training goes on from some weights: a rate of almost zero leaves them where they are."""
    model.set_params(max_iter=1, learning_rate_init=1e-12, **params).fit(X, y)
    assert_allclose(model.network_.vector, vector, rtol=0, atol=1e-9)


def test_without_averaging_any_more_training_goes_on_from_the_best_weights():
    """Labels for validation are wrong, so that their loss grows with all that is learned."""
    model, X, y = fitted_with_average(early_stopping=True)
    model.set_params(averaging=None, max_iter=10, learning_rate_init=0.5).fit(X, y, X_val=X, y_val=~y)
    assert model.validation_scores_[-1] < model.best_validation_score_
    assert_stays(model, X, y, model.network_.vector.copy(), early_stopping=False)


class InterruptedAtTen(InterruptedLoss):
    def __init__(self):
        super().__init__(10)


def test_training_goes_on_from_where_an_interrupted_lbfgs_stood(monkeypatch):
    """Not from the last weights before the average that L-BFGS began with."""
    model, X, y = fitted_with_average()
    model.set_params(solver="lbfgs", averaging=None, max_iter=50, tol=1e-9)
    monkeypatch.setenv("SKCNN_NUM_THREADS", "1")  # the loss is computed in the main thread
    with monkeypatch.context() as patch, default_handler(), pytest.raises(KeyboardInterrupt):
        patch.setitem(LOSSES, "log_loss", InterruptedAtTen)
        with pytest.warns(UserWarning, match="interrupted"):
            model.fit(X, y)
    assert_stays(model, X, y, model.network_.vector.copy(), solver="adam")


def test_after_lbfgs_an_exponential_average_begins_anew():
    """The weights from before have nothing to do with those that it averages now."""
    model, X, y = fitted_with_average()
    model.set_params(solver="lbfgs", averaging=None, max_iter=30).fit(X, y)
    assert_stays(model, X, y, model.network_.vector.copy(), solver="adam", averaging="ema")
