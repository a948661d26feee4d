"""Recalibration: running statistics for averaged weights."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from skcnn.data.read_ahead import read_ahead
from skcnn.data.samples import TrainingData, constant, divide
from skcnn.network.executor import Batch, Executor
from skcnn.network.network import Network
from skcnn.training.loop import make_batch
from skcnn.training.state import Objective, TrainingState
from skcnn.training.time_limit import TimeLimit

FEWEST_MINIBATCHES = 2
"""Smallest number of minibatches for running statistics, even without time left."""

VALIDATED_SAMPLES = 10_000
"""Approximate number of samples for the running statistics of an average in a validation."""


def make_averaged_network(
    network: Network,
    data: TrainingData,
    state: TrainingState,
    objective: Objective,
    *,
    pool,
    order: np.ndarray | None = None,
    n_samples: int | None = None,
    statistics: dict | None = None,
    limit: TimeLimit | None = None,
) -> Network:
    """Return a network with the averaged weights, and running statistics computed for them.

    Parameters
    ----------
    network : Network
        Returned itself if there is no average yet.
    data : TrainingData
        The training samples.
    state : TrainingState
    objective : Objective
    pool : WorkerPool
    order : ndarray of shape (n_samples,), default=None
        Order of the samples when they are split into minibatches. None: the order of the data.
    n_samples : int, default=None
        Approximate number of samples to use, in evenly spaced minibatches. None: all.
    statistics : dict of (str, str) to ndarray, default=None
        Running statistics to update, as in training, if these samples are only a part of the stream. None:
        average the statistics of the minibatches.
    limit : TimeLimit, default=None
        May end the statistics early. None: no limit.

    References
    ----------
    Izmailov, Podoprikhin, Garipov, Vetrov and Wilson (2018), "Averaging weights leads to wider optima and
    better generalization", UAI, section 3.2.
    Wu and Johnson (2021), "Rethinking 'batch' in BatchNorm", arXiv:2105.07576, section 3.2.
    """
    if not state.n_averaged:
        return network
    averaged = network.copy()
    np.copyto(averaged.vector, state.slots["average"])
    if averaged.buffers():
        executor = Executor(averaged, pool, training=True, seed=state.seed)
        order = np.arange(len(data.images)) if order is None else order
        minibatches = choose_evenly(np.array_split(order, -(-len(order) // objective.batch_size)), n_samples)
        weights = data.weights if data.weights is not None else constant(1, len(data.images))
        weights = divide(weights, weights.max())
        loaded = read_ahead(data, minibatches, map(len, minibatches), pool.n_threads)
        batches = (
            (
                make_batch(own, rows, averaged, objective, number=int(rows[0]), epoch=state.epoch),
                weights[rows].sum(),
            )
            for rows, own in take_until_limit(loaded, limit)
        )
        if statistics is None:
            average_statistics(executor, batches)
        else:
            averaged.set_buffers(statistics)
            for batch, _ in batches:
                averaged.set_buffers(executor.statistics(batch))
    return averaged


def take_until_limit(minibatches: Iterable, limit: TimeLimit | None) -> Iterator:
    """Yield minibatches until time is up, but at least ``FEWEST_MINIBATCHES``."""
    for index, minibatch in enumerate(minibatches):
        if index >= FEWEST_MINIBATCHES and limit is not None and limit.ends_statistics():
            return
        yield minibatch


def choose_evenly(minibatches: list[np.ndarray], n_samples: int | None) -> list[np.ndarray]:
    """Return evenly spaced minibatches, from the first to the last, with about ``n_samples`` samples."""
    n_wanted = len(minibatches) if n_samples is None else -(-n_samples // len(minibatches[0]))
    n_chosen = max(FEWEST_MINIBATCHES, n_wanted)
    if len(minibatches) <= n_chosen:
        return minibatches
    return [minibatches[i] for i in np.linspace(0, len(minibatches) - 1, n_chosen).astype(int)]


def average_statistics(executor: Executor, batches: Iterable[tuple[Batch, float]]) -> None:
    """Give a network the weighted average of the statistics of minibatches; counts are summed."""
    network = executor.network
    blank = {where: np.zeros_like(value) for where, value in network.buffers().items()}
    counted = {
        (node.name, name) for node in network.nodes[1:] for name in node.layer.count_params
    } & blank.keys()
    sums: dict = dict.fromkeys(blank, 0.0)
    weights = []
    for batch, weight in batches:
        weights.append(weight)
        network.set_buffers(blank)  # from zero, running statistics become those of the minibatch
        latest = executor.statistics(batch)
        sums = {
            where: total + (latest[where] if where in counted else weight * latest[where])
            for where, total in sums.items()
        }
    total = math.fsum(weights)
    averages = {where: sums[where] / total for where, value in blank.items() if value.dtype.kind == "f"}
    network.set_buffers(latest | averages | {where: sums[where] for where in counted})
