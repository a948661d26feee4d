"""Tests of the layer that multiplies."""

import numpy as np
import pytest
from reference import run_backward, run_forward
from seeds import SEED, generator

from skcnn import Dense, ReLU, Rescale
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("factor", [1 / 9, -2, np.float64(0.3), 0], ids=repr)
def test_results_and_gradients_are_multiplied(factor, dtype):
    X, dY = generator(0).standard_normal((2, 6, 3)).astype(dtype)
    Y, unit = run_forward(Rescale(factor), {}, X.copy(), training=True)
    dX = run_backward(Rescale(factor), {}, unit, dY.copy())
    assert Y.dtype == dX.dtype == dtype
    np.testing.assert_array_equal(Y, X * dtype(factor))
    np.testing.assert_array_equal(dX, dY * dtype(factor))


def test_weights_before_suit_the_activation_after():
    stacks = [[("dense", Dense(50)), *rest, ("relu", ReLU())] for rest in ([], [("factor", Rescale(0.1))])]
    first, second = (init_network(compile_nodes(stack, (40,)), dtype="f8", seed=SEED) for stack in stacks)
    np.testing.assert_array_equal(first.vector, second.vector)


@pytest.mark.parametrize("factor", ["2", None, np.inf, np.nan, 1j], ids=repr)
def test_other_factors_are_refused(factor):
    with pytest.raises(ValueError, match=f"'factor' parameter .*{factor!r}"):
        compile_nodes([("rescale", Rescale(factor))], (3,))
