"""Units of work: the rows of a minibatch that a layer sees at a time, and all memory they need.

An executor has shards, a shard has pieces, and a piece has units. References the other way are weak, so that
memory is free as soon as the executor is gone, not when the garbage collector comes by.
"""

import weakref
from functools import cached_property
from math import prod

import numpy as np

from skcnn.network.memory import Arena


class Unit:
    """What one step sees of one piece; :class:`skcnn.layers.Layer` lists what it offers.

    Parameters
    ----------
    index : int
        Number of the step.
    piece : Piece

    Attributes
    ----------
    params : dict of str to ndarray
        Parameters of the step's layer.
    plan : object
        What ``plan`` of the layer returned.
    buffer : Arena
        ``buffer(name, shape, dtype=None)`` returns memory that keeps its contents from forward to backward.
    scratch : Arena
        ``scratch(name, shape, dtype=None)`` returns memory to use within one call.
    """

    def __init__(self, index: int, piece: "Piece"):
        executor = piece.shard.executor
        self._index, self._piece, self._executor = index, weakref.proxy(piece), executor
        self._step = step = executor.program.steps[index]
        self._layer = step.layer
        self._reads = executor.program.reads[index]
        self._waits = step.merges and executor.training
        self._sources = [piece.units[source] for source in step.inputs]
        self._shares = executor.program.gradient_shares[index]
        self.params = executor.params(step)
        self.plan = executor.plans[index]
        self.buffer = executor.arena()
        self.scratch = piece.shard.scratch
        self._rng = None

    @property
    def weights(self) -> np.ndarray | None:
        """Sample weights of the rows, shape (n,), or None where all rows weigh the same."""
        weights = self._piece.shard.weights
        return None if weights is None else weights[self._piece.rows]

    @property
    def rng(self) -> np.random.Generator:
        """A generator keyed by training step, layer and first row; the same one throughout a pass."""
        if self._rng is None:
            self._rng = self._piece.shard.generator(self._index, self._piece.rows.start)
        return self._rng

    @property
    def prepared(self):
        """What ``prepare`` returned at the start of the training step."""
        return self._executor.prepared[self._index]

    @property
    def merged(self):
        """What the last ``merge`` or ``backward_merge`` of this layer returned."""
        return self._executor.merged[self._index]

    @cached_property
    def X(self):  # noqa: N802, the name of forward's argument
        """The input, or a tuple of inputs, if the backward pass of the layer reads it."""
        return self._input if "X" in self._reads else None

    @cached_property
    def Y(self):  # noqa: N802
        """The result, if the backward pass of the layer reads it."""
        return self.value if "Y" in self._reads else None

    def accumulator(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return memory that the units of a shard share, zero before their first backward."""
        total, is_first = self._piece.shard.accumulator((self._index, name), shape)
        if is_first:
            total.fill(0)
        return total

    def share(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return memory, with any content, to write what this unit adds to an accumulator.

        :meth:`add_share` adds it. For the first unit of a shard it is the accumulator itself, which nothing
        else may touch in between, and which spares passes over large ones.
        """
        total, is_first = self._piece.shard.accumulator((self._index, name), shape)
        return total if is_first else self.scratch(("share", name), shape)

    def add_share(self, name: str, share: np.ndarray) -> None:
        """Add what was written into a share to its accumulator."""
        total, is_first = self._piece.shard.accumulator((self._index, name), share.shape)
        if is_first:  # the share is an array of the layer's own
            np.copyto(total, share)
        elif not np.may_share_memory(total, share):
            np.add(total, share, out=total)

    def add_gradient(self, name: str, value: np.ndarray) -> None:
        """Add to the gradient of a parameter.

        Raises
        ------
        ValueError
            If the value does not have the shape of the parameter.
        """
        gradient, is_first = self._piece.shard.gradient_of(self._step.name, name)
        if np.shape(value) != gradient.shape:
            raise ValueError(
                f"layer {self._step.name!r}: the gradient of {name!r} must have shape {gradient.shape}, "
                f"got {np.shape(value)}"
            )
        if is_first:
            np.copyto(gradient, value, casting="same_kind")
        else:
            np.add(gradient, value, out=gradient)

    def add_gradient_product(self, name: str, A: np.ndarray, B: np.ndarray) -> None:
        """Add the product of two matrices to the gradient of a parameter; the first is written there."""
        gradient, is_first = self._piece.shard.gradient_of(self._step.name, name)
        if is_first:
            np.matmul(A, B, out=gradient)
        else:
            np.add(gradient, np.matmul(A, B, out=self.scratch("product", gradient.shape)), out=gradient)

    @cached_property
    def value(self) -> np.ndarray:
        """Memory of the step's result."""
        return self._piece.memory("value", self._index)

    @cached_property
    def gradient(self) -> np.ndarray:
        """Memory of the gradient of the step's result."""
        return self._piece.memory("gradient", self._index)

    @cached_property
    def _input(self):
        """The result of the step that this one reads, or a tuple of several."""
        values = tuple(source.value for source in self._sources)
        return values[0] if len(values) == 1 else values

    @cached_property
    def _gradient_memory(self):
        """Where the gradient of each input goes, None where nothing reads it."""
        return tuple(
            None
            if share is None
            else source.gradient
            if share == "first"
            else self.scratch(("gradient share", position), source.value.shape)
            for position, (source, share) in enumerate(zip(self._sources, self._shares, strict=True))
        )

    def forget_memory(self) -> None:
        """Look for all memory anew, for the rows have changed."""
        for name, attribute in vars(Unit).items():
            if isinstance(attribute, cached_property):
                self.__dict__.pop(name, None)

    def forward(self) -> None:
        """Run the step forward."""
        self._rng = None
        if self._layer is None:
            self._piece.shard.read(self._piece.rows, self.value)
            return
        X = None if self._waits else self._input
        out = self.value
        result = self._layer.forward(self.params, X, self, training=self._executor.training, out=out)
        if result is not out:
            self._copy(result, out, "result")

    def statistics(self) -> None:
        """Take the partial statistics of a merging step."""
        self._piece.shard.partials.append(self._layer.statistics(self._input, self))

    def backward(self) -> None:
        """Run the step backward and hand the result to the steps that it reads."""
        outs = self._gradient_memory
        single = len(outs) == 1
        result = self._layer.backward(
            self.params,
            self.gradient,
            self,
            need_dX=any(out is not None for out in outs),
            out=outs[0] if single else outs,
        )
        for position, dX in enumerate((result,) if single else result):
            out = outs[position]
            if out is None:
                continue
            if dX is not out:
                self._copy(dX, out, "gradient of the input")
            if self._shares[position] == "further":
                total = self._sources[position].gradient
                np.add(total, out, out=total)

    def backward_statistics(self) -> None:
        """Take the partial statistics of the gradient of a merging step."""
        self._piece.shard.partials.append(self._layer.backward_statistics(self.params, self.gradient, self))

    def finish(self) -> None:
        """Let the layer turn its accumulators into gradients."""
        self._layer.finish(self.params, self)

    def _copy(self, result, out, what):
        """Copy a result that stands elsewhere to where others look for it."""
        if np.shape(result) != out.shape:
            raise ValueError(
                f"layer {self._step.name!r}: expected a {what} of shape {out.shape}, got {np.shape(result)}"
            )
        np.copyto(out, result)


class Piece:
    """Some rows of a shard, a chunk or all of them, and the memory of their results.

    Parameters
    ----------
    shard : Shard

    Attributes
    ----------
    rows : slice
        The rows, counted within the shard.
    units : list of Unit
        One for each step.
    """

    def __init__(self, shard: "Shard"):
        self.shard = weakref.proxy(shard)
        self.rows = slice(0, 0)
        self.arena = shard.executor.arena()
        self.units = []
        for index in range(len(shard.executor.program.steps)):
            self.units.append(Unit(index, self))

    def take(self, rows: slice) -> None:
        """Take over other rows, in the memory of those before."""
        self.rows = rows
        for unit in self.units:
            unit.forget_memory()

    def memory(self, kind: str, index: int) -> np.ndarray:
        """Return memory for a step's result ("value") or its gradient ("gradient").

        Vectors are rows of a matrix of the shard. Images that a later segment or the backward pass reads
        stand in memory of this piece, others in that of the thread.
        """
        program = self.shard.executor.program
        home = program.homes[kind][index]
        *size, channels = program.steps[index].output_shape
        if not size:
            return self.shard.matrix(kind, home, channels)[self.rows]
        place = program.places[kind, home]
        arena = self.arena if place.is_kept else self.shard.scratch
        shape = (*size, self.rows.stop - self.rows.start, channels)
        return arena(place, (program.place_sizes[place] * shape[2],))[: prod(shape)].reshape(shape)


class Shard:
    """A fixed share of a minibatch, with the gradient of its loss.

    Parameters
    ----------
    executor : Executor
    scratch : Arena
        Memory that is used within one call, shared with all that runs on the same thread.
    """

    def __init__(self, executor, scratch: Arena):
        self.executor = weakref.proxy(executor)
        self.scratch = scratch
        self.gradient = np.empty_like(executor.network.vector) if executor.training else None
        self._gradients = executor.network.views_of(self.gradient) if executor.training else {}
        self._written = set()
        self.partials = []
        self.loss = 0.0
        self.n_rows = 0
        self.whole = Piece(self)
        self.chunks = []
        self._pieces = []
        self._matrices = executor.arena()
        self._accumulators = {}

    def begin(self, batch, start: int, stop: int) -> None:
        """Take over the rows start to stop of a minibatch and forget the gradients."""
        self.batch, self.start = batch, start
        self.weights = None if batch.weights is None else batch.weights[start:stop]
        if self.n_rows != stop - start:
            self._cut(stop - start)
        if self.executor.training:
            self._written.clear()

    def _cut(self, n_rows):
        """Cut this many rows into chunks, in the memory of earlier ones."""
        self.n_rows = n_rows
        self.whole.take(slice(0, n_rows))
        bounds = self.executor.chunk_bounds(n_rows)
        self._pieces.extend(Piece(self) for _ in range(len(bounds) - len(self._pieces)))
        self.chunks = self._pieces[: len(bounds)]
        for piece, (start, stop) in zip(self.chunks, bounds, strict=True):
            piece.take(slice(start, stop))

    def run(self, phase) -> None:
        """Run the segments of a phase, chunk by chunk or on all rows at once.

        Raises
        ------
        MemoryError
            If there is no memory for a layer; the message names it.
        """
        self.partials = []
        for segment in phase:
            for piece in self.chunks if segment.on_images else (self.whole,):
                for operation, index in segment.operations:
                    try:
                        operation(piece.units[index])
                    except MemoryError as error:
                        raise self.executor.program.steps[index].memory_error(error) from error

    def take_loss(self, loss) -> None:
        """Compute the loss of the rows and its gradient with respect to the scores."""
        last = self.whole.units[-1]
        rows = slice(self.start, self.start + self.n_rows)
        self.loss = loss.gradient(
            last.value, self.batch.targets[rows], self.batch.loss_weights[rows], out=last.gradient
        )

    def finish(self) -> None:
        """Let every layer turn its accumulators into gradients; what none has written is zero."""
        for unit in self.whole.units[1:]:
            unit.finish()
        for layer, gradients in self._gradients.items():
            for name, gradient in gradients.items():
                if (layer, name) not in self._written:
                    gradient.fill(0)

    def gradient_of(self, layer: str, name: str) -> tuple[np.ndarray, bool]:
        """Return the gradient of a parameter, for the caller to add to or, if the flag is true, to write."""
        is_first = (layer, name) not in self._written
        self._written.add((layer, name))
        return self._gradients[layer][name], is_first

    def read(self, rows: slice, out: np.ndarray) -> None:
        """Read images into ``out``."""
        self.batch.read(slice(self.start + rows.start, self.start + rows.stop), out)

    def matrix(self, kind: str, index: int, n_columns: int) -> np.ndarray:
        """Return the matrix of a step whose result is a vector, one row a sample."""
        return self._matrices((kind, index), (self.n_rows, n_columns))

    def accumulator(self, key, shape) -> tuple[np.ndarray, bool]:
        """Return the accumulator of a step, for the caller to add to or, if the flag is true, to write."""
        if key not in self._accumulators:
            self._accumulators[key] = np.empty(shape, self.executor.network.dtype)
        is_first = key not in self._written
        self._written.add(key)
        return self._accumulators[key], is_first

    def generator(self, index: int, first_row: int) -> np.random.Generator:
        """Return the generator of a step for the rows from this one on."""
        return self.executor.streams.generator("dropout", self.batch.number, index, self.start + first_row)
