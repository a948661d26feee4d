"""The compiled kernels, where Numba is installed, from a cache of this state of their files."""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

import skcnn

FILES = sorted((Path(skcnn.__file__).parent / "kernels").rglob("*.py"))
DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in FILES)).hexdigest()
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"skcnn_kernels_{DIGEST[:16]}"))

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
