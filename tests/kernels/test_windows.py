"""Tests of the arithmetic of sliding windows, against brute force over all pixels."""

from itertools import product

import numpy as np
import pytest
from reference import NO_PADDING, NaiveWindows, garbage, window_starts
from seeds import generator

from skcnn.kernels.windows import PaddedImages, as_padding, same_padding, sliding_windows

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


CEIL_MODE = [
    axis
    for axis in product(range(1, 9), range(1, 6), range(1, 6), product((0, 1), (0, 2)))
    if max(axis[-1]) < axis[1]
]


def assert_counts_of_pytorch(axes):
    for size, length, stride, pad in axes:
        windows = sliding_windows(
            (size, 1), (length, 1), strides=(stride, 1), padding=(pad, 0), ceil_mode=True
        )
        expected = max(count_of_pytorch(size, length, stride, pad), 0)
        assert max(windows.counts[0], 0) == expected, (size, length, stride, pad)


def test_counts_of_ceil_mode_are_those_of_pytorch():
    assert_counts_of_pytorch(axis for axis in CEIL_MODE if axis[0] + sum(axis[-1]) >= axis[1])


def test_ceil_mode_gives_one_window_where_less_than_a_stride_is_missing_as_pytorch_does():
    """PyTorch rounds up where no window fits, too: 2 x 2 images have one window of 3 with strides of 2."""
    assert_counts_of_pytorch(axis for axis in CEIL_MODE if axis[0] + sum(axis[-1]) < axis[1])


@pytest.mark.parametrize(
    ("size", "length", "stride", "pad", "count"),
    [
        (5, 2, 2, (0, 0), 3),  # pixel 4 gets a window of its own
        (6, 2, 2, (0, 0), 3),  # nothing is left over
        (7, 3, 2, (0, 0), 3),
        (8, 3, 2, (0, 0), 4),
        (6, 2, 3, (0, 0), 2),  # pixel 5 is left over, but the next window would begin at 6
        (7, 2, 3, (0, 0), 3),  # ... and here at 6, the last pixel
        (5, 2, 3, (1, 1), 2),  # windows from -1 and 2; the next would begin in the padding after pixel 4
        (6, 2, 3, (1, 1), 3),  # ... and here at 5, the last pixel
        (5, 3, 2, (1, 0), 3),  # windows from -1 and 1 leave pixel 4 over
        (1, 4, 3, (3, 1), 2),  # a window from -3 leaves padding over, and the next begins at pixel 0
    ],
)
def test_counts_of_ceil_mode_by_hand(size, length, stride, pad, count):
    windows = sliding_windows((size, 1), (length, 1), strides=(stride, 1), padding=(pad, 0), ceil_mode=True)
    assert windows.counts == (count, 1)


def test_counts_are_not_positive_where_nothing_fits():
    assert sliding_windows((2, 9), (3, 3), strides=(1, 1)).counts == (0, 7)
    assert sliding_windows((9, 2), (3, 7), strides=(1, 1)).counts[1] < 1
    assert sliding_windows((9, 9), (3, 3), strides=(1, 1), dilation=(1, 5)).counts == (7, -1)


# image size, window, strides, padding, dilation, ceil mode
GEOMETRIES = [
    ((5, 6), (3, 2), (1, 1), NO_PADDING, (1, 1), False),
    ((7, 9), (2, 3), (3, 2), NO_PADDING, (1, 1), False),
    ((4, 4), (4, 4), (1, 1), NO_PADDING, (1, 1), False),
    ((1, 8), (1, 2), (1, 5), NO_PADDING, (1, 1), False),
    ((8, 8), (1, 1), (4, 7), NO_PADDING, (1, 1), False),
    ((6, 7), (3, 3), (5, 2), NO_PADDING, (1, 1), False),
    ((5, 6), (3, 3), (2, 1), ((1, 1), (0, 2)), (1, 1), False),
    ((3, 4), (2, 2), (1, 1), ((3, 0), (0, 4)), (1, 1), False),  # windows that see padding only
    ((1, 1), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), False),
    ((2, 3), (5, 4), (3, 2), ((4, 3), (2, 3)), (1, 1), False),  # windows larger than the image
    ((7, 8), (3, 2), (1, 2), ((2, 2), (1, 0)), (2, 3), False),
    ((3, 3), (2, 2), (1, 1), ((2, 2), (2, 2)), (4, 4), False),
    ((9, 7), (3, 3), (2, 3), ((1, 2), (0, 3)), (3, 2), False),
    ((7, 8), (3, 3), (2, 2), NO_PADDING, (1, 1), True),
    ((10, 9), (2, 3), (3, 4), ((0, 1), (2, 0)), (1, 1), True),
    ((7, 7), (3, 3), (3, 3), ((1, 1), (2, 2)), (1, 1), True),
    ((1, 6), (1, 3), (2, 2), ((0, 0), (1, 1)), (1, 1), True),
]


