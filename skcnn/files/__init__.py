"""A fitted estimator leaves the process, and comes back."""

from skcnn.files.estimators import load, save
from skcnn.tensor_file import FileError

__all__ = ["FileError", "load", "save"]
