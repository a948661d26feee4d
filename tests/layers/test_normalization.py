"""Tests of the normalization layers."""

import numpy as np
import pytest
import reference
from reference import NaiveUnit, assert_close, run_backward, run_forward

from skcnn.layers import BatchNorm
from skcnn.network import compile_steps

SHAPES = [(4, 3, 2), (1, 6, 3), (5,), (1,)]
WEIGHTS = np.array([1.0, 3.0, 2.0, 1.0, 4.0])

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def random_batch(shape, dtype=np.float64, n_samples=5, seed=0):
    rng = np.random.default_rng(seed)
    return (1 + 2 * rng.standard_normal((*shape[:-1], n_samples, shape[-1]))).astype(dtype)


def fresh_params(layer, shape, dtype=np.float64):
    """Initial parameters, but for scale and shift, which a test should not find at one and zero."""
    params = layer.init_params(shape, activation=None, dtype=np.dtype(dtype), rng=None)
    rng = np.random.default_rng(1)
    params["scale"] += rng.random(shape[-1]).astype(dtype)
    params["shift"] += rng.random(shape[-1]).astype(dtype)
    return params


def step(layer, params, X, weights=None):
    """Return the result of a training step and the parameters with the new running statistics."""
    Y, unit = run_forward(layer, params, X, training=True, weights=weights)
    return Y, params | {key: np.asarray(value, params[key].dtype) for key, value in unit.state.items()}


@each_dtype
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal weights", "unequal weights"])
@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
@each_shape
def test_forward(shape, epsilon, weights, dtype):
    layer, X = BatchNorm(epsilon=epsilon), random_batch(shape, dtype)
    params = fresh_params(layer, shape, dtype)
    Y, _ = run_forward(layer, params, X, training=True, weights=weights)
    expected, _, _ = reference.batch_norm(
        X, params["scale"], params["shift"], weights=weights, epsilon=epsilon
    )
    assert_close(Y, expected)


@each_shape
def test_initial_parameters_change_nothing_but_mean_and_variance(shape):
    layer = BatchNorm()
    params = layer.init_params(shape, activation=None, dtype=np.dtype("f8"), rng=None)
    Y, _ = run_forward(layer, params, random_batch(shape), training=True)
    axes = tuple(range(Y.ndim - 1))
    np.testing.assert_allclose(Y.mean(axis=axes), 0, rtol=0, atol=1e-14)
    np.testing.assert_allclose(Y.var(axis=axes), 1, rtol=1e-4)  # epsilon=1e-5 over variances near 4


@each_shape
def test_weights_are_repetitions(shape):
    """A sample of weight three is three samples: same results, running statistics and gradients."""
    layer, X = BatchNorm(), random_batch(shape)
    params = fresh_params(layer, shape)
    times = WEIGHTS.astype(int)
    repeated = np.repeat(X, times, axis=-2)
    Y, unit = run_forward(layer, params, X, training=True, weights=WEIGHTS)
    repeated_Y, repeated_unit = run_forward(layer, params, repeated, training=True)
    assert_close(np.repeat(Y, times, axis=-2), repeated_Y)
    for key in ("running_mean", "running_variance"):
        assert_close(unit.state[key], repeated_unit.state[key])

    # a loss that counts each repetition once, or each sample by its weight
    dY = random_batch(shape, seed=2)
    weighted_dX = run_backward(layer, params, unit, dY * WEIGHTS[:, np.newaxis])
    repeated_dX = run_backward(layer, params, repeated_unit, np.repeat(dY, times, axis=-2))
    starts = np.cumsum(times) - times
    assert_close(weighted_dX, np.add.reduceat(repeated_dX, starts, axis=-2))
    for key in ("scale", "shift"):
        assert_close(unit.gradients[key], repeated_unit.gradients[key])


@each_shape
def test_weights_count_relative_to_each_other_only(shape):
    layer, X = BatchNorm(), random_batch(shape)
    params = fresh_params(layer, shape)
    Y, _ = run_forward(layer, params, X, training=True, weights=WEIGHTS)
    scaled, _ = run_forward(layer, params, X, training=True, weights=1000 * WEIGHTS)
    assert_close(scaled, Y)
    equal, _ = run_forward(layer, params, X, training=True, weights=np.full(5, 7.0))
    unweighted, _ = run_forward(layer, params, X, training=True)
    assert_close(equal, unweighted)


@each_shape
def test_merged_partial_statistics_are_those_of_the_whole_batch(shape):
    """Whatever the units, here of one, three and one samples of very different means."""
    layer, X = BatchNorm(), random_batch(shape)
    X[..., 0, :] += 100
    params = fresh_params(layer, shape)
    partials = [
        layer.statistics(np.ascontiguousarray(X[..., rows, :]), NaiveUnit(X, weights=WEIGHTS[rows]))
        for rows in (slice(0, 1), slice(1, 4), slice(4, 5))
    ]
    _, state = layer.merge(params, partials)
    _, mean, variance = reference.batch_norm(X, params["scale"], params["shift"], weights=WEIGHTS)
    assert_close(state["running_mean"], mean)
    assert_close(state["running_variance"], variance)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal weights", "unequal weights"])
