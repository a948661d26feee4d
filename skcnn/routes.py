"""The way of images through a pipeline to its network, and of explanations back."""

from typing import NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcnn.batches import as_image_array, resolve_image_shape
from skcnn.classifier import ConvNetClassifier

BLOCK_VALUES = 4_000_000
"""Numbers of the images that a step transforms at a time while its derivatives are taken."""


class Stage(NamedTuple):
    """A step in front of the network, and what goes into it.

    Attributes
    ----------
    name : str
    transformer : estimator
        Fitted.
    X : ndarray of shape (n, ...)
        Its input.
    """

    name: str
    transformer: object
    X: np.ndarray


def unwrapped(estimator) -> tuple[list, ConvNetClassifier]:
    """Return the fitted transformers in front of a network, with their names, and the network's estimator.

    Parameters
    ----------
    estimator : ConvNetClassifier, Pipeline that ends with one, or a search over such
        Fitted.

    Returns
    -------
    transformers : list of (str, estimator)
        Those of "passthrough" are left out.
    classifier : ConvNetClassifier

    Raises
    ------
    TypeError
        If the estimator is another one.
    NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from skcnn import ConvNetClassifier
    >>> pipeline = make_pipeline(MinMaxScaler(), ConvNetClassifier(max_iter=1)).fit(np.eye(16), [0, 1] * 8)
    >>> unwrapped(pipeline)[0]
    [('minmaxscaler', MinMaxScaler())]
    """
    if isinstance(estimator, ConvNetClassifier):
        check_is_fitted(estimator, "network_")
        return [], estimator
    if isinstance(estimator, Pipeline):
        *steps, (_, last) = estimator.steps
        inner, classifier = unwrapped(last)
        transformers = [(name, step) for name, step in steps if step is not None and step != "passthrough"]
        for _, transformer in transformers:
            check_is_fitted(transformer)
        return [*transformers, *inner], classifier
    if isinstance(estimator, FrozenEstimator):
        return unwrapped(estimator.estimator)
    if hasattr(estimator, "param_grid") or hasattr(estimator, "param_distributions"):
        check_is_fitted(estimator, "best_estimator_")
        return unwrapped(estimator.best_estimator_)
    raise TypeError(
        "estimator must be a ConvNetClassifier, a Pipeline that ends with one or a search over these, got "
        f"{estimator!r}"
    )


