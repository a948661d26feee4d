"""Networks as steps of pipelines that skl2onnx exports."""

from inspect import isclass

import numpy as np

from skcnn.classifier import ConvNetClassifier
from skcnn.data.augmenter import changes_of_views
from skcnn.data.images import check_image_layout
from skcnn.features import ConvNetFeatures
from skcnn.layers.base import is_integer
from skcnn.onnx.export import network_of, warn_of_float64, write_features
from skcnn.onnx.graph import GraphBuilder, check_opset
from skcnn.onnx.network import add_numbers, add_prediction, add_scores, as_labels
from skcnn.regressor import ConvNetRegressor

OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}
"""Those that skl2onnx has for other classifiers, too."""


def register(estimator_class=ConvNetClassifier):
    """Let skl2onnx export pipelines with classifiers, regressors and :class:`~skcnn.ConvNetFeatures`.

    Then ``skl2onnx.to_onnx(pipeline, X)`` works, with the options "zipmap", "nocl", "output_class_labels" and
    "raw_scores". As of other classifiers there, labels that are booleans or floating-point numbers come out
    as int64, and the second output is called "probabilities" also where it has scores: those of a hinge loss,
    or where "raw_scores" asks for them, as calibration does. "output_class_labels" needs labels that are
    int32, int64 or str. Regressors predict in float32 there, in float64 with :func:`to_onnx`.

    Parameters
    ----------
    estimator_class : type, default=ConvNetClassifier
        A class derived from :class:`~skcnn.ConvNetClassifier` or :class:`~skcnn.ConvNetRegressor`, which
        skl2onnx does not take for the same. Those two are always registered.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    TypeError
        If ``estimator_class`` is another class, or none.

    See Also
    --------
    to_onnx : A network alone, without skl2onnx.

    References
    ----------
    skl2onnx, https://onnx.ai/sklearn-onnx/

    Examples
    --------
    >>> import skl2onnx
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> import skcnn.onnx
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = skcnn.ConvNetClassifier(max_iter=1, dtype="float32", random_state=0)
    >>> pipeline = make_pipeline(MinMaxScaler(), clf).fit(X, y)
    >>> skcnn.onnx.register()
    >>> model = skl2onnx.to_onnx(pipeline, X[:1].astype("float32"), options={"zipmap": False})
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    if not (isclass(estimator_class) and issubclass(estimator_class, ConvNetClassifier | ConvNetRegressor)):
        raise TypeError(
            f"estimator_class must be ConvNetClassifier, ConvNetRegressor or derived from one, got "
            f"{estimator_class!r}"
        )
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError('register needs skl2onnx: python -m pip install skl2onnx "skcnn[onnx]"') from error
    for cls in (ConvNetClassifier, ConvNetRegressor, ConvNetFeatures, estimator_class):
        if issubclass(cls, ConvNetClassifier):
            functions: tuple = _set_classifier_types, _convert_classifier
        elif issubclass(cls, ConvNetRegressor):
            functions = _set_regressor_types, _convert_regressor
        else:
            functions = _set_feature_types, _convert_features
        options = OPTIONS if issubclass(cls, ConvNetClassifier) else None
        update_registered_converter(cls, f"Skcnn{cls.__name__}", *functions, options=options)


def _set_classifier_types(operator):
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    _check_input(operator, operator.raw_operator)
    if operator.raw_operator.model_.loss.kind == "labels":
        raise ValueError("several labels for each image are exported by skcnn.onnx.to_onnx alone")
    labels, n_rows = _labels_of(operator.scope_inst, operator), operator.inputs[0].get_first_dimension()
    tensor_type = StringTensorType if labels.dtype == object else Int64TensorType
    operator.outputs[0].type = tensor_type([n_rows])
    operator.outputs[1].type = FloatTensorType([n_rows, len(labels)])


def _check_input(operator, network):
    """Raise a ValueError unless the input is one array in a layout that the network takes."""
    n_inputs, shape = len(operator.inputs), tuple(operator.inputs[0].type.shape)
    if n_inputs != 1:
        raise ValueError(
            f"{type(network).__name__} takes one array of images, got {n_inputs} inputs, such as the "
            "columns of a DataFrame: export it with X.to_numpy()"
        )
    if len(shape) > 1 and all(map(is_integer, shape[1:])):  # else skl2onnx knows no better
        check_image_layout(shape, network.model_.format, estimator=network)


def _labels_of(scope, operator):
    """Return the classes that skl2onnx has for the labels: str or int64."""
    from skl2onnx.common.utils_classifier import get_label_classes

    labels = as_labels(get_label_classes(scope, operator.raw_operator))
    return labels if labels.dtype == object else labels.astype(np.int64)


def _convert_classifier(scope, operator, container):
    classifier, X = operator.raw_operator, operator.inputs[0].full_name
    model, labels = classifier.model_, _labels_of(scope, operator)
    wants_scores = container.get_options(classifier, {"raw_scores": False})["raw_scores"]
    has_probabilities = model.loss.gives_probabilities and not wants_scores
    warn_of_float64(model)
    graph = _begin(scope, container)
    scores = add_scores(graph, X, model.network, model.format, changes_of_views(classifier.tta))
    names = [output.full_name for output in operator.outputs]
    add_prediction(graph, scores, labels, has_probabilities, outputs=names)
    _end(graph, container)


def _set_regressor_types(operator):
    from skl2onnx.common.data_types import FloatTensorType

    _check_input(operator, operator.raw_operator)
    n_rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = FloatTensorType([n_rows, operator.raw_operator.n_outputs_])


def _convert_regressor(scope, operator, container):
    regressor, X = operator.raw_operator, operator.inputs[0].full_name
    model = regressor.model_
    warn_of_float64(model)
    graph = _begin(scope, container)
    scores = add_scores(graph, X, model.network, model.format, changes_of_views(regressor.tta))
    link, output = model.loss.out_activation, operator.outputs[0].full_name
    add_numbers(graph, scores, link, model.target_scaling, dtype=np.float32, output=output)
    _end(graph, container)


def _set_feature_types(operator):
    from skl2onnx.common.data_types import FloatTensorType

    _check_input(operator, network_of(operator.raw_operator.estimator_))
    n_rows, names = operator.inputs[0].get_first_dimension(), operator.raw_operator.get_feature_names_out()
    operator.outputs[0].type = FloatTensorType([n_rows, len(names)])


def _convert_features(scope, operator, container):
    features = operator.raw_operator
    graph = _begin(scope, container)
    write_features(
        graph,
        operator.inputs[0].full_name,
        network_of(features.estimator_).model_,
        features.layer,
        output=operator.outputs[0].full_name,
    )
    _end(graph, container)


def _begin(scope, container):
    """Return an empty graph whose names are those of no other operator."""
    opset = container.target_opset_onnx
    check_opset(opset, "target_opset")
    return GraphBuilder(f"{scope.get_unique_variable_name('skcnn')}/", opset)


def _end(graph, container):
    """Hand over what was added to a graph."""
    container.nodes.extend(graph.nodes)
    container.initializers.extend(graph.initializers)
    container.node_domain_version_pair_sets.add(("", container.target_opset_onnx))
