"""The network that an average of weights predicts with, and its running statistics."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from skcnn.execution import Batch, Executor
from skcnn.network import Network
from skcnn.random_streams import RandomStreams
from skcnn.training import Objective, TrainingData, TrainingState, make_batch


def averaged_network(
    network: Network,
    data: TrainingData,
    state: TrainingState,
    objective: Objective,
    *,
    batch_size: int,
    pool,
    order: np.ndarray | None = None,
    statistics: dict | None = None,
) -> Network:
    """Return a network with the average of the weights and running statistics that belong to it.

    Parameters
    ----------
    network : Network
        Returned itself where there is no average yet.
    data : TrainingData
        The training samples.
    state : TrainingState
    objective : Objective
    batch_size : int
        Largest number of samples of a minibatch.
    pool : WorkerPool
    order : ndarray of shape (n_samples,), default=None
        Order in which the samples make up minibatches; None: as they come.
    statistics : dict of (str, str) to ndarray, default=None
        Running statistics to go on from, as training does, where these samples are not all there are. None:
        the statistics of the minibatches are averaged.

    References
    ----------
    Izmailov, Podoprikhin, Garipov, Vetrov and Wilson (2018), "Averaging weights leads to wider optima and
    better generalization", UAI, section 3.2.
    """
    if not state.n_averaged:
        return network
    averaged = network.copy()
    np.copyto(averaged.vector, state.slots["average"])
    if averaged.state():
        executor = Executor(averaged, pool, training=True, streams=RandomStreams(state.seed))
        order = np.arange(len(data.images)) if order is None else order
        minibatches = np.array_split(order, -(-len(order) // batch_size))
        batches = (
            make_batch(data, rows, averaged, objective, number=int(rows[0]), epoch=state.epoch)
            for rows in minibatches
        )
        if statistics is None:
            weights = np.ones(len(order)) if data.weights is None else data.weights / data.weights.max()
            average_statistics(executor, batches, [weights[rows].sum() for rows in minibatches])
        else:
            averaged.set_state(statistics)
            for batch in batches:
                averaged.set_state(executor.statistics(batch))
    return averaged


def average_statistics(executor: Executor, batches: Iterator[Batch], weights: Sequence[float]) -> None:
    """Give a network the average of the statistics of some minibatches, by their weights."""
    network = executor.network
    blank = {where: np.zeros_like(value) for where, value in network.state().items()}
    sums = dict.fromkeys(blank, 0.0)
    for batch, weight in zip(batches, weights, strict=True):
        network.set_state(blank)  # running statistics that start at zero become those of the minibatch
        latest = executor.statistics(batch)
        sums = {where: total + weight * latest[where] for where, total in sums.items()}
    network.set_state(latest)
    floats = [where for where, value in blank.items() if value.dtype.kind == "f"]
    network.set_state({where: sums[where] / math.fsum(weights) for where in floats})
