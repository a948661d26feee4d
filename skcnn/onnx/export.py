"""A fitted estimator as an ONNX model."""

from importlib.util import find_spec
from math import prod

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skcnn.data.arrays import check_images
from skcnn.data.augmenter import changes_of_views
from skcnn.features import ConvNetFeatures
from skcnn.network.model import Model
from skcnn.onnx.graph import OPSET, GraphBuilder, check_opset
from skcnn.onnx.network import add_labels, add_numbers, add_prediction, add_scores, as_labels
from skcnn.pipelines import feature_node, unwrap
from skcnn.user_warnings import warn_user

N_CHECKED = 64
"""How many images are computed by both, at most."""

TOLERANCE = 1e-3
"""Largest accepted difference: of probabilities, or of scores and features as a share of the largest of them.

Rounding in float32 makes far smaller ones."""


def to_onnx(estimator, X=None, *, opset=OPSET):
    """Return a fitted estimator as an ONNX model.

    The model takes any number of images, in the layout and dtype of ``X``, and scales them by itself.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or ConvNetFeatures
        Fitted. A Pipeline of nothing else, or a search over such, will do; for one with other steps see
        :func:`register`.
    X : array-like of shape (n_samples, ...), default=None
        Images as the model will get them: flat rows, (n, h, w) of one channel, or of four axes; of booleans,
        integers, or numbers of at most double precision. Where onnxruntime is installed, the probabilities,
        scores or features that the model gives for the first 64 of them are compared with those of the
        estimator. None: the model takes images of four axes in float32, channels where ``data_format`` has
        them.
    opset : int, default=18
        Version of the operators of ONNX, at least 18, and at most the newest that onnx knows.

    Returns
    -------
    model : onnx.ModelProto
        With the input "X". Of a classifier, the outputs are "label" of shape (n_samples,), integers as int64,
        and "probabilities" of shape (n_samples, n_classes), float32. With several labels for each image,
        "label" is a matrix of 0 and 1. With a hinge loss, they are "label" and
        "scores" of that shape: what ``decision_function`` returns, and of two classes minus that, too, in the
        first column. Of a regressor, the output is "predictions" of shape (n_samples, n_outputs), float64.
        Of features, it is "features" of shape (n_samples, n_features).

    Raises
    ------
    ImportError
        If onnx is not installed.
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If the estimator is no network.
    ValueError
        If there are transformers before the network, a layer has no converter, or one that writes no valid
        ONNX or a result of another shape (see :func:`register_layer`), ``tta`` has other augmentations than
        :class:`~skcnn.RandomFlip`, the classes are of a dtype that ONNX has not, X does not fit, or the
        model gives other probabilities, scores or features: because of a converter, or where X needs more
        digits than float32 has.

    Warns
    -----
    UserWarning
        If the network computes in float64: the model does in float32, for onnxruntime has no convolution in
        double precision.

    See Also
    --------
    register : Pipelines, by skl2onnx.
    register_layer : Layers of your own.

    Notes
    -----
    Batch normalization is folded into convolutions, and ``tta`` computes all views in one pass. Unlike
    ``predict``, a model does not refuse infinity and NaN.

    References
    ----------
    ONNX operators, https://onnx.ai/onnx/operators/

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import ConvNetClassifier
    >>> from skcnn.onnx import to_onnx
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X.astype("uint8")
    >>> clf = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    >>> model = to_onnx(clf, X)
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    check_opset(opset, "opset")
    features = estimator if isinstance(estimator, ConvNetFeatures) else None
    if features is not None:
        check_is_fitted(features, "estimator_")
        estimator = features.estimator_
    network = network_of(estimator)
    format = network.model_.format
    shape, dtype = format.stored_shape, np.dtype(np.float32)
    if X is not None:
        X = np.asarray(check_images(network, X, format=format)[:N_CHECKED])
        X = X.astype(X.dtype.newbyteorder("="), copy=False)
        shape, dtype = X.shape[1:], X.dtype
        if dtype.kind == "f" and dtype.itemsize > 8:
            raise ValueError(f"X of dtype {dtype} does not exist in ONNX: convert it to float64")
    graph = GraphBuilder(opset=opset)
    if features is None:
        outputs = _write_predictions(graph, network)
    else:
        outputs = write_features(graph, "X", network.model_, features.layer, output="features")
    model = graph.make_model([("X", dtype, shape)], outputs)
    if X is not None and find_spec("onnxruntime") is not None:
        _check_results(model, _expected_results(network, features, X), X)
    return model


def network_of(estimator):
    """Return the classifier or regressor of an estimator that has nothing before it."""
    transformers, network = unwrap(estimator)
    if transformers:
        raise ValueError(
            f"steps {[name for name, _ in transformers]} come before the network, which is exported alone: "
            "after skcnn.onnx.register(), skl2onnx.to_onnx(pipeline, X) exports a whole Pipeline. Of "
            "ConvNetFeatures, put them into the Pipeline before it"
        )
    return network


def warn_of_float64(model: Model) -> None:
    """Warn where a network computes in float64, in which ONNX models do not."""
    if model.network.dtype == np.float64:
        warn_user(
            "the network computes in float64, its ONNX model in float32, since onnxruntime has no "
            "convolution in double precision: results differ by rounding. dtype='float32' trains a network "
            "that computes as its model does"
        )


def _write_predictions(graph, network):
    """Add a classifier or regressor, and return names, dtypes and shapes of its results."""
    model = network.model_
    warn_of_float64(model)
    scores = add_scores(graph, "X", model.network, model.format, changes_of_views(network.tta))
    if model.loss.kind == "numbers":
        link, scaling = model.loss.out_activation, model.target_scaling
        add_numbers(graph, scores, link, scaling, dtype=np.float64, output="predictions")
        return [("predictions", np.float64, model.classes.shape)]
    if model.loss.kind == "labels":
        add_labels(graph, scores, outputs=("label", "probabilities"))
        shape = model.classes.shape
        return [("label", np.int64, shape), ("probabilities", np.float32, shape)]
    labels, has_probabilities = as_labels(model.classes), model.loss.gives_probabilities
    name = "probabilities" if has_probabilities else "scores"
    add_prediction(graph, scores, labels, has_probabilities, outputs=("label", name))
    return [("label", labels.dtype, ()), (name, np.float32, (len(labels),))]


def write_features(graph: GraphBuilder, X: str, model: Model, layer: str | None, *, output: str) -> list:
    """Add the results of a layer, flattened, and return name, dtype and shape of the one result.

    Parameters
    ----------
    graph : GraphBuilder
    X : str
        Name of the images.
    model : Model
    layer : str or None
        None: the one before the output layer.
    output : str
        Name of the result.
    """
    warn_of_float64(model)
    index = feature_node(model, layer)
    features = add_scores(graph, X, model.network.up_to(index), model.format, ())
    graph.begin("output")
    graph.add("Identity", features, output=output)
    return [(output, np.float32, (prod(model.network.nodes[index].output_shape),))]


def _check_results(onnx_model, expected, X):
    """Raise a ValueError if the last result of a model in onnxruntime is not what is expected for X."""
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_outputs()[-1].name
    (found,) = session.run([name], {"X": X})
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ValueError(
            f"in onnxruntime, {name} of X differ from those of the estimator by up to {difference:.3g}: if "
            "there are layers of your own, look at their converters; if not, X needs more digits than "
            "float32 has, so scale it before, or by input_scaling"
        )


def _expected_results(network, features, X):
    """Return what the last result of a model should be; ``features`` are None for the network itself."""
    model = network.model_
    if features is not None:
        return model.results(X, feature_node(model, features.layer)).reshape(len(X), -1)
    if model.loss.kind == "numbers":
        return network.predict(X).reshape(len(X), -1)
    scores = model.scores(X, changes_of_views(network.tta))
    if model.loss.gives_probabilities:
        return model.loss.probabilities(scores)
    return scores - scores[:, ::-1] if len(model.classes) == 2 else scores
