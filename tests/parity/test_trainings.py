"""Whole trainings of the networks of the benchmarks by ConvNetClassifier, step by step against PyTorch."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from benchmark_scripts import functions_of
from parity.in_torch import WeightedBatchNorm, functional, torch

from skcnn import ConvNetClassifier

N_STEPS, N_MINIBATCHES, N_SAMPLES = 20, 4, 8
"""Steps, the minibatches that they go through again and again, and the samples of each."""

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


class Solver(NamedTuple):
    """Parameters of the estimator, and PyTorch's optimizer of the same arithmetic."""

    parameters: dict
    make: object


SOLVERS = {
    "adam": Solver(
        {"solver": "adam", "learning_rate_init": 2e-3}, lambda weights: torch.optim.Adam(weights, 2e-3)
    ),
    "sgd": Solver(
        {"solver": "sgd", "learning_rate_init": 0.02, "momentum": 0.9, "nesterovs_momentum": True},
        lambda weights: torch.optim.SGD(weights, 0.02, momentum=0.9, nesterov=True),
    ),
    "rmsprop": Solver(  # its first step is ten times the learning rate for each weight
        {"solver": "rmsprop", "learning_rate_init": 2e-4, "beta_2": 0.99},
        lambda weights: torch.optim.RMSprop(weights, 2e-4, alpha=0.99),
    ),
}


class Samples(NamedTuple):
    """Images (n, height, width, channels), codes of their classes, and weights or None."""

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None

    def part(self, rows):
        return Samples(self.X[rows], self.y[rows], None if self.weights is None else self.weights[rows])


def draw_samples(network, n_samples, *, weighted, seed=0):
    """Draw images with a patch at a place of their class, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, *network.image_shape))
    y = rng.integers(0, 10, n_samples)
    for image, code in zip(X, y, strict=True):
        row, column = divmod(int(code), 4)
        image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 2
    return Samples(X, y, rng.uniform(0.2, 3, n_samples) if weighted else None)


def estimator(network, **parameters):
    layers = benchmarks["skcnn_layers"](network)
    plain = {"input_scaling": None, "averaging": None}
    return ConvNetClassifier(layers, alpha=ALPHA, random_state=3, **(plain | parameters))


class Twin:
    """The network in PyTorch with the initial weights of the estimator, and its optimizer.

    Parameters
    ----------
    network : Network
        As the benchmarks describe it.
    solver : Solver
    samples : Samples
        To build the estimator with.
    mean_weight : float
        Weight of a sample that counts once.
    """

    def __init__(self, network, solver, samples, mean_weight):
        self.module = benchmarks["torch_module"](network).double()
        if samples.weights is not None:
            for index, layer in enumerate(self.module):
                if isinstance(layer, torch.nn.BatchNorm2d):
                    self.module[index] = WeightedBatchNorm(layer.num_features, dtype=torch.float64)
        self.mean_weight = mean_weight
        self._copy_initial_weights(network, samples)
        self.optimizer = solver.make(self.module.parameters())

    def _copy_initial_weights(self, network, samples):
        """Take them from an estimator with the same seed, whose only step is too small for any change."""
        still = estimator(network, solver="sgd", learning_rate_init=1e-300)
        still.partial_fit(samples.X, samples.y, classes=np.arange(10), sample_weight=samples.weights)
        built = still.network_
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

    def step(self, samples):
        """Take a step and return the loss before it, with the penalty on weights but not on biases."""
        weights = torch.ones(len(samples.y)) if samples.weights is None else torch.tensor(samples.weights)
        for layer in self.module:
            if isinstance(layer, WeightedBatchNorm):
                layer.sample_weights = weights
        scores = self.module(torch.tensor(samples.X).permute(0, 3, 1, 2))
        losses = functional.cross_entropy(scores, torch.tensor(samples.y), reduction="none")
        penalty = sum((weight**2).sum() for weight in self.module.parameters() if weight.ndim > 1)
        loss = (weights * losses).mean() / self.mean_weight + ALPHA / 2 * penalty
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def assert_equal_and_falling(losses, expected, period=1):
    """Hold the losses against PyTorch's, and see that training got somewhere."""
    assert len(losses) == N_STEPS
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-9)
    assert np.mean(losses[-period:]) < 0.95 * np.mean(losses[:period])


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_twenty_steps_are_those_of_pytorch(name, solver, weighted):
    """Weights count in the loss, and in the statistics of a normalization."""
    network, solver = NETWORKS[name], SOLVERS[solver]
    samples = draw_samples(network, N_MINIBATCHES * N_SAMPLES, weighted=weighted)
    starts = range(0, len(samples.y), N_SAMPLES)
    minibatches = [samples.part(slice(start, start + N_SAMPLES)) for start in starts]
    minibatches *= N_STEPS // N_MINIBATCHES
    first = minibatches[0]
    twin = Twin(network, solver, first, 1.0 if first.weights is None else first.weights.mean())
    clf = estimator(network, **solver.parameters)
    for part in minibatches:
        clf.partial_fit(part.X, part.y, classes=np.arange(10), sample_weight=part.weights)
    assert clf.network_.dtype == np.float64
    assert_equal_and_falling(clf.loss_curve_, [twin.step(part) for part in minibatches], N_MINIBATCHES)


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("name", ["W1", "W1 normalized"])
@pytest.mark.parametrize("batch_size", [30, 10])
def test_a_fit_is_that_of_pytorch(name, weighted, batch_size):
    """The mean loss of each epoch, of one step or of three."""
    network, solver = NETWORKS[name], SOLVERS["adam"]
    samples = draw_samples(network, 30, weighted=weighted)
    samples = samples._replace(y=np.arange(30) % 10)
    twin = Twin(network, solver, samples, 1.0 if samples.weights is None else samples.weights.mean())
    clf = estimator(
        network, **solver.parameters, batch_size=batch_size, shuffle=False, max_iter=N_STEPS, tol=0
    )
    clf.fit(samples.X, samples.y, sample_weight=samples.weights)
    minibatches = [samples.part(slice(start, start + batch_size)) for start in range(0, 30, batch_size)]
    expected = [np.mean([twin.step(part) for part in minibatches]) for _ in range(N_STEPS)]
    assert_equal_and_falling(clf.loss_curve_, expected)
