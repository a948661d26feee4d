"""Tests of the normalization layers."""

import math
import re

import numpy as np
import pytest
import reference
from reference import GarbageMemory, NaiveUnit, assert_close, initial_params, run_backward, run_forward
from seeds import generator
from small_networks import NOT_FRACTIONS, NOT_POSITIVE, NOT_SIZES, assert_refused

from skcnn.layers import BatchNorm, GroupNorm, LayerNorm, LocalResponseNorm

WEIGHTS = np.array([1.0, 3.0, 2.0, 1.0, 4.0])

each_shape = pytest.mark.parametrize("shape", [(4, 3, 2), (5,)], ids=str)
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def random_batch(shape, dtype=np.float64, n_samples=5, seed=0):
    rng = generator(seed)
    return (1 + 2 * rng.standard_normal((*shape[:-1], n_samples, shape[-1]))).astype(dtype)


def fresh_params(layer, shape, dtype=np.float64):
    """Initial parameters, but for scale and shift, which a test should not find at one and zero."""
    params = layer.init_params(shape, activation=None, dtype=np.dtype(dtype), rng=None)
    rng = generator(1)
    params["scale"] += rng.random(shape[-1]).astype(dtype)
    params["shift"] += rng.random(shape[-1]).astype(dtype)
    return params


def step(layer, params, X, weights=None):
    """Return the result of a training step and the parameters with the new running statistics."""
    Y, unit = run_forward(layer, params, X, training=True, weights=weights)
    return Y, params | {key: np.asarray(value, params[key].dtype) for key, value in unit.buffers.items()}


@each_dtype
@pytest.mark.parametrize(
    ("shape", "epsilon", "weights"),
    [((4, 3, 2), 1e-5, None), ((1, 6, 3), 0.5, WEIGHTS), ((5,), 1e-5, WEIGHTS), ((1,), 0.5, None)],
    ids=str,
)
def test_forward(shape, epsilon, weights, dtype):
    layer, X = BatchNorm(epsilon=epsilon), random_batch(shape, dtype)
    params = fresh_params(layer, shape, dtype)
    Y, _ = run_forward(layer, params, X, training=True, weights=weights)
    expected, _, _ = reference.batch_norm(
        X, params["scale"], params["shift"], weights=weights, epsilon=epsilon
    )
    assert_close(Y, expected)


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
        assert_close(unit.buffers[key], repeated_unit.buffers[key])

    # a loss that counts each repetition once, or each sample by its weight
    dY = random_batch(shape, seed=2)
    weighted_dX = run_backward(layer, params, unit, dY * WEIGHTS[:, np.newaxis])
    repeated_dX = run_backward(layer, params, repeated_unit, np.repeat(dY, times, axis=-2))
    starts = np.cumsum(times) - times
    assert_close(weighted_dX, np.add.reduceat(repeated_dX, starts, axis=-2))
    for key in ("scale", "shift"):
        assert_close(unit.gradients[key], repeated_unit.gradients[key])


def statistics_of(layer, X, weights=None):
    """Return the partial statistics of a unit, and the unit."""
    unit = NaiveUnit(X, weights=weights)
    unit.plan, unit.X = layer.plan((*X.shape[:-2], X.shape[-1])), X
    return layer.statistics(X, unit), unit


@each_shape
def test_merged_partial_statistics_are_those_of_the_whole_batch(shape):
    """Whatever the units, here of one, three and one samples of very different means."""
    layer, X = BatchNorm(), random_batch(shape)
    X[..., 0, :] += 100
    params = fresh_params(layer, shape)
    partials = [
        statistics_of(layer, np.ascontiguousarray(X[..., rows, :]), WEIGHTS[rows])[0]
        for rows in (slice(0, 1), slice(1, 4), slice(4, 5))
    ]
    _, buffers = layer.merge(params, partials)
    _, mean, variance = reference.batch_norm(X, params["scale"], params["shift"], weights=WEIGHTS)
    assert_close(buffers["running_mean"], mean)
    assert_close(buffers["running_variance"], variance)


