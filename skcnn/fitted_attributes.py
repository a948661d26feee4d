"""Fitted attributes that read their value from an object that ``fit`` sets."""

from operator import attrgetter


class ReadFrom:
    """A fitted attribute that reads its value from an object that ``fit`` sets, unless it is set itself.

    Parameters
    ----------
    holder : str
        Attribute of the estimator that holds the object.
    path : str
        Dotted path of the value within the object.
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


def drop_fitted(estimator, *, keep) -> None:
    """Remove the fitted attributes of an estimator, and values that others have set over them."""
    for name in list(vars(estimator)):
        is_fitted = name in ("_training_state", "feature_names_in_")
        if name not in keep and (is_fitted or isinstance(getattr(type(estimator), name, None), ReadFrom)):
            delattr(estimator, name)
