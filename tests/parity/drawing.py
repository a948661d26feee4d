"""Configurations of layers, drawn by Hypothesis: a strategy gives a layer and the shape of its input."""

import pkgutil
from importlib import import_module
from math import prod

import pytest

import skcnn
from skcnn.layers import (
    ELU,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GroupNorm,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    PatchWhitening,
    PReLU,
    Rescale,
    SpatialDropout2D,
    ZeroPad2D,
)
from skcnn.layers.activation import ACTIVATIONS

hypothesis = pytest.importorskip("hypothesis", reason="Hypothesis, which draws cases, is not installed")
st = hypothesis.strategies
for module in pkgutil.walk_packages(skcnn.__path__, "skcnn."):
    # Hypothesis draws numbers from the code of loaded modules, too: let them be the same wherever it draws
    import_module(module.name)

SEEDS = st.integers(0, 2**32 - 1)
FEW = st.integers(1, 5)
SEVERAL = st.integers(1, 8)


def sizes(largest, smallest=1):
    return st.integers(smallest, largest)


def options(*values):
    return st.sampled_from(values)


@st.composite
def one_of(draw, *strategies):
    """Draw from one of some strategies, from repeated ones more often, which Hypothesis drops."""
    return draw(strategies[draw(sizes(len(strategies) - 1, 0))])


@st.composite
def images(draw, channels=FEW):
    """Draw the shape of an image, a single row or a single column every third time."""
    height, width = draw(sizes(9)), draw(sizes(9))
    height, width = draw(options((1, width), (height, 1), *[(height, width)] * 4))
    return (height, width, draw(channels))


def vectors(lengths=SEVERAL):
    return st.tuples(lengths)


def images_and_vectors(channels=FEW):
    return one_of(images(channels), images(channels), vectors(channels))


def pairs(largest):
    """Draw an int or a pair."""
    return one_of(sizes(largest), st.tuples(sizes(largest), sizes(largest)))


@st.composite
def paddings(draw, limits):
    """Draw padding of every form, on each axis below a limit."""
    (top, bottom), (left, right) = (
        draw(st.tuples(sizes(limit - 1, 0), sizes(limit - 1, 0))) for limit in limits
    )
    everywhere = draw(sizes(min(limits) - 1, 0))
    by_side = [(top, left), (top, (left, right)), ((top, bottom), left), ((top, bottom), (left, right))]
    return draw(options("same", "valid", "valid", 0, everywhere, everywhere, *by_side))


def as_pair(value):
    return value if isinstance(value, tuple) else (value, value)


