"""Tests of the pictures of images with what is predicted of them."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from seeds import generator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from small_classifiers import fitted_classifier, make_classifier, make_images

from skcnn.inspection import PredictionGridDisplay

plt = package("matplotlib.pyplot")
to_rgba = package("matplotlib.colors").to_rgba

X, CODES = make_images(n_samples=40)
NAMES = np.array(["ant", "bee", "cat"])
Y = NAMES[CODES]


def expected_order(confidence, is_right):
    """Return mistakes by falling confidence, and after them the others by rising confidence."""
    rows = range(len(confidence))
    mistakes = sorted((row for row in rows if not is_right[row]), key=lambda row: -confidence[row])
    return mistakes + sorted((row for row in rows if is_right[row]), key=lambda row: confidence[row])


@pytest.mark.costly
def test_mistakes_come_first_and_then_what_was_uncertain():
    classifier = fitted_classifier(X=X, y=Y)
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
def test_titles_say_what_was_predicted_and_mistakes_what_is_true():
    classifier = fitted_classifier(X=X, y=Y)
    display = PredictionGridDisplay.from_estimator(
        classifier, X, Y, n_images=40, class_names={"bee": "Biene"}
    )
    names = {"ant": "ant", "bee": "Biene", "cat": "cat"}
    for axis, true, predicted, confidence in zip(
        display.axes_, display.y_true, display.y_pred, display.confidences, strict=True
    ):
        mistake = "" if true == predicted else f"\nnot {names[true]}"
        assert axis.get_title() == f"{names[predicted]} {confidence:.2f}{mistake}"
        color = "firebrick" if mistake else "black"
        assert to_rgba(axis.title.get_color()) == to_rgba(color)


def test_names_in_the_order_of_the_classes():
    display = PredictionGridDisplay.from_estimator(
        fitted_classifier(X=X, y=Y), X, Y, class_names=["Ameise", "Biene", "Katze"]
    )
    names = {"ant": "Ameise", "bee": "Biene", "cat": "Katze"}
    for axis, predicted in zip(display.axes_, display.y_pred, strict=True):
        assert axis.get_title().startswith(names[predicted])


@pytest.mark.parametrize("names", [["one", "two"], "ant", np.array(["one"])], ids=repr)
def test_too_few_names_are_refused(names):
    with pytest.raises(ValueError, match="class_names must be a dict, or a name for each of 3 classes"):
        PredictionGridDisplay.from_estimator(fitted_classifier(X=X, y=Y), X, Y, class_names=names)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_without_probabilities_the_lead_of_the_score_counts(n_classes):
    classifier = fitted_classifier(X=X, y=CODES % n_classes, loss="hinge")
    display = PredictionGridDisplay.from_estimator(classifier, X, CODES % n_classes, n_images=40)
    scores = classifier.decision_function(X)
    if n_classes == 2:
        lead = np.abs(scores)
    else:
        ranked = np.sort(scores, axis=1)
        lead = ranked[:, -1] - ranked[:, -2]
    predicted = classifier.predict(X)
    order = expected_order(lead, predicted == CODES % n_classes)
    assert_array_equal(display.indices, order)
    assert_array_equal(display.y_pred, predicted[order])
    assert_allclose(display.confidences, lead[order], rtol=1e-12)


def test_a_pipeline_shows_the_images_that_it_takes():
    flat = X.reshape(len(X), -1)
    pipeline = make_pipeline(StandardScaler(), make_classifier(image_shape=(6, 5, 2))).fit(flat, Y)
    options = {"n_images": 4, "data_format": "channels_last"}
    display = PredictionGridDisplay.from_estimator(pipeline, flat, Y, **options)
    assert_array_equal(display.images, X[display.indices])
    assert_array_equal(display.y_pred, pipeline.predict(flat)[display.indices])
    assert_array_equal(display.confidences, pipeline.predict_proba(flat).max(axis=1)[display.indices])


@pytest.mark.costly
def test_rows_before_a_step_that_turns_them_are_drawn_as_they_are_stored():
    images, y = make_images(shape=(6, 5, 3))
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    turn = FunctionTransformer(lambda rows: np.reshape(rows, (-1, 3, 6, 5)).transpose(0, 2, 3, 1))
    pipeline = make_pipeline(turn, make_classifier()).fit(rows, y)
    with pytest.raises(ValueError, match="give data_format"):
        PredictionGridDisplay.from_estimator(pipeline, rows, y)
    for stored in ({}, {"image_shape": (3, 6, 5)}):
        display = PredictionGridDisplay.from_estimator(
            pipeline, rows, y, data_format="channels_first", **stored
        )
        assert_array_equal(display.images, images[display.indices])


@pytest.mark.parametrize("channels", [1, 3])
def test_images_before_a_step_that_takes_bytes_alone_are_drawn(channels):
    """It fails with an error of its own for what is neither X nor of its dtype."""
    images = generator(3).integers(0, 256, (20, 6, 5, channels)).astype(np.uint8)
    table = np.arange(256)[::-1]
    pipeline = make_pipeline(FunctionTransformer(lambda images: table[images]), make_classifier())
    display = PredictionGridDisplay.from_estimator(pipeline.fit(images, Y[:20]), images, Y[:20])
    assert_array_equal(display.images, images[display.indices])


def test_names_are_drawn_again():
    display = PredictionGridDisplay.from_estimator(
        fitted_classifier(X=X, y=Y), X, Y, n_images=1, class_names=["Ameise", "Biene", "Katze"]
    )
    title = display.axes_[0].get_title()
    assert display.plot().axes_[0].get_title() == title
    assert any(name in title for name in ("Ameise", "Biene", "Katze"))


def test_missing_values_count_as_the_largest():
    images = X[:8].copy()
    images[::2, 0, 3, 1] = np.nan
    flat = images.reshape(8, -1)
    pipeline = make_pipeline(SimpleImputer(), make_classifier(image_shape=(6, 5, 2))).fit(flat, Y[:8])
    display = PredictionGridDisplay.from_estimator(pipeline, flat, Y[:8], data_format="channels_last")
    shown = (images - np.nanmin(flat)) / (np.nanmax(flat) - np.nanmin(flat))
    shown[::2, 0, 3, 1] = 1
    for image, index in zip(display.images_, display.indices, strict=True):
        assert_allclose(np.asarray(image.get_array()), shown[index].mean(axis=-1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("n_images", "n_columns", "geometry"), [(7, None, (3, 3)), (7, 2, (4, 2)), (99, 40, (1, 40))]
)
def test_as_many_images_as_asked_for_are_drawn(n_images, n_columns, geometry):
    display = PredictionGridDisplay.from_estimator(
        fitted_classifier(X=X, y=Y), X, Y, n_images=n_images, n_columns=n_columns
    )
    assert len(display.images_) == len(display.axes_) == min(n_images, 40)
    assert display.axes_[0].get_gridspec().get_geometry() == geometry


@pytest.mark.costly
def test_labels_that_the_classifier_does_not_know_are_mistakes():
    labels = np.where(CODES == 0, "dog", Y)
    display = PredictionGridDisplay.from_estimator(fitted_classifier(X=X, y=Y), X, labels, n_images=40)
    wrong = display.y_true != display.y_pred
    assert wrong[: np.sum(wrong)].all()
    assert "\nnot dog" in display.axes_[list(display.y_true).index("dog")].get_title()


def test_a_figure_may_be_given():
    figure = plt.figure()
    classifier = fitted_classifier(X=X, y=Y)
    assert PredictionGridDisplay.from_estimator(classifier, X, Y, n_images=2, fig=figure).figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_wrong_use_is_refused():
    classifier = fitted_classifier(X=X, y=Y)
    with pytest.raises(ValueError, match=r"y must have a label for each of 40 images, got shape \(39,\)"):
        PredictionGridDisplay.from_estimator(classifier, X, Y[:39])
    for name in ("n_images", "n_columns"):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got 0"):
            PredictionGridDisplay.from_estimator(classifier, X, Y, **{name: 0})
    assert plt.get_fignums() == []
