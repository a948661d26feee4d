"""Tests of labels and numbers: what is accepted, how it is encoded and scaled."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from seeds import generator
from sklearn.exceptions import DataConversionWarning

from skcnn.data.targets import (
    check_classes,
    check_labels,
    check_numbers,
    check_targets,
    class_weights,
    encode_labels,
    scaling_of,
)

# Labels


@pytest.mark.parametrize(
    "y",
    [
        [1.0, 0.0, 2.0],
        [True, False, True],
        ["cat", "dog", "cat"],
        np.array(["cat", "dog", "cat"], dtype=object),
        np.array([3, -1, 7], dtype=np.int8),
    ],
)
def test_labels_of_every_kind_become_a_vector(y):
    labels = check_labels(y, 3)
    assert labels.shape == (3,)
    assert labels.tolist() == list(y)


def test_a_column_of_labels_warns_as_in_scikit_learn():
    with pytest.warns(DataConversionWarning, match="column-vector"):
        assert check_labels([[1], [0]], 2).tolist() == [1, 0]


def test_codes_are_positions_in_the_classes():
    classes = np.array(["ant", "bee", "cat"])
    assert_array_equal(encode_labels(np.array(["cat", "ant", "cat"]), classes), [2, 0, 2])
    assert_array_equal(encode_labels(np.array([10.0, -1.0]), np.array([-1, 3, 10])), [2, 0])


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (["bee", "fly", "elk"], ["ant", "bee"], r"\['elk', 'fly'\] .* \['ant', 'bee'\]"),
        (["10"], [2, 10], r"\['10'\] .* \[2, 10\]"),  # as text, "10" sorts before "2"
    ],
)
def test_labels_beside_the_classes_are_refused_by_name(y, classes, message):
    with pytest.raises(ValueError, match=f"^y_val contains labels {message}"):
        encode_labels(np.array(y), np.array(classes), name="y_val")


def test_classes_are_sorted_and_unique():
    assert check_classes(np.array([3, -1, 3, 2]), "Reader").tolist() == [-1, 2, 3]
    assert check_classes(np.array(["b", "a", "b"], dtype=object), "Reader").tolist() == ["a", "b"]
    with pytest.raises(ValueError, match=r"Reader needs .* got 1 class: \[3\]"):  # as scikit-learn words it
        check_classes(np.array([3, 3]), "Reader")


def test_class_weight_by_label_is_one_where_a_label_is_missing():
    """And without any."""
    classes = np.array(["ant", "bee", "cat"])
    weights = class_weights({"cat": 3, "ant": 0}, classes, np.array([0, 1, 2]), np.ones(3))
    assert weights.dtype == np.float64
    assert_array_equal(weights, [0.0, 1.0, 3.0])
    by_number = class_weights({np.int64(2): 5.0}, np.array([1, 2]), np.array([0, 1]), np.ones(2))
    assert_array_equal(by_number, [1.0, 5.0])
    assert_array_equal(class_weights(None, classes, np.array([0, 1]), np.ones(2)), np.ones(3))


def test_balanced_gives_every_class_the_same_total_of_weights():
    rng = generator(0)
    codes, sample_weight = rng.integers(0, 4, 50), rng.uniform(0.1, 3, 50)
    weights = class_weights("balanced", np.arange(4), codes, sample_weight)
    totals = np.bincount(codes, weights=sample_weight * weights[codes])
    assert_allclose(totals, sample_weight.sum() / 4, rtol=1e-14)


def test_balanced_leaves_a_class_without_samples_a_finite_weight():
    """A model that goes on training with fewer classes neither warns nor divides by zero."""
    weights = class_weights("balanced", np.arange(4), np.array([0, 0, 1]), np.ones(3))
    assert weights.shape == (4,)
    assert np.isfinite(weights).all()
    assert weights[1] == pytest.approx(2 * weights[0], rel=1e-15)


@pytest.mark.parametrize(
    "kind", [list, csr_array, lambda y: np.asarray(y, bool), lambda y: np.asarray(y, float)]
)
def test_several_labels_are_a_matrix_of_integers(kind):
    y = [[0, 1], [1, 1], [0, 0]]
    targets = check_targets(kind(y), 3)
    assert targets.dtype.kind == "i"
    assert_array_equal(targets, y)


# Numbers


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
        (None, "y_val must hold finite numbers"),
        (3.0, "y_val must have shape .*got shape ()"),
        ([1.0, np.nan], "y_val .*NaN"),
        ([1.0, np.inf], "y_val .*infinity"),
        (["a", "b"], "y_val must hold finite numbers"),
        ([[1], [1, 2]], "y_val must hold finite numbers"),
        ([1j, 2j], "y_val must hold finite numbers"),
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


@pytest.mark.parametrize("y", [[0.3, 0.1 + 0.2], [0.0, 5e-324], [1e300, 1e300 * (1 + 2**-52)]])
def test_rounding_is_no_variation(y):
    scaling = scaling_of(np.array(y)[:, np.newaxis], np.array([1.0, 1.0]), is_centred=True)
    assert (scaling.scale.item(), scaling.has_varied.item()) == (1.0, False)


def test_the_largest_numbers_are_scaled_without_a_warning():
    scaling = scaling_of(np.array([[1.7e308], [-1.7e308]]), np.ones(2), is_centred=True)
    assert_allclose(scaling.apply(np.array([[1.7e308]])), 1)


def test_numbers_of_one_output_come_back_as_a_vector():
    scaling = scaling_of(np.array([[1.0], [3.0]]), np.ones(2), is_centred=True)
    assert_array_equal(scaling.undo(np.array([[-1.0], [2.0]], np.float32)), [1.0, 4.0])
    assert scaling.undo(np.zeros((2, 1), np.float32)).dtype == np.float64
