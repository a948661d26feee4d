"""Units of work: the rows of a minibatch that a layer sees at a time, and all memory they need."""

from math import prod

import numpy as np


class Arena:
    """Arrays by name, allocated once and handed out again; a smaller shape gets a view.

    Parameters
    ----------
    dtype : numpy.dtype
        Type of arrays for which none is asked for.
    """

    def __init__(self, dtype):
        self._dtype = np.dtype(dtype)
        self._memory = {}
        self._views = {}

    def get(self, name, shape: tuple[int, ...], dtype=None) -> np.ndarray:
        """Return the array of this name and dtype, with whatever it contains."""
        dtype = self._dtype if dtype is None else np.dtype(dtype)
        view = self._views.get((name, shape, dtype))
        if view is None:
            memory = self._memory.get((name, dtype))
            if memory is None or memory.size < prod(shape):
                memory = np.empty(prod(shape), dtype)
                self._memory[name, dtype] = memory
                self._views = {key: other for key, other in self._views.items() if key[0] != name}
            view = self._views[name, shape, dtype] = memory[: prod(shape)].reshape(shape)
        return view


class Unit:
    """What one step sees of one piece; :class:`skcnn.layers.Layer` lists what it offers."""

    def __init__(self, index: int, piece: "Piece"):
        self._index = index
        self._piece = piece
        self._rng = None
        self.X = self.Y = None

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

    def begin(self) -> None:
        """Forget the generator of the last pass."""
        self._rng = None

    @property
    def prepared(self):
        """What ``prepare`` returned at the start of the training step."""
        return self._piece.executor.prepared[self._index]

    @property
    def merged(self):
        """What the last ``merge`` or ``backward_merge`` of this layer returned."""
        return self._piece.executor.merged[self._index]

    def buffer(self, name: str, shape: tuple[int, ...], dtype=None) -> np.ndarray:
        """Return memory that keeps its contents from forward to backward."""
        return self._piece.arena.get((self._index, name), shape, dtype)

    def scratch(self, name: str, shape: tuple[int, ...], dtype=None) -> np.ndarray:
        """Return memory to use within one call."""
        return self._piece.executor.thread_arena().get(name, shape, dtype)

    def accumulator(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return memory that the units of a shard share, zero before their first backward."""
        return self._piece.shard.accumulator((self._index, name), shape)

    def add_gradient(self, name: str, value: np.ndarray) -> None:
        """Add to the gradient of a parameter.

        Raises
        ------
        ValueError
            If the value does not have the shape of the parameter.
        """
        layer_name = self._piece.executor.program.steps[self._index].name
        gradient = self._piece.shard.gradients[layer_name][name]
        if np.shape(value) != gradient.shape:
            raise ValueError(
                f"layer {layer_name!r}: the gradient of {name!r} must have shape {gradient.shape}, "
                f"got {np.shape(value)}"
            )
        np.add(gradient, value, out=gradient)


class Piece:
    """Some rows of a shard, a chunk or all of them: runs single steps and holds their results.

    Parameters
    ----------
    shard : Shard

    Attributes
    ----------
    rows : slice
        The rows, counted within the shard. Set for each minibatch; memory is kept.
    """

    def __init__(self, shard: "Shard"):
        self.shard = shard
        self.executor = shard.executor
        self.rows = slice(0, 0)
        self.arena = Arena(self.executor.network.dtype)
        self.units = [Unit(index, self) for index in range(len(self.executor.program.steps))]
        self._images = {}

    def forward(self, index: int) -> None:
        """Run a step forward."""
        step = self.executor.program.steps[index]
        out = self._allocate("value", index)
        if step.layer is None:
            self.shard.read(self.rows, out)
            result = out
        else:
            X = None if step.merges and self.executor.training else self._input(step)
            self.units[index].begin()
            result = step.layer.forward(
                self.executor.params(step), X, self.units[index], training=self.executor.training, out=out
            )
        self._store("value", index, result, out)

    def statistics(self, index: int) -> None:
        """Take the partial statistics of a merging step."""
        step = self.executor.program.steps[index]
        self.shard.partials.append(step.layer.statistics(self._input(step), self.units[index]))

    def backward(self, index: int) -> None:
        """Run a step backward and add the result to the gradients of its inputs."""
        program, step = self.executor.program, self.executor.program.steps[index]
        unit = self._backward_unit(index)
        writes = tuple(
            program.first_consumer.get(source) == index and source not in step.inputs[:position]
            for position, source in enumerate(step.inputs)
        )
        outs = tuple(
            self._gradient_share(source, position, writes[position])
            for position, source in enumerate(step.inputs)
        )
        single = len(outs) == 1
        dX = step.layer.backward(
            self.executor.params(step),
            self._load("gradient", index),
            unit,
            need_dX=any(out is not None for out in outs),
            out=outs[0] if single else outs,
        )
        shares = (dX,) if single else dX
        for source, first, out, share in zip(step.inputs, writes, outs, shares, strict=True):
            if out is None:
                continue
            if not single and share is not out:
                np.copyto(out, share)  # backward may overwrite its array, which two inputs must not share
                share = out
            if first:
                self._store("gradient", source, share, out)
            else:
                total = self._load("gradient", source)
                np.add(total, share, out=total)

    def backward_statistics(self, index: int) -> None:
        """Take the partial statistics of the gradient of a merging step."""
        step = self.executor.program.steps[index]
        dY = self._load("gradient", index)
        unit = self._backward_unit(index)
        self.shard.partials.append(step.layer.backward_statistics(self.executor.params(step), dY, unit))

    def input_gradient(self) -> np.ndarray:
        """Return the gradient of the images."""
        return self._load("gradient", 0)

    def _backward_unit(self, index):
        """Return the unit of a step with the arrays that its backward pass reads."""
        step, unit = self.executor.program.steps[index], self.units[index]
        unit.X = self._input(step) if "X" in step.layer.backward_reads else None
        unit.Y = self._load("value", index) if "Y" in step.layer.backward_reads else None
        return unit

    def _input(self, step):
        values = tuple(self._load("value", source) for source in step.inputs)
        return values[0] if len(values) == 1 else values

    def _gradient_share(self, source, position, writes):
        """Return where a step should write the gradient of an input, None where nothing reads it."""
        if source not in self.executor.program.need_gradient:
            return None
        if writes:
            return self._allocate("gradient", source)
        shape = self._shape(source)
        return self.executor.thread_arena().get(("gradient share", position), shape)

    def _allocate(self, kind, index):
        """Return memory for a step's result ("value") or its gradient ("gradient").

        Vectors are rows of a matrix of the shard. Images that a later segment or the backward pass
        reads have memory of their own, others share that of the thread.
        """
        if self._is_vector(index):
            return self.shard.matrix(kind, index)[self.rows]
        arena = self.arena if index in self.executor.program.kept[kind] else self.executor.thread_arena()
        return arena.get((kind, index), self._shape(index))

    def _shape(self, index):
        """Return the shape of the result of a step for the rows of this piece."""
        *size, channels = self.executor.program.steps[index].output_shape
        return (*size, self.rows.stop - self.rows.start, channels)

    def _is_vector(self, index):
        return len(self.executor.program.steps[index].output_shape) == 1

    def _load(self, kind, index):
        if self._is_vector(index):
            return self.shard.matrix(kind, index)[self.rows]
        return self._images[kind, index]

    def _store(self, kind, index, result, allocated):
        """Store a result; one that stands elsewhere is copied where the allocated memory is read later."""
        if result.shape != allocated.shape:
            raise ValueError(
                f"layer {self.executor.program.steps[index].name!r}: expected a {kind} of shape "
                f"{allocated.shape}, got {result.shape}"
            )
        is_vector = self._is_vector(index)
        if result is not allocated and (is_vector or index in self.executor.program.kept[kind]):
            np.copyto(allocated, result)
            result = allocated
        if not is_vector:
            self._images[kind, index] = result


class Shard:
    """A fixed share of a minibatch, with the gradient of its loss.

    Parameters
    ----------
    executor : Executor
    """

    def __init__(self, executor):
        self.executor = executor
        self.partials = []
        self.loss = 0.0
        self.n_rows = 0
        self.whole = Piece(self)
        self.chunks = []
        self._pieces = []
        self._matrices = Arena(executor.network.dtype)
        self._accumulators = {}
        if executor.training:
            self.gradient = np.empty_like(executor.network.vector)
            self.gradients = executor.network.views_of(self.gradient)

    def begin(self, batch, start: int, stop: int) -> None:
        """Take over the rows start to stop of a minibatch and clear the gradients."""
        self.batch, self.start = batch, start
        self.weights = None if batch.weights is None else batch.weights[start:stop]
        if self.n_rows != stop - start:
            self._cut(stop - start)
        if self.executor.training:
            self.gradient.fill(0)
            for accumulator in self._accumulators.values():
                accumulator.fill(0)

    def _cut(self, n_rows):
        """Cut this many rows into chunks, in the memory of earlier ones."""
        self.n_rows = n_rows
        self.whole.rows = slice(0, n_rows)
        bounds = self.executor.chunk_bounds(n_rows)
        self._pieces.extend(Piece(self) for _ in range(len(bounds) - len(self._pieces)))
        self.chunks = self._pieces[: len(bounds)]
        for piece, (start, stop) in zip(self.chunks, bounds, strict=True):
            piece.rows = slice(start, stop)

    def run(self, phase) -> None:
        """Run the segments of a phase, chunk by chunk or on all rows at once."""
        self.partials = []
        for segment in phase:
            for piece in self.chunks if segment.on_images else (self.whole,):
                for operation, index in segment.operations:
                    operation(piece, index)

    def take_loss(self, loss) -> None:
        """Compute the loss of the rows and its gradient with respect to the scores."""
        last = len(self.executor.program.steps) - 1
        rows = slice(self.start, self.start + self.n_rows)
        self.loss = loss.gradient(
            self.matrix("value", last),
            self.batch.targets[rows],
            self.batch.loss_weights[rows],
            out=self.matrix("gradient", last),
        )

    def finish(self) -> None:
        """Let every layer turn its accumulators into gradients."""
        for index, step in enumerate(self.executor.program.steps[1:], start=1):
            step.layer.finish(self.executor.params(step), self.whole.units[index])

    def read(self, rows: slice, out: np.ndarray) -> None:
        """Read images into ``out``."""
        self.batch.read(slice(self.start + rows.start, self.start + rows.stop), out)

    def matrix(self, kind: str, index: int) -> np.ndarray:
        """Return the matrix of a step whose result is a vector, one row a sample."""
        shape = (self.n_rows, *self.executor.program.steps[index].output_shape)
        return self._matrices.get((kind, index), shape)

    def accumulator(self, key, shape) -> np.ndarray:
        """Return the accumulator of a step."""
        if key not in self._accumulators:
            self._accumulators[key] = np.zeros(shape, self.executor.network.dtype)
        return self._accumulators[key]

    def generator(self, index: int, first_row: int) -> np.random.Generator:
        """Return the generator of a step for the rows from this one on."""
        return self.executor.streams.generator("dropout", self.batch.number, index, self.start + first_row)
