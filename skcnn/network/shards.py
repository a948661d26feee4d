"""Shards and pieces: the rows of a minibatch for the units of work, and the order in which units run."""

import numpy as np

from skcnn.layers.contract import ERRORS
from skcnn.network.context import Context, PieceContext, ShardContext
from skcnn.network.memory import Arena
from skcnn.network.units import Unit


class Piece:
    """Some rows of a shard: a chunk, or all of them.

    Parameters
    ----------
    context : Context
    shard : ShardContext

    Attributes
    ----------
    units : list of Unit
        One for each node. They are made anew for other rows, because they cache memory for these rows.
    """

    def __init__(self, context: Context, shard: ShardContext):
        self._context, self._shard = context, shard
        self._own = PieceContext(context, shard)
        self.units = []

    def take(self, rows: slice) -> None:
        """Switch to other rows, with new units in the same memory."""
        self._own.rows = rows
        self.units = []
        for index, node in enumerate(self._context.program.nodes):
            sources = [self.units[source] for source in node.inputs]
            self.units.append(Unit(index, sources, self._context, self._shard, self._own))


class Shard:
    """Some rows of a minibatch, independent of the number of threads, and the gradient of their loss.

    Parameters
    ----------
    context : Context
    scratch : Arena
        Memory for one call, shared by all calls on the same thread.

    Attributes
    ----------
    whole : Piece
        All rows, for nodes on vectors.
    chunks : list of Piece
        The same rows, a few at a time, for nodes on images.
    loss : float
        Sum of the weighted losses of the rows.
    """

    def __init__(self, context: Context, scratch: Arena):
        self._context, self._own = context, ShardContext(context, scratch)
        self.whole = Piece(context, self._own)
        self.chunks = []
        self._pieces = []
        self._chunk_bounds = []
        self.loss = 0.0

    @property
    def rows(self) -> slice:
        """The shard's rows of the minibatch."""
        return self._own.rows

    @property
    def gradient(self) -> np.ndarray:
        """The gradient of the loss with respect to the parameters, shape (n_params,)."""
        return self._own.gradient

    @property
    def partials(self) -> list:
        """The partial statistics of the last phase, in the order of the chunks."""
        return self._own.partials

    def begin(self, batch, start: int, stop: int, chunk_bounds: list[tuple[int, int]]) -> None:
        """Start with the rows from start to stop of a minibatch, in these chunks, and reset the gradients."""
        self._own.begin(batch, start, stop)
        if chunk_bounds != self._chunk_bounds:
            self._cut(stop - start, chunk_bounds)

    def _cut(self, n_rows, chunk_bounds):
        """Cut ``n_rows`` rows into chunks, in the memory of earlier chunks."""
        self.whole.take(slice(0, n_rows))
        n_missing = len(chunk_bounds) - len(self._pieces)
        self._pieces.extend(Piece(self._context, self._own) for _ in range(n_missing))
        self.chunks = self._pieces[: len(chunk_bounds)]
        for piece, bounds in zip(self.chunks, chunk_bounds, strict=True):
            piece.take(slice(*bounds))
        self._chunk_bounds = chunk_bounds

    def run(self, phase) -> None:
        """Run the segments of a phase, chunk by chunk or on all rows at once.

        Raises
        ------
        MemoryError, ValueError, TypeError, LookupError
            If a layer raises it; the message names the layer.
        """
        self._own.partials = []
        nodes = self._context.program.nodes
        for segment in phase:
            for piece in self.chunks if segment.on_images else (self.whole,):
                units = piece.units
                for operation, index in segment.operations:
                    try:
                        getattr(units[index], operation)()
                    except ERRORS as error:
                        nodes[index].raise_named(error)

    def take_loss(self, loss) -> None:
        """Compute the loss of the rows and its gradient with respect to the scores."""
        last, batch, rows = self.whole.units[-1], self._own.batch, self.rows
        self.loss = loss.gradient(
            last.value, batch.targets[rows], batch.loss_weights[rows], out=last.gradient
        )

    def finish(self) -> None:
        """Let every layer turn its accumulators into gradients; gradients that no layer writes are zero."""
        for node, unit in zip(self._context.program.nodes[1:], self.whole.units[1:], strict=True):
            with node.name_errors():
                unit.finish()
        self._own.fill_gradients()
