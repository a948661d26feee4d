"""What the drawn configurations must hold."""

import numpy as np
import pytest
from parity.drawing import (
    as_pair,
    convolutions,
    depthwise_convolutions,
    hypothesis,
    padding_of,
    pools,
    st,
    window_of,
)
from parity.drawing_containers import parallels, residuals, stacks
from parity.in_torch import is_symmetric
from parity.layers_in_numbers import Numbers, configurations

from skcnn.layers import AvgPool2D, BatchNorm, MaxPool2D
from skcnn.layers.naming import is_passthrough


def computed_by(kernel):
    return lambda layer, shape: type(layer.plan(shape)).__name__ == kernel


def pads_more_than_half(layer, shape):
    windows = window_of(layer)
    padding = padding_of(layer, shape[:2], windows)
    return any(2 * max(pad) > length for pad, length in zip(padding, windows, strict=True))


SHAPES = {
    "odd height and width": lambda layer, shape: (
        shape[0] % 2 == 1 < shape[0] and shape[1] % 2 == 1 < shape[1]
    ),
    "even height and width": lambda layer, shape: shape[0] % 2 == 0 == shape[1] % 2,
    "odd height, even width": lambda layer, shape: shape[0] % 2 == 1 != shape[1] % 2,
    "a single row": lambda layer, shape: shape[0] == 1 < shape[1],
    "a single column": lambda layer, shape: shape[1] == 1 < shape[0],
}
WINDOWS = SHAPES | {
    "strides larger than the window": lambda layer, shape: any(
        stride > length for stride, length in zip(as_pair(layer.strides or 1), window_of(layer), strict=True)
    ),
    "same": lambda layer, shape: layer.padding == "same",
    "valid": lambda layer, shape: layer.padding == "valid",
    "empty padding": lambda layer, shape: layer.padding in (0, (0, 0), (0, (0, 0)), ((0, 0), (0, 0))),
    "an int as padding": lambda layer, shape: isinstance(layer.padding, int) and layer.padding > 0,
    "asymmetric padding": lambda layer, shape: (
        layer.padding != "same" and not is_symmetric(padding_of(layer, shape[:2], window_of(layer)))
    ),
}
DILATION = {"dilation": lambda layer, shape: layer.dilation != 1}
POOLING = {
    "windows beyond the padding": lambda layer, shape: layer.ceil_mode,
    "padding more than half a window": pads_more_than_half,
}
SORTS = {
    "vectors": lambda layer, shape: len(shape) == 1,
    "images": lambda layer, shape: len(shape) == 3,
}
CORNER_CASES = {
    "convolutions": (
        convolutions(),
        WINDOWS
        | DILATION
        | {"groups": lambda layer, shape: 1 < layer.groups < shape[2]}
        | {
            kernel: computed_by(kernel)
            for kernel in ("WinogradKernel", "PointwiseKernel", "DepthwiseKernel", "ColumnsKernel")
        }
        | {
            "whole tiles": lambda layer, shape: (
                computed_by("WinogradKernel")(layer, shape)
                and {length % 4 for length in layer.output_shape(shape)[:2]} == {0}
            )
        },
    ),
    "depthwise convolutions": (
        depthwise_convolutions(),
        WINDOWS | DILATION | {"filters": lambda layer, shape: layer.depth_multiplier > 1},
    ),
    "maxima": (pools(MaxPool2D), WINDOWS | DILATION | POOLING),
    "means": (
        pools(AvgPool2D, count_include_pad=st.booleans()),
        WINDOWS | DILATION | POOLING | {"padding counts": lambda layer, shape: layer.count_include_pad},
    ),
    "residuals": (
        residuals(),
        SORTS
        | {
            "a projection": lambda layer, shape: layer.projection != "auto",
            "a normalization of the projection": lambda layer, shape: isinstance(layer.layers[-1], BatchNorm),
            "a list for a projection": lambda layer, shape: isinstance(layer.projection, list),
            "no projection": lambda layer, shape: is_passthrough(layer.projection),
            "no layers": lambda layer, shape: is_passthrough(layer.layers[0]),
        },
    ),
    "parallels": (
        parallels(),
        SORTS
        | {
            "lists": lambda layer, shape: any(isinstance(branch, list) for branch in layer.branches),
            "passthrough": lambda layer, shape: any(map(is_passthrough, layer.branches)),
        },
    ),
    "stacks": (stacks(), SHAPES),
}


def deterministic_draws(strategy):
    """Return as many draws as a test takes by default; other versions of Hypothesis draw others."""
    drawn = []

    @hypothesis.settings(hypothesis.settings.get_profile("deterministic"))
    @hypothesis.given(strategy)
    def collect(configuration):
        drawn.append(configuration)

    collect()
    return drawn


@pytest.mark.parametrize("kind", CORNER_CASES)
def test_corner_cases_are_drawn(kind):
    strategy, cases = CORNER_CASES[kind]
    drawn = deterministic_draws(strategy)
    assert [what for what, holds in cases.items() if not any(holds(*each) for each in drawn)] == []


@pytest.mark.parametrize("integers", [False, True])
def test_minibatches_of_all_kinds_are_drawn(integers):
    drawn = deterministic_draws(configurations(stacks(), integers=integers))
    assert {each.numbers.integers for each in drawn} == {False, integers}
    assert {each.small_pieces for each in drawn} == {False, True}
    assert {each.numbers.scale for each in drawn} == {1, 5, 25}
    assert {1, 2, 11} <= {each.n_samples for each in drawn}
    assert len({each.seed for each in drawn}) > 20


def test_numbers_are_of_the_kind_that_was_drawn():
    rng = np.random.default_rng(0)
    drawn, integers = Numbers(2, 25).draw(rng, 10_000), Numbers(integers=True).draw(rng, 10_000)
    assert abs(drawn.mean() - 2) < 1 and abs(drawn.std() - 25) < 1  # four deviations of the mean, and more
    assert set(integers) == set(range(-3, 4))
