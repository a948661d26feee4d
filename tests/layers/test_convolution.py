"""Tests of the convolutional layer."""

import numpy as np
import pytest
import reference
from reference import assert_close, run_backward, run_forward

from skcnn.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    MaxPool2D,
    ReLU,
    Sigmoid,
    Tanh,
)
from skcnn.network import Network, compile_steps
from skcnn.random_streams import RandomStreams

# layer, input shape, strides, padding as ((top, bottom), (left, right)): worked out by hand
FORWARD = [
    (Conv2D(3), (5, 6, 2), (1, 1), ((1, 1), (1, 1))),
    (Conv2D(2, 3, strides=2), (6, 7, 2), (2, 2), ((0, 1), (1, 1))),
    (Conv2D(2, (2, 5), strides=(1, 3)), (4, 8, 1), (1, 3), ((0, 1), (1, 2))),
    (Conv2D(4, 1, strides=4), (9, 10, 3), (4, 4), ((0, 0), (0, 0))),
    (Conv2D(2, (1, 3)), (1, 8, 1), (1, 1), ((0, 0), (1, 1))),
    (Conv2D(2, 7), (2, 3, 2), (1, 1), ((3, 3), (3, 3))),
    (Conv2D(2, (3, 2), padding="valid"), (5, 4, 3), (1, 1), ((0, 0), (0, 0))),
    (Conv2D(3, (4, 5), padding="valid"), (4, 5, 2), (1, 1), ((0, 0), (0, 0))),
    (Conv2D(2, 2, strides=3, padding="valid"), (8, 6, 1), (3, 3), ((0, 0), (0, 0))),
    (Conv2D(2, 3, padding=2), (3, 4, 2), (1, 1), ((2, 2), (2, 2))),
    (Conv2D(2, 2, padding=(3, (0, 4)), use_bias=False), (2, 3, 2), (1, 1), ((3, 3), (0, 4))),
    (Conv2D(1, [3, 2], strides=[2, 1], padding=[[2, 0], 1]), (4, 3, 2), (2, 1), ((2, 0), (1, 1))),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("layer", "shape", "strides", "padding"), FORWARD, ids=str)
