"""Small networks, samples and objectives that several tests of training use."""

import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from seeds import SEED, generator

from skcnn.data.images import ImageFormat, ImageSource
from skcnn.data.samples import TrainingData
from skcnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, ReLU
from skcnn.network.executor import Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.losses import LogLoss
from skcnn.network.network import init_network
from skcnn.network.threads import worker_pool
from skcnn.training.loop import loss_and_gradient, train_epochs, update
from skcnn.training.optimizers import SGD
from skcnn.training.schedules import ConstantRate
from skcnn.training.state import Objective, TrainingState
from skcnn.training.time_limit import TimeLimit

SHAPE, N_CLASSES = (3, 4, 2), 3


def make_network(*layers, dtype=np.float64, seed=0, shape=SHAPE):
    """Return a network with biases and shifts that are not zero; a Dense layer by default."""
    layers = layers or (Flatten(), Dense(N_CLASSES))
    named = [(f"layer{index}", layer) for index, layer in enumerate(layers)]
    network = init_network(compile_nodes(named, shape), dtype=dtype, seed=SEED + seed)
    network.vector += 0.3 * generator(seed).standard_normal(network.n_params).astype(dtype)
    return network


def full_network(dtype=np.float64):
    """Return a network with everything that draws or keeps state."""
    layers = [Conv2D(3), BatchNorm(), ReLU(), Flatten(), Dropout(0.3), Dense(5), ReLU(), Dense(N_CLASSES)]
    return make_network(*layers, dtype=dtype)


def normalized_network(dtype=np.float64):
    """Return a network with two batch normalizations, the second after the first, and nothing random."""
    return make_network(
        Flatten(), Dense(5), BatchNorm(), ReLU(), Dense(4), BatchNorm(0.5), Dense(N_CLASSES), dtype=dtype
    )


def naive_statistics(network, X, weights=None):
    """Return mean and biased variance before each normalization of ``normalized_network`` by its name."""
    statistics, Y = {}, X.reshape(len(X), -1)
    for node in network.nodes[2:]:
        params = network.params.get(node.name, {})
        if isinstance(node.layer, Dense):
            Y = Y @ params["weight"] + params["bias"]
        elif isinstance(node.layer, ReLU):
            Y = np.maximum(Y, 0)
        else:
            mean = np.average(Y, axis=0, weights=weights)
            variance = np.average((Y - mean) ** 2, axis=0, weights=weights)
            statistics[node.name, "running_mean"] = mean
            statistics[node.name, "running_variance"] = variance
            Y = params["scale"] * (Y - mean) / np.sqrt(variance + node.layer.epsilon) + params["shift"]
    return statistics


def assert_statistics(actual, expected, tolerance=1e-13):
    """Hold running statistics against naive ones, which do not count updates."""
    for where, value in expected.items():
        np.testing.assert_allclose(actual[where], value, rtol=0, atol=tolerance * max(1, np.abs(value).max()))
    assert {where[1] for where in set(actual) - set(expected)} <= {"n_updates"}


def make_data(n_samples=20, *, weights=None, dtype=np.float64, seed=1, shape=SHAPE, n_classes=N_CLASSES):
    rng = generator(seed)
    X = rng.standard_normal((n_samples, *shape))
    codes = rng.integers(0, n_classes, n_samples)
    loss_weights = np.ones(n_samples) if weights is None else weights / weights.mean()
    format = ImageFormat(shape, False, np.dtype(dtype))
    return TrainingData(ImageSource(X.astype(dtype), format), codes, loss_weights, weights)


def repetitions(data):
    """Return the data with whole numbers as weights, and with as many repetitions instead."""
    repeats = generator(3).integers(1, 4, len(data.targets))
    weights, images = repeats.astype(float), data.images
    weighted = TrainingData(images, data.targets, weights / weights.mean(), weights)
    repeated_images = ImageSource(np.repeat(images.X, repeats, axis=0), images.format)
    repeated = TrainingData(repeated_images, np.repeat(data.targets, repeats), np.ones(repeats.sum()), None)
    return weighted, repeated


def constant(rate):
    return ConstantRate(rate, n_epochs=10)


def objective(**changes):
    values = {
        "loss": LogLoss(),
        "label_smoothing": 0.0,
        "alpha": 0.0,
        "n_epochs": 10,
        "optimizer": SGD(0.0, False),
        "schedule": constant(0.1),
        "batch_size": 6,
    }
    return Objective(**(values | changes))


def train(network, data, goal, n_epochs, state=None, *, deadline=np.inf, **changes):
    """Train for some epochs, with changes of the objective, and return the records."""
    goal = replace(goal, **changes)
    state = TrainingState(seed=SEED) if state is None else state
    with worker_pool() as pool:
        epochs = train_epochs(network, data, state, goal, pool=pool, limit=TimeLimit(deadline))
        return [next(epochs) for _ in range(n_epochs)]


def take_steps(network, data, goal, steps, state=None, learning_rate=1.0):
    """Take a step on each of some arrays of rows; yield its loss."""
    state = TrainingState(seed=SEED) if state is None else state
    for name in (*goal.optimizer.slot_names, *(["average"] if goal.averaging else [])):
        state.slots.setdefault(name, np.zeros_like(network.vector))
    with worker_pool() as pool:
        executor = Executor(network, pool, training=True, seed=SEED)
        for rows in steps:
            loss, gradient = loss_and_gradient(executor, data, rows, state, goal)
            update(executor, gradient, state, goal, learning_rate)
            state.n_samples_seen += len(rows)
            yield loss


def all_bits(network, state):
    """Return everything that training changes, as bytes."""
    arrays = {"vector": network.vector} | network.buffers() | state.slots
    numbers = {name: value for name, value in vars(state).items() if name != "slots"}
    return numbers, {key: np.asarray(value).tobytes() for key, value in arrays.items()}


class InterruptedLoss(LogLoss):
    """The user presses Ctrl-C in the middle of a step."""

    def __init__(self, interrupted_call):
        self.interrupted_call, self.calls = interrupted_call, 0

    def gradient(self, scores, targets, weights, out):
        self.calls += 1
        if self.calls == self.interrupted_call:
            signal.raise_signal(signal.SIGINT)
        return super().gradient(scores, targets, weights, out)


@contextmanager
def default_handler():
    """Set Python's own handler of SIGINT, whatever the runner of the tests has set."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
