"""Units of work: what a layer sees of some rows of a minibatch, and its memory for them."""

from functools import cached_property

import numpy as np

from skcnn.layers.contract import check_array
from skcnn.network.context import Context, PieceContext, ShardContext


class Unit:
    """What one node sees of one piece; :class:`skcnn.layers.Layer` lists what it offers.

    Parameters
    ----------
    index : int
        Number of the node.
    sources : list of Unit
        Units of the same piece whose results this one reads.
    context : Context
    shard : ShardContext
    piece : PieceContext

    Attributes
    ----------
    params : dict of str to ndarray
        Parameters of the node's layer.
    plan : object
        What ``plan`` of the layer returned.
    kept : Arena
        ``kept(name, shape, dtype=None)`` returns memory that keeps its contents from forward to backward.
    scratch : Arena
        ``scratch(name, shape, dtype=None)`` returns memory for one call.
    """

    def __init__(
        self,
        index: int,
        sources: "list[Unit]",
        context: Context,
        shard: ShardContext,
        piece: PieceContext,
    ):
        program = context.program
        node = program.nodes[index]
        self._index, self._sources = index, sources
        self._context, self._shard, self._piece = context, shard, piece
        self._name, self._layer = node.name, node.layer
        self._waits = node.merges and context.training
        self._reads = program.reads[index]
        self._writes = program.gradient_writes[index]
        self.params = context.params[index]
        self.plan = context.plans[index]
        self.kept = piece.arenas[index]
        self.scratch = shard.scratch
        self._rng: np.random.Generator | None = None

    @property
    def weights(self) -> np.ndarray | None:
        """Sample weights of the rows, shape (n,), or None if all are equal."""
        weights = self._shard.weights
        return None if weights is None else weights[self._piece.rows]

    @property
    def rng(self) -> np.random.Generator:
        """A random generator keyed by training step, layer and first row; the same within a pass."""
        if self._rng is None:
            self._rng = self._shard.generator(self._index, self._piece.rows.start)
        return self._rng

    @property
    def prepared(self):
        """What ``prepare`` returned at the start of the training step."""
        return self._context.prepared[self._index]

    @property
    def merged(self):
        """What the last ``merge`` or ``backward_merge`` of this layer returned."""
        return self._context.merged[self._index]

    @cached_property
    def X(self):  # noqa: N802, the name of forward's argument
        """The input, or a tuple of inputs, if the layer's backward pass reads it; else None."""
        return self._input if "X" in self._reads else None

    @cached_property
    def Y(self):  # noqa: N802
        """The result if the layer's backward pass reads it; else None."""
        return self.value if "Y" in self._reads else None

    def accumulator(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array that the units of a shard share; zero at the first call of a step."""
        total, is_first = self._shard.accumulator((self._index, name), shape)
        if is_first:
            total.fill(0)
        return total

    def addend(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return memory, with arbitrary contents, for what this unit adds to an accumulator.

        :meth:`add` adds it. The first unit of a shard gets the accumulator itself, which saves passes over
        large arrays; nothing else may touch the accumulator until then.
        """
        total, is_first = self._shard.accumulator((self._index, name), shape)
        return total if is_first else self.scratch(("addend", name), shape)

    def add(self, name: str, addend: np.ndarray) -> None:
        """Add an addend to its accumulator."""
        total, is_first = self._shard.accumulator((self._index, name), addend.shape)
        if is_first:  # the layer made the addend itself
            np.copyto(total, addend)
        elif not np.may_share_memory(total, addend):
            np.add(total, addend, out=total)

    def add_gradient(self, name: str, value: np.ndarray) -> None:
        """Add a value to the gradient of a parameter.

        Raises
        ------
        ValueError
            If the layer has no such parameter, or its shape differs from that of the value.
        """
        gradient, is_first = self._shard.gradient_of(self._name, name)
        check_array(value, gradient, f"the gradient of {name!r} must be")
        if is_first:
            np.copyto(gradient, value, casting="same_kind")
        else:
            np.add(gradient, value, out=gradient)

    def add_gradient_product(self, name: str, A: np.ndarray, B: np.ndarray) -> None:
        """Add the product of two matrices to the gradient of a parameter; the first is computed in place.

        Raises
        ------
        ValueError
            As for :meth:`add_gradient`.
        """
        gradient, is_first = self._shard.gradient_of(self._name, name)
        if (*np.shape(A)[:-1], *np.shape(B)[1:]) != gradient.shape:
            raise ValueError(
                f"the gradient of {name!r} must be of shape {gradient.shape}, got the product of "
                f"{np.shape(A)} and {np.shape(B)}"
            )
        if is_first:
            np.matmul(A, B, out=gradient)
        else:
            np.add(gradient, np.matmul(A, B, out=self.scratch("product", gradient.shape)), out=gradient)

    @cached_property
    def value(self) -> np.ndarray:
        """Memory for the node's result."""
        return self._piece.memory("value", self._index)

    @cached_property
    def gradient(self) -> np.ndarray:
        """Memory for the gradient of the node's result."""
        return self._piece.memory("gradient", self._index)

    @cached_property
    def _input(self):
        """The result of the node that this one reads, or a tuple of several."""
        values = tuple(source.value for source in self._sources)
        return values[0] if len(values) == 1 else values

    @cached_property
    def _gradient_memory(self):
        """Memory for the gradient of each input; None if nothing reads it."""
        return tuple(
            None
            if write is None
            else source.gradient
            if write == "first"
            else self.scratch(("further gradient", position), source.value.shape)
            for position, (source, write) in enumerate(zip(self._sources, self._writes, strict=True))
        )

    def forward(self) -> None:
        """Run the node forward."""
        self._rng = None
        if self._layer is None:
            self._shard.read(self._piece.rows, self.value)
            return
        X = None if self._waits else self._input
        out = self.value
        result = self._layer.forward(self.params, X, self, training=self._context.training, out=out)
        if result is not out:
            self._copy(result, out, "forward")

    def statistics(self) -> None:
        """Compute the partial statistics of a merging node."""
        self._shard.partials.append(self._layer.statistics(self._input, self))

    def backward(self) -> None:
        """Run the node backward and pass the gradients to the nodes that it reads."""
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
                self._copy(dX, out, "backward")
            if self._writes[position] == "further":
                total = self._sources[position].gradient
                np.add(total, out, out=total)

    def backward_statistics(self) -> None:
        """Compute the partial statistics of the gradient of a merging node."""
        self._shard.partials.append(self._layer.backward_statistics(self.params, self.gradient, self))

    def finish(self) -> None:
        """Let the layer turn its accumulators into gradients."""
        self._layer.finish(self.params, self)

    def _copy(self, result, out, method):
        """Copy a result that the layer wrote elsewhere to ``out``, where others read it."""
        check_array(result, out, f"{method} must return")
        np.copyto(out, result)
