"""A display of losses and scores over the course of training."""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcnn.inspection.plotting import check_drawable, distinct_colors, import_pyplot, tick_integers
from skcnn.pipelines import unwrap

X_AXES = {"epoch": "epoch", "step": "minibatch"}


class Curve(NamedTuple):
    """The training record of an estimator.

    Attributes
    ----------
    steps : ndarray of shape (n_epochs,)
        Number of minibatches until the end of each epoch.
    loss : ndarray of shape (n_epochs,)
    batch_losses : ndarray of shape (n_steps,)
    validation_score : ndarray of shape (n_epochs,), or None
        nan for epochs without validation.
    scoring : str
        Name of the score.
    """

    steps: np.ndarray
    loss: np.ndarray
    batch_losses: np.ndarray
    validation_score: np.ndarray | None
    scoring: str


def curve_of(estimator) -> Curve:
    """Return the curve of a fitted network, Pipeline or search."""
    _, classifier = unwrap(estimator)
    records, scoring = classifier.history_, classifier.scoring
    scores = np.array([record.get("validation_score", np.nan) for record in records])
    return Curve(
        np.array([record["step"] for record in records]),
        np.array([record["loss"] for record in records]),
        np.array(classifier.batch_losses_),
        None if np.isnan(scores).all() else scores,
        "negative loss" if scoring is None else getattr(scoring, "__name__", str(scoring)),
    )


