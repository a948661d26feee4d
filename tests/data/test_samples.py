"""Tests of labels and weights: what is accepted, how it is encoded and split."""

import numpy as np
import pytest
from extras import data_frame
from seeds import SEED, generator
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.class_weight import compute_class_weight

from skcnn.data.images import ImageFormat
from skcnn.data.samples import (
    Samples,
    check_classes,
    check_labels,
    check_sample_weight,
    class_weights,
    encode_labels,
    mean_of_weights,
    split_validation,
)


@pytest.mark.parametrize(
    "y",
    [
        [1, 0, 2],
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


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.25, 2.0], "(?i)unknown label type|continuous"),
        ([0.0, np.nan, 1.0], "labels contains NaN"),
        ([0.0, np.inf, 1.0], "labels contains infinity"),
        (np.eye(3), r"one-hot, use labels\.argmax\(axis=1\)"),
        ([[0, 1], [1, 1], [0, 0]], "Multilabel and multioutput"),
        ([0, 1], r"inconsistent numbers of samples"),
        (np.zeros((3, 1, 1)), "dim 3"),
    ],
)
def test_labels_that_are_none_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_labels(y, 3, name="labels")


def test_missing_labels_are_refused():
    y = np.array(["cat", None, "dog"], dtype=object)
    with pytest.raises(ValueError):
        check_classes(check_labels(y, 3), "Reader")


def test_codes_are_positions_in_the_classes():
    classes = np.array(["ant", "bee", "cat"])
    np.testing.assert_array_equal(encode_labels(np.array(["cat", "ant", "cat"]), classes), [2, 0, 2])
    np.testing.assert_array_equal(encode_labels(np.array([10.0, -1.0]), np.array([-1, 3, 10])), [2, 0])


@pytest.mark.parametrize(
    ("y", "unknown"), [(["bee", "fly", "elk"], "['elk', 'fly']"), ([2, 10], "2, 10"), ([], None)]
)
def test_labels_beside_the_classes_are_refused_by_name(y, unknown):
    classes = np.array(["ant", "bee"])
    if unknown is None:
        assert encode_labels(np.array(y, dtype=classes.dtype), classes).size == 0
        return
    with pytest.raises(ValueError) as caught:
        encode_labels(np.array(y), classes, name="y_val")
    message = str(caught.value).replace("'2', '10'", "2, 10").replace("'10', '2'", "2, 10")
    assert message.startswith("y_val contains labels")
    assert unknown in message
    assert "['ant', 'bee']" in message


def test_numerals_are_not_taken_for_numbers():
    """As text, "10" sorts before "2": a silent conversion would give wrong codes."""
    with pytest.raises(ValueError, match="not among the classes"):
        encode_labels(np.array(["10"]), np.array([2, 10]))


def test_classes_are_sorted_and_unique():
    assert check_classes(np.array([3, -1, 3, 2]), "Reader").tolist() == [-1, 2, 3]
    assert check_classes(np.array(["b", "a", "b"], dtype=object), "Reader").tolist() == ["a", "b"]


def test_one_class_is_refused_in_the_words_that_scikit_learn_looks_for():
    with pytest.raises(ValueError, match=r"Reader needs .* got 1 class: \[3\]"):
        check_classes(np.array([3, 3]), "Reader")


def test_no_weights_and_a_single_one_weigh_all_samples_alike():
    for given, expected in [(None, 1.0), (2, 2.0), (0.5, 0.5), (np.float32(3), 3.0)]:
        weights = check_sample_weight(given, 4)
        assert weights.dtype == np.float64
        np.testing.assert_array_equal(weights, np.full(4, expected))


