"""Tests of training on batches that come one after the other."""

import numpy as np
import pytest
from small_classifiers import assert_same_weights, make_classifier, make_images
from small_regressors import make_numbers, make_regressor

from skcnn import fit_batches

X, y = make_images(40)
WEIGHTS = np.arange(40.0) % 3


def batches_of(*arrays, size=7):
    return [tuple(array[start : start + size] for array in arrays) for start in range(0, len(X), size)]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_batches_are_collected_to_chunks_of_partial_fit(weights):
    arrays = (X, y) if weights is None else (X, y, weights)
    found = fit_batches(make_classifier(), iter(batches_of(*arrays)), classes=range(3), chunk_size=20)
    expected = make_classifier()
    for rows in (slice(21), slice(21, 40)):
        own = None if weights is None else weights[rows]
        expected.partial_fit(X[rows], y[rows], classes=range(3), sample_weight=own)
    assert_same_weights(found, expected)


def test_regressors_and_later_calls_go_on():
    X, y = make_numbers(40)
    regressor = make_regressor()
    assert fit_batches(regressor, [(X[:20], y[:20])]) is regressor
    fit_batches(regressor, [(X[20:].tolist(), y[20:].tolist())])
    assert regressor.t_ == 40


def test_text_of_several_lengths_is_one_kind_of_label():
    names = np.array(["a", "bcd", "ef"])
    batches = [(X[y == code], names[y[y == code]].tolist()) for code in range(3)]
    clf = fit_batches(make_classifier(), batches, classes=names)
    assert clf.t_ == 40


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (X[:4], "batch 1 "),
        ((X[:4],), "batch 1 "),
        ((X[:4], y[:3]), r"batch 1 .*\(4, 6, 5, 2\), \(3,\)"),
        ((X[:4], 1), "batch 1 "),
        ((X[:4], y[:4], y[:4], y[:4]), "batch 1 "),
        ((X[:4], y[:4], WEIGHTS[:4]), "batch 1 "),
        ((X[:4, :5], y[:4]), "batches 0 to 1 "),
    ],
    ids=str,
)
def test_bad_batches_are_named(batch, message):
    clf = make_classifier()
    with pytest.raises(ValueError, match=message):
        fit_batches(clf, [(X[:4], y[:4]), batch], classes=range(3))
    assert not hasattr(clf, "model_")


def test_no_batches_and_a_bad_chunk_size_are_errors():
    with pytest.raises(ValueError, match="batches is empty"):
        fit_batches(make_classifier(), [], classes=range(3))
    with pytest.raises(ValueError, match="chunk_size.*0"):
        fit_batches(make_classifier(), batches_of(X, y), classes=range(3), chunk_size=0)


def test_an_error_of_the_iterator_is_raised_after_what_came_before():
    def broken():
        yield X[:20], y[:20]
        raise OSError("the disk is gone")

    clf = make_classifier()
    with pytest.raises(OSError, match="the disk is gone"):
        fit_batches(clf, broken(), classes=range(3), chunk_size=20)
    assert clf.t_ == 20
