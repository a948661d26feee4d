"""Training on all samples at once by L-BFGS, for small data."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skcnn.data.samples import TrainingData
from skcnn.network.executor import Executor
from skcnn.network.network import Network
from skcnn.training.loop import (
    DivergenceError,
    add_penalty,
    has_finite_parameters,
    hold_interrupts,
    make_batch,
    resume,
)
from skcnn.training.state import Objective, TrainingState
from skcnn.user_warnings import warn_user

HISTORY = 20
"""Number of steps from which the curvature is estimated. With the usual ten, rounding errors grow faster:
after twenty iterations, sample weights and repeated samples differed a thousand times more."""

INTENDED = (1, 99)
"""Status codes of scipy for a search that reached ``maxiter``, and for one that the callback ended."""


def minimize_lbfgs(
    network: Network,
    data: TrainingData,
    state: TrainingState,
    objective: Objective,
    *,
    pool,
    goes_on: Callable[[dict], bool],
) -> None:
    """Train a network by L-BFGS until it converges or ``goes_on`` returns False.

    All samples are one minibatch, so batch statistics are those of all samples. After each iteration the
    network holds the iterate with its exact statistics.

    Parameters
    ----------
    network : Network
        Updated in place.
    data : TrainingData
    state : TrainingState
        Updated in place; an iteration counts as an epoch and as a step.
    objective : Objective
    pool : WorkerPool
    goes_on : callable
        Called with a record of each iteration, like the record of an epoch in
        :func:`skcnn.training.loop.train_epochs`. If it returns False, the search ends.

    Raises
    ------
    ValueError
        If a layer draws random numbers; the loss is then no function of the weights.
    DivergenceError
        If the loss at the start or the weights after an iteration are not finite.

    References
    ----------
    Liu and Nocedal (1989), "On the limited memory BFGS method for large scale optimization", Mathematical
    programming.
    """
    from scipy.optimize import minimize

    for node in network.nodes[1:]:
        if node.layer.is_random:
            raise ValueError(
                f"solver='lbfgs' needs the same loss for the same weights, but layer {node.name!r}, "
                f"{node.layer!r}, is random in training: leave it out or choose another solver"
            )
    resume(network, state)
    search = FullBatch(network, data, state, objective, pool=pool, goes_on=goes_on)
    start = network.vector.astype(np.float64)
    options = {
        "maxiter": objective.n_epochs,
        "maxfun": math.inf,
        "gtol": objective.tol,
        "ftol": 0,
        "maxcor": HISTORY,
    }
    try:
        result = minimize(
            search,
            start,
            jac=True,
            method="L-BFGS-B",
            callback=lambda intermediate_result: search.end_iteration(float(intermediate_result.fun)),
            options=options,
        )
        if search.n_iterations == 0:
            search.keep_start()
        largest = np.abs(result.jac).max(initial=0)
        if result.status not in INTENDED and largest > objective.tol:
            warn_user(
                f"L-BFGS ended after {search.n_iterations} iterations because it found no smaller loss, "
                f"although a component of the gradient is {largest:.1e}, larger than tol={objective.tol}: "
                f"rounding errors of {network.dtype} may be as large, or the loss has a kink there",
                ConvergenceWarning,
            )
    finally:
        network.restore(search.accepted)


class FullBatch:
    """The loss of all samples as a function of the weights, and the progress of the search for its minimum.

    Parameters
    ----------
    network, data, state, objective, pool, goes_on
        As for :func:`minimize_lbfgs`.

    Attributes
    ----------
    accepted : object
        Snapshot of the network at the last iterate.
    n_iterations : int
    """

    def __init__(
        self,
        network: Network,
        data: TrainingData,
        state: TrainingState,
        objective: Objective,
        *,
        pool,
        goes_on: Callable[[dict], bool],
    ):
        self.accepted = network.snapshot()
        self.n_iterations = 0
        self._network = network
        self._state = state
        self._objective = objective
        self._goes_on = goes_on
        self._batch = make_batch(data, np.arange(len(data.images)), network, objective, number=0, epoch=0)
        self._executor = Executor(network, pool, training=True, seed=state.seed)
        self._blank = {where: np.zeros_like(value) for where, value in network.buffers().items()}
        self._start: Any = None
        self._evaluated: Any = None
        self._iterate: Any = None  # weights, loss and gradient of the last call and iterate
        self._start_time = time.perf_counter()

    def __call__(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient, and leave the network with these weights.

        Parameters
        ----------
        weights : ndarray of shape (n_params,), float64

        Returns
        -------
        loss : float
        gradient : ndarray of shape (n_params,), float64

        Raises
        ------
        DivergenceError
            If the loss at the start, its gradient or a running statistic is not finite. If the weights are
            not finite; the search tries such weights when squares of the gradient overflow.
        """
        if not np.isfinite(weights).all():
            raise DivergenceError(f"a weight is no longer finite in iteration {self._state.epoch + 1}")
        network = self._network
        np.copyto(network.vector, weights, casting="same_kind")
        network.set_buffers(self._blank)  # from zero, running statistics become those of the samples
        with hold_interrupts():
            loss = self._executor.gradients(self._batch, self._objective.loss)
            gradient = self._executor.reduce()
            loss += add_penalty(network, gradient, self._objective)
        network.set_buffers(self._executor.buffers)
        if not (np.isfinite(loss) and np.isfinite(gradient).all() and has_finite_parameters(network)):
            if self._iterate is None:
                raise DivergenceError(
                    f"the loss at the start is {loss}, or its gradient or a running statistic is not finite"
                )
            return self._turn_back(weights)
        self._start = self._start or (network.snapshot(), loss)
        self._evaluated = weights.copy(), loss, gradient.astype(np.float64)
        self._iterate = self._iterate or self._evaluated
        return self._evaluated[1:]

    def _turn_back(self, weights):
        """Return a loss and a gradient that make the line search try a quarter of its step.

        They are those of a parabola along the step, from the last iterate, with its minimum at a quarter of
        the step. The step stays positive, however often it is reduced. If an earlier step from the same
        iterate succeeded, the line search also takes that step into account.
        """
        start, loss, gradient = self._iterate
        return loss + gradient @ (start - weights), -3 * gradient

    def end_iteration(self, loss: float) -> None:
        """Accept the iterate that the network holds, and end the search if ``goes_on`` returns False."""
        self.accepted = self._network.snapshot()
        self._iterate = self._evaluated
        self.n_iterations += 1
        self._state.change_solver("lbfgs")
        self._state.forget_average()
        self._state.epoch += 1
        self._state.step += 1
        self._state.n_samples_seen += self._batch.n_rows
        record = {
            "epoch": self._state.epoch,
            "loss": loss,
            "batch_losses": [loss],
            "seconds": time.perf_counter() - self._start_time,
        }
        try:
            goes_on = self._goes_on(record)
        except StopIteration as error:  # scipy would end the search silently
            raise RuntimeError("a scorer or callback raised StopIteration") from error
        self._start_time = time.perf_counter()  # validation is not counted
        if not goes_on:
            raise StopIteration

    def keep_start(self) -> None:
        """Accept the start, with its running statistics, as the result of an iteration."""
        snapshot, loss = self._start
        self._network.restore(snapshot)
        with suppress(StopIteration):
            self.end_iteration(loss)