def test_first_update_of_running_statistics_is_the_batch(momentum, weights):
    """The zero start is corrected for, as in Adam; the variance is the biased one."""
    layer, X = BatchNorm(momentum=momentum), random_batch((4, 3, 2))
    params = fresh_params(layer, (4, 3, 2))
    _, after = step(layer, params, X, weights)
    _, mean, variance = reference.batch_norm(X, params["scale"], params["shift"], weights=weights)
    assert_close(after["running_mean"], mean)
    assert_close(after["running_variance"], variance)
    assert after["n_updates"] == 1


@pytest.mark.parametrize("momentum", [0.0, 0.6, 0.9])
def test_running_statistics_are_exponential_averages(momentum):
    """The average of k updates weighs update i by momentum ** (k - i), over the sum of these."""
    layer, shape = BatchNorm(momentum=momentum), (3, 4, 2)
    params = fresh_params(layer, shape)
    means, variances = [], []
    for seed in range(4):
        X = (seed + 1) * random_batch(shape, seed=seed)
        _, params = step(layer, params, X)
        _, mean, variance = reference.batch_norm(X, [1, 1], [0, 0])
        means.append(mean)
        variances.append(variance)
    shares = momentum ** np.arange(3, -1, -1.0)
    assert_close(params["running_mean"], np.average(means, axis=0, weights=shares))
    assert_close(params["running_variance"], np.average(variances, axis=0, weights=shares))
    assert params["n_updates"] == 4


@each_dtype
@each_shape
def test_prediction_after_one_step_is_the_result_of_this_step(shape, dtype):
    """Running statistics are those of the batch then."""
    layer, X = BatchNorm(), random_batch(shape, dtype)
    trained, params = step(layer, fresh_params(layer, shape, dtype), X)
    predicted, _ = run_forward(layer, params, X, training=False)
    assert_close(predicted, trained)


def test_running_statistics_have_no_gradient_and_nothing_decays():
    layer = BatchNorm()
    assert layer.state_params == ("running_mean", "running_variance", "n_updates")
    assert layer.decayed_params == ()


@pytest.mark.parametrize("mean", [1e4, 1e7])
@pytest.mark.parametrize("shape", [(8, 8, 2), (3,)], ids=str)
def test_large_mean_in_float32_does_not_ruin_the_variance(shape, mean):
    """With mean 10,000 and deviation 2, E[x^2] - E[x]^2 in float32 would be off by more than the variance.

    Float32 numbers near ten million are whole, so the mean itself is rounded by a good part of the
    deviation. The oracle gets the same numbers, so only the error of the computation is left.
    """
    X = (random_batch(shape, n_samples=64) + mean).astype(np.float32)
    layer = BatchNorm()
    _, after = step(layer, layer.init_params(shape, activation=None, dtype=np.dtype("f4"), rng=None), X)
    _, expected_mean, variance = reference.batch_norm(X, np.ones(shape[-1]), np.zeros(shape[-1]))
    assert_close(after["running_variance"], variance)
    np.testing.assert_allclose(after["running_mean"], expected_mean, rtol=2e-7)


@pytest.mark.parametrize("shape", [(3,), (1, 1, 2)], ids=str)
def test_batch_of_one_pixel_gives_the_shift(shape):
    """Its variance is zero: finite results, and no gradient to what is subtracted from itself."""
    layer = BatchNorm()
    params = fresh_params(layer, shape)
    X = random_batch(shape, n_samples=1)
    Y, unit = run_forward(layer, params, X, training=True)
    np.testing.assert_array_equal(Y.ravel(), params["shift"])
    dX = run_backward(layer, params, unit, np.ones_like(Y))
    np.testing.assert_allclose(dX, 0, rtol=0, atol=1e-12)
    assert (unit.gradients["scale"] == 0).all()
    assert (unit.gradients["shift"] == 1).all()


@each_dtype
def test_constant_channel_gives_the_shift(dtype):
    """Rounding must not turn into a tiny variance, and this into large results."""
    layer, X = BatchNorm(), random_batch((4, 4, 2), dtype)
    X[..., 1] = 0.1
    params = fresh_params(layer, (4, 4, 2), dtype)
    Y, after = step(layer, params, X)
    np.testing.assert_allclose(Y[..., 1], params["shift"][1], rtol=reference.TOLERANCE[Y.dtype])
    assert after["running_variance"][1] < np.finfo(dtype).eps


@pytest.mark.parametrize(
    ("layer", "parameter", "expected"),
    [
        (BatchNorm(momentum=1.0), "'momentum'", "a float in the range [0.0, 1.0). Got 1.0"),
        (BatchNorm(momentum=-0.1), "'momentum'", "a float in the range [0.0, 1.0). Got -0.1"),
        (BatchNorm(momentum="0.9"), "'momentum'", "a float in the range [0.0, 1.0). Got '0.9'"),
        (BatchNorm(epsilon=0.0), "'epsilon'", "a float in the range (0.0, inf). Got 0.0"),
        (BatchNorm(epsilon=-1e-5), "'epsilon'", "a float in the range (0.0, inf). Got -1e-05"),
        (BatchNorm(epsilon=None), "'epsilon'", "a float in the range (0.0, inf). Got None"),
    ],
    ids=str,
)
def test_wrong_hyperparameters(layer, parameter, expected):
    with pytest.raises(ValueError) as info:
        compile_steps([("norm", layer)], (4, 4, 1))
    message = str(info.value)
    assert message.startswith("layer 'norm', BatchNorm(")
    assert parameter in message
    assert expected in message
