"""How a minibatch is cut into units of work and run on threads, deterministically.

A minibatch is cut into shards, and each shard into chunks of a few images. Steps on images run
chunk by chunk, so that scratch memory stays small; steps on vectors run on the whole shard. Both
cuts depend on the minibatch and the network alone, and every sum over chunks and shards is taken in
their order, so results do not depend on the number of threads.

The flat list of steps becomes phases. A phase runs on every shard without waiting for the others;
where a layer merges statistics of the whole minibatch, one phase ends and the next begins.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from skcnn.fusion import folded, fuse
from skcnn.network import Network, Step
from skcnn.random_streams import RandomStreams
from skcnn.threads import WorkerPool
from skcnn.units import Arena, Blocks, Shard, Unit

SECOND_SHARD = 30_000_000
"""Forward multiply-adds of a minibatch that make a second thread worth its while, by measurement."""

FURTHER_SHARD = 800_000_000
"""Forward multiply-adds for each of more than two shards: they cost two threads a few percent each."""

MAX_SHARDS = 8

CHUNK_BYTES = 8_000_000
"""Memory that the hungriest step takes for a chunk: less would stay in a cache, but more makes calls long,
which threads and matrix products gain more from. By measurement."""

PREDICTION_ROWS = 128
"""Rows that pass through the vector layers together in prediction."""

BLOCK = 65_536
"""Elements of a parameter vector that one call of an elementwise function works on."""


def shard_bounds(n_rows: int, multiply_adds: int) -> list[tuple[int, int]]:
    """Cut a minibatch into shards of nearly equal size, the largest first.

    Parameters
    ----------
    n_rows : int
        Size of the minibatch.
    multiply_adds : int
        Multiply-adds of a forward pass of one sample.

    Returns
    -------
    bounds : list of (start, stop)

    Examples
    --------
    >>> shard_bounds(100, 10_000)
    [(0, 100)]
    >>> shard_bounds(100, 600_000)
    [(0, 50), (50, 100)]
    >>> shard_bounds(96, 25_000_000)
    [(0, 32), (32, 64), (64, 96)]
    """
    total = n_rows * multiply_adds
    n_shards = 1 if total < SECOND_SHARD else min(n_rows, MAX_SHARDS, max(2, total // FURTHER_SHARD))
    cuts = [-(-n_rows * index // n_shards) for index in range(n_shards + 1)]
    return list(zip(cuts, cuts[1:], strict=False))


def chunk_bounds(n_rows: int, target: int) -> list[tuple[int, int]]:
    """Cut a shard into chunks of nearly equal size, close to a target.

    Examples
    --------
    >>> chunk_bounds(64, 20)
    [(0, 22), (22, 44), (44, 64)]
    """
    size = -(-n_rows // max(1, round(n_rows / target)))
    return [(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def chunk_target(network: Network) -> int:
    """Return the number of images whose scratch memory fills ``CHUNK_BYTES``."""
    elements = max(
        sum(map(prod, step.input_shapes))
        + prod(step.output_shape)
        + step.layer.scratch_size(step.input_shape)
        for step in network.steps[1:]
    )
    return max(1, CHUNK_BYTES // (elements * network.dtype.itemsize))


class Segment(NamedTuple):
    """Operations that follow each other, all on images or all on vectors.

    An operation is a method of :class:`Unit` and the index of a step.
    """

    on_images: bool
    operations: list[tuple[Callable, int]]


class Program:
    """The phases of a forward and a backward pass, and what must be kept between their segments.

    Parameters
    ----------
    network : Network
    training : bool
        Whether statistics are merged and a backward pass follows.
    input_gradient : bool
        Whether the gradient with respect to the images is wanted, too.

    Attributes
    ----------
    steps : tuple of Step
        Those of the network, fused.
    reads : list of tuple of str
        For each step, which of "X" and "Y" its backward pass reads.
    merging, backward_merging : list of int
        Steps that merge statistics, in the order of the pass; each begins a phase.
    forward, backward : list of list of Segment
        Phases in the order of execution.
    need_gradient : set of int
        Steps whose result needs a gradient.
    gradient_shares : list of tuple of {"first", "further", None}
        For each step, what its backward pass does with the gradient of each input: the first of a result's
        readers to come writes it, further ones add to it; None where nothing reads it.
    homes : dict of {"value", "gradient"} to list of int
        For each step, the one in whose memory its result, or its gradient, stands: its own or, where a layer
        works in place, that of another step.
    kept : dict of {"value", "gradient"} to set of int
        Homes that are read beyond the segment that writes them.
    """

    def __init__(self, network: Network, *, training: bool, input_gradient: bool = False):
        self.steps = steps = fuse(network.steps)
        self.reads = [()] + [step.layer.reads_in_backward(step.input_shape) for step in steps[1:]]
        self.merging = [index for index, step in enumerate(steps) if step.merges] if training else []
        self.need_gradient = self._find_need_gradient(network, input_gradient) if training else set()
        self.gradient_shares = self._find_gradient_shares()
        self.backward_merging = [index for index in reversed(self.merging) if index in self.need_gradient]
        self.forward = self._phases(range(len(steps)), Unit.statistics, Unit.forward)
        self.backward = self._phases(self._backward_order(), Unit.backward_statistics, Unit.backward)
        self.homes = self._find_homes(training)
        kept = {"value": self._crossing(self.forward), "gradient": self._crossing(self.backward)}
        if training:
            kept["value"] |= self._read_in_backward()
        if input_gradient:
            kept["gradient"].add(0)
        self.kept = {kind: {self.homes[kind][index] for index in kept[kind]} for kind in kept}

    def _find_need_gradient(self, network, input_gradient):
        needed = {0} if input_gradient else set()
        for index, step in enumerate(self.steps[1:], start=1):
            if network.is_trained(step.name) or needed.intersection(step.inputs):
                needed.add(index)
        return needed

    def _backward_order(self):
        return sorted(self.need_gradient - {0}, reverse=True)

    def _find_gradient_shares(self):
        shares = [()] * len(self.steps)
        written = set()
        for index in self._backward_order():
            own = []
            for source in self.steps[index].inputs:
                first = source not in written
                written.add(source)
                own.append(None if source not in self.need_gradient else "first" if first else "further")
            shares[index] = tuple(own)
        return shares

    def _find_homes(self, training):
        """Let layers that can write over what they read do so, where nothing else reads it."""
        steps, values, gradients = self.steps, list(range(len(self.steps))), list(range(len(self.steps)))
        n_readers = Counter(source for step in steps for source in step.inputs)
        alone = [
            index
            for index, step in enumerate(steps[1:], start=1)
            if step.layer.declares("works_in_place")
            and n_readers[step.inputs[0]] == 1
            and not (training and "X" in self.reads[index])
        ]
        for index in alone:
            (source,) = steps[index].inputs
            if not (training and "Y" in self.reads[source]):
                values[index] = values[source]
        for index in reversed(alone):
            (source,) = steps[index].inputs
            gradients[source] = gradients[index]
        return {"value": values, "gradient": gradients}

    def _phases(self, order, statistics, operation):
        """Cut an order of steps into phases, before each merging step, and these into segments."""
        phases = [[]]
        for index in order:
            if index in self.merging:
                self._append(phases[-1], statistics, index)
                phases.append([])
            self._append(phases[-1], operation, index)
        return phases

    def _append(self, phase, operation, index):
        on_images = self.steps[index].takes_images
        if not phase or phase[-1].on_images != on_images:
            phase.append(Segment(on_images, []))
        phase[-1].operations.append((operation, index))

    def _crossing(self, phases):
        """Return the steps whose arrays more than one segment touches."""
        touching = {}
        for number, segment in enumerate(segment for phase in phases for segment in phase):
            for operation, index in segment.operations:
                for array in self._touched(operation, index):
                    touching.setdefault(array, set()).add(number)
        return {array for array, segments in touching.items() if len(segments) > 1}

    def _touched(self, operation, index):
        """Return the steps whose arrays an operation reads or writes."""
        inputs = self.steps[index].inputs
        if operation is Unit.statistics:
            return inputs
        if index in self.merging and operation is not Unit.backward:
            return (index,)  # what they need of the input, statistics have kept
        return (index, *inputs)

    def _read_in_backward(self):
        read = set()
        for index in self._backward_order():
            reads = self.reads[index]
            read.update(self.steps[index].inputs if "X" in reads else ())
            read.update((index,) if "Y" in reads else ())
        return read


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
    """

    n_rows: int
    read: Callable
    targets: np.ndarray | None = None
    loss_weights: np.ndarray | None = None
    weights: np.ndarray | None = None
    number: int = 0


