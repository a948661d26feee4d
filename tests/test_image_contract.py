"""What scikit-learn's checks demand of flat rows, held on images, in every layout that they come in."""

from functools import partial

import joblib
import numpy as np
import pytest
from extras import data_frame, picture, series
from numpy.testing import assert_allclose, assert_array_equal
from seeds import generator
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from small_classifiers import assert_same_weights, make_classifier, make_images

from skcnn import BatchNorm, Conv2D, Dense, MaxPool2D
from skcnn.inspection import saliency_maps

N_SAMPLES, SHAPE = 45, (6, 5, 3)
X, Y = make_images(N_SAMPLES, SHAPE)
GREY = X[..., :1].copy()
BYTES = np.clip(np.round(20 * X + 80), 0, 255).astype("uint8")
for array in (X, Y, GREY, BYTES):
    array.setflags(write=False)
PREDICTIONS = ("predict", "predict_proba", "predict_log_proba", "decision_function")

make_net = partial(make_classifier, batch_size=16)


def frame_of(images):
    return data_frame(images.reshape(len(images), -1)).add_prefix("pixel")


def assert_same_model(net, images, other, other_images):
    """Assert that weights and probabilities have the same bits."""
    assert_same_weights(net, other)
    assert_array_equal(net.predict_proba(images), other.predict_proba(other_images))


# layouts

LAYOUTS = {
    "rows": ({"image_shape": SHAPE}, lambda images: images.reshape(N_SAMPLES, -1)),
    "channels first": ({"data_format": "channels_first"}, lambda images: np.moveaxis(images, -1, 1)),
    "rows, channels first": (
        {"data_format": "channels_first", "image_shape": (3, 6, 5)},
        lambda images: np.moveaxis(images, -1, 1).reshape(N_SAMPLES, -1),
    ),
    "lists": ({}, lambda images: images.tolist()),
    "objects": ({}, lambda images: images.astype(object)),
    "nothing masked": ({}, np.ma.masked_invalid),
    "data frame": ({"image_shape": SHAPE}, frame_of),
}


