"""Tests of the way of images through a pipeline to its network, and of gradients back."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from seeds import generator
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from small_classifiers import make_classifier, make_images, numeric_gradient

from skcnn import ConvNetClassifier
from skcnn.pipelines import Route, unwrapped

SHAPE = (4, 5, 1)
N_VALUES = 20
IMAGES, Y = make_images(shape=SHAPE)
X = IMAGES.reshape(len(IMAGES), -1)
POSITIVE = np.abs(X) + 0.5


def fitted_pipeline(*transformers, images=X, **params):
    return make_pipeline(*transformers, make_classifier(**params)).fit(images, Y)


def function_with_back(func, inverse_func=np.asarray):
    """Return a step with an inverse that need not be the true one."""
    return FunctionTransformer(func, inverse_func, check_inverse=False)


def gradient_like(route):
    """Return a random gradient with respect to what reaches the network."""
    return generator(len(route.inner)).standard_normal(route.inner.shape)


# what there is in front of a network


def test_a_classifier_has_nothing_in_front():
    classifier = make_classifier().fit(X, Y)
    assert unwrapped(classifier) == ([], classifier)


def test_transformers_are_those_of_the_pipelines_around_the_network():
    """Also of pipelines within pipelines; steps that do nothing are left out."""
    inner = make_pipeline(StandardScaler(), "passthrough", PCA(10))
    pipeline = Pipeline(
        [
            ("nothing", None),
            ("inner", inner),
            ("same", "passthrough"),
            ("last", make_pipeline(MinMaxScaler(), make_classifier())),
        ]
    ).fit(X, Y)
    transformers, classifier = unwrapped(pipeline)
    assert [name for name, _ in transformers] == ["inner__standardscaler", "inner__pca", "minmaxscaler"]
    assert classifier is pipeline[-1][-1]
    route = Route(pipeline, X)
    assert_array_equal(route.inner, pipeline[-1][:-1].transform(pipeline[:-1].transform(X)))


@pytest.mark.parametrize("search_class", [GridSearchCV, RandomizedSearchCV])
def test_of_a_search_the_best_estimator_counts(search_class):
    grid = {"convnetclassifier__conv_layer_sizes": [(2,), (4,)]}
    options = {"n_iter": 2} if search_class is RandomizedSearchCV else {}
    search = search_class(make_pipeline(StandardScaler(), make_classifier()), grid, cv=2, **options)
    with pytest.raises(NotFittedError):
        unwrapped(search)
    search.fit(X, Y)
    transformers, classifier = unwrapped(search)
    assert transformers == [("standardscaler", search.best_estimator_[0])]
    assert classifier is search.best_estimator_[-1]
    without_refit = clone(search).set_params(refit=False).fit(X, Y)
    with pytest.raises(NotFittedError):
        unwrapped(without_refit)


def test_frozen_estimators_are_looked_into():
    pipeline = fitted_pipeline(StandardScaler())
    assert unwrapped(FrozenEstimator(pipeline)) == unwrapped(pipeline)
    frozen_steps = make_pipeline(FrozenEstimator(pipeline[0]), FrozenEstimator(pipeline[-1]))
    assert unwrapped(frozen_steps)[1] is pipeline[-1]
    gradient = gradient_like(Route(pipeline, X))
    assert_array_equal(
        Route(frozen_steps, X).gradient_back(gradient), Route(pipeline, X).gradient_back(gradient)
    )


@pytest.mark.parametrize(
    "estimator",
    [
        SVC(),
        ConvNetClassifier,
        make_pipeline(StandardScaler(), SVC()),
        make_pipeline(StandardScaler(), "passthrough"),
        FrozenEstimator(SVC()),
        None,
    ],
    ids=repr,
)
def test_another_estimator_is_a_type_error_that_shows_it(estimator):
    with pytest.raises(TypeError, match="must be a ConvNetClassifier, a Pipeline that ends with one") as info:
        unwrapped(estimator)
    assert repr(estimator) in str(info.value)


@pytest.mark.parametrize(
    "estimator",
    [
        make_classifier(),
        make_pipeline(StandardScaler(), make_classifier()),
        FrozenEstimator(make_classifier()),
    ],
    ids=["classifier", "pipeline", "frozen"],
)
def test_an_estimator_that_is_not_fitted_is_an_error(estimator):
    with pytest.raises(NotFittedError):
        unwrapped(estimator)


@pytest.mark.parametrize("front", [StandardScaler(), make_pipeline(MinMaxScaler())], ids=["step", "inner"])
def test_a_step_that_is_not_fitted_is_an_error_where_it_is_used(front):
    pipeline = make_pipeline(front, make_classifier().fit(X, Y))
    with pytest.raises(NotFittedError):
        Route(pipeline, X)


class Doubled(TransformerMixin, BaseEstimator):
    """Learns nothing, and does not say so."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return 2 * X


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_step_that_learns_nothing_may_be_without_fitted_attributes(is_nested):
    """As for pipelines."""
    front = make_pipeline(Doubled(), StandardScaler()) if is_nested else Doubled()
    pipeline = fitted_pipeline(front)
    assert_array_equal(Route(pipeline, X).inner, pipeline[0].transform(X))


