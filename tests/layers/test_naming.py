"""Names in stacks of layers, and the search for layers and their parameters by these names."""

import re
from functools import partial

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from small_classifiers import make_classifier, make_images

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

X, Y = make_images(24, (8, 6, 1))
make_net = partial(make_classifier, max_iter=1)


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
    names = ["int_1", "nonetype_1", "abcmeta_1", "tuple_1", "int_2"]
    assert names_of(name_layers([3, None, Conv2D, (1, 2), 4])) == names


def test_only_the_text_passthrough_is_no_layer():
    assert is_passthrough("passthrough")
    assert not any(map(is_passthrough, ["drop", None, Conv2D(2), ["passthrough"], np.array(["passthrough"])]))


@pytest.mark.parametrize(
    ("named", "match"),
    [
        ([("a", Conv2D(2)), ("b", 3)], r"branches\[1\] .* got \('b', 3\)"),
        ([("a__b", Conv2D(2))], "'__', got 'a__b'"),
        ([("", Conv2D(2))], "empty .*got ''"),
        ([("size", Conv2D(2))], "'size' is the name of a parameter"),
        ([("input", "passthrough")], "'input' .* reserved"),
        ([("output", Sequential([]))], "'output' .* reserved"),
        ([("passthrough", Conv2D(2))], "'passthrough' .* reserved"),
        ([("a", Conv2D(2)), ("b", "passthrough"), ("a", "passthrough")], "unique, got 'a' twice"),
    ],
)
def test_entries_that_are_no_layers_and_names_that_are_none_are_refused(named, match):
    with pytest.raises(ValueError, match=match):
        check_layers(named, named, {"size"}, parameter="branches")


# get_params and set_params


def make_stack():
    """Return layers and containers in each other, with given names and made ones."""
    return [
        ("conv1", Conv2D(2)),
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
        ("off", "passthrough"),
    ]


PARAMS = {
    "conv1__filters": (2, 5),
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
    "stage__res2__parallel_1__branch_1__conv2d_1__use_bias": (True, False),
}
"""Names with the values in the stack above and other valid ones."""


@pytest.mark.parametrize("name", list(PARAMS))
def test_parameters_are_found_through_all_containers(name):
    value, other = PARAMS[name]
    net = make_net(make_stack())
    before = net.get_params()
    assert before[name] == value
    assert net.set_params(**{name: other}).get_params()[name] is other
    after = net.get_params()
    assert before.keys() <= after.keys()
    assert {key for key in PARAMS if after[key] != before[key]} == {name}


def test_parameters_that_are_set_are_those_of_the_network():
    other_values = {name: clone(other, safe=False) for name, (_, other) in PARAMS.items()}
    params = make_net(make_stack()).set_params(**other_values).fit(X, Y).network_.params
    shapes = {
        "conv1": (3, 3, 1, 5),
        "res1__projection": (3, 3, 5, 2),
        "mixed__branch_1__conv2d_2": (3, 3, 4, 4),
        "mixed__pooled__conv": (1, 1, 2, 4),
        "stage__res2__projection": (3, 3, 16, 2),
        "res3__projection__conv2d_1": (3, 3, 2, 2),
    }
    assert {name: params[name]["weight"].shape for name in shapes} == shapes
    assert "bias" not in params["stage__res2__parallel_1__branch_1__conv2d_1"]


def test_layers_are_found_by_name_with_their_stacks():
    layers = make_stack()
    params = make_net(layers).get_params()
    assert params["layers"] is layers
    conv1, res1, mixed, stage, res3, _ = (layer for _, layer in layers)
    assert params["conv1"] is conv1
    assert params["res1"] is res1
    assert params["res1__layers"] is res1.layers
    assert params["res1__projection"] is res1.projection
    assert params["res3__projection"] is res3.projection
    assert params["res3__projection__norm"] is res3.projection[1][1]
    assert params["mixed__branches"] is mixed.branches
    assert params["mixed__passthrough_1"] == params["off"] == "passthrough"
    assert params["stage__res2"] is stage.layers[0][1]
    assert repr(params["mixed__branch_1"]) == repr(Sequential([Conv2D(2, 1), Conv2D(3)]))
    assert params["mixed__branch_1__layers"] is mixed.branches[1]


def test_all_params_can_be_set_again():
    net = make_net(make_stack())
    before = net.get_params()
    assert net.set_params(**before) is net
    after = net.get_params()
    values = [key for key, value in before.items() if value is None or isinstance(value, int | float | str)]
    assert {key: after[key] for key in values} == {key: before[key] for key in values}
    names = ["conv1", "res1", "mixed", "stage", "res3", "flatten", "output"]
    assert names_of(net.fit(X, Y).layers_) == names


