"""Figures are drawn without a window, and closed after each test."""

import sys
from contextlib import suppress

import pytest

with suppress(ImportError):  # what draws with it says that it is missing
    import matplotlib

    matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
