"""What holds for all displays: what they refuse, where they draw, and what they say without matplotlib."""

import sys

import numpy as np
import pytest
from extras import package
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from skcnn import ConvNetClassifier, Dense, Flatten
from skcnn.inspection import (
    EmbeddingDisplay,
    FeatureMapDisplay,
    FilterDisplay,
    PredictionGridDisplay,
    SaliencyDisplay,
    TrainingCurveDisplay,
    saliency_maps,
)

plt, pd = package("matplotlib.pyplot"), package("pandas")

X, Y = load_digits(return_X_y=True)
X, Y = X[:120], Y[:120]

DISPLAYS = {
    "curves": TrainingCurveDisplay.from_estimator,
    "filters": FilterDisplay.from_estimator,
    "maps": lambda net, X=X[0], **options: FeatureMapDisplay.from_estimator(net, X, **options),
    "saliency": lambda net, X=X[:2], **options: SaliencyDisplay.from_estimator(net, X, **options),
    "grid": lambda net, y=Y, **options: PredictionGridDisplay.from_estimator(net, X, y, **options),
    "embedding": lambda net, X=X, y=Y, **options: EmbeddingDisplay.from_estimator(net, X, y, **options),
}


@pytest.fixture(scope="module")
def net():
    return ConvNetClassifier(conv_layer_sizes=(4, 6), max_iter=1, random_state=0).fit(X, Y)


@pytest.mark.parametrize("name", DISPLAYS)
def test_unfitted_and_other_estimators_are_refused(name):
    with pytest.raises(NotFittedError):
        DISPLAYS[name](ConvNetClassifier())
    with pytest.raises(TypeError, match="ConvNetClassifier"):
        DISPLAYS[name](StandardScaler().fit(X))


@pytest.mark.parametrize("name", DISPLAYS)
def test_without_matplotlib_the_extra_is_named(name, net, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"Display needs .*skcnn\[plot\]"):
        DISPLAYS[name](net)


@pytest.mark.parametrize("name", ["filters", "maps", "saliency", "grid"])
def test_a_figure_may_be_given(name, net):
    figure = plt.figure()
    assert DISPLAYS[name](net, fig=figure).figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_axes_of_an_embedding_may_be_given(net):
    figure, axis = plt.subplots()
    display = DISPLAYS["embedding"](net, ax=axis)
    assert (display.ax_, display.figure_) == (axis, figure)
    assert plt.get_fignums() == [figure.number]


MISSING, MIXED = Y.astype(float), Y.astype(object)
MISSING[3], MIXED[3] = np.nan, "three"

