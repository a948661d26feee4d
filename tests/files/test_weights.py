"""Tests of weights of other libraries, and of classifiers that are made of weights."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from small_classifiers import PassingLayer, fitted_classifier, make_images

from skcnn import (
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    ConvNetFeatures,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    GroupNorm,
    PatchWhitening,
    ReLU,
    Residual,
    load,
    save,
)
from skcnn.architecture import from_torchvision, mobilenet_v2, resnet18, vgg11_bn
from skcnn.files import FileError, classifier_from_weights, weights_from_torch
from skcnn.tensor_file import write_tensors

SHAPE = (6, 5, 2)
LAYERS = [("conv1", Conv2D(3)), ("norm1", BatchNorm()), ReLU(), ("dense1", Dense(4))]
X, Y = make_images(24, SHAPE)


def arrays(**shapes):
    rng = generator(len(shapes))
    return {key.replace("__", "."): rng.uniform(0.1, 1, shape) for key, shape in shapes.items()}


def state_dict(**replaced):
    """Return a state dict for the layers, with some entries replaced, or left out where they are None."""
    entries = {
        "features.0.weight": (3, 2, 3, 3),
        "features.0.bias": (3,),
        "features.1.weight": (3,),
        "features.1.bias": (3,),
        "features.1.running_mean": (3,),
        "features.1.running_var": (3,),
        "classifier.weight": (4, 90),
        "classifier.bias": (4,),
        "last.weight": (3, 4),
        "last.bias": (3,),
    }
    entries |= {key.replace("__", "."): shape for key, shape in replaced.items()}
    found = arrays(**{key: shape for key, shape in entries.items() if shape is not None})
    return found | {"features.1.num_batches_tracked": np.array(0)}


NAMES = {"features.0": "conv1", "features.1": "norm1", "classifier": "dense1", "last": "output"}


def assert_same(weights, expected):
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        assert_array_equal(value, expected[name], err_msg=name)


# Weights of PyTorch


def test_layouts_are_permuted():
    source = state_dict()
    weights = weights_from_torch(source, LAYERS, SHAPE)
    assert_array_equal(weights["conv1/weight"][1, 2, 0], source["features.0.weight"][:, 0, 1, 2])
    assert_array_equal(weights["norm1/running_variance"], source["features.1.running_var"])
    of_channels_first = source["classifier.weight"].reshape(4, 3, 6, 5)
    assert_array_equal(weights["dense1/weight"].reshape(6, 5, 3, 4)[2, 3], of_channels_first[:, :, 2, 3].T)
    assert_array_equal(weights["output/weight"], source["last.weight"].T)


def test_names_and_order_give_the_same():
    source = state_dict()
    expected = weights_from_torch(source, LAYERS, SHAPE)
    backwards = dict(reversed(source.items()))
    assert_same(weights_from_torch(backwards, LAYERS, SHAPE, names=NAMES), expected)
    assert_same(weights_from_torch(list_of(source), LAYERS, SHAPE), expected)


def list_of(source):
    """Return arrays as lists, which numpy takes, too."""
    return {key: value.tolist() for key, value in source.items()}


def test_equal_names_belong_together_in_any_order(tmp_path):
    """Dots stand for what "__" is here, and the module left over is the output layer."""
    layers = [("b", Residual([("conv", Conv2D(2)), ("norm", GroupNorm(1))])), ("a", Conv2D(2))]
    source = {
        "fc": (3, 60),
        "b.norm": (2,),
        "b.conv": (2, 2, 3, 3),
        "a": (2, 2, 3, 3),
    }
    source = arrays(**{f"{module}.weight": shape for module, shape in source.items()}) | arrays(
        **{f"{module}.bias": shape[:1] for module, shape in source.items()}
    )
    weights = weights_from_torch(source, layers, SHAPE)
    assert_array_equal(weights["a/bias"], source["a.bias"])
    assert_array_equal(weights["b__norm/scale"], source["b.norm.weight"])
    assert_array_equal(weights["output/bias"], source["fc.bias"])
    write_tensors(tmp_path / "file", source, {})
    assert_same(weights_from_torch(tmp_path / "file", layers, SHAPE), weights)


def test_a_network_may_come_without_its_output_layer():
    source = {key: value for key, value in state_dict().items() if not key.startswith("last")}
    assert not any(name.startswith("output") for name in weights_from_torch(source, LAYERS, SHAPE))
    names = {module: layer for module, layer in NAMES.items() if layer != "output"}
    weights = weights_from_torch(state_dict(), LAYERS, SHAPE, names=names)
    assert "dense1/weight" in weights and "output/weight" not in weights


def test_weights_are_copies():
    source = state_dict()
    before = source["features.1.bias"].copy()
    weights_from_torch(source, LAYERS, SHAPE)["norm1/shift"][:] = 7
    assert_array_equal(source["features.1.bias"], before)


@pytest.mark.parametrize(
    ("replaced", "messages"),
    [
        (
            {"features__0__weight": (3, 2, 5, 5), "last__bias": (7,)},
            [
                r"features.0.weight has shape \(3, 2, 5, 5\), expected \(3, 2, 3, 3\) for conv1/weight",
                r"last.bias has shape \(7,\), expected \(3,\) for output/bias",
            ],
        ),
        (
            {"features__0__bias": None, "last__extra": (2, 1)},
            [
                r"features.0.bias is missing, expected shape \(3,\) for conv1/bias",
                r"last.extra of shape \(2, 1\): layer 'output' has no such parameter",
            ],
        ),
        (
            {"more__weight": (3,), "most__weight": (2, 2)},
            [r"module 'most' \(weight \(2, 2\)\): no layer for it"],
        ),
        (
            dict.fromkeys(("last__weight", "last__bias", "classifier__weight", "classifier__bias")),
            [r"layer 'dense1' \(weight \(90, 4\), bias \(4,\)\): no module for it", "layer 'output'"],
        ),
        ({"last__weight": ()}, [r"last.weight has shape \(\), expected \(1, 4\)"]),
        ({"last__weight": (0, 4)}, [r"last.weight has shape \(0, 4\), expected \(1, 4\)"]),
        ({"features__0__weight": (3, 2, 3)}, [r"features.0.weight has shape \(3, 2, 3\)"]),
        ({"classifier__weight": (4, 91)}, [r"classifier.weight has shape \(4, 91\), expected \(4, 90\)"]),
    ],
)
def test_everything_that_does_not_fit_is_named(replaced, messages):
    for message in messages:
        with pytest.raises(ValueError, match=message):
            weights_from_torch(state_dict(**replaced), LAYERS, SHAPE)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("features.0.bias", [1, np.nan, 2], "features.0.bias for conv1/bias must be finite numbers"),
        ("features.0.bias", [True, True, False], "features.0.bias .* got bool"),
        ("features.1.running_var", [1.0, -1, 1], "features.1.running_var .* negative variances"),
        ("features.0.bias", ["a", "b", "c"], r"state_dict\['features.0.bias'\] must be an array of real"),
        ("features.0.bias", {"weight": 1}, r"state_dict\['features.0.bias'\] must be .* got dict"),
        ("features.0.bias", [[1], [1, 2]], r"state_dict\['features.0.bias'\] is no array"),
        ("features.0.bias", None, r"state_dict\['features.0.bias'\] must be .* got NoneType"),
        (7, [1], "state_dict has the key 7"),
    ],
)
def test_values_that_are_no_weights_are_refused(key, value, message):
    with pytest.raises(ValueError, match=message):
        weights_from_torch(state_dict() | {key: value}, LAYERS, SHAPE)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (NAMES | {"features.9": "conv1"}, "no module 'features.9'"),
        (NAMES | {"features.1": "norm9"}, "'features.1': there is no layer 'norm9'"),
        (NAMES | {"features.1": "conv1"}, "'conv1' comes twice"),
        (
            {"last": "output"},
            r"(?s)'conv1' .*no module for it.*names leave out \[.*'features.0'.* all modules",
        ),
        (NAMES | {"last": "relu_1"}, "no layer 'relu_1' with parameters"),
    ],
)
def test_names_that_do_not_fit_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        weights_from_torch(state_dict(), LAYERS, SHAPE, names=names)


def test_an_alphabetical_order_is_not_taken_for_that_of_modules(tmp_path):
    """It would mix up modules of equal shapes in silence."""
    source = state_dict()
    write_tensors(tmp_path / "file", source, {})
    alphabetical = dict(sorted(source.items()))
    for unordered in (tmp_path / "file", alphabetical):
        with pytest.raises(ValueError, match=r"\['classifier', 'features', 'last'\] do not tell it"):
            weights_from_torch(unordered, LAYERS, SHAPE)
        expected = weights_from_torch(source, LAYERS, SHAPE)
        assert_same(weights_from_torch(unordered, LAYERS, SHAPE, names=NAMES), expected)


def convolutions(*names):
    """Return a state dict of convolutions of one shape and an output layer, whose values tell them apart."""
    source = {}
    for number, name in enumerate(names):
        source |= {f"{name}.weight": np.full((2, 2, 1, 1), float(number)), f"{name}.bias": np.zeros(2)}
    return source | {"fc.weight": np.zeros((3, 60)), "fc.bias": np.zeros(3)}


@pytest.mark.parametrize(
    ("modules", "layers", "crossed"),
    [
        (["b", "a", "c"], ["a", "b", "conv"], ["'b' would become 'a'", "'a' would become 'b'"]),
        (["stem", "conv1"], ["conv1", "conv2"], ["'conv1' would become 'conv2'"]),
        (["0", "block.a"], ["block__a", "last"], ["'block.a' would become 'last'"]),
    ],
)
def test_an_order_that_contradicts_names_is_refused(modules, layers, crossed):
    stack = [
        ("block", Residual([("a", Conv2D(2, 1))])) if name == "block__a" else (name, Conv2D(2, 1))
        for name in layers
    ]
    for message in ["give names", *crossed]:
        with pytest.raises(ValueError, match=message):
            weights_from_torch(convolutions(*modules), stack, SHAPE)
    names = dict(zip(modules, layers, strict=False)) | {"fc": "output"}
    weights = weights_from_torch(convolutions(*modules), stack, SHAPE, names=names)
    assert_array_equal(weights[f"{layers[1]}/weight"], 1)


@pytest.mark.parametrize("is_numbered", [True, False])
def test_an_order_by_dtype_is_not_taken_for_that_of_modules(is_numbered):
    """Some writers of safetensors files sort by size first: keys of a module do not stand together."""
    modules = [str(number) if is_numbered else f"conv{number}" for number in range(12)]
    source = {key.replace("fc", "12"): value for key, value in convolutions(*modules).items()}
    by_dtype = dict(sorted(source.items(), key=lambda entry: (entry[0].endswith("bias"), entry[0])))
    stack = [Conv2D(2, 1) for _ in modules]
    if is_numbered:
        assert_same(weights_from_torch(by_dtype, stack, SHAPE), weights_from_torch(source, stack, SHAPE))
    else:
        with pytest.raises(ValueError, match=r"'conv9'\] do not tell it"):
            weights_from_torch(by_dtype, stack, SHAPE)


def test_features_that_stand_in_another_order_must_not_be_mixed():
    layers = [Flatten(), ("norm", GroupNorm(5))]
    source = arrays(**{"0.weight": (60,), "0.bias": (60,), "1.weight": (3, 60), "1.bias": (3,)})
    with pytest.raises(ValueError, match="layer 'norm' takes flattened images"):
        weights_from_torch(source, layers, SHAPE)


def test_other_sources_are_refused(tmp_path):
    with pytest.raises(TypeError, match="state_dict must be a mapping"):
        weights_from_torch([1, 2], LAYERS, SHAPE)
    with pytest.raises(ValueError, match="state_dict holds no arrays"):
        weights_from_torch({}, [], SHAPE)
    with pytest.raises(TypeError, match="names must be a mapping"):
        weights_from_torch(state_dict(), LAYERS, SHAPE, names=list(NAMES))
    with pytest.raises(TypeError, match="weights must be a mapping"):
        classifier_from_weights([], [1, 2], range(3), SHAPE)
    with pytest.raises(FileNotFoundError):
        weights_from_torch(tmp_path / "missing", LAYERS, SHAPE)
    (tmp_path / "pickle.pth").write_bytes(b"PK\3\4" + bytes(100))
    with pytest.raises(FileError, match="pickle.pth: not a safetensors file, but a zip archive"):
        weights_from_torch(tmp_path / "pickle.pth", LAYERS, SHAPE)
    with pytest.raises(ValueError, match="image_shape must be None or two or three"):
        weights_from_torch(state_dict(), LAYERS, (6,))
    with pytest.raises(ValueError, match="layer name 'output' is"):
        weights_from_torch(state_dict(), [("output", Dense(3))], SHAPE)


@pytest.mark.parametrize("layers", [None, Conv2D(2), "conv", {"conv1": Conv2D(2)}], ids=str)
def test_layers_are_a_list(layers):
    message = f"layers must be a list or tuple, got <class .*{type(layers).__name__}"
    with pytest.raises(TypeError, match=message):
        weights_from_torch(state_dict(), layers, SHAPE)
    with pytest.raises((TypeError, ValueError), match="layers"):
        classifier_from_weights(layers, {}, range(3), SHAPE)


def test_running_statistics_of_others_stay_in_training():
    """A step changes them by a tenth, as in PyTorch, however many minibatches the file has counted."""
    weights = weights_from_torch(state_dict(), LAYERS, SHAPE)
    clf = ConvNetClassifier(LAYERS, init=weights, averaging=None, max_iter=1, batch_size=len(X))
    after = clf.set_params(learning_rate_init=1e-30, input_scaling=None).fit(X, Y).get_weights()
    convolved = classifier_from_weights(LAYERS[:1], only("conv1", weights), range(3), SHAPE, dtype="float64")
    results = convolved.model_.results(X, 1)
    expected = 0.9 * weights["norm1/running_mean"] + 0.1 * results.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(after["norm1/running_mean"], expected, rtol=1e-5)


def only(layer, weights):
    """Return the weights of a layer, and those of an output layer for its results."""
    own = {name: value for name, value in weights.items() if name.startswith(layer)}
    return own | {"output/weight": np.zeros((90, 3)), "output/bias": np.zeros(3)}


# torchvision


@pytest.mark.parametrize("stack", [resnet18, mobilenet_v2, vgg11_bn])
def test_state_dicts_of_other_networks_are_refused_layer_by_layer(stack):
    output = {resnet18: "fc", mobilenet_v2: "classifier.1", vgg11_bn: "classifier.6"}[stack]
    source = {f"{output}.weight": np.zeros((5, 3)), "layer9.0.conv1.weight": np.zeros((3, 3, 3, 3))}
    with pytest.raises(ValueError, match="'layer9.0.conv1': there is no layer 'layer9__0__conv1'"):
        from_torchvision(source)
    del source["layer9.0.conv1.weight"]
    first = {resnet18: "conv1", mobilenet_v2: "features__0__0", vgg11_bn: "features__0"}[stack]
    with pytest.raises(ValueError, match=rf"{output}.weight has shape \(5, 3\)[\s\S]*'{first}' .* no module"):
        from_torchvision(source)


def state_dict_of_resnet18(n_classes):
    """Return a state dict with the names and shapes of torchvision's, and random weights."""
    shapes, channels = {"conv1.weight": (64, 3, 7, 7), "bn1": (64,), "fc.weight": (n_classes, 512)}, 64
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes |= {f"{name}.conv1.weight": (filters, channels, 3, 3), f"{name}.bn1": (filters,)}
            shapes |= {f"{name}.conv2.weight": (filters, filters, 3, 3), f"{name}.bn2": (filters,)}
            if channels != filters:
                shapes[f"{name}.downsample.0.weight"] = (filters, channels, 1, 1)
                shapes[f"{name}.downsample.1"] = (filters,)
            channels = filters
    found, rng = {"fc.bias": np.zeros(n_classes, np.float32)}, generator(18)
    for key, shape in shapes.items():
        if key.endswith("weight"):
            scale = np.sqrt(2 / np.prod(shape[1:]), dtype=np.float32)
            found[key] = scale * rng.standard_normal(shape, np.float32)
        else:
            found |= {f"{key}.{name}": np.ones(shape, np.float32) for name in ("weight", "running_var")}
            found |= {f"{key}.{name}": np.zeros(shape, np.float32) for name in ("bias", "running_mean")}
            found[f"{key}.num_batches_tracked"] = np.array(5)
    return found


