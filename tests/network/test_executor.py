"""Tests of the execution: gradients of networks of any shape, and the same bits however it runs."""

import copy
import tracemalloc

import numpy as np
import pytest
from cuts import FINE, PAIRS
from seeds import SEED, generator
from small_networks import Multiply, Negative, chain, random_graph

from skcnn.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    ReLU,
    Tanh,
)
from skcnn.layers.containers import Add, Concatenate
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.losses import LogLoss
from skcnn.network.threads import worker_pool

N_THREADS = (1, 2, 3, 8)
WHOLE = Cut(max_shards=1, min_chunk=5)


class Problem:
    """A minibatch for a network, and the rows that are read of it."""

    def __init__(self, network, n_rows=11, *, weighted=False, seed=0):
        rng = generator(seed)
        shape = network.nodes[0].output_shape
        images = rng.standard_normal((n_rows, *shape)).astype(network.dtype)
        self.X = images.transpose(1, 2, 0, 3) if len(shape) == 3 else images
        self.targets = rng.dirichlet(np.ones(network.n_outputs), n_rows).astype(network.dtype)
        self.weights = rng.uniform(0.2, 2, n_rows) if weighted else None
        loss_weights = self.weights if weighted else np.ones(n_rows)
        self.loss_weights = (loss_weights / n_rows).astype(network.dtype)
        self.number = seed + 3
        self.reads = []

    def batch(self):
        return Batch(len(self.targets), self.read, self.targets, self.loss_weights, self.weights, self.number)

    def read(self, rows, out):
        self.reads.append((rows.start, rows.stop))
        np.copyto(out, self.X[..., rows, :])


def executor_of(network, pool, *, training=True, **options):
    return Executor(network, pool, training=training, seed=SEED, **options)


def train(executor, problem):
    """Return what a step of training gives, by name: loss, gradients and new buffers."""
    loss = executor.gradients(problem.batch(), LogLoss())
    return {"loss": loss, "gradient": executor.reduce().copy(), **executor.buffers}


def predict(executor, problem):
    out = np.full((len(problem.targets), executor.network.n_outputs), np.nan, executor.network.dtype)
    return {"scores": executor.predict(problem.batch(), out)}


def run(network, problem, cut=FINE, *, input_gradient=False):
    """Return what fresh executors give in training and in prediction."""
    with worker_pool(cut) as pool:
        executor = executor_of(network, pool, input_gradient=input_gradient)
        results = train(executor, problem)
        if input_gradient:
            results["input gradient"] = executor.input_gradient()
        return results | predict(executor_of(network, pool, training=False), problem)


def assert_same_bits(results, expected):
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(results[name], value, err_msg=str(name))


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """Compute on one thread, and return a function that sets another number."""

    def use(number):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(number))

    use(1)
    return use


# --- gradients, statistics and scores of graphs against those of a naive network ---


def windows(X, size):
    """Return the windows around all pixels, by their position first."""
    margin = size // 2
    padded = np.pad(X, ((margin, margin), (margin, margin), (0, 0), (0, 0)))
    height, width = X.shape[:2]
    return np.array([padded[i : i + height, j : j + width] for i in range(size) for j in range(size)])


def moments(X, weights):
    """Return mean and variance of each channel over pixels and rows."""
    pixels = X.reshape(-1, *X.shape[-2:])
    weights = np.ones(X.shape[-2]) if weights is None else weights
    total = weights.sum() * len(pixels)
    mean = np.einsum("pnc,n->c", pixels, weights) / total
    return mean, np.einsum("pnc,n->c", (pixels - mean) ** 2, weights) / total


def naive_layer(layer, params, inputs):
    """Return the result of a layer of random graphs without dropout, in plain numpy."""
    X = inputs[0]
    if isinstance(layer, Conv2D):
        weight = params["weight"].reshape(-1, *params["weight"].shape[2:])
        return np.einsum("khwnc,kcf->hwnf", windows(X, layer.kernel_size), weight) + params["bias"]
    if isinstance(layer, Dense):
        return X @ params["weight"] + params["bias"]
    if isinstance(layer, BatchNorm):
        deviations = (X - params["running_mean"]) / np.sqrt(params["running_variance"] + layer.epsilon)
        return params["scale"] * deviations + params["shift"]
    if isinstance(layer, Flatten):
        return np.moveaxis(X, 2, 0).reshape(X.shape[2], -1)
    functions = {
        ReLU: lambda: X * (X.real > 0),
        Tanh: lambda: np.tanh(X),
        Negative: lambda: Negative.factor * X,
        Dropout: lambda: X,
        GlobalAvgPool2D: lambda: X.mean(axis=(0, 1)),
        Add: lambda: sum(inputs),
        Multiply: lambda: inputs[0] * inputs[1],
        Concatenate: lambda: np.concatenate(inputs, axis=-1),
    }
    return next(function() for kind, function in functions.items() if isinstance(layer, kind))


