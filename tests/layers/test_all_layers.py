"""What every layer must keep to, whatever it computes: one table, all tests on all rows.

A new layer needs rows in this table; the last tests fail until it has some.
"""

import inspect
import pickle

import numpy as np
import pytest
from gradients import error_away_from_kinks
from reference import TOLERANCE, assert_close, run_backward, run_forward
from seeds import SEED, generator
from sklearn.base import clone

import skcnn.layers
from skcnn.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    AvgPool2D,
    BatchNorm,
    Block,
    Container,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Layer,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    Mish,
    PatchWhitening,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    SpatialDropout2D,
    Tanh,
    ZeroPad2D,
)
from skcnn.layers.base import JoiningLayer
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network
from skcnn.network.threads import worker_pool

ROWS = [
    (Conv2D(3), (6, 5, 2)),
    (Conv2D(4, (2, 3), strides=(2, 1), padding="valid", activation="tanh"), (7, 6, 1)),
    (Conv2D(2, 5, padding="valid", use_bias=False), (5, 5, 3)),
    (Conv2D(2, 1, strides=3), (1, 8, 2)),
    (Conv2D(3, 3, padding=((2, 0), (1, 3))), (4, 4, 2)),
    (Conv2D(1, 2, padding=(3, (0, 4)), activation="relu"), (3, 3, 1)),
    (Conv2D(2, (1, 2), strides=(1, 5), padding="valid"), (1, 12, 2)),
    (Conv2D(2, 3, dilation=2), (5, 6, 2)),
    (Conv2D(2, (3, 2), strides=2, padding=((0, 2), 3), dilation=(2, 3)), (5, 4, 1)),
    (Conv2D(6, 3, groups=2), (4, 5, 4)),
    (Conv2D(16), (5, 6, 16)),
    (Conv2D(17, padding=2, use_bias=False), (7, 4, 16)),
    (Conv2D(3, 2, groups=3, padding="valid", use_bias=False), (3, 4, 3)),
    (Conv2D(4, (1, 3), strides=(1, 2), dilation=(1, 2), groups=2, activation="prelu"), (1, 7, 2)),
    (PatchWhitening(), (5, 6, 3)),
    (PatchWhitening(4, (3, 2), padding="valid", activation="gelu"), (4, 5, 1)),
    (PatchWhitening(16, 3, padding=((0, 2), 1)), (6, 5, 16)),
    (PatchWhitening(2, 1), (1, 7, 2)),
    (DepthwiseConv2D(), (5, 6, 3)),
    (DepthwiseConv2D(3, strides=2, depth_multiplier=2), (6, 5, 2)),
    (DepthwiseConv2D((2, 3), padding=((2, 0), (1, 3)), dilation=(2, 1), use_bias=False), (4, 4, 2)),
    (DepthwiseConv2D((1, 2), strides=(1, 4), padding="valid", activation="silu"), (1, 9, 2)),
    (DepthwiseConv2D(2, padding="valid", depth_multiplier=3), (2, 2, 1)),
    (Dense(4), (6,)),
    (Dense(3, activation="sigmoid"), (5,)),
    (Dense(7, activation="relu"), (3,)),
    (Dense(1, use_bias=False), (1,)),
    (ReLU(), (4, 5, 2)),
    (ReLU(), (6,)),
    (ReLU6(), (4, 5, 2)),
    (ReLU6(), (6,)),
    (LeakyReLU(), (4, 5, 2)),
    (LeakyReLU(0.3), (6,)),
    (LeakyReLU(0.0), (1, 5, 2)),
    (PReLU(), (4, 5, 2)),
    (PReLU(-0.5), (6,)),
    (ELU(), (4, 5, 2)),
    (ELU(0.4), (6,)),
    (CELU(), (4, 5, 2)),
    (CELU(0.4), (6,)),
    (SELU(), (1, 7, 2)),
    (SELU(), (5,)),
    (GELU(), (3, 4, 2)),
    (GELU(), (5,)),
    (GELU("tanh"), (3, 4, 2)),
    (GELU("tanh"), (5,)),
    (SiLU(), (3, 4, 2)),
    (SiLU(), (5,)),
    (HardSwish(), (4, 5, 2)),
    (HardSwish(), (6,)),
    (Mish(), (3, 4, 2)),
    (Mish(), (5,)),
    (Softplus(), (1, 7, 2)),
    (Softplus(), (5,)),
    (Sigmoid(), (3, 4, 2)),
    (Sigmoid(), (5,)),
    (HardSigmoid(), (3, 4, 2)),
    (HardSigmoid(0.7, 0.2), (5,)),
    (Tanh(), (1, 7, 2)),
    (Tanh(), (5,)),
    (Softsign(), (1, 7, 2)),
    (Softsign(), (5,)),
    (Softmax(), (3, 4, 3)),
    (Softmax(), (6,)),
    (BatchNorm(), (4, 3, 2)),
    (BatchNorm(), (5,)),
    (BatchNorm(momentum=0.0, epsilon=0.1), (1, 6, 3)),
    (LayerNorm(), (4, 3, 5)),
    (LayerNorm(), (6,)),
    (LayerNorm(epsilon=0.1), (1, 6, 3)),
    (LayerNorm(epsilon=0.1), (2,)),
    (GroupNorm(2), (4, 3, 6)),
    (GroupNorm(3), (3, 4, 3)),  # as many groups as channels: instance normalization
    (GroupNorm(1, epsilon=0.1), (1, 6, 2)),
    (GroupNorm(1), (3, 2, 1)),
    (GroupNorm(2), (8,)),
    (LocalResponseNorm(), (3, 4, 7)),
    (LocalResponseNorm(4, alpha=0.5, beta=2, k=0.7), (1, 5, 6)),
    (LocalResponseNorm(3, alpha=2.0), (6,)),
    (LocalResponseNorm(9, alpha=1.0, beta=0.5), (2, 3, 2)),
    (Dropout(), (4, 5, 2)),
    (Dropout(0.2), (9,)),
    (Dropout(0.0), (3, 3, 1)),
    (Dropout(0.0), (4,)),
    (SpatialDropout2D(), (4, 5, 3)),
    (SpatialDropout2D(0.2), (1, 6, 4)),
    (SpatialDropout2D(0.0), (3, 3, 2)),
    (MaxPool2D(), (6, 6, 2)),
    (MaxPool2D(3, strides=2), (7, 8, 1)),
    (MaxPool2D((1, 3)), (1, 10, 2)),
    (MaxPool2D(2, strides=3), (6, 7, 3)),
    (MaxPool2D((4, 5)), (4, 5, 2)),
    (MaxPool2D(3, strides=1, padding="same"), (4, 5, 2)),
    (MaxPool2D((3, 2), strides=2, padding=((2, 0), (0, 1))), (6, 5, 2)),
    (MaxPool2D(2, ceil_mode=True), (5, 7, 2)),
    (MaxPool2D(3, strides=2, padding=1, ceil_mode=True), (6, 8, 1)),
    (MaxPool2D(2, dilation=2), (6, 7, 2)),
    (MaxPool2D((2, 3), strides=1, padding=(1, (2, 0)), dilation=(2, 3), ceil_mode=True), (4, 7, 2)),
    (AvgPool2D(), (6, 6, 2)),
    (AvgPool2D(3, strides=2), (7, 8, 1)),
    (AvgPool2D((2, 1), strides=(3, 1)), (6, 4, 2)),
    (AvgPool2D((4, 5)), (4, 5, 2)),
    (AvgPool2D(3, strides=1, padding="same"), (4, 5, 2)),
    (AvgPool2D((3, 2), strides=2, padding=((2, 0), (0, 1)), count_include_pad=True), (6, 5, 2)),
    (AvgPool2D((1, 2), ceil_mode=True), (1, 7, 2)),
    (AvgPool2D(3, strides=2, padding=1, ceil_mode=True, count_include_pad=True), (6, 8, 1)),
    (AvgPool2D(2, dilation=(3, 1)), (6, 7, 2)),
    (AvgPool2D(3, strides=2, padding="same", dilation=2, count_include_pad=True), (6, 5, 1)),
    (GlobalAvgPool2D(), (5, 4, 3)),
    (GlobalAvgPool2D(), (1, 1, 2)),
    (GlobalMaxPool2D(), (5, 4, 3)),
    (GlobalMaxPool2D(), (1, 7, 2)),
    (GlobalMaxPool2D(), (1, 1, 2)),
    (Flatten(), (3, 4, 2)),
    (Flatten(), (1, 1, 1)),
    (ZeroPad2D(), (3, 4, 2)),
    (ZeroPad2D(((0, 2), (3, 1))), (1, 4, 2)),
    (ZeroPad2D(0), (3, 2, 1)),
    (Rescale(0.25), (3, 4, 2)),
    (Rescale(-3), (5,)),
    (Rescale(0.0), (1, 6, 2)),
]

