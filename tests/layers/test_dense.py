"""Tests of the fully connected layer."""

from functools import partial

import numpy as np
import pytest
import reference
from reference import assert_close, run_backward, run_forward
from seeds import SEED, generator
from small_networks import NOT_SIZES, assert_refused

from skcnn.layers import GELU, Dense
from skcnn.layers.containers import with_flatten
from skcnn.layers.initializers import initial_weight
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network


def random_params(n_features, units, dtype, *, use_bias=True):
    rng = generator(0)
    params = {"weight": rng.standard_normal((n_features, units)).astype(dtype)}
    return params | ({"bias": rng.standard_normal(units).astype(dtype)} if use_bias else {})


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("n_samples", "n_features", "units"), [(5, 7, 3), (1, 4, 6), (6, 1, 1), (9, 30, 2)])
def test_forward_and_backward(n_samples, n_features, units, use_bias, dtype):
    """Naive loops in both directions: y = x W + b, dx = dy W', dW = x' dy."""
    params = random_params(n_features, units, dtype, use_bias=use_bias)
    X = generator(1).standard_normal((n_samples, n_features)).astype(dtype)
    layer = Dense(units, use_bias=use_bias)
    Y, unit = run_forward(layer, params, X, training=True)
    assert_close(Y, reference.dense(X, params["weight"], params.get("bias")))
    dY = generator(2).standard_normal(Y.shape).astype(dtype)
    dX = run_backward(layer, params, unit, dY)
    assert_close(dX, reference.dense(dY, params["weight"].T))
    assert_close(unit.gradients["weight"], reference.dense(X.T, dY))
    if use_bias:
        assert_close(unit.gradients["bias"], reference.dense(np.ones((1, n_samples)), dY)[0])


@pytest.mark.parametrize(("activation", "gain"), [(None, None), (GELU(), np.sqrt(2))], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_weights(dtype, activation, gain):
    options = {"dtype": np.dtype(dtype), "rng": generator(0)}
    params = Dense(40).init_params((10,), activation=activation, **options)
    expected = initial_weight((10, 40), 10, 40, gain=gain, dtype=np.dtype(dtype), rng=generator(0))
    np.testing.assert_array_equal(params["weight"], expected)
    np.testing.assert_array_equal(params["bias"], np.zeros(40))
    assert {value.dtype for value in params.values()} == {np.dtype(dtype)}
    assert list(Dense(2, use_bias=False).init_params((3,), activation=None, **options)) == ["weight"]


def test_only_the_weight_decays():
    network = init_network(compile_nodes([("a", Dense(3)), ("b", Dense(2))], (4,)), dtype="f4", seed=SEED)
    assert network.n_params == 4 * 3 + 3 + 3 * 2 + 2
    assert network.n_decayed == 4 * 3 + 3 * 2


def test_multiply_adds_are_one_a_weight():
    assert Dense(10).multiply_adds((64,)) == 640


def test_wrong_hyperparameters():
    assert_refused(Dense, "units", NOT_SIZES, (4,))
    assert_refused(partial(Dense, 2), "use_bias", ("no", None), (4,))
    assert_refused(partial(Dense, 2), "activation", ("rleu",), (4,))


def test_an_image_is_flattened_in_front():
    """Inside of containers, too; a vector goes in as it is, and an image is refused otherwise."""
    layer, flattened = Dense(3), with_flatten("hidden", Dense(3), (4, 4, 1))
    assert [name for name, _ in flattened] == ["hidden_flatten", "hidden"]
    assert with_flatten("hidden", layer, (16,)) == [("hidden", layer)]
    with pytest.raises(ValueError, match=r"got shape \(4, 4, 1\): put Flatten"):
        layer.output_shape((4, 4, 1))
