"""What an executor, a shard and a piece hand down to their units of work.

Contexts do not refer to their owners, so there are no reference cycles, and memory is freed with the executor
rather than by the garbage collector.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from skcnn.network.memory import Arena, Slabs
from skcnn.network.network import Network
from skcnn.network.program import Program
from skcnn.random_streams import RandomStreams


@dataclass(frozen=True)
class Context:
    """What all units of an executor share; lists have an entry for each node.

    Attributes
    ----------
    network : Network
    program : Program
    training : bool
    streams : RandomStreams or None
        Source of the random draws of layers in training.
    params : list of dict of str to ndarray
        Parameters of the layers.
    plans : list of object
        What ``plan`` of the layers returned.
    prepared : list of object
        What ``prepare`` of the layers returned for the current minibatch.
    merged : list of object
        What the last ``merge`` or ``backward_merge`` of the layers returned.
    slabs : Slabs
        Provides the memory.
    """

    network: Network
    program: Program
    training: bool
    streams: RandomStreams | Any
    params: list
    plans: list
    prepared: list
    merged: list
    slabs: Slabs

    def arena(self) -> Arena:
        """Return new memory for arrays by name."""
        return Arena(self.network.dtype, self.slabs)


class ShardContext:
    """What the units of a shard share.

    Parameters
    ----------
    context : Context
    scratch : Arena
        Memory for one call, shared by all calls on the same thread.

    Attributes
    ----------
    scratch : Arena
    gradient : ndarray of shape (n_params,) or None
        Gradient of the loss of the shard; None in prediction.
    partials : list
        Partial statistics of the units in the current phase.
    batch : Batch
    rows : slice
        The shard's rows of the minibatch.
    weights : ndarray of shape (n,) or None
        Their sample weights; None if all are equal.
    """

    def __init__(self, context: Context, scratch: Arena):
        network = context.network
        self.scratch = scratch
        self.gradient: Any = None
        self._gradients: dict = {}
        if context.training:
            self.gradient = np.empty_like(network.vector)
            self._gradients = network.views_of(self.gradient)
        self.partials = []
        self.rows = slice(0, 0)
        self._written = set()
        self._accumulators = {}
        self._matrices = context.arena()
        self._dtype, self._streams = network.dtype, context.streams

    def begin(self, batch, start: int, stop: int) -> None:
        """Start with the rows from start to stop of a minibatch, and reset the gradients."""
        self.batch, self.rows = batch, slice(start, stop)
        self.weights = None if batch.weights is None else batch.weights[start:stop]
        self._written.clear()

    def read(self, rows: slice, out: np.ndarray) -> None:
        """Read the images of some rows of the shard into ``out``."""
        self.batch.read(slice(self.rows.start + rows.start, self.rows.start + rows.stop), out)

    def generator(self, index: int, first_row: int) -> np.random.Generator:
        """Return the random generator of a node for the rows from ``first_row`` on."""
        return self._streams.generator("dropout", self.batch.number, index, self.rows.start + first_row)

    def matrix(self, kind: str, index: int, n_columns: int) -> np.ndarray:
        """Return the matrix for a node whose results are vectors, with one row per sample."""
        return self._matrices((kind, index), (self.rows.stop - self.rows.start, n_columns))

    def accumulator(self, key, shape) -> tuple[np.ndarray, bool]:
        """Return an accumulator and whether this use is the first, where the caller writes, not adds."""
        if key not in self._accumulators:
            self._accumulators[key] = np.empty(shape, self._dtype)
        total = self._accumulators[key]
        if total.shape != tuple(shape):
            raise ValueError(f"the accumulator {key[1]!r} has shape {total.shape}, got a request for {shape}")
        is_first = key not in self._written
        self._written.add(key)
        return total, is_first

    def gradient_of(self, layer: str, name: str) -> tuple[np.ndarray, bool]:
        """Return a parameter's gradient and whether this use is the first, as :meth:`accumulator` does."""
        own = self._gradients.get(layer, {})
        if name not in own:
            raise ValueError(f"it has no parameter {name!r} with a gradient, only {list(own)}")
        is_first = (layer, name) not in self._written
        self._written.add((layer, name))
        return own[name], is_first

    def fill_gradients(self) -> None:
        """Set the gradients to zero that no unit has written."""
        for layer, gradients in self._gradients.items():
            for name, gradient in gradients.items():
                if (layer, name) not in self._written:
                    gradient.fill(0)


class PieceContext:
    """What the units of a piece share.

    Parameters
    ----------
    context : Context
    shard : ShardContext

    Attributes
    ----------
    rows : slice
        The rows of the piece, counted within the shard.
    arenas : list of Arena
        For each node, memory that keeps its contents from forward to backward.
    """

    def __init__(self, context: Context, shard: ShardContext):
        self.rows = slice(0, 0)
        self.arenas = [context.arena() for _ in context.program.nodes]
        self._program, self._shard = context.program, shard
        self._arena = context.arena()

    def memory(self, kind: str, index: int) -> np.ndarray:
        """Return memory for a node's result ("value") or its gradient ("gradient").

        Vectors are rows of a matrix of the shard. Images that a later segment or the backward pass reads
        use memory of this piece; others use scratch memory of the thread.
        """
        program = self._program
        home = program.homes[kind][index]
        *size, channels = program.nodes[index].output_shape
        if not size:
            return self._shard.matrix(kind, home, channels)[self.rows]
        place = program.places[kind, home]
        arena = self._arena if place.is_kept else self._shard.scratch
        shape = (*size, self.rows.stop - self.rows.start, channels)
        return arena(place, (program.place_sizes[place] * shape[2],))[: prod(shape)].reshape(shape)
