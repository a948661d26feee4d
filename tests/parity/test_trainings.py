"""Whole trainings of the networks of the benchmarks by ConvNetClassifier, step by step against PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
from benchmark_scripts import functions_of
from parity.in_torch import WeightedBatchNorm, functional, torch

from skcnn import ConvNetClassifier

N_SAMPLES, BATCH_SIZE, N_EPOCHS = 32, 8, 5
"""Twenty steps, through the same four minibatches again and again."""

ALPHA = 1e-3

benchmarks = functions_of("networks.py")


def normalize(network):
    """Return a network with batch normalization after each convolution."""
    layers = [
        (kind, {**numbers, "normalized": True} if kind == "conv" else numbers)
        for kind, numbers in network.layers
    ]
    return replace(network, layers=layers)


NETWORKS = benchmarks["NETWORKS"] | {
    f"{name} normalized": normalize(benchmarks["NETWORKS"][name]) for name in ("W1", "W4")
}


SOLVERS = {
    "adam": ({"learning_rate_init": 2e-3}, lambda weights: torch.optim.Adam(weights, 2e-3)),
    "sgd": (
        {"learning_rate_init": 0.02, "momentum": 0.9, "nesterovs_momentum": True},
        lambda weights: torch.optim.SGD(weights, 0.02, momentum=0.9, nesterov=True),
    ),
    "rmsprop": (  # its first step is ten times the learning rate for each weight
        {"learning_rate_init": 2e-4, "beta_2": 0.99},
        lambda weights: torch.optim.RMSprop(weights, 2e-4, alpha=0.99),
    ),
}
"""Parameters of the estimator for each solver, and PyTorch's optimizer of the same arithmetic."""


def draw_samples(network):
    """Return images with a patch at a place of their class, so that there is something to learn."""
    X = np.random.default_rng(0).standard_normal((N_SAMPLES, *network.image_shape))
    y = np.arange(N_SAMPLES) % 10
    for image, code in zip(X, y, strict=True):
        row, column = divmod(int(code), 4)
        image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 2
    return X, y


def estimator(network, **parameters):
    layers = benchmarks["skcnn_layers"](network)
    plain = {"input_scaling": None, "averaging": None}
    return ConvNetClassifier(layers, alpha=ALPHA, random_state=3, **(plain | parameters))


class Twin:
    """The network in PyTorch with the initial weights of the estimator, and its optimizer."""

    def __init__(self, network, make_optimizer, X, y, weights):
        self.module = benchmarks["torch_module"](network).double()
        for index, layer in enumerate(self.module):
            if weights is not None and isinstance(layer, torch.nn.BatchNorm2d):
                self.module[index] = WeightedBatchNorm(layer.num_features, dtype=torch.float64)
        self._copy_initial_weights(network, X, y)
        self.optimizer = make_optimizer(self.module.parameters())
        weights = np.ones(len(y)) if weights is None else weights / weights.mean()
        self.X, self.y = torch.tensor(X).permute(0, 3, 1, 2), torch.tensor(y)
        self.weights = torch.tensor(weights)

    def _copy_initial_weights(self, network, X, y):
        """Take them from an estimator with the same seed, whose only step is too small for any change."""
        still = estimator(network, solver="sgd", learning_rate_init=1e-300)
        built = still.partial_fit(X, y, classes=np.arange(10)).network_
        params = [built.params[node.name] for node in built.nodes if node.name in built.params]
        layers = [layer for layer in self.module if list(layer.parameters())]
        input_shapes = iter([shape for kind, _, shape, _ in benchmarks["walk"](network) if kind == "dense"])
        for layer, values in zip(layers, params, strict=True):
            weight = values.get("weight", values.get("scale"))
            if isinstance(layer, torch.nn.Conv2d):
                weight = weight.transpose(3, 2, 0, 1)
            elif isinstance(layer, torch.nn.Linear):  # PyTorch flattens channel by channel
                weight = weight.T.reshape(-1, *next(input_shapes))
                weight = np.moveaxis(weight, -1, 1).reshape(len(weight), -1)
            layer.weight.data[...] = torch.tensor(np.ascontiguousarray(weight))
            bias = values.get("bias", values.get("shift"))
            assert (bias is None) == (layer.bias is None)
            if bias is not None:
                layer.bias.data[...] = torch.tensor(bias)

    def step(self, rows):
        """Take a step and return the loss before it, with the penalty on weights but not on biases."""
        for layer in self.module:
            if isinstance(layer, WeightedBatchNorm):
                layer.sample_weights = self.weights[rows]
        losses = functional.cross_entropy(self.module(self.X[rows]), self.y[rows], reduction="none")
        penalty = sum((weight**2).sum() for weight in self.module.parameters() if weight.ndim > 1)
        loss = (self.weights[rows] * losses).mean() + ALPHA / 2 * penalty
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


@pytest.mark.parametrize(
    ("name", "solver", "weighted"),
    [(name, "adam", weighted) for name in NETWORKS for weighted in (False, True)]
    + [(name, solver, True) for name in ("W1", "W4 normalized") for solver in ("sgd", "rmsprop")],
)
def test_twenty_steps_are_those_of_pytorch(name, solver, weighted):
    """The loss of each; weights count in it, and in the statistics of a normalization."""
    network, (parameters, make_optimizer) = NETWORKS[name], SOLVERS[solver]
    X, y = draw_samples(network)
    weights = np.random.default_rng(1).uniform(0.2, 3, N_SAMPLES) if weighted else None
    clf = estimator(network, solver=solver, batch_size=BATCH_SIZE, max_iter=N_EPOCHS, tol=0, **parameters)
    clf.set_params(shuffle=False).fit(X, y, weights)
    twin = Twin(network, make_optimizer, X, y, weights)
    starts = range(0, N_SAMPLES, BATCH_SIZE)
    losses = [[twin.step(slice(start, start + BATCH_SIZE)) for start in starts] for _ in range(N_EPOCHS)]
    assert clf.network_.dtype == np.float64
    np.testing.assert_allclose(clf.batch_losses_, np.ravel(losses), rtol=0, atol=1e-9)
    means = np.mean(losses, axis=1)
    np.testing.assert_allclose(clf.loss_curve_, means, rtol=0, atol=1e-9)
    assert means[-1] < 0.95 * means[0]
