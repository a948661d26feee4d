"""Augmentations found by name, as layers are."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcnn import ConvNetClassifier, Cutout, Mixup, RandomFlip, RandomShift
from skcnn.layers.naming import NamedPartsMixin

X = generator(0).normal(size=(30, 8, 8, 1)).astype(np.float32)
Y = np.arange(30) % 3


def make_net(augmentation, **params):
    defaults = {"conv_layer_sizes": (4,), "hidden_layer_sizes": (), "max_iter": 1, "random_state": SEED}
    return ConvNetClassifier(augmentation=augmentation, **(defaults | params))


def weights_of(net):
    return net.fit(X, Y).network_.vector


def test_entries_and_their_parameters_are_got_by_given_and_made_names():
    shift, cutout, flip = RandomShift(1), Cutout(3), RandomFlip()
    params = make_net([shift, ("hole", cutout)], tta=(flip,)).get_params()
    assert params["augmentation__randomshift_1"] is shift
    assert params["augmentation__hole"] is cutout
    assert params["augmentation__randomshift_1__pixels"] == 1
    assert params["augmentation__hole__size"] == 3
    assert params["tta__randomflip_1"] is flip
    assert params["tta__randomflip_1__horizontal"] is True
    assert not any("__" in name for name in make_net([shift]).get_params(deep=False))


@pytest.mark.parametrize("value", [None, "auto", 3, [], [None]])
def test_anything_may_stand_there_before_fit(value):
    net = make_net(value)
    assert net.get_params()["augmentation"] is value
    assert clone(net).get_params(deep=False)["augmentation"] == value


def test_setting_a_parameter_copies_the_entry_and_names_stick():
    shift = RandomShift(1)
    given = [shift, Cutout(3)]
    net = make_net(given).set_params(augmentation__randomshift_1__pixels=2)
    assert net.augmentation[0][0] == "randomshift_1" and net.augmentation[0][1].pixels == 2
    assert shift.pixels == 1 and given == [shift, given[1]]
    net.set_params(augmentation__randomshift_1=Cutout(1))
    assert net.set_params(augmentation__randomshift_1__size=2).augmentation[0][1].size == 2


def test_an_entry_is_replaced_before_its_parameters_are_set():
    net = make_net([("one", RandomShift(1))])
    net.set_params(augmentation__one__size=5, augmentation__one=Cutout(2))
    assert repr(net.augmentation) == "[('one', Cutout(size=5))]"


def test_a_new_list_comes_before_its_entries():
    net = make_net(None).set_params(augmentation__cutout_1__size=5, augmentation=[Cutout(2)])
    assert net.augmentation[0][1].size == 5


@pytest.mark.parametrize(
    ("augmentation", "key", "message"),
    [
        ([Cutout(2)], "augmentation__cutout_1__sise", "Did you mean 'augmentation__cutout_1__size'?"),
        ([Cutout(2)], "augmentation__cutout__size", "Did you mean 'augmentation__cutout_1__size'?"),
        ([Cutout(2)], "augmentation__zzz", r"Valid parameters are: \['augmentation__cutout_1', 'augm"),
        ("auto", "augmentation__cutout_1__size", "augmentation is not a list with entries"),
        (
            [("none", "passthrough")],
            "augmentation__none__size",
            "Invalid parameter 'augmentation__none__size'",
        ),
    ],
)
def test_names_that_do_not_exist_are_refused_and_nothing_is_set(augmentation, key, message):
    net = make_net(augmentation)
    with pytest.raises(ValueError, match=message):
        net.set_params(**{key: 5, "max_iter": 9, "tta": "flip"})
    assert (net.max_iter, net.tta, net.augmentation) == (1, None, augmentation)


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        ([("a", RandomFlip()), ("a", RandomShift(1))], "augmentation names must be unique, got 'a' twice"),
        ([RandomFlip(), ("randomflip_1", RandomShift(1))], "unique, got 'randomflip_1' twice"),
        ([("a__b", RandomFlip())], "augmentation names must not be empty or contain '__', got 'a__b'"),
        ([("", RandomFlip())], "must not be empty or contain '__', got ''"),
    ],
)
def test_names_that_leave_open_what_is_meant_are_refused(augmentation, message):
    """By fit, and before an entry could get lost in setting another."""
    net = make_net(augmentation)
    with pytest.raises(ValueError, match=message):
        net.fit(X, Y)
    with pytest.raises(ValueError, match=message):
        net.set_params(augmentation__a__pixels=2)
    assert net.augmentation is augmentation
    with pytest.raises(ValueError, match=message.replace("augmentation names", "tta names")):
        make_net(None, tta=augmentation).fit(X, Y)


def test_lists_without_augmentations_suit_every_solver():
    for augmentation in ([], ["passthrough"], [("off", "passthrough")]):
        net = make_net(augmentation, solver="lbfgs").fit(X, Y)
        assert_array_equal(net.network_.vector, weights_of(make_net(None, solver="lbfgs")))
    for augmentation in ("auto", [RandomFlip()]):
        with pytest.raises(ValueError, match="solver='lbfgs' cannot follow"):
            make_net(augmentation, solver="lbfgs").fit(X, Y)


def test_an_error_in_another_parameter_sets_no_entry():
    net = make_net([Cutout(2)])
    with pytest.raises(ValueError, match="max_it"):
        net.set_params(augmentation__cutout_1__size=5, max_it=3)
    assert net.augmentation[0].size == 2


def test_pairs_and_passthrough_train_as_what_they_stand_for():
    plain = weights_of(make_net([RandomShift(1), Mixup()]))
    named = weights_of(make_net([("off", "passthrough"), ("shift", RandomShift(1)), "passthrough", Mixup()]))
    assert_array_equal(named, plain)
    assert not np.array_equal(plain, weights_of(make_net([])))
    assert_array_equal(weights_of(make_net(["passthrough"])), weights_of(make_net([])))
    views = [make_net(None, tta=tta).fit(X, Y).predict_proba(X) for tta in ([("flip", RandomFlip())], "flip")]
    assert_array_equal(*views)


def test_a_search_within_a_pipeline_reaches_them():
    pipeline = make_pipeline(FunctionTransformer(), make_net([("hole", Cutout(1)), RandomShift(1)]))
    search = GridSearchCV(
        pipeline,
        {
            "convnetclassifier__augmentation__hole": ["passthrough", Cutout(6)],
            "convnetclassifier__augmentation__randomshift_1__pixels": [1, 3],
        },
        cv=2,
        error_score="raise",
    ).fit(X, Y)
    assert len(search.cv_results_["params"]) == 4
    best, params = search.best_estimator_[-1], search.best_params_
    hole = params["convnetclassifier__augmentation__hole"]
    shift = RandomShift(params["convnetclassifier__augmentation__randomshift_1__pixels"])
    assert_array_equal(best.network_.vector, weights_of(make_net([hole, shift])))


def test_lists_without_entries_have_nothing_to_find():
    class Plain(NamedPartsMixin, RandomShift):
        pass

    assert Plain(3).get_params() == RandomShift(3).get_params()
