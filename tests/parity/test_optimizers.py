"""Every optimizer against PyTorch, over fifty steps on problems and with hyperparameters that are drawn."""

from typing import NamedTuple

import numpy as np
import pytest
from parity.drawing import SEEDS, hypothesis, one_of, sizes, st
from parity.in_torch import torch
from parity.trainings import N_STEPS, functional, train_both

from skcnn.network.losses import LogLoss
from skcnn.training.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, NAdam, RMSProp


def powers(lowest, highest):
    """Draw a power of ten with an exponent between two numbers."""
    return st.floats(lowest, highest).map(lambda exponent: 10**exponent)


MOMENTA = one_of(st.just(0.0), st.floats(0.1, 0.95))
DECAY_RATES = powers(-4, -0.5).map(lambda rate: 1 - rate)
EPSILONS = powers(-10, -1)


def sgd(momentum, nesterovs_momentum):
    return SGD(momentum, nesterovs_momentum=nesterovs_momentum and momentum > 0)


def betas(optimizer):
    return {"betas": (optimizer.beta_1, optimizer.beta_2), "eps": optimizer.epsilon}


class Row(NamedTuple):
    """How an optimizer is drawn, and how PyTorch's is made of its parameters and a learning rate."""

    draw: object
    torch: object


ROWS = {
    SGD: Row(
        st.builds(sgd, MOMENTA, st.booleans()),
        lambda ours, parameters, rate: torch.optim.SGD(
            parameters, rate, momentum=ours.momentum, nesterov=ours.nesterovs_momentum
        ),
    ),
    Adam: Row(
        st.builds(Adam, MOMENTA, DECAY_RATES, EPSILONS),
        lambda ours, parameters, rate: torch.optim.Adam(parameters, rate, **betas(ours)),
    ),
    AdamW: Row(
        st.builds(AdamW, MOMENTA, DECAY_RATES, EPSILONS),
        lambda ours, parameters, rate: torch.optim.AdamW(parameters, rate, weight_decay=0.0, **betas(ours)),
    ),
    NAdam: Row(
        st.builds(NAdam, MOMENTA, DECAY_RATES, EPSILONS),
        lambda ours, parameters, rate: torch.optim.NAdam(parameters, rate, **betas(ours)),
    ),
    RMSProp: Row(
        st.builds(RMSProp, DECAY_RATES, EPSILONS),
        lambda ours, parameters, rate: torch.optim.RMSprop(
            parameters, rate, alpha=ours.beta_2, eps=ours.epsilon
        ),
    ),
    Adagrad: Row(
        st.builds(Adagrad, EPSILONS),
        lambda ours, parameters, rate: torch.optim.Adagrad(parameters, rate, eps=ours.epsilon),
    ),
}

each_optimizer = pytest.mark.parametrize("optimizer_class", ROWS, ids=lambda cls: cls.__name__)


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
    assert set(ROWS) == set(OPTIMIZERS.values())


@each_optimizer
@hypothesis.given(data=st.data(), seed=SEEDS, n=sizes(30), rate=powers(-4, -1.5))
def test_fifty_steps_are_those_of_pytorch(optimizer_class, data, seed, n, rate):
    """Every step; with changing rates, but for SGD, whose velocity has the rates in it here."""
    row, problem = ROWS[optimizer_class], Problem(seed, n, rate)
    ours = data.draw(row.draw)
    weights = problem.start.copy()
    slots = {name: np.zeros_like(weights) for name in ours.slot_names}
    parameter = torch.tensor(problem.start, requires_grad=True)
    theirs = row.torch(ours, [parameter], problem.rate)
    for step in range(1, N_STEPS + 1):
        rate = problem.rate if optimizer_class is SGD else float(problem.rates[step - 1])
        theirs.param_groups[0]["lr"] = rate
        parameter.grad = torch.tensor(problem.gradient(parameter.detach().numpy(), step))
        theirs.step()
        gradient = problem.gradient(weights, step)
        ours.update(weights, gradient, slots, step=step, learning_rate=rate)
        np.testing.assert_allclose(weights, parameter.detach().numpy(), rtol=0, atol=1e-10, err_msg=f"{step}")


def log_loss(scores, codes):
    return functional.cross_entropy(scores, codes, reduction="none")


TRAININGS = [
    (SGD(0.9, True), 0.05),
    (Adam(), 0.02),
    (AdamW(), 0.02),
    (NAdam(), 0.02),
    (RMSProp(beta_2=0.99), 0.01),
    (Adagrad(), 0.05),
]
"""Optimizers and learning rates at which fifty steps get somewhere."""


@pytest.mark.parametrize(
    ("optimizer", "rate"), TRAININGS, ids=[type(optimizer).__name__ for optimizer, _ in TRAININGS]
)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_a_training_of_fifty_steps_is_that_of_pytorch(optimizer, rate, alpha):
    """The loss of each step and the weights at the end; biases, scales and shifts do not decay."""
    network, twin, losses, torch_losses = train_both(
        LogLoss(),
        log_loss,
        optimizer,
        lambda groups, rate: ROWS[type(optimizer)].torch(optimizer, groups, rate),
        alpha=alpha,
        rate=rate,
    )
    np.testing.assert_allclose(losses, torch_losses, rtol=0, atol=1e-9)
    np.testing.assert_allclose(network.vector, twin.vector(), rtol=0, atol=1e-9)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
