"""Calibration, ensembles, conformal sets and detection of outliers keep their promises on networks."""

import re
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from extras import package
from scipy.stats import betabinom
from seeds import SEED, generator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from skcnn import ConvNetClassifier, ConvNetFeatures

GUIDE = Path(__file__).parent.parent / "examples" / "README.md"
LEVEL = 0.95
N_CALIBRATION = 400


def make_network(**options):
    return ConvNetClassifier(conv_layer_sizes=(8,), max_iter=2, random_state=SEED, **options)


@pytest.fixture(scope="module")
def digits():
    """Return images and labels to train on, to calibrate with, and to test on, in an order of their own."""
    X, y = load_digits(return_X_y=True)
    parts = np.split(generator(0).permutation(len(y)), [600, 600 + N_CALIBRATION])
    return [(X[part].reshape(-1, 8, 8, 1), y[part]) for part in parts]


@pytest.fixture(scope="module")
def network(digits):
    """Return a classifier with mistakes, fitted on a few digits."""
    return make_network().fit(*digits[0])


def need_temperature_scaling():
    pytest.importorskip("sklearn", minversion="1.8", reason="scikit-learn 1.8 brings temperature scaling")


# temperature scaling


@pytest.mark.parametrize(
    ("make_classifier", "label"),
    [
        (make_network, lambda y: y),
        (make_network, lambda y: y > 4),  # one score instead of one of each class
        (make_network, lambda y: y.astype(str)),
        (lambda: make_pipeline(FunctionTransformer(np.sqrt), make_network()), lambda y: y),
    ],
    ids=["ten classes", "two classes", "text", "pipeline"],
)
def test_temperature_changes_how_certain_predictions_are_and_nothing_else(digits, make_classifier, label):
    need_temperature_scaling()
    (X, y), (X_calibration, y_calibration), (X_test, _) = digits
    y, y_calibration = label(y), label(y_calibration)
    classifier = make_classifier().fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(classifier), method="temperature")
    calibrated.fit(X_calibration, y_calibration)
    before, after = (
        log_loss(y_calibration, c.predict_proba(X_calibration)) for c in (classifier, calibrated)
    )
    assert after < before + 1e-6
    np.testing.assert_array_equal(calibrated.predict(X_test), classifier.predict(X_test))
    certainty = calibrated.predict_proba(X_test).max(axis=1) - classifier.predict_proba(X_test).max(axis=1)
    assert certainty.min() > -1e-6 or certainty.max() < 1e-6  # all more or all less certain


# conformal sets


def sets_of_mapie(network, score, X, y, X_test):
    classification = package("mapie.classification")
    flat, flat_test = (images.reshape(len(images), -1) for images in (X, X_test))
    conformal = classification.SplitConformalClassifier(
        network, confidence_level=LEVEL, conformity_score=score, prefit=True, random_state=SEED
    )
    return conformal.conformalize(flat, y).predict_set(flat_test)[1][:, :, 0]


def sets_of_crepes(network, is_of_each_class, X, y, X_test):
    conformal = package("crepes").WrapClassifier(network)
    conformal.calibrate(X, y, class_cond=is_of_each_class)
    return conformal.predict_set(X_test, labels=False, confidence=LEVEL, smoothing=False).astype(bool)


def smallest_number_of_hits(n_calibration, n_test):
    """Return how many true labels are within sets at least, but for one time in a million.

    Calibration cuts at the k-th smallest of n scores, k = ceil(level * (n + 1)). Whatever the scores are, a
    new one lies below with a probability drawn from Beta(k, n + 1 - k), of which so many images are draws.
    """
    k = int(np.ceil(LEVEL * (n_calibration + 1)))
    return betabinom.ppf(1e-6, n_test, k, n_calibration + 1 - k)


@pytest.mark.parametrize(
    ("sets_of", "option"), [(sets_of_mapie, "lac"), (sets_of_mapie, "aps"), (sets_of_crepes, False)]
)
def test_sets_cover_as_many_labels_as_they_promise(digits, network, sets_of, option):
    _, calibration, (X_test, y_test) = digits
    sets = sets_of(network, option, *calibration, X_test)
    assert sets[np.arange(len(y_test)), y_test].sum() >= smallest_number_of_hits(N_CALIBRATION, len(y_test))
    assert sets.sum(axis=1).mean() < 5  # of ten classes


def test_sets_of_each_class_cover_each_class(digits, network):
    _, (X, y), (X_test, y_test) = digits
    y_test = y_test[:300]
    sets = sets_of_crepes(network, True, X, y, X_test[:300])
    for label in range(10):
        is_covered = sets[y_test == label, label]
        assert is_covered.sum() >= smallest_number_of_hits(np.sum(y == label), len(is_covered))


def test_mapie_refuses_four_axes(digits, network):
    """Flat rows are what it takes, also where the network was fitted on images."""
    classification = package("mapie.classification")
    conformal = classification.SplitConformalClassifier(network, prefit=True)
    with pytest.raises(ValueError, match="n_features_in_"):
        conformal.conformalize(*digits[1])


# deep ensembles


def test_an_ensemble_predicts_mean_probabilities(digits, network):
    """A fitted network is one of them as it is, the others are trained."""
    (X, y), _, (X_test, y_test) = digits
    members = [
        ("first", FrozenEstimator(network)),
        ("second", make_network().set_params(random_state=SEED + 1)),
    ]
    ensemble = VotingClassifier(members, voting="soft").fit(X, y)
    second = make_network().set_params(random_state=SEED + 1).fit(X, y)
    mean = (network.predict_proba(X_test) + second.predict_proba(X_test)) / 2
    np.testing.assert_allclose(ensemble.predict_proba(X_test), mean, rtol=1e-6)
    np.testing.assert_array_equal(ensemble.predict(X_test), mean.argmax(axis=1))


# other kinds of images


@pytest.mark.parametrize("layer", [None, "dense1", "pool1"])
def test_noise_is_told_from_digits_by_features(digits, network, layer):
    (X, _), _, (X_test, _) = digits
    features = ConvNetFeatures(network, layer, prefit=True)
    detector = make_pipeline(features, Normalizer(), LocalOutlierFactor(novelty=True, contamination=0.05))
    detector.fit(X)
    noise = generator(1).uniform(0, 16, X_test.shape)
    scores = np.concatenate([detector.score_samples(X_test), detector.score_samples(noise)])
    assert roc_auc_score(np.repeat([1, 0], len(X_test)), scores) > 0.95
    assert np.mean(detector.predict(X_test) == 1) > 0.8
    assert np.mean(detector.predict(noise) == -1) > 0.8


# the guide


@pytest.mark.parametrize(
    ("name", "result"), [("sklearn", "probabilities"), ("mapie", "is_in_set"), ("crepes", "label_lists")]
)
def test_snippets_that_are_no_doctests_run(digits, network, name, result):
    """Those that need what is not always there."""
    need_temperature_scaling() if name == "sklearn" else package(name)
    section = GUIDE.read_text(encoding="utf-8").split("\n## Honest probabilities\n")[1].split("\n## ")[0]
    snippets = [code for code in re.findall("```python\n(.*?)```", section, re.DOTALL) if ">>>" not in code]
    (snippet,) = [dedent(code) for code in snippets if f"from {name}" in code]
    _, (X_calibration, y_calibration), (X_test, _) = digits
    names = {
        "clf": network,
        "X_calibration": X_calibration,
        "y_calibration": y_calibration,
        "X_test": X_test[:50],
    }
    exec(snippet, names)
    assert len(names[result]) == 50
