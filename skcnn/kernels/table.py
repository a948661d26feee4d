"""The table of kernels that layers compute with, of which a backend may replace some."""

from collections.abc import Callable
from dataclasses import dataclass

from skcnn.kernels.base import BatchNormKernel, ConvolutionKernel
from skcnn.kernels.convolution import convolution_kernel
from skcnn.kernels.normalization import BatchNorm


@dataclass(frozen=True)
class Kernels:
    """What layers compute with, of one backend.

    Attributes
    ----------
    backend : str
        Its name.
    convolution : callable
        ``convolution(windows, channels, filters, groups, has_bias)`` returns a kernel.
    batch_norm : callable
        ``batch_norm(rectified)`` returns a kernel.
    """

    backend: str
    convolution: Callable[..., ConvolutionKernel]
    batch_norm: Callable[[bool], BatchNormKernel]


NUMPY = Kernels("numpy", convolution_kernel, BatchNorm)
"""Kernels in numpy."""
