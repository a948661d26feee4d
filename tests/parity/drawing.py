"""Configurations of layers, drawn at random: a function draws a layer and the shape of its input."""

from math import prod

from skcnn.layers import (
    ELU,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GroupNorm,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    Parallel,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    SiLU,
    Tanh,
    ZeroPad2D,
)
from skcnn.layers.activation import ACTIVATIONS
from skcnn.layers.naming import is_passthrough


def pick(rng, options):
    return options[rng.integers(len(options))]


def size_up_to(rng, largest):
    return int(rng.integers(1, largest + 1))


def draw_image(rng, channels=None):
    """Return the shape of an image, a single row or a single column every third time."""
    height, width = size_up_to(rng, 9), size_up_to(rng, 9)
    height, width = pick(rng, [(1, width), (height, 1), *[(height, width)] * 4])
    return (height, width, size_up_to(rng, 5) if channels is None else channels)


def draw_vector(rng):
    return (size_up_to(rng, 8),)


def draw_image_or_vector(rng):
    return pick(rng, [draw_image, draw_image, draw_vector])(rng)


def draw_pair(rng, largest):
    """Return an int or a pair."""
    return pick(rng, [size_up_to(rng, largest), (size_up_to(rng, largest), size_up_to(rng, largest))])


def draw_padding(rng, limits):
    """Return padding of every form, on each axis below a limit."""
    (top, bottom), (left, right) = (rng.integers(limit, size=2).tolist() for limit in limits)
    everywhere = int(rng.integers(min(limits)))
    by_side = [(top, left), (top, (left, right)), ((top, bottom), left), ((top, bottom), (left, right))]
    return pick(rng, ["same", "valid", "valid", 0, everywhere, everywhere, *by_side])


def as_pair(value):
    return value if isinstance(value, tuple) else (value, value)


