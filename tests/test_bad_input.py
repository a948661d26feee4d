"""Bad input is refused by fit and predict, with a message that says what and why, and changes nothing."""

import inspect
import re
from contextlib import contextmanager
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import scipy.sparse
from extras import build, data_frame, series
from numpy.testing import assert_array_equal
from seeds import SEED, generator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from skcnn import (
    AvgPool2D,
    BatchNorm,
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
    Softmax,
    SpatialDropout2D,
    ZeroPad2D,
)

N_SAMPLES, IMAGE_SHAPE = 24, (6, 5, 1)
X = generator(0).normal(size=(N_SAMPLES, *IMAGE_SHAPE))
Y = np.arange(N_SAMPLES) % 3
X.setflags(write=False)
Y.setflags(write=False)


def make_net(layers=None, **params):
    defaults = {
        "conv_layer_sizes": (2,),
        "normalization": None,
        "hidden_layer_sizes": (4,),
        "max_iter": 1,
        "random_state": SEED,
    }
    return ConvNetClassifier(layers, **(defaults | params))


@cache
def fitted_net(**params):
    return make_net(**params).fit(X, Y)


@pytest.fixture
def fitted():
    return deepcopy(fitted_net())


def predictions(net):
    return net.predict_proba(X), net.decision_function(X), net.predict(X)


@contextmanager
def assert_unchanged(net):
    """Assert that a net keeps its attributes and, if fitted, the bits of its predictions."""
    attributes = dict(vars(net))
    before = predictions(net) if "network_" in attributes else ()
    yield
    assert vars(net).keys() == attributes.keys()
    assert all(vars(net)[name] is value for name, value in attributes.items())
    for value, value_before in zip(predictions(net) if before else (), before, strict=True):
        assert_array_equal(value, value_before)


@contextmanager
def assert_refused(net, *patterns, exception=ValueError):
    """Assert that a call is refused with a message that contains all patterns, and leaves no trace."""
    with assert_unchanged(net):
        with pytest.raises(exception) as caught:
            yield
        assert isinstance(caught.value, exception)
        message = str(caught.value)
        for pattern in patterns:
            assert re.search(pattern, message), f"{pattern!r} not found in: {message}"


def parametrize(argnames, table):
    """Parametrize over the items of a dict whose values are tuples."""
    return pytest.mark.parametrize(argnames, [pytest.param(*row, id=name) for name, row in table.items()])


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
NOT_A_NUMBER = ["0.5", None, (0.5,), np.nan]
NOT_POSITIVE = [*NOT_A_NUMBER, 0, -1.0, np.inf]
NOT_A_SHARE = [*NOT_A_NUMBER, -0.1, 1.0, 1.5, np.inf]
NOT_A_COUNT = ["3", None, 0, -1, 2.5, np.nan]
NOT_A_FLAG = ["yes", None, 2, 0.0]

BAD_VALUES = {
    "layers": ["conv", 3, {"conv1": 3}, {1}],
    "conv_layer_sizes": NOT_SIZES,
    "kernel_size": NOT_A_PAIR,
    "pool_size": NOT_A_PAIR,
    "pooling": ["min", 2, True, ("max",)],
    "normalization": ["layer", 1, True],
    "hidden_layer_sizes": NOT_SIZES,
    "activation": ["softmax", "rely", None, 1, ReLU, Flatten()],
    "dropout": NOT_A_SHARE,
    "image_shape": [
        "6x5",
        30,
        6.0,
        {6, 5},
        (),
        (30,),
        (6, 5, 1, 1),
        (6.0, 5.0),
        (-6, -5),
        (0, 5),
        ("6", "5"),
        (True, 30),
    ],
    "data_format": ["NHWC", None, 1],
    "input_scaling": ["minmax", True, 1.0],
    "init_scaling": ["standardize", True, 1.0],
    "dtype": ["float16", "double", None, 32],
    "augmentation": ["flip", 3, True, {"flip"}],
    "tta": ["auto", 3, True, {"flip"}],
    "loss": ["mse", None, 1],
    "focal_gamma": [*NOT_A_NUMBER, -0.1, np.inf],
    "label_smoothing": NOT_A_SHARE,
    "class_weight": ["auto", 2, [1, 2, 3], {0: -1.0}, {0: np.nan}, {0: np.inf}, {0: "a"}, {0: None}],
    "solver": ["newton", None, 1],
    "alpha": [*NOT_A_NUMBER, -1e-4, np.inf],
    "batch_size": ["all", None, 0, -1, 2.5, np.nan],
    "learning_rate": ["linear", 0.1, None],
    "learning_rate_init": NOT_POSITIVE,
    "warmup": [*NOT_A_NUMBER, -0.1, np.inf],
    "step_size": NOT_A_COUNT,
    "step_factor": [*NOT_POSITIVE, 1.5],
    "momentum": NOT_A_SHARE,
    "nesterovs_momentum": NOT_A_FLAG,
    "beta_1": NOT_A_SHARE,
    "beta_2": NOT_A_SHARE,
    "epsilon": NOT_POSITIVE,
    "clip_norm": [value for value in NOT_POSITIVE if value is not None],
    "averaging": ["mean", 0.9, True],
    "averaging_decay": NOT_A_SHARE,
    "averaging_start": NOT_A_SHARE,
    "max_iter": [value for value in NOT_A_COUNT if value is not None],
    "tol": [*NOT_A_NUMBER, -1e-4, np.inf],
    "n_iter_no_change": [*NOT_A_COUNT, -np.inf],
    "shuffle": NOT_A_FLAG,
    "early_stopping": NOT_A_FLAG,
    "validation_fraction": [*NOT_A_SHARE, 0.0],
    "scoring": ["acuracy", 3, ["accuracy"]],
    "max_time": [value for value in NOT_POSITIVE if value is not None],
    "warm_start": NOT_A_FLAG,
    "random_state": ["zero", -1, 1.5, np.nan],
    "verbose": ["loud", -1, None],
}

