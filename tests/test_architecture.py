"""From hyperparameters to named layers, and the search for layers by name."""

import inspect
import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    MaxPool2D,
    ReLU,
)
from skcnn.architecture import check_layers, compact_layers, complete_layers, named_layers

N_SAMPLES = 24
X = np.random.default_rng(0).normal(size=(N_SAMPLES, 8, 6, 1))
Y = np.arange(N_SAMPLES) % 3


def make_net(layers=None, **params):
    defaults = {
        "conv_layer_sizes": (2,),
        "normalization": None,
        "hidden_layer_sizes": (4,),
        "max_iter": 1,
        "random_state": 0,
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


@pytest.mark.parametrize("activation", ["identity", "relu", "logistic", "sigmoid", "tanh"])
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_every_activation_trains(activation, normalization):
    net = make_net(activation=activation, normalization=normalization).fit(X, Y)
    steps = [step.name for step in net.network_.steps]
    expected = {
        None: {"conv1_" + activation, "dense1_" + activation},
        "batch": {"activation1", "dense1_" + activation},
    }[normalization]
    assert expected.isdisjoint(steps) if activation == "identity" else expected <= set(steps)


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


def test_single_numbers_stand_for_one_layer():
    one = compact(conv_layer_sizes=16, hidden_layer_sizes=64)
    assert repr(one) == repr(compact(conv_layer_sizes=[16], hidden_layer_sizes=(64,)))
    assert repr(dict(compact(conv_layer_sizes=np.int64(16)))["conv1"].filters) == repr(np.int64(16))


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


# names


def test_names_are_made_of_class_and_position():
    layers = [Conv2D(2), ReLU(), Conv2D(3), "passthrough", ("last", Dense(4)), Dense(5)]
    names = ["conv2d_1", "relu_1", "conv2d_2", "passthrough_1", "last", "dense_1"]
    assert named_layers(layers) == list(zip(names, [*layers[:4], layers[4][1], layers[5]], strict=True))


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


def test_output_layer_has_a_score_for_each_class():
    layers, steps = complete_layers([("conv", Conv2D(2))], (4, 4, 1), 5)
    assert layers[-1][0] == "output"
    assert steps[-1].output_shape == (5,)


def test_built_layers_are_copies():
    layer = Conv2D(2)
    assert check_layers([layer], ())[0][1] is not layer
    net = make_net([layer]).fit(X, Y)
    assert net.layers_[0][1] is not layer


# get_params and set_params


def named():
    return [("conv1", Conv2D(2)), ("norm1", BatchNorm()), ("dense1", Dense(4))]


def test_get_params_reaches_into_layers():
    layers = named()
    params = make_net(layers).get_params()
    assert params["layers"] is layers
    assert params["conv1"] is layers[0][1]
    assert params["conv1__filters"] == 2
    assert params["norm1__momentum"] == 0.9
    assert params["dense1__units"] == 4


def test_get_params_names_layers_without_names():
    params = make_net([Conv2D(2), Conv2D(3)]).get_params()
    assert (params["conv2d_1__filters"], params["conv2d_2__filters"]) == (2, 3)


def test_shallow_get_params_are_those_of_the_constructor():
    params = make_net(named()).get_params(deep=False)
    assert list(params) == sorted(inspect.signature(ConvNetClassifier).parameters)


def test_all_params_can_be_set_again():
    net = make_net(named())
    before = repr(net)
    assert net.set_params(**net.get_params()) is net
    assert repr(net) == before


def test_set_params_reaches_into_layers():
    net = make_net(named()).set_params(conv1__filters=5, dense1__activation="tanh", max_iter=2)
    assert net.get_params()["conv1__filters"] == 5
    assert net.layers[2][1].activation == "tanh"
    assert net.max_iter == 2
    assert net.fit(X, Y).network_.params["conv1"]["bias"].shape == (5,)


def test_set_params_replaces_layers():
    dense = Dense(7)
    net = make_net(named()).set_params(norm1="passthrough", dense1=dense)
    assert names_of(net.layers) == ["conv1", "norm1", "dense1"]
    assert net.layers[1][1] == "passthrough"
    assert net.layers[2][1] is dense
    assert built_names(net) == ["conv1", "flatten", "dense1", "output"]


def test_passthrough_is_replaced_by_a_layer():
    net = make_net([("norm1", "passthrough")]).set_params(norm1=BatchNorm(), norm1__momentum=0.5)
    assert net.layers[0][1].momentum == 0.5


def test_replacement_and_its_parameters_may_come_in_one_call_in_any_order():
    net = make_net(named()).set_params(conv1__filters=9, conv1=Conv2D(3, kernel_size=5))
    assert (net.layers[0][1].filters, net.layers[0][1].kernel_size) == (9, 5)


def test_new_layers_and_their_parameters_may_come_in_one_call():
    net = make_net(named()).set_params(only__units=9, layers=[("only", Dense(3))])
    assert net.get_params()["only__units"] == 9
    assert names_of(net.layers) == ["only"]


@pytest.mark.parametrize("params", [{"conv2d_2__filters": 5}, {"conv2d_2": Conv2D(5)}], ids=str)
def test_first_set_params_by_name_makes_names_stick(params):
    net = make_net([Conv2D(2), Conv2D(3), Dense(4)]).set_params(**params)
    assert names_of(net.layers) == ["conv2d_1", "conv2d_2", "dense_1"]
    net.set_params(conv2d_1="passthrough")
    assert net.get_params()["conv2d_2__filters"] == 5


def test_set_params_does_not_touch_the_list_that_the_user_passed():
    conv, dense = Conv2D(2), Dense(4)
    for layers in ([conv, dense], [("conv", conv), ("dense", dense)]):
        kept = list(layers)
        net = make_net(layers)
        name = named_layers(layers)[0][0]
        net.set_params(**{name: "passthrough"})
        assert net.layers is not layers
        assert layers == kept


def test_set_params_of_own_parameters_keeps_the_list():
    layers = [Conv2D(2)]
    assert make_net(layers).set_params(max_iter=3).layers is layers


def test_set_params_without_parameters_changes_nothing():
    layers = [Conv2D(2)]
    assert make_net(layers).set_params().layers is layers


@pytest.mark.parametrize(
    "wrong",
    [{"max_itr": 3}, {"conv1__filter": 3}, {"conv9__filters": 3}, {"conv9": Dense(2)}, {"conv1__": 3}],
    ids=str,
)
def test_set_params_sets_nothing_on_error(wrong):
    layers = named()
    net = make_net(layers)
    before = repr(net)
    right = {"max_iter": 9, "conv1__filters": 9, "norm1": "passthrough", "alpha": 9.0}
    for params in (right | wrong, wrong | right, right | {"layers": named()} | wrong):
        with pytest.raises(ValueError, match="Invalid parameter"):
            net.set_params(**params)
    assert repr(net) == before
    assert net.layers is layers


def test_parameters_of_passthrough_are_refused():
    net = make_net([("norm1", "passthrough")])
    with pytest.raises(ValueError, match="'norm1__momentum': layer 'norm1' is 'passthrough'"):
        net.set_params(norm1__momentum=0.5)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("max_itr", "max_iter"),
        ("learning_rate_int", "learning_rate_init"),
        ("cov1", "conv1"),
        ("conv1__filter", "conv1__filters"),
        ("conv1__kernel", "conv1__kernel_size"),
        ("cnv1__filters", "conv1__filters"),
    ],
)
def test_mistyped_parameters_get_a_hint(typed, meant):
    message = f"Invalid parameter '{typed}' for estimator ConvNetClassifier. Did you mean '{meant}'?"
    with pytest.raises(ValueError, match=re.escape(message)):
        make_net(named()).set_params(**{typed: 3})