# images on their way


@pytest.mark.parametrize(
    ("shape", "channels_first", "image_shape"),
    [
        ((20,), False, (4, 5, 1)),
        ((4, 5), False, (4, 5, 1)),
        ((4, 5, 1), False, (4, 5, 1)),
        ((1, 4, 5), True, (4, 5, 1)),
        ((20,), True, (4, 5, 1)),
    ],
)
def test_images_are_turned_whatever_their_layout(shape, channels_first, image_shape):
    data_format = "channels_first" if channels_first else "channels_last"
    stored = (1, 4, 5) if channels_first else (4, 5, 1)
    images = X.reshape(-1, *shape)
    classifier = make_classifier(image_shape=stored, data_format=data_format).fit(images, Y)
    route = Route(classifier, images)
    assert route.image_shape == image_shape
    assert_array_equal(route.as_images(route.X), IMAGES)
    changed = route.X.copy()
    route.as_images(changed)[0, 1, 2, 0] = 99  # a view
    assert np.count_nonzero(changed != route.X) == 1


def test_coloured_images_are_turned_to_channels_last():
    images, y = make_images(shape=(3, 4, 5))
    classifier = make_classifier(data_format="channels_first").fit(images, y)
    route = Route(classifier, images.reshape(len(images), -1))
    assert route.image_shape == (4, 5, 3)
    assert_array_equal(route.as_images(route.X), images.transpose(0, 2, 3, 1))


def test_images_in_front_of_a_step_that_makes_other_ones_have_a_shape_of_their_own():
    images, y = make_images(shape=(6, 6, 1))
    flat = images.reshape(len(images), -1)
    pipeline = make_pipeline(PCA(10), make_classifier()).fit(flat, y)
    route = Route(pipeline, flat)
    assert route.inner.shape == (len(images), 10)
    assert route.image_shape == (6, 6, 1)
    assert_array_equal(route.as_images(route.X), images)


COLOURED, COLOURED_Y = make_images(shape=(4, 5, 3))
FIRST = np.ascontiguousarray(COLOURED.transpose(0, 3, 1, 2))


def turned_last(stored):
    return np.reshape(stored, (-1, 3, 4, 5)).transpose(0, 2, 3, 1)


def turned_first(images):
    return np.reshape(images, (-1, 4, 5, 3)).transpose(0, 3, 1, 2)


def flattened(images):
    return np.reshape(images, (len(images), -1))


def fitted_to_colours(func, images, *behind, **params):
    return make_pipeline(FunctionTransformer(func), *behind, make_classifier(**params)).fit(
        images, COLOURED_Y
    )


@pytest.mark.parametrize(
    ("func", "behind", "images", "params"),
    [
        (turned_last, [], FIRST, {}),
        (turned_first, [], COLOURED, {"data_format": "channels_first"}),
        (turned_last, [FunctionTransformer(flattened), PCA(9)], FIRST, {}),
        (flattened, [PCA(9)], FIRST, {}),
        (flattened, [PCA(9)], COLOURED, {"data_format": "channels_first"}),
        (flattened, [], FIRST, {}),
        (flattened, [], FIRST, {"image_shape": (3, 4, 5), "data_format": "channels_first"}),
        (flattened, [], COLOURED, {"image_shape": (4, 5, 3)}),
    ],
)
def test_images_say_themselves_where_their_channels_are(func, behind, images, params):
    route = Route(fitted_to_colours(func, images, *behind, **params), images)
    assert_array_equal(route.as_images(route.X), COLOURED)


