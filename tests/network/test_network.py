"""Tests of the network: where the parameters live, and how they start."""

import copy
import pickle

import numpy as np
import pytest
from reference import run_forward
from seeds import SEED, generator
from sklearn.base import clone
from small_networks import INPUT_SHAPE, stack

from skcnn.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    PatchWhitening,
    PReLU,
    ReLU,
    Residual,
    Tanh,
)
from skcnn.network.graph import compile_nodes
from skcnn.network.model import predict
from skcnn.network.network import Network, following_activation, init_network, network_with


def make_network(layers=None, input_shape=INPUT_SHAPE, dtype=np.float64, seed=0):
    nodes = compile_nodes(stack() if layers is None else layers, input_shape)
    return init_network(nodes, dtype=dtype, seed=SEED + seed)


def following(*layers):
    """Return the name of the activation that follows each node by its name, of layers a, b and so on."""
    nodes = compile_nodes(list(zip("abcdefghij", layers, strict=False)), (4, 4, 2))
    found = {node.name: following_activation(nodes, index) for index, node in enumerate(nodes)}
    return {name: None if activation is None else activation.name for name, activation in found.items()}


def test_the_following_activation_is_looked_for_through_layers_without_weights():
    front = [Conv2D(2), BatchNorm(), MaxPool2D(), ReLU(), Conv2D(2), Conv2D(2, activation="tanh")]
    found = following(*front, Dropout(), Flatten(), Dense(2), Dropout())
    assert found["a"] == found["b"] == "relu"
    assert found["e"] is None  # weights come first
    assert found["f"] == "tanh"
    assert found["f_tanh"] is None
    assert found["i"] is None


def test_the_activation_after_a_sum_follows_branch_and_projection():
    found = following(Residual([Conv2D(3, activation="tanh"), Conv2D(3), BatchNorm()], activation="relu"))
    assert found["a__conv2d_1"] == "tanh"
    for name in ("a__conv2d_2", "a__batchnorm_1", "a__projection", "a__projection__norm", "a"):
        assert found[name] == "relu"
    assert found["a_relu"] is None


def test_the_activation_after_branches_is_looked_for_through_all_that_joins_them():
    branches = Parallel([Conv2D(2, 1), [Conv2D(2, activation="tanh"), Conv2D(3)]])
    found = following(branches, BatchNorm(), Residual([MaxPool2D(3, strides=1, padding="same")]), ReLU())
    assert found["a__branch_1__conv2d_1"] == "tanh"
    for name in ("a__conv2d_1", "a__branch_1__conv2d_2", "a", "b", "c"):
        assert found[name] == "relu"


def test_of_several_readers_the_first_decides_what_follows():
    """After a convolution, blocks that begin with an activation, with weights, or with both side by side."""
    assert following(Conv2D(2), Residual([BatchNorm(), ReLU(), Conv2D(2)]))["a"] == "relu"
    assert following(Conv2D(2), Residual([Conv2D(2), Tanh()], activation="relu"))["a"] is None
    assert following(Conv2D(2), Parallel([Tanh(), ReLU()]))["a"] == "tanh"


class OwnActivation(ReLU):
    name, gain = None, 2.0


class WithoutGain(ReLU):
    name = gain = None


@pytest.mark.parametrize(
    ("activation", "variance"),
    [("relu", 2 / 400), (OwnActivation(), 4 / 400), (WithoutGain(), 2 / 800), (None, 2 / 800)],
)
def test_initial_weights_have_the_scale_of_the_following_activation(activation, variance):
    """He's for a rectifier, Glorot's where nothing asks for another."""
    network = make_network([("hidden", Dense(400, activation=activation))], (400,))
    assert network.params["hidden"]["weight"].std() == pytest.approx(np.sqrt(variance), rel=0.02)


