"""Saliency maps: against finite differences, by hand, and through pipelines, searches and data frames."""

import sys
from functools import partial

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, Normalizer, StandardScaler
from small_classifiers import (
    STACKS,
    assert_is_gradient,
    fitted_classifier,
    make_classifier,
    make_images,
    shake,
)

from skcnn import Conv2D, GlobalAvgPool2D, MaxPool2D, Parallel
from skcnn.inspection import saliency_maps
from skcnn.inspection.saliency import METHODS, PIXEL_METHODS

X, Y = make_images()


def scores_of(estimator, code):
    """Return the function of images that is explained: the score of a class of three."""
    return lambda images: estimator.decision_function(images)[:, code]


@pytest.fixture(scope="module")
def classifier():
    return fitted_classifier(STACKS["residual"])


def test_gradients_are_those_of_the_score(classifier):
    found = saliency_maps(classifier, X[:2], target=1)
    assert_is_gradient(found, scores_of(classifier, 1), X[:2])


def test_gradient_times_input_is_what_it_says(classifier):
    expected = saliency_maps(classifier, X[:3]) * X[:3]
    assert_allclose(saliency_maps(classifier, X[:3], method="gradient_times_input"), expected, rtol=1e-12)


@pytest.mark.costly
def test_integrated_gradients_add_up_to_the_difference_of_scores(classifier):
    """Sundararajan et al. (2017), proposition 1; the midpoint rule leaves an error of second order."""
    options = {"method": "integrated_gradients", "target": 0}
    found = saliency_maps(classifier, X[:2], baseline=0.5, n_steps=400, **options)
    score = scores_of(classifier, 0)
    fall = score(X[:2]) - score(np.full_like(X[:1], 0.5))
    assert_allclose(found.sum(axis=(1, 2, 3)), fall, rtol=1e-3, atol=1e-3)
    seen = X.mean(axis=(0, 1, 2))  # the mean of the training images that the network sees
    from_mean, by_default = (
        saliency_maps(classifier, X[:2], baseline=baseline, n_steps=3, **options) for baseline in (seen, None)
    )
    assert_allclose(by_default, from_mean, rtol=1e-10, atol=1e-14)


def test_smooth_grad_without_noise_is_the_gradient_and_with_it_a_mean(classifier):
    options = {"method": "smooth_grad", "random_state": 0}
    gradient = saliency_maps(classifier, X[:2])
    assert_allclose(saliency_maps(classifier, X[:2], noise=0.0, **options), gradient, rtol=1e-10)
    noisy = saliency_maps(classifier, X[:2], noise=0.1, n_samples=3, **options)
    rng = np.random.RandomState(0)
    deviation = 0.1 * np.ptp(X[:2], axis=(1, 2, 3), keepdims=True)
    codes = classifier.predict(X[:2])
    draws = [X[:2] + deviation * rng.standard_normal(X[:2].shape) for _ in range(3)]
    expected = np.mean([saliency_maps(classifier, draw, target=codes) for draw in draws], axis=0)
    assert_allclose(noisy, expected, rtol=1e-10, atol=1e-14)


def test_grad_cam_by_hand():
    """Maps of a layer before a dense output: their gradients are the weights, whatever the image."""
    classifier = fitted_classifier([("conv", Conv2D(4, activation="tanh"))])
    maps = classifier.model_.results(X[:2], 2)
    weight = classifier.network_.params["output"]["weight"].reshape(6, 5, 4, 3)[..., 2].mean(axis=(0, 1))
    found = saliency_maps(classifier, X[:2], method="grad_cam", layer="conv", target=2)
    assert_allclose(found, np.maximum((maps * weight).sum(axis=-1), 0), atol=1e-10)


def test_grad_cam_looks_at_what_joins_branches():
    branches = Parallel([[Conv2D(4), MaxPool2D()], [MaxPool2D()]])
    classifier = fitted_classifier([Conv2D(4), ("join", branches), GlobalAvgPool2D()])
    expected = saliency_maps(classifier, X[:2], method="grad_cam", layer="join")
    assert_array_equal(saliency_maps(classifier, X[:2], method="grad_cam"), expected)


def test_the_target_is_the_predicted_class_a_label_or_one_for_each_image():
    names = np.array(["ant", "bee", "cat"])
    classifier = fitted_classifier(STACKS["residual"], X=X, y=names[Y])
    predicted = saliency_maps(classifier, X[:4])
    assert_allclose(predicted, saliency_maps(classifier, X[:4], target=classifier.predict(X[:4])))
    both = saliency_maps(classifier, X[:2], target=["bee", "cat"])
    assert_allclose(both[1], saliency_maps(classifier, X[1:2], target="cat")[0], rtol=1e-10)
    bee = saliency_maps(classifier, X[:4], target="bee")
    classifier.predict = lambda images: names[[1] * len(images)]  # by test-time augmentation, say
    assert_array_equal(saliency_maps(classifier, X[:4]), bee)