@pytest.mark.parametrize(
    ("params", "nodes"),
    [
        ({"conv1": "passthrough"}, {"conv1": None}),
        ({"off": BatchNorm(), "off__momentum": 0.5}, {"off": BatchNorm}),
        ({"conv1__filters": 9, "conv1": Conv2D(3)}, {"conv1": Conv2D}),
        ({"only__units": 9, "layers": [("only", Dense(3))]}, {"only": Dense, "conv1": None}),
        ({"res1__norm1": "passthrough"}, {"res1__norm1": None}),
        ({"res1__norm1": GroupNorm(2), "res1__norm1__groups": 1}, {"res1__norm1": GroupNorm}),
        ({"res1__projection": Conv2D(2, 3), "res1__projection__strides": 1}, {"res1__projection": Conv2D}),
        ({"res3__projection": "passthrough"}, {"res3__projection__norm": None, "res3": Add}),
        (
            {"res1__projection": [ReLU(), Conv2D(5)], "res1__projection__conv2d_1__filters": 2},
            {"res1__projection__relu_1": ReLU, "res1__projection__conv2d_1": Conv2D},
        ),
        ({"res3__projection__norm": ReLU()}, {"res3__projection__norm": ReLU}),
        ({"res3__projection": "auto"}, {"res3__projection__norm": None, "res3": Add}),
        ({"res1__projection__filters": 2, "res1__projection": Conv2D(5)}, {"res1__projection": Conv2D}),
        ({"mixed__branch_1__conv2d_1": "passthrough"}, {"mixed__branch_1__conv2d_1": None}),
        ({"mixed__branch_2__only": "passthrough"}, {"mixed__branch_2__only": None}),
        ({"mixed__branch_1": "passthrough"}, {"mixed__branch_1__conv2d_1": None}),
        ({"mixed__branch_1": Conv2D(2)}, {"mixed__branch_1": Conv2D}),
        (
            {"mixed__conv2d_1": [ReLU(), Conv2D(9)], "mixed__conv2d_1__conv2d_1__filters": 2},
            {"mixed__conv2d_1__relu_1": ReLU, "mixed__conv2d_1__conv2d_1": Conv2D},
        ),
        ({"mixed__passthrough_1": Conv2D(2)}, {"mixed__passthrough_1": Conv2D}),
        ({"stage__res2__parallel_1__branch_1": ReLU()}, {"stage__res2__parallel_1__branch_1": ReLU}),
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
def test_layers_are_replaced(params, nodes):
    """And parameters of the new layers are set in the same call, in any order."""
    net = make_net(make_stack())
    net.set_params(**{name: clone(value, safe=False) for name, value in params.items()})
    built = {node.name: type(node.layer) for node in net.fit(X, Y).network_.nodes}
    assert {name: built.get(name) for name in nodes} == nodes
    for name, value in params.items():
        if isinstance(value, int | float):
            assert net.get_params()[name] == value


def test_names_stick():
    """The first set_params by name writes them into the lists, so that they outlive other changes."""
    blocks = [Residual([Conv2D(2), Conv2D(3)]), Parallel([[ReLU(), ReLU()], [Conv2D(2)]])]
    net = make_net([Conv2D(2), Conv2D(3), *blocks])
    net.set_params(residual_1__conv2d_2__filters=5, parallel_1__branch_1__relu_2="passthrough")
    net.set_params(conv2d_1="passthrough", residual_1__conv2d_1="passthrough")
    net.set_params(parallel_1__branch_1="passthrough", conv2d_2__filters=7)
    params = net.get_params()
    assert params["conv2d_2__filters"] == 7
    assert params["residual_1__conv2d_2__filters"] == 5
    assert params["parallel_1__branch_2__conv2d_1__filters"] == 2
    assert names_of(net.layers) == ["conv2d_1", "conv2d_2", "residual_1", "parallel_1"]
    assert names_of(net.layers[3][1].branches) == ["branch_1", "branch_2"]
    names = {node.name for node in net.fit(X, Y).network_.nodes}
    assert {"conv2d_2", "residual_1__conv2d_2", "parallel_1__branch_2__conv2d_1"} <= names


def test_set_params_leaves_the_lists_and_layers_that_the_user_passed():
    """Nor does it change layers given in the same call."""
    layers, given = make_stack(), Conv2D(2)
    before = joblib.hash(layers)
    net = make_net(layers).set_params(conv1="passthrough", res1__norm1="passthrough", res3__conv__filters=3)
    net.set_params(mixed__branch_1__conv2d_1=given, mixed__branch_1__conv2d_1__filters=3)
    assert net.layers is not layers
    assert net.get_params()["mixed__branch_1__conv2d_1__filters"] == 3
    assert joblib.hash(layers) == before
    assert given.filters == 2


def test_set_params_of_own_parameters_keeps_the_list():
    branch = [Conv2D(2)]
    layers = [("res1", Residual(branch, projection=Conv2D(2)))]
    assert make_net(layers).set_params().set_params(max_iter=3).layers is layers
    net = make_net(layers).set_params(res1__activation="relu", res1__projection__strides=1)
    assert net.get_params()["res1__layers"] is branch


CONV = Conv2D(2)
BRANCH = [CONV, ReLU()]
BLOCK = Residual(BRANCH)
SHARED = {
    "in the stack": ([CONV, CONV, CONV], "conv2d_{}__filters", (1, 2, 3)),
    "a block in the stack": ([BLOCK, BLOCK], "residual_{}__conv2d_1__filters", (1, 2)),
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
    for name in names:
        net = make_net(layers).set_params(**{name: 5})
        params = net.get_params()
        assert [params[other] for other in names] == [5 if other == name else 2 for other in names]
        params = net.set_params(**{other: 3 for other in names if other != name}).get_params()
        assert [params[other] for other in names] == [5 if other == name else 3 for other in names]
    assert joblib.hash(layers) == before


# what is refused


RIGHT = {
    "max_iter": 9,
    "conv1__filters": 9,
    "res1__activation": "tanh",
    "res1__norm1": "passthrough",
    "res1__projection__strides": 2,
    "mixed__branch_1__conv2d_1__filters": 9,
    "stage__res2__conv2d_1": Conv2D(9),
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"conv1__": 3},
        {"conv9": Dense(2)},
        {"res1__conv9": Conv2D(3)},
        {"res1__branches": []},
        {"res3__projection__strides": 3},
        {"mixed__branch_1__conv2d_3__filters": 3},
        {"stage__res2__parallel_1__branch_1__conv2d_1__filter": 3},
    ],
    ids=str,
)
def test_set_params_sets_nothing_on_error(wrong):
    layers = make_stack()
    net = make_net(layers)
    before = joblib.hash(net)
    for params in (RIGHT | wrong, wrong | RIGHT, RIGHT | {"layers": make_stack()} | wrong):
        with pytest.raises(ValueError, match="Invalid parameter"):
            net.set_params(**params)
    assert joblib.hash(net) == before
    assert net.layers is layers


def test_set_params_leaves_the_layers_given_on_error():
    """New layers belong to the caller until all names are found right, whichever is looked up first."""
    names = [f"res{number}" for number in range(3)]
    for wrong in names:
        net = make_net([(name, Residual([("conv", Conv2D(2))])) for name in names])
        given = {f"{name}__conv": Conv2D(2) for name in names if name != wrong}
        values = {f"{name}__filters": 9 for name in given}
        with pytest.raises(ValueError, match=f"Invalid parameter '{wrong}__cnv__filters'"):
            net.set_params(**given, **values, **{f"{wrong}__cnv__filters": 9})
        assert [layer.filters for layer in given.values()] == [2, 2]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("max_itr", "max_iter"),
        ("cov1", "conv1"),
        ("conv1__kernel", "conv1__kernel_size"),
        ("cnv1__filters", "conv1__filters"),
        ("rs1__conv1__filters", "res1__conv1__filters"),
        ("res1__cov1__filters", "res1__conv1__filters"),
        ("res1__conv1__filter", "res1__conv1__filters"),
        ("res1__projecton", "res1__projection"),
        ("res1__projection__stride", "res1__projection__strides"),
        ("mixed__branch1__conv2d_1__filters", "mixed__branch_1__conv2d_1__filters"),
        ("stage__res2__conv2d_1__filter", "stage__res2__conv2d_1__filters"),
    ],
)
def test_mistyped_names_get_a_hint_with_the_full_name(typed, meant):
    message = f"Invalid parameter '{typed}' for estimator ConvNetClassifier. Did you mean '{meant}'?"
    with pytest.raises(ValueError, match=re.escape(message)):
        make_net(make_stack()).set_params(**{typed: 3})


