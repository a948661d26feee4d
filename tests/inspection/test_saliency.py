"""Saliency maps: against finite differences, and by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from seeds import generator
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from small_classifiers import STACKS, assert_is_gradient, fitted_classifier, make_images

from skcnn import Conv2D, ConvNetClassifier, Dense, GlobalAvgPool2D, MaxPool2D, Parallel
from skcnn.inspection import saliency_maps
from skcnn.inspection.saliency import METHODS, PIXEL_METHODS

X, Y = make_images()


def scores_of(estimator, code):
    """Return the function of images that is explained: the score of a class of three."""
    return lambda images: estimator.decision_function(images)[:, code]


def pipeline_of(*transformers):
    images = X.reshape(len(X), -1)
    classifier = ConvNetClassifier([Conv2D(3, activation="tanh"), Dense(4)], max_iter=2, random_state=0)
    return make_pipeline(*transformers, classifier).fit(images, Y), images


@pytest.mark.parametrize("name", STACKS)
def test_gradients_are_those_of_the_score(name):
    classifier = fitted_classifier(STACKS[name])
    found = saliency_maps(classifier, X[:2], target=1)
    assert_is_gradient(found, scores_of(classifier, 1), X[:2])


@pytest.mark.parametrize(
    "transformers",
    [[StandardScaler()], [PCA(10)], [StandardScaler(), PCA(12)], [FunctionTransformer(np.arctan)]],
    ids=str,
)
def test_gradients_go_back_through_a_pipeline(transformers):
    pipeline, images = pipeline_of(*transformers)
    found = saliency_maps(pipeline, images[:2], target=2)
    assert_is_gradient(found, scores_of(pipeline, 2), images[:2], tolerance=1e-6)


def test_gradient_times_input_is_what_it_says():
    classifier = fitted_classifier(STACKS["residual"])
    expected = saliency_maps(classifier, X[:3]) * X[:3]
    assert_allclose(saliency_maps(classifier, X[:3], method="gradient_times_input"), expected, rtol=1e-12)


@pytest.mark.parametrize("baseline", [None, 0.5])
def test_integrated_gradients_add_up_to_the_difference_of_scores(baseline):
    """Sundararajan et al. (2017), proposition 1; the midpoint rule leaves an error of second order."""
    for estimator, images in ((fitted_classifier(STACKS["residual"]), X), pipeline_of(StandardScaler())):
        found = saliency_maps(
            estimator, images[:2], method="integrated_gradients", target=0, baseline=baseline, n_steps=400
        )
        start = np.full_like(images[:1], 0.5)
        if baseline is None:  # the mean of the training images that the network sees
            start[...] = X.mean(axis=(0, 1, 2)) if images.ndim == 4 else images.mean(axis=0)
        score = scores_of(estimator, 0)
        assert_allclose(
            found.reshape(2, -1).sum(axis=1), score(images[:2]) - score(start), rtol=1e-3, atol=1e-3
        )


def test_smooth_grad_without_noise_is_the_gradient_and_with_it_a_mean():
    classifier = fitted_classifier(STACKS["parallel"])
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


def linear_classifier():
    """Return a classifier whose score is a sum of weights times pixels, and these weights for each class."""
    classifier = fitted_classifier([], input_scaling=None)
    params = classifier.network_.params["output"]
    return classifier, params["weight"].reshape(*X.shape[1:], 3)


def test_occlusion_of_a_linear_network_by_hand():
    """Each patch costs the sum of its pixels times their weights; a pixel has the mean over its patches."""
    classifier, weights = linear_classifier()
    options = {"baseline": 0.25, "patch_size": 2, "strides": 2}
    found = saliency_maps(classifier, X[:2], method="occlusion", target=1, **options)
    cost = ((X[:2] - 0.25) * weights[..., 1]).sum(axis=-1)
    falls, counts = np.zeros((2, 6, 5)), np.zeros((6, 5))
    for top in (0, 2, 4):
        for left in (0, 2, 3):
            where = np.s_[top : top + 2, left : left + 2]
            falls[:, *where] += cost[:, *where].sum(axis=(1, 2))[:, np.newaxis, np.newaxis]
            counts[where] += 1
    assert_allclose(found, falls / counts, rtol=1e-9)


def test_grad_cam_by_hand():
    """Maps of a layer in front of a dense output: their gradients are the weights, whatever the image."""
    classifier = fitted_classifier([("conv", Conv2D(4, activation="tanh"))], input_scaling=None)
    params = classifier.network_.params
    found = saliency_maps(classifier, X[:2], method="grad_cam", layer="conv", target=2)
    weights = params["output"]["weight"].reshape(6, 5, 4, 3)[..., 2].mean(axis=(0, 1))
    padded = np.pad(X[:2], ((0, 0), (1, 1), (1, 1), (0, 0)))
    maps = np.zeros((2, 6, 5, 4))
    for row, column in np.ndindex(6, 5):
        window = padded[:, row : row + 3, column : column + 3]
        products = np.einsum("nijc,ijcf->nf", window, params["conv"]["weight"])
        maps[:, row, column] = np.tanh(products + params["conv"]["bias"])
    assert_allclose(found, np.maximum((maps * weights).sum(axis=-1), 0), atol=1e-10)


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


@pytest.mark.parametrize("method", METHODS)
def test_maps_have_the_layout_of_the_images(method):
    classifier = fitted_classifier()
    for images in (X[:3], X[:3].reshape(3, -1), generator(0).integers(0, 9, (3, 6, 5, 2)).astype(np.uint8)):
        found = saliency_maps(classifier, images, method=method, n_steps=2, n_samples=2, random_state=0)
        assert found.shape == ((3, 6, 5) if method in PIXEL_METHODS else images.shape)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients"])
def test_a_step_without_a_way_back_needs_a_baseline(method):
    pipeline, images = pipeline_of(Normalizer())
    message = r"step 'normalizer', Normalizer\(\), cannot be inverted: .* of the pipeline; give baseline$"
    with pytest.raises(ValueError, match=message):
        saliency_maps(pipeline, images[:2], method=method)
    assert np.isfinite(saliency_maps(pipeline, images[:2], method=method, baseline=1.0)).all()


def test_a_step_that_moves_pixels_has_no_map_of_a_layer():
    pipeline, images = pipeline_of(PCA(10))
    with pytest.raises(ValueError, match="step 'pca'.* more than change each value by itself"):
        saliency_maps(pipeline, images[:2], method="grad_cam")


def test_wrong_use_is_refused():
    classifier = fitted_classifier()
    with pytest.raises(NotFittedError):
        saliency_maps(ConvNetClassifier(), X)
    with pytest.raises(TypeError, match="estimator must be"):
        saliency_maps(StandardScaler(), X)
    for options, message in (
        ({"method": "guess"}, "'method' parameter"),
        ({"target": 7}, "target must be among the classes"),
        ({"target": [0]}, "one for each of 24 images"),
        ({"method": "grad_cam", "layer": "conv9"}, "layer must be one of"),
        ({"method": "grad_cam", "layer": "output"}, "layer must be one"),
        ({"method": "occlusion", "baseline": np.zeros(3)}, "baseline must be"),
        ({"n_steps": 0}, "'n_steps' parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            saliency_maps(classifier, X, **options)