@pytest.mark.parametrize("method", METHODS)
def test_maps_have_the_layout_of_the_images_and_the_dtype_of_the_network(method):
    """Bytes have the maps of the same numbers."""
    images = np.clip(X * 10 + 50, 0, 255).astype(np.uint8)
    classifier = fitted_classifier(X=images, y=Y)
    options = {"method": method, "n_steps": 3, "n_samples": 2, "random_state": 0}
    expected = saliency_maps(classifier, images[:2].astype(np.float64), **options)
    assert expected.shape == ((2, 6, 5) if method in PIXEL_METHODS else (2, 6, 5, 2))
    assert expected.dtype == classifier.network_.dtype == "float32"
    assert np.isfinite(expected).all()
    assert np.abs(expected).max() > 0
    assert_array_equal(saliency_maps(classifier, images[:2], **options), expected)
    flat = saliency_maps(classifier, images[:2].reshape(2, -1), **options)
    assert_array_equal(flat, expected if method in PIXEL_METHODS else expected.reshape(2, -1))


def test_channels_first_has_the_maps_of_channels_last(classifier):
    first = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    first_net = fitted_classifier(STACKS["residual"], X=first, y=Y, data_format="channels_first")
    for method in METHODS:
        options = {"method": method, "n_steps": 3, "n_samples": 1, "noise": 0.0, "target": 1}
        expected = saliency_maps(classifier, X[:2], **options)
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


