"""What the displays share: matplotlib when it is needed, grids of axes, and arrays as pictures."""

import math

import numpy as np


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


def grid_of_axes(what: str, n_axes: int, n_columns: int | None, *, size: float, fig=None):
    """Return a figure and axes without ticks in rows and columns, for images.

    Parameters
    ----------
    what : str
        Name of the display.
    n_axes : int
    n_columns : int or None
        None: as near to a square as it gets.
    size : float
        Height and width of an image in inches, where the figure is a new one.
    fig : matplotlib Figure or None
        To draw in; None: a new one.

    Returns
    -------
    fig : matplotlib Figure
    axes : ndarray of Axes of shape (n_axes,)
    """
    plt = import_pyplot(what)
    n_columns = min(n_axes, n_columns or math.ceil(math.sqrt(n_axes)))
    n_rows = -(-n_axes // n_columns)
    if fig is None:
        fig = plt.figure(figsize=(size * n_columns, size * n_rows), layout="constrained")
    axes = fig.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    return fig, axes[:n_axes]


def as_picture(image: np.ndarray, smallest: float, largest: float) -> np.ndarray:
    """Return an image as ``imshow`` takes it: grey, or red, green and blue, from 0 to 1.

    Parameters
    ----------
    image : ndarray of shape (h, w, c)
        Of three channels in colour; of any other number, the mean over channels in grey.
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
    picture = np.clip(picture, 0, 1)
    return picture if picture.shape[-1] == 3 else picture.mean(axis=-1)


def draw_image(axis, image: np.ndarray, limits: tuple[float, float], **options):
    """Draw an image of shape (h, w, c) on an axis, and return the artist."""
    return axis.imshow(as_picture(image, *limits), **({"cmap": "gray", "vmin": 0, "vmax": 1} | options))


def limits_of(images: np.ndarray) -> tuple[float, float]:
    """Return the values to draw black and white: 0 and 255 of bytes, 0 and 1 of shares, else the range.

    Examples
    --------
    >>> limits_of(np.array([3, 9], np.uint8)), limits_of(np.array([0.25, 0.5])), limits_of(np.array([0, 16]))
    ((0.0, 255.0), (0.0, 1.0), (0.0, 16.0))
    """
    smallest, largest = float(images.min()), float(images.max())
    if images.dtype == np.uint8:
        return 0.0, 255.0
    return (0.0, 1.0) if 0 <= smallest and largest <= 1 else (smallest, largest)
