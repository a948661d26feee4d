"""A display of images with their predictions."""

from collections.abc import Mapping

import numpy as np

from skcnn.data.targets import check_numbers
from skcnn.inspection.plotting import (
    as_labels,
    check_count,
    check_drawable,
    draw_image,
    grid_of_axes,
    grid_shape,
    import_pyplot,
    is_sequence,
    kinds_of,
    limits_of,
)
from skcnn.pipelines import PipelineInput


class PredictionGridDisplay:
    """Images with what is predicted of them, the worst predictions first.

    Of labels, these are the most confident mistakes, which have red titles; the other images follow, the
    least confident first. Of numbers, these are the largest absolute errors.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    images : ndarray of shape (n, h, w, c)
        In drawing order.
    y_true, y_pred : ndarray of shape (n,)
        Labels, or numbers.
    confidences : ndarray of shape (n,) or None
        Probabilities of the predicted labels; with a hinge loss, their scores minus the second largest. None
        for numbers.
    indices : ndarray of shape (n,)
        Indices of the images in X.
    class_names : dict, default=None
        Text for each label. None: the labels themselves.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes of shape (n_images,)
    images_ : list of matplotlib AxesImage

    Examples
    --------
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.inspection import PredictionGridDisplay
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    >>> display = PredictionGridDisplay.from_estimator(clf, X, y, n_images=9)
    >>> len(display.axes_)
    9
    """

    def __init__(self, images, y_true, y_pred, confidences, indices, class_names=None):
        self.images = images
        self.y_true = y_true
        self.y_pred = y_pred
        self.confidences = confidences
        self.indices = indices
        self.class_names = class_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        n_images=25,
        n_columns=None,
        class_names=None,
        image_shape=None,
        data_format=None,
        fig=None,
    ):
        """Predict the labels of images, or numbers, and draw them.

        Parameters
        ----------
        estimator : ConvNetClassifier, ConvNetRegressor, Pipeline that ends with one, or a search over such
            Fitted, to predict one label or one number for each image.
        X : array-like of shape (n_samples, ...)
            Images, as the estimator takes them.
        y : array-like of shape (n_samples,)
            True labels or numbers.
        n_images : int, default=25
            Largest number of images to draw.
        n_columns : int, default=None
            Number of images in a row. None: the grid is as square as possible.
        class_names : dict or sequence of str, default=None
            Text for each label; a sequence is in the order of ``classes_``. None: the labels themselves.
            For numbers, it must be None.
        image_shape : tuple of int, default=None
            Stored shape of one image of X, as for :func:`saliency_maps`.
        data_format : {"channels_last", "channels_first"}, default=None
            Layout of the images of X, as for :func:`saliency_maps`.
        fig : matplotlib Figure, default=None
            Where to draw. None: in a new figure.

        Returns
        -------
        display : PredictionGridDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator or ``fig`` is of another kind, or X is sparse.
        ValueError
            If X and y differ in length, labels are missing or not of the type of the classes, numbers are not
            finite, ``n_images`` is not positive, ``class_names`` do not match the classes, or X does not fit
            ``image_shape`` or needs ``data_format``.
        """
        import_pyplot(cls.__name__)
        check_count(n_images, "n_images")
        check_drawable(fig, "Figure", "fig")
        pipeline_input = PipelineInput(estimator, X, image_shape=image_shape, data_format=data_format)
        model, n_samples = pipeline_input.model, len(pipeline_input.network_input)
        confidences = None
        if model.loss.kind == "classes":
            y = labels_like(model.classes, y, n_samples)
            class_names = names_by_label(class_names, model.classes, y)
            codes, confidences = confident_predictions(estimator)(X)
            y_pred = model.classes[codes]
            is_right = y_pred == y
            order = np.lexsort([np.where(is_right, confidences, -confidences), is_right])[:n_images]
            confidences = confidences[order]
        elif model.loss.kind == "numbers" and len(model.classes) == 1:
            if class_names is not None:
                raise ValueError(f"class_names must be None for predicted numbers, got {class_names!r}")
            numbers = check_numbers(y, n_samples)
            if numbers.shape[1] > 1:
                raise ValueError(f"y must hold one number for each image, got shape {numbers.shape}")
            y = numbers[:, 0]
            y_pred = estimator.predict(X)
            order = np.argsort(-np.abs(y_pred - y), kind="stable")[:n_images]
        else:
            raise TypeError("estimator must predict one label or one number for each image")
        images = pipeline_input.as_images(pipeline_input.X)[order]
        display = cls(images, y[order], y_pred[order], confidences, order, class_names)
        return display.plot(n_columns=n_columns, fig=fig)

    def plot(self, *, n_columns=None, fig=None):
        """Draw the images, with parameters as in :meth:`from_estimator`.

        Parameters
        ----------
        n_columns : int, default=None
        fig : matplotlib Figure, default=None

        Returns
        -------
        self : PredictionGridDisplay
        """
        plt = import_pyplot(type(self).__name__)
        check_drawable(fig, "Figure", "fig")
        names = self.class_names or {}
        if fig is None:
            n_rows, n_columns = grid_shape(len(self.images), n_columns)
            fig = plt.figure(figsize=(1.5 * n_columns, 1.5 * n_rows), layout="constrained")
        self.figure_, self.axes_ = fig, grid_of_axes(fig, len(self.images), n_columns)
        limits = limits_of(self.images)
        self.images_ = [
            draw_image(axis, image, limits) for axis, image in zip(self.axes_, self.images, strict=True)
        ]
        for number, (axis, true, predicted) in enumerate(
            zip(self.axes_, self.y_true, self.y_pred, strict=True)
        ):
            if self.confidences is None:
                axis.set_title(f"{predicted:.3g}, not {true:.3g}", fontsize=8)
                continue
            title = f"{names.get(predicted, predicted)} {self.confidences[number]:.2f}"
            if true != predicted:
                title += f"\nnot {names.get(true, true)}"
            axis.set_title(title, fontsize=8, color="black" if true == predicted else "firebrick")
        return self


