"""Which methods predict, depending on the loss."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_val_score
from small_classifiers import make_classifier

from skcnn.network.losses import LOSSES

X, Y = load_digits(return_X_y=True)
X, Y = X[:500], Y[:500]

PROBABILITIES = ["predict_proba", "predict_log_proba"]


HINGES = pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])

make_net = partial(make_classifier, hidden_layer_sizes=(32,), batch_size=50, max_iter=10)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_losses_say_whether_there_are_probabilities(loss):
    net = make_net(loss=loss, max_iter=1)
    expected = [loss in ("log_loss", "focal")] * 2
    assert [hasattr(net, method) for method in PROBABILITIES] == expected
    net.fit(X, Y)
    assert [hasattr(net, method) for method in PROBABILITIES] == expected
    assert net.out_activation_ == ("softmax" if all(expected) else "identity")


@pytest.mark.parametrize("method", PROBABILITIES)
def test_missing_probabilities_say_what_to_do_until_the_next_fit(method):
    net = make_net(loss="hinge", max_iter=1).fit(X, Y).set_params(loss="log_loss")
    with pytest.raises(AttributeError, match=method) as caught:
        getattr(net, method)
    assert "loss='hinge': use decision_function, or Calibrated" in str(caught.value.__cause__)
    assert hasattr(net.fit(X, Y), method)


@pytest.mark.parametrize("loss", [3, None, "unknown", ["hinge"]], ids=repr)
def test_asking_for_methods_tolerates_any_loss(loss):
    assert hasattr(make_net(loss=loss), "predict_proba") in (True, False)


@HINGES
def test_hinge_predicts_the_class_of_the_largest_score(loss):
    net = make_net(loss=loss).fit(X, Y)
    scores = net.decision_function(X)
    assert scores.shape == (len(X), 10)
    assert_array_equal(net.predict(X), net.classes_[scores.argmax(axis=1)])
    assert net.score(X, Y) > 0.95


@HINGES
def test_of_two_classes_the_decision_is_the_sign(loss):
    labels = np.where(Y % 2, "odd", "even")
    net = make_net(loss=loss).fit(X, labels)
    scores = net.decision_function(X)
    assert scores.shape == (len(X),)
    assert_array_equal(net.predict(X), np.where(scores > 0, "odd", "even"))


@pytest.mark.costly
def test_hinge_is_calibrated():
    images, labels = load_digits(return_X_y=True)
    calibrated = CalibratedClassifierCV(make_net(loss="hinge"), cv=3)
    probabilities = cross_val_predict(calibrated, images, labels, cv=2, method="predict_proba")
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert log_loss(labels, probabilities) < 0.7  # ignorance is 2.3
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.85


def test_hinge_is_cross_validated():
    """Scores are those of nets of the folds, and better than guesses: 0.1 of 500, deviation 0.0135."""
    folds = list(StratifiedKFold(2).split(X, Y))
    scores = cross_val_score(make_net(loss="hinge"), X, Y, cv=folds)
    nets = [make_net(loss="hinge").fit(X[train], Y[train]) for train, _ in folds]
    expected = [(net.predict(X[test]) == Y[test]).mean() for net, (_, test) in zip(nets, folds, strict=True)]
    assert_allclose(scores, expected, rtol=1e-12)
    assert scores.mean() > 0.1 + 6 * 0.0135


def test_focal_loss_of_gamma_zero_is_the_cross_entropy():
    """To rounding, which three steps of Adam hardly amplify."""
    options = {"dtype": "float64", "max_iter": 1, "batch_size": 200}
    focal = make_net(loss="focal", focal_gamma=0.0, **options).fit(X, Y)
    plain = make_net(**options).fit(X, Y)
    assert_allclose(focal.predict_proba(X), plain.predict_proba(X), rtol=1e-9)


def test_focal_loss_is_less_certain():
    focal, plain = (make_net(loss=loss).fit(X, Y) for loss in ("focal", "log_loss"))
    assert focal.predict_proba(X).max(axis=1).mean() < plain.predict_proba(X).max(axis=1).mean()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_hyperparameters_and_weights_of_classes_may_be_numbers_of_numpy(kind):
    """Whose comparison with the largest finite float64 would overflow."""
    names = (
        "alpha",
        "learning_rate_init",
        "epsilon",
        "warmup",
        "tol",
        "clip_norm",
        "label_smoothing",
        "focal_gamma",
    )
    params = dict.fromkeys(names, kind(0.25)) | {"max_time": kind(60), "class_weight": {0: kind(2.5)}}
    make_net(**params, solver="adam").fit(X, Y)
    for name in ("alpha", "max_time"):
        with pytest.raises(ValueError, match=f"{name}.*inf"):
            make_net(**{name: kind(np.inf)}).fit(X, Y)
    with pytest.raises(ValueError, match="class_weight"):
        make_net(class_weight={0: kind(np.inf)}).fit(X, Y)
