"""Tests of the way of images through a pipeline to its network."""

import re

import numpy as np
import pytest
from extras import data_frame, series
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVC
from small_classifiers import make_classifier, make_images

from skcnn import ConvNetClassifier
from skcnn.data.images import ImageFormat
from skcnn.pipelines import PipelineInput, stored_format, unwrap

SHAPE = (4, 5, 1)
N_VALUES = 20
IMAGES, Y = make_images(shape=SHAPE)
X = IMAGES.reshape(len(IMAGES), -1)


def fitted_pipeline(*transformers, images=X, **params):
    return make_pipeline(*transformers, make_classifier(**params)).fit(images, Y)


@pytest.fixture
def frame():
    return data_frame(X, columns=[f"pixel{index}" for index in range(N_VALUES)])


def several_are_refused(shape):
    return pytest.raises(ValueError, match=f"X must be one image, got 2 .*{re.escape(str(shape))}")


# what there is before a network


def test_transformers_are_those_of_the_pipelines_around_the_network():
    """Also of pipelines within pipelines; steps that do nothing are left out."""
    inner = make_pipeline(StandardScaler(), "passthrough", PCA(10))
    last = make_pipeline(MinMaxScaler(), make_classifier())
    steps = [("nothing", None), ("inner", inner), ("same", "passthrough"), ("last", last)]
    pipeline = Pipeline(steps).fit(X, Y)
    transformers, classifier = unwrap(pipeline)
    assert [name for name, _ in transformers] == ["inner__standardscaler", "inner__pca", "minmaxscaler"]
    assert classifier is pipeline[-1][-1]
    assert unwrap(classifier) == ([], classifier)
    pipeline_input = PipelineInput(pipeline, X)
    assert_array_equal(pipeline_input.network_input, pipeline[-1][:-1].transform(pipeline[:-1].transform(X)))


@pytest.mark.parametrize("search_class", [GridSearchCV, RandomizedSearchCV])
def test_of_a_search_the_best_estimator_counts(search_class):
    grid = {"convnetclassifier__conv_layer_sizes": [(2,), (4,)]}
    options = {"n_iter": 2} if search_class is RandomizedSearchCV else {}
    search = search_class(make_pipeline(StandardScaler(), make_classifier()), grid, cv=2, **options)
    with pytest.raises(NotFittedError):
        unwrap(search)
    search.fit(X, Y)
    transformers, classifier = unwrap(search)
    assert transformers == [("standardscaler", search.best_estimator_[0])]
    assert classifier is search.best_estimator_[-1]
    without_refit = clone(search).set_params(refit=False).fit(X, Y)
    with pytest.raises(NotFittedError):
        unwrap(without_refit)


def test_frozen_estimators_are_looked_into():
    pipeline = fitted_pipeline(StandardScaler())
    assert unwrap(FrozenEstimator(pipeline)) == unwrap(pipeline)
    frozen_steps = make_pipeline(FrozenEstimator(pipeline[0]), FrozenEstimator(pipeline[-1]))
    assert unwrap(frozen_steps)[1] is pipeline[-1]
    assert_array_equal(PipelineInput(frozen_steps, X).network_input, PipelineInput(pipeline, X).network_input)


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
    with pytest.raises(TypeError, match=re.escape(f"got {estimator!r}")):
        unwrap(estimator)


@pytest.mark.parametrize("wrap", [lambda net: net, make_pipeline, FrozenEstimator])
def test_an_estimator_that_is_not_fitted_is_an_error(wrap):
    with pytest.raises(NotFittedError):
        unwrap(wrap(make_classifier()))


