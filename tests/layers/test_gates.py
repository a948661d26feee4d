"""Tests of the approximate GELU; the formulas of all gates by their names are in test_activation.py."""

import math

import numpy as np
import pytest
from reference import run_backward, run_forward

from skcnn.layers import GELU
from skcnn.network.graph import compile_nodes

each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def forward_and_slope(X):
    Y, unit = run_forward(GELU("tanh"), {}, X, training=True)
    return Y, run_backward(GELU("tanh"), {}, unit, np.ones_like(Y))


def tanh_gelu(x):
    """The approximation and its derivative, as they are written."""
    u, rise = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3), math.sqrt(2 / math.pi) * (1 + 0.134145 * x**2)
    return x * (1 + math.tanh(u)) / 2, (1 + math.tanh(u) + x * (1 - math.tanh(u) ** 2) * rise) / 2


@each_dtype
def test_approximate_gelu_is_the_published_formula(dtype):
    X = np.linspace(-5, 5, 101, dtype=dtype)[np.newaxis]
    Y, slope = forward_and_slope(X)
    expected = np.array([tanh_gelu(float(x)) for x in X[0]]).T
    tolerance = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose([Y[0], slope[0]], expected, rtol=tolerance, atol=tolerance)


@each_dtype
def test_approximate_gelu_of_extreme_numbers_is_silent_and_right(dtype):
    far = [40.0, 1e4, 1e19, 1e30, 0.9 * float(np.finfo(dtype).max)]
    X = np.array([[*(-x for x in far), *far]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        Y, slope = forward_and_slope(X)
    np.testing.assert_array_equal(Y, np.maximum(X, 0))
    assert slope.tolist() == [[0] * 5 + [1] * 5]


@pytest.mark.parametrize("value", [True, None, "erf", 1], ids=repr)
def test_approximations_of_gelu_have_names(value):
    with pytest.raises(ValueError, match=f"'approximate' parameter of GELU .* Got {value!r}"):
        compile_nodes([("layer", GELU(value))], (4,))
