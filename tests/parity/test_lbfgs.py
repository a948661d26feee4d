"""L-BFGS on all samples against scipy.optimize, which minimizes the loss that PyTorch computes."""

import numpy as np
import pytest
import scipy.optimize
from parity.in_torch import LOSSES, torch
from parity.trainings import TorchTwin, small_network
from small_trainings import make_data, objective

from skcnn.network.losses import LogLoss, SquaredHinge
from skcnn.network.threads import worker_pool
from skcnn.training.lbfgs import HISTORY, minimize_lbfgs
from skcnn.training.state import TrainingState

ALPHA = 0.02


def torch_function(network, data, loss):
    """Return the function of all weights that PyTorch computes, with its gradient."""

    def value_and_gradient(vector):
        at = network.copy()
        at.vector[:] = vector
        twin = TorchTwin(at)
        losses = LOSSES[type(loss)](loss, twin.scores(data.images.X), torch.tensor(data.targets))
        total = (torch.tensor(data.loss_weights) * losses).mean()
        total = total + ALPHA / 2 * sum((weight**2).sum() for weight in twin.weights)
        total.backward()
        return total.item(), twin.vector(lambda parameter: parameter.grad)

    return value_and_gradient


@pytest.mark.parametrize(("loss", "weighted"), [(LogLoss(), False), (SquaredHinge(), True)])
def test_twelve_iterations_are_those_of_scipy(loss, weighted):
    """The loss of each; L-BFGS multiplies rounding errors by about ten in three iterations."""
    weights = np.random.default_rng(2).uniform(0.5, 2, 24) if weighted else None
    data, network = make_data(24, weights=weights), small_network(normalized=not weighted)
    theirs, ours = [], []
    scipy.optimize.minimize(
        torch_function(network, data, loss),
        network.vector.copy(),
        jac=True,
        method="L-BFGS-B",
        callback=lambda intermediate_result: theirs.append(intermediate_result.fun),
        options={"maxiter": 12, "gtol": 0, "ftol": 0, "maxcor": HISTORY},
    )

    def goes_on(record):
        ours.append(record["loss"])
        return True

    goal = objective(loss=loss, alpha=ALPHA, optimizer=None, schedule=None, n_epochs=12, tol=1e-9)
    with worker_pool() as pool:
        minimize_lbfgs(network, data, TrainingState(seed=7), goal, pool=pool, goes_on=goes_on)
    assert len(ours) == 12
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert ours[-1] < 0.8 * ours[0]
