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


def graph_of(layers=None):
    return fitted_classifier(layers, max_iter=1).model_.graph


CONTAINER_ENDS = {
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
"""The node that gives the result of each layer, by the shortest name of those that add it, in order."""


def test_layers_within_containers_and_containers_have_results():
    graph, vectors = graph_of(CONTAINERS), {"input", "flatten", "dense", "output"}
    ends = {name: graph.nodes[index].name for name, index in result_nodes(graph).items()}
    assert ends == CONTAINER_ENDS | {end: end for end in CONTAINER_ENDS.values()}
    names = names_of_nodes(graph)
    assert {name: graph.nodes[index].name for index, name in names.items()} == CONTAINER_ENDS
    assert list(names) == sorted(names)
    assert image_layers(graph) == [name for name in CONTAINER_ENDS if name not in vectors]


def test_a_block_that_adds_no_node_gives_no_name_to_that_of_another():
    graph = graph_of([("conv", Conv2D(2)), ("s", Sequential(["passthrough"]))])
    assert result_node(graph, "s") == result_node(graph, "conv") == 1
    assert names_of_nodes(graph)[1] == "conv"
    assert image_layers(graph) == ["conv"]


@pytest.mark.parametrize("find", [result_node, image_node])
def test_a_layer_that_does_not_exist_is_an_error_that_lists_those_that_do(find):
    with pytest.raises(ValueError, match=r"layer must .*\['input', 'conv1', .*'output'\], got 'conv2'"):
        find(graph_of(), "conv2")


def test_a_layer_of_vectors_has_no_images():
    graph = graph_of()
    assert image_node(graph, "pool1") == result_node(graph, "pool1")
    with pytest.raises(ValueError, match=r"'dense1' .*\(4,\)"):
        image_node(graph, "dense1")


GLOBAL_BRANCHES = Parallel([[Conv2D(2), GlobalAvgPool2D()], [GlobalAvgPool2D()]])
SMALLER_BRANCHES = Parallel([[Conv2D(2), MaxPool2D()], [MaxPool2D()]])


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
        # on no branch, so that its gradient is known: all that comes after it reads through it
        ([Conv2D(2), SMALLER_BRANCHES, GlobalAvgPool2D()], "parallel_1"),
        ([Conv2D(2), SMALLER_BRANCHES, ReLU(), AvgPool2D()], "relu_1"),
        ([Conv2D(2), ReLU(), GLOBAL_BRANCHES], "relu_1"),
        ([Conv2D(2), Parallel([[ReLU(), MaxPool2D()], [MaxPool2D()]]), GlobalAvgPool2D()], "conv2d_1"),
        ([Conv2D(2), Residual([BatchNorm(), Conv2D(2)]), BatchNorm(), MaxPool2D()], "batchnorm_1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_last_convolution_sees_ends_where_images_become_smaller(layers, expected):
    classifier = fitted_classifier(layers, max_iter=1)
    index = last_convolved_node(classifier.model_.graph)
    assert classifier.network_.nodes[index].name == expected
    classifier.network_.after(index)  # does not raise


@pytest.mark.parametrize(
    "layers", [[Dense(3)], [MaxPool2D()], [Conv2D(3, (6, 5), padding="valid")], [GLOBAL_BRANCHES]]
)
def test_without_a_convolution_to_images_a_layer_must_be_given(layers):
    with pytest.raises(ValueError, match="layer must be given"):
        last_convolved_node(graph_of(layers))


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
    graph = graph_of(layers)
    assert graph.nodes[penultimate_node(graph)].name == expected
