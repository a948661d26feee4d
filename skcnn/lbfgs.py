"""Training on all samples at once by L-BFGS, for small data."""

import time
from collections.abc import Callable

import numpy as np

from skcnn.execution import Executor
from skcnn.network import Network
from skcnn.random_streams import RandomStreams
from skcnn.training import (
    DivergenceError,
    Objective,
    TrainingData,
    TrainingState,
    add_penalty,
    make_batch,
    resume,
    uninterrupted,
)

HISTORY = 20
"""Steps that the curvature is estimated from. With the usual ten, rounding errors grow faster: what separates
weights from repetitions was a thousand times larger after twenty iterations."""


def minimize_lbfgs(
    network: Network,
    data: TrainingData,
    state: TrainingState,
    objective: Objective,
    *,
    tol: float,
    pool,
    goes_on: Callable[[dict], bool],
) -> None:
    """Train a network by L-BFGS until it has converged or enough is enough.

    The samples are one minibatch, so batch statistics are those of all samples. After each iteration the
    network holds the iterate with its exact statistics.

    Parameters
    ----------
    network : Network
        Updated in place.
    data : TrainingData
    state : TrainingState
        Updated in place; an iteration counts as an epoch and as a step.
    objective : Objective
    tol : float
        The search has converged when no component of the gradient is larger.
    pool : WorkerPool
    goes_on : callable
        Called with the record of each iteration, ``epoch``, ``loss`` and ``seconds``; false ends the search.

    Raises
    ------
    ValueError
        If a layer draws random numbers, so that the loss is not a function of the weights.
    DivergenceError
        If the loss at the start is not finite.

    References
    ----------
    Liu and Nocedal (1989), "On the limited memory BFGS method for large scale optimization", Mathematical
    programming.
    """
    from scipy.optimize import minimize

    for step in network.steps[1:]:
        if step.layer.is_random:
            raise ValueError(
                f"solver='lbfgs' needs the same loss for the same weights, but layer {step.name!r}, "
                f"{step.layer!r}, is random in training: leave it out or choose another solver"
            )
    resume(network, state)
    batch = make_batch(data, np.arange(len(data.images)), network, objective, number=0)
    executor = Executor(network, pool, training=True, streams=RandomStreams(state.seed))
    blank = {where: np.zeros_like(value) for where, value in network.state().items()}
    accepted, start_time, last_loss = network.snapshot(), time.perf_counter(), None
    evaluated_start = None

    def loss_and_gradient(weights):
        nonlocal last_loss, evaluated_start
        np.copyto(network.vector, weights, casting="same_kind")
        network.set_state(blank)  # running statistics that start at zero become those of the samples
        with uninterrupted():
            loss = executor.gradients(batch, objective.loss)
            gradient = executor.reduce()
            loss += add_penalty(network, gradient, objective.alpha)
        network.set_state(executor.state)
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            if last_loss is None:
                raise DivergenceError(f"the loss at the start is {loss}, or its gradient is not finite")
            # much worse, for the line search to turn back, but not so much that its next step is nil
            return last_loss + 10 * (1 + abs(last_loss)), np.zeros_like(weights)
        last_loss = loss
        evaluated_start = evaluated_start or network.snapshot()
        return loss, gradient.astype(np.float64)

    def end_iteration(intermediate_result):
        nonlocal accepted, start_time
        accepted = network.snapshot()
        state.change_solver("lbfgs")
        state.forget_average()
        state.epoch += 1
        state.step += 1
        state.n_samples_seen += batch.n_rows
        seconds = time.perf_counter() - start_time
        start_time = time.perf_counter()
        if not goes_on({"epoch": state.epoch, "loss": float(intermediate_result.fun), "seconds": seconds}):
            raise StopIteration

    start, first_epoch = network.vector.astype(np.float64), state.epoch
    options = {"maxiter": objective.n_epochs, "gtol": tol, "ftol": 0, "maxcor": HISTORY}
    try:
        minimize(
            loss_and_gradient, start, jac=True, method="L-BFGS-B", callback=end_iteration, options=options
        )
        if state.epoch == first_epoch:  # the start was good enough: what it lacked are running statistics
            accepted = evaluated_start
    finally:
        network.restore(accepted)
