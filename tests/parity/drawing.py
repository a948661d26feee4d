"""Configurations of layers, drawn by Hypothesis: a strategy gives a layer and the shape of its input."""

import pkgutil
from importlib import import_module
from math import prod

import pytest

import skcnn
from skcnn.layers.activation import ACTIVATIONS

hypothesis = pytest.importorskip("hypothesis", reason="Hypothesis, which draws cases, is not installed")
st = hypothesis.strategies
for module in pkgutil.walk_packages(skcnn.__path__, "skcnn."):
    # Hypothesis draws numbers from the code of loaded modules, too: let them be the same wherever it draws
    if not module.name.startswith("skcnn.kernels.compiled"):  # Numba may not be there
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
    size = layer.pool_size if isinstance(layer, skcnn.MaxPool2D | skcnn.AvgPool2D) else layer.kernel_size
    axes = zip(as_pair(size), as_pair(layer.dilation), strict=True)
    return tuple((length - 1) * distance + 1 for length, distance in axes)


def fits(drawn):
    """Whether a whole window lies on the padded image, which PyTorch does not ask for with ceil_mode."""
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
        st.builds(skcnn.LeakyReLU, st.floats(0, 1)),
        st.builds(skcnn.PReLU, st.floats(-2, 2)),
        st.builds(skcnn.ELU, st.floats(0.1, 3)),
    )


# Convolutions: of any kind, and of the kinds that a way to compute them is chosen for


ENDINGS = {"activation": activations(), "use_bias": st.booleans()}
DILATIONS = one_of(st.just(1), pairs(3))
WINDOWS = {"kernel_size": pairs(4), "strides": pairs(5), "padding": paddings((4, 4)), "dilation": DILATIONS}


@st.composite
def any_convolutions(draw):
    groups = draw(options(1, 1, 2, 3))
    filters, channels = groups * draw(sizes(4)), groups * draw(sizes(3))
    layers = st.builds(skcnn.Conv2D, st.just(filters), groups=st.just(groups), **WINDOWS, **ENDINGS)
    return draw(layers), draw(images(st.just(channels)))


def wide_convolutions():
    """Draw windows of 3x3 pixels one pixel apart on many channels, which are multiplied in tiles."""
    layers = st.builds(skcnn.Conv2D, sizes(24, 16), padding=paddings((3, 3)), **ENDINGS)
    lengths = options(1, 3, 4, 4, 4, 5, 8, 8, 8, 12, 12, 13)  # whole tiles of four results, and others
    return st.tuples(layers, st.tuples(lengths, lengths, sizes(24, 16)))


def pointwise_convolutions():
    windows = {"strides": pairs(3), "padding": options("same", "valid", 1)}
    layers = st.builds(skcnn.Conv2D, sizes(6), st.just(1), **windows, **ENDINGS)
    return st.tuples(layers, images(sizes(20)))


@st.composite
def channelwise_convolutions(draw):
    """Draw a group for each channel."""
    channels = draw(sizes(5, 2))
    filters = sizes(3).map(lambda multiplier: multiplier * channels)
    layers = st.builds(skcnn.Conv2D, filters, groups=st.just(channels), **WINDOWS, **ENDINGS)
    return draw(layers), draw(images(st.just(channels)))


def convolutions():
    kinds = [any_convolutions(), wide_convolutions()] * 3
    return one_of(*kinds, pointwise_convolutions(), channelwise_convolutions()).filter(fits)


def depthwise_convolutions():
    layers = st.builds(skcnn.DepthwiseConv2D, depth_multiplier=sizes(3), **WINDOWS, **ENDINGS)
    return st.tuples(layers, images(one_of(sizes(5), sizes(5), st.just(16)))).filter(fits)


@st.composite
def patch_whitenings(draw):
    """Draw patches that lie within the image."""
    kernel_size, channels = draw(pairs(3)), draw(one_of(FEW, FEW, st.just(16)))
    largest = prod(as_pair(kernel_size)) * channels
    filters = draw(one_of(st.none(), sizes(largest).map(lambda half: 2 * half)))
    padding, activation = draw(paddings((3, 3))), draw(activations())
    layer = skcnn.PatchWhitening(filters, kernel_size, padding=padding, activation=activation)
    shapes = images(st.just(channels))
    return layer, draw(shapes.filter(lambda shape: all(map(int.__le__, as_pair(kernel_size), shape[:2]))))


@st.composite
def _pools(draw, layer_class, choices):
    pool_size = draw(pairs(4))
    layer = layer_class(
        pool_size,
        strides=draw(one_of(st.none(), pairs(5), pairs(5))),
        padding=draw(paddings(as_pair(pool_size))),
        dilation=draw(DILATIONS),
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


@st.composite
def group_norms(draw):
    """Draw groups of at least two numbers."""
    groups = draw(sizes(4))
    channels = st.just(groups * draw(sizes(3)))
    input_shape = draw(images_and_vectors(channels).filter(lambda shape: prod(shape) > groups))
    return skcnn.GroupNorm(groups, epsilon=draw(options(1e-5, 0.1))), input_shape
