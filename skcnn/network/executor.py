"""How a minibatch is cut into units of work and run on threads, deterministically.

A minibatch is cut into shards, and each shard into chunks of a few images. Nodes on images run
chunk by chunk, so that scratch memory stays small; nodes on vectors run on the whole shard. Both
cuts depend on the minibatch and the network alone, and every sum over chunks and shards is taken in
their order, so results do not depend on the number of threads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skcnn.layers.contract import check_merged
from skcnn.network.context import Context
from skcnn.network.cut import chunk_bounds, sections
from skcnn.network.memory import Slabs
from skcnn.network.network import Network
from skcnn.network.setup import Setup, prediction_setup
from skcnn.network.shards import Shard
from skcnn.network.threads import WorkerPool
from skcnn.random_streams import RandomStreams


@dataclass
class Batch:
    """A minibatch, as the executor takes it.

    Attributes
    ----------
    n_rows : int
    read : callable
        ``read(rows, out)`` writes the images of a slice of rows into ``out``, an array of shape
        (height, width, n_images, channels). Called from several threads.
    targets : ndarray of shape (n_rows, n_outputs) or None
    loss_weights : ndarray of shape (n_rows,) or None
        Factors of the losses of the rows.
    weights : ndarray of shape (n_rows,) or None
        Sample weights, for statistics over the minibatch; None where all are equal.
    number : int
        Number of the training step, the key of random draws.
    part : float or None
        Where the minibatch does not stand for all samples, which part of a usual one it is; see
        :meth:`skcnn.layers.MergingLayer.merge`.

    Raises
    ------
    ValueError
        If there are no rows: layers and kernels are never run on zero images.
    """

    n_rows: int
    read: Callable
    targets: np.ndarray | None = None
    loss_weights: np.ndarray | None = None
    weights: np.ndarray | None = None
    number: int = 0
    part: float | None = None

    def __post_init__(self):
        if self.n_rows < 1:
            raise ValueError(f"a minibatch must have at least one row, got {self.n_rows}")


class Executor:
    """Runs a network forward and backward; made for one call of fit or predict.

    Parameters
    ----------
    network : Network
        In training, changes of its parameters are seen. Prediction prepares some of them as they are at this
        moment, see :class:`skcnn.network.setup.PredictionSetup`.
    pool : WorkerPool
        On how many threads work runs, and how it is cut.
    training : bool
        Whether minibatches are trained on, rather than predicted.
    seed : int or None
        Of the random draws of layers in training.
    input_gradient : bool
        Whether the gradient with respect to the images is wanted, too.
    """

    def __init__(
        self,
        network: Network,
        pool: WorkerPool,
        *,
        training: bool,
        seed: int | None = None,
        input_gradient: bool = False,
    ):
        self.network, self.pool = network, pool
        if training:
            setup = Setup(
                network.nodes,
                network.params,
                network.dtype,
                network.trained,
                input_gradient=input_gradient,
                frozen=network.frozen,
            )
            prepared = []
        else:
            setup = prediction_setup(network)
            prepared = setup.prepared
        self.program, self._setup = setup.program, setup
        self.buffers = {}
        self._chunk_target = pool.cut.chunk_target(setup.image_bytes)
        self._context = Context(
            network,
            self.program,
            training=training,
            streams=None if seed is None else RandomStreams(seed),
            params=setup.params,
            plans=setup.plans,
            prepared=prepared,
            merged=[None] * len(self.program.nodes),
            slabs=Slabs(),
        )
        self._shards = []
        n_arenas = min(pool.n_threads, pool.cut.max_shards)
        self._scratch = [self._context.arena() for _ in range(n_arenas)]

    def gradients(self, batch: Batch, loss) -> float:
        """Run a minibatch forward and backward.

        The gradient stays in the shards, for :meth:`reduce`, and the new values of the network's buffers
        in ``buffers``; the network itself is left as it is.

        Parameters
        ----------
        batch : Batch
        loss : Loss

        Returns
        -------
        loss : float
            Sum of the weighted losses of the rows.
        """
        self._begin(batch)
        self._run_merging_phases()
        backward_phase, *backward_phases = self.program.backward

        def turn(shard):
            shard.run(self.program.forward[-1])
            shard.take_loss(loss)
            shard.run(backward_phase)

        self._run_shards(turn)
        for phase, index in zip(backward_phases, self.program.backward_merging, strict=True):
            self._backward_merge(index)
            self._run_shards(lambda shard, phase=phase: shard.run(phase))
        self._run_shards(Shard.finish)
        return sum(shard.loss for shard in self._active)

    def statistics(self, batch: Batch) -> dict[tuple[str, str], np.ndarray]:
        """Run a minibatch forward as far as statistics are merged.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        buffers : dict of (str, str) to ndarray
            New values of the network's buffers; the network itself is left as it is.
        """
        self._begin(batch)
        self._run_merging_phases()
        return self.buffers

    def results(self, batch: Batch, out: np.ndarray) -> np.ndarray:
        """Compute the results of the last node as training does; the network is left as it is.

        Parameters
        ----------
        batch : Batch
        out : ndarray of shape (n_rows, n_outputs)

        Returns
        -------
        out : ndarray
        """
        self._begin(batch)
        self._run_merging_phases()

        def run(shard):
            shard.run(self.program.forward[-1])
            out[shard.rows] = shard.whole.units[-1].value

        self._run_shards(run)
        return out

    def _begin(self, batch):
        """Give the shards their rows of a minibatch."""
        self._context.prepared[:] = self._setup.prepare(training=True)
        self.buffers, self._part = {}, batch.part
        bounds = self.pool.cut.shard_bounds(batch.n_rows, self._multiply_adds)
        while len(self._shards) < len(bounds):
            scratch = self._scratch[len(self._shards) % len(self._scratch)]
            self._shards.append(Shard(self._context, scratch))
        self._active = self._shards[: len(bounds)]
        for shard, (start, stop) in zip(self._active, bounds, strict=True):
            shard.begin(batch, start, stop, self._chunks(stop - start))

    @cached_property
    def _multiply_adds(self):
        return self.network.multiply_adds()

    def _run_merging_phases(self):
        """Run the forward phases that end in a merge of statistics, all but the last."""
        for phase, index in zip(self.program.forward[:-1], self.program.merging, strict=True):
            self._run_shards(lambda shard, phase=phase: shard.run(phase))
            self._merge(index)

    def _run_shards(self, function):
        """Call a function of every shard, of those with the same scratch memory one after the other."""

        def work(shards):
            for shard in shards:
                function(shard)

        n_arenas = len(self._scratch)
        sharing = [self._active[first::n_arenas] for first in range(min(n_arenas, len(self._active)))]
        self.pool.run(work, sharing)

    def reduce(self) -> np.ndarray:
        """Return the sum of the gradients of the shards, in memory of the first.

        Returns
        -------
        gradient : ndarray of shape (n_params,)
        """
        first, *others = (shard.gradient for shard in self._active)

        def add(section):
            for other in others:
                np.add(first[section], other[section], out=first[section])

        if others:
            self.pool.run(add, sections(first.size, self.pool.cut.section))
        return first

    def predict(self, batch: Batch, out: np.ndarray) -> np.ndarray:
        """Compute the results of the last node.

        Parameters
        ----------
        batch : Batch
        out : ndarray of shape (n_rows, n_outputs)
            Receives the scores.

        Returns
        -------
        out : ndarray
        """
        (phase,) = self.program.forward

        def run(bounds):
            start, stop = bounds
            shard = self._idle_shard()
            shard.begin(batch, start, stop, self._chunks(stop - start))
            shard.run(phase)
            out[start:stop] = shard.whole.units[-1].value
            self._shards.append(shard)

        self.pool.run(run, self.pool.cut.prediction_bounds(batch.n_rows, self._chunk_target))
        return out

    def _idle_shard(self):
        """Return a shard that no thread predicts with."""
        try:
            return self._shards.pop()
        except IndexError:
            return Shard(self._context, self._context.arena())

    def _chunks(self, n_rows):
        """Return the bounds of the chunks of a shard."""
        return chunk_bounds(n_rows, self._chunk_target)

    def input_gradient(self) -> np.ndarray:
        """Return the gradient of the last minibatch with respect to what was read, batch axis as there."""
        on_images = self.program.nodes[0].takes_images
        pieces = [
            piece for shard in self._active for piece in (shard.chunks if on_images else (shard.whole,))
        ]
        return np.concatenate([piece.units[0].gradient for piece in pieces], axis=2 if on_images else 0)

    def _merge(self, index):
        node, context = self.program.nodes[index], self._context
        with node.name_errors():
            result = node.layer.merge(context.params[index], self._partials(), part=self._part)
            check_merged(result, node.layer.buffer_params, context.params[index])
        context.merged[index], buffers = result
        self.buffers.update({(node.name, key): value for key, value in buffers.items()})

    def _backward_merge(self, index):
        node, context = self.program.nodes[index], self._context
        with node.name_errors():
            context.merged[index] = node.layer.backward_merge(
                context.params[index], context.merged[index], self._partials()
            )

    def _partials(self):
        """Return the partial statistics of the last phase, of all shards in their order."""
        return [partial for shard in self._active for partial in shard.partials]
