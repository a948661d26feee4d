"""Memory for arrays that are reused."""

import threading
from math import prod

import numpy as np

SLAB_BYTES = 16 * 2**20
"""Size of a slab."""

ALIGNMENT = 64
"""Bytes of a cache line; arrays start at a multiple of it."""


def new_memory(size: int, dtype: np.dtype) -> np.ndarray:
    """Return an uninitialized array of ``size`` elements that starts at a cache line."""
    n_bytes = size * dtype.itemsize
    try:
        memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    except ValueError as error:  # too large for numpy to try
        raise MemoryError(str(error)) from error
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + n_bytes].view(dtype)


class Slabs:
    """Cuts arrays from large slabs of memory that threads share.

    For a few megabytes or more, numpy asks the system for huge pages, which are faster to address.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._slab = np.empty(0, np.uint8)

    def __call__(self, size: int, dtype) -> np.ndarray:
        """Return an uninitialized array of ``size`` elements."""
        n_bytes = size * dtype.itemsize
        if n_bytes > SLAB_BYTES // 4:
            return new_memory(size, dtype)
        with self._lock:
            if self._slab.size < n_bytes:
                self._slab = new_memory(SLAB_BYTES, np.dtype(np.uint8))
            array = self._slab[:n_bytes]
            self._slab = self._slab[-(-n_bytes // ALIGNMENT) * ALIGNMENT :]
        return array.view(dtype)


class Arena:
    """Arrays by name, allocated once and reused; a smaller shape gets a view.

    Parameters
    ----------
    dtype : numpy.dtype
        Default type of the arrays.
    allocate : callable
        ``allocate(size, dtype)`` returns new memory.
    """

    def __init__(self, dtype, allocate=new_memory):
        self._dtype = np.dtype(dtype)
        self._allocate = allocate
        self._memory = {}
        self._views = {}
        self._workspaces = {}

    def __call__(self, name, shape: tuple[int, ...], dtype=None) -> np.ndarray:
        """Return the array of this name and dtype, with its present contents."""
        view = self._views.get((name, shape, dtype))
        if view is None:
            view = self._views[name, shape, dtype] = self._view(name, shape, dtype)
        return view

    def _view(self, name, shape, dtype):
        dtype = self._dtype if dtype is None else np.dtype(dtype)
        memory = self._memory.get((name, dtype))
        if memory is None or memory.size < prod(shape):
            if memory is not None:  # its views are outdated
                self._views = {key: view for key, view in self._views.items() if key[0] != name}
                self._workspaces = {}
            memory = self._memory[name, dtype] = self._allocate(prod(shape), dtype)
        return memory[: prod(shape)].reshape(shape)

    def workspace(self, make, *sizes):
        """Return the arrays and views of ``make(self, *sizes)``, reused until memory is reallocated."""
        workspace = self._workspaces.get((make, sizes))
        if workspace is None:
            workspace = make(self, *sizes)
            self._workspaces[make, sizes] = workspace
        return workspace
