"""Tests of the augmentations on pictures that a person can check."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from seeds import generator
from sklearn.base import clone

from skcnn import (
    CutMix,
    Cutout,
    Mixup,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomShift,
    RandomZoom,
    augmentation,
)
from skcnn.augmentation import Augmentation, Mixing, auto_augmentation
from skcnn.augmentation.base import LARGEST_DRAW

CHANGES = [RandomFlip(), RandomFlip(vertical=True), RandomShift(), RandomShift(1, fill="zeros"), RandomCrop()]
CHANGES += [Cutout(3), RandomRotation(), RandomZoom(), RandomBrightness(), RandomContrast()]
MIXINGS = [Mixup(), CutMix()]

LETTER = """
    #...
    #...
    #...
    ####
"""


def picture(text):
    """Return an image of shape (height, width, 1, 1), one where the text has a "#"."""
    rows = text.split()
    return np.array([[float(sign == "#") for sign in row] for row in rows])[..., np.newaxis, np.newaxis]


def apply(change, text, *draws):
    """Return what becomes of a picture with some draws."""
    return change.apply(picture(text), np.array([draws]))


PICTURES = {
    "mirrored": (RandomFlip(), (0.1, 0.1), "...# ...# ...# ####"),
    "as it is": (RandomFlip(), (0.6, 0.1), "#... #... #... ####"),
    "upside down": (RandomFlip(horizontal=False, vertical=True), (0.1, 0.1), "#### #... #... #..."),
    "mirrored both ways": (RandomFlip(vertical=True), (0.1, 0.1), "#### ...# ...# ...#"),
    "up, with the lowest row again": (RandomShift(1), (0.0, 0.5), "#... #... #### ####"),
    "to the right": (RandomShift(1), (0.5, 0.9), "##.. ##.. ##.. ####"),
    "to the right, zeros after": (RandomShift(1, fill="zeros"), (0.5, 0.9), ".#.. .#.. .#.. .###"),
    "down and right, mirrored there": (RandomCrop(1), (0.9, 0.9), ".#.. .#.. .#.. .#.."),
    "two to the left, zeros after": (RandomCrop(2, fill="zeros"), (0.5, 0.0), ".... .... .... ##.."),
    "a hole in the middle": (Cutout(2), (0.75, 0.5), "#... #... #... #..#"),
    "a hole at the edge": (Cutout(2), (0.9, 0.0), "#... #... .... .###"),
    "a quarter turn counterclockwise": (RandomRotation(90), (LARGEST_DRAW,), "...# ...# ...# ####"),
    "a quarter turn clockwise": (RandomRotation(90), (0.0,), "#### #... #... #..."),
    "not turned": (RandomRotation(90), (0.5,), "#... #... #... ####"),
    "not zoomed": (RandomZoom(0.5), (0.5,), "#... #... #... ####"),
}


@pytest.mark.parametrize(("change", "draws", "expected"), PICTURES.values(), ids=PICTURES)
def test_what_becomes_of_a_letter(change, draws, expected):
    """The letter L; rotation by 90 degrees meets pixels but for rounding."""
    assert_allclose(apply(change, LETTER, *draws), picture(expected), atol=1e-14)


def test_zoom_enlarges_and_shrinks():
    """A square of two pixels is one of three or so, or of one: half of the edge is interpolated."""
    square = ".... .##. .##. ...."
    enlarged, shrunk = apply(RandomZoom(0.5), square, LARGEST_DRAW), apply(RandomZoom(0.5), square, 0.0)
    assert shrunk.sum() < picture(square).sum() < enlarged.sum()
    assert_allclose(enlarged[0, :, 0, 0], [0.25, 0.5, 0.5, 0.25])


@pytest.mark.parametrize(("draw", "sign"), [(0.0, -1), (LARGEST_DRAW, 1)])
def test_brightness_is_added_in_deviations_of_the_image(draw, sign):
    """To the rounding of the terms, for their sum may cancel."""
    image = generator(0).normal(3, 2, (5, 6, 1, 3))
    result = RandomBrightness(0.5).apply(image.copy(), np.array([[draw]]))
    atol = 1e-14 * np.abs(image).max()
    assert_allclose(result, image + sign * 0.5 * image.std(), rtol=0, atol=atol)


def test_contrast_leaves_the_means_of_channels():
    image = generator(0).normal(3, 2, (5, 6, 1, 3))
    mean = image.mean(axis=(0, 1))
    result = RandomContrast(0.5).apply(image.copy(), np.array([[0.0]]))
    assert_allclose(result, mean + 0.5 * (image - mean), rtol=1e-13)


def test_cutmix_puts_a_rectangle_of_another_image():
    """A share of 0.75 leaves half of height and width to the other."""
    images, others = picture(".... .... .... ...."), picture("#### #### #### ####")
    draws = np.array([[0.5, 0.5, 0.75]])
    assert_allclose(CutMix().shares(draws, (4, 4)), [0.75])
    CutMix().apply(images, others, draws)
    assert_array_equal(images, picture(".... .##. .##. ...."))


@pytest.mark.parametrize("mixing", [Mixup(0.3), CutMix(0.3), CutMix(1.0)])
def test_the_share_of_the_target_is_that_of_the_pixels(mixing):
    draws = generator(0).random((50, mixing.n_draws))
    images, others = np.ones((7, 9, 50, 2)), np.zeros((7, 9, 50, 2))
    mixing.apply(images, others, draws)
    assert_allclose(images.mean(axis=(0, 1, 3)), mixing.shares(draws, (7, 9)), rtol=1e-12)


def test_shares_of_mixup_have_a_beta_distribution():
    draws = generator(0).random((2_000, 1))
    shares = Mixup(0.4).shares(draws, (1, 1))
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 6e-7  # five deviations


@pytest.mark.parametrize("change", CHANGES, ids=repr)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((8, 8, 5, 3), "f4"), ((1, 9, 5, 1), "f8"), ((7, 1, 5, 2), "f4"), ((1, 1, 5, 1), "f8")],
)
def test_an_image_is_changed_as_if_it_were_alone(change, dtype, shape):
    rng = generator(0)
    images, draws = rng.standard_normal(shape).astype(dtype), rng.random((5, change.n_draws))
    together = change.apply(images.copy(), draws)
    assert together.shape == shape and together.dtype == dtype and np.isfinite(together).all()
    for number in range(5):
        alone = change.apply(images[:, :, number : number + 1].copy(), draws[number : number + 1])
        tolerance = 8 * np.finfo(dtype).eps  # of means over pixels, whose sums are in another order
        assert_allclose(together[:, :, number], alone[:, :, 0], rtol=0, atol=4 * tolerance)


@pytest.mark.parametrize("change", [change for change in CHANGES if change.views()], ids=repr)
def test_the_first_view_is_the_image_itself(change):
    images = generator(0).standard_normal((6, 6, 1, 3))
    views = [change.apply(images.copy(), np.array([draws])) for draws in change.views()]
    assert_allclose(views[0], images, rtol=0, atol=1e-14)
    assert len(views) >= 2
    for view in views[1:]:
        assert np.abs(view - images).max() > 0.01


def test_views_of_a_flip_are_all_mirror_images():
    images = generator(0).standard_normal((3, 4, 1, 2))
    flip = RandomFlip(vertical=True)
    found = [flip.apply(images.copy(), np.array([draws])) for draws in flip.views()]
    expected = [images[::down, ::right] for down in (1, -1) for right in (1, -1)]
    assert len(found) == 4
    for mirrored in expected:
        assert sum(np.array_equal(mirrored, view) for view in found) == 1


@pytest.mark.parametrize("each", [*CHANGES, *MIXINGS], ids=repr)
def test_augmentations_are_estimators(each):
    assert repr(clone(each)) == repr(each)
    for name in each.get_params():
        assert repr(clone(each).set_params(**{name: "nonsense"})) != repr(each)
        with pytest.raises(ValueError, match=f"The '{name}' parameter of {type(each).__name__}"):
            clone(each).set_params(**{name: "nonsense"})._validate_params()


def test_every_augmentation_is_tested():
    kinds = {each for each in vars(augmentation).values() if isinstance(each, type)}
    kinds = {each for each in kinds if issubclass(each, Augmentation | Mixing)} - {Augmentation, Mixing}
    assert {type(each) for each in [*CHANGES, *MIXINGS]} == kinds


def test_auto_mirrors_photographs_alone():
    assert repr(auto_augmentation((32, 32, 3))) == "[RandomFlip(), RandomCrop()]"
    assert repr(auto_augmentation((64, 96, 3))) == "[RandomFlip(), RandomCrop(padding=8)]"
    assert repr(auto_augmentation((28, 28, 1))) == "[RandomShift()]"
    assert repr(auto_augmentation((8, 8, 1))) == "[RandomShift(pixels=1)]"


def test_a_base_class_does_nothing_by_itself():
    with pytest.raises(NotImplementedError, match="Augmentation"):
        Augmentation().apply(None, None)
    with pytest.raises(NotImplementedError, match="Mixing"):
        Mixing().apply(None, None, None)
    with pytest.raises(NotImplementedError, match="Mixing"):
        Mixing().shares(None, None)
