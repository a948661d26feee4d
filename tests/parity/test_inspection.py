"""Saliency maps against PyTorch: gradients by autograd, Grad-CAM by autograd and its own interpolation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from parity.in_torch import FUNCTIONS, TorchNetwork, functional, torch
from seeds import generator
from small_classifiers import N_CLASSES, STACKS, fitted_classifier, make_images

from skcnn import BatchNorm, Conv2D, Dense, GlobalAvgPool2D, LeakyReLU, MaxPool2D, ReLU, Residual
from skcnn.inspection import saliency_maps

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


@pytest.mark.parametrize("layers", list(NETWORKS.values()), ids=list(NETWORKS))
def test_integrated_gradients_are_the_mean_of_those_of_autograd(layers):
    classifier = fitted_classifier(layers, X=X, y=Y)
    baseline = generator(1).normal(2, 1, SHAPE)
    found = saliency_maps(
        classifier, X[:2], method="integrated_gradients", target=TARGET, baseline=baseline, n_steps=7
    )
    shares = (np.arange(7) + 0.5) / 7
    gradients = [torch_gradient(classifier, baseline + share * (X[:2] - baseline)) for share in shares]
    assert_same(found, np.mean(gradients, axis=0) * (X[:2] - baseline))


@pytest.mark.parametrize(
    ("kind", "layers"), [("two sizes", ["conv1", "norm1", "pool1", "conv2"]), ("residual", ["conv1", "res1"])]
)
def test_grad_cam_is_that_of_autograd_and_interpolate(kind, layers):
    """For each class, of which one may have a map of zeros.

    Without a layer, that of the last that convolves: after its activation or the sum of a block.
    """
    classifier = fitted_classifier(BENT_STACKS[kind], X=X, y=Y)
    for layer, looked_at in [*zip(layers, layers, strict=True), (layers[-1], None)]:
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
