"""Subclasses with constructors of their own: their parameters are those of the constructor, and no others."""

import inspect
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skcnn import Conv2D, ConvNetClassifier, Cutout, Dense, Parallel, RandomShift, ReLU, Residual, Sequential

X = generator(0).normal(size=(24, 6, 6, 1))
Y = np.arange(24) % 3


class Tiny(ConvNetClassifier):
    """Has no lists among its parameters."""

    def __init__(self, width=4, max_iter=1, random_state=SEED):
        self.width = width
        options = {"max_iter": max_iter, "random_state": random_state}
        super().__init__(conv_layer_sizes=(width,), hidden_layer_sizes=(8,), **options)


class Stacked(ConvNetClassifier):
    """Takes layers, and no augmentations."""

    def __init__(self, layers=None, random_state=SEED):
        super().__init__(layers, max_iter=1, random_state=random_state)


class Fixed(ConvNetClassifier):
    """Has layers and augmentations that are no parameters."""

    def __init__(self, filters=2, random_state=SEED):
        self.filters = filters
        options = {"max_iter": 1, "random_state": random_state}
        super().__init__([("conv1", Conv2D(filters)), Dense(3)], augmentation=[Cutout(2)], **options)


class Augmented(ConvNetClassifier):
    """Takes augmentations, another estimator, and no layers."""

    def __init__(self, augmentation=None, shift=None, random_state=SEED):
        self.shift = shift
        super().__init__([Conv2D(2)], augmentation=augmentation, max_iter=1, random_state=random_state)


class Bottleneck(Residual):
    """Makes its layers."""

    def __init__(self, filters=2):
        self.filters = filters
        super().__init__([("conv1", Conv2D(filters, 1)), Conv2D(filters)], activation="relu")


class Shortcut(Residual):
    """Makes its layers, and takes those of the projection."""

    def __init__(self, projection="auto"):
        super().__init__([Conv2D(2)], projection=projection)


class Mixed(Parallel):
    """Makes its branches."""

    def __init__(self, filters=2):
        self.filters = filters
        super().__init__([Conv2D(filters, 1), [Conv2D(filters), ReLU()], "passthrough"])


class Stage(Sequential):
    """Makes its layers, and has no parameters."""

    def __init__(self):
        super().__init__([Conv2D(2), ReLU()])


ESTIMATORS = [
    Tiny(),
    Stacked([Conv2D(2), ("last", Dense(3))]),
    Fixed(),
    Augmented([Cutout(2), ("shift", RandomShift(1))], shift=RandomShift(1)),
]
CONTAINERS = [Bottleneck(), Shortcut([Conv2D(2, 1), ReLU()]), Mixed(), Stage()]


def shown(value):
    """Return an id for a test, on one line."""
    return " ".join(repr(value).split())


def duplicates(estimator):
    return [clone(estimator), pickle.loads(pickle.dumps(estimator))]


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *CONTAINERS], ids=shown)
def test_parameters_are_those_of_the_constructor(estimator):
    own = estimator.get_params(deep=False)
    assert list(own) == sorted(inspect.signature(type(estimator)).parameters)
    before, text = estimator.get_params(), repr(estimator)
    assert own.items() <= before.items()
    for duplicate in duplicates(estimator):
        assert repr(duplicate) == text
        assert duplicate.get_params().keys() == before.keys()
        after = duplicate.set_params(**before).get_params()
        values = [name for name, value in before.items() if isinstance(value, int | float | str)]
        assert [after[name] for name in values] == [before[name] for name in values]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=shown)
def test_subclasses_of_the_estimator_are_fitted_and_shown(estimator):
    net = clone(estimator).fit(X, Y)
    for duplicate in duplicates(net):
        assert_array_equal(duplicate.fit(X, Y).predict_proba(X), net.predict_proba(X))
        assert type(net).__name__ in duplicate._repr_html_()
    assert clone(estimator).partial_fit(X, Y, classes=[0, 1, 2]).predict(X).shape == Y.shape


