"""Tests of weights and splits: what is accepted, and what a loss gets."""

import numpy as np
import pytest
from extras import data_frame
from numpy.testing import assert_allclose, assert_array_equal
from seeds import SEED

from skcnn.data.images import ImageFormat
from skcnn.data.samples import Outputs, Samples, check_sample_weight, mean_of_weights, split_validation
from skcnn.data.targets import check_labels, encode_labels


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *[(None, [1, 1, 1]), (2, [2, 2, 2]), (np.float32(3), [3, 3, 3])],
        *[(np.array([1, 0, 2], np.float32), [1, 0, 2]), ((True, False, 2), [1, 0, 2])],
    ],
)
def test_weights_become_a_vector_of_float64(given, expected):
    weights = check_sample_weight(given, 3)
    assert weights.dtype == np.float64
    assert_array_equal(weights, expected)


FORMAT = ImageFormat((1, 1, 1), False, np.dtype("float64"))


def samples_of(codes, weights=None, rows=None, class_probabilities=None):
    codes = np.asarray(codes)
    return Samples(
        np.arange(len(codes), dtype=float).reshape(-1, 1),
        codes,
        np.ones(len(codes)) if weights is None else np.asarray(weights, float),
        slice(None) if rows is None else np.asarray(rows),
        Outputs("classes", np.arange(codes.max() + 1)),
        given_weights=weights is not None,
        class_probabilities=class_probabilities,
    )


def read_all(images):
    return images.read(slice(0, len(images)), np.empty((1, 1, len(images), 1)))[0, 0, :, 0]


def test_a_chunk_of_one_class_counts_by_its_size_up_to_a_usual_minibatch():
    data = samples_of([0, 1]).training_data(FORMAT, None, mean_weight=1.0)
    assert data.part(100) is None
    data.is_representative = False
    assert [data.part(n_rows) for n_rows in (16, 64, 100)] == [0.25, 1.0, 1.0]


def test_training_data_are_the_rows_that_count():
    samples = samples_of([0, 1, 1, 0, 1], weights=[2, 0, 1, 4, 1], rows=[0, 2, 3, 4])
    data = samples.training_data(FORMAT, np.array([1.0, 3.0]), mean_weight=3.0)
    assert len(samples) == len(data.images) == 4
    assert_array_equal(read_all(data.images), [0, 2, 3, 4])
    assert_array_equal(data.targets, [0, 1, 0, 1])
    assert_array_equal(data.weights, [2, 1, 4, 1])
    assert_allclose(data.loss_weights, np.array([2, 3, 4, 3]) / 3, rtol=1e-15)


def test_equal_weights_are_none_for_statistics():
    data = samples_of([0, 1, 1], weights=[0.3, 0.3, 0.3]).training_data(FORMAT, np.ones(2), mean_weight=0.3)
    assert data.weights is None
    assert_allclose(data.loss_weights, np.ones(3), rtol=1e-15)
    data = samples_of([0, 1, 1]).training_data(FORMAT, np.array([4.0, 1.0]), mean_weight=2.0)
    assert data.weights is None  # class weights change losses only
    assert_array_equal(data.loss_weights, [2.0, 0.5, 0.5])


def test_weights_that_leave_nothing_are_refused():
    products = samples_of([0, 0, 1], rows=[0, 1]).loss_weights(np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="sample_weight times class_weight is zero for every sample"):
        mean_of_weights(products)


@pytest.mark.parametrize("largest", [1e-300, 1.0, 1e308])
def test_the_mean_of_weights_does_not_overflow(largest):
    assert mean_of_weights(largest * np.array([1.0, 0.5, 0.0])) == pytest.approx(largest / 2, rel=1e-15)


def test_weights_whose_product_overflows_are_refused():
    with pytest.raises(ValueError, match="sample_weight times class_weight is not finite"):
        samples_of([0, 1], weights=[1e200, 1]).loss_weights(np.array([1e200, 1.0]))


def test_a_subset_has_the_same_arrays():
    samples = samples_of([0, 1, 1], weights=[1, 2, 3])
    subset = samples.subset(np.array([2]))
    assert len(subset) == 1
    assert subset.X is samples.X and subset.targets is samples.targets and subset.given_weights


@pytest.mark.parametrize("kind", [np.array, list, data_frame])
def test_rows_that_count_are_taken_of_whatever_is_as_long(kind):
    images = np.arange(12.0).reshape(6, 2)
    training, _ = split_validation(samples_of([0, 0, 1, 0, 1, 1]), 0.4, seed=SEED)
    assert 0 < len(training) < 6
    given = kind(images)
    rows = training.rows_of(given)
    assert type(rows) is type(given)
    assert_array_equal(np.asarray(rows), images[training.rows])
    assert samples_of([0, 0, 1, 0, 1, 1]).rows_of(given) is given


