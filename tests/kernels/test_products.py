"""Tests of products of small matrices in compiled kernels against numpy."""

import numpy as np
import pytest
from compiled_kernels import NUMBA, needs_numba
from seeds import generator

if NUMBA is not None:
    from skcnn.kernels.compiled.products import (
        ADD,
        PANEL,
        WRITE,
        from_panels,
        multiply,
        panels_shape,
        to_panels,
    )

pytestmark = needs_numba

SIZES = [
    (1, 1, 1),
    (3, 5, 2),
    (4, 32, 7),
    (7, 33, 130),
    (8, 6, 300),
    (9, 48, 1),
    (13, 70, 128),
    (25, 16, 129),
]
"""Rows, columns and steps: some fill vectors, panels and the steps of a pass, others do not."""


def as_panels(matrix):
    """Return a matrix as panels, and check that they can be turned back, in memory full of NaN."""
    rows, columns = matrix.shape
    panels, back = np.full((1, *panels_shape(rows, columns)), np.nan, matrix.dtype), np.empty_like(matrix)
    to_panels(matrix.reshape(-1), (0, columns, 1), (1, rows, columns), panels, 0)
    from_panels(panels, 0, back.reshape(-1), (0, columns, 1), (1, rows, columns))
    np.testing.assert_array_equal(back, matrix)
    return panels


def assert_product(C, expected, bound, before):
    """Check a product, with a bound of its rounding, that lies among numbers that stay as they were."""
    inside = C[: expected.shape[0], : expected.shape[1]]
    assert (np.abs(inside - expected) <= bound).all()
    before[: expected.shape[0], : expected.shape[1]] = inside
    np.testing.assert_array_equal(C, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
def test_product_of_matrices(sizes, dtype):
    """Of A or its transpose with rows or panels of B, written to rows of a larger matrix, or added."""
    rows, columns, steps = sizes
    rng = generator(*sizes)
    A, B, C = (
        rng.normal(size=size).astype(dtype)
        for size in ((rows, steps), (steps, columns), (rows + 1, columns + 2))
    )
    transposed, panels = np.ascontiguousarray(A.T), as_panels(B)
    flat, of_C, before = C.reshape(-1), (0, columns + 2, PANEL), C.copy()
    expected = A.astype(np.float64) @ B
    bound = (steps + 1) * np.finfo(dtype).eps * (np.abs(A) @ np.abs(B))  # each addition rounds once
    multiply(A.reshape(-1), (0, steps, 1), B.reshape(-1), (0, columns, PANEL), flat, of_C, sizes, WRITE)
    assert_product(C, expected, bound, before)
    of_panels = 0, PANEL, steps * PANEL
    multiply(transposed.reshape(-1), (0, 1, rows), panels.reshape(-1), of_panels, flat, of_C, sizes, ADD)
    assert_product(C, 2 * expected, 3 * bound, before)


def test_product_as_panels():
    """The gradient of filters is one."""
    rng = generator(0)
    A, B, C = rng.normal(size=(6, 4)), rng.normal(size=(4, 37)), np.empty((6, 37))
    panels = np.empty((1, *panels_shape(6, 37)))
    of_B, of_panels = (0, 37, PANEL), (0, PANEL, 6 * PANEL)
    multiply(A.reshape(-1), (0, 4, 1), B.reshape(-1), of_B, panels.reshape(-1), of_panels, (6, 37, 4), WRITE)
    from_panels(panels, 0, C.reshape(-1), (0, 37, 1), (1, 6, 37))
    np.testing.assert_allclose(C, A @ B, rtol=1e-12, atol=1e-14)


def test_panels_of_several_matrices_transposed_with_a_row_before():
    """The last panel is filled up with zeros, and a row of another matrix comes first."""
    A, row = generator(1).normal(size=(2, 37, 6)), generator(2).normal(size=(2, 37))
    panels = np.full((2, *panels_shape(7, 37)), np.nan)
    to_panels(row.reshape(-1), (37, 37, 1), (2, 1, 37), panels, 0)
    to_panels(A.reshape(-1), (37 * 6, 1, 6), (2, 6, 37), panels, 1)
    whole = panels.swapaxes(1, 2).reshape(2, 7, -1)
    np.testing.assert_array_equal(whole[:, 0, :37], row)
    np.testing.assert_array_equal(whole[:, 1:, :37], A.swapaxes(1, 2))
    assert not whole[:, :, 37:].any()
