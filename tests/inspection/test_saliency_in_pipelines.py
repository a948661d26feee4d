"""Saliency maps in the input space of pipelines, searches and data frames, and for layers of one's own."""

import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, MinMaxScaler, StandardScaler
from small_classifiers import (
    STACKS,
    assert_is_gradient,
    fitted_classifier,
    make_classifier,
    make_images,
    shake,
)

from skcnn import Layer
from skcnn.inspection import saliency_maps
from skcnn.inspection.saliency import METHODS, PIXEL_METHODS

SHAPE = (4, 5, 1)
IMAGES, Y = make_images(shape=SHAPE)
X = np.abs(IMAGES.reshape(len(IMAGES), -1)) + 0.5

FRONTS = {
    "standard scaler": [StandardScaler()],
    "min-max scaler": [MinMaxScaler()],
    "PCA": [PCA(9)],
    "whitening PCA": [PCA(9, whiten=True)],
    "function": [FunctionTransformer(np.log, np.exp)],
    "nothing": ["passthrough", FunctionTransformer()],
    "nested": [make_pipeline(FunctionTransformer(np.sqrt, np.square), StandardScaler()), PCA(9)],
}

each_front = pytest.mark.parametrize("front", list(FRONTS.values()), ids=list(FRONTS))


def fitted_pipeline(front, images=X, **params):
    pipeline = make_pipeline(*front, make_classifier(**params)).fit(images, Y)
    shake(pipeline[-1])
    return pipeline


def score_of(estimator, code):
    return lambda images: estimator.decision_function(images)[:, code]


@each_front
def test_gradients_are_those_of_the_whole_pipeline(front):
    pipeline = fitted_pipeline(front)
    found = saliency_maps(pipeline, X[:2], target=1)
    assert_is_gradient(found, score_of(pipeline, 1), X[:2], tolerance=1e-6)


@each_front
def test_integrated_gradients_add_up_through_every_pipeline(front):
    """The way goes through the input space, so that steps may be bent.

    The midpoint rule is of second order where the network is smooth: with twice the steps, a quarter of the
    error is left, so that a third of the difference is what is missing.
    """
    pipeline, start = fitted_pipeline(front, pooling="average"), np.linspace(1, 3, 20)
    expected = score_of(pipeline, 2)(X[:2]) - score_of(pipeline, 2)(start[np.newaxis])
    coarse, fine = (
        saliency_maps(
            pipeline, X[:2], method="integrated_gradients", target=2, baseline=start, n_steps=n_steps
        ).sum(axis=1)
        for n_steps in (25, 50)
    )
    assert np.abs(expected).max() > 0.01
    assert_allclose(fine, expected, rtol=0, atol=2e-2)
    assert_allclose(fine + (fine - coarse) / 3, expected, rtol=0, atol=1e-4)


def test_the_baseline_is_the_mean_image_of_the_network_carried_back():
    """A map of occlusion by one patch of all pixels is the fall of the score to that of the baseline."""
    pipeline = fitted_pipeline([FunctionTransformer(np.log, np.exp)], image_shape=(4, 5))
    mean = np.full((1, 20), np.exp(np.log(X).mean()))
    options = {"method": "occlusion", "target": 0, "patch_size": (4, 5)}
    fall = score_of(pipeline, 0)(X[:3]) - score_of(pipeline, 0)(mean)
    found = saliency_maps(pipeline, X[:3], **options)
    assert_allclose(found, np.broadcast_to(fall[:, None, None], (3, 4, 5)), rtol=0, atol=1e-10)
    assert_allclose(found, saliency_maps(pipeline, X[:3], baseline=mean[0], **options), rtol=0, atol=1e-10)


def test_occlusion_covers_what_goes_into_the_pipeline():
    """Against a loop over patches by hand; no step needs an inverse where the baseline is given."""
    pipeline = fitted_pipeline([FunctionTransformer(np.log), PCA(9)])
    score = score_of(pipeline, 1)
    falls, n_covers = np.zeros((2, 4, 5)), np.zeros((4, 5))
    for top in (0, 2):
        for left in (0, 1, 2):
            covered = X[:2].reshape(2, 4, 5).copy()
            covered[:, top : top + 2, left : left + 3] = 1.5
            fall = score(X[:2]) - score(covered.reshape(2, 20))
            falls[:, top : top + 2, left : left + 3] += fall[:, None, None]
            n_covers[top : top + 2, left : left + 3] += 1
    options = {"method": "occlusion", "target": 1, "patch_size": (2, 3), "strides": (2, 1)}
    found = saliency_maps(make_images_pipeline(pipeline), X[:2].reshape(2, 4, 5), baseline=1.5, **options)
    assert_allclose(found, falls / n_covers, rtol=0, atol=1e-10)


def make_images_pipeline(pipeline):
    """Return the pipeline for images instead of flat rows."""
    flatten = FunctionTransformer(lambda images: images.reshape(len(images), -1))
    return make_pipeline(flatten, *[step for _, step in pipeline.steps])