def test_the_split_is_stratified_and_covers_every_row_that_counts_once():
    codes, rows = np.repeat([0, 1, 2], [100, 60, 40]), np.arange(0, 200, 2)
    samples = samples_of(codes, weights=np.ones(200), rows=rows)
    training, validation = split_validation(samples, 0.2, seed=SEED)
    assert np.bincount(codes[validation.rows]).tolist() == [10, 6, 4]
    assert_array_equal(np.sort(np.concatenate([training.rows, validation.rows])), rows)
    assert (np.diff(training.rows) > 0).all()
    assert (np.diff(validation.rows) > 0).all()


RARE = [[40, 2, 2], [50, 3, 30], [100, *[2] * 9], [30, 1, 2, 3, 1], [20, 1, 1]]
"""Samples of each class, enough for a tenth or nine with one of each class of two."""


@pytest.mark.parametrize("counts", RARE, ids=str)
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_every_class_of_two_samples_is_on_both_sides(counts, fraction):
    """In parts as large as if rare classes were not there."""
    codes = np.repeat(np.arange(len(counts)), counts)
    splittable = [count for count in counts if count > 1]
    n_validation = int(np.ceil(fraction * sum(splittable)))
    for seed in range(5):
        training, validation = split_validation(samples_of(codes), fraction, SEED + seed)
        held = np.bincount(codes[validation.rows], minlength=len(counts))
        kept = np.bincount(codes[training.rows], minlength=len(counts))
        assert_array_equal(held + kept, counts)
        assert_array_equal(held > 0, np.array(counts) > 1)
        assert (kept > 0).all()
        assert held.sum() == n_validation


def test_what_rare_classes_take_is_drawn_by_the_seed():
    codes = np.repeat([0, 1], [40, 2])
    held = [split_validation(samples_of(codes), 0.1, SEED + change)[1].rows[-1] for change in range(20)]
    assert set(held) == {40, 41}


def test_the_split_depends_on_the_seed_alone():
    samples = samples_of(np.arange(40) % 2)
    first = split_validation(samples, 0.25, seed=SEED)[1].rows
    assert_array_equal(first, split_validation(samples, 0.25, seed=SEED)[1].rows)
    assert any(
        not np.array_equal(first, split_validation(samples, 0.25, SEED + change)[1].rows)
        for change in range(1, 5)
    )


@pytest.mark.parametrize(("codes", "fraction"), [([0, 0, 1], 0.9), ([0, 1, 2, 3], 0.25)])
def test_too_few_samples_warn_and_are_not_split(codes, fraction):
    samples = samples_of(codes)
    with pytest.warns(UserWarning, match=f"{len(codes)} samples are too few .* {fraction}"):
        training, validation = split_validation(samples, fraction, seed=SEED)
    assert validation is None
    assert training is samples


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.7])
def test_whatever_does_not_warn_can_be_split(fraction):
    """The rule that decides on a warning is that of the function that splits."""
    for n_samples in range(4, 44):
        samples = samples_of(np.arange(n_samples) % 2)
        n_validation = int(np.ceil(fraction * n_samples))
        if n_validation < 2 or n_samples - n_validation < 2:
            with pytest.warns(UserWarning, match="too few"):
                assert split_validation(samples, fraction, seed=SEED)[1] is None
        else:
            assert len(split_validation(samples, fraction, seed=SEED)[1]) == n_validation


@pytest.mark.parametrize("names", [{}, {"name": "other"}])
def test_messages_name_the_parameters_of_fit_unless_told_otherwise(names):
    with pytest.raises(ValueError, match=f"^{names.get('name', 'y')} must be an array of labels, got 3$"):
        check_labels(3, 1, **names)
    with pytest.raises(ValueError, match=f"^{names.get('name', 'y')} contains labels"):
        encode_labels(np.array([3]), np.array([1, 2]), **names)
    with pytest.raises(ValueError, match=f"^{names.get('name', 'sample_weight')} must not be negative"):
        check_sample_weight([-1.0], 1, **names)


def test_no_samples_have_no_labels_and_no_weights():
    """Whoever needs samples says so in words of its own."""
    assert check_labels(np.array([], dtype=int), 0).shape == (0,)
    assert check_sample_weight([], 0).shape == (0,)
