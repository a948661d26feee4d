"""Saliency maps against PyTorch: gradients by autograd, Grad-CAM by autograd and its own interpolation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from parity.in_torch import (
    TorchNetwork,
    average_pool,
    batch_norm,
    conv2d,
    dropout,
    flatten,
    functional,
    group_norm,
    max_pool,
    parallel,
    residual,
    torch,
)
from seeds import generator
from small_classifiers import N_CLASSES, STACKS, fitted_classifier, make_images

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GroupNorm,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    ReLU,
    Residual,
    SpatialDropout2D,
    Tanh,
)
from skcnn.inspection import saliency_maps

FUNCTIONS = {
    AvgPool2D: average_pool,
    BatchNorm: batch_norm,
    Conv2D: conv2d,
    Dense: lambda layer, X, weight, bias: functional.linear(X, weight.T, bias),
    Dropout: dropout,
    Flatten: flatten,
    GlobalAvgPool2D: lambda layer, X: X.mean((2, 3)),
    GroupNorm: group_norm,
    LeakyReLU: lambda layer, X: functional.leaky_relu(X, layer.negative_slope),
    MaxPool2D: max_pool,
    Parallel: parallel,
    ReLU: lambda layer, X: functional.relu(X),
    Residual: residual,
    SpatialDropout2D: dropout,
    Tanh: lambda layer, X: torch.tanh(X),
}

BENT_STACKS = {
    "two sizes": [
        ("conv1", Conv2D(4, activation="relu")),
        ("norm1", BatchNorm()),
        ("pool1", MaxPool2D()),
        ("conv2", Conv2D(5, activation="relu")),
        ("dense1", Dense(6, activation="relu")),
    ],
    "residual": [
        ("conv1", Conv2D(4)),
        ("res1", Residual([Conv2D(6, strides=2), BatchNorm(), ReLU(), Conv2D(6)], activation=LeakyReLU(0.3))),
        ("pool", GlobalAvgPool2D()),
    ],
}

SHAPE, TARGET = (9, 6, 2), 1
X, Y = make_images(shape=SHAPE)


class Recording(TorchNetwork):
    """Keeps the result of each block, of a block with an activation that after it, and its gradient."""

    def __init__(self, functions, parameters):
        super().__init__(functions, parameters)
        self.results = {}

    def __call__(self, name, block, X):
        self.results[name] = result = super().__call__(name, block, X)
        if result.requires_grad:
            result.retain_grad()
        return result


def torch_scores(classifier, images):
    """Return PyTorch's scores of images (n, h, w, c), a tensor to differentiate by, and the network."""
    parameters = {
        name: {key: torch.tensor(value) for key, value in values.items()}
        for name, values in classifier.network_.params.items()
    }
    network = Recording(FUNCTIONS, parameters)
    mean, deviation = torch.tensor(X.mean(axis=(0, 1, 2))), torch.tensor(X.std(axis=(0, 1, 2)))
    scaled = (images - mean) / deviation
    return network.stack(classifier.layers, scaled.permute(0, 3, 1, 2)), network


def torch_gradient(classifier, images):
    leaf = torch.tensor(images, requires_grad=True)
    scores, _ = torch_scores(classifier, leaf)
    scores[:, TARGET].sum().backward()
    return leaf.grad.numpy()


def assert_same(found, expected):
    assert np.abs(expected).max() > 0
    assert_allclose(found, expected, rtol=0, atol=1e-10 * max(1.0, np.abs(expected).max()))


NETWORKS = STACKS | {f"{kind}, bent": layers for kind, layers in BENT_STACKS.items()}

each_network = pytest.mark.parametrize("layers", list(NETWORKS.values()), ids=list(NETWORKS))


@each_network
def test_the_two_networks_have_the_same_scores(layers):
    classifier = fitted_classifier(layers, X=X, y=Y)
    scores, _ = torch_scores(classifier, torch.tensor(X))
    assert_same(classifier.decision_function(X), scores.numpy())


@each_network
def test_gradients_are_those_of_autograd(layers):
    classifier = fitted_classifier(layers, X=X, y=Y)
    assert_same(saliency_maps(classifier, X[:5], target=TARGET), torch_gradient(classifier, X[:5]))


@each_network
def test_integrated_gradients_are_the_mean_of_those_of_autograd(layers):
    classifier = fitted_classifier(layers, X=X, y=Y)
    baseline = generator(1).normal(2, 1, SHAPE)
    found = saliency_maps(
        classifier, X[:2], method="integrated_gradients", target=TARGET, baseline=baseline, n_steps=7
    )
    shares = (np.arange(7) + 0.5) / 7
    gradients = [torch_gradient(classifier, baseline + share * (X[:2] - baseline)) for share in shares]
    assert_same(found, np.mean(gradients, axis=0) * (X[:2] - baseline))


def assert_grad_cam(layers, layer, *, looked_at):
    """Hold the maps for each class, of which one may be zero everywhere, against PyTorch's."""
    classifier = fitted_classifier(layers, X=X, y=Y)
    found, expected = [], []
    for target in range(N_CLASSES):
        found.append(saliency_maps(classifier, X, method="grad_cam", target=target, layer=looked_at))
        scores, network = torch_scores(classifier, torch.tensor(X, requires_grad=True))
        scores[:, target].sum().backward()
        maps = network.results[layer]
        heat = functional.relu((maps.grad.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True))
        enlarged = functional.interpolate(heat, size=SHAPE[:2], mode="bilinear", align_corners=False)
        expected.append(enlarged[:, 0].detach().numpy())
    assert_same(np.array(found), np.array(expected))


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("two sizes", "conv1"),
        ("two sizes", "norm1"),
        ("two sizes", "pool1"),
        ("two sizes", "conv2"),
        ("residual", "conv1"),
        ("residual", "res1"),
    ],
)
def test_grad_cam_is_that_of_autograd_and_interpolate(kind, layer):
    assert_grad_cam(BENT_STACKS[kind], layer, looked_at=layer)


@pytest.mark.parametrize(("kind", "layer"), [("two sizes", "conv2"), ("residual", "res1")])
def test_grad_cam_without_a_layer_is_that_of_the_last_that_convolves(kind, layer):
    """After its activation, and after the sum of a residual block."""
    assert_grad_cam(BENT_STACKS[kind], layer, looked_at=None)
