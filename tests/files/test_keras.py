"""Tests of weights of Keras: files that it wrote, and such as it does not write."""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_array_equal

from skcnn import (
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAvgPool2D,
    GroupNorm,
    LayerNorm,
    PReLU,
    Residual,
    Sequential,
)
from skcnn.files import FileError, classifier_from_weights, weights_from_keras

h5py = package("h5py")

FOLDER = Path(__file__).parent / "keras"
SHAPE = (6, 5, 4)

STACKS = {
    "sequential": [
        Conv2D(4, 3, strides=2, groups=2),
        BatchNorm(epsilon=1e-3),
        PReLU(),
        Dropout(0.1),
        DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        GroupNorm(4, epsilon=1e-3),
        Conv2D(6, (2, 1), padding="valid", activation="relu"),
        LayerNorm(epsilon=1e-3),
        ("hidden", Dense(5, activation="tanh")),
        BatchNorm(epsilon=1e-5),
        PReLU(),
    ],
    "functional": [
        *(Residual([Conv2D(4, activation="relu"), Conv2D(4)]) for _ in range(5)),
        Conv2D(3, 1),
        Conv2D(3, 1),
        GlobalAvgPool2D(),
    ],
    "nested": [
        ("conv", Conv2D(3, 1)),
        ("inner", Sequential([("conv", Conv2D(3, 1)), ("pool", GlobalAvgPool2D())])),
    ],
}

NAMES = {
    "nested": {"conv2d": "conv", "sequential/conv2d": "inner__conv", "dense": "output"},
    "functional": None,
    "sequential": None,
}


@pytest.mark.parametrize("name", STACKS)
def test_the_scores_are_those_of_keras(name):
    layers = STACKS[name]
    weights = weights_from_keras(FOLDER / f"{name}.weights.h5", layers, SHAPE, names=NAMES[name])
    with np.load(FOLDER / "computed.npz") as computed:
        images, expected = computed["images"], computed[name]
    scores = classifier_from_weights(layers, weights, range(3), SHAPE).decision_function(images)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_saved_model_has_the_same_weights():
    weights, of_model = (
        weights_from_keras(FOLDER / f"sequential{ending}", STACKS["sequential"], SHAPE)
        for ending in (".weights.h5", ".keras")
    )
    assert weights.keys() == of_model.keys()
    for name, value in weights.items():
        assert_array_equal(of_model[name], value)


def test_models_within_models_need_names():
    with pytest.raises(ValueError, match="models within the model, such as that of 'sequential/conv2d'"):
        weights_from_keras(FOLDER / "nested.weights.h5", STACKS["nested"], SHAPE)


@pytest.mark.parametrize(
    ("position", "layer", "message"),
    [
        (
            0,
            Conv2D(4, 5, strides=2),
            r"conv2d.0 has shape \(3, 3, 2, 4\), expected \(5, 5, 4, 4\) for conv2d_1",
        ),
        (4, DepthwiseConv2D(3, depth_multiplier=2), r"depthwise_conv2d.1 is missing, expected shape \(8,\)"),
        (6, Conv2D(6, (2, 1), use_bias=False), r"conv2d_1.1 of shape \(6,\): layer 'conv2d_2' has no such"),
        (2, BatchNorm(), r"layer 'batchnorm_3' \(.*\): no module for it"),
        (7, "passthrough", r"module 'layer_normalization' \(0 \(6,\), 1 \(6,\)\): no layer for it"),
        (8, "passthrough", r"module 'dense_1' .*: no layer for it"),
    ],
    ids=str,
)
def test_everything_that_does_not_fit_is_named(position, layer, message):
    layers = list(STACKS["sequential"])
    layers[position] = layer
    with pytest.raises(ValueError, match=message):
        weights_from_keras(FOLDER / "sequential.weights.h5", layers, SHAPE)


def write_file(path, place="layers/dense/vars/0", **options):
    with h5py.File(path, "w") as file:
        file.create_dataset(place, **options)


def test_files_that_keras_does_not_write_are_refused(tmp_path):
    path = tmp_path / "file.h5"
    (tmp_path / "secret").write_bytes(bytes(4 * 360))
    cases = {
        "external": {"shape": (120, 3), "dtype": "f4", "external": [(str(tmp_path / "secret"), 0, 4 * 360)]},
        "empty": {"shape": (10**6, 10**6), "dtype": "f4", "chunks": (1000, 1000)},
        "compressed": {"data": np.zeros((120, 3)), "compression": "gzip"},
    }
    for options in cases.values():
        write_file(path, **options)
        with pytest.raises(FileError, match="layers/dense/vars/0 is not stored as it is"):
            weights_from_keras(path, [], SHAPE)
    for folder in ("model_weights", "_layer_checkpoint_dependencies"):  # of Keras 2
        write_file(path, f"{folder}/dense/vars/0", data=np.zeros((120, 3)))
        with pytest.raises(FileError, match=f"no layers with weights in 'layers/', but .'{folder}'"):
            weights_from_keras(path, [], SHAPE)
    write_file(path, "layers/dense/vars/0/vars/1", data=np.zeros(3))
    with pytest.raises(FileError, match="not stored"):
        weights_from_keras(path, [], SHAPE)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "file"
    whole = (FOLDER / "sequential.weights.h5").read_bytes()
    for content in (b"", b"text", whole[:1000], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(FileError, match="file: no weights of Keras 3, or damaged"):
            weights_from_keras(path, STACKS["sequential"], SHAPE)
    for name, compression in (
        ("config.json", zipfile.ZIP_STORED),
        ("model.weights.h5", zipfile.ZIP_DEFLATED),
    ):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", compression) as opened:
            opened.writestr(name, bytes(10**6))
        path.write_bytes(archive.getvalue())
        with pytest.raises(FileError, match="file: no weights of Keras 3"):
            weights_from_keras(path, [], SHAPE)
    with pytest.raises(FileNotFoundError):
        weights_from_keras(tmp_path / "missing", [], SHAPE)


@pytest.mark.parametrize("path", [object(), None, ["file.keras"]], ids=lambda path: type(path).__name__)
def test_what_is_no_path_is_refused(path):
    with pytest.raises(TypeError, match=r"path .*save_weights.* got <class '.*"):
        weights_from_keras(path, STACKS["sequential"], SHAPE)


def test_without_h5py_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"h5py: python -m pip install \"skcnn\[keras\]\""):
        weights_from_keras(FOLDER / "sequential.weights.h5", STACKS["sequential"], SHAPE)
