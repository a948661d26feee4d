"""Tests of the layer protocol and of what layers have in common."""

import threading

import numpy as np
import pytest
from reference import initial_params, run_backward, run_forward
from seeds import SEED, generator

from skcnn.layers import (
    Activation,
    AvgPool2D,
    Block,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    ElementwiseActivation,
    Flatten,
    GroupNorm,
    Layer,
    LocalResponseNorm,
    MaxPool2D,
    MergingLayer,
    ReLU,
    ZeroPad2D,
)
from skcnn.layers.base import as_pair, as_size, check_divides, check_padding, is_integer, require_image
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network
from skcnn.network.threads import worker_pool


class Double(Layer):
    """The least that a layer must have."""

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, 2, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, 2, out=out)


class Center(MergingLayer):
    """Subtract the mean of the minibatch: merges, but has no parameters."""

    def statistics(self, X, unit):
        np.copyto(unit.buffer("X", X.shape), X)
        return X.sum(axis=0), len(X)

    def merge(self, params, partials, *, part=None):
        return sum(total for total, _ in partials) / sum(n for _, n in partials), {}

    def forward(self, params, X, unit, *, training, out):
        return np.subtract(unit.buffer("X", out.shape), unit.merged, out=out) if training else X

    def backward_statistics(self, params, dY, unit):
        return dY.sum(axis=0), len(dY)

    def backward_merge(self, params, merged, partials):
        return sum(total for total, _ in partials) / sum(n for _, n in partials)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.subtract(dY, unit.merged, out=out) if need_dX else None


class SumOfScores:
    """Loss whose gradient is one everywhere."""

    def gradient(self, scores, targets, weights, out):
        out.fill(1)
        return float(scores.sum())


def train(layers, X, *, weights=None, input_gradient=True, cut=None):
    """Run one step on vectors (n, f) or images (h, w, n, c); return gradients and dX."""
    shape = X.shape[1:] if X.ndim == 2 else (*X.shape[:2], X.shape[3])
    network = init_network(compile_nodes(layers, shape), dtype=X.dtype, seed=SEED)
    n_samples = X.shape[-2]

    def read(rows, out):
        np.copyto(out, X[..., rows, :])

    no_targets = np.zeros((n_samples, network.n_outputs))
    with worker_pool(cut) as pool:
        executor = Executor(network, pool, training=True, seed=SEED, input_gradient=input_gradient)
        executor.gradients(Batch(n_samples, read, no_targets, np.ones(n_samples), weights), SumOfScores())
        gradients = network.views_of(executor.reduce().copy())
        return gradients, executor.input_gradient() if input_gradient else None


@pytest.mark.parametrize("abstract", [Block, Layer, MergingLayer, Activation, ElementwiseActivation])
def test_base_classes_cannot_be_made(abstract):
    with pytest.raises(TypeError, match="abstract"):
        abstract()


def test_layer_without_backward_cannot_be_made():
    class OnlyForward(Layer):
        def forward(self, params, X, unit, *, training, out):
            return X

    with pytest.raises(TypeError, match="backward"):
        OnlyForward()


def test_layer_has_no_parameters_and_keeps_the_shape_by_default():
    layer = Double()
    assert layer.output_shape((3, 4, 5)) == (3, 4, 5)
    assert layer.init_params((3, 4, 5), activation=None, dtype=np.dtype("f4"), rng=None) == {}
    assert layer.multiply_adds((3, 4, 5)) == layer.scratch_size((3, 4, 5)) == 0
    _, node = compile_nodes([("double", layer)], (3, 4, 5))
    assert (node.name, node.layer, node.inputs) == ("double", layer, (0,))
    assert not layer.takes_vectors
    assert not layer.is_random
    assert layer.decayed_params == layer.state_params == layer.backward_reads == ()


class Scaled(Double):
    """Makes parameters, and leaves it to its base class to tell their shapes."""

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"factor": rng.random(input_shape[-1]).astype(dtype), "count": np.zeros((), np.int64)}


def test_shapes_of_parameters_are_those_of_what_is_made():
    assert Double().param_shapes((3, 4, 5)) == {}
    assert Scaled().param_shapes((3, 4, 5)) == {"factor": (5,), "count": ()}


