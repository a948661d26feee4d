"""Tests of a fitted network as a function of its images, and of its gradients."""

from unittest.mock import Mock

import numpy as np
import pytest
from cuts import FINE
from numpy.testing import assert_allclose, assert_array_equal
from reference import conv2d
from seeds import generator
from small_classifiers import N_CLASSES, SHAPE, STACKS, assert_is_gradient, fitted_classifier, make_images

from skcnn import BatchNorm, Conv2D, Dense, Dropout, Flatten, GlobalAvgPool2D, Layer, Residual, Tanh
from skcnn.data.images import ImageSource
from skcnn.gradient_check import layer_gradient_error
from skcnn.layers.normalization import ChannelAffine
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.score_gradients import ScoreGradients, make_inference_network
from skcnn.network.threads import worker_pool

X, Y = make_images()

each_stack = pytest.mark.parametrize("kind", list(STACKS))


def coefficients_of(n_rows, n_classes=N_CLASSES):
    return generator(n_rows, n_classes).standard_normal((n_rows, n_classes))


def gradient_of(classifier, images):
    """Return the gradient of random sums of the scores of images."""
    return ScoreGradients(classifier.model_).of_images(images, coefficients_of(len(images)))


def gradient_of_results(classifier, index):
    """Return the gradient of random sums of the scores of X with respect to the results of a node."""
    results = classifier.model_.results(X, index)
    return ScoreGradients(classifier.model_).of_results(results, index, coefficients_of(len(X)))


def assert_gradient(classifier, images):
    """Hold the gradient of a random sum of scores against finite differences of the decision function."""
    (factors,) = coefficients_of(1)
    gradient = ScoreGradients(classifier.model_).of_images(images, np.tile(factors, (len(images), 1)))
    assert_is_gradient(gradient, lambda changed: classifier.decision_function(changed) @ factors, images)


# inference networks


@each_stack
def test_an_inference_network_does_in_training_what_the_network_predicts(kind):
    """It keeps names, places and layers, and changes nothing."""
    classifier = fitted_classifier(STACKS[kind])
    network, before = classifier.network_, classifier.network_.copy()
    inference_network = make_inference_network(network)
    with worker_pool() as pool:
        executor = Executor(inference_network, pool, training=True)
        read = ImageSource(X, classifier.model_.format).read
        found = executor.results(Batch(len(X), read), np.empty((len(X), N_CLASSES)))
        assert executor.buffers == {}
    assert_allclose(found, classifier.decision_function(X), rtol=0, atol=1e-12)
    for node, other in zip(inference_network.nodes[1:], network.nodes[1:], strict=True):
        assert (node.name, node.inputs) == (other.name, other.inputs)
        assert not (node.merges or node.layer.is_random)
        assert node.layer is other.layer or isinstance(other.layer, BatchNorm) or other.layer.is_random
    inference_network.vector += 1
    assert_array_equal(network.vector, before.vector)
    for where, value in before.buffers().items():
        assert_array_equal(network.buffers()[where], value)


def test_the_affine_layer_has_gradients_of_its_parameters():
    class Shaken(ChannelAffine):
        def init_params(self, input_shape, *, activation, dtype, rng):
            params = super().init_params(input_shape, activation=activation, dtype=dtype, rng=rng)
            return {name: value + rng.standard_normal(value.shape) for name, value in params.items()}

    for input_shape in ((3, 4, 2), (5,)):
        assert layer_gradient_error(Shaken(), input_shape) < 1e-7


# scores and results


def test_scores_leave_out_test_time_augmentation():
    plain, augmented = (fitted_classifier(tta=tta) for tta in (None, "flip"))
    assert np.abs(plain.decision_function(X) - augmented.decision_function(X)).max() > 1e-3
    assert_array_equal(augmented.model_.scores(X), plain.decision_function(X))


