"""Every optimizer against PyTorch, over fifty steps on problems and with hyperparameters that are drawn."""

from functools import partial

import numpy as np
import pytest
from parity.drawing import SEEDS, hypothesis, one_of, sizes, st
from parity.in_torch import torch
from parity.trainings import N_STEPS, assert_same_training

from skcnn.training.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, NAdam, RMSProp


def powers(lowest, highest):
    """Draw a power of ten with an exponent between two numbers."""
    return st.floats(lowest, highest).map(lambda exponent: 10**exponent)


MOMENTA = one_of(st.just(0.0), st.floats(0.1, 0.95))
DECAY_RATES = powers(-4, -0.5).map(lambda rate: 1 - rate)
EPSILONS = powers(-10, -1)


def sgd(momentum, nesterovs_momentum):
    return SGD(momentum, nesterovs_momentum=nesterovs_momentum and momentum > 0)


def adam(torch_class, **options):
    """Return a function that makes one of PyTorch of one of ours, of parameters and of a learning rate."""
    return lambda ours, parameters, rate: torch_class(
        parameters, rate, betas=(ours.beta_1, ours.beta_2), eps=ours.epsilon, **options
    )


IN_TORCH = {
    SGD: lambda ours, parameters, rate: torch.optim.SGD(
        parameters, rate, momentum=ours.momentum, nesterov=ours.nesterovs_momentum
    ),
    Adam: adam(torch.optim.Adam),
    AdamW: adam(torch.optim.AdamW, weight_decay=0.0),
    NAdam: adam(torch.optim.NAdam),
    RMSProp: lambda ours, parameters, rate: torch.optim.RMSprop(
        parameters, rate, alpha=ours.beta_2, eps=ours.epsilon
    ),
    Adagrad: lambda ours, parameters, rate: torch.optim.Adagrad(parameters, rate, eps=ours.epsilon),
}

DRAWS = {
    SGD: st.builds(sgd, MOMENTA, st.booleans()),
    **{each: st.builds(each, MOMENTA, DECAY_RATES, EPSILONS) for each in (Adam, AdamW, NAdam)},
    RMSProp: st.builds(RMSProp, DECAY_RATES, EPSILONS),
    Adagrad: st.builds(Adagrad, EPSILONS),
}

each_optimizer = pytest.mark.parametrize("optimizer_class", DRAWS, ids=lambda cls: cls.__name__)


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    """PyTorch keeps the product of momenta of NAdam in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Problem:
    """A sum of quadratics and cosines that are coupled, and a force that changes from step to step."""

    def __init__(self, seed, n, rate):
        rng = np.random.default_rng(seed)
        self.start = rng.normal(0, 2, n)
        self.curvature = rng.uniform(0.1, 4, n) * 10 ** rng.uniform(-2, 0)
        self.phase = rng.uniform(0, 6, n)
        self.rate = rate
        self.rates = rate * rng.uniform(0.2, 1, N_STEPS)

    def gradient(self, weights, step):
        coupling = 0.3 * (np.sin(weights - np.roll(weights, 1)) + np.sin(weights - np.roll(weights, -1)))
        return self.curvature * weights + coupling + np.sin(self.phase + step)


def test_every_optimizer_is_held_against_pytorch():
    assert set(DRAWS) == set(IN_TORCH) == set(OPTIMIZERS.values())


@each_optimizer
@hypothesis.given(data=st.data(), seed=SEEDS, n=sizes(30), rate=powers(-4, -1.5))
def test_fifty_steps_are_those_of_pytorch(optimizer_class, data, seed, n, rate):
    """Every step; with changing rates, but for SGD, whose velocity has the rates in it here."""
    ours, problem = data.draw(DRAWS[optimizer_class]), Problem(seed, n, rate)
    weights = problem.start.copy()
    slots = {name: np.zeros_like(weights) for name in ours.slot_names}
    parameter = torch.tensor(problem.start, requires_grad=True)
    theirs = IN_TORCH[optimizer_class](ours, [parameter], problem.rate)
    for step in range(1, N_STEPS + 1):
        rate = problem.rate if optimizer_class is SGD else float(problem.rates[step - 1])
        theirs.param_groups[0]["lr"] = rate
        parameter.grad = torch.tensor(problem.gradient(parameter.detach().numpy(), step))
        theirs.step()
        gradient = problem.gradient(weights, step)
        ours.update(weights, gradient, slots, step=step, learning_rate=rate)
        np.testing.assert_allclose(weights, parameter.detach().numpy(), rtol=0, atol=1e-10, err_msg=f"{step}")


TRAININGS = [
    (SGD(0.9, True), 0.05),
    (Adam(), 0.02),
    (AdamW(), 0.02),
    (NAdam(), 0.02),
    (RMSProp(beta_2=0.99), 0.01),
    (Adagrad(), 0.05),
]
"""Optimizers and learning rates at which fifty steps get somewhere."""


@pytest.mark.parametrize(("optimizer", "rate"), TRAININGS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_a_training_of_fifty_steps_is_that_of_pytorch(optimizer, rate, alpha):
    """The loss of each step and the weights at the end; biases, scales and shifts do not decay."""
    make = partial(IN_TORCH[type(optimizer)], optimizer)
    losses = assert_same_training(optimizer, make, alpha=alpha, rate=rate)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
