"""Tests of augmented minibatches, in the loop and through the estimator, and of test-time augmentation."""

from functools import partial

import numpy as np
import pytest
from cuts import FINE
from numpy.testing import assert_allclose, assert_array_equal
from seeds import SEED, generator
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from small_classifiers import make_classifier
from threadpoolctl import threadpool_limits

from skcnn import Conv2D, CutMix, Cutout, MaxPool2D, Mixup, RandomFlip, RandomShift
from skcnn.augmentation import Augmentation, Mixing
from skcnn.data.augmenter import Augmenter
from skcnn.data.images import ImageFormat, ImageSource

SOURCE = ImageSource(
    generator(0).standard_normal((40, 6, 5, 2)), ImageFormat((6, 5, 2), False, np.dtype("float64"))
)
UPSIDE_DOWN = RandomFlip(horizontal=False, vertical=True, alternate=True)
EVERYTHING = [RandomFlip(), RandomShift(1), Cutout(2), Mixup(), CutMix()]
ROWS = np.arange(40)
X, Y = load_digits(return_X_y=True)
X, Y = X[:160].astype(np.float32), Y[:160]

make_net = partial(make_classifier, layers=[Conv2D(4, activation="relu"), MaxPool2D()], batch_size=32)


def targets_of(rows):
    return np.eye(40)[rows]


def minibatch(augmentations, rows=ROWS, *, epoch=0, seed=3, parts=None, weights=None):
    """Return images, the batch axis first, and targets of a minibatch that is read in parts."""
    augmenter = Augmenter(augmentations, SEED + seed, weights)
    rows = np.asarray(rows)
    read, targets = augmenter.minibatch(SOURCE, rows, epoch, targets_of)
    pieces = []
    for part in parts or [slice(0, len(rows))]:
        pieces.append(read(part, np.full((6, 5, len(rows[part]), 2), np.nan)))
    return np.concatenate(pieces, axis=2).transpose(2, 0, 1, 3), targets


def test_a_sample_is_changed_in_the_same_way_in_whatever_company():
    """And only in the minibatch."""
    rows, before = [7, 3, 12, 30, 5], SOURCE.X.copy()
    images, targets = minibatch(EVERYTHING, rows)
    in_parts, same_targets = minibatch(EVERYTHING, rows, parts=[slice(0, 2), slice(2, 3), slice(3, 5)])
    assert_array_equal(images, in_parts)
    assert_array_equal(targets, same_targets)
    others, other_targets = minibatch(EVERYTHING, [30, 1, 7])
    assert_array_equal(images[[3, 0]], others[[0, 2]])
    assert_array_equal(targets[[3, 0]], other_targets[[0, 2]])
    assert_array_equal(SOURCE.X, before)


@pytest.fixture(scope="module")
def fitted():
    """Return a fitted classifier whose ``tta`` each test sets."""
    return make_net(max_iter=1).fit(X, Y)


@pytest.mark.parametrize("change", [{"epoch": 1}, {"seed": 4}])
@pytest.mark.parametrize("augmentations", [[RandomShift(2)], [Mixup(1.0)], [CutMix()]], ids=repr)
def test_epochs_and_seeds_change_images_in_other_ways(augmentations, change):
    images, _ = minibatch(augmentations)
    others, _ = minibatch(augmentations, **change)
    assert (images != others).any(axis=(1, 2, 3)).mean() > 0.7


@pytest.mark.parametrize(("flip", "axis"), [(RandomFlip(alternate=True), 2), (UPSIDE_DOWN, 1)], ids=str)
def test_an_alternating_flip_mirrors_each_image_in_every_other_epoch(flip, axis):
    """And which ones it begins with is drawn."""
    epochs = np.array([minibatch([flip], epoch=epoch)[0] for epoch in range(4)])
    mirrored = (epochs == np.flip(SOURCE.X, axis)).all(axis=(2, 3, 4))
    unchanged = (epochs == SOURCE.X).all(axis=(2, 3, 4))
    assert_array_equal(mirrored ^ unchanged, True)
    assert 5 <= mirrored[0].sum() <= 35  # of 40 with probability one half: six deviations
    assert_array_equal(mirrored[1:], unchanged[:-1])


