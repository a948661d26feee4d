"""Warnings point at the line of the user, whatever stands between."""

import _thread
import pickle
import time
import warnings
from contextlib import suppress
from functools import partial

import joblib
import numpy as np
import pytest
import sklearn.base
from seeds import generator
from sklearn.exceptions import ConvergenceWarning, InconsistentVersionWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from small_classifiers import make_classifier

from skcnn import ConvNetFeatures, Dense
from skcnn.user_warnings import warn_user

X = generator(0).normal(size=(24, 4, 4))
Y = np.arange(24) % 3

make_net = partial(make_classifier, [Dense(4)])


def interrupt(estimator, X, y):
    raise KeyboardInterrupt


KINDS = {
    "too few samples": (UserWarning, {"early_stopping": True, "validation_fraction": 0.01}),
    "no average": (UserWarning, {"averaging": "swa", "averaging_start": 0.99, "max_time": 1e-9}),
    "interrupt": (UserWarning, {"early_stopping": True, "validation_fraction": 0.3, "scoring": interrupt}),
    "divergence": (ConvergenceWarning, {"solver": "sgd", "learning_rate_init": 1e200}),
    "line search": (ConvergenceWarning, {"solver": "lbfgs", "tol": 0.0, "alpha": 1.0, "max_iter": 10_000}),
}

WAYS = {
    "fit": lambda net, X: net.fit(X, Y),
    "pipeline": lambda net, X: make_pipeline(FunctionTransformer(), net).fit(X, Y),
    "cache": lambda net, X: make_pipeline(ConvNetFeatures(net), None, memory=".").fit_transform(X, Y),
    "search": lambda net, X: GridSearchCV(make_pipeline(net), {}, cv=2, error_score="raise").fit(X, Y),
    "partial_fit": lambda net, X: net.partial_fit(X, Y, [0, 1, 2]),
    "pickle": lambda path: pickle.loads(path.read_bytes()),
    "joblib": lambda path: joblib.load(path),
}


def assert_warnings_are_of(caught, way):
    code = WAYS[way].__code__
    assert {(entry.filename, entry.lineno) for entry in caught} == {(__file__, code.co_firstlineno)}


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *[(kind, "fit") for kind in KINDS],
        *[("divergence", way) for way in ("pipeline", "cache", "partial_fit")],
        *[(kind, "search") for kind in ("too few samples", "interrupt", "line search")],
    ],
)
def test_training_warns_at_the_line_that_asks_for_it(kind, way, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the cache
    category, params = KINDS[kind]
    with pytest.warns(category) as caught, suppress(KeyboardInterrupt):
        WAYS[way](make_net(**params), X)
    assert {entry.category for entry in caught} == {category}
    assert_warnings_are_of(caught, way)


@pytest.mark.parametrize("way", ["fit", "pipeline", "search", "partial_fit"])
def test_a_layout_that_is_likely_another_warns_at_the_line_that_fits(way):
    with pytest.warns(UserWarning, match="image_shape") as caught:
        WAYS[way](make_net(), np.resize(X, (24, 70)))
    assert_warnings_are_of(caught, way)


@pytest.mark.parametrize("way", ["pickle", "joblib"])
def test_a_pickle_of_other_versions_warns_at_the_line_that_reads_it(way, tmp_path, monkeypatch):
    joblib.dump(make_pipeline(make_net()), tmp_path / "net")
    monkeypatch.setattr("skcnn.versions.__version__", "0.0.1")
    with pytest.warns(InconsistentVersionWarning) as caught:
        WAYS[way](tmp_path / "net")
    assert len(caught) == 1
    assert_warnings_are_of(caught, way)


def test_a_line_warns_once_by_default():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            warn_user("twice")
        warn_user("twice")
    assert len(caught) == 2


def test_without_a_line_of_the_user_a_warning_points_at_the_outermost_one():
    net = make_net(**KINDS["divergence"][1])
    with pytest.warns(ConvergenceWarning) as caught:
        _thread.start_new_thread(net.fit, (X, Y))  # with no function below it
        deadline = time.perf_counter() + 60
        while not hasattr(net, "network_") and time.perf_counter() < deadline:
            time.sleep(0.01)
    assert [entry.filename for entry in caught] == [sklearn.base.__file__]
