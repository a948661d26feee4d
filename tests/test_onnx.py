"""Tests of exports to ONNX: what users give, layers of their own, what is refused, and skl2onnx.

That onnxruntime computes the same for all layers is tested in parity/test_onnx.py.
"""

import inspect
import sys
from unittest import mock

import numpy as np
import pytest
from extras import build, data_frame, package
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from small_classifiers import PassingLayer, fitted_classifier, make_classifier, make_images
from small_regressors import make_numbers, make_regressor

import skcnn.layers
from skcnn import (
    CELU,
    GELU,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    ConvNetFeatures,
    Dense,
    Flatten,
    GroupNorm,
    HardSwish,
    LayerNorm,
    LocalResponseNorm,
    MaxPool2D,
    Mish,
    Parallel,
    PatchWhitening,
    PReLU,
    RandomFlip,
    RandomShift,
    Rescale,
    Softmax,
    ZeroPad2D,
)
from skcnn.layers import Layer
from skcnn.layers.activation import ACTIVATIONS
from skcnn.layers.base import JoiningLayer
from skcnn.layers.normalization import ChannelAffine
from skcnn.layers.reshape import Identity
from skcnn.network.regression_losses import REGRESSION_LOSSES
from skcnn.onnx import register, register_layer, to_onnx
from skcnn.onnx.graph import GraphBuilder
from skcnn.onnx.layers import CONVERTERS

IMAGES, CODES = make_images()
IMAGES = IMAGES.astype(np.float32)
ROWS = IMAGES.reshape(len(IMAGES), -1)


@pytest.fixture
def export():
    """Return the function, or skip the test."""
    package("onnx")
    return to_onnx


def fitted(layers=None, *, X=IMAGES, y=CODES, **params):
    return fitted_classifier(layers, X=X, y=y, **({"dtype": "float32"} | params))


def run(model, X):
    """Return the outputs of a model by name."""
    session = package("onnxruntime").InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X}), strict=True))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'to_onnx needs onnx: .*"skcnn\[onnx\]"'):
        to_onnx(make_classifier())
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"register needs skl2onnx: .*pip install skl2onnx"):
        register()


# The model


@pytest.mark.parametrize("n_rows", [1, 2, len(IMAGES), 0])
def test_any_number_of_rows(export, n_rows):
    flips = [RandomFlip(), RandomFlip(horizontal=False, vertical=True)]
    clf = fitted([Conv2D(4), BatchNorm(), GroupNorm(2)], tta=flips)
    results = run(export(clf), IMAGES[:n_rows])
    assert list(results) == ["label", "probabilities"]
    assert len(results["label"]) == n_rows
    np.testing.assert_allclose(results["probabilities"], clf.predict_proba(IMAGES)[:n_rows], atol=1e-5)


def test_without_images_the_layout_is_that_of_data_format(export):
    X = IMAGES.transpose(0, 3, 1, 2)
    clf = fitted(X=X, data_format="channels_first", image_shape=X.shape[1:])
    model = export(clf)
    (image,) = model.graph.input
    shape = [axis.dim_param or axis.dim_value for axis in image.type.tensor_type.shape.dim]
    assert (image.name, shape) == ("X", ["N", 2, 6, 5])
    np.testing.assert_allclose(run(model, X)["probabilities"], clf.predict_proba(X), atol=1e-5)


MANY = [
    PatchWhitening(4),
    BatchNorm(),
    Parallel([[MaxPool2D(2, padding=1, dilation=2)], [AvgPool2D(2, padding=1, dilation=2)]]),
    *(LayerNorm(), GroupNorm(2), LocalResponseNorm()),
    *(GELU(), CELU(), HardSwish(), Mish(), PReLU(), Softmax(), ZeroPad2D()),
    Dense(4, activation="selu"),
]
"""Layers whose operators have changed, or take several."""


def test_all_opsets_from_18_on(export):
    onnx, clf = package("onnx"), fitted(MANY, tta="flip")
    for opset in range(18, onnx.defs.onnx_opset_version() + 1):
        model = export(clf, opset=opset)
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
        assert model.producer_version == skcnn.__version__


