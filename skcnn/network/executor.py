"""Cuts a minibatch into units of work and runs them on threads, deterministically.

A minibatch is cut into shards, and each shard into chunks of a few images. Nodes on images run
chunk by chunk, which keeps scratch memory small; nodes on vectors run on the whole shard. Both
cuts depend only on the minibatch and the network, and sums over chunks and shards keep their order,
so results do not depend on the number of threads.
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
    """A minibatch for the executor.

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
        Sample weights, for statistics over the minibatch; None if all are equal.
    number : int
        Number of the training step, the key of random draws.
    part : float or None
        Size relative to a usual minibatch if the minibatch does not represent all samples, else None;
        :meth:`skcnn.layers.MergingLayer.merge` uses it.

    Raises
    ------
    ValueError
        If there are no rows: layers and kernels never run on zero images.
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
    """Runs a network forward and backward, for one call of fit or predict.

    Parameters
    ----------
    network : Network
        Training reads its current parameters. Prediction may use copies of the present ones, made by
        :class:`skcnn.network.setup.PredictionSetup`.
    pool : WorkerPool
        Runs the work, and decides how it is cut and by which kernels it is done.
    training : bool
        Whether to train on minibatches or to predict them.
    seed : int or None
        Seed of the random draws of layers in training.
    input_gradient : bool
        Whether to compute the gradient with respect to the images, too.
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
                kernels=pool.kernels,
            )
            prepared = []
        else:
            setup = prediction_setup(network, pool.kernels)
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

        The gradient stays in the shards, for :meth:`reduce`. The new values of the network's buffers are
        in ``buffers``; the network itself does not change.

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
        """Run a minibatch forward up to the last merge of statistics.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        buffers : dict of (str, str) to ndarray
            New values of the network's buffers; the network itself does not change.
        """
        self._begin(batch)
        self._run_merging_phases()
        return self.buffers

    def results(self, batch: Batch, out: np.ndarray) -> np.ndarray:
        """Compute the results of the last node as training does; the network does not change.

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
        """Assign the rows of a minibatch to the shards."""
        self._context.prepared[:] = self._setup.prepare(training=True, pool=self.pool)
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
        """Run all forward phases except the last; each ends in a merge of statistics."""
        for phase, index in zip(self.program.forward[:-1], self.program.merging, strict=True):
            self._run_shards(lambda shard, phase=phase: shard.run(phase))
            self._merge(index)

    def _run_shards(self, function):
        """Call a function for every shard; shards that share scratch memory run one after the other."""

        def work(shards):
            for shard in shards:
                function(shard)

        n_arenas = len(self._scratch)
        sharing = [self._active[first::n_arenas] for first in range(min(n_arenas, len(self._active)))]
        self.pool.run(work, sharing)

    def reduce(self) -> np.ndarray:
        """Return the sum of the gradients of the shards, in the memory of the first one.

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
        if self.network.frozen:
            for layer, gradients in self.network.views_of(first).items():
                if layer in self.network.frozen:
                    for gradient in gradients.values():
                        gradient.fill(0)
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
        """Return a shard that no thread uses."""
        try:
            return self._shards.pop()
        except IndexError:
            return Shard(self._context, self._context.arena())

    def _chunks(self, n_rows):
        """Return the bounds of the chunks of a shard."""
        return chunk_bounds(n_rows, self._chunk_target)

    def input_gradient(self) -> np.ndarray:
        """Return the gradient of the last minibatch with respect to its input, in the layout of the input."""
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
        """Return the partial statistics of the last phase, in the order of the shards."""
        return [partial for shard in self._active for partial in shard.partials]