def labels_like(classes: np.ndarray, y, n_samples: int) -> np.ndarray:
    """Return true labels as a vector; raise a ValueError unless they are of the type of the classes."""
    labels = as_labels(y, n_samples)
    if kinds_of(labels) != kinds_of(classes):
        raise ValueError(f"y must hold labels like the classes {classes.tolist()}, got {kinds_of(labels)[0]}")
    return labels


def names_by_label(class_names, classes: np.ndarray, y: np.ndarray) -> dict:
    """Return a dict of the text for each label; ``class_names`` may be a dict, a sequence or None.

    Examples
    --------
    >>> names_by_label(["T-shirt", "dress"], np.array([0, 3]), np.array([3]))
    {0: 'T-shirt', 3: 'dress'}
    """
    if class_names is None:
        return {}
    if isinstance(class_names, Mapping):
        labels = [*classes.tolist(), *np.unique(y).tolist()]
        unknown = [label for label in class_names if label not in labels]
        if unknown:
            raise ValueError(f"class_names must be for labels among {labels[: len(classes)]}, got {unknown}")
        return dict(class_names)
    if not is_sequence(class_names) or len(class_names) != len(classes):
        raise ValueError(
            f"class_names must be a dict, or a name for each of {len(classes)} classes, got {class_names!r}"
        )
    return dict(zip(classes.tolist(), class_names, strict=True))


def confident_predictions(estimator):
    """Return a function of X that returns the predicted classes, as codes, and the confidences."""

    def by_probability(X):
        probabilities = estimator.predict_proba(X)
        return probabilities.argmax(axis=1), probabilities.max(axis=1)

    def by_score(X):
        scores = estimator.decision_function(X)
        if scores.ndim == 1:
            return (scores > 0).astype(int), np.abs(scores)
        *_, second, first = np.sort(scores, axis=1).T
        return scores.argmax(axis=1), first - second

    return by_probability if hasattr(estimator, "predict_proba") else by_score
