"""Weights that start from the training data, in networks and in the estimator."""

import time
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference import conv2d
from seeds import SEED, generator
from small_classifiers import make_classifier
from small_trainings import make_data, make_network, repetitions

from skcnn import GELU, BatchNorm, Conv2D, Dense, Flatten, Layer, MaxPool2D, PatchWhitening, ReLU, Residual
from skcnn.network.cut import Cut
from skcnn.network.threads import worker_pool
from skcnn.random_streams import RandomStreams
from skcnn.training.data_initialization import Results, initialize_from_data

X = generator(0).normal(size=(60, 8, 8, 3)).astype(np.float32).cumsum(axis=1).cumsum(axis=2)
Y = np.arange(60) % 3


def start(network, data, *, unit_variance=False, batch_size=100, seed=SEED):
    options = {"unit_variance": unit_variance, "batch_size": batch_size, "seed": seed}
    with worker_pool() as pool:
        initialize_from_data(network, data, pool=pool, **options)
    return network


def results(network, index, data, rows=None):
    """Return the results of a node for some samples, and as a layer sees those of all."""
    with worker_pool() as pool:
        found = Results(network, index, data, SEED, pool)
        return found.of(np.arange(len(data.images)) if rows is None else rows), list(found)


# what a layer sees


class Noting(Layer):
    """Passes its input on and notes what it sees of the training data."""

    seen = None

    def init_from_data(self, params, inputs):
        Noting.seen = [(X.copy(), weights) for X, weights in inputs]

    def forward(self, params, X, unit, *, training, out):
        np.copyto(out, X)
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        return dY


def test_a_layer_sees_what_reaches_it_of_all_samples(cut_work):
    """Chunk by chunk, in the order of the samples and in the layout of layers."""
    cut_work(Cut(init_bytes=8 * 3 * 4 * 5 * 6))  # six images of five channels
    weights = np.linspace(0.5, 2, 20)
    network, data = make_network(Conv2D(5), ReLU(), Noting(), Flatten(), Dense(3)), make_data(weights=weights)
    start(network, data)
    assert [chunk.shape for chunk, _ in Noting.seen] == [(3, 4, 6, 5)] * 3 + [(3, 4, 2, 5)]
    together = np.concatenate([chunk for chunk, _ in Noting.seen], axis=2)
    X_read, params = data.images.X.transpose(1, 2, 0, 3), network.params["layer0"]
    expected = np.maximum(conv2d(X_read, params["weight"], params["bias"], padding=((1, 1), (1, 1))), 0)
    assert_allclose(together, expected, rtol=0, atol=1e-12)
    seen = np.concatenate([block_weights for _, block_weights in Noting.seen])
    assert_array_equal(4 * seen, weights)  # times a power of two, for the largest to be at most one


def test_images_are_seen_as_the_network_reads_them():
    data = make_data()
    flat, ((X_seen, weights),) = results(make_network(), 0, data)
    assert_array_equal(flat, data.images.X.reshape(20, -1))
    assert_array_equal(X_seen, data.images.X.transpose(1, 2, 0, 3))
    assert weights is None


def test_nothing_is_made_for_layers_that_do_not_ask():
    network = make_network(Conv2D(5), BatchNorm(), Flatten(), Dense(3))
    initialize_from_data(network, None, unit_variance=False, batch_size=100, seed=None, pool=None)


def test_a_layer_that_cannot_use_the_data_is_named():
    class Refusing(Noting):
        def init_from_data(self, params, inputs):
            raise ValueError("these are too blue")

    with pytest.raises(ValueError, match=r"layer 'layer1', Refusing\(\): these are too blue"):
        start(make_network(Flatten(), Refusing(), Dense(3)), make_data())


# unit variance


