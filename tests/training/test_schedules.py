"""Tests of the learning rates against scikit-learn's MLPClassifier and against their definitions."""

import inspect
import math

import pytest
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from skcnn.training.schedules import SCHEDULES, SMALLEST_RATE, Position, Schedule

OF_SCIKIT_LEARN = ["constant", "invscaling", "adaptive"]
WITH_WARMUP = sorted(set(SCHEDULES) - {"one_cycle"})

each_of_scikit_learn = pytest.mark.parametrize("name", OF_SCIKIT_LEARN)


def rates(schedule, n_steps, steps_per_epoch):
    return [schedule.rate(Position(step, steps_per_epoch)) for step in range(n_steps)]


def test_the_names_and_what_the_estimator_must_know():
    assert list(SCHEDULES) == [*OF_SCIKIT_LEARN, "step", "cosine", "one_cycle"]
    for schedule in SCHEDULES.values():
        assert issubclass(schedule, Schedule)
        common = {"initial", "n_epochs", "warmup"}
        assert set(inspect.signature(schedule).parameters) - common == set(schedule.hyperparameters)
    assert {name for name, schedule in SCHEDULES.items() if schedule.has_horizon} == {"cosine", "one_cycle"}
    going_on = [name for name in SCHEDULES if SCHEDULES[name](0.5, n_epochs=9).goes_on_after_plateau(0.5)]
    assert going_on == ["adaptive"]


# --- as in scikit-learn ---


@each_of_scikit_learn
def test_rates_over_epochs_without_a_plateau_are_those_of_scikit_learn(name):
    """Three steps an epoch share a rate."""
    theirs = SGDOptimizer([], learning_rate_init=0.5, lr_schedule=name)
    ours = SCHEDULES[name](0.5, n_epochs=20)
    for epoch in range(20):
        for step in range(3 * epoch, 3 * epoch + 3):
            position = Position(step, steps_per_epoch=3, n_samples_seen=epoch * 137)
            assert ours.rate(position) == pytest.approx(theirs.learning_rate, rel=1e-15)
        theirs.iteration_ends((epoch + 1) * 137)


@pytest.mark.parametrize("initial", [0.5, 5e-6, 1e-6, 1e-7])
@each_of_scikit_learn
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


@pytest.mark.parametrize("name", sorted(set(SCHEDULES) - {"adaptive", "invscaling"}))
def test_other_rates_ignore_samples_and_plateaus(name):
    schedule = SCHEDULES[name](0.3, n_epochs=20)
    assert schedule.rate(Position(7, 5, n_samples_seen=100, n_plateaus=2)) == schedule.rate(Position(7, 5))


# --- steps, cosine, one cycle ---


@pytest.mark.parametrize(("step_size", "steps_per_epoch"), [(1, 1), (3, 4)])
def test_the_rate_of_step_changes_at_the_ends_of_epochs_only(step_size, steps_per_epoch):
    schedule = SCHEDULES["step"](0.5, n_epochs=40, step_size=step_size, step_factor=0.3)
    expected = [0.5 * 0.3**n for n in range(3) for _ in range(step_size * steps_per_epoch)]
    assert rates(schedule, len(expected), steps_per_epoch) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("warmup", "n_epochs", "steps_per_epoch"), [(0.0, 4, 10), (0.5, 20, 4), (2.0, 3, 100)]
)
def test_the_cosine_begins_at_the_initial_rate_and_ends_near_zero(warmup, n_epochs, steps_per_epoch):
    """The rate of the last of T steps is (1 - cos(pi / T)) / 2, less than (pi / T) ** 2 / 4, of the first."""
    schedule = SCHEDULES["cosine"](0.2, n_epochs=n_epochs, warmup=warmup)
    n_warmup = round(warmup * steps_per_epoch)
    falling = rates(schedule, n_epochs * steps_per_epoch, steps_per_epoch)[n_warmup:]
    assert falling[0] == 0.2
    assert all(later < earlier for earlier, later in zip(falling, falling[1:], strict=False))
    assert 0 < falling[-1] < 0.2 * (math.pi / len(falling)) ** 2 / 4
    for step, rate in enumerate(falling[1:], start=1):  # symmetric about the middle
        assert rate + falling[-step] == pytest.approx(0.2, rel=1e-14)


@pytest.mark.parametrize(("n_epochs", "steps_per_epoch"), [(10, 1), (20, 7)])
def test_the_largest_rate_of_one_cycle_is_the_initial_one_after_three_tenths(n_epochs, steps_per_epoch):
    n_steps = n_epochs * steps_per_epoch
    cycle = rates(SCHEDULES["one_cycle"](0.2, n_epochs=n_epochs), n_steps, steps_per_epoch)
    peak = 3 * n_steps // 10 - 1
    assert cycle.index(max(cycle)) == peak
    assert cycle[peak] == pytest.approx(0.2, rel=1e-12)
    assert cycle[0] == pytest.approx(0.2 / 25, rel=1e-12)
    assert cycle[-1] == pytest.approx(0.2 / 25e4, rel=1e-9)
    assert cycle[: peak + 1] == sorted(cycle[: peak + 1])
    assert cycle[peak:] == sorted(cycle[peak:], reverse=True)


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_rates_of_the_shortest_trainings_are_positive_and_not_above_the_initial_one(name):
    assert rates(SCHEDULES[name](0.2, n_epochs=1), 1, 1) == [0.2]
    for n_steps in range(2, 6):
        for n_epochs in (1, n_steps):
            schedule = SCHEDULES[name](0.2, n_epochs=n_epochs)
            assert all(0 < rate <= 0.2 for rate in rates(schedule, n_steps, n_steps // n_epochs))


# --- warm-up ---


@pytest.mark.parametrize(
    ("name", "warmup", "steps_per_epoch", "n_warmup"),
    [(name, 2.5, 4, 10) for name in WITH_WARMUP] + [("constant", 0.5, 7, 4), ("cosine", 3.0, 1, 3)],
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


def test_a_warm_up_of_less_than_half_a_step_is_none():
    assert SCHEDULES["constant"](0.2, n_epochs=20, warmup=0.04).rate(Position(0, 10)) == 0.2


def test_the_epochs_of_the_warm_up_count_for_step():
    schedule = SCHEDULES["step"](0.2, n_epochs=20, warmup=1.0, step_size=2, step_factor=0.5)
    expected = [0.05, 0.1, 0.15, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1]
    assert rates(schedule, 9, 4) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("name", ["constant", "invscaling", "adaptive", "step"])
def test_without_a_horizon_the_warm_up_may_be_longer_than_a_call(name):
    """So that partial_fit, which trains for one epoch, can warm up over several."""
    assert SCHEDULES[name](0.2, n_epochs=1, warmup=4.0).rate(Position(9, 10)) == pytest.approx(0.05)