@pytest.mark.parametrize("opset", [17, 1000, "18", 18.0, None])
def test_other_opsets_are_refused(export, opset):
    with pytest.raises(ValueError, match=rf"opset must be an int from 18 .*got {opset!r}"):
        export(fitted(), opset=opset)


@pytest.mark.parametrize(
    "X",
    [IMAGES.astype(">f8"), IMAGES.tolist(), np.round(IMAGES).astype("int16"), IMAGES[..., 0]],
    ids=["big-endian", "list", "integers", "three axes"],
)
def test_images_as_users_have_them(export, X):
    clf = fitted(X=X)
    array = np.asarray(X)
    results = run(export(clf, X), array.astype(array.dtype.newbyteorder("=")))
    np.testing.assert_allclose(results["probabilities"], clf.predict_proba(X), atol=1e-5)


def test_columns_with_names(export):
    frame = data_frame(ROWS).add_prefix("pixel")
    clf = fitted(X=frame, image_shape=(6, 5, 2))
    results = run(export(clf, frame), ROWS)
    np.testing.assert_allclose(results["probabilities"], clf.predict_proba(frame), atol=1e-5)


def test_digits_beyond_float32_are_scaled_in_float64(export):
    X = np.round(IMAGES).astype(np.int64) + 2**30
    clf = fitted(X=X)
    np.testing.assert_allclose(run(export(clf, X), X)["probabilities"], clf.predict_proba(X), atol=1e-5)


def test_a_network_in_float64_is_exported_in_float32(export):
    clf = fitted(dtype="float64")
    with pytest.warns(UserWarning, match="float64") as caught:
        model = export(clf, IMAGES)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(run(model, IMAGES)["probabilities"], clf.predict_proba(IMAGES), atol=1e-5)


@pytest.mark.filterwarnings("ignore:the network computes in float64")
def test_weights_too_large_for_float32_are_refused(export):
    clf = fitted([Dense(3)], dtype="float64")
    clf.network_.params["dense_1"]["weight"][0, 0] = 1e60
    with pytest.raises(ValueError, match="layer 'dense_1'.*float32"):
        export(clf)


