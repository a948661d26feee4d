"""Tests of averages of weights: the arithmetic, through training, and the statistics computed anew."""

import copy
import inspect
from dataclasses import replace

import numpy as np
import pytest
from cuts import FINE
from seeds import SEED, generator
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
    repetitions,
    take_steps,
    train,
)

from skcnn import ConvNetClassifier
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


def name_of(averaging):
    return "-".join([type(averaging).__name__, *map(str, vars(averaging).values())])


each_average = pytest.mark.parametrize("averaging", AVERAGES, ids=name_of)


def goal_of(averaging, **changes):
    return objective(optimizer=Adam(), averaging=averaging, n_epochs=4, **changes)


def average_of(network, data, state, goal, *, batch_size=6):
    with worker_pool() as pool:
        return make_averaged_network(network, data, state, replace(goal, batch_size=batch_size), pool=pool)


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
    """Each update rounds a number of at most 4 three times."""
    snapshots = generator(0).uniform(-4, 4, (30, 7)).astype(dtype)
    average = np.full(7, np.nan, dtype)
    for n, weights in enumerate(snapshots):
        before = weights.copy()
        averaging.update(average, weights, n)
        np.testing.assert_array_equal(weights, before)
    if averaging.each_step:
        expected = naive_exponential_average(snapshots.astype(np.float64), averaging.averaging_decay)
    else:
        expected = snapshots.astype(np.float64).mean(axis=0)
    assert average.dtype == dtype
    np.testing.assert_allclose(average, expected, rtol=0, atol=30 * 3 * 4 * np.finfo(dtype).eps / 2)


@each_average
def test_the_average_of_equal_weights_is_these_weights(averaging):
    weights = np.array([0.1, -3.7])
    average = np.zeros(2)
    for n in range(20):
        averaging.update(average, weights, n)
    np.testing.assert_array_equal(average, weights)


# --- in training ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_average
def test_training_is_the_same_bit_for_bit_as_without_an_average(averaging, dtype):
    """With dropout and running statistics; only the average comes to the state."""
    networks, states = [], []
    for average in (averaging, None):
        networks.append(full_network(dtype))
        states.append(TrainingState(seed=SEED))
        train(networks[-1], make_data(dtype=dtype), goal_of(average), 4, states[-1])
    assert states[0].slots.pop("average").dtype == dtype
    assert states[0].n_averaged > 0 == states[1].n_averaged
    states[0].n_averaged = 0
    assert all_bits(networks[0], states[0]) == all_bits(networks[1], states[1])


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_exponential_average_is_that_of_the_weights_of_every_step(decay):
    network, data, state = make_network(), make_data(), TrainingState(seed=SEED)
    goal, snapshots = goal_of(ExponentialAverage(decay)), []
    rows = generator(0).integers(0, 20, (30, 5))
    for _ in take_steps(network, data, goal, rows, state, learning_rate=0.05):
        snapshots.append(network.vector.copy())
        expected = naive_exponential_average(snapshots, decay)
        np.testing.assert_allclose(state.slots["average"], expected, rtol=0, atol=1e-14)
    assert state.n_averaged == 30
    assert np.abs(state.slots["average"] - network.vector).max() > 1e-3 or decay == 0


@pytest.mark.parametrize(("start", "n_averaged"), [(0.0, 4), (0.5, 2), (0.75, 1), (0.99, 1)])
def test_the_equal_average_is_that_of_the_ends_of_the_last_epochs(start, n_averaged):
    network, data, state = make_network(), make_data(), TrainingState(seed=SEED)
    goal, snapshots = goal_of(StochasticWeightAverage(start)), []
    plain, plain_state = copy.deepcopy(network), TrainingState(seed=SEED)
    for _ in range(4):
        train(plain, data, goal_of(None), 1, plain_state)
        snapshots.append(plain.vector.copy())
    train(network, data, goal, 4, state)
    assert state.n_averaged == n_averaged
    expected = np.mean(snapshots[-n_averaged:], axis=0)
    np.testing.assert_allclose(state.slots["average"], expected, rtol=0, atol=1e-15)


def test_a_further_call_begins_the_equal_average_anew_and_goes_on_with_the_exponential_one():
    for averaging, counts in [(StochasticWeightAverage(0.5), (2, 2)), (ExponentialAverage(), (16, 32))]:
        network, state = make_network(), TrainingState(seed=SEED)
        for count in counts:
            train(network, make_data(), goal_of(averaging), 4, state)
            assert state.n_averaged == count


