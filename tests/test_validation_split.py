"""Tests of validation data that a splitter of scikit-learn splits off."""

import pickle

import numpy as np
import pytest
from seeds import generator
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from small_classifiers import assert_same_weights, make_classifier, make_images
from small_regressors import make_numbers, make_regressor

from skcnn import ConvNetClassifier, load, save

X, Y = make_images(60)
GROUPS = np.arange(60) // 4
SPLITTER = GroupShuffleSplit(1, test_size=0.3, random_state=0)


def stopping(validation_split=SPLITTER, **params):
    return make_classifier(early_stopping=True, validation_split=validation_split, **params)


@pytest.mark.parametrize("kind", [np.array, list, lambda groups: [f"patient {group:02}" for group in groups]])
@pytest.mark.parametrize("with_weights", [False, True])
def test_no_group_is_in_both_parts(kind, with_weights):
    """The same as with validation data that are given, also where samples without weight are left out."""
    weights = (generator(0).uniform(size=60) > 0.3).astype(float) if with_weights else np.ones(60)
    rows = np.flatnonzero(weights)
    training, validation = next(SPLITTER.split(X[rows], Y[rows], GROUPS[rows]))
    assert not set(GROUPS[rows][training]) & set(GROUPS[rows][validation])
    split = stopping().fit(X, Y, weights if with_weights else None, groups=kind(GROUPS))
    given = make_classifier(early_stopping=True).fit(
        X[rows][training], Y[rows][training], X_val=X[rows][validation], y_val=Y[rows][validation]
    )
    assert split.validation_scores_ == given.validation_scores_
    assert_same_weights(split, given)


@pytest.mark.parametrize("splitter", [KFold(3), StratifiedKFold(4), TimeSeriesSplit(2)], ids=str)
def test_the_first_split_of_any_splitter_is_used(splitter):
    training, validation = next(splitter.split(X, Y))
    split = stopping(splitter).fit(X, Y)
    given = make_classifier(early_stopping=True)
    given.fit(X[training], Y[training], X_val=X[validation], y_val=Y[validation])
    assert_same_weights(split, given)


@pytest.mark.parametrize("splitter", [GroupKFold(3), LeaveOneGroupOut()], ids=str)
def test_splitters_of_groups_need_groups(splitter):
    with pytest.raises(ValueError, match="groups"):
        stopping(splitter).fit(X, Y)
    assert stopping(splitter).fit(X, Y, groups=GROUPS).validation_scores_


def test_regressors_split_as_well():
    images, numbers = make_numbers(60, 2)
    net = make_regressor(early_stopping=True, validation_split=SPLITTER).fit(images, numbers, groups=GROUPS)
    assert len(net.validation_scores_) == net.n_iter_


def test_groups_reach_a_network_by_metadata_routing():
    with config_context(enable_metadata_routing=True):
        net = stopping(error := GroupKFold(3)).set_fit_request(groups=True)
        scores = cross_val_score(net, X, Y, cv=KFold(2), params={"groups": GROUPS}, error_score="raise")
    assert error.n_splits == 3 and np.isfinite(scores).all()


def test_pickles_hold_a_splitter_and_files_need_not(tmp_path):
    net, path = stopping().fit(X, Y, groups=GROUPS), tmp_path / "split.skcnn"
    loaded = pickle.loads(pickle.dumps(net))
    assert_same_weights(loaded.fit(X, Y, groups=GROUPS), net)
    with pytest.raises(TypeError, match="validation_split is a .*GroupShuffleSplit"):
        save(net, path)
    assert not path.exists()
    save(net, path, drop="validation_split")
    loaded = load(path)
    assert loaded.validation_split is None
    assert_same_weights(loaded, net)


class Fixed(KFold):
    """Gives the same split whatever the samples."""

    def __init__(self, *split):
        super().__init__(2)
        self.split_ = split

    def split(self, X, y=None, groups=None):
        yield self.split_

    def __repr__(self):
        return "Fixed(\n    ...)"


def test_a_split_may_be_of_lists_and_need_not_have_all_samples():
    split = stopping(Fixed(list(range(30)), list(range(50, 60)))).fit(X, Y)
    given = make_classifier(early_stopping=True).fit(X[:30], Y[:30], X_val=X[50:], y_val=Y[50:])
    assert_same_weights(split, given)


def test_fit_leaves_a_splitter_with_random_draws_as_it_was():
    draws = np.random.RandomState(0)
    splitter = GroupShuffleSplit(1, random_state=draws)
    nets = [stopping(splitter).fit(X, Y, groups=GROUPS) for _ in range(2)]
    assert_same_weights(*nets)
    assert draws.randint(1000) == np.random.RandomState(0).randint(1000)


