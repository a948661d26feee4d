"""Tests of the layer that multiplies."""

import numpy as np
import pytest
from reference import run_backward, run_forward
from seeds import SEED, generator

from skcnn import Conv2D, ConvNetClassifier, Dense, ReLU, Rescale
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (6, 3)], ids=str)
@pytest.mark.parametrize("factor", [1 / 9, -2, np.float64(0.3), 0], ids=repr)
def test_results_and_gradients_are_multiplied(factor, shape, dtype):
    X, dY = generator(0).standard_normal((2, *shape)).astype(dtype)
    Y, unit = run_forward(Rescale(factor), {}, X.copy(), training=True)
    dX = run_backward(Rescale(factor), {}, unit, dY.copy())
    assert Y.dtype == dX.dtype == dtype
    np.testing.assert_array_equal(Y, X * dtype(factor))
    np.testing.assert_array_equal(dX, dY * dtype(factor))


def test_after_the_last_layer_scores_are_multiplied_but_for_the_bias():
    X, y = generator(0).standard_normal((10, 6, 6, 1)), np.arange(10) % 3
    layers = [Conv2D(4, activation="relu")]
    nets = [
        ConvNetClassifier(stack, max_iter=1, random_state=SEED).fit(X, y)
        for stack in (layers, [*layers, Rescale(0.25)])
    ]
    np.copyto(nets[1].network_.vector, nets[0].network_.vector)
    bias = nets[0].network_.params["output"]["bias"]
    plain, rescaled = (net.decision_function(X) for net in nets)
    np.testing.assert_allclose(rescaled - bias, (plain - bias) / 4, rtol=1e-12, atol=1e-13)


def test_weights_before_suit_the_activation_after():
    stacks = [[("dense", Dense(50)), *rest, ("relu", ReLU())] for rest in ([], [("factor", Rescale(0.1))])]
    weights = [
        init_network(compile_nodes(stack, (40,)), dtype="f8", seed=SEED).params["dense"] for stack in stacks
    ]
    np.testing.assert_array_equal(weights[0]["weight"], weights[1]["weight"])


@pytest.mark.parametrize("factor", ["2", None, np.inf, np.nan, 1j], ids=repr)
def test_other_factors_are_refused(factor):
    with pytest.raises(ValueError, match="factor"):
        ConvNetClassifier([Rescale(factor)], max_iter=1).fit(np.ones((4, 3, 3)), [0, 1, 0, 1])
