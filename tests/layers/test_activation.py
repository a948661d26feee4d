"""Tests of elementwise activations."""

import math

import numpy as np
import pytest
from reference import assert_close, run_backward, run_forward

from skcnn.layers import Conv2D, Dense, ReLU, Sigmoid, Tanh
from skcnn.layers.activation import ACTIVATIONS, LINEAR, with_activation
from skcnn.network import compile_steps

# layer, function, derivative: scalar by scalar, from the definitions
FUNCTIONS = [
    (ReLU(), lambda x: x if x > 0 else 0.0, lambda x: 1.0 if x > 0 else 0.0),
    (Sigmoid(), lambda x: 1 / (1 + math.exp(-x)), lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2),
    (Tanh(), math.tanh, lambda x: 1 / math.cosh(x) ** 2),
]

VALUES = [-20.0, -3.5, -1.0, -1e-3, 0.0, 1e-3, 0.5, 2.0, 20.0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("shape", [(9, 1), (3, 1, 1, 3)], ids=["vectors", "images"])
@pytest.mark.parametrize(("layer", "function", "derivative"), FUNCTIONS, ids=["relu", "sigmoid", "tanh"])
def test_forward_and_backward(layer, function, derivative, shape, dtype):
    X = np.array(VALUES, dtype).reshape(shape)
    Y, unit = run_forward(layer, {}, X, training=True)
    assert_close(Y, np.reshape([function(float(x)) for x in X.ravel()], shape))
    dY = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    dX = run_backward(layer, {}, unit, dY)
    expected = [derivative(float(x)) * float(dy) for x, dy in zip(X.ravel(), dY.ravel(), strict=True)]
    assert_close(dX, np.reshape(expected, shape))


def test_relu_has_no_slope_at_zero():
    Y, unit = run_forward(ReLU(), {}, np.array([[0.0, -0.0]]), training=True)
    assert (run_backward(ReLU(), {}, unit, np.ones_like(Y)) == 0).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(
    ("layer", "limits"), [(Sigmoid(), [0, 1]), (Tanh(), [-1, 1])], ids=["sigmoid", "tanh"]
)
def test_saturation_is_exact_and_silent(layer, limits, dtype):
    """Far out there is neither overflow nor NaN, and the slope is zero."""
    X = np.array([[-1e30, 1e30]], dtype)
    with np.errstate(over="raise", invalid="raise"):
        Y, unit = run_forward(layer, {}, X, training=True)
        dX = run_backward(layer, {}, unit, np.ones_like(Y))
    assert Y.tolist() == [limits]
    assert dX.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "make", [lambda name: Dense(2, activation=name), lambda name: Conv2D(2, activation=name)]
)
class TestActivationParameter:
    """The ``activation`` parameter of layers with weights."""

    @staticmethod
    def compile(layer):
        shape = (4,) if isinstance(layer, Dense) else (4, 4, 1)
        return compile_steps([("layer", layer)], shape)

    @pytest.mark.parametrize(
        ("name", "activation"), [("relu", ReLU), ("sigmoid", Sigmoid), ("logistic", Sigmoid), ("tanh", Tanh)]
    )
    def test_names(self, make, name, activation):
        _, layer, last = self.compile(make(name))
        assert (layer.name, last.name) == ("layer", f"layer_{name}")
        assert type(last.layer) is activation

    @pytest.mark.parametrize("name", [None, "identity"])
    def test_none_and_identity_add_nothing(self, make, name):
        assert [step.name for step in self.compile(make(name))] == ["input", "layer"]

    def test_softmax_is_said_to_be_there_already(self, make):
        with pytest.raises(
            ValueError, match="layer 'layer'.*the estimator adds the output layer and its softmax"
        ):
            self.compile(make("softmax"))

    @pytest.mark.parametrize("name", ["rleu", "ReLU", "", 3, ReLU, ReLU(), ["relu"], ("relu", "tanh"), True])
    def test_unknown_names_are_answered_with_the_known_ones(self, make, name):
        with pytest.raises(ValueError) as info:
            self.compile(make(name))
        message = " ".join(str(info.value).split())
        assert "layer 'layer'" in message
        assert (
            "activation must be None, 'identity' or one of ['logistic', 'relu', 'sigmoid', 'tanh']" in message
        )
        assert message.endswith(f"got {name!r}")


def test_every_activation_is_listed_by_its_name():
    """``name`` is what the initial weights look at, so it must be a key that gives the class back."""
    for name, activation in ACTIVATIONS.items():
        assert ACTIVATIONS[activation.name] is activation
        assert with_activation("layer", Dense(1, activation=name))[1][1].name == activation.name
    assert not set(LINEAR) & set(ACTIVATIONS)
