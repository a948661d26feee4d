"""Arithmetic with one number for each channel."""

import numpy as np
import pytest
from seeds import generator

from skcnn.kernels.channelwise import channelwise


@pytest.mark.parametrize("shape", [(4, 5, 3, 2), (1, 1, 1, 1), (1, 7, 2, 3), (6, 4)])
def test_every_element_meets_the_number_of_its_channel(shape):
    rng = generator(0)
    X, vector = rng.standard_normal(shape), rng.standard_normal(shape[-1])
    out = np.full(shape, np.nan)
    assert channelwise(np.subtract, X, vector, out=out) is out
    expected = np.empty(shape)
    for index in np.ndindex(shape):
        expected[index] = X[index] - vector[index[-1]]
    np.testing.assert_array_equal(out, expected)


def test_the_result_may_replace_the_operand():
    X = np.arange(12.0, dtype=np.float32).reshape(1, 2, 2, 3)
    channelwise(np.multiply, X, np.array([1, 10, 100], np.float32), out=X)
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X[0, 1, 1], [9, 100, 1100])