def test_what_is_not_finite_is_an_error_that_says_of_which_layer_and_image():
    layers = [("wide", Dense(3, activation="relu")), ("narrow", Dense(2))]
    classifier = fitted_classifier(layers, dtype="float32", input_scaling=None)
    classifier.network_.vector[:] = 1e3  # each product is infinite by itself
    images = np.concatenate([X[:2], np.full((1, *SHAPE), 1e38)])
    index = [node.name for node in classifier.network_.nodes].index("wide")
    with pytest.raises(ValueError, match=r"layer 'wide' for sample 2 .* float32"):
        classifier.model_.results(images, index)
    assert np.isfinite(classifier.model_.results(images[:2], index)).all()
    with pytest.raises(ValueError, match=r"scores of sample 2 .* float32"):
        classifier.model_.scores(images)


def test_results_of_layers_are_those_of_naive_ones():
    layers = [("conv", Conv2D(2)), ("res", Residual([("inner", Conv2D(2, 1, activation="tanh"))]))]
    classifier = fitted_classifier(layers, input_scaling=None)
    names = [node.name for node in classifier.network_.nodes]
    params = classifier.network_.params
    conv = conv2d(X.transpose(1, 2, 0, 3), **params["conv"], padding=((1, 1), (1, 1))).transpose(2, 0, 1, 3)
    branch = np.tanh(conv @ params["res__inner"]["weight"][0, 0] + params["res__inner"]["bias"])
    for name, expected in {"conv": conv, "res__inner_tanh": branch, "res": conv + branch}.items():
        results = classifier.model_.results(X, names.index(name))
        assert results.shape == (len(X), *SHAPE)
        assert_allclose(results, expected, rtol=0, atol=1e-12)
    flat = classifier.model_.results(X, names.index("flatten"))
    assert_allclose(flat, (conv + branch).reshape(len(X), -1), rtol=0, atol=1e-12)


def test_results_of_the_input_are_the_scaled_images():
    classifier = fitted_classifier()
    expected = (X - X.mean(axis=(0, 1, 2))) / X.std(axis=(0, 1, 2))
    assert_allclose(classifier.model_.results(X, 0), expected, rtol=0, atol=1e-12)


# gradients


@each_stack
def test_gradients_are_those_of_finite_differences(kind):
    assert_gradient(fitted_classifier(STACKS[kind]), X[:2])


@pytest.mark.parametrize(
    ("layout", "input_scaling"),
    [("flat", None), ("first", None), ("flat, first", "standardize"), ("grey", "standardize")],
)
def test_gradients_have_the_layout_of_the_images(layout, input_scaling):
    images, params = X, {"input_scaling": input_scaling}
    if layout == "grey":
        images = X[..., 0]
    if "first" in layout:
        images = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
        params["data_format"] = "channels_first"
    if "flat" in layout:
        params["image_shape"] = images.shape[1:]
        images = images.reshape(len(X), -1)
    classifier = fitted_classifier(STACKS["normalized convolution"], X=images, y=Y, **params)
    assert_gradient(classifier, images[:2])
    flat = gradient_of(classifier, images.reshape(len(X), -1))
    assert_array_equal(flat.reshape(images.shape), gradient_of(classifier, images))