@pytest.mark.costly
def test_a_file_of_torchvision_is_a_start_for_other_classes(tmp_path):
    source = state_dict_of_resnet18(10)
    write_tensors(tmp_path / "resnet18.safetensors", source, {})
    weights = from_torchvision(tmp_path / "resnet18.safetensors")
    factors = {"": 0, "output": 1}
    params = {"learning_rate_factors": factors, "max_iter": 1, "averaging": None}
    tuned = ConvNetClassifier(resnet18(), init=weights, **params)
    images = generator(3).integers(0, 256, (6, 32, 32, 3), np.uint8)
    report = tuned.fit(images, ["owl", "ant", "cat"] * 2).init_report_
    assert report["new"] == report["unused"] == []
    assert report["other shape"] == ["output/weight", "output/bias"]
    after = tuned.get_weights()
    for layer, module in {"conv1": "conv1", "layer4__0__projection__0": "layer4.0.downsample.0"}.items():
        assert_array_equal(after[f"{layer}/weight"].transpose(3, 2, 0, 1), source[f"{module}.weight"])
    assert (after["output/bias"] != 0).all()


def test_stacks_of_torchvision_are_searched_by_its_names():
    clf = ConvNetClassifier(resnet18(), image_shape=(64, 64, 3))
    clf.set_params(maxpool="passthrough", layer2__0__conv1__filters=8)
    assert dict(clf.summary(y=Y).records[0])
    assert clf.get_params()["layer2__0__projection"] is not None