@pytest.mark.parametrize(
    "behind", [[], [FunctionTransformer(flattened), PCA(9)]], ids=["same values", "other"]
)
@pytest.mark.parametrize("is_shape_given", [False, True])
def test_rows_in_front_of_a_step_that_moves_values_do_not_say_where_their_channels_are(
    behind, is_shape_given
):
    stored, y = make_images(shape=(3, 4, 4))
    rows = flattened(stored)

    def turned(rows):
        return np.reshape(rows, (-1, 3, 4, 4)).transpose(0, 2, 3, 1)

    pipeline = make_pipeline(FunctionTransformer(turned), *behind, make_classifier()).fit(rows, y)
    route = Route(pipeline, rows)
    with pytest.raises(ValueError, match="channels of the rows of X come first or last: give data_format"):
        route.as_images(route.X)
    shape = {"image_shape": (3, 4, 4)} if is_shape_given else {}
    route = Route(pipeline, rows, data_format="channels_first", **shape)
    assert_array_equal(route.as_images(route.X), stored.transpose(0, 2, 3, 1))
    assert_array_equal(route.at(rows[:2]).as_images(rows[:2]), stored[:2].transpose(0, 2, 3, 1))


def test_rows_have_the_shape_of_the_images_of_the_network_where_these_have_as_many_values():
    rows = flattened(FIRST)
    route = Route(fitted_to_colours(turned_last, rows), rows, data_format="channels_first")
    assert_array_equal(route.as_images(route.X), COLOURED)


@pytest.mark.parametrize(
    ("func", "shape", "params", "expected"),
    [
        (flattened, (4, 5), {}, (4, 5, 1)),
        (np.asarray, (20,), {"image_shape": (4, 5)}, (4, 5, 1)),
        (lambda X: np.reshape(X, (-1, 4, 5)), (20,), {}, (4, 5, 1)),
        (lambda X: X @ np.eye(20)[:, :16], (20,), {}, (1, 20, 1)),
        (lambda X: X[:, ::-1], (20,), {"image_shape": (4, 5)}, (4, 5, 1)),
    ],
)
def test_grey_images_in_front_of_a_step_have_a_height_and_a_width(func, shape, params, expected):
    images = X.reshape(-1, *shape)
    route = Route(fitted_pipeline(FunctionTransformer(func), images=images, **params), images)
    assert route.image_shape == expected


@pytest.mark.parametrize("handle_unknown", ["ignore", "error"])
def test_a_step_that_takes_no_other_values_does_not_prevent_a_picture(handle_unknown):
    images = np.round(X)
    encoder = OneHotEncoder(handle_unknown=handle_unknown)
    route = Route(fitted_pipeline(encoder, TruncatedSVD(9, random_state=0), images=images), images)
    assert route.image_shape == (1, 20, 1)


@pytest.mark.parametrize(
    ("options", "stored", "expected"),
    [
        ({"image_shape": (5, 4)}, (5, 4), (5, 4, 1)),
        ({"image_shape": (2, 5, 2)}, (2, 5, 2), (2, 5, 2)),
        ({"image_shape": (1, 4, 5)}, (1, 4, 5), (4, 5, 1)),
        ({"image_shape": (2, 5, 2), "data_format": "channels_first"}, (2, 5, 2), (5, 2, 2)),
        ({"image_shape": [4, 5, 1], "data_format": "channels_last"}, (4, 5, 1), (4, 5, 1)),
    ],
)
def test_the_stored_shape_may_be_given(options, stored, expected):
    route = Route(fitted_pipeline(PCA(16)), X, **options)
    assert route.image_shape == expected
    images = X.reshape(-1, *stored)
    turned = images.transpose(0, 2, 3, 1) if expected == (5, 2, 2) else images.reshape(-1, *expected)
    assert_array_equal(route.as_images(route.X), turned)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (4, 4)}, r"X of shape \(24, 20\) does not fit image_shape=\(4, 4\)"),
        ({"image_shape": (20,)}, r"image_shape must be None or two or three positive integers, got \(20,\)"),
        ({"image_shape": 20}, "image_shape must be None or two or three positive integers, got 20"),
        (
            {"data_format": "first"},
            "data_format must be None, 'channels_last' or 'channels_first', got 'first'",
        ),
    ],
)
def test_a_shape_or_format_that_is_none_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Route(fitted_pipeline(PCA(16)), X, **options).image_shape  # noqa: B018, computed on demand


