"""PatchWhitening: what it makes of patches, against scikit-learn's PCA."""

import numpy as np
import pytest
from reference import run_forward
from seeds import generator
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d

from skcnn.layers import PatchWhitening

SHAPE = (6, 7, 3)
MIXING = np.array([[2.0, 0.5, 0.0], [0.0, 1.2, 0.3], [0.4, 0.0, 0.7]])
"""What each channel has of three that vary by themselves: none hardly at all, and no two alike."""


def draw_images(n_images=60, seed=3):
    """Return images (h, w, n, c) whose neighbours are alike, with a mean, and their weights."""
    rng = generator(seed)
    noise = rng.normal(size=(SHAPE[0] + 2, SHAPE[1] + 2, n_images, SHAPE[2])) @ MIXING
    smooth = sum(noise[i : i + SHAPE[0], j : j + SHAPE[1]] for i in range(3) for j in range(3))
    return smooth + rng.normal(0, 4, 3), rng.uniform(0.2, 2, n_images)


def fit_params(layer, X, weights=None, dtype=np.float64):
    """Return parameters that come from images, given in two chunks."""
    shape = (*X.shape[:2], X.shape[3])
    params = layer.init_params(shape, activation=None, dtype=np.dtype(dtype), rng=generator(0))
    cuts = [slice(0, 20), slice(20, None)]
    chunks = [(X[:, :, cut].astype(dtype), None if weights is None else weights[cut]) for cut in cuts]
    layer.init_from_data(params, iter(chunks))
    return params


def patches_of(X, size):
    images = X.transpose(2, 0, 1, 3)
    rows = [extract_patches_2d(image, size).reshape(-1, np.prod(size) * X.shape[3]) for image in images]
    return np.concatenate(rows)


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (1, 1)])
def test_results_are_uncorrelated_with_unit_variance(size):
    """Over all windows within the images; the second half of the filters has the other sign."""
    X, _ = draw_images()
    layer = PatchWhitening(kernel_size=size, padding="valid", epsilon=1e-12)
    Y, _ = run_forward(layer, fit_params(layer, X), X, training=False)
    n_values = np.prod(size) * 3
    rows = Y.reshape(-1, 2 * n_values)
    np.testing.assert_allclose(rows[:, n_values:], -rows[:, :n_values], rtol=0, atol=1e-10)
    np.testing.assert_allclose(rows.mean(axis=0), 0, rtol=0, atol=1e-8)
    moments = np.cov(rows[:, :n_values], rowvar=False, bias=True)
    np.testing.assert_allclose(moments, np.eye(n_values), rtol=0, atol=1e-6)


def test_filters_are_the_leading_components_of_scikit_learn():
    """Divided by deviations, up to the sign."""
    X, _ = draw_images()
    params = fit_params(PatchWhitening(10, 2, epsilon=1e-12), X)
    pca = PCA(5, svd_solver="full").fit(patches_of(X, (2, 2)))
    n = len(patches_of(X, (2, 2)))
    expected = pca.components_ / np.sqrt(pca.explained_variance_ * (n - 1) / n)[:, np.newaxis]
    actual = params["weight"].reshape(12, 10).T[:5]
    signs = np.sign((actual * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(signs * actual, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_epsilon_is_a_share_of_the_mean_variance():
    X, _ = draw_images()
    variances = np.linalg.eigvalsh(np.cov(patches_of(X, (2, 2)), rowvar=False, bias=True))[::-1]
    weight = fit_params(PatchWhitening(epsilon=0.3), X)["weight"].reshape(12, 24)
    norms = np.linalg.norm(weight[:, :12], axis=0)
    np.testing.assert_allclose(norms, 1 / np.sqrt(variances + 0.3 * variances.mean()), rtol=1e-8)


def test_weights_equal_repetition():
    """Signs included, which come from the eigenvectors of a slightly different matrix."""
    X, _ = draw_images(n_images=30)
    repeats = generator(0).integers(1, 4, 30)
    layer = PatchWhitening()
    weighted = fit_params(layer, X, repeats.astype(float))
    repeated = fit_params(layer, np.repeat(X, repeats, axis=2))
    for name in ("weight", "bias"):
        largest = np.abs(weighted[name]).max()
        np.testing.assert_allclose(weighted[name], repeated[name], rtol=0, atol=1e-9 * largest)


@pytest.mark.parametrize(
    ("value", "dtype", "weighted"),
    [(0.1, np.float32, True), (0.3, np.float64, False), (5.0, np.float64, True), (-1e6, np.float32, False)],
)
def test_images_that_never_change_give_filters_of_unit_length(value, dtype, weighted):
    """Not those of rounding errors, divided by their deviation."""
    weights = generator(1).uniform(0.2, 2, 60) if weighted else None
    params = fit_params(PatchWhitening(), np.full((*SHAPE[:2], 60, 3), value), weights, dtype)
    np.testing.assert_allclose(np.linalg.norm(params["weight"].reshape(12, 24), axis=0), 1, rtol=1e-6)


def test_images_that_never_change_become_zero():
    params = fit_params(PatchWhitening(), np.full((*SHAPE[:2], 40, 3), 5.0))
    X = np.full((*SHAPE[:2], 2, 3), 5.0)
    Y, _ = run_forward(PatchWhitening(padding="valid"), params, X, training=False)
    np.testing.assert_allclose(Y, 0, rtol=0, atol=1e-10)


def test_float32_whitens_as_well_as_its_digits_allow():
    """Errors of a covariance are relative to its largest variance, and filters divide by the smallest."""
    X, weights = draw_images()
    weight = fit_params(PatchWhitening(epsilon=1e-9), X, weights, np.float32)["weight"]
    assert weight.dtype == np.float32
    rows = patches_of(X, (2, 2))
    covariance = np.cov(rows, rowvar=False, bias=True, aweights=np.repeat(weights, len(rows) // len(weights)))
    variances = np.linalg.eigvalsh(covariance)
    filters = weight.reshape(12, 24)[:, :12].astype(np.float64)
    tolerance = 100 * np.finfo(np.float32).eps * variances[-1] / variances[0]
    np.testing.assert_allclose(filters.T @ covariance @ filters, np.eye(12), rtol=0, atol=tolerance)
    assert tolerance < 0.2


def test_squares_that_overflow_are_refused():
    with np.errstate(all="ignore"):
        with pytest.raises(ValueError, match="not finite in float32"):
            fit_params(PatchWhitening(), draw_images()[0] * 1e30, dtype=np.float32)


def test_filters_that_would_not_be_finite_are_refused():
    """Those of a channel that does not vary, beside others that hardly do, and next to no epsilon."""
    X = 1e-15 * draw_images()[0]
    X[..., 1] = 0
    with pytest.raises(ValueError, match="too little .* in float32"):
        fit_params(PatchWhitening(kernel_size=1, epsilon=1e-60), X, dtype=np.float32)
    fit_params(PatchWhitening(kernel_size=1), X, dtype=np.float32)


@pytest.mark.parametrize(("filters", "kernel_size"), [(3, 2), (26, 2), (8, 1)])
def test_other_numbers_of_filters_are_refused(filters, kernel_size):
    with pytest.raises(ValueError, match=f"filters .* got {filters}"):
        PatchWhitening(filters, kernel_size).output_shape(SHAPE)
    assert PatchWhitening(kernel_size=(1, 2)).output_shape(SHAPE) == (6, 7, 12)  # all directions


def test_a_patch_must_lie_within_the_image():
    with pytest.raises(ValueError, match=r"kernel_size=\(2, 2\) is larger than the image"):
        PatchWhitening().output_shape((1, 9, 2))
