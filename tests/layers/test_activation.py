"""Tests of all activations against scalar formulas, of those of limited range, and of activations by name."""

import numpy as np
import pytest
import reference
from reference import assert_close, initial_params, run_backward, run_forward
from seeds import SEED, generator

from skcnn.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from skcnn.layers.activation import ACTIVATIONS, LINEAR
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network

NAMES = {
    "celu": CELU,
    "elu": ELU,
    "gelu": GELU,
    "hard_sigmoid": HardSigmoid,
    "hard_swish": HardSwish,
    "leaky_relu": LeakyReLU,
    "logistic": Sigmoid,
    "mish": Mish,
    "prelu": PReLU,
    "relu": ReLU,
    "relu6": ReLU6,
    "selu": SELU,
    "sigmoid": Sigmoid,
    "silu": SiLU,
    "softmax": Softmax,
    "softplus": Softplus,
    "softsign": Softsign,
    "swish": SiLU,
    "tanh": Tanh,
}

VALUES = [-20.0, -3.5, -3.0, -1.0, -1e-3, 0.0, 1e-3, 0.5, 3.0, 3.5, 6.0, 20.0]

each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
each_elementwise = pytest.mark.parametrize("name", sorted(reference.ACTIVATIONS))


def forward_and_slope(name, X):
    """Result and derivative of an activation with its default parameters."""
    layer = NAMES[name]()
    params = initial_params(layer, X.shape[-1:], X.dtype)
    Y, unit = run_forward(layer, params, X, training=True)
    return Y, run_backward(layer, params, unit, np.ones_like(Y))


def test_every_name_is_tested():
    assert ACTIVATIONS == NAMES
    assert {activation.name for activation in NAMES.values()} == {*reference.ACTIVATIONS, "softmax"}


GAINS = {
    **dict.fromkeys(["relu", "relu6", "elu", "celu", "gelu", "silu", "hard_swish", "mish"], np.sqrt(2)),
    "leaky_relu": np.sqrt(2 / 1.0001),
    "prelu": np.sqrt(2 / 1.0625),
    "selu": 1,
    **dict.fromkeys(["softplus", "sigmoid", "hard_sigmoid", "tanh", "softsign", "softmax"]),
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_gains(name):
    expected = GAINS[NAMES[name].name]
    assert NAMES[name]().gain == (expected if expected is None else pytest.approx(expected, rel=1e-15))


def test_every_activation_is_listed_by_its_name():
    """``name`` is what nodes are called after, so it must be a key that gives the class back."""
    for activation in ACTIVATIONS.values():
        assert ACTIVATIONS[activation.name] is activation
    assert not set(LINEAR) & set(ACTIVATIONS)


@each_dtype
@pytest.mark.parametrize("shape", [(6, 2), (3, 1, 2, 2)], ids=["vectors", "images"])
@each_elementwise
def test_forward_and_backward(name, shape, dtype):
    layer, (function, derivative) = NAMES[name](), reference.ACTIVATIONS[name]
    X = np.array(VALUES, dtype).reshape(shape)
    params = initial_params(layer, shape[-1:], dtype)
    Y, unit = run_forward(layer, params, X, training=True)
    assert_close(Y, reference.elementwise(function, X))
    dY = generator(0).standard_normal(shape).astype(dtype)
    dX = run_backward(layer, params, unit, dY)
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
@pytest.mark.parametrize(
    ("layer", "limits"),
    [
        (Sigmoid(), [0, 1]),
        (HardSigmoid(), [0, 1]),
        (HardSigmoid(3.0, -2), [0, 1]),
        (Tanh(), [-1, 1]),
        (Softsign(), [-1, 1]),
        (ReLU6(), [0, 6]),
    ],
    ids=repr,
)
def test_saturation_is_exact_and_silent(layer, limits, dtype):
    """However far out, there is neither overflow nor NaN, and the slope is zero."""
    X = np.array([[-1e30, 1e30]], dtype)
    with np.errstate(over="raise", invalid="raise"):
        Y, unit = run_forward(layer, {}, X, training=True)
        dX = run_backward(layer, {}, unit, np.ones_like(Y))
    assert Y.tolist() == [limits]
    assert dX.tolist() == [[0, 0]]


@each_dtype
def test_hard_sigmoid_is_a_line_between_its_bends(dtype):
    """Both bends belong to the flat lines, as in PyTorch; in powers of two, all is exact."""
    X = np.array([[-3.0, -2.0, -1.0, 0.0, 1.5, 2.0, 3.0]], dtype)
    Y, unit = run_forward(HardSigmoid(0.25, 0.5), {}, X, training=True)
    assert Y.tolist() == [[0, 0, 0.25, 0.5, 0.875, 1, 1]]
    assert run_backward(HardSigmoid(0.25, 0.5), {}, unit, np.ones_like(Y)).tolist() == [
        [0, 0, 0.25, 0.25, 0.25, 0, 0]
    ]


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        (HardSigmoid(0), "'alpha' parameter of HardSigmoid .* Got 0"),
        (HardSigmoid(-0.2), "'alpha' parameter of HardSigmoid .* Got -0.2"),
        (HardSigmoid("x"), "'alpha' parameter of HardSigmoid .* Got 'x'"),
        (HardSigmoid(beta=np.inf), "'beta' parameter of HardSigmoid .* Got inf"),
        (HardSigmoid(beta=None), "'beta' parameter of HardSigmoid .* Got None"),
    ],
    ids=repr,
)
def test_parameters_of_hard_sigmoid_must_be_finite_numbers(layer, match):
    with pytest.raises(ValueError, match=match):
        compile_nodes([("layer", layer)], (4,))