def test_an_alternating_flip_along_both_axes_shows_an_image_in_all_four_ways():
    """In any four epochs from an even one on; half of the images begin in either way of an axis."""
    flip = RandomFlip(vertical=True, alternate=True)
    epochs = np.array([minibatch([flip], epoch=epoch)[0] for epoch in range(8)])
    for start in (0, 2, 4):
        for axes in ((), (1,), (2,), (1, 2)):
            found = (epochs[start : start + 4] == np.flip(SOURCE.X, axes)).all(axis=(2, 3, 4))
            assert_array_equal(found.sum(axis=0), 1)


def test_other_augmentations_can_alternate():
    """The draws of the first epoch, and these plus or minus one half: here to the left, then to the right."""

    class Alternating(RandomShift):
        alternate = True

    draws = np.array([[0.1, 0.9], [0.75, 0.25]])
    assert_allclose(Alternating().moved_on(draws, 0), draws)
    assert_allclose(Alternating().moved_on(draws, 1), [[0.6, 0.4], [0.25, 0.75]])
    first, second, third = (minibatch([Alternating(1)], epoch=epoch)[0] for epoch in range(3))
    assert_array_equal(first, third)
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_what_stands_beside_an_alternating_flip_draws_as_before():
    for epoch in (0, 1, 2):
        alone, _ = minibatch([RandomFlip(False), RandomShift(2)], epoch=epoch)
        beside, _ = minibatch([RandomFlip(False, alternate=True), RandomShift(2)], epoch=epoch)
        assert_array_equal(alone, beside)


def test_mixup_mixes_images_that_were_changed_in_their_own_places_and_their_targets():
    """With a target for each sample, targets say what images are made of."""
    changed, _ = minibatch([RandomShift(2)])
    images, targets = minibatch([Mixup(1.0), RandomShift(2)])
    assert_allclose(images, np.tensordot(targets, changed, axes=1), rtol=0, atol=1e-13)
    assert_allclose(targets.sum(axis=1), 1, rtol=1e-14)
    assert (np.sort(targets)[:, -2] > 0.01).mean() > 0.8


def test_samples_are_mixed_in_by_their_weights():
    """One of weight zero never, one of weight three in 900 of 1200 draws, with a deviation of 15."""
    weights = np.zeros(40)
    weights[[5, 9]] = 1, 3
    counts = np.zeros(40)
    for epoch in range(30):
        _, targets = minibatch([Mixup(1.0)], epoch=epoch, weights=weights)
        counts += ((targets - np.eye(40) * targets) > 0).sum(axis=0)
    assert set(np.flatnonzero(counts)) == {5, 9}
    assert 0.69 < counts[9] / counts.sum() < 0.81


@pytest.mark.costly
def test_training_has_the_same_bits_on_any_number_of_threads(cut_work, monkeypatch):
    """With weights and an average, too."""
    cut_work(FINE)
    found, weights = [], generator(0).uniform(0, 2, len(Y))
    for n_threads in (1, 2, 3):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        with threadpool_limits(1):
            net = make_net(augmentation=EVERYTHING, averaging="ema").fit(X, Y, weights)
        found.append(net.network_.vector)
    assert np.isfinite(found[0]).all()
    assert_array_equal(found[0], found[1])
    assert_array_equal(found[0], found[2])


def test_training_differs_from_that_without():
    plain = make_net().fit(X, Y).network_.vector
    assert_array_equal(make_net(augmentation=[]).fit(X, Y).network_.vector, plain)
    assert (make_net(augmentation="auto").fit(X, Y).network_.vector != plain).mean() > 0.9


class Blank(Augmentation):
    """Makes all images zero, so that nothing can be learned."""

    def apply(self, images, draws):
        return np.zeros_like(images)


