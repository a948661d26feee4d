"""Weights of PyTorch's networks in stacks of layers of the same shape: the same scores."""

import numpy as np
import pytest
from parity.in_torch import torch
from seeds import SEED

from skcnn import (
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GroupNorm,
    LayerNorm,
    MaxPool2D,
    Parallel,
    PReLU,
    ReLU,
    Residual,
    Tanh,
)
from skcnn.files import classifier_from_weights, weights_from_torch
from skcnn.tensor_file import write_tensors

nn = torch.nn
SHAPE, N_CLASSES = (6, 5, 4), 3


class Flattened(nn.Module):
    """Flattens the results of two branches, and puts them side by side."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 3, 3), nn.Conv2d(4, 2, 3, padding=1)
        self.norm, self.last = nn.BatchNorm1d(96), nn.Linear(96, N_CLASSES)

    def forward(self, X):
        joined = torch.cat([self.first(X).flatten(1), self.second(X).flatten(1)], 1)
        return self.last(self.norm(joined))


class Added(nn.Module):
    """Adds flattened images to themselves, normalized."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 3, 3, bias=False)
        self.norm, self.last = nn.BatchNorm1d(36), nn.Linear(36, N_CLASSES)

    def forward(self, X):
        flat = self.conv(X).flatten(1)
        return self.last(torch.relu(flat + self.norm(flat)))


CASES = {
    "groups": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2),
            nn.BatchNorm2d(8),
            nn.PReLU(),
            nn.Conv2d(8, 6, (2, 1), bias=False),
            nn.GroupNorm(3, 6),
            nn.PReLU(6),
            nn.Flatten(),
            nn.Linear(36, 5),
            nn.LayerNorm(5),
            nn.Tanh(),
            nn.Linear(5, N_CLASSES),
        ),
        [
            Conv2D(8, 3, strides=2, padding=1, groups=2),
            BatchNorm(),
            PReLU(),
            Conv2D(6, (2, 1), padding="valid", use_bias=False),
            GroupNorm(3),
            PReLU(),
            Dense(5),
            LayerNorm(),
            Tanh(),
        ],
    ),
    "depthwise": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 8, 3, padding=1, groups=4),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.BatchNorm1d(48),
            nn.PReLU(48),
            nn.Dropout(),
            nn.Linear(48, N_CLASSES, bias=True),
        ),
        [DepthwiseConv2D(3, depth_multiplier=2), MaxPool2D(), Flatten(), BatchNorm(), PReLU(), Dropout()],
    ),
    "pooled": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, N_CLASSES)
        ),
        [Conv2D(8, padding="valid"), ReLU(), GlobalAvgPool2D()],
    ),
    "side by side": (
        Flattened,
        [Parallel([[Conv2D(3, padding="valid"), Flatten()], [Conv2D(2), Flatten()]]), BatchNorm()],
    ),
    "added": (
        Added,
        [
            Conv2D(3, padding="valid", use_bias=False),
            Flatten(),
            Residual([BatchNorm()], activation="relu"),
        ],
    ),
}


def random_network(make, dtype):
    torch.manual_seed(SEED)
    network = make().to(dtype).eval()
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.3, 1).mul_(torch.randn_like(value).sign() if value.ndim > 1 else 1)
    return network


def assert_same_scores(network, images, classifier):
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    tolerance = 20 * np.finfo(images.dtype).eps * np.abs(expected).max()
    np.testing.assert_allclose(classifier.decision_function(images), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_the_scores_are_the_same(case, dtype):
    make, layers = CASES[case]
    network = random_network(make, getattr(torch, dtype))
    weights = weights_from_torch(network.state_dict(), layers, SHAPE)
    classifier = classifier_from_weights(
        layers, weights, range(N_CLASSES), (4, 6, 5), dtype=dtype, data_format="channels_first"
    )
    images = np.random.default_rng(SEED).normal(size=(7, 4, 6, 5)).astype(dtype)
    assert_same_scores(network, images, classifier)


def test_a_file_of_safetensors_gives_the_same_weights(tmp_path):
    """It is in alphabetical order, which the numbers in the names tell from that of the modules."""
    save_file = pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save_file
    network = nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(12)), nn.Flatten(), nn.Linear(120, N_CLASSES))
    layers = [Conv2D(4, 1) for _ in range(12)]
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    weights = weights_from_torch(network.state_dict(), layers, SHAPE)
    from_file = weights_from_torch(tmp_path / "network.safetensors", layers, SHAPE)
    assert weights.keys() == from_file.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(from_file[name], value)


def test_half_precision_is_read_from_files_and_named_in_tensors(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(120, N_CLASSES)).to(torch.bfloat16)
    state_dict = network.state_dict()
    with pytest.raises(ValueError, match=r"state_dict\['1.weight'\] is no array"):
        weights_from_torch(state_dict, [], SHAPE)
    halves = {key: value.to(torch.float16) for key, value in state_dict.items()}
    write_tensors(tmp_path / "network", {key: value.numpy() for key, value in halves.items()}, {})
    weights = weights_from_torch(tmp_path / "network", [], SHAPE)
    np.testing.assert_array_equal(weights["output/bias"], halves["1.bias"].numpy())