@pytest.fixture(params=GEOMETRIES, ids=str)
def both(request):
    """The windows of a geometry, and the naive ones."""
    size, window, strides, padding, dilation, ceil_mode = request.param
    windows = sliding_windows(
        size, window, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )
    naive = NaiveWindows(size, window, strides, padding, dilation=dilation, ceil_mode=ceil_mode)
    return windows, naive


def test_counts_are_the_naive_ones(both):
    windows, naive = both
    assert windows.counts == naive.counts


def test_padded_size_is_that_of_numpy(both):
    windows, _ = both
    assert windows.padded_size == np.pad(np.zeros(windows.image_size), windows.padding).shape


@pytest.mark.parametrize("geometry", [row for row in GEOMETRIES if not row[-1]], ids=str)
def test_positions_visit_the_pixels_of_all_windows_in_row_order(geometry):
    """On the padded image, so that ceil mode, which reaches beyond it, has none."""
    size, window, strides, padding, dilation, _ = geometry
    windows = sliding_windows(size, window, strides=strides, padding=padding, dilation=dilation)
    padded = np.pad(np.arange(1, 1 + np.prod(size)).reshape(size), padding)
    visited = [padded[index] for index in windows.positions]
    expected = np.full((np.prod(window), *windows.counts), -1)
    (top, _), (left, _) = padding
    for out, tap, (row, column) in NaiveWindows(size, window, strides, padding, dilation=dilation).taps():
        expected[(np.ravel_multi_index(tap, window), *out)] = padded[row + top, column + left]
    np.testing.assert_array_equal(visited, expected)


def test_overlaps_visit_the_pixels_on_the_image_in_row_order(both):
    """Every pair of a window and a pixel of it on the image, once, and none of the padding."""
    windows, naive = both
    numbers = np.arange(np.prod(windows.image_size)).reshape(windows.image_size)
    overlaps = list(windows.overlaps())
    assert len(overlaps) == np.prod(windows.size)
    visited = np.full((len(overlaps), *windows.counts), -1)
    for position, (where, pixels) in enumerate(overlaps):
        assert visited[position][where].shape == numbers[pixels].shape
        visited[position][where] = numbers[pixels]
    expected = np.full_like(visited, -1)
    for out, tap, pixel in naive.taps_on_image():
        expected[(np.ravel_multi_index(tap, windows.size), *out)] = numbers[pixel]
    np.testing.assert_array_equal(visited, expected)


def test_overlaps_are_right_for_every_small_axis():
    """Windows and pixels of one axis, for all combinations of small numbers."""
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
        count = windows.counts[0]
        if count < 1:
            continue  # no layer gets that far
        for offset, ((where, _), (pixels, _)) in enumerate(windows.overlaps()):
            places = [index * stride + offset * dilation - before for index in range(count)]
            inside = [index for index, place in enumerate(places) if 0 <= place < size]
            assert list(range(count))[where] == inside
            assert list(range(size))[pixels] == [places[index] for index in inside]


@pytest.mark.parametrize("with_padding", [False, True], ids=["on the image", "on the padded image"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_areas_are_the_numbers_of_pixels(geometry, with_padding):
    """None where a window lies in the padding."""
    size, window, strides, padding, dilation, ceil_mode = geometry
    windows = sliding_windows(
        size, window, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )
    naive = NaiveWindows(size, window, strides, padding, dilation=dilation, ceil_mode=ceil_mode)
    areas = windows.areas(with_padding=with_padding)
    np.testing.assert_array_equal(areas, naive.areas(with_padding=with_padding))


def test_windows_of_pooling_have_pixels_on_the_image():
    """As long as the padding is smaller than the window: no maximum of nothing, no mean of nothing."""
    axes = product(range(1, 8), range(1, 6), range(1, 6), range(5), range(5), (False, True))
    for size, length, stride, before, after, ceil_mode in axes:
        if max(before, after) < length:
            windows = sliding_windows(
                (size, 1),
                (length, 1),
                strides=(stride, 1),
                padding=((before, after), (0, 0)),
                ceil_mode=ceil_mode,
            )
            assert (windows.areas(with_padding=False) > 0).all()


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 2), (3, 0)), ((0, 4), (0, 1)), ((2, 0), (0, 0))])
@pytest.mark.parametrize("rest", [(), (3,), (2, 3)])
def test_padded_images_are_copied_into_zeros_whatever_was_there(padding, rest):
    X = generator(0).standard_normal((3, 4, *rest))
    (top, bottom), (left, right) = padding
    out = garbage((3 + top + bottom, 4 + left + right, *rest))
    padded = PaddedImages(out, padding)
    assert padded.write(X) is padded.memory is out
    np.testing.assert_array_equal(padded.inside, X)
    np.testing.assert_array_equal(out, np.pad(X, [*padding, *[(0, 0)] * len(rest)]))
