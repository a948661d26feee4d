"""Tests of the arithmetic of sliding windows."""

from itertools import product

import numpy as np
import pytest
from reference import garbage

from skcnn.kernels.windows import pad_image, resolve_padding, window_counts, window_slices

# size, window, stride -> padding before, padding after, outputs: the rule of TensorFlow, by hand:
# outputs = ceil(size / stride), total = max((outputs - 1) * stride + window - size, 0), odd pixel at the end
SAME_BY_HAND = [
    (5, 3, 1, 1, 1, 5),
    (6, 3, 2, 0, 1, 3),
    (5, 3, 2, 1, 1, 3),
    (7, 2, 1, 0, 1, 7),
    (28, 5, 2, 1, 2, 14),
    (224, 7, 2, 2, 3, 112),
    (1, 5, 1, 2, 2, 1),
    (2, 7, 1, 3, 3, 2),
    (10, 1, 4, 0, 0, 3),
    (9, 2, 4, 0, 1, 3),
    (4, 4, 1, 1, 2, 4),
    (3, 2, 5, 0, 0, 1),
]


@pytest.mark.parametrize(("size", "window", "stride", "before", "after", "outputs"), SAME_BY_HAND)
def test_same_padding_follows_tensorflow(size, window, stride, before, after, outputs):
    """The rule acts on each axis by itself: tried along the height and along the width."""
    pairs = [(size, 5), (window, 3), (stride, 1)]
    for axis in (0, 1):
        sizes, windows, strides = (pair if axis == 0 else pair[::-1] for pair in pairs)
        padding = resolve_padding("same", sizes, windows, strides)
        assert padding[axis] == (before, after)
        assert padding[1 - axis] == (1, 1)
        assert window_counts(sizes, windows, strides, padding)[axis] == outputs


def test_same_padding_gives_ceil_of_size_over_stride():
    for size, window, stride in product(range(1, 12), range(1, 7), range(1, 6)):
        padding = resolve_padding("same", (size, size), (window, window), (stride, stride))
        counts = window_counts((size, size), (window, window), (stride, stride), padding)
        assert counts == (-(-size // stride),) * 2


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("valid", ((0, 0), (0, 0))),
        (0, ((0, 0), (0, 0))),
        (2, ((2, 2), (2, 2))),
        ((1, 3), ((1, 1), (3, 3))),
        ([1, 3], ((1, 1), (3, 3))),
        ((1, (0, 2)), ((1, 1), (0, 2))),
        (((4, 1), 0), ((4, 1), (0, 0))),
        ([[1, 2], (3, 4)], ((1, 2), (3, 4))),
    ],
)
def test_explicit_padding_is_before_and_after_of_each_axis(padding, expected):
    assert resolve_padding(padding, (5, 6), (3, 3), (2, 2)) == expected


def test_window_counts_are_those_of_trying_every_start():
    for size, window, stride, before, after in product(range(1, 8), range(1, 5), range(1, 5), (0, 2), (0, 1)):
        padded = size + before + after
        starts = [start for start in range(0, padded, stride) if start + window <= padded]
        counts = window_counts((size, 9), (window, 3), (stride, 2), ((before, after), (1, 0)))
        assert max(counts[0], 0) == len(starts)
        assert counts[1] == 4  # starts 0, 2, 4, 6 in ten pixels


def test_window_counts_are_not_positive_where_nothing_fits():
    assert window_counts((2, 9), (3, 3), (1, 1), ((0, 0), (0, 0))) == (0, 7)
    assert window_counts((9, 2), (3, 7), (1, 1), ((0, 0), (0, 0)))[1] < 1


@pytest.mark.parametrize(
    ("image_size", "window", "strides"),
    [
        ((5, 6), (3, 2), (1, 1)),
        ((7, 9), (2, 3), (3, 2)),
        ((4, 4), (4, 4), (1, 1)),
        ((1, 8), (1, 2), (1, 5)),
        ((8, 8), (1, 1), (4, 7)),
        ((6, 7), (3, 3), (5, 2)),
    ],
)
def test_window_slices_visit_the_pixels_of_all_windows_in_row_order(image_size, window, strides):
    image = np.arange(np.prod(image_size)).reshape(image_size)
    counts = window_counts(image_size, window, strides, ((0, 0), (0, 0)))
    slices = list(window_slices(window, strides, counts))
    positions = list(product(range(window[0]), range(window[1])))
    assert len(slices) == len(positions)
    for index, (u, v) in zip(slices, positions, strict=True):
        rows = [i * strides[0] + u for i in range(counts[0])]
        columns = [j * strides[1] + v for j in range(counts[1])]
        assert image[index].tolist() == [[image[row, column] for column in columns] for row in rows]


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 2), (3, 0)), ((0, 4), (0, 1)), ((2, 0), (0, 0))])
@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
def test_pad_image_copies_into_zeros_whatever_was_there(padding, rest):
    X = np.random.default_rng(0).standard_normal((3, 4, *rest))
    (top, bottom), (left, right) = padding
    out = garbage((3 + top + bottom, 4 + left + right, *rest))
    assert pad_image(X, padding, out=out) is out
    np.testing.assert_array_equal(out, np.pad(X, [*padding, *[(0, 0)] * len(rest)]))
