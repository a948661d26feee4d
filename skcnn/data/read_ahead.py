"""Minibatches of images that are read while others are trained on, and orders in which reading is fast."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from math import prod

import numpy as np

from skcnn.data.images import ImageSource
from skcnn.data.samples import TrainingData


def shuffled_runs(
    images: ImageSource, generator: np.random.Generator | None, *, run_bytes: int, window_bytes: int
) -> list[np.ndarray]:
    """Return all rows of a source once, in an order of which each part is read at a time.

    Where neighbouring images lie in blocks that are read as a whole, such as the chunks of a dataset, blocks
    are put in random order, and windows of some blocks are shuffled each. So each block is read once an
    epoch, and a minibatch has images of as many blocks as a window. Otherwise, all orders are equally likely.

    Parameters
    ----------
    images : ImageSource
    generator : numpy.random.Generator or None
        None: keep the order.
    run_bytes : int
        Memory for the images that are read at a time where any rows are read equally fast.
    window_bytes : int
        Memory for a window, which has two blocks at least.
    """
    n_images, image_bytes = len(images), prod(images.X.shape[1:]) * images.X.dtype.itemsize
    if images.block > 1 and generator is not None:
        block_of = (np.arange(n_images) if images.subset is None else images.subset) // images.block
        found, numbers = np.unique(block_of, return_inverse=True)
        places = generator.permutation(len(found))[numbers]
        n_blocks = max(2, window_bytes // (image_bytes * images.block))
        ends = np.cumsum(np.bincount(places))[n_blocks - 1 :: n_blocks]
        windows = np.split(np.argsort(places, kind="stable"), ends)
        return [generator.permutation(window) for window in windows if len(window)]
    order = np.arange(n_images, dtype=np.int32 if n_images < 2**31 else np.int64)
    if generator is not None:
        generator.shuffle(order)
    if not images.is_lazy:
        return [order]
    return np.array_split(order, max(1, min(n_images, n_images * image_bytes // run_bytes)))


def read_ahead(
    data: TrainingData, runs: Iterable[np.ndarray], sizes: Iterable[int], n_threads: int
) -> Iterator[tuple[np.ndarray, TrainingData]]:
    """Yield minibatches, whose images are in memory, while threads read what follows.

    Parameters
    ----------
    data : TrainingData
    runs : iterable of ndarray of int
        Rows that are read at a time, one after the other.
    sizes : iterable of int
        Sizes of the minibatches, which together have all rows of the runs.
    n_threads : int
        How many runs are read at the same time. Results do not depend on it.

    Yields
    ------
    rows : ndarray of int
    data : TrainingData
        All data, which have the images of these rows in memory.
    """
    source, runs = data.images, iter(runs)
    if not source.is_lazy:
        for rows, _ in minibatches(((run, run) for run in runs), sizes):
            yield rows, data
        return

    def read(run):
        order = np.argsort(run)  # as they lie on the disk
        images = source.raw(run[order])
        in_order = np.empty_like(images)
        in_order[order] = images
        return run, in_order

    pool = ThreadPoolExecutor(n_threads, "skcnn-read")
    try:
        n_ahead = 1 if source.block > 1 else n_threads + 1  # windows are large
        ahead = deque(pool.submit(read, run) for run in islice(runs, n_ahead))

        def parts():
            while ahead:
                part = ahead.popleft().result()
                ahead.extend(pool.submit(read, run) for run in islice(runs, 1))
                yield part

        for rows, images in minibatches(parts(), sizes):
            yield rows, replace(data, images=LoadedImages(source, rows, images))
    finally:
        pool.shutdown(cancel_futures=True)


def minibatches(
    parts: Iterator[tuple[np.ndarray, np.ndarray]], sizes: Iterable[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut rows and their images, which come in parts, into minibatches of some sizes."""
    rows, images = next(parts)
    for size in sizes:
        while len(rows) < size:
            part = next(parts)
            rows, images = (np.concatenate(pair) for pair in zip((rows, images), part, strict=True))
        yield rows[:size], images[:size]
        rows, images = rows[size:], images[size:]


class LoadedImages(ImageSource):
    """A source of which some images are in memory; others, which augmentations mix in, are read.

    Parameters
    ----------
    source : ImageSource
    rows : ndarray of int
    images : ndarray of shape (n_rows, ...)
    """

    def __init__(self, source: ImageSource, rows: np.ndarray, images: np.ndarray):
        super().__init__(source.X, source.format, source.subset)
        self._order = np.argsort(rows)
        self._rows, self._images = rows[self._order], images

    def raw(self, rows):
        places = np.searchsorted(self._rows, rows).clip(max=len(self._rows) - 1)
        if np.array_equal(self._rows[places], rows):
            return self._images[self._order[places]]
        return super().raw(rows)
