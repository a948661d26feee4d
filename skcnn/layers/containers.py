"""Containers: layers made of layers. The network has nodes for these layers, not for the containers."""

from abc import abstractmethod

import numpy as np
from sklearn.base import clone

from skcnn._sklearn import StrOptions
from skcnn.layers.activation import connect_activation
from skcnn.layers.base import Block, JoiningLayer
from skcnn.layers.convolution import Conv2D
from skcnn.layers.dense import Dense
from skcnn.layers.naming import (
    NamedBlocks,
    NamedPartsMixin,
    check_layers,
    is_named,
    is_passthrough,
    name_layers,
)
from skcnn.layers.normalization import BatchNorm, GroupNorm, LayerNorm
from skcnn.layers.reshape import Flatten


def with_flatten(name: str, block: Block, input_shape, flatten: str | None = None) -> NamedBlocks:
    """Return a block, with a Flatten before it if it takes vectors and its input is an image.

    Parameters
    ----------
    name : str
    block : Block
    input_shape : tuple of int
        Shape of the block's input.
    flatten : str, default=None
        Name of the Flatten; None names it after the block.
    """
    if block.takes_vectors and len(input_shape) == 3:
        return [(flatten or f"{name}_flatten", Flatten()), (name, block)]
    return [(name, block)]


def connect_in_turn(graph, blocks: NamedBlocks, source: int) -> int:
    """Add blocks one after another, with Flatten where needed; return the last node."""
    for name, block in blocks:
        source = graph.connect_all(with_flatten(name, block, graph.shape(source)), source)
    return source


class Container(NamedPartsMixin, Block):
    """Base class of containers; parameters of their layers are ``residual_1__conv2d_1__filters``."""

    @abstractmethod
    def connect(self, graph, name, source):
        """Add the nodes of the layers; parameters and return value are those of :meth:`Block.connect`."""

    @property
    def takes_vectors(self):
        """Whether all layers that read the input take vectors only."""
        blocks = self._first_blocks()
        return bool(blocks) and all(block.takes_vectors for _, block in blocks)

    def stacks(self) -> list[list[tuple[str, object]]]:
        """Return the stacks that read the input of the container, as entries with names.

        Accepts any value, since parameters are not validated before ``fit``.
        """
        return [self._entries(getattr(self, self._stack))]

    def _first_blocks(self):
        """Return the blocks that read the input of the container."""
        return self._blocks()[:1]

    def _blocks(self):
        """Return the entries of the stack that are layers, with their names."""
        return [
            (name, block)
            for name, block in self._entries(getattr(self, self._stack))
            if isinstance(block, Block)
        ]

    def _check_blocks(self, name):
        """Check the stack; return its layers, without "passthrough", with their names in the network."""
        stack = getattr(self, self._stack)
        check_layers(stack, self._entries(stack), self.get_params(deep=False), parameter=self._stack)
        if not stack:
            raise ValueError(f"{self._stack} must hold at least one layer or 'passthrough', got {stack!r}")
        return [(f"{name}__{child}", block) for child, block in self._blocks()]


class Sequential(Container):
    r"""Layers one after another, as one layer: a branch of :class:`Parallel`, or a stage with a name.

    Parameters
    ----------
    layers : list or tuple
        Layers, "passthrough" for none, or pairs of a name and one of these.

    Notes
    -----
    Input of the first layer's shape, output of the last layer's shape: :math:`y = F_k(\dots F_2(F_1(x)))`.

    Examples
    --------
    >>> from skcnn.layers import Conv2D, MaxPool2D, Sequential
    >>> stage = Sequential([("conv", Conv2D(16)), ("pool", MaxPool2D())])
    >>> stage.set_params(conv__filters=32).get_params()["conv__filters"]
    32
    """

    _parameter_constraints: dict = {"layers": [list, tuple]}

    def __init__(self, layers):
        self.layers = layers

    def connect(self, graph, name, source):
        return connect_in_turn(graph, self._check_blocks(name), source)


def as_layer(entry):
    """Return a list of layers as one layer, and anything else unchanged."""
    return Sequential(entry) if isinstance(entry, list | tuple) else entry