def test_the_route_of_other_images():
    pipeline = fitted_pipeline(StandardScaler())
    route = Route(pipeline, X).at(X[:3] + 1)
    assert_array_equal(route.X, X[:3] + 1)
    assert_array_equal(route.inner, pipeline[:-1].transform(X[:3] + 1))


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ((6, 6, 1), (36,)),
        ((6, 6, 1), (1, 36)),
        ((6, 6, 1), (6, 6)),
        ((6, 6, 1), (1, 6, 6)),
        ((6, 6, 1), (6, 6, 1)),
        ((6, 6, 1), (1, 6, 6, 1)),
        ((1, 12, 3), (1, 12, 3)),
        ((1, 12, 3), (1, 1, 12, 3)),
        ((1, 12, 3), (36,)),
        ((1, 36, 1), (1, 36)),
        ((1, 36, 1), (1, 36, 1)),
        ((1, 36, 1), (36,)),
    ],
)
def test_one_image_comes_with_or_without_the_axis_of_the_batch(stored, given):
    images, y = make_images(shape=stored)
    classifier = make_classifier(image_shape=stored).fit(images, y)
    route = Route.of_one(classifier, images[0].reshape(given))
    assert_array_equal(route.as_images(route.X), images[:1])
    as_list = Route.of_one(classifier, images[0].reshape(given).tolist())
    assert_array_equal(as_list.X, route.X)


def test_one_image_of_a_given_shape_is_no_batch():
    images = X.reshape(-1, 1, 4, 5)
    pipeline = fitted_pipeline(FunctionTransformer(flattened), images=images)
    for given in (images[0], images[:1]):
        route = Route.of_one(pipeline, given, image_shape=(1, 4, 5))
        assert_array_equal(route.as_images(route.X), IMAGES[:1])


@pytest.mark.parametrize("given", [(2, 20), (2, 4, 5), (2, 4, 5, 1)])
def test_several_images_are_not_one(given):
    classifier = make_classifier(image_shape=SHAPE).fit(X, Y)
    with pytest.raises(ValueError, match=r"X must be one image, got 2 of them, an array of shape \(2, "):
        Route.of_one(classifier, X[:2].reshape(given))


def test_one_image_of_a_data_frame_is_a_row():
    frame = pd.DataFrame(X, columns=[f"pixel{index}" for index in range(N_VALUES)])
    pipeline = fitted_pipeline(StandardScaler(), images=frame)
    assert_array_equal(Route.of_one(pipeline, frame[3:4]).X, X[3:4])
    with pytest.raises(ValueError, match=r"X must be one image, got 2 of them, an array of shape \(2, 20\)"):
        Route.of_one(pipeline, frame[:2])


# images back


def test_images_go_back_through_the_steps():
    pipeline = fitted_pipeline(StandardScaler(), FunctionTransformer(np.sinh, np.arcsinh), MinMaxScaler())
    route = Route(pipeline, X)
    assert np.abs(route.inner - X).max() > 1
    assert_allclose(route.inverted(route.inner), X, rtol=0, atol=1e-12)


def test_images_go_back_to_the_layout_that_they_had():
    images, y = make_images(shape=(4, 5, 1))
    flatten = FunctionTransformer(
        lambda stored: stored.reshape(len(stored), -1) * 2, lambda flat: flat.reshape(-1, 4, 5, 1) / 2
    )
    pipeline = make_pipeline(flatten, StandardScaler(), make_classifier()).fit(images, y)
    route = Route(pipeline, images)
    assert_allclose(route.inverted(route.inner), images, rtol=0, atol=1e-12)
    assert route.gradient_back(gradient_like(route)).shape == images.shape


ONE_WAY = {
    "normalizer": Normalizer(),
    "functiontransformer": FunctionTransformer(np.tanh),
    "featureunion": FeatureUnion([("same", FunctionTransformer())]),
    "columntransformer": ColumnTransformer([("scaled", StandardScaler(), slice(0, 20))]),
}


@pytest.mark.parametrize("name", list(ONE_WAY))
@pytest.mark.parametrize("is_nested", [False, True])
def test_a_step_that_cannot_be_inverted_is_named(name, is_nested):
    transformer = ONE_WAY[name]
    pipeline = fitted_pipeline(
        StandardScaler(), make_pipeline(PCA(), transformer) if is_nested else transformer, MinMaxScaler()
    )
    route = Route(pipeline, X)
    shown = f"pipeline__{name}" if is_nested else name
    message = f"step '{shown}', {type(transformer).__name__}.* cannot be inverted: there is no way back"
    with pytest.raises(ValueError, match=message):
        route.inverted(route.inner)


