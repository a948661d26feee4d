"""The same small training twice: step by step with skcnn, and with PyTorch on the same weights."""

import numpy as np
from parity.in_torch import batch_norm, conv2d, flatten, functional, torch
from small_trainings import N_CLASSES, make_data, make_network, objective, take_steps

from skcnn.layers import BatchNorm, Conv2D, Dense, Flatten, Tanh

N_STEPS = 50


def small_network(*, normalized=False):
    """Return a network that is smooth, so that no rounding error falls across a bend.

    A bias before a normalization has a gradient of rounding errors, which Adam would divide by their
    own size.
    """
    normalization = [BatchNorm()] if normalized else []
    convolution = Conv2D(2, use_bias=not normalized)
    return make_network(convolution, *normalization, Tanh(), Flatten(), Dense(4), Tanh(), Dense(N_CLASSES))


def draw_rows(rng, n_samples, n_steps=N_STEPS, size=5):
    return [rng.permutation(n_samples)[:size] for _ in range(n_steps)]


class TorchTwin:
    """A network in PyTorch with the weights that one of skcnn has now.

    Attributes
    ----------
    weights, others : list of Tensor
        Parameters that decay, and biases, scales and shifts, which do not.
    """

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

    def vector(self):
        """Return all parameters in the order of skcnn."""
        vector = np.empty_like(self.network.vector)
        for name, values in self.network.views_of(vector).items():
            for key, value in values.items():
                value[...] = self.parameters[name][key].detach().numpy()
        return vector


FUNCTIONS = {
    Conv2D: conv2d,
    BatchNorm: batch_norm,
    Flatten: flatten,
    Tanh: lambda layer, X: torch.tanh(X),
    Dense: lambda layer, X, weight, bias: functional.linear(X, weight.T, bias),
}


def train_both(loss, torch_loss, optimizer, make_torch, *, alpha, rate, label_smoothing=0.0, weights=None):
    """Train for fifty steps of five samples; return both networks, and both losses of each step.

    Parameters
    ----------
    loss : Loss
    torch_loss : callable
        Returns the losses of scores against codes in PyTorch.
    optimizer : Optimizer
    make_torch : callable
        Makes one of PyTorch of parameters, a learning rate and a weight decay, which is decoupled.
    alpha, rate, label_smoothing : float
    weights : ndarray of shape (n_samples,) or None
    """
    data = make_data(24, weights=weights)
    network = small_network(normalized=weights is None)
    twin = TorchTwin(network)
    groups = [
        {"params": twin.weights, "weight_decay": alpha if optimizer.decouples_decay else 0.0},
        {"params": twin.others, "weight_decay": 0.0},
    ]
    torch_optimizer = make_torch(groups, rate)
    rows = draw_rows(np.random.default_rng(0), 24)
    goal = objective(loss=loss, optimizer=optimizer, alpha=alpha, label_smoothing=label_smoothing)
    losses = list(take_steps(network, data, goal, rows, learning_rate=rate))
    torch_losses = []
    for part in rows:
        torch_optimizer.zero_grad()
        values = torch_loss(twin.scores(data.images.X[part]), torch.tensor(data.codes[part]))
        total = (torch.tensor(data.loss_weights[part]) * values).mean()
        if not optimizer.decouples_decay:
            total = total + alpha / 2 * sum((weight**2).sum() for weight in twin.weights)
        total.backward()
        torch_optimizer.step()
        torch_losses.append(total.item())
    return network, twin, losses, torch_losses