def test_parameters_like_no_other_get_the_list_of_valid_ones():
    with pytest.raises(ValueError, match=r"'qqq'.* Valid parameters are: .*'conv1__filters'.*'verbose'"):
        make_net(make_stack()).set_params(qqq=3)


@pytest.mark.parametrize(
    ("layer", "name", "match"),
    [
        ("passthrough", "block__momentum", "'block' is 'passthrough'"),
        (Residual([Conv2D(2)]), "block__projection__strides", "'block__projection' is 'auto'"),
        (Residual([("norm1", "passthrough")]), "block__norm1__momentum", "'block__norm1' is 'passthrough'"),
        (Parallel([ReLU(), "passthrough"]), "block__passthrough_1__rate", "'block__passthrough_1' is 'pass"),
        (Sequential(3), "block__conv__filters", "conv__filters"),
    ],
    ids=shown,
)
def test_parameters_of_what_is_no_layer_are_refused(layer, name, match):
    with pytest.raises(ValueError, match=f"Invalid parameter .*{match}"):
        make_net([("block", layer)]).set_params(**{name: 2})


GARBAGE = [
    "garbage",
    3,
    {"conv1": 3},
    [3, None, "text"],
    [("conv1",)],
    [("conv1", 3)],
    [(3, Conv2D(2))],
    [("alpha", 3), ("conv__1", Dense(2))],
    [("conv1", Dense(2)), ("conv1", Dense(3))],
    [Conv2D],
    np.arange(3),
]
GARBAGE_INSIDE = [
    [[Conv2D(2)]],
    [Residual([Conv2D(2)], projection=[3])],
    [Residual([Conv2D(2)], projection=("conv1", Conv2D(2)))],
    [Residual([Conv2D(2)], activation=Conv2D)],
    [Parallel([[3], ("conv", [None]), [[Conv2D(2)]]])],
    [Sequential([Residual([Parallel([[Sequential(3)]])])])],
]
STACKS_OF_GARBAGE = [*GARBAGE, *GARBAGE_INSIDE, *([("block", Parallel(garbage))] for garbage in GARBAGE)]


