"""Tests of the execution: gradients of networks of any shape, and the same bits however it runs."""

import copy
import tracemalloc
from math import prod

import numpy as np
import pytest
from cuts import FINE
from scipy.special import log_softmax, softmax
from seeds import SEED, generator
from small_networks import Multiply, build, chain, graph, program_of

from skcnn.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    Parallel,
    ReLU,
    Residual,
    Tanh,
)
from skcnn.layers.containers import Add, Concatenate
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.losses import LogLoss
from skcnn.network.network import init_network
from skcnn.network.program import Place, Program
from skcnn.network.setup import image_bytes
from skcnn.network.threads import worker_pool

N_THREADS = (1, 2, 3, 8)


class WritingAdd(Add):
    """A sum that writes its gradient to where it should go, rather than return that of the result."""

    def backward(self, params, dY, unit, *, need_dX, out):
        return tuple(None if part is None else np.positive(dY, out=part) for part in out)


class Negative(Layer):
    """Minus the input; its gradient overwrites that of the result, as backward may."""

    def forward(self, params, X, unit, *, training, out):
        return np.negative(X, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.negative(dY, out=dY)


class Problem:
    """A minibatch for a network."""

    def __init__(self, network, n_rows=11, *, weighted=False, seed=0, number=3):
        rng = generator(seed)
        shape = network.nodes[0].output_shape
        images = rng.standard_normal((n_rows, *shape)).astype(network.dtype)
        self.X = images.transpose(1, 2, 0, 3) if len(shape) == 3 else images
        self.targets = rng.dirichlet(np.ones(network.n_outputs), n_rows).astype(network.dtype)
        self.weights = rng.uniform(0.2, 2, n_rows) if weighted else None
        loss_weights = rng.uniform(0.2, 2, n_rows) if weighted else np.ones(n_rows)
        self.loss_weights = (loss_weights / n_rows).astype(network.dtype)
        self.number = number

    def batch(self):
        def read(rows, out):
            np.copyto(out, self.X[:, :, rows] if self.X.ndim == 4 else self.X[rows])

        return Batch(len(self.targets), read, self.targets, self.loss_weights, self.weights, self.number)


def executor_of(network, pool, *, training=True, **options):
    return Executor(network, pool, training=training, seed=SEED, **options)


def gradients(network, problem, cut=FINE):
    """Return loss, gradient and the new buffers of one step of a fresh executor."""
    with worker_pool(cut) as pool:
        executor = executor_of(network, pool)
        loss = executor.gradients(problem.batch(), LogLoss())
        return (
            loss,
            executor.reduce().copy(),
            {key: np.copy(value) for key, value in executor.buffers.items()},
        )


def predict(network, problem, cut=FINE):
    with worker_pool(cut) as pool:
        out = np.full((len(problem.targets), network.n_outputs), np.nan, network.dtype)
        return executor_of(network, pool, training=False).predict(problem.batch(), out)


def assert_same_bits(actual, expected):
    assert actual[0] == expected[0]
    np.testing.assert_array_equal(actual[1], expected[1])
    assert set(actual[2]) == set(expected[2])
    for key, value in expected[2].items():
        np.testing.assert_array_equal(actual[2][key], value)


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """Compute on one thread, and return a function that sets another number."""

    def use(number):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(number))

    use(1)
    return use


# --- cuts ---


def test_the_cuts_do_not_depend_on_the_threads(threads):
    """Which rows are read at a time is a function of the minibatch and the network alone."""
    network = chain(Conv2D(2), Flatten(), Dense(3))
    seen = []
    for number in N_THREADS:
        threads(number)
        problem, reads = Problem(network), []
        batch = problem.batch()
        read = batch.read

        def note(rows, out, read=read, reads=reads):
            reads.append((rows.start, rows.stop))
            read(rows, out)

        batch.read = note
        with worker_pool(FINE) as pool:
            executor_of(network, pool).gradients(batch, LogLoss())
            executor_of(network, pool, training=False).predict(batch, np.empty((11, 3)))
        seen.append(sorted(reads))
    assert len(seen[0]) > 11 / 2
    assert seen[1:] == seen[:-1]


