"""Tests of rectifiers: parameters, conventions at zero, self-normalization.

Their formulas are in test_activation.py.
"""

import numpy as np
import pytest
import reference
from reference import assert_close, initial_params, run_backward, run_forward
from seeds import SEED, generator
from small_networks import NOT_POSITIVE, assert_refused

from skcnn.layers import CELU, ELU, SELU, Dense, LeakyReLU, PReLU, ReLU, ReLU6, Softplus
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network

each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def forward_and_slope(layer, X):
    X = np.asarray(X)
    params = initial_params(layer, X.shape[-1:], X.dtype)
    Y, unit = run_forward(layer, params, X, training=True)
    return Y, run_backward(layer, params, unit, np.ones_like(Y))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (ReLU(), 0),
        (ReLU6(), 0),
        (LeakyReLU(), 0.01),
        (LeakyReLU(0.5), 0.5),
        (PReLU(), 0.25),
        (PReLU(-1.5), -1.5),
        (ELU(), 1),
        (ELU(0.5), 0.5),
        (CELU(0.5), 1),
        (SELU(), reference.SELU_ALPHA * reference.SELU_SCALE),
        (Softplus(), 0.5),
    ],
    ids=repr,
)
def test_slope_at_zero_is_that_of_negative_numbers(layer, expected):
    """The limit from below, as documented; there is no kink in a softplus, a CELU or an ELU with alpha 1."""
    _, slope = forward_and_slope(layer, [[0.0, -0.0]])
    assert slope.tolist() == [[expected, expected]]


@pytest.mark.parametrize("layer", [ReLU(), LeakyReLU(0.3), PReLU(0.3), ELU(0.3), CELU(0.3)], ids=repr)
def test_numbers_that_are_not_negative_pass_bit_for_bit(layer):
    X = np.array([[-0.0, 0.0, 1e-300, 0.1, 1.0, 3.7, 1e300]])
    Y, slope = forward_and_slope(layer, X)
    np.testing.assert_array_equal(Y, X)
    np.testing.assert_array_equal(slope[0, 2:], 1)


@pytest.mark.parametrize("kind", [LeakyReLU, PReLU])
@pytest.mark.parametrize("slope", [0, 0.5, 1, np.float32(0.25)], ids=str)
def test_the_gain_follows_from_the_slope(kind, slope):
    """The mean square of f(z) for normal z is (1 + slope ** 2) / 2, which the gain makes up for."""
    assert kind(slope).gain == pytest.approx(np.sqrt(2 / (1 + float(slope) ** 2)), rel=1e-15)


@pytest.mark.parametrize("slope", [1e200, -1e200])
def test_the_gain_of_a_huge_slope_does_not_overflow(slope):
    assert PReLU(slope).gain == pytest.approx(np.sqrt(2) / 1e200)


@pytest.mark.parametrize("kind", [LeakyReLU, PReLU])
def test_slopes_of_zero_and_one_are_a_relu_and_the_identity(kind):
    X = generator(0).standard_normal((5, 6))
    for slope, expected in [(0.0, forward_and_slope(ReLU(), X)), (1, (X, np.ones_like(X)))]:
        np.testing.assert_array_equal(forward_and_slope(kind(slope), X), expected)


@each_dtype
@pytest.mark.parametrize("alpha", [0.3, 1, 2.5])
def test_elu_and_celu_go_from_minus_alpha_to_their_input(alpha, dtype):
    """CELU without a kink."""
    X = np.array([[-200.0, -1.0, 0.0, 2.0]], dtype)
    Y, slope = forward_and_slope(ELU(alpha), X)
    assert_close(Y, [[-alpha, alpha * np.expm1(-1), 0, 2]])
    assert_close(slope, [[0, alpha * np.exp(-1), alpha, 1]])
    Y, slope = forward_and_slope(CELU(alpha), X)
    assert_close(Y, [[-alpha, alpha * np.expm1(-1 / alpha), 0, 2]])
    assert_close(slope, [[0, np.exp(-1 / alpha), 1, 1]])


@each_dtype
def test_relu6_is_a_line_between_its_bends(dtype):
    """Both bends belong to the flat lines, as in PyTorch."""
    below = np.nextafter(dtype(6), dtype(0))
    Y, slope = forward_and_slope(ReLU6(), np.array([[-2.0, 0.0, 1e-30, 2.0, below, 6.0, 7.0, np.inf]], dtype))
    np.testing.assert_array_equal(Y, np.array([[0, 0, 1e-30, 2, below, 6, 6, 6]], dtype))
    assert slope.tolist() == [[0, 0, 1, 1, 1, 0, 0, 0]]


