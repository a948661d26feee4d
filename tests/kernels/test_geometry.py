"""Tests of pixels taken from elsewhere, held against numpy's padding and SciPy's interpolation."""

from itertools import product

import numpy as np
import pytest
from scipy import ndimage
from seeds import generator

from skcnn.kernels.geometry import boxes, fold_into, inside, shift, warp

PAD_MODES = {"zeros": "constant", "edge": "edge", "reflect": "reflect"}
NDIMAGE_MODES = {"zeros": "constant", "edge": "nearest", "reflect": "mirror"}


def random_images(shape=(6, 5, 4, 3), dtype=np.float64):
    return generator(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("fill", PAD_MODES)
def test_positions_beyond_the_edge_are_those_of_padding(size, fill):
    far = 3 * size + 2
    expected = np.pad(np.arange(1, size + 1), far, mode=PAD_MODES[fill])
    pixels, exists = fold_into(np.arange(-far, size + far), size, fill)
    found = pixels + 1 if exists is None else (pixels + 1) * exists
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("fill", PAD_MODES)
def test_shifted_images_are_cut_out_of_padded_ones(fill):
    images = random_images()
    offsets = np.array([(0, 0), (2, -1), (-3, 4), (9, -7)])
    result = shift(images, offsets, fill)
    padded = np.pad(images, [(9, 9), (9, 9), (0, 0), (0, 0)], mode=PAD_MODES[fill])
    for number, (down, right) in enumerate(offsets):
        expected = padded[9 - down : 15 - down, 9 - right : 14 - right, number]
        np.testing.assert_array_equal(result[:, :, number], expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fill", NDIMAGE_MODES)
def test_warped_images_are_interpolated_as_by_scipy(fill, dtype):
    """Zeros beyond the edge are interpolated with, too, which SciPy calls grid-constant."""
    images = random_images((7, 6, 3, 2), dtype)
    matrices = np.moveaxis(np.array([[(0.9, 0.3), (-0.4, 1.2)], [(1, 0), (0, 1)], [(2, 0), (0, 0.5)]]), 0, -1)
    result = warp(images, matrices, fill)
    assert result.dtype == dtype
    center = (np.array(images.shape[:2]) - 1) / 2
    for number in range(3):
        matrix = matrices[:, :, number]
        for channel in range(2):
            expected = ndimage.affine_transform(
                images[:, :, number, channel].astype(np.float64),
                matrix,
                offset=center - matrix @ center,
                order=1,
                mode="grid-constant" if fill == "zeros" else NDIMAGE_MODES[fill],
            )
            # a sum of four products of numbers of about one, each rounded
            tolerance = 16 * np.finfo(dtype).eps * np.abs(images).max()
            np.testing.assert_allclose(result[:, :, number, channel], expected, rtol=0, atol=tolerance)


def test_inside_is_what_slices_mean():
    start, stop = np.array([(0, 1), (2, 2), (3, 0)]), np.array([(2, 4), (2, 5), (6, 5)])
    expected = np.zeros((6, 5, 3, 1), bool)
    for number, ((top, left), (bottom, right)) in enumerate(zip(start, stop, strict=True)):
        expected[top:bottom, left:right, number] = True
    np.testing.assert_array_equal(inside((start, stop), (6, 5)), expected)


def test_boxes_of_all_sizes_are_what_is_left_of_them_on_the_image():
    """Pixel by pixel, with the odd pixel of an even size before the drawn one; further draws are not read."""
    image_size, draws, sizes, expected = (4, 5), [], [], []
    for row, column, height, width in product(range(4), range(5), range(7), range(7)):
        draws.append(((row + 0.5) / 4, (column + 0.5) / 5, np.nan))
        sizes.append((height, width))
        rows = range(row - height // 2, row - height // 2 + height)
        columns = range(column - width // 2, column - width // 2 + width)
        expected.append([[i in rows and j in columns for j in range(5)] for i in range(4)])
    start, stop = boxes(np.array(draws), np.array(sizes), image_size)
    assert start.dtype.kind == stop.dtype.kind == "i"
    for bounds in (start, stop):
        assert ((bounds >= 0) & (bounds <= image_size)).all()
    np.testing.assert_array_equal(np.moveaxis(inside((start, stop), image_size)[..., 0], 2, 0), expected)
    areas = (stop - start).prod(axis=1)
    np.testing.assert_array_equal(areas, np.sum(expected, axis=(1, 2)))
