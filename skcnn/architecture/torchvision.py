"""Networks as torchvision builds them, with the names that its weights have."""

from functools import partial

import numpy as np

from skcnn.architecture.transfer import read_state_dict, weights_for
from skcnn.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAvgPool2D,
    MaxPool2D,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
)
from skcnn.layers.base import Block
from skcnn.layers.naming import NamedBlocks
from skcnn.network.foreign_weights import TorchLayout, pair_by_names

IMAGE_SHAPE = (224, 224, 3)
"""The images of ImageNet, as torchvision's networks take them."""


def numbered(blocks: list[Block]) -> Sequential:
    """Return layers one after another, with their positions as names, as in ``torch.nn.Sequential``."""
    return Sequential([(str(position), block) for position, block in enumerate(blocks)])


def resnet18() -> NamedBlocks:
    """Return the residual network of 18 layers, as torchvision builds it.

    Returns
    -------
    layers : list of (str, Block)
        For images of any size, with weights of torchvision of 224x224 pixels and three channels. Layers have
        torchvision's names, with "__" for the dots and "projection" for "downsample".

    See Also
    --------
    from_torchvision : Weights for it.

    References
    ----------
    He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", CVPR, table 1.
    torchvision 0.28.0, ``torchvision.models.resnet18``.

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.architecture import resnet18
    >>> clf = ConvNetClassifier(resnet18(), image_shape=(224, 224, 3))
    >>> clf.summary(y=[*range(1000)] * 2).totals["trained"]
    11689512
    """
    layers: NamedBlocks = [
        ("conv1", Conv2D(64, 7, strides=2, padding=3, use_bias=False)),
        ("bn1", BatchNorm()),
        ("relu", ReLU()),
        ("maxpool", MaxPool2D(3, strides=2, padding=1)),
    ]
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        first = _basic_block(filters, 1 if stage == 1 else 2)
        layers.append((f"layer{stage}", numbered([first, _basic_block(filters, 1)])))
    return [*layers, ("avgpool", GlobalAvgPool2D())]


def _basic_block(filters: int, strides: int) -> Residual:
    """Return two convolutions, of which the first has strides, and what they are added to."""
    branch: NamedBlocks = [
        ("conv1", Conv2D(filters, 3, strides=strides, padding=1, use_bias=False)),
        ("bn1", BatchNorm()),
        ("relu", ReLU()),
        ("conv2", Conv2D(filters, 3, padding=1, use_bias=False)),
        ("bn2", BatchNorm()),
    ]
    if strides == 1:
        return Residual(branch, projection="passthrough", activation="relu")
    projection = numbered([Conv2D(filters, 1, strides=strides, padding=0, use_bias=False), BatchNorm()])
    return Residual(branch, projection=projection, activation="relu")


def vgg11_bn() -> NamedBlocks:
    """Return the VGG network of 11 layers with batch normalization, as torchvision builds it.

    Returns
    -------
    layers : list of (str, Block)
        For images of 224 to 255 pixels in height and width: of these, the convolutions leave 7x7 pixels.
        torchvision's network takes others, too, since it averages to 7x7 pixels before it flattens; this one
        has other weights then. Layers have torchvision's names, with "__" for the dots.

    See Also
    --------
    from_torchvision : Weights for it.

    References
    ----------
    Simonyan and Zisserman (2015), "Very deep convolutional networks for large-scale image recognition",
    ICLR, configuration A.
    torchvision 0.28.0, ``torchvision.models.vgg11_bn``.

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.architecture import vgg11_bn
    >>> clf = ConvNetClassifier(vgg11_bn(), image_shape=(224, 224, 3))
    >>> clf.summary(y=[*range(1000)] * 2).totals["trained"]
    132868840
    """
    features: list[Block] = []
    for block in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for filters in block:
            features += [Conv2D(filters, 3, padding=1), BatchNorm(), ReLU()]
        features.append(MaxPool2D(2))
    classifier = [Dense(4096), ReLU(), Dropout(0.5), Dense(4096), ReLU(), Dropout(0.5)]
    return [("features", numbered(features)), ("classifier", numbered(classifier))]