def test_initial_weights_depend_on_the_seed_and_the_place_alone():
    network = make_network(seed=1)
    np.testing.assert_array_equal(network.vector, make_network(seed=1).vector)
    assert not np.array_equal(network.vector, make_network(seed=2).vector)
    single = make_network(dtype=np.float32, seed=1)
    np.testing.assert_array_equal(single.vector, network.vector.astype(np.float32))


def trained_params(network):
    """Return {(layer, parameter): array} of the parameters with a gradient, by their documented names."""
    return {
        (name, key): value
        for name, params in network.params.items()
        for key, value in params.items()
        if key in ("weight", "bias", "scale", "shift")
    }


def assert_aliases(network):
    """Prove that ``vector`` and ``params`` are the same memory, element for element."""
    original = network.vector.copy()
    network.vector[...] = np.arange(network.n_params)
    values = np.concatenate([value.ravel() for value in trained_params(network).values()])
    np.testing.assert_array_equal(np.sort(values), np.arange(network.n_params))
    for value in trained_params(network).values():
        value += 1
    np.testing.assert_array_equal(network.vector, np.arange(network.n_params) + 1)
    network.vector[...] = original


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_are_views_of_the_vector(dtype):
    network = make_network(dtype=dtype)
    views = network.views_of(network.vector)
    sizes = {name: tuple(value.size for value in params.values()) for name, params in views.items()}
    assert sizes == {"conv": (54, 3), "norm": (3, 3), "hidden": (90, 5), "norm2": (5, 5), "output": (10, 2)}
    assert network.n_params == network.vector.size == sum(map(sum, sizes.values()))
    assert network.vector.dtype == dtype
    assert all(value.dtype == dtype for value in trained_params(network).values())
    assert_aliases(network)


def test_decayed_parameters_come_first_in_the_vector():
    network = make_network()
    assert network.n_decayed == 54 + 90 + 10
    network.vector[: network.n_decayed] = 1
    network.vector[network.n_decayed :] = 0
    for (_, key), value in trained_params(network).items():
        assert (value == (key == "weight")).all()


def test_running_statistics_are_state_and_not_in_the_vector():
    network = make_network()
    assert set(network.buffers()) == {
        (name, key) for name in ("norm", "norm2") for key in ("running_mean", "running_variance", "n_updates")
    }
    for (name, key), value in network.buffers().items():
        assert network.params[name][key] is value
        assert not np.shares_memory(value, network.vector)


def test_set_state_casts_and_overwrites():
    network = make_network(dtype=np.float32)
    network.set_buffers({("norm", "running_mean"): [1.0, 2.0, 3.0], ("norm", "n_updates"): 4})
    np.testing.assert_array_equal(network.params["norm"]["running_mean"], [1, 2, 3])
    assert network.params["norm"]["running_mean"].dtype == np.float32
    assert network.params["norm"]["n_updates"].dtype == np.float64
    assert network.params["norm"]["n_updates"] == 4


def disturb(network):
    """Change all parameters, as a step of training does: weights in place, buffers replaced."""
    network.vector += 1
    network.set_buffers({where: value + 1 for where, value in network.buffers().items()})


def all_values(network):
    """Return copies of everything that a network must keep."""
    values = {(name, key): value.copy() for (name, key), value in trained_params(network).items()}
    return values | {where: value.copy() for where, value in network.buffers().items()}


def assert_same_values(network, expected):
    actual = all_values(network)
    assert set(actual) == set(expected)
    for where, value in expected.items():
        np.testing.assert_array_equal(actual[where], value, err_msg=str(where))


def test_a_snapshot_restores_weights_and_running_statistics_more_than_once():
    network = make_network()
    expected = all_values(network)
    vector = network.vector
    snapshot = network.snapshot()
    assert not np.shares_memory(snapshot[0], vector)
    for key, value in network.buffers().items():
        assert not np.shares_memory(snapshot[1][key], value)
    for _ in range(2):
        disturb(network)
        network.restore(snapshot)
        assert_same_values(network, expected)
    assert network.vector is vector
    assert_aliases(network)


