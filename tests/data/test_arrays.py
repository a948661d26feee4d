"""Tests of what is stacked to an array of images, and of what is said of everything else."""

import numpy as np
import pytest
from extras import build, data_frame, package, picture, series
from numpy.testing import assert_array_equal
from scipy import sparse
from seeds import generator

from skcnn.data.arrays import refuse_masked, stack_images

IMAGES = generator(0).integers(0, 256, (4, 6, 5)).astype("uint8")


class Picture:
    """An image of another package, which becomes an array if it is asked to, and nothing else."""

    def __init__(self, pixels):
        self.pixels = pixels

    def __array__(self, dtype=None, copy=None):
        return np.array(self.pixels, dtype=dtype)


class Dataset:
    """Pairs of an image and a label, read by index, as torch has them."""

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        return IMAGES[index], index % 2


def vector(entries):
    """Return an object array with these entries, whatever they are."""
    return np.fromiter(entries, dtype=object)


def column(entries):
    return data_frame({"image": entries})


@pytest.mark.parametrize(
    "X",
    [
        list(IMAGES),
        tuple(IMAGES),
        IMAGES.tolist(),
        pytest.param(lambda: list(map(picture, IMAGES)), id="list of pictures"),
        list(map(Picture, IMAGES)),
        pytest.param(lambda: list(map(data_frame, IMAGES)), id="list of data frames"),
        vector(IMAGES),
        vector(IMAGES)[:, np.newaxis],
        vector(map(Picture, IMAGES)),
        pytest.param(lambda: series(list(IMAGES), index=range(10, 14)), id="Series"),
        pytest.param(lambda: column(list(IMAGES)), id="column"),
        pytest.param(lambda: column(list(map(Picture, IMAGES))), id="column of objects"),
        Picture(IMAGES),
        np.ma.masked_array(IMAGES),
    ],
    ids=lambda X: f"{type(X).__name__} {np.shape(X)}",
)
def test_images_of_one_shape_become_an_array(X):
    assert_array_equal(np.asarray(stack_images(build(X))), IMAGES)


@pytest.mark.parametrize(
    "X",
    [
        IMAGES,
        IMAGES.astype(object),
        np.asfortranarray(IMAGES[..., 0]),
        IMAGES[:, :1, 0],
        np.ma.masked_array(IMAGES),
        pytest.param(lambda: data_frame(IMAGES[..., 0]), id="data frame"),
        pytest.param(lambda: data_frame({"pixel": [1, None, 3]}, dtype="Int64"), id="missing values"),
        sparse.csr_array(IMAGES[:, :1, 0]),
    ],
    ids=lambda X: f"{type(X).__name__} {X.shape}",
)
def test_what_holds_numbers_is_passed_on_as_it_is(X):
    X = build(X)
    assert stack_images(X) is X


def test_values_missing_in_a_column_of_numbers_are_not_taken_for_missing_images():
    X = np.array([[1.0], [None], [3.0]], dtype=object)
    assert stack_images(X) is X
    assert stack_images(X.tolist()).tolist() == X.tolist()


SMALL = IMAGES[0, :4]

NOT_STACKED = {
    "smaller": (SMALL, r"X is ragged: .* entry 0 .*\(6, 5\).* entry 2 .*\(4, 5\)"),
    "row": (IMAGES[0].ravel(), r"entry 0 .*\(6, 5\).* entry 2 .*\(30,\)"),
    "coloured": (np.stack([IMAGES[0]] * 3, axis=-1), r"entry 2 .*\(6, 5, 3\)"),
    "ragged itself": ([[1, 2], [3]], "X is ragged: .* entry 2 has parts of several shapes"),
    "pair": ((IMAGES[0], 1), r"entry 2 of X is a pair, .*X=\[image for image, label in"),
    "None": (None, "entry 2 of X is None, expected an image"),
    "NaN": (np.nan, "entry 2 of X is nan, expected an image"),
    "missing": (lambda: package("pandas").NA, "entry 2 of X is an object of type NAType, expected an image"),
    "path": ("images/cat.png", "entry 2 of X is 'images/cat.png', expected an image"),
    "dict": ({"image": IMAGES[0]}, "entry 2 of X is an object of type dict, expected an image"),
    "masked": (np.ma.masked_less(IMAGES[0], 99), "X has masked values"),
}


@pytest.mark.parametrize(("entry", "message"), NOT_STACKED.values(), ids=NOT_STACKED)
@pytest.mark.parametrize("make", [list, vector, series, column])
def test_an_entry_that_does_not_fit_is_named_with_what_it_is(make, entry, message):
    with pytest.raises(ValueError, match=message) as caught:
        stack_images(make([*IMAGES[:2], build(entry), *IMAGES[3:]]))
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "X",
    [
        Dataset(),
        list(Dataset()),
        vector(Dataset()),
        [[image, "cat"] for image in IMAGES],
        lambda: [(picture(image), np.array(1)) for image in IMAGES],
        [(image, np.eye(3)[0]) for image in IMAGES],
    ],
    ids=["dataset", "list", "vector", "lists", "pictures", "one-hot"],
)
def test_pairs_of_image_and_label_are_told_so(X):
    with pytest.raises(ValueError, match=r"entry 0 of X is a pair.*y=\[label for image, label in pairs\]"):
        stack_images(build(X))


def test_masks_are_refused_where_they_hide_something():
    masked = np.ma.masked_greater(IMAGES, 200)
    for values in (masked, list(masked), [1, np.ma.masked], np.ma.masked):
        with pytest.raises(ValueError, match=r"^weights has masked values, .*\.filled\("):
            refuse_masked(values, "weights")
    refuse_masked(np.ma.masked_greater(IMAGES, 255), "weights")
    refuse_masked([masked.filled(0), 1, "a", None], "weights")