# A classifier made of weights


def test_a_classifier_of_weights_predicts_as_the_one_they_are_of():
    fitted = fitted_classifier(LAYERS, X=X, y=Y, input_scaling=((1, 2), 3.0), dtype="float64")
    made = classifier_from_weights(
        LAYERS, fitted.get_weights(), fitted.classes_, SHAPE, input_scaling=((1, 2), 3.0), dtype="float64"
    )
    assert_array_equal(made.predict_proba(X), fitted.predict_proba(X))
    assert_array_equal(made.predict(X.reshape(24, -1)), fitted.predict(X))
    assert made.score(X, Y) == fitted.score(X, Y)
    assert made.history_ == [] and made.loss_curve_ == [] and made.n_iter_ == 0
    assert not hasattr(clone(made), "model_")


@pytest.fixture
def made():
    return classifier_from_weights(LAYERS, weights_from_torch(state_dict(), LAYERS, SHAPE), range(3), SHAPE)


def test_a_classifier_of_weights_comes_back_from_a_file(made, tmp_path):
    save(made, tmp_path / "made")
    loaded = load(tmp_path / "made")
    assert_array_equal(loaded.predict_proba(X), made.predict_proba(X))
    assert loaded.history_ == []


def test_training_goes_on_from_a_classifier_of_weights(made):
    before = made.get_weights()
    made.set_params(warm_start=True, max_iter=1, random_state=SEED).fit(X, Y)
    assert made.n_iter_ == len(made.history_) == 1
    assert (made.get_weights()["conv1/weight"] != before["conv1/weight"]).all()
    assert made.partial_fit(X, Y).n_iter_ == 1


