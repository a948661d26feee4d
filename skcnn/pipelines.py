"""The way of images through a pipeline to its network, and of explanations back."""

from dataclasses import replace
from functools import cached_property
from math import prod

import numpy as np
from scipy.sparse import issparse
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcnn.classifier import ConvNetClassifier
from skcnn.data.images import ImageFormat, check_image_layout, resolve_image_shape
from skcnn.estimator import check_images
from skcnn.stages import Stage, has_columns, in_container_of


def unwrapped(estimator) -> tuple[list, ConvNetClassifier]:
    """Return the transformers in front of a fitted network, with their names, and the network's estimator.

    Parameters
    ----------
    estimator : ConvNetClassifier, Pipeline that ends with one, or a search over such
        Fitted. Whether transformers are is left to them to find out.

    Returns
    -------
    transformers : list of (str, estimator)
        Without those of "passthrough"; of a Pipeline among them, its steps.
    classifier : ConvNetClassifier

    Raises
    ------
    TypeError
        If the estimator is another one.
    NotFittedError
        If the search or the network is not fitted.

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
    check_network(estimator)
    if isinstance(estimator, ConvNetClassifier):
        check_is_fitted(estimator, "network_")
        return [], estimator
    if isinstance(estimator, Pipeline):
        *steps, (_, last) = estimator.steps
        inner, classifier = unwrapped(last)
        return [*transformers_of(steps), *inner], classifier
    if isinstance(estimator, FrozenEstimator):
        return unwrapped(estimator.estimator)
    check_is_fitted(estimator, "best_estimator_")
    return unwrapped(estimator.best_estimator_)


def check_network(estimator) -> None:
    """Raise a TypeError unless an estimator, fitted or not, is or may become what :func:`unwrapped` takes."""
    inside = estimator
    while isinstance(inside, Pipeline | FrozenEstimator):
        inside = inside.steps[-1][1] if isinstance(inside, Pipeline) else inside.estimator
    is_search = hasattr(inside, "param_grid") or hasattr(inside, "param_distributions")
    if not is_search and not isinstance(inside, ConvNetClassifier):
        raise TypeError(
            "estimator must be a ConvNetClassifier, a Pipeline that ends with one or a search over these, "
            f"got {estimator!r}"
        )


def transformers_of(steps: list) -> list:
    """Return the transformers of a pipeline's steps with their names, of inner pipelines one by one."""
    found = []
    for name, transformer in steps:
        if transformer is None or transformer == "passthrough":
            continue
        if isinstance(transformer, Pipeline):
            found += [(f"{name}__{inner}", step) for inner, step in transformers_of(transformer.steps)]
        else:
            found.append((name, transformer))
    return found


def is_close(result: np.ndarray, other: np.ndarray) -> bool:
    """Return whether arrays are the same but for rounding."""
    return result.shape == other.shape and np.allclose(result, other, equal_nan=True)