@pytest.mark.filterwarnings("ignore:the network computes in float64")
def test_images_with_more_digits_than_float32_are_refused(export):
    package("onnxruntime")
    X = IMAGES.astype(float) + 1e8
    clf = fitted([BatchNorm(), Conv2D(3)], X=X, dtype="float64", input_scaling=None)
    with pytest.raises(ValueError, match="X differ.*more digits than float32.*input_scaling"):
        export(clf, X)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_of_a_hinge_loss_are_those_of_decision_function(export, loss, n_classes):
    clf = fitted(y=CODES % n_classes, loss=loss)
    results = run(export(clf, IMAGES), IMAGES)
    expected = clf.decision_function(IMAGES)
    found = results["scores"] if n_classes == 3 else results["scores"][:, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(results["label"], clf.predict(IMAGES))


def test_labels_without_a_dtype_in_onnx_are_refused(export):
    clf = fitted(y=CODES.astype(np.uint64) + np.uint64(2**63))
    with pytest.raises(ValueError, match="classes_ of dtype uint64"):
        export(clf)


@pytest.mark.parametrize("layer", ["conv1", "pool1", None])
def test_features(export, layer):
    features = ConvNetFeatures(fitted(), layer, prefit=True).fit(IMAGES)
    results = run(export(features, IMAGES), IMAGES)
    assert list(results) == ["features"]
    np.testing.assert_allclose(results["features"], features.transform(IMAGES), atol=1e-5)


@pytest.mark.parametrize("wrap", [make_pipeline, lambda clf: GridSearchCV(clf, {"alpha": [0.1]}, cv=2)])
def test_wrapped_networks(export, wrap):
    estimator = wrap(make_classifier(dtype="float32")).fit(IMAGES, CODES)
    results = run(export(estimator, IMAGES), IMAGES)
    np.testing.assert_allclose(results["probabilities"], estimator.predict_proba(IMAGES), atol=1e-5)


ACTIVATIONS_BY_CLASS = {type(activation()).__name__: activation for activation in ACTIVATIONS.values()}


@pytest.mark.parametrize("activation", ACTIVATIONS_BY_CLASS.values(), ids=ACTIVATIONS_BY_CLASS)
def test_activations_of_huge_and_of_tiny_numbers(export, activation):
    """Where an exponential overflows, or runtimes cut off what they approximate."""
    numbers = np.float32([1e38, 1e20, 1e13, 1e4, 1e3, 200, 100, 88, 50, 20, 18, 10, 1e-3, 1e-30, 0])
    X = np.concatenate([-numbers, numbers]).reshape(1, 1, 30, 1)
    layers = [activation(), AvgPool2D(1)]
    clf = fitted(layers, X=np.tile(X / 1e38, (3, 1, 1, 1)), y=[0, 1, 0], input_scaling=None)
    features = ConvNetFeatures(clf, "avgpool2d_1", prefit=True).fit(X)
    np.testing.assert_allclose(run(export(features), X)["features"], features.transform(X), 1e-6, 1e-6)


def test_layers_may_have_the_names_of_other_results(export):
    names = ["a", "a/Mul", "a/Mul/1", "a b", "ä", "X", "label", "probabilities", "views", "input/Reshape"]
    clf = fitted([(name, GELU()) for name in names], tta="flip")
    results = run(export(clf, IMAGES), IMAGES)
    np.testing.assert_allclose(results["probabilities"], clf.predict_proba(IMAGES), atol=1e-5)


@pytest.mark.parametrize(
    "layers",
    [
        [Flatten(), LocalResponseNorm(2, alpha=1.0)],
        [LocalResponseNorm(4, alpha=1.0)],
        [MaxPool2D(2, padding=2, dilation=3)],
        [MaxPool2D(2, padding=((1, 3), 0), dilation=(3, 1), ceil_mode=True)],
        [Rescale(0.0), GroupNorm(1, epsilon=1e-60)],
    ],
    ids=repr,
)
def test_corners_of_layers(export, layers):
    """Windows of neighbours that lean to one side, padding as large as a kernel, an epsilon below float32."""
    clf = fitted(layers)
    results = run(export(clf, IMAGES), IMAGES)
    np.testing.assert_allclose(results["probabilities"], clf.predict_proba(IMAGES), atol=1e-5)


# What is refused


def test_no_fitted_network(export):
    with pytest.raises(NotFittedError):
        export(make_classifier())
    with pytest.raises(NotFittedError):
        export(ConvNetFeatures(make_classifier()))
    with pytest.raises(TypeError, match="LogisticRegression"):
        export(LogisticRegression())


def test_transformers_before_the_network_are_named(export):
    pipeline = make_pipeline(StandardScaler(), make_classifier()).fit(ROWS, CODES)
    for estimator in (pipeline, ConvNetFeatures(pipeline, prefit=True).fit(ROWS)):
        with pytest.raises(ValueError, match="'standardscaler'.*register.*skl2onnx"):
            export(estimator)


@pytest.mark.parametrize("tta", [[RandomShift(1)], [RandomFlip(), RandomShift(2)]])
def test_other_views_are_named(export, tta):
    with pytest.raises(ValueError, match=r"tta has RandomShift\(.*tta='flip'"):
        export(fitted(tta=tta))


def test_images_that_do_not_fit(export):
    with pytest.raises(ValueError, match="features"):
        export(fitted(), IMAGES[:, 1:])


# Layers of one's own


class Doubled(PassingLayer):
    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, 2, out=out)


class Shifted(PassingLayer):
    constant_params = ("shift",)

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"shift": np.arange(1, 1 + input_shape[-1], dtype=dtype)}

    def forward(self, params, X, unit, *, training, out):
        return np.add(X, params["shift"], out=out)


def convert_shifted(graph, layer, params, X, input_shape):
    return graph.add("Add", X, params["shift"].reshape(-1, *[1] * (len(input_shape) - 1)))


class OtherConv2D(Conv2D):
    pass


@pytest.fixture
def registered():
    """Take back what a test registers."""
    with mock.patch.dict(CONVERTERS):
        yield


