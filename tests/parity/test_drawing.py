"""What the drawn configurations of layers with windows must hold."""

import pytest
from parity import drawing
from parity.drawing import hypothesis, st
from parity.in_torch import is_symmetric

from skcnn.layers import AvgPool2D, MaxPool2D


def windows(layer, shape):
    """Return what may hold for a layer with windows, by name; a test wants each to hold for one at least."""
    height, width = shape[:2]
    lengths, strides = drawing.window_of(layer), drawing.as_pair(layer.strides or 1)
    padding = drawing.padding_of(layer, shape[:2], lengths)
    return {
        "odd height and width": height % 2 == width % 2 == 1 < min(height, width),
        "even height and width": height % 2 == width % 2 == 0,
        "odd height, even width": height % 2 == 1 != width % 2,
        "a single row": height == 1 < width,
        "a single column": width == 1 < height,
        "strides larger than the window": any(map(int.__gt__, strides, lengths)),
        "same": layer.padding == "same",
        "valid": layer.padding == "valid",
        "empty padding": layer.padding in (0, (0, 0), (0, (0, 0)), ((0, 0), (0, 0))),
        "an int as padding": isinstance(layer.padding, int) and layer.padding > 0,
        "asymmetric padding": layer.padding != "same" and not is_symmetric(padding),
        "dilation": layer.dilation != 1,
    }


def convolving(layer, shape):
    kernel = type(layer.plan(shape)).__name__
    whole_tiles = {length % 4 for length in layer.output_shape(shape)[:2]} == {0}
    kernels = ("WinogradKernel", "PointwiseKernel", "DepthwiseKernel", "ColumnsKernel")
    return windows(layer, shape) | {
        "groups": 1 < layer.groups < shape[2],
        **{name: kernel == name for name in kernels},
        "whole tiles": kernel == "WinogradKernel" and whole_tiles,
    }


def pooling(layer, shape):
    lengths = drawing.window_of(layer)
    padding = drawing.padding_of(layer, shape[:2], lengths)
    return windows(layer, shape) | {
        "windows beyond the padding": layer.ceil_mode,
        "padding more than half a window": any(map(int.__gt__, (2 * max(pad) for pad in padding), lengths)),
        "padding counts": isinstance(layer, MaxPool2D) or layer.count_include_pad,
    }


CORNER_CASES = {
    "convolutions": (drawing.convolutions(), convolving),
    "depthwise convolutions": (drawing.depthwise_convolutions(), windows),
    "maxima": (drawing.pools(MaxPool2D), pooling),
    "means": (drawing.pools(AvgPool2D, count_include_pad=st.booleans()), pooling),
}


@pytest.mark.parametrize("kind", CORNER_CASES)
def test_corner_cases_are_drawn(kind):
    """In as many draws as a test takes by default; other versions of Hypothesis draw others."""
    (strategy, cases_of), found = CORNER_CASES[kind], []

    @hypothesis.settings(hypothesis.settings.get_profile("deterministic"))
    @hypothesis.given(strategy)
    def collect(configuration):
        found.append(cases_of(*configuration))

    collect()
    assert [case for case in found[0] if not any(cases[case] for cases in found)] == []
