"""The versions that pickled an estimator, and a warning if other versions unpickle it."""

from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from skcnn.user_warnings import warn_user

__version__ = "0.1.0"


def versions() -> str:
    """Return the versions that a fitted estimator depends on.

    Examples
    --------
    >>> versions()
    'skcnn ..., scikit-learn ..., numpy ...'
    """
    return f"skcnn {__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}"


class VersionedMixin:
    """Adds the installed versions to pickles of an estimator, as scikit-learn does only for its own.

    Unpickling an estimator of other versions works, with an
    :class:`~sklearn.exceptions.InconsistentVersionWarning`.
    """

    def __getstate__(self):
        inherited: Any = super()
        return inherited.__getstate__() | {"_versions": versions()}

    def __setstate__(self, state):
        state = dict(state)
        pickled = state.pop("_versions", "unknown")
        if pickled != versions():
            warning = InconsistentVersionWarning(
                estimator_name=type(self).__name__,
                current_sklearn_version=versions(),
                original_sklearn_version=pickled,
            )
            warn_user(warning)
        inherited: Any = super()
        inherited.__setstate__(state)
