"""Tests of attributes that are read from an object that a fit has set."""

from types import SimpleNamespace

import pytest

from skcnn.fitted_attributes import ReadFrom


class Fitted:
    size_ = ReadFrom("model_", "format.size")


def test_the_value_is_that_of_the_object_or_what_somebody_has_set():
    fitted = Fitted()
    assert not hasattr(fitted, "size_")
    with pytest.raises(AttributeError, match="'Fitted' object has no attribute 'size_'"):
        fitted.size_  # noqa: B018
    fitted.model_ = SimpleNamespace(format=SimpleNamespace(size=3))
    assert fitted.size_ == 3
    fitted.size_ = 4
    assert fitted.size_ == 4
    del fitted.size_
    assert fitted.size_ == 3
    assert isinstance(Fitted.size_, ReadFrom)
