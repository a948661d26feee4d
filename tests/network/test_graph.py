"""Tests of the graph: how layers become a flat list of nodes, and which stacks are refused."""

import tracemalloc

import pytest
from small_networks import INPUT_SHAPE, stack

from skcnn.layers import AvgPool2D, Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU, Tanh
from skcnn.layers.containers import Add, Concatenate
from skcnn.network.graph import Graph, compile_nodes


def test_a_chain_becomes_nodes_with_names_inputs_and_shapes():
    nodes = compile_nodes(stack(), INPUT_SHAPE)
    assert [(node.name, node.output_shape) for node in nodes] == [
        ("input", (4, 6, 2)),
        ("conv", (4, 6, 3)),
        ("conv_relu", (4, 6, 3)),
        ("norm", (4, 6, 3)),
        ("pool", (2, 3, 3)),
        ("flatten", (18,)),
        ("hidden", (5,)),
        ("hidden_tanh", (5,)),
        ("norm2", (5,)),
        ("output", (2,)),
    ]
    assert nodes[0].layer is None
    assert nodes[0].inputs == nodes[0].input_shapes == ()
    for index, node in enumerate(nodes[1:], start=1):
        assert node.inputs == (index - 1,)
        assert node.input_shape == nodes[index - 1].output_shape
    assert [node.name for node in nodes if node.merges] == ["norm", "norm2"]
    assert [node.takes_images for node in nodes] == [True] * 6 + [False] * 4


def test_a_node_that_joins_has_a_tuple_of_input_shapes():
    graph = Graph((4, 6, 2))
    conv = graph.add("conv", Conv2D(3), 0)
    both = graph.add("both", Concatenate(), conv, 0, conv)
    assert graph.nodes[both].inputs == (1, 0, 1)
    shapes = ((4, 6, 3), (4, 6, 2), (4, 6, 3))
    assert graph.nodes[both].input_shape == graph.nodes[both].input_shapes == shapes
    assert graph.shape(both) == (4, 6, 8)
    assert graph.nodes[both].takes_images
    vector = graph.add("vector", Flatten(), both)
    assert not graph.nodes[graph.add("sum", Add(), vector, vector)].takes_images


def test_blocks_are_put_after_any_node():
    graph = Graph((4, 6, 2))
    first = graph.connect_all([("conv", Conv2D(3, activation="relu")), ("pool", MaxPool2D())], 0)
    second = graph.connect("other", Conv2D(5), 0)
    assert (first, second) == (3, 4)
    assert graph.connect_all([], second) == second
    assert [(node.name, node.inputs) for node in graph.nodes] == [
        ("input", ()),
        ("conv", (0,)),
        ("conv_relu", (1,)),
        ("pool", (2,)),
        ("other", (0,)),
    ]


@pytest.mark.parametrize(
    ("layer", "other", "named"),
    [
        *((Add(), other, "4, 6, 2") for other in (Conv2D(3), MaxPool2D(), Flatten())),
        *((Concatenate(), MaxPool2D(), "4, 6, 2"), (Concatenate(), Flatten(), "48")),
    ],
)
def test_joining_nodes_refuse_shapes_that_do_not_go_together(layer, other, named):
    graph = Graph((4, 6, 2))
    with pytest.raises(ValueError, match=named):
        graph.add("join", layer, 0, graph.add("other", other, 0))
    assert len(graph.nodes) == 2


def test_vectors_may_be_the_input():
    nodes = compile_nodes([("output", Dense(2))], (7,))
    assert [(node.takes_images, node.output_shape) for node in nodes] == [(False, (7,)), (False, (2,))]


@pytest.mark.parametrize(
    ("name", "layer", "before", "shape", "reason"),
    [
        ("wide", Conv2D(4, 9, padding="valid"), [], "(4, 6, 2)", "kernel_size"),
        ("mean", AvgPool2D(3), [("first", MaxPool2D(2))], "(2, 3, 2)", "pool_size"),
        ("late", Conv2D(4), [("flatten", Flatten())], "(48,)", "an image"),
        ("early", Dense(4), [], "(4, 6, 2)", "a vector"),
        ("much", Dropout(1.5), [], "(4, 6, 2)", "rate"),
        ("odd", Dense(4, activation="rely"), [("flatten", Flatten())], "(48,)", "rely"),
    ],
)
def test_an_impossible_layer_is_named_with_its_parameters_and_the_shape(name, layer, before, shape, reason):
    with pytest.raises(ValueError) as caught:
        compile_nodes([*before, (name, layer)], INPUT_SHAPE)
    message = str(caught.value)
    for part in (repr(name), repr(layer), shape, reason):
        assert part in message


@pytest.mark.parametrize(
    ("twice", "layers"),
    [
        ("same", [("same", ReLU()), ("same", Tanh())]),
        ("conv_relu", [("conv", Conv2D(2, activation="relu")), ("conv_relu", ReLU())]),
        ("input", [("input", ReLU())]),
    ],
)
def test_equal_names_are_refused_with_the_name(twice, layers):
    with pytest.raises(ValueError, match=f"'{twice}' twice"):
        compile_nodes(layers, INPUT_SHAPE)


def test_compiling_allocates_nothing_of_the_size_of_the_weights():
    """This network would take terabytes."""
    layers = [("conv", Conv2D(10**6, 5)), ("flatten", Flatten()), ("output", Dense(10**6))]
    tracemalloc.start()
    compile_nodes(layers, (64, 64, 3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_compiling_leaves_the_layers_as_they_are():
    layers = stack()
    before = [dict(vars(layer)) for _, layer in layers]
    compile_nodes(layers, INPUT_SHAPE)
    assert [vars(layer) for _, layer in layers] == before


class ToImage(Flatten):
    """Turns vectors into images."""

    def output_shape(self, input_shape):
        return (1, 1, *input_shape)


def test_layers_that_turn_vectors_into_images_are_refused():
    with pytest.raises(ValueError, match=r"layer 'image', ToImage\(\).*\(1, 1, 36\)"):
        compile_nodes([("flatten", Flatten()), ("image", ToImage())], (3, 4, 3))
