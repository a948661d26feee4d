"""Tests of the pictures of saliency maps."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from small_classifiers import fitted_classifier, make_images

from skcnn.inspection import SaliencyDisplay, saliency_maps
from skcnn.inspection.saliency import METHODS, PIXEL_METHODS

package("matplotlib")

X, Y = make_images()
OPTIONS = {"n_steps": 3, "n_samples": 2, "random_state": 0}


@pytest.fixture(scope="module")
def classifier():
    return fitted_classifier()


def test_every_method_has_a_row_with_its_maps(classifier):
    """Added up over channels, and with zero in the middle of the colors but for Grad-CAM."""
    display = SaliencyDisplay.from_estimator(classifier, X[:3], method="all", target=1, **OPTIONS)
    assert list(display.maps) == list(METHODS)
    assert_array_equal(display.targets, [1, 1, 1])
    assert display.axes_.shape == (1 + len(METHODS), 3)
    for row, (name, maps) in enumerate(display.maps.items(), start=1):
        found = saliency_maps(classifier, X[:3], method=name, target=1, **OPTIONS)
        assert_array_equal(maps, found if name in PIXEL_METHODS else found.sum(axis=-1))
        assert display.axes_[row, 0].get_ylabel() == name.replace("_", " ")
        for column, (image, values) in enumerate(zip(display.images_[name], maps, strict=True)):
            assert_array_equal(np.asarray(image.get_array()), values)
            assert image.axes is display.axes_[row, column]
            largest = np.abs(values).max()
            assert image.get_clim() == ((0 if name == "grad_cam" else -largest), largest or 1)


def test_grad_cam_is_the_more_opaque_the_larger_over_a_grey_image():
    images, y = make_images(shape=(6, 5, 3))
    clf = fitted_classifier(X=images, y=y)
    display = SaliencyDisplay.from_estimator(clf, images[:3], method="grad_cam", target=1)
    assert display.maps["grad_cam"].max() > 0
    pictures = display.images_["input"]
    for axis, heat, picture in zip(display.axes_[1], display.images_["grad_cam"], pictures, strict=True):
        values = np.asarray(heat.get_array())
        assert_allclose(heat.get_alpha(), 0.75 * values / (values.max() or 1), rtol=1e-12)
        below, above = axis.images
        assert above is heat
        colored = np.asarray(picture.get_array())
        assert colored.shape == (6, 5, 3)
        assert_allclose(np.asarray(below.get_array()), colored.mean(axis=-1), rtol=0, atol=1e-12)
        assert below.get_cmap().name == "gray"


def test_images_share_their_limits_and_have_their_targets_as_titles(classifier):
    display = SaliencyDisplay.from_estimator(classifier, X[:3])
    limits = X[:3].min(), X[:3].max()
    for image, values in zip(display.images_["input"], X[:3], strict=True):
        expected = ((values - limits[0]) / (limits[1] - limits[0])).mean(axis=-1)
        assert_allclose(np.asarray(image.get_array()), expected, rtol=0, atol=1e-12)
    predicted = classifier.predict(X[:3])
    assert_array_equal(display.targets, predicted)
    assert [axis.get_title() for axis in display.axes_[0]] == [str(label) for label in predicted]


def test_maps_of_a_pipeline_lie_over_the_images_that_it_takes(turned):
    pipeline, rows, images, _ = turned
    options = {"method": "occlusion", "target": 1, "baseline": 0.0}
    expected = SaliencyDisplay.from_estimator(pipeline[-1], images[:2], **options)
    display = SaliencyDisplay.from_estimator(pipeline, rows[:2], data_format="channels_first", **options)
    assert_array_equal(display.images, images[:2])
    assert_allclose(display.maps["occlusion"], expected.maps["occlusion"], rtol=0, atol=1e-8)
    with pytest.raises(ValueError, match="give data_format"):
        SaliencyDisplay.from_estimator(pipeline, rows[:2], **options)


def test_a_map_of_zeros_is_drawn_without_color():
    clf = fitted_classifier()
    clf.network_.params["output"]["weight"][...] = 0
    display = SaliencyDisplay.from_estimator(clf, X[:1], method=["gradient", "grad_cam"])
    assert display.images_["gradient"][0].get_clim() == (-1, 1)
    assert not np.any(display.images_["grad_cam"][0].get_alpha())