BAD_PARAMETERS = [
    pytest.param(name, value, id=f"{name}={value!r}")
    for name, values in BAD_VALUES.items()
    for value in values
]


def said_of(name, value):
    """Return the patterns of a message that names a parameter, what it got and what was expected."""
    return rf"\b{name}\b", re.escape(repr(value)), "must|expected"


def test_no_parameter_is_forgotten():
    parameters = list(inspect.signature(ConvNetClassifier).parameters)
    assert list(BAD_VALUES) == parameters


@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS)
def test_parameter_is_refused_by_fit(name, value):
    net = make_net(**{name: value})
    with assert_refused(net, *said_of(name, value)):
        net.fit(X, Y)


@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS)
def test_parameter_is_refused_by_the_first_partial_fit(name, value):
    net = make_net(**{name: value})
    with assert_refused(net, *said_of(name, value)):
        net.partial_fit(X, Y, classes=[0, 1, 2])


@pytest.mark.parametrize(
    "name",
    ["alpha", "learning_rate_init", "warmup", "epsilon", "clip_norm", "tol", "max_time", "focal_gamma"],
)
def test_an_int_that_is_too_large_for_a_float_is_refused(name):
    net = make_net(loss="focal", **{name: 10**400})
    with assert_refused(net, rf"\b{name}\b", "must be a float"):
        net.fit(X, Y)


OF_FIT = [row for row in BAD_PARAMETERS if row.values[0] != "tta"]  # which predictions read


@pytest.mark.parametrize(("name", "value"), OF_FIT)
def test_parameter_refused_by_fit_leaves_the_fitted_model(fitted, name, value):
    before = predictions(fitted)
    fitted.set_params(**{name: value})
    with assert_refused(fitted, *said_of(name, value)):
        fitted.fit(X, Y)
    for prediction, prediction_before in zip(predictions(fitted), before, strict=True):
        assert_array_equal(prediction, prediction_before)


def test_thread_variable_is_refused(fitted, monkeypatch):
    before = predictions(fitted)
    for value in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("SKCNN_NUM_THREADS", value)
        for call in (lambda: fitted.predict(X), lambda: fitted.fit(X, Y)):
            with pytest.raises(ValueError, match=f"SKCNN_NUM_THREADS must be a positive .* got '{value}'"):
                call()
    monkeypatch.delenv("SKCNN_NUM_THREADS")
    assert_array_equal(predictions(fitted)[0], before[0])


# layers

