"""The estimator inside scikit-learn's meta-estimators, with images and with flat rows."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    learning_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from small_classifiers import make_classifier

from skcnn import BatchNorm, Conv2D, Dense

N_SAMPLES, SHAPE = 48, (5, 6, 1)
BINARY, Y = np.arange(N_SAMPLES) % 2, np.arange(N_SAMPLES) % 3
X = generator(0).normal(size=(N_SAMPLES, *SHAPE))
X[np.arange(N_SAMPLES), Y + 1, 2, 0] += 6
X[np.arange(N_SAMPLES), 2 * BINARY, 4, 0] += 6
ROWS = X.reshape(N_SAMPLES, -1)


def make_net(layers=None, **params):
    """Return a small estimator that learns these images."""
    defaults = {"conv_layer_sizes": (4,), "pool_size": 1, "hidden_layer_sizes": (8,), "activation": "relu"}
    training = {"batch_size": "auto", "max_iter": 25, "learning_rate_init": 0.02}
    return make_classifier(layers, **(defaults | training | params))


@pytest.mark.parametrize(
    ("method", "shape"), [("predict", ()), ("predict_proba", (3,)), ("decision_function", (3,))]
)
def test_cross_val_predict(method, shape):
    result = cross_val_predict(make_net(), X, Y, cv=3, method=method)
    assert result.shape == (N_SAMPLES, *shape)
    labels = result if method == "predict" else result.argmax(axis=1)
    assert np.mean(labels == Y) > 0.85


def test_grid_search_over_parameters_of_a_layer_inside_a_pipeline():
    net = make_net([("conv1", Conv2D(4, activation="relu")), ("norm1", BatchNorm()), ("dense1", Dense(8))])
    pipeline = Pipeline([("same", FunctionTransformer()), ("net", net)])
    before = repr(pipeline)
    grid = {"net__conv1__kernel_size": [1, 3], "net__max_iter": [20]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    size = search.best_params_["net__conv1__kernel_size"]
    assert search.best_estimator_["net"].network_.params["conv1"]["weight"].shape[:2] == (size, size)
    assert [params["net__conv1__kernel_size"] for params in search.cv_results_["params"]] == [1, 3]
    assert search.score(X, Y) > 0.85
    assert repr(pipeline) == before


def test_halving_search_over_epochs():
    grid = {"learning_rate_init": [1e-6, 1e-5, 0.02]}
    options = {"resource": "max_iter", "min_resources": 4, "max_resources": 12, "random_state": SEED}
    search = HalvingGridSearchCV(make_net(), grid, cv=2, **options).fit(X, Y)
    assert search.n_resources_ == [4, 12]
    assert search.best_params_ == {"learning_rate_init": 0.02, "max_iter": 12}
    assert search.best_estimator_.n_iter_ == 12


def test_incremental_learning_curve_trains_by_partial_fit():
    train, test = np.arange(24), np.arange(24, N_SAMPLES)
    options = {"train_sizes": [12, 24], "exploit_incremental_learning": True}
    _, _, test_scores = learning_curve(make_net(), X, Y, cv=[(train, test)], **options)
    net, expected = make_net(), []
    for rows in (train[:12], train[12:]):
        net.partial_fit(X[rows], Y[rows], classes=np.unique(Y))
        expected.append([net.score(X[test], Y[test])])
    assert_array_equal(test_scores, expected)


def two_nets():
    return [("one", make_net()), ("two", make_net(random_state=SEED + 1))]


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (CalibratedClassifierCV(make_net(), cv=2), Y),
        (VotingClassifier(two_nets(), voting="hard"), Y),
        (VotingClassifier(two_nets(), voting="soft"), Y),
        (StackingClassifier(two_nets(), cv=2), Y),
        (OneVsRestClassifier(make_net()), Y),
        (AdaBoostClassifier(make_net(), n_estimators=2, random_state=SEED), Y),  # passes weights
        (TunedThresholdClassifierCV(make_net(), scoring="f1", cv=2), BINARY),
    ],
    ids=lambda value: type(value).__name__,
)
def test_meta_estimators_learn_images(model, y):
    assert clone(model).fit(X, y).score(X, y) > 0.85


# meta-estimators that look into X themselves, and so want two axes

PICKY = [
    (lambda net: BaggingClassifier(net, n_estimators=2, random_state=SEED), "Found array with dim 4"),
    (OneVsOneClassifier, "Found array with dim 4"),
    (SelfTrainingClassifier, "Found array with dim 4"),
    (
        lambda net: StackingClassifier([("net", net)], cv=2, passthrough=True),
        "must have same number of dimensions",
    ),
]
PICKY_IDS = ["bagging", "one against one", "self-training", "stacking with passthrough"]


@pytest.mark.parametrize(("make_model", "message"), PICKY, ids=PICKY_IDS)
def test_meta_estimators_that_refuse_images_take_flat_rows(make_model, message):
    """Of which the nets inside know the shape of images."""
    with pytest.raises(ValueError, match=message):
        make_model(make_net(max_iter=1)).fit(X, Y)
    model = make_model(make_net(image_shape=SHAPE))
    is_unlabelled = isinstance(model, SelfTrainingClassifier) & (np.arange(N_SAMPLES) % 4 == 3)
    model.fit(ROWS, np.where(is_unlabelled, -1, Y))
    assert model.score(ROWS, Y) > 0.8
    nets = getattr(model, "estimators_", None) or [model.estimator_]
    assert {net.image_shape_ for net in nets} == {SHAPE}


# metadata routing


@pytest.fixture
def metadata_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_pipeline_transforms_validation_images(metadata_routing):
    net = make_net(early_stopping=True, max_iter=3, image_shape=SHAPE)
    net.set_fit_request(X_val=True, y_val=True, sample_weight=True)
    train, val = slice(0, 36), slice(36, None)
    weights = np.linspace(0.5, 1.5, 36)
    rows = ROWS + 100  # validation images that were not centred would score otherwise
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    pipeline = Pipeline([("scale", scaler), ("net", clone(net))], transform_input=["X_val"])
    pipeline.fit(rows[train], Y[train], X_val=rows[val], y_val=Y[val], sample_weight=weights)
    scaled = StandardScaler().fit(rows[train]).transform(rows)
    alone = clone(net).fit(scaled[train], Y[train], weights, X_val=scaled[val], y_val=Y[val])
    assert pipeline[-1].validation_scores_ == alone.validation_scores_
    assert_array_equal(pipeline.predict_proba(rows[val]), alone.predict_proba(scaled[val]))


def test_cross_validation_routes_sample_weights(metadata_routing):
    """Labels of the heavy class are predicted more often."""
    net = make_net(max_iter=2).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    weights = np.where(Y == 0, 1.0, 0.001)
    routed = cross_val_predict(net, X, Y, cv=2, params={"sample_weight": weights})
    plain = cross_val_predict(net, X, Y, cv=2, params={"sample_weight": np.ones(N_SAMPLES)})
    assert np.sum(routed == 0) > np.sum(plain == 0)
