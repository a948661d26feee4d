"""What scikit-learn's checks demand of flat rows, held on images, in every layout that they come in."""

import pickle
from itertools import count

import joblib
import numpy as np
import pytest
from extras import data_frame, picture, series
from numpy.testing import assert_allclose, assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, Dense, MaxPool2D
from skcnn.inspection import saliency_maps

HEIGHT, WIDTH, N_CLASSES = 6, 5, 3
PREDICTIONS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def make_images(channels, n_samples=45):
    """Return float64 images with a bright pixel for each class, and labels."""
    rng = generator(channels)
    y = np.arange(n_samples) % N_CLASSES
    X = rng.normal(size=(n_samples, HEIGHT, WIDTH, channels))
    X[np.arange(n_samples), 2 * y, y + 1, 0] += 4
    return X, y


def make_net(**params):
    """Return a small estimator; two epochs of three minibatches."""
    defaults = {
        "conv_layer_sizes": (4,),
        "normalization": None,
        "hidden_layer_sizes": (8,),
        "batch_size": 16,
        "max_iter": 2,
        "learning_rate_init": 1e-2,
        "random_state": SEED,
    }
    return ConvNetClassifier(**(defaults | params))


def weights_of(net):
    """Return all weights and running statistics of a fitted estimator."""
    return {
        f"{layer}.{name}": value
        for layer, params in net.network_.params.items()
        for name, value in params.items()
    }


def assert_same_weights(net, other):
    weights, others = weights_of(net), weights_of(other)
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert_array_equal(value, others[name], err_msg=name)


def test_the_shape_of_images_may_be_an_array():
    """Of the estimator, of its clone and of what it knows before fit."""
    X, y = make_images(1)
    flat = X.reshape(len(X), -1)
    net = clone(make_net(image_shape=np.array([HEIGHT, WIDTH])))
    assert net.summary().records == make_net(image_shape=(HEIGHT, WIDTH)).summary().records
    assert net.fit(flat, y).image_shape_ == (HEIGHT, WIDTH, 1)
    assert_same_weights(net, make_net(image_shape=(HEIGHT, WIDTH)).fit(flat, y))


def assert_same_model(net, X, other, other_X):
    """Assert that weights and probabilities have the same bits."""
    assert_same_weights(net, other)
    assert_array_equal(net.predict_proba(X), other.predict_proba(other_X))


@pytest.fixture(params=[1, 3], ids=["1 channel", "3 channels"])
def channels(request):
    return request.param


@pytest.fixture
def images(channels):
    return make_images(channels)


# layouts


def test_flat_rows_equal_images(images):
    X, y = images
    flat = X.reshape(len(X), -1)
    net = make_net().fit(X, y)
    flat_net = make_net(image_shape=X.shape[1:]).fit(flat, y)
    assert_same_model(net, X, flat_net, flat)


def test_images_without_channel_axis_equal_those_with_one_channel():
    X, y = make_images(1)
    assert_same_model(make_net().fit(X, y), X, make_net().fit(X[..., 0], y), X[..., 0])


def test_channels_first_equals_channels_last(images):
    X, y = images
    first = np.ascontiguousarray(np.moveaxis(X, -1, 1))
    net = make_net().fit(X, y)
    first_net = make_net(data_format="channels_first").fit(first, y)
    assert first_net.image_shape_ == net.image_shape_ == X.shape[1:]
    assert_same_model(net, X, first_net, first)


def test_flat_channels_first_equals_channels_last(images):
    X, y = images
    first = np.moveaxis(X, -1, 1)
    flat = first.reshape(len(X), -1)
    flat_net = make_net(data_format="channels_first", image_shape=first.shape[1:]).fit(flat, y)
    assert_same_model(make_net().fit(X, y), X, flat_net, flat)


def test_predict_takes_every_layout_of_the_images_fitted(images):
    X, y = images
    net = make_net().fit(X, y)
    expected = net.predict_proba(X)
    layouts = [X.reshape(len(X), -1)] + ([X[..., 0]] if X.shape[-1] == 1 else [])
    for other in layouts:
        assert_array_equal(net.predict_proba(other), expected)


