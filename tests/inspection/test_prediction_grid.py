"""Tests of the pictures of images with what is predicted of them."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from small_classifiers import fitted_classifier, make_images

from skcnn import ConvNetRegressor
from skcnn.inspection import PredictionGridDisplay

to_rgba = package("matplotlib.colors").to_rgba

X, CODES = make_images(n_samples=40)
NAMES = np.array(["ant", "bee", "cat"])
Y = NAMES[CODES]


@pytest.fixture(scope="module")
def classifier():
    return fitted_classifier(X=X, y=Y)


def expected_order(confidence, is_right):
    """Return mistakes by falling confidence, and after them the others by rising confidence."""
    rows = range(len(confidence))
    mistakes = sorted((row for row in rows if not is_right[row]), key=lambda row: -confidence[row])
    return mistakes + sorted((row for row in rows if is_right[row]), key=lambda row: confidence[row])


@pytest.mark.costly
def test_mistakes_come_first_and_then_what_was_uncertain(classifier):
    display = PredictionGridDisplay.from_estimator(classifier, X, Y, n_images=40)
    predicted, confidence = classifier.predict(X), classifier.predict_proba(X).max(axis=1)
    order = expected_order(confidence, predicted == Y)
    assert 0 < np.sum(predicted == Y) < 40
    assert_array_equal(display.indices, order)
    assert_array_equal(display.y_true, Y[order])
    assert_array_equal(display.y_pred, predicted[order])
    assert_array_equal(display.confidences, confidence[order])
    assert_array_equal(display.images, X[order])
    shown = (X[order] - X.min()) / np.ptp(X)
    for image, axis, values in zip(display.images_, display.axes_, shown, strict=True):
        assert_allclose(np.asarray(image.get_array()), values.mean(axis=-1), rtol=0, atol=1e-12)
        assert image.axes is axis


@pytest.mark.costly
@pytest.mark.parametrize("names", [{"bee": "Biene"}, ["Ameise", "Biene", "Katze"]], ids=type)
def test_titles_say_what_was_predicted_and_mistakes_what_is_true(classifier, names):
    display = PredictionGridDisplay.from_estimator(classifier, X[:15], Y[:15], class_names=names)
    if isinstance(names, list):
        names = dict(zip(NAMES, names, strict=True))
    titles = []
    for label, predicted, confidence in zip(display.y_true, display.y_pred, display.confidences, strict=True):
        mistake = "" if label == predicted else f"\nnot {names.get(label, label)}"
        titles.append(f"{names.get(predicted, predicted)} {confidence:.2f}{mistake}")
    for axis, title in zip(display.axes_, titles, strict=True):
        assert axis.get_title() == title
        assert to_rgba(axis.title.get_color()) == to_rgba("firebrick" if "\n" in title else "black")
    assert [axis.get_title() for axis in display.plot().axes_] == titles


@pytest.mark.parametrize("n_classes", [2, 3])
def test_without_probabilities_the_lead_of_the_score_counts(n_classes):
    classifier = fitted_classifier(X=X, y=CODES % n_classes, loss="hinge")
    display = PredictionGridDisplay.from_estimator(classifier, X, CODES % n_classes, n_images=9)
    scores = classifier.decision_function(X)
    lead = np.abs(scores) if n_classes == 2 else np.diff(np.sort(scores, axis=1))[:, -1]
    predicted = classifier.predict(X)
    order = expected_order(lead, predicted == CODES % n_classes)[:9]
    assert_array_equal(display.indices, order)
    assert_array_equal(display.y_pred, predicted[order])
    assert_allclose(display.confidences, lead[order], rtol=1e-12)


@pytest.mark.costly
def test_rows_before_a_step_that_turns_them_are_drawn_as_they_are_stored(turned):
    pipeline, rows, images, y = turned
    with pytest.raises(ValueError, match="give data_format"):
        PredictionGridDisplay.from_estimator(pipeline, rows, y)
    stored = {"image_shape": (3, 6, 5), "data_format": "channels_first"}
    display = PredictionGridDisplay.from_estimator(pipeline, rows, y, **stored)
    assert_array_equal(display.images, images[display.indices])
    assert_array_equal(display.y_pred, pipeline.predict(rows)[display.indices])
    assert_array_equal(display.confidences, pipeline.predict_proba(rows).max(axis=1)[display.indices])


@pytest.mark.parametrize(("n_images", "n_columns", "geometry"), [(7, None, (3, 3)), (99, 20, (2, 20))])
def test_as_many_images_as_asked_for_are_drawn(classifier, n_images, n_columns, geometry):
    options = {"n_images": n_images, "n_columns": n_columns}
    display = PredictionGridDisplay.from_estimator(classifier, X, Y, **options)
    assert len(display.images_) == len(display.axes_) == min(n_images, 40)
    assert display.axes_[0].get_gridspec().get_geometry() == geometry


def test_of_numbers_the_largest_errors_come_first():
    brightness = X.mean(axis=(1, 2, 3))
    regressor = ConvNetRegressor(conv_layer_sizes=(2,), hidden_layer_sizes=(), max_iter=1, random_state=0)
    display = PredictionGridDisplay.from_estimator(regressor.fit(X, brightness), X, brightness, n_images=9)
    predicted = regressor.predict(X)
    order = np.argsort(-np.abs(predicted - brightness))[:9]
    assert_array_equal(display.indices, order)
    assert_array_equal(display.y_pred, predicted[order])
    assert_array_equal(display.y_true, brightness[order])
    assert display.confidences is None
    titles = [f"{predicted[row]:.3g}, not {brightness[row]:.3g}" for row in order]
    assert [axis.get_title() for axis in display.axes_] == titles


def test_what_has_no_single_number_and_names_of_numbers_are_refused():
    outputs = np.c_[CODES, CODES % 2]
    regressor = ConvNetRegressor(conv_layer_sizes=(2,), hidden_layer_sizes=(), max_iter=1, random_state=0)
    with pytest.raises(TypeError, match="one label or one number"):
        PredictionGridDisplay.from_estimator(regressor.fit(X, outputs), X, outputs)
    regressor.fit(X, CODES)
    with pytest.raises(ValueError, match="class_names must be None"):
        PredictionGridDisplay.from_estimator(regressor, X, CODES, class_names=["ant", "bee", "cat"])
    with pytest.raises(ValueError, match="y must hold one number"):
        PredictionGridDisplay.from_estimator(regressor, X, outputs)
    with pytest.raises(ValueError, match="y must hold finite numbers"):
        PredictionGridDisplay.from_estimator(regressor, X, Y)
