"""Tests of the pictures of samples in the space of a layer."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from small_classifiers import fitted_classifier, make_images

from skcnn.inspection import EmbeddingDisplay
from skcnn.pipelines import layer_features

package("matplotlib")

X, CODES = make_images(n_samples=40)
Y = np.array(["ant", "bee", "cat"])[CODES]


class FirstTwo(BaseEstimator):
    """Keeps the first two features, and what it was given."""

    def fit_transform(self, X, y=None):
        self.seen_ = X
        return X[:, :2]


@pytest.fixture(scope="module")
def classifier():
    return fitted_classifier(X=X, y=Y)


def test_points_are_the_first_principal_components_of_what_the_output_layer_reads(classifier):
    """By the singular value decomposition, up to the signs."""
    display = EmbeddingDisplay.from_estimator(classifier, X, Y)
    features = layer_features(classifier, None, X)
    left, values, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    assert_allclose(np.abs(display.embedding), np.abs(left[:, :2] * values[:2]), rtol=0, atol=1e-9)


def test_points_have_the_colors_of_their_labels(classifier):
    display = EmbeddingDisplay.from_estimator(classifier, X, Y)
    assert list(display.scatters_) == ["ant", "bee", "cat"]
    for label, points in display.scatters_.items():
        assert_array_equal(np.asarray(points.get_offsets()), display.embedding[label == Y])
        assert len(points.get_facecolors()) == 1
    assert len({tuple(points.get_facecolors()[0]) for points in display.scatters_.values()}) == 3
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["ant", "bee", "cat"]


def test_without_labels_there_is_one_color_and_no_legend(classifier):
    display = EmbeddingDisplay.from_estimator(classifier, X)
    assert list(display.scatters_) == [None]
    assert_array_equal(np.asarray(display.scatters_[None].get_offsets()), display.embedding)
    assert display.ax_.get_legend() is None


def test_a_reducer_gets_the_features_of_the_layer_and_stays_as_it_was(classifier):
    reducer = FirstTwo()
    display = EmbeddingDisplay.from_estimator(classifier, X, Y, layer="pool1", reducer=reducer)
    assert_array_equal(display.embedding, layer_features(classifier, "pool1", X)[:, :2])
    assert not hasattr(reducer, "seen_")
