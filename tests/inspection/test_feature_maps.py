"""Tests of the pictures of what each layer makes of an image."""

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from small_classifiers import STACKS, fitted_classifier, make_classifier, make_images

from skcnn import ConvNetFeatures
from skcnn.inspection import FeatureMapDisplay

plt = package("matplotlib.pyplot")

X, Y = make_images()


def assert_drawn(display, name, values):
    """Hold a row against maps of shape (h, w, n), black for the smallest of them, white for the largest."""
    assert len(display.images_[name]) == len(display.axes_[name]) == values.shape[-1]
    smallest, largest = values.min(), values.max()
    expected = (values - smallest) / (largest - smallest)
    for index, image in enumerate(display.images_[name]):
        assert_allclose(np.asarray(image.get_array()), expected[..., index], rtol=0, atol=1e-12)
        assert image.axes is display.axes_[name][index]


@pytest.mark.costly
@pytest.mark.parametrize("kind", ["residual", "parallel", "bends"])
def test_every_layer_of_images_has_a_row_of_its_results(kind):
    """As ConvNetFeatures has them, which are held against naive layers elsewhere."""
    classifier = fitted_classifier(STACKS[kind])
    display = FeatureMapDisplay.from_estimator(classifier, X[3])
    assert len(display.maps) >= 4
    assert list(display.axes_) == ["input", *display.maps]
    for name, maps in display.maps.items():
        features = ConvNetFeatures(classifier, name, prefit=True).fit(X).transform(X[3:4])
        assert_array_equal(maps.ravel(), features[0])
        assert_drawn(display, name, maps)


def test_a_single_name_is_a_layer():
    display = FeatureMapDisplay.from_estimator(fitted_classifier(STACKS["bends"]), X[3], layers="conv2d_1")
    assert list(display.maps) == ["conv2d_1"]


def test_the_first_row_is_the_image():
    classifier = fitted_classifier(STACKS["bends"])
    display = FeatureMapDisplay.from_estimator(classifier, X[3])
    assert_array_equal(display.image, X[3])
    (image,) = display.images_["input"]
    expected = (X[3] - X[3].min()) / np.ptp(X[3])
    assert_allclose(np.asarray(image.get_array()), expected.mean(axis=-1), rtol=0, atol=1e-12)


def test_an_image_of_three_channels_is_in_color():
    images, y = make_images(shape=(6, 5, 3))
    images = np.clip(images * 10, 0, 255).astype(np.uint8)
    display = FeatureMapDisplay.from_estimator(fitted_classifier(X=images, y=y), images[0])
    assert_allclose(np.asarray(display.images_["input"][0].get_array()), images[0] / 255, rtol=0, atol=1e-12)


def test_rows_show_the_first_maps():
    classifier = fitted_classifier(conv_layer_sizes=(5,))
    display = FeatureMapDisplay.from_estimator(classifier, X[0], layers=["pool1", "conv1"], n_maps=2)
    assert list(display.maps) == ["pool1", "conv1"]
    assert display.maps["conv1"].shape == (6, 5, 5)
    assert [len(display.images_[name]) for name in ("input", "pool1", "conv1")] == [1, 2, 2]
    assert len(display.figure_.axes) == 3 * 2
    assert len(display.plot(n_maps=4).images_["conv1"]) == 4
    assert [axes[0].get_ylabel() for axes in display.axes_.values()] == ["input", "pool1", "conv1"]


@pytest.mark.costly
def test_the_image_of_a_pipeline_is_the_one_before_it():
    flat = X.reshape(len(X), -1)
    pipeline = make_pipeline(StandardScaler(), make_classifier(image_shape=(6, 5, 2))).fit(flat, Y)
    display = FeatureMapDisplay.from_estimator(pipeline, flat[2], data_format="channels_last")
    assert_array_equal(display.image, X[2])
    scaled = pipeline[0].transform(flat[2:3])
    assert_array_equal(
        display.maps["conv1"], FeatureMapDisplay.from_estimator(pipeline[1], scaled).maps["conv1"]
    )


def test_the_image_before_a_step_that_turns_it_is_drawn_as_it_is_stored():
    images, y = make_images(shape=(6, 5, 3))
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    turn = FunctionTransformer(lambda rows: np.reshape(rows, (-1, 3, 6, 5)).transpose(0, 2, 3, 1))
    pipeline = make_pipeline(turn, make_classifier()).fit(rows, y)
    options = {"image_shape": (3, 6, 5), "data_format": "channels_first"}
    display = FeatureMapDisplay.from_estimator(pipeline, rows[2], **options)
    assert_array_equal(display.image, images[2])


def test_channels_first_images_are_turned():
    first = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    classifier = fitted_classifier(X=first, y=Y, data_format="channels_first")
    assert_array_equal(FeatureMapDisplay.from_estimator(classifier, first[1]).image, X[1])


def test_a_figure_may_be_given():
    figure = plt.figure()
    display = FeatureMapDisplay.from_estimator(fitted_classifier(), X[0], fig=figure)
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_wrong_use_is_refused():
    classifier = fitted_classifier()
    with pytest.raises(ValueError, match="X must be one image, got 2 of them"):
        FeatureMapDisplay.from_estimator(classifier, X[:2])
    with pytest.raises(ValueError, match=r"results are images, got 'dense1' with results of shape \(4,\)"):
        FeatureMapDisplay.from_estimator(classifier, X[0], layers=["dense1"])
    for n_maps in (0, 1.5):
        with pytest.raises(ValueError, match=f"n_maps must be an integer of at least 1, got {n_maps}"):
            FeatureMapDisplay.from_estimator(classifier, X[0], n_maps=n_maps)
    assert plt.get_fignums() == []