@pytest.mark.parametrize("wrap", ["search", "frozen", "pipeline of pipelines"])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_around_a_pipeline_changes_no_map(wrap, method):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), make_classifier(image_shape=(4, 5))),
        {"convnetclassifier__alpha": [0.0]},
        cv=2,
    ).fit(X, Y)
    pipeline = search.best_estimator_
    wrapped = {
        "search": search,
        "frozen": FrozenEstimator(pipeline),
        "pipeline of pipelines": make_pipeline("passthrough", pipeline),
    }[wrap]
    options = {"method": method, "n_steps": 3, "n_samples": 2, "random_state": 0}
    expected = saliency_maps(pipeline, X[:2], **options)
    assert_array_equal(saliency_maps(wrapped, X[:2], **options), expected)
    assert expected.shape == ((2, 4, 5) if method in PIXEL_METHODS else (2, 20))


def test_bins_end_the_gradient_and_not_occlusion():
    bins = KBinsDiscretizer(3, encode="ordinal", strategy="uniform")
    pipeline = fitted_pipeline([bins], image_shape=(4, 5))
    inside = np.median(X, axis=0, keepdims=True) + 0.01
    with pytest.raises(ValueError, match="step 'kbinsdiscretizer', .* does not pass on small changes"):
        saliency_maps(pipeline, inside)
    assert np.abs(saliency_maps(pipeline, inside, method="occlusion")).max() > 0


def test_grad_cam_lies_over_the_pixels_in_front_of_a_scaler():
    pipeline = fitted_pipeline([StandardScaler()], image_shape=(4, 5))
    options = {"method": "grad_cam", "target": 1, "layer": "conv1"}
    expected = saliency_maps(pipeline[-1], pipeline[0].transform(X), **options)
    assert_array_equal(saliency_maps(pipeline, X, **options), expected)


def test_grad_cam_lies_over_images_that_a_step_makes_rows_of():
    """And that are rows for the network, too: an image of one row for want of another shape."""
    images = X.reshape(-1, 4, 5)
    flatten = FunctionTransformer(lambda images: np.reshape(images, (len(images), -1)))
    pipeline = fitted_pipeline([flatten], images=images)
    assert pipeline[-1].image_shape_ == (1, 20, 1)
    options = {"method": "grad_cam", "target": 1}
    found = saliency_maps(pipeline, images, **options)
    assert_array_equal(found, saliency_maps(pipeline[-1], X, **options).reshape(-1, 4, 5))
    assert found.any()


def test_grad_cam_needs_the_pixels_of_the_network():
    """Channels of rows are pixels of the network where it knows nothing of them."""
    images, y = make_images(shape=(4, 5, 3))
    flatten = FunctionTransformer(lambda images: np.reshape(images, (len(images), -1)))
    pipeline = make_pipeline(flatten, make_classifier()).fit(images, y)
    message = (
        r"pixels of images stored as \(1, 60, 1\), which the network takes, are not those of the images of "
        r"X, stored as \(4, 5, 3\)"
    )
    with pytest.raises(ValueError, match=message):
        saliency_maps(pipeline, images, method="grad_cam")
    first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    pipeline = make_pipeline(flatten, make_classifier(image_shape=(4, 5, 3))).fit(first, y)
    with pytest.raises(ValueError, match=r"stored as \(4, 5, 3\), .* X, stored as \(3, 4, 5\)"):
        saliency_maps(pipeline, first, method="grad_cam")


@pytest.mark.parametrize("method", METHODS)
def test_data_frames_have_the_maps_of_arrays(method):
    """Without a warning that the steps miss the names of the columns."""
    frame = pd.DataFrame(X, columns=[f"pixel{number}" for number in range(20)])
    named = fitted_pipeline([StandardScaler()], images=frame, image_shape=(4, 5))
    unnamed = fitted_pipeline([StandardScaler()], image_shape=(4, 5))
    options = {"method": method, "n_steps": 3, "n_samples": 2, "random_state": 0}
    expected = saliency_maps(unnamed, X[:2], **options)
    assert_allclose(saliency_maps(named, frame[:2], **options), expected, rtol=0, atol=1e-8)


# images and labels as they come


@pytest.mark.parametrize("method", METHODS)
def test_bytes_have_the_maps_of_the_same_numbers(method):
    images = np.clip(X * 10, 0, 255).astype(np.uint8)
    pipeline = fitted_pipeline([MinMaxScaler()], images=images, image_shape=(4, 5))
    options = {"method": method, "n_steps": 3, "n_samples": 2, "random_state": 0}
    expected = saliency_maps(pipeline, images[:2].astype(np.float64), **options)
    assert_array_equal(saliency_maps(pipeline, images[:2], **options), expected)
    assert np.abs(expected).max() > 0