@pytest.mark.parametrize(("params", "changed"), LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_the_same_model(params, changed):
    net, other = make_net().fit(X, Y), make_net(**params).fit(changed(X), Y)
    assert other.image_shape_ == SHAPE
    assert_same_model(net, X, other, changed(X))


def test_predict_takes_every_layout_of_the_images_fitted():
    net = make_net().fit(GREY, Y)
    for images in (GREY.reshape(N_SAMPLES, -1), GREY[..., 0]):
        assert_array_equal(net.predict_proba(images), net.predict_proba(GREY))
    assert_same_weights(net, make_net().fit(GREY[..., 0], Y))


@pytest.mark.parametrize(
    "image_shape", [(6, 5), (6, 5, 1), [6, 5], np.array([6, 5])], ids=["2-D", "3-D", "list", "array"]
)
def test_image_shape_may_leave_out_the_only_channel_and_be_a_list_or_array(image_shape):
    """Of the estimator, of its clone and of what it knows before fit."""
    net, other = clone(make_net(image_shape=image_shape)), make_net(image_shape=(6, 5))
    assert net.summary().records == other.summary().records
    assert net.fit(GREY.reshape(N_SAMPLES, -1), Y).image_shape_ == (6, 5, 1)


# layouts that are likely to be others


def fit_shape(shape, **params):
    return make_net(layers=[], max_iter=1, **params).fit(np.zeros((4, *shape), np.uint8), [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("shape", "data_format"),
    [((1, 6, 6), "channels_last"), ((3, 20, 20), "channels_last"), ((7, 7, 4), "channels_first")],
)
def test_channels_that_are_likely_elsewhere_are_warned_about(shape, data_format):
    other = {"channels_last": "channels_first", "channels_first": "channels_last"}[data_format]
    with pytest.warns(UserWarning, match=f"'{data_format}': set data_format='{other}'") as caught:
        fit_shape(shape, data_format=data_format)
    assert len(caught) == 1
    fit_shape(shape, data_format=other)
    fit_shape(shape, data_format=data_format, image_shape=shape)


@pytest.mark.parametrize("n_columns", [65, 3072])
def test_rows_of_many_columns_but_no_square_are_warned_about(n_columns):
    with pytest.warns(UserWarning, match=rf"{n_columns} columns.*image_shape.*\(1, {n_columns}\)") as caught:
        net = fit_shape((n_columns,))
    assert len(caught) == 1
    assert net.image_shape_ == (1, n_columns, 1)
    fit_shape((n_columns,), image_shape=(1, n_columns))


@pytest.mark.parametrize(
    ("shape", "data_format"),
    [
        *[((3, 4, 4), "channels_last"), ((3, 3, 4), "channels_first")],  # either may be meant
        *[((2, 20, 20), "channels_last"), ((3, 20, 19), "channels_last"), ((20, 20, 20), "channels_last")],
        *[((63,), "channels_last"), ((64,), "channels_last"), ((1, 220), "channels_last")],
    ],
)
def test_other_layouts_are_not_warned_about(shape, data_format):
    fit_shape(shape, data_format=data_format)


def test_the_layout_is_warned_about_when_it_is_chosen():
    images, y = np.zeros((4, 3, 9, 9)), [0, 1, 0, 1]
    net = make_net(warm_start=True, early_stopping=True, validation_fraction=0.5)
    with pytest.warns(UserWarning, match="data_format"):
        net.partial_fit(images, y, classes=[0, 1])
    net.partial_fit(images, y).predict(images)
    net.fit(images, y, X_val=images, y_val=y).predict(images)


# types and collections


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16"])
def test_small_types_equal_float32(dtype):
    images, other = BYTES.astype("float32"), BYTES.astype(dtype)
    assert_same_model(make_net().fit(images, Y), images, make_net().fit(other, Y), other)


@pytest.mark.parametrize(("dtype", "pedestal"), [("int64", 10**9), ("uint32", 4 * 10**9), ("float64", 3e8)])
def test_a_pedestal_of_wide_types_does_not_matter(dtype, pedestal):
    other = BYTES.astype(dtype) + np.array(pedestal, dtype)
    net = make_net(dtype="float32").fit(other, Y)
    assert_allclose(net.predict_proba(other), make_net().fit(BYTES, Y).predict_proba(BYTES), rtol=1e-3)


@pytest.mark.costly
def test_saliency_of_images_on_a_pedestal_is_that_without():
    """The baseline, the mean of float64, is as exact as the images."""
    images = BYTES.astype(float)
    net, other = (make_net(dtype="float32").fit(each, Y) for each in (images, images + 1e9))
    for method in ("gradient", "integrated_gradients", "occlusion"):
        expected = saliency_maps(net, images[:3], method=method, target=0)
        found = saliency_maps(other, images[:3] + 1e9, method=method, target=0)
        assert_allclose(found, expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max(), err_msg=method)


@pytest.mark.parametrize(
    "collected",
    [
        *[list, tuple, series, lambda images: data_frame({"image": images})],
        lambda images: np.fromiter(images, dtype=object),
        lambda images: list(map(picture, images)),
        lambda images: series(list(map(picture, images))),
    ],
    ids=["list", "tuple", "Series", "data frame", "object array", "pictures", "Series of pictures"],
)
def test_collections_of_images_equal_arrays(collected):
    other = collected(list(BYTES))
    assert_same_model(make_net().fit(BYTES, Y), BYTES, make_net().fit(other, Y), other)
    net, chunks = (make_net().partial_fit(images, Y, classes=[0, 1, 2]) for images in (BYTES, other))
    assert_same_weights(net, chunks)


def test_a_column_of_images_is_searched_and_split_by_scikit_learn():
    frame = data_frame({"image": list(X)}, index=np.arange(N_SAMPLES) + 7)
    net = make_net(early_stopping=True, scoring="accuracy", validation_fraction=0.2)
    assert_array_equal(cross_val_score(net, frame, Y, cv=3), cross_val_score(net, X, Y, cv=3))
    fitted = net.fit(frame, Y)
    assert fitted.feature_names_in_ == ["image"]
    assert fitted.n_features_in_ == X[0].size
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame.rename(columns={"image": "other"}))


@pytest.mark.parametrize(
    ("X_dtype", "dtype", "expected"),
    [
        *[("float64", "auto", "float64"), ("float32", "auto", "float32"), ("uint8", "auto", "float32")],
        *[("bool", "auto", "float32"), ("float64", "float32", "float32"), ("uint8", "float64", "float64")],
    ],
)
def test_dtype_computed_in(X_dtype, dtype, expected):
    net = make_net(dtype=dtype).fit(np.clip(X, 0, 1).astype(X_dtype), Y)
    assert net.network_.dtype == expected
    assert net.predict_proba(X).dtype == expected


# scikit-learn's checks on images


def test_predictions_are_those_of_each_sample_alone_and_in_any_order():
    net = make_net(normalization="batch").fit(X, Y)
    order = generator(0).permutation(N_SAMPLES)
    for method in PREDICTIONS:
        predict = getattr(net, method)
        singly = np.concatenate([predict(image[np.newaxis]) for image in X])
        assert_allclose(singly, predict(X), rtol=1e-9, atol=1e-9, err_msg=method)
        assert_allclose(predict(X)[order], predict(X[order]), rtol=1e-9, atol=1e-9, err_msg=method)


@pytest.mark.parametrize(
    ("normalization", "dtype", "tolerance"),
    [(None, "float64", 1e-8), ("batch", "float64", 1e-8), ("batch", "float32", 1e-3)],
)
def test_weights_equal_repetition_in_full_batches(normalization, dtype, tolerance):
    weights = generator(1).integers(0, 4, N_SAMPLES)
    rows = np.repeat(np.arange(N_SAMPLES), weights)
    params = {"normalization": normalization, "dtype": dtype, "batch_size": 1000, "max_iter": 5}
    weighted = make_net(**params).fit(X, Y, sample_weight=weights)
    repeated = make_net(**params).fit(X[rows], Y[rows])
    assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=tolerance, atol=tolerance)
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=tolerance)


