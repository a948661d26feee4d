"""Tests of the optimizers against PyTorch and scikit-learn.

The constants were computed by PyTorch 2.13.0 with this program::

    import torch

    def run(make):
        weights = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
        curvature = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
        phase = torch.arange(4, dtype=torch.float64)
        optimizer = make([weights])
        for step in range(1, 51):
            optimizer.zero_grad()
            (curvature * weights**2 / 2 + torch.sin(phase + step) * weights).sum().backward()
            optimizer.step()
        print(weights.tolist())

    run(lambda weights: torch.optim.SGD(weights, lr=0.02))
    run(lambda weights: torch.optim.SGD(weights, lr=0.02, momentum=0.9))
    run(lambda weights: torch.optim.SGD(weights, lr=0.02, momentum=0.9, nesterov=True))
    run(lambda weights: torch.optim.Adam(weights, lr=0.02))
    run(lambda weights: torch.optim.Adam(weights, lr=0.02, betas=(0.8, 0.95), eps=0.1))
"""

import tracemalloc

import numpy as np
import pytest
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from skcnn.optimizers import SGD, Adam

START = np.array([1.0, -2.0, 0.5, 3.0])
CURVATURE = np.array([0.5, 1.0, 2.0, 4.0])

PYTORCH = [
    (
        SGD(momentum=0.0, nesterov=False),
        [0.6142754722210967, -0.7221581755767466, 0.053497076050887396, 0.025347708987838467],
    ),
    (
        SGD(momentum=0.9, nesterov=False),
        [-0.026725945693975784, -0.1266941531262415, -0.03013558433471105, -0.044137696953863596],
    ),
    (
        SGD(momentum=0.9, nesterov=True),
        [-0.0024681985668370474, -0.0629313012011825, -0.022414510052698924, -0.04080549421385276],
    ),
    (Adam(), [0.5075150664755046, -1.128261184668228, 0.003146645442055134, 2.044648188176442]),
    (
        Adam(beta_1=0.8, beta_2=0.95, epsilon=0.1),
        [0.5659949401727228, -1.1698085461290575, 0.04851807629836828, 2.0503136256068295],
    ),
]
"""Optimizers and the weights after 50 steps of learning rate 0.02, by PyTorch."""

ALL = [SGD(0.0, False), SGD(0.9, False), SGD(0.9, True), Adam()]


def name_of(optimizer):
    values = "-".join(str(value) for value in vars(optimizer).values())
    return f"{type(optimizer).__name__}-{values}"


def fresh_slots(optimizer, weights):
    return {name: np.zeros_like(weights) for name in optimizer.slot_names}


def gradient_at(weights, step):
    """Return the gradient that the program of the module's docstring has at a step."""
    return CURVATURE * weights + np.sin(np.arange(4) + step)


@pytest.mark.parametrize(("optimizer", "expected"), PYTORCH, ids=[name_of(entry[0]) for entry in PYTORCH])
def test_fifty_steps_end_where_those_of_pytorch_end(optimizer, expected):
    weights = START.copy()
    slots = fresh_slots(optimizer, weights)
    for step in range(1, 51):
        optimizer.update(weights, gradient_at(weights, step), slots, step=step, learning_rate=0.02)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_equals_that_of_scikit_learn_with_a_changing_rate(nesterov, momentum):
    ours, theirs = START.copy(), START.copy()
    optimizer = SGD(momentum, nesterov)
    reference = SGDOptimizer([theirs], 0.02, momentum=momentum, nesterov=nesterov)
    slots = fresh_slots(optimizer, ours)
    for step in range(1, 51):
        rate = 0.02 / step**0.5
        reference.learning_rate = rate
        reference.update_params([theirs], [gradient_at(theirs, step)])
        optimizer.update(ours, gradient_at(ours, step), slots, step=step, learning_rate=rate)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


