"""Converts user input to arrays: stacks images from lists and columns, and rejects other input."""

from datetime import date, timedelta
from math import prod
from reprlib import Repr

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skcnn.data.images import ImageFormat, check_image_layout
from skcnn.data.lazy_images import DatasetImages, LazyImages, is_dataset

TIMES = (np.datetime64, np.timedelta64, date, timedelta)
"""Types of dates and durations, which numpy and pandas convert to numbers."""

_SHORT = Repr()
_SHORT.maxlist = _SHORT.maxdict = 20


def shorten(value) -> str:
    """Return a scalar, list or dict as text for a message, with the middle of long text left out.

    Examples
    --------
    >>> shorten([1.5, "a"]), shorten(10**99)
    ("[1.5, 'a']", '100000000000000000...0000000000000000000')
    """
    return _SHORT.repr(value)


def describe(value) -> str:
    """Return a description for a message: the value of a scalar, the type of anything else.

    Examples
    --------
    >>> describe(None), describe("no"), describe({"data": [1, 2]})
    ('None', "'no'", 'an object of type dict')
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if value is None or np.isscalar(value):
        return shorten(value)
    return f"an object of type {type(value).__name__}"


def refuse_masked(values, name: str) -> None:
    """Raise a ValueError if an array, or an array in a list, has masked values; an empty mask is valid."""
    for array in values if isinstance(values, list | tuple) else (values,):
        if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
            raise ValueError(
                f"{name} has masked values, which are not supported: replace them with .filled(...), or "
                "leave these samples out"
            )


def as_numbers(values, name: str, *, allow_nan=False) -> np.ndarray:
    """Return targets or weights as float64, of any number of axes up to two.

    Parameters
    ----------
    values : array-like
    name : str
        Named in messages.
    allow_nan : bool, default=False
        Whether values may be missing or infinite.

    Raises
    ------
    ValueError
        If values are sparse, masked, not finite, dates, or no numbers.
    """
    refuse_masked(values, name)
    if issparse(values):
        raise ValueError(f"{name} must be dense: use {name}.toarray()")
    try:
        array = np.asarray(values)
        numbers = check_array(
            values,
            ensure_2d=False,
            dtype=np.float64,
            ensure_all_finite=not allow_nan,
            input_name=name,
            ensure_min_samples=0,
        )
    except (ValueError, TypeError, OverflowError) as error:  # the lines after the first show the contents
        raise ValueError(f"{name} must hold finite numbers: {str(error).splitlines()[0]}") from error
    if array.dtype.kind in "mM":
        raise ValueError(f"{name} must hold finite numbers, got dtype {array.dtype}")
    times = [value for value in array.flat if isinstance(value, TIMES)] if array.dtype.kind == "O" else []
    if times:
        raise ValueError(f"{name} must hold finite numbers, got {type(times[0]).__name__}")
    return numbers


def check_images(
    estimator, X, y="no_validation", *, reset=False, format: ImageFormat | None = None
) -> np.ndarray | LazyImages:
    """Return X as an array of images, or as a view of images that are read later.

    Parameters
    ----------
    estimator : estimator
        Holds the feature names, and is named in messages.
    X : array-like of shape (n_samples, ...)
    y : array-like, default="no_validation"
        If given, it must not be None.
    reset : bool, default=False
        Whether to set the feature names of the estimator rather than check them.
    format : ImageFormat, default=None
        Format that the images must fit; None for any.

    Raises
    ------
    ValueError
        If X does not hold such images.
    TypeError
        If X is sparse or holds objects that are not numbers.
    """
    validate_data(estimator, X, y, reset=reset, skip_check_array=True, ensure_2d=False)
    X = as_image_array(X, estimator=estimator)
    if format is not None:
        check_image_layout(X.shape, format, estimator=estimator)
    return X


def as_image_array(X, *, estimator, allow_nan=False) -> np.ndarray | LazyImages:
    """Return X as an array of real numbers with two to four axes; arrays are not copied.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), (n, h, w), (n, h, w, c) or (n, c, h, w)
        Or arrays of one shape in a list, object array, Series or data frame with one column. Images in files
        and datasets that are read when they are indexed stay unread.
    estimator : estimator
        Named in messages.
    allow_nan : bool, default=False
        Whether values may be missing.

    Returns
    -------
    X : ndarray or LazyImages

    Raises
    ------
    ValueError
        If X is not an array, or is empty, ragged, masked, complex, text or a single image, or contains
        infinity or, unless allowed, NaN.
    TypeError
        If X is sparse.
    """
    if is_dataset(X):
        X = DatasetImages(X)
    if isinstance(X, LazyImages) and X.size:
        return X
    X = stack_images(X)
    kept = isinstance(X, np.ndarray) and X.dtype.kind in "buif"
    try:
        with np.errstate(invalid="ignore"):  # check_array sums the values, which may overflow
            X = check_array(
                X,
                dtype=None if kept else "numeric",
                ensure_all_finite="allow-nan" if allow_nan else True,
                ensure_2d=False,
                allow_nd=True,
                input_name="X",
                estimator=estimator,
            )
    except (ValueError, OverflowError) as error:
        if "setting an array element with a sequence" in str(error):
            raise ValueError(
                f"X of shape {np.shape(X)} has arrays in several columns: pass one column or array of images"
            ) from error
        if "X" not in str(error):  # the lines after the first show the contents of X
            raise ValueError(f"X is not an array of images: {str(error).splitlines()[0]}") from error
        raise
    if X.dtype.kind not in "buif":
        raise ValueError(f"X must hold real numbers, got dtype {X.dtype}")
    if X.ndim < 2:
        raise ValueError(
            f"Expected images with a batch axis, got {X.ndim}D array instead: shape {X.shape}. Reshape your "
            "data: X.reshape(1, -1) if it is a single sample, X.reshape(-1, 1) if it has a single feature."
        )
    if X.ndim > 4:
        raise ValueError(
            "X must have shape (n, features), (n, height, width) or (n, height, width, channels), "
            f"got an array with {X.ndim} axes, shape {X.shape}"
        )
    if X.size == 0:
        n_features = prod(X.shape[1:])
        raise ValueError(
            f"Found array with {n_features} feature(s) (shape={X.shape}) while a minimum of 1 is required."
        )
    return X


def stack_images(X):
    """Return X, with a list, or a column or vector of numeric arrays, stacked into one array.

    Parameters
    ----------
    X : array-like
        Numeric arrays and input with several columns are returned unchanged.

    Returns
    -------
    X : ndarray or array-like

    Raises
    ------
    ValueError
        If X is not array-like, its entries differ in shape, an entry is not an array, or values are masked.

    Examples
    --------
    >>> import numpy as np
    >>> vector = np.empty(2, dtype=object)
    >>> vector[:] = [np.zeros((6, 5)), np.ones((6, 5))]
    >>> stack_images(vector).shape
    (2, 6, 5)
    """
    refuse_masked(X, "X")
    if not _is_column(X):
        return X
    try:
        array = np.asarray(X)
    except ValueError:  # entries of several shapes
        array = np.fromiter(X, dtype=object)
    if array.ndim == 0:
        raise ValueError(f"X must be an array of images, got {describe(X)}")
    if array.dtype.kind == "O" and _is_column(array) and any(map(_has_entries, array.flat)):
        return np.stack(list(_images_of(array.flat)))
    return X if hasattr(X, "dtype") or hasattr(X, "columns") else array


def _is_column(X):
    """Whether X has one column or axis and is not numeric, or has no known shape, such as a list."""
    if issparse(X):
        return False
    if isinstance(X, np.ndarray) and X.dtype.kind != "O" and X.ndim:
        return False
    shape = getattr(X, "shape", None)
    return not isinstance(shape, tuple) or len(shape) < 2 or shape[1:] == (1,)


def _has_entries(value):
    """Whether a value is array-like and not a scalar: an array, a list, or an image of another package."""
    marks = ("__len__", "__array__", "__array_interface__")
    return not np.isscalar(value) and any(hasattr(value, mark) for mark in marks)


def _images_of(entries):
    """Yield the entries of X as arrays of one shape."""
    shape = None
    for index, entry in enumerate(entries):
        image = _as_image(entry, index)
        shape = shape or image.shape
        if image.shape != shape:
            raise ValueError(
                f"X is ragged: all images must have the same shape, but entry 0 has shape {shape}, and entry "
                f"{index} has shape {image.shape}"
            )
        yield image


def _as_image(entry, index):
    """Return an entry of X as an array."""
    refuse_masked(entry, f"entry {index} of X")
    try:
        image = np.asarray(entry)
    except ValueError as error:
        is_list = isinstance(entry, list) and np.isscalar(entry[-1])
        if (is_list or isinstance(entry, tuple)) and len(entry) == 2:
            raise ValueError(
                f"entry {index} of X is a pair, not an image: for pairs (image, label), pass "
                "X=[image for image, label in pairs] and y=[label for image, label in pairs]"
            ) from error
        raise ValueError(
            f"X is ragged: all images must have the same shape, but entry {index} has parts of several shapes"
        ) from error
    if image.ndim == 0:
        raise ValueError(f"entry {index} of X is {describe(entry)}, expected an image, an array of numbers")
    return image