@pytest.mark.parametrize("layers", STACKS_OF_GARBAGE, ids=shown)
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
    "layers", [[3, None, "text"], [("conv1",), Dense(2)], [("alpha", 3), ("conv__1", Dense(2))]], ids=repr
)
def test_all_params_of_garbage_can_be_set_again(layers):
    net = make_net(layers)
    net.set_params(**net.get_params())
    entries = [entry for _, entry in name_layers(layers)]
    assert repr([entry for _, entry in name_layers(net.layers)]) == repr(entries)
    with pytest.raises(ValueError, match="layer"):
        net.fit(X, Y)


@pytest.mark.parametrize("container", [None, Sequential, Residual, Parallel])
@pytest.mark.parametrize("params", [{"same__units": 4}, {"other": "passthrough"}], ids=str)
def test_set_params_drops_no_layer_of_a_duplicate_name(container, params):
    layers = [("same", Dense(2)), ("other", Dense(2)), ("same", Dense(3))]
    if container is None:
        net = make_net(layers).set_params(**params)
        assert len(net.layers) == 3
    else:
        net = make_net([("block", container(layers))])
        net.set_params(**{f"block__{name}": value for name, value in params.items()})
        block = net.layers[0][1]
        assert len(getattr(block, block._stack)) == 3
    with pytest.raises(ValueError, match="unique, got 'same' twice"):
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


# in use


def test_the_text_of_containers_is_how_they_are_made():
    made = "Residual(activation='relu', layers=[Conv2D(filters=8), ('norm', BatchNorm())])"
    assert repr(Residual([Conv2D(8), ("norm", BatchNorm())], activation="relu")) == made
    assert shown(eval(made)) == made
    made = "Parallel(branches=[Conv2D(filters=8), ['passthrough']])"
    assert repr(Parallel([Conv2D(8), ["passthrough"]])) == made


@pytest.mark.costly
def test_nested_names_are_searched():
    grid = {"res1__conv1__filters": [2, 3], "res1__norm1": [BatchNorm(), "passthrough"]}
    net = make_net(make_stack())
    before = joblib.hash(net)
    search = GridSearchCV(net, grid, cv=2, error_score="raise").fit(X, Y)
    assert joblib.hash(net) == before
    results = search.cv_results_["params"]
    seen = {(params["res1__conv1__filters"], params["res1__norm1"] == "passthrough") for params in results}
    assert seen == {(2, False), (2, True), (3, False), (3, True)}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    network = search.best_estimator_.network_
    assert network.params["res1__conv1"]["bias"].shape == (search.best_params_["res1__conv1__filters"],)
    assert ("res1__norm1" in network.params) == (search.best_params_["res1__norm1"] != "passthrough")


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


# activations that are layers


def test_an_activation_and_its_parameter_are_set_together_unless_it_becomes_a_name():
    net = ConvNetClassifier([("a", Conv2D(3))]).set_params(a__activation__alpha=3.0, a__activation=ELU())
    assert net.get_params()["a__activation__alpha"] == 3.0
    with pytest.raises(ValueError, match="Invalid parameter 'a__activation__alpha'"):
        net.set_params(a__activation="relu", a__activation__alpha=5.0)
    assert net.get_params()["a__activation__alpha"] == 3.0


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