@pytest.mark.parametrize("layer", [Doubled(), OtherConv2D(2)])
def test_a_layer_without_converter_is_named(export, layer):
    name = type(layer).__name__
    with pytest.raises(ValueError, match=rf"layer '{name.lower()}_1'.*register_layer\({name}"):
        export(fitted([layer]))


@pytest.mark.parametrize("first", [Conv2D(4), Dense(4)])
def test_layers_of_ones_own(export, registered, first):
    register_layer(Doubled, lambda graph, layer, params, X, input_shape: graph.add("Mul", X, 2.0))
    register_layer(Shifted, convert_shifted)
    clf = fitted([first, Doubled(), Shifted()])
    np.testing.assert_allclose(
        run(export(clf, IMAGES), IMAGES)["probabilities"], clf.predict_proba(IMAGES), atol=1e-5
    )


def test_a_derived_layer_may_be_registered_as_its_base(export, registered):
    register_layer(OtherConv2D, CONVERTERS[Conv2D])
    export(fitted([OtherConv2D(2)]), IMAGES)


def test_a_wrong_converter_shows_where_there_are_images_and_onnxruntime(export, registered, monkeypatch):
    package("onnxruntime")
    register_layer(Doubled, lambda graph, layer, params, X, input_shape: graph.add("Mul", X, 3.0))
    clf = fitted([Doubled()])
    export(clf)
    with pytest.raises(ValueError, match="probabilities of X differ"):
        export(clf, IMAGES)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    export(clf, IMAGES)


MISTAKES = {
    "no result": (lambda graph, X: None, "got None"),
    "unknown result": (lambda graph, X: "nowhere", "nowhere"),
    "unknown input": (lambda graph, X: graph.add("Neg", "nowhere"), "nowhere"),
    "unknown operator": (lambda graph, X: graph.add("Negate", X), "Negate"),
    "unknown attribute": (lambda graph, X: graph.add("Elu", X, alfa=1.0), "alfa"),
    "channels last": (lambda graph, X: graph.add("Mul", X, [1.0, 2.0]), "Mul.*dimensions"),
    "two dtypes": (lambda graph, X: graph.add("Mul", X, 2), "Mul.*int64"),
    "other dtype": (lambda graph, X: graph.add("IsNaN", X), "IsNaN"),
    "other shape": (lambda graph, X: graph.add("ReduceMean", X, [1]), "ReduceMean.*shape"),
}


@pytest.mark.parametrize(("convert", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_converter_that_writes_no_valid_onnx_is_named(export, registered, convert, message):
    register_layer(Doubled, lambda graph, layer, params, X, input_shape: convert(graph, X))
    for layers in ([Conv2D(2), ("mine", Doubled()), Conv2D(2)], [("mine", Doubled())]):
        with pytest.raises(ValueError, match=rf"(?s)layer 'mine', Doubled\(\): .*{message}"):
            export(fitted(layers))


def test_a_constant_becomes_int64_or_float32(export):
    graph = GraphBuilder()
    for value in (2, np.uint8(2), np.int16(2), 2.0, np.float16(2)):
        graph.constant(value)
    onnx = package("onnx")
    found = [onnx.numpy_helper.to_array(constant) for constant in graph.initializers]
    assert [array.dtype for array in found] == [np.int64] * 3 + [np.float32] * 2
    assert found == [2] * 5
    for value, dtype in ((2**63, "int64"), (1e300, "float32")):
        with pytest.raises(ValueError, match=f"too large for {dtype}"):
            graph.constant(value)


@pytest.mark.parametrize("cls", [Doubled(), int, "Conv2D", Layer])
def test_only_classes_of_layers_are_registered(cls):
    with pytest.raises(TypeError, match="cls must be"):
        register_layer(cls, print)


def test_only_functions_are_registered():
    with pytest.raises(TypeError, match="function must be.*'Neg'"):
        register_layer(Doubled, "Neg")


def test_every_layer_has_a_converter():
    modules = [module for name, module in sys.modules.items() if name.startswith("skcnn.layers.")]
    kinds = {
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Layer | JoiningLayer) and not inspect.isabstract(kind)
    }
    assert kinds - set(CONVERTERS) == {ChannelAffine, Identity}  # of executors


# Pipelines


@pytest.fixture
def export_pipeline():
    """Return what skl2onnx computes for rows, the last output as an array."""
    skl2onnx = package("skl2onnx")
    register()

    def export(estimator, X, **options):
        model = skl2onnx.to_onnx(estimator, X[:1], options={ConvNetClassifier: options} if options else None)
        return list(run(model, X).values())

    return export


def pipeline_of(**params):
    params = {"dtype": "float32", "image_shape": (6, 5, 2)} | params
    return make_pipeline(MinMaxScaler(), make_classifier(**params))


NAMES = np.array(["a", "b", "c"])


@pytest.mark.parametrize("y", [CODES, NAMES[CODES], CODES == 1, CODES.astype(float)], ids=lambda y: y.dtype)
def test_pipelines_with_every_kind_of_labels(export_pipeline, y):
    pipeline = pipeline_of().fit(ROWS, y)
    labels, probabilities = export_pipeline(pipeline, ROWS, zipmap=False)
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(ROWS), atol=1e-5)
    np.testing.assert_array_equal(labels, pipeline.predict(ROWS))