@pytest.mark.parametrize("name", list(ONE_WAY))
def test_gradients_need_no_inverse(name):
    """Against differences of weighted sums of what reaches the network."""
    pipeline = fitted_pipeline(StandardScaler(), ONE_WAY[name], MinMaxScaler())
    route = Route(pipeline, X[:3])
    gradient = gradient_like(route)

    found = route.gradient_back(gradient)
    for row in range(3):

        def of_image(images, row=row):
            return pipeline[:-1].transform(images) @ gradient[row]

        expected = numeric_gradient(of_image, X[row : row + 1])
        assert_allclose(found[row : row + 1], expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_a_transformer_with_a_function_of_its_own_may_have_an_inverse():
    class Powered(TransformerMixin, BaseEstimator):
        def __init__(self, func):
            self.func = func

        def fit(self, X, y=None):
            self.n_features_in_ = X.shape[1]
            return self

        def transform(self, X):
            return self.func(X)

        def inverse_transform(self, X):
            return np.cbrt(X)

    route = Route(fitted_pipeline(Powered(lambda X: X**3)), X)
    assert_allclose(route.inverted(route.inner), X, rtol=0, atol=1e-12)


def test_a_function_without_inverse_that_changes_nothing_is_no_obstacle():
    route = Route(fitted_pipeline(FunctionTransformer()), X)
    gradient = gradient_like(route)
    assert_allclose(route.gradient_back(gradient), gradient, rtol=1e-9)


# gradients back


def of_scaler(scaler, X, gradient):
    return gradient / scaler.scale_


def of_min_max(scaler, X, gradient):
    return gradient * scaler.scale_


def of_pca(pca, X, gradient):
    factors = 1 / np.sqrt(pca.explained_variance_) if pca.whiten else 1.0
    return (gradient * factors) @ pca.components_


def of_yeo_johnson(power, X, gradient):
    lambdas = power.lambdas_
    positive = np.power(np.maximum(X, 0) + 1, lambdas - 1)
    negative = np.power(1 - np.minimum(X, 0), 1 - lambdas)
    return gradient * np.where(X >= 0, positive, negative)


STEPS = {
    "standard scaler": (StandardScaler(), of_scaler),
    "min-max scaler": (MinMaxScaler((-1, 3)), of_min_max),
    "PCA": (PCA(7), of_pca),
    "whitening PCA": (PCA(7, whiten=True), of_pca),
    "complete PCA": (PCA(), of_pca),
    "power": (PowerTransformer(standardize=False), of_yeo_johnson),
    "function": (
        FunctionTransformer(np.log, np.exp),
        lambda transformer, X, gradient: gradient / X,
    ),
    "reversal": (
        FunctionTransformer(lambda X: X[:, ::-1], lambda X: X[:, ::-1]),
        lambda transformer, X, gradient: gradient[:, ::-1],
    ),
}


@pytest.mark.parametrize("name", list(STEPS))
def test_gradients_go_back_by_the_derivatives_of_a_step(name):
    transformer, expected = STEPS[name]
    pipeline = fitted_pipeline(transformer, images=POSITIVE)
    route = Route(pipeline, POSITIVE[:4])
    gradient = gradient_like(route)
    found = route.gradient_back(gradient)
    wanted = expected(pipeline[0], POSITIVE[:4], gradient)
    assert_allclose(found, wanted, rtol=0, atol=1e-8 * np.abs(wanted).max())


def test_gradients_go_back_through_one_step_after_the_other():
    pipeline = fitted_pipeline(StandardScaler(), PCA(9, whiten=True), MinMaxScaler())
    route = Route(pipeline, X)
    gradient = gradient_like(route)
    scaler, pca, min_max = (transformer for _, transformer in pipeline.steps[:-1])
    behind_pca = gradient * min_max.scale_ / np.sqrt(pca.explained_variance_)
    expected = behind_pca @ pca.components_ / scaler.scale_
    assert_allclose(route.gradient_back(gradient), expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_gradients_do_not_depend_on_how_many_values_are_moved_at_a_time(monkeypatch):
    route = Route(fitted_pipeline(PCA(7)), X[:3])
    gradient = gradient_like(route)
    expected = route.gradient_back(gradient)
    for n_values in (1, 3 * N_VALUES + 5):
        monkeypatch.setattr("skcnn.stages.BLOCK_VALUES", n_values)
        assert_allclose(route.gradient_back(gradient), expected, rtol=0, atol=1e-12)


def test_a_step_that_computes_in_float32_has_gradients():
    """Of fewer digits: steps are longer, so that differences are more than rounding errors."""
    squares = function_with_back(lambda X: np.square(np.asarray(X, np.float32)) / 100)
    route = Route(fitted_pipeline(squares, images=POSITIVE), POSITIVE[:4])
    gradient = gradient_like(route)
    expected = gradient * POSITIVE[:4] / 50
    assert_allclose(route.gradient_back(gradient), expected, rtol=0, atol=1e-3 * np.abs(expected).max())


def test_a_step_may_stop_the_gradient_of_some_values():
    """Clipped values pass on nothing, at the bound one half of the slope."""
    clip = function_with_back(lambda X: np.clip(X, 1.0, 4.0))
    images = np.full((1, N_VALUES), 2.0)
    images[0, :4] = [0.0, 1.0, 4.0, 9.0]
    route = Route(fitted_pipeline(clip), images)
    expected = np.ones(N_VALUES)
    expected[:4] = [0.0, 0.5, 0.5, 0.0]
    assert_allclose(route.gradient_back(np.ones((1, N_VALUES)))[0], expected, rtol=0, atol=1e-9)


def test_a_gradient_of_zero_stays_zero():
    route = Route(fitted_pipeline(StandardScaler(), PCA(5)), X)
    assert not route.gradient_back(np.zeros_like(route.inner)).any()


def test_a_gradient_that_nearly_cancels_is_no_jump():
    """The direction that PCA leaves out: differences are rounding errors, which say nothing."""
    pipeline = fitted_pipeline(StandardScaler(), PCA(19))
    whole = PCA().fit(pipeline[0].transform(X))
    lost = FunctionTransformer(lambda X: X, lambda X: X)
    back = make_pipeline(pipeline[0], lost, pipeline[1], pipeline[2])
    gradient = whole.components_[-1:] @ pipeline[1].components_.T
    assert np.abs(gradient).max() < 1e-12
    assert np.abs(Route(back, X[:1]).gradient_back(gradient)).max() < 1e-12


JUMPS = {
    "rounding": (np.rint, np.round(X) + 0.5),
    "whole numbers": (np.floor, np.round(X)),
    "root of zero": (np.sqrt, np.round(np.abs(X) / 4)),
    "sign": (np.sign, np.round(X / 4)),
}
"""Functions, and images that lie where these have no derivative, as integers often do."""


@pytest.mark.parametrize("name", list(JUMPS))
def test_a_step_that_jumps_at_a_value_is_named(name):
    func, images = JUMPS[name]
    route = Route(fitted_pipeline(function_with_back(func), images=images), images)
    message = r"step 'functiontransformer', .* has no derivative at a value of X: the gradient ends there"
    with pytest.raises(ValueError, match=message):
        route.gradient_back(gradient_like(route))


@pytest.mark.parametrize("position", [0, 11])
def test_a_jump_of_one_value_is_enough(position):
    """Whether the step changes each value by itself or mixes them."""
    images = X.copy()
    images[0, position] = 2.5
    for mixing in (np.eye(N_VALUES), np.eye(N_VALUES) + 1e-3):
        jumps = function_with_back(lambda X, mixing=mixing: (X + (X >= 2.5)) @ mixing)
        route = Route(fitted_pipeline(jumps), images[:1])
        with pytest.raises(ValueError, match="has no derivative at a value of X"):
            route.gradient_back(np.ones_like(route.inner))
        images_without = np.where(images == 2.5, 2.4, images)
        route = Route(fitted_pipeline(jumps), images_without[:1])
        expected = np.ones((1, N_VALUES)) @ mixing.T
        assert_allclose(route.gradient_back(np.ones_like(route.inner)), expected, rtol=0, atol=1e-8)


def test_a_step_of_few_values_does_not_pass_on_small_changes():
    """Bins, between whose edges all values lie; at the edges there is no derivative."""
    bins = KBinsDiscretizer(3, encode="ordinal", strategy="uniform")
    images = X.copy()
    pipeline = fitted_pipeline(bins, images=images)
    inside = np.median(images, axis=0, keepdims=True) + 0.01
    route = Route(pipeline, inside)
    message = r"step 'kbinsdiscretizer', KBinsDiscretizer\(.* does not pass on small changes of its input"
    with pytest.raises(ValueError, match=message):
        route.gradient_back(np.ones_like(route.inner))
    edges = np.array([[edge[1] for edge in pipeline[0].bin_edges_]])
    route = Route(pipeline, edges)
    with pytest.raises(ValueError, match="step 'kbinsdiscretizer', .* has no derivative at a value of X"):
        route.gradient_back(np.ones_like(route.inner))


def test_ranks_of_values_that_repeat_have_no_derivative():
    images = np.round(X)
    route = Route(fitted_pipeline(QuantileTransformer(n_quantiles=20), images=images), images)
    with pytest.raises(ValueError, match="step 'quantiletransformer', .* has no derivative"):
        route.gradient_back(np.ones_like(route.inner))


# pixels in their places


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        MinMaxScaler(clip=True),
        KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
        FunctionTransformer(lambda X: np.float32(X) / 7),
        FunctionTransformer(lambda X: np.reshape(X, (-1, 4, 5))),
        FunctionTransformer(lambda X: X * (np.arange(20) > 3)),
    ],
    ids=["standard scaler", "min-max scaler", "bins", "float32", "reshape", "mask"],
)
def test_pixels_stay_where_each_value_is_changed_by_itself(transformer):
    Route(fitted_pipeline(transformer, image_shape=(4, 5)), X).check_pixels_stay()


