"""Tests of the setup: what predictions keep from call to call, as long as it is true."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from seeds import generator
from small_networks import chain

from skcnn.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Flatten, Layer, PatchWhitening, ReLU
from skcnn.network.model import predict
from skcnn.network.setup import Setup, image_bytes, prediction_setup

SHAPE = (6, 5, 16)
X = generator(1).standard_normal((6, 5, 3, 16))


class Doubled(Layer):
    """Prepares twice a number; ``meanwhile`` is called before."""

    def __init__(self, meanwhile=None):
        self.meanwhile = meanwhile

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"half": np.ones(1, dtype)}

    def prepare(self, params, plan, *, training, memory):
        if self.meanwhile is not None:
            self.meanwhile()
        return 2 * params["half"]

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, unit.prepared, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, unit.prepared, out=out)


LAYERS = {
    "columns": [Conv2D(3)],
    "folded columns": [Conv2D(3), BatchNorm(), ReLU()],
    "folded Winograd": [Conv2D(16, use_bias=False), BatchNorm()],
    "folded depthwise": [DepthwiseConv2D(), BatchNorm()],
    "not folded": [ReLU(), BatchNorm()],
    "constants": [PatchWhitening(4)],
    "vectors": [Flatten(), BatchNorm()],
    "of a user": [Doubled()],
}


def network_of(layers):
    flatten = [] if any(isinstance(layer, Flatten) for layer in layers) else [Flatten()]
    return chain(*layers, *flatten, Dense(4), input_shape=SHAPE, dtype=np.float32)


def scores_of(network):
    return predict(network, lambda rows, out: np.copyto(out, X[:, :, rows]), X.shape[2])


def test_frozen_layers_prepare_once_and_others_each_time():
    calls = []
    layers = [Doubled(lambda number=number: calls.append(number)) for number in range(2)]
    network = network_of(layers)
    frozen = {network.nodes[1].name}
    setup = Setup(network.nodes, network.params, network.dtype, network.trained, frozen=frozen)
    first = list(setup.prepare(training=True))
    network.vector[...] *= 2
    for before, after, factor in zip(first[1:3], setup.prepare(training=True)[1:3], (1, 2), strict=True):
        assert_array_equal(after, factor * before)
    assert calls == [0, 1, 1]


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_scores_are_those_of_parameters_written_in_place(layers):
    """Of one number of every parameter, and of the vector of all."""
    network = network_of(layers)
    before, setup = scores_of(network), prediction_setup(network)
    assert_array_equal(scores_of(network), before)
    assert prediction_setup(network) is setup
    for own in network.params.values():
        for value in own.values():
            value.reshape(-1)[-1] += 1
            assert_array_equal(scores_of(network), scores_of(pickle.loads(pickle.dumps(network))))
            value.reshape(-1)[-1] -= 1
    network.vector[...] *= 2
    after = scores_of(network)
    assert_array_equal(after, scores_of(pickle.loads(pickle.dumps(network))))
    assert not np.array_equal(after, before)


def test_the_sign_of_a_zero_is_seen_and_nan_is_no_change():
    network = network_of(LAYERS["of a user"])
    half = network.params["layer1"]["half"]
    half[...] = 0
    setup = prediction_setup(network)
    half[...] = -0.0
    assert np.signbit(prediction_setup(network).prepared[1]).all()
    half[...] = np.nan
    setup = prediction_setup(network)
    assert prediction_setup(network) is setup


def test_layers_that_prepare_nothing_are_not_copied():
    network = network_of([Conv2D(2), Flatten(), Dense(50)])
    *_, dense, output = prediction_setup(network).params
    assert np.shares_memory(dense["weight"], network.vector)
    assert np.shares_memory(output["weight"], network.vector)


def test_copies_have_no_setup():
    """Pickles are no longer after a prediction than before."""
    network = network_of(LAYERS["folded columns"])
    before = pickle.dumps(network)
    scores_of(network)
    assert pickle.dumps(network) == before
    copies = [pickle.loads(before), network.copy(), copy.copy(network), copy.deepcopy(network)]
    assert [other.prediction_setup for other in copies] == [None] * 4


def test_what_is_written_while_layers_prepare_and_taken_back_has_no_effect():
    """By another thread, whose part the first layer plays here."""
    network = network_of([Doubled(), Conv2D(3), BatchNorm()])
    expected, before = scores_of(network.copy()), network.vector.copy()
    doubled = network.nodes[1].layer
    doubled.meanwhile = lambda: np.add(network.vector, 1, out=network.vector)
    setup = prediction_setup(network)
    doubled.meanwhile = None
    network.vector[...] = before
    assert prediction_setup(network) is setup
    assert_array_equal(scores_of(network), expected)


def test_threads_that_begin_together_get_the_same_bits():
    network = network_of(LAYERS["folded Winograd"])
    expected = scores_of(network.copy())
    start = Barrier(8, timeout=60)

    def predict_together(_):
        start.wait()
        return scores_of(network)

    with ThreadPoolExecutor(8) as pool:
        for scores in pool.map(predict_together, range(8)):
            assert_array_equal(scores, expected)


def test_the_hungriest_node_needs_the_memory_of_its_images_and_its_scratch():
    """A convolution of 3 * 3 * 2 columns, one more for the bias, for 5x6 pixels padded to 7x8."""
    nodes = chain(Conv2D(4), Flatten(), Dense(3)).nodes
    elements = 30 * 2 + 30 * 4 + 30 * (18 + 1) + 56 * 2
    assert image_bytes(nodes, np.dtype("float64")) == 8 * elements
    assert image_bytes(nodes, np.dtype("float32")) == 4 * elements
