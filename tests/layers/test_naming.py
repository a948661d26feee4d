"""Names in stacks of layers, and the search for layers and their parameters by these names."""

import inspect
import pickle
import re

import joblib
import numpy as np
import pytest
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skcnn import (
    ELU,
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    Dense,
    GroupNorm,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    ReLU,
    Residual,
    Sequential,
)
from skcnn.layers.containers import Add
from skcnn.layers.naming import check_layers, is_passthrough, name_layers

N_SAMPLES = 24
X = generator(0).normal(size=(N_SAMPLES, 8, 6, 1))
Y = np.arange(N_SAMPLES) % 3


def make_net(layers, **params):
    return ConvNetClassifier(layers, max_iter=1, random_state=SEED, **params)


def shown(value):
    """Return an id for a test, on one line."""
    return " ".join(repr(value).split())


def names_of(layers):
    return [name for name, _ in layers]


# names


def test_names_are_made_of_class_and_position():
    layers = [Conv2D(2), ReLU(), Conv2D(3), "passthrough", ("last", Dense(4)), Dense(5)]
    names = ["conv2d_1", "relu_1", "conv2d_2", "passthrough_1", "last", "dense_1"]
    assert name_layers(layers) == list(zip(names, [*layers[:4], layers[4][1], layers[5]], strict=True))


def test_anything_has_names_or_none():
    """Parameters are validated by fit alone."""
    assert name_layers("text") == name_layers(None) == name_layers({"conv": Conv2D(2)}) == []
    assert names_of(name_layers([3, None, Conv2D, (1, 2), 4])) == [
        "int_1",
        "nonetype_1",
        "abcmeta_1",
        "tuple_1",
        "int_2",
    ]


def test_only_the_text_passthrough_is_no_layer():
    assert is_passthrough("passthrough")
    assert not any(map(is_passthrough, ["drop", None, Conv2D(2), ["passthrough"], np.array(["passthrough"])]))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ([("a", Conv2D(2)), ("b", 3)], r"branches\[1\] must be a layer, .* got \('b', 3\)"),
        ([("a__b", Conv2D(2))], "must not be empty or contain '__', got 'a__b'"),
        ([("", Conv2D(2))], "must not be empty or contain '__', got ''"),
        ([("size", Conv2D(2))], "'size' is the name of a parameter or reserved"),
        ([("input", "passthrough")], "'input' is the name of a parameter or reserved"),
        ([("output", Sequential([]))], "'output' is the name of a parameter or reserved"),
        ([("passthrough", Conv2D(2))], "'passthrough' is the name of a parameter or reserved"),
        ([("a", Conv2D(2)), ("b", "passthrough"), ("a", "passthrough")], "must be unique, got 'a' twice"),
    ],
)
def test_entries_that_are_no_layers_and_names_that_are_none_are_refused(named, message):
    with pytest.raises(ValueError, match=message):
        check_layers(named, named, {"size"}, parameter="branches")


# get_params and set_params


def make_named():
    return [("conv1", Conv2D(2)), ("norm1", BatchNorm()), ("dense1", Dense(4))]


def test_get_params_reaches_into_layers():
    layers = make_named()
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
    params = make_net(make_named()).get_params(deep=False)
    assert list(params) == sorted(inspect.signature(ConvNetClassifier).parameters)


def test_all_params_can_be_set_again():
    net = make_net(make_named())
    before = repr(net)
    assert net.set_params(**net.get_params()) is net
    assert repr(net) == before


def test_set_params_reaches_into_layers():
    net = make_net(make_named()).set_params(conv1__filters=5, dense1__activation="tanh", max_iter=2)
    assert net.get_params()["conv1__filters"] == 5
    assert net.layers[2][1].activation == "tanh"
    assert net.max_iter == 2
    assert net.fit(X, Y).network_.params["conv1"]["bias"].shape == (5,)


def test_set_params_replaces_layers():
    dense = Dense(7)
    net = make_net(make_named()).set_params(norm1="passthrough", dense1=dense)
    assert names_of(net.layers) == ["conv1", "norm1", "dense1"]
    assert net.layers[1][1] == "passthrough"
    assert net.layers[2][1] is dense
    assert names_of(net.fit(X, Y).layers_) == ["conv1", "flatten", "dense1", "output"]


