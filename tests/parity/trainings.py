"""The same small training twice: step by step with skcnn, and with PyTorch on the same weights."""

import numpy as np
from numpy.testing import assert_allclose
from parity.in_torch import FUNCTIONS, functional, torch
from small_trainings import N_CLASSES, make_data, make_network, objective, take_steps

from skcnn.layers import BatchNorm, Conv2D, Dense, Flatten, Tanh

N_STEPS = 50


def small_network(*, normalized=False):
    """Return a network that is smooth, so that no rounding error falls across a bend.

    A bias before a normalization has a gradient of rounding errors, which Adam would divide by their size.
    """
    normalization = [BatchNorm()] if normalized else []
    convolution = Conv2D(2, use_bias=not normalized)
    return make_network(convolution, *normalization, Tanh(), Flatten(), Dense(4), Tanh(), Dense(N_CLASSES))


class TorchTwin:
    """A network in PyTorch with the weights that one of skcnn has now, of which only some decay."""

    def __init__(self, network):
        self.network = network
        self.parameters = {
            name: {key: torch.tensor(value, requires_grad=True) for key, value in values.items()}
            for name, values in network.views_of(network.vector).items()
        }
        entries = [entry for values in self.parameters.values() for entry in values.items()]
        self.weights = [value for key, value in entries if key == "weight"]
        self.others = [value for key, value in entries if key != "weight"]

    def scores(self, X):
        """Return the scores in training of images (n, height, width, channels)."""
        X = torch.tensor(X).permute(0, 3, 1, 2)
        for node in self.network.nodes[1:]:
            X = FUNCTIONS[type(node.layer)](node.layer, X, **self.parameters.get(node.name, {}))
        return X

    def vector(self, numbers=torch.Tensor.detach):
        """Return the numbers of all parameters, or others that belong to them, in the order of skcnn."""
        vector = np.empty_like(self.network.vector)
        for name, values in self.network.views_of(vector).items():
            for key, value in values.items():
                value[...] = numbers(self.parameters[name][key]).numpy()
        return vector


def assert_same_training(optimizer, make_torch, *, alpha, rate):
    """Train for fifty steps of five samples twice, hold losses and weights, and return the loss of each step.

    ``make_torch`` makes an optimizer of PyTorch of parameters, a learning rate and a weight decay, which is
    decoupled.
    """
    data, network = make_data(24), small_network(normalized=True)
    twin = TorchTwin(network)
    groups = [
        {"params": twin.weights, "weight_decay": alpha if optimizer.decouples_decay else 0.0},
        {"params": twin.others, "weight_decay": 0.0},
    ]
    torch_optimizer, torch_losses = make_torch(groups, rate), []
    rng = np.random.default_rng(0)
    rows = [rng.permutation(24)[:5] for _ in range(N_STEPS)]
    goal = objective(optimizer=optimizer, alpha=alpha)
    losses = list(take_steps(network, data, goal, rows, learning_rate=rate))
    for part in rows:
        torch_optimizer.zero_grad()
        total = functional.cross_entropy(twin.scores(data.images.X[part]), torch.tensor(data.targets[part]))
        if not optimizer.decouples_decay:
            total = total + alpha / 2 * sum((weight**2).sum() for weight in twin.weights)
        total.backward()
        torch_optimizer.step()
        torch_losses.append(total.item())
    assert_allclose(losses, torch_losses, rtol=0, atol=1e-9)
    assert_allclose(network.vector, twin.vector(), rtol=0, atol=1e-9)
    return losses
