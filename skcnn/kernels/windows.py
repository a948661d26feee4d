"""Arithmetic of sliding windows along the two axes of an image."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

Pair = tuple[int, ...]  # of two; type checkers cannot tell the length of a tuple made in a loop
Padding = tuple[Pair, ...]


def as_padding(padding) -> Padding:
    """Turn an int or a pair into ((top, bottom), (left, right)).

    >>> as_padding((1, (0, 2)))
    ((1, 1), (0, 2))
    """
    axes = padding if isinstance(padding, tuple | list) else (padding, padding)
    pairs = (axis if isinstance(axis, tuple | list) else (axis, axis) for axis in axes)
    return tuple((int(before), int(after)) for before, after in pairs)


def span_of(size: Pair, dilation: Pair) -> Pair:
    """Return height and width of windows, from the first pixel to the last.

    >>> span_of((3, 2), (1, 4))
    (3, 5)
    """
    return tuple((length - 1) * distance + 1 for length, distance in zip(size, dilation, strict=True))


def same_padding(image_size: Pair, span: Pair, strides: Pair) -> Padding:
    """Return the padding that gives ``ceil(size / stride)`` windows, with the odd pixel at the end.

    >>> same_padding((5, 6), (3, 3), (2, 2))
    ((1, 1), (0, 1))
    """
    totals = [
        max((-(-size // stride) - 1) * stride + length - size, 0)
        for size, length, stride in zip(image_size, span, strides, strict=True)
    ]
    return tuple((total // 2, total - total // 2) for total in totals)


@dataclass(frozen=True)
class Windows:
    """Windows that slide over images of one size.

    Attributes
    ----------
    image_size : (int, int)
        Height and width of the image.
    size : (int, int)
        Pixels of a window.
    strides : (int, int)
        Distances between neighbouring windows.
    dilation : (int, int)
        Distances between neighbouring pixels of a window.
    padding : ((top, bottom), (left, right))
        Pixels around the image.
    counts : (int, int)
        Number of windows along height and width; not positive if none fits.

    Examples
    --------
    >>> sliding_windows((5, 6), (3, 3), strides=(2, 2), padding="same").counts
    (3, 3)
    """

    image_size: Pair
    size: Pair
    strides: Pair
    dilation: Pair
    padding: Padding
    counts: Pair

    @property
    def span(self) -> Pair:
        """Height and width of a window, from its first pixel to its last."""
        return span_of(self.size, self.dilation)

    @property
    def padded_size(self) -> Pair:
        """Height and width of the padded image."""
        return tuple(size + sum(pad) for size, pad in zip(self.image_size, self.padding, strict=True))

    @cached_property
    def positions(self) -> list[tuple[slice, ...]]:
        """For each position in a window, in row order, the index of the pixels there, one of each window.

        An index is a pair of slices for the first two axes of a padded image. It gives ``counts`` pixels.
        """
        return [
            tuple(
                slice(offset * dilation, offset * dilation + (count - 1) * stride + 1, stride)
                for offset, dilation, count, stride in zip(
                    offsets, self.dilation, self.counts, self.strides, strict=True
                )
            )
            for offsets in np.ndindex(self.size)
        ]

    def overlaps(self):
        """For each position in a window, in row order, yield the windows in which it lies on the image.

        Yields
        ------
        windows : (slice, slice)
            Index of these windows among the ``counts``.
        pixels : (slice, slice)
            Index of their pixels at this position, in the image without padding.
        """
        along_height, along_width = self.overlaps_by_axis
        for rows in along_height:
            for columns in along_width:
                yield tuple(zip(rows, columns, strict=True))

    @cached_property
    def overlaps_by_axis(self) -> tuple[list[tuple[slice, slice]], ...]:
        """For height and for width, what ``overlaps`` yields along this axis alone.

        Each list has a pair of slices for each position in a window: the windows in which it lies on the
        image, and their pixels at this position.
        """
        return tuple(
            [self._overlap(axis, offset) for offset in range(length)] for axis, length in enumerate(self.size)
        )

    @cached_property
    def are_pairs(self) -> tuple[bool, ...]:
        """Whether windows along height, and along width, are pairs of neighbours from the first pixel on."""
        return tuple(
            overlaps == [(slice(0, count), slice(offset, offset + 2 * count, 2)) for offset in range(2)]
            for overlaps, count in zip(self.overlaps_by_axis, self.counts, strict=True)
        )

    def _overlap(self, axis, offset):
        """Return the windows and pixels of one axis as slices."""
        stride, shift = self.strides[axis], offset * self.dilation[axis] - self.padding[axis][0]
        first = max(0, -(shift // stride))
        stop = max(first, min(self.counts[axis], (self.image_size[axis] - 1 - shift) // stride + 1))
        start = first * stride + shift
        return slice(first, stop), slice(start, start + (stop - first) * stride, stride)

    def areas(self, *, with_padding: bool) -> np.ndarray:
        """Return the number of pixels of every window on the image or, with padding, on the padded image.

        Returns
        -------
        areas : ndarray of shape counts, int
        """
        lengths = []
        for axis, (before, after) in enumerate(self.padding):
            starts = np.arange(self.counts[axis]) * self.strides[axis] - before
            first, last = (
                (-before, self.image_size[axis] + after) if with_padding else (0, self.image_size[axis])
            )
            # number of positions in a window before the image, and before its end
            n_before, n_until = (-((starts - bound) // self.dilation[axis]) for bound in (first, last))
            lengths.append((np.minimum(n_until, self.size[axis]) - np.maximum(n_before, 0)).clip(min=0))
        return np.multiply.outer(*lengths)


def sliding_windows(
    image_size: Pair,
    size: Pair,
    *,
    strides: Pair,
    dilation: Pair = (1, 1),
    padding="valid",
    ceil_mode: bool = False,
) -> Windows:
    """Return the windows of a convolution or a pooling.

    Parameters
    ----------
    image_size, size, strides, dilation : (int, int)
    padding : {"valid", "same"}, int or pair
        "valid": none. "same": as much as gives ``ceil(size / stride)`` windows, the odd pixel at the end. An
        int pads all four sides. A pair has one entry per axis, an int or (before, after).
    ceil_mode : bool
        Whether the last window may reach beyond the padding, if it begins before the end of the image.

    Returns
    -------
    windows : Windows
    """
    span = span_of(size, dilation)
    if padding == "valid":
        padding = 0
    padding = same_padding(image_size, span, strides) if padding == "same" else as_padding(padding)
    counts = []
    for length, image, stride, (before, after) in zip(span, image_size, strides, padding, strict=True):
        room = before + image + after - length
        count = room // stride + 1
        if ceil_mode and room % stride and count * stride < before + image:
            count += 1
        counts.append(count)
    return Windows(image_size, size, strides, dilation, padding, tuple(counts))


class PaddedImages:
    """Memory for images with a border of zeros.

    Parameters
    ----------
    memory : ndarray of shape (top + height + bottom, left + width + right, ...)
        Kept and overwritten.
    padding : ((top, bottom), (left, right))

    Attributes
    ----------
    memory : ndarray
    inside : ndarray of shape (height, width, ...)
        View of the images without the border.

    Examples
    --------
    >>> PaddedImages(np.empty((2, 4)), ((0, 1), (1, 2))).write(np.ones((1, 1)))
    array([[0., 1., 0., 0.],
           [0., 0., 0., 0.]])
    """

    def __init__(self, memory: np.ndarray, padding: Padding):
        (top, bottom), (left, right) = padding
        rows, columns = slice(top, memory.shape[0] - bottom), slice(left, memory.shape[1] - right)
        self.memory = memory
        self.inside = memory[rows, columns]
        borders = (memory[:top], memory[rows.stop :], memory[rows, :left], memory[rows, columns.stop :])
        self._borders = [border for border in borders if border.size]

    def write(self, X: np.ndarray) -> np.ndarray:
        """Copy images into the middle, clear the border, and return the whole memory."""
        for border in self._borders:
            border.fill(0)
        np.copyto(self.inside, X)
        return self.memory