def test_weights_count():
    """Images that say nothing leave nothing to learn but the shares of the classes."""
    params = {"max_iter": 300, "n_iter_no_change": 300, "learning_rate_init": 0.03, "alpha": 0.0}
    nothing = np.zeros_like(X)
    net = make_net(batch_size=1000, **params).fit(nothing, Y, sample_weight=np.where(Y == 0, 5.0, 1.0))
    assert_allclose(net.predict_proba(nothing), np.tile([5 / 7, 1 / 7, 1 / 7], (N_SAMPLES, 1)), atol=0.01)


def test_constant_weights_equal_none():
    net = make_net().fit(X, Y)
    assert_same_weights(net, make_net().fit(X, Y, sample_weight=np.ones(N_SAMPLES)))
    assert_same_weights(net, make_net().fit(X, Y, sample_weight=2))


def test_second_fit_forgets_the_first():
    other_images = generator(0).normal(size=(20, 4, 4))
    refitted = make_net().fit(other_images, np.arange(20) % 2).fit(X, Y)
    assert_same_model(refitted, X, make_net().fit(X, Y), X)
    assert refitted.image_shape_ == SHAPE


def test_predicting_does_not_change_the_estimator():
    net = make_net(normalization="batch").fit(X, Y)
    before, contents = dict(vars(net)), joblib.hash(vars(net))
    for method in PREDICTIONS:
        getattr(net, method)(X)
    net.score(X, Y)
    assert vars(net) == before
    assert joblib.hash(vars(net)) == contents


EXPLICIT = [Conv2D(4, activation="relu"), BatchNorm(), MaxPool2D(), Dense(8, activation="tanh")]


@pytest.mark.parametrize(
    "params",
    [
        {"kernel_size": [3, 3], "conv_layer_sizes": [4]},
        {"layers": EXPLICIT},
        {"layers": [(f"layer{number}", layer) for number, layer in enumerate(EXPLICIT)]},
        {"class_weight": {0: 2.0}, "normalization": "batch"},
        {"early_stopping": True, "validation_fraction": 0.3},
    ],
    ids=["lists", "layers", "named layers", "class_weight", "early stopping"],
)
def test_fit_does_not_change_parameters(params):
    net = make_net(**params)
    parameters = net.get_params(deep=False)
    before = joblib.hash(parameters)
    net.fit(X, Y).partial_fit(X, Y)
    assert all(net.get_params(deep=False)[name] is value for name, value in parameters.items())
    assert joblib.hash(net.get_params(deep=False)) == before


@pytest.mark.parametrize("images", [X.copy(), BYTES.copy()], ids=["float64", "uint8"])
def test_fit_and_predict_do_not_change_their_arguments(images):
    given = {"X_val": images[:9].copy(), "y_val": Y[:9].copy(), "sample_weight_val": np.ones(9)}
    y, weights = Y.copy(), np.linspace(0, 2, N_SAMPLES)
    before = joblib.hash((images, y, weights, given))
    make_net(early_stopping=True).fit(images, y, weights, **given).predict_proba(images)
    assert joblib.hash((images, y, weights, given)) == before


# data frames


def test_series_of_labels_and_weights_are_accepted():
    weights = np.linspace(0.5, 1.5, N_SAMPLES)
    net = make_net(image_shape=SHAPE).fit(frame_of(X), series(Y), sample_weight=series(weights))
    assert_same_weights(net, make_net().fit(X, Y, sample_weight=weights))


def test_feature_names_are_kept_until_a_fit_without_them():
    frame = frame_of(X)
    net = make_net(image_shape=SHAPE).fit(frame, Y)
    assert_array_equal(net.feature_names_in_, frame.columns)
    assert not hasattr(net.fit(X, Y), "feature_names_in_")


def test_early_stopping_with_a_scorer_takes_data_frames():
    params = {"early_stopping": True, "validation_fraction": 0.3, "scoring": "accuracy"}
    net = make_net(image_shape=SHAPE, **params).fit(frame_of(X), Y)
    assert len(net.validation_scores_) == net.n_iter_
