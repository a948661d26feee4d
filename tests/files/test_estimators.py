"""Tests of estimators in files: what is loaded is what was saved, and nothing that does not fit is loaded."""

import json
import os
import re

import numpy as np
import pytest
from extras import data_frame, package
from files.keep_models import FOLDER as MODELS
from files.keep_models import stem_of
from layers.test_all_layers import ROWS
from pickles import CLASSES, NAMES, TRAININGS, scores_of
from processes import X, make_net
from sklearn import config_context
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_classifiers import fitted_classifier, make_classifier, make_images

from skcnn import (
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    ConvNetFeatures,
    CutMix,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    Parallel,
    RandomCrop,
    RandomFlip,
    Residual,
    load,
    save,
)
from skcnn.files import FileError
from skcnn.tensor_file import read_tensors, write_tensors


@pytest.fixture
def path(tmp_path):
    return tmp_path / "estimator.skcnn"


def through_file(estimator, path, *, custom=(), **options):
    save(estimator, path, **options)
    return load(path, custom=custom)


def assert_same_model(loaded, saved):
    """Hold weights and buffers against each other, bit for bit, and what else prediction needs."""
    network, expected = loaded.network_, saved.network_
    assert network.vector.tobytes() == expected.vector.tobytes()
    assert network.dtype == expected.dtype
    assert network.n_decayed == expected.n_decayed
    for where, value in expected.buffers().items():
        np.testing.assert_array_equal(network.buffers()[where], value, strict=True)
    np.testing.assert_array_equal(loaded.model_.classes, saved.model_.classes, strict=True)
    assert loaded.image_shape_ == saved.image_shape_


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_fitted_estimator_comes_back(kind, path):
    saved = TRAININGS[kind]()
    loaded = through_file(saved, path)
    assert_same_model(loaded, saved)
    np.testing.assert_array_equal(scores_of(loaded, X), scores_of(saved, X), strict=True)
    assert repr(loaded.get_params()) == repr(saved.get_params())
    for name in ("history_", "loss_curve_", "validation_scores_", "best_loss_", "n_iter_", "t_"):
        assert repr(getattr(loaded, name)) == repr(getattr(saved, name))
    assert os.path.getsize(path) < saved.network_.vector.nbytes + 30_000


def stack_of(layer, input_shape):
    """Return a stack in which a layer sees an input of a shape, and the images for it."""
    is_image = len(input_shape) == 3
    shape = input_shape if is_image else (1, 1, *input_shape)
    layers = [layer] if is_image else [Flatten(), layer]
    return layers, make_images(12, shape)


FIRST_ROWS = {type(layer).__name__: (layer, input_shape) for layer, input_shape in reversed(ROWS)}


@pytest.mark.parametrize(("layer", "input_shape"), FIRST_ROWS.values(), ids=FIRST_ROWS)
def test_every_layer_comes_back(layer, input_shape, path):
    layers, (images, y) = stack_of(layer, input_shape)
    saved = fitted_classifier(layers, X=images, y=y, max_iter=1, batch_size=6)
    loaded = through_file(saved, path)
    assert_same_model(loaded, saved)
    assert repr(loaded.layers_) == repr(saved.layers_)
    np.testing.assert_array_equal(loaded.predict_proba(images), saved.predict_proba(images))


@pytest.mark.parametrize("loss", ["log_loss", "focal", "hinge", "squared_hinge"])
@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 1, 2], np.int8),
        np.array(["a", "bc", "ä"]),
        np.array(["x", "y", "z"], object),
        np.array([True, False, True]),
        np.array([1.0, 2.0, 4.0], np.float32),
    ],
    ids=lambda labels: labels.dtype.str,
)
def test_labels_and_losses_come_back(loss, labels, path):
    images, codes = make_images()
    saved = make_classifier(loss=loss, focal_gamma=1.5).fit(images, labels[codes])
    loaded = through_file(saved, path)
    predicted, expected = loaded.predict(images), saved.predict(images)
    np.testing.assert_array_equal(predicted, expected, strict=True)
    assert vars(loaded.model_.loss) == vars(saved.model_.loss)


def test_hyperparameters_come_back_as_given(path):
    layers = [
        ("first", Residual([Conv2D(4, activation="relu"), BatchNorm()], activation="gelu")),
        Parallel([Conv2D(2, 1), "passthrough"]),
        GlobalAvgPool2D(),
    ]
    params = {
        "layers": layers,
        "augmentation": (RandomCrop(1), ("flip", RandomFlip(vertical=True)), CutMix(0.3)),
        "tta": [RandomFlip()],
        "class_weight": {0: 1.0, np.int64(1): np.float32(2.5), 2: 3},
        "image_shape": np.array([6, 5, 2]),
        "n_iter_no_change": np.inf,
        "momentum": np.float32(0.5),
        "max_iter": np.int64(1),
    }
    saved = make_classifier(**params)
    loaded = through_file(saved, path)
    for name, value in saved.get_params(deep=False).items():
        found = getattr(loaded, name)
        assert type(found) is type(value), name
        assert repr(found) == repr(value), name
    loaded.fit(*make_images())


