"""Tests of images that are read when they are needed."""

import pickle

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_array_equal
from seeds import generator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from small_classifiers import assert_same_weights, make_classifier

from skcnn.data.lazy_images import DatasetImages, LazyImages, is_dataset
from skcnn.network.cut import Cut

X = generator(1).integers(0, 255, (40, 8, 8), dtype=np.uint8)
y = np.arange(40) % 2


class Dataset:
    """Like a dataset of HDF5: takes slices, and sorted indices without repetition; counts what it reads."""

    def __init__(self, images):
        self._images, self.shape, self.dtype, self.most = images, images.shape, images.dtype, 0

    def __len__(self):
        return len(self._images)

    def __getitem__(self, key):
        if not isinstance(key, slice) and (np.diff(key) <= 0).any():
            raise TypeError("Indexing elements must be in increasing order")
        images = self._images[key]
        self.most = max(self.most, len(images))
        return images


@pytest.mark.parametrize(
    "key",
    [
        slice(3, 30, 4),
        slice(None, None, -1),
        [5, 5, 0, -1],
        np.arange(7, 12),
        np.arange(40) % 3 == 0,
        np.array([], int),
        (np.array([3, 1]), ...),
        (slice(4), slice(None), slice(None)),
    ],
    ids=str,
)
def test_rows_are_those_of_an_array_and_so_are_rows_of_them(key):
    lazy, expected = DatasetImages(Dataset(X))[key], X[key]
    assert isinstance(lazy, LazyImages)
    assert (lazy.shape, lazy.ndim, lazy.size, lazy.dtype) == (expected.shape, 3, expected.size, X.dtype)
    assert_array_equal(lazy, expected)
    assert_array_equal(np.asarray(lazy[1::2], float), expected[1::2])
    for image, of_array in zip(lazy, expected, strict=True):
        assert_array_equal(image, of_array)


def test_rows_that_do_not_exist_and_columns_are_errors():
    lazy = DatasetImages(Dataset(X))
    for key in (40, [0, 40], (0, 1), (slice(None), 0)):
        with pytest.raises(IndexError):
            lazy[key]
    with pytest.raises(ValueError, match="copy"):
        lazy.__array__(copy=False)


def test_training_and_prediction_are_those_of_an_array():
    clf = make_classifier(max_iter=2, batch_size=10, early_stopping=True)
    dataset, expected = Dataset(X), make_classifier(max_iter=2, batch_size=10, early_stopping=True).fit(X, y)
    clf.fit(dataset, y, sample_weight=np.arange(40) % 5)
    expected.fit(X, y, sample_weight=np.arange(40) % 5)
    assert_same_weights(clf, expected)
    assert_array_equal(clf.predict_proba(dataset), expected.predict_proba(X))


def test_a_fit_never_reads_many_images_at_a_time(cut_work):
    cut_work(Cut(run_bytes=8 * X[0].nbytes))
    dataset = Dataset(X)
    clf = make_classifier(max_iter=1, batch_size=8, input_scaling=None).fit(dataset, y)
    clf.partial_fit(dataset, y)
    assert 0 < dataset.most <= 8


def test_splits_of_views_take_their_rows_alone():
    lazy = DatasetImages(Dataset(X))
    parts, expected = train_test_split(lazy, y, random_state=0), train_test_split(X, y, random_state=0)
    for part, of_array in zip(parts, expected, strict=True):
        assert_array_equal(part, of_array)
    clf = make_classifier(max_iter=1)
    assert_array_equal(cross_val_predict(clf, lazy, y), cross_val_predict(clf, X, y))
    assert_array_equal(pickle.loads(pickle.dumps(parts[0])), expected[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda clf: CalibratedClassifierCV(clf, cv=2),
        lambda clf: VotingClassifier([("net", clf)], voting="soft"),
        lambda clf: StackingClassifier([("net", clf)], cv=2),
        lambda clf: GridSearchCV(make_pipeline("passthrough", clf), {}, cv=2),
    ],
    ids=["calibrated", "voting", "stacking", "search over a pipeline"],
)
def test_meta_estimators_pass_views_on(make):
    fitted = [make(make_classifier(max_iter=1)).fit(images, y) for images in (X, DatasetImages(Dataset(X)))]
    assert_array_equal(fitted[1].predict_proba(DatasetImages(Dataset(X))), fitted[0].predict_proba(X))


def test_values_that_are_not_finite_are_errors_when_they_are_read():
    images = X.astype(np.float32)
    clf = make_classifier(max_iter=1).fit(images, y)
    images[17, 3, 3] = np.nan
    for call in (clf.predict, lambda dataset: clf.fit(dataset, y)):
        with pytest.raises(ValueError, match="NaN"):
            call(Dataset(images))
    assert_array_equal(clf.predict(Dataset(X)), clf.predict(X))


@pytest.mark.parametrize(
    "images", [X[:0], X.reshape(40, 1, 8, 8, 1), X.astype(complex), X.astype(str)], ids=str
)
def test_datasets_of_something_else_are_errors(images):
    with pytest.raises(ValueError, match="X|sample"):
        make_classifier().fit(Dataset(images), y[: len(images)])


def test_arrays_in_memory_are_no_datasets():
    assert is_dataset(Dataset(X))
    assert not any(map(is_dataset, (X, X[0, 0, 0], list(X), DatasetImages(Dataset(X)), "text")))


@pytest.mark.parametrize("chunks", [None, (7, 8, 8)])
def test_real_datasets_train_and_predict(tmp_path, chunks):
    """Of HDF5, zarr and dask. Without chunks, with the bits of an array; else, chunks are shuffled."""
    h5py = package("h5py")
    zarr = package("zarr")
    dask = package("dask.array")
    expected = make_classifier(max_iter=2).fit(X, y)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        datasets = [
            file.create_dataset("X", data=X, chunks=chunks),
            zarr.create_array(tmp_path / "images.zarr", data=X, chunks=chunks or "auto"),
            dask.from_array(X, chunks=chunks or "auto"),
        ]
        for dataset in datasets:
            clf = make_classifier(max_iter=2).fit(dataset, y)
            if not dataset.chunks:
                assert_same_weights(clf, expected)
            assert_array_equal(clf.predict_proba(dataset), clf.predict_proba(X))
            assert_same_weights(clf, make_classifier(max_iter=2).fit(dataset, y))
