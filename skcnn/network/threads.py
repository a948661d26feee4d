"""The number of threads, the pool of threads, and the limit of one thread on the BLAS meanwhile."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

import joblib
import numpy as np
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

from skcnn.kernels.table import NUMPY, Kernels
from skcnn.network.cut import Cut

THREADS_VARIABLE = "SKCNN_NUM_THREADS"
LIMIT_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")

UFUNC_BUFFER_SIZE = 1024
"""Elements of numpy's buffer for strided and cast operands: fixed, because sums depend on it."""


class BlasGuard:
    """Limits the BLAS libraries of the process to one thread while skcnn computes.

    The limit applies to the whole process, so entries from all threads are counted: the first one saves
    and sets it, the last one restores it.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._entries = 0
        self._libraries: Any = None
        self._saved = []

    def __enter__(self) -> int:
        """Set the limit and return the previous one."""
        with self._lock:
            if self._entries == 0:
                if self._libraries is None:
                    self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers
                self._saved = [library.num_threads for library in self._libraries]
                self._set([1] * len(self._libraries))
            self._entries += 1
            return min(self._saved) if self._saved else joblib.cpu_count()

    def __exit__(self, *exception):
        with self._lock:
            self._entries -= 1
            if self._entries == 0:
                self._set(self._saved)

    def reset_after_fork(self):
        """Reset in a forked child, where the threads that had entered do not exist."""
        if self._entries:
            self._set(self._saved)
        self._lock = threading.Lock()
        self._entries = 0

    def _set(self, limits):
        """Set the limit of each library, even if another thread set it before.

        Since threadpoolctl 3.8, the thread that sets the limit of OpenBLAS controls it, and calls of other
        threads do nothing. The thread that leaves last may not be the first one, so control is released.
        """
        for library, limit in zip(self._libraries, limits, strict=True):
            release = getattr(library, "clear_controlling_thread", lambda force: None)
            release(force=True)
            library.set_num_threads(limit)
            release(force=True)


blas_guard = BlasGuard()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=blas_guard.reset_after_fork)


def thread_count(blas_limit: int, n_items: int | None = None) -> int:
    """Return the number of threads to compute on.

    Parameters
    ----------
    blas_limit : int
        Current limit of the BLAS; threadpoolctl, environment variables or a loky worker may have lowered it.
    n_items : int or None, default=None
        Largest number of calls to run; None if unknown. For one call, cores are not counted: counting takes
        as long as the prediction of a small network.

    Returns
    -------
    n_threads : int
        The environment variable SKCNN_NUM_THREADS, if set. Else 1 inside a worker of joblib, unless an
        environment variable sets a limit, because other workers use the other cores. Else the BLAS
        limit, at most the number of cores that affinity and cgroup leave to the process.

    Raises
    ------
    ValueError
        If the variable is not a positive integer.
    """
    requested = os.environ.get(THREADS_VARIABLE)
    if requested:
        if not requested.isdecimal() or int(requested) < 1:
            raise ValueError(f"{THREADS_VARIABLE} must be a positive integer, got {requested!r}")
        return int(requested)
    in_worker = (get_active_backend()[0].nesting_level or 0) > 0
    if n_items == 1 or in_worker and not any(variable in os.environ for variable in LIMIT_VARIABLES):
        return 1
    return max(1, min(blas_limit, joblib.cpu_count()))


class WorkerPool:
    """Runs a function over items on the calling thread and on helper threads.

    Parameters
    ----------
    n_threads : int
        Largest number of threads, the calling one included. A thread starts when the items first need it.
    cut : Cut or None
        How an executor cuts its work; None for ``default_cut``.
    kernels : Kernels
        What layers and optimizers compute with.

    Attributes
    ----------
    n_threads : int
        Fewer than given if the system cannot start as many.
    cut : Cut
    kernels : Kernels
    """

    default_cut = Cut()

    def __init__(self, n_threads: int, cut: Cut | None = None, kernels: Kernels = NUMPY):
        self.n_threads, self.kernels = n_threads, kernels
        self.cut = self.default_cut if cut is None else cut
        self._threads, self._tasks = [], SimpleQueue()

    def run(self, function, items: list) -> None:
        """Call ``function(item)`` for all items, on any of the threads.

        After an exception no further call starts; it is raised when the running calls have ended.
        """
        n_helpers = self._start(min(self.n_threads, len(items)) - 1)
        if n_helpers < 1:
            for item in items:
                function(item)
            return
        remaining = iter(items)
        lock, ends = threading.Lock(), SimpleQueue()

        def work():
            while True:
                with lock:
                    item = next(remaining, remaining)
                if item is remaining:
                    return
                try:
                    function(item)
                except BaseException:
                    with lock:
                        list(remaining)
                    raise

        def help():
            try:
                work()
            except BaseException as error:
                ends.put(error)
            else:
                ends.put(None)

        n_tasks = 0
        try:
            while n_tasks < n_helpers:
                self._tasks.put(help)
                n_tasks += 1
            work()
        finally:
            errors = [error for error in (ends.get() for _ in range(n_tasks)) if error is not None]
        if errors:
            raise errors[0]

    def _start(self, n_helpers):
        """Start threads until there are ``n_helpers``, and return how many of these exist."""
        while len(self._threads) < n_helpers:
            thread = threading.Thread(target=self._serve, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no more threads, or none, as under WebAssembly
                self.n_threads = len(self._threads) + 1
                break
            self._threads.append(thread)
        return min(n_helpers, len(self._threads))

    def _serve(self):
        """Run tasks until one is None."""
        _configure_numpy()
        while (task := self._tasks.get()) is not None:
            task()
            del task  # frees what it holds while the thread waits

    def close(self) -> None:
        """End the threads."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()


def _configure_numpy():
    """Set numpy's state of the current thread; results are checked for overflow, so it raises no warning."""
    np.seterr(all="ignore")
    np.setbufsize(UFUNC_BUFFER_SIZE)


@contextmanager
def numpy_state(errors: Mapping[str, Any], buffer_size: int):
    """Set numpy's error handling and buffer size of the current thread within a with statement."""
    with np.errstate(**errors):
        before = np.setbufsize(buffer_size)
        try:
            yield
        finally:
            np.setbufsize(before)


def working_numpy_state() -> AbstractContextManager:
    """Give the current thread the numpy state of the helper threads within a with statement."""
    return numpy_state({"all": "ignore"}, UFUNC_BUFFER_SIZE)


def current_numpy_state() -> Callable[[], AbstractContextManager]:
    """Return a function whose context manager restores the current state of numpy."""
    return partial(numpy_state, np.geterr(), np.getbufsize())


@contextmanager
def worker_pool(cut: Cut | None = None, *, n_predicted: int | None = None, kernels: Kernels = NUMPY):
    """Limit the BLAS to one thread and yield a pool of as many threads as it would have used.

    Parameters
    ----------
    cut : Cut or None
        As for :class:`WorkerPool`.
    n_predicted : int or None, default=None
        Number of rows if the pool only predicts: few rows need only one thread.
    kernels : Kernels
        What layers and optimizers compute with.

    Yields
    ------
    pool : WorkerPool
    """
    with blas_guard as blas_limit, working_numpy_state():
        cut = WorkerPool.default_cut if cut is None else cut
        n_items = None if n_predicted is None else len(cut.prediction_bounds(n_predicted))
        pool = WorkerPool(thread_count(blas_limit, n_items), cut, kernels)
        try:
            yield pool
        finally:
            pool.close()
