"""What every layer must keep to, whatever it computes: one table of layers for all tests.

A new layer needs rows in this table; the last tests fail until it has some.
"""

import inspect
import pickle
import re
import sys

import numpy as np
import pytest
from gradients import error_away_from_kinks
from reference import TOLERANCE, assert_close, run_backward, run_forward
from seeds import SEED, generator
from sklearn.base import clone

from skcnn import layers
from skcnn.layers.base import JoiningLayer
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.losses import LinearLoss
from skcnn.network.network import init_network
from skcnn.network.threads import worker_pool


def on_both(*kinds):
    """Return rows of layers that take images as well as vectors."""
    return [(layer, shape) for layer in kinds for shape in [(3, 4, 2), (5,)]]


ROWS = [
    (layers.Conv2D(3), (6, 5, 2)),
    (layers.Conv2D(4, (2, 3), strides=(2, 1), padding="valid", activation="tanh"), (7, 6, 1)),
    (layers.Conv2D(2, 1, strides=3), (1, 8, 2)),
    (layers.Conv2D(1, 2, padding=(3, (0, 4)), activation="relu"), (3, 3, 1)),
    (layers.Conv2D(2, (3, 2), strides=2, padding=((0, 2), 3), dilation=(2, 3)), (5, 4, 1)),
    (layers.Conv2D(6, 3, groups=2), (4, 5, 4)),
    (layers.Conv2D(16), (5, 6, 16)),
    (layers.Conv2D(17, padding=2, use_bias=False), (7, 4, 16)),
    (layers.Conv2D(3, 2, groups=3, padding="valid", use_bias=False), (3, 4, 3)),
    (layers.Conv2D(4, (1, 3), strides=(1, 2), dilation=(1, 2), groups=2, activation="prelu"), (1, 7, 2)),
    (layers.PatchWhitening(), (5, 6, 3)),
    (layers.PatchWhitening(4, (3, 2), padding="valid", activation="gelu"), (4, 5, 1)),
    (layers.PatchWhitening(16, 3, padding=((0, 2), 1)), (6, 5, 16)),
    (layers.DepthwiseConv2D(), (5, 6, 3)),
    (layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2), (6, 5, 2)),
    (layers.DepthwiseConv2D((2, 3), padding=((2, 0), (1, 3)), dilation=(2, 1), use_bias=False), (4, 4, 2)),
    (layers.Dense(4), (6,)),
    (layers.Dense(3, activation="sigmoid"), (5,)),
    (layers.Dense(1, use_bias=False), (1,)),
    *on_both(layers.ReLU(), layers.ReLU6(), layers.LeakyReLU(), layers.LeakyReLU(0.0), layers.PReLU()),
    *on_both(layers.ELU(), layers.ELU(0.4), layers.CELU(), layers.CELU(0.4), layers.SELU()),
    *on_both(layers.GELU(), layers.GELU("tanh"), layers.SiLU(), layers.HardSwish(), layers.Mish()),
    *on_both(layers.Softplus(), layers.Sigmoid(), layers.HardSigmoid(), layers.HardSigmoid(0.7, 0.2)),
    *on_both(layers.Tanh(), layers.Softsign(), layers.Softmax()),
    *on_both(layers.BatchNorm(), layers.BatchNorm(momentum=0.0, epsilon=0.1)),
    (layers.LayerNorm(), (4, 3, 5)),
    (layers.LayerNorm(), (6,)),
    (layers.LayerNorm(epsilon=0.1), (2,)),
    (layers.GroupNorm(2), (4, 3, 6)),
    (layers.GroupNorm(3), (3, 4, 3)),  # as many groups as channels: instance normalization
    (layers.GroupNorm(1, epsilon=0.1), (3, 2, 1)),
    (layers.GroupNorm(2), (8,)),
    (layers.LocalResponseNorm(), (3, 4, 7)),
    (layers.LocalResponseNorm(4, alpha=0.5, beta=2, k=0.7), (1, 5, 6)),
    (layers.LocalResponseNorm(3, alpha=2.0), (6,)),
    *on_both(layers.Dropout(), layers.Dropout(0.2), layers.Dropout(0.0)),
    (layers.SpatialDropout2D(), (4, 5, 3)),
    (layers.SpatialDropout2D(0.0), (3, 3, 2)),
    (layers.MaxPool2D(), (6, 6, 2)),
    (layers.MaxPool2D(3, strides=2), (7, 8, 1)),
    (layers.MaxPool2D(2, strides=3), (6, 7, 3)),
    (layers.MaxPool2D((3, 2), strides=2, padding=((2, 0), (0, 1))), (6, 5, 2)),
    (layers.MaxPool2D((2, 3), strides=1, padding=(1, (2, 0)), dilation=(2, 3), ceil_mode=True), (4, 7, 2)),
    (layers.AvgPool2D(), (6, 6, 2)),
    (layers.AvgPool2D((2, 1), strides=(3, 1)), (6, 4, 2)),
    (layers.AvgPool2D((1, 2), ceil_mode=True), (1, 7, 2)),
    (layers.AvgPool2D(3, strides=2, padding="same", dilation=2, count_include_pad=True), (6, 5, 1)),
    (layers.GlobalAvgPool2D(), (5, 4, 3)),
    (layers.GlobalMaxPool2D(), (5, 4, 3)),
    (layers.GlobalMaxPool2D(), (1, 1, 2)),
    (layers.Flatten(), (3, 4, 2)),
    (layers.ZeroPad2D(((0, 2), (3, 1))), (1, 4, 2)),
    (layers.ZeroPad2D(0), (3, 2, 1)),
    *on_both(layers.Rescale(0.25), layers.Rescale(0.0)),
]

