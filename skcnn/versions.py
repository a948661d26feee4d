"""Which versions an estimator was pickled with, and a warning where others read it."""

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
    """Pickles an estimator together with the versions in use, which scikit-learn does for its own alone.

    Estimators that other versions have pickled are read, with a
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
