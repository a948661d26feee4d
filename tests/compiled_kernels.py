"""The compiled kernels, where Numba is installed."""

import pytest

try:
    from skcnn.kernels.compiled import NUMBA
    from skcnn.kernels.compiled.columns import CompiledColumns
    from skcnn.kernels.compiled.depthwise import CompiledDepthwise
    from skcnn.kernels.compiled.winograd import CompiledWinograd
except ImportError:
    NUMBA = None
    COMPILED_CONVOLUTIONS = []
else:
    COMPILED_CONVOLUTIONS = [CompiledColumns, CompiledDepthwise, CompiledWinograd]

needs_numba = pytest.mark.skipif(NUMBA is None, reason="numba is not installed")