@pytest.mark.parametrize("training", [True, False])
def test_working_in_place_changes_no_bit(monkeypatch, training):
    network = chain(
        Conv2D(3), Tanh(), ReLU(), Dropout(0.3), BatchNorm(), ReLU(), MaxPool2D(), Flatten(), Dense(4), Tanh()
    )
    results = []
    for in_place in (True, False):
        if not in_place:
            for kind in (Tanh, ReLU, Dropout):
                monkeypatch.setattr(kind, "works_in_place", False)
        homes = program_of(network, training=training).homes["value"]
        assert (homes == sorted(set(homes))) == (not in_place)
        problem = Problem(network)
        results.append(gradients(network, problem) if training else predict(network, problem))
    if training:
        assert_same_bits(*results)
    else:
        np.testing.assert_array_equal(*results)


def test_the_first_layer_is_not_asked_for_the_gradient_of_the_images():
    asked = []

    class Asked(Conv2D):
        def backward(self, params, dY, unit, *, need_dX, out):
            asked.append((self, need_dX, out is None))
            return super().backward(params, dY, unit, need_dX=need_dX, out=out)

    first, second = Asked(2), Asked(2)
    network = chain(first, second, Flatten(), Dense(3))
    gradients(network, Problem(network))
    assert {entry[1:] for entry in asked if entry[0] is first} == {(False, True)}
    assert {entry[1:] for entry in asked if entry[0] is second} == {(True, False)}


# --- gradients against finite differences of a naive network ---


def naive_layer(layer, params, inputs, weights):
    """Return the result of a layer of the graphs below, in plain numpy and in training."""
    X = inputs[0]
    if isinstance(layer, Conv2D):
        assert layer.kernel_size == 1
        return np.einsum("hwnc,cf->hwnf", X, params["weight"][0, 0]) + params["bias"]
    if isinstance(layer, Dense):
        return X @ params["weight"] + params["bias"]
    if isinstance(layer, BatchNorm):
        rows = np.ones(X.shape[-2]) if weights is None else weights
        pixels = X.reshape(-1, *X.shape[-2:])
        total = rows.sum() * len(pixels)
        mean = np.einsum("pnc,n->c", pixels, rows) / total
        variance = np.einsum("pnc,n->c", (pixels - mean) ** 2, rows) / total
        return params["scale"] * (X - mean) / np.sqrt(variance + layer.epsilon) + params["shift"]
    if isinstance(layer, Tanh):
        return np.tanh(X)
    if isinstance(layer, Add):
        return sum(inputs)
    if isinstance(layer, Concatenate):
        return np.concatenate(inputs, axis=-1)
    if isinstance(layer, Multiply):
        return inputs[0] * inputs[1]
    if isinstance(layer, Negative):
        return -X
    if isinstance(layer, Flatten):
        return np.array([X[:, :, n].ravel() for n in range(X.shape[2])])
    if isinstance(layer, GlobalAvgPool2D):
        return X.mean(axis=(0, 1))
    assert isinstance(layer, Dropout)
    assert layer.rate == 0
    return X


def naive_loss(network, problem):
    values = [problem.X]
    for node in network.nodes[1:]:
        inputs = [values[source] for source in node.inputs]
        values.append(naive_layer(node.layer, network.params.get(node.name, {}), inputs, problem.weights))
    return -float(problem.loss_weights @ (problem.targets * log_softmax(values[-1], axis=1)).sum(axis=1))


def numeric_gradient(function, values, step=1e-6):
    """Return the central differences of a function of an array, element by element."""
    gradient = np.empty(values.shape)
    for index in np.ndindex(values.shape):
        original = values[index]
        values[index] = original + step
        above = function()
        values[index] = original - step
        gradient[index] = (above - function()) / (2 * step)
        values[index] = original
    return gradient


CONVOLUTION = (Conv2D(2, 1), (0,))