class Residual(Container):
    r"""A branch of layers whose output is added to its input.

    Parameters
    ----------
    layers : list or tuple
        The branch: layers, "passthrough" for none, or pairs of a name and one of these.
    projection : "auto", "passthrough", layer, list or tuple, default="auto"
        Layers between the input and the addition: a layer, layers one after another, or "passthrough" for
        none. "auto": none if the shapes are equal; else a 1x1 convolution with the strides of the branch, or
        for vectors a dense layer, and after it a copy of the branch's last layer if that is a normalization.
        For "auto" the branch must give ``ceil(size / stride)`` pixels along each axis, as ``padding="same"``
        does.
    activation : str, layer or None, default=None
        The activation after the addition: its name, such as "relu", or a layer, such as ``LeakyReLU(0.2)``.

    Notes
    -----
    Input ``(h, w, c)`` or ``(f,)``, output of the shape of the branch's output: :math:`y = F(x) + P x` with
    the branch :math:`F` and the projection :math:`P`. If the branch is "passthrough" alone, the output is
    twice the input.

    References
    ----------
    He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", CVPR.

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.layers import BatchNorm, Conv2D, ReLU, Residual
    >>> block = Residual(
    ...     [Conv2D(8, use_bias=False), BatchNorm(), ReLU(), Conv2D(8, use_bias=False), BatchNorm()],
    ...     activation="relu",
    ... )
    >>> clf = ConvNetClassifier([("conv1", Conv2D(8)), ("res1", block)])
    >>> clf.set_params(res1__conv2d_2__kernel_size=5).get_params()["res1__conv2d_2__kernel_size"]
    5
    """

    _prefixed_lists = ("projection",)
    _parameter_constraints: dict = {
        "layers": [list, tuple],
        "projection": [StrOptions({"auto", "passthrough"}), Block, list, tuple],
    }

    def __init__(self, layers, *, projection="auto", activation=None):
        self.layers = layers
        self.projection = projection
        self.activation = activation

    def connect(self, graph, name, source):
        n_nodes = len(graph.nodes)
        end = connect_in_turn(graph, self._check_blocks(name), source)
        if is_passthrough(self.projection):
            projection = {}
        elif self.projection == "auto":
            strides = branch_strides(graph.nodes, n_nodes, end)
            projection = projection_between(
                graph.shape(source), graph.shape(end), strides, graph.nodes[end].layer
            )
        elif is_named(self.projection):
            raise ValueError(
                f"projection must be a layer or a list of layers, got the pair {self.projection!r}: write "
                "it as a list of one pair"
            )
        else:
            projection = {"projection": as_layer(self.projection)}
        blocks = [(f"{name}__{child}", block) for child, block in projection.items()]
        skip = connect_in_turn(graph, blocks, source)
        if graph.shape(skip) != graph.shape(end):
            raise ValueError(
                f"the projection gives {graph.shape(skip)} and the branch {graph.shape(end)}: shapes must be "
                "equal to be added"
            )
        return connect_activation(graph, name, self.activation, graph.add(name, Add(), skip, end))

    def stacks(self):
        return [*super().stacks(), [("projection", as_layer(self.projection))]]

    def _first_blocks(self):
        """Return the blocks that read the input of the container, the projection among them."""
        projection = as_layer(self.projection)
        own = [("projection", projection)] if isinstance(projection, Block) else []
        return super()._first_blocks() + own


def branch_strides(nodes, first: int, end: int) -> tuple[int, int]:
    """Return the distance between neighbouring output pixels of a branch, in pixels of its input.

    Parameters
    ----------
    nodes : list of Node
    first, end : int
        The first node of the branch and the node that gives its output.

    Returns
    -------
    strides : (int, int)
        Along height and width, the product of the strides of all layers. Where paths join, the largest
        product counts.
    """
    strides = {}
    for index in range(first, end + 1):
        node = nodes[index]
        own = (1, 1) if isinstance(node.layer, JoiningLayer) else node.layer.pixel_strides(node.input_shape)
        before = [strides.get(source, (1, 1)) for source in node.inputs]
        strides[index] = tuple(
            max(axis) * stride for axis, stride in zip(zip(*before, strict=True), own, strict=True)
        )
    return strides.get(end, (1, 1))


def projection_between(input_shape, branch_shape, strides, last_layer) -> dict[str, Block]:
    """Return the layers, by name, that turn one shape into another; none if the shapes are equal.

    Parameters
    ----------
    input_shape, branch_shape : tuple of int
    strides : (int, int)
        Strides of a branch on images, from :func:`branch_strides`.
    last_layer : Layer
        The last layer of the branch.

    Raises
    ------
    ValueError
        If neither a 1x1 convolution with these strides nor a dense layer can do it.
    """
    if input_shape == branch_shape:
        return {}
    if len(input_shape) != len(branch_shape):
        raise ValueError(
            f"the branch turns {input_shape} into {branch_shape}, and projection='auto' does not turn images "
            "into vectors or vectors into images: give layers that do it as projection"
        )
    is_normalization = isinstance(last_layer, BatchNorm | GroupNorm | LayerNorm)
    if len(input_shape) == 1:
        projection = Dense(branch_shape[0], use_bias=not is_normalization)
    else:
        projection = Conv2D(
            branch_shape[2], 1, strides=strides, padding="valid", use_bias=not is_normalization
        )
        projected_shape = projection.output_shape(input_shape)
        if projected_shape != branch_shape:
            raise ValueError(
                f"the branch turns {input_shape} into {branch_shape} with strides {strides}, but a "
                f"convolution of one pixel with these strides gives {projected_shape}: use padding='same' in "
                "the branch, or give layers that do it as projection"
            )
    normalization = {"projection__norm": clone(last_layer)} if is_normalization else {}
    return {"projection": projection} | normalization