def test_a_splitter_gets_no_images():
    class Noting(KFold):
        shapes = []

        def split(self, X, y=None, groups=None):
            self.shapes.append(X.shape)
            return super().split(X, y, groups)

    stopping(Noting(3)).fit(X, Y, np.arange(60) >= 4)
    assert Noting.shapes == [(56, 0)]


@pytest.mark.parametrize(
    "split",
    [
        (np.arange(70), np.arange(3)),
        (np.arange(3), np.arange(-3, 0)),
        (np.arange(40.0), np.arange(40, 60)),
        (np.arange(60) < 40, np.arange(60) >= 40),
        (np.arange(60),),
        np.arange(2),
        (np.arange(30), np.arange(30, 40), np.arange(40, 60)),
    ],
    ids=["too large", "negative", "float", "bool", "one", "numbers", "three"],
)
def test_what_is_no_split_is_refused(split):
    pattern = r"validation_split=Fixed\( \.\.\.\) must give .* two arrays of indices from 0 to 59"
    with pytest.raises(ValueError, match=pattern):
        stopping(Fixed(*split)).fit(X, Y)


@pytest.mark.parametrize(
    "groups",
    [
        [None] * 30 + [1] * 30,
        np.array(["a", 1] * 30, object),
        3,
        "abc",
        (group for group in GROUPS),
        np.where(GROUPS, GROUPS, np.nan),
        GROUPS[:-1],
        np.stack([GROUPS, GROUPS], axis=1),
        np.ma.masked_equal(GROUPS, 3),
    ],
    ids=["None", "mixed", "number", "text", "generator", "nan", "short", "columns", "masked"],
)
def test_what_are_no_groups_is_refused_by_name(groups):
    with pytest.raises(ValueError, match="^groups (must be numbers or strings|must have shape|has masked)"):
        stopping().fit(X, Y, groups=groups)


@pytest.mark.parametrize(
    "kind", [lambda days: days + 0.5, lambda days: np.datetime64("2020-01-01") + days, list]
)
def test_groups_may_be_anything_that_can_be_sorted(kind):
    split = stopping().fit(X, Y, groups=kind(GROUPS))
    assert_same_weights(split, stopping().fit(X, Y, groups=GROUPS.reshape(-1, 1)))


def stored(name):
    """Return a property that keeps its value under another name."""
    return property(
        lambda self: vars(self)[f"_{name}"], lambda self, value: vars(self).update({f"_{name}": value})
    )


class Own(ConvNetClassifier):
    """Has other defaults, and hyperparameters that are properties."""

    def __init__(
        self, early_stopping=False, validation_fraction=0.2, validation_split=None, label_smoothing=0.1
    ):
        super().__init__(
            [],
            max_iter=1,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            validation_split=validation_split,
            label_smoothing=label_smoothing,
        )

    early_stopping, validation_split = stored("early_stopping"), stored("validation_split")
    validation_fraction, label_smoothing = stored("validation_fraction"), stored("label_smoothing")


def test_subclasses_have_defaults_of_their_own_and_properties():
    assert clone(Own(True)).fit(X, Y).validation_scores_
    assert clone(Own(True, validation_split=SPLITTER)).fit(X, Y, groups=GROUPS).validation_scores_
    labels = np.stack([Y == 0, Y == 1], axis=1)
    assert Own().fit(X, labels).model_.loss.label_smoothing == 0.1
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1 and validation_split="):
        Own(True, 0.1, SPLITTER).fit(X, Y, groups=GROUPS)


@pytest.mark.parametrize(
    ("params", "options", "pattern"),
    [
        ({"validation_fraction": 0.2}, {"groups": GROUPS}, "validation_fraction=0.2 and validation_split="),
        ({}, {"groups": GROUPS, "X_val": X, "y_val": Y}, "X_val and y_val are given, and validation_split="),
        ({"early_stopping": False}, {"groups": GROUPS}, "groups are given, but not used"),
        ({"validation_split": None}, {"groups": GROUPS}, r"groups .*GroupShuffleSplit\(1, random_state=0\)"),
        ({"validation_split": PredefinedSplit(np.full(60, -1))}, {}, "gives no split"),
        ({"validation_split": KFold(61)}, {}, r"validation_split=KFold\(.*\) cannot split 60 samples: "),
        ({"validation_split": Fixed(range(40), range(30, 60))}, {}, "without common samples"),
        ({"validation_split": Fixed([], range(60))}, {}, "0 training and 60 validation samples"),
        ({"validation_split": KFold}, {}, "validation_split=.*KFold.* is a class"),
    ],
)
def test_what_does_not_go_together_is_refused(params, options, pattern):
    net = stopping()
    net.set_params(**params)
    with pytest.raises(ValueError, match=pattern):
        net.fit(X, Y, **options)
    assert not hasattr(net, "model_")
