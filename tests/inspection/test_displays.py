"""Displays: what stands in the artists is what the network computes."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_classifiers import fitted_classifier, make_images

from skcnn import ConvNetClassifier
from skcnn.inspection import (
    EmbeddingDisplay,
    FeatureMapDisplay,
    FilterDisplay,
    PredictionGridDisplay,
    SaliencyDisplay,
    TrainingCurveDisplay,
    saliency_maps,
)

X, Y = load_digits(return_X_y=True)
X, Y = X[:120], Y[:120]


@pytest.fixture(scope="module")
def net():
    params = {"conv_layer_sizes": (4, 6), "max_iter": 3, "batch_size": 20, "learning_rate_init": 1e-2}
    return ConvNetClassifier(**params, early_stopping=True, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(StandardScaler(), ConvNetClassifier(conv_layer_sizes=(4,), max_iter=2)).fit(X, Y)


def test_curves_over_epochs(net):
    display = TrainingCurveDisplay.from_estimator(net)
    loss, score = (display.lines_["ConvNetClassifier", name] for name in ("loss", "validation_score"))
    assert_array_equal(loss.get_xdata(), [1, 2, 3])
    assert_array_equal(loss.get_ydata(), net.loss_curve_)
    assert_array_equal(score.get_ydata(), net.validation_scores_)


def test_curves_over_steps(net):
    display = TrainingCurveDisplay.from_estimator(net, x="step")
    line = display.lines_["ConvNetClassifier", "batch_losses"]
    assert_array_equal(line.get_ydata(), net.batch_losses_)
    assert len(line.get_xdata()) == net.history_[-1]["step"]


def test_curves_of_several_estimators_and_of_all_candidates_of_a_search(net, pipeline):
    display = TrainingCurveDisplay.from_estimator({"one": net, "two": pipeline})
    assert_array_equal(display.lines_["two", "loss"].get_ydata(), pipeline[-1].loss_curve_)
    search = GridSearchCV(
        ConvNetClassifier(conv_layer_sizes=(2,), max_iter=2, random_state=0), {"alpha": [0.0, 0.1]}, cv=2
    ).fit(X, Y)
    display = TrainingCurveDisplay.from_search(search, X, Y)
    for alpha in (0.0, 0.1):
        expected = ConvNetClassifier(conv_layer_sizes=(2,), max_iter=2, alpha=alpha, random_state=0).fit(X, Y)
        assert_array_equal(display.lines_[f"alpha={alpha}", "loss"].get_ydata(), expected.loss_curve_)


def test_filters_are_the_weights(pipeline):
    display = FilterDisplay.from_estimator(pipeline, initial=False)
    weight = pipeline[-1].network_.params["conv1"]["weight"]
    largest = np.abs(weight).max()
    (images,) = display.images_.values()
    for index, image in enumerate(images):
        shown = np.asarray(image.get_array()) * 2 * largest - largest
        assert_allclose(shown, weight[..., 0, index], atol=1e-6 * largest)


def test_filters_before_training_are_the_initial_ones():
    """Those of a network that trains at a rate of almost zero."""
    params = {"conv_layer_sizes": (4,), "max_iter": 1, "random_state": 3, "averaging": None}
    net = ConvNetClassifier(**params).fit(X, Y)
    still = ConvNetClassifier(**params, learning_rate_init=1e-30).fit(X, Y)
    display = FilterDisplay.from_estimator(net, initial=True)
    expected = still.network_.params["conv1"]["weight"]
    assert any(np.array_equal(filters, expected) for filters in display.filters.values())
    assert any(np.array_equal(f, net.network_.params["conv1"]["weight"]) for f in display.filters.values())


def test_feature_maps_are_the_results_of_the_layers():
    """Of a linear first layer, by hand; grey levels run over the range of the layer."""
    images, y = make_images()
    net = fitted_classifier(X=images, y=y, activation="identity", pooling=None, input_scaling=None)
    display = FeatureMapDisplay.from_estimator(net, images[0], layers=["conv1"])
    params = net.network_.params["conv1"]
    padded = np.pad(images[0], ((1, 1), (1, 1), (0, 0)))
    maps = np.zeros((6, 5, 3))
    for row, column in np.ndindex(6, 5):
        window = padded[row : row + 3, column : column + 3]
        maps[row, column] = np.einsum("ijc,ijcf->f", window, params["weight"]) + params["bias"]
    assert_allclose(display.maps["conv1"], maps, atol=1e-9)
    assert len(display.images_["conv1"]) == 3


def test_saliency_draws_the_maps(net):
    display = SaliencyDisplay.from_estimator(net, X[:3], method=["gradient", "occlusion"])
    assert_allclose(display.maps["gradient"], saliency_maps(net, X[:3]).reshape(3, 8, 8))
    for image, values in zip(display.images_["occlusion"], display.maps["occlusion"], strict=True):
        assert_allclose(np.asarray(image.get_array()), values)
    assert_array_equal(display.targets, net.predict(X[:3]))


def test_confident_mistakes_come_first(net):
    display = PredictionGridDisplay.from_estimator(net, X, Y, n_images=len(X))
    probabilities = net.predict_proba(X)
    wrong = np.flatnonzero(net.predict(X) != Y)
    expected = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    assert 0 < len(wrong) < len(X)
    assert_array_equal(display.indices[: len(wrong)], expected)
    assert_array_equal(display.y_pred, net.predict(X)[display.indices])
    assert_allclose(display.confidences, probabilities.max(axis=1)[display.indices])
    shown = np.asarray(display.images_[0].get_array())
    assert_allclose(shown, X[display.indices[0]].reshape(8, 8) / X[display.indices].max())


def test_an_embedding_draws_every_sample_in_the_color_of_its_label(pipeline):
    display = EmbeddingDisplay.from_estimator(pipeline, X, Y)
    for label, points in display.scatters_.items():
        assert_array_equal(np.asarray(points.get_offsets()), display.embedding[label == Y])
    assert sum(len(points.get_offsets()) for points in display.scatters_.values()) == len(X)


CALLS = {
    "curves": lambda net: TrainingCurveDisplay.from_estimator(net),
    "filters": lambda net: FilterDisplay.from_estimator(net),
    "maps": lambda net: FeatureMapDisplay.from_estimator(net, X[0]),
    "saliency": lambda net: SaliencyDisplay.from_estimator(net, X[:2]),
    "grid": lambda net: PredictionGridDisplay.from_estimator(net, X, Y),
    "embedding": lambda net: EmbeddingDisplay.from_estimator(net, X, Y),
}


@pytest.mark.parametrize("name", CALLS)
def test_unfitted_and_other_estimators_are_refused(name):
    with pytest.raises(NotFittedError):
        CALLS[name](ConvNetClassifier())
    with pytest.raises((TypeError, ValueError), match="estimator"):
        CALLS[name](StandardScaler().fit(X))


@pytest.mark.parametrize("name", CALLS)
def test_without_matplotlib_the_extra_is_named(name, net, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"skcnn\[plot\]"):
        CALLS[name](net)


def test_layers_that_do_not_exist_are_refused(net):
    for call in (
        lambda: FilterDisplay.from_estimator(net, layer="conv9"),
        lambda: FeatureMapDisplay.from_estimator(net, X[0], layers=["conv9"]),
        lambda: EmbeddingDisplay.from_estimator(net, X, layer="conv9"),
    ):
        with pytest.raises(ValueError, match="conv9"):
            call()
