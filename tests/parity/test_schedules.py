"""The schedules against those of PyTorch, over drawn numbers of epochs and steps."""

import math

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


STEPS = {"step_size": sizes(12), "step_factor": st.floats(0.05, 1)}


@hypothesis.given(n_epochs=sizes(20), steps_per_epoch=sizes(20), **STEPS)
def test_step_is_step_lr(n_epochs, steps_per_epoch, step_size, step_factor):
    ours = our_rates("step", n_epochs, steps_per_epoch, step_size=step_size, step_factor=step_factor)
    n_steps = step_size * steps_per_epoch
    assert_equal(ours, lambda optimizer: lr_scheduler.StepLR(optimizer, n_steps, gamma=step_factor))


@hypothesis.given(n_epochs=sizes(20), steps_per_epoch=sizes(20))
def test_cosine_is_cosine_annealing_lr(n_epochs, steps_per_epoch):
    n_steps = n_epochs * steps_per_epoch
    ours = our_rates("cosine", n_epochs, steps_per_epoch)
    assert_equal(ours, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, n_steps))


@hypothesis.given(n_epochs=sizes(20), steps_per_epoch=sizes(20))
def test_one_cycle_is_one_cycle_lr(n_epochs, steps_per_epoch):
    """PyTorch refuses steps beyond the last, so its cycle is one step longer than is used."""
    n_steps = n_epochs * steps_per_epoch
    hypothesis.assume(0.3 * n_steps != 1 < n_steps)  # there PyTorch divides by zero

    def make(optimizer):
        scheduler = lr_scheduler.OneCycleLR(
            optimizer,
            INITIAL,
            total_steps=n_steps,
            pct_start=0.3,
            anneal_strategy="cos",
            cycle_momentum=False,
        )
        scheduler.total_steps = n_steps + 1
        return scheduler

    assert_equal(our_rates("one_cycle", n_epochs, steps_per_epoch), make)


@st.composite
def warmups(draw):
    """Draw epochs, steps of an epoch, and a warm-up of at least one step that ends before them."""
    n_epochs, steps_per_epoch = draw(sizes(20)), draw(sizes(20))
    n_steps = n_epochs * steps_per_epoch
    hypothesis.assume(n_steps > 1)
    return n_epochs, steps_per_epoch, draw(sizes(n_steps - 1)) / steps_per_epoch


@hypothesis.given(warmups())
def test_a_warm_up_before_a_constant_rate_is_linear_lr(drawn):
    n_epochs, steps_per_epoch, warmup = drawn
    n_warmup = round(warmup * steps_per_epoch)
    ours = our_rates("constant", n_epochs, steps_per_epoch, warmup=warmup)
    assert_equal(ours, lambda optimizer: rising(optimizer, n_warmup))


@hypothesis.given(warmups())
def test_a_warm_up_before_a_cosine_is_linear_lr_and_then_cosine_annealing_lr(drawn):
    """The cosine falls over the steps that are left."""
    n_epochs, steps_per_epoch, warmup = drawn
    n_warmup = round(warmup * steps_per_epoch)
    n_steps = n_epochs * steps_per_epoch - n_warmup

    def make(optimizer):
        parts = [rising(optimizer, n_warmup), lr_scheduler.CosineAnnealingLR(optimizer, n_steps)]
        return lr_scheduler.SequentialLR(optimizer, parts, milestones=[n_warmup])

    assert_equal(our_rates("cosine", n_epochs, steps_per_epoch, warmup=warmup), make)


@hypothesis.given(warmups(), st.integers(0, 5), st.floats(0.05, 1))
def test_a_warm_up_before_step_is_linear_lr_together_with_step_lr(drawn, more, step_factor):
    """Both count from the first step, and the rate has risen before it falls."""
    n_epochs, steps_per_epoch, warmup = drawn
    n_warmup, step_size = round(warmup * steps_per_epoch), math.ceil(warmup) + more

    def make(optimizer):
        falling = lr_scheduler.StepLR(optimizer, step_size * steps_per_epoch, gamma=step_factor)
        return lr_scheduler.ChainedScheduler([rising(optimizer, n_warmup), falling])

    options = {"warmup": warmup, "step_size": step_size, "step_factor": step_factor}
    assert_equal(our_rates("step", n_epochs, steps_per_epoch, **options), make)