@pytest.mark.parametrize("make", [LeakyReLU, PReLU, ELU, CELU])
def test_parameters_from_a_numpy_array_give_the_same_bits(make):
    """A grid from np.linspace holds np.float64, which must not turn a float32 computation into float64."""
    X = generator(0).standard_normal((4, 5)).astype(np.float32)
    plain, numpy = (forward_and_slope(make(number), X) for number in (0.3, np.float64(0.3)))
    for expected, actual in zip(plain, numpy, strict=True):
        assert actual.dtype == np.float32
        np.testing.assert_array_equal(actual, expected)


class TestPReLU:
    """The rectifier with a trained parameter."""

    @each_dtype
    @pytest.mark.parametrize("shape", [(3, 4, 5, 2), (1, 1, 1, 3), (6, 4)], ids=str)
    def test_each_channel_has_its_slope(self, shape, dtype):
        """All numbers and gradients one by one; the gradient of a slope sums the negative inputs."""
        rng = generator(0)
        X, dY = rng.standard_normal((2, *shape)).astype(dtype)
        X.flat[0] = 0
        slope = rng.standard_normal(shape[-1]).astype(dtype)
        Y, unit = run_forward(PReLU(), {"slope": slope}, X, training=True)
        dX = run_backward(PReLU(), {"slope": slope}, unit, dY)
        expected_Y, expected_dX, expected_slope = np.zeros(shape), np.zeros(shape), np.zeros(shape[-1])
        for index in np.ndindex(shape):
            x, a, gradient = float(X[index]), float(slope[index[-1]]), float(dY[index])
            expected_Y[index] = x if x > 0 else a * x
            expected_dX[index] = gradient if x > 0 else a * gradient
            expected_slope[index[-1]] += 0 if x > 0 else x * gradient
        assert_close(Y, expected_Y)
        assert_close(dX, expected_dX)
        assert_close(unit.gradients["slope"], expected_slope)

    @each_dtype
    def test_slopes_begin_at_the_initial_slope(self, dtype):
        params = initial_params(PReLU(0.1), (4, 4, 3), dtype)
        assert list(params) == ["slope"]
        assert params["slope"].dtype == dtype
        np.testing.assert_array_equal(params["slope"], np.full(3, 0.1, dtype))

    def test_slopes_do_not_decay(self):
        network = init_network(compile_nodes([("a", PReLU())], (4,)), dtype="f4", seed=SEED)
        assert (network.n_params, network.n_decayed) == (4, 0)


def dense_layers(X, activation, n_layers, units):
    """Yield the activations of a stack of dense layers with their initial weights."""
    layers = [(f"dense{number}", Dense(units, activation=activation)) for number in range(n_layers)]
    nodes = compile_nodes(layers, X.shape[1:])
    network = init_network(nodes, dtype=X.dtype, seed=SEED)
    for node in nodes[1:]:
        X, _ = run_forward(node.layer, network.params.get(node.name, {}), X, training=False)
        if node.name.endswith(activation):
            yield X


@pytest.mark.parametrize(("mean", "variance"), [(0.1, 1.5), (-0.1, 0.8)])
def test_selu_normalizes_its_results_through_many_layers(mean, variance):
    """Theorem 1 of Klambauer et al. (2017): means in [-0.1, 0.1] and variances in [0.8, 1.5] stay there."""
    X = mean + np.sqrt(variance) * generator(0).standard_normal((300, 300))
    for Y in dense_layers(X, "selu", n_layers=12, units=300):
        assert -0.1 <= Y.mean() <= 0.1
        assert 0.8 <= Y.var() <= 1.5


@pytest.mark.parametrize(
    ("kind", "parameter", "values"),
    [
        (LeakyReLU, "negative_slope", (-0.1, 1.1, 2, "0.1", None, np.nan, [0.1])),
        (PReLU, "initial_slope", ("0.25", None, np.nan, np.inf, [0.25, 0.5])),
        (ELU, "alpha", NOT_POSITIVE),
        (CELU, "alpha", NOT_POSITIVE),
    ],
)
def test_wrong_hyperparameters(kind, parameter, values):
    assert_refused(kind, parameter, values, (4,))
