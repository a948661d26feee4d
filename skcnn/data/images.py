"""Reads images in several layouts by index, and casts, scales and transposes them."""

from dataclasses import dataclass, replace
from math import isqrt, prod
from typing import Any

import numpy as np

from skcnn.data.lazy_images import LazyImages
from skcnn.kernels.channelwise import channelwise
from skcnn.kernels.reductions import merge_moments, near_one
from skcnn.layers.base import is_integer
from skcnn.user_warnings import warn_user

CHUNK_BYTES = 4_000_000
"""Memory for the images that are read at a time for statistics."""

LARGEST_GROWTH = 1e4
"""Largest factor by which a chunk smaller than the images before it may increase their deviation."""

LIKELY_CHANNELS = (1, 3, 4)
"""Numbers of channels of grey images, colour images, and colour images with transparency."""

NOT_FINITE = "X contains NaN, infinity or a value that is not finite in {}, the compute dtype"


@dataclass(frozen=True)
class ImageFormat:
    """How stored images become inputs of a network.

    Attributes
    ----------
    image_shape : (height, width, channels)
    channels_first : bool
        Whether a stored image has shape (channels, height, width).
    dtype : numpy.dtype
        Compute dtype.
    mean, deviation : ndarray of shape (channels,) or None
        Each channel is scaled to (x - mean) / deviation, in their own dtype: float64 if ``dtype`` would lose
        digits of the training images, else ``dtype``. None for no scaling.
    moments : ndarray of shape (3, channels), float64, or None
        Number of images, mean and variance from which mean and deviation were computed; further images
        update them.
    """

    image_shape: tuple[int, int, int]
    channels_first: bool
    dtype: np.dtype | Any
    mean: np.ndarray | None = None
    deviation: np.ndarray | Any = None  # as long as mean
    moments: np.ndarray | None = None

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """Shape of one stored image."""
        height, width, channels = self.image_shape
        return (channels, height, width) if self.channels_first else (height, width, channels)

    @property
    def n_features(self) -> int:
        """Number of values per image."""
        return prod(self.image_shape)

    @property
    def layouts(self) -> list[tuple[int, ...]]:
        """The shapes that one image of X may have."""
        height, width, channels = self.image_shape
        layouts = [(height * width * channels,), self.stored_shape]
        return [*layouts, (height, width)] if channels == 1 else layouts


class ImageSource:
    """Reads images of an array as inputs of a network.

    Parameters
    ----------
    X : ndarray or LazyImages of shape (n, ...)
        Images in one of the layouts of the format, in any real dtype; never copied or read as a whole.
    format : ImageFormat
    subset : ndarray of int or None, default=None
        Indices of the images of the source; None for all.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.data.images import ImageFormat, ImageSource
    >>> X = np.arange(8).reshape(2, 4)
    >>> source = ImageSource(X, ImageFormat((2, 2, 1), False, np.dtype("float32")))
    >>> source.read(slice(0, 2), np.empty((2, 2, 2, 1), "float32"))[:, :, 1, 0]
    array([[4., 5.],
           [6., 7.]], dtype=float32)
    """

    def __init__(self, X: np.ndarray | LazyImages, format: ImageFormat, subset: np.ndarray | None = None):
        self.X = X
        self.format = format
        self.subset = subset

    def __len__(self):
        return len(self.X if self.subset is None else self.subset)

    @property
    def is_lazy(self) -> bool:
        """Whether images have to be read, which takes time."""
        return isinstance(self.X, LazyImages)

    @property
    def block(self) -> int:
        """Number of neighbouring images that are read as fast as one."""
        return self.X.block if isinstance(self.X, LazyImages) else 1

    def raw(self, rows) -> np.ndarray:
        """Return images as they are stored."""
        return np.asarray(self.X[rows if self.subset is None else self.subset[rows]])

    def read(self, rows, out: np.ndarray) -> np.ndarray:
        """Read images in the layout of kernels, scaled in the dtype of the mean and cast.

        Parameters
        ----------
        rows : slice or ndarray of int
        out : ndarray of shape (height, width, n_rows, channels)
            C-contiguous.

        Returns
        -------
        out : ndarray

        Raises
        ------
        ValueError
            If a scaled value is not finite in the dtype of ``out``.
        """
        mean, deviation = self.format.mean, self.format.deviation
        scaled = out if mean is None or mean.dtype == out.dtype else np.empty(out.shape, mean.dtype)
        images = self.raw(rows)
        images = images.reshape(len(images), *self.format.stored_shape)
        order = (2, 3, 0, 1) if self.format.channels_first else (1, 2, 0, 3)
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(scaled, images.transpose(order), casting="same_kind")
            if mean is not None:
                channelwise(np.subtract, scaled, mean, out=scaled)
                channelwise(np.divide, scaled, deviation, out=scaled)
            if scaled is not out:
                np.copyto(out, scaled, casting="same_kind")
            if self.X.dtype.kind == "f" and not np.isfinite(out.sum()) and not np.isfinite(out).all():
                raise ValueError(NOT_FINITE.format(out.dtype))
        return out


