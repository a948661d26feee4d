"""What holds for all displays: whom they refuse, and what they say without matplotlib."""

import sys

import numpy as np
import pytest
from extras import package
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
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


@pytest.fixture(scope="module")
def net():
    return ConvNetClassifier(conv_layer_sizes=(4, 6), max_iter=1, random_state=0).fit(X, Y)


CALLS = {
    "curves": lambda net: TrainingCurveDisplay.from_estimator(net),
    "filters": lambda net: FilterDisplay.from_estimator(net),
    "maps": lambda net: FeatureMapDisplay.from_estimator(net, X[0]),
    "saliency": lambda net: SaliencyDisplay.from_estimator(net, X[:2]),
    "grid": lambda net: PredictionGridDisplay.from_estimator(net, X, Y),
    "embedding": lambda net: EmbeddingDisplay.from_estimator(net, X, Y),
}


@pytest.mark.parametrize("name", CALLS)
def test_unfitted_and_other_estimators_are_refused(name):
    with pytest.raises(NotFittedError):
        CALLS[name](ConvNetClassifier())
    with pytest.raises(TypeError, match="ConvNetClassifier"):
        CALLS[name](StandardScaler().fit(X))


@pytest.mark.parametrize("name", CALLS)
def test_without_matplotlib_the_extra_is_named(name, net, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"skcnn\[plot\]"):
        CALLS[name](net)


def test_layers_that_do_not_exist_are_refused(net):
    for call in (
        lambda: FilterDisplay.from_estimator(net, layer="conv9"),
        lambda: FeatureMapDisplay.from_estimator(net, X[0], layers=["conv9"]),
        lambda: EmbeddingDisplay.from_estimator(net, X, layer="conv9"),
    ):
        with pytest.raises(ValueError, match="conv9"):
            call()


MISSING, MIXED = Y.astype(float), Y.astype(object)
MISSING[3], MIXED[3] = np.nan, "three"

NONSENSE = {
    "filters": [
        ({"layer": ["conv1"]}, ValueError, r"layer must be one of .*, got \['conv1'\]"),
        ({"layer": {}}, ValueError, "layer must be one of .*, got {}"),
        ({"initial": None}, ValueError, "initial must be True or False, got None"),
        ({"initial": np.array([])}, ValueError, "initial must be True or False, got array"),
        ({"fig": 3}, TypeError, "fig must be a matplotlib Figure or None, got 3"),
    ],
    "maps": [
        ({"layers": []}, ValueError, r"layers must be a name, or a sequence of at least one, got \[\]"),
        ({"layers": {}}, ValueError, "layers must be .*, got {}"),
        ({"layers": 3}, ValueError, "layers must be .*, got 3"),
        ({"layers": {"conv1"}}, ValueError, "layers must be .*, got {'conv1'}"),
        ({"layers": ["conv1", None]}, ValueError, "layers must be one of .*, got None"),
        ({"layers": ["output"]}, ValueError, "layers must be one whose results are images, got 'output'"),
        ({"X": [[1, 2], [3]]}, ValueError, "X is ragged"),
        ({"image_shape": ()}, ValueError, r"image_shape must be .*, got \(\)"),
        ({"image_shape": [None, 8]}, ValueError, r"image_shape must be .*, got \[None, 8\]"),
        ({"image_shape": (8, -8)}, ValueError, r"image_shape must be .*, got \(8, -8\)"),
        ({"data_format": np.array([])}, ValueError, "data_format must be .*, got array"),
        ({"fig": []}, TypeError, r"fig must be a matplotlib Figure or None, got \[\]"),
    ],
    "saliency": [
        ({"method": []}, ValueError, r"method must be a name, or a sequence of at least one, got \[\]"),
        ({"method": None}, ValueError, "method must be .*, got None"),
        ({"method": np.array([])}, ValueError, "method must be .*, got array"),
        ({"method": ["gradient", 3]}, ValueError, "'method' parameter .* Got 3"),
        ({"target": [1, np.nan]}, ValueError, "target must be among .*, got nan"),
        ({"image_shape": "88"}, ValueError, "image_shape must be .*, got '88'"),
        ({"fig": "new"}, TypeError, "fig must be a matplotlib Figure or None, got 'new'"),
    ],
    "grid": [
        ({"y": None}, ValueError, r"y must have a label for each of 120 images, got shape \(\)"),
        ({"y": MISSING}, ValueError, "y must hold labels of one type, none .* missing, got nan and number"),
        ({"y": MIXED}, ValueError, "y must hold labels of one type, .*, got number and str"),
        ({"y": [None] * 120}, ValueError, "y must hold labels of one type, .*, got NoneType"),
        ({"y": [np.nan] * 120}, ValueError, "y must hold labels of one type, .*, got nan"),
        ({"y": Y.astype(str)}, ValueError, r"y must hold labels like the classes \[0, 1, .*, got str"),
        ({"class_names": 3}, ValueError, "class_names must be a dict, or a name for each .*, got 3"),
        ({"class_names": set("abcdefghij")}, ValueError, "class_names must be .*, got {"),
        ({"class_names": iter("abcdefghij")}, ValueError, "class_names must be .*, got <str"),
        ({"class_names": {"0": "zero"}}, ValueError, r"class_names must be for labels .*, got \['0'\]"),
        ({"fig": object}, TypeError, "fig must be a matplotlib Figure or None, got <class 'object'>"),
    ],
    "embedding": [
        ({"y": MISSING}, ValueError, "y must hold labels of one type, none .* missing, got nan and number"),
        ({"y": MIXED}, ValueError, "y must hold labels of one type, .*, got number and str"),
        ({"y": [None] * 120}, ValueError, "y must hold labels of one type, .*, got NoneType"),
        ({"y": 3}, ValueError, r"y must have a label for each of 120 images, got shape \(\)"),
        ({"layer": ["conv1"]}, ValueError, r"layer must be one of .*, got \['conv1'\]"),
        ({"reducer": StandardScaler}, TypeError, "reducer must be a transformer .*, got <class"),
        ({"reducer": "pca"}, TypeError, "reducer must be a transformer .*, got 'pca'"),
        ({"reducer": []}, TypeError, r"reducer must be a transformer .*, got \[\]"),
        ({"reducer": ConvNetClassifier()}, TypeError, r"reducer must be a transformer .*, got ConvNet"),
        ({"ax": 3}, TypeError, "ax must be a matplotlib Axes or None, got 3"),
    ],
    "curves": [
        ({"x": ["epoch"]}, ValueError, r"x must be one of .*, got \['epoch'\]"),
        ({"x": {}}, ValueError, "x must be one of .*, got {}"),
        ({"axes": 3}, TypeError, "each of axes must be a matplotlib Axes, got 3"),
        ({"axes": [None]}, TypeError, "each of axes must be a matplotlib Axes, got None"),
        ({"axes": "new"}, TypeError, "each of axes must be a matplotlib Axes, got 'new'"),
    ],
}

