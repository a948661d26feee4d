"""The results of a layer as features."""

import pickle
import tracemalloc
from functools import partial

import numpy as np
import pytest
from extras import data_frame, series
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import estimator_checks, get_tags
from small_classifiers import make_classifier

from skcnn import Conv2D, ConvNetFeatures, Dense

X, Y = load_digits(return_X_y=True)
X, Y = X[:200], Y[:200]

make_net = partial(make_classifier, hidden_layer_sizes=(5,), activation="relu")

CHECKS = [
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_param_validation,
]
"""Checks that scikit-learn runs on its own transformers, beside those of ``check_estimator``."""


def features_of(network, layer=None):
    """Return the features of the digits by a network that is trained already."""
    return ConvNetFeatures(network, layer, prefit=True).fit(X).transform(X)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
def test_further_checks_of_scikit_learn(check):
    """Some fit on arrays and transform data frames or the reverse, of which the warnings are right."""
    check("ConvNetFeatures", ConvNetFeatures(make_net()))


def test_features_are_what_the_output_layer_reads():
    """Their products with its weights are the scores."""
    net = make_net().fit(X, Y)
    features, output = features_of(net), net.network_.params["output"]
    assert_allclose(features @ output["weight"] + output["bias"], net.decision_function(X), atol=1e-9)
    assert_array_equal(features, features_of(net, "dense1"))
    assert (features >= 0).all()  # after the activation of the layer


def test_features_of_images_have_names_of_pixels():
    names = ConvNetFeatures(make_net(), "pool1").fit(X, Y).get_feature_names_out()
    assert len(names) == 4 * 4 * 3
    assert names[:4].tolist() == ["pool1_0_0_0", "pool1_0_0_1", "pool1_0_0_2", "pool1_0_1_0"]


def test_a_frozen_network_stays_as_it_is_in_a_pipeline():
    net = make_net().fit(X, Y)
    before = pickle.dumps(net.network_.vector)
    frozen = make_pipeline(ConvNetFeatures(FrozenEstimator(net), "dense1"), SVC())
    clone(frozen).fit(X[:100], Y[:100])
    frozen.fit(X[:100], Y[:100])
    assert pickle.dumps(net.network_.vector) == before
    assert_array_equal(frozen[0].transform(X), features_of(net, "dense1"))


def test_steps_of_a_pipeline_take_what_they_take():
    """Missing values, say, and sparse arrays; also after pickling."""
    missing = np.where(X == 8, np.nan, X)
    for step, images in ((StandardScaler(), X), (SimpleImputer(), missing), (TruncatedSVD(9), csr_array(X))):
        pipeline = make_pipeline(step, make_net()).fit(images, Y)
        features = ConvNetFeatures(pipeline, prefit=True).fit(images)
        inner = ConvNetFeatures(pipeline[-1], prefit=True).fit(X)
        expected = inner.transform(pipeline[0].transform(images))
        assert_array_equal(features.transform(images), expected)
        assert_array_equal(pickle.loads(pickle.dumps(features)).transform(images), expected)


def test_wrong_use_is_refused():
    with pytest.raises(NotFittedError):
        ConvNetFeatures(make_net()).transform(X)
    with pytest.raises(ValueError, match="'dense9'"):
        ConvNetFeatures(make_net(), "dense9").fit(X, Y)
    with pytest.raises(TypeError, match="ConvNetClassifier"):
        ConvNetFeatures(SVC()).fit(X, Y)
    with pytest.raises(ValueError, match="sample_weight"):
        ConvNetFeatures(make_net().fit(X, Y), prefit=True).fit(X, Y, sample_weight=np.ones(len(X)))


@pytest.mark.parametrize(
    "estimator",
    [make_net(), make_pipeline(StandardScaler(), make_net()), GridSearchCV(make_net(), {})],
    ids=lambda estimator: type(estimator).__name__,
)
def test_with_prefit_a_clone_needs_a_frozen_network(estimator):
    with pytest.raises(NotFittedError, match="prefit=True.*clones.*FrozenEstimator"):
        ConvNetFeatures(estimator, prefit=True).fit(X)
    features = ConvNetFeatures(FrozenEstimator(clone(estimator).fit(X, Y)), prefit=True)
    assert cross_val_score(make_pipeline(features, SVC()), X, Y, cv=2, error_score="raise").mean() > 0.2


