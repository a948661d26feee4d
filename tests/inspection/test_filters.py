"""Tests of the pictures of filters."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from small_classifiers import fitted_classifier, make_classifier, make_images

from skcnn import Conv2D, Dense, DepthwiseConv2D, PatchWhitening, Residual
from skcnn.inspection import FilterDisplay

package("matplotlib")

X, Y = make_images(shape=(6, 5, 3))
BEFORE, AFTER = "before training", "after training"


def trained_and_still(layers=None):
    """Return a classifier, and one from the same weights whose steps are too small for any change."""
    rates = 1e-2, 1e-300
    return [make_classifier(layers, learning_rate_init=rate, averaging=None).fit(X, Y) for rate in rates]


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
        assert image.get_cmap().name == "gray"


def test_filters_before_and_after_training_are_drawn_side_by_side():
    trained, still = trained_and_still()
    display = FilterDisplay.from_estimator(trained)
    before, after = (net.network_.params["conv1"]["weight"] for net in (still, trained))
    assert np.abs(before - after).max() > 1e-3
    assert_drawn(display, BEFORE, before)
    assert_drawn(display, AFTER, after)
    assert [part.get_suptitle() for part in display.figure_.subfigs] == [BEFORE, AFTER]
    alone = FilterDisplay.from_estimator(trained, initial=False)
    assert list(alone.images_) == [AFTER]
    assert_drawn(alone, AFTER, after)


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
    expected = [weight[:, :, channel, number] for channel in range(3) for number in range(2)]
    assert_drawn(display, AFTER, np.stack(expected, axis=-1)[:, :, np.newaxis])


@pytest.mark.costly
def test_filters_that_are_not_trained_are_the_same_before_and_after():
    trained, _ = trained_and_still([PatchWhitening(), Dense(3)])
    display = FilterDisplay.from_estimator(trained)
    assert_array_equal(display.filters[BEFORE], display.filters[AFTER])
    assert_drawn(display, AFTER, trained.network_.params["patchwhitening_1"]["weight"])


def test_filters_that_were_scaled_with_the_data_cannot_be_drawn_again():
    clf = make_classifier(init_scaling="unit_variance").fit(X, Y)
    with pytest.raises(ValueError, match="init_scaling='unit_variance'"):
        FilterDisplay.from_estimator(clf)
    display = FilterDisplay.from_estimator(clf, initial=False)
    assert_drawn(display, AFTER, clf.network_.params["conv1"]["weight"])


def test_filters_of_zeros_are_grey():
    clf = fitted_classifier(X=X, y=Y)
    clf.network_.params["conv1"]["weight"][...] = 0
    display = FilterDisplay.from_estimator(clf, initial=False)
    assert all((np.asarray(image.get_array()) == 0.5).all() for image in display.images_[AFTER])