def padding_of(layer, image_size, window):
    """Return ((top, bottom), (left, right)); "same" gives ceil(size / stride) windows, the odd pixel last."""
    if layer.padding == "valid":
        return (0, 0), (0, 0)
    if layer.padding != "same":
        return tuple(as_pair(axis) for axis in as_pair(layer.padding))
    strides = as_pair(window if layer.strides is None else layer.strides)
    totals = [
        max((-(-size // stride) - 1) * stride + length - size, 0)
        for size, length, stride in zip(image_size, window, strides, strict=True)
    ]
    return tuple((total // 2, total - total // 2) for total in totals)


def window_of(layer):
    """Return height and width of a window, from its first pixel to its last."""
    if isinstance(layer, MaxPool2D | AvgPool2D):
        return as_pair(layer.pool_size)
    kernel = zip(as_pair(layer.kernel_size), as_pair(layer.dilation), strict=True)
    return tuple((length - 1) * step + 1 for length, step in kernel)


def fits(layer, image_size):
    """Whether a whole window lies on the padded image.

    With ceil_mode PyTorch takes windows that are larger than the padded image; skcnn refuses them.
    """
    window = window_of(layer)
    padding = padding_of(layer, image_size, window)
    return all(
        sum(pad) + size >= length for pad, size, length in zip(padding, image_size, window, strict=True)
    )


def draw_fitting(draw):
    """Draw until the windows of the layer are not larger than the padded image."""

    def draw_until_it_fits(rng):
        while True:
            layer, input_shape = draw(rng)
            if fits(layer, input_shape[:2]):
                return layer, input_shape

    return draw_until_it_fits


def draw_activation(rng):
    """Return a name, a layer or None."""
    layers = [LeakyReLU(rng.uniform()), PReLU(rng.normal()), ELU(rng.uniform(0.1, 3))]
    return pick(rng, [None, None, "identity", *ACTIVATIONS, *layers])


def draw_convolution_options(rng):
    return {
        "kernel_size": draw_pair(rng, 4),
        "strides": draw_pair(rng, 5),
        "padding": draw_padding(rng, (4, 4)),
        "dilation": pick(rng, [1, draw_pair(rng, 3)]),
        "activation": draw_activation(rng),
        "use_bias": pick(rng, [True, False]),
    }


@draw_fitting
def draw_conv2d(rng):
    groups = pick(rng, [1, 1, 2, 3])
    filters, channels = groups * size_up_to(rng, 4), groups * size_up_to(rng, 3)
    return Conv2D(filters, groups=groups, **draw_convolution_options(rng)), draw_image(rng, channels)


@draw_fitting
def draw_depthwise(rng):
    options = draw_convolution_options(rng)
    return DepthwiseConv2D(depth_multiplier=size_up_to(rng, 3), **options), draw_image(rng)


def draw_pool(layer_class, **choices):
    @draw_fitting
    def draw(rng):
        pool_size = draw_pair(rng, 4)
        options = {
            "strides": pick(rng, [None, draw_pair(rng, 5), draw_pair(rng, 5)]),
            "padding": draw_padding(rng, as_pair(pool_size)),
            "ceil_mode": pick(rng, [True, False]),
            **{key: pick(rng, values) for key, values in choices.items()},
        }
        return layer_class(pool_size, **options), draw_image(rng)

    return draw


def on_images(make):
    return lambda rng: (make(rng), draw_image(rng))


def on_both(make):
    """Draw images or vectors."""
    return lambda rng: (make(rng), draw_image_or_vector(rng))


def draw_dense(rng):
    layer = Dense(size_up_to(rng, 6), activation=draw_activation(rng), use_bias=pick(rng, [True, False]))
    return layer, draw_vector(rng)


def draw_layer_norm(rng):
    """Draw at least two channels, since a number cannot be normalized by itself."""
    channels = 1 + size_up_to(rng, 5)
    shape = pick(rng, [draw_image(rng, channels), draw_image(rng, channels), (channels,)])
    return LayerNorm(epsilon=pick(rng, [1e-5, 0.1])), shape


def draw_group_norm(rng):
    """Draw until a group has at least two numbers."""
    while True:
        groups = size_up_to(rng, 4)
        channels = groups * size_up_to(rng, 3)
        shape = pick(rng, [draw_image(rng, channels), (channels,)])
        if prod(shape) > groups:
            return GroupNorm(groups, epsilon=pick(rng, [1e-5, 0.1])), shape


def draw_local_response_norm(rng):
    return LocalResponseNorm(
        size_up_to(rng, 6), alpha=rng.uniform(0, 0.5), beta=rng.uniform(0, 1.5), k=rng.uniform(0.5, 3)
    )


def draw_zero_padding(rng):
    top, bottom, left, right = rng.integers(4, size=4).tolist()
    return ZeroPad2D(pick(rng, [0, top, (top, left), ((top, bottom), left), ((top, bottom), (left, right))]))


# Containers are drawn from parts that fit any image or any vector


def draw_normalization(rng, channels):
    """Return a normalization, within a sample only where it has more than one channel."""
    of_samples = [GroupNorm(1), LayerNorm()] if channels > 1 else []
    return pick(rng, [BatchNorm(), BatchNorm(momentum=0.5, epsilon=0.1), *of_samples])


def draw_convolution_branch(rng, filters, strides=1):
    """Return layers of which the last has this number of filters, or is a normalization behind it.

    The first, a convolution or pooling, has the strides.
    """
    hidden = size_up_to(rng, 3)
    convolution = Conv2D(hidden, 3, strides=strides, use_bias=pick(rng, [True, False]))
    pooling = pick(rng, [MaxPool2D, AvgPool2D])(pick(rng, [2, 3]), strides=strides, padding="same")
    first = pick(rng, [convolution, convolution, pooling])
    last = Conv2D(filters, pick(rng, [1, 3]), activation=pick(rng, [None, "prelu"]))
    normalizations = [draw_normalization(rng, filters)] * int(rng.integers(2))
    return [first, BatchNorm(), pick(rng, [ReLU(), ("passed", "passthrough"), SiLU()]), last, *normalizations]


def draw_dense_branch(rng, units):
    normalizations = [draw_normalization(rng, units)] * int(rng.integers(2))
    return [Dense(size_up_to(rng, 4)), BatchNorm(), PReLU(), Dense(units), *normalizations]


def draw_residual(rng):
    """Draw a branch that keeps the shape or does not, with a projection by default or one that is given."""
    activation = pick(rng, [None, "relu", "prelu"])
    if rng.integers(3) == 0:
        features, units = pick(rng, [(4, 4), (3, 5), (6, 1)])
        given = Sequential([Dense(units), ("tanh", Tanh())])
        layers = draw_dense_branch(rng, units)
        return Residual(layers, projection=pick(rng, ["auto", given]), activation=activation), (features,)
    if rng.integers(3) == 0:
        layers = pick(rng, [draw_convolution_branch(rng, 3), ["passthrough", ("off", "passthrough")]])
        projection = pick(
            rng, ["auto", "passthrough", "passthrough", [AvgPool2D(3, strides=1, padding="same"), Tanh()]]
        )
        return Residual(layers, projection=projection, activation=activation), draw_image(rng, 3)
    channels, filters, strides = pick(rng, [(3, 3, 1), (2, 4, 1), (2, 2, 2), (3, 1, (2, 1)), (1, 2, 3)])
    given = [Conv2D(filters, 1, strides=strides), draw_normalization(rng, filters)]
    layers = draw_convolution_branch(rng, filters, strides)
    projection = pick(rng, ["auto", "auto", given, Sequential(given)])
    return Residual(layers, projection=projection, activation=activation), draw_image(rng, channels)


def image_branches(rng):
    """Return branches that keep height and width."""
    return [
        "passthrough",
        Conv2D(size_up_to(rng, 3), 1, activation="relu"),
        draw_convolution_branch(rng, size_up_to(rng, 3)),
        [BatchNorm(), ReLU()],
        [MaxPool2D(3, strides=1, padding="same"), ("last", Conv2D(2, 1))],
        AvgPool2D((1, 2), strides=1, padding="same"),
        Residual(draw_convolution_branch(rng, 2)),
        Parallel(["passthrough", [Conv2D(3, 1), LayerNorm(), Conv2D(1, 3)], "passthrough"]),
    ]


def reducing_branches(rng):
    """Return branches that turn images into vectors."""
    return [
        GlobalMaxPool2D(),
        [GlobalAvgPool2D(), *draw_dense_branch(rng, 3)],
        [Conv2D(2, 3), BatchNorm(), Flatten()],
    ]


def vector_branches(rng):
    return [
        "passthrough",
        Dense(size_up_to(rng, 3), activation="tanh"),
        draw_dense_branch(rng, 2),
        BatchNorm(),
        Residual(draw_dense_branch(rng, 2), activation="relu"),
        Parallel([Dense(2), "passthrough", [BatchNorm()]]),
    ]


def draw_branches(rng, options):
    """Return one to four branches, not nothing but the input; each is drawn afresh."""
    branches = [pick(rng, options(rng)) for _ in range(size_up_to(rng, 4))]
    if all(map(is_passthrough, branches)):
        branches.append(options(rng)[1])
    return branches


def draw_parallel(rng):
    if rng.integers(3) == 0:
        return Parallel(draw_branches(rng, vector_branches)), draw_vector(rng)
    options = pick(rng, [image_branches, image_branches, reducing_branches])
    return Parallel(draw_branches(rng, options)), draw_image(rng)


def draw_sequential(rng):
    """Draw layers of any kind behind each other, and sometimes the step from images to vectors."""

    def draw_layers(options):
        drawn = draw_branches(rng, options)
        return [Sequential(entry) if isinstance(entry, list) else entry for entry in drawn]

    if rng.integers(3) == 0:
        return Sequential(draw_layers(vector_branches)), draw_vector(rng)
    layers = draw_layers(image_branches)
    if rng.integers(2):
        layers += [("turn", Sequential([Flatten()])), *draw_layers(vector_branches)]
    return Sequential(layers), draw_image(rng)
