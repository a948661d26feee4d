"""From hyperparameters to named layers, and what becomes of both when the estimator is fitted."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.datasets import load_digits
from small_classifiers import make_classifier, make_images

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    Residual,
    Sequential,
    Softmax,
)
from skcnn.architecture import (
    compact_layers,
    complete_layers,
    explicit_layers,
    lenet5,
    small_resnet,
    small_vgg,
    teaching_network,
)
from skcnn.layers.activation import ACTIVATIONS
from skcnn.network.network import init_network

X, Y = make_images(24, (8, 6, 1))
make_net = partial(make_classifier, max_iter=1)


def compact(input_shape=(8, 8, 1), **params):
    defaults = {
        "conv_layer_sizes": (16, 32),
        "kernel_size": 3,
        "pool_size": 2,
        "pooling": "max",
        "normalization": None,
        "hidden_layer_sizes": (64,),
        "activation": "relu",
        "dropout": 0.0,
    }
    return compact_layers(input_shape, **(defaults | params))


def names_of(layers):
    return [name for name, _ in layers]


def shown(value):
    """Return an id for a test, on one line."""
    return " ".join(repr(value).split())


# the compact hyperparameters


def test_compact_layers_are_blocks_and_dense_layers():
    assert repr(compact()) == repr(
        [
            ("conv1", Conv2D(16, 3, activation="relu")),
            ("pool1", MaxPool2D((2, 2))),
            ("conv2", Conv2D(32, 3, activation="relu")),
            ("pool2", MaxPool2D((2, 2))),
            ("dense1", Dense(64, activation="relu")),
        ]
    )


def test_batch_normalization_stands_between_convolution_and_activation():
    layers = compact(normalization="batch", activation="tanh", conv_layer_sizes=(4,))
    assert names_of(layers) == ["conv1", "norm1", "activation1", "pool1", "dense1"]
    assert not dict(layers)["conv1"].use_bias
    assert dict(layers)["conv1"].activation is None
    layers = compact(normalization="batch", activation="identity", conv_layer_sizes=(4,))
    assert names_of(layers) == ["conv1", "norm1", "pool1", "dense1"]


@pytest.mark.parametrize("activation", sorted({*ACTIVATIONS, "identity"} - {"softmax"}))
def test_every_activation_trains(activation):
    nodes = {node.name for node in make_net(activation=activation).fit(X, Y).network_.nodes}
    expected = {"conv1_" + activation, "dense1_" + activation}
    assert expected.isdisjoint(nodes) if activation == "identity" else expected <= nodes


def test_dropout_follows_each_dense_layer():
    layers = compact(hidden_layer_sizes=(8, 4), dropout=0.25, conv_layer_sizes=())
    assert names_of(layers) == ["dense1", "dropout1", "dense2", "dropout2"]
    assert dict(layers)["dropout2"].rate == 0.25


def test_kind_of_pooling():
    assert isinstance(dict(compact(pooling="average"))["pool1"], AvgPool2D)
    assert names_of(compact(pooling=None)) == ["conv1", "conv2", "dense1"]


def test_pooling_leaves_out_axes_smaller_than_the_pool():
    layers = dict(compact((1, 8, 1), pool_size=3))
    assert layers["pool1"].pool_size == (1, 3)
    assert "pool2" not in layers
    assert "pool1" not in dict(compact((1, 1, 8)))


OF_IMAGES, OF_SIGNALS = [32, 64, 128, 256, 512], [64, 64, 128, 128, 256, 256]


@pytest.mark.parametrize(
    ("shape", "params", "filters"),
    [
        ((15, 15, 1), {}, OF_IMAGES[:2]),
        ((16, 3, 1), {}, OF_IMAGES[:3]),
        ((31, 31, 1), {}, OF_IMAGES[:3]),
        ((32, 32, 3), {}, OF_IMAGES[:4]),
        ((500, 400, 3), {}, OF_IMAGES),
        ((1, 1, 3), {}, OF_IMAGES[:2]),
        ((64, 64, 3), {"pooling": None}, OF_IMAGES[:2]),
        ((64, 64, 3), {"pool_size": 3}, OF_IMAGES[:3]),
        ((64, 8, 3), {"pool_size": (1, 2)}, OF_IMAGES[:2]),
        ((8, 64, 3), {"pool_size": (1, 2)}, OF_IMAGES),
        # one more for signals, and they grow half as fast
        ((1, 2, 1), {}, OF_SIGNALS[:3]),
        ((16, 1, 3), {}, OF_SIGNALS[:4]),
        ((1, 63, 1), {}, OF_SIGNALS[:5]),
        ((1, 5000, 1), {}, OF_SIGNALS),
        ((1, 64, 1), {"pool_size": 4}, OF_SIGNALS[:3]),
    ],
    ids=str,
)
def test_automatic_blocks_are_as_many_as_pooling_leaves_pixels_for(shape, params, filters):
    layers = compact(shape, conv_layer_sizes="auto", **params)
    assert [layer.filters for name, layer in layers if name.startswith("conv")] == filters


@pytest.mark.parametrize("size", [145, 500])
def test_signals_do_not_have_many_times_the_weights_of_images_of_as_many_pixels(size):
    n_signal, n_image = (
        ConvNetClassifier(image_shape=shape).summary(y=range(2)).totals["trained"]
        for shape in ((1, size), (-(-size // 20), 20))
    )
    assert n_signal < 5 * n_image


@pytest.mark.parametrize(
    ("shape", "kernel_size", "sizes"),
    [
        ((1, 20, 1), 3, [(1, 3), (1, 3), (1, 3)]),
        ((1, 1, 2), 3, [(1, 1), (1, 1), (1, 1)]),
        ((4, 4, 1), 3, [3, 3, (1, 1)]),
        ((8, 8, 1), 5, [5, 5, (3, 3)]),
        ((8, 4, 1), (4, 4), [(4, 4), (4, 3), (3, 1)]),
        ((8, 8, 1), 3, [3, 3, 3]),
    ],
    ids=str,
)
def test_kernels_are_cut_to_what_they_reach(shape, kernel_size, sizes):
    layers = dict(compact(shape, conv_layer_sizes=(4, 4, 4), kernel_size=kernel_size))
    assert [layers[f"conv{number}"].kernel_size for number in (1, 2, 3)] == sizes


@pytest.mark.parametrize(("shape", "kernel_size"), [((1, 8, 1), 3), ((2, 4, 1), (2, 6))], ids=str)
def test_every_weight_trains(shape, kernel_size):
    images = generator(0).normal(size=(len(Y), *shape))
    params = {"conv_layer_sizes": (3, 3, 3), "kernel_size": kernel_size}
    params |= {"pooling": "average", "alpha": 0.0, "averaging": None}  # every pixel counts
    before, after = (make_net(max_iter=n, **params).fit(images, Y).network_.params for n in (1, 2))
    for layer in before:
        assert (before[layer]["weight"] != after[layer]["weight"]).all()


def test_single_numbers_stand_for_one_layer():
    one = compact(conv_layer_sizes=16, hidden_layer_sizes=64)
    assert repr(one) == repr(compact(conv_layer_sizes=[16], hidden_layer_sizes=(64,)))
    assert repr(one) == repr(compact(conv_layer_sizes=np.array([16]), hidden_layer_sizes=np.array(64)))
    assert repr(dict(compact(conv_layer_sizes=np.int64(16)))["conv1"].filters) == repr(np.int64(16))


@pytest.mark.parametrize("size", [[4, 2], np.array([4, 2]), np.array([4, 2], "int8")], ids=repr)
def test_windows_are_pairs_of_any_kind(size):
    layers = compact(kernel_size=size, pool_size=size)
    assert repr(layers) == repr(compact(kernel_size=(4, 2), pool_size=(4, 2)))
    assert dict(layers)["pool1"].pool_size == (4, 2)


def test_compact_layers_equal_explicit_ones():
    explicit = [
        ("conv1", Conv2D(3, activation="tanh")),
        ("pool1", MaxPool2D()),
        ("dense1", Dense(4, activation="tanh")),
    ]
    net, other = make_net().fit(X, Y), make_net(explicit).fit(X, Y)
    assert names_of(net.layers_) == ["conv1", "pool1", "flatten", "dense1", "output"]
    assert_array_equal(net.predict_proba(X), other.predict_proba(X))
    net = make_net(conv_layer_sizes=(), hidden_layer_sizes=()).fit(X, Y)
    assert names_of(net.layers_) == ["flatten", "output"]


def test_explicit_layers_leave_the_compact_hyperparameters_unused():
    net = make_net([Dense(3)], conv_layer_sizes=(5, 5), dropout=0.5, normalization="batch").fit(X, Y)
    assert names_of(net.layers_) == ["flatten", "dense_1", "output"]


@pytest.mark.parametrize("normalization", [None, "batch"])
def test_an_activation_layer_is_copied_after_each_compact_layer(normalization):
    given = LeakyReLU(0.2)
    net = make_net(activation=given, normalization=normalization, conv_layer_sizes=(2, 3)).fit(X, Y)
    used = [node.layer for node in net.network_.nodes if isinstance(node.layer, LeakyReLU)]
    assert [layer.negative_slope for layer in used] == [0.2] * 3
    assert len({id(layer) for layer in (given, *used)}) == 4
    before = net.predict_proba(X)
    net.set_params(activation__negative_slope=0.9)
    assert (given.negative_slope, net.activation.negative_slope) == (0.2, 0.9)
    assert_array_equal(net.predict_proba(X), before)


# explicit layers


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ([], "flatten output"),
        ([Conv2D(2), Conv2D(3), Dense(4)], "conv2d_1 conv2d_2 flatten dense_1 output"),
        ((Conv2D(2), ("last", Dense(3))), "conv2d_1 flatten last output"),
        ([Conv2D(2), ("norm", "passthrough"), "passthrough", Dense(3)], "conv2d_1 flatten dense_1 output"),
        ([Conv2D(2), Dropout(), Dense(3)], "conv2d_1 dropout_1 flatten dense_1 output"),
        ([GlobalAvgPool2D(), Dense(3)], "globalavgpool2d_1 dense_1 output"),
        ([Conv2D(2), ("flat", Flatten())], "conv2d_1 flat output"),
        ([("flatten", Conv2D(2))], "flatten output_flatten output"),
    ],
    ids=shown,
)
def test_names_of_built_layers(layers, names):
    """With Flatten where images meet vectors."""
    net = make_net(layers).fit(X, Y)
    assert names_of(net.layers_) == names.split()
    assert type(clone(net).layers) is type(layers)


@pytest.mark.parametrize(
    ("block", "is_flattened"),
    [
        (Sequential(["passthrough", Sequential([Dense(2)])]), True),
        (Residual([("dense", "passthrough"), Dense(2)]), True),
        (Parallel([Dense(2), [Dense(3), Dense(2)], "passthrough"]), True),
        (Parallel(["passthrough", Residual([Dense(2)])]), True),
        (Parallel([Dropout(), [("norm", BatchNorm())]]), False),
        (Sequential([Flatten(), Dense(2)]), False),
        (Residual([Dense(2)], projection=[Dense(2), Dense(2)]), True),
        (Residual([Dense(2)], projection=[GlobalAvgPool2D(), Dense(2)]), False),
        (Residual([Conv2D(2)]), False),
        (Parallel([[Flatten(), Dense(2)], [GlobalAvgPool2D(), Dense(2)]]), False),
    ],
    ids=shown,
)
def test_flatten_is_inserted_before_containers_of_vector_layers(block, is_flattened):
    layers, _ = complete_layers([("block", block)], (4, 4, 2), 3)
    assert (names_of(layers)[0] == "flatten") == is_flattened


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([Dense(3, activation="softmax")], "dense_1_softmax"),
        ([Flatten(), Softmax(), "passthrough"], "softmax_1"),
        ([Dense(3, activation="softmax"), Dropout(0.2), Dropout(0.1)], "dense_1_softmax"),
        ([GlobalAvgPool2D(), Softmax(), Sequential([Dropout()])], "softmax_1"),
        ([Residual([Dense(3)], activation="softmax")], "residual_1_softmax"),
        ([Sequential([Dense(3), ("last", Softmax())])], "sequential_1__last"),
    ],
    ids=repr,
)
def test_softmax_last_is_refused_by_its_name(layers, name):
    with pytest.raises(ValueError, match=f"^layer '{name}': a softmax"):
        make_net(layers).fit(X, Y)


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(3, activation="softmax"), Dense(3)],
        [Sequential([Conv2D(3), Conv2D(3, activation="softmax")])],
        [Conv2D(3), Softmax(), Dropout(0.2)],
        [Dropout(0.2)],
        [Parallel([[Dense(3), Softmax()], Dense(2)])],
    ],
    ids=repr,
)
def test_softmax_elsewhere_is_a_layer_like_others(layers):
    _, nodes = complete_layers(explicit_layers(layers, ()), (8, 6, 1), 3)
    assert nodes[-1].output_shape == (3,)


# a fitted estimator

OTHER_VALUES = {
    "layers": [Dense(2)],
    "pooling": "average",
    "normalization": "batch",
    "activation": "relu",
    "image_shape": (6, 8),
    "data_format": "channels_first",
    "input_scaling": None,
    "init": {},
    "dtype": "float32",
    "augmentation": "auto",
    "loss": "hinge",
    "class_weight": {0: 5.0},
    "solver": "lbfgs",
    "learning_rate_factors": {"": 7.0},
    "averaging": "ema",
    "scoring": "accuracy",
}
"""Of parameters that name something; others get a number, or the opposite."""


def test_parameters_set_after_fit_do_not_change_predictions():
    net = make_net().fit(X, Y)
    methods = (net.predict, net.predict_proba, net.predict_log_proba, net.decision_function)
    before = [method(X) for method in methods]
    for name, value in net.get_params(deep=False).items():
        if name not in ("tta", "backend"):  # which are about prediction
            net.set_params(**{name: OTHER_VALUES.get(name, not value if isinstance(value, bool) else 7)})
            for method, prediction in zip(methods, before, strict=True):
                assert_array_equal(method(X), prediction, err_msg=name)


def test_layers_changed_after_fit_do_not_change_predictions():
    """By set_params or in place, in the stack or inside of containers."""
    inner, projection = Conv2D(3), Conv2D(3, 1)
    layers = [
        ("conv", Conv2D(2, activation="relu")),
        ("norm", BatchNorm()),
        ("pool", MaxPool2D()),
        ("act", Conv2D(2, activation=LeakyReLU(0.2))),
        ("res", Residual([("conv", inner), ("norm", BatchNorm())], projection=projection)),
        ("both", Parallel([[Conv2D(2)], MaxPool2D(3, strides=1, padding="same")])),
    ]
    net = make_net(layers).fit(X, Y)
    before = net.predict_proba(X)
    for layer in (layers[0][1], inner, projection):
        layer.use_bias = False
    layers[3][1].activation.negative_slope = 0.9
    assert_array_equal(net.predict_proba(X), before)
    for changes in [
        {"conv__filters": 9, "conv__activation": "tanh", "norm__epsilon": 9.0, "pool__pool_size": 1},
        {"res__conv__filters": 9, "res__norm__epsilon": 9.0, "res__projection__strides": 2},
        {"res__activation": "relu", "res__projection": "auto", "both__branch_1__conv2d_1__kernel_size": 5},
        {"act__activation__negative_slope": 0.9},
        {"conv": "passthrough", "norm": "passthrough", "res__conv": "passthrough", "both": Dense(2)},
    ]:
        net.set_params(**changes)
        assert_array_equal(net.predict_proba(X), before, err_msg=str(changes))


# stacks known by name

CIFAR10, MNIST, DIGITS = (32, 32, 3), (28, 28, 1), (8, 8, 1)


@pytest.mark.parametrize(
    ("layers", "input_shape", "expected"),
    [
        # by hand, layer after layer; a normalized convolution has no bias but scale and shift
        (teaching_network(), CIFAR10, (7 * 7 * 3 + 1) * 32 + (16 * 16 * 32 + 1) * 500 + 501 * 10),
        (lenet5(), MNIST, 26 * 6 + (25 * 6 + 1) * 16 + 401 * 120 + 121 * 84 + 85 * 10),
        (
            small_vgg(filters=(8, 16), convolutions=2, units=32),
            DIGITS,
            (9 + 2) * 8 + (72 + 2) * 8 + (72 + 2) * 16 + (144 + 2) * 16 + (2 * 2 * 16 + 1) * 32 + 33 * 10,
        ),
        (
            small_resnet(blocks=3),  # 20 layers; the paper says 0.27 million
            CIFAR10,
            (27 + 2) * 16
            + 6 * (144 + 2) * 16
            + (144 + 2) * 32 + (16 + 2) * 32 + 5 * (288 + 2) * 32
            + (288 + 2) * 64 + (32 + 2) * 64 + 5 * (576 + 2) * 64
            + 65 * 10,
        ),
    ],
    ids=["teaching_network", "lenet5", "small_vgg", "small_resnet"],
)  # fmt: skip
def test_known_stacks_have_the_parameters_counted_by_hand(layers, input_shape, expected):
    _, nodes = complete_layers(layers, input_shape, 10)
    assert init_network(nodes, dtype=np.float32, seed=SEED).n_params == expected


def shapes_of(layers, input_shape):
    _, nodes = complete_layers(layers, input_shape, 10)
    return {node.name: node.output_shape for node in nodes}


def test_lenet5_has_the_shapes_of_the_paper():
    shapes = shapes_of(lenet5(), MNIST)
    expected = {"conv1": (28, 28, 6), "pool1": (14, 14, 6), "conv2": (10, 10, 16), "pool2": (5, 5, 16)}
    expected |= {"dense1": (120,), "dense2": (84,), "output": (10,)}
    assert {name: shapes[name] for name in expected} == expected


def test_small_resnet_halves_the_image_with_each_stage():
    shapes = shapes_of(small_resnet(filters=(4, 8, 16), blocks=2), CIFAR10)
    for stage, shape in enumerate([(32, 32, 4), (16, 16, 8), (8, 8, 16)], start=1):
        assert shapes[f"res{stage}_1"] == shapes[f"res{stage}_2"] == shape
    assert {name for name in shapes if "projection" in name} == {
        f"res{stage}_1__projection{norm}" for stage in (2, 3) for norm in ("", "__norm")
    }


@pytest.mark.parametrize("images", [(8, 8, 1), (12, 12, 1), (13, 9, 1), (2, 2, 1), (1, 5, 2)], ids=str)
def test_known_stacks_fit_the_images_that_they_say(images):
    smallest = {teaching_network: 2, lenet5: 12, small_vgg: 8, small_resnet: 1}
    for function, size in smallest.items():
        if min(images[:2]) >= size:
            complete_layers(function(), images, 3)
        else:
            with pytest.raises(ValueError, match="is larger than the padded image"):
                complete_layers(function(), images, 3)


@pytest.mark.parametrize(
    ("layers", "zoom", "score"),
    [
        (teaching_network(), 1, 0.9),
        (lenet5(), 2, 0.8),
        (small_vgg(filters=(16, 32)), 1, 0.9),
        (small_resnet(), 1, 0.9),
    ],
    ids=["teaching_network", "lenet5", "small_vgg", "small_resnet"],
)
def test_known_stacks_learn_the_digits(layers, zoom, score):
    """In three epochs, on half of the images; the score is that of the other half."""
    images, labels = load_digits(return_X_y=True)
    images = np.kron(images.reshape(-1, 8, 8), np.ones((zoom, zoom)))
    net = ConvNetClassifier(layers, max_iter=3, dtype="float32", random_state=SEED)
    assert net.fit(images[::2], labels[::2]).score(images[1::2], labels[1::2]) > score


@pytest.mark.parametrize(
    ("function", "name", "values"),
    [
        (teaching_network, "filters", [0, 1.5, "8", None]),
        (teaching_network, "units", [0, -1, True]),
        (lenet5, "activation", ["rely", 3, LeakyReLU, Flatten(), ["tanh"]]),
        (small_vgg, "filters", [0, (8, "8"), None]),
        (small_vgg, "convolutions", [0, 1.5, None]),
        (small_vgg, "units", [0, None, 2.0]),
        (small_vgg, "dropout", [1, 1.0, -0.1, "0.5", "", None, True, False, float("nan"), [], (0.1,)]),
        (small_resnet, "filters", [(), 0, (8, 0)]),
        (small_resnet, "blocks", [0, "1", None]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_known_stacks_name_the_parameter_that_is_wrong(function, name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must "):
            function(**{name: value})


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.25), np.float64(0), np.int64(0)], ids=repr)
def test_small_vgg_takes_any_real_number_for_dropout(value):
    assert names_of(small_vgg(dropout=value))[-1] == ("dropout1" if value > 0 else "dense1")


def test_lenet5_takes_activations_and_shares_none_of_them():
    given = LeakyReLU(0.2)
    net = make_net(lenet5(given)).set_params(conv1__activation__negative_slope=0.3)
    assert given.negative_slope == 0.2
    slopes = [layer.activation.negative_slope for _, layer in net.layers if hasattr(layer, "activation")]
    assert slopes == [0.3, 0.2, 0.2, 0.2]
    assert lenet5(None)[0][1].activation is None
