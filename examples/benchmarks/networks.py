"""The networks of the benchmarks, described once and built with skcnn and with PyTorch.

==== ======== ========================================================================= ==========
name images   layers, with ReLU after each convolution and hidden dense layer           minibatch
==== ======== ========================================================================= ==========
W1   8x8x1    conv 16, pool, conv 32, pool, dense 64                                    32, 200
W2   28x28x1  conv 32, pool, conv 64, pool, dense 128                                   32, 128
W3   32x32x3  twice conv 32 with normalization, pool, twice conv 64, pool, dense 256    128
W4   28x28x1  LeNet: conv 6, pool, conv 16, pool, dense 120, dense 84                   128
==== ======== ========================================================================= ==========

Convolutions are 3x3 and keep the size of the image; those of W4 are 5x5, and its second one does not pad.
"""

import math
from dataclasses import dataclass

N_CLASSES = 10


@dataclass(frozen=True)
class Network:
    """A stack of layers for images; the output layer follows it.

    Attributes
    ----------
    image_shape : tuple of int
        ``(height, width, channels)``.
    layers : list of (str, dict)
        Kind of each layer, and its numbers.
    batch_sizes : tuple of int
        Sizes of the minibatches to train with.
    n_samples : int
        Images to train on or predict: some dozens of minibatches.
    """

    image_shape: tuple
    layers: list
    batch_sizes: tuple = (128,)
    n_samples: int = 4096


def conv(filters, kernel_size=3, *, padding="same", normalized=False):
    """Describe a convolution, batch normalization if wanted, and ReLU."""
    return "conv", {
        "filters": filters,
        "kernel_size": kernel_size,
        "padding": padding,
        "normalized": normalized,
    }


def pool():
    """Describe the maximum of windows of 2x2 pixels."""
    return "pool", {}


def dense(units):
    """Describe a fully connected layer."""
    return "dense", {"units": units}


NETWORKS = {
    "W1": Network((8, 8, 1), [conv(16), pool(), conv(32), pool(), dense(64)], (32, 200), 8000),
    "W2": Network((28, 28, 1), [conv(32), pool(), conv(64), pool(), dense(128)], (32, 128), 4096),
    "W3": Network(
        (32, 32, 3),
        [
            *[conv(32, normalized=True), conv(32, normalized=True), pool()],
            *[conv(64, normalized=True), conv(64, normalized=True), pool()],
            dense(256),
        ],
        (128,),
        2048,
    ),
    "W4": Network(
        (28, 28, 1),
        [conv(6, 5), pool(), conv(16, 5, padding="valid"), pool(), dense(120), dense(84)],
        (128,),
        8192,
    ),
}


def walk(network):
    """Yield kind and numbers of each layer, the output included, with the shapes of its input and output."""
    shape = tuple(network.image_shape)
    for kind, numbers in [*network.layers, dense(N_CLASSES)]:
        input_shape = shape
        if kind == "conv":
            lost = numbers["kernel_size"] - 1 if numbers["padding"] == "valid" else 0
            shape = (shape[0] - lost, shape[1] - lost, numbers["filters"])
        elif kind == "pool":
            shape = (shape[0] // 2, shape[1] // 2, shape[2])
        else:
            shape = (numbers["units"],)
        yield kind, numbers, input_shape, shape


def multiply_adds(network):
    """Return the multiply-adds of the direct computation of one image, forward."""
    total = 0
    for kind, numbers, input_shape, output_shape in walk(network):
        if kind == "conv":
            total += numbers["kernel_size"] ** 2 * input_shape[-1] * math.prod(output_shape)
        elif kind == "dense":
            total += math.prod(input_shape) * numbers["units"]
    return total


def skcnn_layers(network):
    """Return the layers for ConvNetClassifier, with names such as "conv1"; it adds the output itself."""
    from skcnn import BatchNorm, Conv2D, Dense, MaxPool2D, ReLU

    layers = []
    for number, (kind, numbers) in enumerate(network.layers, 1):
        if kind == "conv":
            size, normalized = numbers["kernel_size"], numbers["normalized"]
            convolution = Conv2D(
                numbers["filters"], size, padding=numbers["padding"], use_bias=not normalized
            )
            layers += [(f"conv{number}", convolution)]
            layers += [(f"norm{number}", BatchNorm())] if normalized else []
            layers += [(f"relu{number}", ReLU())]
        elif kind == "pool":
            layers += [(f"pool{number}", MaxPool2D())]
        else:
            layers += [(f"dense{number}", Dense(numbers["units"], activation="relu"))]
    return layers


def skcnn_classifier(network, n_epochs, batch_size=None, backend="numpy"):
    """Return a ConvNetClassifier that trains for so many epochs, and does nothing that others do not do."""
    from skcnn import ConvNetClassifier

    return ConvNetClassifier(
        skcnn_layers(network),
        input_scaling=None,
        solver="adam",
        averaging=None,
        learning_rate_init=1e-3,
        alpha=0,
        batch_size=batch_size or network.batch_sizes[0],
        max_iter=n_epochs,
        n_iter_no_change=n_epochs,
        random_state=0,
        backend=backend,
    )


def torch_module(network):
    """Return the same network in PyTorch, for images (n, channels, height, width); it returns scores."""
    from torch import nn

    layers = []
    for kind, numbers, input_shape, output_shape in walk(network):
        if kind == "conv":
            size, normalized = numbers["kernel_size"], numbers["normalized"]
            padding = size // 2 if numbers["padding"] == "same" else 0
            layers += [
                nn.Conv2d(input_shape[-1], output_shape[-1], size, padding=padding, bias=not normalized)
            ]
            layers += [nn.BatchNorm2d(output_shape[-1])] if normalized else []
            layers += [nn.ReLU(inplace=True)]
        elif kind == "pool":
            layers += [nn.MaxPool2d(2)]
        else:
            layers += [nn.Flatten()] if len(input_shape) == 3 else []
            layers += [nn.Linear(math.prod(input_shape), numbers["units"]), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