def padding_of(layer, image_size, window):
    """Return ((top, bottom), (left, right)); "same" gives ceil(size / stride) windows, the odd pixel last."""
    if layer.padding == "valid":
        return (0, 0), (0, 0)
    if layer.padding != "same":
        return tuple(as_pair(axis) for axis in as_pair(layer.padding))
    strides = as_pair(layer.pool_size if layer.strides is None else layer.strides)
    totals = [
        max((-(-size // stride) - 1) * stride + length - size, 0)
        for size, length, stride in zip(image_size, window, strides, strict=True)
    ]
    return tuple((total // 2, total - total // 2) for total in totals)


def window_of(layer):
    """Return height and width of a window, from its first pixel to its last."""
    size = layer.pool_size if isinstance(layer, MaxPool2D | AvgPool2D) else layer.kernel_size
    axes = zip(as_pair(size), as_pair(layer.dilation), strict=True)
    return tuple((length - 1) * distance + 1 for length, distance in axes)


def fits(drawn):
    """Whether a whole window lies on the padded image.

    With ceil_mode PyTorch takes windows that are larger than the padded image; skcnn refuses them.
    """
    layer, input_shape = drawn
    window = window_of(layer)
    padding = padding_of(layer, input_shape[:2], window)
    return all(
        sum(pad) + size >= length for pad, size, length in zip(padding, input_shape[:2], window, strict=True)
    )


def activations():
    """Draw a name, a layer or None."""
    return one_of(
        options(None, None, "identity", *ACTIVATIONS),
        st.builds(LeakyReLU, st.floats(0, 1)),
        st.builds(PReLU, st.floats(-2, 2)),
        st.builds(ELU, st.floats(0.1, 3)),
    )


# Convolutions: of any kind, and of the kinds that a way to compute them is chosen for


@st.composite
def convolution_options(draw):
    return {
        "kernel_size": draw(pairs(4)),
        "strides": draw(pairs(5)),
        "padding": draw(paddings((4, 4))),
        "dilation": draw(one_of(st.just(1), pairs(3))),
        "activation": draw(activations()),
        "use_bias": draw(st.booleans()),
    }


@st.composite
def any_convolutions(draw):
    groups = draw(options(1, 1, 2, 3))
    filters, channels = groups * draw(sizes(4)), groups * draw(sizes(3))
    layer = Conv2D(filters, groups=groups, **draw(convolution_options()))
    return layer, draw(images(st.just(channels)))


@st.composite
def wide_convolutions(draw):
    """Draw windows of 3x3 pixels one pixel apart on many channels, which are multiplied in tiles."""
    layer = Conv2D(
        draw(sizes(24, 16)),
        padding=draw(paddings((3, 3))),
        activation=draw(activations()),
        use_bias=draw(st.booleans()),
    )
    lengths = options(1, 3, 4, 4, 4, 5, 8, 8, 8, 12, 12, 13)  # whole tiles of four results, and others
    return layer, draw(st.tuples(lengths, lengths, sizes(24, 16)))


@st.composite
def pointwise_convolutions(draw):
    layer = Conv2D(
        draw(sizes(6)),
        1,
        strides=draw(pairs(3)),
        padding=draw(options("same", "valid", 1)),
        activation=draw(activations()),
        use_bias=draw(st.booleans()),
    )
    return layer, draw(images(sizes(20)))


@st.composite
def channelwise_convolutions(draw):
    """Draw a group for each channel."""
    channels = draw(sizes(5, 2))
    layer = Conv2D(channels * draw(sizes(3)), groups=channels, **draw(convolution_options()))
    return layer, draw(images(st.just(channels)))


def convolutions():
    kinds = [any_convolutions(), wide_convolutions()] * 3
    return one_of(*kinds, pointwise_convolutions(), channelwise_convolutions()).filter(fits)


@st.composite
def _depthwise_convolutions(draw):
    layer = DepthwiseConv2D(depth_multiplier=draw(sizes(3)), **draw(convolution_options()))
    return layer, draw(images(one_of(sizes(5), sizes(5), st.just(16))))


def depthwise_convolutions():
    return _depthwise_convolutions().filter(fits)


@st.composite
def _patch_whitenings(draw):
    kernel_size, channels = draw(pairs(3)), draw(one_of(FEW, FEW, st.just(16)))
    largest = prod(as_pair(kernel_size)) * channels
    filters = draw(one_of(st.none(), sizes(largest).map(lambda half: 2 * half)))
    layer = PatchWhitening(
        filters, kernel_size, padding=draw(paddings((3, 3))), activation=draw(activations())
    )
    return layer, draw(images(st.just(channels)))


def patch_whitenings():
    """Draw patches that lie within the image."""
    return _patch_whitenings().filter(
        lambda drawn: all(map(int.__le__, as_pair(drawn[0].kernel_size), drawn[1][:2]))
    )


@st.composite
def _pools(draw, layer_class, choices):
    pool_size = draw(pairs(4))
    layer = layer_class(
        pool_size,
        strides=draw(one_of(st.none(), pairs(5), pairs(5))),
        padding=draw(paddings(as_pair(pool_size))),
        dilation=draw(one_of(st.just(1), pairs(3))),
        ceil_mode=draw(st.booleans()),
        **{key: draw(values) for key, values in choices.items()},
    )
    return layer, draw(images())


def holds_pixels(drawn):
    """Whether every window has a pixel on the image; of dilated ones some may lie on both sides of it."""
    layer, input_shape = drawn
    return layer.windows(input_shape[:2]).areas(with_padding=False).min() > 0


def pools(layer_class, **choices):
    return _pools(layer_class, choices).filter(fits).filter(holds_pixels)


# Other layers


def on_images(layers):
    return st.tuples(layers, images())


def on_both(layers):
    """Draw images or vectors."""
    return st.tuples(layers, images_and_vectors())


def dense_layers():
    layers = st.builds(Dense, sizes(6), activation=activations(), use_bias=st.booleans())
    return st.tuples(layers, vectors())


def batch_norms():
    return on_both(st.builds(BatchNorm, options(0.0, 0.5, 0.9), epsilon=options(1e-5, 0.1)))


def layer_norms():
    """Draw at least two channels, since a number cannot be normalized by itself."""
    return st.tuples(st.builds(LayerNorm, epsilon=options(1e-5, 0.1)), images_and_vectors(sizes(6, 2)))


@st.composite
def _group_norms(draw):
    groups = draw(sizes(4))
    channels = groups * draw(sizes(3))
    layer = GroupNorm(groups, epsilon=draw(options(1e-5, 0.1)))
    return layer, draw(one_of(images(st.just(channels)), st.just((channels,))))


def group_norms():
    """Draw groups of at least two numbers."""
    return _group_norms().filter(lambda drawn: prod(drawn[1]) > drawn[0].groups)


def local_response_norms():
    layers = st.builds(
        LocalResponseNorm,
        sizes(6),
        alpha=st.floats(0, 0.5),
        beta=st.floats(0, 1.5),
        k=st.floats(0.5, 3),
    )
    return on_both(layers)


def zero_paddings():
    return on_images(
        st.builds(ZeroPad2D, paddings((4, 4)).filter(lambda padding: not isinstance(padding, str)))
    )


def rescales():
    return on_both(st.builds(Rescale, st.floats(-3, 3)))


def dropouts():
    return on_both(st.builds(Dropout, options(0, 0.2, 0.5, 0.9)))


def spatial_dropouts():
    return on_images(st.builds(SpatialDropout2D, options(0, 0.2, 0.5, 0.9)))