class TestSoftmax:
    """The one activation that joins numbers."""

    shapes = pytest.mark.parametrize("shape", [(5, 4), (3, 1), (2, 3, 4, 5)], ids=str)

    @each_dtype
    @shapes
    def test_forward_and_backward(self, shape, dtype):
        X, dY = generator(0).standard_normal((2, *shape)).astype(dtype)
        Y, unit = run_forward(Softmax(), {}, 3 * X, training=True)
        assert_close(Y, reference.softmax(3 * X))
        assert_close(run_backward(Softmax(), {}, unit, dY), reference.softmax_backward(3 * X, dY))

    @shapes
    def test_results_are_positive_and_sum_to_one(self, shape):
        Y, _ = run_forward(Softmax(), {}, generator(0).standard_normal(shape), training=False)
        assert (Y > 0).all()
        np.testing.assert_allclose(Y.sum(axis=-1), 1, rtol=1e-14)

    def test_a_common_summand_changes_nothing(self):
        X = np.array([[1.0, 2.0, 4.0]])
        first, _ = run_forward(Softmax(), {}, X, training=False)
        second, _ = run_forward(Softmax(), {}, X + 1024, training=False)
        np.testing.assert_array_equal(first, second)

    def test_equal_numbers_share_equally(self):
        Y, _ = run_forward(Softmax(), {}, np.full((2, 4), -7.0), training=False)
        np.testing.assert_array_equal(Y, 0.25)

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

    @pytest.mark.parametrize("name", sorted(NAMES))
    def test_names(self, make, name):
        _, layer, last = self.compile(make(name))
        assert (layer.name, last.name) == ("layer", f"layer_{name}")
        assert type(last.layer) is NAMES[name]
        assert last.inputs == (1,)
        assert last.output_shape == layer.output_shape

    @each_dtype
    @pytest.mark.parametrize("name", sorted(NAMES))
    def test_result_is_that_of_the_function(self, make, name, dtype):
        """On the result of the layer without an activation, in the nodes of a network."""
        nodes = self.compile(make(name))
        network = init_network(nodes, dtype=dtype, seed=SEED)
        *pixels, features = nodes[0].output_shape
        X = 2 * generator(1).standard_normal((*pixels, 3, features)).astype(dtype)
        linear, _ = run_forward(nodes[1].layer, network.params["layer"], X, training=False)
        Y, _ = run_forward(nodes[2].layer, network.params.get(f"layer_{name}", {}), linear, training=False)
        if name == "softmax":
            expected = reference.softmax(linear)
        else:
            expected = reference.elementwise(reference.ACTIVATIONS[NAMES[name].name][0], linear)
        assert_close(Y, expected)

    @pytest.mark.parametrize("given", [LeakyReLU(0.2), PReLU(0.5), Softmax(), SiLU()], ids=repr)
    def test_layers(self, make, given):
        """The node is called by the name of the activation, and the layer is the one that was given."""
        before = dict(vars(given))
        _, layer, last = self.compile(make(given))
        assert (layer.name, last.name) == ("layer", f"layer_{given.name}")
        assert last.layer is given
        assert last.inputs == (1,)
        assert vars(given) == before

    def test_layers_without_a_name_go_by_their_class(self, make):
        class MyCube(ReLU):
            name = None

        assert self.compile(make(MyCube()))[-1].name == "layer_mycube"

    def test_hyperparameters_of_layers_are_checked(self, make):
        with pytest.raises(ValueError, match=r"^layer 'layer', .*'negative_slope' parameter of LeakyReLU"):
            self.compile(make(LeakyReLU(2)))

    @pytest.mark.parametrize("name", [None, "identity"])
    def test_none_and_identity_add_nothing(self, make, name):
        assert [node.name for node in self.compile(make(name))] == ["input", "layer"]

    @pytest.mark.parametrize(
        "name", ["rleu", "ReLU", "", 3, ReLU, [ReLU()], Flatten(), ["relu"], ("relu", "tanh"), True], ids=repr
    )
    def test_unknown_names_are_answered_with_the_known_ones(self, make, name):
        with pytest.raises(ValueError) as info:
            self.compile(make(name))
        message = " ".join(str(info.value).split())
        assert message.startswith("layer 'layer', ")
        assert "activation must be None, 'identity', a layer such as LeakyReLU(0.2) that derives" in message
        assert message.endswith(f" or one of {sorted(NAMES)}, got {name!r}")
