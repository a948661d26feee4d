"""L-BFGS on all samples against scipy.optimize, which minimizes the loss that PyTorch computes."""

import numpy as np
import pytest
import scipy.optimize
from parity.in_torch import functional, torch
from parity.trainings import TorchTwin, small_network
from small_trainings import make_data, make_network, objective

from skcnn.layers import Dense, Flatten
from skcnn.network.losses import LogLoss, SquaredHinge
from skcnn.network.threads import worker_pool
from skcnn.training.lbfgs import HISTORY, minimize_lbfgs
from skcnn.training.state import TrainingState

N_SAMPLES, ALPHA = 24, 0.02


def log_loss(scores, codes):
    return functional.cross_entropy(scores, codes, reduction="none")


def squared_hinge(scores, codes):
    return scores.shape[1] * functional.multi_margin_loss(scores, codes, p=2, reduction="none")


LOSSES = {"log_loss": (LogLoss(), log_loss), "squared_hinge": (SquaredHinge(), squared_hinge)}

each_loss = pytest.mark.parametrize("loss", LOSSES)
each_weighting = pytest.mark.parametrize("weighted", [False, True])


def draw_data(*, weighted):
    weights = np.random.default_rng(2).uniform(0.5, 2, N_SAMPLES) if weighted else None
    return make_data(N_SAMPLES, weights=weights)


def minimize(network, data, loss, *, n_epochs, tol=1e-9):
    """Return the losses of the iterations of skcnn."""
    losses = []

    def goes_on(record):
        losses.append(record["loss"])
        return True

    goal = objective(loss=loss, alpha=ALPHA, optimizer=None, schedule=None, n_epochs=n_epochs, tol=tol)
    with worker_pool() as pool:
        minimize_lbfgs(network, data, TrainingState(seed=7), goal, pool=pool, goes_on=goes_on)
    return losses


def torch_function(network, data, torch_loss):
    """Return the function of all weights that PyTorch computes, with its gradient."""

    def value_and_gradient(vector):
        at = network.copy()
        at.vector[:] = vector
        twin = TorchTwin(at)
        losses = torch_loss(twin.scores(data.images.X), torch.tensor(data.codes))
        total = (torch.tensor(data.loss_weights) * losses).mean()
        total = total + ALPHA / 2 * sum((weight**2).sum() for weight in twin.weights)
        total.backward()
        gradient = np.empty_like(vector)
        for name, values in network.views_of(gradient).items():
            for key, value in values.items():
                value[...] = twin.parameters[name][key].grad.numpy()
        return total.item(), gradient

    return value_and_gradient


@each_loss
@each_weighting
def test_twelve_iterations_are_those_of_scipy(loss, weighted):
    """The loss of each; L-BFGS multiplies rounding errors by about ten in three iterations."""
    ours, torch_loss = LOSSES[loss]
    data, network = draw_data(weighted=weighted), small_network(normalized=not weighted)
    function, expected = torch_function(network, data, torch_loss), []
    scipy.optimize.minimize(
        function,
        network.vector.copy(),
        jac=True,
        method="L-BFGS-B",
        callback=lambda intermediate_result: expected.append(intermediate_result.fun),
        options={"maxiter": 12, "gtol": 0, "ftol": 0, "maxcor": HISTORY},
    )
    losses = minimize(network, data, ours, n_epochs=12)
    assert len(losses) == 12
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    assert losses[-1] < 0.8 * losses[0]


@each_loss
@each_weighting
@pytest.mark.parametrize("method", ["BFGS", "CG"])
def test_other_searches_of_scipy_end_at_the_same_minimum(loss, weighted, method):
    """Of a single layer, whose loss is convex and, with the penalty, has a curvature of ALPHA or more.

    So it has along each weight; along biases, which have no penalty, it has more, or none and no slope. Where
    no component of the gradient is larger than 1e-6, the loss is above its minimum by the squared length of
    the gradient over twice the curvature, at most.
    """
    ours, torch_loss = LOSSES[loss]
    data, network = draw_data(weighted=weighted), make_network(Flatten(), Dense(3))
    function = torch_function(network, data, torch_loss)
    theirs = scipy.optimize.minimize(
        function, network.vector.copy(), jac=True, method=method, options={"gtol": 1e-6, "maxiter": 2000}
    )
    losses = minimize(network, data, ours, n_epochs=500, tol=1e-6)
    assert losses[-1] == pytest.approx(theirs.fun, abs=network.n_params * 1e-6**2 / (2 * ALPHA))