def test_an_own_augmentation_reaches_training_and_nothing_else():
    """Trained on nothing, all training images have the same loss; validation sees images as they are."""
    clf = make_net(augmentation=[Blank()], early_stopping=True, max_iter=3, learning_rate_init=0.01)
    seen = []

    def score(estimator, X_val, y_val):
        seen.append(estimator.decision_function(X_val))
        return 0.0

    clf.set_params(scoring=score).fit(X, Y)
    assert seen and all(np.ptp(scores, axis=0).min() > 0.01 for scores in seen)
    classes = np.bincount(Y) / len(Y)
    entropy = -(classes * np.log(classes)).sum()
    assert clf.loss_curve_[-1] > 0.95 * entropy


def test_partial_fit_augments_each_call_as_the_epoch_of_fit():
    whole = make_net(augmentation=EVERYTHING, max_iter=3).fit(X, Y)
    by_calls = make_net(augmentation=tuple(EVERYTHING))
    for _ in range(3):
        by_calls.partial_fit(X, Y, classes=np.unique(Y))
    assert_array_equal(whole.network_.vector, by_calls.network_.vector)


def test_it_is_searched_as_a_whole():
    grid = {"augmentation": ["auto", [RandomShift(1), Mixup(0.2)]], "tta": [None, [RandomShift(1)]]}
    search = GridSearchCV(make_net(max_iter=1), grid, cv=2, error_score="raise").fit(X, Y)
    assert len(search.cv_results_["params"]) == 4


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"augmentation": [MaxPool2D()]}, r"augmentation\[0\] must be an augmentation .* MaxPool2D"),
        ({"augmentation": [RandomFlip(), RandomShift]}, r"augmentation\[1\] must be an augmentation"),
        ({"augmentation": [RandomShift(-1)]}, r"augmentation\[0\], RandomShift\(pixels=-1\): The 'pixels'"),
        ({"augmentation": "auto", "solver": "lbfgs"}, "solver='lbfgs'"),
        ({"tta": [Mixup()]}, r"tta\[0\] must be an augmentation"),
    ],
    ids=str,
)
def test_bad_values_are_refused_by_fit(params, message):
    with pytest.raises(ValueError, match=message):
        make_net(**params).fit(X, Y)


@pytest.mark.parametrize(
    ("tta", "message"),
    [
        ([RandomFlip(), Mixup()], r"tta\[1\] must be an augmentation"),
        ([Cutout(2)], r"tta has Cutout\(size=2\)"),
        ("mirror", "tta must be None, 'flip' or a list .* 'mirror'"),
    ],
    ids=str,
)
def test_bad_views_are_refused_by_predict(fitted, tta, message):
    with pytest.raises(ValueError, match=message):
        fitted.set_params(tta=tta).predict(X)


def test_scores_are_means_over_views():
    clf = make_net(max_iter=1, dtype="float64").fit(X, Y)
    images = X.reshape(-1, 8, 8)
    plain, mirrored = clf.decision_function(images), clf.decision_function(images[:, :, ::-1])
    down = clf.decision_function(np.pad(images, [(0, 0), (1, 0), (1, 0)], mode="edge")[:, :8, :8])
    up = clf.decision_function(np.pad(images, [(0, 0), (0, 1), (0, 1)], mode="edge")[:, 1:, 1:])
    clf.set_params(tta="flip")
    assert_allclose(clf.decision_function(images), (plain + mirrored) / 2, rtol=0, atol=1e-12)
    clf.set_params(tta=[RandomShift(1)])
    assert_allclose(clf.decision_function(images), (plain + down + up) / 3, rtol=0, atol=1e-12)
    shares = clf.predict_proba(images)
    assert_allclose(shares.argmax(axis=1), clf.decision_function(images).argmax(axis=1))
    clf.set_params(tta=[])
    assert_array_equal(clf.decision_function(images), plain)


class OwnMixing(Mixing):
    """Keeps half of each target, and all of each image."""

    def shares(self, draws, image_size):
        return np.full(len(draws), 0.5)

    def apply(self, images, others, draws):
        pass


def own(base, **attributes):
    """Return an augmentation of a class with other attributes, by name."""
    return type("Own", (base,), attributes)()