def swap(first, second):
    order = np.arange(N_VALUES)
    order[[first, second]] = second, first
    return FunctionTransformer(lambda X: X[:, order])


def add_to(source, target):
    mixing = np.eye(N_VALUES)
    mixing[source, target] = 1e-3
    return FunctionTransformer(lambda X: X @ mixing)


@pytest.mark.parametrize(
    "transformer",
    [
        PCA(),
        PCA(6),
        Normalizer(),
        FunctionTransformer(lambda X: X[:, ::-1]),
        FunctionTransformer(lambda X: np.rint(X)[:, ::-1]),
        FunctionTransformer(lambda X: np.cumsum(X, axis=1)),
        swap(0, 1),
        swap(3, 19),
        add_to(0, 1),
        add_to(16, 17),
        add_to(19, 0),
    ],
)
def test_pixels_do_not_stay_where_values_depend_on_others(transformer):
    """On a single other one, too, whichever it is."""
    route = Route(fitted_pipeline(StandardScaler(), transformer), X)
    name = type(transformer).__name__
    with pytest.raises(ValueError, match=f"step '{name.lower()}', {name}.* does more than change each value"):
        route.check_pixels_stay()


def test_pixels_do_not_stay_where_the_first_image_is_of_one_color():
    images = np.round(X * 9)
    images[0] = 3
    pipeline = fitted_pipeline(FunctionTransformer(lambda X: np.rint(X)[:, ::-1]))
    with pytest.raises(ValueError, match="does more than change each value"):
        Route(pipeline, images).check_pixels_stay()