def test_passthrough_is_replaced_by_a_layer():
    net = make_net([("norm1", "passthrough")]).set_params(norm1=BatchNorm(), norm1__momentum=0.5)
    assert net.layers[0][1].momentum == 0.5


def test_replacement_and_its_parameters_may_come_in_one_call_in_any_order():
    net = make_net(make_named()).set_params(conv1__filters=9, conv1=Conv2D(3, kernel_size=5))
    assert (net.layers[0][1].filters, net.layers[0][1].kernel_size) == (9, 5)


def test_new_layers_and_their_parameters_may_come_in_one_call():
    net = make_net(make_named()).set_params(only__units=9, layers=[("only", Dense(3))])
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
        name = name_layers(layers)[0][0]
        net.set_params(**{name: "passthrough"})
        assert net.layers is not layers
        assert layers == kept


@pytest.mark.parametrize("new", [False, True], ids=["standing", "given"])
def test_set_params_does_not_touch_the_layers_that_the_user_passed(new):
    """Nor those given in the same call."""
    conv = Conv2D(2)
    net = make_net([("conv", "passthrough" if new else conv)])
    net.set_params(conv__filters=3, **({"conv": conv} if new else {}))
    assert net.get_params()["conv__filters"] == 3
    assert conv.filters == 2


CONV = Conv2D(2)
BRANCH = [CONV, ReLU()]
BLOCK = Residual(BRANCH)
SHARED = {
    "in the stack": ([CONV, CONV, CONV], "conv2d_{}__filters", (1, 2, 3)),
    "with a name": ([("a1", CONV), CONV, ("a2", CONV)], "a{}__filters", (1, 2)),
    "a block in the stack": ([BLOCK, BLOCK], "residual_{}__conv2d_1__filters", (1, 2)),
    "a list of blocks": ([Residual(BRANCH), Residual(BRANCH)], "residual_{}__conv2d_1__filters", (1, 2)),
    "a list in a block": (
        [("mixed", Parallel([BRANCH, BRANCH, CONV]))],
        "mixed__{}__filters",
        ("branch_1__conv2d_1", "branch_2__conv2d_1", "conv2d_1"),
    ),
    "as projection": (
        [("res", Residual([("conv", CONV)], projection=CONV)), ("last", CONV)],
        "{}__filters",
        ("res__conv", "res__projection", "last"),
    ),
}


@pytest.mark.parametrize("case", list(SHARED))
def test_one_object_in_several_places_is_changed_where_it_is_named_alone(case):
    layers, pattern, places = SHARED[case]
    before = joblib.hash(layers)
    names = [pattern.format(place) for place in places]
    for position, name in enumerate(names):
        net = make_net(layers).set_params(**{name: 5})
        params = net.get_params()
        assert [params[other] for other in names] == [5 if n == position else 2 for n in range(len(names))]
        net.set_params(**{other: 3 for other in names if other != name})
        params = net.get_params()
        assert [params[other] for other in names] == [5 if n == position else 3 for n in range(len(names))]
    assert joblib.hash(layers) == before


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
    layers = make_named()
    net = make_net(layers)
    before = repr(net)
    right = {"max_iter": 9, "conv1__filters": 9, "norm1": "passthrough", "alpha": 9.0}
    for params in (right | wrong, wrong | right, right | {"layers": make_named()} | wrong):
        with pytest.raises(ValueError, match="Invalid parameter"):
            net.set_params(**params)
    assert repr(net) == before
    assert net.layers is layers


def test_parameters_of_passthrough_are_refused():
    net = make_net([("norm1", "passthrough")])
    with pytest.raises(ValueError, match="'norm1__momentum' .*: 'norm1' is 'passthrough'"):
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
        make_net(make_named()).set_params(**{typed: 3})


def test_parameters_like_no_other_get_the_list_of_valid_ones():
    with pytest.raises(ValueError, match=r"'qqq'.* Valid parameters are: .*'conv1__filters'.*'verbose'"):
        make_net(make_named()).set_params(qqq=3)


A_LIST = [[Conv2D(2)]]
"""Where a branch may be a list, no garbage."""

