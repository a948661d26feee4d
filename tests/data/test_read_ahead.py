"""Tests of the orders of training, and of minibatches that are read while others are trained on."""

import threading
from contextlib import closing

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from seeds import generator
from small_classifiers import assert_same_weights, make_classifier

from skcnn.augmentation import Mixup
from skcnn.data.images import ImageFormat, ImageSource
from skcnn.data.lazy_images import LazyImages
from skcnn.data.read_ahead import LoadedImages, read_ahead, shuffled_runs
from skcnn.data.samples import TrainingData
from skcnn.network.cut import Cut

X = generator(1).integers(0, 255, (101, 4, 4), dtype=np.uint8)
y = np.arange(101) % 3
SUBSET = np.flatnonzero(np.arange(101) % 4)

SMALL = {"run_bytes": 10 * X[0].nbytes, "window_bytes": 3 * 7 * X[0].nbytes}
"""Runs of ten images, and windows of three blocks of seven."""


class Stored(LazyImages):
    """Images in memory that count as stored; keeps the rows of each read."""

    def __init__(self, block=1, images=X):
        super().__init__(len(images), images.shape[1:], images.dtype)
        self.block, self._images, self.reads = block, images, []

    def _read(self, rows):
        self.reads.append(rows)
        return self._images[rows]


def source_of(images, subset=None):
    return ImageSource(images, ImageFormat((4, 4, 1), False, np.dtype(np.float32)), subset)


def data_of(images, subset=None):
    source = source_of(images, subset)
    return TrainingData(source, y[: len(source)], np.ones(len(source)), None)


@pytest.mark.parametrize("subset", [None, SUBSET], ids=["all", "subset"])
@pytest.mark.parametrize("images", [X, Stored(), Stored(block=7)], ids=["array", "rows", "blocks"])
def test_an_epoch_has_each_sample_once_in_an_order_of_its_own(images, subset):
    source = source_of(images, subset)
    orders = [np.concatenate(shuffled_runs(source, generator(number), **SMALL)) for number in (1, 1, 2)]
    for order in orders:
        assert_array_equal(np.sort(order), np.arange(len(source)))
    assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).mean() > 0.8
    assert_array_equal(np.concatenate(shuffled_runs(source, None, **SMALL)), np.arange(len(source)))


def test_blocks_are_read_once_and_windows_of_them_are_shuffled():
    windows = shuffled_runs(source_of(Stored(block=7), SUBSET), generator(1), **SMALL)
    blocks = [set(SUBSET[window] // 7) for window in windows]
    assert [len(own) for own in blocks] == [3, 3, 3, 3, 3]
    assert set.union(*blocks) == set(range(15))
    for window in windows:
        assert (np.diff(SUBSET[window] // 7) != 0).mean() > 0.4
    assert sorted(blocks[0]) != list(range(3))


@pytest.mark.parametrize("n_threads", [1, 3])
def test_minibatches_are_the_runs_cut_anew_with_their_images(n_threads):
    images = Stored()
    order = generator(2).permutation(len(SUBSET))
    sizes = [10, 1, 30, 30, len(SUBSET) - 71]
    found = list(read_ahead(data_of(images, SUBSET), np.array_split(order, 7), sizes, n_threads))
    assert_array_equal(np.concatenate([rows for rows, _ in found]), order)
    assert [len(rows) for rows, _ in found] == sizes
    images.reads.clear()
    for rows, data in found:
        out, expected = np.empty((2, 4, 4, len(rows), 1), np.float32)
        data.images.read(rows, out)
        assert images.reads == []
        source_of(X, SUBSET).read(rows, expected)
        assert_array_equal(out, expected)


def test_each_read_is_in_the_order_of_the_file():
    images = Stored()
    runs = np.array_split(generator(3).permutation(101), 5)
    list(read_ahead(data_of(images), runs, [101], 2))
    assert sorted(map(len, images.reads)) == sorted(map(len, runs))
    assert all((np.diff(rows) > 0).all() for rows in images.reads)


def test_images_that_are_not_in_memory_are_read():
    images = Stored()
    loaded = LoadedImages(source_of(images, SUBSET), np.array([5, 2]), X[SUBSET[[5, 2]]])
    assert_array_equal(loaded.raw(np.array([2, 5, 2])), X[SUBSET[[2, 5, 2]]])
    assert images.reads == []
    assert_array_equal(loaded.raw(np.array([2, 7])), X[SUBSET[[2, 7]]])
    assert len(loaded) == len(SUBSET)


def test_runs_are_read_meanwhile_and_no_further_than_needed():
    """While the first minibatch is in use, one run more than there are threads is read, and then no more."""
    images, came = Stored(), threading.Semaphore(0)
    read = images._read
    images._read = lambda rows: (came.release(), read(rows))[1]
    runs = iter(np.array_split(np.arange(101), 20))
    with closing(read_ahead(data_of(images), runs, [5] * 20, 2)) as minibatches:
        next(minibatches)
        assert all(came.acquire(timeout=30) for _ in range(4))
    assert len(images.reads) == 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("skcnn-read")]


def test_errors_of_reading_end_training_and_its_threads():
    images = Stored()

    def fail(rows):
        raise OSError("the disk is gone")

    images._read = fail
    with pytest.raises(OSError, match="the disk is gone"):
        make_classifier(input_scaling=None).fit(images, y)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("skcnn-read")]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False},
        {"augmentation": [Mixup()]},
        {"early_stopping": True, "averaging": "ema"},
    ],
    ids=str,
)
def test_training_on_stored_images_gives_the_bits_of_training_on_an_array(options, cut_work):
    cut_work(Cut(**SMALL))
    fitted = [make_classifier(**options).fit(images, y) for images in (Stored(), X)]
    assert_same_weights(*fitted)


def test_blocks_give_the_same_bits_on_any_number_of_threads(monkeypatch, cut_work):
    cut_work(Cut(**SMALL))
    fitted = []
    for n_threads in ("1", "3"):
        monkeypatch.setenv("SKCNN_NUM_THREADS", n_threads)
        fitted.append(make_classifier().fit(Stored(block=7), y))
    assert_same_weights(*fitted)
