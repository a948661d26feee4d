"""Tests of the learning rates against scikit-learn's MLPClassifier and against their definitions."""

import inspect
import math

import pytest
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from skcnn.training.schedules import SCHEDULES, SMALLEST_RATE, Position, Schedule

OF_SCIKIT_LEARN = ["constant", "invscaling", "adaptive"]
WITH_WARMUP = sorted(set(SCHEDULES) - {"one_cycle"})

each_schedule = pytest.mark.parametrize("name", SCHEDULES)


def rates(schedule, n_steps, steps_per_epoch):
    return [schedule.rate(Position(step, steps_per_epoch)) for step in range(n_steps)]


def test_the_names_are_those_of_mlp_classifier_and_three_more():
    assert list(SCHEDULES) == [*OF_SCIKIT_LEARN, "step", "cosine", "one_cycle"]


@each_schedule
def test_hyperparameters_name_the_further_arguments_of_the_constructor(name):
    schedule = SCHEDULES[name]
    assert issubclass(schedule, Schedule)
    common = {"initial", "n_epochs", "warmup"}
    assert set(inspect.signature(schedule).parameters) - common == set(schedule.hyperparameters)


def test_the_schedules_that_depend_on_the_epochs_to_come_say_so():
    assert {name for name, schedule in SCHEDULES.items() if schedule.has_horizon} == {"cosine", "one_cycle"}


# --- as in scikit-learn ---


@pytest.mark.parametrize("name", OF_SCIKIT_LEARN)
@pytest.mark.parametrize("initial", [0.5, 1e-3])
def test_rates_over_epochs_without_a_plateau_are_those_of_scikit_learn(name, initial):
    """Three steps an epoch share a rate."""
    theirs = SGDOptimizer([], learning_rate_init=initial, lr_schedule=name)
    ours = SCHEDULES[name](initial, n_epochs=20)
    n_samples = 137
    for epoch in range(20):
        for step in range(3 * epoch, 3 * epoch + 3):
            position = Position(step, steps_per_epoch=3, n_samples_seen=epoch * n_samples)
            assert ours.rate(position) == pytest.approx(theirs.learning_rate, rel=1e-15)
        theirs.iteration_ends((epoch + 1) * n_samples)


@pytest.mark.parametrize("initial", [0.5, 1e-3, 5e-6, 1e-6, 1e-7])
@pytest.mark.parametrize("name", OF_SCIKIT_LEARN)
def test_plateaus_lower_the_rate_and_end_training_where_scikit_learn_does(name, initial):
    theirs = SGDOptimizer([], learning_rate_init=initial, lr_schedule=name)
    ours = SCHEDULES[name](initial, n_epochs=20)
    for n_plateaus in range(20):
        rate = ours.rate(Position(0, 1, n_plateaus=n_plateaus))
        # theirs divides n times by 5, ours once by 5 ** n: n roundings of half a unit each
        assert rate == pytest.approx(theirs.learning_rate, rel=(n_plateaus + 1) * 2**-53)
        stops = theirs.trigger_stopping("", verbose=False)
        assert ours.goes_on_after_plateau(rate) is not stops
        if stops:
            break
    assert stops
    assert (n_plateaus > 0) == (name == "adaptive" and initial > SMALLEST_RATE)


@each_schedule
def test_only_the_adaptive_rate_goes_on_after_a_plateau(name):
    assert SCHEDULES[name](0.5, n_epochs=20).goes_on_after_plateau(0.5) is (name == "adaptive")


def test_inverse_scaling_by_hand():
    schedule = SCHEDULES["invscaling"](0.3, n_epochs=20)
    assert schedule.rate(Position(0, 1, n_samples_seen=0)) == 0.3
    assert schedule.rate(Position(5, 1, n_samples_seen=8)) == pytest.approx(0.1, rel=1e-15)


def test_a_constant_rate_ignores_progress():
    position = Position(10**6, steps_per_epoch=3, n_samples_seen=10**9, n_plateaus=7)
    assert SCHEDULES["constant"](0.3, n_epochs=20).rate(position) == 0.3


@pytest.mark.parametrize("name", sorted(set(SCHEDULES) - {"adaptive", "invscaling"}))
def test_other_rates_ignore_samples_and_plateaus(name):
    schedule = SCHEDULES[name](0.3, n_epochs=20)
    assert schedule.rate(Position(7, 5, n_samples_seen=100, n_plateaus=2)) == schedule.rate(Position(7, 5))


# --- steps, cosine, one cycle ---


@pytest.mark.parametrize(("step_size", "steps_per_epoch"), [(1, 1), (1, 4), (3, 4), (10, 7)])
def test_the_rate_of_step_changes_at_the_ends_of_epochs_only(step_size, steps_per_epoch):
    schedule = SCHEDULES["step"](0.5, n_epochs=40, step_size=step_size, step_factor=0.3)
    expected = [0.5 * 0.3**n for n in range(3) for _ in range(step_size * steps_per_epoch)]
    assert rates(schedule, len(expected), steps_per_epoch) == pytest.approx(expected, rel=1e-15)


def test_a_factor_of_one_keeps_the_rate():
    assert set(rates(SCHEDULES["step"](0.5, n_epochs=9, step_size=1, step_factor=1.0), 9, 1)) == {0.5}