def test_forward_and_backward(layer, shape, strides, padding, dtype):
    """The naive convolution and its naive gradients, with the padding worked out by hand."""
    rng = np.random.default_rng(0)
    params = layer.init_params(shape, activation=None, dtype=np.dtype(dtype), rng=rng)
    if layer.use_bias:
        params["bias"] += rng.standard_normal(layer.filters).astype(dtype)
    X = rng.standard_normal((*shape[:2], 3, shape[2])).astype(dtype)
    Y, unit = run_forward(layer, params, X, training=True)
    where = {"strides": strides, "padding": padding}
    assert_close(Y, reference.conv2d(X, params["weight"], params.get("bias"), **where))
    dY = rng.standard_normal(Y.shape).astype(dtype)
    dX = run_backward(layer, params, unit, dY)
    for actual, expected in zip(
        [dX, unit.gradients["weight"], unit.gradients.get("bias")],
        reference.conv2d_backward(X, params["weight"], dY, **where),
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
    assert Conv2D(2, kernel, strides=stride).output_shape((size, size, 1)) == (outputs, outputs, 2)
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


def test_no_input_gradient_where_nothing_reads_it():
    layer = Conv2D(2)
    params = layer.init_params((4, 4, 1), activation=None, dtype=np.dtype("f8"), rng=np.random.default_rng(0))
    Y, unit = run_forward(layer, params, np.ones((4, 4, 3, 1)), training=True)
    assert run_backward(layer, params, unit, np.ones_like(Y), need_dX=False) is None
    assert unit.gradients["bias"].tolist() == [48, 48]
    assert unit.gradients["weight"][1, 1, 0, 0] == 48  # the middle of the kernel meets every pixel
    assert unit.gradients["weight"][0, 0, 0, 1] == 27  # its corner meets 3 x 3 of 4 x 4


def test_multiply_adds_and_scratch_memory_are_counted():
    """14 x 14 windows of 5 x 5 x 3 values, each times 16 filters."""
    layer = Conv2D(16, 5, strides=2)
    assert layer.scratch_size((28, 28, 3)) == 14 * 14 * 75
    assert layer.multiply_adds((28, 28, 3)) == 14 * 14 * 75 * 16


def test_only_the_weight_decays():
    steps = compile_steps([("conv", Conv2D(4)), ("flat", Flatten())], (5, 5, 2))
    network = Network(steps, dtype=np.float32, streams=RandomStreams(0))
    assert network.n_params == 3 * 3 * 2 * 4 + 4
    assert network.n_decayed == 3 * 3 * 2 * 4


HE, GLOROT = "He", "Glorot"


def scale_of(weight):
    """Tell He from Glorot weights of a (5, 5, 8, 40) kernel.

    He is normal with variance 2 / fan-in, Glorot uniform with 2 / (fan-in + fan-out): deviations 0.1 and
    0.0408. Those of n draws have a relative error of about 1 / sqrt(2 n), 0.8 percent; 4 are five of them.
    """
    assert weight.shape == (5, 5, 8, 40)
    assert abs(weight.mean()) < 5 * weight.std() / np.sqrt(weight.size)
    he, glorot = np.sqrt(2 / (25 * 8)), np.sqrt(2 / (25 * (8 + 40)))
    if weight.std() == pytest.approx(he, rel=0.04):
        assert np.abs(weight).max() > 3 * he  # normal: 0.3 percent are beyond three deviations
        return HE
    assert weight.std() == pytest.approx(glorot, rel=0.04)
    assert 0.99 < np.abs(weight).max() / (np.sqrt(3) * glorot) <= 1  # uniform: up to the bound
    return GLOROT


CONV = Conv2D(40, 5)

INITIAL_WEIGHTS = [
    ([Conv2D(40, 5, activation="relu")], HE),
    ([CONV, ReLU()], HE),
    ([CONV, MaxPool2D(), ReLU()], HE),
    ([CONV, AvgPool2D(), ReLU()], HE),
    ([CONV, BatchNorm(), ReLU()], HE),
    ([CONV, BatchNorm(), MaxPool2D(), Dropout(0.1), ReLU()], HE),
    ([CONV, GlobalAvgPool2D(), ReLU()], HE),
    ([CONV, Flatten(), ReLU()], HE),
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
    """He before a ReLU, through whatever has no weights; Glorot elsewhere."""
    steps = compile_steps([(f"layer{index}", layer) for index, layer in enumerate(layers)], (4, 4, 8))
    network = Network(steps, dtype=np.float64, streams=RandomStreams(0))
    assert scale_of(network.params["layer0"]["weight"]) == scale
    assert (network.params["layer0"]["bias"] == 0).all()


def test_initial_weights_are_the_same_numbers_in_both_dtypes():
    double, single = (
        CONV.init_params((4, 4, 8), activation="relu", dtype=np.dtype(dtype), rng=np.random.default_rng(0))
        for dtype in ("f8", "f4")
    )
    np.testing.assert_array_equal(single["weight"], double["weight"].astype(np.float32))


PAIR = "must be an int >= 1 or a pair of such ints"
PADDING = "padding must be 'same', 'valid', an int >= 0, or a pair of ints or of (before, after)"

WRONG = [
    (Conv2D(0), "filters", "an int >= 1, got 0"),
    (Conv2D(1.5), "filters", "an int >= 1, got 1.5"),
    (Conv2D(True), "filters", "an int >= 1, got True"),
    (Conv2D(None), "filters", "an int >= 1, got None"),
    (Conv2D(2, use_bias="yes"), "'use_bias'", "bool"),
    (Conv2D(2, 0), "kernel_size", f"{PAIR}, got 0"),
    (Conv2D(2, 3.0), "kernel_size", f"{PAIR}, got 3.0"),
    (Conv2D(2, "3"), "kernel_size", f"{PAIR}, got '3'"),
    (Conv2D(2, None), "kernel_size", f"{PAIR}, got None"),
    (Conv2D(2, True), "kernel_size", f"{PAIR}, got True"),
    (Conv2D(2, (3, 3, 3)), "kernel_size", f"{PAIR}, got (3, 3, 3)"),
    (Conv2D(2, (3, -1)), "kernel_size", f"{PAIR}, got (3, -1)"),
    (Conv2D(2, strides=0), "strides", f"{PAIR}, got 0"),
    (Conv2D(2, strides=(1, 0)), "strides", f"{PAIR}, got (1, 0)"),
    (Conv2D(2, strides=None), "strides", f"{PAIR}, got None"),
    *(
        (Conv2D(2, padding=padding), "padding", f"{PADDING}, got {padding!r}")
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
    (Conv2D(2, 10, padding="valid"), "kernel_size=(10, 10)", "larger than the padded image of (8, 9)"),
    (Conv2D(2, (1, 10), padding="valid"), "kernel_size=(1, 10)", "larger than the padded image of (8, 9)"),
    (
        Conv2D(2, (11, 2), padding=((1, 1), 2)),
        "kernel_size=(11, 2)",
        "larger than the padded image of (10, 13)",
    ),
]


@pytest.mark.parametrize(("layer", "parameter", "expected"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_hyperparameters(layer, parameter, expected):
    """The message names the layer, the parameter, what was expected and what came."""
    with pytest.raises(ValueError) as info:
        compile_steps([("conv", layer)], (8, 9, 1))
    message = str(info.value)
    assert message.startswith("layer 'conv', Conv2D(")
    assert "on input of shape (8, 9, 1)" in message
    assert parameter in message
    assert expected in message


def test_padding_makes_room_for_a_large_kernel():
    assert Conv2D(2, (11, 2), padding=((2, 1), 0)).output_shape((8, 9, 1)) == (1, 8, 2)


def test_vectors_are_refused():
    with pytest.raises(ValueError, match=r"layer 'conv'.*expected an image .*, got shape \(64,\)"):
        compile_steps([("conv", Conv2D(3))], (64,))


def test_activation_becomes_a_layer_of_its_own():
    steps = compile_steps([("conv", Conv2D(3, activation="tanh"))], (4, 4, 1))
    assert [step.name for step in steps] == ["input", "conv", "conv_tanh"]
    assert [step.output_shape for step in steps[1:]] == [(4, 4, 3)] * 2