BAD_LAYERS = {
    # entries and names
    "an estimator": (
        [Conv2D(2), LogisticRegression()],
        r"layers\[1\]",
        "LogisticRegression",
        "must be a layer",
    ),
    "None": ([None], r"layers\[0\]", "None", "must be a layer"),
    "a number": ([3], r"layers\[0\]", "3", "must be a layer"),
    "a class": ([Conv2D], r"layers\[0\]", "Conv2D", "must be a layer"),
    "other text": (["skip"], r"layers\[0\]", "'skip'", "must be a layer"),
    "named number": ([("conv1", 3)], r"layers\[0\]", r"\('conv1', 3\)", "must be a layer"),
    "name alone": ([("conv1",)], r"layers\[0\]", r"\('conv1',\)", "must be a layer"),
    "triple": ([("conv1", Conv2D(2), 1)], r"layers\[0\]", "must be a layer"),
    "name that is no text": ([(1, Conv2D(2))], r"layers\[0\]", "must be a layer"),
    "two underscores": ([("conv__1", Conv2D(2))], "'conv__1'", "not .*contain '__'"),
    "empty name": ([("", Conv2D(2))], "''", "not be empty"),
    "duplicate name": ([("conv", Conv2D(2)), ("conv", Dense(2))], "'conv' twice", "unique"),
    "duplicate made name": ([("conv2d_1", Conv2D(2)), Conv2D(2)], "'conv2d_1' twice", "unique"),
    "name of an activation": (
        [("conv", Conv2D(2, activation="relu")), ("conv_relu", ReLU())],
        "'conv_relu' twice",
        "unique",
    ),
    "name of a parameter": ([("alpha", Conv2D(2))], "'alpha'", "name of a parameter"),
    "name input": ([("input", Conv2D(2))], "'input'", "reserved"),
    "name output": ([("output", Dense(2))], "'output'", "reserved"),
    # order
    "softmax by name": (
        [Dense(3, activation="softmax")],
        "'dense_1_softmax'",
        "adds the output layer",
        "leave it",
    ),
    "softmax before dropout": ([Dense(3), ("last", Softmax()), Dropout()], "'last'", "leave it out"),
    "softmax": ([Dense(3), ("last", Softmax())], "'last'", "adds the output layer", "leave it out"),
    "softmax in a container": (
        [Dense(3), ("last", Sequential([Softmax()]))],
        "'last__softmax_1'",
        "adds the output layer",
    ),
    "convolution after flatten": ([Flatten(), Conv2D(2)], "'conv2d_1'", r"expected an image", r"\(30,\)"),
    "convolution after dense": ([Dense(4), Conv2D(2)], "'conv2d_1'", r"expected an image", r"\(4,\)"),
    "pooling after dense": ([Dense(4), MaxPool2D()], "'maxpool2d_1'", "expected an image", r"\(4,\)"),
    "global pooling twice": (
        [GlobalAvgPool2D(), ("again", GlobalAvgPool2D())],
        "'again'",
        "expected an image",
        r"\(1,\)",
    ),
    "flatten twice": ([Flatten(), ("again", Flatten())], "'again'", "expected an image", r"\(30,\)"),
    # sizes
    "kernel too large": (
        [Conv2D(2, 7, padding="valid")],
        "'conv2d_1'",
        r"kernel_size=\(7, 7\)",
        r"larger than the padded image of \(6, 5\)",
    ),
    "kernel too large for padding": ([Conv2D(2, (3, 9), padding=1)], "'conv2d_1'", r"\(3, 9\)", r"\(8, 7\)"),
    "pooling to nothing": (
        [MaxPool2D(), MaxPool2D(), ("third", AvgPool2D())],
        "'third'",
        r"pool_size=\(2, 2\) is larger than the padded image of \(1, 1\)",
    ),
    # hyperparameters of layers
    "no filters": ([Conv2D(0)], "'conv2d_1'", r"\bfilters\b.* must be", "[Gg]ot 0"),
    "filters as text": ([Conv2D("8")], "'conv2d_1'", r"\bfilters\b.* must be", "[Gg]ot '8'"),
    "filters as float": ([Conv2D(8.0)], "'conv2d_1'", r"\bfilters\b.* must be", "[Gg]ot 8.0"),
    "kernel of zero": ([("a", Conv2D(2, 0))], "layer 'a'", "kernel_size must be", "got 0"),
    "kernel of three": ([("a", Conv2D(2, (3, 3, 3)))], "layer 'a'", "kernel_size must be", r"\(3, 3, 3\)"),
    "strides of zero": ([("a", Conv2D(2, strides=0))], "layer 'a'", "strides must be", "got 0"),
    "padding as text": ([("a", Conv2D(2, padding="full"))], "layer 'a'", "padding must be", "got 'full'"),
    "padding negative": ([("a", Conv2D(2, padding=-1))], "layer 'a'", "padding must be", "got -1"),
    "unknown activation": (
        [("a", Conv2D(2, activation="rely"))],
        "'a'",
        "activation must be",
        "got 'rely'",
    ),
    "activation of another kind": (
        [("a", Dense(2, activation=Flatten()))],
        "'a'",
        "activation must be",
        r"got Flatten\(\)",
    ),
    "hyperparameter of an activation": (
        [("a", Dense(2, activation=LeakyReLU(-1)))],
        "'a'",
        "'negative_slope' parameter",
        "Got -1",
    ),
    "bias as text": (
        [("a", Conv2D(2, use_bias="no"))],
        "layer 'a'",
        r"\buse_bias\b.* must be",
        "[Gg]ot 'no'",
    ),
    "no units": ([("a", Dense(0))], "layer 'a'", r"\bunits\b.* must be", "[Gg]ot 0"),
    "bias of units as None": (
        [("a", Dense(2, use_bias=None))],
        "layer 'a'",
        r"\buse_bias\b.* must be",
        "[Gg]ot None",
    ),
    "window of zero": ([("a", MaxPool2D(0))], "layer 'a'", "pool_size must be", "got 0"),
    "window as text": ([("a", AvgPool2D("2"))], "layer 'a'", "pool_size must be", "got '2'"),
    "window strides": ([("a", MaxPool2D(2, strides=-1))], "layer 'a'", "strides must be", "got -1"),
    "dropout of all": ([("a", Dropout(1.0))], "layer 'a'", r"\brate\b.* must be", "[Gg]ot 1.0"),
    "dropout negative": ([("a", Dropout(-0.5))], "layer 'a'", r"\brate\b.* must be", "[Gg]ot -0.5"),
    "momentum of one": (
        [("a", BatchNorm(momentum=1.0))],
        "layer 'a'",
        r"\bmomentum\b.* must be",
        "[Gg]ot 1.0",
    ),
    "epsilon of zero": ([("a", BatchNorm(epsilon=0))], "layer 'a'", r"\bepsilon\b.* must be", "[Gg]ot 0"),
    "epsilon as text": (
        [("a", BatchNorm(epsilon="small"))],
        "layer 'a'",
        r"\bepsilon\b.* must be",
        "[Gg]ot 'small'",
    ),
}


@pytest.mark.parametrize(
    ("layers", "patterns"), [pytest.param(row[0], row[1:], id=name) for name, row in BAD_LAYERS.items()]
)
def test_layers_are_refused(fitted, layers, patterns):
    for net in (make_net(layers), fitted.set_params(layers=layers)):
        with assert_refused(net, *patterns):
            net.fit(X, Y)


def test_compact_kernel_larger_than_the_image_is_padded():
    assert make_net(kernel_size=9).fit(X, Y).predict(X).shape == Y.shape


# images


def with_pixel(value, dtype=None):
    bad = X.astype(dtype) if dtype else X.copy()
    bad[3, 2, 1, 0] = value
    return bad


