"""Containers and stacks, drawn by Hypothesis from parts that fit any image or any vector."""

from parity.drawing import images, one_of, options, sizes, st, vectors

from skcnn.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GroupNorm,
    LayerNorm,
    MaxPool2D,
    Parallel,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    SiLU,
    Tanh,
)
from skcnn.layers.naming import is_passthrough

EPSILON = 0.1
"""Added to variances. Where all numbers are equal, as after a ReLU that lets nothing pass, a normalization
multiplies rounding errors by one over the root of it, and several in a row must not make much of them."""


def batch_norm():
    return BatchNorm(epsilon=EPSILON)


def normalizations(channels):
    """Draw a normalization, within a sample only where it has more than one channel."""
    makers = [batch_norm, lambda: BatchNorm(0.5, epsilon=EPSILON)]
    if channels > 1:
        makers += [lambda: GroupNorm(1, epsilon=EPSILON), lambda: LayerNorm(epsilon=EPSILON)]
    return one_of(*map(st.builds, makers))


def one_or_none(layers):
    return one_of(st.just([]), st.lists(layers, min_size=1, max_size=1))


@st.composite
def convolution_branches(draw, filters, strides=1):
    """Draw layers of which the first has the strides, and the last but a normalization these filters."""
    convolution = Conv2D(draw(sizes(3)), 3, strides=strides, use_bias=draw(st.booleans()))
    pooling = draw(options(MaxPool2D, AvgPool2D))(draw(sizes(3, 2)), strides=strides, padding="same")
    return [
        draw(options(convolution, convolution, pooling)),
        batch_norm(),
        draw(options(ReLU(), ("passed", "passthrough"), SiLU())),
        Conv2D(filters, draw(options(1, 3)), activation=draw(options(None, "prelu"))),
        *draw(one_or_none(normalizations(filters))),
    ]


@st.composite
def dense_branches(draw, units):
    normalization = draw(one_or_none(normalizations(units)))
    return [Dense(draw(sizes(4))), batch_norm(), PReLU(), Dense(units), *normalization]


@st.composite
def residuals(draw):
    """Draw a branch that keeps the shape, or none, or one with a projection, by default or given."""
    kind = draw(options("vectors", "equal shape", "images", "images"))
    if kind == "vectors":
        features, units = draw(options((4, 4), (3, 5), (6, 1)))
        layers, input_shape = draw(dense_branches(units)), (features,)
        projections = ["auto", Sequential([Dense(units), ("tanh", Tanh())])]
    elif kind == "equal shape":
        layers = draw(one_of(convolution_branches(3), st.just(["passthrough", ("off", "passthrough")])))
        input_shape = draw(images(st.just(3)))
        given = [AvgPool2D(3, strides=1, padding="same"), Tanh()]
        projections = ["auto", "passthrough", "passthrough", given]
    else:
        channels, filters, strides = draw(options((3, 3, 1), (2, 4, 1), (2, 2, 2), (3, 1, (2, 1)), (1, 2, 3)))
        layers, input_shape = draw(convolution_branches(filters, strides)), draw(images(st.just(channels)))
        given = [Conv2D(filters, 1, strides=strides), draw(normalizations(filters))]
        projections = ["auto", "auto", given, Sequential(given)]
    projection, activation = draw(options(*projections)), draw(options(None, "relu", "prelu"))
    return Residual(layers, projection=projection, activation=activation), input_shape


# Parallel and Sequential


def image_branches():
    """Draw a branch that keeps height and width."""
    return one_of(
        st.just("passthrough"),
        st.builds(Conv2D, sizes(3), st.just(1), activation=st.just("relu")),
        sizes(3).flatmap(convolution_branches),
        st.builds(lambda: [batch_norm(), ReLU()]),
        st.builds(lambda: [MaxPool2D(3, strides=1, padding="same"), ("last", Conv2D(2, 1))]),
        st.builds(lambda: AvgPool2D((1, 2), strides=1, padding="same")),
        st.builds(Residual, convolution_branches(2)),
        st.builds(
            lambda: Parallel(
                ["passthrough", [Conv2D(3, 1), LayerNorm(epsilon=EPSILON), Conv2D(1, 3)], "passthrough"]
            )
        ),
    )


def reducing_branches():
    """Draw a branch that turns images into vectors."""
    return one_of(
        st.builds(GlobalMaxPool2D),
        st.builds(lambda layers: [GlobalAvgPool2D(), *layers], dense_branches(3)),
        st.builds(lambda: [Conv2D(2, 3), batch_norm(), Flatten()]),
    )


def vector_branches():
    return one_of(
        st.just("passthrough"),
        st.builds(Dense, sizes(3), activation=st.just("tanh")),
        dense_branches(2),
        st.builds(batch_norm),
        st.builds(Residual, dense_branches(2), activation=st.just("relu")),
        st.builds(lambda: Parallel([Dense(2), "passthrough", [batch_norm()]])),
    )


def stacks_of(branches):
    """Draw one to four branches, not nothing but the input."""
    several = st.lists(branches, min_size=1, max_size=4)
    return several.filter(lambda drawn: not all(map(is_passthrough, drawn)))


def parallels():
    return one_of(
        st.tuples(st.builds(Parallel, stacks_of(vector_branches())), vectors()),
        st.tuples(st.builds(Parallel, stacks_of(image_branches())), images()),
        st.tuples(st.builds(Parallel, stacks_of(reducing_branches())), images()),
    )


def as_layers(branches):
    return [Sequential(entry) if isinstance(entry, list) else entry for entry in branches]


@st.composite
def sequentials_on_images(draw):
    """Draw layers of any kind one after another, and sometimes the change from images to vectors."""
    layers = as_layers(draw(stacks_of(image_branches())))
    if draw(st.booleans()):
        layers += [("turn", Sequential([Flatten()])), *as_layers(draw(stacks_of(vector_branches())))]
    return Sequential(layers), draw(images())


def sequentials():
    on_vectors = st.builds(Sequential, stacks_of(vector_branches()).map(as_layers))
    return one_of(st.tuples(on_vectors, vectors()), sequentials_on_images(), sequentials_on_images())


@st.composite
def stacks(draw):
    """Draw layers on images, then layers on vectors, without the Flatten between: a Dense layer asks for it.

    The Dense layer stands by itself, or comes first in a container, or in all branches that read the image.
    """
    turn = draw(
        one_of(
            st.builds(Dense, sizes(4), activation=st.just("tanh")),
            st.builds(lambda: Sequential([Sequential([Dense(3)]), batch_norm()])),
            st.builds(lambda: Parallel([[Dense(2), Tanh()], Dense(3), "passthrough"])),
            st.builds(lambda: Parallel([[Dense(2), Tanh()], GlobalAvgPool2D()])),
            st.builds(lambda: Sequential([Conv2D(2), Dense(3), batch_norm()])),
            st.builds(lambda: Residual([Dense(3), Tanh(), Dense(2)], projection=Dense(2))),
            st.builds(lambda: Residual([Dense(3)], projection=[Conv2D(2), Tanh(), Dense(3)])),
        )
    )
    before, after = draw(stacks_of(image_branches())), draw(stacks_of(vector_branches()))
    return [*as_layers(before), ("turn", turn), *as_layers(after)], draw(images())
