"""A drawn layer in numbers: one step of training, and prediction, by skcnn and by PyTorch."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from parity.drawing import SEEDS, one_of, options, sizes, st
from parity.in_torch import TorchNetwork, flatten, torch

from skcnn.architecture import complete_layers, explicit_layers
from skcnn.layers import Dropout, Flatten, SpatialDropout2D
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.losses import LinearLoss
from skcnn.network.network import init_network

N_OUTPUTS = 3


class Numbers(NamedTuple):
    """Numbers of a normal distribution, or integers."""

    offset: float = 0
    scale: float = 1
    integers: bool = False

    def draw(self, rng, shape):
        if self.integers:
            return rng.integers(-3, 4, shape).astype(np.float64)
        return rng.normal(self.offset, self.scale, shape)


@dataclass(frozen=True)
class Configuration:
    """A drawn layer, or a stack of the estimator as a list, and the minibatch that it is held on."""

    layer: Any
    input_shape: tuple[int, ...]
    n_samples: int = 3
    numbers: Numbers = Numbers()
    seed: int = 0
    """Of the numbers, of the parameters, and of what the layer draws itself."""
    small_pieces: bool = False
    """Whether the minibatch is cut into shards and chunks of about two samples."""

    def __repr__(self):
        values = [f"{name}={value!r}" for name, value in vars(self).items()]
        return f"Configuration({' '.join(', '.join(values).split())})"


@st.composite
def configurations(draw, layers, *, integers):
    """Draw a layer with the shape of its input, and a minibatch, of integers only if these are asked for."""
    layer, input_shape = draw(layers)
    normal = st.builds(Numbers, options(0, 2), options(1, 5, 25), st.just(False))
    numbers = one_of(normal, normal, st.just(Numbers(integers=True))) if integers else normal
    return Configuration(layer, input_shape, draw(sizes(11)), draw(numbers), draw(SEEDS), draw(st.booleans()))


class Case:
    """A configuration in numbers of a dtype: a network with a Flatten after images, and a minibatch.

    The parameters of the network are not at their initial values. ``output_shape`` is that of the result
    before it is flat.
    """

    def __init__(self, configuration, dtype):
        self.configuration, self.dtype = configuration, dtype
        self.layer = configuration.layer
        self.rng = np.random.default_rng(configuration.seed)
        self.network = init_network(self._nodes(), dtype=dtype, seed=self.configuration.seed)
        self.network.vector[:] = self.rng.normal(0, 0.7, self.network.n_params)
        for (_, key), value in self.network.buffers().items():
            if key != "n_updates":
                value[...] = self.rng.uniform(0.5, 2, value.shape)

    def _nodes(self):
        input_shape = self.configuration.input_shape
        if isinstance(self.layer, list):
            return complete_layers(explicit_layers(self.layer, ()), input_shape, N_OUTPUTS)[1]
        layers = [("layer", self.layer)]
        self.output_shape = compile_nodes(layers, input_shape)[-1].output_shape
        if len(self.output_shape) == 3:
            layers.append(("flatten", Flatten()))
        return compile_nodes(layers, input_shape)

    def draw_minibatch(self):
        """Return a minibatch and the gradient of its loss with respect to the scores."""
        n_samples = self.configuration.n_samples
        *pixels, channels = self.configuration.input_shape
        X = self.configuration.numbers.draw(self.rng, (*pixels, n_samples, channels))
        targets = self.rng.standard_normal((n_samples, self.network.n_outputs))
        return X.astype(self.dtype), targets.astype(self.dtype)

    def executor(self, workers, **options):
        return Executor(self.network, workers[self.configuration.small_pieces], **options)

    def train(self, X, targets, workers):
        """Run one training step through the executor."""
        loss = KeepingLoss(targets)
        executor = self.executor(workers, training=True, seed=self.configuration.seed, input_gradient=True)
        executor.gradients(batch_of(X, targets), loss)
        by_layer = self.network.views_of(executor.reduce().copy())
        gradients = {(name, key): value for name, values in by_layer.items() for key, value in values.items()}
        return Training(loss.scores, gradients, executor.input_gradient(), executor.buffers)

    def predict(self, X, workers):
        scores = np.full((X.shape[-2], self.network.n_outputs), np.nan, self.dtype)
        return self.executor(workers, training=False).predict(batch_of(X), scores)

    def tensors(self, *, training):
        """Return the parameters in PyTorch and float64, without the running statistics in training."""
        buffers = self.network.buffers() if training else {}
        return {
            name: {
                key: leaf(value) if value.dtype.kind == "f" else torch.tensor(value)
                for key, value in values.items()
                if (name, key) not in buffers
            }
            for name, values in self.network.params.items()
        }

    def torch_scores(self, functions, X, parameters):
        """Return PyTorch's result for X of the layout of skcnn, flat as the scores of a network are."""
        images = X.permute(2, 3, 0, 1) if X.ndim == 4 else X
        network = TorchNetwork(functions, parameters)
        if isinstance(self.layer, list):
            return network.stack(self.layer, images)
        return flatten(None, network("layer", self.layer, images))

    def mask_of(self, scores):
        """Return what was kept of each number, or of each channel of an image by its first pixel."""
        kept = scores.reshape(-1, *self.output_shape) != 0
        if isinstance(self.layer, SpatialDropout2D):
            kept = kept[:, :1, :1]
        return torch.tensor(np.moveaxis(kept, -1, 1))

    @property
    def drops_out(self):
        return isinstance(self.layer, Dropout | SpatialDropout2D)


def leaf(array):
    """Return a tensor in float64 that PyTorch differentiates by."""
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


class KeepingLoss(LinearLoss):
    """Keeps the scores. Shards come in any order, so the loss weights number the rows."""

    def __init__(self, targets):
        self.scores = np.full_like(targets, np.nan)

    def gradient(self, scores, targets, weights, *, out):
        self.scores[weights.astype(int)] = scores
        return super().gradient(scores, targets, weights, out=out)


class Training(NamedTuple):
    """What came out of a training step: scores, gradients by parameter and of X, new running statistics."""

    scores: np.ndarray
    gradients: dict[tuple[str, str], np.ndarray]
    input_gradient: np.ndarray
    buffers: dict[tuple[str, str], np.ndarray]


def batch_of(X, targets=None):
    return Batch(
        X.shape[-2],
        lambda rows, out: np.copyto(out, X[..., rows, :]),
        targets,
        np.arange(X.shape[-2], dtype=np.float64),
    )
