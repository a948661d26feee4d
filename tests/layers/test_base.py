"""Tests of the layer protocol and of what layers have in common."""

import re

import numpy as np
import pytest
from cuts import FINE
from reference import initial_params, run_backward, run_forward
from seeds import generator
from small_classifiers import make_classifier, make_images

from skcnn.gradient_check import layer_gradient_error
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
    ZeroPad2D,
)
from skcnn.layers.base import as_pair, as_size, check_divides, check_padding, is_integer, require_image
from skcnn.network.graph import compile_nodes


class Double(Layer):
    """The least that a layer must have."""

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, 2, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, 2, out=out)


class Center(MergingLayer):
    """Subtract the mean of the minibatch: merges, but has no parameters."""

    def statistics(self, X, unit):
        np.copyto(unit.kept("X", X.shape), X)
        return X.sum(axis=0), len(X)

    def merge(self, params, partials, *, part=None):
        return sum(total for total, _ in partials) / sum(n for _, n in partials), {}

    def forward(self, params, X, unit, *, training, out):
        return np.subtract(unit.kept("X", out.shape), unit.merged, out=out) if training else X

    def backward_statistics(self, params, dY, unit):
        return dY.sum(axis=0), len(dY)

    def backward_merge(self, params, merged, partials):
        return sum(total for total, _ in partials) / sum(n for _, n in partials)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.subtract(dY, unit.merged, out=out) if need_dX else None


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
    assert layer.decayed_params == layer.buffer_params == layer.backward_reads == ()


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


def test_merging_layer_without_parameters_may_come_first():
    """Nothing reads its gradient then, and its statistics are merged all the same."""
    assert layer_gradient_error(Center(), (3,)) < 1e-7
    assert np.isfinite(make_classifier([Flatten(), Center()], max_iter=1).fit(*make_images()).loss_)


def test_prepare_comes_once_a_step(cut_work):
    calls = []

    class Prepared(Dense):
        def prepare(self, params, plan, *, training, memory):
            calls.append(training)

    cut_work(FINE)
    make_classifier([Prepared(2)], max_iter=1, batch_size=8, averaging=None).fit(*make_images(24))
    assert calls.count(True) == 3


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
    with pytest.raises(ValueError, match=f"^size .* got {re.escape(repr(value))}$"):
        as_pair(value, "size")


def test_is_integer_takes_numpy_integers_and_no_bools():
    assert is_integer(3)
    assert is_integer(np.int8(3))
    assert not any(map(is_integer, (True, np.True_, 3.0, np.float64(3), "3", None)))


def made_of_ints(value):
    """Name of a test: the layer as it should be, and the shape of its input."""
    return " ".join(str(value(int) if callable(value) else value).split())


@pytest.mark.parametrize(
    ("make", "input_shape"),
    [
        (lambda i: Conv2D(i(100), (i(3), i(5)), padding=(i(2), (i(1), i(0)))), (224, 160, 3)),
        (lambda i: Conv2D(200, i(3), strides=i(2), dilation=i(2), groups=i(100)), (224, 160, 300)),
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
def test_numpy_integers_are_as_good_as_ints(make, input_shape):
    """A grid from np.arange holds them. Their arithmetic wraps around, so it must not spread."""
    layer, plain = make(np.int8), make(int)
    shape = layer.output_shape(input_shape)
    assert shape == plain.output_shape(input_shape)
    assert all(type(size) is int for size in shape)
    assert layer.multiply_adds(input_shape) == plain.multiply_adds(input_shape)
    assert layer.scratch_size(input_shape) == plain.scratch_size(input_shape)


@pytest.mark.parametrize("integer", [np.int8, np.uint8])
@pytest.mark.parametrize(
    ("make", "input_shape"),
    [
        (lambda i: Conv2D(i(6), i(3), strides=i(2), padding=i(1), dilation=i(2), groups=i(2)), (9, 8, 260)),
        (lambda i: DepthwiseConv2D(i(5), depth_multiplier=i(20)), (5, 4, 3)),
        (lambda i: MaxPool2D(i(20), strides=i(3), padding=i(2)), (21, 22, 2)),
        (lambda i: AvgPool2D((i(2), i(20)), padding=i(1), ceil_mode=True), (6, 25, 2)),
        (lambda i: Dense(i(5)), (300,)),
        (lambda i: ZeroPad2D((i(3), (i(1), i(0)))), (4, 5, 2)),
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
    with pytest.raises(ValueError, match=f"^filters .* got {re.escape(repr(value))}$"):
        as_size(value, "filters")


@pytest.mark.parametrize(("total", "divisors"), [(1, [1]), (7, [1, 7]), (12, [1, 2, 3, 4, 6, 12])])
def test_check_divides_offers_the_divisors(total, divisors):
    for groups in range(1, 15):
        if groups in divisors:
            check_divides(groups, channels=total)
        else:
            with pytest.raises(ValueError, match=f"^groups={groups} .*the {total} channels.*") as info:
                check_divides(groups, channels=total)
            assert str(divisors) in str(info.value)


@pytest.mark.parametrize(
    ("groups", "channels", "filters", "match"),
    [
        (3, 6, 8, r"the 8 filters.* \[1, 2\], .* 6 channels"),
        (4, 6, 8, r"the 6 channels.* \[1, 2\], .* 8 filters"),
        (5, 12, 18, r"the 12 channels.* \[1, 2, 3, 6\], .* 18 filters"),
        (3, 7, 10**9, r"the 7 channels.* \[1\], .* 1000000000 filters"),
    ],
)
def test_check_divides_offers_the_common_divisors(groups, channels, filters, match):
    with pytest.raises(ValueError, match=f"^groups={groups} .*{match}"):
        check_divides(groups, channels=channels, filters=filters)


@pytest.mark.parametrize("value", [0, 3, np.uint8(2), (1, 2), [0, (1, 2)], ((1, 2), [3, 4])], ids=repr)
def test_check_padding_takes_ints_and_pairs(value):
    check_padding(value)
    check_padding(value, names=())


@pytest.mark.parametrize("names", [("same", "valid"), ("same",), ()], ids=str)
def test_check_padding_takes_the_names_that_it_is_given(names):
    for name in names:
        check_padding(name, names=names)
    for value in {"same", "valid", "SAME", ""}.difference(names):
        with pytest.raises(ValueError, match=f"^padding .* got {value!r}$") as info:
            check_padding(value, names=names)
        assert re.findall(r"'(\w+)'", str(info.value).partition(" got ")[0]) == list(names)


def test_require_image():
    require_image((3, 4, 1))
    for shape in [(5,), (3, 4), (1, 2, 3, 4)]:
        with pytest.raises(ValueError, match=f"expected an image .*{re.escape(str(shape))}"):
            require_image(shape)
