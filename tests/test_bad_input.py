"""Bad input is refused with a message that says what and why, and changes nothing.

Each bad value goes through ``fit``, and one of each kind through every other method.
"""

import inspect
import re
from contextlib import contextmanager
from copy import deepcopy
from functools import cache, partial

import numpy as np
import pytest
import scipy.sparse
from extras import build, data_frame, series
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from small_classifiers import make_classifier, make_images

from skcnn import (
    AvgPool2D,
    Checkpoint,
    Conv2D,
    ConvNetClassifier,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Sequential,
    SpatialDropout2D,
    ZeroPad2D,
)

N_SAMPLES, CLASSES = 24, [0, 1, 2]
X, Y = make_images(N_SAMPLES, (6, 5, 1))
X.setflags(write=False)
Y.setflags(write=False)
FLAT = X.reshape(N_SAMPLES, -1)
PREDICTIONS = ("predict", "predict_proba", "predict_log_proba", "decision_function")

make_net = partial(make_classifier, max_iter=1)


@cache
def fitted_net(**params):
    return make_net(**params).fit(X, Y)


@pytest.fixture
def fitted():
    return deepcopy(fitted_net())


def predictions(net):
    return [getattr(net, method)(X) for method in PREDICTIONS]


@contextmanager
def assert_refused(net, *patterns, exception=ValueError):
    """Assert that a call is refused with a message that contains all patterns, and leaves no trace.

    The net keeps its attributes and, if fitted, the bits of its predictions.
    """
    attributes = dict(vars(net))
    before = predictions(net) if "model_" in attributes else []
    with pytest.raises(exception) as caught:
        yield
    for pattern in patterns:
        assert re.search(pattern, str(caught.value)), f"{pattern!r} not found in: {caught.value}"
    assert vars(net).keys() == attributes.keys()
    assert all(vars(net)[name] is value for name, value in attributes.items())
    for value, value_before in zip(predictions(net) if before else [], before, strict=True):
        assert_array_equal(value, value_before)


def parametrize(argnames, table):
    """Parametrize over the items of a dict whose values are tuples."""
    return pytest.mark.parametrize(argnames, table.values(), ids=table)


# hyperparameters

NOT_A_SIZE = ["3", 0, -1, 2.5, None, True, np.nan]
NOT_SIZES = [
    *NOT_A_SIZE,
    *[(0,), (-1,), (3.0,), ("3",), (None,), (True,), ((3,),)],
    *[np.array([0]), np.array([3.0]), np.array([[3]]), np.array([True]), np.array("3")],
]
NOT_A_PAIR = [
    *NOT_A_SIZE,
    *[(), (3,), (3, 3, 3), (0, 3), (3, -1), (3, 2.5), (3, "3"), (3, None), {3}],
    *[np.array([3]), np.array([3, 0]), np.array([3.0, 3.0]), np.array([[3, 3]])],
]
NOT_A_SHAPE = [
    *["6x5", 30, 6.0, {6, 5}, (), (30,), (6, 5, 1, 1)],
    *[(6.0, 5.0), (-6, -5), (0, 5), ("6", "5"), (True, 30)],
]
NOT_A_NUMBER = ["0.5", None, (0.5,), np.nan]
NOT_POSITIVE = [*NOT_A_NUMBER, 0, -1.0, np.inf, 10**400]
NEGATIVE = [*NOT_A_NUMBER, -1e-4, np.inf, 10**400]
NOT_A_SHARE = [*NOT_A_NUMBER, -0.1, 1.0, 1.5, np.inf]
NOT_A_COUNT = ["3", None, 0, -1, 2.5, np.nan]
NOT_A_FLAG = ["yes", None, 2, 0.0]