class Doubled(TransformerMixin, BaseEstimator):
    """Learns nothing, and does not say so."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return 2 * X


def test_a_step_that_learns_nothing_may_be_without_fitted_attributes():
    pipeline = fitted_pipeline(Doubled(), make_pipeline(Doubled()))
    assert_array_equal(PipelineInput(pipeline, X).network_input, 4 * X)


# how images are stored


@pytest.mark.parametrize("shape", [(20,), (4, 5), (4, 5, 1), (1, 4, 5)])
def test_images_are_turned_whatever_their_layout(shape):
    stored = {"image_shape": (1, 4, 5), "data_format": "channels_first"} if shape[0] == 1 else {}
    images = X.reshape(-1, *shape)
    pipeline_input = PipelineInput(make_classifier(**{"image_shape": SHAPE} | stored).fit(images, Y), images)
    assert_array_equal(pipeline_input.as_images(pipeline_input.X), IMAGES)
    changed = pipeline_input.X.copy()
    pipeline_input.as_images(changed)[0, 1, 2, 0] = 99  # a view
    assert np.count_nonzero(changed != pipeline_input.X) == 1


COLOURED, COLOURED_Y = make_images(shape=(4, 5, 3))
FIRST = np.ascontiguousarray(COLOURED.transpose(0, 3, 1, 2))


def turn_images(stored):
    return np.reshape(stored, (-1, 3, 4, 5)).transpose(0, 2, 3, 1)


def flatten_images(images):
    return np.reshape(images, (len(images), -1))


def fitted_to_colours(func, images, *others, **params):
    transformers = [FunctionTransformer(func), *others]
    return make_pipeline(*transformers, make_classifier(**params)).fit(images, COLOURED_Y)


def test_without_transformers_the_network_knows_how_images_are_stored_unless_one_says_otherwise():
    classifier = make_classifier(data_format="channels_first").fit(FIRST, COLOURED_Y)
    rows = flatten_images(FIRST)
    pipeline_input = PipelineInput(classifier, rows)
    assert_array_equal(pipeline_input.as_images(pipeline_input.X), COLOURED)
    other = PipelineInput(classifier, rows, image_shape=(5, 4, 3), data_format="channels_last")
    assert_array_equal(other.as_images(rows), rows.reshape(-1, 5, 4, 3))
    with pytest.raises(ValueError, match=r"does not fit image_shape=\(4, 4\)"):
        PipelineInput(classifier, rows, image_shape=(4, 4)).as_images(rows)


@pytest.mark.parametrize(
    ("func", "others", "images", "params"),
    [
        (turn_images, [], FIRST, {}),
        (flatten_images, [PCA(9)], FIRST, {}),
        (flatten_images, [PCA(9)], COLOURED, {"data_format": "channels_first"}),
        (flatten_images, [], FIRST, {"image_shape": (3, 4, 5), "data_format": "channels_first"}),
        (flatten_images, [], COLOURED, {"image_shape": (4, 5, 3)}),
    ],
)
def test_images_before_transformers_say_themselves_where_their_channels_are(func, others, images, params):
    pipeline_input = PipelineInput(fitted_to_colours(func, images, *others, **params), images)
    assert_array_equal(pipeline_input.as_images(pipeline_input.X), COLOURED)


@pytest.mark.parametrize(
    "others", [[], [FunctionTransformer(flatten_images), StandardScaler()]], ids=["turned", "scaled"]
)
def test_rows_of_coloured_images_before_transformers_need_a_data_format(others):
    """Or an image_shape of which one end is likely to be the number of channels."""
    rows = flatten_images(FIRST)
    pipeline = fitted_to_colours(turn_images, rows, *others, image_shape=(4, 5, 3))
    with pytest.raises(ValueError, match="channels of the rows of X .*: give data_format"):
        PipelineInput(pipeline, rows).as_images(rows)
    for options in ({"data_format": "channels_first"}, {"image_shape": (3, 4, 5)}):
        pipeline_input = PipelineInput(pipeline, rows, **options)
        assert_array_equal(pipeline_input.as_images(pipeline_input.X), COLOURED)


@pytest.mark.parametrize(
    ("shape", "of_network", "options", "image_shape"),
    [
        # images of three axes: the axis with 1, 3 or as many channels as the network's images
        ((3, 9, 8), (9, 8, 3), {}, (9, 8, 3)),
        ((1, 9, 8), (9, 8, 3), {}, (9, 8, 1)),
        ((2, 6, 5), (6, 5, 2), {}, (6, 5, 2)),
        ((3, 6, 1), (1, 9, 1), {}, (3, 6, 1)),
        ((3, 6, 1), (1, 9, 1), {"data_format": "channels_first"}, (6, 1, 3)),
        # grey images need nothing
        ((4, 5), (1, 9, 1), {}, (4, 5, 1)),
        ((16,), (1, 9, 1), {}, (4, 4, 1)),
        ((20,), (1, 16, 1), {}, (1, 20, 1)),
        # what is given
        ((20,), (4, 5, 1), {"image_shape": (5, 4)}, (5, 4, 1)),
        ((20,), (1, 16, 1), {"image_shape": [4, 5, 1]}, (4, 5, 1)),
        ((20,), (1, 16, 1), {"image_shape": (1, 4, 5)}, (4, 5, 1)),
        ((20,), (1, 16, 1), {"image_shape": (2, 5, 2), "data_format": "channels_first"}, (5, 2, 2)),
        ((48,), (1, 9, 1), {"image_shape": (3, 4, 4), "data_format": "channels_last"}, (3, 4, 4)),
        ((48,), (1, 9, 1), {"image_shape": (4, 4, 3)}, (4, 4, 3)),
    ],
)
def test_how_images_before_transformers_are_stored(shape, of_network, options, image_shape):
    options = {"image_shape": None, "data_format": None} | options
    format = stored_format((7, *shape), ImageFormat(of_network, False, np.dtype("float32")), **options)
    assert format.image_shape == image_shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (4, 4)}, r"X of shape \(24, 20\) does not fit image_shape=\(4, 4\)"),
        ({"image_shape": (20,)}, r"image_shape must be .*, got \(20,\)"),
        ({"image_shape": 20}, "image_shape must be .*, got 20"),
        ({"data_format": "first"}, "data_format must be .*, got 'first'"),
    ],
)
def test_a_shape_or_format_that_is_none_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PipelineInput(fitted_pipeline(PCA(16)), X, **options).image_format  # noqa: B018, computed on demand


@pytest.mark.parametrize(
    ("stored", "all_given"),
    [
        ((6, 6, 1), [(36,), (1, 36), (6, 6), (1, 6, 6), (6, 6, 1), (1, 6, 6, 1)]),
        ((1, 12, 3), [(1, 12, 3), (1, 1, 12, 3), (36,)]),
        ((1, 36, 1), [(1, 36), (1, 36, 1), (36,)]),
    ],
)
def test_one_image_comes_with_or_without_the_axis_of_the_batch(stored, all_given):
    images, y = make_images(shape=stored)
    classifier = make_classifier(image_shape=stored).fit(images, y)
    for given in all_given:
        pipeline_input = PipelineInput.of_one(classifier, images[0].reshape(given))
        assert_array_equal(pipeline_input.as_images(pipeline_input.X), images[:1])
        as_list = PipelineInput.of_one(classifier, images[0].reshape(given).tolist())
        assert_array_equal(as_list.X, pipeline_input.X)


def test_one_image_of_a_given_shape_is_no_batch():
    images = X.reshape(-1, 1, 4, 5)
    pipeline = fitted_pipeline(FunctionTransformer(flatten_images), images=images)
    for given in (images[0], images[:1]):
        pipeline_input = PipelineInput.of_one(pipeline, given, image_shape=(1, 4, 5))
        assert_array_equal(pipeline_input.as_images(pipeline_input.X), IMAGES[:1])


@pytest.mark.parametrize("given", [(2, 20), (2, 4, 5), (2, 4, 5, 1)])
def test_several_images_are_not_one(given):
    classifier = make_classifier(image_shape=SHAPE).fit(X, Y)
    with several_are_refused(given):
        PipelineInput.of_one(classifier, X[:2].reshape(given))


@pytest.mark.parametrize(
    ("collected", "transformers"),
    [(list, []), (series, []), (data_frame, [StandardScaler()]), (sparse.csr_array, [TruncatedSVD(9)])],
)
def test_one_image_is_told_from_a_collection(collected, transformers):
    images = collected(X) if transformers else collected(list(X))
    pipeline = fitted_pipeline(*transformers, images=images)
    of_all = PipelineInput(pipeline, images).network_input
    assert_array_equal(PipelineInput.of_one(pipeline, images[:1]).network_input, of_all[:1])
    with several_are_refused((2, 20)):
        PipelineInput.of_one(pipeline, images[:2])


# images back and forth


def test_images_go_back_through_the_steps():
    pipeline = fitted_pipeline(StandardScaler(), FunctionTransformer(np.sinh, np.arcsinh), MinMaxScaler())
    pipeline_input = PipelineInput(pipeline, X)
    assert np.abs(pipeline_input.network_input - X).max() > 1
    assert_allclose(pipeline_input.invert(pipeline_input.network_input), X, rtol=0, atol=1e-12)
    assert_array_equal(pipeline_input.forward(X[:3] + 1), pipeline[:-1].transform(X[:3] + 1))


def test_images_go_back_to_the_layout_that_they_had():
    """A function that changes nothing needs no inverse."""
    flatten = FunctionTransformer(flatten_images, lambda flat: flat.reshape(-1, 4, 5, 1))
    pipeline = fitted_pipeline(FunctionTransformer(), flatten, StandardScaler(), images=IMAGES)
    pipeline_input = PipelineInput(pipeline, IMAGES)
    assert_allclose(pipeline_input.invert(pipeline_input.network_input), IMAGES, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("transformer", "name"),
    [
        (Normalizer(), "normalizer"),
        (FunctionTransformer(np.tanh), "functiontransformer"),
        (FeatureUnion([("same", FunctionTransformer())]), "featureunion"),
        (make_pipeline(PCA(), FunctionTransformer(np.tanh)), "pipeline__functiontransformer"),
    ],
)
def test_a_step_that_cannot_be_inverted_is_named(transformer, name):
    pipeline_input = PipelineInput(fitted_pipeline(StandardScaler(), transformer, MinMaxScaler()), X)
    with pytest.raises(ValueError, match=f"step '{name}', .*give baseline$"):
        pipeline_input.invert(pipeline_input.network_input)


# what transformers take and networks do not


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


def test_transformers_see_the_names_of_columns(frame):
    """A missing name gives a warning, which is an error in these tests, or an error of the step."""
    for steps in ([], [StandardScaler()], [LooksAtNames()], [StandardScaler(), LooksAtNames(), PCA(5)]):
        pipeline = make_pipeline(*steps, make_classifier()).set_output(transform="pandas").fit(frame, Y)
        pipeline_input = PipelineInput(pipeline, frame)
        assert_array_equal(pipeline_input.X, X)
        assert pipeline_input.invert(pipeline_input.network_input).shape == X.shape
        assert_array_equal(
            pipeline_input.forward(X[:2] + 1), PipelineInput(pipeline, frame[:2] + 1).network_input
        )


def unpack(frame):
    """Return the rows of the images in the only column, which has to be called by its name."""
    return np.stack(frame["image"].tolist()).reshape(len(frame), -1)


def test_transformers_see_a_column_of_images():
    column = data_frame({"image": list(X.reshape(-1, 2, 2, 5))})
    pipeline = fitted_pipeline(FunctionTransformer(unpack), images=column)
    pipeline_input = PipelineInput(pipeline, column)
    assert_array_equal(pipeline_input.X, X.reshape(-1, 2, 2, 5))
    assert_array_equal(pipeline_input.forward(pipeline_input.X[:2] + 1), X[:2] + 1)
    assert_array_equal(PipelineInput.of_one(pipeline, column[:1]).network_input, X[:1])


def test_transformers_see_missing_values_and_networks_none():
    images = X.copy()
    images[::3, ::7] = np.nan
    pipeline = fitted_pipeline(StandardScaler(), SimpleImputer(), images=images)
    pipeline_input = PipelineInput(pipeline, images)
    assert_array_equal(pipeline_input.network_input, pipeline[:-1].transform(images))
    assert_array_equal(pipeline_input.X, images)
    with pytest.raises(ValueError, match="Input X contains NaN.\nConvNetClassifier does not accept"):
        PipelineInput(pipeline[-1], images)


def test_transformers_see_sparse_images():
    """Which are no images to look at."""
    images = sparse.csr_array(X)
    pipeline = fitted_pipeline(TruncatedSVD(9, random_state=0), images=images)
    pipeline_input = PipelineInput(pipeline, images)
    assert_array_equal(pipeline_input.network_input, pipeline[:-1].transform(images))
    with pytest.raises(TypeError, match="Sparse data was passed for X"):
        pipeline_input.X  # noqa: B018, computed on demand