# DataFrames


class LooksAtNames(TransformerMixin, BaseEstimator):
    """Takes nothing but a DataFrame with the columns that it was fitted with; doubles the values."""

    def fit(self, X, y=None):
        self.columns_ = list(X.columns)
        return self

    def transform(self, X):
        assert list(X.columns) == self.columns_
        return np.asarray(X) * 2

    def inverse_transform(self, X):
        return X / 2

    def get_feature_names_out(self, input_features=None):
        return np.array(self.columns_, dtype=object)


@pytest.fixture
def frame():
    return pd.DataFrame(X, columns=[f"pixel{index}" for index in range(N_VALUES)])


def test_steps_see_the_names_of_columns(frame):
    """A missing name gives a warning, which is an error in these tests, or an error of the step."""
    for steps in ([], [StandardScaler()], [LooksAtNames()], [StandardScaler(), LooksAtNames(), PCA(5)]):
        pipeline = make_pipeline(*steps, make_classifier()).set_output(transform="pandas").fit(frame, Y)
        route = Route(pipeline, frame)
        assert_array_equal(route.X, X)
        assert route.gradient_back(gradient_like(route)).shape == X.shape
        assert route.inverted(route.inner).shape == X.shape
        assert_array_equal(route.at(X[:2] + 1).inner, Route(pipeline, frame[:2] + 1).inner)


def test_gradients_are_the_same_with_and_without_names(frame):
    named, unnamed = (
        Route(fitted_pipeline(StandardScaler(), PCA(5), images=images), images) for images in (frame, X)
    )
    gradient = gradient_like(named)
    assert_allclose(named.gradient_back(gradient), unnamed.gradient_back(gradient), rtol=0, atol=1e-9)


