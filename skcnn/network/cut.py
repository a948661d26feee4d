"""Sizes of shards, chunks and sections; the defaults are measured."""

from dataclasses import dataclass

SECTION = 65_536
"""Elements of a parameter vector for one call of an elementwise function; measured."""


@dataclass(frozen=True)
class Cut:
    """How minibatches and vectors are cut; the defaults are measured.

    Results depend on the cut, because it determines the order of sums, but not on the number of threads.

    Parameters
    ----------
    second_shard : int
        Forward multiply-adds of a minibatch from which a second shard pays off.
    further_shard : int
        Forward multiply-adds per shard if there are more than two: each further shard costs two threads a
        few percent.
    shard_rows : int
        Smallest number of rows of a shard if there are more than two: each shard reads all weights and
        writes a gradient of its own.
    min_shards : int
        Smallest number of shards of a minibatch that has as many rows.
    max_shards : int
        Largest number of shards of a minibatch.
    chunk_bytes : int
        Memory that the node with the highest use takes for a chunk. Smaller chunks would fit a cache, but
        larger ones make longer calls, which threads and matrix products gain more from.
    min_chunk : int
        Smallest number of images of a chunk, even if they exceed the memory.
    long_chunk : int
        Number of images up to which a chunk may take four times ``chunk_bytes``. If one node needs much
        memory, the calls of the others would otherwise be so short that threads wait for each other.
    prediction_rows : int
        Rows that pass through the vector layers together in prediction.
    gradient_rows : int
        Images per minibatch for gradients with respect to images.
    section : int
        Elements of a parameter vector that a thread updates at a time.
    init_bytes : int
        Memory for the inputs that a layer sees at a time when it is initialized from the data.
    run_bytes, window_bytes : int
        Memory for stored images that are read at a time; see :func:`skcnn.data.read_ahead.shuffled_runs`.

    Examples
    --------
    >>> Cut().shard_bounds(4, 10_000)
    [(0, 4)]
    >>> Cut(min_shards=2).shard_bounds(4, 10_000)
    [(0, 2), (2, 4)]
    """

    second_shard: int = 30_000_000
    further_shard: int = 800_000_000
    shard_rows: int = 8
    min_shards: int = 1
    max_shards: int = 8
    chunk_bytes: int = 8_000_000
    min_chunk: int = 1
    long_chunk: int = 16
    prediction_rows: int = 128
    gradient_rows: int = 64
    section: int = SECTION
    init_bytes: int = 4_000_000
    run_bytes: int = 1_000_000
    window_bytes: int = 32_000_000

    def shard_bounds(self, n_rows: int, multiply_adds: int) -> list[tuple[int, int]]:
        """Cut a minibatch into shards of nearly equal size, the largest first.

        Parameters
        ----------
        n_rows : int
            Size of the minibatch.
        multiply_adds : int
            Multiply-adds of the forward pass for one sample.

        Returns
        -------
        bounds : list of (start, stop)

        Examples
        --------
        >>> Cut().shard_bounds(100, 600_000)
        [(0, 50), (50, 100)]
        >>> Cut().shard_bounds(8, 1_800_000_000)
        [(0, 4), (4, 8)]
        >>> Cut().shard_bounds(96, 25_000_000)
        [(0, 32), (32, 64), (64, 96)]
        """
        total = n_rows * multiply_adds
        several = max(2, min(total // self.further_shard, n_rows // self.shard_rows))
        worthwhile = 1 if total < self.second_shard else several
        n_shards = min(n_rows, self.max_shards, max(self.min_shards, worthwhile))
        cuts = [-(-n_rows * index // n_shards) for index in range(n_shards + 1)]
        return list(zip(cuts, cuts[1:], strict=False))

    def prediction_bounds(self, n_rows: int, chunk_target: int = 1) -> list[tuple[int, int]]:
        """Cut rows to predict into shards of at least a chunk; the default gives the largest number.

        Examples
        --------
        >>> Cut().prediction_bounds(300), Cut().prediction_bounds(300, chunk_target=400)
        ([(0, 150), (150, 300)], [(0, 300)])
        """
        return chunk_bounds(n_rows, max(self.prediction_rows, chunk_target))

    def chunk_target(self, image_bytes: int) -> int:
        """Return the number of images of a chunk, given the largest memory that a node takes for an image.

        Examples
        --------
        >>> Cut().chunk_target(200_000)
        40
        >>> Cut().chunk_target(1_000_000)
        16
        """
        long_chunk = min(self.long_chunk, 4 * self.chunk_bytes // image_bytes)
        return max(self.min_chunk, self.chunk_bytes // image_bytes, long_chunk)


def chunk_bounds(n_rows: int, target: int) -> list[tuple[int, int]]:
    """Cut a shard into chunks of nearly equal size, close to a target.

    Examples
    --------
    >>> chunk_bounds(64, 20)
    [(0, 22), (22, 44), (44, 64)]
    """
    size = -(-n_rows // max(1, round(n_rows / target)))
    return [(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def sections(size: int, section: int = SECTION) -> list[slice]:
    """Cut a vector into slices of at most ``section`` elements.

    Examples
    --------
    >>> sections(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + section, size)) for start in range(0, size, section)]
