"""Tests of the learning rates against the optimizers of scikit-learn's MLPClassifier."""

import pytest
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from skcnn.schedules import SCHEDULES, SMALLEST_RATE


def test_the_names_are_those_of_mlp_classifier():
    assert set(SCHEDULES) == {"constant", "invscaling", "adaptive"}


@pytest.mark.parametrize("name", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("initial", [0.5, 1e-3])
def test_rates_over_epochs_without_a_plateau_are_those_of_scikit_learn(name, initial):
    theirs = SGDOptimizer([], learning_rate_init=initial, lr_schedule=name)
    ours = SCHEDULES[name](initial)
    n_samples = 137
    for epoch in range(20):
        rate = ours.rate(n_samples_seen=epoch * n_samples, n_plateaus=0)
        assert rate == pytest.approx(theirs.learning_rate, rel=1e-15)
        theirs.iteration_ends((epoch + 1) * n_samples)


@pytest.mark.parametrize("initial", [0.5, 1e-3, 5e-6, 1e-6, 1e-7])
@pytest.mark.parametrize("name", ["constant", "invscaling", "adaptive"])
def test_plateaus_lower_the_rate_and_end_training_where_scikit_learn_does(name, initial):
    theirs = SGDOptimizer([], learning_rate_init=initial, lr_schedule=name)
    ours = SCHEDULES[name](initial)
    for n_plateaus in range(20):
        rate = ours.rate(n_samples_seen=0, n_plateaus=n_plateaus)
        # theirs divides n times by 5, ours once by 5 ** n: n roundings of half a unit each
        assert rate == pytest.approx(theirs.learning_rate, rel=(n_plateaus + 1) * 2**-53)
        stops = theirs.trigger_stopping("", verbose=False)
        assert ours.goes_on_after_plateau(rate) is not stops
        if stops:
            break
    assert stops
    assert (n_plateaus > 0) == (name == "adaptive" and initial > SMALLEST_RATE)


def test_inverse_scaling_by_hand():
    schedule = SCHEDULES["invscaling"](0.3)
    assert schedule.rate(n_samples_seen=0, n_plateaus=0) == 0.3
    assert schedule.rate(n_samples_seen=8, n_plateaus=0) == pytest.approx(0.1, rel=1e-15)


def test_a_constant_rate_ignores_progress():
    schedule = SCHEDULES["constant"](0.3)
    assert schedule.rate(n_samples_seen=10**9, n_plateaus=7) == 0.3
