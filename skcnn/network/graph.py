"""Compiles layers into a flat list of nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NoReturn

from skcnn._sklearn import check_hyperparameters
from skcnn.layers.base import Block, Layer, MergingLayer, Shape, is_integer
from skcnn.layers.contract import ERRORS, check_declarations, check_shape, name_error


@dataclass(frozen=True)
class Node:
    """One entry of the flat list: a layer and the nodes that it reads.

    Attributes
    ----------
    name : str
        Name of the layer, the key of its parameters.
    layer : Layer or None
        None for the first node, which reads the images.
    inputs : tuple of int
        Indices of the nodes whose results the layer reads; in a chain, the node before.
    input_shapes : tuple of shapes
        Shapes of these results for one sample, without the batch axis.
    output_shape : tuple of int
        Shape of the result for one sample.
    """

    name: str
    layer: Layer | Any  # None only for the first node, so few callers need to check
    inputs: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape

    @property
    def input_shape(self) -> Shape | Any:
        """Shape of the input; for a layer with several inputs, a tuple of shapes."""
        return self.input_shapes[0] if len(self.input_shapes) == 1 else self.input_shapes

    @property
    def merges(self) -> bool:
        """Whether training must wait for the whole minibatch before this node."""
        return isinstance(self.layer, MergingLayer)

    @property
    def takes_images(self) -> bool:
        """Whether the node works on images, a few at a time, rather than on vectors."""
        return len(self.output_shape if self.layer is None else self.input_shapes[0]) == 3

    def raise_named(self, error: Exception) -> NoReturn:
        """Raise an error of this layer again with the layer's name; one of reading images does not change."""
        if self.layer is None:
            raise error
        raise name_error(error, describe_block(self.name, self.layer)) from error

    def name_errors(self) -> "NamedErrors":
        """Name this layer in errors that it raises within a with statement."""
        return NamedErrors(self)


class NamedErrors:
    """Names the layer of a node in errors of a with statement; a generator would take three times as long."""

    def __init__(self, node: Node):
        self._node = node

    def __enter__(self):
        return None

    def __exit__(self, kind, error, traceback):
        if isinstance(error, ERRORS):
            self._node.raise_named(error)


def describe_block(name: str, block: Block) -> str:
    """Return the text for a block in messages: its name in the stack and its repr."""
    return f"layer {name!r}, {' '.join(repr(block).split())}"


class MisfitError(ValueError):
    """Raised for a block that cannot be part of the network; the message says which one, and why."""


class Graph:
    """Collects the nodes that blocks add, each after the nodes that it reads.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample, ``(h, w, c)`` or ``(f,)``.

    Attributes
    ----------
    nodes : list of Node
        The first reads the images.
    ends : dict of str to int
        The node with the result of each block, by name of the block; includes blocks within containers.
    spans : dict of str to range
        The nodes that each block adds, by name of the block; includes blocks within containers. Empty if the
        result of a block is its input.

    Examples
    --------
    >>> from skcnn.layers import Conv2D
    >>> graph = Graph((8, 8, 1))
    >>> graph.shape(graph.connect("conv1", Conv2D(4, activation="relu"), 0))
    (8, 8, 4)
    >>> [node.name for node in graph.nodes], graph.ends
    (['input', 'conv1', 'conv1_relu'], {'conv1': 2})
    """

    def __init__(self, input_shape: Shape):
        self.nodes = [Node("input", None, (), (), tuple(input_shape))]
        self.ends, self.spans = {}, {}
        self._names = {"input"}

    def shape(self, node: int) -> Shape:
        """Return the shape of the result of a node."""
        return self.nodes[node].output_shape

    def add(self, name: str, layer: Layer, *sources: int) -> int:
        """Add a node and return its index.

        Raises
        ------
        ValueError
            If the layer does not fit the shapes of its inputs, makes images from vectors or declares
            something invalid, or if the name is taken.
        """
        if name in self._names:
            raise ValueError(
                f"layer names must be unique, got {name!r} twice (an activation is named after its layer)"
            )
        shapes = tuple(self.shape(source) for source in sources)
        input_shape: Any = shapes[0] if len(shapes) == 1 else shapes
        output_shape = check_shape(layer.output_shape(input_shape), "output_shape must return")
        check_declarations(layer, input_shape)
        if len(output_shape) == 3 and not any(len(shape) == 3 for shape in shapes):
            raise ValueError(
                f"it makes images of shape {output_shape} from vectors, which is not supported: "
                "images must come from images"
            )
        self.nodes.append(Node(name, layer, sources, shapes, output_shape))
        self._names.add(name)
        return len(self.nodes) - 1

    def connect(self, name: str, block: Block, source: int) -> int:
        """Let a block add its nodes after a node, and return the index of the node with its result.

        Raises
        ------
        MisfitError
            If a hyperparameter is invalid or the block does not fit its input shape. The message names the
            block, its parameters and the shape. It is raised before anything is allocated.
        """
        n_nodes = len(self.nodes)
        try:
            check_hyperparameters(block)
            end = block.connect(self, name, source)
            if not is_integer(end) or not 0 <= end < len(self.nodes):
                raise ValueError(f"connect must return the index of a node, got {end!r}")
        except MisfitError:
            raise  # the message already names a block within this one
        except ERRORS as error:
            where = f"{describe_block(name, block)}, on input of shape {self.shape(source)}"
            raise MisfitError(f"{where}: {error}") from error
        self.ends[name], self.spans[name] = end, range(n_nodes, len(self.nodes))
        return end

    def connect_all(self, blocks: list[tuple[str, Block]], source: int) -> int:
        """Connect named blocks one after another, and return the index of the node with the last result."""
        for name, block in blocks:
            source = self.connect(name, block, source)
        return source


def compile_graph(layers: list[tuple[str, Block]], input_shape: Shape) -> Graph:
    """Return the graph of a stack of named blocks.

    Parameters
    ----------
    layers : list of (str, Block)
    input_shape : tuple of int
        Shape of one sample, ``(h, w, c)`` or ``(f,)``.

    Raises
    ------
    MisfitError
        As for :meth:`Graph.connect`.
    """
    graph = Graph(input_shape)
    graph.connect_all(layers, 0)
    return graph


def compile_nodes(layers: list[tuple[str, Block]], input_shape: Shape) -> tuple[Node, ...]:
    """Return the nodes of the graph of a stack of named blocks, as :func:`compile_graph` builds it."""
    return tuple(compile_graph(layers, input_shape).nodes)


def check_same_nodes(nodes: Sequence[Node], built: Sequence[Node]) -> None:
    """Raise a ValueError if the nodes of a network would be others today."""
    blank = Node("none", None, (), (), ())
    for node, old in zip_longest(nodes, built, fillvalue=blank):
        if (node.name, node.inputs, repr(node.layer)) != (old.name, old.inputs, repr(old.layer)):
            raise ValueError(
                f"training cannot continue: layer {old.name!r} was {old.layer!r} when the network was built, "
                f"but {node.name!r} is {node.layer!r} now; set warm_start=False to start anew"
            )
