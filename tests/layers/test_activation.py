"""Tests of all activations against scalar formulas, of those of limited range, and of activations by name."""

import numpy as np
import pytest
import reference
from reference import assert_close, initial_params, run_backward, run_forward
from seeds import generator
from small_networks import NOT_POSITIVE, assert_refused

from skcnn.layers import (
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    HardSigmoid,
    LeakyReLU,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
)
from skcnn.layers.activation import ACTIVATIONS, LINEAR
from skcnn.network.graph import compile_nodes

VALUES = [-20.0, -3.5, -3.0, -1.0, -1e-3, 0.0, 1e-3, 0.5, 3.0, 3.5, 6.0, 20.0]

each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
each_elementwise = pytest.mark.parametrize("name", sorted(reference.ACTIVATIONS))


def forward_and_slope(name, X, dY=1):
    """Result and derivative, times dY, of an activation with its default parameters."""
    layer = ACTIVATIONS[name]()
    params = initial_params(layer, X.shape[-1:], X.dtype)
    Y, unit = run_forward(layer, params, X, training=True)
    return Y, run_backward(layer, params, unit, np.ones_like(Y) * dY)


def test_every_activation_is_listed_by_its_name_and_has_a_formula():
    """``name`` is what nodes are called after, so it must be a key that gives the class back."""
    aliases = {"logistic": Sigmoid, "swish": SiLU, "softmax": Softmax}
    assert ACTIVATIONS.keys() == reference.ACTIVATIONS.keys() | aliases.keys()
    assert {name: ACTIVATIONS[name] for name in aliases} == aliases
    assert all(ACTIVATIONS[activation.name] is activation for activation in ACTIVATIONS.values())
    assert not set(LINEAR) & set(ACTIVATIONS)


