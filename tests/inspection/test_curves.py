"""Tests of the curves of training."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_classifiers import make_classifier, make_images

from skcnn import Conv2D
from skcnn.inspection import TrainingCurveDisplay
from skcnn.inspection.curves import curve_of

plt = package("matplotlib.pyplot")
to_rgba = package("matplotlib.colors").to_rgba

IMAGES, Y = make_images(n_samples=30)
X = IMAGES.reshape(30, -1)
VALIDATED = {"early_stopping": True, "validation_fraction": 0.2}


@pytest.fixture(scope="module")
def stopping():
    return make_classifier(max_iter=3, **VALIDATED).fit(X, Y)


@pytest.fixture(scope="module")
def plain():
    return make_classifier(max_iter=3).fit(X, Y)


def test_without_validation_there_is_a_panel_for_the_loss_alone(plain):
    display = TrainingCurveDisplay.from_estimator(plain)
    assert list(display.lines_) == [("ConvNetClassifier", "loss")]
    (axis,) = display.axes_
    assert display.figure_.axes == [axis]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "loss")
    assert axis.get_legend() is None


@pytest.mark.parametrize(("scoring", "shown"), [(None, "negative loss"), ("accuracy", "accuracy")])
def test_the_panel_of_scores_says_what_they_are(scoring, shown):
    clf = make_classifier(scoring=scoring, **VALIDATED).fit(X, Y)
    display = TrainingCurveDisplay.from_estimator(clf)
    assert [axis.get_ylabel() for axis in display.axes_] == ["loss", f"validation score ({shown})"]
    line = display.lines_["ConvNetClassifier", "validation_score"]
    assert line.axes is display.axes_[1]
    assert_array_equal(line.get_ydata(), clf.validation_scores_)


def test_scores_of_several_kinds_have_no_name_in_common(stopping):
    other = make_classifier(scoring="accuracy", **VALIDATED).fit(X, Y)
    display = TrainingCurveDisplay.from_estimator({"loss": stopping, "accuracy": other})
    assert display.axes_[1].get_ylabel() == "validation score"


def test_over_steps_the_mean_of_an_epoch_stands_in_its_middle(stopping):
    """Of three minibatches, 1 to 3, that is 2; a score stands at the end, where it was taken."""
    display = TrainingCurveDisplay.from_estimator(stopping, x="step")
    for quantity, places, values in (
        ("batch_losses", np.arange(1, 10), stopping.batch_losses_),
        ("loss", [2, 5, 8], stopping.loss_curve_),
        ("validation_score", [3, 6, 9], stopping.validation_scores_),
    ):
        line = display.lines_["ConvNetClassifier", quantity]
        assert_array_equal(line.get_xdata(), places)
        assert_array_equal(line.get_ydata(), values)
    assert display.axes_[0].get_xlabel() == "minibatch"


def test_epochs_without_a_score_are_gaps():
    clf = make_classifier(warm_start=True, **VALIDATED)
    clf.fit(X, Y).set_params(early_stopping=False).fit(X, Y)
    scores = curve_of(clf).validation_score
    assert_array_equal(np.isnan(scores), [False, False, True, True])
    assert_array_equal(scores[:2], clf.validation_scores_)


def test_a_single_epoch_is_a_point_that_can_be_seen():
    display = TrainingCurveDisplay.from_estimator(make_classifier(max_iter=1).fit(X, Y))
    assert display.lines_["ConvNetClassifier", "loss"].get_marker() == "o"


def test_several_estimators_have_their_colors_and_a_legend(plain, stopping):
    """Of a search the best is drawn."""
    pipeline = make_pipeline(StandardScaler(), make_classifier())
    search = GridSearchCV(pipeline, {"convnetclassifier__alpha": [0.0]}, cv=2).fit(X, Y)
    display = TrainingCurveDisplay.from_estimator({"plain": plain, "stopping": stopping, 3: search})
    names = {"plain": plain, "stopping": stopping, "3": search.best_estimator_[-1]}
    for name, clf in names.items():
        assert_array_equal(display.lines_[name, "loss"].get_ydata(), clf.loss_curve_)
    assert [name for name, quantity in display.lines_ if quantity == "validation_score"] == ["stopping"]
    assert len({to_rgba(display.lines_[name, "loss"].get_color()) for name in names}) == 3
    score = display.lines_["stopping", "validation_score"]
    assert score.get_color() == display.lines_["stopping", "loss"].get_color()
    legend = display.axes_[-1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list(names)


def test_all_candidates_of_a_search_are_trained_as_they_were_described():
    pipeline = make_pipeline(StandardScaler(), make_classifier(max_iter=2))
    grid = {"convnetclassifier__alpha": [0.0, 0.1], "convnetclassifier__conv_layer_sizes": [(2,)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    best = search.best_estimator_[-1].network_.vector.copy()
    weights = np.linspace(0.5, 2, 30)
    display = TrainingCurveDisplay.from_search(search, X, Y, convnetclassifier__sample_weight=weights)
    assert len(display.curves) == 2
    for params in search.cv_results_["params"]:
        name = f"alpha={params['convnetclassifier__alpha']}, conv_layer_sizes=(2,)"
        again = pipeline.set_params(**params).fit(X, Y, convnetclassifier__sample_weight=weights)
        assert_array_equal(display.lines_[name, "loss"].get_ydata(), again[-1].loss_curve_)
    assert_array_equal(search.best_estimator_[-1].network_.vector, best)


def test_names_of_candidates_leave_out_the_last_step_alone():
    """Of a layer, or of an earlier step, a parameter is nothing without the name."""
    pipeline = make_pipeline(StandardScaler(), make_classifier([("conv1", Conv2D(2))], max_iter=1))
    grid = {"standardscaler__with_mean": [True], "convnetclassifier__conv1__filters": [3]}
    display = TrainingCurveDisplay.from_search(GridSearchCV(pipeline, grid, cv=2).fit(X, Y), X, Y)
    assert list(display.curves) == ["conv1__filters=3, standardscaler__with_mean=True"]
    search = GridSearchCV(pipeline[-1], {"conv1__filters": [3]}, cv=2).fit(X, Y)
    assert list(TrainingCurveDisplay.from_search(search, X, Y).curves) == ["conv1__filters=3"]


def test_axes_may_be_given(plain, stopping):
    figure, axes = plt.subplots(2, 1)
    display = TrainingCurveDisplay.from_estimator({"one": plain, "two": stopping}, axes=axes)
    assert display.figure_ is figure
    assert_array_equal(display.axes_, axes)
    assert plt.get_fignums() == [figure.number]
    _, axis = plt.subplots()
    assert TrainingCurveDisplay.from_estimator(plain, axes=axis).axes_[0] is axis
    with pytest.raises(ValueError, match="axes must be 2, .* got 1"):
        TrainingCurveDisplay.from_estimator(stopping, axes=axis)


def test_wrong_use_is_refused_before_anything_is_trained(plain):
    with pytest.raises(ValueError, match="estimator must hold at least one"):
        TrainingCurveDisplay.from_estimator({})
    for other in (plain, FrozenEstimator(plain), None):
        with pytest.raises(TypeError, match="search must be .* got"):
            TrainingCurveDisplay.from_search(other, X, Y)
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_search(GridSearchCV(make_classifier(), {"alpha": [0]}), X, Y)

    class Search:
        cv_results_ = property(lambda self: pytest.fail("trained, though there is nothing to draw over"))

    with pytest.raises(ValueError, match="x must be .* got 'time'"):
        TrainingCurveDisplay.from_search(Search(), X, Y, x="time")
    with pytest.raises(TypeError, match="axes .* got 'x'"):
        TrainingCurveDisplay.from_search(Search(), X, Y, axes=["x"])