def test_maps_need_no_matplotlib(classifier, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert saliency_maps(classifier, X[:1]).shape == (1, 6, 5, 2)


# through pipelines


ROWS = np.abs(X.reshape(len(X), -1)) + 0.5
STORED = {"image_shape": (6, 5, 2)}


def fitted_pipeline(*transformers, images=ROWS, **params):
    pipeline = make_pipeline(*transformers, make_classifier(**params)).fit(images, Y)
    shake(pipeline[-1])
    return pipeline


def test_methods_that_look_into_the_network_say_what_to_do_about_transformers():
    pipeline = fitted_pipeline(StandardScaler(), **STORED)
    for method in set(METHODS) - {"occlusion"}:
        message = rf"method='{method}' .* \['standardscaler'\]: .*pipeline\[:-1\].transform\(X\)"
        with pytest.raises(ValueError, match=message):
            saliency_maps(pipeline, ROWS[:2], method=method)


def test_what_is_around_a_network_changes_no_map():
    """As long as it transforms nothing."""
    search = GridSearchCV(make_classifier(), {"alpha": [0.0]}, cv=2).fit(X, Y)
    classifier = search.best_estimator_
    for wrapped in (search, FrozenEstimator(classifier), make_pipeline("passthrough", classifier)):
        for method in ("gradient", "occlusion"):
            expected = saliency_maps(classifier, X[:2], method=method)
            assert_array_equal(saliency_maps(wrapped, X[:2], method=method), expected)


@pytest.mark.parametrize(
    ("transformers", "baseline"),
    [([], 1.5), ([StandardScaler(), Normalizer()], np.linspace(1, 3, 60))],
)
def test_occlusion_covers_what_goes_into_the_estimator(transformers, baseline):
    """Against a loop over patches by hand; no step needs an inverse where the baseline is given."""
    pipeline = fitted_pipeline(*transformers)
    score = scores_of(pipeline, 1)
    cover = np.broadcast_to(baseline, (1, 60)).reshape(1, 6, 5, 2)
    falls, n_covers = np.zeros((2, 6, 5)), np.zeros((6, 5))
    for top in (0, 2, 4):
        for left in (0, 1, 2):
            where = np.s_[:, top : top + 2, left : left + 3]
            covered = ROWS[:2].reshape(2, 6, 5, 2).copy()
            covered[where] = cover[where]
            falls[where] += (score(ROWS[:2]) - score(covered.reshape(2, 60)))[:, None, None]
            n_covers[where[1:]] += 1
    options = {"method": "occlusion", "target": 1, "baseline": baseline}
    options |= {"patch_size": (2, 3), "strides": (2, 1), "data_format": "channels_last"}
    found = saliency_maps(pipeline, ROWS[:2], **options, **STORED)
    assert_allclose(found, falls / n_covers, rtol=0, atol=1e-10)


def test_the_baseline_is_the_mean_image_of_the_network_carried_back():
    """A map of occlusion by one patch of all pixels is the fall of the score to that of the baseline."""
    pipeline = fitted_pipeline(FunctionTransformer(np.log, np.exp), image_shape=(6, 10))
    mean = np.full((1, 60), np.exp(np.log(ROWS).mean()))
    options = {"method": "occlusion", "target": 0, "patch_size": (6, 10)}
    fall = scores_of(pipeline, 0)(ROWS[:3]) - scores_of(pipeline, 0)(mean)
    found = saliency_maps(pipeline, ROWS[:3], **options)
    assert_allclose(found, np.broadcast_to(fall[:, None, None], (3, 6, 10)), rtol=0, atol=1e-10)


def test_without_input_scaling_the_baseline_is_zero():
    classifier = fitted_classifier(input_scaling=None)
    options = {"method": "occlusion", "target": 0}
    expected = saliency_maps(classifier, X[:2], baseline=0.0, **options)
    assert_array_equal(saliency_maps(classifier, X[:2], **options), expected)


BYTES = np.clip(ROWS * 10, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("images", "baseline", "rounded"),
    [
        (BYTES, None, np.rint(BYTES.mean())),
        (BYTES, 70.4, 70),
        (BYTES, -1, 0),
        (ROWS > 3, 0.3, False),
        (ROWS > 3, 0.7, True),
    ],
)
def test_images_of_integers_keep_their_dtype_for_transformers(images, baseline, rounded):
    """As those that look values up in a table need it; a baseline is rounded to it."""
    look_up = FunctionTransformer(
        partial(np.take, np.linspace(-1, 1, 256)), lambda shares: (shares + 1) * 127.5, check_inverse=False
    )
    pipeline = fitted_pipeline(look_up, images=images, image_shape=(6, 10))
    options = {"method": "occlusion", "target": 1, "patch_size": (6, 10)}
    score = scores_of(pipeline, 1)
    fall = score(images[:2]) - score(np.full((1, 60), rounded, images.dtype))
    found = saliency_maps(pipeline, images[:2], baseline=baseline, **options)
    assert_allclose(found, np.broadcast_to(fall[:, None, None], (2, 6, 10)), rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match="baseline .* got nan"):
        saliency_maps(pipeline, images[:2], baseline=np.nan, **options)


def test_maps_change_neither_the_images_nor_the_estimator():
    pipeline, images = fitted_pipeline(MinMaxScaler(), image_shape=(6, 10)), ROWS.copy()
    before = joblib.hash(pipeline)
    saliency_maps(pipeline, images, method="occlusion")
    scaled = pipeline[0].transform(images)
    kept = scaled.copy()
    for method in METHODS:
        saliency_maps(pipeline[-1], scaled, method=method, n_steps=2, n_samples=2)
    assert joblib.hash(pipeline) == before
    assert_array_equal(images, ROWS)
    assert_array_equal(scaled, kept)


# errors


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
        ({"method": "guess"}, "'method' .* 'guess'"),
        ({"target": 7}, "target .* got 7"),
        ({"target": [0]}, r"target .* 24 images, .* shape \(1,\)"),
        ({"method": "smooth_grad", "layer": "conv9"}, "layer .* got 'conv9'"),
        ({"method": "grad_cam", "layer": "output"}, "layer .* got 'output'"),
        ({"method": "occlusion", "baseline": np.zeros(3)}, r"baseline .* got array .* shape \(3,\)"),
        ({"baseline": [[1], [2, 3]]}, "baseline .* got a ragged list"),
        ({"baseline": [None]}, "baseline .* got array of object"),
        ({"baseline": {}}, "baseline.* (got array of object|Got {})"),
        ({"baseline": np.nan}, "baseline .* got nan"),
        ({"method": "integrated_gradients", "baseline": np.inf}, "baseline .* got inf"),
        ({"patch_size": "small"}, "patch_size .* got 'small'"),
        ({"method": "occlusion", "patch_size": 0}, "patch_size .* got 0"),
        ({"strides": (1, 2, 3)}, r"strides .* got \(1, 2, 3\)"),
        ({"method": "occlusion", "patch_size": 2, "strides": (1, 3)}, r"strides .* got \(1, 3\)"),
        ({"n_steps": 0}, "'n_steps' .* 0"),
        ({"n_samples": -1}, "'n_samples' .* -1"),
        ({"noise": -1}, "'noise' .* -1"),
    ],
)
def test_wrong_use_is_refused(classifier, options, message):
    """Also of options that the method does not look at."""
    with pytest.raises(ValueError, match=message):
        saliency_maps(classifier, X, **options)