@pytest.mark.parametrize(
    ("n_features", "data_format", "expected"),
    [
        (36, "channels_last", (6, 6, 1)),
        (36, "channels_first", (6, 6, 1)),
        (48, "channels_last", (1, 48, 1)),
        (48, "channels_first", (1, 48, 1)),
        (30, "channels_last", (1, 30, 1)),
    ],
)
def test_shape_of_flat_rows_is_inferred(n_features, data_format, expected):
    X = generator(0).normal(size=(20, n_features))
    net = make_net(data_format=data_format, max_iter=1).fit(X, np.arange(20) % 2)
    assert net.image_shape_ == expected
    assert net.n_features_in_ == n_features


# layouts that are likely to be others


def fit_shape(shape, **params):
    return make_net(layers=[], max_iter=1, **params).fit(np.zeros((4, *shape), np.uint8), [0, 1, 0, 1])


MISREAD = [
    ((1, 6, 6), "channels_last"),
    ((3, 20, 20), "channels_last"),
    ((4, 7, 7), "channels_last"),
    ((6, 6, 1), "channels_first"),
    ((20, 20, 3), "channels_first"),
    ((7, 7, 4), "channels_first"),
]


@pytest.mark.parametrize(("shape", "data_format"), MISREAD)
def test_channels_that_are_likely_elsewhere_are_warned_about(shape, data_format):
    other = {"channels_last": "channels_first", "channels_first": "channels_last"}[data_format]
    with pytest.warns(UserWarning, match=f"'{data_format}': set data_format='{other}'") as caught:
        fit_shape(shape, data_format=data_format)
    assert len(caught) == 1
    fit_shape(shape, data_format=other)
    fit_shape(shape, data_format=data_format, image_shape=shape)


@pytest.mark.parametrize(
    ("shape", "data_format"),
    [
        ((3, 4, 4), "channels_last"),  # either may be meant
        ((3, 3, 3), "channels_last"),
        ((2, 20, 20), "channels_last"),
        ((3, 20, 19), "channels_last"),
        ((20, 3, 20), "channels_last"),
        ((20, 20, 20), "channels_last"),
        ((3, 3, 4), "channels_first"),
        ((20, 20, 2), "channels_first"),
        ((20, 19, 3), "channels_first"),
        ((3, 20, 20), "channels_first"),
        ((63,), "channels_last"),
        ((64,), "channels_last"),
        ((784,), "channels_first"),
        ((1, 220), "channels_last"),
    ],
)
def test_other_layouts_are_not_warned_about(shape, data_format):
    fit_shape(shape, data_format=data_format)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("n_columns", [65, 192, 220, 3072])
def test_rows_of_many_columns_but_no_square_are_warned_about(n_columns, data_format):
    with pytest.warns(
        UserWarning, match=rf"rows of {n_columns} columns.*image_shape.*\(1, {n_columns}\)"
    ) as caught:
        net = fit_shape((n_columns,), data_format=data_format)
    assert len(caught) == 1
    assert net.image_shape_ == (1, n_columns, 1)
    fit_shape((n_columns,), data_format=data_format, image_shape=(1, n_columns))


def test_the_layout_is_warned_about_when_it_is_chosen():
    X, y = np.zeros((4, 3, 9, 9)), [0, 1, 0, 1]
    net = make_net(warm_start=True, early_stopping=True, validation_fraction=0.5)
    with pytest.warns(UserWarning, match="data_format"):
        net.partial_fit(X, y, classes=[0, 1])
    net.partial_fit(X, y).predict(X)
    net.fit(X, y, X_val=X, y_val=y).predict(X)


@pytest.mark.parametrize("image_shape", [(HEIGHT, WIDTH), (HEIGHT, WIDTH, 1), [HEIGHT, WIDTH]], ids=str)
def test_image_shape_may_leave_out_the_only_channel_and_be_a_list(image_shape):
    X, y = make_images(1)
    net = make_net(image_shape=image_shape).fit(X.reshape(len(X), -1), y)
    assert net.image_shape_ == (HEIGHT, WIDTH, 1)


# memory


def test_read_only_memory_map_equals_array(images, tmp_path):
    X, y = images
    np.save(tmp_path / "images.npy", X)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert_same_model(make_net().fit(X, y), X, make_net().fit(mapped, y), mapped)


def test_read_only_labels_and_weights_are_accepted(images):
    X, y = images
    weights = np.ones(len(X))
    for array in (X, y, weights):
        array.setflags(write=False)
    net = make_net().fit(X, y, sample_weight=weights)
    assert net.predict(X).shape == y.shape