@each_average
def test_training_goes_on_from_the_weights_in_the_state(averaging):
    """They are put back, and the average that the network held until then does not matter."""
    network, data, state = make_network(), make_data(), TrainingState(seed=SEED)
    goal = goal_of(averaging)
    train(network, data, goal, 4, state)
    other, other_state = copy.deepcopy((network, state))
    state.trained = network.vector.copy()
    network.restore(average_of(network, data, state, goal).snapshot())
    assert (network.vector != other.vector).any()
    train(network, data, goal, 4, state)
    train(other, data, goal, 4, other_state)
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
    goal = goal_of(StochasticWeightAverage())
    assert average_of(network, make_data(), TrainingState(seed=SEED), goal) is network


def averaged_after_training(weights=None, batch_size=6, dtype=np.float64):
    """Return a trained network, its average, the data and the state."""
    network, data = normalized_network(dtype), make_data(weights=weights, dtype=dtype)
    state, goal = TrainingState(seed=SEED), goal_of(ExponentialAverage(0.9))
    train(network, data, goal, 4, state)
    before = all_bits(network, state)
    averaged = average_of(network, data, state, goal, batch_size=batch_size)
    assert all_bits(network, state) == before
    return network, averaged, data, state


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_averaged_network_is_another_one_with_the_average(dtype):
    """Training, the network and the state are left as they are."""
    network, averaged, _, state = averaged_after_training(dtype=dtype)
    assert not np.shares_memory(averaged.vector, network.vector)
    assert not np.shares_memory(averaged.vector, state.slots["average"])
    assert averaged.vector.dtype == dtype
    np.testing.assert_array_equal(averaged.vector, state.slots["average"])
    assert {value.dtype for value in averaged.buffers().values()} == {np.dtype(dtype), np.dtype(np.float64)}
    assert (averaged.vector != network.vector).any()


@pytest.mark.parametrize("weighted", [False, True])
def test_with_one_minibatch_the_statistics_are_exactly_its_own(weighted):
    """Those of all samples, those of the second normalization after the normalized first."""
    weights = generator(2).uniform(0.5, 2, 20) if weighted else None
    _, averaged, data, _ = averaged_after_training(weights, batch_size=20)
    assert_statistics(averaged.buffers(), naive_statistics(averaged, data.images.X, weights))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_statistics_are_means_over_minibatches_by_weight(weighted):
    """Of 20 samples, at most 6 a minibatch, in their order; each counts by its total weight."""
    weights = generator(2).uniform(0.1, 5, 20) if weighted else None
    _, averaged, data, _ = averaged_after_training(weights)
    shares = np.ones(20) if weights is None else weights
    parts = [slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 20)]
    statistics = [naive_statistics(averaged, data.images.X[part], shares[part]) for part in parts]
    totals = [shares[part].sum() for part in parts]
    expected = {
        where: np.average([entry[where] for entry in statistics], axis=0, weights=totals)
        for where in statistics[0]
    }
    assert_statistics(averaged.buffers(), expected)


def test_minibatches_of_different_sizes_count_by_their_samples():
    _, averaged, data, _ = averaged_after_training(batch_size=7)
    parts = [slice(0, 7), slice(7, 14), slice(14, 20)]
    expected = {}
    for part in parts:
        for where, value in naive_statistics(averaged, data.images.X[part]).items():
            expected[where] = expected.get(where, 0) + (part.stop - part.start) / 20 * value
    assert_statistics(averaged.buffers(), expected)


def test_weights_equal_repetition_in_the_statistics_of_one_minibatch():
    network, state = normalized_network(), TrainingState(seed=SEED, n_averaged=1)
    state.slots["average"] = network.vector.copy()
    weighted, repeated = (
        average_of(network, data, state, goal_of(ExponentialAverage()), batch_size=1000).buffers()
        for data in repetitions(make_data())
    )
    assert_statistics(weighted, {where: v for where, v in repeated.items() if where[1] != "n_updates"})


@pytest.mark.parametrize("average", [ExponentialAverage(), StochasticWeightAverage(0.0)], ids=name_of)
def test_the_averaged_network_has_the_same_bits_on_any_number_of_threads(average, cut_work, monkeypatch):
    cut_work(FINE)
    results = []
    for n_threads in (1, 2, 8):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        network, data, state = full_network(np.float32), make_data(dtype=np.float32), TrainingState(seed=SEED)
        goal = goal_of(average)
        train(network, data, goal, 2, state)
        results.append(all_bits(average_of(network, data, state, goal), state))
    assert results[0] == results[1] == results[2]


# --- the statistics of a minibatch ---