def test_adam_equals_that_of_scikit_learn_where_epsilon_is_zero():
    """With an epsilon the two differ, since scikit-learn adds it before the correction of the bias."""
    ours, theirs = START.copy(), START.copy()
    optimizer = Adam(epsilon=0.0)
    reference = AdamOptimizer([theirs], 0.02, epsilon=0.0)
    slots = fresh_slots(optimizer, ours)
    for step in range(1, 51):
        reference.update_params([theirs], [gradient_at(theirs, step)])
        optimizer.update(ours, gradient_at(ours, step), slots, step=step, learning_rate=0.02)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)


def test_the_first_step_of_adam_is_the_learning_rate_against_the_sign():
    weights, optimizer = np.zeros(3), Adam(epsilon=0.0)
    gradient = np.array([1e-6, -3.0, 1e6])
    optimizer.update(weights, gradient, fresh_slots(optimizer, weights), step=1, learning_rate=0.1)
    np.testing.assert_allclose(weights, [-0.1, 0.1, -0.1], rtol=1e-14)


@pytest.mark.parametrize("optimizer", ALL, ids=name_of)
def test_float32_stays_float32_and_close_to_float64(optimizer):
    """Fifty steps of rounding, each of a few units of the largest weight."""
    results = {}
    for dtype in (np.float32, np.float64):
        weights = START.astype(dtype)
        slots = fresh_slots(optimizer, weights)
        for step in range(1, 51):
            gradient = gradient_at(weights, step).astype(dtype)
            optimizer.update(weights, gradient, slots, step=step, learning_rate=0.02)
        assert weights.dtype == dtype
        assert all(slot.dtype == dtype for slot in slots.values())
        results[dtype] = weights
    np.testing.assert_allclose(results[np.float32], results[np.float64], rtol=0, atol=50 * 3 * 2 * 2**-24)


@pytest.mark.parametrize("optimizer", ALL, ids=name_of)
def test_updates_are_in_place_and_allocate_no_arrays(optimizer):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(100_000)
    gradient = rng.standard_normal(100_000)
    slots = fresh_slots(optimizer, weights)
    arrays = dict(slots)
    before = weights.copy()
    tracemalloc.start()
    optimizer.update(weights, gradient, slots, step=1, learning_rate=0.1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < weights.nbytes / 20
    assert (weights != before).all()
    assert all(slots[name] is array and array.all() for name, array in arrays.items())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", ALL, ids=name_of)
def test_the_result_does_not_depend_on_the_cuts_of_the_vector(optimizer, dtype):
    """Blocks of odd sizes at odd addresses give the same bits as the whole vector."""
    rng = np.random.default_rng(0)
    start = rng.standard_normal(1003).astype(dtype)
    gradients = [rng.standard_normal(1003).astype(dtype) for _ in range(5)]
    results = []
    for cuts in ([0, 1003], [0, 1, 4, 333, 334, 900, 1003]):
        weights = start.copy()
        slots = fresh_slots(optimizer, weights)
        for step, gradient in enumerate(gradients, start=1):
            gradient = gradient.copy()
            for begin, end in zip(cuts, cuts[1:], strict=False):
                part = {name: slot[begin:end] for name, slot in slots.items()}
                optimizer.update(weights[begin:end], gradient[begin:end], part, step=step, learning_rate=0.01)
        results.append([weights, *slots.values()])
    for whole, cut in zip(*results, strict=True):
        np.testing.assert_array_equal(whole, cut)


@pytest.mark.parametrize("optimizer", ALL, ids=name_of)
def test_an_optimizer_keeps_nothing_between_updates(optimizer):
    """All that changes stands in the slots, so one optimizer may serve several networks."""
    before = dict(vars(optimizer))
    weights = START.copy()
    optimizer.update(weights, START.copy(), fresh_slots(optimizer, weights), step=1, learning_rate=0.1)
    assert vars(optimizer) == before


def test_no_gradient_no_step():
    for optimizer in ALL:
        weights = START.copy()
        optimizer.update(weights, np.zeros(4), fresh_slots(optimizer, weights), step=1, learning_rate=0.1)
        np.testing.assert_array_equal(weights, START)