def test_fortran_order_equals_c_order(images):
    X, y = images
    other = np.asfortranarray(X)
    assert not other.flags.c_contiguous
    assert_same_model(make_net().fit(X, y), X, make_net().fit(other, y), other)


def test_negative_strides_equal_positive_ones(images):
    X, y = images
    other = np.ascontiguousarray(X[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    assert min(other.strides) < 0
    assert_same_model(make_net().fit(X, y), X, make_net().fit(other, y), other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_foreign_byte_order_equals_native(images, dtype):
    X, y = images
    X = X.astype(dtype)
    other = X.astype(X.dtype.newbyteorder())
    net, other_net = make_net().fit(X, y), make_net().fit(other, y)
    assert other_net.network_.dtype == net.network_.dtype == dtype
    assert_same_model(net, X, other_net, other)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16"])
def test_small_types_equal_float32(images, dtype):
    X, y = images
    X = np.clip(np.round(30 * X + 120), 0, 255).astype("float32")
    other = X.astype(dtype)
    assert_same_model(make_net().fit(X, y), X, make_net().fit(other, y), other)


@pytest.mark.parametrize(
    ("dtype", "pedestal"), [("int64", 0), ("int64", 10**9), ("uint32", 4 * 10**9), ("float64", 3e8)]
)
def test_a_pedestal_of_wide_types_does_not_matter(images, dtype, pedestal):
    X, y = images
    X = np.clip(np.round(30 * X + 120), 0, 255).astype("float32")
    other = X.astype(dtype) + np.array(pedestal, dtype)
    expected = make_net().fit(X, y).predict_proba(X)
    net = pickle.loads(pickle.dumps(make_net(dtype="float32").fit(other, y)))
    assert_allclose(net.predict_proba(other), expected, rtol=1e-3)


def test_saliency_of_images_on_a_pedestal_is_that_without(images):
    """The baseline, the mean of float64, is as exact as the images."""
    X, y = images
    X = np.round(30 * X)
    net, other = (make_net(dtype="float32").fit(each, y) for each in (X, X + 1e9))
    for method in ("gradient", "integrated_gradients", "occlusion"):
        expected = saliency_maps(net, X[:3], method=method, target=0)
        found = saliency_maps(other, X[:3] + 1e9, method=method, target=0)
        assert_allclose(found, expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max(), err_msg=method)


def test_lists_and_object_arrays_equal_arrays(images):
    X, y = images
    net = make_net().fit(X, y)
    for other in (X.tolist(), X.astype(object)):
        assert_same_model(net, X, make_net().fit(other, y), other)


@pytest.mark.parametrize(
    "collected",
    [
        list,
        tuple,
        series,
        lambda images: data_frame({"image": images}),
        lambda images: np.fromiter(images, dtype=object),
        lambda images: list(map(picture, images)),
        lambda images: series(list(map(picture, images))),
    ],
    ids=["list", "tuple", "Series", "data frame", "object array", "pictures", "Series of pictures"],
)
def test_collections_of_images_equal_arrays(images, collected):
    X, y = images
    X = np.clip(np.round(30 * X + 120), 0, 255).astype("uint8")
    X = X[..., 0] if X.shape[-1] == 1 else X
    net, other = make_net().fit(X, y), collected(list(X))
    other_net = make_net().fit(other, y)
    assert_same_model(net, X, other_net, other)
    chunks = make_net().partial_fit(other, y, classes=np.unique(y))
    assert_array_equal(
        chunks.predict_proba(other), make_net().partial_fit(X, y, np.unique(y)).predict_proba(X)
    )


def test_a_column_of_images_is_searched_and_split_by_scikit_learn(images):
    X, y = images
    frame = data_frame({"image": list(X)}, index=np.arange(len(X)) + 7)
    net = make_net(early_stopping=True, scoring="accuracy", validation_fraction=0.2)
    scores = cross_val_score(net, frame, y, cv=3)
    assert_array_equal(scores, cross_val_score(net, X, y, cv=3))
    fitted = net.fit(frame, y)
    assert fitted.feature_names_in_ == ["image"]
    assert fitted.n_features_in_ == X[0].size
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame.rename(columns={"image": "other"}))


def test_masked_arrays_equal_arrays_where_nothing_is_masked(images):
    X, y = images
    masked, weights = np.ma.masked_invalid(X), np.ma.masked_array(np.ones(len(y)))
    other_net = make_net().fit(masked, np.ma.masked_array(y), sample_weight=weights)
    assert_same_model(make_net().fit(X, y), X, other_net, masked)


@pytest.mark.parametrize(
    ("X_dtype", "dtype", "expected"),
    [
        ("float64", "auto", "float64"),
        ("float32", "auto", "float32"),
        ("uint8", "auto", "float32"),
        ("bool", "auto", "float32"),
        ("float64", "float32", "float32"),
        ("uint8", "float64", "float64"),
    ],
)
def test_dtype_computed_in(X_dtype, dtype, expected):
    X, y = make_images(1)
    net = make_net(dtype=dtype).fit(np.clip(X, 0, 1).astype(X_dtype), y)
    assert net.network_.dtype == expected
    assert net.predict_proba(X).dtype == expected


# scikit-learn's checks on images


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("method", PREDICTIONS)
def test_predictions_follow_the_order_of_samples(images, normalization, method):
    X, y = images
    net = make_net(normalization=normalization).fit(X, y)
    order = generator(0).permutation(len(X))
    predict = getattr(net, method)
    assert_allclose(predict(X)[order], predict(X[order]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("method", PREDICTIONS)
def test_predictions_of_subsets_equal_those_of_all(images, normalization, method):
    X, y = images
    net = make_net(normalization=normalization).fit(X, y)
    predict = getattr(net, method)
    singly = np.concatenate([predict(X[row : row + 1]) for row in range(len(X))])
    assert_allclose(singly, predict(X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("float32", 1e-3)])
@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("layout", ["images", "flat"])
def test_weights_equal_repetition_in_full_batches(images, layout, normalization, dtype, tolerance):
    X, y = images
    weights = generator(1).integers(0, 4, len(X))
    rows = np.repeat(np.arange(len(X)), weights)
    net = make_net(
        image_shape=X.shape[1:], normalization=normalization, batch_size=1000, max_iter=5, dtype=dtype
    )
    X = X.reshape(len(X), -1) if layout == "flat" else X
    weighted = clone(net).fit(X, y, sample_weight=weights)
    repeated = clone(net).fit(X[rows], y[rows])
    assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=tolerance, atol=tolerance)
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=tolerance)


def test_weights_count(images):
    """Images that say nothing leave nothing to learn but the shares of the classes."""
    X, y = np.zeros_like(images[0]), images[1]
    weights = np.where(y == 0, 5.0, 1.0)
    params = {"max_iter": 300, "n_iter_no_change": 300, "learning_rate_init": 0.03, "alpha": 0.0}
    net = make_net(batch_size=1000, **params)
    weighted = clone(net).fit(X, y, sample_weight=weights).predict_proba(X)
    assert_allclose(weighted, np.tile([5 / 7, 1 / 7, 1 / 7], (len(X), 1)), atol=0.01)
    assert_allclose(clone(net).fit(X, y).predict_proba(X), 1 / 3, atol=0.01)


def test_constant_weights_equal_none(images):
    X, y = images
    net = make_net().fit(X, y)
    assert_same_weights(net, make_net().fit(X, y, sample_weight=np.ones(len(X))))
    assert_same_weights(net, make_net().fit(X, y, sample_weight=2))


def test_second_fit_equals_the_first(images):
    X, y = images
    net = make_net(normalization="batch", dropout=0.3).fit(X, y)
    first = pickle.loads(pickle.dumps(net))
    assert_same_model(net.fit(X, y), X, first, X)


def test_second_fit_forgets_the_first(images):
    X, y = images
    other_X = generator(0).normal(size=(20, 4, 4))
    refitted = make_net().fit(other_X, np.arange(20) % 2).fit(X, y)
    assert_same_model(refitted, X, make_net().fit(X, y), X)
    assert refitted.image_shape_ == X.shape[1:]


def test_clone_is_not_fitted_and_trains_alike(images):
    X, y = images
    net = make_net().fit(X, y)
    copy = clone(net)
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert_same_model(copy.fit(X, y), X, net, X)


@pytest.mark.parametrize("normalization", [None, "batch"])
def test_pickled_estimator_predicts_the_same_bits(images, normalization):
    X, y = images
    net = make_net(normalization=normalization).fit(X, y)
    assert_same_model(net, X, pickle.loads(pickle.dumps(net)), X)


def test_number_of_features_is_that_of_an_image(images):
    X, y = images
    assert make_net().fit(X, y).n_features_in_ == X[0].size


@pytest.mark.parametrize("method", PREDICTIONS)
def test_other_number_of_features_is_refused_in_the_words_of_scikit_learn(images, method):
    X, y = images
    net = make_net().fit(X, y)
    expected = X[0].size
    for other in (X.reshape(len(X), -1)[:, 1:], X[:, :, 1:]):
        n_features = other[0].size
        message = f"X has {n_features} features, but ConvNetClassifier is expecting {expected} features"
        with pytest.raises(ValueError, match=message):
            getattr(net, method)(other)


@pytest.mark.parametrize("method", (*PREDICTIONS, "score"))
def test_predicting_does_not_change_the_estimator(images, method):
    X, y = images
    net = make_net(normalization="batch").fit(X, y)
    before, contents = dict(vars(net)), joblib.hash(vars(net))
    getattr(net, method)(*((X, y) if method == "score" else (X,)))
    assert vars(net) == before
    assert joblib.hash(vars(net)) == contents


def explicit_layers():
    return [Conv2D(4, activation="relu"), BatchNorm(), MaxPool2D(), Dense(8, activation="tanh")]


@pytest.mark.parametrize(
    "params",
    [
        {"kernel_size": [3, 3], "conv_layer_sizes": [4]},
        {"layers": explicit_layers()},
        {"layers": [(f"layer{number}", layer) for number, layer in zip(count(), explicit_layers())]},
        {"class_weight": {0: 2.0}, "normalization": "batch"},
        {"early_stopping": True, "validation_fraction": 0.3},
    ],
    ids=["lists", "layers", "named layers", "class_weight", "early stopping"],
)
def test_fit_does_not_change_parameters(images, params):
    X, y = images
    net = make_net(**params)
    parameters = net.get_params(deep=False)
    before = joblib.hash(parameters)
    net.fit(X, y).partial_fit(X, y)
    assert all(net.get_params(deep=False)[name] is value for name, value in parameters.items())
    assert joblib.hash(net.get_params(deep=False)) == before


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_fit_and_predict_do_not_change_their_arguments(images, dtype):
    X, y = images
    X = np.abs(30 * X).astype(dtype)
    given = {"X_val": X[:9].copy(), "y_val": y[:9].copy(), "sample_weight_val": np.ones(9)}
    weights = np.linspace(0, 2, len(X))
    before = joblib.hash((X, y, weights, given))
    make_net(early_stopping=True).fit(X, y, weights, **given).predict_proba(X)
    assert joblib.hash((X, y, weights, given)) == before


# DataFrames


@pytest.fixture
def frame(images):
    X, y = images
    flat = X.reshape(len(X), -1)
    return data_frame(flat, columns=[f"pixel{number}" for number in range(flat.shape[1])]), X, y


def test_data_frame_equals_images_and_keeps_feature_names(frame):
    data, X, y = frame
    net = make_net(image_shape=X.shape[1:]).fit(data, y)
    assert_array_equal(net.feature_names_in_, data.columns)
    assert_same_model(net, data, make_net().fit(X, y), X)


def test_series_of_labels_and_weights_are_accepted(frame):
    data, X, y = frame
    weights = np.linspace(0.5, 1.5, len(y))
    net = make_net(image_shape=X.shape[1:])
    fitted = clone(net).fit(data, series(y), sample_weight=series(weights))
    assert_same_weights(fitted, clone(net).fit(data, y, sample_weight=weights))


def test_other_feature_names_are_refused(frame):
    data, X, y = frame
    net = make_net(image_shape=X.shape[1:]).fit(data, y)
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(data[data.columns[::-1]])


def test_missing_feature_names_are_warned_about(frame):
    data, X, y = frame
    net = make_net(image_shape=X.shape[1:]).fit(data, y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        net.predict(X)


def test_feature_names_are_forgotten_by_a_fit_without_them(frame):
    data, X, y = frame
    net = make_net(image_shape=X.shape[1:]).fit(data, y).fit(X, y)
    assert not hasattr(net, "feature_names_in_")


def test_early_stopping_with_a_scorer_takes_data_frames(frame):
    data, X, y = frame
    net = make_net(
        image_shape=X.shape[1:], early_stopping=True, validation_fraction=0.3, scoring="accuracy"
    ).fit(data, y)
    assert len(net.validation_scores_) == net.n_iter_