@pytest.mark.parametrize("momentum", [0.0, 0.6, 0.9])
def test_running_statistics_are_exponential_averages(momentum):
    """The average of k updates weighs update i by momentum ** (k - i), over the sum of these."""
    layer, shape = BatchNorm(momentum=momentum), (3, 4, 2)
    params, means, variances = fresh_params(layer, shape), [], []
    for number in range(4):
        X = (number + 1) * random_batch(shape, seed=number)
        _, params = step(layer, params, X, WEIGHTS)
        _, mean, variance = reference.batch_norm(X, [1, 1], [0, 0], weights=WEIGHTS)
        means.append(mean)
        variances.append(variance)
        shares = momentum ** np.arange(number, -1, -1.0)
        assert_close(params["running_mean"], np.average(means, axis=0, weights=shares))
        assert_close(params["running_variance"], np.average(variances, axis=0, weights=shares))
        assert params["n_updates"] == number + 1


@pytest.mark.parametrize("parts", [[1 / 64, 1 / 64], [0.25, 1.0], [1.0, 1 / 64]], ids=str)
def test_chunks_of_a_stream_are_normalized_by_running_statistics(parts):
    """Which are those of a mixture of all chunks, with the weights of an exponential average."""
    momentum, shape = 0.6, (4, 3, 2)
    layer, params = BatchNorm(momentum=momentum), fresh_params(BatchNorm(), shape)
    chunks = [random_batch(shape, seed=seed) + 3 * seed for seed in range(len(parts))]
    for X, part in zip(chunks, parts, strict=True):
        partial, unit = statistics_of(layer, X)
        merged, buffers = layer.merge(params, [partial], part=part)
        params |= buffers
    shares = np.array([(1 - momentum ** parts[0]) * momentum ** parts[1], 1 - momentum ** parts[1]])
    shares /= shares.sum()
    means, squares = (np.array([(X**power).mean(axis=(0, 1, 2)) for X in chunks]) for power in (1, 2))
    mean = shares @ means
    assert_close(params["running_mean"], mean)
    assert_close(params["running_variance"], shares @ squares - mean**2)
    assert params["n_updates"] == sum(parts)
    unit.merged = merged
    out = layer.forward(params, None, unit, training=True, out=np.empty_like(X))
    predicted, _ = run_forward(layer, params, X, training=False)
    assert_close(out, predicted)
    dY = random_batch(shape, seed=9)
    unit.output = out
    dX = run_backward(layer, params, unit, dY)
    assert_close(dX, dY * params["scale"] / np.sqrt(params["running_variance"] + layer.epsilon))


@each_dtype
@each_shape
def test_prediction_after_one_step_is_the_result_of_this_step(shape, dtype):
    """Running statistics are those of the batch then."""
    layer, X = BatchNorm(), random_batch(shape, dtype)
    trained, params = step(layer, fresh_params(layer, shape, dtype), X)
    predicted, _ = run_forward(layer, params, X, training=False)
    assert_close(predicted, trained)


@pytest.mark.parametrize("layer", [BatchNorm(), LayerNorm(), GroupNorm(2)], ids=str)
def test_initial_parameters_change_nothing_and_nothing_decays(layer):
    params = initial_params(layer, (4, 4, 6))
    assert params["scale"].tolist() == [1] * 6
    assert params["shift"].tolist() == [0] * 6
    assert layer.buffer_params == tuple(params)[2:]
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


# layer, input shape
SAMPLE_NORMS = [
    (LayerNorm(), (4, 3, 5)),
    (LayerNorm(epsilon=0.5), (1, 6, 4)),
    (LayerNorm(), (7,)),
    (LayerNorm(), (2,)),
    (GroupNorm(2), (4, 3, 6)),
    (GroupNorm(3, epsilon=0.5), (1, 5, 3)),
    (GroupNorm(4), (1, 1, 8)),
    (GroupNorm(), (3, 2, 8)),
    (GroupNorm(5), (10,)),  # two numbers in each group
    (GroupNorm(1), (2, 1, 1)),
]


def oracle(layer):
    """The naive loops of a layer that normalizes each sample by itself, forward and backward."""
    if isinstance(layer, LayerNorm):
        return reference.layer_norm, reference.layer_norm_backward, ()
    return reference.group_norm, reference.group_norm_backward, (layer.groups,)


@each_dtype
@pytest.mark.parametrize(("layer", "shape"), SAMPLE_NORMS, ids=str)
def test_layer_and_group_norm(layer, shape, dtype):
    """Against naive loops, with gradients by the matrix of all derivatives."""
    forward, backward, groups = oracle(layer)
    params, X = fresh_params(layer, shape, dtype), random_batch(shape, dtype)
    Y, unit = run_forward(layer, params, X, training=True)
    assert_close(Y, forward(X, params["scale"], params["shift"], *groups, epsilon=layer.epsilon))
    dY = random_batch(shape, dtype, seed=2)
    dX = run_backward(layer, params, unit, dY)
    expected_dX, dscale, dshift = backward(X, params["scale"], dY, *groups, epsilon=layer.epsilon)
    # with two numbers in each group the gradient is what rounding leaves of the difference of equal numbers
    largest = max(np.abs(expected_dX).max(), np.abs(dY).max())
    np.testing.assert_allclose(dX, expected_dX, rtol=0, atol=reference.TOLERANCE[dX.dtype] * largest)
    assert_close(unit.gradients["scale"], dscale)
    assert_close(unit.gradients["shift"], dshift)


