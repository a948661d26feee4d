"""Averages of weights and their statistics against torch.optim.swa_utils."""

from dataclasses import replace

import numpy as np
import pytest
from parity.in_torch import torch
from parity.trainings import draw_rows
from small_trainings import make_data, make_network, normalized_network, objective, take_steps, train

from skcnn.layers import BatchNorm, Dense, ReLU
from skcnn.network.threads import worker_pool
from skcnn.training.optimizers import Adam
from skcnn.training.recalibration import make_averaged_network
from skcnn.training.state import TrainingState
from skcnn.training.weight_averaging import ExponentialAverage, StochasticWeightAverage

swa_utils = torch.optim.swa_utils


class Vector(torch.nn.Module):
    """All weights of a network as the one parameter of a module."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.vector = torch.nn.Parameter(torch.tensor(network.vector))

    def follow(self):
        """Take over the weights that the network has now."""
        self.vector.data = torch.tensor(self.network.vector)


def vector_of(averaged):
    return averaged.module.vector.detach().numpy()


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.999])
def test_the_exponential_average_with_its_growing_decay_is_an_averaged_model(decay):
    network, data, state = make_network(), make_data(), TrainingState(seed=7)

    def average(averaged, current, n):
        kept = min(decay, (1 + int(n)) / (10 + int(n)))
        return kept * averaged + (1 - kept) * current

    module = Vector(network)
    averaged = swa_utils.AveragedModel(module, avg_fn=average)
    goal = objective(optimizer=Adam(), averaging=ExponentialAverage(decay))
    rows = draw_rows(np.random.default_rng(0), 20)
    for _ in take_steps(network, data, goal, rows, state, learning_rate=0.05):
        module.follow()
        averaged.update_parameters(module)
        np.testing.assert_allclose(state.slots["average"], vector_of(averaged), rtol=0, atol=1e-12)
    assert averaged.n_averaged == state.n_averaged == len(rows)


@pytest.mark.parametrize(("start", "first"), [(0.0, 1), (0.4, 3), (0.75, 4)])
def test_the_equal_average_is_an_averaged_model(start, first):
    """Of the epochs from the first that is taken; training goes on one epoch at a time."""
    network, data = make_network(), make_data()
    module = Vector(network)
    averaged = swa_utils.AveragedModel(module)
    state = TrainingState(seed=7)
    for epoch in range(1, 6):
        train(network, data, objective(optimizer=Adam()), 1, state)
        module.follow()
        if epoch >= first:
            averaged.update_parameters(module)
    other, other_state = make_network(), TrainingState(seed=7)
    goal = objective(optimizer=Adam(), averaging=StochasticWeightAverage(start), n_epochs=5)
    train(other, data, goal, 5, other_state)
    assert averaged.n_averaged == other_state.n_averaged == 6 - first
    np.testing.assert_allclose(other_state.slots["average"], vector_of(averaged), rtol=0, atol=1e-12)


def module_of(network):
    """Return vectors through dense layers, normalizations and rectifiers in PyTorch."""
    modules = []
    for node in network.nodes[2:]:
        params = network.params.get(node.name, {})
        if isinstance(node.layer, Dense):
            module = torch.nn.Linear(*params["weight"].shape, dtype=torch.float64)
            values = {"weight": params["weight"].T, "bias": params["bias"]}
        elif isinstance(node.layer, BatchNorm):
            module = torch.nn.BatchNorm1d(len(params["scale"]), eps=node.layer.epsilon, dtype=torch.float64)
            values = {"weight": params["scale"], "bias": params["shift"]}
        else:
            assert isinstance(node.layer, ReLU)
            module, values = torch.nn.ReLU(), {}
        for key, value in values.items():
            getattr(module, key).data = torch.tensor(np.ascontiguousarray(value))
        modules.append(module)
    return torch.nn.Sequential(*modules)


@pytest.mark.parametrize("batch_size", [4, 5, 10, 20])
def test_the_statistics_of_the_average_are_those_of_update_bn(batch_size):
    """Twenty samples in equal minibatches, all of which count the same in PyTorch.

    Its running variance has one value less in the denominator.
    """
    network, data, state = normalized_network(), make_data(), TrainingState(seed=7)
    goal = objective(optimizer=Adam(), averaging=ExponentialAverage(0.9))
    train(network, data, goal, 4, state)
    with worker_pool() as pool:
        averaged = make_averaged_network(
            network, data, state, replace(goal, batch_size=batch_size), pool=pool
        )
    module = module_of(averaged)
    X = torch.tensor(data.images.X.reshape(20, -1))
    swa_utils.update_bn(X.split(batch_size), module)
    for node, layer in zip(averaged.nodes[2:], module, strict=True):
        if isinstance(node.layer, BatchNorm):
            params = averaged.params[node.name]
            variance = layer.running_var.numpy() * (batch_size - 1) / batch_size
            np.testing.assert_allclose(params["running_mean"], layer.running_mean.numpy(), rtol=1e-10)
            np.testing.assert_allclose(params["running_variance"], variance, rtol=1e-10)
