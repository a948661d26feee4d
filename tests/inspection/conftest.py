"""Figures are drawn without a window, and closed after each test; and a pipeline that turns its images."""

import sys
from contextlib import suppress

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from small_classifiers import make_classifier, make_images

with suppress(ImportError):  # what draws with it says that it is missing
    import matplotlib

    matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def turned():
    """A pipeline that turns rows stored channels first, these rows, the images in them, and labels."""
    images, y = make_images(shape=(6, 5, 3))
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    turn = FunctionTransformer(lambda rows: np.reshape(rows, (-1, 3, 6, 5)).transpose(0, 2, 3, 1))
    return make_pipeline(turn, make_classifier(input_scaling=None)).fit(rows, y), rows, images, y