def test_a_class_that_makes_other_parameters_does_not_inherit_shapes():
    class Gated(Dense):
        def init_params(self, input_shape, **options):
            return super().init_params(input_shape, **options) | {"gate": np.ones(3)}

    class Told(Gated):
        def param_shapes(self, input_shape):
            return {"gate": (3,)}

    class Mixed(Scaled, Dense):
        pass

    class Renamed(Dense):
        pass

    assert Gated(2).param_shapes((4,)) == {"weight": (4, 2), "bias": (2,), "gate": (3,)}
    assert Told(2).param_shapes((4,)) == {"gate": (3,)}
    assert Mixed(2).param_shapes((4,)) == {"factor": (4,), "count": ()}
    assert Renamed.param_shapes is Dense.param_shapes


def test_layer_with_forward_and_backward_alone_is_enough():
    _, dX = train([("double", Double()), ("again", Double())], np.ones((3, 2)))
    assert (dX == 4).all()


@pytest.mark.parametrize("input_gradient", [True, False])
def test_merging_layer_without_parameters_may_come_first(input_gradient):
    """Nothing reads its gradient then, and its statistics are merged all the same."""
    X = np.array([[1.0, 2.0], [5.0, 4.0]])
    layers = [("center", Center()), ("dense", Dense(1))]
    gradients, _ = train(layers, X, input_gradient=input_gradient)
    # the gradient of the weight sums the centered samples
    np.testing.assert_allclose(gradients["dense"]["weight"], [[0], [0]], rtol=0, atol=1e-15)
    assert gradients["dense"]["bias"] == [2]