def test_names_of_features_requests_and_notes_come_back(path):
    images, y = make_images()
    frame = data_frame(images.reshape(len(images), -1)).rename(columns=str)
    saved = make_classifier(image_shape=(6, 5, 2)).fit(frame, y)
    saved.note_ = {"made for": ("tests", 1)}
    with config_context(enable_metadata_routing=True):
        saved.set_fit_request(sample_weight="weights", X_val=True)
    loaded = through_file(saved, path)
    assert loaded.note_ == saved.note_
    assert list(loaded.feature_names_in_) == list(frame.columns)
    assert repr(loaded.get_metadata_routing()) == repr(saved.get_metadata_routing())
    np.testing.assert_array_equal(loaded.predict(frame), saved.predict(frame))


def test_features_come_back(path):
    images, _ = make_images()
    net = fitted_classifier()
    for estimator in (net, FrozenEstimator(net)):
        saved = ConvNetFeatures(estimator, layer="dense1", prefit=True).fit(images)
        loaded = through_file(saved, path)
        np.testing.assert_array_equal(loaded.transform(images), saved.transform(images), strict=True)
        assert type(loaded.estimator) is type(estimator)


@pytest.mark.parametrize("scaling", ["standardize", None, (1.0, 2.0), ((0, 1), (2, 3))], ids=repr)
@pytest.mark.parametrize("transfers", [False, True], ids=["anew", "with init"])
def test_every_scaling_comes_back(scaling, transfers, path):
    images, y = make_images()
    source = fitted_classifier(input_scaling=scaling)
    saved = make_classifier(init=FrozenEstimator(source)).fit(images, y) if transfers else source
    loaded = through_file(saved, path)
    np.testing.assert_array_equal(loaded.predict_proba(images), saved.predict_proba(images))
    if transfers:
        np.testing.assert_array_equal(loaded.init.estimator.classes_, source.classes_)


def test_a_nested_network_is_without_its_training_state(path):
    images, _ = make_images()
    net = fitted_classifier(warm_start=True)
    features = ConvNetFeatures(net, prefit=True).fit(images)
    loaded = through_file(features, path)
    assert not hasattr(loaded.estimator_, "_training_state")
    assert hasattr(net, "_training_state")


def test_pipelines_are_left_to_others(path):
    with pytest.raises(TypeError, match="Pipeline.*skops"):
        save(make_pipeline(StandardScaler(), make_classifier()), path)
    features = ConvNetFeatures(make_pipeline(StandardScaler(), make_classifier()))
    with pytest.raises(TypeError, match=r"estimator is .*sklearn\.pipeline\.Pipeline"):
        save(features, path)
    assert not path.exists()


# What no file can hold, and classes of one's own


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scoring", len),
        ("random_state", np.random.RandomState(0)),
        ("layers", [Dense(3), len]),
        ("class_weight", {0: 1j}),
    ],
)
def test_hyperparameters_that_no_file_can_hold_are_named_or_dropped(name, value, path):
    saved = fitted_classifier().set_params(**{name: value})
    with pytest.raises(TypeError, match=name):
        save(saved, path)
    assert not path.exists()
    loaded = through_file(saved, path, drop=[name])
    assert getattr(loaded, name) == getattr(ConvNetClassifier(), name)
    assert getattr(saved, name) is value
    assert_same_model(loaded, saved)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("validation_split", StratifiedShuffleSplit(1)),
        ("scoring", len),
        ("random_state", np.random.RandomState(0)),
        ("class_weight", {0: 1j}),
        ("alpha", np.longdouble(1)),
        ("init", FrozenEstimator(fitted_classifier().set_params(scoring=len))),
    ],
    ids=str,
)
def test_the_way_out_is_named_for_hyperparameters_that_no_file_can_hold(name, value, path):
    saved = fitted_classifier().set_params(**{name: value})
    with pytest.raises(TypeError, match=re.escape(f"drop=['{name}'] writes the default")):
        save(saved, path)


@pytest.mark.parametrize("name", ["note", "layers"])
def test_no_way_out_is_named_where_dropping_is_none(name, path):
    saved = fitted_classifier()
    setattr(saved, name, [len])
    with pytest.raises(TypeError, match="a file cannot hold$"):
        save(saved, path)


