"""The kernels of a backend, by its name."""

from functools import cache

from skcnn.kernels.table import NUMPY, Kernels
from skcnn.user_warnings import warn_user

BACKENDS = ("numpy", "numba")


def kernels_of(backend: str) -> Kernels:
    """Return the kernels of a backend, which is imported when it is first used.

    Raises
    ------
    ImportError
        If Numba is missing or does not fit; the message says what to install.
    ValueError
        If there is no such backend.

    Examples
    --------
    >>> kernels_of("numpy").backend
    'numpy'
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {BACKENDS}, got {backend!r}")
    if backend == "numpy":
        return NUMPY
    try:
        from skcnn.kernels.compiled import NUMBA
    except ImportError as error:
        raise ImportError(
            f'backend={backend!r} needs Numba: python -m pip install "skcnn[numba]" ({error})', name="numba"
        ) from error
    return NUMBA


def kernels_or_numpy(backend: str) -> Kernels:
    """Return the kernels of a backend, or those of numpy with a warning, once, where it is missing."""
    try:
        return kernels_of(backend)
    except ImportError as error:
        _warn_once(f"{error}; numpy computes instead")
        return NUMPY


@cache
def _warn_once(message):
    warn_user(message)
