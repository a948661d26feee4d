"""Every layer against PyTorch, in float64 and in float32, on configurations that Hypothesis draws.

A new layer needs a row in the table: how a configuration is drawn, and what PyTorch computes for it.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from cuts import PAIRS
from parity.drawing import (
    batch_norms,
    convolutions,
    dense_layers,
    depthwise_convolutions,
    dropouts,
    group_norms,
    hypothesis,
    layer_norms,
    local_response_norms,
    on_both,
    on_images,
    patch_whitenings,
    pools,
    rescales,
    sizes,
    spatial_dropouts,
    st,
    zero_paddings,
)
from parity.drawing_containers import parallels, residuals, sequentials, stacks
from parity.in_torch import (
    average_pool,
    batch_norm,
    conv2d,
    depthwise,
    dropout,
    flatten,
    functional,
    group_norm,
    layer_norm,
    local_response_norm,
    max_pool,
    parallel,
    patch_whitening,
    residual,
    sequential,
    torch,
    with_held_deviation,
    zero_pad,
)
from parity.layers_in_numbers import Case, Configuration, Numbers, configurations, leaf
from sklearn.base import clone

import skcnn.layers
from skcnn.layers import (
    CELU,
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
    HardSigmoid,
    HardSwish,
    Layer,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    Mish,
    Parallel,
    PatchWhitening,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    SpatialDropout2D,
    Tanh,
    ZeroPad2D,
)
from skcnn.network.threads import worker_pool


class Row(NamedTuple):
    """How configurations of a layer are drawn, what PyTorch computes, and whether X may be of integers.

    Integers give ties in windows and numbers at which an activation bends. Where convolutions come before
    such a layer, a tie is broken by rounding errors; where numbers are dropped, zeros tell which.
    """

    draw: st.SearchStrategy
    torch: Callable
    integers: bool = True


def row_of(activation, function, parameters=None):
    """Return the row of an activation."""
    return Row(on_both(st.builds(activation, *([] if parameters is None else [parameters]))), function)


ROWS = {
    Conv2D: Row(convolutions(), conv2d),
    DepthwiseConv2D: Row(depthwise_convolutions(), depthwise),
    PatchWhitening: Row(patch_whitenings(), patch_whitening),
    MaxPool2D: Row(pools(MaxPool2D), max_pool),
    AvgPool2D: Row(pools(AvgPool2D, count_include_pad=st.booleans()), average_pool),
    GlobalAvgPool2D: Row(
        on_images(st.builds(GlobalAvgPool2D)),
        lambda layer, X: functional.adaptive_avg_pool2d(X, 1).flatten(1),
    ),
    GlobalMaxPool2D: Row(
        on_images(st.builds(GlobalMaxPool2D)),
        lambda layer, X: functional.adaptive_max_pool2d(X, 1).flatten(1),
    ),
    Dense: Row(dense_layers(), lambda layer, X, weight, bias=None: functional.linear(X, weight.T, bias)),
    BatchNorm: Row(batch_norms(), batch_norm),
    LayerNorm: Row(layer_norms(), layer_norm),
    GroupNorm: Row(group_norms(), group_norm),
    LocalResponseNorm: Row(local_response_norms(), local_response_norm),
    Flatten: Row(on_images(st.builds(Flatten)), flatten),
    ZeroPad2D: Row(zero_paddings(), zero_pad),
    Rescale: Row(rescales(), lambda layer, X: X * layer.factor),
    Dropout: Row(dropouts(), dropout, integers=False),
    SpatialDropout2D: Row(spatial_dropouts(), dropout, integers=False),
    ReLU: row_of(ReLU, lambda layer, X: functional.relu(X)),
    ReLU6: row_of(ReLU6, lambda layer, X: functional.relu6(X)),
    LeakyReLU: row_of(
        LeakyReLU, lambda layer, X: functional.leaky_relu(X, layer.negative_slope), st.floats(0, 1)
    ),
    PReLU: row_of(PReLU, lambda layer, X, slope: functional.prelu(X, slope)),
    ELU: row_of(ELU, lambda layer, X: functional.elu(X, layer.alpha), st.floats(0.1, 3)),
    CELU: row_of(  # PyTorch rounds 1 / alpha to single precision
        CELU, lambda layer, X: functional.celu(X, layer.alpha), st.sampled_from([0.25, 0.5, 1.0, 2.0])
    ),
    SELU: row_of(SELU, lambda layer, X: functional.selu(X)),
    GELU: row_of(
        GELU,
        lambda layer, X: functional.gelu(X, approximate=layer.approximate),
        st.sampled_from(["none", "tanh"]),
    ),
    SiLU: row_of(SiLU, lambda layer, X: functional.silu(X)),
    HardSwish: row_of(HardSwish, lambda layer, X: functional.hardswish(X)),
    Mish: row_of(Mish, lambda layer, X: functional.mish(X)),
    # PyTorch's own returns x itself beyond a threshold
    Softplus: row_of(Softplus, lambda layer, X: torch.logaddexp(X, torch.zeros_like(X))),
    Softmax: row_of(Softmax, lambda layer, X: functional.softmax(X, dim=1)),
    Sigmoid: row_of(Sigmoid, lambda layer, X: torch.sigmoid(X)),
    # PyTorch's own has no parameters
    HardSigmoid: row_of(
        HardSigmoid,
        lambda layer, X: functional.hardtanh(layer.alpha * X + layer.beta, 0.0, 1.0),
        st.sampled_from([1 / 6, 0.2, 0.5, 2.0]),
    ),
    Tanh: row_of(Tanh, lambda layer, X: torch.tanh(X)),
    Softsign: row_of(Softsign, lambda layer, X: functional.softsign(X)),
    Residual: Row(residuals(), residual, integers=False),
    Parallel: Row(parallels(), parallel, integers=False),
    Sequential: Row(sequentials(), sequential, integers=False),
}

FUNCTIONS = {layer_class: row.torch for layer_class, row in ROWS.items()}
CONTAINERS = (Residual, Parallel, Sequential)
CANCELLING = dict.fromkeys((BatchNorm, LayerNorm, GroupNorm), with_held_deviation)
"""Layers whose gradient of X is a sum of terms that cancel, and a function that has one as its gradient."""

TOLERANCES = {np.float64: (1e-10, 1e-8), np.float32: (1e-5, 1e-5)}
"""Of results and of gradients."""

each_layer = pytest.mark.parametrize("layer_class", ROWS, ids=lambda layer_class: layer_class.__name__)
each_kernel = pytest.mark.parametrize(
    "layer_class",
    [cls for cls in ROWS if cls not in CONTAINERS],
    ids=lambda layer_class: layer_class.__name__,
)

# PyTorch says that it copies the image for an odd number of pixels around it, as is meant
ignore_copies = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")


@pytest.fixture(scope="module")
def workers():
    """Return the workers to run on by whether work is cut into small pieces there."""
    with worker_pool() as pool, worker_pool(PAIRS) as pool_of_pairs:
        yield {False: pool, True: pool_of_pairs}


def configurations_of(layer_class):
    row = ROWS[layer_class]
    return configurations(row.draw, integers=row.integers)


def largest(expected):
    """Return the largest number of a result, which errors are relative to.

    It has a floor, since some gradients are zero but for rounding errors, such as that of a bias before
    a normalization. Samples and targets are of the order of one.
    """
    return max(expected.detach().abs().max().item(), 0.1)


def assert_near(actual, expected, tolerance, dtype, what):
    expected = expected.detach().numpy()
    assert actual.shape == expected.shape, what
    assert actual.dtype == dtype, what
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance, err_msg=what)


@ignore_copies
@each_layer
@hypothesis.given(data=st.data())
def test_training_is_that_of_pytorch(layer_class, workers, data):
    """The result and all gradients."""
    check_training(data.draw(configurations_of(layer_class)), np.float64, workers)


@ignore_copies
@each_layer
@hypothesis.given(data=st.data())
def test_prediction_is_that_of_pytorch(layer_class, workers, data):
    """With the running statistics instead of the minibatch's."""
    check_prediction(data.draw(configurations_of(layer_class)), np.float64, workers)


