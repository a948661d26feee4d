"""Tests of the fully connected layer."""

import numpy as np
import pytest
import reference
from reference import assert_close, run_backward, run_forward
from seeds import SEED, generator

from skcnn.layers import GELU, SELU, Dense, LeakyReLU, ReLU, Tanh
from skcnn.layers.containers import with_flatten
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


def test_no_input_gradient_where_nothing_reads_it():
    params = random_params(3, 2, np.float64)
    Y, unit = run_forward(Dense(2), params, np.ones((4, 3)), training=True)
    assert run_backward(Dense(2), params, unit, np.ones_like(Y), need_dX=False) is None
    assert unit.gradients["bias"].tolist() == [4, 4]


@pytest.mark.parametrize(
    ("activation", "variance"),
    [
        (None, 2 / 500),
        (Tanh(), 2 / 500),
        (ReLU(), 2 / 100),
        (LeakyReLU(0.5), 1.6 / 100),
        (GELU(), 2 / 100),
        (SELU(), 1 / 100),
    ],
    ids=str,
)
def test_initial_weights(activation, variance):
    """He: normal of variance 2 / f. LeCun: normal of 1 / f. Glorot: uniform of 2 / (f + units).

    The deviation of n draws has a relative error of less than 1 / sqrt(2 n), 0.4 percent here; 2 percent
    are five of them. The largest of 40,000 draws is within 0.1 percent of the bound of a uniform
    distribution, and beyond three deviations of a normal one.
    """
    params = Dense(400).init_params(
        (100,), activation=activation, dtype=np.dtype(np.float64), rng=generator(0)
    )
    weight = params["weight"]
    assert weight.shape == (100, 400)
    assert weight.std() == pytest.approx(np.sqrt(variance), rel=0.02)
    assert abs(weight.mean()) < 5 * np.sqrt(variance / weight.size)
    largest = np.abs(weight).max() / np.sqrt(variance)
    is_uniform = variance == 2 / 500
    assert (np.sqrt(3) * 0.999 < largest <= np.sqrt(3)) if is_uniform else (largest > 3)
    assert (params["bias"] == 0).all()
    assert params["bias"].shape == (400,)


def test_parameters_without_bias():
    params = Dense(2, use_bias=False).init_params(
        (3,), activation=None, dtype=np.dtype(np.float32), rng=generator(0)
    )
    assert list(params) == ["weight"]


def test_only_the_weight_decays():
    network = init_network(compile_nodes([("a", Dense(3)), ("b", Dense(2))], (4,)), dtype="f4", seed=SEED)
    assert network.n_params == 4 * 3 + 3 + 3 * 2 + 2
    assert network.n_decayed == 4 * 3 + 3 * 2


def test_multiply_adds_are_one_a_weight():
    assert Dense(10).multiply_adds((64,)) == 640


def test_activation_becomes_a_layer_of_its_own():
    layer = Dense(3, activation="relu")
    _, first, second = compile_nodes([("hidden", layer)], (5,))
    assert (first.name, second.name) == ("hidden", "hidden_relu")
    assert first.layer is layer
    assert type(second.layer) is ReLU


@pytest.mark.parametrize(
    ("layer", "parameter", "value", "expected"),
    [
        (Dense(0), "units", "got 0", "an int >= 1"),
        (Dense(-3), "units", "got -3", "an int >= 1"),
        (Dense(2.0), "units", "got 2.0", "an int >= 1"),
        (Dense("10"), "units", "got '10'", "an int >= 1"),
        (Dense(True), "units", "got True", "an int >= 1"),
        (Dense(None), "units", "got None", "an int >= 1"),
        (Dense(2, use_bias="no"), "'use_bias'", "Got 'no' instead", "bool"),
    ],
    ids=lambda value: repr(value) if isinstance(value, Dense) else "",
)
def test_wrong_hyperparameters(layer, parameter, value, expected):
    with pytest.raises(ValueError) as info:
        compile_nodes([("hidden", layer)], (4,))
    message = str(info.value)
    assert message.startswith("layer 'hidden', Dense(")
    assert all(part in message for part in (parameter, value, expected))


def test_images_are_refused():
    with pytest.raises(
        ValueError, match=r"layer 'hidden'.*expected a vector \(features,\), got shape \(4, 4, 1\)"
    ):
        compile_nodes([("hidden", Dense(3))], (4, 4, 1))


def test_an_image_is_flattened_in_front():
    """Inside of containers, too; a vector goes in as it is."""
    layer, flattened = Dense(3), with_flatten("hidden", Dense(3), (4, 4, 1))
    assert [name for name, _ in flattened] == ["hidden_flatten", "hidden"]
    assert with_flatten("hidden", layer, (16,)) == [("hidden", layer)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_parameters_have_the_dtype_asked_for(dtype):
    params = Dense(3).init_params((4,), activation=None, dtype=np.dtype(dtype), rng=np.random.default_rng(0))
    assert {name: value.dtype for name, value in params.items()} == {"weight": dtype, "bias": dtype}
