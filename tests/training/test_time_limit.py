"""The time that a fit may take, and what training leaves of it."""

from types import SimpleNamespace

import pytest

from skcnn.training.time_limit import TimeLimit


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr("skcnn.training.time_limit.time", clock)
    return clock


def ends(limit, clock, now):
    clock.now = now
    return limit.ends_training(), limit.ends_statistics()


def test_training_leaves_time_for_statistics_and_validation_and_statistics_for_validation(clock):
    """By the latest measurement: a sample takes three seconds in training, and one that passes forward."""
    limit = TimeLimit(100.0, n_validated=20, n_averaged=10)
    limit.measure(300.0, 10)
    limit.measure(12.0, 4)
    assert ends(limit, clock, 69.0) == (False, False)
    assert ends(limit, clock, 70.0) == ends(limit, clock, 79.0) == (True, False)
    assert ends(limit, clock, 80.0) == (True, True)


def test_until_training_is_measured_and_where_nothing_follows_all_time_is_its_own(clock):
    unmeasured, alone = TimeLimit(100.0, n_validated=20), TimeLimit(100.0)
    alone.measure(12.0, 4)
    for limit in (unmeasured, alone):
        assert ends(limit, clock, 99.0) == (False, False)
        assert ends(limit, clock, 100.0) == (True, True)
