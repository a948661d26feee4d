"""Tests of the names by which the results of layers are found."""

import pytest
from small_classifiers import fitted_classifier

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    MaxPool2D,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    ZeroPad2D,
)
from skcnn.network.named_nodes import (
    image_layers,
    image_node,
    last_convolved_node,
    names_of_nodes,
    penultimate_node,
    result_node,
    result_nodes,
)

CONTAINERS = [
    ("conv", Conv2D(2, activation="relu")),
    ("res", Residual([("conv", Conv2D(2, activation="tanh")), ("norm", BatchNorm())], activation="relu")),
    ("stage", Sequential([("mixed", Parallel([("one", Conv2D(2)), ("two", [Conv2D(1, 1)])])), MaxPool2D()])),
    ("dense", Dense(4, activation="relu")),
]


def names_of_results(classifier):
    """Return the name of the node with the result of each layer."""
    nodes = classifier.network_.nodes
    return {name: nodes[index].name for name, index in result_nodes(classifier.model_.graph).items()}


def test_a_layer_ends_after_its_activation():
    classifier = fitted_classifier(activation="relu")
    assert names_of_results(classifier) == {
        "input": "input",
        "conv1": "conv1_relu",
        "conv1_relu": "conv1_relu",
        "pool1": "pool1",
        "flatten": "flatten",
        "dense1": "dense1_relu",
        "dense1_relu": "dense1_relu",
        "output": "output",
    }


def test_layers_within_containers_and_containers_have_results():
    found = names_of_results(fitted_classifier(CONTAINERS))
    expected = {
        "conv": "conv_relu",
        "res__conv": "res__conv_tanh",
        "res__norm": "res__norm",
        "res": "res_relu",
        "stage__mixed__one": "stage__mixed__one",
        "stage__mixed__two": "stage__mixed__two__conv2d_1",
        "stage__mixed__two__conv2d_1": "stage__mixed__two__conv2d_1",
        "stage__mixed": "stage__mixed",
        "stage": "stage__maxpool2d_1",
        "dense": "dense_relu",
        "output": "output",
    }
    assert {name: found[name] for name in expected} == expected


def test_each_node_that_gives_a_result_has_the_shortest_name_of_a_layer_that_adds_it():
    """In the order of the network."""
    classifier = fitted_classifier(CONTAINERS)
    nodes = classifier.network_.nodes
    assert {name: nodes[index].name for index, name in names_of_nodes(classifier.model_.graph).items()} == {
        "input": "input",
        "conv": "conv_relu",
        "res__conv": "res__conv_tanh",
        "res__norm": "res__norm",
        "res": "res_relu",
        "stage__mixed__one": "stage__mixed__one",
        "stage__mixed__two": "stage__mixed__two__conv2d_1",
        "stage__mixed": "stage__mixed",
        "stage": "stage__maxpool2d_1",
        "flatten": "flatten",
        "dense": "dense_relu",
        "output": "output",
    }
    assert list(names_of_nodes(classifier.model_.graph)) == sorted(names_of_nodes(classifier.model_.graph))


def test_a_block_that_adds_no_node_gives_no_name_to_that_of_another():
    classifier = fitted_classifier([("conv", Conv2D(2)), ("s", Sequential(["passthrough"]))])
    assert result_node(classifier.model_.graph, "s") == result_node(classifier.model_.graph, "conv") == 1
    assert names_of_nodes(classifier.model_.graph)[1] == "conv"
    assert image_layers(classifier.model_.graph) == ["conv"]


def test_a_layer_that_does_not_exist_is_an_error_that_lists_those_that_do():
    classifier = fitted_classifier()
    message = r"layer must be one of \['input', 'conv1', .*'output'\], got 'conv2'"
    for find in (result_node, image_node):
        with pytest.raises(ValueError, match=message):
            find(classifier.model_.graph, "conv2")


def test_layers_of_images_come_once_each():
    assert image_layers(fitted_classifier(CONTAINERS).model_.graph) == [
        "conv",
        "res__conv",
        "res__norm",
        "res",
        "stage__mixed__one",
        "stage__mixed__two",
        "stage__mixed",
        "stage",
    ]