@pytest.mark.parametrize("warmup", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("n_epochs", "steps_per_epoch"), [(4, 10), (20, 4), (3, 100)])
def test_the_cosine_begins_at_the_initial_rate_and_ends_near_zero(warmup, n_epochs, steps_per_epoch):
    """The rate of the last of T steps is (1 - cos(pi / T)) / 2, less than (pi / T) ** 2 / 4, of the first."""
    schedule = SCHEDULES["cosine"](0.2, n_epochs=n_epochs, warmup=warmup)
    n_warmup = round(warmup * steps_per_epoch)
    falling = rates(schedule, n_epochs * steps_per_epoch, steps_per_epoch)[n_warmup:]
    assert falling[0] == 0.2
    assert all(later < earlier for earlier, later in zip(falling, falling[1:], strict=False))
    assert 0 < falling[-1] < 0.2 * (math.pi / len(falling)) ** 2 / 4
    # symmetric about the middle, where the rate is half the first
    for step, rate in enumerate(falling[1:], start=1):
        assert rate + falling[-step] == pytest.approx(0.2, rel=1e-14)


@pytest.mark.parametrize(("n_epochs", "steps_per_epoch"), [(10, 1), (10, 10), (20, 7), (30, 1)])
def test_the_largest_rate_of_one_cycle_is_the_initial_one_after_three_tenths(n_epochs, steps_per_epoch):
    schedule = SCHEDULES["one_cycle"](0.2, n_epochs=n_epochs)
    n_steps = n_epochs * steps_per_epoch
    cycle = rates(schedule, n_steps, steps_per_epoch)
    peak = 3 * n_steps // 10 - 1
    assert cycle.index(max(cycle)) == peak
    assert cycle[peak] == pytest.approx(0.2, rel=1e-12)
    assert cycle[0] == pytest.approx(0.2 / 25, rel=1e-12)
    assert cycle[-1] == pytest.approx(0.2 / 25e4, rel=1e-9)
    assert cycle[: peak + 1] == sorted(cycle[: peak + 1])
    assert cycle[peak:] == sorted(cycle[peak:], reverse=True)


@pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_rates_of_the_shortest_trainings_are_positive_and_not_above_the_initial_one(name, n_steps):
    for steps_per_epoch in (1, n_steps):
        schedule = SCHEDULES[name](0.2, n_epochs=n_steps // steps_per_epoch)
        assert all(0 < rate <= 0.2 for rate in rates(schedule, n_steps, steps_per_epoch))


# --- warm-up ---


@pytest.mark.parametrize("name", WITH_WARMUP)
@pytest.mark.parametrize(
    ("warmup", "steps_per_epoch", "n_warmup"), [(1.0, 10, 10), (0.5, 7, 4), (2.5, 4, 10), (3.0, 1, 3)]
)
def test_the_warm_up_reaches_the_initial_rate_after_exactly_its_steps(
    name, warmup, steps_per_epoch, n_warmup
):
    schedule = SCHEDULES[name](0.2, n_epochs=20, warmup=warmup)
    risen = rates(schedule, n_warmup + 1, steps_per_epoch)
    expected = [0.2 * (step + 1) / n_warmup for step in range(n_warmup)]
    assert risen[:n_warmup] == pytest.approx(expected, rel=1e-15)
    assert risen[n_warmup - 1] == pytest.approx(0.2, rel=2**-52)
    assert risen[n_warmup - 2] < 0.2 == risen[n_warmup]


@pytest.mark.parametrize("name", WITH_WARMUP)
@pytest.mark.parametrize("warmup", [0.0, 0.04])
def test_a_warm_up_of_less_than_half_a_step_is_none(name, warmup):
    assert SCHEDULES[name](0.2, n_epochs=20, warmup=warmup).rate(Position(0, 10)) == 0.2


def test_the_epochs_of_the_warm_up_count_for_step():
    schedule = SCHEDULES["step"](0.2, n_epochs=20, warmup=1.0, step_size=2, step_factor=0.5)
    expected = [0.05, 0.1, 0.15, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1]
    assert rates(schedule, 9, 4) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("warmup", [5.0, 5.5, 100.0])
def test_a_warm_up_that_leaves_no_epoch_to_fall_is_refused(warmup):
    with pytest.raises(
        ValueError, match=rf"warmup={warmup} must be less than the 5 epochs that max_iter allows"
    ):
        SCHEDULES["cosine"](0.2, n_epochs=5, warmup=warmup)
    SCHEDULES["cosine"](0.2, n_epochs=5, warmup=4.75)


@pytest.mark.parametrize("name", ["constant", "invscaling", "adaptive", "step"])
def test_without_a_horizon_the_warm_up_may_be_longer_than_a_call(name):
    """So that partial_fit, which trains for one epoch, can warm up over several."""
    assert SCHEDULES[name](0.2, n_epochs=1, warmup=4.0).rate(Position(9, 10)) == pytest.approx(0.05)


def test_one_cycle_with_a_warm_up_is_refused():
    with pytest.raises(ValueError, match=r"learning_rate='one_cycle' warms up by itself: set warmup=0"):
        SCHEDULES["one_cycle"](0.2, n_epochs=5, warmup=1.0)


def test_one_cycle_of_a_single_step_takes_it_at_the_initial_rate():
    assert SCHEDULES["one_cycle"](0.2, n_epochs=1).rate(Position(step=0, steps_per_epoch=1)) == 0.2