GAINS = {
    **dict.fromkeys(["relu", "relu6", "elu", "celu", "gelu", "silu", "hard_swish", "mish"], np.sqrt(2)),
    "leaky_relu": np.sqrt(2 / 1.0001),
    "prelu": np.sqrt(2 / 1.0625),
    "selu": 1,
    **dict.fromkeys(["softplus", "sigmoid", "hard_sigmoid", "tanh", "softsign", "softmax"]),
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_gains(name):
    expected = GAINS[ACTIVATIONS[name].name]
    assert ACTIVATIONS[name]().gain == (expected if expected is None else pytest.approx(expected, rel=1e-15))


@each_dtype
@each_elementwise
def test_forward_and_backward(name, dtype):
    function, derivative = reference.ACTIVATIONS[name]
    X = np.array(VALUES, dtype).reshape(3, 1, 2, 2)
    dY = generator(0).standard_normal(X.shape).astype(dtype)
    Y, dX = forward_and_slope(name, X, dY)
    assert_close(Y, reference.elementwise(function, X))
    assert_close(dX, reference.elementwise(derivative, X) * dY.astype(np.float64))


@each_dtype
@each_elementwise
def test_small_numbers_keep_their_digits(name, dtype):
    """No 1 + x - 1 anywhere: a few roundings of the result itself, however small it is."""
    function, _ = reference.ACTIVATIONS[name]
    X = np.array([[-3.5, -1.0, -1e-3, -1e-8, -1e-30, 0, 1e-30, 1e-8, 1e-3, 0.5]], dtype)
    Y, _ = forward_and_slope(name, X)
    np.testing.assert_allclose(Y, reference.elementwise(function, X), rtol=16 * np.finfo(dtype).eps, atol=0)


@each_dtype
@each_elementwise
def test_extreme_numbers_are_silent_and_right(name, dtype):
    """Neither overflow nor NaN in a network that diverges; slopes to a few roundings of one."""
    function, derivative = reference.ACTIVATIONS[name]
    largest = 0.9 * np.finfo(dtype).max
    far = [1e4, 1e19, 1e20, 1e30, 3e38, largest]
    X = np.array([[*(-x for x in far), -500, -88, -0.0, 0.0, 88, 500, *far]], dtype)
    tolerance = 16 * np.finfo(dtype).eps
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        Y, slope = forward_and_slope(name, X)
    # a subnormal number has fewer digits than others: the smallest normal one is the unit there
    np.testing.assert_allclose(
        Y, reference.elementwise(function, X), rtol=tolerance, atol=np.finfo(dtype).tiny
    )
    np.testing.assert_allclose(slope, reference.elementwise(derivative, X), rtol=0, atol=tolerance)


@each_dtype
def test_hard_sigmoid_is_a_line_between_its_bends(dtype):
    """Both bends belong to the flat lines, as in PyTorch; in powers of two, all is exact."""
    X = np.array([[-3.0, -2.0, -1.0, 0.0, 1.5, 2.0, 3.0]], dtype)
    Y, unit = run_forward(HardSigmoid(0.25, 0.5), {}, X, training=True)
    assert Y.tolist() == [[0, 0, 0.25, 0.5, 0.875, 1, 1]]
    assert run_backward(HardSigmoid(0.25, 0.5), {}, unit, np.ones_like(Y)).tolist() == [
        [0, 0, 0.25, 0.25, 0.25, 0, 0]
    ]


def test_parameters_of_hard_sigmoid_must_be_finite_numbers():
    assert_refused(HardSigmoid, "alpha", NOT_POSITIVE, (4,))
    assert_refused(HardSigmoid, "beta", (np.inf, np.nan, None, "x"), (4,))


class TestSoftmax:
    """The one activation that joins numbers."""

    @each_dtype
    @pytest.mark.parametrize("shape", [(5, 4), (3, 1), (2, 3, 4, 5)], ids=str)
    def test_forward_and_backward(self, shape, dtype):
        X, dY = generator(0).standard_normal((2, *shape)).astype(dtype)
        Y, unit = run_forward(Softmax(), {}, 3 * X, training=True)
        assert_close(Y, reference.softmax(3 * X))
        assert_close(run_backward(Softmax(), {}, unit, dY), reference.softmax_backward(3 * X, dY))

    @each_dtype
    def test_extreme_numbers_are_silent_and_right(self, dtype):
        X = np.array([[1e4, -1e4, 0.0, -0.0], [-1e4, -1e4, -2e4, -3e4]], dtype)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            Y, unit = run_forward(Softmax(), {}, X, training=True)
            dX = run_backward(Softmax(), {}, unit, np.array([[1, 2, 3, 4]] * 2, dtype))
        assert Y.tolist() == [[1, 0, 0, 0], [0.5, 0.5, 0, 0]]
        assert dX.tolist() == [[0, 0, 0, 0], [-0.25, 0.25, 0, 0]]


@pytest.mark.parametrize(
    "make",
    [
        lambda name: Dense(3, activation=name),
        lambda name: Conv2D(3, activation=name),
        lambda name: DepthwiseConv2D(activation=name),
    ],
    ids=["dense", "convolution", "depthwise convolution"],
)
class TestActivationParameter:
    """The ``activation`` parameter of layers with weights."""

    @staticmethod
    def compile(layer):
        return compile_nodes([("layer", layer)], (4,) if isinstance(layer, Dense) else (4, 5, 3))

    def test_names(self, make):
        for name, kind in ACTIVATIONS.items():
            _, layer, last = self.compile(make(name))
            assert (layer.name, last.name) == ("layer", f"layer_{name}")
            assert type(last.layer) is kind
            assert last.inputs == (1,)
            assert last.output_shape == layer.output_shape

    def test_layers(self, make):
        """The node is called by the name of the activation, and the layer is the one that was given."""
        for given in (LeakyReLU(0.2), PReLU(0.5), Softmax()):
            before = dict(vars(given))
            _, layer, last = self.compile(make(given))
            assert (layer.name, last.name) == ("layer", f"layer_{given.name}")
            assert last.layer is given
            assert vars(given) == before

    def test_layers_without_a_name_go_by_their_class(self, make):
        class MyCube(ReLU):
            name = None

        assert self.compile(make(MyCube()))[-1].name == "layer_mycube"

    def test_hyperparameters_of_layers_are_checked(self, make):
        with pytest.raises(ValueError, match=r"^layer 'layer', .*'negative_slope' parameter of LeakyReLU"):
            self.compile(make(LeakyReLU(2)))

    def test_none_and_identity_add_nothing(self, make):
        for name in (None, "identity"):
            assert [node.name for node in self.compile(make(name))] == ["input", "layer"]

    def test_unknown_names_are_answered_with_the_known_ones(self, make):
        for name in ("rleu", "ReLU", "", 3, ReLU, [ReLU()], Flatten(), ["relu"], ("relu", "tanh"), True):
            with pytest.raises(ValueError, match=r"(?s)^layer 'layer', .*activation must be") as info:
                self.compile(make(name))
            assert str(info.value).endswith(f" or one of {sorted(ACTIVATIONS)}, got {name!r}")
