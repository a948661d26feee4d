"""Every private name of scikit-learn that we use, checked with scikit-learn 1.7.0 to 1.9.1.

The tests run with the oldest and the newest of these. All other modules import private names from here, and
public names from scikit-learn. Two private names are elsewhere, since scikit-learn looks for them in our
classes: ``_parameter_constraints``, valid values of hyperparameters, and ``_sk_visual_block_``, the diagram.
"""

from collections.abc import Callable
from numbers import Real
from sys import float_info

from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions, validate_params
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in

try:
    from sklearn.utils._repr_html.estimator import _VisualBlock as VisualBlock
except ImportError:  # this version of scikit-learn draws diagrams in another way
    VisualBlock = None

try:
    from sklearn.callback import CallbackSupportMixin
except ModuleNotFoundError:  # before 1.9

    class CallbackSupportMixin:
        """Replaces scikit-learn's mixin, which has ``set_callbacks``, in versions without it."""


__all__ = [
    "CALLBACK_ATTRIBUTES",
    "CallbackSupportMixin",
    "FiniteInterval",
    "HasMethods",
    "Interval",
    "Options",
    "StrOptions",
    "VisualBlock",
    "callback_context",
    "check_feature_names_in",
    "check_hyperparameters",
    "fit_context",
    "metric",
    "response_method",
    "routing_enabled",
    "safe_indexing",
    "show_parameters",
    "validate_params",
]


class FiniteInterval(Interval):
    """The finite numbers >= 0, or > 0.

    Numbers of numpy are compared as Python floats: in float32 the upper bound would be infinite.
    """

    def __init__(self, *, with_zero: bool):
        super().__init__(Real, 0, float_info.max, closed="both" if with_zero else "right")

    def __contains__(self, value):
        return super().__contains__(value if isinstance(value, int) else float(value))


CALLBACK_ATTRIBUTES = (
    "_skl_callbacks",
    "_callback_fit_ctx",
    "_skl_callbacks_to_teardown",
    "_parent_callback_ctx",
)
"""Attributes where scikit-learn keeps an estimator's callbacks and the state of the current fit."""


def callback_context(estimator, *, task_name: str, n_subtasks: int):
    """Return a new callback context for a task of a fit; None if the estimator has no callbacks.

    Parameters
    ----------
    estimator : estimator
    task_name : str
    n_subtasks : int
        Largest possible number of subtasks.

    Returns
    -------
    context : sklearn.callback.CallbackContext or None
    """
    if not hasattr(estimator, "_skl_callbacks"):
        return None
    return estimator._init_callback_context(task_name=task_name, max_subtasks=n_subtasks)


def check_hyperparameters(estimator) -> None:
    """Raise a ValueError unless the hyperparameters of an estimator or layer are valid."""
    estimator._validate_params()


def response_method(scorer) -> str | None:
    """Return the name of the method that a scikit-learn scorer calls; None for any other scorer."""
    return getattr(scorer, "_response_method", None)


def metric(scorer) -> Callable:
    """Return the metric that a scikit-learn scorer calls; for any other scorer, the scorer itself."""
    return getattr(scorer, "_score_func", scorer)


def show_parameters(visual, estimator) -> None:
    """Make a visual block show the table of an estimator's parameters."""
    visual.get_params, visual._get_params_html = estimator.get_params, estimator._get_params_html
