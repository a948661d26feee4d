"""Every layer against PyTorch, in float64 and in float32, on configurations that Hypothesis draws.

A new layer needs a row in the table here, which says how it is drawn, and one of what PyTorch computes for
it, in :mod:`in_torch`.
"""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from cuts import PAIRS
from numpy.testing import assert_allclose
from parity import drawing
from parity.drawing import hypothesis, on_both, on_images, options, sizes, st
from parity.drawing_containers import parallels, residuals, sequentials, stacks
from parity.in_torch import FUNCTIONS, functional, torch, with_held_deviation
from parity.layers_in_numbers import Case, Configuration, Numbers, configurations, leaf
from sklearn.base import clone

import skcnn
from skcnn.network.threads import worker_pool

CONTAINERS = {skcnn.Residual: residuals(), skcnn.Parallel: parallels(), skcnn.Sequential: sequentials()}

ACTIVATIONS = {each: st.builds(each) for each in FUNCTIONS if issubclass(each, skcnn.layers.Activation)} | {
    skcnn.LeakyReLU: st.builds(skcnn.LeakyReLU, st.floats(0, 1)),
    skcnn.ELU: st.builds(skcnn.ELU, st.floats(0.1, 3)),
    skcnn.CELU: st.builds(skcnn.CELU, options(0.25, 0.5, 1.0, 2.0)),  # PyTorch rounds 1 / alpha to float32
    skcnn.GELU: st.builds(skcnn.GELU, options("none", "tanh")),
    skcnn.HardSigmoid: st.builds(skcnn.HardSigmoid, options(1 / 6, 0.2, 0.5, 2.0)),
}

EPSILON = {"epsilon": options(1e-5, 0.1)}
BATCH_NORMS = on_both(st.builds(skcnn.BatchNorm, options(0.0, 0.5, 0.9), **EPSILON))
RESPONSES = {"alpha": st.floats(0, 0.5), "beta": st.floats(0, 1.5), "k": st.floats(0.5, 3)}
NUMBERS = drawing.paddings((4, 4)).filter(lambda padding: not isinstance(padding, str))
RATES = options(0, 0.2, 0.5, 0.9)

DRAWS = {
    skcnn.Conv2D: drawing.convolutions(),
    skcnn.DepthwiseConv2D: drawing.depthwise_convolutions(),
    skcnn.PatchWhitening: drawing.patch_whitenings(),
    skcnn.MaxPool2D: drawing.pools(skcnn.MaxPool2D),
    skcnn.AvgPool2D: drawing.pools(skcnn.AvgPool2D, count_include_pad=st.booleans()),
    skcnn.GroupNorm: drawing.group_norms(),
    skcnn.Dense: st.tuples(st.builds(skcnn.Dense, sizes(6), **drawing.ENDINGS), drawing.vectors()),
    skcnn.BatchNorm: BATCH_NORMS,
    # a number cannot be normalized by itself
    skcnn.LayerNorm: st.tuples(
        st.builds(skcnn.LayerNorm, **EPSILON), drawing.images_and_vectors(sizes(6, 2))
    ),
    skcnn.LocalResponseNorm: on_both(st.builds(skcnn.LocalResponseNorm, sizes(6), **RESPONSES)),
    skcnn.ZeroPad2D: on_images(st.builds(skcnn.ZeroPad2D, NUMBERS)),
    skcnn.Rescale: on_both(st.builds(skcnn.Rescale, st.floats(-3, 3))),
    skcnn.Dropout: on_both(st.builds(skcnn.Dropout, RATES)),
    skcnn.SpatialDropout2D: on_images(st.builds(skcnn.SpatialDropout2D, RATES)),
    skcnn.GlobalAvgPool2D: on_images(st.builds(skcnn.GlobalAvgPool2D)),
    skcnn.GlobalMaxPool2D: on_images(st.builds(skcnn.GlobalMaxPool2D)),
    skcnn.Flatten: on_images(st.builds(skcnn.Flatten)),
    **{activation: on_both(drawn) for activation, drawn in ACTIVATIONS.items()},
    **CONTAINERS,
}
"""How configurations of each layer are drawn."""