class Spy(Layer):
    """Scales by a trained number and notes everything that the unit offers it."""

    backward_reads = ("X",)

    def __init__(self, notes=None):
        self.notes = notes

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"factor": np.ones(1, dtype)}

    def multiply_adds(self, input_shape):
        return 1

    def note(self, *what):
        with self.notes["lock"]:
            self.notes["events"].append(what)

    def prepare(self, params, plan, *, training):
        self.note("prepare", training)
        return "prepared"

    def forward(self, params, X, unit, *, training, out):
        first = int(X[0, 0, 0, 0])
        self.note("forward", first, X.shape[2], unit.weights.tolist(), unit.prepared)
        unit.buffer("first", (1,), np.int64)[0] = first
        return np.multiply(X, params["factor"], out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        self.note("backward", int(unit.buffer("first", (1,), np.int64)[0]), int(unit.X[0, 0, 0, 0]), unit.Y)
        total = unit.accumulator("total", (1,))
        total += (unit.X * dY).sum()
        return np.multiply(dY, params["factor"], out=out)

    def finish(self, params, unit):
        self.note("finish", float(unit.accumulator("total", (1,))[0]))
        unit.add_gradient("factor", unit.accumulator("total", (1,)))


@pytest.fixture
def events():
    """What a Spy notes in one training step on images 0, 1, 2, 3, in two shards of two chunks of one."""
    notes = {"events": [], "lock": threading.Lock()}
    images = np.arange(4.0) * np.ones((3, 2, 1, 1))
    X = np.ascontiguousarray(images.transpose(0, 1, 3, 2))
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    layers, cut = [("spy", Spy(notes)), ("flatten", Flatten())], Cut(min_shards=2, chunk_bytes=0)
    gradients, _ = train(layers, X, weights=weights, cut=cut)
    return notes["events"] + [("gradient", float(gradients["spy"]["factor"][0]))]


def select(events, name):
    return [event[1:] for event in events if event[0] == name]


def test_prepare_comes_once_a_step(events):
    assert events[0] == ("prepare", True)
    assert len(select(events, "prepare")) == 1


def test_forward_sees_its_rows_with_their_weights(events):
    assert sorted(select(events, "forward")) == [(row, 1, [row + 1.0], "prepared") for row in range(4)]


def test_backward_finds_the_buffer_and_the_input_of_its_rows(events):
    """And nothing where an array is not named in backward_reads."""
    assert sorted(select(events, "backward")) == [(row, row, None) for row in range(4)]


def test_finish_comes_once_a_shard_after_its_last_chunk(events):
    """The accumulator holds the sum of the shard: rows 0 and 1, rows 2 and 3, six pixels each."""
    assert sorted(select(events, "finish")) == [(6 * (0 + 1),), (6 * (2 + 3),)]
    kinds = [event[0] for event in events]
    assert kinds.index("finish") > max(place for place, kind in enumerate(kinds) if kind == "backward")


def test_gradients_of_the_shards_are_added(events):
    assert select(events, "gradient") == [(36,)]


@pytest.mark.parametrize(
    ("value", "pair"), [(3, (3, 3)), ((2, 5), (2, 5)), ([4, 1], (4, 1)), (np.array([4, 1]), (4, 1))]
)
def test_as_pair(value, pair):
    assert as_pair(value, "size") == pair
    assert [type(size) for size in as_pair(value, "size")] == [int, int]
    assert as_pair(np.int64(3), "size") == (3, 3)


@pytest.mark.parametrize(
    "value", [0, -1, 1.0, "3", None, True, (), (1,), (1, 2, 3), (1, 0), (1, 2.0), (True, 1), {1, 2}], ids=repr
)
def test_as_pair_refuses(value):
    with pytest.raises(ValueError) as info:
        as_pair(value, "size")
    assert str(info.value) == f"size must be an int >= 1 or a pair of such ints, got {value!r}"


def test_is_integer_takes_numpy_integers_and_no_bools():
    assert is_integer(3)
    assert is_integer(np.int8(3))
    assert not any(map(is_integer, (True, np.True_, 3.0, np.float64(3), "3", None)))


def made_of_ints(value):
    """Name of a test: the layer as it should be, and the shape of its input."""
    return " ".join(str(value(int) if callable(value) else value).split())


@pytest.mark.parametrize("integer", [np.int64, np.int8, np.uint8])
@pytest.mark.parametrize(
    ("make", "input_shape"),
    [
        (lambda i: Conv2D(i(100), i(3), strides=i(2)), (224, 160, 3)),
        (lambda i: Conv2D(i(100), (i(3), i(5)), padding=(i(2), (i(1), i(0)))), (224, 160, 3)),
        (lambda i: Conv2D(200, i(3), dilation=i(2), groups=i(100)), (224, 160, 300)),
        (lambda i: DepthwiseConv2D(i(5), depth_multiplier=i(20)), (224, 160, 30)),
        (lambda i: MaxPool2D(i(20), strides=i(3)), (224, 160, 3)),
        (lambda i: AvgPool2D((i(2), i(20)), padding=i(1), ceil_mode=True), (224, 160, 3)),
        (lambda i: ZeroPad2D((i(100), (i(100), i(1)))), (224, 160, 3)),
        (lambda i: GroupNorm(i(100)), (224, 160, 300)),
        (lambda i: LocalResponseNorm(i(100)), (224, 160, 300)),
        (lambda i: Dense(i(100)), (300,)),
    ],
    ids=made_of_ints,
)
def test_numpy_integers_are_as_good_as_ints(make, input_shape, integer):
    """A grid from np.arange holds them. Their arithmetic wraps around, so it must not spread."""
    layer, plain = make(integer), make(int)
    shape = layer.output_shape(input_shape)
    assert shape == plain.output_shape(input_shape)
    assert all(type(size) is int for size in shape)
    assert layer.multiply_adds(input_shape) == plain.multiply_adds(input_shape)
    assert layer.scratch_size(input_shape) == plain.scratch_size(input_shape)


@pytest.mark.parametrize("integer", [np.int64, np.int8, np.uint8])
@pytest.mark.parametrize(
    ("make", "input_shape"),
    [
        (lambda i: Conv2D(i(6), i(3), strides=i(2), padding=i(1), dilation=i(2), groups=i(2)), (9, 8, 260)),
        (lambda i: DepthwiseConv2D(i(5), depth_multiplier=i(20)), (5, 4, 3)),
        (lambda i: MaxPool2D(i(20), strides=i(3), padding=i(2)), (21, 22, 2)),
        (lambda i: AvgPool2D((i(2), i(20)), padding=i(1), ceil_mode=True), (6, 25, 2)),
        (lambda i: Dense(i(5)), (300,)),
        (lambda i: ZeroPad2D((i(3), (i(1), i(0)))), (4, 5, 2)),
        (lambda i: GroupNorm(i(2)), (9, 8, 6)),
        (lambda i: GroupNorm(i(100)), (300,)),
        (lambda i: LocalResponseNorm(i(5), alpha=1.0), (2, 3, 7)),
    ],
    ids=made_of_ints,
)
def test_numpy_integers_compute_what_ints_do(make, input_shape, integer):
    """Bit for bit, parameters, results and gradients."""
    *pixels, features = input_shape
    X = generator(1).standard_normal((*pixels, 3, features)).astype(np.float32)
    results = []
    for layer in (make(integer), make(int)):
        params = initial_params(layer, input_shape, np.float32)
        Y, unit = run_forward(layer, params, X, training=True)
        dX = run_backward(layer, params, unit, Y)
        results.append({"Y": Y, "dX": dX} | params | {f"d{key}": unit.gradients[key] for key in params})
    for key, value in results[1].items():
        np.testing.assert_array_equal(results[0][key], value)


def test_as_size():
    assert as_size(3, "filters") == 3
    assert type(as_size(np.int8(3), "filters")) is int


@pytest.mark.parametrize("value", [0, -1, 1.5, 1.0, "3", None, True, np.True_, (1,), [2]], ids=repr)
def test_as_size_refuses(value):
    with pytest.raises(ValueError) as info:
        as_size(value, "filters")
    assert str(info.value) == f"filters must be an int >= 1, got {value!r}"


@pytest.mark.parametrize(("total", "divisors"), [(1, [1]), (7, [1, 7]), (12, [1, 2, 3, 4, 6, 12])])
def test_check_divides_offers_the_divisors(total, divisors):
    for groups in range(1, 15):
        if groups in divisors:
            check_divides(groups, channels=total)
            continue
        with pytest.raises(ValueError) as info:
            check_divides(groups, channels=total)
        assert str(info.value) == (
            f"groups={groups} does not divide the {total} channels; choose one of {divisors}"
        )


@pytest.mark.parametrize(
    ("groups", "channels", "filters", "expected"),
    [
        (3, 6, 8, "the 8 filters; choose one of [1, 2], which divide 6 channels as well"),
        (4, 6, 8, "the 6 channels; choose one of [1, 2], which divide 8 filters as well"),
        (5, 12, 18, "the 12 channels; choose one of [1, 2, 3, 6], which divide 18 filters as well"),
        (3, 7, 10**9, "the 7 channels; choose one of [1], which divide 1000000000 filters as well"),
    ],
)
def test_check_divides_offers_the_common_divisors(groups, channels, filters, expected):
    with pytest.raises(ValueError) as info:
        check_divides(groups, channels=channels, filters=filters)
    assert str(info.value) == f"groups={groups} does not divide {expected}"


@pytest.mark.parametrize("value", [0, 3, np.uint8(2), (1, 2), [0, (1, 2)], ((1, 2), [3, 4])], ids=repr)
def test_check_padding_takes_ints_and_pairs(value):
    check_padding(value)
    check_padding(value, names=())


@pytest.mark.parametrize("names", [("same", "valid"), ("same",), ()], ids=str)
def test_check_padding_takes_the_names_that_it_is_given(names):
    for value in ("same", "valid", "SAME", ""):
        if value in names:
            check_padding(value, names=names)
            continue
        with pytest.raises(ValueError) as info:
            check_padding(value, names=names)
        offered = "".join(f"{name!r}, " for name in names)
        assert str(info.value) == (
            f"padding must be {offered}an int >= 0, or a pair of ints or of (before, after), got {value!r}"
        )


def test_require_image():
    require_image((3, 4, 1))
    for shape in [(5,), (3, 4), (1, 2, 3, 4)]:
        with pytest.raises(ValueError, match=r"expected an image \(height, width, channels\), got shape"):
            require_image(shape)


def test_errors_name_the_layer_its_parameters_and_the_shape():
    layers = [("first", Conv2D(8, strides=2)), ("second", Conv2D(4, 7, padding="valid"))]
    with pytest.raises(ValueError) as info:
        compile_nodes(layers, (12, 10, 3))
    message = str(info.value)
    assert message.startswith("layer 'second', Conv2D(filters=4, kernel_size=7, padding='valid')")
    assert "on input of shape (6, 5, 8)" in message
    assert "kernel_size=(7, 7) is larger than the padded image of (6, 5)" in message


@pytest.mark.parametrize("layers", [[("a", ReLU()), ("a", ReLU())], [("a", Dense(2, activation="relu"))] * 2])
def test_names_are_unique(layers):
    with pytest.raises(ValueError, match="layer names must be unique, got 'a' twice"):
        compile_nodes(layers, (4,))


def test_a_name_that_an_activation_takes_cannot_be_used_again():
    with pytest.raises(ValueError, match="'dense_relu' twice"):
        compile_nodes([("dense", Dense(2, activation="relu")), ("dense_relu", ReLU())], (4,))