RANDOM = (Dropout, SpatialDropout2D)
DIFFERENT_IN_TRAINING = (BatchNorm, *RANDOM)

N_SAMPLES = 7  # prime: no cut into shards and chunks comes out even
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.25, 3.0, 1.5, 0.75])


def row_id(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else " ".join(repr(value).split())


def rows_of(*classes):
    return [row for row in ROWS if isinstance(row[0], classes)]


def rows_without(*classes):
    return [row for row in ROWS if not isinstance(row[0], classes)]


def each(rows):
    return pytest.mark.parametrize(("layer", "input_shape"), rows, ids=row_id)


each_row = each(ROWS)
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def random_batch(shape, dtype=np.float64, seed=11):
    """Random samples in the layout of layers; float64 samples are those of float32, exactly."""
    *pixels, features = shape
    values = generator(seed).standard_normal((*pixels, N_SAMPLES, features))
    return values.astype(np.float32).astype(dtype)


def random_params(layer, input_shape, dtype=np.float64):
    """Parameters that are not at their special initial values, such as zero biases."""
    rng = generator(12)
    params = layer.init_params(input_shape, activation=None, dtype=np.dtype(dtype), rng=rng)
    for value in params.values():
        if value.dtype.kind == "f":
            value += 0.3 * rng.random(value.shape).astype(np.float32)
    return params


class LinearLoss:
    """Sum of scores times targets, so that the targets are the gradient."""

    def gradient(self, scores, targets, weights, out):
        np.copyto(out, targets)
        return float((scores.astype(np.float64) * targets).sum())


class Run:
    """One training step and one prediction through the executor, and all that came out of them."""

    def __init__(self, layer, input_shape, *, dtype=np.float64, weights=None, input_gradient=True, cut=None):
        self.nodes = compile_nodes([("layer", layer)], input_shape)
        if len(self.nodes[-1].output_shape) == 3:
            self.nodes = compile_nodes([("layer", layer), ("flatten", Flatten())], input_shape)
        self.network = init_network(self.nodes, dtype=dtype, seed=SEED)
        self.network.vector += generator(4).normal(0, 0.2, self.network.n_params).astype("f4")
        X = random_batch(input_shape, dtype)
        targets = random_batch((self.network.n_outputs,), dtype, seed=13)

        def read(rows, out):
            np.copyto(out, X[..., rows, :])

        batch = Batch(N_SAMPLES, read, targets, np.ones(N_SAMPLES, dtype), weights)
        with worker_pool(cut) as pool:
            executor = Executor(self.network, pool, training=True, seed=SEED, input_gradient=input_gradient)
            self.loss = executor.gradients(batch, LinearLoss())
            self.gradient = executor.reduce().copy()
            self.dX = executor.input_gradient() if input_gradient else None
            self.network.set_buffers(executor.buffers)
            self.scores = np.full((N_SAMPLES, self.network.n_outputs), np.nan, dtype)
            Executor(self.network, pool, training=False).predict(batch, self.scores)


@each_row
def test_output_shape_is_that_of_the_result(layer, input_shape):
    """And every element of it is written, in training and in prediction."""
    for training in (True, False):
        X = random_batch(input_shape)
        Y, _ = run_forward(layer, random_params(layer, input_shape), X, training=training)
        *pixels, n_samples, features = Y.shape
        assert (*pixels, features) == layer.output_shape(input_shape)
        assert n_samples == N_SAMPLES
        assert np.isfinite(Y).all()


@each_row
def test_output_shape_is_a_tuple_of_int(layer, input_shape):
    shape = layer.output_shape(input_shape)
    assert isinstance(shape, tuple)
    assert all(type(size) is int and size > 0 for size in shape)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal weights", "unequal weights"])
@each_row
def test_gradients_are_right(layer, input_shape, weights):
    options = {"n_samples": N_SAMPLES, "weights": weights, "random_state": SEED}
    assert error_away_from_kinks(layer, input_shape, **options) < 1e-7


WHOLE = Cut(max_shards=1, min_chunk=N_SAMPLES)
CUTS = [
    Cut(chunk_bytes=0, prediction_rows=2),
    Cut(min_shards=3),
    Cut(min_shards=3, chunk_bytes=0, prediction_rows=2),
    Cut(min_shards=N_SAMPLES, chunk_bytes=0, prediction_rows=2),
]


@pytest.mark.parametrize("cut", CUTS, ids=["chunks", "shards", "chunks of shards", "single images"])
@each([row for row in ROWS if not isinstance(row[0], RANDOM) or row[0].rate == 0])
def test_shards_and_chunks_change_nothing(layer, input_shape, cut):
    """Only random masks depend on the cut. Everything else is the same sum in another order."""
    whole = Run(layer, input_shape, weights=WEIGHTS, cut=WHOLE)
    pieces = Run(layer, input_shape, weights=WEIGHTS, cut=cut)
    assert_close(pieces.scores, whole.scores)
    assert_close(pieces.dX, whole.dX)
    assert_close(pieces.gradient, whole.gradient)
    assert_close(np.array([pieces.loss]), [whole.loss])
    for where, value in whole.network.buffers().items():
        np.testing.assert_allclose(pieces.network.buffers()[where], value, rtol=1e-12, atol=1e-12)


@each_row
def test_threads_change_no_bit(layer, input_shape, monkeypatch):
    """More shards than threads, and more threads than shards, of one image a chunk."""
    cut = Cut(min_shards=3, chunk_bytes=0, prediction_rows=2)
    runs = []
    for n_threads in (1, 2, 5):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        runs.append(Run(layer, input_shape, weights=WEIGHTS, cut=cut))
    for run in runs[1:]:
        assert run.loss == runs[0].loss
        np.testing.assert_array_equal(run.dX, runs[0].dX)
        np.testing.assert_array_equal(run.gradient, runs[0].gradient)
        np.testing.assert_array_equal(run.scores, runs[0].scores)


@each([row for row in ROWS if row[0].works_in_place])
def test_layers_that_work_in_place_give_the_same_bits_there(layer, input_shape):
    """Over what they read, forward and backward."""
    params, dY = random_params(layer, input_shape), random_batch(input_shape, seed=3)
    for training in (True, False):
        results = []
        for in_place in (False, True):
            X = random_batch(input_shape)
            Y, unit = run_forward(layer, params, X, training=training, in_place=in_place)
            assert (Y is X) >= in_place
            dX = run_backward(layer, params, unit, dY, in_place=in_place) if training else 0
            results.append((Y, dX))
        for own_memory, same_memory in zip(*results, strict=True):
            np.testing.assert_array_equal(same_memory, own_memory)


@each_row
def test_parameter_gradients_do_not_need_that_of_the_input(layer, input_shape):
    with_dX = Run(layer, input_shape, weights=WEIGHTS)
    without_dX = Run(layer, input_shape, weights=WEIGHTS, input_gradient=False)
    np.testing.assert_array_equal(with_dX.gradient, without_dX.gradient)


@each_dtype
@each_row
def test_dtype_is_kept(layer, input_shape, dtype):
    """In results, in gradients before they are added up, and in parameters before and after a step."""
    params = random_params(layer, input_shape, dtype)
    assert all(value.dtype == dtype for key, value in params.items() if key != "n_updates")
    Y, unit = run_forward(layer, params, random_batch(input_shape, dtype), training=True, weights=WEIGHTS)
    dX = run_backward(layer, params, unit, np.ones_like(Y))
    assert Y.dtype == dX.dtype == dtype
    assert all(gradient.dtype == dtype for gradient in unit.gradients.values())
    run = Run(layer, input_shape, dtype=dtype)
    assert run.network.vector.dtype == run.gradient.dtype == run.dX.dtype == run.scores.dtype == dtype
    for values in run.network.params.values():
        assert all(value.dtype == dtype for key, value in values.items() if key != "n_updates")


@each_row
def test_every_parameter_is_either_state_or_has_a_gradient(layer, input_shape):
    params = random_params(layer, input_shape)
    Y, unit = run_forward(layer, params, random_batch(input_shape), training=True)
    run_backward(layer, params, unit, np.ones_like(Y))
    assert unit.gradients.keys() == params.keys() - set(layer.state_params) - set(layer.constant_params)
    assert unit.buffers.keys() == set(layer.state_params)
    assert all(unit.gradients[key].shape == params[key].shape for key in unit.gradients)
    assert set(layer.decayed_params) <= unit.gradients.keys()


@each_row
def test_float32_gives_the_result_of_float64(layer, input_shape):
    """Samples, parameters and gradients are float32 numbers exactly, so only the computation differs."""
    results = {}
    for dtype in (np.float64, np.float32):
        params = random_params(layer, input_shape, np.float32)
        params = {key: value.astype(dtype) for key, value in params.items()}
        X = random_batch(input_shape, dtype)
        # masks are drawn in the compute dtype, so those of dropout differ
        training = not isinstance(layer, RANDOM)
        Y, unit = run_forward(layer, params, X, training=training, weights=WEIGHTS)
        dY = random_batch(layer.output_shape(input_shape), dtype, seed=14)
        dX = run_backward(layer, params, unit, dY) if training else Y
        results[dtype] = [Y, dX, *(unit.gradients[key] for key in sorted(unit.gradients))]
    for single, double in zip(results[np.float32], results[np.float64], strict=True):
        assert_close(single, double)


@each_row
def test_forward_and_backward_never_write_to_the_input(layer, input_shape):
    params = random_params(layer, input_shape)
    X = random_batch(input_shape)
    before = X.copy()
    X.setflags(write=False)
    run_forward(layer, params, X, training=False)
    Y, unit = run_forward(layer, params, X, training=True)
    run_backward(layer, params, unit, np.ones_like(Y))
    np.testing.assert_array_equal(X, before)


@each_row
def test_nothing_writes_to_the_parameters(layer, input_shape):
    """Updates of weights are the optimizer's, those of running statistics the training loop's."""
    params = random_params(layer, input_shape)
    for value in params.values():
        value.setflags(write=False)
    Y, unit = run_forward(layer, params, random_batch(input_shape), training=True)
    run_backward(layer, params, unit, np.ones_like(Y))


@each_row
def test_executor_gives_the_result_of_one_naive_unit(layer, input_shape):
    """A bare layer, all rows at once and memory full of NaN, against chunks in reused memory."""
    bare = clone(layer)
    if hasattr(bare, "activation"):
        bare.set_params(activation=None)
    run = Run(bare, input_shape, weights=WEIGHTS)
    params = run.network.params.get("layer", {})
    Y, _ = run_forward(bare, params, random_batch(input_shape), training=False)
    order = (2, 0, 1, 3) if Y.ndim == 4 else (0, 1)
    assert_close(run.scores, Y.transpose(order).reshape(N_SAMPLES, -1))


@each(rows_without(*DIFFERENT_IN_TRAINING))
def test_prediction_is_the_forward_pass_of_training(layer, input_shape):
    params, X = random_params(layer, input_shape), random_batch(input_shape)
    trained, _ = run_forward(layer, params, X, training=True, weights=WEIGHTS, seed=1)
    predicted, _ = run_forward(layer, params, X, training=False)
    np.testing.assert_array_equal(trained, predicted)


@each(rows_of(*RANDOM))
def test_dropout_does_nothing_in_prediction(layer, input_shape):
    X = random_batch(input_shape)
    Y, _ = run_forward(layer, {}, X, training=False)
    np.testing.assert_array_equal(Y, X)


@each_row
def test_layers_say_whether_they_draw_random_numbers(layer, input_shape):
    """Two generators give two results, unless there is nothing to draw."""
    params, X = random_params(layer, input_shape), random_batch(input_shape)
    first, second = (run_forward(layer, params, X, training=True, seed=seed)[0] for seed in (0, 1))
    assert layer.is_random == (isinstance(layer, RANDOM) and layer.rate > 0)
    assert np.array_equal(first, second) == (not layer.is_random or layer.rate == 0)


@each(rows_of(BatchNorm))
def test_batch_norm_predicts_with_running_statistics(layer, input_shape):
    params, X = random_params(layer, input_shape), random_batch(input_shape)
    Y, _ = run_forward(layer, params, X, training=False)
    deviation = np.sqrt(params["running_variance"] + layer.epsilon)
    assert_close(Y, params["scale"] * (X - params["running_mean"]) / deviation + params["shift"])


@each_row
def test_prediction_of_a_sample_does_not_depend_on_its_batch(layer, input_shape):
    """To rounding: sums over other shapes may be taken in another order."""
    params, X = random_params(layer, input_shape), random_batch(input_shape)
    Y, _ = run_forward(layer, params, X, training=False)
    alone, _ = run_forward(layer, params, np.ascontiguousarray(X[..., 2:3, :]), training=False)
    np.testing.assert_allclose(alone, Y[..., 2:3, :], rtol=0, atol=TOLERANCE[Y.dtype] * np.abs(Y).max())


@each_row
def test_hyperparameters_survive_cloning_and_rebuilding(layer, input_shape):
    hyperparameters = layer.get_params()
    for copy in (clone(layer), type(layer)(**hyperparameters), clone(layer).set_params(**hyperparameters)):
        assert type(copy) is type(layer)
        assert copy is not layer
        assert copy.get_params() == hyperparameters
        assert copy.output_shape(input_shape) == layer.output_shape(input_shape)


@each_row
def test_pickled_layer_gives_the_same_result(layer, input_shape):
    copy = pickle.loads(pickle.dumps(layer))
    assert copy.get_params() == layer.get_params()
    params, X = random_params(layer, input_shape), random_batch(input_shape)
    expected, _ = run_forward(layer, params, X, training=True)
    Y, _ = run_forward(copy, params, X, training=True)
    np.testing.assert_array_equal(Y, expected)


@each_row
def test_layer_holds_nothing_but_hyperparameters(layer, input_shape):
    """Before and after a training step: vars(layer) is what its constructor was given."""
    params = random_params(layer, input_shape)
    Y, unit = run_forward(layer, params, random_batch(input_shape), training=True)
    run_backward(layer, params, unit, np.ones_like(Y))
    assert vars(layer) == layer.get_params()


@each_row
def test_initial_parameters_follow_from_the_generator(layer, input_shape):
    first, again, other = (
        layer.init_params(input_shape, activation=None, dtype=np.dtype("f8"), rng=generator(seed))
        for seed in (0, 0, 1)
    )
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
        if key in layer.decayed_params:
            assert (first[key] != other[key]).all()


@each_row
def test_shapes_of_parameters_are_told_without_making_any(layer, input_shape, monkeypatch):
    params = layer.init_params(input_shape, activation=None, dtype=np.dtype("f4"), rng=generator(0))
    if params:  # other layers have nothing to tell
        monkeypatch.setattr(type(layer), "init_params", None)
    assert layer.param_shapes(input_shape) == {name: value.shape for name, value in params.items()}


def classes_without_row(classes, rows):
    """Return the names of the layers that can be made and that no row tests."""
    tested = {type(layer) for layer, _ in rows}
    return sorted(cls.__name__ for cls in classes if not inspect.isabstract(cls) and cls not in tested)


def subclasses(cls):
    return {cls}.union(*map(subclasses, cls.__subclasses__()))


EXPORTED = [getattr(skcnn.layers, name) for name in skcnn.layers.__all__]


def test_every_exported_layer_has_a_row():
    assert classes_without_row([cls for cls in EXPORTED if issubclass(cls, Layer)], ROWS) == []


def test_what_is_exported_and_no_layer_is_a_container():
    """Containers become nodes of other layers and have tests of their own."""
    others = {cls for cls in EXPORTED if not issubclass(cls, Layer)} - {Block}
    assert others == {cls for cls in EXPORTED if issubclass(cls, Container)}
    assert all(issubclass(cls, Block) for cls in EXPORTED)


def test_every_layer_of_the_package_is_exported():
    """But for those that only containers make, with several inputs, so that no stack can hold them, and for
    what takes the place of batch normalization where gradients of predictions are taken."""
    ours = {cls for cls in subclasses(Block) if cls.__module__.startswith("skcnn.layers.")}
    made_by_containers = {cls for cls in ours if issubclass(cls, JoiningLayer)}
    assert {cls.__name__ for cls in made_by_containers} == {"JoiningLayer", "Add", "Concatenate"}
    assert not made_by_containers & set(EXPORTED)
    missing = {cls for cls in ours - made_by_containers if not inspect.isabstract(cls)} - set(EXPORTED)
    assert {cls.__name__ for cls in missing} == {"ChannelAffine"}


def test_a_layer_without_a_row_is_noticed():
    """A subclass of a layer with a row needs one of its own; a class that cannot be made needs none."""

    class Forgotten(ReLU):
        pass

    assert classes_without_row([ReLU, Forgotten, Layer], ROWS) == ["Forgotten"]
    assert classes_without_row([ReLU], rows_without(ReLU)) == ["ReLU"]