def test_every_layer_with_weights_gives_a_variance_of_one():
    """By the weights of the samples, about the mean over all results."""
    weights = generator(1).uniform(0.2, 2, 20)
    data = make_data(weights=weights)
    branch = Residual([Conv2D(5, use_bias=False), ReLU(), Conv2D(5, use_bias=False)])
    dense = [Dense(6, use_bias=False), ReLU(), Dense(3, use_bias=False)]
    layers = [Conv2D(5, use_bias=False), ReLU(), branch, Flatten(), *dense]
    network = start(make_network(*layers), data, unit_variance=True)
    scaled = [index for index, node in enumerate(network.nodes) if node.layer and node.layer.decayed_params]
    assert len(scaled) == 5
    for index in scaled:
        values, _ = results(network, index, data)
        factors = np.repeat(weights, values.shape[1])
        mean = np.average(values.ravel(), weights=factors)
        assert np.average((values.ravel() - mean) ** 2, weights=factors) == pytest.approx(1, rel=1e-12)


def test_only_the_scale_of_weights_changes():
    before, network = (make_network(Conv2D(5), Flatten(), Dense(3)) for _ in range(2))
    start(network, make_data(), unit_variance=True)
    for name, values in network.params.items():
        ratio = values["weight"] / before.params[name]["weight"]
        assert_allclose(ratio, ratio.flat[0], rtol=1e-12)
        assert_array_equal(values["bias"], before.params[name]["bias"])


def test_a_minibatch_stands_for_many_samples():
    data, network = make_data(), make_network(Flatten(), Dense(3, use_bias=False))
    rows = RandomStreams(SEED).generator("data_initialization").permutation(20)[:8]
    start(network, data, unit_variance=True, batch_size=8)
    assert results(network, 2, data, rows)[0].var() == pytest.approx(1, rel=1e-12)
    assert results(network, 2, data)[0].var() != pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("dtype", "factor"), [("float32", 1e-42), ("float64", 1e-310), ("float64", 1e200), ("float64", 0.0)]
)
def test_weights_are_left_where_they_would_not_be_finite(dtype, factor):
    """Divided by the deviation of tiny results or of none, or by that of huge ones, which is not finite."""
    data = make_data(dtype=dtype)
    data.images.X = data.images.X * np.dtype(dtype).type(factor)
    network = make_network(Flatten(), Dense(3, use_bias=False), dtype=dtype)
    before = network.vector.copy()
    start(network, data, unit_variance=True)
    assert_array_equal(network.vector, before)


def test_weights_equal_repetition():
    layers = [PatchWhitening(), GELU(), Conv2D(4), BatchNorm(), Flatten(), Dense(3)]
    weighted, repeated = (
        start(make_network(*layers), data, unit_variance=True) for data in repetitions(make_data())
    )
    assert_allclose(weighted.vector, repeated.vector, rtol=0, atol=1e-9)
    for name in ("weight", "bias"):
        actual, expected = (network.params["layer0"][name] for network in (weighted, repeated))
        assert_allclose(actual, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_the_seed_chooses_the_minibatch_that_scales():
    first, other = (
        start(make_network(), make_data(), unit_variance=True, batch_size=5, seed=seed)
        for seed in (SEED, SEED + 1)
    )
    assert (first.vector != other.vector).any()


# in the estimator


LAYERS = [PatchWhitening(activation="gelu"), Conv2D(16), BatchNorm(), ReLU(), MaxPool2D(), Dense(8)]
make_net = partial(make_classifier, layers=LAYERS, batch_size=20)


def whitening_of(net):
    return net.network_.params["patchwhitening_1"]


def test_whitening_follows_from_the_data_and_stays():
    """It is not trained, decayed or counted, and further training leaves it, on other data, too."""
    net = make_net(alpha=10.0, warm_start=True).fit(X, Y)
    before = {name: value.copy() for name, value in whitening_of(net).items()}
    other = make_net(max_iter=1, random_state=SEED + 1, alpha=0.0).fit(X, Y)
    for name, value in whitening_of(other).items():
        assert_array_equal(value, before[name])
    net.fit(X[::-1] * 3, Y[::-1])
    for name, value in whitening_of(net).items():
        assert_array_equal(value, before[name])
    trained = (
        value.size
        for name, params in net.network_.params.items()
        for key, value in params.items()
        if name != "patchwhitening_1" and "running" not in key and key != "n_updates"
    )
    assert net.n_params_ == net.network_.vector.size == sum(trained)


@pytest.mark.parametrize(
    "params",
    [{"averaging": "ema"}, {"averaging": "swa"}, {"solver": "lbfgs"}, {"early_stopping": True}],
    ids=str,
)
def test_averages_line_searches_and_restored_weights_keep_the_whitening(params):
    """They replace running statistics, for which constants must not be taken."""
    expected = make_net(max_iter=1).fit(X, Y)
    validation = {"X_val": X[:10], "y_val": Y[:10]} if "early_stopping" in params else {}
    net = make_net(**params).fit(X, Y, **validation)
    assert_array_equal(whitening_of(net)["weight"], whitening_of(expected)["weight"])


def test_data_initialization_has_the_same_bits_on_any_number_of_threads(monkeypatch):
    layers = [Conv2D(24), ReLU(), PatchWhitening(16), Conv2D(32, strides=2), ReLU()]
    nets = []
    for number in (1, 2, 5):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(number))
        nets.append(make_net(layers=layers, init_scaling="unit_variance").fit(X, Y))
    for other in nets[1:]:
        assert_array_equal(other.network_.vector, nets[0].network_.vector)
        assert_array_equal(whitening_of(other)["weight"], whitening_of(nets[0])["weight"])


