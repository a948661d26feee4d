"""Tests of products of small matrices in compiled kernels against numpy."""

import numpy as np
import pytest
from compiled_kernels import NUMBA, needs_numba
from seeds import generator

if NUMBA is not None:
    from skcnn.kernels.compiled.products import ADD, PANEL, WRITE, as_panels, from_panels, multiply

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
    transposed, panels = np.ascontiguousarray(A.T), as_panels(B[np.newaxis])
    np.testing.assert_array_equal(from_panels(panels, columns)[0], B)
    flat, of_C, before = C.reshape(-1), (0, columns + 2, PANEL), C.copy()
    expected = A.astype(np.float64) @ B
    bound = (steps + 1) * np.finfo(dtype).eps * (np.abs(A) @ np.abs(B))  # each addition rounds once
    multiply(A.reshape(-1), (0, steps, 1), B.reshape(-1), (0, columns, PANEL), flat, of_C, sizes, WRITE)
    assert_product(C, expected, bound, before)
    of_panels = 0, PANEL, steps * PANEL
    multiply(transposed.reshape(-1), (0, 1, rows), panels.reshape(-1), of_panels, flat, of_C, sizes, ADD)
    assert_product(C, 2 * expected, 3 * bound, before)


def test_product_as_panels():
    """The gradient of filters is one: its panels are complete, the last one with zeros."""
    rng = generator(0)
    A, B = rng.normal(size=(6, 4)), rng.normal(size=(4, 37))
    panels = np.zeros_like(as_panels(np.zeros((1, 6, 37))))
    of_B, of_panels = (0, 37, PANEL), (0, PANEL, 6 * PANEL)
    multiply(A.reshape(-1), (0, 4, 1), B.reshape(-1), of_B, panels.reshape(-1), of_panels, (6, 37, 4), WRITE)
    np.testing.assert_allclose(from_panels(panels, 37)[0], A @ B, rtol=1e-12, atol=1e-14)
    assert not panels[0, -1, :, 37 % PANEL :].any()