def test_a_classifier_of_weights_is_a_start_for_others(made):
    factors = {"": 0, "output": 1}
    tuned = ConvNetClassifier(
        LAYERS, init=FrozenEstimator(made), learning_rate_factors=factors, max_iter=1, input_scaling=None
    ).fit(X, Y + 5)
    assert tuned.init_report_["new"] == ["output/weight", "output/bias"]
    assert_array_equal(tuned.get_weights()["conv1/weight"], made.get_weights()["conv1/weight"])


def test_the_features_of_a_classifier_of_weights_are_those_before_the_output(made):
    features = ConvNetFeatures(made, prefit=True).fit(X).transform(X)
    scores = features @ made.get_weights()["output/weight"] + made.get_weights()["output/bias"]
    np.testing.assert_allclose(scores, made.decision_function(X), rtol=1e-4)


def test_classes_are_sorted_and_their_scores_with_them(made):
    weights = made.get_weights()
    named = classifier_from_weights(LAYERS, weights, ["owl", "ant", "cat"], SHAPE)
    assert named.classes_.tolist() == ["ant", "cat", "owl"]
    assert_array_equal(named.predict(X), np.array(["owl", "ant", "cat"])[made.predict(X)])
    assert_array_equal(named.predict_proba(X)[:, 2], made.predict_proba(X)[:, 0])


