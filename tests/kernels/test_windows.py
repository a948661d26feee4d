"""Tests of the arithmetic of sliding windows, against brute force over all pixels."""

from itertools import product

import numpy as np
import pytest
from reference import NO_PADDING, garbage, window_starts
from seeds import generator

from skcnn.kernels.windows import PaddedImages, as_padding, same_padding, sliding_windows

# size, window, stride -> padding before, padding after, outputs: the rule of TensorFlow, by hand:
# outputs = ceil(size / stride), total = max((outputs - 1) * stride + window - size, 0), odd pixel at the end
SAME_BY_HAND = [
    (5, 3, 1, 1, 1, 5),
    (6, 3, 2, 0, 1, 3),
    (5, 3, 2, 1, 1, 3),
    (7, 2, 1, 0, 1, 7),
    (224, 7, 2, 2, 3, 112),
    (1, 5, 1, 2, 2, 1),
    (10, 1, 4, 0, 0, 3),
    (4, 4, 1, 1, 2, 4),
    (3, 2, 5, 0, 0, 1),
]


@pytest.mark.parametrize(("size", "window", "stride", "before", "after", "outputs"), SAME_BY_HAND)
def test_same_padding_follows_tensorflow(size, window, stride, before, after, outputs):
    """The rule acts on each axis by itself: tried along the height and along the width."""
    pairs = [(size, 5), (window, 3), (stride, 1)]
    for axis in (0, 1):
        sizes, lengths, strides = (pair if axis == 0 else pair[::-1] for pair in pairs)
        padding = same_padding(sizes, lengths, strides)
        assert padding[axis] == (before, after)
        assert padding[1 - axis] == (1, 1)
        windows = sliding_windows(sizes, lengths, strides=strides, padding="same")
        assert windows.padding == padding
        assert windows.counts[axis] == outputs


def test_same_padding_gives_ceil_of_size_over_stride():
    """With as little padding as can be: one pixel less, and the last window would not fit."""
    for size, length, stride, dilation in product(range(1, 12), range(1, 5), range(1, 6), range(1, 4)):
        windows = sliding_windows(
            (size, size), (length, 1), strides=(stride, 1), dilation=(dilation, 1), padding="same"
        )
        before, after = windows.padding[0]
        span = (length - 1) * dilation + 1
        assert windows.counts == (-(-size // stride), size)
        assert windows.padding[1] == (0, 0)
        assert after - before in (0, 1)
        if after:
            assert len(window_starts(size, span, stride, (before, after - 1))) < windows.counts[0]


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (0, ((0, 0), (0, 0))),
        (2, ((2, 2), (2, 2))),
        ((1, 3), ((1, 1), (3, 3))),
        ([1, 3], ((1, 1), (3, 3))),
        ((1, (0, 2)), ((1, 1), (0, 2))),
        (((4, 1), 0), ((4, 1), (0, 0))),
        ([[1, 2], (3, 4)], ((1, 2), (3, 4))),
        ((np.int8(1), (np.uint8(0), np.int64(2))), ((1, 1), (0, 2))),
    ],
)
def test_explicit_padding_is_before_and_after_of_each_axis(padding, expected):
    assert as_padding(padding) == expected
    assert sliding_windows((5, 6), (3, 3), strides=(2, 2), padding=padding).padding == expected
    assert all(type(size) is int for pair in as_padding(padding) for size in pair)


def test_no_padding_by_default():
    windows = sliding_windows((5, 6), (3, 3), strides=(2, 2))
    assert windows.padding == NO_PADDING
    assert windows.padding == sliding_windows((5, 6), (3, 3), strides=(2, 2), padding="valid").padding
    assert windows.dilation == (1, 1)