def test_parameters_like_no_other_get_the_list_of_valid_ones():
    with pytest.raises(ValueError, match=r"'qqq'.* Valid parameters are: .*'conv1__filters'.*'verbose'"):
        make_net(named()).set_params(qqq=3)


GARBAGE = [
    "garbage",
    3,
    {"conv1": 3},
    [3, None, "text"],
    [("conv1",)],
    [("conv1", 3)],
    [(3, Conv2D(2))],
    [[Conv2D(2)]],
    [("alpha", 3), ("conv__1", Dense(2))],
    [("conv1", Dense(2)), ("conv1", Dense(3))],
    [Conv2D],
    np.arange(3),
]


@pytest.mark.parametrize("layers", GARBAGE, ids=repr)
def test_garbage_survives_until_fit(layers):
    net = make_net(layers)
    assert net.get_params()["layers"] is layers
    assert net.set_params(max_iter=3).layers is layers
    assert repr(clone(net).layers) == repr(layers)
    assert "ConvNetClassifier" in repr(net)
    assert clone(net).set_params(**net.get_params(deep=False)).max_iter == 3
    with pytest.raises(ValueError, match="layer"):
        net.fit(X, Y)


@pytest.mark.parametrize(
    "layers",
    [
        [3, None, "text"],
        [("conv1",), Dense(2)],
        [("conv1", 3)],
        [("alpha", 3), Dense(2)],
        [("conv__1", Dense(2))],
    ],
    ids=repr,
)
def test_all_params_of_garbage_can_be_set_again(layers):
    net = make_net(layers)
    net.set_params(**net.get_params())
    entries = [entry for _, entry in named_layers(layers)]
    assert [entry for _, entry in named_layers(net.layers)] == entries
    with pytest.raises(ValueError, match="layer"):
        net.fit(X, Y)


