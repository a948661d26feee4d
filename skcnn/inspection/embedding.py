"""A display of samples in the feature space of a layer."""

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA

from skcnn.inspection.plotting import as_labels, check_drawable, distinct_colors, import_pyplot
from skcnn.pipelines import layer_features

LEGEND_ROWS = 20
"""Largest number of labels in a column of the legend."""


class EmbeddingDisplay:
    """Samples as points: the features of a layer, projected to two dimensions, coloured by label.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, 2)
    labels : ndarray of shape (n_samples,) or None
        None: all points have one colour.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
    scatters_ : dict of label to matplotlib PathCollection
        Without labels, all points under None.

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.inspection import EmbeddingDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    >>> EmbeddingDisplay.from_estimator(clf, X, y).embedding.shape
    (1797, 2)
    """

    def __init__(self, embedding, labels=None):
        self.embedding = embedding
        self.labels = labels

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, layer=None, reducer=None, ax=None):
        """Compute the features of a layer, project and draw them.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor, Pipeline that ends with one, or a search over such
            Fitted.
        X : array-like of shape (n_samples, ...)
            Images, as the estimator takes them.
        y : array-like of shape (n_samples,), default=None
            Labels, for the colours.
        layer : str, default=None
            Name of the layer. None: the layer before the output layer.
        reducer : transformer, default=None
            Projects the features to two dimensions, such as ``sklearn.manifold.TSNE()``; ``fit_transform`` of
            a clone is called. None: the first two principal components.
        ax : matplotlib Axes, default=None
            Where to draw. None: in a new figure.

        Returns
        -------
        display : EmbeddingDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator, the reducer or ``ax`` is of another kind.
        ValueError
            If the layer does not exist, y has another length, missing labels or labels of several types,
            there are fewer than two images or features, or the reducer does not give two dimensions.
        """
        import_pyplot(cls.__name__)
        check_drawable(ax, "Axes", "ax")
        check_reducer(reducer)
        features = layer_features(estimator, layer, X)
        labels = None if y is None else as_labels(y, len(features))
        if min(features.shape) < 2:
            raise ValueError(
                "X must hold at least two images, and layer must give at least two features, got features of "
                f"shape {features.shape}"
            )
        reducer = PCA(2, random_state=0) if reducer is None else clone(reducer)
        embedding = np.asarray(reducer.fit_transform(features))
        if embedding.shape != (len(features), 2):
            raise ValueError(f"reducer must give two dimensions, got shape {embedding.shape} of {reducer!r}")
        return cls(embedding, labels).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the points, with parameters as in :meth:`from_estimator`.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : EmbeddingDisplay
        """
        plt = import_pyplot(type(self).__name__)
        check_drawable(ax, "Axes", "ax")
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.figure_, self.ax_, self.scatters_ = ax.figure, ax, {}
        if self.labels is None:
            self.scatters_[None] = ax.scatter(*self.embedding.T, s=6, alpha=0.6)
        elif self.labels.dtype.kind == "f" and len(np.unique(self.labels)) > LEGEND_ROWS:
            points = ax.scatter(*self.embedding.T, s=6, alpha=0.6, c=self.labels)
            self.scatters_[None] = points
            self.figure_.colorbar(points, ax=ax)
        else:
            labels = np.unique(self.labels)
            for label, color in zip(labels, distinct_colors(len(labels)), strict=True):
                points = self.embedding[self.labels == label]
                self.scatters_[label] = ax.scatter(*points.T, s=6, alpha=0.6, color=color, label=label)
            n_columns = -(-len(labels) // LEGEND_ROWS)
            ax.legend(markerscale=2, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), ncols=n_columns)
        ax.set(xticks=[], yticks=[])
        return self


def check_reducer(reducer) -> None:
    """Raise a TypeError unless a reducer is None or an estimator with ``fit_transform``."""
    is_estimator = not isinstance(reducer, type) and hasattr(reducer, "get_params")
    if reducer is not None and not (is_estimator and hasattr(reducer, "fit_transform")):
        raise TypeError(f"reducer must be a transformer such as TSNE(), with fit_transform, got {reducer!r}")
