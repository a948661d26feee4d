"""Every layer against PyTorch, in float64 and on configurations drawn at random.

A new layer needs a row in the table: how a configuration is drawn, and what PyTorch computes for it.
"""

import inspect
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
from parity.drawing import (
    as_pair,
    draw_conv2d,
    draw_dense,
    draw_depthwise,
    draw_group_norm,
    draw_layer_norm,
    draw_local_response_norm,
    draw_parallel,
    draw_pool,
    draw_residual,
    draw_sequential,
    draw_zero_padding,
    on_both,
    on_images,
    padding_of,
    pick,
    size_up_to,
    window_of,
)
from parity.in_torch import (
    TorchNetwork,
    average_pool,
    batch_norm,
    conv2d,
    depthwise,
    dropout,
    flatten,
    functional,
    group_norm,
    is_symmetric,
    layer_norm,
    local_response_norm,
    max_pool,
    parallel,
    residual,
    sequential,
    torch,
    zero_pad,
)

import skcnn.layers
from skcnn.execution import Batch, Executor
from skcnn.layers import (
    ELU,
    GELU,
    SELU,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GroupNorm,
    HardSwish,
    Layer,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    Mish,
    Parallel,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    SpatialDropout2D,
    Tanh,
    ZeroPad2D,
)
from skcnn.layers.naming import is_passthrough
from skcnn.network import Network, compile_steps
from skcnn.random_streams import RandomStreams
from skcnn.threads import worker_pool

N_CONFIGURATIONS = 60
FORWARD_TOLERANCE, GRADIENT_TOLERANCE = 1e-10, 1e-8


class Row(NamedTuple):
    """How configurations of a layer are drawn, what PyTorch computes, and whether X may be of integers.

    Integers give ties in windows and numbers at which an activation bends. Where convolutions come before
    such a layer, a tie is broken by rounding errors; where numbers are dropped, zeros tell which.
    """

    draw: Callable[[np.random.Generator], tuple[Any, tuple[int, ...]]]
    torch: Callable
    integers: bool = True


ROWS = {
    Conv2D: Row(draw_conv2d, conv2d),
    DepthwiseConv2D: Row(draw_depthwise, depthwise),
    MaxPool2D: Row(draw_pool(MaxPool2D), max_pool),
    AvgPool2D: Row(draw_pool(AvgPool2D, count_include_pad=[True, False]), average_pool),
    GlobalAvgPool2D: Row(
        on_images(lambda rng: GlobalAvgPool2D()),
        lambda layer, X: functional.adaptive_avg_pool2d(X, 1).flatten(1),
    ),
    GlobalMaxPool2D: Row(
        on_images(lambda rng: GlobalMaxPool2D()),
        lambda layer, X: functional.adaptive_max_pool2d(X, 1).flatten(1),
    ),
    Dense: Row(draw_dense, lambda layer, X, weight, bias=None: functional.linear(X, weight.T, bias)),
    BatchNorm: Row(
        on_both(lambda rng: BatchNorm(pick(rng, [0.0, 0.5, 0.9]), epsilon=pick(rng, [1e-5, 0.1]))), batch_norm
    ),
    LayerNorm: Row(draw_layer_norm, layer_norm),
    GroupNorm: Row(draw_group_norm, group_norm),
    LocalResponseNorm: Row(on_both(draw_local_response_norm), local_response_norm),
    Flatten: Row(on_images(lambda rng: Flatten()), flatten),
    ZeroPad2D: Row(on_images(draw_zero_padding), zero_pad),
    Dropout: Row(on_both(lambda rng: Dropout(pick(rng, [0, 0.2, 0.5, 0.9]))), dropout, integers=False),
    SpatialDropout2D: Row(
        on_images(lambda rng: SpatialDropout2D(pick(rng, [0, 0.2, 0.5, 0.9]))), dropout, integers=False
    ),
    ReLU: Row(on_both(lambda rng: ReLU()), lambda layer, X: functional.relu(X)),
    LeakyReLU: Row(
        on_both(lambda rng: LeakyReLU(pick(rng, [0, 0.01, rng.uniform(), 1]))),
        lambda layer, X: functional.leaky_relu(X, layer.negative_slope),
    ),
    PReLU: Row(on_both(lambda rng: PReLU()), lambda layer, X, slope: functional.prelu(X, slope)),
    ELU: Row(
        on_both(lambda rng: ELU(pick(rng, [1, rng.uniform(0.1, 3)]))),
        lambda layer, X: functional.elu(X, layer.alpha),
    ),
    SELU: Row(on_both(lambda rng: SELU()), lambda layer, X: functional.selu(X)),
    GELU: Row(on_both(lambda rng: GELU()), lambda layer, X: functional.gelu(X)),
    SiLU: Row(on_both(lambda rng: SiLU()), lambda layer, X: functional.silu(X)),
    HardSwish: Row(on_both(lambda rng: HardSwish()), lambda layer, X: functional.hardswish(X)),
    Mish: Row(on_both(lambda rng: Mish()), lambda layer, X: functional.mish(X)),
    # PyTorch returns x itself beyond a threshold
    Softplus: Row(on_both(lambda rng: Softplus()), lambda layer, X: functional.softplus(X, threshold=1e9)),
    Softmax: Row(on_both(lambda rng: Softmax()), lambda layer, X: functional.softmax(X, dim=1)),
    Sigmoid: Row(on_both(lambda rng: Sigmoid()), lambda layer, X: torch.sigmoid(X)),
    Tanh: Row(on_both(lambda rng: Tanh()), lambda layer, X: torch.tanh(X)),
    Residual: Row(draw_residual, residual, integers=False),
    Parallel: Row(draw_parallel, parallel, integers=False),
    Sequential: Row(draw_sequential, sequential, integers=False),
}