def test_a_misspelt_layer_is_found_before_training(monkeypatch):
    monkeypatch.setattr("skcnn.estimator.BaseConvNet._fit", lambda *_, **__: pytest.fail("it has begun"))
    for estimator in (make_net(), make_pipeline(StandardScaler(), make_net(image_shape=(8, 8)))):
        with pytest.raises(ValueError, match="'conv1'.* 'conv9'"):
            ConvNetFeatures(estimator, "conv9").fit(X, Y)


def test_what_is_wrong_otherwise_is_said_as_by_fit():
    pipeline = make_pipeline(StandardScaler(), make_net(image_shape=28))
    with pytest.raises(ValueError, match="'image_shape'"):
        ConvNetFeatures(pipeline, "dense1").fit(X, Y)
    with pytest.raises(ValueError, match="ragged"):
        ConvNetFeatures(make_net(), "dense1").fit([np.zeros((8, 8)), np.zeros((8, 9))], [0, 1])
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        ConvNetFeatures(make_net(), "dense1").fit(np.zeros((5, 0)), Y[:5])


@pytest.mark.costly
def test_a_layer_that_a_pipeline_or_search_decides_upon_is_found_after_training():
    pipeline = make_pipeline(StandardScaler(), make_net(layers=[("conv1", Conv2D(2)), ("dense1", Dense(4))]))
    assert ConvNetFeatures(pipeline, "dense1").fit(X, Y).transform(X).shape == (len(X), 4)
    search = GridSearchCV(make_net(), {"hidden_layer_sizes": [(4,), (4, 3)]}, cv=2)
    features = ConvNetFeatures(search, "dense1").fit(X, Y)
    assert_array_equal(features.transform(X), features_of(features.estimator_.best_estimator_, "dense1"))
    for estimator in (pipeline, search):
        with pytest.raises(ValueError, match="'conv9'"):
            ConvNetFeatures(estimator, "conv9").fit(X, Y)


def test_a_trained_network_needs_no_labels_and_has_a_dtype_of_its_own():
    tags = get_tags(ConvNetFeatures(make_net()))
    assert tags.target_tags.required
    assert tags.input_tags.three_d_array
    net = make_net().fit(X, Y)
    for features in (ConvNetFeatures(net, prefit=True), ConvNetFeatures(FrozenEstimator(net))):
        tags = get_tags(features)
        assert not tags.target_tags.required
        assert tags.transformer_tags.preserves_dtype == []
        assert features.fit(X).transform(X.astype(np.float32)).dtype == np.float64


# what reaches the network, and in what form


def test_features_have_the_dtype_computed_in():
    images = X.astype("uint8")
    assert ConvNetFeatures(make_net()).fit(images, Y).transform(images).dtype == "float32"
    double = ConvNetFeatures(make_net(dtype="float64")).fit(images, Y)
    assert double.transform(images).dtype == "float64"
    assert get_tags(double).transformer_tags.preserves_dtype == []


def test_features_of_images_are_flattened_channels_last():
    """As maxima of pooling show, which are those of four neighbours in each channel."""
    net = make_net().fit(X.reshape(-1, 8, 8), Y)
    features = ConvNetFeatures(net, "pool1", prefit=True).fit(X).transform(X.reshape(-1, 8, 8, 1))
    maxima = features_of(net, "conv1").reshape(-1, 4, 2, 4, 2, 3).max(axis=(2, 4))
    assert_array_equal(features, maxima.reshape(len(X), -1))