@pytest.mark.parametrize(
    ("layers", "params"),
    [
        ([("same", Dense(2)), ("same", Dense(3))], {"same__units": 4}),
        ([("same", Dense(2)), ("same", Dense(3)), ("other", Dense(4))], {"other__units": 5}),
        ([("conv2d_1", Conv2D(2)), Conv2D(3)], {"conv2d_1": "passthrough"}),
    ],
    ids=repr,
)
def test_set_params_drops_no_layer_of_a_duplicate_name(layers, params):
    net = make_net(layers)
    with pytest.raises(ValueError, match="names must be unique, got .* twice"):
        net.set_params(**params).fit(X, Y)
    assert len(net.layers) == len(layers)


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
    "dtype": "float32",
    "loss": "another loss",
    "label_smoothing": 0.5,
    "class_weight": {0: 5.0},
    "solver": "sgd",
    "alpha": 7.0,
    "batch_size": 1,
    "learning_rate": "adaptive",
    "learning_rate_init": 7.0,
    "momentum": 0.1,
    "nesterovs_momentum": False,
    "beta_1": 0.1,
    "beta_2": 0.1,
    "epsilon": 0.1,
    "clip_norm": 0.1,
    "max_iter": 7,
    "tol": 7.0,
    "n_iter_no_change": 1,
    "shuffle": False,
    "early_stopping": True,
    "validation_fraction": 0.5,
    "scoring": "accuracy",
    "max_time": 1.0,
    "warm_start": True,
    "random_state": 7,
    "verbose": True,
}


def test_other_values_are_given_for_every_parameter():
    assert list(OTHER_VALUES) == list(inspect.signature(ConvNetClassifier).parameters)


@pytest.mark.parametrize("name", list(OTHER_VALUES))
def test_parameter_set_after_fit_does_not_change_predictions(name):
    net = make_net().fit(X, Y)
    methods = (net.predict, net.predict_proba, net.predict_log_proba, net.decision_function)
    before = [method(X) for method in methods]
    net.set_params(**{name: OTHER_VALUES[name]})
    for method, prediction in zip(methods, before, strict=True):
        assert_array_equal(method(X), prediction)


def test_parameters_of_layers_set_after_fit_do_not_change_predictions():
    layers = [("conv", Conv2D(2, activation="relu")), ("norm", BatchNorm()), ("pool", MaxPool2D())]
    net = make_net(layers).fit(X, Y)
    before = net.predict_proba(X)
    net.set_params(
        conv__filters=9, conv__padding="valid", conv__activation="tanh", norm__epsilon=9.0, pool__pool_size=1
    )
    layers[0][1].use_bias = False
    assert_array_equal(net.predict_proba(X), before)


def test_layers_replaced_after_fit_do_not_change_predictions():
    net = make_net([("conv", Conv2D(2)), ("norm", BatchNorm())]).fit(X, Y)
    before = net.predict_proba(X)
    net.set_params(conv="passthrough", norm="passthrough")
    assert_array_equal(net.predict_proba(X), before)
