"""What holds for all displays: whom they refuse, and what they say without matplotlib."""

import sys

import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from skcnn import ConvNetClassifier
from skcnn.inspection import (
    EmbeddingDisplay,
    FeatureMapDisplay,
    FilterDisplay,
    PredictionGridDisplay,
    SaliencyDisplay,
    TrainingCurveDisplay,
)

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
