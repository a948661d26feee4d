"""The estimator inside scikit-learn's meta-estimators, with flat rows and with images."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from seeds import SEED, generator
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, Dense

N_SAMPLES = 48


class Images:
    """Separable images in one layout, with an estimator that takes them."""

    def __init__(self, layout):
        shape = {"flat rows with image_shape": (5, 6, 1), "square flat rows": (6, 6, 1), "images": (5, 6, 1)}
        self.image_shape = shape[layout]
        rng = generator(0)
        self.binary = np.arange(N_SAMPLES) % 2
        self.y = np.arange(N_SAMPLES) % 3
        X = rng.normal(size=(N_SAMPLES, *self.image_shape))
        X[np.arange(N_SAMPLES), self.y + 1, 2, 0] += 6
        X[np.arange(N_SAMPLES), 2 * self.binary, 4, 0] += 6
        self.X = X if layout == "images" else X.reshape(N_SAMPLES, -1)
        self.params = {"image_shape": self.image_shape} if "image_shape" in layout else {}

    def net(self, layers=None, **params):
        """Return a small estimator that learns these images."""
        defaults = {
            "conv_layer_sizes": (4,),
            "normalization": None,
            "pool_size": 1,
            "hidden_layer_sizes": (8,),
            "max_iter": 25,
            "learning_rate_init": 0.02,
            "random_state": SEED,
        }
        return ConvNetClassifier(layers, **(defaults | self.params | params))

    def named_net(self):
        layers = [("conv1", Conv2D(4, activation="relu")), ("norm1", BatchNorm()), ("dense1", Dense(8))]
        return self.net(layers)


@pytest.fixture(params=["flat rows with image_shape", "square flat rows", "images"])
def images(request):
    return Images(request.param)


def test_cross_val_score(images):
    scores = cross_val_score(images.net(), images.X, images.y, cv=3)
    assert len(scores) == 3
    assert scores.mean() > 0.85


@pytest.mark.parametrize(
    ("method", "shape"), [("predict", ()), ("predict_proba", (3,)), ("decision_function", (3,))]
)
def test_cross_val_predict(images, method, shape):
    result = cross_val_predict(images.net(), images.X, images.y, cv=3, method=method)
    assert result.shape == (N_SAMPLES, *shape)
    labels = result if method == "predict" else result.argmax(axis=1)
    assert np.mean(labels == images.y) > 0.85


def test_grid_search_over_a_parameter_of_a_layer(images):
    search = GridSearchCV(images.named_net(), {"conv1__filters": [2, 5]}, cv=2).fit(images.X, images.y)
    filters = search.best_params_["conv1__filters"]
    assert search.best_estimator_.network_.params["conv1"]["weight"].shape[-1] == filters
    assert [params["conv1__filters"] for params in search.cv_results_["params"]] == [2, 5]
    assert search.score(images.X, images.y) > 0.9


def test_grid_search_over_names_made_from_positions(images):
    net = images.net([Conv2D(4, activation="relu"), Dense(8)])
    search = GridSearchCV(net, {"conv2d_1__filters": [3], "dense_1__units": [7]}, cv=2)
    search.fit(images.X, images.y)
    params = search.best_estimator_.network_.params
    assert params["conv2d_1"]["bias"].shape == (3,)
    assert params["dense_1"]["bias"].shape == (7,)
    assert [type(entry) for entry in net.layers] == [Conv2D, Dense]


def test_grid_search_over_whole_layers(images):
    grid = {"norm1": [BatchNorm(momentum=0.5), "passthrough"]}
    search = GridSearchCV(images.named_net(), grid, cv=2, refit=False).fit(images.X, images.y)
    assert search.cv_results_["params"] == [{"norm1": grid["norm1"][0]}, {"norm1": "passthrough"}]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    without = GridSearchCV(images.named_net(), {"norm1": ["passthrough"]}, cv=2).fit(images.X, images.y)
    assert "norm1" not in without.best_estimator_.network_.params


def test_grid_search_inside_a_pipeline(images):
    pipeline = Pipeline([("same", FunctionTransformer()), ("net", images.named_net())])
    grid = {"net__conv1__kernel_size": [1, 3], "net__max_iter": [20]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(images.X, images.y)
    best = search.best_estimator_.named_steps["net"]
    size = search.best_params_["net__conv1__kernel_size"]
    assert best.network_.params["conv1"]["weight"].shape[:2] == (size, size)
    assert search.score(images.X, images.y) > 0.85


def test_grid_search_leaves_the_estimator_as_it_was(images):
    net = images.named_net()
    before = repr(net)
    GridSearchCV(net, {"conv1__filters": [2], "norm1": ["passthrough"]}, cv=2).fit(images.X, images.y)
    assert repr(net) == before


def test_randomized_search(images):
    space = {"learning_rate_init": [0.02, 0.03], "conv_layer_sizes": [(2,), (4,)]}
    search = RandomizedSearchCV(images.net(), space, n_iter=3, cv=2, random_state=SEED)
    search.fit(images.X, images.y)
    assert len(search.cv_results_["params"]) == 3
    assert search.score(images.X, images.y) > 0.85


def test_halving_search_over_epochs(images):
    search = HalvingGridSearchCV(
        images.net(),
        {"learning_rate_init": [1e-6, 1e-5, 0.02]},
        resource="max_iter",
        min_resources=4,
        max_resources=12,
        cv=2,
        random_state=SEED,
    ).fit(images.X, images.y)
    assert search.n_resources_ == [4, 12]
    assert search.best_params_ == {"learning_rate_init": 0.02, "max_iter": 12}
    assert search.best_estimator_.n_iter_ == 12


def test_learning_curve(images):
    train, test = np.arange(24), np.arange(24, N_SAMPLES)
    sizes, _, test_scores = learning_curve(
        images.net(), images.X, images.y, cv=[(train, test)], train_sizes=[6, 24]
    )
    assert_array_equal(sizes, [6, 24])
    nets = [images.net().fit(images.X[:size], images.y[:size]) for size in sizes]
    assert_array_equal(test_scores, [[net.score(images.X[test], images.y[test])] for net in nets])


def test_incremental_learning_curve_trains_by_partial_fit(images):
    train, test = np.arange(24), np.arange(24, N_SAMPLES)
    _, _, test_scores = learning_curve(
        images.net(),
        images.X,
        images.y,
        cv=[(train, test)],
        train_sizes=[12, 24],
        exploit_incremental_learning=True,
    )
    net, expected = images.net(), []
    for rows in (train[:12], train[12:]):
        net.partial_fit(images.X[rows], images.y[rows], classes=np.unique(images.y))
        expected.append([net.score(images.X[test], images.y[test])])
    assert_array_equal(test_scores, expected)


def test_validation_curve(images):
    train, test = np.arange(24), np.arange(24, N_SAMPLES)
    _, test_scores = validation_curve(
        images.net(), images.X, images.y, param_name="max_iter", param_range=[1, 25], cv=[(train, test)]
    )
    nets = [images.net(max_iter=max_iter).fit(images.X[train], images.y[train]) for max_iter in (1, 25)]
    assert_array_equal(test_scores, [[net.score(images.X[test], images.y[test])] for net in nets])


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_classifier(images, method):
    model = CalibratedClassifierCV(images.net(), cv=2, method=method).fit(images.X, images.y)
    assert_allclose(model.predict_proba(images.X).sum(axis=1), 1)
    assert model.score(images.X, images.y) > 0.85


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_voting_classifier(images, voting):
    nets = [("one", images.net()), ("two", images.net(random_state=SEED + 1))]
    model = VotingClassifier(nets, voting=voting).fit(images.X, images.y)
    assert model.score(images.X, images.y) > 0.9


def test_stacking_classifier(images):
    nets = [("one", images.net()), ("two", images.net(random_state=SEED + 1))]
    model = StackingClassifier(nets, cv=2).fit(images.X, images.y)
    assert model.score(images.X, images.y) > 0.85


def test_one_vs_rest_classifier(images):
    model = OneVsRestClassifier(images.net()).fit(images.X, images.y)
    assert len(model.estimators_) == 3
    assert model.score(images.X, images.y) > 0.9


def test_tuned_threshold_classifier(images):
    model = TunedThresholdClassifierCV(images.net(), scoring="f1", cv=2).fit(images.X, images.binary)
    assert 0 <= model.best_threshold_ <= 1
    assert model.score(images.X, images.binary) > 0.9


def test_fixed_threshold_classifier(images):
    model = FixedThresholdClassifier(images.net(), threshold=2.0, response_method="predict_proba")
    assert_array_equal(model.fit(images.X, images.binary).predict(images.X), 0)


def test_ada_boost_classifier_passes_sample_weights(images):
    model = AdaBoostClassifier(images.net(), n_estimators=2, random_state=SEED).fit(images.X, images.y)
    assert model.score(images.X, images.y) > 0.9


# meta-estimators that look into X themselves, and so want two axes


def picky_models(images):
    """Return meta-estimators by what they say of four axes."""
    net = images.net()
    dim = "Found array with dim 4"
    return {
        "bagging": (BaggingClassifier(net, n_estimators=2, random_state=SEED), dim),
        "one against one": (OneVsOneClassifier(net), dim),
        "self-training": (SelfTrainingClassifier(net), dim),
        "stacking with passthrough": (
            StackingClassifier([("net", net)], cv=2, passthrough=True),
            "must have same number of dimensions",
        ),
    }


PICKY = list(picky_models(Images("images")))


@pytest.mark.parametrize("name", PICKY)
def test_meta_estimators_that_refuse_images(name):
    images = Images("images")
    model, message = picky_models(images)[name]
    with pytest.raises(ValueError, match=message):
        model.fit(images.X, images.y)


@pytest.mark.parametrize("layout", ["flat rows with image_shape", "square flat rows"])
@pytest.mark.parametrize("name", PICKY)
def test_meta_estimators_that_refuse_images_take_flat_rows(name, layout):
    images = Images(layout)
    model, _ = picky_models(images)[name]
    y = np.where(np.arange(N_SAMPLES) % 4 == 3, -1, images.y) if name == "self-training" else images.y
    model.fit(images.X, y)
    assert model.score(images.X, images.y) > 0.8


@pytest.mark.parametrize("name", ["bagging", "one against one"])
def test_nets_inside_know_the_shape_of_flat_rows(name):
    images = Images("flat rows with image_shape")
    model, _ = picky_models(images)[name]
    shapes = {net.image_shape_ for net in model.fit(images.X, images.y).estimators_}
    assert shapes == {images.image_shape}


# metadata routing


@pytest.fixture
def metadata_routing():
    before = sklearn.get_config()["enable_metadata_routing"]
    sklearn.set_config(enable_metadata_routing=True)
    yield
    sklearn.set_config(enable_metadata_routing=before)


class Centring(TransformerMixin, BaseEstimator):
    """Subtracts the mean image, whatever its number of axes."""

    def fit(self, X, y=None):
        self.centre_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return X - self.centre_


def test_pipeline_transforms_validation_images(images, metadata_routing):
    net = images.net(early_stopping=True, max_iter=3)
    net.set_fit_request(X_val=True, y_val=True, sample_weight=True)
    train, val = slice(0, 36), slice(36, None)
    weights = np.linspace(0.5, 1.5, 36)
    X = images.X + 100  # validation images that were not centred would score otherwise
    pipeline = Pipeline([("centre", Centring()), ("net", clone(net))], transform_input=["X_val"])
    pipeline.fit(X[train], images.y[train], X_val=X[val], y_val=images.y[val], sample_weight=weights)
    centred = X - X[train].mean(axis=0)
    alone = clone(net).fit(centred[train], images.y[train], weights, X_val=centred[val], y_val=images.y[val])
    assert pipeline[-1].validation_scores_ == alone.validation_scores_
    assert_array_equal(pipeline.predict_proba(X[val]), alone.predict_proba(centred[val]))


def test_pipeline_with_a_scaler_of_scikit_learn_transforms_validation_rows(metadata_routing):
    images = Images("square flat rows")
    net = images.net(early_stopping=True, max_iter=3).set_fit_request(X_val=True, y_val=True)
    train, val = slice(0, 36), slice(36, None)
    pipeline = Pipeline([("scale", StandardScaler()), ("net", clone(net))], transform_input=["X_val"])
    pipeline.fit(images.X[train], images.y[train], X_val=images.X[val], y_val=images.y[val])
    scaled = StandardScaler().fit(images.X[train]).transform(images.X)
    alone = clone(net).fit(scaled[train], images.y[train], X_val=scaled[val], y_val=images.y[val])
    assert pipeline[-1].validation_scores_ == alone.validation_scores_


def test_cross_validation_routes_sample_weights(images, metadata_routing):
    net = images.net(max_iter=2).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    weights = np.where(images.y == 0, 1.0, 0.001)
    routed = cross_val_predict(net, images.X, images.y, cv=2, params={"sample_weight": weights})
    # labels of the heavy class are predicted more often
    plain = cross_val_predict(net, images.X, images.y, cv=2, params={"sample_weight": np.ones(N_SAMPLES)})
    assert np.sum(routed == 0) > np.sum(plain == 0)
