"""Stacks that the field knows by name."""

from numbers import Real

import numpy as np

from skcnn.architecture.hyperparameters import as_sizes, copy_of
from skcnn.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool2D,
    MaxPool2D,
    ReLU,
    Residual,
)
from skcnn.layers.activation import as_activation
from skcnn.layers.base import Activation, as_size
from skcnn.layers.naming import NamedBlocks


def teaching_network(filters: int = 32, units: int = 500) -> NamedBlocks:
    """Return the classic teaching network: one convolution of 7x7 pixels, and one hidden layer.

    Parameters
    ----------
    filters : int, default=32
    units : int, default=500
        Units of the hidden layer.

    Returns
    -------
    layers : list of (str, Block)
        For images of at least 2x2 pixels.

    Raises
    ------
    ValueError
        If filters or units are not integers >= 1.

    References
    ----------
    Li, Karpathy and Johnson (2016), "CS231n: convolutional neural networks for visual recognition",
    assignment 2, "ThreeLayerConvNet".

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.architecture import teaching_network
    >>> clf = ConvNetClassifier(teaching_network(filters=16)).set_params(conv1__kernel_size=5)
    >>> [name for name, _ in clf.layers]
    ['conv1', 'relu1', 'pool1', 'dense1', 'relu2']
    """
    return [
        ("conv1", Conv2D(as_size(filters, "filters"), 7)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2D(2)),
        ("dense1", Dense(as_size(units, "units"))),
        ("relu2", ReLU()),
    ]


def lenet5(activation: str | Activation | None = "tanh") -> NamedBlocks:
    """Return LeNet-5, the classic network for handwritten digits.

    Parameters
    ----------
    activation : str, layer or None, default="tanh"
        The activation after each layer: its name, or a layer, which is copied for each.

    Returns
    -------
    layers : list of (str, Block)
        For images of at least 12x12 pixels. The first convolution pads, so 28x28 pixels here correspond to
        the paper's 32x32.

    Raises
    ------
    ValueError
        If the activation is unknown.

    Notes
    -----
    A simplified version. In the paper, pooling has trainable factors, biases and an activation of its own,
    the activation is a scaled tanh, the filters of the second convolution see only some of the channels, and
    the output layer computes radial basis functions.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE, section II.B.

    Examples
    --------
    >>> from skcnn.architecture import lenet5
    >>> from skcnn.network.graph import compile_nodes
    >>> compile_nodes(lenet5()[:4], (28, 28, 1))[-1].output_shape
    (5, 5, 16)
    """
    as_activation(activation)  # raises an error here rather than in fit
    return [
        ("conv1", Conv2D(6, 5, activation=copy_of(activation))),
        ("pool1", AvgPool2D(2)),
        ("conv2", Conv2D(16, 5, padding="valid", activation=copy_of(activation))),
        ("pool2", AvgPool2D(2)),
        ("dense1", Dense(120, activation=copy_of(activation))),
        ("dense2", Dense(84, activation=copy_of(activation))),
    ]


def small_vgg(
    filters: tuple[int, ...] = (32, 64, 128), convolutions: int = 2, units: int = 256, dropout: float = 0.0
) -> NamedBlocks:
    """Return a small VGG network: blocks of 3x3 convolutions, with pooling at the end of each.

    Parameters
    ----------
    filters : tuple of int, default=(32, 64, 128)
        Filters of the convolutions of each block.
    convolutions : int, default=2
        Convolutions per block, each with batch normalization and ReLU after it.
    units : int, default=256
        Units of the hidden layer after the blocks.
    dropout : float, default=0.0
        Share of these units that training drops, in [0, 1).

    Returns
    -------
    layers : list of (str, Block)
        For images of at least ``2 ** len(filters)`` pixels in height and width.

    Raises
    ------
    ValueError
        If a size is not an integer >= 1, or dropout is not in [0, 1).

    References
    ----------
    Simonyan and Zisserman (2015), "Very deep convolutional networks for large-scale image recognition",
    ICLR.
    Ioffe and Szegedy (2015), "Batch normalization", ICML, not part of the original network.

    Examples
    --------
    >>> from skcnn.architecture import small_vgg
    >>> [name for name, _ in small_vgg(filters=(16,), convolutions=1)]
    ['conv1_1', 'norm1_1', 'relu1_1', 'pool1', 'dense1']
    """
    if not isinstance(dropout, Real) or isinstance(dropout, bool | np.bool_) or not 0 <= dropout < 1:
        raise ValueError(f"dropout must be a number in [0, 1), got {dropout!r}")
    layers = []
    for block, count in enumerate(as_sizes(filters, "filters"), start=1):
        for number in range(1, as_size(convolutions, "convolutions") + 1):
            layers += [
                (f"conv{block}_{number}", Conv2D(count, use_bias=False)),
                (f"norm{block}_{number}", BatchNorm()),
                (f"relu{block}_{number}", ReLU()),
            ]
        layers.append((f"pool{block}", MaxPool2D(2)))
    layers.append(("dense1", Dense(as_size(units, "units"), activation="relu")))
    return [*layers, ("dropout1", Dropout(dropout))] if dropout else layers


def small_resnet(filters: tuple[int, ...] = (16, 32, 64), blocks: int = 1) -> NamedBlocks:
    """Return a small residual network of ``2 * len(filters) * blocks + 2`` layers, the output included.

    Parameters
    ----------
    filters : tuple of int, default=(16, 32, 64)
        Filters of the convolutions of each stage. Each stage but the first halves height and width.
    blocks : int, default=1
        Residual blocks per stage. 3 blocks and the default filters give the paper's network of 20 layers.

    Returns
    -------
    layers : list of (str, Block)

    Raises
    ------
    ValueError
        If filters or blocks are not integers >= 1, or ``filters`` is empty.

    References
    ----------
    He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", CVPR, section 4.2, with
    projections where shapes differ (option B).

    Examples
    --------
    >>> from skcnn.architecture import small_resnet
    >>> [name for name, _ in small_resnet(filters=(16, 32), blocks=2)]
    ['conv1', 'norm1', 'relu1', 'res1_1', 'res1_2', 'res2_1', 'res2_2', 'pool']
    """
    filters = as_sizes(filters, "filters")
    if not filters:
        raise ValueError("filters must hold at least one number, got ()")
    layers = [("conv1", Conv2D(filters[0], use_bias=False)), ("norm1", BatchNorm()), ("relu1", ReLU())]
    for stage, count in enumerate(filters, start=1):
        for number in range(1, as_size(blocks, "blocks") + 1):
            strides = 2 if stage > 1 and number == 1 else 1
            branch = [
                ("conv1", Conv2D(count, strides=strides, use_bias=False)),
                ("norm1", BatchNorm()),
                ("relu1", ReLU()),
                ("conv2", Conv2D(count, use_bias=False)),
                ("norm2", BatchNorm()),
            ]
            layers.append((f"res{stage}_{number}", Residual(branch, activation="relu")))
    return [*layers, ("pool", GlobalAvgPool2D())]
