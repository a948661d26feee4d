"""The input of a pipeline, and the input of its network after the transformers."""

from dataclasses import replace
from functools import cached_property
from math import prod

import numpy as np
from scipy.sparse import issparse
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skcnn.data.arrays import as_image_array, check_images, stack_images
from skcnn.data.images import ImageFormat, check_image_shape, resolve_image_shape
from skcnn.estimator import BaseConvNet
from skcnn.kernels.backends import kernels_or_numpy
from skcnn.network.model import Model
from skcnn.network.named_nodes import penultimate_node, result_node


def unwrap(estimator) -> tuple[list, BaseConvNet]:
    """Return the transformers before a fitted network, with their names, and the network's estimator.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor, Pipeline that ends with one, or a search over such
        Fitted. Transformers are not checked.

    Returns
    -------
    transformers : list of (str, estimator)
        Without "passthrough"; an inner Pipeline is replaced by its steps.
    classifier : BaseConvNet

    Raises
    ------
    TypeError
        If the estimator is of another kind.
    NotFittedError
        If the search or the network is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from skcnn import ConvNetClassifier
    >>> pipeline = make_pipeline(MinMaxScaler(), ConvNetClassifier(max_iter=1)).fit(np.eye(16), [0, 1] * 8)
    >>> unwrap(pipeline)[0]
    [('minmaxscaler', MinMaxScaler())]
    """
    check_network(estimator)
    if isinstance(estimator, BaseConvNet):
        check_is_fitted(estimator, "model_")
        return [], estimator
    if isinstance(estimator, Pipeline):
        *steps, (_, last) = estimator.steps
        inner, classifier = unwrap(last)
        return [*transformers_of(steps), *inner], classifier
    if isinstance(estimator, FrozenEstimator):
        return unwrap(estimator.estimator)
    check_is_fitted(estimator, "best_estimator_")
    return unwrap(estimator.best_estimator_)


def check_network(estimator) -> None:
    """Raise a TypeError for an estimator that :func:`unwrap` would not accept even after ``fit``."""
    inside = estimator
    while isinstance(inside, Pipeline | FrozenEstimator):
        inside = inside.steps[-1][1] if isinstance(inside, Pipeline) else inside.estimator
    is_search = hasattr(inside, "param_grid") or hasattr(inside, "param_distributions")
    if not is_search and not isinstance(inside, BaseConvNet):
        raise TypeError(
            "estimator must be a ConvNetClassifier or ConvNetRegressor, a Pipeline that ends with one, or a "
            f"search over such, got {estimator!r}"
        )


def transformers_of(steps: list) -> list:
    """Return the transformers among a pipeline's steps by name, with the steps of inner pipelines."""
    found = []
    for name, transformer in steps:
        if transformer is None or transformer == "passthrough":
            continue
        if isinstance(transformer, Pipeline):
            found += [(f"{name}__{inner}", step) for inner, step in transformers_of(transformer.steps)]
        else:
            found.append((name, transformer))
    return found


def layer_features(estimator, layer: str | None, X) -> np.ndarray:
    """Return the outputs of a layer of a fitted network, flattened, shape (n_samples, n_features).

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor, Pipeline that ends with one, or a search over such
    layer : str or None
        None: the layer before the output layer.
    X : array-like of shape (n_samples, ...)
        Images, as the estimator takes them.
    """
    pipeline_input = PipelineInput(estimator, X)
    model, kernels = pipeline_input.model, kernels_or_numpy(pipeline_input.classifier.backend)
    features = model.results(pipeline_input.network_input, feature_node(model, layer), kernels)
    return features.reshape(len(features), -1)


def feature_node(model: Model, layer: str | None) -> int:
    """Return the node that computes the features of a layer; None is the layer before the output layer."""
    graph = model.graph
    return penultimate_node(graph) if layer is None else result_node(graph, layer)