BAD_VALUES = {
    **dict.fromkeys(["conv_layer_sizes", "hidden_layer_sizes"], NOT_SIZES),
    **dict.fromkeys(["kernel_size", "pool_size"], NOT_A_PAIR),
    **dict.fromkeys(["dropout", "label_smoothing", "momentum", "beta_1", "beta_2"], NOT_A_SHARE),
    **dict.fromkeys(["averaging_decay", "averaging_start"], NOT_A_SHARE),
    **dict.fromkeys(["focal_gamma", "alpha", "warmup", "tol"], NEGATIVE),
    **dict.fromkeys(["learning_rate_init", "epsilon"], NOT_POSITIVE),
    **dict.fromkeys(["clip_norm", "max_time"], [value for value in NOT_POSITIVE if value is not None]),
    **dict.fromkeys(["nesterovs_momentum", "shuffle", "early_stopping", "warm_start"], NOT_A_FLAG),
    "layers": ["conv", 3, {"conv1": 3}, {1}],
    "pooling": ["min", 2, True, ("max",)],
    "normalization": ["layer", 1, True],
    "activation": ["softmax", "rely", None, 1, ReLU, Flatten()],
    "image_shape": NOT_A_SHAPE,
    "validation_split": [5, "group", [([0], [1])], KFold, True],
    "data_format": ["NHWC", None, 1],
    "input_scaling": ["minmax", True, 1.0, (0, 0), (1,), [0, "a"], (0, np.nan), ((1, 2), 1)],
    "init": ["file.skcnn", 3, [1], Flatten()],
    "init_scaling": ["standardize", True, 1.0],
    "dtype": ["float16", "double", None, 32],
    "augmentation": ["flip", 3, True, {"flip"}],
    "tta": ["auto", 3, True, {"flip"}],
    "loss": ["mse", None, 1],
    "class_weight": ["auto", 2, [1, 2, 3], {0: -1.0}, {0: np.nan}, {0: np.inf}, {0: "a"}, {0: None}],
    "solver": ["newton", None, 1],
    "backend": ["cuda", None, 1],
    "checkpoint": ["folder", 1, Checkpoint],
    "batch_size": ["all", None, 0, -1, 2.5, np.nan],
    "learning_rate": ["linear", 0.1, None],
    "learning_rate_factors": [0.1, "conv1", [("conv1", 1)], {"conv1": -1}, {"conv1": "a"}, {1: 1.0}],
    "step_size": NOT_A_COUNT,
    "step_factor": [*NOT_POSITIVE, 1.5],
    "averaging": ["mean", 0.9, True],
    "max_iter": [value for value in NOT_A_COUNT if value is not None],
    "n_iter_no_change": [*NOT_A_COUNT, -np.inf],
    "validation_fraction": [*NOT_A_SHARE, 0.0],
    "scoring": ["acuracy", 3, ["accuracy"]],
    "random_state": ["zero", -1, 1.5, np.nan],
    "verbose": ["loud", -1, None],
}


def test_no_parameter_is_forgotten():
    assert sorted(BAD_VALUES) == sorted(inspect.signature(ConvNetClassifier).parameters)


BAD_PARAMETERS = [(name, value) for name, values in BAD_VALUES.items() for value in values]


@pytest.mark.parametrize(
    ("name", "value"), BAD_PARAMETERS, ids=[f"{name}={value!r:.40}" for name, value in BAD_PARAMETERS]
)
def test_parameter_is_refused(name, value):
    net = make_net(**{name: value})
    with assert_refused(net, rf"\b{name}\b", re.escape(repr(value)), "must|expected"):
        net.fit(X, Y)


# hyperparameters that do not go together

MISFITS = {
    "cosine without epochs": ({"learning_rate": "cosine", "warmup": 1}, "warmup=1.* 1 epochs that max_iter"),
    "one_cycle warmed up": ({"learning_rate": "one_cycle", "warmup": 0.5}, "'one_cycle'.*warmup=0, got 0.5"),
    "random loss": ({"solver": "lbfgs", "dropout": 0.2}, r"solver='lbfgs'.* 'dropout1', Dropout\(rate=0.2\)"),
    "random layer": (
        {"solver": "lbfgs", "layers": [Sequential([("drop", SpatialDropout2D())])]},
        "solver='lbfgs'.* 'sequential_1__drop'",
    ),
}


@parametrize(("params", "pattern"), MISFITS)
def test_hyperparameters_that_do_not_go_together_are_refused(params, pattern):
    net = make_net(**params)
    with assert_refused(net, pattern):
        net.fit(X, Y)