def test_counts_are_those_of_trying_every_start():
    axes = product(range(1, 8), range(1, 5), range(1, 5), (0, 2), (0, 1), range(1, 4), (False, True))
    for size, length, stride, before, after, dilation, ceil_mode in axes:
        starts = window_starts(size, length, stride, (before, after), dilation=dilation, ceil_mode=ceil_mode)
        span = (length - 1) * dilation + 1
        if ceil_mode and not starts and span - (before + size + after) < stride:
            continue  # where nothing fits, PyTorch rounds up, too: the next tests
        windows = sliding_windows(
            (size, 9),
            (length, 3),
            strides=(stride, 2),
            dilation=(dilation, 1),
            padding=((before, after), (1, 0)),
            ceil_mode=ceil_mode,
        )
        assert max(windows.counts[0], 0) == len(starts)
        assert windows.counts[1] == (5 if ceil_mode else 4)  # from -1, 1, 3, 5; 7 reaches beyond pixel 8


def count_of_pytorch(size, length, stride, pad):
    """Windows of ceil mode: ``pooling_output_shape`` of PyTorch, with division that rounds down."""
    count = (size + sum(pad) - length + stride - 1) // stride + 1
    return count - 1 if (count - 1) * stride >= size + pad[0] else count


def test_counts_of_ceil_mode_are_those_of_pytorch():
    """Which rounds up where no window fits, too: 2 x 2 images have one window of 3 with strides of 2."""
    for size, length, stride, pad in product(range(1, 9), range(1, 6), range(1, 6), product((0, 1), (0, 2))):
        if max(pad) < length:
            windows = sliding_windows(
                (size, 1), (length, 1), strides=(stride, 1), padding=(pad, 0), ceil_mode=True
            )
            expected = max(count_of_pytorch(size, length, stride, pad), 0)
            assert max(windows.counts[0], 0) == expected, (size, length, stride, pad)


def test_counts_are_not_positive_where_nothing_fits():
    assert sliding_windows((2, 9), (3, 3), strides=(1, 1)).counts == (0, 7)
    assert sliding_windows((9, 2), (3, 7), strides=(1, 1)).counts[1] < 1
    assert sliding_windows((9, 9), (3, 3), strides=(1, 1), dilation=(1, 5)).counts == (7, -1)


def test_overlaps_and_areas_are_right_for_every_small_axis():
    """Against the pixels of each window one by one."""
    axes = product(range(1, 6), range(1, 4), range(1, 4), (0, 1, 3), (0, 2), range(1, 4), (False, True))
    for size, length, stride, before, after, dilation, ceil_mode in axes:
        windows = sliding_windows(
            (size, 1),
            (length, 1),
            strides=(stride, 1),
            padding=((before, after), (0, 0)),
            dilation=(dilation, 1),
            ceil_mode=ceil_mode,
        )
        assert windows.padded_size == (before + size + after, 1)
        count = windows.counts[0]
        if count < 1:
            continue  # no layer gets that far
        places = stride * np.arange(count) + dilation * np.arange(length)[:, np.newaxis] - before
        for of_offset, ((where, _), (pixels, _)) in zip(places, windows.overlaps(), strict=True):
            inside = np.flatnonzero((of_offset >= 0) & (of_offset < size)).tolist()
            assert list(range(count))[where] == inside
            assert list(range(size))[pixels] == of_offset[inside].tolist()
        for with_padding, first, stop in [(False, 0, size), (True, -before, size + after)]:
            areas = ((places >= first) & (places < stop)).sum(axis=0)
            assert windows.areas(with_padding=with_padding)[:, 0].tolist() == areas.tolist()


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 2), (3, 0)), ((0, 4), (0, 1)), ((2, 0), (0, 0))])
@pytest.mark.parametrize("rest", [(), (2, 3)])
def test_padded_images_are_copied_into_zeros_whatever_was_there(padding, rest):
    X = generator(0).standard_normal((3, 4, *rest))
    (top, bottom), (left, right) = padding
    out = garbage((3 + top + bottom, 4 + left + right, *rest))
    padded = PaddedImages(out, padding)
    assert padded.write(X) is padded.memory is out
    np.testing.assert_array_equal(padded.inside, X)
    np.testing.assert_array_equal(out, np.pad(X, [*padding, *[(0, 0)] * len(rest)]))
