"""Checks of what layers declare and return, so that a mistake in a user's layer is named at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from skcnn.layers.base import Layer, MergingLayer, Shape, is_integer

ERRORS = (
    MemoryError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NameError,
    ZeroDivisionError,
    NotImplementedError,
)
"""Errors that a layer raises if it does not fit in memory or contains a mistake."""

NAMES_OF_PARAMS = ("decayed_params", "buffer_params", "count_params", "constant_params")
"""Attributes that list names of parameters."""


def name_error(error: Exception, label: str) -> Exception:
    """Return one of ``ERRORS`` with a label, such as the layer's name, at the start of its message."""
    kind = next(kind for kind in ERRORS if isinstance(error, kind))
    what = repr(error) if kind is LookupError else error  # the message of a KeyError is only the key
    return kind(f"{label}: {what}")


def kind_of(value) -> str:
    """Return the type of a value, for arrays also dtype and shape, without its contents.

    Examples
    --------
    >>> kind_of(None), kind_of([1.0]), kind_of(np.zeros((2, 3)))
    ('None', 'list', 'array of float64 of shape (2, 3)')
    """
    if isinstance(value, np.ndarray | np.generic):
        return f"array of {value.dtype} of shape {value.shape}"
    return "None" if value is None else type(value).__name__


def check_declarations(layer: Layer, input_shape: Shape | Any) -> None:
    """Raise a ValueError unless a layer's names of parameters, its reads and its costs are valid."""
    declared = {name: getattr(layer, name) for name in NAMES_OF_PARAMS}
    declared["backward_reads"] = reads = layer.reads_in_backward(input_shape)
    for attribute, names in declared.items():
        if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{attribute} must be a tuple of names, got {names!r}")
    if not {"X", "Y"}.issuperset(reads):
        raise ValueError(f"backward_reads may name 'X' and 'Y', got {reads!r}")
    if layer.buffer_params and not isinstance(layer, MergingLayer):
        raise ValueError(
            f"buffer_params={layer.buffer_params!r} are for a MergingLayer, whose merge changes them; "
            "put names of parameters that training does not change into constant_params"
        )
    for method in ("multiply_adds", "scratch_size"):
        size = getattr(layer, method)(input_shape)
        if not is_integer(size) or size < 0:
            raise ValueError(f"{method} must return an int >= 0, got {size!r}")


def check_shape(shape, what: str) -> Shape:
    """Return the shape of a sample as a tuple of ints.

    Parameters
    ----------
    shape : object
    what : str
        Start of the message, such as "output_shape must return".

    Raises
    ------
    ValueError
        If it is not the shape of an image or a vector.
    """
    sizes = tuple(shape) if isinstance(shape, tuple | list | np.ndarray) else ()
    if len(sizes) not in (1, 3) or not all(is_integer(size) and size >= 1 for size in sizes):
        raise ValueError(f"{what} (height, width, channels) or (features,), ints >= 1, got {shape!r}")
    return tuple(map(int, sizes))


def check_params(params) -> None:
    """Raise a ValueError unless ``init_params`` returned arrays of real numbers by name."""
    if not isinstance(params, Mapping):
        raise ValueError(f"init_params must return a dict of arrays by name, got {kind_of(params)}")
    for name, value in params.items():
        if not isinstance(name, str):
            raise ValueError(f"init_params must return a dict with str keys, got {name!r}")
        if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in "buif":
            raise ValueError(
                f"init_params must return an array of real numbers as {name!r}, got {kind_of(value)}"
            )


def check_merged(result, buffer_params, params) -> None:
    """Raise a ValueError unless ``merge`` returned a pair with a new value of each buffer.

    Parameters
    ----------
    result : object
    buffer_params : tuple of str
    params : mapping of str to ndarray
        The layer's parameters.
    """
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], Mapping):
        raise ValueError(f"merge must return a pair (merged, buffers), buffers a dict, got {kind_of(result)}")
    expected = {name: params[name] for name in buffer_params if name in params}
    buffers = result[1]
    if buffers.keys() != expected.keys():
        raise ValueError(
            f"merge must return new values of the buffer_params {[*expected]}, got {list(map(str, buffers))}"
        )
    for name, value in buffers.items():
        check_array(value, expected[name], f"merge must return as {name!r}")


def check_array(value, like: np.ndarray, what: str) -> None:
    """Raise a ValueError unless a value can be copied into an array of the same shape.

    Parameters
    ----------
    value : object
    like : ndarray
        The array that it is copied into.
    what : str
        Start of the message, such as "forward must return".
    """
    fits = not isinstance(value, list | tuple) and np.shape(value) == like.shape
    if not fits or not np.can_cast(np.asarray(value).dtype, like.dtype, "same_kind"):
        raise ValueError(f"{what} an {kind_of(like)}, got {kind_of(value)}")