GARBAGE = [
    "garbage",
    3,
    {"conv1": 3},
    [3, None, "text"],
    [("conv1",)],
    [("conv1", 3)],
    [(3, Conv2D(2))],
    A_LIST,
    [("alpha", 3), ("conv__1", Dense(2))],
    [("conv1", Dense(2)), ("conv1", Dense(3))],
    [Conv2D],
    np.arange(3),
]


GARBAGE_INSIDE = [
    [("block", container(garbage))]
    for container in (Sequential, Residual, Parallel)
    for garbage in GARBAGE
    if container is not Parallel or garbage is not A_LIST
] + [
    [Residual([Conv2D(2)], projection=[3])],
    [Residual([Conv2D(2)], projection=("conv1", Conv2D(2)))],
    [Residual([Conv2D(2)], activation=Conv2D)],
    [Parallel([[3], ("conv", [None]), [[Conv2D(2)]]])],
    [Sequential([Residual([Parallel([[Sequential(3)]])])])],
]


@pytest.mark.parametrize("layers", [*GARBAGE, *GARBAGE_INSIDE], ids=shown)
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
    entries = [entry for _, entry in name_layers(layers)]
    assert repr([entry for _, entry in name_layers(net.layers)]) == repr(entries)
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


# containers


def make_nested():
    return [
        (
            "res1",
            Residual(
                [("conv1", Conv2D(2)), ("norm1", BatchNorm()), ("conv2", Conv2D(2))],
                projection=Conv2D(2, 1),
                activation="relu",
            ),
        ),
        (
            "mixed",
            Parallel(
                [
                    Conv2D(2, 1),
                    [Conv2D(2, 1), Conv2D(3)],
                    ("pooled", [MaxPool2D(3, strides=1, padding="same"), ("conv", Conv2D(2, 1))]),
                    "passthrough",
                    [("only", Conv2D(3))],
                ]
            ),
        ),
        ("stage", Sequential([("res2", Residual([Parallel([[Conv2D(2)], "passthrough"]), Conv2D(2)]))])),
        ("res3", Residual([("conv", Conv2D(2))], projection=[Conv2D(2, 1), ("norm", BatchNorm())])),
    ]


NESTED_PARAMS = {
    "res1__activation": ("relu", None),
    "res1__conv1__filters": (2, 3),
    "res1__norm1__momentum": (0.9, 0.5),
    "res1__projection__kernel_size": (1, 3),
    "mixed__conv2d_1__kernel_size": (1, 3),
    "mixed__branch_1__conv2d_1__filters": (2, 4),
    "mixed__branch_1__conv2d_2__filters": (3, 4),
    "mixed__pooled__maxpool2d_1__pool_size": (3, 5),
    "mixed__pooled__conv__filters": (2, 4),
    "mixed__branch_2__only__filters": (3, 4),
    "stage__res2__projection": ("auto", Conv2D(2, 3)),
    "res3__projection__conv2d_1__kernel_size": (1, 3),
    "res3__projection__norm__momentum": (0.9, 0.5),
    "stage__res2__conv2d_1__filters": (2, 3),
    "stage__res2__parallel_1__branch_1__conv2d_1__use_bias": (True, False),
}
"""Names with the values in the layers above and other valid ones."""


@pytest.mark.parametrize("name", list(NESTED_PARAMS))
def test_parameters_are_found_through_all_containers(name):
    value, other = NESTED_PARAMS[name]
    net = make_net(make_nested())
    before = net.get_params()
    assert before[name] == value
    assert net.set_params(**{name: other}).get_params()[name] is other
    after = net.get_params()
    assert before.keys() <= after.keys()
    assert {key for key in NESTED_PARAMS if after[key] != before[key]} == {name}
    net.fit(X, Y)


def test_containers_are_found_by_name_with_their_stacks():
    layers = make_nested()
    params = make_net(layers).get_params()
    res1, mixed, stage, res3 = (layer for _, layer in layers)
    assert params["res1"] is res1
    assert params["res1__layers"] is res1.layers
    assert params["res1__projection"] is res1.projection
    assert params["res3__projection"] is res3.projection
    assert params["res3__projection__norm"] is res3.projection[1][1]
    assert params["mixed__branches"] is mixed.branches
    assert params["mixed__passthrough_1"] == "passthrough"
    assert params["stage__res2"] is stage.layers[0][1]
    assert repr(params["mixed__branch_1"]) == repr(Sequential([Conv2D(2, 1), Conv2D(3)]))
    assert params["mixed__branch_1__layers"] is mixed.branches[1]