def make_ragged(other_shape):
    images = [np.zeros((6, 5, 1)), np.zeros(other_shape)] * (N_SAMPLES // 2)
    array = np.empty(N_SAMPLES, object)
    for index, image in enumerate(images):
        array[index] = image
    return images, array


FLAT = X.reshape(N_SAMPLES, -1)

BAD_IMAGES = {
    "NaN": (with_pixel(np.nan), ValueError, "Input X contains NaN"),
    "NaN in float32": (with_pixel(np.nan, "float32"), ValueError, "Input X contains NaN"),
    "NaN in a list": (with_pixel(np.nan).tolist(), ValueError, "Input X contains NaN"),
    "None in an array": (with_pixel(None, object), ValueError, "Input X contains NaN"),
    "infinity": (with_pixel(np.inf), ValueError, "Input X contains infinity"),
    "minus infinity": (with_pixel(-np.inf), ValueError, "Input X contains infinity"),
    "complex": (X + 1j, ValueError, "X is not an array of images: Complex data not supported$"),
    "complex list": ((X + 1j).tolist(), ValueError, "Complex data not supported"),
    "text": (np.full(X.shape, "a"), ValueError, "X is not an array of images: .*strings"),
    "text object": (with_pixel("a", object), ValueError, "X is not an array of images: .* float: 'a'"),
    "dict object": (with_pixel({}, object), TypeError, "argument must be .* string.* number"),
    "dates": (np.zeros(X.shape, "M8[s]"), ValueError, "X must hold real numbers, got dtype datetime64"),
    "sparse matrix": (scipy.sparse.csr_matrix(FLAT), TypeError, "[Ss]parse"),
    "sparse array": (scipy.sparse.csr_array(FLAT), TypeError, "[Ss]parse"),
    "None": (None, ValueError, "X"),
    "number": (3.0, ValueError, "X"),
    "no samples": (X[:0], ValueError, r"0 sample\(s\) \(shape=\(0, 6, 5, 1\)\) while a minimum of 1"),
    "no rows": (FLAT[:0], ValueError, r"0 sample\(s\) \(shape=\(0, 30\)\) while a minimum of 1"),
    "no features": (FLAT[:, :0], ValueError, r"0 feature\(s\) \(shape=\(24, 0\)\) while a minimum of 1"),
    "no height": (X[:, :0], ValueError, r"0 feature\(s\) \(shape=\(24, 0, 5, 1\)\) while a minimum of 1"),
    "five axes": (X[..., np.newaxis], ValueError, r"X must have shape .* 5 axes, shape \(24, 6, 5, 1, 1\)"),
    "one axis": (FLAT[:, 0], ValueError, r"batch axis.* shape \(24,\)"),
    "ragged list": (make_ragged((4, 5, 1))[0], ValueError, r"X is ragged: .* entry 1 is \(4, 5, 1\)"),
    "ragged array": (make_ragged((4, 5, 1))[1], ValueError, r"X is ragged: .* entry 1 is \(4, 5, 1\)"),
    "ragged widths": (make_ragged((6, 4, 1))[1], ValueError, r"X is ragged: .* entry 1 is \(6, 4, 1\)"),
    "ragged axes": (make_ragged((30,))[0], ValueError, r"X is ragged: .* entry 1 is \(30,\)"),
    "pairs": (list(zip(X, Y, strict=True)), ValueError, "entry 0 of X is a pair, not an image"),
    "missing image": (lambda: series([*X[:3], None, *X[4:]]), ValueError, "entry 3 of X is None"),
    "masked": (np.ma.masked_greater(X, 1), ValueError, "X has masked values"),
    "masked NaN": (np.ma.masked_invalid(with_pixel(np.nan)), ValueError, "X has masked values"),
    "masked list": (list(np.ma.masked_greater(X, 1)), ValueError, "X has masked values"),
    "dict": ({"data": X}, ValueError, "X must be an array of images, got an object of type dict$"),
    "set": ({1, 2}, ValueError, "X must be an array of images, got an object of type set$"),
    "dict values": ({0: X}.values(), ValueError, "X must be .* got an object of type dict_values$"),
    "path": ("train.npy", ValueError, "X must be an array of images, got 'train.npy'$"),
    "large ints": ([[10**400] * 30] * N_SAMPLES, ValueError, "X is not an array of images: int too large"),
}


@parametrize(("images", "exception", "pattern"), BAD_IMAGES)
def test_images_are_refused_by_fit(fitted, images, exception, pattern):
    for net in (make_net(), fitted):
        with assert_refused(net, pattern, exception=exception):
            net.fit(build(images), Y)


@parametrize(("images", "exception", "pattern"), BAD_IMAGES)
def test_images_are_refused_by_partial_fit(fitted, images, exception, pattern):
    for net in (make_net(), fitted):
        with assert_refused(net, pattern, exception=exception):
            net.partial_fit(build(images), Y, classes=[0, 1, 2])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
@parametrize(("images", "exception", "pattern"), BAD_IMAGES)
def test_images_are_refused_by_predict(fitted, images, exception, pattern, method):
    with assert_refused(fitted, pattern, exception=exception):
        getattr(fitted, method)(build(images))


@parametrize(("images", "exception", "pattern"), BAD_IMAGES)
def test_images_are_refused_as_validation_data(images, exception, pattern):
    net = make_net(early_stopping=True)
    with assert_refused(net, pattern, exception=exception):
        net.fit(X, Y, X_val=build(images), y_val=Y)


@pytest.mark.parametrize("other", [Y, list(X)], ids=["labels", "images"])
def test_a_column_of_images_beside_another_is_refused(other):
    net, frame = make_net(), data_frame({"image": list(X), "other": other})
    with assert_refused(net, r"X of shape \(24, 2\) has arrays in several columns: give one column"):
        net.fit(frame, Y)


ITERATORS = {
    "generator": lambda values: (value for value in values),
    "map": lambda values: map(np.asarray, values),
    "zip": lambda values: zip(values, values, strict=True),
}


@pytest.mark.parametrize(("name", "make"), ITERATORS.items(), ids=ITERATORS)
def test_iterators_are_refused(fitted, name, make):
    for net in (make_net(), fitted):
        with assert_refused(net, f"X must be an array of images, got an object of type {name}$"):
            net.fit(make(X), Y)
        with assert_refused(net, f"y must be an array of labels, got an object of type {name}$"):
            net.fit(X, make(Y))
        with assert_refused(net, f"sample_weight must hold finite numbers: .* not '{name}'$"):
            net.fit(X, Y, sample_weight=make(Y))


def test_text_columns_are_refused():
    frame = data_frame(FLAT).add_prefix("pixel")
    bad = frame.astype({"pixel3": object})
    bad.loc[2, "pixel3"] = "a"
    fitted = make_net(image_shape=(6, 5)).fit(frame, Y)
    for net, call in (
        (make_net(), lambda: make_net().fit(bad, Y)),
        (fitted, lambda: fitted.fit(bad, Y)),
        (fitted, lambda: fitted.predict(bad)),
    ):
        attributes = dict(vars(net))
        with pytest.raises(ValueError, match="could not convert string to float: 'a'"):
            call()
        assert vars(net) == attributes


@pytest.fixture(params=[0, N_SAMPLES - 1], ids=["first", "last"])
def large(request):
    """Return images with a value that is infinite in float32."""
    images = X.copy()
    images[request.param, 0, 0, 0] = 1e300
    return images


NOT_FINITE = (r"\bX", "not finite in float32")


TOO_LARGE = (r"\bX", "squares are not finite in float64")


@pytest.mark.parametrize(("input_scaling", "patterns"), [("standardize", TOO_LARGE), (None, NOT_FINITE)])
def test_values_not_finite_in_the_compute_dtype_are_refused(large, input_scaling, patterns):
    params = {"dtype": "float32", "input_scaling": input_scaling}
    for net in (make_net(**params), deepcopy(fitted_net(**params))):
        with assert_refused(net, *patterns):
            net.fit(large, Y)
        with assert_refused(net, *patterns):
            net.partial_fit(large, Y, classes=[0, 1, 2])


def test_values_not_finite_in_the_compute_dtype_are_refused_by_predict(large):
    net = deepcopy(fitted_net(dtype="float32"))
    with assert_refused(net, *NOT_FINITE):
        net.predict(large)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_values_not_finite_in_the_compute_dtype_are_refused_as_validation_data(large, scoring):
    net = make_net(dtype="float32", early_stopping=True, scoring=scoring)
    with assert_refused(net, *NOT_FINITE):
        net.fit(X, Y, X_val=large, y_val=Y)


def test_scores_that_are_not_finite_are_refused():
    """Three layers of weights a thousand times as large make a number above 1e308 of almost that."""
    fitted = deepcopy(fitted_net(activation="identity"))
    fitted.network_.vector *= 1000
    with assert_refused(fitted, "scores of sample 5 are not finite", "values are too large for float64"):
        large = X.copy()
        large[5] *= 1e308 / np.abs(large[5]).max()
        fitted.predict_proba(large)


def test_values_too_large_to_standardize_are_refused():
    net = make_net()
    with assert_refused(net, r"\bX\b", "too large|not finite"):
        net.fit(X * 1e300, Y)


WRONG_SHAPES = {
    "fewer features": (
        FLAT[:, 1:],
        r"X has 29 features, but ConvNetClassifier is expecting 30 features as input\. .* shape \(29,\),",
    ),
    "more features": (np.hstack([FLAT, FLAT]), "X has 60 features, but ConvNetClassifier is expecting 30"),
    "smaller images": (
        X[:, 1:],
        r"X has 25 features, .* shape \(5, 5, 1\), expected .*\(6, 5, 1\), \(6, 5\)\]",
    ),
    "more channels": (
        X.repeat(3, axis=3),
        r"X has 90 features, .* shape \(6, 5, 3\), .*\(6, 5, 1\)",
    ),
    "smaller pictures": (list(X[:, :4]), r"X has 20 features, .* shape \(4, 5, 1\), expected .*\(6, 5, 1\)"),
    "transposed": (X.transpose(0, 2, 1, 3), r"shape \(24, 5, 6, 1\) .*wrong layout.*\(6, 5, 1\)"),
    "channels first": (X.transpose(0, 3, 1, 2), r"shape \(24, 1, 6, 5\) .*wrong layout.*\(6, 5, 1\)"),
    "single image": (X[0], r"expecting 30 features .*add the batch axis: X\[np\.newaxis\]"),
    "single grey image": (X[0, ..., 0], r"expecting 30 features .*add the batch axis: X\[np\.newaxis\]"),
    "single row": (FLAT[0], r"batch axis.* shape \(30,\)\. .*X\.reshape\(1, -1\)"),
}


@parametrize(("images", "pattern"), WRONG_SHAPES)
def test_shapes_other_than_the_fitted_one_are_refused(fitted, images, pattern):
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        with assert_refused(fitted, pattern):
            getattr(fitted, method)(build(images))


@parametrize(("images", "pattern"), WRONG_SHAPES)
def test_shapes_other_than_the_fitted_one_are_refused_in_further_training(fitted, images, pattern):
    labels = np.resize(Y, len(images))
    with assert_refused(fitted, pattern):
        fitted.partial_fit(images, labels)
    fitted.set_params(warm_start=True)
    with assert_refused(fitted, pattern):
        fitted.fit(images, labels)


@parametrize(("images", "pattern"), WRONG_SHAPES)
def test_shapes_other_than_the_fitted_one_are_refused_as_validation_data(images, pattern):
    net = make_net(early_stopping=True)
    with assert_refused(net, pattern):
        net.fit(X, Y, X_val=images, y_val=np.resize(Y, len(images)))


def test_single_image_is_refused_by_fit(fitted):
    for net in (make_net(), fitted):
        with assert_refused(net, "inconsistent numbers of samples", r"\[6, 1\]"):
            net.fit(X[0], [0])


@pytest.mark.parametrize("image_shape", [(6, 6), (6, 5, 3), (5, 6, 2), (29, 1)], ids=str)
def test_flat_rows_that_do_not_fit_image_shape_are_refused(fitted, image_shape):
    for net in (make_net(image_shape=image_shape), fitted.set_params(image_shape=image_shape)):
        with assert_refused(
            net, r"X of shape \(24, 30\)", re.escape(f"image_shape={image_shape}"), "expected"
        ):
            net.fit(FLAT, Y)


def test_images_that_do_not_fit_image_shape_are_refused():
    net = make_net(image_shape=(5, 6, 1))
    with assert_refused(net, r"X of shape \(24, 6, 5, 1\)", r"image_shape=\(5, 6, 1\)", "expected"):
        net.fit(X, Y)


def test_predict_before_fit_is_refused():
    net = make_net()
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        with assert_refused(net, "not fitted yet", exception=NotFittedError):
            getattr(net, method)(X)


# labels

BAD_LABELS = {
    "None": (None, "y"),
    "continuous": (Y + 0.5, "Unknown label type: .*continuous"),
    "NaN": (np.where(Y == 0, np.nan, Y), "Input y(_val)? contains NaN"),
    "infinity": (np.where(Y == 0, np.inf, Y), "Input y(_val)? contains infinity"),
    "missing": (np.where(Y == 0, None, "a"), "[Uu]nknown|all (be )?numbers or all (be )?strings"),
    "mixed": (np.where(Y == 0, "a", Y.astype(object)), "[Uu]nknown|all (be )?numbers or all (be )?strings"),
    "complex": (Y + 1j, r"\by(_val)? must be an array of labels: Complex data not supported$"),
    "one-hot": (
        np.eye(3)[Y],
        r"y(_val)? must be one label a sample, got shape \(24, 3\)\. .*y(_val)?\.argmax",
    ),
    "multilabel": (np.eye(3, dtype=int)[Y], r"y(_val)? must be one label a sample, got shape \(24, 3\)"),
    "images": (X, r"y|dim 4"),
    "too short": (Y[:-1], r"inconsistent numbers of samples: \[24, 23\]"),
    "too long": (np.append(Y, 0), r"inconsistent numbers of samples: \[24, 25\]"),
    "empty": ([], r"inconsistent numbers of samples: \[24, 0\]"),
    "number": (1, r"\by(_val)? must be an array of labels, got 1$"),
    "ragged": ([[0], [0, 1]] * 12, r"\by(_val)? must be an array of labels: .*inhomogeneous"),
    "bytes": (np.array([b"cat", b"dog", b"elk"])[Y], r"labels in y(_val)? are bytes.*label\.decode\(\)"),
    "wide bytes": (np.array([b"a", b"b", b"c"], "S9")[Y], r"labels in y(_val)? are bytes"),
    "bytes as objects": (lambda: series([b"cat", b"dog", b"elk"] * 8), r"labels in y(_val)? are bytes"),
    "some bytes": (np.array(["cat", "dog", b"elk"], object)[Y], "labels in y(_val)? are bytes"),
    "dict": (dict(enumerate(Y)), r"\by(_val)? must be an array of labels, got an object of type dict$"),
    "set": ({0, 1, 2}, r"\by(_val)? must be an array of labels, got an object of type set$"),
    "dict values": ({0: 1}.values(), r"\by(_val)? must be .* an object of type dict_values$"),
    "text": ("label", r"\by(_val)? must be an array of labels, got 'label'$"),
    "dicts": ([{"label": 1}] * N_SAMPLES, r"\by(_val)? must be an array of labels: Unknown label type"),
    "masked": (np.ma.masked_equal(Y, 1), "y(_val)? has masked values"),
    "masked text": (np.ma.masked_equal(Y.astype(str), "1"), "y(_val)? has masked values"),
    "masked list": (list(np.ma.masked_equal(Y, 1)), "y(_val)? has masked values"),
}


@parametrize(("labels", "pattern"), BAD_LABELS)
def test_labels_are_refused_by_fit(fitted, labels, pattern):
    for net in (make_net(), fitted):
        with assert_refused(net, pattern):
            net.fit(X, build(labels))


@parametrize(("labels", "pattern"), BAD_LABELS)
def test_labels_are_refused_by_partial_fit(fitted, labels, pattern):
    for net in (make_net(), fitted):
        with assert_refused(net, pattern):
            net.partial_fit(X, build(labels), classes=[0, 1, 2])


BAD_VALIDATION_LABELS = {name: row for name, row in BAD_LABELS.items() if name != "None"}


@parametrize(("labels", "pattern"), BAD_VALIDATION_LABELS)
def test_validation_labels_are_refused(labels, pattern):
    net = make_net(early_stopping=True)
    with assert_refused(net, pattern):
        net.fit(X, Y, X_val=X, y_val=build(labels))


@pytest.mark.parametrize("label", [0, 1, "a"])
def test_one_class_is_refused(fitted, label):
    for net in (make_net(), fitted):
        with assert_refused(net, "ConvNetClassifier", "at least 2 classes", "1 class", repr(label)):
            net.fit(X, np.full(N_SAMPLES, label))


def test_zero_images_are_refused_by_every_prediction_and_score(fitted):
    for call in (fitted.predict, fitted.predict_proba, fitted.decision_function, fitted.predict_log_proba):
        with assert_refused(fitted, r"0 sample\(s\) \(shape=\(0,\)\) while a minimum of 1"):
            call([])
    with assert_refused(fitted, r"0 sample\(s\)"):
        fitted.score(X[:0], Y[:0])


def test_one_class_left_by_weights_is_refused(fitted):
    for net in (make_net(), fitted):
        with assert_refused(net, "1 class"):
            net.fit(X, Y, sample_weight=(Y == 1).astype(float))


def test_new_labels_are_refused_by_warm_start(fitted):
    fitted.set_params(warm_start=True)
    with assert_refused(fitted, r"y contains labels \[3\]", r"classes \[0, 1, 2\]"):
        fitted.fit(X, Y + 1)


def test_a_message_about_many_labels_is_short(fitted):
    fitted.set_params(warm_start=True)
    for labels in (np.arange(N_SAMPLES) + 3, [f"name {number}" for number in range(N_SAMPLES)]):
        with pytest.raises(ValueError, match="y contains labels") as caught:
            fitted.fit(np.repeat(X, 20, axis=0), np.repeat(labels, 20))
        assert len(str(caught.value)) < 400
    net = make_net(class_weight=dict.fromkeys(range(1000), -1.0))
    with pytest.raises(ValueError, match="class_weight must hold finite weights >= 0") as caught:
        net.fit(X, Y)
    assert len(str(caught.value)) < 400


def test_new_validation_labels_are_refused():
    net = make_net(early_stopping=True)
    with assert_refused(net, r"y_val contains labels \[3\]", r"classes \[0, 1, 2\]"):
        net.fit(X, Y, X_val=X, y_val=Y + 1)


# weights

BAD_WEIGHTS = {
    "negative": (np.where(Y == 0, -0.5, 1.0), "must not be negative, got -0.5"),
    "NaN": (np.where(Y == 0, np.nan, 1.0), "contains NaN"),
    "infinity": (np.where(Y == 0, np.inf, 1.0), "contains infinity"),
    "too short": (np.ones(23), r"must have shape \(24,\).* got \(23,\)"),
    "two axes": (np.ones((24, 1)), r"must have shape \(24,\).* got \(24, 1\)"),
    "text": (["heavy"] * 24, "could not convert string to float: .*'heavy'"),
    "zero": (np.zeros(24), "is zero for every sample: at least one must be positive"),
    "negative number": (-1.0, "must not be negative, got -1.0"),
    "complex": (np.ones(24) + 1j, "Complex data not supported$"),
    "dict": (dict(enumerate(Y)), "must hold finite numbers: .* not 'dict'"),
    "set": ({1, 2}, "must hold finite numbers: .* not 'set'"),
    "dict values": ({0: 1.0}.values(), "must hold finite numbers: .* not 'dict_values'"),
    "word": ("balanced", "must hold finite numbers: .*'balanced'"),
    "large int": (10**400, "must hold finite numbers: int too large"),
    "large ints": ([10**400] * 24, "must hold finite numbers: int too large"),
    "dates": (np.arange(24).astype("M8[D]"), "must hold finite numbers, got dtype datetime64"),
    "masked": (np.ma.masked_less(np.arange(24), 3), "has masked values"),
    "masked list": (list(np.ma.masked_less(np.arange(24), 3)), "has masked values"),
}


@parametrize(("weights", "pattern"), BAD_WEIGHTS)
def test_sample_weights_are_refused_by_fit(fitted, weights, pattern):
    for net in (make_net(), fitted):
        with assert_refused(net, pattern):
            net.fit(X, Y, sample_weight=weights)


@parametrize(("weights", "pattern"), {name: row for name, row in BAD_WEIGHTS.items() if name != "zero"})
def test_sample_weights_are_refused_by_partial_fit(fitted, weights, pattern):
    for net in (make_net(), fitted):
        with assert_refused(net, pattern):
            net.partial_fit(X, Y, classes=[0, 1, 2], sample_weight=weights)


def test_zero_sample_weights_are_refused_by_the_first_partial_fit():
    net = make_net()
    with assert_refused(net, "sample_weight is zero for every sample"):
        net.partial_fit(X, Y, classes=[0, 1, 2], sample_weight=np.zeros(N_SAMPLES))


@parametrize(("weights", "pattern"), BAD_WEIGHTS)
def test_validation_weights_are_refused(weights, pattern):
    net = make_net(early_stopping=True)
    with assert_refused(net, pattern):
        net.fit(X, Y, X_val=X, y_val=Y, sample_weight_val=weights)


@pytest.mark.parametrize("name", BAD_WEIGHTS)
@pytest.mark.parametrize("argument", ["sample_weight", "sample_weight_val"])
def test_messages_name_the_weights(name, argument):
    net = make_net(early_stopping=True)
    with assert_refused(net, rf"\b{argument}\b"):
        net.fit(X, Y, X_val=X, y_val=Y, **{argument: BAD_WEIGHTS[name][0]})


BAD_CLASS_WEIGHTS = {
    "unknown label": ({0: 1.0, 7: 2.0}, r"\[7\]", r"classes \[0, 1, 2\]"),
    "label of another type": ({"0": 1.0}, r"\['0'\]", r"classes \[0, 1, 2\]"),
    "all zero": ({0: 0, 1: 0, 2: 0}, "zero for every class"),
    "too large": ({0: 10**400}, r"finite weights >= 0, got \{0: 1000+\.\.\.0+\}"),
}


@pytest.mark.parametrize(
    ("class_weight", "patterns"),
    [pytest.param(row[0], row[1:], id=name) for name, row in BAD_CLASS_WEIGHTS.items()],
)
def test_class_weights_are_refused(fitted, class_weight, patterns):
    for net in (make_net(), fitted):
        net.set_params(class_weight=class_weight)
        with assert_refused(net, "class_weight", *patterns):
            net.fit(X, Y)
        with assert_refused(net, "class_weight", *patterns):
            net.partial_fit(X, Y, classes=[0, 1, 2])


# hyperparameters that do not go together

MISFITS = {
    "cosine without epochs": (
        {"learning_rate": "cosine", "warmup": 1},
        r"warmup=1.* 1 epochs that max_iter allows",
    ),
    "one_cycle warmed up": (
        {"learning_rate": "one_cycle", "warmup": 0.5},
        "'one_cycle'.* set warmup=0, got 0.5",
    ),
    "random loss": ({"solver": "lbfgs", "dropout": 0.2}, r"solver='lbfgs'.* 'dropout1', Dropout\(rate=0.2\)"),
    "random layer": (
        {"solver": "lbfgs", "layers": [Sequential([("drop", SpatialDropout2D())])]},
        "solver='lbfgs'.* 'sequential_1__drop'.* leave it out",
    ),
}


@parametrize(("params", "pattern"), MISFITS)
def test_hyperparameters_that_do_not_go_together_are_refused_by_fit(fitted, params, pattern):
    for net in (make_net(), fitted):
        net.set_params(**params)
        with assert_refused(net, pattern):
            net.fit(X, Y)


ENDLESS = {
    "cosine": ({"learning_rate": "cosine"}, "learning_rate='cosine'.* choose 'constant'"),
    "one_cycle": ({"learning_rate": "one_cycle"}, "learning_rate='one_cycle'.* choose 'constant'"),
    "swa": ({"averaging": "swa"}, "averaging='swa'.* choose 'ema'"),
}


@parametrize(("params", "pattern"), ENDLESS)
def test_what_needs_to_know_the_number_of_epochs_is_refused_by_partial_fit(fitted, params, pattern):
    for net in (make_net(), fitted):
        net.set_params(**params)
        with assert_refused(net, pattern, "how many epochs are to come"):
            net.partial_fit(X, Y, classes=[0, 1, 2])


# validation data

BAD_COMBINATIONS = {
    "X_val alone": ({"X_val": X}, True, "y_val is missing"),
    "y_val alone": ({"y_val": Y}, True, "X_val is missing"),
    "weights alone": ({"sample_weight_val": np.ones(N_SAMPLES)}, True, "X_val and y_val are missing"),
    "without early stopping": ({"X_val": X, "y_val": Y}, False, "early_stopping=False"),
    "different lengths": (
        {"X_val": X, "y_val": Y[:-1]},
        True,
        r"inconsistent numbers of samples: \[24, 23\]",
    ),
}


@parametrize(("given", "early_stopping", "pattern"), BAD_COMBINATIONS)
def test_validation_arguments_are_refused(fitted, given, early_stopping, pattern):
    for net in (make_net(), fitted):
        net.set_params(early_stopping=early_stopping)
        with assert_refused(net, pattern):
            net.fit(X, Y, **given)


def test_validation_images_of_other_names_are_refused():
    frame = data_frame(FLAT, columns=[f"pixel{number}" for number in range(30)])
    net = make_net(early_stopping=True, image_shape=(6, 5))
    with assert_refused(net, "feature names should match|X_val"):
        net.fit(frame, Y, X_val=frame[frame.columns[::-1]], y_val=Y)


# partial_fit

BAD_CLASSES = {
    "none": (None, "classes must be passed on the first call to partial_fit"),
    "one": ([0], "at least 2 classes", "1 class"),
    "empty": ([], "class"),
    "continuous": ([0.5, 1.5], "Unknown label type: .*continuous"),
    "NaN": ([0, np.nan], "contains NaN"),
    "mixed": (np.array([0, "a"], object), "[Uu]nknown|all (be )?numbers or all (be )?strings"),
    "without some": ([0, 1], r"labels \[2\]", r"classes \[0, 1\]"),
    "two axes": ([[0, 1, 2], [0, 1, 2]], "classes"),
    "a number": (3, "^classes must be an array of labels, got 3$"),
    "a set": ({0, 1, 2}, "^classes must be an array of labels, got an object of type set$"),
    "a dict": ({0: "a", 1: "b"}, "^classes must be an array of labels, got an object of type dict$"),
    "a generator": ((label for label in [0, 1, 2]), "^classes must be .* an object of type generator$"),
    "no axis": (np.array(3), "^classes must be an array of labels, got 3$"),
    "bytes": ([b"a", b"b"], "^the labels in classes are bytes"),
    "masked": (np.ma.masked_equal([0, 1, 2, 3], 3), "^classes has masked values"),
}


@pytest.mark.parametrize(
    ("classes", "patterns"), [pytest.param(row[0], row[1:], id=name) for name, row in BAD_CLASSES.items()]
)
def test_classes_are_refused_by_the_first_partial_fit(classes, patterns):
    net = make_net()
    with assert_refused(net, *patterns):
        net.partial_fit(X, Y, classes=classes)


@pytest.mark.parametrize("classes", [[0, 1], [0, 1, 2, 3], [1, 2, 3], ["a", "b", "c"]], ids=str)
def test_other_classes_are_refused_by_the_next_partial_fit(fitted, classes):
    with assert_refused(fitted, "classes", "not the same as on the first call", re.escape("[0 1 2]")):
        fitted.partial_fit(X, Y, classes=classes)


def test_new_labels_are_refused_by_partial_fit(fitted):
    with assert_refused(fitted, r"y contains labels \[3\]", r"classes \[0, 1, 2\]"):
        fitted.partial_fit(X, Y + 1)


def test_balanced_class_weights_are_refused_by_partial_fit(fitted):
    for net in (make_net(), fitted):
        net.set_params(class_weight="balanced")
        with assert_refused(net, "class_weight='balanced'", "partial_fit", "dict"):
            net.partial_fit(X, Y, classes=[0, 1, 2])


def test_refused_partial_fit_does_not_disturb_the_training():
    net, other = make_net(), make_net()
    for estimator in (net, other):
        estimator.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="contains NaN"):
        net.partial_fit(BAD_IMAGES["NaN"][0], Y)
    assert_array_equal(net.partial_fit(X, Y).predict_proba(X), other.partial_fit(X, Y).predict_proba(X))


TOO_LARGE = {
    "dilation": (Conv2D(2, dilation=10**9), r"layer 'conv2d_1', Conv2D\(dilation=1000000000, filters=2\): "),
    "padding": (ZeroPad2D(10**7), r"layer 'zeropad2d_1', ZeroPad2D\(padding=10000000\): "),
    "more than numpy counts": (ZeroPad2D(10**9), r"layer 'zeropad2d_1', ZeroPad2D\(padding=1000000000\): "),
}


@pytest.mark.parametrize(("layer", "message"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_layer_that_there_is_no_memory_for_is_named(layer, message):
    net = make_net(layers=[layer, GlobalAvgPool2D()])
    with assert_refused(net, message, exception=MemoryError):
        net.fit(X, Y)