def mobilenet_v2() -> NamedBlocks:
    """Return MobileNetV2, as torchvision builds it.

    Returns
    -------
    layers : list of (str, Block)
        For images of any size, with weights of torchvision of 224x224 pixels and three channels. Layers have
        torchvision's names, with "__" for the dots.

    See Also
    --------
    from_torchvision : Weights for it.

    References
    ----------
    Sandler, Howard, Zhu, Zhmoginov and Chen (2018), "MobileNetV2: inverted residuals and linear
    bottlenecks", CVPR, table 2.
    torchvision 0.28.0, ``torchvision.models.mobilenet_v2``.

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.architecture import mobilenet_v2
    >>> clf = ConvNetClassifier(mobilenet_v2(), image_shape=(224, 224, 3))
    >>> clf.summary(y=[*range(1000)] * 2).totals["trained"]
    3504872
    """
    channels = 32
    features: list[Block] = [
        numbered([*_normalized(Conv2D(32, 3, strides=2, padding=1, use_bias=False)), ReLU6()])
    ]
    for expansion, filters, count, strides in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for number in range(count):
            features.append(_inverted_residual(channels, filters, strides if number == 0 else 1, expansion))
            channels = filters
    features.append(numbered([*_normalized(Conv2D(1280, 1, use_bias=False)), ReLU6()]))
    return [
        ("features", numbered(features)),
        ("avgpool", GlobalAvgPool2D()),
        ("classifier", numbered([Dropout(0.2)])),
    ]


def _normalized(convolution: Conv2D | DepthwiseConv2D) -> list[Block]:
    """Return a convolution and batch normalization after it."""
    return [convolution, BatchNorm()]


def _inverted_residual(channels: int, filters: int, strides: int, expansion: int) -> Block:
    """Return a depthwise convolution on more channels than come in and go out.

    Added to its input where shapes are equal.
    """
    depthwise = DepthwiseConv2D(3, strides=strides, padding=1, use_bias=False)
    layers: list[Block] = [
        numbered([*_normalized(depthwise), ReLU6()]),
        *_normalized(Conv2D(filters, 1, use_bias=False)),
    ]
    if expansion > 1:
        expanding = Conv2D(channels * expansion, 1, use_bias=False)
        layers.insert(0, numbered([*_normalized(expanding), ReLU6()]))
    branch: NamedBlocks = [("conv", numbered(layers))]
    is_residual = strides == 1 and channels == filters
    return Residual(branch, projection="passthrough") if is_residual else Sequential(branch)


STACKS = {"fc": resnet18, "classifier.6": vgg11_bn, "classifier.1": mobilenet_v2}
"""The networks by the name of their output layer in torchvision."""


def from_torchvision(state_dict) -> dict[str, np.ndarray]:
    """Return the weights of one of torchvision's networks for the stack that is built like it.

    Parameters
    ----------
    state_dict : mapping of str to array-like, str or path-like
        That of torchvision's ``resnet18``, ``vgg11_bn`` or ``mobilenet_v2`` with any number of classes, as
        tensors or arrays, or the path of a safetensors file of it.

    Returns
    -------
    weights : dict of str to ndarray
        By "layer/parameter", the output layer included, for ``init`` and
        :func:`skcnn.files.classifier_from_weights`.

    Raises
    ------
    FileError
        If the file is damaged, or no safetensors file.
    OSError
        If there is no such file.
    TypeError
        If ``state_dict`` is neither a mapping nor a path.
    ValueError
        If it is of no such network; the message lists what does not fit.

    See Also
    --------
    resnet18, vgg11_bn, mobilenet_v2 : The stacks.
    skcnn.files.weights_from_torch : The same for any stack.

    References
    ----------
    torchvision 0.28.0, ``torchvision.models``.

    Examples
    --------
    >>> from skcnn.architecture import from_torchvision
    >>> from_torchvision({"conv1.weight": [[1.0]]})
    Traceback (most recent call last):
        ...
    ValueError: state_dict has none of the output layers of resnet18 ('fc'), vgg11_bn ('classifier.6'), ...
    """
    modules, _ = read_state_dict(state_dict)
    output = next((name for name in STACKS if name in modules), None)
    if output is None:
        known = ", ".join(f"{stack.__name__} ({name!r})" for name, stack in STACKS.items())
        raise ValueError(f"state_dict has none of the output layers of {known}, but {list(modules)[:5]}")
    names = {
        module: "output"
        if module == output
        else module.replace("downsample", "projection").replace(".", "__")
        for module in modules
    }
    return weights_for(STACKS[output](), IMAGE_SHAPE, TorchLayout(), modules, partial(pair_by_names, names))