def applying(change):
    return own(Blank, apply=lambda self, images, draws: change(images))


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda images: None, "None"),
        (lambda images: images[1:], r"array of float32 of shape \(7, 8, \d+, 1\)"),
        (lambda images: images[..., 0], r"array of float32 of shape \(8, 8, \d+\)"),
        (lambda images: images.mean(), r"array of float32 of shape \(\)"),
        (lambda images: images.tolist(), "list"),
        (lambda images: images * 1j, "array of complex64"),
        (lambda images: images.astype(str), "array of <U"),
    ],
    ids=["None", "smaller", "grey", "scalar", "list", "complex", "text"],
)
def test_results_of_own_augmentations_that_are_no_such_images_are_refused(fitted, change, got):
    match = rf"augmentation Own\(\): apply must return .* shape \(8, 8, \d+, 1\), got {got}"
    augmentations = [applying(change), RandomShift(1)]
    with pytest.raises(ValueError, match=match):
        make_net(augmentation=augmentations).fit(X, Y)
    with pytest.raises(ValueError, match=match):
        fitted.set_params(tta=augmentations).predict(X)


def test_results_of_another_real_type_are_taken_over_before_the_next_augmentation():
    """Which is given images of the type to compute in, whatever the one before has made of them."""
    seen = []

    def note(images):
        seen.append(images.dtype)
        return images

    for dtype in (np.float64, np.int64, bool):
        make_net(augmentation=[applying(lambda images: images.astype(dtype)), applying(note)]).fit(X, Y)  # noqa: B023
    assert set(seen) == {np.dtype(np.float32)}


def test_errors_within_own_augmentations_name_them():
    with pytest.raises(ValueError, match=r"augmentation Own\(\): .* core dimension"):
        make_net(augmentation=[applying(lambda images: images @ np.ones((7, 7)))]).fit(X, Y)
    with pytest.raises(LookupError, match=r"augmentation Own\(\): IndexError\('index 99 "):
        make_net(augmentation=[applying(lambda images: images[99])]).fit(X, Y)


@pytest.mark.parametrize(
    ("augmentation", "match"),
    [
        (own(Blank, n_draws=None), r"augmentation\[0\], Own\(\): n_draws must be an int >= 0, got None"),
        (own(Blank, n_draws=-1), "n_draws must be an int >= 0, got -1"),
        (own(OwnMixing, n_draws=2.5), "n_draws must be an int >= 0, got 2.5"),
        (own(OwnMixing, n_draws="3"), "n_draws must be an int >= 0, got '3'"),
        (own(Blank, alternate=True, moved_on=lambda *_: None), r"Own\(\): moved_on must return .*, got None"),
        (own(Blank, alternate=True, moved_on=lambda *_: np.ones(3)), r"moved_on .* \(32, 1\), got .* \(3,\)"),
        (own(OwnMixing, shares=lambda *_: None), r"Own\(\): shares must return .* \(32,\), got None"),
        (own(OwnMixing, shares=lambda *_: 0.5), r"shares must return .*, got float"),
        (own(OwnMixing, shares=lambda *_: np.ones((32, 1))), r"shares must return .*, got .* \(32, 1\)"),
        (own(OwnMixing, shares=lambda *_: np.ones(32, complex)), "shares must return .*, got .*complex128"),
        (own(OwnMixing, shares=lambda *_: np.full(32, -0.5)), "shares must return .* 0 to 1, got -0.5"),
        (own(OwnMixing, shares=lambda *_: np.full(32, np.nan)), "shares must return .* 0 to 1, got nan"),
        (
            own(OwnMixing, apply=lambda self, images, *_: images / 2),
            r"Own\(\): apply must change .* in place",
        ),
    ],
)
def test_what_own_augmentations_say_wrongly_is_refused(augmentation, match):
    net = make_net(augmentation=[augmentation])
    with pytest.raises(ValueError, match=match):
        net.fit(X, Y)
    assert not hasattr(net, "network_")


@pytest.mark.parametrize("views", [1, ["a"], [0.5], [(0.5, 0.2)], [(None,)], [(1.0,)], [(np.nan,)]], ids=repr)
def test_views_that_are_no_draws_are_refused(fitted, views):
    fitted.set_params(tta=[own(Blank, views=lambda self: views)])
    with pytest.raises(ValueError, match=r"tta has Own\(\), whose views must be .* 1 number"):
        fitted.predict(X)
