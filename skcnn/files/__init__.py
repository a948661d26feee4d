"""Saves estimators to files and loads them."""

import skcnn.regressor  # noqa: F401  registers ConvNetRegressor
from skcnn.encoding import REGISTRY
from skcnn.files.estimators import load, save
from skcnn.files.keras import weights_from_keras
from skcnn.files.resuming import resume
from skcnn.files.weights import classifier_from_weights, weights_from_torch
from skcnn.tensor_file import FileError

SKOPS_TYPES: list[str] = sorted(
    f"{entry.cls.__module__}.{entry.cls.__qualname__}"
    for entry in REGISTRY.values()
    if entry.cls.__module__.partition(".")[0] == __package__.partition(".")[0]
)
"""The types of skcnn in fitted estimators, for ``skops.io.load(path, trusted=SKOPS_TYPES)``."""

__all__ = [
    "SKOPS_TYPES",
    "FileError",
    "classifier_from_weights",
    "load",
    "resume",
    "save",
    "weights_from_keras",
    "weights_from_torch",
]