@pytest.mark.parametrize("container", CONTAINERS, ids=shown)
def test_subclasses_of_containers_stand_in_stacks_and_are_found_by_name(container):
    net = Stacked([("block", container)])
    names = {f"block__{name}" for name in container.get_params()}
    assert names == {name for name in net.get_params() if name.startswith("block__")}
    assert net.fit(X, Y).predict(X).shape == Y.shape
    assert type(container).__name__ in net._repr_html_()


@pytest.mark.parametrize(
    ("estimator", "grid"),
    [
        (Tiny(), {"width": [2, 3]}),
        (Stacked([("conv", Conv2D(2))]), {"conv__filters": [2, 3]}),
        (Fixed(), {"filters": [2, 3]}),
        (Augmented([("hole", Cutout(1))]), {"augmentation__hole": ["passthrough", Cutout(2)]}),
        (Stacked([("block", Bottleneck())]), {"block__filters": [2, 3]}),
        (Stacked([("block", Shortcut([Conv2D(2)]))]), {"block__projection__conv2d_1__kernel_size": [1, 3]}),
    ],
    ids=shown,
)
def test_parameters_of_subclasses_are_searched(estimator, grid):
    before = repr(estimator)
    search = GridSearchCV(estimator, grid, cv=2, error_score="raise").fit(X, Y)
    (name,) = grid
    assert repr(search.best_estimator_.get_params()[name]) == repr(search.best_params_[name])
    assert repr(estimator) == before


def test_a_container_makes_its_layers_of_parameters_that_are_set():
    net = Stacked([("block", Bottleneck())]).set_params(block__filters=5).fit(X, Y)
    assert net.network_.params["block__conv1"]["bias"].shape == (5,)


def test_estimators_that_a_subclass_takes_are_found_by_name_and_copied():
    shift = RandomShift(1)
    net = Augmented(shift=shift).set_params(shift__pixels=2)
    assert net.get_params()["shift__pixels"] == 2
    assert shift.pixels == 1


@pytest.mark.parametrize(
    ("estimator", "name", "message"),
    [
        (Tiny(), "widht", "Did you mean 'width'"),
        (Tiny(), "alpha", r"Valid parameters are: \['max_iter', 'random_state', 'width'\]"),
        (Tiny(), "conv1__filters", r"Valid parameters are: \['max_iter', 'random_state', 'width'\]"),
        (Tiny(), "augmentation__cutout_1__size", r"Valid parameters are: \['max_iter', 'random_state', 'wid"),
        (Stacked(), "conv1__filters", "layers=None"),
        (Stacked([("conv1", Conv2D(2))]), "conv1__filter", "Did you mean 'conv1__filters'"),
        (Stacked([("conv1", Conv2D(2))]), "tta__randomshift_1__pixels", "Valid parameters are"),
        (Fixed(), "conv1__filters", "Did you mean 'filters'"),
        (Augmented([Cutout(2)]), "augmentation__cutout_1__sise", "Did you mean 'augmentation__cutout_1__s"),
        (Augmented(shift=RandomShift(1)), "shift__pixel", "Did you mean 'shift__pixels'"),
        (Stacked([("block", Mixed())]), "block__conv2d_1__filters", r"parameters are: \['block__filters'\]"),
        (Stacked([("block", Stage())]), "block__conv2d_1__filters", r"Valid parameters are: \[\]"),
    ],
    ids=shown,
)
def test_names_that_a_subclass_does_not_have_are_refused_and_nothing_is_set(estimator, name, message):
    before = repr(estimator)
    with pytest.raises(ValueError, match=f"Invalid parameter '{name}' for estimator .*{message}"):
        estimator.set_params(**{name: 3, "random_state": 9})
    assert repr(estimator) == before


def test_layers_may_have_the_names_of_parameters_that_a_subclass_leaves_out():
    net = Stacked([("alpha", Dense(2))]).set_params(alpha__units=3).fit(X, Y)
    assert net.network_.params["alpha"]["bias"].shape == (3,)
    with pytest.raises(ValueError, match="'random_state' is the name of a parameter"):
        Stacked([("random_state", Dense(2))]).fit(X, Y)