GRAPHS = {
    "gradients that are one array": [
        CONVOLUTION,
        (Conv2D(2, 1), (0,)),
        (Tanh(), (1,)),
        (Negative(), (2,)),
        (WritingAdd(), (3, 4)),
        (Flatten(), (5,)),
        (Dense(3), (6,)),
    ],
    "chain": [CONVOLUTION, (Tanh(), (1,)), (Flatten(), (2,)), (Dense(3), (3,))],
    "residual": [
        CONVOLUTION,
        (Conv2D(2, 1), (1,)),
        (Tanh(), (2,)),
        (Add(), (1, 3)),
        (Flatten(), (4,)),
        (Dense(3), (5,)),
    ],
    "residual of the images": [
        CONVOLUTION,
        (Tanh(), (1,)),
        (Add(), (0, 2)),
        (Multiply(), (3, 0)),
        (Flatten(), (4,)),
        (Dense(3), (5,)),
    ],
    "norm inside a branch": [
        CONVOLUTION,
        (BatchNorm(), (1,)),
        (Tanh(), (2,)),
        (Add(), (1, 3)),
        (Flatten(), (4,)),
        (Dense(3), (5,)),
    ],
    "norms in both branches and after": [
        CONVOLUTION,
        (BatchNorm(), (1,)),
        (Tanh(), (1,)),
        (BatchNorm(), (3,)),
        (Multiply(), (2, 4)),
        (Add(), (5, 1)),
        (GlobalAvgPool2D(), (6,)),
        (BatchNorm(), (7,)),
        (Dense(3), (8,)),
    ],
    "norm of the images": [
        (BatchNorm(), (0,)),
        (Add(), (0, 1)),
        (Flatten(), (2,)),
        (Dense(3), (3,)),
    ],
    "three consumers": [
        CONVOLUTION,
        (Tanh(), (1,)),
        (Multiply(), (1, 2)),
        (Add(), (1, 3)),
        (Flatten(), (4,)),
        (Dense(3), (5,)),
    ],
    "two sums and products of the same two": [
        CONVOLUTION,
        (Conv2D(2, 1), (0,)),
        (Multiply(), (1, 2)),
        (Add(), (1, 2)),
        (Multiply(), (3, 4)),
        (Flatten(), (5,)),
        (Dense(3), (6,)),
    ],
    "one image as both inputs": [
        CONVOLUTION,
        (Multiply(), (1, 1)),
        (Flatten(), (2,)),
        (Dense(3), (3,)),
    ],
    "an idle layer in a branch": [
        CONVOLUTION,
        (Dropout(0.0), (1,)),
        (Multiply(), (1, 2)),
        (Flatten(), (3,)),
        (Dense(3), (4,)),
    ],
    "an image that becomes a vector twice": [
        CONVOLUTION,
        (Flatten(), (1,)),
        (Dense(2), (2,)),
        (GlobalAvgPool2D(), (1,)),
        (Multiply(), (3, 4)),
        (Dense(3), (5,)),
    ],
    "one image as all inputs of a sum": [
        CONVOLUTION,
        (Add(), (1, 1, 1)),
        (Tanh(), (2,)),
        (Flatten(), (3,)),
        (Dense(3), (4,)),
    ],
    "one image beside itself": [
        CONVOLUTION,
        (Tanh(), (1,)),
        (Concatenate(), (2, 1, 2)),
        (Flatten(), (3,)),
        (Dense(3), (4,)),
    ],
    "the images beside themselves": [
        (Concatenate(), (0, 0)),
        (Add(), (1, 1)),
        (Conv2D(2, 1), (2,)),
        (Multiply(), (0, 3)),
        (Flatten(), (4,)),
        (Dense(3), (5,)),
    ],
    "the images beside layers": [
        CONVOLUTION,
        (Conv2D(3, 1), (0,)),
        (Concatenate(), (1, 0, 2)),
        (Concatenate(), (3, 0)),
        (Flatten(), (4,)),
        (Dense(3), (5,)),
    ],
    "each layer reads all before": [
        CONVOLUTION,
        (Tanh(), (1,)),
        (Concatenate(), (1, 2)),
        (Conv2D(3, 1), (3,)),
        (BatchNorm(), (4,)),
        (Concatenate(), (1, 2, 5)),
        (Negative(), (6,)),
        (Flatten(), (7,)),
        (Dense(3), (8,)),
    ],
    "an overwritten gradient that two layers read": [
        CONVOLUTION,
        (Negative(), (1,)),
        (Negative(), (2,)),
        (Add(), (1, 3, 2, 3)),
        (Multiply(), (4, 1)),
        (Flatten(), (5,)),
        (Dense(3), (6,)),
    ],
    "vectors of several lengths": [
        (Flatten(), (0,)),
        (Dense(4), (1,)),
        (GlobalAvgPool2D(), (0,)),
        (BatchNorm(), (3,)),
        (Concatenate(), (4, 2, 1, 2)),
        (Tanh(), (5,)),
        (Dense(3), (6,)),
    ],
    "a sum of one vector and the images": [
        (Flatten(), (0,)),
        (Dense(12), (1,)),
        (Add(), (2, 1, 2)),
        (Multiply(), (3, 1)),
        (Dense(3), (4,)),
    ],
    "branches of vectors": [
        (Flatten(), (0,)),
        (Dense(4), (1,)),
        (Tanh(), (2,)),
        (BatchNorm(), (3,)),
        (Multiply(), (2, 4)),
        (Add(), (5, 2)),
        (Dense(3), (6,)),
    ],
    "two sums and products of the same two vectors": [
        (Flatten(), (0,)),
        (Dense(4), (1,)),
        (Dense(4), (1,)),
        (Multiply(), (2, 3)),
        (Add(), (2, 3)),
        (Multiply(), (4, 5)),
        (Dense(3), (6,)),
    ],
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cut", [Cut(), FINE], ids=["one piece", "many pieces"])
@pytest.mark.parametrize("name", list(GRAPHS))
def test_gradients_of_any_graph_agree_with_finite_differences(name, cut, weighted):
    """Of all parameters and of the images.

    Rounding of the loss, a number around one, divided by the step of 1e-6 gives errors of 1e-10, and so
    do the third derivatives times the square of the step.
    """
    network = graph((2, 3, 2), *GRAPHS[name])
    problem = Problem(network, n_rows=5, weighted=weighted)
    with worker_pool(cut) as pool:
        executor = executor_of(network, pool, input_gradient=True)
        loss = executor.gradients(problem.batch(), LogLoss())
        gradient = executor.reduce().copy()
        image_gradient = executor.input_gradient().copy()

    def function():
        return naive_loss(network, problem)

    assert loss == pytest.approx(function(), rel=1e-13)
    expected = numeric_gradient(function, network.vector)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-8)
    assert np.abs(expected).max() > 1e-3
    expected = numeric_gradient(function, problem.X)
    np.testing.assert_allclose(image_gradient, expected, rtol=0, atol=1e-8)
    assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize("name", list(GRAPHS))