def through_pickle(network):
    return pickle.loads(pickle.dumps(network))


@pytest.mark.parametrize("duplicate", [through_pickle, copy.deepcopy, Network.copy])
def test_a_duplicate_has_the_same_values_in_memory_of_its_own(duplicate):
    network = make_network()
    disturb(network)
    expected = all_values(network)
    other = duplicate(network)
    assert_same_values(other, expected)
    assert other.dtype == network.dtype
    assert [node.name for node in other.nodes] == [node.name for node in network.nodes]
    assert other.n_decayed == network.n_decayed
    assert_aliases(other)
    disturb(other)
    for value in other.buffers().values():
        value[...] = 7
    assert_same_values(network, expected)
    assert_aliases(network)


def test_a_network_may_have_no_parameters():
    network = make_network([("pool", GlobalAvgPool2D())])
    assert network.n_params == network.n_decayed == 0
    assert network.n_outputs == 2
    assert network.buffers() == {}
    network.restore(network.snapshot())


def test_a_layer_of_scalar_and_state_parameters_is_laid_out_too():
    """A layer that is not of this package: one number with a gradient, one without."""

    class Scale(BatchNorm):
        decayed_params = ("factor",)
        buffer_params = ("count",)

        def init_params(self, input_shape, *, activation, dtype, rng):
            return {"factor": np.asarray(3, dtype), "count": np.zeros((), np.int64)}

    network = make_network([("scale", Scale()), ("pool", GlobalAvgPool2D())])
    assert network.n_params == network.n_decayed == 1
    network.vector[0] = 5
    assert network.params["scale"]["factor"] == 5
    assert set(network.buffers()) == {("scale", "count")}


@pytest.mark.parametrize(
    ("layer", "input_shape", "shown", "n_weights"),
    [
        (Dense(10**30), (64,), f"units={10**30}", f"{64 * 10**30:,}"),
        (Conv2D(10**15, activation="relu"), (8, 8, 2), f"filters={10**15}", f"{18 * 10**15:,}"),
    ],
    ids=["more digits than a machine word", "convolution"],
)
def test_layers_too_large_for_memory_are_named(layer, input_shape, shown, n_weights):
    nodes = compile_nodes([("large", layer)], input_shape)
    message = rf"^layer 'large', {type(layer).__name__}\(.*{shown}.* {n_weights} weights"
    with pytest.raises(MemoryError, match=message):
        init_network(nodes, dtype=np.float32, seed=SEED)


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(0.5), PReLU(-1.0), PReLU(3.0)], ids=str)
def test_signals_keep_their_scale_through_many_layers(activation):
    """Thirty rectified layers neither blow up nor extinguish a signal.

    Each multiplies the mean square by one with a relative deviation of at most sqrt(5 / width), which is that
    of ReLU: for normal z, (E[f(z)^4] / E[f(z)^2]^2 - 1) / width = (6 (1 + a^4) / (1 + a^2)^2 - 1) / width.
    """
    width, depth = 256, 30
    layers = [
        layer for n in range(depth) for layer in ((f"d{n}", Dense(width)), (f"a{n}", clone(activation)))
    ]
    network = make_network([*layers, ("output", Dense(2))], (width,))
    signal = generator(0).standard_normal((64, width))
    for node in network.nodes[1:-1]:
        signal, _ = run_forward(node.layer, network.params.get(node.name, {}), signal, training=False)
    assert abs(np.log(np.square(signal).mean())) < 4 * np.sqrt(depth * 5 / width)


# constants, and parts of a network


def whitened_network():
    layers = [("white", PatchWhitening()), ("conv", Conv2D(2)), ("flat", Flatten()), ("dense", Dense(3))]
    return make_network(layers)


