"""The table of kernels that layers and optimizers compute with, of which a backend may replace some."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from skcnn.kernels.base import BatchNormKernel, ConvolutionKernel, MaxPoolKernel
from skcnn.kernels.convolution import convolution_kernel
from skcnn.kernels.normalization import NumpyBatchNorm
from skcnn.kernels.pooling import NumpyMaxPool
from skcnn.kernels.updates import UPDATES
from skcnn.kernels.windows import Windows


@dataclass(frozen=True)
class Kernels:
    """What layers and optimizers compute with, of one backend.

    Attributes
    ----------
    backend : str
        Its name.
    convolution : callable
        ``convolution(windows, channels, filters, groups, has_bias)`` returns a kernel.
    batch_norm : callable
        ``batch_norm(rectified)`` returns a kernel.
    max_pool : callable
        ``max_pool(windows, rectified)`` returns a kernel.
    updates : mapping of str to callable
        Rules of optimizers by name, as :data:`skcnn.kernels.updates.UPDATES`.
    announced : callable
        ``announced()`` returns a context manager, within which a line is printed if kernels are compiled.
    """

    backend: str
    convolution: Callable[..., ConvolutionKernel]
    batch_norm: Callable[[bool], BatchNormKernel]
    max_pool: Callable[[Windows, bool], MaxPoolKernel]
    updates: Mapping[str, Callable[..., None]]
    announced: Callable[[], AbstractContextManager] = nullcontext


NUMPY = Kernels("numpy", convolution_kernel, NumpyBatchNorm, NumpyMaxPool, UPDATES)
"""Kernels in numpy."""
