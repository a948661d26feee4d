"""Tests of the convolutional layers."""

import re
from functools import partial

import numpy as np
import pytest
import reference
from reference import NO_PADDING, assert_close, initial_params, run_backward, run_forward
from seeds import generator
from sklearn.base import clone
from small_networks import NOT_PADDINGS, NOT_PAIRS, NOT_SIZES, assert_refused

from skcnn.layers import GELU, SELU, Conv2D, DepthwiseConv2D
from skcnn.layers.initializers import initial_weight

# layer, input shape, strides, padding as ((top, bottom), (left, right)), dilation: worked out by hand
CONVOLUTIONS = [
    (Conv2D(3), (5, 6, 2), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    (Conv2D(2, 3, strides=2), (6, 7, 2), (2, 2), ((0, 1), (1, 1)), (1, 1)),
    (Conv2D(2, (2, 5), strides=(1, 3)), (4, 8, 1), (1, 3), ((0, 1), (1, 2)), (1, 1)),
    (Conv2D(4, 1, strides=4), (9, 10, 3), (4, 4), NO_PADDING, (1, 1)),
    (Conv2D(2, 7), (2, 3, 2), (1, 1), ((3, 3), (3, 3)), (1, 1)),
    (Conv2D(2, (3, 2), padding="valid"), (5, 4, 3), (1, 1), NO_PADDING, (1, 1)),
    (Conv2D(2, 3, padding=2), (3, 4, 2), (1, 1), ((2, 2), (2, 2)), (1, 1)),
    (Conv2D(2, 2, padding=(3, (0, 4)), use_bias=False), (2, 3, 2), (1, 1), ((3, 3), (0, 4)), (1, 1)),
    (Conv2D(1, [3, 2], strides=[2, 1], padding=[[2, 0], 1]), (4, 3, 2), (2, 1), ((2, 0), (1, 1)), (1, 1)),
    (Conv2D(2, (2, 3), strides=2, dilation=(3, 1)), (6, 5, 2), (2, 2), ((1, 1), (1, 1)), (3, 1)),
    (Conv2D(2, 2, dilation=[4, 5], padding="valid"), (5, 7, 1), (1, 1), NO_PADDING, (4, 5)),
    (Conv2D(1, (1, 3), dilation=7, padding=(0, 7)), (1, 2, 2), (1, 1), ((0, 0), (7, 7)), (7, 7)),
    (Conv2D(6, groups=2), (4, 5, 4), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    (Conv2D(3, 2, groups=3, padding="valid", use_bias=False), (3, 4, 3), (1, 1), NO_PADDING, (1, 1)),
    (Conv2D(2, 3, groups=2, dilation=2, padding=1), (5, 4, 6), (1, 1), ((1, 1), (1, 1)), (2, 2)),
    (DepthwiseConv2D(), (5, 6, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    (DepthwiseConv2D(3, strides=2, depth_multiplier=2), (6, 7, 2), (2, 2), ((0, 1), (1, 1)), (1, 1)),
    (DepthwiseConv2D((1, 3), dilation=2, depth_multiplier=3), (1, 6, 2), (1, 1), ((0, 0), (2, 2)), (2, 2)),
    (DepthwiseConv2D(2, strides=4, padding="valid", use_bias=False), (7, 9, 2), (4, 4), NO_PADDING, (1, 1)),
    (DepthwiseConv2D(2, padding=[[2, 0], 3], dilation=(2, 1)), (2, 1, 2), (1, 1), ((2, 0), (3, 3)), (2, 1)),
    (DepthwiseConv2D(5, depth_multiplier=2), (1, 1, 3), (1, 1), ((2, 2), (2, 2)), (1, 1)),
]


def oracle(layer):
    """The naive loops of a layer, forward and backward."""
    if isinstance(layer, DepthwiseConv2D):
        return reference.depthwise_conv2d, reference.depthwise_conv2d_backward, {}
    return reference.conv2d, reference.conv2d_backward, {"groups": layer.groups}


@pytest.mark.parametrize(("layer", "shape", "strides", "padding", "dilation"), CONVOLUTIONS, ids=str)
def test_forward_and_backward(layer, shape, strides, padding, dilation):
    """The naive convolution and its naive gradients, with the padding worked out by hand."""
    forward, backward, where = oracle(layer)
    where |= {"strides": strides, "padding": padding, "dilation": dilation}
    rng = generator(0)
    params = initial_params(layer, shape)
    if layer.use_bias:
        params["bias"] += rng.standard_normal(params["bias"].shape)
    X = rng.standard_normal((*shape[:2], 3, shape[2]))
    Y, unit = run_forward(layer, params, X, training=True)
    assert_close(Y, forward(X, params["weight"], params.get("bias"), **where))
    dY = rng.standard_normal(Y.shape)
    dX = run_backward(layer, params, unit, dY)
    for actual, expected in zip(
        [dX, unit.gradients["weight"], unit.gradients.get("bias")],
        backward(X, params["weight"], dY, **where),
        strict=True,
    ):
        if actual is not None:
            assert_close(actual, expected)
    assert ("bias" in unit.gradients) == layer.use_bias


def test_multiply_adds_and_scratch_memory_are_counted():
    """14 x 14 windows of 5 x 5 x 3 values, each times 16 filters; the image is padded by 1 and 2 pixels."""
    layer = Conv2D(16, 5, strides=2)
    assert layer.scratch_size((28, 28, 3)) == 14 * 14 * (75 + 1) + 31 * 31 * 3  # one for the bias
    assert Conv2D(16, 5, strides=2, use_bias=False).scratch_size((28, 28, 3)) == 14 * 14 * 75 + 31 * 31 * 3
    assert layer.multiply_adds((28, 28, 3)) == 14 * 14 * 75 * 16
    grouped = Conv2D(16, 5, strides=2, groups=4, dilation=2)
    assert grouped.multiply_adds((28, 28, 8)) == 14 * 14 * 25 * 2 * 16
    depthwise = DepthwiseConv2D(5, strides=2, depth_multiplier=3)
    assert depthwise.multiply_adds((28, 28, 8)) == 14 * 14 * 25 * 8 * 3


# layer, channels, shape of the weight, inputs that a result sums over, results that an input reaches
FANS = [
    (Conv2D(40, 5), 8, (5, 5, 8, 40), 25 * 8, 25 * 40),
    (Conv2D(40, 5, groups=4, strides=3, dilation=2), 8, (5, 5, 2, 40), 25 * 2, 25 * 10),
    (Conv2D(6, (7, 5), groups=6), 6, (7, 5, 1, 6), 35, 35),
    (DepthwiseConv2D(5), 9, (5, 5, 9, 1), 25, 25),
    (DepthwiseConv2D((3, 4), depth_multiplier=6), 4, (3, 4, 4, 6), 12, 12 * 6),
]


@pytest.mark.parametrize(("layer", "channels", "shape", "fan_in", "fan_out"), FANS, ids=str)
def test_initial_weights_follow_from_the_fans(layer, channels, shape, fan_in, fan_out):
    """A filter of a group sums over the channels of its group only, and these reach no other filters."""
    dtype = np.dtype(np.float32)
    for activation, gain in [(GELU(), np.sqrt(2)), (SELU(), 1), (None, None)]:
        params = layer.init_params((19, 19, channels), activation=activation, dtype=dtype, rng=generator(0))
        expected = initial_weight(shape, fan_in, fan_out, gain=gain, dtype=dtype, rng=generator(0))
        np.testing.assert_array_equal(params["weight"], expected)
        np.testing.assert_array_equal(params["bias"], np.zeros(layer.output_shape((19, 19, channels))[2]))
        assert params["weight"].dtype == params["bias"].dtype == dtype


CONV = partial(Conv2D, filters=2)


@pytest.mark.parametrize(
    ("make", "parameter", "values"),
    [
        (CONV, "filters", NOT_SIZES),
        (CONV, "groups", NOT_SIZES),
        (DepthwiseConv2D, "depth_multiplier", NOT_SIZES),
        *(
            (make, name, (*NOT_PAIRS, None))
            for make in (CONV, DepthwiseConv2D)
            for name in ("kernel_size", "strides", "dilation")
        ),
        *((make, "padding", NOT_PADDINGS) for make in (CONV, DepthwiseConv2D)),
        *((make, name, ("yes",)) for make in (CONV, DepthwiseConv2D) for name in ("use_bias", "activation")),
        (CONV, "initial_weight", ("dirac",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_hyperparameters(make, parameter, values):
    assert_refused(make, parameter, values, (8, 9, 6))


LARGER = "is larger than the padded image of"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Conv2D(2, 10, padding="valid"), f"kernel_size=(10, 10) {LARGER} (8, 9)"),
        (Conv2D(2, (11, 2), padding=((1, 1), 2)), f"kernel_size=(11, 2) {LARGER} (10, 13)"),
        (Conv2D(2, dilation=4, padding="valid"), f"kernel_size=(3, 3) with dilation=(4, 4) {LARGER} (8, 9)"),
        (
            DepthwiseConv2D((2, 3), dilation=(1, 6), padding=(0, 1)),
            f"kernel_size=(2, 3) with dilation=(1, 6) {LARGER} (8, 11)",
        ),
        (Conv2D(8, groups=4), "groups=4 does not divide the 6 channels; choose one of [1, 2]"),
        (Conv2D(7, groups=3), "groups=3 does not divide the 7 filters; choose one of [1]"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_what_does_not_fit_the_image_is_refused(layer, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        layer.output_shape((8, 9, 6))


def test_padding_makes_room_for_a_large_kernel():
    assert Conv2D(2, (11, 2), padding=((2, 1), 0)).output_shape((8, 9, 1)) == (1, 8, 2)
    assert Conv2D(2, 3, dilation=4, padding=(1, 0)).output_shape((7, 9, 1)) == (1, 1, 2)


@pytest.mark.parametrize("layer", [Conv2D(2, strides=(4, 3)), DepthwiseConv2D(strides=(4, 3))], ids=type)
def test_pixel_strides_are_the_distances_between_windows(layer):
    """The shapes, of 5 pixels and 2 windows, would suggest 3 for both."""
    assert layer.output_shape((5, 5, 1))[:2] == (2, 2)
    assert layer.pixel_strides((5, 5, 1)) == (4, 3)


def test_images_are_kept_for_the_backward_pass_where_the_kernel_reads_them():
    """Winograd's algorithm keeps transformed tiles instead."""
    assert Conv2D(16).reads_in_backward((8, 8, 16)) == ()
    assert Conv2D(16).reads_in_backward((8, 8, 3)) == ("X",)
    assert DepthwiseConv2D().reads_in_backward((8, 8, 16)) == ("X",)


def test_scaled_parameters_keep_the_dtype():
    params = {"weight": np.ones((1, 1, 3, 2), np.float32), "bias": np.array([1, 2], np.float32)}
    layer, scaled = Conv2D(2, 1).scale_and_shift(params, np.array([2.0, 3.0]), np.array([0.5, 1.0]))
    assert layer.use_bias
    assert scaled["weight"].dtype == scaled["bias"].dtype == np.float32
    np.testing.assert_array_equal(scaled["weight"], np.broadcast_to([2, 3], (1, 1, 3, 2)))
    np.testing.assert_array_equal(scaled["bias"], [2.5, 7])


@pytest.mark.parametrize(
    ("layer", "channels", "passed"),
    [
        (Conv2D(5, initial_weight="identity"), 3, {0: 0, 1: 1, 2: 2}),
        (Conv2D(6, groups=2, initial_weight="identity"), 4, {0: 0, 1: 1, 3: 2, 4: 3}),
    ],
    ids=str,
)
def test_a_start_from_the_identity_gives_channels_as_they_are(layer, channels, passed):
    """And other filters begin with the random numbers that they have otherwise."""
    shape = (6, 5, channels)
    X = generator(0).standard_normal((*shape[:2], 3, channels))
    params = initial_params(layer, shape)
    Y, _ = run_forward(layer, params, X, training=False)
    for result, channel in passed.items():
        np.testing.assert_allclose(Y[..., result], X[..., channel], rtol=0, atol=1e-14)
    random = initial_params(clone(layer).set_params(initial_weight="random"), shape)["weight"]
    others = [index for index in range(layer.filters) if index not in passed]
    np.testing.assert_array_equal(params["weight"][..., others], random[..., others])