def without_activation(configuration):
    """Return the configuration of what a layer computes before its activation."""
    if hasattr(configuration.layer, "activation"):
        return replace(configuration, layer=clone(configuration.layer).set_params(activation=None))
    return configuration


@ignore_copies
@each_kernel
@hypothesis.given(data=st.data())
def test_single_precision_is_near_pytorch_in_double_precision(layer_class, workers, data):
    """From the same numbers: result, gradients and prediction.

    Kernel by kernel, so without an activation, which may bend where the sum of a convolution is rounded, or
    turn errors of large sums into those of small numbers. So may the layers of a container.
    """
    configuration = data.draw(configurations_of(layer_class).map(without_activation))
    check_training(configuration, np.float32, workers)
    check_prediction(configuration, np.float32, workers)


@ignore_copies
@hypothesis.given(configuration=configurations(stacks(), integers=False))
def test_stacks_that_the_estimator_completes_are_those_of_pytorch(configuration, workers):
    """It adds Flatten where a Dense layer meets images, in containers too, and the output layer."""
    check_training(configuration, np.float64, workers)
    check_prediction(configuration, np.float64, workers)


FAILED_ONCE = [
    # softplus of 804, which the logarithm of one plus the exponential cannot compute
    Configuration(
        Conv2D(18, padding=((0, 0), (1, 2)), activation="softplus", use_bias=False),
        (4, 12, 17),
        3,
        Numbers(2, 25),
        seed=24283,
    ),
    # in float32, gradients of which the terms cancel
    Configuration(BatchNorm(momentum=0.5), (2, 1, 2), 1, Numbers(integers=True), seed=6679),
    Configuration(LayerNorm(), (3, 1, 2), 4, Numbers(2, 1), seed=3),
    Configuration(LayerNorm(), (7, 6, 2), 1, Numbers(0, 5), seed=6, small_pieces=True),
    Configuration(GroupNorm(groups=2), (4,), 10, Numbers(2, 5), seed=1270),
]
"""Cases that Hypothesis found, each of which showed an error of skcnn or, as these do, of the tests."""