UNFORESEEN = [
    *[{"learning_rate": "cosine"}, {"learning_rate": "one_cycle"}, {"averaging": "swa"}],
    {"class_weight": "balanced"},
]


@pytest.mark.parametrize("params", UNFORESEEN, ids=str)
def test_what_needs_to_know_what_is_to_come_is_refused_by_partial_fit(fitted, params):
    ((name, value),) = params.items()
    for net in (make_net(), fitted):
        net.set_params(**params)
        with assert_refused(net, f"{name}='{value}'.* partial_fit, which does not"):
            net.partial_fit(X, Y, classes=CLASSES)


# layers

BAD_LAYERS = {
    "an estimator": ([Conv2D(2), LogisticRegression()], r"layers\[1\] must be a layer.* LogisticRegression"),
    "a class": ([Conv2D], r"layers\[0\] must be a layer.*Conv2D"),
    "other text": (["skip"], r"layers\[0\] must be a layer.*'skip'"),
    "a triple": ([("conv1", Conv2D(2), 1)], r"layers\[0\] must be a layer"),
    # names
    "two underscores": ([("conv__1", Conv2D(2))], "'conv__1'"),
    "duplicate made name": ([("conv2d_1", Conv2D(2)), Conv2D(2)], "'conv2d_1' twice"),
    "name of an activation": ([("a", Conv2D(2, activation="relu")), ("a_relu", ReLU())], "'a_relu' twice"),
    "name of a parameter": ([("alpha", Conv2D(2))], "'alpha'.* parameter"),
    # order
    "softmax by name": ([Dense(3, activation="softmax")], "'dense_1_softmax'.* leave it out"),
    "convolution after flatten": ([Flatten(), Conv2D(2)], r"'conv2d_1'.* expected an image.*\(30,\)"),
    "pooling after dense": ([Dense(4), MaxPool2D()], r"'maxpool2d_1'.* expected an image.*\(4,\)"),
    # sizes
    "kernel too large": ([Conv2D(2, (3, 9), padding=1)], r"'conv2d_1'.*kernel_size=\(3, 9\).* of \(8, 7\)"),
    "pooling to nothing": (
        [MaxPool2D(), MaxPool2D(), ("third", AvgPool2D())],
        r"'third'.*pool_size=\(2, 2\).* image of \(1, 1\)",
    ),
    # hyperparameters of layers
    "size": ([("a", Conv2D(2, 0))], "layer 'a'.*kernel_size must be.* got 0"),
    "range": ([("a", Dropout(1.0))], "layer 'a'.*'rate'.* must be.* Got 1.0"),
    "unknown activation": ([("a", Conv2D(2, activation="rely"))], "'a'.*activation must be.* got 'rely'"),
    "no activation": ([("a", Dense(2, activation=Flatten()))], r"'a'.*activation must be.* got Flatten\(\)"),
    "slope": ([("a", Dense(2, activation=LeakyReLU(-1)))], "'a.*'negative_slope'.* Got -1"),
}


@parametrize(("layers", "pattern"), BAD_LAYERS)
def test_layers_are_refused(layers, pattern):
    net = make_net(layers)
    with assert_refused(net, f"(?s){pattern}"):
        net.fit(X, Y)


@pytest.mark.parametrize("padding", [10**7, 10**9], ids=["too much to get", "too much to count"])
def test_a_layer_that_there_is_no_memory_for_is_named(padding):
    net = make_net([ZeroPad2D(padding), GlobalAvgPool2D()])
    with assert_refused(net, rf"'zeropad2d_1', ZeroPad2D\(padding={padding}\): ", exception=MemoryError):
        net.fit(X, Y)


# images


def with_pixel(value, dtype=float):
    images = X.astype(dtype)
    images[3, 2, 1, 0] = value
    return images