def test_constants_are_neither_trained_nor_state_and_copies_share_them():
    network = whitened_network()
    assert set(network.params["white"]) == {"weight", "bias"}
    assert network.trained == {"conv", "dense"}
    assert network.buffers() == {}
    assert set(network.views_of(network.vector)) == {"conv", "dense"}
    copied, pickled = network.copy(), through_pickle(network)
    for name, value in network.params["white"].items():
        assert copied.params["white"][name] is value
        np.testing.assert_array_equal(pickled.params["white"][name], value)


def test_a_part_of_a_network_shares_its_parameters_and_ends_flat():
    network = whitened_network()
    for index, channels in enumerate([16, 2], start=1):
        part = network.up_to(index)
        assert [node.name for node in part.nodes[:-1]] == [node.name for node in network.nodes[: index + 1]]
        assert part.n_outputs == INPUT_SHAPE[0] * INPUT_SHAPE[1] * channels
        assert part.nodes[-1].inputs == (index,)
        assert np.shares_memory(part.vector, network.vector)
    assert network.up_to(3).nodes == network.nodes[:4]
    assert len(network.nodes) == 5


def predictions(network, images):
    """Return what a network predicts for images (n, h, w, c), or vectors (n, f)."""

    def read(rows, out):
        np.copyto(out, images[rows].transpose(1, 2, 0, 3) if images.ndim == 4 else images[rows])

    return predict(network, read, len(images))


def joined_network():
    return make_network(
        [
            ("res", Residual([("conv", Conv2D(2, activation="relu"))])),
            ("norm", BatchNorm()),
            ("mixed", Parallel([("one", Conv2D(2)), ("same", "passthrough")])),
            ("flat", Flatten()),
            ("dense", Dense(3)),
        ]
    )


@pytest.mark.parametrize("make", [make_network, joined_network])
def test_a_network_after_a_node_goes_on_from_its_results(make):
    network, images = make(), generator(3).standard_normal((5, *INPUT_SHAPE))
    alone = {"conv", "conv_relu", "norm", "pool", "flatten", "hidden", "hidden_tanh", "norm2"}
    alone |= {"input", "res", "mixed", "flat"}
    expected, tried = predictions(network, images), []
    for index, node in enumerate(network.nodes):
        if node.name not in alone:
            continue
        results = predictions(network.up_to(index), images).reshape(5, *node.output_shape)
        after = network.after(index)
        names = [later.name for later in network.nodes[index + 1 :]]
        assert [later.name for later in after.nodes[1:]] == names
        assert set(after.params) == set(network.params) & set(names)
        assert after.trained == network.trained & set(names)
        np.testing.assert_allclose(predictions(after, results), expected, rtol=0, atol=1e-12)
        tried.append(node.name)
    assert len(tried) >= 5


def test_there_is_no_network_after_a_node_that_others_go_around():
    network = joined_network()
    names = [node.name for node in network.nodes]
    for name, reader in {"res__conv": "res", "res__conv_relu": "res", "mixed__one": "mixed"}.items():
        with pytest.raises(ValueError, match=f"layer '{name}' .*'{reader}'"):
            network.after(names.index(name))


def test_a_network_of_parameters_has_copies_in_their_places():
    """So has one after a node, here after the input."""
    for network in (make_network(dtype=np.float32), whitened_network()):
        other = network_with(network.nodes, network.params, network.dtype)
        for kept in ("nodes", "dtype", "n_decayed"):
            assert getattr(other, kept) == getattr(network, kept)
        assert other.vector.dtype == network.dtype
        np.testing.assert_array_equal(other.vector, network.vector)
        assert not np.shares_memory(network.after(0).vector, network.vector)
        assert other.buffers().keys() == network.buffers().keys()
        for name, values in network.params.items():
            for key, value in values.items():
                np.testing.assert_array_equal(other.params[name][key], value)
                assert not np.shares_memory(other.params[name][key], value)
    assert_aliases(network_with(make_network().nodes, make_network().params, "float64"))
