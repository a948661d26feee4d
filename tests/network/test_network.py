"""Tests of the network: where the parameters live, and how they start."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
from reference import run_forward
from seeds import SEED, generator
from sklearn.base import clone
from small_networks import INPUT_SHAPE, stack

from skcnn.layers import (
    Activation,
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
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.network import Network, following_activation, init_network, network_with
from skcnn.network.threads import worker_pool


def make_network(layers=None, input_shape=INPUT_SHAPE, dtype=np.float64, seed=0):
    nodes = compile_nodes(stack() if layers is None else layers, input_shape)
    return init_network(nodes, dtype=dtype, seed=SEED + seed)


def following(nodes):
    """Return the name of the activation that follows each node, by the name of the node."""
    found = {node.name: following_activation(nodes, index) for index, node in enumerate(nodes)}
    return {name: None if activation is None else activation.name for name, activation in found.items()}


def test_the_following_activation_is_looked_for_through_layers_without_weights():
    nodes = compile_nodes(
        [
            ("first", Conv2D(2)),
            ("norm", BatchNorm()),
            ("pool", MaxPool2D()),
            ("relu", ReLU()),
            ("second", Conv2D(2)),
            ("third", Conv2D(2, activation="tanh")),
            ("drop", Dropout()),
            ("flatten", Flatten()),
            ("output", Dense(2)),
            ("after", Dropout()),
        ],
        (4, 4, 1),
    )
    found = following(nodes)
    assert found["first"] == found["norm"] == "relu"
    assert found["second"] is None  # weights come first
    assert found["third"] == "tanh"
    assert found["third_tanh"] is None
    assert found["output"] is None


def followers(*layers):
    """Return what follows each node by its name, of layers called first, second and so on."""
    names = ("first", "second", "third", "fourth")
    nodes = compile_nodes(list(zip(names, layers, strict=False)), (4, 4, 2))
    return following(nodes)


def test_the_activation_after_a_sum_follows_branch_and_projection():
    found = followers(Residual([Conv2D(3, activation="tanh"), Conv2D(3), BatchNorm()], activation="relu"))
    assert found["first__conv2d_1"] == "tanh"
    assert found["first__conv2d_2"] == found["first__batchnorm_1"] == "relu"
    assert found["first__projection"] == found["first__projection__norm"] == "relu"
    assert found["first"] == "relu"
    assert found["first_relu"] is None


def test_the_activation_after_branches_is_looked_for_through_all_that_joins_them():
    branches = Parallel([Conv2D(2, 1), [Conv2D(2, activation="tanh"), Conv2D(3)]])
    found = followers(branches, BatchNorm(), Residual([MaxPool2D(3, strides=1, padding="same")]), ReLU())
    assert found["first__branch_1__conv2d_1"] == "tanh"
    assert found["first__conv2d_1"] == found["first__branch_1__conv2d_2"] == "relu"
    assert found["first"] == found["second"] == found["third"] == "relu"


def test_of_several_readers_the_first_decides_what_follows():
    """After a convolution, blocks that begin with an activation, with weights, or with both side by side."""
    assert followers(Conv2D(2), Residual([BatchNorm(), ReLU(), Conv2D(2)]))["first"] == "relu"
    assert followers(Conv2D(2), Residual([Conv2D(2), Tanh()], activation="relu"))["first"] is None
    assert followers(Conv2D(2), Parallel([Tanh(), ReLU()]))["first"] == "tanh"


def test_initial_weights_have_the_scale_of_the_following_activation():
    """He before a rectifier, Glorot before the end: sqrt(2 / 400) and sqrt(2 / 800)."""
    layers = [("hidden", Dense(400, activation="relu")), ("output", Dense(400))]
    network = make_network(layers, (400,))
    assert network.params["hidden"]["weight"].std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert network.params["output"]["weight"].std() == pytest.approx(np.sqrt(2 / 800), rel=0.02)


def test_initial_weights_depend_on_the_seed_and_the_place_alone():
    network = make_network(seed=1)
    np.testing.assert_array_equal(network.vector, make_network(seed=1).vector)
    assert not np.array_equal(network.vector, make_network(seed=2).vector)
    np.testing.assert_array_equal(
        make_network(dtype=np.float32, seed=1).vector, network.vector.astype(np.float32)
    )


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
    sizes = {key: value.size for key, value in trained_params(network).items()}
    assert sizes == {
        ("conv", "weight"): 54,
        ("conv", "bias"): 3,
        ("norm", "scale"): 3,
        ("norm", "shift"): 3,
        ("hidden", "weight"): 90,
        ("hidden", "bias"): 5,
        ("norm2", "scale"): 5,
        ("norm2", "shift"): 5,
        ("output", "weight"): 10,
        ("output", "bias"): 2,
    }
    assert network.n_params == network.vector.size == sum(sizes.values())
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


def test_views_of_a_gradient_lie_as_the_parameters_do():
    network = make_network()
    gradient = generator(0).standard_normal(network.n_params)
    views = network.views_of(gradient)
    np.copyto(network.vector, gradient)
    for (name, key), value in trained_params(network).items():
        np.testing.assert_array_equal(views[name][key], value)
        assert np.shares_memory(views[name][key], gradient)
    assert sum(view.size for params in views.values() for view in params.values()) == gradient.size


def test_only_layers_with_a_gradient_are_trained():
    assert make_network().trained == {"conv", "norm", "hidden", "norm2", "output"}


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


def through_joblib(network):
    file = io.BytesIO()
    joblib.dump(network, file)
    file.seek(0)
    return joblib.load(file)


DUPLICATES = [through_pickle, through_joblib, copy.deepcopy, Network.copy]


@pytest.mark.parametrize("duplicate", DUPLICATES)
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


@pytest.mark.parametrize("duplicate", [copy.copy, lambda network: copy.copy(through_pickle(network))])
def test_a_shallow_copy_aliases_too(duplicate):
    assert_aliases(duplicate(make_network()))


def test_a_pickle_is_little_more_than_the_weights():
    layers = [("flatten", Flatten()), ("hidden", Dense(200)), ("norm", BatchNorm()), ("output", Dense(10))]
    network = make_network(layers, (28, 28, 1), dtype=np.float32)
    assert len(pickle.dumps(network)) < network.vector.nbytes + 10_000


def test_multiply_adds_by_hand():
    network = make_network()
    norms = 4 * 6 * 3 + 5
    assert network.multiply_adds() == 4 * 6 * 3 * 3 * 3 * 2 + 18 * 5 + 5 * 2 + norms


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
        state_params = ("count",)

        def init_params(self, input_shape, *, activation, dtype, rng):
            return {"factor": np.asarray(3, dtype), "count": np.zeros((), np.int64)}

    network = make_network([("scale", Scale()), ("pool", GlobalAvgPool2D())])
    assert network.n_params == network.n_decayed == 1
    network.vector[0] = 5
    assert network.params["scale"]["factor"] == 5
    assert set(network.buffers()) == {("scale", "count")}


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize(
    ("layer", "input_shape", "shown", "expected"),
    [
        (Dense(10**15), (64,), "units=1000000000000000", "64,000,000,000,000,000 weights, of shape (64, "),
        (Dense(10**30), (64,), f"units={10**30}", f"{64 * 10**30:,} weights, of shape (64, "),
        (
            Conv2D(10**15),
            (8, 8, 2),
            "filters=1000000000000000",
            "18,000,000,000,000,000 weights, of shape (3",
        ),
    ],
    ids=["dense", "more digits than a machine word", "convolution"],
)
def test_layers_too_large_for_memory_are_named(layer, input_shape, shown, expected, activation):
    nodes = compile_nodes([("large", clone(layer).set_params(activation=activation))], input_shape)
    with pytest.raises(MemoryError) as info:
        init_network(nodes, dtype=np.float32, seed=SEED)
    message = str(info.value)
    assert message.startswith(f"layer 'large', {type(layer).__name__}(")
    assert shown in message
    assert f"no memory for {expected}" in message


def test_the_following_activation_is_the_layer_itself():
    relu = LeakyReLU(0.3)
    nodes = compile_nodes([("conv", Conv2D(2)), ("relu", relu)], INPUT_SHAPE)
    assert following_activation(nodes, 1) is relu


def test_before_an_activation_without_name_and_gain_weights_are_glorot_uniform():
    class Cube(Activation):
        def forward(self, params, X, unit, *, training, out):
            return np.power(X, 3, out=out)

        def backward(self, params, dY, unit, *, need_dX, out):
            raise AssertionError("not called here")

    network = make_network([("dense", Dense(400)), ("cube", Cube())], (400,))
    weight, bound = network.params["dense"]["weight"], np.sqrt(6 / 800)
    assert 0.99 * bound < np.abs(weight).max() <= bound


def test_before_an_activation_of_ones_own_weights_have_its_gain():
    class Halving(ReLU):
        name = None
        gain = 2.0

    network = make_network([("dense", Dense(400)), ("halving", Halving())], (400,))
    assert network.params["dense"]["weight"].std() == pytest.approx(2 / np.sqrt(400), rel=0.02)


@pytest.mark.parametrize(
    "activation", [ReLU(), *map(LeakyReLU, (0.0, 0.5, 1.0)), *map(PReLU, (0.5, 1.0, -1.0, 3.0))], ids=str
)
def test_signals_keep_their_scale_through_many_layers(activation):
    """Thirty rectified layers neither blow up nor extinguish a signal.

    Each multiplies the mean square by one with a relative deviation of at most sqrt(5 / width), which is that
    of ReLU: for normal z, (E[f(z)^4] / E[f(z)^2]^2 - 1) / width = (6 (1 + a^4) / (1 + a^2)^2 - 1) / width.
    """
    width, depth = 256, 30
    layers = [
        pair for n in range(depth) for pair in ((f"dense{n}", Dense(width)), (f"act{n}", clone(activation)))
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


def test_constants_are_neither_trained_nor_state():
    network = whitened_network()
    assert set(network.params["white"]) == {"weight", "bias"}
    assert network.trained == {"conv", "dense"}
    assert network.buffers() == {}
    assert set(network.views_of(network.vector)) == {"conv", "dense"}


def test_copies_share_constants_and_pickles_keep_them():
    network = whitened_network()
    copied, pickled = network.copy(), pickle.loads(pickle.dumps(network))
    for name in ("weight", "bias"):
        assert copied.params["white"][name] is network.params["white"][name]
        np.testing.assert_array_equal(pickled.params["white"][name], network.params["white"][name])


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

    with worker_pool() as pool:
        out = np.empty((len(images), network.n_outputs), network.dtype)
        return Executor(network, pool, training=False).predict(Batch(len(images), read), out)


def joined_network():
    """Return a network that joins branches twice, with a layer alone between."""
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
        assert [later.name for later in after.nodes[1:]] == [
            later.name for later in network.nodes[index + 1 :]
        ]
        np.testing.assert_allclose(predictions(after, results), expected, rtol=0, atol=1e-12)
        tried.append(node.name)
    assert len(tried) >= 5


def test_there_is_no_network_after_a_node_that_others_go_around():
    network = joined_network()
    names = [node.name for node in network.nodes]
    for name, reader in {"res__conv": "res", "res__conv_relu": "res", "mixed__one": "mixed"}.items():
        message = f"does not go through layer '{name}' alone: '{reader}' reads what comes before it"
        with pytest.raises(ValueError, match=message):
            network.after(names.index(name))


def test_a_network_after_a_node_has_parameters_of_its_own():
    network = make_network()
    after = network.after(3)
    assert set(after.params) == {"hidden", "norm2", "output"}
    assert after.trained == {"hidden", "norm2", "output"}
    for name, values in after.params.items():
        for key, value in values.items():
            np.testing.assert_array_equal(value, network.params[name][key])
            assert not np.shares_memory(value, network.params[name][key])


def test_a_network_of_parameters_has_copies_in_their_places():
    for network in (make_network(dtype=np.float32), whitened_network()):
        other = network_with(network.nodes, network.params, network.dtype)
        assert other.nodes == network.nodes
        assert other.dtype == network.dtype == other.vector.dtype
        assert other.n_decayed == network.n_decayed
        np.testing.assert_array_equal(other.vector, network.vector)
        assert not np.shares_memory(other.vector, network.vector)
        assert other.buffers().keys() == network.buffers().keys()
        for name, values in network.params.items():
            for key, value in values.items():
                np.testing.assert_array_equal(other.params[name][key], value)
                assert not np.shares_memory(other.params[name][key], value)
    assert_aliases(network_with(make_network().nodes, make_network().params, "float64"))
