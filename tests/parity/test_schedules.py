"""The schedules against those of PyTorch, over drawn numbers of epochs and steps."""

import numpy as np
from parity.drawing import hypothesis, sizes, st
from parity.in_torch import torch

from skcnn.training.schedules import SCHEDULES, Position

lr_scheduler = torch.optim.lr_scheduler

INITIAL = 0.3


def our_rates(name, n_epochs, steps_per_epoch, **options):
    schedule = SCHEDULES[name](INITIAL, n_epochs=n_epochs, **options)
    return [schedule.rate(Position(step, steps_per_epoch)) for step in range(n_epochs * steps_per_epoch)]


def their_rates(make, n_steps):
    """Return the rates of a scheduler that is made of an optimizer and takes a step after each of it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=INITIAL)
    scheduler, rates = make(optimizer), []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def rising(optimizer, n_warmup):
    """Return a warm-up of some steps; PyTorch counts the intervals between them."""
    return lr_scheduler.LinearLR(optimizer, start_factor=1 / n_warmup, total_iters=n_warmup - 1)


def assert_equal(ours, make):
    """Hold rates against PyTorch's; one that has fallen to zero but for rounding errors is zero."""
    np.testing.assert_allclose(ours, their_rates(make, len(ours)), rtol=1e-10, atol=1e-15)


@hypothesis.given(n_epochs=sizes(20), steps_per_epoch=sizes(20))
def test_one_cycle_is_one_cycle_lr(n_epochs, steps_per_epoch):
    """PyTorch refuses steps beyond the last, so its cycle is one step longer than is used."""
    n_steps = n_epochs * steps_per_epoch
    hypothesis.assume(0.3 * n_steps != 1 < n_steps)  # there PyTorch divides by zero

    def make(optimizer):
        options = {"total_steps": n_steps, "pct_start": 0.3, "cycle_momentum": False}
        scheduler = lr_scheduler.OneCycleLR(optimizer, INITIAL, **options)
        scheduler.total_steps = n_steps + 1
        return scheduler

    assert_equal(our_rates("one_cycle", n_epochs, steps_per_epoch), make)


@st.composite
def warmups(draw):
    """Draw epochs, steps of an epoch, and steps of a warm-up that ends before them."""
    n_epochs, steps_per_epoch = draw(sizes(20)), draw(sizes(20))
    return n_epochs, steps_per_epoch, draw(sizes(n_epochs * steps_per_epoch - 1, 0))


@hypothesis.given(warmups())
def test_cosine_is_cosine_annealing_lr_over_the_steps_that_a_warm_up_leaves(drawn):
    n_epochs, steps_per_epoch, n_warmup = drawn

    def make(optimizer):
        falling = lr_scheduler.CosineAnnealingLR(optimizer, n_epochs * steps_per_epoch - n_warmup)
        if n_warmup == 0:
            return falling
        return lr_scheduler.SequentialLR(optimizer, [rising(optimizer, n_warmup), falling], [n_warmup])

    assert_equal(our_rates("cosine", n_epochs, steps_per_epoch, warmup=n_warmup / steps_per_epoch), make)


@hypothesis.given(warmups(), sizes(12), st.floats(0.05, 1))
def test_step_is_step_lr_together_with_a_warm_up(drawn, step_size, step_factor):
    """Both count from the first step, and the rate has risen before it falls."""
    n_epochs, steps_per_epoch, n_warmup = drawn
    warmup = n_warmup / steps_per_epoch
    hypothesis.assume(warmup <= step_size)

    def make(optimizer):
        falling = lr_scheduler.StepLR(optimizer, step_size * steps_per_epoch, gamma=step_factor)
        return lr_scheduler.ChainedScheduler([rising(optimizer, n_warmup), falling]) if n_warmup else falling

    options = {"warmup": warmup, "step_size": step_size, "step_factor": step_factor}
    assert_equal(our_rates("step", n_epochs, steps_per_epoch, **options), make)