@pytest.mark.parametrize("configuration", FAILED_ONCE, ids=repr)
def test_cases_that_failed_once_are_those_of_pytorch(configuration, workers):
    for dtype in TOLERANCES:
        case = configuration if dtype == np.float64 else without_activation(configuration)
        check_training(case, dtype, workers)
        check_prediction(case, dtype, workers)


def check_training(configuration, dtype, workers):
    """Hold a training step against PyTorch's in float64 from the same numbers."""
    case, (tolerance, gradient_tolerance) = Case(configuration, dtype), TOLERANCES[dtype]
    X, targets = case.draw_minibatch()
    trained = case.train(X, targets, workers)
    parameters = case.tensors(training=True)
    if case.drops_out:
        parameters["layer"] = {"mask": case.mask_of(trained.scores)}

    def torch_training(functions, parameters):
        images = leaf(X)
        scores = case.torch_scores(functions, images, parameters)
        (scores * torch.tensor(targets)).sum().backward()
        return scores, images.grad

    def hold(actual, expected, tolerance, what, scale=0.0):
        assert_near(actual, expected, tolerance * max(largest(expected), scale), dtype, what)

    scores, input_gradient = torch_training(FUNCTIONS, parameters)
    hold(trained.scores, scores, tolerance, "scores")
    scale = 0.0
    if dtype == np.float32 and type(case.layer) in CANCELLING:
        scale = largest(torch_training(CANCELLING, case.tensors(training=True))[1])
    hold(trained.input_gradient, input_gradient, gradient_tolerance, "gradient of X", scale)
    for (name, key), gradient in trained.gradients.items():
        hold(gradient, parameters[name][key].grad, gradient_tolerance, f"gradient of {name} {key}")


def check_prediction(configuration, dtype, workers):
    case = Case(configuration, dtype)
    X, _ = case.draw_minibatch()
    with torch.no_grad():
        scores = case.torch_scores(FUNCTIONS, leaf(X), case.tensors(training=False))
    assert_near(case.predict(X, workers), scores, TOLERANCES[dtype][0] * largest(scores), dtype, "scores")


@hypothesis.given(
    configuration=configurations(batch_norms(), integers=True),
    n_updates=sizes(4),
)
def test_running_statistics_are_those_of_pytorch(configuration, n_updates, workers):
    """One to four updates against PyTorch's averages that start at zero.

    skcnn corrects for that start, and PyTorch divides by one value less in the running variance alone. Its
    variance of a single value is not finite.
    """
    hypothesis.assume(configuration.n_samples > 1)
    case = Case(configuration, np.float64)
    momentum, channels = case.layer.momentum, configuration.input_shape[-1]
    mean, variance = torch.zeros(2, channels, dtype=torch.float64)
    for _ in range(n_updates):
        X, targets = case.draw_minibatch()
        case.network.set_buffers(case.train(X, targets, workers).buffers)
        rows = torch.tensor(X.reshape(-1, channels))
        functional.batch_norm(rows, mean, variance, training=True, momentum=1 - momentum)
    correction = 1 - momentum**n_updates
    params = case.network.params["layer"]
    assert params["n_updates"] == n_updates
    biased = variance * (len(rows) - 1) / len(rows)
    for key, total in {"running_mean": mean, "running_variance": biased}.items():
        expected = total / correction
        assert_near(params[key], expected, 1e-10 * largest(expected), np.float64, key)


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
