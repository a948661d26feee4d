"""Tests of what the displays share."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal

from skcnn.inspection.plotting import (
    as_picture,
    check_count,
    distinct_colors,
    grid_of_axes,
    grid_shape,
    limits_of,
    tick_integers,
)

plt = package("matplotlib.pyplot")


@pytest.mark.parametrize("value", [0, 1.5, True, "3", None])
def test_counts_are_positive_integers(value):
    with pytest.raises(ValueError, match=f"n_maps .* got {value!r}"):
        check_count(value, "n_maps")
    check_count(np.int64(3), "n_maps")


def test_colors_are_distinct():
    for n_colors in (1, 10, 11, 20, 21, 150):
        colors = distinct_colors(n_colors)
        assert len(set(colors)) == len(colors) == n_colors
        assert all(0 <= value <= 1 for color in colors for value in color)


@pytest.mark.parametrize(
    ("n_axes", "n_columns", "expected"),
    [(1, None, (1, 1)), (9, None, (3, 3)), (10, None, (3, 4)), (5, 2, (3, 2)), (3, 7, (1, 3))],
)
def test_grids_have_room_for_all_axes(n_axes, n_columns, expected):
    assert grid_shape(n_axes, n_columns) == expected
    figure = plt.figure()
    axes = grid_of_axes(figure, n_axes, n_columns)
    assert len(axes) == n_axes
    assert len(figure.axes) == expected[0] * expected[1]
    assert not any(axis.axison for axis in figure.axes)


def test_pictures_of_three_channels_are_in_color_and_others_the_mean_in_grey():
    image = np.arange(24.0).reshape(2, 4, 3)
    assert_allclose(as_picture(image, 0, 23), image / 23)
    assert_allclose(as_picture(image[..., :1], 0, 23), image[..., 0] / 23)
    assert_allclose(as_picture(image[..., :2], 0, 23), image[..., :2].mean(axis=-1) / 23)


def test_pictures_lie_between_black_and_white():
    """Missing values count as the largest."""
    image = np.array([[[-5.0], [0.0], [2.0], [9.0], [np.nan]]])
    assert_allclose(as_picture(image, 0, 4), [[0, 0, 0.5, 1, 1]])
    assert_array_equal(as_picture(np.full((2, 2, 1), 7.0), 7, 7), np.zeros((2, 2)))


def test_limits_of_bytes_and_of_other_numbers():
    assert limits_of(np.array([3, 9], np.uint8)) == (0, 255)
    assert limits_of(np.array([-1.0, 0.5])) == (-1, 0.5)
    assert limits_of(np.array([0.0, np.nan, 16.0])) == (0, 16)


def test_ticks_stand_at_integers():
    figure, axis = plt.subplots()
    axis.plot([1, 2, 3], [0, 1, 2])
    tick_integers(axis.xaxis)
    figure.canvas.draw()
    assert all(float(tick).is_integer() for tick in axis.get_xticks())
