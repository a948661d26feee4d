"""Functions that the displays share: import of matplotlib, grids of axes, and arrays as pictures."""

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np

from skcnn.layers.base import is_integer


def import_pyplot(what: str):
    """Return ``matplotlib.pyplot``.

    Parameters
    ----------
    what : str
        Name of the display that needs it.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message says how to install it.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f'{what} needs matplotlib: python -m pip install "skcnn[plot]"') from error
    return plt


def check_count(value, name: str) -> None:
    """Raise a ValueError unless a value is a positive integer."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def check_drawable(what, kind: str, name: str, *, optional: bool = True) -> None:
    """Raise a TypeError unless an object is a matplotlib "Figure" or "Axes", or None if ``optional``."""
    import_pyplot("a picture")
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    if not isinstance(what, {"Figure": FigureBase, "Axes": Axes}[kind]) and not (optional and what is None):
        raise TypeError(f"{name} must be a matplotlib {kind}{' or None' * optional}, got {what!r}")


def is_sequence(value) -> bool:
    """Whether a value is a list, a tuple, a vector or the like, but not a string."""
    is_list = isinstance(value, Sequence) or getattr(value, "ndim", 0) == 1
    return is_list and not isinstance(value, str)


def as_names(value, name: str) -> list[str]:
    """Return a name, or a sequence of them, as a list.

    Raises
    ------
    ValueError
        If the value is neither, or is empty.
    """
    names = [value] if isinstance(value, str) else value
    if not is_sequence(names) or len(names) == 0:
        raise ValueError(f"{name} must be a name, or a sequence of at least one name, got {value!r}")
    return list(names)


def as_labels(y, n_images: int) -> np.ndarray:
    """Return labels as a vector.

    Raises
    ------
    ValueError
        If their number is not that of the images, a label is missing, or there are several types.
    """
    labels = np.asarray(y)
    if labels.shape != (n_images,):
        raise ValueError(f"y must have a label for each of {n_images} images, got shape {labels.shape}")
    kinds = kinds_of(labels)
    if len(kinds) > 1 or {"NoneType", "nan"} & set(kinds):
        raise ValueError(f"y must hold labels of one type, without missing ones, got {' and '.join(kinds)}")
    return labels


def kinds_of(labels: np.ndarray) -> list[str]:
    """Return the types of labels; all numbers count as one type, except nan.

    Examples
    --------
    >>> kinds_of(np.array([1, 2.5, True, None, "a", np.nan], object))
    ['NoneType', 'nan', 'number', 'str']
    """
    values = labels.tolist()
    return sorted(
        {
            type(value).__name__ if not isinstance(value, Real) else "number" if value == value else "nan"
            for value in values
        }
    )


def distinct_colors(n_colors: int) -> list[tuple[float, ...]]:
    """Return colours that are as easy to tell apart as their number allows.

    Examples
    --------
    >>> len(set(distinct_colors(100)))
    100
    """
    plt = import_pyplot("a picture")
    name = next((name for name, most in (("tab10", 10), ("tab20", 20)) if n_colors <= most), None)
    if name is not None:
        return [tuple(color) for color in plt.get_cmap(name).colors[:n_colors]]
    return [tuple(color) for color in plt.get_cmap("turbo")(np.linspace(0, 1, n_colors)).tolist()]


def tick_integers(axis) -> None:
    """Set the ticks of an axis at integers only."""
    import_pyplot("a picture")
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def grid_shape(n_axes: int, n_columns: int | None) -> tuple[int, int]:
    """Return the number of rows and columns for axes; without ``n_columns``, as square as possible.

    Examples
    --------
    >>> grid_shape(32, None), grid_shape(7, 4), grid_shape(2, 5)
    ((6, 6), (2, 4), (1, 2))
    """
    if n_columns is not None:
        check_count(n_columns, "n_columns")
    n_columns = min(n_axes, n_columns or math.ceil(math.sqrt(n_axes)))
    return -(-n_axes // n_columns), n_columns


def grid_of_axes(fig, n_axes: int, n_columns: int | None) -> np.ndarray:
    """Return a grid of axes of a figure for images, without ticks.

    Parameters
    ----------
    fig : matplotlib Figure or SubFigure
    n_axes : int
    n_columns : int or None
        As for :func:`grid_shape`.

    Returns
    -------
    axes : ndarray of Axes of shape (n_axes,)
    """
    axes = fig.subplots(*grid_shape(n_axes, n_columns), squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    return axes[:n_axes]


def as_picture(image: np.ndarray, smallest: float, largest: float) -> np.ndarray:
    """Return an image for ``imshow``: grey or RGB, from 0 to 1.

    Parameters
    ----------
    image : ndarray of shape (h, w, c)
        Three channels are shown in colour, any other number as their mean in grey. Missing values become 1.
    smallest, largest : float
        Values that become 0 and 1.

    Returns
    -------
    picture : ndarray of shape (h, w, 3) or (h, w)

    Examples
    --------
    >>> as_picture(np.array([[[2.0], [6.0]]]), 2, 10)
    array([[0. , 0.5]])
    """
    picture = (np.asarray(image, np.float64) - smallest) / ((largest - smallest) or 1.0)
    picture = np.nan_to_num(np.clip(picture, 0, 1), nan=1.0)
    return picture if picture.shape[-1] == 3 else picture.mean(axis=-1)


def as_grey(picture: np.ndarray) -> np.ndarray:
    """Return a picture of shape (h, w, 3) or (h, w) without its colours, shape (h, w)."""
    return picture.mean(axis=-1) if picture.ndim == 3 else picture


def draw_image(axis, image: np.ndarray, limits: tuple[float, float], **options):
    """Draw an image of shape (h, w, c) on an axis, and return the artist."""
    return axis.imshow(as_picture(image, *limits), **({"cmap": "gray", "vmin": 0, "vmax": 1} | options))


def limits_of(images: np.ndarray) -> tuple[float, float]:
    """Return the values for black and white: 0 and 255 for uint8, 0 and 1 if all lie between, else the range.

    Examples
    --------
    >>> limits_of(np.array([3, 9], np.uint8)), limits_of(np.array([0.25, 0.5])), limits_of(np.array([0, 16]))
    ((0.0, 255.0), (0.0, 1.0), (0.0, 16.0))
    """
    smallest, largest = float(np.nanmin(images)), float(np.nanmax(images))
    if images.dtype == np.uint8:
        return 0.0, 255.0
    return (0.0, 1.0) if 0 <= smallest and largest <= 1 else (smallest, largest)