FUNCTIONS = {layer_class: row.torch for layer_class, row in ROWS.items()}


class Configuration:
    """A drawn layer and minibatch, and the network of this layer, with a Flatten behind images."""

    def __init__(self, layer_class, index):
        self.rng = np.random.default_rng([index, *layer_class.__name__.encode()])
        self.index, self.row = index, ROWS[layer_class]
        self.layer, self.input_shape = self.row.draw(self.rng)
        self.n_samples = size_up_to(self.rng, 11)
        self.small_pieces = index % 2 == 1

    def __str__(self):
        layer = " ".join(repr(self.layer).split())
        pieces = " in small pieces" if self.small_pieces else ""
        return f"configuration {self.index}: {layer} on {self.n_samples} of {self.input_shape}{pieces}"

    def build(self):
        """Compile the network and give it parameters that are not at their initial values."""
        layers = [("layer", self.layer)]
        self.output_shape = compile_steps(layers, self.input_shape)[-1].output_shape
        if len(self.output_shape) == 3:
            layers.append(("flatten", Flatten()))
        steps = compile_steps(layers, self.input_shape)
        self.network = Network(steps, dtype=np.float64, streams=RandomStreams(self.index))
        self.network.vector[:] = self.rng.normal(0, 0.7, self.network.n_params)
        for (_, key), value in self.network.state().items():
            if key != "n_updates":
                value[...] = self.rng.uniform(0.5, 2, value.shape)

    def draw_minibatch(self):
        """Return a minibatch and the gradient of its loss with respect to the scores."""
        *pixels, channels = self.input_shape
        shape = (*pixels, self.n_samples, channels)
        if self.row.integers and self.rng.integers(3) == 0:
            X = self.rng.integers(-3, 4, shape).astype(np.float64)
        else:
            X = self.rng.normal(pick(self.rng, [0, 2]), pick(self.rng, [1, 5, 25]), shape)
        return X, self.rng.standard_normal((self.n_samples, self.network.n_outputs))


class LinearLoss:
    """Sum of scores times targets, so that the targets are the gradient; keeps the scores.

    Shards come in any order, so the loss weights number the rows.
    """

    def __init__(self, targets):
        self.scores = np.full_like(targets, np.nan)

    def gradient(self, scores, targets, weights, out):
        self.scores[weights.astype(int)] = scores
        np.copyto(out, targets)
        return float((scores * targets).sum())


class Training(NamedTuple):
    """What came out of a training step: scores, gradients by parameter and of X, new running statistics."""

    scores: np.ndarray
    gradients: dict[tuple[str, str], np.ndarray]
    input_gradient: np.ndarray
    state: dict[tuple[str, str], np.ndarray]


def batch_of(X, targets=None):
    return Batch(
        X.shape[-2],
        lambda rows, out: np.copyto(out, X[..., rows, :]),
        targets,
        np.arange(X.shape[-2], dtype=np.float64),
    )


def train(configuration, X, targets, pool):
    """Run one training step through the executor."""
    network, loss = configuration.network, LinearLoss(targets)
    executor = Executor(
        network,
        pool,
        training=True,
        streams=RandomStreams(configuration.index),
        input_gradient=True,
        small_pieces=configuration.small_pieces,
    )
    executor.gradients(batch_of(X, targets), loss)
    by_layer = network.views_of(executor.reduce().copy())
    gradients = {(name, key): value for name, values in by_layer.items() for key, value in values.items()}
    return Training(loss.scores, gradients, executor.input_gradient(), executor.state)


def predict(configuration, X, pool):
    scores = np.full((X.shape[-2], configuration.network.n_outputs), np.nan)
    executor = Executor(configuration.network, pool, training=False, small_pieces=configuration.small_pieces)
    return executor.predict(batch_of(X), scores)