@pytest.mark.parametrize("given", [[1, 0, 2], np.array([1, 0, 2], dtype=np.float32), (True, False, 2)])
def test_weights_become_float64(given):
    weights = check_sample_weight(given, 3)
    assert weights.dtype == np.float64
    np.testing.assert_array_equal(weights, [1.0, 0.0, 2.0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, -0.5, 2], r"weights must not be negative, got -0\.5"),
        (-1.0, "weights must not be negative"),
        ([1, np.nan, 2], "weights contains NaN"),
        ([1, np.inf, 2], "weights contains infinity"),
        (np.nan, "weights contains NaN"),
        ([1, 2], r"weights must have shape \(3,\), one weight a sample, got \(2,\)"),
        (np.ones((3, 1)), r"got \(3, 1\)"),
        (["a", "b", "c"], "could not convert"),
    ],
)
def test_weights_that_are_none_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        check_sample_weight(given, 3, name="weights")


def test_no_class_weight_is_one_for_each_class():
    np.testing.assert_array_equal(class_weights(None, np.arange(3), np.array([0, 1]), np.ones(2)), np.ones(3))


def test_class_weight_by_label_is_one_where_a_label_is_missing():
    classes = np.array(["ant", "bee", "cat"])
    weights = class_weights({"cat": 3, "ant": 0}, classes, np.array([0, 1, 2]), np.ones(3))
    np.testing.assert_array_equal(weights, [0.0, 1.0, 3.0])
    by_number = class_weights({np.int64(2): 5.0}, np.array([1, 2]), np.array([0, 1]), np.ones(2))
    np.testing.assert_array_equal(by_number, [1.0, 5.0])


def test_balanced_equals_scikit_learn_without_weights():
    y = np.repeat([4, 5, 9], [10, 3, 7])
    classes, codes = np.unique(y, return_inverse=True)
    expected = compute_class_weight("balanced", classes=classes, y=y)
    np.testing.assert_allclose(class_weights("balanced", classes, codes, np.ones(20)), expected, rtol=1e-15)


def test_balanced_gives_every_class_the_same_total_of_weights():
    rng = generator(0)
    codes, sample_weight = rng.integers(0, 4, 50), rng.uniform(0.1, 3, 50)
    weights = class_weights("balanced", np.arange(4), codes, sample_weight)
    totals = np.bincount(codes, weights=sample_weight * weights[codes])
    np.testing.assert_allclose(totals, sample_weight.sum() / 4, rtol=1e-14)


def test_balanced_leaves_a_class_without_samples_a_finite_weight():
    """A model that goes on training with fewer classes neither warns nor divides by zero."""
    weights = class_weights("balanced", np.arange(3), np.array([0, 0, 1]), np.ones(3))
    assert np.isfinite(weights).all()
    assert weights[1] == pytest.approx(2 * weights[0], rel=1e-15)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"dog": 1}, r"keys \['dog'\] that are not among the classes \['ant', 'bee'\]"),
        ({"ant": -1}, "finite weights >= 0"),
        ({"ant": np.nan}, "finite weights >= 0"),
        ({"ant": np.inf}, "finite weights >= 0"),
    ],
)
def test_class_weights_that_are_none_are_refused(class_weight, message):
    with pytest.raises(ValueError, match=message):
        class_weights(class_weight, np.array(["ant", "bee"]), np.array([0, 1]), np.ones(2))


FORMAT = ImageFormat((1, 1, 1), False, np.dtype("float64"))


def samples_of(codes, weights=None, rows=None):
    codes = np.asarray(codes)
    return Samples(
        np.arange(len(codes), dtype=float).reshape(-1, 1),
        codes,
        np.ones(len(codes)) if weights is None else np.asarray(weights, float),
        np.arange(len(codes)) if rows is None else np.asarray(rows),
        given_weights=weights is not None,
    )


def read_all(images):
    return images.read(slice(0, len(images)), np.empty((1, 1, len(images), 1)))[0, 0, :, 0]