def test_all_params_of_containers_can_be_set_again():
    net = make_net(make_nested())
    before = net.get_params()
    after = net.set_params(**before).get_params()
    values = [key for key, value in before.items() if value is None or isinstance(value, int | float | str)]
    assert {key: after[key] for key in values} == {key: before[key] for key in values}
    assert names_of(net.fit(X, Y).layers_) == ["res1", "mixed", "stage", "res3", "flatten", "output"]


def test_parameters_of_containers_are_those_of_their_constructors():
    for _, layer in make_nested():
        own = layer.get_params(deep=False)
        assert list(own) == sorted(inspect.signature(type(layer)).parameters)
        assert all(getattr(layer, name) is value for name, value in own.items())


@pytest.mark.parametrize(
    ("params", "nodes"),
    [
        ({"res1__norm1": "passthrough"}, {"res1__norm1": None}),
        ({"res1__norm1": GroupNorm(2)}, {"res1__norm1": GroupNorm}),
        ({"res1__norm1": GroupNorm(2), "res1__norm1__groups": 1}, {"res1__norm1": GroupNorm}),
        ({"res1__norm1__groups": 1, "res1__norm1": GroupNorm(3)}, {"res1__norm1": GroupNorm}),
        ({"res1__projection": "auto"}, {"res1__projection": Conv2D}),
        ({"res1__projection": Conv2D(2, 3), "res1__projection__strides": 1}, {"res1__projection": Conv2D}),
        ({"res3__projection": "passthrough"}, {"res3__projection__norm": None, "res3": Add}),
        (
            {"res1__projection": [ReLU(), Conv2D(5)], "res1__projection__conv2d_1__filters": 2},
            {"res1__projection__relu_1": ReLU, "res1__projection__conv2d_1": Conv2D},
        ),
        ({"res3__projection__norm": ReLU()}, {"res3__projection__norm": ReLU}),
        ({"res3__projection__norm": "passthrough"}, {"res3__projection__norm": None}),
        ({"res3__projection": "auto"}, {"res3__projection__norm": None, "res3": Add}),
        ({"res1__projection__filters": 2, "res1__projection": Conv2D(5)}, {"res1__projection": Conv2D}),
        ({"mixed__branch_1__conv2d_1": "passthrough"}, {"mixed__branch_1__conv2d_1": None}),
        ({"mixed__branch_1": "passthrough"}, {"mixed__branch_1__conv2d_1": None}),
        ({"mixed__branch_1": Conv2D(2)}, {"mixed__branch_1": Conv2D}),
        ({"mixed__branch_1": [Conv2D(2), ReLU()]}, {"mixed__branch_1__relu_1": ReLU}),
        ({"mixed__passthrough_1": Conv2D(2)}, {"mixed__passthrough_1": Conv2D}),
        ({"stage__res2__parallel_1__branch_1": ReLU()}, {"stage__res2__parallel_1__branch_1": ReLU}),
        ({"stage__res2": Sequential([("conv", Conv2D(2))])}, {"stage__res2__conv": Conv2D}),
        (
            {"stage__res2": Sequential([("conv", Conv2D(9))]), "stage__res2__conv__filters": 2},
            {"stage__res2__conv": Conv2D, "stage__res2__conv2d_1": None},
        ),
        (
            {"stage__layers": [ReLU(), Sequential([Conv2D(9)])], "stage__sequential_1__conv2d_1__filters": 2},
            {"stage__relu_1": ReLU, "stage__sequential_1__conv2d_1": Conv2D},
        ),
        (
            {"mixed": Residual([Conv2D(9)]), "mixed__projection": ReLU(), "mixed__conv2d_1__filters": 2},
            {"mixed__projection": ReLU, "mixed__conv2d_1": Conv2D},
        ),
    ],
    ids=shown,
)
def test_layers_inside_of_containers_are_replaced(params, nodes):
    """And parameters of the new layers are set in the same call, in any order."""
    net = make_net(make_nested())
    net.set_params(**{name: clone(value, safe=False) for name, value in params.items()})
    built = {node.name: type(node.layer) for node in net.fit(X, Y).network_.nodes}
    assert {name: built.get(name) for name in nodes} == nodes
    for name, value in params.items():
        if isinstance(value, int):
            assert net.get_params()[name] == value