def tensors(network, *, training):
    """Return the parameters in PyTorch, without the running statistics in training."""
    state = network.state() if training else {}
    return {
        name: {
            key: torch.tensor(value, requires_grad=value.dtype.kind == "f")
            for key, value in values.items()
            if (name, key) not in state
        }
        for name, values in network.params.items()
    }


def torch_scores(configuration, X, parameters):
    """Return PyTorch's result for X of the layout of skcnn, flat as the scores of a network are."""
    images = X.permute(2, 3, 0, 1) if X.ndim == 4 else X
    return flatten(None, TorchNetwork(FUNCTIONS, parameters)("layer", configuration.layer, images))


def mask_of(configuration, scores):
    """Return what was kept of each number, or of each channel of an image by its first pixel."""
    kept = scores.reshape(-1, *configuration.output_shape) != 0
    if isinstance(configuration.layer, SpatialDropout2D):
        kept = kept[:, :1, :1]
    return torch.tensor(np.moveaxis(kept, -1, 1))


def assert_near(actual, expected, tolerance, what):
    """Hold a result against PyTorch's, to a tolerance relative to the largest number.

    The scale has a floor, since some gradients are zero but for rounding errors, such as that of a bias in
    front of a normalization. Samples and targets are of the order of one.
    """
    expected = expected.detach().numpy()
    assert actual.shape == expected.shape, what
    assert actual.dtype == np.float64, what
    scale = max(np.abs(expected).max(initial=0), 0.1)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale, err_msg=what)


@contextmanager
def named_in_failures(configuration):
    try:
        yield
    except Exception as error:
        error.add_note(str(configuration))
        raise


each_layer = pytest.mark.parametrize("layer_class", ROWS, ids=lambda layer_class: layer_class.__name__)

# PyTorch says that it copies the image for an odd number of pixels around it, as is meant
ignore_copies = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")


def configurations(layer_class):
    return [Configuration(layer_class, index) for index in range(N_CONFIGURATIONS)]


@ignore_copies
@each_layer
def test_training_is_that_of_pytorch(layer_class):
    """The result and all gradients."""
    with worker_pool() as pool:
        for configuration in configurations(layer_class):
            with named_in_failures(configuration):
                configuration.build()
                check_training(configuration, pool)


def check_training(configuration, pool):
    X, targets = configuration.draw_minibatch()
    trained = train(configuration, X, targets, pool)
    parameters = tensors(configuration.network, training=True)
    if isinstance(configuration.layer, Dropout | SpatialDropout2D):
        parameters["layer"] = {"mask": mask_of(configuration, trained.scores)}
    X = torch.tensor(X, requires_grad=True)
    scores = torch_scores(configuration, X, parameters)
    assert_near(trained.scores, scores, FORWARD_TOLERANCE, "scores")
    (scores * torch.tensor(targets)).sum().backward()
    assert_near(trained.input_gradient, X.grad, GRADIENT_TOLERANCE, "gradient of X")
    for (name, key), gradient in trained.gradients.items():
        assert_near(gradient, parameters[name][key].grad, GRADIENT_TOLERANCE, f"gradient of {name} {key}")


@ignore_copies
@each_layer
def test_prediction_is_that_of_pytorch(layer_class):
    """Dropout does nothing, batch normalization uses its running statistics."""
    with worker_pool() as pool, torch.no_grad():
        for configuration in configurations(layer_class):
            with named_in_failures(configuration):
                configuration.build()
                X, _ = configuration.draw_minibatch()
                parameters = tensors(configuration.network, training=False)
                scores = torch_scores(configuration, torch.tensor(X), parameters)
                assert_near(predict(configuration, X, pool), scores, FORWARD_TOLERANCE, "scores")


def test_running_statistics_are_those_of_pytorch():
    with worker_pool() as pool:
        for configuration in configurations(BatchNorm):
            with named_in_failures(configuration):
                configuration.n_samples += 1  # PyTorch's variance of a single value is not finite
                configuration.build()
                check_running_statistics(configuration, pool)


def check_running_statistics(configuration, pool):
    """Hold one to four updates against PyTorch's averages that start at zero.

    skcnn corrects for that start, and PyTorch divides by one value less in the running variance alone.
    """
    momentum, channels = configuration.layer.momentum, configuration.input_shape[-1]
    mean, variance = torch.zeros(2, channels, dtype=torch.float64)
    n_updates = size_up_to(configuration.rng, 4)
    for _ in range(n_updates):
        X, targets = configuration.draw_minibatch()
        configuration.network.set_state(train(configuration, X, targets, pool).state)
        rows = torch.tensor(X.reshape(-1, channels))
        functional.batch_norm(rows, mean, variance, training=True, momentum=1 - momentum)
    correction = 1 - momentum**n_updates
    state = configuration.network.params["layer"]
    assert state["n_updates"] == n_updates
    assert_near(state["running_mean"], mean / correction, FORWARD_TOLERANCE, "running mean")
    biased = variance / correction * (len(rows) - 1) / len(rows)
    assert_near(state["running_variance"], biased, FORWARD_TOLERANCE, "running variance")


