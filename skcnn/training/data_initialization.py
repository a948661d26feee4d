"""Data-dependent initialization: parameters that are set from the training data before training."""

from collections.abc import Iterator, Mapping, Set
from math import prod, sqrt
from typing import Any

import numpy as np

from skcnn.data.samples import TrainingData
from skcnn.kernels.reductions import near_one
from skcnn.network.executor import Batch, Executor
from skcnn.network.network import Network
from skcnn.random_streams import RandomStreams


def initialize_from_data(
    network: Network,
    data: TrainingData,
    *,
    unit_variance: bool,
    given: Set[str] = frozenset(),
    batch_size: int,
    seed: int,
    pool,
) -> None:
    """Initialize parameters from the training data, layer by layer.

    Layers with several inputs, with which containers join their branches, are left out.

    Parameters
    ----------
    network : Network
        With initial parameters; those of layers with ``init_from_data`` are updated in place.
    data : TrainingData
        Used without augmentation.
    unit_variance : bool
        Whether to scale the weights of each layer, too, to give its output a variance of one over a
        minibatch. Weights stay unchanged if the output does not vary or a scaled weight is not finite.
    given : set of str
        Layers whose parameters stay unchanged.
    batch_size : int
        Largest number of samples in this minibatch. Each scaled layer needs a forward pass of it.
    seed : int
        Seed of the choice of the minibatch and of the draws of random layers.
    pool : WorkerPool

    Raises
    ------
    ValueError
        If a layer refuses the data; the message names the layer.

    References
    ----------
    Mishkin and Matas (2016), "All you need is a good init", ICLR, for the scaling.
    """
    if unit_variance:
        rows = RandomStreams(seed).generator("data_initialization").permutation(len(data.images))[:batch_size]
        weights = np.ones(len(rows)) if data.weights is None else near_one(data.weights[rows])
    for index, node in enumerate(network.nodes[1:], start=1):
        if node.name in given:
            continue
        params: Any = network.params.get(node.name, {})
        if len(node.inputs) == 1 and node.layer.has_init_from_data:
            with node.name_errors():
                node.layer.init_from_data(params, Results(network, node.inputs[0], data, seed, pool))
        if unit_variance and node.layer.decayed_params:
            results = Results(network, index, data, seed, pool).of(rows)
            divide_weights(params, node.layer.decayed_params, sqrt(variance(results, weights)))


def divide_weights(params: Mapping[str, np.ndarray], names: tuple[str, ...], divisor: float) -> None:
    """Divide parameters in place, unless the divisor or a result is not finite."""
    scaled = {name: params[name] / params[name].dtype.type(divisor) for name in names}
    if np.isfinite(divisor) and all(np.isfinite(value).all() for value in scaled.values()):
        for name, value in scaled.items():
            np.copyto(params[name], value)


class Results:
    """The outputs of a node for training samples, in training mode without augmentation.

    Parameters
    ----------
    network : Network
    index : int
        Number of the node.
    data : TrainingData
    seed : int
    pool : WorkerPool
    """

    def __init__(self, network: Network, index: int, data: TrainingData, seed: int, pool):
        self.network = network.up_to(index)
        self.shape = network.nodes[index].output_shape
        self.images, self._reader = data.images, data.reader
        self.weights = None if data.weights is None else near_one(data.weights)
        self._chunk_bytes = pool.cut.init_bytes
        self._executor = Executor(self.network, pool, training=True, seed=seed)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return the outputs for a minibatch of samples, flat, shape (n, n_values)."""
        weights = None if self.weights is None else self.weights[rows]
        out = np.empty((len(rows), prod(self.shape)), self.network.dtype)
        return self._executor.results(Batch(len(rows), self._reader(rows), weights=weights), out)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yield outputs in the layout of layers, with sample weights, for consecutive groups of samples."""
        n_samples, values = len(self.images), prod(self.shape)
        n_rows = max(1, self._chunk_bytes // (values * self.network.dtype.itemsize))
        for start in range(0, n_samples, n_rows):
            rows = np.arange(start, min(start + n_rows, n_samples))
            X = self.of(rows)
            if len(self.shape) == 3:
                X = np.ascontiguousarray(X.reshape(len(rows), *self.shape).transpose(1, 2, 0, 3))
            yield X, None if self.weights is None else self.weights[rows]


def variance(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the variance of all values, each with the weight of its sample.

    Examples
    --------
    >>> variance(np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([1.0, 0.0]))
    0.25
    """
    mean = np.average(values.mean(axis=1, dtype=np.float64), weights=weights)
    return float(np.average(np.square(values - mean, dtype=np.float64).mean(axis=1), weights=weights))
