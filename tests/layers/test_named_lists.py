"""Augmentations found by name, as layers are."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from small_classifiers import make_classifier, make_images

from skcnn import Cutout, Mixup, RandomFlip, RandomShift
from skcnn.layers.naming import NamedPartsMixin

X, Y = make_images(30, (8, 8, 1))
make_net = partial(make_classifier, max_iter=1)


def weights_of(net):
    return net.fit(X, Y).network_.vector


def test_entries_and_their_parameters_are_got_by_given_and_made_names():
    shift, cutout, flip = RandomShift(1), Cutout(3), RandomFlip()
    net = make_net(augmentation=[shift, ("hole", cutout)], tta=(flip,))
    params = net.get_params()
    assert params["augmentation__randomshift_1"] is shift
    assert params["augmentation__hole"] is cutout
    assert params["augmentation__randomshift_1__pixels"] == 1
    assert params["augmentation__hole__size"] == 3
    assert params["tta__randomflip_1"] is flip
    assert params["tta__randomflip_1__horizontal"] is True
    assert not any("__" in name for name in net.get_params(deep=False))


@pytest.mark.parametrize("value", [None, "auto", 3, [], [None]])
def test_anything_may_stand_there_before_fit(value):
    net = make_net(augmentation=value)
    assert net.get_params()["augmentation"] is value
    assert clone(net).get_params(deep=False)["augmentation"] == value


def test_setting_a_parameter_copies_the_entry_and_names_stick():
    shift = RandomShift(1)
    given = [shift, Cutout(3)]
    net = make_net(augmentation=given).set_params(augmentation__randomshift_1__pixels=2)
    assert net.augmentation[0][0] == "randomshift_1" and net.augmentation[0][1].pixels == 2
    assert shift.pixels == 1 and given == [shift, given[1]]
    net.set_params(augmentation__randomshift_1=Cutout(1))
    assert net.set_params(augmentation__randomshift_1__size=2).augmentation[0][1].size == 2


def test_lists_and_entries_are_replaced_before_parameters_in_them_are_set():
    net = make_net(augmentation=[("one", RandomShift(1))])
    net.set_params(augmentation__one__size=5, augmentation__one=Cutout(2))
    assert repr(net.augmentation) == "[('one', Cutout(size=5))]"
    net = make_net().set_params(augmentation__cutout_1__size=5, augmentation=[Cutout(2)])
    assert net.augmentation[0][1].size == 5


@pytest.mark.parametrize(
    ("augmentation", "key", "match"),
    [
        ([Cutout(2)], "augmentation__cutout_1__sise", "Did you mean 'augmentation__cutout_1__size'?"),
        ([Cutout(2)], "augmentation__cutout__size", "Did you mean 'augmentation__cutout_1__size'?"),
        ([Cutout(2)], "augmentation__zzz", r"Valid parameters are: \['augmentation__cutout_1', 'augm"),
        ("auto", "augmentation__cutout_1__size", "'augmentation' is 'auto'"),
        ([("none", "passthrough")], "augmentation__none__size", "'augmentation__none' is 'passthrough'"),
    ],
)
def test_names_that_do_not_exist_are_refused_and_nothing_is_set(augmentation, key, match):
    net = make_net(augmentation=augmentation)
    with pytest.raises(ValueError, match=f"Invalid parameter '{key}'.*{match}"):
        net.set_params(**{key: 5, "max_iter": 9, "tta": "flip"})
    assert (net.max_iter, net.tta, net.augmentation) == (1, None, augmentation)


@pytest.mark.parametrize(
    ("augmentation", "match"),
    [
        ([("a", RandomFlip()), ("a", RandomShift(1))], "augmentation names .*unique, got 'a' twice"),
        ([RandomFlip(), ("randomflip_1", RandomShift(1))], "unique, got 'randomflip_1' twice"),
        ([("a__b", RandomFlip())], "augmentation names .*'__', got 'a__b'"),
        ([("", RandomFlip())], "augmentation names .*empty .*got ''"),
    ],
)
def test_names_that_leave_open_what_is_meant_are_refused(augmentation, match):
    """By fit, and before an entry could get lost in setting another."""
    net = make_net(augmentation=augmentation)
    with pytest.raises(ValueError, match=match):
        net.fit(X, Y)
    with pytest.raises(ValueError, match=match):
        net.set_params(augmentation__a__pixels=2)
    assert net.augmentation is augmentation
    with pytest.raises(ValueError, match=match.replace("augmentation names", "tta names")):
        make_net(tta=augmentation).fit(X, Y)


def test_lists_without_augmentations_suit_every_solver():
    expected = weights_of(make_net(solver="lbfgs"))
    for augmentation in ([], ["passthrough"], [("off", "passthrough")]):
        assert_array_equal(weights_of(make_net(augmentation=augmentation, solver="lbfgs")), expected)
    for augmentation in ("auto", [RandomFlip()]):
        with pytest.raises(ValueError, match="augmentation=.*solver='lbfgs'"):
            make_net(augmentation=augmentation, solver="lbfgs").fit(X, Y)


def test_pairs_and_passthrough_train_as_what_they_stand_for():
    plain = weights_of(make_net(augmentation=[RandomShift(1), Mixup()]))
    named = [("off", "passthrough"), ("shift", RandomShift(1)), "passthrough", Mixup()]
    assert_array_equal(weights_of(make_net(augmentation=named)), plain)
    assert not np.array_equal(plain, weights_of(make_net()))
    tta = [("flip", RandomFlip())], "flip"
    assert_array_equal(*(make_net(tta=views).fit(X, Y).predict_proba(X) for views in tta))


def test_a_search_within_a_pipeline_reaches_them():
    net = make_net(augmentation=[("hole", Cutout(1)), RandomShift(1)])
    hole = "convnetclassifier__augmentation__hole"
    pixels = "convnetclassifier__augmentation__randomshift_1__pixels"
    grid = {hole: ["passthrough", Cutout(6)], pixels: [1, 3]}
    pipeline = make_pipeline(FunctionTransformer(), net)
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, Y)
    assert len(search.cv_results_["params"]) == 4
    best = search.best_params_
    expected = make_net(augmentation=[best[hole], RandomShift(best[pixels])])
    assert_array_equal(search.best_estimator_[-1].network_.vector, weights_of(expected))


def test_lists_without_entries_have_nothing_to_find():
    class Plain(NamedPartsMixin, RandomShift):
        pass

    assert Plain(3).get_params() == RandomShift(3).get_params()
