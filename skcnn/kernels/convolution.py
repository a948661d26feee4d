"""The choice of the kernel that computes a convolution."""

from functools import lru_cache

from skcnn.kernels.base import ConvolutionKernel
from skcnn.kernels.columns import ColumnsKernel, PointwiseKernel
from skcnn.kernels.depthwise import DepthwiseKernel
from skcnn.kernels.windows import Windows
from skcnn.kernels.winograd import WinogradKernel

WINOGRAD_CHANNELS = 16
"""Fewest channels, and fewest filters, for Winograd's algorithm; below, gathered windows are faster."""

WINOGRAD_PIXELS = 4
"""Fewest outputs along each axis for Winograd's algorithm, by measurement; tiles may be incomplete."""


@lru_cache(maxsize=1024)
def convolution_kernel(
    windows: Windows, channels: int, filters: int, groups: int, has_bias: bool
) -> ConvolutionKernel:
    """Return the fastest kernel for a convolution.

    Depthwise convolutions go position by position. Convolutions with windows of one pixel are plain matrix
    products. Those with 3x3 windows one pixel apart use Winograd's algorithm if they have enough channels and
    outputs to pay for its transforms. All others gather their windows.

    Parameters
    ----------
    windows : Windows
    channels, filters, groups : int
    has_bias : bool

    Returns
    -------
    kernel : ConvolutionKernel

    Examples
    --------
    >>> from skcnn.kernels.windows import sliding_windows
    >>> windows = sliding_windows((28, 28), (3, 3), strides=(1, 1), padding="same")
    >>> type(convolution_kernel(windows, 32, 64, 1, True)).__name__
    'WinogradKernel'
    >>> type(convolution_kernel(windows, 1, 64, 1, True)).__name__
    'ColumnsKernel'
    """
    kind: type[ConvolutionKernel]
    if groups == channels > 1:
        kind = DepthwiseKernel
    elif groups == 1 and windows.size == (1, 1) and windows.padding == ((0, 0), (0, 0)):
        kind = PointwiseKernel
    elif (
        groups == 1
        and windows.size == (3, 3)
        and windows.strides == windows.dilation == (1, 1)
        and min(channels, filters) >= WINOGRAD_CHANNELS
        and min(windows.counts) >= WINOGRAD_PIXELS
    ):
        kind = WinogradKernel
    else:
        kind = ColumnsKernel
    return kind(windows, channels, filters, groups, has_bias)