def test_only_hyperparameters_can_be_dropped(path):
    with pytest.raises(ValueError, match="drop='model_'"):
        save(fitted_classifier(), path, drop=["model_"])


class Scaled(Dense):
    """A layer of one's own."""

    def __init__(self, units, factor=2.0):
        super().__init__(units)
        self.factor = factor

    def forward(self, params, X, unit, *, training, out):
        return super().forward(params, self.factor * X, unit, training=training, out=out)


class OwnNet(ConvNetClassifier):
    """An estimator of one's own, with a smaller constructor."""

    def __init__(self, width=3):
        super().__init__([Conv2D(width)], max_iter=1, random_state=0)
        self.width = width


def test_layers_and_estimators_of_ones_own_are_passed(path):
    images, y = make_images()
    saved = fitted_classifier([Flatten(), Scaled(4, factor=0.5)])
    with pytest.raises(FileError, match="'Scaled'"):
        through_file(saved, path)
    loaded = through_file(saved, path, custom={"Scaled": Scaled})
    np.testing.assert_array_equal(loaded.predict_proba(images), saved.predict_proba(images))
    saved = OwnNet(4).fit(images, y)
    loaded = through_file(saved, path, custom={"OwnNet": OwnNet})
    assert loaded.get_params() == {"width": 4}
    np.testing.assert_array_equal(loaded.predict_proba(images), saved.predict_proba(images))


# Going on


STATES = {
    "adamw and ema": {},
    "sgd and swa": {"solver": "sgd", "averaging": "swa", "averaging_start": 0.5},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3, "averaging": None},
    "augmentation": {"augmentation": [RandomFlip(), CutMix()], "learning_rate": "one_cycle"},
    "lbfgs": {"solver": "lbfgs", "averaging": None},
}


@pytest.mark.parametrize("params", STATES.values(), ids=STATES)
def test_training_goes_on_as_if_it_had_not_been_interrupted(params, path):
    images, y = make_images(30)
    saved = make_classifier([Conv2D(3), BatchNorm()], warm_start=True, **params).fit(images, y)
    loaded = through_file(saved, path, training_state=True)
    for net in (saved, loaded):
        net.fit(images, y)
    assert_same_model(loaded, saved)
    assert loaded.loss_curve_ == saved.loss_curve_


def test_a_stream_goes_on_as_if_it_had_not_been_interrupted(path):
    saved = make_net()
    saved.partial_fit(X[:30], NAMES[:30], classes=CLASSES)
    loaded = through_file(saved, path, training_state=True)
    for net in (saved, loaded):
        net.partial_fit(X[30:], NAMES[30:])
    assert_same_model(loaded, saved)
    assert loaded.loss_curve_ == saved.loss_curve_


def test_a_training_state_is_kept_where_it_is_asked_for(path):
    saved = fitted_classifier(warm_start=True)
    save(saved, path)
    size = path.stat().st_size
    save(saved, path, training_state=True)
    assert path.stat().st_size > size + 2 * saved.network_.vector.nbytes
    with pytest.raises(ValueError, match="training_state=True"):
        save(fitted_classifier(), path, training_state=True)
    through_file(saved, path).fit(*make_images())  # anew from the weights


# Files of others


@pytest.fixture
def parts(path):
    """Return the tensors and the JSON of a file, and what writes others and loads them."""
    save(fitted_classifier([Conv2D(3), BatchNorm(), Dense(4)], warm_start=True), path, training_state=True)
    tensors, metadata = read_tensors(path, has_digest=True)

    def load_others(tensors, plain):
        write_tensors(path, tensors, metadata | {"estimator": json.dumps(plain)})
        return load(path)

    return tensors, json.loads(metadata["estimator"]), load_others


def test_the_format_of_a_later_version_is_named(path):
    for format in ({"format": "skcnn 2"}, {}):
        write_tensors(path, {}, format)
        with pytest.raises(FileError, match="skcnn 1"):
            load(path)


WRONG_TENSORS = {
    "missing weight": ("model_/weights/conv2d_1/weight", None),
    "weight of another shape": ("model_/weights/conv2d_1/weight", np.zeros((3, 3, 2, 4), np.float64)),
    "weight of another dtype": ("model_/weights/dense_1/weight", lambda array: array.astype(np.float32)),
    "running mean of another shape": ("model_/weights/batchnorm_1/running_mean", np.zeros(4)),
    "mean of another shape": ("model_/format/mean", np.zeros(3)),
    "slots of another shape": ("_training_state/slots/average", np.zeros(3)),
    "too few classes": ("model_/classes", np.arange(2)),
}


