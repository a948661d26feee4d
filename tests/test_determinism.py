"""Same random_state, same call, same bits: on any number of threads, jobs and backends."""

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from processes import blas_limits
from seeds import SEED, generator
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from small_classifiers import make_classifier, weights_of
from threadpoolctl import ThreadpoolController, threadpool_limits

from skcnn import (
    GELU,
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    DepthwiseConv2D,
    GlobalMaxPool2D,
    LayerNorm,
    LocalResponseNorm,
    MaxPool2D,
    Parallel,
    PReLU,
    Residual,
    SpatialDropout2D,
)
from skcnn.network.cut import Cut

N_SAMPLES, BATCH_SIZE = 112, 64
X = generator(0).normal(size=(N_SAMPLES, 24, 24, 3)).astype("float32")
Y = np.arange(N_SAMPLES) % 3

VARIANTS = {
    "float64, sgd, clipped": {"dtype": "float64", "solver": "sgd", "clip_norm": 0.5},
    "batch normalization": {"normalization": "batch"},
    "batch normalization and dropout": {"normalization": "batch", "dropout": 0.3},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.25},
    "weights": {"normalization": "batch", "class_weight": {0: 2.0}},
    "labels": {"class_weight": "balanced", "label_smoothing": 0.1},
    "class probabilities": {"early_stopping": True, "validation_fraction": 0.25},
    "hinge": {"loss": "hinge", "solver": "nadam"},
    "squared hinge": {"loss": "squared_hinge", "solver": "rmsprop"},
    "focal": {"loss": "focal", "solver": "adagrad"},
    "lbfgs": {"solver": "lbfgs", "normalization": "batch"},
    "moving average": {"averaging": "ema", "normalization": "batch", "solver": "adamw"},
    "average of epochs": {"averaging": "swa", "normalization": "batch", "learning_rate": "one_cycle"},
    "graph": {
        "layers": [
            Conv2D(16, strides=2),
            Residual([BatchNorm(), PReLU(), Conv2D(24, groups=4), SpatialDropout2D(0.2), BatchNorm()]),
            Parallel([[DepthwiseConv2D(5), LayerNorm()], [MaxPool2D(3, strides=1, padding="same"), GELU()]]),
            LocalResponseNorm(),
            GlobalMaxPool2D(),
        ]
    },
}


make_net = partial(
    make_classifier,
    conv_layer_sizes=(24, 48),
    hidden_layer_sizes=(16,),
    activation="relu",
    batch_size=BATCH_SIZE,
)


def train(variant):
    """Return the bits of a training: weights, losses, scores and probabilities."""
    weights = np.linspace(0.5, 1.5, N_SAMPLES) if variant == "weights" else None
    y = np.stack([Y == 0, Y != 1], axis=1) if variant == "labels" else Y
    soft = (np.eye(3)[Y] + 1 / 3) / 2 if variant == "class probabilities" else None
    net = make_net(**VARIANTS[variant]).fit(X, y, weights, class_probabilities=soft)
    return [*weights_of(net).values(), net.loss_curve_, net.validation_scores_, net.decision_function(X)]


def assert_same_bits(result, other):
    assert len(result) == len(other)
    for value, other_value in zip(result, other, strict=True):
        assert_array_equal(value, other_value)


def set_blas_limits(limits):
    controller = ThreadpoolController().select(user_api="blas")
    for library, limit in zip(controller.lib_controllers, limits, strict=True):
        library.set_num_threads(limit)
    with threadpool_limits():  # lets go of the control that threadpoolctl gives to the first thread
        pass


@pytest.fixture(autouse=True)
def two_blas_threads():
    """Allow the BLAS two threads, whatever the environment and other tests have left."""
    before = blas_limits()
    set_blas_limits([2] * len(before))
    assert set(blas_limits()) == {2}
    yield
    set_blas_limits(before)


@pytest.fixture
def use_threads(monkeypatch):
    def use(n_threads):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))

    return use


def test_images_are_large_enough_for_several_shards():
    multiply_adds = make_net().fit(X, Y).network_.multiply_adds()
    for n_rows in (BATCH_SIZE, N_SAMPLES - BATCH_SIZE):
        assert len(Cut().shard_bounds(n_rows, multiply_adds)) > 1


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_number_of_threads_does_not_change_bits(use_threads, variant):
    use_threads(1)
    one = train(variant)
    for n_threads in (2, 8):
        use_threads(n_threads)
        assert_same_bits(train(variant), one)