@pytest.mark.parametrize("n_classes", [2, 30])
def test_any_number_of_classes(n_classes):
    weights = {"output/weight": np.zeros((60, n_classes)), "output/bias": np.arange(n_classes)}
    made = classifier_from_weights([], weights, range(n_classes), SHAPE)
    assert_array_equal(made.predict(X), np.full(24, n_classes - 1))


def test_images_come_as_they_are_stored(made):
    weights = made.get_weights()
    first = classifier_from_weights(
        LAYERS, weights, range(3), (2, 6, 5), data_format="channels_first", dtype="float64"
    )
    last = classifier_from_weights(LAYERS, weights, range(3), SHAPE, dtype="float64")
    assert_array_equal(first.predict_proba(X.transpose(0, 3, 1, 2)), last.predict_proba(X))
    grey = {"output/weight": np.zeros((30, 2)), "output/bias": np.zeros(2)}
    assert classifier_from_weights([], grey, ["a", "b"], (6, 5)).image_shape_ == (6, 5, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["a", "b"]}, r"weights\['output/weight'\] must be numbers of shape \(4, 2\)"),
        ({"classes": ["a", "b", "a"]}, "classes must differ, got 'a' twice"),
        ({"classes": ["a"]}, "at least 2 classes"),
        ({"classes": [0.5, 1.5, 2.5]}, "classes must be an array of labels"),
        ({"image_shape": None}, "image_shape must be given"),
        ({"image_shape": (6,)}, "image_shape must be None or two or three"),
        ({"image_shape": (6, 5, 3)}, r"weights\['conv1/weight'\]"),
        ({"input_scaling": "standardize"}, "input_scaling must be None or"),
        ({"input_scaling": ((1, 2, 3), 1)}, "input_scaling"),
        ({"dtype": "float16"}, "dtype"),
        ({"data_format": "last"}, "data_format"),
        ({"layers": [*LAYERS, ("more", Conv2D(2))]}, "layer 'more'"),
        ({"layers": [*LAYERS, ("more", Dense(4))]}, r"more/weight of shape \(4, 4\) is missing"),
        ({"layers": LAYERS[:3]}, "'dense1/weight' is of no layer"),
        ({"weights": {}}, "conv1/weight of shape .* is missing"),
    ],
)
def test_what_makes_no_classifier_is_refused(changes, message, made):
    given = {"layers": LAYERS, "weights": made.get_weights(), "classes": range(3), "image_shape": SHAPE}
    with pytest.raises(ValueError, match=message):
        classifier_from_weights(**(given | changes))


