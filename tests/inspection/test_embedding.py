"""Tests of the pictures of samples in the space of a layer."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_classifiers import fitted_classifier, make_classifier, make_images

from skcnn import ConvNetFeatures
from skcnn.inspection import EmbeddingDisplay

plt = package("matplotlib.pyplot")

X, CODES = make_images(n_samples=40)
Y = np.array(["ant", "bee", "cat"])[CODES]


class FirstTwo(BaseEstimator):
    """Keeps the first features, and what it was given."""

    def __init__(self, n_kept=2):
        self.n_kept = n_kept

    def fit_transform(self, X, y=None):
        self.seen_ = X
        return X[:, : self.n_kept]


@pytest.fixture(scope="module")
def classifier():
    return fitted_classifier(X=X, y=Y)


def test_points_are_the_first_principal_components_of_what_the_output_layer_reads(classifier):
    """By the singular value decomposition, up to the signs."""
    display = EmbeddingDisplay.from_estimator(classifier, X, Y)
    features = ConvNetFeatures(classifier, prefit=True).fit(X).transform(X)
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
    features = ConvNetFeatures(classifier, "pool1", prefit=True).fit(X).transform(X)
    assert_array_equal(display.embedding, features[:, :2])
    assert not hasattr(reducer, "seen_")


def test_many_labels_have_colors_and_a_legend_of_several_columns():
    images, y = make_images(n_samples=90, n_classes=45)
    display = EmbeddingDisplay.from_estimator(fitted_classifier(), images, y, reducer=FirstTwo())
    assert len({tuple(points.get_facecolors()[0]) for points in display.scatters_.values()}) == 45
    assert len(display.ax_.get_legend().get_texts()) == 45


def test_points_of_a_pipeline_are_those_of_its_network():
    flat = X.reshape(len(X), -1)
    pipeline = make_pipeline(StandardScaler(), make_classifier(image_shape=(6, 5, 2))).fit(flat, Y)
    display = EmbeddingDisplay.from_estimator(pipeline, flat, Y, reducer=FirstTwo())
    features = ConvNetFeatures(pipeline[-1], prefit=True).fit(X).transform(pipeline[0].transform(flat))
    assert_array_equal(display.embedding, features[:, :2])


def test_axes_may_be_given(classifier):
    figure, axis = plt.subplots()
    display = EmbeddingDisplay.from_estimator(classifier, X, Y, ax=axis)
    assert display.ax_ is axis
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_wrong_use_is_refused(classifier):
    with pytest.raises(ValueError, match=r"y must have a label for each of 40 images, got shape \(39,\)"):
        EmbeddingDisplay.from_estimator(classifier, X, Y[:39])
    with pytest.raises(
        ValueError, match=r"reducer must give two dimensions, got shape \(40, 3\) of FirstTwo"
    ):
        EmbeddingDisplay.from_estimator(classifier, X, reducer=FirstTwo(3))
    with pytest.raises(ValueError, match="layer must be one of"):
        EmbeddingDisplay.from_estimator(classifier, X, layer="conv9")
    assert plt.get_fignums() == []
