"""Tests of the pictures of what each layer makes of an image."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from small_classifiers import STACKS, fitted_classifier, make_images

from skcnn.inspection import FeatureMapDisplay
from skcnn.pipelines import layer_features

package("matplotlib")

X, Y = make_images()


def assert_drawn(display, name, values, limits=None):
    """Hold a row against maps of shape (h, w, n), black for the smallest of them, white for the largest."""
    assert len(display.images_[name]) == len(display.axes_[name]) == values.shape[-1]
    smallest, largest = limits or (values.min(), values.max())
    expected = (values - smallest) / (largest - smallest)
    for index, image in enumerate(display.images_[name]):
        assert_allclose(np.asarray(image.get_array()), expected[..., index], rtol=0, atol=1e-12)
        assert image.axes is display.axes_[name][index]


@pytest.mark.costly
@pytest.mark.parametrize("kind", ["residual", "parallel"])
def test_every_layer_of_images_has_a_row_of_its_results_below_the_image(kind):
    classifier = fitted_classifier(STACKS[kind])
    display = FeatureMapDisplay.from_estimator(classifier, X[3])
    assert len(display.maps) >= 4
    assert list(display.axes_) == ["input", *display.maps]
    for name, maps in display.maps.items():
        assert_array_equal(maps.ravel(), layer_features(classifier, name, X[3:4])[0])
        assert_drawn(display, name, maps)
    assert_array_equal(display.image, X[3])
    assert_drawn(display, "input", X[3].mean(axis=-1, keepdims=True), (X[3].min(), X[3].max()))


def test_rows_show_the_first_maps():
    classifier = fitted_classifier(conv_layer_sizes=(5,))
    display = FeatureMapDisplay.from_estimator(classifier, X[0], layers=["pool1", "conv1"], n_maps=2)
    assert list(display.maps) == ["pool1", "conv1"]
    assert display.maps["conv1"].shape == (6, 5, 5)
    assert [len(display.images_[name]) for name in ("input", "pool1", "conv1")] == [1, 2, 2]
    assert len(display.figure_.axes) == 3 * 2
    assert len(display.plot(n_maps=4).images_["conv1"]) == 4
    assert [axes[0].get_ylabel() for axes in display.axes_.values()] == ["input", "pool1", "conv1"]
    assert list(FeatureMapDisplay.from_estimator(classifier, X[0], layers="conv1").maps) == ["conv1"]


def test_the_image_before_a_step_that_turns_it_is_drawn_as_it_is_stored(turned):
    pipeline, rows, images, _ = turned
    options = {"image_shape": (3, 6, 5), "data_format": "channels_first"}
    display = FeatureMapDisplay.from_estimator(pipeline, rows[2], **options)
    assert_array_equal(display.image, images[2])
