"""Tests of the pictures of filters."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_classifiers import fitted_classifier, make_classifier, make_images

from skcnn import Conv2D, Dense, DepthwiseConv2D, PatchWhitening, Residual
from skcnn.inspection import FilterDisplay

plt = package("matplotlib.pyplot")

X, Y = make_images(shape=(6, 5, 3))
BEFORE, AFTER = "before training", "after training"


def trained_and_still(layers=None, **params):
    """Return a classifier, and one from the same weights whose steps are too small for any change."""
    params = {"averaging": None} | params
    return [make_classifier(layers, learning_rate_init=rate, **params).fit(X, Y) for rate in (1e-2, 1e-300)]


def assert_drawn(display, when, weight):
    """Hold the pictures against weights of shape (h, w, c, f), of one scale about zero for all of them."""
    largest = max(np.abs(filters).max() for filters in display.filters.values())
    assert len(display.images_[when]) == len(display.axes_[when]) == weight.shape[-1]
    for index, image in enumerate(display.images_[when]):
        expected = (weight[..., index] + largest) / (2 * largest)
        if expected.shape[-1] != 3:
            expected = expected.mean(axis=-1)
        assert_allclose(np.asarray(image.get_array()), expected, rtol=0, atol=1e-12)
        assert image.axes is display.axes_[when][index]
        assert image.get_clim() == (0, 1)


def test_filters_before_and_after_training_are_drawn_side_by_side():
    trained, still = trained_and_still()
    display = FilterDisplay.from_estimator(trained)
    before, after = (net.network_.params["conv1"]["weight"] for net in (still, trained))
    assert np.abs(before - after).max() > 1e-3
    assert_drawn(display, BEFORE, before)
    assert_drawn(display, AFTER, after)
    assert [part.get_suptitle() for part in display.figure_.subfigs] == [BEFORE, AFTER]


def test_filters_after_training_may_be_drawn_alone():
    trained, _ = trained_and_still()
    display = FilterDisplay.from_estimator(trained, initial=False)
    assert list(display.images_) == [AFTER]
    assert_drawn(display, AFTER, trained.network_.params["conv1"]["weight"])


def test_filters_of_other_layers_and_of_containers_have_names():
    layers = [Conv2D(2), ("res", Residual([("inner", Conv2D(4)), Conv2D(2)])), Dense(3)]
    trained, still = trained_and_still(layers)
    display = FilterDisplay.from_estimator(trained, layer="res__inner")
    assert_drawn(display, BEFORE, still.network_.params["res__inner"]["weight"])
    assert_drawn(display, AFTER, trained.network_.params["res__inner"]["weight"])


def test_depthwise_filters_are_drawn_one_for_each_channel():
    """Whose mean over channels, which see different images, would mean nothing."""
    trained, _ = trained_and_still([DepthwiseConv2D(depth_multiplier=2)])
    weight = trained.network_.params["depthwiseconv2d_1"]["weight"]
    display = FilterDisplay.from_estimator(trained)
    assert len(display.images_[AFTER]) == 6
    expected = np.stack(
        [weight[:, :, channel, number] for channel in range(3) for number in range(2)], axis=-1
    )
    assert_drawn(display, AFTER, expected[:, :, np.newaxis])


@pytest.mark.costly
def test_filters_that_are_not_trained_are_the_same_before_and_after():
    trained, _ = trained_and_still([PatchWhitening(), Dense(3)])
    display = FilterDisplay.from_estimator(trained)
    assert_array_equal(display.filters[BEFORE], display.filters[AFTER])
    assert_drawn(display, AFTER, trained.network_.params["patchwhitening_1"]["weight"])


def test_filters_that_were_scaled_with_the_data_cannot_be_drawn_again():
    clf = make_classifier(init_scaling="unit_variance").fit(X, Y)
    with pytest.raises(ValueError, match="by init_scaling='unit_variance': set initial=False"):
        FilterDisplay.from_estimator(clf)
    display = FilterDisplay.from_estimator(clf, initial=False)
    assert_drawn(display, AFTER, clf.network_.params["conv1"]["weight"])


def test_filters_of_zeros_are_grey():
    clf = fitted_classifier(X=X, y=Y)
    clf.network_.params["conv1"]["weight"][...] = 0
    display = FilterDisplay.from_estimator(clf, initial=False)
    assert all((np.asarray(image.get_array()) == 0.5).all() for image in display.images_[AFTER])


def test_filters_of_a_pipeline():
    flat = X.reshape(len(X), -1)
    pipeline = make_pipeline(StandardScaler(), make_classifier(image_shape=(6, 5, 3))).fit(flat, Y)
    display = FilterDisplay.from_estimator(pipeline)
    assert_drawn(display, AFTER, pipeline[-1].network_.params["conv1"]["weight"])


def test_a_figure_and_columns_may_be_given():
    clf = make_classifier(conv_layer_sizes=(5,)).fit(X, Y)
    figure = plt.figure()
    display = FilterDisplay.from_estimator(clf, n_columns=2, fig=figure)
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    for axes in display.axes_.values():
        assert axes[0].get_gridspec().get_geometry() == (3, 2)


def test_what_is_no_convolution_has_no_filters():
    clf = fitted_classifier([("conv", Conv2D(2)), ("dense", Dense(3))])
    for layer in ("dense", "conv9"):
        with pytest.raises(
            ValueError, match=rf"layer must be one of the convolutions \['conv'\], got '{layer}'"
        ):
            FilterDisplay.from_estimator(clf, layer=layer)
    with pytest.raises(ValueError, match="the network has no convolution"):
        FilterDisplay.from_estimator(fitted_classifier([Dense(3)]))
    with pytest.raises(ValueError, match="n_columns must be an integer of at least 1, got 0"):
        FilterDisplay.from_estimator(clf, n_columns=0)