@pytest.mark.costly
def test_a_memory_map_is_not_copied_whole(tmp_path):
    """More images take more memory for their features alone, five numbers of four bytes each."""
    n_images = 20_000
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (n_images, 32, 32, 1))
    images[:] = np.arange(32, dtype=np.uint8)[:, np.newaxis]
    net = make_net(conv_layer_sizes=(2,)).fit(np.array(images[:40]), np.arange(40) % 2)
    features = ConvNetFeatures(net, prefit=True).fit(images[:1])

    def peak_of(part):
        tracemalloc.start()
        found = features.transform(part)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found.shape == (len(part), 5)
        return peak

    peak_of(images[:100])  # so that what is imported on the way does not count
    growth = peak_of(images) - peak_of(images[: n_images // 4])
    added = n_images * 3 // 4
    assert growth < 2 * added * 5 * 4 < added * 32 * 32 / 20


def test_names_of_columns_are_those_of_the_data_frame():
    frame = data_frame(X, columns=[f"pixel{number}" for number in range(64)], index=np.arange(200) * 2)
    features = ConvNetFeatures(make_pipeline(StandardScaler(), make_net())).fit(frame, Y)
    assert_array_equal(features.feature_names_in_, frame.columns)
    assert features.n_features_in_ == 64
    out = features.set_output(transform="pandas").transform(frame[:3])
    assert out.columns.tolist() == [f"dense1_{number}" for number in range(5)]
    assert out.index.tolist() == [0, 2, 4]
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        features.transform(frame[frame.columns[::-1]])


@pytest.mark.parametrize("column", [["image"], "image"], ids=["data frame", "Series"])
def test_a_column_of_images_beside_others_becomes_columns_of_features(column):
    frame = data_frame({"image": list(X.reshape(-1, 8, 8)), "age": np.arange(200.0)})
    transformer = ColumnTransformer(
        [("net", ConvNetFeatures(make_net(), "dense1"), column), ("rest", "passthrough", ["age"])]
    )
    out = transformer.set_output(transform="pandas").fit_transform(frame, Y)
    assert out.columns.tolist() == [*(f"net__dense1_{number}" for number in range(5)), "rest__age"]
    expected = ConvNetFeatures(make_net(), "dense1").fit(X, Y).transform(X)
    assert_array_equal(out.to_numpy()[:, :5], expected)


def test_other_names_of_columns_are_refused():
    frame = data_frame({"image": list(X.reshape(-1, 8, 8))})
    features = ConvNetFeatures(make_net()).fit(frame, Y)
    for names in (["other"], ["image", "other"]):
        with pytest.raises(ValueError, match="input_features"):
            features.get_feature_names_out(names)


@pytest.mark.parametrize("collected", [list, series, lambda images: data_frame({"image": images})])
def test_layers_are_planned_for_the_images_in_a_collection(collected):
    """Not for the shape of the collection, which looks like images of one pixel."""
    net = make_net(layers=[("conv1", Conv2D(2, 5, padding="valid"))])
    images = collected(list(X.reshape(-1, 8, 8)))
    assert ConvNetFeatures(net, "conv1").fit(images, Y).transform(images).shape == (200, 4 * 4 * 2)


# cloning, searching and routing


def test_clones_are_not_fitted_and_layers_are_searched():
    features = ConvNetFeatures(make_net().fit(X, Y), "conv1", prefit=True).fit(X)
    cloned = clone(features)
    assert cloned.get_params()["layer"] == "conv1"
    with pytest.raises(NotFittedError):
        cloned.fit(X)
    pipeline = make_pipeline(ConvNetFeatures(make_net()), SVC())
    grid = {"convnetfeatures__layer": ["dense1", "pool1"], "convnetfeatures__estimator__alpha": [0.0]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    best = search.best_estimator_[0]
    assert len(best.get_feature_names_out()) == best._n_features_out == best.transform(X).shape[1]


def test_what_is_prefit_does_not_follow_a_later_training():
    net = make_net().fit(X, Y)
    features = ConvNetFeatures(net, prefit=True).fit(X)
    before = features.transform(X)
    net.set_params(random_state=7).fit(X, Y)
    assert_array_equal(features.transform(X), before)


@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_weights_reach_the_network_and_are_routed_to_it(method):
    weights = np.linspace(0.1, 2, len(X))
    expected = make_net().fit(X, Y, sample_weight=weights).network_.vector
    plain = ConvNetFeatures(make_net()).fit(X, Y, sample_weight=weights)
    with config_context(enable_metadata_routing=True):
        net = make_net().set_fit_request(sample_weight=True)
        alone = ConvNetFeatures(net)
        getattr(alone, method)(X, Y, sample_weight=weights)
        pipeline = make_pipeline(ConvNetFeatures(net), SVC().set_fit_request(sample_weight=False))
        pipeline.fit(X, Y, sample_weight=weights)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            ConvNetFeatures(make_net()).fit(X, Y, sample_weight=weights)
    for features in (plain, alone, pipeline[0]):
        assert_array_equal(features.estimator_.network_.vector, expected)