class Route:
    """Images in the input space of an estimator, and what the steps in front of its network make of them.

    Parameters
    ----------
    estimator : ConvNetClassifier, Pipeline that ends with one, or a search over such
        Fitted.
    X : array-like of shape (n, ...), DataFrame or sparse array
        Images, as the estimator takes them.
    image_shape : tuple of int, default=None
        Stored shape of one image of X. None: that of X itself; rows have the shape of the images of the
        network where these have as many values.
    data_format : {"channels_last", "channels_first"}, default=None
        Layout of the images of X. None: that of the network where the steps leave every value in its place,
        else the one with 1, 3 or as many channels as the images of the network.

    Attributes
    ----------
    classifier : ConvNetClassifier
    stages : list of Stage
    inner : ndarray of shape (n, ...)
        What reaches the classifier.

    Raises
    ------
    ValueError
        If ``image_shape`` or ``data_format`` is invalid, or the classifier does not take what reaches it.
    """

    def __init__(self, estimator, X, *, image_shape=None, data_format=None):
        if image_shape is not None and np.shape(image_shape) not in ((2,), (3,)):
            raise ValueError(
                f"image_shape must be None or two or three positive integers, got {image_shape!r}"
            )
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                f"data_format must be None, 'channels_last' or 'channels_first', got {data_format!r}"
            )
        self._stored = {"image_shape": image_shape, "data_format": data_format}
        self._estimator = estimator
        transformers, self.classifier = unwrapped(estimator)
        self._given = reached = X
        self.stages = []
        for name, transformer in transformers:
            before, reached = reached, transformer.transform(reached)
            self.stages.append(Stage(name, transformer, before))
        self.inner = check_images(self.classifier, reached)
        check_image_layout(self.inner.shape, self.classifier.model_.format, estimator=self.classifier)

    @classmethod
    def of_one(cls, estimator, X, *, image_shape=None, data_format=None) -> "Route":
        """Return the route of one image, or of a batch of one.

        Raises
        ------
        ValueError
            If X holds several images.
        """
        stored = {"image_shape": image_shape, "data_format": data_format}
        layouts = unwrapped(estimator)[1].model_.format.layouts
        if np.ndim(image_shape) == 1:
            layouts = [(prod(image_shape),), tuple(image_shape)]
        shape = np.shape(X)
        is_image = shape in layouts and len(shape) != 2  # a row of pixels is the same as a flat image
        if len(shape) > 1 and shape[0] == 1 and not is_image:
            return cls(estimator, X, **stored)
        if has_columns(X) or issparse(X) or (shape not in layouts and shape[1:] in layouts):
            raise ValueError(f"X must be one image, got {shape[0]} of them, an array of shape {shape}")
        return cls(estimator, np.asarray(X)[np.newaxis], **stored)

    def at(self, X: np.ndarray) -> "Route":
        """Return the route of other images in the layout of X."""
        return Route(self._estimator, in_container_of(self._given, X), **self._stored)

    def in_real_numbers(self) -> "Route":
        """Return the route of the same images in float64, where they are integers.

        Raises
        ------
        ValueError
            If a step makes something else of them then; the message names it.
        """
        if self.X.dtype.kind == "f":
            return self
        route = self.at(self.X.astype(np.float64))
        if is_close(self.inner, route.inner):
            return route
        results = [stage.X for stage in self.stages[1:]] + [self.inner]
        real_results = [stage.X for stage in route.stages[1:]] + [route.inner]
        compared = zip(self.stages, results, real_results, strict=True)
        stage = next(stage for stage, result, real in compared if not is_close(result, real))
        raise ValueError(
            f"{stage} makes something else of {self.X.dtype} than of the same values in float64, which small "
            "changes need"
        )

    @cached_property
    def X(self):  # noqa: N802, the field's name for arrays
        """The images as an array of shape (n, ...)."""
        return self.stages[0].X if self.stages else self.inner

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image of X."""
        return self.image_format.image_shape

    @cached_property
    def image_format(self) -> ImageFormat:
        """How the images of X are stored.

        Raises
        ------
        ValueError
            If X does not fit ``image_shape``, or nothing says where the channels of its rows are.
        """
        given, format = self._stored["image_shape"], self.classifier.model_.format
        channels_first = self._channels_first()
        format = replace(format, channels_first=bool(channels_first))
        if given is not None or self.X.shape[1:] not in format.layouts:
            shape = resolve_image_shape(self.X.shape, given, channels_first=format.channels_first)
            format = replace(format, image_shape=shape)
        if channels_first is None and format.image_shape[-1] > 1:
            raise ValueError(
                "the steps in front of the network do not say whether the channels of the rows of X come "
                "first or last: give data_format='channels_first' or data_format='channels_last'"
            )
        return format

    def _channels_first(self):
        """Return whether the channels of stored images come first; None if nothing says so."""
        format, data_format = self.classifier.model_.format, self._stored["data_format"]
        if data_format is not None:
            return data_format == "channels_first"
        if self.X.shape[1:] in format.layouts and (format.image_shape[-1] == 1 or self._values_stay()):
            return format.channels_first
        given = self._stored["image_shape"]
        stored = self.X.shape[1:] if given is None else given
        if len(stored) == 3:
            likely = {1, 3, format.image_shape[-1]}
            first, last = stored[0] in likely, stored[-1] in likely
            return first if first != last else format.channels_first
        return None

    def _values_stay(self):
        """Return whether all steps are known to leave every value in its place."""
        try:
            return all(stage.changes_values_apart(stage.X[0]) for stage in self.stages)
        except Exception:  # of a step that takes no such values, or gives sparse results
            return False

    def as_images(self, values: np.ndarray) -> np.ndarray:
        """Return values in the layout of X, such as X itself, as images of shape (n, h, w, c)."""
        images = values.reshape(-1, *self.image_format.stored_shape)
        return images.transpose(0, 2, 3, 1) if self.image_format.channels_first else images

    def inverted(self, inner: np.ndarray) -> np.ndarray:
        """Return the images of the input space that the steps make these of.

        Raises
        ------
        ValueError
            If a step cannot be inverted; the message names it.
        """
        for stage in reversed(self.stages):
            inner = stage.inverted(inner)
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
            If a step has no derivatives; the message names it.
        """
        for stage in reversed(self.stages):
            gradient = stage.gradient_back(gradient)
        return gradient

    def check_pixels_stay(self) -> None:
        """Raise a ValueError unless the pixels of X are, one after the other, those that the network takes.

        Each step must change each value by itself, or the message names it; it may reshape images.
        """
        for stage in self.stages:
            if not stage.changes_values_apart(stage.X[0]):
                raise ValueError(
                    f"{stage} does more than change each value by itself: a map of the network's pixels is "
                    "none of the pixels in front of it"
                )
        format, inner = self.image_format, self.classifier.model_.format
        channels = format.image_shape[-1]
        is_same_order = channels == 1 or format.channels_first == inner.channels_first
        if channels != inner.image_shape[-1] or not is_same_order:
            raise ValueError(
                f"the pixels of images stored as {inner.stored_shape}, which the network takes, are not "
                f"those of the images of X, stored as {format.stored_shape}"
            )
