"""The results of a layer as features."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import estimator_checks_generator

from skcnn import ConvNetClassifier, ConvNetFeatures

X, Y = load_digits(return_X_y=True)
X, Y = X[:200], Y[:200]


def make_net(**params):
    defaults = {"conv_layer_sizes": (3,), "hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0}
    return ConvNetClassifier(**(defaults | params))


CHECKS = list(estimator_checks_generator(ConvNetFeatures(make_net())))


@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=lambda value: getattr(value, "func", type(value)).__name__
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_features_are_what_the_output_layer_reads():
    """Their products with its weights are the scores."""
    net = make_net().fit(X, Y)
    features = ConvNetFeatures(net, prefit=True).fit(X).transform(X)
    output = net.network_.params["output"]
    assert_allclose(features @ output["weight"] + output["bias"], net.decision_function(X), atol=1e-9)
    same = ConvNetFeatures(net, "dense1", prefit=True).fit(X).transform(X)
    assert_array_equal(features, same)
    assert (features >= 0).all()  # behind the activation of the layer


def test_names_and_frames():
    features = ConvNetFeatures(make_net(), "pool1").fit(X, Y).set_output(transform="pandas")
    frame = features.transform(X[:2])
    assert frame.shape == (2, 4 * 4 * 3)
    assert frame.columns[:4].tolist() == ["pool1_0_0_0", "pool1_0_0_1", "pool1_0_0_2", "pool1_0_1_0"]
    dense = ConvNetFeatures(make_net(), "dense1").fit(X, Y)
    assert dense.get_feature_names_out().tolist() == [f"dense1_{number}" for number in range(5)]


def test_a_network_is_trained_in_a_pipeline_or_stays_as_it_is():
    longer = {"hidden_layer_sizes": (16,), "max_iter": 20, "learning_rate_init": 1e-2}
    trained = make_pipeline(ConvNetFeatures(make_net(**longer), "dense1"), SVC()).fit(X, Y)
    assert trained.score(X, Y) > 0.8
    net = make_net().fit(X, Y)
    before = pickle.dumps(net.network_.vector)
    frozen = make_pipeline(ConvNetFeatures(FrozenEstimator(net), "dense1"), SVC())
    clone(frozen).fit(X[:100], Y[:100])
    frozen.fit(X[:100], Y[:100])
    assert pickle.dumps(net.network_.vector) == before
    assert_array_equal(
        frozen[0].transform(X), ConvNetFeatures(net, "dense1", prefit=True).fit(X).transform(X)
    )


def test_features_of_a_pipeline_and_after_pickling():
    pipeline = make_pipeline(StandardScaler(), make_net()).fit(X, Y)
    features = ConvNetFeatures(pipeline, prefit=True).fit(X)
    expected = ConvNetFeatures(pipeline[-1], prefit=True).fit(X).transform(pipeline[0].transform(X))
    assert_array_equal(features.transform(X), expected)
    assert_array_equal(pickle.loads(pickle.dumps(features)).transform(X), expected)


def test_sample_weights_reach_the_network():
    weights = np.linspace(0.1, 2, len(X))
    features = ConvNetFeatures(make_net()).fit(X, Y, sample_weight=weights)
    expected = make_net().fit(X, Y, sample_weight=weights)
    assert_array_equal(features.estimator_.network_.vector, expected.network_.vector)


def test_wrong_use_is_refused():
    with pytest.raises(NotFittedError):
        ConvNetFeatures(make_net()).transform(X)
    with pytest.raises(NotFittedError):
        ConvNetFeatures(make_net(), prefit=True).fit(X)
    with pytest.raises(ValueError, match="layer must be one of.*'dense9'"):
        ConvNetFeatures(make_net(), "dense9").fit(X, Y)
    with pytest.raises(TypeError, match="ConvNetClassifier"):
        ConvNetFeatures(SVC()).fit(X, Y)
    with pytest.raises(ValueError, match="sample_weight"):
        ConvNetFeatures(make_net().fit(X, Y), prefit=True).fit(X, Y, sample_weight=np.ones(len(X)))