class TrainingCurveDisplay:
    """Loss and, if there is one, validation score over the course of training.

    Create it with :meth:`from_estimator` or :meth:`from_search`.

    Parameters
    ----------
    curves : dict of str to Curve
        By the names in the legend.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes
        One for the losses and, if there are any, one for the validation scores.
    lines_ : dict of (str, str) to matplotlib Line2D
        By name and quantity: "loss", "validation_score" and, over steps, "batch_losses".

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.inspection import TrainingCurveDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(max_iter=3, early_stopping=True, random_state=0).fit(X, y)
    >>> display = TrainingCurveDisplay.from_estimator(clf)
    >>> display.lines_["ConvNetClassifier", "loss"].get_xdata()
    array([1, 2, 3])
    """

    def __init__(self, curves):
        self.curves = curves

    @classmethod
    def from_estimator(cls, estimator, *, x="epoch", axes=None):
        """Draw the curves of one or several fitted estimators.

        Parameters
        ----------
        estimator : estimator, or dict of str to estimator
            Fitted: a network, a Pipeline that ends with one, or a search over such, which shows its
            best estimator; or a dict of several, by the names in the legend.
        x : {"epoch", "step"}, default="epoch"
            Unit of the horizontal axis. "step" also shows the loss of each minibatch, and draws the mean of
            an epoch at its middle.
        axes : sequence of matplotlib Axes, default=None
            For the losses and, if there are any, the validation scores. None: in a new figure.

        Returns
        -------
        display : TrainingCurveDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If an estimator is not fitted.
        TypeError
            If an estimator or one of ``axes`` is of another kind.
        ValueError
            If ``x`` has another value, the number of axes does not match the quantities, or there is no
            estimator.
        """
        check_plot(cls, x, axes)
        named = estimator if isinstance(estimator, dict) else {type(estimator).__name__: estimator}
        if not named:
            raise ValueError("estimator must hold at least one estimator, got {}")
        return cls({str(name): curve_of(one) for name, one in named.items()}).plot(x=x, axes=axes)

    @classmethod
    def from_search(cls, search, X, y, *, x="epoch", axes=None, **fit_params):
        """Train every candidate of a search again, as searches do not keep them, and draw the curves.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or the like
            Fitted, over a network or a Pipeline that ends with one.
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,)
        x, axes
            As in :meth:`from_estimator`, which also lists the errors.
        **fit_params : dict
            Passed to ``fit`` of each candidate, such as ``sample_weight``.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        check_plot(cls, x, axes)
        if not (hasattr(search, "estimator") and hasattr(search, "refit")):
            raise TypeError(f"search must be a search such as GridSearchCV, got {search!r}")
        check_is_fitted(search, "cv_results_")
        candidates = {name_of(params, search.estimator): params for params in search.cv_results_["params"]}
        fitted = {
            name: clone(search.estimator).set_params(**clone(params, safe=False)).fit(X, y, **fit_params)
            for name, params in candidates.items()
        }
        return cls.from_estimator(fitted, x=x, axes=axes)

    def plot(self, *, x="epoch", axes=None):
        """Draw the curves, with parameters as in :meth:`from_estimator`.

        Parameters
        ----------
        x : {"epoch", "step"}, default="epoch"
        axes : sequence of matplotlib Axes, default=None

        Returns
        -------
        self : TrainingCurveDisplay
        """
        check_plot(type(self), x, axes)
        labels = self._labels()
        self.axes_ = self._new_axes(len(labels)) if axes is None else np.ravel(axes)
        if len(self.axes_) != len(labels):
            raise ValueError(f"axes must be {len(labels)}, for {list(labels)}, got {len(self.axes_)}")
        self.figure_, self.lines_ = self.axes_[0].figure, {}
        for (name, curve), color in zip(self.curves.items(), distinct_colors(len(self.curves)), strict=True):
            self._draw(name, curve, x, color, labels)
        for axis, label in zip(self.axes_, labels.values(), strict=True):
            axis.set(xlabel=X_AXES[x], ylabel=label)
            axis.grid(alpha=0.3)
            if x == "epoch":
                tick_integers(axis.xaxis)
        if len(self.curves) > 1:
            where = {} if axes is not None else {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
            handles = [self.lines_[name, "loss"] for name in self.curves]
            self.axes_[-1].legend(handles, list(self.curves), fontsize=8, **where)
        return self

    def _labels(self):
        """Return the axis label of each quantity to draw."""
        kinds = {curve.scoring for curve in self.curves.values() if curve.validation_score is not None}
        if not kinds:
            return {"loss": "loss"}
        of_kind = f" ({kinds.pop()})" if len(kinds) == 1 else ""
        return {"loss": "loss", "validation_score": f"validation score{of_kind}"}

    def _new_axes(self, n_axes):
        """Return axes of a new figure, with space for a legend if there are several curves."""
        plt = import_pyplot(type(self).__name__)
        width, height = 5 * n_axes, 3.5
        if len(self.curves) > 1:
            width += 0.5 + 0.075 * max(map(len, self.curves))
            height = max(height, 0.2 * len(self.curves))
        options = {"sharex": True, "squeeze": False, "figsize": (width, height), "layout": "constrained"}
        return plt.subplots(1, n_axes, **options)[1].ravel()

    def _draw(self, name, curve, x, color, quantities):
        """Draw the curve of an estimator."""
        places = dict.fromkeys(quantities, np.arange(1, len(curve.loss) + 1))
        if x == "step":
            middles = curve.steps - (np.diff(curve.steps, prepend=0) - 1) / 2
            places = {"loss": middles, "validation_score": curve.steps}
            (self.lines_[name, "batch_losses"],) = self.axes_[0].plot(
                np.arange(1, len(curve.batch_losses) + 1),
                curve.batch_losses,
                color=color,
                alpha=0.3,
                linewidth=0.8,
            )
        for axis, quantity in zip(self.axes_, quantities, strict=True):
            values = getattr(curve, quantity)
            if values is not None:
                marker = "o" if len(values) == 1 else ""  # a line of one point is invisible
                (self.lines_[name, quantity],) = axis.plot(
                    places[quantity], values, marker=marker, color=color, label=name
                )


def name_of(params: dict, estimator) -> str:
    """Return the name of a candidate of a search: its parameters, without the prefix of a Pipeline step."""
    prefix = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
    shown = {name.removeprefix(prefix): " ".join(str(value).split()) for name, value in params.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def check_plot(display: type, x, axes) -> None:
    """Raise an ImportError without matplotlib, a ValueError for ``x`` or a TypeError for ``axes``."""
    import_pyplot(display.__name__)
    if not isinstance(x, str) or x not in X_AXES:
        raise ValueError(f"x must be one of {list(X_AXES)}, got {x!r}")
    for axis in [] if axes is None else np.ravel(axes).tolist():
        check_drawable(axis, "Axes", "each of axes", optional=False)
