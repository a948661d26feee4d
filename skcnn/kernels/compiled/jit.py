"""The compiler of the kernels, and what their inner loops share.

LLVM makes vector instructions of inner loops over whole one-dimensional arrays with unsigned offsets: slices
count references, and signed offsets may be negative, which costs a test each. Sums stay in the order that is
written, so results do not depend on the number of threads.

Numba keeps machine code by the file of the outermost function alone. After a change of what several files
use, such as the functions below, the cache is outdated: ``NUMBA_CACHE_DIR`` names another folder.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numba
import numpy as np
import scipy.linalg.cython_blas  # noqa: F401, whose products compiled code calls: the pool limits their threads
from numba.core.event import Listener, install_listener

from skcnn.kernels.windows import Windows

OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "fastmath": {"contract", "nsz", "arcp"},  # nothing that changes the order of sums or ignores NaN
}

index = np.uint64
"""Type of offsets in inner loops."""


def compiled(function: Callable) -> Callable:
    """Compile a function when it is first called, and keep the machine code on disk where possible."""
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no folder can be written to
        return numba.njit(**OPTIONS)(function)


def inlined(function: Callable) -> Callable:
    """Compile a function into those that call it."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


class _Announcement(Listener):
    """Prints a line when the first of our functions is compiled, not when one is read from the disk."""

    def __init__(self):
        self._is_made = False

    def on_start(self, event):
        is_ours = event.data["dispatcher"].py_func.__module__.startswith(__package__)
        if is_ours and not self._is_made:
            self._is_made = True
            print("compiling kernels, which takes some seconds once on a machine", flush=True)

    def on_end(self, event):
        pass


@contextmanager
def compilation_announced() -> Iterator[None]:
    """Print a line if functions are compiled within a with statement."""
    with install_listener("numba:compile", _Announcement()):
        yield


def geometry_of(windows: Windows) -> tuple:
    """Return what loops over windows need.

    Sizes of images and windows, counts, strides and dilation of the windows, and the padding before images.
    """
    (top, _), (left, _) = windows.padding
    sizes = windows.image_size, windows.size, windows.counts
    return *sizes, windows.strides, windows.dilation, (top, left)


@compiled
def copy_run(A, a, B, b, n):
    """Copy n elements of A to B."""
    for k in range(n):
        B[b + k] = A[a + k]


@compiled
def clear_run(A, a, n):
    """Write n zeros to A."""
    for k in range(n):
        A[a + k] = 0


@compiled
def add_run(A, a, B, b, n):
    """Add n elements of A to B."""
    for k in range(n):
        B[b + k] += A[a + k]
