"""The schedules against those of PyTorch, over fifty steps of several lengths of epochs."""

import numpy as np
import pytest
from parity.in_torch import torch

from skcnn.schedules import SCHEDULES, Position

lr_scheduler = torch.optim.lr_scheduler

N_STEPS = 50
LENGTHS = [(5, 10), (10, 5), (1, 50), (50, 1), (7, 8), (3, 20)]
INITIAL = 0.3

each_length = pytest.mark.parametrize(("n_epochs", "steps_per_epoch"), LENGTHS)


def our_rates(name, n_epochs, steps_per_epoch, **options):
    schedule = SCHEDULES[name](INITIAL, n_epochs=n_epochs, **options)
    return [schedule.rate(Position(step, steps_per_epoch)) for step in range(N_STEPS)]


def their_rates(make):
    """Return the rates of a scheduler that is made of an optimizer and takes a step after each of it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=INITIAL)
    scheduler, rates = make(optimizer), []
    for _ in range(N_STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def rising(optimizer, n_warmup):
    """Return a warm-up of some steps; PyTorch counts the intervals between them."""
    return lr_scheduler.LinearLR(optimizer, start_factor=1 / n_warmup, total_iters=n_warmup - 1)


def assert_equal(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=0)


@each_length
@pytest.mark.parametrize(("step_size", "step_factor"), [(1, 0.9), (2, 0.5), (3, 0.1)])
def test_step_is_step_lr(n_epochs, steps_per_epoch, step_size, step_factor):
    options = {"step_size": step_size, "step_factor": step_factor}
    n_steps = step_size * steps_per_epoch
    assert_equal(
        our_rates("step", n_epochs, steps_per_epoch, **options),
        their_rates(lambda optimizer: lr_scheduler.StepLR(optimizer, n_steps, gamma=step_factor)),
    )


@each_length
def test_cosine_is_cosine_annealing_lr(n_epochs, steps_per_epoch):
    n_steps = n_epochs * steps_per_epoch
    assert_equal(
        our_rates("cosine", n_epochs, steps_per_epoch),
        their_rates(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, n_steps)),
    )


@each_length
def test_one_cycle_is_one_cycle_lr(n_epochs, steps_per_epoch):
    """PyTorch refuses steps beyond the last, so its cycle is one step longer than is used."""

    def make(optimizer):
        total = n_epochs * steps_per_epoch
        scheduler = lr_scheduler.OneCycleLR(
            optimizer, INITIAL, total_steps=total, pct_start=0.3, anneal_strategy="cos", cycle_momentum=False
        )
        scheduler.total_steps = total + 1
        return scheduler

    assert_equal(our_rates("one_cycle", n_epochs, steps_per_epoch), their_rates(make))


WARMUPS = [(5, 10, 0.5), (5, 10, 3.0), (10, 5, 2.2), (50, 1, 7.0), (1, 50, 0.3), (7, 8, 1.0)]

each_warmup = pytest.mark.parametrize(("n_epochs", "steps_per_epoch", "warmup"), WARMUPS)


@each_warmup
def test_a_warm_up_before_a_constant_rate_is_linear_lr(n_epochs, steps_per_epoch, warmup):
    n_warmup = round(warmup * steps_per_epoch)
    assert_equal(
        our_rates("constant", n_epochs, steps_per_epoch, warmup=warmup),
        their_rates(lambda optimizer: rising(optimizer, n_warmup)),
    )


@each_warmup
def test_a_warm_up_before_a_cosine_is_linear_lr_and_then_cosine_annealing_lr(
    n_epochs, steps_per_epoch, warmup
):
    """The cosine falls over the steps that are left."""
    n_warmup = round(warmup * steps_per_epoch)
    n_steps = n_epochs * steps_per_epoch - n_warmup

    def make(optimizer):
        parts = [rising(optimizer, n_warmup), lr_scheduler.CosineAnnealingLR(optimizer, n_steps)]
        return lr_scheduler.SequentialLR(optimizer, parts, milestones=[n_warmup])

    assert_equal(our_rates("cosine", n_epochs, steps_per_epoch, warmup=warmup), their_rates(make))


@pytest.mark.parametrize(
    ("steps_per_epoch", "warmup", "step_size"), [(10, 0.5, 1), (5, 2.2, 3), (1, 7.0, 10), (8, 1.0, 2)]
)
def test_a_warm_up_before_step_is_linear_lr_together_with_step_lr(steps_per_epoch, warmup, step_size):
    """Both count from the first step, and the rate has risen before it falls."""
    n_warmup = round(warmup * steps_per_epoch)

    def make(optimizer):
        falling = lr_scheduler.StepLR(optimizer, step_size * steps_per_epoch, gamma=0.5)
        return lr_scheduler.ChainedScheduler([rising(optimizer, n_warmup), falling])

    options = {"warmup": warmup, "step_size": step_size, "step_factor": 0.5}
    assert_equal(our_rates("step", 50, steps_per_epoch, **options), their_rates(make))