def test_names_inside_of_containers_stick():
    net = make_net([Residual([Conv2D(2), Conv2D(3)]), Parallel([[ReLU(), ReLU()], [Conv2D(2)]])])
    net.set_params(residual_1__conv2d_2__filters=5, parallel_1__branch_1__relu_2="passthrough")
    net.set_params(residual_1__conv2d_1="passthrough", parallel_1__branch_1="passthrough")
    params = net.get_params()
    assert params["residual_1__conv2d_2__filters"] == 5
    assert params["parallel_1__branch_2__conv2d_1__filters"] == 2
    assert names_of(net.layers) == ["residual_1", "parallel_1"]
    assert names_of(net.layers[1][1].branches) == ["branch_1", "branch_2"]
    names = [node.name for node in net.fit(X, Y).network_.nodes]
    assert "residual_1__conv2d_2" in names
    assert "parallel_1__branch_2__conv2d_1" in names


def test_set_params_by_name_leaves_the_lists_that_the_user_passed():
    branch, second, layers = [Conv2D(2), ReLU()], [Conv2D(3)], []
    branches = [second, "passthrough"]
    layers = [Residual(branch), Parallel(branches)]
    kept = [list(stack) for stack in (branch, second, branches, layers)]
    net = make_net(layers)
    net.set_params(residual_1__relu_1="passthrough", parallel_1__branch_1__conv2d_1=Conv2D(7))
    assert [branch, second, branches, layers] == kept
    assert net.get_params()["parallel_1__branch_1__conv2d_1__filters"] == 7


def test_set_params_of_a_containers_own_parameters_keeps_its_list():
    branch = [Conv2D(2)]
    net = make_net([("res1", Residual(branch, projection=Conv2D(2)))])
    net.set_params(res1__activation="relu", res1__projection__strides=1)
    assert net.get_params()["res1__layers"] is branch


NESTED_RIGHT = {
    "max_iter": 9,
    "res1__activation": "tanh",
    "res1__conv1__filters": 9,
    "res1__norm1": "passthrough",
    "res1__projection__strides": 2,
    "mixed__branch_1__conv2d_1__filters": 9,
    "mixed__pooled": "passthrough",
    "stage__res2__conv2d_1": Conv2D(9),
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"res9__conv1__filters": 3},
        {"res1__conv9__filters": 3},
        {"res1__conv1__filter": 3},
        {"res1__conv9": Conv2D(3)},
        {"res1__branches": []},
        {"res1__projection__stride": 3},
        {"res3__projection__conv2d_1__filter": 3},
        {"res3__projection__strides": 3},
        {"mixed__layers": []},
        {"mixed__branch_3__conv2d_1__filters": 3},
        {"mixed__branch_1__conv2d_3__filters": 3},
        {"mixed__pooled__conv__filters": 3},
        {"stage__res2__parallel_1__branch_1__conv2d_1__filter": 3},
        {"stage__res2__": 3},
    ],
    ids=str,
)
def test_set_params_sets_nothing_in_any_container_on_error(wrong):
    layers = make_nested()
    net = make_net(layers)
    before = joblib.hash(net)
    for params in (NESTED_RIGHT | wrong, wrong | NESTED_RIGHT):
        with pytest.raises(ValueError, match="Invalid parameter"):
            net.set_params(**params)
    assert joblib.hash(net) == before
    assert net.layers is layers