@pytest.mark.parametrize("make", [full_network, normalized_network])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cut", [None, FINE], ids=["whole", "fine"])
def test_statistics_are_those_that_a_training_step_gives(make, weighted, cut):
    """Bit for bit, with dropout, from running statistics that are not at their beginning."""
    weights = generator(2).uniform(0.5, 2, 20) if weighted else None
    network, data, goal = make(), make_data(weights=weights), objective()
    list(take_steps(network, data, goal, [np.arange(20)]))
    before = all_bits(network, TrainingState(seed=SEED))
    batch = make_batch(data, np.arange(3, 17), network, goal, number=5, epoch=0)
    results = []
    with worker_pool(cut) as pool:
        for run in ("gradients", "statistics"):
            executor = Executor(network, pool, training=True, seed=SEED)
            executor.gradients(batch, LogLoss()) if run == "gradients" else executor.statistics(batch)
            results.append(executor.buffers)
        assert executor.statistics(batch) is executor.buffers
    assert all_bits(network, TrainingState(seed=SEED)) == before
    assert results[0].keys() == results[1].keys() == network.buffers().keys()
    for where, value in results[0].items():
        np.testing.assert_array_equal(results[1][where], value)
        assert (value != network.buffers()[where]).all()


def test_an_executor_may_take_statistics_and_gradients_by_turns():
    """Neither leaves anything behind that the other reads."""
    network, data, goal = full_network(), make_data(), objective()
    batches = [make_batch(data, np.arange(n), network, goal, number=n, epoch=0) for n in (20, 7)]
    with worker_pool() as pool:
        turns = Executor(network, pool, training=True, seed=SEED)
        for batch in (*batches, *batches):
            turns.statistics(batch)
            loss = turns.gradients(batch, LogLoss())
            fresh = Executor(network, pool, training=True, seed=SEED)
            assert loss == fresh.gradients(batch, LogLoss())
            np.testing.assert_array_equal(turns.reduce(), fresh.reduce())
            for where, value in fresh.buffers.items():
                np.testing.assert_array_equal(turns.buffers[where], value)


def test_a_network_without_normalization_has_no_statistics():
    network, data = make_network(), make_data()
    with worker_pool() as pool:
        executor = Executor(network, pool, training=True, seed=SEED)
        assert (
            executor.statistics(make_batch(data, np.arange(5), network, objective(), number=0, epoch=0)) == {}
        )


# --- when an estimator gives up averaging ---


def fitted_with_average(**options):
    """Return an estimator that holds an average, to go on with other hyperparameters."""
    rng = generator(0)
    X = rng.standard_normal((80, 4, 4))
    y = X[:, 0, 0] + rng.standard_normal(80) / 2 > 0
    options = {"conv_layer_sizes": (), "hidden_layer_sizes": (8,), "max_iter": 3} | options
    model = ConvNetClassifier(averaging="ema", warm_start=True, tol=0.0, random_state=SEED, **options)
    return model.fit(X, y), X, y


def test_without_averaging_any_more_training_goes_on_from_the_best_weights():
    """As it does where there never was an average: a rate of almost zero leaves them where they are.

    Labels for validation are wrong, so that their loss grows with all that is learned.
    """
    model, X, y = fitted_with_average(early_stopping=True)
    model.set_params(averaging=None, max_iter=10, learning_rate_init=0.5).fit(X, y, X_val=X, y_val=~y)
    assert model.validation_scores_[-1] < model.best_validation_score_
    best = model.network_.vector.copy()
    model.set_params(early_stopping=False, max_iter=1, learning_rate_init=1e-12).fit(X, y)
    np.testing.assert_allclose(model.network_.vector, best, rtol=0, atol=1e-9)


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
    vector = model.network_.vector.copy()
    model.set_params(solver="adam", max_iter=1, learning_rate_init=1e-12).fit(X, y)
    np.testing.assert_allclose(model.network_.vector, vector, rtol=0, atol=1e-9)


def test_after_lbfgs_an_exponential_average_begins_anew():
    """The weights from before have nothing to do with those that it averages now."""
    model, X, y = fitted_with_average()
    model.set_params(solver="lbfgs", averaging=None, max_iter=30).fit(X, y)
    vector = model.network_.vector.copy()
    model.set_params(solver="adam", averaging="ema", max_iter=1, learning_rate_init=1e-12).fit(X, y)
    np.testing.assert_allclose(model.network_.vector, vector, rtol=0, atol=1e-9)


# --- what the statistics of the average are taken with ---