@pytest.mark.parametrize(
    ("name", "value"),
    [("conv1/bias", [1, np.inf, 2]), ("norm1/scale", [1e300, 1, 1]), ("conv1/bias", 1)]
    + [("norm1/running_variance", [0, -1, 1]), ("norm1/n_updates", -1), ("conv1/bias", None)],
)
def test_weights_that_are_no_finite_numbers_of_their_shape_are_refused(name, value, made):
    with pytest.raises(ValueError, match=name):
        classifier_from_weights(LAYERS, made.get_weights() | {name: value}, range(3), SHAPE)
    with pytest.raises(ValueError, match=name):
        made.set_weights({name: value})


class Lookup(PassingLayer):
    """A layer of one's own with constants that are no floating-point numbers."""

    constant_params = ("table", "mask")

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"table": np.arange(3), "mask": np.ones(2, bool), "shift": np.zeros(2, dtype)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constants_keep_their_dtypes(dtype):
    layers = [Lookup(), ("norm", BatchNorm()), PatchWhitening()]
    fitted = fitted_classifier(layers, X=X, y=Y, dtype=dtype)
    weights = fitted.get_weights() | {"lookup_1/table": [5, 6, 7], "norm/scale": [1, 2]}
    made = classifier_from_weights(layers, weights, range(3), SHAPE, dtype=dtype)
    for name, value in made.get_weights().items():
        assert value.dtype == fitted.get_weights()[name].dtype
        assert_array_equal(value, weights[name])
    with pytest.raises(ValueError, match=r"weights\['lookup_1/table'\] must be int64"):
        classifier_from_weights(layers, weights | {"lookup_1/table": [0.7, 1, 2]}, range(3), SHAPE)


def test_pooled_networks_take_images_of_other_sizes(made):
    layers = [*LAYERS[:3], GlobalAvgPool2D()]
    weights = {
        name: value for name, value in made.get_weights().items() if "1/" in name and "dense" not in name
    }
    weights |= {"output/weight": np.eye(3), "output/bias": np.zeros(3)}
    classifier_from_weights(layers, weights, range(3), (9, 9, 2)).predict(np.zeros((1, 9, 9, 2)))