def test_gradients_in_float32_are_those_in_float64_but_for_rounding():
    """Trainings would drift apart, so that both have the weights and the statistics of the same one."""
    single, double = (
        fitted_classifier(STACKS["normalization elsewhere"], dtype=dtype) for dtype in ("float32", "float64")
    )
    single.network_.vector[:] = double.network_.vector
    single.network_.set_buffers(double.network_.buffers())
    gradient, expected = (gradient_of(net, X) for net in (single, double))
    assert gradient.dtype == np.float32
    assert expected.dtype == np.float64
    assert_allclose(gradient, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_gradients_do_not_depend_on_how_the_images_are_cut(cut_work):
    gradients = ScoreGradients(fitted_classifier(STACKS["residual"]).model_)
    coefficients = coefficients_of(len(X))
    expected = np.concatenate(
        [gradients.of_images(X[row : row + 1], coefficients[row : row + 1]) for row in range(len(X))]
    )
    for cut in (Cut(), Cut(gradient_rows=7), FINE):
        cut_work(cut)
        assert_allclose(gradients.of_images(X, coefficients), expected, rtol=0, atol=1e-12)


def test_a_network_is_converted_once_for_all_gradients(monkeypatch):
    classifier = fitted_classifier(STACKS["normalized convolution"])
    counted = Mock(side_effect=make_inference_network)
    monkeypatch.setattr("skcnn.network.score_gradients.make_inference_network", counted)
    gradients = ScoreGradients(classifier.model_)
    maps = classifier.model_.results(X[:2], 2)
    for _ in range(3):
        gradients.of_images(X[:2], coefficients_of(2))
        gradients.of_results(maps, 2, coefficients_of(2))
    assert counted.call_count == 2


# gradients with respect to results of layers


def test_the_gradient_in_front_of_the_output_layer_are_its_weights():
    classifier = fitted_classifier(STACKS["residual"])
    gradient = gradient_of_results(classifier, len(classifier.network_.nodes) - 2)
    expected = coefficients_of(len(X)) @ classifier.network_.params["output"]["weight"].T
    assert_allclose(gradient, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["residual", "parallel"])
def test_the_gradient_of_the_first_results_is_that_of_the_scaled_images(kind):
    classifier = fitted_classifier(STACKS[kind])
    gradient = gradient_of_results(classifier, 0)
    expected = gradient_of(classifier, X) * X.std(axis=(0, 1, 2))
    assert_allclose(gradient, expected, rtol=0, atol=1e-12)


# layers of one's own


class Negative(Layer):
    """Does the same in training and in prediction."""

    def forward(self, params, X, unit, *, training, out):
        return np.negative(X, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.negative(dY, out=out)


class Doubled(Negative):
    """Computes something else in training."""

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, -2 if training else -1, out=out)


class Noisy(Negative):
    """Draws in training, and does not say so."""

    def forward(self, params, X, unit, *, training, out):
        return np.add(X, unit.rng.standard_normal(X.shape) if training else 0, out=out)


class OwnDropout(Dropout):
    """May drop anything, as classes derived from others may."""


class OwnBatchNorm(BatchNorm):
    """May normalize by anything."""


def test_a_layer_of_ones_own_has_gradients():
    assert_gradient(fitted_classifier([Conv2D(2, activation="tanh"), Negative(), Dense(3)]), X[:2])


@pytest.mark.parametrize("kind", [Doubled, Noisy, OwnDropout, OwnBatchNorm])
def test_a_layer_that_changes_in_training_is_named(kind):
    layers = [("conv", Conv2D(2)), ("res", Residual([("inner", kind()), ("tanh", Tanh())]))]
    with pytest.raises(ValueError, match=rf"layer 'res__inner', {kind.__name__}\(\)"):
        gradient_of(fitted_classifier(layers), X)


def test_a_change_in_training_that_is_not_found_again_is_one_of_the_network():
    """As of a layer that is another one each time."""

    class Once(Negative):
        n_calls = 0

        def forward(self, params, X, unit, *, training, out):
            Once.n_calls += training
            return np.add(X, training and Once.n_calls == 1, out=out)

    classifier = fitted_classifier([Flatten(), Once()])
    Once.n_calls = 0
    with pytest.raises(ValueError, match="the network computes something else"):
        gradient_of(classifier, X)


def test_layers_in_front_do_not_matter_for_gradients_of_results():
    classifier = fitted_classifier([Doubled(), Conv2D(2), GlobalAvgPool2D()])
    assert np.isfinite(gradient_of_results(classifier, 2)).all()
    with pytest.raises(ValueError, match="layer 'doubled_1', "):
        gradient_of_results(classifier, 0)


def test_a_small_change_in_training_is_seen_in_float64():
    class Slightly(Negative):
        def forward(self, params, X, unit, *, training, out):
            return np.multiply(X, 1 + 1e-5 * training, out=out)

    classifier = fitted_classifier([Flatten(), ("slightly", Slightly()), Dense(3)])
    with pytest.raises(ValueError, match="layer 'slightly'"):
        gradient_of(classifier, X)
