"""Curves of losses and scores in the course of training."""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from skcnn.inspection.plotting import import_pyplot
from skcnn.routes import unwrapped

X_AXES = {"epoch": "epoch", "step": "minibatch"}


class Curve(NamedTuple):
    """What an estimator recorded in training.

    Attributes
    ----------
    steps : ndarray of shape (n_epochs,)
        Minibatches since the start of training at the end of each epoch.
    loss : ndarray of shape (n_epochs,)
    batch_losses : ndarray of shape (n_steps,)
    validation_score : ndarray of shape (n_epochs,), or None
    """

    steps: np.ndarray
    loss: np.ndarray
    batch_losses: np.ndarray
    validation_score: np.ndarray | None


def curve_of(estimator) -> Curve:
    """Return the curve of a fitted ConvNetClassifier, Pipeline or search; see :func:`unwrapped`."""
    _, classifier = unwrapped(estimator)
    records = classifier.history_
    scores = [record.get("validation_score", np.nan) for record in records]
    return Curve(
        np.array([record["step"] for record in records]),
        np.array([record["loss"] for record in records]),
        np.array(classifier.batch_losses_),
        None if np.isnan(scores).all() else np.array(scores),
    )


class TrainingCurveDisplay:
    """Loss, and validation score if there is one, in the course of training.

    Make it with :meth:`from_estimator` or :meth:`from_search`.

    Parameters
    ----------
    curves : dict of str to Curve
        By the names of the legend.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes
        One for losses and, if there are validation scores, one for these.
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
        """Draw the curves of fitted estimators.

        Parameters
        ----------
        estimator : estimator, or dict of str to estimator
            Fitted: a ConvNetClassifier, a Pipeline that ends with one or a search over these, of which the
            best is drawn; or several by their names.
        x : {"epoch", "step"}, default="epoch"
            What to draw over. Steps show the loss of each minibatch, too.
        axes : sequence of matplotlib Axes, default=None
            For the losses and, if there are any, the validation scores. None: in a new figure.

        Returns
        -------
        display : TrainingCurveDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        NotFittedError
            If an estimator is not fitted.
        TypeError
            If an estimator is another one.
        ValueError
            If ``x`` is another value, or the number of axes is not that of the quantities.
        """
        named = estimator if isinstance(estimator, dict) else {type(estimator).__name__: estimator}
        return cls({str(name): curve_of(one) for name, one in named.items()}).plot(x=x, axes=axes)

    @classmethod
    def from_search(cls, search, X, y, *, x="epoch", axes=None):
        """Train every candidate of a search on samples, for searches keep none, and draw the curves.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or the like
            Fitted, over a ConvNetClassifier or a Pipeline that ends with one.
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,)
        x, axes
            As in :meth:`from_estimator`, where the errors are, too.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        if not hasattr(search, "cv_results_"):
            raise TypeError(f"search must be a fitted search such as GridSearchCV, got {search!r}")
        candidates = {
            ", ".join(f"{name}={value}" for name, value in params.items()): params
            for params in search.cv_results_["params"]
        }
        fitted = {
            name: clone(search.estimator).set_params(**clone(params, safe=False)).fit(X, y)
            for name, params in candidates.items()
        }
        return cls.from_estimator(fitted, x=x, axes=axes)

    def plot(self, *, x="epoch", axes=None):
        """Draw the curves; see :meth:`from_estimator`.

        Parameters
        ----------
        x : {"epoch", "step"}, default="epoch"
        axes : sequence of matplotlib Axes, default=None

        Returns
        -------
        self : TrainingCurveDisplay
        """
        if x not in X_AXES:
            raise ValueError(f"x must be one of {list(X_AXES)}, got {x!r}")
        plt = import_pyplot(type(self).__name__)
        quantities = ["loss"]
        if any(curve.validation_score is not None for curve in self.curves.values()):
            quantities.append("validation_score")
        if axes is None:
            size = (5 * len(quantities), 3.5)
            _, axes = plt.subplots(1, len(quantities), figsize=size, layout="constrained", squeeze=False)
        self.axes_ = np.ravel(axes)
        if len(self.axes_) != len(quantities):
            raise ValueError(f"axes must be {len(quantities)}, for {quantities}, got {len(self.axes_)}")
        self.figure_ = self.axes_[0].figure
        self.lines_ = {}
        for number, (name, curve) in enumerate(self.curves.items()):
            self._draw(name, curve, x, f"C{number % 10}", quantities)
        for axis, quantity in zip(self.axes_, quantities, strict=True):
            axis.set(xlabel=X_AXES[x], ylabel=quantity.replace("_", " "))
            axis.grid(alpha=0.3)
        if len(self.curves) > 1:
            self.axes_[0].legend()
        return self

    def _draw(self, name, curve, x, color, quantities):
        """Draw the curve of an estimator."""
        places = curve.steps if x == "step" else np.arange(1, len(curve.loss) + 1)
        if x == "step":
            steps = np.arange(1, len(curve.batch_losses) + 1)
            (line,) = self.axes_[0].plot(steps, curve.batch_losses, color=color, alpha=0.3, linewidth=0.8)
            self.lines_[name, "batch_losses"] = line
        for axis, quantity in zip(self.axes_, quantities, strict=True):
            values = getattr(curve, quantity)
            if values is not None:
                marker = "o" if len(values) == 1 else ""  # a line of one point cannot be seen
                (self.lines_[name, quantity],) = axis.plot(
                    places, values, marker=marker, color=color, label=name
                )
