"""Tests of the initial weights: their distribution, and what it depends on."""

import numpy as np
import pytest
from scipy import stats
from seeds import generator

from skcnn.layers.initializers import initial_weight, pass_channels_on

SHAPE, FAN_IN, FAN_OUT = (3, 3, 20, 40), 180, 360

FIVE_DEVIATIONS = 6e-7
"""The probability of five standard deviations and more."""

each_gain = pytest.mark.parametrize("gain", [0.3, None], ids=str)


def draw(gain, dtype="float64", seed=0, fan_in=FAN_IN, fan_out=FAN_OUT):
    rng = generator(seed)
    return initial_weight(SHAPE, fan_in, fan_out, gain=gain, dtype=np.dtype(dtype), rng=rng)


@pytest.mark.parametrize(
    ("gain", "variance"), [(np.sqrt(2), 2 / FAN_IN), (1.0, 1 / FAN_IN), (0.5, 1 / 4 / FAN_IN)], ids=str
)
def test_with_a_gain_weights_are_normal(gain, variance):
    """Kolmogorov-Smirnov against the normal distributions of He and LeCun, and another."""
    result = stats.kstest(draw(gain).ravel(), stats.norm(scale=np.sqrt(variance)).cdf)
    assert result.pvalue > FIVE_DEVIATIONS


def test_without_a_gain_weights_are_glorot_uniform():
    bound = np.sqrt(6 / (FAN_IN + FAN_OUT))
    weight = draw(None).ravel()
    assert stats.kstest(weight, stats.uniform(-bound, 2 * bound).cdf).pvalue > FIVE_DEVIATIONS
    assert -bound <= weight.min() < -0.99 * bound
    assert 0.99 * bound < weight.max() <= bound


@each_gain
def test_the_scale_follows_the_fans(gain):
    """Four times the fans, half the weights: everything else is the same draw."""
    small = draw(gain, fan_in=4 * FAN_IN, fan_out=4 * FAN_OUT)
    np.testing.assert_allclose(small, draw(gain) / 2, rtol=1e-14)


@each_gain
def test_weights_depend_on_the_generator_alone(gain):
    """Those of float32 are the rounded ones of float64."""
    single, double = draw(gain, "float32", seed=5), draw(gain, seed=5)
    assert single.dtype == np.float32
    assert single.shape == SHAPE
    np.testing.assert_array_equal(single, double.astype(np.float32))
    np.testing.assert_array_equal(double, draw(gain, seed=5))
    assert not np.any(double == draw(gain, seed=6))


# shape of the weight, groups, position that keeps a pixel, filters of a group that pass channels on
PASSING = [
    ((3, 3, 2, 2), 1, (1, 1), 2),
    ((3, 5, 2, 6), 1, (1, 2), 2),
    ((1, 1, 4, 3), 1, (0, 0), 3),
    ((2, 4, 3, 10), 2, (0, 1), 3),
    ((3, 3, 1, 6), 3, (1, 1), 1),
]


@pytest.mark.parametrize(("shape", "groups", "center", "n_passing"), PASSING, ids=str)
def test_first_filters_of_each_group_pass_channels_on(shape, groups, center, n_passing):
    weight = generator(0).standard_normal(shape)
    expected = weight.copy()
    for group in range(groups):
        for number in range(n_passing):
            passing = expected[..., group * shape[3] // groups + number]
            passing[...] = 0
            passing[(*center, number)] = 1
    pass_channels_on(weight, groups)
    np.testing.assert_array_equal(weight, expected)