class Executor:
    """Runs a network forward and backward; made for one call of fit or predict.

    Parameters
    ----------
    network : Network
        In training, changes of its parameters are seen. Prediction folds it, see
        :func:`skcnn.fusion.folded`, so what it predicts with are the parameters of this moment.
    pool : WorkerPool
    training : bool
        Whether minibatches are trained on, rather than predicted.
    streams : RandomStreams or None
        Source of the random draws of layers in training.
    input_gradient : bool
        Whether the gradient with respect to the images is wanted, too.
    small_pieces : bool
        Whether to cut into shards and chunks of about two rows, to test layers, rather than by cost.
    """

    def __init__(
        self,
        network: Network,
        pool: WorkerPool,
        *,
        training: bool,
        streams: RandomStreams | None = None,
        input_gradient: bool = False,
        small_pieces: bool = False,
    ):
        if not training:
            network = folded(network)
        self.network = network
        self.pool = pool
        self.training = training
        self.streams = streams
        self.program = Program(network, training=training, input_gradient=input_gradient)
        self.plans = [None] + [step.layer.plan(step.input_shape) for step in self.program.steps[1:]]
        self.prepared = [None] * len(network.steps)
        self.merged = [None] * len(network.steps)
        self.state = {}
        self._multiply_adds = FURTHER_SHARD // 2 if small_pieces else network.multiply_adds()
        self._chunk_target = 2 if small_pieces else chunk_target(network)
        self._shards = []
        self._blocks = Blocks()
        self._scratch = [self.arena() for _ in range(pool.n_threads)]

    def gradients(self, batch: Batch, loss) -> float:
        """Run a minibatch forward and backward.

        The gradient stays in the shards, for :meth:`reduce`, and the new values of the network's state
        in ``state``; the network itself is left as it is.

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
        state : dict of (str, str) to ndarray
            New values of the network's state; the network itself is left as it is.
        """
        self._begin(batch)
        self._run_merging_phases()
        return self.state

    def _begin(self, batch):
        """Give the shards their rows of a minibatch."""
        self._prepare()
        self.state = {}
        bounds = shard_bounds(batch.n_rows, self._multiply_adds)
        while len(self._shards) < len(bounds):
            self._shards.append(Shard(self, self._scratch[len(self._shards) % len(self._scratch)]))
        self._active = self._shards[: len(bounds)]
        for shard, (start, stop) in zip(self._active, bounds, strict=True):
            shard.begin(batch, start, stop)

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

        def add(block):
            for other in others:
                np.add(first[block], other[block], out=first[block])

        if others:
            self.pool.run(add, blocks(first.size))
        return first

    def predict(self, batch: Batch, out: np.ndarray) -> np.ndarray:
        """Compute the results of the last step.

        Parameters
        ----------
        batch : Batch
        out : ndarray of shape (n_rows, n_outputs)
            Receives the scores.

        Returns
        -------
        out : ndarray
        """
        self._prepare()
        (phase,) = self.program.forward

        def run(rows):
            shard = self._idle_shard()
            shard.begin(batch, *rows)
            shard.run(phase)
            out[slice(*rows)] = shard.whole.units[-1].value
            self._shards.append(shard)

        self.pool.run(run, chunk_bounds(batch.n_rows, max(PREDICTION_ROWS, self._chunk_target)))
        return out

    def _idle_shard(self):
        """Return a shard that no thread predicts with."""
        try:
            return self._shards.pop()
        except IndexError:
            return Shard(self, self.arena())

    def params(self, step: Step) -> dict[str, np.ndarray]:
        """Return the parameters of a step."""
        return self.network.params.get(step.name, {})

    def arena(self) -> Arena:
        """Return new memory for arrays by name."""
        return Arena(self.network.dtype, self._blocks)

    def chunk_bounds(self, n_rows: int) -> list[tuple[int, int]]:
        """Return the chunks of a shard."""
        return chunk_bounds(n_rows, self._chunk_target)

    def input_gradient(self) -> np.ndarray:
        """Return the gradient of the last minibatch with respect to what was read, batch axis as there."""
        on_images = self.program.steps[0].takes_images
        pieces = [
            piece for shard in self._active for piece in (shard.chunks if on_images else (shard.whole,))
        ]
        return np.concatenate([piece.units[0].gradient for piece in pieces], axis=2 if on_images else 0)

    def _prepare(self):
        for index, step in enumerate(self.program.steps[1:], start=1):
            self.prepared[index] = step.layer.prepare(
                self.params(step), self.plans[index], training=self.training
            )

    def _merge(self, index):
        step = self.program.steps[index]
        partials = [partial for shard in self._active for partial in shard.partials]
        self.merged[index], state = step.layer.merge(self.params(step), partials)
        self.state.update({(step.name, key): value for key, value in state.items()})

    def _backward_merge(self, index):
        step = self.program.steps[index]
        partials = [partial for shard in self._active for partial in shard.partials]
        self.merged[index] = step.layer.backward_merge(self.params(step), self.merged[index], partials)


def blocks(size: int) -> list[slice]:
    """Cut a vector into slices of at most ``BLOCK`` elements."""
    return [slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK)]
