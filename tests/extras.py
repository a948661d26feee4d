"""What tests use of packages that only extras bring: where one is missing, they are skipped, and name it."""

from types import FunctionType

import pytest


def package(name):
    """Return a package or a module of one, by the name that it is imported by."""
    return pytest.importorskip(name, reason=f"{name.split('.')[0]} is not installed")


def data_frame(*args, **options):
    return package("pandas").DataFrame(*args, **options)


def series(*args, **options):
    return package("pandas").Series(*args, **options)


def picture(pixels):
    return package("PIL.Image").fromarray(pixels)


def build(value):
    """Return a value from a table of tests, or what it returns: which needs one of these packages."""
    return value() if isinstance(value, FunctionType) else value