def test_parameter_gradients_are_the_same_without_that_of_the_images(name):
    network = graph((2, 3, 2), *GRAPHS[name])
    problem = Problem(network, n_rows=5)
    with worker_pool(FINE) as pool:
        executor = executor_of(network, pool, input_gradient=True)
        executor.gradients(problem.batch(), LogLoss())
        expected = executor.reduce().copy()
    np.testing.assert_array_equal(gradients(network, problem)[1], expected)


@pytest.mark.parametrize("name", ["norms in both branches and after", "branches of vectors", "residual"])
def test_graphs_give_the_same_bits_on_any_number_of_threads(threads, name):
    network = graph((2, 3, 2), *GRAPHS[name])
    problem = Problem(network, weighted=True)
    results = []
    for number in N_THREADS:
        threads(number)
        results.append((*gradients(network, problem), predict(network, problem)))
    for result in results[1:]:
        assert_same_bits(result[:3], results[0][:3])
        np.testing.assert_array_equal(result[3], results[0][3])


def test_images_are_the_gradient_where_they_are_vectors():
    network = build(compile_nodes([("output", Dense(3))], (4,)))
    problem = Problem(network, n_rows=5)
    with worker_pool(FINE) as pool:
        executor = executor_of(network, pool, input_gradient=True)
        executor.gradients(problem.batch(), LogLoss())
        result = executor.input_gradient()
    scores = problem.X @ network.params["output"]["weight"] + network.params["output"]["bias"]
    expected = (softmax(scores, axis=1) - problem.targets) / 5 @ network.params["output"]["weight"].T
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-15)


# --- networks as they are used ---


def plain_layers():
    return [Conv2D(3), ReLU(), MaxPool2D(), Conv2D(4), ReLU(), Flatten(), Dense(6), ReLU(), Dense(3)]


def normalized_layers():
    return [
        BatchNorm(),
        Conv2D(3),
        BatchNorm(),
        ReLU(),
        MaxPool2D(),
        Flatten(),
        Dense(6),
        BatchNorm(),
        ReLU(),
        Dense(3),
    ]


def container_layers():
    """Merges in branches at several depths, readers of one node far apart, images that become vectors."""
    inner = Residual([BatchNorm(), ReLU(), Conv2D(2)])
    mixed = Parallel([[Conv2D(2, 1), inner], [BatchNorm(), MaxPool2D(3, strides=1, padding="same")]])
    ends = Parallel([GlobalAvgPool2D(), [Flatten(), Dense(4), BatchNorm()]])
    return [
        mixed,
        Residual([Conv2D(3, strides=2), BatchNorm()], activation="relu"),
        ends,
        Residual([Dense(6), BatchNorm()], activation="tanh"),
        Dense(3),
    ]