def naive_scores(network, vector, X, *, weights=None, training):
    """Return the scores for a vector of parameters, which may be complex, and the new buffers of training."""
    params, values, buffers = network.views_of(vector), [X], {}
    for node in network.nodes[1:]:
        inputs = [values[source] for source in node.inputs]
        own = network.params.get(node.name, {}) | params.get(node.name, {})
        if node.merges and training:
            mean, variance = moments(inputs[0], weights)
            new = {"running_mean": mean, "running_variance": variance, "n_updates": own["n_updates"] + 1}
            buffers |= {(node.name, key): value for key, value in new.items()}
            own |= new
        values.append(naive_layer(node.layer, own, inputs))
    return values[-1], buffers


def naive_loss(network, problem, vector, X):
    scores, _ = naive_scores(network, vector, X, weights=problem.weights, training=True)
    scores = scores - scores.real.max(axis=1, keepdims=True)
    logarithms = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return -(problem.loss_weights @ (problem.targets * logarithms).sum(axis=1))


@pytest.mark.parametrize("number", range(20))
def test_results_of_random_graphs_are_those_of_a_naive_network(number):
    """In one piece and in many; of weighted rows one weighs nothing, but not alone in its piece.

    Gradients are held along random directions against complex steps: the imaginary part of the loss at
    x + 1e-20 i d, over 1e-20, is its derivative along d but for rounding.
    """
    network, rng, is_weighted = random_graph(number), generator(4, number), number % 2 == 1
    problem = Problem(network, n_rows=5, weighted=is_weighted)
    if is_weighted:
        problem.weights[3] = problem.loss_weights[3] = 0
    point = {"gradient": network.vector, "input gradient": problem.X}
    directions = {name: rng.standard_normal(array.shape) for name, array in point.items()}
    slopes = {}
    for name, direction in directions.items():
        moved = point | {name: point[name] + 1e-20j * direction}
        loss = naive_loss(network, problem, *moved.values())
        slopes[name] = loss.imag / 1e-20
    _, buffers = naive_scores(network, *point.values(), weights=problem.weights, training=True)
    scores, _ = naive_scores(network, *point.values(), training=False)
    for cut in (WHOLE, PAIRS if is_weighted else FINE):
        results = run(network, problem, cut, input_gradient=True)
        assert results["loss"] == pytest.approx(loss.real, rel=1e-12)
        for name, direction in directions.items():
            tolerance = 1e-12 * np.linalg.norm(results[name]) * np.linalg.norm(direction)
            assert np.vdot(results[name], direction) == pytest.approx(slopes[name], rel=0, abs=tolerance)
        for where, value in buffers.items():
            np.testing.assert_allclose(results[where], value, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(results["scores"], scores, rtol=0, atol=1e-12 * np.abs(scores).max())


# --- the same bits ---


@pytest.mark.parametrize("number", range(10))
def test_parameter_gradients_are_the_same_without_that_of_the_images(number):
    network = random_graph(number)
    problem = Problem(network, n_rows=5)
    results = run(network, problem, input_gradient=True)
    del results["input gradient"]
    assert_same_bits(run(network, problem), results)


@pytest.mark.parametrize("number", range(10))
def test_working_in_place_changes_no_bit(monkeypatch, number):
    network = random_graph(number, dropout=0.3)
    expected = run(network, Problem(network))
    monkeypatch.setattr(Layer, "declares", lambda layer, flag: False)
    network = network.copy()  # for which nothing is prepared
    assert_same_bits(run(network, Problem(network)), expected)


@pytest.mark.parametrize("number", range(10))
def test_the_number_of_threads_changes_no_bit(threads, number):
    """There are four shards and up to eleven chunks, so more pieces than threads and fewer."""
    network = random_graph(number, dropout=0.3, dtype=(np.float32, np.float64)[number % 2])
    problem = Problem(network, weighted=True)
    expected = run(network, problem)
    for n_threads in N_THREADS[1:]:
        threads(n_threads)
        assert_same_bits(run(network, problem), expected)


def test_the_cuts_do_not_depend_on_the_threads(threads):
    """Which rows are read at a time is a function of the minibatch and the network alone."""
    network = chain(Conv2D(2), Flatten(), Dense(3))
    problems = [Problem(network) for _ in N_THREADS]
    for n_threads, problem in zip(N_THREADS, problems, strict=True):
        threads(n_threads)
        run(network, problem)
    first, *others = [sorted(problem.reads) for problem in problems]
    assert len(first) > 11 / 2
    assert others == [first] * len(others)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("number", range(3))
def test_batches_of_changing_size_give_the_bits_of_fresh_executors(threads, number, n_threads):
    """A smaller last batch, a full one, one of a single row, and one that is larger than all before."""
    threads(n_threads)
    network = random_graph(number, dropout=0.3)
    with worker_pool(FINE) as pool:
        executor, predictor = executor_of(network, pool), executor_of(network, pool, training=False)
        for seed, n_rows in enumerate([11, 4, 11, 1, 2, 17, 11]):
            problem = Problem(network, n_rows, weighted=seed % 2 == 1, seed=seed)
            results = train(executor, problem) | predict(predictor, problem)
            assert_same_bits(results, run(network, problem))


# --- networks as they are used ---


def layers_with_dropout():
    first = [Conv2D(3), Dropout(0.3), ReLU(), BatchNorm(), Dropout(0.2), Flatten()]
    return [*first, Dropout(0.1), Dense(6), ReLU(), Dropout(0.5), Dense(3)]


def test_the_first_layer_is_not_asked_for_the_gradient_of_the_images():
    asked = set()

    class Asked(Conv2D):
        def backward(self, params, dY, unit, *, need_dX, out):
            asked.add((self.filters, need_dX, out is None))
            return super().backward(params, dY, unit, need_dX=need_dX, out=out)

    network = chain(Asked(2), Asked(4), Flatten(), Dense(3))
    run(network, Problem(network))
    assert asked == {(2, False, True), (4, True, False)}


def assert_unchanged(network, snapshot):
    np.testing.assert_array_equal(network.vector, snapshot[0])
    assert_same_bits(network.buffers(), snapshot[1])


def test_gradients_and_predictions_leave_network_and_batch_as_they_are():
    network = chain(*layers_with_dropout())
    snapshot = network.snapshot()
    problem = Problem(network, weighted=True)
    before = copy.deepcopy(vars(problem))
    run(network, problem)
    assert_unchanged(network, snapshot)
    assert_same_bits(vars(problem) | {"reads": []}, before)


@pytest.mark.parametrize("n_rows", [0, -1])
def test_a_minibatch_without_rows_is_refused_whatever_runs(n_rows):
    with pytest.raises(ValueError, match=f"at least one row, got {n_rows}"):
        Batch(n_rows, lambda rows, out: out)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_failed_step_surfaces_leaves_the_network_and_does_not_spoil_the_next(threads, n_threads):
    threads(n_threads)
    network = chain(*layers_with_dropout())
    snapshot = network.snapshot()
    problem = Problem(network, weighted=True)
    broken = problem.batch()

    def read(rows, out):
        if rows.start >= 7:
            raise ValueError("row 7 is broken")
        problem.read(rows, out)

    broken.read = read
    with worker_pool(FINE) as pool:
        expected, executor = train(executor_of(network, pool), problem), executor_of(network, pool)
        for _ in range(2):
            with pytest.raises(ValueError, match="row 7 is broken"):
                executor.gradients(broken, LogLoss())
            assert_unchanged(network, snapshot)
        assert_same_bits(train(executor, problem), expected)


# --- memory ---


def peak_of(function):
    """Return the memory that a call takes beyond what was there before, in bytes."""
    tracemalloc.start()
    function()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_buffers_are_allocated_once_and_used_again():
    """Also for the smaller last batch of an epoch and for the full one after it."""
    layers = [Conv2D(8), BatchNorm(), ReLU(), Dropout(0.2), MaxPool2D(), Conv2D(8), ReLU()]
    network = chain(*layers, Flatten(), Dense(8), ReLU(), Dense(3), input_shape=(20, 20, 4))
    full, small = Problem(network, 64), Problem(network, 40)
    with worker_pool() as pool:
        executor = executor_of(network, pool)
        first = peak_of(lambda: executor.gradients(full.batch(), LogLoss()))
        assert first > 64 * 20 * 20 * 8 * 8  # at least the result of the first layer
        peaks = [peak_of(lambda p=p: executor.gradients(p.batch(), LogLoss())) for p in (full, small, full)]
    assert max(peaks) < first / 50


def test_memory_of_prediction_does_not_grow_with_the_number_of_rows():
    network = chain(Conv2D(8), ReLU(), Flatten(), Dense(3), input_shape=(10, 10, 2))
    peaks = []
    for n_rows in (2000, 8000):
        problem = Problem(network, n_rows)
        out = np.empty((n_rows, 3))
        with worker_pool() as pool:
            executor = executor_of(network, pool, training=False)
            peaks.append(peak_of(lambda e=executor, p=problem, o=out: e.predict(p.batch(), o)))
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.costly
def test_prediction_does_not_keep_what_convolutions_keep_for_the_backward_pass():
    """Transformed tiles of each chunk, 36 numbers for each channel of the 64 tiles of an image."""
    n_rows = 384
    network = chain(Conv2D(16), GlobalAvgPool2D(), Dense(3), input_shape=(32, 32, 16))
    problem = Problem(network, n_rows)
    out = np.empty((n_rows, 3))
    with worker_pool(Cut(chunk_bytes=0, prediction_rows=n_rows)) as pool:
        executor = executor_of(network, pool, training=False)
        peak = peak_of(lambda: executor.predict(problem.batch(), out))
    assert peak < n_rows * 36 * 16 * 64 * out.itemsize / 4