def test_partial_fit_starts_from_the_first_chunk_alone():
    net = make_net().partial_fit(X[:30], Y[:30], classes=[0, 1, 2])
    before = whitening_of(net)["weight"].copy()
    assert_array_equal(before, whitening_of(make_net().fit(X[:30], Y[:30]))["weight"])
    assert_array_equal(whitening_of(net.partial_fit(X[30:], Y[30:]))["weight"], before)


def test_images_too_large_to_be_whitened_are_refused_and_name_the_layer():
    net = make_net(input_scaling=None).fit(X, Y)
    before = dict(vars(net))
    with pytest.raises(ValueError, match="layer 'patchwhitening_1', .* not finite in float32"):
        net.fit(X * np.float32(1e30), Y)
    assert vars(net) == before


@pytest.mark.parametrize("exponent", [-900, -160, 125, 1000])
def test_the_scale_of_sample_weights_does_not_matter(exponent):
    """Powers of two change no bit, though float32 has no such numbers."""
    weights = generator(4).uniform(0.5, 2, 60)
    net, other = (
        make_net(init_scaling="unit_variance", max_iter=1).fit(X, Y, weights * factor)
        for factor in (1, 2.0**exponent)
    )
    assert_array_equal(whitening_of(other)["weight"], whitening_of(net)["weight"])
    assert_array_equal(other.network_.vector, net.network_.vector)


def test_the_estimator_scales_by_its_seed_and_minibatch(monkeypatch):
    """And the time that this takes counts towards max_time."""
    calls = []

    def record(network, data, *, unit_variance, given, batch_size, seed, pool):
        calls.append((unit_variance, batch_size, seed))

    monkeypatch.setattr("skcnn.training.fit.initialize_from_data", record)
    net = make_net(warm_start=True, init_scaling="unit_variance").fit(X, Y)
    assert calls == [(True, 20, net._training_state.seed)]
    net.fit(X, Y)
    assert len(calls) == 1

    def slow(network, data, **options):
        time.sleep(0.2)

    monkeypatch.setattr("skcnn.training.fit.initialize_from_data", slow)
    assert make_net(max_iter=50, max_time=0.2).fit(X, Y).t_ == 20


def test_some_rows_count_like_all_others():
    """Samples of weight zero are no part of the data that initialization looks at."""
    weights = np.where(np.arange(60) < 40, 1.0, 0.0)
    net = make_net().fit(X, Y, weights)
    expected = make_net().fit(X[:40], Y[:40])
    assert_array_equal(whitening_of(net)["weight"], whitening_of(expected)["weight"])
