"""Every private name of scikit-learn that we use, checked with scikit-learn 1.7.0 to 1.9.1.

The tests run with the oldest and the newest of these. All other modules import such names from here, and
public ones from scikit-learn. Two names stand elsewhere, since scikit-learn looks for them in our classes:
``_parameter_constraints``, the valid values of hyperparameters, and ``_sk_visual_block_``, which draws.
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
except ImportError:  # a scikit-learn that draws in another way
    VisualBlock = None

try:
    from sklearn.callback import CallbackSupportMixin
except ModuleNotFoundError:  # before 1.9

    class CallbackSupportMixin:
        """Stands for scikit-learn's, with ``set_callbacks``, where there is none yet."""


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
    """The finite numbers from 0 on.

    Numbers of numpy are compared as Python's are: as float32, the bound would be infinite.
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
"""Where scikit-learn keeps the callbacks of an estimator, and what it knows of the fit under way."""


def callback_context(estimator, *, task_name: str, n_subtasks: int):
    """Return the context of the task of a fit, which is to begin; None if there are no callbacks.

    Parameters
    ----------
    estimator : estimator
    task_name : str
    n_subtasks : int
        Largest number of tasks within this one.

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
    """Return the method whose result a scorer of scikit-learn looks at; None of any other scorer."""
    return getattr(scorer, "_response_method", None)


def metric(scorer) -> Callable:
    """Return the function that a scorer of scikit-learn calls with labels and responses; else the scorer."""
    return getattr(scorer, "_score_func", scorer)


def show_parameters(visual, estimator) -> None:
    """Let a visual block show the table of parameters of an estimator."""
    visual.get_params, visual._get_params_html = estimator.get_params, estimator._get_params_html