RANDOM = (layers.Dropout, layers.SpatialDropout2D)

N_SAMPLES = 7  # prime: no cut into shards and chunks comes out even
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.25, 3.0, 1.5, 0.75])
PIECES = Cut(min_shards=3, chunk_bytes=0, prediction_rows=2)
"""Three shards, of two or three chunks of one image."""


def row_id(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else " ".join(repr(value).split())


def each(rows):
    return pytest.mark.parametrize(("layer", "input_shape"), rows, ids=row_id)


each_row = each(ROWS)
each_class = each({type(row[0]): row for row in reversed(ROWS)}.values())


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


class Run:
    """One training step and one prediction through the executor, and all that came out of them."""

    def __init__(self, layer, input_shape, *, input_gradient=True, cut=None):
        nodes = compile_nodes([("layer", layer)], input_shape)
        if len(nodes[-1].output_shape) == 3:
            nodes = compile_nodes([("layer", layer), ("flatten", layers.Flatten())], input_shape)
        self.network = init_network(nodes, dtype=np.float64, seed=SEED)
        self.network.vector += generator(4).normal(0, 0.2, self.network.n_params)
        X = random_batch(input_shape)
        targets = random_batch((self.network.n_outputs,), seed=13)

        def read(rows, out):
            np.copyto(out, X[..., rows, :])

        batch = Batch(N_SAMPLES, read, targets, np.ones(N_SAMPLES), WEIGHTS)
        with worker_pool(cut) as pool:
            executor = Executor(self.network, pool, training=True, seed=SEED, input_gradient=input_gradient)
            self.loss = executor.gradients(batch, LinearLoss())
            self.gradient = executor.reduce().copy()
            self.dX = executor.input_gradient() if input_gradient else None
            self.network.set_buffers(executor.buffers)
            self.scores = np.full((N_SAMPLES, self.network.n_outputs), np.nan)
            Executor(self.network, pool, training=False).predict(batch, self.scores)


@each_row
def test_output_shape_is_that_of_the_result(layer, input_shape):
    """A tuple of ints, and every element of the result is written, in training and in prediction."""
    shape = layer.output_shape(input_shape)
    assert isinstance(shape, tuple)
    assert all(type(size) is int and size > 0 for size in shape)
    for training in (True, False):
        Y, _ = run_forward(
            layer, random_params(layer, input_shape), random_batch(input_shape), training=training
        )
        assert Y.shape == (*shape[:-1], N_SAMPLES, shape[-1])
        assert np.isfinite(Y).all()


@each_row
def test_gradients_are_right(layer, input_shape):
    options = {"n_samples": N_SAMPLES, "random_state": SEED}
    assert error_away_from_kinks(layer, input_shape, weights=WEIGHTS, **options) < 1e-7
    if isinstance(layer, layers.BatchNorm):  # the only one that reads them
        assert error_away_from_kinks(layer, input_shape, **options) < 1e-7


@each([row for row in ROWS if not isinstance(row[0], RANDOM) or row[0].rate == 0])
def test_shards_and_chunks_change_nothing(layer, input_shape):
    """Only random masks depend on the cut. Everything else is the same sum in another order."""
    whole = Run(layer, input_shape, cut=Cut(max_shards=1, min_chunk=N_SAMPLES))
    pieces = Run(layer, input_shape, cut=PIECES)
    assert_close(pieces.scores, whole.scores)
    assert_close(pieces.dX, whole.dX)
    assert_close(pieces.gradient, whole.gradient)
    assert_close(np.array([pieces.loss]), [whole.loss])
    for where, value in whole.network.buffers().items():
        np.testing.assert_allclose(pieces.network.buffers()[where], value, rtol=1e-12, atol=1e-12)


@each_row
def test_threads_change_no_bit(layer, input_shape, monkeypatch):
    """More shards than threads, and more threads than shards."""
    runs = []
    for n_threads in (1, 2, 5):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        runs.append(Run(layer, input_shape, cut=PIECES))
    for run in runs[1:]:
        assert run.loss == runs[0].loss
        for name in ("dX", "gradient", "scores"):
            np.testing.assert_array_equal(getattr(run, name), getattr(runs[0], name))


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
    without_dX = Run(layer, input_shape, input_gradient=False)
    np.testing.assert_array_equal(without_dX.gradient, Run(layer, input_shape).gradient)


@each_class
def test_every_parameter_is_either_state_or_has_a_gradient(layer, input_shape):
    params = random_params(layer, input_shape)
    Y, unit = run_forward(layer, params, random_batch(input_shape), training=True)
    run_backward(layer, params, unit, np.ones_like(Y))
    assert unit.gradients.keys() == params.keys() - set(layer.buffer_params) - set(layer.constant_params)
    assert unit.buffers.keys() == set(layer.buffer_params)
    assert all(unit.gradients[key].shape == params[key].shape for key in unit.gradients)
    assert set(layer.decayed_params) <= unit.gradients.keys()


@each_row
def test_float32_gives_the_result_of_float64(layer, input_shape):
    """Samples, parameters and gradients are float32 numbers exactly, so only the computation differs."""
    results = {}
    fresh = random_params(layer, input_shape, np.float32)
    for dtype in (np.float64, np.float32):
        params = {key: value.astype(dtype) for key, value in fresh.items()}
        X = random_batch(input_shape, dtype)
        # masks are drawn in the compute dtype, so those of dropout differ
        training = not isinstance(layer, RANDOM)
        Y, unit = run_forward(layer, params, X, training=training, weights=WEIGHTS)
        dY = random_batch(layer.output_shape(input_shape), dtype, seed=14)
        dX = run_backward(layer, params, unit, dY) if training else Y
        results[dtype] = [Y, dX, *(unit.gradients[key] for key in sorted(unit.gradients))]
        assert {array.dtype for array in results[dtype]} == {np.dtype(dtype)}
    for single, double in zip(results[np.float32], results[np.float64], strict=True):
        assert_close(single, double)
    assert all(value.dtype == np.float32 for key, value in fresh.items() if key not in layer.count_params)


@each_class
def test_forward_and_backward_write_neither_to_input_nor_to_parameters(layer, input_shape):
    """Updates of weights are the optimizer's, those of running statistics the training loop's."""
    params, X = random_params(layer, input_shape), random_batch(input_shape)
    for array in (X, *params.values()):
        array.setflags(write=False)
    run_forward(layer, params, X, training=False)
    Y, unit = run_forward(layer, params, X, training=True)
    run_backward(layer, params, unit, np.ones_like(Y))


@each_row
def test_executor_gives_the_result_of_one_naive_unit(layer, input_shape):
    """A bare layer, all rows at once and memory full of NaN, against chunks in reused memory."""
    bare = clone(layer)
    if hasattr(bare, "activation"):
        bare.set_params(activation=None)
    run = Run(bare, input_shape)
    params = run.network.params.get("layer", {})
    Y, _ = run_forward(bare, params, random_batch(input_shape), training=False)
    order = (2, 0, 1, 3) if Y.ndim == 4 else (0, 1)
    assert_close(run.scores, Y.transpose(order).reshape(N_SAMPLES, -1))


@each([row for row in ROWS if not isinstance(row[0], (layers.BatchNorm, *RANDOM))])
def test_prediction_is_the_forward_pass_of_training(layer, input_shape):
    params, X = random_params(layer, input_shape), random_batch(input_shape)
    trained, _ = run_forward(layer, params, X, training=True, weights=WEIGHTS, seed=1)
    predicted, _ = run_forward(layer, params, X, training=False)
    np.testing.assert_array_equal(trained, predicted)


@each([row for row in ROWS if isinstance(row[0], RANDOM)])
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
    assert np.array_equal(first, second) == (not layer.is_random)


@each_row
def test_prediction_of_a_sample_does_not_depend_on_its_batch(layer, input_shape):
    """To rounding: sums over other shapes may be taken in another order."""
    params, X = random_params(layer, input_shape), random_batch(input_shape)
    Y, _ = run_forward(layer, params, X, training=False)
    alone, _ = run_forward(layer, params, np.ascontiguousarray(X[..., 2:3, :]), training=False)
    np.testing.assert_allclose(alone, Y[..., 2:3, :], rtol=0, atol=TOLERANCE[Y.dtype] * np.abs(Y).max())


@each_class
def test_layers_refuse_what_they_have_no_row_of(layer, input_shape):
    """Vectors before what needs images, and images before what needs vectors."""
    taken = {len(shape) for other, shape in ROWS if type(other) is type(layer)}
    for shape in [(64,), (4, 4, 1)]:
        if len(shape) not in taken:
            with pytest.raises(ValueError, match=f"expected .*, got shape {re.escape(str(shape))}"):
                layer.output_shape(shape)


@each_class
def test_hyperparameters_survive_cloning_rebuilding_and_pickling(layer, input_shape):
    hyperparameters = layer.get_params()
    again = clone(layer).set_params(**hyperparameters)
    for copy in (clone(layer), type(layer)(**hyperparameters), again, pickle.loads(pickle.dumps(layer))):
        assert type(copy) is type(layer)
        assert copy is not layer
        assert vars(copy) == copy.get_params() == hyperparameters
        assert copy.output_shape(input_shape) == layer.output_shape(input_shape)


@each_class
def test_layer_holds_nothing_but_hyperparameters(layer, input_shape):
    """After a training step: vars(layer) is what its constructor was given."""
    params = random_params(layer, input_shape)
    Y, unit = run_forward(layer, params, random_batch(input_shape), training=True)
    run_backward(layer, params, unit, np.ones_like(Y))
    assert vars(layer) == layer.get_params()


@each_class
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


EXPORTED = [getattr(layers, name) for name in layers.__all__]


def test_every_exported_layer_has_a_row():
    assert classes_without_row([cls for cls in EXPORTED if issubclass(cls, layers.Layer)], ROWS) == []


def test_what_is_exported_and_no_layer_is_a_container():
    """Containers become nodes of other layers and have tests of their own."""
    others = {cls for cls in EXPORTED if not issubclass(cls, layers.Layer)} - {layers.Block}
    assert others == {cls for cls in EXPORTED if issubclass(cls, layers.Container)}
    assert all(issubclass(cls, layers.Block) for cls in EXPORTED)


def test_every_layer_of_the_package_is_exported():
    """But for those that only containers make, with several inputs, so that no stack can hold them, and for
    what executors put into the places of other layers."""
    ours = {cls for cls in subclasses(layers.Block) if cls.__module__.startswith("skcnn.layers.")}
    ours = {
        cls for cls in ours if hasattr(sys.modules[cls.__module__], cls.__name__)
    }  # not those of doctests
    made_by_containers = {cls for cls in ours if issubclass(cls, JoiningLayer)}
    assert {cls.__name__ for cls in made_by_containers} == {"JoiningLayer", "Add", "Concatenate"}
    assert not made_by_containers & set(EXPORTED)
    missing = {cls for cls in ours - made_by_containers if not inspect.isabstract(cls)} - set(EXPORTED)
    assert {cls.__name__ for cls in missing} == {"ChannelAffine", "Identity"}


def test_a_layer_without_a_row_is_noticed():
    """A subclass of a layer with a row needs one of its own; a class that cannot be made needs none."""

    class Forgotten(layers.ReLU):
        pass

    assert classes_without_row([layers.ReLU, Forgotten, layers.Layer], ROWS) == ["Forgotten"]
