"""Backends: networks that compiled kernels train, and what happens without Numba."""

import os
import pickle
import sys

import numpy as np
import pytest
from compiled_kernels import needs_numba
from joblib import Parallel, delayed
from numpy.testing import assert_allclose
from processes import run_script
from seeds import generator
from sklearn.datasets import load_digits
from small_classifiers import make_classifier, weights_of

from skcnn import (
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    ConvNetFeatures,
    ConvNetRegressor,
    Dense,
    MaxPool2D,
    ReLU,
    Residual,
)
from skcnn.kernels import backends
from skcnn.kernels.table import NUMPY

X = generator(0).normal(size=(40, 17, 18, 3))
Y = np.arange(40) % 3

LAYERS = [
    *[Conv2D(16, 5), BatchNorm(), ReLU(), MaxPool2D()],
    *[Conv2D(16), ReLU(), MaxPool2D(3, strides=2, padding=1), BatchNorm()],
    *[Residual([Conv2D(16, 3, groups=2), BatchNorm(), ReLU()]), Dense(20), ReLU()],
]


def make(layers=LAYERS, **params):
    options = {"batch_size": 10, "max_iter": 5, "averaging": None, "learning_rate_init": 1e-3}
    return make_classifier(layers, **(options | params))


def fit_both(train):
    """Return the weights of networks that numpy and Numba train in float64, each as a vector."""
    options = {"dtype": "float64", "solver": "sgd"}
    nets = [train(make(**options, backend=backend)) for backend in ("numpy", "numba")]
    return [np.concatenate([value.ravel() for value in weights_of(net).values()]) for net in nets]


def train_chunks(net):
    for rows in (slice(0, 20), slice(20, 21), slice(21, 40)):
        net.partial_fit(X[rows], Y[rows], classes=[0, 1, 2])
    return net


TRAININGS = {  # Adam would divide gradients of biases before a normalization, mere rounding, by themselves
    "plain": lambda net: net.fit(X, Y),
    "weights": lambda net: net.fit(X, Y, np.linspace(0, 2, 40)),
    "chunks": train_chunks,
    "lbfgs": lambda net: net.set_params(solver="lbfgs", max_iter=3).fit(X, Y),
    "frozen": lambda net: net.set_params(learning_rate_factors={"conv2d_1": 0, "batchnorm_1": 0}).fit(X, Y),
    "average": lambda net: net.set_params(averaging="ema", early_stopping=True).fit(X, Y),
    "augmentation": lambda net: net.set_params(augmentation="auto").fit(X, Y),
}


@needs_numba
@pytest.mark.parametrize("train", TRAININGS.values(), ids=TRAININGS)
def test_weights_in_float64_are_those_of_numpy_after_twenty_steps(train):
    """But for rounding, which shows that others have computed them."""
    expected, found = fit_both(train)
    assert (found != expected).any()
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
def test_features_are_computed_by_the_backend_of_their_network():
    features = ConvNetFeatures(make(dtype="float64", backend="numba"), layer="conv2d_2").fit(X, Y)
    found = features.transform(X)
    expected = features.set_params(estimator__backend="numpy")
    features.estimator_.set_params(backend="numpy")
    assert (found != expected.transform(X)).any()
    assert_allclose(found, expected.transform(X), rtol=1e-9, atol=1e-12)


class Own(ReLU):
    """A layer whose hyperparameters have the names that the package could use."""

    def __init__(self, kernels=3, backend="mine"):
        self.kernels = kernels
        self.backend = backend


@needs_numba
def test_layers_of_ones_own_keep_what_they_are():
    own = Own()
    net = make([Conv2D(4), own, BatchNorm(), own], backend="numba").fit(X, Y)
    assert net.predict(X).shape == (40,)
    assert vars(own) == {"kernels": 3, "backend": "mine"}
    assert "Own()" in str(net.summary())


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
    expected, found = (net.predict(X) for net in nets)
    assert (found != expected).any()
    assert_allclose(found, expected, rtol=1e-9)


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
        from test_backends import MaxPool2D, make, X, Y
        from skcnn.kernels.compiled.pooling import max_of_pairs
        make([MaxPool2D()], backend="numba", verbose=True, dtype="float32").fit(X, Y)
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
    backends._warn_once.cache_clear()


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


def test_other_backends_are_refused():
    with pytest.raises(ValueError, match="'backend' parameter .*'cuda'"):
        make(backend="cuda").fit(X, Y)
    net = make().fit(X, Y).set_params(backend="cuda")
    with pytest.raises(ValueError, match="backend must be one of .* got 'cuda'"):
        net.predict(X)
