"""Warnings that point at the user's line of code."""

import sys
import warnings

BETWEEN = {
    *("skcnn", "sklearn", "scipy", "joblib", "skl2onnx"),
    *("pickle", "threading", "multiprocessing", "concurrent"),
}
"""Packages whose functions may be called between the user's line and the cause of a warning."""


def warn_user(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points at the innermost line outside the packages in ``BETWEEN``.

    If there is no such line, as in a thread, it points at the outermost line.

    Parameters
    ----------
    message : str or Warning
    category : subclass of Warning, default=UserWarning
        Category if ``message`` is a string.
    """
    frame, level = sys._getframe(1), 2  # of the caller, as warnings.warn counts
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