class Route:
    """Images in the input space of an estimator, and what the steps in front of its network make of them.

    Parameters
    ----------
    estimator : ConvNetClassifier, Pipeline that ends with one, or a search over such
        Fitted.
    X : array-like of shape (n, ...)
        Images, as the estimator takes them.

    Attributes
    ----------
    classifier : ConvNetClassifier
    X : ndarray of shape (n, ...)
        The images.
    stages : list of Stage
    inner : ndarray of shape (n, ...)
        What reaches the classifier.
    image_shape : (height, width, channels)
        Shape of an image of X.
    """

    def __init__(self, estimator, X):
        self.transformers, self.classifier = unwrapped(estimator)
        self.X = as_image_array(X, estimator=self.classifier)
        self.stages, self.inner = [], self.X
        for name, transformer in self.transformers:
            self.stages.append(Stage(name, transformer, self.inner))
            self.inner = as_image_array(transformer.transform(self.inner), estimator=self.classifier)
        self.inner = self.classifier._check_images(self.inner, reset=False)
        self.image_shape = self._shape_of_images()

    @classmethod
    def of_one(cls, estimator, X) -> "Route":
        """Return the route of one image, or of a batch of one.

        Raises
        ------
        ValueError
            If X holds several images.
        """
        X = np.asarray(X)
        return cls(estimator, X if X.ndim > 1 and len(X) == 1 else X[np.newaxis])

    def _shape_of_images(self):
        """Return the shape of an image: that of the network if X has its layout, else by the shape of X."""
        format = self.classifier._image_format
        if self.X.shape[1:] in format.layouts:
            return format.image_shape
        return resolve_image_shape(self.X.shape, None, channels_first=format.channels_first)

    def as_images(self, values: np.ndarray) -> np.ndarray:
        """Return values in the layout of X, such as X itself, as images of shape (n, h, w, c)."""
        height, width, channels = self.image_shape
        if self.classifier._image_format.channels_first:
            return values.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return values.reshape(-1, height, width, channels)

    def transformed(self, X: np.ndarray) -> np.ndarray:
        """Return what reaches the classifier of other images in the layout of X."""
        for _, transformer in self.transformers:
            X = transformer.transform(X)
        return np.asarray(X)

    def inverted(self, inner: np.ndarray) -> np.ndarray:
        """Return the images of the input space that the steps make these of.

        Raises
        ------
        ValueError
            If a step cannot be inverted; the message names it.
        """
        for stage in reversed(self.stages):
            self._check_invertible(stage)
            inner = np.asarray(stage.transformer.inverse_transform(inner))
        return inner.reshape(len(inner), *self.X.shape[1:])

    def gradient_back(self, gradient: np.ndarray) -> np.ndarray:
        """Return a gradient with respect to ``inner`` as one with respect to ``X``, by the chain rule.

        Parameters
        ----------
        gradient : ndarray of the shape of ``inner``

        Returns
        -------
        gradient : ndarray of the shape of ``X``

        Raises
        ------
        ValueError
            If a step cannot be inverted or has no derivatives; the message names it.
        """
        for stage in reversed(self.stages):
            self._check_invertible(stage)
            gradient = derivative_back(stage, gradient)
        return gradient

    def check_pixels_stay(self) -> None:
        """Raise a ValueError if a step does more than change each value by itself; the message names it."""
        rng = np.random.default_rng(0)
        for stage in self.stages:
            X = stage.X[:1]
            changed = rng.random(X.shape) < 0.5
            before = np.asarray(stage.transformer.transform(X))
            after = np.asarray(stage.transformer.transform(np.where(changed, X + small_steps(X), X)))
            if before.size != X.size or not np.array_equal((before != after).ravel(), changed.ravel()):
                raise ValueError(
                    f"step {stage.name!r}, {stage.transformer!r}, does more than change each "
                    "value by itself: a map of the network's pixels is none of the pixels in front of it"
                )

    @staticmethod
    def _check_invertible(stage):
        transformer = stage.transformer
        one_way = getattr(transformer, "func", None) is not None and transformer.inverse_func is None
        if one_way or not hasattr(transformer, "inverse_transform"):
            raise ValueError(
                f"step {stage.name!r}, {transformer!r}, cannot be inverted: there is no way back through it "
                "to the input of the pipeline"
            )


def small_steps(X: np.ndarray) -> np.ndarray:
    """Return steps for finite differences, in proportion to the values, of the cube root of the rounding."""
    return np.cbrt(np.finfo(X.dtype).eps) * np.maximum(1, np.abs(X))


def derivative_back(stage: Stage, gradient: np.ndarray) -> np.ndarray:
    """Return the gradient in front of a step from that behind it, by central differences in float64."""
    X = stage.X.astype(np.float64)
    n_values = X[0].size
    found = np.empty((len(X), n_values))
    n_rows = max(1, BLOCK_VALUES // n_values)
    for row, image in enumerate(X.reshape(len(X), -1)):
        steps = small_steps(image)
        for start in range(0, n_values, n_rows):
            values = np.arange(start, min(start + n_rows, n_values))
            moved = np.tile(image, (2, len(values), 1))
            moved[0, np.arange(len(values)), values] += steps[values]
            moved[1, np.arange(len(values)), values] -= steps[values]
            width = moved[0, np.arange(len(values)), values] - moved[1, np.arange(len(values)), values]
            behind = np.asarray(stage.transformer.transform(moved.reshape(-1, *X.shape[1:])))
            above, below = behind.reshape(2, len(values), -1)
            found[row, values] = (above - below) @ gradient[row].ravel() / width
    if gradient.any() and not found.any():
        raise ValueError(
            f"step {stage.name!r}, {stage.transformer!r}, does not pass on small changes of its input: the "
            "gradient ends there"
        )
    return found.reshape(X.shape)
