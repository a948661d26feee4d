"""Pickles: equal to the bit, and read with a warning where versions differ."""

import copy
import pickle

import joblib
import numpy as np
import pickles
import pytest
from numpy.testing import assert_array_equal
from processes import X, Y, make_net
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning

from skcnn.versions import versions


def through_joblib(compress=0, mmap_mode=None):
    def send(net, folder):
        joblib.dump(net, folder / "net.joblib", compress=compress)
        return joblib.load(folder / "net.joblib", mmap_mode=mmap_mode)

    return send


WAYS = {
    "pickle 0": lambda net, folder: pickle.loads(pickle.dumps(net, 0)),
    "pickle": lambda net, folder: pickle.loads(pickle.dumps(net, pickle.HIGHEST_PROTOCOL)),
    "joblib": through_joblib(),
    "joblib, compressed": through_joblib(compress=3),
    "joblib, mapped": through_joblib(mmap_mode="r"),
    "deep copy": lambda net, folder: copy.deepcopy(net),
}
KINDS = ["plain", "average", "start from data"]


@pytest.mark.parametrize(
    ("kind", "way"), [*(("partial fit", way) for way in WAYS), *((kind, "joblib, mapped") for kind in KINDS)]
)
def test_a_round_trip_keeps_every_bit(kind, way, tmp_path):
    """Of predictions and of training that goes on, which leaves the file alone; without a warning."""
    net = pickles.TRAININGS[kind]()
    other = WAYS[way](net, tmp_path)
    assert vars(other).keys() == vars(net).keys()
    assert_array_equal(other.predict_proba(X), net.predict_proba(X))
    for estimator in (net, other):
        estimator.partial_fit(X, pickles.NAMES)
    assert_array_equal(other.network_.vector, net.network_.vector)
    if way == "joblib, mapped":
        assert_array_equal(
            joblib.load(tmp_path / "net.joblib").predict_proba(X), pickles.TRAININGS[kind]().predict_proba(X)
        )


@pytest.mark.parametrize("name", ["skcnn.versions.__version__", "sklearn.__version__", "numpy.__version__"])
def test_other_versions_are_warned_about(name, monkeypatch):
    net = make_net().fit(X, Y)
    with monkeypatch.context() as patch:
        patch.setattr(name, "0.0.1")
        pickled, before = pickle.dumps(net), versions()
    message = f"estimator ConvNetClassifier from version {before} when using version {versions()}"
    with pytest.warns(InconsistentVersionWarning, match=message):
        other = pickle.loads(pickled)
    assert_array_equal(other.predict_proba(X), net.predict_proba(X))
    pickle.loads(pickle.dumps(other))


def test_a_state_without_versions_is_warned_about():
    net = make_net()
    with pytest.warns(InconsistentVersionWarning, match="from version unknown when"):
        net.__setstate__(net.get_params())


def test_versions_are_in_pickles_alone():
    net = make_net().fit(X, Y)
    assert "_versions" in net.__getstate__()
    for other in (net, copy.copy(net), clone(net), pickle.loads(pickle.dumps(net))):
        assert "_versions" not in vars(other)


def test_estimators_are_exchanged_between_environments(tmp_path, monkeypatch):
    """As CI does it between the oldest and the newest dependencies; other scores are noticed."""
    monkeypatch.setattr(pickles, "TRAININGS", {"plain": pickles.TRAININGS["plain"]})
    pickles.write(tmp_path)
    pickles.read(tmp_path)
    net, scores, writers = joblib.load(tmp_path / "plain.joblib")
    joblib.dump((net, np.nextafter(scores, 9), writers), tmp_path / "plain.joblib")
    with pytest.raises(AssertionError, match="plain"):
        pickles.read(tmp_path)
    joblib.dump((net, scores, "other versions"), tmp_path / "plain.joblib")
    with pytest.raises(AssertionError, match="plain"):
        pickles.read(tmp_path)