@pytest.mark.parametrize("mean", [1e4, 1e6])
@pytest.mark.parametrize(
    ("layer", "shape"), [(LayerNorm(), (3, 4, 16)), (GroupNorm(2), (5, 4, 6)), (GroupNorm(2), (16,))], ids=str
)
def test_large_mean_in_float32_does_not_ruin_the_result(layer, shape, mean):
    """E[x^2] - E[x]^2 in float32 would be off by more than the variance.

    A sum of K numbers is off by a few eps * mean, which over a deviation of two is that of the results.
    """
    X = (random_batch(shape) + mean).astype(np.float32)
    forward, _, groups = oracle(layer)
    params = initial_params(layer, shape, np.float32)
    Y, _ = run_forward(layer, params, X, training=True)
    expected = forward(X, params["scale"], params["shift"], *groups)
    np.testing.assert_allclose(Y, expected, rtol=0, atol=8 * np.finfo(np.float32).eps * mean / 2)


@each_dtype
@pytest.mark.parametrize(("layer", "shape"), [(LayerNorm(), (3, 4, 5)), (GroupNorm(2), (3, 4, 6))], ids=str)
def test_equal_numbers_give_the_shift(layer, shape, dtype):
    """Rounding must not turn into a tiny variance, and this into large results."""
    params = fresh_params(layer, shape, dtype)
    X = np.full((*shape[:2], 2, shape[2]), 0.1, dtype)
    Y, unit = run_forward(layer, params, X, training=True)
    # what rounding leaves of 0.1 - 0.1, a few eps / 10, over sqrt(epsilon) = 0.003
    tolerance = 4 * np.finfo(dtype).eps * 0.1 / np.sqrt(layer.epsilon)
    np.testing.assert_allclose(Y, np.broadcast_to(params["shift"], Y.shape), rtol=0, atol=2 * tolerance)
    assert np.isfinite(run_backward(layer, params, unit, np.ones_like(Y))).all()


# size, alpha, beta, k, input shape
LOCAL_RESPONSES = [
    (5, 1e-4, 0.75, 2.0, (3, 4, 7)),
    (5, 0.5, 0.75, 2.0, (3, 4, 7)),
    (4, 0.5, 2.0, 0.7, (1, 5, 6)),  # an even number: two channels before, one after
    (1, 2.0, 0.5, 1.0, (3, 2, 3)),
    (2, 1.0, 1.0, 0.1, (6,)),
    (9, 1.0, 0.5, 1.0, (2, 3, 2)),  # more neighbours than channels
    (3, 1.0, 0.75, 1, (1,)),
    (3, 1.0, 0.75, 1.0, (2, 1, 5)),  # fewer pixels than neighbours
    (3, 0.0, 0.75, 2.0, (2, 2, 4)),
    (3, 1.0, 0.0, 2.0, (5,)),
]


@each_dtype
@pytest.mark.parametrize(("size", "alpha", "beta", "k", "shape"), LOCAL_RESPONSES, ids=str)
def test_local_response_norm(size, alpha, beta, k, shape, dtype):
    layer, X = LocalResponseNorm(size, alpha, beta, k), random_batch(shape, dtype)
    Y, unit = run_forward(layer, {}, X, training=True)
    assert_close(Y, reference.local_response_norm(X, size, alpha, beta, k))
    dY = random_batch(shape, dtype, seed=2)
    dX = run_backward(layer, {}, unit, dY)
    assert_close(dX, reference.local_response_norm_backward(X, dY, size, alpha, beta, k))


def test_local_response_by_hand():
    """Squares 1, 4, 9, 16, summed over neighbourhoods of two, with that before, and of three, plus k = 1."""
    X = np.array([[1.0, 2, 3, 4]])
    for size, sums in [(2, [1, 1 + 4, 4 + 9, 9 + 16]), (3, [1 + 4, 1 + 4 + 9, 4 + 9 + 16, 9 + 16])]:
        Y, _ = run_forward(LocalResponseNorm(size, alpha=1.0, beta=1.0, k=1.0), {}, X, training=False)
        np.testing.assert_allclose(Y, X / (1 + np.array([sums])), rtol=1e-15)


