"""Pickles of trained estimators, written in one environment and read in another.

``python tests/pickles.py write FOLDER`` trains and writes; with ``read``, it reads, predicts and trains on.
CI does both between the oldest and the newest dependencies.
"""

import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
from processes import LAYERS, X, Y, make_net
from sklearn.exceptions import InconsistentVersionWarning
from small_regressors import make_regressor

from skcnn import BatchNorm, Conv2D, Dropout, Mixup, PatchWhitening, PReLU, RandomShift, Residual
from skcnn.versions import versions

NAMES = np.array(["ant", "bee", "cat"])[Y]
CLASSES = np.unique(NAMES)
NUMBERS = X.mean(axis=(1, 2))
WHITENED = [PatchWhitening(activation="gelu"), Conv2D(8), BatchNorm()]

TRAININGS = {
    "plain": lambda: make_net().fit(X, NAMES),
    "compact": lambda: make_net(layers=None, conv_layer_sizes=(4, 8)).fit(X, NAMES),
    "float64": lambda: make_net(dtype="float64").fit(X, NAMES),
    "early stopping": lambda: make_net(early_stopping=True, validation_fraction=0.2).fit(X, NAMES),
    "average": lambda: make_net(averaging="ema", warm_start=True).fit(X, NAMES),
    "augmentation": lambda: make_net(augmentation=[RandomShift(1), Mixup()], tta="flip").fit(X, NAMES),
    "containers": lambda: make_net(layers=[Residual([Conv2D(8), PReLU(), Dropout()])]).fit(X, NAMES),
    "warm start": lambda: make_net(warm_start=True, solver="sgd").fit(X, NAMES),
    "start from data": lambda: make_net(layers=WHITENED, init_scaling="unit_variance").fit(X, NAMES),
    "lbfgs": lambda: make_net(solver="lbfgs").fit(X, NAMES),
    "partial fit": lambda: make_net().partial_fit(X, NAMES, classes=CLASSES),
    "regressor": lambda: make_regressor(layers=LAYERS, loss="huber").fit(X, NUMBERS),
}


def targets_of(kind):
    """Return what a kind of estimator is trained on."""
    return NUMBERS if kind == "regressor" else NAMES


def scores_of(net, X):
    """Return what a net computes, in full: scores of classes, or numbers."""
    return net.decision_function(X) if hasattr(net, "classes_") else net.predict(X)


def write(folder):
    """Write every estimator, the scores that it gives here, and the versions in use."""
    for kind, train in TRAININGS.items():
        net = train()
        joblib.dump((net, scores_of(net, X), versions()), folder / f"{kind}.joblib")


def read(folder):
    """Read every estimator; hold its scores against those that were written, and train on.

    Other versions give a warning, and sums in another order: a score is a sum of some hundred products a
    layer, whose rounding errors are a few hundred units in the last place at the very most.
    """
    for kind in TRAININGS:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            net, expected, writers = joblib.load(folder / f"{kind}.joblib")
        wanted = [] if writers == versions() else [InconsistentVersionWarning]
        assert [entry.category for entry in caught] == wanted, (kind, list(map(str, caught)))
        scores = scores_of(net, X)
        eps = np.finfo(net.network_.dtype).eps
        tolerance = 0 if writers == versions() else 500 * eps * np.abs(expected).max()
        np.testing.assert_allclose(scores, expected, rtol=0, atol=tolerance, err_msg=kind)
        assert scores.dtype == expected.dtype, kind
        n_samples_seen = net.t_
        train_on = net.partial_fit if kind == "partial fit" else net.fit
        train_on(X, targets_of(kind))
        assert np.isfinite(scores_of(net, X)).all(), kind
        assert (net.t_ > n_samples_seen) == (net.warm_start or kind == "partial fit"), kind


if __name__ == "__main__":
    command, folder = sys.argv[1:]
    {"write": write, "read": read}[command](Path(folder))
    print(f"{command}: {len(TRAININGS)} estimators with {versions()}")