def test_training_data_are_the_rows_that_count():
    samples = samples_of([0, 1, 1, 0, 1], weights=[2, 0, 1, 4, 1], rows=[0, 2, 3, 4])
    data = samples.training_data(FORMAT, np.array([1.0, 3.0]), mean_weight=3.0)
    assert len(samples) == len(data.images) == 4
    np.testing.assert_array_equal(read_all(data.images), [0, 2, 3, 4])
    np.testing.assert_array_equal(data.codes, [0, 1, 0, 1])
    np.testing.assert_array_equal(data.weights, [2, 1, 4, 1])
    np.testing.assert_allclose(data.loss_weights, np.array([2, 3, 4, 3]) / 3, rtol=1e-15)


def test_equal_weights_are_none_for_statistics_and_one_for_losses():
    data = samples_of([0, 1, 1], weights=[0.3, 0.3, 0.3]).training_data(FORMAT, np.ones(2), mean_weight=0.3)
    assert data.weights is None
    np.testing.assert_allclose(data.loss_weights, np.ones(3), rtol=1e-15)


def test_class_weights_change_losses_only():
    data = samples_of([0, 1, 1]).training_data(FORMAT, np.array([4.0, 1.0]), mean_weight=2.0)
    assert data.weights is None
    np.testing.assert_array_equal(data.loss_weights, [2.0, 0.5, 0.5])


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
    assert subset.X is samples.X
    assert subset.codes is samples.codes
    assert subset.given_weights


@pytest.mark.parametrize("kind", [np.array, list, data_frame])
def test_rows_that_count_are_taken_of_whatever_is_as_long(kind):
    images = np.arange(12.0).reshape(6, 2)
    training, _ = split_validation(samples_of([0, 0, 1, 0, 1, 1]), 0.4, seed=SEED)
    assert 0 < len(training) < 6
    given = kind(images)
    rows = training.rows_of(given)
    assert type(rows) is type(given)
    np.testing.assert_array_equal(np.asarray(rows), images[training.rows])
    assert samples_of([0, 0, 1, 0, 1, 1]).rows_of(given) is given


def test_the_split_is_stratified_and_covers_every_row_once():
    codes = np.repeat([0, 1, 2], [50, 30, 20])
    training, validation = split_validation(samples_of(codes), 0.2, seed=SEED)
    assert np.bincount(codes[validation.rows]).tolist() == [10, 6, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate([training.rows, validation.rows])), np.arange(100))
    assert (np.diff(training.rows) > 0).all()
    assert (np.diff(validation.rows) > 0).all()


def test_the_split_takes_only_rows_that_count():
    rows = np.arange(0, 60, 2)
    samples = samples_of(np.arange(60) // 2 % 2, weights=np.ones(60), rows=rows)
    training, validation = split_validation(samples, 0.2, seed=SEED)
    np.testing.assert_array_equal(np.sort(np.concatenate([training.rows, validation.rows])), rows)


RARE = {  # enough for a tenth or nine with one of each class
    "pairs": [40, 2, 2],
    "three": [50, 3, 30],
    "many pairs": [100, *[2] * 9],
    "rare and alone": [30, 1, 2, 3, 1],
}


@pytest.mark.parametrize("counts", RARE.values(), ids=RARE)
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.9])
def test_every_class_of_two_samples_is_on_both_sides(counts, fraction):
    """In parts as large as if rare classes were not there."""
    codes = np.repeat(np.arange(len(counts)), counts)
    splittable = [count for count in counts if count > 1]
    n_validation = int(np.ceil(fraction * sum(splittable)))
    for seed in range(5):
        training, validation = split_validation(samples_of(codes), fraction, SEED + seed)
        held = np.bincount(codes[validation.rows], minlength=len(counts))
        kept = np.bincount(codes[training.rows], minlength=len(counts))
        np.testing.assert_array_equal(held + kept, counts)
        np.testing.assert_array_equal(held > 0, np.array(counts) > 1)
        assert (kept > 0).all()
        assert held.sum() == n_validation


def test_what_rare_classes_take_is_drawn_by_the_seed():
    codes = np.repeat([0, 1], [40, 2])
    held = [split_validation(samples_of(codes), 0.1, SEED + change)[1].rows[-1] for change in range(20)]
    assert set(held) == {40, 41}