def test_a_layer_of_vectors_has_no_images():
    classifier = fitted_classifier()
    assert image_node(classifier.model_.graph, "pool1") == result_node(classifier.model_.graph, "pool1")
    with pytest.raises(ValueError, match=r"results are images, got 'dense1' with results of shape \(4,\)"):
        image_node(classifier.model_.graph, "dense1")


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Conv2D(2, activation="relu"), MaxPool2D()], "conv2d_1_relu"),
        ([Conv2D(2), BatchNorm(), ReLU(), Dropout(0.1), MaxPool2D(), Dropout()], "dropout_1"),
        ([Conv2D(2), MaxPool2D(), Conv2D(3), ReLU(), GlobalAvgPool2D()], "relu_1"),
        ([Conv2D(2), MaxPool2D(), DepthwiseConv2D(activation="relu"), AvgPool2D()], "depthwiseconv2d_1_relu"),
        ([Conv2D(2, activation="relu"), ZeroPad2D(1), Flatten(), Dense(3)], "conv2d_1_relu"),
        ([Residual([Conv2D(2, strides=2), BatchNorm()], activation="relu")], "residual_1_relu"),
        ([Parallel([Conv2D(2), [Conv2D(2), ReLU()]]), MaxPool2D()], "parallel_1"),
        ([Conv2D(2), ReLU(), MaxPool2D((6, 5)), Conv2D(3), ReLU()], "relu_1"),
        ([Conv2D(2, activation="relu"), Conv2D(3, (6, 5), padding="valid")], "conv2d_1_relu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_last_convolution_sees_ends_where_images_become_smaller(layers, expected):
    classifier = fitted_classifier(layers)
    assert classifier.network_.nodes[last_convolved_node(classifier.model_.graph)].name == expected


GLOBAL_BRANCHES = Parallel([[Conv2D(2), GlobalAvgPool2D()], [GlobalAvgPool2D()]])


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Conv2D(2), Parallel([[Conv2D(2), MaxPool2D()], [MaxPool2D()]]), GlobalAvgPool2D()], "parallel_1"),
        ([Conv2D(2), Parallel([[Conv2D(2), MaxPool2D()], [MaxPool2D()]]), ReLU(), AvgPool2D()], "relu_1"),
        ([Conv2D(2), ReLU(), GLOBAL_BRANCHES], "relu_1"),
        ([Conv2D(2), Parallel([[ReLU(), MaxPool2D()], [MaxPool2D()]]), GlobalAvgPool2D()], "conv2d_1"),
        ([Conv2D(2), Residual([BatchNorm(), Conv2D(2)]), BatchNorm(), MaxPool2D()], "batchnorm_1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_last_convolution_sees_lies_on_no_branch(layers, expected):
    """So that its gradient is known: all that comes after it reads through it."""
    classifier = fitted_classifier(layers)
    index = last_convolved_node(classifier.model_.graph)
    assert classifier.network_.nodes[index].name == expected
    classifier.network_.after(index)


@pytest.mark.parametrize(
    "layers", [[Dense(3)], [MaxPool2D()], [Conv2D(3, (6, 5), padding="valid")], [GLOBAL_BRANCHES]]
)
def test_without_a_convolution_to_images_a_layer_must_be_given(layers):
    with pytest.raises(ValueError, match="layer must be given, since no layer convolves to images"):
        last_convolved_node(fitted_classifier(layers).model_.graph)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Conv2D(2), Dense(3, activation="relu")], "dense_1_relu"),
        ([Conv2D(2), GlobalAvgPool2D()], "globalavgpool2d_1"),
        ([Conv2D(2)], "flatten"),
        ([Dense(3), Dropout()], "dropout_1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_penultimate_node_is_what_the_output_layer_reads(layers, expected):
    classifier = fitted_classifier(layers)
    assert classifier.network_.nodes[penultimate_node(classifier.model_.graph)].name == expected