def test_set_params_leaves_the_layers_given_on_error():
    """New layers belong to the caller until all names are found right, whichever is looked up first."""
    names = [f"res{number}" for number in range(8)]
    for wrong in names:
        net = make_net([(name, Residual([("conv", Conv2D(2))])) for name in names])
        given = {f"{name}__conv": Conv2D(2) for name in names if name != wrong}
        values = {f"{name}__filters": 9 for name in given}
        with pytest.raises(ValueError, match="Invalid parameter"):
            net.set_params(**given, **values, **{f"{wrong}__cnv__filters": 9})
        assert [layer.filters for layer in given.values()] == [2] * 7


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rs1__conv1__filters", "res1__conv1__filters"),
        ("res1__cov1__filters", "res1__conv1__filters"),
        ("res1__conv1__filter", "res1__conv1__filters"),
        ("res1__projecton", "res1__projection"),
        ("res1__projection__stride", "res1__projection__strides"),
        ("mixed__pooled__conv__filter", "mixed__pooled__conv__filters"),
        ("mixed__branch_1__cov2d_1__filters", "mixed__branch_1__conv2d_1__filters"),
        ("mixed__branch1__conv2d_1__filters", "mixed__branch_1__conv2d_1__filters"),
        ("stage__res2__conv2d_1__filter", "stage__res2__conv2d_1__filters"),
    ],
)
def test_mistyped_names_inside_of_containers_get_a_hint_with_the_full_name(typed, meant):
    message = f"Invalid parameter '{typed}' for estimator ConvNetClassifier. Did you mean '{meant}'?"
    with pytest.raises(ValueError, match=re.escape(message)):
        make_net(make_nested()).set_params(**{typed: 3})


@pytest.mark.parametrize(
    ("layer", "name", "message"),
    [
        (Residual([Conv2D(2)]), "block__projection__strides", "'block__projection' is 'auto'"),
        (Residual([("norm1", "passthrough")]), "block__norm1__momentum", "'block__norm1' is 'passthrough'"),
        (
            Parallel(["passthrough"]),
            "block__passthrough_1__filters",
            "'block__passthrough_1' is 'passthrough'",
        ),
        (Sequential(3), "block__conv__filters", "conv__filters"),
    ],
    ids=shown,
)
def test_parameters_of_what_is_no_layer_are_refused(layer, name, message):
    with pytest.raises(ValueError, match=f"Invalid parameter .*{message}"):
        make_net([("block", layer)]).set_params(**{name: 2})


@pytest.mark.parametrize("container", [Sequential, Residual, Parallel])
def test_set_params_drops_no_layer_of_a_duplicate_name_in_a_container(container):
    layers = [("same", Conv2D(2)), ("other", Conv2D(2)), ("same", Conv2D(2))]
    for name, value in [("same__filters", 4), ("other__filters", 4), ("other", "passthrough")]:
        block = container([(inner, clone(layer)) for inner, layer in layers])
        net = make_net([("block", block)]).set_params(**{f"block__{name}": value})
        assert len(net.get_params()[f"block__{block._stack}"]) == 3
        with pytest.raises(ValueError, match="'block'.* must be unique, got 'same' twice"):
            net.fit(X, Y)


def test_a_layer_hidden_by_a_parameter_of_its_container_is_refused_and_not_confused_with_it():
    """The name "activation" is that of the parameter, in get_params, in set_params and at fit."""
    net = make_net([("res1", Residual([("activation", ReLU())], activation="tanh"))])
    assert net.get_params()["res1__activation"] == "tanh"
    net.set_params(res1__activation="relu")
    block = net.get_params()["res1"]
    assert block.activation == "relu"
    assert isinstance(block.layers[0][1], ReLU)
    with pytest.raises(ValueError, match="'res1'.* 'activation' is the name of a parameter"):
        net.fit(X, Y)


def test_a_clone_is_independent_of_the_original():
    net = make_net(make_nested())
    before = joblib.hash(net)
    copy = clone(net)
    assert joblib.hash(copy) == before
    copy.set_params(**{name: clone(other, safe=False) for name, (_, other) in NESTED_PARAMS.items()})
    copy.set_params(res1__norm1="passthrough", mixed__branch_1="passthrough")
    assert joblib.hash(net) == before


@pytest.mark.parametrize("duplicate", [clone, lambda value: pickle.loads(pickle.dumps(value))])
def test_duplicates_of_containers_have_the_same_parameters(duplicate):
    for _, layer in make_nested():
        copy = duplicate(layer)
        assert type(copy) is type(layer)
        assert repr(copy) == repr(layer)
        assert joblib.hash(copy) == joblib.hash(layer)
        assert copy.get_params().keys() == layer.get_params().keys()


