"""Tests of numbers to predict: what is accepted, and how they are scaled."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from seeds import generator
from sklearn.exceptions import DataConversionWarning

from skcnn.data.targets import check_numbers, scaling_of


@pytest.mark.parametrize(
    "y", [[1, 2, 3], np.array([True, False, True]), ["1", "2", "3"], np.float32([1, 2, 3]), [[1], [2], [3]]]
)
def test_numbers_of_one_output_are_a_column(y):
    if np.ndim(y) == 2:
        with pytest.warns(DataConversionWarning):
            numbers = check_numbers(y, 3)
    else:
        numbers = check_numbers(y, 3)
    assert (numbers.shape, numbers.dtype) == ((3, 1), np.float64)


@pytest.mark.parametrize(
    ("y", "pattern"),
    [
        (None, "y_val must be an array"),
        (3.0, "y_val must have shape .*got shape ()"),
        ([1.0, np.nan], "y_val .*NaN"),
        ([1.0, np.inf], "y_val .*infinity"),
        (["a", "b"], "y_val must be an array of finite numbers"),
        ([[1], [1, 2]], "y_val must be an array"),
        ([1j, 2j], "y_val must be an array"),
        (np.ones((2, 1, 1)), "y_val .*dim 3"),
        (np.ones((2, 0)), "y_val"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "y_val has masked values"),
        ([1.0, 2.0, 3.0], "inconsistent numbers of samples"),
    ],
)
def test_what_are_no_numbers_is_refused(y, pattern):
    with pytest.raises(ValueError, match=pattern):
        check_numbers(y, 2, name="y_val")


@pytest.mark.parametrize("unit", [1e-300, 1e-6, 1.0, 1e6, 1e300])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_scaled_numbers_have_zero_mean_and_unit_deviation_whatever_the_unit(unit, offset):
    y = unit * (generator(0).normal(size=(50, 2)) + [offset, 0])
    repeats = generator(1).integers(0, 4, 50)
    scaling = scaling_of(y, repeats.astype(float), is_centred=True)
    scaled = scaling.apply(y)
    repeated = np.repeat(scaled, repeats, axis=0)
    # the mean is exact to eps of the offset in deviations
    assert_allclose(repeated.mean(axis=0), 0, atol=1e-15 * (1 + offset) * 10)
    assert_allclose(repeated.std(axis=0), 1, rtol=1e-12)
    assert_allclose(scaling.undo(scaled), y, rtol=1e-14, atol=1e-15 * unit * (1 + offset))


def test_without_centring_the_mean_is_one():
    y = generator(0).poisson(3, (40, 2)) * [1.0, 0.0]
    scaling = scaling_of(y, np.ones(40), is_centred=False)
    assert_allclose(scaling.apply(y).mean(axis=0), [1, 0], rtol=1e-14)
    assert_array_equal(scaling.has_varied, [True, False])


def test_an_output_that_does_not_vary_keeps_its_unit_until_it_does():
    constant, varied = np.full((3, 1), 0.1), np.array([[1.0], [3.0]])
    first = scaling_of(constant, np.array([0.1, 0.2, 0.7]), is_centred=True)
    assert (first.mean.item(), first.scale.item(), first.has_varied.item()) == (0.1, 1.0, False)
    second = first.update(scaling_of(varied, np.ones(2), is_centred=True))
    assert (second.mean.item(), second.scale.item(), second.has_varied.item()) == (2.0, 1.0, True)
    third = second.update(scaling_of(100 * varied, np.ones(2), is_centred=True))
    assert (third.mean.item(), third.scale.item()) == (2.0, 1.0)


def test_numbers_of_one_output_come_back_as_a_vector():
    scaling = scaling_of(np.array([[1.0], [3.0]]), np.ones(2), is_centred=True)
    assert_array_equal(scaling.undo(np.array([[-1.0], [2.0]], np.float32)), [1.0, 4.0])
    assert scaling.undo(np.zeros((2, 1), np.float32)).dtype == np.float64
