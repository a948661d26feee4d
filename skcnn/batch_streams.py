"""Training on batches that come one after the other."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def fit_batches(estimator, batches: Iterable, *, chunk_size: int = 1000, **options):
    """Train on an iterator of batches, by ``partial_fit``, while a thread waits for the next ones.

    Nothing is kept of a batch that has been used. Batches are collected to chunks, because a call of
    ``partial_fit`` trains for one epoch on its samples, in minibatches of ``batch_size``, and then computes
    running statistics of the averaged weights from them.

    Parameters
    ----------
    estimator : estimator with ``partial_fit``
        Such as :class:`skcnn.ConvNetClassifier`. Trained in place.
    batches : iterable of (X, y) or (X, y, sample_weight)
        Arrays, as ``partial_fit`` takes them, such as batches of a PyTorch ``DataLoader``. For several
        epochs, it has all batches several times.
    chunk_size : int, default=1000
        Smallest number of samples of a chunk, except for the last one.
    **options : dict
        Further arguments of each call of ``partial_fit``, such as ``classes``, which the first call of a
        classifier needs.

    Returns
    -------
    estimator : estimator

    Raises
    ------
    ValueError
        If a batch is something else or invalid, or there are none. The estimator keeps what it has learnt
        from earlier chunks.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import ConvNetClassifier, fit_batches
    >>> X, y = load_digits(return_X_y=True)
    >>> batches = ((X[start : start + 32], y[start : start + 32]) for start in range(0, 1500, 32))
    >>> clf = fit_batches(ConvNetClassifier(random_state=0), batches, classes=range(10))
    >>> clf.t_
    1504
    """
    if not chunk_size >= 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size!r}")
    chunks, n_chunks = chunks_of(batches, chunk_size), 0
    with ThreadPoolExecutor(1, "skcnn-batches") as thread:
        ahead = thread.submit(next, chunks, None)
        while (chunk := ahead.result()) is not None:
            ahead = thread.submit(next, chunks, None)
            names = ("X", "y", "sample_weight")
            estimator.partial_fit(**dict(zip(names, chunk, strict=False)), **options)
            n_chunks += 1
    if not n_chunks:
        raise ValueError("batches is empty: expected at least one (X, y)")
    return estimator


def chunks_of(batches: Iterable, size: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield chunks of at least ``size`` samples, except for the last one, as tuples of arrays."""
    collected: list = []
    for number, batch in enumerate(batches):
        arrays = tuple(map(np.asarray, batch)) if isinstance(batch, tuple | list) else ()
        n_arrays = len(collected[0] if collected else arrays)
        lengths = {array.shape[0] if array.ndim else None for array in arrays}
        if len(arrays) not in (2, 3) or len(arrays) != n_arrays or len(lengths) != 1:
            expected = "(X, y) or (X, y, sample_weight) of one length, with weights for all batches or none"
            shapes = [array.shape for array in arrays] or type(batch).__name__
            raise ValueError(f"batch {number} must be {expected}, got {shapes}")
        collected.append(arrays)
        if sum(len(arrays[0]) for arrays in collected) >= size:
            yield join(collected, number)
            collected = []
    if collected:
        yield join(collected, number)


def join(collected: list[tuple[np.ndarray, ...]], last: int) -> tuple[np.ndarray, ...]:
    """Return the arrays of some batches one after the other; ``last`` is the number of the last batch."""
    try:
        return tuple(map(np.concatenate, zip(*collected, strict=True)))
    except ValueError as error:
        raise ValueError(
            f"batches {last + 1 - len(collected)} to {last} differ in the shape of images or targets: {error}"
        ) from error