def test_channels_first_has_the_maps_of_channels_last():
    images, y = make_images()
    first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    last_net = fitted_classifier(STACKS["residual"])
    first_net = fitted_classifier(STACKS["residual"], X=first, y=y, data_format="channels_first")
    for method in METHODS:
        options = {"method": method, "n_steps": 3, "n_samples": 1, "noise": 0.0, "target": 1}
        expected = saliency_maps(last_net, images[:2], **options)
        found = saliency_maps(first_net, first[:2], **options)
        if method not in PIXEL_METHODS:
            found = found.transpose(0, 2, 3, 1)
        assert_allclose(found, expected, rtol=0, atol=1e-9, err_msg=method)


def test_each_of_two_classes_has_a_map_of_its_own():
    """Their difference is the gradient of the decision function, and neither is the other reversed."""
    classifier = fitted_classifier(X=X, y=np.array(["no", "yes"])[Y % 2])
    no, yes = (saliency_maps(classifier, X[:2], target=label) for label in ("no", "yes"))
    assert_is_gradient(yes - no, classifier.decision_function, X[:2])
    assert np.abs(yes + no).max() > 1e-3 * np.abs(yes).max()


def test_the_predicted_class_is_that_of_predict_with_test_time_augmentation():
    """A bright pixel speaks for the second class, its mirror image against it, and more so."""
    images, y = make_images(n_classes=2)
    classifier = fitted_classifier([], X=images, y=y, input_scaling=None, tta="flip")
    params = classifier.network_.params["output"]
    params["weight"][...], params["bias"][...] = 0, 0
    params["weight"][0, 1] = 1  # the score of the second class is the first value of an image
    image = np.zeros((1, *images.shape[1:]))
    image[0, 0, 0, 0], image[0, 0, -1, 0] = 1, -5
    assert classifier.predict(image) == [0]
    assert not saliency_maps(classifier, image).any()
    classifier.set_params(tta=None)
    assert classifier.predict(image) == [1]
    assert_array_equal(np.flatnonzero(saliency_maps(classifier, image)), [0])


def test_maps_change_neither_the_images_nor_the_estimator():
    pipeline, images = fitted_pipeline([StandardScaler()], image_shape=(4, 5)), X.copy()
    before = joblib.hash(pipeline)
    for method in METHODS:
        saliency_maps(pipeline, images, method=method, n_steps=2, n_samples=2)
    assert joblib.hash(pipeline) == before
    assert_array_equal(images, X)


def test_maps_have_the_dtype_of_the_network():
    for dtype in ("float32", "float64"):
        pipeline = fitted_pipeline([StandardScaler()], image_shape=(4, 5), dtype=dtype)
        for method in METHODS:
            found = saliency_maps(pipeline, X[:2], method=method, n_steps=2, n_samples=2)
            assert found.dtype == dtype, method


# errors, and what is not needed


class Doubled(Layer):
    """Computes something else in training."""

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, 2 if training else 1, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return dY


def test_a_layer_that_changes_in_training_is_named():
    classifier = fitted_classifier([("own", Doubled())])
    images, _ = make_images()
    for method in ("gradient", "integrated_gradients", "smooth_grad"):
        with pytest.raises(
            ValueError, match=r"layer 'own', Doubled\(\), computes something else in training"
        ):
            saliency_maps(classifier, images[:2], method=method)
    assert np.isfinite(saliency_maps(classifier, images[:2], method="occlusion")).all()


def test_scores_that_are_not_finite_have_no_map():
    classifier = fitted_classifier([], dtype="float32", input_scaling=None)
    classifier.network_.vector *= 100
    images = np.full((1, 6, 5, 2), 1e38)
    for method in METHODS:
        with pytest.raises(ValueError, match="scores of sample 0 are not finite"):
            saliency_maps(classifier, images, method=method, target=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 0}, "patch_size must be an int >= 1 or a pair"),
        ({"patch_size": (2, 2, 2)}, "patch_size must be"),
        ({"strides": 0}, "strides must be"),
        ({"patch_size": 2, "strides": (1, 3)}, r"strides must be at most the size of a patch, \(2, 2\)"),
        ({"baseline": np.zeros((5, 4))}, r"baseline must be a number or an image of shape \(6, 5, 2\)"),
    ],
)
def test_patches_must_cover_every_pixel(options, message):
    images, _ = make_images()
    with pytest.raises(ValueError, match=message):
        saliency_maps(fitted_classifier(), images, method="occlusion", **options)


@pytest.mark.parametrize("name", ["n_steps", "n_samples", "noise"])
def test_numbers_out_of_range_are_refused(name):
    images, _ = make_images()
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        saliency_maps(fitted_classifier(), images, **{name: -1})


def test_noise_comes_from_random_state():
    images, _ = make_images()
    options = {"method": "smooth_grad", "noise": 0.3, "n_samples": 2}
    classifier = fitted_classifier(STACKS["parallel"])
    first, again, other = (
        saliency_maps(classifier, images[:2], random_state=seed, **options) for seed in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6 * np.abs(first).max()


def test_maps_need_no_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    images, _ = make_images()
    assert saliency_maps(fitted_classifier(), images[:1]).shape == (1, 6, 5, 2)