class PipelineInput:
    """Images as an estimator takes them, and as its network gets them after the transformers.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor, Pipeline that ends with one, or a search over such
        Fitted.
    X : array-like of shape (n, ...), DataFrame or sparse array
        Images, as the estimator takes them.
    image_shape : tuple of int, default=None
        Stored shape of one image of X, as for :func:`stored_format`.
    data_format : {"channels_last", "channels_first"}, default=None
        Layout of the images of X, as for :func:`stored_format`.

    Attributes
    ----------
    transformers : list of (str, estimator)
    classifier : BaseConvNet
    model : Model
    network_input : ndarray of shape (n, ...)
        The images after the transformers.

    Raises
    ------
    ValueError
        If ``image_shape`` or ``data_format`` is invalid, or the transformers return no input for the network.
    """

    def __init__(self, estimator, X, *, image_shape=None, data_format=None):
        check_stored(image_shape, data_format)
        self.transformers, self.classifier = unwrap(estimator)
        self.model = self.classifier.model_
        self._given = X
        self._stored = image_shape, data_format
        self.network_input = self._transform(X)

    @classmethod
    def of_one(cls, estimator, X, *, image_shape=None, data_format=None) -> "PipelineInput":
        """Return a PipelineInput of one image, given alone or as a batch of one.

        Raises
        ------
        ValueError
            If X holds no or several images or is ragged, or ``image_shape`` or ``data_format`` is invalid.
        """
        check_stored(image_shape, data_format)
        stored = {"image_shape": image_shape, "data_format": data_format}
        layouts = unwrap(estimator)[1].model_.format.layouts
        if image_shape is not None:
            layouts = [(prod(image_shape),), tuple(image_shape)]
        X = X if has_columns(X) else stack_images(X)
        shape = np.shape(X)
        is_image = shape in layouts and len(shape) != 2  # an image of one row equals a flat image
        if len(shape) > 1 and shape[0] == 1 and not is_image:
            return cls(estimator, X, **stored)
        if has_columns(X) or issparse(X) or (shape not in layouts and shape[1:] in layouts):
            raise ValueError(f"X must be one image, got {shape[0]} of them, an array of shape {shape}")
        return cls(estimator, np.asarray(X)[np.newaxis], **stored)

    @cached_property
    def X(self):  # noqa: N802, the usual name of the input
        """The images as an array of shape (n, ...); before transformers, it may hold missing values.

        Raises
        ------
        TypeError
            If they are sparse.
        """
        if not self.transformers:
            return self.network_input
        return np.asarray(as_image_array(self._given, estimator=self.transformers[0][1], allow_nan=True))

    @cached_property
    def image_format(self) -> ImageFormat:
        """The format of the images of X.

        Raises
        ------
        ValueError
            If X does not fit ``image_shape``, or its rows hold colour images without ``data_format``.
        """
        if not self.transformers and self._stored == (None, None):
            return self.model.format
        return stored_format(self.X.shape, self.model.format, *self._stored)

    def as_images(self, values: np.ndarray) -> np.ndarray:
        """Return values in the layout of X, such as X itself, as images of shape (n, h, w, c)."""
        images = values.reshape(-1, *self.image_format.stored_shape)
        return images.transpose(0, 2, 3, 1) if self.image_format.channels_first else images

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Return other images in the layout of X after the transformers."""
        if has_columns(self._given):
            names = self._given.columns
            is_row = images[0].size == len(names)
            columns = images.reshape(len(images), -1).T if is_row else [list(images)]
            images = type(self._given)(dict(zip(names, columns, strict=True)))
        return self._transform(images)

    def invert(self, network_input: np.ndarray) -> np.ndarray:
        """Invert the transformers: return images in the layout of X.

        Raises
        ------
        ValueError
            If a transformer cannot be inverted; the message names it.
        """
        for name, transformer in reversed(self.transformers):
            has_func = getattr(transformer, "func", None) is not None  # a FunctionTransformer
            has_no_inverse = has_func and getattr(transformer, "inverse_func", transformer) is None
            if has_no_inverse or not hasattr(transformer, "inverse_transform"):
                shown = " ".join(repr(transformer).split())
                raise ValueError(
                    f"step {name!r}, {shown}, cannot be inverted, so the mean image before it is unknown: "
                    "give baseline"
                )
            network_input = np.asarray(transformer.inverse_transform(network_input))
        return network_input.reshape(len(network_input), *self.X.shape[1:])

    def _transform(self, X):
        """Return images after the transformers, as input of the network."""
        for _, transformer in self.transformers:
            X = transformer.transform(X)
        return np.asarray(check_images(self.classifier, X, format=self.model.format))


def check_stored(image_shape, data_format) -> None:
    """Raise a ValueError unless ``image_shape`` and ``data_format`` are valid or None."""
    check_image_shape(image_shape)
    if data_format is not None and not (
        isinstance(data_format, str) and data_format in ("channels_last", "channels_first")
    ):
        raise ValueError(
            f"data_format must be None, 'channels_last' or 'channels_first', got {data_format!r}"
        )


def has_columns(X) -> bool:
    """Return whether X is a DataFrame; transformers may select its columns by name."""
    return hasattr(X, "columns")


def stored_format(shape: tuple[int, ...], format: ImageFormat, image_shape, data_format) -> ImageFormat:
    """Return the format of images before the transformers of a network.

    Parameters
    ----------
    shape : tuple of int
        Shape of X.
    format : ImageFormat
        Format of the network.
    image_shape : tuple of int or None
        Stored shape of one image. None: the shape of X without its first axis. Rows with as many values as an
        image of the network have its shape; for other rows, the shape is guessed as in ``fit``.
    data_format : {"channels_last", "channels_first"} or None
        None: if only the first or only the last of three axes has a length of 1, 3 or the number of channels
        of the network, it is the channel axis; else the layout is that of the network.

    Raises
    ------
    ValueError
        If X does not fit ``image_shape``, or its rows hold colour images without ``data_format``.

    Examples
    --------
    >>> format = ImageFormat((32, 32, 3), False, np.dtype("float32"))
    >>> stored_format((100, 3, 32, 32), format, None, None).channels_first
    True
    """
    stored, likely = shape[1:] if image_shape is None else image_shape, (1, 3, format.image_shape[-1])
    channels_first = format.channels_first
    if data_format is not None:
        channels_first = data_format == "channels_first"
    elif len(stored) == 3 and (stored[0] in likely) != (stored[-1] in likely):
        channels_first = stored[0] in likely
    format = replace(format, channels_first=channels_first)
    if image_shape is not None or shape[1:] not in format.layouts:
        image_shape = resolve_image_shape(shape, image_shape, channels_first=channels_first)
        format = replace(format, image_shape=image_shape)
    if data_format is None and len(stored) != 3 and format.image_shape[-1] > 1:
        raise ValueError(
            "the channels of the rows of X may come first or last before the transformers: give "
            "data_format='channels_first' or data_format='channels_last'"
        )
    return format