def dropout_layers():
    return [
        Conv2D(3),
        Dropout(0.3),
        ReLU(),
        BatchNorm(),
        Dropout(0.2),
        Flatten(),
        Dropout(0.1),
        Dense(6),
        ReLU(),
        Dropout(0.5),
        Dense(3),
    ]


STACKS = [plain_layers, normalized_layers, container_layers, dropout_layers]


@pytest.mark.parametrize("layers", STACKS)
@pytest.mark.parametrize("training", [True, False])
def test_sharing_places_changes_no_bit(monkeypatch, layers, training):
    network = chain(*layers())
    find_places, results = Program._find_places, []

    def places_of_their_own(program, uses):
        places, _ = find_places(program, uses)
        own = {array: Place(place.is_kept, number) for number, (array, place) in enumerate(places.items())}
        return own, {place: prod(program.nodes[home].output_shape) for (_, home), place in own.items()}

    for find in (find_places, places_of_their_own):
        monkeypatch.setattr(Program, "_find_places", find)
        problem = Problem(network)
        results.append(gradients(network, problem) if training else predict(network, problem))
    if training:
        assert_same_bits(*results)
    else:
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layers", STACKS)
def test_gradients_and_predictions_have_the_same_bits_on_any_number_of_threads(threads, layers, dtype):
    """There are four shards and up to eleven chunks, so more pieces than threads and fewer."""
    network = chain(*layers(), dtype=dtype)
    problem = Problem(network, weighted=True)
    results = []
    for number in N_THREADS:
        threads(number)
        results.append((*gradients(network, problem), predict(network, problem)))
    for result in results[1:]:
        assert_same_bits(result[:3], results[0][:3])
        np.testing.assert_array_equal(result[3], results[0][3])


@pytest.mark.parametrize("layers", STACKS[:-1])
@pytest.mark.parametrize("weighted", [False, True])
def test_several_shards_and_chunks_equal_one(layers, weighted):
    """But for the order of sums: in float64 to 1e-12 of the largest element."""
    network = chain(*layers())
    problem = Problem(network, weighted=weighted)
    cut = gradients(network, problem)
    assert Cut().shard_bounds(11, network.multiply_adds()) == [(0, 11)]
    assert Cut().chunk_target(image_bytes(network.nodes, network.dtype)) > 11
    whole = gradients(network, problem, Cut())
    assert cut[0] == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(cut[1], whole[1], rtol=0, atol=1e-12 * np.abs(whole[1]).max())
    for key, value in whole[2].items():
        np.testing.assert_allclose(cut[2][key], value, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("layers", STACKS)
def test_prediction_in_chunks_equals_one_chunk(layers):
    network = chain(*layers())
    problem = Problem(network)
    cut = predict(network, problem)
    whole = predict(network, problem, Cut())
    np.testing.assert_allclose(cut, whole, rtol=0, atol=1e-13 * np.abs(whole).max())


def test_prediction_does_not_depend_on_the_other_rows():
    """Running statistics, not those of the batch, and no dropout."""
    network = chain(*dropout_layers())
    problem = Problem(network)
    whole = predict(network, problem)
    single = Problem(network)
    single.X, single.targets = problem.X[:, :, 4:5], problem.targets[4:5]
    np.testing.assert_allclose(predict(network, single), whole[4:5], rtol=0, atol=1e-13)


def test_prediction_uses_the_running_statistics():
    network = build(compile_nodes([("norm", BatchNorm()), ("output", Dense(3))], (4,)))
    problem = Problem(network)
    params = network.params["norm"]
    normalized = (problem.X - params["running_mean"]) / np.sqrt(params["running_variance"] + 1e-5)
    hidden = params["scale"] * normalized + params["shift"]
    expected = hidden @ network.params["output"]["weight"] + network.params["output"]["bias"]
    np.testing.assert_allclose(predict(network, problem), expected, rtol=0, atol=1e-14)


def test_the_new_state_is_the_statistics_of_the_whole_minibatch():
    """The first update, corrected for the zero start, is the mean and the biased variance itself."""
    network = init_network(
        compile_nodes([("norm", BatchNorm()), ("flatten", Flatten()), ("output", Dense(3))], (3, 4, 2)),
        dtype=np.float64,
        seed=SEED,
    )
    problem = Problem(network, weighted=True)
    _, _, buffers = gradients(network, problem)
    weights = np.repeat(problem.weights, 12)
    pixels = problem.X.transpose(2, 0, 1, 3).reshape(-1, 2)
    mean = np.average(pixels, axis=0, weights=weights)
    variance = np.average((pixels - mean) ** 2, axis=0, weights=weights)
    np.testing.assert_allclose(buffers["norm", "running_mean"], mean, rtol=0, atol=1e-14)
    np.testing.assert_allclose(buffers["norm", "running_variance"], variance, rtol=1e-13)
    assert buffers["norm", "n_updates"] == 1


def assert_unchanged(network, snapshot):
    np.testing.assert_array_equal(network.vector, snapshot[0])
    for key, value in snapshot[1].items():
        np.testing.assert_array_equal(network.buffers()[key], value)


def test_gradients_and_predictions_leave_network_and_batch_as_they_are():
    network = chain(*dropout_layers())
    snapshot = network.snapshot()
    problem = Problem(network, weighted=True)
    before = copy.deepcopy(vars(problem))
    gradients(network, problem)
    predict(network, problem)
    assert_unchanged(network, snapshot)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(problem, name), value)