NONSENSE = {
    "filters": [
        ({"layer": "dense1"}, ValueError, r"layer .*\['conv1', 'conv2'\], got 'dense1'"),
        ({"layer": ["conv1"]}, ValueError, r"layer .* got \['conv1'\]"),
        ({"initial": None}, ValueError, "initial .* got None"),
        ({"n_columns": 0}, ValueError, "n_columns .* got 0"),
        ({"fig": 3}, TypeError, "fig .* got 3"),
    ],
    "maps": [
        ({"layers": []}, ValueError, r"layers .* got \[\]"),
        ({"layers": {"conv1"}}, ValueError, "layers .* got {'conv1'}"),
        ({"layers": ["conv1", None]}, ValueError, "layers .* got None"),
        ({"layers": ["dense1"]}, ValueError, r"layers .* got 'dense1' with results of shape \(\d+,\)"),
        ({"n_maps": 0}, ValueError, "n_maps .* got 0"),
        ({"X": X[:2]}, ValueError, "X must be one image, got 2"),
        ({"X": [[1, 2], [3]]}, ValueError, "X is ragged"),
        ({"image_shape": (8, -8)}, ValueError, r"image_shape .* got \(8, -8\)"),
        ({"data_format": np.array([])}, ValueError, "data_format .* got array"),
        ({"fig": []}, TypeError, r"fig .* got \[\]"),
    ],
    "saliency": [
        ({"method": None}, ValueError, "method .* got None"),
        ({"method": ["gradient", 3]}, ValueError, "'method' .* Got 3"),
        ({"target": [1, np.nan]}, ValueError, "target .* got nan"),
        ({"target": [0, 1, 2]}, ValueError, r"target .* shape \(3,\)"),
        ({"method": "grad_cam", "layer": "conv9"}, ValueError, "layer .* got 'conv9'"),
        ({"steps": 3}, TypeError, "steps"),
        ({"image_shape": "88"}, ValueError, "image_shape .* got '88'"),
        ({"fig": "new"}, TypeError, "fig .* got 'new'"),
    ],
    "grid": [
        ({"y": None}, ValueError, r"y .* 120 images, got shape \(\)"),
        ({"y": Y[:5]}, ValueError, r"y .* 120 images, got shape \(5,\)"),
        ({"y": MISSING}, ValueError, "y .* got nan and number"),
        ({"y": [None] * 120}, ValueError, "y .* got NoneType"),
        ({"y": Y.astype(str)}, ValueError, r"y .* classes \[0, 1, .*, got str"),
        ({"class_names": 3}, ValueError, "class_names .* got 3"),
        ({"class_names": "abcdefghij"}, ValueError, "class_names .* got 'abcdefghij'"),
        ({"class_names": ["one", "two"]}, ValueError, r"class_names .* 10 classes, got \['one', 'two'\]"),
        ({"class_names": {"0": "zero"}}, ValueError, r"class_names .* got \['0'\]"),
        ({"n_images": 0}, ValueError, "n_images .* got 0"),
        ({"image_shape": "88"}, ValueError, "image_shape .* got '88'"),
        ({"n_columns": 0}, ValueError, "n_columns .* got 0"),
        ({"fig": object}, TypeError, "fig .* got <class 'object'>"),
    ],
    "embedding": [
        ({"y": MIXED}, ValueError, "y .* got number and str"),
        ({"X": X[:1], "y": Y[:1]}, ValueError, r"X .* shape \(1, "),
        ({"layer": "conv9"}, ValueError, "layer .* got 'conv9'"),
        ({"layer": ["conv1"]}, ValueError, r"layer .* got \['conv1'\]"),
        ({"reducer": StandardScaler}, TypeError, "reducer .* got <class"),
        ({"reducer": "pca"}, TypeError, "reducer .* got 'pca'"),
        ({"reducer": ConvNetClassifier()}, TypeError, "reducer .* got ConvNet"),
        ({"reducer": PCA(3)}, ValueError, r"reducer .* got shape \(120, 3\)"),
        ({"ax": 3}, TypeError, "ax .* got 3"),
    ],
    "curves": [
        ({"x": ["epoch"]}, ValueError, r"x .* got \['epoch'\]"),
        ({"axes": 3}, TypeError, "axes .* got 3"),
        ({"axes": [None]}, TypeError, "axes .* got None"),
    ],
}


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "match"),
    [(name, *case) for name, cases in NONSENSE.items() for case in cases],
)
def test_nonsense_is_refused_by_the_name_of_the_parameter(net, name, arguments, kind, match):
    with pytest.raises(kind, match=match):
        DISPLAYS[name](net, **arguments)
    assert not plt.get_fignums()


def test_a_network_of_vectors_has_no_maps_and_no_filters():
    on_vectors = ConvNetClassifier([Flatten(), Dense(4)], max_iter=1, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="no layers"):
        FeatureMapDisplay.from_estimator(on_vectors, X[0])
    with pytest.raises(ValueError, match="no convolution"):
        FilterDisplay.from_estimator(on_vectors)
    with pytest.raises(ValueError, match="layer must be given"):
        saliency_maps(on_vectors, X[:2], method="grad_cam")


@pytest.mark.costly
@pytest.mark.parametrize("labels", [pd.Series(Y), Y.astype(object), Y > 4, Y + 100], ids=type)
def test_labels_may_come_in_many_types(net, labels):
    """Also those that the network does not know."""
    assert len(DISPLAYS["embedding"](net, y=labels).scatters_) == len(set(labels))
    display = DISPLAYS["grid"](net, y=labels, n_images=4, class_names=pd.Index(list("abcdefghij")))
    assert display.y_true.shape == (4,)
    assert display.class_names[3] == "d"