class Parallel(Container):
    """Branches of layers that read the same input; their output channels are concatenated.

    Parameters
    ----------
    branches : list or tuple
        A layer, a list of layers, "passthrough" for the input itself, or pairs of a name and one of these.
        Unnamed lists are called ``branch_1``, ``branch_2`` and so on.

    Notes
    -----
    Input ``(h, w, c)``, output ``(h', w', sum of the channels of the branches)``; the branches must agree in
    height and width. If the branches end in vectors, output ``(sum of their lengths,)``.

    References
    ----------
    Szegedy et al. (2015), "Going deeper with convolutions", CVPR.
    Huang, Liu, van der Maaten and Weinberger (2017), "Densely connected convolutional networks", CVPR.

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.layers import Conv2D, MaxPool2D, Parallel
    >>> block = Parallel([
    ...     Conv2D(8, 1),
    ...     [Conv2D(4, 1), Conv2D(8, 3, activation="relu")],
    ...     ("pooled", [MaxPool2D(3, strides=1, padding="same"), Conv2D(8, 1)]),
    ... ])
    >>> params = ConvNetClassifier([("mixed", block)]).get_params()
    >>> params["mixed__branch_1__conv2d_2__activation"], params["mixed__pooled__conv2d_1__filters"]
    ('relu', 8)
    """

    _stack = "branches"
    _parameter_constraints: dict = {"branches": [list, tuple]}

    def __init__(self, branches):
        self.branches = branches

    def connect(self, graph, name, source):
        self._check_blocks(name)
        ends = [
            source
            if is_passthrough(branch)
            else connect_in_turn(graph, [(f"{name}__{child}", branch)], source)
            for child, branch in self._entries(self.branches)
        ]
        return ends[0] if len(ends) == 1 else graph.add(name, Concatenate(), *ends)

    def stacks(self):
        return [[branch] for branch in self._entries(self.branches)]

    def _first_blocks(self):
        return self._blocks()

    def _entries(self, stack):
        """Return the branches with their names; a list of layers becomes a Sequential."""
        if not isinstance(stack, list | tuple):
            return []
        entries, n_lists = [], 0
        for entry in stack:
            if isinstance(entry, list | tuple) and not is_named(entry):
                n_lists += 1
                entry = (f"branch_{n_lists}", entry)
            entries.append(entry)
        return [(name, as_layer(branch)) for name, branch in name_layers(entries)]


class Add(JoiningLayer):
    """Sum of the outputs of several nodes of equal shape."""

    def output_shape(self, input_shape):
        if len(set(input_shape)) > 1:
            raise ValueError(f"expected inputs of equal shape, got {input_shape}")
        return input_shape[0]

    def forward(self, params, X, unit, *, training, out):
        first, second, *others = X
        np.add(first, second, out=out)
        for other in others:
            np.add(out, other, out=out)
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        return (dY,) * len(out)


class Concatenate(JoiningLayer):
    """Concatenation of the outputs of several nodes along the channels."""

    def output_shape(self, input_shape):
        if len(set(map(len, input_shape))) > 1:
            raise ValueError(
                f"expected branches of images or of vectors, got {input_shape}: end the branches of images "
                "with Flatten() or GlobalAvgPool2D()"
            )
        if len({shape[:-1] for shape in input_shape}) > 1:
            raise ValueError(f"expected branches of equal height and width, got {input_shape}")
        return (*input_shape[0][:-1], sum(shape[-1] for shape in input_shape))

    def forward(self, params, X, unit, *, training, out):
        np.copyto(unit.kept("channels", (len(X),), np.intp), [array.shape[-1] for array in X])
        return np.concatenate(X, axis=-1, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        ends = np.cumsum(unit.kept("channels", (len(out),), np.intp))
        for gradient, own in zip(out, np.split(dY, ends[:-1], axis=-1), strict=True):
            if gradient is not None:
                np.copyto(gradient, own)
        return out