def test_options_of_skl2onnx(export_pipeline):
    pipeline = pipeline_of().fit(ROWS, NAMES[CODES])
    expected = pipeline.predict_proba(ROWS)
    _, by_name = export_pipeline(pipeline, ROWS, zipmap=True)
    np.testing.assert_allclose([[row[name] for name in NAMES] for row in by_name], expected, atol=1e-5)
    _, *columns = export_pipeline(pipeline, ROWS, zipmap="columns")
    np.testing.assert_allclose(np.stack(columns, axis=1), expected, atol=1e-5)
    codes, _ = export_pipeline(pipeline, ROWS, zipmap=False, nocl=True)
    np.testing.assert_array_equal(NAMES[codes], pipeline.predict(ROWS))
    *_, classes = export_pipeline(pipeline, ROWS, zipmap=False, output_class_labels=True)
    np.testing.assert_array_equal(classes, NAMES)
    _, scores = export_pipeline(pipeline, ROWS, zipmap=False, raw_scores=True)
    np.testing.assert_allclose(scores, pipeline.decision_function(ROWS), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("X", "params"),
    [
        (IMAGES, {}),
        (IMAGES.clip(0).astype(np.uint8), {}),
        (ROWS, {"tta": "flip"}),
        (ROWS, {"loss": "hinge"}),
    ],
    ids=["four axes", "bytes", "views", "hinge"],
)
def test_networks_without_a_pipeline(export_pipeline, X, params):
    clf = fitted(X=X, image_shape=(6, 5, 2), **params)
    labels, scores = export_pipeline(clf, X, zipmap=False)
    expected = clf.decision_function(X) if "loss" in params else clf.predict_proba(X)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(labels, clf.predict(X))


