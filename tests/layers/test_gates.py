"""Tests of the activations that multiply a number by a gate: what holds beyond their formulas.

The formulas are in test_activation.py.
"""

import math

import numpy as np
import pytest
from reference import run_backward, run_forward

from skcnn.layers import GELU, HardSwish, Mish, SiLU
from skcnn.network.graph import compile_nodes

each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
each_gate = pytest.mark.parametrize("layer", [GELU(), GELU("tanh"), SiLU(), HardSwish(), Mish()], ids=repr)


def forward_and_slope(layer, X):
    Y, unit = run_forward(layer, {}, X, training=True)
    return Y, run_backward(layer, {}, unit, np.ones_like(Y))


@each_dtype
def test_hard_swish_is_flat_up_to_minus_three_and_the_identity_from_three_on(dtype):
    """Both bends belong to the lines beyond them, as documented and as in PyTorch."""
    X = np.array([[-1e4, -3.5, -3.0, 3.0, 3.5, 1e4]], dtype)
    Y, slope = forward_and_slope(HardSwish(), X)
    assert Y.tolist() == [[0, 0, 0, 3, 3.5, 1e4]]
    assert slope.tolist() == [[0, 0, 0, 1, 1, 1]]


@each_dtype
def test_hard_swish_has_a_half_as_slope_at_zero(dtype):
    """And -1/2 at its lower end, 3/2 at its upper one, up to rounding."""
    below, above = np.nextafter(dtype(3), dtype(0)), np.nextafter(dtype(-3), dtype(0))
    _, slope = forward_and_slope(HardSwish(), np.array([[above, 0.0, -0.0, below]], dtype))
    np.testing.assert_allclose(slope, [[-0.5, 0.5, 0.5, 1.5]], rtol=4 * np.finfo(dtype).eps)


@each_gate
def test_zero_stays_zero(layer):
    Y, _ = forward_and_slope(layer, np.array([[0.0, -0.0]]))
    assert (Y == 0).all()


@pytest.mark.parametrize(
    ("layer", "slope"),
    [(GELU(), 0.5), (GELU("tanh"), 0.5), (SiLU(), 0.5), (HardSwish(), 0.5), (Mish(), 0.6)],
    ids=repr,
)
def test_slope_at_zero_is_the_gate(layer, slope):
    """A half, for mish tanh(log 2) = (4 - 1) / (4 + 1)."""
    assert forward_and_slope(layer, np.zeros((1, 1)))[1][0, 0] == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize(
    ("layer", "minimum", "at"),
    [(GELU(), -0.16997, -0.75179), (SiLU(), -0.27846, -1.27846), (HardSwish(), -0.375, -1.5)],
    ids=repr,
)
def test_minimum_is_the_published_one(layer, minimum, at):
    """On a grid of points 1e-5 apart, where a smooth function is within 1e-10 of its minimum."""
    X = np.linspace(-3, 0, 300_001)[np.newaxis]
    Y, _ = forward_and_slope(layer, X)
    assert Y.min() == pytest.approx(minimum, abs=1e-5)
    assert X[0, Y.argmin()] == pytest.approx(at, abs=2e-5)


@each_gate
def test_gate_of_a_number_and_of_its_negative_add_up_to_one(layer):
    """y(x) - y(-x) = x, but for mish, whose gate is not symmetric."""
    X = np.linspace(-8, 8, 101)[np.newaxis]
    Y, _ = forward_and_slope(layer, X)
    is_symmetric = np.allclose(Y - Y[:, ::-1], X, rtol=0, atol=1e-14)
    assert is_symmetric == (not isinstance(layer, Mish))


def tanh_gelu(x):
    """The approximation and its derivative, as they are written."""
    u, rise = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3), math.sqrt(2 / math.pi) * (1 + 0.134145 * x**2)
    return x * (1 + math.tanh(u)) / 2, (1 + math.tanh(u) + x * (1 - math.tanh(u) ** 2) * rise) / 2


@each_dtype
def test_approximate_gelu_is_the_published_formula(dtype):
    X = np.linspace(-5, 5, 101, dtype=dtype)[np.newaxis]
    Y, slope = forward_and_slope(GELU("tanh"), X)
    expected = np.array([tanh_gelu(float(x)) for x in X[0]]).T
    tolerance = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose([Y[0], slope[0]], expected, rtol=tolerance, atol=tolerance)


def test_approximate_gelu_is_near_gelu_and_not_gelu():
    X = np.linspace(-5, 5, 1001)[np.newaxis]
    error = np.abs(forward_and_slope(GELU("tanh"), X)[0] - forward_and_slope(GELU(), X)[0]).max()
    assert 1e-4 < error < 5e-4


@each_dtype
def test_approximate_gelu_of_extreme_numbers_is_silent_and_right(dtype):
    far = [40.0, 1e4, 1e19, 1e30, 0.9 * float(np.finfo(dtype).max)]
    X = np.array([[*(-x for x in far), *far]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        Y, slope = forward_and_slope(GELU("tanh"), X)
    np.testing.assert_array_equal(Y, np.maximum(X, 0))
    assert slope.tolist() == [[0] * 5 + [1] * 5]


@pytest.mark.parametrize("value", [True, None, "erf", 1], ids=repr)
def test_approximations_of_gelu_have_names(value):
    with pytest.raises(ValueError, match=f"'approximate' parameter of GELU .* Got {value!r}"):
        compile_nodes([("layer", GELU(value))], (4,))