def test_other_names_are_an_error_as_everywhere(frame):
    for pipeline in (fitted_pipeline(images=frame), fitted_pipeline(StandardScaler(), images=frame)):
        with pytest.raises(ValueError, match="Feature names must be in the same order"):
            Route(pipeline, frame[frame.columns[::-1]])


# what steps take and networks do not


def images_with_gaps():
    """Return images some of whose values are missing, the first of the first image among them."""
    images = X.copy()
    images[::3, ::7] = np.nan
    return images


def test_steps_see_missing_values():
    images = images_with_gaps()
    pipeline = fitted_pipeline(StandardScaler(), SimpleImputer(), images=images)
    route = Route(pipeline, images)
    assert_array_equal(route.inner, pipeline[:-1].transform(images))
    assert_array_equal(route.X, images)
    route.check_pixels_stay()
    with pytest.raises(ValueError, match="step 'simpleimputer', .* has no derivative at a value of X"):
        route.gradient_back(gradient_like(route))
    complete = Route(pipeline, X[1:3])
    assert complete.gradient_back(gradient_like(complete)).all()


def test_a_network_sees_no_missing_values():
    with pytest.raises(ValueError, match="Input X contains NaN.\nConvNetClassifier does not accept"):
        Route(make_classifier().fit(X, Y), images_with_gaps())


def test_steps_see_sparse_images():
    images = sparse.csr_array(X)
    pipeline = fitted_pipeline(TruncatedSVD(9, random_state=0), images=images)
    route = Route(pipeline, images)
    assert_array_equal(route.inner, pipeline[:-1].transform(images))
    message = "step 'truncatedsvd', TruncatedSVD.*, is given a sparse array, where dense images are needed"
    for use in (lambda: route.X, lambda: route.gradient_back(gradient_like(route))):
        with pytest.raises(ValueError, match=message):
            use()
    assert_array_equal(Route.of_one(pipeline, images[:1]).inner, route.inner[:1])
    with pytest.raises(ValueError, match=r"X must be one image, got 2 of them, an array of shape \(2, 20\)"):
        Route.of_one(pipeline, images[:2])


def test_a_step_with_sparse_results_is_named():
    images = np.round(X)
    encoder = OneHotEncoder(handle_unknown="ignore")
    route = Route(fitted_pipeline(encoder, TruncatedSVD(9, random_state=0), images=images), images)
    message = "step 'onehotencoder', OneHotEncoder.*, returns a sparse array, where dense images are needed"
    with pytest.raises(ValueError, match=message):
        route.check_pixels_stay()


def test_steps_see_more_axes_than_networks():
    images = X.reshape(-1, 1, 2, 2, 5, 1)
    flatten = FunctionTransformer(lambda images: np.reshape(images, (len(images), -1)))
    route = Route(fitted_pipeline(flatten, images=images), images)
    assert_array_equal(route.inner, X)


# integers


def test_integers_become_real_numbers():
    images = np.clip(X * 10 + 50, 0, 255).astype(np.uint8)
    route = Route(fitted_pipeline(MinMaxScaler(), images=images), images).in_real_numbers()
    assert route.X.dtype == np.float64
    assert_array_equal(route.X, images)
    same = Route(fitted_pipeline(MinMaxScaler()), X)
    assert same.in_real_numbers() is same


def test_integers_that_come_to_the_same_through_sparse_results_become_real_numbers():
    images = np.round(np.abs(X)).astype(np.uint8)
    encoder = OneHotEncoder(handle_unknown="ignore")
    pipeline = fitted_pipeline(encoder, TruncatedSVD(9, random_state=0), images=images)
    assert Route(pipeline, images).in_real_numbers().X.dtype == np.float64


def test_a_step_that_looks_at_the_dtype_is_named():
    """As functions do that divide bytes by 255 and leave shares as they are."""

    def as_shares(X):
        return X / 255 if X.dtype == np.uint8 else X

    images = np.clip(X * 10 + 50, 0, 255).astype(np.uint8)
    pipeline = fitted_pipeline(FunctionTransformer(), FunctionTransformer(as_shares), images=images)
    message = r"step 'functiontransformer-2', .* makes something else of uint8 than of the same values"
    with pytest.raises(ValueError, match=message):
        Route(pipeline, images).in_real_numbers()