# What the draws must hold


WINDOWS = {
    "odd height": lambda layer, shape: shape[0] % 2 == 1 < shape[0],
    "even width": lambda layer, shape: shape[1] % 2 == 0,
    "a single row": lambda layer, shape: shape[0] == 1 < shape[1],
    "a single column": lambda layer, shape: shape[1] == 1 < shape[0],
    "strides larger than the window": lambda layer, shape: any(
        stride > length for stride, length in zip(as_pair(layer.strides or 1), window_of(layer), strict=True)
    ),
    "same": lambda layer, shape: layer.padding == "same",
    "valid": lambda layer, shape: layer.padding == "valid",
    "empty padding": lambda layer, shape: layer.padding in (0, (0, 0), (0, (0, 0)), ((0, 0), (0, 0))),
    "an int as padding": lambda layer, shape: isinstance(layer.padding, int) and layer.padding > 0,
    "asymmetric padding": lambda layer, shape: (
        layer.padding != "same" and not is_symmetric(padding_of(layer, shape[:2], window_of(layer)))
    ),
}
DILATION = {"dilation": lambda layer, shape: layer.dilation != 1}
POOLING = {
    "windows beyond the padding": lambda layer, shape: layer.ceil_mode,
    "padding more than half a window": lambda layer, shape: any(
        2 * max(pad) > length
        for pad, length in zip(padding_of(layer, shape[:2], window_of(layer)), window_of(layer), strict=True)
    ),
}
CORNER_CASES = {
    Conv2D: WINDOWS | DILATION | {"groups": lambda layer, shape: layer.groups > 1},
    DepthwiseConv2D: WINDOWS | DILATION | {"filters": lambda layer, shape: layer.depth_multiplier > 1},
    MaxPool2D: WINDOWS | POOLING,
    AvgPool2D: WINDOWS | POOLING | {"padding counts": lambda layer, shape: layer.count_include_pad},
    Residual: {
        "vectors": lambda layer, shape: len(shape) == 1,
        "images": lambda layer, shape: len(shape) == 3,
        "a projection": lambda layer, shape: layer.projection != "auto",
        "a normalization of the projection": lambda layer, shape: isinstance(layer.layers[-1], BatchNorm),
        "a list for a projection": lambda layer, shape: isinstance(layer.projection, list),
        "no projection": lambda layer, shape: is_passthrough(layer.projection),
        "no layers": lambda layer, shape: is_passthrough(layer.layers[0]),
    },
    Parallel: {
        "vectors": lambda layer, shape: len(shape) == 1,
        "images": lambda layer, shape: len(shape) == 3,
        "lists": lambda layer, shape: any(isinstance(branch, list) for branch in layer.branches),
        "passthrough": lambda layer, shape: any(map(is_passthrough, layer.branches)),
    },
}


@pytest.mark.parametrize("layer_class", CORNER_CASES, ids=lambda layer_class: layer_class.__name__)
def test_corner_cases_are_drawn(layer_class):
    drawn = [
        (configuration.layer, configuration.input_shape) for configuration in configurations(layer_class)
    ]
    missing = [
        what
        for what, holds in CORNER_CASES[layer_class].items()
        if sum(holds(layer, input_shape) for layer, input_shape in drawn) < 3
    ]
    assert missing == []


def classes_without_row(classes, rows):
    """Return the names of the layers that can be made and that no row holds against PyTorch."""
    return sorted(cls.__name__ for cls in classes if not inspect.isabstract(cls) and cls not in rows)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.25, 0.5, 1.0, 3.0])
def test_gains_of_rectifiers_are_those_of_pytorch(slope):
    expected = torch.nn.init.calculate_gain("leaky_relu", slope)
    assert PReLU(slope).gain == pytest.approx(expected, rel=1e-15)
    if slope <= 1:
        assert LeakyReLU(slope).gain == pytest.approx(expected, rel=1e-15)
    assert ReLU().gain == pytest.approx(torch.nn.init.calculate_gain("relu"), rel=1e-15)


def test_every_exported_layer_is_held_against_pytorch():
    exported = [getattr(skcnn.layers, name) for name in skcnn.layers.__all__]
    assert classes_without_row([cls for cls in exported if isinstance(cls, type)], ROWS) == []


def test_a_layer_without_a_row_is_noticed():
    """A subclass of a layer with a row needs one of its own; a class that cannot be made needs none."""

    class Forgotten(ReLU):
        pass

    assert classes_without_row([ReLU, Forgotten, Layer], ROWS) == ["Forgotten"]
    assert classes_without_row([ReLU], {}) == ["ReLU"]