def test_other_dtypes_than_float32(export_pipeline):
    for X in (ROWS.astype(float), np.round(ROWS).astype(np.int64)):
        pipeline = pipeline_of().fit(X, CODES)
        _, probabilities = export_pipeline(pipeline, X, zipmap=False)
        np.testing.assert_allclose(probabilities, pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    "combine",
    [
        lambda net: make_pipeline(ConvNetFeatures(net), LogisticRegression()),
        lambda net: StackingClassifier([("a", net), ("b", clone(net).set_params(activation="relu"))], cv=2),
        lambda net: VotingClassifier([("a", net), ("b", net)], voting="soft", flatten_transform=False),
        lambda net: CalibratedClassifierCV(net, cv=2),
    ],
    ids=["features", "stacking", "voting", "calibration"],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_networks_in_other_estimators(export_pipeline, combine, n_classes):
    net = make_classifier(dtype="float32", image_shape=(6, 5, 2))
    estimator = combine(net).fit(ROWS, CODES % n_classes)
    probabilities = export_pipeline(estimator, ROWS)[-1]
    probabilities = [list(row.values()) for row in probabilities]
    np.testing.assert_allclose(probabilities, estimator.predict_proba(ROWS), atol=1e-5)


def test_an_old_target_is_refused():
    skl2onnx = package("skl2onnx")
    register()
    with pytest.raises(ValueError, match="target_opset must be .* from 18 .*got 15"):
        skl2onnx.to_onnx(pipeline_of().fit(ROWS, CODES), ROWS[:1], target_opset=15)


@pytest.mark.parametrize(
    "X",
    [
        ROWS[:, :50],
        ROWS.reshape(-1, 5, 6, 2),
        IMAGES.transpose(0, 3, 1, 2),
        lambda: data_frame(ROWS).add_prefix("pixel"),
    ],
    ids=["width", "size", "channels first", "columns"],
)
def test_images_that_do_not_fit_a_pipeline(export_pipeline, X):
    net, X = fitted(), build(X)
    message = "X has 50 features|wrong layout|takes one array of images, got 60 inputs"
    for estimator in (net, ConvNetFeatures(net, prefit=True).fit(IMAGES)):
        with pytest.raises(ValueError, match=message):
            export_pipeline(estimator, X)


@pytest.mark.parametrize("cls", [LogisticRegression, ConvNetFeatures, make_classifier(), "ConvNetClassifier"])
def test_only_networks_are_registered(cls):
    with pytest.raises(
        TypeError, match="estimator_class must be ConvNetClassifier, ConvNetRegressor or derived"
    ):
        register(cls)


def test_a_pipeline_in_float64_warns_at_the_line_that_exports_it(export_pipeline):
    pipeline = pipeline_of(dtype="float64").fit(ROWS, CODES)
    with pytest.warns(UserWarning, match="float64") as caught:
        export_pipeline(pipeline, ROWS)
    assert caught[0].filename == __file__


def test_derived_classifiers_are_registered_by_themselves(export_pipeline):
    class Net(ConvNetClassifier):
        pass

    register(Net)
    pipeline = make_pipeline(MinMaxScaler(), Net(max_iter=1, dtype="float32")).fit(ROWS, CODES)
    by_name = export_pipeline(pipeline, ROWS)[-1]
    np.testing.assert_allclose(
        [list(row.values()) for row in by_name], pipeline.predict_proba(ROWS), atol=1e-5
    )


# Regressors


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_regressors_predict_in_the_unit_of_their_targets(export, loss, n_outputs):
    X, y = make_numbers(30, n_outputs)
    X, y = X.astype(np.float32), 1e6 + np.abs(y)
    regressor = make_regressor(loss=loss).fit(X, y)
    expected = regressor.predict(X).reshape(len(X), n_outputs)
    ((name, found),) = run(export(regressor, X), X).items()
    assert name == "predictions"
    assert (found.shape, found.dtype) == (expected.shape, np.float64)
    scale = regressor.model_.target_scaling.scale.max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


def test_pipelines_with_regressors(export_pipeline):
    X, y = make_numbers(30, 2)
    rows = X.reshape(30, -1).astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), make_regressor(image_shape=(6, 5, 2), dtype="float32"))
    pipeline.fit(rows, y)
    (found,) = export_pipeline(pipeline, rows)
    np.testing.assert_allclose(found, pipeline.predict(rows), rtol=0, atol=1e-4)


# Several labels


def test_several_labels_are_a_matrix(export):
    y = np.stack([CODES == 0, CODES == 1, CODES > 0], axis=1).astype(int)
    clf = fitted(y=y)
    results = run(export(clf, IMAGES), IMAGES)
    assert list(results) == ["label", "probabilities"]
    np.testing.assert_array_equal(results["label"], clf.predict(IMAGES), strict=True)
    np.testing.assert_allclose(results["probabilities"], clf.predict_proba(IMAGES), atol=1e-5)


def test_pipelines_with_several_labels_are_refused(export_pipeline):
    y = np.stack([CODES == 0, CODES == 1], axis=1)
    with pytest.raises(ValueError, match="several labels .* by skcnn.onnx.to_onnx alone"):
        export_pipeline(pipeline_of().fit(ROWS, y), ROWS)
