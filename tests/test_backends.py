"""Backends: networks that compiled kernels train, and what happens without Numba."""

import os
import pickle
import sys
from functools import partial

import numpy as np
import pytest
from compiled_kernels import NUMBA, needs_numba
from joblib import Parallel, delayed
from numpy.testing import assert_allclose
from processes import run_script
from seeds import generator
from sklearn.datasets import load_digits
from small_classifiers import make_classifier, weights_of

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, ConvNetRegressor, Dense, MaxPool2D, ReLU, Residual
from skcnn.kernels import backends
from skcnn.kernels.table import NUMPY

X = generator(0).normal(size=(40, 17, 18, 3))
Y = np.arange(40) % 3

LAYERS = [
    *[Conv2D(16, 5), BatchNorm(), ReLU(), MaxPool2D()],
    *[Conv2D(16), ReLU(), MaxPool2D(3, strides=2, padding=1), BatchNorm()],
    *[Residual([Conv2D(16, 3, groups=2), BatchNorm(), ReLU()]), Dense(20), ReLU()],
]

make = partial(make_classifier, LAYERS, batch_size=10, max_iter=5, averaging=None, learning_rate_init=1e-3)


@needs_numba
@pytest.mark.parametrize("weights", [None, np.linspace(0, 2, 40)], ids=["equal", "weighted"])
def test_weights_in_float64_are_those_of_numpy_after_twenty_steps(weights):
    """Adam would divide the gradients of biases before a normalization, which are rounding, by themselves."""
    nets = [
        make(dtype="float64", solver="sgd", backend=backend).fit(X, Y, weights)
        for backend in ("numpy", "numba")
    ]
    expected, found = (np.concatenate([value.ravel() for value in weights_of(net).values()]) for net in nets)
    assert len(nets[0].batch_losses_) == 20
    assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@needs_numba
def test_first_steps_in_float32_are_those_of_numpy():
    """Later ones differ as much as those of numpy on images that are rounded in another way."""
    nets = [make(max_iter=1, dtype="float32", backend=backend).fit(X, Y) for backend in ("numpy", "numba")]
    assert_allclose(nets[1].batch_losses_[:2], nets[0].batch_losses_[:2], rtol=1e-5)


@needs_numba
def test_accuracies_on_images_are_alike():
    digits, labels = load_digits(return_X_y=True)
    scores = [
        ConvNetClassifier(max_iter=8, random_state=0, backend=backend)
        .fit(digits[:1200], labels[:1200])
        .score(digits[1200:], labels[1200:])
        for backend in ("numpy", "numba")
    ]
    assert min(scores) > 0.94
    assert abs(scores[0] - scores[1]) < 0.015


def bits(net):
    return b"".join(value.tobytes() for value in weights_of(net).values()) + net.predict_proba(X).tobytes()


def train():
    return bits(make(dtype="float32", backend="numba").fit(X, Y))


@needs_numba
def test_bits_do_not_depend_on_threads_workers_or_forks(monkeypatch):
    results = []
    for n_threads in (1, 2, 3, 8):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        results.append(train())
    results += Parallel(n_jobs=2)(delayed(train)() for _ in range(2))
    if hasattr(os, "fork"):
        results += Parallel(n_jobs=2, backend="multiprocessing")(delayed(train)() for _ in range(2))
    assert len(set(results)) == 1


@needs_numba
def test_a_network_predicts_with_either():
    net = make(dtype="float64", backend="numba").fit(X, Y)
    copied = pickle.loads(pickle.dumps(net))
    assert copied.backend == "numba"
    assert bits(copied) == bits(net)
    probabilities = net.predict_proba(X)
    numpy_probabilities = net.set_params(backend="numpy").predict_proba(X)
    assert_allclose(numpy_probabilities, probabilities, rtol=1e-9)
    assert not np.array_equal(numpy_probabilities, probabilities)


@needs_numba
def test_divergence_is_noticed():
    net = make(solver="sgd", learning_rate_init=1e30, backend="numba")
    with pytest.warns(UserWarning, match="not finite|became"):
        net.fit(X, Y)


@needs_numba
def test_regressors_have_backends():
    nets = [
        ConvNetRegressor(LAYERS, max_iter=1, dtype="float64", random_state=0, backend=backend).fit(X, Y)
        for backend in ("numpy", "numba")
    ]
    assert_allclose(nets[1].predict(X), nets[0].predict(X), rtol=1e-9)


@needs_numba
def test_without_a_folder_to_write_to_functions_are_compiled_each_time(monkeypatch):
    from skcnn.kernels.compiled import jit

    def njit(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'double': no locator available")
        return lambda function: function

    monkeypatch.setattr(jit.numba, "njit", njit)
    assert jit.compiled(abs)(-2) == 2


@needs_numba
@pytest.mark.costly
def test_compiled_code_is_read_from_the_cache(tmp_path, monkeypatch):
    """Also by a process that starts while another one writes it."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    script = """
        from test_backends import MaxPool2D, make_classifier, X, Y
        from skcnn.kernels.compiled.pooling import max_of_pairs
        make_classifier([MaxPool2D()], backend="numba", verbose=True, dtype="float32").fit(X, Y)
        print(sum(max_of_pairs.stats.cache_hits.values()))
        """
    results = Parallel(n_jobs=2, backend="threading")(delayed(run_script)(script) for _ in range(2))
    announcement = "compiling kernels, which takes some seconds once on a machine\n"
    assert [result.count(announcement) for result in results] == [1, 1]
    *lines, hits = run_script(script).splitlines()
    assert all(line.startswith("epoch") for line in lines)
    assert int(hits) == 1


# Without Numba


@pytest.fixture
def without_numba(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("skcnn.kernels.compiled")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    backends.kernels_or_numpy.cache_clear()
    yield
    backends.kernels_or_numpy.cache_clear()


def test_without_numba_a_fit_says_what_to_install(without_numba):
    net = make().fit(X, Y)
    before = net.model_
    with pytest.raises(ImportError, match=r"backend='numba'.*skcnn\[numba\]"):
        net.set_params(backend="numba").fit(X, Y)
    assert net.model_ is before


def test_without_numba_predictions_warn_once_and_use_numpy(without_numba):
    net = make().fit(X, Y)
    expected = net.predict_proba(X)
    net.set_params(backend="numba")
    with pytest.warns(UserWarning, match="backend='numba'") as caught:
        first, second = net.predict_proba(X), net.predict_proba(X)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert first.tobytes() == second.tobytes() == expected.tobytes()


def test_the_default_is_numpy_whatever_is_installed():
    assert ConvNetClassifier().backend == ConvNetRegressor().backend == "numpy"
    assert backends.kernels_of("numpy") is NUMPY
    assert NUMBA is None or NUMBA.backend == "numba"


def test_other_backends_are_refused():
    with pytest.raises(ValueError, match="'backend' parameter .*'cuda'"):
        make(backend="cuda").fit(X, Y)
    net = make().fit(X, Y).set_params(backend="cuda")
    with pytest.raises(ValueError, match="backend must be one of .* got 'cuda'"):
        net.predict(X)