def test_samples_alone_in_their_class_stay_in_training():
    codes = np.concatenate([np.repeat([0, 2], 20), [1, 3]])
    for seed in range(5):
        training, validation = split_validation(samples_of(codes), 0.25, SEED + seed)
        assert {40, 41} <= set(training.rows.tolist())
        assert np.bincount(codes[validation.rows]).tolist() == [5, 0, 5]


def test_the_split_depends_on_the_seed_alone():
    samples = samples_of(np.arange(40) % 2)
    first = split_validation(samples, 0.25, seed=SEED)[1].rows
    np.testing.assert_array_equal(first, split_validation(samples, 0.25, seed=SEED)[1].rows)
    assert any(
        not np.array_equal(first, split_validation(samples, 0.25, SEED + change)[1].rows)
        for change in range(1, 5)
    )


@pytest.mark.parametrize(
    ("codes", "fraction"),
    [
        ([0, 1], 0.5),
        ([0, 0, 1], 0.9),
        ([0, 0, 1, 1], 0.1),
        ([0, 0, 1, 1], 0.9),
        ([0, 0, 1, 1, 2, 2, 3, 3], 0.1),
        ([0, 1, 2, 3], 0.25),
    ],
)
def test_too_few_samples_warn_and_are_not_split(codes, fraction):
    samples = samples_of(codes)
    with pytest.warns(UserWarning, match=f"{len(codes)} samples are too few .* {fraction}"):
        training, validation = split_validation(samples, fraction, seed=SEED)
    assert validation is None
    assert training is samples


@pytest.mark.parametrize("fraction", [0.1, 0.3, 1 / 3, 0.5, 0.7, 0.9])
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


def test_a_single_label_is_refused_by_its_name():
    with pytest.raises(ValueError, match="^y must be an array of labels, got 3$"):
        check_labels(3, 1)
    with pytest.raises(ValueError, match="^y_val must be an array of labels, got 'cat'$"):
        check_labels("cat", 1, name="y_val")


def test_labels_that_cannot_be_ordered_are_refused_by_what_they_must_be():
    y = np.array(["cat", None, "dog"], dtype=object)
    with pytest.raises(
        ValueError, match="^the labels in y must all be numbers or all be strings, and none may"
    ):
        check_labels(y, 3)


def test_messages_name_the_parameters_of_fit_unless_told_otherwise():
    with pytest.raises(ValueError, match="^y contains labels"):
        encode_labels(np.array([3]), np.array([1, 2]))
    with pytest.raises(ValueError, match="^sample_weight must not be negative"):
        check_sample_weight([-1.0], 1)


def test_no_samples_have_no_labels_and_no_weights():
    """Whoever needs samples says so in words of its own."""
    assert check_labels(np.array([], dtype=int), 0).shape == (0,)
    assert check_sample_weight([], 0).shape == (0,)


def test_balanced_has_a_weight_for_classes_without_samples_after_all_others():
    weights = class_weights("balanced", np.arange(4), np.array([0, 0, 1]), np.ones(3))
    assert weights.shape == (4,)
    assert np.isfinite(weights).all()


def test_class_weights_by_label_are_float64():
    weights = class_weights({0: 2, 1: 3}, np.arange(2), np.array([0, 1]), np.ones(2))
    assert weights.dtype == np.float64


def test_class_weights_that_are_all_zero_are_refused():
    with pytest.raises(ValueError, match="class_weight is zero for every class, got {0: 0, 1: 0.0}"):
        class_weights({0: 0, 1: 0.0}, np.arange(2), np.array([0, 1]), np.ones(2))


def test_a_single_class_of_several_samples_is_split():
    """The others are alone in their classes, and stay in training."""
    training, validation = split_validation(samples_of([0, 0, 1, 0, 0, 2]), 0.25, seed=SEED)
    assert len(validation) == 1
    assert validation.codes[validation.rows].tolist() == [0]
    np.testing.assert_array_equal(np.sort(np.concatenate([training.rows, validation.rows])), np.arange(6))