MAKE = {
    "curves": TrainingCurveDisplay.from_estimator,
    "filters": FilterDisplay.from_estimator,
    "maps": lambda net, X=X[0], **options: FeatureMapDisplay.from_estimator(net, X, **options),
    "saliency": lambda net, X=X[:2], **options: SaliencyDisplay.from_estimator(net, X, **options),
    "grid": lambda net, y=Y, **options: PredictionGridDisplay.from_estimator(net, X, y, **options),
    "embedding": lambda net, y=Y, **options: EmbeddingDisplay.from_estimator(net, X, y, **options),
}


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "match"),
    [(name, *case) for name, cases in NONSENSE.items() for case in cases],
    ids=[
        f"{name} {key}" for name, cases in NONSENSE.items() for arguments, _, _ in cases for key in arguments
    ],
)
def test_nonsense_is_refused_by_the_name_of_the_parameter(net, name, arguments, kind, match):
    with pytest.raises(kind, match=match):
        MAKE[name](net, **arguments)
    assert not plt.get_fignums()


def test_a_search_is_not_trained_again_for_axes_that_are_none(net):
    search = GridSearchCV(net, {"max_iter": [1]}, cv=2).fit(X, Y)
    with pytest.raises(TypeError, match="each of axes must be a matplotlib Axes, got 'x'"):
        TrainingCurveDisplay.from_search(search, None, None, axes=["x"])


def test_a_network_of_vectors_has_no_maps_and_no_filters():
    on_vectors = ConvNetClassifier([Flatten(), Dense(4)], max_iter=1, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="no layers whose results are images"):
        FeatureMapDisplay.from_estimator(on_vectors, X[0])
    with pytest.raises(ValueError, match="no convolution"):
        FilterDisplay.from_estimator(on_vectors)
    with pytest.raises(ValueError, match="layer must be given"):
        saliency_maps(on_vectors, X[:2], method="grad_cam")


@pytest.mark.costly
@pytest.mark.parametrize("labels", [Y.tolist(), pd.Series(Y), Y.astype(object), Y > 4, Y + 100], ids=type)
def test_labels_may_come_in_many_types(net, labels):
    """Also those that the network does not know."""
    assert len(EmbeddingDisplay.from_estimator(net, X, labels).scatters_) == len(set(labels))
    assert PredictionGridDisplay.from_estimator(net, X, labels).y_true.shape == (25,)


@pytest.mark.parametrize(
    "names", [list("abcdefghij"), np.array(list("abcdefghij")), pd.Index(list("abcdefghij"))]
)
def test_names_of_classes_may_come_in_many_types(net, names):
    assert PredictionGridDisplay.from_estimator(net, X, Y, class_names=names).class_names[3] == "d"
