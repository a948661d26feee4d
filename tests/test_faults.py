"""Tests of what an estimator goes through in production: threads, forks, little memory, a long life."""

import os
import pickle
import re
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from processes import TIMEOUT, X, Y, blas_limits, make_net, run_script
from seeds import SEED
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from small_classifiers import PassingLayer

from skcnn import Conv2D
from skcnn.network.cut import Cut

# many at once


@pytest.mark.costly
def test_sixteen_threads_predict_with_one_estimator():
    """Each 16 times and to the bit; nothing in the estimator changes, nor do the limits of the BLAS."""
    net = make_net().fit(X, Y)
    expected, before, limits = net.predict_proba(X), joblib.hash(net), blas_limits()
    start = threading.Barrier(16)

    def predict(_):
        start.wait(TIMEOUT)
        return all(np.array_equal(net.predict_proba(X), expected) for _ in range(16))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(predict, range(16)))
    assert joblib.hash(net) == before
    assert blas_limits() == limits


CHANGES = {
    "a fit": lambda net: net.set_params(random_state=SEED + 1).fit(X, Y),
    "a warm fit": lambda net: net.set_params(warm_start=True).fit(X, Y),
    "a fit that stops early": lambda net: net.set_params(early_stopping=True).fit(X, Y),
    "a chunk": lambda net: net.partial_fit(X, Y),
    "views": lambda net: net.set_params(tta="flip"),
    "a weight": lambda net: net.network_.params["conv2d_2"]["weight"][0, 0].fill(0),
    "a running statistic": lambda net: net.network_.params["batchnorm_1"]["running_variance"][:1].fill(9),
    "all weights": lambda net: np.multiply(net.network_.vector, 2, out=net.network_.vector),
    "another's weights": lambda net: net.network_.restore(make_net(max_iter=1).fit(X, Y).network_.snapshot()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_row_is_predicted_with_what_the_estimator_is_now(change):
    """Not with what earlier predictions have prepared; what a pickle predicts has nothing prepared."""
    net = make_net().fit(X, Y)
    before = net.predict_proba(X[:1])
    for _ in range(2):
        change(net)
        pickled = pickle.dumps(net)
        for part in (X[:1], X):
            assert_array_equal(net.predict_proba(part), pickle.loads(pickled).predict_proba(part))
        assert len(pickle.dumps(net)) == len(pickled)
    assert not np.array_equal(net.predict_proba(X[:1]), before)


class Noting(PassingLayer):
    """Notes when each of its passes began and ended, in which process and thread."""

    def __init__(self, path=""):
        self.path = path

    def forward(self, params, X, unit, *, training, out):
        import time

        begin, until = time.monotonic(), time.monotonic() + 0.004
        while time.monotonic() < until:  # computes, for a thread that sleeps takes no core
            np.copyto(out, X)
        limits = max(blas_limits())
        with open(self.path, "a") as file:
            file.write(f"{begin} {time.monotonic()} {os.getpid()} {threading.get_ident()} {limits}\n")
        return out


def most_at_a_time(spans):
    """Return how many spans overlap at most."""
    changes = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    return int(np.cumsum([change for _, change in changes]).max())


@pytest.mark.costly
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_a_search_computes_on_no_more_threads_than_there_are_cores(backend, tmp_path):
    """With n_jobs=2 and large minibatches, which a fit alone would cut into two shards."""
    path = tmp_path / "passes"
    layers, params = [Conv2D(64), Conv2D(64)], {"batch_size": 30, "max_iter": 1}
    multiply_adds = 30 * make_net(layers=layers, **params).fit(X, Y).network_.multiply_adds()
    assert multiply_adds > 2 * 30_000_000  # that two threads are worth their while for
    net = make_net(layers=[Noting(str(path)), *layers], **params)
    with joblib.parallel_backend(backend, n_jobs=2):
        GridSearchCV(net, {"alpha": [0, 1e-4]}, cv=2, refit=False, error_score="raise").fit(X, Y)
    rows = [line.split() for line in path.read_text().splitlines()]
    assert len({(process, thread) for _, _, process, thread, _ in rows}) >= 2
    spans = [(float(begin), float(end)) for begin, end, *_ in rows]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert most_at_a_time(spans) <= max(2, cores)
    assert {limit for *_, limit in rows} == {"1"}


def test_spans_that_overlap_are_counted():
    assert most_at_a_time([(0, 2), (1, 3), (2.5, 4), (1.5, 1.6)]) == 3
    assert most_at_a_time([(0, 1), (1, 2)]) == 1


# forks

FORK = """
    import os, sys, threading
    from processes import X, Y, make_net

    expected = make_net().fit(X, Y).network_.vector
    fitted = make_net().fit(X, Y)
    scores = fitted.decision_function(X)

    def computes():
        return (make_net().fit(X, Y).network_.vector == expected).all() and (
            fitted.decision_function(X) == scores
        ).all()

    def in_a_child():
        child = os.fork()
        if child == 0:
            os._exit(0 if computes() else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert in_a_child() == 0, "after a fit"
    stop = threading.Event()

    def keep_fitting():
        while not stop.is_set():
            make_net().fit(X, Y)

    thread = threading.Thread(target=keep_fitting)
    thread.start()
    for attempt in range(int(sys.argv[1])):
        assert in_a_child() == 0, "while another thread fits"
    assert computes(), "in the parent, while another thread fits"
    stop.set()
    thread.join()
    print("done")
"""


@pytest.mark.costly
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_during_a_fit_computes_the_same_bits():
    assert run_script(FORK, 5).strip() == "done"


# memory

MAPPED = """
    import resource, sys
    import numpy as np
    from skcnn import Conv2D, ConvNetClassifier, GlobalAvgPool2D

    X = np.load(sys.argv[1], mmap_mode="r")
    assert X.nbytes >= 2 * 2**30 and X.dtype == np.uint8
    y = np.arange(len(X)) % 2
    net = ConvNetClassifier([Conv2D(1, 16, strides=16), GlobalAvgPool2D()], max_iter=1, batch_size=16)
    soft, hard = 400 * 2**20, resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    try:
        np.empty(soft, np.uint8)
    except MemoryError:
        pass
    else:
        raise AssertionError("there is no limit")
    net.fit(X, y)
    assert net.predict(X).shape == (len(X),)
    print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts private memory on Linux alone")
def test_two_gigabytes_of_mapped_images_need_little_memory(tmp_path):
    """A sparse file of images of 256 x 256 pixels, trained and predicted under 400 MB of private memory."""
    shape = (2 * 2**30 // (256 * 256 * 3) + 1, 256, 256, 3)
    np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, shape).flush()
    assert run_script(MAPPED, tmp_path / "images.npy").strip() == "done"


LIFE = """
    import sys
    from processes import X, Y, make_net, resources

    n_fits, n_predicts = map(int, sys.argv[1:])
    net = make_net()
    for _ in range(5):
        net.fit(X, Y).predict(X)
    threads, files, megabytes = resources()
    for _ in range(n_fits):
        net.fit(X, Y)
    for _ in range(n_predicts):
        net.predict(X)
    after = resources()
    assert after[:2] == (threads, files), (threads, files, after)
    assert after[2] < megabytes + 8, (megabytes, after)
    print("done")
"""


@pytest.mark.costly
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")
@pytest.mark.parametrize(
    ("n_fits", "n_predicts"), [(20, 100), pytest.param(200, 2000, marks=pytest.mark.slow)]
)
def test_many_fits_and_predicts_leave_nothing_behind(n_fits, n_predicts):
    """No thread, no open file, and no more memory than allocators keep: 8 MB."""
    assert run_script(LIFE, n_fits, n_predicts).strip() == "done"


# data


@pytest.mark.parametrize("partial", [False, True])
def test_images_that_never_change_are_learned_to_be_nothing(partial):
    """Constant images, and channels without variance: finite results that say the shares of the classes."""
    images = np.full_like(X, 7)
    images[..., 1] = -3
    net = make_net(max_iter=3)
    net = net.partial_fit(images, Y, classes=[0, 1, 2]) if partial else net.fit(images, Y)
    shares = net.predict_proba(images)
    assert np.isfinite(shares).all()
    # rows at the edge of a product of matrices are summed in another order, so scores of a few hundredths
    # differ in their last bits: then exp, sum and quotient may by one, 1/3, 2/9 and 1/4 of an eps in a share
    # of a third
    assert np.ptp(shares, axis=0).max() <= np.finfo(np.float32).eps


def assert_finite_or_refused(net, images):
    """Hold probabilities to be numbers, or refused with a message that says which image is too large."""
    try:
        shares = net.predict_proba(images)
    except ValueError as error:
        assert "are not finite: its values are too large" in str(error)
    else:
        assert np.isfinite(shares).all()
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("factor", [1e-30, 1e30, 1e300])
@pytest.mark.parametrize(
    ("dtype", "input_scaling"), [("float32", None), ("float32", "standardize"), ("float64", None)]
)
@pytest.mark.parametrize(("solver", "normalization"), [("sgd", None), ("adam", "batch"), ("lbfgs", None)])
def test_huge_and_tiny_images_never_give_probabilities_that_are_no_numbers(
    solver, dtype, input_scaling, normalization, factor
):
    """They train, or are refused, or a warning says in which step training diverged; weights stay finite."""
    images = X.astype(np.float64) * factor
    params = {"dtype": dtype, "input_scaling": input_scaling, "normalization": normalization}
    net = make_net(layers=None, conv_layer_sizes=(16,), activation="relu", solver=solver, **params)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            net.fit(images, Y)
        except ValueError as error:
            assert re.search("not finite in float32|squares are not finite in float64", str(error))
            assert factor > 1e30 and not hasattr(net, "network_")
            return
    messages = [str(entry.message) for entry in caught]
    assert all(entry.category is ConvergenceWarning for entry in caught)
    assert len(messages) <= 1
    assert all(
        re.search(r"at step \d|in iteration \d|at the start|no smaller loss", text) for text in messages
    )
    buffers = net.network_.buffers().values()
    assert all(np.isfinite(value).all() for value in (net.network_.vector, *buffers))
    assert np.isfinite(net.loss_curve_).all()
    assert_finite_or_refused(net, images)
    assert_finite_or_refused(net, X)


class Failing(PassingLayer):
    """Fails in the middle of training."""

    passes = 0

    def __init__(self, error=None):
        self.error = error

    def forward(self, params, X, unit, *, training, out):
        Failing.passes += training
        if self.error is not None and Failing.passes > 4:
            raise self.error
        return X


@pytest.mark.parametrize(("error", "n_threads"), [(ZeroDivisionError("within"), 1), (MemoryError("none"), 2)])
def test_an_exception_during_training_leaves_the_last_model(error, n_threads, cut_work, monkeypatch):
    """It surfaces as itself; the estimator keeps all attributes, and can be fitted again."""
    monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
    cut_work(Cut(min_shards=2))
    monkeypatch.setattr(Failing, "passes", 0)
    net = make_net(layers=[Failing(), Conv2D(2)])
    scores = net.fit(X, Y).decision_function(X)
    fitted = {name: joblib.hash(value) for name, value in vars(net).items() if name.endswith("_")}
    Failing.passes = 0
    with pytest.raises(type(error), match=f"{error}$"):
        net.set_params(layers=[Failing(error), Conv2D(2)]).fit(X, Y)
    assert {name: joblib.hash(value) for name, value in vars(net).items() if name.endswith("_")} == fitted
    assert_array_equal(net.decision_function(X), scores)
    Failing.passes = 0
    assert_array_equal(net.set_params(layers=[Failing(), Conv2D(2)]).fit(X, Y).decision_function(X), scores)
