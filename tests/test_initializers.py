"""Tests of the initial weights: their distribution, and what it depends on."""

import numpy as np
import pytest
from scipy import stats

from skcnn.initializers import RECTIFIERS, initial_weight
from skcnn.layers.activation import ACTIVATIONS

SHAPE, FAN_IN, FAN_OUT = (3, 3, 20, 40), 180, 360


def draw(activation, dtype="float64", seed=0, shape=SHAPE, fan_in=FAN_IN, fan_out=FAN_OUT):
    return initial_weight(
        shape,
        fan_in,
        fan_out,
        activation=activation,
        dtype=np.dtype(dtype),
        rng=np.random.default_rng(seed),
    )


NAMES = sorted({activation.name for activation in ACTIVATIONS.values()})
"""What layers ask for: the name of the class, whatever the user called it."""


@pytest.mark.parametrize("activation", RECTIFIERS)
def test_before_a_rectifier_weights_are_he_normal(activation):
    """Kolmogorov-Smirnov against the normal distribution of variance 2 / fan_in."""
    result = stats.kstest(draw(activation).ravel(), stats.norm(scale=np.sqrt(2 / FAN_IN)).cdf)
    assert result.pvalue > 0.01


def test_before_selu_weights_are_lecun_normal():
    result = stats.kstest(draw("selu").ravel(), stats.norm(scale=np.sqrt(1 / FAN_IN)).cdf)
    assert result.pvalue > 0.01


@pytest.mark.parametrize("activation", [None, *(name for name in NAMES if name not in (*RECTIFIERS, "selu"))])
def test_elsewhere_weights_are_glorot_uniform(activation):
    bound = np.sqrt(6 / (FAN_IN + FAN_OUT))
    weight = draw(activation).ravel()
    assert stats.kstest(weight, stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01
    assert -bound <= weight.min() < -0.99 * bound
    assert 0.99 * bound < weight.max() <= bound


def test_rectifiers_are_names_of_activations():
    assert set(RECTIFIERS) < set(NAMES)
    assert "selu" not in RECTIFIERS


@pytest.mark.parametrize("activation", ["relu", "selu", None])
def test_the_scale_follows_the_fans(activation):
    """Four times the fans, half the weights: everything else is the same draw."""
    small = draw(activation, fan_in=4 * FAN_IN, fan_out=4 * FAN_OUT)
    np.testing.assert_allclose(small, draw(activation) / 2, rtol=1e-14)


@pytest.mark.parametrize("activation", ["relu", "selu", "tanh"])
def test_float32_weights_are_the_rounded_float64_weights(activation):
    single = draw(activation, "float32")
    assert single.dtype == np.float32
    assert single.shape == SHAPE
    np.testing.assert_array_equal(single, draw(activation).astype(np.float32))


def test_weights_depend_on_the_generator_alone():
    np.testing.assert_array_equal(draw("relu", seed=5), draw("relu", seed=5))
    assert not np.any(draw("relu", seed=5) == draw("relu", seed=6))


def test_signals_keep_their_scale_through_many_layers():
    """Twenty He-initialised layers with rectifiers neither blow up nor extinguish a signal."""
    signal = np.random.default_rng(0).standard_normal((64, 256))
    energy = np.square(signal).mean()
    for seed in range(20):
        weight = draw("relu", seed=seed, shape=(256, 256), fan_in=256, fan_out=256)
        signal = np.maximum(signal @ weight, 0)
    # each layer multiplies the mean square by 1 with a relative deviation of about sqrt(5 / 256)
    deviation = np.sqrt(20 * 5 / 256)
    assert abs(np.log(np.square(signal).mean() * 2 / energy)) < 4 * deviation
