"""Warnings that point at a line of the user."""

import sys
import warnings

BETWEEN = {"skcnn", "sklearn", "scipy", "joblib", "pickle", "threading", "multiprocessing", "concurrent"}
"""Packages whose functions may stand between the user's line and the reason of a warning."""


def warn_user(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the innermost line outside this package and those that call it for the user.

    Where there is no such line, as in a thread, it is the outermost.

    Parameters
    ----------
    message : str or Warning
    category : subclass of Warning, default=UserWarning
        Of a message that is no warning itself.
    """
    frame, level = sys._getframe(1), 2  # of the caller, as warnings.warn counts
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
