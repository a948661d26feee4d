"""Fitted attributes that are read from an object which a fit leaves behind."""

from operator import attrgetter


class ReadFrom:
    """A fitted attribute that is read from an object which ``fit`` sets, unless somebody has set it.

    Parameters
    ----------
    holder : str
        Attribute with the object.
    path : str
        Where in the object the value is.
    """

    def __init__(self, holder: str, path: str):
        self._holder, self._path = holder, path

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, estimator, owner=None):
        if estimator is None:
            return self
        if self._holder not in vars(estimator):
            raise AttributeError(f"{type(estimator).__name__!r} object has no attribute {self._name!r}")
        return attrgetter(self._path)(vars(estimator)[self._holder])