@pytest.mark.costly
@pytest.mark.parametrize(("n_threads", "largest"), [(10**7, np.inf), (10**7, 0), (4, 0)])
def test_threads_start_as_they_are_needed_and_available(use_threads, monkeypatch, n_threads, largest):
    """However many were asked for: the memory of so many would take minutes to make."""
    use_threads(1)
    one = train("batch normalization")
    use_threads(n_threads)
    started, start = [], threading.Thread.start

    def start_some(thread):
        if len(started) == largest:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    tracemalloc.start()
    other = train("batch normalization")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_same_bits(other, one)
    assert len(started) <= 2 * Cut().max_shards  # in fit and in prediction
    assert peak < 5e8


@pytest.mark.parametrize("limit", [1, 2])
def test_limits_of_the_blas_do_not_change_bits(limit):
    expected = train("batch normalization")
    with threadpool_limits(limits=limit):
        assert_same_bits(train("batch normalization"), expected)


def with_gaps(images):
    """Return every other row of every other image of a larger array."""
    larger = np.full((2 * len(images), 2 * images.shape[1], *images.shape[2:]), np.nan, images.dtype)
    larger[::2, 1::2] = images
    return larger[::2, 1::2]


def read_only(images):
    images = images.copy()
    images.flags.writeable = False
    return images


def map_images(images, folder):
    np.save(folder / "images.npy", images)
    return np.load(folder / "images.npy", mmap_mode="r")


LAYOUTS = {
    "order of Fortran": lambda images, folder: np.asfortranarray(images),
    "negative strides": lambda images, folder: images[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "slices": lambda images, folder: with_gaps(images),
    "channels apart": lambda images, folder: images.transpose(3, 0, 1, 2).copy().transpose(1, 2, 3, 0),
    "other byte order": lambda images, folder: images.astype(images.dtype.newbyteorder()),
    "read-only": lambda images, folder: read_only(images),
    "memory map": map_images,
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_layout_of_images_in_memory_does_not_change_bits(layout, tmp_path):
    """Of training with statistics, weights and validation, and of prediction."""
    images = LAYOUTS[layout](X, tmp_path)
    assert_array_equal(images, X)
    params = {"normalization": "batch", "early_stopping": True, "validation_fraction": 0.25}
    weights = np.linspace(0.5, 1.5, N_SAMPLES)
    net, other = (make_net(**params).fit(data, Y, weights) for data in (X, images))
    assert_array_equal(other.network_.vector, net.network_.vector)
    assert other.validation_scores_ == net.validation_scores_
    assert_array_equal(other.decision_function(images), net.decision_function(X))


@pytest.mark.costly
def test_other_work_in_the_process_does_not_change_bits():
    """Threads that multiply matrices on all threads of the BLAS, compute with numpy and allocate memory."""
    expected = train("batch normalization and dropout")
    stop = threading.Event()

    def work(seed):
        matrix = generator(seed).normal(size=(300, 300))
        rounds = 0
        while not stop.is_set():
            np.tanh(matrix @ matrix).sum()
            rounds += 1
        return rounds

    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(work, seed) for seed in range(3)]
        try:
            for _ in range(2):
                assert_same_bits(train("batch normalization and dropout"), expected)
        finally:
            stop.set()
    assert min(future.result() for future in busy) > 0


@pytest.mark.costly
def test_backends_of_joblib_do_not_change_bits():
    net = make_net(normalization="batch", dropout=0.3)
    expected = cross_val_predict(net, X, Y, cv=2, method="predict_proba")
    for backend in ("threading", "loky", "multiprocessing"):
        with joblib.parallel_backend(backend, n_jobs=2):
            result = cross_val_predict(net, X, Y, cv=2, method="predict_proba", n_jobs=2)
        assert_array_equal(result, expected, err_msg=backend)


@pytest.mark.costly
def test_concurrent_fits_have_the_same_bits():
    """One at a time in another thread, too."""
    expected = train("batch normalization")
    for n_threads in (1, 2):
        with ThreadPoolExecutor(n_threads) as pool:
            for future in [pool.submit(train, "batch normalization") for _ in range(2)]:
                assert_same_bits(future.result(), expected)


@pytest.mark.costly
def test_digits_are_learned():
    """Accuracies of three seeds are 0.9900 to 0.9917."""
    images, labels = load_digits(return_X_y=True)
    net = ConvNetClassifier(max_iter=20, dtype="float32", random_state=SEED)
    folds = KFold(5, shuffle=True, random_state=SEED)
    scores = cross_val_score(net, images, labels, cv=folds, n_jobs=2)
    assert scores.mean() >= 0.985
