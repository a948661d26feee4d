"""Every optimizer against PyTorch, over fifty steps on drawn problems and with drawn hyperparameters."""

from typing import NamedTuple

import numpy as np
import pytest
from parity.in_torch import torch
from parity.trainings import N_STEPS, functional, train_both

from skcnn.losses import LogLoss
from skcnn.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, NAdam, RMSProp

N_PROBLEMS = 25


def draw_sgd(rng):
    momentum = float(rng.choice([0.0, rng.uniform(0.1, 0.95)]))
    return SGD(momentum, nesterovs_momentum=bool(rng.integers(2)) and momentum > 0)


def draw_epsilon(rng):
    return float(10 ** rng.uniform(-10, -1))


def draw_adam(optimizer):
    def draw(rng):
        beta_1 = float(rng.choice([0.0, rng.uniform(0.1, 0.95)]))
        return optimizer(beta_1, 1 - float(10 ** rng.uniform(-4, -0.5)), draw_epsilon(rng))

    return draw


def betas(optimizer):
    return {"betas": (optimizer.beta_1, optimizer.beta_2), "eps": optimizer.epsilon}


class Row(NamedTuple):
    """How an optimizer is drawn, and how PyTorch's is made of its parameters and a learning rate."""

    draw: object
    torch: object


ROWS = {
    SGD: Row(
        draw_sgd,
        lambda ours, parameters, rate: torch.optim.SGD(
            parameters, rate, momentum=ours.momentum, nesterov=ours.nesterovs_momentum
        ),
    ),
    Adam: Row(
        draw_adam(Adam), lambda ours, parameters, rate: torch.optim.Adam(parameters, rate, **betas(ours))
    ),
    AdamW: Row(
        draw_adam(AdamW),
        lambda ours, parameters, rate: torch.optim.AdamW(parameters, rate, weight_decay=0.0, **betas(ours)),
    ),
    NAdam: Row(
        draw_adam(NAdam), lambda ours, parameters, rate: torch.optim.NAdam(parameters, rate, **betas(ours))
    ),
    RMSProp: Row(
        lambda rng: RMSProp(1 - float(10 ** rng.uniform(-4, -0.5)), draw_epsilon(rng)),
        lambda ours, parameters, rate: torch.optim.RMSprop(
            parameters, rate, alpha=ours.beta_2, eps=ours.epsilon
        ),
    ),
    Adagrad: Row(
        lambda rng: Adagrad(draw_epsilon(rng)),
        lambda ours, parameters, rate: torch.optim.Adagrad(parameters, rate, eps=ours.epsilon),
    ),
}

each_optimizer = pytest.mark.parametrize("optimizer_class", ROWS, ids=lambda cls: cls.__name__)


@pytest.fixture(autouse=True)
def double_precision():
    """PyTorch keeps the product of momenta of NAdam in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Problem:
    """A sum of quadratics and cosines that are coupled, and a force that changes from step to step."""

    def __init__(self, rng):
        self.n = int(rng.integers(1, 30))
        self.start = rng.normal(0, 2, self.n)
        self.curvature = rng.uniform(0.1, 4, self.n) * 10 ** rng.uniform(-2, 0)
        self.phase = rng.uniform(0, 6, self.n)
        self.rate = float(10 ** rng.uniform(-4, -1.5))
        self.rates = self.rate * rng.uniform(0.2, 1, N_STEPS)

    def gradient(self, weights, step):
        coupling = 0.3 * (np.sin(weights - np.roll(weights, 1)) + np.sin(weights - np.roll(weights, -1)))
        return self.curvature * weights + coupling + np.sin(self.phase + step)


def test_every_optimizer_is_held_against_pytorch():
    assert set(ROWS) == set(OPTIMIZERS.values())


@each_optimizer
def test_fifty_steps_are_those_of_pytorch(optimizer_class):
    """Every step; with changing rates, but for SGD, whose velocity has the rates in it here."""
    for seed in range(N_PROBLEMS):
        rng = np.random.default_rng(seed)
        row, problem = ROWS[optimizer_class], Problem(rng)
        ours = row.draw(rng)
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
            np.testing.assert_allclose(
                weights, parameter.detach().numpy(), rtol=0, atol=1e-10, err_msg=f"{seed} {vars(ours)}"
            )


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