WITHOUT_INTEGERS = (skcnn.Dropout, skcnn.SpatialDropout2D, *CONTAINERS)
"""Layers whose X may not be of integers.

Integers give ties in windows and numbers at which an activation bends. Where convolutions come before such
a layer, a tie is broken by rounding errors; where numbers are dropped, zeros tell which.
"""

CANCELLING = dict.fromkeys((skcnn.BatchNorm, skcnn.LayerNorm, skcnn.GroupNorm), with_held_deviation)
"""Layers whose gradient of X is a sum of terms that cancel, and a function that has one as its gradient."""

TOLERANCES = {np.float64: (1e-10, 1e-8), np.float32: (1e-5, 1e-5)}
"""Of results and of gradients."""

each_layer = pytest.mark.parametrize("layer_class", DRAWS, ids=lambda each: each.__name__)
each_kernel = pytest.mark.parametrize(
    "layer_class", [each for each in DRAWS if each not in CONTAINERS], ids=lambda each: each.__name__
)

# PyTorch says that it copies the image for an odd number of pixels around it, as is meant
ignore_copies = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")


@pytest.fixture(scope="module")
def workers():
    """Return the workers to run on by whether work is cut into small pieces there."""
    with worker_pool() as pool, worker_pool(PAIRS) as pool_of_pairs:
        yield {False: pool, True: pool_of_pairs}


def configurations_of(layer_class):
    return configurations(DRAWS[layer_class], integers=layer_class not in WITHOUT_INTEGERS)


def largest(expected):
    """Return the largest number of a result, which errors are relative to."""
    return max(expected.detach().abs().max().item(), 0.1)  # some gradients are zero but for rounding errors


def assert_near(actual, expected, tolerance, dtype, what):
    expected = expected.detach().numpy()
    assert actual.shape == expected.shape, what
    assert actual.dtype == dtype, what
    assert_allclose(actual, expected, rtol=0, atol=tolerance, err_msg=what)


@ignore_copies
@each_layer
@hypothesis.given(data=st.data())
def test_training_and_prediction_are_those_of_pytorch(layer_class, workers, data):
    """The result and all gradients, and the result with running statistics instead of the minibatch's."""
    configuration = data.draw(configurations_of(layer_class))
    check_training(configuration, np.float64, workers)
    check_prediction(configuration, np.float64, workers)


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


SOFTPLUS = skcnn.Conv2D(18, padding=((0, 0), (1, 2)), activation="softplus", use_bias=False)

FAILED_ONCE = [
    # softplus of 804, which the logarithm of one plus the exponential cannot compute
    Configuration(SOFTPLUS, (4, 12, 17), 3, Numbers(2, 25), seed=24283),
    # in float32, gradients of which the terms cancel
    Configuration(skcnn.BatchNorm(momentum=0.5), (2, 1, 2), 1, Numbers(integers=True), seed=6679),
    Configuration(skcnn.LayerNorm(), (3, 1, 2), 4, Numbers(2, 1), seed=3),
    Configuration(skcnn.LayerNorm(), (7, 6, 2), 1, Numbers(0, 5), seed=6, small_pieces=True),
    Configuration(skcnn.GroupNorm(groups=2), (4,), 10, Numbers(2, 5), seed=1270),
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


@hypothesis.given(configuration=configurations(BATCH_NORMS, integers=True), n_updates=sizes(4))
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


def test_every_exported_layer_is_held_against_pytorch():
    """But for those that cannot be made."""
    exported = [getattr(skcnn.layers, name) for name in skcnn.layers.__all__]
    concrete = {each for each in exported if isinstance(each, type) and not inspect.isabstract(each)}
    assert concrete == set(DRAWS) == set(FUNCTIONS)