def test_parameters_of_numpy_give_the_same_bits():
    """A grid from np.linspace holds np.float64, which must not turn a float32 computation into float64."""
    X = random_batch((3, 4, 6), np.float32)
    for make in (
        lambda f: LayerNorm(f(0.1)),
        lambda f: GroupNorm(2, f(0.1)),
        lambda f: LocalResponseNorm(3, f(0.1), f(0.3), f(0.7)),
    ):
        plain, numpy = (
            run_forward(layer, initial_params(layer, (3, 4, 6), np.float32), X, training=True)[0]
            for layer in (make(float), make(np.float64))
        )
        assert numpy.dtype == np.float32
        np.testing.assert_array_equal(numpy, plain)


@pytest.mark.parametrize(
    ("norm", "parameter", "values"),
    [
        (BatchNorm, "momentum", NOT_FRACTIONS),
        *((norm, "epsilon", NOT_POSITIVE) for norm in (BatchNorm, LayerNorm, GroupNorm)),
        *((LocalResponseNorm, parameter, NOT_POSITIVE[1:]) for parameter in ("alpha", "beta")),
        (LocalResponseNorm, "k", NOT_POSITIVE),
        (LocalResponseNorm, "size", NOT_SIZES),
        (GroupNorm, "groups", NOT_SIZES),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else None,
)
def test_wrong_hyperparameters(norm, parameter, values):
    assert_refused(norm, parameter, values, (4, 4, 8))


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match=r"groups=4 does not divide the 6 channels; .*\[1, 2, 3, 6\]"):
        GroupNorm(4).output_shape((4, 4, 6))


@pytest.mark.parametrize(
    ("layer", "shape", "remedy"),
    [
        (LayerNorm(), (4, 4, 1), "with one channel, use BatchNorm() or GroupNorm(1) or leave"),
        (LayerNorm(), (1, 2, 1), "with one channel, use BatchNorm() or GroupNorm(1) or leave"),
        (LayerNorm(), (1, 1, 1), "with one channel, use BatchNorm() or leave"),
        (LayerNorm(), (1,), "with one channel, use BatchNorm() or leave"),
        (GroupNorm(8), (8,), "use fewer groups than the 8 channels"),
        (GroupNorm(6), (1, 1, 6), "use fewer groups than the 6 channels"),
        (GroupNorm(1), (1,), "with one channel, use BatchNorm() or leave"),
        (GroupNorm(1), (1, 1, 1), "with one channel, use BatchNorm() or leave"),
    ],
    ids=str,
)
def test_a_number_is_not_normalized_by_itself(layer, shape, remedy):
    """It would be zero whatever it is, and nothing before the layer could learn."""
    with pytest.raises(ValueError, match=f"; {re.escape(remedy)}"):
        layer.output_shape(shape)


def test_remedies_help():
    """What the messages advise where a number would be normalized by itself."""
    for layer, shape in [(GroupNorm(1), (1, 2, 1)), (GroupNorm(4), (8,)), (BatchNorm(), (1,))]:
        assert layer.output_shape(shape) == shape


@pytest.mark.parametrize("layer", [LayerNorm(), GroupNorm(2), LocalResponseNorm(3)], ids=str)
def test_scratch_memory_is_what_was_announced(layer):
    """Chunks of images are cut by it."""
    asked = {}

    class NotingMemory(GarbageMemory):
        def __call__(self, name, shape, dtype=None):
            asked[name] = math.prod(shape)
            return super().__call__(name, shape, dtype)

    X, params = random_batch((4, 3, 6), n_samples=5), initial_params(layer, (4, 3, 6))
    _, unit = run_forward(layer, params, X, training=True)
    unit.scratch = NotingMemory(np.float64)
    run_backward(layer, params, unit, X)
    assert sum(asked.values()) == 5 * layer.scratch_size((4, 3, 6)) == 5 * 3 * 72


def test_local_response_multiplies_once_for_each_neighbour_that_there_can_be():
    """Of four channels."""
    for size, neighbours in [(1, 1), (3, 3), (4, 4), (9, 4)]:
        assert LocalResponseNorm(size).multiply_adds((2, 3, 4)) == 2 * 3 * 4 * neighbours
        assert LocalResponseNorm(size).multiply_adds((4,)) == 4 * neighbours