def in_turn(other_shape):
    """Return images of two shapes."""
    return [np.zeros((6, 5, 1)), np.zeros(other_shape)] * (N_SAMPLES // 2)


NAN = with_pixel(np.nan)
NAMELESS = "X must be an array of images, got an object of type"

BAD_IMAGES = {
    "NaN": (NAN, "Input X contains NaN"),
    "NaN in a list": (NAN.tolist(), "Input X contains NaN"),
    "None in an array": (with_pixel(None, object), "Input X contains NaN"),
    "infinity": (with_pixel(np.inf), "Input X contains infinity"),
    "complex": (X + 1j, "X is not an array of images: Complex data not supported$"),
    "text": (np.full(X.shape, "a"), "X is not an array of images: .*strings"),
    "text object": (with_pixel("a", object), "X is not an array of images: .* float: 'a'"),
    "dict object": (with_pixel({}, object), "argument must be .* string.* number"),
    "text column": (lambda: data_frame(FLAT).add_prefix("pixel").assign(pixel3="a"), "to float: 'a'"),
    "dates": (np.zeros(X.shape, "M8[s]"), "X must hold real numbers, got dtype datetime64"),
    "sparse matrix": (scipy.sparse.csr_matrix(FLAT), "[Ss]parse"),
    "sparse array": (scipy.sparse.csr_array(FLAT), "[Ss]parse"),
    "None": (None, "X"),
    "number": (3.0, "X"),
    "no samples": (X[:0], r"0 sample\(s\) \(shape=\(0, 6, 5, 1\)\) while a minimum of 1"),
    "no list": ([], r"0 sample\(s\) \(shape=\(0,\)\) while a minimum of 1"),
    "no features": (FLAT[:, :0], r"0 feature\(s\) \(shape=\(24, 0\)\) while a minimum of 1"),
    "no height": (X[:, :0], r"0 feature\(s\) \(shape=\(24, 0, 5, 1\)\) while a minimum of 1"),
    "five axes": (X[..., np.newaxis], r"X must have shape .* 5 axes, shape \(24, 6, 5, 1, 1\)"),
    "one axis": (FLAT[:, 0], r"batch axis.* shape \(24,\)"),
    "ragged list": (in_turn((4, 5, 1)), r"X is ragged: .* entry 1 .*\(4, 5, 1\)"),
    "ragged array": (np.fromiter(in_turn((6, 4, 1)), object), r"X is ragged: .* entry 1 .*\(6, 4, 1\)"),
    "ragged axes": (in_turn((30,)), r"X is ragged: .* entry 1 .*\(30,\)"),
    "pairs": (list(zip(X, Y, strict=True)), "entry 0 of X is a pair, not an image"),
    "missing image": (lambda: series([*X[:3], None, *X[4:]]), "entry 3 of X is None"),
    "columns of images": (lambda: data_frame({"a": list(X), "b": Y}), r"X of shape \(24, 2\) has arrays in"),
    "masked": (np.ma.masked_greater(X, 1), "X has masked values"),
    "masked NaN": (np.ma.masked_invalid(NAN), "X has masked values"),
    "masked list": (list(np.ma.masked_greater(X, 1)), "X has masked values"),
    "dict": ({"data": X}, f"{NAMELESS} dict$"),
    "set": ({1, 2}, f"{NAMELESS} set$"),
    "generator": (lambda: (image for image in X), f"{NAMELESS} generator$"),
    "path": ("train.npy", "X must be an array of images, got 'train.npy'$"),
    "large ints": ([[10**400] * 30] * N_SAMPLES, "X is not an array of images: int too large"),
    "image": (X[0], r"inconsistent numbers of samples: \[6, 24\]"),
}


@parametrize(("images", "pattern"), BAD_IMAGES)
def test_images_are_refused(images, pattern):
    net = make_net()
    with assert_refused(net, pattern, exception=(ValueError, TypeError)):
        net.fit(build(images), Y)


@pytest.mark.parametrize(("images", "image_shape"), [(FLAT, (6, 6)), (FLAT, (6, 5, 3)), (X, (5, 6, 1))])
def test_images_that_do_not_fit_image_shape_are_refused(images, image_shape):
    net = make_net(image_shape=image_shape)
    with assert_refused(net, re.escape(f"X of shape {images.shape} does not fit image_shape={image_shape}")):
        net.fit(images, Y)


WRONG_SHAPES = {
    "fewer features": (
        FLAT[:, 1:],
        r"X has 29 features, but ConvNetClassifier is expecting 30 features as input\. .* shape \(29,\),",
    ),
    "smaller images": (
        X[:, 1:],
        r"X has 25 features, .* shape \(5, 5, 1\), expected .*\(6, 5, 1\), \(6, 5\)\]",
    ),
    "more channels": (X.repeat(3, axis=3), r"X has 90 features, .* shape \(6, 5, 3\), .*\(6, 5, 1\)"),
    "smaller pictures": (list(X[:, :4]), r"X has 20 features, .* shape \(4, 5, 1\), expected .*\(6, 5, 1\)"),
    "transposed": (X.transpose(0, 2, 1, 3), r"shape \(24, 5, 6, 1\) .*wrong layout.*\(6, 5, 1\)"),
    "channels first": (X.transpose(0, 3, 1, 2), r"shape \(24, 1, 6, 5\) .*wrong layout.*\(6, 5, 1\)"),
    "single image": (X[0], r"expecting 30 features .*add the batch axis: X\[np\.newaxis\]"),
    "single row": (FLAT[0], r"batch axis.* shape \(30,\)\. .*X\.reshape\(1, -1\)"),
}


@parametrize(("images", "pattern"), WRONG_SHAPES)
def test_shapes_other_than_the_fitted_one_are_refused(fitted, images, pattern):
    with assert_refused(fitted, pattern):
        fitted.predict(images)


@pytest.mark.parametrize("method", PREDICTIONS)
def test_every_method_that_predicts_refuses_bad_images(fitted, method):
    for images, pattern in (BAD_IMAGES["NaN"], BAD_IMAGES["no samples"], WRONG_SHAPES["fewer features"]):
        with assert_refused(fitted, pattern):
            getattr(fitted, method)(images)
    net = make_net()
    with assert_refused(net, "not fitted yet", exception=NotFittedError):
        getattr(net, method)(X)


def with_large(row):
    """Return images with a value that is infinite in float32, and squared in float64."""
    images = X.copy()
    images[row, 0, 0, 0] = 1e300
    return images


@pytest.mark.parametrize("row", [0, N_SAMPLES - 1])
@pytest.mark.parametrize(
    ("input_scaling", "pattern"),
    [("standardize", "squares are not finite in float64"), (None, "not finite in float32")],
)
def test_values_that_are_not_finite_are_refused(input_scaling, pattern, row):
    net = make_net(dtype="float32", input_scaling=input_scaling)
    with assert_refused(net, rf"\bX\b.*{pattern}"):
        net.fit(with_large(row), Y)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_values_that_are_not_finite_are_refused_in_validation_and_prediction(scoring):
    net = make_net(dtype="float32", early_stopping=True, scoring=scoring)
    fitted = deepcopy(fitted_net(dtype="float32"))
    with assert_refused(net, r"\bX\b.*not finite in float32"):
        net.fit(X, Y, X_val=with_large(0), y_val=Y)
    with assert_refused(fitted, r"\bX\b.*not finite in float32"):
        fitted.predict(with_large(0))


def test_scores_that_are_not_finite_are_refused():
    """Three layers of weights a thousand times as large make a number above 1e308 of almost that."""
    fitted = deepcopy(fitted_net(activation="identity"))
    fitted.network_.vector *= 1000
    with assert_refused(fitted, "scores of sample 5 are not finite", "values are too large for float64"):
        large = X.copy()
        large[5] *= 1e308 / np.abs(large[5]).max()
        fitted.predict_proba(large)


# labels

NO_LABELS = "^y must be an array of labels"
UNORDERED = "[Uu]nknown|all (be )?numbers or all (be )?strings"
BYTES = "labels in y are bytes"

BAD_LABELS = {
    "None": (None, "y"),
    "continuous": (Y + 0.5, "Unknown label type: .*continuous"),
    "NaN": (np.where(Y == 0, np.nan, Y), "Input y contains NaN"),
    "infinity": (np.where(Y == 0, np.inf, Y), "Input y contains infinity"),
    "missing": (np.where(Y == 0, None, "a"), UNORDERED),
    "mixed": (np.where(Y == 0, "a", Y.astype(object)), UNORDERED),
    "complex": (Y + 1j, f"{NO_LABELS}: Complex data not supported$"),
    "several columns of classes": (np.stack([Y, Y], axis=1), "y has several columns.*MultiOutputClassifier"),
    "images": (X, "y|dim 4"),
    "too short": (Y[:-1], r"inconsistent numbers of samples: \[24, 23\]"),
    "too long": (np.append(Y, 0), r"inconsistent numbers of samples: \[24, 25\]"),
    "empty": ([], r"inconsistent numbers of samples: \[24, 0\]"),
    "number": (1, f"{NO_LABELS}, got 1$"),
    "ragged": ([[0], [0, 1]] * 12, "y holds a list for each image.*MultiLabelBinarizer"),
    "ragged rows": ([[[0], 1], [1, 2]] * 12, f"{NO_LABELS}: .*inhomogeneous"),
    "bytes": (np.array([b"cat", b"dog", b"elk"])[Y], rf"{BYTES}.*label\.decode\(\)"),
    "bytes as objects": (lambda: series([b"cat", b"dog", b"elk"] * 8), BYTES),
    "some bytes": (np.array(["cat", "dog", b"elk"], object)[Y], BYTES),
    "dict": (dict(enumerate(Y)), f"{NO_LABELS}, got an object of type dict$"),
    "set": ({0, 1, 2}, f"{NO_LABELS}, got an object of type set$"),
    "generator": (lambda: (label for label in Y), f"{NO_LABELS}, got an object of type generator$"),
    "text": ("label", f"{NO_LABELS}, got 'label'$"),
    "dicts": ([{"label": 1}] * N_SAMPLES, f"{NO_LABELS}: Unknown label type"),
    "masked": (np.ma.masked_equal(Y, 1), "y has masked values"),
    "masked list": (list(np.ma.masked_equal(Y, 1)), "y has masked values"),
    "one class": (np.full(N_SAMPLES, "a"), "ConvNetClassifier.* at least 2 classes, got 1 class.*'a'"),
}


@parametrize(("labels", "pattern"), BAD_LABELS)
def test_labels_are_refused(labels, pattern):
    net = make_net()
    with assert_refused(net, pattern):
        net.fit(X, build(labels))


def test_one_class_left_by_weights_is_refused():
    net = make_net()
    with assert_refused(net, r"1 class: \[1\]"):
        net.fit(X, Y, sample_weight=(Y == 1).astype(float))


def test_new_labels_are_refused_by_whatever_knows_the_classes(fitted):
    warm, validated = fitted.set_params(warm_start=True), make_net(early_stopping=True)
    with assert_refused(warm, r"y contains labels \[3\].* classes \[0, 1, 2\]"):
        warm.fit(X, Y + 1)
    with assert_refused(fitted, r"y contains labels \[3\].* classes \[0, 1, 2\]"):
        fitted.partial_fit(X, Y + 1)
    with assert_refused(validated, r"y_val contains labels \[3\].* classes \[0, 1, 2\]"):
        validated.fit(X, Y, X_val=X, y_val=Y + 1)


def test_a_message_about_many_labels_is_short(fitted):
    fitted.set_params(warm_start=True)
    net = make_net(class_weight=dict.fromkeys(range(1000), -1.0))
    with pytest.raises(ValueError, match="y contains labels") as of_labels:
        fitted.fit(np.repeat(X, 2, axis=0), np.repeat([f"name {number}" for number in range(N_SAMPLES)], 2))
    with pytest.raises(ValueError, match="class_weight") as of_weights:
        net.fit(X, Y)
    assert all(len(str(caught.value)) < 400 for caught in (of_labels, of_weights))


# weights

NO_NUMBERS = "sample_weight must hold finite numbers"

BAD_WEIGHTS = {
    "negative": (np.where(Y == 0, -0.5, 1.0), "sample_weight must not be negative, got -0.5"),
    "NaN": (np.where(Y == 0, np.nan, 1.0), "sample_weight contains NaN"),
    "infinity": (np.where(Y == 0, np.inf, 1.0), "sample_weight contains infinity"),
    "too short": (np.ones(23), r"sample_weight must have shape \(24,\).* got \(23,\)"),
    "two axes": (np.ones((24, 1)), r"sample_weight must have shape \(24,\).* got \(24, 1\)"),
    "text": (["heavy"] * 24, f"{NO_NUMBERS}: could not convert string to float: .*'heavy'"),
    "zero": (np.zeros(24), "sample_weight is zero for every sample"),
    "negative number": (-1.0, "sample_weight must not be negative, got -1.0"),
    "complex": (np.ones(24) + 1j, "sample_weight.*Complex data not supported$"),
    "dict": (dict(enumerate(Y)), f"{NO_NUMBERS}: .* not 'dict'"),
    "generator": (lambda: (weight for weight in Y), f"{NO_NUMBERS}: .* not 'generator'"),
    "word": ("balanced", f"{NO_NUMBERS}: .*'balanced'"),
    "large int": (10**400, f"{NO_NUMBERS}: int too large"),
    "large ints": ([10**400] * 24, f"{NO_NUMBERS}: int too large"),
    "dates": (np.arange(24).astype("M8[D]"), f"{NO_NUMBERS}, got dtype datetime64"),
    "list of dates": ([np.datetime64("2020-01-01")] * 24, f"{NO_NUMBERS}, got dtype datetime64"),
    "masked": (np.ma.masked_less(np.arange(24), 3), "sample_weight has masked values"),
    "masked list": (list(np.ma.masked_less(np.arange(24), 3)), "sample_weight has masked values"),
}


@parametrize(("weights", "pattern"), BAD_WEIGHTS)
def test_sample_weights_are_refused(weights, pattern):
    net = make_net()
    with assert_refused(net, pattern):
        net.fit(X, Y, sample_weight=build(weights))


BAD_CLASS_WEIGHTS = {
    "unknown label": ({0: 1.0, 7: 2.0}, r"\[7\].* classes \[0, 1, 2\]"),
    "label of another type": ({"0": 1.0}, r"\['0'\].* classes \[0, 1, 2\]"),
    "all zero": ({0: 0, 1: 0, 2: 0}, "zero for every class"),
    "too large": ({0: 10**400}, r"finite weights >= 0, got \{0: 1000+\.\.\.0+\}"),
}


@parametrize(("class_weight", "pattern"), BAD_CLASS_WEIGHTS)
def test_class_weights_are_refused(class_weight, pattern):
    net = make_net(class_weight=class_weight)
    with assert_refused(net, f"class_weight.*{pattern}"):
        net.fit(X, Y)


# validation data

BAD_VALIDATION = {
    "X_val alone": ({"X_val": X}, "y_val is missing"),
    "y_val alone": ({"y_val": Y}, "X_val is missing"),
    "weights alone": ({"sample_weight_val": np.ones(N_SAMPLES)}, "X_val and y_val are missing"),
    "images": ({"X_val": NAN, "y_val": Y}, "Input X contains NaN"),
    "shape": ({"X_val": FLAT[:, 1:], "y_val": Y}, "X has 29 features, .* expecting 30"),
    "labels": ({"X_val": X, "y_val": BAD_LABELS["NaN"][0]}, "Input y_val contains NaN"),
    "length": ({"X_val": X, "y_val": Y[:-1]}, r"inconsistent numbers of samples: \[24, 23\]"),
    "weights": (
        {"X_val": X, "y_val": Y, "sample_weight_val": np.zeros(N_SAMPLES)},
        "sample_weight_val is zero for every sample",
    ),
}


@parametrize(("given", "pattern"), BAD_VALIDATION)
def test_validation_data_are_refused(given, pattern):
    net = make_net(early_stopping=True)
    with assert_refused(net, pattern):
        net.fit(X, Y, **given)


def test_validation_data_without_early_stopping_are_refused(fitted):
    with assert_refused(fitted, "early_stopping=False"):
        fitted.fit(X, Y, X_val=X, y_val=Y)


def test_validation_images_of_other_names_are_refused():
    frame = data_frame(FLAT, columns=[f"pixel{number}" for number in range(30)])
    net = make_net(early_stopping=True, image_shape=(6, 5))
    with assert_refused(net, "feature names should match|X_val"):
        net.fit(frame, Y, X_val=frame[frame.columns[::-1]], y_val=Y)


# other ways to train

WAYS_TO_TRAIN = {
    "fit anew": (True, {}, lambda net, *samples: net.fit(*samples)),
    "warm start": (True, {"warm_start": True}, lambda net, *samples: net.fit(*samples)),
    "first partial_fit": (False, {}, lambda net, X, y, *weights: net.partial_fit(X, y, CLASSES, *weights)),
    "further partial_fit": (True, {}, lambda net, X, y, *weights: net.partial_fit(X, y, None, *weights)),
}

SPOT_CHECKS = {
    "parameter": ({"solver": "newton"}, (X, Y), "solver.*'newton'"),
    "class weight": ({"class_weight": {0: -1.0}}, (X, Y), "class_weight.*-1.0"),
    "images": ({}, (NAN, Y), "Input X contains NaN"),
    "large values": ({}, (with_large(-1), Y), r"\bX\b.* not finite in float"),
    "labels": ({}, (X, Y + 0.5), "Unknown label type"),
    "weights": ({}, (X, Y, BAD_WEIGHTS["negative"][0]), "sample_weight must not be negative, got -0.5"),
}


@parametrize(("params", "samples", "pattern"), SPOT_CHECKS)
@parametrize(("is_fitted", "options", "train"), WAYS_TO_TRAIN)
def test_every_way_to_train_refuses_what_fit_does(is_fitted, options, train, params, samples, pattern):
    net = deepcopy(fitted_net(dtype="float32")) if is_fitted else make_net(dtype="float32")
    net.set_params(**params, **options)
    with assert_refused(net, pattern):
        train(net, *samples)


@pytest.mark.parametrize("way", ["warm start", "further partial_fit"])
def test_training_that_goes_on_refuses_images_of_another_shape(fitted, way):
    _, options, train = WAYS_TO_TRAIN[way]
    fitted.set_params(**options)
    with assert_refused(fitted, "X has 29 features, .* expecting 30"):
        train(fitted, FLAT[:, 1:], Y)


BAD_CLASSES = {
    "none": (None, r"classes must be passed on the first call to partial_fit.*columns of y.* range\(3\)"),
    "one": ([0], "at least 2 classes, got 1 class"),
    "continuous": ([0.5, 1.5], "^classes.* Unknown label type: .*continuous"),
    "NaN": ([0, np.nan], "classes contains NaN"),
    "without some": ([0, 1], r"labels \[2\].* classes \[0, 1\]"),
    "two axes": ([[0, 1, 2], [0, 1, 2]], "classes"),
    "no axis": (np.array(3), "^classes must be an array of labels, got 3$"),
    "a set": ({0, 1, 2}, "^classes must be an array of labels, got an object of type set$"),
    "masked": (np.ma.masked_equal([0, 1, 2, 3], 3), "^classes has masked values"),
}


@parametrize(("classes", "pattern"), BAD_CLASSES)
def test_classes_are_refused_by_the_first_partial_fit(classes, pattern):
    net = make_net()
    with assert_refused(net, pattern):
        net.partial_fit(X, Y, classes=classes)


def test_zero_sample_weights_are_refused_by_the_first_partial_fit():
    net = make_net()
    with assert_refused(net, "sample_weight is zero for every sample"):
        net.partial_fit(X, Y, CLASSES, np.zeros(N_SAMPLES))


@pytest.mark.parametrize("classes", [[0, 1], [0, 1, 2, 3], [1, 2, 3], ["a", "b", "c"]], ids=str)
def test_other_classes_are_refused_by_the_next_partial_fit(fitted, classes):
    with assert_refused(fitted, r"classes.* \[0 1 2\]"):
        fitted.partial_fit(X, Y, classes=classes)


def test_refused_partial_fit_does_not_disturb_the_training():
    net, other = (make_net().partial_fit(X, Y, classes=CLASSES) for _ in range(2))
    with pytest.raises(ValueError, match="contains NaN"):
        net.partial_fit(NAN, Y)
    assert_array_equal(net.partial_fit(X, Y).predict_proba(X), other.partial_fit(X, Y).predict_proba(X))