def standardize(
    source: ImageSource,
    weights: np.ndarray | None,
    *,
    total: float | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> ImageFormat:
    """Return the format of a source with the weighted mean and deviation of each channel.

    The moments in the source's format count, too.

    Parameters
    ----------
    source : ImageSource
    weights : ndarray of shape (n_samples,) or None
        Weights of the images; None for equal ones.
    total : float, default=None
        Number of images that they count as relative to earlier ones; None for their actual number.
    chunk_bytes : int
        Memory for the images that are read at a time.

    Returns
    -------
    format : ImageFormat

    Raises
    ------
    ValueError
        If a value of X is too large to be squared.

    Notes
    -----
    It reads chunks of a few megabytes and sums in float64, so neither the memory layout of X nor its size
    matters. A channel that is constant except for rounding gets deviation 1. Digits beyond float64, which
    large integers and long doubles may have, are lost.
    """
    if weights is not None:
        weights = near_one(weights)  # keeps sums finite
    format = replace(source.format, mean=None, deviation=None)
    unscaled = ImageSource(source.X, format, source.subset)
    with np.errstate(over="ignore", invalid="ignore"):
        weight, mean, squares = merge_moments(_chunk_moments(unscaled, weights, chunk_bytes))
        variance = squares / weight
        total = float(len(source) if total is None else total)
        if format.moments is not None:
            total_before, mean_before, variance_before = format.moments[0, 0], *format.moments[1:]
            share = total / (total_before + total)
            difference = mean - mean_before
            # the same images again change no digit
            mean = mean_before + share * difference
            variance = variance_before + share * (variance - variance_before)
            variance += share * (1 - share) * difference**2
            if total_before > total:
                check_growth(np.sqrt(variance_before), np.sqrt(variance))
            total += total_before
        deviation = np.sqrt(variance)
        is_finite = np.isfinite(deviation + mean**2).all()
    if not is_finite:
        raise ValueError("X has values whose squares are not finite in float64: they cannot be standardized")
    dtype = scaling_dtype(source.X.dtype, format.dtype)
    if source.format.mean is not None:
        dtype = max(dtype, source.format.mean.dtype)
    rounding = np.maximum(np.finfo(dtype).eps * np.abs(mean), np.finfo(dtype).tiny)
    deviation[deviation <= rounding] = 1.0
    return replace(
        format,
        mean=mean.astype(dtype),
        deviation=deviation.astype(dtype),
        moments=np.array([np.full_like(mean, total), mean, variance]),
    )


def scaling_dtype(X_dtype: np.dtype, dtype: np.dtype) -> np.dtype:
    """Return the dtype to scale images in: float64 if the compute dtype would lose digits of them."""
    return dtype if np.can_cast(X_dtype, dtype) else np.dtype(np.float64)


def fixed_scaling(format: ImageFormat, scaling, X_dtype: np.dtype) -> ImageFormat:
    """Return a format with the given means and deviations of the channels.

    Parameters
    ----------
    format : ImageFormat
    scaling : (mean, deviation)
        Each is a number, or one for each channel.
    X_dtype : numpy.dtype
        Of the images.

    Raises
    ------
    ValueError
        If a number is not finite, the number of channels differs, or a deviation is not positive.

    Examples
    --------
    >>> format = ImageFormat((32, 32, 3), False, np.dtype("float32"))
    >>> fixed_scaling(format, ((0.485, 0.456, 0.406), 0.25), np.dtype("uint8")).deviation
    array([0.25, 0.25, 0.25], dtype=float32)
    """
    channels, dtype = format.image_shape[-1], scaling_dtype(X_dtype, format.dtype)
    try:
        mean, deviation = (
            np.broadcast_to(np.asarray(part, np.float64), channels).astype(dtype) for part in scaling
        )
        is_valid = np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()
    except (TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise ValueError(
            f"input_scaling must be 'standardize', None or (mean, deviation), finite numbers for each of the "
            f"{channels} channels, deviations > 0, got {scaling!r}"
        )
    return replace(format, mean=mean, deviation=deviation)


def check_growth(before: np.ndarray, after: np.ndarray) -> None:
    """Raise a ValueError if a deviation grows so much that all earlier images would look alike."""
    outliers = (before > 0) & (after > LARGEST_GROWTH * before)
    if outliers.any():
        raise ValueError(
            f"X has values too far from those of earlier images, which would all look alike: the standard "
            f"deviation would grow from {before[outliers][0]:.3g} to {after[outliers][0]:.3g}"
        )


def _chunk_moments(source, weights, chunk_bytes):
    """Yield weight, mean and sum of squared deviations of each channel, chunk by chunk."""
    height, width, channels = source.format.image_shape
    n_rows = max(1, chunk_bytes // (prod(source.format.image_shape) * source.format.dtype.itemsize))
    for start in range(0, len(source), n_rows):
        rows = slice(start, min(start + n_rows, len(source)))
        n_images = rows.stop - rows.start
        chunk_weights = np.ones(n_images) if weights is None else weights[rows]
        if not chunk_weights.any():  # all zero, or too small relative to others
            continue
        images = source.read(rows, np.empty((height, width, n_images, channels)))
        pixels = images.reshape(height * width, n_images, channels)
        origin = pixels[0, 0].copy()
        pixels -= origin  # makes sums of a constant channel exactly zero for all weights
        total = chunk_weights.sum() * height * width
        mean = chunk_weights @ pixels.sum(axis=0) / total
        yield total, origin + mean, chunk_weights @ ((pixels - mean) ** 2).sum(axis=0)


def resolve_image_shape(shape: tuple[int, ...], image_shape, *, channels_first: bool) -> tuple[int, int, int]:
    """Return (height, width, channels) of the images of X.

    Parameters
    ----------
    shape : tuple of int
        Shape of X, of two to four axes.
    image_shape : tuple of two or three int, or None
        Stored shape of an image; None to infer it from the shape of X.
    channels_first : bool
        Whether a stored image has shape (channels, height, width).

    Returns
    -------
    image_shape : (int, int, int)

    Raises
    ------
    ValueError
        If ``image_shape`` is not the shape of an image, or X does not fit it.

    Examples
    --------
    >>> resolve_image_shape((100, 784), None, channels_first=False)
    (28, 28, 1)
    >>> resolve_image_shape((100, 3072), (3, 32, 32), channels_first=True)
    (32, 32, 3)
    >>> resolve_image_shape((100, 10), None, channels_first=False)
    (1, 10, 1)
    """
    if image_shape is None:
        stored = _infer_stored_shape(shape[1:], channels_first)
    else:
        check_image_shape(image_shape)
        stored = tuple(map(int, image_shape))
        if len(stored) == 2:
            stored = (1, *stored) if channels_first else (*stored, 1)
    height, width, channels = (*stored[1:], stored[0]) if channels_first else stored
    layouts = ImageFormat((height, width, channels), channels_first, None).layouts
    if shape[1:] not in layouts:
        raise ValueError(
            f"X of shape {shape} does not fit image_shape={image_shape}: expected one image to have one of "
            f"the shapes {layouts}"
        )
    return height, width, channels


def check_image_shape(image_shape) -> None:
    """Raise a ValueError unless ``image_shape`` is None or the shape of a stored image."""
    is_sequence = isinstance(image_shape, tuple | list) or getattr(image_shape, "ndim", 0) == 1
    is_shape = is_sequence and len(image_shape) in (2, 3) and all(map(is_integer, image_shape))
    if image_shape is not None and not (is_shape and min(image_shape) >= 1):
        raise ValueError(f"image_shape must be None or two or three positive integers, got {image_shape!r}")


def _infer_stored_shape(shape, channels_first):
    if len(shape) == 3:
        return shape
    if len(shape) == 2:
        return (1, *shape) if channels_first else (*shape, 1)
    (n_features,) = shape
    side = isqrt(n_features)
    height, width = (side, side) if side**2 == n_features else (1, n_features)
    return (1, height, width) if channels_first else (height, width, 1)


def warn_of_layout(shape: tuple[int, ...], *, channels_first: bool) -> None:
    """Warn if the image shape inferred from X, without ``image_shape``, is probably wrong.

    There are two cases. Either the channels seem to be on another axis than ``data_format`` says: only that
    axis has length 1, 3 or 4, and the two others are equal. Or X has rows of 64 columns or more whose number
    is not a square: these become signals.

    Parameters
    ----------
    shape : tuple of int
        Shape of X.
    channels_first : bool
        Whether a stored image is assumed to have shape (channels, height, width).
    """
    if len(shape) == 4:
        channels, side, other = shape[1:] if channels_first else shape[:0:-1]
        if side == channels and other in LIKELY_CHANNELS and channels not in LIKELY_CHANNELS:
            given, swapped = ("first", "last") if channels_first else ("last", "first")
            warn_user(
                f"X of shape {shape} is taken for images of {channels} channels, because "
                f"data_format='channels_{given}': set data_format='channels_{swapped}' if they have {other} "
                f"channels, or image_shape={shape[1:]} if this is right"
            )
    elif len(shape) == 2 and shape[1] >= 64 and isqrt(shape[1]) ** 2 != shape[1]:
        warn_user(
            f"X has rows of {shape[1]} columns, not a square number: they are taken for signals. Set "
            f"image_shape to the shape of the images, or to (1, {shape[1]}) if they are signals"
        )


def check_image_layout(shape: tuple[int, ...], format: ImageFormat, *, estimator) -> None:
    """Raise a ValueError unless X has one of the layouts of a format.

    Parameters
    ----------
    shape : tuple of int
        Shape of X.
    format : ImageFormat
    estimator : estimator
        Its class is named in messages.
    """
    if shape[1:] in format.layouts:
        return
    expected = prod(format.image_shape)
    name = type(estimator).__name__
    if prod(shape[1:]) != expected:
        message = f"X has {prod(shape[1:])} features, but {name} is expecting {expected} features as input."
        single = shape in format.layouts
        hint = " For a single image, add the batch axis: X[np.newaxis]." if single else ""
        raise ValueError(
            f"{message} One image of X has shape {shape[1:]}, expected one of the shapes {format.layouts}."
            f"{hint}"
        )
    raise ValueError(
        f"X of shape {shape} has the right number of features but the wrong layout: {name} is expecting one "
        f"image to have one of the shapes {format.layouts}"
    )
