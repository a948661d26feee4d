"""Tests of the convolutional layers."""

import numpy as np
import pytest
import reference
from reference import NO_PADDING, assert_close, initial_params, run_backward, run_forward
from seeds import SEED, generator
from sklearn.base import clone

from skcnn.layers import (
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
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    PReLU,
    ReLU,
    Sigmoid,
    SpatialDropout2D,
    Tanh,
    ZeroPad2D,
)
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network

each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])

# layer, input shape, strides, padding as ((top, bottom), (left, right)), dilation: worked out by hand
CONVOLUTIONS = [
    (Conv2D(3), (5, 6, 2), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    (Conv2D(2, 3, strides=2), (6, 7, 2), (2, 2), ((0, 1), (1, 1)), (1, 1)),
    (Conv2D(2, (2, 5), strides=(1, 3)), (4, 8, 1), (1, 3), ((0, 1), (1, 2)), (1, 1)),
    (Conv2D(4, 1, strides=4), (9, 10, 3), (4, 4), NO_PADDING, (1, 1)),
    (Conv2D(2, (1, 3)), (1, 8, 1), (1, 1), ((0, 0), (1, 1)), (1, 1)),
    (Conv2D(2, 7), (2, 3, 2), (1, 1), ((3, 3), (3, 3)), (1, 1)),
    (Conv2D(2, (3, 2), padding="valid"), (5, 4, 3), (1, 1), NO_PADDING, (1, 1)),
    (Conv2D(3, (4, 5), padding="valid"), (4, 5, 2), (1, 1), NO_PADDING, (1, 1)),
    (Conv2D(2, 2, strides=3, padding="valid"), (8, 6, 1), (3, 3), NO_PADDING, (1, 1)),
    (Conv2D(2, 3, padding=2), (3, 4, 2), (1, 1), ((2, 2), (2, 2)), (1, 1)),
    (Conv2D(2, 2, padding=(3, (0, 4)), use_bias=False), (2, 3, 2), (1, 1), ((3, 3), (0, 4)), (1, 1)),
    (Conv2D(1, [3, 2], strides=[2, 1], padding=[[2, 0], 1]), (4, 3, 2), (2, 1), ((2, 0), (1, 1)), (1, 1)),
    (Conv2D(2, 3, dilation=2), (5, 6, 2), (1, 1), ((2, 2), (2, 2)), (2, 2)),
    (Conv2D(2, (2, 3), strides=2, dilation=(3, 1)), (6, 5, 2), (2, 2), ((1, 1), (1, 1)), (3, 1)),
    (Conv2D(2, 2, dilation=[4, 5], padding="valid"), (5, 7, 1), (1, 1), NO_PADDING, (4, 5)),
    (Conv2D(1, (1, 3), dilation=7, padding=(0, 7)), (1, 2, 2), (1, 1), ((0, 0), (7, 7)), (7, 7)),
    (Conv2D(6, groups=2), (4, 5, 4), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    (Conv2D(3, 2, groups=3, padding="valid", use_bias=False), (3, 4, 3), (1, 1), NO_PADDING, (1, 1)),
    (Conv2D(4, groups=4, strides=(1, 2)), (1, 5, 4), (1, 2), ((1, 1), (1, 1)), (1, 1)),
    (Conv2D(2, 3, groups=2, dilation=2, padding=1), (5, 4, 6), (1, 1), ((1, 1), (1, 1)), (2, 2)),
    (DepthwiseConv2D(), (5, 6, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    (DepthwiseConv2D(3, strides=2, depth_multiplier=2), (6, 7, 2), (2, 2), ((0, 1), (1, 1)), (1, 1)),
    (DepthwiseConv2D((2, 5), strides=(1, 3)), (4, 8, 1), (1, 3), ((0, 1), (1, 2)), (1, 1)),
    (DepthwiseConv2D((1, 3), dilation=2, depth_multiplier=3), (1, 6, 2), (1, 1), ((0, 0), (2, 2)), (2, 2)),
    (DepthwiseConv2D(2, strides=4, padding="valid", use_bias=False), (7, 9, 2), (4, 4), NO_PADDING, (1, 1)),
    (DepthwiseConv2D([4, 5], padding="valid"), (4, 5, 2), (1, 1), NO_PADDING, (1, 1)),
    (DepthwiseConv2D(2, padding=[[2, 0], 3], dilation=(2, 1)), (2, 1, 2), (1, 1), ((2, 0), (3, 3)), (2, 1)),
    (DepthwiseConv2D(5, depth_multiplier=2), (1, 1, 3), (1, 1), ((2, 2), (2, 2)), (1, 1)),
]


def oracle(layer):
    """The naive loops of a layer, forward and backward."""
    if isinstance(layer, DepthwiseConv2D):
        return reference.depthwise_conv2d, reference.depthwise_conv2d_backward, {}
    return reference.conv2d, reference.conv2d_backward, {"groups": layer.groups}


@each_dtype
@pytest.mark.parametrize(("layer", "shape", "strides", "padding", "dilation"), CONVOLUTIONS, ids=str)
def test_forward_and_backward(layer, shape, strides, padding, dilation, dtype):
    """The naive convolution and its naive gradients, with the padding worked out by hand."""
    forward, backward, where = oracle(layer)
    where |= {"strides": strides, "padding": padding, "dilation": dilation}
    rng = generator(0)
    params = initial_params(layer, shape, dtype)
    if layer.use_bias:
        params["bias"] += rng.standard_normal(params["bias"].shape).astype(dtype)
    X = rng.standard_normal((*shape[:2], 3, shape[2])).astype(dtype)
    Y, unit = run_forward(layer, params, X, training=True)
    assert_close(Y, forward(X, params["weight"], params.get("bias"), **where))
    dY = rng.standard_normal(Y.shape).astype(dtype)
    dX = run_backward(layer, params, unit, dY)
    for actual, expected in zip(
        [dX, unit.gradients["weight"], unit.gradients.get("bias")],
        backward(X, params["weight"], dY, **where),
        strict=True,
    ):
        if actual is not None:
            assert_close(actual, expected)
    assert ("bias" in unit.gradients) == layer.use_bias


# size, kernel, stride -> outputs of Keras with padding="same": ceil(size / stride), worked out by hand
SAME = [
    (28, 3, 1, 28),
    (28, 5, 2, 14),
    (7, 3, 2, 4),
    (224, 7, 2, 112),
    (5, 3, 3, 2),
    (10, 1, 4, 3),
    (3, 9, 1, 3),
    (1, 3, 2, 1),
]


@pytest.mark.parametrize(("size", "kernel", "stride", "outputs"), SAME)
def test_same_padding_has_the_output_size_of_keras(size, kernel, stride, outputs):
    """Whatever the dilation."""
    for dilation in (1, 3):
        layer = Conv2D(2, kernel, strides=stride, dilation=dilation)
        assert layer.output_shape((size, size, 1)) == (outputs, outputs, 2)
    assert Conv2D(2, (kernel, 1), strides=(stride, 1)).output_shape((size, 6, 1)) == (outputs, 6, 2)
    assert Conv2D(2, (1, kernel), strides=(1, stride)).output_shape((6, size, 1)) == (6, outputs, 2)


@pytest.mark.parametrize(
    ("width", "kernel", "stride", "expected"),
    [
        # pixels 1, 2, 3, ... and a kernel of ones; the odd zero of "same" stands at the end
        (4, 2, 1, [1 + 2, 2 + 3, 3 + 4, 4]),
        (4, 3, 2, [1 + 2 + 3, 3 + 4]),
        (5, 3, 2, [1 + 2, 2 + 3 + 4, 4 + 5]),
        (5, 4, 1, [1 + 2 + 3, 1 + 2 + 3 + 4, 2 + 3 + 4 + 5, 3 + 4 + 5, 4 + 5]),
        (6, 2, 3, [1 + 2, 4 + 5]),
        (5, 1, 3, [1, 4]),
    ],
)
def test_same_padding_puts_the_odd_zero_at_the_end(width, kernel, stride, expected):
    """As TensorFlow does; a zero at the beginning would give other sums."""
    layer = Conv2D(1, (1, kernel), strides=(1, stride), use_bias=False)
    X = np.arange(1.0, width + 1).reshape(1, width, 1, 1)
    Y, _ = run_forward(layer, {"weight": np.ones((1, kernel, 1, 1))}, X, training=False)
    assert Y.ravel().tolist() == expected


def test_a_kernel_is_not_flipped():
    """Cross-correlation, as in all libraries of the field: a one at the left shifts to the right."""
    X = np.arange(1.0, 5).reshape(1, 4, 1, 1)
    weight = np.array([1.0, 0, 0]).reshape(1, 3, 1, 1)
    Y, _ = run_forward(Conv2D(1, (1, 3), use_bias=False), {"weight": weight}, X, training=False)
    assert Y.ravel().tolist() == [0, 1, 2, 3]


def test_dilation_reads_every_other_pixel():
    """By hand: pixels 1 to 7 in a row, three ones with a pixel between each."""
    layer = Conv2D(1, (1, 3), padding="valid", dilation=(1, 2), use_bias=False)
    X = np.arange(1.0, 8).reshape(1, 7, 1, 1)
    Y, _ = run_forward(layer, {"weight": np.ones((1, 3, 1, 1))}, X, training=False)
    assert Y.ravel().tolist() == [1 + 3 + 5, 2 + 4 + 6, 3 + 5 + 7]


def test_a_dilated_kernel_is_a_larger_one_with_zeros():
    rng = generator(0)
    X, weight = rng.standard_normal((7, 8, 2, 3)), rng.standard_normal((3, 2, 3, 4))
    spread = np.zeros((5, 4, 3, 4))
    spread[::2, ::3] = weight
    where = {"strides": (2, 1), "padding": ((1, 2), 2), "use_bias": False}
    dilated, _ = run_forward(
        Conv2D(4, (3, 2), dilation=(2, 3), **where), {"weight": weight}, X, training=False
    )
    large, _ = run_forward(Conv2D(4, (5, 4), **where), {"weight": spread}, X, training=False)
    assert_close(dilated, large)


def test_groups_are_convolutions_side_by_side():
    """Each of its share of the channels, with its share of the filters."""
    rng = generator(0)
    X, weight = rng.standard_normal((5, 4, 2, 6)), rng.standard_normal((3, 3, 2, 9))
    Y, _ = run_forward(Conv2D(9, groups=3, use_bias=False), {"weight": weight}, X, training=False)
    for group in range(3):
        channels, filters = slice(2 * group, 2 * group + 2), slice(3 * group, 3 * group + 3)
        share, _ = run_forward(
            Conv2D(3, use_bias=False),
            {"weight": np.ascontiguousarray(weight[..., filters])},
            np.ascontiguousarray(X[..., channels]),
            training=False,
        )
        assert_close(Y[..., filters], share)


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_convolution_is_one_group_a_channel(multiplier):
    """The same results and gradients as Conv2D, of the same weights."""
    rng = generator(0)
    X, weight = rng.standard_normal((5, 6, 2, 4)), rng.standard_normal((3, 2, 4, multiplier))
    bias = rng.standard_normal(4 * multiplier)
    where = {"strides": (2, 1), "padding": (1, (0, 2)), "dilation": (1, 2)}
    depthwise = DepthwiseConv2D((3, 2), depth_multiplier=multiplier, **where)
    grouped = Conv2D(4 * multiplier, (3, 2), groups=4, **where)
    results = []
    for layer, array in [(depthwise, weight), (grouped, weight.reshape(3, 2, 1, -1))]:
        params = {"weight": array, "bias": bias}
        Y, unit = run_forward(layer, params, X, training=True)
        dX = run_backward(layer, params, unit, np.cos(np.arange(Y.size)).reshape(Y.shape))
        results.append([Y, dX, unit.gradients["weight"].reshape(-1), unit.gradients["bias"]])
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected)


def test_filters_of_a_channel_stand_together():
    """Channel c with m filters becomes channels c m to c m + m - 1, as in Keras and PyTorch."""
    layer = DepthwiseConv2D(1, depth_multiplier=2, use_bias=False)
    weight = np.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(1, 1, 2, 2)
    Y, _ = run_forward(layer, {"weight": weight}, np.array([2.0, 3.0]).reshape(1, 1, 1, 2), training=False)
    assert Y.ravel().tolist() == [2, 20, 300, 3000]


@pytest.mark.parametrize("layer", [Conv2D(2), Conv2D(2, groups=2), DepthwiseConv2D()], ids=str)
def test_no_input_gradient_where_nothing_reads_it(layer):
    params = initial_params(layer, (4, 4, 2))
    Y, unit = run_forward(layer, params, np.ones((4, 4, 3, 2)), training=True)
    assert run_backward(layer, params, unit, np.ones_like(Y), need_dX=False) is None
    assert unit.gradients["bias"].tolist() == [48, 48]
    assert (unit.gradients["weight"][1, 1] == 48).all()  # the middle of the kernel meets every pixel
    assert (unit.gradients["weight"][0, 0] == 27).all()  # its corner meets 3 x 3 of 4 x 4


def test_multiply_adds_and_scratch_memory_are_counted():
    """14 x 14 windows of 5 x 5 x 3 values, each times 16 filters; the image is padded by 1 and 2 pixels."""
    layer = Conv2D(16, 5, strides=2)
    assert layer.scratch_size((28, 28, 3)) == 14 * 14 * (75 + 1) + 31 * 31 * 3  # one for the bias
    assert Conv2D(16, 5, strides=2, use_bias=False).scratch_size((28, 28, 3)) == 14 * 14 * 75 + 31 * 31 * 3
    assert layer.multiply_adds((28, 28, 3)) == 14 * 14 * 75 * 16


def test_multiply_adds_of_groups_are_those_of_their_channels():
    layer = Conv2D(16, 5, strides=2, groups=4, dilation=2)
    assert layer.multiply_adds((28, 28, 8)) == 14 * 14 * 25 * 2 * 16
    layer = DepthwiseConv2D(5, strides=2, depth_multiplier=3)
    assert layer.multiply_adds((28, 28, 8)) == 14 * 14 * 25 * 8 * 3


@pytest.mark.parametrize(
    ("layer", "weight"),
    [
        (Conv2D(4), (3, 3, 2, 4)),
        (Conv2D(4, (5, 1), groups=2), (5, 1, 1, 4)),
        (DepthwiseConv2D((1, 2), depth_multiplier=5), (1, 2, 2, 5)),
    ],
    ids=str,
)
def test_only_the_weight_decays(layer, weight):
    nodes = compile_nodes([("conv", layer)], (5, 5, 2))
    network = init_network(nodes, dtype=np.float32, seed=SEED)
    assert network.params["conv"]["weight"].shape == weight
    assert network.params["conv"]["bias"].shape == layer.output_shape((5, 5, 2))[2:]
    assert network.n_decayed == np.prod(weight)
    assert network.n_params == network.n_decayed + network.params["conv"]["bias"].size


HE, LECUN, GLOROT = "He", "LeCun", "Glorot"


def scale_of(weight, fan_in, fan_out):
    """Tell He, LeCun and Glorot weights from each other, of thousands of draws.

    He is normal with variance 2 / fan-in, LeCun with 1 / fan-in, Glorot uniform with 2 / (fan-in + fan-out).
    The largest of a uniform distribution is sqrt(3) deviations, of a normal one 0.3 percent are beyond
    three. The deviation of n draws has a relative error of about 1 / sqrt(2 n), 1.6 percent of 2,000; 8 are
    five of them.
    """
    assert weight.size >= 2000
    deviation = weight.std()
    assert abs(weight.mean()) < 5 * deviation / np.sqrt(weight.size)
    if np.abs(weight).max() < 2 * deviation:
        assert deviation == pytest.approx(np.sqrt(2 / (fan_in + fan_out)), rel=0.08)
        return GLOROT
    assert np.abs(weight).max() > 3 * deviation
    (scale,) = (
        name
        for name, variance in [(HE, 2 / fan_in), (LECUN, 1 / fan_in)]
        if deviation == pytest.approx(np.sqrt(variance), rel=0.08)
    )
    return scale


CONV = Conv2D(40, 5)

INITIAL_WEIGHTS = [
    ([Conv2D(40, 5, activation="relu")], HE),
    ([Conv2D(40, 5, activation="swish")], HE),
    ([Conv2D(40, 5, activation="selu")], LECUN),
    ([CONV, ReLU()], HE),
    ([CONV, LeakyReLU()], HE),
    ([CONV, PReLU()], HE),
    ([CONV, MaxPool2D(), ReLU()], HE),
    ([CONV, AvgPool2D(), ReLU()], HE),
    ([CONV, BatchNorm(), ReLU()], HE),
    ([CONV, BatchNorm(), MaxPool2D(), Dropout(0.1), ReLU()], HE),
    ([CONV, GlobalAvgPool2D(), ReLU()], HE),
    ([CONV, Flatten(), ReLU()], HE),
    ([CONV, LayerNorm(), GroupNorm(4), LocalResponseNorm(), ReLU()], HE),
    ([CONV, ZeroPad2D(), SpatialDropout2D(), GlobalMaxPool2D(), ReLU()], HE),
    ([CONV, PReLU(), Tanh()], HE),
    ([CONV, Tanh(), ReLU()], GLOROT),
    ([CONV, DepthwiseConv2D(activation="relu")], GLOROT),
    ([CONV], GLOROT),
    ([Conv2D(40, 5, activation="tanh")], GLOROT),
    ([Conv2D(40, 5, activation="logistic")], GLOROT),
    ([Conv2D(40, 5, activation="identity"), Conv2D(2), ReLU()], GLOROT),
    ([CONV, BatchNorm(), Tanh()], GLOROT),
    ([CONV, Sigmoid(), ReLU()], GLOROT),
    ([CONV, Conv2D(2, activation="relu")], GLOROT),
    ([CONV, Flatten(), Dense(2, activation="relu")], GLOROT),
]


@pytest.mark.parametrize(("layers", "scale"), INITIAL_WEIGHTS, ids=lambda value: " ".join(str(value).split()))
def test_initial_weights_suit_the_activation_that_follows(layers, scale):
    """He before a rectifier, LeCun before SELU, through whatever has no weights; Glorot elsewhere."""
    nodes = compile_nodes([(f"layer{index}", layer) for index, layer in enumerate(layers)], (4, 4, 8))
    network = init_network(nodes, dtype=np.float64, seed=SEED)
    assert scale_of(network.params["layer0"]["weight"], 25 * 8, 25 * 40) == scale
    assert (network.params["layer0"]["bias"] == 0).all()


# layer, channels, inputs that a result sums over, results that an input reaches: worked out by hand
FANS = [
    (Conv2D(40, 5), 8, 25 * 8, 25 * 40),
    (Conv2D(40, 5, groups=4), 8, 25 * 2, 25 * 10),
    (Conv2D(100, (3, 4), groups=10), 40, 12 * 4, 12 * 10),
    (Conv2D(60, (7, 5), groups=60), 60, 35, 35),
    (Conv2D(40, 5, strides=3, dilation=2), 8, 25 * 8, 25 * 40),
    (DepthwiseConv2D(5), 90, 25, 25),
    (DepthwiseConv2D((3, 4), depth_multiplier=6), 40, 12, 12 * 6),
]


@pytest.mark.parametrize(("activation", "scale"), [(GELU(), HE), (SELU(), LECUN), (None, GLOROT)], ids=str)
@pytest.mark.parametrize(("layer", "channels", "fan_in", "fan_out"), FANS, ids=str)
def test_initial_weights_follow_from_the_fans(layer, channels, fan_in, fan_out, activation, scale):
    """A filter of a group sums over the channels of its group only, and these reach no other filters."""
    params = layer.init_params(
        (9, 9, channels), activation=activation, dtype=np.dtype("f8"), rng=generator(0)
    )
    assert scale_of(params["weight"], fan_in, fan_out) == scale
    assert (params["bias"] == 0).all()


def test_initial_weights_are_the_same_numbers_in_both_dtypes():
    double, single = (
        CONV.init_params((4, 4, 8), activation=ReLU(), dtype=np.dtype(dtype), rng=generator(0))
        for dtype in ("f8", "f4")
    )
    np.testing.assert_array_equal(single["weight"], double["weight"].astype(np.float32))


PAIR = "must be an int >= 1 or a pair of such ints"
PADDING = "padding must be 'same', 'valid', an int >= 0, or a pair of ints or of (before, after)"
LARGER = "is larger than the padded image of"

WRONG = [
    *(
        (Conv2D(**{"filters": 2, name: value}), f"{name} must be an int >= 1, got {value!r}")
        for name in ("filters", "groups")
        for value in (0, -1, 1.5, True, None, "2", (1, 2))
    ),
    *(
        (DepthwiseConv2D(depth_multiplier=value), f"depth_multiplier must be an int >= 1, got {value!r}")
        for value in (0, -1, 1.5, True, None, "2", (1, 2))
    ),
    (Conv2D(2, use_bias="yes"), "'use_bias' parameter of Conv2D must be"),
    (DepthwiseConv2D(use_bias="yes"), "'use_bias' parameter of DepthwiseConv2D must be"),
    *(
        (make(**{name: value}), f"{name} {PAIR}, got {value!r}")
        for make in (lambda **options: Conv2D(2, **options), DepthwiseConv2D)
        for name in ("kernel_size", "strides", "dilation")
        for value in (0, -1, 1.5, 3.0, "3", None, True, (3,), (3, 3, 3), (3, -1), (1, 0), (2, True))
    ),
    *(
        (make(padding=padding), f"{PADDING}, got {padding!r}")
        for make in (lambda padding: Conv2D(2, padding=padding), DepthwiseConv2D)
        for padding in [
            "full",
            "SAME",
            "",
            -1,
            1.0,
            None,
            True,
            (1,),
            (1, 2, 3),
            (1, -1),
            (1, "same"),
            ((1, 2, 3), 0),
            ((1, 2), (3, 4), (5, 6)),
            ((-1, 2), 0),
            (1, (2, 0.5)),
        ]
    ),
    (Conv2D(2, 10, padding="valid"), f"kernel_size=(10, 10) {LARGER} (8, 9)"),
    (Conv2D(2, (1, 10), padding="valid"), f"kernel_size=(1, 10) {LARGER} (8, 9)"),
    (Conv2D(2, (11, 2), padding=((1, 1), 2)), f"kernel_size=(11, 2) {LARGER} (10, 13)"),
    (DepthwiseConv2D(9, padding="valid"), f"kernel_size=(9, 9) {LARGER} (8, 9)"),
    (Conv2D(2, dilation=4, padding="valid"), f"kernel_size=(3, 3) with dilation=(4, 4) {LARGER} (8, 9)"),
    (
        DepthwiseConv2D((2, 3), dilation=(1, 6), padding=(0, 1)),
        f"kernel_size=(2, 3) with dilation=(1, 6) {LARGER} (8, 11)",
    ),
    (
        Conv2D(2, 10, padding="valid"),
        "(height, width); use a smaller kernel or more padding",
    ),
    (
        Conv2D(8, groups=4),
        "groups=4 does not divide the 6 channels; choose one of [1, 2], which divide 8 filters as well",
    ),
    (
        Conv2D(8, groups=3),
        "groups=3 does not divide the 8 filters; choose one of [1, 2], which divide 6 channels as well",
    ),
    (
        Conv2D(7, groups=3),
        "groups=3 does not divide the 7 filters; choose one of [1], which divide 6 channels as well",
    ),
    (
        Conv2D(9, groups=9),
        "groups=9 does not divide the 6 channels; choose one of [1, 3], which divide 9 filters as well",
    ),
]


@pytest.mark.parametrize(("layer", "expected"), WRONG, ids=lambda value: " ".join(str(value).split())[:70])
def test_wrong_hyperparameters(layer, expected):
    """The message names the layer, the parameter, what was expected and what came."""
    with pytest.raises(ValueError) as info:
        compile_nodes([("conv", layer)], (8, 9, 6))
    message = " ".join(str(info.value).split())
    assert message.startswith(f"layer 'conv', {type(layer).__name__}(")
    assert "on input of shape (8, 9, 6)" in message
    assert expected in message


def test_padding_makes_room_for_a_large_kernel():
    assert Conv2D(2, (11, 2), padding=((2, 1), 0)).output_shape((8, 9, 1)) == (1, 8, 2)
    assert Conv2D(2, 3, dilation=4, padding=(1, 0)).output_shape((7, 9, 1)) == (1, 1, 2)


@pytest.mark.parametrize("layer", [Conv2D(3), DepthwiseConv2D()])
def test_vectors_are_refused(layer):
    with pytest.raises(ValueError, match=r"layer 'conv'.*expected an image .*, got shape \(64,\)"):
        compile_nodes([("conv", layer)], (64,))


@pytest.mark.parametrize("layer", [Conv2D(2, activation="tanh"), DepthwiseConv2D(activation="tanh")])
def test_activation_becomes_a_layer_of_its_own(layer):
    nodes = compile_nodes([("conv", layer)], (4, 4, 2))
    assert [node.name for node in nodes] == ["input", "conv", "conv_tanh"]
    assert [node.output_shape for node in nodes[1:]] == [(4, 4, 2)] * 2


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
        (Conv2D(2, (1, 5), initial_weight="identity"), 4, {0: 0, 1: 1}),
        (Conv2D(4, 2, initial_weight="identity"), 3, {0: 0, 1: 1, 2: 2}),
        (Conv2D(4, dilation=2, initial_weight="identity"), 2, {0: 0, 1: 1}),
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


def test_another_start_is_refused():
    with pytest.raises(ValueError, match="'initial_weight' parameter of Conv2D must be a str among"):
        compile_nodes([("conv1", Conv2D(2, initial_weight="dirac"))], (4, 4, 1))