def test_the_text_of_containers_is_how_they_are_made():
    made = "Residual(activation='relu', layers=[Conv2D(filters=8), ('norm', BatchNorm())])"
    assert repr(Residual([Conv2D(8), ("norm", BatchNorm())], activation="relu")) == made
    assert (
        repr(Parallel([Conv2D(8), ["passthrough"]]))
        == "Parallel(branches=[Conv2D(filters=8), ['passthrough']])"
    )
    assert shown(eval(made)) == made


def test_containers_are_shown_as_html():
    html = make_net(make_nested())._repr_html_()
    assert "Residual" in html
    assert "Parallel" in html


def test_nested_names_are_searched():
    grid = {
        "res1__conv1__filters": [2, 3],
        "res1__norm1": [BatchNorm(), "passthrough"],
        "stage__res2__parallel_1__branch_1__conv2d_1__kernel_size": [3],
    }
    net = make_net(make_nested())
    before = joblib.hash(net)
    search = GridSearchCV(net, grid, cv=2, error_score="raise").fit(X, Y)
    assert joblib.hash(net) == before
    seen = [
        (params["res1__conv1__filters"], params["res1__norm1"] == "passthrough")
        for params in search.cv_results_["params"]
    ]
    assert sorted(seen) == [(2, False), (2, True), (3, False), (3, True)]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    network = search.best_estimator_.network_
    assert network.params["res1__conv1"]["bias"].shape == (search.best_params_["res1__conv1__filters"],)
    assert ("res1__norm1" in network.params) == (search.best_params_["res1__norm1"] != "passthrough")


@pytest.mark.parametrize("container", [Sequential, Residual, lambda layers: Parallel([layers])])
def test_all_layers_of_a_branch_may_be_switched_off_in_a_search(container):
    net = make_net([("block", container([("conv1", Conv2D(2))]))])
    name = "block__branch_1__conv1" if isinstance(net.layers[0][1], Parallel) else "block__conv1"
    search = GridSearchCV(net, {name: [Conv2D(2), "passthrough"]}, cv=2, error_score="raise").fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_set_params_in_deep_containers_takes_no_longer_than_their_depth_asks_for():
    """Each container may look through those within it, but not each of them again and again."""
    calls = []

    class Counted(Conv2D):
        def get_params(self, deep=True):
            calls.append(self)
            return super().get_params(deep)

    block = Counted(2)
    for _ in range(10):
        block = Sequential([("in", block)])
    name = "__".join(["in"] * 10 + ["filters"])
    block.set_params(**{name: 3})
    assert block.get_params()[name] == 3
    assert len(calls) < 100


# what is set together, and what is not set at all


def test_an_activation_and_its_parameter_are_set_together():
    net = ConvNetClassifier([("a", Conv2D(3))]).set_params(a__activation__alpha=3.0, a__activation=ELU())
    assert net.get_params()["a__activation__alpha"] == 3.0


def test_a_parameter_of_an_activation_that_becomes_a_name_is_unknown():
    net = ConvNetClassifier([("a", Conv2D(3, activation=ELU()))])
    with pytest.raises(ValueError, match="Invalid parameter 'a__activation__alpha'"):
        net.set_params(a__activation="relu", a__activation__alpha=3.0)


def test_an_activation_that_several_layers_share_is_changed_in_one():
    shared = LeakyReLU(0.1)
    layer = Conv2D(3, activation=shared)
    net = ConvNetClassifier([("a", layer), ("b", Dense(4, activation=shared))])
    net.set_params(a__activation__negative_slope=0.9)
    params = net.get_params()
    assert params["a__activation__negative_slope"] == 0.9
    assert params["b__activation__negative_slope"] == shared.negative_slope == 0.1
    assert layer.activation is shared


def test_nothing_is_set_if_one_of_several_names_at_depth_is_unknown():
    net = ConvNetClassifier([("a", Conv2D(3, activation=LeakyReLU(0.1))), ("s", Sequential([Dense(4)]))])
    with pytest.raises(ValueError, match="Did you mean 's__dense_1__units'"):
        net.set_params(a__activation__negative_slope=0.9, s__dense_1__unit=3)
    assert net.get_params()["a__activation__negative_slope"] == 0.1