def test_minibatches_are_cut_from_the_samples_in_the_order_given():
    """And each counts by the weights of its own samples."""
    weights = np.random.default_rng(2).uniform(0.1, 5, 20)
    network, data, state = normalized_network(), make_data(weights=weights), TrainingState(seed=7)
    state.slots["average"], state.n_averaged = network.vector + 0.1, 1
    order = np.random.default_rng(4).permutation(20)
    with worker_pool() as pool:
        averaged = make_averaged_network(
            network, data, state, goal_of(ExponentialAverage()), pool=pool, order=order
        )
    parts = order.reshape(4, 5)
    statistics = [naive_statistics(averaged, data.images.X[part], weights[part]) for part in parts]
    totals = weights[parts].sum(axis=1)
    expected = {
        where: np.average([entry[where] for entry in statistics], axis=0, weights=totals)
        for where in statistics[0]
    }
    assert_statistics(averaged.buffers(), expected)


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
    means = []
    for seed in (7, 7, 8):
        network = make_network(Flatten(), Dropout(0.5), BatchNorm(), Dense(N_CLASSES))
        state = TrainingState(seed=seed, n_averaged=1)
        state.slots["average"] = network.vector.copy()
        averaged = average_of(network, make_data(), state, goal_of(ExponentialAverage()), batch_size=20)
        means.append(averaged.buffers()["layer2", "running_mean"])
    np.testing.assert_array_equal(means[0], means[1])
    assert (means[0] != means[2]).any()
    assert (means[0] != make_data().images.X.reshape(20, -1).mean(axis=0)).any()


def statistics_of(network, data, *, batch_size=6, statistics=None):
    """Return the statistics of a network whose average of weights are its weights."""
    state = TrainingState(seed=7, n_averaged=1, slots={"average": network.vector.copy()})
    goal = goal_of(ExponentialAverage(), batch_size=batch_size)
    with worker_pool() as pool:
        return make_averaged_network(network, data, state, goal, pool=pool, statistics=statistics).buffers()


def test_minibatches_of_one_sample_have_its_values_as_means():
    network, data = make_network(Flatten(), BatchNorm(), Dense(N_CLASSES)), make_data()
    statistics = statistics_of(network, data, batch_size=1)
    X = data.images.X.reshape(20, -1)
    np.testing.assert_allclose(statistics["layer1", "running_mean"], X.mean(axis=0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(statistics["layer1", "running_variance"], 0, rtol=0, atol=1e-14)


def test_the_scale_of_the_weights_does_not_matter_to_the_statistics():
    """However large: a power of two, which is exact."""
    weights, network = np.random.default_rng(2).uniform(0.1, 5, 20), normalized_network()
    small, large = (statistics_of(network, make_data(weights=weights * factor)) for factor in (1, 2.0**1015))
    for where, value in small.items():
        np.testing.assert_array_equal(large[where], value)


def test_given_statistics_go_on_as_in_training():
    """By an exponential average with momentum 0.9, corrected for its start, after three updates."""
    network, data = make_network(Flatten(), BatchNorm(), Dense(N_CLASSES)), make_data()
    X = data.images.X.reshape(20, -1)
    mean, variance = np.full(X.shape[1], 0.3), np.full(X.shape[1], 2.0)
    given = {"running_mean": mean, "running_variance": variance, "n_updates": np.array(3)}
    statistics = statistics_of(
        network, data, statistics={("layer1", name): value for name, value in given.items()}
    )
    for n_updates, part in enumerate(np.split(X, 4), start=4):
        rate = 0.1 / (1 - 0.9**n_updates)
        mean = mean + rate * (part.mean(axis=0) - mean)
        variance = variance + rate * (part.var(axis=0) - variance)
    expected = {("layer1", "running_mean"): mean, ("layer1", "running_variance"): variance}
    assert_statistics(statistics, expected)
    assert statistics["layer1", "n_updates"] == 7
    assert network.buffers()["layer1", "n_updates"] == 0


def test_images_are_augmented_as_in_the_epoch_that_the_state_is_at():
    class NotingAugmenter:
        def minibatch(self, images, rows, epoch, targets_of):
            asked.append((epoch, len(rows)))
            return (lambda part, out: images.read(rows[part], out)), targets_of(rows)

    asked, network, data = [], normalized_network(), make_data()
    data.augmenter = NotingAugmenter()
    state = TrainingState(seed=7, epoch=3, n_averaged=1, slots={"average": network.vector.copy()})
    average_of(network, data, state, goal_of(ExponentialAverage()))
    assert asked == 4 * [(3, 5)]
