"""Kernels compiled by Numba, in the places of those of numpy."""

from functools import lru_cache

from skcnn.kernels.base import ConvolutionKernel
from skcnn.kernels.columns import ColumnsKernel
from skcnn.kernels.compiled.columns import CompiledColumns
from skcnn.kernels.compiled.depthwise import CompiledDepthwise
from skcnn.kernels.compiled.jit import compilation_announced
from skcnn.kernels.compiled.normalization import CompiledBatchNorm
from skcnn.kernels.compiled.pooling import max_pool_kernel
from skcnn.kernels.compiled.updates import UPDATES
from skcnn.kernels.compiled.winograd import WIDEST, CompiledWinograd
from skcnn.kernels.convolution import convolution_kernel
from skcnn.kernels.depthwise import DepthwiseKernel
from skcnn.kernels.table import Kernels
from skcnn.kernels.windows import Windows
from skcnn.kernels.winograd import WinogradKernel


@lru_cache(maxsize=1024)
def compiled_convolution(
    windows: Windows, channels: int, filters: int, groups: int, has_bias: bool
) -> ConvolutionKernel:
    """Return the compiled kernel of the kind that numpy would use; where there is none, that of numpy."""
    kernel = convolution_kernel(windows, channels, filters, groups, has_bias)
    if type(kernel) is ColumnsKernel:
        return CompiledColumns(windows, channels, filters, groups, has_bias)
    if type(kernel) is DepthwiseKernel and channels == filters:
        return CompiledDepthwise(windows, channels, filters, groups, has_bias)
    if type(kernel) is WinogradKernel and max(channels, filters) <= WIDEST:
        return CompiledWinograd(windows, channels, filters, groups, has_bias)
    return kernel


NUMBA = Kernels(
    "numba",
    compiled_convolution,
    CompiledBatchNorm,
    max_pool_kernel,
    UPDATES,
    announced=compilation_announced,
)
"""Compiled kernels; where there is none, that of numpy."""