@pytest.mark.parametrize(("name", "value"), WRONG_TENSORS.values(), ids=WRONG_TENSORS)
def test_tensors_that_do_not_fit_are_refused(name, value, parts):
    tensors, plain, load_others = parts
    assert load_others(tensors, plain)
    assert name in tensors
    changed = value(tensors[name]) if callable(value) else value
    others = {key: changed if key == name else array for key, array in tensors.items()}
    with pytest.raises(FileError):
        load_others({key: array for key, array in others.items() if array is not None}, plain)


def model_of(plain):
    return plain["holds"]["model_"]["holds"]


def replace_entry(where, key, value):
    """Return what replaces an entry of the JSON."""
    return lambda plain: where(plain).__setitem__(key, value)


WRONG_JSON = {
    "no layers": replace_entry(model_of, "layers", []),
    "layers of numbers": replace_entry(model_of, "layers", [1, 2]),
    "a layer less": lambda plain: model_of(plain)["layers"].pop(1),
    "a wider layer": lambda plain: model_of(plain)["layers"][0]["tuple"][1]["holds"].update(filters=2**40),
    "filters of text": lambda plain: model_of(plain)["layers"][0]["tuple"][1]["holds"].update(filters="a"),
    "unknown loss": replace_entry(model_of, "loss", "os.system"),
    "loss of other parameters": replace_entry(model_of, "loss_parameters", {"dict": {"a": 1}}),
    "no seed": replace_entry(model_of, "seed", None),
    "weights of another layer": lambda plain: model_of(plain)["weights"]["dict"].update(other={"dict": {}}),
    "weights that are text": replace_entry(model_of, "weights", {"dict": {"conv2d_1": "a"}}),
    "model of text": lambda plain: plain["holds"].update(model_="a"),
    "no history": lambda plain: plain["holds"].pop("_history"),
    "history of text": lambda plain: plain["holds"]["_history"]["holds"].update(loss_curve=["a"]),
    "negative epoch": lambda plain: plain["holds"]["_training_state"]["holds"].update(epoch=-1),
    "another dtype": lambda plain: model_of(plain)["format"]["dict"].update(dtype="object"),
    "another shape": lambda plain: model_of(plain)["format"]["dict"].update(
        image_shape={"tuple": [2**40] * 3}
    ),
    "a shape of two numbers": lambda plain: model_of(plain)["format"]["dict"].update(
        image_shape={"tuple": [6, 10]}
    ),
    "channels first of text": lambda plain: model_of(plain)["format"]["dict"].update(channels_first="no"),
    "dunder attribute": lambda plain: plain["holds"].update(__class__="a"),
    "an attribute that hides a method": lambda plain: plain["holds"].update(predict_proba=1),
    "names of features": lambda plain: plain["holds"].update(feature_names_in_=["a"]),
    "a layer alone": lambda plain: plain.update(model_of(plain)["layers"][0]["tuple"][1]),
}


@pytest.mark.parametrize("change", WRONG_JSON.values(), ids=WRONG_JSON)
def test_json_that_does_not_fit_is_refused(change, parts):
    tensors, plain, load_others = parts
    change(plain)
    with pytest.raises(FileError):
        load_others(tensors, plain)


def test_deeply_nested_layers_are_refused(parts):
    tensors, plain, load_others = parts
    layer = {"object": "Dense", "holds": {"units": 2}}
    for _ in range(300):
        layer = {"object": "Sequential", "holds": {"layers": [layer]}}
    model_of(plain)["layers"] = [{"tuple": ["deep", layer]}]
    with pytest.raises(FileError):
        load_others(tensors, plain)


# For ever


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.skcnn")), ids=lambda path: path.stem)
def test_models_of_every_version_load_for_ever(path):
    """Sums in another order give other last digits; see pickles.py."""
    recorded = np.load(MODELS / f"{path.stem}.npz")
    loaded = load(path)
    scores = scores_of(loaded, recorded["X"])
    tolerance = 500 * np.finfo(loaded.network_.dtype).eps * np.abs(recorded["scores"]).max()
    np.testing.assert_allclose(scores, recorded["scores"], rtol=0, atol=tolerance)
    assert scores.dtype == recorded["scores"].dtype
    if hasattr(loaded, "classes_"):
        np.testing.assert_array_equal(loaded.predict(recorded["X"]), recorded["labels"], strict=True)


def test_a_model_of_each_kind_is_kept():
    assert {path.stem for path in MODELS.glob("*.skcnn")} >= {stem_of(kind) for kind in TRAININGS}


def test_a_file_of_this_package_is_one_of_safetensors(path):
    saved = fitted_classifier()
    save(saved, path)
    tensors = package("safetensors.numpy").load_file(path)
    for layer, own in saved.network_.params.items():
        for name, value in own.items():
            np.testing.assert_array_equal(tensors[f"model_/weights/{layer}/{name}"], value)
