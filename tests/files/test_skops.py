"""Tests of skops and MLflow: fitted estimators are made of trusted types, all of which are in one list."""

import numpy as np
import pytest
from extras import package
from files.test_estimators import FIRST_ROWS, stack_of
from pickles import NAMES, TRAININGS, scores_of
from processes import X
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_classifiers import fitted_classifier, make_classifier, make_images

import skcnn
from skcnn import (
    SKOPS_TYPES,
    BatchNorm,
    Conv2D,
    ConvNetFeatures,
    CutMix,
    Cutout,
    GlobalAvgPool2D,
    LeakyReLU,
    Mixup,
    Parallel,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomShift,
    RandomZoom,
    Residual,
    Sequential,
)

sio = package("skops.io")


def through_skops(estimator):
    """Return an estimator that was dumped and loaded; no type of ours but those of the list is in it."""
    data = sio.dumps(estimator)
    assert set(sio.get_untrusted_types(data=data)) <= set(SKOPS_TYPES)
    return sio.loads(data, trusted=SKOPS_TYPES)


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_fitted_estimator_comes_back_and_goes_on(kind):
    saved = TRAININGS[kind]()
    loaded = through_skops(saved)
    np.testing.assert_array_equal(scores_of(loaded, X), scores_of(saved, X), strict=True)
    if kind in ("warm start", "partial fit", "average"):
        for net in (saved, loaded):
            net.partial_fit(X, NAMES) if kind == "partial fit" else net.fit(X, NAMES)
        np.testing.assert_array_equal(loaded.decision_function(X), saved.decision_function(X))


@pytest.mark.parametrize(("layer", "input_shape"), FIRST_ROWS.values(), ids=FIRST_ROWS)
def test_every_layer_is_trusted(layer, input_shape):
    layers, (images, y) = stack_of(layer, input_shape)
    saved = fitted_classifier(layers, X=images, y=y, max_iter=1, batch_size=6)
    np.testing.assert_array_equal(through_skops(saved).predict_proba(images), saved.predict_proba(images))


AUGMENTATIONS = [
    RandomFlip(),
    RandomCrop(1),
    RandomShift(1),
    RandomRotation(5),
    RandomZoom(0.1),
    RandomBrightness(0.1),
    RandomContrast(0.1),
    Cutout(1),
    Mixup(),
    CutMix(),
]

OPTIONS = {
    "augmentations": {"augmentation": AUGMENTATIONS, "tta": [RandomFlip()]},
    "containers": {
        "layers": [
            Residual([Conv2D(3), Sequential([BatchNorm()])], activation=LeakyReLU()),
            Parallel([Conv2D(2), "passthrough"]),
            GlobalAvgPool2D(),
        ]
    },
    "focal": {"loss": "focal", "class_weight": {0: 2.0, 1: 1, 2: np.float32(3)}},
    "hinge": {"loss": "hinge"},
    "squared_hinge": {"loss": "squared_hinge"},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "rates": {"learning_rate_factors": {"conv": 0.0}, "input_scaling": (1.0, np.array([2.0, 3.0]))},
}


@pytest.mark.parametrize("params", OPTIONS.values(), ids=OPTIONS)
def test_every_option_is_trusted(params):
    images, y = make_images()
    assert {type(kind) for kind in AUGMENTATIONS} == {
        value
        for value in vars(skcnn).values()
        if getattr(value, "__module__", "").startswith("skcnn.augment")
    }
    saved = make_classifier(**params).fit(images, y)
    np.testing.assert_array_equal(through_skops(saved).predict(images), saved.predict(images), strict=True)


def test_pipelines_features_and_frozen_networks_are_trusted():
    images, y = make_images()
    rows = images.reshape(len(images), -1)
    net = make_classifier(image_shape=(6, 5, 2))
    fitted = make_pipeline(StandardScaler(), net).fit(rows, y)
    np.testing.assert_array_equal(through_skops(fitted).predict_proba(rows), fitted.predict_proba(rows))
    features = ConvNetFeatures(FrozenEstimator(fitted_classifier()), prefit=True).fit(images)
    np.testing.assert_array_equal(through_skops(features).transform(images), features.transform(images))


SCIKIT_LEARN_TYPES = [
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.StratifiedKFold",
]


def test_a_fitted_search_needs_names_of_scikit_learn_and_its_best_network_none():
    """skops does not trust the scorer and the splitter that a search keeps."""
    images, y = make_images()
    search = GridSearchCV(make_classifier(max_iter=1), {"alpha": [0, 1]}, cv=2).fit(images, y)
    data = sio.dumps(search)
    assert set(sio.get_untrusted_types(data=data)) - set(SKOPS_TYPES) == set(SCIKIT_LEARN_TYPES)
    loaded = sio.loads(data, trusted=[*SKOPS_TYPES, *SCIKIT_LEARN_TYPES])
    for each in (loaded, through_skops(search.best_estimator_)):
        np.testing.assert_array_equal(each.predict_proba(images), search.predict_proba(images))


@pytest.mark.parametrize("splitter", [StratifiedKFold(2), KFold(2), ShuffleSplit(1)])
def test_a_splitter_for_validation_is_to_be_trusted_by_name(splitter):
    images, y = make_images()
    net = make_classifier(early_stopping=True, validation_split=splitter, max_iter=1)
    data = sio.dumps(net.fit(images, y))
    name = f"sklearn.model_selection._split.{type(splitter).__name__}"
    assert set(sio.get_untrusted_types(data=data)) - set(SKOPS_TYPES) == {name}
    loaded = sio.loads(data, trusted=[*SKOPS_TYPES, name])
    np.testing.assert_array_equal(loaded.predict_proba(images), net.predict_proba(images))


def test_other_types_are_not_trusted():
    assert all(name.startswith("skcnn.") for name in SKOPS_TYPES)


@pytest.mark.filterwarnings("default")  # MLflow warns of its own type hints
def test_mlflow_saves_and_loads_a_pipeline(tmp_path):
    mlflow = package("mlflow.sklearn")
    images, y = make_images()
    rows = images.reshape(len(images), -1)
    fitted = make_pipeline(StandardScaler(), make_classifier(image_shape=(6, 5, 2))).fit(rows, y)
    options = {"serialization_format": "skops", "skops_trusted_types": SKOPS_TYPES}
    mlflow.save_model(fitted, tmp_path / "model", pip_requirements=["skcnn"], **options)
    loaded = mlflow.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict_proba(rows), fitted.predict_proba(rows))
