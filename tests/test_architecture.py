"""From hyperparameters to named layers, and what becomes of both when the estimator is fitted."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.datasets import load_digits

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

N_SAMPLES = 24
X = generator(0).normal(size=(N_SAMPLES, 8, 6, 1))
Y = np.arange(N_SAMPLES) % 3


def make_net(layers=None, **params):
    defaults = {
        "conv_layer_sizes": (2,),
        "normalization": None,
        "hidden_layer_sizes": (4,),
        "max_iter": 1,
        "random_state": SEED,
    }
    return ConvNetClassifier(layers, **(defaults | params))


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


def built_names(net):
    return names_of(net.fit(X, Y).layers_)


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


@pytest.mark.parametrize("activation", sorted({*ACTIVATIONS, "identity"} - {"softmax"}))
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_every_activation_trains(activation, normalization):
    net = make_net(activation=activation, normalization=normalization).fit(X, Y)
    nodes = [node.name for node in net.network_.nodes]
    expected = {
        None: {"conv1_" + activation, "dense1_" + activation},
        "batch": {"activation1", "dense1_" + activation},
    }[normalization]
    assert expected.isdisjoint(nodes) if activation == "identity" else expected <= set(nodes)


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


def test_pool_of_two_sizes():
    assert dict(compact(pool_size=(4, 2)))["pool1"].pool_size == (4, 2)


@pytest.mark.parametrize(
    ("shape", "params", "n_blocks"),
    [
        ((8, 8, 1), {}, 2),
        ((15, 15, 1), {}, 2),
        ((16, 3, 1), {}, 3),
        ((31, 31, 1), {}, 3),
        ((32, 32, 3), {}, 4),
        ((63, 63, 3), {}, 4),
        ((64, 64, 3), {}, 5),
        ((500, 400, 3), {}, 5),
        ((1, 1, 3), {}, 2),
        ((64, 64, 3), {"pooling": None}, 2),
        ((64, 64, 3), {"pool_size": 4}, 2),
        ((64, 64, 3), {"pool_size": 3}, 3),
        ((64, 8, 3), {"pool_size": (1, 2)}, 2),
        ((8, 64, 3), {"pool_size": (1, 2)}, 5),
    ],
    ids=str,
)
def test_automatic_blocks_are_as_many_as_pooling_leaves_pixels_for(shape, params, n_blocks):
    assert automatic_filters(shape, **params) == [32, 64, 128, 256, 512][:n_blocks]


def automatic_filters(shape, **params):
    layers = dict(compact(shape, conv_layer_sizes="auto", **params))
    return [layer.filters for name, layer in layers.items() if name.startswith("conv")]


@pytest.mark.parametrize(
    ("shape", "params", "n_blocks"),
    [
        ((1, 2, 1), {}, 3),
        ((1, 15, 1), {}, 3),
        ((16, 1, 3), {}, 4),
        ((1, 63, 1), {}, 5),
        ((64, 1, 1), {}, 6),
        ((1, 5000, 1), {}, 6),
        ((1, 64, 1), {"pool_size": 4}, 3),
        ((1, 64, 1), {"pooling": None}, 3),
    ],
    ids=str,
)
def test_automatic_blocks_of_signals_are_one_more_and_grow_half_as_fast(shape, params, n_blocks):
    assert automatic_filters(shape, **params) == [64, 64, 128, 128, 256, 256][:n_blocks]


@pytest.mark.parametrize("size", [145, 220, 500])
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
        ((20, 1, 1), 3, [(3, 1), (3, 1), (3, 1)]),
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


@pytest.mark.parametrize(
    ("shape", "kernel_size"), [((1, 8, 1), 3), ((8, 1, 2), 4), ((4, 4, 1), 5), ((2, 4, 1), (2, 6))], ids=str
)
def test_every_weight_trains(shape, kernel_size):
    images = generator(0).normal(size=(N_SAMPLES, *shape))
    params = {"conv_layer_sizes": (3, 3, 3), "kernel_size": kernel_size, "activation": "tanh"}
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
    expected = compact(kernel_size=(4, 2), pool_size=(4, 2))
    assert repr(compact(kernel_size=size, pool_size=size)) == repr(expected)


def test_no_hidden_layers():
    assert built_names(make_net(conv_layer_sizes=(), hidden_layer_sizes=())) == ["flatten", "output"]


def test_compact_layers_are_those_of_the_fitted_estimator():
    assert built_names(make_net()) == ["conv1", "pool1", "flatten", "dense1", "output"]


def test_compact_layers_equal_explicit_ones():
    explicit = [
        ("conv1", Conv2D(2, activation="relu")),
        ("pool1", MaxPool2D()),
        ("dense1", Dense(4, activation="relu")),
    ]
    net, other = make_net().fit(X, Y), make_net(explicit).fit(X, Y)
    assert_array_equal(net.predict_proba(X), other.predict_proba(X))


def test_explicit_layers_leave_the_compact_hyperparameters_unused():
    net = make_net([Dense(3)], conv_layer_sizes=(5, 5), dropout=0.5, normalization="batch")
    assert built_names(net) == ["flatten", "dense_1", "output"]


# explicit layers


def test_made_names_are_those_of_weights_and_built_layers():
    net = make_net([Conv2D(2), Conv2D(3), Dense(4)]).fit(X, Y)
    assert names_of(net.layers_) == ["conv2d_1", "conv2d_2", "flatten", "dense_1", "output"]
    assert list(net.network_.params) == ["conv2d_1", "conv2d_2", "dense_1", "output"]


def test_layers_may_be_a_tuple():
    net = make_net((Conv2D(2), ("last", Dense(3))))
    assert built_names(net) == ["conv2d_1", "flatten", "last", "output"]
    assert isinstance(clone(net).layers, tuple)


def test_passthrough_stands_for_no_layer():
    layers = [("conv", Conv2D(2)), ("norm", "passthrough"), "passthrough", ("dense", Dense(3))]
    assert built_names(make_net(layers)) == ["conv", "flatten", "dense", "output"]


def test_no_layers_are_a_linear_model():
    assert built_names(make_net([])) == ["flatten", "output"]


def test_flatten_is_inserted_where_images_meet_vectors():
    assert built_names(make_net([Conv2D(2), Dropout(), Dense(3)])) == [
        "conv2d_1",
        "dropout_1",
        "flatten",
        "dense_1",
        "output",
    ]
    assert built_names(make_net([GlobalAvgPool2D(), Dense(3)])) == [
        "globalavgpool2d_1",
        "dense_1",
        "output",
    ]


def test_flatten_of_the_user_is_kept():
    assert built_names(make_net([Conv2D(2), ("flat", Flatten())])) == ["conv2d_1", "flat", "output"]


def test_inserted_flatten_gives_way_to_a_layer_of_that_name():
    assert built_names(make_net([("flatten", Conv2D(2))])) == ["flatten", "output_flatten", "output"]


@pytest.mark.parametrize(
    ("block", "is_flattened"),
    [
        (Sequential([Dense(2)]), True),
        (Sequential(["passthrough", Sequential([Dense(2)])]), True),
        (Residual([Dense(2), Dense(3)]), True),
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
    ids=lambda value: " ".join(repr(value).split()),
)
def test_flatten_is_inserted_before_containers_of_vector_layers(block, is_flattened):
    layers, _ = complete_layers([("block", block)], (4, 4, 2), 3)
    assert (names_of(layers)[0] == "flatten") == is_flattened


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([Dense(3, activation="softmax")], "dense_1_softmax"),
        ([Dense(3), Softmax()], "softmax_1"),
        ([Flatten(), Softmax(), "passthrough"], "softmax_1"),
        ([Dense(3), Softmax(), Dropout(0.2)], "softmax_1"),
        ([Dense(3, activation="softmax"), Dropout(0.2), Dropout(0.1)], "dense_1_softmax"),
        ([Dense(3, activation=Softmax())], "dense_1_softmax"),
        ([GlobalAvgPool2D(), Softmax(), Sequential([Dropout()])], "softmax_1"),
        ([Residual([Dense(3)], activation="softmax")], "residual_1_softmax"),
        ([Sequential([Dense(3), ("last", Softmax())])], "sequential_1__last"),
    ],
    ids=repr,
)
def test_softmax_last_is_refused_by_its_name(layers, name):
    with pytest.raises(ValueError, match=f"^layer '{name}': a softmax at the end .*leave it out"):
        make_net(layers).fit(X, Y)


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(3, activation="softmax"), Dense(3)],
        [Conv2D(2), Softmax(), GlobalAvgPool2D()],
        [Sequential([Conv2D(3), Conv2D(3, activation="softmax")])],
        [Conv2D(3), Softmax(), Dropout(0.2)],
        [Dropout(0.2)],
        [Parallel([[Dense(3), Softmax()], Dense(2)])],
    ],
    ids=repr,
)
def test_softmax_elsewhere_is_a_layer_like_others(layers):
    assert make_net(layers).fit(X, Y).predict(X).shape == Y.shape


def test_output_layer_has_a_score_for_each_class():
    layers, nodes = complete_layers([("conv", Conv2D(2))], (4, 4, 1), 5)
    assert layers[-1][0] == "output"
    assert nodes[-1].output_shape == (5,)


def test_built_layers_are_copies():
    layer = Conv2D(2)
    assert explicit_layers([layer], ())[0][1] is not layer
    net = make_net([layer]).fit(X, Y)
    assert net.layers_[0][1] is not layer


def test_layers_inside_of_built_layers_are_copies():
    inner, projection = Conv2D(2), Conv2D(2, 1)
    net = make_net([Residual([inner], projection=projection)]).fit(X, Y)
    built = net.layers_[0][1]
    assert built.layers[0] is not inner
    assert built.projection is not projection
    assert all(node.layer is not inner and node.layer is not projection for node in net.network_.nodes)


# a fitted estimator

OTHER_VALUES = {
    "layers": [Dense(2)],
    "conv_layer_sizes": (7,),
    "kernel_size": 1,
    "pool_size": 3,
    "pooling": "average",
    "normalization": "batch",
    "hidden_layer_sizes": (),
    "activation": "tanh",
    "dropout": 0.9,
    "image_shape": (6, 8),
    "data_format": "channels_first",
    "input_scaling": None,
    "init_scaling": "unit_variance",
    "dtype": "float32",
    "augmentation": "auto",
    "tta": "flip",
    "loss": "another loss",
    "focal_gamma": 7.0,
    "label_smoothing": 0.5,
    "class_weight": {0: 5.0},
    "solver": "sgd",
    "alpha": 7.0,
    "batch_size": 1,
    "learning_rate": "adaptive",
    "learning_rate_init": 7.0,
    "warmup": 7.0,
    "step_size": 1,
    "step_factor": 0.5,
    "momentum": 0.1,
    "nesterovs_momentum": False,
    "beta_1": 0.1,
    "beta_2": 0.1,
    "epsilon": 0.1,
    "clip_norm": 0.1,
    "averaging": "ema",
    "averaging_decay": 0.1,
    "averaging_start": 0.1,
    "max_iter": 7,
    "tol": 7.0,
    "n_iter_no_change": 1,
    "shuffle": False,
    "early_stopping": True,
    "validation_fraction": 0.5,
    "scoring": "accuracy",
    "max_time": 1.0,
    "warm_start": True,
    "random_state": SEED + 1,
    "verbose": True,
}


def test_other_values_are_given_for_every_parameter():
    assert list(OTHER_VALUES) == list(inspect.signature(ConvNetClassifier).parameters)


@pytest.mark.parametrize("name", sorted(OTHER_VALUES.keys() - {"tta"}))  # which is about prediction
def test_parameter_set_after_fit_does_not_change_predictions(name):
    net = make_net().fit(X, Y)
    methods = (net.predict, net.predict_proba, net.predict_log_proba, net.decision_function)
    before = [method(X) for method in methods]
    net.set_params(**{name: OTHER_VALUES[name]})
    for method, prediction in zip(methods, before, strict=True):
        assert_array_equal(method(X), prediction)


@pytest.mark.parametrize(
    "changes",
    [
        {"conv__filters": 9, "conv__activation": "tanh", "norm__epsilon": 9.0, "pool__pool_size": 1},
        {"res__conv__filters": 9, "res__norm__epsilon": 9.0, "res__projection__strides": 2},
        {"res__activation": "relu", "res__projection": "auto", "both__branch_1__conv2d_1__kernel_size": 5},
        {"act__activation__negative_slope": 0.9},
        {"conv": "passthrough", "norm": "passthrough", "res__conv": "passthrough", "both": Dense(2)},
    ],
    ids=str,
)
def test_layers_changed_after_fit_do_not_change_predictions(changes):
    layers = [
        ("conv", Conv2D(2, activation="relu")),
        ("norm", BatchNorm()),
        ("pool", MaxPool2D()),
        ("act", Conv2D(2, activation=LeakyReLU(0.2))),
        ("res", Residual([("conv", Conv2D(3)), ("norm", BatchNorm())], projection=Conv2D(3, 1))),
        ("both", Parallel([[Conv2D(2)], MaxPool2D(3, strides=1, padding="same")])),
    ]
    net = make_net(layers).fit(X, Y)
    before = net.predict_proba(X)
    net.set_params(**changes)
    layers[0][1].use_bias = False
    assert_array_equal(net.predict_proba(X), before)


# stacks known by name

CIFAR10, MNIST, DIGITS = (32, 32, 3), (28, 28, 1), (8, 8, 1)


def count_parameters(layers, input_shape, n_outputs=10):
    _, nodes = complete_layers(layers, input_shape, n_outputs)
    return init_network(nodes, dtype=np.float32, seed=SEED).n_params


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
    assert count_parameters(layers, input_shape) == expected


def test_lenet5_has_the_shapes_of_the_paper():
    _, nodes = complete_layers(lenet5(), MNIST, 10)
    shapes = {node.name: node.output_shape for node in nodes}
    assert [shapes[name] for name in ("conv1", "pool1", "conv2", "pool2", "dense1", "dense2", "output")] == [
        (28, 28, 6),
        (14, 14, 6),
        (10, 10, 16),
        (5, 5, 16),
        (120,),
        (84,),
        (10,),
    ]


def test_small_resnet_halves_the_image_with_each_stage():
    _, nodes = complete_layers(small_resnet(filters=(4, 8, 16), blocks=2), CIFAR10, 10)
    shapes = {node.name: node.output_shape for node in nodes}
    assert [shapes[f"res{stage}_{number}"] for stage in (1, 2, 3) for number in (1, 2)] == [
        (32, 32, 4),
        (32, 32, 4),
        (16, 16, 8),
        (16, 16, 8),
        (8, 8, 16),
        (8, 8, 16),
    ]
    assert {name for name in shapes if "projection" in name} == {
        f"res{stage}_1__projection{norm}" for stage in (2, 3) for norm in ("", "__norm")
    }


@pytest.mark.parametrize("images", [(8, 8, 1), (12, 12, 1), (13, 9, 1), (2, 2, 1), (1, 5, 2)], ids=str)
def test_known_stacks_fit_the_images_that_they_say(images):
    smallest = {"teaching_network": 2, "lenet5": 12, "small_vgg": 8, "small_resnet": 1}
    for function in (teaching_network, lenet5, small_vgg, small_resnet):
        if min(images[:2]) >= smallest[function.__name__]:
            complete_layers(function(), images, 3)
        else:
            with pytest.raises(ValueError, match="is larger than the padded image"):
                complete_layers(function(), images, 3)


@pytest.mark.parametrize("function", [teaching_network, small_vgg, small_resnet])
def test_known_stacks_learn_the_digits(function):
    """In three epochs, on half of the images; the score is that of the other half."""
    X_digits, y_digits = load_digits(return_X_y=True)
    net = ConvNetClassifier(function(), max_iter=3, dtype="float32", random_state=SEED)
    assert net.fit(X_digits[::2], y_digits[::2]).score(X_digits[1::2], y_digits[1::2]) > 0.9


def test_lenet5_learns_images_of_its_size():
    X_digits, y_digits = load_digits(return_X_y=True)
    images = np.kron(X_digits.reshape(-1, 8, 8), np.ones((2, 2)))
    net = ConvNetClassifier(lenet5(), max_iter=3, dtype="float32", random_state=SEED)
    assert net.fit(images[::2], y_digits[::2]).score(images[1::2], y_digits[1::2]) > 0.8


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
    assert ("dropout1" in names_of(small_vgg(dropout=value))) == (value > 0)


def test_lenet5_takes_activations_and_shares_none_of_them():
    given = LeakyReLU(0.2)
    net = make_net(lenet5(given)).set_params(conv1__activation__negative_slope=0.3)
    assert given.negative_slope == 0.2
    params = net.get_params()
    assert [params[f"{name}__activation__negative_slope"] for name in ("conv1", "conv2", "dense1")] == [
        0.3,
        0.2,
        0.2,
    ]
    assert lenet5(None)[0][1].activation is None


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


def test_an_activation_layer_gives_what_its_name_gives():
    named, given = (make_net(activation=activation).fit(X, Y) for activation in ("leaky_relu", LeakyReLU()))
    assert_array_equal(named.predict_proba(X), given.predict_proba(X))


def test_fit_works_on_a_copy_of_the_activation_of_a_layer():
    given = LeakyReLU(0.2)
    net = make_net(
        [("conv1", Conv2D(2, activation=given)), ("res1", Residual([Conv2D(2)], activation=given))]
    )
    net.set_params(conv1__activation__negative_slope=0.3, res1__activation=LeakyReLU(0.4)).fit(X, Y)
    used = {node.name: node.layer for node in net.network_.nodes}
    assert (used["conv1_leaky_relu"].negative_slope, used["res1_leaky_relu"].negative_slope) == (0.3, 0.4)
    assert used["conv1_leaky_relu"] is not given
    params = clone(net).get_params()
    assert (params["conv1__activation__negative_slope"], params["res1__activation__negative_slope"]) == (
        0.3,
        0.4,
    )
    with pytest.raises(ValueError, match="Did you mean 'conv1__activation__negative_slope'"):
        net.set_params(conv1__activation__negativ_slope=0.3)


def test_dropout_of_small_vgg_is_left_out_where_it_is_zero():
    assert names_of(small_vgg(dropout=0.5))[-1] == "dropout1"
    assert names_of(small_vgg())[-1] == "dense1"