@pytest.mark.parametrize("n_rows", [0, -1])
def test_a_minibatch_without_rows_is_refused_whatever_runs(n_rows):
    with pytest.raises(ValueError, match=f"a minibatch must have at least one row, got {n_rows}"):
        Batch(n_rows, lambda rows, out: out)


@pytest.mark.parametrize("number", N_THREADS)
def test_a_failed_step_surfaces_leaves_the_network_and_does_not_spoil_the_next(threads, number):
    threads(number)
    network = chain(*dropout_layers())
    snapshot = network.snapshot()
    problem = Problem(network, weighted=True)
    expected = gradients(network, problem)
    broken = problem.batch()

    def read(rows, out, original=broken.read):
        if rows.start >= 7:
            raise ValueError("row 7 is broken")
        original(rows, out)

    broken.read = read
    with worker_pool(FINE) as pool:
        executor = executor_of(network, pool)
        for _ in range(2):
            with pytest.raises(ValueError, match="row 7 is broken"):
                executor.gradients(broken, LogLoss())
            assert_unchanged(network, snapshot)
        loss = executor.gradients(problem.batch(), LogLoss())
        assert_same_bits((loss, executor.reduce(), executor.buffers), expected)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("layers", STACKS)
def test_batches_of_changing_size_give_the_bits_of_fresh_executors(threads, layers, number):
    """A smaller last batch, a full one, one of a single row, and one that is larger than all before."""
    threads(number)
    network = chain(*layers())
    with worker_pool(FINE) as pool:
        executor = executor_of(network, pool)
        predictor = executor_of(network, pool, training=False)
        for step, n_rows in enumerate([11, 4, 11, 1, 2, 17, 11]):
            problem = Problem(network, n_rows, weighted=step % 2 == 1, seed=step, number=step)
            loss = executor.gradients(problem.batch(), LogLoss())
            result = loss, executor.reduce().copy(), dict(executor.buffers)
            assert_same_bits(result, gradients(network, problem))
            scores = predictor.predict(problem.batch(), np.empty((n_rows, 3)))
            np.testing.assert_array_equal(scores, predict(network, problem))


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


def test_dropout_draws_depend_on_the_number_of_the_step():
    network = chain(*dropout_layers())
    first, again = (gradients(network, Problem(network, number=7)) for _ in range(2))
    assert_same_bits(again, first)
    assert gradients(network, Problem(network, number=8))[0] != first[0]


def test_loss_is_the_weighted_sum_and_zero_weights_change_nothing():
    """A row of weight zero has no influence, whatever it holds, also on statistics of a chunk."""
    network = graph((2, 3, 2), *GRAPHS["norm inside a branch"])
    problem = Problem(network, weighted=True)
    problem.weights[3] = problem.loss_weights[3] = 0
    expected = gradients(network, problem, Cut())
    problem.X[:, :, 3] = 17.0
    result = gradients(network, problem, Cut())
    assert result[0] == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(result[1], expected[1], rtol=0, atol=1e-13)
